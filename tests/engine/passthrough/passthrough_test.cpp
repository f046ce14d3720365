#include "engine/passthrough/passthrough.h"

#include "engine/passthrough/considered_flows.h"

#include <QTest>

#include <array>
#include <map>

#include "tests/engine/passthrough/flow_player.h"

using namespace engine;
using namespace engine::passthrough;
using namespace traffic;
using net::Direction;
using net::IpProtocol;
using net::VpnProtocol;
using policy::PassthroughMode;
using tunnel::Observation;

namespace {

policy::PassthroughPolicy blocking(VpnProtocol protocol)
{
    policy::PassthroughPolicy policy;
    policy::PassthroughSwitch position;
    position.mode = PassthroughMode::Block;
    policy.set(protocol, position);
    return policy;
}

}  // namespace

class PassthroughTest : public QObject {
    Q_OBJECT
private Q_SLOTS:
    void consideredFlows_agreeWithASlowMap();
    void block_refusesFromTheFirstLabel_andTellsOnce();
    void block_ofAnotherProtocol_changesNothing();
    void block_leavesAdmittedFlowsAlone_andTheirTunnelsNewFlows();
    void block_byException_concernsOneServerOnly();
    void block_doesNotActOnAGuess_unlessTheServerIsNamed();
    void block_refusesTheFirstPacket_whereTheSignatureAllows_data();
    void block_refusesTheFirstPacket_whereTheSignatureAllows();
    void block_endsAllConnectionsOfTheTunnel_data();
    void block_endsAllConnectionsOfTheTunnel();
    void block_ofAServersDatagrams_refusesItsTlsFromThenOn();
    void block_ofALaterName_refusesWhatWasLetInUnderAnother();
    void plain_stillShowsWhatNeedsNoHelp();
    void retryingClient_isToldOfOncePerMinute();
    void manyFlows_areBounded_andAClaimedOneSurvives();
    void portlessWithoutOwner_isNotDelivered();
    void sameCalls_giveTheSameAnswers();
};

void PassthroughTest::consideredFlows_agreeWithASlowMap()
{
    Random random({1, 1});
    ConsideredFlows flows;
    std::map<FlowId, std::uint32_t> slow;
    for (int i = 0; i < 200000; ++i) {
        const FlowId id = 1 + random.below(5000);
        ConsideredFlow* const found = flows.find(id);
        const auto known = slow.find(id);
        QCOMPARE(found != nullptr, known != slow.end());
        if (found == nullptr) {
            flows.insert(id)->undecided = static_cast<std::uint32_t>(i);
            slow[id] = static_cast<std::uint32_t>(i);
        } else {
            QCOMPARE(found->undecided, known->second);
            if (random.below(2) == 0) {
                flows.erase(id);
                slow.erase(id);
            }
        }
        QCOMPARE(flows.size(), slow.size());
    }
}

void PassthroughTest::block_refusesFromTheFirstLabel_andTellsOnce()
{
    Random random({2, 2});
    FlowPlayer player;
    player.passthrough().setPolicy(blocking(VpnProtocol::WireGuard));
    const Conversation talk = wireGuard(random, 51820);
    const auto shown = player.play(talk);
    QCOMPARE(shown.dropped, static_cast<std::uint32_t>(talk.messages.size()));
    QVERIFY(player.attachments.empty());
    QCOMPARE(player.times(Observation::Kind::Label), 1);
    QCOMPARE(player.times(Observation::Kind::Ended), 1);
    const auto ended =
        std::ranges::find(player.observations, Observation::Kind::Ended, &Observation::kind);
    QCOMPARE(ended->phase, tunnel::Phase::Refused);
    QCOMPARE(ended->event, tunnel::EventKind::DroppedBySwitch);
    player.close(shown.flow);
    // The switch goes back: the next one passes.
    player.passthrough().setPolicy({});
    QCOMPARE(player.play(talk).dropped, 0U);
}

void PassthroughTest::block_ofAnotherProtocol_changesNothing()
{
    Random random({3, 3});
    FlowPlayer player;
    player.passthrough().setPolicy(blocking(VpnProtocol::OpenVpn));
    QCOMPARE(player.play(wireGuard(random, 1194)).dropped, 0U);
    QVERIFY(player.play(openVpn(random, 51820, OpenVpnMode::TlsCrypt, IpProtocol::Udp)).dropped >
            0);
    QVERIFY(player.play(openVpn(random, 443, OpenVpnMode::TlsAuth, IpProtocol::Tcp)).dropped > 0);
}

