#include <map>
#include <vector>

#include "tests/engine/compliance/bed.h"

using namespace bed;
using engine::Command;
using engine::CommandError;
using engine::SessionsCounted;
namespace nat = engine::nat;
namespace policy = engine::policy;

namespace {

constexpr std::uint32_t kPlaces = 64;
constexpr unsigned kFlows = 600;
/// What one call may end, made so small that a change takes many.
EngineConfig slow()
{
    EngineConfig config = usual();
    config.placesPerCall = kPlaces;
    return config;
}

Endpoint innerOf(Ipv4Address device, unsigned flow)
{
    return at(device, 20000 + flow);
}

/// Flows of one device, each from a port of its own, answered; by flow the external endpoint.
std::vector<Endpoint> open(Bed& bed, Ipv4Address device, unsigned flows = kFlows)
{
    std::vector<Endpoint> external;
    for (unsigned i = 0; i < flows; ++i) {
        external.push_back(bed.udpOut(innerOf(device, i), at(kServer, 443)).source());
        bed.udpIn(at(kServer, 443), external.back());
    }
    return external;
}

std::vector<std::uint32_t> countsIn(const engine::Output& output)
{
    std::vector<std::uint32_t> counts;
    for (const engine::Event& event : output.events) {
        if (const auto* counted = std::get_if<SessionsCounted>(&event)) {
            counts.push_back(counted->sessions);
        }
    }
    return counts;
}

/// Calls until nothing is due at this moment; what was counted meanwhile, and how many calls.
struct Rest {
    std::vector<std::uint32_t> counts;
    unsigned calls = 0;
    std::size_t mostEnded = 0;  ///< by one call
};
Rest finish(Bed& bed)
{
    Rest rest;
    for (; rest.calls < 10000; ++rest.calls) {
        const auto next = bed.engine().nextTimeout();
        if (!next || *next > bed.now) break;
        const std::size_t before = bed.sessions();
        engine::Output output;
        bed.engine().handleTimeout(bed.now, output);
        rest.mostEnded = std::max(rest.mostEnded, before - bed.sessions());
        const auto counts = countsIn(output);
        rest.counts.insert(rest.counts.end(), counts.begin(), counts.end());
    }
    return rest;
}

engine::SetDeviceRules block(Ipv4Address device, policy::OnLive onLive = policy::OnLive::Drop)
{
    return {{{.id = 1, .address = device, .access = policy::DeviceAccess::Block}}, onLive};
}
engine::SetPortForwards forward(unsigned first, unsigned last)
{
    policy::PortForward one;
    one.id = 1;
    one.protocol = IpProtocol::Udp;
    one.externalPorts = range(first, last);
    one.internalFirst = Port{static_cast<std::uint16_t>(first)};
    one.internalAddress = kBert;
    return {{one}};
}

}  // namespace

