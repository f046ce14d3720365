#include "app/services/history_recorder.h"

#include <QString>

#include <chrono>
#include <utility>

namespace app::services {

using namespace std::chrono_literals;

namespace {

/// Ours: one second of a very busy network; more means that somebody floods us.
constexpr std::size_t kMostSessionsPerBatch = 20000;
constexpr std::size_t kMostTunnelsPerBatch = 8192;

engine::Instant wallNow()
{
    return engine::Instant{std::chrono::duration_cast<engine::Duration>(
        std::chrono::system_clock::now().time_since_epoch())};
}

}  // namespace

HistoryRecorder::HistoryRecorder(storage::StorageThread& storage, QObject* parent)
    : QObject(parent), m_storage(storage)
{
    m_storage.post(
        [this](storage::HistoryStore& store) { return report(store.beginRun(wallNow())); });
    connect(&m_flushTimer, &QTimer::timeout, this, &HistoryRecorder::flush);
    connect(&m_pruneTimer, &QTimer::timeout, this, &HistoryRecorder::prune);
    m_flushTimer.start(1s);
    m_pruneTimer.start(5min);
}

void HistoryRecorder::setRetention(std::uint32_t days, std::uint32_t megabytes)
{
    m_days = days;
    m_megabytes = megabytes;
    prune();
}

void HistoryRecorder::see(const engine::Snapshot& snapshot)
{
    m_clock = WallClock::agreeingWith(snapshot.at);
    const std::int64_t minute =
        std::chrono::duration_cast<std::chrono::minutes>(wallNow().sinceEpoch()).count();
    if (!m_counted) {
        m_counted = engine::Counters{};
        m_minute = minute;
        see(std::exchange(m_early, {}));
    }
    if (minute != m_minute) {
        closeMinute(snapshot, m_minute);
        m_minute = minute;
        // Live tunnels tell how far they have come, so that a crash loses a minute at most.
        for (const auto& tunnel : snapshot.tunnels) {
            if (tunnel.ended == engine::Instant{})
                m_tunnels[tunnel.serial] = m_clock.toWall(tunnel);
        }
    }
}

void HistoryRecorder::closeMinute(const engine::Snapshot& snapshot, std::int64_t minute)
{
    const engine::Counters& before = *m_counted;
    const engine::Counters& after = snapshot.counters;
    storage::MinuteCounters row;
    row.minute = minute;
    row.outbound = {after.outbound.packets - before.outbound.packets,
                    after.outbound.bytes - before.outbound.bytes};
    row.inbound = {after.inbound.packets - before.inbound.packets,
                   after.inbound.bytes - before.inbound.bytes};
    row.sessions = snapshot.sessions;
    for (const auto& tunnel : snapshot.tunnels) {
        if (tunnel.ended == engine::Instant{}) ++row.tunnels;
    }
    for (const auto& text : engine::kDropReasons) {
        const auto index = static_cast<std::size_t>(text.reason);
        if (const auto added = after.drops[index] - before.drops[index]; added > 0) {
            row.drops.emplace_back(text.reason, added);
        }
    }
    m_counted = after;
    m_storage.post([this, row = std::move(row)](storage::HistoryStore& store) {
        return report(store.writeMinute(row));
    });
}

void HistoryRecorder::see(const std::vector<engine::Event>& events)
{
    // Before the first snapshot nobody knows what the engine's clock says.
    if (!m_counted) {
        m_early.insert(m_early.end(), events.begin(), events.end());
        return;
    }
    for (const engine::Event& event : events) {
        if (const auto* ended = std::get_if<engine::SessionEnded>(&event)) {
            if (m_sessions.size() >= kMostSessionsPerBatch) {
                ++m_sessionsLost;
            } else {
                m_sessions.push_back(m_clock.toWall(ended->session));
            }
        } else if (const auto* changed = std::get_if<engine::TunnelChanged>(&event)) {
            if (m_tunnels.size() < kMostTunnelsPerBatch) {
                m_tunnels[changed->tunnel.serial] = m_clock.toWall(changed->tunnel);
            }
        } else if (const auto* last = std::get_if<engine::TunnelEnded>(&event)) {
            m_tunnels[last->tunnel.serial] = m_clock.toWall(last->tunnel);
        }
    }
}

void HistoryRecorder::flush()
{
    if (m_tunnels.empty() && m_sessions.empty()) return;
    std::vector<engine::tunnel::Tunnel> tunnels;
    tunnels.reserve(m_tunnels.size());
    for (auto& [serial, tunnel] : std::exchange(m_tunnels, {})) {
        tunnels.push_back(std::move(tunnel));
    }
    m_storage.post([this, tunnels = std::move(tunnels),
                    sessions = std::exchange(m_sessions, {})](storage::HistoryStore& store) {
        return report(store.write(tunnels, sessions, wallNow()));
    });
}

void HistoryRecorder::prune()
{
    m_storage.post([this, days = m_days, megabytes = m_megabytes](
                       storage::HistoryStore& store) -> storage::StorageThread::Continuation {
        const auto more = store.prune(wallNow(), days, megabytes);
        if (more && *more)
            return [this] {
                prune();
            };
        return {};
    });
}

storage::StorageThread::Continuation HistoryRecorder::report(
    const engine::Result<void, storage::StorageError>& result)
{
    if (result) {
        return [this] {
            m_complained = false;
        };
    }
    if (result.error().kind == storage::StorageError::Kind::NotKept) return {};
    return [this, sentence = result.error().sentence] {
        if (!std::exchange(m_complained, true)) {
            Q_EMIT problemArose(QString::fromStdString(sentence));
        }
    };
}

}  // namespace app::services
