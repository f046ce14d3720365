// The lab as a window plays it: other scenarios without waiting, rules that stay, claims that are
// judged once and for all.
#include "app/engine_host.h"
#include "app/lab_backend.h"
#include "app/lab_player.h"

#include <QSignalSpy>
#include <QtTest>

#include <algorithm>

using namespace app;
using namespace std::chrono_literals;
using engine::net::Ipv4Address;
using engine::net::Port;
using engine::net::VpnProtocol;
using engine::policy::PassthroughMode;

namespace {

constexpr engine::HashKey kSeed{3, 4};

LabRequest request(const char* scenario)
{
    return {scenario, kSeed, Rules{}, Rules{}};
}

engine::policy::PortForward forward(std::uint16_t port, const char* name)
{
    engine::policy::PortForward rule;
    rule.id = 1;
    rule.name = name;
    rule.externalPorts = {Port{port}, Port{port}};
    rule.internalAddress = Ipv4Address{192, 168, 77, 60};
    rule.internalFirst = Port{80};
    return rule;
}

/// Advances a lab as the engine thread does, until its story is over.
LabProgress playToTheEnd(LabBackend& lab, LabDial& dial)
{
    std::vector<engine::Event> events;
    for (int i = 0; i < 4000 && !dial.progress().over; ++i) {
        lab.run(250ms, events);
        (void)lab.snapshot().sessions;
    }
    return dial.progress();
}

}  // namespace

class LabTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void rules_thatTheUserChanged_comeAlong()
    {
        const PreparedLab first = prepareLab(request("pptp-eight"));
        QVERIFY(first.lab && isSame(first.rules, first.own));
        LabRequest next = request("hairpin");
        next.before = first.own;
        next.changed = first.rules;
        next.changed.passthrough.set(VpnProtocol::Pptp, {PassthroughMode::Plain, {}});
        next.changed.portForwards.push_back(forward(9000, "mine"));
        next.changed.nat.timers.udpTwoWay += 60s;
        next.changed.settings.retentionDays = 7;
        const PreparedLab second = prepareLab(next);
        QVERIFY(second.aside.isEmpty());
        // Hairpin has forwards of its own; mine stands beside them with an id of its own.
        QVERIFY(!second.own.portForwards.empty());
        QCOMPARE(second.rules.portForwards.size(), second.own.portForwards.size() + 1);
        QCOMPARE(QString::fromStdString(second.rules.portForwards.back().name),
                 QStringLiteral("mine"));
        for (const auto& rule : second.own.portForwards)
            QVERIFY(rule.id != second.rules.portForwards.back().id);
        QCOMPARE(second.rules.settings.retentionDays, 7U);
        // What is told is what the engine does.
        QVERIFY(isSame(rulesOf(second.lab->engine().config()), second.rules));
        QCOMPARE(second.rules.passthrough.of(VpnProtocol::Pptp).mode, PassthroughMode::Plain);

        // Back again: the scenario's own rules do not travel, the user's do.
        LabRequest back = request("pptp-eight");
        back.before = second.own;
        back.changed = second.rules;
        const PreparedLab third = prepareLab(back);
        QCOMPARE(third.rules.portForwards.size(), std::size_t{1});
        QCOMPARE(third.rules.nat.timers.udpTwoWay, next.changed.nat.timers.udpTwoWay);
    }

    void scenariosForward_takenAway_staysAwayWhenItIsPlayedAgain()
    {
        const PreparedLab first = prepareLab(request("hairpin"));
        LabRequest again = request("hairpin");
        again.before = first.own;
        again.changed = first.rules;
        const auto taken = again.changed.portForwards.front();
        again.changed.portForwards.erase(again.changed.portForwards.begin());
        const PreparedLab second = prepareLab(again);
        QCOMPARE(second.rules.portForwards.size(), first.own.portForwards.size() - 1);
        QVERIFY(std::ranges::find(second.rules.portForwards, taken) ==
                second.rules.portForwards.end());
    }

    void forwardThatClashes_isKeptSwitchedOff()
    {
        const PreparedLab first = prepareLab(request("pptp-eight"));
        const PreparedLab plain = prepareLab(request("hairpin"));
        LabRequest next = request("hairpin");
        next.before = first.own;
        next.changed = first.rules;
        auto mine = plain.own.portForwards.front();
        mine.name = "mine";
        mine.internalAddress = Ipv4Address{192, 168, 77, 77};
        next.changed.portForwards.push_back(mine);
        const PreparedLab second = prepareLab(next);
        QCOMPARE(second.aside.size(), 1);
        QVERIFY(second.aside.first().contains(QStringLiteral("mine")));
        QCOMPARE(second.rules.portForwards.size(), plain.own.portForwards.size() + 1);
        QVERIFY(!second.rules.portForwards.back().enabled);
        QVERIFY(second.rules.portForwards.front().enabled);
        QVERIFY(isSame(rulesOf(second.lab->engine().config()), second.rules));
    }

    void unknownScenario_isNone() { QVERIFY(!prepareLab(request("no-such")).lab); }

    /// The lessons are the tests: at the end everything holds; with the switch on plain it does
    /// not, and it is not said to fail before the end.
    void claims_areJudgedAtTheEnd_data()
    {
        QTest::addColumn<bool>("plain");
        QTest::newRow("assist") << false;
        QTest::newRow("plain") << true;
    }
    void claims_areJudgedAtTheEnd()
    {
        QFETCH(const bool, plain);
        LabRequest wanted = request("pptp-eight");
        if (plain) wanted.changed.passthrough.set(VpnProtocol::Pptp, {PassthroughMode::Plain, {}});
        PreparedLab prepared = prepareLab(wanted);
        const auto dial = std::make_shared<LabDial>();
        LabBackend lab(std::move(prepared.lab), {}, prepared.length, dial);
        QVERIFY(!dial->progress().over);
        QVERIFY(!dial->progress().checks.empty());
        dial->setSpeed(5000);
        const LabProgress end = playToTheEnd(lab, *dial);
        QVERIFY(end.over);
        QCOMPARE(end.played, prepared.length);
        const auto holds = [](const engine::lab::Check& check) {
            return check.passed;
        };
        QCOMPARE(std::ranges::all_of(end.checks, holds), !plain);
        // Then the lab goes on at everybody's pace, and the verdict stays.
        QCOMPARE(dial->speed(), 1);
        std::vector<engine::Event> events;
        lab.run(30ms, events);
        QVERIFY(lab.snapshot().at - engine::Instant{1h} < prepared.length + 10s);
        QCOMPARE(dial->progress().checks.size(), end.checks.size());
    }

    void slowLab_fallsBehindAndNeverLeaps()
    {
        PreparedLab prepared = prepareLab(request("udp-expiry"));
        const auto dial = std::make_shared<LabDial>();
        LabBackend lab(std::move(prepared.lab), {}, prepared.length, dial);
        dial->setSpeed(1'000'000);
        std::vector<engine::Event> events;
        engine::Instant last = lab.now();
        for (int i = 0; i < 20; ++i) {
            lab.run(1ms, events);
            QVERIFY(lab.now() >= last);
            last = lab.now();
        }
        const auto before = lab.snapshot().at;
        QVERIFY(lab.now() - before <= 2s);
    }

    void player_preparesAside_andTellsOnlyTheLast()
    {
        LabPlayer player;
        QStringList told;
        connect(&player, &LabPlayer::prepared, this,
                [&](const std::shared_ptr<PreparedLab>& prepared) {
                    QVERIFY(prepared->lab != nullptr);
                    told += QString::fromStdString(prepared->scenario);
                });
        player.prepare(request("pptp-eight"));
        player.prepare(request("esp-eight"));
        player.prepare(request("hairpin"));
        // Asking does not wait: nothing can have been told yet.
        QVERIFY(told.isEmpty());
        QVERIFY(player.isBusy());
        QTRY_COMPARE_WITH_TIMEOUT(told, QStringList{QStringLiteral("hairpin")}, 30000);
        QVERIFY(!player.isBusy());
        player.prepare(request("pptp-eight"));
        player.forget();
        QVERIFY(!player.isBusy());
        player.prepare(request("esp-eight"));
        QTRY_COMPARE_WITH_TIMEOUT(told.size(), 2, 30000);
        QCOMPARE(told.last(), QStringLiteral("esp-eight"));
    }
};

QTEST_GUILESS_MAIN(LabTest)
#include "lab_test.moc"
