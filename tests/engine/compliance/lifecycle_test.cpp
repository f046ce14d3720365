#include "engine/base/random.h"
#include "engine/wire/fragmenter.h"

#include <QtTest>

#include "tests/engine/compliance/bed.h"

/// What happens to sessions when the address changes, when the engine is made anew, and when the
/// same day is lived twice.

using namespace bed;
using engine::ExternalSide;
using engine::SetExternalSide;

namespace {

ExternalSide side(std::vector<Ipv4Address> addresses)
{
    return {.addresses = std::move(addresses), .prefix = Prefix{kExternal, 24}, .mtu = 1500};
}

engine::policy::PortForward webServer()
{
    return {.id = 1,
            .protocol = IpProtocol::Tcp,
            .externalPorts = range(443, 443),
            .internalAddress = kBert,
            .internalFirst = Port{443}};
}

/// A new engine with the old one's sessions.
bool restart(Bed& from, Bed& to)
{
    const auto block = from.engine().saveState(from.now);
    to.now = from.now + 1s;
    return to.engine().restoreState(to.now, block);
}

/// Random traffic of a busy network; everything that comes out, as octets.
Bytes livedThrough(const EngineConfig& config, std::uint64_t traffic)
{
    Bed bed(config);
    bed.expectUnsound();
    engine::Random random{{traffic, 1}};
    Bytes all;
    const auto note = [&all](const Outcome& outcome) {
        all.push_back(static_cast<std::uint8_t>(outcome.verdict.kind));
        all.push_back(static_cast<std::uint8_t>(outcome.verdict.reason));
        all.insert(all.end(), outcome.packet.begin(), outcome.packet.end());
        for (const auto& made : outcome.made)
            all.insert(all.end(), made.bytes.begin(), made.bytes.end());
        all.push_back(static_cast<std::uint8_t>(outcome.events.size()));
    };
    for (unsigned i = 0; i < 20000; ++i) {
        const auto device = host(10 + random.below(20));
        const auto remote = at(host(0x10000 + random.below(20)), 50 + random.below(20));
        const auto internal = at(device, 5000 + random.below(40));
        switch (random.below(6)) {
        case 0: note(bed.udpOut(internal, remote)); break;
        case 1: note(bed.synOut(internal, remote, random.next() & 0xffff)); break;
        case 2: note(bed.pingOut(device, remote.address, 7)); break;
        case 3: note(bed.udpIn(remote, at(kExternal, random.below(65536)))); break;
        case 4: note(bed.synIn(remote, at(kExternal, random.below(65536)))); break;
        default: bed.pass(std::chrono::milliseconds(random.below(2000)));
        }
    }
    const auto saved = bed.engine().saveState(bed.now);
    all.insert(all.end(), saved.begin(), saved.end());
    return all;
}

}  // namespace

class LifecycleTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void externalAddress_thatChanges_endsItsSessionsAndTellsTheInside()
    {
        Bed bed;
        Connection c(bed, at(kAnna, 5000), at(kServer, 443));
        QVERIFY(c.open() && c.works());
        const auto udp = bed.udpOut(at(kAnna, 6000), at(kServer, 53)).source();
        QVERIFY(bed.apply(SetExternalSide{side({kSecondExternal})}).has_value());
        QCOMPARE(bed.sessions(), std::size_t{0});
        // The inside gets resets that it must believe, whether it has received what is on its way
        // to it or not: from the server, with the exact number.
        QCOMPARE(bed.lastOutput.packets.size(), std::size_t{2});
        std::uint32_t number = c.inSequence - 6;  // "answer"
        for (const auto& made : bed.lastOutput.packets) {
            QCOMPARE(made.egress, PortId::Internal);
            Bytes reset = made.bytes;
            QVERIFY(sourceOf(reset) == c.remote && destinationOf(reset) == c.internal);
            const auto tcp = wire::TcpView::parse(view(reset).payload());
            QVERIFY(tcp->has(flag::kRst));
            QCOMPARE(tcp->sequence(), number);
            QCOMPARE(tcp->acknowledgement(), c.outSequence);
            number += 6;
        }
        bool announced = false;
        for (const auto& event : bed.lastOutput.events) {
            const auto* changed = std::get_if<engine::ExternalAddressChanged>(&event);
            announced = announced || (changed != nullptr && changed->sessionsEnded == 2);
        }
        QVERIFY(announced);
        // Nothing leaves with the old address, and nothing for it comes in.
        QVERIFY(!bed.udpIn(at(kServer, 53), udp).inside());
        QVERIFY(c.out(flag::kAck).silent());
        QCOMPARE(bed.udpOut(at(kAnna, 6000), at(kServer, 53)).source().address, kSecondExternal);
    }

    void externalAddress_thatChanges_tellsAClientThatWaitsForItsAnswer()
    {
        Bed bed;
        Connection c(bed, at(kAnna, 5000), at(kServer, 443));
        QVERIFY(c.syn());
        QVERIFY(bed.apply(SetExternalSide{side({kSecondExternal})}).has_value());
        QCOMPARE(bed.lastOutput.packets.size(), std::size_t{1});
        // RFC 9293 §3.10.7.3: it must acknowledge the SYN.
        Bytes reset = bed.lastOutput.packets.front().bytes;
        const auto tcp = wire::TcpView::parse(view(reset).payload());
        QVERIFY(tcp->has(flag::kRst) && tcp->has(flag::kAck));
        QCOMPARE(tcp->acknowledgement(), c.outSequence);
    }

    void externalAddress_oneOfTwo_endsOnlyItsOwnSessions()
    {
        EngineConfig config = usual();
        config.external.addresses = {kExternal, kSecondExternal};
        Bed bed(config);
        const auto anna = bed.udpOut(at(kAnna, 5000), at(kServer, 53)).source();
        const auto bert = bed.udpOut(at(kBert, 5000), at(kServer, 53)).source();
        QVERIFY(anna.address != bert.address);
        QVERIFY(bed.apply(SetExternalSide{side({anna.address})}).has_value());
        QVERIFY(bed.udpIn(at(kServer, 53), anna).inside());
        QVERIFY(!bed.udpIn(at(kServer, 53), bert).inside());
        const auto again = bed.udpOut(at(kBert, 5000), at(kServer, 53));
        QVERIFY(told(again.outside() && again.source().address == anna.address, again));
    }

    void externalAddress_thatStays_keepsEverything()
    {
        Bed bed;
        Connection c(bed, at(kAnna, 5000), at(kServer, 443));
        QVERIFY(c.open());
        auto same = side({kExternal, kSecondExternal});
        same.mtu = 1492;
        QVERIFY(bed.apply(SetExternalSide{same}).has_value());
        QVERIFY(c.works());
    }

    void externalAddress_thatComesAndGoes_mapsNothingMeanwhile()
    {
        Bed bed;
        for (int i = 0; i < 5; ++i) {
            QVERIFY(bed.udpOut(at(kAnna, 5000), at(kServer, 53)).outside());
            QVERIFY(bed.apply(SetExternalSide{side({})}).has_value());
            for (int k = 0; k < 3; ++k) {
                QVERIFY(
                    bed.udpOut(at(kAnna, 5000), at(kServer, 53)).dropped(DropReason::ExternalDown));
            }
            QCOMPARE(bed.mappings(), std::size_t{1});
            QVERIFY(bed.udpOut(at(kBert, 5000), at(kServer, 53)).dropped(DropReason::ExternalDown));
            QVERIFY(bed.apply(SetExternalSide{side({kExternal})}).has_value());
            QCOMPARE(bed.mappings(), std::size_t{1});
        }
    }

    void externalAddress_thatIsGoneForAMoment_keepsEverySession()
    {
        Bed bed;
        Connection c(bed, at(kAnna, 5000), at(kServer, 443));
        QVERIFY(c.open() && c.works());
        const auto udp = bed.udpOut(at(kAnna, 6000), at(kServer, 53)).source();
        QVERIFY(bed.apply(SetExternalSide{side({})}).has_value());
        QVERIFY(bed.lastOutput.packets.empty());
        // Nothing leaves with the old address, nothing comes in, and the device is told.
        const auto refused = bed.outbound(wire::buildUdp(at(kAnna, 6000), at(kServer, 53), {}));
        QVERIFY(told(refused.dropped(DropReason::ExternalDown), refused));
        QVERIFY(refused.answeredBy(wire::IcmpType::Unreachable, 1));
        QVERIFY(!bed.udpIn(at(kServer, 53), udp).inside());
        bed.pass(29s);
        QCOMPARE(bed.sessions(), std::size_t{2});
        QVERIFY(bed.apply(SetExternalSide{side({kExternal})}).has_value());
        QVERIFY(c.works());
        QCOMPARE(bed.udpOut(at(kAnna, 6000), at(kServer, 53)).source(), udp);
    }

    void externalAddress_thatComesBackAsAnother_endsItsSessionsThen()
    {
        Bed bed;
        Connection c(bed, at(kAnna, 5000), at(kServer, 443));
        QVERIFY(c.open() && c.works());
        QVERIFY(bed.apply(SetExternalSide{side({})}).has_value());
        bed.pass(5s);
        QVERIFY(bed.apply(SetExternalSide{side({kSecondExternal})}).has_value());
        QCOMPARE(bed.sessions(), std::size_t{0});
        QVERIFY(!bed.lastOutput.packets.empty());
        QCOMPARE(bed.udpOut(at(kAnna, 6000), at(kServer, 53)).source().address, kSecondExternal);
    }

    void externalAddress_thatStaysAway_endsItsSessionsAfterHalfAMinute()
    {
        Bed bed;
        Connection c(bed, at(kAnna, 5000), at(kServer, 443));
        QVERIFY(c.open() && c.works());
        QVERIFY(bed.apply(SetExternalSide{side({})}).has_value());
        bed.pass(30s);
        QCOMPARE(bed.sessions(), std::size_t{0});
        QVERIFY(bed.udpOut(at(kAnna, 5001), at(kServer, 53)).dropped(DropReason::ExternalDown));
        QVERIFY(bed.apply(SetExternalSide{side({kExternal})}).has_value());
        QVERIFY(bed.udpOut(at(kAnna, 5001), at(kServer, 53)).outside());
    }

    // Thousands of sessions end a few at a time, and an address that is back meanwhile saves the
    // rest of them.
    void externalAddress_thatStaysAway_endsThousandsOfSessionsAFewAtATime()
    {
        Bed bed;
        for (unsigned i = 0; i < 4000; ++i)
            QVERIFY(bed.udpOut(at(host(20 + i % 100), 2000 + i / 100), at(kServer, 53)).outside());
        QVERIFY(bed.apply(SetExternalSide{side({})}).has_value());
        bed.leap(31s);
        const auto step = [&] {
            const std::size_t before = bed.sessions();
            engine::Output output;
            bed.engine().handleTimeout(bed.now, output);
            return before - bed.sessions();
        };
        for (int i = 0; i < 3; ++i) {
            const std::size_t ended = step();
            QVERIFY2(ended > 0 && ended <= 160, qPrintable(QString::number(ended)));
            QVERIFY(*bed.engine().nextTimeout() <= bed.now);
            QVERIFY(bed.udpOut(at(kAnna, 7), at(kServer, 53)).dropped(DropReason::ExternalDown));
        }
        const std::size_t left = bed.sessions();
        QVERIFY(left > 2000);
        QVERIFY(bed.apply(SetExternalSide{side({kExternal})}).has_value());
        QCOMPARE(bed.sessions(), left);
        // Once more, to the end.
        QVERIFY(bed.apply(SetExternalSide{side({})}).has_value());
        bed.pass(31s);
        QCOMPARE(bed.sessions(), std::size_t{0});
        QCOMPARE(bed.mappings(), std::size_t{0});
    }

    // The same when another address takes its place: nothing passes until the last one has ended.
    void externalAddress_thatChanges_endsThousandsOfSessionsAFewAtATime()
    {
        Bed bed;
        for (unsigned i = 0; i < 4000; ++i)
            QVERIFY(bed.udpOut(at(host(20 + i % 100), 2000 + i / 100), at(kServer, 53)).outside());
        QVERIFY(bed.apply(SetExternalSide{side({kSecondExternal})}).has_value());
        std::size_t left = bed.sessions();
        QVERIFY2(left < 4000 && left >= 4000 - 160, qPrintable(QString::number(left)));
        // What is to end must not come to life by a restart.
        EngineConfig later = usual();
        later.external.addresses = {kSecondExternal};
        Bed after(later);
        QVERIFY(restart(bed, after));
        QCOMPARE(after.sessions(), std::size_t{0});
        int told = 0;
        for (int round = 0; told == 0 && round < 100; ++round) {
            QVERIFY(*bed.engine().nextTimeout() <= bed.now);
            const auto early = bed.udpOut(at(kAnna, 7), at(kServer, 53));
            QVERIFY(early.dropped(DropReason::ExternalDown) && early.silent());
            engine::Output output;
            bed.engine().handleTimeout(bed.now, output);
            const std::size_t now = bed.sessions();
            QVERIFY2(left - now <= 160, qPrintable(QString::number(left - now)));
            left = now;
            for (const engine::Event& event : output.events) {
                const auto* changed = std::get_if<engine::ExternalAddressChanged>(&event);
                if (changed == nullptr) continue;
                ++told;
                QCOMPARE(changed->sessionsEnded, 4000U);
                QVERIFY(changed->after.addresses == std::vector{kSecondExternal});
            }
        }
        QCOMPARE(told, 1);
        QCOMPARE(bed.sessions(), std::size_t{0});
        const auto anew = bed.udpOut(at(host(20), 2000), at(kServer, 53));
        QVERIFY(anew.outside() && anew.source().address == kSecondExternal);
    }

    // The computer sleeps and the clock goes on: nothing that is too old is let in, and what has
    // ended meanwhile is cleared a few at a time.
    void suspendOfHours_agesEverythingAndStormsNothing()
    {
        Bed bed;
        Connection c(bed, at(kAnna, 5000), at(kServer, 443));
        QVERIFY(c.open() && c.works());
        std::vector<Endpoint> external;
        for (unsigned i = 0; i < 4000; ++i) {
            const auto sent = bed.udpOut(at(host(20 + i % 100), 2000 + i / 100), at(kServer, 53));
            QVERIFY(sent.outside());
            external.push_back(sent.source());
        }
        bed.leap(1h);
        // The first word after an hour comes from outside: two hours are allowed to TCP, not UDP.
        QVERIFY(!bed.udpIn(at(kServer, 53), external[7]).inside());
        QVERIFY(c.works());
        bed.leap(5h);
        QVERIFY(!c.in(flag::kAck | flag::kPsh, text("stale")).inside());
        QVERIFY(!bed.udpIn(at(kServer, 53), external[8]).inside());
        std::size_t left = bed.sessions();
        int calls = 0;
        for (; bed.engine().nextTimeout() && *bed.engine().nextTimeout() <= bed.now; ++calls) {
            QVERIFY(calls < 1000);
            engine::Output output;
            bed.engine().handleTimeout(bed.now, output);
            QVERIFY(left - bed.sessions() <= 160);
            left = bed.sessions();
        }
        QVERIFY(calls > 20);
        QCOMPARE(left, std::size_t{0});
        QVERIFY(bed.udpOut(at(host(20), 2000), at(kServer, 53)).outside());
    }

    // New timers are given to thousands of sessions a few at a time, and hold at once for whoever
    // is asked for.
    void timers_thatGetShorter_areFollowedByThousandsOfSessions()
    {
        EngineConfig config = usual();
        config.nat.timers.udpOneWay = 1h;
        Bed bed(config);
        for (unsigned i = 0; i < 12000; ++i)
            QVERIFY(bed.udpOut(at(host(20 + i % 100), 2000 + i / 100), at(kServer, 53)).outside());
        engine::nat::NatConfig nat = config.nat;
        nat.timers.udpOneWay = 2min;
        QVERIFY(bed.apply(engine::SetNat{nat}).has_value());
        QVERIFY(*bed.engine().nextTimeout() <= bed.now);
        bed.pass(2min - 1us);
        QCOMPARE(bed.sessions(), std::size_t{12000});
        bed.pass(2s);
        QCOMPARE(bed.sessions(), std::size_t{0});
    }

    // The far end of what loops is an address of ours, too.
    void externalAddress_thatIsGone_endsWhatLoopedByIt()
    {
        EngineConfig config = usual();
        config.external.addresses = {kExternal, kSecondExternal};
        config.oneToOnes = {
            {.id = 1, .internalAddress = kBert, .externalAddress = kSecondExternal}};
        Bed bed(config);
        const auto looped = bed.udpOut(at(kAnna, 5000), at(kSecondExternal, 7));
        QVERIFY(told(looped.inside(), looped));
        QVERIFY(bed.udpOut(at(kAnna, 5001), at(kServer, 53)).outside());
        QVERIFY(bed.apply(SetExternalSide{side({kExternal})}).has_value());
        QCOMPARE(bed.sessions(), std::size_t{1});
        EngineConfig rest = config;
        rest.external.addresses = {kExternal};
        rest.oneToOnes.clear();
        Bed after(rest);
        QVERIFY(restart(bed, after));
        QCOMPARE(after.sessions(), std::size_t{1});
    }

    // One address of several may go while the router is not there; the others keep what they have.
    void restart_withoutOneOfItsAddresses_keepsTheSessionsOfTheOthers()
    {
        EngineConfig config = usual();
        config.external.addresses = {kExternal, kSecondExternal};
        config.oneToOnes = {
            {.id = 1, .internalAddress = kBert, .externalAddress = kSecondExternal}};
        Bed bed(config);
        const auto kept = bed.udpOut(at(kAnna, 5000), at(kServer, 53)).source();
        QCOMPARE(kept.address, kExternal);
        QCOMPARE(bed.udpOut(at(kBert, 5000), at(kServer, 53)).source().address, kSecondExternal);
        QVERIFY(bed.udpOut(at(kAnna, 6000), at(kSecondExternal, 7)).inside());
        EngineConfig rest = config;
        rest.external.addresses = {kExternal};
        Bed after(rest);
        QVERIFY(restart(bed, after));
        QCOMPARE(after.sessions(), std::size_t{1});
        QVERIFY(after.udpIn(at(kServer, 53), kept).destination() == at(kAnna, 5000));
        QVERIFY(!after.udpIn(at(kServer, 53), at(kSecondExternal, 5000)).inside());
        // Where none is ours it is another network.
        rest.external.addresses = {Ipv4Address{203, 0, 113, 99}};
        Bed elsewhere(rest);
        QVERIFY(!restart(bed, elsewhere));
        QCOMPARE(elsewhere.sessions(), std::size_t{0});
    }

    void externalAddress_thatIsGone_isNotInLaterFragmentsEither()
    {
        Bed bed;
        Bytes whole = wire::buildUdp(at(kAnna, 5000), at(kServer, 53), Bytes(1400, 'f'),
                                     {.identification = 7, .dontFragment = false});
        const auto pieces = wire::fragmentIpv4(view(whole), 576);
        QCOMPARE(pieces.size(), std::size_t{3});
        QVERIFY(bed.outbound(pieces[0]).outside());
        QVERIFY(bed.outbound(pieces[1]).outside());
        QVERIFY(bed.apply(SetExternalSide{side({kSecondExternal})}).has_value());
        const auto late = bed.outbound(pieces[2]);
        QVERIFY(told(late.dropped(DropReason::FragmentOfDropped), late));
    }

    void externalAddress_thatIsAway_isNotComplainedAboutToMadeUpSources()
    {
        Bed bed;
        QVERIFY(bed.apply(SetExternalSide{side({})}).has_value());
        QVERIFY(bed.udpOut(at(kAnna, 5000), at(kServer, 53))
                    .answeredBy(wire::IcmpType::Unreachable, wire::icmp_unreachable::kHost));
        QVERIFY(bed.udpOut(at(Ipv4Address{10, 9, 8, 7}, 5000), at(kServer, 53)).silent());
    }

    void restart_keepsEveryKindOfSession()
    {
        EngineConfig config = usual();
        config.external.addresses = {kExternal, kSecondExternal};
        config.portForwards = {webServer()};
        config.oneToOnes = {
            {.id = 1, .internalAddress = host(50), .externalAddress = kSecondExternal}};
        Bed before(config);
        // TCP and UDP and a ping from inside, one of a forward, one of a 1:1 address, a hairpin.
        Connection c(before, at(kAnna, 5000), at(kServer, 443));
        QVERIFY(c.open() && c.works());
        const auto udp = before.udpOut(at(kAnna, 6000), at(kServer, 53)).source();
        QVERIFY(before.udpIn(at(kServer, 53), udp).inside());
        const auto ping = before.pingOut(kAnna, kServer, 7).source();
        QVERIFY(before.synIn(at(kServer, 4000), at(kExternal, 443), 70).inside());
        QVERIFY(before.udpIn(at(kServer, 4000), at(kSecondExternal, 9000)).inside());
        const auto bert = before.udpOut(at(kBert, 6000), at(kServer, 53)).source();
        const auto looped = before.udpOut(at(kAnna, 6000), bert);
        QVERIFY(looped.inside());
        const Bytes gre{0x20, 0, 0x08, 0, 0, 0, 0, 9, 1, 2, 3, 4};
        QVERIFY(before.outbound(wire::buildIpv4(kAnna, kServer, IpProtocol::Gre, gre)).outside());
        const auto records = before.engine().sessions(before.now, {});

        Bed after(config);
        QVERIFY(restart(before, after));
        QCOMPARE(after.engine().sessions(after.now, {}).size(), records.size());
        Connection again = c;
        const auto data = after.outbound(again.segmentOut(flag::kAck | flag::kPsh, text("more")));
        QVERIFY(told(data.outside() && data.source() == c.external, data));
        const auto answer = after.inbound(again.segmentIn(flag::kAck | flag::kPsh, text("more")));
        QVERIFY(told(answer.inside() && answer.destination() == c.internal, answer));
        QVERIFY(after.udpIn(at(kServer, 53), udp).destination() == at(kAnna, 6000));
        QVERIFY(after.udpOut(at(kAnna, 6000), at(kOther, 53)).source() == udp);
        QVERIFY(after.pingReplyIn(kServer, ping).destination() == at(kAnna, 7));
        const auto served = after.outbound(wire::buildTcp({.source = at(kBert, 443),
                                                           .destination = at(kServer, 4000),
                                                           .flags = flag::kSyn | flag::kAck,
                                                           .sequence = 1,
                                                           .acknowledgement = 71}));
        QVERIFY(told(served.source() == at(kExternal, 443), served));
        QVERIFY(after.udpOut(at(host(50), 9000), at(kServer, 4000)).source() ==
                at(kSecondExternal, 9000));
        const auto back = after.udpOut(at(kBert, 6000), udp);
        QVERIFY(told(back.inside() && back.destination() == at(kAnna, 6000), back));
        auto in = after.inbound(wire::buildIpv4(kServer, kExternal, IpProtocol::Gre, gre));
        QVERIFY(told(in.inside(), in));
        QCOMPARE(view(in.packet).destination(), kAnna);
    }

    void restart_forgetsNothingOfTimersAndWindows()
    {
        Bed before;
        Connection c(before, at(kAnna, 5000), at(kServer, 443));
        QVERIFY(c.open() && c.works());
        before.pass(2h);
        Bed after;
        QVERIFY(restart(before, after));
        // A forged reset is as forged as before.
        QVERIFY(after
                    .inbound(wire::buildTcp({.source = c.remote,
                                             .destination = c.external,
                                             .flags = flag::kRst,
                                             .sequence = c.inSequence + 50}))
                    .dropped(DropReason::TcpInexactReset));
        after.pass(4min);
        QCOMPARE(after.sessions(), std::size_t{0});
    }

    void restart_leavesUnansweredSessionsToMakeRoom()
    {
        EngineConfig config = usual();
        config.nat.limits.sessionsPerDevice = 50;
        Bed before(config);
        for (unsigned i = 0; i < 50; ++i)
            QVERIFY(before.udpOut(at(kAnna, 5000 + i), at(kServer, 53)).outside());
        Bed after(config);
        QVERIFY(restart(before, after));
        QVERIFY(after.udpOut(at(kAnna, 7000), at(kServer, 53)).outside());
    }

    void restart_keepsAConfinedDeviceConfined()
    {
        EngineConfig config = usual();
        config.deviceRules = {
            {.id = 1, .address = kAnna, .access = engine::policy::DeviceAccess::VpnOnly}};
        const auto answered = [](Bed& bed, Connection& c) {
            int answers = 0;
            for (int i = 0; i < 20; ++i) {
                bed.outbound(c.segmentOut(flag::kAck | flag::kPsh, text("GET / HTTP/1.1\r\n\r\n")));
                answers +=
                    bed.inbound(c.segmentIn(flag::kAck | flag::kPsh, text("HTTP/1.1 200 OK\r\n")))
                            .inside()
                        ? 1
                        : 0;
            }
            return answers;
        };
        Bed before(config);
        Connection c(before, at(kAnna, 5000), at(kServer, 80));
        c.open();
        QVERIFY(answered(before, c) < 10);
        Bed after(config);
        QVERIFY(restart(before, after));
        QVERIFY(answered(after, c) < 10);
    }

    void savedState_thatIsDamagedOrForeign_isRefusedWhole()
    {
        Bed before;
        before.udpOut(at(kAnna, 5000), at(kServer, 53));
        before.synOut(at(kAnna, 5000), at(kServer, 80));
        const auto block = before.engine().saveState(before.now);
        const auto refuses = [&](std::span<const std::uint8_t> damaged, const EngineConfig& config,
                                 Instant now) {
            Bed bed(config);
            const bool taken = bed.engine().restoreState(now, damaged);
            return !taken && bed.sessions() == 0;
        };
        for (std::size_t size = 0; size < block.size(); ++size)
            QVERIFY(refuses(std::span(block).first(size), usual(), before.now));
        for (std::size_t at = 0; at < block.size(); ++at) {
            auto damaged = block;
            damaged[at] ^= 0x10U;
            QVERIFY(refuses(damaged, usual(), before.now));
        }
        EngineConfig elsewhere = usual();
        elsewhere.external.addresses = {kSecondExternal};
        QVERIFY(refuses(block, elsewhere, before.now));
        // A clock that has gone back is another boot.
        QVERIFY(refuses(block, usual(), before.now - 1s));
        Bed fine;
        QVERIFY(fine.engine().restoreState(before.now, block));
    }

    void sameSeedAndSameCalls_giveTheSameOctets()
    {
        EngineConfig config = usual();
        config.portForwards = {webServer()};
        const Bytes first = livedThrough(config, 11);
        QVERIFY(first.size() > 500000);
        QVERIFY(first == livedThrough(config, 11));
        // Seen failing: another seed, other ports; another day, other packets.
        QVERIFY(first != livedThrough(config, 12));
        config.seed = {7, 7};
        QVERIFY(first != livedThrough(config, 11));
    }

    void everything_thatWasMade_isForgottenInTheEnd()
    {
        Bed bed;
        engine::Random random{{3, 3}};
        for (unsigned i = 0; i < 5000; ++i) {
            const auto device = host(10 + random.below(100));
            bed.udpOut(at(device, 1024 + random.below(60000)), at(kServer, random.below(65536)));
            bed.synOut(at(device, 1024 + random.below(60000)), at(kServer, random.below(65536)));
            bed.pingOut(device, kServer, static_cast<std::uint16_t>(random.next()));
            bed.pass(10ms);
        }
        QVERIFY(bed.sessions() > 5000);
        bed.pass(3h);
        const auto snapshot = bed.engine().snapshot(bed.now);
        QCOMPARE(snapshot.sessions, 0U);
        QCOMPARE(snapshot.mappings, 0U);
        QCOMPARE(snapshot.counters.sessionsCreated, snapshot.counters.sessionsEnded);
        for (const auto& device : snapshot.devices)
            QCOMPARE(device.sessions, 0U);
        QVERIFY(!bed.engine().nextTimeout());
    }
};

QTEST_APPLESS_MAIN(LifecycleTest)
#include "lifecycle_test.moc"
