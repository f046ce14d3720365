#include "engine/engine.h"
#include "engine/lab/self_test.h"
#include "engine/wire/builder.h"

#include <algorithm>
#include <array>
#include <benchmark/benchmark.h>
#include <functional>
#include <memory>
#include <vector>

#include "tests/bench/measuring.h"

/// How long packets wait while something happens that concerns all of a million sessions: the
/// longest call of the engine in time of the processor, and all of them together. Between the calls
/// packets go on, as in the router's loop. `pause_bench --benchmark_filter=…`; README.md says how
/// the figures are read.
namespace {

using namespace engine;
using namespace std::chrono_literals;

constexpr std::uint32_t kFlows = 1000000;
constexpr std::uint32_t kBatch = 32;
constexpr std::uint32_t kDevices = 256;
constexpr std::uint32_t kTunnels = 4096;
constexpr std::uint32_t kTunnelsPerDevice = 512;
const net::Ipv4Address kExternal{203, 0, 113, 2};
const net::Ipv4Address kOther{203, 0, 113, 3};
const net::Ipv4Address kServer{192, 0, 2, 7};

EngineConfig configOf(nat::Behaviour filtering)
{
    EngineConfig config;
    config.seed = {0x1234, 0x5678};
    config.maxSessions = kFlows + kTunnels;
    config.internal = {net::Prefix{net::Ipv4Address{10, 0, 0, 0}, 8}, net::Ipv4Address{10, 0, 0, 1},
                       1500};
    config.external.addresses = {kExternal, kOther};
    config.external.prefix = net::Prefix{kExternal, 24};
    config.memoryAdvice = bench::adviseHugePages;
    config.nat.udp.filtering = filtering;
    config.nat.limits.sessionsPerDevice = kFlows;
    config.nat.limits.portsPerDevice = 65535;
    return config;
}

net::Ipv4Address deviceOf(std::uint32_t flow)
{
    return net::Ipv4Address{0x0a010000U + (flow % kDevices)};
}
/// 128 ports of each of 256 devices, and as many remote addresses as it takes.
net::Endpoint internalOf(std::uint32_t flow)
{
    return {deviceOf(flow), net::Port{static_cast<std::uint16_t>(2000 + (flow / kDevices) % 128)}};
}
net::Endpoint remoteOf(std::uint32_t flow)
{
    return {net::Ipv4Address{0xc6336400U + flow / kDevices / 128}, net::Port{443}};
}

/// A router with a million live sessions of UDP, and as many WireGuard tunnels as it can show.
class Bed {
public:
    explicit Bed(nat::Behaviour filtering) : m_engine(m_now, configOf(filtering))
    {
        for (std::uint32_t flow = 0; flow < kFlows; ++flow)
            send(PortId::Internal, wire::buildUdp(internalOf(flow), remoteOf(flow), m_payload));
        for (std::uint32_t i = 0; i < kTunnels; ++i)
            openTunnel(i);
        m_output.clear();
    }

    /// The call, and what follows from it until nothing is due any more.
    void measure(const std::function<void(Engine&, Instant, Output&)>& call)
    {
        time([&] { call(m_engine, m_now, m_output); });
        settle();
    }
    void wait(Duration span)
    {
        m_now += span;
        settle();
    }
    void report(benchmark::State& state) const
    {
        state.counters["longest_cpu_ms"] = m_longest;
        state.counters["all_cpu_ms"] = m_all;
        state.counters["calls"] = m_calls;
        state.counters["sessions"] = m_engine.snapshot(m_now).sessions;
        state.counters["packet_cpu_ms"] = m_longestBatch;
    }
    [[nodiscard]] Engine& engine() { return m_engine; }
    [[nodiscard]] Instant now() const { return m_now; }

