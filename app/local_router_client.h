#pragma once

#include "app/engine_host.h"
#include "app/router_client.h"
#include "app/services/history_recorder.h"
#include "app/storage/storage_thread.h"

#include <memory>

namespace app {

/// The router in this very process: an engine thread, a storage thread and the rules between them.
/// A rule is applied first (the engine is the judge of it), then saved, then confirmed.
class LocalRouterClient final : public RouterClient {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(LocalRouterClient)

public:
    /// `rules` are those the backend's engine was made with.
    LocalRouterClient(std::unique_ptr<Backend> backend, Rules rules, storage::RulesStore rulesStore,
                      storage::HistoryStore historyStore, QObject* parent = nullptr);
    /// Ends the engine first, then writes what history still lacks.
    ~LocalRouterClient() override;

    [[nodiscard]] const Rules& rules() const { return *m_rules; }
    [[nodiscard]] const engine::Snapshot* snapshot() const { return m_snapshot.get(); }
    /// snapshot() is of this very moment when the reply comes.
    void refresh(QObject* context, Reply<> reply);
    [[nodiscard]] const std::vector<DeviceIdentity>& devices() const { return m_devices; }
    [[nodiscard]] UndoState undoState() const;
    /// True while a rule has been applied but not confirmed.
    [[nodiscard]] bool isBusy() const { return m_pending > 0; }

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
    struct Change {
        engine::Command before;
        engine::Command after;
        QString text;
    };
    enum class Undo : std::uint8_t { Remember, Undoing, Redoing };

    [[nodiscard]] bool isHeld(engine::net::VpnProtocol protocol) const;
    void perform(const engine::Command& command, Undo undo, QObject* context,
                 Reply<const CommandOutcome&> reply);
    void applied(const engine::Command& command, Undo undo, const QString& effect,
                 const Reply<const CommandOutcome&>& reply);
    void save(std::function<engine::Result<void, storage::StorageError>(storage::RulesStore&)> work,
              const QString& sentence, const Reply<const CommandOutcome&>& reply);
    void remember(const engine::Command& command, Undo undo);
    void setNeighbours(const std::vector<Neighbour>& neighbours);
    void announceRules(Rules rules);
    template <typename Rows, typename Ask, typename Answer>
    void ask(const Ask& work, QObject* context, Answer reply);

    Link m_link = Link::Up;
    std::shared_ptr<const Rules> m_rules;
    std::shared_ptr<const engine::Snapshot> m_snapshot;
    std::vector<Neighbour> m_neighbours;
    std::vector<DeviceIdentity> m_devices;
    std::vector<Change> m_undo;
    std::vector<Change> m_redo;
    int m_pending = 0;
    std::unique_ptr<storage::StorageThread> m_storage;
    std::unique_ptr<services::HistoryRecorder> m_history;
    std::unique_ptr<EngineHost> m_host;  ///< null when the link has Ended
};

}  // namespace app
