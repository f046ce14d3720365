// A rule that was confirmed survives kill -9: a child saves rules and confirms each on a pipe, the
// parent kills it at a random moment and then looks for every confirmed rule. The negative control
// confirms before it saves, and must be caught.
#include "app/storage/rules_store.h"

#include <QElapsedTimer>
#include <QRandomGenerator>
#include <QTemporaryDir>
#include <QtTest>

#include <array>
#include <csignal>
#include <cstring>

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace app::storage;

namespace {

enum class Confirms { AfterSaving, BeforeSaving };

engine::policy::PortForward forward(std::uint32_t number)
{
    engine::policy::PortForward rule;
    rule.id = 1;
    rule.externalPorts = {engine::net::Port{8080}, engine::net::Port{8080}};
    rule.internalAddress = engine::net::Ipv4Address{number};
    return rule;
}

/// Never returns. Rule n says n; each replaces the one before.
[[noreturn]] void child(const std::string& folder, int pipe, std::uint32_t first, Confirms confirms)
{
    auto store = RulesStore::openIn(folder);
    for (std::uint32_t number = first;; ++number) {
        app::Rules rules;
        rules.portForwards = {forward(number)};
        const auto tell = [&] {
            if (::write(pipe, &number, sizeof number) != sizeof number) ::_exit(3);
        };
        if (confirms == Confirms::BeforeSaving) tell();
        if (!store.save(rules, engine::SetPortForwards{})) ::_exit(4);
        if (confirms == Confirms::AfterSaving) tell();
    }
}

/// The last confirmed number and the one found afterwards.
struct Round {
    std::uint32_t confirmed = 0;
    std::uint32_t found = 0;
};

Round killOnce(const std::string& folder, std::uint32_t first, Confirms confirms)
{
    std::array<int, 2> pipe{};
    if (::pipe(pipe.data()) != 0) return {};
    const pid_t pid = ::fork();
    if (pid == 0) {
        ::close(pipe[0]);
        child(folder, pipe[1], first, confirms);
    }
    ::close(pipe[1]);
    Round round;
    const auto take = [&](int wait) {
        pollfd readable{pipe[0], POLLIN, 0};
        if (::poll(&readable, 1, wait) <= 0) return false;
        std::uint32_t number = 0;
        if (::read(pipe[0], &number, sizeof number) != sizeof number) return false;
        round.confirmed = number;
        return true;
    };
    auto* random = QRandomGenerator::global();
    const int wanted = random->bounded(1, 6);
    for (int i = 0; i < wanted && take(60000); ++i) {
    }
    ::usleep(static_cast<useconds_t>(random->bounded(1500)));
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    while (take(0)) {
    }
    ::close(pipe[0]);

    auto store = RulesStore::openIn(folder);
    if (!store.message().empty()) qWarning("%s", store.message().c_str());
    const auto rules = store.load();
    if (rules && !rules->portForwards.empty()) {
        round.found = rules->portForwards[0].internalAddress.hostOrder();
    }
    return round;
}

}  // namespace

class KillTest final : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void confirmedRule_afterKill9_isThere()
    {
        bool ok = false;
        const int asked = qEnvironmentVariableIntValue("UNDERPASS_KILL_ROUNDS", &ok);
        const int rounds = ok ? asked : 200;
        const QTemporaryDir folder;
        std::uint32_t next = 1;
        for (int i = 0; i < rounds; ++i) {
            const Round round = killOnce(folder.path().toStdString(), next, Confirms::AfterSaving);
            QVERIFY(round.confirmed >= next);
            // One more may have been saved whose confirmation did not get through.
            QVERIFY2(round.found == round.confirmed || round.found == round.confirmed + 1,
                     qPrintable(QStringLiteral("round %1: confirmed %2, found %3")
                                    .arg(i)
                                    .arg(round.confirmed)
                                    .arg(round.found)));
            next = round.found + 1;
        }
    }

    void ruleConfirmedBeforeItWasSaved_isCaught()
    {
        const QTemporaryDir folder;
        std::uint32_t next = 1;
        int caught = 0;
        for (int i = 0; i < 200 && caught == 0; ++i) {
            const Round round = killOnce(folder.path().toStdString(), next, Confirms::BeforeSaving);
            if (round.found < round.confirmed) ++caught;
            next = round.confirmed + 1;
        }
        QVERIFY2(caught > 0, "the test cannot tell a confirmation that comes too early");
    }
};

QTEST_GUILESS_MAIN(KillTest)
#include "kill_test.moc"
