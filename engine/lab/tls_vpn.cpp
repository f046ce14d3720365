#include "engine/lab/tls_vpn.h"

#include <array>

namespace engine::lab {

namespace {

using tls::Record;

constexpr std::uint64_t kKey = 0x746c73;
constexpr std::size_t kTicket = 32;
constexpr Duration kBeginAgainAfter = 5s;
constexpr Duration kDtlsRepeatAfter = 3s;
/// SSTP before its first data, in clear octets: the HTTP request, the call request, and PPP's
/// negotiation; and what answers each.
constexpr std::array<std::size_t, 6> kSstpAsks{210, 24, 48, 52, 44, 48};
constexpr std::array<std::size_t, 6> kSstpAnswers{150, 60, 48, 52, 44, 48};

}  // namespace

TlsVpnServer::TlsVpnServer(Host& host, TlsVpnKind kind)
    : m_host(&host), m_kind(kind), m_self(host.newIdentity())
{
    m_report.up = true;
    host.tcp().listen(kTlsPort, {.data =
                                     [this](TcpId id, wire::ConstBytes bytes) {
                                         Octets& stream = m_connections[id].stream;
                                         stream.insert(stream.end(), bytes.begin(), bytes.end());
                                         while (const auto record = tls::cut(stream)) {
                                             takeRecord(id, *record);
                                         }
                                     },
                                 .ended =
                                     [this](TcpId id, TcpEnd) {
                                         m_tickets.erase(m_connections[id].ticket);
                                         m_connections.erase(id);
                                     }});
    if (kind == TlsVpnKind::WithDtls) {
        host.bindUdp(kTlsPort, [this](const net::Endpoint& from, wire::ConstBytes bytes) {
            takeDatagram(from, bytes);
        });
    }
}

void TlsVpnServer::takeRecord(TcpId id, wire::ConstBytes record)
{
    Connection& connection = m_connections[id];
    TcpStack& tcp = m_host->tcp();
    const auto type = static_cast<Record>(record[0]);
    const wire::ConstBytes body = record.subspan(5);
    if (type == Record::Handshake) {
        if (++connection.records == 1) {
            ++m_report.attempts;
            tcp.send(id, tls::serverHello(id));
        } else if (connection.records == 3) {
            tcp.send(id, tls::finished(id));
        }
        return;
    }
    if (type != Record::Data) return;
    Octets clear;
    if (!unseal(kKey, body, clear)) {
        ++m_report.wrong;
        return;
    }
    if (connection.client == 0) {
        connection.client = wire::load32(clear, 0);
        Writer ticket;
        while (ticket.size() < kTicket)
            ticket.put64(m_host->random().next());
        connection.ticket = ticket.take();
        m_tickets[connection.ticket] = connection.client;
        ++m_report.established;
        if (m_kind == TlsVpnKind::WithDtls) {
            tcp.send(id, tls::record(Record::Data, seal(kKey, connection.ticket)));
            return;
        }
    }
    if (m_kind == TlsVpnKind::TlsOnly && connection.step < kSstpAnswers.size()) {
        const Octets reply(kSstpAnswers[connection.step++]);
        tcp.send(id, tls::record(Record::Data, seal(kKey, reply)));
        return;
    }
    for (const Octets& reply : answer(clear, m_self, connection.client, m_report)) {
        tcp.send(id, tls::record(Record::Data, seal(kKey, reply)));
    }
}

void TlsVpnServer::takeDatagram(const net::Endpoint& from, wire::ConstBytes bytes)
{
    const auto record = tls::decodeDatagram(bytes);
    if (!record) {
        ++m_report.wrong;
        return;
    }
    Channel& channel = m_channels[from];
    const auto send = [&](Record type, std::uint16_t epoch, Octets body) {
        m_host->sendUdp(kTlsPort, from,
                        tls::encode(tls::DatagramRecord{.type = type,
                                                        .epoch = epoch,
                                                        .sequence = channel.sequence++,
                                                        .body = std::move(body)}));
    };
    if (record->type == Record::Handshake && record->epoch == 0) {
        // The session id stands behind the version and the random.
        const wire::ConstBytes body{record->body};
        if (body.size() < 12 + 35 + kTicket) return;
        const auto ticket = m_tickets.find(copyOf(body.subspan(12 + 35, kTicket)));
        if (ticket == m_tickets.end()) return;
        channel = Channel{.client = ticket->second};
        send(Record::Handshake, 0,
             tls::datagramHello(false, ticket->first, m_host->random().next()));
        send(Record::ChangeCipherSpec, 0, {1});
        channel.sequence = 0;
        send(Record::Handshake, 1, seal(kKey, ticket->first));
        return;
    }
    if (record->type != Record::Data) return;
    Octets clear;
    if (!unseal(kKey, record->body, clear)) {
        ++m_report.wrong;
        return;
    }
    for (const Octets& reply : answer(clear, m_self, channel.client, m_report)) {
        send(Record::Data, 1, seal(kKey, reply));
    }
}

TlsVpnClient::TlsVpnClient(Host& host, const Options& options)
    : m_host(&host),
      m_options(options),
      m_speaker(host.newIdentity(), options.talk),
      m_port(host.freePort())
{
    if (options.kind == TlsVpnKind::WithDtls) {
        host.bindUdp(m_port, [this](const net::Endpoint& from, wire::ConstBytes bytes) {
            if (from == net::Endpoint{m_options.server, kTlsPort}) {
                takeDatagram(bytes);
            } else {
                ++m_report.wrong;
            }
        });
    }
    m_host->after(options.startAfter, [this] { begin(); });
}

PeerReport TlsVpnClient::report() const
{
    PeerReport report = m_report;
    report.up = m_up;
    return report;
}

void TlsVpnClient::begin()
{
    const std::uint64_t life = ++m_life;
    ++m_report.attempts;
    m_up = false;
    m_dtlsUp = false;
    m_step = 0;
    m_stream.clear();
    m_connection = m_host->tcp().connect(
        {m_options.server, kTlsPort},
        {.connected =
             [this](TcpId id) {
                 m_host->tcp().send(
                     id, tls::clientHello(m_options.serverName, m_host->random().next()));
             },
         .data =
             [this, life](TcpId, wire::ConstBytes bytes) {
                 if (life != m_life) return;
                 m_stream.insert(m_stream.end(), bytes.begin(), bytes.end());
                 while (const auto record = tls::cut(m_stream))
                     takeRecord(*record);
             },
         .ended =
             [this, life](TcpId, TcpEnd) {
                 if (life != m_life) return;
                 ++m_life;
                 ++m_report.failures;
                 m_up = false;
                 m_host->after(kBeginAgainAfter, [this] { begin(); });
             }});
}

void TlsVpnClient::takeRecord(wire::ConstBytes record)
{
    const auto type = static_cast<Record>(record[0]);
    const wire::ConstBytes body = record.subspan(5);
    if (type == Record::Handshake) {
        // ServerHelloDone is the only handshake record of four octets.
        if (body.size() == 4) {
            Writer keys;
            keys.put8(16).put24(66).put8(65).fill(65, 4);
            m_host->tcp().send(m_connection, Writer{}
                                                 .put(tls::record(Record::Handshake, keys.take()))
                                                 .put(tls::finished(m_life))
                                                 .take());
        } else if (body.size() == 40 && m_options.kind == TlsVpnKind::TlsOnly) {
            negotiate();
        } else if (body.size() == 40) {
            m_host->tcp().send(
                m_connection,
                tls::record(Record::Data,
                            seal(kKey, Writer{}.put32(m_speaker.self()).fill(120).take())));
        }
        return;
    }
    if (type != Record::Data) return;
    Octets clear;
    if (!unseal(kKey, body, clear)) {
        ++m_report.wrong;
        return;
    }
    if (m_up) {
        m_speaker.hear(clear, m_report);
        return;
    }
    if (m_options.kind == TlsVpnKind::TlsOnly && m_step < kSstpAsks.size()) {
        negotiate();
        return;
    }
    m_up = true;
    m_ticket = clear;
    ++m_report.established;
    talk(m_life);
    if (m_options.kind == TlsVpnKind::WithDtls) openDtls(m_life);
}

/// The next of SSTP's messages before data. The first names the client.
void TlsVpnClient::negotiate()
{
    const std::size_t size = kSstpAsks[m_step++];
    m_host->tcp().send(
        m_connection,
        tls::record(Record::Data,
                    seal(kKey, Writer{}.put32(m_speaker.self()).fill(size - 4).take())));
}

void TlsVpnClient::sendDatagram(Record type, std::uint16_t epoch, Octets body)
{
    m_host->sendUdp(
        m_port, {m_options.server, kTlsPort},
        tls::encode(tls::DatagramRecord{
            .type = type, .epoch = epoch, .sequence = m_sequence++, .body = std::move(body)}));
}

void TlsVpnClient::openDtls(std::uint64_t life)
{
    if (life != m_life || m_dtlsUp) return;
    m_sequence = 0;
    sendDatagram(Record::Handshake, 0, tls::datagramHello(true, m_ticket, m_host->random().next()));
    m_host->after(kDtlsRepeatAfter, [this, life] { openDtls(life); });
}

void TlsVpnClient::takeDatagram(wire::ConstBytes bytes)
{
    const auto record = tls::decodeDatagram(bytes);
    if (!record) {
        ++m_report.wrong;
        return;
    }
    if (record->type == Record::Handshake && record->epoch == 1) {
        Octets ticket;
        if (!unseal(kKey, record->body, ticket) || ticket != m_ticket) {
            ++m_report.wrong;
            return;
        }
        sendDatagram(Record::ChangeCipherSpec, 0, {1});
        m_sequence = 0;
        sendDatagram(Record::Handshake, 1, seal(kKey, m_ticket));
        m_dtlsUp = true;
    } else if (record->type == Record::Data) {
        Octets clear;
        if (unseal(kKey, record->body, clear)) {
            m_speaker.hear(clear, m_report);
        } else {
            ++m_report.wrong;
        }
    }
}

void TlsVpnClient::talk(std::uint64_t life)
{
    if (life != m_life) return;
    Octets sealed = seal(kKey, m_speaker.next(m_report));
    if (m_dtlsUp) {
        sendDatagram(Record::Data, 1, std::move(sealed));
    } else {
        m_host->tcp().send(m_connection, tls::record(Record::Data, sealed));
    }
    m_host->after(m_speaker.pause(m_host->random()), [this, life] { talk(life); });
}

}  // namespace engine::lab
