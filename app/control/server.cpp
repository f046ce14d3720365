#include "app/control/server.h"

#include "app/control/json.h"
#include "app/control/socket_path.h"
#include "app/qt_text.h"
#include "app/services/live_effect.h"
#include "app/wall_clock.h"
#include "app/words.h"

#include <QCoreApplication>
#include <QPointer>

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

#include <unistd.h>

namespace app::control {

using namespace std::chrono_literals;
using engine::Err;
using engine::Result;

namespace {

/// Ours: how long a message may take from its first to its last octet.
constexpr auto kUnfinishedFor = 10s;

QJsonObject failure(std::string_view error, const QString& sentence)
{
    return {{QStringLiteral("error"), qt(error)}, {QStringLiteral("sentence"), sentence}};
}

/// Root, whoever owns the router and members of its group may do everything; nobody else may do
/// anything.
Permission grantedTo(const std::optional<PeerIdentity>& peer, std::optional<std::uint32_t> group)
{
    if (!peer) return Permission::Undecided;
    const bool owner = peer->user == 0 || peer->user == ::geteuid();
    const bool member = group && std::ranges::find(peer->groups, *group) != peer->groups.end();
    return owner || member ? Permission::Admin : Permission::Undecided;
}

template <typename Row>
QJsonArray arrayOf(const std::vector<Row>& rows)
{
    QJsonArray array;
    for (const Row& row : rows) {
        array.append(toJson(row));
    }
    return array;
}

}  // namespace

QJsonObject toJson(const CommandOutcome& outcome)
{
    if (outcome.refused) return failure(nameOf(*outcome.refused), outcome.sentence);
    return {{QStringLiteral("saved"), outcome.saved},
            {QStringLiteral("sentence"), outcome.sentence},
            {QStringLiteral("effect"), outcome.effect}};
}

Server::Server(LocalRouterClient& router, RouterDescription description, QObject* parent)
    : QObject(parent), m_router(router), m_description(std::move(description))
{
    m_server.setSocketOptions(QLocalServer::UserAccessOption);
    connect(&m_server, &QLocalServer::newConnection, this, &Server::accept);
    connect(&m_router, &RouterClient::snapshotArrived, this,
            [this](const std::shared_ptr<const engine::Snapshot>& snapshot) {
                broadcast(
                    [&] {
                        const auto clock = WallClock::agreeingWith(snapshot->at);
                        return QJsonObject{{QStringLiteral("push"), QStringLiteral("snapshot")},
                                           {QStringLiteral("value"),
                                            toJson(clock.toWall(*snapshot), Detail::Summary)}};
                    },
                    true);
            });
    connect(&m_router, &RouterClient::eventsArrived, this,
            [this](const std::shared_ptr<const std::vector<engine::Event>>& events) {
                broadcast(
                    [&] {
                        QJsonArray array;
                        const engine::Snapshot* last = m_router.snapshot();
                        const auto clock =
                            last == nullptr ? WallClock{} : WallClock::agreeingWith(last->at);
                        for (const engine::Event& event : *events) {
                            array.append(toJson(clock.toWall(event)));
                        }
                        return QJsonObject{{QStringLiteral("push"), QStringLiteral("events")},
                                           {QStringLiteral("value"), array}};
                    },
                    false);
            });
    connect(&m_router, &RouterClient::rulesChanged, this,
            [this](const std::shared_ptr<const Rules>& rules) {
                broadcast(
                    [&] {
                        return QJsonObject{{QStringLiteral("push"), QStringLiteral("rules")},
                                           {QStringLiteral("value"), toJson(*rules)}};
                    },
                    false);
            });
    connect(&m_router, &RouterClient::undoChanged, this, [this](const UndoState& state) {
        broadcast(
            [&] {
                return QJsonObject{{QStringLiteral("push"), QStringLiteral("undo")},
                                   {QStringLiteral("value"), toJson(state)}};
            },
            false);
    });
    connect(&m_router, &RouterClient::devicesChanged, this,
            [this](const std::vector<DeviceIdentity>& devices) {
                broadcast(
                    [&] {
                        return QJsonObject{{QStringLiteral("push"), QStringLiteral("devices")},
                                           {QStringLiteral("value"), arrayOf(devices)}};
                    },
                    false);
            });
    connect(&m_router, &RouterClient::problemArose, this, [this](const QString& sentence) {
        broadcast(
            [&] {
                return QJsonObject{{QStringLiteral("push"), QStringLiteral("problem")},
                                   {QStringLiteral("value"), sentence}};
            },
            false);
    });
}

Server::~Server()
{
    for (const auto& [socket, peer] : m_peers) {
        socket->disconnect(this);
        delete socket;
    }
}

Result<void, QString> Server::listen(const QString& path, std::optional<std::uint32_t> group)
{
    if (auto prepared = preparePath(path); !prepared) return prepared;
    if (!m_server.listen(path)) {
        return Err{QStringLiteral("The control socket %1 cannot be made (%2).")
                       .arg(path, QString::fromLocal8Bit(std::strerror(errno)))};
    }
    m_group = group;
    if (!group) return {};
    auto opened = openToGroup(path, *group);
    if (!opened) m_server.close();
    return opened;
}

void Server::accept()
{
    while (QLocalSocket* socket = m_server.nextPendingConnection()) {
        socket->setParent(this);
        const Permission granted = grantedTo(peerOf(socket->socketDescriptor()), m_group);
        if (granted == Permission::Undecided || m_peers.size() >= kMostPeers) {
            socket->write(framed(
                failure("refused",
                        granted == Permission::Undecided
                            ? QStringLiteral(
                                  "Only root, the user the router runs as and members of its group "
                                  "may talk to it.")
                            : QStringLiteral("Too many programs talk to the router already."))));
            connect(socket, &QLocalSocket::disconnected, socket, &QObject::deleteLater);
            socket->disconnectFromServer();
            continue;
        }
        auto peer = std::make_unique<Peer>();
        peer->socket = socket;
        peer->granted = granted;
        peer->unfinished.setSingleShot(true);
        connect(&peer->unfinished, &QTimer::timeout, this, [this, socket] { cutOff(socket); });
        Peer& kept = *peer;
        m_peers.emplace(socket, std::move(peer));
        // Queued, so that a peer is never removed while its own signal is still on the stack.
        connect(
            socket, &QLocalSocket::disconnected, this, [this, socket] { cutOff(socket); },
            Qt::QueuedConnection);
        connect(socket, &QLocalSocket::readyRead, this, [this, &kept] { read(kept); });
        // One frame must fit; what does not fit waits in the kernel.
        socket->setReadBufferSize(kMostPayload + kFrameHeader);
        read(kept);
    }
}

void Server::cutOff(QLocalSocket* socket)
{
    const auto found = m_peers.find(socket);
    if (found == m_peers.end()) return;
    m_peers.erase(found);
    socket->disconnect(this);
    socket->abort();
    socket->deleteLater();
}

void Server::read(Peer& peer)
{
    QLocalSocket* socket = peer.socket;
    peer.reader.append(socket->readAll());
    while (true) {
        const auto message = peer.reader.next();
        if (!message) {
            const bool tooLong = message.error() == FrameError::TooLong;
            send(peer, failure("bad-frame",
                               tooLong ? QStringLiteral("That is more than the router takes in one "
                                                        "request: are there too many rules, or "
                                                        "names that are too long?")
                                       : QStringLiteral("That is not this protocol.")));
            socket->flush();
            QMetaObject::invokeMethod(
                this, [this, socket] { cutOff(socket); }, Qt::QueuedConnection);
            return;
        }
        if (!*message) break;
        handle(peer, **message);
        if (!m_peers.contains(socket)) return;
    }
    if (!peer.reader.isInside()) {
        peer.unfinished.stop();
    } else if (!peer.unfinished.isActive()) {
        peer.unfinished.start(kUnfinishedFor);
    }
}

void Server::handle(Peer& peer, const QJsonObject& request)
{
    const QJsonValue id = request.value(QStringLiteral("id"));
    const auto verb = verbFromWord(request.value(QStringLiteral("verb")).toString().toStdString());
    const Answer answer =
        [this, id, socket = QPointer<QLocalSocket>(peer.socket)](const QJsonObject& result) {
            const auto found = m_peers.find(socket.data());
            if (!socket || found == m_peers.end()) return;
            QJsonObject message = result;
            message.insert(QStringLiteral("id"), id);
            send(*found->second, message);
        };
    if (!verb) {
        answer(failure("unknown-verb", QStringLiteral("This router does not know that verb.")));
        return;
    }
    if (!allows(peer.granted, verb->permission)) {
        answer(failure("not-allowed", QStringLiteral("You may not do that.")));
        return;
    }
    const QJsonObject arguments = request.value(QStringLiteral("arguments")).toObject();
    if (verb->verb == Verb::Status || verb->verb == Verb::Snapshot || verb->verb == Verb::Tunnels) {
        // A script that asks after it has sent a packet must find it counted.
        m_router.refresh(this, [this, verb = verb->verb, arguments, answer,
                                socket = QPointer<QLocalSocket>(peer.socket)] {
            const auto found = m_peers.find(socket.data());
            if (socket && found != m_peers.end()) perform(verb, arguments, *found->second, answer);
        });
        return;
    }
    perform(verb->verb, arguments, peer, answer);
}

QJsonObject Server::status() const
{
    QJsonObject object{{QStringLiteral("program"), m_description.program},
                       {QStringLiteral("version"), QCoreApplication::applicationVersion()},
                       {QStringLiteral("protocol"), kProtocolVersion},
                       {QStringLiteral("internalInterface"), m_description.internalInterface},
                       {QStringLiteral("externalInterface"), m_description.externalInterface},
                       {QStringLiteral("lab"), m_description.lab},
                       {QStringLiteral("running"), m_router.link() == RouterClient::Link::Up}};
    if (const engine::Snapshot* snapshot = m_router.snapshot()) {
        engine::Snapshot brief = *snapshot;
        int live = 0;
        for (const auto& tunnel : brief.tunnels) {
            if (tunnel.ended == engine::Instant{}) ++live;
        }
        brief.tunnels.clear();
        brief.devices.clear();
        const QJsonObject whole =
            toJson(WallClock::agreeingWith(brief.at).toWall(brief), Detail::Summary);
        for (const char* name : {"at", "sessions", "sessionLimit", "mappings", "memory", "internal",
                                 "external", "synFloods"}) {
            object.insert(QLatin1String(name), whole.value(QLatin1String(name)));
        }
        const QJsonObject counters = whole.value(QStringLiteral("counters")).toObject();
        object.insert(QStringLiteral("outbound"), counters.value(QStringLiteral("outbound")));
        object.insert(QStringLiteral("inbound"), counters.value(QStringLiteral("inbound")));
        object.insert(QStringLiteral("tunnels"), live);
        object.insert(QStringLiteral("devices"), static_cast<qint64>(snapshot->devices.size()));
    }
    return object;
}

void Server::perform(Verb verb, const QJsonObject& arguments, Peer& peer, const Answer& answer)
{
    const engine::Snapshot* snapshot = m_router.snapshot();
    const WallClock clock =
        snapshot == nullptr ? WallClock{} : WallClock::agreeingWith(snapshot->at);
    const auto query = [&]<typename T>(T fallback) -> std::optional<T> {
        auto parsed =
            fromJson<T>(arguments.isEmpty() ? QJsonValue(toJson(fallback)) : QJsonValue(arguments));
        if (parsed) return *parsed;
        answer(
            failure("bad-arguments", QStringLiteral("The field %1 is wrong.").arg(parsed.error())));
        return std::nullopt;
    };
    const auto outcome = [answer](const CommandOutcome& result) {
        answer(toJson(result));
    };
    if (snapshot == nullptr && (verb == Verb::Snapshot || verb == Verb::Tunnels)) {
        answer(failure("starting", QStringLiteral("The router is still starting.")));
        return;
    }

    switch (verb) {
    case Verb::Hello:
    case Verb::Status: answer(status()); return;
    case Verb::Snapshot:
        answer({{QStringLiteral("value"), toJson(clock.toWall(*snapshot), Detail::Full)}});
        return;
    case Verb::Tunnels: {
        const qint64 serial = arguments.value(QStringLiteral("serial")).toInteger();
        QJsonArray rows;
        for (const auto& tunnel : snapshot->tunnels) {
            if (serial != 0 && tunnel.serial != static_cast<std::uint64_t>(serial)) continue;
            rows.append(toJson(clock.toWall(tunnel), serial != 0 ? Detail::Full : Detail::Summary));
        }
        answer({{QStringLiteral("rows"), rows}});
        return;
    }
    case Verb::Sessions:
        if (const auto asked = query(engine::SessionQuery{})) {
            m_router.sessions(
                *asked, this,
                [answer](const std::vector<engine::SessionRecord>& sessions, engine::Instant at) {
                    const auto then = WallClock::agreeingWith(at);
                    QJsonArray rows;
                    for (const auto& session : sessions) {
                        rows.append(toJson(then.toWall(session)));
                    }
                    answer({{QStringLiteral("rows"), rows},
                            {QStringLiteral("at"),
                             QJsonValue(qint64{then.toWall(at).nanoseconds() / 1000})}});
                });
        }
        return;
    case Verb::SessionsEndedBy: {
        const auto command = fromJson<engine::Command>(arguments);
        if (!command) {
            answer(failure("bad-arguments",
                           QStringLiteral("The field %1 is wrong.").arg(command.error())));
            return;
        }
        m_router.sessionsEndedBy(*command, this, [this, answer, command](std::uint32_t number) {
            std::string sentence;
            if (const engine::Snapshot* live = m_router.snapshot()) {
                sentence = services::liveEffect(m_router.rules(), *live, *command, number);
            }
            answer({{QStringLiteral("sessions"), static_cast<qint64>(number)},
                    {QStringLiteral("sentence"), QString::fromStdString(sentence)}});
        });
        return;
    }
    case Verb::Rules: answer({{QStringLiteral("value"), toJson(m_router.rules())}}); return;
    case Verb::Devices: answer({{QStringLiteral("rows"), arrayOf(m_router.devices())}}); return;
    case Verb::Host:
        m_router.heldOnHost(this, [answer](const auto& rows, const QString& why) {
            answer(why.isEmpty() ? QJsonObject{{QStringLiteral("rows"), arrayOf(rows)}}
                                 : failure("ended", why));
        });
        return;
    case Verb::HistoryTunnels:
        if (const auto asked = query(storage::HistoryQuery{})) {
            m_router.historyTunnels(*asked, this, [answer](const auto& rows, const QString& why) {
                answer(why.isEmpty() ? QJsonObject{{QStringLiteral("rows"), arrayOf(rows)}}
                                     : failure("storage", why));
            });
        }
        return;
    case Verb::HistorySessions:
        if (const auto asked = query(storage::HistoryQuery{})) {
            m_router.historySessions(*asked, this, [answer](const auto& rows, const QString& why) {
                answer(why.isEmpty() ? QJsonObject{{QStringLiteral("rows"), arrayOf(rows)}}
                                     : failure("storage", why));
            });
        }
        return;
    case Verb::HistoryMinutes:
        if (const auto asked = query(storage::HistoryQuery{})) {
            m_router.historyMinutes(*asked, this, [answer](const auto& rows, const QString& why) {
                answer(why.isEmpty() ? QJsonObject{{QStringLiteral("rows"), arrayOf(rows)}}
                                     : failure("storage", why));
            });
        }
        return;
    case Verb::Watch: {
        peer.watches = true;
        QJsonObject first{{QStringLiteral("rules"), toJson(m_router.rules())},
                          {QStringLiteral("undo"), toJson(m_router.undoState())},
                          {QStringLiteral("devices"), arrayOf(m_router.devices())},
                          {QStringLiteral("status"), status()}};
        if (snapshot != nullptr) {
            first.insert(QStringLiteral("snapshot"), toJson(clock.toWall(*snapshot), Detail::Full));
        }
        answer(first);
        return;
    }
    case Verb::Apply: apply(arguments, peer.granted, answer); return;
    case Verb::Undo: m_router.undo(this, outcome); return;
    case Verb::Redo: m_router.redo(this, outcome); return;
    case Verb::RenameDevice: {
        const auto device = engine::net::Ipv4Address::parse(
            arguments.value(QStringLiteral("device")).toString().toStdString());
        if (!device) {
            answer(failure("bad-arguments", QStringLiteral("The device is named by its address.")));
            return;
        }
        m_router.renameDevice(*device, arguments.value(QStringLiteral("name")).toString().left(64),
                              this, outcome);
        return;
    }
    case Verb::ChangeSettings:
        if (const auto asked = query(m_router.rules().settings)) {
            m_router.changeSettings(*asked, this, outcome);
        }
        return;
    case Verb::RestoreHost:
        m_router.restoreHost(this, [answer, socket = QPointer<QLocalSocket>(peer.socket)](
                                       const CommandOutcome& result) {
            answer(toJson(result));
            // Nobody may come back to the loop that would write it.
            if (socket) socket->flush();
        });
        return;
    }
}

void Server::apply(const QJsonObject& arguments, Permission granted, const Answer& answer)
{
    const auto parsed = fromJson<engine::Command>(arguments);
    if (!parsed) {
        answer(
            failure("bad-arguments", QStringLiteral("The field %1 is wrong.").arg(parsed.error())));
        return;
    }
    const engine::Command& command = *parsed;
    const auto word = arguments.value(QStringLiteral("command")).toString().toStdString();
    if (!allows(granted, permissionOf(word))) {
        answer(failure("not-allowed", QStringLiteral("You may not do that.")));
        return;
    }
    // Who edits a copy of the rules must have the latest one, or two editors overwrite each other.
    if (const QJsonValue revision = arguments.value(QStringLiteral("revision"));
        !revision.isUndefined() &&
        (m_router.isBusy() ||
         revision.toInteger() != static_cast<qint64>(m_router.rules().revision))) {
        answer(failure("stale", QStringLiteral("The rules have changed meanwhile; try again.")));
        return;
    }
    m_router.apply(command, this,
                   [answer](const CommandOutcome& outcome) { answer(toJson(outcome)); });
}

void Server::send(Peer& peer, const QJsonObject& message)
{
    QLocalSocket* socket = peer.socket;
    socket->write(framed(message));
    if (socket->bytesToWrite() > kMostUnread) {
        QMetaObject::invokeMethod(
            this, [this, socket] { cutOff(socket); }, Qt::QueuedConnection);
    }
}

void Server::broadcast(const std::function<QJsonObject()>& message, bool skippable)
{
    QByteArray octets;
    for (const auto& [socket, peer] : m_peers) {
        if (!peer->watches) continue;
        if (skippable && socket->bytesToWrite() > kSkipSnapshots) continue;
        if (octets.isEmpty()) octets = framed(message());
        socket->write(octets);
        if (socket->bytesToWrite() > kMostUnread) {
            QMetaObject::invokeMethod(
                this, [this, slow = socket] { cutOff(slow); }, Qt::QueuedConnection);
        }
    }
}

}  // namespace app::control
