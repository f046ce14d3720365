#include "engine/wire/builder.h"

#include "engine/wire/checksum.h"

#include <algorithm>
#include <array>
#include <cassert>

namespace engine::wire {
namespace {

constexpr std::size_t kIpHeader = 20;
constexpr std::size_t kUdpHeader = 8;
constexpr std::size_t kTcpHeader = 20;
constexpr std::size_t kIcmpHeader = 8;
/// RFC 1812 §4.3.2.5: errors travel with precedence 6, internetwork control.
constexpr std::uint8_t kInternetworkControl = 0xc0;

/// A packet of zeros with its IPv4 header written, and where the payload begins.
struct Frame {
    std::vector<std::uint8_t> bytes;
    std::size_t payloadAt = kIpHeader;

    [[nodiscard]] MutableBytes payload() { return MutableBytes{bytes}.subspan(payloadAt); }
};

Frame makeFrame(net::Ipv4Address source, net::Ipv4Address destination, net::IpProtocol protocol,
                std::size_t payloadSize, const Ipv4Fields& fields)
{
    const std::size_t header = kIpHeader + (fields.options.size() + 3) / 4 * 4;
    assert(header <= 60 && header + payloadSize <= 0xffff && fields.fragmentOffset % 8 == 0);
    std::array<std::uint8_t, 60> octets{};
    const MutableBytes ip = MutableBytes{octets}.first(header);
    ip[0] = static_cast<std::uint8_t>(0x40U | header / 4);
    ip[1] = fields.typeOfService;
    store16(ip, 2, static_cast<std::uint16_t>(header + payloadSize));
    store16(ip, 4, fields.identification);
    store16(ip, 6,
            static_cast<std::uint16_t>((fields.dontFragment ? 0x4000U : 0U) |
                                       (fields.moreFragments ? 0x2000U : 0U) |
                                       fields.fragmentOffset / 8U));
    ip[8] = fields.ttl;
    ip[9] = static_cast<std::uint8_t>(protocol);
    store32(ip, 12, source.hostOrder());
    store32(ip, 16, destination.hostOrder());
    std::ranges::copy(fields.options, ip.begin() + kIpHeader);
    ChecksumSum sum;
    sum.add(ip);
    store16(ip, 10, sum.checksum());

    Frame frame{std::vector<std::uint8_t>(header + payloadSize), header};
    std::ranges::copy(ip, frame.bytes.begin());
    return frame;
}

std::uint16_t transportChecksum(net::Ipv4Address source, net::Ipv4Address destination,
                                net::IpProtocol protocol, ConstBytes bytes)
{
    ChecksumSum sum;
    sum.addPseudoHeader(source, destination, protocol, bytes.size());
    sum.add(bytes);
    return sum.checksum();
}

std::uint16_t plainChecksum(ConstBytes bytes)
{
    ChecksumSum sum;
    sum.add(bytes);
    return sum.checksum();
}

}  // namespace

std::vector<std::uint8_t> buildIpv4(net::Ipv4Address source, net::Ipv4Address destination,
                                    net::IpProtocol protocol, ConstBytes payload,
                                    const Ipv4Fields& ip)
{
    Frame frame = makeFrame(source, destination, protocol, payload.size(), ip);
    std::ranges::copy(payload, frame.payload().begin());
    return std::move(frame.bytes);
}

std::vector<std::uint8_t> buildUdp(net::Endpoint source, net::Endpoint destination,
                                   ConstBytes payload, const Ipv4Fields& ip)
{
    Frame frame = makeFrame(source.address, destination.address, net::IpProtocol::Udp,
                            kUdpHeader + payload.size(), ip);
    const MutableBytes udp = frame.payload();
    store16(udp, 0, source.port.hostOrder());
    store16(udp, 2, destination.port.hostOrder());
    store16(udp, 4, static_cast<std::uint16_t>(udp.size()));
    std::ranges::copy(payload, udp.begin() + kUdpHeader);
    const std::uint16_t checksum =
        transportChecksum(source.address, destination.address, net::IpProtocol::Udp, udp);
    store16(udp, 6, checksum == 0 ? std::uint16_t{0xffff} : checksum);
    return std::move(frame.bytes);
}

std::vector<std::uint8_t> buildTcp(const TcpFields& tcp, ConstBytes payload, const Ipv4Fields& ip)
{
    std::vector<std::uint8_t> options;
    if (tcp.maximumSegmentSize) {
        options.insert(options.end(),
                       {2, 4, static_cast<std::uint8_t>(*tcp.maximumSegmentSize >> 8),
                        static_cast<std::uint8_t>(*tcp.maximumSegmentSize)});
    }
    if (tcp.windowScale) options.insert(options.end(), {1, 3, 3, *tcp.windowScale});
    if (tcp.sackPermitted) options.insert(options.end(), {1, 1, 4, 2});
    const std::size_t header = kTcpHeader + options.size();
    Frame frame = makeFrame(tcp.source.address, tcp.destination.address, net::IpProtocol::Tcp,
                            header + payload.size(), ip);
    const MutableBytes bytes = frame.payload();
    store16(bytes, 0, tcp.source.port.hostOrder());
    store16(bytes, 2, tcp.destination.port.hostOrder());
    store32(bytes, 4, tcp.sequence);
    store32(bytes, 8, tcp.acknowledgement);
    bytes[12] = static_cast<std::uint8_t>(header / 4 << 4);
    bytes[13] = tcp.flags;
    store16(bytes, 14, tcp.window);
    std::ranges::copy(options, bytes.begin() + kTcpHeader);
    std::ranges::copy(payload, bytes.begin() + static_cast<std::ptrdiff_t>(header));
    store16(bytes, 16,
            transportChecksum(tcp.source.address, tcp.destination.address, net::IpProtocol::Tcp,
                              bytes));
    return std::move(frame.bytes);
}

std::vector<std::uint8_t> buildIcmpQuery(const IcmpQueryFields& icmp, ConstBytes payload,
                                         const Ipv4Fields& ip)
{
    Frame frame = makeFrame(icmp.source, icmp.destination, net::IpProtocol::Icmp,
                            kIcmpHeader + payload.size(), ip);
    const MutableBytes bytes = frame.payload();
    bytes[0] = static_cast<std::uint8_t>(icmp.type);
    store16(bytes, 4, icmp.identifier);
    store16(bytes, 6, icmp.sequence);
    std::ranges::copy(payload, bytes.begin() + kIcmpHeader);
    store16(bytes, 2, plainChecksum(bytes));
    return std::move(frame.bytes);
}

std::vector<std::uint8_t> buildIcmpError(const IcmpErrorFields& icmp, ConstBytes offending)
{
    assert(offending.size() >= kIpHeader);
    const ConstBytes quoted =
        offending.first(std::min(offending.size(), kIcmpErrorMost - kIpHeader - kIcmpHeader));
    Frame frame =
        makeFrame(icmp.source, net::Ipv4Address{load32(offending, 12)}, net::IpProtocol::Icmp,
                  kIcmpHeader + quoted.size(), {.typeOfService = kInternetworkControl});
    const MutableBytes bytes = frame.payload();
    bytes[0] = static_cast<std::uint8_t>(icmp.type);
    bytes[1] = icmp.code;
    store32(bytes, 4, icmp.rest);
    std::ranges::copy(quoted, bytes.begin() + kIcmpHeader);
    store16(bytes, 2, plainChecksum(bytes));
    return std::move(frame.bytes);
}

}  // namespace engine::wire
