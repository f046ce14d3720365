// Keys, search and help: everything is reached without a mouse.
#include "ui/main_window.h"
#include "ui/pages/connections_page.h"
#include "ui/pages/devices_page.h"
#include "ui/pages/passthrough_page.h"
#include "ui/pages/tunnels_page.h"
#include "ui/text/help_words.h"
#include "ui/widgets/help_pane.h"
#include "ui/widgets/search_box.h"
#include "ui/widgets/table.h"

#include <QApplication>
#include <QtTest>

#include <set>

#include "tests/ui/fake_network.h"
#include "tests/ui/office.h"

using engine::net::Ipv4Address;
using engine::net::VpnProtocol;
using fake::kPages;
using fake::office;

class KeyboardTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void keys_switchPagesAndFilter();
    void escape_clearsTheFilterThenTheDetail();
    void slash_inAField_isTyped();
    void f6_walksThePanes();
    void space_freezesTheTable();
    void search_findsPagesDevicesTunnelsAndSettings();
    void search_escapeGoesAndOpensNothing();
    void help_tellsAboutPageAndControl();
};

void KeyboardTest::keys_switchPagesAndFilter()
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

void KeyboardTest::escape_clearsTheFilterThenTheDetail()
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

void KeyboardTest::slash_inAField_isTyped()
{
    const auto window = office();
    window->showPage(ui::Page::Connections);
    auto* field = window->findChild<ui::ConnectionsPage*>()->filterField();
    QTest::keyClick(window.get(), Qt::Key_Slash);
    QCOMPARE(QApplication::focusWidget(), field);
    QTest::keyClicks(field, QStringLiteral("192.0.2.0/24"));
    QCOMPARE(field->text(), QStringLiteral("192.0.2.0/24"));
}

void KeyboardTest::f6_walksThePanes()
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

void KeyboardTest::space_freezesTheTable()
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

void KeyboardTest::search_findsPagesDevicesTunnelsAndSettings()
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

void KeyboardTest::search_escapeGoesAndOpensNothing()
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

void KeyboardTest::help_tellsAboutPageAndControl()
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

QTEST_MAIN(KeyboardTest)
#include "keyboard_test.moc"
