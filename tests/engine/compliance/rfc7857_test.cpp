#include "engine/base/random.h"
#include "engine/wire/fragmenter.h"

#include <QtTest>

#include <array>
#include <cmath>
#include <set>

#include "tests/engine/compliance/bed.h"

/// RFC 7857: updates to the requirements, by section, since it does not number them.

using namespace bed;
using engine::nat::Behaviour;
using engine::nat::TcpState;

namespace {

EngineConfig endpointIndependent()
{
    EngineConfig config = usual();
    config.nat.udp.filtering = Behaviour::EndpointIndependent;
    config.nat.tcp.filtering = Behaviour::EndpointIndependent;
    return config;
}

TcpState stateOf(Bed& bed)
{
    const auto sessions = bed.engine().sessions(bed.now, {});
    return sessions.size() == 1 ? sessions.front().tcpState : TcpState::None;
}

}  // namespace

class Rfc7857Test : public QObject {
    Q_OBJECT

private Q_SLOTS:
    // RFC 7857 §2
    void tcpState_followsTheConnection()
    {
        Bed bed;
        Connection c(bed, at(kAnna, 5000), at(kServer, 443));
        QVERIFY(c.syn());
        QCOMPARE(stateOf(bed), TcpState::OutboundInit);
        QVERIFY(c.in(flag::kSyn | flag::kAck).inside());
        QCOMPARE(stateOf(bed), TcpState::Established);
        QVERIFY(c.out(flag::kAck).outside());
        QVERIFY(c.in(flag::kFin | flag::kAck).inside());
        QCOMPARE(stateOf(bed), TcpState::InboundFin);
        QVERIFY(c.out(flag::kFin | flag::kAck).outside());
        QCOMPARE(stateOf(bed), TcpState::BothFin);
    }

    // RFC 7857 §2.1
    void transitoryTimers_byDefault_areFourMinutes()
    {
        QCOMPARE(usual().nat.timers.tcpOpening, Duration{4min});
        QCOMPARE(usual().nat.timers.tcpClosing, Duration{4min});
        Bed bed;
        Connection c(bed, at(kAnna, 5000), at(kServer, 443));
        QVERIFY(c.syn());
        bed.pass(4min - 1us);
        QCOMPARE(bed.sessions(), std::size_t{1});
        bed.pass(2s);
        QCOMPARE(bed.sessions(), std::size_t{0});
    }

    // RFC 7857 §2.1
    void openingAndClosingTimers_areSetApart()
    {
        auto nat = usual().nat;
        nat.timers.tcpOpening = 1min;
        nat.timers.tcpClosing = 10min;
        Bed bed;
        QVERIFY(bed.apply(engine::SetNat{nat}).has_value());
        Connection opening(bed, at(kAnna, 5000), at(kServer, 443));
        QVERIFY(opening.syn());
        Connection closing(bed, at(kAnna, 5001), at(kServer, 443));
        QVERIFY(closing.open() && closing.close());
        bed.pass(1min - 1us);
        QCOMPARE(bed.sessions(), std::size_t{2});
        bed.pass(2s);
        QCOMPARE(bed.sessions(), std::size_t{1});
        bed.pass(9min - 4s);
        QCOMPARE(bed.sessions(), std::size_t{1});
        bed.pass(4s);
        QCOMPARE(bed.sessions(), std::size_t{0});
        // Shorter than four minutes is allowed for opening only (RFC 5382 REQ-5).
        nat.timers.tcpOpening = 30s - 1us;
        QVERIFY(!bed.apply(engine::SetNat{nat}));
        nat = usual().nat;
        nat.timers.tcpClosing = 4min - 1us;
        QVERIFY(!bed.apply(engine::SetNat{nat}));
    }

    // RFC 7857 §2.2
    void exactReset_isTranslatedAndTheSessionWaitsFourMinutes()
    {
        for (const bool fromInside : {true, false}) {
            Bed bed;
            Connection c(bed, at(kAnna, 5000), at(kServer, 443));
            QVERIFY(c.open());
            const auto outcome = fromInside ? c.out(flag::kRst | flag::kAck) : c.in(flag::kRst);
            QVERIFY(
                told(outcome.leaves(fromInside ? PortId::External : PortId::Internal), outcome));
            QCOMPARE(stateOf(bed), TcpState::Transitory);
            bed.pass(4min - 1us);
            QCOMPARE(bed.sessions(), std::size_t{1});
            bed.pass(2s);
            QCOMPARE(bed.sessions(), std::size_t{0});
        }
    }

