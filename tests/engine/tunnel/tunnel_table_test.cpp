#include "engine/tunnel/tunnel_table.h"

#include <QTest>

#include <algorithm>
#include <array>
#include <vector>

using namespace engine;
using namespace engine::tunnel;
using namespace std::chrono_literals;
using net::Direction;
using net::VpnProtocol;

namespace {

constexpr Instant kStart{1000s};
constexpr net::Ipv4Address kDevice{192, 0, 2, 10};
constexpr net::Ipv4Address kServer{203, 0, 113, 9};
constexpr TunnelKey kKey{kDevice, kServer, 7};

Observation labelled(const TunnelKey& key, VpnProtocol protocol, Confidence confidence)
{
    Observation observation;
    observation.key = key;
    observation.kind = Observation::Kind::Label;
    observation.protocol = protocol;
    observation.confidence = confidence;
    observation.server = {key.server, net::Port{51820}};
    return observation;
}

Observation phased(const TunnelKey& key, Phase phase)
{
    Observation observation;
    observation.key = key;
    observation.kind = Observation::Kind::Phase;
    observation.phase = phase;
    return observation;
}

std::vector<std::uint8_t> wireGuardData(std::uint32_t index, std::uint64_t counter,
                                        std::size_t size = 112)
{
    std::array<std::uint8_t, 148> bytes{4};
    for (std::size_t i = 0; i < 4; ++i)
        bytes[4 + i] = static_cast<std::uint8_t>(index >> (8 * i));
    for (std::size_t i = 0; i < 8; ++i)
        bytes[8 + i] = static_cast<std::uint8_t>(counter >> (8 * i));
    return {bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size)};
}

std::vector<std::uint8_t> wireGuardHandshake(std::uint8_t type, std::uint32_t sender,
                                             std::uint32_t receiver)
{
    std::array<std::uint8_t, 148> bytes{type};
    for (std::size_t i = 0; i < 4; ++i) {
        bytes[4 + i] = static_cast<std::uint8_t>(sender >> (8 * i));
        if (type == 2) bytes[8 + i] = static_cast<std::uint8_t>(receiver >> (8 * i));
    }
    return {bytes.begin(), bytes.begin() + (type == 1 ? 148 : 92)};
}

/// One WireGuard tunnel in a table.
struct Fixture {
    TunnelTable table{HashKey{1, 2}};
    Instant now = kStart;
    AttachmentId session;
    std::uint64_t numbers[2] = {0, 0};

    Fixture()
    {
        table.apply(now, labelled(kKey, VpnProtocol::WireGuard, Confidence::Certain));
        session = table.attach(now, kKey, SequenceKind::WireGuard);
    }
    void pass(Direction direction, const std::vector<std::uint8_t>& payload)
    {
        table.count(session, now,
                    {.direction = direction,
                     .payload = payload,
                     .bytes = payload.size() + 28,
                     .packet = payload});
    }
    void data(Direction direction, std::uint32_t index = 1)
    {
        pass(direction, wireGuardData(index, numbers[static_cast<int>(direction)]++));
    }
    void go(Duration time)
    {
        const Instant until = now + time;
        while (now < until) {
            now += 1s;
            table.handleTimeout(now);
        }
    }
    Tunnel only()
    {
        const auto all = table.tunnels();
        return all.empty() ? Tunnel{} : all.back();
    }
    bool has(FindingKind kind)
    {
        for (const Finding& finding : only().findings) {
            if (finding.kind == kind) return true;
        }
        return false;
    }
    int times(EventKind kind)
    {
        int count = 0;
        for (const TimelineEvent& event : only().timeline) {
            if (event.kind == kind) count += static_cast<int>(event.repeats);
        }
        return count;
    }
};

}  // namespace

class TunnelTableTest : public QObject {
    Q_OBJECT
private Q_SLOTS:
    void label_makesATunnel_laterAndBetterOnesReplaceIt();
    void dataBothWays_isEstablished();
    void counters_areExact_alsoAfterDetach();
    void oneWay_forThirtySeconds_isDegradedAndFound_andRecovers();
    void oneWay_beyondTheProtocolsTimer_isDead_andRevivesWhenAnswered();
    void keepalivesOnly_areNotOneWay();
    void silence_ofFortySeconds_isNoted_once();
    void unanswered_isFound_thenFailed();
    void rekey_isSeen_withRoundTrip_andWithoutLoss();
    void loss_aboveTheLimit_degrades();
    void largePackets_neverAnsweredWhileSmallOnesAre_areABlackHole();
    void largePackets_thatAreAnsweredOrFollowEachOther_areNone();
    void offloadedPacket_isCountedSegmentBySegment();
    void held_keepsThePhase_releaseGivesItBack_dropRefuses();
    void lastSessionGone_endsTheTunnel_byItsCause();
    void ended_isReportedOnce_andForgottenAfterAMinute();
    void thousandsOfTunnels_areToldOfAndSweptAFewAtATime();
    void changes_areReportedFourTimesASecond();
    void merge_movesSessions_andKeepsBothKeys();
    void timeline_whenFull_keepsItsEnds();
    void hostileText_isCut();
    void manyTunnelsOfOneDevice_areBounded();
    void sameCalls_giveTheSameTunnels();
    void silenceAfterAPossibleGoodbye_isLikelyDeleted_unlessItIsUsual();
    void savedTable_comesBackWithTimelinesAndFindings();
    void lossOfBeforeARestart_isNotTakenForLossOfNow();
    void savedTimelinesOfThousands_stayWithinTheirBound();
    void savedTimeline_withAnythingAbsurd_isRefused();
};

