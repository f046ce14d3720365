#include "engine/wire/icmp_view.h"

#include "engine/wire/builder.h"
#include "engine/wire/ipv4_view.h"

#include <QtTest>

#include "tests/engine/wire/tins_oracle.h"

using namespace engine;
using namespace engine::wire;

class IcmpViewTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void parse_belowEightOctets_refuses()
    {
        for (std::size_t size = 0; size < 8; ++size) {
            oracle::Bytes icmp(size);
            QVERIFY(!IcmpView::parse(icmp));
        }
    }

    void kinds_ofAllTypes_areQueryErrorOrNeither()
    {
        oracle::Bytes icmp(8);
        for (unsigned type = 0; type < 256; ++type) {
            icmp[0] = static_cast<std::uint8_t>(type);
            const auto view = IcmpView::parse(icmp);
            const bool query = type == 0 || type == 8 || type == 13 || type == 14;
            const bool error = type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
            QCOMPARE(view->isQuery(), query);
            QCOMPARE(view->isError(), error);
            QCOMPARE(view->isQueryRequest(), type == 8 || type == 13);
        }
    }

    // RFC 5508 REQ-1
    void rewriteIdentifier_ofRandomEchoes_equalsLibtins()
    {
        Random random{{4, 1}};
        for (int round = 0; round < 2000; ++round) {
            auto bytes = buildIcmpQuery({.source = oracle::randomEndpoint(random).address,
                                         .destination = oracle::randomEndpoint(random).address,
                                         .identifier = static_cast<std::uint16_t>(random.next()),
                                         .sequence = static_cast<std::uint16_t>(random.next())},
                                        oracle::randomBytes(random, random.below(70)));
            const auto id = static_cast<std::uint16_t>(random.next());
            const auto expected =
                oracle::rewritten(bytes, [&](Tins::IP& ip) { ip.rfind_pdu<Tins::ICMP>().id(id); });
            auto icmp = IcmpView::parse(Ipv4View::parse(bytes)->payload());
            QVERIFY(icmp->hasValidChecksum());
            icmp->rewriteIdentifier(net::Port{id});
            QCOMPARE(icmp->identifier(), net::Port{id});
            QCOMPARE(bytes, expected);
            QVERIFY(icmp->hasValidChecksum());
        }
    }
};

QTEST_APPLESS_MAIN(IcmpViewTest)
#include "icmp_view_test.moc"
