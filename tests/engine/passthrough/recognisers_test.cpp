#include "engine/net/vpn_protocol.h"
#include "engine/passthrough/stream_prefix.h"
#include "engine/passthrough/tls_client_hello.h"

#include <QTest>

#include <functional>
#include <string>

#include "tests/engine/passthrough/flow_player.h"

using namespace engine;
using namespace engine::passthrough;
using namespace traffic;
using net::IpProtocol;
using net::VpnProtocol;
using tunnel::Confidence;
using tunnel::Observation;

namespace {

using Play = std::function<void(FlowPlayer&, Random&)>;

struct Expected {
    std::string name;
    std::optional<VpnProtocol> protocol;
    Confidence confidence = Confidence::Certain;
    Play play;
};

Play one(std::function<Conversation(Random&)> make)
{
    return [make = std::move(make)](FlowPlayer& player, Random& random) {
        player.play(make(random));
    };
}

/// A TLS connection and, once it stands, DTLS to the same server.
Play pair(HelloStyle tls, std::string_view certificate, HelloStyle dtls, std::uint16_t version,
          std::uint16_t port)
{
    return [=](FlowPlayer& player, Random& random) {
        player.play(tlsSession(random, tls, port, certificate));
        player.play(dtlsTunnel(random, dtls, version, port));
    };
}

std::vector<std::uint16_t> ports(std::vector<std::uint16_t> numbers)
{
    return numbers;
}

std::vector<Expected> tunnels()
{
    using enum VpnProtocol;
    using enum Confidence;
    std::vector<Expected> all;
    const auto add = [&](std::string name, VpnProtocol protocol, Confidence confidence, Play play) {
        all.push_back({std::move(name), protocol, confidence, std::move(play)});
    };
    for (const std::uint16_t port : ports({51820, 53, 443, 4500, 12345})) {
        add("WireGuard on " + std::to_string(port), WireGuard, Certain,
            one([=](Random& r) { return wireGuard(r, port); }));
    }
    add("WireGuard in mid-stream", WireGuard, Certain,
        one([](Random& r) { return wireGuardMidStream(r, 51820); }));
    add("WireGuard, TunnelBear's sizes", WireGuard, Certain,
        one([](Random& r) { return wireGuard(r, 51820, {.initiation = 204, .response = 100}); }));
    add("WireGuard unanswered", WireGuard, Likely, one([](Random& r) {
            Conversation talk{IpProtocol::Udp, 51820, {}};
            for (int i = 0; i < 4; ++i)
                talk.out(wireGuardInitiation(r, 77 + static_cast<std::uint32_t>(i)));
            return talk;
        }));
    for (const std::uint16_t port : ports({2408, 500, 1701, 4500})) {
        add("WARP dialect on " + std::to_string(port), CloudflareWarp, Certain,
            one([=](Random& r) { return warpDialect(r, port); }));
        add("WARP reserved octets on " + std::to_string(port), CloudflareWarp, Certain,
            one([=](Random& r) { return wireGuard(r, port, {.reserved = 0x4a17c3}); }));
    }
    add("Tailscale", Tailscale, Certain, one([](Random& r) { return tailscale(r, 41641); }));
    add("Tailscale on another port", Tailscale, Certain,
        one([](Random& r) { return tailscale(r, 3999); }));
    for (const auto& [mode, name] :
         {std::pair{OpenVpnMode::Plain, "plain"}, std::pair{OpenVpnMode::TlsAuth, "tls-auth"},
          std::pair{OpenVpnMode::TlsAuth512, "tls-auth SHA512"},
          std::pair{OpenVpnMode::TlsCrypt, "tls-crypt"},
          std::pair{OpenVpnMode::TlsCryptV2, "tls-crypt-v2"}}) {
        for (const auto protocol : {IpProtocol::Udp, IpProtocol::Tcp}) {
            for (const std::uint16_t port : ports({1194, 443})) {
                add(std::string("OpenVPN ") + (protocol == IpProtocol::Udp ? "UDP " : "TCP ") +
                        name + " on " + std::to_string(port),
                    OpenVpn, Certain,
                    one([=, mode = mode](Random& r) { return openVpn(r, port, mode, protocol); }));
            }
        }
    }
    add("SSTP", Sstp, Guess, one([](Random& r) { return sstp(r, 443); }));
    add("SSTP over TLS 1.3", Sstp, Guess, one([](Random& r) { return sstpOverTls13(r, 443); }));
    const HelloStyle plain{.serverName = "vpn.example.com"};
    add("AnyConnect, draft DTLS beside TLS", AnyConnect, Certain,
        pair(plain, "Example CA", {.version = 0x0100, .sessionId = 32}, 0x0100, 443));
    add("AnyConnect, draft DTLS unanswered", AnyConnect, Likely, one([](Random& r) {
            Conversation talk = dtlsTunnel(r, {.version = 0x0100, .sessionId = 32}, 0x0100, 443);
            std::erase_if(talk.messages,
                          [](const Message& m) { return m.direction == net::Direction::Inbound; });
            return talk;
        }));
    add("AnyConnect, draft DTLS alone", AnyConnect, Certain, one([](Random& r) {
            return dtlsTunnel(r, {.version = 0x0100, .sessionId = 32}, 0x0100, 443);
        }));
    add("OpenConnect, pre-shared key", AnyConnect, Certain,
        pair(plain, "Example CA", {.version = 0xfefd, .ciscoAppId = true}, 0xfefd, 443));
    add("OpenConnect, agreed session", AnyConnect, Certain,
        pair(plain, "Example CA", {.version = 0xfefd, .sessionId = 32}, 0xfeff, 4433));
    add("DTLS 1.2 beside TLS", AnyConnect, Guess,
        pair(plain, "Example CA", {.version = 0xfefd}, 0xfeff, 443));
    add("FortiClient, usual port", FortiClient, Likely,
        pair(plain, "Example CA", {.version = 0xfefd}, 0xfefd, 10443));
    add("FortiClient, vendor's certificate", FortiClient, Likely,
        pair(plain, "Fortinet", {.version = 0xfefd}, 0xfefd, 443));
    add("FortiClient, both", FortiClient, Certain,
        pair(plain, "Fortinet", {.version = 0xfefd}, 0xfefd, 10443));
    add("FortiClient, TLS alone", FortiClient, Guess,
        one([=](Random& r) { return tlsSession(r, plain, 443, "Fortinet"); }));
    add("FortiClient, greeting in the clear", FortiClient, Certain,
        one([](Random& r) { return fortiGreeting(r, 443); }));
    add("SoftEther, NAT traversal", SoftEther, Certain,
        one([](Random& r) { return softEtherNatTraversal(r); }));
    add("SoftEther, by name", SoftEther, Likely,
        one([](Random& r) { return tlsSession(r, {.serverName = "office.SoftEther.net"}, 443); }));
    add("SoftEther, relay", SoftEther, Likely,
        one([](Random& r) { return tlsSession(r, {.serverName = "vpn123.vpnazure.net"}, 443); }));
    add("GlobalProtect", GlobalProtect, Likely, one([](Random& r) { return globalProtectEsp(r); }));
    add("GlobalProtect beside TLS", GlobalProtect, Certain, [=](FlowPlayer& player, Random& r) {
        player.play(tlsSession(r, plain, 443));
        player.play(globalProtectEsp(r));
    });
    add("ZeroTier", ZeroTier, Certain, one([](Random& r) { return zeroTier(r, 9993); }));
    add("ZeroTier on another port", ZeroTier, Certain,
        one([](Random& r) { return zeroTier(r, 29994); }));
    add("Nebula", Nebula, Certain, one([](Random& r) { return nebula(r, 4242); }));
    add("Nebula on another port", Nebula, Certain, one([](Random& r) { return nebula(r, 443); }));
    add("Teredo, server", Teredo, Certain, one([](Random& r) { return teredo(r); }));
    add("Teredo, peers", Teredo, Certain, one([](Random& r) { return teredoPeers(r, 51413); }));
    add("tinc", Tinc, Certain, one([](Random&) { return tinc(655); }));
    add("tinc on another port", Tinc, Certain, one([](Random&) { return tinc(8655); }));
    return all;
}

std::vector<Expected> ordinary()
{
    std::vector<Expected> all;
    const auto add = [&](std::string name, Play play) {
        all.push_back({std::move(name), std::nullopt, Confidence::Guess, std::move(play)});
    };
    add("DNS", one([](Random& r) { return dns(r, static_cast<std::uint16_t>(r.next())); }));
    for (const std::uint16_t id :
         ports({0x0100, 0x0200, 0x0400, 0x3800, 0x5000, 0x1000, 0x0001, 0x6000, 0x1601})) {
        add("DNS with ID " + std::to_string(id), one([=](Random& r) { return dns(r, id); }));
    }
    add("QUIC", one([](Random& r) { return quic(r); }));
    for (const std::uint16_t port : ports({80, 443, 1194, 1723, 655})) {
        add("HTTP on " + std::to_string(port), one([=](Random&) { return http(port); }));
    }
    add("TLS browsing", one([](Random& r) {
            return tlsSession(r, {.serverName = "www.example.com", .alpn = "h2"}, 443);
        }));
    add("TLS browsing, long hello", one([](Random& r) {
            return tlsSession(
                r,
                {.serverName = "www.example.com", .alpn = "h2", .sessionId = 32, .padding = 1700},
                443);
        }));
    add("TLS without ALPN",
        one([](Random& r) { return tlsSession(r, {.serverName = "api.example.com"}, 443); }));
    add("IMAP over TLS", one([](Random& r) { return imaps(r); }));
    add("TLS on 992", one([](Random& r) {
            return tlsSession(r, {.serverName = "host.example.com", .alpn = "http/1.1"}, 992);
        }));
    add("STUN and WebRTC", one([](Random& r) { return stunAndWebRtc(r); }));
    add("WebRTC beside TLS", [](FlowPlayer& player, Random& r) {
        player.play(tlsSession(r, {.serverName = "meet.example.com"}, 443));
        Conversation talk = stunAndWebRtc(r);
        talk.serverPort = 443;
        player.play(talk);
        player.play(dtlsTunnel(r, {.version = 0xfefd, .useSrtp = true}, 0xfeff, 443));
    });
    add("CoAP over DTLS", one([](Random& r) { return coapDtls(r); }));
    add("uTP", one([](Random& r) { return bitTorrent(r); }));
    add("NTP", one([](Random& r) { return ntp(r); }));
    add("SIP", one([](Random&) { return sip(); }));
    add("RTP", one([](Random& r) { return rtp(r); }));
    add("SSH", one([](Random& r) { return ssh(r); }));
    for (const std::uint16_t port :
         ports({9999, 51820, 1194, 9993, 4242, 3544, 4501, 5004, 655, 2408, 1701, 41641, 10443})) {
        add("random octets on UDP " + std::to_string(port),
            one([=](Random& r) { return noise(r, IpProtocol::Udp, port); }));
        add("random octets on TCP " + std::to_string(port),
            one([=](Random& r) { return noise(r, IpProtocol::Tcp, port); }));
    }
    return all;
}

constexpr int kRounds = 40;

}  // namespace