    // RFC 7857 §3: overlapping is only allowed, never done.
    void externalPort_ofAnotherRemote_isNotOverlapped()
    {
        Bed bed;
        std::set<Endpoint> used;
        for (unsigned i = 0; i < 2000; ++i) {
            const auto outcome =
                bed.udpOut(at(host(10 + i % 100), 5000 + i / 100), at(host(0x10000 + i), 443));
            QVERIFY(used.insert(outcome.source()).second);
        }
    }

    // RFC 7857 §4
    void device_ofAPool_hasOneAddressForAllProtocols()
    {
        EngineConfig config = usual();
        config.external.addresses = {Ipv4Address{203, 0, 113, 1}, Ipv4Address{203, 0, 113, 2},
                                     Ipv4Address{203, 0, 113, 3}};
        Bed bed(config);
        for (unsigned number = 10; number < 40; ++number) {
            std::set<Ipv4Address> seen;
            seen.insert(bed.udpOut(at(host(number), 5000), at(kServer, 53)).source().address);
            seen.insert(bed.synOut(at(host(number), 5000), at(kServer, 80)).source().address);
            seen.insert(bed.pingOut(host(number), kServer, 5).source().address);
            // GRE with a key, and 6in4.
            Bytes gre{0x20, 0, 0x08, 0, 0, 0, 0, static_cast<std::uint8_t>(number), 1, 2, 3, 4};
            Bytes packet =
                bed.outbound(wire::buildIpv4(host(number), kServer, IpProtocol::Gre, gre)).packet;
            seen.insert(view(packet).source());
            QCOMPARE(seen.size(), std::size_t{1});
        }
    }

    // RFC 7857 §5
    void mappings_ofTcpAndUdp_areIndependent()
    {
        Bed bed;
        int same = 0;
        for (unsigned port = 5000; port < 5100; ++port) {
            const auto tcp = bed.synOut(at(kAnna, port), at(kServer, 80)).source();
            const auto udp = bed.udpOut(at(kAnna, port), at(kServer, 80)).source();
            same += tcp == udp ? 1 : 0;
        }
        QCOMPARE(bed.mappings(), std::size_t{200});
        QVERIFY(same < 5);
    }

    // RFC 7857 §6
    void filter_ofUdp_doesNotOpenTcp()
    {
        Bed bed(endpointIndependent());
        const auto udp = bed.udpOut(at(kAnna, 5000), at(kServer, 53)).source();
        QVERIFY(bed.udpIn(at(kOther, 1), udp).inside());
        QVERIFY(bed.synIn(at(kOther, 1), udp).dropped(DropReason::UnsolicitedSyn));
    }

    // RFC 7857 §7
    void mapping_hitByStrangers_isNotKeptAlive()
    {
        for (const bool filtered : {false, true}) {
            Bed bed(filtered ? usual() : endpointIndependent());
            const auto external = bed.udpOut(at(kAnna, 5000), at(kServer, 53)).source();
            int reached = 0;
            for (int i = 0; i < 40; ++i) {
                reached += bed.udpIn(at(kOther, 7), external).inside() ? 1 : 0;
                bed.pass(10s);
            }
            QCOMPARE(bed.mappings(), std::size_t{0});
            QVERIFY(filtered ? reached == 0 : reached > 0 && reached <= 13);
        }
    }

    // RFC 7857 §7.1
    void outboundErrors_toInboundPackets_refreshNothing()
    {
        Bed bed;
        const auto external = bed.udpOut(at(kAnna, 5000), at(kServer, 53)).source();
        const auto delivered = bed.udpIn(at(kServer, 53), external);
        QVERIFY(delivered.inside());
        for (int i = 0; i < 10; ++i) {
            bed.pass(1min);
            bed.outbound(errorAbout(delivered.packet, wire::IcmpType::Unreachable, 3, 0, kAnna));
        }
        QCOMPARE(bed.sessions(), std::size_t{0});
    }

    // RFC 7857 §7.1
    void outboundResets_toInboundPackets_refreshNothing()
    {
        EngineConfig config = usual();
        config.portForwards = {{.id = 1,
                                .protocol = IpProtocol::Tcp,
                                .externalPorts = range(443, 443),
                                .internalAddress = kBert,
                                .internalFirst = Port{443}}};
        Bed bed(config);
        QVERIFY(bed.synIn(at(kServer, 6000), at(kExternal, 443), 100).inside());
        for (int i = 0; i < 5; ++i) {
            bed.pass(1min - 1s);
            const auto reset = bed.outbound(wire::buildTcp({.source = at(kBert, 443),
                                                            .destination = at(kServer, 6000),
                                                            .flags = flag::kRst | flag::kAck,
                                                            .sequence = 0,
                                                            .acknowledgement = 101}));
            if (i < 4) QVERIFY(told(reset.outside(), reset));
        }
        QCOMPARE(bed.sessions(), std::size_t{0});
    }

