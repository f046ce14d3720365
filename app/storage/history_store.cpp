#include "app/storage/history_store.h"

#include "app/words.h"

#include <limits>

namespace app::storage {

using engine::Err;
using engine::Instant;
using engine::Result;
using engine::net::Ipv4Address;
using engine::net::Port;
using Done = Result<void, StorageError>;

namespace {

/// Ours: rows removed by one prune(), so that it never holds the database for long.
constexpr std::int64_t kPruneStep = 5000;

std::int64_t number(Ipv4Address address)
{
    return address.hostOrder();
}
std::int64_t number(Port port)
{
    return port.hostOrder();
}
std::int64_t number(std::uint64_t value)
{
    constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    return static_cast<std::int64_t>(value < kMost ? value : kMost);
}
std::int64_t number(std::uint32_t value)
{
    return value;
}
std::int64_t number(Instant instant)
{
    return instant.nanoseconds() / 1000;
}

Instant instantAt(const Row& row, int column)
{
    return Instant{std::chrono::microseconds(row.integer(column))};
}
Ipv4Address addressAt(const Row& row, int column)
{
    return Ipv4Address{static_cast<std::uint32_t>(row.integer(column))};
}
engine::net::Endpoint endpointAt(const Row& row, int column)
{
    return {addressAt(row, column), Port{static_cast<std::uint16_t>(row.integer(column + 1))}};
}
std::uint32_t smallAt(const Row& row, int column)
{
    return static_cast<std::uint32_t>(row.integer(column));
}
std::uint64_t largeAt(const Row& row, int column)
{
    return static_cast<std::uint64_t>(row.integer(column));
}
template <typename Enum>
Enum wordAt(const Row& row, int column)
{
    return fromWord<Enum>(row.text(column)).value_or(Enum{});
}

/// LIKE's own signs in the user's text stand for themselves.
std::string pattern(const std::string& text)
{
    std::string result = "%";
    for (const char c : text) {
        if (c == '%' || c == '_' || c == '\\') result += '\\';
        result += c;
    }
    return result + '%';
}

std::vector<std::uint8_t> joined(const std::vector<std::vector<std::uint8_t>>& packets)
{
    std::vector<std::uint8_t> octets;
    for (const auto& packet : packets) {
        const std::size_t size = packet.size() < 0xffff ? packet.size() : 0xffff;
        octets.push_back(static_cast<std::uint8_t>(size >> 8));
        octets.push_back(static_cast<std::uint8_t>(size & 0xff));
        octets.insert(octets.end(), packet.begin(),
                      packet.begin() + static_cast<std::ptrdiff_t>(size));
    }
    return octets;
}

std::vector<std::vector<std::uint8_t>> split(const std::vector<std::uint8_t>& octets)
{
    std::vector<std::vector<std::uint8_t>> packets;
    std::size_t at = 0;
    while (at + 2 <= octets.size()) {
        const std::size_t size = std::size_t{octets[at]} << 8 | octets[at + 1];
        at += 2;
        if (size > octets.size() - at) break;
        const auto first = octets.begin() + static_cast<std::ptrdiff_t>(at);
        packets.emplace_back(first, first + static_cast<std::ptrdiff_t>(size));
        at += size;
    }
    return packets;
}

/// The answer to a wish that has been impossible since the opening.
StorageError nothingKept(const std::string& message)
{
    return {StorageError::Kind::NotKept, "History is not kept. " + message};
}

std::int64_t until(const HistoryQuery& query)
{
    return query.to == Instant{} ? std::numeric_limits<std::int64_t>::max() : number(query.to);
}

}  // namespace

HistoryStore HistoryStore::openIn(const std::string& directory)
{
    if (directory.empty()) {
        auto database =
            Database::open({}, Database::Access::ReadWrite, Database::Durability::Normal);
        if (database && database->migrate(historyMigrations())) {
            return HistoryStore{{std::make_unique<Database>(std::move(*database)), true, {}}};
        }
        return HistoryStore{{nullptr, false, "History cannot be kept."}};
    }
    return HistoryStore{openOrRepair(directory + "/history.db", historyMigrations(),
                                     Database::Durability::Normal, false)};
}

Done HistoryStore::beginRun(Instant wallNow)
{
    if (!m_opened.writable) return Err{nothingKept(m_opened.message)};
    Database& database = *m_opened.database;
    return database.transaction([&]() -> Done {
        if (auto done = database.run("UPDATE tunnel SET ended = seen WHERE ended = 0"); !done)
            return done;
        auto done = database.run("INSERT INTO run (started, program) VALUES (?, ?)",
                                 {number(wallNow), std::string_view{"underpass"}});
        if (done) m_run = database.lastRowId();
        return done;
    });
}

Done HistoryStore::write(const std::vector<engine::tunnel::Tunnel>& tunnels,
                         const std::vector<engine::SessionRecord>& sessions, Instant wallNow)
{
    if (!m_opened.writable) return Err{nothingKept(m_opened.message)};
    return m_opened.database->transaction([&]() -> Done {
        for (const auto& tunnel : tunnels) {
            if (auto done = writeTunnel(tunnel, wallNow); !done) return done;
        }
        for (const auto& session : sessions) {
            if (auto done = writeSession(session); !done) return done;
        }
        return {};
    });
}

Done HistoryStore::writeTunnel(const engine::tunnel::Tunnel& tunnel, Instant wallNow)
{
    Database& database = *m_opened.database;
    const auto& protocol = engine::net::textOf(tunnel.protocol);
    std::string search{protocol.word};
    for (const std::string& part :
         {std::string(protocol.name), tunnel.device.toString(), tunnel.server.toString(),
          tunnel.external.toString(), tunnel.serverName, tunnel.product}) {
        search += ' ';
        search += part;
    }
    std::int64_t id = 0;
    auto done = database.query(
        "INSERT INTO tunnel (run, serial, protocol, confidence, phase, device, server, server_port,"
        " external, external_port, transport, passage, internal_id, external_id, server_name,"
        " product, started, ended, seen, end_cause, end_code, packets_out, bytes_out, lost_out,"
        " packets_in, bytes_in, lost_in, round_trip, rekeys, retransmissions, search)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,"
        " ?, ?, ?, ?)"
        " ON CONFLICT (run, serial) DO UPDATE SET protocol = excluded.protocol,"
        " confidence = excluded.confidence, phase = excluded.phase, server = excluded.server,"
        " server_port = excluded.server_port, external = excluded.external,"
        " external_port = excluded.external_port, transport = excluded.transport,"
        " passage = excluded.passage, internal_id = excluded.internal_id,"
        " external_id = excluded.external_id, server_name = excluded.server_name,"
        " product = excluded.product, ended = excluded.ended, seen = excluded.seen,"
        " end_cause = excluded.end_cause, end_code = excluded.end_code,"
        " packets_out = excluded.packets_out, bytes_out = excluded.bytes_out,"
        " lost_out = excluded.lost_out, packets_in = excluded.packets_in,"
        " bytes_in = excluded.bytes_in, lost_in = excluded.lost_in,"
        " round_trip = excluded.round_trip, rekeys = excluded.rekeys,"
        " retransmissions = excluded.retransmissions, search = excluded.search RETURNING id",
        {m_run,
         number(tunnel.serial),
         protocol.word,
         wordOf(tunnel.confidence),
         wordOf(tunnel.phase),
         number(tunnel.device),
         number(tunnel.server.address),
         number(tunnel.server.port),
         number(tunnel.external.address),
         number(tunnel.external.port),
         static_cast<std::int64_t>(tunnel.transport),
         wordOf(tunnel.passage.kind),
         number(tunnel.passage.internalId),
         number(tunnel.passage.externalId),
         std::string_view{tunnel.serverName},
         std::string_view{tunnel.product},
         number(tunnel.started),
         number(tunnel.ended),
         number(wallNow),
         wordOf(tunnel.endCause),
         number(tunnel.endCode),
         number(tunnel.outbound.packets),
         number(tunnel.outbound.bytes),
         number(tunnel.outbound.lost),
         number(tunnel.inbound.packets),
         number(tunnel.inbound.bytes),
         number(tunnel.inbound.lost),
         std::int64_t{tunnel.roundTrip.count()},
         number(tunnel.rekeys),
         number(tunnel.retransmissions),
         std::string_view{search}},
        [&](const Row& row) { id = row.integer(0); });
    if (!done) return done;

    if (done = database.run("DELETE FROM tunnel_event WHERE tunnel = ?", {id}); !done) return done;
    std::int64_t position = 0;
    for (const auto& event : tunnel.timeline) {
        done = database.run(
            "INSERT INTO tunnel_event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            {id, position++, number(event.at), wordOf(event.kind), wordOf(event.from),
             wordOf(event.to), number(event.a), number(event.b), number(event.repeats)});
        if (!done) return done;
    }
    if (done = database.run("DELETE FROM tunnel_finding WHERE tunnel = ?", {id}); !done)
        return done;
    position = 0;
    for (const auto& finding : tunnel.findings) {
        const auto proof = joined(finding.packets);
        done = database.run(
            "INSERT INTO tunnel_finding VALUES (?, ?, ?, ?, ?, ?, ?)",
            {id, position++, number(finding.at), wordOf(finding.kind), number(finding.a),
             number(finding.b), std::span<const std::uint8_t>{proof}});
        if (!done) return done;
    }
    return {};
}

