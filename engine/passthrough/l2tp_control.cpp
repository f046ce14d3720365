#include "engine/passthrough/l2tp_state.h"

#include <algorithm>

/// Control messages: what they change and what they show.
namespace engine::passthrough {

using namespace l2tp;
using net::Direction;
using tunnel::Confidence;
using tunnel::EventKind;
using tunnel::Lane;
using tunnel::Observation;
using tunnel::Phase;

void L2tpInspector::State::measure(Instant now, TunnelState& tunnel, Direction direction,
                                   const ControlMessage& message, Actions& actions)
{
    const Observing observing(actions, tunnel.key);
    auto& last = tunnel.lastNs[static_cast<std::size_t>(direction)];
    // An acknowledgment repeats the number of the next message and is not one.
    const bool repeated =
        message.type && last && static_cast<std::int16_t>(message.ns - *last) <= 0;
    if (message.type && !repeated) last = message.ns;
    if (repeated) {
        Observation& observation = observing.add(Observation::Kind::Retransmit);
        observation.a = *message.type;
        observation.from = tunnel.laneOf(direction);
        observation.to = tunnel.laneOf(net::opposite(direction));
    }
    if (direction == Direction::Outbound) {
        // A repeated message makes the answer ambiguous.
        if (repeated && tunnel.measured == message.ns) tunnel.measured.reset();
        if (message.type && !repeated && !tunnel.measured) {
            tunnel.measured = message.ns;
            tunnel.measuredAt = now;
        }
    } else if (tunnel.measured && static_cast<std::int16_t>(message.nr - *tunnel.measured) > 0) {
        observing.roundTrip(now - tunnel.measuredAt);
        tunnel.measured.reset();
    }
}

void L2tpInspector::State::establish(const Link& link, TunnelState& tunnel, Actions& actions)
{
    if (tunnel.established) return;
    tunnel.established = true;
    actions.attachments.push_back({.flow = link.flow.id,
                                   .key = tunnel.key,
                                   .sequence = tunnel::SequenceKind::L2tp,
                                   .idle = kEstablishedIdle});
}

/// Sessions are known by the IDs that both sides assign in clear; hidden ones are not followed.
void L2tpInspector::State::followCall(TunnelState& tunnel, Direction direction,
                                      const ControlMessage& message)
{
    if (!message.session || message.session->hidden || message.session->value == 0) return;
    const std::uint32_t own = message.session->value;
    const std::uint32_t peer =
        message.version == 2 ? std::uint32_t{message.sessionId} : message.peerSession.value_or(0);
    const bool outbound = direction == Direction::Outbound;
    const bool request = message.is(MessageType::IncomingCallRequest) ||
                         message.is(MessageType::OutgoingCallRequest);
    const bool reply =
        message.is(MessageType::IncomingCallReply) || message.is(MessageType::OutgoingCallReply);
    if (message.is(MessageType::CallDisconnect)) {
        std::erase_if(tunnel.sessions, [&](const Session& session) {
            return (outbound ? session.clientId : session.serverId) == own;
        });
        return;
    }
    for (Session& session : tunnel.sessions) {
        if ((outbound ? session.clientId : session.serverId) == own) return;
        if (reply && (outbound ? session.serverId : session.clientId) == peer) {
            (outbound ? session.clientId : session.serverId) = own;
            return;
        }
    }
    if (!request || tunnel.sessions.size() >= kMostSessionsPerTunnel) return;
    Session session;
    (outbound ? session.clientId : session.serverId) = own;
    tunnel.sessions.push_back(session);
}

void L2tpInspector::State::follow(Instant now, const Link& link, TunnelState& tunnel,
                                  Direction direction, const ControlMessage& message,
                                  Actions& actions)
{
    measure(now, tunnel, direction, message, actions);
    if (direction != tunnel.initiator) tunnel.answered = true;
    if (!message.type || tunnel.over) return;
    const Observing observing(actions, tunnel.key);
    const Lane from = tunnel.laneOf(direction);
    const Lane to = tunnel.laneOf(net::opposite(direction));
    if (message.is(MessageType::Hello)) {
        observing.event(EventKind::Keepalive, from, to, ++tunnel.keepalives);
        return;
    }
    observing.event(EventKind::ControlMessage, from, to, *message.type, message.result.value_or(0));
    followCall(tunnel, direction, message);
    if (message.is(MessageType::StartReply) && direction != tunnel.initiator) {
        if (message.tunnel && !message.tunnel->hidden) {
            (direction == Direction::Inbound ? tunnel.remoteId : tunnel.insideId) =
                message.tunnel->value;
            if (direction == Direction::Outbound) tunnel.publicId = tunnel.insideId;
        }
        label(link, tunnel, Confidence::Certain, actions);
        observing.text(Observation::Kind::ServerName, message.hostName);
        observing.text(Observation::Kind::Product, message.vendorName);
    } else if (message.is(MessageType::StartConnected)) {
        observing.phase(Phase::Establishing);
    } else if (message.is(MessageType::IncomingCallConnected) ||
               message.is(MessageType::OutgoingCallConnected)) {
        establish(link, tunnel, actions);
        // Other pseudowires than PPP show nothing more than this.
        if (message.version == 3) observing.phase(Phase::Established);
    } else if (message.is(MessageType::CallDisconnect)) {
        if (tunnel.sessions.empty()) observing.phase(Phase::Closing);
    } else if (message.is(MessageType::StopNotify)) {
        const Phase phase =
            tunnel.established || tunnel.remoteId != 0 ? Phase::Closed : Phase::Failed;
        endTunnel(tunnel, {phase, EventKind::PeerClosed}, message.result.value_or(0), actions);
    }
}

Attention L2tpInspector::State::control(Instant now, Link& link, const Flow& flow,
                                        Direction direction, wire::ConstBytes payload,
                                        wire::ConstBytes packet, Actions& actions)
{
    const auto parsed = ControlMessage::parse(payload);
    if (!parsed) return drop(DropReason::MalformedL2tp);
    const ControlMessage& message = *parsed;
    TunnelState* tunnel = find(link, direction, message.tunnelId);
    if (message.is(MessageType::StartRequest) && message.tunnelId == 0) {
        tunnel = beginTunnel(now, link, direction, message, packet, actions);
        if (tunnel == nullptr) return drop(DropReason::L2tpIdClash);
        ++tunnel->requests;
    }
    if (tunnel == nullptr && direction == Direction::Inbound &&
        flow.external.port.hostOrder() == kPort) {
        // The port happens to be this client's own; the ID says it is another's.
        const auto stray =
            strays.find({flow.external.address, flow.remote.address, message.tunnelId});
        if (stray != strays.end()) {
            Link& theirs = *links.at(stray->second->flow);
            Attention attention =
                control(now, theirs, theirs.flow, direction, payload, packet, actions);
            attention.redirect = theirs.flow.id;
            return attention;
        }
    }
    // A StopCCN before the server has assigned a tunnel names its own in AVP 9 only.
    if (tunnel == nullptr && message.is(MessageType::StopNotify) && message.tunnel &&
        !message.tunnel->hidden) {
        for (const auto& candidate : link.tunnels) {
            const std::uint32_t own =
                direction == Direction::Outbound ? candidate->insideId : candidate->remoteId;
            if (own == message.tunnel->value) tunnel = candidate.get();
        }
    }
    if (tunnel == nullptr) return kPass;
    follow(now, link, *tunnel, direction, message, actions);
    if (!tunnel->rewritten()) return kPass;
    if (direction == Direction::Inbound) {
        actions.edits.push_back(edit16(4, static_cast<std::uint16_t>(tunnel->insideId)));
    } else if (message.tunnel && !message.tunnel->hidden &&
               message.tunnel->value == tunnel->insideId) {
        actions.edits.push_back(
            edit16(message.tunnel->offset, static_cast<std::uint16_t>(tunnel->publicId)));
    }
    return kPass;
}

}  // namespace engine::passthrough
