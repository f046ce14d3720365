#pragma once

#include "engine/net/endpoint.h"
#include "engine/net/ip_protocol.h"
#include "engine/net/mac_address.h"
#include "engine/net/prefix.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

/// The user's wishes as plain values. They are stored by app/, edited by ui/ and applied by the
/// engine as commands; names are for people and mean nothing to the engine.
namespace engine::policy {

/// Whether connections from outside can be forwarded to a device: what is translated both ways. A
/// ping is the host's own, AH is refused (its checksum covers the addresses), others do not pass.
[[nodiscard]] constexpr bool canBeForwarded(net::IpProtocol protocol)
{
    switch (protocol) {
    case net::IpProtocol::Tcp:
    case net::IpProtocol::Udp:
    case net::IpProtocol::Gre:
    case net::IpProtocol::Esp:
    case net::IpProtocol::IpIp:
    case net::IpProtocol::SixInFour:
    case net::IpProtocol::EtherIp:
    case net::IpProtocol::L2tpV3: return true;
    case net::IpProtocol::Icmp:
    case net::IpProtocol::Dccp:
    case net::IpProtocol::Ah:
    case net::IpProtocol::IpComp:
    case net::IpProtocol::Sctp:
    case net::IpProtocol::UdpLite: return false;
    }
    return false;
}

/// A static mapping made by the user: connections from outside to our external address reach a
/// device inside.
struct PortForward {
    std::uint32_t id = 0;
    std::string name;
    bool enabled = true;
    /// One that canBeForwarded(); of a port-less one (Gre, Esp, …) the ports are ignored.
    net::IpProtocol protocol = net::IpProtocol::Tcp;
    net::PortRange externalPorts;
    net::Ipv4Address internalAddress;
    net::Port internalFirst;  ///< the range is shifted as a whole
    bool hairpin = true;
    net::Prefix allowedRemotes{net::Ipv4Address{}, 0};
    friend auto operator<=>(const PortForward&, const PortForward&) = default;
};

/// 1:1 NAT: one internal address owns one external address with all ports and protocols.
struct OneToOne {
    std::uint32_t id = 0;
    std::string name;
    bool enabled = true;
    net::Ipv4Address internalAddress;
    net::Ipv4Address externalAddress;
    friend auto operator<=>(const OneToOne&, const OneToOne&) = default;
};

enum class DeviceAccess : std::uint8_t {
    Allow,
    Block,
    VpnOnly,  ///< only recognised VPN tunnels, DHCP, DNS and what is needed to reach the server
};

/// What one device may do. `address` names it to the engine; app/ keeps the MAC behind it.
struct DeviceRule {
    std::uint32_t id = 0;
    std::string name;
    net::Ipv4Address address;
    DeviceAccess access = DeviceAccess::Allow;
    std::optional<std::uint32_t> sessionLimit;  ///< unset: the general one
    friend auto operator<=>(const DeviceRule&, const DeviceRule&) = default;
};

}  // namespace engine::policy
