#include "engine/passthrough/ipsec.h"

#include <QTest>

#include "tests/engine/passthrough/ipsec_nat.h"

using namespace ipsecworld;

class IpsecTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void authenticationHeader_isRefusedWithAFinding();
    void natTraversal_ofEightClients_isOneTunnelEach_data();
    void natTraversal_ofEightClients_isOneTunnelEach();
    void negotiation_begunOn4500_isOneTunnel();
    void olderWindowsTunnel_thatGoesSilent_isAFinding_data();
    void olderWindowsTunnel_thatGoesSilent_isAFinding();
    void negotiation_begunOutside_isLabelledAlike();
    void keepalives_areCounted();
    void legacyServer_isToldApartByCookie();
    void legacyServer_withoutAMapping_isToldApartByCookie();
    void foreignCookie_isNotRedirected();
    void otherProtocols_onIpsecPorts_areNotClaimed_data();
    void otherProtocols_onIpsecPorts_areNotClaimed();
    void espInUdpWithoutIke_isLikely();
    void ikeOverTcp_splitAnywhere_isRead();
    void otherTcp_thatBeginsLikeIke_isNotClaimed();
    void clearNotices_explainFailures();
    void cookieAndRedirect_areInTheTimeline_data();
    void cookieAndRedirect_areInTheTimeline();
    void weakProposal_isAFinding();
    void upstreamNat_isFoundByTheHash();
    void silentServer_isAFinding();
};

// ---- AH, silence --------------------------------------------------------------------------------

void IpsecTest::authenticationHeader_isRefusedWithAFinding()
{
    const policy::PassthroughPolicy policy;
    IpsecInspector inspector(kSeed, policy);
    PortlessPacket packet;
    packet.protocol = net::IpProtocol::Ah;
    packet.internal = clientAddress(0);
    packet.external = kExternal;
    packet.remote = kServer;
    Bytes bytes{50, 4, 0, 0, 0, 0, 0x12, 0x34, 0, 0, 0, 1};
    bytes.resize(24);
    packet.payload = bytes;
    packet.packet = bytes;
    QVERIFY(inspector.owns(net::IpProtocol::Ah, bytes));
    Actions actions;
    for (int i = 0; i < 10; ++i) {
        const auto decision = inspector.decide(Instant{1h}, Direction::Outbound, packet, actions);
        QVERIFY(decision.kind == PortlessDecision::Kind::Drop);
        QVERIFY(decision.reason == DropReason::AhUntranslatable);
    }
    const auto findings = std::ranges::count_if(actions.observations, [](const auto& seen) {
        return seen.kind == tunnel::Observation::Kind::Finding &&
               seen.finding == tunnel::FindingKind::AhCannotPass && seen.a == 0x1234;
    });
    QCOMPARE(findings, std::ptrdiff_t{1});
    QVERIFY(actions.bindings.empty());
    const auto inbound = inspector.decide(Instant{1h}, Direction::Inbound, packet, actions);
    QVERIFY(inbound.reason == DropReason::AhUntranslatable);
}

// ---- NAT traversal ------------------------------------------------------------------------------

namespace {

Bytes hashOf(std::uint64_t spiI, std::uint64_t spiR, net::Endpoint endpoint)
{
    ike::Header header;
    header.initiatorSpi = spiI;
    header.responderSpi = spiR;
    const auto digest = ike::natDetectionHash(header, endpoint);
    return {digest.begin(), digest.end()};
}

/// AES-CBC 12 and group 14, or what is given.
Bytes proposal2(std::uint16_t encryption = 12, std::uint16_t group = 14)
{
    Bytes bytes{0, 0, 0, 24, 1, 1, 0, 2};
    append(bytes, {3, 0, 0, 8, 1, 0});
    append(bytes, number(encryption, 2));
    append(bytes, {0, 0, 0, 8, 4, 0});
    append(bytes, number(group, 2));
    return bytes;
}

IkeMessage saInit(std::uint64_t spiI, std::uint64_t spiR)
{
    IkeMessage message;
    message.initiatorSpi = spiI;
    message.responderSpi = spiR;
    message.exchange = 34;
    message.flags = spiR == 0 ? 8 : 32;
    message.payloads = {{33, proposal2()}};
    return message;
}

/// The first two messages of a version 2 negotiation that finds a NAT.
void negotiate(FakeNat& nat, Instant now, std::size_t client, std::uint64_t spi)
{
    IkeMessage request = saInit(spi, 0);
    request.payloads.push_back({41, notify(16388, Bytes(20, 1))});
    request.payloads.push_back({41, notify(16389, Bytes(20, 2))});
    nat.udp(now, client, Direction::Outbound, build(request));
    IkeMessage response = saInit(spi, spi + 1);
    const net::Endpoint external{kExternal, FakeNat::externalPort(client, 500)};
    response.payloads.push_back({41, notify(16388, Bytes(20, 3))});
    response.payloads.push_back({41, notify(16389, hashOf(spi, spi + 1, external))});
    nat.udp(now + 20ms, client, Direction::Inbound, build(response));
}

std::ptrdiff_t countFindings(const FakeNat& nat, tunnel::FindingKind kind)
{
    return std::ranges::count_if(nat.observations, [&](const auto& seen) {
        return seen.kind == tunnel::Observation::Kind::Finding && seen.finding == kind;
    });
}
std::ptrdiff_t countEvents(const FakeNat& nat, tunnel::EventKind kind)
{
    return std::ranges::count_if(nat.observations, [&](const auto& seen) {
        return seen.kind == tunnel::Observation::Kind::Event && seen.event == kind;
    });
}

}  // namespace

