#include "engine/lab/pptp_message.h"
#include "engine/wire/fragmenter.h"

#include <algorithm>
#include <optional>
#include <tuple>
#include <utility>

#include "tests/engine/compliance/bed.h"

using namespace bed;
namespace net = engine::net;
namespace pptp = engine::lab::pptp;

namespace {

constexpr Ipv4Address kCarl{192, 0, 2, 12};  ///< the server inside

void forwardTo(Bed& bed, Ipv4Address device, IpProtocol protocol, unsigned port = 0,
               bool loops = true)
{
    engine::policy::PortForward forward;
    forward.id = 1;
    forward.protocol = protocol;
    forward.externalPorts = range(port, port);
    forward.internalAddress = device;
    forward.internalFirst = Port{static_cast<std::uint16_t>(port)};
    forward.hairpin = loops;
    QVERIFY(bed.apply(engine::SetPortForwards{{forward}}));
}

Bytes packet(Ipv4Address source, Ipv4Address destination, IpProtocol protocol, const Bytes& payload)
{
    return wire::buildIpv4(source, destination, protocol, payload);
}

/// What IPIP carries: from one address of the tunnel's network to another.
Bytes inner(unsigned source, unsigned destination, std::size_t size = 8)
{
    return wire::buildIpv4(Ipv4Address{10, 9, 0, static_cast<std::uint8_t>(source)},
                           Ipv4Address{10, 9, 0, static_cast<std::uint8_t>(destination)},
                           IpProtocol{253}, Bytes(size, 0x5a));
}

/// The opening message of an L2TPv3 control connection, which assigns `id` (RFC 3931 §6.1).
Bytes l2tpControl(std::uint8_t type, std::uint8_t peer, std::uint8_t id)
{
    return {0,    0,    0, 0, 0xc8, 0x03, 0, 30,   0, 0,
            0,    peer, 0, 0, 0,    0,                      // to `peer`, Ns 0, Nr 0
            0x80, 8,    0, 0, 0,    0,    0, type,          // message type
            0x80, 10,   0, 0, 0,    61,   0, 0,    0, id};  // assigned control connection ID
}

Bytes l2tpData(std::uint8_t session)
{
    return {0, 0, 0, session, 1, 2, 3, 4, 5, 6, 7, 8};
}

bool isFromTo(const Outcome& outcome, Ipv4Address from, Ipv4Address to)
{
    Bytes bytes = outcome.packet;
    const auto ip = view(bytes);
    return told(outcome.inside() && ip.source() == from && ip.destination() == to, outcome);
}

Bytes payloadOf(Bytes whole)
{
    const auto bytes = view(whole).payload();
    return {bytes.begin(), bytes.end()};
}

/// `whole` in three fragments, in that order.
std::vector<Bytes> inPieces(const Bytes& payload, Ipv4Address source, Ipv4Address destination,
                            IpProtocol protocol, std::uint16_t id,
                            const std::vector<std::size_t>& order)
{
    Bytes whole = wire::buildIpv4(source, destination, protocol, payload,
                                  {.identification = id, .dontFragment = false});
    const auto pieces = wire::fragmentIpv4(view(whole), 1000);
    if (pieces.size() != order.size()) return {};
    std::vector<Bytes> sent;
    for (const std::size_t i : order)
        sent.push_back(pieces[i]);
    return sent;
}

/// The number that stands outside for a call whose device has called it 1; zero: it failed.
std::uint16_t dial(Connection& control, std::uint16_t serversNumber)
{
    constexpr std::uint8_t kData = flag::kAck | flag::kPsh;
    const bool ready = control.open() && control.out(kData, pptp::startRequest()).outside() &&
                       control.in(kData, pptp::startReply(1)).inside();
    if (!ready) return 0;
    const Outcome request = control.out(kData, pptp::outgoingCallRequest(1, 0, ""));
    if (!request.outside()) return 0;
    const std::uint16_t number = wire::load16(request.packet, 40 + 12);
    const Outcome reply = control.in(kData, pptp::outgoingCallReply(serversNumber, number, 1));
    return reply.inside() ? number : std::uint16_t{0};
}

/// A control connection of PPTP to an external address that leads to another device inside.
struct LoopedControl {
    Bed& bed;
    Endpoint client;
    Endpoint called;
    Ipv4Address home;
    Endpoint shownAs{};
    std::uint32_t clients = 1000;  ///< the next sequence numbers
    std::uint32_t homes = 9000;

