#include "app/words.h"

#include <array>
#include <charconv>
#include <cstddef>

namespace app {

namespace {

using engine::CommandError;
using engine::net::IpProtocol;

/// The words of one enumeration, in its order.
template <typename Enum>
struct Words;

template <>
struct Words<engine::tunnel::Confidence> {
    static constexpr std::array<std::string_view, 3> kList{"guess", "likely", "certain"};
};
template <>
struct Words<engine::tunnel::Phase> {
    static constexpr std::array<std::string_view, engine::tunnel::kPhaseCount> kList{
        "seen",     "handshaking", "authenticating", "establishing", "established", "rekeying",
        "degraded", "closing",     "closed",         "dead",         "failed",      "refused",
        "held"};
};
template <>
struct Words<engine::tunnel::Lane> {
    static constexpr std::array<std::string_view, 3> kList{"client", "router", "server"};
};
template <>
struct Words<engine::tunnel::EventKind> {
    static constexpr std::array<std::string_view, engine::tunnel::kEventKindCount> kList{
        "control-opened",
        "control-message",
        "id-rewritten",
        "call-agreed",
        "data-first-outbound",
        "data-first-inbound",
        "nat-detected",
        "floated-to-4500",
        "key-exchange",
        "spi-bound",
        "spi-rebound",
        "rekeyed",
        "keepalive",
        "retransmitted",
        "authentication-failed",
        "port-floated",
        "legacy-port-500",
        "phase-changed",
        "went-silent",
        "resumed",
        "loss-high",
        "held",
        "released",
        "dropped-by-switch",
        "peer-closed",
        "timed-out",
        "reset-by",
        "icmp-error",
        "external-address-changed",
        "finding-raised",
        "likely-deleted"};
};
template <>
struct Words<engine::tunnel::PassageKind> {
    static constexpr std::array<std::string_view, 10> kList{
        "unknown",   "port-translated", "call-id",       "spi-pair",   "cookie-matched",
        "tunnel-id", "gre-key",         "inner-address", "session-id", "only-client"};
};
template <>
struct Words<engine::tunnel::FindingKind> {
    static constexpr std::array<std::string_view, engine::tunnel::kFindingKindCount> kList{
        "no-answer-from-server",
        "gre-never-returns",
        "gre-unknown-call",
        "helper-off",
        "esp-never-returns",
        "port-4500-never-seen",
        "fragments-lost",
        "ah-cannot-pass",
        "mtu-black-hole",
        "inbound-only",
        "outbound-only",
        "server-allows-one-client",
        "authentication-refused",
        "weak-crypto",
        "blocked-by-own-rule",
        "upstream-nat",
        "high-loss",
        "cut-after-hello",
        "same-subnet"};
};
template <>
struct Words<engine::TcpState> {
    static constexpr std::array<std::string_view, 8> kList{
        "none",         "outbound-init", "inbound-init", "established",
        "outbound-fin", "inbound-fin",   "both-fin",     "transitory"};
};
template <>
struct Words<engine::SelfTestResult::Outcome> {
    static constexpr std::array<std::string_view, 3> kList{"never-run", "passed", "failed"};
};
template <>
struct Words<engine::policy::PassthroughMode> {
    static constexpr std::array<std::string_view, 3> kList{"assist", "plain", "block"};
};
template <>
struct Words<engine::policy::OnLive> {
    static constexpr std::array<std::string_view, 3> kList{"hold", "finish", "drop"};
};
template <>
struct Words<engine::policy::DeviceAccess> {
    static constexpr std::array<std::string_view, 3> kList{"allow", "block", "vpn-only"};
};
template <>
struct Words<engine::ForwardObstacle> {
    static constexpr std::array<std::string_view, 2> kList{"port-of-host", "device-elsewhere"};
};
template <>
struct Words<engine::io::HeldSetting::Kind> {
    static constexpr std::array<std::string_view, engine::io::HeldSetting::kKindCount> kList{
        "card", "qdisc", "filter", "traffic", "answered-address"};
};
template <>
struct Words<engine::nat::Behaviour> {
    static constexpr std::array<std::string_view, 3> kList{
        "endpoint-independent", "address-dependent", "address-and-port-dependent"};
};

template <>
struct Words<engine::nat::PingsFromOutside> {
    static constexpr std::array<std::string_view, 3> kList{"small", "all", "none"};
};

template <typename Enum>
std::string_view lookUp(Enum value)
{
    const auto index = static_cast<std::size_t>(value);
    return index < Words<Enum>::kList.size() ? Words<Enum>::kList[index] : "unknown";
}

struct ProtocolWord {
    IpProtocol protocol;
    std::string_view word;
};
constexpr std::array kProtocolWords{
    ProtocolWord{IpProtocol::Icmp, "icmp"},     ProtocolWord{IpProtocol::IpIp, "ipip"},
    ProtocolWord{IpProtocol::Tcp, "tcp"},       ProtocolWord{IpProtocol::Udp, "udp"},
    ProtocolWord{IpProtocol::Dccp, "dccp"},     ProtocolWord{IpProtocol::SixInFour, "6in4"},
    ProtocolWord{IpProtocol::Gre, "gre"},       ProtocolWord{IpProtocol::Esp, "esp"},
    ProtocolWord{IpProtocol::Ah, "ah"},         ProtocolWord{IpProtocol::EtherIp, "etherip"},
    ProtocolWord{IpProtocol::IpComp, "ipcomp"}, ProtocolWord{IpProtocol::L2tpV3, "l2tpv3"},
    ProtocolWord{IpProtocol::Sctp, "sctp"},     ProtocolWord{IpProtocol::UdpLite, "udplite"},
};

std::string hex(std::uint32_t value)
{
    std::array<char, 8> digits{};
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value, 16).ptr;
    return "0x" + std::string(digits.data(), end);
}

}  // namespace

