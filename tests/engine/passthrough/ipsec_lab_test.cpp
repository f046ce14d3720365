#include "engine/lab/ipsec.h"
#include "engine/lab/scenario.h"

#include <QtTest>

#include <memory>
#include <string>
#include <vector>

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
};

QTEST_APPLESS_MAIN(IpsecLabTest)
#include "ipsec_lab_test.moc"
