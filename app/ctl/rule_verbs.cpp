#include "app/control/json.h"
#include "app/ctl/context.h"
#include "app/ctl/text.h"
#include "app/words.h"

#include <CLI/Validators.hpp>
#include <algorithm>
#include <charconv>
#include <memory>
#include <string>

namespace app::ctl {

namespace {

using engine::nat::Behaviour;
using engine::net::IpProtocol;
using engine::net::Ipv4Address;
using engine::net::Port;
using engine::net::PortRange;

QString qt(std::string_view text)
{
    return QString::fromUtf8(text.data(), static_cast<qsizetype>(text.size()));
}

std::optional<Ipv4Address> addressOf(Context& context, const std::string& word)
{
    const auto address = Ipv4Address::parse(word);
    if (!address) context.fail(QStringLiteral("%1 is no IPv4 address.").arg(qt(word)), kExitUsage);
    return address;
}

std::optional<Port> portOf(std::string_view text)
{
    std::uint16_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size() || number == 0)
        return std::nullopt;
    return Port{number};
}

/// "8080" or "8000-8010".
std::optional<PortRange> rangeOf(Context& context, const std::string& word)
{
    const auto dash = word.find('-');
    const auto first = portOf(std::string_view(word).substr(0, dash));
    const auto last =
        dash == std::string::npos ? first : portOf(std::string_view(word).substr(dash + 1));
    if (!first || !last || *last < *first) {
        context.fail(QStringLiteral("%1 is no port or range like 8000-8010.").arg(qt(word)),
                     kExitUsage);
        return std::nullopt;
    }
    return PortRange{*first, *last};
}

bool hasPorts(IpProtocol protocol)
{
    return protocol == IpProtocol::Tcp || protocol == IpProtocol::Udp ||
           protocol == IpProtocol::Sctp || protocol == IpProtocol::Dccp ||
           protocol == IpProtocol::UdpLite;
}

QString portsText(const PortRange& range)
{
    return range.first == range.last
               ? QString::number(range.first.hostOrder())
               : QStringLiteral("%1-%2").arg(range.first.hostOrder()).arg(range.last.hostOrder());
}

template <typename Rule>
std::uint32_t freeId(const std::vector<Rule>& rules)
{
    std::uint32_t id = 1;
    for (const Rule& rule : rules) {
        id = std::max(id, rule.id + 1);
    }
    return id;
}

std::string labelOf(const engine::policy::PortForward& forward)
{
    return forward.name.empty() ? "forward " + std::to_string(forward.id)
                                : forward.name + " (" + std::to_string(forward.id) + ")";
}

// ---- port forwards ------------------------------------------------------------------------------

struct ForwardWords {
    std::string protocol;
    std::string external;
    std::string to;
    std::string toPort;
    std::string name;
    std::string from = "0.0.0.0/0";
    bool noHairpin = false;
    bool disabled = false;
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
            rows.append(row);
        }
        printJson(rows);
        return 0;
    }
    Table table({QStringLiteral("ID"), QStringLiteral("NAME"), QStringLiteral("ON"),
                 QStringLiteral("PROTOCOL"), QStringLiteral("EXTERNAL"), QStringLiteral("TO"),
                 QStringLiteral("FROM"), QStringLiteral("HAIRPIN"), QStringLiteral("HITS"),
                 QStringLiteral("LIVE")});
    for (const auto& forward : rules->portForwards) {
        const bool ports = hasPorts(forward.protocol);
        QString to = qt(forward.internalAddress.toString());
        if (ports) {
            const auto last = static_cast<std::uint16_t>(forward.internalFirst.hostOrder() +
                                                         forward.externalPorts.size() - 1);
            to += QLatin1Char(':') + portsText({forward.internalFirst, Port{last}});
        }
        const QJsonObject status = liveOf(forward.id);
        table.add({QString::number(forward.id), harmless(QString::fromStdString(forward.name)),
                   forward.enabled ? QStringLiteral("yes") : QStringLiteral("no"),
                   qt(wordOf(forward.protocol)),
                   ports ? portsText(forward.externalPorts) : QStringLiteral("-"), to,
                   forward.allowedRemotes.length() == 0 ? QStringLiteral("anybody")
                                                        : qt(forward.allowedRemotes.toString()),
                   forward.hairpin ? QStringLiteral("yes") : QStringLiteral("no"),
                   QString::number(status.value(QStringLiteral("hits")).toInteger()),
                   QString::number(status.value(QStringLiteral("liveSessions")).toInteger())});
    }
    print(table.isEmpty() ? QStringLiteral("No port forwards.\n") : table.text());
    return 0;
}

