#include "app/control/server.h"

#include "app/control/connection.h"
#include "app/control/json.h"
#include "app/control/socket_path.h"

#include <QFile>
#include <QLocalSocket>
#include <QSignalSpy>
#include <QTemporaryDir>
#include <QThread>
#include <QtTest>

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <grp.h>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace app;
using namespace app::control;
using namespace std::chrono_literals;

namespace {

/// A router without packets: refuses forwards to 47, has as many tunnels as it is told.
class FakeBackend final : public Backend {
public:
    explicit FakeBackend(int tunnels) : m_tunnels(tunnels) {}
    [[nodiscard]] engine::Instant now() const override
    {
        return engine::Instant{std::chrono::steady_clock::now().time_since_epoch()};
    }
    void run(engine::Duration atMost, std::vector<engine::Event>&) override
    {
        std::unique_lock lock{m_mutex};
        m_woken.wait_for(lock, atMost, [this] { return m_wake; });
        m_wake = false;
    }
    engine::Result<void, engine::CommandError> apply(const engine::Command& command,
                                                     std::vector<engine::Event>& events) override
    {
        const auto* set = std::get_if<engine::SetPortForwards>(&command);
        if (set != nullptr && !set->forwards.empty() &&
            set->forwards[0].externalPorts.first == engine::net::Port{47}) {
            return engine::Err{engine::CommandError::PortIsProtocol};
        }
        if (engine::isCounted(command)) count(command, events);
        return {};
    }
    [[nodiscard]] engine::Snapshot snapshot() override
    {
        engine::Snapshot snapshot;
        snapshot.at = now();
        for (int i = 1; i <= m_tunnels; ++i) {
            engine::tunnel::Tunnel tunnel;
            tunnel.serial = static_cast<std::uint64_t>(i);
            tunnel.started = snapshot.at;
            tunnel.timeline.resize(3);
            snapshot.tunnels.push_back(tunnel);
        }
        return snapshot;
    }
    bool searchOn(engine::SessionSearch& search) override
    {
        search.found = {engine::SessionRecord{}};
        return true;
    }
    [[nodiscard]] std::vector<Neighbour> neighbours() override
    {
        return {{engine::net::Ipv4Address{192, 0, 2, 1},
                 engine::net::MacAddress{{2, 0, 0, 0, 0, 1}},
                 {}}};
    }
    void count(const engine::Command& command, std::vector<engine::Event>& events) override
    {
        const bool some = std::holds_alternative<engine::SetOneToOnes>(command);
        events.emplace_back(engine::SessionsCounted{some ? 7U : 0U});
    }
    [[nodiscard]] std::vector<engine::io::HeldSetting> held() override
    {
        return {{engine::io::HeldSetting::Kind::Filter, "ext0", "pref 1", false}};
    }
    void wake() override
    {
        const std::lock_guard lock{m_mutex};
        m_wake = true;
        m_woken.notify_one();
    }

private:
    int m_tunnels;
    std::mutex m_mutex;
    std::condition_variable m_woken;
    bool m_wake = false;
};

/// A router and its socket; the peer talks from another thread, as another program would.
struct Served {
    explicit Served(int tunnels = 2, std::optional<std::uint32_t> group = std::nullopt)
        : client(std::make_unique<FakeBackend>(tunnels), Rules{}, storage::RulesStore::openIn({}),
                 storage::HistoryStore::openIn({})),
          server(client, {.program = QStringLiteral("test"),
                          .internalInterface = {},
                          .externalInterface = {},
                          .lab = false}),
          path(folder.filePath(QStringLiteral("control.sock")))
    {
        const auto listening = server.listen(path, group);
        if (!listening) qFatal("%s", qPrintable(listening.error()));
        QSignalSpy first(&client, &RouterClient::snapshotArrived);
        first.wait(60000);
    }

    /// Runs `work` in a thread of its own while this one serves.
    template <typename Work>
    void talk(const Work& work)
    {
        std::unique_ptr<QThread> thread(QThread::create(work));
        thread->start();
        QTRY_VERIFY_WITH_TIMEOUT(thread->isFinished(), 110000);
    }