void PassthroughTest::block_leavesAdmittedFlowsAlone_andTheirTunnelsNewFlows()
{
    Random random({4, 4});
    FlowPlayer player;
    const HelloStyle hello{.version = 0x0100, .sessionId = 32};
    // The DTLS channel is up; then the switch is turned, with live tunnels to finish.
    const auto first = player.play(dtlsTunnel(random, hello, 0x0100, 443));
    player.passthrough().setPolicy(blocking(VpnProtocol::AnyConnect));
    const auto again = player.play(dtlsTunnel(random, hello, 0x0100, 443));
    QCOMPARE(again.dropped, 0U);
    player.close(first.flow);
    player.close(again.flow);
    // The tunnel has gone: a new one is refused.
    QVERIFY(player.play(dtlsTunnel(random, hello, 0x0100, 443)).dropped > 0);
}

void PassthroughTest::block_byException_concernsOneServerOnly()
{
    Random random({5, 5});
    FlowPlayer player;
    const net::Ipv4Address other{203, 0, 113, 200};
    policy::PassthroughPolicy policy;
    policy::PassthroughSwitch position;
    position.exceptions.push_back({net::Prefix{}, net::Prefix{other, 32}, PassthroughMode::Block});
    policy.set(VpnProtocol::WireGuard, position);
    player.passthrough().setPolicy(policy);
    QCOMPARE(player.play(wireGuard(random, 51820)).dropped, 0U);
    QVERIFY(player.play(wireGuard(random, 51820), 1400, other).dropped > 0);
}

void PassthroughTest::block_doesNotActOnAGuess_unlessTheServerIsNamed()
{
    Random random({6, 6});
    FlowPlayer player;
    player.passthrough().setPolicy(blocking(VpnProtocol::Sstp));
    QCOMPARE(player.play(sstp(random, 443)).dropped, 0U);
    QCOMPARE(player.label()->protocol, VpnProtocol::Sstp);

    policy::PassthroughPolicy policy;
    policy::PassthroughSwitch position;
    position.exceptions.push_back(
        {net::Prefix{}, net::Prefix{FlowPlayer::kServer, 32}, PassthroughMode::Block});
    policy.set(VpnProtocol::Sstp, position);
    FlowPlayer strict;
    strict.passthrough().setPolicy(policy);
    QVERIFY(strict.play(sstp(random, 443)).dropped > 0);
}

void PassthroughTest::block_refusesTheFirstPacket_whereTheSignatureAllows_data()
{
    QTest::addColumn<int>("protocol");
    QTest::addColumn<int>("number");
    const auto add = [](const char* name, VpnProtocol protocol, int number) {
        QTest::newRow(name) << static_cast<int>(protocol) << number;
    };
    add("WireGuard", VpnProtocol::WireGuard, 0);
    add("Tailscale", VpnProtocol::Tailscale, 1);
    add("OpenVPN", VpnProtocol::OpenVpn, 2);
    add("OpenVPN over TCP", VpnProtocol::OpenVpn, 3);
    add("ZeroTier", VpnProtocol::ZeroTier, 4);
    add("Nebula", VpnProtocol::Nebula, 5);
    add("Teredo", VpnProtocol::Teredo, 6);
    add("Teredo between peers", VpnProtocol::Teredo, 7);
    add("tinc", VpnProtocol::Tinc, 8);
    add("SoftEther's NAT traversal", VpnProtocol::SoftEther, 9);
    add("WARP on its own port", VpnProtocol::CloudflareWarp, 10);
}

void PassthroughTest::block_refusesTheFirstPacket_whereTheSignatureAllows()
{
    QFETCH(const int, protocol);
    QFETCH(const int, number);
    Random random({11, static_cast<std::uint64_t>(number)});
    const std::array<Conversation, 11> talks{
        wireGuard(random, 51820),
        tailscale(random, 41641),
        openVpn(random, 1194, OpenVpnMode::TlsCrypt, IpProtocol::Udp),
        openVpn(random, 443, OpenVpnMode::Plain, IpProtocol::Tcp),
        zeroTier(random, 9993),
        nebula(random, 4242),
        teredo(random),
        teredoPeers(random, 51413),
        tinc(655),
        softEtherNatTraversal(random),
        wireGuard(random, 2408, {.reserved = 0x010203}),
    };
    const Conversation& talk = talks[static_cast<std::size_t>(number)];
    FlowPlayer player;
    player.passthrough().setPolicy(blocking(static_cast<VpnProtocol>(protocol)));
    const auto shown = player.play(talk);
    // Nothing but TCP's own handshake has travelled.
    const std::uint32_t handshake = talk.protocol == IpProtocol::Tcp ? 3 : 0;
    QCOMPARE(shown.dropped + handshake, shown.packets);
    QCOMPARE(player.times(Observation::Kind::Ended), 1);
    // The same conversation passes whole while another protocol is blocked.
    FlowPlayer open;
    open.passthrough().setPolicy(blocking(VpnProtocol::Pptp));
    QCOMPARE(open.play(talk).dropped, 0U);
    QCOMPARE(open.label()->protocol, static_cast<VpnProtocol>(protocol));
}

