#include "engine/link/neighbour_table.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace engine::link {

namespace {

using namespace std::chrono_literals;

// Specification.
/// RFC 1122 §2.3.2.1: at most one request a second to one destination.
constexpr Duration kAskAgain = 1s;

// Ours.
/// Questions in all: enough to learn a school's network in a minute, too few to flood a link.
constexpr std::uint32_t kQuestionsPerSecond = 100;
/// Questions before an address counts as silent.
constexpr std::uint8_t kTries = 3;
/// Questions to the owner alone before a contested address is asked for aloud.
constexpr std::uint8_t kOwnerTries = 2;
/// An owner that is in use is asked again after this; RFC 1122 suggests a minute.
constexpr Duration kRecheck = 60s;
/// How long packets to a silent address are refused without asking again.
constexpr Duration kFailedFor = 3s;
/// After the owner has defended its address, further claims do not even make us ask.
constexpr Duration kDefended = 10s;
/// A confirmed neighbour that was not used for so long may make room for another.
constexpr Duration kUnused = 60s;

}  // namespace

NeighbourTable::NeighbourTable(HashKey key)
    : m_key(key), m_index(2 * kMostNeighbours, kNone), m_tokens(kQuestionsPerSecond)
{
    static_assert(kMostNeighbours < kNone && std::has_single_bit(kMostNeighbours));
}

std::size_t NeighbourTable::home(net::Ipv4Address address) const
{
    return sipHash(m_key, address.hostOrder(), 0) & (m_index.size() - 1);
}

NeighbourTable::Slot NeighbourTable::slotOf(net::Ipv4Address address) const
{
    for (std::size_t at = home(address);; at = (at + 1) & (m_index.size() - 1)) {
        const Slot slot = m_index[at];
        if (slot == kNone || m_entries[slot].known.address == address) return slot;
    }
}

NeighbourTable::Slot NeighbourTable::insert(Instant now, net::Ipv4Address address,
                                            NeighbourOutput& output)
{
    Slot slot = kNone;
    if (!m_free.empty()) {
        slot = m_free.back();
        m_free.pop_back();
    } else if (m_entries.size() < kMostNeighbours) {
        slot = static_cast<Slot>(m_entries.size());
        m_entries.emplace_back();
    } else {
        slot = victim(now);
        if (slot == kNone) return kNone;
        remove(slot, output);
        m_free.pop_back();
    }
    Entry& entry = m_entries[slot];
    entry = Entry{};
    entry.live = true;
    entry.known.address = address;
    entry.known.lastHeard = now;
    entry.lastUsed = now;
    std::size_t at = home(address);
    while (m_index[at] != kNone)
        at = (at + 1) & (m_index.size() - 1);
    m_index[at] = slot;
    ++m_used;
    return slot;
}

/// Looks at a bounded number of entries and takes the least worth keeping; none if all are
/// confirmed and in use.
NeighbourTable::Slot NeighbourTable::victim(Instant now)
{
    Slot best = kNone;
    int bestWorth = 3;
    for (int looked = 0; looked < 64; ++looked) {
        m_hand = (m_hand + 1) % m_entries.size();
        const Entry& entry = m_entries[m_hand];
        int worth = 3;
        if (entry.known.state == NeighbourState::Failed) {
            worth = 0;
        } else if (entry.known.state == NeighbourState::Incomplete ||
                   entry.known.state == NeighbourState::Provisional) {
            worth = 1;
        } else if (now - std::max(entry.lastUsed, entry.known.lastHeard) > kUnused) {
            worth = 2;
        }
        if (worth < bestWorth) {
            bestWorth = worth;
            best = static_cast<Slot>(m_hand);
            if (worth == 0) break;
        }
    }
    return best;
}

void NeighbourTable::remove(Slot slot, NeighbourOutput& output)
{
    giveUpPackets(m_entries[slot], output);
    unindex(slot);
    m_entries[slot].live = false;
    m_free.push_back(slot);
    --m_used;
}

/// Takes the slot out of the index and closes the gap, so that no probe ends early.
void NeighbourTable::unindex(Slot slot)
{
    const std::size_t mask = m_index.size() - 1;
    std::size_t gap = home(m_entries[slot].known.address);
    while (m_index[gap] != slot)
        gap = (gap + 1) & mask;
    for (std::size_t at = (gap + 1) & mask; m_index[at] != kNone; at = (at + 1) & mask) {
        const std::size_t wanted = home(m_entries[m_index[at]].known.address);
        if (((at - wanted) & mask) >= ((at - gap) & mask)) {
            m_index[gap] = m_index[at];
            gap = at;
        }
    }
    m_index[gap] = kNone;
}

