#include "engine/wire/fragmenter.h"

#include <QtTest>

#include <set>

#include "tests/engine/compliance/bed.h"

/// RFC 6888: common requirements for carrier-grade NATs, as far as they are useful at home. With
/// RFC 5597, whose protocol is not translated.

using namespace bed;

namespace {

EngineConfig withPool(unsigned first, unsigned last)
{
    EngineConfig config = usual();
    config.nat.ports = range(first, last);
    config.nat.limits.portsPerDevice = 65535;
    return config;
}

bool tellsOfRefusal(const Outcome& outcome, DropReason reason)
{
    for (const auto& event : outcome.events) {
        const auto* refused = std::get_if<engine::Refused>(&event);
        if (refused != nullptr && refused->reason == reason) return true;
    }
    return false;
}

}  // namespace

class Rfc6888Test : public QObject {
    Q_OBJECT

private Q_SLOTS:
    // RFC 6888 REQ-1: protocols that no helper knows are refused, not half translated.
    // RFC 5597 REQ-1
    void dccpAndSctp_areRefusedWithAReason()
    {
        Bed bed;
        for (const auto protocol : {IpProtocol::Dccp, IpProtocol::Sctp, IpProtocol::UdpLite}) {
            const auto outcome =
                bed.outbound(wire::buildIpv4(kAnna, kServer, protocol, Bytes(24, 1)));
            QVERIFY(told(outcome.dropped(DropReason::UnsupportedProtocol), outcome));
            const auto in =
                bed.inbound(wire::buildIpv4(kServer, kExternal, protocol, Bytes(24, 1)));
            QVERIFY(told(in.verdict.kind != Verdict::Kind::Forward, in));
        }
        QCOMPARE(bed.sessions(), std::size_t{0});
    }

    // RFC 6888 REQ-2
    // RFC 6888 REQ-3
    void pool_ofScatteredAddresses_isPairedByDefault()
    {
        EngineConfig config = usual();
        config.external.addresses = {Ipv4Address{203, 0, 113, 9}, Ipv4Address{198, 51, 100, 200},
                                     Ipv4Address{203, 0, 113, 77}};
        Bed bed(config);
        std::set<Ipv4Address> all;
        for (unsigned number = 10; number < 40; ++number) {
            std::set<Ipv4Address> seen;
            for (unsigned i = 0; i < 10; ++i) {
                seen.insert(
                    bed.udpOut(at(host(number), 4000 + i), at(kServer, 53)).source().address);
                seen.insert(
                    bed.synOut(at(host(number), 4000 + i), at(kServer, 80)).source().address);
            }
            QCOMPARE(seen.size(), std::size_t{1});
            all.insert(*seen.begin());
        }
        QCOMPARE(all.size(), std::size_t{3});
    }

    // RFC 6888 REQ-4
    void portsOfOneDevice_areLimitedPerProtocolByCommand()
    {
        Bed bed;
        auto config = usual().nat;
        config.limits.portsPerDevice = 20;
        QVERIFY(bed.apply(engine::SetNat{config}).has_value());
        // Answered, so that nothing makes room.
        for (unsigned i = 0; i < 20; ++i) {
            const auto sent = bed.udpOut(at(kAnna, 5000 + i), at(kServer, 53));
            QVERIFY(sent.outside());
            QVERIFY(bed.udpIn(at(kServer, 53), sent.source()).inside());
        }
        const auto refused = bed.udpOut(at(kAnna, 6000), at(kServer, 53));
        QVERIFY(told(refused.dropped(DropReason::QuotaDevice), refused));
        QVERIFY(tellsOfRefusal(refused, DropReason::QuotaDevice));
        // Other protocols, other devices and old mappings are not concerned.
        QVERIFY(bed.synOut(at(kAnna, 6000), at(kServer, 80)).outside());
        QVERIFY(bed.pingOut(kAnna, kServer, 1).outside());
        QVERIFY(bed.udpOut(at(kBert, 6000), at(kServer, 53)).outside());
        QVERIFY(bed.udpOut(at(kAnna, 5000), at(kOther, 53)).outside());
    }

