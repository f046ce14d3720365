#pragma once

#include "engine/base/random.h"
#include "engine/passthrough/l2tp.h"
#include "engine/passthrough/l2tp_ip.h"
#include "engine/passthrough/l2tp_message.h"
#include "engine/passthrough/observing.h"
#include "engine/passthrough/ppp_observer.h"

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

/// What the source files of L2tpInspector share, and nobody else.
namespace engine::passthrough {

namespace l2tp {

using namespace std::chrono_literals;

// Ours.
inline constexpr std::size_t kMostLinks = 4096;
inline constexpr std::size_t kMostTunnelsPerLink = 8;
inline constexpr std::size_t kMostSessionsPerTunnel = 32;
inline constexpr std::size_t kMostServers = 4096;
/// Beyond these a block of saved state is no such thing.
inline constexpr std::size_t kMostFlowsOfLink = 64;
/// A client without an answer for so long has none.
inline constexpr Duration kAnswerTimeout = 15s;
inline constexpr Duration kSweepEvery = 1s;
/// The control channel is quiet between two HELLOs, a minute apart by default (RFC 2661 §6.5).
inline constexpr Duration kControlIdle = 300s;
inline constexpr Duration kEstablishedIdle = 1h;
inline constexpr std::size_t kProof = 40;

inline constexpr Attention kPass{};
inline constexpr Attention kIgnore{.next = Attention::Next::Ignore};
inline constexpr Attention drop(DropReason reason)
{
    return {.next = Attention::Next::Watch, .fate = Attention::Fate::Drop, .reason = reason};
}
inline constexpr PortlessDecision kRefused{};

/// How a server answers (nat-independent names: RFC 2661 §8.1 allows the first two).
enum class ReplyMode : std::uint8_t {
    Unknown,
    ToTheClientsPort,
    AlwaysTo1701,
};

struct Session {
    std::uint32_t clientId = 0;  ///< assigned by the inside host
    std::uint32_t serverId = 0;
    PppObserver ppp;
};

struct TunnelState {
    FlowId flow = 0;  ///< of the link it runs in
    tunnel::TunnelKey key;
    std::uint8_t version = 2;
    net::Direction initiator = net::Direction::Outbound;
    std::uint32_t insideId = 0;  ///< assigned by the inside host
    std::uint32_t publicId = 0;  ///< the same as the server sees it
    std::uint32_t remoteId = 0;  ///< assigned by the other
    bool indexed = false;        ///< strays with this ID are ours
    bool over = false;
    bool established = false;
    bool answered = false;
    bool silenceTold = false;
    Instant since;
    std::uint32_t requests = 0;
    std::array<std::optional<std::uint16_t>, 2> lastNs;
    std::optional<std::uint16_t> measured;
    Instant measuredAt;
    std::uint32_t keepalives = 0;
    std::vector<Session> sessions;
    std::vector<std::uint8_t> proof;

    [[nodiscard]] bool rewritten() const { return insideId != publicId; }
    [[nodiscard]] tunnel::Lane laneOf(net::Direction sender) const
    {
        return sender == initiator ? tunnel::Lane::Client : tunnel::Lane::Server;
    }
};

/// The UDP session of a client with a server, and those that answers from other ports have made.
struct Link {
    Flow flow;
    std::vector<FlowId> others;
    bool firstFlowGone = false;  ///< the server's other port carries everything
    std::uint64_t serial = 0;
    std::vector<std::unique_ptr<TunnelState>> tunnels;
};

struct StrayKey {
    net::Ipv4Address external;
    net::Ipv4Address server;
    std::uint32_t tunnelId = 0;
    friend constexpr auto operator<=>(const StrayKey&, const StrayKey&) = default;
};

inline bool isPort1701(const Flow& flow)
{
    return flow.remote.port.hostOrder() == kPort || flow.internal.port.hostOrder() == kPort ||
           flow.external.port.hostOrder() == kPort;
}

/// RFC 3931 §4.1.2.1: flags and version, 16 reserved bits, the session ID.
inline bool isVersion3Data(wire::ConstBytes payload)
{
    return payload.size() >= 8 && (payload[0] & 0x80U) == 0 && (payload[1] & 15U) == 3;
}

inline Edit edit16(std::size_t offset, std::uint16_t value)
{
    return {.offset = static_cast<std::uint32_t>(offset),
            .length = 2,
            .bytes = {static_cast<std::uint8_t>(value >> 8), static_cast<std::uint8_t>(value)}};
}

}  // namespace l2tp

struct L2tpInspector::State {
    State(HashKey key, const policy::PassthroughPolicy& switches, const net::Prefix& internal)
        : seed(key),
          policy(switches),
          lan(internal),
          random(HashKey{key.k0 ^ 0x4c325450U, key.k1}),
          overIp(key, switches)
    {}

