#include "engine/passthrough/hello_watch.h"

#include <QTest>

#include "tests/engine/passthrough/flow_player.h"

using namespace engine;
using namespace engine::passthrough;
using namespace std::chrono_literals;
using namespace traffic;
using net::Direction;
using net::IpProtocol;
using net::VpnProtocol;
using tunnel::FindingKind;
using tunnel::Observation;

namespace {

constexpr std::uint8_t kFin = 0x01;
constexpr std::uint8_t kSyn = 0x02;
constexpr std::uint8_t kReset = 0x04;
constexpr std::uint8_t kPush = 0x18;
constexpr std::uint8_t kAck = 0x10;

/// A TCP connection of which the client's first message has just left.
struct Opened {
    Opened(FlowPlayer& to, const Bytes& first, std::uint16_t port = 443)
        : player(to), message(first), flow(to.open(IpProtocol::Tcp, port))
    {
        player.show(flow, Direction::Outbound, {}, 999, kSyn);
        player.show(flow, Direction::Inbound, {}, 4999, kSyn | kAck);
        player.show(flow, Direction::Outbound, {}, 1000, kAck);
        say();
    }
    void say() { player.show(flow, Direction::Outbound, message, 1000, kPush); }
    void server(std::uint8_t flags, const Bytes& payload = {})
    {
        player.show(flow, Direction::Inbound, payload, 5000, flags);
    }

    FlowPlayer& player;
    Bytes message;
    Flow flow;
};

int told(const FlowPlayer& player)
{
    return static_cast<int>(std::ranges::count_if(player.observations, [](const auto& one) {
        return one.kind == Observation::Kind::Finding && one.finding == FindingKind::CutAfterHello;
    }));
}

Bytes hello(std::string_view name, std::string_view alpn = {}, std::size_t padding = 0)
{
    Random random(HashKey{5, 6});
    return tlsClientHello(random, {.serverName = name, .alpn = alpn, .padding = padding});
}

}  // namespace

