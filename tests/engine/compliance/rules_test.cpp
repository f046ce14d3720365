#include <QtTest>

#include "tests/engine/compliance/bed.h"

/// What the user may wish: port forwards, 1:1 addresses, an exposed host, rules for devices.

using namespace bed;
using engine::CommandError;
using engine::policy::DeviceAccess;
using engine::policy::OnLive;
using engine::policy::PortForward;

namespace {

constexpr Ipv4Address kCarl{192, 0, 2, 12};
constexpr Ipv4Address kDistant{198, 51, 100, 9};

PortForward forward(std::uint32_t id, IpProtocol protocol, unsigned first, unsigned last,
                    Ipv4Address device, unsigned internalFirst)
{
    return {.id = id,
            .protocol = protocol,
            .externalPorts = range(first, last),
            .internalAddress = device,
            .internalFirst = Port{static_cast<std::uint16_t>(internalFirst)}};
}

/// A forward over the very port that a device uses at the moment.
std::vector<PortForward> forwardOver(Endpoint external)
{
    const unsigned port = external.port.hostOrder();
    return {forward(1, IpProtocol::Udp, port, port, kBert, 7000)};
}

/// What a packet of this protocol may carry that belongs to no tunnel.
Bytes portlessOctets(IpProtocol kind)
{
    if (kind == IpProtocol::Gre) return {0x20, 0, 0x08, 0, 0, 0, 0, 9, 1, 2, 3, 4};
    if (kind == IpProtocol::EtherIp) return {0x30, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    if (kind == IpProtocol::IpIp) {
        return wire::buildUdp(at(Ipv4Address{10, 7, 0, 1}, 1), at({10, 8, 0, 1}, 2), {});
    }
    Bytes octets(60, 0);
    octets[2] = octets[3] = octets[7] = 9;
    if (kind == IpProtocol::SixInFour) octets[0] = 0x60;
    return octets;
}

bool refused(Bed& bed, const engine::Command& command, CommandError error)
{
    const auto answer = bed.apply(command);
    return !answer && answer.error() == error;
}

}  // namespace

class RulesTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void portForward_ofARange_isShiftedAsAWhole()
    {
        Bed bed;
        QVERIFY(bed.apply(engine::SetPortForwards{
                              {forward(1, IpProtocol::Udp, 27000, 27099, kBert, 5000)}})
                    .has_value());
        for (unsigned i = 0; i < 100; ++i) {
            const auto in = bed.udpIn(at(kServer, 4000), at(kExternal, 27000 + i));
            QVERIFY(told(in.inside() && in.destination() == at(kBert, 5000 + i), in));
            const auto answer = bed.udpOut(at(kBert, 5000 + i), at(kServer, 4000));
            QVERIFY(told(answer.source() == at(kExternal, 27000 + i), answer));
            // What the server opens itself has the same external port.
            QVERIFY(bed.udpOut(at(kBert, 5000 + i), at(kOther, 1)).source() ==
                    at(kExternal, 27000 + i));
        }
        QVERIFY(bed.udpIn(at(kServer, 4000), at(kExternal, 26999)).silent());
        QVERIFY(bed.udpIn(at(kServer, 4000), at(kExternal, 27100)).silent());
        const auto status = bed.engine().snapshot(bed.now).forwards.front();
        QCOMPARE(status.hits, std::uint64_t{100});
        QCOMPARE(status.liveSessions, 200U);
    }

    void portForward_ofPort47_isRefusedBecauseGreIsAProtocol()
    {
        Bed bed;
        for (const auto protocol : {IpProtocol::Tcp, IpProtocol::Udp}) {
            QVERIFY(refused(bed, engine::SetPortForwards{{forward(1, protocol, 47, 47, kBert, 47)}},
                            CommandError::PortIsProtocol));
        }
    }

    void portForward_thatCannotBe_isRefusedAndChangesNothing()
    {
        EngineConfig config = usual();
        config.reservedPorts = {range(22, 22)};
        config.portForwards = {forward(1, IpProtocol::Tcp, 443, 443, kBert, 443)};
        Bed bed(config);
        const auto one = [](const PortForward& rule) {
            return engine::SetPortForwards{{rule}};
        };
        QVERIFY(refused(bed, one(forward(2, IpProtocol::Tcp, 22, 22, kBert, 22)),
                        CommandError::PortInUse));
        QVERIFY(refused(bed, one(forward(2, IpProtocol::Tcp, 90, 80, kBert, 80)),
                        CommandError::RangeInverted));
        QVERIFY(refused(bed, one(forward(2, IpProtocol::Tcp, 1000, 2000, kBert, 65000)),
                        CommandError::RangeInverted));
        QVERIFY(refused(bed, one(forward(2, IpProtocol::Tcp, 80, 80, kServer, 80)),
                        CommandError::NotInternal));
        QVERIFY(refused(bed,
                        engine::SetPortForwards{{forward(2, IpProtocol::Tcp, 80, 90, kBert, 80),
                                                 forward(3, IpProtocol::Tcp, 90, 91, kAnna, 90)}},
                        CommandError::ForwardsOverlap));
        QVERIFY(bed.synIn(at(kServer, 4000), at(kExternal, 443)).inside());
        // One port of two protocols is no overlap.
        QVERIFY(bed.apply(engine::SetPortForwards{{forward(2, IpProtocol::Tcp, 80, 80, kBert, 80),
                                                   forward(3, IpProtocol::Udp, 80, 80, kAnna, 80)}})
                    .has_value());
    }

    void portForward_ofSomeRemotesOnly_refusesOthers()
    {
        PortForward rule = forward(1, IpProtocol::Tcp, 443, 443, kBert, 443);
        rule.allowedRemotes = Prefix{kServer, 32};
        Bed bed;
        QVERIFY(bed.apply(engine::SetPortForwards{{rule}}).has_value());
        QVERIFY(bed.synIn(at(kServer, 4000), at(kExternal, 443)).inside());
        const auto other = bed.synIn(at(kOther, 4000), at(kExternal, 443));
        QVERIFY(other.dropped(DropReason::DeniedByPolicy) && other.silent());
    }

    void portForward_thatIsRemoved_endsItsSessions()
    {
        Bed bed;
        QVERIFY(
            bed.apply(engine::SetPortForwards{{forward(1, IpProtocol::Tcp, 443, 443, kBert, 443)}})
                .has_value());
        QVERIFY(bed.synIn(at(kServer, 4000), at(kExternal, 443)).inside());
        QVERIFY(bed.apply(engine::SetPortForwards{{}}).has_value());
        QCOMPARE(bed.sessions(), std::size_t{0});
        // The port is nobody's but the host's again.
        QVERIFY(bed.synIn(at(kServer, 4000), at(kExternal, 443)).toHost());
    }

    void portForward_thatIsRemoved_letsItsSessionsFinishIfAsked()
    {
        Bed bed;
        QVERIFY(bed.apply(engine::SetPortForwards{
                              {forward(1, IpProtocol::Udp, 4430, 4430, kBert, 443)}})
                    .has_value());
        QVERIFY(bed.udpIn(at(kServer, 4000), at(kExternal, 4430)).inside());
        QVERIFY(bed.apply(engine::SetPortForwards{{}, OnLive::Finish}).has_value());
        QCOMPARE(bed.sessions(), std::size_t{1});
        // Both ways, by the very same address and port.
        const auto in = bed.udpIn(at(kServer, 4000), at(kExternal, 4430));
        QVERIFY(told(in.inside() && in.destination() == at(kBert, 443), in));
        const auto out = bed.udpOut(at(kBert, 443), at(kServer, 4000));
        QVERIFY(told(out.outside() && out.source() == at(kExternal, 4430), out));
        // What is new does not come in any more.
        QVERIFY(!bed.udpIn(at(kServer, 4001), at(kExternal, 4430)).inside());
        QVERIFY(!bed.udpIn(at(kOther, 4000), at(kExternal, 4430)).inside());
        QCOMPARE(bed.sessions(), std::size_t{1});
    }

