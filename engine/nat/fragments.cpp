#include "engine/nat/fragments.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <utility>

namespace engine::nat {
namespace {

// Specification.
/// RFC 791 §3.1: an IPv4 packet's length has 16 bits.
constexpr std::size_t kLongestPacket = 65535;

// Ours.
/// A source with less than this part of the table is not called a flood.
constexpr std::uint32_t kHeavyPart = 64;
constexpr std::uint32_t kSourcePart = 8;

/// What the first fragment must hold for the NAT to decide, and for nobody to be able to replace by
/// a second one: TCP up to its flags and checksum, elsewhere ports, identifiers, Call ID or SPI.
constexpr std::size_t leastFirst(net::IpProtocol protocol)
{
    return protocol == net::IpProtocol::Tcp ? 20 : 8;
}

/// The end of a list of indices.
constexpr std::uint32_t kEnd = 0xffffffff;

template <typename Nodes, typename Get>
void append(Nodes& nodes, auto& list, std::uint32_t index, Get link)
{
    link(nodes[index]) = {list.newest, kEnd};
    if (list.newest != kEnd) {
        link(nodes[list.newest]).next = index;
    } else {
        list.oldest = index;
    }
    list.newest = index;
    ++list.size;
}

template <typename Nodes, typename Get>
void unlink(Nodes& nodes, auto& list, std::uint32_t index, Get link)
{
    const auto at = link(nodes[index]);
    (at.previous != kEnd ? link(nodes[at.previous]).next : list.oldest) = at.next;
    (at.next != kEnd ? link(nodes[at.next]).previous : list.newest) = at.previous;
    --list.size;
}

constexpr auto kInClass = [](auto& datagram) -> auto&
{
    return datagram.inClass;
};
constexpr auto kInSource = [](auto& datagram) -> auto&
{
    return datagram.inSource;
};
constexpr auto kByWeight = [](auto& source) -> auto&
{
    return source.byWeight;
};

FragmentDecision dropped(DropReason reason)
{
    FragmentDecision decision;
    decision.reason = reason;
    return decision;
}

}  // namespace

void FragmentTranslation::applyTo(wire::Ipv4View& packet) const
{
    if (packet.source() != source) packet.rewriteSource(source);
    if (packet.destination() != destination) packet.rewriteDestination(destination);
    if (packet.identification() != identification) packet.rewriteIdentification(identification);
}

Fragments::Fragments(HashKey key, const FragmentLimits& limits)
    : m_key(key),
      m_limits(limits),
      m_datagrams(limits.datagrams),
      m_sources(limits.datagrams),
      m_buckets(std::bit_ceil(std::size_t{limits.datagrams}), kNone),
      m_sourceBuckets(m_buckets.size(), kNone),
      m_byWeight(std::size_t{limits.datagrams} + 1)
{
    assert(limits.datagrams >= kSourcePart);
    m_freeDatagrams.reserve(limits.datagrams);
    m_freeSources.reserve(limits.datagrams);
    for (Index index = limits.datagrams; index-- > 0;) {
        m_freeDatagrams.push_back(index);
        m_freeSources.push_back(index);
    }
}

FragmentDecision Fragments::onFragment(Instant now, net::Direction ingress,
                                       const wire::Ipv4View& packet)
{
    expire(now);
    const std::size_t offset = packet.fragmentOffset();
    const std::size_t length = packet.payload().size();
    const bool last = !packet.moreFragments();
    if (packet.headerLength() + offset + length > kLongestPacket) {
        return dropped(DropReason::FragmentOversize);
    }
    if (length == 0 || (!last && length % 8 != 0)) return dropped(DropReason::MalformedIp);
    const std::size_t least = leastFirst(packet.protocol());
    if (offset == 0 ? length < least : offset < least) return dropped(DropReason::FragmentTiny);

    const Key key{packet.source(), packet.destination(), packet.identification(), packet.protocol(),
                  ingress};
    Index index = find(key);
    if (index == kNone) index = create(now, key);
    Datagram& datagram = m_datagrams[index];
    if (datagram.verdict == Verdict::Refused) return dropped(datagram.reason);

    const Range range{static_cast<std::uint16_t>(offset),
                      static_cast<std::uint16_t>(offset + length)};
    Range* const begin = datagram.ranges.data();
    Range* const end = begin + datagram.rangeCount;
    Range* const at =
        std::lower_bound(begin, end, range, [](Range a, Range b) { return a.begin < b.begin; });
    if (at != end && *at == range && last == (datagram.totalKnown && datagram.total == range.end)) {
        return dropped(DropReason::FragmentOverlap);
    }
    const bool overlaps =
        (at != end && at->begin < range.end) || (at != begin && (at - 1)->end > range.begin);
    const bool contradicts =
        last ? datagram.totalKnown || (begin != end && (end - 1)->end > range.end)
             : datagram.totalKnown && range.end >= datagram.total;
    if (overlaps || contradicts)
        return kill(index, DropReason::FragmentOverlap, &FragmentDiscards::overlap);
    if (datagram.rangeCount == kMostPerDatagram)
        return kill(index, DropReason::FragmentQuota, &FragmentDiscards::quota);

    std::move_backward(at, end, end + 1);
    *at = range;
    ++datagram.rangeCount;
    datagram.covered += static_cast<std::uint32_t>(length);
    if (last) {
        datagram.totalKnown = true;
        datagram.total = range.end;
    }

    if (offset == 0) {
        datagram.verdict = Verdict::Asked;
        FragmentDecision decision;
        decision.kind = FragmentDecision::Kind::First;
        decision.ticket = {index, datagram.generation};
        return decision;
    }
    if (datagram.verdict != Verdict::Translated) return hold(index, packet);
    FragmentDecision decision;
    decision.kind = FragmentDecision::Kind::Follow;
    decision.translation = datagram.translation;
    if (complete(datagram)) forget(index);
    return decision;
}

void Fragments::resolve(FragmentTicket ticket, const FragmentTranslation& translation,
                        std::vector<std::vector<std::uint8_t>>& released)
{
    Datagram& datagram = m_datagrams[ticket.slot];
    if (datagram.generation != ticket.generation || datagram.verdict != Verdict::Asked) return;
    datagram.translation = translation;
    for (auto& bytes : datagram.held) {
        auto view = wire::Ipv4View::parse(bytes);
        assert(view);
        translation.applyTo(*view);
        released.push_back(std::move(bytes));
    }
    Source& source = m_sources[datagram.source];
    source.held -= static_cast<std::uint32_t>(datagram.held.size());
    source.heldBytes -= datagram.heldBytes;
    m_bufferedBytes -= datagram.heldBytes;
    datagram.heldBytes = 0;
    datagram.held.clear();
    settle(ticket.slot, Verdict::Translated);
    if (complete(datagram)) forget(ticket.slot);
}

void Fragments::refuse(FragmentTicket ticket)
{
    Datagram& datagram = m_datagrams[ticket.slot];
    if (datagram.generation != ticket.generation || datagram.verdict != Verdict::Asked) return;
    dropHeld(ticket.slot, &FragmentDiscards::ofDropped);
    datagram.reason = DropReason::FragmentOfDropped;
    settle(ticket.slot, Verdict::Refused);
}

void Fragments::postpone(FragmentTicket ticket)
{
    Datagram& datagram = m_datagrams[ticket.slot];
    if (datagram.generation != ticket.generation || datagram.verdict != Verdict::Asked) return;
    // Its range is the first one: it begins at zero.
    datagram.verdict = Verdict::None;
    datagram.covered -= datagram.ranges[0].end;
    std::move(datagram.ranges.begin() + 1, datagram.ranges.begin() + datagram.rangeCount,
              datagram.ranges.begin());
    --datagram.rangeCount;
}

void Fragments::expire(Instant now)
{
    for (const List& list : m_lists) {
        while (list.oldest != kNone && m_datagrams[list.oldest].created + wait() <= now) {
            const Index index = list.oldest;
            dropHeld(index, &FragmentDiscards::timeout);
            forget(index);
        }
    }
}

std::optional<Instant> Fragments::nextTimeout() const
{
    std::optional<Instant> earliest;
    for (const List& list : m_lists) {
        if (list.oldest == kNone) continue;
        const Instant due = m_datagrams[list.oldest].created + wait();
        if (!earliest || due < *earliest) earliest = due;
    }
    return earliest;
}

FragmentDiscards Fragments::takeDiscards()
{
    return std::exchange(m_discards, {});
}

std::uint64_t Fragments::memory() const
{
    return m_datagrams.capacity() * sizeof(Datagram) + m_sources.capacity() * sizeof(Source) +
           (m_buckets.capacity() + m_sourceBuckets.capacity() + m_freeDatagrams.capacity() +
            m_freeSources.capacity()) *
               sizeof(Index) +
           m_byWeight.capacity() * sizeof(List) + m_bufferedBytes;
}

std::size_t Fragments::bucketOf(const Key& key) const
{
    const std::uint64_t addresses =
        (std::uint64_t{key.source.hostOrder()} << 32) | key.destination.hostOrder();
    const std::uint64_t rest = (std::uint64_t{key.identification} << 16) |
                               (static_cast<std::uint64_t>(key.protocol) << 8) |
                               static_cast<std::uint64_t>(key.ingress);
    return sipHash(m_key, addresses, rest) & (m_buckets.size() - 1);
}

std::size_t Fragments::bucketOf(net::Ipv4Address source, net::Direction ingress) const
{
    return sipHash(m_key, source.hostOrder(), 0x5352430000U + static_cast<std::uint64_t>(ingress)) &
           (m_sourceBuckets.size() - 1);
}

Fragments::Index Fragments::find(const Key& key) const
{
    Index index = m_buckets[bucketOf(key)];
    while (index != kNone && m_datagrams[index].key != key)
        index = m_datagrams[index].hashNext;
    return index;
}

Fragments::Index Fragments::findSource(net::Ipv4Address address, net::Direction ingress) const
{
    Index index = m_sourceBuckets[bucketOf(address, ingress)];
    while (index != kNone &&
           (m_sources[index].address != address || m_sources[index].ingress != ingress)) {
        index = m_sources[index].hashNext;
    }
    return index;
}

/// Frees a datagram when `source` (perhaps none yet) or the table has no room for one more.
void Fragments::makeRoom(Index source)
{
    if (source != kNone && m_sources[source].weight() >= m_limits.datagrams / kSourcePart) {
        const auto& lists = m_sources[source].lists;
        evict(lists[lists[kWaiting].size > lists[kSettled].size ? kWaiting : kSettled].oldest);
        return;
    }
    if (!m_freeDatagrams.empty()) return;
    // A flood from few sources shows in the heaviest one. A flood from many (forged ones) does not:
    // then the longest wait ends.
    const bool heavy = m_heaviest > m_limits.datagrams / kHeavyPart;
    const auto& lists = heavy ? m_sources[m_byWeight[m_heaviest].oldest].lists : m_lists;
    evict(lists[lists[kWaiting].size > lists[kSettled].size ? kWaiting : kSettled].oldest);
}

Fragments::Index Fragments::create(Instant now, const Key& key)
{
    makeRoom(findSource(key.source, key.ingress));
    const Index source = sourceFor(key);
    const Index index = m_freeDatagrams.back();
    m_freeDatagrams.pop_back();
    Datagram& datagram = m_datagrams[index];
    datagram.key = key;
    datagram.source = source;
    datagram.created = now;
    datagram.list = kWaiting;
    datagram.verdict = Verdict::None;
    datagram.rangeCount = 0;
    datagram.totalKnown = false;
    datagram.total = 0;
    datagram.covered = 0;
    Index& bucket = m_buckets[bucketOf(key)];
    datagram.hashNext = bucket;
    bucket = index;
    join(index);
    ++m_used;
    return index;
}

void Fragments::forget(Index index)
{
    Datagram& datagram = m_datagrams[index];
    assert(datagram.held.empty());
    Index* from = &m_buckets[bucketOf(datagram.key)];
    while (*from != index)
        from = &m_datagrams[*from].hashNext;
    *from = datagram.hashNext;
    leave(index);
    ++datagram.generation;
    datagram.verdict = Verdict::None;
    m_freeDatagrams.push_back(index);
    --m_used;

    const Index sourceIndex = datagram.source;
    Source& source = m_sources[sourceIndex];
    if (source.weight() > 0) return;
    Index* sourceFrom = &m_sourceBuckets[bucketOf(source.address, source.ingress)];
    while (*sourceFrom != sourceIndex)
        sourceFrom = &m_sources[*sourceFrom].hashNext;
    *sourceFrom = source.hashNext;
    m_freeSources.push_back(sourceIndex);
}

Fragments::Index Fragments::sourceFor(const Key& key)
{
    const Index known = findSource(key.source, key.ingress);
    if (known != kNone) return known;
    const Index index = m_freeSources.back();
    m_freeSources.pop_back();
    Index& bucket = m_sourceBuckets[bucketOf(key.source, key.ingress)];
    m_sources[index] = Source{};
    m_sources[index].address = key.source;
    m_sources[index].ingress = key.ingress;
    m_sources[index].hashNext = bucket;
    bucket = index;
    return index;
}

/// Keeps m_byWeight and m_heaviest right. Weights change by one, so both are cheap.
void Fragments::setWeight(Index source, std::uint32_t before, std::uint32_t after)
{
    if (before > 0) unlink(m_sources, m_byWeight[before], source, kByWeight);
    if (after > 0) append(m_sources, m_byWeight[after], source, kByWeight);
    m_heaviest = std::max(m_heaviest, after);
    while (m_heaviest > 0 && m_byWeight[m_heaviest].size == 0)
        --m_heaviest;
}

void Fragments::join(Index index)
{
    Datagram& datagram = m_datagrams[index];
    Source& source = m_sources[datagram.source];
    append(m_datagrams, m_lists[datagram.list], index, kInClass);
    append(m_datagrams, source.lists[datagram.list], index, kInSource);
    setWeight(datagram.source, source.weight() - 1, source.weight());
}

void Fragments::leave(Index index)
{
    Datagram& datagram = m_datagrams[index];
    Source& source = m_sources[datagram.source];
    unlink(m_datagrams, m_lists[datagram.list], index, kInClass);
    unlink(m_datagrams, source.lists[datagram.list], index, kInSource);
    setWeight(datagram.source, source.weight() + 1, source.weight());
}

void Fragments::settle(Index index, Verdict verdict)
{
    Datagram& datagram = m_datagrams[index];
    datagram.verdict = verdict;
    if (datagram.list == kSettled) return;
    leave(index);
    datagram.list = kSettled;
    join(index);
}

void Fragments::dropHeld(Index index, std::uint64_t FragmentDiscards::*counter)
{
    Datagram& datagram = m_datagrams[index];
    Source& source = m_sources[datagram.source];
    const auto count = static_cast<std::uint32_t>(datagram.held.size());
    m_discards.*counter += count;
    source.held -= count;
    source.heldBytes -= datagram.heldBytes;
    m_bufferedBytes -= datagram.heldBytes;
    datagram.heldBytes = 0;
    datagram.held.clear();
}

void Fragments::evict(Index index)
{
    dropHeld(index, &FragmentDiscards::quota);
    forget(index);
}

/// Ends a datagram: what was sent of it cannot become whole at its destination any more.
FragmentDecision Fragments::kill(Index index, DropReason reason,
                                 std::uint64_t FragmentDiscards::*counter)
{
    dropHeld(index, counter);
    m_datagrams[index].reason = reason;
    settle(index, Verdict::Refused);
    return dropped(reason);
}

FragmentDecision Fragments::hold(Index index, const wire::Ipv4View& packet)
{
    Source& source = m_sources[m_datagrams[index].source];
    const auto size = static_cast<std::uint32_t>(packet.totalLength());
    // Older datagrams of this source make room, and if that is not enough, this one ends.
    while (source.held >= m_limits.bufferedPerSource ||
           source.heldBytes + size > m_limits.bufferedBytes / kSourcePart) {
        const Index oldest = source.lists[kWaiting].oldest;
        if (oldest == index)
            return kill(index, DropReason::FragmentQuota, &FragmentDiscards::quota);
        evict(oldest);
    }
    while (m_bufferedBytes + size > m_limits.bufferedBytes) {
        const Index oldest = m_lists[kWaiting].oldest;
        if (oldest == index)
            return kill(index, DropReason::FragmentQuota, &FragmentDiscards::quota);
        evict(oldest);
    }
    Datagram& datagram = m_datagrams[index];
    const wire::MutableBytes bytes = packet.bytes();
    datagram.held.emplace_back(bytes.begin(), bytes.end());
    datagram.heldBytes += size;
    ++source.held;
    source.heldBytes += size;
    m_bufferedBytes += size;
    FragmentDecision decision;
    decision.kind = FragmentDecision::Kind::Buffered;
    return decision;
}

bool Fragments::complete(const Datagram& datagram) const
{
    return datagram.totalKnown && datagram.covered == datagram.total;
}

/// The fuller the table, the shorter the patience.
Duration Fragments::wait() const
{
    const Duration span = m_limits.longestWait - m_limits.shortestWait;
    return m_limits.longestWait - span * m_used / m_limits.datagrams;
}

std::uint16_t FragmentIds::next(net::Ipv4Address source, net::Ipv4Address destination,
                                net::IpProtocol protocol, std::uint16_t count)
{
    const std::uint64_t addresses =
        (std::uint64_t{source.hostOrder()} << 32) | destination.hostOrder();
    const std::uint64_t hash =
        sipHash(m_key, addresses, 0x495000U | static_cast<std::uint64_t>(protocol));
    std::uint16_t& counter = m_counters[hash % m_counters.size()];
    const auto first = static_cast<std::uint16_t>((hash >> 48) + counter);
    counter = static_cast<std::uint16_t>(counter + count);
    return first;
}

}  // namespace engine::nat
