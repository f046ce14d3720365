#include "engine/wire/fragmenter.h"

#include <QtTest>

#include <algorithm>
#include <map>
#include <set>

#include "tests/engine/compliance/bed.h"

/// RFC 4787: NAT behavioural requirements for unicast UDP.

using namespace bed;
using engine::nat::Behaviour;

namespace {

EngineConfig filtering(Behaviour behaviour)
{
    EngineConfig config = usual();
    config.nat.udp.filtering = behaviour;
    return config;
}

/// Three fragments of one datagram.
std::vector<Bytes> piecesOf(Endpoint source, Endpoint destination, std::uint16_t id,
                            std::size_t size = 2800)
{
    Bytes payload(size);
    for (std::size_t i = 0; i < size; ++i)
        payload[i] = static_cast<std::uint8_t>(i * 7);
    Bytes whole =
        wire::buildUdp(source, destination, payload, {.identification = id, .dontFragment = false});
    return wire::fragmentIpv4(view(whole), 1000);
}

/// What leaves by identification, when two devices send their fragments in turns, in this order.
std::map<std::uint16_t, std::vector<Bytes>> sentTogether(Bed& bed, const std::vector<Bytes>& one,
                                                         const std::vector<Bytes>& other,
                                                         const std::vector<std::size_t>& order)
{
    std::map<std::uint16_t, std::vector<Bytes>> left;
    for (const std::size_t i : order) {
        for (Bytes& piece : passed(bed, PortId::Internal, {one[i], other[i]})) {
            const std::uint16_t id = view(piece).identification();
            left[id].push_back(std::move(piece));
        }
    }
    return left;
}

}  // namespace

class Rfc4787Test : public QObject {
    Q_OBJECT

private Q_SLOTS:
    // RFC 4787 REQ-1
    void udpMapping_towardsManyRemotes_isTheSame()
    {
        Bed bed;
        const Endpoint first = bed.udpOut(at(kAnna, 5000), at(kServer, 3478)).source();
        QCOMPARE(first.address, kExternal);
        for (unsigned i = 0; i < 200; ++i) {
            const auto outcome = bed.udpOut(at(kAnna, 5000), at(host(0x10000 + i), 1000 + i));
            QVERIFY(told(outcome.outside(), outcome));
            QVERIFY(outcome.source() == first);
        }
        QCOMPARE(bed.mappings(), std::size_t{1});
    }

    // RFC 4787 REQ-1, seen failing: with the other behaviour the mapping differs.
    void udpMapping_ofAddressAndPortDependentBehaviour_differs()
    {
        EngineConfig config = usual();
        config.nat.udp.mapping = Behaviour::AddressAndPortDependent;
        Bed bed(config);
        const auto first = bed.udpOut(at(kAnna, 5000), at(kServer, 3478)).source();
        QVERIFY(bed.udpOut(at(kAnna, 5000), at(kServer, 3479)).source() != first);
    }

    // RFC 4787 REQ-2
    void device_withFourExternalAddresses_alwaysHasTheSame()
    {
        EngineConfig config = usual();
        config.external.addresses = {Ipv4Address{203, 0, 113, 1}, Ipv4Address{203, 0, 113, 2},
                                     Ipv4Address{203, 0, 113, 3}, Ipv4Address{203, 0, 113, 4}};
        Bed bed(config);
        std::set<Ipv4Address> all;
        for (unsigned number = 10; number < 50; ++number) {
            std::set<Ipv4Address> seen;
            for (unsigned i = 0; i < 20; ++i) {
                seen.insert(
                    bed.udpOut(at(host(number), 4000 + i), at(kServer, 53 + i)).source().address);
            }
            QCOMPARE(seen.size(), std::size_t{1});
            all.insert(*seen.begin());
        }
        QCOMPARE(all.size(), std::size_t{4});
    }

