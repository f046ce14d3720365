#include "app/application.h"

#include "app/card_backend.h"
#include "app/control/json.h"
#include "app/control/server.h"
#include "app/control/socket_path.h"
#include "app/ctl/text.h"
#include "app/end_signal.h"
#include "app/lab_backend.h"
#include "app/local_router_client.h"
#include "app/qt_text.h"
#include "app/random_seed.h"
#include "app/remote_router_client.h"
#include "app/state_folder.h"
#include "app/version.h"
#include "app/window_values.h"
#include "app/words.h"
#include "engine/io/host_guard.h"
#include "ui/text/csv.h"

#include <QApplication>
#include <QCommandLineParser>
#include <QDateTime>
#include <QDir>
#include <QEvent>
#include <QJsonDocument>
#include <QPixmap>
#include <QProcess>
#include <QSaveFile>
#include <QTimer>

#include <algorithm>
#include <chrono>
#include <utility>

#include <unistd.h>

namespace app {

using namespace std::chrono_literals;
using engine::policy::OnLive;

namespace {

/// Ours: what the lab has lived through before anybody looks, so that its tables are not empty.
constexpr engine::Duration kLabsPast = 90s;

/// A rule with this id replaced, or the new one added under the next free id.
template <typename Rule>
std::vector<Rule> withSaved(std::vector<Rule> rules, Rule rule)
{
    const auto found = std::ranges::find(rules, rule.id, &Rule::id);
    if (rule.id != 0 && found != rules.end()) {
        *found = std::move(rule);
        return rules;
    }
    rule.id = 1;
    for (const Rule& other : rules) {
        rule.id = std::max(rule.id, other.id + 1);
    }
    rules.push_back(std::move(rule));
    return rules;
}

template <typename Rule>
std::vector<Rule> without(std::vector<Rule> rules, std::uint32_t id)
{
    std::erase_if(rules, [id](const Rule& rule) { return rule.id == id; });
    return rules;
}

/// What a user whom the service does not let in needs to know: what it is, what goes on, what to
/// do.
ui::RouterState denied(const QString& socket)
{
    const QString group = control::groupOf(socket);
    ui::RouterState state;
    state.kind = ui::RouterState::Kind::Denied;
    state.attached = true;
    state.text = Application::tr(
                     "There is an Underpass service on this computer, and you may not "
                     "control it. What it shares goes on; this window can neither see "
                     "nor change it, and the lab works without it.") +
                 QLatin1Char(' ');
    if (group.isEmpty()) {
        state.text += Application::tr(
            "Its socket is open to nobody but its owner: ask an "
            "administrator to start it with --socket-group and a group "
            "that you are in.");
        state.details = socket;
    } else {
        state.text += Application::tr(
                          "Ask an administrator to make you a member of the group %1, "
                          "then log in again.")
                          .arg(group);
        state.details =
            socket + QStringLiteral("\nusermod -aG %1 %2")
                         .arg(group, qEnvironmentVariable("USER", QStringLiteral("USER")));
    }
    return state;
}

QByteArray csvOf(const QJsonArray& rows)
{
    QString text;
    QStringList names;
    if (!rows.isEmpty()) names = rows.first().toObject().keys();
    const auto line = [&text](const QStringList& cells) {
        text += cells.join(QLatin1Char(',')) + QStringLiteral("\r\n");
    };
    QStringList heading;
    for (const QString& name : names) {
        heading += ui::csvCell(name);
    }
    line(heading);
    for (const QJsonValue& row : rows) {
        QStringList cells;
        for (const QString& name : names) {
            const QJsonValue value = row[name];
            if (value.isObject()) {
                cells += ui::csvCell(QString::fromUtf8(
                    QJsonDocument(value.toObject()).toJson(QJsonDocument::Compact)));
            } else if (value.isArray()) {
                cells += ui::csvCell(QString::fromUtf8(
                    QJsonDocument(value.toArray()).toJson(QJsonDocument::Compact)));
            } else {
                cells += value.isDouble() ? QString::number(value.toInteger())
                                          : ui::csvCell(value.toVariant().toString());
            }
        }
        line(cells);
    }
    return text.toUtf8();
}

}  // namespace

Application::Application(Options options) : m_options(std::move(options))
{
    connectIntents();
    connectRules();
    m_window.setVersions(versionLines());
    m_window.setSettings(m_settings);
    if (m_options.tellStartTime) m_window.installEventFilter(this);
}

Application::~Application()
{
    drop();
}

void Application::start()
{
    if (m_options.lab) {
        startLab();
    } else {
        attachOrWait();
    }
    if (!m_options.screenshots.isEmpty()) {
        m_window.resize(1280, 820);
        m_window.show();
        // Long enough for rates to have a past.
        QTimer::singleShot(4s, this, &Application::takeScreenshots);
        return;
    }
    m_window.show();
    if (!m_options.lab && ::geteuid() == 0) {
        m_window.showMessage(
            {ui::Message::Severity::Warning,
             tr("This window has administrator rights, which sharing needs: do not leave it open "
                "to others. The service (underpassd) shares without a window."),
             QString()});
    }
}

bool Application::eventFilter(QObject* watched, QEvent* event)
{
    if (event->type() == QEvent::Paint) {
        m_window.removeEventFilter(this);
        const auto began = qApp->property("began").toLongLong();
        ctl::print(QStringLiteral("first paint after %1 ms\n")
                       .arg(QDateTime::currentMSecsSinceEpoch() - began));
    }
    return QObject::eventFilter(watched, event);
}

void Application::connectIntents()
{
    using Window = ui::MainWindow;
    connect(&m_window, &Window::startSharingRequested, this, &Application::startSharing);
    connect(&m_window, &Window::stopSharingRequested, this, &Application::stopSharing);
    connect(&m_window, &Window::labRequested, this, [this] {
        setState({ui::RouterState::Kind::Starting, QString(), QString(), tr("Setting the lab up"),
                  QString(), false});
        playScenario(m_options.scenario, ui::LabRules::Own);
    });
    connect(&m_window, &Window::scenarioRequested, this, &Application::playScenario);
    connect(&m_window, &Window::labSpeedRequested, this, [this](int times) {
        if (!m_dial) return;
        m_dial->setSpeed(times);
        showLab();
    });
    connect(&m_player, &LabPlayer::prepared, this,
            [this](const std::shared_ptr<PreparedLab>& prepared) { useLab(*prepared); });
    connect(&m_window, &Window::startServiceRequested, this, &Application::startService);
    connect(&m_window, &Window::attachRequested, this, &Application::attachOrWait);
    connect(&m_window, &Window::interfacesRequested, this, &Application::showInterfaces);
    connect(&m_window, &Window::passthroughChangeRequested, this,
            [this](engine::net::VpnProtocol protocol,
                   const engine::policy::PassthroughSwitch& value, engine::policy::OnLive onLive) {
                apply(engine::SetPassthrough{protocol, value, onLive});
            });
    connect(&m_window, &Window::holdResolved, this,
            [this](engine::net::VpnProtocol protocol, engine::ResolveHold::How how) {
                apply(engine::ResolveHold{protocol, how});
            });
    connect(&m_window, &Window::selfTestRequested, this,
            [this](engine::net::VpnProtocol protocol) { apply(engine::RunSelfTest{protocol}); });
    connect(&m_window, &Window::tunnelCloseRequested, this,
            [this](quint64 serial) { apply(engine::CloseTunnel{serial}); });
    connect(&m_window, &Window::sessionCloseRequested, this,
            [this](quint64 serial) { apply(engine::CloseSession{serial}); });
    connect(&m_window, &Window::sessionsRequested, this, [this](const engine::SessionQuery& query) {
        if (!m_router) return;
        m_router->sessions(query, this,
                           [this](const std::vector<engine::SessionRecord>& sessions,
                                  engine::Instant at) { m_window.setSessions(sessions, at); });
    });
    connect(&m_window, &Window::historyRequested, this, &Application::showHistory);
    connect(&m_window, &Window::earlierTunnelsRequested, this,
            [this](const ui::HistoryQuery& query) {
                if (!m_router) return;
                m_router->historyTunnels(
                    historyQuery(query), this, [this, query](const auto& rows, const QString&) {
                        m_window.setEarlierTunnels(query, historyTunnels(rows, m_devices));
                    });
            });
    connect(&m_window, &Window::exportRequested, this, &Application::exportHistory);
    connect(&m_window, &Window::settingsChanged, this, &Application::changeSettings);
    connect(&m_window, &Window::hostRequested, this, &Application::showHost);
    connect(&m_window, &Window::hostRestoreRequested, this, &Application::restoreHost);
}

void Application::connectRules()
{
    using Window = ui::MainWindow;
    connect(
        &m_window, &Window::portForwardSaved, this,
        [this](const engine::policy::PortForward& forward, OnLive onLive) {
            if (m_rules)
                apply(engine::SetPortForwards{withSaved(m_rules->portForwards, forward), onLive});
        });
    connect(&m_window, &Window::portForwardRemoved, this, [this](quint32 id, OnLive onLive) {
        if (m_rules) apply(engine::SetPortForwards{without(m_rules->portForwards, id), onLive});
    });
    connect(&m_window, &Window::oneToOneSaved, this,
            [this](const engine::policy::OneToOne& rule, OnLive onLive) {
                if (m_rules)
                    apply(engine::SetOneToOnes{withSaved(m_rules->oneToOnes, rule), onLive});
            });
    connect(&m_window, &Window::oneToOneRemoved, this, [this](quint32 id, OnLive onLive) {
        if (m_rules) apply(engine::SetOneToOnes{without(m_rules->oneToOnes, id), onLive});
    });
    connect(&m_window, &Window::exposedHostChanged, this,
            [this](engine::net::Ipv4Address address, OnLive onLive) {
                apply(engine::SetExposedHost{address, onLive});
            });
    connect(&m_window, &Window::deviceRuleSaved, this,
            [this](engine::policy::DeviceRule rule, OnLive onLive) {
                if (!m_rules) return;
                auto rules = m_rules->deviceRules;
                const auto found =
                    std::ranges::find(rules, rule.address, &engine::policy::DeviceRule::address);
                rule.id = found == rules.end() ? 0 : found->id;
                const bool ordinary =
                    rule.access == engine::policy::DeviceAccess::Allow && !rule.sessionLimit;
                if (!ordinary) {
                    apply(engine::SetDeviceRules{withSaved(std::move(rules), rule), onLive});
                } else if (found != rules.end()) {
                    apply(engine::SetDeviceRules{without(std::move(rules), rule.id), onLive});
                }
            });
    connect(&m_window, &Window::concernRequested, this,
            [this](quint64 question, const engine::Command& command) {
                if (!m_router) return;
                m_router->sessionsEndedBy(command, this, [this, question](std::uint32_t sessions) {
                    m_window.setConcerned(question, sessions);
                });
            });
    connect(&m_window, &Window::deviceRenamed, this,
            [this](engine::net::Ipv4Address address, const QString& name) {
                if (!m_router) return;
                m_router->renameDevice(address, name, this,
                                       [this](const CommandOutcome& outcome) { tell(outcome); });
            });
    connect(&m_window, &Window::natConfigSaved, this,
            [this](const engine::nat::NatConfig& config) { apply(engine::SetNat{config}); });
    connect(&m_window, &Window::undoRequested, this, [this] {
        if (m_router)
            m_router->undo(this, [this](const CommandOutcome& outcome) { tell(outcome); });
    });
    connect(&m_window, &Window::redoRequested, this, [this] {
        if (m_router)
            m_router->redo(this, [this](const CommandOutcome& outcome) { tell(outcome); });
    });
}

void Application::apply(const engine::Command& command)
{
    if (!m_router) return;
    // Switches and the network's form say themselves what they do to what lives.
    const bool said = std::holds_alternative<engine::SetPassthrough>(command) ||
                      std::holds_alternative<engine::SetNat>(command);
    m_router->apply(command, this, [this, said](CommandOutcome outcome) {
        if (said) outcome.effect.clear();
        tell(outcome);
    });
}

void Application::tell(const CommandOutcome& outcome)
{
    if (outcome.refused) {
        m_window.showCommandError(*outcome.refused);
    } else if (!outcome.saved) {
        m_window.showMessage({ui::Message::Severity::Warning, outcome.sentence, QString()});
    } else if (!outcome.effect.isEmpty()) {
        m_window.showMessage({ui::Message::Severity::Information, outcome.sentence, QString()});
    }
}

void Application::setState(const ui::RouterState& state)
{
    m_state = state;
    m_window.setRouterState(state);
}

/// Nothing runs any more, and no lab that is being prepared comes after all.
void Application::drop()
{
    m_server.reset();
    m_router.reset();
    m_player.forget();
    m_wanted.clear();
    m_dial.reset();
}

void Application::use(std::unique_ptr<RouterClient> router, const ui::RouterState& state)
{
    drop();
    m_router = std::move(router);
    m_window.forgetRouter();
    RouterClient* client = m_router.get();
    connect(client, &RouterClient::snapshotArrived, &m_window, &ui::MainWindow::setSnapshot);
    connect(client, &RouterClient::eventsArrived, this,
            [this](const std::shared_ptr<const std::vector<engine::Event>>& events) {
                m_window.addEvents(*events);
            });
    connect(client, &RouterClient::rulesChanged, this,
            [this](const std::shared_ptr<const Rules>& rules) {
                m_rules = rules;
                m_settings = windowSettings(rules->settings);
                m_window.setRules(ruleSet(*rules));
                m_window.setSettings(m_settings);
            });
    connect(client, &RouterClient::undoChanged, this, [this](const UndoState& undo) {
        m_window.setUndo({undo.lastChange, undo.canUndo, undo.canRedo});
    });
    connect(client, &RouterClient::devicesChanged, this,
            [this](const std::vector<DeviceIdentity>& devices) {
                m_devices = devices;
                m_window.setDeviceNames(deviceNames(devices));
            });
    connect(client, &RouterClient::problemArose, this, [this](const QString& sentence) {
        m_window.showMessage({ui::Message::Severity::Warning, sentence, QString()});
    });
    setState(state);
}

/// At the start of the program: nobody waits for a window yet.
void Application::startLab()
{
    auto prepared = prepareLab({m_options.scenario.toStdString(), randomSeed(), Rules{}, Rules{}});
    useLab(prepared);
}

/// The lab on screen goes on until the next one is there.
void Application::playScenario(const QString& scenario, ui::LabRules rules)
{
    LabRequest request{scenario.toStdString(), randomSeed(), m_labRules, m_labRules};
    if (m_rules) {
        request.changed.settings = m_rules->settings;
        request.changed.deviceNames = m_rules->deviceNames;
    }
    if (rules == ui::LabRules::WithChanges && m_dial && m_rules) request.changed = *m_rules;
    m_wanted = scenario;
    m_player.prepare(std::move(request));
    showLab();
}

void Application::useLab(PreparedLab& prepared)
{
    m_wanted.clear();
    if (!prepared.lab) return;
    // An office that runs on for ever begins with a past; a story begins at its beginning.
    const bool office = prepared.scenario == engine::lab::scenarios().front().name;
    auto dial = std::make_shared<LabDial>();
    auto router = std::make_unique<LocalRouterClient>(
        std::make_unique<LabBackend>(std::move(prepared.lab), office ? kLabsPast : 0s,
                                     prepared.length, dial),
        prepared.rules, storage::RulesStore::openIn({}), storage::HistoryStore::openIn({}));
    m_playing = QString::fromStdString(prepared.scenario);
    m_playLength = prepared.length;
    m_labRules = prepared.own;
    const auto known = std::make_shared<const Rules>(router->rules());
    use(std::move(router), {ui::RouterState::Kind::Lab, QStringLiteral("lab0"),
                            QStringLiteral("lab1"), QString(), QString(), false});
    m_dial = std::move(dial);
    connect(m_router.get(), &RouterClient::snapshotArrived, this, &Application::showLab);
    m_rules = known;
    m_window.setUndo({});
    m_window.setRules(ruleSet(*known));
    m_window.setSettings(windowSettings(known->settings));
    m_window.setLabScenarios(labScenarios());
    showLab();
    if (!prepared.aside.isEmpty()) {
        m_window.showMessage(
            {ui::Message::Severity::Warning, prepared.aside.join(QLatin1Char(' ')), QString()});
    }
}

void Application::showLab()
{
    if (!m_dial) return;
    ui::LabStatus status = labStatus(m_dial->progress());
    status.scenario = m_playing;
    status.preparing = m_wanted;
    status.length = m_playLength;
    status.speed = m_dial->speed();
    status.rulesChanged = m_rules && !isSame(*m_rules, m_labRules);
    m_window.setLabStatus(status);
}

void Application::attachOrWait()
{
    auto router = std::make_unique<RemoteRouterClient>(m_options.control);
    auto* remote = router.get();
    connect(remote, &RouterClient::linkChanged, this,
            [this, remote](RouterClient::Link link, const QString& text) {
                switch (link) {
                case RouterClient::Link::Connecting: return;
                case RouterClient::Link::Up:
                    setState({remote->description().lab ? ui::RouterState::Kind::Lab
                                                        : ui::RouterState::Kind::Sharing,
                              remote->description().internalInterface,
                              remote->description().externalInterface, QString(), QString(), true});
                    return;
                case RouterClient::Link::Lost:
                    setState({ui::RouterState::Kind::DaemonMissing, QString(), QString(), text,
                              QString(), true});
                    return;
                case RouterClient::Link::Ended:
                    setState({ui::RouterState::Kind::DaemonMissing, QString(), QString(), text,
                              QString(), true});
                    return;
                case RouterClient::Link::Denied: setState(denied(m_options.control)); return;
                case RouterClient::Link::Refused:
                    // No service: this process may share by itself.
                    setState({});
                    showInterfaces();
                    if (::geteuid() == 0) leftovers();
                    return;
                }
            });
    use(std::move(router), {ui::RouterState::Kind::NotSharing});
    showInterfaces();
}

/// A window that was killed while it shared must not leave its guard until it shares again.
void Application::leftovers()
{
    const auto restored = engine::io::restoreHost(m_options.state.toStdString());
    if (restored && restored->empty()) return;
    m_window.showMessage(
        restored ? ui::Message{ui::Message::Severity::Information,
                               tr("Sharing had ended without tidying up. This computer is as it "
                                  "was before again."),
                               QString()}
                 : ui::Message{ui::Message::Severity::Warning,
                               tr("Sharing had ended without tidying up, and that could not be "
                                  "done now."),
                               qt(restored.error())});
}

void Application::startSharing(const QString& internal, const QString& external)
{
    setState({ui::RouterState::Kind::Starting, internal, external, tr("Opening both cards"),
              QString(), false});
    drop();
    QDir().mkpath(m_options.state);
    const std::string state = m_options.state.toStdString();
    auto rulesStore = storage::RulesStore::openIn(state);
    auto historyStore = storage::HistoryStore::openIn(state);
    const std::vector<std::string> messages{rulesStore.message(), historyStore.message()};
    Rules rules;
    if (auto loaded = rulesStore.load()) rules = std::move(*loaded);

    engine::io::RouterOptions options;
    options.internal = internal.toStdString();
    options.external = external.toStdString();
    options.state = state;
    copyInto(options.config, rules);
    auto opened = engine::io::Router::open(std::move(options));
    if (!opened) {
        setState({ui::RouterState::Kind::Error, internal, external,
                  qt(engine::io::sentenceOf(opened.error())) + QLatin1Char('.'),
                  qt(opened.error().detail), false});
        return;
    }
    auto router =
        std::make_unique<LocalRouterClient>(std::make_unique<CardBackend>(std::move(*opened)),
                                            rules, std::move(rulesStore), std::move(historyStore));
    auto* local = router.get();
    connect(
        local, &RouterClient::linkChanged, this,
        [this, internal, external](RouterClient::Link link, const QString& text) {
            if (link == RouterClient::Link::Up) return;
            if (link == RouterClient::Link::Ended) {
                // Not now: it is the router that says so, and it goes with this.
                QMetaObject::invokeMethod(
                    this,
                    [this, text] {
                        stopSharing();
                        m_window.showMessage({ui::Message::Severity::Success, text, QString()});
                    },
                    Qt::QueuedConnection);
                return;
            }
            setState({ui::RouterState::Kind::Error, internal, external, text, QString(), false});
        });
    use(std::move(router),
        {ui::RouterState::Kind::Sharing, internal, external, QString(), QString(), false});
    m_rules = std::make_shared<const Rules>(local->rules());
    m_settings = windowSettings(m_rules->settings);
    m_window.setRules(ruleSet(*m_rules));
    m_window.setSettings(m_settings);
    for (const std::string& message : messages) {
        if (!message.empty())
            m_window.showMessage({ui::Message::Severity::Warning, qt(message), QString()});
    }
    // The command line works on a router in a window, too, where we may make the socket.
    m_server = std::make_unique<control::Server>(
        *local, control::RouterDescription{QStringLiteral("underpass"), internal, external, false});
    if (const auto listening = m_server->listen(m_options.control); !listening) {
        m_window.showMessage({ui::Message::Severity::Information,
                              tr("The command line cannot reach this window."), listening.error()});
    }
}

void Application::stopSharing()
{
    drop();
    m_rules.reset();
    setState({});
    showInterfaces();
}

void Application::startService()
{
    setState({ui::RouterState::Kind::Starting, QString(), QString(), tr("Starting the service"),
              QString(), true});
    auto* process = new QProcess(this);
    connect(process, &QProcess::errorOccurred, this, [this, process] {
        setState({ui::RouterState::Kind::Error, QString(), QString(),
                  tr("The service cannot be started: systemctl is not there."),
                  process->errorString(), true});
        process->deleteLater();
    });
    connect(process, &QProcess::finished, this, [this, process](int code) {
        if (code == 0) {
            attachOrWait();
        } else {
            setState({ui::RouterState::Kind::Error, QString(), QString(),
                      tr("The service could not be started."),
                      QString::fromLocal8Bit(process->readAllStandardError()), true});
        }
        process->deleteLater();
    });
    process->start(QStringLiteral("systemctl"),
                   {QStringLiteral("start"), QStringLiteral("underpassd")});
}

void Application::showInterfaces()
{
    m_window.setInterfaces(interfaceChoices());
}

void Application::showHost()
{
    using Holder = ui::HostHoldings::Holder;
    const bool running = m_router && m_router->link() == RouterClient::Link::Up;
    if (!running) {
        m_window.setHost(
            hostHoldings(engine::io::leftOnHost(m_options.state.toStdString()), Holder::Leftovers));
        return;
    }
    m_router->heldOnHost(this, [this, holder = m_state.attached ? Holder::Service : Holder::Window](
                                   const auto& held, const QString&) {
        m_window.setHost(hostHoldings(held, holder));
    });
}

void Application::restoreHost()
{
    if (m_router && m_router->link() == RouterClient::Link::Up) {
        m_router->restoreHost(this, [this](const CommandOutcome& outcome) { tell(outcome); });
        return;
    }
    leftovers();
    showHost();
}

void Application::showHistory(const ui::HistoryQuery& query)
{
    if (!m_router) return;
    const auto complain = [this](const QString& why) {
        if (!why.isEmpty()) m_window.showMessage({ui::Message::Severity::Warning, why, QString()});
    };
    switch (query.what) {
    case ui::HistoryQuery::What::Tunnels:
        m_router->historyTunnels(historyQuery(query), this,
                                 [this, complain](const auto& rows, const QString& why) {
                                     complain(why);
                                     m_window.setHistoryTunnels(historyTunnels(rows, m_devices));
                                 });
        return;
    case ui::HistoryQuery::What::Connections:
        m_router->historySessions(
            historyQuery(query), this, [this, complain](const auto& rows, const QString& why) {
                complain(why);
                m_window.setHistoryConnections(historyConnections(rows, m_devices));
            });
        return;
    }
}

void Application::exportHistory(const ui::HistoryQuery& query, const QString& path)
{
    if (!m_router) return;
    const auto write = [this, path](const QJsonArray& rows, const QString& why) {
        QSaveFile file(path);
        const bool csv = path.endsWith(QStringLiteral(".csv"), Qt::CaseInsensitive);
        const bool done = why.isEmpty() && file.open(QIODevice::WriteOnly) &&
                          file.write(csv ? csvOf(rows) : QJsonDocument(rows).toJson()) >= 0 &&
                          file.commit();
        if (done) {
            m_window.showMessage(
                {ui::Message::Severity::Success,
                 tr("%n row(s) written to %1.", nullptr, static_cast<int>(rows.size())).arg(path),
                 QString()});
        } else {
            m_window.showMessage({ui::Message::Severity::Error,
                                  tr("%1 could not be written.").arg(path),
                                  why.isEmpty() ? file.errorString() : why});
        }
    };
    const auto all = [](const auto& rows) {
        QJsonArray array;
        for (const auto& row : rows) {
            array.append(control::toJson(row));
        }
        return array;
    };
    if (query.what == ui::HistoryQuery::What::Tunnels) {
        m_router->historyTunnels(
            historyQuery(query), this,
            [write, all](const auto& rows, const QString& why) { write(all(rows), why); });
    } else {
        m_router->historySessions(
            historyQuery(query), this,
            [write, all](const auto& rows, const QString& why) { write(all(rows), why); });
    }
}

void Application::changeSettings(const ui::WindowSettings& settings)
{
    m_settings = settings;
    m_window.setSettings(settings);
    if (!m_router) return;
    m_router->changeSettings(settingsOf(m_rules ? m_rules->settings : Settings{}, settings), this,
                             [this](const CommandOutcome& outcome) { tell(outcome); });
}

void Application::takeScreenshots()
{
    QDir().mkpath(m_options.screenshots);
    const auto pictured = [this](ui::Page page, ui::ThemeChoice theme, const char* word) {
        m_pictures.push_back([this, page, theme] {
            ui::WindowSettings settings = m_settings;
            settings.theme = theme;
            m_window.setSettings(settings);
            if (page == ui::Page::Start) {
                m_window.setRouterState({});
                showInterfaces();
            } else {
                m_window.setRouterState(m_state);
                m_window.showPage(page);
            }
        });
        m_pictures.push_back([this, page, word] {
            const QString file =
                QStringLiteral("%1/%2-%3.png")
                    .arg(m_options.screenshots, ui::wordOf(page), QLatin1String(word));
            if (m_window.grab().save(file)) {
                ctl::print(file + QLatin1Char('\n'));
                return;
            }
            ctl::complain(QStringLiteral("underpass"),
                          QStringLiteral("%1 cannot be written.").arg(file));
            QCoreApplication::exit(1);
        });
    };
    for (const auto& [theme, word] :
         {std::pair{ui::ThemeChoice::Light, "light"}, std::pair{ui::ThemeChoice::Dark, "dark"}}) {
        for (int i = static_cast<int>(ui::Page::Overview); i < ui::kPageCount; ++i) {
            pictured(static_cast<ui::Page>(i), theme, word);
        }
    }
    // Last, because with it the window forgets the lab's past.
    pictured(ui::Page::Start, ui::ThemeChoice::Light, "light");
    pictured(ui::Page::Start, ui::ThemeChoice::Dark, "dark");
    m_pictures.push_back([] { QCoreApplication::quit(); });
    // Pages that ask for rows have them before they are photographed.
    auto* timer = new QTimer(this);
    connect(timer, &QTimer::timeout, this, [this] {
        const auto step = std::move(m_pictures.front());
        m_pictures.pop_front();
        step();
    });
    timer->start(700ms);
}

int runApplication(int argc, char** argv)
{
    const qint64 began = QDateTime::currentMSecsSinceEpoch();
    EndSignal::holdBack();
    QApplication application(argc, argv);
    application.setProperty("began", began);
    QApplication::setApplicationName(QStringLiteral("underpass"));
    QApplication::setApplicationDisplayName(QStringLiteral("Underpass"));
    QApplication::setApplicationVersion(QLatin1String(kVersion));
    QApplication::setDesktopFileName(QStringLiteral("io.github.underpass.Underpass"));

    QCommandLineParser parser;
    parser.setApplicationDescription(
        QStringLiteral("The window of Underpass, a router that lets every VPN through."));
    parser.addHelpOption();
    parser.addVersionOption();
    parser.addOptions({
        {QStringLiteral("lab"),
         QStringLiteral("Show the built-in network of simulated computers.")},
        {QStringLiteral("scenario"),
         QStringLiteral("Which story the lab plays; underpassctl lab list tells them."),
         QStringLiteral("NAME"), QStringLiteral("overview")},
        {QStringLiteral("screenshots"),
         QStringLiteral("Write a picture of every page to DIR and end."), QStringLiteral("DIR")},
        {QStringLiteral("for"), QStringLiteral("End after so long: 10s."), QStringLiteral("TIME")},
        {QStringLiteral("control"), QStringLiteral("Control socket of the service."),
         QStringLiteral("SOCKET"), QLatin1String(control::kDefaultSocket)},
        {QStringLiteral("state"), QStringLiteral("Folder for rules and history."),
         QStringLiteral("DIR"), defaultStateFolder()},
        {QStringLiteral("start-time"), QStringLiteral("Tell how long the first picture took.")},
    });
    const auto refuse = [](const QString& sentence) {
        ctl::complain(QStringLiteral("underpass"), sentence);
        return 2;
    };
    if (!parser.parse(QApplication::arguments())) return refuse(parser.errorText());
    if (parser.isSet(QStringLiteral("help"))) parser.showHelp(0);
    if (parser.isSet(QStringLiteral("version"))) parser.showVersion();
    if (!parser.positionalArguments().isEmpty()) {
        return refuse(
            QStringLiteral("Unexpected word: %1").arg(parser.positionalArguments().constFirst()));
    }
    int seconds = 0;
    if (parser.isSet(QStringLiteral("for"))) {
        QString text = parser.value(QStringLiteral("for"));
        if (text.endsWith(QLatin1Char('s'))) text.chop(1);
        bool ok = false;
        seconds = text.toInt(&ok);
        if (!ok || seconds < 1)
            return refuse(
                QStringLiteral("%1 is no time like 10s.").arg(parser.value(QStringLiteral("for"))));
    }
    const bool pictures = parser.isSet(QStringLiteral("screenshots"));
    if (pictures && !parser.isSet(QStringLiteral("lab"))) {
        return refuse(QStringLiteral("--screenshots shows the lab: say --lab, too."));
    }
    const QString scenario = parser.value(QStringLiteral("scenario"));
    const auto known = engine::lab::scenarios();
    if (std::none_of(known.begin(), known.end(), [&](const engine::lab::Scenario& one) {
            return one.name == scenario.toStdString();
        })) {
        return refuse(QStringLiteral("There is no scenario %1; underpassctl lab list tells them.")
                          .arg(scenario));
    }

    EndSignal end;
    QObject::connect(&end, &EndSignal::endAsked, qApp, &QCoreApplication::quit);
    Application program({.lab = parser.isSet(QStringLiteral("lab")),
                         .scenario = scenario,
                         .screenshots = parser.value(QStringLiteral("screenshots")),
                         .control = parser.value(QStringLiteral("control")),
                         .state = parser.value(QStringLiteral("state")),
                         .tellStartTime = parser.isSet(QStringLiteral("start-time"))});
    program.start();
    if (seconds > 0)
        QTimer::singleShot(std::chrono::seconds(seconds), qApp, &QCoreApplication::quit);
    return QApplication::exec();
}

}  // namespace app