int addForward(Context& context, const ForwardWords& words)
{
    engine::policy::PortForward forward;
    const auto protocol = ipProtocolFromWord(words.protocol);
    if (!protocol) {
        return context.fail(
            QStringLiteral("%1 is no protocol; try tcp, udp, gre or esp.").arg(qt(words.protocol)),
            kExitUsage);
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
                QStringLiteral("%1 already forwards %2 %3; disable or remove it first.")
                    .arg(harmless(QString::fromStdString(labelOf(other))),
                         qt(wordOf(other.protocol)),
                         hasPorts(other.protocol) ? portsText(other.externalPorts) : QString()));
        }
    }
    forward.id = freeId(rules->portForwards);
    rules->portForwards.push_back(std::move(forward));
    return context.apply(engine::SetPortForwards{rules->portForwards}, rules->revision);
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
    return context.apply(engine::SetPortForwards{rules->portForwards}, rules->revision);
}

void addForwards(CLI::App& rules, Context& context)
{
    const auto words = std::make_shared<ForwardWords>();
    auto* forwards =
        rules.add_subcommand("forwards", "Connections from outside to a device inside");
    forwards->require_subcommand(1);
    forwards->add_subcommand("list", "Every forward with its hits")->callback([&context] {
        context.action = [&context] {
            return listForwards(context);
        };
    });
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
    add->callback([&context, words] {
        context.action = [&context, words] {
            return addForward(context, *words);
        };
    });
    const auto byId = [&](const char* name, const char* help,
                          const std::function<void(Rules&, std::size_t)>& change) {
        auto* command = forwards->add_subcommand(name, help);
        command->add_option("ID", words->id, "Number in the list")->required();
        command->callback([&context, words, change] {
            context.action = [&context, words, change] {
                return changeForward(context, *words, change);
            };
        });
    };
    byId("remove", "Remove a forward", [](Rules& all, std::size_t index) {
        all.portForwards.erase(all.portForwards.begin() + static_cast<std::ptrdiff_t>(index));
    });
    byId("enable", "Turn a forward on",
         [](Rules& all, std::size_t index) { all.portForwards[index].enabled = true; });
    byId("disable", "Turn a forward off and keep it",
         [](Rules& all, std::size_t index) { all.portForwards[index].enabled = false; });
}

// ---- NAT behaviour, timers, limits --------------------------------------------------------------

template <typename Nat, typename Visitor>
void visitTimers(Nat& nat, const Visitor& visit)
{
    visit("udp-one-way", nat.timers.udpOneWay);
    visit("udp-two-way", nat.timers.udpTwoWay);
    visit("tcp-established", nat.timers.tcpEstablished);
    visit("tcp-transitory", nat.timers.tcpTransitory);
    visit("icmp-query", nat.timers.icmpQuery);
    visit("portless", nat.timers.portless);
    visit("esp", nat.timers.esp);
}
template <typename Nat, typename Visitor>
void visitLimits(Nat& nat, const Visitor& visit)
{
    visit("sessions-per-device", nat.limits.sessionsPerDevice);
    visit("ports-per-device", nat.limits.portsPerDevice);
    visit("new-sessions-per-second", nat.limits.newSessionsPerSecond);
}
template <typename Nat, typename Visitor>
void visitBehaviours(Nat& nat, const Visitor& visit)
{
    visit("tcp", nat.tcp);
    visit("udp", nat.udp);
    visit("icmp", nat.icmp);
}
template <typename Nat, typename Visitor>
void visitFlags(Nat& nat, const Visitor& visit)
{
    visit("port-parity", nat.portParity);
    visit("preserve-ports", nat.preservePorts);
    visit("hairpinning", nat.hairpinning);
    visit("inbound-refresh", nat.inboundRefresh);
    visit("clamp-mss", nat.clampMss);
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
    print(behaviours.text() + QLatin1Char('\n') + flags.text());
    return 0;
}