void PassthroughTest::block_endsAllConnectionsOfTheTunnel_data()
{
    QTest::addColumn<int>("protocol");
    QTest::newRow("AnyConnect") << static_cast<int>(VpnProtocol::AnyConnect);
    QTest::newRow("GlobalProtect") << static_cast<int>(VpnProtocol::GlobalProtect);
    QTest::newRow("FortiClient") << static_cast<int>(VpnProtocol::FortiClient);
}

void PassthroughTest::block_endsAllConnectionsOfTheTunnel()
{
    QFETCH(const int, protocol);
    const auto wanted = static_cast<VpnProtocol>(protocol);
    Random random({12, 12});
    FlowPlayer player;
    player.passthrough().setPolicy(blocking(wanted));
    const std::uint16_t port = wanted == VpnProtocol::FortiClient ? 10443 : 443;
    const auto tls = player.play(tlsSession(random, {.serverName = "vpn.example.com"}, port));
    QCOMPARE(tls.dropped, 0U);  // nothing tells it from a web page yet
    const Conversation datagrams =
        wanted == VpnProtocol::GlobalProtect ? globalProtectEsp(random)
        : wanted == VpnProtocol::AnyConnect
            ? dtlsTunnel(random, {.version = 0x0100, .sessionId = 32}, 0x0100, port)
            : fortiGreeting(random, port);
    const auto shown = player.play(datagrams);
    QCOMPARE(shown.dropped, shown.packets);
    QCOMPARE(player.refusals, std::vector<FlowId>{tls.flow});
    // Without its datagrams it would go on over TLS alone: not to this server any more.
    player.observations.clear();
    QVERIFY(player.play(tlsSession(random, {.serverName = "vpn.example.com"}, port)).dropped > 0);
    QCOMPARE(player.play(tlsSession(random, {.serverName = "www.example.com", .alpn = "h2"}, port))
                 .dropped,
             0U);
}

void PassthroughTest::block_ofAServersDatagrams_refusesItsTlsFromThenOn()
{
    Random random({13, 13});
    FlowPlayer player;
    player.play(tlsSession(random, {.serverName = "vpn.example.com"}, 443));
    const auto datagrams =
        player.play(dtlsTunnel(random, {.version = 0x0100, .sessionId = 32}, 0x0100, 443));
    // What was learnt while it was allowed changes nothing as long as it is.
    QCOMPARE(player.play(tlsSession(random, {.serverName = "vpn.example.com"}, 443)).dropped, 0U);
    player.passthrough().setPolicy(blocking(VpnProtocol::AnyConnect));
    // A tunnel that lives may finish, with new connections too.
    const auto more = player.play(tlsSession(random, {.serverName = "vpn.example.com"}, 443));
    QCOMPARE(more.dropped, 0U);
    player.close(more.flow);
    player.close(datagrams.flow);
    QVERIFY(player.play(tlsSession(random, {.serverName = "vpn.example.com"}, 443)).dropped > 0);
    const net::Ipv4Address other{203, 0, 113, 77};
    QCOMPARE(player.play(tlsSession(random, {.serverName = "vpn.example.com"}, 443), 1400, other)
                 .dropped,
             0U);
}

void PassthroughTest::block_ofALaterName_refusesWhatWasLetInUnderAnother()
{
    Random random({14, 14});
    FlowPlayer player;
    player.passthrough().setPolicy(blocking(VpnProtocol::Tailscale));
    const auto flow = player.open(IpProtocol::Udp, 41641);
    const Bytes initiation = wireGuardInitiation(random, 7);
    QCOMPARE(player.show(flow, Direction::Outbound, initiation).fate, Attention::Fate::Pass);
    QCOMPARE(player.label()->protocol, VpnProtocol::WireGuard);
    const Conversation talk = tailscale(random, 41641);
    const auto asked = std::ranges::find_if(talk.messages, [](const Message& message) {
        return message.payload.size() > 2 && message.payload[0] == 0x54 &&
               message.payload[1] == 0x53;
    });
    QVERIFY(asked != talk.messages.end());
    QCOMPARE(player.show(flow, Direction::Outbound, asked->payload).fate, Attention::Fate::Drop);
    QCOMPARE(player.show(flow, Direction::Outbound, initiation).fate, Attention::Fate::Drop);
}

