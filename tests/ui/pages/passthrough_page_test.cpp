// The passthrough cards: switches, held tunnels, exceptions, self-tests.
#include "ui/pages/passthrough_page.h"

#include "ui/main_window.h"

#include <QLineEdit>
#include <QPushButton>
#include <QtTest>

#include <optional>

#include "tests/ui/fake_network.h"
#include "tests/ui/office.h"

using engine::net::VpnProtocol;
using engine::policy::OnLive;
using engine::policy::PassthroughMode;
using fake::buttonNamed;
using fake::office;

class PassthroughPageTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void selfTest_andItsAge_standOnTheCard();
    void blockLater_asksWhenTheTimeComes();
    void passthroughSwitch_asksAndSpringsBackUntilAnswered();
    void heldTunnels_offerUndoFinishDrop();
    void exception_isAddedAndRemoved();
};

void PassthroughPageTest::selfTest_andItsAge_standOnTheCard()
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

void PassthroughPageTest::blockLater_asksWhenTheTimeComes()
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

void PassthroughPageTest::passthroughSwitch_asksAndSpringsBackUntilAnswered()
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

void PassthroughPageTest::heldTunnels_offerUndoFinishDrop()
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

void PassthroughPageTest::exception_isAddedAndRemoved()
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

QTEST_MAIN(PassthroughPageTest)
#include "passthrough_page_test.moc"
