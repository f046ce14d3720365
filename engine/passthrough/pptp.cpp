#include "engine/passthrough/pptp_state.h"

namespace engine::passthrough {

using namespace pptp;
using net::Direction;
using policy::PassthroughMode;
using tunnel::Confidence;
using tunnel::EventKind;
using tunnel::FindingKind;
using tunnel::Lane;
using tunnel::Observation;
using tunnel::Phase;

void PptpInspector::State::sweepCall(Instant now, Control& control, Call& call, Actions& actions)
{
    const Observing tunnel(actions, call.key);
    switch (call.state) {
    case CallState::Requested:
    case CallState::Answered:
        if (now - call.since >= kCallTimeout) {
            if (control.assisted()) {
                tunnel.finding(FindingKind::NoAnswerFromServer, 0, 0,
                               control.proofOf(call.requester));
            }
            endCall(now, control, call, {Phase::Failed, EventKind::TimedOut}, 0, actions);
        }
        return;
    case CallState::Clearing:
        if (now - call.since >= kClearTimeout) {
            endCall(now, control, call, {Phase::Closed, EventKind::PeerClosed}, 0, actions);
        }
        return;
    case CallState::Agreed: break;
    }
    if (!control.assisted()) return;
    if (call.packets[0] == 0 && call.packets[1] == 0) {
        if (now - call.agreedAt >= kCallTimeout) {
            endCall(now, control, call, {Phase::Failed, EventKind::TimedOut}, 0, actions);
        }
        return;
    }
    if (!call.neverReturnsTold && call.packets[1] == 0 && call.packets[0] >= kReturnPackets &&
        now - call.first[0] >= kReturnTimeout) {
        call.neverReturnsTold = true;
        tunnel.finding(FindingKind::GreNeverReturns, call.packets[0], 0, call.proof);
    }
    if (call.degraded) return;
    const Instant in = call.packets[1] > 0 ? call.last[1] : call.agreedAt;
    const Instant out = call.packets[0] > 0 ? call.last[0] : call.agreedAt;
    const bool inboundSilent = call.unanswered >= kReturnPackets && out - in > kOneWayTimeout;
    const bool outboundSilent = call.unrequited >= kReturnPackets && in - out > kOneWayTimeout;
    if (!inboundSilent && !outboundSilent) return;
    call.degraded = true;
    tunnel.event(EventKind::WentSilent, Lane::Router, Lane::Router, inboundSilent ? 1 : 0);
    tunnel.phase(Phase::Degraded);
    if (call.packets[0] > 0 && call.packets[1] > 0) {
        tunnel.finding(inboundSilent ? FindingKind::OutboundOnly : FindingKind::InboundOnly,
                       inboundSilent ? call.unanswered : call.unrequited, 0,
                       inboundSilent ? call.proof : std::vector<std::uint8_t>{});
    }
}

void PptpInspector::State::sweep(Instant now, Actions& actions)
{
    for (const auto& [id, candidate] : candidates) {
        if (candidate->answered || candidate->told || now - candidate->since < kAnswerTimeout) {
            continue;
        }
        candidate->told = true;
        const Observing tunnel(actions, candidate->key);
        Observation& label = tunnel.add(Observation::Kind::Label);
        label.protocol = net::VpnProtocol::Pptp;
        label.confidence = Confidence::Guess;
        label.server = candidate->flow.remote;
        label.external = candidate->flow.external;
        label.transport = net::IpProtocol::Tcp;
        tunnel.finding(FindingKind::NoAnswerFromServer, 0, 0, candidate->proof);
    }
    std::vector<FlowId> order;
    order.reserve(controls.size());
    for (const auto& [id, control] : controls)
        order.push_back(id);
    std::ranges::sort(order);
    for (const FlowId id : order) {
        Control& control = *controls[id];
        std::vector<Call*> calls;
        for (const auto& call : control.calls)
            calls.push_back(call.get());
        for (Call* const call : calls)
            sweepCall(now, control, *call, actions);
        for (auto& echo : control.echo) {
            if (!echo || now - echo->at < kEchoTimeout) continue;
            echo.reset();
            declareDead(now, control, actions);
        }
        if (control.stage == Control::Stage::Requested && !control.keyOver &&
            now - control.since >= kAnswerTimeout) {
            control.stage = Control::Stage::Over;
            control.keyOver = true;
            const Observing tunnel(actions, control.key);
            tunnel.finding(FindingKind::NoAnswerFromServer, 0, 0,
                           control.proofOf(control.flow.initiator));
            tunnel.ended(Phase::Failed, EventKind::TimedOut);
        }
    }
    if (now >= nextIdSweep) {
        ids.expire(now);
        nextIdSweep = now + kIdSweepEvery;
    }
    nextSweep.reset();
    if (!candidates.empty() || !controls.empty()) {
        nextSweep = now + kSweepEvery;
    } else if (!ids.empty()) {
        nextSweep = now + kIdSweepEvery;
    }
}

PptpInspector::PptpInspector(HashKey seed, const policy::PassthroughPolicy& policy,
                             const net::Prefix& lan)
    : m_state(std::make_unique<State>(seed, policy, lan))
{}
PptpInspector::~PptpInspector() = default;

Inspector::Opening PptpInspector::opening() const
{
    return {.udp = false};
}

Inspector::Claim PptpInspector::consider(Instant now, const Flow& flow, const Segment& segment)
{
    return m_state->consider(now, flow, segment);
}

Attention PptpInspector::inspect(Instant now, const Flow& flow, const Segment& segment,
                                 Actions& actions)
{
    State& state = *m_state;
    const auto found = state.controls.find(flow.id);
    Control* control = found == state.controls.end() ? nullptr : found->second.get();
    if (control == nullptr) {
        control = isPptpPort(flow) ? state.follow(now, flow, segment, actions)
                                   : &state.open(now, flow, actions);
    }
    if (control == nullptr) return state.candidates.contains(flow.id) ? kPass : kIgnore;
    return state.inspect(now, *control, segment, actions);
}

void PptpInspector::flowClosed(Instant now, FlowId flow, FlowEnd end, Actions& actions)
{
    if (const auto found = m_state->candidates.find(flow); found != m_state->candidates.end()) {
        if (found->second->told) {
            Observing(actions, found->second->key).ended(Phase::Failed, endingOf(end).cause);
        }
        m_state->candidates.erase(found);
    }
    const auto found = m_state->controls.find(flow);
    if (found == m_state->controls.end()) return;
    m_state->close(now, *found->second, end, actions);
    m_state->noteClosed(*found->second);
    m_state->controls.erase(flow);
}

bool PptpInspector::owns(net::IpProtocol protocol, wire::ConstBytes payload) const
{
    if (protocol != net::IpProtocol::Gre) return false;
    const auto header = GreHeader::parse(payload);
    return header && header.value().isPptp();
}

PortlessDecision PptpInspector::decide(Instant now, net::Direction direction,
                                       const PortlessPacket& packet, Actions& actions)
{
    const auto parsed = GreHeader::parse(packet.payload);
    if (!parsed || !parsed.value().isPptp()) return refuse(DropReason::MalformedGre);
    const GreHeader& header = *parsed;
    State& state = *m_state;

    // A call whose session has timed out under a control connection that still lives.
    const bool outbound = direction == Direction::Outbound;
    const State::CallIndex& index = outbound ? state.outboundCalls : state.inboundCalls;
    const auto known =
        index.find({outbound ? packet.internal : packet.external, packet.remote, header.callId});
    if (known != index.end() && known->second.call->state == CallState::Agreed) {
        Call& call = *known->second.call;
        const Control& control = *state.controls.at(known->second.control);
        const Attention attention =
            state.inspectCall(now, direction, packet, header, call, actions);
        if (attention.fate == Attention::Fate::Drop) return refuse(attention.reason);
        state.bind(control, call, actions);
        PortlessDecision decision = deliverTo(control.flow.internal.address);
        if (!outbound) decision.rewrite = PortlessBinding::Rewrite{6, *call.insideId};
        return decision;
    }

    const auto plain = state.plain.find({packet.external, packet.remote, 0});
    if (outbound) {
        switch (state.policy.modeFor(net::VpnProtocol::Pptp, packet.internal, packet.remote)) {
        case PassthroughMode::Plain:
            return state.decidePlain(now, direction, packet, header, actions);
        case PassthroughMode::Assist: return refuse(DropReason::GreNoCall);
        case PassthroughMode::Block: break;
        }
        return refuse(DropReason::PassthroughOff);
    }
    if (plain != state.plain.end()) {
        return state.decidePlain(now, direction, packet, header, actions);
    }
    state.noteMiss(now, packet.remote, 1);
    const auto record = state.servers.find(packet.remote.hostOrder());
    if (record != state.servers.end() && record->second.misses <= 4) {
        // One connection to this server, with a call whose GRE has not come back yet: the reply
        // names a call that nobody agreed on.
        Control* only = nullptr;
        for (const auto& [id, control] : state.controls) {
            if (control->flow.remote.address != packet.remote) continue;
            only = only == nullptr ? control.get() : nullptr;
            if (only == nullptr) break;
        }
        if (only != nullptr && !only->unknownCallTold && !only->calls.empty() &&
            std::ranges::none_of(only->calls,
                                 [](const auto& call) { return call->packets[1] > 0; })) {
            only->unknownCallTold = true;
            Observing(actions, only->key)
                .finding(FindingKind::GreUnknownCall, header.callId, 0,
                         packet.packet.first(std::min(packet.packet.size(), kProof)));
        }
    }
    return refuse(DropReason::GreNoCall);
}

Attention PptpInspector::inspectPortless(Instant now, net::Direction direction,
                                         const PortlessPacket& packet, Actions& actions)
{
    const auto parsed = GreHeader::parse(packet.payload);
    if (!parsed) return drop(DropReason::MalformedGre);
    const GreHeader& header = *parsed;
    State& state = *m_state;
    const bool outbound = direction == Direction::Outbound;
    const State::CallIndex& index = outbound ? state.outboundCalls : state.inboundCalls;
    const auto found =
        index.find({outbound ? packet.internal : packet.external, packet.remote, header.callId});
    if (found != index.end()) {
        return state.inspectCall(now, direction, packet, header, *found->second.call, actions);
    }
    const auto plain = state.plain.find({packet.external, packet.remote, 0});
    if (plain == state.plain.end()) return kIgnore;  // restored with the NAT's own state
    const std::size_t length = std::min<std::size_t>(header.payloadLength, header.payload.size());
    if (header.sequence) {
        const auto news = plain->second.ppp.observe(now, direction, header.payload.first(length));
        state.tellPpp(news, direction, plain->second.key, packet.packet, nullptr, actions);
    }
    return kPass;
}

void PptpInspector::bindingClosed(Instant, const PortlessBinding& binding, FlowEnd,
                                  Actions& actions)
{
    if (binding.protocol != net::IpProtocol::Gre) return;
    State& state = *m_state;
    if (binding.inbound && binding.inbound->variant == Discriminator::Variant::GreCall) {
        const auto call = state.inboundCalls.find(
            {binding.external, binding.server, static_cast<std::uint16_t>(binding.inbound->id)});
        if (call != state.inboundCalls.end() && call->second.call->key == binding.key) {
            call->second.call->bound = false;
            return;
        }
    }
    const auto plain = state.plain.find({binding.external, binding.server, 0});
    if (plain == state.plain.end() || plain->second.client != binding.client ||
        plain->second.key != binding.key) {
        return;
    }
    if (plain->second.bindings > 0 && --plain->second.bindings > 0) return;
    const bool ownTunnel = state.controlOf(binding.client, binding.server) == nullptr;
    if (ownTunnel) Observing(actions, binding.key).ended(Phase::Dead, EventKind::TimedOut);
    state.plain.erase(plain);
}

void PptpInspector::handleTimeout(Instant now, Actions& actions)
{
    if (m_state->nextSweep && now >= *m_state->nextSweep) m_state->sweep(now, actions);
}

std::optional<Instant> PptpInspector::nextTimeout() const
{
    return m_state->nextSweep;
}

}  // namespace engine::passthrough
