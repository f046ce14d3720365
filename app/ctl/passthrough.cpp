#include "app/control/json.h"
#include "app/ctl/rule_words.h"
#include "app/ctl/text.h"
#include "app/words.h"

#include <CLI/Validators.hpp>
#include <algorithm>
#include <memory>

namespace app::ctl {

namespace {

using engine::net::VpnProtocol;
using engine::policy::PassthroughMode;

struct Words {
    std::string protocol;
    std::string mode;
    std::string onLive;
    std::string device;
    std::string server;
};

std::optional<VpnProtocol> protocolOf(Context& context, const std::string& word)
{
    const auto protocol = engine::net::vpnProtocolFromWord(word);
    if (!protocol) {
        QStringList known;
        for (const auto& text : engine::net::kVpnProtocols) {
            known += qt(text.word);
        }
        context.fail(QStringLiteral("%1 is no VPN protocol; known are %2.")
                         .arg(qt(word), known.join(QStringLiteral(", "))),
                     kExitUsage);
    }
    return protocol;
}

std::optional<engine::net::Prefix> prefixOf(Context& context, const std::string& word)
{
    if (word.empty()) return engine::net::Prefix{engine::net::Ipv4Address{}, 0};
    const auto prefix = engine::net::Prefix::parse(word);
    if (!prefix) {
        context.fail(QStringLiteral("%1 is no address or network like 192.0.2.0/24.").arg(qt(word)),
                     kExitUsage);
    }
    return prefix;
}

std::optional<engine::Snapshot> snapshot(Context& context)
{
    const auto answer = context.ask(QStringLiteral("snapshot"));
    if (!answer) return std::nullopt;
    auto parsed = control::fromJson<engine::Snapshot>(answer->value(QStringLiteral("value")));
    if (!parsed) {
        context.fail(
            QStringLiteral("The router's answer cannot be read (%1).").arg(parsed.error()));
        return std::nullopt;
    }
    return std::move(*parsed);
}

QString testText(const engine::SelfTestResult& result)
{
    return result.outcome == engine::SelfTestResult::Outcome::Failed
               ? QStringLiteral("failed: ") + harmless(QString::fromStdString(result.why))
               : qt(wordOf(result.outcome));
}

int list(Context& context)
{
    const auto answer = context.ask(QStringLiteral("snapshot"));
    if (!answer) return context.status();
    const QJsonObject value = answer->value(QStringLiteral("value")).toObject();
    if (context.json) {
        printJson(value.value(QStringLiteral("protocols")));
        return 0;
    }
    const auto parsed = control::fromJson<engine::Snapshot>(value);
    if (!parsed) return context.fail(QStringLiteral("The router's answer cannot be read."));
    Table table({QStringLiteral("PROTOCOL"), QStringLiteral("NAME"), QStringLiteral("SWITCH"),
                 QStringLiteral("NEEDS HELP"), QStringLiteral("LIVE"), QStringLiteral("HELD"),
                 QStringLiteral("SEEN"), QStringLiteral("REFUSED"), QStringLiteral("SELF-TEST")});
    QString exceptions;
    for (const auto& text : engine::net::kVpnProtocols) {
        const auto& status = parsed->protocols[static_cast<std::size_t>(text.protocol)];
        table.add({qt(text.word), qt(text.name), qt(wordOf(status.position.mode)),
                   text.needsHelp ? QStringLiteral("yes") : QStringLiteral("no"),
                   QString::number(status.liveTunnels), QString::number(status.heldTunnels),
                   QString::number(status.tunnelsSeen), QString::number(status.refused),
                   testText(status.selfTest)});
        for (const auto& exception : status.position.exceptions) {
            exceptions += QStringLiteral("  %1: device %2, server %3: %4\n")
                              .arg(qt(text.word), qt(exception.device.toString()),
                                   qt(exception.server.toString()), qt(wordOf(exception.mode)));
        }
    }
    print(table.text());
    if (!exceptions.isEmpty()) print(QStringLiteral("\nExceptions\n") + exceptions);
    return 0;
}

int set(Context& context, const Words& words, bool remove)
{
    const auto protocol = protocolOf(context, words.protocol);
    const auto device = prefixOf(context, words.device);
    const auto server = prefixOf(context, words.server);
    if (!protocol || !device || !server) return context.status();
    const auto rules = context.rules();
    if (!rules) return context.status();
    engine::SetPassthrough command;
    command.protocol = *protocol;
    command.value = rules->passthrough.of(*protocol);
    command.onLive =
        fromWord<engine::policy::OnLive>(words.onLive).value_or(rules->settings.onLive);
    if (words.device.empty() && words.server.empty()) {
        command.value.mode = *fromWord<PassthroughMode>(words.mode);
    } else {
        auto& exceptions = command.value.exceptions;
        const auto removed = std::erase_if(exceptions, [&](const auto& exception) {
            return exception.device == *device && exception.server == *server;
        });
        if (remove && removed == 0)
            return context.fail(QStringLiteral("There is no such exception."));
        if (!remove) {
            // The first that matches wins, so what was said last comes first.
            exceptions.insert(exceptions.begin(),
                              {*device, *server, *fromWord<PassthroughMode>(words.mode)});
        }
    }
    return context.apply(command, rules->revision);
}

int resolve(Context& context, const Words& words, engine::ResolveHold::How how)
{
    const auto protocol = protocolOf(context, words.protocol);
    if (!protocol) return context.status();
    return context.apply(engine::ResolveHold{*protocol, how});
}

int selfTest(Context& context, const Words& words)
{
    std::vector<VpnProtocol> protocols;
    if (words.protocol.empty()) {
        for (const auto& text : engine::net::kVpnProtocols) {
            protocols.push_back(text.protocol);
        }
    } else {
        const auto protocol = protocolOf(context, words.protocol);
        if (!protocol) return context.status();
        protocols.push_back(*protocol);
    }
    for (const VpnProtocol protocol : protocols) {
        if (!context.ask(QStringLiteral("apply"),
                         control::toJson(engine::Command{engine::RunSelfTest{protocol}}))) {
            return context.status();
        }
    }
    const auto after = snapshot(context);
    if (!after) return context.status();
    bool failed = false;
    QJsonObject told;
    QString text;
    for (const VpnProtocol protocol : protocols) {
        const auto& status = after->protocols[static_cast<std::size_t>(protocol)];
        failed = failed || status.selfTest.outcome == engine::SelfTestResult::Outcome::Failed;
        const auto& name = engine::net::textOf(protocol);
        told.insert(qt(name.word), control::toJson(status).value(QStringLiteral("selfTest")));
        text += QStringLiteral("%1  %2\n").arg(qt(name.word), -14).arg(testText(status.selfTest));
    }
    if (context.json) {
        printJson(told);
    } else {
        print(text);
    }
    return failed ? kExitFailed : 0;
}

}  // namespace

void addPassthrough(CLI::App& app, Context& context)
{
    const auto words = std::make_shared<Words>();
    auto* passthrough = app.add_subcommand("passthrough", "The switch of each VPN protocol");
    passthrough->require_subcommand(1);
    passthrough->add_subcommand("list", "Every switch, its tunnels and its self-test")
        ->callback([&context] {
            context.action = [&context] {
                return list(context);
            };
        });

    auto* setting = passthrough->add_subcommand("set", "Turn a switch");
    setting->add_option("PROTOCOL", words->protocol, "pptp, ipsec, l2tp, …")->required();
    setting->add_option("MODE", words->mode, "assist, plain or block")
        ->required()
        ->check(CLI::IsMember({"assist", "plain", "block"}));
    setting->add_option("--on-live", words->onLive, "What block does to live tunnels")
        ->check(CLI::IsMember({"hold", "finish", "drop"}));
    addDryRun(*setting, context);
    setting->add_option("--device", words->device, "Only for this internal address or network");
    setting->add_option("--server", words->server, "Only towards this server or network");
    setting->callback([&context, words] {
        context.action = [&context, words] {
            return set(context, *words, false);
        };
    });

    auto* unset = passthrough->add_subcommand("unset", "Remove an exception");
    unset->add_option("PROTOCOL", words->protocol, "pptp, ipsec, l2tp, …")->required();
    addDryRun(*unset, context);
    unset->add_option("--device", words->device, "The exception's device");
    unset->add_option("--server", words->server, "The exception's server");
    unset->callback([&context, words] {
        context.action = [&context, words] {
            if (words->device.empty() && words->server.empty()) {
                return context.fail(QStringLiteral("Name the exception's device or server."),
                                    kExitUsage);
            }
            return set(context, *words, true);
        };
    });

    const auto named = [&](const char* name, const char* help, const std::function<int()>& action) {
        auto* command = passthrough->add_subcommand(name, help);
        command->add_option("PROTOCOL", words->protocol, "pptp, ipsec, l2tp, …")->required();
        command->callback([&context, action] { context.action = action; });
    };
    using How = engine::ResolveHold::How;
    named("undo", "Give held tunnels everything back and turn the switch back",
          [&context, words] { return resolve(context, *words, How::Release); });
    named("release", "The same as undo",
          [&context, words] { return resolve(context, *words, How::Release); });
    named("finish", "Let held tunnels run to their end; the switch stays",
          [&context, words] { return resolve(context, *words, How::Finish); });
    named("drop", "Drop held tunnels now",
          [&context, words] { return resolve(context, *words, How::Drop); });

    auto* test =
        app.add_subcommand("selftest", "Two clashing synthetic clients through the real code");
    test->add_option("PROTOCOL", words->protocol, "Only this one");
    test->callback([&context, words] {
        context.action = [&context, words] {
            return selfTest(context, *words);
        };
    });
}

}  // namespace app::ctl
