#include "engine/lab/wireguard.h"

#include <algorithm>

namespace engine::lab {

namespace {

constexpr std::size_t kInitiation = 148;
constexpr std::size_t kResponse = 92;
constexpr std::size_t kDataHeader = 16;
constexpr std::size_t kTag = 16;
// Whitepaper §6.1.
constexpr Duration kRekeyAfter = 120s;
constexpr Duration kRekeyTimeout = 5s;
constexpr Duration kRejectAfter = 180s;
/// A stand-in for the server's static key, which a client knows beforehand.
constexpr std::uint64_t kStaticKey = 0x77697265677561;
constexpr std::size_t kPairsKept = 2;

std::uint64_t keyOf(std::uint32_t initiator, std::uint32_t responder)
{
    return sipHash(HashKey{kStaticKey, 1}, initiator, responder);
}

void fillNoise(Writer& writer, std::size_t until, std::uint64_t seed)
{
    while (writer.size() < until)
        writer.put8(sipHash(HashKey{seed, 2}, writer.size(), 0));
}

}  // namespace

Octets encodeWireGuard(WireGuardPair& pair, wire::ConstBytes message)
{
    Octets clear = copyOf(message);
    while (clear.size() % 16 != 0)
        clear.push_back(0);
    Writer writer;
    writer.put32(0x04000000).putLe32(pair.peer).putLe64(pair.counter);
    writer.put(seal(pair.key ^ pair.counter, clear));
    ++pair.counter;
    return writer.fill(kTag - kSealOverhead, 0x5a).take();
}

namespace {

/// The message inside a data packet; nothing if the key does not fit.
std::optional<Octets> decodeWireGuard(const WireGuardPair& pair, wire::ConstBytes packet)
{
    Octets clear;
    const std::uint64_t counter = wire::load64le(packet, 8);
    const wire::ConstBytes sealed =
        packet.subspan(kDataHeader, packet.size() - kDataHeader - (kTag - kSealOverhead));
    if (!unseal(pair.key ^ counter, sealed, clear)) return std::nullopt;
    return clear;
}

}  // namespace

WireGuardServer::WireGuardServer(Host& host, net::Port port)
    : m_host(&host), m_port(port), m_self(host.newIdentity())
{
    m_report.up = true;
    host.bindUdp(
        port, [this](const net::Endpoint& from, wire::ConstBytes packet) { take(from, packet); });
}

void WireGuardServer::take(const net::Endpoint& from, wire::ConstBytes packet)
{
    if (packet.size() == kInitiation && wire::load32(packet, 0) == 0x01000000) {
        Octets clear;
        if (!unseal(kStaticKey, packet.subspan(40, 12), clear)) return;
        const Identity client = wire::load32(clear, 0);
        Session session;
        session.client = client;
        session.pair.own = static_cast<std::uint32_t>(m_host->random().next());
        session.pair.peer = wire::load32le(packet, 4);
        session.pair.key = keyOf(session.pair.peer, session.pair.own);
        Writer writer;
        writer.put32(0x02000000).putLe32(session.pair.own).putLe32(session.pair.peer);
        fillNoise(writer, kResponse - 16, session.pair.key);
        m_host->sendUdp(m_port, from, writer.fill(16).take());
        ++m_report.attempts;
        std::deque<std::uint32_t>& indices = m_indices[client];
        ++(indices.empty() ? m_report.established : m_report.rekeys);
        indices.push_back(session.pair.own);
        if (indices.size() > kPairsKept + 2) {
            m_sessions.erase(indices.front());
            indices.pop_front();
        }
        m_sessions.emplace(session.pair.own, session);
        return;
    }
    if (packet.size() < kDataHeader + kTag || wire::load32(packet, 0) != 0x04000000) {
        ++m_report.wrong;
        return;
    }
    const auto found = m_sessions.find(wire::load32le(packet, 4));
    if (found == m_sessions.end()) {
        ++m_report.strays;
        return;
    }
    Session& session = found->second;
    const auto message = decodeWireGuard(session.pair, packet);
    if (!message) {
        ++m_report.wrong;
        return;
    }
    if (message->empty()) return;
    for (const Octets& reply : answer(*message, m_self, session.client, m_report)) {
        m_host->sendUdp(m_port, from, encodeWireGuard(session.pair, reply));
    }
}

WireGuardClient::WireGuardClient(Host& host, const Options& options)
    : m_host(&host),
      m_options(options),
      m_speaker(host.newIdentity(), options.talk),
      m_port(options.port ? *options.port : host.freePort())
{
    host.bindUdp(
        m_port, [this](const net::Endpoint& from, wire::ConstBytes packet) { take(from, packet); });
    m_host->after(options.startAfter, [this] { handshake(); });
}

PeerReport WireGuardClient::report() const
{
    PeerReport report = m_report;
    report.up = !m_pairs.empty() && m_host->now() - m_since < kRejectAfter;
    return report;
}

void WireGuardClient::handshake()
{
    m_retry.reset();
    ++m_report.attempts;
    m_proposed = static_cast<std::uint32_t>(m_host->random().next());
    Writer writer;
    writer.put32(0x01000000).putLe32(m_proposed);
    fillNoise(writer, 40, m_proposed);
    writer.put(seal(kStaticKey, Writer{}.put32(m_speaker.self()).take()));
    fillNoise(writer, kInitiation - 16, m_proposed + 1);
    m_host->sendUdp(m_port, m_options.server, writer.fill(16).take());
    const Duration jitter = m_host->random().below(333) * Duration{1ms};
    m_retry = m_host->after(kRekeyTimeout + jitter, [this] {
        ++m_report.failures;
        handshake();
    });
}

void WireGuardClient::take(const net::Endpoint& from, wire::ConstBytes packet)
{
    if (from != m_options.server || packet.size() < 32) {
        ++m_report.wrong;
        return;
    }
    if (packet.size() == kResponse && wire::load32(packet, 0) == 0x02000000) {
        if (wire::load32le(packet, 8) != m_proposed) return;
        if (m_retry) m_host->cancel(*m_retry);
        m_retry.reset();
        const std::uint32_t peer = wire::load32le(packet, 4);
        if (!m_pairs.empty()) ++m_report.rekeys;
        m_pairs.push_back({.own = m_proposed, .peer = peer, .key = keyOf(m_proposed, peer)});
        if (m_pairs.size() > kPairsKept) {
            m_past.push_back(m_pairs.front().own);
            m_pairs.pop_front();
        }
        if (m_past.size() > 4) m_past.pop_front();
        m_since = m_host->now();
        m_host->after(kRekeyAfter, [this] { handshake(); });
        if (!m_talking) {
            m_talking = true;
            ++m_report.established;
            talk();
            keepAlive();
        }
        return;
    }
    if (wire::load32(packet, 0) != 0x04000000) {
        ++m_report.wrong;
        return;
    }
    const std::uint32_t index = wire::load32le(packet, 4);
    const auto found = std::find_if(m_pairs.begin(), m_pairs.end(),
                                    [&](const WireGuardPair& pair) { return pair.own == index; });
    if (found == m_pairs.end()) {
        const bool known = std::find(m_past.begin(), m_past.end(), index) != m_past.end();
        ++(known ? m_report.strays : m_report.wrong);
        return;
    }
    const auto message = decodeWireGuard(*found, packet);
    if (!message) {
        ++m_report.wrong;
    } else if (!message->empty()) {
        m_speaker.hear(*message, m_report);
    }
}

void WireGuardClient::send(wire::ConstBytes message)
{
    m_host->sendUdp(m_port, m_options.server, encodeWireGuard(m_pairs.back(), message));
}

void WireGuardClient::talk()
{
    send(m_speaker.next(m_report));
    m_host->after(m_speaker.pause(m_host->random()), [this] { talk(); });
}

void WireGuardClient::keepAlive()
{
    if (m_options.keepaliveEvery.count() == 0) return;
    m_host->after(m_options.keepaliveEvery, [this] {
        send({});
        keepAlive();
    });
}

}  // namespace engine::lab
