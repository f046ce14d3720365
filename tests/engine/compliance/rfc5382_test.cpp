#include <QtTest>

#include <map>
#include <set>

#include "tests/engine/compliance/bed.h"

/// RFC 5382: NAT behavioural requirements for TCP; and the attacks on TCP state that the RFCs'
/// authors had not seen yet.

using namespace bed;
using engine::nat::Behaviour;
using engine::nat::TcpState;

namespace {

TcpState stateOf(Bed& bed)
{
    const auto sessions = bed.engine().sessions(bed.now, {});
    return sessions.size() == 1 ? sessions.front().tcpState : TcpState::None;
}

EngineConfig withForward()
{
    EngineConfig config = usual();
    config.portForwards = {{.id = 1,
                            .protocol = IpProtocol::Tcp,
                            .externalPorts = range(443, 443),
                            .internalAddress = kBert,
                            .internalFirst = Port{8443}}};
    return config;
}

Bytes resetTo(const Connection& c, std::uint32_t sequence, bool acknowledges = false,
              std::uint32_t acknowledgement = 0)
{
    const int flags = flag::kRst | (acknowledges ? flag::kAck : 0);
    return wire::buildTcp({.source = c.remote,
                           .destination = c.external,
                           .flags = static_cast<std::uint8_t>(flags),
                           .sequence = sequence,
                           .acknowledgement = acknowledgement});
}

}  // namespace

class Rfc5382Test : public QObject {
    Q_OBJECT

private Q_SLOTS:
    // RFC 5382 REQ-1
    void tcpMapping_towardsManyRemotes_isTheSame()
    {
        Bed bed;
        const auto first = bed.synOut(at(kAnna, 5000), at(kServer, 80)).source();
        for (unsigned i = 0; i < 100; ++i) {
            const auto outcome = bed.synOut(at(kAnna, 5000), at(host(0x20000 + i), 80 + i));
            QVERIFY(told(outcome.outside() && outcome.source() == first, outcome));
        }
    }

    // RFC 5382 REQ-2
    void connection_fromInside_opensWorksAndCloses()
    {
        Bed bed;
        Connection c(bed, at(kAnna, 5000), at(kServer, 443));
        QVERIFY(c.open());
        QCOMPARE(stateOf(bed), TcpState::Established);
        for (int i = 0; i < 10; ++i)
            QVERIFY(c.works());
        QVERIFY(c.close());
        QCOMPARE(stateOf(bed), TcpState::BothFin);
    }

    // RFC 5382 REQ-2
    void connection_fromOutsideByAForward_opensWorksAndCloses()
    {
        Bed bed(withForward());
        auto outcome = bed.synIn(at(kServer, 6000), at(kExternal, 443), 9000);
        QVERIFY(told(outcome.inside() && outcome.destination() == at(kBert, 8443), outcome));
        QVERIFY(outcome.source() == at(kServer, 6000));
        Connection c(bed, at(kBert, 8443), at(kServer, 6000));
        c.external = at(kExternal, 443);
        c.inSequence = 9001;
        outcome = c.out(flag::kSyn | flag::kAck);
        QVERIFY(told(outcome.outside() && outcome.source() == at(kExternal, 443), outcome));
        QVERIFY(c.in(flag::kAck).inside());
        QVERIFY(c.works());
        QVERIFY(c.close());
    }

    // RFC 5382 REQ-2
    void halfClosedConnection_carriesDataForHours()
    {
        Bed bed;
        Connection c(bed, at(kAnna, 5000), at(kServer, 443));
        QVERIFY(c.open());
        QVERIFY(c.out(flag::kFin | flag::kAck).outside());
        QVERIFY(c.in(flag::kAck).inside());
        for (int i = 0; i < 3; ++i) {
            bed.pass(2h);
            QVERIFY(c.in(flag::kAck | flag::kPsh, text("late")).inside());
            QVERIFY(c.out(flag::kAck).outside());
        }
        QVERIFY(c.in(flag::kFin | flag::kAck).inside());
        QVERIFY(c.out(flag::kAck).outside());
    }