void IpsecTest::natTraversal_ofEightClients_isOneTunnelEach_data()
{
    QTest::addColumn<int>("version");
    QTest::newRow("IKEv1") << 1;
    QTest::newRow("IKEv2") << 2;
}

void IpsecTest::natTraversal_ofEightClients_isOneTunnelEach()
{
    QFETCH(int, version);
    const policy::PassthroughPolicy policy;
    FakeNat nat(policy);
    const Instant start{1h};
    std::set<tunnel::TunnelKey> keys;
    for (std::size_t client = 0; client < 8; ++client) {
        const std::uint64_t spi = 0x1000 + client * 0x100;
        nat.observations.clear();
        std::set<tunnel::TunnelKey> own;
        if (version == 2) {
            negotiate(nat, start, client, spi);
        } else {
            const Bytes natT{0x4a, 0x13, 0x1c, 0x81, 0x07, 0x03, 0x58, 0x45,
                             0x5c, 0x57, 0x28, 0xf2, 0x0e, 0x95, 0x45, 0x2f};
            IkeMessage message;
            message.version = 1;
            message.exchange = 2;
            message.initiatorSpi = spi;
            message.payloads = {{13, natT}};
            nat.udp(start, client, Direction::Outbound, build(message));
            message.responderSpi = spi + 1;
            message.payloads = {{1, Bytes(40, 0)}, {13, natT}};
            nat.udp(start + 20ms, client, Direction::Inbound, build(message));
        }
        IkeMessage next;
        next.version = static_cast<std::uint8_t>(version);
        next.initiatorSpi = spi;
        next.responderSpi = spi + 1;
        next.exchange = version == 2 ? 35 : 2;
        next.flags = version == 2 ? 8 : 1;
        next.messageId = version == 2 ? 1 : 0;
        QVERIFY(nat.udp(start + 40ms, client, Direction::Outbound, withMarker(build(next)), 4500));
        next.flags = version == 2 ? 32 : 1;
        next.padding = 80;
        QVERIFY(nat.udp(start + 60ms, client, Direction::Inbound, withMarker(build(next)), 4500));
        const auto out = static_cast<std::uint32_t>(0x10000 + client);
        QVERIFY(nat.udp(start + 70ms, client, Direction::Outbound, esp(out, 1), 4500));
        QVERIFY(nat.udp(start + 90ms, client, Direction::Inbound, esp(out + 100, 1), 4500));

        QCOMPARE(countEvents(nat, tunnel::EventKind::FloatedTo4500), std::ptrdiff_t{1});
        QCOMPARE(countFindings(nat, tunnel::FindingKind::UpstreamNat), std::ptrdiff_t{0});
        tunnel::Phase phase = tunnel::Phase::Seen;
        net::VpnProtocol protocol = net::VpnProtocol::Pptp;
        tunnel::Confidence confidence = tunnel::Confidence::Guess;
        for (const auto& seen : nat.observations) {
            own.insert(seen.key);
            if (seen.kind == tunnel::Observation::Kind::Phase) phase = seen.phase;
            if (seen.kind != tunnel::Observation::Kind::Label) continue;
            protocol = seen.protocol;
            confidence = seen.confidence;
        }
        QCOMPARE(own.size(), std::size_t{1});
        QVERIFY(phase == tunnel::Phase::Established);
        QVERIFY(protocol == net::VpnProtocol::IpsecNatT);
        QVERIFY(confidence == tunnel::Confidence::Certain);
        keys.insert(own.begin(), own.end());
    }
    QCOMPARE(keys.size(), std::size_t{8});
    QCOMPARE(nat.heldCount, std::size_t{0});  // who has floated waits for nobody
    QVERIFY(nat.sessions.empty());
}

