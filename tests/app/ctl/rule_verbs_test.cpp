// What a change of the rules means for live sessions: said before, asked, and done as chosen, by
// underpassctl at a router whose engine is a real one.
#include "app/control/server.h"
#include "engine/engine.h"
#include "engine/wire/builder.h"

#include <QProcess>
#include <QSignalSpy>
#include <QTemporaryDir>
#include <QtTest>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <vector>

using namespace app;
using namespace std::chrono_literals;
using engine::net::Endpoint;
using engine::net::Ipv4Address;
using engine::net::Port;

namespace {

constexpr Ipv4Address kAnna{192, 0, 2, 10};
constexpr Ipv4Address kServer{198, 51, 100, 7};
constexpr Ipv4Address kExternal{203, 0, 113, 1};

/// An engine whose clock stands still but when it is told to go on.
class StillBackend final : public Backend {
public:
    StillBackend() : m_engine(engine::Instant{1h}, config())
    {
        for (std::uint16_t port = 5000; port < 5003; ++port)
            send(engine::PortId::Internal, {kAnna, Port{port}}, {kServer, Port{53}});
        send(engine::PortId::External, {kServer, Port{4000}}, {kExternal, Port{8000}});
    }
    void age(engine::Duration duration) { m_age = (m_age.load() + duration.count()); }

    [[nodiscard]] engine::Instant now() const override
    {
        return engine::Instant{1h} + engine::Duration{m_age.load()};
    }
    void run(engine::Duration, std::vector<engine::Event>&) override
    {
        std::unique_lock lock{m_mutex};
        m_woken.wait_for(lock, 10ms, [this] { return m_wake; });
        m_wake = false;
    }
    engine::Result<void, engine::CommandError> apply(const engine::Command& command,
                                                     std::vector<engine::Event>& events) override
    {
        engine::Output output;
        const auto result = m_engine.apply(now(), command, output);
        events.insert(events.end(), output.events.begin(), output.events.end());
        return result;
    }
    [[nodiscard]] engine::Snapshot snapshot() override { return m_engine.snapshot(now()); }
    bool searchOn(engine::SessionSearch& search) override { return m_engine.searchOn(search); }
    [[nodiscard]] std::vector<Neighbour> neighbours() override { return {}; }
    void count(const engine::Command& command, std::vector<engine::Event>& events) override
    {
        engine::Output output;
        m_engine.count(now(), command, output);
        events.insert(events.end(), output.events.begin(), output.events.end());
    }
    void wake() override
    {
        const std::lock_guard lock{m_mutex};
        m_wake = true;
        m_woken.notify_one();
    }
    static engine::EngineConfig config()
    {
        engine::EngineConfig config;
        config.seed = {1, 2};
        config.maxSessions = 1024;
        const Ipv4Address router{192, 0, 2, 1};
        config.internal = {.prefix = {router, 24}, .address = router, .mtu = 1500};
        config.external = {.addresses = {kExternal, Ipv4Address{203, 0, 113, 2}},
                           .prefix = {kExternal, 24},
                           .mtu = 1500};
        config.nat.preservePorts = true;
        config.nat.ports = {Port{5000}, Port{9000}};
        config.portForwards = {{.id = 1,
                                .name = "camera",
                                .protocol = engine::net::IpProtocol::Udp,
                                .externalPorts = {Port{8000}, Port{8000}},
                                .internalAddress = kAnna,
                                .internalFirst = Port{80}}};
        return config;
    }

private:
    void send(engine::PortId ingress, Endpoint from, Endpoint to)
    {
        std::vector<std::uint8_t> bytes = engine::wire::buildUdp(from, to, {});
        engine::wire::Packet packet{.bytes = bytes};
        engine::Output output;
        const auto verdict = m_engine.handlePacket(now(), ingress, packet, output);
        if (verdict.kind != engine::Verdict::Kind::Forward) qFatal("a packet did not pass");
    }

