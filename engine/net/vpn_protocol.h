#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace engine::net {

/// The VPN protocols the engine tells apart. One passthrough switch and one card each.
enum class VpnProtocol : std::uint8_t {
    Pptp,
    IpsecEsp,   ///< IKE on 500 with plain ESP (no NAT-T)
    IpsecNatT,  ///< IKE and ESP in UDP 4500, both IKE versions
    L2tp,       ///< L2TPv2, RFC 2661
    L2tpV3,     ///< RFC 3931, over IP 115 or UDP
    Gre,        ///< GRE version 0
    Eoip,
    SixInFour,
    IpIp,
    EtherIp,
    Ah,
    OpenVpn,
    WireGuard,
    Sstp,
    AnyConnect,  ///< Cisco AnyConnect, OpenConnect, ocserv
    SoftEther,
    Tailscale,
    CloudflareWarp,
    Teredo,
    GlobalProtect,
    ZeroTier,
    Nebula,
    Tinc,
    FortiClient,
};

/// From which packet on Block can refuse a new tunnel: as early as the signature allows.
enum class RefusedFrom : std::uint8_t {
    FirstPacket,
    /// What comes first looks like something else: TLS like a web page, IKE before it shows whether
    /// it floats to 4500, WARP's packets on other protocols' ports like theirs. The tunnel ends,
    /// with all its connections, at the packet that shows what it is.
    Recognition,
    /// It never shows itself for certain: only servers that an exception names are refused.
    NamedServer,
};

struct VpnProtocolText {
    VpnProtocol protocol;
    std::string_view word;  ///< on the command line and in databases; stable
    std::string_view name;  ///< for people; a proper name, not translated
    bool needsHelp;         ///< cannot cross a shared address without the router's help
    RefusedFrom refusedFrom = RefusedFrom::FirstPacket;
};

// clang-format off
inline constexpr std::array kVpnProtocols{
    VpnProtocolText{VpnProtocol::Pptp,           "pptp",          "PPTP",            true},
    VpnProtocolText{VpnProtocol::IpsecEsp,       "ipsec",         "IPsec ESP",       true, RefusedFrom::Recognition},
    VpnProtocolText{VpnProtocol::IpsecNatT,      "ipsec-natt",    "IPsec NAT-T / IKEv2", false},
    VpnProtocolText{VpnProtocol::L2tp,           "l2tp",          "L2TP",            true},
    VpnProtocolText{VpnProtocol::L2tpV3,         "l2tpv3",        "L2TPv3",          true},
    VpnProtocolText{VpnProtocol::Gre,            "gre",           "GRE",             true},
    VpnProtocolText{VpnProtocol::Eoip,           "eoip",          "EoIP",            true},
    VpnProtocolText{VpnProtocol::SixInFour,      "6in4",          "6in4",            true},
    VpnProtocolText{VpnProtocol::IpIp,           "ipip",          "IPIP",            true},
    VpnProtocolText{VpnProtocol::EtherIp,        "etherip",       "EtherIP",         true},
    VpnProtocolText{VpnProtocol::Ah,             "ah",            "IPsec AH",        true},
    VpnProtocolText{VpnProtocol::OpenVpn,        "openvpn",       "OpenVPN",         false},
    VpnProtocolText{VpnProtocol::WireGuard,      "wireguard",     "WireGuard",       false},
    VpnProtocolText{VpnProtocol::Sstp,           "sstp",          "SSTP",            false, RefusedFrom::NamedServer},
    VpnProtocolText{VpnProtocol::AnyConnect,     "anyconnect",    "AnyConnect",      false, RefusedFrom::Recognition},
    VpnProtocolText{VpnProtocol::SoftEther,      "softether",     "SoftEther",       false, RefusedFrom::Recognition},
    VpnProtocolText{VpnProtocol::Tailscale,      "tailscale",     "Tailscale",       false},
    VpnProtocolText{VpnProtocol::CloudflareWarp, "warp",          "Cloudflare WARP", false, RefusedFrom::Recognition},
    VpnProtocolText{VpnProtocol::Teredo,         "teredo",        "Teredo",          false},
    VpnProtocolText{VpnProtocol::GlobalProtect,  "globalprotect", "GlobalProtect",   false, RefusedFrom::Recognition},
    VpnProtocolText{VpnProtocol::ZeroTier,       "zerotier",      "ZeroTier",        false},
    VpnProtocolText{VpnProtocol::Nebula,         "nebula",        "Nebula",          false},
    VpnProtocolText{VpnProtocol::Tinc,           "tinc",          "tinc",            false},
    VpnProtocolText{VpnProtocol::FortiClient,    "forticlient",   "FortiClient",     false, RefusedFrom::Recognition},
};
// clang-format on
inline constexpr std::size_t kVpnProtocolCount = kVpnProtocols.size();

static_assert([] {
    for (std::size_t i = 0; i < kVpnProtocolCount; ++i) {
        if (static_cast<std::size_t>(kVpnProtocols[i].protocol) != i) return false;
    }
    return true;
}());

[[nodiscard]] constexpr const VpnProtocolText& textOf(VpnProtocol protocol)
{
    return kVpnProtocols[static_cast<std::size_t>(protocol)];
}

/// The protocol that the command line calls so.
[[nodiscard]] constexpr std::optional<VpnProtocol> vpnProtocolFromWord(std::string_view word)
{
    for (const auto& text : kVpnProtocols) {
        if (text.word == word) return text.protocol;
    }
    return std::nullopt;
}

}  // namespace engine::net
