#include "engine/wire/fragmenter.h"

#include <array>
#include <span>

#include "tests/engine/compliance/bed.h"

using namespace bed;
using engine::net::VpnProtocol;
using engine::policy::OnLive;

namespace {

constexpr Ipv4Address kCarl{192, 0, 2, 12};  ///< has forwards
constexpr Ipv4Address kOlga{192, 0, 2, 20};  ///< has an external address of her own
constexpr Ipv4Address kDora{192, 0, 2, 21};  ///< likewise
constexpr Ipv4Address kOlgas = kSecondExternal;
constexpr Ipv4Address kDoras{203, 0, 113, 3};

Bytes behind(Bytes header, const Bytes& inner)
{
    header.insert(header.end(), inner.begin(), inner.end());
    return header;
}

/// Which way a packet goes between a caller and whom it has called.
enum class Way { Call, Answer };

/// The ends of the tunnel of caller `number`.
Bytes inner4(unsigned number, Way way)
{
    const Ipv4Address callers{10, 9, 0, static_cast<std::uint8_t>(number)};
    const Ipv4Address called{10, 9, 1, static_cast<std::uint8_t>(number)};
    return wire::buildIpv4(way == Way::Call ? callers : called, way == Way::Call ? called : callers,
                           IpProtocol{253}, Bytes(200, 0x5a));
}
Bytes inner6(unsigned number, Way way)
{
    Bytes bytes(240);
    bytes[0] = 0x60;
    wire::store64(bytes, way == Way::Call ? 8 : 24, 0x20010db800000000U | number << 16U);
    wire::store64(bytes, way == Way::Call ? 24 : 8, 0x20010db8ffff0000U | number);
    return bytes;
}

struct Kind {
    const char* name;
    IpProtocol protocol;
    VpnProtocol guardian;  ///< whose switch it obeys
    Bytes (*payload)(unsigned number, Way way);
    bool tellsApart;   ///< several callers behind one address
    bool showsAtOnce;  ///< in its first eight octets
};

const std::vector<Kind> kKinds{
    {"keyed GRE", IpProtocol::Gre, VpnProtocol::Gre,
     [](unsigned number, Way way) {
         return behind({0x20, 0, 8, 0, 0, 0, 0, static_cast<std::uint8_t>(number)},
                       inner4(number, way));
     },
     true, true},
    {"GRE without a key", IpProtocol::Gre, VpnProtocol::Gre,
     [](unsigned number, Way way) {
         return behind({0, 0, 8, 0}, inner4(number, way));
     },
     true, false},
    {"EoIP", IpProtocol::Gre, VpnProtocol::Eoip,
     [](unsigned number, Way) {
         return behind({0x20, 1, 0x64, 0, 0, 200, static_cast<std::uint8_t>(number), 0},
                       Bytes(200));
     },
     true, true},
    {"IPIP", IpProtocol::IpIp, VpnProtocol::IpIp, &inner4, true, false},
    {"6in4", IpProtocol::SixInFour, VpnProtocol::SixInFour, &inner6, true, false},
    {"EtherIP", IpProtocol::EtherIp, VpnProtocol::EtherIp,
     [](unsigned, Way) {
         return behind({0x30, 0}, Bytes(60, 2));
     },
     false, false},
    {"ESP", IpProtocol::Esp, VpnProtocol::IpsecEsp,
     [](unsigned number, Way way) {
         static std::uint32_t sequence = 0;
         Bytes bytes(80, 7);
         wire::store32(bytes, 0, (way == Way::Call ? 0x10000U : 0x20000U) + number);
         wire::store32(bytes, 4, ++sequence);
         return bytes;
     },
     false, true},
    {"L2TPv3", IpProtocol::L2tpV3, VpnProtocol::L2tpV3,
     [](unsigned number, Way way) {
         Bytes bytes(60, 7);
         wire::store32(bytes, 0, (way == Way::Call ? 0x10000U : 0x20000U) + number);
         return bytes;
     },
     false, true},
};

EngineConfig withOwners()
{
    EngineConfig config = usual();
    config.external.addresses = {kExternal, kOlgas, kDoras};
    config.oneToOnes = {{.id = 1, .internalAddress = kOlga, .externalAddress = kOlgas},
                        {.id = 2, .internalAddress = kDora, .externalAddress = kDoras}};
    return config;
}

bool passes(Bed& bed, const Kind& kind, unsigned number, Way way, Ipv4Address device,
            Ipv4Address to, Ipv4Address shownAs, Ipv4Address at)
{
    const Bytes payload = kind.payload(number, way);
    const Bytes sent = wire::buildIpv4(device, to, kind.protocol, payload);
    const Outcome outcome = bed.outbound(sent);
    if (!told(outcome.inside(), outcome)) return false;
    Bytes got = outcome.packet;
    return told(view(got).source() == shownAs && view(got).destination() == at &&
                    ttlOf(got) + 1 == ttlOf(sent) &&
                    std::ranges::equal(view(got).payload(), payload) && outcome.made.empty(),
                outcome);
}

/// A device calls an address, is heard by another device, and hears it; several times.
struct Talk {
    unsigned number = 1;
    Ipv4Address caller;
    Ipv4Address shownAs;  ///< the caller's external address
    Ipv4Address called;
    Ipv4Address home;
};
bool calls(Bed& bed, const Kind& kind, const Talk& talk)
{
    return passes(bed, kind, talk.number, Way::Call, talk.caller, talk.called, talk.shownAs,
                  talk.home);
}
bool isAnswered(Bed& bed, const Kind& kind, const Talk& talk)
{
    return passes(bed, kind, talk.number, Way::Answer, talk.home, talk.shownAs, talk.called,
                  talk.caller);
}
bool talks(Bed& bed, const Kind& kind, const Talk& talk)
{
    for (int i = 0; i < 3; ++i) {
        if (!calls(bed, kind, talk) || !isAnswered(bed, kind, talk)) return false;
    }
    return true;
}

Outcome sends(Bed& bed, const Kind& kind, Ipv4Address device, Ipv4Address to, unsigned number = 1,
              Way way = Way::Call)
{
    return bed.outbound(wire::buildIpv4(device, to, kind.protocol, kind.payload(number, way)));
}

bool forwardToCarl(Bed& bed, IpProtocol protocol)
{
    engine::policy::PortForward forward;
    forward.id = 1;
    forward.protocol = protocol;
    forward.internalAddress = kCarl;
    return bed.apply(engine::SetPortForwards{{forward}}).has_value();
}

constexpr Talk kAnnaToOlga{1, kAnna, kExternal, kOlgas, kOlga};
constexpr Talk kBertToOlga{2, kBert, kExternal, kOlgas, kOlga};
constexpr Talk kDoraToOlga{3, kDora, kDoras, kOlgas, kOlga};
constexpr Talk kOlgaToDora{4, kOlga, kOlgas, kDoras, kDora};
constexpr Talk kOlgaToCarl{5, kOlga, kOlgas, kExternal, kCarl};
constexpr Talk kAnnaToCarl{6, kAnna, kExternal, kExternal, kCarl};

}  // namespace

