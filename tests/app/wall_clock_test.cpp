#include "app/wall_clock.h"

#include <QtTest>

using namespace engine;
using namespace std::chrono_literals;

/// The wall clock is for showing only: whatever it does, what the engine has measured stays.
class WallClockTest final : public QObject {
    Q_OBJECT

private Q_SLOTS:
    // Fault R16: a year forwards or back, between two looks at one session.
    void step_changesWhenSomethingWasAndNotHowLongItTook()
    {
        const Instant now{100h};
        const auto before = app::WallClock::agreeingWith(now);
        SessionRecord session;
        session.created = now - 2h;
        session.lastPacket = now - 1min;
        session.expires = now + 3min;
        for (const Duration step : {Duration{0}, Duration{365 * 24h}, -Duration{365 * 24h}}) {
            // The wall clock went forward by so much if the engine's is so much behind.
            const auto after = app::WallClock::agreeingWith(now - step);
            const SessionRecord seen = after.toWall(session);
            QVERIFY(seen.lastPacket - seen.created == 2h - 1min);
            QVERIFY(seen.expires - seen.lastPacket == 4min);
            const Duration moved = seen.created - before.toWall(session).created;
            QVERIFY(moved >= step && moved < step + 1min);
        }
    }

    void whatHasNotHappenedYet_stillHasNot()
    {
        tunnel::Tunnel tunnel;
        tunnel.started = Instant{5h};
        const auto seen = app::WallClock::agreeingWith(Instant{6h}).toWall(tunnel);
        QVERIFY(seen.started > tunnel.started);
        QVERIFY(seen.ended == Instant{});
        QVERIFY(seen.inbound.lastPacket == Instant{});
    }
};

QTEST_APPLESS_MAIN(WallClockTest)
#include "wall_clock_test.moc"
