#include "engine/passthrough/anyconnect.h"
#include "engine/passthrough/forticlient.h"
#include "engine/passthrough/globalprotect.h"
#include "engine/passthrough/gre.h"
#include "engine/passthrough/ipsec.h"
#include "engine/passthrough/l2tp.h"
#include "engine/passthrough/nebula.h"
#include "engine/passthrough/openvpn.h"
#include "engine/passthrough/pptp.h"
#include "engine/passthrough/softether.h"
#include "engine/passthrough/tailscale.h"
#include "engine/passthrough/teredo.h"
#include "engine/passthrough/tinc.h"
#include "engine/passthrough/tls_peers.h"
#include "engine/passthrough/tls_tunnels.h"
#include "engine/passthrough/wireguard.h"
#include "engine/passthrough/zerotier.h"

#include <QTest>

#include <functional>
#include <memory>

#include "tests/engine/passthrough/traffic.h"

using namespace engine;
using namespace engine::passthrough;
using namespace traffic;
using net::IpProtocol;

namespace {

const policy::PassthroughPolicy kPolicy;
const net::Prefix kLan{net::Ipv4Address{192, 0, 2, 0}, 24};
constexpr HashKey kSeed{3, 4};

using Make = std::function<std::unique_ptr<Inspector>(TlsPeers&)>;
struct Named {
    const char* name;
    Make make;
};

template <typename Kind, typename... Given>
Named named(const char* name, const Given&... given)
{
    return {name, [&given...](TlsPeers&) {
                return std::make_unique<Kind>(given...);
            }};
}

std::vector<Named> everybody()
{
    return {
        named<PptpInspector>("PPTP", kSeed, kPolicy, kLan),
        named<WireGuardRecogniser>("WireGuard", kPolicy),
        named<TailscaleRecogniser>("Tailscale", kPolicy),
        named<OpenVpnRecogniser>("OpenVPN"),
        named<IpsecInspector>("IPsec", kSeed, kPolicy),
        named<L2tpInspector>("L2TP", kSeed, kPolicy, kLan),
        named<GreInspector>("GRE", kSeed, kPolicy, kLan),
        {"FortiClient",
         [](TlsPeers& peers) {
             return std::make_unique<FortiClientRecogniser>(peers);
         }},
        {"AnyConnect",
         [](TlsPeers& peers) {
             return std::make_unique<AnyConnectRecogniser>(peers);
         }},
        {"TLS tunnels",
         [](TlsPeers& peers) {
             return std::make_unique<TlsTunnelRecogniser>(peers, kPolicy);
         }},
        {"GlobalProtect",
         [](TlsPeers& peers) {
             return std::make_unique<GlobalProtectRecogniser>(peers, kPolicy);
         }},
        named<ZeroTierRecogniser>("ZeroTier", kPolicy),
        named<NebulaRecogniser>("Nebula", kPolicy),
        named<TeredoRecogniser>("Teredo", kPolicy),
        named<SoftEtherRecogniser>("SoftEther", kPolicy),
        named<TincRecogniser>("tinc"),
    };
}

/// L2TP's first message (RFC 2661 §6.1), as far as it is asked for.
Bytes l2tpStart()
{
    return Maker{}
        .u16(0xc802)
        .u16(20)
        .u16(0)
        .u16(0)
        .u16(0)
        .u16(0)
        .u16(0x8008)
        .u16(0)
        .u16(0)
        .u16(1)
        .done();
}

/// All that anybody says in UDP: each payload is somebody's first one once.
std::vector<Bytes> payloads(Random& random)
{
    using enum OpenVpnMode;
    std::vector<Conversation> talks{
        wireGuard(random, 51820),
        wireGuard(random, 4500, {.reserved = 0x4a17c3}),
        wireGuardMidStream(random, 51820),
        warpDialect(random, 500),
        tailscale(random, 41641),
        openVpn(random, 1194, Plain, IpProtocol::Udp),
        openVpn(random, 1194, TlsCryptV2, IpProtocol::Udp),
        dtlsTunnel(random, {.version = 0x0100, .sessionId = 32}, 0x0100, 443),
        softEtherNatTraversal(random),
        fortiGreeting(random, 443),
        globalProtectEsp(random),
        zeroTier(random, 9993),
        nebula(random, 4242),
        teredo(random),
        teredoPeers(random, 3545),
        dns(random, 7),
        quic(random),
        ntp(random),
        noise(random, IpProtocol::Udp, 4500),
    };
    std::vector<Bytes> all{l2tpStart()};
    for (const Conversation& talk : talks) {
        for (const Message& message : talk.messages)
            if (!message.payload.empty()) all.push_back(message.payload);
    }
    return all;
}

bool isAsked(const Inspector::Opening& opening, const Flow& flow, const Bytes& payload)
{
    return opening.udp && opening.octets[payload[0]] &&
           (opening.remotePort == net::Port{} || opening.remotePort == flow.remote.port);
}

}  // namespace

