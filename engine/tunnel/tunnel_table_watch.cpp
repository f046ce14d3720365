#include "engine/tunnel/tunnel_table_parts.h"

#include <algorithm>
#include <utility>

/// What can be told only by time passing: silence, one-way traffic, loss, ends.
namespace engine::tunnel {

using namespace table;

void TunnelTable::handleTimeout(Instant now)
{
    if (now < m_sweepDue) return;
    if (m_sweepAt == 0) m_sweepBegan = now;
    for (std::size_t looked = 0; looked < kLookedAtPerCall && m_sweepAt < m_records.size();
         ++looked, ++m_sweepAt) {
        if (m_records[m_sweepAt].used) sweep(now, m_records[m_sweepAt]);
    }
    if (m_sweepAt < m_records.size()) return;  // still due: the next call goes on
    m_sweepAt = 0;
    const bool any = m_freeRecords.size() < m_records.size();
    m_sweepDue = any ? m_sweepBegan + kSweepInterval : Instant{Duration::max()};
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

/// True when it has been taken for one.
bool TunnelTable::watchGoodbye(Instant now, Record& record, Instant last)
{
    if (record.mayEndAt == Instant{} || record.tunnel.phase == Phase::Held) return false;
    if (last != record.heard) {
        const bool wentOn = record.heard != Instant{} && last > record.heard;
        if (wentOn) record.longPause = std::max(record.longPause, last - record.heard);
        record.heard = last;
    }
    // Whatever came later than the answer to it shows that it was none.
    if (last - record.mayEndAt > kGoodbyeAnswered) return false;
    if (now - last < std::max(kGoodbyeSilence, record.longPause * 3 / 2)) return false;
    finish(now, record, Phase::Closed, EventKind::LikelyDeleted, 0);
    return true;
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
    if (watchGoodbye(now, record, last)) return;
    if (isBefore(record.tunnel.phase, Phase::Establishing)) {
        const bool unanswered = inbound.packets == 0 && outbound.packets > 0;
        if (!unanswered) return;
        const Duration waited = now - record.tunnel.started;
        if (waited >= kNoAnswerAfter && outbound.packets >= kUnansweredPackets) {
            raise(now, record, FindingKind::NoAnswerFromServer,
                  static_cast<std::uint32_t>(std::min<std::uint64_t>(outbound.packets, 0xffffffff)),
                  seconds(waited), record.first[indexOf(Direction::Outbound)]);
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
              seconds(now - since), 0, record.inVain.empty() ? record.first[way] : record.inVain);
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