/// Who answers at an external address over a protocol without ports, for callers inside: its owner
/// without any forward, at a shared address the device of a forward (RFC 4787 REQ-9).
class PortlessHomeTest : public QObject {
    Q_OBJECT

    static void addKinds()
    {
        QTest::addColumn<int>("kind");
        for (std::size_t i = 0; i < kKinds.size(); ++i)
            QTest::newRow(kKinds[i].name) << static_cast<int>(i);
    }
    static const Kind& kindOf(int index) { return kKinds[static_cast<std::size_t>(index)]; }

private Q_SLOTS:
    void ownAddress_calledFromInside_reachesItsOwnerAndBack_data() { addKinds(); }
    // RFC 4787 REQ-9
    // RFC 4787 REQ-9a
    void ownAddress_calledFromInside_reachesItsOwnerAndBack()
    {
        QFETCH(const int, kind);
        for (const bool forwarded : {false, true}) {
            Bed bed(withOwners());
            // A forward is for shared addresses, as for ports.
            if (forwarded) QVERIFY(forwardToCarl(bed, kindOf(kind).protocol));
            QVERIFY(talks(bed, kindOf(kind), kAnnaToOlga));
            QVERIFY(talks(bed, kindOf(kind), kDoraToOlga));
            if (kindOf(kind).tellsApart) {
                QVERIFY(talks(bed, kindOf(kind), kBertToOlga));
                QVERIFY(talks(bed, kindOf(kind), kAnnaToOlga));
            }
            const auto counters = bed.engine().snapshot(bed.now).counters;
            QCOMPARE(counters.hairpinned.packets,
                     std::uint64_t{kindOf(kind).tellsApart ? 24U : 12U});
            QCOMPARE(counters.outbound.packets, std::uint64_t{0});
        }
    }

