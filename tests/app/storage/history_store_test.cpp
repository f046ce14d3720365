#include "app/storage/history_store.h"

#include <QTemporaryDir>
#include <QtTest>

using namespace app::storage;
using namespace std::chrono_literals;
using engine::Instant;
using engine::net::Ipv4Address;
using engine::net::Port;

namespace {

constexpr Instant kNoon{std::chrono::hours(24) * 20000 + 12h};

engine::tunnel::Tunnel tunnel(std::uint64_t serial, Instant started)
{
    engine::tunnel::Tunnel value;
    value.serial = serial;
    value.protocol = engine::net::VpnProtocol::Pptp;
    value.confidence = engine::tunnel::Confidence::Certain;
    value.phase = engine::tunnel::Phase::Closed;
    value.device = Ipv4Address{192, 0, 2, 21};
    value.server = {Ipv4Address{198, 51, 100, 9}, Port{1723}};
    value.external = {Ipv4Address{203, 0, 113, 7}, Port{40000}};
    value.transport = engine::net::IpProtocol::Tcp;
    value.passage = {engine::tunnel::PassageKind::CallId, 3, 51702};
    value.serverName = "vpn.example";
    value.product = "100%_\\ sure";
    value.started = started;
    value.ended = started + 10min;
    value.endCause = engine::tunnel::EventKind::PeerClosed;
    value.endCode = 4;
    value.outbound = {10, 1000, 1, 0, 0, {}};
    value.inbound = {20, 2000, 2, 0, 0, {}};
    value.roundTrip = 12ms;
    value.rekeys = 2;
    value.timeline = {{started, engine::tunnel::EventKind::ControlOpened,
                       engine::tunnel::Lane::Client, engine::tunnel::Lane::Server, 1723, 0, 1},
                      {started + 1s, engine::tunnel::EventKind::IdRewritten,
                       engine::tunnel::Lane::Router, engine::tunnel::Lane::Router, 3, 51702, 2}};
    value.findings = {{engine::tunnel::FindingKind::GreNeverReturns,
                       started + 2s,
                       5,
                       6,
                       {{0x45, 0, 1}, {}, {0xff}}}};
    return value;
}

engine::SessionRecord session(std::uint64_t serial, Instant started)
{
    engine::SessionRecord value;
    value.serial = serial;
    value.protocol = engine::net::IpProtocol::Udp;
    value.internal = {Ipv4Address{192, 0, 2, 30}, Port{5000}};
    value.external = {Ipv4Address{203, 0, 113, 7}, Port{41000}};
    value.remote = {Ipv4Address{198, 51, 100, 53}, Port{53}};
    value.answered = true;
    value.outbound = {1, 60};
    value.inbound = {1, 120};
    value.created = started;
    value.lastPacket = started + 1s;
    value.tunnelSerial = 9;
    value.forwardId = 2;
    return value;
}

HistoryStore fresh()
{
    auto store = HistoryStore::openIn({});
    if (!store.beginRun(kNoon)) qFatal("no history in memory");
    return store;
}

}  // namespace