    // RFC 6888 REQ-4
    void newSessionsOfOneDevice_areLimitedPerSecondByCommand()
    {
        Bed bed;
        auto config = usual().nat;
        config.limits.newSessionsPerSecond = 50;
        QVERIFY(bed.apply(engine::SetNat{config}).has_value());
        for (int second = 0; second < 3; ++second) {
            unsigned made = 0;
            for (unsigned i = 0; i < 200; ++i) {
                made +=
                    bed.udpOut(at(kAnna, 5000 + i), at(kServer, 1000U + unsigned(second))).outside()
                        ? 1U
                        : 0U;
            }
            QCOMPARE(made, 50U);
            QVERIFY(bed.udpOut(at(kBert, 5000), at(kServer, 2000U + unsigned(second))).outside());
            bed.pass(1s);
        }
        QVERIFY(bed.drops(DropReason::QuotaRate) >= 450);
    }

    // RFC 6888 REQ-5
    void sessionsOfOneDevice_areLimited()
    {
        EngineConfig config = usual();
        config.nat.limits.sessionsPerDevice = 100;
        config.deviceRules = {{.id = 1, .address = kBert, .sessionLimit = 10}};
        Bed bed(config);
        for (const auto& [device, limit] : {std::pair{kAnna, 100U}, std::pair{kBert, 10U}}) {
            for (unsigned i = 0; i < limit; ++i) {
                const auto sent = bed.udpOut(at(device, 5000), at(kServer, 1000 + i));
                QVERIFY(sent.outside());
                QVERIFY(bed.udpIn(at(kServer, 1000 + i), sent.source()).inside());
            }
            QVERIFY(
                bed.udpOut(at(device, 5000), at(kServer, 3000)).dropped(DropReason::QuotaDevice));
        }
    }

    // RFC 6888 REQ-7
    void filtering_endpointIndependent_canBeChosenWhileRunning()
    {
        Bed bed;
        const auto external = bed.udpOut(at(kAnna, 5000), at(kServer, 53)).source();
        QVERIFY(bed.udpIn(at(kOther, 1), external).dropped(DropReason::FilteredAddress));
        auto config = usual().nat;
        config.udp.filtering = engine::nat::Behaviour::EndpointIndependent;
        QVERIFY(bed.apply(engine::SetNat{config}).has_value());
        QVERIFY(bed.udpIn(at(kOther, 1), external).inside());
        // And back: what the device itself has sent to stays permitted.
        QVERIFY(bed.apply(engine::SetNat{usual().nat}).has_value());
        QVERIFY(bed.udpIn(at(kOnTheWay, 1), external).dropped(DropReason::FilteredAddress));
        QVERIFY(bed.udpIn(at(kServer, 99), external).inside());
    }

    // RFC 6888 REQ-8
    void externalPort_thatWasFreed_isNotUsedForTwoMinutes()
    {
        // Freed at the end of a second, where rounding would show.
        for (const Duration fraction : {Duration{0}, Duration{999ms}}) {
            Bed bed(withPool(40001, 40001));
            bed.now = Instant{1h + fraction};
            QCOMPARE(bed.udpOut(at(kAnna, 5001), at(kServer, 53)).source().port, Port{40001});
            bed.leap(2min);
            engine::Output ignored;
            const auto serial = bed.engine().sessions(bed.now, {}).front().serial;
            QVERIFY(bed.apply(engine::CloseSession{serial}).has_value());
            QVERIFY(
                bed.udpOut(at(kBert, 5001), at(kServer, 53)).dropped(DropReason::PortExhausted));
            bed.leap(120s - 1us);
            QVERIFY(
                bed.udpOut(at(kBert, 5001), at(kServer, 53)).dropped(DropReason::PortExhausted));
            bed.leap(2s);
            QCOMPARE(bed.udpOut(at(kBert, 5001), at(kServer, 53)).source().port, Port{40001});
        }
    }

    // RFC 6888 REQ-8: and what still comes for the old owner reaches nobody.
    void externalPort_inQuarantine_deliversToNobody()
    {
        Bed bed(withPool(40001, 40001));
        const auto external = bed.udpOut(at(kAnna, 5001), at(kServer, 53)).source();
        bed.pass(2min + 2s);
        QCOMPARE(bed.sessions(), std::size_t{0});
        for (int i = 0; i < 12; ++i) {
            QVERIFY(bed.udpIn(at(kServer, 53), external).silent());
            bed.pass(9s);
        }
    }

