#include "engine/passthrough/tailscale.h"

#include <algorithm>

namespace engine::passthrough {
namespace {

using net::Direction;
using net::VpnProtocol;
using tunnel::Confidence;
using tunnel::EventKind;
using wire::ConstBytes;

// The protocol's: magic, sender's key, nonce, and a sealed box of at least its tag and two octets.
constexpr std::array<std::uint8_t, 6> kMagic{0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac};
constexpr std::size_t kShortest = 6 + 32 + 24 + 16 + 2;

bool isDiscovery(ConstBytes payload)
{
    return payload.size() >= kShortest && std::equal(kMagic.begin(), kMagic.end(), payload.begin());
}

}  // namespace

Inspector::Opening TailscaleRecogniser::opening() const
{
    Opening opening{.tcp = false};
    opening.keepOctets([](std::uint8_t first) { return first == kMagic[0]; });
    return opening;
}

Inspector::Claim TailscaleRecogniser::consider(Instant now, const Flow& flow,
                                               const Segment& segment)
{
    if (flow.protocol != net::IpProtocol::Udp) return Claim::NotMine;
    if (!isDiscovery(segment.payload)) {
        // STUN and WireGuard share the port, so that another packet in between proves nothing.
        return m_states.find(flow.id) != nullptr ? Claim::Undecided : Claim::NotMine;
    }
    State* const state = m_states.obtain(flow.id);
    if (state == nullptr) return Claim::NotMine;
    const auto way = static_cast<std::size_t>(segment.direction);
    if (state->asked[way] == Instant{}) state->asked[way] = now;
    const bool isEnough =
        state->asked[1 - way] != Instant{} || isBlocked(m_policy, VpnProtocol::Tailscale, flow);
    return isEnough ? Claim::Claimed : Claim::Undecided;
}

Attention TailscaleRecogniser::inspect(Instant now, const Flow& flow, const Segment& segment,
                                       Actions& actions)
{
    const State* const state = m_states.find(flow.id);
    if (state == nullptr) return {.next = Attention::Next::Ignore};
    Report report(flow, keyOf(flow, VpnProtocol::WireGuard, KeyScope::PerFlow), actions);
    const bool isCertain = state->asked[0] != Instant{} && state->asked[1] != Instant{};
    report.label(VpnProtocol::Tailscale, isCertain ? Confidence::Certain : Confidence::Likely);
    report.attach(tunnel::SequenceKind::WireGuard);
    report.event(EventKind::ControlOpened, segment.direction, flow.remote.port.hostOrder());
    const Instant asked = state->asked[static_cast<std::size_t>(Direction::Outbound)];
    if (segment.direction == Direction::Inbound && asked != Instant{})
        report.roundTrip(now - asked);
    report.phase(tunnel::Phase::Handshaking);
    m_states.forget(flow.id);
    return {.next = Attention::Next::Ignore};
}

void TailscaleRecogniser::flowClosed(Instant, FlowId flow, FlowEnd, Actions&)
{
    m_states.forget(flow);
}

}  // namespace engine::passthrough
