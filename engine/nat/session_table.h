#pragma once

#include "engine/base/lazy_array.h"
#include "engine/base/siphash.h"
#include "engine/base/time.h"
#include "engine/nat/flat_index.h"
#include "engine/nat/tcp_state.h"
#include "engine/nat/tcp_window.h"
#include "engine/net/direction.h"
#include "engine/net/endpoint.h"
#include "engine/net/ip_protocol.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>

namespace engine::nat {

/// At most this many external addresses; a session names its own by a slot in a small table.
inline constexpr std::size_t kExternalSlots = 16;
/// The slot of a session that is not translated: outside sees the internal address (RFC 6888
/// REQ-6).
inline constexpr std::uint8_t kUntranslatedSlot = 0xff;

/// What a look-up needs: 16 octets that are equal for every packet of one direction of a session.
struct SessionKey {
    std::uint64_t addresses = 0;
    std::uint64_t rest = 0;

    /// For TCP and UDP `id` is the port on our side and the remote port; for ICMP queries the
    /// identifier; for port-less protocols the discriminator, with its variant.
    static SessionKey make(net::Direction direction, net::IpProtocol protocol, std::uint8_t variant,
                           net::Ipv4Address ours, net::Ipv4Address remote, std::uint32_t id)
    {
        return {(std::uint64_t{ours.hostOrder()} << 32) | remote.hostOrder(),
                (std::uint64_t{id} << 32) |
                    (std::uint64_t{static_cast<std::uint8_t>(protocol)} << 16) |
                    (std::uint64_t{variant} << 8) | static_cast<std::uint64_t>(direction)};
    }
    friend bool operator==(const SessionKey&, const SessionKey&) = default;

    // What make() was given; the ports of protocols that have them.
    [[nodiscard]] net::IpProtocol protocol() const
    {
        return static_cast<net::IpProtocol>(static_cast<std::uint8_t>(rest >> 16));
    }
    [[nodiscard]] net::Ipv4Address ours() const
    {
        return net::Ipv4Address{static_cast<std::uint32_t>(addresses >> 32)};
    }
    [[nodiscard]] net::Ipv4Address remote() const
    {
        return net::Ipv4Address{static_cast<std::uint32_t>(addresses)};
    }
    [[nodiscard]] net::Port ourPort() const
    {
        return net::Port{static_cast<std::uint16_t>(rest >> 48)};
    }
    [[nodiscard]] net::Port remotePort() const
    {
        return net::Port{static_cast<std::uint16_t>(rest >> 32)};
    }
};

[[nodiscard]] constexpr std::uint32_t portsId(net::Port ours, net::Port remote)
{
    return (std::uint32_t{ours.hostOrder()} << 16) | remote.hostOrder();
}

/// Bits of Session::flags, which a packet of an established flow needs.
namespace session_flag {
inline constexpr std::uint8_t kAttention = 1;     ///< passthrough, a hold or a rule wants to see it
inline constexpr std::uint8_t kAttached = 2;      ///< counts for a tunnel
inline constexpr std::uint8_t kAnswered = 4;      ///< packets both ways
inline constexpr std::uint8_t kOutboundSeen = 8;  ///< the device itself has sent: inbound refreshes
inline constexpr std::uint8_t kOutboundFirst = 16;  ///< who began
inline constexpr std::uint8_t kLongIdle = 32;       ///< SessionDetail::idle says how long
inline constexpr std::uint8_t kHairpin = 64;        ///< the remote endpoint is one of our own
inline constexpr std::uint8_t kSendAlias = 128;  ///< outbound leaves from SessionDetail::aliasPort
}  // namespace session_flag

/// Bits of SessionDetail::flags.
namespace detail_flag {
inline constexpr std::uint16_t kUsed = 1;
inline constexpr std::uint16_t kInspect = 2;       ///< passthrough wants the next packet
inline constexpr std::uint16_t kHeld = 4;          ///< held by its switch
inline constexpr std::uint16_t kBlocked = 8;       ///< refused for good: blockedBy says why
inline constexpr std::uint16_t kHasOutbound = 16;  ///< findable by outbound packets
inline constexpr std::uint16_t kHasInbound = 32;
inline constexpr std::uint16_t kPortless = 64;
inline constexpr std::uint16_t kHoldsMapping = 128;  ///< keeps its mapping alive
inline constexpr std::uint16_t kProbation = 256;     ///< in one of its device's probation lists
inline constexpr std::uint16_t kVpnOnly = 512;       ///< may live only as part of a tunnel
inline constexpr std::uint16_t kConsidered = 1024;   ///< passthrough knows it and must hear its end
inline constexpr std::uint16_t kPermits = 2048;      ///< counted in the permissions of its mapping
inline constexpr std::uint16_t kHandshake = 4096;    ///< counted in Device::handshakes
inline constexpr std::uint16_t kShifted = 8192;      ///< TCP: aliasPort names its ShiftedConnection
}  // namespace detail_flag

/// What every packet of an established flow reads and writes: one cache line. A small flat record
/// (match, rewrite, counters, deadline), so that a fast path can be handed a copy.
struct alignas(64) Session {
    net::Ipv4Address internal;
    net::Ipv4Address remote;
    std::uint32_t outboundId = 0;  ///< TCP, UDP: internal and remote port; see SessionKey
    std::uint32_t inboundId = 0;   ///< TCP, UDP: external and remote port
    Instant lastPacket;            ///< that refreshed the timer
    std::uint32_t bytesOut = 0;    ///< since the last fold into SessionDetail
    std::uint32_t bytesIn = 0;
    std::uint16_t packetsOut = 0;
    std::uint16_t packetsIn = 0;
    /// Inbound packets of a port-less session get 16 bits rewritten.
    struct Rewrite {
        std::uint16_t offset;
        std::uint16_t value;
        std::uint8_t active;
        std::uint8_t outboundVariant;
        std::uint8_t inboundVariant;
    };
    union {
        TcpWindow window{};
        Rewrite rewrite;
    };
    net::IpProtocol protocol = net::IpProtocol::Tcp;
    TcpState tcpState = TcpState::None;
    std::uint8_t externalSlot = 0;
    std::uint8_t flags = 0;
    std::uint16_t device = 0;

