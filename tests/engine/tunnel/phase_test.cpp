#include "engine/tunnel/phase.h"

#include <QTest>

using namespace engine::tunnel;

class PhaseTest : public QObject {
    Q_OBJECT
private Q_SLOTS:
    void everyPair_hasAnAnswer_endsAreFinal();
    void handshake_inEstablished_changesNothing();
    void held_movesOnlyByReleaseOrAnEnd();
    void observedPhase_fromSeen_leadsThere();
};

void PhaseTest::everyPair_hasAnAnswer_endsAreFinal()
{
    for (std::size_t p = 0; p < kPhaseCount; ++p) {
        for (std::size_t s = 0; s < kPhaseSignCount; ++s) {
            const Phase before = static_cast<Phase>(p);
            const Phase after = next(before, static_cast<PhaseSign>(s));
            QVERIFY(static_cast<std::size_t>(after) < kPhaseCount);
            if (isOver(before)) QCOMPARE(after, before);
        }
    }
}

void PhaseTest::handshake_inEstablished_changesNothing()
{
    QCOMPARE(next(Phase::Established, PhaseSign::Handshake), Phase::Established);
    QCOMPARE(next(Phase::Established, PhaseSign::Rekey), Phase::Rekeying);
    QCOMPARE(next(Phase::Rekeying, PhaseSign::DataBothWays), Phase::Established);
}

void PhaseTest::held_movesOnlyByReleaseOrAnEnd()
{
    for (std::size_t s = 0; s < kPhaseSignCount; ++s) {
        const PhaseSign sign = static_cast<PhaseSign>(s);
        const Phase after = next(Phase::Held, sign);
        if (sign == PhaseSign::Release) {
            QCOMPARE(after, Phase::Established);
        } else {
            QVERIFY(after == Phase::Held || isOver(after));
        }
    }
}

void PhaseTest::observedPhase_fromSeen_leadsThere()
{
    for (const Phase phase : {Phase::Seen, Phase::Handshaking, Phase::Authenticating,
                              Phase::Establishing, Phase::Established, Phase::Closing}) {
        QCOMPARE(next(Phase::Seen, signOf(phase)), phase);
    }
    QCOMPARE(next(Phase::Established, signOf(Phase::Rekeying)), Phase::Rekeying);
}

QTEST_APPLESS_MAIN(PhaseTest)
#include "phase_test.moc"
