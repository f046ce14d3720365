#include "engine/link/ethernet_port.h"

#include <QtTest>

#include <algorithm>

using namespace engine;
using namespace engine::link;
using namespace std::chrono_literals;

namespace {

using Bytes = std::vector<std::uint8_t>;
using Header = std::array<std::uint8_t, kEthernetHeader>;

constexpr net::Ipv4Address kRouter{192, 0, 2, 1};
constexpr net::Ipv4Address kAlice{192, 0, 2, 10};
constexpr net::Ipv4Address kGateway{192, 0, 2, 254};
constexpr net::Ipv4Address kFar{203, 0, 113, 7};
constexpr net::MacAddress kRouterMac{{2, 0, 0, 0, 0, 1}};
constexpr net::MacAddress kAliceMac{{2, 0, 0, 0, 0, 10}};
constexpr net::MacAddress kMalloryMac{{2, 0, 0, 0, 0, 66}};
constexpr net::MacAddress kGatewayMac{{2, 0, 0, 0, 0, 254}};

enum class Operation : std::uint16_t { Request = 1, Reply = 2 };

Bytes ethernet(net::MacAddress to, net::MacAddress from, std::uint16_t type, std::size_t body)
{
    Bytes frame;
    frame.insert(frame.end(), to.octets().begin(), to.octets().end());
    frame.insert(frame.end(), from.octets().begin(), from.octets().end());
    frame.push_back(static_cast<std::uint8_t>(type >> 8));
    frame.push_back(static_cast<std::uint8_t>(type));
    frame.resize(kEthernetHeader + body);
    return frame;
}

Bytes arp(net::MacAddress to, Operation operation, net::MacAddress senderMac,
          net::Ipv4Address sender, net::MacAddress targetMac, net::Ipv4Address target)
{
    Bytes frame = ethernet(to, senderMac, 0x0806, 28);
    const auto body = wire::MutableBytes{frame}.subspan(kEthernetHeader);
    wire::store16(body, 0, 1);
    wire::store16(body, 2, 0x0800);
    body[4] = 6;
    body[5] = 4;
    wire::store16(body, 6, static_cast<std::uint16_t>(operation));
    std::copy(senderMac.octets().begin(), senderMac.octets().end(), body.begin() + 8);
    wire::store32(body, 14, sender.hostOrder());
    std::copy(targetMac.octets().begin(), targetMac.octets().end(), body.begin() + 18);
    wire::store32(body, 24, target.hostOrder());
    return frame;
}

Bytes reply(net::MacAddress mac, net::Ipv4Address address)
{
    return arp(kRouterMac, Operation::Reply, mac, address, kRouterMac, kRouter);
}

Bytes ipPacket(net::Ipv4Address source, net::Ipv4Address destination, std::size_t payload = 8)
{
    Bytes packet{0x45};
    packet.resize(20 + payload);
    wire::store16(packet, 2, static_cast<std::uint16_t>(packet.size()));
    packet[8] = 64;
    packet[9] = 17;
    wire::store32(packet, 12, source.hostOrder());
    wire::store32(packet, 16, destination.hostOrder());
    return packet;
}

Bytes ipFrame(net::MacAddress to, net::MacAddress from, const Bytes& packet)
{
    Bytes frame = ethernet(to, from, 0x0800, packet.size());
    std::copy(packet.begin(), packet.end(), frame.begin() + kEthernetHeader);
    return frame;
}

EthernetConfig config(SourceCheck check = SourceCheck::Off)
{
    return {.mac = kRouterMac,
            .address = kRouter,
            .prefix = net::Prefix{kRouter, 24},
            .gateway = kGateway,
            .answers = ArpAnswers::ProxiedOnly,
            .sourceCheck = check,
            .proxied = {}};
}

/// A port, a clock and what the port wants sent.
struct Fixture {
    EthernetPort port;
    Instant now{1h};
    LinkOutput output;

