#pragma once

#include "engine/base/time.h"
#include "engine/net/endpoint.h"
#include "engine/net/prefix.h"

#include <cstdint>
#include <vector>

namespace engine::nat {

using namespace std::chrono_literals;

/// RFC 4787 §4.1 and §5: which remote endpoints a mapping is used for, and which may answer.
enum class Behaviour : std::uint8_t {
    EndpointIndependent,
    AddressDependent,
    AddressAndPortDependent,
};

/// How the NAT behaves for one transport protocol.
struct ProtocolBehaviour {
    Behaviour mapping = Behaviour::EndpointIndependent;
    Behaviour filtering = Behaviour::AddressDependent;
    friend auto operator<=>(const ProtocolBehaviour&, const ProtocolBehaviour&) = default;
};

// Specification.
/// RFC 4787 REQ-5: a UDP mapping must not expire in less than two minutes.
inline constexpr Duration kUdpTimeoutMinimum = 2min;
/// RFC 4787 REQ-5c: five minutes or more are recommended.
inline constexpr Duration kUdpTimeout = 5min;
/// RFC 5382 REQ-5: an established TCP connection is kept for at least 2 hours 4 minutes idle.
inline constexpr Duration kTcpEstablishedTimeout = 2h + 4min;
/// RFC 5382 REQ-5: a transitory connection is kept for at least 4 minutes.
inline constexpr Duration kTcpTransitoryTimeout = 4min;
/// Ours, since RFC 7857 §2.1 sets no floor for connections that are only half open: longer than a
/// client waits between two of its first SYNs.
inline constexpr Duration kTcpOpeningMinimum = 30s;
/// RFC 5508 REQ-2: an ICMP query session is kept for at least 60 seconds.
inline constexpr Duration kIcmpQueryTimeout = 60s;
/// Ours: far below what the clock can count, and longer than anybody wants to wait.
inline constexpr Duration kLongestTimer = 24h * 7;
/// RFC 5382 REQ-4: an unsolicited inbound SYN gets no answer for at least six seconds.
inline constexpr Duration kInboundSynWait = 6s;
/// RFC 6888 REQ-8: a freed external port is not used again for 120 seconds.
inline constexpr Duration kPortQuarantine = 120s;

struct Timers {
    Duration udpOneWay = kUdpTimeoutMinimum;
    Duration udpTwoWay = kUdpTimeout;
    Duration tcpEstablished = kTcpEstablishedTimeout;
    Duration tcpOpening = kTcpTransitoryTimeout;  ///< RFC 7857 §2.1: apart from closing
    Duration tcpClosing = kTcpTransitoryTimeout;
    Duration icmpQuery = kIcmpQueryTimeout;
    Duration portless = 10min;  ///< ours: GRE and friends outside a control channel
    Duration esp = 1h;          ///< ours: an SPI that was bound
    friend auto operator<=>(const Timers&, const Timers&) = default;
};

/// Which pings from outside a shared external address answers. The host answers with its own path
/// MTU while connections through it keep theirs: whoever may lower the one and watch the other
/// knows that there are devices behind the address.
enum class PingsFromOutside : std::uint8_t {
    Small,  ///< up to kLargestSmallPing, whose answers no path MTU changes
    All,
    None,
};
/// Octets of the IP packet. Ours: no host believes in a smaller path MTU (RFC 1191 §3 allows 68,
/// Linux stops at 552).
inline constexpr std::uint16_t kLargestSmallPing = 552;

/// What one device may hold. Ours; RFC 6888 REQ-4 and REQ-5 ask that there is a limit.
struct Limits {
    std::uint32_t sessionsPerDevice = 0;     ///< 0: an eighth of the table, at least 1,024
    std::uint32_t portsPerDevice = 0;        ///< 0: a quarter of the pool, per protocol
    std::uint32_t newSessionsPerSecond = 0;  ///< 0: no limit
    friend auto operator<=>(const Limits&, const Limits&) = default;
};

inline constexpr net::PortRange kAllPorts{net::Port{0}, net::Port{65535}};

/// A device, or some of its ports, whose NAT type is another: a game console, a telephone.
struct BehaviourException {
    net::Prefix devices{net::Ipv4Address{}, 0};
    net::PortRange ports = kAllPorts;  ///< internal ones; pings follow exceptions of all ports only
    ProtocolBehaviour behaviour;
    friend auto operator<=>(const BehaviourException&, const BehaviourException&) = default;
};

/// Destinations that are reached without translation (RFC 6888 REQ-6): both sides see each other's
/// own addresses, so the far side must know the way to the internal network. TCP, UDP and pings.
struct Untranslated {
    net::Prefix destinations{net::Ipv4Address{}, 0};
    net::PortRange ports = kAllPorts;
    friend auto operator<=>(const Untranslated&, const Untranslated&) = default;
};

struct NatConfig {
    ProtocolBehaviour tcp;
    ProtocolBehaviour udp;
    ProtocolBehaviour icmp;
    Timers timers;
    Limits limits;
    /// External ports that mappings may use; below 1024 only for internal ports below 1024
    /// (REQ-3a).
    net::PortRange ports{net::Port{1024}, net::Port{65535}};
    bool portParity = true;      ///< RFC 4787 REQ-4
    bool preservePorts = false;  ///< ours: random by default (RFC 6056, RFC 7857 §9)
    bool hairpinning = true;     ///< RFC 4787 REQ-9
    bool inboundRefresh =
        true;  ///< RFC 4787 REQ-6: inbound packets of a two-way session refresh it
    bool clampMss = true;
    PingsFromOutside pings = PingsFromOutside::Small;
    /// Ours: under a flood of connection attempts the router answers them in a server's place and
    /// passes on those whose sender is there. Does nothing in peace.
    bool synProxy = true;
    std::vector<BehaviourException> exceptions;  ///< the first that matches wins
    std::vector<Untranslated> untranslated;
    friend auto operator<=>(const NatConfig&, const NatConfig&) = default;
};

}  // namespace engine::nat