    void portForward_thatItsSessionsHaveOutlived_isNoLaterChangesConcern()
    {
        Bed bed;
        const PortForward gone = forward(1, IpProtocol::Udp, 4430, 4430, kBert, 443);
        const PortForward other = forward(2, IpProtocol::Udp, 5000, 5000, kAnna, 5000);
        QVERIFY(bed.apply(engine::SetPortForwards{{gone, other}}).has_value());
        QVERIFY(bed.udpIn(at(kServer, 4000), at(kExternal, 4430)).inside());
        QVERIFY(bed.udpIn(at(kServer, 4000), at(kExternal, 5000)).inside());
        QVERIFY(bed.apply(engine::SetPortForwards{{other}, OnLive::Finish}).has_value());
        QVERIFY(bed.apply(engine::SetPortForwards{{}, OnLive::Drop}).has_value());
        QCOMPARE(bed.sessions(), std::size_t{1});
        QVERIFY(bed.udpIn(at(kServer, 4000), at(kExternal, 4430)).inside());
        QVERIFY(!bed.udpIn(at(kServer, 4000), at(kExternal, 5000)).inside());
    }

    void oneToOne_givenToAnother_endsWhatLives_orLetsItFinish()
    {
        const auto pair = [](Ipv4Address device) {
            return engine::policy::OneToOne{
                .id = 1, .internalAddress = device, .externalAddress = kSecondExternal};
        };
        EngineConfig config = usual();
        config.external.addresses = {kExternal, kSecondExternal};
        config.oneToOnes = {pair(kAnna)};
        const Bytes gre{0x20, 0, 0x08, 0, 0, 0, 0, 9, 1, 2, 3, 4};
        for (const OnLive onLive : {OnLive::Drop, OnLive::Finish}) {
            Bed bed(config);
            const auto own = at(kSecondExternal, 5000);
            QVERIFY(bed.udpOut(at(kAnna, 5000), at(kServer, 53)).source() == own);
            QVERIFY(bed.outbound(wire::buildIpv4(kAnna, kServer, IpProtocol::Gre, gre)).outside());
            QCOMPARE(bed.engine().sessionsEndedBy(bed.now, engine::SetOneToOnes{{pair(kAnna)}}),
                     0U);
            QCOMPARE(bed.engine().sessionsEndedBy(bed.now, engine::SetOneToOnes{{pair(kBert)}}),
                     2U);
            QVERIFY(bed.apply(engine::SetOneToOnes{{pair(kBert)}, onLive}).has_value());
            const bool stays = onLive == OnLive::Finish;
            QCOMPARE(bed.sessions(), std::size_t{stays ? 2U : 0U});
            // Both ways, by the very same address and port.
            const auto in = bed.udpIn(at(kServer, 53), own);
            QVERIFY(told(in.inside() && in.destination() == at(stays ? kAnna : kBert, 5000), in));
            const auto out = bed.udpOut(at(kAnna, 5000), at(kServer, 53));
            QVERIFY(told((out.source() == own) == stays, out));
            const auto answer =
                bed.inbound(wire::buildIpv4(kServer, kSecondExternal, IpProtocol::Gre, gre));
            QVERIFY(told(answer.inside(), answer));
            QCOMPARE(destinationOf(answer.packet).address, stays ? kAnna : kBert);
            // What is new follows the rule.
            QCOMPARE(bed.udpOut(at(kAnna, 5001), at(kServer, 53)).source().address, kExternal);
            QVERIFY(bed.udpOut(at(kBert, 5002), at(kServer, 53)).source() ==
                    at(kSecondExternal, 5002));
            QVERIFY(bed.udpIn(at(kOther, 53), own).destination() == at(kBert, 5000));
            // An endpoint that still lives is nobody else's, so the new owner waits for it.
            QCOMPARE(bed.udpOut(at(kBert, 5000), at(kServer, 53)).outside(), !stays);
        }
    }

    void sessionsEndedBy_isWhatEnds_whateverTheChange()
    {
        EngineConfig config = usual();
        config.external.addresses = {kExternal, kSecondExternal};
        config.exposedHost = kBert;
        config.portForwards = {{.id = 1,
                                .protocol = IpProtocol::Udp,
                                .externalPorts = {Port{8000}, Port{8001}},
                                .internalAddress = kAnna,
                                .internalFirst = Port{8000}}};
        const auto pair = [](Ipv4Address device, Ipv4Address external) {
            return engine::policy::OneToOne{
                .id = 1, .internalAddress = device, .externalAddress = external};
        };
        auto moved = config.portForwards;
        moved.front().internalFirst = Port{9000};
        auto taking = config.portForwards;
        taking.push_back({.id = 2,
                          .protocol = IpProtocol::Udp,
                          .externalPorts = {Port{5000}, Port{5003}},
                          .internalAddress = kBert,
                          .internalFirst = Port{5000}});
        const std::vector<engine::Command> changes{
            engine::SetPortForwards{},
            engine::SetPortForwards{moved},
            engine::SetPortForwards{taking},
            engine::SetOneToOnes{{pair(kAnna, kExternal)}},
            engine::SetOneToOnes{{pair(kAnna, kSecondExternal)}},
            engine::SetOneToOnes{{pair(kBert, kExternal)}},
            engine::SetOneToOnes{{pair(kBert, kSecondExternal)}},
            engine::SetExposedHost{},
            engine::SetExposedHost{kAnna},
            engine::SetDeviceRules{{{.id = 1, .address = kAnna, .access = DeviceAccess::Block}}},
            engine::SetDeviceRules{{{.id = 1, .address = kBert, .access = DeviceAccess::VpnOnly}}},
            engine::SetNat{config.nat},
        };
        std::uint32_t ended = 0;
        for (const engine::Command& change : changes) {
            Bed bed(config);
            for (std::uint16_t port = 5000; port < 5004; ++port) {
                QVERIFY(bed.udpOut(at(kAnna, port), at(kServer, 53)).outside());
                QVERIFY(bed.udpOut(at(kBert, port), at(kOther, 53)).outside());
            }
            QVERIFY(bed.udpIn(at(kServer, 4000), at(kExternal, 8000)).inside());
            QVERIFY(bed.udpIn(at(kServer, 4000), at(kExternal, 9999)).inside());
            const auto before = bed.engine().snapshot(bed.now).sessions;
            QCOMPARE(before, 10U);
            const std::uint32_t expected = bed.engine().sessionsEndedBy(bed.now, change);
            QVERIFY(bed.apply(change).has_value());
            QCOMPARE(before - bed.engine().snapshot(bed.now).sessions, expected);
            ended += expected;
        }
        QVERIFY(ended > 20);
    }