    // RFC 4787 REQ-3
    void externalPorts_ofThousandsOfFlows_areNeverShared()
    {
        Bed bed;
        std::map<Endpoint, Endpoint> owners;
        for (unsigned number = 10; number < 50; ++number) {
            for (unsigned port = 2000; port < 2200; ++port) {
                const auto outcome = bed.udpOut(at(host(number), port), at(kServer, 53));
                QVERIFY(told(outcome.outside(), outcome));
                QVERIFY(owners.emplace(outcome.source(), at(host(number), port)).second);
            }
        }
        // And everybody gets his own answer.
        for (const auto& [external, internal] : owners) {
            const auto outcome = bed.udpIn(at(kServer, 53), external);
            QVERIFY(told(outcome.inside() && outcome.destination() == internal, outcome));
        }
    }

    // RFC 4787 REQ-3a
    void externalPort_ofLowPorts_isLowAndOfOthersIsNot()
    {
        Bed bed;
        for (unsigned port : {1U, 68U, 123U, 500U, 1022U, 1023U}) {
            QVERIFY(bed.udpOut(at(kAnna, port), at(kServer, 9999)).source().port < Port{1024});
        }
        for (unsigned port = 1024; port < 1324; ++port) {
            QVERIFY(bed.udpOut(at(kAnna, port), at(kServer, 9999)).source().port >= Port{1024});
        }
    }

    // RFC 4787 REQ-4
    void externalPort_always_keepsParity()
    {
        Bed bed;
        for (unsigned port = 900; port < 1400; ++port) {
            const auto external = bed.udpOut(at(kAnna, port), at(kServer, 9999)).source().port;
            QCOMPARE(external.hostOrder() % 2, int(port % 2));
        }
    }

    // RFC 4787 REQ-4, seen failing: without the switch the parity is a matter of luck.
    void externalPort_withoutParitySwitch_doesNotKeepParity()
    {
        EngineConfig config = usual();
        config.nat.portParity = false;
        Bed bed(config);
        int other = 0;
        for (unsigned port = 2000; port < 2100; ++port) {
            const auto external = bed.udpOut(at(kAnna, port), at(kServer, 9999)).source().port;
            other += external.hostOrder() % 2 != int(port % 2) ? 1 : 0;
        }
        QVERIFY(other > 20 && other < 80);
    }

    // RFC 4787 REQ-5
    void udpMapping_unansweredForTwoMinutesLessAMicrosecond_lives()
    {
        Bed bed;
        const auto external = bed.udpOut(at(kAnna, 5000), at(kServer, 53)).source();
        bed.pass(2min - 1us);
        QVERIFY(bed.udpIn(at(kServer, 53), external).inside());
    }

    // RFC 4787 REQ-5
    void udpMapping_unansweredForTwoMinutes_expires()
    {
        Bed bed;
        const auto external = bed.udpOut(at(kAnna, 5000), at(kServer, 53)).source();
        bed.leap(2min);
        QVERIFY(bed.udpIn(at(kServer, 53), external).dropped(DropReason::NoMapping));
        QCOMPARE(bed.mappings(), std::size_t{0});
    }

    // RFC 4787 REQ-5c
    void udpMapping_answered_livesForFiveMinutes()
    {
        Bed bed;
        const auto external = bed.udpOut(at(kAnna, 5000), at(kServer, 53)).source();
        QVERIFY(bed.udpIn(at(kServer, 53), external).inside());
        bed.pass(5min - 1us);
        QVERIFY(bed.udpIn(at(kServer, 53), external).inside());
        bed.pass(5min);
        QVERIFY(bed.udpIn(at(kServer, 53), external).dropped(DropReason::NoMapping));
        bed.pass(2s);
        QCOMPARE(bed.mappings(), std::size_t{0});
        QCOMPARE(bed.sessions(), std::size_t{0});
    }