class RecognisersTest : public QObject {
    Q_OBJECT
private Q_SLOTS:
    void generatedTraffic_isLabelledRight_andNothingWrong();
    void openVpnOverTcp_splitAtEveryOctet_isRecognised();
    void firstMessageOverTcp_splitAtEveryOctet_isRecognisedAlike();
    void tlsHello_splitAndDisordered_isRead();
    void tlsHello_cutAnywhere_asksForMoreOrIsRefused();
    void wireGuard_handshake_givesRoundTripAndLetsGo();
    void anyConnect_tlsAndDtls_areOneTunnel();
    void sstp_isOnlyGuessed_alsoWhenDeclared();
    void tincUdp_besideItsMetaConnection_belongsToIt();
    void tunnelFlow_onceEstablished_isLetGo();
    void ordinaryFlow_isLetGoAfterItsFirstPackets();
};

void RecognisersTest::generatedTraffic_isLabelledRight_andNothingWrong()
{
    int right = 0;
    int missed = 0;
    int wrong = 0;
    int weaker = 0;
    const auto judge = [&](const Expected& expected) {
        int rowRight = 0;
        int rowMissed = 0;
        int rowWrong = 0;
        int rowWeaker = 0;
        for (int round = 0; round < kRounds; ++round) {
            Random random(
                {static_cast<std::uint64_t>(round) + 1, std::hash<std::string>{}(expected.name)});
            FlowPlayer player;
            expected.play(player, random);
            const auto label = player.label();
            if (label && expected.protocol != label->protocol) {
                ++rowWrong;
            } else if (expected.protocol && !label) {
                ++rowMissed;
            } else {
                ++rowRight;
                if (label && label->confidence != expected.confidence) {
                    ++weaker;
                    ++rowWeaker;
                }
            }
        }
        qInfo("%-44s right %3d  missed %3d  wrong %3d  other confidence %d", expected.name.c_str(),
              rowRight, rowMissed, rowWrong, rowWeaker);
        right += rowRight;
        missed += rowMissed;
        wrong += rowWrong;
    };
    for (const Expected& expected : tunnels())
        judge(expected);
    for (const Expected& expected : ordinary())
        judge(expected);
    qInfo("%-44s right %3d  missed %3d  wrong %3d  other confidence %d", "all", right, missed,
          wrong, weaker);
    QCOMPARE(wrong, 0);
    QCOMPARE(missed, 0);
    QCOMPARE(weaker, 0);
}

