#include "engine/lab/claims.h"
#include "engine/lab/dns.h"
#include "engine/lab/ipsec.h"
#include "engine/lab/openvpn.h"
#include "engine/lab/ping.h"
#include "engine/lab/scenarios.h"
#include "engine/lab/web.h"
#include "engine/lab/wireguard.h"

#include <set>

namespace engine::lab {

namespace {

constexpr net::Ipv4Address kServer{198, 51, 100, 10};
constexpr net::Ipv4Address kExternal{203, 0, 113, 2};
constexpr net::Port kEcho{7};

net::Ipv4Address inside(int i)
{
    return net::Ipv4Address{192, 168, 77, static_cast<std::uint8_t>(11 + i)};
}

Host& addClient(Lab& lab, int i)
{
    return lab.network().addInternal("client-" + std::to_string(i + 1), inside(i));
}

/// Echoes UDP at once, or as late as the message's first octet says: in seconds.
class LateEcho final : public Peer {
public:
    explicit LateEcho(Host& host) : m_host(&host)
    {
        m_report.up = true;
        host.bindUdp(kEcho, [this](const net::Endpoint& from, wire::ConstBytes payload) {
            m_callers.insert(from);
            if (payload.size() < 2) return;
            const Octets copy = copyOf(payload);
            ++m_report.received;
            m_host->after(wire::load16(payload, 0) * Duration{1s}, [this, from, copy] {
                ++m_report.sent;
                m_host->sendUdp(kEcho, from, copy);
            });
        });
    }
    [[nodiscard]] PeerReport report() const override { return m_report; }
    [[nodiscard]] std::size_t callers() const { return m_callers.size(); }

private:
    Host* m_host;
    std::set<net::Endpoint> m_callers;
    PeerReport m_report;
};

/// Asks for one echo after so many seconds and remembers whether it came.
class EchoCaller final : public Peer {
public:
    struct Options {
        net::Endpoint server{kServer, kEcho};
        net::Port port{5000};
        std::uint16_t delay = 0;
        Duration every{0};
    };
    EchoCaller(Host& host, const Options& options)
        : m_host(&host), m_options(options), m_self(host.newIdentity())
    {
        host.bindUdp(options.port, [this](const net::Endpoint&, wire::ConstBytes payload) {
            const bool mine = payload.size() == 6 && wire::load32(payload, 2) == m_self;
            ++(mine ? m_report.received : m_report.wrong);
            m_report.up = mine;
        });
        host.after(0s, [this] { call(); });
    }
    [[nodiscard]] PeerReport report() const override { return m_report; }

private:
    void call()
    {
        ++m_report.sent;
        m_host->sendUdp(m_options.port, m_options.server,
                        Writer{}.put16(m_options.delay).put32(m_self).take());
        if (m_options.every.count() > 0) m_host->after(m_options.every, [this] { call(); });
    }

