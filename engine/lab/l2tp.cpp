#include "engine/lab/l2tp.h"

#include <charconv>

namespace engine::lab {

namespace {

// Message types (RFC 2661 §3.2).
constexpr std::uint16_t kStartRequest = 1;
constexpr std::uint16_t kStartReply = 2;
constexpr std::uint16_t kStartConnected = 3;
constexpr std::uint16_t kStop = 4;
constexpr std::uint16_t kHello = 6;
constexpr std::uint16_t kCallRequest = 10;
constexpr std::uint16_t kCallReply = 11;
constexpr std::uint16_t kCallConnected = 12;
// Attribute types (§4.4).
constexpr std::uint16_t kMessageType = 0;
constexpr std::uint16_t kResultCode = 1;
constexpr std::uint16_t kProtocolVersion = 2;
constexpr std::uint16_t kFramingCapabilities = 3;
constexpr std::uint16_t kHostName = 7;
constexpr std::uint16_t kAssignedTunnel = 9;
constexpr std::uint16_t kReceiveWindow = 10;
constexpr std::uint16_t kAssignedSession = 14;
constexpr std::uint16_t kCallSerial = 15;
constexpr std::uint16_t kFramingType = 19;
constexpr std::uint16_t kConnectSpeed = 24;

constexpr std::size_t kControlHeader = 12;
constexpr std::uint16_t kControlFlags = 0xc802;
constexpr std::uint16_t kDataFlags = 0x0002;
/// RFC 2661 §5.8: retransmit after a second, doubling, at least five times.
constexpr Duration kRepeatAfter = 1s;
constexpr int kMostTries = 5;
/// RFC 2661 §5.5 recommends a Hello after 60 silent seconds.
constexpr Duration kHelloEvery = 60s;
constexpr Duration kLinger = 30s;
constexpr Duration kForgetAfter = 4min;

Writer& putValue(Writer& writer, std::uint16_t type, wire::ConstBytes value)
{
    return writer.put16(0x8000U | (6 + value.size())).put16(0).put16(type).put(value);
}
Writer& putValue16(Writer& writer, std::uint16_t type, std::uint16_t value)
{
    return putValue(writer, type, Writer{}.put16(value).take());
}

std::optional<L2tpTunnel::Control> parseValues(std::uint16_t session, wire::ConstBytes body)
{
    L2tpTunnel::Control control;
    control.session = session;
    while (body.size() >= 6) {
        const std::size_t length = wire::load16(body, 0) & 0x03ffU;
        if (length < 6 || length > body.size()) return std::nullopt;
        control.values[wire::load16(body, 4)] = copyOf(body.subspan(6, length - 6));
        body = body.subspan(length);
    }
    const auto type = control.values.find(kMessageType);
    if (type == control.values.end() || type->second.size() != 2) return std::nullopt;
    control.type = wire::load16(type->second, 0);
    return control;
}

std::uint16_t value16(const L2tpTunnel::Control& control, std::uint16_t type)
{
    const auto found = control.values.find(type);
    if (found == control.values.end() || found->second.size() < 2) return 0;
    return wire::load16(found->second, 0);
}

Identity clientIn(const L2tpTunnel::Control& control)
{
    const auto found = control.values.find(kHostName);
    if (found == control.values.end()) return 0;
    const std::string name = textOf(found->second);
    Identity client = 0;
    if (name.size() > 4) std::from_chars(name.data() + 4, name.data() + name.size(), client);
    return client;
}

struct Header {
    bool control = false;
    std::uint16_t tunnel = 0;
    std::uint16_t session = 0;
    wire::ConstBytes rest;
};

std::optional<Header> parse(wire::ConstBytes packet)
{
    if (packet.size() < 6 || (packet[1] & 0x0fU) != 2) return std::nullopt;
    if (wire::load16(packet, 0) == kControlFlags) {
        if (packet.size() < kControlHeader || wire::load16(packet, 2) != packet.size()) {
            return std::nullopt;
        }
        return Header{.control = true,
                      .tunnel = wire::load16(packet, 4),
                      .session = wire::load16(packet, 6),
                      .rest = packet};
    }
    if (wire::load16(packet, 0) != kDataFlags) return std::nullopt;
    return Header{.tunnel = wire::load16(packet, 2),
                  .session = wire::load16(packet, 4),
                  .rest = packet.subspan(6)};
}

void putStart(Writer& writer, std::uint16_t ownId, const std::string& name)
{
    putValue16(writer, kProtocolVersion, 0x0100);
    putValue(writer, kFramingCapabilities, Writer{}.put32(3).take());
    putValue(writer, kHostName, octetsOf(name));
    putValue16(writer, kAssignedTunnel, ownId);
    putValue16(writer, kReceiveWindow, 4);
}

}  // namespace

L2tpTunnel::~L2tpTunnel()
{
    if (m_timer) m_host->cancel(*m_timer);
}

void L2tpTunnel::begin(PppRole role, PppLink::Callbacks callbacks, const PppLink::Options& options)
{
    callbacks.send = [this](const Octets& frame) {
        m_callbacks.send(
            Writer{}.put16(kDataFlags).put16(m_peerId).put16(m_peerSession).put(frame).take());
    };
    m_link = std::make_unique<PppLink>(*m_host, role, std::move(callbacks), options);
    m_link->start();
}

Octets L2tpTunnel::controlMessage(std::uint16_t session, wire::ConstBytes body) const
{
    Writer writer;
    writer.put16(kControlFlags).put16(kControlHeader + body.size()).put16(m_peerId).put16(session);
    return writer.put16(m_nextSend).put16(m_nextReceive).put(body).take();
}

void L2tpTunnel::sendControl(std::uint16_t type, std::uint16_t session, wire::ConstBytes values)
{
    Writer body;
    putValue16(body, kMessageType, type).put(values);
    m_waiting.push_back({.session = session, .body = body.take()});
    if (m_waiting.size() == 1) transmit();
}

void L2tpTunnel::transmit()
{
    m_timer.reset();
    Waiting& first = m_waiting.front();
    if (++first.tries > kMostTries) {
        if (m_callbacks.silent) m_callbacks.silent();
        return;
    }
    m_callbacks.send(controlMessage(first.session, first.body));
    m_timer = m_host->after(kRepeatAfter * (1 << (first.tries - 1)), [this] { transmit(); });
}

void L2tpTunnel::acknowledge()
{
    m_callbacks.send(controlMessage(0, {}));
}

void L2tpTunnel::receiveControl(wire::ConstBytes message)
{
    const std::uint16_t ns = wire::load16(message, 8);
    const std::uint16_t nr = wire::load16(message, 10);
    if (!m_waiting.empty() && nr == static_cast<std::uint16_t>(m_nextSend + 1)) {
        ++m_nextSend;
        m_waiting.pop_front();
        if (m_timer) m_host->cancel(*m_timer);
        m_timer.reset();
        if (!m_waiting.empty()) transmit();
    }
    if (message.size() == kControlHeader) return;
    if (ns == m_nextReceive) {
        const auto control = parseValues(wire::load16(message, 6), message.subspan(kControlHeader));
        ++m_nextReceive;
        if (control) m_callbacks.control(*control);
    }
    acknowledge();
}

void L2tpTunnel::receiveData(std::uint16_t session, wire::ConstBytes frame)
{
    if (m_link != nullptr && session == m_ownSession) m_link->receive(frame);
}

L2tpServer::L2tpServer(Host& host, const Options& options)
    : m_host(&host), m_options(options), m_self(host.newIdentity())
{
    m_report.up = true;
    host.bindUdp(kL2tpPort, [this](const net::Endpoint& from, wire::ConstBytes packet) {
        take(from, packet, kL2tpPort);
    });
}

void L2tpServer::sweep()
{
    std::vector<std::uint16_t> silent;
    for (const auto& [own, tunnel] : m_tunnels) {
        if (m_host->now() - tunnel.heard > kForgetAfter) silent.push_back(own);
    }
    for (const std::uint16_t own : silent)
        close(own);
}

void L2tpServer::close(std::uint16_t own)
{
    const auto found = m_tunnels.find(own);
    if (found == m_tunnels.end()) return;
    if (found->second.own != kL2tpPort) m_host->unbindUdp(found->second.own);
    m_past[own] = m_host->now();
    m_tunnels.erase(found);
}

void L2tpServer::take(const net::Endpoint& from, wire::ConstBytes packet, net::Port port)
{
    const auto header = parse(packet);
    if (!header) {
        ++m_report.wrong;
        return;
    }
    std::uint16_t own = header->tunnel;
    if (own == 0) {
        if (!header->control || packet.size() == kControlHeader) return;
        const auto control = parseValues(0, packet.subspan(kControlHeader));
        if (!control || control->type != kStartRequest) return;
        sweep();
        const std::uint16_t peerId = value16(*control, kAssignedTunnel);
        const Identity client = clientIn(*control);
        // A repeated request finds the tunnel that the first one opened.
        for (const auto& [id, tunnel] : m_tunnels) {
            if (tunnel.client == client && tunnel.peerId == peerId &&
                wire::load16(packet, 8) == 0 && tunnel.remote == from) {
                own = id;
            }
        }
        if (own == 0) {
            Tunnel& tunnel = open(from, peerId);
            tunnel.client = client;
            own = tunnel.machine->ownId();
        }
    }
    const auto found = m_tunnels.find(own);
    if (found == m_tunnels.end()) {
        const auto past = m_past.find(own);
        const bool excusable = past != m_past.end() && m_host->now() - past->second < kLinger;
        ++(excusable ? m_report.strays : m_report.wrong);
        return;
    }
    Tunnel& tunnel = found->second;
    if (tunnel.remote.address != from.address || (header->tunnel != 0 && tunnel.own != port)) {
        ++m_report.wrong;
        return;
    }
    tunnel.heard = m_host->now();
    if (header->control) {
        tunnel.machine->receiveControl(packet);
    } else {
        tunnel.machine->receiveData(header->session, header->rest);
    }
}

L2tpServer::Tunnel& L2tpServer::open(const net::Endpoint& from, std::uint16_t peerId)
{
    ++m_report.attempts;
    std::uint16_t own = 0;
    do {
        own = static_cast<std::uint16_t>(m_host->random().next());
    } while (own == 0 || m_tunnels.contains(own) || m_past.contains(own));
    Tunnel& tunnel = m_tunnels[own];
    tunnel.remote = from;
    tunnel.peerId = peerId;
    tunnel.heard = m_host->now();
    if (m_options.replies == L2tpReplies::AlwaysTo1701) tunnel.remote.port = kL2tpPort;
    if (m_options.replies == L2tpReplies::FromOtherPort) {
        tunnel.own = m_host->freePort();
        m_host->bindUdp(tunnel.own, [this, port = tunnel.own](const net::Endpoint& sender,
                                                              wire::ConstBytes packet) {
            take(sender, packet, port);
        });
    }
    tunnel.machine = std::make_unique<L2tpTunnel>(
        *m_host, own,
        L2tpTunnel::Callbacks{
            .send =
                [this, own](const Octets& packet) {
                    const auto found = m_tunnels.find(own);
                    if (found == m_tunnels.end()) return;
                    m_host->sendUdp(found->second.own, found->second.remote, packet);
                },
            .control = [this,
                        own](const L2tpTunnel::Control& control) { takeControl(own, control); },
            .silent =
                [this, own] {
                    m_host->after(0s, [this, own] { close(own); });
                }});
    tunnel.machine->setPeerId(peerId);
    return tunnel;
}

void L2tpServer::takeControl(std::uint16_t own, const L2tpTunnel::Control& control)
{
    Tunnel& tunnel = m_tunnels.at(own);
    Writer values;
    if (control.type == kStartRequest) {
        putStart(values, own, "lab-lns");
        tunnel.machine->sendControl(kStartReply, 0, values.take());
    } else if (control.type == kCallRequest) {
        const std::uint16_t session = value16(control, kAssignedSession);
        const auto ownSession = static_cast<std::uint16_t>(m_host->random().next() | 1U);
        tunnel.machine->setSessions(ownSession, session);
        putValue16(values, kAssignedSession, ownSession);
        tunnel.machine->sendControl(kCallReply, session, values.take());
    } else if (control.type == kCallConnected) {
        ++m_report.established;
        L2tpTunnel* machine = tunnel.machine.get();
        const Identity client = tunnel.client;
        machine->begin(PppRole::Server,
                       {.send = {},
                        .up = {},
                        .refused = {},
                        .data =
                            [this, machine, client](wire::ConstBytes data) {
                                for (const Octets& reply : answer(data, m_self, client, m_report)) {
                                    machine->link()->sendData(reply);
                                }
                            }},
                       m_options.ppp);
    } else if (control.type == kStop) {
        // Once its acknowledgement has left.
        m_host->after(100ms, [this, own] { close(own); });
    }
}

L2tpClient::L2tpClient(Host& host, const Options& options)
    : m_host(&host),
      m_options(options),
      m_speaker(host.newIdentity(), options.talk),
      m_port(options.fixedPort ? kL2tpPort : host.freePort())
{
    host.bindUdp(
        m_port, [this](const net::Endpoint& from, wire::ConstBytes packet) { take(from, packet); });
    m_host->after(options.dialAfter, [this] { dial(); });
}

PeerReport L2tpClient::report() const
{
    PeerReport report = m_report;
    report.up = m_tunnel != nullptr && m_tunnel->link() != nullptr && m_tunnel->link()->isUp();
    return report;
}

void L2tpClient::dial()
{
    m_ended.clear();
    const std::uint64_t dialling = ++m_dialling;
    ++m_report.attempts;
    m_serverPort = kL2tpPort;
    std::uint16_t own = m_options.tunnelId.value_or(std::uint16_t{0});
    while (own == 0 || (!m_options.tunnelId && m_past.contains(own))) {
        own = static_cast<std::uint16_t>(m_host->random().next());
    }
    m_tunnel = std::make_unique<L2tpTunnel>(
        *m_host, own,
        L2tpTunnel::Callbacks{
            .send =
                [this](const Octets& packet) {
                    m_host->sendUdp(m_port, {m_options.server, m_serverPort}, packet);
                },
            .control = [this](const L2tpTunnel::Control& control) { takeControl(control); },
            .silent =
                [this, dialling] {
                    if (dialling != m_dialling) return;
                    ++m_report.failures;
                    broken();
                }});
    Writer values;
    putStart(values, own, "lab-" + std::to_string(m_speaker.self()));
    m_tunnel->sendControl(kStartRequest, 0, values.take());
    m_host->after(kHelloEvery, [this, dialling] { hello(dialling); });
    if (m_options.callLength.count() > 0) {
        m_host->after(m_options.callLength, [this, dialling] {
            if (dialling == m_dialling) hangUp();
        });
    }
}

void L2tpClient::hello(std::uint64_t dialling)
{
    if (dialling != m_dialling || m_tunnel == nullptr) return;
    m_tunnel->sendControl(kHello, 0, {});
    m_host->after(kHelloEvery, [this, dialling] { hello(dialling); });
}

void L2tpClient::hangUp()
{
    Writer values;
    putValue16(values, kAssignedTunnel, m_tunnel->ownId());
    putValue16(values, kResultCode, 6);
    m_tunnel->sendControl(kStop, 0, values.take());
    const std::uint64_t dialling = m_dialling;
    m_host->after(3s, [this, dialling] {
        if (dialling == m_dialling) broken();
    });
}

void L2tpClient::broken()
{
    ++m_dialling;
    m_past[m_tunnel->ownId()] = m_host->now();
    m_ended.push_back(std::move(m_tunnel));
    m_host->after(5s, [this] { dial(); });
}

void L2tpClient::take(const net::Endpoint& from, wire::ConstBytes packet)
{
    const auto header = parse(packet);
    if (!header || from.address != m_options.server) {
        ++m_report.wrong;
        return;
    }
    if (m_tunnel == nullptr || header->tunnel != m_tunnel->ownId()) {
        const auto past = m_past.find(header->tunnel);
        const bool excusable = past != m_past.end() && m_host->now() - past->second < kLinger;
        ++(excusable ? m_report.strays : m_report.wrong);
        return;
    }
    // RFC 2661 §8.1: whatever port the server has chosen, it is its port from now on.
    m_serverPort = from.port;
    if (header->control) {
        m_tunnel->receiveControl(packet);
    } else {
        m_tunnel->receiveData(header->session, header->rest);
    }
}

void L2tpClient::takeControl(const L2tpTunnel::Control& control)
{
    Writer values;
    if (control.type == kStartReply) {
        m_tunnel->setPeerId(value16(control, kAssignedTunnel));
        m_tunnel->sendControl(kStartConnected, 0, {});
        m_session = static_cast<std::uint16_t>(m_host->random().next() | 1U);
        putValue16(values, kAssignedSession, m_session);
        putValue(values, kCallSerial, Writer{}.put32(1).take());
        m_tunnel->sendControl(kCallRequest, 0, values.take());
    } else if (control.type == kCallReply) {
        const std::uint16_t peer = value16(control, kAssignedSession);
        m_tunnel->setSessions(m_session, peer);
        putValue(values, kConnectSpeed, Writer{}.put32(10'000'000).take());
        putValue(values, kFramingType, Writer{}.put32(1).take());
        m_tunnel->sendControl(kCallConnected, peer, values.take());
        sessionAgreed();
    }
}

void L2tpClient::sessionAgreed()
{
    const std::uint64_t dialling = m_dialling;
    m_tunnel->begin(PppRole::Client,
                    {.send = {},
                     .up =
                         [this, dialling] {
                             ++m_report.established;
                             talk(dialling);
                         },
                     .refused = {},
                     .data =
                         [this](wire::ConstBytes data) {
                             m_speaker.hear(data, m_report);
                         }},
                    PppLink::Options{});
}

void L2tpClient::talk(std::uint64_t dialling)
{
    if (dialling != m_dialling || m_tunnel == nullptr || m_tunnel->link() == nullptr) return;
    m_tunnel->link()->sendData(m_speaker.next(m_report));
    m_host->after(m_speaker.pause(m_host->random()), [this, dialling] { talk(dialling); });
}

}  // namespace engine::lab
