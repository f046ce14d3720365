#include "engine/base/random.h"
#include "engine/net/direction.h"
#include "engine/net/endpoint.h"
#include "engine/net/ipv4_address.h"
#include "engine/net/mac_address.h"
#include "engine/net/prefix.h"
#include "engine/net/vpn_protocol.h"

#include <QHostAddress>
#include <QtTest>

#include <set>

using namespace engine;
using namespace engine::net;

class NetTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void address_fromPartsAndText_isTheSame()
    {
        QVERIFY(Ipv4Address(192, 0, 2, 1) == *Ipv4Address::parse("192.0.2.1"));
        QCOMPARE(Ipv4Address(192, 0, 2, 1).hostOrder(), 0xc0000201U);
        QVERIFY(Ipv4Address{}.isUnspecified());
        QVERIFY(Ipv4Address(10, 0, 0, 1) < Ipv4Address(192, 0, 2, 1));
    }

    /// Qt's QHostAddress is the other opinion.
    void address_ofRandomValues_isWrittenLikeQtDoes()
    {
        Random random{{1, 1}};
        for (int i = 0; i < 5000; ++i) {
            const auto value = static_cast<std::uint32_t>(random.next());
            const auto text = Ipv4Address{value}.toString();
            QCOMPARE(QString::fromStdString(text), QHostAddress(value).toString());
            QCOMPARE(Ipv4Address::parse(text)->hostOrder(), value);
        }
    }

    void address_thatIsNone_isRefused_data()
    {
        QTest::addColumn<QString>("text");
        for (const auto* text :
             {"",         ".",         "1",         "1.2.3",     "1.2.3.4.5",  "1.2.3.",
              ".1.2.3",   "1..2.3",    "256.1.1.1", "1.2.3.256", "1.2.3.0400", "1.2.3.4 ",
              " 1.2.3.4", "1.2.3.-4",  "1.2.3.4x",  "a.b.c.d",   "0x1.2.3.4",  "1.2.3.99999999999",
              "1,2,3,4",  "1.2.3.4/24"}) {
            QTest::newRow(text) << QString(text);
        }
    }
    void address_thatIsNone_isRefused()
    {
        QFETCH(QString, text);
        QVERIFY(!Ipv4Address::parse(text.toStdString()));
    }

    void prefix_clearsHostBitsAndKnowsItsEnds()
    {
        const auto prefix = *Prefix::parse("192.0.2.77/26");
        QCOMPARE(prefix.toString(), std::string("192.0.2.64/26"));
        QVERIFY(prefix.broadcast() == Ipv4Address(192, 0, 2, 127));
        QVERIFY(prefix.contains({192, 0, 2, 64}));
        QVERIFY(prefix.contains({192, 0, 2, 127}));
        QVERIFY(!prefix.contains({192, 0, 2, 63}));
        QVERIFY(!prefix.contains({192, 0, 2, 128}));
    }

    void prefix_ofEveryLength_containsWhatQtSays()
    {
        Random random{{2, 1}};
        for (std::uint8_t length = 0; length <= 32; ++length) {
            for (int i = 0; i < 200; ++i) {
                const auto network = static_cast<std::uint32_t>(random.next());
                // Near the network, so that both answers come.
                const std::uint32_t address = network ^ (1U << random.below(32));
                QCOMPARE(Prefix(Ipv4Address{network}, length).contains(Ipv4Address{address}),
                         QHostAddress(address).isInSubnet(QHostAddress(network), length));
            }
        }
    }

    void prefixes_overlapWhenOneHoldsTheOther()
    {
        const auto overlap = [](const char* a, const char* b) {
            return Prefix::parse(a)->overlaps(*Prefix::parse(b)) &&
                   Prefix::parse(b)->overlaps(*Prefix::parse(a));
        };
        QVERIFY(overlap("192.0.2.0/24", "192.0.2.128/25"));
        QVERIFY(overlap("0.0.0.0/0", "203.0.113.9"));
        QVERIFY(!overlap("192.0.2.0/25", "192.0.2.128/25"));
    }

    void prefix_thatIsNone_isRefused()
    {
        for (const auto* text : {"192.0.2.0/33", "192.0.2.0/", "192.0.2.0/2x", "192.0.2.0/-1",
                                 "192.0.2/24", "/24", "192.0.2.0/024", "192.0.2.0/24/24"}) {
            QVERIFY2(!Prefix::parse(text), text);
        }
    }

    void macAddress_isWrittenAndKnowsItsBits()
    {
        const MacAddress device{{0x02, 0xab, 0, 1, 2, 0xff}};
        QCOMPARE(device.toString(), std::string("02:ab:00:01:02:ff"));
        QVERIFY(device.isLocal() && !device.isGroup());
        QVERIFY(MacAddress::broadcast().isGroup());
        QVERIFY(!(MacAddress{{0x00, 0x1b, 0x21, 1, 2, 3}}.isLocal()));
    }

    void endpoint_isWrittenWithItsPort()
    {
        QCOMPARE((Endpoint{{192, 0, 2, 1}, Port{4500}}.toString()), std::string("192.0.2.1:4500"));
    }

    void portRange_countsAndOverlaps()
    {
        const PortRange range{Port{1024}, Port{65535}};
        QCOMPARE(range.size(), 64512U);
        QVERIFY(range.contains(Port{1024}) && range.contains(Port{65535}));
        QVERIFY(!range.contains(Port{1023}));
        QVERIFY(range.overlaps({Port{1}, Port{1024}}));
        QVERIFY(!range.overlaps({Port{1}, Port{1023}}));
        QCOMPARE((PortRange{Port{2}, Port{1}}.size()), 0U);
        QCOMPARE((PortRange{Port{0}, Port{65535}}.size()), 65536U);
    }

    void direction_opposite_isTheOther()
    {
        QVERIFY(opposite(Direction::Outbound) == Direction::Inbound);
        QVERIFY(opposite(Direction::Inbound) == Direction::Outbound);
    }

    void vpnProtocols_allOfThem_areFoundByTheirWord()
    {
        std::set<std::string_view> words;
        for (const auto& text : kVpnProtocols) {
            QVERIFY(words.insert(text.word).second);
            QVERIFY(vpnProtocolFromWord(text.word) == text.protocol);
            QCOMPARE(textOf(text.protocol).name, text.name);
        }
        QVERIFY(!vpnProtocolFromWord("carrier-pigeon"));
    }
};

QTEST_APPLESS_MAIN(NetTest)
#include "net_test.moc"
