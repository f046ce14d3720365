#include "app/storage/database.h"

#include "app/storage/rules_store.h"

#include <QDir>
#include <QFile>
#include <QTemporaryDir>
#include <QtTest>

#include <array>
#include <csignal>

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace app::storage;

namespace {

/// No right to write files for as long as it lives, whoever runs the test.
class OtherUser {
public:
    OtherUser() { m_changed = ::geteuid() == 0 && ::seteuid(65534) == 0; }
    ~OtherUser()
    {
        if (m_changed && ::seteuid(0) != 0) std::abort();
    }
    OtherUser(const OtherUser&) = delete;
    OtherUser& operator=(const OtherUser&) = delete;

private:
    bool m_changed = false;
};

QByteArray contents(const QString& path)
{
    QFile file(path);
    return file.open(QIODevice::ReadOnly) ? file.readAll() : QByteArray();
}

void overwriteMiddle(const QString& path)
{
    QFile file(path);
    QVERIFY(file.open(QIODevice::ReadWrite));
    QVERIFY(file.size() > 8192);
    file.seek(4096);
    file.write(QByteArray(static_cast<int>(file.size() - 4096), '\x5a'));
}

engine::policy::PortForward forward(std::uint32_t id)
{
    engine::policy::PortForward result;
    result.id = id;
    result.name = "web";
    result.externalPorts = {engine::net::Port{8080}, engine::net::Port{8080}};
    result.internalAddress = engine::net::Ipv4Address{192, 0, 2, 10};
    result.internalFirst = engine::net::Port{80};
    return result;
}

bool saveForward(RulesStore& store, std::uint32_t id)
{
    app::Rules rules;
    rules.portForwards = {forward(id)};
    return store.save(rules, engine::SetPortForwards{rules.portForwards}).has_value();
}

}  // namespace

class DatabaseTest final : public QObject {
    Q_OBJECT

private:
    QTemporaryDir m_folder;
    [[nodiscard]] std::string path(const char* name) const
    {
        return m_folder.filePath(QString::fromLatin1(name)).toStdString();
    }
    [[nodiscard]] std::string freshFolder(const char* name) const
    {
        const QString folder = m_folder.filePath(QString::fromLatin1(name));
        QDir().mkpath(folder);
        return folder.toStdString();
    }

private Q_SLOTS:
    void migrations_ofAnEmptyFile_reachTheNewestVersion()
    {
        for (const auto& [migrations, name] :
             {std::pair{rulesMigrations(), "a.db"}, std::pair{historyMigrations(), "b.db"}}) {
            const auto opened =
                openOrRepair(path(name), migrations, Database::Durability::Full, false);
            QVERIFY(opened.writable);
            QVERIFY(opened.message.empty());
            QCOMPARE(*opened.database->schemaVersion(), static_cast<int>(migrations.size()));
        }
    }

    void migrations_areNumberedFromOneWithoutHoles()
    {
        for (const auto migrations : {rulesMigrations(), historyMigrations()}) {
            int expected = 1;
            for (const Migration& step : migrations) {
                QCOMPARE(step.number, expected++);
            }
        }
    }

    void migration_thatFails_leavesTheFormerVersion()
    {
        const std::array first{Migration{1, "first", "CREATE TABLE a (x INTEGER);"}};
        const std::array broken{first[0],
                                Migration{2, "second", "CREATE TABLE b (x); SELECT nothing;"}};
        auto database =
            Database::open(path("c.db"), Database::Access::ReadWrite, Database::Durability::Full);
        QVERIFY(database);
        QVERIFY(database->migrate(first));
        QVERIFY(!database->migrate(broken));
        QCOMPARE(*database->schemaVersion(), 1);
        QVERIFY(!database->run("SELECT x FROM b"));
        QVERIFY(database->run("SELECT x FROM a"));
    }

    void transaction_thatFails_changesNothing()
    {
        auto database = Database::open({}, Database::Access::ReadWrite, Database::Durability::Full);
        QVERIFY(database);
        QVERIFY(database->run("CREATE TABLE t (x INTEGER)"));
        const auto done = database->transaction([&]() -> engine::Result<void, StorageError> {
            if (auto added = database->run("INSERT INTO t VALUES (1)"); !added) return added;
            return engine::Err{StorageError{StorageError::Kind::Other, "on purpose"}};
        });
        QVERIFY(!done);
        std::int64_t rows = -1;
        QVERIFY(database->query("SELECT count(*) FROM t", {},
                                [&](const Row& row) { rows = row.integer(0); }));
        QCOMPARE(rows, 0);
    }

    void corruptFile_isKeptAndTheBackupUsed()
    {
        const std::string folder = freshFolder("corrupt");
        {
            auto store = RulesStore::openIn(folder);
            QVERIFY(store.message().empty());
            QVERIFY(saveForward(store, 7));
        }
        // The next start finds the file good and backs it up.
        QVERIFY(RulesStore::openIn(folder).message().empty());
        const QString file = QString::fromStdString(folder) + QStringLiteral("/rules.db");
        overwriteMiddle(file);

        auto store = RulesStore::openIn(folder);
        QVERIFY2(store.message().find("damaged") != std::string::npos, store.message().c_str());
        QVERIFY2(store.message().find("backup is used") != std::string::npos,
                 store.message().c_str());
        const auto rules = store.load();
        QVERIFY(rules);
        QCOMPARE(rules->portForwards.size(), 1U);
        QCOMPARE(rules->portForwards[0], forward(7));
        QCOMPARE(QDir(QString::fromStdString(folder))
                     .entryList({QStringLiteral("rules.db.corrupt-*[0-9]")}, QDir::Files)
                     .size(),
                 1);
        QVERIFY(saveForward(store, 8));
    }