void RecognisersTest::openVpnOverTcp_splitAtEveryOctet_isRecognised()
{
    for (const OpenVpnMode mode :
         {OpenVpnMode::Plain, OpenVpnMode::TlsAuth, OpenVpnMode::TlsCrypt}) {
        for (const std::size_t segment :
             std::vector<std::size_t>{1, 2, 3, 5, 7, 16, 17, 64, 1400}) {
            Random random({7, segment});
            FlowPlayer player;
            player.play(openVpn(random, 443, mode, IpProtocol::Tcp), segment);
            const auto label = player.label();
            QVERIFY2(label && label->protocol == VpnProtocol::OpenVpn,
                     qPrintable(QString::number(segment)));
            QCOMPARE(label->confidence, Confidence::Certain);
        }
    }
    // Every single place to split the client's first packet in two.
    Random random({8, 8});
    const Conversation talk = openVpn(random, 443, OpenVpnMode::TlsAuth, IpProtocol::Tcp);
    const Bytes& first = talk.messages[0].payload;
    for (std::size_t at = 1; at < first.size(); ++at) {
        FlowPlayer player;
        Conversation split = talk;
        split.messages.erase(split.messages.begin());
        const auto place = static_cast<std::ptrdiff_t>(at);
        split.messages.insert(split.messages.begin(),
                              {{net::Direction::Outbound, {first.begin(), first.begin() + place}},
                               {net::Direction::Outbound, {first.begin() + place, first.end()}}});
        player.play(split);
        QVERIFY(player.label());
        QCOMPARE(player.label()->confidence, Confidence::Certain);
    }
}

