#include "app/services/live_effect.h"

#include <QtTest>

using app::Rules;
using engine::net::Ipv4Address;
using engine::policy::OnLive;

namespace {

constexpr Ipv4Address kAnna{192, 168, 1, 10};
constexpr Ipv4Address kBert{192, 168, 1, 11};

QString effect(const Rules& before, const engine::Snapshot& live, const engine::Command& command)
{
    return QString::fromStdString(app::services::liveEffect(before, live, command));
}

}  // namespace

/// What the answer to a change says about live sessions.
class LiveEffectTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void exposedHost_saysWhatBecomesOfWhatCameIn()
    {
        Rules before;
        before.exposedHost = kAnna;
        engine::Snapshot live;
        live.sessions = 9;
        live.exposedSessions = 2;
        QCOMPARE(effect(before, live, engine::SetExposedHost{kBert}),
                 QStringLiteral("2 live sessions that came in to 192.168.1.10 end with it."));
        QCOMPARE(
            effect(before, live, engine::SetExposedHost{{}, OnLive::Finish}),
            QStringLiteral("2 live sessions that came in to 192.168.1.10 run on until they end."));
        live.exposedSessions = 1;
        QCOMPARE(effect(before, live, engine::SetExposedHost{{}, OnLive::Finish}),
                 QStringLiteral("1 live session that came in to 192.168.1.10 runs on until it "
                                "ends."));
        // Nothing is taken from anybody.
        const QString goesOn = QStringLiteral(
            "Live sessions run on; connections that begin from now on follow the "
            "rule.");
        QCOMPARE(effect(before, live, engine::SetExposedHost{kAnna}), goesOn);
        before.exposedHost = {};
        QCOMPARE(effect(before, live, engine::SetExposedHost{kAnna}), goesOn);
        QCOMPARE(effect(before, {}, engine::SetExposedHost{kAnna}), QString());
    }

    void oneToOne_saysWhatBecomesOfTheAddress()
    {
        engine::Snapshot live;
        live.sessions = 3;
        QVERIFY(effect({}, live, engine::SetOneToOnes{}).contains(QStringLiteral("end now")));
        QVERIFY(effect({}, live, engine::SetOneToOnes{{}, OnLive::Finish})
                    .contains(QStringLiteral("run on with the address they have until they end")));
        QCOMPARE(effect({}, {}, engine::SetOneToOnes{}), QString());
    }
};

QTEST_APPLESS_MAIN(LiveEffectTest)
#include "live_effect_test.moc"
