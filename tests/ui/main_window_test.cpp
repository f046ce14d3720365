#include "ui/main_window.h"

#include "ui/pages/connections_page.h"
#include "ui/pages/devices_page.h"
#include "ui/pages/history_page.h"
#include "ui/pages/nat_rule_editors.h"
#include "ui/pages/network_page.h"
#include "ui/pages/overview_page.h"
#include "ui/pages/passthrough_page.h"
#include "ui/pages/port_forwards_page.h"
#include "ui/pages/rule_editors.h"
#include "ui/pages/settings_page.h"
#include "ui/pages/start_page.h"
#include "ui/pages/tunnels_page.h"
#include "ui/text/help_words.h"
#include "ui/values/nat_type.h"
#include "ui/widgets/help_pane.h"
#include "ui/widgets/keep_bar.h"
#include "ui/widgets/search_box.h"
#include "ui/widgets/table.h"

#include <QAccessible>
#include <QApplication>
#include <QClipboard>
#include <QComboBox>
#include <QHeaderView>
#include <QLabel>
#include <QLineEdit>
#include <QScreen>
#include <QScrollBar>
#include <QSpinBox>
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
using fake::choiceNamed;
using fake::fieldNamed;
using fake::kPages;
using fake::office;
using fake::sharing;
using fake::tableNamed;

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
    void selfTest_andItsAge_standOnTheCard();
    void blockLater_asksWhenTheTimeComes();
    void startPage_offersUsableCardsFirst();
    void overview_fillsTheRoomWithTunnels();
    void everyFocusableControl_hasAName_data();
    void everyFocusableControl_hasAName();
    void hostileNames_neverBecomeRichText();
    void notSharing_showsTheStartPageAndDisablesLivePages();
    void startPage_sameCardTwice_isRefused();
    void startPage_choosesBySides_andAsks();
    void oneUsableCard_offersTheLab();
    void keys_switchPagesAndFilter();
    void escape_clearsTheFilterThenTheDetail();
    void slash_inAField_isTyped();
    void f6_walksThePanes();
    void passthroughSwitch_asksAndSpringsBackUntilAnswered();
    void heldTunnels_offerUndoFinishDrop();
    void exception_isAddedAndRemoved();
    void disconnect_asksFirst();
    void sessions_areAskedForOnlyWhereTheyAreShown();
    void connections_keepSelectionAndScroll();
    void space_freezesTheTable();
    void forwardEditor_portFortySeven_saysGreIsAProtocol();
    void forwardEditor_goodForward_isSaved();
    void networkForm_changesNothingBeforeApply();
    void networkForm_shortTimer_cannotBeApplied();
    void natType_isAddedBeforeTheWiderOne_andRemoved();
    void natType_whatCannotHold_isSaidWhileTyping();
    void natType_wordsFollowTheBehaviours();
    void untranslated_isAddedEditedAndRemoved();
    void natRules_outsideTheSharedNetwork_cannotBeApplied();
    void natRules_sayWhatLiveSessionsDo_andEndThem();
    void deviceAccess_isAsked();
    void undo_isOfferedAndAsked();
    void message_isShownInline();
    void attention_hasOneActionEach();
    void search_findsPagesDevicesTunnelsAndSettings();
    void search_escapeGoesAndOpensNothing();
    void help_tellsAboutPageAndControl();
    void networkApply_isTakenBackUnlessKept();
    void pinAndNote_areSavedAndStandOnTop();
    void earlierSessions_areAskedForAndSummedUp();
    void tunnelFilter_excludes();
    void tunnelGroups_standTogether();
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

void MainWindowTest::selfTest_andItsAge_standOnTheCard()
{
    const auto window = office();
    window->showPage(ui::Page::Passthrough);
    auto snapshot = std::make_shared<engine::Snapshot>(*fake::snapshot(12));
    auto* card = window->findChild<ui::PassthroughPage*>()->card(VpnProtocol::Pptp);
    const auto says = [&](const QString& text, ui::Meaning meaning) {
        window->grab();
        for (const ui::SafeLabel* label : card->findChildren<ui::SafeLabel*>()) {
            if (label->isVisible() && label->text().contains(text))
                return label->meaning() == meaning;
        }
        return false;
    };
    QVERIFY(says(QStringLiteral("encryption is broken"), ui::Meaning::Warning));
    snapshot->protocols[0].selfTest.outcome = engine::SelfTestResult::Outcome::Passed;
    snapshot->protocols[0].selfTest.at = snapshot->at - std::chrono::seconds(14);
    window->setSnapshot(snapshot);
    QVERIFY(says(QStringLiteral("passed 14\u00a0s ago"), ui::Meaning::Good));
    auto failed = std::make_shared<engine::Snapshot>(*snapshot);
    failed->protocols[0].selfTest.outcome = engine::SelfTestResult::Outcome::Failed;
    failed->protocols[0].selfTest.why = "The second client got nothing.";
    window->setSnapshot(failed);
    QVERIFY(says(QStringLiteral("The second client got nothing."), ui::Meaning::Bad));
}

void MainWindowTest::blockLater_asksWhenTheTimeComes()
{
    const auto window = office();
    window->showPage(ui::Page::Passthrough);
    auto* card = window->findChild<ui::PassthroughPage*>()->card(VpnProtocol::Pptp);
    int blocked = 0;
    connect(window.get(), &ui::MainWindow::passthroughChangeRequested, this,
            [&](VpnProtocol protocol, const engine::policy::PassthroughSwitch& value, OnLive) {
                QCOMPARE(protocol, VpnProtocol::Pptp);
                QCOMPARE(value.mode, PassthroughMode::Block);
                ++blocked;
            });
    card->setExpanded(true);
    buttonNamed(*card, QStringLiteral("Block PPTP in 15 minutes"))->click();
    QPushButton* keep = buttonNamed(*card, QStringLiteral("Keep it on"));
    QVERIFY(keep->isVisible());
    QVERIFY(card->isCounting());
    keep->click();
    QVERIFY(!card->isCounting());
    QVERIFY(!keep->isVisible());
    QCOMPARE(blocked, 0);
    card->blockAt(QDateTime::currentDateTime().addSecs(60));
    QCOMPARE(blocked, 0);
    card->blockAt(QDateTime::currentDateTime());
    QCOMPARE(blocked, 1);
    QVERIFY(!card->isCounting());
}

