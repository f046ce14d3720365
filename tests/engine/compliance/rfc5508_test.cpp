#include "engine/wire/fragmenter.h"

#include <QtTest>

#include "tests/engine/compliance/bed.h"

/// RFC 5508: NAT behavioural requirements for ICMP; and forged errors (RFC 5927).

using namespace bed;

namespace {

/// The ICMP checksum is made right again after a test has changed the message.
void mend(Bytes& packet)
{
    const auto icmp = view(packet).payload();
    wire::store16(icmp, 2, 0);
    wire::ChecksumSum sum;
    sum.add(icmp);
    wire::store16(icmp, 2, sum.checksum());
}

/// An error about `offending`, with what follows the quoted packet.
Bytes errorWith(const Bytes& quoted, const Bytes& behind, std::uint32_t rest,
                wire::IcmpType type = wire::IcmpType::Unreachable, std::uint8_t code = 1)
{
    Bytes message(8);
    message[0] = static_cast<std::uint8_t>(type);
    message[1] = code;
    wire::store32(message, 4, rest);
    message.insert(message.end(), quoted.begin(), quoted.end());
    message.insert(message.end(), behind.begin(), behind.end());
    Bytes offending = quoted;
    Bytes packet = wire::buildIpv4(kOnTheWay, view(offending).source(), IpProtocol::Icmp, message);
    mend(packet);
    return packet;
}

std::uint8_t typeOf(Bytes packet)
{
    return view(packet).payload()[0];
}
std::uint8_t codeOf(Bytes packet)
{
    return view(packet).payload()[1];
}

EngineConfig withOneToOnes()
{
    EngineConfig config = usual();
    config.external.addresses = {kExternal, kSecondExternal, Ipv4Address{203, 0, 113, 3}};
    config.oneToOnes = {
        {.id = 1, .internalAddress = kAnna, .externalAddress = kSecondExternal},
        {.id = 2, .internalAddress = kBert, .externalAddress = Ipv4Address{203, 0, 113, 3}}};
    return config;
}

}  // namespace

class Rfc5508Test : public QObject {
    Q_OBJECT

private Q_SLOTS:
    // RFC 5508 REQ-1
    void ping_fromInside_isAnswered()
    {
        Bed bed;
        for (std::uint16_t id = 0; id < 50; ++id) {
            const auto sent = bed.pingOut(kAnna, kServer, id);
            QVERIFY(told(sent.outside(), sent));
            QCOMPARE(sent.source().address, kExternal);
            const auto answer = bed.pingReplyIn(kServer, sent.source());
            QVERIFY(told(answer.inside() && answer.destination() == at(kAnna, id), answer));
        }
    }

    // RFC 5508 REQ-1: two devices with one identifier towards one host.
    void ping_ofTwoDevicesWithOneIdentifier_isNotMixed()
    {
        Bed bed;
        const auto anna = bed.pingOut(kAnna, kServer, 7).source();
        const auto bert = bed.pingOut(kBert, kServer, 7).source();
        QVERIFY(anna != bert);
        QVERIFY(bed.pingReplyIn(kServer, anna).destination() == at(kAnna, 7));
        QVERIFY(bed.pingReplyIn(kServer, bert).destination() == at(kBert, 7));
    }

    // RFC 5508 REQ-1a
    void queryIdentifier_towardsManyHosts_isTheSame()
    {
        Bed bed;
        const auto first = bed.pingOut(kAnna, kServer, 7).source();
        for (unsigned i = 0; i < 50; ++i)
            QVERIFY(bed.pingOut(kAnna, host(0x10000 + i), 7).source() == first);
    }

    // RFC 5508 REQ-2
    void querySession_idleForSixtySeconds_expiresAndNotBefore()
    {
        for (const bool late : {false, true}) {
            Bed bed;
            const auto external = bed.pingOut(kAnna, kServer, 7).source();
            bed.leap(late ? Duration{60s} : Duration{60s} - 1us);
            const auto outcome = bed.pingReplyIn(kServer, external);
            QVERIFY(told(outcome.inside() == !late, outcome));
        }
    }

