#include "ui/main_window.h"

#include "ui/pages/connections_page.h"
#include "ui/pages/devices_page.h"
#include "ui/pages/history_page.h"
#include "ui/pages/overview_page.h"
#include "ui/pages/passthrough_page.h"
#include "ui/pages/port_forwards_page.h"
#include "ui/pages/rule_editors.h"
#include "ui/pages/start_page.h"
#include "ui/pages/tunnels_page.h"
#include "ui/widgets/table.h"

#include <QAccessible>
#include <QApplication>
#include <QClipboard>
#include <QHeaderView>
#include <QLabel>
#include <QLineEdit>
#include <QScreen>
#include <QScrollBar>
#include <QTextEdit>
#include <QtTest>

#include <optional>

#include "tests/ui/fake_network.h"
#include "tests/ui/office.h"

using engine::net::Ipv4Address;
using engine::net::VpnProtocol;
using engine::policy::OnLive;
using engine::policy::PassthroughMode;
using fake::buttonNamed;
using fake::kPages;
using fake::office;
using fake::sharing;

namespace {

void unnamedIn(QAccessibleInterface* interface, QStringList& found, int& seen, int depth)
{
    if (interface == nullptr || !interface->isValid() || depth > 40) return;
    if (interface->state().focusable && !interface->state().invisible) {
        ++seen;
        if (interface->text(QAccessible::Name).trimmed().isEmpty()) {
            const QObject* object = interface->object();
            // Cells of tables carry texts, not names; an empty cell is an empty cell.
            if (object != nullptr) {
                QString where;
                for (const QObject* one = object; one != nullptr; one = one->parent())
                    where += QStringLiteral(" < ") + QLatin1String(one->metaObject()->className());
                found << where;
            }
        }
    }
    for (int i = 0; i < interface->childCount(); ++i)
        unnamedIn(interface->child(i), found, seen, depth + 1);
}

}  // namespace

class MainWindowTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void firstSize_fitsTheScreen();
    void everyPage_withTheOffice_paints();
    void everyPage_withNothing_paints();
    void everyTable_at1280Pixels_showsItsColumnsWhole();
    void narrowTable_givesUpItsLeastColumns();
    void everyWrappedText_hasRoomForItsLines();
    void history_whatStillRuns_standsOnTopAndSaysSo();
    void overview_fillsTheRoomWithTunnels();
    void everyFocusableControl_hasAName_data();
    void everyFocusableControl_hasAName();
    void hostileNames_neverBecomeRichText();
    void notSharing_showsTheStartPageAndDisablesLivePages();
    void sessions_areAskedForOnlyWhereTheyAreShown();
    void connections_keepSelectionAndScroll();
    void forwardEditor_portFortySeven_saysGreIsAProtocol();
    void forwardEditor_goodForward_isSaved();
    void deviceAccess_isAsked();
    void undo_isOfferedAndAsked();
    void message_isShownInline();
    void attention_hasOneActionEach();
    void reducedMotion_movesOnceASecond();
    void theme_switchesAndBack();
    void settings_actAtOnce();
    void csv_neutralisesFormulas();
    void slots_neverEmitIntents();
};

void MainWindowTest::firstSize_fitsTheScreen()
{
    ui::MainWindow window;
    // This platform's screen is smaller than the window would like to be.
    const QSize room = window.screen()->availableGeometry().size();
    QVERIFY(room.width() < 1400 && room.height() < 880);
    QVERIFY(window.width() <= room.width() && window.height() <= room.height());
    window.show();
    QVERIFY(window.width() <= room.width() && window.height() <= room.height());
}

void MainWindowTest::everyPage_withTheOffice_paints()
{
    const auto window = office();
    for (const ui::Page page : kPages) {
        window->showPage(page);
        QCOMPARE(window->currentPage(), page);
        const QImage image = window->grab().toImage();
        QVERIFY(!image.isNull());
        // Something other than one flat colour is there.
        int changes = 0;
        for (int x = 230; x + 1 < image.width(); ++x)
            changes += image.pixel(x, 40) != image.pixel(x + 1, 40) ? 1 : 0;
        QVERIFY2(changes > 5, qPrintable(ui::wordOf(page)));
    }
}

