#pragma once

#include "engine/base/drop_reason.h"
#include "engine/config.h"
#include "engine/nat/tcp_state.h"
#include "engine/tunnel/tunnel.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace engine {

struct DirectionTotals {
    std::uint64_t packets = 0;
    std::uint64_t bytes =
        0;  ///< IP total length, counting each segment of an offloaded packet's headers once
};

/// Exact since the engine was made; never reset.
struct Counters {
    DirectionTotals outbound;  ///< forwarded from internal to external
    DirectionTotals inbound;
    DirectionTotals hairpinned;
    std::array<std::uint64_t, kDropReasonCount> drops{};
    std::uint64_t sessionsCreated = 0;
    std::uint64_t sessionsEnded = 0;
    std::uint64_t mappingsCreated = 0;
    std::uint64_t consumed = 0;      ///< packets for the router itself
    std::uint64_t generated = 0;     ///< ICMP errors and TCP segments the engine made itself
    std::uint64_t synsAnswered = 0;  ///< by the router in a server's place
    std::uint64_t synsProved = 0;    ///< of these: whose sender turned out to be there
    std::uint64_t helperEdits = 0;
    std::uint64_t eventsLost = 0;
};

using nat::TcpState;

/// One session as shown and kept in history.
struct SessionRecord {
    std::uint64_t serial = 0;
    net::IpProtocol protocol = net::IpProtocol::Tcp;
    net::Endpoint internal;  ///< port: query identifier for ICMP, 0 for port-less protocols
    net::Endpoint external;
    net::Endpoint remote;
    std::uint32_t discriminatorOut = 0;  ///< port-less protocols: SPI, call ID, key
    std::uint32_t discriminatorIn = 0;
    TcpState tcpState = TcpState::None;
    bool outboundInitiated = true;
    bool answered = false;
    bool held = false;
    DirectionTotals outbound;
    DirectionTotals inbound;
    Instant created;
    Instant lastPacket;
    Instant expires;
    std::uint64_t tunnelSerial = 0;  ///< 0: belongs to none
    std::uint32_t forwardId = 0;     ///< the port forward that admitted it, 0: none
};

/// Which sessions are wanted; unset fields match all.
struct SessionQuery {
    net::Ipv4Address device;
    std::uint64_t tunnelSerial = 0;
    std::uint32_t limit = 10000;
};

struct DeviceStatus {
    net::Ipv4Address address;
    std::uint32_t sessions = 0;
    std::uint32_t tunnels = 0;
    DirectionTotals outbound;
    DirectionTotals inbound;
    Instant firstSeen;
    Instant lastSeen;
    std::uint64_t refused = 0;
};

/// The effective state of one passthrough switch, not merely the wished one.
struct ProtocolStatus {
    policy::PassthroughSwitch position;
    std::uint32_t liveTunnels = 0;
    std::uint32_t heldTunnels = 0;
    Instant heldUntil;
    std::uint64_t tunnelsSeen = 0;
    std::uint64_t refused = 0;
    SelfTestResult selfTest;
};

/// Why a forward that is on does not let in what it should at this moment.
enum class ForwardObstacle : std::uint8_t {
    PortOfHost,       ///< a program of this computer has taken an external port, which waits
    DeviceElsewhere,  ///< the internal network has another range by now
};

struct PortForwardStatus {
    std::uint32_t id = 0;
    std::uint64_t hits = 0;
    std::uint32_t liveSessions = 0;
    std::optional<ForwardObstacle> obstacle;
};

/// A server inside whose callers are checked before they are passed on (RFC 4987 §3.6).
struct SynFloodStatus {
    net::Endpoint server;  ///< the port is the one that was called when it began
    Instant since;
    std::uint64_t answered = 0;  ///< attempts that the router has answered itself
    std::uint64_t proved = 0;    ///< connections that came of them
};

/// Everything a window shows that changes several times a second. Immutable once made.
struct Snapshot {
    Instant at;
    Counters counters;
    std::uint32_t sessions = 0;
    std::uint32_t sessionLimit = 0;
    std::uint32_t mappings = 0;
    std::uint64_t memory = 0;  ///< octets the engine has reserved for its tables
    InternalSide internal;
    ExternalSide external;
    std::vector<tunnel::Tunnel> tunnels;  ///< live ones and those that ended less than a minute ago
    std::vector<DeviceStatus> devices;
    std::vector<PortForwardStatus> forwards;
    std::uint32_t exposedSessions = 0;      ///< that came in because a device is exposed
    std::vector<SynFloodStatus> synFloods;  ///< going on now
    std::array<ProtocolStatus, net::kVpnProtocolCount> protocols;
};

}  // namespace engine
