// What of this computer is held is told, and given back only after a question.
#include "ui/pages/host_card.h"

#include <QApplication>
#include <QPushButton>
#include <QtTest>

#include "tests/ui/fake_network.h"
#include "tests/ui/office.h"

class HostCardTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void settings_tellWhatIsHeldAndHowItWas()
    {
        const auto window = fake::office();
        window->showPage(ui::Page::Settings);
        auto* card = window->findChild<ui::HostCard*>();
        QVERIFY(fake::labelSaying(*card, QStringLiteral("Held while this window shares")));
        QVERIFY(fake::labelSaying(*card, QStringLiteral("bpf handle 0x756f")));
        QVERIFY(fake::labelSaying(*card, QStringLiteral("not there")));
        QVERIFY(!fake::labelSaying(*card, QStringLiteral("somebody else")));
        auto held = fake::hostHoldings();
        held.holder = ui::HostHoldings::Holder::Service;
        held.settings[2].there = false;
        window->setHost(held);
        QVERIFY(fake::labelSaying(*card, QStringLiteral("Held by the service")));
        QVERIFY(fake::labelSaying(*card, QStringLiteral("somebody else has taken it away")));
    }

    void nothingHeld_saysSo_andOffersNothing()
    {
        const auto window = fake::office();
        window->showPage(ui::Page::Settings);
        auto* card = window->findChild<ui::HostCard*>();
        window->setHost({});
        QVERIFY(fake::labelSaying(*card, QStringLiteral("Nothing is held")));
        QVERIFY(!fake::labelSaying(*card, QStringLiteral("clsact")));
        QVERIFY(
            !fake::buttonNamed(*card, QStringLiteral("Restore this computer now"))->isEnabled());
    }

    void restore_asksAndSaysWhatStops()
    {
        const auto window = fake::office();
        window->showPage(ui::Page::Settings);
        auto* card = window->findChild<ui::HostCard*>();
        int asked = 0;
        connect(window.get(), &ui::MainWindow::hostRestoreRequested, this, [&] { ++asked; });
        auto* restore = fake::buttonNamed(*card, QStringLiteral("Restore this computer now"));
        restore->click();
        QCOMPARE(asked, 0);
        const auto snapshot = fake::snapshot(9);
        QVERIFY(fake::labelSaying(
            *card, QStringLiteral("Sharing stops for %1 devices").arg(snapshot->devices.size())));
        QVERIFY(fake::labelSaying(*card, QStringLiteral("%1 sessions").arg(snapshot->sessions)));
        auto* leave = fake::buttonNamed(*card, QStringLiteral("Change nothing"));
        QCOMPARE(QApplication::focusWidget(), leave);
        leave->click();
        QVERIFY(!leave->isVisible());
        QCOMPARE(asked, 0);
        restore->click();
        fake::buttonNamed(*card, QStringLiteral("Restore now"))->click();
        QCOMPARE(asked, 1);
        QVERIFY(!leave->isVisible());
    }

    void holdings_areAskedForOnlyWhereTheyAreShown()
    {
        const auto window = fake::office();
        int asked = 0;
        connect(window.get(), &ui::MainWindow::hostRequested, this, [&] { ++asked; });
        window->showPage(ui::Page::Tunnels);
        QCOMPARE(asked, 0);
        window->showPage(ui::Page::Settings);
        QCOMPARE(asked, 1);
        // Nothing runs: a crash may have left something.
        window->setRouterState({});
        window->showPage(ui::Page::Settings);
        QVERIFY(asked > 1);
    }
};

QTEST_MAIN(HostCardTest)
#include "host_card_test.moc"