    // RFC 5382 REQ-2
    void retransmissionsKeepalivesAndZeroWindows_pass()
    {
        Bed bed;
        Connection c(bed, at(kAnna, 5000), at(kServer, 443));
        const Bytes syn = c.segmentOut(flag::kSyn);
        c.external = bed.outbound(syn).source();
        QVERIFY(bed.outbound(syn).outside());
        const Bytes synAck = c.segmentIn(flag::kSyn | flag::kAck);
        QVERIFY(bed.inbound(synAck).inside());
        QVERIFY(bed.inbound(synAck).inside());
        QVERIFY(c.out(flag::kAck).outside());
        const Bytes data = c.segmentOut(flag::kAck | flag::kPsh, Bytes(1000));
        for (int i = 0; i < 3; ++i)
            QVERIFY(bed.outbound(data).outside());
        QVERIFY(c.in(flag::kAck).inside());
        // A keepalive repeats the octet before the next one.
        QVERIFY(bed.outbound(wire::buildTcp({.source = c.internal,
                                             .destination = c.remote,
                                             .flags = flag::kAck,
                                             .sequence = c.outSequence - 1,
                                             .acknowledgement = c.inSequence}))
                    .outside());
        QVERIFY(bed.inbound(wire::buildTcp({.source = c.remote,
                                            .destination = c.external,
                                            .flags = flag::kAck,
                                            .sequence = c.inSequence,
                                            .acknowledgement = c.outSequence,
                                            .window = 0}))
                    .inside());
        // A probe of the closed window.
        QVERIFY(c.out(flag::kAck, text("x")).outside());
    }

    // RFC 5382 REQ-2
    void newConnection_onThePortsOfOneThatWasClosed_opens()
    {
        Bed bed;
        Connection first(bed, at(kAnna, 5000), at(kServer, 443));
        QVERIFY(first.open() && first.close());
        bed.pass(1s);
        Connection second(bed, at(kAnna, 5000), at(kServer, 443));
        second.outSequence = 777000;
        second.inSequence = 888000;
        QVERIFY(second.open());
        QVERIFY(second.external == first.external);
        QVERIFY(second.works());
        QCOMPARE(stateOf(bed), TcpState::Established);
    }

    // RFC 5382 REQ-2a
    void simultaneousOpen_bothSynsCross_connects()
    {
        Bed bed;
        Connection c(bed, at(kAnna, 5000), at(kServer, 6000));
        QVERIFY(c.syn());
        // The other side's SYN, sent before ours has arrived there: no acknowledgement.
        auto outcome = bed.inbound(wire::buildTcp({.source = c.remote,
                                                   .destination = c.external,
                                                   .flags = flag::kSyn,
                                                   .sequence = c.inSequence}));
        QVERIFY(told(outcome.inside() && outcome.destination() == c.internal, outcome));
        c.inSequence += 1;
        const auto answer = [&](bool out) {
            Bytes packet = out ? wire::buildTcp({.source = c.internal,
                                                 .destination = c.remote,
                                                 .flags = flag::kSyn | flag::kAck,
                                                 .sequence = c.outSequence - 1,
                                                 .acknowledgement = c.inSequence})
                               : wire::buildTcp({.source = c.remote,
                                                 .destination = c.external,
                                                 .flags = flag::kSyn | flag::kAck,
                                                 .sequence = c.inSequence - 1,
                                                 .acknowledgement = c.outSequence});
            return out ? bed.outbound(packet) : bed.inbound(packet);
        };
        QVERIFY(answer(true).outside());
        QVERIFY(answer(false).inside());
        QVERIFY(c.works());
        QCOMPARE(stateOf(bed), TcpState::Established);
    }

    // RFC 5382 REQ-2a: two devices behind one NAT each.
    void simultaneousOpen_throughTwoNats_connects()
    {
        Bed left;
        EngineConfig other = usual();
        other.external.addresses = {kServer};
        other.external.prefix = Prefix{kServer, 24};
        Bed right(other);
        // Both have learned the other's external endpoint by a rendezvous server.
        const auto a = left.synOut(at(kAnna, 5000), at(Ipv4Address{203, 0, 113, 200}, 80)).source();
        const auto b =
            right.synOut(at(kBert, 6000), at(Ipv4Address{203, 0, 113, 200}, 80)).source();
        const auto fromA = left.synOut(at(kAnna, 5000), b, 100);
        QVERIFY(fromA.outside() && fromA.source() == a);
        // It comes too early for the other NAT, which stays silent.
        QVERIFY(right.inbound(fromA.packet).silent());
        const auto fromB = right.synOut(at(kBert, 6000), a, 900);
        QVERIFY(fromB.outside() && fromB.source() == b);
        QVERIFY(left.inbound(fromB.packet).inside());
        const auto again = left.outbound(wire::buildTcp({.source = at(kAnna, 5000),
                                                         .destination = b,
                                                         .flags = flag::kSyn | flag::kAck,
                                                         .sequence = 100,
                                                         .acknowledgement = 901}));
        QVERIFY(again.outside());
        const auto arrives = right.inbound(again.packet);
        QVERIFY(told(arrives.inside() && arrives.destination() == at(kBert, 6000), arrives));
        const auto last = right.outbound(wire::buildTcp({.source = at(kBert, 6000),
                                                         .destination = a,
                                                         .flags = flag::kAck,
                                                         .sequence = 901,
                                                         .acknowledgement = 101}));
        QVERIFY(last.outside());
        QVERIFY(left.inbound(last.packet).inside());
    }

