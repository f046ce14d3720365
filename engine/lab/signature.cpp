#include "engine/lab/signature.h"

#include "engine/base/siphash.h"

#include <algorithm>
#include <array>

namespace engine::lab {

namespace {

using net::IpProtocol;
using net::VpnProtocol;

constexpr Duration kGreetAgainAfter = 1s;
/// The server's number where a protocol has one; the clients know it beforehand.
constexpr std::uint32_t kServerNumber = 0x53455256;

Writer& putNoise(Writer& writer, std::size_t count, std::uint64_t seed)
{
    for (std::size_t i = 0; i < count; ++i)
        writer.put8(sipHash(HashKey{seed, 0x7369676e}, i, count));
    return writer;
}

// Tailscale: its own discovery before WireGuard, on one port.

Octets discovery(Identity client, std::size_t box)
{
    Writer writer;
    writer.put32(0x5453f09f).put16(0x92ac).put32(client);
    return putNoise(writer, 28 + 24 + 16 + box, client).take();
}
Octets tailscaleAsk(Identity client)
{
    return discovery(client, 46);
}
Octets tailscaleAnswer(Identity client)
{
    return discovery(client, 24);
}
Octets wireGuardHeader(Identity client, bool fromClient, std::uint32_t serial, std::size_t)
{
    return Writer{}
        .put32(0x04000000)
        .putLe32(fromClient ? kServerNumber : client)
        .putLe64(serial)
        .take();
}

// WARP: WireGuard whose three reserved octets name the account.

constexpr std::uint32_t kAccount = 0x7a1b2c;

Octets warpAsk(Identity client)
{
    Writer writer;
    writer.put8(1).put24(kAccount).put32(client);
    return putNoise(writer, 148 - 8, client).take();
}
Octets warpAnswer(Identity client)
{
    Writer writer;
    writer.put8(2).put24(kAccount).put32(kServerNumber).put32(client);
    return putNoise(writer, 92 - 12, client).take();
}
Octets warpHeader(Identity client, bool fromClient, std::uint32_t serial, std::size_t)
{
    return Writer{}
        .put8(4)
        .put24(kAccount)
        .put32(fromClient ? kServerNumber : client)
        .putLe64(serial)
        .take();
}

// Teredo, RFC 4380 §5.2.1: the qualification with the server, then IPv6 through it.

void putIpv6(Writer& writer, std::uint8_t next, std::size_t size)
{
    writer.put32(0x60000000).put16(size).put8(next).put8(255);
}
/// Link-local, with the identity for the cone's number.
void putLocal(Writer& writer, Identity client)
{
    writer.put64(0xfe80000000000000).put32(0x8000f227).put32(client);
}
Octets teredoAsk(Identity client)
{
    Writer writer;
    writer.put16(1).put16(0).put32(0).put32(client).put8(0);
    putIpv6(writer, 58, 8);
    putLocal(writer, client);
    writer.put64(0xff02000000000000).put64(2);
    return writer.put8(133).put8(0).put16(0x7d37).put32(0).take();
}
Octets teredoAnswer(Identity client)
{
    Writer writer;
    writer.put16(1).put16(0).put32(0).put32(client).put8(0);
    writer.put16(0).put16(0x9999).put32(0x34ff8e88);
    putIpv6(writer, 58, 56);
    putLocal(writer, kServerNumber);
    putLocal(writer, client);
    return putNoise(writer.put8(134).put8(0).put16(0x1234), 52, client).take();
}
Octets teredoHeader(Identity client, bool fromClient, std::uint32_t, std::size_t size)
{
    Writer writer;
    putIpv6(writer, 59, size);
    for (const std::uint32_t end :
         {fromClient ? client : kServerNumber, fromClient ? kServerNumber : client}) {
        writer.put32(0x20010000).put32(0x0a000001).put32(0x8000f227).put32(end);
    }
    return writer.take();
}

// ZeroTier: HELLO in the clear, the rest ciphered, addresses of 40 bits.

Writer& putAddress(Writer& writer, std::uint32_t number)
{
    return writer.put8(0x1a).put32(number);
}
Octets zeroTierAsk(Identity client)
{
    Writer writer;
    putNoise(writer, 8, client);
    putAddress(putAddress(writer, kServerNumber), client).put8(0);
    putNoise(writer, 8, client + 1ULL);
    writer.put8(1).put8(12).put8(1).put8(14).put16(0).put64(1760000000000);
    return putNoise(putAddress(writer, client).put8(0), 64 + 20, client).take();
}
Octets zeroTierHeader(Identity client, bool fromClient, std::uint32_t serial, std::size_t)
{
    Writer writer;
    putNoise(writer, 8, serial);
    putAddress(writer, fromClient ? kServerNumber : client);
    putAddress(writer, fromClient ? client : kServerNumber).put8(0x08);
    return putNoise(writer, 9, serial).take();
}
Octets zeroTierAnswer(Identity client)
{
    Writer writer;
    writer.put(zeroTierHeader(client, false, 0, 0));
    return putNoise(writer, 120, client).take();
}

// Nebula: a handshake of two messages, then data under the receiver's index.

Octets nebulaAsk(Identity client)
{
    Writer writer;
    writer.put8(0x10).put8(0).put16(0).put32(0).put64(1).put32(client);
    return putNoise(writer, 250, client).take();
}
Octets nebulaAnswer(Identity client)
{
    Writer writer;
    writer.put8(0x10).put8(0).put16(0).put32(client).put64(2).put32(kServerNumber);
    return putNoise(writer, 250, client).take();
}
Octets nebulaHeader(Identity client, bool fromClient, std::uint32_t serial, std::size_t)
{
    return Writer{}
        .put8(0x11)
        .put8(0)
        .put16(0)
        .put32(fromClient ? kServerNumber : client)
        .put64(std::uint64_t{serial} + 2)
        .take();
}

// GlobalProtect: ESP in UDP on a port of its own. What agreed on the keys was a web page.

Octets espHeader(Identity client, bool fromClient, std::uint32_t serial, std::size_t)
{
    return Writer{}.put32((fromClient ? kServerNumber : client) + 0x1000ULL).put32(serial).take();
}

// FortiClient: greetings of named values, each behind a length that counts itself.

Octets fortiGreeting(std::string_view words, Identity client)
{
    return Writer{}.put16(words.size() + 6).putText(words).put32(client).take();
}
constexpr std::string_view kFortiAsk{"GFtype\0clthello\0SVPNCOOKIE\0", 27};
constexpr std::string_view kFortiAnswer{"GFtype\0svrhello\0handshake\0ok\0", 29};
Octets fortiAsk(Identity client)
{
    return fortiGreeting(kFortiAsk, client);
}
Octets fortiAnswer(Identity client)
{
    return fortiGreeting(kFortiAnswer, client);
}
Octets fortiHeader(Identity, bool, std::uint32_t, std::size_t size)
{
    return Writer{}.put16(size + 2).take();
}

// tinc: names in TCP, data in UDP between the same two.

Octets tincAsk(Identity)
{
    return octetsOf("0 client 17.7\n");
}
Octets tincAnswer(Identity)
{
    return octetsOf("0 server 17.7\n");
}
Octets tincHeader(Identity client, bool fromClient, std::uint32_t serial, std::size_t)
{
    return Writer{}.put32(fromClient ? kServerNumber : client).put32(serial).take();
}

constexpr auto kNowhere = Signature::kNowhere;
// clang-format off
constexpr std::array kSignatures{
    Signature{VpnProtocol::Tailscale,      IpProtocol::Udp, net::Port{41641}, &tailscaleAsk, &tailscaleAnswer, 6,         &wireGuardHeader, 16},
    Signature{VpnProtocol::CloudflareWarp, IpProtocol::Udp, net::Port{2408},  &warpAsk,      &warpAnswer,      4,         &warpHeader,      16},
    Signature{VpnProtocol::Teredo,         IpProtocol::Udp, net::Port{3544},  &teredoAsk,    &teredoAnswer,    8,         &teredoHeader,    1},
    Signature{VpnProtocol::GlobalProtect,  IpProtocol::Udp, net::Port{4501},  nullptr,       nullptr,          kNowhere,  &espHeader,       4},
    Signature{VpnProtocol::ZeroTier,       IpProtocol::Udp, net::Port{9993},  &zeroTierAsk,  &zeroTierAnswer,  14,        &zeroTierHeader,  1},
    Signature{VpnProtocol::Nebula,         IpProtocol::Udp, net::Port{4242},  &nebulaAsk,    &nebulaAnswer,    16,        &nebulaHeader,    1},
    Signature{VpnProtocol::Tinc,           IpProtocol::Tcp, net::Port{655},   &tincAsk,      &tincAnswer,      kNowhere,  &tincHeader,      1},
    Signature{VpnProtocol::FortiClient,    IpProtocol::Udp, net::Port{10443}, &fortiAsk,     &fortiAnswer,     2 + 27,    &fortiHeader,     1},
};
// clang-format on

Octets dataOf(const Signature& signature, Identity client, bool fromClient, std::uint32_t serial,
              wire::ConstBytes message)
{
    Octets bytes = signature.header(client, fromClient, serial, message.size());
    bytes.insert(bytes.end(), message.begin(), message.end());
    while (bytes.size() % signature.multiple != 0)
        bytes.push_back(0);
    return bytes;
}

/// The message in data; empty if it is too short to have one.
wire::ConstBytes messageIn(const Signature& signature, wire::ConstBytes bytes)
{
    const std::size_t header = signature.header(0, true, 0, 0).size();
    return bytes.subspan(std::min(header, bytes.size()));
}

/// The identity of the client that says this, if it is a greeting.
std::optional<Identity> asker(const Signature& signature, wire::ConstBytes bytes)
{
    if (signature.ask == nullptr) return std::nullopt;
    Identity client = 0;
    if (signature.clientAt != kNowhere) {
        if (bytes.size() < signature.clientAt + 4) return std::nullopt;
        client = wire::load32(bytes, signature.clientAt);
    }
    const bool greets = std::ranges::equal(bytes, signature.ask(client));
    return greets ? std::optional{client} : std::nullopt;
}

}  // namespace

std::span<const Signature> signatures()
{
    return kSignatures;
}

const Signature* signatureOf(net::VpnProtocol protocol)
{
    const auto found = std::ranges::find(kSignatures, protocol, &Signature::protocol);
    return found == kSignatures.end() ? nullptr : &*found;
}

SignatureServer::SignatureServer(Host& host, const Signature& signature)
    : m_host(&host), m_signature(&signature), m_self(host.newIdentity())
{
    m_report.up = true;
    host.bindUdp(signature.port, [this](const net::Endpoint& from, wire::ConstBytes bytes) {
        takeDatagram(from, bytes);
    });
    if (signature.greetsOver != net::IpProtocol::Tcp) return;
    host.tcp().listen(signature.port, {.data =
                                           [this](TcpId id, wire::ConstBytes bytes) {
                                               Octets& stream = m_streams[id];
                                               stream.insert(stream.end(), bytes.begin(),
                                                             bytes.end());
                                               if (!asker(*m_signature, stream)) return;
                                               ++m_report.established;
                                               m_host->tcp().send(id, m_signature->answer(0));
                                           },
                                       .ended =
                                           [this](TcpId id, TcpEnd) {
                                               m_streams.erase(id);
                                           }});
}

void SignatureServer::takeDatagram(const net::Endpoint& from, wire::ConstBytes bytes)
{
    if (const auto client = asker(*m_signature, bytes)) {
        m_clients[from] = *client;
        ++m_report.established;
        m_host->sendUdp(m_signature->port, from, m_signature->answer(*client));
        return;
    }
    const wire::ConstBytes inner = messageIn(*m_signature, bytes);
    Identity& client = m_clients[from];
    Message message;
    // Where the greeting did not name the client, its first message does.
    if (client == 0 && decode(inner, message) == Heard::Fine) client = message.from;
    for (const Octets& reply : answer(inner, m_self, client, m_report)) {
        m_host->sendUdp(m_signature->port, from,
                        dataOf(*m_signature, client, false, ++m_serial, reply));
    }
}

SignatureClient::SignatureClient(Host& host, const Options& options)
    : m_host(&host), m_options(options), m_speaker(host.newIdentity(), options.talk)
{
    host.bindUdp(
        m_options.signature->port,
        [this](const net::Endpoint& from, wire::ConstBytes bytes) { takeDatagram(from, bytes); });
    m_host->after(options.startAfter, [this] { greet(); });
}

PeerReport SignatureClient::report() const
{
    PeerReport report = m_report;
    // Without a greeting the first reply is what shows that somebody answers.
    report.up = m_answered && (m_options.signature->ask != nullptr || m_report.received > 0);
    return report;
}

void SignatureClient::greet()
{
    if (m_answered) return;
    const Signature& signature = *m_options.signature;
    ++m_report.attempts;
    if (signature.ask == nullptr) {
        m_answered = true;
        talk();
        return;
    }
    const net::Endpoint server{m_options.server, signature.port};
    if (signature.greetsOver == net::IpProtocol::Tcp) {
        m_stream.clear();
        m_host->tcp().connect(
            server, {.connected =
                         [this](TcpId id) {
                             m_host->tcp().send(id, m_options.signature->ask(m_speaker.self()));
                         },
                     .data =
                         [this](TcpId, wire::ConstBytes bytes) {
                             m_stream.insert(m_stream.end(), bytes.begin(), bytes.end());
                             takeAnswer(m_stream);
                         },
                     .ended =
                         [this](TcpId, TcpEnd) {
                             if (m_answered) return;
                             ++m_report.failures;
                             m_host->after(kGreetAgainAfter, [this] { greet(); });
                         }});
        return;
    }
    m_host->sendUdp(signature.port, server, signature.ask(m_speaker.self()));
    m_host->after(kGreetAgainAfter, [this] { greet(); });
}

void SignatureClient::takeAnswer(wire::ConstBytes bytes)
{
    if (m_answered || !std::ranges::equal(bytes, m_options.signature->answer(m_speaker.self()))) {
        return;
    }
    m_answered = true;
    ++m_report.established;
    talk();
}

void SignatureClient::takeDatagram(const net::Endpoint& from, wire::ConstBytes bytes)
{
    const Signature& signature = *m_options.signature;
    if (from != net::Endpoint{m_options.server, signature.port}) {
        ++m_report.wrong;
    } else if (signature.ask != nullptr &&
               std::ranges::equal(bytes, signature.answer(m_speaker.self()))) {
        takeAnswer(bytes);
    } else {
        m_speaker.hear(messageIn(signature, bytes), m_report);
    }
}

void SignatureClient::talk()
{
    const Signature& signature = *m_options.signature;
    const Octets message = m_speaker.next(m_report);
    m_host->sendUdp(signature.port, {m_options.server, signature.port},
                    dataOf(signature, m_speaker.self(), true, ++m_serial, message));
    m_host->after(m_speaker.pause(m_host->random()), [this] { talk(); });
}

}  // namespace engine::lab