    // RFC 4787 REQ-5b
    void udpTimer_byCommand_isFollowedButNeverBelowTwoMinutes()
    {
        Bed bed;
        engine::nat::NatConfig config = usual().nat;
        config.timers.udpTwoWay = 20min;
        QVERIFY(bed.apply(engine::SetNat{config}).has_value());
        const auto external = bed.udpOut(at(kAnna, 5000), at(kServer, 53)).source();
        QVERIFY(bed.udpIn(at(kServer, 53), external).inside());
        bed.pass(20min - 1us);
        QVERIFY(bed.udpIn(at(kServer, 53), external).inside());
        config.timers.udpOneWay = 2min - 1ns;
        const auto refused = bed.apply(engine::SetNat{config});
        QVERIFY(!refused && refused.error() == engine::CommandError::TimerTooShort);
    }

    // RFC 4787 REQ-6
    void udpMapping_refreshedByOutboundPackets_lives()
    {
        Bed bed;
        const auto external = bed.udpOut(at(kAnna, 5000), at(kServer, 53)).source();
        for (int i = 0; i < 20; ++i) {
            bed.pass(119s);
            const auto outcome = bed.udpOut(at(kAnna, 5000), at(kServer, 53));
            QVERIFY(told(outcome.source() == external, outcome));
        }
        QVERIFY(bed.udpIn(at(kServer, 53), external).inside());
    }

    // RFC 4787 REQ-6: the mapping, not the session, is what outbound packets keep alive.
    void udpMapping_refreshedTowardsAnotherRemote_staysTheSame()
    {
        Bed bed;
        const auto external = bed.udpOut(at(kAnna, 5000), at(kServer, 53)).source();
        for (int i = 0; i < 10; ++i) {
            bed.pass(119s);
            QVERIFY(bed.udpOut(at(kAnna, 5000), at(kOther, 53)).source() == external);
        }
    }

    // RFC 4787 REQ-6a
    void udpMapping_refreshedByInboundPackets_livesIfConfigured()
    {
        for (const bool refresh : {true, false}) {
            EngineConfig config = usual();
            config.nat.inboundRefresh = refresh;
            Bed bed(config);
            const auto external = bed.udpOut(at(kAnna, 5000), at(kServer, 53)).source();
            for (int i = 0; i < 4; ++i) {
                bed.udpIn(at(kServer, 53), external);
                bed.pass(4min);
            }
            QCOMPARE(bed.udpIn(at(kServer, 53), external).inside(), refresh);
        }
    }

    // RFC 4787 REQ-7
    void externalAddress_insideTheInternalNetwork_isRefused()
    {
        Bed bed;
        const auto external = bed.udpOut(at(kAnna, 5000), at(kServer, 53)).source();
        const auto refused =
            bed.apply(engine::SetExternalSide{{.addresses = {Ipv4Address{192, 0, 2, 77}},
                                               .prefix = Prefix{Ipv4Address{192, 0, 2, 0}, 24}}});
        QVERIFY(!refused && refused.error() == engine::CommandError::PrefixesOverlap);
        // Nothing has changed, and after renumbering inside the same address is taken.
        QVERIFY(bed.udpIn(at(kServer, 53), external).inside());
        QVERIFY(bed.apply(engine::SetInternalSide{{.prefix = Prefix{Ipv4Address{10, 9, 8, 0}, 24},
                                                   .address = Ipv4Address{10, 9, 8, 1}}})
                    .has_value());
        QVERIFY(
            bed.apply(engine::SetExternalSide{{.addresses = {Ipv4Address{192, 0, 2, 77}},
                                               .prefix = Prefix{Ipv4Address{192, 0, 2, 0}, 24}}})
                .has_value());
        const auto outcome = bed.udpOut(at(Ipv4Address{10, 9, 8, 10}, 5000), at(kServer, 53));
        QVERIFY(told(outcome.outside(), outcome));
        QVERIFY(outcome.source().address == (Ipv4Address{192, 0, 2, 77}));
    }

