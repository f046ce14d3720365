#include "engine/lab/ipsec.h"
#include "engine/lab/network.h"
#include "engine/lab/pptp.h"
#include "engine/lab/sha1.h"

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
        wire.server.run<PptpServer>(PptpServer::Options{.secret = PppSecret::Wrong});
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
};

QTEST_APPLESS_MAIN(PeersTest)
#include "peers_test.moc"
