#include "ui/models/connection_model.h"
#include "ui/models/device_model.h"
#include "ui/models/event_models.h"
#include "ui/models/history_models.h"
#include "ui/models/rule_models.h"
#include "ui/models/timeline_model.h"
#include "ui/models/tunnel_model.h"

#include <QAbstractItemModelTester>
#include <QItemSelectionModel>
#include <QSignalSpy>
#include <QtTest>

#include <random>
#include <set>

#include "tests/ui/fake_network.h"
#include "tests/ui/thread_time.h"

using engine::net::Ipv4Address;
using engine::net::VpnProtocol;

namespace {

ui::Presentation presentation(int step)
{
    ui::Presentation p;
    p.now = fake::snapshot(step)->at;
    p.wallClock = QDateTime::currentDateTime();
    for (const auto& name : fake::deviceNames())
        p.devices[name.address] = name;
    return p;
}

std::vector<engine::SessionRecord> some(std::initializer_list<std::uint64_t> serials)
{
    std::vector<engine::SessionRecord> rows;
    for (const auto serial : serials) {
        engine::SessionRecord row;
        row.serial = serial;
        row.internal.address = Ipv4Address{static_cast<std::uint32_t>(0xc0000200U + serial % 200)};
        row.inbound.bytes = serial * 7919 % 1000;
        rows.push_back(row);
    }
    return rows;
}

QList<quint64> shownIds(const QAbstractItemModel& model)
{
    QList<quint64> ids;
    for (int row = 0; row < model.rowCount(); ++row)
        ids << model.index(row, 0).data(ui::IdRole).toULongLong();
    return ids;
}

}  // namespace

class RowModelTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void rows_thatStay_areNeverReset();
    void removedRun_isOneSignal();
    void scatteredChanges_areFewSignals();
    void selection_survivesUpdatesAndSorting();
    void randomUpdates_matchASlowObviousTable();
    void frozen_keepsTheTableAndThawsToTheNewest();
    void filter_onConnections_findsAddressNameAndState();
    void sort_byNumber_isNumeric();
    void columnZero_speaksTheWholeRow();
    void tunnels_rates_comeFromTwoSnapshots();
    void tunnels_filters_combine();
    void tunnels_serverRestart_doesNotGoNegative();
    void timeline_sameTunnel_onlyAppends();
    void portForwards_sayTheirConflict();
    void portForwardProblem_portFortySeven_isProtocol();
    void portForwardProblem_deviceElsewhere_isNotInternal();
    void portForwardProblem_whatTheRouterRefuses_isSaid();
    void events_areBounded();
    void drops_showOnlyWhatHappened();
    void everyModel_passesTheModelTester();
    void hundredThousandSessions_updateAndSort_areQuick();
};

void RowModelTest::rows_thatStay_areNeverReset()
{
    const auto p = presentation(0);
    ui::ConnectionModel model(p, this);
    QAbstractItemModelTester tester(&model, QAbstractItemModelTester::FailureReportingMode::QtTest);
    QSignalSpy reset(&model, &QAbstractItemModel::modelReset);
    for (int step = 0; step < 40; ++step)
        model.setSessions(fake::sessions(step * 5, 300), fake::snapshot(step)->at);
    QCOMPARE(reset.count(), 0);
    QCOMPARE(model.rowCount(), 300);
}

void RowModelTest::removedRun_isOneSignal()
{
    const auto p = presentation(0);
    ui::ConnectionModel model(p, this);
    model.setSessions(some({1, 2, 3, 4, 5}), p.now);
    QSignalSpy removed(&model, &QAbstractItemModel::rowsRemoved);
    QSignalSpy layout(&model, &QAbstractItemModel::layoutChanged);
    model.setSessions(some({1, 4, 5}), p.now);
    QCOMPARE(removed.count(), 1);
    QCOMPARE(layout.count(), 0);
    QCOMPARE(shownIds(model), (QList<quint64>{5, 4, 1}));
}