int showTimers(Context& context)
{
    const auto rules = context.rules();
    if (!rules) return context.status();
    if (context.json) {
        printJson(control::toJson(*rules)
                      .value(QStringLiteral("nat"))
                      .toObject()
                      .value(QStringLiteral("timers")));
        return 0;
    }
    Table table({QStringLiteral("TIMER"), QStringLiteral("IDLE FOR")});
    visitTimers(rules->nat, [&](const char* name, engine::Duration value) {
        table.add({QLatin1String(name), span(value)});
    });
    print(table.text());
    return 0;
}

int showLimits(Context& context)
{
    const auto rules = context.rules();
    if (!rules) return context.status();
    if (context.json) {
        printJson(control::toJson(*rules)
                      .value(QStringLiteral("nat"))
                      .toObject()
                      .value(QStringLiteral("limits")));
        return 0;
    }
    Table table({QStringLiteral("LIMIT"), QStringLiteral("VALUE")});
    visitLimits(rules->nat, [&](const char* name, std::uint32_t value) {
        table.add({QLatin1String(name),
                   value == 0 ? QStringLiteral("automatic") : QString::number(value)});
    });
    print(table.text());
    return 0;
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

/// "90", "90s", "5min", "2h".
std::optional<engine::Duration> durationOf(const std::string& text)
{
    std::uint32_t number = 0;
    const auto end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, number);
    if (error != std::errc{}) return std::nullopt;
    const std::string_view unit(rest, static_cast<std::size_t>(end - rest));
    if (unit.empty() || unit == "s") return std::chrono::seconds(number);
    if (unit == "min" || unit == "m") return std::chrono::minutes(number);
    if (unit == "h") return std::chrono::hours(number);
    return std::nullopt;
}

int setTimer(Context& context, const NatWords& words)
{
    const auto duration = durationOf(words.value);
    if (!duration) {
        return context.fail(
            QStringLiteral("%1 is no time like 90s, 5min or 2h.").arg(qt(words.value)), kExitUsage);
    }
    return changeNat(context, [&](engine::nat::NatConfig& nat) -> int {
        bool any = false;
        visitTimers(nat, [&](const std::string& name, engine::Duration& value) {
            if (name != words.name) return;
            any = true;
            value = *duration;
        });
        if (any) return 0;
        return context.fail(QStringLiteral("There is no timer %1.").arg(qt(words.name)),
                            kExitUsage);
    });
}

int setLimit(Context& context, const NatWords& words)
{
    std::uint32_t number = 0;
    const auto end = words.value.data() + words.value.size();
    const auto [rest, error] = std::from_chars(words.value.data(), end, number);
    if (words.value != "automatic" && (error != std::errc{} || rest != end)) {
        return context.fail(QStringLiteral("%1 is no number.").arg(qt(words.value)), kExitUsage);
    }
    return changeNat(context, [&](engine::nat::NatConfig& nat) -> int {
        bool any = false;
        visitLimits(nat, [&](const std::string& name, std::uint32_t& value) {
            if (name != words.name) return;
            any = true;
            value = number;
        });
        if (any) return 0;
        return context.fail(QStringLiteral("There is no limit %1.").arg(qt(words.name)),
                            kExitUsage);
    });
}

int setFlag(Context& context, const NatWords& words)
{
    return changeNat(context, [&](engine::nat::NatConfig& nat) -> int {
        bool any = false;
        visitFlags(nat, [&](const std::string& name, bool& value) {
            if (name != words.name) return;
            any = true;
            value = words.value == "on";
        });
        if (any) return 0;
        return context.fail(QStringLiteral("There is no switch %1.").arg(qt(words.name)),
                            kExitUsage);
    });
}

