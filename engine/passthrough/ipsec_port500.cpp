#include "engine/passthrough/ipsec_state.h"

/// Servers that insist on port 500: their clients share it and are told apart by the initiator's
/// cookie.
namespace engine::passthrough {

using namespace ipsec;

namespace {

/// A server that wants to begin by itself is offered to one client after the other.
constexpr Duration kOfferTime = 3s;

}  // namespace

void IpsecInspector::State::alias(FlowState& state, Actions& actions)
{
    state.aliased = true;
    UdpAlias wish;
    wish.flow = state.flow.id;
    wish.remotePort = state.flow.remote.port;
    wish.externalPort = net::Port{ike::kPort};
    wish.sendFromExternalPort = true;
    actions.aliases.push_back(wish);
    event(state, EventKind::LegacyPort500, Direction::Inbound, 0, 0, actions);
    Observation passage = observe(state, Observation::Kind::Passage);
    passage.passage = {tunnel::PassageKind::CookieMatched, state.flow.internal.port.hostOrder(),
                       ike::kPort};
    actions.observations.push_back(std::move(passage));
}

/// A server that follows RFC 7296 §2.11 or RFC 3947 answers to the port it was asked from; this one
/// has answered to 500 instead.
void IpsecInspector::State::learnLegacy(FlowState& state, Actions& actions)
{
    const EspPair pair = pairOf(state);
    if (!legacyServers.contains(pair)) {
        if (legacyServers.size() >= kMostLegacyServers) return;
        legacyServers.emplace(pair, LegacyServer{});
        std::vector<FlowId> siblings;
        for (const auto& [id, other] : flows) {
            if (other.carrier == FlowState::Carrier::Ike && !other.aliased &&
                other.connection != nullptr && pairOf(other) == pair &&
                other.flow.remote.port.hostOrder() == ike::kPort) {
                siblings.push_back(id);
            }
        }
        std::ranges::sort(siblings);
        for (const FlowId id : siblings) {
            if (FlowState* const sibling = find(id)) alias(*sibling, actions);
        }
        return;
    }
    if (!state.aliased) alias(state, actions);
}

/// A server begins by itself, with an SPI nobody knows: the client whose IKE is oldest is asked
/// first, and the next one after three seconds without an answer.
FlowState* IpsecInspector::State::offer(Instant now, EspPair pair, const ike::Header& header)
{
    const auto server = legacyServers.find(pair);
    if (server == legacyServers.end() || !isInitial(header)) return nullptr;
    std::vector<FlowState*> owners;
    for (auto& [id, state] : flows) {
        if (state.carrier == FlowState::Carrier::Ike && pairOf(state) == pair &&
            state.connection != nullptr && state.connection->answered) {
            owners.push_back(&state);
        }
    }
    if (owners.empty()) return nullptr;
    std::ranges::sort(owners, [](const FlowState* a, const FlowState* b) {
        return std::pair{a->since, a->flow.id} < std::pair{b->since, b->flow.id};
    });
    LegacyServer& legacy = server->second;
    if (legacy.offeredSpi != header.initiatorSpi) {
        legacy = {header.initiatorSpi, 0, now};
    } else if (now - legacy.offeredAt >= kOfferTime) {
        ++legacy.offeredTo;
        legacy.offeredAt = now;
    }
    return owners[legacy.offeredTo % owners.size()];
}

}  // namespace engine::passthrough
