#include "engine/lab/ipsec.h"
#include "engine/lab/l2tp.h"
#include "engine/lab/portless.h"
#include "engine/lab/pptp.h"
#include "engine/lab/scenario.h"

#include <QtTest>

#include <functional>

using namespace engine;
using namespace engine::lab;

namespace {

constexpr Instant kStart{1h};
constexpr net::Ipv4Address kExternal{203, 0, 113, 2};
constexpr net::Ipv4Address kOwn{203, 0, 113, 3};      ///< the server's own (1:1)
constexpr net::Ipv4Address kCallers{203, 0, 113, 4};  ///< the first client's, then
constexpr net::Ipv4Address kServer{192, 168, 77, 10};
constexpr net::Ipv4Address kVisitor{198, 51, 100, 21};
constexpr int kClients = 3;

struct Kind {
    const char* name;
    std::vector<std::pair<net::IpProtocol, std::uint16_t>> forwards;
    std::function<void(Host&)> serve;
    std::function<void(Host&, int, net::Ipv4Address)> call;
};

Kind ipsec(const char* name, ike::Version version, bool natTraversal)
{
    return {name,
            {{net::IpProtocol::Udp, std::uint16_t{500}},
             {net::IpProtocol::Udp, std::uint16_t{4500}},
             {net::IpProtocol::Esp, std::uint16_t{0}}},
            [](Host& host) { host.run<IpsecGateway>(); },
            [=](Host& host, int i, net::Ipv4Address server) {
                host.run<IpsecClient>(IpsecClient::Options{.gateway = server,
                                                           .version = version,
                                                           .natTraversal = natTraversal,
                                                           .rekeyEvery = 30s,
                                                           .startAfter = i * 120ms});
            }};
}

Kind portless(const char* name, PortlessKind kind)
{
    return {name,
            {{protocolOf(kind), std::uint16_t{0}}},
            [=](Host& host) { host.run<PortlessServer>(kind); },
            [=](Host& host, int i, net::Ipv4Address server) {
                host.run<PortlessClient>(
                    PortlessClient::Options{.server = server,
                                            .kind = kind,
                                            .id = static_cast<std::uint16_t>(i + 1),
                                            .startAfter = i * 100ms});
            }};
}

const std::vector<Kind>& kinds()
{
    static const std::vector<Kind> all{
        {"PPTP",
         {{net::IpProtocol::Tcp, std::uint16_t{1723}}},
         [](Host& host) {
             host.run<PptpServer>(PptpServer::Options{.segmentSize = 7, .sameCallIds = true});
         },
         [](Host& host, int i, net::Ipv4Address server) {
             host.run<PptpClient>(PptpClient::Options{.server = server,
                                                      .callId = 1,
                                                      .calls = 2,
                                                      .segmentSize = 5,
                                                      .dialAfter = i * 50ms});
         }},
        ipsec("ESP after IKEv2", ike::Version::V2, false),
        ipsec("ESP after IKEv1", ike::Version::V1, false),
        ipsec("IKEv2 with NAT traversal", ike::Version::V2, true),
        {"L2TP",
         {{net::IpProtocol::Udp, std::uint16_t{1701}}},
         [](Host& host) { host.run<L2tpServer>(L2tpServer::Options{}); },
         [](Host& host, int i, net::Ipv4Address server) {
             host.run<L2tpClient>(L2tpClient::Options{.server = server, .dialAfter = i * 300ms});
         }},
        portless("keyed GRE", PortlessKind::GreKeyed),
        portless("plain GRE", PortlessKind::GreInner),
        portless("EoIP", PortlessKind::Eoip),
        portless("6in4", PortlessKind::SixInFour),
        portless("IPIP", PortlessKind::IpIp),
    };
    return all;
}

enum class Loops { Yes, NotThisForward, Never };
/// By which address the server is called: the shared one with forwards, its own without any.
enum class Called { Shared, Own };

net::Ipv4Address client(int i)
{
    return net::Ipv4Address{192, 168, 77, static_cast<std::uint8_t>(21 + i)};
}

/// Three devices call a server inside by an external address.
std::unique_ptr<Lab> play(const Kind& kind, Loops loops, Called called = Called::Shared,
                          bool visitor = false)
{
    EngineConfig config = labConfig(HashKey{3, 4});
    config.nat.hairpinning = loops != Loops::Never;
    if (called == Called::Own) {
        config.external.addresses = {kExternal, kOwn, kCallers};
        config.oneToOnes = {{.id = 1, .internalAddress = kServer, .externalAddress = kOwn},
                            {.id = 2, .internalAddress = client(0), .externalAddress = kCallers}};
    }
    auto lab = std::make_unique<Lab>(config, kStart);
    std::vector<policy::PortForward> forwards;
    for (const auto& [protocol, port] : kind.forwards) {
        if (called == Called::Own) break;
        policy::PortForward forward;
        forward.id = static_cast<std::uint32_t>(forwards.size() + 1);
        forward.protocol = protocol;
        forward.externalPorts = {net::Port{port}, net::Port{port}};
        forward.internalAddress = kServer;
        forward.internalFirst = net::Port{port};
        forward.hairpin = loops != Loops::NotThisForward;
        forwards.push_back(forward);
    }
    if (!lab->apply(SetPortForwards{forwards})) return nullptr;
    const net::Ipv4Address server = called == Called::Own ? kOwn : kExternal;
    kind.serve(lab->network().addInternal("server", kServer));
    for (int i = 0; i < kClients; ++i) {
        Host& host = lab->network().addInternal("client-" + std::to_string(i), client(i));
        kind.call(host, i, server);
    }
    if (visitor) {
        kind.call(lab->network().addExternal("visitor", kVisitor), kClients, server);
    }
    lab->advance(2min);
    return lab;
}

PeerReport clientsOf(const Lab& lab)
{
    PeerReport sum{.up = true};
    for (int i = 0; i < kClients; ++i) {
        sum += lab.reportOf(client(i));
    }
    return sum;
}

QByteArray faults(Lab& lab)
{
    QByteArray text;
    for (const Check& check : lab.results()) {
        if (!check.passed)
            text += QByteArray::fromStdString(check.what + ' ' + check.detail + '\n');
    }
    return text;
}

QByteArray dropsOf(Lab& lab)
{
    QByteArray text;
    const Snapshot snapshot = lab.snapshot();
    for (std::size_t i = 0; i < kDropReasonCount; ++i) {
        if (snapshot.counters.drops[i] == 0) continue;
        text += QByteArray::fromStdString(std::string{kDropReasons[i].name} + ' ' +
                                          std::to_string(snapshot.counters.drops[i]) + '\n');
    }
    return text;
}

void addKinds()
{
    QTest::addColumn<int>("index");
    QTest::addColumn<bool>("own");
    for (std::size_t i = 0; i < kinds().size(); ++i) {
        QTest::newRow(kinds()[i].name) << static_cast<int>(i) << false;
        QTest::addRow("%s, 1:1", kinds()[i].name) << static_cast<int>(i) << true;
    }
}

Called calledBy(bool own)
{
    return own ? Called::Own : Called::Shared;
}

}  // namespace

