#include <QTest>

#include "tests/engine/passthrough/ipsec_world.h"

using namespace ipsecworld;

namespace {

/// What became of inbound ESP, over several worlds.
struct Tally {
    std::uint64_t sas = 0;
    std::uint64_t firstRight = 0;
    std::uint64_t right = 0;
    std::uint64_t wrong = 0;
    std::uint64_t copies = 0;
    std::uint64_t lost = 0;
    std::uint64_t late = 0;
    Duration slowest{0};

    void add(const World& world)
    {
        sas += world.sasSeen;
        firstRight += world.sasFirstRight;
        right += world.right;
        wrong += world.wrongAlone;
        copies += world.copies;
        lost += world.lost;
        late += world.sasLate;
        slowest = std::max(slowest, world.slowest);
    }
    void print() const
    {
        const auto number = [](std::uint64_t value) {
            return static_cast<qulonglong>(value);
        };
        qInfo(
            "%llu SAs, first packet right %llu, right %llu, wrong %llu, copies %llu, lost %llu, "
            "slowest %.3f s",
            number(sas), number(firstRight), number(right), number(wrong), number(copies),
            number(lost), static_cast<double>(slowest.count()) / 1e9);
    }
};

}  // namespace

class IpsecTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void plainEsp_ofEightClients_reachesItsOwner_data();
    void plainEsp_ofEightClients_reachesItsOwner();
    void manualKeys_ofSeveralClients_findTheirOwner_data();
    void manualKeys_ofSeveralClients_findTheirOwner();
    void plainEsp_duringADayOfRekeys_neverReachesAnotherClient_data();
    void plainEsp_duringADayOfRekeys_neverReachesAnotherClient();
};

void IpsecTest::plainEsp_ofEightClients_reachesItsOwner_data()
{
    QTest::addColumn<int>("version");
    QTest::addColumn<int>("stagger");
    QTest::addColumn<int>("roundTrip");
    for (const int version : {1, 2}) {
        for (const int stagger : {0, 10, 100}) {
            for (const int roundTrip : {5, 20, 80, 200}) {
                QTest::addRow("IKEv%d, %d ms apart, round trip %d ms", version, stagger, roundTrip)
                    << version << stagger << roundTrip;
            }
        }
    }
}

void IpsecTest::plainEsp_ofEightClients_reachesItsOwner()
{
    QFETCH(int, version);
    QFETCH(int, stagger);
    QFETCH(int, roundTrip);
    const policy::PassthroughPolicy policy;
    Tally tally;
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        Habits habits;
        habits.version = static_cast<std::uint8_t>(version);
        habits.stagger = std::chrono::milliseconds(stagger);
        habits.roundTrip = std::chrono::milliseconds(roundTrip);
        World world(habits, policy, seed);
        world.runFor(2min);
        for (const auto& client : world.clients) {
            QVERIFY(client.up);
            QVERIFY(client.answers > 0);
        }
        QCOMPARE(world.nat.refusedBindings, std::size_t{0});
        QVERIFY(world.nat.longestHold <= 700ms);
        tally.add(world);
    }
    tally.print();
    QVERIFY(tally.firstRight * 100 >= tally.sas * 99);
    QCOMPARE(tally.late, std::uint64_t{0});
}

void IpsecTest::manualKeys_ofSeveralClients_findTheirOwner_data()
{
    QTest::addColumn<int>("clients");
    QTest::newRow("one") << 1;
    QTest::newRow("two") << 2;
    QTest::newRow("eight") << 8;
}

void IpsecTest::manualKeys_ofSeveralClients_findTheirOwner()
{
    QFETCH(int, clients);
    const policy::PassthroughPolicy policy;
    Tally tally;
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        Habits habits;
        habits.clients = static_cast<std::size_t>(clients);
        habits.ike = false;
        habits.longestPeriod = 1s;
        World world(habits, policy, seed);
        world.runFor(2min);
        tally.add(world);
        for (const auto& client : world.clients)
            QVERIFY(client.answers * 10 > client.requests * 8);
    }
    tally.print();
}

void IpsecTest::plainEsp_duringADayOfRekeys_neverReachesAnotherClient_data()
{
    QTest::addColumn<int>("version");
    QTest::addColumn<int>("longestPeriod");
    QTest::addColumn<int>("mostCopies");
    QTest::newRow("IKEv1, busy") << 1 << 5 << 0;
    QTest::newRow("IKEv2, busy") << 2 << 5 << 0;
    // Two idle clients may both wait for the first packet of their new SAs, and the gateway sends
    // unasked: a few packets are tried on both.
    QTest::newRow("IKEv1, idle") << 1 << 30 << 16;
    QTest::newRow("IKEv2, idle") << 2 << 30 << 16;
}

void IpsecTest::plainEsp_duringADayOfRekeys_neverReachesAnotherClient()
{
    QFETCH(int, version);
    QFETCH(int, longestPeriod);
    QFETCH(int, mostCopies);
    const policy::PassthroughPolicy policy;
    Habits habits;
    habits.version = static_cast<std::uint8_t>(version);
    habits.stagger = 10ms;
    habits.longestPeriod = std::chrono::seconds(longestPeriod);
    habits.ikeRekey = 3h;
    World world(habits, policy, 7);
    world.runFor(24h);
    Tally tally;
    tally.add(world);
    tally.print();
    for (const auto& client : world.clients)
        QVERIFY(client.rekeys > 20);
    QCOMPARE(world.wrongAlone, std::uint64_t{0});
    QVERIFY(world.copies <= static_cast<std::uint64_t>(mostCopies));
    QCOMPARE(world.nat.refusedBindings, std::size_t{0});
    // Nothing is left behind but what lives: two SAs each way per client, and one group.
    QVERIFY(world.nat.sessions.size() <= 8 * 8);
    QCOMPARE(world.sasLate, std::uint64_t{0});
}

QTEST_APPLESS_MAIN(IpsecTest)
#include "ipsec_test.moc"