    // RFC 4787 REQ-7: an external network that swallows the internal one is a conflict, too.
    void externalNetwork_aroundTheInternalNetwork_isRefused()
    {
        Bed bed;
        const auto refused =
            bed.apply(engine::SetExternalSide{{.addresses = {Ipv4Address{192, 0, 3, 77}},
                                               .prefix = Prefix{Ipv4Address{192, 0, 0, 0}, 16}}});
        QVERIFY(!refused && refused.error() == engine::CommandError::PrefixesOverlap);
    }

    // RFC 4787 REQ-8
    void filtering_byDefault_isAddressDependent()
    {
        Bed bed;
        const auto external = bed.udpOut(at(kAnna, 5000), at(kServer, 53)).source();
        QVERIFY(bed.udpIn(at(kServer, 999), external).inside());
        QVERIFY(bed.udpIn(at(kOther, 53), external).dropped(DropReason::FilteredAddress));
    }

    // RFC 4787 REQ-8
    void filtering_endpointIndependent_letsEverybodyIn()
    {
        Bed bed(filtering(Behaviour::EndpointIndependent));
        const auto external = bed.udpOut(at(kAnna, 5000), at(kServer, 53)).source();
        const auto outcome = bed.udpIn(at(kOther, 999), external);
        QVERIFY(told(outcome.inside() && outcome.destination() == at(kAnna, 5000), outcome));
    }

    // RFC 4787 REQ-8: stricter than recommended, for who wants it.
    void filtering_addressAndPortDependent_wantsTheExactEndpoint()
    {
        Bed bed(filtering(Behaviour::AddressAndPortDependent));
        const auto external = bed.udpOut(at(kAnna, 5000), at(kServer, 53)).source();
        QVERIFY(bed.udpIn(at(kServer, 53), external).inside());
        QVERIFY(bed.udpIn(at(kServer, 999), external).dropped(DropReason::FilteredAddressAndPort));
    }

    // RFC 4787 REQ-9
    // RFC 4787 REQ-9a
    void hairpinning_betweenTwoMappings_showsExternalEndpoints()
    {
        Bed bed;
        const auto anna = bed.udpOut(at(kAnna, 5000), at(kServer, 3478)).source();
        const auto bert = bed.udpOut(at(kBert, 6000), at(kServer, 3478)).source();
        for (int i = 0; i < 3; ++i) {
            auto outcome = bed.udpOut(at(kAnna, 5000), bert);
            QVERIFY(told(outcome.inside(), outcome));
            QVERIFY(outcome.source() == anna);
            QVERIFY(outcome.destination() == at(kBert, 6000));
            QCOMPARE(ttlOf(outcome.packet), std::uint8_t{63});
            outcome = bed.udpOut(at(kBert, 6000), anna);
            QVERIFY(told(outcome.inside(), outcome));
            QVERIFY(outcome.source() == bert);
            QVERIFY(outcome.destination() == at(kAnna, 5000));
        }
    }

    // RFC 4787 REQ-9: the address of another device of a pool is reached the same way.
    void hairpinning_overTwoExternalAddresses_works()
    {
        EngineConfig config = usual();
        config.external.addresses = {kExternal, kSecondExternal};
        Bed bed(config);
        const auto anna = bed.udpOut(at(kAnna, 5000), at(kServer, 3478)).source();
        const auto bert = bed.udpOut(at(kBert, 6000), at(kServer, 3478)).source();
        QVERIFY(anna.address != bert.address);
        const auto outcome = bed.udpOut(at(kAnna, 5000), bert);
        QVERIFY(told(outcome.inside() && outcome.source() == anna, outcome));
    }

    // RFC 4787 REQ-9, seen failing: switched off, nothing comes back in.
    void hairpinning_switchedOff_doesNotForward()
    {
        EngineConfig config = usual();
        config.nat.hairpinning = false;
        Bed bed(config);
        const auto bert = bed.udpOut(at(kBert, 6000), at(kServer, 3478)).source();
        const auto outcome = bed.udpOut(at(kAnna, 5000), bert);
        QVERIFY(outcome.verdict.kind != Verdict::Kind::Forward);
    }