void MainWindowTest::everyPage_withNothing_paints()
{
    ui::MainWindow window;
    window.setRouterState(sharing());
    window.setSnapshot(std::make_shared<engine::Snapshot>());
    window.show();
    for (const ui::Page page : kPages) {
        window.showPage(page);
        QVERIFY(!window.grab().isNull());
    }
    window.showTunnel(4711);
    QCOMPARE(window.currentPage(), ui::Page::Settings);
}

void MainWindowTest::everyTable_at1280Pixels_showsItsColumnsWhole()
{
    const auto window = office();
    window->resize(1280, 820);
    int tables = 0;
    for (const ui::Page page : kPages) {
        window->showPage(page);
        if (page == ui::Page::Connections)
            window->setSessions(fake::sessions(12, 200), fake::snapshot(12)->at);
        window->grab();
        for (ui::Table* table : window->findChildren<ui::Table*>()) {
            if (!table->isVisible()) continue;
            ++tables;
            QVERIFY2(table->horizontalScrollBar()->maximum() == 0,
                     qPrintable(table->accessibleName()));
            const QHeaderView* header = table->horizontalHeader();
            for (int column = 0; column < header->count(); ++column) {
                if (header->isSectionHidden(column)) continue;
                QVERIFY2(header->sectionSize(column) >= header->sectionSizeHint(column),
                         qPrintable(table->model()->headerData(column, Qt::Horizontal).toString()));
            }
        }
    }
    QVERIFY(tables >= 6);
    // The columns that the page is about are all there at this width.
    const auto* tunnels = window->findChild<ui::TunnelsPage*>()->table();
    for (int column = 0; column <= ui::TunnelModel::RateNow; ++column)
        QVERIFY(!tunnels->isColumnHidden(column));
}

void MainWindowTest::narrowTable_givesUpItsLeastColumns()
{
    const auto window = office();
    window->resize(1280, 820);
    window->showTunnel(6);
    auto* table = window->findChild<ui::TunnelsPage*>()->table();
    window->grab();
    QVERIFY(table->isColumnHidden(ui::TunnelModel::Expires));
    QVERIFY(!table->isColumnHidden(ui::TunnelModel::State));
    QCOMPARE(table->horizontalScrollBar()->maximum(), 0);
    QTest::keyClick(window.get(), Qt::Key_Escape);
    QTRY_VERIFY(!table->isColumnHidden(ui::TunnelModel::Expires));
}

void MainWindowTest::everyWrappedText_hasRoomForItsLines()
{
    const auto window = office();
    window->resize(1280, 820);
    window->setRules({});  // empty states, too
    int labels = 0;
    for (const ui::Page page : kPages) {
        window->showPage(page);
        window->grab();
        for (const ui::SafeLabel* label : window->findChildren<ui::SafeLabel*>()) {
            if (!label->isVisible() || !label->wordWrap() || label->text().isEmpty()) continue;
            ++labels;
            QTRY_VERIFY2(label->height() >= label->heightForWidth(label->width()),
                         qPrintable(ui::wordOf(page) + QStringLiteral(": ") + label->text()));
        }
    }
    QVERIFY(labels > 20);
}

void MainWindowTest::history_whatStillRuns_standsOnTopAndSaysSo()
{
    const auto window = office();
    window->showPage(ui::Page::History);
    auto rows = fake::historyTunnels(6);
    const auto snapshot = fake::snapshot(12);
    rows[2].ended = {};
    rows[2].phase = engine::tunnel::Phase::Established;
    rows[2].detail = snapshot->tunnels[0];
    rows[2].started = {};  // the snapshot knows better
    window->setHistoryTunnels(rows);
    window->setSnapshot(snapshot);
    const auto* page = window->findChild<ui::HistoryPage*>();
    const ui::Table* table = nullptr;
    for (const ui::Table* one : page->findChildren<ui::Table*>()) {
        if (one->accessibleName() == QStringLiteral("Tunnels of the past")) table = one;
    }
    QVERIFY(table != nullptr);
    const auto text = [&](int row, int column) {
        return table->model()->index(row, column).data().toString();
    };
    using Column = ui::HistoryTunnelModel::Column;
    QCOMPARE(text(0, Column::Ended), QStringLiteral("Still running"));
    QCOMPARE(text(0, Column::For),
             ui::Format().duration(snapshot->at - snapshot->tunnels[0].started));
    QCOMPARE(text(0, Column::Why), ui::wordOf(ui::TunnelState::BothWays));
    for (int row = 1; row < table->model()->rowCount(); ++row)
        QVERIFY(text(row, Column::Ended) != text(0, Column::Ended));
    // It ends while the page is open.
    auto over = std::make_shared<engine::Snapshot>(*snapshot);
    over->tunnels[0].phase = engine::tunnel::Phase::Closed;
    over->tunnels[0].ended = over->at;
    over->tunnels[0].endCause = engine::tunnel::EventKind::PeerClosed;
    window->setSnapshot(over);
    QVERIFY(text(0, Column::Ended) != QStringLiteral("Still running"));
    QCOMPARE(text(0, Column::Why), ui::endWord(engine::tunnel::EventKind::PeerClosed));
}