    void hasSessionOn_tellsWhetherAPortIsStillUsed()
    {
        EngineConfig config = usual();
        config.portForwards = {{.id = 1,
                                .protocol = IpProtocol::Udp,
                                .externalPorts = {Port{8000}, Port{8001}},
                                .internalAddress = kAnna,
                                .internalFirst = Port{8000}}};
        Bed bed(config);
        const engine::net::PortRange range{Port{8000}, Port{8001}};
        QVERIFY(!bed.engine().hasSessionOn(range));
        QVERIFY(bed.udpIn(at(kServer, 4000), at(kExternal, 8001)).inside());
        QVERIFY(bed.engine().hasSessionOn(range));
        QVERIFY(!bed.engine().hasSessionOn({Port{8002}, Port{9000}}));
        QVERIFY(bed.apply(engine::SetPortForwards{{}, OnLive::Finish}).has_value());
        QVERIFY(bed.engine().hasSessionOn(range));
        bed.pass(std::chrono::minutes(10));
        QVERIFY(!bed.engine().hasSessionOn(range));
    }

    void oneToOne_thatASessionHasOutlived_isNotItsDevicesAgainAfterARestart()
    {
        EngineConfig config = usual();
        config.external.addresses = {kExternal, kSecondExternal};
        config.oneToOnes = {
            {.id = 1, .internalAddress = kAnna, .externalAddress = kSecondExternal}};
        Bed bed(config);
        const auto own = at(kSecondExternal, 5000);
        QVERIFY(bed.udpOut(at(kAnna, 5000), at(kServer, 53)).source() == own);
        config.oneToOnes.front().internalAddress = kBert;
        QVERIFY(bed.apply(engine::SetOneToOnes{config.oneToOnes, OnLive::Finish}).has_value());
        Bed again(config);
        again.now = bed.now;
        QVERIFY(again.engine().restoreState(again.now, bed.engine().saveState(bed.now)));
        QVERIFY(again.udpOut(at(kAnna, 5000), at(kServer, 53)).source() == own);
        QCOMPARE(again.udpOut(at(kAnna, 5001), at(kServer, 53)).source().address, kExternal);
        QVERIFY(again.udpIn(at(kOther, 53), own).destination() == at(kBert, 5000));
    }

    void oneToOne_onASharedAddress_endsWhatOthersHaveThere_orLetsItFinish()
    {
        for (const OnLive onLive : {OnLive::Drop, OnLive::Finish}) {
            EngineConfig config = usual();
            config.external.addresses = {kExternal, kSecondExternal};
            Bed bed(config);
            const auto before = bed.udpOut(at(kAnna, 5000), at(kServer, 53)).source();
            QVERIFY(
                bed
                    .apply(engine::SetOneToOnes{
                        {{.id = 1, .internalAddress = kBert, .externalAddress = before.address}},
                        onLive})
                    .has_value());
            const bool stays = onLive == OnLive::Finish;
            QCOMPARE(bed.sessions(), std::size_t{stays ? 1U : 0U});
            QCOMPARE(bed.udpOut(at(kAnna, 5000), at(kServer, 53)).source() == before, stays);
            QVERIFY(bed.udpIn(at(kServer, 53), before).destination() ==
                    (stays ? at(kAnna, 5000) : Endpoint{kBert, before.port}));
            QVERIFY(bed.udpOut(at(kAnna, 5001), at(kServer, 53)).source().address !=
                    before.address);
        }
    }

    void exposedHost_givenUp_endsWhatCameIn_orLetsItFinish()
    {
        for (const OnLive onLive : {OnLive::Drop, OnLive::Finish}) {
            EngineConfig config = usual();
            config.exposedHost = kBert;
            Bed bed(config);
            QVERIFY(bed.udpIn(at(kServer, 4000), at(kExternal, 9999)).inside());
            const auto own = bed.udpOut(at(kBert, 5000), at(kServer, 53)).source();
            QCOMPARE(bed.engine().snapshot(bed.now).exposedSessions, 1U);
            // No forward's change is its concern.
            QVERIFY(bed.apply(engine::SetPortForwards{{}}).has_value());
            QCOMPARE(bed.engine().sessionsEndedBy(bed.now, engine::SetExposedHost{kBert}), 0U);
            QCOMPARE(bed.engine().sessionsEndedBy(bed.now, engine::SetExposedHost{kAnna}), 1U);
            QVERIFY(bed.apply(engine::SetExposedHost{kAnna, onLive}).has_value());
            const bool stays = onLive == OnLive::Finish;
            QCOMPARE(bed.engine().snapshot(bed.now).exposedSessions, stays ? 1U : 0U);
            const auto in = bed.udpIn(at(kServer, 4000), at(kExternal, 9999));
            QVERIFY(told(in.destination() == at(stays ? kBert : kAnna, 9999), in));
            // What the device has opened itself is not the rule's, and what is new follows it.
            QVERIFY(bed.udpIn(at(kServer, 53), own).destination() == at(kBert, 5000));
            QVERIFY(bed.udpIn(at(kOther, 4000), at(kExternal, 9999)).destination() ==
                    at(kAnna, 9999));
        }
    }

    void deviceRule_endsWhatLives_orLetsItFinish()
    {
        const engine::policy::DeviceRule rule{
            .id = 1, .address = kAnna, .access = DeviceAccess::Block};
        for (const OnLive onLive : {OnLive::Drop, OnLive::Finish}) {
            Bed bed;
            QVERIFY(bed.udpOut(at(kAnna, 5000), at(kServer, 53)).outside());
            QVERIFY(bed.apply(engine::SetDeviceRules{{rule}, onLive}).has_value());
            const bool stays = onLive == OnLive::Finish;
            QCOMPARE(bed.sessions(), std::size_t{stays ? 1U : 0U});
            QCOMPARE(bed.udpOut(at(kAnna, 5000), at(kServer, 53)).outside(), stays);
            QVERIFY(!bed.udpOut(at(kAnna, 5001), at(kServer, 53)).outside());
        }
    }

    void portForward_onThePortOfALivingMapping_takesItOver()
    {
        Bed bed;
        const auto external = bed.udpOut(at(kAnna, 5000), at(kServer, 53)).source();
        QVERIFY(bed.apply(engine::SetPortForwards{
                              {forward(1, IpProtocol::Udp, external.port.hostOrder(),
                                       external.port.hostOrder(), kBert, 7000)}})
                    .has_value());
        const auto in = bed.udpIn(at(kServer, 53), external);
        QVERIFY(told(in.inside() && in.destination() == at(kBert, 7000), in));
        // The device gets another port.
        const auto out = bed.udpOut(at(kAnna, 5000), at(kServer, 53));
        QVERIFY(told(out.outside() && out.source() != external, out));
    }