Done HistoryStore::writeSession(const engine::SessionRecord& session)
{
    return m_opened.database->run(
        "INSERT INTO session (run, serial, protocol, internal, internal_port, external,"
        " external_port, remote, remote_port, id_out, id_in, tcp_state, outbound, answered,"
        " packets_out, bytes_out, packets_in, bytes_in, started, ended, tunnel_serial, forward_id)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        {m_run,
         number(session.serial),
         static_cast<std::int64_t>(session.protocol),
         number(session.internal.address),
         number(session.internal.port),
         number(session.external.address),
         number(session.external.port),
         number(session.remote.address),
         number(session.remote.port),
         number(session.discriminatorOut),
         number(session.discriminatorIn),
         wordOf(session.tcpState),
         std::int64_t{session.outboundInitiated ? 1 : 0},
         std::int64_t{session.answered ? 1 : 0},
         number(session.outbound.packets),
         number(session.outbound.bytes),
         number(session.inbound.packets),
         number(session.inbound.bytes),
         number(session.created),
         number(session.lastPacket),
         number(session.tunnelSerial),
         number(session.forwardId)});
}

Done HistoryStore::writeMinute(const MinuteCounters& minute)
{
    if (!m_opened.writable) return Err{nothingKept(m_opened.message)};
    Database& database = *m_opened.database;
    return database.transaction([&]() -> Done {
        auto done = database.run(
            "INSERT INTO counter_minute VALUES (?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (minute) DO UPDATE SET packets_out = packets_out + excluded.packets_out,"
            " bytes_out = bytes_out + excluded.bytes_out,"
            " packets_in = packets_in + excluded.packets_in,"
            " bytes_in = bytes_in + excluded.bytes_in, sessions = excluded.sessions,"
            " tunnels = excluded.tunnels",
            {minute.minute, number(minute.outbound.packets), number(minute.outbound.bytes),
             number(minute.inbound.packets), number(minute.inbound.bytes), number(minute.sessions),
             number(minute.tunnels)});
        if (!done) return done;
        for (const auto& [reason, packets] : minute.drops) {
            done = database.run(
                "INSERT INTO drop_minute VALUES (?, ?, ?)"
                " ON CONFLICT (minute, reason) DO UPDATE SET"
                " packets = packets + excluded.packets",
                {minute.minute, engine::nameOf(reason), number(packets)});
            if (!done) return done;
        }
        return {};
    });
}

