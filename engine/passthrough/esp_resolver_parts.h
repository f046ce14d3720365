#pragma once

#include "engine/passthrough/esp_resolver.h"

#include <algorithm>
#include <utility>
#include <vector>

/// What EspResolver's source files share, and nobody else.
namespace engine::passthrough::esp {

using namespace std::chrono_literals;
using policy::PassthroughMode;
using tunnel::EventKind;
using tunnel::Lane;
using tunnel::Observation;

// ---- ours ---------------------------------------------------------------------------------------

/// An expectation is hot for as long as a fresh SA is normally used, cold for an idle one.
inline constexpr Duration kHot = 30s;
inline constexpr Duration kCold = 10min;
/// A new SA counts from 1; what is lost or reordered at its start stays far below this.
inline constexpr std::uint32_t kFreshSequence = 64;
inline constexpr std::size_t kSightings = 4096;
/// Points by which one candidate must lead to be believed.
inline constexpr std::int32_t kClearLead = 3;
inline constexpr Duration kTidy = 1s;

// Bounds. An office has a few clients of one gateway; attackers get no more than this.
inline constexpr std::size_t kMostGroups = 4096;
/// The rest is kept for negotiations that the server has answered: sending a lot, under many
/// addresses too, must not keep others from renewing their SAs.
inline constexpr std::size_t kMostUnansweredGroups = 3072;
inline constexpr std::size_t kMostHosts = 64;
/// Of one client: somebody who negotiates with everybody must not keep others out.
inline constexpr std::size_t kMostGroupsOfClient = 512;
/// Of one client each way, alive or read from a saved state.
inline constexpr std::size_t kMostSpis = 16;
inline constexpr std::size_t kMostPendingsOfClient = 32;
inline constexpr std::size_t kMostPendings = 4096;
inline constexpr std::size_t kMostUnansweredPendings = 3072;
inline constexpr std::size_t kMostTrials = 32;
inline constexpr std::size_t kMostHeldOfGroup = 32;
inline constexpr std::size_t kMostHeld = 256;
inline constexpr std::size_t kMostShared = 8;
inline constexpr std::size_t kMostNotOwners = 32;
inline constexpr std::size_t kMostTold = 256;

inline EspPair pairOf(const PortlessPacket& packet)
{
    return {packet.external, packet.remote};
}

inline PortlessDecision dropped(DropReason reason)
{
    PortlessDecision decision;
    decision.kind = PortlessDecision::Kind::Drop;
    decision.reason = reason;
    return decision;
}

inline PortlessDecision deliveredTo(net::Ipv4Address client)
{
    PortlessDecision decision;
    decision.kind = PortlessDecision::Kind::Deliver;
    decision.recipients[0] = client;
    decision.recipientCount = 1;
    return decision;
}

inline Observation observe(const tunnel::TunnelKey& key, Observation::Kind kind)
{
    Observation observation;
    observation.key = key;
    observation.kind = kind;
    return observation;
}

inline void noteEvent(const tunnel::TunnelKey& key, EventKind event, Lane from, Lane to,
                      std::uint32_t a, std::uint32_t b, Actions& actions)
{
    Observation observation = observe(key, Observation::Kind::Event);
    observation.event = event;
    observation.from = from;
    observation.to = to;
    observation.a = a;
    observation.b = b;
    actions.observations.push_back(std::move(observation));
}

inline Observation labelOf(const tunnel::TunnelKey& key, EspPair pair,
                           tunnel::Confidence confidence)
{
    Observation label = observe(key, Observation::Kind::Label);
    label.protocol = net::VpnProtocol::IpsecEsp;
    label.confidence = confidence;
    label.transport = net::IpProtocol::Esp;
    label.server = {pair.server, net::Port{0}};
    label.external = {pair.external, net::Port{0}};
    return label;
}

template <typename Spi>
Spi* findSpi(std::vector<Spi>& spis, std::uint32_t spi)
{
    const auto found = std::ranges::find(spis, spi, &Spi::spi);
    return found == spis.end() ? nullptr : &*found;
}

/// The newest SPI that has no partner yet.
template <typename Spi>
Spi* findUnpaired(std::vector<Spi>& spis)
{
    for (auto it = spis.rbegin(); it != spis.rend(); ++it) {
        if (it->partner == 0) return &*it;
    }
    return nullptr;
}

}  // namespace engine::passthrough::esp