    // RFC 4787 REQ-9
    void hairpinning_toThePortForwardOfAServer_reachesIt()
    {
        EngineConfig config = usual();
        config.portForwards = {{.id = 1,
                                .protocol = IpProtocol::Udp,
                                .externalPorts = range(5060, 5060),
                                .internalAddress = kBert,
                                .internalFirst = Port{5060}}};
        Bed bed(config);
        const auto outcome = bed.udpOut(at(kAnna, 5000), at(kExternal, 5060));
        QVERIFY(told(outcome.inside() && outcome.destination() == at(kBert, 5060), outcome));
        QVERIFY(outcome.source().address == kExternal);
        const auto answer = bed.udpOut(at(kBert, 5060), outcome.source());
        QVERIFY(told(answer.inside() && answer.destination() == at(kAnna, 5000), answer));
        QVERIFY(answer.source() == at(kExternal, 5060));
    }

    // RFC 4787 REQ-10
    void udpPayload_ofOrdinaryFlows_isNeverTouched()
    {
        Bed bed;
        // Addresses in payloads are what ALGs look for.
        const Bytes tempting = text("c=IN IP4 192.0.2.10\r\nm=audio 5000 RTP/AVP 0\r\n");
        for (unsigned port : {53U, 69U, 137U, 161U, 1194U, 5060U, 7078U}) {
            auto outcome = bed.udpOut(at(kAnna, 5000), at(kServer, port), tempting);
            QVERIFY(told(outcome.outside(), outcome));
            const auto udp = wire::UdpView::parse(view(outcome.packet).payload());
            QVERIFY(std::equal(tempting.begin(), tempting.end(), udp->payload().begin(),
                               udp->payload().end()));
        }
        QCOMPARE(bed.engine().snapshot(bed.now).counters.helperEdits, std::uint64_t{0});
    }

    // RFC 4787 REQ-10a
    void helpers_areSwitchedOneByOne()
    {
        Bed bed;
        using engine::policy::PassthroughMode;
        for (std::size_t i = 0; i < engine::net::kVpnProtocolCount; ++i) {
            const auto protocol = static_cast<engine::net::VpnProtocol>(i);
            QVERIFY(bed.apply(engine::SetPassthrough{protocol, {PassthroughMode::Plain, {}}})
                        .has_value());
            for (std::size_t k = 0; k < engine::net::kVpnProtocolCount; ++k) {
                const auto other = static_cast<engine::net::VpnProtocol>(k);
                QCOMPARE(bed.engine().config().passthrough.of(other).mode,
                         k <= i ? PassthroughMode::Plain : PassthroughMode::Assist);
            }
        }
    }

    // RFC 4787 REQ-11
    void behaviour_underLoad_staysTheSame()
    {
        Bed bed;
        const auto judge = [&bed](unsigned port) {
            const auto external = bed.udpOut(at(kAnna, port), at(kServer, 53)).source();
            const bool mapping = bed.udpOut(at(kAnna, port), at(kOther, 53)).source() == external;
            const bool permits = bed.udpIn(at(kOther, 777), external).inside();
            const bool filters =
                bed.udpIn(at(kOnTheWay, 53), external).dropped(DropReason::FilteredAddress);
            return mapping && permits && filters;
        };
        QVERIFY(judge(1500));
        for (unsigned number = 20; number < 60; ++number) {
            for (unsigned port = 1500; port < 1800; ++port)
                bed.udpOut(at(host(number), port), at(kServer, 53));
        }
        // The same internal port as forty others, and as many flows of the same remote.
        for (unsigned port = 1500; port < 1600; ++port)
            QVERIFY(judge(port));
    }