    // RFC 5508 REQ-2a
    void queryTimer_byCommand_isFollowedButNeverBelowSixtySeconds()
    {
        Bed bed;
        auto config = usual().nat;
        config.timers.icmpQuery = 5min;
        QVERIFY(bed.apply(engine::SetNat{config}).has_value());
        const auto external = bed.pingOut(kAnna, kServer, 7).source();
        bed.pass(5min - 1us);
        QVERIFY(bed.pingReplyIn(kServer, external).inside());
        config.timers.icmpQuery = 60s - 1ns;
        QVERIFY(!bed.apply(engine::SetNat{config}));
    }

    // RFC 5508 REQ-3
    void icmpError_withAWrongChecksum_isDropped()
    {
        Bed bed;
        const auto sent = bed.udpOut(at(kAnna, 5000), at(kServer, 53));
        Bytes error = errorAbout(sent.packet);
        view(error).payload()[2] ^= 0x40U;
        const auto outcome = bed.inbound(error);
        QVERIFY(told(outcome.dropped(DropReason::BadIcmpChecksum) && outcome.silent(), outcome));
    }

    // RFC 5508 REQ-3a
    void icmpError_withAWrongChecksumInside_isDropped()
    {
        Bed bed;
        Bytes quoted = bed.udpOut(at(kAnna, 5000), at(kServer, 53)).packet;
        quoted[10] ^= 0x40U;
        const auto outcome = bed.inbound(errorWith(quoted, {}, 0));
        QVERIFY(told(outcome.silent(), outcome));
        // Seen passing when it is right.
        quoted[10] ^= 0x40U;
        QVERIFY(bed.inbound(errorWith(quoted, {}, 0)).inside());
    }

    // RFC 5508 REQ-3b
    void icmpError_aboutAPacketWithOptions_findsThePortsBehindThem()
    {
        Bed bed;
        const Bytes options{7, 7, 4, 0, 0, 0, 0, 0};  // record route
        const auto sent =
            bed.udpOut(at(kAnna, 5000), at(kServer, 53), text("data"), {.options = options});
        QVERIFY(told(sent.outside(), sent));
        const auto outcome = bed.inbound(errorAbout(sent.packet));
        QVERIFY(told(outcome.inside(), outcome));
        const Bytes quoted = quotedIn(outcome.packet);
        QCOMPARE(Ipv4Address{wire::load32(quoted, 12)}, kAnna);
        QCOMPARE(wire::load16(quoted, 28), std::uint16_t{5000});
    }

    // RFC 5508 REQ-3c
    void icmpError_withAWrongTransportChecksumInside_isPassedOn()
    {
        Bed bed;
        Bytes quoted = bed.udpOut(at(kAnna, 5000), at(kServer, 53)).packet;
        quoted[26] ^= 0x55U;
        QVERIFY(bed.inbound(errorWith(quoted, {}, 0)).inside());
    }

    // RFC 5508 REQ-3d
    void icmpError_withExtensions_keepsThemAsTheyAre()
    {
        Bed bed;
        Bytes quoted = bed.udpOut(at(kAnna, 5000), at(kServer, 53), Bytes(100, 'q')).packet;
        const std::size_t real = quoted.size();
        quoted.resize(128 + 4);  // RFC 4884: zero padded, length in words
        Bytes extension{0x20, 0, 0, 0, 0, 8, 1, 1, 0xaa, 0xbb, 0xcc, 0xdd};
        wire::ChecksumSum sum;
        sum.add(extension);
        wire::store16(extension, 2, sum.checksum());
        const auto words = static_cast<std::uint32_t>(quoted.size() / 4);
        const auto outcome =
            bed.inbound(errorWith(quoted, extension, words << 16, wire::IcmpType::TimeExceeded, 0));
        QVERIFY(told(outcome.inside(), outcome));
        const Bytes after = quotedIn(outcome.packet);
        QCOMPARE(after.size(), quoted.size() + extension.size());
        QVERIFY(std::equal(after.end() - 12, after.end(), extension.begin()));
        // The quoted packet is again what the device has sent, checksum included.
        Bytes inner(after.begin(), after.begin() + static_cast<std::ptrdiff_t>(real));
        QVERIFY(isSound(inner));
        QVERIFY(sourceOf(inner) == at(kAnna, 5000));
    }