    QTemporaryDir folder;
    LocalRouterClient client;
    Server server;
    QString path;
};

QJsonObject forwardCommand(std::uint16_t port)
{
    engine::policy::PortForward forward;
    forward.id = 1;
    forward.externalPorts = {engine::net::Port{port}, engine::net::Port{port}};
    return toJson(engine::Command{engine::SetPortForwards{{forward}}});
}

/// What a peer that is no friend is answered, and whether it was cut off.
bool isCutOff(const QString& path, const QByteArray& octets, int within)
{
    QLocalSocket socket;
    socket.connectToServer(path);
    if (!socket.waitForConnected(30000)) return false;
    socket.write(octets);
    socket.flush();
    QElapsedTimer clock;
    clock.start();
    while (clock.elapsed() < within && socket.state() == QLocalSocket::ConnectedState) {
        socket.waitForReadyRead(50);
        socket.readAll();
    }
    return socket.state() != QLocalSocket::ConnectedState;
}

}  // namespace

class ServerTest final : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void verbs_answer()
    {
        Served served;
        served.talk([&served] {
            auto connection = Connection::open(served.path);
            QVERIFY(connection);
            const auto status = connection->request(QStringLiteral("status"));
            QVERIFY(status);
            QCOMPARE(status->value(QStringLiteral("tunnels")).toInteger(), 2);
            const auto tunnels = connection->request(QStringLiteral("tunnels"));
            QCOMPARE(tunnels->value(QStringLiteral("rows")).toArray().size(), 2);
            const auto one =
                connection->request(QStringLiteral("tunnels"), {{QStringLiteral("serial"), 2}});
            QCOMPARE(one->value(QStringLiteral("rows"))
                         .toArray()
                         .at(0)[QLatin1String("timeline")]
                         .toArray()
                         .size(),
                     3);
            QVERIFY(connection->request(QStringLiteral("sessions")));
            QVERIFY(connection->request(QStringLiteral("history-tunnels")));
            const auto ended = connection->request(QStringLiteral("sessions-ended-by"),
                                                   toJson(engine::Command{engine::SetOneToOnes{}}));
            QCOMPARE(ended->value(QStringLiteral("sessions")).toInteger(), 7);
            const auto nonsense = connection->request(QStringLiteral("sessions-ended-by"),
                                                      {{QStringLiteral("command"), 5}});
            QCOMPARE(nonsense.error().word, QStringLiteral("bad-arguments"));
            const auto unknown = connection->request(QStringLiteral("reboot"));
            QVERIFY(!unknown);
            QCOMPARE(unknown.error().word, QStringLiteral("unknown-verb"));
        });
    }

    void host_isToldWhatIsHeld_andRestoredAtTheRoutersEnd()
    {
        Served served;
        RouterClient::Link link = RouterClient::Link::Up;
        connect(&served.client, &RouterClient::linkChanged, this,
                [&](RouterClient::Link now) { link = now; });
        served.talk([&served] {
            auto connection = Connection::open(served.path);
            QVERIFY(connection);
            const auto held = connection->request(QStringLiteral("host"));
            QVERIFY(held);
            const auto setting = fromJson<engine::io::HeldSetting>(
                held->value(QStringLiteral("rows")).toArray().at(0));
            QVERIFY(setting);
            QCOMPARE(*setting, (engine::io::HeldSetting{engine::io::HeldSetting::Kind::Filter,
                                                        "ext0", "pref 1", false}));
            const auto ended = connection->request(QStringLiteral("restore-host"));
            QVERIFY(ended);
            QVERIFY(!ended->value(QStringLiteral("sentence")).toString().isEmpty());
            // Whoever asks before the program has ended is answered.
            QVERIFY(!connection->request(QStringLiteral("host")));
            const auto late = connection->request(QStringLiteral("apply"), forwardCommand(80));
            QVERIFY(late && !late->value(QStringLiteral("saved")).toBool());
            QVERIFY(connection->request(QStringLiteral("status")));
            QVERIFY(connection->request(QStringLiteral("sessions")));
        });
        QCOMPARE(link, RouterClient::Link::Ended);
        QVERIFY(allows(Permission::Read, verbFromWord("host")->permission));
        QVERIFY(!allows(Permission::Write, verbFromWord("restore-host")->permission));
    }

    void rule_isConfirmedUndoneAndRedone()
    {
        Served served;
        served.talk([&served] {
            auto connection = Connection::open(served.path);
            const auto forwards = [&] {
                return connection->request(QStringLiteral("rules"))
                    ->value(QStringLiteral("value"))[QLatin1String("portForwards")]
                    .toArray()
                    .size();
            };
            const auto outcome = connection->request(QStringLiteral("apply"), forwardCommand(8080));
            QVERIFY(outcome);
            QVERIFY(outcome->value(QStringLiteral("saved")).toBool());
            QCOMPARE(forwards(), 1);
            QVERIFY(connection->request(QStringLiteral("undo")));
            QCOMPARE(forwards(), 0);
            QVERIFY(connection->request(QStringLiteral("redo")));
            QCOMPARE(forwards(), 1);
        });
    }

    void refusedCommand_changesNothingAndSaysWhy()
    {
        Served served;
        served.talk([&served] {
            auto connection = Connection::open(served.path);
            const auto outcome = connection->request(QStringLiteral("apply"), forwardCommand(47));
            QVERIFY(!outcome);
            QVERIFY(outcome.error().sentence.contains(QStringLiteral("protocol 47")));
            const auto sides = connection->request(
                QStringLiteral("apply"), toJson(engine::Command{engine::SetExternalSide{}}));
            QVERIFY(!sides);
            QCOMPARE(sides.error().word, QStringLiteral("not-allowed"));
        });
        QVERIFY(served.client.rules().portForwards.empty());
        QVERIFY(!served.client.undoState().canUndo);
    }

    void staleRevision_isRefused()
    {
        Served served;
        served.talk([&served] {
            auto connection = Connection::open(served.path);
            QJsonObject command = forwardCommand(8080);
            command.insert(QStringLiteral("revision"), 1);
            QVERIFY(connection->request(QStringLiteral("apply"), command));
            const auto again = connection->request(QStringLiteral("apply"), command);
            QVERIFY(!again);
            QCOMPARE(again.error().word, QStringLiteral("stale"));
        });
    }

    void deviceName_followsTheHardwareAddress()
    {
        Served served;
        QTRY_VERIFY_WITH_TIMEOUT(!served.client.devices().empty(), 60000);
        served.talk([&served] {
            auto connection = Connection::open(served.path);
            const QJsonObject named{{QStringLiteral("device"), QStringLiteral("192.0.2.1")},
                                    {QStringLiteral("name"), QStringLiteral("Anna")}};
            QVERIFY(connection->request(QStringLiteral("rename-device"), named));
            const auto devices = connection->request(QStringLiteral("devices"));
            QCOMPARE(devices->value(QStringLiteral("rows"))
                         .toArray()
                         .at(0)[QLatin1String("name")]
                         .toString(),
                     QStringLiteral("Anna"));
        });
        QCOMPARE(served.client.rules().deviceNames.size(), 1U);
    }

    void watcher_isPushedSnapshots()
    {
        Served served;
        served.talk([&served] {
            auto connection = Connection::open(served.path);
            QVERIFY(connection->request(QStringLiteral("watch")));
            for (int i = 0; i < 3; ++i) {
                const auto push = connection->nextPush(60s);
                QVERIFY(push && *push);
                QCOMPARE((*push)->value(QStringLiteral("push")).toString(),
                         QStringLiteral("snapshot"));
            }
        });
    }

    void peersThatSpeakSomethingElse_areCutOff()
    {
        Served served;
        served.talk([&served] {
            QVERIFY(
                isCutOff(served.path, QByteArray("GET / HTTP/1.1\r\nHost: router\r\n\r\n"), 30000));
            QVERIFY(isCutOff(served.path, QByteArray(5, '\xff'), 30000));
            QVERIFY(isCutOff(served.path, QByteArray("\0\0\0\2\0[]", 7), 30000));
            // And others are served on.
            auto connection = Connection::open(served.path);
            QVERIFY(connection->request(QStringLiteral("status")));
        });
    }

    void peerThatDoesNotRead_isCutOffAndHarmsNobody()
    {
        // Every snapshot has some 200 kB.
        Served served(400);
        served.talk([&served] {
            QLocalSocket slow;
            slow.setReadBufferSize(1);
            slow.connectToServer(served.path);
            QVERIFY(slow.waitForConnected(30000));
            // Asks again and again for much and never reads.
            const QByteArray ask = framed(
                {{QStringLiteral("id"), 1}, {QStringLiteral("verb"), QStringLiteral("snapshot")}});
            QElapsedTimer clock;
            clock.start();
            bool cutOff = false;
            while (clock.elapsed() < 90000 && !cutOff) {
                slow.write(ask);
                cutOff =
                    !slow.waitForBytesWritten(200) && slow.state() != QLocalSocket::ConnectedState;
                QThread::msleep(1);
                if (slow.state() != QLocalSocket::ConnectedState) cutOff = true;
            }
            QVERIFY(cutOff);
            auto connection = Connection::open(served.path);
            QVERIFY(connection->request(QStringLiteral("status")));
        });
    }

    void path_thatIsNotOurs_isRefused()
    {
        const QTemporaryDir folder;
        const QString file = folder.filePath(QStringLiteral("file"));
        {
            QFile made(file);
            QVERIFY(made.open(QIODevice::WriteOnly));
            made.write("precious");
        }
        QVERIFY(!preparePath(file));
        QVERIFY(QFile::exists(file));

        const QString link = folder.filePath(QStringLiteral("link.sock"));
        QCOMPARE(::symlink(file.toLocal8Bit().constData(), link.toLocal8Bit().constData()), 0);
        QVERIFY(!preparePath(link));

        const QString dangling = folder.filePath(QStringLiteral("dangling.sock"));
        QCOMPARE(::symlink("/nowhere/at/all", dangling.toLocal8Bit().constData()), 0);
        QVERIFY(!preparePath(dangling));

        const QString open = folder.filePath(QStringLiteral("open"));
        QCOMPARE(::mkdir(open.toLocal8Bit().constData(), 0777), 0);
        QCOMPARE(::chmod(open.toLocal8Bit().constData(), 0777), 0);
        QVERIFY(!preparePath(open + QStringLiteral("/control.sock")));

        const QString linked = folder.filePath(QStringLiteral("linked"));
        QCOMPARE(
            ::symlink(folder.path().toLocal8Bit().constData(), linked.toLocal8Bit().constData()),
            0);
        QVERIFY(!preparePath(linked + QStringLiteral("/control.sock")));

        QVERIFY(!preparePath(QStringLiteral("relative.sock")));
        QVERIFY(!preparePath(QLatin1Char('/') + QString(200, QLatin1Char('x'))));
        QVERIFY(preparePath(folder.filePath(QStringLiteral("new/control.sock"))));
    }

    /// A member by a supplementary group gets in; somebody who may open the socket without being a
    /// member, does not. Only root can be somebody else.
    void group_membersAreServed_othersAreNot_data()
    {
        QTest::addColumn<quint32>("own");
        QTest::addColumn<QList<quint32>>("more");
        QTest::addColumn<bool>("served");
        constexpr quint32 kGroup = 64123;
        QTest::newRow("member by supplementary group")
            << 65534U << QList<quint32>{64000U, kGroup, 64001U} << true;
        QTest::newRow("member by its own group") << kGroup << QList<quint32>{} << true;
        QTest::newRow("of other groups") << 65534U << QList<quint32>{64000U, 64001U} << false;
        QList<quint32> many;
        for (quint32 i = 0; i < 60; ++i)
            many << 50000 + i;
        QTest::newRow("of very many other groups") << 65534U << many << false;
        QTest::newRow("of very many groups and this") << 65534U << many + QList{kGroup} << true;
    }
    void group_membersAreServed_othersAreNot()
    {
        QFETCH(const quint32, own);
        QFETCH(const QList<quint32>, more);
        QFETCH(const bool, served);
        if (::geteuid() != 0) QSKIP("needs root to be somebody else");
        constexpr quint32 kGroup = 64123;
        Served router(2, kGroup);
        const QByteArray path = router.path.toLocal8Bit();
        struct stat about {};
        QCOMPARE(::stat(path.constData(), &about), 0);
        QCOMPARE(about.st_gid, kGroup);
        QCOMPARE(about.st_mode & 0777U, 0660U);
        QCOMPARE(::chmod(router.folder.path().toLocal8Bit().constData(), 0755), 0);
        // The file alone keeps strangers out; the server must not rely on that.
        QCOMPARE(::chmod(path.constData(), 0666), 0);
        // After the fork nothing is allocated: another thread may have held the heap's lock.
        const std::vector<gid_t> groups(more.begin(), more.end());
        struct sockaddr_un address {};
        address.sun_family = AF_UNIX;
        std::copy(path.begin(), path.end(), std::begin(address.sun_path));
        const QByteArray ask =
            framed({{QStringLiteral("id"), 1}, {QStringLiteral("verb"), QStringLiteral("status")}});
        const pid_t child = ::fork();
        if (child == 0) {
            std::array<char, 4096> answer{};
            if (::setgroups(groups.size(), groups.data()) != 0 || ::setgid(own) != 0 ||
                ::setuid(65534) != 0) {
                ::_exit(9);
            }
            const int socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
            if (::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
                ::_exit(8);
            if (::write(socket, ask.constData(), static_cast<std::size_t>(ask.size())) < 0)
                ::_exit(7);
            const auto got = ::read(socket, answer.data(), answer.size());
            const std::string_view text(answer.data(),
                                        static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
            if (text.find("\"refused\"") != std::string_view::npos) ::_exit(1);
            ::_exit(text.find("tunnels") != std::string_view::npos ? 0 : 6);
        }
        int status = -1;
        bool ended = false;
        const auto hasEnded = [&] {
            ended = ended || ::waitpid(child, &status, WNOHANG) == child;
            return ended;
        };
        QTRY_VERIFY_WITH_TIMEOUT(hasEnded(), 60000);
        QVERIFY(WIFEXITED(status));
        QCOMPARE(WEXITSTATUS(status), served ? 0 : 1);
    }

    void socket_withoutAGroup_isItsOwnersAlone()
    {
        const Served router;
        struct stat about {};
        QCOMPARE(::stat(router.path.toLocal8Bit().constData(), &about), 0);
        QCOMPARE(about.st_mode & 0077U, 0U);
        QVERIFY(!groupNamed(QStringLiteral("no such group")));
        QVERIFY(groupNamed(QStringLiteral("root")) == 0U);
    }

    void livingSocket_isNotTakenOver_deadOneIs()
    {
        auto served = std::make_unique<Served>();
        const auto taken = preparePath(served->path);
        QVERIFY(!taken);
        QVERIFY(taken.error().contains(QStringLiteral("already listens")));
        served.reset();  // no other thread when the child is made: it might hold a lock for ever

        const QTemporaryDir folder;
        const QString dead = folder.filePath(QStringLiteral("dead.sock"));
        {
            const pid_t child = ::fork();
            if (child == 0) {
                QLocalServer server;
                server.listen(dead);
                ::_exit(0);  // leaves the socket behind, as a crash does
            }
            // Its file is there before it has ended, and a living socket is not taken over.
            int status = -1;
            QCOMPARE(::waitpid(child, &status, 0), child);
            QVERIFY(QFile::exists(dead));
        }
        QVERIFY(preparePath(dead));
        QVERIFY(!QFile::exists(dead));
    }
};

QTEST_GUILESS_MAIN(ServerTest)
#include "server_test.moc"
