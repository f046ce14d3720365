#include "ui/pages/lab_page.h"

#include "ui/widgets/search_box.h"
#include "ui/widgets/sidebar.h"
#include "ui/widgets/table.h"

#include <QAccessible>
#include <QApplication>
#include <QHeaderView>
#include <QListWidget>
#include <QProgressBar>
#include <QScrollBar>
#include <QtTest>

#include <optional>
#include <utility>

#include "tests/ui/fake_network.h"
#include "tests/ui/office.h"

using namespace std::chrono_literals;

namespace {

std::vector<ui::LabScenario> scenarios()
{
    return {{QStringLiteral("overview"), QStringLiteral("A small office."), 5min},
            {QStringLiteral("pptp-eight"), QStringLiteral("Eight PPTP clients."), 5min},
            {QStringLiteral("two-clients-same-port"), QStringLiteral("One port for two."), 1min}};
}

ui::LabStatus playing(const char* scenario)
{
    ui::LabStatus status;
    status.scenario = QLatin1String(scenario);
    status.played = 72s;
    status.length = 5min;
    status.claims = {{QStringLiteral("nothing leaks"), true, {}},
                     {QStringLiteral("all are up"), false, QStringLiteral("client 2: not up")}};
    return status;
}

/// The office as if it were the lab, on the lab's page.
std::unique_ptr<ui::MainWindow> lab()
{
    auto window = fake::office();
    ui::RouterState state;
    state.kind = ui::RouterState::Kind::Lab;
    window->setRouterState(state);
    window->setLabScenarios(scenarios());
    window->setLabStatus(playing("overview"));
    window->showPage(ui::Page::Lab);
    return window;
}

QPushButton* entryOf(const ui::MainWindow& window, ui::Page page)
{
    return window.findChild<ui::Sidebar*>()->entry(static_cast<int>(page));
}

QString cell(const ui::Table* table, int row, int column)
{
    return table->model()->index(row, column).data().toString();
}

}  // namespace

class LabPageTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void page_isThereOnlyForALabOfThisWindow()
    {
        const auto window = fake::office();
        QVERIFY(!entryOf(*window, ui::Page::Lab)->isVisible());
        window->showPage(ui::Page::Lab);
        QCOMPARE(window->currentPage(), ui::Page::Overview);
        ui::RouterState state;
        state.kind = ui::RouterState::Kind::Lab;
        window->setRouterState(state);
        QVERIFY(entryOf(*window, ui::Page::Lab)->isVisible());
        window->showPage(ui::Page::Lab);
        QCOMPARE(window->currentPage(), ui::Page::Lab);
        // A service's lab plays on its own.
        state.attached = true;
        window->setRouterState(state);
        QVERIFY(!entryOf(*window, ui::Page::Lab)->isVisible());
        QCOMPARE(window->currentPage(), ui::Page::Overview);
    }

    void scenarios_areListedInOrder_withLessonAndLength()
    {
        const auto window = lab();
        ui::Table* table = window->findChild<ui::LabPage*>()->scenarioTable();
        using Column = ui::ScenarioModel::Column;
        QCOMPARE(table->model()->rowCount(), 3);
        QCOMPARE(cell(table, 0, Column::Name), QStringLiteral("overview"));
        QCOMPARE(cell(table, 2, Column::Lesson), QStringLiteral("One port for two."));
        QCOMPARE(cell(table, 2, Column::Length), QStringLiteral("1\u00a0min"));
        QCOMPARE(cell(table, 0, Column::Result), QStringLiteral("Playing"));
        QCOMPARE(cell(table, 1, Column::Result), QStringLiteral("Not played"));
        // The whole row as one sentence for a screen reader.
        QCOMPARE(table->model()->index(1, 0).data(Qt::AccessibleTextRole).toString(),
                 QStringLiteral("pptp-eight: Eight PPTP clients. 5\u00a0min, Not played"));
        window->findChild<ui::LabPage*>()->filterField()->setText(QStringLiteral("-port eight"));
        QCOMPARE(table->model()->rowCount(), 1);
        QCOMPARE(cell(table, 0, Column::Name), QStringLiteral("pptp-eight"));
    }

    void keyboardAlone_choosesAndPlays()
    {
        const auto window = lab();
        std::optional<std::pair<QString, ui::LabRules>> asked;
        connect(window.get(), &ui::MainWindow::scenarioRequested, this,
                [&](const QString& scenario, ui::LabRules rules) {
                    asked = {scenario, rules};
                });
        // The table has the focus, and what is played is selected in it.
        QCOMPARE(QApplication::focusWidget(), window->findChild<ui::LabPage*>()->scenarioTable());
        QTest::keyClick(QApplication::focusWidget(), Qt::Key_Down);
        QVERIFY(!asked);
        QTest::keyClick(QApplication::focusWidget(), Qt::Key_Return);
        QVERIFY(asked);
        QCOMPARE(asked->first, QStringLiteral("pptp-eight"));
        QCOMPARE(asked->second, ui::LabRules::WithChanges);
        asked.reset();
        fake::buttonNamed(*window, QStringLiteral("Restart"))->click();
        QCOMPARE(asked->first, QStringLiteral("overview"));
        asked.reset();
        fake::buttonNamed(*window, QStringLiteral("Play"))->click();
        QCOMPARE(asked->first, QStringLiteral("pptp-eight"));
    }

    void search_playsAScenario()
    {
        const auto window = lab();
        window->showPage(ui::Page::Tunnels);
        QString asked;
        connect(window.get(), &ui::MainWindow::scenarioRequested, this,
                [&](const QString& scenario) { asked = scenario; });
        QTest::keyClick(window.get(), Qt::Key_K, Qt::ControlModifier);
        auto* search = window->findChild<ui::SearchBox*>();
        QTest::keyClicks(search->field(), QStringLiteral("scenario one port"));
        QCOMPARE(search->list()->count(), 1);
        QTest::keyClick(search->field(), Qt::Key_Return);
        QCOMPARE(asked, QStringLiteral("two-clients-same-port"));
        QCOMPARE(window->currentPage(), ui::Page::Lab);
    }

    void claims_whatDoesNotHold_standsOnTop_andFailsOnlyAtTheEnd()
    {
        const auto window = lab();
        ui::Table* table = window->findChild<ui::LabPage*>()->claimTable();
        ui::Table* list = window->findChild<ui::LabPage*>()->scenarioTable();
        QCOMPARE(cell(table, 0, ui::ClaimModel::What), QStringLiteral("all are up"));
        QCOMPARE(cell(table, 0, ui::ClaimModel::State), QStringLiteral("Not yet"));
        QCOMPARE(cell(table, 0, ui::ClaimModel::Detail), QStringLiteral("client 2: not up"));
        QCOMPARE(cell(table, 1, ui::ClaimModel::State), QStringLiteral("Holds so far"));
        QVERIFY(fake::labelSaying(*window, QStringLiteral("1 of 2 do so far")));
        QVERIFY(fake::labelSaying(*window, ui::Format().duration(72s) + QStringLiteral(" of ")));

        ui::LabStatus status = playing("overview");
        status.over = true;
        status.played = status.length;
        window->setLabStatus(status);
        QCOMPARE(cell(table, 0, ui::ClaimModel::State), QStringLiteral("Fails"));
        QCOMPARE(table->model()->index(0, 0).data(ui::ShapeRole).toInt(),
                 static_cast<int>(ui::Shape::Cross));
        QCOMPARE(cell(list, 0, ui::ScenarioModel::Result), QStringLiteral("Claims fail"));
        status.claims[1].holds = true;
        window->setLabStatus(status);
        QCOMPARE(cell(list, 0, ui::ScenarioModel::Result), QStringLiteral("All claims hold"));
        // The verdict stays when another one is played.
        window->setLabStatus(playing("pptp-eight"));
        QCOMPARE(cell(list, 0, ui::ScenarioModel::Result), QStringLiteral("All claims hold"));
        QCOMPARE(cell(list, 1, ui::ScenarioModel::Result), QStringLiteral("Playing"));
        // What is left before its end has none.
        window->setLabStatus(playing("two-clients-same-port"));
        QCOMPARE(cell(list, 1, ui::ScenarioModel::Result), QStringLiteral("Not played"));
    }

    void speed_isAskedAndFollowsTheAnswer()
    {
        const auto window = lab();
        int asked = 0;
        connect(window.get(), &ui::MainWindow::labSpeedRequested, this,
                [&](int times) { asked = times; });
        QPushButton* sixty = fake::buttonNamed(*window, QStringLiteral("Speed: 60×"));
        sixty->click();
        QCOMPARE(asked, 60);
        QVERIFY(!sixty->isChecked());
        ui::LabStatus status = playing("overview");
        status.speed = 60;
        window->setLabStatus(status);
        QVERIFY(sixty->isChecked());
        status.over = true;
        window->setLabStatus(status);
        QVERIFY(!sixty->isEnabled());
    }

    void changedRules_areSaid_andCanBeLeft()
    {
        const auto window = lab();
        std::optional<ui::LabRules> asked;
        connect(window.get(), &ui::MainWindow::scenarioRequested, this,
                [&](const QString&, ui::LabRules rules) { asked = rules; });
        QPushButton* own = fake::buttonNamed(*window, QStringLiteral("Play with its own rules"));
        QVERIFY(!own->isVisible());
        ui::LabStatus status = playing("overview");
        status.rulesChanged = true;
        window->setLabStatus(status);
        QVERIFY(own->isVisible());
        own->click();
        QCOMPARE(asked, ui::LabRules::Own);
    }

    void preparing_isSaid_andTheOldOneGoesOn()
    {
        const auto window = lab();
        ui::LabStatus status = playing("overview");
        status.preparing = QStringLiteral("pptp-eight");
        window->setLabStatus(status);
        QVERIFY(fake::labelSaying(*window, QStringLiteral("pptp-eight")));
        QVERIFY(!fake::buttonNamed(*window, QStringLiteral("Restart"))->isEnabled());
        QCOMPARE(window->findChild<ui::LabPage*>()->claimTable()->model()->rowCount(), 2);
    }

    void forgetRouter_leavesNothingOfTheOldOne()
    {
        const auto window = lab();
        window->showTunnel(1);
        window->addEvents(fake::events(9));
        window->setSessions(fake::sessions(9, 10), fake::snapshot(9)->at);
        QTest::keyClick(window->findChild<ui::Table*>(), Qt::Key_Space);
        int rows = 0;
        for (const ui::Table* table : window->findChildren<ui::Table*>())
            rows += table->model()->rowCount();
        QVERIFY(rows > 20);
        window->showPage(ui::Page::Lab);
        window->forgetRouter();
        QCOMPARE(window->currentPage(), ui::Page::Lab);
        for (const char* name : {"Tunnels", "Devices", "Events", "Tunnels of the past"}) {
            const ui::Table* table = fake::tableNamed(*window, name);
            QVERIFY2(table != nullptr, name);
            QVERIFY2(table->model()->rowCount() == 0, name);
        }
        // The next router's clock may stand before the old one's, and its serials begin anew.
        window->setSnapshot(fake::snapshot(0));
        QCOMPARE(fake::tableNamed(*window, "Tunnels")->model()->rowCount(),
                 static_cast<int>(fake::snapshot(0)->tunnels.size()));
    }

    void everyControl_hasANameAndRoom()
    {
        const auto window = lab();
        window->resize(1280, 820);
        ui::LabStatus status = playing("two-clients-same-port");
        status.rulesChanged = true;
        window->setLabStatus(status);
        window->grab();
        auto* page = window->findChild<ui::LabPage*>();
        int controls = 0;
        for (QWidget* one : page->findChildren<QWidget*>()) {
            if (!one->isVisible() || (one->focusPolicy() & Qt::TabFocus) == 0) continue;
            ++controls;
            QAccessibleInterface* interface = QAccessible::queryAccessibleInterface(one);
            QVERIFY2(!interface->text(QAccessible::Name).trimmed().isEmpty(),
                     one->metaObject()->className());
        }
        QVERIFY(controls >= 9);
        QVERIFY(!page->findChild<QProgressBar*>()->accessibleName().isEmpty());
        for (const ui::Table* table : page->findChildren<ui::Table*>()) {
            QCOMPARE(table->horizontalScrollBar()->maximum(), 0);
            const QHeaderView* header = table->horizontalHeader();
            for (int column = 0; column < header->count(); ++column)
                QVERIFY(header->sectionSize(column) >= header->sectionSizeHint(column));
        }
    }
};

QTEST_MAIN(LabPageTest)
#include "lab_page_test.moc"