void PassthroughTest::plain_stillShowsWhatNeedsNoHelp()
{
    Random random({7, 7});
    FlowPlayer player;
    policy::PassthroughPolicy policy;
    policy::PassthroughSwitch position;
    position.mode = PassthroughMode::Plain;
    policy.set(VpnProtocol::WireGuard, position);
    player.passthrough().setPolicy(policy);
    QCOMPARE(player.play(wireGuard(random, 51820)).dropped, 0U);
    QCOMPARE(player.label()->confidence, tunnel::Confidence::Certain);
}

void PassthroughTest::retryingClient_isToldOfOncePerMinute()
{
    Random random({8, 8});
    FlowPlayer player;
    player.passthrough().setPolicy(blocking(VpnProtocol::OpenVpn));
    for (int i = 0; i < 10; ++i) {
        const auto shown = player.play(openVpn(random, 1194, OpenVpnMode::Plain, IpProtocol::Udp));
        QVERIFY(shown.dropped > 0);
        player.close(shown.flow);
        player.now += std::chrono::seconds(5);
    }
    QCOMPARE(player.times(Observation::Kind::Ended), 1);
    player.now += std::chrono::seconds(60);
    player.play(openVpn(random, 1194, OpenVpnMode::Plain, IpProtocol::Udp));
    QCOMPARE(player.times(Observation::Kind::Ended), 2);
}

void PassthroughTest::manyFlows_areBounded_andAClaimedOneSurvives()
{
    Random random({9, 9});
    FlowPlayer player;
    const Conversation talk = openVpn(random, 1194, OpenVpnMode::TlsAuth, IpProtocol::Udp);
    const auto tunnel = player.open(IpProtocol::Udp, 1194);
    QCOMPARE(player.show(tunnel, Direction::Outbound, talk.messages[0].payload).next,
             Attention::Next::Watch);
    // More connections than the table holds, none of which ever says anything.
    for (int i = 0; i < 70000; ++i) {
        player.show(player.open(IpProtocol::Tcp, 443), Direction::Outbound, {}, 1, 0x02);
    }
    player.show(tunnel, Direction::Inbound, talk.messages[1].payload);
    QCOMPARE(player.label()->confidence, tunnel::Confidence::Certain);
    // And a new tunnel is still recognised.
    player.observations.clear();
    player.play(wireGuard(random, 51820));
    QVERIFY(player.label());
}

void PassthroughTest::portlessWithoutOwner_isNotDelivered()
{
    Passthrough passthrough{HashKey{1, 2}};
    Actions actions;
    PortlessPacket packet;
    packet.protocol = static_cast<IpProtocol>(103);  // PIM: nobody's
    const auto decision =
        passthrough.decide(Instant{std::chrono::seconds(1)}, Direction::Outbound, packet, actions);
    QCOMPARE(decision.kind, PortlessDecision::Kind::Drop);
    QCOMPARE(decision.reason, DropReason::UnsupportedProtocol);
    QVERIFY(actions.bindings.empty());
}

void PassthroughTest::sameCalls_giveTheSameAnswers()
{
    const auto play = [] {
        Random random({10, 10});
        FlowPlayer player;
        player.play(tlsSession(random, {.serverName = "vpn.example.com"}, 443));
        player.play(dtlsTunnel(random, {.version = 0x0100, .sessionId = 32}, 0x0100, 443));
        player.play(wireGuard(random, 51820));
        player.play(openVpn(random, 1194, OpenVpnMode::TlsCryptV2, IpProtocol::Tcp));
        player.play(zeroTier(random, 9993));
        std::string all;
        for (const Observation& observation : player.observations) {
            all += std::to_string(static_cast<int>(observation.kind)) + ':' +
                   std::to_string(observation.key.discriminator) + ' ';
        }
        return all;
    };
    QVERIFY(!play().empty());
    QCOMPARE(play(), play());
}

QTEST_APPLESS_MAIN(PassthroughTest)
#include "passthrough_test.moc"