void MainWindowTest::overview_fillsTheRoomWithTunnels()
{
    const auto window = office();
    const auto lines = [&] {
        window->setSnapshot(fake::snapshot(12));
        window->grab();
        window->setSnapshot(fake::snapshot(13));
        int shown = 0;
        for (const QPushButton* button :
             window->findChild<ui::OverviewPage*>()->findChildren<QPushButton*>())
            shown += button->isVisible() && button->property("rowButton").toBool() ? 1 : 0;
        return shown;
    };
    window->resize(1280, 700);
    const int few = lines();
    window->resize(1280, 1200);
    QVERIFY2(lines() > few, qPrintable(QString::number(few)));
}

void MainWindowTest::everyFocusableControl_hasAName_data()
{
    QTest::addColumn<int>("page");
    QTest::newRow("start") << static_cast<int>(ui::Page::Start);
    for (const ui::Page page : kPages)
        QTest::newRow(qPrintable(ui::wordOf(page))) << static_cast<int>(page);
}

void MainWindowTest::everyFocusableControl_hasAName()
{
    QFETCH(int, page);
    const auto window = office();
    if (static_cast<ui::Page>(page) == ui::Page::Start) {
        window->setRouterState({});
    } else {
        window->showPage(static_cast<ui::Page>(page));
    }
    if (static_cast<ui::Page>(page) == ui::Page::Tunnels) window->showTunnel(6);
    if (static_cast<ui::Page>(page) == ui::Page::Passthrough)
        window->findChild<ui::PassthroughPage*>()->card(VpnProtocol::L2tp)->setExpanded(true);
    QStringList unnamed;
    int seen = 0;
    unnamedIn(QAccessible::queryAccessibleInterface(window.get()), unnamed, seen, 0);
    QVERIFY2(unnamed.isEmpty(), qPrintable(unnamed.join(QLatin1Char('\n'))));
    QVERIFY(seen > 8);
}

void MainWindowTest::hostileNames_neverBecomeRichText()
{
    const QString hostile =
        QStringLiteral("<img src=\"file:///etc/passwd\"><b>x</b>&lt;script&gt;");
    const auto window = office();
    auto names = fake::deviceNames();
    for (auto& name : names) {
        name.name = hostile;
        name.vendor = hostile;
    }
    window->setDeviceNames(names);
    auto snapshot = std::make_shared<engine::Snapshot>(*fake::snapshot(12));
    for (auto& tunnel : snapshot->tunnels) {
        tunnel.serverName = hostile.toStdString();
        tunnel.product = "<h1>\x1b[2J\xe2\x80\xae" + hostile.toStdString();
    }
    for (auto& protocol : snapshot->protocols) {
        protocol.selfTest.outcome = engine::SelfTestResult::Outcome::Failed;
        protocol.selfTest.why = hostile.toStdString();
    }
    window->setSnapshot(snapshot);
    window->addEvents({engine::TunnelEnded{snapshot->tunnels[0]}});
    window->showMessage({ui::Message::Severity::Error, hostile, hostile});
    window->setUndo({hostile, true, true});
    window->showTunnel(6);
    for (const ui::Page page : kPages) {
        window->showPage(page);
        window->grab();
    }
    int labels = 0;
    for (const QLabel* label : window->findChildren<QLabel*>()) {
        QVERIFY2(label->textFormat() == Qt::PlainText, qPrintable(label->text()));
        ++labels;
    }
    QVERIFY(labels > 100);
    QVERIFY(window->findChildren<QTextEdit*>().isEmpty());
    // Tool tips guess rich text by themselves, so no network text may stand in one.
    for (const QWidget* widget : window->findChildren<QWidget*>())
        QVERIFY2(!widget->toolTip().contains(QLatin1Char('<')), qPrintable(widget->toolTip()));
    for (const QLabel* label : window->findChildren<QLabel*>())
        QVERIFY(!label->text().contains(QChar(0x202e)) && !label->text().contains(QChar(0x1b)));
}

