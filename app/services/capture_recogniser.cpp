#include "app/services/capture_recogniser.h"

#include "engine/wire/ipv4_view.h"

#include <algorithm>
#include <array>

namespace app::services {

using engine::Instant;
using engine::net::Direction;
using engine::net::Endpoint;
using engine::net::IpProtocol;
using engine::net::Ipv4Address;
using engine::net::Port;
using engine::net::Prefix;
using engine::wire::load16;
using engine::wire::load32;
using engine::wire::MutableBytes;

namespace {

constexpr std::uint8_t kFin = 1;
constexpr std::uint8_t kSyn = 2;
constexpr std::uint8_t kRst = 4;
constexpr std::uint8_t kAck = 16;

/// Ours: everything has expired after a day of silence.
constexpr engine::Duration kLongestLeap = std::chrono::hours(24);

/// RFC 1918.
bool isPrivate(Ipv4Address address)
{
    return Prefix{Ipv4Address{10, 0, 0, 0}, 8}.contains(address) ||
           Prefix{Ipv4Address{172, 16, 0, 0}, 12}.contains(address) ||
           Prefix{Ipv4Address{192, 168, 0, 0}, 16}.contains(address);
}

/// Servers listen on low ports; these higher ones are servers' too. Only a hint.
bool isServersPort(Port port)
{
    constexpr std::array<std::uint16_t, 7> kHigh{1194, 1701, 1723, 4500, 5555, 9993, 51820};
    return port.hostOrder() < 1024 || std::ranges::count(kHigh, port.hostOrder()) > 0;
}

std::pair<Ipv4Address, Ipv4Address> hostsOf(Ipv4Address a, Ipv4Address b)
{
    return a < b ? std::pair{a, b} : std::pair{b, a};
}

}  // namespace

CaptureRecogniser::CaptureRecogniser(engine::HashKey seed) : m_passthrough(seed), m_table(seed) {}

void CaptureRecogniser::advance(Instant now)
{
    // A recording may step back; the engine's clock never does. One that leaps over years is not
    // followed through every timer of them.
    if (now - m_now > kLongestLeap) m_now = now - kLongestLeap;
    while (m_now < now) {
        const auto passthroughDue = m_passthrough.nextTimeout();
        const auto tableDue = m_table.nextTimeout();
        Instant due = now;
        if (passthroughDue && *passthroughDue < due) due = *passthroughDue;
        if (tableDue && *tableDue < due) due = *tableDue;
        // What is overdue is done at once; then time goes on at least a little.
        m_now = std::max(m_now + engine::Duration{1}, due);
        m_actions.clear();
        m_passthrough.handleTimeout(m_now, m_actions);
        perform(nullptr);
        m_table.handleTimeout(m_now);
        collect();
    }
}

void CaptureRecogniser::see(Instant at, MutableBytes packet)
{
    ++m_packets;
    if (m_packets == 1) m_now = at;
    advance(at);
    const auto parsed = engine::wire::Ipv4View::parse(packet);
    if (!parsed) {
        ++m_malformed;
        return;
    }
    const auto& ip = *parsed;
    // What follows the first fragment carries nothing that can be recognised.
    if (ip.fragmentOffset() != 0) return;
    const MutableBytes payload = ip.payload();
    const IpProtocol protocol = ip.protocol();
    engine::passthrough::Segment segment;
    segment.packet = ip.bytes();
    if (protocol == IpProtocol::Tcp) {
        const std::size_t header = payload.size() < 20 ? 0 : std::size_t{payload[12]} / 16 * 4;
        if (header < 20 || header > payload.size()) {
            ++m_malformed;
            return;
        }
        segment.payload = payload.subspan(header);
        segment.sequence = load32(payload, 4);
        segment.tcpFlags = payload[13];
    } else if (protocol == IpProtocol::Udp) {
        const std::size_t length = payload.size() < 8 ? 0 : load16(payload, 4);
        if (length < 8) {
            ++m_malformed;
            return;
        }
        // A first fragment has less than the datagram's length says.
        segment.payload = payload.subspan(8, std::min<std::size_t>(length, payload.size()) - 8);
    } else {
        if (protocol != IpProtocol::Icmp) {
            engine::passthrough::PortlessPacket portless;
            portless.protocol = protocol;
            portless.payload = payload;
            portless.packet = ip.bytes();
            seePortless(ip.source(), ip.destination(), portless);
        }
        collect();
        return;
    }
    seePorts(protocol, {ip.source(), Port{load16(payload, 0)}},
             {ip.destination(), Port{load16(payload, 2)}}, segment, ip.totalLength());
    collect();
}

bool CaptureRecogniser::isFromClient(Ipv4Address from, Ipv4Address to) const
{
    const auto known = m_clients.find(hostsOf(from, to));
    if (known != m_clients.end()) return known->second == from;
    if (isPrivate(from) != isPrivate(to)) return isPrivate(from);
    return true;
}

void CaptureRecogniser::seePorts(IpProtocol protocol, Endpoint from, Endpoint to,
                                 engine::passthrough::Segment segment, std::uint64_t length)
{
    const bool isTcp = protocol == IpProtocol::Tcp;
    bool outbound = true;
    auto found = m_flows.find({protocol, from, to});
    if (found == m_flows.end()) {
        found = m_flows.find({protocol, to, from});
        outbound = false;
    }
    const bool opens = isTcp && (segment.tcpFlags & (kSyn | kAck)) == kSyn;
    if (found != m_flows.end() && found->second.over) {
        // What follows the first FIN is no tunnel's data, until the same ports are used anew.
        if (!opens) return;
        m_byId.erase(found->second.flow.id);
        m_flows.erase(found);
        found = m_flows.end();
    }
    if (found == m_flows.end()) {
        if (m_flows.size() >= kMostFlows) {
            ++m_flowsLeftOut;
            return;
        }
        if (isTcp && (segment.tcpFlags & kSyn) != 0) {
            outbound = opens;
        } else if (isServersPort(from.port) != isServersPort(to.port)) {
            outbound = isServersPort(to.port);
        } else {
            outbound = isFromClient(from.address, to.address);
        }
        const Endpoint client = outbound ? from : to;
        const Endpoint server = outbound ? to : from;
        PortFlow made;
        made.flow = {m_nextFlow++, protocol, client, client, server, Direction::Outbound};
        m_clients.try_emplace(hostsOf(client.address, server.address), client.address);
        const PortKey key{protocol, client, server};
        m_byId.emplace(made.flow.id, key);
        found = m_flows.emplace(key, made).first;
    }
    PortFlow& flow = found->second;
    segment.direction = outbound ? Direction::Outbound : Direction::Inbound;
    if (flow.watched) {
        m_actions.clear();
        const auto attention = m_passthrough.inspect(m_now, flow.flow, segment, m_actions);
        flow.watched = attention.next == engine::passthrough::Attention::Next::Watch;
        perform(&flow);
    }
    if (flow.attached) {
        m_table.count(
            flow.attachment, m_now,
            {.direction = segment.direction, .payload = segment.payload, .bytes = length});
    }
    if (isTcp && (segment.tcpFlags & (kRst | kFin)) != 0) {
        close(flow, (segment.tcpFlags & kRst) != 0 ? engine::passthrough::FlowEnd::Reset
                                                   : engine::passthrough::FlowEnd::Closed);
    }
}

void CaptureRecogniser::close(PortFlow& flow, engine::passthrough::FlowEnd end)
{
    m_actions.clear();
    m_passthrough.flowClosed(m_now, flow.flow.id, end, m_actions);
    perform(&flow);
    flow.watched = false;
    flow.over = true;
    if (!flow.attached) return;
    m_table.detach(m_now, flow.attachment,
                   end == engine::passthrough::FlowEnd::Reset
                       ? engine::tunnel::EventKind::ResetBy
                       : engine::tunnel::EventKind::PeerClosed);
    flow.attached = false;
}

CaptureRecogniser::PortlessSession* CaptureRecogniser::find(
    Direction direction, Ipv4Address client, Ipv4Address server,
    const engine::passthrough::PortlessPacket& packet)
{
    const auto discriminator =
        engine::passthrough::discriminatorOf(packet.protocol, direction, packet.payload);
    if (!discriminator) return nullptr;
    const auto found =
        m_portless.find({packet.protocol, direction, client, server, *discriminator});
    return found == m_portless.end() ? nullptr : found->second.get();
}

void CaptureRecogniser::seePortless(Ipv4Address from, Ipv4Address to,
                                    engine::passthrough::PortlessPacket packet)
{
    const bool outbound = isFromClient(from, to);
    const Direction direction = outbound ? Direction::Outbound : Direction::Inbound;
    const Ipv4Address client = outbound ? from : to;
    const Ipv4Address server = outbound ? to : from;
    m_clients.try_emplace(hostsOf(client, server), client);
    packet.external = client;
    packet.remote = server;
    PortlessSession* session = find(direction, client, server, packet);
    m_actions.clear();
    if (session == nullptr) {
        if (outbound) packet.internal = client;
        m_passthrough.decide(m_now, direction, packet, m_actions);
        perform(nullptr);
        session = find(direction, client, server, packet);
    } else if (session->binding.watch) {
        packet.internal = client;
        m_passthrough.inspectPortless(m_now, direction, packet, m_actions);
        perform(nullptr);
        session = find(direction, client, server, packet);
    }
    if (session == nullptr) return;
    m_table.count(
        session->attachment, m_now,
        {.direction = direction, .payload = packet.payload, .bytes = packet.packet.size()});
}

void CaptureRecogniser::perform(PortFlow* shown)
{
    for (const auto& observation : m_actions.observations) {
        m_table.apply(m_now, observation);
    }
    for (const auto& attachment : m_actions.attachments) {
        PortFlow* flow = shown;
        if (shown == nullptr || shown->flow.id != attachment.flow) {
            const auto key = m_byId.find(attachment.flow);
            flow = key == m_byId.end() ? nullptr : &m_flows.at(key->second);
        }
        if (flow == nullptr) continue;
        if (flow->attached) m_table.detach(m_now, flow->attachment);
        flow->attachment = m_table.attach(m_now, attachment.key, attachment.sequence);
        flow->attached = !flow->attachment.isNone();
    }
    for (const auto& unbinding : m_actions.unbindings) {
        unbind(unbinding);
    }
    for (const auto& binding : m_actions.bindings) {
        bind(binding);
    }
}

void CaptureRecogniser::bind(const engine::passthrough::PortlessBinding& binding)
{
    if (m_portless.size() >= kMostFlows) return;
    auto session = std::make_shared<PortlessSession>();
    session->binding = binding;
    session->attachment =
        m_table.attach(m_now, binding.key, binding.sequence, engine::tunnel::Carries::Data);
    const auto put = [&](Direction direction, const engine::passthrough::Discriminator& name) {
        auto& place =
            m_portless[{binding.protocol, direction, binding.client, binding.server, name}];
        if (place && place.use_count() == 1) m_table.detach(m_now, place->attachment);
        place = session;
    };
    if (binding.outbound) put(Direction::Outbound, *binding.outbound);
    if (!binding.inbound) return;
    put(Direction::Inbound, *binding.inbound);
    // Nothing was rewritten here: the packets still carry the client's own number.
    if (binding.rewriteInbound) {
        auto own = *binding.inbound;
        own.id = binding.rewriteInbound->value;
        put(Direction::Inbound, own);
    }
}

void CaptureRecogniser::unbind(const engine::passthrough::PortlessUnbinding& unbinding)
{
    std::erase_if(m_portless, [&](const auto& entry) {
        const auto& [key, session] = entry;
        if (key.protocol != unbinding.protocol || key.client != unbinding.client ||
            key.server != unbinding.server) {
            return false;
        }
        const bool named =
            (unbinding.outbound && session->binding.outbound == unbinding.outbound) ||
            (unbinding.inbound && session->binding.inbound == unbinding.inbound);
        if (named && session.use_count() == 1) {
            m_table.detach(m_now, session->attachment, engine::tunnel::EventKind::PeerClosed);
        }
        return named;
    });
}

void CaptureRecogniser::collect()
{
    if (!m_table.hasNews(m_now)) return;
    std::vector<engine::tunnel::Tunnel> changed;
    std::vector<engine::tunnel::Tunnel> ended;
    m_table.takeNews(m_now, changed, ended);
    for (auto* list : {&changed, &ended}) {
        for (auto& tunnel : *list) {
            const auto serial = tunnel.serial;
            m_found.insert_or_assign(serial, std::move(tunnel));
        }
    }
}

std::vector<engine::tunnel::Tunnel> CaptureRecogniser::finish()
{
    collect();
    // What is live now has newer numbers than its last report.
    for (auto& tunnel : m_table.tunnels()) {
        const auto serial = tunnel.serial;
        m_found.insert_or_assign(serial, std::move(tunnel));
    }
    std::vector<engine::tunnel::Tunnel> all;
    for (auto& [serial, tunnel] : m_found) {
        // One that was closed without a packet turned out to be part of another.
        const bool empty = tunnel.outbound.packets + tunnel.inbound.packets == 0;
        if (empty && tunnel.phase == engine::tunnel::Phase::Closed) continue;
        all.push_back(std::move(tunnel));
    }
    return all;
}

}  // namespace app::services