void TunnelTableTest::label_makesATunnel_laterAndBetterOnesReplaceIt()
{
    TunnelTable table{HashKey{1, 2}};
    table.apply(kStart, labelled(kKey, VpnProtocol::Sstp, Confidence::Likely));
    QCOMPARE(table.size(), 1U);
    table.apply(kStart, labelled(kKey, VpnProtocol::SoftEther, Confidence::Guess));
    QCOMPARE(table.tunnels()[0].protocol, VpnProtocol::Sstp);
    table.apply(kStart, labelled(kKey, VpnProtocol::AnyConnect, Confidence::Certain));
    QCOMPARE(table.tunnels()[0].protocol, VpnProtocol::AnyConnect);
    QCOMPARE(table.size(), 1U);
    QVERIFY(table.attach(kStart, TunnelKey{kDevice, kServer, 99}, SequenceKind::None).isNone());
}

void TunnelTableTest::dataBothWays_isEstablished()
{
    Fixture f;
    f.data(Direction::Outbound);
    QVERIFY(f.only().phase != Phase::Established);
    f.data(Direction::Inbound);
    QCOMPARE(f.only().phase, Phase::Established);
    QCOMPARE(f.times(EventKind::DataFirstOutbound), 1);
    QCOMPARE(f.times(EventKind::DataFirstInbound), 1);
}

void TunnelTableTest::counters_areExact_alsoAfterDetach()
{
    Fixture f;
    for (int i = 0; i < 10; ++i)
        f.data(Direction::Outbound);
    for (int i = 0; i < 3; ++i)
        f.data(Direction::Inbound);
    QCOMPARE(f.only().outbound.packets, 10U);
    QCOMPARE(f.only().outbound.bytes, 10U * 140U);
    const AttachmentId second = f.table.attach(f.now, kKey, SequenceKind::None);
    f.table.count(second, f.now, {.direction = Direction::Inbound, .bytes = 500, .packets = 5});
    QCOMPARE(f.only().inbound.packets, 8U);
    QCOMPARE(f.only().sessions, 2U);
    f.table.detach(f.now, f.session);
    QCOMPARE(f.only().outbound.packets, 10U);
    QCOMPARE(f.only().inbound.packets, 8U);
    QCOMPARE(f.only().sessions, 1U);
    // An id that is gone counts nowhere.
    f.data(Direction::Outbound);
    QCOMPARE(f.only().outbound.packets, 10U);
}

void TunnelTableTest::oneWay_forThirtySeconds_isDegradedAndFound_andRecovers()
{
    Fixture f;
    f.data(Direction::Outbound);
    f.data(Direction::Inbound);
    for (int i = 0; i < 30; ++i) {
        f.data(Direction::Outbound);
        f.go(1s);
    }
    QCOMPARE(f.only().phase, Phase::Established);
    for (int i = 0; i < 3; ++i) {
        f.data(Direction::Outbound);
        f.go(1s);
    }
    QCOMPARE(f.only().phase, Phase::Degraded);
    QVERIFY(f.has(FindingKind::OutboundOnly));
    QVERIFY(!f.has(FindingKind::InboundOnly));
    f.data(Direction::Outbound);
    const std::uint64_t inVain = f.numbers[0] - 3;  // the first after it was found
    f.go(2s);
    QCOMPARE(f.only().findings[0].packets.size(), std::size_t{2});
    QCOMPARE(f.only().findings[0].packets[0][8], std::uint8_t{0});
    QCOMPARE(f.only().findings[0].packets[1][8], static_cast<std::uint8_t>(inVain));
    f.data(Direction::Inbound);
    QCOMPARE(f.only().phase, Phase::Established);
}