    void portForward_onThePortsOfLivingMappings_letsThemFinishIfAsked()
    {
        Bed bed;
        const auto external = bed.udpOut(at(kAnna, 5000), at(kServer, 53)).source();
        QVERIFY(bed.udpOut(at(kAnna, 5000), at(kOther, 53)).source() == external);
        const std::vector<PortForward> forwards = forwardOver(external);
        QCOMPARE(bed.engine().sessionsEndedBy(bed.now, engine::SetPortForwards{forwards}), 2U);
        QVERIFY(bed.apply(engine::SetPortForwards{forwards, OnLive::Finish}).has_value());
        QCOMPARE(bed.sessions(), std::size_t{2});
        const auto isAsItWas = [&](unsigned remotePort) {
            const auto in = bed.udpIn(at(kServer, remotePort), external);
            const auto out = bed.udpOut(at(kAnna, 5000), at(kServer, remotePort));
            return in.inside() && in.destination() == at(kAnna, 5000) && out.source() == external;
        };
        QVERIFY(isAsItWas(53));
        // Everybody else reaches the device of the forward at once, from the same host also.
        QVERIFY(bed.udpIn(at(kServer, 54), external).destination() == at(kBert, 7000));
        QVERIFY(bed.udpIn(at(kDistant, 53), external).destination() == at(kBert, 7000));
        const auto hairpinned = bed.udpOut(at(kCarl, 6000), external);
        QVERIFY(
            told(hairpinned.inside() && hairpinned.destination() == at(kBert, 7000), hairpinned));
        QVERIFY(bed.udpOut(at(kBert, 7000), at(kDistant, 99)).source() == external);
        // What the first device opens next leaves by another port, one for all.
        const auto next = bed.udpOut(at(kAnna, 5000), at(kDistant, 123)).source();
        QVERIFY(next != external);
        QVERIFY(bed.udpOut(at(kAnna, 5000), at(kDistant, 124)).source() == next);
        // An endpoint that still lives is nobody else's.
        QVERIFY(!bed.udpOut(at(kBert, 7000), at(kServer, 53)).outside());
        // Nor any later change's concern, be it of the same forward or of another.
        auto more = forwards;
        more.push_back(forward(2, IpProtocol::Udp, 9000, 9000, kCarl, 9000));
        for (const auto& change : {more, {}, forwards}) {
            const engine::SetPortForwards command{change};
            const std::size_t before = bed.sessions();
            const std::uint32_t lost = bed.engine().sessionsEndedBy(bed.now, command);
            QVERIFY(bed.apply(command).has_value());
            QCOMPARE(before - bed.sessions(), std::size_t{lost});
            QVERIFY(isAsItWas(53));
        }
        // Without a forward nobody else has the port.
        QVERIFY(bed.apply(engine::SetPortForwards{}).has_value());
        QVERIFY(bed.udpIn(at(kDistant, 55), external).silent());
        QVERIFY(bed.apply(engine::SetPortForwards{forwards}).has_value());
        bed.restart();
        QVERIFY(isAsItWas(53));
        QVERIFY(bed.udpIn(at(kDistant, 56), external).destination() == at(kBert, 7000));
        QVERIFY(bed.udpOut(at(kAnna, 5000), at(kDistant, 125)).source() == next);
        bed.pass(std::chrono::minutes(10));
        QCOMPARE(bed.sessions(), std::size_t{0});
        QCOMPARE(bed.mappings(), std::size_t{0});
        QVERIFY(bed.udpIn(at(kServer, 53), external).destination() == at(kBert, 7000));
    }

    void displacedMapping_whoseForwardHasGone_outlivesARestartBesideTheNextOfItsEndpoint()
    {
        Bed bed;
        const auto external = bed.udpOut(at(kAnna, 5000), at(kServer, 53)).source();
        QVERIFY(
            bed.apply(engine::SetPortForwards{forwardOver(external), OnLive::Finish}).has_value());
        const auto next = bed.udpOut(at(kAnna, 5000), at(kOther, 53)).source();
        QVERIFY(bed.apply(engine::SetPortForwards{}).has_value());
        bed.restart();
        QVERIFY(bed.udpOut(at(kAnna, 5000), at(kServer, 53)).source() == external);
        QVERIFY(bed.udpOut(at(kAnna, 5000), at(kOther, 53)).source() == next);
        const auto last = bed.udpOut(at(kAnna, 5000), at(kDistant, 53)).source();
        QVERIFY(last == external || last == next);
        bed.pass(std::chrono::minutes(10));
        QCOMPARE(bed.mappings(), std::size_t{0});
    }

    // A flood of unanswered flows hands its ports on; not one that has become a forward's.
    void displacedMapping_thatMakesRoom_doesNotHandOnThePort()
    {
        EngineConfig config = usual();
        config.nat.limits.sessionsPerDevice = 8;
        Bed bed(config);
        const auto external = bed.udpOut(at(kAnna, 5000), at(kServer, 53)).source();
        QVERIFY(
            bed.apply(engine::SetPortForwards{forwardOver(external), OnLive::Finish}).has_value());
        for (unsigned i = 1; i <= 16; ++i)
            QVERIFY(bed.udpOut(at(kAnna, 5000 + i), at(kServer, 53)).source() != external);
        QVERIFY(bed.udpIn(at(kServer, 53), external).destination() == at(kBert, 7000));
    }

    void portForward_thatLetsFewerIn_endsTheOthers_orLetsThemFinish()
    {
        PortForward rule = forward(1, IpProtocol::Udp, 4430, 4430, kBert, 443);
        for (const OnLive onLive : {OnLive::Drop, OnLive::Finish}) {
            Bed bed;
            QVERIFY(bed.apply(engine::SetPortForwards{{rule}}).has_value());
            const auto external = at(kExternal, 4430);
            QVERIFY(bed.udpIn(at(kServer, 4000), external).inside());
            QVERIFY(bed.udpIn(at(kOther, 4000), external).inside());
            QVERIFY(bed.udpOut(at(kAnna, 4000), external).inside());
            // What the server has opened itself has not come in.
            QVERIFY(bed.udpOut(at(kBert, 443), at(kDistant, 53)).outside());
            auto fewer = rule;
            fewer.allowedRemotes = Prefix{kServer, 32};
            QCOMPARE(bed.engine().sessionsEndedBy(bed.now, engine::SetPortForwards{{fewer}}), 1U);
            fewer.hairpin = false;
            QCOMPARE(bed.engine().sessionsEndedBy(bed.now, engine::SetPortForwards{{fewer}}), 2U);
            const std::size_t before = bed.sessions();
            QVERIFY(bed.apply(engine::SetPortForwards{{fewer}, onLive}).has_value());
            const bool stays = onLive == OnLive::Finish;
            QCOMPARE(before - bed.sessions(), std::size_t{stays ? 0U : 2U});
            QCOMPARE(bed.udpIn(at(kOther, 4000), external).inside(), stays);
            QCOMPARE(bed.udpOut(at(kAnna, 4000), external).inside(), stays);
            QVERIFY(bed.udpIn(at(kServer, 4000), external).inside());
            QVERIFY(!bed.udpIn(at(kOther, 4001), external).inside());
            QVERIFY(!bed.udpOut(at(kAnna, 4001), external).inside());
        }
    }

    void forwardOfAProtocol_greAndEsp_delivers()
    {
        Bed bed;
        QVERIFY(bed.apply(engine::SetPortForwards{{forward(1, IpProtocol::Gre, 0, 0, kBert, 0),
                                                   forward(2, IpProtocol::Esp, 0, 0, kAnna, 0)}})
                    .has_value());
        const Bytes gre{0x20, 0, 0x08, 0, 0, 0, 0, 9, 1, 2, 3, 4};
        auto outcome = bed.inbound(wire::buildIpv4(kServer, kExternal, IpProtocol::Gre, gre));
        QVERIFY(told(outcome.inside(), outcome));
        QCOMPARE(view(outcome.packet).destination(), kBert);
        Bytes esp(40, 7);
        outcome = bed.inbound(wire::buildIpv4(kServer, kExternal, IpProtocol::Esp, esp));
        QVERIFY(told(outcome.inside(), outcome));
        QCOMPARE(view(outcome.packet).destination(), kAnna);
        QVERIFY(refused(bed,
                        engine::SetPortForwards{{forward(1, IpProtocol::Gre, 0, 0, kBert, 0),
                                                 forward(2, IpProtocol::Gre, 0, 0, kAnna, 0)}},
                        CommandError::ForwardsOverlap));
    }