/// A segment may end anywhere, also in the first octets by which a protocol is told.
void RecognisersTest::firstMessageOverTcp_splitAtEveryOctet_isRecognisedAlike()
{
    Random random({9, 9});
    std::vector<Conversation> talks{
        openVpn(random, 443, OpenVpnMode::Plain, IpProtocol::Tcp),
        openVpn(random, 443, OpenVpnMode::TlsCrypt, IpProtocol::Tcp),
        openVpn(random, 443, OpenVpnMode::TlsCryptV2, IpProtocol::Tcp),
        sstp(random, 443),
        sstpOverTls13(random, 443),
        tlsSession(random, {.serverName = "vpn.example.com"}, 443, "SoftEther VPN"),
        tlsSession(random, {.serverName = "vpn.example.com"}, 443, "Fortinet"),
        tlsSession(random, {.serverName = "www.example.com"}, 443),
        tinc(655),
        http(80),
        ssh(random),
    };
    for (std::size_t which = 0; which < talks.size(); ++which) {
        const Conversation& talk = talks[which];
        FlowPlayer whole;
        whole.play(talk);
        const auto expected = whole.label();
        const Bytes& first = talk.messages[0].payload;
        for (std::size_t at = 1; at < first.size(); ++at) {
            FlowPlayer player;
            Conversation split = talk;
            const auto place = static_cast<std::ptrdiff_t>(at);
            split.messages[0].payload.resize(at);
            split.messages.insert(
                split.messages.begin() + 1,
                {talk.messages[0].direction, {first.begin() + place, first.end()}});
            player.play(split);
            const auto label = player.label();
            const QByteArray where =
                QByteArray::number(qulonglong(which)) + " at " + QByteArray::number(qulonglong(at));
            QVERIFY2(label.has_value() == expected.has_value(), where);
            if (!expected) continue;
            QVERIFY2(label->protocol == expected->protocol, where);
            QVERIFY2(label->confidence == expected->confidence, where);
        }
    }
}

