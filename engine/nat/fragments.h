#pragma once

#include "engine/base/drop_reason.h"
#include "engine/base/siphash.h"
#include "engine/base/time.h"
#include "engine/net/direction.h"
#include "engine/net/ip_protocol.h"
#include "engine/net/ipv4_address.h"
#include "engine/wire/ipv4_view.h"

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

/// Translating fragments without putting datagrams together (RFC 4787 REQ-14): the first fragment
/// holds the ports and decides; the others follow it in whatever order they come.
namespace engine::nat {

/// What a NAT does to every fragment of one datagram.
struct FragmentTranslation {
    net::Ipv4Address source;
    net::Ipv4Address destination;
    std::uint16_t identification = 0;
    std::uint8_t egress = 0;  ///< the caller's own word for where it leaves, handed back as it is

    /// Rewrites the IPv4 header, checksum included. The rest of the packet is left alone.
    void applyTo(wire::Ipv4View& packet) const;
    friend auto operator<=>(const FragmentTranslation&, const FragmentTranslation&) = default;
};

/// Names the datagram of a first fragment until it is resolved; harmless when out of date.
struct FragmentTicket {
    std::uint32_t slot = 0;
    std::uint32_t generation = 0;
};

struct FragmentDecision {
    enum class Kind : std::uint8_t {
        First,     ///< read its ports and decide, then resolve(), refuse() or postpone() the ticket
        Follow,    ///< the datagram is decided: apply `translation` and send
        Buffered,  ///< copied; resolve() will hand it back
        Drop,      ///< with `reason`
    };
    Kind kind = Kind::Drop;
    DropReason reason = DropReason::MalformedIp;
    FragmentTranslation translation;
    FragmentTicket ticket;
};

/// Buffered fragments that were given up, by reason. Each was once answered with Buffered.
struct FragmentDiscards {
    std::uint64_t quota = 0;      ///< DropReason::FragmentQuota
    std::uint64_t timeout = 0;    ///< DropReason::FragmentTimeout
    std::uint64_t overlap = 0;    ///< DropReason::FragmentOverlap
    std::uint64_t ofDropped = 0;  ///< DropReason::FragmentOfDropped
};

/// All ours.
struct FragmentLimits {
    std::uint32_t datagrams = 4096;           ///< at once; an eighth of it per source
    std::uint32_t bufferedBytes = 4U << 20U;  ///< at once; an eighth of it per source
    /// Per source. As many as one datagram may have, so that the largest one passes even backwards.
    std::uint32_t bufferedPerSource = 64;
    Duration longestWait = std::chrono::seconds{30};  ///< when the table is empty
    Duration shortestWait = std::chrono::seconds{2};  ///< when it is full
};

/// Remembers what the first fragment of each datagram was told and buffers those that come before
/// it.
///
/// Promises: bounded memory; a source that floods loses its own oldest datagrams first; fragments
/// that overlap, are inconsistent or add up to more than a packet end their datagram (an exact
/// duplicate is dropped and otherwise ignored); a first fragment without the whole transport header
/// is refused (RFC 1858, RFC 3128). A datagram is forgotten once all of it has passed.
class Fragments {
public:
    static constexpr std::size_t kMostPerDatagram = 64;

    explicit Fragments(HashKey key, const FragmentLimits& limits = {});

    /// Judges a packet with isFragment(). `ingress` is where it came from: Outbound, from inside.
    FragmentDecision onFragment(Instant now, net::Direction ingress, const wire::Ipv4View& packet);

    /// The first fragment was translated so: the rest follows it. Appends the fragments that had
    /// come before, translated and otherwise as they came.
    void resolve(FragmentTicket ticket, const FragmentTranslation& translation,
                 std::vector<std::vector<std::uint8_t>>& released);
    /// The first fragment was dropped: so is the rest, as FragmentOfDropped.
    void refuse(FragmentTicket ticket);

    /// The first fragment waits for something and will come again: until then the datagram is as if
    /// it had not been seen, and the rest is buffered.
    void postpone(FragmentTicket ticket);

    /// Gives up what is due. Harmless when early.
    void expire(Instant now);
    [[nodiscard]] std::optional<Instant> nextTimeout() const;

    /// What was given up since the last call.
    FragmentDiscards takeDiscards();
    [[nodiscard]] std::uint32_t datagrams() const { return m_used; }
    [[nodiscard]] std::uint64_t bufferedBytes() const { return m_bufferedBytes; }
    [[nodiscard]] std::uint64_t memory() const;

private:
    using Index = std::uint32_t;
    static constexpr Index kNone = 0xffffffff;