    [[nodiscard]] bool has(std::uint8_t flag) const { return (flags & flag) != 0; }
    [[nodiscard]] bool isTranslated() const { return externalSlot != kUntranslatedSlot; }
    [[nodiscard]] net::Port internalPort() const
    {
        return net::Port{static_cast<std::uint16_t>(outboundId >> 16)};
    }
    [[nodiscard]] net::Port externalPort() const
    {
        return net::Port{static_cast<std::uint16_t>(inboundId >> 16)};
    }
    [[nodiscard]] net::Port remotePort() const
    {
        return net::Port{static_cast<std::uint16_t>(outboundId)};
    }
};
static_assert(sizeof(Session) == 64);

/// The rest of a session, for everything but the ordinary packet.
struct SessionDetail {
    // Octets fit into 48 bits (a year of 70 Mbit/s), which leaves room for a field each: this
    // record is a third of what a session costs.
    std::uint64_t bytesOut : 48 = 0;
    std::uint64_t aliasPort : 16 = 0;  ///< TCP with kShifted: its place in SynProxy
    std::uint64_t bytesIn : 48 = 0;
    std::uint64_t idle : 16 = 0;  ///< in units of kIdleUnit; with kLongIdle
    std::uint32_t serialLow = 0;
    std::uint32_t packetsOut = 0;
    std::uint32_t packetsIn = 0;
    std::uint32_t createdSecond = 0;  ///< of the engine's clock
    std::uint32_t mapping = FlatIndex::kNone;
    std::uint32_t mappingNext = FlatIndex::kNone;
    std::uint32_t mappingPrevious = FlatIndex::kNone;
    std::uint32_t wheelNext = FlatIndex::kNone;
    std::uint32_t wheelPrevious = FlatIndex::kNone;
    std::uint32_t deviceNext = FlatIndex::kNone;  ///< in the device's list of unanswered sessions
    std::uint32_t devicePrevious = FlatIndex::kNone;
    std::uint32_t attachmentGeneration = 0;
    std::uint32_t forward = 0;
    std::uint16_t attachmentIndex = 0;
    std::uint16_t wheelSlot = kNoSlot;
    std::uint16_t flags = 0;
    std::uint8_t blockedBy = 0;   ///< a DropReason
    std::uint8_t icmpErrors = 0;  ///< passed on in this second
    std::uint8_t icmpSecond = 0;
    std::uint8_t serialHigh = 0;

    static constexpr std::uint16_t kNoSlot = 0xffff;
    /// Ours: 36 hours fit, which is more than any VPN stays silent.
    static constexpr Duration kIdleUnit = std::chrono::seconds(2);