    std::atomic<engine::Duration::rep> m_age = 0;
    engine::Engine m_engine;
    std::mutex m_mutex;
    std::condition_variable m_woken;
    bool m_wake = false;
};

struct Ended {
    int status = -1;
    QString out;
    QString err;
};

/// A router with three sessions of a device and one that came in by its forward.
class Router {
public:
    explicit Router(std::unique_ptr<StillBackend> made = std::make_unique<StillBackend>())
        : backend(made.get()),
          client(std::move(made), rulesOf(StillBackend::config()), storage::RulesStore::openIn({}),
                 storage::HistoryStore::openIn({})),
          m_server(client, {.program = QStringLiteral("test"),
                            .internalInterface = {},
                            .externalInterface = {},
                            .lab = false})
    {
        const auto listening =
            m_server.listen(m_folder.filePath(QStringLiteral("control.sock")), {});
        if (!listening) qFatal("%s", qPrintable(listening.error()));
        QSignalSpy first(&client, &RouterClient::snapshotArrived);
        first.wait(5000);
    }
    /// What underpassctl says to this line.
    Ended ctl(const char* line)
    {
        QProcess process;
        QSignalSpy finished(&process, &QProcess::finished);
        process.start(QStringLiteral(UNDERPASSCTL),
                      QStringList{QStringLiteral("--control"),
                                  m_folder.filePath(QStringLiteral("control.sock"))} +
                          QString::fromLatin1(line).split(QLatin1Char(' ')));
        if (!finished.wait(60000)) return {};
        return {process.exitCode(), QString::fromUtf8(process.readAllStandardOutput()),
                QString::fromUtf8(process.readAllStandardError())};
    }
    [[nodiscard]] std::uint32_t sessions() const { return client.snapshot()->sessions; }

    StillBackend* backend;
    LocalRouterClient client;

private:
    QTemporaryDir m_folder;
    control::Server m_server;
};

bool says(const QString& text, const char* words)
{
    if (text.contains(QLatin1String(words))) return true;
    qWarning("says: %s", qPrintable(text));
    return false;
}

}  // namespace