void MainWindowTest::notSharing_showsTheStartPageAndDisablesLivePages()
{
    ui::MainWindow window;
    QSignalSpy asked(&window, &ui::MainWindow::interfacesRequested);
    window.show();
    QCOMPARE(window.currentPage(), ui::Page::Start);
    QVERIFY(asked.count() >= 1);
    window.showPage(ui::Page::Tunnels);
    QCOMPARE(window.currentPage(), ui::Page::Start);
    window.showPage(ui::Page::History);
    QCOMPARE(window.currentPage(), ui::Page::History);
    window.showPage(ui::Page::Start);
    window.setRouterState(sharing());
    QCOMPARE(window.currentPage(), ui::Page::Overview);
    window.setRouterState({});
    QCOMPARE(window.currentPage(), ui::Page::Start);
}

void MainWindowTest::sessions_areAskedForOnlyWhereTheyAreShown()
{
    const auto window = office();
    QList<engine::SessionQuery> queries;
    connect(window.get(), &ui::MainWindow::sessionsRequested, this,
            [&](const engine::SessionQuery& query) { queries << query; });
    QTest::qWait(1200);
    QVERIFY(queries.isEmpty());
    window->showPage(ui::Page::Connections);
    QCOMPARE(queries.size(), 1);
    QTRY_VERIFY_WITH_TIMEOUT(queries.size() >= 2, 30000);
    window->showTunnel(1);
    window->findChild<ui::TunnelsPage*>()->showTab(ui::TunnelDetail::Tab::Sessions);
    queries.clear();
    QTRY_VERIFY_WITH_TIMEOUT(!queries.isEmpty(), 30000);
    QCOMPARE(queries.last().tunnelSerial, 1U);
}

void MainWindowTest::connections_keepSelectionAndScroll()
{
    const auto window = office();
    window->showPage(ui::Page::Connections);
    auto* page = window->findChild<ui::ConnectionsPage*>();
    window->setSessions(fake::sessions(0, 2000), fake::snapshot(0)->at);
    ui::Table* table = page->table();
    table->verticalScrollBar()->setValue(table->rowHeight(0) * 400 + 5);
    const auto top = table->indexAt({4, 1}).data(ui::IdRole).toULongLong();
    table->selectRow(405);
    const auto selected = table->currentId();
    for (int step = 1; step < 20; ++step)
        window->setSessions(fake::sessions(step, 2000), fake::snapshot(step)->at);
    QCOMPARE(table->indexAt({4, 1}).data(ui::IdRole).toULongLong(), top);
    QCOMPARE(table->currentId(), selected);
    QCOMPARE(table->selectionModel()->selectedRows().size(), 1);
}

void MainWindowTest::forwardEditor_portFortySeven_saysGreIsAProtocol()
{
    const auto window = office();
    engine::policy::PortForward forward;
    forward.externalPorts = {engine::net::Port{47}, engine::net::Port{47}};
    forward.internalAddress = {192, 0, 2, 21};
    auto* page = window->findChild<ui::PortForwardsPage*>();
    page->edit(forward);
    auto* editor = page->findChild<ui::PortForwardEditor*>();
    QVERIFY(editor->findChild<ui::InlineMessage*>()->text().contains(
        QStringLiteral("GRE is protocol number 47")));
    QVERIFY(!buttonNamed(*editor, QStringLiteral("Add"))->isEnabled());
    editor->reject();
}

