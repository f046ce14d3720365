#include "engine/passthrough/l2tp.h"

#include "engine/passthrough/l2tp_state.h"

#include <algorithm>

namespace engine::passthrough {

using namespace l2tp;
using net::Direction;
using tunnel::Confidence;
using tunnel::EventKind;
using tunnel::FindingKind;
using tunnel::Lane;
using tunnel::Phase;

Attention L2tpInspector::State::inspect(Instant now, Link& link, const Flow& flow,
                                        const Segment& segment, Actions& actions)
{
    if (segment.payload.empty()) return kPass;
    if (segment.direction == Direction::Inbound && flow.initiator == Direction::Outbound &&
        modeOfServer(flow.remote.address) != ReplyMode::ToTheClientsPort &&
        flow.external.port.hostOrder() != kPort) {
        setMode(flow.remote.address, ReplyMode::ToTheClientsPort);
    }
    const bool isControl = (segment.payload[0] & 0x80U) != 0;
    return isControl ? control(now, link, flow, segment.direction, segment.payload, segment.packet,
                               actions)
                     : data(now, link, segment.direction, segment.payload, segment.packet, actions);
}

void L2tpInspector::State::sweep(Instant now, Actions& actions)
{
    nextSweep.reset();
    std::vector<FlowId> order;
    for (const auto& [id, link] : links)
        order.push_back(id);
    std::ranges::sort(order);
    for (const FlowId id : order) {
        for (const auto& tunnel : links[id]->tunnels) {
            if (tunnel->over || tunnel->answered || tunnel->silenceTold) continue;
            if (now - tunnel->since < kAnswerTimeout) {
                nextSweep = now + kSweepEvery;
                continue;
            }
            tunnel->silenceTold = true;
            Observing(actions, tunnel->key)
                .finding(FindingKind::NoAnswerFromServer, tunnel->requests, 0, tunnel->proof);
        }
    }
}

L2tpInspector::L2tpInspector(HashKey seed, const policy::PassthroughPolicy& policy,
                             const net::Prefix& lan)
    : m_state(std::make_unique<State>(seed, policy, lan))
{}
L2tpInspector::~L2tpInspector() = default;

Inspector::Opening L2tpInspector::opening() const
{
    Opening opening{.tcp = false};
    opening.keepOctets([](std::uint8_t first) { return couldBeControl(first); });
    return opening;
}

Inspector::Claim L2tpInspector::consider(Instant, const Flow& flow, const Segment& segment)
{
    if (flow.protocol != net::IpProtocol::Udp) return Claim::NotMine;
    if (segment.payload.empty()) return Claim::Undecided;
    if (!looksLikeControl(segment.payload)) return Claim::NotMine;
    const auto parsed = ControlMessage::parse(segment.payload);
    if (!parsed || m_state->links.size() >= kMostLinks) return Claim::NotMine;
    const ControlMessage& message = *parsed;
    if (message.is(MessageType::StartRequest) && message.tunnelId == 0 &&
        segment.direction == flow.initiator) {
        return Claim::Claimed;
    }
    if (m_state->relatedLink(flow, segment.direction, message) != nullptr) return Claim::Claimed;
    // Joined late: the port and a message that makes sense together. What somebody outside begins
    // in the middle is nothing of ours.
    const bool late = flow.initiator == Direction::Outbound && isPort1701(flow) && message.type;
    return late ? Claim::Claimed : Claim::NotMine;
}

Attention L2tpInspector::inspect(Instant now, const Flow& flow, const Segment& segment,
                                 Actions& actions)
{
    State& state = *m_state;
    Link* link = state.linkOf(flow.id);
    if (link == nullptr) {
        const auto parsed = ControlMessage::parse(segment.payload);
        if (!parsed) return kIgnore;
        const ControlMessage& message = *parsed;
        if (!message.is(MessageType::StartRequest)) {
            link = state.relatedLink(flow, segment.direction, message);
        }
        if (link != nullptr) {
            link->others.push_back(flow.id);
            state.joined[flow.id] = link->flow.id;
            TunnelState& tunnel = *state.find(*link, segment.direction, message.tunnelId);
            actions.attachments.push_back({.flow = flow.id,
                                           .key = tunnel.key,
                                           .sequence = tunnel::SequenceKind::L2tp,
                                           .idle = kEstablishedIdle});
            Observing(actions, tunnel.key)
                .event(EventKind::PortFloated, Lane::Server, Lane::Client,
                       link->flow.remote.port.hostOrder(), flow.remote.port.hostOrder());
        } else {
            link = &state.open(flow);
            if (!message.is(MessageType::StartRequest)) {
                // The beginning was not seen: named, and followed as far as possible.
                TunnelState late;
                late.version = message.version;
                late.key = {flow.internal.address, flow.remote.address,
                            sipHash(state.seed, flow.id, std::uint64_t{0x4c325450} << 32)};
                link->serial = 1;
                late.flow = flow.id;
                late.answered = true;
                (segment.direction == Direction::Outbound ? late.remoteId : late.insideId) =
                    message.tunnelId;
                late.publicId = late.insideId;
                State::label(*link, late, Confidence::Likely, actions);
                actions.attachments.push_back({.flow = flow.id,
                                               .key = late.key,
                                               .sequence = tunnel::SequenceKind::L2tp,
                                               .idle = kEstablishedIdle});
                link->tunnels.push_back(std::make_unique<TunnelState>(std::move(late)));
            }
        }
    }
    return state.inspect(now, *link, flow, segment, actions);
}

void L2tpInspector::flowClosed(Instant, FlowId flow, FlowEnd end, Actions& actions)
{
    State& state = *m_state;
    Link* const link = state.linkOf(flow);
    if (link == nullptr) return;
    if (flow == link->flow.id) {
        link->firstFlowGone = true;
    } else {
        std::erase(link->others, flow);
        state.joined.erase(flow);
    }
    if (!link->firstFlowGone || !link->others.empty()) return;
    const TunnelEnding ending = endingOf(end);
    for (const auto& tunnel : link->tunnels) {
        const bool never = !tunnel->established && tunnel->remoteId == 0;
        state.endTunnel(*tunnel, {never ? Phase::Failed : ending.phase, ending.cause}, 0, actions);
    }
    state.links.erase(link->flow.id);
}

std::optional<UdpRedirect> L2tpInspector::unmatchedUdp(Instant now, net::Endpoint external,
                                                       net::Endpoint remote,
                                                       wire::ConstBytes payload, Actions& actions)
{
    State& state = *m_state;
    if (external.port.hostOrder() != kPort || payload.size() < 6) return std::nullopt;
    if (isVersion3Data(payload)) {
        const TunnelState* const owner =
            state.ownerOfSession(external.address, remote.address, wire::load32(payload, 4));
        if (owner == nullptr) return std::nullopt;
        return UdpRedirect{state.links.at(owner->flow)->flow.id};
    }
    const bool isControl = (payload[0] & 0x80U) != 0;
    std::uint32_t tunnelId = 0;
    std::uint8_t version = 2;
    if (isControl) {
        if (!looksLikeControl(payload)) return std::nullopt;
        const auto parsed = ControlMessage::parse(payload);
        tunnelId = parsed.value().tunnelId;
        version = parsed.value().version;
    } else {
        const auto parsed = DataHeader::parse(payload);
        if (!parsed) return std::nullopt;
        tunnelId = parsed.value().tunnelId;
    }
    const auto stray = state.strays.find({external.address, remote.address, tunnelId});
    if (stray == state.strays.end() || stray->second->version != version) return std::nullopt;
    TunnelState& tunnel = *stray->second;
    Link& link = *state.links.at(tunnel.flow);
    if (state.modeOfServer(remote.address) != ReplyMode::AlwaysTo1701) {
        state.setMode(remote.address, ReplyMode::AlwaysTo1701);
    }
    if (!tunnel.answered) {
        const Observing observing(actions, tunnel.key);
        observing.passage(tunnel::PassageKind::TunnelId, tunnel.insideId, tunnel.publicId);
        observing.event(EventKind::PortFloated, Lane::Server, Lane::Router,
                        link.flow.external.port.hostOrder(), kPort);
    }
    const Attention attention =
        isControl ? state.control(now, link, link.flow, Direction::Inbound, payload, {}, actions)
                  : state.data(now, link, Direction::Inbound, payload, {}, actions);
    if (attention.fate != Attention::Fate::Pass) return std::nullopt;
    return UdpRedirect{link.flow.id};
}

bool L2tpInspector::owns(net::IpProtocol protocol, wire::ConstBytes) const
{
    return protocol == net::IpProtocol::L2tpV3;
}

PortlessDecision L2tpInspector::decide(Instant now, net::Direction direction,
                                       const PortlessPacket& packet, Actions& actions)
{
    if (packet.protocol != net::IpProtocol::L2tpV3) return kRefused;
    return m_state->overIp.decide(now, direction, packet, actions);
}

Attention L2tpInspector::inspectPortless(Instant now, net::Direction direction,
                                         const PortlessPacket& packet, Actions& actions)
{
    return m_state->overIp.inspect(now, direction, packet, actions);
}

void L2tpInspector::bindingClosed(Instant, const PortlessBinding& binding, FlowEnd end,
                                  Actions& actions)
{
    if (binding.protocol != net::IpProtocol::L2tpV3) return;
    m_state->overIp.bindingClosed(binding, end, actions);
}

void L2tpInspector::handleTimeout(Instant now, Actions& actions)
{
    if (m_state->nextSweep && now >= *m_state->nextSweep) m_state->sweep(now, actions);
}

std::optional<Instant> L2tpInspector::nextTimeout() const
{
    return m_state->nextSweep;
}

}  // namespace engine::passthrough
