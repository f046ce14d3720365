// RFC 4380: the packet formats of §5.1.1 and the qualification procedure of §5.2.1.
#include "engine/passthrough/teredo.h"

#include <optional>

namespace engine::passthrough {
namespace {

using net::Direction;
using net::VpnProtocol;
using tunnel::Confidence;
using tunnel::EventKind;
using wire::ConstBytes;

// RFC 4380 §2.7 and §2.6, RFC 8200 §3, RFC 4861 §4.1 and §4.2.
constexpr net::Port kServerPort{3544};
constexpr std::uint32_t kPrefix = 0x20010000;
constexpr std::size_t kIpv6Header = 40;
constexpr std::uint8_t kIcmpV6 = 58;
constexpr std::uint8_t kRouterSolicitation = 133;
constexpr std::uint8_t kRouterAdvertisement = 134;

/// The IPv6 packet behind the indicators that may stand before it; none if lengths disagree.
std::optional<ConstBytes> innerOf(ConstBytes payload)
{
    if (payload.size() >= 4 && payload[0] == 0 && payload[1] == 1) {
        // Authentication: lengths of identifier and value, nonce, confirmation.
        const std::size_t length = 4U + payload[2] + payload[3] + 8 + 1;
        if (payload.size() < length) return std::nullopt;
        payload = payload.subspan(length);
    }
    if (payload.size() >= 8 && payload[0] == 0 && payload[1] == 0) payload = payload.subspan(8);
    if (payload.size() < kIpv6Header || (payload[0] >> 4) != 6) return std::nullopt;
    if (payload.size() != kIpv6Header + wire::load16(payload, 4)) return std::nullopt;
    return payload;
}

bool isIcmp(ConstBytes inner, std::uint8_t type)
{
    return inner[6] == kIcmpV6 && inner.size() > kIpv6Header && inner[kIpv6Header] == type;
}
bool isTeredoAddressed(ConstBytes inner)
{
    return wire::load32(inner, 8) == kPrefix || wire::load32(inner, 24) == kPrefix;
}

}  // namespace

Inspector::Opening TeredoRecogniser::opening() const
{
    // IPv6, or an indication in front of it.
    Opening opening{.tcp = false};
    opening.keepOctets([](std::uint8_t first) { return first == 0 || first >> 4 == 6; });
    return opening;
}

Inspector::Claim TeredoRecogniser::consider(Instant now, const Flow& flow, const Segment& segment)
{
    if (flow.protocol != net::IpProtocol::Udp) return Claim::NotMine;
    if (segment.payload.size() < kIpv6Header) {
        return m_states.find(flow.id) != nullptr ? Claim::Undecided : Claim::NotMine;
    }
    const std::uint8_t first = segment.payload[0];
    if (first != 0 && (first >> 4) != 6) {
        m_states.forget(flow.id);
        return Claim::NotMine;
    }
    const auto inner = innerOf(segment.payload);
    const bool toServer = flow.remote.port == kServerPort;
    const bool isOurs =
        inner && (toServer ? isIcmp(*inner, kRouterSolicitation) ||
                                 isIcmp(*inner, kRouterAdvertisement) || isTeredoAddressed(*inner)
                           : isTeredoAddressed(*inner));
    State* const state = isOurs ? m_states.obtain(flow.id) : nullptr;
    if (state == nullptr) {
        m_states.forget(flow.id);
        return Claim::NotMine;
    }
    const auto way = static_cast<std::size_t>(segment.direction);
    state->isServer = toServer;
    if (segment.direction == Direction::Outbound) state->asked = now;
    state->spoke[way] = true;
    const bool isEnough = state->spoke[1 - way] || isBlocked(m_policy, VpnProtocol::Teredo, flow);
    return isEnough ? Claim::Claimed : Claim::Undecided;
}

Attention TeredoRecogniser::inspect(Instant now, const Flow& flow, const Segment& segment,
                                    Actions& actions)
{
    const State* const state = m_states.find(flow.id);
    if (state == nullptr) return {.next = Attention::Next::Ignore};
    Report report(flow, keyOf(flow, VpnProtocol::Teredo, KeyScope::PerFlow), actions);
    const bool isCertain = state->spoke[0] && state->spoke[1];
    report.label(VpnProtocol::Teredo, isCertain ? Confidence::Certain : Confidence::Likely);
    report.attach(tunnel::SequenceKind::None);
    report.event(EventKind::ControlOpened, segment.direction, flow.remote.port.hostOrder());
    if (segment.direction == Direction::Inbound && state->asked != Instant{}) {
        report.roundTrip(now - state->asked);
    }
    report.phase(tunnel::Phase::Established);
    m_states.forget(flow.id);
    return {.next = Attention::Next::Ignore};
}

void TeredoRecogniser::flowClosed(Instant, FlowId flow, FlowEnd, Actions&)
{
    m_states.forget(flow);
}

}  // namespace engine::passthrough
