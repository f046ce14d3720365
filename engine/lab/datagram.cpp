#include "engine/lab/datagram.h"

#include "engine/wire/checksum.h"

#include <algorithm>

namespace engine::lab {

namespace {

constexpr std::size_t kIpHeader = 20;
constexpr std::size_t kUdpHeader = 8;

Octets encodePiece(const Datagram& datagram, wire::ConstBytes payload, std::size_t offset,
                   bool more)
{
    Writer writer;
    writer.put8(0x45).put8(0).put16(kIpHeader + payload.size()).put16(datagram.id);
    writer.put16((datagram.dontFragment ? 0x4000U : 0U) | (more ? 0x2000U : 0U) | (offset / 8));
    writer.put8(datagram.ttl).put8(static_cast<std::uint8_t>(datagram.protocol)).put16(0);
    writer.put32(datagram.source.hostOrder()).put32(datagram.destination.hostOrder());
    writer.put(payload);
    Octets packet = writer.take();
    wire::ChecksumSum sum;
    sum.add(wire::ConstBytes{packet}.first(kIpHeader));
    wire::store16(packet, 10, sum.checksum());
    return packet;
}

/// The slow sum: every octet at its place, folded at the end.
std::uint32_t slowSum(wire::ConstBytes bytes, std::uint32_t start = 0)
{
    std::uint64_t sum = start;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        sum += i % 2 == 0 ? std::uint64_t{bytes[i]} * 256 : bytes[i];
    }
    while (sum > 0xffff)
        sum = sum / 65536 + sum % 65536;
    return static_cast<std::uint32_t>(sum);
}

std::uint32_t slowPseudoSum(wire::ConstBytes packet, std::size_t length)
{
    Octets pseudo(packet.begin() + 12, packet.begin() + 20);
    pseudo.push_back(0);
    pseudo.push_back(packet[9]);
    pseudo.push_back(static_cast<std::uint8_t>(length / 256));
    pseudo.push_back(static_cast<std::uint8_t>(length % 256));
    return slowSum(pseudo);
}

std::size_t at16(wire::ConstBytes bytes, std::size_t at)
{
    return std::size_t{bytes[at]} * 256 + bytes[at + 1];
}

std::string icmpFaultOf(wire::ConstBytes icmp)
{
    if (icmp.size() < 8) return "ICMP too short";
    if (slowSum(icmp) != 0xffff) return "ICMP checksum";
    const std::uint8_t type = icmp[0];
    const bool isError = type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
    if (!isError) return {};
    const wire::ConstBytes embedded = icmp.subspan(8);
    if (embedded.size() < kIpHeader) return "ICMP error without a packet";
    const std::size_t header = std::size_t{embedded[0] & 15U} * 4;
    if (header < kIpHeader || header > embedded.size()) return "embedded IP header length";
    if (slowSum(embedded.first(header)) != 0xffff) return "embedded IP header checksum";
    return {};
}

}  // namespace

Octets encode(const Datagram& datagram)
{
    return encodePiece(datagram, datagram.payload, 0, false);
}

std::vector<Octets> encodeFragmented(const Datagram& datagram, std::size_t mtu)
{
    if (datagram.dontFragment || kIpHeader + datagram.payload.size() <= mtu) {
        return {encode(datagram)};
    }
    std::vector<Octets> pieces;
    const std::size_t room = (mtu - kIpHeader) / 8 * 8;
    const wire::ConstBytes payload{datagram.payload};
    for (std::size_t offset = 0; offset < payload.size(); offset += room) {
        const std::size_t length = std::min(room, payload.size() - offset);
        pieces.push_back(encodePiece(datagram, payload.subspan(offset, length), offset,
                                     offset + length < payload.size()));
    }
    return pieces;
}

Octets encodeUdp(const net::Endpoint& from, const net::Endpoint& to, wire::ConstBytes payload,
                 UdpChecksum checksum)
{
    Writer writer;
    writer.put16(from.port.hostOrder()).put16(to.port.hostOrder());
    writer.put16(kUdpHeader + payload.size()).put16(0).put(payload);
    Octets udp = writer.take();
    if (checksum == UdpChecksum::Computed) {
        wire::ChecksumSum sum;
        sum.addPseudoHeader(from.address, to.address, net::IpProtocol::Udp, udp.size());
        sum.add(udp);
        const std::uint16_t value = sum.checksum();
        wire::store16(udp, 6, value == 0 ? std::uint16_t{0xffff} : value);
    }
    return udp;
}

Octets encodeIcmp(std::uint8_t type, std::uint8_t code, std::uint32_t rest, wire::ConstBytes body)
{
    Writer writer;
    writer.put8(type).put8(code).put16(0).put32(rest).put(body);
    Octets icmp = writer.take();
    wire::ChecksumSum sum;
    sum.add(icmp);
    wire::store16(icmp, 2, sum.checksum());
    return icmp;
}

std::string faultOf(wire::ConstBytes packet)
{
    if (packet.size() < kIpHeader || packet[0] >> 4 != 4) return "not an IPv4 packet";
    const std::size_t header = std::size_t{packet[0] & 15U} * 4;
    const std::size_t total = at16(packet, 2);
    if (header < kIpHeader || header > total || total != packet.size()) return "IP length";
    if (slowSum(packet.first(header)) != 0xffff) return "IP header checksum";
    if ((at16(packet, 6) & 0x3fffU) != 0) return {};  // fragments: judged once put together
    const wire::ConstBytes payload = packet.subspan(header);
    const std::uint32_t pseudo = slowPseudoSum(packet, payload.size());
    if (packet[9] == 6) {
        if (payload.size() < 20) return "TCP too short";
        if (slowSum(payload, pseudo) != 0xffff) return "TCP checksum";
    } else if (packet[9] == 17) {
        if (payload.size() < kUdpHeader || at16(payload, 4) > payload.size()) return "UDP length";
        if (at16(payload, 6) != 0 && slowSum(payload, pseudo) != 0xffff) return "UDP checksum";
    } else if (packet[9] == 1) {
        return icmpFaultOf(payload);
    }
    return {};
}

}  // namespace engine::lab