    // RFC 7857 §8
    void parity_canBeSwitchedOff()
    {
        Bed bed;
        auto config = usual().nat;
        config.portParity = false;
        QVERIFY(bed.apply(engine::SetNat{config}).has_value());
        int odd = 0;
        for (unsigned i = 0; i < 100; ++i)
            odd +=
                bed.udpOut(at(host(10 + i), 5000), at(kServer, 53)).source().port.hostOrder() & 1;
        QVERIFY(odd > 20 && odd < 80);
    }

    // RFC 7857 §9
    void externalPorts_areSpreadEvenlyAndSayNothingOfTheInternalOnes()
    {
        EngineConfig config = usual();
        config.nat.limits.portsPerDevice = 65535;
        Bed bed(config);
        std::array<double, 32> bins{};
        unsigned same = 0;
        const unsigned flows = qEnvironmentVariableIsSet("UNDERPASS_SOAK") ? 1'000'000 : 8000;
        for (unsigned i = 0; i < flows; ++i) {
            // Not more at once than the pool gives without a hint of what is taken.
            if (i % 8000 == 7999) bed.pass(10min);
            const unsigned internal = 2000 + i % 1600;
            const auto port =
                bed.udpOut(at(host(10 + i / 1600 % 5), internal), at(kServer, 53)).source().port;
            bins[(port.hostOrder() - 1024U) / 2016U] += 1;
            same += port.hostOrder() == internal ? 1U : 0U;
        }
        const double expected = double(flows) / 32;
        double chiSquare = 0;
        for (const double count : bins)
            chiSquare += (count - expected) * (count - expected) / expected;
        // 31 degrees of freedom: 61.1 is exceeded once in a thousand, and the seed is fixed.
        qInfo("%u ports, chi square %.1f", flows, chiSquare);
        QVERIFY2(chiSquare < 61.1, qPrintable(QString::number(chiSquare)));
        QVERIFY(same < 5 + flows / 10000);
        // And another seed gives others.
        config.seed = {3, 4};
        Bed other(config);
        Bed again;
        unsigned equal = 0;
        for (unsigned i = 0; i < 100; ++i) {
            equal += other.udpOut(at(kAnna, 2000 + i), at(kServer, 53)).source() ==
                             again.udpOut(at(kAnna, 2000 + i), at(kServer, 53)).source()
                         ? 1U
                         : 0U;
        }
        QVERIFY(equal < 5);
    }

    // What the port of one device says of whether another one has a flow from the same internal
    // port: nothing that could be measured.
    void externalPorts_tellNothingOfTheFlowsOfOthers()
    {
        constexpr unsigned kBins = 8;
        const bool soak = qEnvironmentVariableIsSet("UNDERPASS_SOAK");
        const unsigned rounds = soak ? 250'000 : 4'000;
        const auto bitsTold = [&](bool preserve) {
            EngineConfig config = usual();
            config.nat.preservePorts = preserve;
            Bed bed(config);
            engine::Random random{{5, 6}};
            // Bins of the port, and whether it is the internal one.
            std::array<std::array<double, 2>, kBins * 2> seen{};
            for (unsigned i = 0; i < rounds; ++i) {
                const unsigned port = 2000 + i % 60000;
                const unsigned victim = random.below(2);
                if (victim == 1) (void)bed.udpOut(at(kBert, port), at(kServer, 53));
                const auto got = bed.udpOut(at(kAnna, port), at(kOther, 53)).source().port;
                const unsigned bin = (got.hostOrder() - 1024U) * kBins / 64512U;
                seen[bin * 2 + (got.hostOrder() == port ? 1 : 0)][victim] += 1;
                if (i % 1000 == 999) bed.pass(10min);
            }
            double bits = 0;
            for (const auto& row : seen) {
                for (unsigned v = 0; v < 2; ++v) {
                    double column = 0;
                    for (const auto& other : seen)
                        column += other[v];
                    if (row[v] == 0) continue;
                    bits +=
                        row[v] / rounds * std::log2(row[v] * rounds / (row[0] + row[1]) / column);
                }
            }
            return bits;
        };
        const double told = bitsTold(false);
        qInfo("%.6f bits", told);
        QVERIFY(told < 0.01);
        QVERIFY(bitsTold(true) > 0.5);  // the control
    }

    // RFC 7857 §9, seen failing: a port kept on purpose is the internal one.
    void externalPort_preservedOnPurpose_isTheInternalOne()
    {
        EngineConfig config = usual();
        config.nat.preservePorts = true;
        Bed bed(config);
        QCOMPARE(bed.udpOut(at(kAnna, 5000), at(kServer, 53)).source().port, Port{5000});
        // The second one cannot have it.
        QVERIFY(bed.udpOut(at(kBert, 5000), at(kServer, 53)).source().port != Port{5000});
    }

