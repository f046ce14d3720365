#include "engine/lab/ipsec.h"

#include <algorithm>

namespace engine::lab {

namespace {

using ike::Exchange;
using ike::NatSide;
using ike::Version;

// Ours, in the range of real clients.
constexpr Duration kRepeatAfter = 2s;
constexpr int kMostTries = 5;
constexpr Duration kBeginAgainAfter = 5s;
/// RFC 3948 §4: the keepalive interval's default.
constexpr Duration kNatKeepalive = 20s;
/// Ours: the old SA takes what is still under way.
constexpr Duration kOldSaLives = 10s;
/// Ours: a gateway forgets a client that has been silent.
constexpr Duration kForgetAfter = 5min;
constexpr std::size_t kAnsweredKept = 6;

Octets encodeSecret(std::uint64_t key, const IkeSecret& secret, std::size_t size)
{
    Writer writer;
    writer.put8(static_cast<std::uint8_t>(secret.what)).put32(secret.from).put32(secret.spi);
    if (writer.size() < size) writer.fill(size - writer.size());
    return seal(key, writer.take());
}

std::optional<IkeSecret> decodeSecret(std::uint64_t key, wire::ConstBytes sealed)
{
    Octets clear;
    if (!unseal(key, sealed, clear) || clear.size() < 9) return std::nullopt;
    return IkeSecret{.what = static_cast<IkeSecret::What>(clear[0]),
                     .from = wire::load32(clear, 1),
                     .spi = wire::load32(clear, 5)};
}

std::uint64_t keyOf(std::uint64_t initiator, std::uint64_t responder)
{
    return sipHash(HashKey{0x696b65, 0x6b6579}, initiator, responder);
}

/// Both ends derive the same key for a pair of SPIs, whatever end they are.
std::uint64_t keyOfPair(std::uint64_t ikeKey, std::uint32_t a, std::uint32_t b)
{
    return sipHash(HashKey{ikeKey, 0x657370}, std::min(a, b), std::max(a, b));
}

bool carries(const std::vector<ike::Payload>& payloads, const ike::Payload& wanted)
{
    return std::find(payloads.begin(), payloads.end(), wanted) != payloads.end();
}

bool isMarked(wire::ConstBytes payload)
{
    return payload.size() > 4 && wire::load32(payload, 0) == 0;
}

}  // namespace

Octets encodeEsp(EspPair& pair, wire::ConstBytes message)
{
    Octets clear = copyOf(message);
    // RFC 4303 §2.4: aligned to four octets.
    while ((clear.size() + kSealOverhead) % 4 != 0)
        clear.push_back(0);
    return Writer{}
        .put32(pair.out)
        .put32(++pair.sequence)
        .put(seal(pair.key ^ pair.out, clear))
        .take();
}

std::optional<Octets> decodeEsp(const EspPair& pair, wire::ConstBytes packet)
{
    Octets clear;
    if (packet.size() < 8 || !unseal(pair.key ^ pair.in, packet.subspan(8), clear)) {
        return std::nullopt;
    }
    return clear;
}

IpsecClient::IpsecClient(Host& host, const Options& options)
    : m_host(&host), m_options(options), m_speaker(host.newIdentity(), options.talk)
{
    for (const net::Port port : {ike::kPort, ike::kNatPort}) {
        host.bindUdp(port, [this, port](const net::Endpoint& from, wire::ConstBytes payload) {
            if (from.address == m_options.gateway) takeUdp(payload, port);
        });
    }
    host.bindProtocol(net::IpProtocol::Esp, [this](net::Ipv4Address from, wire::ConstBytes packet) {
        if (from == m_options.gateway) takeEsp(packet);
    });
    m_host->after(options.startAfter, [this] { begin(); });
}

PeerReport IpsecClient::report() const
{
    PeerReport report = m_report;
    report.up = m_step == Step::Up;
    return report;
}

std::uint32_t IpsecClient::newSpi()
{
    if (m_options.firstSpi) return std::exchange(m_options.firstSpi, std::nullopt).value();
    return static_cast<std::uint32_t>(m_host->random().next()) | 0x100U;
}

ike::Header IpsecClient::header(Exchange exchange, std::uint32_t messageId) const
{
    return {.initiator = m_initiator,
            .responder = m_responder,
            .version = m_options.version,
            .exchange = exchange,
            .flags = m_options.version == Version::V2 ? ike::kInitiatorFlag : std::uint8_t{0},
            .messageId = messageId};
}

std::uint64_t IpsecClient::key() const
{
    return keyOf(m_initiator, m_responder);
}

void IpsecClient::begin()
{
    ++m_life;
    ++m_report.attempts;
    m_step = Step::First;
    m_initiator = m_host->random().next() | 1U;
    m_responder = 0;
    m_floated = false;
    m_nextMessageId = 0;
    m_requests.clear();
    m_pairs.clear();
    const Version version = m_options.version;
    std::vector<ike::Payload> payloads{ike::securityAssociation(version)};
    if (version == Version::V2) {
        const ike::Header first = header(Exchange::SaInit, 0);
        payloads.push_back(ike::keyExchange(version, m_initiator));
        payloads.push_back(ike::nonce(version, m_initiator));
        if (m_options.natTraversal) {
            payloads.push_back(
                ike::natDetection(first, NatSide::Source, {m_host->address(), ike::kPort}));
            payloads.push_back(
                ike::natDetection(first, NatSide::Destination, {m_options.gateway, ike::kPort}));
        }
        request(Exchange::SaInit, ike::encode(first, payloads), m_nextMessageId++);
    } else {
        if (m_options.natTraversal) payloads.push_back(ike::natTraversalVendor());
        request(Exchange::MainMode, ike::encode(header(Exchange::MainMode, 0), payloads), 0);
    }
}

void IpsecClient::restart()
{
    ++m_report.failures;
    ++m_life;
    m_step = Step::First;
    m_requests.clear();
    m_pairs.clear();
    if (m_repeat) m_host->cancel(*m_repeat);
    m_repeat.reset();
    m_host->after(kBeginAgainAfter, [this] { begin(); });
}

void IpsecClient::request(Exchange exchange, Octets message, std::uint32_t messageId)
{
    m_requests.push_back(
        {.exchange = exchange, .messageId = messageId, .message = std::move(message)});
    if (m_requests.size() == 1) repeat();
}

void IpsecClient::nextRequest()
{
    m_requests.pop_front();
    if (m_repeat) m_host->cancel(*m_repeat);
    m_repeat.reset();
    if (!m_requests.empty()) repeat();
}

void IpsecClient::repeat()
{
    m_repeat.reset();
    Request& first = m_requests.front();
    if (++first.tries > kMostTries) {
        restart();
        return;
    }
    transmit(first.message);
    m_repeat = m_host->after(kRepeatAfter * (1 << (first.tries - 1)), [this] { repeat(); });
}

void IpsecClient::transmit(const Octets& message)
{
    if (!m_floated) {
        m_host->sendUdp(ike::kPort, {m_options.gateway, ike::kPort}, message);
        return;
    }
    m_host->sendUdp(ike::kNatPort, {m_options.gateway, ike::kNatPort},
                    Writer{}.put32(0).put(message).take());
}

void IpsecClient::ask(IkeSecret::What what, std::uint32_t spi)
{
    const bool isV2 = m_options.version == Version::V2;
    Exchange exchange = isV2 ? Exchange::Informational : Exchange::InformationalV1;
    if (what == IkeSecret::What::Child)
        exchange = isV2 ? Exchange::CreateChildSa : Exchange::QuickMode;
    const std::uint32_t id =
        isV2 ? m_nextMessageId++ : static_cast<std::uint32_t>(m_host->random().next());
    Octets message = ike::encodeEncrypted(
        header(exchange, id),
        encodeSecret(key(), {.what = what, .from = m_speaker.self(), .spi = spi}, 160));
    request(exchange, std::move(message), id);
}

void IpsecClient::takeUdp(wire::ConstBytes payload, net::Port port)
{
    if (port == ike::kPort) {
        takeIke(payload);
    } else if (isMarked(payload)) {
        takeIke(payload.subspan(4));
    } else if (payload.size() > 1) {
        takeEsp(payload);
    }
}

void IpsecClient::takeIke(wire::ConstBytes message)
{
    const auto head = ike::decode(message);
    if (!head) {
        ++m_report.wrong;
        return;
    }
    // A gateway may still repeat what belongs to our last beginning; another client's never comes.
    if (head->initiator != m_initiator) {
        ++m_report.strays;
        return;
    }
    const bool isRequest =
        head->version == Version::V2
            ? (head->flags & ike::kResponseFlag) == 0
            : m_requests.empty() || m_requests.front().messageId != head->messageId;
    if (isRequest) {
        takeRequest(*head, message);
    } else {
        takeResponse(*head, message);
    }
}

void IpsecClient::takeRequest(const ike::Header& head, wire::ConstBytes message)
{
    if (head.version != Version::V2 || head.exchange != Exchange::Informational) return;
    const auto secret = decodeSecret(key(), ike::secretOf(message));
    if (!secret) {
        ++m_report.wrong;
        return;
    }
    ike::Header reply = head;
    reply.flags = ike::kInitiatorFlag | ike::kResponseFlag;
    transmit(ike::encodeEncrypted(
        reply, encodeSecret(key(), {.what = secret->what, .from = m_speaker.self()}, 40)));
}

void IpsecClient::takeResponse(const ike::Header& head, wire::ConstBytes message)
{
    if (m_requests.empty() || m_requests.front().exchange != head.exchange ||
        m_requests.front().messageId != head.messageId) {
        return;
    }
    if (m_step == Step::First) {
        m_responder = head.responder;
        nextRequest();
        if (head.version == Version::V2) {
            detectNat(head, message);
            m_step = Step::Auth;
            ++m_nextMessageId;
            proveIdentity();
            return;
        }
        m_step = Step::KeyExchange;
        const ike::Header second = header(Exchange::MainMode, 0);
        std::vector<ike::Payload> payloads{ike::keyExchange(Version::V1, m_initiator),
                                           ike::nonce(Version::V1, m_initiator)};
        if (m_options.natTraversal) {
            payloads.push_back(
                ike::natDetection(second, NatSide::Destination, {m_options.gateway, ike::kPort}));
            payloads.push_back(
                ike::natDetection(second, NatSide::Source, {m_host->address(), ike::kPort}));
        }
        request(Exchange::MainMode, ike::encode(second, payloads), 0);
        return;
    }
    if (m_step == Step::KeyExchange) {
        // A second copy of the first reply has no key exchange in it.
        if (ike::payloadsOf(message).empty() || message[16] == 1) return;
        nextRequest();
        detectNat(head, message);
        m_step = Step::Auth;
        proveIdentity();
        return;
    }
    if ((head.version == Version::V1 && (head.flags & ike::kEncryptedFlag) == 0)) return;
    const auto secret = decodeSecret(key(), ike::secretOf(message));
    if (!secret) {
        ++m_report.wrong;
        return;
    }
    nextRequest();
    if (m_step == Step::Auth && head.version == Version::V1) {
        m_step = Step::Child;
        m_proposedSpi = newSpi();
        ask(IkeSecret::What::Child, m_proposedSpi);
    } else if (secret->what == IkeSecret::What::Child) {
        if (head.version == Version::V1) {
            // The third message of quick mode has no answer.
            transmit(ike::encodeEncrypted(
                header(Exchange::QuickMode, head.messageId),
                encodeSecret(
                    key(),
                    {.what = IkeSecret::What::Phase1, .from = m_speaker.self(), .spi = secret->spi},
                    32)));
        }
        childAgreed(*secret);
    }
}

void IpsecClient::detectNat(const ike::Header& head, wire::ConstBytes message)
{
    if (!m_options.natTraversal) return;
    // The gateway hashes the address that it saw us come from.
    const auto payloads = ike::payloadsOf(message);
    const auto seen =
        ike::natDetection(head, NatSide::Destination, {m_host->address(), ike::kPort});
    const bool offered =
        std::any_of(payloads.begin(), payloads.end(),
                    [&](const ike::Payload& payload) { return payload.first == seen.first; });
    m_floated = offered && (m_options.forceEncapsulation || !carries(payloads, seen));
}

void IpsecClient::proveIdentity()
{
    const bool isV2 = m_options.version == Version::V2;
    IkeSecret secret{.what = IkeSecret::What::Phase1, .from = m_speaker.self()};
    if (isV2) {
        m_proposedSpi = newSpi();
        secret = {.what = IkeSecret::What::Child, .from = m_speaker.self(), .spi = m_proposedSpi};
        m_nextMessageId = 2;
    }
    const Exchange exchange = isV2 ? Exchange::Auth : Exchange::MainMode;
    const std::uint32_t id = isV2 ? 1 : 0;
    request(
        exchange,
        ike::encodeEncrypted(header(exchange, id), encodeSecret(key(), secret, m_options.authSize)),
        id);
}

void IpsecClient::childAgreed(const IkeSecret& secret)
{
    const EspPair fresh{
        .in = m_proposedSpi, .out = secret.spi, .key = keyOfPair(key(), m_proposedSpi, secret.spi)};
    const bool isRekey = m_step == Step::Up;
    m_pairs.push_back(fresh);
    if (isRekey) {
        ++m_report.rekeys;
        const std::uint64_t life = m_life;
        m_host->after(kOldSaLives, [this, life] {
            if (life != m_life || m_pairs.size() < 2) return;
            ask(IkeSecret::What::Delete, m_pairs.front().out);
            m_pairs.pop_front();
        });
        return;
    }
    m_step = Step::Up;
    ++m_report.established;
    talk(m_life);
    if (m_floated) every(kNatKeepalive, &IpsecClient::keepAlive);
    every(m_options.aliveEvery, &IpsecClient::checkAlive);
    if (m_options.rekeyEvery.count() > 0) every(m_options.rekeyEvery, &IpsecClient::rekey);
    if (m_options.closeAfter.count() > 0) every(m_options.closeAfter, &IpsecClient::close);
}

void IpsecClient::every(Duration wait, void (IpsecClient::*action)(std::uint64_t))
{
    const std::uint64_t life = m_life;
    m_host->after(wait, [this, life, action] {
        if (life == m_life) (this->*action)(life);
    });
}

void IpsecClient::talk(std::uint64_t life)
{
    if (life != m_life) return;
    sendEsp(m_speaker.next(m_report));
    every(m_speaker.pause(m_host->random()), &IpsecClient::talk);
}

void IpsecClient::keepAlive(std::uint64_t)
{
    const Octets keepalive{0xff};
    m_host->sendUdp(ike::kNatPort, {m_options.gateway, ike::kNatPort}, keepalive,
                    UdpChecksum::Zero);
    every(kNatKeepalive, &IpsecClient::keepAlive);
}

void IpsecClient::checkAlive(std::uint64_t)
{
    if (m_requests.empty()) ask(IkeSecret::What::Alive, 0);
    every(m_options.aliveEvery, &IpsecClient::checkAlive);
}

/// Deletes its SAs and has nothing more to say.
void IpsecClient::close(std::uint64_t)
{
    ask(IkeSecret::What::Delete, m_pairs.back().out);
    ask(IkeSecret::What::Close, 0);
    ++m_life;
}

void IpsecClient::rekey(std::uint64_t)
{
    m_proposedSpi = newSpi();
    ask(IkeSecret::What::Child, m_proposedSpi);
    const auto spread = static_cast<std::uint32_t>(m_options.rekeyEvery / 1ms) / 5;
    every(m_options.rekeyEvery * 9 / 10 + m_host->random().below(spread + 1) * Duration{1ms},
          &IpsecClient::rekey);
}

void IpsecClient::sendEsp(wire::ConstBytes message)
{
    Octets packet = encodeEsp(m_pairs.back(), message);
    if (m_floated) {
        m_host->sendUdp(ike::kNatPort, {m_options.gateway, ike::kNatPort}, packet,
                        UdpChecksum::Zero);
    } else {
        m_host->sendIp(net::IpProtocol::Esp, m_options.gateway, std::move(packet));
    }
}

void IpsecClient::takeEsp(wire::ConstBytes packet)
{
    if (packet.size() < 8) return;
    const std::uint32_t spi = wire::load32(packet, 0);
    const auto found = std::find_if(m_pairs.begin(), m_pairs.end(),
                                    [&](const EspPair& pair) { return pair.in == spi; });
    if (found == m_pairs.end()) {
        // RFC 4301: no such SA, silently discarded.
        ++m_report.strays;
        return;
    }
    const auto message = decodeEsp(*found, packet);
    if (!message) {
        // Authentication fails where two clients chose the same SPI.
        ++m_report.strays;
        return;
    }
    m_heardEsp = m_host->now();
    m_speaker.hear(*message, m_report);
}

IpsecGateway::IpsecGateway(Host& host, const Options& options)
    : m_host(&host), m_options(options), m_self(host.newIdentity())
{
    m_report.up = true;
    for (const net::Port port : {ike::kPort, ike::kNatPort}) {
        host.bindUdp(port, [this, port](const net::Endpoint& from, wire::ConstBytes payload) {
            takeUdp(from, payload, port);
        });
    }
    host.bindProtocol(net::IpProtocol::Esp, [this](net::Ipv4Address from, wire::ConstBytes packet) {
        takeEsp({from, net::Port{}}, packet);
    });
}

void IpsecGateway::takeUdp(const net::Endpoint& from, wire::ConstBytes payload, net::Port port)
{
    if (port == ike::kPort) {
        takeIke(from, payload, port);
    } else if (isMarked(payload)) {
        takeIke(from, payload.subspan(4), port);
    } else if (payload.size() > 1) {
        takeEsp(from, payload);
    }
}

void IpsecGateway::sweep()
{
    std::erase_if(m_clients, [&](const auto& entry) {
        if (m_host->now() - entry.second.lastHeard < kForgetAfter) return false;
        for (const EspPair& pair : entry.second.pairs)
            m_bySpi.erase(pair.in);
        return true;
    });
}

void IpsecGateway::takeIke(const net::Endpoint& from, wire::ConstBytes message, net::Port port)
{
    const auto head = ike::decode(message);
    if (!head || head->initiator == 0) return;
    sweep();
    const bool isFirst = head->responder == 0;
    if (!isFirst && !m_clients.contains(head->initiator)) return;
    Client& client = m_clients[head->initiator];
    if (client.initiator == 0) {
        ++m_report.attempts;
        client.version = head->version;
        client.initiator = head->initiator;
        client.responder = m_host->random().next() | 1U;
    }
    client.lastHeard = m_host->now();
    client.remote = from;
    client.floated = port == ike::kNatPort;
    const auto seen =
        std::find_if(client.answered.begin(), client.answered.end(),
                     [&](const auto& pair) { return std::ranges::equal(pair.first, message); });
    std::optional<Octets> reply;
    if (seen != client.answered.end()) {
        reply = seen->second;
    } else {
        reply = replyTo(client, *head, message, from, port);
        if (reply) {
            client.answered.emplace_back(copyOf(message), *reply);
            if (client.answered.size() > kAnsweredKept) client.answered.pop_front();
        }
    }
    if (!reply) return;
    const net::Port to = m_options.insistsOn500 && !client.floated ? ike::kPort : from.port;
    m_host->sendUdp(port, {from.address, to},
                    client.floated ? Writer{}.put32(0).put(*reply).take() : *reply);
}

Octets IpsecGateway::firstReply(Client& client, ike::Header reply, const ike::Header& request,
                                wire::ConstBytes message, const net::Endpoint& from,
                                net::Port port) const
{
    const Version version = request.version;
    const auto offered = ike::payloadsOf(message);
    std::vector<ike::Payload> payloads;
    const bool isV2 = version == Version::V2;
    const bool hasSa =
        !offered.empty() && offered.front().first == ike::securityAssociation(version).first;
    if (hasSa) payloads.push_back(ike::securityAssociation(version));
    if (isV2 || !hasSa) {
        payloads.push_back(ike::keyExchange(version, client.responder));
        payloads.push_back(ike::nonce(version, client.responder));
    }
    // What the client offers is answered in kind.
    const std::uint8_t wanted = isV2 || !hasSa
                                    ? ike::natDetection(reply, NatSide::Source, from).first
                                    : ike::natTraversalVendor().first;
    const bool traverses = m_options.natTraversal && std::any_of(offered.begin(), offered.end(),
                                                                 [&](const ike::Payload& payload) {
                                                                     return payload.first == wanted;
                                                                 });
    if (traverses && (isV2 || !hasSa)) {
        payloads.push_back(ike::natDetection(reply, NatSide::Destination, from));
        payloads.push_back(ike::natDetection(reply, NatSide::Source, {m_host->address(), port}));
    } else if (traverses) {
        payloads.push_back(ike::natTraversalVendor());
    }
    return ike::encode(reply, payloads);
}

std::optional<IkeSecret> IpsecGateway::secretIn(Client& client, wire::ConstBytes message)
{
    const auto secret =
        decodeSecret(keyOf(client.initiator, client.responder), ike::secretOf(message));
    if (!secret) {
        ++m_report.wrong;
        return std::nullopt;
    }
    if (client.identity == 0) client.identity = secret->from;
    if (client.identity != secret->from) ++m_report.wrong;
    return secret;
}

std::uint32_t IpsecGateway::agree(Client& client, std::uint32_t theirSpi)
{
    std::uint32_t own = 0;
    do {
        own = static_cast<std::uint32_t>(m_host->random().next()) | 0x100U;
    } while (m_bySpi.contains(own));
    const EspPair pair{.in = own,
                       .out = theirSpi,
                       .key = keyOfPair(keyOf(client.initiator, client.responder), own, theirSpi)};
    m_bySpi[own] = client.initiator;
    // Version 1 waits for the client's confirmation before it uses the new pair.
    if (client.version == Version::V1 && !client.pairs.empty()) {
        client.proposed = pair;
        client.pairs.push_front(pair);
    } else {
        client.pairs.push_back(pair);
    }
    return own;
}

std::optional<Octets> IpsecGateway::replyTo(Client& client, const ike::Header& head,
                                            wire::ConstBytes message, const net::Endpoint& from,
                                            net::Port port)
{
    ike::Header reply = head;
    reply.responder = client.responder;
    reply.flags = head.version == Version::V2 ? ike::kResponseFlag : std::uint8_t{0};
    const bool isClear = head.exchange == Exchange::SaInit ||
                         (head.version == Version::V1 && (head.flags & ike::kEncryptedFlag) == 0);
    if (isClear) return firstReply(client, reply, head, message, from, port);
    if (head.version == Version::V2 && (head.flags & ike::kResponseFlag) != 0) return std::nullopt;
    const auto secret = secretIn(client, message);
    if (!secret) return std::nullopt;
    const std::uint64_t key = keyOf(client.initiator, client.responder);
    IkeSecret said{.what = secret->what, .from = m_self};
    switch (secret->what) {
    case IkeSecret::What::Alive: break;
    case IkeSecret::What::Close: break;
    case IkeSecret::What::Child:
        said.spi = agree(client, secret->spi);
        ++(client.pairs.size() == 1 ? m_report.established : m_report.rekeys);
        break;
    case IkeSecret::What::Delete:
        std::erase_if(client.pairs, [&](const EspPair& pair) {
            if (pair.in != secret->spi) return false;
            m_bySpi.erase(pair.in);
            return true;
        });
        break;
    case IkeSecret::What::Phase1:
        if (head.exchange == Exchange::QuickMode) {
            if (client.proposed) {
                std::erase_if(client.pairs,
                              [&](const EspPair& pair) { return pair.in == client.proposed->in; });
                client.pairs.push_back(*client.proposed);
                client.proposed.reset();
            }
            return std::nullopt;
        }
        break;
    }
    return ike::encodeEncrypted(reply, encodeSecret(key, said, 120));
}

void IpsecGateway::takeEsp(const net::Endpoint& from, wire::ConstBytes packet)
{
    if (packet.size() < 8) return;
    const auto spi = m_bySpi.find(wire::load32(packet, 0));
    const auto found = spi == m_bySpi.end() ? m_clients.end() : m_clients.find(spi->second);
    if (found == m_clients.end()) {
        ++m_report.strays;
        return;
    }
    Client& client = found->second;
    const auto pair = std::find_if(client.pairs.begin(), client.pairs.end(),
                                   [&](const EspPair& one) { return one.in == spi->first; });
    const auto message = pair == client.pairs.end() ? std::nullopt : decodeEsp(*pair, packet);
    if (!message || from.address != client.remote.address) {
        ++m_report.wrong;
        return;
    }
    // RFC 3947 §4: the latest authenticated packet says where the client is.
    if (client.floated) client.remote = from;
    client.lastHeard = m_host->now();
    for (const Octets& reply : answer(*message, m_self, client.identity, m_report)) {
        sendEsp(client, reply);
    }
}

void IpsecGateway::sendEsp(Client& client, wire::ConstBytes message)
{
    if (!m_options.sendsEsp) return;
    Octets packet = encodeEsp(client.pairs.back(), message);
    if (client.floated) {
        m_host->sendUdp(ike::kNatPort, client.remote, packet, UdpChecksum::Zero);
    } else {
        m_host->sendIp(net::IpProtocol::Esp, client.remote.address, std::move(packet));
    }
}

}  // namespace engine::lab
