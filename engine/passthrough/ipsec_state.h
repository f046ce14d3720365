#pragma once

#include "engine/passthrough/esp_resolver.h"
#include "engine/passthrough/ike.h"
#include "engine/passthrough/ipsec.h"

#include <algorithm>
#include <array>
#include <map>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

/// The inside of IpsecInspector, shared by its source files and nobody else.
namespace engine::passthrough {

namespace ipsec {

using namespace std::chrono_literals;
using ike::Exchange;
using ike::Version;
using net::Direction;
using policy::PassthroughMode;
using tunnel::Confidence;
using tunnel::EventKind;
using tunnel::FindingKind;
using tunnel::Lane;
using tunnel::Observation;
using tunnel::Phase;
using tunnel::TunnelKey;

// ---- specification ------------------------------------------------------------------------------

/// RFC 9329 §4: what the side that opened a TCP connection sends first.
/// Flows that may turn out to be IPsec.
inline constexpr std::size_t kMostSuspects = 4096;
inline constexpr std::array<std::uint8_t, 6> kTcpPrefix{'I', 'K', 'E', 'T', 'C', 'P'};

// ---- ours ---------------------------------------------------------------------------------------

inline constexpr std::size_t kMostFlows = 65536;
inline constexpr std::size_t kMostSpisOfFlow = 8;
inline constexpr std::size_t kMostLegacyServers = 256;
inline constexpr std::size_t kRecentFlows = 256;

inline constexpr Attention kWatch{.next = Attention::Next::Watch};

/// A message that waits for its answer.
struct Outstanding {
    std::uint32_t messageId = 0;
    std::uint64_t fingerprint = 0;
    Exchange exchange = Exchange::SaInit;
    Direction direction = Direction::Outbound;
    Instant at;
    std::uint32_t sent = 0;
};

/// A Quick Mode exchange (version 1): three messages under one message ID.
struct QuickMode {
    std::uint32_t messageId = 0;
    Direction initiator = Direction::Outbound;
    bool answered = false;
};
enum class QuickStep : std::uint8_t { None, First, Second, Third };

/// What is known of one VPN connection, over all its flows.
struct Connection {
    std::uint32_t flows = 0;
    net::VpnProtocol protocol = net::VpnProtocol::IpsecNatT;
    Confidence confidence = Confidence::Guess;
    bool labelled = false;
    Phase phase = Phase::Seen;
    Version version = Version::V2;
    ike::Product product = ike::Product::Unknown;
    std::array<bool, 2> offersNatTraversal{};  ///< by direction
    bool bothOfferNatTraversal = false;
    bool answered = false;     ///< the server has sent something that fits
    bool settled = false;      ///< the server has shown whether it does NAT traversal
    bool agreed = false;       ///< a child SA has been negotiated
    bool upstreamNat = false;  ///< told
    bool weak = false;         ///< told
    bool unanswered = false;   ///< told
    bool floated = false;
    std::uint16_t hash = 0;  ///< version 1's negotiated hash
    std::uint32_t rekeys = 0;
    Duration roundTrip{0};  ///< the shortest seen
};

/// One direction of IKE over TCP: where the parser stands in the stream.
struct TcpStream {
    bool started = false;
    bool lost = false;
    std::uint32_t next = 0;  ///< sequence number expected
    std::size_t prefix = 0;  ///< octets of "IKETCP" still to come
    std::size_t skip = 0;    ///< octets of the current frame that nobody needs
    std::size_t size = 0;    ///< of the current frame's content; 0: length not read yet
    std::size_t filled = 0;
    std::array<std::uint8_t, 2 + ike::kMarkerSize + ike::kHeaderSize> octets{};
};

struct FlowState {
    enum class Carrier : std::uint8_t { Ike, Encapsulated, Tcp };