/// A network that lets no VPN over TCP begin (RFC 9293's reset, or silence, after the first
/// message).
class HelloWatchTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void vpnByName_resetTwice_isTold()
    {
        FlowPlayer player;
        Opened(player, hello("vpn.example.com")).server(kReset);
        QVERIFY(player.observations.empty());  // one reset is an accident
        player.now += 5s;
        Opened(player, hello("vpn.example.com")).server(kReset);
        QCOMPARE(told(player), 2);  // with the message and with the reset as proof
        QVERIFY(player.label());
        QCOMPARE(player.label()->protocol, VpnProtocol::Sstp);
        QCOMPARE(player.label()->confidence, tunnel::Confidence::Guess);
        const auto ended =
            std::ranges::find(player.observations, Observation::Kind::Ended, &Observation::kind);
        QVERIFY(ended != player.observations.end());
        QCOMPARE(ended->phase, tunnel::Phase::Failed);
        QCOMPARE(ended->event, tunnel::EventKind::ResetBy);
        // Not with every further attempt.
        player.now += 5s;
        Opened(player, hello("vpn.example.com")).server(kReset);
        QCOMPARE(told(player), 2);
    }

    void vpnByName_resetTwiceInTwoDays_isNotTold()
    {
        FlowPlayer player;
        Opened(player, hello("vpn.example.com")).server(kReset);
        player.now += 24h;
        Opened(player, hello("vpn.example.com")).server(kReset);
        QVERIFY(player.observations.empty());
    }

    void others_resetAgainAndAgain_areNotTold()
    {
        FlowPlayer player;
        for (int i = 0; i < 5; ++i) {
            Opened(player, hello("mail.example.com")).server(kReset);
            Opened(player, hello("vpn.example.com", "h2")).server(kReset);  // a browser
            Opened(player, Bytes(60, 'x')).server(kReset);
        }
        QVERIFY(player.observations.empty());
    }

    void resetAfterTheServerHasAnswered_isNotTold()
    {
        FlowPlayer player;
        Random random(HashKey{1, 1});
        for (int i = 0; i < 3; ++i) {
            Opened one(player, hello("vpn.example.com"));
            one.server(kPush, tlsServerFlight(random, "Example CA"));
            one.server(kReset);
        }
        QVERIFY(player.observations.empty());
    }

    void clientThatGivesUp_isNotTold()
    {
        FlowPlayer player;
        for (int i = 0; i < 3; ++i) {
            Opened one(player, hello("vpn.example.com"));
            player.show(one.flow, Direction::Outbound, {},
                        1000 + static_cast<std::uint32_t>(one.message.size()), kFin | kAck);
            one.server(kFin | kAck);
        }
        QVERIFY(player.observations.empty());
    }

    void closedByTheServer_isToldAsClosed()
    {
        FlowPlayer player;
        Opened(player, hello("vpn.example.com")).server(kFin | kAck);
        Opened(player, hello("vpn.example.com")).server(kFin | kAck);
        QCOMPARE(told(player), 2);
        QCOMPARE(player.observations.back().event, tunnel::EventKind::PeerClosed);
    }

    void swallowed_isToldWhileTheClientKeepsTrying()
    {
        FlowPlayer player;
        const auto attempt = [&](std::size_t padding) {
            Opened one(player, hello("vpn.example.com", {}, padding));
            for (int i = 0; i < 5; ++i) {
                player.now += 1500ms;
                one.say();
            }
        };
        // What is too large for the path is lost for that reason.
        attempt(1400);
        attempt(1400);
        QVERIFY(player.observations.empty());
        attempt(0);
        QVERIFY(player.observations.empty());
        attempt(0);
        QCOMPARE(told(player), 2);
        QCOMPARE(player.times(Observation::Kind::Ended), 0);  // it may still come through
    }

    void repeatedAtOnce_isNotSwallowed()
    {
        FlowPlayer player;
        for (int connection = 0; connection < 3; ++connection) {
            Opened one(player, hello("vpn.example.com"));
            for (int i = 0; i < 20; ++i)
                one.say();
        }
        QVERIFY(player.observations.empty());
    }

    void serverThatTheUserHasNamed_isToldAtOnce()
    {
        FlowPlayer player;
        policy::PassthroughPolicy policy;
        policy.set(VpnProtocol::Sstp,
                   {.mode = policy::PassthroughMode::Assist,
                    .exceptions = {{.server = net::Prefix{FlowPlayer::kServer, 32},
                                    .mode = policy::PassthroughMode::Assist}}});
        player.passthrough().setPolicy(policy);
        Opened(player, hello("www.example.com")).server(kReset);
        QCOMPARE(told(player), 2);
        QCOMPARE(player.observations.back().event, tunnel::EventKind::ResetBy);
    }

    void serverThatHasWorkedBefore_isToldWithoutAName()
    {
        FlowPlayer player;
        Random random(HashKey{7, 8});
        player.play(sstp(random, 443));
        QCOMPARE(player.label()->protocol, VpnProtocol::Sstp);
        QCOMPARE(told(player), 0);
        Opened(player, hello("www.example.com")).server(kReset);
        Opened(player, hello("www.example.com")).server(kReset);
        QCOMPARE(told(player), 2);
    }

    void openVpnOverTcp_isToldAtOnce()
    {
        Random random(HashKey{7, 8});
        const auto talk = openVpn(random, 443, OpenVpnMode::TlsCrypt, IpProtocol::Tcp);
        FlowPlayer player;
        Opened one(player, talk.messages.front().payload);
        QCOMPARE(player.label()->protocol, VpnProtocol::OpenVpn);
        QCOMPARE(told(player), 0);
        one.server(kReset);
        QCOMPARE(told(player), 2);
        QCOMPARE(player.observations.back().phase, tunnel::Phase::Failed);
        FlowPlayer other;
        Opened answered(other, talk.messages.front().payload);
        answered.server(kPush, talk.messages[1].payload);
        answered.server(kReset);
        QCOMPARE(told(other), 0);
    }

    void proof_isHeadersOnly()
    {
        HelloWatch watch;
        const Bytes packet(400, 0x45);
        const wire::ConstBytes whole{packet};
        Segment segment{.direction = Direction::Outbound,
                        .payload = whole.subspan(40),
                        .sequence = 1,
                        .tcpFlags = kPush,
                        .packet = whole};
        QVERIFY(!watch.take(Instant{1s}, Direction::Outbound, segment));
        QCOMPARE(watch.proof().size(), std::size_t{40});
        QCOMPARE(HelloWatch::headersOf(whole.first(12)).size(), std::size_t{12});
    }

    void names()
    {
        QVERIFY(isNamedForVpn("vpn.example.com"));
        QVERIFY(isNamedForVpn("office.MyVPN.example"));
        QVERIFY(isNamedForVpn("sstp.example.com"));
        QVERIFY(!isNamedForVpn("www.example.com"));
        QVERIFY(!isNamedForVpn(""));
    }
};

QTEST_APPLESS_MAIN(HelloWatchTest)
#include "hello_watch_test.moc"
