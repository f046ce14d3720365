#include "engine/lab/self_test.h"

#include <QtTest>

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
        QVERIFY2(result.outcome != SelfTestResult::Outcome::Failed, result.why.c_str());
    }

    void whatNobodySpeaks_isNeverRun()
    {
        QCOMPARE(selfTest(net::VpnProtocol::Tinc, {}, HashKey{1, 2}, Instant{}).outcome,
                 SelfTestResult::Outcome::NeverRun);
        QCOMPARE(selfTest(net::VpnProtocol::Pptp, {}, HashKey{1, 2}, Instant{std::chrono::hours(1)})
                     .outcome,
                 SelfTestResult::Outcome::Passed);
    }
};

QTEST_APPLESS_MAIN(SelfTestTest)
#include "self_test_test.moc"
