#include "engine/lab/host.h"

#include "engine/lab/tcp.h"

#include <algorithm>

namespace engine::lab {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMtu = 1500;
/// RFC 792: an error carries the IP header and at least eight octets.
constexpr std::size_t kQuoted = 28;
constexpr std::uint8_t kEchoReply = 0;
constexpr std::uint8_t kUnreachable = 3;
constexpr std::uint8_t kEchoRequest = 8;
/// Ours: what hosts wait for the rest of a packet.
constexpr Duration kReassemblyTime = 30s;
constexpr std::size_t kMostReassemblies = 64;

bool later(const std::pair<Instant, Host::TimerId>& a, const std::pair<Instant, Host::TimerId>& b)
{
    return a > b;
}

}  // namespace

Host::Host(std::string name, net::Ipv4Address address, HashKey seed, Identity firstIdentity)
    : m_name(std::move(name)),
      m_address(address),
      m_random(seed),
      m_nextIdentity(firstIdentity),
      m_tcp(std::make_unique<TcpStack>(*this))
{
    m_nextId = static_cast<std::uint16_t>(m_random.next());
    m_nextPort = static_cast<std::uint16_t>(m_random.below(10000));
}

Host::~Host() = default;

Host::TimerId Host::after(Duration wait, std::function<void()> action)
{
    const TimerId id = m_nextTimer++;
    m_timers.emplace_back(m_now + wait, id);
    std::push_heap(m_timers.begin(), m_timers.end(), later);
    m_actions.emplace(id, std::move(action));
    return id;
}

std::optional<Instant> Host::nextTimeout()
{
    while (!m_timers.empty() && !m_actions.contains(m_timers.front().second)) {
        std::pop_heap(m_timers.begin(), m_timers.end(), later);
        m_timers.pop_back();
    }
    if (m_timers.empty()) return std::nullopt;
    return m_timers.front().first;
}

void Host::handleTimeout(Instant now)
{
    m_now = now;
    while (const auto next = nextTimeout()) {
        if (*next > now) return;
        const TimerId id = m_timers.front().second;
        std::pop_heap(m_timers.begin(), m_timers.end(), later);
        m_timers.pop_back();
        const auto found = m_actions.find(id);
        if (found == m_actions.end()) continue;
        const std::function<void()> action = std::move(found->second);
        m_actions.erase(found);
        action();
    }
}

net::Port Host::freePort()
{
    // IANA's dynamic range.
    do {
        m_nextPort = static_cast<std::uint16_t>((m_nextPort + 1) % 16384);
    } while (m_udp.contains(net::Port{static_cast<std::uint16_t>(49152 + m_nextPort)}));
    return net::Port{static_cast<std::uint16_t>(49152 + m_nextPort)};
}

void Host::bindUdp(net::Port port, UdpHandler handler)
{
    m_udp[port] = std::move(handler);
}

void Host::bindProtocol(net::IpProtocol protocol, ProtocolHandler handler)
{
    m_protocols[protocol] = std::move(handler);
}

void Host::sendIp(net::IpProtocol protocol, net::Ipv4Address to, Octets payload, bool dontFragment)
{
    Datagram datagram{.source = m_address,
                      .destination = to,
                      .protocol = protocol,
                      .id = m_nextId++,
                      .dontFragment = dontFragment,
                      .payload = std::move(payload)};
    for (Octets& piece : encodeFragmented(datagram, kMtu)) {
        ++m_counters.sent;
        m_sent.push_back(std::move(piece));
    }
}

void Host::sendUdp(net::Port from, const net::Endpoint& to, wire::ConstBytes payload,
                   UdpChecksum checksum)
{
    sendIp(net::IpProtocol::Udp, to.address, encodeUdp({m_address, from}, to, payload, checksum));
}

void Host::receive(Instant now, wire::ConstBytes packet)
{
    m_now = now;
    ++m_counters.received;
    if (!faultOf(packet).empty()) {
        ++m_counters.faulty;
        return;
    }
    if (wire::load32(packet, 16) != m_address.hostOrder()) {
        ++m_counters.wrongAddress;
        return;
    }
    if (m_gate && !m_gate(packet)) return;
    if ((wire::load16(packet, 6) & 0x3fffU) != 0) {
        takeFragment(packet);
    } else {
        take(packet);
    }
}