Result<std::vector<HistoricTunnel>, StorageError> HistoryStore::tunnels(const HistoryQuery& query)
{
    if (!m_opened.database) return Err{nothingKept(m_opened.message)};
    Database& database = *m_opened.database;
    std::vector<HistoricTunnel> rows;
    const std::string text = pattern(query.text);
    const Value device = query.device ? Value{number(*query.device)} : Value{nullptr};
    const Value protocol =
        query.protocol ? Value{engine::net::textOf(*query.protocol).word} : Value{nullptr};
    Done done = database.query(
        "SELECT id, run, serial, protocol, confidence, phase, device, server, server_port, "
        "external,"
        " external_port, transport, passage, internal_id, external_id, server_name, product,"
        " started, ended, end_cause, end_code, packets_out, bytes_out, lost_out, packets_in,"
        " bytes_in, lost_in, round_trip, rekeys, retransmissions FROM tunnel"
        " WHERE started <= ?2 AND (ended = 0 OR ended >= ?1) AND (?3 IS NULL OR device = ?3)"
        " AND (?4 IS NULL OR protocol = ?4) AND search LIKE ?5 ESCAPE '\\'"
        " ORDER BY started DESC, id DESC LIMIT ?6 OFFSET ?7",
        {number(query.from), until(query), device, protocol, std::string_view{text},
         number(query.limit), number(query.offset)},
        [&](const Row& row) {
            HistoricTunnel historic;
            historic.id = row.integer(0);
            historic.run = row.integer(1);
            auto& tunnel = historic.tunnel;
            tunnel.serial = largeAt(row, 2);
            tunnel.protocol = engine::net::vpnProtocolFromWord(row.text(3))
                                  .value_or(engine::net::VpnProtocol::Pptp);
            tunnel.confidence = wordAt<engine::tunnel::Confidence>(row, 4);
            tunnel.phase = wordAt<engine::tunnel::Phase>(row, 5);
            tunnel.device = addressAt(row, 6);
            tunnel.server = endpointAt(row, 7);
            tunnel.external = endpointAt(row, 9);
            tunnel.transport = static_cast<engine::net::IpProtocol>(row.integer(11));
            tunnel.passage = {wordAt<engine::tunnel::PassageKind>(row, 12), smallAt(row, 13),
                              smallAt(row, 14)};
            tunnel.serverName = row.text(15);
            tunnel.product = row.text(16);
            tunnel.started = instantAt(row, 17);
            tunnel.ended = instantAt(row, 18);
            tunnel.endCause = wordAt<engine::tunnel::EventKind>(row, 19);
            tunnel.endCode = smallAt(row, 20);
            tunnel.outbound.packets = largeAt(row, 21);
            tunnel.outbound.bytes = largeAt(row, 22);
            tunnel.outbound.lost = largeAt(row, 23);
            tunnel.inbound.packets = largeAt(row, 24);
            tunnel.inbound.bytes = largeAt(row, 25);
            tunnel.inbound.lost = largeAt(row, 26);
            tunnel.roundTrip = engine::Duration(row.integer(27));
            tunnel.rekeys = smallAt(row, 28);
            tunnel.retransmissions = smallAt(row, 29);
            rows.push_back(std::move(historic));
        });
    if (!done) return Err{done.error()};
    if (!query.timelines) return rows;
    for (auto& historic : rows) {
        auto& tunnel = historic.tunnel;
        done = database.query(
            "SELECT at, kind, lane_from, lane_to, a, b, repeats FROM tunnel_event"
            " WHERE tunnel = ? ORDER BY position",
            {historic.id}, [&](const Row& row) {
                tunnel.timeline.push_back(
                    {instantAt(row, 0), wordAt<engine::tunnel::EventKind>(row, 1),
                     wordAt<engine::tunnel::Lane>(row, 2), wordAt<engine::tunnel::Lane>(row, 3),
                     smallAt(row, 4), smallAt(row, 5), smallAt(row, 6)});
            });
        if (!done) return Err{done.error()};
        done = database.query(
            "SELECT at, kind, a, b, proof FROM tunnel_finding"
            " WHERE tunnel = ? ORDER BY position",
            {historic.id}, [&](const Row& row) {
                tunnel.findings.push_back({wordAt<engine::tunnel::FindingKind>(row, 1),
                                           instantAt(row, 0), smallAt(row, 2), smallAt(row, 3),
                                           split(row.octets(4))});
            });
        if (!done) return Err{done.error()};
    }
    return rows;
}

