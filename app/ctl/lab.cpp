#include "app/ctl/context.h"
#include "app/ctl/text.h"
#include "app/end_signal.h"
#include "app/lab_backend.h"
#include "app/local_router_client.h"
#include "app/qt_text.h"
#include "app/random_seed.h"

#include <QCoreApplication>
#include <QJsonArray>
#include <QJsonObject>
#include <QTimer>

#include <CLI/Validators.hpp>
#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <unistd.h>

namespace app::ctl {

using namespace std::chrono_literals;

namespace {

struct LabWords {
    std::string scenario = "overview";
    std::string howLong;
    std::vector<std::string> played;
};

QString tableOf(const engine::Snapshot& snapshot, const std::vector<DeviceIdentity>& devices)
{
    QStringList headings = tunnelHeadings();
    Table table(headings);
    for (const auto& tunnel : snapshot.tunnels) {
        QStringList cells = tunnelCells(tunnel, snapshot.at);
        const auto named = std::ranges::find(devices, tunnel.device, &DeviceIdentity::address);
        if (named != devices.end() && !named->name.isEmpty()) {
            cells[4] = harmless(named->name) + QStringLiteral(" (") + cells[4] + QLatin1Char(')');
        }
        table.add(cells);
    }
    const auto& counters = snapshot.counters;
    return QStringLiteral("Underpass lab: %1 devices, %2 sessions, out %3, in %4\n\n")
               .arg(snapshot.devices.size())
               .arg(snapshot.sessions)
               .arg(octets(counters.outbound.bytes), octets(counters.inbound.bytes)) +
           (table.isEmpty() ? QStringLiteral("No VPN tunnels yet.\n") : table.text());
}

int watch(Context& context, const LabWords& words)
{
    std::chrono::seconds howLong{0};
    if (!words.howLong.empty()) {
        const QString text = QString::fromStdString(words.howLong);
        bool ok = false;
        howLong = std::chrono::seconds(
            (text.endsWith(QLatin1Char('s')) ? text.chopped(1) : text).toInt(&ok));
        if (!ok || howLong < 1s) {
            return context.fail(QStringLiteral("%1 is no time like 10s.").arg(text), kExitUsage);
        }
    }
    auto lab = engine::lab::Lab::make(words.scenario, randomSeed(), engine::Instant{1h});
    if (!lab) {
        QStringList known;
        for (const auto& scenario : engine::lab::scenarios()) {
            known += qt(scenario.name);
        }
        return context.fail(
            QStringLiteral("There is no scenario %1; known are %2.")
                .arg(QString::fromStdString(words.scenario), known.join(QStringLiteral(", "))),
            kExitUsage);
    }
    EndSignal end;
    LocalRouterClient router(std::make_unique<LabBackend>(std::move(lab)), Rules{},
                             storage::RulesStore::openIn({}), storage::HistoryStore::openIn({}));
    const bool terminal = ::isatty(STDOUT_FILENO) == 1;
    QTimer tick;
    QObject::connect(&tick, &QTimer::timeout, &router, [&] {
        if (router.snapshot() == nullptr) return;
        const QString text = tableOf(*router.snapshot(), router.devices());
        // Home and clear to the end: the table stays where it is.
        print(terminal ? QStringLiteral("\x1b[H\x1b[J") + text : text + QLatin1Char('\n'));
    });
    QObject::connect(&end, &EndSignal::endAsked, qApp, &QCoreApplication::quit);
    if (howLong > 0s) QTimer::singleShot(howLong, qApp, &QCoreApplication::quit);
    tick.start(terminal ? 500ms : 2s);
    QCoreApplication::exec();
    if (router.snapshot() != nullptr) {
        print((terminal ? QStringLiteral("\n") : QString()) +
              tableOf(*router.snapshot(), router.devices()));
    }
    return 0;
}

/// Plays scenarios from beginning to end in the lab's own time, and says what has become of their
/// claims.
int run(Context& context, const LabWords& words)
{
    Table table({QStringLiteral("SCENARIO"), QStringLiteral("CLAIM"), QStringLiteral("HOLDS"),
                 QStringLiteral("SEEN")});
    QJsonArray rows;
    bool all = true;
    for (const auto& scenario : engine::lab::scenarios()) {
        if (!words.played.empty() &&
            std::ranges::find(words.played, scenario.name) == words.played.end())
            continue;
        const auto lab = engine::lab::Lab::make(scenario.name, randomSeed(), engine::Instant{1h});
        lab->advance(scenario.length);
        for (const engine::lab::Check& check : lab->results()) {
            all = all && check.passed;
            table.add({qt(scenario.name), qt(check.what),
                       check.passed ? QStringLiteral("yes") : QStringLiteral("no"),
                       qt(check.detail)});
            rows.append(QJsonObject{{QStringLiteral("scenario"), qt(scenario.name)},
                                    {QStringLiteral("claim"), qt(check.what)},
                                    {QStringLiteral("holds"), check.passed},
                                    {QStringLiteral("seen"), qt(check.detail)}});
        }
    }
    if (context.json) {
        printJson(rows);
    } else {
        print(table.text());
    }
    return all ? 0 : kExitFailed;
}

}  // namespace

void addLab(CLI::App& app, Context& context)
{
    const auto words = std::make_shared<LabWords>();
    auto* lab = app.add_subcommand("lab", "The built-in network of simulated computers");
    lab->require_subcommand(1);
    lab->add_subcommand("list", "Its scenarios")->callback([&context] {
        context.action = [&context] {
            if (context.json) {
                QJsonArray rows;
                for (const auto& scenario : engine::lab::scenarios()) {
                    rows.append(QJsonObject{{QStringLiteral("name"), qt(scenario.name)},
                                            {QStringLiteral("lesson"), qt(scenario.lesson)}});
                }
                printJson(rows);
                return 0;
            }
            Table table({QStringLiteral("SCENARIO"), QStringLiteral("WHAT IT SHOWS")});
            for (const auto& scenario : engine::lab::scenarios()) {
                table.add({qt(scenario.name), qt(scenario.lesson)});
            }
            print(table.text());
            return 0;
        };
    });
    auto* running =
        lab->add_subcommand("run", "Plays scenarios to their end; fails if a claim does");
    running->add_option("scenarios", words->played, "Which ones; all without")
        ->check([](const std::string& name) {
            const auto known = engine::lab::scenarios();
            return std::ranges::find(known, name, &engine::lab::Scenario::name) == known.end()
                       ? "There is no scenario " + name + "; lab list tells them."
                       : std::string{};
        });
    running->callback([&context, words] {
        context.action = [&context, words] {
            return run(context, *words);
        };
    });
    auto* watching = lab->add_subcommand("watch", "Its live tunnels in the terminal, until Ctrl-C");
    watching->add_option("--for", words->howLong, "End after so long: 10s");
    watching->add_option("--scenario", words->scenario, "Which scenario")->capture_default_str();
    watching->callback([&context, words] {
        context.action = [&context, words] {
            return watch(context, *words);
        };
    });
}

}  // namespace app::ctl