    Flow flow;
    Carrier carrier = Carrier::Ike;
    Connection* connection = nullptr;
    TunnelKey key;
    bool attached = false;
    Duration idle{0};  ///< as attached
    bool inResolver = false;
    bool aliased = false;
    std::vector<std::uint64_t> initiatorSpis;  ///< the newest last
    std::vector<Outstanding> outstanding;
    std::vector<QuickMode> quickModes;
    std::uint64_t lastChildExchange = 0;
    Instant since;
    // ESP in UDP or TCP.
    std::uint32_t outboundSpi = 0;
    std::uint32_t inboundSpi = 0;
    Instant lastInboundEsp;
    std::uint32_t outboundSinceInbound = 0;
    Instant conflictSince;  ///< zero: no newer tunnel that may be in conflict
    // Keepalives.
    std::uint32_t keepalives = 0;
    Instant keepaliveTold;
    std::array<TcpStream, 2> streams;
};

/// A flow that may be ESP in UDP without IKE.
struct Suspect {
    std::array<std::uint32_t, 2> spi{};
    std::array<std::uint32_t, 2> sequence{};
};

/// A TCP stream that has shown a part of the prefix of RFC 9329.
struct TcpOpening {
    std::uint32_t next = 0;  ///< sequence number expected
    std::size_t matched = 0;
};

/// Which client uses an initiator's SPI with which server.
using SpiKey = std::tuple<net::Ipv4Address, std::uint64_t, net::Ipv4Address>;
struct SpiEntry {
    TunnelKey key;
    FlowId ikeFlow = 0;  ///< the flow without marker, usually on port 500; 0: none
};

struct LegacyServer {
    std::uint64_t offeredSpi = 0;
    std::size_t offeredTo = 0;
    Instant offeredAt;
};

inline std::size_t indexOf(Direction direction)
{
    return static_cast<std::size_t>(direction);
}

inline bool isInitial(const ike::Header& header)
{
    return header.responderSpi == 0;
}

}  // namespace ipsec

struct IpsecInspector::State {
    State(HashKey key, const policy::PassthroughPolicy& policy)
        : seed(key), switches(policy), resolver(key, policy)
    {}

    HashKey seed;
    const policy::PassthroughPolicy& switches;
    EspResolver resolver;

    std::unordered_map<FlowId, ipsec::FlowState> flows;
    std::array<std::pair<FlowId, ipsec::FlowState*>, ipsec::kRecentFlows> recent{};
    std::map<tunnel::TunnelKey, ipsec::Connection> connections;
    std::map<ipsec::SpiKey, ipsec::SpiEntry> spis;
    std::map<FlowId, ipsec::Suspect> suspects;
    std::map<FlowId, ipsec::TcpOpening> openings;
    std::map<EspPair, ipsec::LegacyServer> legacyServers;
    std::map<std::pair<net::Ipv4Address, net::Ipv4Address>, Instant> ahTold;
    /// IKE flows without marker per client and pair, so that the last one's end is known.
    std::map<std::pair<EspPair, net::Ipv4Address>, std::uint32_t> resolverFlows;

    // ---- flows -------------------------------------------------------------------------------

    ipsec::FlowState* find(FlowId id)
    {
        auto& slot = recent[static_cast<std::size_t>(id % ipsec::kRecentFlows)];
        if (slot.first == id && slot.second != nullptr) return slot.second;
        const auto found = flows.find(id);
        if (found == flows.end()) return nullptr;
        slot = {id, &found->second};
        return slot.second;
    }

    ipsec::FlowState* begin(Instant now, const Flow& flow, ipsec::FlowState::Carrier carrier);

    static EspPair pairOf(const ipsec::FlowState& state)
    {
        return {state.flow.external.address, state.flow.remote.address};
    }

    [[nodiscard]] policy::PassthroughMode espMode(const ipsec::FlowState& state) const;

    // ---- observations ------------------------------------------------------------------------

    static tunnel::Observation observe(const ipsec::FlowState& state,
                                       tunnel::Observation::Kind kind);

    static void event(const ipsec::FlowState& state, tunnel::EventKind kind,
                      net::Direction direction, std::uint32_t a, std::uint32_t b, Actions& actions);

    static void phase(ipsec::FlowState& state, tunnel::Phase next, Actions& actions);

    static void label(ipsec::FlowState& state, net::VpnProtocol protocol,
                      tunnel::Confidence confidence, Actions& actions);

