#include "engine/passthrough/forticlient.h"

#include "engine/passthrough/tls_client_hello.h"

#include <algorithm>
#include <string_view>

namespace engine::passthrough {
namespace {

using net::Direction;
using net::VpnProtocol;
using tunnel::Confidence;
using tunnel::EventKind;
using tunnel::Phase;
using wire::ConstBytes;

// Seen on the wire of the product.
constexpr std::string_view kClientGreeting{"GFtype\0clthello\0", 16};
constexpr std::string_view kServerGreeting{"GFtype\0svrhello\0", 16};
constexpr net::Port kUsualPort{10443};
constexpr std::uint8_t kHandshake = 22;
constexpr std::uint8_t kApplicationData = 23;
constexpr std::size_t kRecordHeader = 13;

// Ours.
constexpr std::uint8_t kMostPackets = 64;
constexpr std::size_t kLongestGreeting = 1500;

/// The greeting stands behind a 16-bit length that counts itself.
bool isGreeting(ConstBytes payload, std::string_view greeting)
{
    return payload.size() >= 2 + greeting.size() && payload.size() <= kLongestGreeting &&
           wire::load16(payload, 0) == payload.size() &&
           std::equal(greeting.begin(), greeting.end(), payload.begin() + 2,
                      [](char a, std::uint8_t b) { return static_cast<std::uint8_t>(a) == b; });
}

net::Port serverPortOf(const Flow& flow)
{
    return flow.initiator == Direction::Outbound ? flow.remote.port : flow.internal.port;
}

}  // namespace

Inspector::Opening FortiClientRecogniser::opening() const
{
    // A greeting begins with its own length.
    Opening opening{.tcp = false};
    opening.keepOctets(
        [](std::uint8_t first) { return first == kHandshake || first <= kLongestGreeting >> 8; });
    return opening;
}

Inspector::Claim FortiClientRecogniser::consider(Instant now, const Flow& flow,
                                                 const Segment& segment)
{
    const ConstBytes payload = segment.payload;
    if (flow.protocol != net::IpProtocol::Udp || payload.size() < kRecordHeader)
        return Claim::NotMine;
    const bool greets = isGreeting(payload, kClientGreeting);
    std::uint8_t evidence = greets ? 1 : 0;
    if (!greets) {
        if (payload[0] != kHandshake) return Claim::NotMine;
        const auto [status, hello] = readDtlsClientHello(payload);
        if (status != HelloStatus::Complete || hello.hasUseSrtp) return Claim::NotMine;
        const TlsPeer* const peer =
            m_peers.find(flow.internal.address, flow.remote.address, serverPortOf(flow));
        if (peer == nullptr) return Claim::NotMine;
        if (peer->showsFortinet) ++evidence;
        if (serverPortOf(flow) == kUsualPort) ++evidence;
        if (evidence == 0) return Claim::NotMine;
    }
    State* const state = m_states.obtain(flow.id);
    if (state == nullptr) return Claim::NotMine;
    state->isGreeting = greets;
    state->evidence = evidence;
    state->client = segment.direction;
    state->asked = now;
    return Claim::Claimed;
}

Attention FortiClientRecogniser::inspect(Instant now, const Flow& flow, const Segment& segment,
                                         Actions& actions)
{
    State* const state = m_states.find(flow.id);
    if (state == nullptr) return {.next = Attention::Next::Ignore};
    const ConstBytes payload = segment.payload;
    Report report(flow, keyOf(flow, VpnProtocol::FortiClient, KeyScope::PerServer), actions);
    if (!state->isLabelled) {
        state->isLabelled = true;
        report.label(VpnProtocol::FortiClient, Confidence::Likely);
        report.attach(state->isGreeting ? tunnel::SequenceKind::None : tunnel::SequenceKind::Dtls);
        const TlsPeer* const peer =
            m_peers.find(flow.internal.address, flow.remote.address, serverPortOf(flow));
        if (peer != nullptr) {
            report.attach(peer->flow, tunnel::SequenceKind::None);
            m_peers.noteProtocol({flow.remote.address, peer->serverPort}, VpnProtocol::FortiClient);
            if (!peer->serverName.empty()) report.serverName(peer->serverName);
        }
        report.event(EventKind::ControlOpened, segment.direction, serverPortOf(flow).hostOrder());
        report.phase(Phase::Handshaking);
    }
    const bool fromServer = segment.direction != state->client;
    const bool answers = state->isGreeting
                             ? isGreeting(payload, kServerGreeting)
                             : payload.size() > kRecordHeader && payload[0] == kHandshake;
    if (fromServer && answers && !state->isAnswered) {
        state->isAnswered = true;
        if (state->client == Direction::Outbound) report.roundTrip(now - state->asked);
        if (state->isGreeting || state->evidence > 1) {
            report.label(VpnProtocol::FortiClient, Confidence::Certain);
        }
    }
    const bool isData = !payload.empty() &&
                        (state->isGreeting ? state->isAnswered : payload[0] == kApplicationData);
    if (isData) state->spoke[static_cast<std::size_t>(segment.direction)] = true;
    if (state->spoke[0] && state->spoke[1]) {
        report.phase(Phase::Established);
        m_states.forget(flow.id);
        return {.next = Attention::Next::Ignore};
    }
    ++state->packets;
    return {.next =
                state->packets < kMostPackets ? Attention::Next::Watch : Attention::Next::Ignore};
}

void FortiClientRecogniser::flowClosed(Instant, FlowId flow, FlowEnd, Actions&)
{
    m_states.forget(flow);
}

}  // namespace engine::passthrough
