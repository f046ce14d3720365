#include "app/control/json.h"
#include "app/ctl/rule_words.h"
#include "app/ctl/text.h"
#include "app/words.h"

#include <memory>
#include <string>

/// Rules about one device each: what it may do, 1:1 NAT, the exposed host.
namespace app::ctl {

namespace {

using engine::net::Ipv4Address;

int listDevices(Context& context)
{
    const auto rules = context.rules();
    if (!rules) return context.status();
    const auto known = context.ask(QStringLiteral("devices"));
    const auto answer = context.ask(QStringLiteral("snapshot"));
    if (!known || !answer) return context.status();
    const QJsonArray identities = known->value(QStringLiteral("rows")).toArray();
    const auto snapshot =
        control::fromJson<engine::Snapshot>(answer->value(QStringLiteral("value")));
    if (!snapshot) return context.fail(QStringLiteral("The router's answer cannot be read."));

    std::vector<Ipv4Address> addresses;
    for (const auto& device : snapshot->devices) {
        addresses.push_back(device.address);
    }
    for (const auto& rule : rules->deviceRules) {
        addresses.push_back(rule.address);
    }
    std::ranges::sort(addresses);
    addresses.erase(std::ranges::unique(addresses).begin(), addresses.end());

    Table table({QStringLiteral("DEVICE"), QStringLiteral("NAME"), QStringLiteral("HARDWARE"),
                 QStringLiteral("MAY"), QStringLiteral("LIMIT"), QStringLiteral("SESSIONS"),
                 QStringLiteral("TUNNELS"), QStringLiteral("OUT"), QStringLiteral("IN"),
                 QStringLiteral("REFUSED")});
    QJsonArray rows;
    for (const Ipv4Address address : addresses) {
        QJsonObject identity;
        for (const QJsonValue& row : identities) {
            if (row[QLatin1String("address")].toString() == qt(address.toString()))
                identity = row.toObject();
        }
        const auto rule =
            std::ranges::find(rules->deviceRules, address, &engine::policy::DeviceRule::address);
        const bool ruled = rule != rules->deviceRules.end();
        const auto status =
            std::ranges::find(snapshot->devices, address, &engine::DeviceStatus::address);
        const engine::DeviceStatus live =
            status == snapshot->devices.end() ? engine::DeviceStatus{} : *status;
        const auto access = ruled ? rule->access : engine::policy::DeviceAccess::Allow;
        const QString limit = ruled && rule->sessionLimit ? QString::number(*rule->sessionLimit)
                                                          : QStringLiteral("-");
        table.add({qt(address.toString()),
                   harmless(identity.value(QStringLiteral("name")).toString()),
                   identity.value(QStringLiteral("mac")).toString(), qt(wordOf(access)), limit,
                   QString::number(live.sessions), QString::number(live.tunnels),
                   octets(live.outbound.bytes), octets(live.inbound.bytes),
                   QString::number(live.refused)});
        rows.append(
            QJsonObject{{QStringLiteral("address"), qt(address.toString())},
                        {QStringLiteral("name"), identity.value(QStringLiteral("name")).toString()},
                        {QStringLiteral("mac"), identity.value(QStringLiteral("mac")).toString()},
                        {QStringLiteral("access"), qt(wordOf(access))},
                        {QStringLiteral("sessions"), static_cast<qint64>(live.sessions)},
                        {QStringLiteral("tunnels"), static_cast<qint64>(live.tunnels)},
                        {QStringLiteral("bytesOutbound"), static_cast<qint64>(live.outbound.bytes)},
                        {QStringLiteral("bytesInbound"), static_cast<qint64>(live.inbound.bytes)},
                        {QStringLiteral("refused"), static_cast<qint64>(live.refused)}});
    }
    if (context.json) {
        printJson(rows);
    } else {
        print(table.isEmpty() ? QStringLiteral("No devices yet.\n") : table.text());
    }
    return 0;
}

struct DeviceWords {
    std::string address;
    std::string name;
    std::string onLive;
    std::uint32_t limit = 0;
};

int setDevice(Context& context, const DeviceWords& words, engine::policy::DeviceAccess access)
{
    const auto address = addressOf(context, words.address);
    if (!address) return context.status();
    auto rules = context.rules();
    if (!rules) return context.status();
    auto& list = rules->deviceRules;
    auto found = std::ranges::find(list, *address, &engine::policy::DeviceRule::address);
    if (found == list.end()) {
        engine::policy::DeviceRule rule;
        rule.id = freeId(list);
        rule.address = *address;
        list.push_back(rule);
        found = list.end() - 1;
    }
    found->access = access;
    if (words.limit > 0) found->sessionLimit = words.limit;
    // Allow without a limit is what everybody has: no rule.
    if (access == engine::policy::DeviceAccess::Allow && words.limit == 0) list.erase(found);
    return applyRule(context, engine::SetDeviceRules{list}, words.onLive, rules->revision);
}

void addDevices(CLI::App& rules, Context& context)
{
    const auto words = std::make_shared<DeviceWords>();
    auto* devices = rules.add_subcommand("devices", "What each device may do");
    devices->require_subcommand(1);
    onCall(devices->add_subcommand("list", "Every device that was seen or has a rule"), context,
           [&context] { return listDevices(context); });
    const auto verb = [&](const char* name, const char* help, engine::policy::DeviceAccess access) {
        auto* command = devices->add_subcommand(name, help);
        command->add_option("DEVICE", words->address, "Internal address")->required();
        command->add_option("--sessions", words->limit, "At most so many sessions at once");
        if (access != engine::policy::DeviceAccess::Allow) addOnLive(*command, words->onLive);
        onCall(command, context,
               [&context, words, access]() -> int { return setDevice(context, *words, access); });
    };
    verb("allow", "Everything (removes the rule)", engine::policy::DeviceAccess::Allow);
    verb("block", "Nothing", engine::policy::DeviceAccess::Block);
    verb("vpn-only", "Only recognised VPN tunnels and what reaching them needs",
         engine::policy::DeviceAccess::VpnOnly);
    auto* rename =
        devices->add_subcommand("rename", "Give a device a name; it follows its hardware address");
    rename->add_option("DEVICE", words->address, "Internal address")->required();
    rename->add_option("NAME", words->name, "Empty: none")->required();
    onCall(rename, context, [&context, words]() -> int {
        if (context.dryRun) {
            return context.fail(QStringLiteral("A name is no rule: --dry-run has nothing to tell."),
                                kExitUsage);
        }
        const auto answer =
            context.ask(QStringLiteral("rename-device"),
                        {{QStringLiteral("device"), qt(words->address)},
                         {QStringLiteral("name"), QString::fromStdString(words->name)}});
        if (!answer) return context.status();
        print(answer->value(QStringLiteral("sentence")).toString() + QLatin1Char('\n'));
        return answer->value(QStringLiteral("saved")).toBool() ? 0 : kExitFailed;
    });
}

struct OneToOneWords {
    std::string internal;
    std::string external;
    std::string name;
    std::string onLive;
    std::uint32_t id = 0;
};

void addOneToOne(CLI::App& rules, Context& context)
{
    const auto words = std::make_shared<OneToOneWords>();
    auto* group =
        rules.add_subcommand("one-to-one", "1:1 NAT: an external address for one device alone");
    group->require_subcommand(1);
    onCall(group->add_subcommand("list", "All of them"), context, [&context]() -> int {
        const auto all = context.rules();
        if (!all) return context.status();
        if (context.json) {
            printJson(control::toJson(*all).value(QStringLiteral("oneToOnes")));
            return 0;
        }
        Table table({QStringLiteral("ID"), QStringLiteral("NAME"), QStringLiteral("ON"),
                     QStringLiteral("INTERNAL"), QStringLiteral("EXTERNAL")});
        for (const auto& rule : all->oneToOnes) {
            table.add({QString::number(rule.id), harmless(QString::fromStdString(rule.name)),
                       rule.enabled ? QStringLiteral("yes") : QStringLiteral("no"),
                       qt(rule.internalAddress.toString()), qt(rule.externalAddress.toString())});
        }
        print(table.isEmpty() ? QStringLiteral("No 1:1 NAT.\n") : table.text());
        return 0;
    });
    auto* add = group->add_subcommand("add", "Make one");
    add->add_option("INTERNAL", words->internal, "The device")->required();
    add->add_option("EXTERNAL", words->external, "One of our external addresses")->required();
    add->add_option("--name", words->name, "For people");
    onCall(add, context, [&context, words]() -> int {
        const auto internal = addressOf(context, words->internal);
        const auto external = addressOf(context, words->external);
        if (!internal || !external) return context.status();
        auto all = context.rules();
        if (!all) return context.status();
        all->oneToOnes.push_back({freeId(all->oneToOnes), words->name, true, *internal, *external});
        return applyRule(context, engine::SetOneToOnes{all->oneToOnes}, words->onLive,
                         all->revision);
    });
    auto* remove = group->add_subcommand("remove", "Remove one");
    remove->add_option("ID", words->id, "Number in the list")->required();
    onCall(remove, context, [&context, words]() -> int {
        auto all = context.rules();
        if (!all) return context.status();
        if (std::erase_if(all->oneToOnes, [&](const auto& rule) { return rule.id == words->id; }) ==
            0) {
            return context.fail(QStringLiteral("There is no 1:1 NAT %1.").arg(words->id));
        }
        return applyRule(context, engine::SetOneToOnes{all->oneToOnes}, words->onLive,
                         all->revision);
    });

    auto* exposed =
        rules.add_subcommand("exposed-host", "A device that gets whatever nothing else claims");
    exposed->require_subcommand(1);
    auto* set = exposed->add_subcommand("set", "Expose a device");
    set->add_option("DEVICE", words->internal, "Internal address")->required();
    onCall(set, context, [&context, words]() -> int {
        const auto address = addressOf(context, words->internal);
        if (!address) return context.status();
        return applyRule(context, engine::SetExposedHost{*address}, words->onLive);
    });
    auto* clear = exposed->add_subcommand("clear", "Expose nothing");
    onCall(clear, context, [&context, words] {
        return applyRule(context, engine::SetExposedHost{{}}, words->onLive);
    });
    for (CLI::App* command : {add, remove, set, clear})
        addOnLive(*command, words->onLive);
    onCall(exposed->add_subcommand("show", "Who is exposed"), context, [&context]() -> int {
        const auto all = context.rules();
        if (!all) return context.status();
        const QString address =
            all->exposedHost.isUnspecified() ? QString() : qt(all->exposedHost.toString());
        if (context.json) {
            printJson(QJsonObject{{QStringLiteral("address"), address}});
        } else {
            print(address.isEmpty() ? QStringLiteral("Nothing is exposed.\n")
                                    : address + QLatin1Char('\n'));
        }
        return 0;
    });
}

}  // namespace

void addDeviceRules(CLI::App& rules, Context& context)
{
    addDevices(rules, context);
    addOneToOne(rules, context);
}

}  // namespace app::ctl
