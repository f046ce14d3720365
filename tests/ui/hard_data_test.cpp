// What is hard to show: a small screen, long names, many tunnels, dialogs without a mouse.
#include "ui/main_window.h"
#include "ui/pages/devices_page.h"
#include "ui/pages/network_page.h"
#include "ui/pages/port_forwards_page.h"
#include "ui/pages/tunnels_page.h"
#include "ui/widgets/live_question.h"
#include "ui/widgets/table.h"

#include <QAccessible>
#include <QApplication>
#include <QDialog>
#include <QPushButton>
#include <QScrollArea>
#include <QScrollBar>
#include <QSpinBox>
#include <QStackedWidget>
#include <QtTest>

#include "tests/ui/fake_network.h"
#include "tests/ui/office.h"

namespace {

/// Controls that a screen reader could only call "button".
QStringList namelessIn(const QWidget& root, int& seen)
{
    QStringList nameless;
    for (QWidget* one : root.findChildren<QWidget*>()) {
        // A spin box or a combo box speaks for the field in it.
        if (!one->isVisible() || one->focusPolicy() == Qt::NoFocus || one->focusProxy() != nullptr)
            continue;
        ++seen;
        auto* interface = QAccessible::queryAccessibleInterface(one);
        if (interface != nullptr && interface->text(QAccessible::Name).trimmed().isEmpty())
            nameless << QLatin1String(one->metaObject()->className()) + QLatin1Char(' ') +
                            one->objectName();
    }
    return nameless;
}

/// What asks for more room than there is.
QString widerThan(int width, const QWidget& root)
{
    QStringList wide;
    for (const QWidget* one : root.findChildren<QWidget*>()) {
        if (!one->isVisible() || one->minimumSizeHint().width() <= width) continue;
        wide << QStringLiteral("%1 %2: %3")
                    .arg(QLatin1String(one->metaObject()->className()), one->accessibleName())
                    .arg(one->minimumSizeHint().width());
    }
    return QString::number(width) + QStringLiteral(" for ") + wide.join(QStringLiteral(", "));
}

std::unique_ptr<ui::MainWindow> crowdedOffice()
{
    auto window = fake::office();
    window->setDeviceNames(fake::longDeviceNames());
    for (int step = 10; step < 14; ++step)
        window->setSnapshot(fake::crowded(step));
    return window;
}

}  // namespace

class HardDataTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void everyPage_withLongNames_staysInASmallWindow_data()
    {
        QTest::addColumn<int>("page");
        for (const ui::Page page : fake::kPages)
            QTest::newRow(qPrintable(ui::wordOf(page))) << static_cast<int>(page);
    }

    void everyPage_withLongNames_staysInASmallWindow()
    {
        QFETCH(int, page);
        const auto window = crowdedOffice();
        window->resize(1024, 600);
        window->showPage(static_cast<ui::Page>(page));
        QApplication::processEvents();  // one layout leads to the next
        if (static_cast<ui::Page>(page) == ui::Page::Connections)
            window->setSessions(fake::sessions(12, 200), fake::snapshot(12)->at);
        window->setSnapshot(fake::crowded(15));
        window->grab();
        QCOMPARE(window->size(), QSize(1024, 600));
        for (QScrollArea* area : window->findChildren<QScrollArea*>()) {
            if (!area->isVisible()) continue;
            QVERIFY2(area->horizontalScrollBar()->maximum() == 0,
                     qPrintable(widerThan(area->viewport()->width(), *area->widget())));
        }
        for (ui::Table* table : window->findChildren<ui::Table*>()) {
            if (!table->isVisible()) continue;
            QVERIFY2(table->horizontalScrollBar()->maximum() == 0,
                     qPrintable(table->accessibleName()));
        }
        const QWidget* shown = window->findChild<QStackedWidget*>()->currentWidget();
        QVERIFY2(shown->minimumSizeHint().width() <= shown->width(),
                 qPrintable(widerThan(shown->width(), *shown)));
        // Nothing is pushed out at the right, where nobody could click it.
        for (QPushButton* button : window->findChildren<QPushButton*>()) {
            if (!button->isVisible()) continue;
            const int right = button->mapTo(window.get(), QPoint(button->width(), 0)).x();
            QVERIFY2(right <= window->width(), qPrintable(button->text()));
        }
    }

    void fiveHundredTunnels_areAllThere_andOneIsShown()
    {
        const auto window = crowdedOffice();
        window->showPage(ui::Page::Tunnels);
        auto* table = window->findChild<ui::TunnelsPage*>()->table();
        QCOMPARE(table->model()->rowCount(), 500);
        window->showTunnel(400);
        QCOMPARE(table->currentId(), quint64{400});
    }

    void everyDialog_namesItsControls()
    {
        const auto window = fake::office();
        int dialogs = 0;
        for (const auto& [page, opener] :
             {std::pair{ui::Page::PortForwards, "Add a port forward"},
              std::pair{ui::Page::PortForwards, "Add a one-to-one rule"},
              std::pair{ui::Page::Network, "Add a NAT type"},
              std::pair{ui::Page::Network, "Add a destination without translation"}}) {
            window->showPage(page);
            auto* button = fake::buttonNamed(*window, QLatin1String(opener));
            QVERIFY2(button != nullptr, opener);
            if (!button->isEnabled()) continue;
            button->click();
            auto* dialog = window->findChild<QDialog*>();
            QVERIFY2(dialog != nullptr, opener);
            ++dialogs;
            int seen = 0;
            const QStringList nameless = namelessIn(*dialog, seen);
            QVERIFY2(nameless.isEmpty(), qPrintable(nameless.join(QLatin1Char('\n'))));
            QVERIFY(seen > 3);
            delete dialog;
        }
        QVERIFY(dialogs >= 3);
    }

    void device_withAQuestionAboveIt_isNotSqueezed()
    {
        const auto window = crowdedOffice();
        fake::answerConcern(*window, 12);
        window->resize(1024, 600);
        window->showPage(ui::Page::Devices);
        auto* page = window->findChild<ui::DevicesPage*>();
        page->showDevice({192, 0, 2, 22});
        auto* block = fake::buttonNamed(*page, QStringLiteral("Access: Block"));
        block->click();
        QVERIFY(page->findChild<ui::LiveQuestion*>()->isVisible());
        window->grab();
        for (const QString& name :
             {QStringLiteral("Access: Block"), QStringLiteral("Its connections")}) {
            const auto* button = fake::buttonNamed(*page, name);
            QVERIFY2(button->height() >= button->sizeHint().height(), qPrintable(name));
        }
    }

    void networkQuestion_staysInSight_howeverFarThePageIsScrolled()
    {
        const auto window = crowdedOffice();
        fake::answerConcern(*window, 12);
        window->resize(1024, 600);
        window->showPage(ui::Page::Network);
        auto* page = window->findChild<ui::NetworkPage*>();
        for (QSpinBox* box : page->findChildren<QSpinBox*>())
            if (box->accessibleName() == QStringLiteral("UDP, both ways")) box->setValue(130);
        QTRY_VERIFY(fake::labelSaying(*page, QStringLiteral("Apply ends 12 live sessions")));
        auto* area = page->findChild<QScrollArea*>();
        area->verticalScrollBar()->setValue(area->verticalScrollBar()->maximum());
        QVERIFY(!fake::labelSaying(*page, QStringLiteral("Apply ends"))->visibleRegion().isEmpty());
    }

    void flood_isSeen_howeverManyTunnelsAreFaulty()
    {
        const auto window = crowdedOffice();
        window->resize(1024, 600);
        window->showPage(ui::Page::Overview);
        auto live = std::make_shared<engine::Snapshot>(*fake::crowded(15));
        live->synFloods = {{.server = {{192, 0, 2, 21}, engine::net::Port{8443}},
                            .since = live->at,
                            .answered = 1438211,
                            .proved = 17}};
        window->setSnapshot(live);
        QVERIFY(
            fake::labelSaying(*window, QStringLiteral("1,438,211 answered so far, 17 of them")));
    }

    void tabKey_reachesEveryControlOfAPage_data()
    {
        everyPage_withLongNames_staysInASmallWindow_data();
    }

    /// From the page's first control to its last, and round again: nobody is locked in or out.
    void tabKey_reachesEveryControlOfAPage()
    {
        QFETCH(int, page);
        const auto window = fake::office();
        window->showPage(static_cast<ui::Page>(page));
        QSet<QWidget*> wanted;
        for (QWidget* one : window->findChildren<QWidget*>()) {
            const bool stop = one->isVisible() && one->isEnabled() &&
                              (one->focusPolicy() & Qt::TabFocus) != 0 &&
                              one->focusProxy() == nullptr;
            if (stop) wanted.insert(one);
        }
        QVERIFY(wanted.size() > 8);
        const auto all = wanted.size();
        for (qsizetype i = 0; i < all * 3 && !wanted.isEmpty(); ++i) {
            QTest::keyClick(window.get(), Qt::Key_Tab);
            wanted.remove(QApplication::focusWidget());
        }
        QStringList left;
        for (const QWidget* one : wanted) {
            left << QLatin1String(one->metaObject()->className()) + QLatin1Char(' ') +
                        one->accessibleName();
        }
        QVERIFY2(left.isEmpty(), qPrintable(left.join(QLatin1Char('\n'))));
    }
};

QTEST_MAIN(HardDataTest)
#include "hard_data_test.moc"
