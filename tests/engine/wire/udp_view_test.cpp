#include "engine/wire/udp_view.h"

#include "engine/wire/builder.h"
#include "engine/wire/fragmenter.h"

#include <QtTest>

#include "tests/engine/wire/tins_oracle.h"

using namespace engine;
using namespace engine::wire;

namespace {

const net::Endpoint kInternal{{192, 0, 2, 10}, net::Port{5000}};
const net::Endpoint kExternal{{203, 0, 113, 1}, net::Port{40001}};
const net::Endpoint kRemote{{198, 51, 100, 7}, net::Port{4500}};

}  // namespace

class UdpViewTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void parse_ofEveryCut_refuses()
    {
        const auto whole = buildUdp(kInternal, kRemote, oracle::Bytes(20));
        for (std::size_t size = 0; size < whole.size() - 20; ++size) {
            oracle::Bytes udp(whole.begin() + 20,
                              whole.begin() + 20 + static_cast<std::ptrdiff_t>(size));
            QVERIFY(!UdpView::parse(udp));
            QCOMPARE(UdpView::parse(udp, Extent::Beginning).has_value(), size >= 8);
        }
    }

    void parse_withLengthBelowTheHeader_refuses()
    {
        oracle::Bytes udp(12);
        for (std::uint8_t length = 0; length < 8; ++length) {
            udp[5] = length;
            QVERIFY(!UdpView::parse(udp));
            QVERIFY(!UdpView::parse(udp, Extent::Beginning));
        }
    }

    void payload_withTrailingOctets_endsAtTheLengthField()
    {
        oracle::Bytes udp(30);
        udp[5] = 20;
        QCOMPARE(UdpView::parse(udp)->payload().size(), std::size_t{12});
    }

    // Requirement G1.
    void rewrites_ofRandomPackets_equalLibtins()
    {
        Random random{{2, 1}};
        for (int round = 0; round < 2000; ++round) {
            auto bytes = buildUdp(oracle::randomEndpoint(random), oracle::randomEndpoint(random),
                                  oracle::randomBytes(random, random.below(70)));
            const auto source = oracle::randomEndpoint(random);
            const auto destination = oracle::randomEndpoint(random);
            const auto expected = oracle::rewritten(bytes, [&](Tins::IP& ip) {
                ip.src_addr(Tins::IPv4Address(source.address.toString()));
                ip.dst_addr(Tins::IPv4Address(destination.address.toString()));
                ip.rfind_pdu<Tins::UDP>().sport(source.port.hostOrder());
                ip.rfind_pdu<Tins::UDP>().dport(destination.port.hostOrder());
            });
            auto ip = Ipv4View::parse(bytes);
            auto udp = UdpView::parse(ip->payload());
            udp->rewriteSource(*ip, source, ChecksumState::Complete);
            udp->rewriteDestination(*ip, destination, ChecksumState::Complete);
            QCOMPARE(bytes, expected);
            QVERIFY(udp->hasValidChecksum(*ip));
        }
    }

    // Requirement G2.
    void checksum_whenAbsent_staysAbsent()
    {
        auto bytes = buildUdp(kInternal, kRemote, oracle::Bytes(9, 1));
        store16(bytes, 26, 0);
        auto ip = Ipv4View::parse(bytes);
        auto udp = UdpView::parse(ip->payload());
        udp->rewriteSource(*ip, kExternal, ChecksumState::Complete);
        udp->rewritePayload(1, oracle::Bytes{1, 2, 3}, ChecksumState::Complete);
        QCOMPARE(udp->checksum(), std::uint16_t{0});
        QCOMPARE(udp->sourcePort(), kExternal.port);
        QVERIFY(udp->hasValidChecksum(*ip));
    }

    // Requirement G2. Every port is tried, so that one of them makes the sum come out as zero.
    void checksum_computedAsZero_isSentAsOnes()
    {
        auto bytes = buildUdp(kInternal, kRemote, oracle::Bytes(9, 1));
        auto ip = Ipv4View::parse(bytes);
        auto udp = UdpView::parse(ip->payload());
        int allOnes = 0;
        for (std::uint32_t port = 0; port <= 0xffff; ++port) {
            udp->rewriteSource(*ip,
                               {kExternal.address, net::Port{static_cast<std::uint16_t>(port)}},
                               ChecksumState::Complete);
            QVERIFY(udp->checksum() != 0);
            QVERIFY(udp->hasValidChecksum(*ip));
            if (udp->checksum() == 0xffff) ++allOnes;
        }
        QVERIFY(allOnes > 0);
    }

    void rewritePayload_atEveryOffset_keepsTheChecksum()
    {
        Random random{{2, 3}};
        auto bytes = buildUdp(kInternal, kRemote, oracle::randomBytes(random, 41));
        auto ip = Ipv4View::parse(bytes);
        auto udp = UdpView::parse(ip->payload());
        for (std::size_t size = 0; size < 5; ++size) {
            for (std::size_t at = 0; at + size <= 41; ++at) {
                udp->rewritePayload(at, oracle::randomBytes(random, size), ChecksumState::Complete);
                QVERIFY(udp->hasValidChecksum(*ip));
            }
        }
    }

    void partialChecksum_afterTranslation_finishesRight()
    {
        auto bytes = buildUdp(kInternal, kRemote, oracle::Bytes(33, 5));
        auto ip = Ipv4View::parse(bytes);
        auto udp = UdpView::parse(ip->payload());
        ChecksumSum pseudo;
        pseudo.addPseudoHeader(kInternal.address, kRemote.address, net::IpProtocol::Udp, 41);
        store16(ip->payload(), 6, pseudo.folded());
        udp->rewriteSource(*ip, kExternal, ChecksumState::Partial);
        udp->rewritePayload(3, oracle::Bytes{9, 9}, ChecksumState::Partial);

        // What a network card does: it adds the transport octets to the sum that it finds.
        ChecksumSum card;
        card.add(ip->payload());
        store16(ip->payload(), 6, card.checksum());
        QVERIFY(udp->hasValidChecksum(*ip));
    }

    void completeTransportChecksum_ofAPartialPacket_isValid()
    {
        auto bytes = buildUdp(kInternal, kRemote, oracle::Bytes(33, 5));
        store16(bytes, 26, 0x1234);
        auto ip = Ipv4View::parse(bytes);
        completeTransportChecksum(*ip);
        QCOMPARE(bytes, buildUdp(kInternal, kRemote, oracle::Bytes(33, 5)));
    }

    /// Negative control: forgetting the address in the delta is noticed.
    void checksum_whenOnlyTheAddressWasChanged_isInvalid()
    {
        auto bytes = buildUdp(kInternal, kRemote, oracle::Bytes(9, 1));
        auto ip = Ipv4View::parse(bytes);
        ip->rewriteSource(kExternal.address);
        QVERIFY(!UdpView::parse(ip->payload())->hasValidChecksum(*ip));
    }
};

QTEST_APPLESS_MAIN(UdpViewTest)
#include "udp_view_test.moc"
