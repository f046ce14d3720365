#include "engine/lab/scenario.h"

#include "engine/lab/ipsec.h"

#include <QtTest>

#include <memory>

using namespace engine;
using namespace engine::lab;

namespace {

constexpr Instant kStart{1h};

}  // namespace

/// Every scenario of the lab with all its claims: the lessons are the tests.
class ScenarioTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void scenario_data()
    {
        QTest::addColumn<QByteArray>("name");
        for (const Scenario& scenario : scenarios()) {
            const QByteArray name{scenario.name.data(),
                                  static_cast<qsizetype>(scenario.name.size())};
            QTest::newRow(name.constData()) << name;
        }
    }
    void scenario()
    {
        QFETCH(const QByteArray, name);
        const std::string_view wanted{name.constData(), static_cast<std::size_t>(name.size())};
        const auto lab = Lab::make(wanted, HashKey{11, 12}, kStart);
        QVERIFY(lab != nullptr);
        for (const Scenario& scenario : scenarios()) {
            if (scenario.name == wanted) lab->advance(scenario.length);
        }
        QByteArray failed;
        for (const Check& check : lab->results()) {
            if (check.passed) continue;
            failed += QByteArray::fromStdString(check.what + " [" + check.detail + "]\n");
        }
        if (failed.isEmpty()) return;
        const Snapshot snapshot = lab->snapshot();
        for (std::size_t i = 0; i < kDropReasonCount; ++i) {
            if (snapshot.counters.drops[i] == 0) continue;
            failed += QByteArray::fromStdString(std::string{kDropReasons[i].name} + ' ' +
                                                std::to_string(snapshot.counters.drops[i]) + '\n');
        }
        QFAIL(failed.constData());
    }

    void unknownName_isNothing()
    {
        QVERIFY(Lab::make("no-such", HashKey{1, 2}, kStart) == nullptr);
    }

    void overview_sameSeed_sameOctets()
    {
        const auto run = [](std::uint64_t seed) {
            const auto lab = Lab::make("overview", HashKey{seed, 1}, kStart);
            lab->advance(1min);
            return lab->network().streamHash();
        };
        QCOMPARE(run(3), run(3));
        QVERIFY(run(3) != run(4));
    }

    void overview_inSmallSteps_isTheSame()
    {
        const auto whole = Lab::make("overview", HashKey{5, 6}, kStart);
        const auto steps = Lab::make("overview", HashKey{5, 6}, kStart);
        whole->advance(30s);
        for (int i = 0; i < 300; ++i)
            steps->advance(100ms);
        QCOMPARE(whole->network().streamHash(), steps->network().streamHash());
    }

    // IKE_AUTH with certificates is larger than a packet: the flow to 4500 begins with a fragment.
    void fragmentedAuth_isStillTheSameTunnel()
    {
        Lab lab{labConfig(HashKey{1, 2}), kStart};
        const net::Ipv4Address gateway{203, 0, 113, 20};
        lab.network().addExternal("gateway", gateway).run<IpsecGateway>();
        lab.network()
            .addInternal("phone", net::Ipv4Address{192, 168, 77, 25})
            .run<IpsecClient>(IpsecClient::Options{.gateway = gateway, .authSize = 2200});
        lab.advance(30s);
        const Snapshot snapshot = lab.snapshot();
        QCOMPARE(snapshot.tunnels.size(), std::size_t{1});
        QCOMPARE(snapshot.tunnels[0].phase, tunnel::Phase::Established);
        QVERIFY(snapshot.tunnels[0].outbound.packets >= 25);
    }

    void overview_looksAlive()
    {
        const auto lab = Lab::make("overview", HashKey{5, 6}, kStart);
        lab->advance(2min);
        const Snapshot snapshot = lab->snapshot();
        std::size_t established = 0;
        std::size_t findings = 0;
        bool sstp = false;
        for (const tunnel::Tunnel& tunnel : snapshot.tunnels) {
            if (tunnel.phase == tunnel::Phase::Established) ++established;
            findings += tunnel.findings.size();
            // Nothing in TLS proves it, and still it is shown: as a guess.
            sstp = sstp || (tunnel.protocol == net::VpnProtocol::Sstp &&
                            tunnel.confidence == tunnel::Confidence::Guess &&
                            tunnel.phase == tunnel::Phase::Established);
        }
        QVERIFY2(established >= 11, qPrintable(QString::number(established)));
        QVERIFY(findings >= 1);
        QVERIFY(sstp);
        QVERIFY(snapshot.devices.size() >= 11);
        QVERIFY(snapshot.counters.inbound.bytes > 3'000'000);
        QVERIFY(!lab->takeEvents().empty());
    }
};

QTEST_APPLESS_MAIN(ScenarioTest)
#include "scenario_test.moc"
