#include "engine/passthrough/pptp_state.h"

namespace engine::passthrough {

using namespace pptp;
using net::Direction;
using tunnel::Confidence;
using tunnel::EventKind;
using tunnel::Lane;
using tunnel::Phase;

/// The call that the host named by the direction in which it sends knows by `id`: Outbound asks for
/// the inside host's ID as the server sees it, Inbound for the server's own.
Call* PptpInspector::State::findCall(const Control& control, Direction namer,
                                     std::uint16_t id) const
{
    Call* clearing = nullptr;
    for (const auto& call : control.calls) {
        const auto& theirs = namer == Direction::Outbound ? call->publicId : call->remoteId;
        if (theirs != id) continue;
        if (call->state != CallState::Clearing) return call.get();
        clearing = call.get();
    }
    return clearing;
}

namespace {

using Counts = std::unordered_map<std::uint32_t, std::uint32_t>;

std::size_t countOf(const Counts& counts, net::Ipv4Address client)
{
    const auto found = counts.find(client.hostOrder());
    return found == counts.end() ? 0 : found->second;
}

void takeOff(Counts& counts, net::Ipv4Address client)
{
    const auto found = counts.find(client.hostOrder());
    if (found != counts.end() && --found->second == 0) counts.erase(found);
}

}  // namespace

/// Whoever connects from outside does not use up an inside server's own.
bool PptpInspector::State::hasRoomForControl(const Flow& flow) const
{
    return controls.size() < kMostControls &&
           (flow.initiator != Direction::Outbound ||
            countOf(controlsOf, flow.internal.address) < kMostControlsPerClient);
}

void PptpInspector::State::noteOpened(const Control& control)
{
    if (control.flow.initiator != Direction::Outbound) return;
    ++controlsOf[control.flow.internal.address.hostOrder()];
}

void PptpInspector::State::noteClosed(const Control& control)
{
    if (control.flow.initiator == Direction::Outbound)
        takeOff(controlsOf, control.flow.internal.address);
}

void PptpInspector::State::addCall(const Control& control, const Call& call)
{
    ++callCount;
    if (call.requester == Direction::Outbound) ++callsOf[control.flow.internal.address.hostOrder()];
}

void PptpInspector::State::removeCall(const Control& control, const Call& call)
{
    --callCount;
    if (call.requester == Direction::Outbound) takeOff(callsOf, control.flow.internal.address);
}

bool PptpInspector::State::hasRoomForCall(const Control& control, MessageType type) const
{
    // A reply names a call that has its place already.
    if (type == MessageType::OutgoingCallReply || type == MessageType::IncomingCallReply)
        return true;
    if (callCount >= kMostCalls || control.calls.size() >= kMostCallsPerControl) return false;
    const net::Ipv4Address client = control.flow.internal.address;
    return countOf(pending, client) < kMostPendingPerClient &&
           countOf(callsOf, client) < kMostCallsPerClient;
}

/// Calls that a device of ours has asked for and nobody has answered. What comes from outside
/// counts against the other limits only, so that it cannot use up an inside server's.
void PptpInspector::State::addPending(const Control& control, const Call& call)
{
    if (call.requester == Direction::Outbound) ++pending[control.flow.internal.address.hostOrder()];
}

void PptpInspector::State::removePending(const Control& control, const Call& call)
{
    if (call.requester != Direction::Outbound) return;
    if (call.state != CallState::Requested && call.state != CallState::Answered) return;
    takeOff(pending, control.flow.internal.address);
}

Call& PptpInspector::State::newCall(Instant now, Control& control, Direction requester,
                                    Actions& actions)
{
    control.calls.push_back(std::make_unique<Call>());
    Call& call = *control.calls.back();
    call.since = now;
    call.requester = requester;
    addCall(control, call);
    addPending(control, call);
    const bool first = control.serial == 0;
    ++control.serial;
    if (first && !control.keyOver) {
        call.key = control.key;
        return call;
    }
    call.key = makeKey(control.flow, control.serial);
    label(control, call.key, control.labelCertain ? Confidence::Certain : Confidence::Likely,
          actions);
    Observing(actions, call.key).phase(Phase::Handshaking);
    if (control.keyOver) {
        control.key = call.key;
        control.keyOver = false;
        actions.attachments.push_back({.flow = control.flow.id,
                                       .key = control.key,
                                       .sequence = tunnel::SequenceKind::None,
                                       .idle = kControlIdle});
    }
    return call;
}

void PptpInspector::State::agree(Instant now, Control& control, Call& call, Actions& actions)
{
    removePending(control, call);
    call.state = CallState::Agreed;
    call.agreedAt = now;
    call.phase = Phase::Establishing;
    const Observing tunnel(actions, call.key);
    tunnel.event(EventKind::CallAgreed, Lane::Client, Lane::Server, *call.publicId, *call.remoteId);
    tunnel.phase(Phase::Establishing);
    if (!control.assisted()) return;
    // A server that gives the same ID again has forgotten the call that had it.
    const CallIdKey outbound{control.flow.internal.address, control.flow.remote.address,
                             *call.remoteId};
    if (const auto old = outboundCalls.find(outbound); old != outboundCalls.end()) {
        const Owner owner = old->second;
        if (const auto master = controls.find(owner.control); master != controls.end()) {
            endCall(now, *master->second, *owner.call, {Phase::Dead, EventKind::TimedOut}, 0,
                    actions);
        }
    }
    outboundCalls[outbound] = {control.flow.id, &call};
    bind(control, call, actions);
}

void PptpInspector::State::bind(const Control& control, Call& call, Actions& actions) const
{
    PortlessBinding binding;
    binding.protocol = net::IpProtocol::Gre;
    binding.client = control.flow.internal.address;
    binding.external = control.flow.external.address;
    binding.server = control.flow.remote.address;
    binding.outbound = Discriminator{Discriminator::Variant::GreCall, *call.remoteId};
    binding.inbound = Discriminator{Discriminator::Variant::GreCall, *call.publicId};
    binding.rewriteInbound = PortlessBinding::Rewrite{6, *call.insideId};
    binding.idle = kCallIdle;
    binding.master = control.flow.id;
    binding.watch = true;
    binding.key = call.key;
    binding.sequence = tunnel::SequenceKind::GreV1;
    actions.bindings.push_back(binding);
    call.bound = true;
}

void PptpInspector::State::unbind(const Control& control, Call& call, Actions& actions) const
{
    if (!call.bound) return;
    call.bound = false;
    PortlessUnbinding unbinding;
    unbinding.protocol = net::IpProtocol::Gre;
    unbinding.client = control.flow.internal.address;
    unbinding.external = control.flow.external.address;
    unbinding.server = control.flow.remote.address;
    unbinding.outbound = Discriminator{Discriminator::Variant::GreCall, *call.remoteId};
    unbinding.inbound = Discriminator{Discriminator::Variant::GreCall, *call.publicId};
    actions.unbindings.push_back(unbinding);
}

void PptpInspector::State::endCall(Instant now, Control& control, Call& call, TunnelEnding ending,
                                   std::uint32_t code, Actions& actions)
{
    unbind(control, call, actions);
    removePending(control, call);
    if (call.registered) {
        inboundCalls.erase(
            {control.flow.external.address, control.flow.remote.address, *call.publicId});
        ids.giveBack(now, control.flow.external.address, control.flow.remote.address,
                     *call.publicId);
        control.noteReleased(*call.publicId);
    }
    if (call.remoteId) {
        const auto mine = outboundCalls.find(
            {control.flow.internal.address, control.flow.remote.address, *call.remoteId});
        if (mine != outboundCalls.end() && mine->second.call == &call) outboundCalls.erase(mine);
    }
    Observing(actions, call.key).ended(ending.phase, ending.cause, code);
    if (call.key == control.key) control.keyOver = true;
    removeCall(control, call);
    std::erase_if(control.calls, [&](const auto& other) { return other.get() == &call; });
}

void PptpInspector::State::endAllCalls(Instant now, Control& control, TunnelEnding ending,
                                       std::uint32_t code, Actions& actions)
{
    while (!control.calls.empty()) {
        endCall(now, control, *control.calls.back(), ending, code, actions);
    }
}

void PptpInspector::State::forgetReservation(Instant now, Control& control)
{
    if (!control.reservation) return;
    ids.giveBack(now, control.flow.external.address, control.flow.remote.address,
                 control.reservation->publicId);
    control.noteReleased(control.reservation->publicId);
    control.reservation.reset();
}

void PptpInspector::State::declareDead(Instant now, Control& control, Actions& actions)
{
    control.stage = Control::Stage::Over;
    endAllCalls(now, control, {Phase::Dead, EventKind::TimedOut}, 0, actions);
    if (!control.keyOver) {
        control.keyOver = true;
        Observing(actions, control.key).ended(Phase::Dead, EventKind::TimedOut);
    }
}

}  // namespace engine::passthrough
