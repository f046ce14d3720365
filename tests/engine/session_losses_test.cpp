#include "engine/base/random.h"
#include "engine/lab/pptp_message.h"

#include <QtTest>

#include <algorithm>
#include <array>
#include <set>

#include "tests/engine/compliance/bed.h"

/// A rule that changes ends as many sessions as Engine::sessionsEndedBy() has said before, and none
/// if they may finish: over random tables of sessions and random rules.

using namespace bed;
using engine::Random;
using engine::policy::DeviceAccess;
using engine::policy::OnLive;

namespace pptp = engine::lab::pptp;

namespace {

constexpr std::uint8_t kData = flag::kAck | flag::kPsh;
constexpr std::array kDevices{kAnna, kBert, Ipv4Address{192, 0, 2, 12}};
constexpr std::array kServers{kServer, kOther, Ipv4Address{198, 51, 100, 9}};

/// A control connection with a call: its GRE ends with it.
bool dialPptp(Bed& bed, Endpoint inside, Ipv4Address server)
{
    Connection control(bed, inside, at(server, 1723));
    if (!control.open() || !control.out(kData, pptp::startRequest()).outside() ||
        !control.in(kData, pptp::startReply(1)).inside()) {
        return false;
    }
    const Outcome request = control.out(kData, pptp::outgoingCallRequest(1, 0, ""));
    const std::uint16_t number = wire::load16(request.packet, 40 + 12);
    if (!control.in(kData, pptp::outgoingCallReply(77, number, 1)).inside()) return false;
    const Bytes gre = pptp::encode({.callId = 77, .sequence = 1, .payload = text("frame")});
    return bed.outbound(wire::buildIpv4(inside.address, server, IpProtocol::Gre, gre)).outside();
}

class Office {
public:
    explicit Office(std::uint64_t seed) : m_random({seed, 0x6c6f7373}), bed(configOf(m_random))
    {
        for (std::uint32_t i = 0; i < 60; ++i)
            begin();
    }

    engine::Command change()
    {
        switch (below(8)) {
        default: return engine::SetPortForwards{forwards(), chosen()};
        case 4: return engine::SetOneToOnes{oneToOnes(), chosen()};
        case 5: return engine::SetExposedHost{below(2) != 0 ? device() : Ipv4Address{}, chosen()};
        case 6:
        case 7: {
            const auto access = below(2) != 0 ? DeviceAccess::Block : DeviceAccess::VpnOnly;
            return engine::SetDeviceRules{{{.id = 1, .address = device(), .access = access}},
                                          chosen()};
        }
        }
    }
    void begin()
    {
        const Endpoint inside = at(device(), 5000 + below(4));
        const Endpoint remote = at(server(), 50 + below(4));
        switch (below(8)) {
        case 0: (void)bed.pingOut(inside.address, remote.address, 7); return;
        case 1: note(bed.synOut(inside, remote)); return;
        case 2: (void)bed.synIn(remote, at(kExternal, 8000 + below(4))); return;
        case 3: (void)bed.udpIn(remote, at(kExternal, 8000 + below(4))); return;
        case 4: {
            // Strangers use what the device has opened: more than end at once with a mapping.
            const Endpoint external = someExternal();
            for (unsigned i = below(40); i > 0; --i)
                (void)bed.udpIn(at(server(), 1000 + i), external);
            return;
        }
        case 5: (void)bed.udpOut(inside, someExternal()); return;
        case 6: (void)dialPptp(bed, at(inside.address, 6000 + m_calls++), remote.address); return;
        default: note(bed.udpOut(inside, remote)); return;
        }
    }
    [[nodiscard]] std::uint32_t below(std::uint32_t bound) { return m_random.below(bound); }

private:
    static EngineConfig configOf(Random& random)
    {
        EngineConfig config = usual();
        // So few that a forward often meets one that is in use.
        config.nat.ports = range(40000, 40040);
        config.nat.udp.filtering = engine::nat::Behaviour::EndpointIndependent;
        config.external.addresses.push_back(kSecondExternal);
        if (random.below(2) != 0) config.exposedHost = kBert;
        config.portForwards = {{.id = 1,
                                .protocol = IpProtocol::Udp,
                                .externalPorts = range(8000, 8003),
                                .internalAddress = kAnna,
                                .internalFirst = Port{8000}},
                               {.id = 2,
                                .protocol = IpProtocol::Tcp,
                                .externalPorts = range(8000, 8003),
                                .internalAddress = kBert,
                                .internalFirst = Port{5000}}};
        return config;
    }
    OnLive chosen() { return below(3) == 0 ? OnLive::Finish : OnLive::Drop; }
    Ipv4Address device() { return kDevices[below(kDevices.size())]; }
    Ipv4Address server() { return kServers[below(kServers.size())]; }
    Endpoint someExternal()
    {
        return m_seen.empty() ? at(kExternal, 8000)
                              : m_seen[below(static_cast<std::uint32_t>(m_seen.size()))];
    }
    void note(const Outcome& outcome)
    {
        if (outcome.outside()) m_seen.push_back(outcome.source());
    }
    std::vector<engine::policy::PortForward> forwards()
    {
        auto wished = bed.engine().config().portForwards;
        for (auto& forward : wished) {
            if (below(4) == 0) forward.enabled = !forward.enabled;
            if (below(4) == 0) forward.internalAddress = device();
            if (below(4) == 0) forward.allowedRemotes = Prefix{server(), 32};
            if (below(4) == 0) forward.hairpin = !forward.hairpin;
        }
        if (!wished.empty() && below(4) == 0) wished.erase(wished.begin() + below(1));
        const unsigned first = 40000 + below(38);
        for (const IpProtocol protocol : {IpProtocol::Udp, IpProtocol::Tcp}) {
            if (below(2) != 0) continue;
            wished.push_back({.id = 10 + below(1000),
                              .protocol = protocol,
                              .externalPorts = range(first, first + below(3)),
                              .internalAddress = device(),
                              .internalFirst = Port{7000}});
        }
        return wished;
    }
    std::vector<engine::policy::OneToOne> oneToOnes()
    {
        std::vector<engine::policy::OneToOne> wished;
        for (const Ipv4Address external : {kExternal, kSecondExternal}) {
            if (below(3) != 0) continue;
            wished.push_back({.id = static_cast<std::uint32_t>(wished.size() + 1),
                              .internalAddress = kDevices[wished.size() + below(2)],
                              .externalAddress = external});
        }
        return wished;
    }

