#include "engine/tunnel/saved_values.h"
#include "engine/tunnel/tunnel_table.h"

/// What of the tunnels outlives the engine: who they are and what they have carried. Their timeline
/// begins anew, with the restart as its first entry.
namespace engine::tunnel {

namespace {

constexpr std::size_t kMostKeysOfOne = 8;
/// The shortest record: one key and no texts.
constexpr std::size_t kShortest = 1 + 16 + 1 + 1 + 1 + 1 + 6 + 6 + 9 + 2 + 8 + 8 + 8 + 2 * 48;
constexpr std::size_t kPassageKinds = static_cast<std::size_t>(PassageKind::OnlyClient) + 1;

void saveCounters(StateWriter& out, const DirectionCounters& counters)
{
    out.u64(counters.packets);
    out.u64(counters.bytes);
    out.u64(counters.lost);
    out.u64(counters.reordered);
    out.u64(counters.duplicated);
    save(out, counters.lastPacket);
}
DirectionCounters readCounters(StateReader& in)
{
    DirectionCounters counters;
    counters.packets = in.u64();
    counters.bytes = in.u64();
    counters.lost = in.u64();
    counters.reordered = in.u64();
    counters.duplicated = in.u64();
    counters.lastPacket = readInstant(in);
    return counters;
}

}  // namespace

std::optional<TunnelTable::Share> TunnelTable::shareOf(AttachmentId id) const
{
    if (id.isNone() || id.index >= m_attachments.size()) return std::nullopt;
    const Attachment& attachment = m_attachments[id.index];
    if (attachment.generation != id.generation || attachment.tunnel == kNone) return std::nullopt;
    const Record& record = m_records[attachment.tunnel];
    if (record.over || record.keys.empty()) return std::nullopt;
    return Share{record.keys.front(), attachment.sequence, attachment.carries};
}

std::optional<TunnelTable::Name> TunnelTable::nameOf(const TunnelKey& key) const
{
    const auto found = m_byKey.find(key);
    if (found == m_byKey.end()) return std::nullopt;
    const Tunnel& tunnel = m_records[found->second].tunnel;
    return Name{tunnel.protocol, tunnel.confidence};
}

void TunnelTable::save(StateWriter& out) const
{
    StateWriter records;
    std::uint32_t number = 0;
    for (const Record& record : m_records) {
        if (!record.used || record.over || record.keys.empty() ||
            record.tunnel.phase == Phase::Held) {
            continue;
        }
        ++number;
        const Tunnel tunnel = summed(record);
        records.u8(static_cast<std::uint8_t>(record.keys.size()));
        for (const TunnelKey& key : record.keys)
            tunnel::save(records, key);
        records.u8(static_cast<std::uint8_t>(tunnel.protocol));
        records.u8(static_cast<std::uint8_t>(tunnel.confidence));
        records.u8(static_cast<std::uint8_t>(tunnel.phase));
        records.u8(static_cast<std::uint8_t>(tunnel.transport));
        tunnel::save(records, tunnel.server);
        tunnel::save(records, tunnel.external);
        records.u8(static_cast<std::uint8_t>(tunnel.passage.kind));
        records.u32(tunnel.passage.internalId);
        records.u32(tunnel.passage.externalId);
        records.text(tunnel.serverName);
        records.text(tunnel.product);
        tunnel::save(records, tunnel.started);
        records.u64(static_cast<std::uint64_t>(tunnel.roundTrip.count()));
        records.u32(tunnel.rekeys);
        records.u32(tunnel.retransmissions);
        saveCounters(records, tunnel.outbound);
        saveCounters(records, tunnel.inbound);
    }
    out.u32(number);
    out.raw(records.bytes().data(), records.bytes().size());
}

bool TunnelTable::restore(Instant now, StateReader& in)
{
    const std::uint32_t number = in.count(kMostTunnels, kShortest);
    for (std::uint32_t i = 0; i < number && !in.failed(); ++i) {
        std::vector<TunnelKey> keys(in.below(kMostKeysOfOne + 1));
        for (TunnelKey& key : keys)
            key = readTunnelKey(in);
        Tunnel read;
        read.protocol = static_cast<net::VpnProtocol>(in.below(net::kVpnProtocolCount));
        read.confidence = static_cast<Confidence>(in.below(3));
        read.phase = static_cast<Phase>(in.below(kPhaseCount));
        read.transport = static_cast<net::IpProtocol>(in.u8());
        read.server = readEndpoint(in);
        read.external = readEndpoint(in);
        read.passage.kind = static_cast<PassageKind>(in.below(kPassageKinds));
        read.passage.internalId = in.u32();
        read.passage.externalId = in.u32();
        read.serverName = in.text();
        read.product = in.text();
        read.started = readInstant(in);
        read.roundTrip = Duration{static_cast<std::int64_t>(in.u64())};
        read.rekeys = in.u32();
        read.retransmissions = in.u32();
        read.outbound = readCounters(in);
        read.inbound = readCounters(in);
        if (in.failed() || keys.empty() || isOver(read.phase) || read.phase == Phase::Held ||
            read.started > now || read.outbound.lastPacket > now || read.inbound.lastPacket > now) {
            return false;
        }
        for (const TunnelKey& key : keys) {
            if (m_byKey.contains(key)) return false;
        }
        Record* const record = create(now, keys.front());
        if (record == nullptr) continue;
        for (std::size_t k = 1; k < keys.size(); ++k) {
            record->keys.push_back(keys[k]);
            m_byKey.try_emplace(keys[k], record->tunnel.id.index);
        }
        Tunnel& tunnel = record->tunnel;
        read.id = tunnel.id;
        read.serial = tunnel.serial;
        read.device = tunnel.device;
        tunnel = std::move(read);
        const bool wasUp = tunnel.phase == Phase::Established || tunnel.phase == Phase::Rekeying ||
                           tunnel.phase == Phase::Degraded;
        // What was going on when the engine ended is judged afresh.
        if (wasUp) tunnel.phase = Phase::Established;
        record->sawData = {wasUp, wasUp};
        note(now, *record,
             {now, EventKind::Resumed, Lane::Router, Lane::Router, kResumedAfterRestart, 0});
    }
    return !in.failed();
}

}  // namespace engine::tunnel
