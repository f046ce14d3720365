// A rule that takes something away from live sessions says so and asks what becomes of them.
#include "ui/widgets/live_question.h"

#include "ui/pages/devices_page.h"
#include "ui/pages/port_forwards_page.h"
#include "ui/widgets/table.h"

#include <QApplication>
#include <QPushButton>
#include <QtTest>

#include <optional>
#include <utility>

#include "tests/ui/fake_network.h"
#include "tests/ui/office.h"

using engine::net::Ipv4Address;
using engine::policy::OnLive;

class LiveQuestionTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void forward_withLiveSessions_asksBeforeItGoes()
    {
        const auto window = fake::office();
        window->showPage(ui::Page::PortForwards);
        auto* page = window->findChild<ui::PortForwardsPage*>();
        auto* question = page->findChild<ui::LiveQuestion*>();
        std::optional<std::pair<quint32, OnLive>> removed;
        connect(window.get(), &ui::MainWindow::portForwardRemoved, this,
                [&](quint32 id, OnLive onLive) {
                    removed = {id, onLive};
                });
        // The fake office's first forward has three live sessions, its second none.
        QVERIFY(page->table()->selectId(1));
        QTest::keyClick(page->table(), Qt::Key_Delete);
        QVERIFY(!removed);
        QVERIFY(question->isVisible());
        QVERIFY(fake::labelSaying(*question, QStringLiteral("3 live sessions came in through")));
        QCOMPARE(QApplication::focusWidget(),
                 fake::buttonNamed(*question, QStringLiteral("Let them finish")));
        fake::buttonNamed(*question, QStringLiteral("Change nothing"))->click();
        QVERIFY(!removed && !question->isVisible());

        QTest::keyClick(page->table(), Qt::Key_Delete);
        fake::buttonNamed(*question, QStringLiteral("Let them finish"))->click();
        QVERIFY(removed && removed->first == 1U && removed->second == OnLive::Finish);
        QVERIFY(!question->isVisible());
        removed.reset();
        QTest::keyClick(page->table(), Qt::Key_Delete);
        fake::buttonNamed(*question, QStringLiteral("End them now"))->click();
        QVERIFY(removed && removed->second == OnLive::Drop);

        removed.reset();
        QVERIFY(page->table()->selectId(2));
        QTest::keyClick(page->table(), Qt::Key_Delete);
        QVERIFY(removed && removed->first == 2U);
        QVERIFY(!question->isVisible());
    }

    void forward_switchedOff_asks_andRulesThatChangedCloseTheQuestion()
    {
        const auto window = fake::office();
        window->showPage(ui::Page::PortForwards);
        auto* page = window->findChild<ui::PortForwardsPage*>();
        auto* question = page->findChild<ui::LiveQuestion*>();
        std::optional<std::pair<engine::policy::PortForward, OnLive>> saved;
        connect(window.get(), &ui::MainWindow::portForwardSaved, this,
                [&](const engine::policy::PortForward& forward, OnLive onLive) {
                    saved = {forward, onLive};
                });
        QVERIFY(page->table()->selectId(1));
        fake::buttonNamed(*page, QStringLiteral("Switch off"))->click();
        QVERIFY(question->isVisible() && !saved);
        fake::buttonNamed(*question, QStringLiteral("Let them finish"))->click();
        QVERIFY(saved && !saved->first.enabled && saved->second == OnLive::Finish);
        // Somebody else has changed the rules: what was asked is no longer the question.
        fake::buttonNamed(*page, QStringLiteral("Switch off"))->click();
        QVERIFY(question->isVisible());
        ui::RuleSet rules = fake::rules();
        rules.portForwards[1].name = "other";
        window->setRules(rules);
        QVERIFY(!question->isVisible());
    }

    void oneToOne_ofADeviceWithLiveSessions_asksBeforeItGoes()
    {
        const auto window = fake::office();
        window->showPage(ui::Page::PortForwards);
        auto* page = window->findChild<ui::PortForwardsPage*>();
        auto* question = page->findChild<ui::LiveQuestion*>();
        std::optional<std::pair<quint32, OnLive>> removed;
        connect(window.get(), &ui::MainWindow::oneToOneRemoved, this,
                [&](quint32 id, OnLive onLive) {
                    removed = {id, onLive};
                });
        ui::Table* table = nullptr;
        for (auto* one : page->findChildren<ui::Table*>())
            if (one != page->table()) table = one;
        QVERIFY(table != nullptr && table->selectId(1));
        quint32 concerned = 4;
        connect(window.get(), &ui::MainWindow::concernRequested, this,
                [&](quint64 number, const engine::Command& command) {
                    const auto* wish = std::get_if<engine::SetOneToOnes>(&command);
                    QVERIFY(wish != nullptr);
                    QCOMPARE(wish->oneToOnes.size(), fake::rules().oneToOnes.size() - 1);
                    // An answer to another question is none.
                    window->setConcerned(number + 1, 9);
                    window->setConcerned(number, concerned);
                    window->setConcerned(number, 9);
                });
        QTest::keyClick(table, Qt::Key_Delete);
        QVERIFY(!removed && question->isVisible());
        QVERIFY(fake::labelSaying(*question, QStringLiteral("4 live sessions of")));
        fake::buttonNamed(*question, QStringLiteral("Let them finish"))->click();
        QVERIFY(removed && removed->first == 1U && removed->second == OnLive::Finish);

        removed.reset();
        concerned = 0;
        QTest::keyClick(table, Qt::Key_Delete);
        QVERIFY(removed && removed->second == OnLive::Drop && !question->isVisible());
    }

    void exposedHost_withSessionsThatCameIn_asksBeforeItChanges()
    {
        const auto window = fake::office();
        window->showPage(ui::Page::PortForwards);
        auto* page = window->findChild<ui::PortForwardsPage*>();
        auto* question = page->findChild<ui::LiveQuestion*>();
        std::optional<std::pair<Ipv4Address, OnLive>> changed;
        connect(window.get(), &ui::MainWindow::exposedHostChanged, this,
                [&](Ipv4Address address, OnLive onLive) {
                    changed = {address, onLive};
                });
        ui::RuleSet rules = fake::rules();
        rules.exposedHost = Ipv4Address{192, 0, 2, 22};
        window->setRules(rules);
        quint32 concerned = 2;
        connect(window.get(), &ui::MainWindow::concernRequested, this,
                [&](quint64 number, const engine::Command& command) {
                    QVERIFY(std::holds_alternative<engine::SetExposedHost>(command));
                    window->setConcerned(number, concerned);
                });
        auto* none = fake::buttonNamed(*page, QStringLiteral("Expose none"));
        none->click();
        QVERIFY(!changed && question->isVisible());
        QVERIFY(fake::labelSaying(*question, QStringLiteral("2 live sessions came in to")));
        fake::buttonNamed(*question, QStringLiteral("Change nothing"))->click();
        QVERIFY(!changed && !question->isVisible());
        none->click();
        fake::buttonNamed(*question, QStringLiteral("End them now"))->click();
        QVERIFY(changed && changed->first.isUnspecified() && changed->second == OnLive::Drop);

        changed.reset();
        concerned = 0;
        none->click();
        QVERIFY(changed && !question->isVisible());
    }

    void device_withLiveSessions_asksBeforeItIsBlocked()
    {
        const auto window = fake::office();
        window->showPage(ui::Page::Devices);
        auto* page = window->findChild<ui::DevicesPage*>();
        auto* question = page->findChild<ui::LiveQuestion*>();
        std::optional<std::pair<engine::policy::DeviceRule, OnLive>> saved;
        connect(window.get(), &ui::MainWindow::deviceRuleSaved, this,
                [&](const engine::policy::DeviceRule& rule, OnLive onLive) {
                    saved = {rule, onLive};
                });
        page->showDevice({192, 0, 2, 22});
        fake::buttonNamed(*page, QStringLiteral("Access: Block"))->click();
        QVERIFY(!saved);
        QVERIFY(fake::labelSaying(*question, QStringLiteral("live session")));
        fake::buttonNamed(*question, QStringLiteral("End them now"))->click();
        QVERIFY(saved && saved->second == OnLive::Drop);
        QCOMPARE(saved->first.access, engine::policy::DeviceAccess::Block);
    }
};

QTEST_MAIN(LiveQuestionTest)
#include "live_question_test.moc"