    /// One call that counts.
    void time(const std::function<void()>& call)
    {
        const double before = bench::processorMilliseconds();
        call();
        const double took = bench::processorMilliseconds() - before;
        m_longest = std::max(m_longest, took);
        m_all += took;
        ++m_calls;
        m_output.clear();
    }
    /// A batch of packets of flows that live, or may not live any more.
    void packets()
    {
        std::array<std::vector<std::uint8_t>, kBatch> bytes;
        std::array<wire::Packet, kBatch> batch;
        std::array<Verdict, kBatch> verdicts;
        for (std::uint32_t i = 0; i < kBatch; ++i) {
            m_flow = (m_flow + 7919) % kFlows;
            bytes[i] = wire::buildUdp(internalOf(m_flow), remoteOf(m_flow), m_payload);
            batch[i] = {.bytes = bytes[i]};
        }
        const double before = bench::processorMilliseconds();
        m_engine.handlePackets(m_now, PortId::Internal, batch, verdicts, m_output);
        m_longestBatch = std::max(m_longestBatch, bench::processorMilliseconds() - before);
        m_output.clear();
    }

private:
    void settle()
    {
        while (m_engine.nextTimeout() && *m_engine.nextTimeout() <= m_now) {
            time([&] { m_engine.handleTimeout(m_now, m_output); });
            packets();
        }
    }
    std::vector<std::uint8_t> send(PortId from, std::vector<std::uint8_t> bytes)
    {
        wire::Packet packet{bytes};
        m_engine.handlePacket(m_now, from, packet, m_output);
        m_output.clear();
        return bytes;
    }
    void openTunnel(std::uint32_t i)
    {
        const net::Endpoint client{
            net::Ipv4Address{0x0a020000U + i / kTunnelsPerDevice},
            net::Port{static_cast<std::uint16_t>(10000 + i % kTunnelsPerDevice)}};
        const net::Endpoint server{kServer, net::Port{51820}};
        std::vector<std::uint8_t> first(148);
        first[0] = 1;
        wire::store32(first, 4, i + 1);
        const auto left = send(PortId::Internal, wire::buildUdp(client, server, first));
        const net::Endpoint external{net::Ipv4Address{wire::load32(left, 12)},
                                     net::Port{wire::load16(left, 20)}};
        std::vector<std::uint8_t> second(92);
        second[0] = 2;
        wire::store32(second, 4, i + 0x10001);
        wire::store32(second, 8, i + 1);
        send(PortId::External, wire::buildUdp(server, external, second));
        std::vector<std::uint8_t> data(64);
        data[0] = 4;
        wire::store32(data, 4, i + 0x10001);
        send(PortId::Internal, wire::buildUdp(client, server, data));
        wire::store32(data, 4, i + 1);
        send(PortId::External, wire::buildUdp(server, external, data));
    }