/// Some clients do without port 500 altogether.
void IpsecTest::negotiation_begunOn4500_isOneTunnel()
{
    const policy::PassthroughPolicy policy;
    FakeNat nat(policy);
    const Instant start{1h};
    IkeMessage request = saInit(100, 0);
    request.payloads.push_back({41, notify(16389, Bytes(20, 2))});
    IkeMessage response = saInit(100, 101);
    const net::Endpoint external{kExternal, FakeNat::externalPort(1, 4500)};
    response.payloads.push_back({41, notify(16389, hashOf(100, 101, external))});
    nat.udp(start, 1, Direction::Outbound, withMarker(build(request)), 4500);
    nat.udp(start + 20ms, 1, Direction::Inbound, withMarker(build(response)), 4500);
    nat.udp(start + 21ms, 1, Direction::Outbound, withMarker(auth(100, 8)), 4500);
    nat.udp(start + 40ms, 1, Direction::Inbound, withMarker(auth(100, 32)), 4500);
    nat.udp(start + 50ms, 1, Direction::Outbound, esp(0x5000, 1), 4500);
    nat.udp(start + 70ms, 1, Direction::Inbound, esp(0x6000, 1), 4500);
    std::set<tunnel::TunnelKey> keys;
    tunnel::Phase phase = tunnel::Phase::Seen;
    tunnel::Confidence confidence = tunnel::Confidence::Guess;
    for (const auto& seen : nat.observations) {
        keys.insert(seen.key);
        if (seen.kind == tunnel::Observation::Kind::Phase) phase = seen.phase;
        if (seen.kind != tunnel::Observation::Kind::Label) continue;
        QVERIFY(seen.protocol == net::VpnProtocol::IpsecNatT);
        confidence = seen.confidence;
    }
    QCOMPARE(keys.size(), std::size_t{1});
    QVERIFY(phase == tunnel::Phase::Established);
    QVERIFY(confidence == tunnel::Confidence::Certain);
    QCOMPARE(countEvents(nat, tunnel::EventKind::FloatedTo4500), std::ptrdiff_t{0});
    QCOMPARE(countFindings(nat, tunnel::FindingKind::UpstreamNat), std::ptrdiff_t{0});
    QCOMPARE(nat.heldCount, std::size_t{0});
}

void IpsecTest::olderWindowsTunnel_thatGoesSilent_isAFinding_data()
{
    QTest::addColumn<int>("version");
    QTest::addColumn<bool>("windows");
    QTest::addColumn<bool>("answered");
    QTest::addColumn<bool>("found");
    QTest::newRow("two Windows clients of L2TP over IPsec") << 1 << true << false << true;
    QTest::newRow("the server still answers the older") << 1 << true << true << false;
    QTest::newRow("other clients") << 1 << false << false << false;
    QTest::newRow("IKEv2, which knows no transport mode for L2TP") << 2 << true << false << false;
}

// RFC 3948 §5.2
void IpsecTest::olderWindowsTunnel_thatGoesSilent_isAFinding()
{
    QFETCH(int, version);
    QFETCH(bool, windows);
    QFETCH(bool, answered);
    QFETCH(bool, found);
    const policy::PassthroughPolicy policy;
    FakeNat nat(policy);
    Bytes vendor{0x1e, 0x2b, 0x51, 0x69, 0x05, 0x99, 0x1c, 0x7d,
                 0x7c, 0x96, 0xfc, 0xbf, 0xb5, 0x87, 0xe4, 0x61};
    if (!windows) vendor[0] = 0x1f;
    append(vendor, {0, 0, 0, 9});
    const auto up = [&](Instant at, std::size_t client) {
        IkeMessage first;
        first.version = static_cast<std::uint8_t>(version);
        first.exchange = version == 1 ? 2 : 34;
        first.flags = version == 1 ? 0 : 8;
        first.initiatorSpi = 100 + client;
        first.payloads = {{static_cast<std::uint8_t>(version == 1 ? 13 : 43), vendor}};
        nat.udp(at, client, Direction::Outbound, build(first));
        first.responderSpi = 200 + client;
        first.flags = version == 1 ? 0 : 32;
        nat.udp(at + 10ms, client, Direction::Inbound, build(first));
        IkeMessage next;
        next.version = first.version;
        next.exchange = version == 1 ? 2 : 35;
        next.flags = version == 1 ? 1 : 8;
        next.initiatorSpi = first.initiatorSpi;
        next.responderSpi = first.responderSpi;
        next.messageId = version == 1 ? 0 : 1;
        nat.udp(at + 20ms, client, Direction::Outbound, withMarker(build(next)), 4500);
    };
    const auto talk = [&](Instant at, std::size_t client, std::uint32_t sequence, bool answer) {
        const auto spi = static_cast<std::uint32_t>(0x5000 + client);
        nat.udp(at, client, Direction::Outbound, esp(spi, sequence), 4500);
        if (answer) nat.udp(at + 20ms, client, Direction::Inbound, esp(spi + 16, sequence), 4500);
    };
    const Instant start{1h};
    up(start, 0);
    std::uint32_t sequence = 0;
    for (int i = 1; i <= 10; ++i)
        talk(start + 1s * i, 0, ++sequence, true);
    up(start + 11s, 1);
    talk(start + 12s, 1, 1, true);
    for (int i = 13; i <= 60; ++i) {
        talk(start + 1s * i, 0, ++sequence, answered);
        talk(start + 1s * i, 1, sequence, true);
    }
    QCOMPARE(countFindings(nat, tunnel::FindingKind::ServerAllowsOneClient),
             std::ptrdiff_t{found ? 1 : 0});
    for (const auto& seen : nat.observations) {
        if (seen.kind != tunnel::Observation::Kind::Finding ||
            seen.finding != tunnel::FindingKind::ServerAllowsOneClient) {
            continue;
        }
        QCOMPARE(seen.key.device, clientAddress(0));
        QVERIFY(!seen.packet.empty());
    }
}

