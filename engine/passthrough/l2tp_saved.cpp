#include "engine/passthrough/l2tp_state.h"
#include "engine/tunnel/saved_values.h"

#include <algorithm>

/// What outlives the engine.
namespace engine::passthrough {

using namespace l2tp;
using net::Direction;

void L2tpInspector::save(StateWriter& out) const
{
    out.u32(static_cast<std::uint32_t>(m_state->modes.size()));
    for (const auto& [server, mode] : m_state->modes) {
        out.u32(server.hostOrder());
        out.u8(static_cast<std::uint8_t>(mode));
    }
    std::vector<const Link*> saved;
    for (const auto& [id, link] : m_state->links)
        saved.push_back(link.get());
    std::ranges::sort(saved, {}, [](const Link* link) { return link->flow.id; });
    out.u32(static_cast<std::uint32_t>(saved.size()));
    for (const Link* const link : saved) {
        out.u32(static_cast<std::uint32_t>(link->others.size()) + 1);
        out.u64(link->flow.id);
        for (const FlowId other : link->others)
            out.u64(other);
        out.u64(link->serial);
        const auto lives = [](const auto& tunnel) {
            return !tunnel->over;
        };
        out.u32(static_cast<std::uint32_t>(std::ranges::count_if(link->tunnels, lives)));
        for (const auto& tunnel : link->tunnels) {
            if (tunnel->over) continue;
            tunnel::save(out, tunnel->key);
            out.u8(tunnel->version);
            out.u8(static_cast<std::uint8_t>(tunnel->initiator));
            out.u32(tunnel->insideId);
            out.u32(tunnel->publicId);
            out.u32(tunnel->remoteId);
            out.flag(tunnel->indexed);
            out.flag(tunnel->established);
            out.flag(tunnel->answered);
            out.u32(static_cast<std::uint32_t>(tunnel->sessions.size()));
            for (const Session& session : tunnel->sessions) {
                out.u32(session.clientId);
                out.u32(session.serverId);
            }
        }
    }
}

void L2tpInspector::bindingRestored(Instant, const PortlessBinding& binding, net::VpnProtocol)
{
    if (binding.protocol == net::IpProtocol::L2tpV3) m_state->overIp.bindingRestored(binding);
}

bool L2tpInspector::restore(Instant now, StateReader& in, const RestoredFlows& flows,
                            std::vector<FlowId>& claimed)
{
    State& state = *m_state;
    const std::uint32_t servers = in.count(kMostServers, 5);
    for (std::uint32_t i = 0; i < servers; ++i) {
        const net::Ipv4Address server{in.u32()};
        state.modes[server] = static_cast<ReplyMode>(in.below(3));
    }
    const std::uint32_t links = in.count(kMostLinks, 4 + 8 + 8 + 4);
    for (std::uint32_t i = 0; i < links && !in.failed(); ++i) {
        Link link;
        std::vector<FlowId> own;
        const std::uint32_t number = in.count(kMostFlowsOfLink, 8);
        for (std::uint32_t k = 0; k < number; ++k) {
            const Flow* const flow = flows.find(in.u64());
            if (flow == nullptr || flow->protocol != net::IpProtocol::Udp) continue;
            if (own.empty()) link.flow = *flow;
            own.push_back(flow->id);
        }
        link.serial = in.u64();
        const std::uint32_t tunnels = in.count(kMostTunnelsPerLink, 16 + 2 + 12 + 3 + 4);
        for (std::uint32_t k = 0; k < tunnels && !in.failed(); ++k) {
            auto tunnel = std::make_unique<TunnelState>();
            tunnel->flow = link.flow.id;
            tunnel->key = tunnel::readTunnelKey(in);
            tunnel->version = in.below(4);
            tunnel->initiator = static_cast<Direction>(in.below(2));
            tunnel->insideId = in.u32();
            tunnel->publicId = in.u32();
            tunnel->remoteId = in.u32();
            tunnel->indexed = in.flag();
            tunnel->established = in.flag();
            tunnel->answered = in.flag();
            tunnel->since = now;
            const std::uint32_t sessions = in.count(kMostSessionsPerTunnel, 8);
            for (std::uint32_t s = 0; s < sessions; ++s) {
                Session& session = tunnel->sessions.emplace_back();
                session.clientId = in.u32();
                session.serverId = in.u32();
            }
            const bool fits = tunnel->version == 2 || tunnel->version == 3;
            const bool isShort =
                tunnel->version == 2 && (tunnel->insideId > 0xffff || tunnel->publicId > 0xffff);
            if (!fits || isShort || (tunnel->rewritten() && tunnel->version != 2)) in.fail();
            link.tunnels.push_back(std::move(tunnel));
        }
        if (in.failed()) return false;
        if (own.empty()) continue;
        if (state.links.contains(link.flow.id) || state.joined.contains(link.flow.id)) return false;
        for (const auto& tunnel : link.tunnels) {
            if (!tunnel->indexed) continue;
            const StrayKey key{link.flow.external.address, link.flow.remote.address,
                               tunnel->publicId};
            if (!state.strays.emplace(key, tunnel.get()).second) return false;
        }
        for (std::size_t k = 1; k < own.size(); ++k) {
            link.others.push_back(own[k]);
            if (!state.joined.emplace(own[k], link.flow.id).second) return false;
        }
        claimed.insert(claimed.end(), own.begin(), own.end());
        const FlowId id = link.flow.id;
        state.links.emplace(id, std::make_unique<Link>(std::move(link)));
        state.nextSweep = now + kSweepEvery;
    }
    return !in.failed();
}

}  // namespace engine::passthrough