void RowModelTest::scatteredChanges_areFewSignals()
{
    const auto p = presentation(0);
    ui::ConnectionModel model(p, this);
    model.setSessions(fake::sessions(0, 5000), p.now);
    QSignalSpy removed(&model, &QAbstractItemModel::rowsRemoved);
    QSignalSpy inserted(&model, &QAbstractItemModel::rowsInserted);
    QSignalSpy layout(&model, &QAbstractItemModel::layoutChanged);
    QSignalSpy data(&model, &QAbstractItemModel::dataChanged);
    auto rows = fake::sessions(300, 5000);
    std::vector<engine::SessionRecord> odd;
    for (const auto& row : rows) {
        if (row.serial % 3 != 0) odd.push_back(row);
    }
    model.setSessions(odd, p.now);
    QCOMPARE(removed.count(), 1);
    QCOMPARE(inserted.count(), 1);
    QCOMPARE(data.count(), 1);
    QVERIFY(layout.count() <= 2);
    QCOMPARE(model.rowCount(), static_cast<int>(odd.size()));
}

void RowModelTest::selection_survivesUpdatesAndSorting()
{
    const auto p = presentation(0);
    ui::ConnectionModel model(p, this);
    QItemSelectionModel selection(&model);
    model.setSessions(some({1, 2, 3, 4, 5, 6, 7, 8}), p.now);
    const auto select = [&](quint64 id) {
        selection.setCurrentIndex(model.index(model.rowOf(id), 0),
                                  QItemSelectionModel::ClearAndSelect | QItemSelectionModel::Rows);
    };
    select(5);
    model.setSessions(some({2, 3, 5, 8, 9, 10, 11}), p.now);
    QCOMPARE(selection.currentIndex().data(ui::IdRole).toULongLong(), 5U);
    QVERIFY(selection.isRowSelected(model.rowOf(5)));
    model.sort(ui::ConnectionModel::Inbound, Qt::AscendingOrder);
    QCOMPARE(selection.currentIndex().data(ui::IdRole).toULongLong(), 5U);
    QCOMPARE(selection.selectedRows().size(), 1);
    model.setSessions(some({2, 3, 9}), p.now);
    QVERIFY(!selection.isRowSelected(0) ||
            selection.selectedRows().first().data(ui::IdRole).toULongLong() != 5U);
}

void RowModelTest::randomUpdates_matchASlowObviousTable()
{
    const auto p = presentation(0);
    ui::ConnectionModel model(p, this);
    QAbstractItemModelTester tester(&model, QAbstractItemModelTester::FailureReportingMode::QtTest);
    // A view follows the signals only; what it believes must be what the model says.
    QList<QPersistentModelIndex> followed;
    std::mt19937 random(7);
    for (int round = 0; round < 120; ++round) {
        std::set<std::uint64_t> ids;
        for (int i = 0; i < 40; ++i)
            ids.insert(random() % 120 + 1);
        std::vector<engine::SessionRecord> rows;
        for (const auto id : ids)
            rows.push_back(some({id}).front());
        std::shuffle(rows.begin(), rows.end(), random);
        if (round % 10 == 4)
            model.sort(ui::ConnectionModel::Inbound,
                       round % 20 == 4 ? Qt::AscendingOrder : Qt::DescendingOrder);
        if (round % 10 == 9) model.sort(-1, Qt::AscendingOrder);
        QList<std::pair<QPersistentModelIndex, quint64>> before;
        for (int row = 0; row < model.rowCount(); ++row)
            before.append({QPersistentModelIndex(model.index(row, 0)),
                           model.index(row, 0).data(ui::IdRole).toULongLong()});
        model.setSessions(rows, p.now);
        for (const auto& [index, id] : before) {
            QCOMPARE(index.isValid(), ids.count(id) == 1);
            if (index.isValid()) QCOMPARE(index.data(ui::IdRole).toULongLong(), id);
        }
        const QList<quint64> shown = shownIds(model);
        QCOMPARE(std::set<std::uint64_t>(shown.begin(), shown.end()), ids);
    }
}