Result<std::vector<HistoricSession>, StorageError> HistoryStore::sessions(const HistoryQuery& query)
{
    if (!m_opened.database) return Err{nothingKept(m_opened.message)};
    std::vector<HistoricSession> rows;
    const std::string text = pattern(query.text);
    const Value device = query.device ? Value{number(*query.device)} : Value{nullptr};
    // Addresses are numbers here; the text of a session is made for the comparison only.
    const Done done = m_opened.database->query(
        "SELECT id, run, serial, protocol, internal, internal_port, external, external_port, "
        "remote,"
        " remote_port, id_out, id_in, tcp_state, outbound, answered, packets_out, bytes_out,"
        " packets_in, bytes_in, started, ended, tunnel_serial, forward_id FROM session"
        " WHERE started <= ?2 AND ended >= ?1 AND (?3 IS NULL OR internal = ?3)"
        " AND (?4 = '%%' OR ((internal >> 24) || '.' || ((internal >> 16) & 255) || '.' ||"
        " ((internal >> 8) & 255) || '.' || (internal & 255) || ':' || internal_port || ' ' ||"
        " (remote >> 24) || '.' || ((remote >> 16) & 255) || '.' || ((remote >> 8) & 255) || '.' ||"
        " (remote & 255) || ':' || remote_port) LIKE ?4 ESCAPE '\\')"
        " ORDER BY started DESC, id DESC LIMIT ?5 OFFSET ?6",
        {number(query.from), until(query), device, std::string_view{text}, number(query.limit),
         number(query.offset)},
        [&](const Row& row) {
            HistoricSession historic;
            historic.id = row.integer(0);
            historic.run = row.integer(1);
            auto& session = historic.session;
            session.serial = largeAt(row, 2);
            session.protocol = static_cast<engine::net::IpProtocol>(row.integer(3));
            session.internal = endpointAt(row, 4);
            session.external = endpointAt(row, 6);
            session.remote = endpointAt(row, 8);
            session.discriminatorOut = smallAt(row, 10);
            session.discriminatorIn = smallAt(row, 11);
            session.tcpState = wordAt<engine::TcpState>(row, 12);
            session.outboundInitiated = row.integer(13) != 0;
            session.answered = row.integer(14) != 0;
            session.outbound = {largeAt(row, 15), largeAt(row, 16)};
            session.inbound = {largeAt(row, 17), largeAt(row, 18)};
            session.created = instantAt(row, 19);
            session.lastPacket = instantAt(row, 20);
            session.tunnelSerial = largeAt(row, 21);
            session.forwardId = smallAt(row, 22);
            rows.push_back(historic);
        });
    if (!done) return Err{done.error()};
    return rows;
}

