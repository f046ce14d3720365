#pragma once

#include "engine/base/lazy_array.h"
#include "engine/base/random.h"
#include "engine/base/siphash.h"
#include "engine/base/time.h"
#include "engine/nat/flat_index.h"
#include "engine/nat/nat_config.h"
#include "engine/net/endpoint.h"
#include "engine/net/ip_protocol.h"

#include <array>
#include <bitset>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace engine::nat {

/// A mapping (RFC 4787 §4.1): an internal endpoint and the external endpoint that stands for it,
/// per protocol. It lives as long as a session holds it.
struct Mapping {
    net::Endpoint internal;
    net::Endpoint remote;  ///< zero where the behaviour does not depend on it
    std::uint32_t firstSession = FlatIndex::kNone;
    std::uint32_t holders = 0;   ///< sessions that keep it alive
    std::uint32_t sessions = 0;  ///< all its sessions
    net::Port external;
    std::uint16_t device = 0;
    net::IpProtocol protocol = net::IpProtocol::Udp;
    std::uint8_t externalSlot = 0;
    std::uint8_t used = 0;
    std::uint8_t ending : 1 = 0;     ///< its last holder has gone, and its other sessions are going
    std::uint8_t displaced : 1 = 0;  ///< see MappingTable::displace()
    std::uint8_t opened : 1 = 0;     ///< a packet has left by it: until then it lets nobody in
};

/// What a new mapping is made for.
struct MappingWish {
    net::IpProtocol protocol = net::IpProtocol::Udp;
    Behaviour behaviour = Behaviour::EndpointIndependent;
    net::Endpoint internal;
    net::Endpoint remote;
    std::uint8_t externalSlot = 0;
    std::uint16_t device = 0;
};

/// All mappings and the external ports they use. An external port belongs to at most one mapping of
/// a protocol (no overloading, RFC 4787 REQ-3), and to none for kPortQuarantine after it was freed.
class MappingTable {
public:
    MappingTable(std::uint32_t capacity, HashKey key, MemoryAdvice advice = nullptr);

    /// The mapping that RFC 4787 REQ-1 says must be used again; none if there is none.
    [[nodiscard]] MaybeIndex find(const MappingWish& wish) const
    {
        return find(wish, hashOf(wish));
    }
    [[nodiscard]] MaybeIndex find(const MappingWish& wish, std::uint32_t hash) const;
    [[nodiscard]] std::uint32_t hashOf(const MappingWish& wish) const;
    void prefetchIndex(std::uint32_t hash) const { m_index.prefetch(hash); }
    /// What find() will probably answer, kNone for nothing. See SessionTable::sessionAhead().
    [[nodiscard]] std::uint32_t guess(std::uint32_t hash) const
    {
        return m_index.guess(hash).reference;
    }
    [[nodiscard]] const Mapping* mappingAhead(std::uint32_t index) const
    {
        return m_mappings.data() + index;
    }
    /// The mapping that may use what comes to this external port and belongs to no session yet.
    [[nodiscard]] MaybeIndex byExternal(net::IpProtocol protocol, std::uint8_t slot,
                                        net::Port port) const
    {
        const MaybeIndex owner = ownerOf(protocol, slot, port);
        return owner && m_mappings[*owner].displaced == 0 ? owner : std::nullopt;
    }
    /// The mapping that has this external port, be it displaced or not.
    [[nodiscard]] MaybeIndex ownerOf(net::IpProtocol protocol, std::uint8_t slot,
                                     net::Port port) const
    {
        const Pool* pool = poolOf(protocol, slot);
        if (pool == nullptr) return std::nullopt;
        const std::uint32_t mapping = (*pool)[port.hostOrder()].mapping;
        if (mapping == 0) return std::nullopt;
        return mapping - 1;
    }

    enum class Refusal : std::uint8_t { PortExhausted, TableFull };
    struct Made {
        MaybeIndex mapping;
        Refusal refusal = Refusal::PortExhausted;
    };
    /// Makes a mapping on a free port. `reuse` names a port to take over from a mapping of the same
    /// device that was just removed.
    Made make(Instant now, const MappingWish& wish, const NatConfig& config, Random& random,
              std::optional<net::Port> reuse = std::nullopt);
    /// Frees it and puts its port into quarantine (unless a reuse is announced).
    enum class Afterwards : std::uint8_t { Quarantine, Reuse };
    void remove(Instant now, std::uint32_t mapping, Afterwards afterwards = Afterwards::Quarantine);

    /// A rule has got its port: the sessions it has go on and keep the port from other mappings,
    /// but nothing new joins it. Its internal endpoint gets another mapping for what it opens next
    /// (a second one, which RFC 4787 REQ-1 does not know: the user chose that over ending the
    /// first), and what comes to the port from elsewhere is the rule's.
    void displace(std::uint32_t mapping);

    [[nodiscard]] Mapping& operator[](std::uint32_t index) { return m_mappings[index]; }
    [[nodiscard]] const Mapping& operator[](std::uint32_t index) const { return m_mappings[index]; }

    /// Ports that no mapping may use: the host's own, and those of port forwards.
    void reserve(const std::vector<net::PortRange>& host,
                 const std::vector<net::PortRange>& forwardsTcp,
                 const std::vector<net::PortRange>& forwardsUdp);
    [[nodiscard]] bool isHostPort(net::Port port) const { return m_host[port.hostOrder()]; }