    // RFC 7857 §10
    void identifications_ofFragmentedDatagrams_areUniquePerDestination()
    {
        Bed bed;
        std::set<std::uint16_t> used;
        for (unsigned i = 0; i < 2000; ++i) {
            Bytes whole = wire::buildUdp(at(host(10 + i % 50), 5000), at(kServer, 53), Bytes(2000),
                                         {.identification = 1, .dontFragment = false});
            for (const auto& piece : wire::fragmentIpv4(view(whole), 1500)) {
                Outcome outcome = bed.outbound(piece);
                QVERIFY(told(outcome.outside(), outcome));
                const auto ip = view(outcome.packet);
                if (ip.fragmentOffset() == 0) QVERIFY(used.insert(ip.identification()).second);
                if (ip.fragmentOffset() != 0) QVERIFY(used.count(ip.identification()) == 1);
            }
            bed.pass(1ms);
        }
    }

    // RFC 7857 §10: what somebody behind us may still cut, too; what nobody may cut needs none.
    void identifications_ofWhatMayBeCutLater_areUniquePerDestination()
    {
        Bed bed;
        const auto server = at(kServer, 53);
        std::set<std::uint16_t> used;
        const auto isNew = [&used](Bytes packet) {
            return used.insert(view(packet).identification()).second;
        };
        const Ipv4Fields may{.identification = 1, .dontFragment = false};
        const Ipv4Fields mayNot{.identification = 1, .dontFragment = true};
        for (unsigned i = 0; i < 1000; ++i) {
            const auto device = at(host(10 + i % 50), 5000);
            const auto out = bed.udpOut(device, server, text("data"), may);
            QVERIFY(told(out.outside(), out));
            QVERIFY(isNew(out.packet));
            QVERIFY(bed.udpIn(server, out.source()).inside());
            Bytes kept = bed.udpOut(device, server, text("data"), mayNot).packet;
            QCOMPARE(view(kept).identification(), std::uint16_t{1});
        }
        // The same for many at a time, and with those that are cut already.
        std::vector<Bytes> many;
        for (unsigned i = 0; i < 64; ++i)
            many.push_back(wire::buildUdp(at(host(10 + i % 50), 5000), server, text("data"), may));
        std::vector<wire::Packet> packets;
        for (Bytes& one : many)
            packets.push_back({.bytes = one});
        std::vector<Verdict> verdicts(packets.size());
        engine::Output output;
        bed.engine().handlePackets(bed.now, PortId::Internal, packets, verdicts, output);
        for (std::size_t i = 0; i < packets.size(); ++i) {
            QCOMPARE(verdicts[i].kind, Verdict::Kind::Forward);
            QVERIFY(isNew(many[i]));
        }
        Bytes whole = wire::buildUdp(at(host(10), 5000), server, Bytes(2000), may);
        QVERIFY(isNew(bed.outbound(wire::fragmentIpv4(view(whole), 1500).front()).packet));
        // What comes in keeps its sender's.
        const auto external = bed.udpOut(at(kAnna, 5000), server).source();
        Bytes in = bed.udpIn(server, external, text("data"), may).packet;
        QCOMPARE(view(in).identification(), std::uint16_t{1});
    }

    // RFC 7857 §11
    void queryMapping_goesWithItsLastSession()
    {
        Bed bed;
        bed.pingOut(kAnna, kServer, 7);
        bed.pass(30s);
        bed.pingOut(kAnna, kOther, 7);
        QCOMPARE(bed.mappings(), std::size_t{1});
        bed.pass(31s);
        QCOMPARE(bed.mappings(), std::size_t{1});
        bed.pass(31s);
        QCOMPARE(bed.mappings(), std::size_t{0});
    }

    // RFC 7857 §12
    void ping_ofA1To1Address_fromAnotherDevice_isHairpinned()
    {
        EngineConfig config = usual();
        config.external.addresses = {kExternal, kSecondExternal};
        config.oneToOnes = {
            {.id = 1, .internalAddress = kBert, .externalAddress = kSecondExternal}};
        Bed bed(config);
        const auto sent = bed.pingOut(kAnna, kSecondExternal, 7);
        QVERIFY(told(sent.inside(), sent));
        QCOMPARE(sent.destination().address, kBert);
        QCOMPARE(sent.source().address, kExternal);
    }
};

QTEST_APPLESS_MAIN(Rfc7857Test)
#include "rfc7857_test.moc"