void RowModelTest::frozen_keepsTheTableAndThawsToTheNewest()
{
    const auto p = presentation(0);
    ui::ConnectionModel model(p, this);
    model.setSessions(some({1, 2, 3}), p.now);
    model.setFrozen(true);
    QSignalSpy data(&model, &QAbstractItemModel::dataChanged);
    model.setSessions(some({4}), p.now);
    model.setSessions(some({5, 6}), p.now);
    QCOMPARE(shownIds(model), (QList<quint64>{3, 2, 1}));
    QCOMPARE(data.count(), 0);
    model.setFrozen(false);
    QCOMPARE(shownIds(model), (QList<quint64>{6, 5}));
}

void RowModelTest::filter_onConnections_findsAddressNameAndState()
{
    const auto p = presentation(0);
    ui::ConnectionModel model(p, this);
    model.setSessions(fake::sessions(0, 2000), p.now);
    ui::ConnectionFilter filter;
    filter.text = QStringLiteral("anna");
    model.setFilter(filter);
    QVERIFY(model.rowCount() > 0 && model.rowCount() < 2000);
    for (int row = 0; row < model.rowCount(); ++row)
        QCOMPARE(model.rowAt(row).internal.address, (Ipv4Address{192, 0, 2, 21}));
    filter.text = QStringLiteral("anna unanswered");
    model.setFilter(filter);
    for (int row = 0; row < model.rowCount(); ++row)
        QVERIFY(!model.rowAt(row).answered);
    filter = {};
    filter.kind = ui::ConnectionFilter::Kind::Udp;
    model.setFilter(filter);
    for (int row = 0; row < model.rowCount(); ++row)
        QCOMPARE(model.rowAt(row).protocol, engine::net::IpProtocol::Udp);
    model.setFilter({});
    QCOMPARE(model.rowCount(), 2000);
}

void RowModelTest::sort_byNumber_isNumeric()
{
    const auto p = presentation(0);
    ui::ConnectionModel model(p, this);
    model.setSessions(fake::sessions(0, 500), p.now);
    model.sort(ui::ConnectionModel::Inbound, Qt::DescendingOrder);
    for (int row = 1; row < model.rowCount(); ++row)
        QVERIFY(model.rowAt(row - 1).inbound.bytes >= model.rowAt(row).inbound.bytes);
}

void RowModelTest::columnZero_speaksTheWholeRow()
{
    auto p = presentation(8);
    ui::TunnelModel model(p, this);
    model.setSnapshot(*fake::snapshot(8));
    const int row = model.rowOf(1);
    const QString spoken = model.index(row, 0).data(Qt::AccessibleTextRole).toString();
    for (const char* part : {"Traffic both ways", "PPTP", "certain", "Anna-Laptop", "192.0.2.21",
                             "vpn.acme.example", "198.51.100.9", "Call ID 3 → 51702"})
        QVERIFY2(spoken.contains(QString::fromUtf8(part)), qPrintable(spoken));
    // Other columns read alone.
    QCOMPARE(model.index(row, ui::TunnelModel::Protocol).data(Qt::AccessibleTextRole).toString(),
             QStringLiteral("PPTP"));
}

void RowModelTest::tunnels_rates_comeFromTwoSnapshots()
{
    auto p = presentation(0);
    ui::TunnelModel model(p, this);
    auto one = *fake::snapshot(0);
    one.tunnels.resize(1);
    one.tunnels[0].inbound.bytes = 1000;
    model.setSnapshot(one);
    QCOMPARE(model.rowAt(0).rateInbound, 0.0);
    for (int i = 1; i <= 40; ++i) {
        auto next = one;
        next.at = one.at + i * std::chrono::milliseconds(250);
        next.tunnels[0].inbound.bytes = 1000 + static_cast<std::uint64_t>(i) * 2500;
        p.now = next.at;
        model.setSnapshot(next);
    }
    QVERIFY(std::abs(model.rowAt(0).rateInbound - 10000) < 1);
    QCOMPARE(model.rowAt(0).recent.size(), 10);  // one value a second
}

