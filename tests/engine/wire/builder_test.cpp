#include "engine/wire/builder.h"

#include "engine/wire/ipv4_view.h"
#include "engine/wire/tcp_view.h"
#include "engine/wire/udp_view.h"

#include <QtTest>

#include "tests/engine/wire/tins_oracle.h"

using namespace engine;
using namespace engine::wire;

namespace {

const net::Endpoint kInternal{{192, 0, 2, 10}, net::Port{5000}};
const net::Endpoint kRemote{{198, 51, 100, 7}, net::Port{4500}};
const net::Ipv4Address kRouter{192, 0, 2, 1};

}  // namespace

class BuilderTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void packets_readAndWrittenByLibtins_areTheSame()
    {
        Random random{{5, 1}};
        for (std::size_t size = 0; size < 60; ++size) {
            const auto payload = oracle::randomBytes(random, size);
            const auto udp = buildUdp(kInternal, kRemote, payload, {.identification = 5});
            QCOMPARE(udp, oracle::rewritten(udp));
            const auto tcp = buildTcp({.source = kInternal,
                                       .destination = kRemote,
                                       .flags = tcp_flag::kAck,
                                       .maximumSegmentSize = 536},
                                      payload);
            QCOMPARE(tcp, oracle::rewritten(tcp));
            const auto echo = buildIcmpQuery({.source = kInternal.address,
                                              .destination = kRemote.address,
                                              .identifier = 9,
                                              .sequence = 8},
                                             payload);
            QCOMPARE(echo, oracle::rewritten(echo));
        }
    }

    void udp_whoseSumIsZero_carriesOnes()
    {
        for (std::uint32_t word = 0; word <= 0xffff; ++word) {
            auto bytes = buildUdp(kInternal, kRemote,
                                  oracle::Bytes{static_cast<std::uint8_t>(word >> 8),
                                                static_cast<std::uint8_t>(word)});
            QVERIFY(load16(bytes, 26) != 0);
        }
    }

    // RFC 1812 §4.3.2.3
    void icmpError_aboutALongPacket_has576Octets()
    {
        const auto offending = buildUdp(kInternal, kRemote, oracle::Bytes(1400, 3));
        auto error =
            buildIcmpError({.source = kRouter, .code = icmp_unreachable::kPort}, offending);
        QCOMPARE(error.size(), std::size_t{576});
        const auto ip = Ipv4View::parse(error);
        QVERIFY(ip->hasValidChecksum());
        QCOMPARE(ip->destination(), kInternal.address);
        const auto icmp = IcmpView::parse(ip->payload());
        QVERIFY(icmp->hasValidChecksum());
        QVERIFY(std::equal(icmp->payload().begin(), icmp->payload().end(), offending.begin()));
    }

    void icmpError_aboutAShortPacket_quotesAllOfIt()
    {
        const auto offending = buildUdp(kInternal, kRemote, oracle::Bytes(3));
        const auto error = buildIcmpError({.source = kRouter, .rest = 1400}, offending);
        QCOMPARE(error.size(), 28 + offending.size());
        QCOMPARE(load32(error, 24), 1400U);
    }

    void options_ofAnyLength_arePaddedAndCovered()
    {
        for (std::size_t size = 0; size <= 40; ++size) {
            auto bytes =
                buildUdp(kInternal, kRemote, oracle::Bytes(4), {.options = oracle::Bytes(size, 1)});
            const auto ip = Ipv4View::parse(bytes);
            QVERIFY(ip);
            QVERIFY(ip->hasValidChecksum());
            QCOMPARE(ip->options().size(), (size + 3) / 4 * 4);
            QVERIFY(UdpView::parse(ip->payload())->hasValidChecksum(*ip));
        }
    }
};

QTEST_APPLESS_MAIN(BuilderTest)
#include "builder_test.moc"
