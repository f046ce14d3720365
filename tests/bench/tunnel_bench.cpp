#include "engine/passthrough/passthrough.h"
#include "engine/tunnel/tunnel_table.h"

#include <benchmark/benchmark.h>
#include <cstring>
#include <vector>

using namespace engine;
using namespace std::chrono_literals;

namespace {

/// Numbered packets of WireGuard's data, both ways, of many tunnels in turn; `take` gets each.
template <typename Take>
void playTunnels(benchmark::State& state, tunnel::TunnelTable& table, Take take)
{
    Instant now{1000s};
    const auto tunnels = static_cast<std::uint32_t>(state.range(0));
    std::vector<tunnel::AttachmentId> sessions;
    for (std::uint32_t i = 0; i < tunnels; ++i) {
        tunnel::Observation label;
        label.key = {net::Ipv4Address{0x0a000000U + i / 100}, net::Ipv4Address{0xcb007109U}, i};
        label.protocol = net::VpnProtocol::WireGuard;
        table.apply(now, label);
        sessions.push_back(table.attach(now, label.key, tunnel::SequenceKind::WireGuard));
    }
    std::vector<std::uint8_t> payload(1400, 0);
    payload[0] = 4;
    std::uint64_t number = 0;
    std::uint32_t next = 0;
    for (auto _ : state) {
        const std::uint64_t ofItsWay = number >> 1U;  // each direction counts for itself
        std::memcpy(&payload[8], &ofItsWay, 8);
        benchmark::ClobberMemory();
        const auto direction =
            (number & 1U) != 0 ? net::Direction::Inbound : net::Direction::Outbound;
        take(sessions[next], now,
             tunnel::Passed{.direction = direction, .payload = payload, .bytes = 1428});
        now += 100ns;
        if (++next == tunnels) {
            next = 0;
            ++number;
        }
    }
}

/// What recognition still costs once a flow is a known tunnel: counters and sequence numbers.
void countOfEstablishedTunnel(benchmark::State& state)
{
    tunnel::TunnelTable table{HashKey{1, 2}};
    playTunnels(state, table,
                [&](tunnel::AttachmentId session, Instant now, const tunnel::Passed& passed) {
                    table.count(session, now, passed);
                });
}

/// The same packets, counted by nobody: what of the above is not recognition's.
void playOnly(benchmark::State& state)
{
    tunnel::TunnelTable table{HashKey{1, 2}};
    playTunnels(state, table,
                [](tunnel::AttachmentId session, Instant now, const tunnel::Passed& passed) {
                    benchmark::DoNotOptimize(session);
                    benchmark::DoNotOptimize(now);
                    benchmark::DoNotOptimize(passed.direction);
                    benchmark::DoNotOptimize(passed.payload.data());
                });
}

/// What every new UDP flow pays: all recognisers look at its first packet and find nothing.
void firstPacketOfOrdinaryFlow(benchmark::State& state)
{
    passthrough::Passthrough passthrough{HashKey{1, 2}};
    passthrough::Actions actions;
    std::vector<std::uint8_t> payload(1200, 0x5a);
    payload[0] = 0xc3;  // QUIC
    payload[4] = 1;
    passthrough::Flow flow;
    flow.remote = {net::Ipv4Address{203, 0, 113, 9}, net::Port{443}};
    passthrough::Segment segment;
    segment.payload = payload;
    const Instant now{1000s};
    for (auto _ : state) {
        ++flow.id;
        benchmark::DoNotOptimize(passthrough.inspect(now, flow, segment, actions));
    }
}

}  // namespace

BENCHMARK(countOfEstablishedTunnel)->Arg(1)->Arg(64)->Arg(512);
BENCHMARK(playOnly)->Arg(1)->Arg(64)->Arg(512);
BENCHMARK(firstPacketOfOrdinaryFlow);
BENCHMARK_MAIN();
