#include "engine/tunnel/tunnel_table_parts.h"

#include <algorithm>
#include <utility>

namespace engine::tunnel {

using namespace table;

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
    m_newsAfterwards = std::min(m_newsAfterwards, due);  // the round may be past it
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
    case Observation::Kind::RoundTrip:
        // Answered within one turn of the clock, which says nothing; zero is for "unknown".
        if (observation.duration > Duration{0}) tunnel.roundTrip = observation.duration;
        break;
    case Observation::Kind::InnerAddress:
        tunnel.innerAddress = net::Ipv4Address{observation.a};
        break;
    case Observation::Kind::InnerMtu:
        tunnel.innerMtu = static_cast<std::uint16_t>(std::min(observation.a, 0xffffU));
        break;
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
    case Observation::Kind::MayEnd: record->mayEndAt = now; break;
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
    if (to.innerAddress.isUnspecified()) to.innerAddress = old.innerAddress;
    if (to.innerMtu == 0) to.innerMtu = old.innerMtu;
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
        if (target->first[way].empty()) target->first[way] = source->first[way];
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
    const auto proof = packet.first(std::min(packet.size(), kMostProofOctets));
    const bool isNew = std::ranges::none_of(
        found->packets, [&](const auto& known) { return std::ranges::equal(known, proof); });
    if (!proof.empty() && isNew && found->packets.size() < kMostProofs) {
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
    tunnel.innerAddress = old.tunnel.innerAddress;
    tunnel.innerMtu = old.tunnel.innerMtu;
    fresh->longPause = std::max(old.longPause, now - old.heard);
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
    if (m_newsAt == 0) m_newsAfterwards = Instant{Duration::max()};
    for (std::size_t looked = 0; looked < kLookedAtPerCall && m_newsAt < m_dirty.size();
         ++looked, ++m_newsAt) {
        const std::uint32_t index = m_dirty[m_newsAt];
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
            m_newsAfterwards = std::min(m_newsAfterwards, record.reported + kReportInterval);
            m_dirty[m_newsKept++] = index;
            continue;
        }
        record.dirty = false;
        record.everReported = true;
        record.reported = now;
        changed.push_back(summed(record));
    }
    if (m_newsAt < m_dirty.size()) return;  // still due: the next call goes on
    m_dirty.resize(m_newsKept);
    m_newsAt = m_newsKept = 0;
    m_newsDue = m_dirty.empty() ? Instant{Duration::max()} : m_newsAfterwards;
}

}  // namespace engine::tunnel
