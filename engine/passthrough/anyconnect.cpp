#include "engine/passthrough/anyconnect.h"

namespace engine::passthrough {
namespace {

using net::Direction;
using net::VpnProtocol;
using namespace std::chrono_literals;
using tunnel::Confidence;
using tunnel::EventKind;
using tunnel::Phase;
using wire::ConstBytes;

// RFC 6347 §4.1 and §4.2.2; the draft that OpenSSL calls its bad version.
constexpr std::uint16_t kDraftVersion = 0x0100;
constexpr std::size_t kRecordHeader = 13;
constexpr std::uint8_t kChangeCipherSpec = 20;
constexpr std::uint8_t kAlert = 21;
constexpr std::uint8_t kHandshake = 22;
constexpr std::uint8_t kApplicationData = 23;
constexpr std::uint8_t kClientHelloType = 1;
constexpr std::uint8_t kServerHelloType = 2;
constexpr std::uint8_t kHelloVerifyRequestType = 3;

// Ours.
/// Mobile profiles send their dead-peer detection every 1,800 seconds; a quarter more is margin.
constexpr Duration kIdle = 2250s;
constexpr std::uint32_t kMostPackets = 64;
constexpr net::Port kFortinetPort{10443};

net::Port serverPortOf(const Flow& flow)
{
    return flow.initiator == Direction::Outbound ? flow.remote.port : flow.internal.port;
}

bool isDtlsRecord(ConstBytes payload)
{
    if (payload.size() < kRecordHeader) return false;
    const std::uint8_t type = payload[0];
    const std::uint16_t version = wire::load16(payload, 1);
    return type >= kChangeCipherSpec && type <= kApplicationData &&
           (version == kDraftVersion || version == 0xfeff || version == 0xfefd);
}

/// Evidence in the hello itself that nobody else gives.
bool isOwnHello(const ClientHello& hello)
{
    return hello.recordVersion == kDraftVersion || hello.version == kDraftVersion ||
           hello.hasCiscoAppId;
}

}  // namespace

Inspector::Opening AnyConnectRecogniser::opening() const
{
    Opening opening{.tcp = false};
    opening.keepOctets([](std::uint8_t first) { return first == kHandshake; });
    return opening;
}

Inspector::Claim AnyConnectRecogniser::consider(Instant now, const Flow& flow,
                                                const Segment& segment)
{
    const ConstBytes payload = segment.payload;
    if (flow.protocol != net::IpProtocol::Udp || payload.size() < kRecordHeader ||
        payload[0] != kHandshake || !isDtlsRecord(payload)) {
        return Claim::NotMine;
    }
    const auto [status, hello] = readDtlsClientHello(payload);
    if (status != HelloStatus::Complete || hello.hasUseSrtp) return Claim::NotMine;
    const TlsPeer* const peer =
        m_peers.find(flow.internal.address, flow.remote.address, serverPortOf(flow));
    const bool isOwn = isOwnHello(hello);
    const bool isFortinet =
        !isOwn && (serverPortOf(flow) == kFortinetPort || (peer != nullptr && peer->showsFortinet));
    if (isFortinet || (!isOwn && peer == nullptr)) return Claim::NotMine;
    State* const state = m_states.obtain(flow.id);
    if (state == nullptr) return Claim::NotMine;
    state->isResumption = hello.sessionIdSize > 0;
    state->client = segment.direction;
    state->asked = now;
    if (peer != nullptr && isOwn) {
        state->confidence = Confidence::Certain;
    } else {
        state->confidence = isOwn || state->isResumption ? Confidence::Likely : Confidence::Guess;
    }
    return Claim::Claimed;
}

Attention AnyConnectRecogniser::inspect(Instant now, const Flow& flow, const Segment& segment,
                                        Actions& actions)
{
    State* const state = m_states.find(flow.id);
    if (state == nullptr) return {.next = Attention::Next::Ignore};
    const ConstBytes payload = segment.payload;
    Report report(flow, keyOf(flow, VpnProtocol::AnyConnect, KeyScope::PerServer), actions);
    if (!state->isLabelled) {
        state->isLabelled = true;
        report.label(VpnProtocol::AnyConnect, state->confidence);
        report.attach(tunnel::SequenceKind::Dtls, kIdle);
        const TlsPeer* const peer =
            m_peers.find(flow.internal.address, flow.remote.address, serverPortOf(flow));
        if (peer != nullptr) {
            report.attach(peer->flow, tunnel::SequenceKind::None);
            if (state->confidence != Confidence::Guess) {
                m_peers.noteProtocol({flow.remote.address, peer->serverPort},
                                     VpnProtocol::AnyConnect);
            }
            if (!peer->serverName.empty()) report.serverName(peer->serverName);
        }
        report.event(EventKind::ControlOpened, segment.direction, serverPortOf(flow).hostOrder());
        report.phase(Phase::Handshaking);
    }
    if (!isDtlsRecord(payload)) {
        ++state->packets;
        return {.next = state->packets < kMostPackets ? Attention::Next::Watch
                                                      : Attention::Next::Ignore};
    }
    const bool fromServer = segment.direction != state->client;
    const std::uint8_t type = payload[0];
    const bool isClear = wire::load16(payload, 3) == 0;
    if (type == kHandshake && isClear && payload.size() > kRecordHeader) {
        const std::uint8_t message = payload[kRecordHeader];
        if (message == kClientHelloType || message == kServerHelloType ||
            message == kHelloVerifyRequestType) {
            report.event(EventKind::KeyExchange, segment.direction, message);
        }
        if (message == kClientHelloType) state->asked = now;
        if (fromServer && (message == kHelloVerifyRequestType || message == kServerHelloType)) {
            if (state->client == Direction::Outbound) report.roundTrip(now - state->asked);
        }
        // The server goes along with a session that nobody has agreed on here: it was agreed in
        // TLS.
        if (fromServer && message == kServerHelloType && state->isResumption &&
            state->confidence == Confidence::Likely) {
            state->confidence = Confidence::Certain;
            report.label(VpnProtocol::AnyConnect, Confidence::Certain);
        }
    } else if (type == kAlert) {
        report.event(EventKind::PeerClosed, segment.direction);
    } else if (type == kApplicationData) {
        state->sawData[static_cast<std::size_t>(segment.direction)] = true;
        if (state->sawData[0] && state->sawData[1]) {
            report.phase(Phase::Established);
            m_states.forget(flow.id);
            return {.next = Attention::Next::Ignore};
        }
    }
    ++state->packets;
    return {.next =
                state->packets < kMostPackets ? Attention::Next::Watch : Attention::Next::Ignore};
}

void AnyConnectRecogniser::flowClosed(Instant, FlowId flow, FlowEnd, Actions&)
{
    m_states.forget(flow);
}

}  // namespace engine::passthrough