void IpsecTest::negotiation_begunOutside_isLabelledAlike()
{
    // The server is inside, behind a port forward.
    const policy::PassthroughPolicy policy;
    IpsecInspector inspector(kSeed, policy);
    Flow flow;
    flow.id = 1;
    flow.internal = {clientAddress(0), net::Port{500}};
    flow.external = {kExternal, net::Port{500}};
    flow.remote = {net::Ipv4Address{198, 51, 100, 77}, net::Port{61000}};
    flow.initiator = Direction::Inbound;
    Actions actions;
    IkeMessage request = saInit(100, 0);
    request.payloads.push_back({41, notify(16389, hashOf(100, 0, flow.external))});
    Bytes bytes = build(request);
    Segment segment;
    segment.direction = Direction::Inbound;
    segment.payload = bytes;
    QVERIFY(inspector.consider(Instant{1h}, flow, segment) == Inspector::Claim::Claimed);
    inspector.inspect(Instant{1h}, flow, segment, actions);
    const auto lastLabel = [&] {
        const auto found = std::ranges::find_if(
            actions.observations.rbegin(), actions.observations.rend(),
            [](const auto& seen) { return seen.kind == tunnel::Observation::Kind::Label; });
        return found == actions.observations.rend() ? tunnel::Observation{} : *found;
    };
    QVERIFY(lastLabel().confidence == tunnel::Confidence::Likely);
    QVERIFY(lastLabel().protocol == net::VpnProtocol::IpsecNatT);
    IkeMessage response = saInit(100, 101);
    response.payloads.push_back({41, notify(16389, Bytes(20, 5))});
    bytes = build(response);
    segment.direction = Direction::Outbound;
    segment.payload = bytes;
    inspector.inspect(Instant{1h} + 1ms, flow, segment, actions);
    QVERIFY(lastLabel().confidence == tunnel::Confidence::Certain);
    QVERIFY(lastLabel().protocol == net::VpnProtocol::IpsecNatT);
}

void IpsecTest::keepalives_areCounted()
{
    const policy::PassthroughPolicy policy;
    FakeNat nat(policy);
    const Instant start{1h};
    negotiate(nat, start, 0, 0x1000);
    nat.udp(start + 1s, 0, Direction::Outbound, withMarker(auth(0x1000, 8)), 4500);
    for (int i = 0; i < 30; ++i) {
        QVERIFY(nat.udp(start + 20s * (i + 1), 0, Direction::Outbound, Bytes{0xff}, 4500));
    }
    std::uint32_t counted = 0;
    for (const auto& seen : nat.observations) {
        if (seen.kind == tunnel::Observation::Kind::Event &&
            seen.event == tunnel::EventKind::Keepalive) {
            counted = seen.a;
        }
    }
    QCOMPARE(counted, std::uint32_t{28});  // told once a minute, the last time at the 28th
}

// ---- servers that insist on port 500 ------------------------------------------------------------