    // RFC 5382 REQ-3
    void filtering_byDefault_isAddressDependent()
    {
        Bed bed;
        Connection c(bed, at(kAnna, 5000), at(kServer, 443));
        QVERIFY(c.open());
        QVERIFY(bed.synIn(at(kServer, 9999), c.external).inside());
        QVERIFY(bed.synIn(at(kOther, 443), c.external).dropped(DropReason::FilteredAddress));
    }

    // RFC 5382 REQ-3a
    // RFC 5382 REQ-3b
    void filtering_ofTcp_isConfiguredApartFromUdp()
    {
        EngineConfig config = usual();
        config.nat.tcp.filtering = Behaviour::EndpointIndependent;
        Bed bed(config);
        const auto tcp = bed.synOut(at(kAnna, 5000), at(kServer, 443)).source();
        const auto udp = bed.udpOut(at(kAnna, 5000), at(kServer, 443)).source();
        QVERIFY(bed.synIn(at(kOther, 1), tcp).inside());
        QVERIFY(bed.udpIn(at(kOther, 1), udp).dropped(DropReason::FilteredAddress));
    }

    // RFC 5382 REQ-4
    void unsolicitedSyn_getsNoAnswerAndLeavesNothing()
    {
        Bed bed;
        const auto outcome = bed.synIn(at(kServer, 6000), at(kExternal, 40000));
        QVERIFY(outcome.dropped(DropReason::UnsolicitedSyn));
        QVERIFY(outcome.silent());
        // Neither now nor later.
        for (int i = 0; i < 20; ++i) {
            bed.pass(1s);
            QVERIFY(bed.lastOutput.packets.empty());
        }
        QCOMPARE(bed.sessions(), std::size_t{0});
    }

    // RFC 5382 REQ-4: also when a mapping exists that does not let this sender in.
    void unsolicitedSyn_towardsAForeignMapping_getsNoAnswer()
    {
        Bed bed;
        const auto external = bed.synOut(at(kAnna, 5000), at(kOther, 80)).source();
        const auto outcome = bed.synIn(at(kServer, 6000), external);
        QVERIFY(outcome.silent());
        bed.pass(10s);
        QVERIFY(bed.lastOutput.packets.empty());
    }

    // RFC 5382 REQ-4
    void outboundSyn_withinSixSecondsOfTheInboundOne_connects()
    {
        Bed bed;
        const auto external = bed.synOut(at(kAnna, 5000), at(kOther, 80)).source();
        QVERIFY(bed.synIn(at(kServer, 6000), external, 5000).silent());
        bed.pass(5s);
        Connection c(bed, at(kAnna, 5000), at(kServer, 6000));
        QVERIFY(c.syn());
        QVERIFY(c.external == external);
        // The other side tries its SYN again, as it had got no answer.
        QVERIFY(bed.synIn(at(kServer, 6000), external, 5000).inside());
        QVERIFY(bed.lastOutput.packets.empty());
    }

    // RFC 5382 REQ-4a
    void unsolicitedSyn_afterSixSeconds_staysUnanswered()
    {
        Bed bed;
        for (int i = 0; i < 3; ++i) {
            QVERIFY(bed.synIn(at(kServer, 6000), at(kExternal, 40000)).silent());
            bed.pass(7s);
            QVERIFY(bed.lastOutput.packets.empty());
        }
    }

    // RFC 5382 REQ-5
    void establishedConnection_idleForTwoHoursFourMinutesLessAMicrosecond_lives()
    {
        Bed bed;
        Connection c(bed, at(kAnna, 5000), at(kServer, 443));
        QVERIFY(c.open());
        bed.pass(2h + 4min - 1us);
        QVERIFY(c.in(flag::kAck | flag::kPsh, text("hello")).inside());
        QVERIFY(c.works());
    }