    void forwardOfAProtocol_ofSomeRemotesOnly_refusesOthers()
    {
        Bed bed;
        auto rule = forward(1, IpProtocol::Gre, 0, 0, kBert, 0);
        rule.allowedRemotes = Prefix{kServer, 32};
        QVERIFY(bed.apply(engine::SetPortForwards{{rule}}).has_value());
        const Bytes gre{0x20, 0, 0x08, 0, 0, 0, 0, 9, 1, 2, 3, 4};
        QVERIFY(bed.inbound(wire::buildIpv4(kOther, kExternal, IpProtocol::Gre, gre)).silent());
    }

    // A 1:1 address is its owner's with all protocols: a tunnel may begin outside, too.
    void oneToOne_portlessPacketsThatNobodyAskedFor_reachTheOwner_data()
    {
        using engine::net::VpnProtocol;
        QTest::addColumn<int>("protocol");
        QTest::addColumn<int>("guardian");
        const auto row = [](const char* name, IpProtocol protocol, VpnProtocol guardian) {
            QTest::newRow(name) << static_cast<int>(protocol) << static_cast<int>(guardian);
        };
        row("GRE", IpProtocol::Gre, VpnProtocol::Gre);
        row("ESP", IpProtocol::Esp, VpnProtocol::IpsecEsp);
        row("IPIP", IpProtocol::IpIp, VpnProtocol::IpIp);
        row("6in4", IpProtocol::SixInFour, VpnProtocol::SixInFour);
        row("EtherIP", IpProtocol::EtherIp, VpnProtocol::EtherIp);
        row("L2TPv3", IpProtocol::L2tpV3, VpnProtocol::L2tpV3);
    }
    void oneToOne_portlessPacketsThatNobodyAskedFor_reachTheOwner()
    {
        QFETCH(int, protocol);
        QFETCH(int, guardian);
        const auto kind = static_cast<IpProtocol>(protocol);
        EngineConfig config = usual();
        config.external.addresses = {kExternal, kSecondExternal};
        config.oneToOnes = {
            {.id = 1, .internalAddress = kAnna, .externalAddress = kSecondExternal}};
        Bed bed(config);
        const Bytes octets = portlessOctets(kind);
        const auto in = bed.inbound(wire::buildIpv4(kServer, kSecondExternal, kind, octets));
        QVERIFY(told(in.inside(), in));
        QCOMPARE(destinationOf(in.packet).address, kAnna);
        const auto out = bed.outbound(wire::buildIpv4(kAnna, kServer, kind, octets));
        QVERIFY(told(out.outside(), out));
        QCOMPARE(sourceOf(out.packet).address, kSecondExternal);
        // The shared address has no owner, and a switch that says no is heard first.
        QVERIFY(bed.inbound(wire::buildIpv4(kOther, kExternal, kind, octets)).silent());
        QVERIFY(bed.apply(engine::SetPassthrough{static_cast<engine::net::VpnProtocol>(guardian),
                                                 {.mode = engine::policy::PassthroughMode::Block}})
                    .has_value());
        QVERIFY(bed.inbound(wire::buildIpv4(kOther, kSecondExternal, kind, octets)).silent());
        QVERIFY(bed.apply(engine::SetDeviceRules{{{.id = 1,
                                                   .address = kAnna,
                                                   .access = engine::policy::DeviceAccess::Block}}})
                    .has_value());
        QVERIFY(bed.inbound(wire::buildIpv4(kOther, kSecondExternal, kind, octets)).silent());
    }

    void exposedHost_getsPortlessPacketsThatNobodyAskedFor_data()
    {
        oneToOne_portlessPacketsThatNobodyAskedFor_reachTheOwner_data();
    }
    // An exposed host gets what no rule and no tunnel claims, of every protocol.
    void exposedHost_getsPortlessPacketsThatNobodyAskedFor()
    {
        QFETCH(int, protocol);
        QFETCH(int, guardian);
        const auto kind = static_cast<IpProtocol>(protocol);
        const Bytes octets = portlessOctets(kind);
        Bed bed(usual());
        const auto call = [&](Ipv4Address from) {
            return bed.inbound(wire::buildIpv4(from, kExternal, kind, octets));
        };
        QVERIFY(call(kServer).silent());
        QVERIFY(bed.apply(engine::SetExposedHost{kAnna}).has_value());
        const auto in = call(kServer);
        QVERIFY(told(in.inside(), in));
        QCOMPARE(destinationOf(in.packet).address, kAnna);
        const auto out = bed.outbound(wire::buildIpv4(kAnna, kServer, kind, octets));
        QVERIFY(told(out.outside(), out));
        QCOMPARE(sourceOf(out.packet).address, kExternal);
        // Not for callers inside, as for ports.
        QVERIFY(!bed.outbound(wire::buildIpv4(kBert, kExternal, kind, octets)).inside());
        // A forward of the protocol comes first, whoever it lets in.
        auto rule = forward(1, kind, 0, 0, kBert, 0);
        rule.allowedRemotes = Prefix{kOther, 32};
        QVERIFY(bed.apply(engine::SetPortForwards{{rule}}).has_value());
        QCOMPARE(destinationOf(call(kOther).packet).address, kBert);
        QVERIFY(call(kDistant).silent());
        QVERIFY(bed.apply(engine::SetPortForwards{}).has_value());
        QCOMPARE(destinationOf(call(kDistant).packet).address, kAnna);
        QVERIFY(bed.apply(engine::SetPassthrough{static_cast<engine::net::VpnProtocol>(guardian),
                                                 {.mode = engine::policy::PassthroughMode::Block}})
                    .has_value());
        QVERIFY(call(kDistant).silent());
    }

    // With several addresses a server inside answers by the one that it was called by.
    void forwardOfAProtocol_calledByEitherAddress_answersByTheSame()
    {
        EngineConfig config = usual();
        config.external.addresses = {kExternal, kSecondExternal};
        Bed bed(config);
        QVERIFY(bed.apply(engine::SetPortForwards{{forward(1, IpProtocol::Gre, 0, 0, kBert, 0),
                                                   forward(2, IpProtocol::Esp, 0, 0, kBert, 0),
                                                   forward(3, IpProtocol::IpIp, 0, 0, kBert, 0)}})
                    .has_value());
        const Bytes gre{0x20, 0, 0x08, 0, 0, 0, 0, 9, 1, 2, 3, 4};
        const Bytes ipIp =
            wire::buildUdp(at(Ipv4Address{10, 7, 0, 1}, 1), at({10, 8, 0, 1}, 2), {});
        const std::vector<std::pair<IpProtocol, Bytes>> kinds{
            {IpProtocol::Gre, gre}, {IpProtocol::Esp, Bytes(40, 7)}, {IpProtocol::IpIp, ipIp}};
        unsigned last = 60;
        for (const Ipv4Address called : {kExternal, kSecondExternal}) {
            for (const auto& [kind, octets] : kinds) {
                const Ipv4Address caller{198, 51, 100, static_cast<std::uint8_t>(++last)};
                const auto in = bed.inbound(wire::buildIpv4(caller, called, kind, octets));
                QVERIFY(told(in.inside(), in));
                const auto out = bed.outbound(wire::buildIpv4(kBert, caller, kind, octets));
                QVERIFY(told(out.outside(), out));
                QCOMPARE(sourceOf(out.packet).address, called);
            }
        }
    }

