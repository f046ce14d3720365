#include "engine/lab/clash.h"

#include "engine/lab/ipsec.h"
#include "engine/lab/l2tp.h"
#include "engine/lab/l2tp_v3.h"
#include "engine/lab/openvpn.h"
#include "engine/lab/portless.h"
#include "engine/lab/pptp.h"
#include "engine/lab/signature.h"
#include "engine/lab/tls_vpn.h"
#include "engine/lab/wireguard.h"

namespace engine::lab {

namespace {

using net::VpnProtocol;

void castPortless(const Clash& clash, PortlessKind kind)
{
    clash.server.run<PortlessServer>(kind);
    clash.one.run<PortlessClient>(
        PortlessClient::Options{.server = clash.server.address(), .kind = kind, .id = 1});
    clash.two.run<PortlessClient>(
        PortlessClient::Options{.server = clash.server.address(), .kind = kind, .id = 2});
}

void castIpsec(const Clash& clash, bool natTraversal)
{
    clash.server.run<IpsecGateway>();
    IpsecClient::Options options{
        .gateway = clash.server.address(), .natTraversal = natTraversal, .rekeyEvery = 8s};
    clash.one.run<IpsecClient>(options);
    options.startAfter = 50ms;
    clash.two.run<IpsecClient>(options);
}

void castTls(const Clash& clash, TlsVpnKind kind, std::string_view serverName = "vpn.example.com")
{
    clash.server.run<TlsVpnServer>(kind);
    const TlsVpnClient::Options options{
        .server = clash.server.address(), .kind = kind, .serverName = std::string{serverName}};
    clash.one.run<TlsVpnClient>(options);
    clash.two.run<TlsVpnClient>(options);
}

void castSignature(const Clash& clash, const Signature& signature)
{
    clash.server.run<SignatureServer>(signature);
    const SignatureClient::Options options{.server = clash.server.address(),
                                           .signature = &signature};
    clash.one.run<SignatureClient>(options);
    clash.two.run<SignatureClient>(options);
}

}  // namespace

ClashOutcome clashOutcomeOf(VpnProtocol protocol)
{
    if (protocol == VpnProtocol::Ah) return ClashOutcome::NobodyTalks;
    if (protocol == VpnProtocol::EtherIp) return ClashOutcome::OneTalks;
    return ClashOutcome::BothTalk;
}

DropReason clashRefusalOf(VpnProtocol protocol)
{
    return protocol == VpnProtocol::Ah ? DropReason::AhUntranslatable
                                       : DropReason::OneClientPerServer;
}

void runClash(VpnProtocol protocol, const Clash& clash)
{
    const net::Ipv4Address server = clash.server.address();
    switch (protocol) {
    case VpnProtocol::Pptp: {
        clash.server.run<PptpServer>();
        const PptpClient::Options options{.server = server, .callId = 1};
        clash.one.run<PptpClient>(options);
        clash.two.run<PptpClient>(options);
        return;
    }
    case VpnProtocol::IpsecEsp: castIpsec(clash, false); return;
    case VpnProtocol::IpsecNatT: castIpsec(clash, true); return;
    case VpnProtocol::L2tp: {
        clash.server.run<L2tpServer>(L2tpServer::Options{.replies = L2tpReplies::AlwaysTo1701});
        const L2tpClient::Options options{.server = server, .tunnelId = std::uint16_t{1}};
        clash.one.run<L2tpClient>(options);
        clash.two.run<L2tpClient>(options);
        return;
    }
    case VpnProtocol::Gre: castPortless(clash, PortlessKind::GreKeyed); return;
    case VpnProtocol::Eoip: castPortless(clash, PortlessKind::Eoip); return;
    case VpnProtocol::SixInFour: castPortless(clash, PortlessKind::SixInFour); return;
    case VpnProtocol::IpIp: castPortless(clash, PortlessKind::IpIp); return;
    case VpnProtocol::OpenVpn: {
        clash.server.run<OpenVpnServer>();
        clash.one.run<OpenVpnClient>(OpenVpnClient::Options{.server = server});
        clash.two.run<OpenVpnClient>(OpenVpnClient::Options{.server = server});
        return;
    }
    case VpnProtocol::WireGuard: {
        clash.server.run<WireGuardServer>();
        const WireGuardClient::Options options{.server = {server, kWireGuardPort},
                                               .port = kWireGuardPort};
        clash.one.run<WireGuardClient>(options);
        clash.two.run<WireGuardClient>(options);
        return;
    }
    case VpnProtocol::AnyConnect: castTls(clash, TlsVpnKind::WithDtls); return;
    case VpnProtocol::L2tpV3: {
        clash.server.run<L2tpV3Server>();
        const L2tpV3Client::Options options{.server = server};
        clash.one.run<L2tpV3Client>(options);
        clash.two.run<L2tpV3Client>(options);
        return;
    }
    case VpnProtocol::EtherIp: castPortless(clash, PortlessKind::EtherIp); return;
    case VpnProtocol::Ah: castPortless(clash, PortlessKind::Ah); return;
    case VpnProtocol::Sstp: castTls(clash, TlsVpnKind::TlsOnly); return;
    // Its server's name is what shows; behind it one VPN in TLS looks like another.
    case VpnProtocol::SoftEther:
        castTls(clash, TlsVpnKind::TlsOnly, "office.softether.net");
        return;
    case VpnProtocol::Tailscale:
    case VpnProtocol::CloudflareWarp:
    case VpnProtocol::Teredo:
    case VpnProtocol::GlobalProtect:
    case VpnProtocol::ZeroTier:
    case VpnProtocol::Nebula:
    case VpnProtocol::Tinc:
    case VpnProtocol::FortiClient: castSignature(clash, *signatureOf(protocol)); return;
    }
}

}  // namespace engine::lab