class HistoryStoreTest final : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void tunnel_isFoundAgainWithTimelineAndProof()
    {
        auto store = fresh();
        const auto written = tunnel(1, kNoon);
        QVERIFY(store.write({written}, {}, kNoon));
        const auto rows = store.tunnels({});
        QVERIFY(rows);
        QCOMPARE(rows->size(), 1U);
        const auto& read = rows->front().tunnel;
        QCOMPARE(read.serverName, written.serverName);
        QCOMPARE(read.product, written.product);
        QVERIFY(read.server == written.server && read.external == written.external);
        QCOMPARE(read.passage.externalId, 51702U);
        QCOMPARE(read.passage.kind, engine::tunnel::PassageKind::CallId);
        QVERIFY(read.started == written.started && read.ended == written.ended);
        QCOMPARE(read.endCause, engine::tunnel::EventKind::PeerClosed);
        QCOMPARE(read.inbound.lost, 2U);
        QVERIFY(read.roundTrip == 12ms);
        QCOMPARE(read.timeline.size(), 2U);
        QCOMPARE(read.timeline[1].kind, engine::tunnel::EventKind::IdRewritten);
        QCOMPARE(read.timeline[1].b, 51702U);
        QCOMPARE(read.timeline[1].repeats, 2U);
        QVERIFY(read.timeline[1].at == kNoon + 1s);
        QCOMPARE(read.findings.size(), 1U);
        QVERIFY(read.findings[0].packets == written.findings[0].packets);
    }

    void tunnel_thatChanges_isOneRow()
    {
        auto store = fresh();
        auto value = tunnel(1, kNoon);
        value.phase = engine::tunnel::Phase::Handshaking;
        value.ended = Instant{};
        QVERIFY(store.write({value}, {}, kNoon));
        value = tunnel(1, kNoon);
        value.timeline.resize(1);
        QVERIFY(store.write({value}, {}, kNoon));
        const auto rows = store.tunnels({});
        QCOMPARE(rows->size(), 1U);
        QCOMPARE(rows->front().tunnel.phase, engine::tunnel::Phase::Closed);
        QCOMPARE(rows->front().tunnel.timeline.size(), 1U);
    }

    void serialsOfAnotherRun_areOtherTunnels()
    {
        auto store = fresh();
        auto live = tunnel(1, kNoon);
        live.ended = Instant{};
        QVERIFY(store.write({live}, {}, kNoon + 30s));
        QVERIFY(store.beginRun(kNoon + 1h));
        QVERIFY(store.write({tunnel(1, kNoon + 1h)}, {}, kNoon + 1h));
        const auto rows = store.tunnels({});
        QCOMPARE(rows->size(), 2U);
        // The one that the former run left open has ended where it was last seen.
        QVERIFY(rows->at(1).tunnel.ended == kNoon + 30s);
    }

    void query_narrowsByEverythingItNames()
    {
        auto store = fresh();
        for (std::uint64_t i = 1; i <= 50; ++i) {
            auto value = tunnel(i, kNoon + std::chrono::hours(i));
            value.device = Ipv4Address{192, 0, 2, static_cast<std::uint8_t>(i)};
            if (i % 2 == 0) value.protocol = engine::net::VpnProtocol::WireGuard;
            QVERIFY(store.write({value}, {session(i, kNoon + std::chrono::hours(i))}, kNoon));
        }
        const auto tunnels = [&](HistoryQuery query) {
            return store.tunnels(query)->size();
        };
        QCOMPARE(tunnels({}), 50U);
        QCOMPARE(tunnels({.device = Ipv4Address{192, 0, 2, 7}}), 1U);
        QCOMPARE(tunnels({.protocol = engine::net::VpnProtocol::WireGuard}), 25U);
        QCOMPARE(tunnels({.text = "wireGUARD"}), 25U);
        QCOMPARE(tunnels({.text = "192.0.2.50"}), 1U);
        QCOMPARE(tunnels({.text = "vpn.example"}), 50U);
        // Signs that LIKE treats specially are the user's own here.
        QCOMPARE(tunnels({.text = "100%_\\"}), 50U);
        QCOMPARE(tunnels({.text = "1%00"}), 0U);
        QCOMPARE(tunnels({.from = kNoon + 50h}), 1U);
        QCOMPARE(tunnels({.to = kNoon + 1h}), 1U);
        const auto page = store.tunnels({.limit = 10, .offset = 40, .timelines = false});
        QCOMPARE(page->size(), 10U);
        QCOMPARE(page->back().tunnel.serial, 1U);
        QVERIFY(page->back().tunnel.timeline.empty());

        QCOMPARE(store.sessions({})->size(), 50U);
        QCOMPARE(store.sessions({.text = "51.100.53:53"})->size(), 50U);
        QCOMPARE(store.sessions({.text = "10.9.9.9"})->size(), 0U);
        QCOMPARE(store.sessions({.device = Ipv4Address{192, 0, 2, 30}, .limit = 5})->size(), 5U);
        const auto row = store.sessions({.limit = 1})->front().session;
        QCOMPARE(row.serial, 50U);
        QCOMPARE(row.tunnelSerial, 9U);
        QCOMPARE(row.inbound.bytes, 120U);
    }

    void minutes_addUp()
    {
        auto store = fresh();
        MinuteCounters minute;
        minute.minute = 100;
        minute.outbound = {1, 10};
        minute.drops = {{engine::DropReason::NoMapping, 3}};
        QVERIFY(store.writeMinute(minute));
        QVERIFY(store.writeMinute(minute));
        const auto rows = store.minutes({});
        QCOMPARE(rows->size(), 1U);
        QCOMPARE(rows->front().outbound.bytes, 20U);
        QCOMPARE(rows->front().drops.size(), 1U);
        QCOMPARE(rows->front().drops[0].second, 6U);
    }

    void prune_byAge_keepsWhatIsYounger()
    {
        auto store = fresh();
        QVERIFY(store.write({tunnel(1, kNoon - 24h * 40), tunnel(2, kNoon - 1h)},
                            {session(1, kNoon - 24h * 40), session(2, kNoon - 1h)}, kNoon));
        QVERIFY(!*store.prune(kNoon, 30, 1024));
        QCOMPARE(store.tunnels({})->size(), 1U);
        QCOMPARE(store.sessions({})->size(), 1U);
        QCOMPARE(store.tunnels({})->front().tunnel.serial, 2U);
    }

    void prune_bySize_removesSessionsBeforeTunnels()
    {
        auto store = fresh();
        std::vector<engine::SessionRecord> sessions;
        for (std::uint64_t i = 0; i < 30000; ++i) {
            sessions.push_back(session(i, kNoon + std::chrono::seconds(i)));
        }
        QVERIFY(store.write({tunnel(1, kNoon)}, sessions, kNoon));
        int rounds = 0;
        while (*store.prune(kNoon, 0, 1) && ++rounds < 100) {
        }
        QVERIFY(rounds > 0 && rounds < 100);
        const auto left = store.sessions({.limit = 100000});
        QVERIFY(left->size() < 15000);
        QCOMPARE(store.tunnels({})->size(), 1U);
        // The newest stay.
        if (!left->empty()) QCOMPARE(left->front().session.serial, 29999U);
    }
};

QTEST_GUILESS_MAIN(HistoryStoreTest)
#include "history_store_test.moc"
