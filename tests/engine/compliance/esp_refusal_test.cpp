#include <QtTest>

#include "tests/engine/compliance/bed.h"

/// Devices and networks that say by ICMP that they have no use for a VPN's packets: what the engine
/// learns from it.

using namespace bed;
using engine::tunnel::FindingKind;

namespace {

Bytes esp(std::uint32_t spi, std::uint32_t sequence)
{
    Bytes payload(64, 0x5a);
    wire::store32(payload, 0, spi);
    wire::store32(payload, 4, sequence);
    return payload;
}

struct EspBed : Bed {
    Outcome out(Ipv4Address device, std::uint32_t spi, std::uint32_t sequence)
    {
        return outbound(wire::buildIpv4(device, kServer, IpProtocol::Esp, esp(spi, sequence)));
    }
    Outcome in(std::uint32_t spi, std::uint32_t sequence)
    {
        return inbound(wire::buildIpv4(kServer, kExternal, IpProtocol::Esp, esp(spi, sequence)));
    }
    /// The device that got this packet answers that it has no ESP.
    Outcome protocolUnreachable(Ipv4Address device, std::uint32_t spi, std::uint32_t sequence)
    {
        const Bytes quoted = wire::buildIpv4(kServer, device, IpProtocol::Esp, esp(spi, sequence));
        return outbound(errorAbout(quoted, wire::IcmpType::Unreachable,
                                   wire::icmp_unreachable::kProtocol, 0, device));
    }
    bool found(FindingKind kind)
    {
        const auto snapshot = engine().snapshot(now);
        for (const auto& tunnel : snapshot.tunnels) {
            for (const auto& finding : tunnel.findings) {
                if (finding.kind == kind && !finding.packets.empty()) return true;
            }
        }
        return false;
    }
};

/// Everybody inside who got this packet.
std::vector<Ipv4Address> gotBy(Outcome outcome)
{
    std::vector<Ipv4Address> all;
    if (outcome.inside()) all.push_back(view(outcome.packet).destination());
    for (auto& made : outcome.made) {
        if (made.egress == PortId::Internal) {
            Bytes copy = made.bytes;
            all.push_back(view(copy).destination());
        }
    }
    return all;
}

}  // namespace

class EspRefusalTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void protocolUnreachable_fromOneOfTwoCandidates_leavesTheOther_data()
    {
        QTest::addColumn<bool>("refuses");
        QTest::newRow("said") << true;
        QTest::newRow("not said") << false;
    }
    void protocolUnreachable_fromOneOfTwoCandidates_leavesTheOther()
    {
        QFETCH(const bool, refuses);
        EspBed bed;
        bed.expectUnsound();
        QVERIFY(bed.out(kAnna, 0x1001, 1).outside());
        QVERIFY(bed.out(kBert, 0x2002, 1).outside());
        bed.pass(20ms);
        // Nobody can know whose it is: both get a copy.
        QCOMPARE(gotBy(bed.in(0x9009, 1)).size(), std::size_t{2});
        if (refuses) bed.protocolUnreachable(kAnna, 0x9009, 1);
        const auto second = gotBy(bed.in(0x9009, 2));
        if (refuses) {
            QCOMPARE(second, std::vector<Ipv4Address>{kBert});
        } else {
            QCOMPARE(second.size(), std::size_t{2});
        }
    }

    void protocolUnreachable_forAGuess_takesItBack()
    {
        EspBed bed;
        bed.expectUnsound();
        QVERIFY(bed.out(kAnna, 0x1001, 1).outside());
        bed.pass(20ms);
        QCOMPARE(gotBy(bed.in(0x9009, 1)), std::vector<Ipv4Address>{kAnna});
        bed.protocolUnreachable(kAnna, 0x9009, 1);
        QVERIFY(gotBy(bed.in(0x9009, 2)).empty());
        QVERIFY(gotBy(bed.in(0x9009, 3)).empty());
        // Another SPI is another matter.
        QCOMPARE(gotBy(bed.in(0x900a, 1)), std::vector<Ipv4Address>{kAnna});
    }

    void protocolUnreachable_forWhatIsProven_changesNothing()
    {
        EspBed bed;
        bed.expectUnsound();
        for (std::uint32_t i = 1; i < 20; ++i) {
            bed.out(kAnna, 0x1001, i);
            bed.pass(20ms);
            bed.in(0x9009, i);
            bed.pass(200ms);
        }
        bed.protocolUnreachable(kAnna, 0x9009, 19);
        QCOMPARE(gotBy(bed.in(0x9009, 20)), std::vector<Ipv4Address>{kAnna});
    }

    void unreachable_fromTheServer_isAFindingWithItsProof()
    {
        EspBed bed;
        bed.expectUnsound();
        auto left = bed.out(kAnna, 0x1001, 1);
        QVERIFY(left.outside());
        QVERIFY(!bed.found(FindingKind::EspNeverReturns));
        const auto error = errorAbout(left.packet, wire::IcmpType::Unreachable,
                                      wire::icmp_unreachable::kProtocol, 0, kServer);
        QVERIFY(bed.inbound(error).inside());
        QVERIFY(bed.found(FindingKind::EspNeverReturns));
        // And what has carried answers is not judged by a report (RFC 4787 REQ-12).
        EspBed other;
        other.expectUnsound();
        left = other.out(kAnna, 0x1001, 1);
        QVERIFY(!gotBy(other.in(0x9009, 1)).empty());
        QVERIFY(other.inbound(error).inside());
        QVERIFY(!other.found(FindingKind::EspNeverReturns));
    }
};

QTEST_APPLESS_MAIN(EspRefusalTest)
#include "esp_refusal_test.moc"
