#include "engine/passthrough/hello_watch.h"

#include <algorithm>
#include <string>

namespace engine::passthrough {
namespace {

using namespace std::chrono_literals;

// RFC 9293 §3.1.
constexpr std::uint8_t kFin = 0x01;
constexpr std::uint8_t kReset = 0x04;

// Ours.
/// TCP repeats after about a third of a second, then waits twice as long each time.
constexpr std::uint32_t kSentInVain = 4;
constexpr Duration kInVain = 4s;
/// What is lost because it is too large for the path says nothing about what it asks for.
constexpr std::size_t kLarge = 1200;
/// IPv4's and TCP's headers.
constexpr std::size_t kProof = 40;

}  // namespace

wire::ConstBytes HelloWatch::headersOf(wire::ConstBytes packet)
{
    return packet.first(std::min(packet.size(), kProof));
}

std::optional<HelloWatch::Cut> HelloWatch::take(Instant now, net::Direction client,
                                                const Segment& segment)
{
    if (m_isOver) return std::nullopt;
    if (segment.direction == client) {
        // A client that gives up by itself has not been cut off.
        m_isOver = (segment.tcpFlags & (kFin | kReset)) != 0;
        if (m_isOver || segment.payload.empty()) return std::nullopt;
        m_isLarge = m_isLarge || segment.payload.size() >= kLarge;
        if (m_times == 0) {
            m_times = 1;
            m_sequence = segment.sequence;
            m_first = now;
            const auto headers = headersOf(segment.packet);
            m_proof.assign(headers.begin(), headers.end());
            return std::nullopt;
        }
        if (segment.sequence != m_sequence) return std::nullopt;
        ++m_times;
        if (m_isLarge || m_times < kSentInVain || now - m_first < kInVain) return std::nullopt;
        m_isOver = true;
        return Cut::Swallowed;
    }
    if (m_times == 0) return std::nullopt;
    if ((segment.tcpFlags & kReset) != 0) {
        m_isOver = true;
        return Cut::Reset;
    }
    if (!segment.payload.empty()) {
        m_isOver = true;
        return std::nullopt;
    }
    if ((segment.tcpFlags & kFin) == 0) return std::nullopt;
    m_isOver = true;
    return Cut::Closed;
}

bool isNamedForVpn(std::string_view serverName)
{
    std::string name{serverName};
    std::ranges::transform(name, name.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    return name.find("vpn") != std::string::npos || name.starts_with("sstp.");
}

}  // namespace engine::passthrough