    static void finding(const ipsec::FlowState& state, tunnel::FindingKind kind, std::uint32_t a,
                        std::uint32_t b, wire::ConstBytes packet, Actions& actions);

    static void attach(ipsec::FlowState& state, Actions& actions);

    // ---- naming ------------------------------------------------------------------------------

    void join(ipsec::FlowState& state, const tunnel::TunnelKey& key);
    void leave(ipsec::FlowState& state);

    [[nodiscard]] tunnel::TunnelKey makeKey(const Flow& flow, std::uint64_t name) const;

    /// The flow uses this initiator SPI from now on.
    void remember(ipsec::FlowState& state, std::uint64_t spi);
    void forget(const ipsec::FlowState& state, std::uint64_t spi);
    [[nodiscard]] static bool knows(const ipsec::FlowState& state, std::uint64_t spi)
    {
        return std::ranges::find(state.initiatorSpis, spi) != state.initiatorSpis.end();
    }

    /// The only client that uses this SPI with the server, by its flow without marker; null if
    /// there is none or more than one.
    ipsec::FlowState* ownerOf(net::Ipv4Address server, std::uint64_t spi);

    void name(ipsec::FlowState& state, const ike::Header& header, net::Direction direction,
              Actions& actions);

    // ---- the resolver ------------------------------------------------------------------------

    void enterResolver(Instant now, ipsec::FlowState& state, Actions& actions);
    void leaveResolver(FlowId id, Actions& actions);
    Instant lastNow;

    /// The NAT may have given the flow another external port.
    void update(ipsec::FlowState& state, const Flow& flow, Instant now, Actions& actions);

    // ---- IKE ---------------------------------------------------------------------------------

    Attention ikeMessage(Instant now, ipsec::FlowState& state, net::Direction direction,
                         const ike::Header& header, wire::ConstBytes message,
                         wire::ConstBytes packet, Actions& actions);
    bool acceptSpi(Instant now, ipsec::FlowState& state, net::Direction direction,
                   const ike::Header& header, Actions& actions);
    void count(Instant now, ipsec::FlowState& state, net::Direction direction,
               const ike::Header& header, wire::ConstBytes message, wire::ConstBytes packet,
               Actions& actions);
    void readClear(ipsec::FlowState& state, net::Direction direction, const ike::Header& header,
                   wire::ConstBytes message, wire::ConstBytes packet, Actions& actions);
    static ipsec::QuickStep stepOf(ipsec::FlowState& state, net::Direction direction,
                                   const ike::Header& header);
    static void advance(ipsec::FlowState& state, net::Direction direction,
                        const ike::Header& header, ipsec::QuickStep step, Actions& actions);
    Attention childSa(Instant now, ipsec::FlowState& state, net::Direction direction,
                      const ike::Header& header, wire::ConstBytes message, ipsec::QuickStep step,
                      Actions& actions);

    // ---- ESP in UDP or TCP --------------------------------------------------------------------

    void espSeen(Instant now, ipsec::FlowState& state, net::Direction direction, std::uint32_t spi,
                 wire::ConstBytes packet, Actions& actions);
    void findConflicts(Instant now, const ipsec::FlowState& newer);
    void keepalive(Instant now, ipsec::FlowState& state, net::Direction direction,
                   Actions& actions);
    Inspector::Claim considerStream(Instant now, const Flow& flow, const Segment& segment);
    void stream(Instant now, ipsec::FlowState& state, const Segment& segment, Actions& actions);
    void frame(Instant now, ipsec::FlowState& state, net::Direction direction,
               const ipsec::TcpStream& stream, Actions& actions);

    // ---- port 500, AH --------------------------------------------------------------------------

    void learnLegacy(ipsec::FlowState& state, Actions& actions);
    static void alias(ipsec::FlowState& state, Actions& actions);
    ipsec::FlowState* offer(Instant now, EspPair pair, const ike::Header& header);
    PortlessDecision refuseAh(Instant now, net::Direction direction, const PortlessPacket& packet,
                              Actions& actions);
};

}  // namespace engine::passthrough
