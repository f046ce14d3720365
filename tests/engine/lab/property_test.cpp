#include "engine/lab/ipsec.h"
#include "engine/lab/l2tp.h"
#include "engine/lab/pptp.h"
#include "engine/lab/scenario.h"
#include "engine/lab/web.h"
#include "engine/lab/wireguard.h"
#include "engine/wire/checksum.h"

#include <QtTest>

#include <map>
#include <set>

using namespace engine;
using namespace engine::lab;

namespace {

constexpr Instant kStart{1h};
constexpr net::Ipv4Address kServer{198, 51, 100, 10};
constexpr net::Ipv4Address kExternal{203, 0, 113, 2};

/// Frames as a fuzzer would put them on the wire: well-formed, half-formed, and old ones mutated.
class Attacker {
public:
    explicit Attacker(std::uint64_t seed) : m_random(HashKey{seed, 99}) {}

    void remember(wire::ConstBytes packet)
    {
        if (m_seen.size() < 512) {
            m_seen.push_back(copyOf(packet));
        } else {
            m_seen[m_random.below(512)] = copyOf(packet);
        }
    }

    Octets frame(PortId side)
    {
        switch (m_random.below(5)) {
        case 0: return noise();
        case 1:
        case 2: return made(side);
        default: return mutated(side);
        }
    }

private:
    Octets noise()
    {
        Octets bytes(m_random.below(120));
        for (auto& octet : bytes)
            octet = static_cast<std::uint8_t>(m_random.next());
        if (!bytes.empty() && m_random.below(2) == 0) bytes[0] = 0x45;
        return bytes;
    }

    net::Ipv4Address address(bool inside)
    {
        if (m_random.below(20) == 0)
            return net::Ipv4Address{static_cast<std::uint32_t>(m_random.next())};
        if (inside)
            return net::Ipv4Address{192, 168, 77, static_cast<std::uint8_t>(m_random.below(256))};
        if (m_random.below(3) == 0) return kExternal;
        return net::Ipv4Address{198, 51, 100, static_cast<std::uint8_t>(m_random.below(32))};
    }

    net::Port port()
    {
        static constexpr std::array<std::uint16_t, 12> kKnown{53,   80,   443, 500, 1194,  1701,
                                                              1723, 4500, 47,  0,   51820, 65535};
        if (m_random.below(2) == 0) return net::Port{kKnown[m_random.below(kKnown.size())]};
        return net::Port{static_cast<std::uint16_t>(m_random.next())};
    }

    /// A right checksum in front of whatever payload: what gets furthest into the engine.
    Octets made(PortId side)
    {
        static constexpr std::array<std::uint8_t, 13> kProtocols{1,  4,  6,  17, 17,  33, 41,
                                                                 47, 50, 51, 97, 115, 136};
        const bool inside = side == PortId::Internal;
        Datagram datagram;
        datagram.source = address(inside);
        datagram.destination = inside ? address(false) : kExternal;
        datagram.protocol =
            static_cast<net::IpProtocol>(kProtocols[m_random.below(kProtocols.size())]);
        datagram.ttl = static_cast<std::uint8_t>(m_random.below(4) == 0 ? m_random.below(3) : 64);
        datagram.id = static_cast<std::uint16_t>(m_random.below(50));
        Octets body = noise();
        if (datagram.protocol == net::IpProtocol::Udp) {
            datagram.payload =
                encodeUdp({datagram.source, port()}, {datagram.destination, port()}, body,
                          m_random.below(4) == 0 ? UdpChecksum::Zero : UdpChecksum::Computed);
        } else if (datagram.protocol == net::IpProtocol::Icmp) {
            if (!m_seen.empty() && m_random.below(2) == 0)
                body = m_seen[m_random.below(static_cast<std::uint32_t>(m_seen.size()))];
            body.resize(std::min<std::size_t>(body.size(), 60));
            static constexpr std::array<std::uint8_t, 8> kTypes{0, 3, 3, 5, 8, 11, 12, 13};
            datagram.payload = encodeIcmp(kTypes[m_random.below(kTypes.size())],
                                          static_cast<std::uint8_t>(m_random.below(6)),
                                          static_cast<std::uint32_t>(m_random.next()), body);
        } else {
            datagram.payload = body;
            if (datagram.protocol == net::IpProtocol::Tcp && datagram.payload.size() >= 20) {
                wire::store16(datagram.payload, 0, port().hostOrder());
                wire::store16(datagram.payload, 2, port().hostOrder());
                datagram.payload[12] = 0x50;
                fixTcp(datagram);
            }
        }
        if (m_random.below(8) == 0) {
            auto pieces = encodeFragmented(datagram, 28 + 8 * m_random.below(6));
            return pieces[m_random.below(static_cast<std::uint32_t>(pieces.size()))];
        }
        return encode(datagram);
    }

