#include "engine/passthrough/zerotier.h"

namespace engine::passthrough {
namespace {

using net::Direction;
using net::VpnProtocol;
using tunnel::Confidence;
using tunnel::EventKind;
using wire::ConstBytes;

// The protocol's layout: packet ID, destination and source of five octets each, flags, MAC, verb.
constexpr std::size_t kDestination = 8;
constexpr std::size_t kSource = 13;
constexpr std::size_t kFlags = 18;
constexpr std::size_t kVerb = 27;
constexpr std::size_t kHelloIdentity = 41;
constexpr std::size_t kHelloShortest = kHelloIdentity + 5 + 1 + 64;
constexpr std::uint8_t kCipherMask = 0x38;
constexpr std::uint8_t kVerbMask = 0x1f;
constexpr std::uint8_t kHelloVerb = 1;
constexpr std::uint8_t kReservedAddress = 0xff;

std::uint64_t addressAt(ConstBytes payload, std::size_t at)
{
    return (std::uint64_t{payload[at]} << 32) | wire::load32(payload, at + 1);
}

/// A HELLO is sent in the clear, and its identity begins with the sender's address again.
bool isHello(ConstBytes payload)
{
    return payload.size() >= kHelloShortest && (payload[kFlags] & kCipherMask) == 0 &&
           (payload[kVerb] & kVerbMask) == kHelloVerb && payload[kSource] != kReservedAddress &&
           payload[kHelloIdentity + 5] == 0 && addressAt(payload, kSource) != 0 &&
           addressAt(payload, kSource) == addressAt(payload, kHelloIdentity) &&
           addressAt(payload, kSource) != addressAt(payload, kDestination);
}

}  // namespace

Inspector::Claim ZeroTierRecogniser::consider(Instant now, const Flow& flow, const Segment& segment)
{
    const ConstBytes payload = segment.payload;
    if (flow.protocol != net::IpProtocol::Udp) return Claim::NotMine;
    State* const known = m_states.find(flow.id);
    if (known != nullptr && segment.direction != known->asker && payload.size() > kVerb &&
        addressAt(payload, kDestination) == known->source &&
        addressAt(payload, kSource) == known->destination) {
        known->isAnswered = true;
        return Claim::Claimed;
    }
    if (isHello(payload)) {
        State* const state = m_states.obtain(flow.id);
        if (state == nullptr) return Claim::NotMine;
        *state = {addressAt(payload, kSource), addressAt(payload, kDestination), segment.direction,
                  now, false};
        return isBlocked(m_policy, VpnProtocol::ZeroTier, flow) ? Claim::Claimed : Claim::Undecided;
    }
    return known != nullptr ? Claim::Undecided : Claim::NotMine;
}

Attention ZeroTierRecogniser::inspect(Instant now, const Flow& flow, const Segment& segment,
                                      Actions& actions)
{
    const State* const state = m_states.find(flow.id);
    if (state == nullptr) return {.next = Attention::Next::Ignore};
    Report report(flow, keyOf(flow, VpnProtocol::ZeroTier, KeyScope::PerFlow), actions);
    report.label(VpnProtocol::ZeroTier,
                 state->isAnswered ? Confidence::Certain : Confidence::Likely);
    report.attach(tunnel::SequenceKind::None);
    report.event(EventKind::ControlMessage, net::opposite(segment.direction), kHelloVerb);
    if (state->asker == Direction::Outbound) report.roundTrip(now - state->asked);
    report.phase(tunnel::Phase::Established);
    m_states.forget(flow.id);
    return {.next = Attention::Next::Ignore};
}

void ZeroTierRecogniser::flowClosed(Instant, FlowId flow, FlowEnd, Actions&)
{
    m_states.forget(flow);
}

}  // namespace engine::passthrough