    void owners_callEachOtherAtTheSameTime_data() { addKinds(); }
    // RFC 4787 REQ-9
    void owners_callEachOtherAtTheSameTime()
    {
        QFETCH(const int, kind);
        Bed bed(withOwners());
        for (int i = 0; i < 3; ++i) {
            QVERIFY(calls(bed, kindOf(kind), kDoraToOlga));
            QVERIFY(calls(bed, kindOf(kind), kOlgaToDora));
            QVERIFY(isAnswered(bed, kindOf(kind), kDoraToOlga));
            QVERIFY(isAnswered(bed, kindOf(kind), kOlgaToDora));
        }
        if (!kindOf(kind).tellsApart) return;
        // Each call is its caller's, who may see it and forbid it.
        std::vector<std::pair<Ipv4Address, Ipv4Address>> callers;
        for (const auto& session : bed.engine().sessions(bed.now, {}))
            callers.emplace_back(session.internal.address, session.remote.address);
        std::ranges::sort(callers);
        const std::vector<std::pair<Ipv4Address, Ipv4Address>> both{{kOlga, kDoras},
                                                                    {kDora, kOlgas}};
        QVERIFY(callers == both);
    }

    void owner_callsTheForwardOfTheSharedAddress_whileItIsCalledItself_data() { addKinds(); }
    // RFC 4787 REQ-9
    void owner_callsTheForwardOfTheSharedAddress_whileItIsCalledItself()
    {
        QFETCH(const int, kind);
        Bed bed(withOwners());
        QVERIFY(forwardToCarl(bed, kindOf(kind).protocol));
        QVERIFY(talks(bed, kindOf(kind), kOlgaToCarl));
        QVERIFY(talks(bed, kindOf(kind), kAnnaToCarl));
        QVERIFY(talks(bed, kindOf(kind), kOlgaToCarl));
        if (!kindOf(kind).tellsApart) return;
        // And the other way round, with whoever is behind the shared address.
        QVERIFY(talks(bed, kindOf(kind), kAnnaToOlga));
        QVERIFY(talks(bed, kindOf(kind), {7, kCarl, kExternal, kOlgas, kOlga}));
        QVERIFY(talks(bed, kindOf(kind), kOlgaToCarl));
    }

    // What has a number is no answer to a caller with another.
    void owner_withOneCaller_callsTheForwardByAnotherNumber_data() { addKinds(); }
    void owner_withOneCaller_callsTheForwardByAnotherNumber()
    {
        QFETCH(const int, kind);
        if (!kindOf(kind).tellsApart || !kindOf(kind).showsAtOnce) return;
        Bed bed(withOwners());
        QVERIFY(forwardToCarl(bed, kindOf(kind).protocol));
        QVERIFY(talks(bed, kindOf(kind), kAnnaToOlga));
        QVERIFY(talks(bed, kindOf(kind), kOlgaToCarl));
        QVERIFY(talks(bed, kindOf(kind), kAnnaToOlga));
    }