/// Inspector::opening() saves questions; it must never save one whose answer would not be NotMine.
class OpeningTest : public QObject {
    Q_OBJECT
private Q_SLOTS:
    void whoIsNotAsked_wouldHaveSaidNo();
    void ordinaryTraffic_asksFew();
    void tcp_whoIsNotAsked_wouldHaveSaidNo();
};

void OpeningTest::whoIsNotAsked_wouldHaveSaidNo()
{
    Random random({5, 6});
    const std::vector<Bytes> all = payloads(random);
    QVERIFY(all.size() > 60);
    std::size_t saved = 0;
    std::size_t wanted = 0;
    for (const Named& one : everybody()) {
        TlsPeers peers;
        const std::unique_ptr<Inspector> inspector = one.make(peers);
        const Inspector::Opening opening = inspector->opening();
        Flow flow;
        flow.protocol = IpProtocol::Udp;
        flow.internal = {net::Ipv4Address{192, 0, 2, 10}, net::Port{41000}};
        for (const std::uint16_t port :
             std::initializer_list<std::uint16_t>{53, 443, 500, 1701, 4500, 4501, 5004, 51820}) {
            flow.remote = {net::Ipv4Address{203, 0, 113, 9}, net::Port{port}};
            for (Bytes payload : all) {
                const std::uint8_t real = payload[0];
                // The real octet and its neighbours by one bit.
                for (unsigned bit = 0; bit <= 8; ++bit) {
                    payload[0] = static_cast<std::uint8_t>(bit == 8 ? real : real ^ (1U << bit));
                    ++flow.id;
                    Segment segment;
                    segment.payload = payload;
                    Actions actions;
                    const auto claim = inspector->consider(Instant{}, flow, segment);
                    const bool asked = isAsked(opening, flow, payload);
                    saved += asked ? 0 : 1;
                    wanted += claim == Inspector::Claim::NotMine ? 0 : 1;
                    QVERIFY2(asked || claim == Inspector::Claim::NotMine,
                             qPrintable(QString("%1, port %2, %3 octets, the first %4")
                                            .arg(one.name)
                                            .arg(port)
                                            .arg(payload.size())
                                            .arg(payload[0])));
                    inspector->flowClosed(Instant{}, flow.id, FlowEnd::Expired, actions);
                }
            }
        }
    }
    QVERIFY(wanted > 100);
    QVERIFY(saved > wanted);
}

void OpeningTest::ordinaryTraffic_asksFew()
{
    Random random({7, 8});
    std::vector<Inspector::Opening> openings;
    for (const Named& one : everybody()) {
        TlsPeers peers;
        openings.push_back(one.make(peers)->opening());
    }
    Flow flow;
    flow.protocol = IpProtocol::Udp;
    flow.remote.port = net::Port{443};
    const Bytes first = quic(random).messages.front().payload;
    const auto asked = std::ranges::count_if(
        openings, [&](const Inspector::Opening& opening) { return isAsked(opening, flow, first); });
    QVERIFY2(asked <= 4, qPrintable(QString::number(asked)));
}

void OpeningTest::tcp_whoIsNotAsked_wouldHaveSaidNo()
{
    Random random({9, 10});
    std::vector<Bytes> firsts{Bytes{}, tlsClientHello(random, {}), Bytes(200, 0x41)};
    for (const auto& talk :
         {openVpn(random, 443, OpenVpnMode::TlsAuth, IpProtocol::Tcp), tinc(655), ssh(random)}) {
        firsts.push_back(talk.messages.front().payload);
    }
    for (const Named& one : everybody()) {
        TlsPeers peers;
        const std::unique_ptr<Inspector> inspector = one.make(peers);
        if (inspector->opening().tcp) continue;
        Flow flow;
        flow.protocol = IpProtocol::Tcp;
        for (const std::uint16_t port : std::initializer_list<std::uint16_t>{443, 1723, 655}) {
            flow.remote.port = net::Port{port};
            for (const Bytes& payload : firsts) {
                ++flow.id;
                Segment segment;
                segment.payload = payload;
                QCOMPARE(inspector->consider(Instant{}, flow, segment), Inspector::Claim::NotMine);
            }
        }
    }
}

QTEST_APPLESS_MAIN(OpeningTest)
#include "opening_test.moc"
