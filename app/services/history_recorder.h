#pragma once

#include "app/storage/storage_thread.h"
#include "app/wall_clock.h"
#include "engine/event.h"
#include "engine/snapshot.h"

#include <QObject>
#include <QTimer>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <vector>

namespace app::services {

/// Remembers what happens: tunnels as they change, sessions as they end, counters per minute.
/// Writes in batches, once a second; forgets by age and size every few minutes. A batch that the
/// disk has no time for is counted and dropped; a disk that refuses is reported once until it works
/// again.
class HistoryRecorder final : public QObject {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(HistoryRecorder)

public:
    explicit HistoryRecorder(storage::StorageThread& storage, QObject* parent = nullptr);

    void see(const engine::Snapshot& snapshot);
    void see(const std::vector<engine::Event>& events);
    void setRetention(std::uint32_t days, std::uint32_t megabytes);
    /// Hands over everything that is not written yet.
    void flush();
    [[nodiscard]] std::uint64_t sessionsLost() const { return m_sessionsLost; }

Q_SIGNALS:
    void problemArose(const QString& sentence);

private:
    void closeMinute(const engine::Snapshot& snapshot, std::int64_t minute);
    void prune();
    storage::StorageThread::Continuation report(
        const engine::Result<void, storage::StorageError>& result);

    storage::StorageThread& m_storage;
    WallClock m_clock;
    std::map<std::uint64_t, engine::tunnel::Tunnel> m_tunnels;  ///< changed since the last batch
    std::vector<engine::SessionRecord> m_sessions;
    std::uint64_t m_sessionsLost = 0;
    std::vector<engine::Event> m_early;         ///< before the first snapshot
    std::optional<engine::Counters> m_counted;  ///< as the last closed minute left them
    std::int64_t m_minute = 0;
    std::uint32_t m_days = 30;
    std::uint32_t m_megabytes = 1024;
    bool m_complained = false;
    QTimer m_flushTimer;
    QTimer m_pruneTimer;
};

}  // namespace app::services
