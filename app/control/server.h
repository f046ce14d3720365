#pragma once

#include "app/control/frame.h"
#include "app/control/verbs.h"
#include "app/local_router_client.h"

#include <QLocalServer>
#include <QLocalSocket>
#include <QObject>
#include <QString>
#include <QTimer>

#include <functional>
#include <map>
#include <memory>

namespace app::control {

/// What `status` says besides the snapshot.
struct RouterDescription {
    QString program;  ///< "underpassd", "underpass"
    QString internalInterface;
    QString externalInterface;
    bool lab = false;
};

/// The control socket of a router. Peers are root, the user this process runs as, and members of
/// the socket's group if it has one; anybody else is told so and cut off. A peer that sends what is
/// no frame, leaves one unfinished, or does not read what it asked for is cut off too; none can
/// make the router wait.
class Server final : public QObject {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(Server)

public:
    Server(LocalRouterClient& router, RouterDescription description, QObject* parent = nullptr);
    ~Server() override;

    /// The sentence says what is in the way.
    engine::Result<void, QString> listen(const QString& path,
                                         std::optional<std::uint32_t> group = std::nullopt);

    /// Ours: octets a peer may leave unread before it is cut off.
    static constexpr qint64 kMostUnread = 8 * 1024 * 1024;
    /// Ours: snapshots are skipped for a peer that has more than this unread.
    static constexpr qint64 kSkipSnapshots = 512 * 1024;
    static constexpr int kMostPeers = 64;

private:
    struct Peer {
        QLocalSocket* socket = nullptr;
        FrameReader reader{kMostRequest};
        Permission granted = Permission::Undecided;
        bool watches = false;
        QTimer unfinished;  ///< runs while a message is incomplete
    };
    using Answer = std::function<void(const QJsonObject&)>;

    void accept();
    void read(Peer& peer);
    void handle(Peer& peer, const QJsonObject& request);
    void perform(Verb verb, const QJsonObject& arguments, Peer& peer, const Answer& answer);
    void apply(const QJsonObject& arguments, Permission granted, const Answer& answer);
    void send(Peer& peer, const QJsonObject& message);
    void broadcast(const std::function<QJsonObject()>& message, bool skippable);
    void cutOff(QLocalSocket* socket);
    [[nodiscard]] QJsonObject status() const;

    LocalRouterClient& m_router;
    RouterDescription m_description;
    QLocalServer m_server;
    std::optional<std::uint32_t> m_group;
    std::map<QLocalSocket*, std::unique_ptr<Peer>> m_peers;
};

/// The outcome as the answer of a verb.
[[nodiscard]] QJsonObject toJson(const CommandOutcome& outcome);

}  // namespace app::control