void TunnelTableTest::oneWay_beyondTheProtocolsTimer_isDead_andRevivesWhenAnswered()
{
    Fixture f;
    f.data(Direction::Outbound);
    f.data(Direction::Inbound);
    const std::uint64_t serial = f.only().serial;
    for (int i = 0; i < 185; ++i) {
        f.data(Direction::Outbound);
        f.go(1s);
    }
    QCOMPARE(f.only().phase, Phase::Dead);
    QCOMPARE(f.only().endCause, EventKind::TimedOut);
    QCOMPARE(f.table.size(), 0U);
    f.data(Direction::Outbound);
    QCOMPARE(f.table.size(), 0U);
    f.data(Direction::Inbound);
    QCOMPARE(f.table.size(), 1U);
    f.data(Direction::Outbound);
    QVERIFY(f.only().serial != serial);
    QCOMPARE(f.only().phase, Phase::Established);
    QCOMPARE(f.only().protocol, VpnProtocol::WireGuard);
    QCOMPARE(f.only().outbound.packets, 1U);
}

void TunnelTableTest::keepalivesOnly_areNotOneWay()
{
    Fixture f;
    f.data(Direction::Outbound);
    f.data(Direction::Inbound);
    for (int i = 0; i < 20; ++i) {
        f.pass(Direction::Outbound, wireGuardData(1, f.numbers[0]++, 32));
        f.go(25s);
    }
    QCOMPARE(f.only().phase, Phase::Established);
    QVERIFY(!f.has(FindingKind::OutboundOnly));
}

void TunnelTableTest::silence_ofFortySeconds_isNoted_once()
{
    Fixture f;
    f.data(Direction::Outbound);
    f.data(Direction::Inbound);
    f.go(39s);
    QCOMPARE(f.times(EventKind::WentSilent), 0);
    f.go(100s);
    QCOMPARE(f.times(EventKind::WentSilent), 2);
    f.data(Direction::Outbound);
    f.data(Direction::Inbound);
    QCOMPARE(f.times(EventKind::Resumed), 2);
    QCOMPARE(f.only().phase, Phase::Established);
}

void TunnelTableTest::unanswered_isFound_thenFailed()
{
    Fixture f;
    for (int i = 0; i < 3; ++i) {
        f.pass(Direction::Outbound, wireGuardHandshake(1, 5, 0));
        f.go(5s);
    }
    QVERIFY(f.has(FindingKind::NoAnswerFromServer));
    QCOMPARE(f.only().findings[0].a, 3U);
    // Proved by the first packet, once, and not by what it says.
    auto headers = wireGuardHandshake(1, 5, 0);
    headers.resize(40);
    QCOMPARE(f.only().findings[0].packets, (std::vector<std::vector<std::uint8_t>>{headers}));
    f.go(75s);
    QCOMPARE(f.only().phase, Phase::Failed);
}

void TunnelTableTest::rekey_isSeen_withRoundTrip_andWithoutLoss()
{
    Fixture f;
    for (int i = 0; i < 20; ++i) {
        f.data(Direction::Outbound, 1);
        f.data(Direction::Inbound, 2);
    }
    f.go(120s);
    f.pass(Direction::Outbound, wireGuardHandshake(1, 77, 0));
    QCOMPARE(f.only().phase, Phase::Rekeying);
    f.now += 40ms;
    f.pass(Direction::Inbound, wireGuardHandshake(2, 88, 77));
    QCOMPARE(f.only().roundTrip, Duration{40ms});
    f.numbers[0] = f.numbers[1] = 0;
    for (int i = 0; i < 20; ++i) {
        f.data(Direction::Outbound, 88);
        f.data(Direction::Inbound, 77);
    }
    f.go(10s);
    QCOMPARE(f.only().phase, Phase::Established);
    QCOMPARE(f.only().rekeys, 1U);
    QCOMPARE(f.only().inbound.lost, 0U);
    QCOMPARE(f.only().outbound.lost, 0U);
}

void TunnelTableTest::loss_aboveTheLimit_degrades()
{
    Fixture f;
    f.data(Direction::Outbound);
    for (int i = 0; i < 30; ++i) {
        for (int k = 0; k < 50; ++k) {
            f.data(Direction::Inbound);
            if (k % 10 == 0) ++f.numbers[1];
        }
        f.data(Direction::Outbound);
        f.go(1s);
    }
    QCOMPARE(f.only().phase, Phase::Degraded);
    QVERIFY(f.has(FindingKind::HighLoss));
    QVERIFY(f.only().inbound.lost >= 100);
    for (int i = 0; i < 40; ++i) {
        for (int k = 0; k < 50; ++k)
            f.data(Direction::Inbound);
        f.data(Direction::Outbound);
        f.go(1s);
    }
    QCOMPARE(f.only().phase, Phase::Established);
    // All but the gap among the first three packets, which only make the stream known.
    QCOMPARE(f.only().inbound.lost, 149U);
}

