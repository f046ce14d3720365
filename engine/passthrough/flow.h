#pragma once

#include "engine/base/drop_reason.h"
#include "engine/base/time.h"
#include "engine/net/direction.h"
#include "engine/net/endpoint.h"
#include "engine/net/ip_protocol.h"
#include "engine/tunnel/observation.h"
#include "engine/wire/bytes.h"

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

/// What passes between the NAT and the passthrough code. The NAT shows packets; passthrough answers
/// with what to do. Passthrough never writes a packet.
namespace engine::passthrough {

/// A session of the NAT, named for as long as it lives. Zero names none.
using FlowId = std::uint64_t;

/// A TCP or UDP session as the NAT knows it.
struct Flow {
    FlowId id = 0;
    net::IpProtocol protocol = net::IpProtocol::Udp;
    net::Endpoint internal;
    net::Endpoint external;
    net::Endpoint remote;
    net::Direction initiator = net::Direction::Outbound;  ///< who sent the first packet
    bool loops = false;  ///< hairpinned: the other end is a device inside, too
};

/// One packet of a flow, before translation when outbound, after address translation when inbound.
/// TCP segments have passed window tracking; they may still come twice, overlap or leave holes.
struct Segment {
    net::Direction direction = net::Direction::Outbound;
    wire::ConstBytes payload;    ///< after the TCP or UDP header; empty segments are shown too
    std::uint32_t sequence = 0;  ///< TCP: as in the header (a SYN takes one number); else 0
    std::uint8_t tcpFlags = 0;   ///< TCP: the octet with FIN 1, SYN 2, RST 4, PSH 8, ACK 16
    wire::ConstBytes packet;     ///< the whole IP packet, as proof for findings
};

/// Replaces octets of the payload that was just shown; never changes its length.
struct Edit {
    std::uint32_t offset = 0;  ///< from payload[0]
    std::uint8_t length = 0;
    std::array<std::uint8_t, 4> bytes{};
};

/// What stands in a port-less packet and tells sessions apart. `variant` separates number spaces of
/// one IP protocol.
struct Discriminator {
    enum class Variant : std::uint8_t {
        None,
        GreCall,
        GreKey,
        EoipTunnel,
        InnerAddress,
        Spi,
        SessionId,
        ControlId
    };
    Variant variant = Variant::None;
    std::uint32_t id = 0;
    friend constexpr auto operator<=>(const Discriminator&, const Discriminator&) = default;
};

/// A port-less packet (GRE, ESP, L2TPv3, …): what is behind the IP header of an unfragmented packet
/// or a first fragment, as it arrived: a rewriteInbound comes after the inspection. `external` is
/// the address this device is or would be paired with.
struct PortlessPacket {
    net::IpProtocol protocol = net::IpProtocol::Gre;
    net::Ipv4Address internal;  ///< outbound: the sender; inbound and bound: the owner; else zero
    net::Ipv4Address external;
    net::Ipv4Address remote;
    wire::ConstBytes payload;
    wire::ConstBytes packet;
};

/// A port-less session that the NAT is asked to make. It is an expectation when it is made before
/// its first packet. It can only ever name the client and the server it came from: the NAT checks
/// that both equal those of the flow or packet that was just shown, and refuses anything else.
/// (At a timeout: those of a session or binding of the same inspector that still lives.)
/// Asking again for a binding that exists (same client, server and discriminators) updates its
/// idle, watch, key and sequence and nothing else. Attention::Next::Ignore ends watching.
struct PortlessBinding {
    net::IpProtocol protocol = net::IpProtocol::Gre;
    net::Ipv4Address client;
    net::Ipv4Address external;
    net::Ipv4Address server;
    // Unset: not known yet, the session matches nothing in that direction.
    std::optional<Discriminator> outbound;  ///< in packets from client to server
    std::optional<Discriminator> inbound;   ///< in packets from server to `external`
    /// Inbound packets get these 16 bits at this payload offset instead (PPTP's Call ID).
    struct Rewrite {
        std::uint16_t offset = 0;
        std::uint16_t value = 0;
    };
    std::optional<Rewrite> rewriteInbound;
    Duration idle{0};       ///< timer until the next packet either way; zero: the NAT's default
    FlowId master = 0;      ///< ends with this flow; 0: on its own
    bool watch = false;     ///< show every packet to inspectPortless()
    bool renewal = false;   ///< only updates one that was asked for before
    tunnel::TunnelKey key;  ///< the tunnel its bytes count for
    tunnel::SequenceKind sequence = tunnel::SequenceKind::None;
};

/// Ends a port-less session before its time. Whichever discriminator is set finds it.
struct PortlessUnbinding {
    net::IpProtocol protocol = net::IpProtocol::Gre;
    net::Ipv4Address client;
    net::Ipv4Address external;
    net::Ipv4Address server;
    std::optional<Discriminator> outbound;
    std::optional<Discriminator> inbound;
};

/// Asks the NAT to let a UDP flow's server answer from another port, or to another external port of
/// the same client (L2TP's reply modes). Names no third host.
struct UdpAlias {
    FlowId flow = 0;
    net::Port remotePort;    ///< the server's new port; 0: any, until its first answer
    net::Port externalPort;  ///< where its packets will arrive
    /// The client's packets of this flow also leave from `externalPort`, although that port may be
    /// another client's (servers that insist on IKE's port 500). The NAT keeps the flow's own
    /// mapping; what comes back is told apart by Attention::redirect and unmatchedUdp().
    bool sendFromExternalPort = false;
};

/// Whose an inbound UDP datagram is that the NAT's tables give to nobody. The flow's remote address
/// must be the datagram's source address; the NAT refuses anything else. Its destination becomes
/// the flow's internal endpoint, its source stays. Edits left in Actions apply to its payload.
struct UdpRedirect {
    FlowId flow = 0;
};

/// The flow belongs to a tunnel from now on: its packets count, and its sequence numbers are read.
struct Attachment {
    FlowId flow = 0;
    tunnel::TunnelKey key;
    tunnel::SequenceKind sequence = tunnel::SequenceKind::None;
    Duration idle{0};  ///< keep the session at least this long; zero: the NAT's own timer
};

/// Everything passthrough wants done after it has seen something. Reused from call to call.
struct Actions {
    std::vector<Edit> edits;
    std::vector<PortlessBinding> bindings;
    std::vector<PortlessUnbinding> unbindings;
    std::vector<UdpAlias> aliases;
    std::vector<Attachment> attachments;
    std::vector<tunnel::Observation> observations;
    /// Other flows of a tunnel whose switch says no: they end with it. Only those of the client and
    /// the server that were just shown.
    std::vector<FlowId> refusals;
    std::vector<std::uint32_t> releases;  ///< held packets that may travel now, by hold token
    std::vector<std::uint32_t> discards;  ///< held packets that must not travel any more

