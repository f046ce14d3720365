#include "tests/engine/passthrough/traffic.h"

namespace traffic {

using engine::Random;
using engine::net::IpProtocol;

namespace {

std::uint32_t anyIndex(Random& random)
{
    return static_cast<std::uint32_t>(random.next()) | 1U;
}
constexpr std::uint32_t kToday = 1760000000;

}  // namespace

// WireGuard -------------------------------------------------------------------------------------

namespace {
Maker wireGuardHead(std::uint8_t type, WireGuardStyle style)
{
    Maker maker;
    maker.u8(type).u24(style.reserved);
    return maker;
}
}  // namespace

Bytes wireGuardInitiation(Random& random, std::uint32_t sender, WireGuardStyle style)
{
    return wireGuardHead(1, style).u32le(sender).noise(random, style.initiation - 8).done();
}
Bytes wireGuardResponse(Random& random, std::uint32_t sender, std::uint32_t receiver,
                        WireGuardStyle style)
{
    return wireGuardHead(2, style)
        .u32le(sender)
        .u32le(receiver)
        .noise(random, style.response - 12)
        .done();
}
Bytes wireGuardData(Random& random, std::uint32_t receiver, std::uint64_t counter,
                    std::size_t blocks, WireGuardStyle style)
{
    return wireGuardHead(4, style)
        .u32le(receiver)
        .u64le(counter)
        .noise(random, 16 + 16 * blocks)
        .done();
}

Conversation wireGuard(Random& random, std::uint16_t port, WireGuardStyle style)
{
    Conversation talk{IpProtocol::Udp, port, {}};
    const std::uint32_t client = anyIndex(random);
    const std::uint32_t server = anyIndex(random);
    talk.out(wireGuardInitiation(random, client, style));
    talk.in(wireGuardResponse(random, server, client, style));
    for (std::uint64_t i = 0; i < 6; ++i) {
        talk.out(wireGuardData(random, server, i, i % 4, style));
        talk.in(wireGuardData(random, client, i, i % 5, style));
    }
    return talk;
}

Conversation wireGuardMidStream(Random& random, std::uint16_t port)
{
    Conversation talk{IpProtocol::Udp, port, {}};
    const std::uint32_t client = anyIndex(random);
    const std::uint32_t server = anyIndex(random);
    for (std::uint64_t i = 0; i < 6; ++i) {
        talk.out(wireGuardData(random, server, 5000 + 2 * i));
        talk.in(wireGuardData(random, client, 70000 + i));
    }
    return talk;
}

Conversation warpDialect(Random& random, std::uint16_t port)
{
    Conversation talk{IpProtocol::Udp, port, {}};
    const Bytes client{0x90, 0x83, 0x01};
    const Bytes server{0x84, 0xee, 0x00};
    const Bytes account{0x02, 0x78, 0x00, 0x68};
    talk.out(Maker().u8(0xc1).zeros(4).bytes(client).noise(random, 186).done());
    talk.in(Maker()
                .u8(0xc2)
                .bytes(account)
                .bytes(server)
                .u8(1)
                .bytes({0x90, 0x83, 0x00})
                .noise(random, 766)
                .done());
    for (std::uint64_t i = 0; i < 5; ++i) {
        talk.out(
            Maker().u8(0xc4).bytes(account).bytes(server).u64le(i + 1).noise(random, 68).done());
        talk.in(Maker().u8(0xc4).bytes(account).bytes(client).u64le(i).noise(random, 88).done());
    }
    return talk;
}

Conversation tailscale(Random& random, std::uint16_t port)
{
    Conversation talk{IpProtocol::Udp, port, {}};
    const auto disco = [&](std::size_t box) {
        return Maker()
            .bytes({0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac})
            .noise(random, 32 + 24 + 16 + box)
            .done();
    };
    talk.out(disco(46));
    talk.out(disco(46));
    talk.in(disco(24));
    const Conversation inner = wireGuard(random, port);
    talk.messages.insert(talk.messages.end(), inner.messages.begin(), inner.messages.end());
    return talk;
}

// OpenVPN ---------------------------------------------------------------------------------------

Conversation openVpn(Random& random, std::uint16_t port, OpenVpnMode mode, IpProtocol protocol)
{
    Conversation talk{protocol, port, {}};
    const std::uint64_t client = random.next() | 1U;
    const std::uint64_t server = random.next() | 1U;
    std::uint32_t clientId = 0;
    std::uint32_t serverId = 0;
    // One control packet: what stands behind the session ID is wrapped as the mode says.
    const auto control = [&](std::uint8_t opcode, bool fromClient, const Bytes& inner) {
        std::uint32_t& id = fromClient ? clientId : serverId;
        Maker maker;
        maker.u8(static_cast<std::uint32_t>(opcode << 3)).u64(fromClient ? client : server);
        switch (mode) {
        case OpenVpnMode::Plain: maker.bytes(inner); break;
        case OpenVpnMode::TlsAuth:
            maker.noise(random, 20).u32(++id).u32(kToday).bytes(inner);
            break;
        case OpenVpnMode::TlsAuth512:
            maker.noise(random, 64).u32(++id).u32(kToday).bytes(inner);
            break;
        case OpenVpnMode::TlsCrypt:
            maker.u32(++id).u32(kToday + (fromClient ? 0 : 3)).noise(random, 32 + inner.size());
            break;
        case OpenVpnMode::TlsCryptV2:
            maker.u32(fromClient ? 0x0f000001 + id : 1 + id)
                .u32(kToday)
                .noise(random, 32 + inner.size());
            ++id;
            if (opcode == 10) maker.noise(random, 318).u16(320);
            break;
        }
        Bytes packet = maker.done();
        if (protocol == IpProtocol::Tcp)
            packet = Maker().u16(static_cast<std::uint32_t>(packet.size())).bytes(packet).done();
        return packet;
    };
    const auto data = [&](std::uint32_t number, std::size_t size) {
        Bytes packet = Maker().u8(0x48).u24(1).u32(number).noise(random, size).done();
        if (protocol == IpProtocol::Tcp)
            packet = Maker().u16(static_cast<std::uint32_t>(packet.size())).bytes(packet).done();
        return packet;
    };
    const std::uint8_t reset = mode == OpenVpnMode::TlsCryptV2 ? 10 : 7;
    talk.out(control(reset, true, Maker().u8(0).u32(0).done()));
    talk.in(control(8, false, Maker().u8(1).u32(0).u64(client).u32(0).done()));
    talk.out(control(5, true, Maker().u8(1).u32(0).u64(server).done()));
    talk.out(control(4, true, Maker().u8(0).u32(1).noise(random, 280).done()));
    for (std::uint32_t i = 0; i < 3; ++i) {
        talk.in(control(4, false,
                        Maker().u8(1).u32(i).u64(client).u32(i + 1).noise(random, 1100).done()));
        talk.out(control(5, true, Maker().u8(1).u32(i + 1).u64(server).done()));
    }
    for (std::uint32_t i = 1; i < 6; ++i) {
        talk.out(data(i, 100));
        talk.in(data(i, 1200));
    }
    return talk;
}

// TLS -------------------------------------------------------------------------------------------

Bytes clientHelloBody(Random& random, const HelloStyle& style, bool isDtls)
{
    Maker body;
    body.u16(style.version).noise(random, 32);
    body.u8(static_cast<std::uint32_t>(style.sessionId)).noise(random, style.sessionId);
    if (isDtls) body.u8(0);
    body.u16(6).u16(0xc02f).u16(0xc030).u16(0x009c);
    body.u8(1).u8(0);
    Maker extensions;
    const auto add = [&](std::uint32_t type, const Bytes& content) {
        extensions.u16(type).u16(static_cast<std::uint32_t>(content.size())).bytes(content);
    };
    add(10, Maker().u16(4).u16(29).u16(23).done());
    if (!style.serverName.empty()) {
        const auto size = static_cast<std::uint32_t>(style.serverName.size());
        add(0, Maker().u16(size + 3).u8(0).u16(size).text(style.serverName).done());
    }
    if (!style.alpn.empty()) {
        const auto size = static_cast<std::uint32_t>(style.alpn.size());
        add(16, Maker().u16(size + 1).u8(size).text(style.alpn).done());
    }
    if (style.useSrtp) add(14, Maker().u16(2).u16(1).u8(0).done());
    if (style.ciscoAppId) add(48018, Maker().u8(32).noise(random, 32).done());
    if (style.padding > 0) add(51, Maker().noise(random, style.padding).done());
    add(23, {});
    body.u16(static_cast<std::uint32_t>(extensions.size())).bytes(extensions.done());
    return body.done();
}

Bytes tlsClientHello(Random& random, const HelloStyle& style)
{
    const Bytes body = clientHelloBody(random, style, false);
    const auto size = static_cast<std::uint32_t>(body.size());
    return Maker().u8(22).u16(0x0301).u16(size + 4).u8(1).u24(size).bytes(body).done();
}

Bytes dtlsClientHello(Random& random, const HelloStyle& style, std::uint16_t recordVersion)
{
    const Bytes body = clientHelloBody(random, style, true);
    const auto size = static_cast<std::uint32_t>(body.size());
    return Maker()
        .u8(22)
        .u16(recordVersion)
        .u64(0)
        .u16(size + 12)
        .u8(1)
        .u24(size)
        .u16(0)
        .u24(0)
        .u24(size)
        .bytes(body)
        .done();
}

Bytes tlsRecord(Random& random, std::uint8_t type, std::size_t length)
{
    return Maker()
        .u8(type)
        .u16(0x0303)
        .u16(static_cast<std::uint32_t>(length))
        .noise(random, length)
        .done();
}

Bytes tlsServerFlight(Random& random, std::string_view text)
{
    Maker flight;
    flight.bytes(tlsRecord(random, 22, 74));
    const auto size = static_cast<std::uint32_t>(1800 + text.size());
    flight.u8(22).u16(0x0303).u16(size).noise(random, 900).text(text).noise(random, 900);
    flight.bytes(tlsRecord(random, 22, 4));
    return flight.done();
}

Conversation tlsSession(Random& random, const HelloStyle& style, std::uint16_t port,
                        std::string_view certificate)
{
    Conversation talk{IpProtocol::Tcp, port, {}};
    talk.out(tlsClientHello(random, style));
    const Bytes flight = tlsServerFlight(random, certificate);
    talk.in({flight.begin(), flight.begin() + 1400});
    talk.in({flight.begin() + 1400, flight.end()});
    talk.out(Maker()
                 .bytes(tlsRecord(random, 22, 70))
                 .bytes(tlsRecord(random, 20, 1))
                 .bytes(tlsRecord(random, 22, 40))
                 .done());
    talk.in(Maker().bytes(tlsRecord(random, 20, 1)).bytes(tlsRecord(random, 22, 40)).done());
    for (int i = 0; i < 4; ++i) {
        talk.out(tlsRecord(random, 23, 300 + random.below(500)));
        talk.in(tlsRecord(random, 23, 1300));
        talk.in(tlsRecord(random, 23, 1300));
    }
    return talk;
}

Conversation sstp(Random& random, std::uint16_t port)
{
    Conversation talk = tlsSession(random, {.serverName = "vpn.example.com"}, port);
    talk.messages.resize(5);
    talk.out(tlsRecord(random, 23, 210 + 24));
    talk.in(tlsRecord(random, 23, 140 + 24));
    talk.out(tlsRecord(random, 23, 14 + 24));
    talk.in(tlsRecord(random, 23, 48 + 24));
    for (int i = 0; i < 4; ++i) {
        talk.out(tlsRecord(random, 23, 30 + 24 + random.below(40)));
        talk.in(tlsRecord(random, 23, 30 + 24 + random.below(40)));
    }
    talk.out(tlsRecord(random, 23, 112 + 24));
    for (int i = 0; i < 4; ++i) {
        talk.out(tlsRecord(random, 23, 1000));
        talk.in(tlsRecord(random, 23, 1300));
    }
    return talk;
}

Conversation sstpOverTls13(Random& random, std::uint16_t port)
{
    Conversation talk = tlsSession(random, {.serverName = "vpn.example.com"}, port);
    talk.messages.resize(1);
    Maker flight;
    flight.bytes(tlsRecord(random, 22, 122)).bytes(tlsRecord(random, 20, 1));
    for (const std::size_t handshake : {23U, 480U + random.below(1500), 96U, 69U}) {
        flight.bytes(tlsRecord(random, 23, handshake));
    }
    talk.in(flight.done());
    talk.out(Maker().bytes(tlsRecord(random, 20, 1)).bytes(tlsRecord(random, 23, 69)).done());
    talk.in(tlsRecord(random, 23, 250));
    talk.out(tlsRecord(random, 23, 198));
    talk.in(tlsRecord(random, 23, 250));
    talk.in(tlsRecord(random, 23, 105));
    talk.out(tlsRecord(random, 23, 31));
    talk.in(tlsRecord(random, 23, 65));
    for (int i = 0; i < 4; ++i) {
        talk.out(tlsRecord(random, 23, 30 + 17 + random.below(60)));
        talk.in(tlsRecord(random, 23, 30 + 17 + random.below(60)));
    }
    return talk;
}

Conversation dtlsTunnel(Random& random, const HelloStyle& style, std::uint16_t recordVersion,
                        std::uint16_t port)
{
    Conversation talk{IpProtocol::Udp, port, {}};
    const auto record = [&](std::uint8_t type, std::uint16_t epoch, std::uint64_t number,
                            const Bytes& body) {
        return Maker()
            .u8(type)
            .u16(recordVersion)
            .u64((std::uint64_t{epoch} << 48) | number)
            .u16(static_cast<std::uint32_t>(body.size()))
            .bytes(body)
            .done();
    };
    const auto message = [&](std::uint8_t type, std::size_t size) {
        const auto length = static_cast<std::uint32_t>(size);
        return Maker().u8(type).u24(length).u16(0).u24(0).u24(length).noise(random, size).done();
    };
    talk.out(dtlsClientHello(random, style, recordVersion));
    talk.in(record(22, 0, 0, message(3, 23)));
    talk.out(dtlsClientHello(random, style, recordVersion));
    talk.in(record(22, 0, 1, message(2, 70)));
    talk.out(record(20, 0, 2, {1}));
    for (std::uint64_t i = 0; i < 5; ++i) {
        talk.out(record(23, 1, i, Maker().noise(random, 120).done()));
        talk.in(record(23, 1, i, Maker().noise(random, 400).done()));
    }
    return talk;
}

// Others ----------------------------------------------------------------------------------------

Conversation softEtherNatTraversal(Random&)
{
    Conversation talk{IpProtocol::Udp, 5004, {}};
    talk.out({'A'});
    talk.in(Maker().text("IP=203.0.113.77,PORT=40123").done());
    talk.out({'A'});
    return talk;
}

Conversation fortiGreeting(Random& random, std::uint16_t port)
{
    Conversation talk{IpProtocol::Udp, port, {}};
    const auto greeting = [&](std::string_view text) {
        return Maker().u16(static_cast<std::uint32_t>(text.size() + 2)).text(text).done();
    };
    using namespace std::string_view_literals;
    talk.out(greeting("GFtype\0clthello\0SVPNCOOKIE\0abcdef\0"sv));
    talk.in(greeting("GFtype\0svrhello\0handshake\0ok\0"sv));
    for (int i = 0; i < 3; ++i) {
        talk.out(Maker().u16(102).noise(random, 100).done());
        talk.in(Maker().u16(102).noise(random, 100).done());
    }
    return talk;
}

Conversation globalProtectEsp(Random& random)
{
    Conversation talk{IpProtocol::Udp, 4501, {}};
    const std::uint32_t client = anyIndex(random) | 0x1000;
    const std::uint32_t server = anyIndex(random) | 0x1000;
    for (std::uint32_t i = 1; i < 5; ++i) {
        talk.out(Maker().u32(server).u32(i).noise(random, 100).done());
        talk.in(Maker().u32(client).u32(i).noise(random, 100).done());
    }
    return talk;
}

Conversation zeroTier(Random& random, std::uint16_t port)
{
    Conversation talk{IpProtocol::Udp, port, {}};
    const Bytes mine{0x1a, 0x2b, 0x3c, 0x4d, 0x5e};
    const Bytes planet{0x77, 0x8c, 0xde, 0x71, 0x90};
    talk.out(Maker()
                 .noise(random, 8)
                 .bytes(planet)
                 .bytes(mine)
                 .u8(0)
                 .noise(random, 8)
                 .u8(1)
                 .u8(12)
                 .u8(1)
                 .u8(14)
                 .u16(0)
                 .u64(1760000000000)
                 .bytes(mine)
                 .u8(0)
                 .noise(random, 64 + 20)
                 .done());
    talk.in(
        Maker().noise(random, 8).bytes(mine).bytes(planet).u8(0x08).noise(random, 8 + 120).done());
    talk.out(
        Maker().noise(random, 8).bytes(planet).bytes(mine).u8(0x08).noise(random, 8 + 60).done());
    return talk;
}

Conversation nebula(Random& random, std::uint16_t port)
{
    Conversation talk{IpProtocol::Udp, port, {}};
    const std::uint32_t client = anyIndex(random);
    const std::uint32_t server = anyIndex(random);
    talk.out(Maker().u8(0x10).u8(0).u16(0).u32(0).u64(1).noise(random, 250).done());
    talk.in(Maker().u8(0x10).u8(0).u16(0).u32(client).u64(2).noise(random, 250).done());
    for (std::uint64_t i = 3; i < 6; ++i) {
        talk.out(Maker().u8(0x11).u8(0).u16(0).u32(server).u64(i).noise(random, 100).done());
        talk.in(Maker().u8(0x11).u8(0).u16(0).u32(client).u64(i).noise(random, 100).done());
    }
    return talk;
}

namespace {
Bytes ipv6(std::uint8_t next, const Bytes& source, const Bytes& destination, const Bytes& body)
{
    return Maker()
        .u32(0x60000000)
        .u16(static_cast<std::uint32_t>(body.size()))
        .u8(next)
        .u8(255)
        .bytes(source)
        .bytes(destination)
        .bytes(body)
        .done();
}
}  // namespace

Conversation teredo(Random& random)
{
    Conversation talk{IpProtocol::Udp, 3544, {}};
    const Bytes local = Maker().u32(0xfe800000).u32(0).u32(0x8000f227).u32(0xbec9cb26).done();
    const Bytes routers = Maker().u32(0xff020000).u32(0).u32(0).u32(2).done();
    const Bytes server = Maker().u32(0xfe800000).u32(0).u32(0x80005445).u32(0x5245444f).done();
    const Bytes authentication = Maker().u16(1).u16(0).noise(random, 8).u8(0).done();
    talk.out(Maker()
                 .bytes(authentication)
                 .bytes(ipv6(58, local, routers, Maker().u8(133).u8(0).u16(0x7d37).u32(0).done()))
                 .done());
    talk.in(Maker()
                .bytes(authentication)
                .u16(0)
                .u16(0x9999)
                .u32(0x34ff8e88)
                .bytes(ipv6(58, server, local,
                            Maker().u8(134).u8(0).u16(0x1234).noise(random, 52).done()))
                .done());
    return talk;
}

Conversation teredoPeers(Random& random, std::uint16_t port)
{
    Conversation talk{IpProtocol::Udp, port, {}};
    const Bytes mine = Maker().u32(0x20010000).noise(random, 12).done();
    const Bytes other = Maker().u32(0x20010000).noise(random, 12).done();
    for (int i = 0; i < 3; ++i) {
        talk.out(ipv6(59, mine, other, {}));
        talk.in(ipv6(17, other, mine, Maker().noise(random, 60).done()));
    }
    return talk;
}

Conversation tinc(std::uint16_t port)
{
    Conversation talk{IpProtocol::Tcp, port, {}};
    talk.out(Maker().text("0 alice 17.7\n").done());
    talk.in(Maker().text("0 bob 17.7\n").done());
    talk.out(Maker().text("1 94 64 0 0 8A2F\n").done());
    return talk;
}

// Not tunnels -------------------------------------------------------------------------------------

Conversation dns(Random& random, std::uint16_t id)
{
    Conversation talk{IpProtocol::Udp, 53, {}};
    Maker query;
    query.u16(id).u16(random.below(2) == 0 ? 0x0100 : 0x0000).u16(1).u16(0).u16(0).u16(0);
    std::string name(1 + random.below(60), 'a');
    query.u8(static_cast<std::uint32_t>(name.size()))
        .text(name)
        .u8(7)
        .text("example")
        .u8(0)
        .u16(1)
        .u16(1);
    talk.out(query.done());
    talk.in(Maker().bytes(query.done()).noise(random, random.below(200)).done());
    return talk;
}

Conversation quic(Random& random)
{
    Conversation talk{IpProtocol::Udp, 443, {}};
    talk.out(Maker()
                 .u8(0xc0 | random.below(16))
                 .u32(1)
                 .u8(8)
                 .noise(random, 8)
                 .u8(0)
                 .u8(0)
                 .u16(0x44d0)
                 .noise(random, 1222)
                 .done());
    talk.in(Maker().u8(0xc0 | random.below(16)).u32(1).u8(0).u8(8).noise(random, 1220).done());
    talk.out(Maker().u8(0xe0 | random.below(16)).u32(1).u8(8).noise(random, 80).done());
    for (int i = 0; i < 12; ++i) {
        talk.out(Maker().u8(0x40 | random.below(64)).noise(random, 30 + random.below(100)).done());
        talk.in(Maker().u8(0x40 | random.below(64)).noise(random, 30 + random.below(1200)).done());
    }
    return talk;
}

Conversation http(std::uint16_t port)
{
    Conversation talk{IpProtocol::Tcp, port, {}};
    talk.out(Maker().text("GET /index.html HTTP/1.1\r\nHost: www.example.com\r\n\r\n").done());
    talk.in(Maker().text("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").done());
    talk.out(Maker().text("POST /vpnsvc/ HTTP/1.1\r\nHost: www.example.com\r\n\r\n").done());
    return talk;
}

Conversation stunAndWebRtc(Random& random)
{
    Conversation talk{IpProtocol::Udp, 3478, {}};
    for (int i = 0; i < 2; ++i) {
        talk.out(Maker().u16(1).u16(0).u32(0x2112a442).noise(random, 12).done());
        talk.in(Maker().u16(0x0101).u16(12).u32(0x2112a442).noise(random, 24).done());
    }
    talk.out(dtlsClientHello(random, {.version = 0xfefd, .useSrtp = true}, 0xfeff));
    talk.in(Maker().u8(22).u16(0xfefd).u64(0).u16(80).noise(random, 80).done());
    for (std::uint32_t i = 0; i < 6; ++i) {
        talk.out(Maker().u8(0x80).u8(96).u16(i).noise(random, 100).done());
        talk.in(Maker().u8(0x80).u8(96).u16(i).noise(random, 100).done());
    }
    return talk;
}

Conversation noise(Random& random, IpProtocol protocol, std::uint16_t port)
{
    Conversation talk{protocol, port, {}};
    for (int i = 0; i < 12; ++i) {
        talk.out(Maker().noise(random, 1 + random.below(400)).done());
        talk.in(Maker().noise(random, 1 + random.below(400)).done());
    }
    return talk;
}

Conversation bitTorrent(Random& random)
{
    Conversation talk{IpProtocol::Udp, static_cast<std::uint16_t>(10000 + random.below(50000)), {}};
    const std::uint32_t id = random.below(65536);
    talk.out(Maker()
                 .u8(0x41)
                 .u8(0)
                 .u16(id)
                 .u32(static_cast<std::uint32_t>(random.next()))
                 .u32(0)
                 .u32(0x00100000)
                 .u16(1)
                 .u16(0)
                 .done());
    talk.in(Maker()
                .u8(0x21)
                .u8(0)
                .u16(id)
                .u32(static_cast<std::uint32_t>(random.next()))
                .u32(5)
                .u32(0x00100000)
                .u16(9)
                .u16(1)
                .done());
    for (std::uint32_t i = 2; i < 8; ++i) {
        talk.out(Maker()
                     .u8(0x01)
                     .u8(0)
                     .u16(id + 1)
                     .u32(i * 1000)
                     .u32(5)
                     .u32(0x00100000)
                     .u16(i)
                     .u16(9)
                     .noise(random, 128)
                     .done());
        talk.in(Maker()
                    .u8(0x01)
                    .u8(0)
                    .u16(id)
                    .u32(i * 1000)
                    .u32(5)
                    .u32(0x00100000)
                    .u16(i + 8)
                    .u16(i)
                    .noise(random, 128)
                    .done());
    }
    return talk;
}

Conversation ntp(Random& random)
{
    Conversation talk{IpProtocol::Udp, 123, {}};
    talk.out(Maker().u8(0x23).zeros(39).noise(random, 8).done());
    talk.in(Maker().u8(0x24).u8(1).u8(6).u8(0xec).noise(random, 44).done());
    return talk;
}

Conversation sip()
{
    Conversation talk{IpProtocol::Udp, 5060, {}};
    talk.out(Maker()
                 .text("REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1\r\n\r\n")
                 .done());
    talk.in(Maker().text("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1\r\n\r\n").done());
    talk.out(Maker().text("\r\n\r\n").done());
    return talk;
}

Conversation rtp(Random& random)
{
    Conversation talk{IpProtocol::Udp, 20000, {}};
    const std::uint32_t source = anyIndex(random);
    for (std::uint32_t i = 0; i < 12; ++i) {
        talk.out(
            Maker().u8(0x80).u8(0).u16(i + 77).u32(160 * i).u32(source).noise(random, 160).done());
        talk.in(Maker()
                    .u8(0x80)
                    .u8(0)
                    .u16(i + 99)
                    .u32(160 * i)
                    .u32(source + 1)
                    .noise(random, 160)
                    .done());
    }
    return talk;
}

Conversation ssh(Random& random)
{
    Conversation talk{IpProtocol::Tcp, 22, {}};
    talk.in(Maker().text("SSH-2.0-OpenSSH_9.2\r\n").done());
    talk.out(Maker().text("SSH-2.0-OpenSSH_9.6\r\n").done());
    for (int i = 0; i < 4; ++i) {
        talk.out(Maker().u32(1020).u8(6).u8(20).noise(random, 400).done());
        talk.in(Maker().u32(1020).u8(6).u8(20).noise(random, 400).done());
    }
    return talk;
}

Conversation imaps(Random& random)
{
    // A mail client offers no ALPN either; the server speaks first.
    Conversation talk = tlsSession(random, {.serverName = "imap.example.com"}, 993);
    talk.messages.resize(5);
    talk.in(tlsRecord(random, 23, 120));
    for (int i = 0; i < 5; ++i) {
        talk.out(tlsRecord(random, 23, 40 + random.below(60)));
        talk.in(tlsRecord(random, 23, 100 + random.below(3000)));
    }
    return talk;
}

Conversation coapDtls(Random& random)
{
    return dtlsTunnel(random, {.version = 0xfefd}, 0xfefd, 5684);
}

}  // namespace traffic