void MainWindowTest::forwardEditor_goodForward_isSaved()
{
    const auto window = office();
    fake::answerConcern(*window, 0);
    std::optional<engine::policy::PortForward> saved;
    connect(window.get(), &ui::MainWindow::portForwardSaved, this,
            [&](const engine::policy::PortForward& forward) { saved = forward; });
    auto* page = window->findChild<ui::PortForwardsPage*>();
    engine::policy::PortForward forward;
    forward.internalAddress = {192, 0, 2, 21};
    page->edit(forward);
    auto* editor = page->findChild<ui::PortForwardEditor*>();
    auto* save = buttonNamed(*editor, QStringLiteral("Add"));
    QVERIFY(!save->isEnabled());
    for (QLineEdit* field : editor->findChildren<QLineEdit*>()) {
        if (field->accessibleName() == QStringLiteral("External ports"))
            field->setText(QStringLiteral("6000-6010"));
        if (field->accessibleName() == QStringLiteral("Its first port"))
            field->setText(QStringLiteral("7000"));
    }
    QVERIFY(save->isEnabled());
    save->click();
    QVERIFY(saved);
    QVERIFY(saved->externalPorts ==
            (engine::net::PortRange{engine::net::Port{6000}, engine::net::Port{6010}}));
    QVERIFY(saved->internalFirst == engine::net::Port{7000});
    // Ports of another forward are refused while typing.
    forward.externalPorts = {engine::net::Port{8443}, engine::net::Port{8443}};
    page->edit(forward);
    auto* second = page->findChildren<ui::PortForwardEditor*>().last();
    QVERIFY(second->findChild<ui::InlineMessage*>()->text().contains(
        QStringLiteral("Backup from the branch")));
    second->reject();
}

void MainWindowTest::deviceAccess_isAsked()
{
    const auto window = office();
    fake::answerConcern(*window, 3);
    window->showPage(ui::Page::Devices);
    auto* page = window->findChild<ui::DevicesPage*>();
    page->showDevice({192, 0, 2, 22});
    std::optional<engine::policy::DeviceRule> saved;
    connect(window.get(), &ui::MainWindow::deviceRuleSaved, this,
            [&](const engine::policy::DeviceRule& rule) { saved = rule; });
    buttonNamed(*page, QStringLiteral("Access: VPN only"))->click();
    buttonNamed(*page, QStringLiteral("Let them finish"))->click();
    QVERIFY(saved);
    QCOMPARE(saved->address, (Ipv4Address{192, 0, 2, 22}));
    QCOMPARE(saved->access, engine::policy::DeviceAccess::VpnOnly);
    QVERIFY(!saved->sessionLimit);
}

void MainWindowTest::undo_isOfferedAndAsked()
{
    const auto window = office();
    QSignalSpy undone(window.get(), &ui::MainWindow::undoRequested);
    QTest::keyClick(window.get(), Qt::Key_Z, Qt::ControlModifier);
    QCOMPARE(undone.count(), 0);
    window->setUndo({QStringLiteral("PPTP set to Block"), true, false});
    QTest::keyClick(window.get(), Qt::Key_Z, Qt::ControlModifier);
    QCOMPARE(undone.count(), 1);
}

void MainWindowTest::message_isShownInline()
{
    const auto window = office();
    window->showCommandError(engine::CommandError::ForwardsOverlap);
    bool found = false;
    for (const ui::InlineMessage* message : window->findChildren<ui::InlineMessage*>())
        found = found || (message->isVisible() && message->text().contains(QStringLiteral(
                                                      "already has one of these external ports")));
    QVERIFY(found);
    QVERIFY(QApplication::activeModalWidget() == nullptr);
}

void MainWindowTest::attention_hasOneActionEach()
{
    const auto window = office();
    std::optional<VpnProtocol> turnedOn;
    connect(window.get(), &ui::MainWindow::passthroughChangeRequested, this,
            [&](VpnProtocol protocol, const engine::policy::PassthroughSwitch& value, OnLive) {
                QCOMPARE(value.mode, PassthroughMode::Assist);
                QCOMPARE(value.exceptions.size(), std::size_t{1});
                turnedOn = protocol;
            });
    QPushButton* turnOn = nullptr;
    QPushButton* show = nullptr;
    for (QPushButton* button :
         window->findChild<ui::OverviewPage*>()->findChildren<QPushButton*>()) {
        if (button->isVisible() && button->text() == QStringLiteral("Turn on")) turnOn = button;
        if (button->isVisible() &&
            button->accessibleName().startsWith(QStringLiteral("Show: Old-Till")))
            show = button;
    }
    QVERIFY(turnOn != nullptr);
    QVERIFY(show != nullptr);
    turnOn->click();
    QVERIFY(turnedOn == VpnProtocol::L2tp);
    show->click();
    QCOMPARE(window->currentPage(), ui::Page::Tunnels);
    QCOMPARE(window->findChild<ui::TunnelsPage*>()->findChild<ui::TunnelDetail*>()->serial(), 6U);
}