    void forward_calledByEitherSharedAddress_answersByTheSame_data() { addKinds(); }
    // Several shared addresses: the answer shows the one that was called.
    void forward_calledByEitherSharedAddress_answersByTheSame()
    {
        QFETCH(const int, kind);
        EngineConfig config = usual();
        config.external.addresses = {kExternal, kSecondExternal};
        for (const auto& [called, number] : {std::pair{kExternal, 1U}, {kSecondExternal, 2U}}) {
            for (const bool both : {false, true}) {
                if (both && !kindOf(kind).tellsApart) continue;
                Bed bed(config);
                QVERIFY(forwardToCarl(bed, kindOf(kind).protocol));
                const Outcome probe = bed.udpOut(at(kAnna, 500), at(kServer, 500));
                const Ipv4Address shownAs = probe.source().address;
                QVERIFY(talks(bed, kindOf(kind), {number, kAnna, shownAs, called, kCarl}));
                if (!both) continue;
                const Ipv4Address other = called == kExternal ? kSecondExternal : kExternal;
                QVERIFY(talks(bed, kindOf(kind), {9, kAnna, shownAs, other, kCarl}));
                QVERIFY(talks(bed, kindOf(kind), {number, kAnna, shownAs, called, kCarl}));
            }
        }
    }

    void hairpinningSwitchedOff_thePacketIsTheRouters_data() { addKinds(); }
    // RFC 4787 REQ-9: only with hairpinning; the packet is the router's then, and unchanged.
    void hairpinningSwitchedOff_thePacketIsTheRouters()
    {
        QFETCH(const int, kind);
        Bed bed(withOwners());
        QVERIFY(talks(bed, kindOf(kind), kAnnaToOlga));
        auto nat = bed.engine().config().nat;
        nat.hairpinning = false;
        QVERIFY(bed.apply(engine::SetNat{nat}));
        // Not even what lives already, and nothing new.
        QVERIFY(!sends(bed, kindOf(kind), kAnna, kOlgas).inside());
        QVERIFY(!sends(bed, kindOf(kind), kOlga, kExternal, 1, Way::Answer).inside());
        QVERIFY(sends(bed, kindOf(kind), kBert, kDoras).toHost());
        QVERIFY(sends(bed, kindOf(kind), kDora, kOlgas).toHost());
    }

    void owner_thatNobodyHasCalled_speaksToTheRouter_data() { addKinds(); }
    void owner_thatNobodyHasCalled_speaksToTheRouter()
    {
        QFETCH(const int, kind);
        Bed bed(withOwners());
        // Somebody has called another owner, and somebody outside has been called.
        QVERIFY(talks(bed, kindOf(kind), {1, kAnna, kExternal, kDoras, kDora}));
        const auto before = bed.engine().sessions(bed.now, {}).size();
        const Bytes sent = wire::buildIpv4(kOlga, kExternal, kindOf(kind).protocol,
                                           kindOf(kind).payload(1, Way::Answer));
        const Outcome outcome = bed.outbound(sent);
        QVERIFY(told(outcome.toHost(), outcome));
        QVERIFY(outcome.packet == sent);
        QCOMPARE(bed.engine().sessions(bed.now, {}).size(), before);
        // A neighbour without an address of its own has nobody either.
        QVERIFY(sends(bed, kindOf(kind), kBert, kExternal).toHost());
    }

    void owner_callsItsOwnAddress_hearsNothing_data() { addKinds(); }
    void owner_callsItsOwnAddress_hearsNothing()
    {
        QFETCH(const int, kind);
        Bed bed(withOwners());
        const Outcome outcome = sends(bed, kindOf(kind), kOlga, kOlgas);
        QVERIFY(told(outcome.dropped(DropReason::HairpinLoop), outcome));
    }