void RecognisersTest::tlsHello_splitAndDisordered_isRead()
{
    Random random({9, 9});
    const Bytes hello =
        tlsClientHello(random, {.serverName = "vpn.softether.net", .padding = 1500});
    for (std::size_t at = 1; at < hello.size(); at += 13) {
        for (const bool isSwapped : {false, true}) {
            StreamPrefix prefix{10240};
            const auto part = [&](std::size_t from, std::size_t to) {
                Segment segment;
                const traffic::Bytes piece(hello.begin() + static_cast<std::ptrdiff_t>(from),
                                           hello.begin() + static_cast<std::ptrdiff_t>(to));
                segment.payload = piece;
                segment.sequence = 0xffffff00U + 1 + static_cast<std::uint32_t>(from);
                prefix.add(segment);
            };
            Segment syn;
            syn.sequence = 0xffffff00;
            syn.tcpFlags = 2;
            prefix.add(syn);
            const std::size_t overlap = at > 10 ? at - 10 : 0;
            if (isSwapped) {
                part(overlap, hello.size());
                QVERIFY(prefix.bytes().empty() || overlap == 0);
                part(0, at);
            } else {
                part(0, at);
                part(overlap, hello.size());
            }
            const HelloReading reading = readTlsClientHello(prefix.bytes());
            QCOMPARE(reading.status, HelloStatus::Complete);
            QCOMPARE(reading.hello.serverName, std::string("vpn.softether.net"));
        }
    }
}

void RecognisersTest::tlsHello_cutAnywhere_asksForMoreOrIsRefused()
{
    Random random({10, 10});
    const Bytes hello = tlsClientHello(random, {.serverName = "www.example.com", .alpn = "h2"});
    for (std::size_t size = 0; size < hello.size(); ++size) {
        const Bytes cut(hello.begin(), hello.begin() + static_cast<std::ptrdiff_t>(size));
        QCOMPARE(readTlsClientHello(cut).status, HelloStatus::NeedMore);
    }
    QCOMPARE(readTlsClientHello(hello).hello.firstAlpn, std::string("h2"));
    // The same message cut into records of ten octets.
    Maker records;
    for (std::size_t at = 5; at < hello.size(); at += 10) {
        const std::size_t end = std::min(hello.size(), at + 10);
        records.u8(22).u16(0x0301).u16(static_cast<std::uint32_t>(end - at));
        for (std::size_t i = at; i < end; ++i)
            records.u8(hello[i]);
    }
    QCOMPARE(readTlsClientHello(records.done()).hello.serverName, std::string("www.example.com"));
    // Damage of every single octet never reads beyond the end.
    for (std::size_t i = 0; i < hello.size(); ++i) {
        Bytes damaged = hello;
        damaged[i] = static_cast<std::uint8_t>(damaged[i] ^ 0xff);
        static_cast<void>(readTlsClientHello(damaged));
    }
}

void RecognisersTest::wireGuard_handshake_givesRoundTripAndLetsGo()
{
    Random random({11, 11});
    FlowPlayer player;
    const auto shown = player.play(wireGuard(random, 51820));
    QVERIFY(shown.ignored);
    QCOMPARE(shown.packets, 2U);
    QCOMPARE(player.attachments.size(), 1U);
    QCOMPARE(player.attachments[0].sequence, tunnel::SequenceKind::WireGuard);
    QCOMPARE(player.times(Observation::Kind::RoundTrip), 1);
}

