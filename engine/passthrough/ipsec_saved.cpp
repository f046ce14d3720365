#include "engine/passthrough/ipsec_state.h"
#include "engine/tunnel/saved_values.h"

/// Across a restart: flows, the connections they belong to and the servers that insist on port 500.
namespace engine::passthrough {

using namespace ipsec;

void IpsecInspector::save(StateWriter& out) const
{
    const State& state = *m_state;
    state.resolver.save(out);
    std::vector<const FlowState*> saved;
    for (const auto& [id, flow] : state.flows) {
        // Over TCP the position in the stream is what counts, and it has moved.
        if (flow.connection != nullptr && flow.carrier != FlowState::Carrier::Tcp) {
            saved.push_back(&flow);
        }
    }
    std::ranges::sort(saved, {}, [](const FlowState* flow) { return flow->flow.id; });
    out.u32(static_cast<std::uint32_t>(saved.size()));
    for (const FlowState* const flow : saved) {
        out.u64(flow->flow.id);
        out.u8(static_cast<std::uint8_t>(flow->carrier));
        tunnel::save(out, flow->key);
        out.u64(static_cast<std::uint64_t>(flow->idle.count()));
        out.flag(flow->attached);
        out.flag(flow->inResolver);
        out.flag(flow->aliased);
        tunnel::save(out, flow->since);
        out.u32(flow->outboundSpi);
        out.u32(flow->inboundSpi);
        out.u32(flow->keepalives);
        out.u32(static_cast<std::uint32_t>(flow->initiatorSpis.size()));
        for (const std::uint64_t spi : flow->initiatorSpis)
            out.u64(spi);
        const Connection& connection = *flow->connection;
        out.u8(static_cast<std::uint8_t>(connection.protocol));
        out.u8(static_cast<std::uint8_t>(connection.confidence));
        out.u8(static_cast<std::uint8_t>(connection.phase));
        out.u8(static_cast<std::uint8_t>(connection.version));
        out.u8(static_cast<std::uint8_t>(connection.product));
        out.u16(connection.hash);
        out.u32(connection.rekeys);
        out.u64(static_cast<std::uint64_t>(connection.roundTrip.count()));
        for (const bool fact : {connection.labelled, connection.bothOfferNatTraversal,
                                connection.answered, connection.settled, connection.agreed,
                                connection.upstreamNat, connection.weak, connection.floated}) {
            out.flag(fact);
        }
    }
    out.u32(static_cast<std::uint32_t>(state.legacyServers.size()));
    for (const auto& [pair, server] : state.legacyServers) {
        out.u32(pair.external.hostOrder());
        out.u32(pair.server.hostOrder());
    }
}

void IpsecInspector::bindingRestored(Instant now, const PortlessBinding& binding, net::VpnProtocol)
{
    if (binding.protocol == net::IpProtocol::Esp) m_state->resolver.bindingRestored(now, binding);
}

bool IpsecInspector::restore(Instant now, StateReader& in, const RestoredFlows& flows,
                             std::vector<FlowId>& claimed)
{
    State& state = *m_state;
    state.lastNow = now;
    if (!state.resolver.restore(now, in)) return false;
    constexpr std::size_t kShortestFlow = 8 + 1 + 16 + 8 + 3 + 8 + 12 + 4 + 5 + 2 + 4 + 8 + 8;
    const std::uint32_t number = in.count(kMostFlows, kShortestFlow);
    for (std::uint32_t i = 0; i < number && !in.failed(); ++i) {
        const Flow* const flow = flows.find(in.u64());
        FlowState read;
        read.carrier = static_cast<FlowState::Carrier>(in.below(2));
        read.key = tunnel::readTunnelKey(in);
        read.idle = Duration{static_cast<std::int64_t>(in.u64())};
        read.attached = in.flag();
        read.inResolver = in.flag();
        read.aliased = in.flag();
        read.since = tunnel::readInstant(in);
        read.outboundSpi = in.u32();
        read.inboundSpi = in.u32();
        read.keepalives = in.u32();
        std::vector<std::uint64_t> initiatorSpis(in.count(kMostSpisOfFlow, 8));
        for (std::uint64_t& spi : initiatorSpis)
            spi = in.u64();
        Connection connection;
        connection.protocol = static_cast<net::VpnProtocol>(in.below(net::kVpnProtocolCount));
        connection.confidence = static_cast<Confidence>(in.below(3));
        connection.phase = static_cast<Phase>(in.below(tunnel::kPhaseCount));
        const std::uint8_t version = in.u8();
        const std::uint8_t product = in.u8();
        connection.hash = in.u16();
        connection.rekeys = in.u32();
        connection.roundTrip = Duration{static_cast<std::int64_t>(in.u64())};
        for (bool* const fact : {&connection.labelled, &connection.bothOfferNatTraversal,
                                 &connection.answered, &connection.settled, &connection.agreed,
                                 &connection.upstreamNat, &connection.weak, &connection.floated}) {
            *fact = in.flag();
        }
        const bool isVersion = version == static_cast<std::uint8_t>(Version::V1) ||
                               version == static_cast<std::uint8_t>(Version::V2);
        if (in.failed() || !isVersion || product > static_cast<std::uint8_t>(ike::kLastProduct) ||
            read.since > now || read.idle < Duration{0}) {
            return false;
        }
        connection.version = static_cast<Version>(version);
        connection.product = static_cast<ike::Product>(product);
        if (flow == nullptr || flow->protocol != net::IpProtocol::Udp) continue;
        if (state.flows.contains(flow->id)) return false;
        FlowState& fresh = state.flows[flow->id];
        fresh = std::move(read);
        fresh.flow = *flow;
        // All flows of a connection tell the same about it.
        if (!state.connections.contains(fresh.key))
            state.connections.emplace(fresh.key, connection);
        const TunnelKey key = fresh.key;
        state.join(fresh, key);
        for (const std::uint64_t spi : initiatorSpis)
            state.remember(fresh, spi);
        if (fresh.inResolver) {
            state.resolver.ikeRestored(State::pairOf(fresh), flow->internal.address, fresh.key);
            ++state.resolverFlows[{State::pairOf(fresh), flow->internal.address}];
        }
        claimed.push_back(flow->id);
    }
    const std::uint32_t servers = in.count(kMostLegacyServers, 8);
    for (std::uint32_t i = 0; i < servers; ++i) {
        const net::Ipv4Address external{in.u32()};
        const EspPair pair{external, net::Ipv4Address{in.u32()}};
        state.legacyServers.emplace(pair, LegacyServer{});
    }
    return !in.failed();
}

}  // namespace engine::passthrough