    void neighbour_withTheCallersNumbers_reachesNobody_data() { addKinds(); }
    // Those behind one address do not reach each other by what the other has begun.
    void neighbour_withTheCallersNumbers_reachesNobody()
    {
        QFETCH(const int, kind);
        Bed bed(withOwners());
        QVERIFY(talks(bed, kindOf(kind), kAnnaToOlga));
        // What Olga would answer to Anna.
        QVERIFY(sends(bed, kindOf(kind), kBert, kExternal, 1, Way::Answer).toHost());
        // Dora is somebody else than Anna has called.
        QVERIFY(sends(bed, kindOf(kind), kDora, kExternal, 1, Way::Answer).toHost());
    }

    void blockedOwner_isNotReached_data() { addKinds(); }
    void blockedOwner_isNotReached()
    {
        QFETCH(const int, kind);
        const auto block = [&](Bed& bed, const engine::policy::DeviceAccess access) {
            engine::policy::DeviceRule rule;
            rule.id = 1;
            rule.address = kOlga;
            rule.access = access;
            return bed.apply(engine::SetDeviceRules{{rule}}).has_value();
        };
        {
            Bed bed(withOwners());
            QVERIFY(block(bed, engine::policy::DeviceAccess::Block));
            const Outcome outcome = sends(bed, kindOf(kind), kAnna, kOlgas);
            QVERIFY(told(outcome.dropped(DropReason::DeniedByPolicy), outcome));
        }
        {
            // Tunnels are what it may have.
            Bed bed(withOwners());
            QVERIFY(block(bed, engine::policy::DeviceAccess::VpnOnly));
            QVERIFY(talks(bed, kindOf(kind), kAnnaToOlga));
            QVERIFY(talks(bed, kindOf(kind), kOlgaToDora));
        }
    }

    void switchSaysNo_toTheOwner_orToAll_data() { addKinds(); }
    void switchSaysNo_toTheOwner_orToAll()
    {
        QFETCH(const int, kind);
        using engine::policy::PassthroughMode;
        engine::policy::PassthroughSwitch off;
        off.mode = PassthroughMode::Block;
        engine::policy::PassthroughSwitch offForOlga;
        offForOlga.exceptions.push_back(
            {.device = Prefix{kOlga, 32}, .mode = PassthroughMode::Block});
        for (const bool toAll : {true, false}) {
            Bed bed(withOwners());
            QVERIFY(
                bed.apply(engine::SetPassthrough{kindOf(kind).guardian, toAll ? off : offForOlga}));
            const Outcome outcome = sends(bed, kindOf(kind), kAnna, kOlgas);
            QVERIFY(told(outcome.dropped(DropReason::PassthroughOff), outcome));
            QVERIFY(toAll || talks(bed, kindOf(kind), {1, kAnna, kExternal, kDoras, kDora}));
        }
        // What lives may run on.
        Bed bed(withOwners());
        QVERIFY(talks(bed, kindOf(kind), kAnnaToOlga));
        QVERIFY(bed.apply(engine::SetPassthrough{kindOf(kind).guardian, off, OnLive::Finish}));
        QVERIFY(talks(bed, kindOf(kind), kAnnaToOlga));
        QVERIFY(sends(bed, kindOf(kind), kDora, kOlgas, 3).dropped(DropReason::PassthroughOff));
    }

    // An address has one owner: no forward takes what that one must not get.
    void callerOutside_whomTheSwitchKeepsFromTheOwner_isNotTheForwards_data() { addKinds(); }
    void callerOutside_whomTheSwitchKeepsFromTheOwner_isNotTheForwards()
    {
        QFETCH(const int, kind);
        Bed bed(withOwners());
        QVERIFY(forwardToCarl(bed, kindOf(kind).protocol));
        const auto call = [&](Ipv4Address address) {
            return bed.inbound(wire::buildIpv4(kServer, address, kindOf(kind).protocol,
                                               kindOf(kind).payload(1, Way::Call)));
        };
        const Outcome own = call(kOlgas);
        QVERIFY(told(own.inside() && own.destination().address == kOlga, own));
        QVERIFY(bed.apply(engine::SetPassthrough{
            kindOf(kind).guardian, {.mode = engine::policy::PassthroughMode::Block}}));
        QVERIFY(call(kOlgas).silent());
        const Outcome shared = call(kExternal);
        QVERIFY(told(shared.inside() && shared.destination().address == kCarl, shared));
    }

