#include "engine/wire/fragmenter.h"

#include "engine/base/random.h"
#include "engine/wire/builder.h"

#include <QtTest>

using namespace engine;
using namespace engine::wire;

using Bytes = std::vector<std::uint8_t>;

namespace {

const net::Ipv4Address kFrom{192, 0, 2, 10};
const net::Ipv4Address kTo{198, 51, 100, 7};

/// What a receiver does, with the checks that it may skip.
Bytes reassembled(std::vector<Bytes>& fragments, std::size_t mtu)
{
    Bytes payload;
    for (std::size_t i = 0; i < fragments.size(); ++i) {
        const auto view = Ipv4View::parse(fragments[i]);
        if (!view || !view->hasValidChecksum() || view->totalLength() > mtu) return {};
        if (view->fragmentOffset() != payload.size()) return {};
        if (view->moreFragments() != (i + 1 < fragments.size())) return {};
        payload.insert(payload.end(), view->payload().begin(), view->payload().end());
    }
    return payload;
}

}  // namespace

class FragmenterTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    // RFC 4787 REQ-13a
    void fragments_atManySizes_comeInOrderAndMakeThePacketAgain()
    {
        Random random{{6, 1}};
        for (int round = 0; round < 300; ++round) {
            Bytes payload(random.below(9000));
            for (auto& octet : payload)
                octet = static_cast<std::uint8_t>(random.next());
            const std::size_t mtu = kSmallestMtu + random.below(1500);
            auto packet = buildIpv4(kFrom, kTo, net::IpProtocol::Udp, payload,
                                    {.identification = 99, .dontFragment = false});
            auto fragments = fragmentIpv4(*Ipv4View::parse(packet), mtu);
            QCOMPARE(reassembled(fragments, mtu), payload);
            for (auto& fragment : fragments) {
                QCOMPARE(Ipv4View::parse(fragment)->identification(), std::uint16_t{99});
            }
        }
    }

    void packet_thatFits_comesBackUnchanged()
    {
        auto packet = buildIpv4(kFrom, kTo, net::IpProtocol::Udp, Bytes(1480));
        const auto fragments = fragmentIpv4(*Ipv4View::parse(packet), 1500);
        QCOMPARE(fragments.size(), std::size_t{1});
        QCOMPARE(fragments[0], packet);
    }

    // RFC 791 §3.1
    void options_withTheCopiedFlag_areInEveryFragment()
    {
        // Record route (not copied), then router alert (copied).
        const Bytes options{7, 7, 4, 0, 0, 0, 0, 1, 0x94, 4, 0, 0};
        auto packet = buildIpv4(kFrom, kTo, net::IpProtocol::Udp, Bytes(3000, 1),
                                {.dontFragment = false, .options = options});
        auto fragments = fragmentIpv4(*Ipv4View::parse(packet), 1000);
        QVERIFY(fragments.size() > 2);
        const auto optionsOf = [](Bytes& fragment) {
            const auto octets = Ipv4View::parse(fragment)->options();
            return Bytes(octets.begin(), octets.end());
        };
        QCOMPARE(optionsOf(fragments[0]), options);
        for (std::size_t i = 1; i < fragments.size(); ++i) {
            QCOMPARE(optionsOf(fragments[i]), (Bytes{0x94, 4, 0, 0}));
        }
        QCOMPARE(reassembled(fragments, 1000), Bytes(3000, 1));
    }

    void options_thatContradictThemselves_areNotFollowed()
    {
        auto packet = buildIpv4(kFrom, kTo, net::IpProtocol::Udp, Bytes(3000, 1),
                                {.dontFragment = false, .options = Bytes{0x94, 40, 0, 0}});
        auto fragments = fragmentIpv4(*Ipv4View::parse(packet), 1000);
        QCOMPARE(reassembled(fragments, 1000), Bytes(3000, 1));
    }

    void fragment_cutAgain_keepsItsPlace()
    {
        auto packet =
            buildIpv4(kFrom, kTo, net::IpProtocol::Udp, Bytes(2000, 1),
                      {.dontFragment = false, .moreFragments = true, .fragmentOffset = 4000});
        auto fragments = fragmentIpv4(*Ipv4View::parse(packet), 576);
        std::size_t offset = 4000;
        for (auto& fragment : fragments) {
            const auto view = Ipv4View::parse(fragment);
            QCOMPARE(view->fragmentOffset(), offset);
            QVERIFY(view->moreFragments());
            offset += view->payload().size();
        }
        QCOMPARE(offset, std::size_t{6000});
    }
};

QTEST_APPLESS_MAIN(FragmenterTest)
#include "fragmenter_test.moc"