Result<std::vector<MinuteCounters>, StorageError> HistoryStore::minutes(const HistoryQuery& query)
{
    if (!m_opened.database) return Err{nothingKept(m_opened.message)};
    constexpr std::int64_t kMicrosecondsPerMinute = 60'000'000;
    std::vector<MinuteCounters> rows;
    const std::int64_t from = number(query.from) / kMicrosecondsPerMinute;
    const std::int64_t to = until(query) / kMicrosecondsPerMinute;
    Done done = m_opened.database->query(
        "SELECT minute, packets_out, bytes_out, packets_in, bytes_in, sessions, tunnels"
        " FROM counter_minute WHERE minute BETWEEN ? AND ? ORDER BY minute DESC LIMIT ? OFFSET ?",
        {from, to, number(query.limit), number(query.offset)}, [&](const Row& row) {
            MinuteCounters minute;
            minute.minute = row.integer(0);
            minute.outbound = {largeAt(row, 1), largeAt(row, 2)};
            minute.inbound = {largeAt(row, 3), largeAt(row, 4)};
            minute.sessions = smallAt(row, 5);
            minute.tunnels = smallAt(row, 6);
            rows.push_back(std::move(minute));
        });
    if (!done) return Err{done.error()};
    for (auto& minute : rows) {
        done = m_opened.database->query(
            "SELECT reason, packets FROM drop_minute WHERE minute = ? ORDER BY packets DESC",
            {minute.minute}, [&](const Row& row) {
                const std::string name = row.text(0);
                for (const auto& text : engine::kDropReasons) {
                    if (text.name == name) minute.drops.emplace_back(text.reason, largeAt(row, 1));
                }
            });
        if (!done) return Err{done.error()};
    }
    return rows;
}

