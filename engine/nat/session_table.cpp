#include "engine/nat/session_table.h"

#include <algorithm>
#include <bit>
#include <cassert>

namespace engine::nat {

SessionTable::SessionTable(std::uint32_t capacity, HashKey key, MemoryAdvice advice)
    : m_key(key),
      m_capacity(capacity),
      m_sessions(capacity, advice),
      m_details(capacity, advice),
      m_index(capacity * 2, advice)
{
    assert(capacity <= 0xffffff);
    m_wheel.fill(FlatIndex::kNone);
}

MaybeIndex SessionTable::allocate(Instant now)
{
    std::uint32_t index = m_free;
    if (index != FlatIndex::kNone) {
        m_free = m_details[index].mappingNext;
        if (m_free != FlatIndex::kNone) {
            __builtin_prefetch(m_details.data() + m_free, 1);
            __builtin_prefetch(m_sessions.data() + m_free, 1);
        }
    } else if (m_touched < m_capacity) {
        index = m_touched++;
    } else {
        return std::nullopt;
    }
    m_sessions[index] = Session{};
    m_details[index] = SessionDetail{};
    m_details[index].flags = detail_flag::kUsed;
    m_details[index].setCreated(now);
    m_details[index].setSerial(m_nextSerial++);
    m_sessions[index].lastPacket = now;
    ++m_used;
    return index;
}

void SessionTable::link(std::uint32_t index, net::Direction direction, std::uint32_t hash,
                        const FlatIndex::Place& guess)
{
    m_index.insert(hash, (index << 1) | static_cast<std::uint32_t>(direction), guess);
    m_details[index].flags |= direction == net::Direction::Outbound ? detail_flag::kHasOutbound
                                                                    : detail_flag::kHasInbound;
}

void SessionTable::unlink(std::uint32_t index, net::Direction direction)
{
    const std::uint16_t flag = direction == net::Direction::Outbound ? detail_flag::kHasOutbound
                                                                     : detail_flag::kHasInbound;
    if (!m_details[index].has(flag)) return;
    const std::uint32_t reference = (index << 1) | static_cast<std::uint32_t>(direction);
    m_index.erase(hashOf(keyOf(reference)), reference);
    m_details[index].flags = static_cast<std::uint16_t>(m_details[index].flags & ~flag);
}

void SessionTable::release(std::uint32_t index)
{
    unlink(index, net::Direction::Outbound);
    unlink(index, net::Direction::Inbound);
    disarm(index);
    m_details[index].flags = 0;
    m_details[index].mappingNext = m_free;
    m_free = index;
    --m_used;
}

void SessionTable::fold(std::uint32_t index)
{
    Session& session = m_sessions[index];
    SessionDetail& rest = m_details[index];
    rest.addBytes(session.bytesOut, session.bytesIn);
    rest.packetsOut += session.packetsOut;
    rest.packetsIn += session.packetsIn;
    session.bytesOut = session.bytesIn = 0;
    session.packetsOut = session.packetsIn = 0;
}

void SessionTable::arm(std::uint32_t index, Instant deadline)
{
    disarm(index);
    // Rounded up, so that a slot that is reached is due.
    std::int64_t tick = deadline.nanoseconds() / kTick + 1;
    if (!m_started) {
        m_tick = m_sessions[index].lastPacket.nanoseconds() / kTick;
        m_started = true;
    }
    tick = std::clamp(tick, m_tick + 1, m_tick + kSlots - 1);
    const auto slot = static_cast<std::uint32_t>(tick % kSlots);
    SessionDetail& rest = m_details[index];
    rest.wheelSlot = static_cast<std::uint16_t>(slot);
    rest.wheelPrevious = FlatIndex::kNone;
    rest.wheelNext = m_wheel[slot];
    if (rest.wheelNext != FlatIndex::kNone) m_details[rest.wheelNext].wheelPrevious = index;
    m_wheel[slot] = index;
    m_occupied[slot / 64] |= std::uint64_t{1} << (slot % 64);
}

void SessionTable::disarm(std::uint32_t index)
{
    SessionDetail& rest = m_details[index];
    if (rest.wheelSlot == SessionDetail::kNoSlot) return;
    if (rest.wheelNext != FlatIndex::kNone) {
        m_details[rest.wheelNext].wheelPrevious = rest.wheelPrevious;
    }
    if (rest.wheelPrevious != FlatIndex::kNone) {
        m_details[rest.wheelPrevious].wheelNext = rest.wheelNext;
    } else {
        m_wheel[rest.wheelSlot] = rest.wheelNext;
        if (rest.wheelNext == FlatIndex::kNone) {
            m_occupied[rest.wheelSlot / 64] &= ~(std::uint64_t{1} << (rest.wheelSlot % 64U));
        }
    }
    rest.wheelSlot = SessionDetail::kNoSlot;
    rest.wheelNext = rest.wheelPrevious = FlatIndex::kNone;
}

MaybeIndex SessionTable::takeDue(Instant now)
{
    const auto due = nextDue();
    if (!due || *due > now) {
        // Nothing is due up to now: the wheel may forget the slots it has passed.
        if (m_started) m_tick = std::max(m_tick, now.nanoseconds() / kTick);
        return std::nullopt;
    }
    const std::int64_t tick = due->nanoseconds() / kTick;
    m_tick = std::max(m_tick, tick - 1);
    const std::uint32_t index = m_wheel[static_cast<std::size_t>(tick % kSlots)];
    disarm(index);
    // Who comes next is far away in memory, and this one's end takes long enough to fetch it.
    const std::uint32_t next = m_wheel[static_cast<std::size_t>(tick % kSlots)];
    if (next != FlatIndex::kNone) {
        __builtin_prefetch(m_details.data() + next, 1);
        __builtin_prefetch(m_sessions.data() + next, 1);
    }
    return index;
}

std::optional<Instant> SessionTable::nextDue() const
{
    if (m_used == 0) return std::nullopt;
    // The first occupied slot after m_tick, a word at a time.
    const auto start = static_cast<std::uint32_t>((m_tick + 1) % kSlots);
    for (std::uint32_t step = 0; step <= m_occupied.size(); ++step) {
        const auto word = static_cast<std::uint32_t>((start / 64 + step) % m_occupied.size());
        std::uint64_t bits = m_occupied[word];
        if (step == 0) bits &= ~std::uint64_t{0} << (start % 64);
        if (step == m_occupied.size()) bits &= (std::uint64_t{1} << (start % 64)) - 1;
        if (bits == 0) continue;
        const std::uint32_t slot = word * 64 + static_cast<std::uint32_t>(std::countr_zero(bits));
        const std::int64_t distance = (slot + kSlots - start) % kSlots;
        return Instant{Duration{(m_tick + 1 + distance) * kTick}};
    }
    return std::nullopt;
}

}  // namespace engine::nat
