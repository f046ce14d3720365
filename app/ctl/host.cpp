#include "app/control/json.h"
#include "app/ctl/context.h"
#include "app/ctl/text.h"
#include "app/state_folder.h"
#include "app/words.h"
#include "engine/io/host_guard.h"
#include "ui/text/host_words.h"

#include <memory>

namespace app::ctl {

namespace {

using engine::io::HeldSetting;

struct Options {
    std::string state;
    bool yes = false;
};

std::string folder(const Options& options)
{
    return options.state.empty() ? defaultStateFolder().toStdString() : options.state;
}

ui::HostSetting::Kind kindOf(const HeldSetting& setting)
{
    return static_cast<ui::HostSetting::Kind>(setting.kind);
}
static_assert(static_cast<int>(ui::HostSetting::Kind::Answered) == HeldSetting::kKindCount - 1);

int list(Context& context, const Options& options)
{
    std::vector<HeldSetting> held;
    const auto running = context.asksSomebody();
    if (!running) return context.status();
    if (*running) {
        const auto answer = context.ask(QStringLiteral("host"));
        if (!answer) return context.status();
        for (const QJsonValue& row : answer->value(QStringLiteral("rows")).toArray()) {
            if (auto setting = control::fromJson<HeldSetting>(row)) held.push_back(*setting);
        }
    } else {
        held = engine::io::leftOnHost(folder(options));
    }
    if (context.json) {
        QJsonArray rows;
        for (const HeldSetting& setting : held) {
            QJsonObject row = control::toJson(setting);
            row.insert(QStringLiteral("before"), ui::beforeOf(kindOf(setting)));
            rows.append(row);
        }
        printJson(
            QJsonObject{{QStringLiteral("running"), *running}, {QStringLiteral("settings"), rows}});
        return 0;
    }
    if (held.empty()) {
        print(*running ? QStringLiteral("Nothing is held: this router is simulated.\n")
                       : QStringLiteral("Nothing is held: no router runs, and none that crashed "
                                        "has left anything.\n"));
        return 0;
    }
    Table table({QStringLiteral("CARD"), QStringLiteral("HELD"), QStringLiteral("BEFORE"),
                 QStringLiteral("DETAIL")});
    for (const HeldSetting& setting : held) {
        const QString detail = harmless(QString::fromStdString(setting.detail));
        table.add(
            {harmless(QString::fromStdString(setting.interface)), ui::nameOf(kindOf(setting)),
             ui::beforeOf(kindOf(setting)),
             setting.there ? detail : detail + QStringLiteral(" (somebody has taken it away)")});
    }
    print(table.text());
    print(*running ? ui::neverChanged() + QLatin1Char('\n')
                   : QStringLiteral("No router runs: one that crashed has left this. "
                                    "underpassctl host restore takes it back.\n"));
    return 0;
}

int restoreLeftovers(Context& context, const Options& options)
{
    const auto restored = engine::io::restoreHost(folder(options));
    if (!restored) {
        return context.fail(QStringLiteral("This computer is not as it was before sharing: %1.")
                                .arg(QString::fromStdString(restored.error())));
    }
    QStringList cards;
    for (const std::string& card : *restored)
        cards += QString::fromStdString(card);
    if (context.json) {
        printJson(QJsonObject{{QStringLiteral("restored"), QJsonArray::fromStringList(cards)}});
    } else if (cards.isEmpty()) {
        print(QStringLiteral("Nothing was left behind.\n"));
    } else {
        print(
            QStringLiteral("As before sharing again: %1.\n").arg(cards.join(QStringLiteral(", "))));
    }
    return 0;
}

/// Of a running router this ends the sharing, so it has to be said twice.
int restore(Context& context, const Options& options)
{
    const auto running = context.asksSomebody();
    if (!running) return context.status();
    if (!*running) return restoreLeftovers(context, options);
    if (options.yes) return context.tell(context.ask(QStringLiteral("restore-host")));
    const auto status = context.ask(QStringLiteral("status"));
    if (!status) return context.status();
    const auto count = [&](const char* name) {
        return static_cast<int>(status->value(QLatin1String(name)).toInteger());
    };
    return context.fail(ui::whatStops(count("devices"), count("sessions"), count("tunnels")) +
                        QStringLiteral(" Nothing has been done; say --yes to do it."));
}

}  // namespace

void addHost(CLI::App& app, Context& context)
{
    const auto options = std::make_shared<Options>();
    const auto verb = [&context, options](CLI::App& parent, const std::string& name,
                                          const std::string& words,
                                          int (*run)(Context&, const Options&)) {
        auto* command = parent.add_subcommand(name, words);
        command->add_option("--state", options->state, "The router's folder");
        command->callback([&context, options, run] {
            context.action = [&context, options, run] {
                return run(context, *options);
            };
        });
        return command;
    };
    auto* host = app.add_subcommand("host", "What of this computer is held for sharing");
    host->require_subcommand(1);
    verb(*host, "list", "What is held, and how it was before", list);
    verb(*host, "restore", "Ends sharing and takes everything back", restore)
        ->add_flag("--yes", options->yes, "Even if a router runs: its sharing ends");
    verb(app, "restore", "Takes back what a router that crashed has left on this computer",
         restoreLeftovers);
}

}  // namespace app::ctl
