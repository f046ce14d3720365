// WireGuard's messages as its protocol description lays them out: type, three reserved octets,
// little-endian indices and a counter.
#include "engine/passthrough/wireguard.h"

#include <algorithm>
#include <array>
#include <optional>

namespace engine::passthrough {
namespace {

using net::Direction;
using net::IpProtocol;
using net::VpnProtocol;
using tunnel::Confidence;
using tunnel::EventKind;
using tunnel::Phase;
using wire::ConstBytes;

// The protocol's numbers.
constexpr std::uint8_t kInitiation = 1;
constexpr std::uint8_t kResponse = 2;
constexpr std::uint8_t kCookieReply = 3;
constexpr std::uint8_t kData = 4;
constexpr std::size_t kInitiationSize = 148;
constexpr std::size_t kResponseSize = 92;
constexpr std::size_t kCookieReplySize = 64;
constexpr std::size_t kSmallestData = 32;
constexpr std::size_t kDataPadding = 16;
// Seen on the wire of products.
constexpr std::size_t kTunnelBearInitiationSize = 204;
constexpr std::size_t kTunnelBearResponseSize = 100;
constexpr std::uint8_t kWarpBits = 0xc0;
constexpr std::size_t kWarpSmallestInitiation = 148;
constexpr std::size_t kWarpLargestInitiation = 1199;
constexpr std::array<std::uint16_t, 4> kWarpPorts{2408, 500, 1701, 4500};
constexpr std::array<std::uint8_t, 6> kDiscoMagic{0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac};

// Ours.
constexpr std::uint8_t kSteadyPackets = 2;
constexpr std::uint8_t kMostStrangers = 4;
constexpr std::uint64_t kMostCounterStep = 256;

bool startsWithDisco(ConstBytes payload)
{
    return payload.size() >= kDiscoMagic.size() &&
           std::equal(kDiscoMagic.begin(), kDiscoMagic.end(), payload.begin());
}

bool isWarpPort(const Flow& flow)
{
    return std::ranges::find(kWarpPorts, flow.remote.port.hostOrder()) != kWarpPorts.end();
}

bool hasZeroReserved(ConstBytes payload)
{
    return payload[1] == 0 && payload[2] == 0 && payload[3] == 0;
}

/// DNS with a transaction ID of 0x0100 and no flags begins like an initiation.
bool looksLikeDns(ConstBytes payload)
{
    return payload.size() >= 12 && wire::load16(payload, 4) == 1 && wire::load16(payload, 6) == 0 &&
           wire::load16(payload, 8) == 0;
}

/// An IKE header names its own length at offset 24 and its version at 17.
bool looksLikeIke(ConstBytes payload)
{
    if (payload.size() < 28) return false;
    const std::uint8_t version = payload[17];
    return (version == 0x10 || version == 0x20) && wire::load32(payload, 24) == payload.size();
}

struct Handshake {
    std::uint8_t type = 0;  ///< 1 to 3
    bool isWarp = false;
    bool isTunnelBear = false;
    std::uint32_t sender = 0;    ///< initiation and response
    std::uint32_t receiver = 0;  ///< response and cookie reply
};

/// WARP's own dialect: the index has three octets behind four reserved ones.
std::uint32_t load24(ConstBytes payload, std::size_t at)
{
    return (std::uint32_t{payload[at]} << 16) | (std::uint32_t{payload[at + 1]} << 8) |
           payload[at + 2];
}

std::optional<Handshake> readHandshake(const Flow& flow, ConstBytes payload)
{
    if (payload.size() < kCookieReplySize) return std::nullopt;
    const std::uint8_t type = payload[0];
    Handshake handshake;
    handshake.type = type;
    if ((type & kWarpBits) == kWarpBits) {
        handshake.isWarp = true;
        handshake.type = type & 0x3f;
        // A QUIC version negotiation has version zero too, but only a server sends it, and QUIC's
        // first datagrams are padded to 1,200 octets.
        if (handshake.type == kInitiation && wire::load32(payload, 1) == 0 &&
            payload.size() >= kWarpSmallestInitiation && payload.size() <= kWarpLargestInitiation) {
            handshake.sender = load24(payload, 5);
            return handshake;
        }
        if (handshake.type == kResponse) {
            handshake.sender = load24(payload, 5);
            handshake.receiver = (std::uint32_t{wire::load16(payload, 9)} << 8);
            return handshake;
        }
        return std::nullopt;
    }
    const bool isPlain = hasZeroReserved(payload);
    if (!isPlain && !isWarpPort(flow)) return std::nullopt;
    handshake.isWarp = !isPlain;
    if (type == kInitiation && (payload.size() == kInitiationSize ||
                                (isPlain && payload.size() == kTunnelBearInitiationSize))) {
        if (looksLikeDns(payload) || looksLikeIke(payload)) return std::nullopt;
        handshake.isTunnelBear = payload.size() == kTunnelBearInitiationSize;
        handshake.sender = wire::load32le(payload, 4);
        return handshake;
    }
    if (type == kResponse && (payload.size() == kResponseSize ||
                              (isPlain && payload.size() == kTunnelBearResponseSize))) {
        handshake.isTunnelBear = payload.size() == kTunnelBearResponseSize;
        handshake.sender = wire::load32le(payload, 4);
        handshake.receiver = wire::load32le(payload, 8);
        return handshake;
    }
    if (type == kCookieReply && payload.size() == kCookieReplySize) {
        handshake.receiver = wire::load32le(payload, 4);
        return handshake;
    }
    return std::nullopt;
}

/// Whether it names the index of the initiation. WARP's own dialect shows two octets of it.
bool isAnswer(const Handshake& handshake, std::uint32_t initiator, ConstBytes payload)
{
    const bool isDialect = (payload[0] & kWarpBits) == kWarpBits;
    return isDialect ? (handshake.receiver ^ initiator) < 0x100 : handshake.receiver == initiator;
}

bool isData(ConstBytes payload)
{
    return payload.size() >= kSmallestData && payload[0] == kData && hasZeroReserved(payload) &&
           payload.size() % kDataPadding == 0;
}

}  // namespace

Inspector::Opening WireGuardRecogniser::opening() const
{
    Opening opening{.tcp = false};
    opening.keepOctets([](std::uint8_t first) {
        const int type = first & 0x3f;
        return type >= kInitiation && type <= kData;
    });
    return opening;
}

Inspector::Claim WireGuardRecogniser::consider(Instant now, const Flow& flow,
                                               const Segment& segment)
{
    const ConstBytes payload = segment.payload;
    if (flow.protocol != IpProtocol::Udp || payload.size() < kSmallestData) return Claim::NotMine;
    const std::uint8_t type = payload[0] & 0x3f;
    if (type == 0 || type > kData) {
        m_states.forget(flow.id);
        return Claim::NotMine;
    }
    State* const known = m_states.find(flow.id);
    if (const auto handshake = readHandshake(flow, payload)) {
        // Reserved octets in use are WARP's; one packet of that is too little to go by.
        const bool isSure = !handshake->isWarp || payload[0] != kInitiation;
        if (handshake->type == kInitiation && isSure) {
            return m_states.obtain(flow.id) != nullptr ? Claim::Claimed : Claim::NotMine;
        }
        if (handshake->type == kInitiation) {
            State* const state = m_states.obtain(flow.id);
            if (state == nullptr) return Claim::NotMine;
            state->sawInitiation = true;
            state->isWarp = true;
            state->initiator = segment.direction;
            state->initiatorIndex = handshake->sender;
            state->initiated = now;
            // On other protocols' ports this could still be theirs (ESP in UDP 4500 begins with any
            // octet), so that only the answer tells; on its own port the first packet is refused.
            const bool isRefused = flow.remote.port.hostOrder() == kWarpPorts.front() &&
                                   isBlocked(m_policy, VpnProtocol::CloudflareWarp, flow);
            return isRefused ? Claim::Claimed : Claim::Undecided;
        }
        if (handshake->type == kResponse && known != nullptr && known->sawInitiation &&
            known->initiator != segment.direction &&
            isAnswer(*handshake, known->initiatorIndex, payload)) {
            return Claim::Claimed;
        }
    }
    if (isData(payload)) {
        State* const state = m_states.obtain(flow.id);
        if (state == nullptr) return Claim::NotMine;
        Stream& stream = state->streams[static_cast<std::size_t>(segment.direction)];
        const std::uint32_t index = wire::load32le(payload, 4);
        const std::uint64_t counter = wire::load64le(payload, 8);
        const bool goesOn = stream.steady > 0 && stream.index == index &&
                            counter > stream.counter &&
                            counter - stream.counter <= kMostCounterStep;
        stream = {index, counter, static_cast<std::uint8_t>(goesOn ? stream.steady + 1 : 1)};
        const bool both = state->streams[0].steady >= kSteadyPackets &&
                          state->streams[1].steady >= kSteadyPackets;
        return both ? Claim::Claimed : Claim::Undecided;
    }
    if (known != nullptr && known->sawInitiation && ++known->strangers <= kMostStrangers) {
        return Claim::Undecided;
    }
    m_states.forget(flow.id);
    return Claim::NotMine;
}

Attention WireGuardRecogniser::inspect(Instant now, const Flow& flow, const Segment& segment,
                                       Actions& actions)
{
    State* const state = m_states.obtain(flow.id);
    if (state == nullptr) return {.next = Attention::Next::Ignore};
    const ConstBytes payload = segment.payload;
    Report report(flow, keyOf(flow, VpnProtocol::WireGuard, KeyScope::PerFlow), actions);
    const auto protocol = [&] {
        if (state->isTailscale) return VpnProtocol::Tailscale;
        return state->isWarp ? VpnProtocol::CloudflareWarp : VpnProtocol::WireGuard;
    };
    const auto label = [&](Confidence confidence) {
        report.label(protocol(), confidence);
        if (!state->attached) report.attach(tunnel::SequenceKind::WireGuard);
        state->attached = true;
        state->isLabelled = true;
    };

    if (startsWithDisco(payload)) {
        state->isTailscale = true;
        label(Confidence::Certain);
        return {.next = Attention::Next::Watch};
    }
    if (const auto handshake = readHandshake(flow, payload)) {
        state->strangers = 0;
        if (handshake->type == kInitiation) {
            const bool again = state->isLabelled;
            state->isWarp = handshake->isWarp;
            state->sawInitiation = true;
            state->initiator = segment.direction;
            state->initiatorIndex = handshake->sender;
            state->initiated = now;
            if (again) {
                report.retransmit(segment.direction, kInitiation);
                return {.next = Attention::Next::Watch};
            }
            label(Confidence::Likely);
            if (handshake->isTunnelBear) report.product("TunnelBear");
            report.event(EventKind::KeyExchange, segment.direction, kInitiation);
            report.phase(Phase::Handshaking);
            return {.next = Attention::Next::Watch};
        }
        const bool answers = state->sawInitiation && state->initiator != segment.direction &&
                             isAnswer(*handshake, state->initiatorIndex, payload);
        if (answers && handshake->type == kCookieReply) {
            report.event(EventKind::ControlMessage, segment.direction, kCookieReply);
            return {.next = Attention::Next::Watch};
        }
        if (answers && handshake->type == kResponse) {
            label(Confidence::Certain);
            report.event(EventKind::KeyExchange, segment.direction, kResponse);
            if (state->initiator == Direction::Outbound && state->initiated != Instant{}) {
                report.roundTrip(now - state->initiated);
            }
            report.phase(Phase::Establishing);
            return {.next = Attention::Next::Ignore};
        }
    } else if (isData(payload) && !state->isLabelled) {
        // Claimed in mid-stream: both directions have shown steady indices and rising counters.
        label(Confidence::Certain);
        report.phase(Phase::Establishing);
        return {.next = Attention::Next::Ignore};
    }
    const bool isLost = ++state->strangers > kMostStrangers;
    return {.next = isLost ? Attention::Next::Ignore : Attention::Next::Watch};
}

void WireGuardRecogniser::flowClosed(Instant, FlowId flow, FlowEnd, Actions&)
{
    m_states.forget(flow);
}

}  // namespace engine::passthrough