    static void fixTcp(Datagram& datagram)
    {
        wire::store16(datagram.payload, 16, 0);
        wire::ChecksumSum sum;
        sum.addPseudoHeader(datagram.source, datagram.destination, net::IpProtocol::Tcp,
                            datagram.payload.size());
        sum.add(datagram.payload);
        wire::store16(datagram.payload, 16, sum.checksum());
    }

    /// A packet that has really travelled, with some octets changed and the IP checksum mended.
    Octets mutated(PortId side)
    {
        if (m_seen.empty()) return made(side);
        Octets bytes = m_seen[m_random.below(static_cast<std::uint32_t>(m_seen.size()))];
        const std::uint32_t flips = m_random.below(4);
        for (std::uint32_t i = 0; i < flips && !bytes.empty(); ++i) {
            bytes[m_random.below(static_cast<std::uint32_t>(bytes.size()))] =
                static_cast<std::uint8_t>(m_random.next());
        }
        if (m_random.below(8) == 0 && bytes.size() > 20)
            bytes.resize(20 + m_random.below(static_cast<std::uint32_t>(bytes.size() - 20)));
        if (bytes.size() >= 20) {
            if (m_random.below(3) != 0) {
                bytes[0] = 0x45;
                wire::store16(bytes, 2, static_cast<std::uint16_t>(bytes.size()));
            }
            wire::store16(bytes, 10, 0);
            wire::ChecksumSum sum;
            sum.add(wire::ConstBytes{bytes}.first(20));
            wire::store16(bytes, 10, sum.checksum());
        }
        return bytes;
    }

    Random m_random;
    std::vector<Octets> m_seen;
};

}  // namespace

