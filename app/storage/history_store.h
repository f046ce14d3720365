#pragma once

#include "app/storage/database.h"
#include "engine/net/vpn_protocol.h"
#include "engine/snapshot.h"
#include "engine/tunnel/tunnel.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace app::storage {

/// Which part of history is wanted; unset fields match everything. Instants count from 1970.
struct HistoryQuery {
    engine::Instant from;
    engine::Instant to;  ///< zero: now
    std::string text;    ///< part of an address, a name, a protocol; case does not matter
    std::optional<engine::net::Ipv4Address> device;
    std::optional<engine::net::VpnProtocol> protocol;  ///< tunnels only
    std::uint32_t limit = 1000;
    std::uint32_t offset = 0;
    bool timelines = true;  ///< tunnels only
};

/// A tunnel as history keeps it: its instants count from 1970. Serials begin anew with each run of
/// the router; `id` never does.
struct HistoricTunnel {
    std::int64_t id = 0;
    std::int64_t run = 0;
    engine::tunnel::Tunnel tunnel;
};

struct HistoricSession {
    std::int64_t id = 0;
    std::int64_t run = 0;
    engine::SessionRecord session;  ///< instants count from 1970
};

/// What one minute added.
struct MinuteCounters {
    std::int64_t minute = 0;  ///< since 1970
    engine::DirectionTotals outbound;
    engine::DirectionTotals inbound;
    std::uint32_t sessions = 0;  ///< at the end of the minute
    std::uint32_t tunnels = 0;
    std::vector<std::pair<engine::DropReason, std::uint64_t>> drops;
};

/// history.db: what has happened. Newest first in every answer.
class HistoryStore {
public:
    /// Empty `directory`: nothing is kept beyond this process.
    static HistoryStore openIn(const std::string& directory);
    [[nodiscard]] const std::string& message() const { return m_opened.message; }

    /// A new life of the router begins; tunnels that a former one left open end where they were
    /// last seen.
    engine::Result<void, StorageError> beginRun(engine::Instant wallNow);

    /// All of it in one transaction. Tunnels replace what is known about the same serial.
    engine::Result<void, StorageError> write(const std::vector<engine::tunnel::Tunnel>& tunnels,
                                             const std::vector<engine::SessionRecord>& sessions,
                                             engine::Instant wallNow);
    engine::Result<void, StorageError> writeMinute(const MinuteCounters& minute);

    [[nodiscard]] engine::Result<std::vector<HistoricTunnel>, StorageError> tunnels(
        const HistoryQuery& query);
    [[nodiscard]] engine::Result<std::vector<HistoricSession>, StorageError> sessions(
        const HistoryQuery& query);
    [[nodiscard]] engine::Result<std::vector<MinuteCounters>, StorageError> minutes(
        const HistoryQuery& query);

    /// Removes what is older than `days`, then the oldest of what remains until the database is
    /// within `megabytes`. Bounded work per call; true when there is more to do.
    engine::Result<bool, StorageError> prune(engine::Instant wallNow, std::uint32_t days,
                                             std::uint32_t megabytes);

private:
    explicit HistoryStore(OpenedDatabase opened) : m_opened(std::move(opened)) {}
    engine::Result<void, StorageError> writeTunnel(const engine::tunnel::Tunnel& tunnel,
                                                   engine::Instant wallNow);
    engine::Result<void, StorageError> writeSession(const engine::SessionRecord& session);
    [[nodiscard]] engine::Result<std::uint64_t, StorageError> octetsInUse();

    OpenedDatabase m_opened;
    std::int64_t m_run = 0;
};

}  // namespace app::storage