void TunnelTableTest::largePackets_neverAnsweredWhileSmallOnesAre_areABlackHole()
{
    Fixture f;
    const auto sized = [&](Direction direction, std::uint32_t size) {
        const auto payload = wireGuardData(1, f.numbers[static_cast<int>(direction)]++);
        std::vector<std::uint8_t> packet(60, 0x45);
        f.table.count(
            f.session, f.now,
            {.direction = direction, .payload = payload, .bytes = size, .packet = packet});
    };
    for (int i = 0; i < 4; ++i) {
        sized(Direction::Outbound, 120);
        f.now += 30ms;
        sized(Direction::Inbound, 120);
        f.go(2s);
    }
    // TCP inside sends one full packet again and again, ever more slowly; small ones still pass.
    for (const Duration pause : {Duration{1500ms}, Duration{3s}, Duration{6s}, Duration{12s}}) {
        sized(Direction::Outbound, 1400);
        f.now += pause;
        QVERIFY(!f.has(FindingKind::MtuBlackHole));
        sized(Direction::Outbound, 110);
        f.now += 30ms;
        sized(Direction::Inbound, 110);
        f.now += 2s;
    }
    sized(Direction::Outbound, 1400);
    QVERIFY(f.has(FindingKind::MtuBlackHole));
    const auto finding = f.only().findings[0];
    QCOMPARE(finding.a, 1400U);
    QCOMPARE(finding.b, 0U);
    QCOMPARE(finding.packets.size(), std::size_t{1});
}

void TunnelTableTest::largePackets_thatAreAnsweredOrFollowEachOther_areNone()
{
    Fixture f;
    const auto sized = [&](Direction direction, std::uint32_t size) {
        const auto payload = wireGuardData(1, f.numbers[static_cast<int>(direction)]++);
        f.table.count(f.session, f.now,
                      {.direction = direction, .payload = payload, .bytes = size});
    };
    for (int i = 0; i < 40; ++i) {
        sized(Direction::Outbound, 120);
        f.now += 30ms;
        sized(Direction::Inbound, 120);
        f.go(2s);
        // A lossy path: one large packet in three is not answered.
        sized(Direction::Outbound, 1400);
        f.now += 30ms;
        if (i % 3 != 0) sized(Direction::Inbound, 90);
        f.go(2s);
        // A stream that wants no answers.
        for (int k = 0; k < 20; ++k) {
            sized(Direction::Outbound, 1400);
            f.now += 20ms;
        }
        sized(Direction::Inbound, 90);
        f.go(3s);
    }
    QVERIFY(!f.has(FindingKind::MtuBlackHole));
}

void TunnelTableTest::offloadedPacket_isCountedSegmentBySegment()
{
    Fixture f;
    for (int i = 0; i < 5; ++i)
        f.data(Direction::Inbound);
    std::vector<std::uint8_t> many;
    for (int i = 0; i < 4; ++i) {
        ++f.numbers[1];  // every other one is missing
        const auto one = wireGuardData(1, f.numbers[1]++);
        many.insert(many.end(), one.begin(), one.end());
    }
    f.table.count(f.session, f.now,
                  {.direction = Direction::Inbound,
                   .payload = many,
                   .bytes = 4 * 140,
                   .packets = 4,
                   .segmentPayload = 112});
    f.go(10s);
    QCOMPARE(f.only().inbound.packets, 9U);
    QCOMPARE(f.only().inbound.lost, 4U);
}

void TunnelTableTest::held_keepsThePhase_releaseGivesItBack_dropRefuses()
{
    Fixture f;
    f.data(Direction::Outbound);
    f.data(Direction::Inbound);
    QVERIFY(f.table.hold(f.now, VpnProtocol::Pptp).empty());
    QCOMPARE(f.table.hold(f.now, VpnProtocol::WireGuard).size(), 1U);
    QCOMPARE(f.only().phase, Phase::Held);
    QVERIFY(f.table.isHeld(f.session));
    QCOMPARE(f.table.release(f.now, VpnProtocol::WireGuard).size(), 1U);
    QCOMPARE(f.only().phase, Phase::Established);
    QVERIFY(!f.table.isHeld(f.session));
    f.table.hold(f.now, VpnProtocol::WireGuard);
    QCOMPARE(f.table.drop(f.now, VpnProtocol::WireGuard).size(), 1U);
    QCOMPARE(f.only().phase, Phase::Refused);
    QCOMPARE(f.only().endCause, EventKind::DroppedBySwitch);
    QVERIFY(
        f.table.hold(f.now, VpnProtocol::WireGuard, [](const Tunnel&) { return true; }).empty());
}

