#include "engine/lab/self_test.h"

#include "engine/lab/claims.h"
#include "engine/lab/ipsec.h"
#include "engine/lab/l2tp.h"
#include "engine/lab/openvpn.h"
#include "engine/lab/portless.h"
#include "engine/lab/pptp.h"
#include "engine/lab/scenario.h"
#include "engine/lab/tls_vpn.h"
#include "engine/lab/wireguard.h"

namespace engine::lab {

namespace {

using net::VpnProtocol;
using policy::PassthroughMode;

constexpr net::Ipv4Address kServer{198, 51, 100, 10};
constexpr Duration kLength = 20s;
/// A VPN in TLS can be told from a web page only once its DTLS channel appears.
constexpr Duration kRecognisedWithin = 5s;

struct Cast {
    Host& server;
    Host& one;
    Host& two;
};

void castPortless(const Cast& cast, PortlessKind kind)
{
    cast.server.run<PortlessServer>(kind);
    cast.one.run<PortlessClient>(PortlessClient::Options{.server = kServer, .kind = kind, .id = 1});
    cast.two.run<PortlessClient>(PortlessClient::Options{.server = kServer, .kind = kind, .id = 2});
}

void castIpsec(const Cast& cast, bool natTraversal)
{
    cast.server.run<IpsecGateway>();
    IpsecClient::Options options{
        .gateway = kServer, .natTraversal = natTraversal, .rekeyEvery = 8s};
    cast.one.run<IpsecClient>(options);
    options.startAfter = 50ms;
    cast.two.run<IpsecClient>(options);
}

void castTls(const Cast& cast, TlsVpnKind kind)
{
    cast.server.run<TlsVpnServer>(kind);
    cast.one.run<TlsVpnClient>(TlsVpnClient::Options{.server = kServer, .kind = kind});
    cast.two.run<TlsVpnClient>(TlsVpnClient::Options{.server = kServer, .kind = kind});
}

/// False if no simulated program speaks the protocol.
bool castFor(VpnProtocol protocol, const Cast& cast)
{
    switch (protocol) {
    case VpnProtocol::Pptp: {
        cast.server.run<PptpServer>();
        const PptpClient::Options options{.server = kServer, .callId = 1};
        cast.one.run<PptpClient>(options);
        cast.two.run<PptpClient>(options);
        return true;
    }
    case VpnProtocol::IpsecEsp: castIpsec(cast, false); return true;
    case VpnProtocol::IpsecNatT: castIpsec(cast, true); return true;
    case VpnProtocol::L2tp: {
        cast.server.run<L2tpServer>(L2tpServer::Options{.replies = L2tpReplies::AlwaysTo1701});
        const L2tpClient::Options options{.server = kServer, .tunnelId = std::uint16_t{1}};
        cast.one.run<L2tpClient>(options);
        cast.two.run<L2tpClient>(options);
        return true;
    }
    case VpnProtocol::Gre: castPortless(cast, PortlessKind::GreKeyed); return true;
    case VpnProtocol::Eoip: castPortless(cast, PortlessKind::Eoip); return true;
    case VpnProtocol::SixInFour: castPortless(cast, PortlessKind::SixInFour); return true;
    case VpnProtocol::IpIp: castPortless(cast, PortlessKind::IpIp); return true;
    case VpnProtocol::OpenVpn: {
        cast.server.run<OpenVpnServer>();
        cast.one.run<OpenVpnClient>(OpenVpnClient::Options{.server = kServer});
        cast.two.run<OpenVpnClient>(OpenVpnClient::Options{.server = kServer});
        return true;
    }
    case VpnProtocol::WireGuard: {
        cast.server.run<WireGuardServer>();
        const WireGuardClient::Options options{.server = {kServer, kWireGuardPort},
                                               .port = kWireGuardPort};
        cast.one.run<WireGuardClient>(options);
        cast.two.run<WireGuardClient>(options);
        return true;
    }
    case VpnProtocol::AnyConnect: castTls(cast, TlsVpnKind::WithDtls); return true;
    case VpnProtocol::L2tpV3:
    case VpnProtocol::EtherIp:
    case VpnProtocol::Ah:
    case VpnProtocol::Sstp:
    case VpnProtocol::SoftEther:
    case VpnProtocol::Tailscale:
    case VpnProtocol::CloudflareWarp:
    case VpnProtocol::Teredo:
    case VpnProtocol::GlobalProtect:
    case VpnProtocol::ZeroTier:
    case VpnProtocol::Nebula:
    case VpnProtocol::Tinc:
    case VpnProtocol::FortiClient: return false;
    }
    return false;
}

/// Empty if the switch does what its position promises.
std::string complaint(VpnProtocol protocol, PassthroughMode mode, std::uint64_t early, Lab& lab)
{
    for (const Check& check : lab.results()) {
        if (!check.passed) return "This does not hold: " + check.what + " (" + check.detail + ").";
    }
    const PeerReport one = lab.reportOf(net::Ipv4Address{192, 168, 77, 11});
    const PeerReport two = lab.reportOf(net::Ipv4Address{192, 168, 77, 12});
    const Counters counters = lab.snapshot().counters;
    const bool bothTalk = one.up && two.up && one.received > 0 && two.received > 0;
    switch (mode) {
    case PassthroughMode::Assist:
        if (bothTalk) return {};
        return "Of two clients of one server, not both came up: " + describe(one) + "; " +
               describe(two) + ".";
    case PassthroughMode::Plain:
        if (counters.helperEdits != 0) return "A helper has changed packets.";
        if (net::textOf(protocol).needsHelp || bothTalk) return {};
        return "Of two clients of one server, not both came up.";
    case PassthroughMode::Block:
        if (one.received + two.received != early) {
            return "A client came up although it is blocked.";
        }
        for (const tunnel::Tunnel& shown : lab.snapshot().tunnels) {
            if (shown.protocol == protocol && !tunnel::isOver(shown.phase)) {
                return "A tunnel lives although it is blocked.";
            }
        }
        if (counters.drops[static_cast<std::size_t>(DropReason::PassthroughOff)] == 0) {
            return "No refusal was counted.";
        }
        return {};
    }
    return {};
}

}  // namespace

SelfTestResult selfTest(net::VpnProtocol protocol, const policy::PassthroughSwitch& position,
                        HashKey seed, Instant now)
{
    EngineConfig config = labConfig(seed);
    config.maxSessions = 1024;
    config.passthrough.set(protocol, {.mode = position.mode, .exceptions = {}});
    Lab lab{config, now};
    const Cast cast{
        .server = lab.network().addExternal("server", kServer),
        .one = lab.network().addInternal("one", net::Ipv4Address{192, 168, 77, 11}),
        .two = lab.network().addInternal("two", net::Ipv4Address{192, 168, 77, 12}),
    };
    SelfTestResult result;
    result.at = now;
    if (!castFor(protocol, cast)) {
        result.why = "No simulated program speaks this protocol.";
        return result;
    }
    lab.advance(kRecognisedWithin);
    PeerReport clients = lab.reportOf(cast.one.address());
    clients += lab.reportOf(cast.two.address());
    lab.advance(kLength - kRecognisedWithin);
    result.why = complaint(protocol, position.mode, clients.received, lab);
    result.outcome =
        result.why.empty() ? SelfTestResult::Outcome::Passed : SelfTestResult::Outcome::Failed;
    return result;
}

}  // namespace engine::lab
