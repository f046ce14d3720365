// The desktop program on the lab, without a screen: what the window asks for reaches the router and
// comes back.
#include "app/application.h"

#include "ui/models/lab_models.h"
#include "ui/models/rule_models.h"
#include "ui/pages/start_page.h"
#include "ui/widgets/table.h"

#include <QApplication>
#include <QElapsedTimer>
#include <QLabel>
#include <QLocalServer>
#include <QPushButton>
#include <QTimer>
#include <QtTest>

#include <algorithm>
#include <grp.h>

#include <sys/stat.h>
#include <unistd.h>

using namespace app;
using namespace std::chrono_literals;

namespace {

ui::MainWindow* windowOf()
{
    for (QWidget* widget : QApplication::topLevelWidgets()) {
        if (auto* window = qobject_cast<ui::MainWindow*>(widget)) return window;
    }
    return nullptr;
}

const QAbstractItemModel* modelNamed(const ui::MainWindow& window, const char* name)
{
    for (const ui::Table* table : window.findChildren<ui::Table*>()) {
        if (table->accessibleName() == QLatin1String(name)) return table->model();
    }
    return nullptr;
}

bool shows(const QAbstractItemModel& model, int column, const char* text)
{
    for (int row = 0; row < model.rowCount(); ++row) {
        if (model.index(row, column).data().toString() == QLatin1String(text)) return true;
    }
    return false;
}

/// The longest time the event loop did not come round.
class Pulse final : public QObject {
public:
    Pulse()
    {
        m_since.start();
        connect(&m_timer, &QTimer::timeout, this, [this] {
            m_longest = std::max(m_longest, m_since.restart());
            ++m_beats;
        });
        m_timer.start(2);
    }
    [[nodiscard]] qint64 longest() const { return m_longest; }
    [[nodiscard]] int beats() const { return m_beats; }

private:
    QTimer m_timer;
    QElapsedTimer m_since;
    qint64 m_longest = 0;
    int m_beats = 0;
};

/// Root may open everything; a user may not.
class AsNobody final {
public:
    AsNobody()
    {
        if (::getuid() == 0 && ::seteuid(65534) != 0) qFatal("cannot become another user");
    }
    ~AsNobody() { restore(); }
    AsNobody(const AsNobody&) = delete;
    AsNobody& operator=(const AsNobody&) = delete;
    AsNobody(AsNobody&&) = delete;
    AsNobody& operator=(AsNobody&&) = delete;
    /// As who we are.
    template <typename Act>
    static bool run(const Act& act)
    {
        restore();
        const bool done = act();
        return done && (::getuid() != 0 || ::seteuid(65534) == 0);
    }

private:
    static void restore()
    {
        if (::seteuid(::getuid()) != 0) qFatal("cannot become ourselves again");
    }
};

}  // namespace

class ApplicationTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void scenarios_changeUnderway_keepRulesAndNeverWait()
    {
        QTemporaryDir folder;
        Application program({.lab = true,
                             .scenario = QStringLiteral("overview"),
                             .screenshots = {},
                             .control = folder.filePath(QStringLiteral("none.sock")),
                             .state = folder.path(),
                             .tellStartTime = false});
        program.start();
        ui::MainWindow* window = windowOf();
        QVERIFY(window != nullptr);
        const auto* scenarios = modelNamed(*window, "Scenarios");
        const auto* claims = modelNamed(*window, "What must hold");
        const auto* forwards = modelNamed(*window, "Port forwards");
        QVERIFY(scenarios != nullptr && claims != nullptr && forwards != nullptr);
        QTRY_VERIFY_WITH_TIMEOUT(claims->rowCount() > 0, 60000);
        QVERIFY(scenarios->rowCount() > 20);

        engine::policy::PortForward mine;
        mine.name = "mine";
        mine.externalPorts = {engine::net::Port{9000}, engine::net::Port{9000}};
        mine.internalAddress = engine::net::Ipv4Address{192, 168, 77, 60};
        mine.internalFirst = engine::net::Port{80};
        Q_EMIT window->portForwardSaved(mine);
        QTRY_VERIFY_WITH_TIMEOUT(shows(*forwards, ui::PortForwardModel::Name, "mine"), 60000);

        const auto playing = [&](const char* name) {
            for (int row = 0; row < scenarios->rowCount(); ++row) {
                if (scenarios->index(row, ui::ScenarioModel::Name).data() == QLatin1String(name))
                    return scenarios->index(row, ui::ScenarioModel::Result).data().toString() ==
                           QStringLiteral("Playing");
            }
            return false;
        };
        const Pulse pulse;
        for (const char* name : {"esp-eight", "hairpin", "every-protocol"}) {
            Q_EMIT window->scenarioRequested(QLatin1String(name), ui::LabRules::WithChanges);
            QTRY_VERIFY_WITH_TIMEOUT(playing(name), 60000);
            QVERIFY2(shows(*forwards, ui::PortForwardModel::Name, "mine"), name);
        }
        qInfo("three scenarios: the window's loop came round %d times, at the latest after %lld ms",
              pulse.beats(), static_cast<long long>(pulse.longest()));
        // Its own rules again: the user's are gone, as was asked.
        Q_EMIT window->scenarioRequested(QStringLiteral("esp-eight"), ui::LabRules::Own);
        QTRY_VERIFY_WITH_TIMEOUT(playing("esp-eight"), 60000);
        QVERIFY(!shows(*forwards, ui::PortForwardModel::Name, "mine"));
        // In a hurry its end comes soon.
        Q_EMIT window->labSpeedRequested(600);
        const auto over = [&] {
            return claims->rowCount() > 0 &&
                   claims->index(0, ui::ClaimModel::State).data() == QStringLiteral("Holds");
        };
        QTRY_VERIFY_WITH_TIMEOUT(over(), 120000);
    }

    void service_thatDeniesUs_isSaidWithWhatToDo_data()
    {
        QTest::addColumn<int>("mode");
        QTest::addColumn<bool>("byGroup");
        // The owner's own bits are none, so that it does not matter who runs this.
        QTest::newRow("open to a group") << 0060 << true;
        QTest::newRow("open to its owner alone") << 0000 << false;
    }
    void service_thatDeniesUs_isSaidWithWhatToDo()
    {
        QFETCH(int, mode);
        QFETCH(bool, byGroup);
        QTemporaryDir folder;
        QVERIFY(::chmod(folder.path().toLocal8Bit().constData(), 0755) == 0);
        const QString path = folder.filePath(QStringLiteral("control.sock"));
        QLocalServer server;
        QVERIFY(server.listen(path));
        QVERIFY(::chmod(path.toLocal8Bit().constData(), static_cast<mode_t>(mode)) == 0);
        // Root gives it to a group that nobody is in; it has no name.
        const bool root = ::getuid() == 0;
        const QString group = root ? QStringLiteral("64123")
                                   : QString::fromLocal8Bit(::getgrgid(::getegid())->gr_name);
        QVERIFY(!root || ::chown(path.toLocal8Bit().constData(), 0, 64123) == 0);
        const AsNobody nobody;
        Application program({.lab = false,
                             .scenario = {},
                             .screenshots = {},
                             .control = path,
                             .state = folder.path(),
                             .tellStartTime = false});
        program.start();
        ui::MainWindow* window = windowOf();
        auto* page = window->findChild<ui::StartPage*>();
        const auto button = [&](const char* text) {
            for (auto* one : page->findChildren<QPushButton*>())
                if (one->text().remove(QLatin1Char('&')) == QLatin1String(text)) return one;
            return static_cast<QPushButton*>(nullptr);
        };
        QTRY_VERIFY_WITH_TIMEOUT(button("Try again")->isVisibleTo(page), 30000);
        QString said;
        for (const QLabel* label : page->findChildren<QLabel*>())
            if (label->isVisibleTo(page)) said += label->text() + QLatin1Char('\n');
        QVERIFY2(said.contains(QStringLiteral("you may not control it")), qPrintable(said));
        QVERIFY2(said.contains(QStringLiteral("goes on")), qPrintable(said));
        const QString way = byGroup ? QStringLiteral("member of the group %1,").arg(group)
                                    : QStringLiteral("--socket-group");
        QVERIFY2(said.contains(way), qPrintable(said));
        // A second router beside it is not offered, the lab is.
        QVERIFY(!page->startButton()->isVisibleTo(page));
        QVERIFY(!button("Start the service")->isVisibleTo(page));
        QVERIFY(button("Look around in the lab")->isVisibleTo(page));
        // Let in now (to a server that never says a word): it is no longer said that we are not.
        QVERIFY(AsNobody::run([&] { return ::chmod(path.toLocal8Bit().constData(), 0666) == 0; }));
        button("Try again")->click();
        QTRY_VERIFY_WITH_TIMEOUT(!button("Try again")->isVisibleTo(page), 30000);
    }

    void lab_thatIsBeingPrepared_doesNotComeAfterItWasLeft()
    {
        QTemporaryDir folder;
        Application program({.lab = true,
                             .scenario = QStringLiteral("overview"),
                             .screenshots = {},
                             .control = folder.filePath(QStringLiteral("none.sock")),
                             .state = folder.path(),
                             .tellStartTime = false});
        program.start();
        ui::MainWindow* window = windowOf();
        QCOMPARE(window->currentPage(), ui::Page::Overview);
        Q_EMIT window->scenarioRequested(QStringLiteral("esp-eight"), ui::LabRules::WithChanges);
        Q_EMIT window->stopSharingRequested();
        QCOMPARE(window->currentPage(), ui::Page::Start);
        // Time for it to come, if it did; a slow machine only sees less.
        QTest::qWait(1000);
        QCOMPARE(window->currentPage(), ui::Page::Start);
        Q_EMIT window->labRequested();
        QTRY_COMPARE_WITH_TIMEOUT(window->currentPage(), ui::Page::Overview, 60000);
        const auto* scenarios = modelNamed(*window, "Scenarios");
        QCOMPARE(scenarios->index(0, ui::ScenarioModel::Result).data().toString(),
                 QStringLiteral("Playing"));
    }
};

QTEST_MAIN(ApplicationTest)
#include "application_test.moc"
