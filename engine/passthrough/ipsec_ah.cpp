#include "engine/passthrough/ipsec_state.h"

/// AH: no address translator can let it pass.
namespace engine::passthrough {

using namespace ipsec;

namespace {

constexpr Duration kAhTold = 60s;
constexpr std::size_t kMostAhPairs = 256;

}  // namespace

/// RFC 4302 §3.3.3.1: the integrity check covers the addresses.
PortlessDecision IpsecInspector::State::refuseAh(Instant now, Direction direction,
                                                 const PortlessPacket& packet, Actions& actions)
{
    PortlessDecision decision;
    decision.kind = PortlessDecision::Kind::Drop;
    decision.reason = DropReason::AhUntranslatable;
    if (direction == Direction::Inbound) return decision;
    std::erase_if(ahTold, [&](const auto& told) { return now - told.second >= kAhTold; });
    const std::pair who{packet.internal, packet.remote};
    if (const auto told = ahTold.find(who); told != ahTold.end()) {
        // A sender that does not listen is dropped silently until its minute is over.
        decision.told = true;
        return decision;
    }
    if (ahTold.size() >= kMostAhPairs) return decision;
    ahTold.emplace(who, now);
    const std::uint32_t spi = packet.payload.size() >= 12 ? wire::load32(packet.payload, 4) : 0;
    Observation label;
    label.key = {packet.internal, packet.remote,
                 sipHash(seed, packet.external.hostOrder(), 0x4148U) | 1U};
    label.kind = Observation::Kind::Label;
    label.protocol = net::VpnProtocol::Ah;
    label.confidence = Confidence::Certain;
    label.transport = net::IpProtocol::Ah;
    label.server = {packet.remote, net::Port{0}};
    label.external = {packet.external, net::Port{0}};
    Observation cause = label;
    cause.kind = Observation::Kind::Finding;
    cause.finding = FindingKind::AhCannotPass;
    cause.a = spi;
    const auto proof = packet.packet.first(std::min<std::size_t>(packet.packet.size(), 128));
    cause.packet.assign(proof.begin(), proof.end());
    Observation ended = label;
    ended.kind = Observation::Kind::Ended;
    ended.phase = Phase::Failed;
    ended.event = EventKind::FindingRaised;
    ended.a = static_cast<std::uint32_t>(FindingKind::AhCannotPass);
    actions.observations.push_back(std::move(label));
    actions.observations.push_back(std::move(cause));
    actions.observations.push_back(std::move(ended));
    return decision;
}

}  // namespace engine::passthrough
