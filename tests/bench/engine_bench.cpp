#include "engine/engine.h"
#include "engine/wire/builder.h"
#include "engine/wire/ipv4_view.h"

#include <algorithm>
#include <array>
#include <benchmark/benchmark.h>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include <unistd.h>

#include "tests/bench/measuring.h"

/// The engine alone: what an established packet costs, what a session costs, in nanoseconds and
/// octets. `engine_bench --benchmark_filter=…`; README.md says how the figures are read.
namespace {

using namespace engine;
using namespace std::chrono_literals;

constexpr std::size_t kPacketOctets = 64;
constexpr std::size_t kBatch = 32;
const net::Ipv4Address kExternal{203, 0, 113, 2};

EngineConfig configFor(std::uint32_t sessions)
{
    EngineConfig config;
    config.seed = {0x1234, 0x5678};
    config.maxSessions = sessions;
    config.internal = {net::Prefix{net::Ipv4Address{10, 0, 0, 0}, 8}, net::Ipv4Address{10, 0, 0, 1},
                       1500};
    config.external.addresses = {kExternal};
    config.external.prefix = net::Prefix{kExternal, 24};
    config.memoryAdvice = bench::adviseHugePages;
    config.nat.limits.sessionsPerDevice = sessions;
    config.nat.limits.portsPerDevice = 65535;
    return config;
}

/// Flow i: a device, one of its ports, and a remote endpoint; at most 32,768 mappings in all.
net::Endpoint internalOf(std::uint32_t flow)
{
    return {net::Ipv4Address{0x0a010000U + ((flow & 0x7fffU) >> 7)},
            net::Port{static_cast<std::uint16_t>(2000 + (flow & 0x7fU))}};
}
net::Endpoint remoteOf(std::uint32_t flow)
{
    return {net::Ipv4Address{0xc6336400U + (flow >> 15)}, net::Port{443}};
}

using PacketOctets = std::array<std::uint8_t, kPacketOctets>;

/// The first packet of flow 0, which all others are made from.
PacketOctets makeTemplate()
{
    const std::vector<std::uint8_t> payload(kPacketOctets - 28, 0x40);
    const auto bytes = wire::buildUdp(internalOf(0), remoteOf(0), payload);
    PacketOctets packet{};
    std::memcpy(packet.data(), bytes.data(), kPacketOctets);
    return packet;
}

/// The packet of a flow with a right IP checksum, into a buffer that is warm as one that a network
/// card has just filled. Its UDP checksum is that of flow 0: the engine adjusts and does not judge.
void writeOutbound(std::uint32_t flow, const PacketOctets& from, PacketOctets& packet)
{
    packet = from;
    wire::ChecksumDelta delta;
    const std::uint32_t source = internalOf(flow).address.hostOrder();
    const std::uint32_t destination = remoteOf(flow).address.hostOrder();
    delta.replace32(wire::load32(packet, 12), source);
    delta.replace32(wire::load32(packet, 16), destination);
    wire::store16(packet, 10, delta.applyTo(wire::load16(packet, 10)));
    wire::store32(packet, 12, source);
    wire::store32(packet, 16, destination);
    wire::store16(packet, 20, internalOf(flow).port.hostOrder());
}

/// Memory of this process that is really there, in octets.
double resident()
{
    long pages = 0;
    if (std::FILE* file = std::fopen("/proc/self/statm", "r")) {
        if (std::fscanf(file, "%*s %ld", &pages) != 1) pages = 0;
        (void)std::fclose(file);
    }
    return static_cast<double>(pages) * static_cast<double>(sysconf(_SC_PAGESIZE));
}

/// Packets of many established UDP flows in random order, each written into a small ring before it
/// is handed over, as a device would have just done.
class Bed {
public:
    explicit Bed(std::uint32_t flows) : m_flows(flows), m_engine(m_now, configFor(flows))
    {
        Output output;
        std::vector<std::uint8_t> payload(kPacketOctets - 28, 0x40);
        for (std::uint32_t i = 0; i < flows; ++i) {
            const auto out = wire::buildUdp(internalOf(i), remoteOf(i), payload);
            auto copy = out;
            wire::Packet packet{copy};
            m_engine.handlePacket(m_now, PortId::Internal, packet, output);
            const auto port = wire::load16(copy, 20);
            // Enough of both ways for passthrough to lose interest.
            for (int k = 0; k < 8; ++k) {
                auto back = wire::buildUdp(remoteOf(i), {kExternal, net::Port{port}}, payload);
                wire::Packet answer{back};
                m_engine.handlePacket(m_now, PortId::External, answer, output);
                copy = out;
                wire::Packet again{copy};
                m_engine.handlePacket(m_now, PortId::Internal, again, output);
            }
            output.clear();
        }
        m_order.resize(flows);
        for (std::uint32_t i = 0; i < flows; ++i)
            m_order[i] = i;
        std::shuffle(m_order.begin(), m_order.end(), std::mt19937{7});
    }