void TunnelTableTest::lastSessionGone_endsTheTunnel_byItsCause()
{
    Fixture f;
    f.data(Direction::Outbound);
    f.data(Direction::Inbound);
    f.table.detach(f.now, f.session, EventKind::PeerClosed);
    f.go(4s);
    QCOMPARE(f.only().phase, Phase::Established);
    f.go(3s);
    QCOMPARE(f.only().phase, Phase::Closed);
    QCOMPARE(f.only().endCause, EventKind::PeerClosed);
}

void TunnelTableTest::ended_isReportedOnce_andForgottenAfterAMinute()
{
    Fixture f;
    std::vector<Tunnel> changed;
    std::vector<Tunnel> ended;
    QVERIFY(f.table.hasNews(f.now));
    f.table.takeNews(f.now, changed, ended);
    QCOMPARE(changed.size(), 1U);
    QVERIFY(f.table.end(f.now, f.only().serial, Phase::Closed, EventKind::PeerClosed));
    QVERIFY(f.table.hasNews(f.now));
    f.table.takeNews(f.now, changed, ended);
    QCOMPARE(ended.size(), 1U);
    f.data(Direction::Outbound);
    f.table.takeNews(f.now, changed, ended);
    QCOMPARE(ended.size(), 1U);
    QVERIFY(!f.table.hasNews(f.now + 1h));
    f.go(59s);
    QCOMPARE(f.table.tunnels().size(), 1U);
    f.go(3s);
    QCOMPARE(f.table.tunnels().size(), 0U);
    // Its session still lives; when it goes, so does everything.
    f.table.detach(f.now, f.session);
    f.go(5s);
    f.table.takeNews(f.now, changed, ended);
    QVERIFY(!f.table.nextTimeout().has_value());
}

// Thousands of tunnels cost a bounded amount of work per call, and each is told of all the same.
void TunnelTableTest::thousandsOfTunnels_areToldOfAndSweptAFewAtATime()
{
    constexpr std::uint32_t kTunnels = 1000;
    constexpr std::size_t kFew = 64;
    TunnelTable table{HashKey{1, 2}};
    Instant now = kStart;
    for (std::uint32_t i = 0; i < kTunnels; ++i) {
        const TunnelKey key{net::Ipv4Address{kDevice.hostOrder() + i / 100}, kServer, i};
        table.apply(now, labelled(key, VpnProtocol::WireGuard, Confidence::Certain));
    }
    std::vector<std::uint32_t> timesChanged(kTunnels + 1);
    std::vector<std::uint32_t> timesEnded(kTunnels + 1);
    std::size_t most = 0;
    const auto tell = [&] {
        int calls = 0;
        while (table.hasNews(now) && ++calls < 1000) {
            std::vector<Tunnel> changed;
            std::vector<Tunnel> ended;
            table.takeNews(now, changed, ended);
            most = std::max(most, changed.size() + ended.size());
            for (const Tunnel& tunnel : changed)
                ++timesChanged[tunnel.serial];
            for (const Tunnel& tunnel : ended)
                ++timesEnded[tunnel.serial];
        }
        return calls < 1000;
    };
    QVERIFY(tell());
    QVERIFY(std::all_of(timesChanged.begin() + 1, timesChanged.end(),
                        [](std::uint32_t times) { return times == 1; }));
    // No session ever came: all give up in the same second.
    now += 2min;
    std::size_t mostSwept = 0;
    int calls = 0;
    for (std::size_t overSoFar = 0; overSoFar < kTunnels; ++calls) {
        QVERIFY(calls < 100);
        QVERIFY(*table.nextTimeout() <= now);
        table.handleTimeout(now);
        const auto tunnels = table.tunnels();
        const auto over = static_cast<std::size_t>(
            std::count_if(tunnels.begin(), tunnels.end(),
                          [](const Tunnel& tunnel) { return isOver(tunnel.phase); }));
        mostSwept = std::max(mostSwept, over - overSoFar);
        overSoFar = over;
        // Somebody asks between two calls, as the engine does.
        if (calls == 3) QVERIFY(tell());
    }
    QVERIFY(tell());
    QVERIFY(std::all_of(timesEnded.begin() + 1, timesEnded.end(),
                        [](std::uint32_t times) { return times == 1; }));
    QVERIFY2(mostSwept <= kFew, qPrintable(QString::number(mostSwept)));
    QVERIFY2(most <= kFew, qPrintable(QString::number(most)));
    QVERIFY(*table.nextTimeout() > now);
    for (int i = 0; i < 100 && table.nextTimeout(); ++i) {
        now = std::max(now, *table.nextTimeout());
        table.handleTimeout(now);
        if (i % 7 == 0) QVERIFY(tell());
    }
}

