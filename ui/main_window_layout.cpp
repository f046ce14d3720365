// Which pages and controls the window has, and what leads from one to another.
#include "ui/main_window_parts.h"
#include "ui/text/words.h"
#include "ui/theme/symbol.h"

#include <QApplication>
#include <QHBoxLayout>
#include <QShortcut>
#include <QToolButton>

namespace ui {

namespace {

Symbol symbolOf(Page page)
{
    switch (page) {
    case Page::Start: return Symbol::Share;
    case Page::Overview: return Symbol::Overview;
    case Page::Tunnels: return Symbol::Tunnels;
    case Page::Connections: return Symbol::Connections;
    case Page::Devices: return Symbol::Devices;
    case Page::History: return Symbol::History;
    case Page::Passthrough: return Symbol::Passthrough;
    case Page::PortForwards: return Symbol::PortForwards;
    case Page::Network: return Symbol::Network;
    case Page::Lab: return Symbol::Lab;
    case Page::Events: return Symbol::Events;
    case Page::Settings: return Symbol::Settings;
    }
    return Symbol::Overview;
}

}  // namespace

void MainWindow::buildPages()
{
    Parts& p = *m_parts;
    auto* central = new QWidget(this);
    setCentralWidget(central);
    auto* outer = new QVBoxLayout(central);
    outer->setContentsMargins(0, 0, 0, 0);
    outer->setSpacing(0);
    auto* upper = new QHBoxLayout;
    upper->setSpacing(0);
    p.sidebar = new Sidebar(central);
    upper->addWidget(p.sidebar);
    auto* right = new QVBoxLayout;
    right->setSpacing(0);
    auto* messageRow = new QHBoxLayout;
    messageRow->setContentsMargins(kGapPage, 0, kGapPage, 0);
    p.message = new InlineMessage(central);
    p.message->setClosable();
    p.message->setGapAbove(kGapWide);
    p.message->hide();
    messageRow->addWidget(p.message);
    right->addLayout(messageRow);
    auto* keepRow = new QHBoxLayout;
    keepRow->setContentsMargins(kGapPage, 0, kGapPage, 0);
    p.keep = new KeepBar(p.presentation.format, central);
    keepRow->addWidget(p.keep);
    right->addLayout(keepRow);
    connect(p.keep, &KeepBar::revertAsked, this,
            [this] { Q_EMIT natConfigSaved(m_parts->before); });
    p.stack = new QStackedWidget(central);
    right->addWidget(p.stack, 1);
    upper->addLayout(right, 1);
    p.help = new HelpPane(central);
    upper->addWidget(p.help);
    p.search = new SearchBox(central);
    outer->addLayout(upper, 1);
    p.messageTimer = new QTimer(this);
    p.messageTimer->setSingleShot(true);
    connect(p.messageTimer, &QTimer::timeout, p.message, &QWidget::hide);

    p.start = new StartPage(this);
    p.overview = new OverviewPage(p.presentation, p.tunnels, p.devices, this);
    p.tunnelsPage = new TunnelsPage(p.presentation, p.tunnels, this);
    p.connections = new ConnectionsPage(p.presentation, this);
    p.devicesPage = new DevicesPage(p.presentation, p.devices, this);
    p.history = new HistoryPage(p.presentation, this);
    p.passthrough = new PassthroughPage(p.presentation, this);
    p.portForwards = new PortForwardsPage(p.presentation, this);
    p.network = new NetworkPage(p.presentation, this);
    p.lab = new LabPage(p.presentation, this);
    p.events = new EventsPage(p.presentation, this);
    p.settingsPage = new SettingsPage(this);
    // In the order of Page.
    for (QWidget* page :
         {static_cast<QWidget*>(p.start), static_cast<QWidget*>(p.overview),
          static_cast<QWidget*>(p.tunnelsPage), static_cast<QWidget*>(p.connections),
          static_cast<QWidget*>(p.devicesPage), static_cast<QWidget*>(p.history),
          static_cast<QWidget*>(p.passthrough), static_cast<QWidget*>(p.portForwards),
          static_cast<QWidget*>(p.network), static_cast<QWidget*>(p.lab),
          static_cast<QWidget*>(p.events), static_cast<QWidget*>(p.settingsPage)}) {
        p.stack->addWidget(page);
    }
    const auto add = [&p](Page page) {
        QString keys = page == Page::Settings ? QStringLiteral("Ctrl+,") : QString();
        for (std::size_t i = 0; i < std::size(kNumbered); ++i) {
            if (kNumbered[i] == page) keys = QStringLiteral("Ctrl+%1").arg(i + 1);
        }
        p.sidebar->addPage(static_cast<int>(page), symbolOf(page), nameOf(page), keys);
    };
    add(Page::Start);
    p.sidebar->addGroup(tr("WATCH"));
    for (const Page page :
         {Page::Overview, Page::Tunnels, Page::Connections, Page::Devices, Page::History})
        add(page);
    p.sidebar->addGroup(tr("CONTROL"));
    for (const Page page : {Page::Passthrough, Page::PortForwards, Page::Network})
        add(page);
    add(Page::Lab);
    p.sidebar->addGroup(tr("SYSTEM"));
    for (const Page page : {Page::Events, Page::Settings})
        add(page);
    connect(p.sidebar->addCommand(Symbol::Search, tr("Search"), QStringLiteral("Ctrl+K")),
            &QToolButton::clicked, this, &MainWindow::openSearch);
    connect(p.sidebar->addCommand(Symbol::Information, tr("Help"), QStringLiteral("F1")),
            &QToolButton::clicked, this, &MainWindow::toggleHelp);
    p.sidebar->finish();
    connect(p.sidebar, &Sidebar::pageAsked, this,
            [this](int page) { showPage(static_cast<Page>(page)); });
    outer->addWidget(buildStatusStrip());

    connect(p.start, &StartPage::startAsked, this, &MainWindow::startSharingRequested);
    connect(p.start, &StartPage::labAsked, this, &MainWindow::labRequested);
    connect(p.start, &StartPage::serviceAsked, this, &MainWindow::startServiceRequested);
    connect(p.start, &StartPage::attachAsked, this, &MainWindow::attachRequested);
    connect(p.start, &StartPage::lookAgainAsked, this, &MainWindow::interfacesRequested);

    connect(p.overview, &OverviewPage::stopAsked, this, &MainWindow::stopSharingRequested);
    connect(p.overview, &OverviewPage::tunnelsAsked, this, [this](TunnelFilter::Which which) {
        showPage(Page::Tunnels);
        m_parts->tunnelsPage->showOnly(which);
    });
    connect(p.overview, &OverviewPage::tunnelAsked, this, &MainWindow::showTunnel);
    connect(p.overview, &OverviewPage::devicesAsked, this, [this] { showPage(Page::Devices); });
    connect(p.overview, &OverviewPage::connectionsAsked, this,
            [this] { showPage(Page::Connections); });
    connect(p.overview, &OverviewPage::networkAsked, this, [this] { showPage(Page::Network); });
    connect(p.overview, &OverviewPage::turnOnAsked, this,
            [this](engine::net::VpnProtocol protocol) {
                if (m_parts->snapshot == nullptr) return;
                engine::policy::PassthroughSwitch value =
                    m_parts->snapshot->protocols[static_cast<std::size_t>(protocol)].position;
                value.mode = engine::policy::PassthroughMode::Assist;
                Q_EMIT passthroughChangeRequested(protocol, value, m_parts->settings.onLive);
            });

    connect(p.tunnelsPage, &TunnelsPage::disconnectAsked, this, &MainWindow::tunnelCloseRequested);
    connect(p.tunnelsPage, &TunnelsPage::passthroughAsked, this,
            [this](engine::net::VpnProtocol protocol) {
                showPage(Page::Passthrough);
                m_parts->passthrough->showProtocol(protocol);
            });
    connect(p.tunnelsPage, &TunnelsPage::earlierAsked, this, &MainWindow::earlierTunnelsRequested);
    connect(p.tunnelsPage, &TunnelsPage::marked, this, &MainWindow::mark);
    connect(p.tunnelsPage, &TunnelsPage::windowAsked, this, &MainWindow::openTunnelWindow);
    connect(p.connections, &ConnectionsPage::closeAsked, this, &MainWindow::sessionCloseRequested);
    connect(p.connections, &ConnectionsPage::tunnelAsked, this, &MainWindow::showTunnel);
    connect(p.devicesPage, &DevicesPage::ruleSaved, this, &MainWindow::deviceRuleSaved);
    connect(p.devicesPage, &DevicesPage::renamed, this, &MainWindow::deviceRenamed);
    connect(p.devicesPage, &DevicesPage::connectionsAsked, this,
            [this](engine::net::Ipv4Address device) {
                showPage(Page::Connections);
                m_parts->connections->showOnly(device);
            });
    connect(p.devicesPage, &DevicesPage::tunnelsAsked, this,
            [this](engine::net::Ipv4Address device) {
                showPage(Page::Tunnels);
                m_parts->tunnelsPage->showOnly(device);
            });
    connect(p.history, &HistoryPage::asked, this, &MainWindow::historyRequested);
    connect(p.history, &HistoryPage::liveTunnelAsked, this, &MainWindow::showTunnel);
    connect(p.history, &HistoryPage::exportAsked, this, &MainWindow::exportRequested);
    connect(p.passthrough, &PassthroughPage::changeAsked, this,
            &MainWindow::passthroughChangeRequested);
    connect(p.passthrough, &PassthroughPage::resolved, this, &MainWindow::holdResolved);
    connect(p.passthrough, &PassthroughPage::selfTestAsked, this, &MainWindow::selfTestRequested);
    connect(p.passthrough, &PassthroughPage::tunnelsAsked, this,
            [this](engine::net::VpnProtocol protocol) {
                showPage(Page::Tunnels);
                m_parts->tunnelsPage->showOnly(protocol);
            });
    connect(p.portForwards, &PortForwardsPage::forwardSaved, this, &MainWindow::portForwardSaved);
    connect(p.portForwards, &PortForwardsPage::forwardRemoved, this,
            &MainWindow::portForwardRemoved);
    connect(p.portForwards, &PortForwardsPage::oneToOneSaved, this, &MainWindow::oneToOneSaved);
    connect(p.portForwards, &PortForwardsPage::oneToOneRemoved, this, &MainWindow::oneToOneRemoved);
    connect(p.portForwards, &PortForwardsPage::exposedHostChanged, this,
            &MainWindow::exposedHostChanged);
    connect(p.portForwards, &PortForwardsPage::concernAsked, this, &MainWindow::concernRequested);
    connect(p.devicesPage, &DevicesPage::concernAsked, this, &MainWindow::concernRequested);
    connect(p.network, &NetworkPage::concernAsked, this, &MainWindow::concernRequested);
    connect(p.network, &NetworkPage::saved, this, &MainWindow::applyNat);
    connect(p.network, &NetworkPage::sessionCloseAsked, this, &MainWindow::sessionCloseRequested);
    connect(p.lab, &LabPage::playAsked, this, &MainWindow::scenarioRequested);
    connect(p.lab, &LabPage::speedAsked, this, &MainWindow::labSpeedRequested);
    connect(p.settingsPage, &SettingsPage::changed, this, &MainWindow::settingsChanged);
    connect(p.settingsPage, &SettingsPage::restoreAsked, this, &MainWindow::hostRestoreRequested);

    p.asking = new QTimer(this);
    p.asking->setInterval(1000);
    connect(p.asking, &QTimer::timeout, this, &MainWindow::askForSessions);
}

QWidget* MainWindow::buildStatusStrip()
{
    Parts& p = *m_parts;
    auto* strip = new QFrame(this);
    strip->setObjectName(QStringLiteral("statusStrip"));
    strip->setFixedHeight(40);
    auto* row = new QHBoxLayout(strip);
    row->setContentsMargins(kGapWide, 0, kGapWide, 0);
    row->setSpacing(kGapPage);
    p.rates = new SafeLabel(strip);
    p.sessions = new SafeLabel(strip);
    p.sessions->muted();
    p.lastChange = new SafeLabel(strip);
    p.lastChange->muted().eliding();
    p.lastChange->setAlignment(Qt::AlignRight | Qt::AlignVCenter);
    p.undo = makeQuietButton(tr("Undo"), strip);
    p.undo->setToolTip(tr("Undo the last change of the rules (Ctrl+Z)"));
    p.redo = makeQuietButton(tr("Redo"), strip);
    p.redo->setToolTip(tr("Do it again (Ctrl+Shift+Z)"));
    connect(p.undo, &QPushButton::clicked, this, &MainWindow::undoRequested);
    connect(p.redo, &QPushButton::clicked, this, &MainWindow::redoRequested);
    row->addWidget(p.rates);
    row->addWidget(p.sessions);
    row->addWidget(p.lastChange, 1);
    auto* buttons = new QHBoxLayout;
    buttons->setSpacing(0);
    buttons->addWidget(p.undo);
    buttons->addWidget(p.redo);
    row->addLayout(buttons);
    p.strip = strip;
    setUndo({});
    return strip;
}

void MainWindow::buildShortcuts()
{
    const auto on = [this](const QKeySequence& keys, auto what) {
        auto* shortcut = new QShortcut(keys, this);
        connect(shortcut, &QShortcut::activated, this, what);
    };
    for (std::size_t i = 0; i < std::size(kNumbered); ++i) {
        const Page page = kNumbered[i];
        on(QKeySequence(Qt::CTRL | static_cast<Qt::Key>(Qt::Key_1 + static_cast<int>(i))),
           [this, page] { showPage(page); });
    }
    on(QKeySequence(Qt::CTRL | Qt::Key_Comma), [this] { showPage(Page::Settings); });
    const auto filter = [this] {
        auto* page = qobject_cast<PageFrame*>(m_parts->stack->currentWidget());
        if (page == nullptr || page->filterField() == nullptr) return;
        page->filterField()->setFocus(Qt::ShortcutFocusReason);
        page->filterField()->selectAll();
    };
    on(QKeySequence(QKeySequence::Find), filter);
    on(QKeySequence(Qt::Key_Slash), filter);
    on(QKeySequence(Qt::Key_Escape), [this] {
        auto* page = qobject_cast<PageFrame*>(m_parts->stack->currentWidget());
        if (page == nullptr || page->clearFilter()) return;
        if (page->filterField() != nullptr && page->filterField()->hasFocus()) page->setFocus();
    });
    on(QKeySequence(Qt::CTRL | Qt::Key_K), [this] { openSearch(); });
    on(QKeySequence(QKeySequence::HelpContents), [this] { toggleHelp(); });
    on(QKeySequence(QKeySequence::Refresh), [this] { refreshNow(); });
    on(QKeySequence(QKeySequence::Undo), [this] {
        if (m_parts->undo->isEnabled()) Q_EMIT undoRequested();
    });
    on(QKeySequence(Qt::CTRL | Qt::SHIFT | Qt::Key_Z), [this] {
        if (m_parts->redo->isEnabled()) Q_EMIT redoRequested();
    });
    on(QKeySequence(Qt::CTRL | Qt::Key_E), [this] {
        if (auto* page = qobject_cast<PageFrame*>(m_parts->stack->currentWidget()))
            page->exportView();
    });
    on(QKeySequence(Qt::CTRL | Qt::Key_B),
       [this] { m_parts->sidebar->choose(!m_parts->sidebar->isNarrow()); });
    on(QKeySequence(Qt::ALT | Qt::Key_Left), [this] {
        if (m_parts->past.isEmpty()) return;
        m_parts->future.append(m_parts->page);
        goTo(m_parts->past.takeLast());
    });
    on(QKeySequence(Qt::ALT | Qt::Key_Right), [this] {
        if (m_parts->future.isEmpty()) return;
        m_parts->past.append(m_parts->page);
        goTo(m_parts->future.takeLast());
    });
    on(QKeySequence(Qt::Key_F6), [this] { movePane(1); });
    on(QKeySequence(Qt::SHIFT | Qt::Key_F6), [this] { movePane(-1); });
    on(QKeySequence(QKeySequence::Close), [this] { close(); });
    on(QKeySequence(Qt::CTRL | Qt::Key_Q), [] { QApplication::closeAllWindows(); });
}

}  // namespace ui
