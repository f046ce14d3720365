#include "engine/passthrough/nebula.h"

namespace engine::passthrough {
namespace {

using net::Direction;
using net::VpnProtocol;
using tunnel::Confidence;
using tunnel::EventKind;
using tunnel::Phase;
using wire::ConstBytes;

// The protocol's header: version and type, subtype, two reserved octets, the receiver's index, and
// a counter.
constexpr std::size_t kHeader = 16;
constexpr std::uint8_t kVersion = 1;
constexpr std::uint8_t kHandshake = 0;
constexpr std::uint8_t kMessage = 1;
constexpr std::uint8_t kLastType = 6;
constexpr std::uint64_t kFirstStage = 1;
constexpr std::uint64_t kSecondStage = 2;

// Ours: a Noise handshake message with a certificate is longer than this.
constexpr std::size_t kShortestHandshake = kHeader + 64;
constexpr std::uint8_t kMostPackets = 64;

bool isNebula(ConstBytes payload)
{
    return payload.size() >= kHeader && (payload[0] >> 4) == kVersion &&
           (payload[0] & 0x0f) <= kLastType && wire::load16(payload, 2) == 0;
}
bool isHandshake(ConstBytes payload, std::uint64_t stage)
{
    return isNebula(payload) && payload.size() >= kShortestHandshake &&
           (payload[0] & 0x0f) == kHandshake && payload[1] == 0 &&
           wire::load64(payload, 8) == stage &&
           (wire::load32(payload, 4) == 0) == (stage == kFirstStage);
}

}  // namespace

Inspector::Opening NebulaRecogniser::opening() const
{
    Opening opening{.tcp = false};
    opening.keepOctets([](std::uint8_t first) { return first == (kVersion << 4 | kHandshake); });
    return opening;
}

Inspector::Claim NebulaRecogniser::consider(Instant now, const Flow& flow, const Segment& segment)
{
    if (flow.protocol != net::IpProtocol::Udp) return Claim::NotMine;
    State* const known = m_states.find(flow.id);
    if (isHandshake(segment.payload, kFirstStage)) {
        State* const state = m_states.obtain(flow.id);
        if (state == nullptr) return Claim::NotMine;
        if (known == nullptr) {
            state->initiator = segment.direction;
            state->asked = now;
        }
        return isBlocked(m_policy, VpnProtocol::Nebula, flow) ? Claim::Claimed : Claim::Undecided;
    }
    if (known == nullptr) return Claim::NotMine;
    if (segment.direction != known->initiator && isHandshake(segment.payload, kSecondStage)) {
        return Claim::Claimed;
    }
    // Both ends may begin at once, and a punch packet of one octet may come first.
    return Claim::Undecided;
}

Attention NebulaRecogniser::inspect(Instant now, const Flow& flow, const Segment& segment,
                                    Actions& actions)
{
    State* const state = m_states.find(flow.id);
    if (state == nullptr) return {.next = Attention::Next::Ignore};
    const ConstBytes payload = segment.payload;
    Report report(flow, keyOf(flow, VpnProtocol::Nebula, KeyScope::PerFlow), actions);
    if (!state->isLabelled) {
        state->isLabelled = true;
        const bool isAnswered = segment.direction != state->initiator;
        report.label(VpnProtocol::Nebula, isAnswered ? Confidence::Certain : Confidence::Likely);
        report.attach(tunnel::SequenceKind::None);
        report.event(EventKind::KeyExchange, state->initiator, 1);
        report.event(EventKind::KeyExchange, segment.direction, 2);
        if (state->initiator == Direction::Outbound) report.roundTrip(now - state->asked);
        report.phase(Phase::Establishing);
    } else if (isNebula(payload) && (payload[0] & 0x0f) >= kMessage) {
        state->sawData[static_cast<std::size_t>(segment.direction)] = true;
    }
    const bool isUp = state->sawData[0] && state->sawData[1];
    if (isUp) report.phase(Phase::Established);
    if (!isUp && ++state->packets < kMostPackets) return {.next = Attention::Next::Watch};
    m_states.forget(flow.id);
    return {.next = Attention::Next::Ignore};
}

void NebulaRecogniser::flowClosed(Instant, FlowId flow, FlowEnd, Actions&)
{
    m_states.forget(flow);
}

}  // namespace engine::passthrough
