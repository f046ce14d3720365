#pragma once

#include "engine/lab/octets.h"
#include "engine/net/endpoint.h"
#include "engine/net/ip_protocol.h"
#include "engine/wire/bytes.h"

#include <cstdint>
#include <string>
#include <vector>

namespace engine::lab {

/// An IPv4 packet as the simulated hosts think of it.
struct Datagram {
    net::Ipv4Address source{};
    net::Ipv4Address destination{};
    net::IpProtocol protocol = net::IpProtocol::Udp;
    std::uint8_t ttl = 64;
    std::uint16_t id = 0;
    bool dontFragment = false;
    Octets payload{};  ///< what follows the IP header
};

[[nodiscard]] Octets encode(const Datagram& datagram);
/// Cut into fragments where the packet is larger than `mtu`.
[[nodiscard]] std::vector<Octets> encodeFragmented(const Datagram& datagram, std::size_t mtu);

enum class UdpChecksum : std::uint8_t { Computed, Zero };
[[nodiscard]] Octets encodeUdp(const net::Endpoint& from, const net::Endpoint& to,
                               wire::ConstBytes payload, UdpChecksum checksum);
/// An ICMP message of `type` and `code`; `rest` is the second word of its header.
[[nodiscard]] Octets encodeIcmp(std::uint8_t type, std::uint8_t code, std::uint32_t rest,
                                wire::ConstBytes body);

/// What is wrong with the packet's lengths or checksums (IPv4, TCP, UDP, ICMP, and the IPv4 header
/// that an ICMP error embeds); empty if nothing. Adds octet by octet on purpose: it shares no code
/// with the engine, whose work it judges.
[[nodiscard]] std::string faultOf(wire::ConstBytes packet);

}  // namespace engine::lab