bool NeighbourTable::takeToken(Instant now)
{
    if (now - m_tokensAt >= 1s) {
        m_tokens = kQuestionsPerSecond;
        m_tokensAt = now;
    }
    if (m_tokens == 0) return false;
    --m_tokens;
    return true;
}

void NeighbourTable::schedule(Instant at)
{
    if (!m_next || at < *m_next) m_next = at;
}

/// Without a token the question counts as asked in vain and comes again with the next second.
void NeighbourTable::ask(Instant now, Entry& entry, bool everybody, NeighbourOutput& output)
{
    entry.timed = true;
    entry.asked = now;
    entry.askedAll = everybody;
    schedule(now + kAskAgain);
    if (!takeToken(now)) return;
    ++entry.tries;
    const auto to = everybody ? net::MacAddress::broadcast() : entry.known.mac;
    output.questions.push_back(Question{entry.known.address, to});
}

NeighbourTable::Found NeighbourTable::find(Instant now, net::Ipv4Address address,
                                           NeighbourOutput& output)
{
    Slot slot = slotOf(address);
    if (slot == kNone) {
        slot = insert(now, address, output);
        if (slot == kNone) return {};
        ask(now, m_entries[slot], true, output);
        return {Use::Wait, {}};
    }
    Entry& entry = m_entries[slot];
    entry.lastUsed = now;
    switch (entry.known.state) {
    case NeighbourState::Incomplete: return {Use::Wait, {}};
    case NeighbourState::Failed:
        if (now - entry.asked < kFailedFor) return {};
        entry.known.state = NeighbourState::Incomplete;
        entry.tries = 0;
        ask(now, entry, true, output);
        return {Use::Wait, {}};
    case NeighbourState::Confirmed:
        if (now - entry.confirmed >= kRecheck) {
            entry.known.state = NeighbourState::Rechecked;
            entry.tries = 0;
            ask(now, entry, false, output);
        }
        break;
    case NeighbourState::Provisional:
    case NeighbourState::Rechecked:
    case NeighbourState::Contested: break;
    }
    return {Use::Ready, entry.known.mac};
}

bool NeighbourTable::await(net::Ipv4Address address, wire::ConstBytes packet,
                           wire::ChecksumState checksum, std::uint16_t segmentPayload)
{
    const Slot slot = slotOf(address);
    if (slot == kNone) return false;
    Entry& entry = m_entries[slot];
    if (entry.packets.size() >= kMostWaitingPerNeighbour || m_waiting >= kMostWaiting ||
        m_waitingOctets + packet.size() > kMostWaitingOctets) {
        return false;
    }
    ++m_waiting;
    m_waitingOctets += packet.size();
    entry.packets.push_back(
        WaitingPacket{{packet.begin(), packet.end()}, checksum, segmentPayload});
    return true;
}

NeighbourTable::Ownership NeighbourTable::heard(Instant now, net::Ipv4Address address,
                                                net::MacAddress mac, NeighbourOutput& output)
{
    Slot slot = slotOf(address);
    if (slot == kNone) slot = insert(now, address, output);
    // A full table of neighbours in use: nothing is known against this one.
    if (slot == kNone) return Ownership::Owner;
    Entry& entry = m_entries[slot];
    switch (entry.known.state) {
    case NeighbourState::Incomplete:
    case NeighbourState::Failed: {
        entry.known.state = NeighbourState::Provisional;
        entry.known.mac = mac;
        entry.known.lastHeard = now;
        const bool open = entry.timed && now - entry.asked < kAskAgain && entry.askedAll;
        if (!open) {
            entry.tries = 0;
            ask(now, entry, true, output);
        }
        for (auto& packet : entry.packets) {
            m_waitingOctets -= packet.bytes.size();
            --m_waiting;
            output.resolved.push_back({mac, std::move(packet)});
        }
        entry.packets.clear();
        return Ownership::Owner;
    }
    case NeighbourState::Provisional:
    case NeighbourState::Confirmed:
    case NeighbourState::Rechecked:
    case NeighbourState::Contested: break;
    }
    if (entry.known.mac == mac) {
        entry.known.lastHeard = now;
        return Ownership::Owner;
    }
    contest(now, entry, output);
    return Ownership::NotOwner;
}

void NeighbourTable::claimed(Instant now, net::Ipv4Address address, net::MacAddress mac,
                             NeighbourOutput& output)
{
    const Slot slot = slotOf(address);
    if (slot == kNone) return;
    Entry& entry = m_entries[slot];
    if (entry.known.state == NeighbourState::Incomplete ||
        entry.known.state == NeighbourState::Failed || entry.known.mac == mac) {
        return;
    }
    contest(now, entry, output);
}