    void restart_theTalkGoesOn_data() { addKinds(); }
    void restart_theTalkGoesOn()
    {
        QFETCH(const int, kind);
        Bed bed(withOwners());
        QVERIFY(forwardToCarl(bed, kindOf(kind).protocol));
        const std::array all{kOlgaToCarl, kAnnaToOlga, kDoraToOlga, kOlgaToDora};
        const std::size_t talking = kindOf(kind).tellsApart ? all.size() : 1;
        for (std::size_t i = 0; i < talking; ++i)
            QVERIFY(talks(bed, kindOf(kind), all[i]));
        const auto before = bed.engine().sessions(bed.now, {}).size();
        bed.restart();
        QCOMPARE(bed.engine().sessions(bed.now, {}).size(), before);
        // The answer first: what it needs has come back, not been learnt again.
        for (std::size_t i = 0; i < talking; ++i) {
            QVERIFY(isAnswered(bed, kindOf(kind), all[i]));
            QVERIFY(talks(bed, kindOf(kind), all[i]));
        }
    }

    void ruleTakenAway_endsWhatLeadsThere_andNoMore_data() { addKinds(); }
    // What leads to an address that changes hands ends with it, and is counted before.
    void ruleTakenAway_endsWhatLeadsThere_andNoMore()
    {
        QFETCH(const int, kind);
        const engine::policy::OneToOne doras{
            .id = 2, .internalAddress = kDora, .externalAddress = kDoras};
        for (const OnLive onLive : {OnLive::Drop, OnLive::Finish}) {
            Bed bed(withOwners());
            QVERIFY(talks(bed, kindOf(kind), kAnnaToOlga));
            QVERIFY(talks(bed, kindOf(kind), {8, kBert, kExternal, kDoras, kDora}));
            QVERIFY(talks(bed, kindOf(kind), kOlgaToDora));
            // With ports the owner's half ends.
            QVERIFY(bed.udpOut(at(kAnna, 5000), at(kOlgas, 5000)).inside());
            const auto before = bed.engine().sessions(bed.now, {}).size();
            const engine::SetOneToOnes wish{{doras}, onLive};
            const auto told = bed.engine().sessionsEndedBy(bed.now, wish);
            QVERIFY(told >= 3);
            QVERIFY(bed.apply(wish));
            const auto after = bed.engine().sessions(bed.now, {}).size();
            QCOMPARE(before - after, std::size_t{onLive == OnLive::Finish ? 0 : std::size_t{told}});
            // Nobody is at home there now.
            QVERIFY(!sends(bed, kindOf(kind), kAnna, kOlgas).inside());
            QVERIFY(!sends(bed, kindOf(kind), kOlga, kExternal, 1, Way::Answer).inside());
            QVERIFY(talks(bed, kindOf(kind), {8, kBert, kExternal, kDoras, kDora}));
        }
    }

    void addressGivenToAnother_leadsThereAtOnce_data() { addKinds(); }
    void addressGivenToAnother_leadsThereAtOnce()
    {
        QFETCH(const int, kind);
        Bed bed(withOwners());
        QVERIFY(talks(bed, kindOf(kind), kAnnaToOlga));
        QVERIFY(bed.apply(engine::SetOneToOnes{
            {{.id = 1, .internalAddress = kCarl, .externalAddress = kOlgas}}}));
        QVERIFY(talks(bed, kindOf(kind), {1, kAnna, kExternal, kOlgas, kCarl}));
    }