    // RFC 4787 REQ-12
    void udpMapping_afterEveryKindOfIcmpError_lives()
    {
        Bed bed;
        const auto sent = bed.udpOut(at(kAnna, 5000), at(kServer, 53));
        for (const auto type :
             {wire::IcmpType::Unreachable, wire::IcmpType::SourceQuench, wire::IcmpType::Redirect,
              wire::IcmpType::TimeExceeded, wire::IcmpType::ParameterProblem}) {
            for (unsigned code = 0; code < 16; ++code) {
                bed.inbound(errorAbout(sent.packet, type, code));
                QVERIFY(bed.udpIn(at(kServer, 53), sent.source()).inside());
            }
        }
        QVERIFY(bed.udpOut(at(kAnna, 5000), at(kServer, 53)).source() == sent.source());
    }

    // RFC 4787 REQ-12a
    // RFC 4787 REQ-12b
    void icmpError_ofAnyReporter_isPassedOn()
    {
        Bed bed;
        const auto sent = bed.udpOut(at(kAnna, 5000), at(kServer, 53));
        for (const Ipv4Address reporter :
             {kServer, kOnTheWay, Ipv4Address{10, 0, 0, 1}, Ipv4Address{203, 0, 113, 254}}) {
            const auto outcome =
                bed.inbound(errorAbout(sent.packet, wire::IcmpType::Unreachable, 1, 0, reporter));
            QVERIFY(told(outcome.inside(), outcome));
            Bytes copy = outcome.packet;
            QCOMPARE(view(copy).source(), reporter);
            QCOMPARE(view(copy).destination(), kAnna);
            QVERIFY(quotedSource(outcome.packet) == at(kAnna, 5000));
        }
    }

    // RFC 4787 REQ-13
    void packetTooBig_withDontFragment_isReportedWithTheMtu()
    {
        EngineConfig config = usual();
        config.external.mtu = 1400;
        Bed bed(config);
        const auto outcome = bed.udpOut(at(kAnna, 5000), at(kServer, 53), Bytes(1373));
        QVERIFY(outcome.dropped(DropReason::DfTooBig));
        QVERIFY(outcome.answeredBy(wire::IcmpType::Unreachable,
                                   wire::icmp_unreachable::kFragmentationNeeded));
        Bytes answer = outcome.made.front().bytes;
        QCOMPARE(outcome.made.front().egress, PortId::Internal);
        QCOMPARE(view(answer).source(), kRouter);
        QCOMPARE(view(answer).destination(), kAnna);
        QCOMPARE(wire::IcmpView::parse(view(answer).payload())->nextHopMtu(), std::uint16_t{1400});
        QVERIFY(quotedSource(answer) == at(kAnna, 5000));
        QVERIFY(quotedDestination(answer) == at(kServer, 53));
        // What has not left has opened nothing.
        QCOMPARE(bed.sessions() + bed.mappings(), std::size_t{0});
        // The largest that fits gets through.
        QVERIFY(bed.udpOut(at(kAnna, 5000), at(kServer, 53), Bytes(1372)).outside());
    }

    // RFC 4787 REQ-13: the other direction, when the internal link is the narrow one.
    void packetTooBig_comingIn_isReportedToTheSender()
    {
        EngineConfig config = usual();
        config.internal.mtu = 1280;
        Bed bed(config);
        const auto external = bed.udpOut(at(kAnna, 5000), at(kServer, 53)).source();
        const auto outcome = bed.udpIn(at(kServer, 53), external, Bytes(1400));
        QVERIFY(outcome.dropped(DropReason::DfTooBig));
        QVERIFY(outcome.answeredBy(wire::IcmpType::Unreachable, 4));
        Bytes answer = outcome.made.front().bytes;
        QCOMPARE(outcome.made.front().egress, PortId::External);
        QCOMPARE(view(answer).source(), kExternal);
        QCOMPARE(view(answer).destination(), kServer);
        QCOMPARE(wire::IcmpView::parse(view(answer).payload())->nextHopMtu(), std::uint16_t{1280});
        // What is quoted is what the sender has sent, not what it became.
        QVERIFY(quotedDestination(answer) == external);
        // From another port it has begun nothing.
        QVERIFY(bed.udpIn(at(kServer, 54), external, Bytes(1400)).dropped(DropReason::DfTooBig));
        QCOMPARE(bed.sessions(), std::size_t{1});
        QVERIFY(bed.udpIn(at(kServer, 54), external, Bytes(1000)).inside());
    }