    HashKey seed;
    const policy::PassthroughPolicy& policy;
    const net::Prefix& lan;  ///< our own network
    Random random;
    l2tp::L2tpOverIp overIp;
    std::unordered_map<FlowId, std::unique_ptr<l2tp::Link>> links;  ///< by their first flow
    std::unordered_map<FlowId, FlowId> joined;  ///< flows of answers from other ports
    std::map<l2tp::StrayKey, l2tp::TunnelState*> strays;
    std::map<net::Ipv4Address, l2tp::ReplyMode> modes;
    std::optional<Instant> nextSweep;

    l2tp::Link* linkOf(FlowId flow);
    l2tp::Link* relatedLink(const Flow& flow, net::Direction direction,
                            const l2tp::ControlMessage& message) const;
    l2tp::Link& open(const Flow& flow);
    [[nodiscard]] policy::PassthroughMode modeOf(const Flow& flow, std::uint8_t version) const
    {
        return policy.modeFor(protocolOf(version), flow.internal.address, flow.remote.address);
    }
    static net::VpnProtocol protocolOf(std::uint8_t version)
    {
        return version == 3 ? net::VpnProtocol::L2tpV3 : net::VpnProtocol::L2tp;
    }
    void setMode(net::Ipv4Address server, l2tp::ReplyMode mode)
    {
        if (modes.size() < l2tp::kMostServers || modes.contains(server)) modes[server] = mode;
    }
    [[nodiscard]] l2tp::ReplyMode modeOfServer(net::Ipv4Address server) const
    {
        const auto found = modes.find(server);
        return found == modes.end() ? l2tp::ReplyMode::Unknown : found->second;
    }

    static void label(const l2tp::Link& link, const l2tp::TunnelState& tunnel,
                      tunnel::Confidence confidence, Actions& actions);
    l2tp::TunnelState* find(const l2tp::Link& link, net::Direction direction,
                            std::uint32_t headerId) const;
    l2tp::TunnelState* beginTunnel(Instant now, l2tp::Link& link, net::Direction direction,
                                   const l2tp::ControlMessage& message, wire::ConstBytes packet,
                                   Actions& actions);
    bool chooseId(const l2tp::Link& link, l2tp::TunnelState& tunnel,
                  const l2tp::ControlMessage& message);
    void endTunnel(l2tp::TunnelState& tunnel, TunnelEnding ending, std::uint32_t code,
                   Actions& actions);

    Attention inspect(Instant now, l2tp::Link& link, const Flow& flow, const Segment& segment,
                      Actions& actions);
    Attention control(Instant now, l2tp::Link& link, const Flow& flow, net::Direction direction,
                      wire::ConstBytes payload, wire::ConstBytes packet, Actions& actions);
    Attention data(Instant now, l2tp::Link& link, net::Direction direction,
                   wire::ConstBytes payload, wire::ConstBytes packet, Actions& actions);
    /// Version 3 data names a session and no tunnel (RFC 3931 §4.1.2): whose client has assigned
    /// it, among those of the server; null if nobody's, or more than one's.
    l2tp::TunnelState* ownerOfSession(net::Ipv4Address external, net::Ipv4Address server,
                                      std::uint32_t sessionId) const;
    void follow(Instant now, const l2tp::Link& link, l2tp::TunnelState& tunnel,
                net::Direction direction, const l2tp::ControlMessage& message, Actions& actions);
    void followCall(l2tp::TunnelState& tunnel, net::Direction direction,
                    const l2tp::ControlMessage& message);
    void measure(Instant now, l2tp::TunnelState& tunnel, net::Direction direction,
                 const l2tp::ControlMessage& message, Actions& actions);
    void establish(const l2tp::Link& link, l2tp::TunnelState& tunnel, Actions& actions);
    void sweep(Instant now, Actions& actions);
};

}  // namespace engine::passthrough
