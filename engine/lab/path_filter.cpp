#include "engine/lab/path_filter.h"

#include "engine/wire/checksum.h"

namespace engine::lab {

namespace {

// RFC 9293 §3.1, RFC 8446 §5.1, OpenVPN's client reset behind TCP's length.
constexpr std::uint8_t kReset = 0x04;
constexpr std::uint8_t kHandshake = 22;
constexpr std::uint8_t kClientReset = 7;

bool isUnwanted(wire::ConstBytes message)
{
    if (message.size() < 3) return false;
    const bool isTls = message[0] == kHandshake && message[1] == 3;
    return isTls || message[2] >> 3 == kClientReset;
}

}  // namespace

PathFilter::PathFilter(Host& host, Action action) : m_host(&host), m_action(action)
{
    m_report.up = true;
    host.setGate([this](wire::ConstBytes packet) { return passes(packet); });
}

bool PathFilter::passes(wire::ConstBytes packet)
{
    const std::size_t header = std::size_t{packet[0] & 15U} * 4;
    const auto protocol = static_cast<net::IpProtocol>(packet[9]);
    if (protocol != net::IpProtocol::Tcp || packet.size() < header + 20) return true;
    const wire::ConstBytes segment = packet.subspan(header);
    const std::size_t offset = (std::size_t{segment[12]} >> 4U) * 4;
    if (segment.size() <= offset || !isUnwanted(segment.subspan(offset))) return true;
    ++m_report.failures;
    if (m_action == Action::Swallow) return false;
    const net::Ipv4Address client{wire::load32(packet, 12)};
    Writer writer;
    writer.put16(wire::load16(segment, 2)).put16(wire::load16(segment, 0));
    writer.put32(wire::load32(segment, 8)).put32(0);
    writer.put8(0x50).put8(kReset).put16(0).put16(0).put16(0);
    Octets reset = writer.take();
    wire::ChecksumSum sum;
    sum.addPseudoHeader(m_host->address(), client, net::IpProtocol::Tcp, reset.size());
    sum.add(reset);
    wire::store16(reset, 16, sum.checksum());
    m_host->sendIp(net::IpProtocol::Tcp, client, std::move(reset), true);
    return false;
}

}  // namespace engine::lab