/// What must hold whatever anybody sends.
class PropertyTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void hostileFrames_data()
    {
        QTest::addColumn<int>("seed");
        for (int seed = 1; seed <= 4; ++seed)
            QTest::addRow("seed %d", seed) << seed;
    }
    void hostileFrames()
    {
        QFETCH(const int, seed);
        const int rounds = qEnvironmentVariableIsSet("UNDERPASS_SOAK") ? 1'000'000 : 60'000;
        EngineConfig config = labConfig(HashKey{static_cast<std::uint64_t>(seed), 7});
        config.maxSessions = 2048;
        Lab lab{config, kStart};
        Host& server = lab.network().addExternal("server", kServer);
        server.run<PptpServer>();
        server.run<IpsecGateway>();
        server.run<L2tpServer>();
        server.run<WireGuardServer>();
        server.run<WebServer>();
        const Talk talk{.every = 100ms};
        for (int i = 0; i < 2; ++i) {
            Host& host = lab.network().addInternal(
                "client", net::Ipv4Address{192, 168, 77, static_cast<std::uint8_t>(11 + i)});
            host.run<PptpClient>(PptpClient::Options{.server = kServer, .talk = talk, .callId = 1});
            host.run<IpsecClient>(IpsecClient::Options{
                .gateway = kServer, .natTraversal = i == 0, .talk = talk, .rekeyEvery = 20s});
            host.run<L2tpClient>(L2tpClient::Options{.server = kServer, .talk = talk});
            host.run<WireGuardClient>(
                WireGuardClient::Options{.server = {kServer, kWireGuardPort}, .talk = talk});
            host.run<WebClient>(WebClient::Options{.server = {kServer, kWebPort}, .every = 1s});
        }
        Attacker attacker{static_cast<std::uint64_t>(seed)};
        std::uint64_t ttlRaised = 0;
        lab.network().addTap([&](Instant, PortId, Network::TapPoint, wire::ConstBytes packet) {
            attacker.remember(packet);
        });
        lab.advance(5s);
        Random when{HashKey{static_cast<std::uint64_t>(seed), 3}};
        for (int i = 0; i < rounds; ++i) {
            const PortId side = when.below(2) == 0 ? PortId::Internal : PortId::External;
            lab.network().inject(side, attacker.frame(side));
            if (i % 16 == 0) lab.advance(when.below(20) * Duration{1ms});
        }
        lab.advance(1s);

        const NetworkCounters& seen = lab.network().counters();
        QVERIFY2(seen.leaked == 0, seen.firstFault.c_str());
        const EngineBox::Account& account = lab.box().account();
        QCOMPARE(account.packets, account.forwarded + account.dropped + account.consumed +
                                      account.toHost + account.held);
        QCOMPARE(account.ttlKept, ttlRaised);
        const Snapshot snapshot = lab.snapshot();
        std::uint64_t drops = 0;
        for (std::size_t i = 0; i < kDropReasonCount; ++i) {
            drops += snapshot.counters.drops[i];
            QVERIFY2(snapshot.counters.drops[i] >= account.drops[i], kDropReasons[i].name.data());
        }
        QVERIFY(drops >= account.dropped);
        // Forwarded packets are counted once each, by direction.
        QCOMPARE(snapshot.counters.outbound.packets + snapshot.counters.inbound.packets +
                     snapshot.counters.hairpinned.packets + snapshot.counters.generated,
                 account.forwarded + account.emitted);
        QVERIFY(snapshot.sessions <= snapshot.sessionLimit);

        // No external endpoint serves two internal ones (RFC 4787 REQ-3).
        std::map<std::tuple<net::IpProtocol, net::Endpoint>, net::Endpoint> owners;
        SessionQuery query;
        query.limit = 100000;
        for (const SessionRecord& session : lab.engine().sessions(lab.now(), query)) {
            if (session.external.port == net::Port{}) continue;
            const auto [at, isNew] =
                owners.try_emplace({session.protocol, session.external}, session.internal);
            QVERIFY2(isNew || at->second == session.internal,
                     qPrintable(QString::fromStdString(session.external.toString())));
        }
        QVERIFY(!owners.empty());

        // And it still works: new honest traffic goes through once the attack is over.
        lab.advance(3min);
        QVERIFY2(lab.report().received > 1000, "honest traffic got through");
    }

    // An inbound packet makes room by ending the session that alone holds the mapping it came by.
    void roomMadeByTheOnlyHolder_endsTheMapping()
    {
        EngineConfig config = labConfig(HashKey{1, 2});
        config.nat.limits.sessionsPerDevice = 1;
        config.nat.udp.filtering = nat::Behaviour::EndpointIndependent;
        Lab lab{config, kStart};
        Host& inside = lab.network().addInternal("client", net::Ipv4Address{192, 168, 77, 11});
        Host& outside = lab.network().addExternal("somebody", net::Ipv4Address{198, 51, 100, 20});
        for (std::uint16_t round = 0; round < 5; ++round) {
            inside.sendUdp(net::Port{static_cast<std::uint16_t>(5000 + round)},
                           {kServer, net::Port{9}}, octetsOf("nobody answers"));
            lab.advance(1s);
            const auto sessions = lab.engine().sessions(lab.now(), {});
            QCOMPARE(sessions.size(), std::size_t{1});
            outside.sendUdp(net::Port{7}, sessions[0].external, octetsOf("hello"));
            lab.advance(1s);
        }
        lab.advance(20min);
        QCOMPARE(lab.snapshot().sessions, 0U);
        QCOMPARE(lab.snapshot().mappings, 0U);
    }
};

QTEST_APPLESS_MAIN(PropertyTest)
#include "property_test.moc"
