#include "engine/passthrough/esp_resolver_parts.h"
#include "engine/tunnel/saved_values.h"

#include <algorithm>

/// Across a restart: whose SPIs are, which belong together and how sure that is. The NAT's sessions
/// come back by themselves; expectations do not, they are minutes at most.
namespace engine::passthrough {

using namespace esp;

namespace {

constexpr std::size_t kShortestGroup = 4 + 4 + 8 + 8 + 4 + 4;
constexpr std::size_t kShortestHost = 4 + 1 + 4 + 8 + 4 + 4;
constexpr std::size_t kOutbound = 4 + 4 + 4 + 1;
constexpr std::size_t kInbound = 4 + 4 + 1 + 4 + 4 + 8;

/// Zero, which is "not measured", for what no network takes.
Duration readRoundTrip(StateReader& in)
{
    constexpr std::uint64_t kLongest = Duration{std::chrono::minutes(1)}.count();
    const std::uint64_t read = in.u64();
    return read <= kLongest ? Duration{static_cast<std::int64_t>(read)} : Duration{0};
}

}  // namespace

void EspResolver::bindingRestored(Instant now, const PortlessBinding& binding)
{
    const EspPair pair{binding.external, binding.server};
    Group* const group = findOrMake(pair, binding.client, Claim::Answered);
    Host* const host = group == nullptr ? nullptr : makeHost(*group, pair, binding.client);
    if (host == nullptr) return;
    host->key = binding.key;
    host->labelled = true;
    if (binding.outbound && host->outbound.size() < kMostSpis &&
        findSpi(host->outbound, binding.outbound->id) == nullptr) {
        OutboundSpi& spi = host->outbound.emplace_back();
        spi.spi = binding.outbound->id;
        spi.first = spi.last = now;
        spi.asked = true;
        spi.watched = binding.watch;
    }
    if (binding.inbound && host->inbound.size() < kMostSpis &&
        findSpi(host->inbound, binding.inbound->id) == nullptr) {
        InboundSpi& spi = host->inbound.emplace_back();
        spi.spi = binding.inbound->id;
        spi.bound = spi.last = now;
        spi.asked = true;
        spi.watched = binding.watch;
        spi.recovered = true;
    }
}

void EspResolver::ikeRestored(EspPair pair, net::Ipv4Address client, tunnel::TunnelKey key)
{
    Group* const group = findOrMake(pair, client, Claim::Answered);
    Host* const host = group == nullptr ? nullptr : makeHost(*group, pair, client);
    if (host == nullptr) return;
    host->ike = true;
    host->key = key;
}

void EspResolver::save(StateWriter& out) const
{
    out.u32(static_cast<std::uint32_t>(m_groups.size()));
    for (const auto& [pair, group] : m_groups) {
        out.u32(pair.external.hostOrder());
        out.u32(pair.server.hostOrder());
        out.u64(static_cast<std::uint64_t>(group.ikeRoundTrip.count()));
        out.u64(static_cast<std::uint64_t>(group.espRoundTrip.count()));
        out.u32(static_cast<std::uint32_t>(group.hosts.size()));
        for (const Host& host : group.hosts) {
            out.u32(host.client.hostOrder());
            out.flag(host.warned);
            out.u32(host.pairs);
            out.u64(host.inboundPackets);
            out.u32(static_cast<std::uint32_t>(host.outbound.size()));
            for (const OutboundSpi& spi : host.outbound) {
                out.u32(spi.spi);
                out.u32(spi.partner);
                out.u32(spi.packets);
                out.flag(spi.superseded);
            }
            out.u32(static_cast<std::uint32_t>(host.inbound.size()));
            for (const InboundSpi& spi : host.inbound) {
                out.u32(spi.spi);
                out.u32(spi.partner);
                out.u8(static_cast<std::uint8_t>(
                    (static_cast<unsigned>(spi.grade) << 3U) | (spi.confirmed ? 4U : 0U) |
                    (spi.superseded ? 2U : 0U) | (spi.alone ? 1U : 0U)));
                out.u32(spi.highest);
                out.u32(spi.restarts);
                out.u64(spi.window);
            }
        }
        out.u32(static_cast<std::uint32_t>(group.shared.size()));
        for (const Shared& shared : group.shared) {
            out.u32(shared.spi);
            out.u32(static_cast<std::uint32_t>(shared.clients.size()));
            for (const net::Ipv4Address client : shared.clients)
                out.u32(client.hostOrder());
        }
    }
}

bool EspResolver::restore(Instant now, StateReader& in)
{
    const std::uint32_t groups = in.count(kMostGroups, kShortestGroup);
    for (std::uint32_t g = 0; g < groups && !in.failed(); ++g) {
        const net::Ipv4Address external{in.u32()};
        const EspPair pair{external, net::Ipv4Address{in.u32()}};
        const Duration ikeRoundTrip = readRoundTrip(in);
        const Duration espRoundTrip = readRoundTrip(in);
        // Only what has come back as a session is filled in; what is left over is read past.
        Group* const group = find(pair);
        if (group != nullptr) {
            group->ikeRoundTrip = ikeRoundTrip;
            group->espRoundTrip = espRoundTrip;
        }
        const std::uint32_t hosts = in.count(kMostHosts, kShortestHost);
        for (std::uint32_t h = 0; h < hosts && !in.failed(); ++h) {
            const net::Ipv4Address client{in.u32()};
            Host* const host = group == nullptr ? nullptr : hostOf(*group, client);
            const bool warned = in.flag();
            const std::uint32_t pairs = in.u32();
            const std::uint64_t packets = in.u64();
            if (host != nullptr) {
                host->warned = warned;
                host->pairs = pairs;
                host->inboundPackets = packets;
            }
            const std::uint32_t outbound = in.count(kMostSpis, kOutbound);
            for (std::uint32_t i = 0; i < outbound; ++i) {
                const std::uint32_t number = in.u32();
                OutboundSpi* const spi =
                    host == nullptr ? nullptr : findSpi(host->outbound, number);
                OutboundSpi read;
                read.partner = in.u32();
                read.packets = in.u32();
                read.superseded = in.flag();
                if (spi == nullptr) continue;
                spi->partner = read.partner;
                spi->packets = read.packets;
                spi->superseded = read.superseded;
            }
            const std::uint32_t inbound = in.count(kMostSpis, kInbound);
            for (std::uint32_t i = 0; i < inbound; ++i) {
                const std::uint32_t number = in.u32();
                InboundSpi* const spi = host == nullptr ? nullptr : findSpi(host->inbound, number);
                InboundSpi read;
                read.partner = in.u32();
                const std::uint8_t bits = in.below(3U << 3U);
                read.highest = in.u32();
                read.restarts = in.u32();
                read.window = in.u64();
                if (spi == nullptr) continue;
                spi->partner = read.partner;
                spi->grade = static_cast<Grade>(bits >> 3U);
                spi->confirmed = (bits & 4U) != 0;
                spi->superseded = (bits & 2U) != 0;
                spi->alone = (bits & 1U) != 0;
                spi->highest = read.highest;
                spi->restarts = read.restarts;
                spi->window = read.window;
                spi->recovered = false;
            }
            if (host == nullptr) continue;
            // Partners are two ends of one fact; one alone is none.
            for (OutboundSpi& spi : host->outbound) {
                const InboundSpi* const other = findSpi(host->inbound, spi.partner);
                if (other == nullptr || other->partner != spi.spi) spi.partner = 0;
            }
            for (InboundSpi& spi : host->inbound) {
                const OutboundSpi* const other = findSpi(host->outbound, spi.partner);
                if (other == nullptr || other->partner != spi.spi) spi.partner = 0;
            }
        }
        const std::uint32_t shared = in.count(kMostShared, 8);
        for (std::uint32_t s = 0; s < shared && !in.failed(); ++s) {
            Shared both;
            both.spi = in.u32();
            const std::uint32_t clients = in.count(PortlessDecision::kMostRecipients, 4);
            for (std::uint32_t c = 0; c < clients; ++c) {
                const net::Ipv4Address client{in.u32()};
                if (group != nullptr && hostOf(*group, client) != nullptr) {
                    both.clients.push_back(client);
                }
            }
            if (both.clients.size() > 1) group->shared.push_back(std::move(both));
        }
        if (group != nullptr) settle(now, *group);
    }
    return !in.failed();
}

}  // namespace engine::passthrough
