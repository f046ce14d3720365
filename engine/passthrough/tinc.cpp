#include "engine/passthrough/tinc.h"

#include <algorithm>
#include <optional>

namespace engine::passthrough {
namespace {

using net::Direction;
using net::VpnProtocol;
using tunnel::Confidence;
using tunnel::EventKind;
using wire::ConstBytes;

enum class Line : std::uint8_t { NeedMore, Id, Other };

bool isNameLetter(std::uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}
bool isDigit(std::uint8_t c)
{
    return c >= '0' && c <= '9';
}

/// "0 name 17.7\n": request ID, the sender's name, protocol version (17 since tinc 1.0).
Line readLine(ConstBytes bytes)
{
    std::size_t at = 0;
    const auto next = [&]() -> std::optional<std::uint8_t> {
        if (at >= bytes.size()) return std::nullopt;
        return bytes[at++];
    };
    for (const std::uint8_t expected : {std::uint8_t{'0'}, std::uint8_t{' '}}) {
        const auto c = next();
        if (!c) return Line::NeedMore;
        if (*c != expected) return Line::Other;
    }
    std::size_t letters = 0;
    for (;; ++letters) {
        const auto c = next();
        if (!c) return Line::NeedMore;
        if (*c == ' ') break;
        if (!isNameLetter(*c)) return Line::Other;
    }
    if (letters == 0) return Line::Other;
    for (const std::uint8_t expected : {std::uint8_t{'1'}, std::uint8_t{'7'}}) {
        const auto c = next();
        if (!c) return Line::NeedMore;
        if (*c != expected) return Line::Other;
    }
    bool isMinor = false;
    for (;;) {
        const auto c = next();
        if (!c) return Line::NeedMore;
        if (*c == '\n') return Line::Id;
        if (*c == '.' && !isMinor) {
            isMinor = true;
        } else if (!isDigit(*c)) {
            return Line::Other;
        }
    }
}

}  // namespace

Inspector::Claim TincRecogniser::consider(Instant, const Flow& flow, const Segment& segment)
{
    if (flow.protocol == net::IpProtocol::Udp) {
        const bool isPeers = std::ranges::any_of(m_peers, [&](const Peer& peer) {
            return peer.device == flow.internal.address && peer.server == flow.remote;
        });
        return isPeers ? Claim::Claimed : Claim::NotMine;
    }
    if (flow.protocol != net::IpProtocol::Tcp) return Claim::NotMine;
    if (segment.payload.empty()) return Claim::Undecided;
    State* state = m_states.find(flow.id);
    if (state == nullptr) {
        if (segment.payload[0] != '0') return Claim::NotMine;
        state = m_states.obtain(flow.id);
        if (state == nullptr) return Claim::NotMine;
    }
    StreamPrefix& prefix = state->prefixes[static_cast<std::size_t>(segment.direction)];
    prefix.add(segment);
    const Line line = readLine(prefix.bytes());
    if (line == Line::Id) return Claim::Claimed;
    if (line == Line::NeedMore && !prefix.isFull()) return Claim::Undecided;
    m_states.forget(flow.id);
    return Claim::NotMine;
}

Attention TincRecogniser::inspect(Instant now, const Flow& flow, const Segment& segment,
                                  Actions& actions)
{
    tunnel::TunnelKey key = keyOf(flow, VpnProtocol::Tinc, KeyScope::PerServer);
    key.discriminator |= flow.remote.port.hostOrder();
    Report report(flow, key, actions);
    if (flow.protocol == net::IpProtocol::Udp) {
        // Its switch may have been turned since the two have met.
        report.label(VpnProtocol::Tinc, Confidence::Certain);
        report.attach(tunnel::SequenceKind::None);
        return {.next = Attention::Next::Ignore};
    }
    State* const state = m_states.find(flow.id);
    if (state == nullptr) return {.next = Attention::Next::Ignore};
    const auto way = static_cast<std::size_t>(segment.direction);
    if (!state->isLabelled) {
        state->isLabelled = true;
        state->asked = now;
        report.label(VpnProtocol::Tinc, Confidence::Likely);
        report.attach(tunnel::SequenceKind::None);
        report.event(EventKind::ControlOpened, segment.direction, flow.remote.port.hostOrder());
        report.phase(tunnel::Phase::Handshaking);
    } else {
        state->prefixes[way].add(segment);
    }
    const Line other = readLine(state->prefixes[1 - way].bytes());
    const Line mine = readLine(state->prefixes[way].bytes());
    if (mine == Line::Id && other == Line::Id) {
        report.label(VpnProtocol::Tinc, Confidence::Certain);
        report.roundTrip(now - state->asked);
        report.phase(tunnel::Phase::Established);
        const Peer peer{flow.internal.address, flow.remote};
        if (m_peers.size() < kMostPeers) {
            m_peers.push_back(peer);
        } else {
            m_peers[m_nextPeer] = peer;
            m_nextPeer = (m_nextPeer + 1) % kMostPeers;
        }
    } else if (mine != Line::Other && other != Line::Other && !state->prefixes[way].isFull()) {
        return {.next = Attention::Next::Watch};
    }
    m_states.forget(flow.id);
    return {.next = Attention::Next::Ignore};
}

void TincRecogniser::flowClosed(Instant, FlowId flow, FlowEnd, Actions&)
{
    m_states.forget(flow);
}

}  // namespace engine::passthrough
