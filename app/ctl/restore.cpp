#include "app/ctl/context.h"
#include "app/ctl/text.h"
#include "app/state_folder.h"
#include "engine/io/host_guard.h"

#include <memory>

namespace app::ctl {

namespace {

int restore(Context& context, const std::string& state)
{
    const auto restored =
        engine::io::restoreHost(state.empty() ? defaultStateFolder().toStdString() : state);
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

}  // namespace

void addRestore(CLI::App& app, Context& context)
{
    auto* command = app.add_subcommand(
        "restore", "Takes back what a router that crashed has left on this computer");
    const auto state = std::make_shared<std::string>();
    command->add_option("--state", *state, "The router's folder");
    command->callback([&context, state] {
        context.action = [&context, state] {
            return restore(context, *state);
        };
    });
}

}  // namespace app::ctl
