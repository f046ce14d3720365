#include "tests/engine/engine_program.h"

#include "engine/base/random.h"

#include <QtTest>

#include <vector>

using namespace engine;

namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes octetsOf(std::uint64_t seed)
{
    Random random{HashKey{seed, 0x70726f67}};
    Bytes octets(200 + random.below(1000));
    for (auto& octet : octets)
        octet = static_cast<std::uint8_t>(random.next());
    return octets;
}

}  // namespace

/// Random programs for a whole engine: whatever happens to it, in whatever order, its promises
/// hold, and the same once more gives the same octets. UNDERPASS_SOAK=1 runs a hundred times as
/// many.
class EngineProgramTest final : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void randomPrograms_breakNoPromise()
    {
        const std::uint64_t count = qEnvironmentVariableIsSet("UNDERPASS_SOAK") ? 400'000 : 1'000;
        const std::uint64_t first = qgetenv("UNDERPASS_FIRST_SEED").toULongLong();
        std::uint64_t packets = 0;
        std::uint64_t forwarded = 0;
        std::uint64_t delivered = 0;
        std::uint64_t restarts = 0;
        std::uint64_t endedByRules = 0;
        for (std::uint64_t seed = first; seed < first + count; ++seed) {
            const Bytes octets = octetsOf(seed);
            const program::Ending ending =
                seed % 4 == 0 ? program::runTwice(octets) : program::run(octets);
            if (!ending.complaint.empty()) {
                QFAIL(qPrintable(QStringLiteral("seed %1, %2")
                                     .arg(seed)
                                     .arg(QString::fromStdString(ending.complaint))));
            }
            packets += ending.packets;
            forwarded += ending.forwarded;
            delivered += ending.delivered;
            restarts += ending.restarts;
            endedByRules += ending.endedByRules;
        }
        qInfo(
            "%llu programs, %llu packets, %llu forwarded, %llu of them to devices, %llu "
            "restarts, %llu sessions ended by rules",
            static_cast<unsigned long long>(count), static_cast<unsigned long long>(packets),
            static_cast<unsigned long long>(forwarded), static_cast<unsigned long long>(delivered),
            static_cast<unsigned long long>(restarts),
            static_cast<unsigned long long>(endedByRules));
        // Programs that reach nothing would prove nothing.
        QVERIFY(packets > count * 20);
        QVERIFY(forwarded > packets / 5);
        QVERIFY(delivered > packets / 50);
        QVERIFY(restarts > count / 10);
        QVERIFY(endedByRules > count / 20);
    }
};

QTEST_APPLESS_MAIN(EngineProgramTest)
#include "engine_program_test.moc"