    void batch()
    {
        std::array<wire::Packet, kBatch> packets;
        std::array<Verdict, kBatch> verdicts;
        for (std::size_t i = 0; i < kBatch; ++i) {
            const std::uint32_t flow = m_order[m_next];
            m_next = m_next + 1 == m_flows ? 0 : m_next + 1;
            writeOutbound(flow, m_template, m_ring[i]);
            packets[i] = {.bytes = m_ring[i]};
        }
        m_now += 1us;
        m_engine.handlePackets(m_now, PortId::Internal, packets, verdicts, m_output);
        m_output.clear();
        m_bad += static_cast<std::uint32_t>(std::count_if(
            verdicts.begin(), verdicts.end(),
            [](const Verdict& verdict) { return verdict.kind != Verdict::Kind::Forward; }));
    }
    void copiesOnly()
    {
        for (std::size_t i = 0; i < kBatch; ++i) {
            const std::uint32_t flow = m_order[m_next];
            m_next = m_next + 1 == m_flows ? 0 : m_next + 1;
            writeOutbound(flow, m_template, m_ring[i]);
        }
        benchmark::DoNotOptimize(m_ring);
    }
    [[nodiscard]] const Engine& engine() const { return m_engine; }
    [[nodiscard]] std::uint32_t bad() const { return m_bad; }
    [[nodiscard]] Instant now() const { return m_now; }

private:
    std::uint32_t m_flows;
    Instant m_now{1000s};
    Engine m_engine;
    Output m_output;
    PacketOctets m_template = makeTemplate();
    std::vector<std::uint32_t> m_order;
    std::array<std::array<std::uint8_t, kPacketOctets>, kBatch> m_ring{};
    std::uint32_t m_next = 0;
    std::uint32_t m_bad = 0;
};

Bed& bedOf(std::uint32_t flows)
{
    static std::unique_ptr<Bed> bed;
    static std::uint32_t size = 0;
    if (size != flows) {
        bed.reset();
        bed = std::make_unique<Bed>(flows);
        size = flows;
    }
    return *bed;
}

void established(benchmark::State& state)
{
    Bed& bed = bedOf(static_cast<std::uint32_t>(state.range(0)));
    for (auto _ : state)
        bed.batch();
    if (bed.bad() != 0) state.SkipWithError("packets were dropped");
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kBatch));
    const Snapshot snapshot = bed.engine().snapshot(bed.now());
    state.counters["ns/packet"] =
        benchmark::Counter(static_cast<double>(state.iterations()) * kBatch / 1e9,
                           benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
    state.counters["B/session"] =
        static_cast<double>(snapshot.memory) / static_cast<double>(snapshot.sessions);
    state.counters["sessions"] = snapshot.sessions;
}

