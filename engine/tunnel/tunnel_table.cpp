#include "engine/tunnel/tunnel_table.h"

#include <algorithm>
#include <utility>

namespace engine::tunnel {
namespace {

using net::Direction;
using net::VpnProtocol;
using namespace std::chrono_literals;

// Ours.
constexpr Duration kSweepInterval = 1s;
constexpr std::size_t kMostTextOctets = 64;
constexpr std::size_t kMostFindings = kFindingKindCount;
constexpr std::size_t kMostProofs = 2;
constexpr std::size_t kMostProofOctets = 96;
constexpr std::size_t kMostKeys = 8;
/// The part of a full timeline that is condensed lies between these two.
constexpr std::size_t kTimelineHead = 32;
constexpr std::size_t kTimelineTail = 64;
/// WireGuard tries one handshake for 90 s; nobody else tries longer.
constexpr Duration kNeverAnswered = 90s;
/// An exchange that has not ended by then has failed; the old keys still serve.
constexpr Duration kRekeyPatience = 90s;
constexpr Duration kRekeyApart = 10s;
constexpr Duration kCloseQuiet = 10s;
constexpr std::uint64_t kUnansweredPackets = 3;
/// Loss is judged over this time and at least this many packets.
constexpr Duration kLossInterval = 10s;
constexpr std::uint64_t kLossPackets = 200;
constexpr std::uint64_t kLossHighPerMille = 50;
constexpr std::uint64_t kLossGonePerMille = 20;

// Ours. What is answered at all is answered within a second; TCP waits at least that long before it
// sends again. Below 1,200 octets everything passes (IPv6 demands 1,280 of every link).
constexpr Duration kAnsweredWithin = 1s;
constexpr std::uint32_t kLarge = 1200;
constexpr std::uint16_t kSmallEnough = 3;
constexpr std::uint16_t kLargeLost = 4;

constexpr bool isGre(SequenceKind sequence)
{
    return sequence == SequenceKind::GreV0 || sequence == SequenceKind::GreV1;
}

constexpr std::size_t indexOf(Direction direction)
{
    return static_cast<std::size_t>(direction);
}
constexpr std::uint8_t bitOf(Direction direction)
{
    return static_cast<std::uint8_t>(1U << indexOf(direction));
}
constexpr std::array kBothDirections{Direction::Outbound, Direction::Inbound};

/// Who sends in this direction.
constexpr Lane senderOf(Direction direction)
{
    return direction == Direction::Outbound ? Lane::Client : Lane::Server;
}
constexpr Lane receiverOf(Direction direction)
{
    return direction == Direction::Outbound ? Lane::Server : Lane::Client;
}

/// How long one side may send data without an answer before the other counts as gone.
Duration deadAfter(VpnProtocol protocol)
{
    switch (protocol) {
    case VpnProtocol::WireGuard:
    case VpnProtocol::Tailscale:
    case VpnProtocol::CloudflareWarp: return 180s;  // keys are refused after 180 s
    case VpnProtocol::OpenVpn: return 120s;         // ping-restart as most servers push it
    case VpnProtocol::AnyConnect: return 270s;      // three times the usual DPD
    case VpnProtocol::Pptp:
    case VpnProtocol::IpsecEsp:
    case VpnProtocol::IpsecNatT:
    case VpnProtocol::L2tp:
    case VpnProtocol::L2tpV3:
    case VpnProtocol::Gre:
    case VpnProtocol::Eoip:
    case VpnProtocol::SixInFour:
    case VpnProtocol::IpIp:
    case VpnProtocol::EtherIp:
    case VpnProtocol::Ah:
    case VpnProtocol::Sstp:
    case VpnProtocol::SoftEther:
    case VpnProtocol::Teredo:
    case VpnProtocol::GlobalProtect:
    case VpnProtocol::ZeroTier:
    case VpnProtocol::Nebula:
    case VpnProtocol::Tinc:
    case VpnProtocol::FortiClient: return 300s;
    }
    return 300s;
}

/// Entries of which a long history has many and needs few.
bool isRoutine(EventKind kind)
{
    return kind == EventKind::Keepalive || kind == EventKind::WentSilent ||
           kind == EventKind::Resumed || kind == EventKind::Retransmitted ||
           kind == EventKind::Rekeyed || kind == EventKind::KeyExchange;
}
/// Entries whose `a` only counts up.
bool isTally(EventKind kind)
{
    return kind == EventKind::Keepalive || kind == EventKind::Rekeyed;
}
bool isSame(const TimelineEvent& a, const TimelineEvent& b)
{
    return a.kind == b.kind && a.from == b.from && a.to == b.to &&
           (isTally(a.kind) || (a.a == b.a && a.b == b.b));
}

bool isUp(Phase phase)
{
    return phase == Phase::Established || phase == Phase::Rekeying || phase == Phase::Degraded;
}
bool isBefore(Phase phase, Phase other)
{
    return static_cast<int>(phase) < static_cast<int>(other);
}

bool canCarryData(SequenceKind sequence, Carries carries)
{
    return carries == Carries::Data || sequence != SequenceKind::None;
}

void add(DirectionCounters& sum, const DirectionCounters& more)
{
    sum.packets += more.packets;
    sum.bytes += more.bytes;
    sum.lost += more.lost;
    sum.reordered += more.reordered;
    sum.duplicated += more.duplicated;
    sum.lastPacket = std::max(sum.lastPacket, more.lastPacket);
}

std::uint32_t seconds(Duration duration)
{
    return static_cast<std::uint32_t>(
        std::chrono::duration_cast<std::chrono::seconds>(duration).count());
}

}  // namespace

TunnelTable::TunnelTable(HashKey seed) : m_seed(seed), m_byKey(0, KeyHash{seed}) {}

// Records -------------------------------------------------------------------------------------

TunnelTable::Record* TunnelTable::recordOf(const TunnelKey& key)
{
    const auto found = m_byKey.find(key);
    return found == m_byKey.end() ? nullptr : &m_records[found->second];
}

bool TunnelTable::makeRoom(Instant now, net::Ipv4Address device)
{
    const auto held = m_perDevice.find(device.hostOrder());
    const bool deviceFull = held != m_perDevice.end() && held->second >= kMostTunnelsPerDevice;
    const bool full = m_freeRecords.empty() && m_records.size() >= kMostTunnels;
    if (!deviceFull && !full) return true;
    if (now < m_fullUntil) return false;
    // The one that ended first gives way; live tunnels never do.
    Record* victim = nullptr;
    for (Record& record : m_records) {
        if (!record.used || !record.over || !record.endReported) continue;
        if (deviceFull && record.tunnel.device != device) continue;
        if (victim == nullptr || record.tunnel.ended < victim->tunnel.ended) victim = &record;
    }
    if (victim == nullptr) {
        m_fullUntil = now + kSweepInterval;
        return false;
    }
    remove(*victim);
    return true;
}

TunnelTable::Record* TunnelTable::create(Instant now, const TunnelKey& key)
{
    if (!makeRoom(now, key.device)) {
        ++m_refusedTunnels;
        return nullptr;
    }
    if (m_freeRecords.empty()) {
        m_freeRecords.push_back(static_cast<std::uint32_t>(m_records.size()));
        m_records.emplace_back();
        m_records.back().tunnel.id.index = m_freeRecords.back();
    }
    const std::uint32_t index = m_freeRecords.back();
    m_freeRecords.pop_back();
    Record& record = m_records[index];
    const std::uint32_t generation = record.tunnel.id.generation + 1;
    const bool dirty = record.dirty;
    record = Record{};
    record.used = true;
    record.dirty = dirty;  // still listed
    record.tunnel.id = {index, generation};
    record.tunnel.serial = m_nextSerial++;
    record.tunnel.device = key.device;
    record.tunnel.server.address = key.server;
    record.tunnel.started = now;
    record.orphanedAt = now;
    record.phaseSince = now;
    record.lossMarkAt = now;
    record.keys.push_back(key);
    m_byKey[key] = index;
    ++m_perDevice[key.device.hostOrder()];
    ++m_live;
    if (m_sweepDue == Instant{Duration::max()}) m_sweepDue = now + kSweepInterval;
    touch(record);
    return &record;
}

void TunnelTable::remove(Record& record)
{
    for (const TunnelKey& key : record.keys) {
        const auto found = m_byKey.find(key);
        if (found != m_byKey.end() && found->second == record.tunnel.id.index) m_byKey.erase(found);
    }
    for (const std::uint32_t attachment : record.attachments) {
        m_attachments[attachment].tunnel = kNone;
        m_attachments[attachment].wake = 0;
        m_attachments[attachment].held = false;
    }
    const auto held = m_perDevice.find(record.tunnel.device.hostOrder());
    if (held != m_perDevice.end() && --held->second == 0) m_perDevice.erase(held);
    if (!record.over) --m_live;
    const TunnelId id = record.tunnel.id;
    const bool dirty = record.dirty;
    record = Record{};
    record.tunnel.id = id;
    record.dirty = dirty;  // takeNews() skips and clears it
    m_freeRecords.push_back(id.index);
}

void TunnelTable::touch(Record& record)
{
    if (!record.dirty) {
        record.dirty = true;
        m_dirty.push_back(record.tunnel.id.index);
    }
    const Instant due = record.everReported && !record.over ? record.reported + kReportInterval
                                                            : Instant{Duration::min()};
    m_newsDue = std::min(m_newsDue, due);
}

// Observations --------------------------------------------------------------------------------

void TunnelTable::apply(Instant now, const Observation& observation)
{
    if (observation.kind == Observation::Kind::Label) {
        label(now, observation);
        return;
    }
    if (observation.kind == Observation::Kind::Merge) {
        merge(now, observation.key, observation.other);
        return;
    }
    Record* const record = recordOf(observation.key);
    if (record == nullptr) return;
    Tunnel& tunnel = record->tunnel;
    switch (observation.kind) {
    case Observation::Kind::Label:
    case Observation::Kind::Merge: break;
    case Observation::Kind::Phase:
        if (isOver(observation.phase) || observation.phase == Phase::Held) break;
        if (observation.phase == Phase::Established) {
            record->sawData = {true, true};
            refreshWake(*record);
        }
        sign(now, *record, signOf(observation.phase));
        break;
    case Observation::Kind::Event:
        note(now, *record,
             {now, observation.event, observation.from, observation.to, observation.a,
              observation.b});
        break;
    case Observation::Kind::Passage: tunnel.passage = observation.passage; break;
    case Observation::Kind::RoundTrip: tunnel.roundTrip = observation.duration; break;
    case Observation::Kind::Retransmit:
        ++tunnel.retransmissions;
        note(now, *record,
             {now, EventKind::Retransmitted, observation.from, observation.to, observation.a, 0});
        break;
    case Observation::Kind::Rekey: rekeyed(now, *record); break;
    case Observation::Kind::ServerName:
        tunnel.serverName = observation.text.substr(0, kMostTextOctets);
        break;
    case Observation::Kind::Product:
        tunnel.product = observation.text.substr(0, kMostTextOctets);
        break;
    case Observation::Kind::Finding:
        raise(now, *record, observation.finding, observation.a, observation.b, observation.packet);
        break;
    case Observation::Kind::Ended:
        finish(now, *record, observation.phase, observation.event, observation.a);
        break;
    }
    touch(*record);
}

void TunnelTable::label(Instant now, const Observation& observation)
{
    Record* record = recordOf(observation.key);
    const bool isNew = record == nullptr;
    if (isNew) record = create(now, observation.key);
    if (record == nullptr) return;
    Tunnel& tunnel = record->tunnel;
    const net::Endpoint none;
    // The better proof wins; of two equal ones the later, since it has seen more.
    if (isNew || observation.confidence >= tunnel.confidence) {
        tunnel.protocol = observation.protocol;
        tunnel.confidence = observation.confidence;
        tunnel.transport = observation.transport;
        if (observation.server != none) tunnel.server = observation.server;
        if (observation.external != none) tunnel.external = observation.external;
    }
    if (tunnel.external == none) tunnel.external = observation.external;
    touch(*record);
}

void TunnelTable::merge(Instant now, const TunnelKey& into, const TunnelKey& from)
{
    Record* const source = recordOf(from);
    Record* const target = recordOf(into);
    if (source == nullptr || source == target) return;
    if (target == nullptr) {
        if (source->keys.size() >= kMostKeys) return;
        source->keys.push_back(into);
        m_byKey[into] = source->tunnel.id.index;
        touch(*source);
        return;
    }
    for (const std::uint32_t index : source->attachments) {
        Attachment& attachment = m_attachments[index];
        fold(*source, attachment);
        attachment.tunnel = target->tunnel.id.index;
        attachment.held = target->tunnel.phase == Phase::Held;
        target->attachments.push_back(index);
    }
    source->attachments.clear();
    Tunnel& to = target->tunnel;
    Tunnel& old = source->tunnel;
    add(to.outbound, old.outbound);
    add(to.inbound, old.inbound);
    to.rekeys += old.rekeys;
    to.retransmissions += old.retransmissions;
    to.started = std::min(to.started, old.started);
    if (to.serverName.empty()) to.serverName = old.serverName;
    if (to.product.empty()) to.product = old.product;
    if (to.roundTrip == Duration{0}) to.roundTrip = old.roundTrip;
    std::vector<TimelineEvent> timeline;
    timeline.reserve(to.timeline.size() + old.timeline.size());
    std::ranges::merge(old.timeline, to.timeline, std::back_inserter(timeline), {},
                       &TimelineEvent::at, &TimelineEvent::at);
    to.timeline.clear();
    for (const TimelineEvent& event : timeline)
        note(event.at, *target, event);
    for (const Finding& finding : old.findings) {
        if (std::ranges::none_of(to.findings,
                                 [&](const Finding& f) { return f.kind == finding.kind; })) {
            to.findings.push_back(finding);
        }
    }
    for (std::size_t way = 0; way < 2; ++way) {
        target->sawData[way] = target->sawData[way] || source->sawData[way];
    }
    if (isUp(old.phase) && isBefore(to.phase, Phase::Established))
        setPhase(now, *target, old.phase);

    for (const TunnelKey& key : source->keys) {
        m_byKey.erase(key);
        if (target->keys.size() < kMostKeys) {
            target->keys.push_back(key);
            m_byKey[key] = target->tunnel.id.index;
        }
    }
    source->keys.clear();
    if (source->everReported) {
        // Whoever has heard of it has to hear that it is gone.
        old.outbound = {};
        old.inbound = {};
        finish(now, *source, Phase::Closed, EventKind::PhaseChanged, 0);
        source->hidden = true;
    } else {
        remove(*source);
    }
    refreshWake(*target);
    touch(*target);
}

// Phases, events, findings --------------------------------------------------------------------

void TunnelTable::sign(Instant now, Record& record, PhaseSign sign)
{
    const Phase after = next(record.tunnel.phase, sign);
    if (after != record.tunnel.phase) setPhase(now, record, after);
}

void TunnelTable::setPhase(Instant now, Record& record, Phase phase)
{
    const Phase before = record.tunnel.phase;
    if (before == phase) return;
    record.tunnel.phase = phase;
    record.phaseSince = now;
    note(now, record,
         {now, EventKind::PhaseChanged, Lane::Router, Lane::Router,
          static_cast<std::uint32_t>(before), static_cast<std::uint32_t>(phase)});
}

void TunnelTable::note(Instant, Record& record, const TimelineEvent& event)
{
    std::vector<TimelineEvent>& timeline = record.tunnel.timeline;
    touch(record);
    if (!timeline.empty() && isSame(timeline.back(), event)) {
        timeline.back().repeats += event.repeats;
        timeline.back().a = event.a;
        return;
    }
    if (timeline.size() >= kTimelineLimit) {
        const auto first = timeline.begin() + kTimelineHead;
        const auto last = timeline.end() - kTimelineTail;
        auto victim = std::find_if(first, last, [](const auto& e) { return isRoutine(e.kind); });
        if (victim == last) victim = first;
        // A routine entry is taken up by the next one of its kind, so that the count stays true.
        const auto heir = std::find_if(victim + 1, timeline.end(), [&](const auto& e) {
            return e.kind == victim->kind && e.from == victim->from;
        });
        if (heir != timeline.end() && isRoutine(victim->kind)) heir->repeats += victim->repeats;
        timeline.erase(victim);
    }
    timeline.push_back(event);
}

void TunnelTable::raise(Instant now, Record& record, FindingKind kind, std::uint32_t a,
                        std::uint32_t b, std::span<const std::uint8_t> packet)
{
    std::vector<Finding>& findings = record.tunnel.findings;
    auto found = std::ranges::find(findings, kind, &Finding::kind);
    if (found == findings.end()) {
        if (findings.size() >= kMostFindings) return;
        Finding finding;
        finding.kind = kind;
        finding.at = now;
        findings.push_back(std::move(finding));
        found = findings.end() - 1;
        note(now, record,
             {now, EventKind::FindingRaised, Lane::Router, Lane::Router,
              static_cast<std::uint32_t>(kind), 0});
    }
    found->a = a;
    found->b = b;
    if (!packet.empty() && found->packets.size() < kMostProofs) {
        const auto proof = packet.first(std::min(packet.size(), kMostProofOctets));
        found->packets.emplace_back(proof.begin(), proof.end());
    }
    touch(record);
}

void TunnelTable::finish(Instant now, Record& record, Phase over, EventKind cause,
                         std::uint32_t code)
{
    if (record.over || !isOver(over)) return;
    setPhase(now, record, over);
    record.over = true;
    record.tunnel.ended = now;
    record.tunnel.endCause = cause;
    record.tunnel.endCode = code;
    --m_live;
    // A new connection with the same key is a new tunnel.
    for (const TunnelKey& key : record.keys) {
        const auto found = m_byKey.find(key);
        if (found != m_byKey.end() && found->second == record.tunnel.id.index) m_byKey.erase(found);
    }
    setHeld(record, false);
    refreshWake(record);
    touch(record);
}

void TunnelTable::rekeyed(Instant now, Record& record)
{
    // Both directions change their keys at about the same time: that is one rekey.
    if (record.rekeyedAt != Instant{} && now - record.rekeyedAt < kRekeyApart) return;
    record.rekeyedAt = now;
    record.exchange = {};
    ++record.tunnel.rekeys;
    note(now, record,
         {now, EventKind::Rekeyed, Lane::Router, Lane::Router, record.tunnel.rekeys, 0});
    if (record.tunnel.phase == Phase::Rekeying) sign(now, record, PhaseSign::DataBothWays);
}

/// Its peers go on after it has been given up: that is a new tunnel of the same sessions.
void TunnelTable::revive(Instant now, std::uint32_t index)
{
    if (m_records[index].keys.empty()) return;
    const TunnelKey key = m_records[index].keys.front();
    if (m_byKey.contains(key)) return;
    Record* const fresh = create(now, key);
    Record& old = m_records[index];
    if (fresh == nullptr || !old.used) return;
    fresh->keys = old.keys;
    for (const TunnelKey& other : fresh->keys) {
        m_byKey.try_emplace(other, fresh->tunnel.id.index);
    }
    Tunnel& tunnel = fresh->tunnel;
    tunnel.protocol = old.tunnel.protocol;
    tunnel.confidence = old.tunnel.confidence;
    tunnel.server = old.tunnel.server;
    tunnel.external = old.tunnel.external;
    tunnel.transport = old.tunnel.transport;
    tunnel.passage = old.tunnel.passage;
    tunnel.serverName = old.tunnel.serverName;
    tunnel.product = old.tunnel.product;
    for (const std::uint32_t attachment : old.attachments) {
        fold(old, m_attachments[attachment]);
        m_attachments[attachment].tunnel = tunnel.id.index;
    }
    std::swap(fresh->attachments, old.attachments);
    note(now, *fresh, {now, EventKind::Resumed, Lane::Server, Lane::Client, 0, 0});
    refreshWake(*fresh);
    touch(old);
}

void TunnelTable::refreshWake(const Record& record)
{
    std::uint8_t wake = 0;
    for (const Direction direction : kBothDirections) {
        const std::size_t way = indexOf(direction);
        const bool wanted = record.over
                                ? direction == Direction::Inbound
                                : !record.sawData[way] || record.silent[way] || record.oneWay;
        if (wanted) wake = static_cast<std::uint8_t>(wake | bitOf(direction));
    }
    for (const std::uint32_t attachment : record.attachments)
        m_attachments[attachment].wake = wake;
}

void TunnelTable::setHeld(const Record& record, bool held)
{
    for (const std::uint32_t attachment : record.attachments)
        m_attachments[attachment].held = held;
}

// Sessions ------------------------------------------------------------------------------------

AttachmentId TunnelTable::attach(Instant now, const TunnelKey& key, SequenceKind sequence,
                                 Carries carries)
{
    Record* const record = recordOf(key);
    if (record == nullptr) return {};
    if (m_freeAttachments.empty()) {
        if (m_attachments.size() >= kMostAttachments) return {};
        m_freeAttachments.push_back(static_cast<std::uint32_t>(m_attachments.size()));
        m_attachments.emplace_back();
    }
    const std::uint32_t index = m_freeAttachments.back();
    m_freeAttachments.pop_back();
    Attachment& attachment = m_attachments[index];
    const std::uint32_t generation = attachment.generation + 1;
    attachment = Attachment{};
    attachment.generation = generation;
    attachment.tunnel = record->tunnel.id.index;
    attachment.sequence = sequence;
    attachment.carries = carries;
    attachment.held = record->tunnel.phase == Phase::Held;
    record->attachments.push_back(index);
    refreshWake(*record);
    touch(*record);
    static_cast<void>(now);
    return {index, generation};
}

void TunnelTable::detach(Instant now, AttachmentId id, EventKind cause)
{
    if (id.index >= m_attachments.size()) return;
    Attachment& attachment = m_attachments[id.index];
    if (attachment.generation != id.generation || id.isNone()) return;
    if (attachment.tunnel != kNone) {
        Record& record = m_records[attachment.tunnel];
        fold(record, attachment);
        std::erase(record.attachments, id.index);
        if (record.attachments.empty()) {
            record.orphanedAt = now;
            record.orphanCause = cause;
        }
        touch(record);
    }
    const std::uint32_t generation = attachment.generation + 1;
    attachment = Attachment{};
    attachment.generation = generation == 0 ? 2 : generation;
    m_freeAttachments.push_back(id.index);
}

void TunnelTable::fold(Record& record, Attachment& attachment)
{
    for (const Direction direction : kBothDirections) {
        const std::size_t way = indexOf(direction);
        const Way& counted = attachment.ways[way];
        DirectionCounters& sum =
            direction == Direction::Outbound ? record.tunnel.outbound : record.tunnel.inbound;
        add(sum, {counted.packets, counted.bytes, counted.meter.lost(), counted.meter.reordered(),
                  counted.meter.duplicated(), counted.lastPacket});
        attachment.ways[way] = {};
    }
    attachment.turn = Turn::Unknown;
}

std::uint64_t TunnelTable::serialOf(AttachmentId id) const
{
    if (id.isNone() || id.index >= m_attachments.size()) return 0;
    const Attachment& attachment = m_attachments[id.index];
    if (attachment.generation != id.generation || attachment.tunnel == kNone) return 0;
    return m_records[attachment.tunnel].tunnel.serial;
}

std::uint64_t TunnelTable::serialOf(const TunnelKey& key) const
{
    const auto found = m_byKey.find(key);
    return found == m_byKey.end() ? 0 : m_records[found->second].tunnel.serial;
}

inline TunnelTable::Seen TunnelTable::seenIn(const SequenceReading& reading)
{
    if (!reading) return Seen::NoNumber;
    return reading.keepalive ? Seen::Keepalive : Seen::Data;
}

// Nearly every packet is one datagram with the next number, and nothing follows from it. That way
// through needs no call that it comes back from, so that it saves and restores nothing.
void TunnelTable::count(AttachmentId id, Instant now, const Passed& passed)
{
    if (id.index >= m_attachments.size()) return;
    Attachment& attachment = m_attachments[id.index];
    if (attachment.generation != id.generation) return;
    Seen seen = Seen::NoNumber;
    if (attachment.sequence != SequenceKind::None) {
        const bool isOne =
            passed.segmentPayload == 0 || passed.payload.size() <= passed.segmentPayload;
        const SequenceReading reading = readSequence(attachment.sequence, passed.payload);
        if (!isOne || !reading ||
            !attachment.ways[indexOf(passed.direction)].meter.countNext(now, reading)) {
            return countOther(now, id.index, passed);
        }
        seen = seenIn(reading);
    }
    tally(now, id.index, passed, seen);
}

void TunnelTable::countOther(Instant now, std::uint32_t attachment, const Passed& passed)
{
    Attachment& mine = m_attachments[attachment];
    // Without a payload these are counters of the fast path, which carries nothing but data.
    Seen most = passed.payload.empty() ? Seen::Data : Seen::NoNumber;
    std::span<const std::uint8_t> rest = passed.payload;
    const std::size_t each = passed.segmentPayload == 0 ? rest.size() : passed.segmentPayload;
    while (!rest.empty()) {
        const auto segment = rest.first(std::min(rest.size(), each));
        // One datagram of data makes it data.
        most = std::max(most, countSequence(now, mine, passed.direction, segment));
        rest = rest.subspan(segment.size());
    }
    tally(now, attachment, passed, most);
}

TunnelTable::Seen TunnelTable::countSequence(Instant now, Attachment& attachment,
                                             Direction direction,
                                             std::span<const std::uint8_t> payload)
{
    const SequenceReading reading = readSequence(attachment.sequence, payload);
    if (reading && attachment.ways[indexOf(direction)].meter.count(now, reading)) {
        sawNewStream(now, attachment);
    }
    return seenIn(reading);
}

void TunnelTable::sawNewStream(Instant now, const Attachment& attachment)
{
    if (attachment.tunnel == kNone) return;
    // ESP's security associations are told by IKE's helper, and several may share one session.
    const bool isRekey = attachment.sequence == SequenceKind::WireGuard ||
                         attachment.sequence == SequenceKind::OpenVpnUdp ||
                         attachment.sequence == SequenceKind::Dtls;
    Record& record = m_records[attachment.tunnel];
    if (isRekey && !record.over) rekeyed(now, record);
}

[[gnu::always_inline]] inline void TunnelTable::tally(Instant now, std::uint32_t attachment,
                                                      const Passed& passed, Seen seen)
{
    Attachment& session = m_attachments[attachment];
    Way& mine = session.ways[indexOf(passed.direction)];
    mine.packets += passed.packets;
    mine.bytes += passed.bytes;
    bool swallowed = false;
    if (session.turn != turnOf(passed.direction) || passed.packets != 1) {
        swallowed = takeTurn(now, session, passed);
    } else if (now - mine.lastPacket > kAnsweredWithin) {
        weighPause(mine);
        swallowed = isSwallowed(mine, passed);
    }
    mine.lastPacket = now;
    mine.size = static_cast<std::uint32_t>(passed.bytes);
    const bool isData = seen != Seen::NoNumber || session.carries == Carries::Data;
    if (isData && seen != Seen::Keepalive) {
        mine.lastData = now;
        if (mine.askedSince == Instant{}) mine.askedSince = now;
    }
    if (swallowed || (session.wake & bitOf(passed.direction)) != 0 ||
        (!isData && !passed.payload.empty())) {
        lookCloser(now, attachment, passed, swallowed, isData);
    }
}

/// A packet that does not follow one of its own direction: what the other side sent is answered.
[[gnu::always_inline]] inline bool TunnelTable::takeTurn(Instant now, Attachment& attachment,
                                                         const Passed& passed)
{
    const Turn before = attachment.turn;
    const Turn turn = turnOf(passed.direction);
    const std::size_t way = indexOf(passed.direction);
    Way& other = attachment.ways[1 - way];
    other.askedSince = Instant{};
    attachment.turn = passed.packets == 1 ? turn : Turn::Unknown;
    if (before == Turn::Unknown || before == turn || passed.packets != 1) return false;
    if (now - other.lastPacket <= kAnsweredWithin) {
        if (other.size >= kLarge) {
            other.largeUnanswered = 0;
        } else if (other.smallAnswered < kSmallEnough) {
            ++other.smallAnswered;
        }
    }
    return isSwallowed(attachment.ways[way], passed);
}

/// The latest packet of this direction has not been answered for a while.
void TunnelTable::weighPause(Way& mine)
{
    if (mine.size < kLarge) return;
    mine.least = mine.largeUnanswered == 0 ? mine.size : std::min(mine.least, mine.size);
    if (mine.largeUnanswered < kLargeLost) ++mine.largeUnanswered;
}

/// A path that swallows large packets: small ones are answered at once, large ones are sent again
/// after longer and longer pauses and nothing comes back. A stream of large packets that needs no
/// answer proves nothing, since they follow each other at once.
inline bool TunnelTable::isSwallowed(const Way& mine, const Passed& passed)
{
    return mine.largeUnanswered >= kLargeLost && mine.smallAnswered >= kSmallEnough &&
           passed.bytes >= kLarge;
}

void TunnelTable::noteSwallowed(Instant now, Attachment& attachment, const Passed& passed)
{
    const std::size_t way = indexOf(passed.direction);
    attachment.ways[way].largeUnanswered = 0;  // not every packet: the finding is there
    if (attachment.tunnel == kNone) return;
    Record& record = m_records[attachment.tunnel];
    if (record.over) return;
    raise(now, record, FindingKind::MtuBlackHole, attachment.ways[way].least,
          static_cast<std::uint32_t>(way), passed.packet);
}

void TunnelTable::lookCloser(Instant now, std::uint32_t attachment, const Passed& passed,
                             bool swallowed, bool data)
{
    if (swallowed) noteSwallowed(now, m_attachments[attachment], passed);
    if ((m_attachments[attachment].wake & bitOf(passed.direction)) != 0) {
        awake(now, attachment, passed.direction, data);
    }
    if (!data && !passed.payload.empty()) control(now, attachment, passed);
}

void TunnelTable::noteIcmp(Instant now, AttachmentId id, std::uint8_t type, std::uint8_t code,
                           std::span<const std::uint8_t> packet)
{
    if (id.isNone() || id.index >= m_attachments.size()) return;
    const Attachment& attachment = m_attachments[id.index];
    if (attachment.generation != id.generation || attachment.tunnel == kNone) return;
    Record& record = m_records[attachment.tunnel];
    if (record.over) return;
    note(now, record, {now, EventKind::IcmpError, Lane::Server, Lane::Client, type, code});
    // RFC 792: net, host, protocol, port; RFC 1812 §5.2.7.1: administratively prohibited.
    constexpr std::uint8_t kUnreachable = 3;
    const bool saysNo =
        type == kUnreachable && (code <= 3 || code == 9 || code == 10 || code == 13);
    // A path that has carried answers is not judged by one report (RFC 4787 REQ-12).
    if (!saysNo || totals(record, Direction::Inbound).packets > 0) return;
    const bool isData = attachment.carries == Carries::Data;
    const FindingKind kind = attachment.sequence == SequenceKind::Esp ? FindingKind::EspNeverReturns
                             : isData && isGre(attachment.sequence)
                                 ? FindingKind::GreNeverReturns
                                 : FindingKind::NoAnswerFromServer;
    const std::uint64_t sent = totals(record, Direction::Outbound).packets;
    raise(now, record, kind, static_cast<std::uint32_t>(std::min<std::uint64_t>(sent, 0xffffffff)),
          0, packet);
}

void TunnelTable::awake(Instant now, std::uint32_t index, Direction direction, bool data)
{
    if (m_attachments[index].tunnel == kNone) return;
    std::uint32_t tunnel = m_attachments[index].tunnel;
    if (m_records[tunnel].over) {
        const Phase phase = m_records[tunnel].tunnel.phase;
        const bool wasSilence = m_records[tunnel].tunnel.endCause == EventKind::TimedOut;
        if ((phase != Phase::Dead && phase != Phase::Failed) || !wasSilence) return;
        revive(now, tunnel);
        tunnel = m_attachments[index].tunnel;
        if (tunnel == kNone || m_records[tunnel].over) return;
    }
    Record& record = m_records[tunnel];
    const std::size_t way = indexOf(direction);
    bool changed = false;
    if (record.silent[way]) {
        record.silent[way] = false;
        changed = true;
        note(now, record,
             {now, EventKind::Resumed, senderOf(direction), receiverOf(direction),
              static_cast<std::uint32_t>(way), 0});
    }
    // The control channel may well answer while data does not.
    if (record.oneWay && direction != record.asking &&
        canCarryData(m_attachments[index].sequence, m_attachments[index].carries)) {
        record.oneWay = false;
        changed = true;
        if (!record.lossHigh) sign(now, record, PhaseSign::Recover);
    }
    if (data && !record.sawData[way]) {
        record.sawData[way] = true;
        changed = true;
        note(now, record,
             {now,
              direction == Direction::Outbound ? EventKind::DataFirstOutbound
                                               : EventKind::DataFirstInbound,
              senderOf(direction), receiverOf(direction), 0, 0});
        if (record.sawData[0] && record.sawData[1]) sign(now, record, PhaseSign::DataBothWays);
    }
    if (changed) refreshWake(record);
}

/// Packets of a data session that carry no data: the key exchanges of protocols that have one
/// session for both. What happens before the tunnel is up is the recogniser's to tell.
void TunnelTable::control(Instant now, std::uint32_t index, const Passed& passed)
{
    const Attachment& attachment = m_attachments[index];
    if (attachment.tunnel == kNone) return;
    Record& record = m_records[attachment.tunnel];
    if (record.over || !isUp(record.tunnel.phase)) return;
    const auto payload = passed.payload;
    const Lane from = senderOf(passed.direction);
    const Lane to = receiverOf(passed.direction);
    bool isRequest = false;
    bool isAnswer = false;
    std::uint32_t index32 = 0;
    std::uint32_t type = 0;
    if (attachment.sequence == SequenceKind::WireGuard && payload.size() >= 92) {
        const auto little32 = [&](std::size_t at) {
            return (std::uint32_t{payload[at + 3]} << 24) | (std::uint32_t{payload[at + 2]} << 16) |
                   (std::uint32_t{payload[at + 1]} << 8) | payload[at];
        };
        type = payload[0];
        isRequest = type == 1 && payload.size() >= 148;
        isAnswer =
            type == 2 && record.exchange.sent != Instant{} && little32(8) == record.exchange.index;
        index32 = little32(4);
    } else if (attachment.sequence == SequenceKind::OpenVpnUdp && payload.size() >= 9) {
        constexpr std::uint8_t kSoftReset = 3;
        type = payload[0] >> 3;
        index32 = payload[0] & 0x07;
        const bool isSoftReset = type == kSoftReset;
        isAnswer = isSoftReset && record.exchange.sent != Instant{} &&
                   record.exchange.direction != passed.direction &&
                   record.exchange.index == index32;
        isRequest = isSoftReset && !isAnswer;
    }
    if (isRequest) {
        const bool again = record.exchange.sent != Instant{} &&
                           now - record.exchange.sent < kRekeyPatience &&
                           record.exchange.direction == passed.direction;
        record.exchange = {now, index32, passed.direction};
        if (again) {
            ++record.tunnel.retransmissions;
            note(now, record, {now, EventKind::Retransmitted, from, to, type, 0});
        } else {
            note(now, record, {now, EventKind::KeyExchange, from, to, type, 0});
            sign(now, record, PhaseSign::Rekey);
        }
    } else if (isAnswer) {
        // Router to server is measured by an exchange that began inside.
        if (record.exchange.direction == Direction::Outbound) {
            record.tunnel.roundTrip = now - record.exchange.sent;
        }
        record.exchange = {};
        note(now, record, {now, EventKind::KeyExchange, from, to, type, 0});
    }
}

// Switches ------------------------------------------------------------------------------------

std::vector<std::uint64_t> TunnelTable::hold(Instant now, VpnProtocol protocol,
                                             const Concerns& concerns)
{
    std::vector<std::uint64_t> serials;
    for (Record& record : m_records) {
        if (!record.used || record.over || record.tunnel.protocol != protocol ||
            record.tunnel.phase == Phase::Held || (concerns && !concerns(record.tunnel))) {
            continue;
        }
        record.beforeHold = record.tunnel.phase;
        sign(now, record, PhaseSign::Hold);
        note(now, record, {now, EventKind::Held, Lane::Router, Lane::Router, 0, 0});
        setHeld(record, true);
        serials.push_back(record.tunnel.serial);
    }
    return serials;
}

std::vector<std::uint64_t> TunnelTable::release(Instant now, VpnProtocol protocol)
{
    std::vector<std::uint64_t> serials;
    for (Record& record : m_records) {
        if (!record.used || record.over || record.tunnel.protocol != protocol ||
            record.tunnel.phase != Phase::Held) {
            continue;
        }
        note(now, record, {now, EventKind::Released, Lane::Router, Lane::Router, 0, 0});
        setPhase(now, record, record.beforeHold);
        setHeld(record, false);
        // What nobody could answer while it was held says nothing about the tunnel.
        for (const std::uint32_t attachment : record.attachments) {
            for (Way& way : m_attachments[attachment].ways)
                way.askedSince = Instant{};
        }
        serials.push_back(record.tunnel.serial);
    }
    return serials;
}

std::vector<std::uint64_t> TunnelTable::drop(Instant now, VpnProtocol protocol)
{
    std::vector<std::uint64_t> serials;
    for (Record& record : m_records) {
        if (!record.used || record.over || record.tunnel.protocol != protocol ||
            record.tunnel.phase != Phase::Held) {
            continue;
        }
        note(now, record, {now, EventKind::DroppedBySwitch, Lane::Router, Lane::Router, 0, 0});
        finish(now, record, Phase::Refused, EventKind::DroppedBySwitch, 0);
        serials.push_back(record.tunnel.serial);
    }
    return serials;
}

bool TunnelTable::end(Instant now, std::uint64_t serial, Phase over, EventKind cause)
{
    for (Record& record : m_records) {
        if (!record.used || record.over || record.tunnel.serial != serial) continue;
        finish(now, record, over, cause, 0);
        return true;
    }
    return false;
}

void TunnelTable::noteAll(Instant now, EventKind event)
{
    for (Record& record : m_records) {
        if (!record.used || record.over) continue;
        note(now, record, {now, event, Lane::Router, Lane::Router, 0, 0});
    }
}

// Reports -------------------------------------------------------------------------------------

DirectionCounters TunnelTable::totals(const Record& record, Direction direction) const
{
    DirectionCounters sum =
        direction == Direction::Outbound ? record.tunnel.outbound : record.tunnel.inbound;
    const std::size_t way = indexOf(direction);
    for (const std::uint32_t index : record.attachments) {
        const Attachment& attachment = m_attachments[index];
        const Way& counted = attachment.ways[way];
        add(sum, {counted.packets, counted.bytes, counted.meter.lost(), counted.meter.reordered(),
                  counted.meter.duplicated(), counted.lastPacket});
    }
    return sum;
}

Tunnel TunnelTable::summed(const Record& record) const
{
    Tunnel tunnel = record.tunnel;
    tunnel.outbound = totals(record, Direction::Outbound);
    tunnel.inbound = totals(record, Direction::Inbound);
    tunnel.sessions = static_cast<std::uint32_t>(record.attachments.size());
    return tunnel;
}

std::vector<Tunnel> TunnelTable::tunnels() const
{
    std::vector<Tunnel> all;
    all.reserve(m_live);
    for (const Record& record : m_records) {
        if (record.used && !record.hidden) all.push_back(summed(record));
    }
    std::ranges::sort(all, {}, &Tunnel::serial);
    return all;
}

std::optional<Tunnel> TunnelTable::find(std::uint64_t serial) const
{
    for (const Record& record : m_records) {
        if (record.used && record.tunnel.serial == serial) return summed(record);
    }
    return std::nullopt;
}

void TunnelTable::takeNews(Instant now, std::vector<Tunnel>& changed, std::vector<Tunnel>& ended)
{
    m_newsDue = Instant{Duration::max()};
    std::vector<std::uint32_t> waiting;
    for (const std::uint32_t index : m_dirty) {
        Record& record = m_records[index];
        if (!record.used || !record.dirty) {
            record.dirty = false;
            continue;
        }
        if (record.over) {
            record.dirty = false;
            if (!record.endReported) ended.push_back(summed(record));
            record.endReported = true;
            continue;
        }
        if (record.everReported && now - record.reported < kReportInterval) {
            m_newsDue = std::min(m_newsDue, record.reported + kReportInterval);
            waiting.push_back(index);
            continue;
        }
        record.dirty = false;
        record.everReported = true;
        record.reported = now;
        changed.push_back(summed(record));
    }
    std::swap(m_dirty, waiting);
}

// Time ----------------------------------------------------------------------------------------

void TunnelTable::handleTimeout(Instant now)
{
    if (now < m_sweepDue) return;
    bool any = false;
    for (Record& record : m_records) {
        if (!record.used) continue;
        sweep(now, record);
        any = any || record.used;
    }
    m_sweepDue = any ? now + kSweepInterval : Instant{Duration::max()};
}

std::optional<Instant> TunnelTable::nextTimeout() const
{
    const Instant due = std::min(m_sweepDue, m_newsDue);
    if (due == Instant{Duration::max()}) return std::nullopt;
    return due;
}

void TunnelTable::sweep(Instant now, Record& record)
{
    if (record.over) {
        if (now - record.tunnel.ended < kEndedKept) return;
        record.hidden = true;
        if (record.attachments.empty() && record.endReported) remove(record);
        return;
    }
    watchOrphan(now, record);
    if (record.over || record.tunnel.phase == Phase::Held) return;
    for (const std::uint32_t attachment : record.attachments) {
        for (Way& way : m_attachments[attachment].ways)
            way.meter.settle(now);
    }
    watchSilence(now, record);
    if (record.over) return;
    watchOneWay(now, record);
    if (record.over) return;
    watchLoss(now, record);
    if (record.tunnel.phase == Phase::Rekeying && now - record.phaseSince >= kRekeyPatience) {
        record.exchange = {};
        sign(now, record, PhaseSign::Recover);
    }
}

void TunnelTable::watchOrphan(Instant now, Record& record)
{
    if (!record.attachments.empty()) return;
    // A tunnel that never had a session waits longer: its first one may be announced only.
    const bool never = record.tunnel.outbound.packets == 0 && record.tunnel.inbound.packets == 0;
    if (now - record.orphanedAt < (never ? kNeverAnswered : kOrphanKept)) return;
    const bool wasUp = !isBefore(record.tunnel.phase, Phase::Established);
    const EventKind cause = record.orphanCause;
    Phase over = wasUp ? Phase::Dead : Phase::Failed;
    if (wasUp && (cause == EventKind::PeerClosed || cause == EventKind::ResetBy))
        over = Phase::Closed;
    if (cause == EventKind::DroppedBySwitch) over = Phase::Refused;
    finish(now, record, over, cause, 0);
}

void TunnelTable::watchSilence(Instant now, Record& record)
{
    const DirectionCounters outbound = totals(record, Direction::Outbound);
    const DirectionCounters inbound = totals(record, Direction::Inbound);
    const Instant last = std::max(outbound.lastPacket, inbound.lastPacket);
    if (record.tunnel.phase == Phase::Closing) {
        if (now - std::max(last, record.phaseSince) >= kCloseQuiet) {
            finish(now, record, Phase::Closed, EventKind::PeerClosed, 0);
        }
        return;
    }
    if (isBefore(record.tunnel.phase, Phase::Establishing)) {
        const bool unanswered = inbound.packets == 0 && outbound.packets > 0;
        if (!unanswered) return;
        const Duration waited = now - record.tunnel.started;
        if (waited >= kNoAnswerAfter && outbound.packets >= kUnansweredPackets) {
            raise(now, record, FindingKind::NoAnswerFromServer,
                  static_cast<std::uint32_t>(std::min<std::uint64_t>(outbound.packets, 0xffffffff)),
                  seconds(waited));
        }
        if (waited >= kNeverAnswered) finish(now, record, Phase::Failed, EventKind::TimedOut, 0);
        return;
    }
    bool changed = false;
    for (const Direction direction : kBothDirections) {
        const std::size_t way = indexOf(direction);
        const DirectionCounters& counters = direction == Direction::Outbound ? outbound : inbound;
        if (record.silent[way] || counters.packets == 0) continue;
        if (now - counters.lastPacket < kSilentAfter) continue;
        record.silent[way] = true;
        changed = true;
        note(now, record,
             {now, EventKind::WentSilent, senderOf(direction), receiverOf(direction),
              static_cast<std::uint32_t>(way), 0});
    }
    if (changed) refreshWake(record);
}

void TunnelTable::watchOneWay(Instant now, Record& record)
{
    if (isBefore(record.tunnel.phase, Phase::Establishing) ||
        record.tunnel.phase == Phase::Closing) {
        return;
    }
    for (const Direction direction : kBothDirections) {
        const std::size_t way = indexOf(direction);
        Instant since;
        Instant lastAsked;
        Instant lastAnswer;
        for (const std::uint32_t index : record.attachments) {
            const Attachment& attachment = m_attachments[index];
            const bool isData =
                attachment.carries == Carries::Data || attachment.sequence != SequenceKind::None;
            if (!isData) continue;
            lastAnswer = std::max(lastAnswer, attachment.ways[1 - way].lastPacket);
            if (attachment.ways[way].askedSince != Instant{}) {
                since = since == Instant{} ? attachment.ways[way].askedSince
                                           : std::min(since, attachment.ways[way].askedSince);
                lastAsked = std::max(lastAsked, attachment.ways[way].lastData);
            }
        }
        // Another session of the same tunnel may carry the answers (a new SPI after a rekey).
        if (since == Instant{} || lastAnswer > since) continue;
        if (lastAsked - since < kOneWayAfter || now - lastAsked >= kOneWayAfter) continue;
        const bool isOutbound = direction == Direction::Outbound;
        raise(now, record, isOutbound ? FindingKind::OutboundOnly : FindingKind::InboundOnly,
              seconds(now - since), 0);
        if (!record.oneWay) {
            record.oneWay = true;
            record.asking = direction;
            sign(now, record, PhaseSign::Degrade);
            refreshWake(record);
        }
        if (now - since >= deadAfter(record.tunnel.protocol)) {
            finish(now, record, Phase::Dead, EventKind::TimedOut, 0);
            return;
        }
    }
}

void TunnelTable::watchLoss(Instant now, Record& record)
{
    if (now - record.lossMarkAt < kLossInterval) return;
    record.lossMarkAt = now;
    bool high = false;
    bool gone = true;
    for (const Direction direction : kBothDirections) {
        const std::size_t way = indexOf(direction);
        const DirectionCounters total = totals(record, direction);
        const DirectionCounters before = std::exchange(record.lossMark[way], total);
        const std::uint64_t lost = total.lost - std::min(before.lost, total.lost);
        const std::uint64_t sent = total.packets - std::min(before.packets, total.packets) + lost;
        if (sent < kLossPackets) continue;
        const std::uint64_t perMille = lost * 1000 / sent;
        gone = gone && perMille < kLossGonePerMille;
        if (perMille < kLossHighPerMille) continue;
        high = true;
        if (!record.lossHigh) {
            note(now, record,
                 {now, EventKind::LossHigh, senderOf(direction), receiverOf(direction),
                  static_cast<std::uint32_t>(perMille), static_cast<std::uint32_t>(way)});
        }
        raise(now, record, FindingKind::HighLoss, static_cast<std::uint32_t>(perMille),
              static_cast<std::uint32_t>(way));
    }
    if (high && !record.lossHigh) {
        record.lossHigh = true;
        sign(now, record, PhaseSign::Degrade);
    } else if (record.lossHigh && gone) {
        record.lossHigh = false;
        if (!record.oneWay) sign(now, record, PhaseSign::Recover);
    }
}

}  // namespace engine::tunnel
