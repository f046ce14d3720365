#include "engine/nat/mapping_table.h"

#include <cassert>

namespace engine::nat {

namespace {

std::uint32_t secondOf(Instant now)
{
    return static_cast<std::uint32_t>(now.nanoseconds() / 1'000'000'000);
}

/// What of the remote endpoint the behaviour depends on.
net::Endpoint dependent(Behaviour behaviour, net::Endpoint remote)
{
    switch (behaviour) {
    case Behaviour::EndpointIndependent: return {};
    case Behaviour::AddressDependent: return {remote.address, net::Port{}};
    case Behaviour::AddressAndPortDependent: return remote;
    }
    return {};
}

}  // namespace

MappingTable::MappingTable(std::uint32_t capacity, HashKey key, MemoryAdvice advice)
    : m_key(key), m_capacity(capacity), m_mappings(capacity, advice), m_index(capacity, advice)
{}

std::uint32_t MappingTable::hashOf(const MappingWish& wish) const
{
    const net::Endpoint remote = dependent(wish.behaviour, wish.remote);
    const std::uint64_t a =
        (std::uint64_t{wish.internal.address.hostOrder()} << 32) | remote.address.hostOrder();
    const std::uint64_t b = (std::uint64_t{wish.internal.port.hostOrder()} << 32) |
                            (std::uint64_t{remote.port.hostOrder()} << 16) |
                            static_cast<std::uint64_t>(wish.protocol);
    return static_cast<std::uint32_t>(sipHash(m_key, a, b));
}

MappingWish MappingTable::keyOf(const Mapping& mapping)
{
    // The stored remote endpoint already holds only what the behaviour depends on.
    return {.protocol = mapping.protocol,
            .behaviour = Behaviour::AddressAndPortDependent,
            .internal = mapping.internal,
            .remote = mapping.remote,
            .externalSlot = mapping.externalSlot,
            .device = mapping.device};
}

MaybeIndex MappingTable::find(const MappingWish& wish, std::uint32_t hash) const
{
    const net::Endpoint remote = dependent(wish.behaviour, wish.remote);
    const std::uint32_t found = m_index.find(hash, [&](std::uint32_t candidate) {
        const Mapping& mapping = m_mappings[candidate];
        return mapping.internal == wish.internal && mapping.protocol == wish.protocol &&
               mapping.remote == remote;
    });
    if (found == FlatIndex::kNone) return std::nullopt;
    return found;
}

std::optional<net::Port> MappingTable::choosePort(std::uint32_t second, const Pool& pool,
                                                  const MappingWish& wish, const NatConfig& config,
                                                  Random& random)
{
    const std::size_t protocolLane = lane(wish.protocol);
    const bool query = protocolLane == 2;
    const std::uint16_t wanted = wish.internal.port.hostOrder();
    net::PortRange range = config.ports;
    if (query) {
        range = {net::Port{1}, net::Port{65535}};
    } else if (wanted < 1024) {
        range = kLowPorts;
    }
    const std::uint32_t size = range.size();
    if (size == 0) return std::nullopt;
    const auto free = [&](std::uint16_t port) {
        return isFree(second, pool, protocolLane, port);
    };
    if (config.preservePorts && range.contains(wish.internal.port) && free(wanted)) {
        return wish.internal.port;
    }
    const bool parity = config.portParity && !query && size > 1;
    const std::uint16_t first = range.first.hostOrder();
    for (std::uint32_t attempt = 0; attempt < kRandomTries; ++attempt) {
        auto port = static_cast<std::uint16_t>(first + random.below(size));
        if (parity && ((port ^ wanted) & 1U) != 0) {
            port = static_cast<std::uint16_t>(port ^ 1U);
            if (!range.contains(net::Port{port})) continue;
        }
        if (free(port)) return net::Port{port};
    }
    // The pool is nearly full: look at every port once, from a random one on; parity first. Once a
    // second, should there be none: whoever is refused must not cost a search each.
    std::uint32_t& fullIn =
        m_fullIn[(wish.externalSlot * kProtocols + protocolLane) * 2 + (wanted < 1024 ? 1U : 0U)];
    if (fullIn == second + 1) return std::nullopt;
    std::optional<std::uint16_t> odd;
    const std::uint32_t start = random.below(size);
    for (std::uint32_t step = 0; step < size; ++step) {
        const auto port = static_cast<std::uint16_t>(first + (start + step) % size);
        const bool fits = !parity || ((port ^ wanted) & 1U) == 0;
        if ((!fits && odd) || !free(port)) continue;
        if (fits) return net::Port{port};
        odd = port;
    }
    ++m_wholeSearches;
    if (odd) return net::Port{*odd};
    fullIn = second + 1;
    return std::nullopt;
}

MappingTable::Made MappingTable::make(Instant now, const MappingWish& wish, const NatConfig& config,
                                      Random& random, std::optional<net::Port> reuse)
{
    std::unique_ptr<Pool>& pool = m_pools[wish.externalSlot * kProtocols + lane(wish.protocol)];
    if (!pool) pool = std::make_unique<Pool>(65536);
    if (m_free == FlatIndex::kNone && m_touched == m_capacity) {
        return {std::nullopt, Refusal::TableFull};
    }
    const std::optional<net::Port> port =
        reuse ? reuse : choosePort(secondOf(now), *pool, wish, config, random);
    if (!port) return {std::nullopt, Refusal::PortExhausted};
    std::uint32_t index = m_free;
    if (index != FlatIndex::kNone) {
        m_free = m_mappings[index].firstSession;
    } else {
        index = m_touched++;
    }
    Mapping& mapping = m_mappings[index];
    mapping = Mapping{};
    mapping.internal = wish.internal;
    mapping.remote = dependent(wish.behaviour, wish.remote);
    mapping.external = *port;
    mapping.device = wish.device;
    mapping.protocol = wish.protocol;
    mapping.externalSlot = wish.externalSlot;
    mapping.used = 1;
    (*pool)[port->hostOrder()] = {index + 1, 0};
    m_index.insert(hashOf(wish), index);
    ++m_used;
    return {index, Refusal::PortExhausted};
}

void MappingTable::remove(Instant now, std::uint32_t index, Afterwards afterwards)
{
    Mapping& mapping = m_mappings[index];
    assert(mapping.used != 0 && mapping.sessions == 0);
    if (mapping.displaced == 0) m_index.erase(hashOf(keyOf(mapping)), index);
    Pool& pool = *m_pools[mapping.externalSlot * kProtocols + lane(mapping.protocol)];
    pool[mapping.external.hostOrder()] = {
        0, afterwards == Afterwards::Quarantine ? secondOf(now) + 1 : 0};
    mapping.used = 0;
    mapping.firstSession = m_free;
    m_free = index;
    --m_used;
}

void MappingTable::displace(std::uint32_t index)
{
    Mapping& mapping = m_mappings[index];
    assert(mapping.used != 0 && mapping.displaced == 0);
    m_index.erase(hashOf(keyOf(mapping)), index);
    mapping.displaced = 1;
}

void MappingTable::reserve(const std::vector<net::PortRange>& host,
                           const std::vector<net::PortRange>& forwardsTcp,
                           const std::vector<net::PortRange>& forwardsUdp)
{
    const auto mark = [](std::bitset<65536>& ports, const std::vector<net::PortRange>& ranges) {
        ports.reset();
        for (const net::PortRange& range : ranges) {
            for (std::uint32_t port = range.first.hostOrder(); port <= range.last.hostOrder();
                 ++port) {
                ports.set(port);
            }
        }
    };
    m_fullIn.fill(0);
    mark(m_host, host);
    mark(m_forwards[0], forwardsTcp);
    mark(m_forwards[1], forwardsUdp);
}

std::size_t MappingTable::memory() const
{
    std::size_t total = m_index.bytes() + m_touched * sizeof(Mapping);
    for (const auto& pool : m_pools) {
        if (pool) total += pool->bytes();
    }
    return total;
}

PermissionTable::PermissionTable(std::uint32_t capacity, HashKey key, MemoryAdvice advice)
    : m_key(key), m_entries(capacity, advice), m_index(capacity, advice)
{}

void PermissionTable::add(std::uint32_t mapping, net::Ipv4Address remote, std::uint32_t hash)
{
    const FlatIndex::Place found = find(mapping, remote, hash);
    if (found.reference != FlatIndex::kNone) {
        ++m_entries[found.reference].sessions;
        return;
    }
    std::uint32_t index = m_free;
    if (index != FlatIndex::kNone) {
        m_free = m_entries[index].sessions;
        if (m_free != FlatIndex::kNone) __builtin_prefetch(m_entries.data() + m_free, 1);
    } else {
        index = m_touched++;
    }
    m_entries[index] = {mapping, remote, 1};
    m_index.insert(hash, index, found);
}

void PermissionTable::remove(std::uint32_t mapping, net::Ipv4Address remote)
{
    const std::uint32_t hash = hashOf(mapping, remote);
    const std::uint32_t found = find(mapping, remote, hash).reference;
    if (found == FlatIndex::kNone) return;
    Entry& entry = m_entries[found];
    if (--entry.sessions > 0) return;
    m_index.erase(hash, found);
    entry.sessions = m_free;
    m_free = found;
}

}  // namespace engine::nat