    // RFC 5382 REQ-5
    void establishedConnection_idleForTwoHoursFourMinutes_expires()
    {
        Bed bed;
        Connection c(bed, at(kAnna, 5000), at(kServer, 443));
        QVERIFY(c.open());
        bed.leap(2h + 4min);
        QVERIFY(c.in(flag::kAck).dropped(DropReason::TcpState));
        bed.pass(2s);
        QCOMPARE(bed.sessions(), std::size_t{0});
        QCOMPARE(bed.mappings(), std::size_t{0});
    }

    // RFC 5382 REQ-5
    void transitoryConnections_liveForFourMinutesAndNoLonger()
    {
        // Half open, closed, and reset.
        for (int kind = 0; kind < 3; ++kind) {
            for (const bool late : {false, true}) {
                Bed bed;
                Connection c(bed, at(kAnna, 5000), at(kServer, 443));
                if (kind == 0) QVERIFY(c.syn());
                if (kind == 1) QVERIFY(c.open() && c.close());
                if (kind == 2) {
                    QVERIFY(c.open());
                    QVERIFY(bed.inbound(resetTo(c, c.inSequence)).inside());
                }
                bed.leap(late ? 4min : 4min - 1us);
                const auto outcome = c.in(kind == 0 ? flag::kSyn | flag::kAck : flag::kAck);
                QVERIFY(told(outcome.inside() == !late, outcome));
                if (!late) continue;
                bed.pass(2s);
                QCOMPARE(bed.sessions(), std::size_t{0});
            }
        }
    }

    // RFC 5382 REQ-5a
    void tcpTimers_byCommand_areFollowedButNeverBelowTheFloor()
    {
        Bed bed;
        auto config = usual().nat;
        config.timers.tcpEstablished = 24h;
        QVERIFY(bed.apply(engine::SetNat{config}).has_value());
        Connection c(bed, at(kAnna, 5000), at(kServer, 443));
        QVERIFY(c.open());
        bed.pass(24h - 1us);
        QVERIFY(c.works());
        config.timers.tcpEstablished = 2h + 4min - 1ns;
        QVERIFY(!bed.apply(engine::SetNat{config}));
        config = usual().nat;
        config.timers.tcpClosing = 4min - 1ns;
        QVERIFY(!bed.apply(engine::SetNat{config}));
    }

    // RFC 5382 REQ-6
    // RFC 3022 §4.4
    void tcpPayload_ofOrdinaryFlows_isNeverTouched()
    {
        Bed bed;
        const Bytes tempting = text("PORT 192,0,2,10,19,136\r\nINVITE sip:192.0.2.10:5000\r\n");
        for (unsigned port : {21U, 80U, 443U, 554U, 1720U, 5060U}) {
            Connection c(bed, at(kAnna, 5000), at(kServer, port));
            QVERIFY(c.open());
            auto outcome = c.out(flag::kAck | flag::kPsh, tempting);
            QVERIFY(told(outcome.outside(), outcome));
            const auto tcp = wire::TcpView::parse(view(outcome.packet).payload());
            QVERIFY(std::equal(tempting.begin(), tempting.end(), tcp->payload().begin(),
                               tcp->payload().end()));
        }
        QCOMPARE(bed.engine().snapshot(bed.now).counters.helperEdits, std::uint64_t{0});
    }

    // RFC 5382 REQ-7
    void externalPorts_ofThousandsOfConnections_areNeverShared()
    {
        Bed bed;
        std::set<Endpoint> used;
        for (unsigned number = 10; number < 50; ++number) {
            for (unsigned port = 3000; port < 3200; ++port) {
                const auto outcome = bed.synOut(at(host(number), port), at(kServer, 443));
                QVERIFY(told(outcome.outside(), outcome));
                QVERIFY(used.insert(outcome.source()).second);
            }
        }
    }

