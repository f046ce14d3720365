// The start page offers the cards that can be shared, and explains what cannot.
#include "ui/pages/start_page.h"

#include "ui/main_window.h"

#include <QPushButton>
#include <QtTest>

#include <vector>

#include "tests/ui/fake_network.h"
#include "tests/ui/office.h"

using fake::buttonNamed;

class StartPageTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void startPage_offersUsableCardsFirst();
    void startPage_sameCardTwice_isRefused();
    void startPage_choosesBySides_andAsks();
    void oneUsableCard_offersTheLab();
};

void StartPageTest::startPage_offersUsableCardsFirst()
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

void StartPageTest::startPage_sameCardTwice_isRefused()
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

void StartPageTest::startPage_choosesBySides_andAsks()
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

void StartPageTest::oneUsableCard_offersTheLab()
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

QTEST_MAIN(StartPageTest)
#include "start_page_test.moc"
