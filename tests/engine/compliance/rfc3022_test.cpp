#include <QtTest>

#include <array>

#include "tests/engine/compliance/bed.h"
#include "tests/engine/wire/tins_oracle.h"

/// RFC 3022: how a traditional NAT translates. The oracle is libtins, which works out every length
/// and checksum anew.

using namespace bed;

namespace {

/// What should have left: the addresses and ports replaced, the time to live one less, and nothing
/// else.
Bytes expected(const Bytes& packet, const Outcome& outcome, bool out)
{
    const Endpoint source = outcome.source();
    const Endpoint destination = outcome.destination();
    return oracle::rewritten(packet, [&](Tins::IP& ip) {
        ip.ttl(static_cast<std::uint8_t>(ip.ttl() - 1));
        if (out)
            ip.src_addr(Tins::IPv4Address(source.address.toString()));
        else
            ip.dst_addr(Tins::IPv4Address(destination.address.toString()));
        const Endpoint& changed = out ? source : destination;
        if (auto* udp = ip.find_pdu<Tins::UDP>()) {
            out ? udp->sport(changed.port.hostOrder()) : udp->dport(changed.port.hostOrder());
        }
        if (auto* tcp = ip.find_pdu<Tins::TCP>()) {
            out ? tcp->sport(changed.port.hostOrder()) : tcp->dport(changed.port.hostOrder());
        }
        if (auto* icmp = ip.find_pdu<Tins::ICMP>()) icmp->id(changed.port.hostOrder());
    });
}

EngineConfig oneToOne()
{
    EngineConfig config = usual();
    config.external.addresses = {kExternal, kSecondExternal};
    config.oneToOnes = {{.id = 1, .internalAddress = kBert, .externalAddress = kSecondExternal}};
    return config;
}

}  // namespace

class Rfc3022Test : public QObject {
    Q_OBJECT

private Q_SLOTS:
    // RFC 3022 §2.1
    void basicNat_changesTheAddressOnly()
    {
        Bed bed(oneToOne());
        for (unsigned port : {1U, 80U, 1023U, 1024U, 5000U, 65535U}) {
            QVERIFY(bed.udpOut(at(kBert, port), at(kServer, 53)).source() ==
                    at(kSecondExternal, port));
            QVERIFY(bed.synOut(at(kBert, port), at(kServer, 53)).source() ==
                    at(kSecondExternal, port));
        }
        QVERIFY(bed.pingOut(kBert, kServer, 77).source() == at(kSecondExternal, 77));
        // And from outside, without having been asked.
        auto outcome = bed.synIn(at(kServer, 6000), at(kSecondExternal, 22));
        QVERIFY(told(outcome.inside() && outcome.destination() == at(kBert, 22), outcome));
        outcome = bed.udpIn(at(kServer, 6000), at(kSecondExternal, 4000));
        QVERIFY(told(outcome.inside() && outcome.destination() == at(kBert, 4000), outcome));
        // Nobody else leaves by an address that is owned.
        for (unsigned number = 20; number < 60; ++number) {
            QCOMPARE(bed.udpOut(at(host(number), 5000), at(kServer, 53)).source().address,
                     kExternal);
        }
    }

    // RFC 3022 §2.2
    void napt_changesAddressAndPort()
    {
        Bed bed;
        const auto anna = bed.udpOut(at(kAnna, 5000), at(kServer, 53));
        const auto bert = bed.udpOut(at(kBert, 5000), at(kServer, 53));
        QCOMPARE(anna.source().address, kExternal);
        QCOMPARE(bert.source().address, kExternal);
        QVERIFY(anna.source().port != bert.source().port);
        QVERIFY(anna.destination() == at(kServer, 53));
    }

    // RFC 3022 §4.1
    // RFC 3022 §4.2
    void translations_ofRandomPackets_equalLibtins()
    {
        Bed bed;
        engine::Random random{{5, 6}};
        Connection c(bed, at(kAnna, 700), at(kServer, 443));
        QVERIFY(c.open());
        for (unsigned i = 0; i < 600; ++i) {
            const Bytes payload = oracle::randomBytes(random, random.below(200));
            const auto check = [&](const Bytes& packet, bool out) {
                const auto outcome = out ? bed.outbound(packet) : bed.inbound(packet);
                return told(outcome.verdict.kind == Verdict::Kind::Forward, outcome) &&
                       outcome.packet == expected(packet, outcome, out);
            };
            const Endpoint internal = at(host(10 + i % 50), 1024 + random.below(60000));
            const Endpoint remote = at(kServer, 1 + random.below(65000));
            const auto udp = wire::buildUdp(internal, remote, payload);
            QVERIFY(check(udp, true));
            const auto external = bed.outbound(udp).source();
            QVERIFY(check(wire::buildUdp(remote, external, payload), false));
            const auto ping = wire::buildIcmpQuery({.source = internal.address,
                                                    .destination = kServer,
                                                    .identifier = internal.port.hostOrder()},
                                                   payload);
            QVERIFY(check(ping, true));
            QVERIFY(check(c.segmentOut(flag::kAck | flag::kPsh, payload), true));
            QVERIFY(check(c.segmentIn(flag::kAck | flag::kPsh, payload), false));
        }
    }