    // RFC 5382 REQ-8
    // RFC 5382 REQ-8a
    void hairpinning_toAForwardedServer_connectsWithAnExternalSource()
    {
        Bed bed(withForward());
        const auto syn = bed.synOut(at(kAnna, 5000), at(kExternal, 443), 100);
        QVERIFY(told(syn.inside() && syn.destination() == at(kBert, 8443), syn));
        QVERIFY(syn.source().address == kExternal);
        const auto synAck = bed.outbound(wire::buildTcp({.source = at(kBert, 8443),
                                                         .destination = syn.source(),
                                                         .flags = flag::kSyn | flag::kAck,
                                                         .sequence = 700,
                                                         .acknowledgement = 101}));
        QVERIFY(told(synAck.inside() && synAck.destination() == at(kAnna, 5000), synAck));
        QVERIFY(synAck.source() == at(kExternal, 443));
        const auto ack = bed.outbound(wire::buildTcp({.source = at(kAnna, 5000),
                                                      .destination = at(kExternal, 443),
                                                      .flags = flag::kAck,
                                                      .sequence = 101,
                                                      .acknowledgement = 701},
                                                     text("GET /")));
        QVERIFY(told(ack.inside() && ack.destination() == at(kBert, 8443), ack));
    }

    // RFC 5382 REQ-8
    void hairpinning_betweenTwoMappings_opensSimultaneously()
    {
        Bed bed;
        const auto anna = bed.synOut(at(kAnna, 5000), at(kServer, 80)).source();
        const auto bert = bed.synOut(at(kBert, 6000), at(kServer, 80)).source();
        auto outcome = bed.synOut(at(kAnna, 5000), bert, 100);
        QVERIFY(told(outcome.inside() && outcome.source() == anna, outcome));
        outcome = bed.synOut(at(kBert, 6000), anna, 900);
        QVERIFY(told(outcome.inside() && outcome.destination() == at(kAnna, 5000), outcome));
    }

    // RFC 5382 REQ-9
    void destinationUnreachable_aboutASegment_reachesItsSender()
    {
        Bed bed;
        Connection c(bed, at(kAnna, 5000), at(kServer, 443));
        const auto sent = c.out(flag::kSyn);
        c.external = sent.source();
        for (unsigned code : {0U, 1U, 2U, 3U, 9U, 10U, 13U}) {
            const auto outcome =
                bed.inbound(errorAbout(sent.packet, wire::IcmpType::Unreachable, code));
            QVERIFY(told(outcome.inside(), outcome));
            QVERIFY(quotedSource(outcome.packet) == at(kAnna, 5000));
            QVERIFY(quotedDestination(outcome.packet) == at(kServer, 443));
        }
    }

    // RFC 5382 REQ-10
    void connection_afterEveryKindOfIcmpError_lives()
    {
        Bed bed;
        Connection c(bed, at(kAnna, 5000), at(kServer, 443));
        QVERIFY(c.open());
        for (const auto type :
             {wire::IcmpType::Unreachable, wire::IcmpType::SourceQuench, wire::IcmpType::Redirect,
              wire::IcmpType::TimeExceeded, wire::IcmpType::ParameterProblem}) {
            for (unsigned code = 0; code < 16; ++code) {
                const auto sent = c.out(flag::kAck | flag::kPsh, text("data"));
                QVERIFY(sent.outside());
                bed.inbound(errorAbout(sent.packet, type, code));
                QVERIFY(c.in(flag::kAck).inside());
                QVERIFY(c.works());
            }
        }
        QCOMPARE(stateOf(bed), TcpState::Established);
    }

    void maximumSegmentSize_ofSyns_isClampedToTheNarrowerLink()
    {
        for (const bool clamp : {true, false}) {
            EngineConfig config = usual();
            config.external.mtu = 1400;
            config.nat.clampMss = clamp;
            Bed bed(config);
            auto outcome = bed.outbound(wire::buildTcp({.source = at(kAnna, 5000),
                                                        .destination = at(kServer, 443),
                                                        .flags = flag::kSyn,
                                                        .sequence = 1,
                                                        .maximumSegmentSize = 1460}));
            QCOMPARE(wire::TcpView::parse(view(outcome.packet).payload())->maximumSegmentSize(),
                     std::optional<std::uint16_t>(clamp ? 1360 : 1460));
            outcome = bed.inbound(wire::buildTcp({.source = at(kServer, 443),
                                                  .destination = outcome.source(),
                                                  .flags = flag::kSyn | flag::kAck,
                                                  .sequence = 9,
                                                  .acknowledgement = 2,
                                                  .maximumSegmentSize = 536}));
            // Never raised.
            QCOMPARE(wire::TcpView::parse(view(outcome.packet).payload())->maximumSegmentSize(),
                     std::optional<std::uint16_t>(536));
        }
    }