    /// Ours: how many random ports are tried before the pool is searched.
    static constexpr std::uint32_t kRandomTries = 64;
    /// RFC 4787 REQ-3a: internal ports below 1024 get external ports below 1024. Ours: from the
    /// upper half, so that well-known services keep theirs.
    static constexpr net::PortRange kLowPorts{net::Port{512}, net::Port{1023}};

    [[nodiscard]] std::uint32_t size() const { return m_used; }
    /// No record at or above this one has ever been in use.
    [[nodiscard]] std::uint32_t touched() const { return m_touched; }
    /// How often every port of a pool was looked at: what a nearly full pool costs.
    [[nodiscard]] std::uint64_t wholeSearches() const { return m_wholeSearches; }
    [[nodiscard]] std::size_t memory() const;

    /// Protocols with number spaces of their own: TCP, UDP, and queries.
    static constexpr std::size_t kProtocols = 3;
    [[nodiscard]] static constexpr std::size_t lane(net::IpProtocol protocol)
    {
        if (protocol == net::IpProtocol::Tcp) return 0;
        return protocol == net::IpProtocol::Udp ? 1 : 2;
    }

    /// Every live mapping, in the order of their records.
    template <typename Visit>
    void forEach(Visit&& visit) const
    {
        for (std::uint32_t i = 0; i < m_touched; ++i) {
            if (m_mappings[i].used != 0) visit(i, m_mappings[i]);
        }
    }

private:
    struct PortEntry {
        std::uint32_t mapping = 0;  ///< one more than its index; zero: nobody's
        std::uint32_t freedAt = 0;  ///< second it was freed, plus one; zero: long ago
    };
    using Pool = LazyArray<PortEntry>;

    [[nodiscard]] const Pool* poolOf(net::IpProtocol protocol, std::uint8_t slot) const
    {
        return m_pools[slot * kProtocols + lane(protocol)].get();
    }
    [[nodiscard]] bool isFree(std::uint32_t second, const Pool& pool, std::size_t protocolLane,
                              std::uint16_t port) const
    {
        const PortEntry& entry = pool[port];
        if (entry.mapping != 0) return false;
        // Whole seconds: one more than the quarantine, so that it is never a fraction too short.
        if (entry.freedAt != 0 && second - (entry.freedAt - 1) <= kQuarantineSeconds) return false;
        return protocolLane == 2 || (!m_host[port] && !m_forwards[protocolLane][port]);
    }
    std::optional<net::Port> choosePort(std::uint32_t second, const Pool& pool,
                                        const MappingWish& wish, const NatConfig& config,
                                        Random& random);
    [[nodiscard]] static MappingWish keyOf(const Mapping& mapping);

    static constexpr std::uint32_t kQuarantineSeconds = 120;
    static_assert(std::chrono::seconds(kQuarantineSeconds) == kPortQuarantine);

    HashKey m_key;
    std::uint32_t m_capacity;
    LazyArray<Mapping> m_mappings;
    FlatIndex m_index;
    std::array<std::unique_ptr<Pool>, kProtocols * 16> m_pools;
    /// By pool, and whether the range is the low one: the second, plus one, in which a whole search
    /// found nothing.
    std::array<std::uint32_t, kProtocols * 16 * 2> m_fullIn{};
    std::uint64_t m_wholeSearches = 0;
    std::bitset<65536> m_host;
    std::array<std::bitset<65536>, 2> m_forwards;
    std::uint32_t m_free = FlatIndex::kNone;
    std::uint32_t m_touched = 0;
    std::uint32_t m_used = 0;
};

/// Which remote addresses a mapping has sent to, counted by sessions, for address-dependent
/// filtering (RFC 4787 REQ-8).
class PermissionTable {
public:
    PermissionTable(std::uint32_t capacity, HashKey key, MemoryAdvice advice = nullptr);
    void add(std::uint32_t mapping, net::Ipv4Address remote)
    {
        add(mapping, remote, hashOf(mapping, remote));
    }
    /// The same for a caller who knows the hash.
    void add(std::uint32_t mapping, net::Ipv4Address remote, std::uint32_t hash);
    [[nodiscard]] std::uint32_t hashOf(std::uint32_t mapping, net::Ipv4Address remote) const
    {
        return static_cast<std::uint32_t>(sipHash(m_key, mapping, remote.hostOrder()));
    }
    void prefetchIndex(std::uint32_t hash) const { m_index.prefetch(hash); }
    void remove(std::uint32_t mapping, net::Ipv4Address remote);
    [[nodiscard]] bool has(std::uint32_t mapping, net::Ipv4Address remote) const
    {
        return find(mapping, remote, hashOf(mapping, remote)).reference != FlatIndex::kNone;
    }
    [[nodiscard]] std::size_t memory() const { return m_index.bytes() + m_touched * sizeof(Entry); }

private:
    struct Entry {
        std::uint32_t mapping = 0;
        net::Ipv4Address remote;
        std::uint32_t sessions = 0;  ///< or the next free entry
    };
    [[nodiscard]] FlatIndex::Place find(std::uint32_t mapping, net::Ipv4Address remote,
                                        std::uint32_t hash) const
    {
        return m_index.search(hash, [&](std::uint32_t candidate) {
            return m_entries[candidate].mapping == mapping && m_entries[candidate].remote == remote;
        });
    }
    HashKey m_key;
    LazyArray<Entry> m_entries;
    FlatIndex m_index;
    std::uint32_t m_free = FlatIndex::kNone;
    std::uint32_t m_touched = 0;
};

}  // namespace engine::nat