    // RFC 6888 REQ-10
    void counters_tellEverySessionAndDrop()
    {
        Bed bed;
        for (unsigned i = 0; i < 30; ++i)
            bed.udpOut(at(kAnna, 5000 + i), at(kServer, 53));
        for (unsigned i = 0; i < 7; ++i)
            bed.udpIn(at(kOther, 53), at(kExternal, 512 + i));
        const auto counters = bed.engine().snapshot(bed.now).counters;
        QCOMPARE(counters.sessionsCreated, std::uint64_t{30});
        QCOMPARE(counters.mappingsCreated, std::uint64_t{30});
        QCOMPARE(counters.outbound.packets, std::uint64_t{30});
        QCOMPARE(bed.drops(DropReason::NoMapping), std::uint64_t{7});
    }

    // RFC 6888 REQ-11
    void pool_whenExhausted_refusesWithHostUnreachableAndKeepsEveryMapping()
    {
        Bed bed(withPool(40000, 40099));
        std::vector<std::pair<Endpoint, Endpoint>> all;
        for (unsigned i = 0; i < 100; ++i) {
            const Endpoint internal = at(host(10 + i % 10), 5000 + i);
            const auto sent = bed.udpOut(internal, at(kServer, 53));
            QVERIFY(told(sent.outside(), sent));
            QVERIFY(bed.udpIn(at(kServer, 53), sent.source()).inside());
            all.emplace_back(internal, sent.source());
        }
        for (unsigned i = 0; i < 20; ++i) {
            const auto refused = bed.udpOut(at(host(30 + i), 5000), at(kServer, 53));
            QVERIFY(told(refused.dropped(DropReason::PortExhausted), refused));
            QVERIFY(refused.answeredBy(wire::IcmpType::Unreachable, 1));
            QVERIFY(tellsOfRefusal(refused, DropReason::PortExhausted));
        }
        for (const auto& [internal, external] : all) {
            const auto outcome = bed.udpIn(at(kServer, 53), external);
            QVERIFY(told(outcome.inside() && outcome.destination() == internal, outcome));
        }
    }

    // RFC 6888 REQ-6
    void destination_withoutTranslation_seesTheDevicesOwnAddress()
    {
        EngineConfig config = usual();
        config.nat.untranslated = {{Prefix{kServer, 32}, range(0, 65535)},
                                   {Prefix{kOther, 32}, range(443, 443)}};
        Bed bed(config);
        bed.expectInternalOutside();
        const auto udp = bed.udpOut(at(kAnna, 5000), at(kServer, 53));
        QVERIFY(told(udp.outside() && udp.source() == at(kAnna, 5000), udp));
        QVERIFY(isSound(udp.packet));
        QCOMPARE(unsigned{ttlOf(udp.packet)}, 63U);
        const auto answer = bed.udpIn(at(kServer, 53), at(kAnna, 5000));
        QVERIFY(told(answer.inside() && answer.destination() == at(kAnna, 5000), answer));
        QVERIFY(bed.pingOut(kAnna, kServer, 7).source() == at(kAnna, 7));
        QVERIFY(bed.pingReplyIn(kServer, at(kAnna, 7)).inside());
        Connection tcp(bed, at(kBert, 6000), at(kOther, 443));
        QVERIFY(tcp.open() && tcp.works());
        QCOMPARE(tcp.external, at(kBert, 6000));
        // Errors about it find it, too.
        QVERIFY(bed.inbound(errorAbout(udp.packet)).inside());
        // Fragments follow their first.
        Bytes whole = wire::buildUdp(at(kAnna, 5000), at(kServer, 53), Bytes(2000),
                                     {.identification = 9, .dontFragment = false});
        for (const auto& piece : wire::fragmentIpv4(view(whole), 1500)) {
            Outcome outcome = bed.outbound(piece);
            QVERIFY(told(outcome.outside() && view(outcome.packet).source() == kAnna, outcome));
        }
        // Neither mapping nor port is spent, and a restart keeps it.
        QCOMPARE(bed.mappings(), std::size_t{0});
        Bed again(config);
        again.now = bed.now;
        again.expectInternalOutside();
        QVERIFY(again.engine().restoreState(again.now, bed.engine().saveState(bed.now)));
        QVERIFY(again.udpIn(at(kServer, 53), at(kAnna, 5000)).inside());
    }