    void icmpErrors_reachWhoHasSentThePacket_data() { addKinds(); }
    // RFC 5508 REQ-7
    // RFC 5508 REQ-7a
    void icmpErrors_reachWhoHasSentThePacket()
    {
        QFETCH(const int, kind);
        const Kind& one = kindOf(kind);
        Bed bed(withOwners());
        QVERIFY(forwardToCarl(bed, one.protocol));
        const std::array several{kAnnaToOlga, kBertToOlga, kDoraToOlga, kOlgaToCarl, kAnnaToCarl};
        const auto all = std::span{several}.first(one.tellsApart ? several.size() : 1);
        for (const Talk& talk : all)
            QVERIFY(talks(bed, one, talk));
        const auto heard = [&](Ipv4Address reporter, Ipv4Address from, unsigned number, Way way,
                               Ipv4Address sender, Ipv4Address called, std::size_t octets) {
            Bytes about = wire::buildIpv4(from, reporter, one.protocol, one.payload(number, way));
            if (about.size() > octets) about.resize(octets);
            const Outcome outcome = bed.outbound(errorAbout(
                about, wire::IcmpType::Unreachable, wire::icmp_unreachable::kHost, 0, reporter));
            if (!told(outcome.inside(), outcome)) return false;
            Bytes packet = outcome.packet;
            const Bytes quote = quotedIn(packet);
            return told(view(packet).destination() == sender && isSound(packet) &&
                            Ipv4Address{wire::load32(quote, 12)} == sender &&
                            Ipv4Address{wire::load32(quote, 16)} == called &&
                            view(packet).source() == called,
                        outcome);
        };
        for (const Talk& talk : all) {
            for (const std::size_t octets : {std::size_t{1500}, std::size_t{28}}) {
                if (octets == 28 && !one.showsAtOnce && one.tellsApart) continue;
                QVERIFY(heard(talk.home, talk.shownAs, talk.number, Way::Call, talk.caller,
                              talk.called, octets));
                QVERIFY(heard(talk.caller, talk.called, talk.number, Way::Answer, talk.home,
                              talk.shownAs, octets));
            }
        }
        // Nobody has called Dora.
        const Outcome stray = bed.outbound(
            errorAbout(wire::buildIpv4(kExternal, kDora, one.protocol, one.payload(1, Way::Call)),
                       wire::IcmpType::Unreachable, wire::icmp_unreachable::kHost, 0, kDora));
        QVERIFY(told(stray.dropped(DropReason::IcmpNoMatch), stray));
    }

    void fragments_toAnOwner_inAnyOrder()
    {
        const Bytes large = wire::buildIpv4(Ipv4Address{10, 9, 0, 1}, Ipv4Address{10, 9, 1, 1},
                                            IpProtocol{253}, Bytes(2700, 0x5a));
        std::vector<std::size_t> order{0, 1, 2};
        std::uint16_t id = 100;
        do {
            Bed bed(withOwners());
            Bytes whole = wire::buildIpv4(kAnna, kOlgas, IpProtocol::IpIp, large,
                                          {.identification = ++id, .dontFragment = false});
            const auto pieces = wire::fragmentIpv4(view(whole), 1000);
            QCOMPARE(pieces.size(), order.size());
            std::vector<Bytes> sent;
            for (const std::size_t i : order)
                sent.push_back(pieces[i]);
            const auto left = passed(bed, PortId::Internal, sent);
            QCOMPARE(left.size(), std::size_t{3});
            Bytes got = joined(left);
            QVERIFY(!got.empty());
            QVERIFY(sourceOf(got).address == kExternal);
            QVERIFY(destinationOf(got).address == kOlga);
            QVERIFY(std::ranges::equal(view(got).payload(), large));
        } while (std::next_permutation(order.begin(), order.end()));
    }
};

QTEST_APPLESS_MAIN(PortlessHomeTest)
#include "portless_home_test.moc"
