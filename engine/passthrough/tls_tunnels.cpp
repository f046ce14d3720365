#include "engine/passthrough/tls_tunnels.h"

#include "engine/passthrough/softether.h"

#include <algorithm>
#include <string_view>

namespace engine::passthrough {
namespace {

using net::Direction;
using net::VpnProtocol;
using tunnel::Confidence;
using tunnel::EventKind;
using wire::ConstBytes;

// RFC 8446 §5.1.
constexpr std::uint8_t kHandshake = 22;
constexpr std::uint8_t kApplicationData = 23;
constexpr std::uint8_t kFirstRecordType = 20;
constexpr std::uint8_t kLastRecordType = 24;
constexpr std::size_t kRecordHeader = 5;
/// Protocols that may be TLS on any server, so that naming the server is what tells them.
constexpr std::array kDeclarable{VpnProtocol::Sstp, VpnProtocol::AnyConnect, VpnProtocol::SoftEther,
                                 VpnProtocol::GlobalProtect, VpnProtocol::FortiClient};
constexpr std::string_view kFortinet = "Fortinet";
// Ours.
/// One reset is an accident; a client that is filtered tries again and meets the same.
constexpr std::uint32_t kCutsToTell = 2;
constexpr Duration kCutsTogether = std::chrono::minutes(10);
constexpr Duration kCutToldAgain = std::chrono::minutes(5);

net::Port serverPortOf(const Flow& flow)
{
    return flow.initiator == Direction::Outbound ? flow.remote.port : flow.internal.port;
}

}  // namespace

Inspector::Opening TlsTunnelRecogniser::opening() const
{
    return {.udp = false};
}

Inspector::Claim TlsTunnelRecogniser::consider(Instant now, const Flow& flow,
                                               const Segment& segment)
{
    if (flow.protocol != net::IpProtocol::Tcp) return Claim::NotMine;
    State* state = m_states.find(flow.id);
    if (state == nullptr) {
        if (segment.payload.empty()) return Claim::Undecided;
        if (segment.direction != flow.initiator || segment.payload[0] != kHandshake ||
            (segment.payload.size() > 1 && segment.payload[1] != 3)) {
            return Claim::NotMine;
        }
        // Most hellos come whole and offer ALPN: nothing has to be remembered then.
        const auto whole = readTlsClientHello(segment.payload);
        if (whole.status == HelloStatus::NotHello || whole.hello.hasAlpn) return Claim::NotMine;
        state = m_states.obtain(flow.id);
        if (state == nullptr) return Claim::NotMine;
    }
    const auto way = static_cast<std::size_t>(segment.direction);
    state->prefixes[way].add(segment);
    state->cut = state->watch.take(now, flow.initiator, segment);
    if (!state->sawHello) {
        const Claim claim = hello(now, flow, *state);
        if (claim == Claim::NotMine) m_states.forget(flow.id);
        if (claim != Claim::Undecided || !state->sawHello) return claim;
    }
    if (state->cut) {
        if (judgeCut(now, flow, *state)) return Claim::Claimed;
        if (*state->cut == HelloWatch::Cut::Swallowed) return Claim::Undecided;
        m_states.forget(flow.id);
        return Claim::NotMine;
    }
    records(flow, segment.direction, *state);
    if (state->protocol) return Claim::Claimed;
    const bool isOver =
        state->isLost || (!state->outline.isPossible() && state->read[0] > 0 && state->read[1] > 0);
    if (!isOver) return Claim::Undecided;
    m_states.forget(flow.id);
    return Claim::NotMine;
}

Inspector::Claim TlsTunnelRecogniser::hello(Instant now, const Flow& flow, State& state)
{
    const auto found =
        readTlsClientHello(state.prefixes[static_cast<std::size_t>(flow.initiator)].bytes());
    if (found.status == HelloStatus::NeedMore) return Claim::Undecided;
    if (found.status == HelloStatus::NotHello || found.hello.hasAlpn) return Claim::NotMine;
    state.sawHello = true;
    state.serverName = found.hello.serverName;
    m_peers.remember({.device = flow.internal.address,
                      .server = flow.remote.address,
                      .serverPort = serverPortOf(flow),
                      .flow = flow.id,
                      .at = now,
                      .serverName = found.hello.serverName});
    if (isSoftEtherName(found.hello.serverName)) {
        state.protocol = VpnProtocol::SoftEther;
        state.confidence = Confidence::Likely;
        return Claim::Claimed;
    }
    for (const VpnProtocol protocol : kDeclarable) {
        if (!isDeclared(m_policy, protocol, flow.remote.address)) continue;
        state.protocol = protocol;
        return Claim::Claimed;
    }
    // Beside this server's TLS a VPN's datagram channel was seen: while that VPN is blocked, so is
    // what would carry it instead.
    const auto spoken = m_peers.protocolOf({flow.remote.address, serverPortOf(flow)});
    if (spoken && isBlocked(m_policy, *spoken, flow)) {
        state.protocol = *spoken;
        state.confidence = Confidence::Likely;
        return Claim::Claimed;
    }
    return Claim::Undecided;
}

bool TlsTunnelRecogniser::judgeCut(Instant now, const Flow& flow, State& state)
{
    const net::Endpoint server{flow.remote.address, serverPortOf(flow)};
    const auto known = m_peers.guessOf(server);
    if (!known && !isNamedForVpn(state.serverName)) return false;
    std::erase_if(m_cuts, [&](const CutPair& pair) { return now - pair.last >= kCutsTogether; });
    auto pair = std::ranges::find_if(m_cuts, [&](const CutPair& one) {
        return one.device == flow.internal.address && one.server == server;
    });
    if (pair == m_cuts.end()) {
        if (m_cuts.size() >= kMostCuts) return false;
        m_cuts.push_back({.device = flow.internal.address, .server = server});
        pair = m_cuts.end() - 1;
    }
    pair->last = now;
    if (++pair->times < kCutsToTell) return false;
    if (pair->told != Instant{} && now - pair->told < kCutToldAgain) return false;
    pair->told = now;
    state.protocol = known.value_or(VpnProtocol::Sstp);
    return true;
}

void TlsTunnelRecogniser::records(const Flow& flow, Direction direction, State& state)
{
    const auto way = static_cast<std::size_t>(direction);
    const StreamPrefix& prefix = state.prefixes[way];
    const ConstBytes bytes = prefix.bytes();
    std::size_t& at = state.read[way];
    while (bytes.size() >= at + kRecordHeader) {
        const std::uint8_t type = bytes[at];
        const std::size_t length = wire::load16(bytes, at + 3);
        if (type < kFirstRecordType || type > kLastRecordType || bytes[at + 1] != 3) {
            state.isLost = true;
            return;
        }
        if (bytes.size() < at + kRecordHeader + length) break;
        const ConstBytes record = bytes.subspan(at + kRecordHeader, length);
        at += kRecordHeader + length;
        const bool fromServer = direction != flow.initiator;
        if (type == kHandshake && fromServer && !state.showsFortinet) {
            const auto name =
                std::search(record.begin(), record.end(), kFortinet.begin(), kFortinet.end());
            if (name != record.end()) {
                state.showsFortinet = true;
                m_peers.markFortinet(flow.id);
                state.protocol = VpnProtocol::FortiClient;
            }
        }
        if (type == kApplicationData && !state.protocol) {
            const Direction asClient = fromServer ? Direction::Inbound : Direction::Outbound;
            if (state.outline.take(asClient, length)) state.protocol = VpnProtocol::Sstp;
        }
    }
    if (prefix.isFull()) state.isLost = true;
}

Attention TlsTunnelRecogniser::inspect(Instant now, const Flow& flow, const Segment& segment,
                                       Actions& actions)
{
    State* const state = m_states.find(flow.id);
    if (state == nullptr || !state->protocol) return {.next = Attention::Next::Ignore};
    const VpnProtocol protocol = *state->protocol;
    // TLS and what runs beside it are one tunnel where the protocol has a datagram channel.
    const KeyScope scope = protocol == VpnProtocol::Sstp || protocol == VpnProtocol::SoftEther
                               ? KeyScope::PerFlow
                               : KeyScope::PerServer;
    Report report(flow, keyOf(flow, protocol, scope), actions);
    if (state->isLabelled) {
        // The packet by which it was claimed has been taken by consider().
        state->cut = state->watch.take(now, flow.initiator, segment);
    } else {
        state->isLabelled = true;
        report.label(protocol, state->confidence);
        report.attach(tunnel::SequenceKind::None);
        report.event(EventKind::ControlOpened, segment.direction, serverPortOf(flow).hostOrder());
        if (!state->serverName.empty()) report.serverName(state->serverName);
        // SSTP's outline is complete when PPP has negotiated both ways; the others are just
        // beginning.
        const bool isUp =
            state->outline.isPossible() && protocol == VpnProtocol::Sstp && state->read[1] > 0;
        report.phase(isUp ? tunnel::Phase::Established : tunnel::Phase::Handshaking);
        if (isUp) {
            m_peers.noteProtocol({flow.remote.address, serverPortOf(flow)}, protocol,
                                 Confidence::Guess);
        }
    }
    if (state->cut) report.cut(state->watch, *state->cut, segment);
    if (!state->watch.isOver()) return {.next = Attention::Next::Watch};
    m_states.forget(flow.id);
    return {.next = Attention::Next::Ignore};
}

void TlsTunnelRecogniser::flowClosed(Instant, FlowId flow, FlowEnd, Actions&)
{
    m_states.forget(flow);
}

}  // namespace engine::passthrough