std::string_view wordOf(engine::tunnel::Confidence value)
{
    return lookUp(value);
}
std::string_view wordOf(engine::tunnel::Phase value)
{
    return lookUp(value);
}
std::string_view wordOf(engine::tunnel::Lane value)
{
    return lookUp(value);
}
std::string_view wordOf(engine::tunnel::EventKind value)
{
    return lookUp(value);
}
std::string_view wordOf(engine::tunnel::PassageKind value)
{
    return lookUp(value);
}
std::string_view wordOf(engine::tunnel::FindingKind value)
{
    return lookUp(value);
}
std::string_view wordOf(engine::TcpState value)
{
    return lookUp(value);
}
std::string_view wordOf(engine::SelfTestResult::Outcome value)
{
    return lookUp(value);
}
std::string_view wordOf(engine::policy::PassthroughMode value)
{
    return lookUp(value);
}
std::string_view wordOf(engine::policy::OnLive value)
{
    return lookUp(value);
}
std::string_view wordOf(engine::policy::DeviceAccess value)
{
    return lookUp(value);
}
std::string_view wordOf(engine::ForwardObstacle value)
{
    return lookUp(value);
}
std::string_view wordOf(engine::io::HeldSetting::Kind value)
{
    return lookUp(value);
}
std::string_view wordOf(engine::nat::Behaviour value)
{
    return lookUp(value);
}
std::string_view wordOf(engine::nat::PingsFromOutside value)
{
    return lookUp(value);
}

std::string wordOf(IpProtocol value)
{
    for (const auto& entry : kProtocolWords) {
        if (entry.protocol == value) return std::string(entry.word);
    }
    return std::to_string(static_cast<unsigned>(value));
}

template <typename Enum>
std::optional<Enum> fromWord(std::string_view word)
{
    const auto& list = Words<Enum>::kList;
    for (std::size_t i = 0; i < list.size(); ++i) {
        if (list[i] == word) return static_cast<Enum>(i);
    }
    return std::nullopt;
}