    // RFC 5508 REQ-4
    void icmpErrorFromOutside_withoutASession_isDroppedSilently()
    {
        Bed bed;
        bed.udpOut(at(kAnna, 5000), at(kServer, 53));
        for (const auto& quoted :
             {wire::buildUdp(at(kExternal, 40000), at(kServer, 53), text("x")),
              wire::buildTcp({.source = at(kExternal, 40000), .destination = at(kServer, 80)}),
              wire::buildIcmpQuery(
                  {.source = kExternal, .destination = kServer, .identifier = 40000})}) {
            const auto outcome = bed.inbound(errorAbout(quoted));
            QVERIFY(told(outcome.silent(), outcome));
        }
    }

    // RFC 5508 REQ-4
    void icmpErrorFromOutside_aboutEveryProtocol_isRestoredToTheInternalForm()
    {
        Bed bed;
        const auto udp = bed.udpOut(at(kAnna, 5000), at(kServer, 53));
        const auto tcp = bed.synOut(at(kAnna, 5000), at(kServer, 80));
        const auto ping = bed.pingOut(kAnna, kServer, 5000);
        for (const auto* sent : {&udp, &tcp, &ping}) {
            for (const auto type : {wire::IcmpType::Unreachable, wire::IcmpType::TimeExceeded,
                                    wire::IcmpType::ParameterProblem}) {
                const auto outcome = bed.inbound(errorAbout(sent->packet, type, 1));
                QVERIFY(told(outcome.inside(), outcome));
                // a: the embedded packet, b: type and code, c: the outer destination.
                Bytes inner = quotedIn(outcome.packet);
                QVERIFY(isSound(inner));
                QVERIFY(sourceOf(inner) == at(kAnna, 5000));
                QCOMPARE(typeOf(outcome.packet), static_cast<std::uint8_t>(type));
                QCOMPARE(codeOf(outcome.packet), std::uint8_t{1});
                Bytes outer = outcome.packet;
                QCOMPARE(view(outer).destination(), kAnna);
                QCOMPARE(ttlOf(outcome.packet), std::uint8_t{63});
            }
        }
    }

    // RFC 5508 REQ-5
    void icmpErrorFromInside_withoutASession_isDroppedSilently()
    {
        Bed bed;
        const auto outcome =
            bed.outbound(errorAbout(wire::buildUdp(at(kServer, 53), at(kAnna, 5000), text("x")),
                                    wire::IcmpType::Unreachable, 3, 0, kAnna));
        QVERIFY(told(outcome.silent(), outcome));
    }

    // RFC 5508 REQ-5
    void icmpErrorFromInside_aboutADeliveredPacket_namesTheExternalEndpoint()
    {
        Bed bed;
        const auto external = bed.udpOut(at(kAnna, 5000), at(kServer, 53)).source();
        const auto delivered = bed.udpIn(at(kServer, 53), external);
        const auto outcome =
            bed.outbound(errorAbout(delivered.packet, wire::IcmpType::Unreachable, 3, 0, kAnna));
        QVERIFY(told(outcome.outside(), outcome));
        QVERIFY(quotedDestination(outcome.packet) == external);
        QVERIFY(quotedSource(outcome.packet) == at(kServer, 53));
        Bytes outer = outcome.packet;
        QCOMPARE(view(outer).destination(), kServer);
        QCOMPARE(codeOf(outcome.packet), std::uint8_t{3});
    }

