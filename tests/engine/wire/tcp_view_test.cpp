#include "engine/wire/tcp_view.h"

#include "engine/wire/builder.h"

#include <QtTest>

#include "tests/engine/wire/tins_oracle.h"

using namespace engine;
using namespace engine::wire;

namespace {

const net::Endpoint kInternal{{192, 0, 2, 10}, net::Port{5000}};
const net::Endpoint kExternal{{203, 0, 113, 1}, net::Port{40001}};
const net::Endpoint kRemote{{198, 51, 100, 7}, net::Port{1723}};

/// A SYN whose options are these octets, padded with end-of-list, with a right checksum.
oracle::Bytes synWithOptions(oracle::Bytes options)
{
    options.resize((options.size() + 3) / 4 * 4);
    auto bytes =
        buildTcp({.source = kInternal, .destination = kRemote, .flags = tcp_flag::kSyn}, options);
    bytes[32] = static_cast<std::uint8_t>((20 + options.size()) / 4 << 4);
    return oracle::rewritten(bytes);
}

}  // namespace

class TcpViewTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void parse_ofABuiltSegment_readsEveryField()
    {
        auto bytes = buildTcp({.source = kInternal,
                               .destination = kRemote,
                               .flags = tcp_flag::kSyn | tcp_flag::kAck,
                               .sequence = 0x01020304,
                               .acknowledgement = 0xfffefdfc,
                               .window = 4321,
                               .maximumSegmentSize = 1460,
                               .windowScale = 7},
                              oracle::Bytes(5));
        auto ip = Ipv4View::parse(bytes);
        const auto tcp = TcpView::parse(ip->payload());
        QVERIFY(tcp);
        QCOMPARE(tcp->sourcePort(), kInternal.port);
        QCOMPARE(tcp->destinationPort(), kRemote.port);
        QCOMPARE(tcp->sequence(), 0x01020304U);
        QCOMPARE(tcp->acknowledgement(), 0xfffefdfcU);
        QCOMPARE(tcp->window(), std::uint16_t{4321});
        QVERIFY(tcp->has(tcp_flag::kSyn));
        QVERIFY(!tcp->has(tcp_flag::kFin));
        QCOMPARE(tcp->maximumSegmentSize().value(), std::uint16_t{1460});
        QCOMPARE(tcp->windowScale().value(), std::uint8_t{7});
        QCOMPARE(tcp->payload().size(), std::size_t{5});
        QCOMPARE(tcp->sequenceLength(), 6U);
        QVERIFY(tcp->hasValidChecksum(*ip));
    }

    void parse_ofEveryCutOfTheHeader_refuses()
    {
        const auto whole = buildTcp({.source = kInternal,
                                     .destination = kRemote,
                                     .maximumSegmentSize = 1,
                                     .windowScale = 2});
        for (std::size_t size = 0; size < whole.size() - 20; ++size) {
            oracle::Bytes tcp(whole.begin() + 20,
                              whole.begin() + 20 + static_cast<std::ptrdiff_t>(size));
            QVERIFY(!TcpView::parse(tcp));
        }
    }

    void parse_withDataOffsetBelowFive_refuses()
    {
        oracle::Bytes tcp(60);
        for (unsigned words = 0; words < 5; ++words) {
            tcp[12] = static_cast<std::uint8_t>(words << 4);
            QCOMPARE(TcpView::parse(tcp).error(), ParseError::BadLength);
        }
    }

    // Requirement G1.
    void rewrites_ofRandomSegments_equalLibtins()
    {
        Random random{{3, 1}};
        for (int round = 0; round < 2000; ++round) {
            auto bytes = buildTcp(
                {.source = oracle::randomEndpoint(random),
                 .destination = oracle::randomEndpoint(random),
                 .flags = tcp_flag::kSyn,
                 .sequence = static_cast<std::uint32_t>(random.next()),
                 .maximumSegmentSize = static_cast<std::uint16_t>(1000 + random.below(900)),
                 .windowScale = static_cast<std::uint8_t>(random.below(15))},
                oracle::randomBytes(random, random.below(70)));
            const auto source = oracle::randomEndpoint(random);
            const auto destination = oracle::randomEndpoint(random);
            const auto expected = oracle::rewritten(bytes, [&](Tins::IP& ip) {
                auto& tcp = ip.rfind_pdu<Tins::TCP>();
                ip.src_addr(Tins::IPv4Address(source.address.toString()));
                ip.dst_addr(Tins::IPv4Address(destination.address.toString()));
                tcp.sport(source.port.hostOrder());
                tcp.dport(destination.port.hostOrder());
                const std::uint16_t mss = std::min<std::uint16_t>(tcp.mss(), 1412);
                // libtins appends options and never replaces one; its first is ours.
                const std::uint8_t octets[]{static_cast<std::uint8_t>(mss >> 8),
                                            static_cast<std::uint8_t>(mss)};
                const_cast<Tins::TCP::option&>(*tcp.search_option(Tins::TCP::MSS)) =
                    Tins::TCP::option(Tins::TCP::MSS, 2, octets);
            });
            auto ip = Ipv4View::parse(bytes);
            auto tcp = TcpView::parse(ip->payload());
            tcp->rewriteSource(*ip, source, ChecksumState::Complete);
            tcp->rewriteDestination(*ip, destination, ChecksumState::Complete);
            tcp->clampMaximumSegmentSize(1412, ChecksumState::Complete);
            QCOMPARE(bytes, expected);
            QVERIFY(tcp->hasValidChecksum(*ip));
        }
    }

    void clamp_atAnOddOffset_keepsTheChecksum()
    {
        auto bytes = synWithOptions({1, 2, 4, 0x05, 0xb4, 3, 3, 9});
        auto ip = Ipv4View::parse(bytes);
        auto tcp = TcpView::parse(ip->payload());
        QVERIFY(tcp->hasValidChecksum(*ip));
        tcp->clampMaximumSegmentSize(1000, ChecksumState::Complete);
        QCOMPARE(tcp->maximumSegmentSize().value(), std::uint16_t{1000});
        QCOMPARE(tcp->windowScale().value(), std::uint8_t{9});
        QVERIFY(tcp->hasValidChecksum(*ip));
    }

    void clamp_ofASmallerOption_changesNothing()
    {
        auto bytes = synWithOptions({2, 4, 0x02, 0x18});
        const auto before = bytes;
        TcpView::parse(Ipv4View::parse(bytes)->payload())
            ->clampMaximumSegmentSize(1412, ChecksumState::Complete);
        QCOMPARE(bytes, before);
    }

    void options_thatContradictThemselves_areReadUpToThere_data()
    {
        QTest::addColumn<QByteArray>("options");
        QTest::addColumn<bool>("found");
        QTest::newRow("only no-operations") << QByteArray("\1\1\1\1", 4) << false;
        QTest::newRow("length zero") << QByteArray("\5\0\3\3\7\0\0\0", 8) << false;
        QTest::newRow("length one") << QByteArray("\5\1\3\3\7\0\0\0", 8) << false;
        QTest::newRow("beyond the header") << QByteArray("\5\11\3\3\7\0\0\0", 8) << false;
        QTest::newRow("cut before its length") << QByteArray("\1\1\1\3", 4) << false;
        QTest::newRow("after the end") << QByteArray("\0\3\3\7", 4) << false;
        QTest::newRow("wrong length for its kind") << QByteArray("\3\4\7\7", 4) << false;
        QTest::newRow("after an unknown one") << QByteArray("\375\4xx\3\3\7\0", 8) << true;
    }
    void options_thatContradictThemselves_areReadUpToThere()
    {
        QFETCH(QByteArray, options);
        QFETCH(bool, found);
        oracle::Bytes tcp(20);
        tcp[12] = static_cast<std::uint8_t>((20 + options.size()) / 4 << 4);
        tcp.insert(tcp.end(), options.begin(), options.end());
        const auto view = TcpView::parse(tcp);
        QVERIFY(view);
        QCOMPARE(view->windowScale().has_value(), found);
    }

    // RFC 7323 §2.3
    void windowScale_aboveFourteen_countsAsFourteen()
    {
        auto bytes = synWithOptions({3, 3, 200});
        QCOMPARE(TcpView::parse(Ipv4View::parse(bytes)->payload())->windowScale().value(),
                 std::uint8_t{14});
    }

    void rewritePayload_atEveryOffset_keepsTheChecksum()
    {
        Random random{{3, 3}};
        auto bytes = buildTcp({.source = kInternal, .destination = kRemote},
                              oracle::randomBytes(random, 41));
        auto ip = Ipv4View::parse(bytes);
        auto tcp = TcpView::parse(ip->payload());
        for (std::size_t size = 0; size < 5; ++size) {
            for (std::size_t at = 0; at + size <= 41; ++at) {
                tcp->rewritePayload(at, oracle::randomBytes(random, size), ChecksumState::Complete);
                QVERIFY(tcp->hasValidChecksum(*ip));
            }
        }
    }

    void partialChecksum_afterTranslation_finishesRight()
    {
        auto bytes = buildTcp({.source = kInternal,
                               .destination = kRemote,
                               .flags = tcp_flag::kSyn,
                               .maximumSegmentSize = 1460},
                              oracle::Bytes(33, 5));
        auto ip = Ipv4View::parse(bytes);
        auto tcp = TcpView::parse(ip->payload());
        ChecksumSum pseudo;
        pseudo.addPseudoHeader(kInternal.address, kRemote.address, net::IpProtocol::Tcp,
                               ip->payload().size());
        store16(ip->payload(), 16, pseudo.folded());
        tcp->rewriteSource(*ip, kExternal, ChecksumState::Partial);
        tcp->clampMaximumSegmentSize(1000, ChecksumState::Partial);
        tcp->rewritePayload(3, oracle::Bytes{9, 9}, ChecksumState::Partial);

        ChecksumSum card;
        card.add(ip->payload());
        store16(ip->payload(), 16, card.checksum());
        QVERIFY(tcp->hasValidChecksum(*ip));
    }
};

QTEST_APPLESS_MAIN(TcpViewTest)
#include "tcp_view_test.moc"
