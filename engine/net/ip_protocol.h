#pragma once

#include <cstdint>

namespace engine::net {

/// IP protocol numbers that the engine knows by name (IANA). Others travel as plain values.
enum class IpProtocol : std::uint8_t {
    Icmp = 1,
    IpIp = 4,
    Tcp = 6,
    Udp = 17,
    Dccp = 33,
    SixInFour = 41,
    Gre = 47,
    Esp = 50,
    Ah = 51,
    EtherIp = 97,
    IpComp = 108,
    L2tpV3 = 115,
    Sctp = 132,
    UdpLite = 136,
};

/// Whether we tell flows of this protocol apart by two ports.
[[nodiscard]] constexpr bool hasPorts(IpProtocol protocol)
{
    return protocol == IpProtocol::Tcp || protocol == IpProtocol::Udp;
}

/// Whether its flows have neither ports nor a query identifier, but a discriminator if anything.
[[nodiscard]] constexpr bool isPortless(IpProtocol protocol)
{
    return !hasPorts(protocol) && protocol != IpProtocol::Icmp;
}

}  // namespace engine::net
