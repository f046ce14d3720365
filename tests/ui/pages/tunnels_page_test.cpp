// The table of tunnels and the detail of one.
#include "ui/pages/tunnels_page.h"

#include "ui/main_window.h"
#include "ui/widgets/table.h"

#include <QComboBox>
#include <QLineEdit>
#include <QtTest>

#include <optional>
#include <set>
#include <vector>

#include "tests/ui/fake_network.h"
#include "tests/ui/office.h"

using fake::buttonNamed;
using fake::office;

class TunnelsPageTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void disconnect_asksFirst();
    void pinAndNote_areSavedAndStandOnTop();
    void earlierSessions_areAskedForAndSummedUp();
    void tunnelFilter_excludes();
    void tunnelGroups_standTogether();
};

void TunnelsPageTest::disconnect_asksFirst()
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

void TunnelsPageTest::pinAndNote_areSavedAndStandOnTop()
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

void TunnelsPageTest::earlierSessions_areAskedForAndSummedUp()
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
    const auto tunnel = fake::snapshot(12)->tunnels[0];
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

void TunnelsPageTest::tunnelFilter_excludes()
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

void TunnelsPageTest::tunnelGroups_standTogether()
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

QTEST_MAIN(TunnelsPageTest)
#include "tunnels_page_test.moc"
