#include "engine/lab/self_test.h"

#include "engine/lab/scenario.h"
#include "engine/lab/signature.h"

#include <QtTest>

#include <algorithm>
#include <utility>

using namespace engine;
using namespace engine::lab;

class SelfTestTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void everySwitch_data()
    {
        QTest::addColumn<int>("protocol");
        QTest::addColumn<int>("mode");
        for (std::size_t i = 0; i < net::kVpnProtocolCount; ++i) {
            for (const auto& [mode, name] : {std::pair{policy::PassthroughMode::Assist, "assist"},
                                             std::pair{policy::PassthroughMode::Plain, "plain"},
                                             std::pair{policy::PassthroughMode::Block, "block"}}) {
                const std::string row = std::string{net::kVpnProtocols[i].word} + ' ' + name;
                QTest::newRow(row.c_str()) << static_cast<int>(i) << static_cast<int>(mode);
            }
        }
    }
    void everySwitch()
    {
        QFETCH(const int, protocol);
        QFETCH(const int, mode);
        policy::PassthroughSwitch position;
        position.mode = static_cast<policy::PassthroughMode>(mode);
        const SelfTestResult result = selfTest(static_cast<net::VpnProtocol>(protocol), position,
                                               HashKey{1, 2}, Instant{std::chrono::hours(1)});
        QVERIFY2(result.outcome == SelfTestResult::Outcome::Passed, result.why.c_str());
    }

    void signature_data()
    {
        QTest::addColumn<int>("row");
        for (std::size_t i = 0; i < signatures().size(); ++i) {
            const std::string row{net::textOf(signatures()[i].protocol).word};
            QTest::newRow(row.c_str()) << static_cast<int>(i);
        }
    }
    // What makes the difference is the signature: the same talk without it is nobody's tunnel.
    void signature()
    {
        QFETCH(const int, row);
        const Signature& real = signatures()[static_cast<std::size_t>(row)];
        Signature garbled = real;
        garbled.ask = nullptr;
        garbled.header = [](Identity, bool, std::uint32_t, std::size_t) {
            return octetsOf("nobody's VPN");
        };
        for (const Signature* spoken : {&real, &std::as_const(garbled)}) {
            Lab lab{labConfig(HashKey{1, 2}), Instant{std::chrono::hours(1)}};
            const net::Ipv4Address server{198, 51, 100, 10};
            lab.network().addExternal("server", server).run<SignatureServer>(*spoken);
            Host& host = lab.network().addInternal("one", net::Ipv4Address{192, 168, 77, 11});
            const auto& client = host.run<SignatureClient>(
                SignatureClient::Options{.server = server, .signature = spoken});
            lab.advance(20s);
            QVERIFY(client.report().up && client.report().received >= 18);
            QCOMPARE(client.report().wrong, 0U);
            const bool shown = std::ranges::any_of(
                lab.snapshot().tunnels,
                [&](const tunnel::Tunnel& one) { return one.protocol == real.protocol; });
            QCOMPARE(shown, spoken == &real);
        }
    }
};

QTEST_APPLESS_MAIN(SelfTestTest)
#include "self_test_test.moc"