class RuleVerbsTest final : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void forwardOverPortsInUse_asks_andDoesWhatWasChosen()
    {
        for (const bool finish : {true, false}) {
            Router router;
            const char* const add = "rules forwards add udp --port 5001-5002 --to 192.0.2.11";
            const Ended asked = router.ctl(add);
            QCOMPARE(asked.status, 1);
            QVERIFY(says(asked.err, "Nothing has been done"));
            QVERIFY(says(asked.err, "2 live sessions on UDP ports 5001-5002 end with it."));
            QVERIFY(says(asked.err, "--on-live finish"));
            QCOMPARE(router.sessions(), 4U);
            QCOMPARE(router.client.rules().portForwards.size(), std::size_t{1});
            const QByteArray chosen =
                QByteArray(add) + (finish ? " --on-live finish" : " --on-live drop");
            const Ended done = router.ctl(chosen.constData());
            QCOMPARE(done.status, 0);
            QVERIFY(says(done.out, finish ? "2 live sessions on UDP ports 5001-5002 run on until "
                                            "they end. Whatever else comes to those ports is "
                                            "forwarded at once."
                                          : "2 live sessions on UDP ports 5001-5002 end with it."));
            QCOMPARE(router.sessions(), finish ? 4U : 2U);
            QCOMPARE(router.client.rules().portForwards.size(), std::size_t{2});
        }
    }
    void forwardOverPortsThatNobodyUses_doesNotAsk()
    {
        Router router;
        QCOMPARE(router.ctl("rules forwards add udp --port 6000 --to 192.0.2.11").status, 0);
        QCOMPARE(router.ctl("rules forwards add gre --to 192.0.2.11").status, 0);
        QCOMPARE(router.sessions(), 4U);
    }
    void everyRuleThatTakesSomethingAway_asks_data()
    {
        QTest::addColumn<QByteArray>("line");
        QTest::addColumn<QByteArray>("words");
        QTest::addColumn<quint32>("left");
        const auto row = [](const char* line, const char* words, quint32 left) {
            QTest::newRow(line) << QByteArray(line) << QByteArray(words) << left;
        };
        row("rules forwards remove 1", "1 live session through camera ends with it.", 3);
        row("rules forwards disable 1", "1 live session through camera ends with it.", 3);
        row("rules devices block 192.0.2.10", "4 live sessions of 192.0.2.10 end with it.", 0);
        row("rules devices vpn-only 192.0.2.10", "4 live sessions of 192.0.2.10 end with it.", 0);
        row("rules one-to-one add 192.0.2.11 203.0.113.1",
            "4 live sessions whose external address changes hands end now.", 0);
    }
    void everyRuleThatTakesSomethingAway_asks()
    {
        QFETCH(QByteArray, line);
        QFETCH(QByteArray, words);
        QFETCH(quint32, left);
        Router router;
        const Ended asked = router.ctl(line.constData());
        QCOMPARE(asked.status, 1);
        QVERIFY(says(asked.err, words.constData()));
        const Ended dry = router.ctl((line + " --dry-run").constData());
        QCOMPARE(dry.status, 0);
        QVERIFY(says(dry.out, words.constData()));
        QVERIFY(says(dry.out, "Nothing has been done."));
        QCOMPARE(router.sessions(), 4U);
        QCOMPARE(router.ctl((line + " --on-live drop").constData()).status, 0);
        QCOMPARE(router.sessions(), left);
    }
    void enabling_asks()
    {
        Router router;
        QCOMPARE(router.ctl("rules forwards add udp --port 5000 --to 192.0.2.11 --disabled").status,
                 0);
        const Ended asked = router.ctl("rules forwards enable 2");
        QCOMPARE(asked.status, 1);
        QVERIFY(says(asked.err, "1 live session on UDP port 5000 ends with it."));
        QCOMPARE(router.ctl("rules forwards enable 2 --on-live finish").status, 0);
        QCOMPARE(router.sessions(), 4U);
    }
    void natSettings_sayBefore_ifAsked()
    {
        Router router;
        router.backend->age(3min);
        QCOMPARE(router.ctl("rules timers set udp-one-way 10min").status, 0);
        const Ended shorter = router.ctl("rules timers set udp-one-way 150s --dry-run");
        QVERIFY(says(shorter.out,
                     "4 live sessions have been idle for longer than the new timers "
                     "allow and end."));
        const Ended limit = router.ctl("rules limits set sessions-per-device 2 --dry-run");
        QVERIFY(says(limit.out, "1 device has more sessions than that: they run on"));
        const Ended filter =
            router.ctl("rules nat set udp --filtering endpoint-independent --dry-run");
        QVERIFY(says(filter.out, "Who may answer changes at once"));
        const Ended type =
            router.ctl("rules nat-types set 192.0.2.10 --mapping address-dependent --dry-run");
        QVERIFY(says(type.out, "4 live sessions keep the external ports they have"));
        const Ended device = router.ctl("rules devices allow 192.0.2.10 --sessions 3 --dry-run");
        QVERIFY(says(device.out, "192.0.2.10 has 4 live sessions, more than 3: they run on"));
        const Ended json = router.ctl("--json rules forwards remove 1 --dry-run");
        QVERIFY(says(json.out, "\"sessions\": 1"));
        QCOMPARE(router.client.rules().portForwards.size(), std::size_t{1});
        QCOMPARE(router.client.rules().nat.limits.sessionsPerDevice, 0U);
        QVERIFY(router.client.rules().deviceRules.empty());
    }
    void undo_takesNothingFromWhatLives()
    {
        Router router;
        QCOMPARE(router.ctl("rules forwards disable 1 --on-live finish").status, 0);
        QCOMPARE(router.ctl("rules forwards enable 1").status, 0);
        const Ended undone = router.ctl("rules undo");
        QVERIFY(says(undone.out, "1 live session through camera runs on until it ends."));
        QCOMPARE(router.sessions(), 4U);
        QCOMPARE(router.ctl("rules redo").status, 0);
        const Ended dry = router.ctl("rules redo --dry-run");
        QCOMPARE(dry.status, 2);
        QVERIFY(router.client.rules().portForwards[0].enabled);
    }
};

QTEST_GUILESS_MAIN(RuleVerbsTest)
#include "rule_verbs_test.moc"
