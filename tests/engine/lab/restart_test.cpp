#include "engine/base/random.h"
#include "engine/lab/scenario.h"

#include <QtTest>

#include <memory>

using namespace engine;
using namespace engine::lab;

namespace {

constexpr Instant kStart{1h};

/// As the engine seals a block, so that what is behind the seal can be tried.
std::uint64_t sealOf(std::span<const std::uint8_t> bytes)
{
    std::uint64_t state = 0x9e3779b97f4a7c15U;
    for (const std::uint8_t octet : bytes)
        state = (state ^ octet) * 0x100000001b3U;
    return state;
}
void seal(std::vector<std::uint8_t>& block)
{
    const std::uint64_t sum = sealOf(std::span(block).first(block.size() - 8));
    for (std::size_t i = 0; i < 8; ++i)
        block[block.size() - 8 + i] = static_cast<std::uint8_t>(sum >> (56 - 8 * i));
}

}  // namespace

/// What the scenario "restart" does not show: blocks that are no state.
class RestartTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void stateOfLiveTunnels_garbledBehindItsSeal_isRefusedWholeOrHarmless()
    {
        const auto lab = Lab::make("restart", HashKey{3, 4}, kStart);
        lab->advance(30s);
        const std::vector<std::uint8_t> block = lab->engine().saveState(lab->now());
        EngineConfig config = lab->engine().config();
        config.maxSessions = 1024;
        {
            auto sealed = block;
            seal(sealed);
            QCOMPARE(sealed, block);
            Engine fresh{lab->now(), config};
            QVERIFY(fresh.restoreState(lab->now(), block));
            QVERIFY(fresh.snapshot(lab->now()).tunnels.size() >= 21);
        }
        Random random({5, 6});
        std::uint32_t refused = 0;
        for (int round = 0; round < 1500; ++round) {
            auto garbled = block;
            // Lengths and counts are large where it hurts; single bits and whole octets elsewhere.
            const std::uint32_t changes = 1 + random.below(3);
            for (std::uint32_t i = 0; i < changes; ++i) {
                const std::size_t at = random.below(static_cast<std::uint32_t>(block.size() - 8));
                garbled[at] = random.below(2) == 0
                                  ? static_cast<std::uint8_t>(garbled[at] ^ (1U << random.below(8)))
                                  : static_cast<std::uint8_t>(random.next());
            }
            if (random.below(8) == 0) garbled.resize(8 + random.below(std::uint32_t(block.size())));
            seal(garbled);
            Engine fresh{lab->now(), config};
            Output output;
            if (!fresh.restoreState(lab->now(), garbled)) {
                ++refused;
                QCOMPARE(fresh.snapshot(lab->now()).sessions, 0U);
                QVERIFY(fresh.snapshot(lab->now()).tunnels.empty());
                QVERIFY(fresh.restoreState(lab->now(), block));
            }
            // Whatever was taken ends like everything else.
            for (Instant now = lab->now(); now < lab->now() + 30h; now += 1h) {
                for (int i = 0; i < 4; ++i)
                    fresh.handleTimeout(now, output);
                output.clear();
            }
        }
        QVERIFY2(refused > 200, qPrintable(QString::number(refused)));
    }
};

QTEST_APPLESS_MAIN(RestartTest)
#include "restart_test.moc"
