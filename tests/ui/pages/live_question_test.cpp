// A rule that takes something away from live sessions says so and asks what becomes of them.
#include "ui/widgets/live_question.h"

#include "ui/pages/devices_page.h"
#include "ui/pages/network_page.h"
#include "ui/pages/passthrough_page.h"
#include "ui/pages/port_forwards_page.h"
#include "ui/pages/rule_editors.h"
#include "ui/widgets/table.h"

#include <QApplication>
#include <QPushButton>
#include <QSpinBox>
#include <QtTest>

#include <algorithm>
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
        connect(window.get(), &ui::MainWindow::concernRequested, this,
                [&](quint64 number, const engine::Command& command) {
                    const auto& wish = std::get<engine::SetPortForwards>(command);
                    QCOMPARE(wish.forwards.size(), fake::rules().portForwards.size() - 1);
                    const bool first =
                        std::ranges::find(wish.forwards, 1U, &engine::policy::PortForward::id) ==
                        wish.forwards.end();
                    window->setConcerned(number, first ? 3 : 0);
                });
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
        fake::answerConcern(*window, 3);
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
        QVERIFY(fake::labelSaying(*question, QStringLiteral("3 live sessions came in through")));
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

    void forward_overPortsInUse_asksBeforeItComes()
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
        quint32 concerned = 5;
        std::vector<engine::policy::PortForward> wished;
        connect(window.get(), &ui::MainWindow::concernRequested, this,
                [&](quint64 number, const engine::Command& command) {
                    wished = std::get<engine::SetPortForwards>(command).forwards;
                    window->setConcerned(number, concerned);
                });
        engine::policy::PortForward forward;
        forward.protocol = engine::net::IpProtocol::Udp;
        forward.externalPorts = {engine::net::Port{50000}, engine::net::Port{50010}};
        forward.internalFirst = engine::net::Port{50000};
        forward.internalAddress = {192, 0, 2, 22};
        const auto save = [&] {
            page->edit(forward);
            auto* editor = page->findChild<ui::PortForwardEditor*>();
            QVERIFY(editor != nullptr);
            Q_EMIT editor->saved(forward);
            editor->close();
            delete editor;
        };
        save();
        QVERIFY(!saved && question->isVisible());
        QVERIFY(fake::labelSaying(
            *question, QStringLiteral("This takes UDP 50000–50010 from 5 live sessions of devices "
                                      "inside.")));
        // What is counted is what would be saved, as a rule of its own.
        QCOMPARE(wished.size(), fake::rules().portForwards.size() + 1);
        QCOMPARE(wished.back().externalPorts, forward.externalPorts);
        for (std::size_t i = 0; i + 1 < wished.size(); ++i)
            QVERIFY(wished[i].id != wished.back().id);
        fake::buttonNamed(*question, QStringLiteral("Let them finish"))->click();
        QVERIFY(saved && saved->second == OnLive::Finish && !question->isVisible());
        QCOMPARE(saved->first.id, 0U);

        // One that has callers of its own and gets other ports.
        saved.reset();
        forward = fake::rules().portForwards[0];
        forward.externalPorts.last = forward.externalPorts.first = engine::net::Port{50000};
        save();
        QVERIFY(!saved && question->isVisible());
        QVERIFY(fake::labelSaying(
            *question, QStringLiteral("This ends 5 live sessions that came in through")));
        QCOMPARE(wished.size(), fake::rules().portForwards.size());
        fake::buttonNamed(*question, QStringLiteral("Change nothing"))->click();
        QVERIFY(!saved);

        concerned = 0;
        save();
        QVERIFY(saved && saved->second == OnLive::Drop && !question->isVisible());
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
        std::optional<engine::policy::DeviceRule> wished;
        quint32 concerned = 7;
        connect(window.get(), &ui::MainWindow::concernRequested, this,
                [&](quint64 number, const engine::Command& command) {
                    wished = std::get<engine::SetDeviceRules>(command).rules.back();
                    window->setConcerned(number, concerned);
                });
        page->showDevice({192, 0, 2, 22});
        fake::buttonNamed(*page, QStringLiteral("Access: Block"))->click();
        QVERIFY(!saved && question->isVisible());
        QVERIFY(fake::labelSaying(*question, QStringLiteral("This ends 7 live sessions of")));
        QVERIFY(wished && wished->access == engine::policy::DeviceAccess::Block);
        QCOMPARE(wished->address, (Ipv4Address{192, 0, 2, 22}));
        fake::buttonNamed(*question, QStringLiteral("End them now"))->click();
        QVERIFY(saved && saved->second == OnLive::Drop);
        QCOMPARE(saved->first.access, engine::policy::DeviceAccess::Block);

        saved.reset();
        concerned = 0;
        fake::buttonNamed(*page, QStringLiteral("Access: VPN only"))->click();
        QVERIFY(saved && !question->isVisible());
    }

    void device_withMoreThanANewLimit_isToldSoBefore()
    {
        const auto window = fake::office();
        window->showPage(ui::Page::Devices);
        auto* page = window->findChild<ui::DevicesPage*>();
        page->showDevice({192, 0, 2, 22});
        QSpinBox* limit = nullptr;
        for (QSpinBox* box : page->findChildren<QSpinBox*>())
            if (box->accessibleName() == QStringLiteral("Most sessions of this device"))
                limit = box;
        QVERIFY(limit != nullptr);
        const QString words = QStringLiteral("they run on, and it gets no new ones");
        QVERIFY(fake::labelSaying(*page, words) == nullptr);
        limit->setValue(1);
        QVERIFY(fake::labelSaying(*page, words) != nullptr);
        limit->setValue(100000);
        QVERIFY(fake::labelSaying(*page, words) == nullptr);
    }

    void natSettings_sayBeforeApplyWhatTheyEnd()
    {
        const auto window = fake::office();
        window->showPage(ui::Page::Network);
        auto* page = window->findChild<ui::NetworkPage*>();
        quint32 concerned = 6;
        std::optional<engine::nat::NatConfig> wished;
        connect(window.get(), &ui::MainWindow::concernRequested, this,
                [&](quint64 number, const engine::Command& command) {
                    wished = std::get<engine::SetNat>(command).config;
                    window->setConcerned(number + 1, 9);
                    window->setConcerned(number, concerned);
                });
        const auto box = [&](const char* name) {
            for (QSpinBox* one : page->findChildren<QSpinBox*>())
                if (one->accessibleName() == QLatin1String(name)) return one;
            qFatal("no such field");
        };
        const auto says = [&](const char* words) {
            for (const ui::InlineMessage* message : page->findChildren<ui::InlineMessage*>())
                if (message->isVisible() && message->text().contains(QLatin1String(words)))
                    return true;
            return false;
        };
        auto* timer = box("UDP, both ways");
        const int before = timer->value();
        timer->setValue(130);
        QTRY_VERIFY(says("Apply ends 6 live sessions that nothing has used"));
        QVERIFY(wished && wished->timers.udpTwoWay == std::chrono::seconds(130));
        concerned = 0;
        timer->setValue(140);
        QVERIFY(!says("Apply ends"));  // what was counted was for another time
        timer->setValue(before);
        QVERIFY(!says("live session"));
        // A limit below what devices have.
        box("Sessions")->setValue(1);
        QVERIFY(says("would be over the new limit of sessions"));
        box("Sessions")->setValue(1'000'000);
        QVERIFY(!says("new limit"));
    }

    void passthroughSwitch_saysWhatBlockingDoesToLiveTunnels()
    {
        const auto window = fake::office();
        window->showPage(ui::Page::Passthrough);
        auto* page = window->findChild<ui::PassthroughPage*>();
        auto* block = fake::buttonNamed(*page, QStringLiteral("PPTP: Block"));
        QVERIFY(block != nullptr);
        QVERIFY(block->toolTip().contains(QStringLiteral("held for ten seconds")));
        ui::WindowSettings settings;
        settings.onLive = OnLive::Drop;
        window->setSettings(settings);
        QVERIFY(block->toolTip().contains(QStringLiteral("Live ones end at once.")));
        QCOMPARE(block->accessibleDescription(), block->toolTip());
        settings.onLive = OnLive::Finish;
        window->setSettings(settings);
        QVERIFY(block->toolTip().contains(QStringLiteral("run on until they end")));
    }
};

QTEST_MAIN(LiveQuestionTest)
#include "live_question_test.moc"
