#include "app/control/json.h"
#include "app/ctl/rule_words.h"
#include "app/ctl/text.h"
#include "app/nat_settings.h"
#include "app/words.h"
#include "engine/nat/behaviour_rules.h"

#include <CLI/Validators.hpp>
#include <algorithm>
#include <charconv>
#include <memory>
#include <string>

/// How the NAT behaves: in general, for some devices, for some destinations; timers and limits.
namespace app::ctl {

namespace {

using engine::nat::Behaviour;
using engine::net::PortRange;

template <typename Nat, typename Visitor>
void visitBehaviours(Nat& nat, const Visitor& visit)
{
    visit("tcp", nat.tcp);
    visit("udp", nat.udp);
    visit("icmp", nat.icmp);
}
/// One part of the NAT's settings: as it stands in the rules for scripts, by `textOf` for people.
template <typename TextOf>
int showPart(Context& context, const QString& part, const TextOf& textOf)
{
    const auto rules = context.rules();
    if (!rules) return context.status();
    if (context.json) {
        printJson(control::toJson(*rules).value(QStringLiteral("nat")).toObject().value(part));
    } else {
        print(textOf(rules->nat));
    }
    return 0;
}

int showNat(Context& context)
{
    const auto rules = context.rules();
    if (!rules) return context.status();
    if (context.json) {
        printJson(control::toJson(*rules).value(QStringLiteral("nat")));
        return 0;
    }
    Table behaviours(
        {QStringLiteral("PROTOCOL"), QStringLiteral("MAPPING"), QStringLiteral("FILTERING")});
    visitBehaviours(rules->nat,
                    [&](const char* name, const engine::nat::ProtocolBehaviour& behaviour) {
                        behaviours.add({QLatin1String(name), qt(wordOf(behaviour.mapping)),
                                        qt(wordOf(behaviour.filtering))});
                    });
    Table flags({QStringLiteral("SETTING"), QStringLiteral("VALUE")});
    flags.add({QStringLiteral("ports"), portsText(rules->nat.ports)});
    visitFlags(rules->nat, [&](const char* name, bool on) {
        flags.add({QLatin1String(name), on ? QStringLiteral("on") : QStringLiteral("off")});
    });
    flags.add({QStringLiteral("pings"), qt(wordOf(rules->nat.pings))});
    print(behaviours.text() + QLatin1Char('\n') + flags.text());
    return 0;
}

/// A table of names and values; `visit` shows all of them.
template <typename Visit, typename TextOf>
int showNamed(Context& context, const QString& part, const QStringList& titles, const Visit& visit,
              const TextOf& textOf)
{
    return showPart(context, part, [&](const engine::nat::NatConfig& nat) {
        Table table(titles);
        visit(nat, [&](const char* name, const auto& value) {
            table.add({QLatin1String(name), textOf(value)});
        });
        return table.text();
    });
}

int showTimers(Context& context)
{
    return showNamed(
        context, QStringLiteral("timers"), {QStringLiteral("TIMER"), QStringLiteral("IDLE FOR")},
        [](auto& nat, const auto& visit) { visitTimers(nat, visit); },
        [](engine::Duration value) { return span(value); });
}

int showLimits(Context& context)
{
    return showNamed(
        context, QStringLiteral("limits"), {QStringLiteral("LIMIT"), QStringLiteral("VALUE")},
        [](auto& nat, const auto& visit) { visitLimits(nat, visit); },
        [](std::uint32_t value) {
            return value == 0 ? QStringLiteral("automatic") : QString::number(value);
        });
}

int changeNat(Context& context, const std::function<int(engine::nat::NatConfig&)>& change)
{
    auto rules = context.rules();
    if (!rules) return context.status();
    if (const int failed = change(rules->nat); failed != 0) return failed;
    return context.apply(engine::SetNat{rules->nat}, rules->revision);
}

struct NatWords {
    std::string protocol;
    std::string mapping;
    std::string filtering;
    std::string ports;
    std::string name;
    std::string value;
};

CLI::IsMember behaviourWords()
{
    return CLI::IsMember(
        {"endpoint-independent", "address-dependent", "address-and-port-dependent"});
}

/// The network and the ports that a rule is about; no ports named: all.
std::optional<std::pair<engine::net::Prefix, PortRange>> partOf(Context& context,
                                                                const NatWords& words)
{
    const auto network = engine::net::Prefix::parse(words.value);
    if (!network) {
        context.fail(QStringLiteral("%1 is no address or network.").arg(qt(words.value)),
                     kExitUsage);
        return std::nullopt;
    }
    if (words.ports.empty()) return std::pair{*network, engine::nat::kAllPorts};
    const auto range = rangeOf(context, words.ports);
    if (!range) return std::nullopt;
    return std::pair{*network, *range};
}

QString portsWord(const PortRange& range)
{
    return range == engine::nat::kAllPorts ? QStringLiteral("all") : portsText(range);
}

int setNat(Context& context, const NatWords& words)
{
    return changeNat(context, [&](engine::nat::NatConfig& nat) -> int {
        bool any = false;
        visitBehaviours(nat,
                        [&](const std::string& name, engine::nat::ProtocolBehaviour& behaviour) {
                            if (words.protocol != "all" && words.protocol != name) return;
                            any = true;
                            if (!words.mapping.empty())
                                behaviour.mapping = *fromWord<Behaviour>(words.mapping);
                            if (!words.filtering.empty())
                                behaviour.filtering = *fromWord<Behaviour>(words.filtering);
                        });
        if (!any)
            return context.fail(
                QStringLiteral("%1 is neither tcp, udp, icmp nor all.").arg(qt(words.protocol)),
                kExitUsage);
        if (!words.ports.empty()) {
            const auto range = rangeOf(context, words.ports);
            if (!range) return context.status();
            nat.ports = *range;
        }
        return 0;
    });
}

/// "90", "90s", "5min", "2h"; what no timer can be is as long as the longest and more.
std::optional<engine::Duration> durationOf(const std::string& text)
{
    std::uint32_t number = 0;
    const auto end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, number);
    if (error != std::errc{}) return std::nullopt;
    const std::string_view unit(rest, static_cast<std::size_t>(end - rest));
    // In hours, too, it is far more than any timer may be, and no more than a Duration can hold.
    number = std::min(number, 1'000'000U);
    if (unit.empty() || unit == "s") return std::chrono::seconds(number);
    if (unit == "min" || unit == "m") return std::chrono::minutes(number);
    if (unit == "h") return std::chrono::hours(number);
    return std::nullopt;
}

/// Changes the one setting of this name; `visit` shows all of its kind by name and value.
template <typename Visit, typename Change>
int changeNamed(Context& context, const std::string& wanted, const char* kind, const Visit& visit,
                const Change& change)
{
    return changeNat(context, [&](engine::nat::NatConfig& nat) -> int {
        bool any = false;
        visit(nat, [&](const std::string& name, auto& value) {
            if (name != wanted) return;
            any = true;
            change(value);
        });
        if (any) return 0;
        return context.fail(
            QStringLiteral("There is no %1 %2.").arg(QLatin1String(kind), qt(wanted)), kExitUsage);
    });
}

int setTimer(Context& context, const NatWords& words)
{
    const auto duration = durationOf(words.value);
    if (!duration) {
        return context.fail(
            QStringLiteral("%1 is no time like 90s, 5min or 2h.").arg(qt(words.value)), kExitUsage);
    }
    return changeNamed(
        context, words.name, "timer", [](auto& nat, const auto& visit) { visitTimers(nat, visit); },
        [&](engine::Duration& value) { value = *duration; });
}

int setLimit(Context& context, const NatWords& words)
{
    std::uint32_t number = 0;
    const auto end = words.value.data() + words.value.size();
    const auto [rest, error] = std::from_chars(words.value.data(), end, number);
    if (words.value != "automatic" && (error != std::errc{} || rest != end)) {
        return context.fail(QStringLiteral("%1 is no number.").arg(qt(words.value)), kExitUsage);
    }
    return changeNamed(
        context, words.name, "limit", [](auto& nat, const auto& visit) { visitLimits(nat, visit); },
        [&](std::uint32_t& value) { value = number; });
}

int setFlag(Context& context, const NatWords& words)
{
    return changeNamed(
        context, words.name, "switch", [](auto& nat, const auto& visit) { visitFlags(nat, visit); },
        [&](bool& value) { value = words.value == "on"; });
}

int setPings(Context& context, const NatWords& words)
{
    return changeNat(context, [&](engine::nat::NatConfig& nat) -> int {
        nat.pings = *fromWord<engine::nat::PingsFromOutside>(words.value);
        return 0;
    });
}

/// How a rule about a network and its ports is asked for.
struct PartWords {
    const char* network;
    const char* networkHelp;
    const char* portsHelp;
};

/// A group of verbs about a list of such rules: "list", and those that change it.
class RuleList {
public:
    RuleList(CLI::App& rules, Context& context, std::shared_ptr<NatWords> words, const char* name,
             const char* help, int (*list)(Context&))
        : m_context(context), m_words(std::move(words)), m_group(rules.add_subcommand(name, help))
    {
        m_group->require_subcommand(1);
        onCall(m_group->add_subcommand("list", "All of them"), context,
               [&context, list] { return list(context); });
    }

