#include "engine/lab/scenario.h"

#include <QFile>
#include <QtTest>

#include <algorithm>

using namespace engine;
using namespace engine::lab;
using namespace std::chrono_literals;

namespace {

constexpr Instant kStart{1h};

/// Block of the version before, written by the last program that made them: the scenario "restart"
/// half a minute after its beginning.
std::vector<std::uint8_t> blockOfVersion2()
{
    QFile file(QStringLiteral(SAVED_STATE_VERSION2));
    if (!file.open(QIODevice::ReadOnly)) return {};
    const QByteArray all = file.readAll();
    return {all.begin(), all.end()};
}

/// As the engine seals a block.
void seal(std::vector<std::uint8_t>& block)
{
    std::uint64_t sum = 0x9e3779b97f4a7c15U;
    for (std::size_t i = 0; i + 8 < block.size(); ++i)
        sum = (sum ^ block[i]) * 0x100000001b3U;
    for (std::size_t i = 0; i < 8; ++i)
        block[block.size() - 8 + i] = static_cast<std::uint8_t>(sum >> (56 - 8 * i));
}

EngineConfig configOf(Lab& lab)
{
    EngineConfig config = lab.engine().config();
    config.maxSessions = 1024;
    return config;
}

}  // namespace

/// What a program does with state that another version of it has saved.
class SavedStateTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void stateOfTheVersionBefore_bringsItsSessionsAndTunnels_withoutTimelines()
    {
        const auto lab = Lab::make("restart", HashKey{3, 4}, kStart);
        Engine fresh{kStart + 30s, configOf(*lab)};
        QVERIFY(fresh.restoreState(kStart + 30s, blockOfVersion2()));
        const Snapshot snapshot = fresh.snapshot(kStart + 30s);
        QCOMPARE(snapshot.sessions, 43U);
        QCOMPARE(snapshot.tunnels.size(), std::size_t{24});
        for (const tunnel::Tunnel& tunnel : snapshot.tunnels) {
            QCOMPARE(tunnel.timeline.front().kind, tunnel::EventKind::Resumed);
            QCOMPARE(tunnel.timeline.front().a, tunnel::kResumedAfterRestart);
        }
        // Saved again it is of this version, and comes back with what timelines it has by now.
        Engine next{kStart + 31s, configOf(*lab)};
        QVERIFY(next.restoreState(kStart + 31s, fresh.saveState(kStart + 31s)));
        for (const tunnel::Tunnel& tunnel : next.snapshot(kStart + 31s).tunnels)
            QVERIFY(tunnel.timeline.front().at == kStart + 30s);
    }

    void stateOfAnyOtherVersion_isRefused()
    {
        const auto lab = Lab::make("restart", HashKey{3, 4}, kStart);
        lab->advance(30s);
        const auto block = lab->engine().saveState(lab->now());
        // The version stands behind the magic number.
        QCOMPARE(int{block[5]}, 4);
        for (int version = 0; version < 256; ++version) {
            auto other = block;
            other[5] = static_cast<std::uint8_t>(version);
            seal(other);
            Engine fresh{lab->now(), configOf(*lab)};
            // With another version's layout it is no state either.
            QCOMPARE(fresh.restoreState(lab->now(), other), version == 4);
            QCOMPARE(fresh.snapshot(lab->now()).sessions != 0, version == 4);
        }
    }
};

QTEST_APPLESS_MAIN(SavedStateTest)
#include "saved_state_test.moc"