void NeighbourTable::answered(Instant now, net::Ipv4Address address, net::MacAddress mac,
                              NeighbourOutput& output)
{
    const Slot slot = slotOf(address);
    if (slot == kNone) return;
    Entry& entry = m_entries[slot];
    const bool open = entry.timed && entry.known.state != NeighbourState::Failed;
    if (open && (entry.askedAll || entry.known.mac == mac)) {
        confirm(now, entry, mac, output);
    } else {
        claimed(now, address, mac, output);
    }
}

void NeighbourTable::confirm(Instant now, Entry& entry, net::MacAddress mac,
                             NeighbourOutput& output)
{
    if (entry.known.state == NeighbourState::Contested) entry.quietUntil = now + kDefended;
    entry.known.state = NeighbourState::Confirmed;
    entry.known.mac = mac;
    entry.known.lastHeard = now;
    entry.confirmed = now;
    entry.timed = false;
    entry.tries = 0;
    for (auto& packet : entry.packets) {
        m_waitingOctets -= packet.bytes.size();
        --m_waiting;
        output.resolved.push_back({mac, std::move(packet)});
    }
    entry.packets.clear();
}

void NeighbourTable::contest(Instant now, Entry& entry, NeighbourOutput& output)
{
    switch (entry.known.state) {
    case NeighbourState::Confirmed:
        if (now < entry.quietUntil) return;
        entry.known.state = NeighbourState::Contested;
        entry.tries = 0;
        ask(now, entry, false, output);
        return;
    case NeighbourState::Provisional:
        // Neither has answered a question yet; the first answer decides.
        if (!entry.timed && now - entry.asked >= kAskAgain) {
            entry.tries = 0;
            ask(now, entry, true, output);
        }
        return;
    case NeighbourState::Incomplete:
    case NeighbourState::Rechecked:
    case NeighbourState::Contested:
    case NeighbourState::Failed: return;
    }
}

void NeighbourTable::giveUpPackets(Entry& entry, NeighbourOutput& output)
{
    for (const auto& packet : entry.packets)
        m_waitingOctets -= packet.bytes.size();
    m_waiting -= entry.packets.size();
    output.gaveUp += static_cast<std::uint32_t>(entry.packets.size());
    entry.packets.clear();
}

void NeighbourTable::expire(Instant now, Slot slot, NeighbourOutput& output)
{
    Entry& entry = m_entries[slot];
    switch (entry.known.state) {
    case NeighbourState::Incomplete:
        if (entry.tries < kTries) {
            ask(now, entry, true, output);
            return;
        }
        giveUpPackets(entry, output);
        entry.known.state = NeighbourState::Failed;
        entry.asked = now;
        schedule(now + kFailedFor);
        return;
    case NeighbourState::Provisional:
        // It does not answer, but it sends: keep it as it is.
        if (entry.tries < kTries) {
            ask(now, entry, true, output);
        } else {
            entry.timed = false;
        }
        return;
    case NeighbourState::Rechecked:
    case NeighbourState::Contested:
        if (entry.tries < kOwnerTries) {
            ask(now, entry, false, output);
        } else if (entry.tries < kOwnerTries + kTries) {
            ask(now, entry, true, output);
        } else {
            remove(slot, output);
        }
        return;
    case NeighbourState::Confirmed: entry.timed = false; return;
    case NeighbourState::Failed: remove(slot, output); return;
    }
}

void NeighbourTable::handleTimeout(Instant now, NeighbourOutput& output)
{
    if (!m_next || now < *m_next) return;
    m_next.reset();
    for (std::size_t slot = 0; slot < m_entries.size(); ++slot) {
        const Entry& entry = m_entries[slot];
        if (!entry.live || !entry.timed) continue;
        const Instant due =
            entry.asked + (entry.known.state == NeighbourState::Failed ? kFailedFor : kAskAgain);
        if (due <= now) {
            expire(now, static_cast<Slot>(slot), output);
        } else {
            schedule(due);
        }
    }
}

std::optional<Instant> NeighbourTable::nextTimeout() const
{
    return m_next;
}

std::vector<Neighbour> NeighbourTable::neighbours() const
{
    std::vector<Neighbour> all;
    all.reserve(m_used);
    for (const auto& entry : m_entries) {
        if (entry.live && entry.known.state != NeighbourState::Incomplete &&
            entry.known.state != NeighbourState::Failed) {
            all.push_back(entry.known);
        }
    }
    return all;
}

std::optional<Neighbour> NeighbourTable::neighbour(net::Ipv4Address address) const
{
    const Slot slot = slotOf(address);
    if (slot == kNone) return std::nullopt;
    return m_entries[slot].known;
}

void NeighbourTable::clear(NeighbourOutput& output)
{
    for (auto& entry : m_entries) {
        if (entry.live) giveUpPackets(entry, output);
    }
    m_entries.clear();
    m_free.clear();
    std::fill(m_index.begin(), m_index.end(), kNone);
    m_used = 0;
    m_hand = 0;
    m_next.reset();
}

}  // namespace engine::link