    // RFC 5508 REQ-5c
    void icmpErrorFromInside_ofAnotherRouterInside_comesFromOurAddress()
    {
        Bed bed;
        const auto external = bed.udpOut(at(kAnna, 5000), at(kServer, 53)).source();
        const auto delivered = bed.udpIn(at(kServer, 53), external);
        const auto outcome = bed.outbound(
            errorAbout(delivered.packet, wire::IcmpType::TimeExceeded, 0, 0, host(99)));
        QVERIFY(told(outcome.outside(), outcome));
        Bytes outer = outcome.packet;
        QCOMPARE(view(outer).source(), kExternal);
    }

    // RFC 5508 REQ-5c: with Basic NAT the reporter keeps its own public address.
    void icmpErrorFromInside_ofAOneToOneDevice_comesFromItsOwnAddress()
    {
        Bed bed(withOneToOnes());
        const auto sent = bed.udpOut(at(kAnna, 5000), at(kServer, 53));
        QVERIFY(sent.source() == at(kSecondExternal, 5000));
        const auto delivered = bed.udpIn(at(kServer, 53), sent.source());
        const auto outcome =
            bed.outbound(errorAbout(delivered.packet, wire::IcmpType::Unreachable, 3, 0, kAnna));
        QVERIFY(told(outcome.outside(), outcome));
        Bytes outer = outcome.packet;
        QCOMPARE(view(outer).source(), kSecondExternal);
    }

    // RFC 5508 REQ-6
    void icmpErrorAboutAQuery_neitherRefreshesNorEndsIt()
    {
        Bed bed;
        const auto sent = bed.pingOut(kAnna, kServer, 7);
        bed.pass(50s);
        QVERIFY(bed.inbound(errorAbout(sent.packet)).inside());
        QVERIFY(bed.inbound(errorAbout(sent.packet)).inside());
        QCOMPARE(bed.sessions(), std::size_t{1});
        bed.leap(10s);
        QVERIFY(!bed.pingReplyIn(kServer, sent.source()).inside());
    }

    // RFC 5508 REQ-7
    void ping_betweenOneToOneAddresses_isHairpinned()
    {
        Bed bed(withOneToOnes());
        const auto sent = bed.pingOut(kAnna, Ipv4Address{203, 0, 113, 3}, 7);
        QVERIFY(told(sent.inside(), sent));
        QCOMPARE(sent.source().address, kSecondExternal);
        QCOMPARE(sent.destination().address, kBert);
        const auto reply =
            bed.outbound(wire::buildIcmpQuery({.source = kBert,
                                               .destination = kSecondExternal,
                                               .type = wire::IcmpType::EchoReply,
                                               .identifier = sent.source().port.hostOrder()}));
        QVERIFY(told(reply.inside(), reply));
        QVERIFY(reply.destination() == at(kAnna, 7));
        QCOMPARE(reply.source().address, (Ipv4Address{203, 0, 113, 3}));
    }

    // RFC 5508 REQ-7: a ping of the shared address is the router's own.
    void ping_ofTheSharedAddress_isTheHosts()
    {
        Bed bed;
        QVERIFY(bed.pingOut(kAnna, kExternal, 7).toHost());
    }