void TunnelTableTest::changes_areReportedFourTimesASecond()
{
    Fixture f;
    std::vector<Tunnel> changed;
    std::vector<Tunnel> ended;
    int reports = 0;
    for (int i = 0; i < 1000; ++i) {
        Observation event;
        event.key = kKey;
        event.kind = Observation::Kind::Event;
        event.event = EventKind::Keepalive;
        event.a = static_cast<std::uint32_t>(i);
        f.table.apply(f.now, event);
        f.now += 1ms;
        if (!f.table.hasNews(f.now)) continue;
        changed.clear();
        f.table.takeNews(f.now, changed, ended);
        reports += static_cast<int>(changed.size());
    }
    QCOMPARE(reports, 4);
    QCOMPARE(f.times(EventKind::Keepalive), 1000);
    QCOMPARE(f.only().timeline.size(), 1U);
}

void TunnelTableTest::merge_movesSessions_andKeepsBothKeys()
{
    Fixture f;
    const TunnelKey other{kDevice, kServer, 8};
    f.table.apply(f.now, labelled(other, VpnProtocol::WireGuard, Confidence::Likely));
    const AttachmentId second = f.table.attach(f.now, other, SequenceKind::WireGuard);
    f.table.count(second, f.now, {.direction = Direction::Outbound, .bytes = 100});
    Observation merge;
    merge.key = kKey;
    merge.other = other;
    merge.kind = Observation::Kind::Merge;
    f.table.apply(f.now, merge);
    QCOMPARE(f.table.tunnels().size(), 1U);
    QCOMPARE(f.only().sessions, 2U);
    QCOMPARE(f.only().outbound.bytes, 100U);
    QCOMPARE(f.table.serialOf(other), f.table.serialOf(kKey));
    f.table.count(second, f.now, {.direction = Direction::Outbound, .bytes = 100});
    QCOMPARE(f.only().outbound.bytes, 200U);
    QCOMPARE(f.table.serialOf(second), f.only().serial);
}

void TunnelTableTest::timeline_whenFull_keepsItsEnds()
{
    Fixture f;
    Observation event;
    event.key = kKey;
    event.kind = Observation::Kind::Event;
    for (std::uint32_t i = 0; i < 1000; ++i) {
        event.event = EventKind::ControlMessage;
        event.a = i;
        f.table.apply(f.now, event);
        event.event = EventKind::Keepalive;
        f.table.apply(f.now, event);
    }
    const Tunnel tunnel = f.only();
    QCOMPARE(tunnel.timeline.size(), kTimelineLimit);
    QCOMPARE(tunnel.timeline.front().a, 0U);
    QCOMPARE(tunnel.timeline.back().a, 999U);
    QCOMPARE(f.times(EventKind::Keepalive), 1000);
}

void TunnelTableTest::hostileText_isCut()
{
    Fixture f;
    Observation name;
    name.key = kKey;
    name.kind = Observation::Kind::ServerName;
    name.text = std::string(5000, 'x');
    f.table.apply(f.now, name);
    QCOMPARE(f.only().serverName.size(), 64U);
}

void TunnelTableTest::manyTunnelsOfOneDevice_areBounded()
{
    TunnelTable table{HashKey{1, 2}};
    for (std::uint64_t i = 0; i < 2000; ++i) {
        table.apply(kStart,
                    labelled({kDevice, kServer, i}, VpnProtocol::WireGuard, Confidence::Likely));
    }
    QCOMPARE(table.size(), TunnelTable::kMostTunnelsPerDevice);
    QCOMPARE(table.refusedTunnels(), 2000U - TunnelTable::kMostTunnelsPerDevice);
    // Somebody else still gets one.
    table.apply(kStart, labelled({net::Ipv4Address{192, 0, 2, 11}, kServer, 1},
                                 VpnProtocol::WireGuard, Confidence::Likely));
    QCOMPARE(table.size(), TunnelTable::kMostTunnelsPerDevice + 1);
}

void TunnelTableTest::sameCalls_giveTheSameTunnels()
{
    const auto play = [] {
        TunnelTable table{HashKey{5, 6}};
        Instant now = kStart;
        std::vector<AttachmentId> sessions;
        for (std::uint64_t i = 0; i < 200; ++i) {
            const TunnelKey key{kDevice, kServer, i * 7919};
            table.apply(now, labelled(key, VpnProtocol::WireGuard, Confidence::Likely));
            sessions.push_back(table.attach(now, key, SequenceKind::WireGuard));
            if (i % 3 == 0) table.apply(now, phased(key, Phase::Established));
            if (i % 5 == 0) table.detach(now, sessions[i / 2]);
            now += 200ms;
            table.handleTimeout(now);
        }
        std::string all;
        for (const Tunnel& tunnel : table.tunnels()) {
            all += std::to_string(tunnel.serial) + ':' +
                   std::to_string(static_cast<int>(tunnel.phase)) + ' ';
        }
        return all;
    };
    QCOMPARE(play(), play());
}

