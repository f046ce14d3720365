// What the lab's own router calls a tunnel must be found in a recording of the lab's inside, too;
// and nothing else.
#include "app/services/capture_recogniser.h"

#include "engine/lab/scenario.h"

#include <QtTest>

#include <algorithm>
#include <set>
#include <tuple>

using namespace app::services;
using namespace std::chrono_literals;

namespace {

using Found = std::set<
    std::tuple<engine::net::VpnProtocol, engine::net::Ipv4Address, engine::net::Ipv4Address>>;

std::string text(const Found& found)
{
    std::string all;
    for (const auto& [protocol, device, server] : found) {
        all += std::string(engine::net::textOf(protocol).word) + ' ' + device.toString() + " -> " +
               server.toString() + "\n";
    }
    return all;
}

/// Tunnels that certainly or likely are; guesses may differ with the point of view.
Found named(const std::vector<engine::tunnel::Tunnel>& tunnels)
{
    Found found;
    for (const auto& tunnel : tunnels) {
        if (tunnel.confidence == engine::tunnel::Confidence::Guess) continue;
        found.insert({tunnel.protocol, tunnel.device, tunnel.server.address});
    }
    return found;
}

}  // namespace

class CaptureRecogniserTest final : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void recordingOfTheLab_holdsTheTunnelsThatTheRouterSaw()
    {
        auto lab = engine::lab::Lab::make("overview", engine::HashKey{7, 8}, engine::Instant{1h});
        QVERIFY(lab);
        CaptureRecogniser recogniser(engine::HashKey{1, 2});
        lab->network().addTap([&](engine::Instant at, engine::PortId side,
                                  engine::lab::Network::TapPoint, engine::wire::ConstBytes packet) {
            if (side != engine::PortId::Internal) return;
            std::vector<std::uint8_t> copy(packet.begin(), packet.end());
            recogniser.see(at, copy);
        });
        lab->advance(100s);
        const Found routers = named(lab->snapshot().tunnels);
        const auto tunnels = recogniser.finish();
        const Found recorded = named(tunnels);
        QVERIFY(recogniser.packets() > 1000);
        QVERIFY2(routers.size() >= 5, text(routers).c_str());
        Found missed;
        std::ranges::set_difference(routers, recorded, std::inserter(missed, missed.begin()));
        QVERIFY2(missed.empty(),
                 ("missed:\n" + text(missed) + "found:\n" + text(recorded)).c_str());
        for (const auto& tunnel : tunnels) {
            QVERIFY2(
                tunnel.outbound.packets + tunnel.inbound.packets > 0 || !tunnel.findings.empty(),
                std::string(engine::net::textOf(tunnel.protocol).word).c_str());
        }
    }

    void sameRecording_givesTheSameAnswer()
    {
        const auto answer = [] {
            auto lab =
                engine::lab::Lab::make("overview", engine::HashKey{7, 8}, engine::Instant{1h});
            CaptureRecogniser recogniser(engine::HashKey{1, 2});
            lab->network().addTap([&](engine::Instant at, engine::PortId side,
                                      engine::lab::Network::TapPoint,
                                      engine::wire::ConstBytes packet) {
                if (side != engine::PortId::Internal) return;
                std::vector<std::uint8_t> copy(packet.begin(), packet.end());
                recogniser.see(at, copy);
            });
            lab->advance(20s);
            return text(named(recogniser.finish()));
        };
        QCOMPARE(answer(), answer());
    }

    void hostilePackets_neverCrash()
    {
        CaptureRecogniser recogniser(engine::HashKey{1, 2});
        engine::Random random(engine::HashKey{3, 4});
        engine::Instant now{1h};
        for (int round = 0; round < 8000; ++round) {
            std::vector<std::uint8_t> packet(20 + random.below(100));
            for (auto& octet : packet) {
                octet = static_cast<std::uint8_t>(random.next());
            }
            // Believable enough to be looked into.
            packet[0] = 0x45;
            packet[2] = static_cast<std::uint8_t>(packet.size() >> 8);
            packet[3] = static_cast<std::uint8_t>(packet.size() & 0xff);
            packet[6] = packet[7] = 0;
            constexpr std::uint8_t kProtocols[]{6, 17, 47, 50, 115, 4, 41, 97, 51};
            packet[9] = kProtocols[random.below(9)];
            packet[12] = 10;
            packet[16] = 198;
            if (packet.size() > 24 && round % 3 == 0) {
                constexpr std::uint16_t kPorts[]{500, 4500, 1723, 1701, 1194, 443, 51820};
                const std::uint16_t port = kPorts[random.below(7)];
                packet[22] = static_cast<std::uint8_t>(port >> 8);
                packet[23] = static_cast<std::uint8_t>(port & 0xff);
            }
            // Time leaps both ways, as a broken recording's does.
            now +=
                engine::Duration{static_cast<std::int64_t>(random.next() % 2'000'000'000)} - 500ms;
            if (round % 2000 == 1999) now += 24h * 365 * 50;
            recogniser.see(now, packet);
        }
        QVERIFY(recogniser.finish().size() < 8000);
    }
};

QTEST_GUILESS_MAIN(CaptureRecogniserTest)
#include "capture_recogniser_test.moc"