void MainWindowTest::reducedMotion_movesOnceASecond()
{
    const auto window = office();
    ui::WindowSettings settings;
    window->setSettings(settings);
    window->showPage(ui::Page::Tunnels);
    auto* table = window->findChild<ui::TunnelsPage*>()->table();
    int moved = 0;
    connect(table->model(), &QAbstractItemModel::dataChanged, this, [&] { ++moved; });
    const auto second = [&](int from) {
        moved = 0;
        for (int step = from; step < from + 4; ++step)
            window->setSnapshot(fake::snapshot(step));
        return moved;
    };
    QCOMPARE(second(20), 4);
    settings.reducedMotion = true;
    window->setSettings(settings);
    QCOMPARE(second(24), 1);
}

void MainWindowTest::theme_switchesAndBack()
{
    const auto window = office();
    ui::WindowSettings settings;
    settings.theme = ui::ThemeChoice::Dark;
    window->setSettings(settings);
    QCOMPARE(ui::toneOf(QApplication::palette()), ui::Tone::Dark);
    const QColor dark = window->grab().toImage().pixelColor(600, 790);
    settings.theme = ui::ThemeChoice::Light;
    window->setSettings(settings);
    QCOMPARE(ui::toneOf(QApplication::palette()), ui::Tone::Light);
    const QColor light = window->grab().toImage().pixelColor(600, 790);
    QVERIFY(dark.lightness() < 80 && light.lightness() > 200);
}

void MainWindowTest::settings_actAtOnce()
{
    const auto window = office();
    window->showPage(ui::Page::Settings);
    std::optional<ui::WindowSettings> changed;
    connect(window.get(), &ui::MainWindow::settingsChanged, this,
            [&](const ui::WindowSettings& settings) { changed = settings; });
    buttonNamed(*window, QStringLiteral("Live tunnels: Let finish"))->click();
    QVERIFY(changed);
    QCOMPARE(changed->onLive, OnLive::Finish);
    window->setSettings(*changed);
    changed.reset();
    buttonNamed(*window, QStringLiteral("Units of speed: B/s"))->click();
    QVERIFY(changed && !changed->ratesInBits && changed->onLive == OnLive::Finish);
}

void MainWindowTest::csv_neutralisesFormulas()
{
    const auto window = office();
    auto snapshot = std::make_shared<engine::Snapshot>(*fake::snapshot(12));
    snapshot->tunnels[0].serverName = "=HYPERLINK(\"x\")";
    window->setSnapshot(snapshot);
    window->showTunnel(1);
    auto* table = window->findChild<ui::TunnelsPage*>()->table();
    QTest::keyClick(table, Qt::Key_L, Qt::ControlModifier);
    const QString csv = QApplication::clipboard()->text();
    QVERIFY2(csv.contains(QStringLiteral("\"'=HYPERLINK(\"\"x\"\")")), qPrintable(csv));
}

void MainWindowTest::slots_neverEmitIntents()
{
    const auto window = office();
    int intents = 0;
    connect(window.get(), &ui::MainWindow::passthroughChangeRequested, this, [&] { ++intents; });
    connect(window.get(), &ui::MainWindow::deviceRuleSaved, this, [&] { ++intents; });
    connect(window.get(), &ui::MainWindow::natConfigSaved, this, [&] { ++intents; });
    connect(window.get(), &ui::MainWindow::settingsChanged, this, [&] { ++intents; });
    connect(window.get(), &ui::MainWindow::exposedHostChanged, this, [&] { ++intents; });
    connect(window.get(), &ui::MainWindow::portForwardSaved, this, [&] { ++intents; });
    connect(window.get(), &ui::MainWindow::deviceRenamed, this, [&] { ++intents; });
    connect(window.get(), &ui::MainWindow::tunnelCloseRequested, this, [&] { ++intents; });
    for (const ui::Page page : kPages) {
        window->showPage(page);
        window->setSettings(
            {ui::ThemeChoice::Light, ui::ByteUnits::Binary, false, 90, 2048, OnLive::Drop, false});
        window->setRules(fake::rules());
        window->setRules({});
        window->setSnapshot(fake::snapshot(30));
        window->setDeviceNames({});
        window->setDeviceNames(fake::deviceNames());
        window->setSettings({});
    }
    QCOMPARE(intents, 0);
}

QTEST_MAIN(MainWindowTest)
#include "main_window_test.moc"