Result<std::uint64_t, StorageError> HistoryStore::octetsInUse()
{
    std::uint64_t size = 0;
    const auto done = m_opened.database->query(
        "SELECT (page_count - freelist_count) * page_size"
        " FROM pragma_page_count, pragma_freelist_count, pragma_page_size",
        {}, [&](const Row& row) { size = static_cast<std::uint64_t>(row.integer(0)); });
    if (!done) return Err{done.error()};
    return size;
}

Result<bool, StorageError> HistoryStore::prune(Instant wallNow, std::uint32_t days,
                                               std::uint32_t megabytes)
{
    if (!m_opened.writable) return Err{nothingKept(m_opened.message)};
    Database& database = *m_opened.database;
    const std::int64_t oldest = number(wallNow - std::chrono::hours(24) * days);
    bool more = false;
    const Done done = database.transaction([&]() -> Done {
        std::int64_t removed = 0;
        const auto counted = [&](std::string_view sql, std::vector<Value> values) -> Done {
            return database.query(sql, std::move(values), [&](const Row&) { ++removed; });
        };
        if (days > 0) {
            if (auto step = counted("DELETE FROM session WHERE id IN (SELECT id FROM session"
                                    " WHERE ended < ? ORDER BY started LIMIT ?) RETURNING id",
                                    {oldest, kPruneStep});
                !step) {
                return step;
            }
            if (auto step = counted("DELETE FROM tunnel WHERE id IN (SELECT id FROM tunnel"
                                    " WHERE ended > 0 AND ended < ? ORDER BY started LIMIT ?)"
                                    " RETURNING id",
                                    {oldest, kPruneStep});
                !step) {
                return step;
            }
            const std::int64_t minute = oldest / 60'000'000;
            if (auto step = database.run("DELETE FROM counter_minute WHERE minute < ?", {minute});
                !step) {
                return step;
            }
            if (auto step = database.run("DELETE FROM drop_minute WHERE minute < ?", {minute});
                !step) {
                return step;
            }
        }
        const auto used = octetsInUse();
        if (!used) return Err{used.error()};
        if (*used > std::uint64_t{megabytes} << 20) {
            if (auto step = counted("DELETE FROM session WHERE id IN (SELECT id FROM session"
                                    " ORDER BY started LIMIT ?) RETURNING id",
                                    {kPruneStep});
                !step) {
                return step;
            }
            // Tunnels are what history is for: they go only when no session is left to remove.
            if (removed == 0) {
                if (auto step = counted("DELETE FROM tunnel WHERE id IN (SELECT id FROM tunnel"
                                        " WHERE ended > 0 ORDER BY started LIMIT ?) RETURNING id",
                                        {std::int64_t{500}});
                    !step) {
                    return step;
                }
            }
            more = removed > 0;
        }
        more = more || removed >= kPruneStep;
        return {};
    });
    if (!done) return Err{done.error()};
    return more;
}

}  // namespace app::storage