    explicit Fixture(EthernetConfig c = config()) : port(HashKey{1, 2}, std::move(c)) {}

    Arrival receive(Bytes frame)
    {
        m_frame = std::move(frame);
        return port.receive(now, m_frame, output);
    }
    Departure send(Bytes packet)
    {
        wire::Packet p{packet, wire::ChecksumState::Complete, 0};
        return port.prepare(now, p, header, output);
    }
    void pass(Duration time)
    {
        const Instant end = now + time;
        while (port.nextTimeout() && *port.nextTimeout() <= end) {
            now = std::max(now, *port.nextTimeout());
            port.handleTimeout(now, output);
        }
        now = end;
    }
    void learn(net::Ipv4Address address, net::MacAddress mac)
    {
        (void)send(ipPacket(kRouter, address));
        (void)receive(reply(mac, address));
        output.clear();
    }
    [[nodiscard]] net::MacAddress destination() const
    {
        std::array<std::uint8_t, 6> octets{};
        std::copy_n(header.begin(), 6, octets.begin());
        return net::MacAddress{octets};
    }
    [[nodiscard]] std::size_t requests() const
    {
        return static_cast<std::size_t>(std::count_if(
            output.frames.begin(), output.frames.end(),
            [](const auto& f) { return wire::load16(f.bytes, 12) == 0x0806 && f.bytes[21] == 1; }));
    }

    Header header{};

private:
    Bytes m_frame;
};

}  // namespace

