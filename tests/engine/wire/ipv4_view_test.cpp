#include "engine/wire/ipv4_view.h"

#include "engine/wire/builder.h"

#include <QtTest>

#include "tests/engine/wire/tins_oracle.h"

using namespace engine;
using namespace engine::wire;

class Ipv4ViewTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void parse_ofABuiltPacket_readsEveryField()
    {
        auto bytes =
            buildIpv4({192, 0, 2, 1}, {198, 51, 100, 2}, net::IpProtocol::Gre, oracle::Bytes(16, 7),
                      {.ttl = 9,
                       .typeOfService = 3,
                       .identification = 77,
                       .dontFragment = false,
                       .moreFragments = true,
                       .fragmentOffset = 1480});
        const auto view = Ipv4View::parse(bytes);
        QVERIFY(view);
        QCOMPARE(view->source(), (net::Ipv4Address{192, 0, 2, 1}));
        QCOMPARE(view->destination(), (net::Ipv4Address{198, 51, 100, 2}));
        QCOMPARE(view->protocol(), net::IpProtocol::Gre);
        QCOMPARE(view->ttl(), std::uint8_t{9});
        QCOMPARE(view->typeOfService(), std::uint8_t{3});
        QCOMPARE(view->identification(), std::uint16_t{77});
        QVERIFY(!view->dontFragment());
        QVERIFY(view->moreFragments());
        QVERIFY(view->isFragment());
        QCOMPARE(view->fragmentOffset(), std::size_t{1480});
        QCOMPARE(view->payload().size(), std::size_t{16});
        QVERIFY(view->hasValidChecksum());
    }

    void parse_withEthernetPadding_cutsItOff()
    {
        auto bytes =
            buildIpv4({192, 0, 2, 1}, {192, 0, 2, 2}, net::IpProtocol::Udp, oracle::Bytes(8));
        bytes.resize(46);
        QCOMPARE(Ipv4View::parse(bytes)->totalLength(), std::size_t{28});
    }

    void parse_ofEveryCut_isTruncated()
    {
        const auto whole = buildIpv4({192, 0, 2, 1}, {192, 0, 2, 2}, net::IpProtocol::Udp,
                                     oracle::Bytes(30), {.options = oracle::Bytes(8, 1)});
        for (std::size_t size = 0; size < whole.size(); ++size) {
            oracle::Bytes bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
            const auto view = Ipv4View::parse(bytes);
            QVERIFY(!view);
            QCOMPARE(view.error(), ParseError::Truncated);
        }
    }

    void parse_ofContradictions_refuses_data()
    {
        QTest::addColumn<int>("at");
        QTest::addColumn<int>("value");
        QTest::addColumn<ParseError>("error");
        QTest::newRow("version 6") << 0 << 0x65 << ParseError::BadVersion;
        QTest::newRow("version 0") << 0 << 0x05 << ParseError::BadVersion;
        QTest::newRow("header of 16 octets") << 0 << 0x44 << ParseError::BadLength;
        QTest::newRow("header of none") << 0 << 0x40 << ParseError::BadLength;
        QTest::newRow("header longer than the packet") << 0 << 0x4f << ParseError::BadLength;
        QTest::newRow("total shorter than the header") << 3 << 19 << ParseError::BadLength;
        QTest::newRow("total beyond the buffer") << 3 << 29 << ParseError::Truncated;
    }
    void parse_ofContradictions_refuses()
    {
        QFETCH(int, at);
        QFETCH(int, value);
        QFETCH(ParseError, error);
        auto bytes =
            buildIpv4({192, 0, 2, 1}, {192, 0, 2, 2}, net::IpProtocol::Udp, oracle::Bytes(8));
        bytes[static_cast<std::size_t>(at)] = static_cast<std::uint8_t>(value);
        const auto view = Ipv4View::parse(bytes);
        QVERIFY(!view);
        QCOMPARE(view.error(), error);
    }

    void rewrites_ofRandomPackets_equalLibtins()
    {
        Random random{{1, 1}};
        for (int round = 0; round < 2000; ++round) {
            const auto from = oracle::randomEndpoint(random).address;
            const auto to = oracle::randomEndpoint(random).address;
            // Protocol 253 is for experiments (RFC 3692): libtins leaves its payload alone.
            auto bytes = buildIpv4(from, to, net::IpProtocol{253},
                                   oracle::randomBytes(random, 1 + random.below(64)),
                                   {.ttl = static_cast<std::uint8_t>(1 + random.below(255)),
                                    .identification = static_cast<std::uint16_t>(random.next())});
            const auto source = oracle::randomEndpoint(random).address;
            const auto destination = oracle::randomEndpoint(random).address;
            const auto id = static_cast<std::uint16_t>(random.next());
            const auto expected = oracle::rewritten(bytes, [&](Tins::IP& ip) {
                ip.src_addr(Tins::IPv4Address(source.toString()));
                ip.dst_addr(Tins::IPv4Address(destination.toString()));
                ip.id(id);
                ip.ttl(static_cast<std::uint8_t>(ip.ttl() - 1));
            });
            auto view = Ipv4View::parse(bytes);
            view->rewriteSource(source);
            view->rewriteDestination(destination);
            view->rewriteIdentification(id);
            view->decrementTtl();
            QCOMPARE(bytes, expected);
            QVERIFY(view->hasValidChecksum());
        }
    }

    /// Negative control of hasValidChecksum().
    void checksum_withAnyBitFlipped_isInvalid()
    {
        auto bytes =
            buildIpv4({192, 0, 2, 1}, {192, 0, 2, 2}, net::IpProtocol::Udp, oracle::Bytes(8));
        for (std::size_t bit = 0; bit < 160; ++bit) {
            bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] ^ (1U << bit % 8));
            const auto view = Ipv4View::parse(bytes);
            if (view) QVERIFY(!view->hasValidChecksum());
            bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] ^ (1U << bit % 8));
        }
        QVERIFY(Ipv4View::parse(bytes)->hasValidChecksum());
    }
};

QTEST_APPLESS_MAIN(Ipv4ViewTest)
#include "ipv4_view_test.moc"