template std::optional<engine::tunnel::Confidence> fromWord(std::string_view);
template std::optional<engine::tunnel::Phase> fromWord(std::string_view);
template std::optional<engine::tunnel::Lane> fromWord(std::string_view);
template std::optional<engine::tunnel::EventKind> fromWord(std::string_view);
template std::optional<engine::tunnel::PassageKind> fromWord(std::string_view);
template std::optional<engine::tunnel::FindingKind> fromWord(std::string_view);
template std::optional<engine::TcpState> fromWord(std::string_view);
template std::optional<engine::SelfTestResult::Outcome> fromWord(std::string_view);
template std::optional<engine::policy::PassthroughMode> fromWord(std::string_view);
template std::optional<engine::policy::OnLive> fromWord(std::string_view);
template std::optional<engine::policy::DeviceAccess> fromWord(std::string_view);
template std::optional<engine::ForwardObstacle> fromWord(std::string_view);
template std::optional<engine::nat::Behaviour> fromWord(std::string_view);
template std::optional<engine::io::HeldSetting::Kind> fromWord(std::string_view);
template std::optional<engine::nat::PingsFromOutside> fromWord(std::string_view);

std::optional<IpProtocol> ipProtocolFromWord(std::string_view word)
{
    for (const auto& entry : kProtocolWords) {
        if (entry.word == word) return entry.protocol;
    }
    std::uint8_t number = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
    if (error != std::errc{} || end != word.data() + word.size()) return std::nullopt;
    return static_cast<IpProtocol>(number);
}

std::string_view sentenceOf(CommandError error)
{
    switch (error) {
    case CommandError::NoSuchTunnel: return "There is no live tunnel of that number.";
    case CommandError::NoSuchSession: return "There is no live session of that number.";
    case CommandError::PortInUse: return "That external port is used by this computer itself.";
    case CommandError::ForwardsOverlap:
        return "Another enabled port forward already uses a port of that range.";
    case CommandError::RangeInverted: return "The range ends before it begins.";
    case CommandError::NotInternal: return "The internal address is not in the internal network.";
    case CommandError::NotExternal: return "The external address is not one of ours.";
    case CommandError::TooManyAddresses: return "There are too many external addresses.";
    case CommandError::PrefixesOverlap: return "The internal and the external network overlap.";
    case CommandError::TimerTooShort: return "A timer is shorter than its RFC allows.";
    case CommandError::PortIsProtocol:
        return "GRE is IP protocol 47, not port 47: forward the protocol gre instead.";
    case CommandError::DuplicateAddress: return "The address already has a rule.";
    case CommandError::TimerTooLong: return "No timer may be longer than seven days.";
    case CommandError::NotADevice:
        return "That address is the router's own or the network's, and no device has it.";
    case CommandError::ProtocolNotForwarded:
        return "That protocol cannot pass address translation; tcp, udp, gre, esp, ipip, 6in4, "
               "etherip and l2tpv3 can be forwarded.";
    case CommandError::OnlyAddress:
        return "No external address would be left for this computer and the other devices: expose "
               "the device instead.";
    case CommandError::NoSelfTest: return "There is no self-test for this protocol.";
    case CommandError::NothingHeld: return "No tunnel of this protocol is held.";
    }
    return "The router refused the command.";
}

std::string_view sentenceOf(engine::ForwardObstacle obstacle)
{
    switch (obstacle) {
    case engine::ForwardObstacle::PortOfHost:
        return "a program of this computer has the external port";
    case engine::ForwardObstacle::DeviceElsewhere:
        return "the device's address is not one of the internal network";
    }
    return "";
}

std::string passageText(const engine::tunnel::Passage& passage)
{
    using engine::tunnel::PassageKind;
    const std::string pair =
        std::to_string(passage.internalId) + " -> " + std::to_string(passage.externalId);
    switch (passage.kind) {
    case PassageKind::Unknown: return "not known yet";
    case PassageKind::PortTranslated: return "port " + pair;
    case PassageKind::CallId: return "Call ID " + pair;
    case PassageKind::SpiPair:
        return "SPI " + hex(passage.internalId) + " out, " + hex(passage.externalId) + " in";
    case PassageKind::CookieMatched: return "port 500, told apart by cookie";
    case PassageKind::TunnelId: return "tunnel ID " + pair;
    case PassageKind::GreKey: return "key " + hex(passage.internalId);
    case PassageKind::InnerAddress: return "told apart by inner address";
    case PassageKind::SessionId: return "session ID " + pair;
    case PassageKind::OnlyClient: return "only client of this server";
    }
    return {};
}

}  // namespace app