    /// Something beside edits.
    [[nodiscard]] bool wantsSomething() const
    {
        return !(bindings.empty() && unbindings.empty() && aliases.empty() && attachments.empty() &&
                 observations.empty() && refusals.empty() && releases.empty() && discards.empty());
    }
    void clear()
    {
        edits.clear();
        bindings.clear();
        unbindings.clear();
        aliases.clear();
        attachments.clear();
        observations.clear();
        refusals.clear();
        releases.clear();
        discards.clear();
    }
};

/// What happens to the packet that was shown, and whether to show the next one.
struct Attention {
    enum class Next : std::uint8_t { Watch, Ignore };
    enum class Fate : std::uint8_t { Pass, Drop, Hold };
    Next next = Next::Watch;
    Fate fate = Fate::Pass;
    DropReason reason = DropReason::DeniedByPolicy;  ///< with Drop
    std::uint32_t holdToken = 0;                     ///< with Hold; chosen by passthrough
    bool showAgain = false;  ///< with Hold: inspect() sees the packet once more when it is released
    /// Inbound UDP, with Pass: the packet belongs to the client of this flow instead (as
    /// UdpRedirect, same conditions); 0: to the flow's own.
    FlowId redirect = 0;
};

/// Where a port-less packet that no session knows goes. Bindings in Actions make a session of it.
struct PortlessDecision {
    enum class Kind : std::uint8_t { Deliver, FanOut, Hold, Drop };
    Kind kind = Kind::Drop;
    DropReason reason = DropReason::UnsupportedProtocol;
    bool told = false;  ///< with Drop: the sender has been told already, and is not again
    std::uint32_t holdToken = 0;
    /// Inbound: whom to deliver to (Deliver: the first only). Outbound: ignored.
    static constexpr std::size_t kMostRecipients = 4;
    std::array<net::Ipv4Address, kMostRecipients> recipients{};
    std::uint8_t recipientCount = 0;
    /// Deliver inbound with this 16-bit rewrite (as PortlessBinding::rewriteInbound).
    std::optional<PortlessBinding::Rewrite> rewrite;
};

/// Why a session ended.
enum class FlowEnd : std::uint8_t { Expired, Closed, Reset, Admin, Evicted, AddressLost };

}  // namespace engine::passthrough