    Outcome out(std::uint8_t flags, const Bytes& payload)
    {
        const std::uint32_t sequence = clients;
        clients += static_cast<std::uint32_t>(payload.size()) + (flags == flag::kSyn ? 1U : 0U);
        return bed.outbound(wire::buildTcp({.source = client,
                                            .destination = called,
                                            .flags = flags,
                                            .sequence = sequence,
                                            .acknowledgement = flags == flag::kSyn ? 0U : homes},
                                           payload));
    }
    Outcome in(std::uint8_t flags, const Bytes& payload)
    {
        const std::uint32_t sequence = homes;
        homes += static_cast<std::uint32_t>(payload.size()) + ((flags & flag::kSyn) != 0 ? 1U : 0U);
        return bed.outbound(wire::buildTcp({.source = at(home, 1723),
                                            .destination = shownAs,
                                            .flags = flags,
                                            .sequence = sequence,
                                            .acknowledgement = clients},
                                           payload));
    }
    /// What each side has to send by: the caller's number at home, home's number at the caller.
    std::optional<std::pair<std::uint16_t, std::uint16_t>> dial(std::uint16_t own,
                                                                std::uint16_t theirs)
    {
        constexpr std::uint8_t kData = flag::kAck | flag::kPsh;
        const Outcome syn = out(flag::kSyn, {});
        if (!told(syn.inside() && syn.destination() == at(home, 1723), syn)) return std::nullopt;
        shownAs = syn.source();
        if (!in(flag::kSyn | flag::kAck, {}).inside() || !out(flag::kAck, {}).inside() ||
            !out(kData, pptp::startRequest()).inside() ||
            !in(kData, pptp::startReply(1)).inside()) {
            return std::nullopt;
        }
        const Outcome request = out(kData, pptp::outgoingCallRequest(own, 0, ""));
        if (!told(request.inside(), request)) return std::nullopt;
        const std::uint16_t callers = wire::load16(request.packet, 40 + 12);
        const Outcome reply = in(kData, pptp::outgoingCallReply(theirs, callers, 1));
        if (!told(reply.inside() && wire::load16(reply.packet, 40 + 14) == own, reply)) {
            return std::nullopt;
        }
        return std::pair{callers, wire::load16(reply.packet, 40 + 12)};
    }
};

}  // namespace

