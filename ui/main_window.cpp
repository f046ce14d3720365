#include "ui/main_window.h"

#include "ui/models/device_model.h"
#include "ui/models/tunnel_model.h"
#include "ui/pages/connections_page.h"
#include "ui/pages/devices_page.h"
#include "ui/pages/events_page.h"
#include "ui/pages/history_page.h"
#include "ui/pages/lab_page.h"
#include "ui/pages/network_page.h"
#include "ui/pages/overview_page.h"
#include "ui/pages/passthrough_page.h"
#include "ui/pages/port_forwards_page.h"
#include "ui/pages/settings_page.h"
#include "ui/pages/start_page.h"
#include "ui/pages/tunnels_page.h"
#include "ui/text/english_plurals.h"
#include "ui/text/words.h"
#include "ui/theme/symbol.h"
#include "ui/theme/theme.h"
#include "ui/widgets/help_pane.h"
#include "ui/widgets/keep_bar.h"
#include "ui/widgets/search_box.h"
#include "ui/widgets/sidebar.h"
#include "ui/widgets/table.h"

#include <QAccessible>
#include <QApplication>
#include <QCheckBox>
#include <QComboBox>
#include <QEvent>
#include <QHBoxLayout>
#include <QPointer>
#include <QScreen>
#include <QScrollArea>
#include <QShortcut>
#include <QSpinBox>
#include <QStackedWidget>
#include <QStyleFactory>
#include <QTimer>
#include <QToolButton>

namespace ui {

namespace {

constexpr Page kNumbered[] = {Page::Overview,     Page::Tunnels, Page::Connections,
                              Page::Devices,      Page::History, Page::Passthrough,
                              Page::PortForwards, Page::Network, Page::Events};

/// Pages that have nothing to show while nothing runs.
constexpr Page kLive[] = {Page::Overview,    Page::Tunnels, Page::Connections, Page::Devices,
                          Page::Passthrough, Page::Lab,     Page::Events};

/// Ours: sessions asked for at most; more than anybody reads, few enough to be quick.
constexpr std::uint32_t kMostSessions = 100000;

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

/// Ours: time to notice that one has locked oneself out, and to say so.
constexpr std::chrono::seconds kTimeToKeep{90};
/// Ours: with reduced motion numbers and curves move so often at most.
constexpr engine::Duration kCalmInterval = std::chrono::milliseconds(950);

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

/// A service may hold a lab, too, but that one plays on its own.
bool isOurLab(const RouterState& state)
{
    return state.kind == RouterState::Kind::Lab && !state.attached;
}

/// As large as is comfortable, but never larger than the screen has room beside panels and our own
/// frame, whose size nobody knows before the window is shown.
QSize firstSize(const QScreen& screen)
{
    constexpr QSize kFrame{16, 48};
    return QSize(1400, 880).boundedTo(screen.availableGeometry().size() - kFrame);
}

bool isRunning(RouterState::Kind kind)
{
    return kind == RouterState::Kind::Sharing || kind == RouterState::Kind::Lab;
}

}  // namespace

struct MainWindow::Parts {
    explicit Parts(MainWindow* window)
        : tunnels(presentation, window), devices(presentation, window)
    {}

    Presentation presentation;
    TunnelModel tunnels;
    DeviceModel devices;
    WindowSettings settings;
    RouterState state;
    bool stateKnown = false;
    Tone tone = Tone::Light;
    std::shared_ptr<const engine::Snapshot> snapshot;
    std::vector<engine::Event> early;  ///< before the first snapshot
    double inbound = 0;                ///< octets per second over the external side
    double outbound = 0;

    Sidebar* sidebar = nullptr;
    InlineMessage* message = nullptr;
    QTimer* messageTimer = nullptr;
    QStackedWidget* stack = nullptr;
    StartPage* start = nullptr;
    OverviewPage* overview = nullptr;
    TunnelsPage* tunnelsPage = nullptr;
    ConnectionsPage* connections = nullptr;
    DevicesPage* devicesPage = nullptr;
    HistoryPage* history = nullptr;
    PassthroughPage* passthrough = nullptr;
    PortForwardsPage* portForwards = nullptr;
    NetworkPage* network = nullptr;
    LabPage* lab = nullptr;
    EventsPage* events = nullptr;
    SettingsPage* settingsPage = nullptr;
    QWidget* strip = nullptr;
    SafeLabel* rates = nullptr;
    SafeLabel* sessions = nullptr;
    SafeLabel* lastChange = nullptr;
    QPushButton* undo = nullptr;
    QPushButton* redo = nullptr;
    QTimer* asking = nullptr;
    SearchBox* search = nullptr;
    HelpPane* help = nullptr;
    KeepBar* keep = nullptr;
    engine::nat::NatConfig nat;     ///< in force
    engine::nat::NatConfig before;  ///< what the keep bar goes back to
    engine::Instant shown;          ///< the snapshot on screen
    QList<QPointer<TunnelDetail>> windows;

