#include "engine/lab/host.h"

#include "engine/lab/dns.h"
#include "engine/lab/network.h"
#include "engine/lab/ping.h"
#include "engine/lab/web.h"

#include <QtTest>

#include <memory>

using namespace engine;
using namespace engine::lab;

namespace {

constexpr net::Ipv4Address kInside{192, 168, 77, 10};
constexpr net::Ipv4Address kOutside{198, 51, 100, 10};
constexpr Instant kStart{1h};

std::unique_ptr<Network> plainNetwork(std::uint64_t seed = 1)
{
    return std::make_unique<Network>(kStart, HashKey{seed, 2}, std::make_unique<PlainWire>());
}

}  // namespace

class HostTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void dnsPingAndWeb_overAPlainWire_areAllAnswered()
    {
        const auto network = plainNetwork();
        Host& inside = network->addInternal("laptop", kInside);
        Host& outside = network->addExternal("server", kOutside);
        outside.run<DnsServer>();
        outside.run<WebServer>();
        const auto& dns = inside.run<DnsClient>(DnsClient::Options{.server = kOutside});
        const auto& ping = inside.run<Pinger>(Pinger::Options{.target = kOutside});
        const auto& web = inside.run<WebClient>(
            WebClient::Options{.server = {kOutside, kWebPort}, .size = 200000});
        network->advance(1min);
        QVERIFY(dns.report().received >= 15);
        QVERIFY(dns.report().received + 1 >= dns.report().sent);
        QCOMPARE(ping.report().wrong, 0U);
        QVERIFY(ping.report().received >= 58);
        QCOMPARE(ping.roundTrip(), Duration{22ms});
        QVERIFY(web.report().received >= 9);
        QCOMPARE(web.report().wrong, 0U);
        QCOMPARE(network->counters().faulty, 0U);
    }

    void web_overALossyWire_stillArrivesWhole()
    {
        const auto network = plainNetwork();
        Host& inside = network->addInternal(
            "laptop", kInside,
            {.latency = 3ms, .jitter = 4ms, .loss = 50000, .reorder = 100000, .duplicate = 50000});
        network->addExternal("server", kOutside).run<WebServer>();
        const auto& web = inside.run<WebClient>(
            WebClient::Options{.server = {kOutside, kWebPort}, .size = 60000, .every = 10s});
        network->advance(10min);
        QVERIFY2(web.report().received > 40, qPrintable(QString::number(web.report().received)));
        QCOMPARE(web.report().wrong, 0U);
        QCOMPARE(web.report().failures, 0U);
        QVERIFY(network->counters().lost > 100);
    }

    void largeDatagram_isFragmentedAndPutTogether()
    {
        const auto network = plainNetwork();
        Host& inside = network->addInternal("a", kInside, {.latency = 2ms, .reorder = 500000});
        Host& outside = network->addExternal("b", kOutside);
        Octets got;
        outside.bindUdp(net::Port{9}, [&](const net::Endpoint&, wire::ConstBytes payload) {
            got = copyOf(payload);
        });
        Octets sent;
        for (int i = 0; i < 6000; ++i)
            sent.push_back(static_cast<std::uint8_t>(i * 7));
        inside.sendUdp(net::Port{1000}, {kOutside, net::Port{9}}, sent);
        network->advance(1s);
        QCOMPARE(network->counters().packets, 5U);
        QVERIFY(got == sent);
    }

    void closedPort_isAnsweredWithPortUnreachable()
    {
        const auto network = plainNetwork();
        Host& inside = network->addInternal("a", kInside);
        network->addExternal("b", kOutside);
        int code = -1;
        inside.addIcmpHandler([&](const Host::IcmpNews& news) {
            if (news.type == 3) code = news.code;
        });
        inside.sendUdp(net::Port{1000}, {kOutside, net::Port{9}}, octetsOf("hello"));
        network->advance(1s);
        QCOMPARE(code, 3);
    }

    void sameSeed_sameStream()
    {
        const auto run = [](std::uint64_t seed) {
            const auto network = plainNetwork(seed);
            Host& inside = network->addInternal("a", kInside, {.jitter = 5ms, .loss = 20000});
            network->addExternal("b", kOutside).run<WebServer>();
            inside.run<WebClient>(WebClient::Options{.server = {kOutside, kWebPort}});
            network->advance(1min);
            return network->streamHash();
        };
        QCOMPARE(run(5), run(5));
        QVERIFY(run(5) != run(6));
    }

    void faultOf_findsAnyFlippedBit()
    {
        Datagram datagram{.source = kInside, .destination = kOutside};
        datagram.payload = encodeUdp({kInside, net::Port{5}}, {kOutside, net::Port{6}},
                                     octetsOf("content"), UdpChecksum::Computed);
        const Octets good = encode(datagram);
        QCOMPARE(faultOf(good), std::string{});
        for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
            Octets bad = good;
            bad[bit / 8] = static_cast<std::uint8_t>(bad[bit / 8] ^ (1U << bit % 8));
            QVERIFY2(!faultOf(bad).empty(), qPrintable(QString::number(bit)));
        }
    }

    void message_alteredOrForAnother_isWrong()
    {
        PeerReport report;
        Speaker speaker{7, {}};
        const Octets asked = speaker.next(report);
        const auto replies = answer(asked, 99, 7, report);
        QCOMPARE(replies.size(), std::size_t{1});
        PeerReport mine;
        speaker.hear(replies[0], mine);
        QCOMPARE(mine.received, 1U);
        PeerReport other;
        Speaker{8, {}}.hear(replies[0], other);
        QCOMPARE(other.wrong, 1U);
        Octets altered = replies[0];
        altered.back() ^= 1U;
        speaker.hear(altered, mine);
        QCOMPARE(mine.wrong, 1U);
        QVERIFY(answer(asked, 99, 6, other).empty());
        Octets clear;
        QVERIFY(unseal(5, seal(5, asked), clear) && clear == asked);
        QVERIFY(!unseal(6, seal(5, asked), clear));
    }
};

QTEST_APPLESS_MAIN(HostTest)
#include "host_test.moc"