    void oneToOne_wishesThatCannotBe_areRefused()
    {
        EngineConfig config = usual();
        config.external.addresses = {kExternal, kSecondExternal};
        Bed bed(config);
        const auto rule = [](Ipv4Address inside, Ipv4Address outside) {
            return engine::policy::OneToOne{
                .id = 1, .internalAddress = inside, .externalAddress = outside};
        };
        QVERIFY(refused(bed, engine::SetOneToOnes{{rule(kServer, kExternal)}},
                        CommandError::NotInternal));
        QVERIFY(
            refused(bed, engine::SetOneToOnes{{rule(kAnna, kServer)}}, CommandError::NotExternal));
        QVERIFY(refused(
            bed, engine::SetOneToOnes{{rule(kAnna, kSecondExternal), rule(kBert, kSecondExternal)}},
            CommandError::DuplicateAddress));
    }

    void oneToOne_thatWouldLeaveNoAddressToShare_isRefused()
    {
        const auto rule = [](std::uint32_t id, Ipv4Address inside, Ipv4Address outside) {
            return engine::policy::OneToOne{
                .id = id, .internalAddress = inside, .externalAddress = outside};
        };
        Bed alone;
        QVERIFY(refused(alone, engine::SetOneToOnes{{rule(1, kAnna, kExternal)}},
                        CommandError::OnlyAddress));
        EngineConfig config = usual();
        config.external.addresses = {kExternal, kSecondExternal};
        Bed bed(config);
        const auto one = rule(1, kAnna, kExternal);
        QVERIFY(bed.apply(engine::SetOneToOnes{{one}}).has_value());
        QVERIFY(refused(bed, engine::SetOneToOnes{{one, rule(2, kBert, kSecondExternal)}},
                        CommandError::OnlyAddress));
        // What stands is not judged again when the other address has gone.
        QVERIFY(bed.apply(engine::SetExternalSide{
                              {.addresses = {kExternal}, .prefix = Prefix{kExternal, 24}}})
                    .has_value());
        auto renamed = one;
        renamed.name = "the one that is left";
        QVERIFY(bed.apply(engine::SetOneToOnes{{renamed}}).has_value());
    }

    // A device that no rule can be for: the router, and what means all of the network.
    void rule_forAnAddressThatNoDeviceHas_isRefused()
    {
        EngineConfig config = usual();
        config.external.addresses = {kExternal, kSecondExternal};
        Bed bed(config);
        for (const Ipv4Address nobody : {kRouter, host(0), host(255)}) {
            const std::vector<engine::Command> wishes{
                engine::SetPortForwards{{forward(1, IpProtocol::Udp, 7, 7, nobody, 7)}},
                engine::SetPortForwards{{forward(1, IpProtocol::Gre, 0, 0, nobody, 0)}},
                engine::SetOneToOnes{
                    {{.id = 1, .internalAddress = nobody, .externalAddress = kSecondExternal}}},
                engine::SetDeviceRules{{{.id = 1, .address = nobody}}},
                engine::SetExposedHost{nobody}};
            for (const auto& wish : wishes)
                QVERIFY(refused(bed, wish, CommandError::NotADevice));
        }
    }

    void portForward_ofAProtocolThatIsNotTranslated_isRefused()
    {
        Bed bed;
        std::size_t possible = 0;
        for (unsigned number = 0; number < 256; ++number) {
            const auto protocol = static_cast<IpProtocol>(number);
            const engine::SetPortForwards wish{{forward(1, protocol, 7, 7, kBert, 7)}};
            if (bed.apply(wish).has_value()) {
                ++possible;
                // What is accepted is delivered.
                const auto in =
                    engine::net::hasPorts(protocol)
                        ? (protocol == IpProtocol::Udp
                               ? bed.udpIn(at(kServer, 4000), at(kExternal, 7))
                               : bed.synIn(at(kServer, 4000), at(kExternal, 7)))
                        : bed.inbound(wire::buildIpv4(kServer, kExternal, protocol,
                                                      protocol == IpProtocol::L2tpV3
                                                          ? Bytes{0, 0, 0, 9, 1, 2, 3, 4}
                                                          : portlessOctets(protocol)));
                QVERIFY(told(in.inside(), in));
            } else {
                QVERIFY(refused(bed, wish, CommandError::ProtocolNotForwarded));
            }
        }
        QCOMPARE(possible, std::size_t{8});
    }

    // What the user has wished stands until the user changes it; it must not stand in the way.
    void rules_thatTheNetworkHasOutgrown_areNoObstacleToOthers()
    {
        constexpr Ipv4Address kThirdExternal{203, 0, 113, 3};
        constexpr Ipv4Address kNewcomer{10, 9, 8, 10};
        EngineConfig config = usual();
        config.external.addresses = {kExternal, kSecondExternal, kThirdExternal};
        config.portForwards = {forward(1, IpProtocol::Tcp, 443, 443, kBert, 443),
                               forward(2, IpProtocol::Udp, 80, 80, kAnna, 80)};
        config.oneToOnes = {{.id = 1, .internalAddress = kAnna, .externalAddress = kSecondExternal},
                            {.id = 2, .internalAddress = kBert, .externalAddress = kThirdExternal}};
        config.deviceRules = {{.id = 1, .address = kAnna, .access = DeviceAccess::Block},
                              {.id = 2, .address = kBert, .access = DeviceAccess::Block}};
        config.nat.exceptions = {{Prefix{kAnna, 32}, engine::nat::kAllPorts, {}},
                                 {Prefix{kBert, 32}, engine::nat::kAllPorts, {}}};
        Bed bed(config);
        // The host takes a port that is forwarded, the network inside gets other addresses, and all
        // but one outside are gone.
        QVERIFY(bed.apply(engine::SetReservedPorts{{range(443, 443), range(22, 22)}}));
        QVERIFY(bed.apply(engine::SetInternalSide{{.prefix = Prefix{Ipv4Address{10, 9, 8, 0}, 24},
                                                   .address = Ipv4Address{10, 9, 8, 1}}}));
        QVERIFY(bed.apply(
            engine::SetExternalSide{{.addresses = {kExternal}, .prefix = Prefix{kExternal, 24}}}));

        // New rules beside the old ones.
        auto forwards = config.portForwards;
        forwards.push_back(forward(3, IpProtocol::Tcp, 8080, 8080, kNewcomer, 80));
        QVERIFY(bed.apply(engine::SetPortForwards{forwards}));
        QVERIFY(bed.synIn(at(kServer, 4000), at(kExternal, 8080)).destination() ==
                at(kNewcomer, 80));
        auto devices = config.deviceRules;
        devices.push_back({.id = 3, .address = kNewcomer, .access = DeviceAccess::Allow});
        QVERIFY(bed.apply(engine::SetDeviceRules{devices}));
        auto nat = config.nat;
        nat.timers.udpTwoWay = 10min;
        QVERIFY(bed.apply(engine::SetNat{nat}));

        // Each can be taken away by itself.
        forwards.erase(forwards.begin());
        QVERIFY(bed.apply(engine::SetPortForwards{forwards}));
        devices.erase(devices.begin());
        QVERIFY(bed.apply(engine::SetDeviceRules{devices}));
        nat.exceptions.erase(nat.exceptions.begin());
        QVERIFY(bed.apply(engine::SetNat{nat}));
        QVERIFY(bed.apply(engine::SetOneToOnes{{config.oneToOnes.back()}}));

        // And none comes anew, nor by being switched on again.
        auto again = forwards;
        again.push_back(config.portForwards.front());
        QVERIFY(refused(bed, engine::SetPortForwards{again}, CommandError::NotInternal));
        again = forwards;
        again.push_back(forward(4, IpProtocol::Tcp, 22, 22, kNewcomer, 22));
        QVERIFY(refused(bed, engine::SetPortForwards{again}, CommandError::PortInUse));
        forwards.front().enabled = false;
        QVERIFY(bed.apply(engine::SetPortForwards{forwards}));
        forwards.front().enabled = true;
        QVERIFY(refused(bed, engine::SetPortForwards{forwards}, CommandError::NotInternal));
        QVERIFY(
            refused(bed, engine::SetDeviceRules{config.deviceRules}, CommandError::NotInternal));
        QVERIFY(refused(bed, engine::SetOneToOnes{config.oneToOnes}, CommandError::NotInternal));
        nat.exceptions = config.nat.exceptions;
        QVERIFY(refused(bed, engine::SetNat{nat}, CommandError::NotInternal));
    }