void TunnelTableTest::silenceAfterAPossibleGoodbye_isLikelyDeleted_unlessItIsUsual()
{
    Observation goodbye;
    goodbye.key = kKey;
    goodbye.kind = Observation::Kind::MayEnd;
    Fixture f;
    f.table.apply(f.now, phased(kKey, Phase::Established));
    const auto exchange = [&] {
        f.data(Direction::Outbound);
        f.table.apply(f.now, goodbye);
        f.data(Direction::Inbound);
        f.table.apply(f.now, goodbye);
    };
    // What goes on later was no goodbye, however long it is silent then.
    exchange();
    f.go(5s);
    f.data(Direction::Outbound);
    f.data(Direction::Inbound);
    f.go(200s);
    QVERIFY(!isOver(f.only().phase));
    // The pause of 200 s was longer than any that counts by itself: half as much again.
    exchange();
    f.go(299s);
    QVERIFY(!isOver(f.only().phase));
    f.go(3s);
    QCOMPARE(f.only().phase, Phase::Closed);
    QCOMPARE(f.only().endCause, EventKind::LikelyDeleted);
    // It was a guess: who goes on is a tunnel again, whose pauses are known by now.
    const std::uint64_t serial = f.only().serial;
    exchange();
    QVERIFY(f.only().serial != serial);
    QVERIFY(!isOver(f.only().phase));
    f.go(440s);
    QVERIFY(!isOver(f.only().phase));
}

void TunnelTableTest::savedTable_comesBackWithTimelinesAndFindings()
{
    Fixture f;
    f.table.apply(f.now, phased(kKey, Phase::Handshaking));
    f.data(Direction::Outbound);
    f.go(12s);
    Observation seen;
    seen.key = kKey;
    seen.kind = Observation::Kind::Finding;
    seen.finding = FindingKind::SameSubnet;
    seen.packet = wireGuardData(1, 3);
    f.table.apply(f.now, seen);
    f.data(Direction::Inbound);
    StateWriter out;
    f.table.save(out);
    const Tunnel before = f.only();
    QVERIFY(before.timeline.size() >= 4 && !before.findings.front().packets.empty());

    TunnelTable again{HashKey{1, 2}};
    StateReader in{out.bytes()};
    QVERIFY(again.restore(f.now + 1s, in, TunnelTable::SavedHistory::Kept) && in.complete());
    const Tunnel after = again.tunnels().front();
    QCOMPARE(after.timeline.size(), before.timeline.size() + 1);
    QVERIFY(std::equal(before.timeline.begin(), before.timeline.end(), after.timeline.begin()));
    QCOMPARE(after.timeline.back().kind, EventKind::Resumed);
    QCOMPARE(after.findings.size(), before.findings.size());
    QCOMPARE(after.findings.front().kind, before.findings.front().kind);
    QVERIFY(after.findings.front().at == before.findings.front().at);
    QVERIFY(after.findings.front().packets == before.findings.front().packets);
    // What has been told is not told again.
    const AttachmentId session = again.attach(f.now, kKey, SequenceKind::WireGuard);
    const auto payload = wireGuardData(1, 9);
    again.count(session, f.now + 2s, {.payload = payload, .bytes = 140, .packet = payload});
    QCOMPARE(again.tunnels().front().timeline.size(), after.timeline.size());
}

void TunnelTableTest::lossOfBeforeARestart_isNotTakenForLossOfNow()
{
    Fixture f;
    const auto half = [&](TunnelTable& table, AttachmentId session, Instant now, std::uint64_t from,
                          std::uint64_t step) {
        for (std::uint64_t i = 0; i < 300; ++i) {
            const auto payload = wireGuardData(1, from + i * step);
            table.count(session, now, {.payload = payload, .bytes = 140, .packet = payload});
        }
    };
    f.table.apply(f.now, phased(kKey, Phase::Established));
    half(f.table, f.session, f.now, 0, 2);
    f.go(11s);
    QCOMPARE(f.times(EventKind::LossHigh), 1);
    QCOMPARE(f.only().phase, Phase::Degraded);
    StateWriter out;
    f.table.save(out);

    TunnelTable again{HashKey{1, 2}};
    StateReader in{out.bytes()};
    QVERIFY(again.restore(f.now, in, TunnelTable::SavedHistory::Kept));
    // Judged afresh, and the timeline says so.
    QCOMPARE(again.tunnels().front().phase, Phase::Established);
    QCOMPARE(again.tunnels().front().timeline.back().kind, EventKind::PhaseChanged);
    const AttachmentId session = again.attach(f.now, kKey, SequenceKind::WireGuard);
    half(again, session, f.now, 1000, 1);
    for (Instant now = f.now; now < f.now + 12s; now += 1s)
        again.handleTimeout(now);
    QCOMPARE(again.tunnels().front().phase, Phase::Established);
}

