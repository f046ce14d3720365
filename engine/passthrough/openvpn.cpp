// OpenVPN's packet format as its protocol description gives it: opcode and key ID in the first
// octet, session ID, optional HMAC or tls-crypt wrapping, acknowledgements, packet ID.
#include "engine/passthrough/openvpn.h"

#include <array>

namespace engine::passthrough {
namespace {

using net::Direction;
using net::IpProtocol;
using net::VpnProtocol;
using tunnel::Confidence;
using tunnel::EventKind;
using tunnel::Phase;
using wire::ConstBytes;
using Wrapping = OpenVpnReset::Wrapping;

// The protocol's numbers.
constexpr std::uint8_t kSoftReset = 3;
constexpr std::uint8_t kControl = 4;
constexpr std::uint8_t kAck = 5;
constexpr std::uint8_t kDataV1 = 6;
constexpr std::uint8_t kClientReset2 = 7;
constexpr std::uint8_t kServerReset2 = 8;
constexpr std::uint8_t kDataV2 = 9;
constexpr std::uint8_t kClientReset3 = 10;
constexpr std::uint8_t kControlWkc = 11;
constexpr std::size_t kHeader = 9;  ///< opcode and session ID
constexpr std::size_t kReplay = 8;  ///< packet ID and time
constexpr std::size_t kCryptTag = 32;
constexpr std::size_t kAckCountAndId = 5;
/// HMAC sizes of tls-auth: MD5, SHA-1, SHA-224, SHA-256, SHA-384, SHA-512.
constexpr std::array<std::size_t, 6> kHmacSizes{16, 20, 28, 32, 48, 64};
/// A client that offers early negotiation of tls-crypt-v2 begins its packet IDs here.
constexpr std::uint32_t kEarlyNegotiation = 0x0f000001;

// Ours.
/// QUIC's first datagrams have at least 1,200 octets (RFC 9000 §14.1); no reset is that long.
constexpr std::size_t kLongestReset = 1199;
constexpr std::uint32_t kMostRetries = 64;
/// 2001 to 2106: a time field that is no time is no time field.
constexpr std::uint32_t kEarliestTime = 1000000000;
constexpr std::uint32_t kMostClockDifference = 86400;
constexpr std::uint32_t kMostPackets = 2000;
constexpr std::size_t kLongestTcpPacket = 4096;

std::uint8_t opcodeOf(std::uint8_t first)
{
    return static_cast<std::uint8_t>(first >> 3);
}
bool isControl(std::uint8_t opcode)
{
    return (opcode >= kSoftReset && opcode <= kAck) || opcode == kClientReset2 ||
           opcode == kServerReset2 || opcode == kClientReset3 || opcode == kControlWkc;
}

/// The fields in the clear behind `at`: acknowledgements, the session they are for, packet ID, and
/// the packet's end.
bool readClearFields(ConstBytes packet, std::size_t at, OpenVpnReset& reset)
{
    if (packet.size() < at + kAckCountAndId) return false;
    const std::size_t acks = packet[at];
    ++at;
    if (!reset.fromServer && acks != 0) return false;
    if (acks > 8) return false;
    if (acks > 0) {
        if (packet.size() < at + 4 * acks + 8) return false;
        reset.remote = wire::load64(packet, at + 4 * acks);
        at += 4 * acks + 8;
    }
    if (packet.size() != at + 4) return false;
    return wire::load32(packet, at) <= kMostRetries;
}

/// A DNS query whose ID begins like a reset: one question and nothing else. Its name's length and
/// letters would pass for the number and the time of tls-crypt.
bool looksLikeDns(ConstBytes packet)
{
    return wire::load16(packet, 4) == 1 && wire::load32(packet, 6) == 0 &&
           wire::load16(packet, 10) <= 1;
}

bool readReplay(ConstBytes packet, std::size_t at, OpenVpnReset& reset)
{
    const std::uint32_t id = wire::load32(packet, at);
    reset.time = wire::load32(packet, at + 4);
    const bool isFirst = (id >= 1 && id <= kMostRetries) ||
                         (id >= kEarlyNegotiation && id < kEarlyNegotiation + kMostRetries);
    return isFirst && reset.time >= kEarliestTime;
}

}  // namespace

std::optional<OpenVpnReset> readOpenVpnReset(ConstBytes packet)
{
    if (packet.size() < kHeader + kAckCountAndId || packet.size() > kLongestReset)
        return std::nullopt;
    if ((packet[0] & 0x07) != 0) return std::nullopt;  // a reset opens key 0
    const std::uint8_t opcode = opcodeOf(packet[0]);
    OpenVpnReset reset;
    reset.session = wire::load64(packet, 1);
    if (reset.session == 0 || looksLikeDns(packet)) return std::nullopt;
    reset.fromServer = opcode == kServerReset2;
    if (opcode == kClientReset3) {
        // tls-crypt and, behind it, the client's wrapped key with its length at the very end.
        constexpr std::size_t kCrypted = kHeader + kReplay + kCryptTag + kAckCountAndId;
        if (packet.size() < kCrypted + 2 || !readReplay(packet, kHeader, reset))
            return std::nullopt;
        if (wire::load16(packet, packet.size() - 2) != packet.size() - kCrypted)
            return std::nullopt;
        reset.wrapping = Wrapping::TlsCryptV2;
        return reset;
    }
    if (opcode != kClientReset2 && opcode != kServerReset2) return std::nullopt;
    if (readClearFields(packet, kHeader, reset)) return reset;
    for (const std::size_t hmac : kHmacSizes) {
        const std::size_t at = kHeader + hmac;
        if (packet.size() < at + kReplay + kAckCountAndId) break;
        OpenVpnReset wrapped = reset;
        wrapped.remote.reset();
        wrapped.wrapping = Wrapping::TlsAuth;
        if (readReplay(packet, at, wrapped) && readClearFields(packet, at + kReplay, wrapped)) {
            return wrapped;
        }
    }
    reset.remote.reset();
    // tls-crypt hides all but the replay protection; what is left is the packet's exact size.
    constexpr std::size_t kClientSize = kHeader + kReplay + kCryptTag + kAckCountAndId;
    constexpr std::size_t kServerSize = kClientSize + 4 + 8;
    // Behind a tls-crypt-v2 negotiation the server may ask for the client's key to be sent again,
    // which takes six octets more.
    constexpr std::size_t kServerSizeWithRequest = kServerSize + 6;
    const bool fits = reset.fromServer
                          ? packet.size() == kServerSize || packet.size() == kServerSizeWithRequest
                          : packet.size() == kClientSize;
    if (!fits || !readReplay(packet, kHeader, reset)) return std::nullopt;
    reset.wrapping = Wrapping::TlsCrypt;
    return reset;
}

Inspector::Opening OpenVpnRecogniser::opening() const
{
    Opening opening;
    opening.keepOctets([](std::uint8_t first) {
        return opcodeOf(first) == kClientReset2 || opcodeOf(first) == kClientReset3;
    });
    return opening;
}

Inspector::Claim OpenVpnRecogniser::consider(Instant, const Flow& flow, const Segment& segment)
{
    const ConstBytes payload = segment.payload;
    if (flow.protocol == IpProtocol::Udp) {
        if (payload.empty()) return Claim::NotMine;
        const std::uint8_t opcode = opcodeOf(payload[0]);
        if (opcode != kClientReset2 && opcode != kClientReset3) return Claim::NotMine;
        const auto reset = readOpenVpnReset(payload);
        if (!reset || reset->fromServer) return Claim::NotMine;
        return m_states.obtain(flow.id) != nullptr ? Claim::Claimed : Claim::NotMine;
    }
    if (flow.protocol != IpProtocol::Tcp) return Claim::NotMine;
    // The client speaks first, so nothing is remembered before its first octets come.
    State* known = m_states.find(flow.id);
    if (known == nullptr) {
        if (payload.empty()) return Claim::Undecided;
        if (segment.direction != flow.initiator || payload[0] > (kLongestReset >> 8)) {
            return Claim::NotMine;
        }
        if (payload.size() >= 3) {
            const std::uint8_t opcode = opcodeOf(payload[2]);
            if (opcode != kClientReset2 && opcode != kClientReset3) return Claim::NotMine;
        }
        known = m_states.obtain(flow.id);
        if (known == nullptr) return Claim::NotMine;
        known->client = segment.direction;
    }
    if (segment.direction != known->client) {
        if (payload.empty()) return Claim::Undecided;
        m_states.forget(flow.id);
        return Claim::NotMine;
    }
    StreamPrefix& prefix = known->prefixes[static_cast<std::size_t>(segment.direction)];
    prefix.add(segment);
    const ConstBytes bytes = prefix.bytes();
    if (bytes.size() < 2) return Claim::Undecided;
    const std::size_t length = wire::load16(bytes, 0);
    bool fits = length >= kHeader + kAckCountAndId && length <= kLongestReset;
    if (fits && bytes.size() >= 3) {
        const std::uint8_t opcode = opcodeOf(bytes[2]);
        fits = opcode == kClientReset2 || opcode == kClientReset3;
    }
    if (fits && bytes.size() < 2 + length) return Claim::Undecided;
    if (fits && readOpenVpnReset(bytes.subspan(2, length))) return Claim::Claimed;
    m_states.forget(flow.id);
    return Claim::NotMine;
}

void OpenVpnRecogniser::packet(Instant now, const Flow& flow, Direction direction,
                               ConstBytes packet, State& state, Report& report)
{
    if (packet.empty()) return;
    ++state.packets;
    const std::uint8_t opcode = opcodeOf(packet[0]);
    const bool fromClient = direction == state.client;
    if (opcode == kDataV1 || opcode == kDataV2) {
        state.sawData[static_cast<std::size_t>(direction)] = true;
        if (state.sawData[0] && state.sawData[1]) report.phase(Phase::Established);
        return;
    }
    if (!isControl(opcode)) return;
    if (opcode == kClientReset2 || opcode == kClientReset3 || opcode == kServerReset2) {
        const auto reset = readOpenVpnReset(packet);
        if (!reset) return;
        if (!reset->fromServer) {
            const bool again = state.isLabelled && state.session == reset->session;
            state.client = direction;
            state.session = reset->session;
            state.time = reset->time;
            state.wrapping = reset->wrapping;
            state.asked = now;
            if (again) {
                report.retransmit(direction, opcode);
                return;
            }
            if (!state.isLabelled) {
                report.label(VpnProtocol::OpenVpn, Confidence::Likely);
                report.attach(flow.protocol == IpProtocol::Udp ? tunnel::SequenceKind::OpenVpnUdp
                                                               : tunnel::SequenceKind::None);
                report.event(EventKind::ControlOpened, direction, flow.remote.port.hostOrder());
                state.isLabelled = true;
            }
            report.event(EventKind::ControlMessage, direction, opcode);
            report.phase(Phase::Handshaking);
            return;
        }
        if (fromClient) return;
        const std::uint32_t difference =
            reset->time > state.time ? reset->time - state.time : state.time - reset->time;
        const bool isClockAlike = state.wrapping != Wrapping::Plain && reset->time != 0 &&
                                  difference <= kMostClockDifference;
        const bool answers = reset->remote ? *reset->remote == state.session : isClockAlike;
        report.event(EventKind::ControlMessage, direction, opcode);
        if (!answers || state.isCertain) return;
        state.isCertain = true;
        report.label(VpnProtocol::OpenVpn, Confidence::Certain);
        if (state.client == Direction::Outbound) report.roundTrip(now - state.asked);
        return;
    }
    // A plain or tls-auth control channel shows both session IDs in every acknowledgement; the
    // server's first packet may have been lost to us.
    if (!state.isCertain && !fromClient && opcode == kControl && packet.size() > kHeader &&
        wire::load64(packet, 1) != state.session) {
        for (std::size_t at = kHeader + 5; at + 8 <= packet.size() && at < kHeader + 80; ++at) {
            if (wire::load64(packet, at) != state.session) continue;
            state.isCertain = true;
            report.label(VpnProtocol::OpenVpn, Confidence::Certain);
            break;
        }
    }
    if (opcode == kControl && state.isCertain) report.phase(Phase::Authenticating);
}

Attention OpenVpnRecogniser::inspect(Instant now, const Flow& flow, const Segment& segment,
                                     Actions& actions)
{
    State* const state = m_states.find(flow.id);
    if (state == nullptr) return {.next = Attention::Next::Ignore};
    Report report(flow, keyOf(flow, VpnProtocol::OpenVpn, KeyScope::PerFlow), actions);
    if (flow.protocol == IpProtocol::Udp) {
        packet(now, flow, segment.direction, segment.payload, *state, report);
    } else {
        const auto way = static_cast<std::size_t>(segment.direction);
        StreamPrefix& prefix = state->prefixes[way];
        prefix.add(segment);
        const ConstBytes bytes = prefix.bytes();
        std::size_t& at = state->read[way];
        const auto cut = state->watch.take(now, state->client, segment);
        while (bytes.size() >= at + 3) {
            const std::size_t length = wire::load16(bytes, at);
            if (length == 0 || length > kLongestTcpPacket) {
                state->packets = kMostPackets;  // out of step: nothing more can be read
                break;
            }
            if (bytes.size() < at + 2 + length) break;
            packet(now, flow, segment.direction, bytes.subspan(at + 2, length), *state, report);
            at += 2 + length;
        }
        if (cut && state->isLabelled) report.cut(state->watch, *cut, segment);
        // A long key exchange may fill the prefix before data comes: what is behind it is data.
        if (state->prefixes[0].isFull() && state->prefixes[1].isFull() && state->isCertain &&
            !(state->sawData[0] && state->sawData[1])) {
            report.phase(Phase::Established);
            state->packets = kMostPackets;
        }
    }
    const bool isDone = (state->isCertain && state->sawData[0] && state->sawData[1]) ||
                        state->packets >= kMostPackets;
    if (!isDone) return {.next = Attention::Next::Watch};
    m_states.forget(flow.id);
    return {.next = Attention::Next::Ignore};
}

void OpenVpnRecogniser::flowClosed(Instant, FlowId flow, FlowEnd, Actions&)
{
    m_states.forget(flow);
}

}  // namespace engine::passthrough
