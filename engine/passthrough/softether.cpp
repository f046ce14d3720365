#include "engine/passthrough/softether.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace engine::passthrough {
namespace {

using net::VpnProtocol;
using tunnel::Confidence;
using tunnel::EventKind;

// Seen in SoftEther VPN's source.
constexpr net::Port kNatTraversalPort{5004};
constexpr std::uint8_t kPoll = 'A';
constexpr std::array<std::string_view, 3> kNames{".softether.net", ".vpnazure.net",
                                                 ".softether-network.net"};

char lower(char letter)
{
    return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
}

bool startsWith(wire::ConstBytes payload, std::string_view text)
{
    return payload.size() >= text.size() && std::equal(text.begin(), text.end(), payload.begin());
}

/// "IP=203.0.113.7,PORT=40000": digits and dots, then the port.
bool isAnswer(wire::ConstBytes payload)
{
    constexpr std::string_view kStart = "IP=";
    constexpr std::string_view kPort = ",PORT=";
    if (!startsWith(payload, kStart)) return false;
    const std::string_view::size_type longest = 64;
    std::string text(payload.begin(), payload.begin() + static_cast<std::ptrdiff_t>(
                                                            std::min(payload.size(), longest)));
    const auto port = text.find(kPort);
    if (port == std::string::npos) return false;
    const auto address =
        net::Ipv4Address::parse(std::string_view(text).substr(kStart.size(), port - kStart.size()));
    const std::size_t digit = port + kPort.size();
    return address.has_value() && digit < text.size() && text[digit] >= '0' && text[digit] <= '9';
}

}  // namespace

bool isSoftEtherName(std::string_view serverName)
{
    return std::ranges::any_of(kNames, [&](std::string_view name) {
        return serverName.size() > name.size() &&
               std::equal(name.begin(), name.end(),
                          serverName.end() - static_cast<std::ptrdiff_t>(name.size()),
                          [](char a, char b) { return a == lower(b); });
    });
}

Inspector::Opening SoftEtherRecogniser::opening() const
{
    return {.tcp = false, .remotePort = kNatTraversalPort};
}

Inspector::Claim SoftEtherRecogniser::consider(Instant now, const Flow& flow,
                                               const Segment& segment)
{
    if (flow.protocol != net::IpProtocol::Udp || flow.remote.port != kNatTraversalPort) {
        return Claim::NotMine;
    }
    if (segment.direction == net::Direction::Outbound) {
        const bool isPoll = segment.payload.size() == 1 && segment.payload[0] == kPoll;
        if (State* const state = isPoll ? m_states.obtain(flow.id) : nullptr) {
            state->asked = now;
            return isBlocked(m_policy, VpnProtocol::SoftEther, flow) ? Claim::Claimed
                                                                     : Claim::Undecided;
        }
    } else if (m_states.find(flow.id) != nullptr && isAnswer(segment.payload)) {
        return Claim::Claimed;
    }
    m_states.forget(flow.id);
    return Claim::NotMine;
}

Attention SoftEtherRecogniser::inspect(Instant now, const Flow& flow, const Segment& segment,
                                       Actions& actions)
{
    Report report(flow, keyOf(flow, VpnProtocol::SoftEther, KeyScope::PerFlow), actions);
    const bool isAnswer = segment.direction == net::Direction::Inbound;
    report.label(VpnProtocol::SoftEther, isAnswer ? Confidence::Certain : Confidence::Likely);
    report.attach(tunnel::SequenceKind::None);
    report.event(EventKind::NatDetected, segment.direction);
    if (const State* const state = m_states.find(flow.id)) report.roundTrip(now - state->asked);
    report.phase(tunnel::Phase::Handshaking);
    m_states.forget(flow.id);
    return {.next = Attention::Next::Ignore};
}

void SoftEtherRecogniser::flowClosed(Instant, FlowId flow, FlowEnd, Actions&)
{
    m_states.forget(flow);
}

}  // namespace engine::passthrough
