#include "engine/passthrough/globalprotect.h"

namespace engine::passthrough {
namespace {

using net::VpnProtocol;
using tunnel::Confidence;
using tunnel::EventKind;
using wire::ConstBytes;

// The product's port; RFC 4303 §2.1 for the reserved SPIs.
constexpr net::Port kPort{4501};
constexpr std::uint32_t kFirstSpi = 256;
constexpr std::size_t kSmallestEsp = 8 + 16 + 12;

// Ours.
constexpr std::uint8_t kSteadyPackets = 2;
constexpr std::uint32_t kMostStep = 64;

}  // namespace

Inspector::Opening GlobalProtectRecogniser::opening() const
{
    return {.tcp = false, .remotePort = kPort};
}

Inspector::Claim GlobalProtectRecogniser::consider(Instant, const Flow& flow,
                                                   const Segment& segment)
{
    if (flow.protocol != net::IpProtocol::Udp || flow.remote.port != kPort) return Claim::NotMine;
    const ConstBytes payload = segment.payload;
    const bool isEsp = payload.size() >= kSmallestEsp && wire::load32(payload, 0) >= kFirstSpi &&
                       wire::load32(payload, 4) > 0;
    State* const state = isEsp ? m_states.obtain(flow.id) : nullptr;
    if (state == nullptr) {
        m_states.forget(flow.id);
        return Claim::NotMine;
    }
    Stream& stream = state->streams[static_cast<std::size_t>(segment.direction)];
    const std::uint32_t spi = wire::load32(payload, 0);
    const std::uint32_t number = wire::load32(payload, 4);
    const bool goesOn = stream.steady > 0 && stream.spi == spi && number > stream.number &&
                        number - stream.number <= kMostStep;
    stream = {spi, number, static_cast<std::uint8_t>(goesOn ? stream.steady + 1 : 1)};
    const bool both =
        state->streams[0].steady >= kSteadyPackets && state->streams[1].steady >= kSteadyPackets;
    const bool isRefused =
        isBlocked(m_policy, VpnProtocol::GlobalProtect, flow) &&
        m_peers.find(flow.internal.address, flow.remote.address, net::Port{}) != nullptr;
    return both || isRefused ? Claim::Claimed : Claim::Undecided;
}

Attention GlobalProtectRecogniser::inspect(Instant, const Flow& flow, const Segment& segment,
                                           Actions& actions)
{
    const State* const state = m_states.find(flow.id);
    if (state == nullptr) return {.next = Attention::Next::Ignore};
    Report report(flow, keyOf(flow, VpnProtocol::GlobalProtect, KeyScope::PerServer), actions);
    const TlsPeer* const peer =
        m_peers.find(flow.internal.address, flow.remote.address, net::Port{});
    report.label(VpnProtocol::GlobalProtect,
                 peer != nullptr ? Confidence::Certain : Confidence::Likely);
    report.attach(tunnel::SequenceKind::EspInUdp);
    if (peer != nullptr) {
        report.attach(peer->flow, tunnel::SequenceKind::None);
        m_peers.noteProtocol({flow.remote.address, peer->serverPort}, VpnProtocol::GlobalProtect);
        if (!peer->serverName.empty()) report.serverName(peer->serverName);
    }
    report.event(EventKind::SpiBound, segment.direction,
                 state->streams[static_cast<std::size_t>(segment.direction)].spi, 2);
    report.phase(tunnel::Phase::Establishing);
    m_states.forget(flow.id);
    return {.next = Attention::Next::Ignore};
}

void GlobalProtectRecogniser::flowClosed(Instant, FlowId flow, FlowEnd, Actions&)
{
    m_states.forget(flow);
}

}  // namespace engine::passthrough