    // RFC 3022 §4.1: an absent UDP checksum stays absent, and the time to live is one less.
    void udpWithoutChecksum_staysWithoutChecksum()
    {
        Bed bed;
        Bytes packet = wire::buildUdp(at(kAnna, 5000), at(kServer, 53), text("data"));
        packet[26] = packet[27] = 0;
        const auto out = bed.outbound(packet);
        QVERIFY(out.outside());
        QVERIFY(out.packet[26] == 0 && out.packet[27] == 0);
        QCOMPARE(ttlOf(out.packet), std::uint8_t{63});
        Bytes answer = wire::buildUdp(at(kServer, 53), out.source(), text("data"));
        answer[26] = answer[27] = 0;
        const auto in = bed.inbound(answer);
        QVERIFY(in.inside());
        QVERIFY(in.packet[26] == 0 && in.packet[27] == 0);
    }

    // RFC 3022 §4.1: a checksum that the network card will finish is a partial one on both sides.
    void partialChecksums_stayPartialSums()
    {
        Bed bed;
        for (const auto protocol : {IpProtocol::Udp, IpProtocol::Tcp}) {
            Bytes packet = protocol == IpProtocol::Udp
                               ? wire::buildUdp(at(kAnna, 5000), at(kServer, 53), text("data"))
                               : wire::buildTcp({.source = at(kAnna, 5000),
                                                 .destination = at(kServer, 53),
                                                 .flags = flag::kSyn});
            const std::size_t where = protocol == IpProtocol::Udp ? 26 : 36;
            const auto pseudo = [&](Bytes& of) {
                const auto ip = view(of);
                wire::ChecksumSum sum;
                sum.addPseudoHeader(ip.source(), ip.destination(), protocol, ip.payload().size());
                return sum.folded();
            };
            wire::store16(packet, where, pseudo(packet));
            wire::Packet carried{.bytes = packet, .checksum = wire::ChecksumState::Partial};
            engine::Output output;
            const auto verdict =
                bed.engine().handlePacket(bed.now, PortId::Internal, carried, output);
            QCOMPARE(verdict.kind, Verdict::Kind::Forward);
            QCOMPARE(wire::load16(packet, where), pseudo(packet));
        }
    }

    // RFC 3022 §4.3
    void icmpErrors_areTranslatedInsideToo()
    {
        Bed bed;
        const auto sent = bed.udpOut(at(kAnna, 5000), at(kServer, 53));
        const auto outcome = bed.inbound(errorAbout(sent.packet));
        QVERIFY(outcome.inside());
        Bytes inner = quotedIn(outcome.packet);
        QVERIFY(isSound(inner));
        QVERIFY(sourceOf(inner) == at(kAnna, 5000));
        // The addresses outside agree with those inside, and the transport checksum is that of the
        // packet the device has sent.
        Bytes original = wire::buildUdp(at(kAnna, 5000), at(kServer, 53), text("data"));
        QCOMPARE(wire::load16(inner, 26), wire::load16(original, 26));
    }

    // RFC 3022 §3.1
    // RFC 3022 §3.3
    void addressBinding_endsWithItsLastSession()
    {
        Bed bed;
        const auto first = bed.udpOut(at(kAnna, 5000), at(kServer, 53)).source();
        bed.pass(1min);
        bed.udpOut(at(kAnna, 5000), at(kOther, 53));
        bed.pass(61s + 1s);
        QCOMPARE(bed.sessions(), std::size_t{1});
        QVERIFY(bed.udpOut(at(kAnna, 5000), at(kServer, 53)).source() == first);
        bed.pass(3min);
        QCOMPARE(bed.mappings(), std::size_t{0});
        // A new one is a new one: the old port rests.
        QVERIFY(bed.udpOut(at(kAnna, 5000), at(kServer, 53)).source() != first);
    }

    // RFC 3022 §3.2
    void packetsThatAreNotTranslated_doNotLeave()
    {
        // Everything that claims to be from somewhere else, and everything that nobody can share.
        Bed bed;
        for (unsigned protocol = 0; protocol < 256; ++protocol) {
            auto packet = wire::buildIpv4(kAnna, kServer, static_cast<IpProtocol>(protocol),
                                          Bytes(40, static_cast<std::uint8_t>(protocol)));
            const auto outcome = bed.outbound(packet);
            if (outcome.verdict.kind != Verdict::Kind::Forward) continue;
            Bytes left = outcome.packet;
            QCOMPARE(view(left).source(), kExternal);
        }
    }
};

QTEST_APPLESS_MAIN(Rfc3022Test)
#include "rfc3022_test.moc"
