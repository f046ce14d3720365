// The network page: a form with Apply, NAT types, destinations without translation.
#include "ui/pages/network_page.h"

#include "ui/main_window.h"
#include "ui/pages/nat_rule_editors.h"
#include "ui/values/nat_type.h"
#include "ui/widgets/building_blocks.h"
#include "ui/widgets/keep_bar.h"
#include "ui/widgets/table.h"

#include <QComboBox>
#include <QLineEdit>
#include <QSpinBox>
#include <QtTest>

#include <optional>
#include <vector>

#include "tests/ui/fake_network.h"
#include "tests/ui/office.h"

using engine::net::Ipv4Address;
using fake::buttonNamed;
using fake::choiceNamed;
using fake::fieldNamed;
using fake::office;
using fake::tableNamed;

class NetworkPageTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void networkForm_changesNothingBeforeApply();
    void networkForm_shortTimer_cannotBeApplied();
    void natType_isAddedBeforeTheWiderOne_andRemoved();
    void natType_whatCannotHold_isSaidWhileTyping();
    void natType_wordsFollowTheBehaviours();
    void untranslated_isAddedEditedAndRemoved();
    void natRules_outsideTheSharedNetwork_cannotBeApplied();
    void natRules_sayWhatLiveSessionsDo_andEndThem();
    void networkApply_isTakenBackUnlessKept();
};

void NetworkPageTest::networkForm_changesNothingBeforeApply()
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

void NetworkPageTest::networkForm_shortTimer_cannotBeApplied()
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

void NetworkPageTest::natType_isAddedBeforeTheWiderOne_andRemoved()
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

void NetworkPageTest::natType_whatCannotHold_isSaidWhileTyping()
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

void NetworkPageTest::natType_wordsFollowTheBehaviours()
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

void NetworkPageTest::untranslated_isAddedEditedAndRemoved()
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

void NetworkPageTest::natRules_outsideTheSharedNetwork_cannotBeApplied()
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

void NetworkPageTest::natRules_sayWhatLiveSessionsDo_andEndThem()
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

void NetworkPageTest::networkApply_isTakenBackUnlessKept()
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

QTEST_MAIN(NetworkPageTest)
#include "network_page_test.moc"