void IpsecTest::legacyServer_isToldApartByCookie()
{
    const policy::PassthroughPolicy policy;
    FakeNat nat(policy);
    const Instant start{1h};
    nat.udp(start, 0, Direction::Outbound, build(saInit(100, 0)));
    nat.udp(start, 1, Direction::Outbound, build(saInit(200, 0)));
    nat.udp(start, 2, Direction::Outbound, build(saInit(300, 0)));
    QVERIFY(nat.udp(start + 10ms, 0, Direction::Inbound, build(saInit(100, 101))));
    QCOMPARE(nat.attention.redirect, FlowId{0});
    // The second client's answer comes to port 500, which is the first one's.
    QVERIFY(nat.udp(start + 20ms, 0, Direction::Inbound, build(saInit(200, 201))));
    QCOMPARE(nat.attention.redirect, nat.flowOf(1).id);
    QCOMPARE(countEvents(nat, tunnel::EventKind::LegacyPort500), std::ptrdiff_t{3});
    QVERIFY(nat.udp(start + 30ms, 0, Direction::Inbound, build(saInit(300, 301))));
    QCOMPARE(nat.attention.redirect, nat.flowOf(2).id);
    // A client that comes later leaves from 500 at once.
    nat.udp(start + 1s, 3, Direction::Outbound, build(saInit(400, 0)));
    const auto& aliases = nat.actions.aliases;
    QCOMPARE(aliases.size(), std::size_t{1});
    QCOMPARE(aliases[0].flow, nat.flowOf(3).id);
    QCOMPARE(aliases[0].externalPort.hostOrder(), std::uint16_t{500});
    QVERIFY(aliases[0].sendFromExternalPort);
    // The server begins by itself: the oldest client is asked, after three seconds the next.
    const Bytes own = build(saInit(900, 0));
    nat.udp(start + 10s, 1, Direction::Outbound, auth(200, 8));
    nat.udp(start + 10s, 0, Direction::Inbound, own);
    QCOMPARE(nat.attention.redirect, FlowId{0});
    nat.udp(start + 14s, 0, Direction::Inbound, own);
    QCOMPARE(nat.attention.redirect, nat.flowOf(1).id);
}

void IpsecTest::legacyServer_withoutAMapping_isToldApartByCookie()
{
    const policy::PassthroughPolicy policy;
    FakeNat nat(policy);
    const Instant start{1h};
    nat.udp(start, 1, Direction::Outbound, build(saInit(200, 0)));
    Actions actions;
    const auto redirect =
        nat.inspector->unmatchedUdp(start + 20ms, {kExternal, net::Port{500}},
                                    {kServer, net::Port{500}}, build(saInit(200, 201)), actions);
    QVERIFY(redirect.has_value());
    QCOMPARE(redirect->flow, nat.flowOf(1).id);
    QCOMPARE(actions.aliases.size(), std::size_t{1});
    // Another server's packet with this cookie, and another cookie of this server: nobody's.
    QVERIFY(!nat.inspector->unmatchedUdp(start, {kExternal, net::Port{500}},
                                         {net::Ipv4Address{203, 0, 113, 99}, net::Port{500}},
                                         build(saInit(200, 201)), actions));
    QVERIFY(!nat.inspector->unmatchedUdp(start, {kExternal, net::Port{500}},
                                         {kServer, net::Port{500}}, build(saInit(201, 202)),
                                         actions));
    QVERIFY(!nat.inspector->unmatchedUdp(start, {kExternal, net::Port{1701}},
                                         {kServer, net::Port{1701}}, Bytes(40, 7), actions));
}

void IpsecTest::foreignCookie_isNotRedirected()
{
    const policy::PassthroughPolicy policy;
    FakeNat nat(policy);
    const Instant start{1h};
    nat.udp(start, 0, Direction::Outbound, build(saInit(100, 0)));
    nat.udp(start, 1, Direction::Outbound, build(saInit(200, 0)));
    // Two clients with the same cookie: nobody's, rather than a guess.
    nat.udp(start, 2, Direction::Outbound, build(saInit(200, 0)));
    nat.udp(start + 10ms, 0, Direction::Inbound, build(saInit(200, 201)));
    QCOMPARE(nat.attention.redirect, FlowId{0});
    // A reply that no request explains changes nothing.
    nat.observations.clear();
    nat.udp(start + 10ms, 0, Direction::Inbound, build(saInit(777, 778)));
    QCOMPARE(nat.attention.redirect, FlowId{0});
    QVERIFY(nat.observations.empty());
}

// ---- recognition --------------------------------------------------------------------------------

void IpsecTest::otherProtocols_onIpsecPorts_areNotClaimed_data()
{
    QTest::addColumn<QByteArray>("first");
    const auto row = [](const char* name, Bytes bytes) {
        QTest::newRow(name) << QByteArray(reinterpret_cast<const char*>(bytes.data()),
                                          static_cast<qsizetype>(bytes.size()));
    };
    Bytes initiation(148, 0x3c);
    initiation[0] = 1;
    initiation[1] = initiation[2] = initiation[3] = 0;
    row("WireGuard initiation", initiation);
    initiation[1] = 0xd2;
    row("WARP initiation", initiation);
    Bytes data(96, 0x41);
    data[0] = 4;
    data[1] = data[2] = data[3] = 0;
    row("WireGuard data", data);
    data[2] = 0x99;
    row("WARP data", data);
    row("DNS", {0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 'a', 0, 0, 1, 0, 1});
    row("zeros", Bytes(64, 0));
    Bytes wrongLength = build(saInit(100, 0));
    wrongLength.push_back(0);
    row("IKE with an octet too many", wrongLength);
    Bytes zeroSpi = build(saInit(0, 0));
    row("IKE without initiator SPI", zeroSpi);
}