void TunnelTableTest::savedTimelinesOfThousands_stayWithinTheirBound()
{
    TunnelTable table{HashKey{3, 4}};
    const auto keyOf = [](std::uint32_t i) {
        return TunnelKey{net::Ipv4Address{kDevice.hostOrder() + i / 500}, kServer, i};
    };
    Observation event;
    event.kind = Observation::Kind::Event;
    event.event = EventKind::ControlMessage;
    for (std::uint32_t i = 0; i < TunnelTable::kMostTunnels; ++i) {
        table.apply(kStart, labelled(keyOf(i), VpnProtocol::Pptp, Confidence::Certain));
        event.key = keyOf(i);
        for (event.a = 0; event.a < kTimelineLimit; ++event.a)
            table.apply(kStart, event);
    }
    QCOMPARE(table.size(), TunnelTable::kMostTunnels);
    StateWriter out;
    table.save(out);
    QVERIFY2(out.bytes().size() < 3'000'000, qPrintable(QString::number(out.bytes().size())));
    TunnelTable again{HashKey{3, 4}};
    StateReader in{out.bytes()};
    QVERIFY(again.restore(kStart, in, TunnelTable::SavedHistory::Kept) && in.complete());
    QCOMPARE(again.size(), TunnelTable::kMostTunnels);
    for (const Tunnel& tunnel : again.tunnels()) {
        // Its beginning, its end, and the restart.
        QCOMPARE(tunnel.timeline.size(), std::size_t{17});
        QCOMPARE(tunnel.timeline[0].a, 0U);
        QCOMPARE(tunnel.timeline[3].a, 3U);
        QCOMPARE(tunnel.timeline[4].a, std::uint32_t{kTimelineLimit} - 12);
        QCOMPARE(tunnel.timeline[15].a, std::uint32_t{kTimelineLimit} - 1);
    }
}

void TunnelTableTest::savedTimeline_withAnythingAbsurd_isRefused()
{
    Fixture f;
    f.table.apply(f.now, phased(kKey, Phase::Handshaking));
    f.data(Direction::Outbound);
    f.go(12s);
    StateWriter out;
    f.table.save(out);
    const auto restores = [&](const std::vector<std::uint8_t>& block, Instant now) {
        TunnelTable again{HashKey{1, 2}};
        StateReader in{block};
        return again.restore(now, in, TunnelTable::SavedHistory::Kept) && in.complete();
    };
    QVERIFY(restores(out.bytes(), f.now));
    // Events of the future.
    QVERIFY(!restores(out.bytes(), kStart - 1s));
    for (std::size_t size = 0; size < out.bytes().size(); ++size)
        QVERIFY(
            !restores({out.bytes().begin(), out.bytes().begin() + std::ptrdiff_t(size)}, f.now));
    // The first entry of the timeline, found by what it is.
    const TimelineEvent first = f.only().timeline.front();
    StateWriter entry;
    entry.u64(static_cast<std::uint64_t>(first.at.nanoseconds()));
    entry.u8(static_cast<std::uint8_t>(first.kind));
    const auto found =
        std::ranges::search(out.bytes(), entry.bytes()).begin() - out.bytes().begin();
    QCOMPARE(first.kind, EventKind::PhaseChanged);
    const auto with = [&](std::ptrdiff_t offset, std::uint8_t value) {
        auto block = out.bytes();
        block[static_cast<std::size_t>(found + offset)] = value;
        return restores(block, f.now);
    };
    QVERIFY(with(8, static_cast<std::uint8_t>(first.kind)));
    QVERIFY(!with(0, 0x80));             // before time began
    QVERIFY(!with(8, kEventKindCount));  // no such event
    QVERIFY(!with(9, 3));                // no such lane
    QVERIFY(!with(10, 3));
    QVERIFY(!with(14, kPhaseCount));  // no such phase
    QVERIFY(!with(18, kPhaseCount));
    QVERIFY(!with(22, 0));  // happened never
}

QTEST_APPLESS_MAIN(TunnelTableTest)
#include "tunnel_table_test.moc"