    [[nodiscard]] bool has(std::uint16_t flag) const { return (flags & flag) != 0; }
    /// Forty bits: more sessions than a router opens in its life, and all that a flow's name holds.
    [[nodiscard]] std::uint64_t serial() const
    {
        return (std::uint64_t{serialHigh} << 32) | serialLow;
    }
    void setSerial(std::uint64_t serial)
    {
        serialLow = static_cast<std::uint32_t>(serial);
        serialHigh = static_cast<std::uint8_t>(serial >> 32);
    }
    [[nodiscard]] Instant created() const
    {
        return Instant{Duration{std::chrono::seconds(createdSecond)}};
    }
    void setCreated(Instant at)
    {
        createdSecond = static_cast<std::uint32_t>(at.nanoseconds() / 1'000'000'000);
    }
    void addBytes(std::uint64_t out, std::uint64_t in)
    {
        constexpr std::uint64_t kMost = (std::uint64_t{1} << 48) - 1;
        bytesOut = (bytesOut + out) & kMost;
        bytesIn = (bytesIn + in) & kMost;
    }
    [[nodiscard]] Duration longIdle() const { return static_cast<std::int64_t>(idle) * kIdleUnit; }
    void setLongIdle(Duration wished)
    {
        const std::int64_t units = (wished + kIdleUnit - Duration{1}) / kIdleUnit;
        idle = static_cast<std::uint16_t>(std::clamp<std::int64_t>(units, 1, 0xffff));
    }
};
static_assert(sizeof(SessionDetail) <= 80);

/// A session and the direction in which a packet found it.
struct SessionRef {
    std::uint32_t index = FlatIndex::kNone;
    net::Direction direction = net::Direction::Outbound;
    [[nodiscard]] bool isNone() const { return index == FlatIndex::kNone; }
};

/// All sessions: records, the index over both directions, and the timer wheel. Knows nothing of
/// mappings, devices or protocols' meaning.
class SessionTable {
public:
    SessionTable(std::uint32_t capacity, HashKey key, MemoryAdvice advice = nullptr);

    void setExternalAddress(std::uint8_t slot, net::Ipv4Address address)
    {
        m_externals[slot] = address;
    }
    [[nodiscard]] net::Ipv4Address externalAddress(std::uint8_t slot) const
    {
        return m_externals[slot];
    }
    /// What outside sees of a session.
    [[nodiscard]] net::Ipv4Address externalOf(const Session& session) const
    {
        return session.isTranslated() ? m_externals[session.externalSlot] : session.internal;
    }

    [[nodiscard]] std::uint32_t hashOf(const SessionKey& key) const
    {
        return static_cast<std::uint32_t>(sipHash(m_key, key.addresses, key.rest));
    }
    void prefetchIndex(std::uint32_t hash) const { m_index.prefetch(hash); }
    [[nodiscard]] FlatIndex::Place guess(std::uint32_t hash) const { return m_index.guess(hash); }
    /// The records of a session that was guessed, to be prefetched by the caller (a function that
    /// did nothing else would be taken for pure by GCC 12, and its calls left out).
    [[nodiscard]] const Session* sessionAhead(const FlatIndex::Place& guess) const
    {
        return m_sessions.data() + (guess.reference >> 1);
    }
    [[nodiscard]] const SessionDetail* detailAhead(std::uint32_t index) const
    {
        return m_details.data() + index;
    }
    /// The session that was guessed, if the guess was right and still is; else find() must be
    /// asked.
    [[nodiscard]] MaybeIndex confirm(const FlatIndex::Place& guess, const SessionKey& key,
                                     std::uint32_t hash) const
    {
        if (!m_index.has(guess, hash) || keyOf(guess.reference) != key) return std::nullopt;
        return guess.reference >> 1;
    }
    /// Whether there is still no session of that hash; false when that is not known.
    [[nodiscard]] bool isStillAbsent(const FlatIndex::Place& guess) const
    {
        return m_index.isStillAbsent(guess);
    }
    [[nodiscard]] SessionRef find(const SessionKey& key, std::uint32_t hash) const
    {
        const std::uint32_t reference =
            m_index.find(hash, [&](std::uint32_t candidate) { return keyOf(candidate) == key; });
        if (reference == FlatIndex::kNone) return {};
        return {reference >> 1, static_cast<net::Direction>(reference & 1U)};
    }
    [[nodiscard]] SessionRef find(const SessionKey& key) const { return find(key, hashOf(key)); }