void IpsecTest::otherProtocols_onIpsecPorts_areNotClaimed()
{
    QFETCH(QByteArray, first);
    const policy::PassthroughPolicy policy;
    for (const std::uint16_t port : std::array<std::uint16_t, 4>{500, 4500, 1701, 2408}) {
        IpsecInspector inspector(kSeed, policy);
        Flow flow;
        flow.id = 1;
        flow.internal = {clientAddress(0), net::Port{51820}};
        flow.external = {kExternal, net::Port{51820}};
        flow.remote = {kServer, net::Port{port}};
        const Bytes bytes(first.begin(), first.end());
        Segment segment;
        segment.payload = bytes;
        for (int i = 0; i < 8; ++i) {
            segment.direction = i % 2 == 0 ? Direction::Outbound : Direction::Inbound;
            QVERIFY(inspector.consider(Instant{1h}, flow, segment) != Inspector::Claim::Claimed);
        }
    }
}

void IpsecTest::espInUdpWithoutIke_isLikely()
{
    const policy::PassthroughPolicy policy;
    for (const std::uint16_t port : std::array<std::uint16_t, 2>{4500, 4501}) {
        IpsecInspector inspector(kSeed, policy);
        Flow flow;
        flow.id = 1;
        flow.internal = {clientAddress(0), net::Port{40000}};
        flow.external = {kExternal, net::Port{40000}};
        flow.remote = {kServer, net::Port{port}};
        const Bytes one = esp(0x12345678, 1);
        const Bytes two = esp(0x12345678, 2);
        Segment segment;
        segment.payload = one;
        if (port == 4501) {
            // GlobalProtect's, who has a recogniser of its own.
            QVERIFY(inspector.consider(Instant{1h}, flow, segment) == Inspector::Claim::NotMine);
            continue;
        }
        QVERIFY(inspector.consider(Instant{1h}, flow, segment) == Inspector::Claim::Undecided);
        segment.payload = two;
        QVERIFY(inspector.consider(Instant{1h}, flow, segment) == Inspector::Claim::Claimed);
        Actions actions;
        inspector.inspect(Instant{1h}, flow, segment, actions);
        const auto label = std::ranges::find(actions.observations, tunnel::Observation::Kind::Label,
                                             &tunnel::Observation::kind);
        QVERIFY(label != actions.observations.end());
        QVERIFY(label->confidence == tunnel::Confidence::Likely);
        QVERIFY(label->protocol == net::VpnProtocol::IpsecNatT);
        QCOMPARE(actions.attachments.size(), std::size_t{1});
        QVERIFY(actions.attachments[0].sequence == tunnel::SequenceKind::EspInUdp);
    }
}

void IpsecTest::ikeOverTcp_splitAnywhere_isRead()
{
    const policy::PassthroughPolicy policy;
    Bytes stream{'I', 'K', 'E', 'T', 'C', 'P'};
    const auto add = [&](const Bytes& content) {
        append(stream, number(content.size() + 2, 2));
        append(stream, content);
    };
    add(withMarker(build(saInit(100, 0))));
    add(withMarker(auth(100, 8)));
    add(esp(0x5000, 1, 200));
    add(esp(0x5001, 1));
    // Also inside the prefix, by which the flow is claimed.
    for (std::size_t cut = 1; cut <= stream.size(); ++cut) {
        IpsecInspector inspector(kSeed, policy);
        Flow flow;
        flow.id = 1;
        flow.protocol = net::IpProtocol::Tcp;
        flow.internal = {clientAddress(0), net::Port{40000}};
        flow.external = {kExternal, net::Port{40000}};
        flow.remote = {kServer, net::Port{4500}};
        Actions actions;
        Segment segment;
        segment.sequence = 0xfffffff0;
        segment.payload = wire::ConstBytes{stream}.first(cut);
        bool claimed = false;
        const auto show = [&] {
            const auto claim = claimed ? Inspector::Claim::Claimed
                                       : inspector.consider(Instant{1h}, flow, segment);
            claimed = claim == Inspector::Claim::Claimed;
            if (claimed) inspector.inspect(Instant{1h}, flow, segment, actions);
            return claim;
        };
        const auto first = cut < 6 ? Inspector::Claim::Undecided : Inspector::Claim::Claimed;
        QCOMPARE(show(), first);
        QCOMPARE(show(), first);  // once more, retransmitted
        segment.sequence += static_cast<std::uint32_t>(cut);
        segment.payload = wire::ConstBytes{stream}.subspan(cut);
        QCOMPARE(show(), Inspector::Claim::Claimed);
        std::vector<std::uint32_t> exchanges;
        std::uint32_t rekeys = 0;
        for (const auto& seen : actions.observations) {
            if (seen.kind == tunnel::Observation::Kind::Rekey) ++rekeys;
            if (seen.kind == tunnel::Observation::Kind::Event &&
                seen.event == tunnel::EventKind::KeyExchange) {
                exchanges.push_back(seen.a);
            }
        }
        QCOMPARE(exchanges, (std::vector<std::uint32_t>{34, 35}));
        QCOMPARE(rekeys, std::uint32_t{1});
    }
}