/// What the bed itself costs: subtract it.
void copyOnly(benchmark::State& state)
{
    Bed& bed = bedOf(static_cast<std::uint32_t>(state.range(0)));
    for (auto _ : state)
        bed.copiesOnly();
    state.counters["ns/packet"] =
        benchmark::Counter(static_cast<double>(state.iterations()) * kBatch / 1e9,
                           benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

/// One packet of each of many new flows, in batches.
class Opener {
public:
    void open(Engine& engine, Instant now, std::uint32_t flows)
    {
        for (std::uint32_t flow = 0; flow + kBatch <= flows; flow += kBatch) {
            for (std::uint32_t i = 0; i < kBatch; ++i) {
                writeOutbound(flow + i, m_template, m_ring[i]);
                m_batch[i] = {.bytes = m_ring[i]};
            }
            engine.handlePackets(now, PortId::Internal, m_batch, m_verdicts, m_output);
            m_output.clear();
            for (const Verdict& verdict : m_verdicts)
                m_bad += verdict.kind != Verdict::Kind::Forward ? 1U : 0U;
        }
    }
    void report(benchmark::State& state, std::uint32_t flows) const
    {
        if (m_bad != 0) state.SkipWithError("packets were dropped");
        state.counters["sessions/s"] = benchmark::Counter(
            static_cast<double>(state.iterations()) * flows, benchmark::Counter::kIsRate);
    }

private:
    PacketOctets m_template = makeTemplate();
    std::array<PacketOctets, kBatch> m_ring{};
    std::array<wire::Packet, kBatch> m_batch;
    std::array<Verdict, kBatch> m_verdicts;
    Output m_output;
    std::uint32_t m_bad = 0;
};

/// Everything that is due by then.
void expire(Engine& engine, Instant now)
{
    Output output;
    while (engine.nextTimeout() && *engine.nextTimeout() <= now) {
        engine.handleTimeout(now, output);
        output.clear();
    }
}

/// Into an engine that has never had a session: every page of memory comes from the operating
/// system, zeroed, while the clock runs.
void setUpFirst(benchmark::State& state)
{
    const auto flows = static_cast<std::uint32_t>(state.range(0));
    Opener opener;
    double grown = 0;
    double sessions = 0;
    for (auto _ : state) {
        state.PauseTiming();
        const double before = resident();
        const Instant now{1000s};
        auto engine = std::make_unique<Engine>(now, configFor(flows));
        state.ResumeTiming();
        opener.open(*engine, now, flows);
        state.PauseTiming();
        grown = resident() - before;
        sessions = engine->snapshot(now).sessions;
        engine.reset();
        state.ResumeTiming();
    }
    opener.report(state, flows);
    state.counters["resident_B/session"] = grown / sessions;
}

/// Into an engine whose earlier sessions have all expired, as in a router that runs.
void setUp(benchmark::State& state)
{
    const auto flows = static_cast<std::uint32_t>(state.range(0));
    Opener opener;
    Instant now{1000s};
    Engine engine{now, configFor(flows)};
    opener.open(engine, now, flows);
    for (auto _ : state) {
        state.PauseTiming();
        now += 1h;
        expire(engine, now);
        now += 1h;
        state.ResumeTiming();
        opener.open(engine, now, flows);
    }
    opener.report(state, flows);
}

/// Work that always takes the same: about as long as one call of the expiry, in registers alone.
std::uint64_t sameWork(std::uint64_t value)
{
    for (int i = 0; i < 60000; ++i) {
        value = value * 6364136223846793005U + 1442695040888963407U;
    }
    return value;
}

/// All sessions expire at once; the longest pause of one call is the figure (F5), by the clock on
/// the wall and in time of the processor. Between the calls runs work that always takes the same,
/// touches no memory and makes no system call: how much longer than its usual the longest of it
/// took is what the machine did, not the engine.
void expiryStorm(benchmark::State& state)
{
    const auto flows = static_cast<std::uint32_t>(state.range(0));
    std::vector<std::uint8_t> payload(8, 0x40);
    double worst = 0;
    double worstOfProcessor = 0;
    double all = 0;
    double worstOfSameWork = 0;
    double allOfSameWork = 0;
    std::uint32_t calls = 0;
    for (auto _ : state) {
        Instant now{1000s};
        Engine engine{now, configFor(flows)};
        Output output;
        for (std::uint32_t i = 0; i < flows; ++i) {
            auto bytes = wire::buildUdp(internalOf(i), remoteOf(i), payload);
            wire::Packet packet{bytes};
            engine.handlePacket(now, PortId::Internal, packet, output);
            output.clear();
        }
        now += 10min;
        while (engine.nextTimeout() && *engine.nextTimeout() <= now) {
            const auto before = std::chrono::steady_clock::now();
            const double had = bench::processorMilliseconds();
            engine.handleTimeout(now, output);
            const double used = bench::processorMilliseconds() - had;
            const std::chrono::duration<double, std::milli> took =
                std::chrono::steady_clock::now() - before;
            worst = std::max(worst, took.count());
            worstOfProcessor = std::max(worstOfProcessor, used);
            all += used;
            ++calls;
            output.clear();
            const double began = bench::processorMilliseconds();
            benchmark::DoNotOptimize(sameWork(calls));
            const double same = bench::processorMilliseconds() - began;
            worstOfSameWork = std::max(worstOfSameWork, same);
            allOfSameWork += same;
        }
    }
    state.counters["worst_ms"] = worst;
    state.counters["worst_cpu_ms"] = worstOfProcessor;
    state.counters["mean_cpu_ms"] = all / calls;
    state.counters["same_work_worst_cpu_ms"] = worstOfSameWork;
    state.counters["same_work_mean_cpu_ms"] = allOfSameWork / calls;
}

/// Of several repetitions: on a shared machine the others are in the way of all but the best.
double least(const std::vector<double>& seen)
{
    return *std::min_element(seen.begin(), seen.end());
}

BENCHMARK(copyOnly)->Arg(1000)->Arg(100000)->Arg(1000000)->ComputeStatistics("min", least);
BENCHMARK(established)->Arg(1000)->Arg(100000)->Arg(1000000)->ComputeStatistics("min", least);
BENCHMARK(setUpFirst)->Arg(1000000)->Unit(benchmark::kMillisecond)->ComputeStatistics("min", least);
BENCHMARK(setUp)
    ->Arg(100000)
    ->Arg(1000000)
    ->Unit(benchmark::kMillisecond)
    ->ComputeStatistics("min", least);
BENCHMARK(expiryStorm)->Arg(1000000)->Unit(benchmark::kMillisecond)->Iterations(1);

}  // namespace

BENCHMARK_MAIN();
