#include "engine/tunnel/tunnel_table_parts.h"

#include <algorithm>
#include <utility>

/// Sessions that carry tunnels, and what their packets show. count() and what it is made of have to
/// stay together: they are one function to the compiler.
namespace engine::tunnel {

using namespace table;

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
    if (!passed.packet.empty()) keepProof(attachment, passed);
    if (swallowed) noteSwallowed(now, m_attachments[attachment], passed);
    if ((m_attachments[attachment].wake & bitOf(passed.direction)) != 0) {
        awake(now, attachment, passed.direction, data);
    }
    if (!data && !passed.payload.empty()) control(now, attachment, passed);
}

/// What a finding that time makes will be proved by.
void TunnelTable::keepProof(std::uint32_t attachment, const Passed& passed)
{
    if (m_attachments[attachment].tunnel == kNone) return;
    Record& record = m_records[m_attachments[attachment].tunnel];
    const bool isInVain = record.oneWay && record.asking == passed.direction;
    std::vector<std::uint8_t>& kept =
        isInVain ? record.inVain : record.first[indexOf(passed.direction)];
    if (!kept.empty()) return;
    const auto headers = passed.packet.first(std::min(passed.packet.size(), kHeaders));
    kept.assign(headers.begin(), headers.end());
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
        const EventKind cause = m_records[tunnel].tunnel.endCause;
        const bool wasSilence =
            cause == EventKind::TimedOut && (phase == Phase::Dead || phase == Phase::Failed);
        if (!wasSilence && cause != EventKind::LikelyDeleted) return;
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

}  // namespace engine::tunnel