    /// A fresh record, in no index and on no timer; none when the table is full.
    [[nodiscard]] MaybeIndex allocate(Instant now);
    /// Makes it findable in one direction; its key fields must not change while it is.
    void link(std::uint32_t index, net::Direction direction)
    {
        link(index, direction, hashOf(keyOf((index << 1) | static_cast<std::uint32_t>(direction))));
    }
    /// The same for a caller who knows the hash of its key, and perhaps where it will stand.
    void link(std::uint32_t index, net::Direction direction, std::uint32_t hash,
              const FlatIndex::Place& guess = {});
    void unlink(std::uint32_t index, net::Direction direction);
    /// Takes it out of everything and frees the record.
    void release(std::uint32_t index);

    [[nodiscard]] Session& operator[](std::uint32_t index) { return m_sessions[index]; }
    [[nodiscard]] const Session& operator[](std::uint32_t index) const { return m_sessions[index]; }
    [[nodiscard]] SessionDetail& detail(std::uint32_t index) { return m_details[index]; }
    [[nodiscard]] const SessionDetail& detail(std::uint32_t index) const
    {
        return m_details[index];
    }

    /// Moves the short counters into the long ones.
    void fold(std::uint32_t index);

    /// A name that outlives the record: nobody else will ever have it. Never zero.
    [[nodiscard]] std::uint64_t flowId(std::uint32_t index) const
    {
        return (m_details[index].serial() << 24) | index;
    }
    /// The name of the session that allocate() will make next.
    [[nodiscard]] std::uint64_t nextFlowId() const
    {
        return (m_nextSerial << 24) | (m_free != FlatIndex::kNone ? m_free : m_touched);
    }
    [[nodiscard]] MaybeIndex byFlowId(std::uint64_t id) const
    {
        const auto index = static_cast<std::uint32_t>(id & 0xffffffU);
        if (index >= m_touched || !m_details[index].has(detail_flag::kUsed) ||
            flowId(index) != id) {
            return std::nullopt;
        }
        return index;
    }

    // The timer wheel: a session is asked about at or after its deadline, never before.
    void arm(std::uint32_t index, Instant deadline);
    /// The next session whose deadline may have come, taken off the wheel; none if nothing is due.
    [[nodiscard]] MaybeIndex takeDue(Instant now);
    [[nodiscard]] std::optional<Instant> nextDue() const;

    [[nodiscard]] std::uint32_t size() const { return m_used; }
    /// The serial of the session that is allocated next: all there are have smaller ones.
    [[nodiscard]] std::uint64_t nextSerial() const { return m_nextSerial; }
    [[nodiscard]] std::uint32_t capacity() const { return m_capacity; }
    /// Records at or above this index have never been used.
    [[nodiscard]] std::uint32_t touched() const { return m_touched; }
    /// Octets that are really in use: only touched records cost memory.
    [[nodiscard]] std::size_t memory() const
    {
        return m_index.bytes() + std::size_t{m_touched} * (sizeof(Session) + sizeof(SessionDetail));
    }

private:
    // Ours: a slot is a second, and the wheel turns in 2 h 16 min; a longer deadline goes round.
    static constexpr std::uint32_t kSlots = 8192;
    static constexpr std::int64_t kTick = 1'000'000'000;

    [[nodiscard]] SessionKey keyOf(std::uint32_t reference) const
    {
        const Session& session = m_sessions[reference >> 1];
        const bool portless = net::isPortless(session.protocol);
        if ((reference & 1U) == 0) {
            return SessionKey::make(net::Direction::Outbound, session.protocol,
                                    portless ? session.rewrite.outboundVariant : std::uint8_t{0},
                                    session.internal, session.remote, session.outboundId);
        }
        return SessionKey::make(net::Direction::Inbound, session.protocol,
                                portless ? session.rewrite.inboundVariant : std::uint8_t{0},
                                externalOf(session), session.remote, session.inboundId);
    }
    void disarm(std::uint32_t index);

    HashKey m_key;
    std::uint32_t m_capacity;
    LazyArray<Session> m_sessions;
    LazyArray<SessionDetail> m_details;
    FlatIndex m_index;
    std::array<net::Ipv4Address, kExternalSlots> m_externals{};
    std::uint32_t m_free = FlatIndex::kNone;
    std::uint32_t m_touched = 0;
    std::uint32_t m_used = 0;
    std::uint64_t m_nextSerial = 1;
    std::array<std::uint32_t, kSlots> m_wheel;
    std::array<std::uint64_t, kSlots / 64> m_occupied{};
    std::int64_t m_tick = 0;  ///< slots up to this tick have been emptied once
    bool m_started = false;
};

}  // namespace engine::nat
