#include "app/remote_router_client.h"

#include "app/control/connection.h"
#include "app/control/json.h"
#include "app/qt_text.h"

#include <QJsonArray>
#include <QPointer>

#include <algorithm>
#include <chrono>
#include <utility>

namespace app {

using namespace std::chrono_literals;
using control::fromJson;

namespace {

/// Ours: how long a router may take to accept us.
constexpr auto kConnectWithin = 3s;

/// Rows that cannot be read are left out: a newer router may know more.
template <typename Row>
std::vector<Row> rowsOf(const QJsonValue& json)
{
    std::vector<Row> rows;
    for (const QJsonValue& item : json.toArray()) {
        if (auto row = fromJson<Row>(item)) rows.push_back(std::move(*row));
    }
    return rows;
}

}  // namespace

RemoteRouterClient::RemoteRouterClient(const QString& path, QObject* parent) : RouterClient(parent)
{
    connect(&m_socket, &QLocalSocket::connected, this, &RemoteRouterClient::connected);
    connect(&m_socket, &QLocalSocket::readyRead, this, &RemoteRouterClient::read);
    connect(&m_socket, &QLocalSocket::disconnected, this,
            [this] { lose(Link::Lost, tr("The connection to the router service has ended.")); });
    connect(&m_socket, &QLocalSocket::errorOccurred, this,
            [this](QLocalSocket::LocalSocketError error) {
                const bool denied = error == QLocalSocket::SocketAccessError;
                lose(m_link != Link::Connecting ? Link::Lost
                     : denied                   ? Link::Denied
                                                : Link::Refused,
                     tr("The router service does not answer: %1.").arg(m_socket.errorString()));
            });
    m_patience.setSingleShot(true);
    connect(&m_patience, &QTimer::timeout, this,
            [this] { lose(Link::Refused, tr("The router service does not answer.")); });
    m_patience.start(kConnectWithin);
    // Queued: nobody could have connected to our signals before.
    QMetaObject::invokeMethod(
        this, [this, path] { m_socket.connectToServer(path); }, Qt::QueuedConnection);
}

void RemoteRouterClient::connected()
{
    if (!control::isTrustedServer(m_socket)) {
        lose(Link::Refused, tr("Whoever listens there is neither root nor you."));
        return;
    }
    request(QStringLiteral("watch"), {}, [this](const QJsonObject& first) { takeFirst(first); });
}

void RemoteRouterClient::lose(Link link, const QString& text)
{
    if (m_link != Link::Connecting && m_link != Link::Up) return;
    m_patience.stop();
    m_link = m_lastWords.isEmpty() ? link : Link::Ended;
    for (auto& [id, answer] : std::exchange(m_waiting, {})) {
        answer({{QStringLiteral("error"), QStringLiteral("lost")},
                {QStringLiteral("sentence"), text}});
    }
    m_socket.abort();
    Q_EMIT linkChanged(m_link, m_lastWords.isEmpty() ? text : m_lastWords);
}

void RemoteRouterClient::read()
{
    m_reader.append(m_socket.readAll());
    while (true) {
        const auto message = m_reader.next();
        if (!message) {
            lose(Link::Lost, tr("The router service speaks something else."));
            return;
        }
        if (!*message) return;
        take(**message);
    }
}

void RemoteRouterClient::take(const QJsonObject& message)
{
    if (const QString kind = message.value(QStringLiteral("push")).toString(); !kind.isEmpty()) {
        takePush(kind, message.value(QStringLiteral("value")));
        return;
    }
    const auto waiting = m_waiting.find(message.value(QStringLiteral("id")).toInteger());
    if (waiting == m_waiting.end()) {
        if (message.contains(QStringLiteral("error"))) {
            lose(Link::Refused, message.value(QStringLiteral("sentence")).toString());
        }
        return;
    }
    const Answer answer = std::move(waiting->second);
    m_waiting.erase(waiting);
    answer(message);
}

void RemoteRouterClient::takeFirst(const QJsonObject& first)
{
    const QJsonObject status = first.value(QStringLiteral("status")).toObject();
    if (status.value(QStringLiteral("protocol")).toInt() != control::kProtocolVersion) {
        lose(Link::Refused, tr("The router service is of another version."));
        return;
    }
    m_patience.stop();
    m_description = {status.value(QStringLiteral("program")).toString(),
                     status.value(QStringLiteral("version")).toString(),
                     status.value(QStringLiteral("internalInterface")).toString(),
                     status.value(QStringLiteral("externalInterface")).toString(),
                     status.value(QStringLiteral("lab")).toBool()};
    m_link = Link::Up;
    Q_EMIT linkChanged(m_link, QString());
    takePush(QStringLiteral("rules"), first.value(QStringLiteral("rules")));
    takePush(QStringLiteral("undo"), first.value(QStringLiteral("undo")));
    takePush(QStringLiteral("devices"), first.value(QStringLiteral("devices")));
    if (const auto whole = fromJson<engine::Snapshot>(first.value(QStringLiteral("snapshot")))) {
        for (const auto& tunnel : whole->tunnels) {
            m_timelines[tunnel.serial] = {tunnel.timeline, tunnel.findings};
        }
        takePush(QStringLiteral("snapshot"), first.value(QStringLiteral("snapshot")));
    }
}

void RemoteRouterClient::takePush(const QString& kind, const QJsonValue& value)
{
    if (kind == QLatin1String("snapshot")) {
        takeSnapshot(value);
    } else if (kind == QLatin1String("events")) {
        auto events = std::make_shared<std::vector<engine::Event>>(rowsOf<engine::Event>(value));
        for (const auto& event : *events) {
            if (const auto* changed = std::get_if<engine::TunnelChanged>(&event)) {
                m_timelines[changed->tunnel.serial] = {changed->tunnel.timeline,
                                                       changed->tunnel.findings};
            } else if (const auto* ended = std::get_if<engine::TunnelEnded>(&event)) {
                m_timelines[ended->tunnel.serial] = {ended->tunnel.timeline,
                                                     ended->tunnel.findings};
            }
        }
        Q_EMIT eventsArrived(std::move(events));
    } else if (kind == QLatin1String("rules")) {
        if (auto rules = fromJson<Rules>(value)) {
            Q_EMIT rulesChanged(std::make_shared<const Rules>(std::move(*rules)));
        }
    } else if (kind == QLatin1String("undo")) {
        if (const auto state = fromJson<UndoState>(value)) Q_EMIT undoChanged(*state);
    } else if (kind == QLatin1String("devices")) {
        Q_EMIT devicesChanged(rowsOf<DeviceIdentity>(value));
    } else if (kind == QLatin1String("problem")) {
        Q_EMIT problemArose(value.toString());
    }
}

void RemoteRouterClient::takeSnapshot(const QJsonValue& value)
{
    auto parsed = fromJson<engine::Snapshot>(value);
    if (!parsed) return;
    auto snapshot = std::make_shared<engine::Snapshot>(std::move(*parsed));
    for (auto& tunnel : snapshot->tunnels) {
        const auto known = m_timelines.find(tunnel.serial);
        if (known == m_timelines.end()) continue;
        tunnel.timeline = known->second.events;
        tunnel.findings = known->second.findings;
    }
    // Tunnels that the router has forgotten are forgotten here too.
    std::erase_if(m_timelines, [&](const auto& entry) {
        return std::ranges::none_of(
            snapshot->tunnels, [&](const auto& tunnel) { return tunnel.serial == entry.first; });
    });
    Q_EMIT snapshotArrived(std::move(snapshot));
}

void RemoteRouterClient::request(const QString& verb, const QJsonObject& arguments, Answer answer)
{
    if (m_socket.state() != QLocalSocket::ConnectedState) {
        answer({{QStringLiteral("error"), QStringLiteral("lost")},
                {QStringLiteral("sentence"), tr("The router service is not there.")}});
        return;
    }
    const qint64 id = m_nextId++;
    m_waiting.emplace(id, std::move(answer));
    m_socket.write(control::framed({{QStringLiteral("id"), id},
                                    {QStringLiteral("verb"), verb},
                                    {QStringLiteral("arguments"), arguments}}));
}

void RemoteRouterClient::outcome(const QString& verb, const QJsonObject& arguments,
                                 QObject* context, Reply<const CommandOutcome&> reply)
{
    request(
        verb, arguments,
        [alive = QPointer<QObject>(context), reply = std::move(reply)](const QJsonObject& answer) {
            if (!alive || !reply) return;
            CommandOutcome told;
            told.sentence = answer.value(QStringLiteral("sentence")).toString();
            told.effect = answer.value(QStringLiteral("effect")).toString();
            told.saved = answer.value(QStringLiteral("saved")).toBool();
            const QString word = answer.value(QStringLiteral("error")).toString();
            for (int i = 0;
                 !word.isEmpty() && i <= static_cast<int>(engine::CommandError::NoSelfTest); ++i) {
                const auto error = static_cast<engine::CommandError>(i);
                if (qt(engine::nameOf(error)) == word) told.refused = error;
            }
            reply(told);
        });
}

void RemoteRouterClient::apply(const engine::Command& command, QObject* context,
                               Reply<const CommandOutcome&> reply)
{
    outcome(QStringLiteral("apply"), control::toJson(command), context, std::move(reply));
}

void RemoteRouterClient::undo(QObject* context, Reply<const CommandOutcome&> reply)
{
    outcome(QStringLiteral("undo"), {}, context, std::move(reply));
}

void RemoteRouterClient::redo(QObject* context, Reply<const CommandOutcome&> reply)
{
    outcome(QStringLiteral("redo"), {}, context, std::move(reply));
}

void RemoteRouterClient::renameDevice(engine::net::Ipv4Address device, const QString& name,
                                      QObject* context, Reply<const CommandOutcome&> reply)
{
    outcome(QStringLiteral("rename-device"),
            {{QStringLiteral("device"), qt(device.toString())}, {QStringLiteral("name"), name}},
            context, std::move(reply));
}

void RemoteRouterClient::changeSettings(const Settings& settings, QObject* context,
                                        Reply<const CommandOutcome&> reply)
{
    outcome(QStringLiteral("change-settings"), control::toJson(settings), context,
            std::move(reply));
}

void RemoteRouterClient::sessionsEndedBy(const engine::Command& command, QObject* context,
                                         Reply<std::uint32_t> reply)
{
    request(
        QStringLiteral("sessions-ended-by"), control::toJson(command),
        [alive = QPointer<QObject>(context), reply = std::move(reply)](const QJsonObject& answer) {
            if (!alive) return;
            reply(static_cast<std::uint32_t>(answer.value(QStringLiteral("sessions")).toInteger()));
        });
}

void RemoteRouterClient::heldOnHost(
    QObject* context, Reply<const std::vector<engine::io::HeldSetting>&, const QString&> reply)
{
    rows<engine::io::HeldSetting>(QStringLiteral("host"), {}, context, std::move(reply));
}

void RemoteRouterClient::restoreHost(QObject* context, Reply<const CommandOutcome&> reply)
{
    outcome(QStringLiteral("restore-host"), {}, this,
            [this, alive = QPointer<QObject>(context),
             reply = std::move(reply)](const CommandOutcome& told) {
                if (alive && reply) reply(told);
                // What is heard next is that nobody is there any more.
                if (told.saved) m_lastWords = told.sentence;
            });
}

void RemoteRouterClient::sessions(const engine::SessionQuery& query, QObject* context,
                                  SessionsReply reply)
{
    request(
        QStringLiteral("sessions"), control::toJson(query),
        [alive = QPointer<QObject>(context), reply = std::move(reply)](const QJsonObject& answer) {
            if (!alive) return;
            const auto at =
                std::chrono::microseconds(answer.value(QStringLiteral("at")).toInteger());
            reply(rowsOf<engine::SessionRecord>(answer.value(QStringLiteral("rows"))),
                  engine::Instant{at});
        });
}

template <typename Row>
void RemoteRouterClient::rows(const QString& verb, const QJsonObject& arguments, QObject* context,
                              Reply<const std::vector<Row>&, const QString&> reply)
{
    request(
        verb, arguments,
        [alive = QPointer<QObject>(context), reply = std::move(reply)](const QJsonObject& answer) {
            if (!alive) return;
            reply(rowsOf<Row>(answer.value(QStringLiteral("rows"))),
                  answer.contains(QStringLiteral("error"))
                      ? answer.value(QStringLiteral("sentence")).toString()
                      : QString());
        });
}

void RemoteRouterClient::historyTunnels(
    const storage::HistoryQuery& query, QObject* context,
    Reply<const std::vector<storage::HistoricTunnel>&, const QString&> reply)
{
    rows<storage::HistoricTunnel>(QStringLiteral("history-tunnels"), control::toJson(query),
                                  context, std::move(reply));
}

void RemoteRouterClient::historySessions(
    const storage::HistoryQuery& query, QObject* context,
    Reply<const std::vector<storage::HistoricSession>&, const QString&> reply)
{
    rows<storage::HistoricSession>(QStringLiteral("history-sessions"), control::toJson(query),
                                   context, std::move(reply));
}

void RemoteRouterClient::historyMinutes(
    const storage::HistoryQuery& query, QObject* context,
    Reply<const std::vector<storage::MinuteCounters>&, const QString&> reply)
{
    rows<storage::MinuteCounters>(QStringLiteral("history-minutes"), control::toJson(query),
                                  context, std::move(reply));
}

}  // namespace app