    // RFC 4787 REQ-13, for what has no ports.
    void packetTooBig_withoutPorts_isReportedToo()
    {
        for (const IpProtocol protocol :
             {IpProtocol::Esp, IpProtocol::L2tpV3, IpProtocol::EtherIp}) {
            EngineConfig config = usual();
            config.external.mtu = 1400;
            Bed bed(config);
            Bytes payload(1381);
            wire::store16(payload, 0, 0x3000);
            const auto outcome = bed.outbound(wire::buildIpv4(kAnna, kServer, protocol, payload));
            QVERIFY(told(outcome.dropped(DropReason::DfTooBig), outcome));
            QVERIFY(outcome.answeredBy(wire::IcmpType::Unreachable,
                                       wire::icmp_unreachable::kFragmentationNeeded));
            QCOMPARE(bed.sessions(), std::size_t{0});
            payload.resize(1380);
            const auto fitting = bed.outbound(wire::buildIpv4(kAnna, kServer, protocol, payload));
            QVERIFY(told(fitting.outside(), fitting));
        }
    }

    // RFC 4787 REQ-13a
    void packetTooBig_withoutDontFragment_leavesInFragmentsInOrder()
    {
        EngineConfig config = usual();
        config.external.mtu = 576;
        Bed bed(config);
        Bytes payload(1400);
        for (std::size_t i = 0; i < payload.size(); ++i)
            payload[i] = static_cast<std::uint8_t>(i);
        const auto outcome =
            bed.udpOut(at(kAnna, 5000), at(kServer, 53), payload, {.dontFragment = false});
        QVERIFY(outcome.made.size() >= 3);
        std::vector<Bytes> pieces;
        std::size_t offset = 0;
        for (const auto& made : outcome.made) {
            Bytes piece = made.bytes;
            QCOMPARE(made.egress, PortId::External);
            QVERIFY(piece.size() <= 576);
            QVERIFY(pieces.empty() || view(piece).fragmentOffset() > offset);
            offset = view(piece).fragmentOffset();
            pieces.push_back(piece);
        }
        const Bytes whole = joined(pieces);
        QVERIFY(!whole.empty());
        QVERIFY(isSound(whole));
        QCOMPARE(sourceOf(whole).address, kExternal);
    }

    // RFC 4787 REQ-13a: fragments that come too big are cut again, also those that had to wait.
    void fragmentsTooBig_inEveryOrder_areCutAgain()
    {
        for (const bool reversed : {false, true}) {
            EngineConfig config = usual();
            config.external.mtu = 576;
            Bed bed(config);
            auto pieces = piecesOf(at(kAnna, 5000), at(kServer, 53), 77);
            if (reversed) std::reverse(pieces.begin(), pieces.end());
            const auto left = passed(bed, PortId::Internal, pieces);
            for (const Bytes& piece : left)
                QVERIFY(piece.size() <= 576);
            const Bytes whole = joined(left);
            QVERIFY(!whole.empty());
            QVERIFY(isSound(whole));
        }
    }

    // RFC 4787 REQ-14
    void fragments_inEveryOrderAndBothDirections_areTranslated()
    {
        for (const PortId ingress : {PortId::Internal, PortId::External}) {
            std::vector<std::size_t> order{0, 1, 2};
            std::uint16_t id = 100;
            do {
                Bed bed;
                const auto external = bed.udpOut(at(kAnna, 5000), at(kServer, 53)).source();
                const bool out = ingress == PortId::Internal;
                const auto pieces = out ? piecesOf(at(kAnna, 5000), at(kServer, 53), ++id)
                                        : piecesOf(at(kServer, 53), external, ++id);
                QCOMPARE(pieces.size(), std::size_t{3});
                std::vector<Bytes> sent;
                for (const std::size_t i : order)
                    sent.push_back(pieces[i]);
                const auto left = passed(bed, ingress, sent);
                QCOMPARE(left.size(), std::size_t{3});
                const Bytes whole = joined(left);
                QVERIFY(!whole.empty());
                QVERIFY(isSound(whole));
                QVERIFY(sourceOf(whole) == (out ? external : at(kServer, 53)));
                QVERIFY(destinationOf(whole) == (out ? at(kServer, 53) : at(kAnna, 5000)));
            } while (std::next_permutation(order.begin(), order.end()));
        }
    }