    // Answers that path MTU discovery can change tell that devices share the address.
    void ping_fromOutside_ofTheSharedAddress_isTheHostsIfItIsSmall()
    {
        using engine::nat::kLargestSmallPing;
        using engine::nat::PingsFromOutside;
        const auto echo = [](std::size_t total, Ipv4Address to = kExternal) {
            return wire::buildIcmpQuery({.source = kServer, .destination = to, .identifier = 9},
                                        Bytes(total - 28, 'p'));
        };
        const auto beginning = [&](std::size_t total) {
            Bytes whole = echo(total);
            return wire::fragmentIpv4(view(whole), 512).front();
        };
        Bed bed(withOneToOnes());
        QVERIFY(bed.inbound(echo(84)).toHost());
        QVERIFY(bed.inbound(echo(kLargestSmallPing)).toHost());
        for (const Bytes& large : {echo(kLargestSmallPing + 1), echo(1500), beginning(540)}) {
            const auto outcome = bed.inbound(large);
            QVERIFY(
                told(outcome.dropped(DropReason::PingNotAnswered) && outcome.silent(), outcome));
        }
        QCOMPARE(bed.drops(DropReason::PingNotAnswered), 3U);
        // Whose address it is alone decides by itself what it answers.
        QVERIFY(bed.inbound(echo(1500, kSecondExternal)).inside());

        engine::nat::NatConfig nat;
        nat.pings = PingsFromOutside::None;
        QVERIFY(bed.apply(engine::SetNat{nat}));
        QVERIFY(bed.inbound(echo(84)).dropped(DropReason::PingNotAnswered));
        QVERIFY(bed.inbound(echo(1500, kSecondExternal)).inside());
        QVERIFY(bed.pingOut(kAnna, kServer, 7).outside());
        nat.pings = PingsFromOutside::All;
        QVERIFY(bed.apply(engine::SetNat{nat}));
        QVERIFY(bed.inbound(echo(1500)).toHost());
        bed.pass(1min);  // the refused datagram in fragments had the same identification
        QVERIFY(bed.inbound(beginning(540)).toHost());
    }

    void fragments_ofWhatIsTheHosts_areAllTheHosts()
    {
        engine::EngineConfig config = usual();
        config.nat.pings = engine::nat::PingsFromOutside::All;
        Bed bed(config);
        Bytes ping = wire::buildIcmpQuery(
            {.source = kServer, .destination = kExternal, .identifier = 9}, Bytes(1400, 'p'));
        const auto pieces = wire::fragmentIpv4(view(ping), 576);
        QCOMPARE(pieces.size(), std::size_t{3});
        for (const Bytes& piece : pieces) {
            const auto outcome = bed.inbound(piece);
            QVERIFY(told(outcome.toHost(), outcome));
            QCOMPARE(outcome.packet, piece);
        }
    }

    // RFC 5508 REQ-7
    // RFC 5508 REQ-7a
    void icmpError_aboutAHairpinnedPacket_reachesItsSender()
    {
        Bed bed;
        const auto anna = bed.udpOut(at(kAnna, 5000), at(kServer, 3478)).source();
        const auto bert = bed.udpOut(at(kBert, 6000), at(kServer, 3478)).source();
        const auto delivered = bed.udpOut(at(kAnna, 5000), bert);
        QVERIFY(delivered.inside());
        const auto outcome =
            bed.outbound(errorAbout(delivered.packet, wire::IcmpType::Unreachable, 3, 0, kBert));
        QVERIFY(told(outcome.inside(), outcome));
        QVERIFY(quotedSource(outcome.packet) == at(kAnna, 5000));
        QVERIFY(quotedDestination(outcome.packet) == bert);
        Bytes outer = outcome.packet;
        QCOMPARE(view(outer).destination(), kAnna);
        QCOMPARE(view(outer).source(), bert.address);
        QVERIFY(anna != bert);
    }

    // RFC 5508 REQ-8
    void refusal_byARuleOrALimit_isReportedAsProhibited()
    {
        EngineConfig config = usual();
        config.deviceRules = {
            {.id = 1, .address = kAnna, .access = engine::policy::DeviceAccess::Block}};
        Bed bed(config);
        for (int kind = 0; kind < 3; ++kind) {
            const auto outcome = kind == 0   ? bed.udpOut(at(kAnna, 5000), at(kServer, 53))
                                 : kind == 1 ? bed.synOut(at(kAnna, 5000), at(kServer, 53))
                                             : bed.pingOut(kAnna, kServer, 7);
            QVERIFY(outcome.dropped(DropReason::DeniedByPolicy));
            QVERIFY(outcome.answeredBy(wire::IcmpType::Unreachable, 13));
        }
    }