    // A router may start before its second address is there, or while the host has a port.
    void rules_thatCannotBeMetAtTheStart_holdAsSoonAsTheyCan()
    {
        EngineConfig config = usual();
        config.reservedPorts = {range(443, 443)};
        config.portForwards = {forward(1, IpProtocol::Udp, 443, 443, kBert, 443),
                               forward(2, IpProtocol::Udp, 440, 450, kAnna, 440)};
        config.oneToOnes = {
            {.id = 1, .internalAddress = kAnna, .externalAddress = kSecondExternal},
            {.id = 2, .internalAddress = kBert, .externalAddress = kSecondExternal}};
        Bed bed(config);
        // What contradicts an earlier rule never holds.
        QCOMPARE(bed.engine().config().portForwards.size(), std::size_t{1});
        QCOMPARE(bed.engine().config().oneToOnes.size(), std::size_t{1});
        QCOMPARE(bed.udpOut(at(kAnna, 5000), at(kServer, 53)).source().address, kExternal);
        QVERIFY(bed.apply(engine::SetReservedPorts{}));
        QVERIFY(bed.udpIn(at(kServer, 4000), at(kExternal, 443)).destination() == at(kBert, 443));
        QVERIFY(bed.apply(engine::SetExternalSide{
            {.addresses = {kExternal, kSecondExternal}, .prefix = Prefix{kExternal, 24}}}));
        QVERIFY(bed.udpOut(at(kAnna, 5001), at(kServer, 53)).source() == at(kSecondExternal, 5001));
    }

    // Both would answer, and the caller would have two connections for one.
    void portForward_whosePortTheHostTakes_waits()
    {
        using engine::ForwardObstacle;
        EngineConfig config = usual();
        config.portForwards = {forward(1, IpProtocol::Udp, 5000, 5003, kBert, 7000)};
        config.reservedPorts = {range(32768, 60999)};
        Bed bed(config);
        const auto obstacle = [&] {
            return bed.engine().snapshot(bed.now).forwards.front().obstacle;
        };
        QVERIFY(!obstacle());
        const auto live = bed.udpIn(at(kServer, 4000), at(kExternal, 5001));
        QVERIFY(live.destination() == at(kBert, 7001));
        QVERIFY(bed.apply(engine::SetReservedPorts{{range(32768, 60999), range(5001, 5001)}}));
        QVERIFY(obstacle() == ForwardObstacle::PortOfHost);
        QVERIFY(bed.udpIn(at(kOther, 4000), at(kExternal, 5001)).toHost());
        QVERIFY(bed.udpOut(at(kAnna, 4000), at(kExternal, 5001)).toHost());
        // What the device opens from there leaves by another port; its other ports are forwarded.
        QVERIFY(bed.udpOut(at(kBert, 7001), at(kOther, 9)).source().port != Port{5001});
        QVERIFY(bed.udpIn(at(kOther, 4000), at(kExternal, 5000)).destination() == at(kBert, 7000));
        QVERIFY(bed.udpIn(at(kServer, 4000), at(kExternal, 5001)).destination() == at(kBert, 7001));
        QVERIFY(bed.apply(engine::SetReservedPorts{{range(32768, 60999)}}));
        QVERIFY(!obstacle());
        QVERIFY(bed.udpIn(at(kOther, 4000), at(kExternal, 5001)).destination() == at(kBert, 7001));
        // A device that has moved away gets nothing either, whoever calls.
        QVERIFY(bed.apply(engine::SetInternalSide{{.prefix = Prefix{Ipv4Address{10, 9, 8, 0}, 24},
                                                   .address = Ipv4Address{10, 9, 8, 1}}}));
        QVERIFY(obstacle() == ForwardObstacle::DeviceElsewhere);
        QVERIFY(!bed.udpIn(at(kOther, 4001), at(kExternal, 5000)).inside());
    }

    // Beyond what the clock can count a timer would end everything at once.
    void timer_beyondAWeek_isRefused()
    {
        using engine::nat::Timers;
        Bed bed;
        for (const auto timer :
             {&Timers::udpOneWay, &Timers::udpTwoWay, &Timers::tcpEstablished, &Timers::tcpOpening,
              &Timers::tcpClosing, &Timers::icmpQuery, &Timers::portless, &Timers::esp}) {
            engine::nat::NatConfig nat;
            nat.timers.*timer = engine::nat::kLongestTimer + 1ns;
            QVERIFY(refused(bed, engine::SetNat{nat}, CommandError::TimerTooLong));
            nat.timers.*timer = Duration::max();
            QVERIFY(refused(bed, engine::SetNat{nat}, CommandError::TimerTooLong));
            nat.timers.*timer = engine::nat::kLongestTimer;
            QVERIFY(bed.apply(engine::SetNat{nat}));
            QVERIFY(bed.apply(engine::SetNat{}));
        }
    }

    void ports_fromZeroOn_areRefused()
    {
        Bed bed;
        engine::nat::NatConfig nat;
        nat.ports = range(0, 65535);
        QVERIFY(refused(bed, engine::SetNat{nat}, CommandError::RangeInverted));
    }

    // The pool is for what devices open; it says nothing about who is exposed.
    void exposedHost_getsPortsOutsideOfThePool()
    {
        EngineConfig config = usual();
        config.nat.ports = range(40000, 50000);
        config.reservedPorts = {range(8022, 8022)};
        Bed bed(config);
        QVERIFY(bed.udpIn(at(kServer, 4000), at(kExternal, 9999)).toHost());
        QVERIFY(bed.apply(engine::SetExposedHost{kBert}));
        QVERIFY(bed.udpIn(at(kServer, 4001), at(kExternal, 9999)).destination() == at(kBert, 9999));
        QVERIFY(bed.synIn(at(kServer, 4001), at(kExternal, 8022)).toHost());
    }

    void oneToOne_whenTheOnlyAddressIsGivenAway_leavesOthersWithoutOne()
    {
        EngineConfig config = usual();
        config.oneToOnes = {{.id = 1, .internalAddress = kAnna, .externalAddress = kExternal}};
        Bed bed(config);
        QVERIFY(bed.udpOut(at(kAnna, 5000), at(kServer, 53)).outside());
        QVERIFY(bed.udpOut(at(kBert, 5000), at(kServer, 53)).dropped(DropReason::ExternalDown));
    }

