#include "app/services/live_effect.h"

#include <QtTest>

using app::Rules;
using engine::net::Ipv4Address;
using engine::policy::OnLive;

namespace {

constexpr Ipv4Address kAnna{192, 168, 1, 10};
constexpr Ipv4Address kBert{192, 168, 1, 11};

QString effect(const Rules& before, const engine::Snapshot& live, const engine::Command& command,
               std::uint32_t concerned = 0)
{
    return QString::fromStdString(app::services::liveEffect(before, live, command, concerned));
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
        QCOMPARE(effect(before, live, engine::SetExposedHost{kBert}, 2),
                 QStringLiteral("2 live sessions that came in to 192.168.1.10 end with it."));
        QCOMPARE(
            effect(before, live, engine::SetExposedHost{{}, OnLive::Finish}, 2),
            QStringLiteral("2 live sessions that came in to 192.168.1.10 run on until they end."));
        QCOMPARE(effect(before, live, engine::SetExposedHost{{}, OnLive::Finish}, 1),
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
        QCOMPARE(effect({}, live, engine::SetOneToOnes{}, 2),
                 QStringLiteral("2 live sessions whose external address changes hands end now."));
        QCOMPARE(effect({}, live, engine::SetOneToOnes{{}, OnLive::Finish}, 1),
                 QStringLiteral("1 live session whose external address changes hands runs on with "
                                "the address it has until it ends."));
        QCOMPARE(effect({}, live, engine::SetOneToOnes{}, 0), QString());
    }
};

QTEST_APPLESS_MAIN(LiveEffectTest)
#include "live_effect_test.moc"