    // RFC 5508 REQ-10a
    void icmp_ofTheRequiredTypes_isSupported()
    {
        Bed bed;
        const auto sent = bed.udpOut(at(kAnna, 5000), at(kServer, 53));
        QVERIFY(bed.inbound(errorAbout(sent.packet, wire::IcmpType::Unreachable, 3)).inside());
        QVERIFY(bed.inbound(errorAbout(sent.packet, wire::IcmpType::TimeExceeded, 0)).inside());
        const auto ping = bed.pingOut(kAnna, kServer, 9);
        QVERIFY(bed.pingReplyIn(kServer, ping.source()).inside());
        // And the router itself says that the time to live is over, without making a session.
        const auto before = bed.sessions();
        const auto last = bed.udpOut(at(kBert, 5000), at(kServer, 53), text("x"), {.ttl = 1});
        QVERIFY(last.dropped(DropReason::TtlExpired));
        QVERIFY(last.answeredBy(wire::IcmpType::TimeExceeded, 0));
        QCOMPARE(bed.sessions(), before);
    }

    // RFC 5508 REQ-10a, for a packet that finds its device by what it says, not by its port: the
    // server answers IKE to port 500, whatever port it was asked from.
    void timeToLive_ofAPacketToldApartByCookie_ends()
    {
        Bed bed;
        const auto message = [](std::uint64_t responder) {
            Bytes ike(28);
            wire::store32(ike, 4, 7);
            wire::store32(ike, 12, static_cast<std::uint32_t>(responder));
            ike[17] = 0x20;
            ike[18] = 34;
            ike[19] = responder == 0 ? 8 : 32;
            wire::store32(ike, 24, 28);
            return ike;
        };
        QVERIFY(bed.udpOut(at(kAnna, 500), at(kServer, 500), message(0)).source().port !=
                Port{500});
        const auto late = bed.udpIn(at(kServer, 500), at(kExternal, 500), message(8), {.ttl = 1});
        QVERIFY(told(late.dropped(DropReason::TtlExpired), late));
        QVERIFY(late.answeredBy(wire::IcmpType::TimeExceeded, 0));
        const auto answer = bed.udpIn(at(kServer, 500), at(kExternal, 500), message(8));
        QVERIFY(told(answer.inside() && answer.destination() == at(kAnna, 500), answer));
    }

    // RFC 5508 REQ-10b
    void icmp_ofOptionalTypes_passesAsFarAsItIsSafe()
    {
        Bed bed;
        const auto sent = bed.udpOut(at(kAnna, 5000), at(kServer, 53));
        QVERIFY(bed.inbound(errorAbout(sent.packet, wire::IcmpType::ParameterProblem, 0)).inside());
        QVERIFY(bed.inbound(errorAbout(sent.packet, wire::IcmpType::Redirect, 1))
                    .dropped(DropReason::IcmpRedirect));
        const auto stamp = bed.outbound(wire::buildIcmpQuery({.source = kAnna,
                                                              .destination = kServer,
                                                              .type = wire::IcmpType::Timestamp,
                                                              .identifier = 3},
                                                             Bytes(12)));
        QVERIFY(told(stamp.outside(), stamp));
        const auto back =
            bed.inbound(wire::buildIcmpQuery({.source = kServer,
                                              .destination = kExternal,
                                              .type = wire::IcmpType::TimestampReply,
                                              .identifier = stamp.source().port.hostOrder()},
                                             Bytes(12)));
        QVERIFY(told(back.inside() && back.destination() == at(kAnna, 3), back));
    }

