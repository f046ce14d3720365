#include "engine/passthrough/l2tp_ip.h"

#include "engine/passthrough/l2tp_message.h"
#include "engine/passthrough/observing.h"
#include "engine/passthrough/passthrough.h"

namespace engine::passthrough::l2tp {

namespace {

using net::Direction;
using policy::PassthroughMode;
using tunnel::Confidence;
using tunnel::EventKind;
using tunnel::Lane;
using tunnel::Observation;
using tunnel::Phase;
using Variant = Discriminator::Variant;

// Ours.
constexpr std::size_t kMostBindings = 8192;
constexpr std::uint32_t kMostPerDevice = 256;

constexpr PortlessDecision refuse(DropReason reason)
{
    PortlessDecision decision;
    decision.reason = reason;
    return decision;
}
PortlessDecision deliverTo(net::Ipv4Address client)
{
    PortlessDecision decision;
    decision.kind = PortlessDecision::Kind::Deliver;
    decision.recipients[0] = client;
    decision.recipientCount = 1;
    return decision;
}

bool isControl(wire::ConstBytes payload)
{
    return payload.size() >= 4 + kControlHeader && wire::load32(payload, 0) == 0;
}

}  // namespace

void L2tpOverIp::label(const Place& place, const tunnel::TunnelKey& key, Confidence confidence,
                       Actions& actions) const
{
    Observation& observation = Observing(actions, key).add(Observation::Kind::Label);
    observation.protocol = net::VpnProtocol::L2tpV3;
    observation.confidence = confidence;
    observation.server = {place.server, net::Port{}};
    observation.external = {place.external, net::Port{}};
    observation.transport = net::IpProtocol::L2tpV3;
}

void L2tpOverIp::bind(const Place& place, net::Ipv4Address client,
                      std::optional<Discriminator> outbound, std::optional<Discriminator> inbound,
                      Actions& actions)
{
    Device& device = m_places[place].devices[client];
    PortlessBinding binding;
    binding.protocol = net::IpProtocol::L2tpV3;
    binding.client = client;
    binding.external = place.external;
    binding.server = place.server;
    binding.outbound = outbound;
    binding.inbound = inbound;
    // Control messages assign further numbers; data shows when the tunnel is up.
    binding.watch = true;
    binding.key = device.key;
    actions.bindings.push_back(binding);
    ++device.bindings;
    ++m_bindings;
}

bool L2tpOverIp::learnAssigned(const Place& place, net::Ipv4Address client,
                               wire::ConstBytes payload, Actions& actions)
{
    if (!isControl(payload)) return true;
    const auto parsed = ControlMessage::parse(payload.subspan(4));
    if (!parsed) return true;
    const ControlMessage& message = *parsed;
    PlaceState& state = m_places[place];
    const auto claim = [&](const std::optional<AssignedId>& id, Variant variant) {
        if (!id || id->hidden || id->value == 0) return true;
        const Discriminator inbound{variant, id->value};
        const auto owner = state.owners.find(inbound);
        if (owner != state.owners.end()) return owner->second == client;
        if (state.devices[client].bindings >= kMostPerDevice) return true;
        state.owners[inbound] = client;
        bind(place, client, std::nullopt, inbound, actions);
        return true;
    };
    Device& device = state.devices[client];
    device.hasControl = true;
    device.hidesIds = device.hidesIds || (message.tunnel && message.tunnel->hidden) ||
                      (message.session && message.session->hidden);
    const bool tunnelFree = claim(message.tunnel, Variant::ControlId);
    return claim(message.session, Variant::SessionId) && tunnelFree;
}

void L2tpOverIp::note(Instant now, Direction direction, const Place& place, net::Ipv4Address client,
                      const PortlessPacket& packet, Actions& actions)
{
    const auto state = m_places.find(place);
    if (state == m_places.end()) return;
    const auto found = state->second.devices.find(client);
    if (found == state->second.devices.end()) return;
    Device& device = found->second;
    const Observing tunnel(actions, device.key);
    const bool outbound = direction == Direction::Outbound;
    const Lane from = outbound ? Lane::Client : Lane::Server;
    const Lane to = outbound ? Lane::Server : Lane::Client;
    (outbound ? device.sent : device.received) = true;
    if (!outbound && device.sent && !device.answered) {
        device.answered = true;
        label(place, device.key, Confidence::Certain, actions);
    }
    if (isControl(packet.payload)) {
        const auto parsed = ControlMessage::parse(packet.payload.subspan(4));
        if (!parsed) return;
        const ControlMessage& message = *parsed;
        if (outbound && message.type && !device.measured) {
            device.measured = message.ns;
            device.measuredAt = now;
        }
        if (!outbound && device.measured &&
            static_cast<std::int16_t>(message.nr - *device.measured) > 0) {
            tunnel.roundTrip(now - device.measuredAt);
            device.measured.reset();
        }
        if (!message.type || message.is(MessageType::ExplicitAck)) return;
        tunnel.event(
            message.is(MessageType::Hello) ? EventKind::Keepalive : EventKind::ControlMessage, from,
            to, *message.type, message.result.value_or(0));
        if (message.is(MessageType::StartRequest)) tunnel.phase(Phase::Handshaking);
        if (message.is(MessageType::StartConnected)) tunnel.phase(Phase::Establishing);
        if (message.is(MessageType::StartReply)) {
            tunnel.text(Observation::Kind::ServerName, message.hostName);
            tunnel.text(Observation::Kind::Product, message.vendorName);
        }
        if (message.is(MessageType::StopNotify)) tunnel.phase(Phase::Closing);
        return;
    }
    bool& seen = outbound ? device.dataSent : device.dataReceived;
    if (!seen) {
        seen = true;
        tunnel.event(outbound ? EventKind::DataFirstOutbound : EventKind::DataFirstInbound, from,
                     to, packet.payload.size() >= 4 ? wire::load32(packet.payload, 0) : 0);
    }
    if (device.dataSent && device.dataReceived && !device.established) {
        device.established = true;
        tunnel.phase(Phase::Established);
    }
}

PortlessDecision L2tpOverIp::decideOutbound(Instant now, const PortlessPacket& packet,
                                            Actions& actions)
{
    const auto id = discriminatorOf(packet.protocol, Direction::Outbound, packet.payload);
    if (!id) return refuse(DropReason::MalformedL2tp);
    const Place place{packet.external, packet.remote};
    const net::Ipv4Address client = packet.internal;
    const PassthroughMode mode = m_policy.modeFor(net::VpnProtocol::L2tpV3, client, packet.remote);
    const tunnel::TunnelKey key{client, packet.remote, sipHash(m_seed, 0x4c325633, 0)};
    const auto known = m_places.find(place);
    const bool mine = known != m_places.end() && known->second.devices.contains(client);
    if (mode == PassthroughMode::Block && !mine) {
        label(place, key, Confidence::Likely, actions);
        return refuse(DropReason::PassthroughOff);
    }
    const bool others = known != m_places.end() && known->second.devices.size() > (mine ? 1U : 0U);
    const bool control = isControl(packet.payload);
    if (others && !mine && (mode == PassthroughMode::Plain || !control)) {
        return refuse(DropReason::OneClientPerServer);
    }
    if (m_bindings >= kMostBindings ||
        (mine && known->second.devices.at(client).bindings >= kMostPerDevice)) {
        return refuse(DropReason::HelperBudget);
    }
    // Whoever assigns what another device has assigned already cannot be helped.
    if (control && others) {
        const auto parsed = ControlMessage::parse(packet.payload.subspan(4));
        if (parsed && parsed.value().tunnel && !parsed.value().tunnel->hidden) {
            const Discriminator wanted{Variant::ControlId, parsed.value().tunnel->value};
            const auto owner = known->second.owners.find(wanted);
            if (owner != known->second.owners.end() && owner->second != client) {
                return refuse(DropReason::L2tpIdClash);
            }
        }
    }
    PlaceState& state = m_places[place];
    if (!mine) {
        state.devices[client].key = key;
        label(place, key, Confidence::Likely, actions);
        const Observing tunnel(actions, key);
        tunnel.phase(Phase::Seen);
        tunnel.passage(control ? tunnel::PassageKind::SessionId : tunnel::PassageKind::OnlyClient,
                       id->id, id->id);
    }
    if (!learnAssigned(place, client, packet.payload, actions)) {
        return refuse(DropReason::L2tpIdClash);
    }
    bind(place, client, *id, std::nullopt, actions);
    note(now, Direction::Outbound, place, client, packet, actions);
    return deliverTo(client);
}

PortlessDecision L2tpOverIp::decideInbound(Instant now, const PortlessPacket& packet,
                                           Actions& actions)
{
    const auto id = discriminatorOf(packet.protocol, Direction::Inbound, packet.payload);
    if (!id) return refuse(DropReason::MalformedL2tp);
    const Place place{packet.external, packet.remote};
    const auto known = m_places.find(place);
    if (known == m_places.end()) return refuse(DropReason::NoMapping);
    const PlaceState& state = known->second;
    net::Ipv4Address client;
    if (const auto owner = state.owners.find(*id); owner != state.owners.end()) {
        client = owner->second;
    } else if (state.devices.size() == 1 && (!state.devices.begin()->second.hasControl ||
                                             state.devices.begin()->second.hidesIds)) {
        client = state.devices.begin()->first;
    } else {
        return refuse(DropReason::NoMapping);
    }
    if (m_bindings >= kMostBindings || state.devices.at(client).bindings >= kMostPerDevice) {
        return refuse(DropReason::HelperBudget);
    }
    m_places[place].owners[*id] = client;
    bind(place, client, std::nullopt, *id, actions);
    note(now, Direction::Inbound, place, client, packet, actions);
    return deliverTo(client);
}

PortlessDecision L2tpOverIp::decide(Instant now, Direction direction, const PortlessPacket& packet,
                                    Actions& actions)
{
    return direction == Direction::Outbound ? decideOutbound(now, packet, actions)
                                            : decideInbound(now, packet, actions);
}

Attention L2tpOverIp::inspect(Instant now, Direction direction, const PortlessPacket& packet,
                              Actions& actions)
{
    const Place place{packet.external, packet.remote};
    const auto known = m_places.find(place);
    if (known == m_places.end() || !known->second.devices.contains(packet.internal)) {
        return {.next = Attention::Next::Ignore};
    }
    if (direction == Direction::Outbound &&
        !learnAssigned(place, packet.internal, packet.payload, actions)) {
        return {.next = Attention::Next::Watch,
                .fate = Attention::Fate::Drop,
                .reason = DropReason::L2tpIdClash};
    }
    note(now, direction, place, packet.internal, packet, actions);
    const bool settled = known->second.devices.at(packet.internal).established;
    if (settled && !isControl(packet.payload)) return {.next = Attention::Next::Ignore};
    return {};
}

void L2tpOverIp::bindingRestored(const PortlessBinding& binding)
{
    if (m_bindings >= kMostBindings) return;
    PlaceState& state = m_places[{binding.external, binding.server}];
    Device& device = state.devices[binding.client];
    device.key = binding.key;
    ++device.bindings;
    ++m_bindings;
    device.sent = device.received = device.answered = true;
    device.established = true;
    device.dataSent = device.dataReceived = true;
    const auto isControlId = [](const std::optional<Discriminator>& id) {
        return id && id->variant == Variant::ControlId;
    };
    if (isControlId(binding.inbound) || isControlId(binding.outbound)) device.hasControl = true;
    if (binding.inbound) state.owners.try_emplace(*binding.inbound, binding.client);
}

void L2tpOverIp::bindingClosed(const PortlessBinding& binding, FlowEnd end, Actions& actions)
{
    const auto known = m_places.find({binding.external, binding.server});
    if (known == m_places.end()) return;
    PlaceState& state = known->second;
    const auto found = state.devices.find(binding.client);
    if (found == state.devices.end() || found->second.bindings == 0) return;
    if (binding.inbound) {
        const auto owner = state.owners.find(*binding.inbound);
        if (owner != state.owners.end() && owner->second == binding.client) {
            state.owners.erase(owner);
        }
    }
    --m_bindings;
    if (--found->second.bindings > 0) return;
    const TunnelEnding ending = endingOf(end);
    Observing(actions, found->second.key).ended(ending.phase, ending.cause);
    state.devices.erase(found);
    if (state.devices.empty()) m_places.erase(known);
}

}  // namespace engine::passthrough::l2tp
