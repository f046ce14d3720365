#include "engine/lab/network.h"
#include "engine/lab/pptp.h"

#include <QtTest>

#include <memory>

using namespace engine;
using namespace engine::lab;

namespace {

constexpr net::Ipv4Address kServer{198, 51, 100, 10};

net::Ipv4Address inside(int i) { return net::Ipv4Address{192, 168, 77, static_cast<std::uint8_t>(10 + i)}; }

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
    return QStringLiteral("up %1 attempts %2 established %3 rekeys %4 sent %5 received %6 wrong %7 strays %8 failures %9")
        .arg(r.up).arg(r.attempts).arg(r.established).arg(r.rekeys).arg(r.sent).arg(r.received)
        .arg(r.wrong).arg(r.strays).arg(r.failures).toLatin1();
}

}  // namespace

class PeersTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void pptp_callsTalk()
    {
        Wire wire;
        auto& server = wire.server.run<PptpServer>();
        auto& one = wire.client(0).run<PptpClient>(PptpClient::Options{.server = kServer, .calls = 3});
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
        auto& client = wire.client(0).run<PptpClient>(PptpClient::Options{
            .server = kServer, .callLength = 5min, .redialAfter = 5s});
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
};

QTEST_APPLESS_MAIN(PeersTest)
#include "peers_test.moc"
