#include "engine/lab/ipsec.h"
#include "engine/lab/l2tp.h"
#include "engine/lab/l2tp_v3.h"
#include "engine/lab/network.h"
#include "engine/lab/openvpn.h"
#include "engine/lab/portless.h"
#include "engine/lab/pptp.h"
#include "engine/lab/sha1.h"
#include "engine/lab/signature.h"
#include "engine/lab/tls_vpn.h"
#include "engine/lab/wireguard.h"

#include <QtTest>

#include <memory>

using namespace engine;
using namespace engine::lab;

namespace {

constexpr net::Ipv4Address kServer{198, 51, 100, 10};

net::Ipv4Address inside(int i)
{
    return net::Ipv4Address{192, 168, 77, static_cast<std::uint8_t>(10 + i)};
}

/// Simulated programs back to back over a plain wire: what is tested here is the lab itself.
struct Wire {
    explicit Wire(LinkQuality clientQuality = {}) : quality(clientQuality) {}
    LinkQuality quality;
    Network network{Instant{1h}, HashKey{1, 2}, std::make_unique<PlainWire>()};
    Host& server = network.addExternal("server", kServer);

    Host& client(int i) { return network.addInternal("client", inside(i), quality); }
};

QByteArray text(const PeerReport& r)
{
    return QStringLiteral(
               "up %1 attempts %2 established %3 rekeys %4 sent %5 received %6 wrong %7 strays %8 "
               "failures %9")
        .arg(r.up)
        .arg(r.attempts)
        .arg(r.established)
        .arg(r.rekeys)
        .arg(r.sent)
        .arg(r.received)
        .arg(r.wrong)
        .arg(r.strays)
        .arg(r.failures)
        .toLatin1();
}

}  // namespace

class PeersTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void pptp_callsTalk()
    {
        Wire wire;
        auto& server = wire.server.run<PptpServer>();
        auto& one =
            wire.client(0).run<PptpClient>(PptpClient::Options{.server = kServer, .calls = 3});
        auto& two = wire.client(1).run<PptpClient>(
            PptpClient::Options{.server = kServer, .segmentSize = 1});
        wire.network.advance(1min);
        QVERIFY2(one.report().up && one.report().received >= 150, text(one.report()));
        QVERIFY2(two.report().up && two.report().received >= 50, text(two.report()));
        QVERIFY2(server.report().wrong == 0 && server.calls() == 4, text(server.report()));
        QCOMPARE(one.report().wrong + two.report().wrong, 0U);
    }

    void pptp_callsOfSomeLength_areDialledAgain()
    {
        Wire wire{{.latency = 2ms, .jitter = 3ms, .loss = 20000}};
        auto& server = wire.server.run<PptpServer>();
        auto& client = wire.client(0).run<PptpClient>(
            PptpClient::Options{.server = kServer, .callLength = 5min, .redialAfter = 5s});
        wire.network.advance(2h);
        QVERIFY2(client.report().established >= 20, text(client.report()));
        QVERIFY2(client.report().wrong == 0, text(client.report()));
        QVERIFY2(server.report().wrong == 0, text(server.report()));
        QVERIFY(server.calls() <= 1);
    }

    void pptp_greThatNeverReturns_fails()
    {
        Wire wire;
        wire.server.run<PptpServer>(PptpServer::Options{.sendsGre = false});
        auto& client = wire.client(0).run<PptpClient>(PptpClient::Options{.server = kServer});
        wire.network.advance(2min);
        QVERIFY2(client.report().failures >= 2 && client.report().established == 0,
                 text(client.report()));
    }

    void pptp_wrongPassword_isRefused()
    {
        Wire wire;
        wire.server.run<PptpServer>(PptpServer::Options{.ppp = {.secret = PppSecret::Wrong}});
        auto& client = wire.client(0).run<PptpClient>(PptpClient::Options{.server = kServer});
        wire.network.advance(20s);
        QVERIFY2(client.report().failures == 1 && !client.report().up, text(client.report()));
    }

    void sha1_knownAnswer()
    {
        const auto digest = sha1(octetsOf("abc"));
        QCOMPARE(wire::load32(digest, 0), 0xa9993e36U);
        QCOMPARE(wire::load32(digest, 16), 0x9cd0d89dU);
    }

    void ipsec_data()
    {
        QTest::addColumn<int>("version");
        QTest::addColumn<bool>("encapsulated");
        QTest::addRow("IKEv2 in UDP") << 2 << true;
        QTest::addRow("IKEv2 plain ESP") << 2 << false;
        QTest::addRow("IKEv1 in UDP") << 1 << true;
        QTest::addRow("IKEv1 plain ESP") << 1 << false;
    }
    void ipsec()
    {
        QFETCH(const int, version);
        QFETCH(const bool, encapsulated);
        Wire wire{{.latency = 2ms, .jitter = 3ms, .loss = 10000}};
        auto& gateway = wire.server.run<IpsecGateway>();
        IpsecClient::Options options{.gateway = kServer,
                                     .version = version == 1 ? ike::Version::V1 : ike::Version::V2,
                                     .natTraversal = encapsulated,
                                     .forceEncapsulation = encapsulated,
                                     .rekeyEvery = 2min,
                                     .authSize = 3000};
        auto& one = wire.client(0).run<IpsecClient>(options);
        auto& two = wire.client(1).run<IpsecClient>(options);
        wire.network.advance(1h);
        for (const IpsecClient* client : {&one, &two}) {
            QVERIFY2(client->report().up && client->report().received > 3400,
                     text(client->report()));
            QVERIFY2(client->report().wrong == 0 && client->report().rekeys >= 25,
                     text(client->report()));
            QCOMPARE(client->floated(), encapsulated);
        }
        QVERIFY2(gateway.report().wrong == 0, text(gateway.report()));
        QCOMPARE(gateway.clients(), std::size_t{2});
    }

    void ipsec_gatewayThatIsSilent_isTriedAgain()
    {
        Wire wire;
        auto& client = wire.client(0).run<IpsecClient>(IpsecClient::Options{.gateway = kServer});
        wire.network.advance(10min);
        QVERIFY2(client.report().failures >= 5 && !client.report().up, text(client.report()));
    }

    void l2tp_data()
    {
        QTest::addColumn<int>("replies");
        QTest::addRow("normal") << static_cast<int>(L2tpReplies::Normal);
        QTest::addRow("from another port") << static_cast<int>(L2tpReplies::FromOtherPort);
        QTest::addRow("always to 1701") << static_cast<int>(L2tpReplies::AlwaysTo1701);
    }
    void l2tp()
    {
        QFETCH(const int, replies);
        Wire wire{{.latency = 2ms, .jitter = 3ms, .loss = 10000}};
        auto& server = wire.server.run<L2tpServer>(
            L2tpServer::Options{.replies = static_cast<L2tpReplies>(replies)});
        L2tpClient::Options options{.server = kServer, .tunnelId = 7, .callLength = 5min};
        auto& one = wire.client(0).run<L2tpClient>(options);
        auto& two = wire.client(1).run<L2tpClient>(options);
        wire.network.advance(1h);
        for (const L2tpClient* client : {&one, &two}) {
            QVERIFY2(client->report().established >= 10 && client->report().received > 3000,
                     text(client->report()));
            QVERIFY2(client->report().wrong == 0, text(client->report()));
        }
        QVERIFY2(server.report().wrong == 0 && server.tunnels() <= 4, text(server.report()));
    }

    void wireguard_rekeysEveryTwoMinutes()
    {
        Wire wire{{.latency = 2ms, .jitter = 3ms, .loss = 10000}};
        auto& server = wire.server.run<WireGuardServer>();
        WireGuardClient::Options options{.server = {kServer, kWireGuardPort}};
        auto& one = wire.client(0).run<WireGuardClient>(options);
        auto& two = wire.client(1).run<WireGuardClient>(options);
        wire.network.advance(1h);
        for (const WireGuardClient* client : {&one, &two}) {
            QVERIFY2(client->report().up && client->report().received > 3400,
                     text(client->report()));
            QVERIFY2(client->report().wrong == 0 && client->report().rekeys >= 28,
                     text(client->report()));
        }
        QVERIFY2(server.report().wrong == 0, text(server.report()));
    }

    void portless_data()
    {
        QTest::addColumn<int>("kind");
        QTest::addRow("GRE with key") << static_cast<int>(PortlessKind::GreKeyed);
        QTest::addRow("GRE by inner address") << static_cast<int>(PortlessKind::GreInner);
        QTest::addRow("EoIP") << static_cast<int>(PortlessKind::Eoip);
        QTest::addRow("6in4") << static_cast<int>(PortlessKind::SixInFour);
        QTest::addRow("IPIP") << static_cast<int>(PortlessKind::IpIp);
        QTest::addRow("EtherIP") << static_cast<int>(PortlessKind::EtherIp);
        QTest::addRow("AH") << static_cast<int>(PortlessKind::Ah);
    }
    void portless()
    {
        QFETCH(const int, kind);
        const auto which = static_cast<PortlessKind>(kind);
        Wire wire;
        auto& server = wire.server.run<PortlessServer>(which);
        auto& one = wire.client(0).run<PortlessClient>(
            PortlessClient::Options{.server = kServer, .kind = which, .id = 3});
        auto& two = wire.client(1).run<PortlessClient>(
            PortlessClient::Options{.server = kServer, .kind = which, .id = 4});
        wire.network.advance(1min);
        for (const PortlessClient* client : {&one, &two}) {
            QVERIFY2(client->report().received >= 59 && client->report().wrong == 0,
                     text(client->report()));
        }
        QVERIFY2(server.report().wrong == 0, text(server.report()));
    }

    void l2tpV3_onALossyLink_talks()
    {
        Wire wire{{.latency = 2ms, .jitter = 3ms, .loss = 50000}};
        auto& server = wire.server.run<L2tpV3Server>();
        auto& one = wire.client(0).run<L2tpV3Client>(L2tpV3Client::Options{.server = kServer});
        auto& two = wire.client(1).run<L2tpV3Client>(L2tpV3Client::Options{.server = kServer});
        wire.network.advance(2min);
        for (const L2tpV3Client* client : {&one, &two}) {
            QVERIFY2(client->report().up && client->report().received >= 90 &&
                         client->report().wrong == 0,
                     text(client->report()));
        }
        QVERIFY2(server.report().wrong == 0, text(server.report()));
    }

    void l2tpV3_withoutServer_beginsAgain()
    {
        Wire wire;
        auto& client = wire.client(0).run<L2tpV3Client>(L2tpV3Client::Options{.server = kServer});
        wire.network.advance(20s);
        QVERIFY2(!client.report().up && client.report().failures >= 5, text(client.report()));
    }

    void signature_data()
    {
        QTest::addColumn<int>("row");
        for (std::size_t i = 0; i < signatures().size(); ++i) {
            const std::string row{net::textOf(signatures()[i].protocol).word};
            QTest::newRow(row.c_str()) << static_cast<int>(i);
        }
    }
    void signature()
    {
        QFETCH(const int, row);
        const Signature& spoken = signatures()[static_cast<std::size_t>(row)];
        Wire wire{{.latency = 2ms, .jitter = 3ms, .loss = 30000}};
        auto& server = wire.server.run<SignatureServer>(spoken);
        const SignatureClient::Options options{.server = kServer, .signature = &spoken};
        auto& one = wire.client(0).run<SignatureClient>(options);
        auto& two = wire.client(1).run<SignatureClient>(options);
        wire.network.advance(2min);
        for (const SignatureClient* client : {&one, &two}) {
            QVERIFY2(client->report().up && client->report().received >= 95 &&
                         client->report().wrong == 0,
                     text(client->report()));
        }
        QVERIFY2(server.report().wrong == 0, text(server.report()));
    }

    void openvpn_data()
    {
        QTest::addColumn<int>("transport");
        QTest::addRow("UDP") << static_cast<int>(OpenVpnTransport::Udp);
        QTest::addRow("TCP") << static_cast<int>(OpenVpnTransport::Tcp);
    }
    void openvpn()
    {
        QFETCH(const int, transport);
        const auto which = static_cast<OpenVpnTransport>(transport);
        Wire wire{{.latency = 2ms, .jitter = 3ms, .loss = 10000}};
        auto& server = wire.server.run<OpenVpnServer>(which);
        OpenVpnClient::Options options{.server = kServer, .transport = which, .rekeyEvery = 5min};
        auto& one = wire.client(0).run<OpenVpnClient>(options);
        auto& two = wire.client(1).run<OpenVpnClient>(options);
        wire.network.advance(1h);
        for (const OpenVpnClient* client : {&one, &two}) {
            QVERIFY2(client->report().up && client->report().received > 3400,
                     text(client->report()));
            QVERIFY2(client->report().wrong == 0 && client->report().rekeys >= 10,
                     text(client->report()));
        }
        QVERIFY2(server.report().wrong == 0, text(server.report()));
    }

    void tlsVpn_data()
    {
        QTest::addColumn<bool>("dtls");
        QTest::addRow("TLS only") << false;
        QTest::addRow("with DTLS") << true;
    }
    void tlsVpn()
    {
        QFETCH(const bool, dtls);
        const TlsVpnKind kind = dtls ? TlsVpnKind::WithDtls : TlsVpnKind::TlsOnly;
        Wire wire{{.latency = 2ms, .jitter = 3ms, .loss = 10000}};
        auto& server = wire.server.run<TlsVpnServer>(kind);
        auto& one = wire.client(0).run<TlsVpnClient>(
            TlsVpnClient::Options{.server = kServer, .kind = kind});
        auto& two = wire.client(1).run<TlsVpnClient>(
            TlsVpnClient::Options{.server = kServer, .kind = kind});
        wire.network.advance(10min);
        for (const TlsVpnClient* client : {&one, &two}) {
            QVERIFY2(client->report().up && client->report().received > 560,
                     text(client->report()));
            QVERIFY2(client->report().wrong == 0, text(client->report()));
            QCOMPARE(client->usesDtls(), dtls);
        }
        QVERIFY2(server.report().wrong == 0, text(server.report()));
    }
};

QTEST_APPLESS_MAIN(PeersTest)
#include "peers_test.moc"
