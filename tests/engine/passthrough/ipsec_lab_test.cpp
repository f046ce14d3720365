#include "engine/lab/ipsec.h"
#include "engine/lab/scenario.h"

#include <QtTest>

#include <memory>
#include <string>
#include <vector>

#include "tests/engine/compliance/bed.h"

/// IPsec through a whole engine: what passthrough asks for and the NAT has to do.

using namespace engine;
using namespace engine::lab;

namespace {

constexpr Instant kStart{1h};
constexpr net::Ipv4Address kGateway{203, 0, 113, 20};

net::Ipv4Address clientAddress(int index)
{
    return net::Ipv4Address{192, 168, 77, static_cast<std::uint8_t>(11 + index)};
}

struct Office {
    Lab lab{labConfig(HashKey{1, 2}), kStart};
    std::vector<IpsecClient*> clients;

    explicit Office(int count, const IpsecClient::Options& options,
                    const IpsecGateway::Options& gateway = {}, Duration latency = 10ms)
    {
        lab.network()
            .addExternal("gateway", kGateway, LinkQuality{.latency = latency})
            .run<IpsecGateway>(gateway);
        for (int i = 0; i < count; ++i) {
            clients.push_back(&lab.network()
                                   .addInternal("client-" + std::to_string(i), clientAddress(i))
                                   .run<IpsecClient>(options));
        }
    }
    [[nodiscard]] std::uint64_t drops(DropReason reason)
    {
        return lab.snapshot().counters.drops[static_cast<std::size_t>(reason)];
    }
};

}  // namespace

class IpsecLabTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    // IKE_AUTH with certificates comes in several fragments, and of two clients that negotiate at
    // once one has to wait: the whole datagram waits, and leaves whole.
    void heldMessage_inFragments_leavesWhole_data()
    {
        QTest::addColumn<int>("size");
        QTest::newRow("one packet") << 400;
        QTest::newRow("two fragments") << 2200;
        QTest::newRow("four fragments") << 5000;
    }
    void heldMessage_inFragments_leavesWhole()
    {
        QFETCH(const int, size);
        Office office(4, {.gateway = kGateway,
                          .natTraversal = false,
                          .authSize = static_cast<std::uint16_t>(size)});
        // Sooner than anybody would send a message again.
        office.lab.advance(1500ms);
        for (const IpsecClient* client : office.clients) {
            QVERIFY(client->report().up);
            QVERIFY(client->report().received > 0);
        }
        QCOMPARE(office.drops(DropReason::FragmentOfDropped), std::uint64_t{0});
        QCOMPARE(office.drops(DropReason::FragmentOverlap), std::uint64_t{0});
    }

    // RFC 4302 §3.3.3.1; RFC 5508 REQ-8
    void authenticationHeader_isAnsweredOnceAndExplained()
    {
        bed::Bed bed;
        bed::Bytes header{50, 4, 0, 0, 0, 0, 0x12, 0x34, 0, 0, 0, 1};
        header.resize(24);
        const auto packet = wire::buildIpv4(bed::kAnna, bed::kServer, net::IpProtocol::Ah, header);
        std::size_t answers = 0;
        for (int i = 0; i < 1000; ++i) {
            const bed::Outcome outcome = bed.outbound(packet);
            QVERIFY(outcome.dropped(DropReason::AhUntranslatable));
            answers += outcome.made.size();
            if (i > 0) continue;
            QVERIFY(outcome.answeredBy(wire::IcmpType::Unreachable,
                                       wire::icmp_unreachable::kAdministrativelyProhibited));
            QCOMPARE(bed::quotedSource(outcome.made.front().bytes).address, bed::kAnna);
            QCOMPARE(bed::quotedDestination(outcome.made.front().bytes).address, bed::kServer);
        }
        QCOMPARE(answers, std::size_t{1});
        QCOMPARE(bed.drops(DropReason::AhUntranslatable), std::uint64_t{1000});
        const Snapshot snapshot = bed.engine().snapshot(bed.now);
        QCOMPARE(snapshot.tunnels.size(), std::size_t{1});
        QVERIFY(snapshot.tunnels[0].protocol == net::VpnProtocol::Ah);
        QVERIFY(snapshot.tunnels[0].phase == tunnel::Phase::Failed);
        QCOMPARE(snapshot.tunnels[0].findings.size(), std::size_t{1});
        QVERIFY(snapshot.tunnels[0].findings[0].kind == tunnel::FindingKind::AhCannotPass);
        QVERIFY(!snapshot.tunnels[0].findings[0].packets.empty());
        // A minute later once more, and another device for itself.
        QVERIFY(
            !bed.outbound(wire::buildIpv4(bed::kBert, bed::kServer, net::IpProtocol::Ah, header))
                 .silent());
        bed.pass(61s);
        QVERIFY(!bed.outbound(packet).silent());
        QVERIFY(bed.outbound(packet).silent());
        // From outside nobody is told, and nothing is let in.
        QVERIFY(
            bed.inbound(wire::buildIpv4(bed::kServer, bed::kExternal, net::IpProtocol::Ah, header))
                .silent());
    }

    // Two clients of one gateway: a router on the way finds one's packets too big (RFC 5508 REQ-4).
    void errorAboutEsp_reachesTheClientThatSentIt()
    {
        bed::Bed bed;
        const auto esp = [](std::uint32_t spi, std::uint32_t sequence) {
            bed::Bytes payload(1200, 0x5a);
            wire::store32(payload, 0, spi);
            wire::store32(payload, 4, sequence);
            return payload;
        };
        std::vector<bed::Bytes> left;
        for (const auto& [client, spi] : {std::pair{bed::kAnna, 0x1001U}, {bed::kBert, 0x2002U}}) {
            auto outcome = bed.outbound(wire::buildIpv4(client, bed::kServer, net::IpProtocol::Esp,
                                                        esp(spi, 1), {.dontFragment = true}));
            QVERIFY(outcome.outside());
            left.push_back(outcome.packet);
        }
        for (const std::size_t which : {std::size_t{1}, std::size_t{0}}) {
            // Eight octets of ESP are quoted: SPI and sequence number.
            const auto outcome =
                bed.inbound(bed::errorAbout(left[which], wire::IcmpType::Unreachable,
                                            wire::icmp_unreachable::kFragmentationNeeded, 1100));
            QVERIFY(outcome.inside());
            const net::Ipv4Address client = which == 0 ? bed::kAnna : bed::kBert;
            QCOMPARE(outcome.destination().address, client);
            const bed::Bytes quoted = bed::quotedIn(outcome.packet);
            QCOMPARE(net::Ipv4Address{wire::load32(quoted, 12)}, client);
            QCOMPARE(wire::load32(quoted, 20), which == 0 ? 0x1001U : 0x2002U);
        }
        // About an SPI nobody sends on: nobody's.
        bed::Bytes forged = left[0];
        wire::store32(forged, 20, 0x3003);
        QVERIFY(!bed.inbound(bed::errorAbout(forged)).inside());
    }
};

QTEST_APPLESS_MAIN(IpsecLabTest)
#include "ipsec_lab_test.moc"
