// RFC 3931: the control message of §3.2.1, its AVPs of §5.4, and the data headers over IP and UDP
// of §4.1.1.1 and §4.1.2.1.
#include "engine/lab/l2tp_v3.h"

#include <algorithm>

namespace engine::lab {

namespace {

constexpr std::uint16_t kControlFlags = 0xc803;  // T, L, S; version 3
constexpr std::size_t kHeader = 12;
constexpr std::size_t kAvpHeader = 6;
constexpr std::uint16_t kMandatory = 0x8000;
constexpr std::uint16_t kAvpLength = 0x03ff;

constexpr std::uint16_t kStartRequest = 1;
constexpr std::uint16_t kStartReply = 2;
constexpr std::uint16_t kStartConnected = 3;
constexpr std::uint16_t kCallRequest = 10;
constexpr std::uint16_t kCallReply = 11;
constexpr std::uint16_t kCallConnected = 12;

constexpr std::uint16_t kMessageType = 0;
constexpr std::uint16_t kHostName = 7;
constexpr std::uint16_t kAssignedConnection = 61;
constexpr std::uint16_t kLocalSession = 63;
constexpr std::uint16_t kRemoteSession = 64;

constexpr Duration kRepeatAfter = 1s;
constexpr int kTries = 3;
constexpr Duration kBeginAgainAfter = 500ms;
constexpr std::size_t kPastKept = 4;

struct Control {
    std::uint16_t type = 0;
    std::uint32_t connection = 0;  ///< the receiver's number
    std::uint16_t ns = 0;
    std::uint16_t nr = 0;
    std::map<std::uint16_t, Octets> values{};
};

Octets number(std::uint32_t value)
{
    return Writer{}.put32(value).take();
}

std::uint32_t numberOf(const Control& control, std::uint16_t attribute)
{
    const auto found = control.values.find(attribute);
    return found != control.values.end() && found->second.size() == 4
               ? wire::load32(found->second, 0)
               : 0;
}

Octets encode(const Control& control)
{
    Writer avps;
    avps.put16(kMandatory | (kAvpHeader + 2)).put16(0).put16(kMessageType).put16(control.type);
    for (const auto& [attribute, value] : control.values) {
        avps.put16(kMandatory | (kAvpHeader + value.size())).put16(0).put16(attribute).put(value);
    }
    const Octets body = avps.take();
    Writer writer;
    writer.put32(0).put16(kControlFlags).put16(kHeader + body.size()).put32(control.connection);
    return writer.put16(control.ns).put16(control.nr).put(body).take();
}

/// `message` is what follows the zero session ID.
std::optional<Control> decodeControl(wire::ConstBytes message)
{
    if (message.size() < kHeader || wire::load16(message, 0) != kControlFlags ||
        wire::load16(message, 2) != message.size()) {
        return std::nullopt;
    }
    Control control{.connection = wire::load32(message, 4),
                    .ns = wire::load16(message, 8),
                    .nr = wire::load16(message, 10)};
    for (std::size_t at = kHeader; at < message.size();) {
        if (message.size() - at < kAvpHeader) return std::nullopt;
        const std::size_t size = wire::load16(message, at) & kAvpLength;
        if (size < kAvpHeader || size > message.size() - at) return std::nullopt;
        const std::uint16_t attribute = wire::load16(message, at + 4);
        const wire::ConstBytes value = message.subspan(at + kAvpHeader, size - kAvpHeader);
        if (attribute == kMessageType && value.size() == 2) {
            control.type = wire::load16(value, 0);
        } else {
            control.values[attribute] = copyOf(value);
        }
        at += size;
    }
    return control;
}

constexpr net::Port kPort{1701};

/// What a packet over IP is over UDP: control without the session ID of zero that marks it there,
/// data behind flags that say so.
Octets overUdp(wire::ConstBytes packet)
{
    if (wire::load32(packet, 0) == 0) return copyOf(packet.subspan(4));
    return Writer{}.put16(3).put16(0).put(packet).take();
}
Octets overIp(wire::ConstBytes payload)
{
    if (payload.size() < 4) return {};
    if ((payload[0] & 0x80U) != 0) return Writer{}.put32(0).put(payload).take();
    return copyOf(payload.subspan(4));
}

std::uint32_t anyNumber(Host& host)
{
    return static_cast<std::uint32_t>(host.random().next()) | 1U;
}

}  // namespace

L2tpV3Server::L2tpV3Server(Host& host) : m_host(&host), m_self(host.newIdentity())
{
    m_report.up = true;
    host.bindProtocol(net::IpProtocol::L2tpV3,
                      [this](net::Ipv4Address from, wire::ConstBytes packet) {
                          take({from, net::Port{}}, packet);
                      });
    host.bindUdp(kPort, [this](const net::Endpoint& from, wire::ConstBytes payload) {
        take(from, overIp(payload));
    });
}

void L2tpV3Server::send(const net::Endpoint& to, Octets packet)
{
    if (to.port == net::Port{}) {
        m_host->sendIp(net::IpProtocol::L2tpV3, to.address, std::move(packet));
    } else {
        m_host->sendUdp(kPort, to, overUdp(packet));
    }
}

void L2tpV3Server::take(const net::Endpoint& from, wire::ConstBytes packet)
{
    if (packet.size() < 4) {
        ++m_report.wrong;
        return;
    }
    const std::uint32_t session = wire::load32(packet, 0);
    if (session == 0) {
        takeControl(from, packet.subspan(4));
        return;
    }
    const auto found = m_sessions.find(session);
    if (found == m_sessions.end()) {
        ++m_report.strays;
        return;
    }
    Client& client = m_clients[found->second];
    Message message;
    const wire::ConstBytes inner = packet.subspan(4);
    if (client.identity == 0 && decode(inner, message) == Heard::Fine) {
        client.identity = message.from;
    }
    for (const Octets& reply : answer(inner, m_self, client.identity, m_report)) {
        send(from, Writer{}.put32(client.peerSession).put(reply).take());
    }
}

void L2tpV3Server::takeControl(const net::Endpoint& from, wire::ConstBytes message)
{
    const auto control = decodeControl(message);
    if (!control) {
        ++m_report.wrong;
        return;
    }
    const auto reply = [&](Client& client, std::uint16_t type,
                           std::map<std::uint16_t, Octets> values) {
        send(from, encode(Control{.type = type,
                                  .connection = client.peerConnection,
                                  .ns = client.sent++,
                                  .nr = static_cast<std::uint16_t>(control->ns + 1),
                                  .values = std::move(values)}));
    };
    if (control->type == kStartRequest) {
        // A repeated request of the same client gets the same answer.
        const std::uint32_t theirs = numberOf(*control, kAssignedConnection);
        std::uint32_t ours = 0;
        for (const auto& [id, client] : m_clients) {
            if (client.from == from && client.peerConnection == theirs) ours = id;
        }
        if (ours == 0) {
            ours = anyNumber(*m_host);
            ++m_report.attempts;
            m_clients[ours] = {.from = from, .peerConnection = theirs};
        }
        Client& client = m_clients[ours];
        client.sent = 0;
        reply(client, kStartReply,
              {{kHostName, octetsOf("lab-l2tpv3")}, {kAssignedConnection, number(ours)}});
        return;
    }
    const auto found = m_clients.find(control->connection);
    if (found == m_clients.end()) {
        ++m_report.strays;
        return;
    }
    Client& client = found->second;
    if (control->type == kCallRequest) {
        client.peerSession = numberOf(*control, kLocalSession);
        if (client.session == 0) {
            client.session = anyNumber(*m_host);
            m_sessions[client.session] = found->first;
        }
        reply(client, kCallReply,
              {{kLocalSession, number(client.session)},
               {kRemoteSession, number(client.peerSession)}});
    } else if (control->type == kCallConnected) {
        ++m_report.established;
    }
}

L2tpV3Client::L2tpV3Client(Host& host, const Options& options)
    : m_host(&host),
      m_options(options),
      m_speaker(host.newIdentity(), options.talk),
      m_connection(options.connectionId),
      m_session(options.sessionId)
{
    host.bindProtocol(
        net::IpProtocol::L2tpV3,
        [this](net::Ipv4Address from, wire::ConstBytes packet) { take(from, packet); });
    if (options.carrier == L2tpV3Carrier::Udp) {
        host.bindUdp(kPort, [this](const net::Endpoint& from, wire::ConstBytes payload) {
            take(from.address, overIp(payload));
        });
    }
    host.addIcmpHandler([this](const Host::IcmpNews& news) {
        // RFC 792: destination unreachable, quoting our own packet to the server.
        const bool about = news.type == 3 && news.body.size() >= 20 &&
                           news.body[9] == static_cast<std::uint8_t>(net::IpProtocol::L2tpV3) &&
                           wire::load32(news.body, 16) == m_options.server.hostOrder();
        if (about && m_step != Step::Up) again();
    });
    m_host->after(options.startAfter, [this] { dial(); });
}

void L2tpV3Client::send(Octets packet)
{
    if (m_options.carrier == L2tpV3Carrier::Ip) {
        m_host->sendIp(net::IpProtocol::L2tpV3, m_options.server, std::move(packet));
    } else {
        m_host->sendUdp(kPort, {m_options.server, kPort}, overUdp(packet));
    }
}

PeerReport L2tpV3Client::report() const
{
    PeerReport report = m_report;
    report.up = m_step == Step::Up;
    return report;
}

void L2tpV3Client::dial()
{
    m_waiting = false;
    ++m_report.attempts;
    m_step = Step::Connecting;
    ask(++m_dialling, 0);
}

void L2tpV3Client::again()
{
    if (m_waiting) return;
    m_waiting = true;
    ++m_report.failures;
    ++m_dialling;
    m_past.push_back(m_connection);
    if (m_past.size() > kPastKept) m_past.pop_front();
    m_connection = anyNumber(*m_host);
    m_session = anyNumber(*m_host);
    m_host->after(kBeginAgainAfter, [this] { dial(); });
}

void L2tpV3Client::ask(std::uint64_t dialling, int tries)
{
    if (dialling != m_dialling || m_step == Step::Up) return;
    if (tries == kTries) {
        again();
        return;
    }
    const auto say = [this](const Control& control) {
        send(encode(control));
    };
    if (m_step == Step::Connecting) {
        say({.type = kStartRequest,
             .values = {{kHostName, octetsOf(m_host->name())},
                        {kAssignedConnection, number(m_connection)}}});
    } else {
        say({.type = kStartConnected, .connection = m_peerConnection, .ns = 1, .nr = 1});
        say({.type = kCallRequest,
             .connection = m_peerConnection,
             .ns = 2,
             .nr = 1,
             .values = {{kLocalSession, number(m_session)}, {kRemoteSession, number(0)}}});
    }
    m_host->after(kRepeatAfter, [this, dialling, tries] { ask(dialling, tries + 1); });
}

void L2tpV3Client::take(net::Ipv4Address from, wire::ConstBytes packet)
{
    if (from != m_options.server || packet.size() < 4) {
        ++m_report.wrong;
        return;
    }
    const std::uint32_t session = wire::load32(packet, 0);
    if (session != 0) {
        if (session == m_session && m_step == Step::Up) {
            m_speaker.hear(packet.subspan(4), m_report);
        } else {
            ++m_report.wrong;
        }
        return;
    }
    const auto control = decodeControl(packet.subspan(4));
    if (!control || control->connection != m_connection) {
        // An answer to an attempt that was given up may still be under way.
        const bool past = control && std::ranges::find(m_past, control->connection) != m_past.end();
        ++(past ? m_report.strays : m_report.wrong);
        return;
    }
    if (control->type == kStartReply && m_step == Step::Connecting) {
        m_peerConnection = numberOf(*control, kAssignedConnection);
        m_step = Step::Calling;
        ask(++m_dialling, 0);
    } else if (control->type == kCallReply && m_step == Step::Calling) {
        if (numberOf(*control, kRemoteSession) != m_session) {
            ++m_report.wrong;
            return;
        }
        m_peerSession = numberOf(*control, kLocalSession);
        m_step = Step::Up;
        ++m_report.established;
        send(encode(Control{.type = kCallConnected,
                            .connection = m_peerConnection,
                            .ns = 3,
                            .nr = 2,
                            .values = {{kLocalSession, number(m_session)},
                                       {kRemoteSession, number(m_peerSession)}}}));
        talk(++m_dialling);
    }
}

void L2tpV3Client::talk(std::uint64_t dialling)
{
    if (dialling != m_dialling) return;
    send(Writer{}.put32(m_peerSession).put(m_speaker.next(m_report)).take());
    m_host->after(m_speaker.pause(m_host->random()), [this, dialling] { talk(dialling); });
}

}  // namespace engine::lab