/// Changes that concern all sessions go through the table a part at a time, and are in force from
/// the first packet on all the same.
class SweepTest final : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void blockedDevice_isCutOffAtOnce_andEndsAFewAtATime()
    {
        Bed bed(slow());
        open(bed, kAnna);
        const auto external = open(bed, kBert);
        QVERIFY(bed.apply(block(kBert)));
        QVERIFY(bed.sessions() > 2 * kFlows - kPlaces);
        QCOMPARE(countsIn(bed.lastOutput).size(), std::size_t{0});
        // The last that the sweep will come to, and one in both directions.
        QVERIFY(bed.udpOut(innerOf(kBert, kFlows - 1), at(kServer, 443))
                    .dropped(DropReason::DeniedByPolicy));
        QVERIFY(!bed.udpIn(at(kServer, 443), external[kFlows - 2]).inside());
        QVERIFY(bed.udpOut(innerOf(kAnna, 5), at(kServer, 443)).outside());
        const Rest rest = finish(bed);
        QVERIFY(rest.calls > 10);
        QVERIFY(rest.mostEnded <= 2);
        // Those that packets have ended before the sweep came to them count as well.
        QCOMPARE(rest.counts, std::vector<std::uint32_t>{kFlows});
        QCOMPARE(bed.sessions(), std::size_t{kFlows});
    }

    void manyPackets_obeyTheNewRules_whereverTheSweepIs()
    {
        Bed bed(slow());
        const auto external = open(bed, kBert);
        QVERIFY(bed.apply(block(kBert)));
        for (unsigned i = 0; i < kFlows; ++i) {
            engine::Output output;
            if (i % 3 == 0) bed.engine().handleTimeout(bed.now, output);
            const unsigned flow = (i * 7) % kFlows;
            // One by one and in a batch, out and in.
            QVERIFY(!bed.udpOut(innerOf(kBert, flow), at(kServer, 443)).outside());
            Bytes packet = wire::buildUdp(at(kServer, 443), external[kFlows - 1 - flow], text("x"));
            wire::Packet carried{.bytes = packet};
            Verdict verdict;
            bed.engine().handlePackets(bed.now, PortId::External, {&carried, 1}, {&verdict, 1},
                                       output);
            QVERIFY(verdict.kind != Verdict::Kind::Forward);
        }
    }

    void batch_ofEstablishedPackets_obeysAtOnce()
    {
        Bed bed(slow());
        open(bed, kAnna);
        open(bed, kBert);
        // Established enough for the short cut.
        const auto go = [&](Ipv4Address device) {
            Bytes packet = wire::buildUdp(innerOf(device, kFlows - 1), at(kServer, 443), text("x"));
            wire::Packet carried{.bytes = packet};
            Verdict verdict;
            engine::Output output;
            bed.engine().handlePackets(bed.now, PortId::Internal, {&carried, 1}, {&verdict, 1},
                                       output);
            return verdict.kind;
        };
        for (int i = 0; i < 8; ++i)
            QVERIFY(go(kBert) == Verdict::Kind::Forward);
        QVERIFY(bed.apply(block(kBert)));
        QVERIFY(go(kBert) == Verdict::Kind::Drop);
        QVERIFY(go(kAnna) == Verdict::Kind::Forward);
    }

    void connection_thatIsEndedByAPacket_isToldToo()
    {
        Bed bed(slow());
        open(bed, kAnna);
        Connection connection(bed, at(kBert, 4000), at(kServer, 80));
        connection.open();
        QVERIFY(bed.apply(block(kBert)));
        const Outcome outcome = connection.out(flag::kAck, text("more"));
        QVERIFY(!outcome.outside());
        const auto isReset = [](const engine::OutgoingPacket& made) {
            Bytes copy = made.bytes;
            const auto ip = view(copy);
            const auto tcp = wire::TcpView::parse(ip.payload());
            return ip.protocol() == IpProtocol::Tcp && tcp && tcp->has(flag::kRst);
        };
        QVERIFY(std::any_of(outcome.made.begin(), outcome.made.end(), isReset));
    }

    void ruleThatIsTakenBack_endsWhatItHasEnded_andNothingThatCameAfter()
    {
        Bed bed(slow());
        open(bed, kAnna);
        open(bed, kBert);
        QVERIFY(bed.apply(block(kBert)));
        QVERIFY(bed.apply(engine::SetDeviceRules{}));
        // Opened after both: a place that the first change has still to come to.
        QVERIFY(bed.udpOut(at(kBert, 999), at(kOther, 53)).outside());
        QVERIFY(bed.udpOut(innerOf(kBert, kFlows - 1), at(kServer, 443)).outside());
        const Rest rest = finish(bed);
        QCOMPARE(rest.counts, (std::vector<std::uint32_t>{kFlows, 0}));
        QCOMPARE(bed.sessions(), std::size_t{kFlows + 2});
        QVERIFY(bed.udpOut(at(kBert, 999), at(kOther, 53)).outside());
    }

    void finish_countsAndEndsNothing()
    {
        Bed bed(slow());
        open(bed, kAnna);
        open(bed, kBert);
        QVERIFY(bed.apply(block(kBert, policy::OnLive::Finish)));
        QVERIFY(bed.udpOut(innerOf(kBert, kFlows - 1), at(kServer, 443)).outside());
        QCOMPARE(finish(bed).counts, std::vector<std::uint32_t>{kFlows});
        QCOMPARE(bed.sessions(), std::size_t{2 * kFlows});
        QVERIFY(bed.udpOut(innerOf(kBert, kFlows - 1), at(kServer, 443)).outside());
        QVERIFY(bed.udpOut(at(kBert, 999), at(kServer, 443)).dropped(DropReason::DeniedByPolicy));
    }

    void count_isWhatTheChangeWouldEnd_andChangesNothing()
    {
        Bed bed(slow());
        open(bed, kAnna);
        const auto external = open(bed, kBert);
        // Two of one mapping, of which only one belongs to who opened it.
        QVERIFY(bed.udpIn(at(kOther, 9), external[0]).verdict.kind == Verdict::Kind::Drop);
        const std::vector<Command> changes{
            block(kBert), forward(external[7].port.hostOrder(), external[7].port.hostOrder()),
            forward(1024, 65535), engine::SetExposedHost{kAnna}, engine::SetOneToOnes{}};
        for (const Command& change : changes) {
            const std::uint32_t told = bed.engine().sessionsEndedBy(bed.now, change);
            engine::Output output;
            bed.engine().count(bed.now, change, output);
            QVERIFY(countsIn(output).empty());
            QCOMPARE(finish(bed).counts, std::vector<std::uint32_t>{told});
            QCOMPARE(bed.sessions(), std::size_t{2 * kFlows});
        }
    }

    void forwardOverPortsInUse_isTheForwardsAtOnce()
    {
        Bed bed(slow());
        open(bed, kAnna);
        const unsigned port = open(bed, kAnna, 1).front().port.hostOrder();
        const auto external = at(kExternal, port);
        QVERIFY(bed.apply(forward(port, port)));
        // What came by the mapping now comes by the forward, also from who used the mapping.
        for (const Endpoint remote : {at(kOther, 77), at(kServer, 443)}) {
            const Outcome outcome = bed.udpIn(remote, external);
            QVERIFY2(outcome.inside(), outcome.what().c_str());
            QCOMPARE(outcome.destination(), at(kBert, port));
        }
        // And the device gets another port, though its mapping has not gone yet.
        const Outcome again = bed.udpOut(innerOf(kAnna, 0), at(kServer, 443));
        QVERIFY(again.outside());
        QVERIFY(again.source() != external);
        QCOMPARE(finish(bed).counts.size(), std::size_t{1});
    }

    void filterThatGetsStricter_letsInWhoWasSpokenTo_andNobodyElse()
    {
        EngineConfig config = slow();
        config.nat.udp.filtering = nat::Behaviour::EndpointIndependent;
        Bed bed(config);
        const auto external = open(bed, kAnna);
        nat::NatConfig wanted = config.nat;
        wanted.udp.filtering = nat::Behaviour::AddressDependent;
        QVERIFY(bed.apply(engine::SetNat{wanted}));
        // The last that the sweep will come to.
        QVERIFY(bed.udpIn(at(kServer, 7), external[kFlows - 1]).inside());
        QVERIFY(
            bed.udpIn(at(kOther, 7), external[kFlows - 1]).dropped(DropReason::FilteredAddress));
        QVERIFY(finish(bed).calls > 2);
        QVERIFY(bed.udpIn(at(kServer, 8), external[kFlows - 2]).inside());
        QVERIFY(
            bed.udpIn(at(kOther, 8), external[kFlows - 2]).dropped(DropReason::FilteredAddress));
        // Back and forth before the first has come through.
        QVERIFY(bed.apply(engine::SetNat{config.nat}));
        QVERIFY(bed.udpIn(at(kOther, 9), external[kFlows - 3]).inside());
        QVERIFY(bed.apply(engine::SetNat{wanted}));
        QVERIFY(bed.udpIn(at(kServer, 9), external[kFlows - 4]).inside());
        finish(bed);
        for (unsigned i = 0; i < kFlows - 4; ++i) {
            QVERIFY(bed.udpIn(at(kServer, 10), external[i]).inside());
            QVERIFY(!bed.udpIn(at(kOther, 10), external[i]).inside());
        }
    }

    void internalSideThatMoves_endsWhatIsOutsideOfIt()
    {
        Bed bed(slow());
        open(bed, kAnna);
        const engine::InternalSide small{Prefix{Ipv4Address{192, 0, 2, 128}, 25},
                                         Ipv4Address{192, 0, 2, 129}, 1500};
        QVERIFY(bed.apply(engine::SetInternalSide{small}));
        QVERIFY(bed.udpOut(innerOf(kAnna, kFlows - 1), at(kServer, 443))
                    .dropped(DropReason::SpoofedInternalSource));
        QVERIFY(finish(bed).calls > 5);
        QCOMPARE(bed.sessions(), std::size_t{0});
        QCOMPARE(bed.mappings(), std::size_t{0});
    }

    void oneSessionThatIsClosed_isFoundWhereverItIs()
    {
        Bed bed(slow());
        open(bed, kAnna);
        const auto all = bed.engine().sessions(bed.now, {});
        QVERIFY(bed.apply(engine::CloseSession{all.back().serial}));
        finish(bed);
        QCOMPARE(bed.sessions(), std::size_t{kFlows - 1});
        const auto never = bed.apply(engine::CloseSession{all.back().serial + 1});
        QVERIFY(!never && never.error() == CommandError::NoSuchSession);
    }

    void savedState_takenMeanwhile_holdsNothingThatTheRulesForbid()
    {
        Bed bed(slow());
        open(bed, kAnna);
        open(bed, kBert);
        QVERIFY(bed.apply(block(kBert)));
        bed.restart();
        QCOMPARE(bed.sessions(), std::size_t{kFlows});
        QVERIFY(bed.udpOut(innerOf(kAnna, kFlows - 1), at(kServer, 443)).outside());
        QVERIFY(!bed.udpOut(innerOf(kBert, kFlows - 1), at(kServer, 443)).outside());
    }

    void savedState_inParts_isTheOneInOneGo()
    {
        Bed bed(slow());
        open(bed, kAnna);
        engine::StateDraft draft;
        unsigned calls = 1;
        for (; !bed.engine().saveOn(bed.now, draft); ++calls) {
            std::size_t most = 0;
            for (const auto& part : draft.parts)
                most = std::max(most, part.size());
            QVERIFY(most < 1000);
        }
        QVERIFY(calls > 100);
        QVERIFY(engine::Engine::blockOf(draft) == bed.engine().saveState(bed.now));
    }

    void savedState_inParts_beginsAnewWithNewRules()
    {
        Bed bed(slow());
        open(bed, kBert);
        open(bed, kAnna);
        engine::StateDraft draft;
        for (int i = 0; i < 200; ++i)
            QVERIFY(!bed.engine().saveOn(bed.now, draft));
        QVERIFY(bed.apply(block(kBert)));
        while (!bed.engine().saveOn(bed.now, draft)) {
        }
        engine::Engine fresh(bed.now, bed.engine().config());
        QVERIFY(fresh.restoreState(bed.now, engine::Engine::blockOf(draft)));
        for (const auto& session : fresh.sessions(bed.now, {}))
            QCOMPARE(session.internal.address, kAnna);
        QCOMPARE(fresh.snapshot(bed.now).sessions, kFlows);
    }

    void savedState_inParts_whileSessionsComeAndGo_isWhole()
    {
        Bed bed(slow());
        open(bed, kAnna);
        engine::StateDraft draft;
        for (unsigned i = 0; !bed.engine().saveOn(bed.now, draft); ++i) {
            const auto some = bed.engine().sessions(bed.now, {.limit = 1});
            if (!some.empty()) (void)bed.apply(engine::CloseSession{some.front().serial});
            (void)bed.udpOut(at(kBert, 3000 + i), at(kOther, 53));
        }
        engine::Engine fresh(bed.now, bed.engine().config());
        QVERIFY(fresh.restoreState(bed.now, engine::Engine::blockOf(draft)));
        QVERIFY(fresh.snapshot(bed.now).sessions > kFlows / 2);
    }

    void suspendAndExpiry_meanwhile_areCountedOnce()
    {
        Bed bed(slow());
        open(bed, kAnna);
        open(bed, kBert);
        QVERIFY(bed.apply(block(kBert)));
        bed.leap(2h);
        QCOMPARE(finish(bed).counts, std::vector<std::uint32_t>{kFlows});
        QCOMPARE(bed.sessions(), std::size_t{0});
    }

    void moreChangesThanWait_areAllDone()
    {
        Bed bed(slow());
        open(bed, kAnna);
        open(bed, kBert);
        std::vector<std::uint32_t> counts;
        for (int i = 0; i < 40; ++i) {
            QVERIFY(bed.apply(block(i % 2 == 0 ? kBert : kAnna)));
            const auto some = countsIn(bed.lastOutput);
            counts.insert(counts.end(), some.begin(), some.end());
        }
        const auto rest = finish(bed).counts;
        counts.insert(counts.end(), rest.begin(), rest.end());
        QCOMPARE(counts.size(), std::size_t{40});
        QCOMPARE(counts[0], kFlows);
        QCOMPARE(counts[1], kFlows);
        QCOMPARE(bed.sessions(), std::size_t{0});
    }

    void addressThatGoesMeanwhile_andRulesMeanwhile_areBothDone()
    {
        EngineConfig config = slow();
        config.external.addresses = {kExternal, kSecondExternal};
        Bed bed(config);
        open(bed, kAnna);
        open(bed, kBert);
        engine::ExternalSide away = config.external;
        away.addresses = {};
        QVERIFY(bed.apply(block(kBert)));
        QVERIFY(bed.apply(engine::SetExternalSide{away}));
        QVERIFY(bed.apply(engine::SetOneToOnes{}));
        QCOMPARE(finish(bed).counts, (std::vector<std::uint32_t>{kFlows, 0}));
        QVERIFY(bed.apply(engine::SetExternalSide{config.external}));
        QCOMPARE(bed.sessions(), std::size_t{kFlows});
        QVERIFY(bed.udpOut(innerOf(kAnna, 3), at(kServer, 443)).outside());
        QVERIFY(!bed.udpOut(innerOf(kBert, 3), at(kServer, 443)).outside());
    }
};

QTEST_APPLESS_MAIN(SweepTest)
#include "sweep_test.moc"
