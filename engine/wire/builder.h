#pragma once

#include "engine/net/endpoint.h"
#include "engine/net/ip_protocol.h"
#include "engine/wire/bytes.h"
#include "engine/wire/icmp_view.h"

#include <cstdint>
#include <optional>
#include <vector>

/// Builds whole IPv4 packets with right checksums, for what the router says itself, for the lab and
/// for tests. Payloads that do not fit into 65,535 octets are the caller's mistake.
namespace engine::wire {

/// What the IPv4 header says besides addresses and protocol. As it stands the packet is atomic
/// (RFC 6864 §4), so that its identification means nothing.
struct Ipv4Fields {
    std::uint8_t ttl = 64;
    std::uint8_t typeOfService = 0;
    std::uint16_t identification = 0;
    bool dontFragment = true;
    bool moreFragments = false;
    std::uint16_t fragmentOffset = 0;  ///< in octets, a multiple of eight
    ConstBytes options{};              ///< padded to a multiple of four with end-of-list
};

struct TcpFields {
    net::Endpoint source;
    net::Endpoint destination;
    std::uint8_t flags = 0;
    std::uint32_t sequence = 0;
    std::uint32_t acknowledgement = 0;
    std::uint16_t window = 65535;
    std::optional<std::uint16_t> maximumSegmentSize{};
    std::optional<std::uint8_t> windowScale{};
    bool sackPermitted = false;
};

struct IcmpQueryFields {
    net::Ipv4Address source;
    net::Ipv4Address destination;
    IcmpType type = IcmpType::Echo;
    std::uint16_t identifier = 0;
    std::uint16_t sequence = 0;
};

struct IcmpErrorFields {
    net::Ipv4Address source;  ///< who reports
    IcmpType type = IcmpType::Unreachable;
    std::uint8_t code = 0;
    /// The second four octets of the message: the next hop's MTU in its low half for "fragmentation
    /// needed", the pointer in its highest octet for "parameter problem", else zero.
    std::uint32_t rest = 0;
};

/// RFC 1812 §4.3.2.3: an ICMP error quotes as much as fits in this many octets in all.
inline constexpr std::size_t kIcmpErrorMost = 576;

/// An IPv4 header before a payload that is taken as it is.
[[nodiscard]] std::vector<std::uint8_t> buildIpv4(net::Ipv4Address source,
                                                  net::Ipv4Address destination,
                                                  net::IpProtocol protocol, ConstBytes payload,
                                                  const Ipv4Fields& ip = {});
[[nodiscard]] std::vector<std::uint8_t> buildUdp(net::Endpoint source, net::Endpoint destination,
                                                 ConstBytes payload, const Ipv4Fields& ip = {});
[[nodiscard]] std::vector<std::uint8_t> buildTcp(const TcpFields& tcp, ConstBytes payload = {},
                                                 const Ipv4Fields& ip = {});
[[nodiscard]] std::vector<std::uint8_t> buildIcmpQuery(const IcmpQueryFields& icmp,
                                                       ConstBytes payload = {},
                                                       const Ipv4Fields& ip = {});
/// An error about `offending`, which begins with its IPv4 header, sent to its source.
[[nodiscard]] std::vector<std::uint8_t> buildIcmpError(const IcmpErrorFields& icmp,
                                                       ConstBytes offending);

}  // namespace engine::wire