    void fileThatIsNoDatabase_isKeptAndAnEmptyOneUsed()
    {
        const std::string folder = freshFolder("text");
        const QString file = QString::fromStdString(folder) + QStringLiteral("/rules.db");
        {
            QFile text(file);
            QVERIFY(text.open(QIODevice::WriteOnly));
            text.write("these are not the octets of a database, but they are somebody's\n");
        }
        auto store = RulesStore::openIn(folder);
        QVERIFY2(store.message().find("empty one is used") != std::string::npos,
                 store.message().c_str());
        QVERIFY(store.load()->portForwards.empty());
        QVERIFY(saveForward(store, 1));
    }

    void newerFile_isReadButNeverWritten()
    {
        const std::string folder = freshFolder("newer");
        {
            auto store = RulesStore::openIn(folder);
            QVERIFY(saveForward(store, 3));
        }
        const QString file = QString::fromStdString(folder) + QStringLiteral("/rules.db");
        {
            auto database = Database::open(file.toStdString(), Database::Access::ReadWrite,
                                           Database::Durability::Full);
            QVERIFY(database->run("PRAGMA user_version=99"));
            QVERIFY(database->query("PRAGMA wal_checkpoint(TRUNCATE)", {}, [](const Row&) {}));
        }
        const QByteArray before = contents(file);
        {
            auto store = RulesStore::openIn(folder);
            QVERIFY2(store.message().find("newer version") != std::string::npos,
                     store.message().c_str());
            QCOMPARE(store.load()->portForwards.size(), 1U);
            QVERIFY(!saveForward(store, 4));
        }
        QCOMPARE(contents(file), before);
    }

    void readOnlyFile_isReadAndSavingSaysWhy()
    {
        const std::string folder = freshFolder("readonly");
        {
            auto store = RulesStore::openIn(folder);
            QVERIFY(saveForward(store, 5));
        }
        const std::string file = folder + "/rules.db";
        QCOMPARE(::chmod(m_folder.path().toLocal8Bit().constData(), 0755), 0);
        QCOMPARE(::chmod(file.c_str(), 0444), 0);
        QCOMPARE(::chmod(folder.c_str(), 0555), 0);
        {
            const OtherUser other;
            auto store = RulesStore::openIn(folder);
            QVERIFY(!store.message().empty());
            QCOMPARE(store.load()->portForwards.size(), 1U);
            app::Rules rules;
            const auto saved = store.save(rules, engine::SetPortForwards{});
            QVERIFY(!saved);
            QVERIFY2(saved.error().sentence.find("not saved") != std::string::npos,
                     saved.error().sentence.c_str());
        }
        QCOMPARE(::chmod(folder.c_str(), 0755), 0);
    }

    void missingFolder_leavesARouterWithoutMemory()
    {
        auto store = RulesStore::openIn(path("there/is/no/such/folder"));
        QVERIFY2(store.message().find("The router runs") != std::string::npos,
                 store.message().c_str());
        QVERIFY(store.load());
        QVERIFY(!saveForward(store, 1));
    }

    void fullDisk_refusesTheRuleAndKeepsTheFormerOnes()
    {
        const std::string folder = freshFolder("full");
        auto store = RulesStore::openIn(folder);
        QVERIFY(saveForward(store, 1));
        // The kernel refuses to let files grow, as a full disk does.
        struct rlimit former {};
        QCOMPARE(::getrlimit(RLIMIT_FSIZE, &former), 0);
        struct rlimit tiny = former;
        tiny.rlim_cur = 1024;
        std::signal(SIGXFSZ, SIG_IGN);
        QCOMPARE(::setrlimit(RLIMIT_FSIZE, &tiny), 0);
        app::Rules rules;
        for (std::uint32_t id = 2; id < 2000; ++id) {
            rules.portForwards.push_back(forward(id));
        }
        const auto saved = store.save(rules, engine::SetPortForwards{rules.portForwards});
        QCOMPARE(::setrlimit(RLIMIT_FSIZE, &former), 0);
        QVERIFY(!saved);
        QCOMPARE(saved.error().kind, StorageError::Kind::Full);
        const auto loaded = store.load();
        QVERIFY(loaded);
        QCOMPARE(loaded->portForwards.size(), 1U);
        QVERIFY(saveForward(store, 9));
    }

    void files_areTheOwnersAlone()
    {
        const std::string folder = freshFolder("private");
        const auto store = RulesStore::openIn(folder);
        struct stat about {};
        QCOMPARE(::stat((folder + "/rules.db").c_str(), &about), 0);
        QCOMPARE(about.st_mode & 0777U, 0600U);
    }
};

QTEST_GUILESS_MAIN(DatabaseTest)
#include "database_test.moc"
