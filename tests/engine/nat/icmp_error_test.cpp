#include "engine/nat/icmp_error.h"

#include "engine/base/random.h"
#include "engine/wire/tcp_view.h"
#include "engine/wire/udp_view.h"

#include <QtTest>

#include <set>

#include "tests/engine/wire/tins_oracle.h"

using namespace engine;
using namespace engine::nat;
using namespace std::chrono_literals;

using Bytes = std::vector<std::uint8_t>;

namespace {

const net::Endpoint kInternal{{192, 0, 2, 10}, net::Port{5000}};
const net::Endpoint kExternal{{203, 0, 113, 1}, net::Port{40001}};
const net::Endpoint kRemote{{198, 51, 100, 7}, net::Port{4500}};
const net::Ipv4Address kMiddle{198, 51, 100, 254};

/// An error about `offending` cut to `quoted` octets, or not cut.
Bytes errorAbout(const Bytes& offending, std::size_t quoted = 10000,
                 wire::IcmpType type = wire::IcmpType::Unreachable, std::uint8_t code = 4,
                 std::uint32_t rest = 1400)
{
    Bytes cut(offending.begin(),
              offending.begin() + static_cast<std::ptrdiff_t>(std::min(quoted, offending.size())));
    if (cut.size() < 20) cut.resize(20);
    return wire::buildIcmpError({.source = kMiddle, .type = type, .code = code, .rest = rest}, cut);
}

/// Sets octets of an ICMP message and its checksum anew.
Bytes patched(Bytes packet, std::size_t at, std::initializer_list<int> octets)
{
    for (const int octet : octets)
        packet[at++] = static_cast<std::uint8_t>(octet);
    wire::store16(packet, 22, 0);
    wire::ChecksumSum sum;
    sum.add(wire::ConstBytes{packet}.subspan(20));
    wire::store16(packet, 22, sum.checksum());
    return packet;
}

Result<IcmpError, DropReason> parse(Bytes& packet)
{
    return IcmpError::parse(*wire::Ipv4View::parse(packet));
}

}  // namespace

class IcmpErrorTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void embedded_ofTcp_hasPortsAndSequence()
    {
        const auto sent =
            wire::buildTcp({.source = kExternal, .destination = kRemote, .sequence = 0x01020304},
                           Bytes(1000), {.identification = 7});
        auto packet = errorAbout(sent, 28);
        const auto error = parse(packet);
        QVERIFY(error);
        const EmbeddedPacket& embedded = error->embedded();
        QCOMPARE(embedded.protocol, net::IpProtocol::Tcp);
        QVERIFY(embedded.source == kExternal);
        QVERIFY(embedded.destination == kRemote);
        QCOMPARE(embedded.tcpSequence, 0x01020304U);
        QCOMPARE(embedded.totalLength, std::uint16_t{1040});
        QCOMPARE(embedded.identification, std::uint16_t{7});
        QCOMPARE(embedded.quoted, 8U);
        QCOMPARE(error->icmp().nextHopMtu(), std::uint16_t{1400});
    }

    void embedded_ofGre_hasTheFirstEightOctets()
    {
        const Bytes gre{0x30, 0x01, 0x88, 0x0b, 0, 4, 0xbe, 0xef, 0, 0, 0, 1, 1, 2, 3, 4};
        auto packet = errorAbout(
            wire::buildIpv4(kExternal.address, kRemote.address, net::IpProtocol::Gre, gre));
        const auto error = parse(packet);
        QVERIFY(error);
        QVERIFY(
            std::equal(error->embedded().head.begin(), error->embedded().head.end(), gre.begin()));
        QCOMPARE(error->embedded().source.port, net::Port{});
    }

    // RFC 5508 REQ-4, requirements G1 and G4: an error about what we sent, translated back, is the
    // error about what the host inside had sent.
    void translation_ofRandomErrors_equalsTheErrorAboutTheOriginal()
    {
        Random random{{1, 1}};
        for (int round = 0; round < 3000; ++round) {
            const auto payload = oracle::randomBytes(random, random.below(600));
            const std::uint32_t kind = random.below(3);
            const auto id = static_cast<std::uint16_t>(random.next());
            const auto sequence = static_cast<std::uint32_t>(random.next());
            const auto options = Bytes(random.below(11) * 4, 1);
            const auto build = [&](net::Endpoint source) {
                const wire::Ipv4Fields ip{.identification = id, .options = options};
                if (kind == 0) return wire::buildUdp(source, kRemote, payload, ip);
                if (kind == 1) {
                    return wire::buildTcp(
                        {.source = source, .destination = kRemote, .sequence = sequence}, payload,
                        ip);
                }
                return wire::buildIcmpQuery({.source = source.address,
                                             .destination = kRemote.address,
                                             .identifier = source.port.hostOrder(),
                                             .sequence = 3},
                                            payload, ip);
            };
            const auto original = build(kInternal);
            const auto translated = build(kExternal);
            const std::size_t header = 20 + options.size();
            std::size_t quoted = header + 8 + random.below(600);
            // Half a TCP checksum cannot be kept right.
            if (quoted == header + 17) ++quoted;
            auto packet = errorAbout(translated, quoted);
            auto error = parse(packet);
            QVERIFY(error);
            const net::Endpoint remote =
                kind == 2 ? net::Endpoint{kRemote.address, kInternal.port} : kRemote;
            error->translate({kInternal, remote});
            // The outer header is not this code's: put it out of the comparison.
            auto expected = errorAbout(original, quoted);
            std::copy_n(packet.begin(), 20, expected.begin());
            QCOMPARE(packet, expected);
            QVERIFY(error->icmp().hasValidChecksum());
            QVERIFY(error->embedded().source == kInternal);
        }
    }

    // RFC 5508 REQ-5: the same towards outside, where the quoted destination is replaced.
    void translation_ofTheDestination_keepsEveryChecksum()
    {
        const auto original = wire::buildUdp(kRemote, kExternal, Bytes(300, 1));
        const auto delivered = wire::buildUdp(kRemote, kInternal, Bytes(300, 1));
        auto packet = errorAbout(delivered);
        auto error = parse(packet);
        error->translate({kRemote, kExternal});
        auto expected = errorAbout(original);
        QCOMPARE(packet, expected);
    }

    void translation_ofGre_rewritesTheCallId()
    {
        const auto build = [](net::Ipv4Address source, std::uint8_t high, std::uint8_t low) {
            return wire::buildIpv4(source, kRemote.address, net::IpProtocol::Gre,
                                   Bytes{0x30, 0x01, 0x88, 0x0b, 0, 4, high, low, 0, 0, 0, 1});
        };
        auto packet = errorAbout(build(kExternal.address, 0xbe, 0xef));
        auto error = parse(packet);
        error->translate({{kInternal.address, {}},
                          {kRemote.address, {}},
                          EmbeddedTranslation::Rewrite{6, 0x1234}});
        auto expected = errorAbout(build(kInternal.address, 0x12, 0x34));
        std::copy_n(packet.begin(), 20, expected.begin());
        QCOMPARE(packet, expected);
        QCOMPARE(error->embedded().head[6], std::uint8_t{0x12});
    }

    // Requirement G2.
    void translation_ofUdpWithoutChecksum_leavesItAbsent()
    {
        auto sent = wire::buildUdp(kExternal, kRemote, Bytes(20));
        wire::store16(sent, 26, 0);
        auto packet = errorAbout(sent);
        auto error = parse(packet);
        error->translate({kInternal, kRemote});
        QCOMPARE(wire::load16(error->icmp().payload(), 26), std::uint16_t{0});
        QVERIFY(error->icmp().hasValidChecksum());
    }

    // RFC 5508 REQ-3
    void error_withABadIcmpChecksum_isRefused()
    {
        auto packet = errorAbout(wire::buildUdp(kExternal, kRemote, Bytes(20)));
        for (std::size_t at = 20; at < packet.size(); ++at) {
            packet[at] = static_cast<std::uint8_t>(packet[at] ^ 0x10U);
            const auto error = parse(packet);
            QVERIFY(!error);
            // A changed type may be no error at all.
            if (at > 20) QCOMPARE(error.error(), DropReason::BadIcmpChecksum);
            packet[at] = static_cast<std::uint8_t>(packet[at] ^ 0x10U);
        }
        QVERIFY(parse(packet));
    }

    // RFC 5508 REQ-3a
    void error_withABadQuotedHeaderChecksum_isRefused()
    {
        const auto good = errorAbout(wire::buildUdp(kExternal, kRemote, Bytes(20)));
        for (std::size_t at = 28; at < 48; ++at) {
            auto packet = patched(good, at, {good[at] ^ 0x10});
            QVERIFY(!parse(packet));
        }
    }

    // RFC 5508 REQ-3c
    void error_withABadQuotedTransportChecksum_isTranslated()
    {
        const auto good = errorAbout(wire::buildUdp(kExternal, kRemote, Bytes(20)));
        auto packet = patched(good, 20 + 8 + 20 + 6, {0x12, 0x34});
        auto error = parse(packet);
        QVERIFY(error);
        error->translate({kInternal, kRemote});
        QVERIFY(error->icmp().hasValidChecksum());
    }

    // RFC 5508 REQ-3d, RFC 4884
    void extensions_behindTheQuote_stayAsTheyAre()
    {
        const Bytes extension{0x20, 0, 0xdf, 0xff, 0, 8, 1, 1, 0, 1, 2, 3};
        auto sent = wire::buildUdp(kExternal, kRemote, Bytes(200, 4));
        sent.resize(128);
        sent.insert(sent.end(), extension.begin(), extension.end());
        // 128 octets are 32 words; the length attribute is the second octet of the second word.
        auto packet = wire::buildIcmpError(
            {.source = kMiddle, .type = wire::IcmpType::TimeExceeded, .rest = 32U << 16U}, sent);
        auto error = parse(packet);
        QVERIFY(error);
        QCOMPARE(error->embedded().quoted, 108U);
        error->translate({kInternal, kRemote});
        QVERIFY(error->icmp().hasValidChecksum());
        QVERIFY(std::equal(extension.begin(), extension.end(), packet.end() - 12));
    }

    void lengthAttribute_thatCannotBe_isForgiven()
    {
        const auto good = errorAbout(wire::buildUdp(kExternal, kRemote, Bytes(20)));
        for (const int words : {1, 4, 200, 255}) {
            auto packet = patched(good, 25, {words});
            QVERIFY(parse(packet));
        }
    }

    void error_cutAnywhere_isRefusedOrWhole()
    {
        const auto sent = wire::buildUdp(kExternal, kRemote, Bytes(20), {.options = Bytes(8, 1)});
        for (std::size_t quoted = 20; quoted < sent.size(); ++quoted) {
            auto packet = errorAbout(sent, quoted);
            QCOMPARE(parse(packet).has_value(), quoted >= 28 + 8);
        }
    }

    void error_aboutSomethingThatCannotBeRead_isRefused_data()
    {
        QTest::addColumn<QByteArray>("octets");
        QTest::newRow("version 6") << QByteArray("\x65", 1);
        QTest::newRow("header of 16 octets") << QByteArray("\x44", 1);
        QTest::newRow("header beyond the quote") << QByteArray("\x4f", 1);
        QTest::newRow("total below the header") << QByteArray("\x45\0\0\x13", 4);
        QTest::newRow("total without transport") << QByteArray("\x45\0\0\x1b", 4);
    }
    void error_aboutSomethingThatCannotBeRead_isRefused()
    {
        QFETCH(QByteArray, octets);
        auto sent = wire::buildUdp(kExternal, kRemote, Bytes(20));
        std::copy(octets.begin(), octets.end(), sent.begin());
        wire::store16(sent, 10, 0);
        wire::ChecksumSum sum;
        sum.add(wire::ConstBytes{sent}.first(20));
        wire::store16(sent, 10, sum.checksum());
        auto packet = errorAbout(sent);
        const auto error = parse(packet);
        QVERIFY(!error);
        QCOMPARE(error.error(), DropReason::MalformedIcmp);
    }

    void error_aboutALaterFragment_matchesNothing()
    {
        auto packet = errorAbout(wire::buildIpv4(
            kExternal.address, kRemote.address, net::IpProtocol::Udp, Bytes(64),
            {.dontFragment = false, .moreFragments = true, .fragmentOffset = 1480}));
        QCOMPARE(parse(packet).error(), DropReason::IcmpNoMatch);
    }

    void error_aboutAnError_matchesNothing()
    {
        auto packet = errorAbout(errorAbout(wire::buildUdp(kExternal, kRemote, Bytes(20))));
        QCOMPARE(parse(packet).error(), DropReason::IcmpNoMatch);
    }

    void query_isNoError()
    {
        auto packet = wire::buildIcmpQuery({.source = kMiddle, .destination = kExternal.address});
        QCOMPARE(parse(packet).error(), DropReason::MalformedIcmp);
    }

    /// Negative control: without the incremental update of the ICMP checksum this would be seen.
    void quotedPort_changedBehindTheChecksum_isInvalid()
    {
        auto packet = errorAbout(wire::buildUdp(kExternal, kRemote, Bytes(20)));
        wire::store16(packet, 20 + 8 + 20, 1);
        QVERIFY(!wire::IcmpView::parse(wire::MutableBytes{packet}.subspan(20))->hasValidChecksum());
    }

    // RFC 4787 REQ-13
    void tooBig_aboutALargePacket_saysTheMtu()
    {
        IcmpErrorSource source{{1, 1}};
        auto offending = wire::buildUdp(kInternal, kRemote, Bytes(1472));
        auto packet =
            source.tooBig(Instant{1s}, {192, 0, 2, 1}, 1400, *wire::Ipv4View::parse(offending));
        QVERIFY(packet);
        const auto ip = wire::Ipv4View::parse(*packet);
        QVERIFY(ip->source() == net::Ipv4Address(192, 0, 2, 1));
        QVERIFY(ip->destination() == kInternal.address);
        const auto icmp = wire::IcmpView::parse(ip->payload());
        QCOMPARE(icmp->type(), wire::IcmpType::Unreachable);
        QCOMPARE(icmp->code(), wire::icmp_unreachable::kFragmentationNeeded);
        QCOMPARE(icmp->nextHopMtu(), std::uint16_t{1400});
        QVERIFY(icmp->hasValidChecksum());
    }

    // RFC 1812 §4.3.2.7
    void report_aboutWhatMustNotBeReported_isNotMade()
    {
        const auto mayReport = [](Bytes packet) {
            return mayReportAbout(*wire::Ipv4View::parse(packet));
        };
        const auto from = [](net::Ipv4Address source, net::Ipv4Address destination) {
            return wire::buildUdp({source, net::Port{1}}, {destination, net::Port{2}}, Bytes(4));
        };
        QVERIFY(mayReport(from(kInternal.address, kRemote.address)));
        for (const auto* bad : {"0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "239.255.255.250",
                                "240.0.0.1", "255.255.255.255"}) {
            const auto address = *net::Ipv4Address::parse(bad);
            QVERIFY(!mayReport(from(address, kRemote.address)));
            QVERIFY(!mayReport(from(kInternal.address, address)));
        }
        QVERIFY(!mayReport(errorAbout(from(kInternal.address, kRemote.address))));
        QVERIFY(mayReport(
            wire::buildIcmpQuery({.source = kInternal.address, .destination = kRemote.address})));
        QVERIFY(!mayReport(wire::buildIpv4(kInternal.address, kRemote.address, net::IpProtocol::Udp,
                                           Bytes(64),
                                           {.dontFragment = false, .fragmentOffset = 1480})));
    }

    // RFC 1812 §4.3.2.8; RFC 5508 REQ-10
    void errors_toOneReceiver_areLimitedAndOthersAreNot()
    {
        IcmpErrorSource source{{1, 1}};
        auto offending = wire::buildUdp(kInternal, kRemote, Bytes(4));
        const auto view = wire::Ipv4View::parse(offending);
        const auto made = [&](Instant now) {
            int count = 0;
            for (int i = 0; i < 1000; ++i) {
                if (source.make(now, {.source = {192, 0, 2, 1}}, *view)) ++count;
            }
            return count;
        };
        const int first = made(Instant{1s});
        QVERIFY(first >= 16 && first <= 32);
        QCOMPARE(made(Instant{1s} + 999ms), 0);
        std::set<int> budgets{first};
        for (int second = 2; second < 40; ++second)
            budgets.insert(made(Instant{1s * second}));
        // Nobody can foresee the next budget.
        QVERIFY(budgets.size() > 8);
        auto other = wire::buildUdp({{192, 0, 2, 11}, net::Port{1}}, kRemote, Bytes(4));
        QVERIFY(
            source.make(Instant{39s}, {.source = {192, 0, 2, 1}}, *wire::Ipv4View::parse(other)));
    }
};

QTEST_APPLESS_MAIN(IcmpErrorTest)
#include "icmp_error_test.moc"
