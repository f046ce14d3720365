#include "engine/passthrough/l2tp_state.h"

#include <algorithm>

/// Which tunnel a message belongs to, its beginning and end, and the ID that the server sees.
namespace engine::passthrough {

using namespace l2tp;
using net::Direction;
using policy::PassthroughMode;
using tunnel::Confidence;
using tunnel::EventKind;
using tunnel::Lane;
using tunnel::Observation;
using tunnel::Phase;

Link* L2tpInspector::State::linkOf(FlowId flow)
{
    const auto other = joined.find(flow);
    const auto found = links.find(other == joined.end() ? flow : other->second);
    return found == links.end() ? nullptr : found->second.get();
}

/// The link of the same two hosts and the same port inside whose tunnel a message on a new flow
/// names: the server answers from another port, or the client has followed it there.
Link* L2tpInspector::State::relatedLink(const Flow& flow, Direction direction,
                                        const ControlMessage& message) const
{
    Link* related = nullptr;
    for (const auto& [id, link] : links) {
        if (link->flow.internal != flow.internal || link->flow.external != flow.external ||
            link->flow.remote.address != flow.remote.address) {
            continue;
        }
        const TunnelState* tunnel = find(*link, direction, message.tunnelId);
        if (tunnel == nullptr || tunnel->version != message.version) continue;
        if (related == nullptr || link->flow.id > related->flow.id) related = link.get();
    }
    return related;
}

Link& L2tpInspector::State::open(const Flow& flow)
{
    auto fresh = std::make_unique<Link>();
    fresh->flow = flow;
    return *links.emplace(flow.id, std::move(fresh)).first->second;
}

void L2tpInspector::State::label(const Link& link, const TunnelState& tunnel, Confidence confidence,
                                 Actions& actions)
{
    Observation& observation = Observing(actions, tunnel.key).add(Observation::Kind::Label);
    observation.protocol = protocolOf(tunnel.version);
    observation.confidence = confidence;
    observation.server = link.flow.remote;
    observation.external = link.flow.external;
    observation.transport = net::IpProtocol::Udp;
}

/// The header names the receiver's tunnel.
TunnelState* L2tpInspector::State::find(const Link& link, Direction direction,
                                        std::uint32_t headerId) const
{
    if (headerId == 0) return nullptr;
    TunnelState* ended = nullptr;
    for (const auto& tunnel : link.tunnels) {
        const std::uint32_t theirs =
            direction == Direction::Inbound ? tunnel->publicId : tunnel->remoteId;
        if (theirs != headerId) continue;
        if (!tunnel->over) return tunnel.get();
        ended = tunnel.get();
    }
    return ended;
}

/// Gives the tunnel the ID that the server will see. Where answers may come to port 1701 the ID is
/// all that tells clients apart, so a second client with the same one gets another, if the message
/// allows it. False: it does not, and nothing else will tell them apart.
bool L2tpInspector::State::chooseId(const Link& link, TunnelState& tunnel,
                                    const ControlMessage& message)
{
    tunnel.publicId = tunnel.insideId;
    if (modeOf(link.flow, tunnel.version) != PassthroughMode::Assist) return true;
    StrayKey key{link.flow.external.address, link.flow.remote.address, tunnel.insideId};
    const ReplyMode mode = modeOfServer(link.flow.remote.address);
    const bool clash = strays.contains(key);
    if (clash && mode == ReplyMode::ToTheClientsPort) return true;
    if (clash) {
        const bool changeable =
            tunnel.version == 2 && message.tunnel && !message.tunnel->hidden && !message.digest;
        if (!changeable) return mode == ReplyMode::Unknown;
        do {
            key.tunnelId = 1 + random.below(0xffff);
        } while (strays.contains(key));
        tunnel.publicId = key.tunnelId;
    }
    strays[key] = &tunnel;
    tunnel.indexed = true;
    return true;
}

TunnelState* L2tpInspector::State::beginTunnel(Instant now, Link& link, Direction direction,
                                               const ControlMessage& message,
                                               wire::ConstBytes packet, Actions& actions)
{
    const std::uint32_t own = message.tunnel && !message.tunnel->hidden ? message.tunnel->value : 0;
    const bool outbound = direction == Direction::Outbound;
    for (const auto& tunnel : link.tunnels) {
        const std::uint32_t theirs = outbound ? tunnel->insideId : tunnel->remoteId;
        if (!tunnel->over && tunnel->initiator == direction && theirs == own) return tunnel.get();
    }
    std::erase_if(link.tunnels, [&](const auto& tunnel) { return tunnel->over; });
    if (link.tunnels.size() >= kMostTunnelsPerLink) return nullptr;
    link.tunnels.push_back(std::make_unique<TunnelState>());
    TunnelState& tunnel = *link.tunnels.back();
    tunnel.flow = link.flow.id;
    tunnel.version = message.version;
    tunnel.initiator = direction;
    tunnel.since = now;
    tunnel.key = {link.flow.internal.address, link.flow.remote.address,
                  sipHash(seed, link.flow.id, (std::uint64_t{0x4c325450} << 32) | link.serial++)};
    tunnel.proof.assign(packet.begin(), packet.begin() + static_cast<std::ptrdiff_t>(
                                                             std::min(packet.size(), kProof)));
    if (outbound) {
        tunnel.insideId = own;
        if (!chooseId(link, tunnel, message)) {
            link.tunnels.pop_back();
            return nullptr;
        }
    } else {
        tunnel.remoteId = own;
    }
    label(link, tunnel, Confidence::Likely, actions);
    const Observing observing(actions, tunnel.key);
    observing.event(EventKind::ControlOpened, Lane::Client, Lane::Server,
                    link.flow.remote.port.hostOrder());
    observing.phase(Phase::Handshaking);
    if (tunnel.rewritten()) {
        observing.event(EventKind::IdRewritten, Lane::Router, Lane::Router, tunnel.insideId,
                        tunnel.publicId);
        observing.passage(tunnel::PassageKind::TunnelId, tunnel.insideId, tunnel.publicId);
    } else {
        observing.passage(tunnel::PassageKind::PortTranslated, link.flow.internal.port.hostOrder(),
                          link.flow.external.port.hostOrder());
    }
    actions.attachments.push_back({.flow = link.flow.id,
                                   .key = tunnel.key,
                                   .sequence = tunnel::SequenceKind::L2tp,
                                   .idle = kControlIdle});
    if (outbound && modeOf(link.flow, tunnel.version) == PassthroughMode::Assist) {
        // RFC 2661 §8.1: the answer may come from any port of the server.
        actions.aliases.push_back({.flow = link.flow.id,
                                   .remotePort = net::Port{0},
                                   .externalPort = link.flow.external.port});
    }
    if (!nextSweep) nextSweep = now + kSweepEvery;
    return &tunnel;
}

void L2tpInspector::State::endTunnel(TunnelState& tunnel, TunnelEnding ending, std::uint32_t code,
                                     Actions& actions)
{
    if (tunnel.over) return;
    tunnel.over = true;
    Observing(actions, tunnel.key).ended(ending.phase, ending.cause, code);
    std::erase_if(strays, [&](const auto& stray) { return stray.second == &tunnel; });
}

}  // namespace engine::passthrough