void RowModelTest::tunnels_filters_combine()
{
    auto p = presentation(8);
    ui::TunnelModel model(p, this);
    model.setSnapshot(*fake::snapshot(8));
    QCOMPARE(model.rowCount(), 12);
    ui::TunnelFilter filter;
    filter.which = ui::TunnelFilter::Which::NeedsLook;
    model.setFilter(filter);
    QCOMPARE(shownIds(model), (QList<quint64>{11, 6}));
    filter.protocol = VpnProtocol::Pptp;
    model.setFilter(filter);
    QCOMPARE(shownIds(model), (QList<quint64>{6}));
    filter = {};
    filter.text = QStringLiteral("ben acme");
    model.setFilter(filter);
    QCOMPARE(shownIds(model), (QList<quint64>{2}));
}

void RowModelTest::tunnels_serverRestart_doesNotGoNegative()
{
    auto p = presentation(8);
    ui::TunnelModel model(p, this);
    auto snapshot = *fake::snapshot(8);
    model.setSnapshot(snapshot);
    snapshot.at += std::chrono::seconds(1);
    for (auto& tunnel : snapshot.tunnels)
        tunnel.inbound.bytes = 0;
    model.setSnapshot(snapshot);
    for (int row = 0; row < model.rowCount(); ++row)
        QVERIFY(model.rowAt(row).rateInbound >= 0);
}

void RowModelTest::timeline_sameTunnel_onlyAppends()
{
    auto p = presentation(8);
    ui::TimelineModel model(p, this);
    QAbstractItemModelTester tester(&model, QAbstractItemModelTester::FailureReportingMode::QtTest);
    auto tunnel = fake::snapshot(8)->tunnels[0];
    const auto whole = tunnel.timeline;
    tunnel.timeline.resize(4);
    model.setTunnel(tunnel);
    QCOMPARE(model.rowCount(), 4);
    QSignalSpy removed(&model, &QAbstractItemModel::rowsRemoved);
    QSignalSpy inserted(&model, &QAbstractItemModel::rowsInserted);
    tunnel.timeline = whole;
    model.setTunnel(tunnel);
    QCOMPARE(removed.count(), 0);
    QCOMPARE(inserted.count(), 1);
    QCOMPARE(model.rowCount(), static_cast<int>(whole.size()));
    tunnel.timeline.back().repeats += 1;
    QSignalSpy changed(&model, &QAbstractItemModel::dataChanged);
    model.setTunnel(tunnel);
    QCOMPARE(changed.count(), 1);
    QVERIFY(model.index(4)
                .data(Qt::AccessibleTextRole)
                .toString()
                .contains(QStringLiteral("Call ID 3 became 51702")));
    tunnel.serial = 99;
    tunnel.timeline.clear();
    model.setTunnel(tunnel);
    QCOMPARE(model.rowCount(), 0);
}

void RowModelTest::portForwards_sayTheirConflict()
{
    auto p = presentation(0);
    ui::PortForwardModel model(p, this);
    model.setForwards(fake::rules().portForwards);
    model.setSnapshot(*fake::snapshot(0));
    QCOMPARE(model.find(1)->hits, 1204U);
    QVERIFY(model.find(1)->conflict.isEmpty());
    QVERIFY(model.find(4)->conflict.contains(QStringLiteral("Door camera")));
    QCOMPARE(model.index(model.rowOf(4), ui::PortForwardModel::State).data().toString(),
             QStringLiteral("Conflict"));
    QCOMPARE(model.index(model.rowOf(3), ui::PortForwardModel::External).data().toString(),
             QStringLiteral("no ports"));
    // What only the router knows: a program of the host has the port of the first by now.
    auto snapshot = *fake::snapshot(0);
    for (auto& status : snapshot.forwards) {
        if (status.id == 1) status.obstacle = engine::ForwardObstacle::PortOfHost;
    }
    model.setSnapshot(snapshot);
    QVERIFY(model.find(1)->conflict.startsWith(QStringLiteral("Waits")));
    QCOMPARE(model.index(model.rowOf(1), ui::PortForwardModel::State).data().toString(),
             QStringLiteral("Conflict"));
}