class EthernetPortTest final : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void frame_withPadding_losesIt()
    {
        Fixture f;
        Bytes frame = ipFrame(kRouterMac, kAliceMac, ipPacket(kAlice, kFar));
        frame.resize(60);
        const auto arrival = f.receive(frame);
        QCOMPARE(arrival.kind, Arrival::Kind::Packet);
        QCOMPARE(arrival.packet.size(), std::size_t{28});
    }

    void frame_notForUs_isIgnored()
    {
        Fixture f;
        QCOMPARE(f.receive(ipFrame(kGatewayMac, kAliceMac, ipPacket(kAlice, kFar))).kind,
                 Arrival::Kind::Ignored);
        QCOMPARE(f.receive(ethernet(kRouterMac, kAliceMac, 0x86dd, 60)).kind,
                 Arrival::Kind::Ignored);
        // RFC 1122 §3.3.6: broadcast below, unicast above.
        QCOMPARE(f.receive(ipFrame(net::MacAddress::broadcast(), kAliceMac, ipPacket(kAlice, kFar)))
                     .kind,
                 Arrival::Kind::Ignored);
        QCOMPARE(f.receive(ipFrame(net::MacAddress::broadcast(), kAliceMac,
                                   ipPacket(kAlice, net::Ipv4Address{0xffffffff})))
                     .kind,
                 Arrival::Kind::Packet);
    }

    void frame_truncatedAnywhere_isNeverRead()
    {
        const Bytes whole = ipFrame(kRouterMac, kAliceMac, ipPacket(kAlice, kFar));
        const Bytes question =
            arp(net::MacAddress::broadcast(), Operation::Request, kAliceMac, kAlice, {}, kRouter);
        for (std::size_t length = 0; length < whole.size(); ++length) {
            Fixture f;
            const auto kind =
                f.receive({whole.begin(), whole.begin() + static_cast<int>(length)}).kind;
            QCOMPARE(kind, length < 14   ? Arrival::Kind::Ignored
                           : length < 34 ? Arrival::Kind::Drop
                                         : Arrival::Kind::Packet);
            (void)f.receive({question.begin(), question.begin() + static_cast<int>(length)});
            QVERIFY(f.output.frames.empty());
        }
    }

    void packet_offLink_goesToGatewayOnceItAnswers()
    {
        Fixture f;
        QCOMPARE(f.send(ipPacket(kRouter, kFar)), Departure::Waiting);
        QCOMPARE(f.requests(), std::size_t{1});
        QCOMPARE(net::Ipv4Address{wire::load32(f.output.frames[0].bytes, 38)}, kGateway);
        f.output.clear();
        QCOMPARE(f.receive(reply(kGatewayMac, kGateway)).kind, Arrival::Kind::Consumed);
        QCOMPARE(f.output.frames.size(), std::size_t{1});
        const auto& sent = f.output.frames[0].bytes;
        QVERIFY(std::equal(sent.begin() + 14, sent.end(), ipPacket(kRouter, kFar).begin()));
        QVERIFY(std::equal(sent.begin(), sent.begin() + 6, kGatewayMac.octets().begin()));
        QCOMPARE(f.send(ipPacket(kRouter, kFar)), Departure::Send);
        QCOMPARE(f.destination(), kGatewayMac);
    }

    void packet_onLink_goesToTheStationItself()
    {
        Fixture f;
        f.learn(kAlice, kAliceMac);
        QCOMPARE(f.send(ipPacket(kRouter, kAlice)), Departure::Send);
        QCOMPARE(f.destination(), kAliceMac);
    }

    void packet_withoutGateway_hasNoNextHop()
    {
        auto c = config();
        c.gateway = {};
        Fixture f(c);
        QCOMPARE(f.send(ipPacket(kRouter, kFar)), Departure::NoNextHop);
    }

    void broadcastAndMulticast_needNoQuestion()
    {
        Fixture f;
        QCOMPARE(f.send(ipPacket(kRouter, net::Ipv4Address{192, 0, 2, 255})), Departure::Send);
        QCOMPARE(f.destination(), net::MacAddress::broadcast());
        QCOMPARE(f.send(ipPacket(kRouter, net::Ipv4Address{224, 129, 2, 3})), Departure::Send);
        QCOMPARE(f.destination(), (net::MacAddress{{1, 0, 0x5e, 1, 2, 3}}));
        QCOMPARE(f.requests(), std::size_t{0});
    }

    void silence_givesUpAndCountsEveryPacket()
    {
        Fixture f;
        std::uint32_t waiting = 0;
        std::uint32_t refused = 0;
        for (int i = 0; i < 100; ++i) {
            const auto departure = f.send(ipPacket(kRouter, kAlice));
            (departure == Departure::Waiting ? waiting : refused) += 1;
        }
        QCOMPARE(waiting, std::uint32_t{kMostWaitingPerNeighbour});
        f.pass(10s);
        QCOMPARE(f.requests(), std::size_t{3});
        QCOMPARE(f.output.noNextHop, waiting);
        QVERIFY(!f.port.nextTimeout());
    }

    void silentAddress_isRefusedForAWhileThenAskedAgain()
    {
        Fixture f;
        (void)f.send(ipPacket(kRouter, kAlice));
        f.pass(3s + 1ms);
        QCOMPARE(f.send(ipPacket(kRouter, kAlice)), Departure::NoNextHop);
        f.pass(3s + 1ms);
        QCOMPARE(f.send(ipPacket(kRouter, kAlice)), Departure::Waiting);
    }

    void questionForOwnAddress_isLeftToTheKernel()
    {
        const Bytes question =
            arp(net::MacAddress::broadcast(), Operation::Request, kAliceMac, kAlice, {}, kRouter);
        Fixture kernelAnswers;
        (void)kernelAnswers.receive(question);
        QVERIFY(kernelAnswers.output.frames.empty());

        auto c = config();
        c.answers = ArpAnswers::OwnAndProxied;
        Fixture weAnswer(c);
        (void)weAnswer.receive(question);
        QCOMPARE(weAnswer.output.frames.size(), std::size_t{1});
        QCOMPARE(weAnswer.output.frames[0].bytes,
                 arp(kAliceMac, Operation::Reply, kRouterMac, kRouter, kAliceMac, kAlice));
    }

    void questionForProxiedAddress_isAnswered()
    {
        auto c = config();
        c.proxied = {net::Ipv4Address{192, 0, 2, 77}};
        Fixture f(c);
        (void)f.receive(arp(net::MacAddress::broadcast(), Operation::Request, kAliceMac, kAlice, {},
                            net::Ipv4Address{192, 0, 2, 77}));
        QCOMPARE(f.output.frames.size(), std::size_t{1});
        (void)f.receive(arp(net::MacAddress::broadcast(), Operation::Request, kAliceMac, kAlice, {},
                            net::Ipv4Address{192, 0, 2, 78}));
        QCOMPARE(f.output.frames.size(), std::size_t{1});
    }

    // Threat F8: 100,000 forged ARPs overwrite no confirmed entry and the table stays bounded.
    void forgedArps_overwriteNothing()
    {
        Fixture f;
        f.learn(kAlice, kAliceMac);
        f.learn(kGateway, kGatewayMac);
        for (int i = 0; i < 100000; ++i) {
            (void)f.receive(reply(kMalloryMac, i % 2 == 0 ? kAlice : kGateway));
            (void)f.receive(arp(net::MacAddress::broadcast(), Operation::Request, kMalloryMac,
                                kAlice, {}, kAlice));
            if (i % 100 != 0) continue;
            f.now += 10ms;
            f.port.handleTimeout(f.now, f.output);
            // The owners are there and answer what they are asked.
            (void)f.receive(reply(kAliceMac, kAlice));
            (void)f.receive(reply(kGatewayMac, kGateway));
        }
        QCOMPARE(f.port.neighbour(kAlice)->mac, kAliceMac);
        QCOMPARE(f.port.neighbour(kGateway)->mac, kGatewayMac);
        QCOMPARE(f.port.neighbours().size(), std::size_t{2});
        QVERIFY2(f.requests() <= 10, "a defended address is not asked for at every claim");
    }

    void ownerThatLeft_losesTheAddressToWhoAnswers()
    {
        Fixture f;
        f.learn(kAlice, kAliceMac);
        (void)f.receive(
            arp(net::MacAddress::broadcast(), Operation::Request, kMalloryMac, kAlice, {}, kAlice));
        QCOMPARE(f.requests(), std::size_t{1});
        QVERIFY(std::equal(f.output.frames[0].bytes.begin(), f.output.frames[0].bytes.begin() + 6,
                           kAliceMac.octets().begin()));
        (void)f.receive(reply(kMalloryMac, kAlice));
        QCOMPARE(f.port.neighbour(kAlice)->mac, kAliceMac);
        f.pass(2s + 1ms);  // the owner stays silent and everybody is asked
        (void)f.receive(reply(kMalloryMac, kAlice));
        QCOMPARE(f.port.neighbour(kAlice)->mac, kMalloryMac);
        QCOMPARE(f.port.neighbour(kAlice)->state, NeighbourState::Confirmed);
    }

    // Threats B5 and G4: a source address belongs to the station that owns it.
    void packetWithStolenSource_isDropped()
    {
        Fixture f(config(SourceCheck::On));
        QCOMPARE(f.receive(ipFrame(kRouterMac, kAliceMac, ipPacket(kAlice, kFar))).kind,
                 Arrival::Kind::Packet);
        (void)f.receive(reply(kAliceMac, kAlice));
        for (int i = 0; i < 50; ++i) {
            const auto stolen = f.receive(ipFrame(kRouterMac, kMalloryMac, ipPacket(kAlice, kFar)));
            QCOMPARE(stolen.kind, Arrival::Kind::Drop);
            QCOMPARE(stolen.reason, DropReason::SpoofedInternalSource);
            QCOMPARE(f.receive(ipFrame(kRouterMac, kAliceMac, ipPacket(kAlice, kFar))).kind,
                     Arrival::Kind::Packet);
            f.pass(100ms);
            (void)f.receive(reply(kAliceMac, kAlice));
        }
        const auto ours = f.receive(ipFrame(kRouterMac, kMalloryMac, ipPacket(kRouter, kFar)));
        QCOMPARE(ours.reason, DropReason::SpoofedInternalSource);
    }

    void firstSender_thatDoesNotAnswerArp_yieldsToTheOneThatDoes()
    {
        Fixture f(config(SourceCheck::On));
        (void)f.receive(ipFrame(kRouterMac, kMalloryMac, ipPacket(kAlice, kFar)));
        QCOMPARE(f.requests(), std::size_t{1});
        (void)f.receive(reply(kAliceMac, kAlice));
        QCOMPARE(f.receive(ipFrame(kRouterMac, kAliceMac, ipPacket(kAlice, kFar))).kind,
                 Arrival::Kind::Packet);
        QCOMPARE(f.receive(ipFrame(kRouterMac, kMalloryMac, ipPacket(kAlice, kFar))).kind,
                 Arrival::Kind::Drop);
    }

    void deviceThatSpoke_needsNoQuestionForTheAnswer()
    {
        Fixture f(config(SourceCheck::On));
        (void)f.receive(ipFrame(kRouterMac, kAliceMac, ipPacket(kAlice, kFar)));
        QCOMPARE(f.send(ipPacket(kFar, kAlice)), Departure::Send);
        QCOMPARE(f.destination(), kAliceMac);
    }

    void floodOfMadeUpSources_staysBoundedAndKeepsTheConfirmed()
    {
        auto c = config(SourceCheck::On);
        c.prefix = net::Prefix{net::Ipv4Address{10, 0, 0, 0}, 8};
        Fixture f(c);
        const net::Ipv4Address alice{10, 1, 1, 1};
        f.learn(alice, kAliceMac);
        for (std::uint32_t i = 0; i < 200000; ++i) {
            const net::Ipv4Address source{0x0a800000U + i};
            (void)f.receive(ipFrame(kRouterMac, kMalloryMac, ipPacket(source, kFar)));
            if (i % 1000 == 0) f.pass(1ms);
        }
        QVERIFY(f.port.neighbours().size() <= kMostNeighbours);
        QCOMPARE(f.port.neighbour(alice)->mac, kAliceMac);
        QVERIFY2(f.requests() <= 200, "questions are limited");
    }

    void longUse_asksTheOwnerAgainAndNotices()
    {
        Fixture f;
        f.learn(kGateway, kGatewayMac);
        f.pass(61s);
        QCOMPARE(f.send(ipPacket(kRouter, kFar)), Departure::Send);
        QCOMPARE(f.requests(), std::size_t{1});
        f.pass(1ms);
        (void)f.receive(reply(kGatewayMac, kGateway));
        f.output.clear();
        f.pass(30s);
        QCOMPARE(f.requests(), std::size_t{0});
        f.pass(31s);
        (void)f.send(ipPacket(kRouter, kFar));
        f.pass(6s);  // silence: asked five times, then forgotten
        QCOMPARE(f.requests(), std::size_t{5});
        QCOMPARE(f.send(ipPacket(kRouter, kFar)), Departure::Waiting);
    }

    void anotherLink_forgetsEverybodyAndAsksTheNewGateway()
    {
        Fixture f;
        f.learn(kAlice, kAliceMac);
        auto c = config();
        c.address = net::Ipv4Address{198, 51, 100, 2};
        c.prefix = net::Prefix{c.address, 24};
        c.gateway = net::Ipv4Address{198, 51, 100, 1};
        f.port.configure(f.now, c, f.output);
        QVERIFY(f.port.neighbours().empty());
        QCOMPARE(f.requests(), std::size_t{1});
    }
};

QTEST_APPLESS_MAIN(EthernetPortTest)
#include "ethernet_port_test.moc"
