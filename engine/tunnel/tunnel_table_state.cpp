#include "engine/tunnel/saved_values.h"
#include "engine/tunnel/tunnel_table_parts.h"

#include <algorithm>

/// What of the tunnels outlives the engine: who they are, what they have carried, and what has
/// happened to them. Their timeline goes on, with the restart as its next entry.
namespace engine::tunnel {

using namespace table;

namespace {

constexpr std::size_t kMostKeysOfOne = 8;
/// The shortest record: one key and no texts.
constexpr std::size_t kShortest = 1 + 16 + 1 + 1 + 1 + 1 + 6 + 6 + 9 + 2 + 8 + 8 + 8 + 2 * 48;
constexpr std::size_t kPassageKinds = static_cast<std::size_t>(PassageKind::OnlyClient) + 1;
constexpr std::size_t kLanes = 3;
constexpr std::size_t kEvent = 8 + 1 + 1 + 1 + 4 + 4 + 4;
constexpr std::size_t kShortestFinding = 1 + 8 + 4 + 4 + 1;
/// Ours: a block is made every few seconds, so that thousands of tunnels share what a few have to
/// themselves: 1.5 MB of timelines, and as much of headers that prove findings.
constexpr std::size_t kMostSavedEvents = 65536;
constexpr std::size_t kMostSavedProofOctets = 1536 * 1024;

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

/// At most `most` of it: the beginning, which tells how it came to be, and what was last.
void saveTimeline(StateWriter& out, std::span<const TimelineEvent> timeline, std::size_t most)
{
    const std::size_t number = std::min(timeline.size(), most);
    const std::size_t head = number == timeline.size() ? number : number / 4;
    out.u32(static_cast<std::uint32_t>(number));
    const auto save = [&](const TimelineEvent& event) {
        tunnel::save(out, event.at);
        out.u8(static_cast<std::uint8_t>(event.kind));
        out.u8(static_cast<std::uint8_t>(event.from));
        out.u8(static_cast<std::uint8_t>(event.to));
        out.u32(event.a);
        out.u32(event.b);
        out.u32(event.repeats);
    };
    std::ranges::for_each(timeline.first(head), save);
    std::ranges::for_each(timeline.last(number - head), save);
}
/// Whether an entry means something: who shows it uses its numbers as names.
bool isSound(const TimelineEvent& event, Instant now)
{
    switch (event.kind) {
    case EventKind::PhaseChanged:
        if (event.a >= kPhaseCount || event.b >= kPhaseCount) return false;
        break;
    case EventKind::FindingRaised:
        if (event.a >= kFindingKindCount) return false;
        break;
    case EventKind::ControlOpened:
    case EventKind::ControlMessage:
    case EventKind::IdRewritten:
    case EventKind::CallAgreed:
    case EventKind::DataFirstOutbound:
    case EventKind::DataFirstInbound:
    case EventKind::NatDetected:
    case EventKind::FloatedTo4500:
    case EventKind::KeyExchange:
    case EventKind::SpiBound:
    case EventKind::SpiRebound:
    case EventKind::Rekeyed:
    case EventKind::Keepalive:
    case EventKind::Retransmitted:
    case EventKind::AuthenticationFailed:
    case EventKind::PortFloated:
    case EventKind::LegacyPort500:
    case EventKind::WentSilent:
    case EventKind::Resumed:
    case EventKind::LossHigh:
    case EventKind::Held:
    case EventKind::Released:
    case EventKind::DroppedBySwitch:
    case EventKind::PeerClosed:
    case EventKind::TimedOut:
    case EventKind::ResetBy:
    case EventKind::IcmpError:
    case EventKind::ExternalAddressChanged:
    case EventKind::LikelyDeleted: break;
    }
    return event.at >= Instant{} && event.at <= now && event.repeats > 0;
}
std::vector<TimelineEvent> readTimeline(StateReader& in, Instant now)
{
    std::vector<TimelineEvent> timeline(in.count(kTimelineLimit, kEvent));
    for (TimelineEvent& event : timeline) {
        event.at = readInstant(in);
        event.kind = static_cast<EventKind>(in.below(kEventKindCount));
        event.from = static_cast<Lane>(in.below(kLanes));
        event.to = static_cast<Lane>(in.below(kLanes));
        event.a = in.u32();
        event.b = in.u32();
        event.repeats = in.u32();
        if (!isSound(event, now)) in.fail();
    }
    std::ranges::stable_sort(timeline, {}, &TimelineEvent::at);
    return timeline;
}

/// Without packets when `octets`, what is left for them, has been used up.
void saveFindings(StateWriter& out, std::span<const Finding> findings, std::size_t& octets)
{
    out.u32(static_cast<std::uint32_t>(findings.size()));
    for (const Finding& finding : findings) {
        out.u8(static_cast<std::uint8_t>(finding.kind));
        save(out, finding.at);
        out.u32(finding.a);
        out.u32(finding.b);
        const std::size_t number =
            octets >= kMostProofs * kMostProofOctets ? finding.packets.size() : 0;
        out.u8(static_cast<std::uint8_t>(number));
        for (std::size_t i = 0; i < number; ++i) {
            const auto& packet = finding.packets[i];
            out.u8(static_cast<std::uint8_t>(packet.size()));
            out.raw(packet.data(), packet.size());
            octets -= packet.size();
        }
    }
}
std::vector<Finding> readFindings(StateReader& in, Instant now)
{
    std::vector<Finding> findings(in.count(kMostFindings, kShortestFinding));
    for (std::size_t i = 0; i < findings.size(); ++i) {
        Finding& finding = findings[i];
        finding.kind = static_cast<FindingKind>(in.below(kFindingKindCount));
        finding.at = readInstant(in);
        finding.a = in.u32();
        finding.b = in.u32();
        finding.packets.resize(in.below(kMostProofs + 1));
        for (auto& packet : finding.packets) {
            packet.resize(in.below(kMostProofOctets + 1));
            in.raw(packet.data(), packet.size());
        }
        const auto others = std::span(findings).first(i);
        const bool isTwice =
            std::ranges::find(others, finding.kind, &Finding::kind) != others.end();
        if (isTwice || finding.at < Instant{} || finding.at > now) in.fail();
    }
    return findings;
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
    const std::size_t mostEvents =
        std::min(kTimelineLimit, kMostSavedEvents / std::max<std::size_t>(m_live, 1));
    std::size_t proofOctets = kMostSavedProofOctets;
    // As lists show them: oldest first.
    std::vector<const Record*> saved;
    for (const Record& record : m_records) {
        if (record.used && !record.over && !record.keys.empty() &&
            record.tunnel.phase != Phase::Held) {
            saved.push_back(&record);
        }
    }
    std::ranges::sort(saved, {}, [](const Record* record) { return record->tunnel.serial; });
    for (const Record* const one : saved) {
        const Record& record = *one;
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
        records.u32(tunnel.innerAddress.hostOrder());
        records.u16(tunnel.innerMtu);
        saveTimeline(records, tunnel.timeline, mostEvents);
        saveFindings(records, tunnel.findings, proofOctets);
    }
    out.u32(static_cast<std::uint32_t>(saved.size()));
    out.raw(records.bytes().data(), records.bytes().size());
}

bool TunnelTable::restore(Instant now, StateReader& in, SavedHistory history)
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
        if (history == SavedHistory::Kept) {
            read.innerAddress = net::Ipv4Address{in.u32()};
            read.innerMtu = in.u16();
            read.timeline = readTimeline(in, now);
            read.findings = readFindings(in, now);
        }
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
        const auto saw = [&](EventKind first) {
            return std::ranges::find(tunnel.timeline, first, &TimelineEvent::kind) !=
                   tunnel.timeline.end();
        };
        record->sawData = {isUp(tunnel.phase) || saw(EventKind::DataFirstOutbound),
                           isUp(tunnel.phase) || saw(EventKind::DataFirstInbound)};
        // What is lost from now on is judged, not what was lost before.
        record->lossMark = {tunnel.outbound, tunnel.inbound};
        note(now, *record,
             {now, EventKind::Resumed, Lane::Router, Lane::Router, kResumedAfterRestart, 0});
        // What was going on when the engine ended is judged afresh.
        if (isUp(tunnel.phase)) setPhase(now, *record, Phase::Established);
    }
    return !in.failed();
}

}  // namespace engine::tunnel