void addNat(CLI::App& rules, Context& context)
{
    const auto words = std::make_shared<NatWords>();
    const CLI::IsMember behaviours(
        {"endpoint-independent", "address-dependent", "address-and-port-dependent"});
    auto* nat = rules.add_subcommand("nat", "How the NAT behaves (RFC 4787)");
    nat->require_subcommand(1);
    nat->add_subcommand("show", "Behaviour per protocol")->callback([&context] {
        context.action = [&context] {
            return showNat(context);
        };
    });
    auto* set = nat->add_subcommand("set", "Change it");
    set->add_option("PROTOCOL", words->protocol, "tcp, udp, icmp or all")->required();
    set->add_option("--mapping", words->mapping, "Which remotes a mapping is used for")
        ->check(behaviours);
    set->add_option("--filtering", words->filtering, "Who may answer")->check(behaviours);
    set->add_option("--ports", words->ports, "External ports that mappings may use");
    set->callback([&context, words] {
        context.action = [&context, words] {
            return setNat(context, *words);
        };
    });
    auto* flag = nat->add_subcommand(
        "switch", "port-parity, preserve-ports, hairpinning, inbound-refresh, clamp-mss");
    flag->add_option("NAME", words->name, "Which")->required();
    flag->add_option("VALUE", words->value, "on or off")
        ->required()
        ->check(CLI::IsMember({"on", "off"}));
    flag->callback([&context, words] {
        context.action = [&context, words] {
            return setFlag(context, *words);
        };
    });

    auto* timers = rules.add_subcommand("timers", "How long idle sessions are kept");
    timers->require_subcommand(1);
    timers->add_subcommand("show", "All timers")->callback([&context] {
        context.action = [&context] {
            return showTimers(context);
        };
    });
    auto* timer = timers->add_subcommand("set", "Change one");
    timer->add_option("NAME", words->name, "As the list names it")->required();
    timer->add_option("TIME", words->value, "90s, 5min, 2h")->required();
    timer->callback([&context, words] {
        context.action = [&context, words] {
            return setTimer(context, *words);
        };
    });

    auto* limits = rules.add_subcommand("limits", "What one device may hold");
    limits->require_subcommand(1);
    limits->add_subcommand("show", "All limits")->callback([&context] {
        context.action = [&context] {
            return showLimits(context);
        };
    });
    auto* limit = limits->add_subcommand("set", "Change one");
    limit->add_option("NAME", words->name, "As the list names it")->required();
    limit->add_option("NUMBER", words->value, "A number, or automatic")->required();
    limit->callback([&context, words] {
        context.action = [&context, words] {
            return setLimit(context, *words);
        };
    });
}

// ---- devices, 1:1 NAT, exposed host -------------------------------------------------------------

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
    return context.apply(engine::SetDeviceRules{list}, rules->revision);
}

void addDevices(CLI::App& rules, Context& context)
{
    const auto words = std::make_shared<DeviceWords>();
    auto* devices = rules.add_subcommand("devices", "What each device may do");
    devices->require_subcommand(1);
    devices->add_subcommand("list", "Every device that was seen or has a rule")
        ->callback([&context] {
            context.action = [&context] {
                return listDevices(context);
            };
        });
    const auto verb = [&](const char* name, const char* help, engine::policy::DeviceAccess access) {
        auto* command = devices->add_subcommand(name, help);
        command->add_option("DEVICE", words->address, "Internal address")->required();
        command->add_option("--sessions", words->limit, "At most so many sessions at once");
        command->callback([&context, words, access] {
            context.action = [&context, words, access] {
                return setDevice(context, *words, access);
            };
        });
    };
    verb("allow", "Everything (removes the rule)", engine::policy::DeviceAccess::Allow);
    verb("block", "Nothing", engine::policy::DeviceAccess::Block);
    verb("vpn-only", "Only recognised VPN tunnels and what reaching them needs",
         engine::policy::DeviceAccess::VpnOnly);
    auto* rename =
        devices->add_subcommand("rename", "Give a device a name; it follows its hardware address");
    rename->add_option("DEVICE", words->address, "Internal address")->required();
    rename->add_option("NAME", words->name, "Empty: none")->required();
    rename->callback([&context, words] {
        context.action = [&context, words]() -> int {
            const auto answer =
                context.ask(QStringLiteral("rename-device"),
                            {{QStringLiteral("device"), qt(words->address)},
                             {QStringLiteral("name"), QString::fromStdString(words->name)}});
            if (!answer) return context.status();
            print(answer->value(QStringLiteral("sentence")).toString() + QLatin1Char('\n'));
            return answer->value(QStringLiteral("saved")).toBool() ? 0 : kExitFailed;
        };
    });
}

