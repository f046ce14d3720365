#include "engine/link/ethernet_port.h"

#include <algorithm>
#include <utility>

namespace engine::link {

namespace {

using namespace std::chrono_literals;

// Specification: RFC 894, RFC 826, RFC 1112 §6.4.
constexpr std::uint16_t kTypeIpv4 = 0x0800;
constexpr std::uint16_t kTypeArp = 0x0806;
constexpr std::size_t kArpLength = 28;
constexpr std::uint16_t kArpRequest = 1;
constexpr std::uint16_t kArpReply = 2;
constexpr std::size_t kIpv4Header = 20;

// Ours.
/// How long a shortcut is believed; far below every timer of the table.
constexpr Duration kShortcut = 200ms;

net::MacAddress macAt(wire::ConstBytes bytes, std::size_t at)
{
    std::array<std::uint8_t, 6> octets{};
    std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), octets.size(), octets.begin());
    return net::MacAddress{octets};
}

void putMac(wire::MutableBytes bytes, std::size_t at, const net::MacAddress& mac)
{
    std::copy(mac.octets().begin(), mac.octets().end(),
              bytes.begin() + static_cast<std::ptrdiff_t>(at));
}

struct Arp {
    std::uint16_t operation = kArpRequest;
    net::MacAddress senderMac;
    net::Ipv4Address sender;
    net::MacAddress targetMac;
    net::Ipv4Address target;
};

std::vector<std::uint8_t> arpFrame(const net::MacAddress& to, const Arp& arp)
{
    std::vector<std::uint8_t> frame(kEthernetHeader + kArpLength);
    const wire::MutableBytes bytes{frame};
    putMac(bytes, 0, to);
    putMac(bytes, 6, arp.senderMac);
    wire::store16(bytes, 12, kTypeArp);
    const auto body = bytes.subspan(kEthernetHeader);
    wire::store16(body, 0, 1);  // Ethernet
    wire::store16(body, 2, kTypeIpv4);
    body[4] = 6;
    body[5] = 4;
    wire::store16(body, 6, arp.operation);
    putMac(body, 8, arp.senderMac);
    wire::store32(body, 14, arp.sender.hostOrder());
    putMac(body, 18, arp.targetMac);
    wire::store32(body, 24, arp.target.hostOrder());
    return frame;
}

bool isMulticast(net::Ipv4Address address)
{
    return address.hostOrder() >> 28 == 14;
}

}  // namespace

EthernetPort::EthernetPort(HashKey key, EthernetConfig config)
    : m_config(std::move(config)), m_table(key)
{}

void EthernetPort::configure(Instant now, const EthernetConfig& config, LinkOutput& output)
{
    const bool sameLink = config.mac == m_config.mac && config.prefix == m_config.prefix &&
                          config.address == m_config.address;
    m_config = config;
    m_lastHop = {};
    m_lastSender = {};
    if (!sameLink) {
        m_table.clear(m_pending);
        flush(output);
    }
    if (!config.gateway.isUnspecified() && !config.address.isUnspecified()) {
        (void)m_table.find(now, config.gateway, m_pending);
        flush(output);
    }
}

bool EthernetPort::answersFor(net::Ipv4Address address) const
{
    if (address.isUnspecified()) return false;
    if (address == m_config.address) return m_config.answers == ArpAnswers::OwnAndProxied;
    return std::find(m_config.proxied.begin(), m_config.proxied.end(), address) !=
           m_config.proxied.end();
}

bool EthernetPort::isOnLink(net::Ipv4Address address) const
{
    return m_config.prefix.contains(address) || address == m_config.gateway;
}

Arrival EthernetPort::receive(Instant now, wire::MutableBytes frame, LinkOutput& output)
{
    if (frame.size() < kEthernetHeader) return {};
    const auto to = macAt(frame, 0);
    const auto from = macAt(frame, 6);
    if (to != m_config.mac && !to.isGroup()) return {};
    if (from.isGroup() || from == m_config.mac) return {};
    const auto type = wire::load16(frame, 12);
    if (type == kTypeArp) {
        receiveArp(now, frame, output);
        return {Arrival::Kind::Consumed, DropReason::MalformedIp, {}};
    }
    if (type != kTypeIpv4) return {};

    auto packet = frame.subspan(kEthernetHeader);
    if (packet.size() < kIpv4Header) {
        return {Arrival::Kind::Drop, DropReason::MalformedIp, packet};
    }
    const net::Ipv4Address source{wire::load32(packet, 12)};
    const net::Ipv4Address destination{wire::load32(packet, 16)};
    // RFC 1122 §3.3.6: a packet sent to everybody on the link must also be addressed to everybody.
    if (to.isGroup() && !isMulticast(destination) && destination != net::Ipv4Address{0xffffffff} &&
        destination != m_config.prefix.broadcast()) {
        return {};
    }
    if (m_config.sourceCheck == SourceCheck::On && m_config.prefix.contains(source)) {
        if (source == m_config.address) {
            return {Arrival::Kind::Drop, DropReason::SpoofedInternalSource, packet};
        }
        if (m_lastSender.address != source || m_lastSender.mac != from ||
            now >= m_lastSender.until) {
            const auto owner = m_table.heard(now, source, from, m_pending);
            flush(output);
            if (owner == NeighbourTable::Ownership::NotOwner) {
                return {Arrival::Kind::Drop, DropReason::SpoofedInternalSource, packet};
            }
            m_lastSender = {source, from, now + kShortcut};
        }
    }
    // Ethernet pads short packets; the padding is the link's and stays here.
    const std::size_t total = wire::load16(packet, 2);
    if (total >= kIpv4Header && total < packet.size()) packet = packet.first(total);
    return {Arrival::Kind::Packet, DropReason::MalformedIp, packet};
}