    // A reset that does not name the exact next octet is forged, as far as anybody can tell.
    void forgedResets_outOfTheWindowAndInsideIt_endNothing()
    {
        Bed bed;
        Connection c(bed, at(kAnna, 5000), at(kServer, 443));
        QVERIFY(c.open() && c.works());
        for (std::uint32_t i = 0; i < 1000; ++i) {
            const auto outcome = bed.inbound(resetTo(c, c.inSequence + 0x100000 + i * 4000037));
            QVERIFY(outcome.dropped(DropReason::TcpInexactReset));
        }
        for (std::uint32_t i = 1; i <= 50; ++i) {
            QVERIFY(bed.inbound(resetTo(c, c.inSequence + i * 7)).silent());
        }
        QCOMPARE(stateOf(bed), TcpState::Established);
        QVERIFY(c.works());
    }

    // "Fake ack": a reset whose acknowledgement is zero must not pass for one that acknowledges.
    void forgedReset_withAcknowledgementZero_endsNothing()
    {
        Bed bed;
        Connection c(bed, at(kAnna, 5000), at(kServer, 443));
        QVERIFY(c.syn());
        QVERIFY(bed.inbound(resetTo(c, 0, true, 0)).dropped(DropReason::TcpInexactReset));
        QVERIFY(bed.inbound(resetTo(c, 0)).dropped(DropReason::TcpInexactReset));
        QVERIFY(c.in(flag::kSyn | flag::kAck).inside());
    }

    // The exact reset, on the other hand, reaches the client, and data revive the session.
    void exactReset_isDeliveredAndOnlyTransitory()
    {
        Bed bed;
        Connection c(bed, at(kAnna, 5000), at(kServer, 443));
        QVERIFY(c.open() && c.works());
        QVERIFY(bed.inbound(resetTo(c, c.inSequence)).inside());
        QCOMPARE(stateOf(bed), TcpState::Transitory);
        QVERIFY(c.works());
        QCOMPARE(stateOf(bed), TcpState::Established);
    }

    // Nobody rebuilds a mapping from the middle of a connection.
    void segmentsWithoutAConnection_makeNoMapping()
    {
        Bed bed;
        for (const unsigned flags :
             {0x10U, 0x18U, 0x11U, 0x04U, 0x14U, 0x12U, 0x01U, 0x00U, 0x29U}) {
            const auto out = bed.outbound(wire::buildTcp({.source = at(kAnna, 5000),
                                                          .destination = at(kServer, 443),
                                                          .flags = static_cast<std::uint8_t>(flags),
                                                          .sequence = 77}));
            QVERIFY(told(out.dropped(DropReason::TcpState), out));
            const auto in = bed.inbound(wire::buildTcp({.source = at(kServer, 443),
                                                        .destination = at(kExternal, 40000),
                                                        .flags = static_cast<std::uint8_t>(flags),
                                                        .sequence = 77}));
            QVERIFY(told(in.silent(), in));
        }
        QCOMPARE(bed.sessions(), std::size_t{0});
        QCOMPARE(bed.mappings(), std::size_t{0});
    }

    // A forged SYN into a living connection changes nothing.
    void forgedSyn_intoAnEstablishedConnection_changesNothing()
    {
        Bed bed;
        Connection c(bed, at(kAnna, 5000), at(kServer, 443));
        QVERIFY(c.open() && c.works());
        for (std::uint32_t i = 0; i < 100; ++i)
            bed.synIn(c.remote, c.external, c.inSequence + 1000003 * i);
        QCOMPARE(stateOf(bed), TcpState::Established);
        QVERIFY(c.works());
        bed.pass(2h);
        QVERIFY(c.works());
    }

    // Data far outside the window are refused and keep nothing alive.
    void segmentOutOfTheWindow_isDroppedAndRefreshesNothing()
    {
        Bed bed;
        Connection c(bed, at(kAnna, 5000), at(kServer, 443));
        QVERIFY(c.open() && c.works());
        bed.pass(2h + 3min);
        Connection forged = c;
        forged.inSequence += 0x40000000;
        QVERIFY(
            forged.in(flag::kAck | flag::kPsh, text("evil")).dropped(DropReason::TcpOutOfWindow));
        bed.pass(2min);
        QCOMPARE(bed.sessions(), std::size_t{0});
    }
};

QTEST_APPLESS_MAIN(Rfc5382Test)
#include "rfc5382_test.moc"
