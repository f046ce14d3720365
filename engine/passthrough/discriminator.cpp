#include "engine/passthrough/gre_header.h"
#include "engine/passthrough/passthrough.h"

namespace engine::passthrough {

namespace {

using Variant = Discriminator::Variant;

/// Ours: folds long inner addresses into 32 bits (the finaliser of a well-known mixing function).
/// Two devices whose addresses fold alike are treated as if they had chosen the same one.
constexpr std::uint32_t fold(std::uint64_t value)
{
    value ^= value >> 33;
    value *= 0xff51afd7ed558ccdU;
    value ^= value >> 33;
    value *= 0xc4ceb9fe1a85ec53U;
    value ^= value >> 33;
    return static_cast<std::uint32_t>(value);
}

/// The tunnel's own end is the source on the way out and the destination on the way in.
std::optional<Discriminator> innerIpv4(net::Direction direction, wire::ConstBytes inner)
{
    if (inner.size() < 20 || inner[0] >> 4 != 4) return std::nullopt;
    const std::size_t at = direction == net::Direction::Outbound ? 12 : 16;
    return Discriminator{Variant::InnerAddress, wire::load32(inner, at)};
}

/// A whole /64 belongs to one device; link-local addresses only count in full, since every tunnel
/// uses the same prefix.
std::optional<Discriminator> innerIpv6(net::Direction direction, wire::ConstBytes inner)
{
    if (inner.size() < 40 || inner[0] >> 4 != 6) return std::nullopt;
    const std::size_t at = direction == net::Direction::Outbound ? 8 : 24;
    const std::uint64_t prefix = wire::load64(inner, at);
    const bool linkLocal = (prefix >> 54) == (0xfe80U >> 6);
    const bool multicast = inner[at] == 0xff;
    if (linkLocal || multicast) {
        return Discriminator{Variant::InnerAddress,
                             fold(prefix ^ fold(wire::load64(inner, at + 8)))};
    }
    return Discriminator{Variant::InnerAddress, fold(prefix)};
}

/// A bridged frame: the station behind the tunnel.
std::optional<Discriminator> innerMac(net::Direction direction, wire::ConstBytes inner)
{
    if (inner.size() < 14) return std::nullopt;
    const std::size_t at = direction == net::Direction::Outbound ? 6 : 0;
    const std::uint64_t mac =
        (std::uint64_t{wire::load32(inner, at)} << 16) | wire::load16(inner, at + 4);
    return Discriminator{Variant::InnerAddress, fold(mac)};
}

std::optional<Discriminator> greDiscriminator(net::Direction direction, wire::ConstBytes payload)
{
    const auto parsed = GreHeader::parse(payload);
    if (!parsed) return std::nullopt;
    const GreHeader& header = *parsed;
    if (header.isPptp()) return Discriminator{Variant::GreCall, header.callId};
    if (header.isEoip()) return Discriminator{Variant::EoipTunnel, header.tunnelId};
    if (header.version == 0) {
        if (header.key) return Discriminator{Variant::GreKey, *header.key};
        std::optional<Discriminator> inner;
        if (!header.routed) {
            if (header.type == kEtherTypeIpv4) inner = innerIpv4(direction, header.payload);
            if (header.type == kEtherTypeIpv6) inner = innerIpv6(direction, header.payload);
            if (header.type == kEtherTypeBridged) inner = innerMac(direction, header.payload);
        }
        if (inner) return inner;
    }
    return Discriminator{};
}

}  // namespace

std::optional<Discriminator> discriminatorOf(net::IpProtocol protocol, net::Direction direction,
                                             wire::ConstBytes payload)
{
    switch (protocol) {
    case net::IpProtocol::Gre: return greDiscriminator(direction, payload);
    case net::IpProtocol::Esp:
        if (payload.size() < 8) return std::nullopt;
        return Discriminator{Variant::Spi, wire::load32(payload, 0)};
    case net::IpProtocol::Ah:
        if (payload.size() < 12) return std::nullopt;
        return Discriminator{Variant::Spi, wire::load32(payload, 4)};
    case net::IpProtocol::IpComp:
        // RFC 3173 §3.1: the CPI is 16 bits.
        if (payload.size() < 4) return std::nullopt;
        return Discriminator{Variant::Spi, wire::load16(payload, 2)};
    case net::IpProtocol::L2tpV3:
        // RFC 3931 §4.1.1: session ID zero marks the control channel.
        if (payload.size() < 4) return std::nullopt;
        if (wire::load32(payload, 0) != 0) {
            return Discriminator{Variant::SessionId, wire::load32(payload, 0)};
        }
        if (payload.size() < 12) return std::nullopt;
        return Discriminator{Variant::ControlId, wire::load32(payload, 8)};
    case net::IpProtocol::IpIp: return innerIpv4(direction, payload);
    case net::IpProtocol::SixInFour: return innerIpv6(direction, payload);
    case net::IpProtocol::EtherIp:
        // RFC 3378 §3: version 3 in the first four bits, the rest of two octets zero.
        if (payload.size() < 2 || payload[0] >> 4 != 3) return std::nullopt;
        return Discriminator{};
    case net::IpProtocol::Icmp:
    case net::IpProtocol::Tcp:
    case net::IpProtocol::Udp:
    case net::IpProtocol::Dccp:
    case net::IpProtocol::Sctp:
    case net::IpProtocol::UdpLite: return std::nullopt;
    }
    return Discriminator{};
}

}  // namespace engine::passthrough
