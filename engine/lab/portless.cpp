#include "engine/lab/portless.h"

#include "engine/lab/datagram.h"

namespace engine::lab {

namespace {

constexpr std::size_t kInner4 = 20;
constexpr std::size_t kInner6 = 40;
constexpr std::uint32_t kInnerNet = 0x0a090000;  // 10.9.0.0/16
constexpr std::uint64_t kInnerPrefix = 0x20010db800000000;
constexpr std::uint16_t kEtherIpHeader = 0x3000;  // RFC 3378 §3: version 3
constexpr std::size_t kFrameHeader = 14;
constexpr std::uint16_t kExperimental = 0x88b5;       // an EtherType that is nobody's
constexpr std::uint32_t kStation = 0x02000000;        // locally administered
constexpr std::size_t kAhHeader = 24;                 // with a check value of 96 bits
constexpr std::uint8_t kAhWords = kAhHeader / 4 - 2;  // RFC 4302 §2.2

Octets inner4(const PortlessFrame& frame)
{
    const net::Ipv4Address client{kInnerNet | frame.id};
    const net::Ipv4Address server{kInnerNet};
    return encode(Datagram{.source = frame.fromClient ? client : server,
                           .destination = frame.fromClient ? server : client,
                           .protocol = net::IpProtocol{253},  // RFC 3692: for experiments
                           .payload = frame.message});
}

Octets inner6(const PortlessFrame& frame)
{
    const std::uint64_t client = kInnerPrefix | std::uint64_t{frame.id} << 16;
    Writer writer;
    writer.put32(0x60000000).put16(frame.message.size()).put8(253).put8(64);
    writer.put64(frame.fromClient ? client : kInnerPrefix).put64(1);
    writer.put64(frame.fromClient ? kInnerPrefix : client).put64(1);
    return writer.put(frame.message).take();
}

/// The station behind the client has its number, the one behind the server has zero.
Octets bridged(const PortlessFrame& frame)
{
    Writer writer;
    writer.put16(kEtherIpHeader);
    writer.put32(kStation).put16(frame.fromClient ? 0U : frame.id);
    writer.put32(kStation).put16(frame.fromClient ? frame.id : 0U);
    return writer.put16(kExperimental).put(frame.message).take();
}

std::optional<PortlessFrame> outOfBridged(wire::ConstBytes packet)
{
    if (packet.size() < 2 + kFrameHeader || wire::load16(packet, 0) != kEtherIpHeader) {
        return std::nullopt;
    }
    const std::uint16_t destination = wire::load16(packet, 2 + 4);
    const std::uint16_t source = wire::load16(packet, 2 + 10);
    return PortlessFrame{.id = destination == 0 ? source : destination,
                         .fromClient = destination == 0,
                         .message = copyOf(packet.subspan(2 + kFrameHeader))};
}

std::optional<PortlessFrame> outOfInner4(wire::ConstBytes packet)
{
    if (packet.size() < kInner4 || packet[0] != 0x45) return std::nullopt;
    const std::uint32_t source = wire::load32(packet, 12);
    const std::uint32_t destination = wire::load32(packet, 16);
    const bool fromClient = destination == kInnerNet;
    return PortlessFrame{.id = static_cast<std::uint16_t>(fromClient ? source : destination),
                         .fromClient = fromClient,
                         .message = copyOf(packet.subspan(kInner4))};
}

std::optional<PortlessFrame> outOfInner6(wire::ConstBytes packet)
{
    if (packet.size() < kInner6 || packet[0] >> 4 != 6) return std::nullopt;
    const std::uint64_t source = wire::load64(packet, 8);
    const std::uint64_t destination = wire::load64(packet, 24);
    const bool fromClient = destination == kInnerPrefix;
    return PortlessFrame{
        .id = static_cast<std::uint16_t>((fromClient ? source : destination) >> 16),
        .fromClient = fromClient,
        .message = copyOf(packet.subspan(kInner6))};
}

}  // namespace

net::IpProtocol protocolOf(PortlessKind kind)
{
    switch (kind) {
    case PortlessKind::GreKeyed:
    case PortlessKind::GreInner:
    case PortlessKind::Eoip: return net::IpProtocol::Gre;
    case PortlessKind::SixInFour: return net::IpProtocol::SixInFour;
    case PortlessKind::IpIp: return net::IpProtocol::IpIp;
    case PortlessKind::EtherIp: return net::IpProtocol::EtherIp;
    case PortlessKind::Ah: return net::IpProtocol::Ah;
    }
    return net::IpProtocol::Gre;
}

Octets encode(PortlessKind kind, const PortlessFrame& frame)
{
    Writer writer;
    switch (kind) {
    case PortlessKind::GreKeyed:
        return writer.put16(0x2000).put16(0x0800).put32(frame.id).put(inner4(frame)).take();
    case PortlessKind::GreInner: return writer.put16(0).put16(0x0800).put(inner4(frame)).take();
    case PortlessKind::Eoip:
        return writer.put16(0x2001)
            .put16(0x6400)
            .put16(frame.message.size())
            .putLe16(frame.id)
            .put(frame.message)
            .take();
    case PortlessKind::SixInFour: return inner6(frame);
    case PortlessKind::IpIp: return inner4(frame);
    case PortlessKind::EtherIp: return bridged(frame);
    case PortlessKind::Ah:
        // The check value is left out: the question is whether the packet may cross at all.
        return writer.put8(253)
            .put8(kAhWords)
            .put16(0)
            .put32(0x100U + frame.id)
            .put32(1)
            .fill(kAhHeader - 12)
            .put(frame.message)
            .take();
    }
    return {};
}

std::optional<PortlessFrame> decode(PortlessKind kind, wire::ConstBytes payload)
{
    switch (kind) {
    case PortlessKind::GreKeyed: {
        if (payload.size() < 8 || wire::load32(payload, 0) != 0x20000800) return std::nullopt;
        auto frame = outOfInner4(payload.subspan(8));
        if (frame) frame->id = static_cast<std::uint16_t>(wire::load32(payload, 4));
        return frame;
    }
    case PortlessKind::GreInner:
        if (payload.size() < 4 || wire::load32(payload, 0) != 0x00000800) return std::nullopt;
        return outOfInner4(payload.subspan(4));
    case PortlessKind::Eoip:
        if (payload.size() < 8 || wire::load32(payload, 0) != 0x20016400) return std::nullopt;
        return PortlessFrame{.id = wire::load16le(payload, 6),
                             .message = copyOf(payload.subspan(8))};
    case PortlessKind::SixInFour: return outOfInner6(payload);
    case PortlessKind::IpIp: return outOfInner4(payload);
    case PortlessKind::EtherIp: return outOfBridged(payload);
    case PortlessKind::Ah:
        if (payload.size() < kAhHeader || payload[1] != kAhWords) return std::nullopt;
        return PortlessFrame{.id = static_cast<std::uint16_t>(wire::load32(payload, 4) - 0x100U),
                             .message = copyOf(payload.subspan(kAhHeader))};
    }
    return std::nullopt;
}

PortlessServer::PortlessServer(Host& host, PortlessKind kind)
    : m_host(&host), m_kind(kind), m_self(host.newIdentity())
{
    m_report.up = true;
    host.bindProtocol(protocolOf(kind), [this](net::Ipv4Address from, wire::ConstBytes payload) {
        const auto frame = decode(m_kind, payload);
        Message message;
        if (!frame || decode(frame->message, message) != Heard::Fine) {
            ++m_report.wrong;
            return;
        }
        Identity& client = m_clients[frame->id];
        if (client == 0) client = message.from;
        for (const Octets& reply : answer(frame->message, m_self, client, m_report)) {
            m_host->sendIp(
                protocolOf(m_kind), from,
                encode(m_kind, {.id = frame->id, .fromClient = false, .message = reply}));
        }
    });
}

PortlessClient::PortlessClient(Host& host, const Options& options)
    : m_host(&host), m_options(options), m_speaker(host.newIdentity(), options.talk)
{
    host.bindProtocol(
        protocolOf(options.kind),
        [this](net::Ipv4Address from, wire::ConstBytes payload) { take(from, payload); });
    m_host->after(options.startAfter, [this] { talk(); });
}

void PortlessClient::talk()
{
    m_host->sendIp(
        protocolOf(m_options.kind), m_options.server,
        encode(m_options.kind, {.id = m_options.id, .message = m_speaker.next(m_report)}));
    m_host->after(m_speaker.pause(m_host->random()), [this] { talk(); });
}

void PortlessClient::take(net::Ipv4Address from, wire::ConstBytes payload)
{
    const auto frame = decode(m_options.kind, payload);
    if (!frame || from != m_options.server || frame->id != m_options.id) {
        ++m_report.wrong;
        return;
    }
    m_speaker.hear(frame->message, m_report);
    m_report.up = true;
}

}  // namespace engine::lab
