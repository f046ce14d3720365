#include "engine/lab/claims.h"
#include "engine/lab/l2tp.h"
#include "engine/lab/openvpn.h"
#include "engine/lab/path_filter.h"
#include "engine/lab/pptp.h"
#include "engine/lab/scenarios.h"
#include "engine/lab/tls_vpn.h"

#include <algorithm>

/// Scenarios in which something is wrong outside of the router, and the router says what.
namespace engine::lab {

namespace {

using net::VpnProtocol;

constexpr std::uint8_t kFiltered = 10;
constexpr std::uint8_t kFree = 11;
constexpr std::uint8_t kSame = 10;
constexpr std::uint8_t kOther = 11;

Host& addClient(Lab& lab, int i)
{
    return lab.network().addInternal(
        "client-" + std::to_string(i + 1),
        net::Ipv4Address{192, 168, 77, static_cast<std::uint8_t>(11 + i)});
}

void buildFiltered(Lab& lab, PathFilter::Action action)
{
    // Two servers as seen from a network that filters, and the same two as seen from one that does
    // not.
    const auto build = [&lab](const char* name, std::uint8_t number, int client) -> Host& {
        const net::Ipv4Address address{198, 51, 100, number};
        Host& server = lab.network().addExternal(name, address);
        server.run<TlsVpnServer>(TlsVpnKind::TlsOnly);
        server.run<OpenVpnServer>(OpenVpnTransport::Tcp);
        addClient(lab, client).run<TlsVpnClient>(TlsVpnClient::Options{.server = address});
        addClient(lab, client + 1)
            .run<OpenVpnClient>(
                OpenVpnClient::Options{.server = address, .transport = OpenVpnTransport::Tcp});
        return server;
    };
    build("filtered", kFiltered, 0).run<PathFilter>(action);
    build("free", kFree, 2);
    for (const bool filtered : {true, false}) {
        for (const VpnProtocol protocol : {VpnProtocol::Sstp, VpnProtocol::OpenVpn}) {
            const net::Ipv4Address server{198, 51, 100, filtered ? kFiltered : kFree};
            lab.claim([filtered, protocol, server](Lab& now) {
                std::size_t told = 0;
                std::size_t proved = 0;
                std::size_t shown = 0;
                for (const tunnel::Tunnel& one : now.snapshot().tunnels) {
                    if (one.protocol != protocol || one.server.address != server) continue;
                    ++shown;
                    for (const tunnel::Finding& finding : one.findings) {
                        if (finding.kind != tunnel::FindingKind::CutAfterHello) continue;
                        ++told;
                        if (finding.packets.size() == 2) ++proved;
                    }
                }
                const std::string name{net::textOf(protocol).name};
                const std::string detail =
                    std::to_string(told) + " of " + std::to_string(shown) + " tunnels";
                if (!filtered)
                    return Check{name + " is not called cut", told == 0 && shown > 0, detail};
                return Check{name + " is shown as cut, with two packets that prove it",
                             told > 0 && proved == told, detail};
            });
        }
    }
    lab.claim([](Lab& now) {
        PeerReport sum;
        for (std::uint8_t i = 0; i < 2; ++i)
            sum += now.reportOf(net::Ipv4Address{192, 168, 77, static_cast<std::uint8_t>(11 + i)});
        return Check{"nothing comes up behind the filter", sum.established == 0, describe(sum)};
    });
}

}  // namespace

void buildTlsReset(Lab& lab)
{
    buildFiltered(lab, PathFilter::Action::Reset);
}

void buildTlsSwallowed(Lab& lab)
{
    buildFiltered(lab, PathFilter::Action::Swallow);
}

void buildSameSubnet(Lab& lab)
{
    // Both servers give out addresses: one of 192.168.77.0/24, which is the network here, the other
    // of its own.
    const auto build = [&lab](const char* name, std::uint8_t number, int client,
                              const PppLink::Options& ppp) {
        const net::Ipv4Address address{198, 51, 100, number};
        Host& server = lab.network().addExternal(name, address);
        server.run<PptpServer>(PptpServer::Options{.ppp = ppp});
        server.run<L2tpServer>(L2tpServer::Options{.ppp = ppp});
        addClient(lab, client).run<PptpClient>(PptpClient::Options{.server = address});
        addClient(lab, client + 1).run<L2tpClient>(L2tpClient::Options{.server = address});
    };
    build("same", kSame, 0,
          {.server = net::Ipv4Address{192, 168, 77, 1},
           .client = net::Ipv4Address{192, 168, 77, 200}});
    build("other", kOther, 2, {});
    claimAllUp(lab, "all are up, which is what makes it hard to find");
    for (const bool same : {true, false}) {
        for (const VpnProtocol protocol : {VpnProtocol::Pptp, VpnProtocol::L2tp}) {
            const net::Ipv4Address server{198, 51, 100, same ? kSame : kOther};
            lab.claim([same, protocol, server](Lab& now) {
                std::size_t told = 0;
                std::size_t shown = 0;
                for (const tunnel::Tunnel& one : now.snapshot().tunnels) {
                    if (one.protocol != protocol || one.server.address != server) continue;
                    ++shown;
                    told += static_cast<std::size_t>(
                        std::ranges::count_if(one.findings, [](const tunnel::Finding& finding) {
                            return finding.kind == tunnel::FindingKind::SameSubnet &&
                                   !finding.packets.empty();
                        }));
                }
                const std::string name{net::textOf(protocol).name};
                const std::string detail =
                    std::to_string(told) + " of " + std::to_string(shown) + " tunnels";
                return Check{same ? name + ": the router says that both ends use the same addresses"
                                  : name + ": it says nothing where they do not",
                             shown == 1 && told == (same ? 1U : 0U), detail};
            });
        }
    }
}

}  // namespace engine::lab
