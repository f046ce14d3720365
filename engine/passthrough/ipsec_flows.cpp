#include "engine/passthrough/ipsec_state.h"

/// Flows, the connections they belong to, and what is told about them.
namespace engine::passthrough {

using namespace ipsec;

namespace {

/// The server may want to renegotiate with a client that has long been silent on port 500.
constexpr Duration kIkeIdle = 8h;
/// A tunnel in UDP 4500 whose client sends no keepalives (they come every 20 s).
constexpr Duration kEncapsulatedIdle = 30min;

}  // namespace

FlowState* IpsecInspector::State::begin(Instant now, const Flow& flow, FlowState::Carrier carrier)
{
    if (flows.size() >= kMostFlows) return nullptr;
    FlowState& state = flows[flow.id];
    state.flow = flow;
    state.carrier = carrier;
    state.since = now;
    return &state;
}

PassthroughMode IpsecInspector::State::espMode(const FlowState& state) const
{
    return switches.modeFor(net::VpnProtocol::IpsecEsp, state.flow.internal.address,
                            state.flow.remote.address);
}

// ---- observations -------------------------------------------------------------------------------

Observation IpsecInspector::State::observe(const FlowState& state, Observation::Kind kind)
{
    Observation observation;
    observation.key = state.key;
    observation.kind = kind;
    return observation;
}

void IpsecInspector::State::event(const FlowState& state, EventKind kind, Direction direction,
                                  std::uint32_t a, std::uint32_t b, Actions& actions)
{
    Observation observation = observe(state, Observation::Kind::Event);
    observation.event = kind;
    observation.from = direction == Direction::Outbound ? Lane::Client : Lane::Server;
    observation.to = direction == Direction::Outbound ? Lane::Server : Lane::Client;
    observation.a = a;
    observation.b = b;
    actions.observations.push_back(std::move(observation));
}

void IpsecInspector::State::phase(FlowState& state, Phase next, Actions& actions)
{
    if (state.connection->phase == next) return;
    state.connection->phase = next;
    Observation observation = observe(state, Observation::Kind::Phase);
    observation.phase = next;
    actions.observations.push_back(std::move(observation));
}

void IpsecInspector::State::label(FlowState& state, net::VpnProtocol protocol,
                                  Confidence confidence, Actions& actions)
{
    Connection& connection = *state.connection;
    if (connection.labelled && connection.protocol == protocol &&
        connection.confidence >= confidence) {
        return;
    }
    connection.labelled = true;
    connection.protocol = protocol;
    connection.confidence = confidence;
    Observation observation = observe(state, Observation::Kind::Label);
    observation.protocol = protocol;
    observation.confidence = confidence;
    observation.transport = state.flow.protocol;
    observation.server = state.flow.remote;
    observation.external = state.flow.external;
    actions.observations.push_back(std::move(observation));
    Observation passage = observe(state, Observation::Kind::Passage);
    passage.passage = {tunnel::PassageKind::PortTranslated, state.flow.internal.port.hostOrder(),
                       state.flow.external.port.hostOrder()};
    actions.observations.push_back(std::move(passage));
}

void IpsecInspector::State::finding(const FlowState& state, FindingKind kind, std::uint32_t a,
                                    std::uint32_t b, wire::ConstBytes packet, Actions& actions)
{
    Observation observation = observe(state, Observation::Kind::Finding);
    observation.finding = kind;
    observation.a = a;
    observation.b = b;
    constexpr std::size_t kProof = 128;
    const auto proof = packet.first(std::min(packet.size(), kProof));
    observation.packet.assign(proof.begin(), proof.end());
    actions.observations.push_back(std::move(observation));
}

void IpsecInspector::State::attach(FlowState& state, Actions& actions)
{
    const Connection& connection = *state.connection;
    Duration idle{0};
    if (state.carrier == FlowState::Carrier::Encapsulated && connection.answered) {
        idle = kEncapsulatedIdle;
    }
    if (state.carrier == FlowState::Carrier::Ike && connection.agreed &&
        connection.protocol == net::VpnProtocol::IpsecEsp) {
        idle = kIkeIdle;
    }
    if (state.attached && state.idle == idle) return;
    state.attached = true;
    state.idle = idle;
    Attachment attachment;
    attachment.flow = state.flow.id;
    attachment.key = state.key;
    attachment.idle = idle;
    if (state.carrier == FlowState::Carrier::Encapsulated) {
        attachment.sequence = tunnel::SequenceKind::EspInUdp;
    }
    actions.attachments.push_back(attachment);
}

// ---- connections --------------------------------------------------------------------------------

void IpsecInspector::State::join(FlowState& state, const TunnelKey& key)
{
    state.key = key;
    state.connection = &connections[key];
    ++state.connection->flows;
}

void IpsecInspector::State::leave(FlowState& state)
{
    if (state.connection == nullptr) return;
    if (--state.connection->flows == 0) connections.erase(state.key);
    state.connection = nullptr;
}

TunnelKey IpsecInspector::State::makeKey(const Flow& flow, std::uint64_t name) const
{
    const std::uint64_t who =
        (std::uint64_t{flow.internal.address.hostOrder()} << 16) | flow.internal.port.hostOrder();
    return {flow.internal.address, flow.remote.address, sipHash(seed, name, who) | 1U};
}

void IpsecInspector::State::remember(FlowState& state, std::uint64_t spi)
{
    if (state.initiatorSpis.size() >= kMostSpisOfFlow) {
        forget(state, state.initiatorSpis.front());
        state.initiatorSpis.erase(state.initiatorSpis.begin());
    }
    state.initiatorSpis.push_back(spi);
    SpiEntry& entry = spis[{state.flow.remote.address, spi, state.flow.internal.address}];
    entry.key = state.key;
    if (state.carrier == FlowState::Carrier::Ike) entry.ikeFlow = state.flow.id;
}

void IpsecInspector::State::forget(const FlowState& state, std::uint64_t spi)
{
    const SpiKey key{state.flow.remote.address, spi, state.flow.internal.address};
    const auto found = spis.find(key);
    if (found == spis.end()) return;
    // A flow that has floated still needs the entry of its first flow.
    if (state.carrier == FlowState::Carrier::Ike && found->second.ikeFlow == state.flow.id) {
        spis.erase(found);
    } else if (found->second.ikeFlow == 0) {
        spis.erase(found);
    }
}

FlowState* IpsecInspector::State::ownerOf(net::Ipv4Address server, std::uint64_t spi)
{
    FlowState* owner = nullptr;
    const SpiKey first{server, spi, net::Ipv4Address{}};
    for (auto it = spis.lower_bound(first); it != spis.end(); ++it) {
        const auto& [address, itsSpi, client] = it->first;
        if (address != server || itsSpi != spi) break;
        if (it->second.ikeFlow == 0) continue;
        if (owner != nullptr) return nullptr;
        owner = find(it->second.ikeFlow);
    }
    return owner;
}

void IpsecInspector::State::name(FlowState& state, const ike::Header& header, Direction direction,
                                 Actions& actions)
{
    const SpiKey spiKey{state.flow.remote.address, header.initiatorSpi,
                        state.flow.internal.address};
    const auto known = spis.find(spiKey);
    if (known != spis.end()) {
        join(state, known->second.key);
        if (state.carrier == FlowState::Carrier::Encapsulated && known->second.ikeFlow != 0 &&
            !state.connection->floated) {
            state.connection->floated = true;
            event(state, EventKind::FloatedTo4500, direction, 0, 0, actions);
            leaveResolver(known->second.ikeFlow, actions);
            Observation passage = observe(state, Observation::Kind::Passage);
            passage.passage = {tunnel::PassageKind::PortTranslated,
                               state.flow.internal.port.hostOrder(),
                               state.flow.external.port.hostOrder()};
            actions.observations.push_back(std::move(passage));
        }
    } else {
        join(state, makeKey(state.flow, header.initiatorSpi));
    }
    remember(state, header.initiatorSpi);
}

// ---- the resolver -------------------------------------------------------------------------------

void IpsecInspector::State::enterResolver(Instant now, FlowState& state, Actions& actions)
{
    resolver.ikeSeen(now, pairOf(state), state.flow.internal.address, state.key, actions);
    if (state.inResolver) return;
    state.inResolver = true;
    if (state.connection->roundTrip != Duration{0}) {
        resolver.roundTrip(pairOf(state), state.connection->roundTrip);
    }
    ++resolverFlows[{pairOf(state), state.flow.internal.address}];
}

void IpsecInspector::State::leaveResolver(FlowId id, Actions& actions)
{
    FlowState* const state = find(id);
    if (state == nullptr || !state->inResolver) return;
    state->inResolver = false;
    const auto count = resolverFlows.find({pairOf(*state), state->flow.internal.address});
    if (count == resolverFlows.end() || --count->second > 0) return;
    resolverFlows.erase(count);
    resolver.ikeGone(lastNow, pairOf(*state), state->flow.internal.address, actions);
}

void IpsecInspector::State::update(FlowState& state, const Flow& flow, Instant now,
                                   Actions& actions)
{
    lastNow = now;
    if (state.flow.external.address != flow.external.address) {
        leaveResolver(state.flow.id, actions);
    }
    state.flow = flow;
}

}  // namespace engine::passthrough