    Page page = Page::Start;
    QList<Page> past;  ///< for Alt+Left
    QList<Page> future;
};

MainWindow::MainWindow(QWidget* parent) : QMainWindow(parent)
{
    loadSymbols();
    installEnglishPlurals();
    if (QApplication::style()->name().compare(QLatin1String("fusion"), Qt::CaseInsensitive) != 0) {
        QApplication::setStyle(QStyleFactory::create(QStringLiteral("Fusion")));
    }
    m_parts = std::make_unique<Parts>(this);
    m_parts->presentation.wallClock = QDateTime::currentDateTime();
    m_parts->tone = toneFor(m_parts->settings.theme);
    applyTheme(*this, m_parts->tone);
    setWindowTitle(QStringLiteral("Underpass"));
    setWindowIcon(iconOf(Symbol::Logo));
    const QSize first = firstSize(*screen());
    setMinimumSize(QSize(900, 600).boundedTo(first));
    resize(first);
    buildPages();
    buildShortcuts();
    setRouterState({});
}

MainWindow::~MainWindow() = default;

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
       [this] { m_parts->sidebar->setNarrow(!m_parts->sidebar->isNarrow()); });
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

/// The keep bar goes back to what was in force before the first change that nobody has kept.
void MainWindow::applyNat(const engine::nat::NatConfig& config)
{
    Parts& p = *m_parts;
    if (!p.keep->isArmed()) p.before = p.nat;
    if (isRunning(p.state.kind))
        p.keep->arm(tr("The new network settings are in force."), kTimeToKeep);
    Q_EMIT natConfigSaved(config);
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

/// A mark is a setting like any other: it is shown when it comes back saved.
void MainWindow::mark(const TunnelKey& key, const TunnelMark& mark)
{
    WindowSettings next = m_parts->settings;
    if (mark.isEmpty()) {
        next.marks.erase(key);
    } else {
        next.marks[key] = mark;
    }
    Q_EMIT settingsChanged(next);
}

void MainWindow::askForSessions()
{
    Parts& p = *m_parts;
    if (!isVisible()) return;
    if (p.page == Page::Settings) Q_EMIT hostRequested();
    if (!isRunning(p.state.kind)) return;
    if (p.page == Page::Connections) {
        engine::SessionQuery query;
        query.limit = kMostSessions;
        Q_EMIT sessionsRequested(query);
    } else if (p.page == Page::Tunnels && p.tunnelsPage->sessionsWanted() != 0) {
        engine::SessionQuery query;
        query.tunnelSerial = p.tunnelsPage->sessionsWanted();
        Q_EMIT sessionsRequested(query);
    } else if (p.page == Page::Network && p.network->wantsSessions()) {
        Q_EMIT sessionsRequested(engine::SessionQuery{});
    } else {
        for (const auto& window : p.windows) {
            const TunnelDetail* detail = window.data();
            if (detail == nullptr || !detail->wantsSessions()) continue;
            engine::SessionQuery query;
            query.tunnelSerial = detail->serial();
            Q_EMIT sessionsRequested(query);
        }
    }
}

void MainWindow::refreshNow()
{
    if (m_parts->page == Page::Start) Q_EMIT interfacesRequested();
    askForSessions();
    if (auto* page = qobject_cast<PageFrame*>(m_parts->stack->currentWidget())) page->refresh();
}

void MainWindow::setRouterState(const RouterState& state)
{
    Parts& p = *m_parts;
    const bool before = isRunning(p.state.kind);
    const bool first = !p.stateKnown;
    p.state = state;
    p.stateKnown = true;
    const bool running = isRunning(state.kind);
    switch (state.kind) {
    case RouterState::Kind::NotSharing:
        p.sidebar->state()->show(Shape::Ring, Meaning::Neutral, tr("Not sharing"));
        break;
    case RouterState::Kind::Starting:
        p.sidebar->state()->show(Shape::Dots, Meaning::Accent, tr("Starting"));
        break;
    case RouterState::Kind::Sharing:
        p.sidebar->state()->show(Shape::Disc, Meaning::Good,
                                 state.attached ? tr("Sharing (service)") : tr("Sharing"));
        break;
    case RouterState::Kind::Lab:
        p.sidebar->state()->show(Shape::Diamond, Meaning::Accent, tr("Lab"));
        break;
    case RouterState::Kind::DaemonMissing:
        p.sidebar->state()->show(Shape::Cross, Meaning::Bad, tr("Service missing"));
        break;
    case RouterState::Kind::Denied:
        p.sidebar->state()->show(Shape::Cross, Meaning::Warning, tr("Service denied"));
        break;
    case RouterState::Kind::Error:
        p.sidebar->state()->show(Shape::Cross, Meaning::Bad, tr("Stopped"));
        break;
    }
    p.start->setRouterState(state);
    p.overview->setRouterState(state);
    p.devicesPage->setInternalInterface(state.internalInterface);
    p.sidebar->setPageVisible(static_cast<int>(Page::Start), !running);
    p.sidebar->setPageVisible(static_cast<int>(Page::Lab), isOurLab(state));
    p.strip->setVisible(running || p.undo->isEnabled());
    for (const Page page : kLive)
        p.sidebar->setPageEnabled(static_cast<int>(page), running);
    if (running) {
        p.asking->start();
    } else {
        p.asking->stop();
        p.snapshot.reset();
        p.early.clear();
        p.rates->setText({});
        p.sessions->setText({});
    }
    askForSessions();
    if (running && (!before || first) && p.page == Page::Start) goTo(Page::Overview);
    if (!running && (before || first)) goTo(Page::Start);
    if (running && p.page == Page::Lab && !isOurLab(state)) goTo(Page::Overview);
}

void MainWindow::forgetRouter()
{
    Parts& p = *m_parts;
    p.snapshot.reset();
    p.early.clear();
    p.inbound = p.outbound = 0;
    p.shown = {};
    p.tunnelsPage->forgetRouter();
    p.devices.setSnapshot({});
    p.devicesPage->snapshotShown();
    p.overview->forgetRouter();
    p.connections->forgetRouter();
    p.events->forgetRouter();
    p.history->forgetRouter();
    for (const auto& window : p.windows) {
        if (window != nullptr) window->window()->close();
    }
    p.windows.clear();
}

void MainWindow::setSnapshot(std::shared_ptr<const engine::Snapshot> snapshot)
{
    Parts& p = *m_parts;
    if (snapshot == nullptr) return;
    if (p.snapshot != nullptr && snapshot->at > p.snapshot->at) {
        const double seconds = std::chrono::duration<double>(snapshot->at - p.snapshot->at).count();
        const auto rate = [&](const engine::DirectionTotals& now,
                              const engine::DirectionTotals& then, double old) {
            const double fresh =
                now.bytes >= then.bytes ? static_cast<double>(now.bytes - then.bytes) / seconds : 0;
            return old + 0.5 * (fresh - old);
        };
        p.inbound = rate(snapshot->counters.inbound, p.snapshot->counters.inbound, p.inbound);
        p.outbound = rate(snapshot->counters.outbound, p.snapshot->counters.outbound, p.outbound);
    } else if (p.snapshot == nullptr || snapshot->at < p.snapshot->at) {
        p.inbound = p.outbound = 0;
    }
    const bool calm = p.settings.reducedMotion && p.snapshot != nullptr &&
                      snapshot->at - p.shown < kCalmInterval && snapshot->at >= p.shown;
    p.snapshot = std::move(snapshot);
    if (calm) return;
    p.shown = p.snapshot->at;
    p.presentation.now = p.snapshot->at;
    p.presentation.wallClock = QDateTime::currentDateTime();
    if (!p.early.empty()) p.events->add(std::exchange(p.early, {}));
    // Rates need every snapshot; everything else only what is on screen.
    p.tunnels.setSnapshot(*p.snapshot);
    p.devices.setSnapshot(*p.snapshot);
    refreshSnapshot();
    for (const auto& window : p.windows) {
        TunnelDetail* detail = window.data();
        if (detail == nullptr) continue;
        const TunnelRow* row = p.tunnels.find(detail->serial());
        if (row == nullptr) continue;
        detail->setMark(p.tunnels.markOf(row->tunnel));
        detail->setTunnel(row->tunnel, row->rateInbound, row->rateOutbound);
    }
    p.windows.removeIf([](const QPointer<TunnelDetail>& window) { return window.isNull(); });
    const Format& format = p.presentation.format;
    p.rates->setText(tr("↓ %1   ↑ %2").arg(format.rate(p.inbound), format.rate(p.outbound)));
    p.sessions->setText(
        tr("%1 of %2 sessions")
            .arg(format.count(p.snapshot->sessions), format.count(p.snapshot->sessionLimit)));
}

/// Brings the page on screen up to date. The overview draws ten minutes, so it sees every snapshot.
void MainWindow::refreshSnapshot()
{
    Parts& p = *m_parts;
    if (p.snapshot == nullptr) return;
    p.overview->setSnapshot(*p.snapshot, p.inbound, p.outbound);
    // Held tunnels count down wherever the user is.
    p.passthrough->setSnapshot(*p.snapshot);
    p.portForwards->setSnapshot(*p.snapshot);
    switch (p.page) {
    case Page::Tunnels: p.tunnelsPage->snapshotShown(); break;
    case Page::Devices: p.devicesPage->snapshotShown(); break;
    case Page::Network: p.network->setSnapshot(*p.snapshot); break;
    case Page::Events: p.events->setSnapshot(*p.snapshot); break;
    case Page::History: p.history->setSnapshot(*p.snapshot); break;
    case Page::Settings: p.settingsPage->setSnapshot(*p.snapshot); break;
    case Page::Start:
    case Page::Overview:
    case Page::Connections:
    case Page::Passthrough:
    case Page::PortForwards:
    case Page::Lab: break;
    }
}

void MainWindow::setSessions(const std::vector<engine::SessionRecord>& sessions, engine::Instant at)
{
    Parts& p = *m_parts;
    if (p.page == Page::Connections) {
        p.connections->setSessions(sessions, at);
        return;
    }
    if (p.page == Page::Tunnels) p.tunnelsPage->setSessions(sessions, at);
    if (p.page == Page::Network) p.network->setSessions(sessions);
    for (const auto& window : p.windows) {
        TunnelDetail* detail = window.data();
        if (detail == nullptr || sessions.empty()) continue;
        if (sessions.front().tunnelSerial == detail->serial()) detail->setSessions(sessions, at);
    }
}

void MainWindow::addEvents(const std::vector<engine::Event>& events)
{
    // Their times need the clock that the first snapshot brings.
    auto& early = m_parts->early;
    if (m_parts->snapshot == nullptr) {
        early.insert(early.end(), events.begin(), events.end());
        return;
    }
    m_parts->events->add(events);
}

void MainWindow::setDeviceNames(const std::vector<DeviceName>& names)
{
    auto& devices = m_parts->presentation.devices;
    std::map<engine::net::Ipv4Address, DeviceName> fresh;
    for (const DeviceName& name : names)
        fresh[name.address] = name;
    if (fresh == devices) return;
    devices = std::move(fresh);
    presentationChanged();
}

void MainWindow::presentationChanged()
{
    Parts& p = *m_parts;
    p.tunnels.presentationChanged();
    p.devices.presentationChanged();
    p.overview->presentationChanged();
    p.tunnelsPage->presentationChanged();
    p.connections->presentationChanged();
    p.history->presentationChanged();
    p.portForwards->presentationChanged();
    p.network->presentationChanged();
    p.lab->presentationChanged();
    p.events->presentationChanged();
    refreshSnapshot();
}

void MainWindow::setRules(const RuleSet& rules)
{
    m_parts->portForwards->setRules(rules);
    m_parts->devices.setRules(rules.deviceRules);
    m_parts->devicesPage->setRules(rules.deviceRules);
    m_parts->nat = rules.nat;
    m_parts->network->setConfig(rules.nat);
}

void MainWindow::setUndo(const UndoState& undo)
{
    Parts& p = *m_parts;
    p.lastChange->setText(undo.lastChange.isEmpty()
                              ? QString()
                              : tr("Last change: %1").arg(safeText(undo.lastChange, 120)));
    p.undo->setEnabled(undo.canUndo);
    p.redo->setEnabled(undo.canRedo);
    p.undo->setVisible(undo.canUndo);
    p.redo->setVisible(undo.canRedo);
}

void MainWindow::setInterfaces(const std::vector<InterfaceChoice>& interfaces)
{
    m_parts->start->setInterfaces(interfaces);
}

void MainWindow::setLabScenarios(const std::vector<LabScenario>& scenarios)
{
    m_parts->lab->setScenarios(scenarios);
}

void MainWindow::setLabStatus(const LabStatus& status)
{
    m_parts->lab->setStatus(status);
}

void MainWindow::setHistoryTunnels(const std::vector<HistoryTunnel>& rows)
{
    m_parts->history->setTunnels(rows);
    refreshSnapshot();
}

void MainWindow::setEarlierTunnels(const HistoryQuery& query,
                                   const std::vector<HistoryTunnel>& rows)
{
    m_parts->tunnelsPage->setEarlier(query, rows);
    for (const auto& window : m_parts->windows) {
        if (window != nullptr) window->setEarlier(query, rows);
    }
}

void MainWindow::setHistoryConnections(const std::vector<HistoryConnection>& rows)
{
    m_parts->history->setConnections(rows);
}

void MainWindow::setSettings(const WindowSettings& settings)
{
    Parts& p = *m_parts;
    const bool units =
        settings.units != p.settings.units || settings.ratesInBits != p.settings.ratesInBits;
    p.settings = settings;
    p.tunnels.setMarks(settings.marks);
    p.settingsPage->setSettings(settings);
    p.passthrough->setOnLive(settings.onLive);
    p.history->setRetention(settings.retentionDays);
    followTheme();
    if (units) {
        p.presentation.format = Format(QLocale(), settings.units, settings.ratesInBits);
        presentationChanged();
    }
}

void MainWindow::setConcerned(quint64 question, quint32 sessions)
{
    m_parts->portForwards->setConcerned(question, sessions);
}

void MainWindow::setHost(const HostHoldings& holdings)
{
    m_parts->settingsPage->setHost(holdings);
}

void MainWindow::setVersions(const std::vector<VersionLine>& lines)
{
    m_parts->settingsPage->setVersions(lines);
}

void MainWindow::showMessage(const Message& message)
{
    Meaning meaning = Meaning::Accent;
    switch (message.severity) {
    case Message::Severity::Information: meaning = Meaning::Accent; break;
    case Message::Severity::Success: meaning = Meaning::Good; break;
    case Message::Severity::Warning: meaning = Meaning::Warning; break;
    case Message::Severity::Error: meaning = Meaning::Bad; break;
    }
    InlineMessage* shown = m_parts->message;
    shown->say(meaning, safeText(message.text, 400));
    shown->setAccessibleDescription(safeText(message.details, 400));
    shown->show();
    // Good news goes by itself; what must be read stays until it is closed.
    if (meaning == Meaning::Accent || meaning == Meaning::Good) {
        m_parts->messageTimer->start(8000);
    } else {
        m_parts->messageTimer->stop();
    }
    QAccessibleEvent alert(shown, QAccessible::Alert);
    QAccessible::updateAccessibility(&alert);
}

void MainWindow::showCommandError(engine::CommandError error)
{
    const QString advice = adviceOn(error);
    showMessage(
        {Message::Severity::Error,
         advice.isEmpty() ? sentenceOf(error) : sentenceOf(error) + QLatin1Char(' ') + advice,
         {}});
}

void MainWindow::followTheme()
{
    Parts& p = *m_parts;
    const Tone tone = toneFor(p.settings.theme);
    if (tone == p.tone) return;
    p.tone = tone;
    applyTheme(*this, tone);
}

void MainWindow::changeEvent(QEvent* event)
{
    QMainWindow::changeEvent(event);
    // 6.4 does not say when the desktop turns dark; coming back to the window is when it shows.
    if (event->type() == QEvent::ActivationChange && m_parts != nullptr && isActiveWindow() &&
        m_parts->settings.theme == ThemeChoice::System) {
        QTimer::singleShot(0, this, &MainWindow::followTheme);
    }
}

void MainWindow::showEvent(QShowEvent* event)
{
    QMainWindow::showEvent(event);
    if (event->spontaneous()) return;
    if (m_parts->page == Page::Start) Q_EMIT interfacesRequested();
    askForSessions();
}

}  // namespace ui