void RowModelTest::portForwardProblem_portFortySeven_isProtocol()
{
    engine::policy::PortForward forward;
    forward.internalAddress = {192, 0, 2, 21};
    forward.externalPorts = {engine::net::Port{47}, engine::net::Port{47}};
    const engine::net::Prefix inside{{192, 0, 2, 0}, 24};
    QVERIFY(ui::problemOf(forward, {}, inside) == engine::CommandError::PortIsProtocol);
    forward.protocol = engine::net::IpProtocol::Gre;
    QVERIFY(!ui::problemOf(forward, {}, inside));
}

void RowModelTest::portForwardProblem_deviceElsewhere_isNotInternal()
{
    engine::policy::PortForward forward;
    forward.internalAddress = {198, 51, 100, 1};
    forward.externalPorts = {engine::net::Port{80}, engine::net::Port{80}};
    QVERIFY(ui::problemOf(forward, {}, engine::net::Prefix{{192, 0, 2, 0}, 24}) ==
            engine::CommandError::NotInternal);
}

// What the router would refuse cannot be saved.
void RowModelTest::portForwardProblem_whatTheRouterRefuses_isSaid()
{
    const engine::net::Prefix inside{{192, 0, 2, 0}, 24};
    engine::policy::PortForward forward;
    forward.id = 1;
    forward.externalPorts = {engine::net::Port{80}, engine::net::Port{80}};
    for (const std::uint8_t nobody : {std::uint8_t{0}, std::uint8_t{255}}) {
        forward.internalAddress = {192, 0, 2, nobody};
        QVERIFY(ui::problemOf(forward, {}, inside) == engine::CommandError::NotADevice);
    }
    forward.internalAddress = {192, 0, 2, 21};
    QVERIFY(!ui::problemOf(forward, {}, inside));
    // The same port for callers of another network is the same port.
    auto other = forward;
    other.id = 2;
    other.allowedRemotes = engine::net::Prefix{{203, 0, 113, 0}, 24};
    forward.allowedRemotes = engine::net::Prefix{{198, 51, 100, 0}, 24};
    QVERIFY(ui::problemOf(forward, {other}, inside) == engine::CommandError::ForwardsOverlap);
    forward.protocol = engine::net::IpProtocol::Sctp;
    QVERIFY(ui::problemOf(forward, {}, inside) == engine::CommandError::ProtocolNotForwarded);
}

void RowModelTest::events_areBounded()
{
    const auto p = presentation(0);
    ui::EventModel model(p, this);
    for (int i = 0; i < 400; ++i)
        model.add(fake::events(0));
    QCOMPARE(model.rowCount(), static_cast<int>(ui::EventModel::kMost));
}

void RowModelTest::drops_showOnlyWhatHappened()
{
    const auto p = presentation(0);
    ui::DropModel model(p, this);
    model.setCounters(fake::snapshot(0)->counters);
    QCOMPARE(model.rowCount(), 7);
    model.sort(ui::DropModel::Packets, Qt::DescendingOrder);
    QCOMPARE(model.rowAt(0).reason, engine::DropReason::NoMapping);
}

