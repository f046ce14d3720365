#include "engine/passthrough/gre.h"

#include "engine/passthrough/gre_header.h"

#include <QtTest>

#include <algorithm>
#include <vector>

using namespace std::chrono_literals;
using namespace engine;
using namespace engine::passthrough;
using net::Direction;
using net::IpProtocol;
using tunnel::FindingKind;
using tunnel::Observation;
using tunnel::Phase;

namespace {

using Bytes = std::vector<std::uint8_t>;
using Variant = Discriminator::Variant;

const net::Ipv4Address kExternal{203, 0, 113, 1};
const net::Ipv4Address kServer{198, 51, 100, 7};
constexpr HashKey kSeed{3, 4};

net::Ipv4Address client(std::uint32_t number)
{
    return net::Ipv4Address{net::Ipv4Address{192, 168, 1, 10}.hostOrder() + number};
}

Bytes gre(std::uint16_t type, std::optional<std::uint32_t> key, const Bytes& payload,
          std::uint16_t moreFlags = 0)
{
    Bytes bytes(4);
    wire::store16(bytes, 0, static_cast<std::uint16_t>(moreFlags | (key ? 0x2000U : 0U)));
    wire::store16(bytes, 2, type);
    if ((moreFlags & 0x8000U) != 0) bytes.resize(8);
    if (key) {
        bytes.resize(bytes.size() + 4);
        wire::store32(bytes, bytes.size() - 4, *key);
    }
    if ((moreFlags & 0x1000U) != 0) bytes.resize(bytes.size() + 4);
    bytes.insert(bytes.end(), payload.begin(), payload.end());
    return bytes;
}

Bytes eoip(std::uint16_t tunnel)
{
    Bytes bytes{0x20, 0x01, 0x64, 0x00, 0x00, 0x04};
    bytes.push_back(static_cast<std::uint8_t>(tunnel));
    bytes.push_back(static_cast<std::uint8_t>(tunnel >> 8));
    bytes.resize(12);
    return bytes;
}

Bytes ipv4(net::Ipv4Address source, net::Ipv4Address destination)
{
    Bytes bytes(28);
    bytes[0] = 0x45;
    wire::store32(bytes, 12, source.hostOrder());
    wire::store32(bytes, 16, destination.hostOrder());
    return bytes;
}

Bytes ipv6(std::uint64_t sourcePrefix, std::uint64_t destinationPrefix, std::uint64_t host = 1)
{
    Bytes bytes(40);
    bytes[0] = 0x60;
    wire::store64(bytes, 8, sourcePrefix);
    wire::store64(bytes, 16, host);
    wire::store64(bytes, 24, destinationPrefix);
    wire::store64(bytes, 32, host);
    return bytes;
}

QByteArray octets(const Bytes& bytes)
{
    QByteArray array;
    for (const std::uint8_t octet : bytes)
        array.append(static_cast<char>(octet));
    return array;
}

Bytes frame(std::uint8_t destination, std::uint8_t source)
{
    Bytes bytes(60);
    bytes[0] = destination == 0xff ? 0xff : 0x02;
    bytes[5] = destination;
    bytes[6] = 0x02;
    bytes[11] = source;
    return bytes;
}

/// The NAT's part: sessions by discriminator, decisions for what none knows.
struct Rig {
    policy::PassthroughPolicy policy;
    net::Prefix lan{net::Ipv4Address{192, 168, 1, 0}, 24};
    GreInspector inspector{kSeed, policy, lan};
    std::vector<PortlessBinding> sessions;
    Actions actions;
    Instant now{100s};

    struct Arrival {
        bool delivered = false;
        DropReason reason = DropReason::MalformedIp;
        std::vector<net::Ipv4Address> to;
    };

    void settle(const Actions& fresh)
    {
        for (const auto& unbinding : fresh.unbindings) {
            std::erase_if(sessions, [&](const auto& session) {
                return session.client == unbinding.client && session.server == unbinding.server &&
                       session.inbound == unbinding.inbound;
            });
        }
        sessions.insert(sessions.end(), fresh.bindings.begin(), fresh.bindings.end());
        actions.observations.insert(actions.observations.end(), fresh.observations.begin(),
                                    fresh.observations.end());
    }

