#include "engine/lab/openvpn.h"

#include "engine/lab/tls_shapes.h"

namespace engine::lab {

namespace {

// Opcodes of OpenVPN's wire protocol.
constexpr std::uint8_t kSoftReset = 3;
constexpr std::uint8_t kControl = 4;
constexpr std::uint8_t kAck = 5;
constexpr std::uint8_t kClientReset = 7;
constexpr std::uint8_t kServerReset = 8;
constexpr std::uint8_t kData = 9;
constexpr std::size_t kTag = 16;
constexpr Duration kRepeatAfter = 2s;
constexpr int kMostTries = 8;
constexpr Duration kBeginAgainAfter = 5s;

std::uint64_t keyOf(std::uint64_t client, std::uint64_t server)
{
    return sipHash(HashKey{0x6f76706e, 1}, client, server);
}

bool isControl(std::uint8_t opcode)
{
    return opcode == kSoftReset || opcode == kControl || opcode == kClientReset ||
           opcode == kServerReset;
}

Octets framed(OpenVpnTransport transport, const Octets& packet)
{
    if (transport == OpenVpnTransport::Udp) return packet;
    return Writer{}.put16(packet.size()).put(packet).take();
}

}  // namespace

Octets encode(const OpenVpnPacket& packet)
{
    Writer writer;
    writer.put8(packet.opcode << 3 | packet.keyId);
    if (packet.opcode == kData) {
        writer.put24(packet.peerId).put32(packet.packetId).fill(kTag - kSealOverhead, 0xa5);
        return writer.put(packet.payload).take();
    }
    writer.put64(packet.session).put8(packet.acknowledges ? 1 : 0);
    if (packet.acknowledges) writer.put32(*packet.acknowledges).put64(packet.remoteSession);
    if (packet.opcode != kAck) writer.put32(packet.packetId).put(packet.payload);
    return writer.take();
}

std::optional<OpenVpnPacket> decodeOpenVpn(wire::ConstBytes bytes)
{
    if (bytes.empty()) return std::nullopt;
    OpenVpnPacket packet;
    packet.opcode = bytes[0] >> 3;
    packet.keyId = bytes[0] & 7U;
    if (packet.opcode == kData) {
        const std::size_t header = 8 + kTag - kSealOverhead;
        if (bytes.size() < header) return std::nullopt;
        packet.peerId = wire::load32(bytes, 0) & 0xffffffU;
        packet.packetId = wire::load32(bytes, 4);
        packet.payload = copyOf(bytes.subspan(header));
        return packet;
    }
    if ((!isControl(packet.opcode) && packet.opcode != kAck) || bytes.size() < 10) {
        return std::nullopt;
    }
    packet.session = wire::load64(bytes, 1);
    std::size_t at = 10;
    if (bytes[9] == 1) {
        if (bytes.size() < at + 12) return std::nullopt;
        packet.acknowledges = wire::load32(bytes, at);
        packet.remoteSession = wire::load64(bytes, at + 4);
        at += 12;
    }
    if (packet.opcode == kAck) return packet;
    if (bytes.size() < at + 4) return std::nullopt;
    packet.packetId = wire::load32(bytes, at);
    packet.payload = copyOf(bytes.subspan(at + 4));
    return packet;
}

std::optional<Octets> cutOpenVpn(Octets& stream)
{
    if (stream.size() < 2) return std::nullopt;
    const std::size_t length = wire::load16(stream, 0);
    if (stream.size() < 2 + length) return std::nullopt;
    const auto end = stream.begin() + static_cast<std::ptrdiff_t>(2 + length);
    Octets packet{stream.begin() + 2, end};
    stream.erase(stream.begin(), end);
    return packet;
}

OpenVpnServer::OpenVpnServer(Host& host, OpenVpnTransport transport, net::Port port)
    : m_host(&host), m_self(host.newIdentity())
{
    m_report.up = true;
    if (transport == OpenVpnTransport::Udp) {
        host.bindUdp(port, [this, port](const net::Endpoint& from, wire::ConstBytes bytes) {
            take(bytes,
                 [this, from, port](const Octets& packet) { m_host->sendUdp(port, from, packet); });
        });
        return;
    }
    host.tcp().listen(port, {.data =
                                 [this](TcpId id, wire::ConstBytes bytes) {
                                     Octets& stream = m_streams[id];
                                     stream.insert(stream.end(), bytes.begin(), bytes.end());
                                     while (const auto packet = cutOpenVpn(stream)) {
                                         take(*packet, [this, id](const Octets& reply) {
                                             m_host->tcp().send(
                                                 id, framed(OpenVpnTransport::Tcp, reply));
                                         });
                                     }
                                 },
                             .ended =
                                 [this](TcpId id, TcpEnd) {
                                     m_streams.erase(id);
                                 }});
}

void OpenVpnServer::take(wire::ConstBytes bytes, const Send& send)
{
    const auto packet = decodeOpenVpn(bytes);
    if (!packet) {
        ++m_report.wrong;
        return;
    }
    if (packet->opcode == kData) {
        takeData(*packet, send);
        return;
    }
    if (packet->opcode == kAck) return;
    Session& session = m_sessions[packet->session];
    if (session.own == 0) {
        ++m_report.attempts;
        session.own = m_host->random().next();
        session.remote = packet->session;
        session.peerId = static_cast<std::uint32_t>(m_peers.size());
        m_peers[session.peerId] = packet->session;
    }
    OpenVpnPacket reply{.opcode = kControl,
                        .keyId = packet->keyId,
                        .session = session.own,
                        .acknowledges = packet->packetId,
                        .remoteSession = packet->session};
    if (packet->opcode == kClientReset || packet->opcode == kSoftReset) {
        reply.opcode = packet->opcode == kClientReset ? kServerReset : kSoftReset;
        session.nextControl = 0;
        session.keyId = packet->keyId;
    } else if (packet->packetId == 1) {
        reply.payload = tls::serverHello(session.own);
    } else {
        Octets clear;
        if (!unseal(keyOf(packet->session, session.own), packet->payload, clear)) {
            ++m_report.wrong;
            return;
        }
        session.client = wire::load32(clear, 0);
        ++(packet->keyId == 0 ? m_report.established : m_report.rekeys);
        reply.payload = seal(keyOf(packet->session, session.own),
                             Writer{}.put32(session.peerId).fill(60).take());
    }
    reply.packetId = session.nextControl++;
    send(encode(reply));
}

void OpenVpnServer::takeData(const OpenVpnPacket& packet, const Send& send)
{
    const auto peer = m_peers.find(packet.peerId);
    if (peer == m_peers.end()) {
        ++m_report.wrong;
        return;
    }
    Session& session = m_sessions.at(peer->second);
    const std::uint64_t key = keyOf(session.remote, session.own);
    Octets clear;
    if (!unseal(key ^ packet.packetId, packet.payload, clear)) {
        ++m_report.wrong;
        return;
    }
    for (const Octets& answered : answer(clear, m_self, session.client, m_report)) {
        const std::uint32_t id = ++session.nextData;
        send(encode(OpenVpnPacket{.opcode = kData,
                                  .keyId = packet.keyId,
                                  .packetId = id,
                                  .peerId = session.peerId,
                                  .payload = seal(key ^ id, answered)}));
    }
}

OpenVpnClient::OpenVpnClient(Host& host, const Options& options)
    : m_host(&host),
      m_options(options),
      m_speaker(host.newIdentity(), options.talk),
      m_port(host.freePort())
{
    if (options.transport == OpenVpnTransport::Udp) {
        host.bindUdp(m_port, [this](const net::Endpoint& from, wire::ConstBytes bytes) {
            if (from == net::Endpoint{m_options.server, m_options.serverPort}) {
                take(bytes);
            } else {
                ++m_report.wrong;
            }
        });
    }
    m_host->after(options.startAfter, [this] { begin(); });
}

PeerReport OpenVpnClient::report() const
{
    PeerReport report = m_report;
    report.up = m_usable;
    return report;
}

void OpenVpnClient::begin()
{
    const std::uint64_t life = ++m_life;
    ++m_report.attempts;
    m_session = m_host->random().next();
    m_keyId = 0;
    m_nextData = 0;
    m_usable = false;
    m_stream.clear();
    if (m_options.transport == OpenVpnTransport::Tcp) {
        m_connection = m_host->tcp().connect(
            {m_options.server, m_options.serverPort},
            {.connected = [this](TcpId) { reset(); },
             .data =
                 [this, life](TcpId, wire::ConstBytes bytes) {
                     if (life != m_life) return;
                     m_stream.insert(m_stream.end(), bytes.begin(), bytes.end());
                     while (const auto packet = cutOpenVpn(m_stream))
                         take(*packet);
                 },
             .ended =
                 [this, life](TcpId, TcpEnd) {
                     if (life == m_life) restart();
                 }});
        return;
    }
    reset();
}

void OpenVpnClient::restart()
{
    ++m_report.failures;
    ++m_life;
    m_usable = false;
    if (m_retry) m_host->cancel(*m_retry);
    m_retry.reset();
    m_host->after(kBeginAgainAfter, [this] { begin(); });
}

void OpenVpnClient::reset()
{
    m_step = Step::Reset;
    m_nextControl = 0;
    m_pending = encode(OpenVpnPacket{.opcode = m_keyId == 0 ? kClientReset : kSoftReset,
                                     .keyId = m_keyId,
                                     .session = m_session,
                                     .packetId = m_nextControl++});
    m_tries = 0;
    repeat();
}

void OpenVpnClient::repeat()
{
    if (m_retry) m_host->cancel(*m_retry);
    m_retry.reset();
    if (++m_tries > kMostTries) {
        restart();
        return;
    }
    send(m_pending);
    if (m_options.transport == OpenVpnTransport::Udp) {
        m_retry = m_host->after(kRepeatAfter, [this] { repeat(); });
    }
}

void OpenVpnClient::send(const Octets& packet)
{
    if (m_options.transport == OpenVpnTransport::Udp) {
        m_host->sendUdp(m_port, {m_options.server, m_options.serverPort}, packet);
    } else {
        m_host->tcp().send(m_connection, framed(m_options.transport, packet));
    }
}

void OpenVpnClient::take(wire::ConstBytes bytes)
{
    const auto packet = decodeOpenVpn(bytes);
    if (!packet) {
        ++m_report.wrong;
        return;
    }
    if (packet->opcode == kData) {
        Octets clear;
        const std::uint64_t key = keyOf(m_session, m_remoteSession) ^ packet->packetId;
        if (packet->peerId == m_peerId && unseal(key, packet->payload, clear)) {
            m_speaker.hear(clear, m_report);
        } else {
            ++m_report.wrong;
        }
        return;
    }
    if (packet->acknowledges && packet->remoteSession != m_session) {
        ++m_report.strays;
        return;
    }
    advance(*packet);
}

void OpenVpnClient::advance(const OpenVpnPacket& packet)
{
    const bool current =
        packet.keyId == m_keyId && m_step != Step::Up && packet.acknowledges == m_nextControl - 1;
    OpenVpnPacket next{.opcode = kControl,
                       .keyId = m_keyId,
                       .session = m_session,
                       .acknowledges = packet.packetId,
                       .remoteSession = packet.session,
                       .packetId = m_nextControl};
    if (!current) {
        next.opcode = kAck;
        send(encode(next));
        return;
    }
    m_remoteSession = packet.session;
    switch (m_step) {
    case Step::Reset:
        next.payload = tls::clientHello("", m_session);
        m_step = Step::Hello;
        break;
    case Step::Hello:
        next.payload = seal(keyOf(m_session, m_remoteSession),
                            Writer{}.put32(m_speaker.self()).fill(60).take());
        m_step = Step::Finished;
        break;
    case Step::Finished: {
        Octets clear;
        if (!unseal(keyOf(m_session, m_remoteSession), packet.payload, clear)) {
            ++m_report.wrong;
            return;
        }
        m_peerId = wire::load32(clear, 0);
        m_step = Step::Up;
        if (m_retry) m_host->cancel(*m_retry);
        m_retry.reset();
        next.opcode = kAck;
        send(encode(next));
        if (m_keyId != 0) {
            ++m_report.rekeys;
        } else if (!m_usable) {
            m_usable = true;
            ++m_report.established;
            talk(m_life);
        }
        const std::uint64_t life = m_life;
        m_host->after(m_options.rekeyEvery, [this, life] {
            if (life != m_life) return;
            // Key ids go round from 1; 0 is for the first (OpenVPN's key_id).
            m_keyId = static_cast<std::uint8_t>(m_keyId % 7 + 1);
            reset();
        });
        return;
    }
    case Step::Up: return;
    }
    ++m_nextControl;
    m_pending = encode(next);
    m_tries = 0;
    repeat();
}

void OpenVpnClient::talk(std::uint64_t life)
{
    if (life != m_life) return;
    const std::uint32_t id = ++m_nextData;
    const std::uint8_t keyInUse =
        m_step == Step::Up ? m_keyId : static_cast<std::uint8_t>(m_keyId - 1);
    send(encode(OpenVpnPacket{
        .opcode = kData,
        .keyId = keyInUse,
        .packetId = id,
        .peerId = m_peerId,
        .payload = seal(keyOf(m_session, m_remoteSession) ^ id, m_speaker.next(m_report))}));
    m_host->after(m_speaker.pause(m_host->random()), [this, life] { talk(life); });
}

}  // namespace engine::lab