/// A server inside that devices inside call by an external address, the router's or the server's
/// own, for every protocol that a helper looks after (RFC 4787 REQ-9).
class HairpinTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void serverInside_calledByExternalAddress_data() { addKinds(); }
    void serverInside_calledByExternalAddress()
    {
        QFETCH(const int, index);
        QFETCH(const bool, own);
        const auto lab = play(kinds()[static_cast<std::size_t>(index)], Loops::Yes, calledBy(own));
        QVERIFY(lab != nullptr);
        QCOMPARE(faults(*lab), QByteArray{});
        const PeerReport clients = clientsOf(*lab);
        const QByteArray detail = "sent " + QByteArray::number(clients.sent) + " received " +
                                  QByteArray::number(clients.received) + '\n' + dropsOf(*lab);
        QVERIFY2(clients.up, detail.constData());
        QVERIFY2(clients.sent >= 150 && clients.received * 100 >= clients.sent * 95,
                 detail.constData());
        QCOMPARE(clients.wrong, std::uint64_t{0});
        QCOMPARE(clients.strays, std::uint64_t{0});
        // IKE that turns round is one tunnel of its caller's, not a second one of the server's.
        for (const tunnel::Tunnel& shown : lab->snapshot().tunnels) {
            const bool ipsec = shown.protocol == net::VpnProtocol::IpsecEsp ||
                               shown.protocol == net::VpnProtocol::IpsecNatT;
            if (ipsec) QVERIFY(shown.device != kServer);
        }
        const Counters counters = lab->snapshot().counters;
        QVERIFY(counters.hairpinned.packets >= 2 * clients.received);
        // Not one packet has left the house.
        QCOMPARE(lab->network().counters().emittedExternal, std::uint64_t{0});
    }

    void switchedOff_noData_data() { addKinds(); }
    void switchedOff_noData()
    {
        QFETCH(const int, index);
        QFETCH(const bool, own);
        for (const Loops loops : {Loops::Never, Loops::NotThisForward}) {
            // Only forwards have a switch of their own.
            if (own && loops == Loops::NotThisForward) continue;
            const auto lab = play(kinds()[static_cast<std::size_t>(index)], loops, calledBy(own));
            QVERIFY(lab != nullptr);
            QCOMPARE(clientsOf(*lab).received, std::uint64_t{0});
            QCOMPARE(lab->snapshot().counters.hairpinned.packets, std::uint64_t{0});
            QCOMPARE(lab->network().counters().emittedExternal, std::uint64_t{0});
        }
    }

    void restart_ofTheRouter_theTunnelsGoOn_data() { addKinds(); }
    void restart_ofTheRouter_theTunnelsGoOn()
    {
        QFETCH(const int, index);
        QFETCH(const bool, own);
        const auto lab = play(kinds()[static_cast<std::size_t>(index)], Loops::Yes, calledBy(own));
        QVERIFY(lab != nullptr);
        const PeerReport before = clientsOf(*lab);
        QVERIFY(lab->restart());
        lab->advance(1min);
        const PeerReport after = clientsOf(*lab);
        const std::uint64_t sent = after.sent - before.sent;
        const std::uint64_t received = after.received - before.received;
        const QByteArray detail =
            "sent " + QByteArray::number(static_cast<qulonglong>(sent)) + " received " +
            QByteArray::number(static_cast<qulonglong>(received)) + '\n' + dropsOf(*lab);
        QVERIFY2(sent >= 150 && received * 100 >= sent * 95, detail.constData());
        QCOMPARE(after.failures, before.failures);
    }

    void visitorFromOutside_isServedBesides_data() { addKinds(); }
    void visitorFromOutside_isServedBesides()
    {
        QFETCH(const int, index);
        QFETCH(const bool, own);
        const auto lab =
            play(kinds()[static_cast<std::size_t>(index)], Loops::Yes, calledBy(own), true);
        QVERIFY(lab != nullptr);
        QCOMPARE(faults(*lab), QByteArray{});
        for (const PeerReport& report : {clientsOf(*lab), lab->reportOf(kVisitor)}) {
            const QByteArray detail = "sent " + QByteArray::number(report.sent) + " received " +
                                      QByteArray::number(report.received) + '\n' + dropsOf(*lab);
            QVERIFY2(report.up && report.received * 100 >= report.sent * 95, detail.constData());
        }
    }
};

QTEST_APPLESS_MAIN(HairpinTest)
#include "hairpin_test.moc"