void EthernetPort::receiveArp(Instant now, wire::ConstBytes frame, LinkOutput& output)
{
    const auto body = frame.subspan(kEthernetHeader);
    if (body.size() < kArpLength) return;
    if (wire::load16(body, 0) != 1 || wire::load16(body, 2) != kTypeIpv4 || body[4] != 6 ||
        body[5] != 4) {
        return;
    }
    const Arp arp{.operation = wire::load16(body, 6),
                  .senderMac = macAt(body, 8),
                  .sender = net::Ipv4Address{wire::load32(body, 14)},
                  .targetMac = macAt(body, 18),
                  .target = net::Ipv4Address{wire::load32(body, 24)}};
    // Who speaks in another station's name is not listened to.
    if (arp.senderMac != macAt(frame, 6) || arp.senderMac.isGroup()) return;

    if (arp.operation == kArpRequest && answersFor(arp.target) && arp.sender != arp.target) {
        output.frames.push_back({arpFrame(arp.senderMac, {.operation = kArpReply,
                                                          .senderMac = m_config.mac,
                                                          .sender = arp.target,
                                                          .targetMac = arp.senderMac,
                                                          .target = arp.sender}),
                                 wire::ChecksumState::Complete, 0});
    }
    if (arp.sender.isUnspecified() || arp.sender == m_config.address || !isOnLink(arp.sender)) {
        return;
    }
    if (arp.operation == kArpReply && arp.target == m_config.address &&
        arp.targetMac == m_config.mac) {
        m_table.answered(now, arp.sender, arp.senderMac, m_pending);
    } else {
        m_table.claimed(now, arp.sender, arp.senderMac, m_pending);
    }
    m_lastHop = {};
    m_lastSender = {};
    flush(output);
}

Departure EthernetPort::prepare(Instant now, const wire::Packet& packet,
                                std::span<std::uint8_t, kEthernetHeader> header, LinkOutput& output)
{
    if (packet.bytes.size() < kIpv4Header || m_config.address.isUnspecified()) {
        return Departure::NoNextHop;
    }
    const net::Ipv4Address destination{wire::load32(packet.bytes, 16)};
    if (destination == net::Ipv4Address{0xffffffff} ||
        (m_config.prefix.length() < 31 && destination == m_config.prefix.broadcast())) {
        writeHeader(header, net::MacAddress::broadcast());
        return Departure::Send;
    }
    if (isMulticast(destination)) {
        const auto group = destination.hostOrder();
        writeHeader(header,
                    net::MacAddress{
                        {0x01, 0x00, 0x5e, static_cast<std::uint8_t>((group >> 16) & 0x7f),
                         static_cast<std::uint8_t>(group >> 8), static_cast<std::uint8_t>(group)}});
        return Departure::Send;
    }
    const auto hop = m_config.prefix.contains(destination) ? destination : m_config.gateway;
    if (hop.isUnspecified()) return Departure::NoNextHop;
    if (m_lastHop.address == hop && now < m_lastHop.until) {
        writeHeader(header, m_lastHop.mac);
        return Departure::Send;
    }
    const auto found = m_table.find(now, hop, m_pending);
    if (!m_pending.questions.empty() || m_pending.gaveUp != 0) flush(output);
    switch (found.use) {
    case NeighbourTable::Use::Ready:
        m_lastHop = {hop, found.mac, now + kShortcut};
        writeHeader(header, found.mac);
        return Departure::Send;
    case NeighbourTable::Use::Wait:
        return m_table.await(hop, packet.bytes, packet.checksum, packet.segmentPayload)
                   ? Departure::Waiting
                   : Departure::NoNextHop;
    case NeighbourTable::Use::Refuse: break;
    }
    return Departure::NoNextHop;
}

void EthernetPort::handleTimeout(Instant now, LinkOutput& output)
{
    m_table.handleTimeout(now, m_pending);
    flush(output);
}

/// Turns the table's questions and freed packets into frames.
void EthernetPort::flush(LinkOutput& output)
{
    for (const auto& question : m_pending.questions) {
        output.frames.push_back({arpFrame(question.to, {.operation = kArpRequest,
                                                        .senderMac = m_config.mac,
                                                        .sender = m_config.address,
                                                        .targetMac = {},
                                                        .target = question.address}),
                                 wire::ChecksumState::Complete, 0});
    }
    for (auto& [mac, packet] : m_pending.resolved) {
        OutgoingFrame frame{std::vector<std::uint8_t>(kEthernetHeader + packet.bytes.size()),
                            packet.checksum, packet.segmentPayload};
        writeHeader(std::span<std::uint8_t, kEthernetHeader>{frame.bytes.data(), kEthernetHeader},
                    mac);
        std::copy(packet.bytes.begin(), packet.bytes.end(), frame.bytes.begin() + kEthernetHeader);
        output.frames.push_back(std::move(frame));
    }
    output.noNextHop += m_pending.gaveUp;
    m_pending.questions.clear();
    m_pending.resolved.clear();
    m_pending.gaveUp = 0;
}

void EthernetPort::writeHeader(std::span<std::uint8_t, kEthernetHeader> header,
                               const net::MacAddress& to) const
{
    putMac(header, 0, to);
    putMac(header, 6, m_config.mac);
    wire::store16(header, 12, kTypeIpv4);
}

}  // namespace engine::link