    // RFC 4787 REQ-14: two devices that use one identification towards one server.
    // RFC 3022 §6.3
    void fragments_ofTwoDevicesWithTheSameIdentification_areNotMixed()
    {
        Bed bed;
        const auto anna = piecesOf(at(kAnna, 5000), at(kServer, 53), 7);
        const auto bert = piecesOf(at(kBert, 5000), at(kServer, 53), 7);
        const auto byIdentification = sentTogether(bed, anna, bert, {0, 1, 2});
        QCOMPARE(byIdentification.size(), std::size_t{2});
        for (const auto& [id, pieces] : byIdentification) {
            const Bytes whole = joined(pieces);
            QVERIFY(!whole.empty() && isSound(whole));
        }
    }

    // RFC 4787 REQ-14: nor towards one that is hairpinned, where all have the router's address.
    void hairpinnedFragments_inEveryOrder_ofTwoDevicesWithTheSameIdentification_areNotMixed()
    {
        constexpr Ipv4Address kCarl{192, 0, 2, 12};
        std::vector<std::size_t> order{0, 1, 2};
        do {
            EngineConfig config = usual();
            config.portForwards = {{.id = 1,
                                    .protocol = IpProtocol::Udp,
                                    .externalPorts = range(5060, 5060),
                                    .internalAddress = kCarl,
                                    .internalFirst = Port{5060}}};
            Bed bed(config);
            const auto anna = piecesOf(at(kAnna, 5000), at(kExternal, 5060), 7);
            const auto bert = piecesOf(at(kBert, 5000), at(kExternal, 5060), 7);
            const auto byIdentification = sentTogether(bed, anna, bert, order);
            QCOMPARE(byIdentification.size(), std::size_t{2});
            for (const auto& [id, pieces] : byIdentification) {
                const Bytes whole = joined(pieces);
                QVERIFY(!whole.empty() && isSound(whole));
                QVERIFY(sourceOf(whole).address == kExternal);
                QVERIFY(destinationOf(whole) == at(kCarl, 5060));
            }
        } while (std::next_permutation(order.begin(), order.end()));
    }

    // RFC 4787 REQ-14a
    void fragmentFlood_ofOneSource_stopsNobodyElse()
    {
        Bed bed;
        const auto external = bed.udpOut(at(kAnna, 5000), at(kServer, 53)).source();
        std::uint16_t id = 0;
        const auto flood = [&](unsigned count) {
            for (unsigned i = 0; i < count; ++i) {
                // Second fragments whose first never comes, from outside and from inside.
                bed.inbound(piecesOf(at(kOther, 53), external, ++id)[1]);
                bed.outbound(piecesOf(at(kBert, 7000), at(kServer, 53), id)[1]);
            }
        };
        flood(20000);
        for (std::uint16_t round = 0; round < 50; ++round) {
            QVERIFY(bed.udpOut(at(kAnna, 5000), at(kServer, 53)).outside());
            QVERIFY(bed.udpIn(at(kServer, 53), external).inside());
            const auto pieces = piecesOf(at(kServer, 53), external, round);
            QCOMPARE(passed(bed, PortId::External, {pieces[2]}).size(), std::size_t{0});
            flood(20);
            QCOMPARE(passed(bed, PortId::External, {pieces[1], pieces[0]}).size(), std::size_t{3});
        }
    }
};

QTEST_APPLESS_MAIN(Rfc4787Test)
#include "rfc4787_test.moc"