    struct Key {
        net::Ipv4Address source;
        net::Ipv4Address destination;
        std::uint16_t identification = 0;
        net::IpProtocol protocol = net::IpProtocol::Udp;
        net::Direction ingress = net::Direction::Outbound;
        friend bool operator==(const Key&, const Key&) = default;
    };
    struct Range {
        std::uint16_t begin = 0;
        std::uint16_t end = 0;
        friend bool operator==(const Range&, const Range&) = default;
    };
    /// Waiting for its first fragment's verdict, or having one.
    using Class = std::uint8_t;
    static constexpr Class kWaiting = 0;
    static constexpr Class kSettled = 1;
    enum class Verdict : std::uint8_t { None, Asked, Translated, Refused };

    struct Link {
        Index previous = kNone;
        Index next = kNone;
    };
    struct List {
        Index oldest = kNone;
        Index newest = kNone;
        std::uint32_t size = 0;
    };
    struct Datagram {
        Key key;
        std::uint32_t generation = 0;
        Index hashNext = kNone;
        Index source = kNone;
        Link inClass;
        Link inSource;
        Instant created;
        Class list = kWaiting;
        Verdict verdict = Verdict::None;
        DropReason reason = DropReason::FragmentOfDropped;
        FragmentTranslation translation;
        std::uint8_t rangeCount = 0;
        bool totalKnown = false;
        std::uint16_t total = 0;
        std::uint32_t covered = 0;
        std::uint32_t heldBytes = 0;
        std::array<Range, kMostPerDatagram> ranges{};
        std::vector<std::vector<std::uint8_t>> held;
    };
    struct Source {
        net::Ipv4Address address;
        net::Direction ingress = net::Direction::Outbound;
        Index hashNext = kNone;
        Link byWeight;
        std::array<List, 2> lists{};
        std::uint32_t held = 0;
        std::uint32_t heldBytes = 0;
        [[nodiscard]] std::uint32_t weight() const { return lists[0].size + lists[1].size; }
    };

    [[nodiscard]] std::size_t bucketOf(const Key& key) const;
    [[nodiscard]] std::size_t bucketOf(net::Ipv4Address source, net::Direction ingress) const;
    [[nodiscard]] Index find(const Key& key) const;
    [[nodiscard]] Index findSource(net::Ipv4Address address, net::Direction ingress) const;
    Index create(Instant now, const Key& key);
    void forget(Index index);
    void makeRoom(Index source);
    Index sourceFor(const Key& key);
    void setWeight(Index source, std::uint32_t before, std::uint32_t after);
    void settle(Index index, Verdict verdict);
    void join(Index index);
    void leave(Index index);
    void dropHeld(Index index, std::uint64_t FragmentDiscards::*counter);
    void evict(Index index);
    FragmentDecision kill(Index index, DropReason reason, std::uint64_t FragmentDiscards::*counter);
    FragmentDecision hold(Index index, const wire::Ipv4View& packet);
    [[nodiscard]] bool complete(const Datagram& datagram) const;
    [[nodiscard]] Duration wait() const;

    HashKey m_key;
    FragmentLimits m_limits;
    std::vector<Datagram> m_datagrams;
    std::vector<Source> m_sources;
    std::vector<Index> m_freeDatagrams;
    std::vector<Index> m_freeSources;
    std::vector<Index> m_buckets;
    std::vector<Index> m_sourceBuckets;
    std::vector<List> m_byWeight;  ///< sources by how many datagrams they have
    std::array<List, 2> m_lists{};
    std::uint32_t m_heaviest = 0;
    std::uint32_t m_used = 0;
    std::uint64_t m_bufferedBytes = 0;
    FragmentDiscards m_discards;
};

/// Identifications for datagrams that leave with an address that several hosts share: unique per
/// source, destination and protocol for as long as 16 bits allow (RFC 6864 §4.3), and no use to
/// somebody who wants to guess those of another destination (RFC 7739).
class FragmentIds {
public:
    explicit FragmentIds(HashKey key) : m_key(key) {}
    /// The first of `count` in a row.
    std::uint16_t next(net::Ipv4Address source, net::Ipv4Address destination,
                       net::IpProtocol protocol, std::uint16_t count = 1);

private:
    HashKey m_key;
    std::array<std::uint16_t, 1024> m_counters{};
};

}  // namespace engine::nat
