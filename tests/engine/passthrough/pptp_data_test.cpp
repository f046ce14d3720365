#include <QtTest>

#include "pptp_session.h"

using namespace pptp_test;
using tunnel::EventKind;
using tunnel::FindingKind;
using tunnel::Observation;
using tunnel::Phase;

/// GRE of calls, what shows in it, and the switch.
class PptpDataTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    // Attack D3, goal Z6: full sweeps with random sequence numbers beside live tunnels.
    void callIdSweep_injectsNothing()
    {
        Rig rig;
        Connection first(rig, client(0));
        Connection second(rig, client(1));
        first.start_();
        second.start_();
        const std::uint16_t one = first.dial(kOwn, 501);
        const std::uint16_t two = second.dial(kOwn, 502);
        Random random(HashKey{77, 78});
        std::uint64_t injected = 0;
        std::uint32_t genuine = 0;
        std::uint32_t sequence = 0;
        for (int sweep = 0; sweep < 100; ++sweep) {
            for (std::uint32_t id = 0; id < 0x10000; ++id) {
                const Bytes forged = gre(
                    static_cast<std::uint16_t>(id), static_cast<std::uint32_t>(random.next()),
                    id % 2 == 0
                        ? std::optional<std::uint32_t>(static_cast<std::uint32_t>(random.next()))
                        : std::nullopt,
                    {0x21, 0x45});
                injected += rig.fromServer(forged).delivered ? 1U : 0U;
                if (id % 8192 != 0) continue;
                rig.now += 5ms;
                // The tunnels' own packets go on through it all.
                for (const std::uint16_t call : {one, two}) {
                    const bool mine = call == one;
                    QVERIFY(rig.fromClient(client(mine ? 0 : 1),
                                           gre(mine ? 501 : 502, sequence, std::nullopt, {1}))
                                .delivered);
                    genuine +=
                        rig.fromServer(gre(call, sequence, sequence, {1})).delivered ? 1U : 0U;
                }
                ++sequence;
            }
            rig.actions.clear();
        }
        QCOMPARE(injected, std::uint64_t(0));
        QCOMPARE(genuine, 1600U);
    }

    // Attack D5.
    void absurdSequenceNumbers_areRefused_genuineJumpIsFollowed()
    {
        Rig rig;
        Connection connection(rig);
        connection.start_();
        connection.dial(1, 501);
        for (std::uint32_t i = 0; i < 50; ++i) {
            QVERIFY(rig.fromClient(kClient, gre(501, i, std::nullopt, {1})).delivered);
            QVERIFY(rig.fromServer(gre(1, 1000 + i - 1000, i, {1})).delivered);
        }
        for (const std::uint32_t absurd : {0x7fffffffU, 0x80000000U, 0xffffffffU, 5000U}) {
            const auto arrival = rig.fromServer(gre(1, absurd, std::nullopt, {1}));
            QVERIFY(!arrival.delivered);
            QVERIFY(arrival.reason == DropReason::GreOutOfWindow);
        }
        // An acknowledgment of what was never sent gives a forger away.
        QVERIFY(!rig.fromServer(gre(1, 50, 4711, {1})).delivered);
        QVERIFY(!rig.fromServer(gre(1, std::nullopt, 4711)).delivered);
        QVERIFY(rig.fromServer(gre(1, std::nullopt, 49)).delivered);
        int lost = 0;
        for (std::uint32_t i = 0; i < 10; ++i) {
            lost += rig.fromServer(gre(1, 900000 + i, 49, {1})).delivered ? 0 : 1;
        }
        QVERIFY(lost <= 3);
        // Late and repeated packets inside the window are the receiver's business.
        QVERIFY(rig.fromServer(gre(1, 900005, 49, {1})).delivered);
    }

    void greWithWrongPayloadLength_isMalformed()
    {
        Rig rig;
        Connection connection(rig);
        connection.start_();
        connection.dial(1, 501);
        Bytes lying = gre(1, 0, std::nullopt, Bytes(8));
        wire::store16(lying, 4, 9);
        QVERIFY(rig.fromServer(lying).reason == DropReason::MalformedGre);
        QVERIFY(!rig.fromServer(Bytes{0x30, 0x01, 0x88}).delivered);
    }

    void roundTrip_isFromSequenceToAcknowledgment()
    {
        Rig rig;
        Connection connection(rig);
        connection.start_();
        connection.dial(1, 501);
        rig.fromClient(kClient, gre(501, 0, std::nullopt, {1}));
        rig.now += 23ms;
        rig.fromServer(gre(1, std::nullopt, 0));
        const auto trips = rig.observed(Observation::Kind::RoundTrip);
        QCOMPARE(trips.size(), std::size_t(1));
        QVERIFY(trips[0].duration == 23ms);
    }

    void acknowledgmentThatWaited_isNotTheRoundTrip_onceLcpHasToldIt()
    {
        Rig rig;
        Connection connection(rig);
        connection.start_();
        connection.dial(1, 501);
        const auto echo = [](std::uint8_t code) {
            return Bytes{0xff, 0x03, 0xc0, 0x21, code, 3, 0, 8, 0, 0, 0, 0};
        };
        rig.fromClient(kClient, gre(501, 0, std::nullopt, echo(9)));
        rig.now += 20ms;
        rig.fromServer(gre(1, 0, std::nullopt, echo(10)));
        rig.fromClient(kClient, gre(501, 1, std::nullopt, {1}));
        rig.now += 1500ms;
        rig.fromServer(gre(1, std::nullopt, 1));
        const auto trips = rig.observed(Observation::Kind::RoundTrip);
        QCOMPARE(trips.size(), std::size_t(1));
        QVERIFY(trips[0].duration == 20ms);
        // A shorter one is news.
        rig.fromClient(kClient, gre(501, 2, std::nullopt, {1}));
        rig.now += 15ms;
        rig.fromServer(gre(1, std::nullopt, 2));
        QCOMPARE(rig.observed(Observation::Kind::RoundTrip).size(), std::size_t(2));
    }

    void ppp_showsPhasesAndTheRefusal()
    {
        Rig rig;
        Connection connection(rig);
        connection.start_();
        connection.dial(1, 501);
        std::uint32_t out = 0;
        std::uint32_t in = 0;
        const auto both = [&](const Bytes& frame) {
            QVERIFY(rig.fromClient(kClient, gre(501, out++, std::nullopt, frame)).delivered);
            QVERIFY(rig.fromServer(gre(1, in++, std::nullopt, frame)).delivered);
        };
        both({0xff, 0x03, 0xc0, 0x21, 1, 1, 0, 4});
        both({0xc2, 0x23, 1, 1, 0, 4});
        QVERIFY(rig.reached(Phase::Authenticating));
        constexpr std::string_view kRefusal = "E=691 R=1 C=00112233 V=3 M=Access denied";
        Bytes failure{0xc2, 0x23, 4, 1, 0, 44};
        failure.insert(failure.end(), kRefusal.begin(), kRefusal.end());
        rig.fromServer(gre(1, in++, std::nullopt, failure));
        QVERIFY(rig.found(FindingKind::AuthenticationRefused));
        for (const auto& observation : rig.actions.observations) {
            if (observation.kind != Observation::Kind::Finding) continue;
            QCOMPARE(observation.a, std::uint32_t(691));
            QVERIFY(observation.text.empty());
        }
        QVERIFY(!rig.reached(Phase::Established));
        both({0x80, 0x21, 1, 1, 0, 4});
        both({0x80, 0x21, 2, 1, 0, 4});
        QVERIFY(rig.reached(Phase::Established));
        both({0x80, 0xfd, 2, 1, 0, 10, 18, 6, 0, 0, 0, 0x20});
        QVERIFY(rig.found(FindingKind::WeakCrypto));
        both({0xc0, 0x21, 5, 1, 0, 4});
        QVERIFY(rig.reached(Phase::Closing));
    }

    void innerAddressOfOurOwnNetwork_isFound_butNotThatOfOurServersClients()
    {
        const auto ack = [](std::uint8_t third) {
            return Bytes{0x80, 0x21, 2, 1, 0, 10, 3, 6, 192, 168, third, 200};
        };
        {
            Rig rig;
            Connection connection(rig);
            connection.start_();
            connection.dial(1, 501);
            rig.fromServer(gre(1, 0, std::nullopt, ack(2)));
            QVERIFY(!rig.found(FindingKind::SameSubnet));
            rig.fromServer(gre(1, 1, std::nullopt, ack(1)));
            QVERIFY(rig.found(FindingKind::SameSubnet));
        }
        {
            Rig rig;
            Connection connection(rig);
            connection.start_();
            connection.dial(1, 501);
            // The address that the server itself has inside.
            rig.fromClient(kClient, gre(501, 0, std::nullopt, ack(1)));
            QVERIFY(rig.found(FindingKind::SameSubnet));
        }
        Rig rig;
        Connection served(rig, kClient, kServer, Direction::Inbound);
        served.start_();
        served.in(outgoingRequest(7));
        served.out(outgoingReply(100, 7));
        QCOMPARE(rig.bindings.size(), std::size_t{1});
        const PortlessBinding binding = rig.bindings[0];
        QVERIFY(
            rig.send(Direction::Outbound, kClient, kExternal, kServer,
                     gre(static_cast<std::uint16_t>(binding.outbound->id), 0, std::nullopt, ack(1)))
                .delivered);
        QVERIFY(!rig.found(FindingKind::SameSubnet));
    }

    void greThatNeverReturns_isFound()
    {
        Rig rig;
        Connection connection(rig);
        connection.start_();
        connection.dial(1, 501);
        for (std::uint32_t i = 0; i < 5; ++i) {
            rig.fromClient(kClient, gre(501, i, std::nullopt, {1}));
            rig.passTime(3s);
        }
        QVERIFY(rig.found(FindingKind::GreNeverReturns));
        const std::size_t before = rig.observed(Observation::Kind::Finding).size();
        rig.passTime(3s);
        QCOMPARE(rig.observed(Observation::Kind::Finding).size(), before);
    }

    void greOneWayForHalfAMinute_isDegraded_andRecovers()
    {
        Rig rig;
        Connection connection(rig);
        connection.start_();
        connection.dial(1, 501);
        rig.fromClient(kClient, gre(501, 0, std::nullopt, {1}));
        rig.fromServer(gre(1, 0, 0, {1}));
        for (std::uint32_t i = 1; i < 40; ++i) {
            rig.fromClient(kClient, gre(501, i, std::nullopt, {1}));
            rig.passTime(1s);
        }
        QVERIFY(rig.reached(Phase::Degraded));
        QVERIFY(rig.found(FindingKind::OutboundOnly));
        rig.fromServer(gre(1, 1, 20, {1}));
        const auto events = rig.observed(Observation::Kind::Event);
        QVERIFY(std::ranges::any_of(
            events, [](const auto& event) { return event.event == EventKind::Resumed; }));
    }

    void greOfAnUnknownCall_besideACallThatWaits_isFound()
    {
        Rig rig;
        Connection connection(rig);
        connection.start_();
        connection.dial(1, 501);
        const auto arrival = rig.fromServer(gre(900, 0, std::nullopt, {1}));
        QVERIFY(arrival.reason == DropReason::GreNoCall);
        QVERIFY(rig.found(FindingKind::GreUnknownCall));
    }

    void session_timedOutUnderALiveConnection_isMadeAgain()
    {
        Rig rig;
        occupy(rig);
        Connection connection(rig);
        connection.start_();
        const std::uint16_t seen = connection.dial(kOwn, kRemote);
        const PortlessBinding gone = rig.bindings.back();
        rig.bindings.pop_back();
        Actions ignored;
        rig.inspector.bindingClosed(rig.now, gone, FlowEnd::Expired, ignored);
        const auto arrival = rig.fromServer(gre(seen, 0, std::nullopt, {1}));
        QVERIFY(arrival.delivered);
        QCOMPARE(arrival.to, kClient);
        QCOMPARE(arrival.callId, kOwn);
        QCOMPARE(rig.bindings.size(), std::size_t(2));
    }

    // The negative control: without help two clients of one server do not work.
    void plainMode_rewritesNothing_andLetsOneClientThrough()
    {
        Rig rig;
        rig.policy.set(net::VpnProtocol::Pptp, {policy::PassthroughMode::Plain, {}});
        Connection first(rig, client(0));
        Connection second(rig, client(1));
        first.start_();
        second.start_();
        QCOMPARE(first.dial(kOwn, 501), kOwn);
        QCOMPARE(second.dial(kOwn, 502), kOwn);
        QVERIFY(rig.bindings.empty());
        QVERIFY(rig.fromClient(client(0), gre(501, 0, std::nullopt, {1})).delivered);
        const auto back = rig.fromServer(gre(kOwn, 0, std::nullopt, {1}));
        QVERIFY(back.delivered);
        QCOMPARE(back.to, client(0));
        const auto refused = rig.fromClient(client(1), gre(502, 0, std::nullopt, {1}));
        QVERIFY(!refused.delivered);
        QVERIFY(refused.reason == DropReason::OneClientPerServer);
        QVERIFY(rig.found(FindingKind::HelperOff));
    }

    void blockMode_opensNothing()
    {
        Rig rig;
        rig.policy.set(net::VpnProtocol::Pptp, {policy::PassthroughMode::Block, {}});
        Connection connection(rig);
        connection.start_();
        connection.dial(kOwn, kRemote);
        QVERIFY(rig.bindings.empty());
        QVERIFY(!rig.fromClient(kClient, gre(kRemote, 0, std::nullopt, {1})).delivered);
    }

    void silentServer_isToldAsAGuess()
    {
        Rig rig;
        Connection connection(rig);  // SYN and SYN-ACK
        rig.passTime(20s);
        QVERIFY(rig.actions.observations.empty());
        Flow flow = connection.flow;
        flow.id = 99;
        rig.inspector.consider(rig.now, flow, {Direction::Outbound, {}, 1, 2, {}});
        rig.passTime(16s);
        QVERIFY(rig.found(FindingKind::NoAnswerFromServer));
        rig.close(99, FlowEnd::Expired);
        QCOMPARE(rig.observed(Observation::Kind::Ended).size(), std::size_t(1));
    }

    // Virtual days: nothing is kept of what has ended.
    void soak_dialAndHangUp_leavesNothing()
    {
        Rig rig;
        Random random(HashKey{9, 9});
        for (int round = 0; round < 2000; ++round) {
            Connection connection(rig, client(random.below(8)));
            connection.start_();
            connection.dial(1, static_cast<std::uint16_t>(1 + round % 60000));
            rig.fromClient(
                connection.flow.internal.address,
                gre(static_cast<std::uint16_t>(1 + round % 60000), 0, std::nullopt, {1}));
            rig.passTime(std::chrono::seconds(random.below(60)));
            rig.close(connection.flow.id);
            rig.actions.clear();
        }
        QVERIFY(rig.bindings.empty());
        rig.passTime(200s);
        QVERIFY(!rig.inspector.nextTimeout());
    }
};

QTEST_APPLESS_MAIN(PptpDataTest)
#include "pptp_data_test.moc"