void IpsecTest::otherTcp_thatBeginsLikeIke_isNotClaimed()
{
    const policy::PassthroughPolicy policy;
    IpsecInspector inspector(kSeed, policy);
    Flow flow;
    flow.id = 1;
    flow.protocol = net::IpProtocol::Tcp;
    flow.remote = {kServer, net::Port{4500}};
    const auto shown = [&](FlowId id, std::uint32_t sequence, const Bytes& payload) {
        flow.id = id;
        Segment segment;
        segment.sequence = sequence;
        segment.payload = payload;
        return inspector.consider(Instant{1h}, flow, segment);
    };
    QVERIFY(shown(1, 0, {'I', 'K'}) == Inspector::Claim::Undecided);
    QVERIFY(shown(1, 2, {'E', 'A'}) == Inspector::Claim::NotMine);
    // Forgotten: the rest alone is no beginning.
    QVERIFY(shown(1, 3, {'T', 'C', 'P'}) == Inspector::Claim::NotMine);
    // A hole in the prefix.
    QVERIFY(shown(2, 0, {'I', 'K'}) == Inspector::Claim::Undecided);
    QVERIFY(shown(2, 3, {'T', 'C', 'P'}) == Inspector::Claim::NotMine);
}

// ---- what messages tell -------------------------------------------------------------------------

void IpsecTest::clearNotices_explainFailures()
{
    const policy::PassthroughPolicy policy;
    FakeNat nat(policy);
    const Instant start{1h};
    nat.udp(start, 0, Direction::Outbound, build(saInit(100, 0)));
    IkeMessage refusal = saInit(100, 101);
    refusal.payloads = {{41, notify(14)}};
    nat.udp(start + 10ms, 0, Direction::Inbound, build(refusal));
    const auto ended = std::ranges::find(nat.observations, tunnel::Observation::Kind::Ended,
                                         &tunnel::Observation::kind);
    QVERIFY(ended != nat.observations.end());
    QVERIFY(ended->phase == tunnel::Phase::Failed);
    QCOMPARE(ended->a, std::uint32_t{14});

    // The same from somebody who does not know the cookie: nothing.
    FakeNat other(policy);
    other.udp(start, 0, Direction::Outbound, build(saInit(100, 0)));
    refusal.initiatorSpi = 555;
    other.udp(start + 10ms, 0, Direction::Inbound, build(refusal));
    QVERIFY(std::ranges::find(other.observations, tunnel::Observation::Kind::Ended,
                              &tunnel::Observation::kind) == other.observations.end());

    FakeNat first(policy);
    IkeMessage main;
    main.version = 1;
    main.exchange = 2;
    main.initiatorSpi = 100;
    main.payloads = {{1, Bytes(40, 0)}};
    first.udp(start, 0, Direction::Outbound, build(main));
    main.exchange = 5;
    main.responderSpi = 101;
    main.payloads = {{11, {0, 0, 0, 1, 1, 0, 0, 24}}};
    first.udp(start, 0, Direction::Inbound, build(main));
    QCOMPARE(countFindings(first, tunnel::FindingKind::AuthenticationRefused), std::ptrdiff_t{1});
    QCOMPARE(countEvents(first, tunnel::EventKind::AuthenticationFailed), std::ptrdiff_t{1});
}

void IpsecTest::cookieAndRedirect_areInTheTimeline_data()
{
    QTest::addColumn<int>("notice");
    QTest::newRow("COOKIE") << 16390;
    QTest::newRow("REDIRECT") << 16407;
    QTest::newRow("neither") << 16388;
}