/// Port-less packets that turn round at the router, and those that come in pieces.
class PortlessHairpinTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void l2tpOverIp_twoDevicesAndAServerInside_talk()
    {
        Bed bed;
        forwardTo(bed, kCarl, IpProtocol::L2tpV3);
        const auto calls = [&](Ipv4Address device, std::uint8_t own, std::uint8_t theirs) {
            return isFromTo(bed.outbound(packet(device, kExternal, IpProtocol::L2tpV3,
                                                l2tpControl(1, 0, own))),
                            kExternal, kCarl) &&
                   isFromTo(bed.outbound(packet(kCarl, kExternal, IpProtocol::L2tpV3,
                                                l2tpControl(2, own, theirs))),
                            kExternal, device) &&
                   isFromTo(bed.outbound(packet(device, kExternal, IpProtocol::L2tpV3,
                                                l2tpControl(3, theirs, own))),
                            kExternal, kCarl);
        };
        QVERIFY(calls(kAnna, 7, 21));
        QVERIFY(calls(kBert, 8, 22));
        // And again, now that every number is known.
        QVERIFY(calls(kAnna, 7, 21));
        QCOMPARE(bed.engine().snapshot(bed.now).counters.hairpinned.packets, std::uint64_t{9});
    }

    void l2tpOverIp_dataOfOneDevice_travelsBothWays()
    {
        Bed bed;
        forwardTo(bed, kCarl, IpProtocol::L2tpV3);
        for (int i = 0; i < 3; ++i) {
            QVERIFY(
                isFromTo(bed.outbound(packet(kAnna, kExternal, IpProtocol::L2tpV3, l2tpData(21))),
                         kExternal, kCarl));
            QVERIFY(
                isFromTo(bed.outbound(packet(kCarl, kExternal, IpProtocol::L2tpV3, l2tpData(7))),
                         kExternal, kAnna));
        }
    }

    void etherIp_travelsBothWays()
    {
        Bed bed;
        forwardTo(bed, kCarl, IpProtocol::EtherIp);
        const Bytes frame{0x30, 0, 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 1, 2, 3, 4};
        for (int i = 0; i < 3; ++i) {
            QVERIFY(isFromTo(bed.outbound(packet(kAnna, kExternal, IpProtocol::EtherIp, frame)),
                             kExternal, kCarl));
            QVERIFY(isFromTo(bed.outbound(packet(kCarl, kExternal, IpProtocol::EtherIp, frame)),
                             kExternal, kAnna));
        }
        // A second device has nothing to be told apart by, as at a server outside.
        QVERIFY(bed.outbound(packet(kBert, kExternal, IpProtocol::EtherIp, frame))
                    .dropped(DropReason::OneClientPerServer));
    }

    void authenticationHeader_isRefusedByName()
    {
        EngineConfig config = usual();
        config.external.addresses = {kExternal, kSecondExternal};
        config.oneToOnes = {
            {.id = 1, .internalAddress = kCarl, .externalAddress = kSecondExternal}};
        Bed bed(config);
        const Outcome outcome =
            bed.outbound(packet(kAnna, kSecondExternal, IpProtocol::Ah, Bytes(24)));
        QVERIFY(told(outcome.dropped(DropReason::AhUntranslatable), outcome));
    }

    void hairpinning_switchedOff_leavesThePacketToTheRouter()
    {
        for (const bool general : {true, false}) {
            EngineConfig config = usual();
            config.nat.hairpinning = !general;
            Bed bed{config};
            forwardTo(bed, kCarl, IpProtocol::IpIp, 0, general);
            QVERIFY(bed.outbound(packet(kAnna, kExternal, IpProtocol::IpIp, inner(1, 0))).toHost());
        }
    }

    void withoutAForward_thePacketIsTheRouters()
    {
        Bed bed;
        for (const IpProtocol protocol : {IpProtocol::IpIp, IpProtocol::Esp, IpProtocol::Gre}) {
            QVERIFY(bed.outbound(packet(kAnna, kExternal, protocol, Bytes(24, 1))).toHost());
        }
    }

    void blockedServer_isNotReached()
    {
        Bed bed;
        forwardTo(bed, kCarl, IpProtocol::IpIp);
        engine::policy::DeviceRule rule;
        rule.id = 1;
        rule.address = kCarl;
        rule.access = engine::policy::DeviceAccess::Block;
        QVERIFY(bed.apply(engine::SetDeviceRules{{rule}}));
        const Outcome inside =
            bed.outbound(packet(kAnna, kExternal, IpProtocol::IpIp, inner(1, 0)));
        QVERIFY(told(inside.dropped(DropReason::DeniedByPolicy), inside));
        const Outcome outside =
            bed.inbound(packet(kServer, kExternal, IpProtocol::IpIp, inner(1, 0)));
        QVERIFY(told(outside.dropped(DropReason::DeniedByPolicy), outside));
    }

    // Two devices use one server: what they send to each other's inner address is the server's to
    // pass on, as it would be outside.
    void innerAddressOfAnotherDevice_stillGoesToTheServer()
    {
        Bed bed;
        forwardTo(bed, kCarl, IpProtocol::IpIp);
        QVERIFY(bed.outbound(packet(kAnna, kExternal, IpProtocol::IpIp, inner(1, 9))).inside());
        QVERIFY(bed.outbound(packet(kBert, kExternal, IpProtocol::IpIp, inner(2, 9))).inside());
        QVERIFY(isFromTo(bed.outbound(packet(kAnna, kExternal, IpProtocol::IpIp, inner(1, 2))),
                         kExternal, kCarl));
        QVERIFY(isFromTo(bed.outbound(packet(kCarl, kExternal, IpProtocol::IpIp, inner(1, 2))),
                         kExternal, kBert));
    }

    void whatADeviceSends_neverComesBackToIt()
    {
        Bed bed;
        forwardTo(bed, kCarl, IpProtocol::IpIp);
        QVERIFY(bed.outbound(packet(kAnna, kExternal, IpProtocol::IpIp, inner(1, 9))).inside());
        // Anna becomes the server, and what she sends fits her own session.
        forwardTo(bed, kAnna, IpProtocol::IpIp);
        const Outcome own = bed.outbound(packet(kAnna, kExternal, IpProtocol::IpIp, inner(1, 1)));
        QVERIFY(told(own.dropped(DropReason::HairpinLoop), own));
    }

    // The session lives on, but whom it led to does not answer any more.
    void forwardTakenAway_nothingTravelsOn()
    {
        const Bytes greWithKey{0x20, 0, 8, 0, 0, 0, 0, 5, 1, 2, 3, 4};
        for (const auto& [protocol, payload] :
             {std::pair{IpProtocol::IpIp, inner(1, 9)}, std::pair{IpProtocol::Gre, greWithKey}}) {
            Bed bed;
            forwardTo(bed, kCarl, protocol);
            QVERIFY(bed.outbound(packet(kAnna, kExternal, protocol, payload)).inside());
            QVERIFY(bed.apply(engine::SetPortForwards{}));
            const Outcome outcome = bed.outbound(packet(kAnna, kExternal, protocol, payload));
            QVERIFY(told(outcome.dropped(DropReason::NoMapping), outcome));
            // Not even to somebody whom it would fit.
            if (protocol == IpProtocol::IpIp) {
                forwardTo(bed, kCarl, protocol);
                QVERIFY(bed.outbound(packet(kBert, kExternal, protocol, inner(2, 9))).inside());
                QVERIFY(bed.apply(engine::SetPortForwards{}));
                const Outcome other = bed.outbound(packet(kAnna, kExternal, protocol, inner(1, 2)));
                QVERIFY(told(other.dropped(DropReason::NoMapping), other));
            }
        }
    }

    void fragments_hairpinned_inEveryOrder()
    {
        std::vector<std::size_t> order{0, 1, 2};
        std::uint16_t id = 100;
        const Bytes payload = inner(1, 9, 2700);
        do {
            Bed bed;
            forwardTo(bed, kCarl, IpProtocol::IpIp);
            const auto left =
                passed(bed, PortId::Internal,
                       inPieces(payload, kAnna, kExternal, IpProtocol::IpIp, ++id, order));
            QCOMPARE(left.size(), std::size_t{3});
            const Bytes whole = joined(left);
            QVERIFY(!whole.empty());
            QVERIFY(payloadOf(whole) == payload);
            QVERIFY(sourceOf(whole).address == kExternal);
            QVERIFY(destinationOf(whole).address == kCarl);
        } while (std::next_permutation(order.begin(), order.end()));
    }

    // The Call ID stands in the first fragment only, which may be the last to come.
    void greFragments_ofAPptpCall_inEveryOrderBothWays()
    {
        std::vector<std::size_t> order{0, 1, 2};
        do {
            Bed bed;
            // Another call has taken the number, so that Bert's has to be replaced.
            Connection annas{bed, at(kAnna, 5000), at(kServer, 1723)};
            QVERIFY(dial(annas, 1) != 0);
            Connection berts{bed, at(kBert, 5000), at(kServer, 1723)};
            const std::uint16_t number = dial(berts, 2);
            QVERIFY(number > 1);

            const Bytes frame(2700, 0x21);
            const auto out =
                passed(bed, PortId::Internal,
                       inPieces(pptp::encode({.callId = 2, .sequence = 0, .payload = frame}), kBert,
                                kServer, IpProtocol::Gre, 7, order));
            const Bytes sent = joined(out);
            QVERIFY(!sent.empty());
            QVERIFY(sourceOf(sent).address == kExternal);
            const auto in =
                passed(bed, PortId::External,
                       inPieces(pptp::encode({.callId = number, .sequence = 0, .payload = frame}),
                                kServer, kExternal, IpProtocol::Gre, 8, order));
            const Bytes got = joined(in);
            QVERIFY(!got.empty());
            QVERIFY(destinationOf(got).address == kBert);
            QVERIFY(payloadOf(got) == pptp::encode({.callId = 1, .sequence = 0, .payload = frame}));
        } while (std::next_permutation(order.begin(), order.end()));
    }

    // RFC 4787 REQ-9
    void pptp_ownersOfAddressesCallEachOther_withTheSameNumbers()
    {
        constexpr Ipv4Address kOlga{192, 0, 2, 20};
        constexpr Ipv4Address kDora{192, 0, 2, 21};
        constexpr Ipv4Address kDoras{203, 0, 113, 3};
        EngineConfig config = usual();
        config.external.addresses = {kExternal, kSecondExternal, kDoras};
        config.oneToOnes = {{.id = 1, .internalAddress = kOlga, .externalAddress = kSecondExternal},
                            {.id = 2, .internalAddress = kDora, .externalAddress = kDoras}};
        Bed bed(config);
        struct Call {
            LoopedControl control;
            std::uint16_t caller;
            std::uint16_t home;
        };
        std::vector<Call> calls;
        for (const LoopedControl& control :
             {LoopedControl{bed, at(kOlga, 5000), at(kDoras, 1723), kDora},
              LoopedControl{bed, at(kDora, 5000), at(kSecondExternal, 1723), kOlga},
              LoopedControl{bed, at(kAnna, 5000), at(kDoras, 1723), kDora},
              LoopedControl{bed, at(kBert, 5000), at(kDoras, 1723), kDora}}) {
            Call call{control, 0, 0};
            const auto numbers = call.control.dial(1, static_cast<std::uint16_t>(1 + calls.size()));
            QVERIFY(numbers.has_value());
            std::tie(call.caller, call.home) = *numbers;
            calls.push_back(call);
        }
        const auto frame = [](std::uint16_t call, std::uint32_t sequence) {
            return pptp::encode({.callId = call, .sequence = sequence, .payload = Bytes(50, 0x21)});
        };
        for (std::uint32_t sequence = 0; sequence < 3; ++sequence) {
            std::uint16_t theirs = 0;
            for (const Call& call : calls) {
                const Ipv4Address called = call.control.called.address;
                const Ipv4Address shownAs = call.control.shownAs.address;
                const Outcome there =
                    bed.outbound(packet(call.control.client.address, called, IpProtocol::Gre,
                                        frame(call.home, sequence)));
                QVERIFY(isFromTo(there, shownAs, call.control.home));
                QVERIFY(payloadOf(there.packet) == frame(++theirs, sequence));
                const Outcome back = bed.outbound(packet(
                    call.control.home, shownAs, IpProtocol::Gre, frame(call.caller, sequence)));
                QVERIFY(isFromTo(back, called, call.control.client.address));
                QVERIFY(payloadOf(back.packet) == frame(1, sequence));
            }
        }
    }

    // Only the server's half is helped: what comes too early waits behind the client's half.
    void controlSegmentOutOfOrder_isHeldInTheSecondHalf()
    {
        Bed bed;
        forwardTo(bed, kCarl, IpProtocol::Tcp, 1723);
        engine::policy::PassthroughSwitch position;
        position.exceptions.push_back(
            {.device = net::Prefix{kAnna, 32}, .mode = engine::policy::PassthroughMode::Plain});
        QVERIFY(bed.apply(engine::SetPassthrough{net::VpnProtocol::Pptp, position}));
        const auto segment = [](std::uint8_t flags, std::uint32_t sequence, const Bytes& payload) {
            return wire::buildTcp({.source = at(kAnna, 5000),
                                   .destination = at(kExternal, 1723),
                                   .flags = flags,
                                   .sequence = sequence,
                                   .acknowledgement = flags == flag::kSyn ? 0U : 701U},
                                  payload);
        };
        const Outcome syn = bed.outbound(segment(flag::kSyn, 100, {}));
        QVERIFY(isFromTo(syn, kExternal, kCarl));
        QVERIFY(isFromTo(bed.outbound(wire::buildTcp({.source = at(kCarl, 1723),
                                                      .destination = syn.source(),
                                                      .flags = flag::kSyn | flag::kAck,
                                                      .sequence = 700,
                                                      .acknowledgement = 101})),
                         kExternal, kAnna));
        QVERIFY(bed.outbound(segment(flag::kAck, 101, {})).inside());
        const Bytes message = pptp::startRequest();
        const Bytes echo = pptp::echoRequest(5);
        const auto size = static_cast<std::uint32_t>(message.size());
        QVERIFY(bed.outbound(segment(flag::kAck, 101, message)).inside());
        const Bytes head(echo.begin(), echo.begin() + 6);
        const Bytes tail(echo.begin() + 6, echo.end());
        const Outcome early = bed.outbound(segment(flag::kAck, 101 + size + 6, tail));
        QVERIFY2(early.verdict.kind == Verdict::Kind::Hold, early.what().c_str());
        const Outcome late = bed.outbound(segment(flag::kAck, 101 + size, head));
        QVERIFY(isFromTo(late, kExternal, kCarl));
        QCOMPARE(late.made.size(), std::size_t{1});
        QVERIFY(late.made[0].egress == PortId::Internal);
        QVERIFY(isSound(late.made[0].bytes));
        QVERIFY(destinationOf(late.made[0].bytes) == at(kCarl, 1723));
        QVERIFY(sourceOf(late.made[0].bytes) == syn.source());
    }
};

QTEST_APPLESS_MAIN(PortlessHairpinTest)
#include "portless_hairpin_test.moc"
