#include "app/local_router_client.h"

#include "app/qt_text.h"
#include "app/services/live_effect.h"
#include "app/words.h"
#include "engine/io/host_guard.h"

#include <QPointer>

#include <algorithm>
#include <utility>

namespace app {

namespace {

/// Ours: more changes than anybody takes back one by one.
constexpr std::size_t kMostUndo = 100;

/// The reply, unless who asked has died meanwhile.
template <typename... Values>
RouterClient::Reply<Values...> guarded(QObject* context, RouterClient::Reply<Values...> reply)
{
    return [alive = QPointer<QObject>(context), reply = std::move(reply)](Values... values) {
        if (alive && reply) reply(values...);
    };
}

QString hasEnded()
{
    return QStringLiteral("The router has ended.");
}

}  // namespace

LocalRouterClient::LocalRouterClient(std::unique_ptr<Backend> backend, Rules rules,
                                     storage::RulesStore rulesStore,
                                     storage::HistoryStore historyStore, QObject* parent)
    : RouterClient(parent),
      m_rules(std::make_shared<const Rules>(std::move(rules))),
      m_storage(
          std::make_unique<storage::StorageThread>(std::move(rulesStore), std::move(historyStore))),
      m_history(std::make_unique<services::HistoryRecorder>(*m_storage)),
      m_host(std::make_unique<EngineHost>(std::move(backend)))
{
    m_history->setRetention(m_rules->settings.retentionDays, m_rules->settings.retentionMegabytes);
    connect(m_history.get(), &services::HistoryRecorder::problemArose, this,
            &RouterClient::problemArose);
    connect(m_host.get(), &EngineHost::snapshotTaken, this,
            [this](const std::shared_ptr<const engine::Snapshot>& snapshot) {
                m_snapshot = snapshot;
                m_history->see(*snapshot);
                Q_EMIT snapshotArrived(snapshot);
            });
    connect(m_host.get(), &EngineHost::eventsHappened, this,
            [this](const std::shared_ptr<const std::vector<engine::Event>>& events) {
                m_history->see(*events);
                Q_EMIT eventsArrived(events);
            });
    connect(m_host.get(), &EngineHost::neighboursChanged, this, &LocalRouterClient::setNeighbours);
    connect(m_host.get(), &EngineHost::failed, this, [this](const QString& why) {
        m_link = Link::Lost;
        Q_EMIT linkChanged(m_link, why);
    });
}

LocalRouterClient::~LocalRouterClient()
{
    m_host.reset();
    m_history->flush();
    // The storage thread finishes its jobs before the recorder, which they refer to, goes.
    m_storage.reset();
}

UndoState LocalRouterClient::undoState() const
{
    return {m_undo.empty() ? QString() : m_undo.back().text, !m_undo.empty(), !m_redo.empty()};
}

void LocalRouterClient::apply(const engine::Command& command, QObject* context,
                              Reply<const CommandOutcome&> reply)
{
    // Releasing held tunnels takes the switch back: that is a change of a rule like any other, and
    // is saved as one.
    if (const auto* hold = std::get_if<engine::ResolveHold>(&command);
        hold != nullptr && hold->how == engine::ResolveHold::How::Release &&
        isHeld(hold->protocol)) {
        const auto turned =
            std::find_if(m_undo.rbegin(), m_undo.rend(), [hold](const Change& change) {
                const auto* set = std::get_if<engine::SetPassthrough>(&change.after);
                return set != nullptr && set->protocol == hold->protocol;
            });
        if (turned != m_undo.rend()) {
            perform(engine::Command{turned->before}, Undo::Remember, context, std::move(reply));
            return;
        }
    }
    perform(command, Undo::Remember, context, std::move(reply));
}

void LocalRouterClient::undo(QObject* context, Reply<const CommandOutcome&> reply)
{
    if (m_undo.empty()) {
        guarded(context,
                std::move(reply))({.sentence = QStringLiteral("There is nothing to undo.")});
        return;
    }
    perform(sparing(m_undo.back().before), Undo::Undoing, context, std::move(reply));
}

void LocalRouterClient::redo(QObject* context, Reply<const CommandOutcome&> reply)
{
    if (m_redo.empty()) {
        guarded(context,
                std::move(reply))({.sentence = QStringLiteral("There is nothing to redo.")});
        return;
    }
    perform(sparing(m_redo.back().after), Undo::Redoing, context, std::move(reply));
}

bool LocalRouterClient::isHeld(engine::net::VpnProtocol protocol) const
{
    return m_snapshot && m_snapshot->protocols[static_cast<std::size_t>(protocol)].heldTunnels > 0;
}

void LocalRouterClient::perform(const engine::Command& command, Undo undo, QObject* context,
                                Reply<const CommandOutcome&> reply)
{
    if (!m_host) {
        guarded(context, std::move(reply))({.saved = false, .sentence = hasEnded()});
        return;
    }
    ++m_pending;
    m_host->apply(command, [this, command, undo, live = m_snapshot, before = m_rules,
                            reply = guarded(context, std::move(reply))](
                               const engine::Result<void, engine::CommandError>& result,
                               std::uint32_t concerned) {
        QString effect;
        if (live) effect = qt(services::liveEffect(*before, *live, command, concerned));
        if (!result) {
            --m_pending;
            reply({.refused = result.error(), .sentence = qt(sentenceOf(result.error()))});
            return;
        }
        applied(command, undo, effect, reply);
    });
}

void LocalRouterClient::applied(const engine::Command& command, Undo undo, const QString& effect,
                                const Reply<const CommandOutcome&>& reply)
{
    QString sentence = qt(describe(command)) + QLatin1Char('.');
    if (!effect.isEmpty()) sentence += QLatin1Char(' ') + effect;
    if (!isRule(command)) {
        --m_pending;
        reply({.sentence = sentence, .effect = effect});
        return;
    }
    remember(command, undo);
    Rules rules = *m_rules;
    record(rules, command);
    announceRules(std::move(rules));
    save([rules = m_rules,
          command](storage::RulesStore& store) { return store.save(*rules, command); },
         sentence,
         [effect, reply](CommandOutcome outcome) {
             outcome.effect = effect;
             reply(outcome);
         });
}

void LocalRouterClient::save(
    std::function<engine::Result<void, storage::StorageError>(storage::RulesStore&)> work,
    const QString& sentence, const Reply<const CommandOutcome&>& reply)
{
    m_storage->post([this, work = std::move(work), sentence,
                     reply](storage::RulesStore& store) -> storage::StorageThread::Continuation {
        const auto saved = work(store);
        const QString why = saved ? QString() : QString::fromStdString(saved.error().sentence);
        return [this, sentence, reply, why] {
            --m_pending;
            if (why.isEmpty()) {
                reply({.sentence = sentence});
            } else {
                reply({.saved = false,
                       .sentence =
                           sentence + QStringLiteral(" It is in force but not saved: ") + why});
            }
        };
    });
}

void LocalRouterClient::remember(const engine::Command& command, Undo undo)
{
    const auto before = restoring(*m_rules, command);
    if (!before) return;
    switch (undo) {
    case Undo::Remember:
        m_undo.push_back({*before, command, qt(describe(command))});
        if (m_undo.size() > kMostUndo) m_undo.erase(m_undo.begin());
        m_redo.clear();
        break;
    case Undo::Undoing:
        // Two requests may have been under way; the second finds the stack as the first left it.
        if (!m_undo.empty()) {
            m_redo.push_back(std::move(m_undo.back()));
            m_undo.pop_back();
        }
        break;
    case Undo::Redoing:
        if (!m_redo.empty()) {
            m_undo.push_back(std::move(m_redo.back()));
            m_redo.pop_back();
        }
        break;
    }
    Q_EMIT undoChanged(undoState());
}

void LocalRouterClient::announceRules(Rules rules)
{
    ++rules.revision;
    m_rules = std::make_shared<const Rules>(std::move(rules));
    Q_EMIT rulesChanged(m_rules);
}

void LocalRouterClient::renameDevice(engine::net::Ipv4Address device, const QString& name,
                                     QObject* context, Reply<const CommandOutcome&> reply)
{
    const auto answer = guarded(context, std::move(reply));
    for (const Neighbour& neighbour : m_neighbours) {
        if (neighbour.address != device) continue;
        Rules rules = *m_rules;
        if (name.isEmpty()) {
            rules.deviceNames.erase(neighbour.mac);
        } else {
            rules.deviceNames[neighbour.mac] = name.toStdString();
        }
        announceRules(std::move(rules));
        setNeighbours(std::vector<Neighbour>(m_neighbours));
        ++m_pending;
        save([mac = neighbour.mac, text = name.toStdString()](
                 storage::RulesStore& store) { return store.saveDeviceName(mac, text); },
             QStringLiteral("The device is called %1.").arg(name), answer);
        return;
    }
    answer({.saved = false,
            .sentence =
                QStringLiteral("The device is not there, so its hardware address is not known.")});
}

void LocalRouterClient::changeSettings(const Settings& settings, QObject* context,
                                       Reply<const CommandOutcome&> reply)
{
    Rules rules = *m_rules;
    rules.settings = settings;
    announceRules(std::move(rules));
    m_history->setRetention(settings.retentionDays, settings.retentionMegabytes);
    ++m_pending;
    save([settings](storage::RulesStore& store) { return store.saveSettings(settings); },
         QStringLiteral("Settings changed."), guarded(context, std::move(reply)));
}

void LocalRouterClient::setNeighbours(const std::vector<Neighbour>& neighbours)
{
    m_neighbours = neighbours;
    m_devices.clear();
    for (const Neighbour& neighbour : m_neighbours) {
        const auto named = m_rules->deviceNames.find(neighbour.mac);
        m_devices.push_back(
            {neighbour.address, neighbour.mac,
             qt(named == m_rules->deviceNames.end() ? neighbour.name : named->second)});
    }
    Q_EMIT devicesChanged(m_devices);
}

void LocalRouterClient::sessionsEndedBy(const engine::Command& command, QObject* context,
                                        Reply<std::uint32_t> reply)
{
    const auto answer = guarded(context, std::move(reply));
    if (m_host) {
        m_host->sessionsEndedBy(command, answer);
    } else {
        answer(0);
    }
}

void LocalRouterClient::heldOnHost(
    QObject* context, Reply<const std::vector<engine::io::HeldSetting>&, const QString&> reply)
{
    const auto answer = guarded(context, std::move(reply));
    if (m_host) {
        m_host->held([answer](const auto& held) { answer(held, QString()); });
    } else {
        answer({}, hasEnded());
    }
}

/// The engine's thread is waited for, as at the end of the program.
void LocalRouterClient::restoreHost(QObject* context, Reply<const CommandOutcome&> reply)
{
    QMetaObject::invokeMethod(
        this,
        [this, answer = guarded(context, std::move(reply))] {
            m_host.reset();
            m_link = Link::Ended;
            QStringList stays;
            for (const auto& setting : engine::io::leftOnHost({})) {
                stays += qt(setting.interface + ": " + setting.detail);
            }
            const QString sentence = stays.isEmpty()
                                         ? QStringLiteral(
                                               "Sharing has ended, and this computer is as it was "
                                               "before.")
                                         : QStringLiteral("Sharing has ended, but this stays: %1.")
                                               .arg(stays.join(QStringLiteral(", ")));
            answer({.saved = stays.isEmpty(), .sentence = sentence});
            Q_EMIT linkChanged(m_link, sentence);
        },
        Qt::QueuedConnection);
}

void LocalRouterClient::sessions(const engine::SessionQuery& query, QObject* context,
                                 SessionsReply reply)
{
    if (!m_host) {
        guarded(context, std::move(reply))({}, engine::Instant{});
        return;
    }
    m_host->sessions(query,
                     [alive = QPointer<QObject>(context), reply = std::move(reply)](
                         const std::vector<engine::SessionRecord>& sessions, engine::Instant at) {
                         if (alive) reply(sessions, at);
                     });
}

void LocalRouterClient::refresh(QObject* context, Reply<> reply)
{
    if (m_host) {
        m_host->refresh(guarded(context, std::move(reply)));
    } else {
        guarded(context, std::move(reply))();
    }
}

template <typename Rows, typename Ask, typename Answer>
void LocalRouterClient::ask(const Ask& work, QObject* context, Answer reply)
{
    // What has just happened belongs to the answer.
    m_history->flush();
    const auto answer = guarded(context, std::move(reply));
    const bool taken = m_storage->post(
        [work, answer](storage::HistoryStore& store) -> storage::StorageThread::Continuation {
            auto rows = work(store);
            if (!rows) {
                return [answer, why = QString::fromStdString(rows.error().sentence)] {
                    answer(Rows{}, why);
                };
            }
            return [answer, rows = std::make_shared<const Rows>(std::move(*rows))] {
                answer(*rows, QString());
            };
        });
    if (!taken) answer(Rows{}, QStringLiteral("The disk does not keep up; try again."));
}

void LocalRouterClient::historyTunnels(
    const storage::HistoryQuery& query, QObject* context,
    Reply<const std::vector<storage::HistoricTunnel>&, const QString&> reply)
{
    ask<std::vector<storage::HistoricTunnel>>(
        [query](storage::HistoryStore& store) { return store.tunnels(query); }, context,
        std::move(reply));
}

void LocalRouterClient::historySessions(
    const storage::HistoryQuery& query, QObject* context,
    Reply<const std::vector<storage::HistoricSession>&, const QString&> reply)
{
    ask<std::vector<storage::HistoricSession>>(
        [query](storage::HistoryStore& store) { return store.sessions(query); }, context,
        std::move(reply));
}

void LocalRouterClient::historyMinutes(
    const storage::HistoryQuery& query, QObject* context,
    Reply<const std::vector<storage::MinuteCounters>&, const QString&> reply)
{
    ask<std::vector<storage::MinuteCounters>>(
        [query](storage::HistoryStore& store) { return store.minutes(query); }, context,
        std::move(reply));
}

}  // namespace app