    // RFC 6888 REQ-6: the rest of the world is translated, and the way in is for answers only.
    void destination_withoutTranslation_opensNothingElse()
    {
        EngineConfig config = usual();
        config.nat.untranslated = {{Prefix{kOther, 32}, range(443, 443)}};
        Bed bed(config);
        QCOMPARE(bed.udpOut(at(kAnna, 5000), at(kOther, 53)).source().address, kExternal);
        QCOMPARE(bed.udpOut(at(kAnna, 5000), at(kServer, 443)).source().address, kExternal);
        QVERIFY(bed.udpIn(at(kOther, 443), at(kAnna, 5000)).dropped(DropReason::NotForUs));
        QVERIFY(bed.synIn(at(kOther, 443), at(kAnna, 22)).dropped(DropReason::NotForUs));
        QVERIFY(bed.inbound(wire::buildIcmpQuery(
                                {.source = kOther, .destination = kAnna, .identifier = 7}, {}))
                    .dropped(DropReason::NotForUs));
        const Bytes gre{0x20, 0, 0x08, 0, 0, 0, 0, 9, 1, 2, 3, 4};
        QVERIFY(bed.inbound(wire::buildIpv4(kOther, kAnna, IpProtocol::Gre, gre))
                    .dropped(DropReason::NotForUs));
        auto nat = config.nat;
        nat.untranslated = {{Prefix{kOther, 32}, range(443, 442)}};
        QVERIFY(!bed.apply(engine::SetNat{nat}));
    }

    // RFC 6888 REQ-11: a full table is refused the same way.
    void table_whenFull_refusesWithHostUnreachable()
    {
        EngineConfig config = usual();
        config.maxSessions = 64;
        config.nat.limits.sessionsPerDevice = 1000;
        Bed bed(config);
        for (unsigned i = 0; i < 64; ++i) {
            const auto sent = bed.udpOut(at(host(10 + i), 5000), at(kServer, 53));
            QVERIFY(told(sent.outside(), sent));
            QVERIFY(bed.udpIn(at(kServer, 53), sent.source()).inside());
        }
        const auto refused = bed.udpOut(at(host(200), 5000), at(kServer, 53));
        QVERIFY(told(refused.dropped(DropReason::SessionTableFull), refused));
        QVERIFY(refused.answeredBy(wire::IcmpType::Unreachable, 1));
        QCOMPARE(bed.sessions(), std::size_t{64});
    }

    // RFC 6888 REQ-13
    void pool_isUsedToTheLastPort()
    {
        // All internal ports even: parity gives way before flows are refused.
        Bed bed(withPool(40000, 40099));
        std::set<Port> used;
        for (unsigned i = 0; i < 100; ++i) {
            const auto outcome = bed.udpOut(at(host(10 + i), 5000), at(kServer, 53));
            QVERIFY(told(outcome.outside(), outcome));
            used.insert(outcome.source().port);
        }
        QCOMPARE(used.size(), std::size_t{100});
    }

    // RFC 6888 REQ-15
    void externalPorts_ofFlowsInARow_areNotNeighbours()
    {
        Bed bed;
        int near = 0;
        int last = 0;
        for (unsigned i = 0; i < 500; ++i) {
            const int port =
                bed.udpOut(at(kAnna, 5000 + i), at(kServer, 53)).source().port.hostOrder();
            near += std::abs(port - last) < 100 ? 1 : 0;
            last = port;
        }
        QVERIFY(near < 10);
    }

    // While there is no external address nothing is mapped, and everybody is told.
    void flows_withoutAnExternalAddress_areRefusedAndLeaveNothing()
    {
        EngineConfig config = usual();
        config.external.addresses.clear();
        Bed bed(config);
        for (int kind = 0; kind < 3; ++kind) {
            const auto outcome = kind == 0   ? bed.udpOut(at(kAnna, 5000), at(kServer, 53))
                                 : kind == 1 ? bed.synOut(at(kAnna, 5000), at(kServer, 53))
                                             : bed.pingOut(kAnna, kServer, 7);
            QVERIFY(told(outcome.dropped(DropReason::ExternalDown), outcome));
            QVERIFY(outcome.answeredBy(wire::IcmpType::Unreachable, 1));
        }
        QCOMPARE(bed.mappings(), std::size_t{0});
        QVERIFY(bed.apply(engine::SetExternalSide{usual().external}).has_value());
        const auto outcome = bed.udpOut(at(kAnna, 5000), at(kServer, 53));
        QVERIFY(told(outcome.outside() && outcome.source().address == kExternal, outcome));
    }
};

QTEST_APPLESS_MAIN(Rfc6888Test)
#include "rfc6888_test.moc"
