// How the user gets about: pages, panes, search, help, tunnels in windows of their own.
#include "ui/main_window_parts.h"
#include "ui/text/words.h"

#include <QApplication>
#include <QCheckBox>
#include <QComboBox>
#include <QScrollArea>
#include <QShortcut>
#include <QSpinBox>

namespace ui {

namespace {

/// The controls of a form that somebody may look for by name.
QList<QWidget*> controlsOf(const QWidget* page)
{
    QList<QWidget*> controls;
    for (QWidget* one : page->findChildren<QWidget*>()) {
        const bool control = qobject_cast<SegmentedSwitch*>(one) != nullptr ||
                             qobject_cast<QSpinBox*>(one) != nullptr ||
                             qobject_cast<QComboBox*>(one) != nullptr ||
                             qobject_cast<QCheckBox*>(one) != nullptr;
        if (control && !one->accessibleName().isEmpty()) controls << one;
    }
    return controls;
}

/// Scrolls to a control, if it still is, and gives it, or its first part, the focus.
void reveal(QWidget* control)
{
    if (control == nullptr) return;
    for (QWidget* one = control->parentWidget(); one != nullptr; one = one->parentWidget()) {
        if (auto* area = qobject_cast<QScrollArea*>(one)) area->ensureWidgetVisible(control);
    }
    QWidget* part = control;
    if (auto* segments = qobject_cast<SegmentedSwitch*>(control))
        part = segments->button(segments->position());
    part->setFocus(Qt::ShortcutFocusReason);
}

}  // namespace

void MainWindow::openSearch()
{
    Parts& p = *m_parts;
    std::vector<SearchEntry> entries;
    const bool running = isRunning(p.state.kind);
    for (int i = 0; i < kPageCount; ++i) {
        const auto page = static_cast<Page>(i);
        const bool live = std::ranges::find(kLive, page) != std::end(kLive);
        if (running ? page == Page::Start : live) continue;
        if (page == Page::Lab && !isOurLab(p.state)) continue;
        entries.push_back({tr("Page"), nameOf(page), {}, [this, page] {
                               showPage(page);
                           }});
    }
    if (running && p.snapshot != nullptr) {
        for (const auto& device : p.snapshot->devices) {
            const auto address = device.address;
            entries.push_back({tr("Device"), p.presentation.deviceName(address), textOf(address),
                               [this, address] {
                                   showPage(Page::Devices);
                                   m_parts->devicesPage->showDevice(address);
                               }});
        }
        for (const auto& tunnel : p.snapshot->tunnels) {
            entries.push_back({tr("Tunnel"),
                               p.presentation.deviceName(tunnel.device) + QStringLiteral(" → ") +
                                   serverName(tunnel),
                               QStringList{protocolText(tunnel.protocol, tunnel.confidence),
                                           stateText(tunnel, p.presentation), textOf(tunnel.device),
                                           textOf(tunnel.server)}
                                   .join(QStringLiteral(" · ")),
                               [this, serial = tunnel.serial] {
                                   showTunnel(serial);
                               }});
        }
        for (const auto& text : engine::net::kVpnProtocols) {
            entries.push_back({tr("Protocol"), ui::nameOf(text.protocol),
                               technicalsOf(text.protocol), [this, protocol = text.protocol] {
                                   showPage(Page::Passthrough);
                                   m_parts->passthrough->showProtocol(protocol);
                               }});
        }
    }
    for (const auto& [page, control] : {std::pair<Page, QWidget*>{Page::Settings, p.settingsPage},
                                        std::pair<Page, QWidget*>{Page::Network, p.network}}) {
        for (QWidget* one : controlsOf(control)) {
            entries.push_back({tr("Setting"), one->accessibleName(), nameOf(page),
                               [this, page = page, setting = QPointer<QWidget>(one)] {
                                   showPage(page);
                                   reveal(setting);
                               }});
        }
    }
    if (isOurLab(p.state)) {
        for (const LabScenario& scenario : p.lab->scenarios()) {
            entries.push_back(
                {tr("Scenario"), scenario.name, scenario.lesson, [this, name = scenario.name] {
                     showPage(Page::Lab);
                     Q_EMIT scenarioRequested(name, LabRules::WithChanges);
                 }});
        }
    }
    p.search->open(std::move(entries));
}

void MainWindow::toggleHelp()
{
    HelpPane* help = m_parts->help;
    // With F1 on another control it tells about that one.
    const QWidget* control = QApplication::focusWidget();
    help->setVisible(!help->isVisible());
    help->explain(m_parts->page, control);
}

/// Panes: the sidebar, the page's filter, its table, its detail; whichever of them there are.
void MainWindow::movePane(int step)
{
    QList<QWidget*> panes{m_parts->sidebar};
    QWidget* page = m_parts->stack->currentWidget();
    if (auto* frame = qobject_cast<PageFrame*>(page)) {
        if (frame->filterField() != nullptr) panes << frame->filterField();
    }
    for (Table* table : page->findChildren<Table*>()) {
        if (table->isVisible()) panes << table;
    }
    for (TunnelDetail* detail : page->findChildren<TunnelDetail*>()) {
        if (detail->isVisible()) panes << detail;
    }
    if (panes.size() == 1) panes << page;
    qsizetype now = 0;
    const QWidget* focus = QApplication::focusWidget();
    for (qsizetype i = 0; i < panes.size(); ++i) {
        if (focus != nullptr && (panes.at(i) == focus || panes.at(i)->isAncestorOf(focus))) now = i;
    }
    QWidget* next = panes.at((now + step + panes.size()) % panes.size());
    if (next->focusPolicy() == Qt::NoFocus) {
        for (QWidget* child : next->findChildren<QWidget*>()) {
            if (child->isVisible() && child->isEnabled() &&
                (child->focusPolicy() & Qt::TabFocus) != 0) {
                child->setFocus(Qt::ShortcutFocusReason);
                return;
            }
        }
    }
    next->setFocus(Qt::ShortcutFocusReason);
}

void MainWindow::showPage(Page page)
{
    if (page == m_parts->page) return;
    m_parts->past.append(m_parts->page);
    if (m_parts->past.size() > 32) m_parts->past.removeFirst();
    m_parts->future.clear();
    goTo(page);
}

void MainWindow::goTo(Page page)
{
    const bool running = isRunning(m_parts->state.kind);
    if (!running && std::find(std::begin(kLive), std::end(kLive), page) != std::end(kLive))
        page = Page::Start;
    if (page == Page::Lab && !isOurLab(m_parts->state)) page = Page::Overview;
    m_parts->page = page;
    m_parts->stack->setCurrentIndex(static_cast<int>(page));
    m_parts->sidebar->setCurrent(static_cast<int>(page));
    setWindowTitle(tr("%1 – Underpass").arg(nameOf(page)));
    // Not the first button, which may be one that stops everything: the table, or the page's entry.
    QWidget* first = m_parts->sidebar->entry(static_cast<int>(page));
    for (Table* table : m_parts->stack->currentWidget()->findChildren<Table*>()) {
        if (!table->isHidden()) {
            first = table;
            break;
        }
    }
    if (first != nullptr) first->setFocus(Qt::OtherFocusReason);
    if (m_parts->help->isVisible()) m_parts->help->explain(page, nullptr);
    refreshSnapshot();
    askForSessions();
    if (page == Page::Start && m_parts->stateKnown) Q_EMIT interfacesRequested();
}

Page MainWindow::currentPage() const
{
    return m_parts->page;
}

void MainWindow::showTunnel(std::uint64_t serial)
{
    if (m_parts->tunnels.find(serial) == nullptr) return;
    showPage(Page::Tunnels);
    m_parts->tunnelsPage->showTunnel(serial);
}

void MainWindow::openTunnelWindow(std::uint64_t serial)
{
    const TunnelRow* row = m_parts->tunnels.find(serial);
    if (row == nullptr) return;
    auto* window = new QWidget(this, Qt::Window);
    window->setAttribute(Qt::WA_DeleteOnClose);
    window->setWindowTitle(tr("Tunnel – Underpass"));
    window->resize(560, 640);
    auto* column = new QVBoxLayout(window);
    column->setContentsMargins(kGap, kGap, kGap, kGap);
    auto* detail = new TunnelDetail(m_parts->presentation, TunnelDetail::Closable::No, window);
    column->addWidget(detail);
    window->setPalette(palette());
    window->setAutoFillBackground(true);
    detail->setMark(m_parts->tunnels.markOf(row->tunnel));
    detail->setTunnel(row->tunnel, row->rateInbound, row->rateOutbound);
    connect(detail, &TunnelDetail::earlierAsked, this, &MainWindow::earlierTunnelsRequested);
    connect(detail, &TunnelDetail::marked, this, &MainWindow::mark);
    connect(detail, &TunnelDetail::disconnectAsked, this, &MainWindow::tunnelCloseRequested);
    connect(detail, &TunnelDetail::deviceAsked, this, [this](engine::net::Ipv4Address device) {
        showPage(Page::Tunnels);
        m_parts->tunnelsPage->showOnly(device);
    });
    connect(detail, &TunnelDetail::passthroughAsked, this,
            [this](engine::net::VpnProtocol protocol) {
                showPage(Page::Passthrough);
                m_parts->passthrough->showProtocol(protocol);
            });
    m_parts->windows.append(detail);
    auto* close = new QShortcut(QKeySequence(Qt::Key_Escape), window);
    connect(close, &QShortcut::activated, window, &QWidget::close);
    window->show();
}

}  // namespace ui
