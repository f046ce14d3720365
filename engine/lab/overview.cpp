#include "engine/lab/dns.h"
#include "engine/lab/ipsec.h"
#include "engine/lab/l2tp.h"
#include "engine/lab/openvpn.h"
#include "engine/lab/ping.h"
#include "engine/lab/pptp.h"
#include "engine/lab/scenarios.h"
#include "engine/lab/tls_vpn.h"
#include "engine/lab/web.h"
#include "engine/lab/wireguard.h"

namespace engine::lab {

namespace {

/// Asks for something that no NAT can give: AH, whose check covers the addresses (RFC 4302).
class AhSender final : public Peer {
public:
    AhSender(Host& host, net::Ipv4Address server) : m_host(&host), m_server(server)
    {
        m_host->after(10s, [this] { send(); });
    }
    [[nodiscard]] PeerReport report() const override { return m_report; }

private:
    void send()
    {
        ++m_report.sent;
        Writer writer;
        writer.put8(4).put8(4).put16(0).put32(0x1000).put32(m_report.sent).fill(12, 0x77);
        m_host->sendIp(net::IpProtocol::Ah, m_server, writer.fill(64, 0x11).take());
        m_host->after(20s, [this] { send(); });
    }

    Host* m_host;
    net::Ipv4Address m_server;
    PeerReport m_report;
};

net::Ipv4Address device(std::uint8_t last)
{
    return net::Ipv4Address{192, 168, 77, last};
}
net::Ipv4Address server(std::uint8_t last)
{
    return net::Ipv4Address{198, 51, 100, last};
}
constexpr net::Ipv4Address kNearServer{203, 0, 113, 20};

LinkQuality away(Duration latency)
{
    return {.latency = latency, .jitter = latency / 8};
}

}  // namespace

void buildOverview(Lab& lab)
{
    Network& network = lab.network();
    Host& web = network.addExternal("www.example.net", server(80), away(12ms));
    web.run<WebServer>();
    web.run<DnsServer>();
    Host& video = network.addExternal("video.example.net", server(81), away(18ms));
    video.run<WebServer>();
    network.addExternal("pptp.example.com", server(10), away(24ms)).run<PptpServer>();
    network.addExternal("old-pptp.example.org", server(11), away(31ms))
        .run<PptpServer>(PptpServer::Options{.sendsGre = false});
    network.addExternal("gw.example.com", server(20), away(22ms)).run<IpsecGateway>();
    network.addExternal("ikev2.example.com", kNearServer, away(9ms)).run<IpsecGateway>();
    network.addExternal("lns.example.com", server(30), away(27ms)).run<L2tpServer>();
    network.addExternal("wg.example.com", server(40), away(15ms)).run<WireGuardServer>();
    network.addExternal("openvpn.example.com", server(50), away(35ms)).run<OpenVpnServer>();
    network.addExternal("openvpn-tcp.example.com", server(51), away(40ms))
        .run<OpenVpnServer>(OpenVpnTransport::Tcp);
    network.addExternal("anyconnect.example.com", server(60), away(20ms))
        .run<TlsVpnServer>(TlsVpnKind::WithDtls);
    network.addExternal("sstp.example.com", server(61), away(29ms))
        .run<TlsVpnServer>(TlsVpnKind::TlsOnly);
    network.addExternal("ah.example.com", server(70), away(25ms));

    const LinkQuality wireless{.latency = 2ms, .jitter = 4ms, .loss = 2000, .reorder = 1000};
    const auto browse = [&](Host& host, std::uint32_t size, Duration every) {
        host.run<WebClient>(
            WebClient::Options{.server = {web.address(), kWebPort}, .size = size, .every = every});
        host.run<DnsClient>(DnsClient::Options{.server = web.address(), .every = every});
    };

    Host& reception = network.addInternal("reception", device(21));
    browse(reception, 60000, 6s);
    reception.run<PptpClient>(PptpClient::Options{
        .server = server(10),
        .talk = {.every = 700ms, .jitter = 600ms, .size = 300, .replySize = 900, .replies = 2},
        .callId = 1,
        .dialAfter = 1s});

    Host& accounts = network.addInternal("accounts", device(22));
    browse(accounts, 30000, 11s);
    accounts.run<PptpClient>(PptpClient::Options{
        .server = server(10),
        .talk = {.every = 1500ms, .jitter = 1s, .size = 200, .replySize = 1100, .replies = 3},
        .callId = 1,
        .dialAfter = 2s});

    Host& workshop = network.addInternal("workshop", device(23));
    workshop.run<IpsecClient>(IpsecClient::Options{
        .gateway = server(20),
        .natTraversal = false,
        .talk = {.every = 400ms, .jitter = 300ms, .size = 500, .replySize = 700},
        .rekeyEvery = 3min,
        .startAfter = 1500ms});

    Host& branch = network.addInternal("branch-router", device(24));
    branch.run<IpsecClient>(IpsecClient::Options{
        .gateway = server(20),
        .version = ike::Version::V1,
        .natTraversal = false,
        .talk = {.every = 900ms, .jitter = 400ms, .size = 160, .replySize = 1200, .replies = 2},
        .rekeyEvery = 4min,
        .startAfter = 4s});

    Host& manager = network.addInternal("manager-phone", device(25), wireless);
    manager.run<IpsecClient>(IpsecClient::Options{
        .gateway = kNearServer,
        .talk = {.every = 600ms, .jitter = 1500ms, .size = 180, .replySize = 1000, .replies = 2},
        .rekeyEvery = 2min,
        .startAfter = 2500ms,
        .authSize = 2200});

    Host& sales = network.addInternal("sales-laptop", device(26), wireless);
    browse(sales, 90000, 9s);
    sales.run<WireGuardClient>(WireGuardClient::Options{
        .server = {server(40), kWireGuardPort},
        .talk = {.every = 250ms, .jitter = 200ms, .size = 250, .replySize = 1200, .replies = 2},
        .startAfter = 800ms});

    Host& design = network.addInternal("design", device(27));
    browse(design, 200000, 14s);
    design.run<OpenVpnClient>(OpenVpnClient::Options{
        .server = server(50),
        .talk = {.every = 500ms, .jitter = 500ms, .size = 350, .replySize = 800},
        .rekeyEvery = 5min,
        .startAfter = 3s});
    design.run<OpenVpnClient>(
        OpenVpnClient::Options{.server = server(51),
                               .transport = OpenVpnTransport::Tcp,
                               .talk = {.every = 2s, .jitter = 1s, .size = 300, .replySize = 600},
                               .startAfter = 6s});

    Host& guest = network.addInternal("guest-tablet", device(28), wireless);
    guest.run<TlsVpnClient>(TlsVpnClient::Options{
        .server = server(60),
        .kind = TlsVpnKind::WithDtls,
        .serverName = "anyconnect.example.com",
        .talk = {.every = 450ms, .jitter = 700ms, .size = 220, .replySize = 1000, .replies = 2},
        .startAfter = 5s});
    guest.run<WebClient>(
        WebClient::Options{.server = {video.address(), kWebPort}, .size = 400000, .every = 8s});

    Host& warehouse = network.addInternal("warehouse", device(29));
    warehouse.run<L2tpClient>(L2tpClient::Options{
        .server = server(30), .talk = {.every = 1s, .jitter = 500ms}, .dialAfter = 2s});
    warehouse.run<TlsVpnClient>(
        TlsVpnClient::Options{.server = server(61),
                              .serverName = "sstp.example.com",
                              .talk = {.every = 3s, .jitter = 1s, .size = 300, .replySize = 500},
                              .startAfter = 7s});

    Host& archive = network.addInternal("archive", device(30));
    archive.run<L2tpClient>(L2tpClient::Options{
        .server = server(30), .talk = {.every = 4s, .jitter = 2s}, .dialAfter = 9s});

    // Something has to go wrong in every office: a network that swallows GRE, and AH.
    network.addInternal("old-till", device(31))
        .run<PptpClient>(
            PptpClient::Options{.server = server(11), .redialAfter = 20s, .dialAfter = 3s});
    network.addInternal("scanner", device(32)).run<AhSender>(server(70));

    Host& printer = network.addInternal("printer", device(40));
    printer.run<Pinger>(Pinger::Options{.target = web.address(), .every = 2s});
    printer.run<DnsClient>(DnsClient::Options{.server = web.address(), .every = 20s});
}

}  // namespace engine::lab