void RecognisersTest::anyConnect_tlsAndDtls_areOneTunnel()
{
    Random random({12, 12});
    FlowPlayer player;
    const auto tls = player.play(tlsSession(random, {.serverName = "vpn.example.com"}, 443));
    const auto dtls =
        player.play(dtlsTunnel(random, {.version = 0x0100, .sessionId = 32}, 0x0100, 443));
    QCOMPARE(player.attachments.size(), 2U);
    QCOMPARE(player.attachments[0].flow, dtls.flow);
    QCOMPARE(player.attachments[0].sequence, tunnel::SequenceKind::Dtls);
    QVERIFY(player.attachments[0].idle >= std::chrono::seconds(1800));
    QCOMPARE(player.attachments[1].flow, tls.flow);
    QVERIFY(player.attachments[0].key == player.attachments[1].key);
    QVERIFY(std::ranges::any_of(player.observations, [](const Observation& o) {
        return o.kind == Observation::Kind::ServerName && o.text == "vpn.example.com";
    }));
}

void RecognisersTest::sstp_isOnlyGuessed_alsoWhenDeclared()
{
    Random random({13, 13});
    FlowPlayer player;
    policy::PassthroughPolicy policy;
    policy::PassthroughSwitch position;
    position.exceptions.push_back(
        {net::Prefix{}, net::Prefix{FlowPlayer::kServer, 32}, policy::PassthroughMode::Assist});
    policy.set(VpnProtocol::Sstp, position);
    player.passthrough().setPolicy(policy);
    player.play(tlsSession(random, {.serverName = "vpn.example.com"}, 443));
    QVERIFY(player.label());
    QCOMPARE(player.label()->protocol, VpnProtocol::Sstp);
    QCOMPARE(player.label()->confidence, Confidence::Guess);
}

void RecognisersTest::tincUdp_besideItsMetaConnection_belongsToIt()
{
    Random random({14, 14});
    FlowPlayer player;
    player.play(noise(random, IpProtocol::Udp, 655));
    QVERIFY(player.attachments.empty());
    player.play(tinc(655));
    QCOMPARE(player.attachments.size(), 1U);
    player.play(noise(random, IpProtocol::Udp, 655));
    QCOMPARE(player.attachments.size(), 2U);
    QVERIFY(player.attachments[0].key == player.attachments[1].key);
    QCOMPARE(player.label()->protocol, VpnProtocol::Tinc);
}

void RecognisersTest::tunnelFlow_onceEstablished_isLetGo()
{
    for (const Expected& expected : tunnels()) {
        if (expected.name.ends_with("unanswered")) continue;
        Random random({15, 15});
        FlowPlayer player;
        expected.play(player, random);
        // Another hundred packets of the last flow: nobody wants to see them.
        const auto shown = player.play(noise(random, IpProtocol::Udp, 9999));
        QVERIFY2(shown.ignored, expected.name.c_str());
    }
    Random random({16, 16});
    FlowPlayer player;
    QVERIFY(player.play(wireGuard(random, 51820)).ignored);
    QVERIFY(player.play(openVpn(random, 1194, OpenVpnMode::TlsCrypt, IpProtocol::Udp)).ignored);
    QVERIFY(player.play(openVpn(random, 1194, OpenVpnMode::TlsCrypt, IpProtocol::Tcp)).ignored);
    QVERIFY(player.play(dtlsTunnel(random, {.version = 0x0100}, 0x0100, 443)).ignored);
    QVERIFY(player.play(nebula(random, 4242)).ignored);
    QVERIFY(player.play(tinc(655)).ignored);
    QVERIFY(player.play(sstp(random, 443)).ignored);
}

void RecognisersTest::ordinaryFlow_isLetGoAfterItsFirstPackets()
{
    Random random({17, 17});
    FlowPlayer player;
    QCOMPARE(player.play(quic(random)).packets, 1U);
    QCOMPARE(player.play(rtp(random)).packets, 1U);
    QCOMPARE(player.play(dns(random, 0x1234)).packets, 1U);
    // TCP: the handshake and the first octets.
    QCOMPARE(player.play(http(80)).packets, 4U);
    QCOMPARE(player.play(tlsSession(random, {.serverName = "www.example.com", .alpn = "h2"}, 443))
                 .packets,
             4U);
}

QTEST_APPLESS_MAIN(RecognisersTest)
#include "recognisers_test.moc"
