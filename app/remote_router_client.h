#pragma once

#include "app/control/frame.h"
#include "app/router_client.h"

#include <QLocalSocket>
#include <QTimer>

#include <map>
#include <memory>

namespace app {

/// A router that another process holds, over its control socket. Instants of live values count from
/// 1970. Timelines travel only when they change, so they are kept here and put back into snapshots.
class RemoteRouterClient final : public RouterClient {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(RemoteRouterClient)

public:
    /// What the router says about itself.
    struct Description {
        QString program;
        QString version;
        QString internalInterface;
        QString externalInterface;
        bool lab = false;
    };

    explicit RemoteRouterClient(const QString& path, QObject* parent = nullptr);

    [[nodiscard]] const Description& description() const { return m_description; }
    [[nodiscard]] Link link() const override { return m_link; }
    void apply(const engine::Command& command, QObject* context,
               Reply<const CommandOutcome&> reply) override;
    void undo(QObject* context, Reply<const CommandOutcome&> reply) override;
    void redo(QObject* context, Reply<const CommandOutcome&> reply) override;
    void renameDevice(engine::net::Ipv4Address device, const QString& name, QObject* context,
                      Reply<const CommandOutcome&> reply) override;
    void changeSettings(const Settings& settings, QObject* context,
                        Reply<const CommandOutcome&> reply) override;
    void sessionsEndedBy(const engine::Command& command, QObject* context,
                         Reply<std::uint32_t> reply) override;
    void heldOnHost(
        QObject* context,
        Reply<const std::vector<engine::io::HeldSetting>&, const QString&> reply) override;
    void restoreHost(QObject* context, Reply<const CommandOutcome&> reply) override;
    void sessions(const engine::SessionQuery& query, QObject* context,
                  SessionsReply reply) override;
    void historyTunnels(
        const storage::HistoryQuery& query, QObject* context,
        Reply<const std::vector<storage::HistoricTunnel>&, const QString&> reply) override;
    void historySessions(
        const storage::HistoryQuery& query, QObject* context,
        Reply<const std::vector<storage::HistoricSession>&, const QString&> reply) override;
    void historyMinutes(
        const storage::HistoryQuery& query, QObject* context,
        Reply<const std::vector<storage::MinuteCounters>&, const QString&> reply) override;

private:
    using Answer = std::function<void(const QJsonObject&)>;
    struct Timeline {
        std::vector<engine::tunnel::TimelineEvent> events;
        std::vector<engine::tunnel::Finding> findings;
    };

    void connected();
    void lose(Link link, const QString& text);
    void read();
    void take(const QJsonObject& message);
    void takePush(const QString& kind, const QJsonValue& value);
    void takeFirst(const QJsonObject& first);
    void takeSnapshot(const QJsonValue& value);
    void request(const QString& verb, const QJsonObject& arguments, Answer answer);
    void outcome(const QString& verb, const QJsonObject& arguments, QObject* context,
                 Reply<const CommandOutcome&> reply);
    template <typename Row>
    void rows(const QString& verb, const QJsonObject& arguments, QObject* context,
              Reply<const std::vector<Row>&, const QString&> reply);

    QLocalSocket m_socket;
    QTimer m_patience;
    control::FrameReader m_reader{control::kMostAnswer};
    std::map<qint64, Answer> m_waiting;
    std::map<std::uint64_t, Timeline> m_timelines;
    Description m_description;
    Link m_link = Link::Connecting;
    QString m_lastWords;  ///< of a router that ends because we asked it to
    qint64 m_nextId = 1;
};

}  // namespace app
