#include "engine/io/host_guard.h"

#include "engine/io/card_lock.h"
#include "engine/io/interfaces.h"

#include <QFile>
#include <QProcess>
#include <QTemporaryDir>
#include <QtTest>

#include <fstream>
#include <set>

#include <sys/wait.h>
#include <unistd.h>

#include "tests/engine/io/own_namespace.h"

using namespace engine;
using namespace engine::io;

namespace {

QString hostState()
{
    QProcess process;
    process.start(QStringLiteral("sh"),
                  {QStringLiteral("-c"),
                   QStringLiteral("for i in gi ge; do tc qdisc show dev $i; tc filter show dev $i "
                                  "ingress; tc filter show dev $i egress; done")});
    process.waitForFinished();
    return QString::fromUtf8(process.readAllStandardOutput());
}

HostGuard::Cards cards()
{
    return {.internal = {"gi", findInterface("gi")->index, LinkKind::Ethernet},
            .external = {"ge", findInterface("ge")->index, LinkKind::Ethernet}};
}

GuardPlan plan()
{
    GuardPlan p;
    p.internalPrefix = net::Prefix{net::Ipv4Address{192, 168, 7, 0}, 24};
    p.ports = {{net::Port{1024}, net::Port{2000}}};
    return p;
}

}  // namespace

class HostGuardTest final : public QObject {
    Q_OBJECT

private:
    QTemporaryDir m_folder;
    std::filesystem::path m_state;

private Q_SLOTS:
    void initTestCase()
    {
        if (!tests::enterOwnNamespace()) QSKIP("needs the right to make network namespaces (root)");
        QVERIFY(
            tests::run("ip link add gi type veth peer name gi2 && ip link add ge type veth peer "
                       "name ge2 && ip link set gi up && ip link set ge up"));
    }
    void init()
    {
        m_state = m_folder.filePath(QStringLiteral("state")).toStdString();
        std::filesystem::remove_all(m_state);
    }

    void installedAndReleased_leavesNothing()
    {
        const QString before = hostState();
        {
            auto guard = HostGuard::install(cards(), plan(), m_state);
            QVERIFY2(guard.has_value(), guard ? "" : guard.error().c_str());
            QVERIFY(hostState().contains(QStringLiteral("underpass_ex")));
            QVERIFY(hostState().contains(QStringLiteral("underpass_in")));
            QVERIFY(std::filesystem::exists(m_state / "host_journal"));
        }
        QCOMPARE(hostState(), before);
        QVERIFY(!std::filesystem::exists(m_state / "host_journal"));
    }

    void filtersAndQdiscOfOthers_stay()
    {
        QVERIFY(
            tests::run("tc qdisc add dev ge clsact && tc filter add dev ge ingress protocol ip "
                       "pref 1 bpf bytecode '1,6 0 0 0'"));
        const QString before = hostState();
        {
            auto guard = HostGuard::install(cards(), plan(), m_state);
            QVERIFY2(guard.has_value(), guard ? "" : guard.error().c_str());
            // Somebody else's filter came while we were there.
            QVERIFY(tests::run("tc filter add dev gi egress pref 9 bpf bytecode '1,6 0 0 0'"));
        }
        QVERIFY(hostState().contains(QStringLiteral("dev gi parent")) ||
                hostState().contains(QStringLiteral("clsact")));
        QVERIFY(!hostState().contains(QStringLiteral("underpass")));
        QVERIFY(tests::run("tc filter show dev gi egress | grep -q bytecode"));
        QVERIFY(tests::run("tc qdisc del dev gi clsact"));
        QCOMPARE(hostState(), before);
        QVERIFY(tests::run("tc qdisc del dev ge clsact"));
    }

    void crashedRun_isTakenBackByTheNextOneAndByRestore()
    {
        const QString before = hostState();
        const auto crash = [&] {
            const auto child = ::fork();
            if (child == 0) {
                auto guard = HostGuard::install(cards(), plan(), m_state);
                ::_exit(guard.has_value() ? 0 : 1);
            }
            int status = 1;
            ::waitpid(child, &status, 0);
            return status == 0;
        };
        QVERIFY(crash());
        QVERIFY(hostState().contains(QStringLiteral("underpass_ex")));
        {
            auto guard = HostGuard::install(cards(), plan(), m_state);
            QVERIFY2(guard.has_value(), guard ? "" : guard.error().c_str());
            QCOMPARE(hostState().count(QStringLiteral("name underpass_ex")), qsizetype{1});
        }
        QCOMPARE(hostState(), before);

        QVERIFY(crash());
        QVERIFY(crash());
        const auto restored = restoreHost(m_state);
        QVERIFY(restored.has_value());
        QCOMPARE(std::set<std::string>(restored->begin(), restored->end()),
                 (std::set<std::string>{"ge", "gi"}));
        QCOMPARE(hostState(), before);
        QVERIFY(restoreHost(m_state)->empty());

        // Without the journal the programs say themselves what they are.
        QVERIFY(crash());
        std::filesystem::remove(m_state / "host_journal");
        QCOMPARE(restoreHost(m_state)->size(), std::size_t{2});
        QCOMPARE(hostState(), before);
    }

    void cardOfARunningProcess_isNotRestored()
    {
        const QString before = hostState();
        {
            const auto held = lockCard("gi");
            QVERIFY(held.has_value());
            QVERIFY(isCardLocked("gi"));
            auto guard = HostGuard::install(cards(), plan(), m_state);
            QVERIFY(guard.has_value());
            QVERIFY(!restoreHost(m_state).has_value());
            QVERIFY(hostState().contains(QStringLiteral("underpass_in")));
            QVERIFY(!hostState().contains(QStringLiteral("underpass_ex")));
            QVERIFY(std::filesystem::exists(m_state / "host_journal"));
        }
        QVERIFY(!isCardLocked("gi"));
        QCOMPARE(hostState(), before);
    }

    void journalThatCannotBeWritten_isSaidAndStopsNothing()
    {
        const QString before = hostState();
        std::filesystem::create_directories(m_state / "host_journal");
        {
            auto guard = HostGuard::install(cards(), plan(), m_state);
            QVERIFY(guard.has_value());
            QVERIFY(!(*guard)->unrecorded().empty());
        }
        {
            auto guard = HostGuard::install(cards(), plan(), {});
            QVERIFY(guard.has_value());
            QVERIFY((*guard)->unrecorded().empty());
        }
        QCOMPARE(hostState(), before);
    }

    void damagedJournal_isHarmless()
    {
        std::filesystem::create_directories(m_state);
        for (const char* text : {"", "x", "underpass host journal 1\n",
                                 "underpass host journal 1\norigin z\n"
                                 "tc ge 1 1 1 1\n"}) {
            std::ofstream(m_state / "host_journal") << text;
            const QString before = hostState();
            QVERIFY(restoreHost(m_state).has_value());
            QCOMPARE(hostState(), before);
        }
    }
};

QTEST_GUILESS_MAIN(HostGuardTest)
#include "host_guard_test.moc"