    // RFC 5508 REQ-10b: somebody who asks for a way of his own does not get it.
    void packet_withASourceRoute_isDropped()
    {
        Bed bed;
        const auto external = bed.udpOut(at(kAnna, 5000), at(kServer, 53)).source();
        for (const std::uint8_t kind : {std::uint8_t{131}, std::uint8_t{137}}) {
            for (const bool padded : {false, true}) {
                Bytes options;
                if (padded) options = {1, 7, 3, 4};
                options.insert(options.end(), {kind, 7, 4, 198, 51, 100, 9, 0});
                QVERIFY(
                    bed.udpOut(at(kAnna, 5000), at(kServer, 53), text("x"), {.options = options})
                        .dropped(DropReason::IpOptions));
                QVERIFY(bed.udpIn(at(kServer, 53), external, text("x"), {.options = options})
                            .dropped(DropReason::IpOptions));
            }
        }
        // Options that contradict themselves are read no further, and nothing breaks.
        bed.udpOut(at(kAnna, 5000), at(kServer, 53), text("x"), {.options = Bytes{7, 0, 0, 0}});
        bed.udpOut(at(kAnna, 5000), at(kServer, 53), text("x"), {.options = Bytes{7, 255, 0, 0}});
    }

    // RFC 5508 REQ-10c
    void icmp_ofObsoleteTypes_isNotSupported()
    {
        Bed bed;
        const auto sent = bed.udpOut(at(kAnna, 5000), at(kServer, 53));
        QVERIFY(bed.inbound(errorAbout(sent.packet, wire::IcmpType::SourceQuench)).silent());
        for (const std::uint8_t type : {std::uint8_t{15}, std::uint8_t{16}}) {
            const auto outcome =
                bed.outbound(wire::buildIcmpQuery({.source = kAnna,
                                                   .destination = kServer,
                                                   .type = static_cast<wire::IcmpType>(type)}));
            QVERIFY(told(outcome.silent(), outcome));
        }
    }

    // RFC 5508 REQ-10d
    // RFC 5508 REQ-10e
    // RFC 5508 REQ-10f
    void ownErrors_areLimitedPerReceiverAndNeverAboutErrors()
    {
        EngineConfig config = usual();
        config.deviceRules = {
            {.id = 1, .address = kAnna, .access = engine::policy::DeviceAccess::Block}};
        Bed bed(config);
        std::size_t told = 0;
        for (unsigned i = 0; i < 1000; ++i)
            told += bed.udpOut(at(kAnna, 5000), at(kServer, 53)).made.size();
        QVERIFY(told >= 10 && told <= 40);
        // Another device has a budget of its own.
        QCOMPARE(bed.udpOut(at(kBert, 1), at(kServer, 53), text("x"), {.ttl = 1}).made.size(),
                 std::size_t{1});
        bed.pass(2s);
        const auto later = bed.udpOut(at(kAnna, 5000), at(kServer, 53));
        QCOMPARE(later.made.size(), std::size_t{1});
        // Internetwork control (RFC 1812 §4.3.2.5).
        QCOMPARE(later.made.front().bytes[1], std::uint8_t{0xc0});
        // No error about an error (RFC 1812 §4.3.2.7).
        const auto quoted = wire::buildUdp(at(kServer, 53), at(kBert, 1), text("x"));
        auto error = errorAbout(quoted, wire::IcmpType::Unreachable, 3, 0, kBert);
        error[8] = 1;
        bed.expectUnsound();
        QVERIFY(bed.outbound(error).made.empty());
    }

    // RFC 5508 REQ-11
    void icmp_thatIsNeitherQueryNorError_isNotForwarded()
    {
        Bed bed;
        for (unsigned type = 0; type < 256; ++type) {
            const bool known = type == 0 || type == 3 || type == 4 || type == 5 || type == 8 ||
                               type == 11 || type == 12 || type == 13 || type == 14;
            if (known) continue;
            const auto packet = [&](Ipv4Address from, Ipv4Address to) {
                return wire::buildIcmpQuery(
                    {.source = from, .destination = to, .type = static_cast<wire::IcmpType>(type)});
            };
            QVERIFY(bed.outbound(packet(kAnna, kServer)).dropped(DropReason::IcmpNoMatch));
            QVERIFY(bed.inbound(packet(kServer, kExternal)).verdict.kind != Verdict::Kind::Forward);
        }
        QCOMPARE(bed.sessions(), std::size_t{0});
    }