    using Change = int (*)(Context&, const NatWords&, bool wanted);
    CLI::App* verb(const char* name, const char* help, const PartWords& part, Change change,
                   bool wanted) const
    {
        auto* command = m_group->add_subcommand(name, help);
        command->add_option(part.network, m_words->value, part.networkHelp)->required();
        command->add_option("--ports", m_words->ports, part.portsHelp);
        onCall(command, m_context, [&context = m_context, words = m_words, change, wanted] {
            return change(context, *words, wanted);
        });
        return command;
    }

private:
    Context& m_context;
    std::shared_ptr<NatWords> m_words;
    CLI::App* m_group;
};

// ---- NAT types of devices and ports -------------------------------------------------------------

int listTypes(Context& context)
{
    return showPart(context, QStringLiteral("exceptions"), [](const engine::nat::NatConfig& nat) {
        Table table({QStringLiteral("DEVICES"), QStringLiteral("PORTS"), QStringLiteral("MAPPING"),
                     QStringLiteral("FILTERING")});
        for (const auto& rule : nat.exceptions) {
            table.add({qt(rule.devices.toString()), portsWord(rule.ports),
                       qt(wordOf(rule.behaviour.mapping)), qt(wordOf(rule.behaviour.filtering))});
        }
        return table.isEmpty() ? QStringLiteral("All devices have the general NAT type.\n")
                               : table.text();
    });
}

int changeType(Context& context, const NatWords& words, bool wanted)
{
    const auto part = partOf(context, words);
    if (!part) return context.status();
    return changeNat(context, [&](engine::nat::NatConfig& nat) -> int {
        const auto same = [&](const engine::nat::BehaviourException& rule) {
            return rule.devices == part->first && rule.ports == part->second;
        };
        engine::nat::BehaviourException rule{part->first, part->second, nat.udp};
        const auto old = std::ranges::find_if(nat.exceptions, same);
        if (old != nat.exceptions.end()) {
            rule.behaviour = old->behaviour;
            nat.exceptions.erase(old);
        } else if (!wanted) {
            return context.fail(
                QStringLiteral("There is no such rule for %1.").arg(qt(words.value)));
        }
        if (!words.mapping.empty()) rule.behaviour.mapping = *fromWord<Behaviour>(words.mapping);
        if (!words.filtering.empty()) {
            rule.behaviour.filtering = *fromWord<Behaviour>(words.filtering);
        }
        if (wanted) engine::nat::put(nat.exceptions, rule);
        return 0;
    });
}

void addTypes(CLI::App& rules, Context& context)
{
    const auto words = std::make_shared<NatWords>();
    const RuleList list{
        rules,     context, words, "nat-types", "Devices or ports whose NAT type is another",
        &listTypes};
    const PartWords part{"DEVICE", "Internal address or network", "Only these ports of the device"};
    auto* set =
        list.verb("set", "What is left out is as for UDP in general", part, &changeType, true);
    set->add_option("--mapping", words->mapping, "Which remotes a mapping is used for")
        ->check(behaviourWords());
    set->add_option("--filtering", words->filtering, "Who may answer")->check(behaviourWords());
    list.verb("remove", "Back to the general NAT type", part, &changeType, false);
}

// ---- destinations without translation -----------------------------------------------------------

int listUntranslated(Context& context)
{
    return showPart(context, QStringLiteral("untranslated"), [](const engine::nat::NatConfig& nat) {
        Table table({QStringLiteral("DESTINATIONS"), QStringLiteral("PORTS")});
        for (const auto& rule : nat.untranslated) {
            table.add({qt(rule.destinations.toString()), portsWord(rule.ports)});
        }
        return table.isEmpty() ? QStringLiteral("Everything is translated.\n") : table.text();
    });
}

int changeUntranslated(Context& context, const NatWords& words, bool wanted)
{
    const auto part = partOf(context, words);
    if (!part) return context.status();
    const engine::nat::Untranslated rule{part->first, part->second};
    return changeNat(context, [&](engine::nat::NatConfig& nat) -> int {
        const bool there = std::erase(nat.untranslated, rule) != 0;
        if (!wanted && !there) {
            return context.fail(
                QStringLiteral("There is no such rule for %1.").arg(qt(words.value)));
        }
        if (wanted) nat.untranslated.push_back(rule);
        return 0;
    });
}

void addUntranslated(CLI::App& rules, Context& context)
{
    const RuleList list{rules,
                        context,
                        std::make_shared<NatWords>(),
                        "untranslated",
                        "Destinations that are reached with the devices' own addresses",
                        &listUntranslated};
    const PartWords part{"DESTINATIONS", "Address or network", "Only these remote ports"};
    list.verb("add", "The far side must know the way to the internal network", part,
              &changeUntranslated, true);
    list.verb("remove", "Translate again", part, &changeUntranslated, false);
}

void addNat(CLI::App& rules, Context& context)
{
    const auto words = std::make_shared<NatWords>();
    auto* nat = rules.add_subcommand("nat", "How the NAT behaves (RFC 4787)");
    nat->require_subcommand(1);
    onCall(nat->add_subcommand("show", "Behaviour per protocol"), context,
           [&context] { return showNat(context); });
    auto* set = nat->add_subcommand("set", "Change it");
    set->add_option("PROTOCOL", words->protocol, "tcp, udp, icmp or all")->required();
    set->add_option("--mapping", words->mapping, "Which remotes a mapping is used for")
        ->check(behaviourWords());
    set->add_option("--filtering", words->filtering, "Who may answer")->check(behaviourWords());
    set->add_option("--ports", words->ports, "External ports that mappings may use");
    onCall(set, context, [&context, words] { return setNat(context, *words); });
    auto* flag = nat->add_subcommand(
        "switch",
        "port-parity, preserve-ports, hairpinning, inbound-refresh, clamp-mss, syn-proxy");
    flag->add_option("NAME", words->name, "Which")->required();
    flag->add_option("VALUE", words->value, "on or off")
        ->required()
        ->check(CLI::IsMember({"on", "off"}));
    onCall(flag, context, [&context, words] { return setFlag(context, *words); });

    auto* pings = nat->add_subcommand(
        "pings",
        "Which pings from outside this computer answers; large ones show that devices "
        "share its address");
    pings->add_option("WHICH", words->value, "small, all or none")
        ->required()
        ->check(CLI::IsMember({"small", "all", "none"}));
    onCall(pings, context, [&context, words] { return setPings(context, *words); });

    auto* timers = rules.add_subcommand("timers", "How long idle sessions are kept");
    timers->require_subcommand(1);
    onCall(timers->add_subcommand("show", "All timers"), context,
           [&context] { return showTimers(context); });
    auto* timer = timers->add_subcommand("set", "Change one");
    timer->add_option("NAME", words->name, "As the list names it")->required();
    timer->add_option("TIME", words->value, "90s, 5min, 2h")->required();
    onCall(timer, context, [&context, words] { return setTimer(context, *words); });

    auto* limits = rules.add_subcommand("limits", "What one device may hold");
    limits->require_subcommand(1);
    onCall(limits->add_subcommand("show", "All limits"), context,
           [&context] { return showLimits(context); });
    auto* limit = limits->add_subcommand("set", "Change one");
    limit->add_option("NAME", words->name, "As the list names it")->required();
    limit->add_option("NUMBER", words->value, "A number, or automatic")->required();
    onCall(limit, context, [&context, words] { return setLimit(context, *words); });
}

}  // namespace

void addNatRules(CLI::App& rules, Context& context)
{
    addNat(rules, context);
    addTypes(rules, context);
    addUntranslated(rules, context);
}

}  // namespace app::ctl
