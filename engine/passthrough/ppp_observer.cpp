#include "engine/passthrough/ppp_observer.h"

#include <algorithm>

namespace engine::passthrough {

namespace {

using tunnel::Phase;

// PPP protocol numbers (IANA).
constexpr std::uint16_t kIp = 0x0021;
constexpr std::uint16_t kIpv6 = 0x0057;
constexpr std::uint16_t kCompressed = 0x00fd;  // MPPE and MPPC (RFC 3078)
constexpr std::uint16_t kIpcp = 0x8021;
constexpr std::uint16_t kIpv6cp = 0x8057;
constexpr std::uint16_t kCcp = 0x80fd;
constexpr std::uint16_t kLcp = 0xc021;
constexpr std::uint16_t kPap = 0xc023;
constexpr std::uint16_t kChap = 0xc223;
constexpr std::uint16_t kEap = 0xc227;

// RFC 1661 §5, RFC 1334 §2.2, RFC 1994 §4, RFC 3748 §4.
constexpr std::uint8_t kConfigureRequest = 1;
constexpr std::uint8_t kConfigureAck = 2;
constexpr std::uint8_t kConfigureReject = 4;
constexpr std::uint8_t kTerminateRequest = 5;
constexpr std::uint8_t kEchoRequest = 9;
constexpr std::uint8_t kEchoReply = 10;
constexpr std::uint8_t kPapNak = 3;
constexpr std::uint8_t kFailure = 4;

// RFC 3078 §2.1: MPPE's bits in CCP option 18.
constexpr std::uint8_t kMppeOption = 18;
/// RFC 1332 §3.3.
constexpr std::uint8_t kAddressOption = 3;
/// RFC 1661 §6.1.
constexpr std::uint8_t kMruOption = 1;
constexpr std::uint16_t kMruDefault = 1500;
constexpr std::uint32_t kMppe128 = 0x40;
constexpr std::uint32_t kMppe56 = 0x80;
constexpr std::uint32_t kMppe40 = 0x20;

/// The number behind "E=" in an MS-CHAP failure (RFC 2433 §6, RFC 2759 §6).
std::uint32_t errorNumber(wire::ConstBytes text)
{
    for (std::size_t i = 0; i + 2 < text.size(); ++i) {
        if (text[i] != 'E' || text[i + 1] != '=') continue;
        std::uint32_t number = 0;
        for (std::size_t at = i + 2; at < text.size() && at < i + 7; ++at) {
            if (text[at] < '0' || text[at] > '9') break;
            number = number * 10 + (text[at] - std::uint32_t{'0'});
        }
        return number;
    }
    return 0;
}

/// The content of an option of a configuration packet; empty if it is not there.
wire::ConstBytes contentOf(wire::ConstBytes packet, std::uint8_t type)
{
    for (std::size_t at = 4; at + 2 <= packet.size();) {
        const std::size_t length = packet[at + 1];
        if (length < 2 || at + length > packet.size()) return {};
        if (packet[at] == type) return packet.subspan(at + 2, length - 2);
        at += length;
    }
    return {};
}
/// The first four octets of it; nothing if it is not there.
std::optional<std::uint32_t> optionOf(wire::ConstBytes packet, std::uint8_t type)
{
    const wire::ConstBytes content = contentOf(packet, type);
    if (content.size() < 4) return std::nullopt;
    return wire::load32(content, 0);
}

bool answers(std::uint8_t reply, std::uint8_t request)
{
    if (request == kEchoRequest) return reply == kEchoReply;
    return reply >= kConfigureAck && reply <= kConfigureReject;
}

}  // namespace

void PppObserver::moveTo(Phase phase, News& news)
{
    if (phase == m_phase) return;
    // Only a new authentication can take an established tunnel back; LCP and NCP go on inside it.
    if (m_phase == Phase::Established) return;
    if (m_phase == Phase::Authenticating && phase == Phase::Handshaking) return;
    m_phase = phase;
    news.phase = phase;
}

/// LCP answers at once, whatever else goes on, so that the time is that of the path.
void PppObserver::measure(Instant now, net::Direction direction, wire::ConstBytes packet,
                          News& news)
{
    const std::uint8_t code = packet[0];
    const std::uint8_t id = packet[1];
    if (direction == net::Direction::Outbound) {
        if (code != kEchoRequest && code != kConfigureRequest) return;
        const bool again = m_question.code == code && m_question.id == id;
        if (again) {
            m_question.repeated = true;
        } else {
            m_question = {now, code, id, false};
        }
        return;
    }
    if (m_question.code == 0 || m_question.id != id || !answers(code, m_question.code)) return;
    if (!m_question.repeated) news.roundTrip = now - m_question.at;
    m_question = {};
}

void PppObserver::observeLcp(Instant now, net::Direction direction, wire::ConstBytes packet,
                             News& news)
{
    if (packet.size() < 4) return;
    const std::size_t length = wire::load16(packet, 2);
    if (length < 4 || length > packet.size()) return;
    packet = packet.first(length);
    measure(now, direction, packet, news);
    if (packet[0] == kConfigureAck) {
        // It repeats what the other side wants to receive.
        const wire::ConstBytes mru = contentOf(packet, kMruOption);
        m_mru[static_cast<std::size_t>(direction)] =
            mru.size() == 2 ? wire::load16(mru, 0) : kMruDefault;
        const std::uint16_t mtu = std::min(m_mru[0], m_mru[1]);
        if (mtu != 0 && mtu != m_mtuTold) news.mtu = m_mtuTold = mtu;
    }
    if (packet[0] == kTerminateRequest) {
        news.terminating = !m_terminating;
        m_terminating = true;
        return;
    }
    if (m_phase == Phase::Seen) moveTo(Phase::Establishing, news);
}

void PppObserver::observeAuthentication(std::uint16_t protocol, wire::ConstBytes packet, News& news)
{
    if (packet.empty()) return;
    moveTo(Phase::Authenticating, news);
    const bool refused = protocol == kPap ? packet[0] == kPapNak : packet[0] == kFailure;
    if (!refused) return;
    news.authenticationError =
        protocol == kChap && packet.size() > 4 ? errorNumber(packet.subspan(4)) : 0U;
}

void PppObserver::observeNetwork(std::uint16_t protocol, net::Direction direction,
                                 wire::ConstBytes packet, News& news)
{
    if (packet.empty()) return;
    if (m_phase != Phase::Established) moveTo(Phase::Establishing, news);
    if (packet[0] != kConfigureAck) return;
    if (protocol == kCcp) {
        const auto bits = optionOf(packet, kMppeOption);
        if (!bits || m_weaknessTold || (*bits & kMppe128) != 0) return;
        if ((*bits & (kMppe56 | kMppe40)) == 0) return;
        news.weakBits = (*bits & kMppe56) != 0 ? 56U : 40U;
        m_weaknessTold = true;
        return;
    }
    const auto way = static_cast<std::size_t>(direction);
    m_addressAgreed[way] = true;
    if (protocol == kIpcp) {
        const net::Ipv4Address inner{optionOf(packet, kAddressOption).value_or(0)};
        if (!inner.isUnspecified() && inner != m_innerTold[way]) {
            m_innerTold[way] = inner;
            news.innerAddress = inner;
        }
    }
    if (m_addressAgreed[0] && m_addressAgreed[1]) moveTo(Phase::Established, news);
}

PppObserver::News PppObserver::observe(Instant now, net::Direction direction,
                                       wire::ConstBytes frame)
{
    News news;
    // Address and control may be compressed away, and the protocol to one octet (RFC 1661
    // §6.5, 6.6).
    if (frame.size() >= 2 && frame[0] == 0xff && frame[1] == 0x03) frame = frame.subspan(2);
    if (frame.empty()) return news;
    std::uint16_t protocol = frame[0];
    std::size_t header = 1;
    if ((frame[0] & 1U) == 0) {
        if (frame.size() < 2) return news;
        protocol = wire::load16(frame, 0);
        header = 2;
    }
    const wire::ConstBytes packet = frame.subspan(header);
    switch (protocol) {
    case kLcp: observeLcp(now, direction, packet, news); break;
    case kPap:
    case kChap:
    case kEap: observeAuthentication(protocol, packet, news); break;
    case kIpcp:
    case kIpv6cp:
    case kCcp: observeNetwork(protocol, direction, packet, news); break;
    case kIp:
    case kIpv6:
    case kCompressed:
        m_dataSeen[static_cast<std::size_t>(direction)] = true;
        if (m_dataSeen[0] && m_dataSeen[1]) {
            moveTo(Phase::Established, news);
            if (protocol != kCompressed && !m_weaknessTold) {
                news.weakBits = 0;
                m_weaknessTold = true;
            }
        }
        break;
    default: break;
    }
    return news;
}

}  // namespace engine::passthrough