    void natTypeOfADeviceOrPort_isItsOwn()
    {
        using engine::nat::Behaviour;
        EngineConfig config = usual();
        config.nat.exceptions = {
            {Prefix{kAnna, 32},
             range(3074, 3074),
             {Behaviour::EndpointIndependent, Behaviour::EndpointIndependent}},
            {Prefix{kAnna, 32},
             engine::nat::kAllPorts,
             {Behaviour::AddressAndPortDependent, Behaviour::AddressAndPortDependent}}};
        Bed bed(config);
        // The port of the game: one mapping, open for everybody.
        const auto game = bed.udpOut(at(kAnna, 3074), at(kServer, 53)).source();
        QCOMPARE(bed.udpOut(at(kAnna, 3074), at(kOther, 99)).source(), game);
        QVERIFY(bed.udpIn(at(kOnTheWay, 1), game).inside());
        // Her other ports: one mapping per remote endpoint, for that one alone.
        const auto other = bed.udpOut(at(kAnna, 5000), at(kServer, 53)).source();
        QVERIFY(bed.udpOut(at(kAnna, 5000), at(kServer, 54)).source() != other);
        QVERIFY(bed.udpIn(at(kServer, 99), other).dropped(DropReason::FilteredAddressAndPort));
        // Everybody else as in general.
        const auto bert = bed.udpOut(at(kBert, 5000), at(kServer, 53)).source();
        QCOMPARE(bed.udpOut(at(kBert, 5000), at(kServer, 54)).source(), bert);
        QVERIFY(bed.udpIn(at(kServer, 99), bert).inside());
        QVERIFY(bed.udpIn(at(kOnTheWay, 99), bert).dropped(DropReason::FilteredAddress));
        // While running: new filters hold for what lives, mappings stay.
        auto nat = config.nat;
        nat.exceptions = {{Prefix{kBert, 32},
                           engine::nat::kAllPorts,
                           {Behaviour::EndpointIndependent, Behaviour::EndpointIndependent}}};
        QVERIFY(bed.apply(engine::SetNat{nat}).has_value());
        QVERIFY(bed.udpIn(at(kOnTheWay, 99), bert).inside());
        QVERIFY(bed.udpIn(at(kOnTheWay, 2), game).dropped(DropReason::FilteredAddress));
        nat.exceptions.front().devices = Prefix{kServer, 32};
        QVERIFY(!bed.apply(engine::SetNat{nat}));
    }

    void exposedHost_getsWhatNobodyElseHas()
    {
        EngineConfig config = usual();
        config.exposedHost = kBert;
        config.reservedPorts = {range(22, 22)};
        config.portForwards = {forward(1, IpProtocol::Tcp, 443, 443, kAnna, 443)};
        Bed bed(config);
        auto outcome = bed.synIn(at(kServer, 4000), at(kExternal, 8080));
        QVERIFY(told(outcome.inside() && outcome.destination() == at(kBert, 8080), outcome));
        outcome = bed.udpIn(at(kServer, 4000), at(kExternal, 9999));
        QVERIFY(told(outcome.inside() && outcome.destination() == at(kBert, 9999), outcome));
        // A forward and the host's own ports come first, and mappings keep theirs.
        QVERIFY(bed.synIn(at(kServer, 4000), at(kExternal, 443)).destination() == at(kAnna, 443));
        QVERIFY(bed.synIn(at(kServer, 4000), at(kExternal, 22)).toHost());
        const auto external = bed.udpOut(at(kAnna, 5000), at(kServer, 53)).source();
        QVERIFY(bed.udpIn(at(kServer, 53), external).destination() == at(kAnna, 5000));
        QVERIFY(bed.udpIn(at(kOther, 53), external).dropped(DropReason::FilteredAddress));
        QVERIFY(refused(bed, engine::SetExposedHost{kServer}, CommandError::NotInternal));
    }

    void blockedDevice_neitherReachesNorIsReached()
    {
        EngineConfig config = usual();
        config.portForwards = {forward(1, IpProtocol::Tcp, 443, 443, kBert, 443)};
        Bed bed(config);
        const auto live = bed.udpOut(at(kBert, 5000), at(kServer, 53)).source();
        QVERIFY(bed.apply(engine::SetDeviceRules{
                              {{.id = 1, .address = kBert, .access = DeviceAccess::Block}}})
                    .has_value());
        // What lived is over, too.
        QVERIFY(!bed.udpIn(at(kServer, 53), live).inside());
        QVERIFY(bed.udpOut(at(kBert, 5000), at(kServer, 53)).dropped(DropReason::DeniedByPolicy));
        QVERIFY(
            bed.synIn(at(kServer, 4000), at(kExternal, 443)).dropped(DropReason::DeniedByPolicy));
        QVERIFY(bed.udpOut(at(kAnna, 5000), at(kServer, 53)).outside());
    }

    void confinedDevice_reachesNothingWithoutATunnel()
    {
        EngineConfig config = usual();
        config.deviceRules = {{.id = 1, .address = kAnna, .access = DeviceAccess::VpnOnly}};
        Bed bed(config);
        // A TCP connection that turns out to be the web.
        Connection c(bed, at(kAnna, 5000), at(kServer, 80));
        int answers = 0;
        if (c.open()) {
            for (int i = 0; i < 20; ++i) {
                c.out(flag::kAck | flag::kPsh, text("GET / HTTP/1.1\r\nHost: example.net\r\n\r\n"));
                answers += c.in(flag::kAck | flag::kPsh, text("HTTP/1.1 200 OK\r\n")).inside();
            }
        }
        QVERIFY2(answers < 10, qPrintable(QString::number(answers)));
        // Names are needed to find the server.
        const auto name = bed.udpOut(at(kAnna, 5353), at(kServer, 53));
        QVERIFY(told(name.outside(), name));
        QVERIFY(bed.pingOut(kAnna, kServer, 7).dropped(DropReason::DeniedByPolicy));
    }

    // What was refused has opened nothing, whatever the filtering.
    void refusedFlow_letsNobodyIn()
    {
        EngineConfig config = usual();
        config.deviceRules = {{.id = 1, .address = kAnna, .access = DeviceAccess::VpnOnly}};
        config.nat.udp.filtering = engine::nat::Behaviour::EndpointIndependent;
        Bed bed(config);
        const auto refusal = bed.udpOut(at(kAnna, 5000), at(kServer, 3478));
        QVERIFY(told(refusal.dropped(DropReason::DeniedByPolicy), refusal));
        const auto all = bed.engine().sessions(bed.now, {.device = kAnna});
        QCOMPARE(all.size(), std::size_t{1});
        const Endpoint external = all.front().external;
        for (int i = 0; i < 2; ++i) {
            for (const Endpoint stranger : {at(kServer, 4500), at(kOther, 4500)}) {
                const auto outcome = bed.udpIn(stranger, external);
                QVERIFY(told(outcome.dropped(DropReason::NoMapping), outcome));
            }
            bed.restart();
        }
        // By the same mapping a name is asked for, and that is allowed.
        QVERIFY(bed.udpOut(at(kAnna, 5000), at(kOther, 53)).source() == external);
        bed.restart();
        // The device may hear others then; here the rule finds no tunnel in what they say.
        const auto outcome = bed.udpIn(at(kServer, 4500), external);
        QVERIFY(told(outcome.dropped(DropReason::DeniedByPolicy), outcome));
    }

    void commandsThatEndSessions_endExactlyThose()
    {
        Bed bed;
        const auto anna = bed.udpOut(at(kAnna, 5000), at(kServer, 53)).source();
        const auto bert = bed.udpOut(at(kBert, 5000), at(kServer, 53)).source();
        const auto serial = bed.engine().sessions(bed.now, {.device = kAnna}).front().serial;
        QVERIFY(bed.apply(engine::CloseSession{serial}).has_value());
        QVERIFY(refused(bed, engine::CloseSession{serial}, CommandError::NoSuchSession));
        QVERIFY(!bed.udpIn(at(kServer, 53), anna).inside());
        QVERIFY(bed.udpIn(at(kServer, 53), bert).inside());
    }
};

QTEST_APPLESS_MAIN(RulesTest)
#include "rules_test.moc"