    Random m_random;
    std::vector<Endpoint> m_seen;
    std::uint32_t m_calls = 0;

public:
    Bed bed;
};

OnLive chosenIn(const engine::Command& change)
{
    OnLive onLive = OnLive::Drop;
    const auto look = [&](const auto* wish) {
        if (wish != nullptr) onLive = wish->onLive;
    };
    look(std::get_if<engine::SetPortForwards>(&change));
    look(std::get_if<engine::SetOneToOnes>(&change));
    look(std::get_if<engine::SetDeviceRules>(&change));
    look(std::get_if<engine::SetExposedHost>(&change));
    return onLive;
}

std::uint64_t endedOf(Bed& bed)
{
    return bed.engine().snapshot(bed.now).counters.sessionsEnded;
}

}  // namespace

class SessionLossesTest final : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void randomChange_endsAsManyAsWasSaid()
    {
        std::array<std::uint64_t, 4> endedBy{};  // by kind of rule
        std::array<std::uint64_t, 4> spared{};
        for (std::uint64_t seed = 1; seed <= 400; ++seed) {
            Office office(seed);
            Bed& bed = office.bed;
            for (int step = 0; step < 6; ++step) {
                const engine::Command change = office.change();
                const std::size_t kind =
                    change.index() - engine::Command{engine::SetPortForwards{}}.index();
                const std::uint32_t told = bed.engine().sessionsEndedBy(bed.now, change);
                const std::uint64_t before = endedOf(bed);
                if (!bed.apply(change)) continue;
                // What goes with a mapping that nothing holds goes a few at a time.
                bed.pass(Duration{0});
                const std::uint64_t ended = endedOf(bed) - before;
                const bool finish = chosenIn(change) == OnLive::Finish;
                if (ended != (finish ? 0 : told)) {
                    QFAIL(qPrintable(QStringLiteral("seed %1, step %2, rule %3: said %4, ended %5")
                                         .arg(seed)
                                         .arg(step)
                                         .arg(kind)
                                         .arg(told)
                                         .arg(ended)));
                }
                (finish ? spared : endedBy)[kind] += told;
                // What a rule has let finish is not the concern of the same rule; of an exposure
                // that is over it is.
                if (finish && kind != 3)
                    QCOMPARE(bed.engine().sessionsEndedBy(bed.now, change), 0U);
                for (int i = 0; i < 10; ++i)
                    office.begin();
            }
        }
        for (std::size_t kind = 0; kind < endedBy.size(); ++kind) {
            qInfo("rule %zu ended %llu sessions and let %llu finish", kind,
                  static_cast<unsigned long long>(endedBy[kind]),
                  static_cast<unsigned long long>(spared[kind]));
            QVERIFY(endedBy[kind] > 100);
            QVERIFY(spared[kind] > 100);
        }
    }

    void shorterTimers_endAsManyAsWasSaid()
    {
        std::uint64_t ended = 0;
        std::uint64_t lived = 0;
        for (std::uint64_t seed = 1; seed <= 100; ++seed) {
            Office office(seed);
            Bed& bed = office.bed;
            engine::nat::NatConfig nat = bed.engine().config().nat;
            nat.timers.udpOneWay = nat.timers.udpTwoWay = 20min;
            nat.timers.tcpOpening = nat.timers.icmpQuery = nat.timers.portless = 20min;
            QCOMPARE(bed.engine().sessionsEndedBy(bed.now, engine::SetNat{nat}), 0U);
            QVERIFY(bed.apply(engine::SetNat{nat}).has_value());
            for (int i = 0; i < 40; ++i) {
                bed.pass(std::chrono::seconds(office.below(20)));
                office.begin();
            }
            nat.timers.udpOneWay = nat.timers.udpTwoWay = 2min + 1s * office.below(200);
            nat.timers.tcpOpening = 30s + 1s * office.below(200);
            nat.timers.icmpQuery = nat.timers.portless = 1min + 1s * office.below(200);
            const engine::SetNat change{nat};
            const std::uint32_t told = bed.engine().sessionsEndedBy(bed.now, change);
            const std::uint64_t before = endedOf(bed);
            QVERIFY(bed.apply(change).has_value());
            QCOMPARE(bed.engine().sessionsEndedBy(bed.now, change), 0U);
            // Expiry comes within a second, and everything here happens on whole ones.
            bed.pass(1s);
            QCOMPARE(endedOf(bed) - before, std::uint64_t{told});
            ended += told;
            lived += bed.sessions();
        }
        qInfo("shorter timers ended %llu sessions, %llu lived",
              static_cast<unsigned long long>(ended), static_cast<unsigned long long>(lived));
        QVERIFY(ended > 1000);
        QVERIFY(lived > 1000);
    }

    void controlConnection_whosePortIsForwarded_takesItsCallAlong()
    {
        Bed bed;
        QVERIFY(dialPptp(bed, at(kAnna, 6000), kServer));
        QCOMPARE(bed.sessions(), std::size_t{2});
        const auto sessions = bed.engine().sessions(bed.now, {});
        const auto control =
            std::ranges::find(sessions, IpProtocol::Tcp, &engine::SessionRecord::protocol);
        QVERIFY(control != sessions.end());
        const Port port = control->external.port;
        const engine::SetPortForwards change{{{.id = 1,
                                               .protocol = IpProtocol::Tcp,
                                               .externalPorts = {port, port},
                                               .internalAddress = kBert,
                                               .internalFirst = Port{80}}}};
        QCOMPARE(bed.engine().sessionsEndedBy(bed.now, change), 2U);
        QVERIFY(bed.apply(change).has_value());
        QCOMPARE(bed.sessions(), std::size_t{0});
    }

    // A caller of a WireGuard server inside, by a mapping that only another session holds.
    void tunnelOnAMapping_whoseLastHolderEnds_endsWithIt()
    {
        EngineConfig config = usual();
        config.nat.udp.filtering = engine::nat::Behaviour::EndpointIndependent;
        Bed bed(config);
        const Endpoint inside = at(kAnna, 51820);
        const Endpoint external = bed.udpOut(inside, at(kOther, 3478)).source();
        Bytes initiation(148, 0x5a);
        wire::store32(initiation, 0, 0x01000000);
        QVERIFY(bed.udpIn(at(kServer, 51820), external, initiation).inside());
        QCOMPARE(bed.engine().snapshot(bed.now).tunnels.size(), std::size_t{1});
        const engine::SetDeviceRules change{
            {{.id = 1, .address = kAnna, .access = DeviceAccess::VpnOnly}}};
        QCOMPARE(bed.engine().sessionsEndedBy(bed.now, change), 2U);
        QVERIFY(bed.apply(change).has_value());
        QCOMPARE(bed.sessions(), std::size_t{0});
    }
};

QTEST_APPLESS_MAIN(SessionLossesTest)
#include "session_losses_test.moc"