void MainWindowTest::startPage_offersUsableCardsFirst()
{
    ui::MainWindow window;
    std::vector<ui::InterfaceChoice> cards;
    for (const char* name : {"dummy0", "ifb1", "ifb0"}) {
        ui::InterfaceChoice card;
        card.name = QString::fromLatin1(name);
        card.usable = false;
        card.whyNot = QStringLiteral("It is switched off.");
        cards.push_back(card);
    }
    for (const ui::InterfaceChoice& card : fake::interfaces())
        cards.push_back(card);
    window.setInterfaces(cards);
    window.show();
    QStringList order;
    for (const QPushButton* button :
         window.findChild<ui::StartPage*>()->findChildren<QPushButton*>()) {
        if (button->accessibleName().startsWith(QStringLiteral("Shared side")))
            order << button->property("interface").toString();
    }
    QCOMPARE(order, (QStringList{QStringLiteral("enp4s0"), QStringLiteral("enp3s0"),
                                 QStringLiteral("dummy0"), QStringLiteral("ifb1")}));
    // Further ones are named, not pictured.
    bool named = false;
    for (const ui::SafeLabel* label :
         window.findChild<ui::StartPage*>()->findChildren<ui::SafeLabel*>())
        named = named || (label->isVisible() && label->text().contains(QStringLiteral("ifb0")));
    QVERIFY(named);
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

void MainWindowTest::startPage_sameCardTwice_isRefused()
{
    ui::MainWindow window;
    window.setInterfaces(fake::interfaces());
    window.show();
    auto* start = window.findChild<ui::StartPage*>();
    QVERIFY(start->startButton()->isEnabled());
    for (QPushButton* button : start->findChildren<QPushButton*>()) {
        if (button->accessibleName().startsWith(QStringLiteral("Shared side, enp3s0")))
            button->click();
    }
    QVERIFY(!start->startButton()->isEnabled());
}

void MainWindowTest::startPage_choosesBySides_andAsks()
{
    ui::MainWindow window;
    window.setInterfaces(fake::interfaces());
    window.show();
    QSignalSpy started(&window, &ui::MainWindow::startSharingRequested);
    window.findChild<ui::StartPage*>()->startButton()->click();
    QCOMPARE(started.count(), 1);
    QCOMPARE(started.first().at(0).toString(), QStringLiteral("enp4s0"));
    QCOMPARE(started.first().at(1).toString(), QStringLiteral("enp3s0"));
}

void MainWindowTest::oneUsableCard_offersTheLab()
{
    ui::MainWindow window;
    auto one = fake::interfaces();
    one.erase(one.begin() + 1);
    window.setInterfaces(one);
    window.show();
    QVERIFY(!window.findChild<ui::StartPage*>()->startButton()->isEnabled());
    QSignalSpy lab(&window, &ui::MainWindow::labRequested);
    buttonNamed(window, QStringLiteral("Look around in the lab"))->click();
    QCOMPARE(lab.count(), 1);
}

void MainWindowTest::keys_switchPagesAndFilter()
{
    const auto window = office();
    for (int i = 0; i < 9; ++i) {
        QTest::keyClick(window.get(), static_cast<Qt::Key>(Qt::Key_1 + i), Qt::ControlModifier);
        QCOMPARE(window->currentPage(), kPages[i]);
    }
    QTest::keyClick(window.get(), Qt::Key_Comma, Qt::ControlModifier);
    QCOMPARE(window->currentPage(), ui::Page::Settings);
    QTest::keyClick(window.get(), Qt::Key_Left, Qt::AltModifier);
    QCOMPARE(window->currentPage(), ui::Page::Events);
    QTest::keyClick(window.get(), Qt::Key_Right, Qt::AltModifier);
    QCOMPARE(window->currentPage(), ui::Page::Settings);
    window->showPage(ui::Page::Tunnels);
    QTest::keyClick(window.get(), Qt::Key_F, Qt::ControlModifier);
    QCOMPARE(QApplication::focusWidget(), window->findChild<ui::TunnelsPage*>()->filterField());
}

void MainWindowTest::escape_clearsTheFilterThenTheDetail()
{
    const auto window = office();
    window->showTunnel(6);
    auto* page = window->findChild<ui::TunnelsPage*>();
    auto* detail = page->findChild<ui::TunnelDetail*>();
    QVERIFY(detail->isVisible());
    page->filterField()->setText(QStringLiteral("old"));
    QCOMPARE(page->table()->model()->rowCount(), 1);
    QTest::keyClick(window.get(), Qt::Key_Escape);
    QVERIFY(page->filterField()->text().isEmpty());
    QCOMPARE(page->table()->model()->rowCount(), 12);
    QVERIFY(detail->isVisible());
    QTest::keyClick(window.get(), Qt::Key_Escape);
    QVERIFY(!detail->isVisible());
}

void MainWindowTest::slash_inAField_isTyped()
{
    const auto window = office();
    window->showPage(ui::Page::Connections);
    auto* field = window->findChild<ui::ConnectionsPage*>()->filterField();
    QTest::keyClick(window.get(), Qt::Key_Slash);
    QCOMPARE(QApplication::focusWidget(), field);
    QTest::keyClicks(field, QStringLiteral("192.0.2.0/24"));
    QCOMPARE(field->text(), QStringLiteral("192.0.2.0/24"));
}

void MainWindowTest::f6_walksThePanes()
{
    const auto window = office();
    window->showPage(ui::Page::Tunnels);
    std::set<QWidget*> visited;
    for (int i = 0; i < 4; ++i) {
        QTest::keyClick(window.get(), Qt::Key_F6);
        visited.insert(QApplication::focusWidget());
    }
    QVERIFY(visited.size() >= 3);
    QVERIFY(visited.count(window->findChild<ui::TunnelsPage*>()->table()) == 1);
}

void MainWindowTest::passthroughSwitch_asksAndSpringsBackUntilAnswered()
{
    const auto window = office();
    window->showPage(ui::Page::Passthrough);
    auto* card = window->findChild<ui::PassthroughPage*>()->card(VpnProtocol::Pptp);
    std::optional<PassthroughMode> asked;
    std::optional<OnLive> live;
    connect(
        window.get(), &ui::MainWindow::passthroughChangeRequested, this,
        [&](VpnProtocol protocol, const engine::policy::PassthroughSwitch& value, OnLive onLive) {
            QCOMPARE(protocol, VpnProtocol::Pptp);
            asked = value.mode;
            live = onLive;
        });
    QTest::mouseClick(card->modeSwitch()->button(2), Qt::LeftButton);
    QVERIFY(asked == PassthroughMode::Block);
    QVERIFY(live == OnLive::Hold);
    QCOMPARE(card->modeSwitch()->position(), 0);
    QVERIFY(card->modeSwitch()->button(0)->isChecked());
    auto snapshot = std::make_shared<engine::Snapshot>(*fake::snapshot(12));
    snapshot->protocols[0].position.mode = PassthroughMode::Block;
    window->setSnapshot(snapshot);
    QCOMPARE(card->modeSwitch()->position(), 2);
}

void MainWindowTest::heldTunnels_offerUndoFinishDrop()
{
    const auto window = office();
    window->showPage(ui::Page::Passthrough);
    auto snapshot = std::make_shared<engine::Snapshot>(*fake::snapshot(12));
    auto& status = snapshot->protocols[0];
    status.position.mode = PassthroughMode::Block;
    status.heldTunnels = 2;
    status.heldUntil = snapshot->at + std::chrono::seconds(8);
    snapshot->tunnels[0].phase = snapshot->tunnels[1].phase = engine::tunnel::Phase::Held;
    window->setSnapshot(snapshot);
    auto* card = window->findChild<ui::PassthroughPage*>()->card(VpnProtocol::Pptp);
    auto* bar = card->findChild<ui::InlineMessage*>();
    QVERIFY(bar->isVisible());
    QVERIFY2(bar->text().contains(QStringLiteral("Anna-Laptop, Ben-PC")), qPrintable(bar->text()));
    QVERIFY(bar->text().contains(QStringLiteral("8 s")));
    QList<engine::ResolveHold::How> how;
    connect(window.get(), &ui::MainWindow::holdResolved, this,
            [&](VpnProtocol, engine::ResolveHold::How one) { how << one; });
    for (const char* name : {"Undo", "Let them finish", "Drop now"})
        buttonNamed(*bar, QString::fromLatin1(name))->click();
    QCOMPARE(how, (QList{engine::ResolveHold::How::Release, engine::ResolveHold::How::Finish,
                         engine::ResolveHold::How::Drop}));
    window->setSnapshot(fake::snapshot(13));
    QVERIFY(!bar->isVisible());
}

void MainWindowTest::exception_isAddedAndRemoved()
{
    const auto window = office();
    window->showPage(ui::Page::Passthrough);
    auto* card = window->findChild<ui::PassthroughPage*>()->card(VpnProtocol::L2tp);
    card->setExpanded(true);
    std::optional<engine::policy::PassthroughSwitch> asked;
    connect(window.get(), &ui::MainWindow::passthroughChangeRequested, this,
            [&](VpnProtocol, const engine::policy::PassthroughSwitch& value, OnLive) {
                asked = value;
            });
    buttonNamed(*card, QStringLiteral("Add an exception to L2TP"))->click();
    const auto fields = card->findChildren<QLineEdit*>();
    QCOMPARE(fields.size(), 2);
    fields.at(0)->setText(QStringLiteral("not an address"));
    buttonNamed(*card, QStringLiteral("Add this exception"))->click();
    QVERIFY(!asked);
    fields.at(0)->setText(QStringLiteral("ben-pc"));
    fields.at(1)->setText(QStringLiteral("198.51.100.0/24"));
    buttonNamed(*card, QStringLiteral("Add this exception"))->click();
    QVERIFY(asked);
    QCOMPARE(asked->mode, PassthroughMode::Block);
    QCOMPARE(asked->exceptions.size(), std::size_t{2});
    QVERIFY(asked->exceptions[1].device == (engine::net::Prefix{{192, 0, 2, 22}, 32}));
    asked.reset();
    buttonNamed(*card, QStringLiteral("Remove the exception Scanner-Cam → 198.51.100.4: Assist"))
        ->click();
    QVERIFY(asked && asked->exceptions.empty());
}

void MainWindowTest::disconnect_asksFirst()
{
    const auto window = office();
    window->showTunnel(1);
    QSignalSpy closed(window.get(), &ui::MainWindow::tunnelCloseRequested);
    auto* page = window->findChild<ui::TunnelsPage*>();
    QTest::keyClick(page->table(), Qt::Key_Delete);
    QCOMPARE(closed.count(), 0);
    auto* question = page->findChild<ui::TunnelDetail*>()->findChild<ui::InlineMessage*>();
    QVERIFY(question->isVisible());
    buttonNamed(*question, QStringLiteral("Disconnect"))->click();
    QCOMPARE(closed.count(), 1);
    QCOMPARE(closed.first().first().toULongLong(), 1U);
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
    QTRY_VERIFY_WITH_TIMEOUT(queries.size() >= 2, 3000);
    window->showTunnel(1);
    window->findChild<ui::TunnelsPage*>()->showTab(ui::TunnelDetail::Tab::Sessions);
    queries.clear();
    QTRY_VERIFY_WITH_TIMEOUT(!queries.isEmpty(), 3000);
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

void MainWindowTest::space_freezesTheTable()
{
    const auto window = office();
    window->showPage(ui::Page::Connections);
    auto* page = window->findChild<ui::ConnectionsPage*>();
    window->setSessions(fake::sessions(0, 100), fake::snapshot(0)->at);
    QTest::keyClick(page->table(), Qt::Key_Space);
    window->setSessions(fake::sessions(9, 50), fake::snapshot(9)->at);
    QCOMPARE(page->model()->rowCount(), 100);
    QTest::keyClick(page->table(), Qt::Key_Space);
    QCOMPARE(page->model()->rowCount(), 50);
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

void MainWindowTest::networkForm_changesNothingBeforeApply()
{
    const auto window = office();
    window->showPage(ui::Page::Network);
    std::optional<engine::nat::NatConfig> saved;
    connect(window.get(), &ui::MainWindow::natConfigSaved, this,
            [&](const engine::nat::NatConfig& config) { saved = config; });
    auto* page = window->findChild<ui::NetworkPage*>();
    auto* apply = buttonNamed(*page, QStringLiteral("Apply"));
    QVERIFY(!apply->isEnabled());
    QVERIFY(page->edited() == fake::rules().nat);
    for (QSpinBox* box : page->findChildren<QSpinBox*>()) {
        if (box->accessibleName() == QStringLiteral("UDP, both ways")) box->setValue(600);
    }
    auto* pings = choiceNamed(*page, "Pings from outside that are answered");
    QCOMPARE(pings->currentText(), QStringLiteral("Small ones"));
    pings->setCurrentIndex(2);
    QVERIFY(!saved);
    // Fresh truth does not take away what the user is typing.
    window->setRules(fake::rules());
    QVERIFY(apply->isEnabled());
    apply->click();
    QVERIFY(saved);
    QVERIFY(saved->timers.udpTwoWay == std::chrono::minutes(10));
    QVERIFY(saved->pings == engine::nat::PingsFromOutside::None);
    ui::RuleSet rules = fake::rules();
    rules.nat = *saved;
    window->setRules(rules);
    QVERIFY(!apply->isEnabled());
}

void MainWindowTest::networkForm_shortTimer_cannotBeApplied()
{
    const auto window = office();
    window->showPage(ui::Page::Network);
    auto* page = window->findChild<ui::NetworkPage*>();
    for (QSpinBox* box : page->findChildren<QSpinBox*>()) {
        if (box->accessibleName() == QStringLiteral("UDP, one way")) box->setValue(119);
    }
    QVERIFY(!buttonNamed(*page, QStringLiteral("Apply"))->isEnabled());
    QVERIFY(page->findChild<ui::InlineMessage*>()->isVisible());
}

void MainWindowTest::natType_isAddedBeforeTheWiderOne_andRemoved()
{
    const auto window = office();
    window->showPage(ui::Page::Network);
    auto* page = window->findChild<ui::NetworkPage*>();
    std::optional<engine::nat::NatConfig> saved;
    connect(window.get(), &ui::MainWindow::natConfigSaved, this,
            [&](const engine::nat::NatConfig& config) { saved = config; });
    buttonNamed(*page, QStringLiteral("Add a NAT type"))->click();
    auto* editor = page->findChild<ui::NatTypeEditor*>();
    QVERIFY(editor != nullptr);
    auto* add = buttonNamed(*editor, QStringLiteral("Add"));
    QVERIFY(!add->isEnabled());
    choiceNamed(*editor, "Devices")->setEditText(QStringLiteral("192.0.2.25"));
    fieldNamed(*editor, "Ports")->setText(QStringLiteral("3500"));
    QVERIFY(add->isEnabled());
    add->click();
    const auto& former = fake::rules().nat.exceptions;
    const auto rules = page->edited().exceptions;
    QCOMPARE(rules.size(), former.size() + 1);
    const auto at = std::find_if(rules.begin(), rules.end(), [](const auto& rule) {
        return rule.devices == engine::net::Prefix{{192, 0, 2, 25}, 32};
    });
    QVERIFY(at != rules.end());
    QVERIFY(at->ports ==
            (engine::net::PortRange{engine::net::Port{3500}, engine::net::Port{3500}}));
    QVERIFY(at->behaviour == ui::behaviourOf(ui::NatType::Open));
    QVERIFY(at < std::find(rules.begin(), rules.end(), former.back()));
    QVERIFY(!saved);
    auto* apply = buttonNamed(*page, QStringLiteral("Apply"));
    QVERIFY(apply->isEnabled());
    apply->click();
    QVERIFY(saved && saved->exceptions == rules);
    QVERIFY(saved->untranslated == fake::rules().nat.untranslated);
    ui::RuleSet now = fake::rules();
    now.nat = *saved;
    window->setRules(now);
    QVERIFY(!apply->isEnabled());
    // The first row of the list is the first rule that is asked.
    auto* table = tableNamed(*page, "NAT types of devices");
    QCOMPARE(table->model()->rowCount(), static_cast<int>(rules.size()));
    table->setCurrentIndex(table->model()->index(0, 0));
    buttonNamed(*page, QStringLiteral("Remove the selected NAT type"))->click();
    QCOMPARE(page->edited().exceptions.size(), rules.size() - 1);
    QVERIFY(page->edited().exceptions.front() == rules[1]);
    QVERIFY(apply->isEnabled());
    buttonNamed(*page, QStringLiteral("Revert"))->click();
    QVERIFY(page->edited() == *saved);
}

void MainWindowTest::natType_whatCannotHold_isSaidWhileTyping()
{
    const auto window = office();
    window->showPage(ui::Page::Network);
    auto* page = window->findChild<ui::NetworkPage*>();
    const auto existing = fake::rules().nat.exceptions;
    buttonNamed(*page, QStringLiteral("Add a NAT type"))->click();
    auto* editor = page->findChild<ui::NatTypeEditor*>();
    auto* add = buttonNamed(*editor, QStringLiteral("Add"));
    auto* message = editor->findChild<ui::InlineMessage*>();
    const auto type = [&](const QString& devices, const QString& ports) {
        choiceNamed(*editor, "Devices")->setEditText(devices);
        fieldNamed(*editor, "Ports")->setText(ports);
    };
    const QString network = ui::textOf(existing[2].devices);
    type(network, QStringLiteral("3000-4000"));
    QVERIFY(!add->isEnabled());
    QVERIFY2(message->text().contains(QStringLiteral("just these devices")),
             qPrintable(message->text()));
    type(QStringLiteral("10.99.0.1"), {});
    QVERIFY(!add->isEnabled());
    QCOMPARE(message->meaning(), ui::Meaning::Bad);
    type(network, QStringLiteral("4000-3000"));
    QVERIFY(!add->isEnabled());
    QCOMPARE(message->meaning(), ui::Meaning::Bad);
    type(network, QStringLiteral("70000"));
    QVERIFY(!add->isEnabled());
    // Another rule for the same ports of fewer devices holds before the wider one, and says so.
    type(QStringLiteral("192.0.2.25"), QStringLiteral("3500"));
    QVERIFY(add->isEnabled());
    QVERIFY2(message->text().contains(QStringLiteral("Holds before")), qPrintable(message->text()));
    QVERIFY(message->text().contains(network));
    type(network, {});
    QVERIFY(add->isEnabled());
    QVERIFY2(message->text().contains(QStringLiteral("Where both match")),
             qPrintable(message->text()));
    editor->reject();
    QVERIFY(page->edited().exceptions == existing);
}

void MainWindowTest::natType_wordsFollowTheBehaviours()
{
    const auto window = office();
    window->showPage(ui::Page::Network);
    auto* page = window->findChild<ui::NetworkPage*>();
    auto* table = tableNamed(*page, "NAT types of devices");
    QCOMPARE(table->model()->index(0, 0).data().toString(), QStringLiteral("Open"));
    QCOMPARE(table->model()->index(1, 0).data().toString(), QStringLiteral("Strict"));
    QCOMPARE(table->model()->index(2, 0).data().toString(), QStringLiteral("Moderate"));
    table->setCurrentIndex(table->model()->index(0, 0));
    buttonNamed(*page, QStringLiteral("Edit the selected NAT type"))->click();
    auto* editor = page->findChild<ui::NatTypeEditor*>();
    auto* type = choiceNamed(*editor, "NAT type");
    auto* mapping = choiceNamed(*editor, "Mapping");
    auto* filtering = choiceNamed(*editor, "Filtering");
    QCOMPARE(type->currentText(), QStringLiteral("Open"));
    filtering->setCurrentIndex(2);
    QCOMPARE(type->currentText(), QStringLiteral("Moderate"));
    mapping->setCurrentIndex(1);
    QCOMPARE(type->currentText(), QStringLiteral("Strict"));
    QCOMPARE(filtering->currentIndex(), 2);
    type->setCurrentIndex(0);
    QCOMPARE(mapping->currentIndex(), 0);
    QCOMPARE(filtering->currentIndex(), 0);
    type->setCurrentIndex(1);
    buttonNamed(*editor, QStringLiteral("Save"))->click();
    auto expected = fake::rules().nat.exceptions;
    expected[0].behaviour = ui::behaviourOf(ui::NatType::Moderate);
    QVERIFY(page->edited().exceptions == expected);
}

void MainWindowTest::untranslated_isAddedEditedAndRemoved()
{
    const auto window = office();
    window->showPage(ui::Page::Network);
    auto* page = window->findChild<ui::NetworkPage*>();
    const auto former = fake::rules().nat.untranslated;
    buttonNamed(*page, QStringLiteral("Add a destination without translation"))->click();
    auto* editor = page->findChild<ui::UntranslatedEditor*>();
    auto* add = buttonNamed(*editor, QStringLiteral("Add"));
    auto* message = editor->findChild<ui::InlineMessage*>();
    auto* destinations = fieldNamed(*editor, "Destinations");
    QVERIFY(!add->isEnabled());
    destinations->setText(ui::textOf(former[0].destinations));
    QVERIFY(!add->isEnabled());
    destinations->setText(QStringLiteral("0.0.0.0/0"));
    QVERIFY(add->isEnabled());
    QCOMPARE(message->meaning(), ui::Meaning::Warning);
    destinations->setText(QStringLiteral("203.0.113.64/26"));
    QVERIFY(add->isEnabled() && !message->isVisible());
    fieldNamed(*editor, "Ports")->setText(QStringLiteral("80-x"));
    QVERIFY(!add->isEnabled());
    fieldNamed(*editor, "Ports")->setText(QStringLiteral("80-90"));
    add->click();
    auto expected = former;
    expected.push_back({engine::net::Prefix{{203, 0, 113, 64}, 26},
                        {engine::net::Port{80}, engine::net::Port{90}}});
    QVERIFY(page->edited().untranslated == expected);
    // What another rule covers is said in the list.
    auto* table = tableNamed(*page, "Destinations that are not translated");
    QVERIFY(table->selectId(2));
    const int row = table->currentIndex().row();
    QVERIFY(table->model()->index(row, 2).data().toString().contains(QStringLiteral("covers")));
    QTest::keyClick(table, Qt::Key_Delete);
    expected.erase(expected.begin() + 1);
    QVERIFY(page->edited().untranslated == expected);
    QVERIFY(buttonNamed(*page, QStringLiteral("Apply"))->isEnabled());
}

void MainWindowTest::natRules_outsideTheSharedNetwork_cannotBeApplied()
{
    const auto window = office();
    window->showPage(ui::Page::Network);
    auto* page = window->findChild<ui::NetworkPage*>();
    auto snapshot = std::make_shared<engine::Snapshot>(*fake::snapshot(12));
    snapshot->internal.prefix = engine::net::Prefix{{10, 7, 0, 0}, 24};
    for (QSpinBox* box : page->findChildren<QSpinBox*>()) {
        if (box->accessibleName() == QStringLiteral("UDP, both ways")) box->setValue(600);
    }
    QVERIFY(buttonNamed(*page, QStringLiteral("Apply"))->isEnabled());
    window->setSnapshot(snapshot);
    QVERIFY(!buttonNamed(*page, QStringLiteral("Apply"))->isEnabled());
    QVERIFY(page->findChild<ui::InlineMessage*>()->isVisible());
}

void MainWindowTest::natRules_sayWhatLiveSessionsDo_andEndThem()
{
    const auto window = office();
    window->showPage(ui::Page::Network);
    auto* page = window->findChild<ui::NetworkPage*>();
    QVERIFY(!page->wantsSessions());
    ui::RuleSet rules = fake::rules();
    connect(window.get(), &ui::MainWindow::natConfigSaved, this,
            [&](const engine::nat::NatConfig& config) {
                rules.nat = config;
                window->setRules(rules);
            });
    QList<quint64> ended;
    connect(window.get(), &ui::MainWindow::sessionCloseRequested, this,
            [&](quint64 serial) { ended << serial; });
    auto* table = tableNamed(*page, "NAT types of devices");
    table->setCurrentIndex(table->model()->index(0, 0));
    buttonNamed(*page, QStringLiteral("Remove the selected NAT type"))->click();
    QVERIFY(page->wantsSessions());
    const auto console = fake::rules().nat.exceptions[0].devices.network();
    std::vector<engine::SessionRecord> live(4);
    for (std::size_t i = 0; i < live.size(); ++i) {
        live[i].serial = 70 + i;
        live[i].protocol = engine::net::IpProtocol::Udp;
        live[i].internal = {console, engine::net::Port{3074}};
        live[i].remote = {{198, 51, 100, 9}, engine::net::Port{3074}};
        live[i].created = engine::Instant{std::chrono::hours(1)};
    }
    live[1].internal.port = engine::net::Port{50};            // not the rule's port
    live[2].remote.address = Ipv4Address{198, 51, 100, 129};  // not translated at all
    window->setSessions(live, fake::snapshot(10)->at);
    auto* end = buttonNamed(*page, QStringLiteral("End them now"));
    const auto says = [&](const QString& words) {
        for (const ui::InlineMessage* message : page->findChildren<ui::InlineMessage*>()) {
            if (message->isVisible() && message->text().contains(words)) return true;
        }
        return false;
    };
    QVERIFY(says(QStringLiteral("2 live sessions would begin otherwise")));
    QVERIFY(!end->isVisible());
    buttonNamed(*page, QStringLiteral("Apply"))->click();
    QVERIFY(page->wantsSessions());
    live[3].created = fake::snapshot(400)->at;  // began after Apply
    window->setSessions(live, fake::snapshot(401)->at);
    QVERIFY(says(QStringLiteral("1 live session began under the former rules")));
    QVERIFY(end->isVisible() && ended.isEmpty());
    end->click();
    QCOMPARE(ended, QList<quint64>{70});
    QVERIFY(!page->wantsSessions() && !says(QStringLiteral("live session")));
}

void MainWindowTest::deviceAccess_isAsked()
{
    const auto window = office();
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

void MainWindowTest::search_findsPagesDevicesTunnelsAndSettings()
{
    const auto window = office();
    auto* search = window->findChild<ui::SearchBox*>();
    const auto go = [&](const QString& words) {
        QTest::keyClick(window.get(), Qt::Key_K, Qt::ControlModifier);
        QVERIFY(search->isVisible());
        QCOMPARE(QApplication::focusWidget(), search->field());
        QTest::keyClicks(search->field(), words);
        QVERIFY2(search->list()->count() > 0, qPrintable(words));
        QTest::keyClick(search->field(), Qt::Key_Return);
        QVERIFY(!search->isVisible());
    };
    go(QStringLiteral("port forw"));
    QCOMPARE(window->currentPage(), ui::Page::PortForwards);
    go(QStringLiteral("192.0.2.22 device"));
    QCOMPARE(window->currentPage(), ui::Page::Devices);
    QCOMPARE(window->findChild<ui::DevicesPage*>()->findChild<ui::Table*>()->currentId(),
             (Ipv4Address{192, 0, 2, 22}).hostOrder());
    go(QStringLiteral("tunnel anna pptp"));
    QCOMPARE(window->currentPage(), ui::Page::Tunnels);
    QVERIFY(window->findChild<ui::TunnelsPage*>()->findChild<ui::TunnelDetail*>()->isVisible());
    go(QStringLiteral("wireguard protocol"));
    QCOMPARE(window->currentPage(), ui::Page::Passthrough);
    go(QStringLiteral("udp, one way"));
    QCOMPARE(window->currentPage(), ui::Page::Network);
    QCOMPARE(QApplication::focusWidget()->accessibleName(), QStringLiteral("UDP, one way"));
    go(QStringLiteral("theme"));
    QCOMPARE(window->currentPage(), ui::Page::Settings);
    QVERIFY(QApplication::focusWidget()->accessibleName().startsWith(QStringLiteral("Theme")));
    // Down and up choose.
    QTest::keyClick(window.get(), Qt::Key_K, Qt::ControlModifier);
    QTest::keyClick(search->field(), Qt::Key_Down);
    QCOMPARE(search->list()->currentRow(), 1);
    QTest::keyClick(search->field(), Qt::Key_Up);
    QCOMPARE(search->list()->currentRow(), 0);
    QTest::keyClicks(search->field(), QStringLiteral("no such thing"));
    QCOMPARE(search->list()->count(), 0);
}

void MainWindowTest::search_escapeGoesAndOpensNothing()
{
    const auto window = office();
    window->showPage(ui::Page::Tunnels);
    auto* filter = window->findChild<ui::TunnelsPage*>()->filterField();
    filter->setText(QStringLiteral("anna"));
    QTest::keyClick(window.get(), Qt::Key_K, Qt::ControlModifier);
    auto* search = window->findChild<ui::SearchBox*>();
    QTest::keyClicks(search->field(), QStringLiteral("events"));
    QTest::keyClick(search->field(), Qt::Key_Escape);
    QVERIFY(!search->isVisible());
    QCOMPARE(window->currentPage(), ui::Page::Tunnels);
    QCOMPARE(filter->text(), QStringLiteral("anna"));
}

void MainWindowTest::help_tellsAboutPageAndControl()
{
    const auto window = office();
    window->showPage(ui::Page::Passthrough);
    auto* pane = window->findChild<ui::HelpPane*>();
    QVERIFY(!pane->isVisible());
    auto* control =
        window->findChild<ui::PassthroughPage*>()->card(VpnProtocol::Pptp)->modeSwitch()->button(2);
    control->setFocus();
    QTest::keyClick(window.get(), Qt::Key_F1);
    QVERIFY(pane->isVisible());
    const auto says = [&](const QString& text) {
        for (const ui::SafeLabel* label : pane->findChildren<ui::SafeLabel*>()) {
            if (label->text().contains(text)) return true;
        }
        return false;
    };
    QVERIFY(says(ui::helpOn(ui::Page::Passthrough)));
    QVERIFY(says(control->accessibleName()));
    QVERIFY(says(control->accessibleDescription()));
    for (const auto& [key, meaning] : ui::keys())
        QVERIFY(says(key) && says(meaning));
    window->showPage(ui::Page::Devices);
    QVERIFY(says(ui::helpOn(ui::Page::Devices)));
    QTest::keyClick(window.get(), Qt::Key_F1);
    QVERIFY(!pane->isVisible());
    for (int page = 0; page < ui::kPageCount; ++page)
        QVERIFY(!ui::helpOn(static_cast<ui::Page>(page)).isEmpty());
}

void MainWindowTest::networkApply_isTakenBackUnlessKept()
{
    const auto window = office();
    window->showPage(ui::Page::Network);
    auto* page = window->findChild<ui::NetworkPage*>();
    std::vector<engine::nat::NatConfig> saved;
    connect(window.get(), &ui::MainWindow::natConfigSaved, this,
            [&](const engine::nat::NatConfig& config) {
                saved.push_back(config);
                ui::RuleSet rules = fake::rules();
                rules.nat = config;
                window->setRules(rules);
            });
    const auto apply = [&](int seconds) {
        for (QSpinBox* box : page->findChildren<QSpinBox*>()) {
            if (box->accessibleName() == QStringLiteral("UDP, both ways")) box->setValue(seconds);
        }
        buttonNamed(*page, QStringLiteral("Apply"))->click();
    };
    const auto before = fake::rules().nat.timers.udpTwoWay;
    auto* bar = window->findChild<ui::KeepBar*>();
    apply(700);
    QVERIFY(bar->isVisible() && bar->isArmed());
    // A second change goes back to what was before the first.
    apply(800);
    QCOMPARE(saved.size(), std::size_t{2});
    window->showPage(ui::Page::Events);
    QVERIFY(bar->isVisible());
    buttonNamed(*bar, QStringLiteral("Go back to the former values now"))->click();
    QCOMPARE(saved.size(), std::size_t{3});
    QVERIFY(saved.back().timers.udpTwoWay == before);
    QVERIFY(!bar->isArmed() && !bar->isVisible());
    apply(900);
    buttonNamed(*bar, QStringLiteral("Keep the new values"))->click();
    QVERIFY(!bar->isArmed());
    QCOMPARE(saved.size(), std::size_t{4});
    // Nobody says anything.
    apply(950);
    bar->arm(QStringLiteral("Changed."), std::chrono::seconds(0));
    QCOMPARE(saved.size(), std::size_t{6});
    QVERIFY(saved.back().timers.udpTwoWay == std::chrono::seconds(900));
}

void MainWindowTest::pinAndNote_areSavedAndStandOnTop()
{
    const auto window = office();
    connect(window.get(), &ui::MainWindow::settingsChanged, window.get(),
            &ui::MainWindow::setSettings);
    window->showTunnel(6);
    auto* page = window->findChild<ui::TunnelsPage*>();
    const auto* model = page->table()->model();
    QVERIFY(model->index(0, 0).data(ui::IdRole).toULongLong() != 6);
    auto* detail = page->findChild<ui::TunnelDetail*>();
    buttonNamed(*detail, QStringLiteral("Pin"))->click();
    QCOMPARE(model->index(0, 0).data(ui::IdRole).toULongLong(), quint64{6});
    page->table()->sortByColumn(ui::TunnelModel::Device, Qt::DescendingOrder);
    QCOMPARE(model->index(0, 0).data(ui::IdRole).toULongLong(), quint64{6});
    QLineEdit* note = nullptr;
    for (QLineEdit* field : detail->findChildren<QLineEdit*>()) {
        if (field->accessibleName() == QStringLiteral("Note about this tunnel")) note = field;
    }
    QVERIFY(note != nullptr);
    note->setFocus();
    QTest::keyClicks(note, QStringLiteral("ask Jo"));
    QTest::keyClick(note, Qt::Key_Return);
    QCOMPARE(model->index(0, 0).data(ui::SecondLineRole).toString(), QStringLiteral("ask Jo"));
    // The note is found, and unpinning leaves it.
    page->filterField()->setText(QStringLiteral("\"ask jo\""));
    QCOMPARE(model->rowCount(), 1);
    page->filterField()->clear();
    buttonNamed(*detail, QStringLiteral("Pin"))->click();
    QVERIFY(model->index(0, 0).data(ui::IdRole).toULongLong() != 6);
}

void MainWindowTest::earlierSessions_areAskedForAndSummedUp()
{
    const auto window = office();
    std::optional<ui::HistoryQuery> asked;
    connect(window.get(), &ui::MainWindow::earlierTunnelsRequested, this,
            [&](const ui::HistoryQuery& query) { asked = query; });
    window->showTunnel(1);
    QVERIFY(!asked);
    auto* page = window->findChild<ui::TunnelsPage*>();
    page->showTab(ui::TunnelDetail::Tab::Earlier);
    QVERIFY(asked);
    const auto& tunnel = fake::snapshot(12)->tunnels[0];
    QCOMPARE(*asked->device, tunnel.device);
    QCOMPARE(asked->text, ui::textOf(tunnel.server.address));
    std::vector<ui::HistoryTunnel> rows(5);
    for (std::size_t i = 0; i < rows.size(); ++i) {
        rows[i].serial = i + 1;
        rows[i].server = tunnel.server;
        rows[i].phase = i == 3 ? engine::tunnel::Phase::Failed : engine::tunnel::Phase::Closed;
        rows[i].endCause = engine::tunnel::EventKind::AuthenticationFailed;
        rows[i].started = QDateTime(QDate(2026, 11, 20), QTime(14, 0));
        rows[i].ended = rows[i].started.addSecs(i == 0 ? 36000 : 600);
    }
    rows[4].ended = {};  // the tunnel itself
    window->setEarlierTunnels(*asked, rows);
    QString words;
    for (const ui::SafeLabel* label : page->findChildren<ui::SafeLabel*>()) {
        if (label->isVisible() && label->text().contains(QStringLiteral("earlier session")))
            words = label->text();
    }
    QVERIFY2(words.contains(QStringLiteral("4 earlier sessions; 75")), qPrintable(words));
    QVERIFY2(words.contains(QStringLiteral("lasted 10\u00a0min")), qPrintable(words));
    QVERIFY2(words.contains(QStringLiteral("user name or password")), qPrintable(words));
    // An answer to another question changes nothing.
    ui::HistoryQuery other = *asked;
    other.text = QStringLiteral("192.0.2.250");
    window->setEarlierTunnels(other, {});
    bool still = false;
    for (const ui::SafeLabel* label : page->findChildren<ui::SafeLabel*>())
        still = still || label->text() == words;
    QVERIFY(still);
}

void MainWindowTest::tunnelFilter_excludes()
{
    const auto window = office();
    window->showPage(ui::Page::Tunnels);
    auto* page = window->findChild<ui::TunnelsPage*>();
    const auto* model = page->table()->model();
    const int all = model->rowCount();
    page->filterField()->setText(QStringLiteral("pptp"));
    const int pptp = model->rowCount();
    QVERIFY(pptp > 0 && pptp < all);
    page->filterField()->clear();
    Q_EMIT page->table()->excludeAsked(QStringLiteral("PPTP"));
    QCOMPARE(page->filterField()->text(), QStringLiteral("-PPTP"));
    QCOMPARE(model->rowCount(), all - pptp);
    Q_EMIT page->table()->filterAsked(QStringLiteral("Traffic both ways"));
    QCOMPARE(page->filterField()->text(), QStringLiteral("-PPTP \"Traffic both ways\""));
    QVERIFY(model->rowCount() < all - pptp);
}

void MainWindowTest::tunnelGroups_standTogether()
{
    const auto window = office();
    window->showPage(ui::Page::Tunnels);
    auto* page = window->findChild<ui::TunnelsPage*>();
    const auto* model = page->table()->model();
    const auto runs = [&] {
        int count = 0;
        QString last;
        for (int row = 0; row < model->rowCount(); ++row) {
            const QString text = model->index(row, ui::TunnelModel::Protocol).data().toString();
            count += text != last ? 1 : 0;
            last = text;
        }
        return count;
    };
    page->table()->sortByColumn(ui::TunnelModel::For, Qt::AscendingOrder);
    const int before = runs();
    for (QComboBox* box : page->findChildren<QComboBox*>()) {
        if (box->accessibleName() != QStringLiteral("Groups")) continue;
        box->setCurrentIndex(2);
        Q_EMIT box->activated(2);
    }
    std::set<QString> protocols;
    for (int row = 0; row < model->rowCount(); ++row)
        protocols.insert(model->index(row, ui::TunnelModel::Protocol).data().toString());
    QVERIFY(before > runs());
    QCOMPARE(runs(), static_cast<int>(protocols.size()));
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