    // Forged "fragmentation needed": the quoted sequence number must be on its way (RFC 5927 §4).
    void forgedErrors_aboutATcpConnection_reachNobody()
    {
        Bed bed;
        Connection c(bed, at(kAnna, 5000), at(kServer, 443));
        QVERIFY(c.open());
        const auto sent = c.out(flag::kAck | flag::kPsh, Bytes(1400));
        QVERIFY(sent.outside());
        for (std::uint32_t i = 0; i < 100; ++i) {
            Bytes forged = wire::buildTcp({.source = c.external,
                                           .destination = c.remote,
                                           .flags = flag::kAck,
                                           .sequence = c.outSequence + 100000 + i * 30000001},
                                          Bytes(1400));
            QVERIFY(bed.inbound(errorAbout(forged, wire::IcmpType::Unreachable, 4, 1300))
                        .dropped(DropReason::IcmpForged));
            QVERIFY(bed.inbound(errorAbout(forged, wire::IcmpType::Unreachable, 1))
                        .dropped(DropReason::IcmpForged));
        }
        // The genuine ones get through, as many as a second may have.
        for (int i = 0; i < 100; ++i) {
            const auto outcome =
                bed.inbound(errorAbout(sent.packet, wire::IcmpType::Unreachable, 4, 1300));
            QVERIFY(told(outcome.inside(), outcome));
        }
        QVERIFY(bed.inbound(errorAbout(sent.packet, wire::IcmpType::Unreachable, 4, 1300))
                    .dropped(DropReason::IcmpRate));
        bed.pass(2s);
        QVERIFY(
            bed.inbound(errorAbout(sent.packet, wire::IcmpType::Unreachable, 4, 1300)).inside());
        QVERIFY(c.works());
    }

    // Nobody needs links that small, and nobody may say that of a packet that would have fitted.
    void fragmentationNeeded_withAnAbsurdMtu_isDropped()
    {
        Bed bed;
        const auto sent = bed.udpOut(at(kAnna, 5000), at(kServer, 53), Bytes(1000));
        for (const std::uint32_t mtu : {1U, 68U, 551U, 1028U, 1500U, 65535U}) {
            const auto outcome =
                bed.inbound(errorAbout(sent.packet, wire::IcmpType::Unreachable, 4, mtu));
            QVERIFY(told(outcome.dropped(DropReason::IcmpForged), outcome));
        }
        for (const std::uint32_t mtu : {0U, 552U, 1027U}) {
            QVERIFY(
                bed.inbound(errorAbout(sent.packet, wire::IcmpType::Unreachable, 4, mtu)).inside());
        }
    }

    // The verdict comes from the inner packet, and the outer one must fit it.
    void icmpError_whoseOuterDestinationIsAnother_isDropped()
    {
        EngineConfig config = usual();
        config.external.addresses = {kExternal, kSecondExternal};
        Bed bed(config);
        const auto sent = bed.udpOut(at(kAnna, 5000), at(kServer, 53));
        Bytes error = errorAbout(sent.packet);
        auto ip = view(error);
        ip.rewriteDestination(sent.source().address == kExternal ? kSecondExternal : kExternal);
        const auto outcome = bed.inbound(error);
        QVERIFY(told(outcome.dropped(DropReason::IcmpForged), outcome));
    }

    // Nor does a device learn of, or end, what another one does.
    void icmpErrorFromInside_aboutAnothersSession_isDropped()
    {
        Bed bed;
        const auto external = bed.udpOut(at(kAnna, 5000), at(kServer, 53)).source();
        // Bert claims to have received a packet for an endpoint of his own that has no session.
        const auto quoted = wire::buildUdp(at(kServer, 53), at(kBert, 5000), text("x"));
        QVERIFY(
            bed.outbound(errorAbout(quoted, wire::IcmpType::Unreachable, 3, 0, kBert)).silent());
        QVERIFY(bed.udpIn(at(kServer, 53), external).inside());
    }
};

QTEST_APPLESS_MAIN(Rfc5508Test)
#include "rfc5508_test.moc"
