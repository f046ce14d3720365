#include "engine/lab/claims.h"
#include "engine/lab/clash.h"
#include "engine/lab/ipsec.h"
#include "engine/lab/l2tp.h"
#include "engine/lab/l2tp_v3.h"
#include "engine/lab/openvpn.h"
#include "engine/lab/portless.h"
#include "engine/lab/pptp.h"
#include "engine/lab/scenarios.h"
#include "engine/lab/signature.h"
#include "engine/lab/tls_vpn.h"
#include "engine/lab/wireguard.h"

#include <algorithm>

namespace engine::lab {

namespace {

using net::VpnProtocol;

constexpr net::Ipv4Address kServer{198, 51, 100, 10};
constexpr int kClients = 8;

Host& addClient(Lab& lab, int i)
{
    return lab.network().addInternal(
        "client-" + std::to_string(i + 1),
        net::Ipv4Address{192, 168, 77, static_cast<std::uint8_t>(11 + i)});
}

Host& addServer(Lab& lab)
{
    return lab.network().addExternal("server", kServer);
}

void buildL2tp(Lab& lab, L2tpReplies replies, bool sameTunnelId)
{
    addServer(lab).run<L2tpServer>(L2tpServer::Options{.replies = replies});
    for (int i = 0; i < kClients; ++i) {
        L2tpClient::Options options{.server = kServer, .dialAfter = i * 300ms};
        if (sameTunnelId) options.tunnelId = std::uint16_t{1};
        addClient(lab, i).run<L2tpClient>(options);
    }
    claimAllUp(lab, "all eight are up");
    claimAnswered(lab, 95);
    claimTunnels(lab, VpnProtocol::L2tp, kClients);
    claimInsideShown(lab, VpnProtocol::L2tp);
}

void buildIpsec(Lab& lab, const IpsecGateway::Options& gateway, bool natTraversal, bool mixed)
{
    addServer(lab).run<IpsecGateway>(gateway);
    for (int i = 0; i < kClients; ++i) {
        addClient(lab, i).run<IpsecClient>(IpsecClient::Options{
            .gateway = kServer,
            .version = mixed && i % 2 == 1 ? ike::Version::V1 : ike::Version::V2,
            .natTraversal = natTraversal,
            .rekeyEvery = 2min,
            .startAfter = i * 120ms});
    }
    claimAllUp(lab, "all eight are up");
    claimAnswered(lab, natTraversal ? 98 : 95);
}

}  // namespace

void buildPptpEight(Lab& lab)
{
    addServer(lab).run<PptpServer>(PptpServer::Options{.sameCallIds = true});
    for (int i = 0; i < kClients; ++i) {
        addClient(lab, i).run<PptpClient>(
            PptpClient::Options{.server = kServer, .callId = 1, .calls = 2, .dialAfter = i * 50ms});
    }
    claimAllUp(lab, "all eight are up, each with two calls and all with Call ID 1");
    claimAnswered(lab, 98);
    claimUnbroken(lab);
    claimTunnels(lab, VpnProtocol::Pptp, kClients);
    claimInsideShown(lab, VpnProtocol::Pptp);
}

void buildPptpSplit(Lab& lab)
{
    // Every message is cut at another place, both ways, on a link that loses and reorders.
    addServer(lab).run<PptpServer>(PptpServer::Options{.segmentSize = 5});
    for (int i = 0; i < kClients; ++i) {
        Host& host = addClient(lab, i);
        lab.network().setQuality(host.address(),
                                 {.latency = 1ms, .jitter = 2ms, .loss = 10000, .reorder = 20000});
        host.run<PptpClient>(
            PptpClient::Options{.server = kServer,
                                .callId = 1,
                                .segmentSize = static_cast<std::uint16_t>(1 + i * 3),
                                .dialAfter = i * 1s});
    }
    claimAllUp(lab, "all eight are up");
    claimAnswered(lab, 90);
}

void buildPptpRedial(Lab& lab)
{
    addServer(lab).run<PptpServer>();
    for (int i = 0; i < kClients; ++i) {
        addClient(lab, i).run<PptpClient>(PptpClient::Options{
            .server = kServer, .callId = 7, .callLength = 1min + i * 7s, .redialAfter = 3s});
    }
    claimAnswered(lab, 95);
    lab.claim([](Lab& now) {
        const PeerReport report = now.reportOf(net::Ipv4Address{192, 168, 77, 11});
        return Check{"calls are dialled again and again", report.established >= 8,
                     describe(report)};
    });
    claimUnbroken(lab);
}

void buildPptpServerInside(Lab& lab)
{
    Host& inside = addClient(lab, 0);
    inside.run<PptpServer>();
    policy::PortForward forward;
    forward.id = 1;
    forward.name = "PPTP";
    forward.externalPorts = {pptp::kPort, pptp::kPort};
    forward.internalAddress = inside.address();
    forward.internalFirst = pptp::kPort;
    const auto applied = lab.apply(SetPortForwards{{forward}});
    lab.claim([ok = applied.has_value()](Lab&) { return Check{"the port is forwarded", ok, {}}; });
    for (int i = 0; i < 3; ++i) {
        lab.network()
            .addExternal("caller-" + std::to_string(i + 1),
                         net::Ipv4Address{198, 51, 100, static_cast<std::uint8_t>(21 + i)})
            .run<PptpClient>(PptpClient::Options{
                .server = net::Ipv4Address{203, 0, 113, 2}, .callId = 1, .dialAfter = i * 200ms});
    }
    lab.claim([](Lab& now) {
        PeerReport sum{.up = true};
        for (std::uint8_t i = 0; i < 3; ++i)
            sum += now.reportOf(net::Ipv4Address{198, 51, 100, static_cast<std::uint8_t>(21 + i)});
        return Check{"three callers reach the server inside",
                     sum.up && sum.received * 100 >= sum.sent * 95, describe(sum)};
    });
}

void buildGreNeverReturns(Lab& lab)
{
    addServer(lab).run<PptpServer>(PptpServer::Options{.sendsGre = false});
    addClient(lab, 0).run<PptpClient>(PptpClient::Options{.server = kServer});
    claimFinding(lab, tunnel::FindingKind::GreNeverReturns,
                 "the router says that GRE never returns");
}

void buildPptpRefusesPassword(Lab& lab)
{
    addServer(lab).run<PptpServer>(PptpServer::Options{.ppp = {.secret = PppSecret::Wrong}});
    addClient(lab, 0).run<PptpClient>(PptpClient::Options{.server = kServer});
    claimFinding(lab, tunnel::FindingKind::AuthenticationRefused,
                 "the router says that the server refused the password");
}

void buildPptpOneClient(Lab& lab)
{
    addServer(lab).run<PptpServer>(PptpServer::Options{.oneConnectionPerAddress = true});
    for (int i = 0; i < 2; ++i) {
        addClient(lab, i).run<PptpClient>(
            PptpClient::Options{.server = kServer, .redialAfter = 2min, .dialAfter = i * 5s});
    }
    claimFinding(lab, tunnel::FindingKind::ServerAllowsOneClient,
                 "the router says that the server takes one client only");
}

void buildEspEight(Lab& lab)
{
    buildIpsec(lab, {}, false, true);
    claimTunnels(lab, VpnProtocol::IpsecEsp, kClients);
}

void buildIkev2Eight(Lab& lab)
{
    buildIpsec(lab, {}, true, false);
    claimUnbroken(lab);
    claimTunnels(lab, VpnProtocol::IpsecNatT, kClients);
}

void buildIpsecGoodbye(Lab& lab)
{
    addServer(lab).run<IpsecGateway>();
    for (int i = 0; i < kClients; ++i) {
        // Half of them hang up, the others have little to say.
        addClient(lab, i).run<IpsecClient>(
            IpsecClient::Options{.gateway = kServer,
                                 .version = i % 2 == 0 ? ike::Version::V2 : ike::Version::V1,
                                 .natTraversal = i % 4 < 2,
                                 .startAfter = i * 500ms,
                                 .closeAfter = i < 4 ? Duration{40s} : Duration{0}});
    }
    lab.claim([](Lab& now) {
        std::size_t ended = 0;
        std::size_t live = 0;
        for (const tunnel::Tunnel& one : now.snapshot().tunnels) {
            if (!tunnel::isOver(one.phase)) ++live;
            if (one.phase == tunnel::Phase::Closed &&
                one.endCause == tunnel::EventKind::LikelyDeleted) {
                ++ended;
            }
        }
        return Check{"four have probably been deleted, four are up", ended == 4 && live == 4,
                     std::to_string(ended) + " and " + std::to_string(live)};
    });
}

void buildLegacy500(Lab& lab)
{
    buildIpsec(lab, {.natTraversal = false, .insistsOn500 = true}, false, true);
}

void buildL2tpEight(Lab& lab)
{
    buildL2tp(lab, L2tpReplies::Normal, true);
}
void buildL2tpOtherPort(Lab& lab)
{
    buildL2tp(lab, L2tpReplies::FromOtherPort, false);
}
void buildL2tpTo1701(Lab& lab)
{
    buildL2tp(lab, L2tpReplies::AlwaysTo1701, false);
}
void buildL2tpClash(Lab& lab)
{
    buildL2tp(lab, L2tpReplies::AlwaysTo1701, true);
}

void buildL2tpV3Eight(Lab& lab)
{
    addServer(lab).run<L2tpV3Server>();
    for (int i = 0; i < kClients; ++i) {
        // All from port 1701 over UDP, and with the same IDs; over IP the IDs are all there is.
        const bool overUdp = i % 2 == 0;
        const std::uint32_t id = overUdp ? 1 : static_cast<std::uint32_t>(i + 1);
        addClient(lab, i).run<L2tpV3Client>(
            L2tpV3Client::Options{.server = kServer,
                                  .carrier = overUdp ? L2tpV3Carrier::Udp : L2tpV3Carrier::Ip,
                                  .connectionId = id,
                                  .sessionId = id,
                                  .startAfter = i * 200ms});
    }
    claimAllUp(lab, "all eight are up");
    claimAnswered(lab, 97);
    claimUnbroken(lab);
    claimTunnels(lab, VpnProtocol::L2tpV3, kClients);
}

/// One device each runs a client of every such VPN; every VPN has a server of its own.
void buildUnaidedEight(Lab& lab)
{
    std::vector<Host*> devices;
    for (int i = 0; i < kClients; ++i)
        devices.push_back(&addClient(lab, i));
    std::uint8_t last = 10;
    for (const Signature& signature : signatures()) {
        const net::Ipv4Address address{198, 51, 100, last++};
        lab.network()
            .addExternal(std::string{net::textOf(signature.protocol).word} + "-server", address)
            .run<SignatureServer>(signature);
        for (Host* const device : devices) {
            device->run<SignatureClient>(
                SignatureClient::Options{.server = address, .signature = &signature});
        }
        claimTunnels(lab, signature.protocol, kClients);
    }
    claimAllUp(lab, "everything is up, all devices from the same ports");
    claimAnswered(lab, 97);
}

void buildWireGuardEight(Lab& lab)
{
    addServer(lab).run<WireGuardServer>();
    for (int i = 0; i < kClients; ++i) {
        addClient(lab, i).run<WireGuardClient>(WireGuardClient::Options{
            .server = {kServer, kWireGuardPort}, .port = kWireGuardPort, .startAfter = i * 100ms});
    }
    claimAllUp(lab, "all eight are up, all from the same port");
    claimAnswered(lab, 98);
    claimUnbroken(lab);
    claimTunnels(lab, VpnProtocol::WireGuard, kClients);
}

void buildOpenVpnEight(Lab& lab)
{
    Host& server = addServer(lab);
    server.run<OpenVpnServer>(OpenVpnTransport::Udp);
    server.run<OpenVpnServer>(OpenVpnTransport::Tcp);
    for (int i = 0; i < kClients; ++i) {
        addClient(lab, i).run<OpenVpnClient>(OpenVpnClient::Options{
            .server = kServer,
            .transport = i % 2 == 0 ? OpenVpnTransport::Udp : OpenVpnTransport::Tcp,
            .rekeyEvery = 3min,
            .startAfter = i * 100ms});
    }
    claimAllUp(lab, "all eight are up");
    claimAnswered(lab, 98);
    claimUnbroken(lab);
    claimTunnels(lab, VpnProtocol::OpenVpn, kClients);
}

void buildAnyConnectEight(Lab& lab)
{
    addServer(lab).run<TlsVpnServer>(TlsVpnKind::WithDtls);
    for (int i = 0; i < kClients; ++i) {
        addClient(lab, i).run<TlsVpnClient>(TlsVpnClient::Options{
            .server = kServer, .kind = TlsVpnKind::WithDtls, .startAfter = i * 100ms});
    }
    claimAllUp(lab, "all eight are up");
    claimAnswered(lab, 98);
    claimUnbroken(lab);
    claimTunnels(lab, VpnProtocol::AnyConnect, kClients);
}

void buildPortless(Lab& lab)
{
    const std::array kinds{PortlessKind::GreKeyed, PortlessKind::GreInner, PortlessKind::Eoip,
                           PortlessKind::SixInFour, PortlessKind::IpIp};
    for (std::size_t kind = 0; kind < kinds.size(); ++kind) {
        const net::Ipv4Address server{198, 51, 100, static_cast<std::uint8_t>(10 + kind)};
        lab.network()
            .addExternal("server-" + std::to_string(kind + 1), server)
            .run<PortlessServer>(kinds[kind]);
        for (int i = 0; i < 3; ++i) {
            addClient(lab, static_cast<int>(kind) * 3 + i)
                .run<PortlessClient>(
                    PortlessClient::Options{.server = server,
                                            .kind = kinds[kind],
                                            .id = static_cast<std::uint16_t>(i + 1),
                                            .startAfter = i * 100ms});
        }
    }
    claimAllUp(lab, "three clients of each kind of tunnel talk to one and the same server");
    claimAnswered(lab, 95);
}

void buildEveryProtocol(Lab& lab)
{
    for (std::size_t i = 0; i < net::kVpnProtocolCount; ++i) {
        const auto& text = net::kVpnProtocols[i];
        const auto number = static_cast<std::uint8_t>(i);
        const std::string word{text.word};
        const auto inside = [i](std::size_t which) {
            return net::Ipv4Address{192, 168, 77, static_cast<std::uint8_t>(11 + 2 * i + which)};
        };
        const net::Ipv4Address server{198, 51, 100, static_cast<std::uint8_t>(10 + number)};
        runClash(text.protocol, {.server = lab.network().addExternal(word + "-server", server),
                                 .one = lab.network().addInternal(word + "-1", inside(0)),
                                 .two = lab.network().addInternal(word + "-2", inside(1))});
        const std::size_t expected = talkersOf(clashOutcomeOf(text.protocol));
        lab.claim([one = inside(0), two = inside(1), expected, name = text.name](Lab& now) {
            const PeerReport first = now.reportOf(one);
            const PeerReport second = now.reportOf(two);
            const auto talks = [](const PeerReport& report) {
                return report.up && report.received > 0 ? 1U : 0U;
            };
            return Check{std::string{name} + ": " + std::to_string(expected) + " of two talk",
                         talks(first) + talks(second) == expected,
                         describe(first) + "; " + describe(second)};
        });
        if (expected > 0) claimTunnels(lab, text.protocol, expected);
    }
    claimDropped(lab, DropReason::OneClientPerServer);
    claimDropped(lab, DropReason::AhUntranslatable);
    claimDropped(lab, DropReason::L2tpIdClash);
    claimFinding(lab, tunnel::FindingKind::AhCannotPass, "the router says why AH cannot pass");
}

void buildGreKeyClash(Lab& lab)
{
    addServer(lab).run<PortlessServer>(PortlessKind::GreKeyed);
    for (int i = 0; i < 2; ++i) {
        addClient(lab, i).run<PortlessClient>(
            PortlessClient::Options{.server = kServer, .id = 5, .startAfter = i * 10s});
    }
    lab.claim([](Lab& now) {
        const PeerReport first = now.reportOf(net::Ipv4Address{192, 168, 77, 11});
        return Check{"the first user of a key keeps it", first.received * 100 >= first.sent * 95,
                     describe(first)};
    });
    claimDropped(lab, DropReason::GreKeyClash);
}

void buildBlockAndUndo(Lab& lab)
{
    addServer(lab).run<PptpServer>();
    for (int i = 0; i < 2; ++i) {
        addClient(lab, i).run<PptpClient>(PptpClient::Options{.server = kServer, .callId = 1});
    }
    const auto turn = [](policy::PassthroughMode mode) {
        return SetPassthrough{.protocol = VpnProtocol::Pptp,
                              .value = {.mode = mode, .exceptions = {}}};
    };
    lab.later(30s, [turn](Lab& now) {
        [[maybe_unused]] const auto held = now.apply(turn(policy::PassthroughMode::Block));
    });
    lab.later(36s, [turn](Lab& now) {
        [[maybe_unused]] const auto undone = now.apply(turn(policy::PassthroughMode::Assist));
    });
    claimAllUp(lab, "both calls live on after the switch was turned back within ten seconds");
    claimUnbroken(lab);
    claimDropped(lab, DropReason::HeldBySwitch);
}

void buildBlocked(Lab& lab)
{
    for (const VpnProtocol protocol :
         {VpnProtocol::Pptp, VpnProtocol::WireGuard, VpnProtocol::L2tp, VpnProtocol::IpsecEsp,
          VpnProtocol::OpenVpn, VpnProtocol::AnyConnect}) {
        [[maybe_unused]] const auto blocked = lab.apply(
            SetPassthrough{.protocol = protocol,
                           .value = {.mode = policy::PassthroughMode::Block, .exceptions = {}}});
    }
    Host& server = addServer(lab);
    server.run<PptpServer>();
    server.run<WireGuardServer>();
    server.run<L2tpServer>();
    server.run<IpsecGateway>(IpsecGateway::Options{.natTraversal = false});
    server.run<OpenVpnServer>(OpenVpnTransport::Tcp);
    server.run<TlsVpnServer>(TlsVpnKind::WithDtls);
    addClient(lab, 0).run<PptpClient>(PptpClient::Options{.server = kServer});
    addClient(lab, 1).run<WireGuardClient>(
        WireGuardClient::Options{.server = {kServer, kWireGuardPort}});
    addClient(lab, 2).run<L2tpClient>(L2tpClient::Options{.server = kServer});
    addClient(lab, 3).run<OpenVpnClient>(
        OpenVpnClient::Options{.server = kServer, .transport = OpenVpnTransport::Tcp});
    addClient(lab, 4).run<IpsecClient>(
        IpsecClient::Options{.gateway = kServer, .natTraversal = false});
    addClient(lab, 5).run<TlsVpnClient>(
        TlsVpnClient::Options{.server = kServer, .kind = TlsVpnKind::WithDtls});
    // What these two are shows only after they have begun: with the first ESP packet, with DTLS.
    lab.claim([](Lab& now) {
        const PeerReport esp = now.reportOf(net::Ipv4Address{192, 168, 77, 15});
        return Check{"no data of plain ESP passes", esp.received == 0, describe(esp)};
    });
    lab.claim([](Lab& now) {
        const PeerReport tls = now.reportOf(net::Ipv4Address{192, 168, 77, 16});
        return Check{"a VPN in TLS and DTLS loses both, and TLS does not come up again",
                     !tls.up && tls.established <= 1 && tls.received == 0, describe(tls)};
    });
    lab.claim([](Lab& now) {
        PeerReport sum;
        for (std::uint8_t i = 0; i < 4; ++i) {
            sum += now.reportOf(net::Ipv4Address{192, 168, 77, static_cast<std::uint8_t>(11 + i)});
        }
        return Check{"nothing that is switched off comes up",
                     sum.established == 0 && sum.received == 0, describe(sum)};
    });
    claimDropped(lab, DropReason::PassthroughOff);
}

void buildRestart(Lab& lab)
{
    Host& server = addServer(lab);
    server.run<PptpServer>(PptpServer::Options{.sameCallIds = true});
    server.run<IpsecGateway>();
    server.run<L2tpServer>(L2tpServer::Options{.replies = L2tpReplies::AlwaysTo1701});
    server.run<WireGuardServer>();
    server.run<OpenVpnServer>(OpenVpnTransport::Udp);
    server.run<TlsVpnServer>(TlsVpnKind::WithDtls);
    const net::Ipv4Address portless{198, 51, 100, 11};
    lab.network().addExternal("portless", portless).run<PortlessServer>(PortlessKind::GreKeyed);
    const net::Ipv4Address legacy{198, 51, 100, 12};
    lab.network()
        .addExternal("legacy", legacy)
        .run<IpsecGateway>(IpsecGateway::Options{.natTraversal = false, .insistsOn500 = true});
    for (int i = 0; i < 3; ++i) {
        addClient(lab, i).run<PptpClient>(
            PptpClient::Options{.server = kServer, .callId = 1, .calls = 2});
        addClient(lab, 3 + i)
            .run<IpsecClient>(IpsecClient::Options{.gateway = kServer,
                                                   .natTraversal = false,
                                                   .rekeyEvery = 90s,
                                                   .startAfter = i * 120ms});
        addClient(lab, 6 + i)
            .run<IpsecClient>(IpsecClient::Options{.gateway = kServer, .rekeyEvery = 90s});
        addClient(lab, 9 + i)
            .run<L2tpClient>(L2tpClient::Options{.server = kServer, .tunnelId = std::uint16_t{1}});
        addClient(lab, 12 + i)
            .run<PortlessClient>(PortlessClient::Options{.server = portless,
                                                         .id = static_cast<std::uint16_t>(i + 1)});
        addClient(lab, 15 + i)
            .run<IpsecClient>(IpsecClient::Options{.gateway = legacy,
                                                   .natTraversal = false,
                                                   .rekeyEvery = 100s,
                                                   .startAfter = i * 120ms});
    }
    addClient(lab, 18).run<WireGuardClient>(
        WireGuardClient::Options{.server = {kServer, kWireGuardPort}});
    addClient(lab, 19).run<OpenVpnClient>(OpenVpnClient::Options{.server = kServer});
    addClient(lab, 20).run<TlsVpnClient>(
        TlsVpnClient::Options{.server = kServer, .kind = TlsVpnKind::WithDtls});
    for (const Duration after : {Duration{40s}, Duration{41s}, Duration{3min}}) {
        lab.later(after, [](Lab& now) {
            const Snapshot old = now.snapshot();
            const std::size_t before = old.tunnels.size();
            const bool taken = now.restart();
            const Snapshot snapshot = now.snapshot();
            const std::size_t behind = snapshot.tunnels.size();
            now.claim([taken, before, behind](Lab&) {
                return Check{"the state is taken over, with every tunnel",
                             taken && before == behind && behind >= 21,
                             std::to_string(before) + " before, " + std::to_string(behind)};
            });
            std::size_t whole = 0;
            for (std::size_t i = 0; i < std::min(before, behind); ++i) {
                const auto& was = old.tunnels[i].timeline;
                const auto& is = snapshot.tunnels[i].timeline;
                // Two restarts in a row are one entry.
                const bool goesOn = !was.empty() && is.size() >= was.size() &&
                                    std::equal(was.begin(), was.end() - 1, is.begin());
                const auto resumed = [](const tunnel::TimelineEvent& event) {
                    return event.kind == tunnel::EventKind::Resumed &&
                           event.a == tunnel::kResumedAfterRestart;
                };
                if (goesOn &&
                    std::any_of(is.begin() + std::ptrdiff_t(was.size()) - 1, is.end(), resumed)) {
                    ++whole;
                }
            }
            now.claim([whole, before](Lab&) {
                return Check{"every timeline goes on, with the restart as its next entry",
                             whole == before, std::to_string(whole)};
            });
        });
    }
    claimAllUp(lab, "everything is up after three restarts");
    claimAnswered(lab, 97);
    claimUnbroken(lab);
    lab.claim([](Lab& now) {
        const std::size_t ended = static_cast<std::size_t>(std::ranges::count_if(
            now.snapshot().tunnels,
            [](const tunnel::Tunnel& tunnel) { return tunnel::isOver(tunnel.phase); }));
        return Check{"no tunnel was lost on the way", ended == 0, std::to_string(ended)};
    });
}

}  // namespace engine::lab