void Host::takeFragment(wire::ConstBytes packet)
{
    std::erase_if(m_reassembly, [&](const auto& entry) {
        return m_now - entry.second.started > kReassemblyTime;
    });
    const ReassemblyKey key{wire::load64(packet, 12),
                            std::uint32_t{packet[9]} << 16 | wire::load16(packet, 4)};
    if (!m_reassembly.contains(key) && m_reassembly.size() >= kMostReassemblies) return;
    Reassembly& parts = m_reassembly[key];
    if (parts.pieces.empty()) parts.started = m_now;
    const std::size_t header = std::size_t{packet[0] & 15U} * 4;
    const std::size_t offset = std::size_t{wire::load16(packet, 6) & 0x1fffU} * 8;
    parts.pieces[offset] = copyOf(packet.subspan(header));
    if ((packet[6] & 0x20U) == 0) parts.total = offset + packet.size() - header;

    std::size_t whole = 0;
    for (const auto& [at, piece] : parts.pieces) {
        if (at != whole) return;
        whole += piece.size();
    }
    if (parts.total != whole) return;
    Datagram datagram{.source = net::Ipv4Address{wire::load32(packet, 12)},
                      .destination = m_address,
                      .protocol = static_cast<net::IpProtocol>(packet[9]),
                      .ttl = packet[8],
                      .id = wire::load16(packet, 4)};
    for (const auto& [at, piece] : parts.pieces) {
        datagram.payload.insert(datagram.payload.end(), piece.begin(), piece.end());
    }
    m_reassembly.erase(key);
    const Octets complete = encode(datagram);
    if (!faultOf(complete).empty()) {
        ++m_counters.faulty;
        return;
    }
    take(complete);
}

void Host::take(wire::ConstBytes packet)
{
    const std::size_t header = std::size_t{packet[0] & 15U} * 4;
    const wire::ConstBytes payload = packet.subspan(header);
    const net::Ipv4Address from{wire::load32(packet, 12)};
    const auto protocol = static_cast<net::IpProtocol>(packet[9]);
    if (protocol == net::IpProtocol::Udp) {
        takeUdp(packet, payload);
    } else if (protocol == net::IpProtocol::Tcp) {
        m_tcp->receive(from, payload);
    } else if (protocol == net::IpProtocol::Icmp) {
        takeIcmp(from, payload);
    } else if (const auto found = m_protocols.find(protocol); found != m_protocols.end()) {
        found->second(from, payload);
    } else {
        ++m_counters.unexpected;
        sendUnreachable(packet, 2);
    }
}

void Host::takeUdp(wire::ConstBytes packet, wire::ConstBytes udp)
{
    const net::Endpoint from{net::Ipv4Address{wire::load32(packet, 12)},
                             net::Port{wire::load16(udp, 0)}};
    const auto found = m_udp.find(net::Port{wire::load16(udp, 2)});
    if (found == m_udp.end()) {
        ++m_counters.unexpected;
        sendUnreachable(packet, 3);
        return;
    }
    // A copy: the handler may unbind itself.
    const UdpHandler handler = found->second;
    handler(from, udp.subspan(8, wire::load16(udp, 4) - 8U));
}

void Host::takeIcmp(net::Ipv4Address from, wire::ConstBytes icmp)
{
    const IcmpNews news{.from = from,
                        .type = icmp[0],
                        .code = icmp[1],
                        .rest = wire::load32(icmp, 4),
                        .body = icmp.subspan(8)};
    if (news.type == kEchoRequest) {
        sendIp(net::IpProtocol::Icmp, from, encodeIcmp(kEchoReply, 0, news.rest, news.body));
        return;
    }
    if (news.type != kEchoReply) {
        ++m_counters.icmpErrors;
        m_tcp->heardIcmp(news);
    }
    for (const IcmpHandler& handler : m_icmp)
        handler(news);
}

void Host::sendUnreachable(wire::ConstBytes about, std::uint8_t code)
{
    sendIp(net::IpProtocol::Icmp, net::Ipv4Address{wire::load32(about, 12)},
           encodeIcmp(kUnreachable, code, 0, about.first(std::min(about.size(), kQuoted))));
}

}  // namespace engine::lab