    Arrival send(Direction direction, IpProtocol protocol, net::Ipv4Address internal,
                 const Bytes& payload, net::Ipv4Address server = kServer)
    {
        const auto id = discriminatorOf(protocol, direction, payload);
        PortlessPacket packet{protocol, internal, kExternal, server, payload, {}};
        Actions fresh;
        Arrival arrival;
        const auto session = std::ranges::find_if(sessions, [&](const PortlessBinding& s) {
            if (s.protocol != protocol || s.server != server || !id) return false;
            return direction == Direction::Outbound ? s.client == internal && s.outbound == id
                                                    : s.inbound == id;
        });
        if (session != sessions.end()) {
            packet.internal = session->client;
            arrival.delivered = true;
            arrival.to.push_back(session->client);
            if (session->watch) {
                const auto attention = inspector.inspectPortless(now, direction, packet, fresh);
                arrival.delivered = attention.fate == Attention::Fate::Pass;
                session->watch = attention.next == Attention::Next::Watch;
            }
            settle(fresh);
            return arrival;
        }
        const auto decision = inspector.decide(now, direction, packet, fresh);
        settle(fresh);
        arrival.delivered = decision.kind == PortlessDecision::Kind::Deliver ||
                            decision.kind == PortlessDecision::Kind::FanOut;
        arrival.reason = decision.reason;
        for (std::size_t i = 0; i < decision.recipientCount; ++i) {
            arrival.to.push_back(decision.recipients[i]);
        }
        return arrival;
    }
    Arrival out(IpProtocol protocol, std::uint32_t number, const Bytes& payload)
    {
        return send(Direction::Outbound, protocol, client(number), payload);
    }
    Arrival in(IpProtocol protocol, const Bytes& payload, net::Ipv4Address server = kServer)
    {
        return send(Direction::Inbound, protocol, {}, payload, server);
    }
    void expire(std::size_t index)
    {
        const PortlessBinding gone = sessions[index];
        sessions.erase(sessions.begin() + static_cast<std::ptrdiff_t>(index));
        Actions fresh;
        inspector.bindingClosed(now, gone, FlowEnd::Expired, fresh);
        settle(fresh);
    }
    [[nodiscard]] std::size_t count(Observation::Kind kind) const
    {
        return static_cast<std::size_t>(std::ranges::count_if(
            actions.observations, [&](const auto& o) { return o.kind == kind; }));
    }
};

}  // namespace

class GreTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void discriminator_ofEachProtocol_data()
    {
        QTest::addColumn<int>("protocol");
        QTest::addColumn<QByteArray>("bytes");
        QTest::addColumn<int>("variant");
        QTest::addColumn<quint32>("outbound");
        QTest::addColumn<quint32>("inbound");
        const auto row = [](const char* name, IpProtocol protocol, const Bytes& bytes,
                            Variant variant, std::uint32_t outbound, std::uint32_t inbound) {
            QTest::newRow(name) << int(protocol) << octets(bytes) << int(variant)
                                << quint32(outbound) << quint32(inbound);
        };
        const Bytes inner = ipv4({10, 0, 0, 1}, {10, 9, 0, 1});
        row("PPTP", IpProtocol::Gre,
            {0x30, 0x81, 0x88, 0x0b, 0, 0, 0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 1}, Variant::GreCall,
            0x1234, 0x1234);
        row("EoIP, little-endian", IpProtocol::Gre, eoip(0x0102), Variant::EoipTunnel, 0x0102,
            0x0102);
        row("GRE key", IpProtocol::Gre, gre(0x0800, 77, inner), Variant::GreKey, 77, 77);
        row("GRE key behind a checksum", IpProtocol::Gre, gre(0x0800, 77, inner, 0x8000),
            Variant::GreKey, 77, 77);
        row("GRE inner IPv4", IpProtocol::Gre, gre(0x0800, {}, inner), Variant::InnerAddress,
            0x0a000001, 0x0a090001);
        row("GRE inner IPv4 behind a sequence number", IpProtocol::Gre,
            gre(0x0800, {}, inner, 0x1000), Variant::InnerAddress, 0x0a000001, 0x0a090001);
        row("GRE, nothing to tell", IpProtocol::Gre, gre(0x88be, {}, inner), Variant::None, 0, 0);
        row("IPIP", IpProtocol::IpIp, inner, Variant::InnerAddress, 0x0a000001, 0x0a090001);
        row("EtherIP", IpProtocol::EtherIp, {0x30, 0x00, 1, 2, 3}, Variant::None, 0, 0);
        row("ESP", IpProtocol::Esp, {0xc0, 0xff, 0xee, 1, 0, 0, 0, 1}, Variant::Spi, 0xc0ffee01,
            0xc0ffee01);
        row("AH", IpProtocol::Ah, {50, 4, 0, 0, 0xc0, 0xff, 0xee, 2, 0, 0, 0, 1}, Variant::Spi,
            0xc0ffee02, 0xc0ffee02);
        row("L2TPv3 data", IpProtocol::L2tpV3, {0, 0, 1, 2}, Variant::SessionId, 0x102, 0x102);
        row("L2TPv3 control", IpProtocol::L2tpV3, {0, 0, 0, 0, 0xc8, 3, 0, 12, 0, 0, 0, 9},
            Variant::ControlId, 9, 9);
    }
    void discriminator_ofEachProtocol()
    {
        QFETCH(int, protocol);
        QFETCH(QByteArray, bytes);
        QFETCH(int, variant);
        const Bytes payload(bytes.begin(), bytes.end());
        const auto as = static_cast<IpProtocol>(protocol);
        const auto out = discriminatorOf(as, Direction::Outbound, payload);
        const auto in = discriminatorOf(as, Direction::Inbound, payload);
        QVERIFY(out && in);
        QCOMPARE(int(out->variant), variant);
        QCOMPARE(int(in->variant), variant);
        QTEST(quint32(out->id), "outbound");
        QTEST(quint32(in->id), "inbound");
    }

    void discriminator_cutAtEveryLength_isTotal()
    {
        const std::vector<std::pair<IpProtocol, Bytes>> whole{
            {IpProtocol::Gre, gre(0x0800, {}, ipv4({10, 0, 0, 1}, {10, 9, 0, 1}), 0x9000)},
            {IpProtocol::Gre, gre(0x6558, {}, frame(1, 2))},
            {IpProtocol::Gre, eoip(5)},
            {IpProtocol::SixInFour, ipv6(1, 2)},
            {IpProtocol::L2tpV3, Bytes(16)},
            {IpProtocol::Esp, Bytes(16, 7)},
            {IpProtocol::Ah, Bytes(16, 7)}};
        for (const auto& [protocol, bytes] : whole) {
            for (std::size_t length = 0; length <= bytes.size(); ++length) {
                const auto cut = wire::ConstBytes{bytes}.first(length);
                const auto id = discriminatorOf(protocol, Direction::Outbound, cut);
                if (length < 4) QVERIFY(!id);
                QCOMPARE(discriminatorOf(protocol, Direction::Inbound, cut).has_value(),
                         id.has_value());
            }
            QVERIFY(discriminatorOf(protocol, Direction::Inbound, bytes));
        }
    }

    // Requirement P22.
    void keyedGre_threeClientsOfOneServer_areToldApart()
    {
        Rig rig;
        const Bytes inner = ipv4({10, 0, 0, 1}, {10, 9, 0, 1});
        for (std::uint32_t c = 0; c < 3; ++c) {
            QVERIFY(rig.out(IpProtocol::Gre, c, gre(0x0800, 100 + c, inner)).delivered);
        }
        for (std::uint32_t c = 0; c < 3; ++c) {
            const auto arrival = rig.in(IpProtocol::Gre, gre(0x0800, 100 + c, inner));
            QVERIFY(arrival.delivered);
            QCOMPARE(arrival.to, std::vector{client(c)});
        }
        QCOMPARE(rig.sessions.size(), std::size_t(3));
        QVERIFY(rig.sessions[0].key != rig.sessions[1].key);
        const auto clash = rig.out(IpProtocol::Gre, 3, gre(0x0800, 100, inner));
        QVERIFY(!clash.delivered);
        QVERIFY(clash.reason == DropReason::GreKeyClash);
        // A key nobody has sent with: there are three candidates, so nobody gets it.
        QVERIFY(rig.in(IpProtocol::Gre, gre(0x0800, 555, inner)).reason == DropReason::NoMapping);
    }

    void eoip_threeClientsOfOneServer_areToldApart()
    {
        Rig rig;
        for (std::uint16_t c = 0; c < 3; ++c) {
            QVERIFY(rig.out(IpProtocol::Gre, c, eoip(c)).delivered);
        }
        for (std::uint16_t c = 0; c < 3; ++c) {
            QCOMPARE(rig.in(IpProtocol::Gre, eoip(c)).to, std::vector{client(c)});
        }
        QVERIFY(rig.out(IpProtocol::Gre, 3, eoip(0)).reason == DropReason::GreKeyClash);
        const auto& labels = rig.actions.observations;
        QVERIFY(std::ranges::any_of(labels, [](const auto& o) {
            return o.kind == Observation::Kind::Label && o.protocol == net::VpnProtocol::Eoip;
        }));
    }

    void keylessGre_isToldApartByInnerAddress()
    {
        Rig rig;
        const net::Ipv4Address far{10, 9, 0, 1};
        for (std::uint8_t c = 0; c < 3; ++c) {
            const net::Ipv4Address mine{10, 0, c, 1};
            QVERIFY(rig.out(IpProtocol::Gre, c, gre(0x0800, {}, ipv4(mine, far))).delivered);
        }
        for (std::uint8_t c = 0; c < 3; ++c) {
            const net::Ipv4Address mine{10, 0, c, 1};
            const auto arrival = rig.in(IpProtocol::Gre, gre(0x0800, {}, ipv4(far, mine)));
            QCOMPARE(arrival.to, std::vector{client(c)});
        }
        QVERIFY(rig.out(IpProtocol::Gre, 2, gre(0x0800, {}, ipv4({10, 0, 0, 1}, far))).reason ==
                DropReason::GreKeyClash);
        // Routing protocols speak to a group: everybody at this server hears them.
        const auto hello = rig.in(IpProtocol::Gre, gre(0x0800, {}, ipv4(far, {224, 0, 0, 5})));
        QCOMPARE(hello.to.size(), std::size_t(3));
    }

    void keylessGre_withOneClient_learnsHostsBehindIt()
    {
        Rig rig;
        const net::Ipv4Address far{10, 9, 0, 1};
        rig.out(IpProtocol::Gre, 0, gre(0x0800, {}, ipv4({10, 0, 0, 1}, far)));
        const auto first = rig.in(IpProtocol::Gre, gre(0x0800, {}, ipv4(far, {10, 0, 0, 77})));
        QCOMPARE(first.to, std::vector{client(0)});
        rig.out(IpProtocol::Gre, 1, gre(0x0800, {}, ipv4({10, 0, 1, 1}, far)));
        QCOMPARE(rig.in(IpProtocol::Gre, gre(0x0800, {}, ipv4(far, {10, 0, 0, 77}))).to,
                 std::vector{client(0)});
        QVERIFY(!rig.in(IpProtocol::Gre, gre(0x0800, {}, ipv4(far, {10, 0, 0, 78}))).delivered);
    }

    void bridgedGre_isToldApartByMac()
    {
        Rig rig;
        for (std::uint8_t c = 0; c < 2; ++c) {
            QVERIFY(rig.out(IpProtocol::Gre, c,
                            gre(0x6558, {}, frame(0xff, static_cast<std::uint8_t>(c + 1))))
                        .delivered);
        }
        QCOMPARE(rig.in(IpProtocol::Gre, gre(0x6558, {}, frame(2, 9))).to, std::vector{client(1)});
        QCOMPARE(rig.in(IpProtocol::Gre, gre(0x6558, {}, frame(0xff, 9))).to.size(),
                 std::size_t(2));
    }

    // Requirement P21.
    void sixInFour_twoPrefixesAtOneBroker_areToldApart()
    {
        Rig rig;
        constexpr std::uint64_t kOne = 0x20010db800010000U;
        constexpr std::uint64_t kTwo = 0x20010db800020000U;
        constexpr std::uint64_t kFar = 0x20010db8ffff0000U;
        QVERIFY(rig.out(IpProtocol::SixInFour, 0, ipv6(kOne, kFar)).delivered);
        QVERIFY(rig.out(IpProtocol::SixInFour, 1, ipv6(kTwo, kFar)).delivered);
        // Any host of the /64.
        QCOMPARE(rig.in(IpProtocol::SixInFour, ipv6(kFar, kOne, 99)).to, std::vector{client(0)});
        QCOMPARE(rig.in(IpProtocol::SixInFour, ipv6(kFar, kTwo, 98)).to, std::vector{client(1)});
        // RFC 4213 §3.6: only from the broker.
        QVERIFY(!rig.in(IpProtocol::SixInFour, ipv6(kFar, kOne, 99), {198, 51, 100, 8}).delivered);
        // Link-local addresses share a prefix and are compared in full.
        constexpr std::uint64_t kLocal = 0xfe80000000000000U;
        QVERIFY(rig.out(IpProtocol::SixInFour, 0, ipv6(kLocal, kLocal, 5)).delivered);
        QVERIFY(rig.out(IpProtocol::SixInFour, 1, ipv6(kLocal, kLocal, 6)).delivered);
        QCOMPARE(rig.in(IpProtocol::SixInFour, ipv6(kLocal, kLocal, 6)).to, std::vector{client(1)});
    }

    void etherIp_letsOneClientPerServerThrough()
    {
        Rig rig;
        const Bytes packet{0x30, 0, 1, 2, 3, 4};
        QVERIFY(rig.out(IpProtocol::EtherIp, 0, packet).delivered);
        QVERIFY(rig.out(IpProtocol::EtherIp, 1, packet).reason == DropReason::OneClientPerServer);
        QCOMPARE(rig.in(IpProtocol::EtherIp, packet).to, std::vector{client(0)});
        // Another server, another place.
        QVERIFY(
            rig.send(Direction::Outbound, IpProtocol::EtherIp, client(1), packet, {198, 51, 100, 9})
                .delivered);
    }

    // Attack D11.
    void unsolicitedTunnels_reachNobody()
    {
        Rig rig;
        const Bytes inner = ipv4({10, 0, 0, 1}, {192, 168, 1, 10});
        for (const auto protocol :
             {IpProtocol::Gre, IpProtocol::IpIp, IpProtocol::EtherIp, IpProtocol::SixInFour}) {
            for (std::uint32_t i = 0; i < 250; ++i) {
                const Bytes packet = protocol == IpProtocol::Gre       ? gre(0x0800, i, inner)
                                     : protocol == IpProtocol::IpIp    ? inner
                                     : protocol == IpProtocol::EtherIp ? Bytes{0x30, 0}
                                                                       : ipv6(i, i);
                QVERIFY(!rig.in(protocol, packet).delivered);
            }
        }
        QVERIFY(rig.sessions.empty());
    }

    void plainMode_letsOneClientPerServerThrough()
    {
        Rig rig;
        rig.policy.set(net::VpnProtocol::Gre, {policy::PassthroughMode::Plain, {}});
        const Bytes inner = ipv4({10, 0, 0, 1}, {10, 9, 0, 1});
        QVERIFY(rig.out(IpProtocol::Gre, 0, gre(0x0800, 1, inner)).delivered);
        QVERIFY(rig.out(IpProtocol::Gre, 1, gre(0x0800, 2, inner)).reason ==
                DropReason::OneClientPerServer);
    }

    void blockMode_refusesAndNamesTheTunnel()
    {
        Rig rig;
        rig.policy.set(net::VpnProtocol::Gre, {policy::PassthroughMode::Block, {}});
        const auto refused =
            rig.out(IpProtocol::Gre, 0, gre(0x0800, 1, ipv4({10, 0, 0, 1}, {10, 9, 0, 1})));
        QVERIFY(refused.reason == DropReason::PassthroughOff);
        QVERIFY(rig.sessions.empty());
        QCOMPARE(rig.count(Observation::Kind::Label), std::size_t(1));
    }

    void tunnel_isEstablishedBothWays_andEndsWithItsLastSession()
    {
        Rig rig;
        const net::Ipv4Address far{10, 9, 0, 1};
        rig.out(IpProtocol::Gre, 0, gre(0x0800, {}, ipv4({10, 0, 0, 1}, far)));
        rig.out(IpProtocol::Gre, 0, gre(0x0800, {}, ipv4({10, 0, 0, 2}, far)));
        QCOMPARE(rig.count(Observation::Kind::Label), std::size_t(1));
        rig.in(IpProtocol::Gre, gre(0x0800, {}, ipv4(far, {10, 0, 0, 2})));
        QVERIFY(std::ranges::any_of(rig.actions.observations, [](const auto& o) {
            return o.kind == Observation::Kind::Phase && o.phase == Phase::Established;
        }));
        QCOMPARE(rig.sessions[1].watch, false);
        rig.expire(0);
        QCOMPARE(rig.count(Observation::Kind::Ended), std::size_t(0));
        rig.expire(0);
        QCOMPARE(rig.count(Observation::Kind::Ended), std::size_t(1));
        QVERIFY(!rig.in(IpProtocol::Gre, gre(0x0800, {}, ipv4(far, {10, 0, 0, 2}))).delivered);
        QVERIFY(rig.out(IpProtocol::Gre, 1, gre(0x0800, {}, ipv4({10, 0, 0, 2}, far))).delivered);
    }

    void greThatNeverReturns_isFound()
    {
        Rig rig;
        for (int i = 0; i < 4; ++i) {
            rig.out(IpProtocol::Gre, 0, gre(0x0800, 9, ipv4({10, 0, 0, 1}, {10, 9, 0, 1})));
        }
        while (const auto due = rig.inspector.nextTimeout()) {
            rig.now = *due;
            Actions fresh;
            rig.inspector.handleTimeout(rig.now, fresh);
            rig.settle(fresh);
        }
        QCOMPARE(rig.count(Observation::Kind::Finding), std::size_t(1));
        QVERIFY(rig.now - Instant{100s} <= 12s);
    }

    void innerHostOfOurOwnNetwork_isFound_data()
    {
        QTest::addColumn<int>("protocol");
        QTest::addColumn<QByteArray>("bytes");
        QTest::addColumn<bool>("found");
        const net::Ipv4Address mine{10, 0, 0, 1};
        const net::Ipv4Address far{10, 9, 0, 1};
        const net::Ipv4Address same{192, 168, 1, 77};
        const auto row = [](const char* name, IpProtocol protocol, const Bytes& bytes, bool found) {
            QTest::newRow(name) << int(protocol) << octets(bytes) << found;
        };
        row("GRE", IpProtocol::Gre, gre(0x0800, {}, ipv4(mine, same)), true);
        row("keyed GRE", IpProtocol::Gre, gre(0x0800, 9, ipv4(mine, same)), true);
        row("IPIP", IpProtocol::IpIp, ipv4(mine, same), true);
        // A router inside may well lead its neighbours into the tunnel.
        row("only the source", IpProtocol::Gre, gre(0x0800, {}, ipv4(same, far)), false);
        row("elsewhere", IpProtocol::IpIp, ipv4(mine, far), false);
        row("bridged: the same network on purpose", IpProtocol::Gre, gre(0x6558, {}, frame(1, 2)),
            false);
        Bytes keepalive = ipv4(kServer, client(0));
        keepalive[9] = 47;
        row("Cisco's keepalive", IpProtocol::Gre, gre(0x0800, {}, keepalive), false);
        row("6in4", IpProtocol::SixInFour, ipv6(1, 0xc0a8014d00000000U), false);
    }
    void innerHostOfOurOwnNetwork_isFound()
    {
        QFETCH(const int, protocol);
        QFETCH(const QByteArray, bytes);
        QFETCH(const bool, found);
        Rig rig;
        const Bytes payload(bytes.begin(), bytes.end());
        for (int i = 0; i < 3; ++i)
            rig.out(static_cast<IpProtocol>(protocol), 0, payload);
        QCOMPARE(rig.count(Observation::Kind::Finding), std::size_t{found ? 1U : 0U});
        for (const auto& observation : rig.actions.observations) {
            if (observation.kind != Observation::Kind::Finding) continue;
            QCOMPARE(observation.finding, FindingKind::SameSubnet);
            QCOMPARE(observation.a, (net::Ipv4Address{192, 168, 1, 77}).hostOrder());
            QCOMPARE(observation.b, 24U);
        }
        // Nothing is compared with a network that nobody has told.
        Rig untold;
        untold.lan = {};
        untold.out(static_cast<IpProtocol>(protocol), 0, payload);
        QCOMPARE(untold.count(Observation::Kind::Finding), std::size_t{0});
    }

    void manyInnerAddresses_areBounded_theOldestGivesWay()
    {
        Rig rig;
        const net::Ipv4Address far{10, 9, 0, 1};
        for (std::uint32_t i = 0; i < 1000; ++i) {
            const net::Ipv4Address mine{0x0a000000U + i};
            QVERIFY(rig.out(IpProtocol::Gre, 0, gre(0x0800, {}, ipv4(mine, far))).delivered);
        }
        QCOMPARE(rig.sessions.size(), std::size_t(256));
        QCOMPARE(rig.count(Observation::Kind::Ended), std::size_t(0));
        QCOMPARE(
            rig.in(IpProtocol::Gre, gre(0x0800, {}, ipv4(far, net::Ipv4Address{0x0a0003e7U}))).to,
            std::vector{client(0)});
    }
};

QTEST_APPLESS_MAIN(GreTest)
#include "gre_test.moc"
