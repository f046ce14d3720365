#pragma once

#include "engine/base/time.h"
#include "engine/net/direction.h"
#include "engine/net/endpoint.h"
#include "engine/net/ip_protocol.h"
#include "engine/net/vpn_protocol.h"

#include <array>
#include <cstdint>
#include <string>
#include <vector>

/// The Tunnel: the control and data sessions of one VPN connection seen as one object. Values only;
/// they travel from the engine to windows, databases and the command line.
namespace engine::tunnel {

/// How sure we are of a protocol label. Two independent pieces of evidence make Certain.
enum class Confidence : std::uint8_t { Guess, Likely, Certain };

/// Where a tunnel stands. Encrypted tunnels are inferred: Established means traffic both ways.
enum class Phase : std::uint8_t {
    Seen,            ///< first packet, nothing proved
    Handshaking,     ///< control channel or key exchange under way
    Authenticating,  ///< user or peer authentication visible
    Establishing,    ///< agreed, no data both ways yet
    Established,
    Rekeying,
    Degraded,  ///< one way only, or loss above the limit
    Closing,
    Closed,   ///< ended by one of the peers
    Dead,     ///< ended by silence
    Failed,   ///< never came up
    Refused,  ///< our own switch or rule said no
    Held,     ///< switch just turned off: packets discarded, state kept for ten seconds
};
inline constexpr std::size_t kPhaseCount = 13;

[[nodiscard]] constexpr bool isOver(Phase phase)
{
    return phase == Phase::Closed || phase == Phase::Dead || phase == Phase::Failed ||
           phase == Phase::Refused;
}

/// Who did it: the lanes of the timeline.
enum class Lane : std::uint8_t { Client, Router, Server };

/// One kind of entry of the timeline. `a` and `b` of the entry mean what is said here.
enum class EventKind : std::uint8_t {
    ControlOpened,      ///< a: remote port
    ControlMessage,     ///< a: message type in the protocol's own numbers, b: result or error code
    IdRewritten,        ///< a: the client's ID, b: ours
    CallAgreed,         ///< a: client's ID as the server sees it, b: server's ID
    DataFirstOutbound,  ///< a: SPI, call ID, session ID or 0
    DataFirstInbound,   ///< same
    NatDetected,        ///< the endpoints found a NAT between them
    FloatedTo4500,
    KeyExchange,           ///< a: exchange type, b: message ID
    SpiBound,              ///< a: SPI, b: Binding confidence (0 guessed, 1 probable, 2 proven)
    SpiRebound,            ///< a: SPI; self-healing moved it
    Rekeyed,               ///< a: how many so far
    Keepalive,             ///< a: how many so far
    Retransmitted,         ///< a: message type or exchange
    AuthenticationFailed,  ///< a: the protocol's error code (691 for MS-CHAPv2)
    PortFloated,           ///< a: old remote port, b: new remote port
    LegacyPort500,         ///< the server insists on port 500; told apart by cookie from now on
    PhaseChanged,          ///< a: old Phase, b: new Phase
    WentSilent,            ///< a: 0 outbound 1 inbound
    Resumed,               ///< a: 0 outbound 1 inbound; kResumedAfterRestart: the router itself
    LossHigh,              ///< a: lost in 1000 packets, b: direction
    Held,
    Released,
    DroppedBySwitch,
    PeerClosed,  ///< a: code of the closing message, 0 if none
    TimedOut,
    ResetBy,    ///< TCP reset of the control channel
    IcmpError,  ///< a: type, b: code
    ExternalAddressChanged,
    FindingRaised,  ///< a: FindingKind
    LikelyDeleted,  ///< IKE: an informational exchange, whose content is hidden, and then silence
};
inline constexpr std::size_t kEventKindCount = 31;
/// The tunnel went on under a router that was started anew.
inline constexpr std::uint32_t kResumedAfterRestart = 2;

struct TimelineEvent {
    Instant at;
    EventKind kind = EventKind::PhaseChanged;
    Lane from = Lane::Router;
    Lane to = Lane::Router;  ///< equal to `from` when it concerns one lane only
    std::uint32_t a = 0;
    std::uint32_t b = 0;
    std::uint32_t repeats = 1;  ///< equal events in a row are one entry
    friend bool operator==(const TimelineEvent&, const TimelineEvent&) = default;
};

/// How the tunnel passes the NAT: the column that no other router has.
enum class PassageKind : std::uint8_t {
    Unknown,
    PortTranslated,  ///< internalId and externalId are UDP or TCP ports
    CallId,          ///< PPTP: internalId became externalId
    SpiPair,         ///< plain ESP: internalId outbound SPI, externalId inbound SPI
    CookieMatched,   ///< IKE kept on port 500, told apart by the initiator's cookie
    TunnelId,        ///< L2TP told apart by tunnel ID (rewritten if the two differ)
    GreKey,          ///< GRE key or EoIP tunnel ID, equal on both sides
    InnerAddress,    ///< keyless GRE, IPIP, 6in4: told apart by the inner address
    SessionId,       ///< L2TPv3
    OnlyClient,      ///< nothing tells clients apart; the only one with this server
};

struct Passage {
    PassageKind kind = PassageKind::Unknown;
    std::uint32_t internalId = 0;
    std::uint32_t externalId = 0;
};

/// A symptom that can be seen on the wire (design: the doctor's table), with its proof.
enum class FindingKind : std::uint8_t {
    NoAnswerFromServer,  ///< first packets never answered
    GreNeverReturns,     ///< control channel fine, GRE leaves, none comes back
    GreUnknownCall,      ///< GRE comes back with a Call ID nobody agreed on
    HelperOff,           ///< a second client of this server needs the helper that is off
    EspNeverReturns,     ///< ESP leaves, none comes back, no NAT-T
    Port4500NeverSeen,   ///< NAT found on 500, but nothing on 4500 answered
    FragmentsLost,       ///< large IKE messages are sent again and again
    AhCannotPass,
    MtuBlackHole,  ///< small packets pass, large ones do not
    InboundOnly,
    OutboundOnly,
    ServerAllowsOneClient,  ///< PPTP result 3, or L2TP/IPsec behind one address
    AuthenticationRefused,
    WeakCrypto,
    BlockedByOwnRule,
    UpstreamNat,  ///< IKE's NAT detection shows another NAT outside
    HighLoss,
    CutAfterHello,  ///< TCP came up; nothing came back but an end once the client had asked
    SameSubnet,     ///< an address inside the tunnel is one of our own network
};
inline constexpr std::size_t kFindingKindCount = 19;

struct Finding {
    FindingKind kind = FindingKind::NoAnswerFromServer;
    Instant at;
    /// The proof in numbers: counts or codes, as each kind's sentence needs them.
    std::uint32_t a = 0;
    std::uint32_t b = 0;
    /// Up to two headers of the packets that prove it, from the IP header on.
    std::vector<std::vector<std::uint8_t>> packets;
};

/// One direction of a tunnel as counted from its data sessions.
struct DirectionCounters {
    std::uint64_t packets = 0;
    std::uint64_t bytes = 0;  ///< IP total length
    std::uint64_t lost = 0;   ///< gaps in sequence numbers that nothing filled
    std::uint64_t reordered = 0;
    std::uint64_t duplicated = 0;
    Instant lastPacket;  ///< zero: none yet
};

struct TunnelId {
    std::uint32_t index = 0;
    std::uint32_t generation = 0;
    friend constexpr auto operator<=>(const TunnelId&, const TunnelId&) = default;
};

/// Everything that can be shown about one tunnel. A copy; nothing in it points into the engine.
struct Tunnel {
    TunnelId id;
    std::uint64_t serial = 0;  ///< never reused; a stable id for models, databases and scripts
    net::VpnProtocol protocol = net::VpnProtocol::Pptp;
    Confidence confidence = Confidence::Guess;
    Phase phase = Phase::Seen;
    net::Ipv4Address device;
    net::Endpoint server;                              ///< port 0 for port-less protocols
    net::Endpoint external;                            ///< our side as the server sees it
    net::IpProtocol transport = net::IpProtocol::Udp;  ///< of the control channel, or of the data
    Passage passage;
    std::string serverName;  ///< SNI or host name the protocol shows; hostile text
    std::string product;     ///< vendor the protocol shows; hostile text
    Instant started;
    Instant ended;                             ///< zero while it lives
    EventKind endCause = EventKind::TimedOut;  ///< meaningful once ended
    std::uint32_t endCode = 0;
    DirectionCounters outbound;
    DirectionCounters inbound;
    Duration roundTrip{0};          ///< latest, router to server; zero: unknown
    net::Ipv4Address innerAddress;  ///< of the device inside the tunnel (IPCP); 0.0.0.0: unknown
    std::uint16_t innerMtu = 0;     ///< the largest packet inside (PPP's MRU); 0: unknown
    std::uint32_t rekeys = 0;
    std::uint32_t retransmissions = 0;
    std::uint32_t sessions = 0;           ///< live child sessions
    Instant expires;                      ///< when the longest-lived child session would expire
    std::vector<TimelineEvent> timeline;  ///< oldest first; at most kTimelineLimit
    std::vector<Finding> findings;
};

/// Ours: a screen of history per tunnel. When full, the middle is condensed, never the ends.
inline constexpr std::size_t kTimelineLimit = 128;

}  // namespace engine::tunnel