void IpsecTest::cookieAndRedirect_areInTheTimeline()
{
    QFETCH(int, notice);
    const policy::PassthroughPolicy policy;
    FakeNat nat(policy);
    const Instant start{1h};
    nat.udp(start, 0, Direction::Outbound, build(saInit(100, 0)));
    // RFC 7296 §2.6: no responder's SPI yet.
    IkeMessage challenge = saInit(100, 0);
    challenge.flags = 32;
    challenge.payloads = {{41, notify(static_cast<std::uint16_t>(notice), Bytes(20, 9))}};
    nat.udp(start + 20ms, 0, Direction::Inbound, build(challenge));
    IkeMessage again = saInit(100, 0);
    again.payloads.insert(again.payloads.begin(), challenge.payloads.front());
    nat.udp(start + 30ms, 0, Direction::Outbound, build(again));
    nat.udp(start + 50ms, 0, Direction::Inbound, build(saInit(100, 101)));
    const auto told = std::ranges::count_if(nat.observations, [&](const auto& seen) {
        return seen.kind == tunnel::Observation::Kind::Event &&
               seen.event == tunnel::EventKind::ControlMessage &&
               seen.b == static_cast<std::uint32_t>(notice);
    });
    QCOMPARE(told, std::ptrdiff_t{notice == 16388 ? 0 : 1});
    // It is one tunnel that goes on, and nothing to worry about.
    std::set<tunnel::TunnelKey> keys;
    for (const auto& seen : nat.observations) {
        keys.insert(seen.key);
        QVERIFY(seen.kind != tunnel::Observation::Kind::Ended);
        QVERIFY(seen.kind != tunnel::Observation::Kind::Finding);
        QVERIFY(seen.kind != tunnel::Observation::Kind::Retransmit);
    }
    QCOMPARE(keys.size(), std::size_t{1});
}

void IpsecTest::weakProposal_isAFinding()
{
    const policy::PassthroughPolicy policy;
    for (const bool weak : {false, true}) {
        FakeNat nat(policy);
        nat.udp(Instant{1h}, 0, Direction::Outbound, build(saInit(100, 0)));
        IkeMessage response = saInit(100, 101);
        if (weak) response.payloads = {{33, proposal2(3, 2)}};
        nat.udp(Instant{1h}, 0, Direction::Inbound, build(response));
        QCOMPARE(countFindings(nat, tunnel::FindingKind::WeakCrypto), std::ptrdiff_t{weak ? 1 : 0});
    }
}

void IpsecTest::upstreamNat_isFoundByTheHash()
{
    const policy::PassthroughPolicy policy;
    FakeNat nat(policy);
    const Instant start{1h};
    IkeMessage request = saInit(100, 0);
    request.payloads.push_back({41, notify(16389, Bytes(20, 2))});
    nat.udp(start, 0, Direction::Outbound, build(request));
    IkeMessage response = saInit(100, 101);
    // The server sees another address than ours: somebody outside translates once more.
    const net::Endpoint seen{net::Ipv4Address{100, 64, 0, 1}, net::Port{500}};
    response.payloads.push_back({41, notify(16389, hashOf(100, 101, seen))});
    nat.udp(start, 0, Direction::Inbound, build(response));
    QCOMPARE(countFindings(nat, tunnel::FindingKind::UpstreamNat), std::ptrdiff_t{1});
}

void IpsecTest::silentServer_isAFinding()
{
    const policy::PassthroughPolicy policy;
    FakeNat nat(policy);
    const Instant start{1h};
    for (int i = 0; i < 6; ++i) {
        nat.udp(start + 2s * i, 0, Direction::Outbound, build(saInit(100, 0)));
    }
    QCOMPARE(countFindings(nat, tunnel::FindingKind::NoAnswerFromServer), std::ptrdiff_t{1});
    // Answered on 500, silent on 4500.
    FakeNat floated(policy);
    negotiate(floated, start, 0, 0x1000);
    for (int i = 0; i < 6; ++i) {
        floated.udp(start + 2s * i, 0, Direction::Outbound, withMarker(auth(0x1000, 8)), 4500);
    }
    QCOMPARE(countFindings(floated, tunnel::FindingKind::Port4500NeverSeen), std::ptrdiff_t{1});
    // The same with a message that travels in fragments.
    FakeNat large(policy);
    negotiate(large, start, 0, 0x1000);
    for (int i = 0; i < 6; ++i) {
        large.udp(start + 2s * i, 0, Direction::Outbound, withMarker(auth(0x1000, 8, 2000)), 4500);
    }
    QCOMPARE(countFindings(large, tunnel::FindingKind::FragmentsLost), std::ptrdiff_t{1});
}

QTEST_APPLESS_MAIN(IpsecTest)
#include "ipsec_test.moc"
