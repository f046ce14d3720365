#include <QtTest>

#include <map>
#include <set>

#include "pptp_session.h"

using namespace pptp_test;
using tunnel::EventKind;
using tunnel::FindingKind;
using tunnel::Observation;
using tunnel::Phase;

/// Control connections and calls: who may have one, under which ID, and when it ends.
class PptpTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void callId_whenFree_isKept()
    {
        Rig rig;
        Connection connection(rig);
        connection.start_();
        QVERIFY(rig.bindings.empty());
        QCOMPARE(connection.dial(kOwn, kRemote), kOwn);
        QCOMPARE(rig.bindings.size(), std::size_t(1));
        const PortlessBinding& binding = rig.bindings[0];
        QCOMPARE(binding.client, kClient);
        QCOMPARE(binding.external, kExternal);
        QCOMPARE(binding.server, kServer);
        QCOMPARE(binding.outbound->id, std::uint32_t(kRemote));
        QCOMPARE(binding.inbound->id, std::uint32_t(kOwn));
        QCOMPARE(binding.rewriteInbound->offset, std::uint16_t(6));
        QCOMPARE(binding.rewriteInbound->value, kOwn);
        QCOMPARE(binding.master, connection.flow.id);
        QVERIFY(binding.watch);
        QVERIFY(binding.sequence == tunnel::SequenceKind::GreV1);
    }

    void fourCalls_onOneConnection_allPass()
    {
        Rig rig;
        Connection connection(rig);
        connection.start_();
        std::set<tunnel::TunnelKey> keys;
        for (std::uint16_t i = 0; i < 4; ++i) {
            connection.dial(static_cast<std::uint16_t>(100 + i),
                            static_cast<std::uint16_t>(500 + i));
        }
        QCOMPARE(rig.bindings.size(), std::size_t(4));
        for (std::uint16_t i = 0; i < 4; ++i) {
            keys.insert(rig.bindings[i].key);
            const auto there = rig.fromClient(
                kClient, gre(static_cast<std::uint16_t>(500 + i), 0, std::nullopt, Bytes(20)));
            QVERIFY(there.delivered);
            const auto back = rig.fromServer(
                gre(static_cast<std::uint16_t>(rig.bindings[i].inbound->id), 0, 0, Bytes(20)));
            QVERIFY(back.delivered);
            QCOMPARE(back.callId, static_cast<std::uint16_t>(100 + i));
        }
        QCOMPARE(keys.size(), std::size_t(4));
    }

    // Requirement P1.
    void fiftyClients_withTheSameCallIds_threeCallsEach_areToldApart()
    {
        Rig rig;
        std::vector<std::unique_ptr<Connection>> connections;
        std::map<std::uint16_t, std::pair<net::Ipv4Address, std::uint16_t>> owners;
        constexpr std::array<std::uint16_t, 3> kIds{0, 1, 16384};
        std::uint16_t remote = 1000;
        for (std::uint32_t c = 0; c < 50; ++c) {
            connections.push_back(std::make_unique<Connection>(rig, client(c)));
            connections.back()->start_(c % 2 == 0 ? 1460 : 13);
            for (const std::uint16_t own : kIds) {
                const std::uint16_t seen =
                    connections.back()->dial(own, remote++, c % 2 == 0 ? 1460 : 13);
                QVERIFY(seen != 0);
                QVERIFY(!owners.contains(seen));
                owners[seen] = {client(c), own};
                QVERIFY(connections.back()->idAt(Direction::Inbound, 32, 14) == own);
            }
        }
        QCOMPARE(rig.bindings.size(), std::size_t(150));
        for (std::uint32_t sequence = 0; sequence < 100; ++sequence) {
            for (const auto& [seen, owner] : owners) {
                const auto arrival = rig.fromServer(gre(seen, sequence, std::nullopt, Bytes(9)));
                QVERIFY(arrival.delivered);
                QCOMPARE(arrival.to, owner.first);
                QCOMPARE(arrival.callId, owner.second);
            }
        }
    }

    void callIds_moreThanOneFirstOctetHolds_useOthers()
    {
        Rig rig;
        std::set<std::uint16_t> all;
        std::vector<std::unique_ptr<Connection>> connections;
        for (std::uint32_t c = 0; c < 300; ++c) {
            connections.push_back(std::make_unique<Connection>(rig, client(c)));
            connections.back()->start_();
            all.insert(connections.back()->dial(0, static_cast<std::uint16_t>(c + 1)));
            QCOMPARE(connections.back()->idAt(Direction::Inbound, 32, 14), std::uint16_t(0));
        }
        QCOMPARE(all.size(), std::size_t(300));
        QVERIFY(!all.contains(0));
    }

    void callId_givenBack_restsUnlessItsClientRedials()
    {
        Rig rig;
        {
            Connection first(rig);
            first.start_();
            first.dial(kOwn, kRemote);
            rig.close(first.flow.id);
        }
        QVERIFY(rig.bindings.empty());
        Connection other(rig, client(1));
        other.start_();
        QVERIFY(other.dial(kOwn, kRemote + 1) != kOwn);
        Connection again(rig);
        again.start_();
        QCOMPARE(again.dial(kOwn, kRemote + 2), kOwn);
        rig.close(again.flow.id);
        rig.passTime(121s);
        Connection late(rig, client(2));
        late.start_();
        QCOMPARE(late.dial(kOwn, kRemote + 3), kOwn);
    }

    void callId_clearedWhileItsConnectionLives_restsForEverybody()
    {
        Rig rig;
        Connection connection(rig);
        connection.start_();
        connection.dial(kOwn, kRemote);
        connection.in(callDisconnect(kRemote));
        QVERIFY(rig.bindings.empty());
        QVERIFY(connection.dial(kOwn, kRemote + 1) != kOwn);
        rig.passTime(151s);
        QCOMPARE(connection.dial(kOwn + 256, kRemote + 2), std::uint16_t(kOwn + 256));
    }

    void handshake_notAgreedByBoth_opensNothing()
    {
        // Attack A5: a browser's form post full of control messages, and a server that is none.
        {
            Rig rig;
            Connection connection(rig);
            connection.out(startRequest() + startReply() + outgoingRequest(kOwn) +
                           outgoingReply(kRemote, kOwn) + incomingRequest(5) + incomingReply(6, 5) +
                           incomingConnected(6));
            QVERIFY(rig.bindings.empty());
            QVERIFY(!rig.fromServer(gre(kOwn, 0, std::nullopt)).delivered);
        }
        {
            Rig rig;
            Connection connection(rig);
            constexpr std::string_view kPost = "POST / HTTP/1.1\r\nContent-Length: 999\r\n\r\n";
            connection.out(Bytes(kPost.begin(), kPost.end()) + startRequest());
            connection.in(startReply());
            connection.dial(kOwn, kRemote);
            QVERIFY(connection.refused);
            QVERIFY(rig.actions.observations.empty());
            QVERIFY(rig.bindings.empty());
        }
        const std::array<std::function<void(Connection&)>, 8> liars{
            [](Connection& c) {
                c.out(startRequest());
                c.dial(kOwn, kRemote);
            },
            [](Connection& c) {
                c.out(startRequest());
                c.in(startReply(2));
                c.dial(kOwn, kRemote);
            },
            [](Connection& c) {
                c.start_();
                c.in(outgoingReply(kRemote, kOwn));
            },
            [](Connection& c) {
                c.start_();
                c.out(outgoingRequest(kOwn));
            },
            [](Connection& c) {
                c.start_();
                c.out(outgoingRequest(kOwn));
                c.out(outgoingReply(kRemote, kOwn));
            },
            [](Connection& c) {
                c.start_();
                c.out(outgoingRequest(kOwn));
                c.in(outgoingReply(kRemote, kOwn + 1));
            },
            [](Connection& c) {
                c.start_();
                c.out(outgoingRequest(kOwn));
                c.in(outgoingReply(kRemote, kOwn, 2));
            },
            [](Connection& c) {
                c.start_();
                c.in(incomingRequest(kRemote));
                c.out(incomingReply(kOwn, kRemote));  // and no "connected"
            },
        };
        for (std::size_t i = 0; i < liars.size(); ++i) {
            Rig rig;
            Connection connection(rig);
            liars[i](connection);
            QVERIFY2(rig.actions.bindings.empty(), qPrintable(QString::number(i)));
        }
    }

    void startReply_fromTheInitiator_doesNotCount()
    {
        Rig rig;
        Connection connection(rig);
        connection.out(startRequest());
        connection.out(startReply());
        connection.dial(kOwn, kRemote);
        QVERIFY(rig.bindings.empty());
    }

    void incomingCall_isAgreedByThreeMessages()
    {
        Rig rig;
        occupy(rig);
        rig.actions.clear();
        Connection connection(rig);
        connection.start_();
        connection.in(incomingRequest(kRemote));
        connection.out(incomingReply(kOwn, kRemote));
        const std::uint16_t seen = connection.idAt(Direction::Outbound, 24, 12);
        QVERIFY(seen != kOwn);
        QVERIFY(rig.actions.bindings.empty());
        connection.in(incomingConnected(seen));
        QCOMPARE(connection.idAt(Direction::Inbound, 28, 12), kOwn);
        QCOMPARE(rig.actions.bindings.size(), std::size_t(1));
        QCOMPARE(rig.actions.bindings[0].outbound->id, std::uint32_t(kRemote));
        QCOMPARE(rig.actions.bindings[0].inbound->id, std::uint32_t(seen));
    }

    // Requirement P4.
    void serverInside_twentyClientsOutside_allPass()
    {
        Rig rig;
        std::vector<std::unique_ptr<Connection>> connections;
        for (std::uint32_t c = 0; c < 20; ++c) {
            const net::Ipv4Address outside{kServer.hostOrder() + c};
            connections.push_back(
                std::make_unique<Connection>(rig, kClient, outside, Direction::Inbound));
            Connection& connection = *connections.back();
            connection.start_();
            for (std::uint16_t k = 0; k < 2; ++k) {
                const auto own = static_cast<std::uint16_t>(7 + k);
                connection.in(outgoingRequest(own));
                // The server counts its own IDs and so never clashes with itself.
                const auto mine = static_cast<std::uint16_t>(100 + 2 * c + k);
                connection.out(outgoingReply(mine, own));
                QCOMPARE(connection.idAt(Direction::Outbound, 32, 14), own);
            }
        }
        QCOMPARE(rig.bindings.size(), std::size_t(40));
        for (const PortlessBinding& binding : std::vector(rig.bindings)) {
            const auto arrival = rig.send(
                Direction::Inbound, {}, kExternal, binding.server,
                gre(static_cast<std::uint16_t>(binding.inbound->id), 0, std::nullopt, {1}));
            QVERIFY(arrival.delivered);
            QCOMPARE(arrival.to, kClient);
            QCOMPARE(arrival.callId, binding.rewriteInbound->value);
            QVERIFY(rig.send(Direction::Outbound, kClient, kExternal, binding.server,
                             gre(static_cast<std::uint16_t>(binding.outbound->id), 0, 0, {1}))
                        .delivered);
        }
    }

    // Requirements P3 and P5.
    void twoServersInside_withTheSameIds_towardsOneClient_areTranslated()
    {
        Rig rig;
        Connection first(rig, client(1), kServer, Direction::Inbound);
        Connection second(rig, client(2), kServer, Direction::Inbound);
        for (Connection* connection : {&first, &second}) {
            connection->start_();
            connection->in(outgoingRequest(9));
            connection->out(outgoingReply(55, 9));
        }
        QCOMPARE(first.idAt(Direction::Outbound, 32, 12), std::uint16_t(55));
        const std::uint16_t seen = second.idAt(Direction::Outbound, 32, 12);
        QVERIFY(seen != 55);
        // Set-Link-Info inward names the receiver, Call-Disconnect-Notify outward the sender.
        second.in(setLinkInfo(seen));
        QCOMPARE(second.idAt(Direction::Inbound, 24, 12), std::uint16_t(55));
        second.out(wanError(9));
        QCOMPARE(second.idAt(Direction::Outbound, 40, 12), std::uint16_t(9));
        second.in(clearRequest(9));
        QCOMPARE(second.idAt(Direction::Inbound, 16, 12), std::uint16_t(9));
        QCOMPARE(rig.bindings.size(), std::size_t(1));
        second.out(callDisconnect(55));
        QCOMPARE(second.idAt(Direction::Outbound, 148, 12), seen);
        const auto ended = rig.observed(Observation::Kind::Ended);
        QCOMPARE(ended.size(), std::size_t(1));
        QVERIFY(ended[0].phase == Phase::Closed);
        QCOMPARE(ended[0].a, std::uint32_t(4));
        // On another external address nothing has to give way.
        Connection third(rig, client(3), kServer, Direction::Inbound,
                         net::Ipv4Address{203, 0, 113, 2});
        third.start_();
        third.in(outgoingRequest(9));
        third.out(outgoingReply(55, 9));
        QCOMPARE(third.idAt(Direction::Outbound, 32, 12), std::uint16_t(55));
    }

    // Requirement P8.
    void startReply_channelExists_isFound()
    {
        Rig rig;
        Connection connection(rig);
        connection.out(startRequest());
        connection.in(startReply(3));
        QVERIFY(rig.found(FindingKind::ServerAllowsOneClient));
        const auto ended = rig.observed(Observation::Kind::Ended);
        QCOMPARE(ended.size(), std::size_t(1));
        QVERIFY(ended[0].phase == Phase::Failed);
        rig.close(connection.flow.id);
        QCOMPARE(rig.observed(Observation::Kind::Ended).size(), std::size_t(1));
    }

    void label_becomesCertainByTheServersAnswer()
    {
        Rig rig;
        Connection connection(rig);
        connection.out(startRequest());
        auto labels = rig.observed(Observation::Kind::Label);
        QCOMPARE(labels.size(), std::size_t(1));
        QVERIFY(labels[0].confidence == tunnel::Confidence::Likely);
        QVERIFY(labels[0].protocol == net::VpnProtocol::Pptp);
        QCOMPARE(labels[0].server, connection.flow.remote);
        QCOMPARE(labels[0].external, connection.flow.external);
        connection.in(startReply());
        labels = rig.observed(Observation::Kind::Label);
        QCOMPARE(labels.size(), std::size_t(2));
        QVERIFY(labels[1].confidence == tunnel::Confidence::Certain);
        QCOMPARE(rig.observed(Observation::Kind::ServerName)[0].text, std::string("vpn.example"));
        QCOMPARE(rig.observed(Observation::Kind::Product)[0].text, std::string("Example Works"));
        QCOMPARE(rig.actions.attachments.size(), std::size_t(1));
    }

    void otherPort_isOnlyObserved()
    {
        Rig rig;
        Connection connection(rig, kClient, kServer, Direction::Outbound, kExternal, 8000);
        connection.start_();
        connection.dial(kOwn, kRemote);
        QVERIFY(connection.claimed);
        QCOMPARE(rig.observed(Observation::Kind::Label).size(), std::size_t(2));
        QVERIFY(rig.bindings.empty());
    }

    void connection_joinedLate_isOnlyObserved()
    {
        Rig rig;
        Connection connection(rig);
        connection.out(echoRequest(1));
        QVERIFY(connection.claimed);
        connection.in(echoReply(1));
        connection.dial(kOwn, kRemote);
        QVERIFY(rig.bindings.empty());
        QVERIFY(connection.drops.empty());
    }

    void malformedMessages_areDropped_andOpenNothing()
    {
        const auto broken = [](auto&& change) {
            Bytes bytes = outgoingRequest(kOwn);
            change(bytes);
            return bytes;
        };
        const std::vector<Bytes> bad{
            broken([](Bytes& b) { wire::store16(b, 0, 11); }),
            broken([](Bytes& b) { wire::store16(b, 0, 0); }),
            broken([](Bytes& b) { wire::store16(b, 0, 0xffff); }),
            broken([](Bytes& b) { wire::store16(b, 0, 167); }),
            broken([](Bytes& b) { wire::store32(b, 4, 0x1a2b3c4e); }),
            broken([](Bytes& b) {
                wire::store16(b, 8, 99);
                wire::store16(b, 0, 1025);
            }),
            broken([](Bytes& b) {
                wire::store16(b, 2, 2);
                wire::store16(b, 0, 4);
            }),
        };
        for (const Bytes& bytes : bad) {
            Rig rig;
            Connection connection(rig);
            connection.start_();
            connection.out(bytes);
            QCOMPARE(connection.drops.size(), std::size_t(1));
            QVERIFY(connection.drops[0] == DropReason::MalformedPptp);
            QVERIFY(rig.bindings.empty());
        }
    }

    void unknownMessageType_isPassedOver()
    {
        Rig rig;
        Connection connection(rig);
        connection.start_();
        Bytes odd(40);
        wire::store16(odd, 0, 40);
        wire::store16(odd, 2, 1);
        wire::store32(odd, 4, pptp::kMagicCookie);
        wire::store16(odd, 8, 77);
        connection.out(odd, 7);
        connection.dial(kOwn, kRemote);
        QVERIFY(connection.drops.empty());
        QCOMPARE(rig.bindings.size(), std::size_t(1));
    }

    void pendingCalls_ofOneClient_areBounded()
    {
        Rig rig;
        Connection connection(rig);
        connection.start_();
        for (std::uint16_t i = 1; i <= 32; ++i)
            connection.out(outgoingRequest(i));
        QVERIFY(connection.drops.empty());
        const Bytes refused = outgoingRequest(33);
        const std::uint32_t at = connection.next[0];
        connection.show(Direction::Outbound, at, refused);
        QCOMPARE(connection.drops.size(), std::size_t(1));
        QVERIFY(connection.drops[0] == DropReason::HelperBudget);
        Connection other(rig, client(1));
        other.start_();
        QCOMPARE(other.dial(kOwn, kRemote), kOwn);
        // One is answered: the repeated request has room.
        connection.in(outgoingReply(900, 1));
        connection.show(Direction::Outbound, at, refused);
        QCOMPARE(connection.drops.size(), std::size_t(1));
        // Nobody answers the others: they are forgotten.
        rig.passTime(62s);
        connection.next[0] += 168;
        connection.dial(40, 940);
        QCOMPARE(connection.drops.size(), std::size_t(1));
    }

    void connectionClosed_takesItsCallsAlong()
    {
        Rig rig;
        Connection connection(rig);
        connection.start_();
        connection.dial(1, 501);
        connection.dial(2, 502);
        rig.close(connection.flow.id, FlowEnd::Reset);
        QVERIFY(rig.bindings.empty());
        const auto ended = rig.observed(Observation::Kind::Ended);
        QCOMPARE(ended.size(), std::size_t(2));
        for (const auto& end : ended)
            QVERIFY(end.event == EventKind::ResetBy);
        QVERIFY(!rig.fromServer(gre(1, 0, std::nullopt)).delivered);
        QVERIFY(rig.fromServer(gre(1, 0, std::nullopt)).reason == DropReason::GreNoCall);
        QVERIFY(!rig.fromClient(kClient, gre(501, 0, std::nullopt)).delivered);
        rig.passTime(200s);
        QVERIFY(!rig.inspector.nextTimeout());
    }

    void stopRequest_endsEveryCall()
    {
        Rig rig;
        Connection connection(rig);
        connection.start_();
        connection.dial(1, 501);
        connection.dial(2, 502);
        Bytes stop = message(3);
        stop[12] = 2;
        connection.in(stop);
        QVERIFY(rig.bindings.empty());
        const auto ended = rig.observed(Observation::Kind::Ended);
        QCOMPARE(ended.size(), std::size_t(2));
        QCOMPARE(ended[0].a, std::uint32_t(2));
        connection.dial(3, 503);
        QVERIFY(rig.bindings.empty());
    }

    void echo_unansweredForAMinute_isDead()
    {
        Rig rig;
        Connection connection(rig);
        connection.start_();
        connection.dial(1, 501);
        rig.fromClient(kClient, gre(501, 0, std::nullopt, {1}));
        connection.out(echoRequest(5));
        rig.passTime(30s);
        connection.in(echoReply(5));
        rig.passTime(50s);
        connection.out(echoRequest(6));
        rig.passTime(59s);
        QVERIFY(rig.observed(Observation::Kind::Ended).empty());
        rig.passTime(2s);
        const auto ended = rig.observed(Observation::Kind::Ended);
        QCOMPARE(ended.size(), std::size_t(1));
        QVERIFY(ended[0].phase == Phase::Dead);
        QVERIFY(rig.bindings.empty());
    }

    void secondTunnel_afterTheFirstEnded_isANewOne()
    {
        Rig rig;
        Connection connection(rig);
        connection.start_();
        connection.dial(1, 501);
        connection.in(callDisconnect(501));
        connection.dial(2, 502);
        QCOMPARE(rig.actions.bindings.size(), std::size_t(2));
        QVERIFY(rig.actions.bindings[0].key != rig.actions.bindings[1].key);
        QVERIFY(rig.actions.attachments.back().key == rig.actions.bindings[1].key);
    }
};

QTEST_APPLESS_MAIN(PptpTest)
#include "pptp_test.moc"