    std::vector<std::uint8_t> m_payload = std::vector<std::uint8_t>(8, 0x40);
    Instant m_now{1000s};
    Engine m_engine;
    Output m_output;
    std::uint32_t m_flow = 0;
    double m_longest = 0;
    double m_longestBatch = 0;
    double m_all = 0;
    std::uint32_t m_calls = 0;
};

struct Story {
    const char* name;
    void (*happens)(Bed&);
    nat::Behaviour filtering = nat::Behaviour::EndpointIndependent;
};

void runStory(benchmark::State& state, const Story& story)
{
    for (auto _ : state) {
        state.PauseTiming();
        auto bed = std::make_unique<Bed>(story.filtering);
        state.ResumeTiming();
        story.happens(*bed);
        state.PauseTiming();
        bed->report(state);
        bed.reset();
        state.ResumeTiming();
    }
}

void command(Bed& bed, const Command& wish)
{
    bed.measure([&](Engine& engine, Instant now, Output& output) {
        (void)engine.apply(now, wish, output).has_value();
    });
}

ExternalSide sideWith(std::vector<net::Ipv4Address> addresses)
{
    return {.addresses = std::move(addresses), .prefix = net::Prefix{kExternal, 24}, .mtu = 1500};
}

void addressChanged(Bed& bed)
{
    command(bed, SetExternalSide{sideWith({net::Ipv4Address{203, 0, 113, 9}})});
}
void addressGoneAndBack(Bed& bed)
{
    command(bed, SetExternalSide{sideWith({})});
    bed.wait(5s);
    command(bed, SetExternalSide{sideWith({kExternal, kOther})});
}
void addressStaysAway(Bed& bed)
{
    command(bed, SetExternalSide{sideWith({})});
    bed.wait(31s);
}
void timersChanged(Bed& bed)
{
    nat::NatConfig nat = bed.engine().config().nat;
    nat.timers.udpOneWay += 1min;
    command(bed, SetNat{nat});
}
void filterChanged(Bed& bed)
{
    nat::NatConfig nat = bed.engine().config().nat;
    nat.udp.filtering = nat.udp.filtering == nat::Behaviour::AddressDependent
                            ? nat::Behaviour::EndpointIndependent
                            : nat::Behaviour::AddressDependent;
    command(bed, SetNat{nat});
}
/// The network shrinks to a part in which no device is.
void internalSideChanged(Bed& bed)
{
    command(bed, SetInternalSide{{net::Prefix{net::Ipv4Address{10, 9, 0, 0}, 16},
                                  net::Ipv4Address{10, 9, 0, 1}, 1500}});
}
SetPortForwards forwards(std::uint16_t first, std::uint16_t last)
{
    policy::PortForward forward;
    forward.id = 1;
    forward.protocol = net::IpProtocol::Udp;
    forward.externalPorts = {net::Port{first}, net::Port{last}};
    forward.internalFirst = net::Port{first};
    forward.internalAddress = net::Ipv4Address{10, 3, 0, 1};
    return {{forward}, policy::OnLive::Drop};
}
void forwardOverOnePort(Bed& bed)
{
    command(bed, forwards(40000, 40000));
}
void forwardOverAllPorts(Bed& bed)
{
    command(bed, forwards(1024, 65535));
}
void deviceBlocked(Bed& bed)
{
    command(bed, SetDeviceRules{
                     {{.id = 1, .address = deviceOf(1), .access = policy::DeviceAccess::Block}}});
}
void allDevicesBlocked(Bed& bed)
{
    SetDeviceRules wish;
    for (std::uint32_t i = 0; i < kDevices; ++i) {
        wish.rules.push_back(
            {.id = i + 1, .address = deviceOf(i), .access = policy::DeviceAccess::Block});
    }
    command(bed, wish);
}
void oneToOneGiven(Bed& bed)
{
    command(bed,
            SetOneToOnes{{{.id = 1, .internalAddress = deviceOf(1), .externalAddress = kOther}}});
}
void protocolBlocked(Bed& bed)
{
    command(bed, SetPassthrough{net::VpnProtocol::WireGuard,
                                {.mode = policy::PassthroughMode::Block},
                                policy::OnLive::Drop});
}
/// Held first, as the window does, and ended when the time to think it over has passed.
void protocolHeldThenBlocked(Bed& bed)
{
    command(bed, SetPassthrough{net::VpnProtocol::WireGuard,
                                {.mode = policy::PassthroughMode::Block},
                                policy::OnLive::Hold});
    bed.wait(policy::kHoldTime + 1s);
}
void sessionClosed(Bed& bed)
{
    const auto some = bed.engine().sessions(bed.now(), {.limit = 1});
    command(bed, CloseSession{some.front().serial});
}
void snapshotTaken(Bed& bed)
{
    for (int i = 0; i < 20; ++i)
        bed.time([&] { benchmark::DoNotOptimize(bed.engine().snapshot(bed.now())); });
}
void sessionsListed(Bed& bed)
{
    SessionSearch search{.query = {.device = net::Ipv4Address{10, 2, 0, 7}}};
    bool over = false;
    while (!over) {
        bed.time([&] { over = bed.engine().searchOn(search); });
        bed.packets();
    }
}
void changeAsked(Bed& bed)
{
    bed.measure([](Engine& engine, Instant now, Output& output) {
        engine.count(now, forwards(1024, 65535), output);
    });
}
void stateSaved(Bed& bed)
{
    StateDraft draft;
    bool complete = false;
    while (!complete) {
        bed.time([&] { complete = bed.engine().saveOn(bed.now(), draft); });
        bed.packets();
    }
}
/// What runs with a switch: two clients in a network of their own.
void selfTested(Bed& bed)
{
    for (const net::VpnProtocolText& text : net::kVpnProtocols) {
        bed.time([&] {
            benchmark::DoNotOptimize(lab::selfTest(text.protocol, {}, {1, 2}, bed.now()));
        });
    }
}

constexpr auto kByAddress = nat::Behaviour::AddressDependent;
constexpr std::array kStories{
    Story{"addressChanged", addressChanged},
    Story{"addressGoneAndBack", addressGoneAndBack},
    Story{"addressStaysAway", addressStaysAway},
    Story{"timersChanged", timersChanged},
    Story{"filterMadeStricter", filterChanged},
    Story{"filterLoosened", filterChanged, kByAddress},
    Story{"internalSideChanged", internalSideChanged},
    Story{"forwardOverOnePort", forwardOverOnePort},
    Story{"forwardOverAllPorts", forwardOverAllPorts},
    Story{"deviceBlocked", deviceBlocked},
    Story{"allDevicesBlocked", allDevicesBlocked, kByAddress},
    Story{"oneToOneGiven", oneToOneGiven},
    Story{"protocolBlocked", protocolBlocked},
    Story{"protocolHeldThenBlocked", protocolHeldThenBlocked},
    Story{"sessionClosed", sessionClosed},
    Story{"snapshotTaken", snapshotTaken},
    Story{"sessionsListed", sessionsListed},
    Story{"changeAsked", changeAsked},
    Story{"stateSaved", stateSaved},
    Story{"selfTested", selfTested},
};

}  // namespace

int main(int argc, char** argv)
{
    for (const Story& story : kStories) {
        benchmark::RegisterBenchmark(story.name, runStory, story)
            ->Unit(benchmark::kMillisecond)
            ->Iterations(1);
    }
    benchmark::Initialize(&argc, argv);
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}
