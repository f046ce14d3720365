#include "engine/lab/claims.h"
#include "engine/lab/ipsec.h"
#include "engine/lab/l2tp.h"
#include "engine/lab/openvpn.h"
#include "engine/lab/pptp.h"
#include "engine/lab/scenario.h"
#include "engine/lab/wireguard.h"

#include <QtTest>

using namespace engine;
using namespace engine::lab;

namespace {

constexpr Instant kStart{1h};
constexpr net::Ipv4Address kServer{198, 51, 100, 10};

/// A whole day if it is asked for, an hour and a half in the everyday run.
Duration length()
{
    return qEnvironmentVariableIsSet("UNDERPASS_SOAK") ? Duration{24h} : Duration{90min};
}

void play(int which, Host& server, const std::function<Host&(int)>& client)
{
    const Talk talk{.every = 4s, .jitter = 2s};
    if (which == 0) server.run<PptpServer>();
    if (which == 1 || which == 2) server.run<IpsecGateway>();
    if (which == 3) server.run<L2tpServer>();
    if (which == 4) server.run<WireGuardServer>();
    if (which == 5) server.run<OpenVpnServer>();
    for (int i = 0; i < 8; ++i) {
        Host& host = client(i);
        if (which == 0) {
            host.run<PptpClient>(PptpClient::Options{
                .server = kServer, .talk = talk, .callId = 1, .callLength = 30min + i * 97s});
        } else if (which == 1 || which == 2) {
            host.run<IpsecClient>(
                IpsecClient::Options{.gateway = kServer,
                                     .version = i % 2 == 0 ? ike::Version::V2 : ike::Version::V1,
                                     .natTraversal = which == 2,
                                     .talk = talk,
                                     .rekeyEvery = 15min,
                                     .startAfter = i * 200ms});
        } else if (which == 3) {
            host.run<L2tpClient>(L2tpClient::Options{
                .server = kServer, .talk = talk, .tunnelId = 1, .callLength = 40min + i * 89s});
        } else if (which == 4) {
            host.run<WireGuardClient>(
                WireGuardClient::Options{.server = {kServer, kWireGuardPort}, .talk = talk});
        } else {
            host.run<OpenVpnClient>(
                OpenVpnClient::Options{.server = kServer, .talk = talk, .rekeyEvery = 20min});
        }
    }
}

}  // namespace

/// Eight clients of one server for a day, with rekeys and redials: nothing may reach the wrong one.
class SoakTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void eightClients_data()
    {
        QTest::addColumn<int>("which");
        QTest::newRow("PPTP") << 0;
        QTest::newRow("plain ESP") << 1;
        QTest::newRow("IPsec in UDP") << 2;
        QTest::newRow("L2TP") << 3;
        QTest::newRow("WireGuard") << 4;
        QTest::newRow("OpenVPN") << 5;
    }
    void eightClients()
    {
        QFETCH(const int, which);
        Lab lab{labConfig(HashKey{21, 22}), kStart};
        Host& server = lab.network().addExternal("server", kServer);
        const LinkQuality quality{.latency = 1ms, .jitter = 2ms, .loss = 500, .reorder = 500};
        play(which, server, [&](int i) -> Host& {
            return lab.network().addInternal(
                "client", net::Ipv4Address{192, 168, 77, static_cast<std::uint8_t>(11 + i)},
                quality);
        });
        claimAnswered(lab, 95);
        lab.advance(length());
        const PeerReport all = lab.report();
        qInfo("%s", describe(all).c_str());
        QByteArray failed;
        for (const Check& check : lab.results()) {
            if (!check.passed)
                failed += QByteArray::fromStdString(check.what + " [" + check.detail + "]\n");
        }
        QVERIFY2(failed.isEmpty(), failed.constData());
        // Copies that a peer silently discards are rare: an inbound SPI is learned at once, or soon.
        QVERIFY2(all.strays * 100 < all.received, describe(all).c_str());
        // Nothing has piled up: eight clients, a handful of sessions each.
        QVERIFY2(lab.snapshot().sessions < 200,
                 qPrintable(QString::number(lab.snapshot().sessions)));
    }
};

QTEST_APPLESS_MAIN(SoakTest)
#include "soak_test.moc"