void RowModelTest::everyModel_passesTheModelTester()
{
    auto p = presentation(8);
    ui::TunnelModel tunnels(p, this);
    ui::DeviceModel devices(p, this);
    ui::HistoryTunnelModel historyTunnels(p, this);
    ui::HistoryConnectionModel historyConnections(p, this);
    ui::PortForwardModel forwards(p, this);
    ui::OneToOneModel oneToOnes(p, this);
    ui::EventModel events(p, this);
    ui::DropModel drops(p, this);
    std::vector<std::unique_ptr<QAbstractItemModelTester>> testers;
    for (QAbstractItemModel* model :
         {static_cast<QAbstractItemModel*>(&tunnels), static_cast<QAbstractItemModel*>(&devices),
          static_cast<QAbstractItemModel*>(&historyTunnels),
          static_cast<QAbstractItemModel*>(&historyConnections),
          static_cast<QAbstractItemModel*>(&forwards), static_cast<QAbstractItemModel*>(&oneToOnes),
          static_cast<QAbstractItemModel*>(&events), static_cast<QAbstractItemModel*>(&drops)}) {
        testers.push_back(std::make_unique<QAbstractItemModelTester>(
            model, QAbstractItemModelTester::FailureReportingMode::QtTest));
    }
    for (int step = 8; step < 20; ++step) {
        auto snapshot = *fake::snapshot(step);
        p.now = snapshot.at;
        if (step % 3 == 1) snapshot.tunnels.erase(snapshot.tunnels.begin() + step % 7);
        if (step % 4 == 1) snapshot.devices.resize(5);
        tunnels.setSnapshot(snapshot);
        devices.setSnapshot(snapshot);
        devices.setRules(fake::rules().deviceRules);
        forwards.setSnapshot(snapshot);
        drops.setCounters(snapshot.counters);
        events.add(fake::events(step));
        historyTunnels.setRows(fake::historyTunnels(step * 3));
        historyConnections.setRows(fake::historyConnections(step * 4));
        auto rules = fake::rules();
        rules.portForwards.resize(static_cast<std::size_t>(step % 4));
        forwards.setForwards(rules.portForwards);
        oneToOnes.setRules(rules.oneToOnes);
        for (QAbstractItemModel* model : {static_cast<QAbstractItemModel*>(&tunnels),
                                          static_cast<QAbstractItemModel*>(&devices),
                                          static_cast<QAbstractItemModel*>(&historyTunnels)}) {
            for (int column = 0; column < model->columnCount(); ++column)
                model->sort(column, step % 2 == 0 ? Qt::AscendingOrder : Qt::DescendingOrder);
        }
        devices.setText(step % 2 == 0 ? QStringLiteral("a") : QString());
    }
    QVERIFY(tunnels.rowCount() > 0);
}

void RowModelTest::hundredThousandSessions_updateAndSort_areQuick()
{
    const auto p = presentation(0);
    ui::ConnectionModel model(p, this);
    const auto first = fake::sessions(0, 100000);
    const auto second = fake::sessions(4, 100000);
    tests::ThreadTime timer;
    model.setSessions(first, p.now);
    const qint64 fill = timer.elapsed();
    timer.restart();
    model.setSessions(second, p.now);
    const qint64 update = timer.elapsed();
    timer.restart();
    model.sort(ui::ConnectionModel::Inbound, Qt::DescendingOrder);
    const qint64 sort = timer.elapsed();
    timer.restart();
    ui::ConnectionFilter filter;
    filter.text = QStringLiteral("198.51.100.7");
    model.setFilter(filter);
    const qint64 narrow = timer.elapsed();
    qInfo(
        "100,000 sessions, processor time: fill %lld ms, update %lld ms, sort %lld ms, filter %lld "
        "ms",
        static_cast<long long>(fill), static_cast<long long>(update), static_cast<long long>(sort),
        static_cast<long long>(narrow));
    QCOMPARE(model.totalRows(), 100000);
    // Processor time, which other programs on a test machine do not lengthen.
    QVERIFY(update < 2000);
}

QTEST_GUILESS_MAIN(RowModelTest)
#include "row_model_test.moc"