    Host* m_host;
    Options m_options;
    Identity m_self;
    PeerReport m_report;
};

}  // namespace

void buildSamePort(Lab& lab)
{
    auto& echo = lab.network().addExternal("server", kServer).run<LateEcho>();
    for (int i = 0; i < 8; ++i) {
        Host& host = addClient(lab, i);
        host.run<EchoCaller>(EchoCaller::Options{.every = 1s});
        host.run<Pinger>(Pinger::Options{.target = kServer, .identifier = 77});
    }
    claimAllUp(lab, "eight devices use the same port and the same ping identifier at once");
    claimAnswered(lab, 95);
    lab.claim([&echo](Lab&) {
        return Check{"the server sees eight different callers", echo.callers() == 8,
                     std::to_string(echo.callers())};
    });
}

void buildUdpExpiry(Lab& lab)
{
    lab.network().addExternal("server", kServer).run<LateEcho>();
    addClient(lab, 0).run<EchoCaller>(EchoCaller::Options{.delay = 119});
    addClient(lab, 1).run<EchoCaller>(EchoCaller::Options{.delay = 400});
    lab.claim([](Lab& now) {
        return Check{
            "an answer after 119 seconds arrives (RFC 4787 REQ-5)", now.reportOf(inside(0)).up, {}};
    });
    lab.claim([](Lab& now) {
        return Check{
            "an answer after 400 seconds does not", now.reportOf(inside(1)).received == 0, {}};
    });
    claimDropped(lab, DropReason::NoMapping);
    lab.claim([](Lab& now) {
        const std::uint32_t left = now.snapshot().sessions;
        return Check{"no session is left", left == 0, std::to_string(left)};
    });
}

void buildHairpin(Lab& lab)
{
    Host& host = addClient(lab, 0);
    host.run<WebServer>(net::Port{8080});
    host.run<LateEcho>();
    policy::PortForward web;
    web.id = 1;
    web.name = "web";
    web.externalPorts = {kWebPort, kWebPort};
    web.internalAddress = host.address();
    web.internalFirst = net::Port{8080};
    policy::PortForward echo = web;
    echo.id = 2;
    echo.protocol = net::IpProtocol::Udp;
    echo.externalPorts = {kEcho, kEcho};
    echo.internalFirst = kEcho;
    const auto applied = lab.apply(SetPortForwards{{web, echo}});
    lab.claim([ok = applied.has_value()](Lab&) {
        return Check{"two ports are forwarded", ok, {}};
    });
    const WebClient::Options options{.server = {kExternal, kWebPort}, .every = 2s};
    addClient(lab, 1).run<WebClient>(options);
    addClient(lab, 2).run<EchoCaller>(
        EchoCaller::Options{.server = {kExternal, kEcho}, .every = 1s});
    lab.network().addExternal("visitor", kServer).run<WebClient>(options);
    claimAllUp(lab, "devices inside reach the forwarded ports by the external address");
    lab.claim([](Lab& now) {
        const PeerReport visitor = now.reportOf(kServer);
        return Check{"and so does a visitor from outside", visitor.up && visitor.failures == 0,
                     describe(visitor)};
    });
    lab.claim([](Lab& now) {
        const std::uint64_t count = now.snapshot().counters.hairpinned.packets;
        return Check{"hairpinned packets are counted", count > 0, std::to_string(count)};
    });
}

void buildWanRenumber(Lab& lab)
{
    Host& server = lab.network().addExternal("server", kServer);
    server.run<WireGuardServer>();
    server.run<IpsecGateway>();
    server.run<OpenVpnServer>(OpenVpnTransport::Tcp);
    server.run<WebServer>();
    server.run<DnsServer>();
    addClient(lab, 0).run<WireGuardClient>(
        WireGuardClient::Options{.server = {kServer, kWireGuardPort}});
    addClient(lab, 1).run<IpsecClient>(IpsecClient::Options{.gateway = kServer});
    addClient(lab, 2).run<OpenVpnClient>(
        OpenVpnClient::Options{.server = kServer, .transport = OpenVpnTransport::Tcp});
    Host& browser = addClient(lab, 3);
    browser.run<WebClient>(WebClient::Options{.server = {kServer, kWebPort}, .every = 1s});
    browser.run<DnsClient>(DnsClient::Options{.server = kServer, .every = 1s});
    lab.later(1min, [](Lab& now) {
        ExternalSide side = now.snapshot().external;
        side.addresses = {net::Ipv4Address{203, 0, 113, 9}};
        [[maybe_unused]] const auto changed = now.apply(SetExternalSide{side});
    });
    claimAllUp(lab, "every tunnel is up again two minutes after the address has changed");
    lab.claim([](Lab& now) {
        const PeerReport report = now.reportOf(inside(0));
        return Check{"WireGuard has lost a second at most", report.received + 3 >= report.sent,
                     describe(report)};
    });
}

}  // namespace engine::lab
