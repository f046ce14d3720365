#include "app/control/json.h"
#include "app/ctl/rule_words.h"
#include "app/ctl/text.h"
#include "app/words.h"

#include <memory>
#include <string>

/// Port forwards, and what all rules have: undo and redo.
namespace app::ctl {

namespace {

using engine::net::hasPorts;
using engine::net::Port;

std::string labelOf(const engine::policy::PortForward& forward)
{
    return forward.name.empty() ? "forward " + std::to_string(forward.id)
                                : forward.name + " (" + std::to_string(forward.id) + ")";
}

struct ForwardWords {
    std::string protocol;
    std::string external;
    std::string to;
    std::string toPort;
    std::string name;
    std::string from = "0.0.0.0/0";
    bool noHairpin = false;
    bool disabled = false;
    std::string onLive;
    std::uint32_t id = 0;
};

int listForwards(Context& context)
{
    const auto rules = context.rules();
    if (!rules) return context.status();
    const auto answer = context.ask(QStringLiteral("snapshot"));
    if (!answer) return context.status();
    const QJsonArray live = answer->value(QStringLiteral("value"))
                                .toObject()
                                .value(QStringLiteral("forwards"))
                                .toArray();
    const auto liveOf = [&](std::uint32_t id) {
        for (const QJsonValue& row : live) {
            if (row[QLatin1String("id")].toInteger() == id) return row.toObject();
        }
        return QJsonObject{};
    };
    if (context.json) {
        QJsonArray rows;
        const QJsonArray forwards =
            control::toJson(*rules).value(QStringLiteral("portForwards")).toArray();
        for (const QJsonValue& forward : forwards) {
            QJsonObject row = forward.toObject();
            const QJsonObject status =
                liveOf(static_cast<std::uint32_t>(row.value(QStringLiteral("id")).toInteger()));
            row.insert(QStringLiteral("hits"), status.value(QStringLiteral("hits")).toInteger());
            row.insert(QStringLiteral("liveSessions"),
                       status.value(QStringLiteral("liveSessions")).toInteger());
            row.insert(QStringLiteral("obstacle"), status.value(QStringLiteral("obstacle")));
            rows.append(row);
        }
        printJson(rows);
        return 0;
    }
    Table table({QStringLiteral("ID"), QStringLiteral("NAME"), QStringLiteral("ON"),
                 QStringLiteral("PROTOCOL"), QStringLiteral("EXTERNAL"), QStringLiteral("TO"),
                 QStringLiteral("FROM"), QStringLiteral("HAIRPIN"), QStringLiteral("HITS"),
                 QStringLiteral("LIVE")});
    QString waiting;
    for (const auto& forward : rules->portForwards) {
        const bool ports = hasPorts(forward.protocol);
        QString to = qt(forward.internalAddress.toString());
        if (ports) {
            const auto last = static_cast<std::uint16_t>(forward.internalFirst.hostOrder() +
                                                         forward.externalPorts.size() - 1);
            to += QLatin1Char(':') + portsText({forward.internalFirst, Port{last}});
        }
        const QJsonObject status = liveOf(forward.id);
        const auto obstacle = fromWord<engine::ForwardObstacle>(
            status.value(QStringLiteral("obstacle")).toString().toStdString());
        if (obstacle) {
            waiting += QStringLiteral("%1 waits: %2.\n")
                           .arg(harmless(QString::fromStdString(labelOf(forward))),
                                qt(sentenceOf(*obstacle)));
        }
        table.add({QString::number(forward.id), harmless(QString::fromStdString(forward.name)),
                   obstacle          ? QStringLiteral("waits")
                   : forward.enabled ? QStringLiteral("yes")
                                     : QStringLiteral("no"),
                   qt(wordOf(forward.protocol)),
                   ports ? portsText(forward.externalPorts) : QStringLiteral("-"), to,
                   forward.allowedRemotes.length() == 0 ? QStringLiteral("anybody")
                                                        : qt(forward.allowedRemotes.toString()),
                   forward.hairpin ? QStringLiteral("yes") : QStringLiteral("no"),
                   QString::number(status.value(QStringLiteral("hits")).toInteger()),
                   QString::number(status.value(QStringLiteral("liveSessions")).toInteger())});
    }
    print(table.isEmpty() ? QStringLiteral("No port forwards.\n") : table.text() + waiting);
    return 0;
}

int addForward(Context& context, const ForwardWords& words)
{
    engine::policy::PortForward forward;
    const QString word = qt(words.protocol).toLower();
    const auto protocol = ipProtocolFromWord(word.toStdString());
    if (!protocol) {
        return context.fail(
            QStringLiteral("%1 is no protocol; try tcp, udp, gre or esp.").arg(qt(words.protocol)),
            kExitUsage);
    }
    if (!engine::policy::canBeForwarded(*protocol)) {
        return context.fail(qt(sentenceOf(engine::CommandError::ProtocolNotForwarded)));
    }
    forward.protocol = *protocol;
    forward.name = words.name;
    forward.enabled = !words.disabled;
    forward.hairpin = !words.noHairpin;
    const auto to = addressOf(context, words.to);
    if (!to) return context.status();
    forward.internalAddress = *to;
    const auto from = engine::net::Prefix::parse(words.from);
    if (!from) {
        return context.fail(QStringLiteral("%1 is no address or network.").arg(qt(words.from)),
                            kExitUsage);
    }
    forward.allowedRemotes = *from;
    if (hasPorts(*protocol)) {
        if (words.external.empty()) {
            return context.fail(QStringLiteral("Name the external port or range with --port."),
                                kExitUsage);
        }
        const auto range = rangeOf(context, words.external);
        if (!range) return context.status();
        if (range->first == Port{47} && range->last == Port{47}) {
            return context.fail(
                qt(sentenceOf(engine::CommandError::PortIsProtocol)) +
                    QStringLiteral(" (rules forwards add gre --to %1)").arg(qt(words.to)),
                kExitUsage);
        }
        forward.externalPorts = *range;
        const auto first =
            words.toPort.empty() ? std::optional{range->first} : portOf(words.toPort);
        if (!first || first->hostOrder() + range->size() - 1 > 65535) {
            return context.fail(QStringLiteral("%1 is no first internal port for this range.")
                                    .arg(qt(words.toPort)),
                                kExitUsage);
        }
        forward.internalFirst = *first;
    } else if (!words.external.empty() || !words.toPort.empty()) {
        return context.fail(QStringLiteral("%1 has no ports: leave --port and --to-port out.")
                                .arg(qt(words.protocol)),
                            kExitUsage);
    }
    auto rules = context.rules();
    if (!rules) return context.status();
    // The router refuses an overlap too; only here is it known by which name.
    for (const auto& other : rules->portForwards) {
        const bool same =
            other.protocol == forward.protocol &&
            (!hasPorts(other.protocol) || other.externalPorts.overlaps(forward.externalPorts));
        if (same && other.enabled && forward.enabled) {
            return context.fail(
                QStringLiteral("%1 already forwards %2; disable or remove it first.")
                    .arg(harmless(QString::fromStdString(labelOf(other))),
                         qt(wordOf(other.protocol)) +
                             (hasPorts(other.protocol)
                                  ? QLatin1Char(' ') + portsText(other.externalPorts)
                                  : QString())));
        }
    }
    forward.id = freeId(rules->portForwards);
    rules->portForwards.push_back(std::move(forward));
    return applyRule(context, engine::SetPortForwards{rules->portForwards}, words.onLive,
                     rules->revision);
}

int changeForward(Context& context, const ForwardWords& words,
                  const std::function<void(Rules&, std::size_t)>& change)
{
    auto rules = context.rules();
    if (!rules) return context.status();
    const auto found =
        std::ranges::find(rules->portForwards, words.id, &engine::policy::PortForward::id);
    if (found == rules->portForwards.end()) {
        return context.fail(QStringLiteral("There is no port forward %1.").arg(words.id));
    }
    change(*rules, static_cast<std::size_t>(found - rules->portForwards.begin()));
    return applyRule(context, engine::SetPortForwards{rules->portForwards}, words.onLive,
                     rules->revision);
}

void addForwards(CLI::App& rules, Context& context)
{
    const auto words = std::make_shared<ForwardWords>();
    auto* forwards =
        rules.add_subcommand("forwards", "Connections from outside to a device inside");
    forwards->require_subcommand(1);
    onCall(forwards->add_subcommand("list", "Every forward with its hits"), context,
           [&context] { return listForwards(context); });
    auto* add = forwards->add_subcommand("add", "Make a forward");
    add->add_option("PROTOCOL", words->protocol, "tcp, udp, or gre, esp, … by name or number")
        ->required();
    add->add_option("--port", words->external, "External port or range: 8000-8010");
    add->add_option("--to", words->to, "Internal address")->required();
    add->add_option("--to-port", words->toPort,
                    "First internal port; the range is shifted as a whole");
    add->add_option("--name", words->name, "For people");
    add->add_option("--from", words->from, "Only for this remote address or network");
    add->add_flag("--no-hairpin", words->noHairpin, "Not for devices inside");
    add->add_flag("--disabled", words->disabled, "Make it, but leave it off");
    onCall(add, context, [&context, words] { return addForward(context, *words); });
    const auto byId = [&](const char* name, const char* help,
                          const std::function<void(Rules&, std::size_t)>& change) {
        auto* command = forwards->add_subcommand(name, help);
        command->add_option("ID", words->id, "Number in the list")->required();
        onCall(command, context, [&context, words, change]() -> int {
            return changeForward(context, *words, change);
        });
        return command;
    };
    auto* remove = byId("remove", "Remove a forward", [](Rules& all, std::size_t index) {
        all.portForwards.erase(all.portForwards.begin() + static_cast<std::ptrdiff_t>(index));
    });
    auto* enable = byId("enable", "Turn a forward on", [](Rules& all, std::size_t index) {
        all.portForwards[index].enabled = true;
    });
    auto* disable =
        byId("disable", "Turn a forward off and keep it",
             [](Rules& all, std::size_t index) { all.portForwards[index].enabled = false; });
    for (CLI::App* command : {add, remove, enable, disable})
        addOnLive(*command, words->onLive);
}

int step(Context& context, const char* verb)
{
    if (context.dryRun) {
        return context.fail(
            QStringLiteral("--dry-run cannot tell what %1 would do.").arg(QLatin1String(verb)),
            kExitUsage);
    }
    const auto answer = context.ask(QLatin1String(verb));
    if (!answer) return context.status();
    print(answer->value(QStringLiteral("sentence")).toString() + QLatin1Char('\n'));
    return 0;
}

}  // namespace

void addRules(CLI::App& app, Context& context)
{
    auto* rules = app.add_subcommand("rules", "What the user has decided");
    rules->require_subcommand(1);
    addDryRun(*rules, context);
    addForwards(*rules, context);
    addNatRules(*rules, context);
    addDeviceRules(*rules, context);
    onCall(rules->add_subcommand("undo", "Take the last change back"), context,
           [&context] { return step(context, "undo"); });
    onCall(rules->add_subcommand("redo", "Make it again"), context,
           [&context] { return step(context, "redo"); });
}

}  // namespace app::ctl