struct OneToOneWords {
    std::string internal;
    std::string external;
    std::string name;
    std::uint32_t id = 0;
};

void addOneToOne(CLI::App& rules, Context& context)
{
    const auto words = std::make_shared<OneToOneWords>();
    auto* group =
        rules.add_subcommand("one-to-one", "1:1 NAT: an external address for one device alone");
    group->require_subcommand(1);
    group->add_subcommand("list", "All of them")->callback([&context] {
        context.action = [&context]() -> int {
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
                           qt(rule.internalAddress.toString()),
                           qt(rule.externalAddress.toString())});
            }
            print(table.isEmpty() ? QStringLiteral("No 1:1 NAT.\n") : table.text());
            return 0;
        };
    });
    auto* add = group->add_subcommand("add", "Make one");
    add->add_option("INTERNAL", words->internal, "The device")->required();
    add->add_option("EXTERNAL", words->external, "One of our external addresses")->required();
    add->add_option("--name", words->name, "For people");
    add->callback([&context, words] {
        context.action = [&context, words]() -> int {
            const auto internal = addressOf(context, words->internal);
            const auto external = addressOf(context, words->external);
            if (!internal || !external) return context.status();
            auto all = context.rules();
            if (!all) return context.status();
            all->oneToOnes.push_back(
                {freeId(all->oneToOnes), words->name, true, *internal, *external});
            return context.apply(engine::SetOneToOnes{all->oneToOnes}, all->revision);
        };
    });
    auto* remove = group->add_subcommand("remove", "Remove one");
    remove->add_option("ID", words->id, "Number in the list")->required();
    remove->callback([&context, words] {
        context.action = [&context, words]() -> int {
            auto all = context.rules();
            if (!all) return context.status();
            if (std::erase_if(all->oneToOnes,
                              [&](const auto& rule) { return rule.id == words->id; }) == 0) {
                return context.fail(QStringLiteral("There is no 1:1 NAT %1.").arg(words->id));
            }
            return context.apply(engine::SetOneToOnes{all->oneToOnes}, all->revision);
        };
    });

    auto* exposed =
        rules.add_subcommand("exposed-host", "A device that gets whatever nothing else claims");
    exposed->require_subcommand(1);
    auto* set = exposed->add_subcommand("set", "Expose a device");
    set->add_option("DEVICE", words->internal, "Internal address")->required();
    set->callback([&context, words] {
        context.action = [&context, words]() -> int {
            const auto address = addressOf(context, words->internal);
            if (!address) return context.status();
            return context.apply(engine::SetExposedHost{*address});
        };
    });
    exposed->add_subcommand("clear", "Expose nothing")->callback([&context] {
        context.action = [&context] {
            return context.apply(engine::SetExposedHost{});
        };
    });
    exposed->add_subcommand("show", "Who is exposed")->callback([&context] {
        context.action = [&context]() -> int {
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
        };
    });
}

int step(Context& context, const char* verb)
{
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
    addForwards(*rules, context);
    addNat(*rules, context);
    addDevices(*rules, context);
    addOneToOne(*rules, context);
    rules->add_subcommand("undo", "Take the last change back")->callback([&context] {
        context.action = [&context] {
            return step(context, "undo");
        };
    });
    rules->add_subcommand("redo", "Make it again")->callback([&context] {
        context.action = [&context] {
            return step(context, "redo");
        };
    });
}

}  // namespace app::ctl
