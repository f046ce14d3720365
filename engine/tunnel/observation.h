#pragma once

#include "engine/tunnel/tunnel.h"

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

namespace engine::tunnel {

/// Names one VPN connection before it has an id. Whoever recognises a protocol chooses
/// `discriminator` so that control and data sessions of one connection get the same key.
struct TunnelKey {
    net::Ipv4Address device;
    net::Ipv4Address server;
    std::uint64_t discriminator = 0;
    friend constexpr auto operator<=>(const TunnelKey&, const TunnelKey&) = default;
};

/// What a recogniser or helper has noticed. The table of tunnels turns it into state; fields that
/// `kind` does not name are ignored.
struct Observation {
    enum class Kind : std::uint8_t {
        Label,         ///< protocol, confidence; makes the tunnel if it is new. transport, server,
                       ///< external
        Phase,         ///< phase
        Event,         ///< event, from, to, a, b
        Passage,       ///< passage
        RoundTrip,     ///< duration
        InnerAddress,  ///< a: in host order
        InnerMtu,      ///< a
        Retransmit,    ///< a: message type
        Rekey,
        ServerName,  ///< text
        Product,     ///< text
        Finding,     ///< finding, a, b, packet
        MayEnd,      ///< a peer has sent what may have been goodbye; silence will tell
        Ended,       ///< phase (an isOver() one), event: the cause, a: code
        Merge,       ///< `other` turned out to be the same connection: its sessions move to `key`
    };
    TunnelKey key;
    Kind kind = Kind::Label;
    net::VpnProtocol protocol = net::VpnProtocol::Pptp;
    Confidence confidence = Confidence::Guess;
    Phase phase = Phase::Seen;
    EventKind event = EventKind::PhaseChanged;
    Lane from = Lane::Router;
    Lane to = Lane::Router;
    FindingKind finding = FindingKind::NoAnswerFromServer;
    std::uint32_t a = 0;
    std::uint32_t b = 0;
    Passage passage;
    net::Endpoint server;
    net::Endpoint external;
    net::IpProtocol transport = net::IpProtocol::Udp;
    Duration duration{0};
    TunnelKey other;
    std::string text;  ///< at most 64 octets, straight from the network: hostile
    std::vector<std::uint8_t> packet;
};

/// Where the sequence number of a data packet stands, for loss and reordering without keys.
/// Offsets count from the transport payload (after UDP, or after IP for port-less protocols).
enum class SequenceKind : std::uint8_t {
    None,
    GreV1,       ///< 32 bits @8 if the S bit is set
    GreV0,       ///< behind checksum and key if the S bit is set
    Esp,         ///< 32 bits @4
    EspInUdp,    ///< same, when the first four octets are not zero
    WireGuard,   ///< 64 bits little-endian @8 of type 4
    OpenVpnUdp,  ///< 32 bits @4 of DATA_V2 in AEAD mode
    Dtls,        ///< 48 bits @5 of a DTLS 1.0-1.2 record
    L2tp,        ///< Ns of data messages if the S bit is set
};

}  // namespace engine::tunnel
