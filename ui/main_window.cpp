#include "ui/main_window.h"

#include "ui/main_window_parts.h"
#include "ui/text/english_plurals.h"
#include "ui/text/words.h"
#include "ui/theme/symbol.h"
#include "ui/theme/theme.h"

#include <QAccessible>
#include <QApplication>
#include <QEvent>
#include <QScreen>
#include <QStyleFactory>

namespace ui {

namespace {

/// Ours: sessions asked for at most; more than anybody reads, few enough to be quick.
constexpr std::uint32_t kMostSessions = 100000;

/// Ours: time to notice that one has locked oneself out, and to say so.
constexpr std::chrono::seconds kTimeToKeep{90};
/// Ours: with reduced motion numbers and curves move so often at most.
constexpr engine::Duration kCalmInterval = std::chrono::milliseconds(950);

/// As large as is comfortable, but never larger than the screen has room beside panels and our own
/// frame, whose size nobody knows before the window is shown.
QSize firstSize(const QScreen& screen)
{
    constexpr QSize kFrame{16, 48};
    return QSize(1400, 880).boundedTo(screen.availableGeometry().size() - kFrame);
}

}  // namespace

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
    setMinimumSize(QSize(980, 600).boundedTo(first));
    resize(first);
    buildPages();
    buildShortcuts();
    setRouterState({});
}

MainWindow::~MainWindow() = default;

/// The keep bar goes back to what was in force before the first change that nobody has kept.
void MainWindow::applyNat(const engine::nat::NatConfig& config)
{
    Parts& p = *m_parts;
    if (!p.keep->isArmed()) p.before = p.nat;
    if (isRunning(p.state.kind))
        p.keep->arm(tr("The new network settings are in force."), kTimeToKeep);
    Q_EMIT natConfigSaved(config);
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
    m_parts->devicesPage->setConcerned(question, sessions);
    m_parts->network->setConcerned(question, sessions);
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
