#include "app/storage/rules_store.h"

#include "app/nat_settings.h"
#include "app/words.h"

#include <charconv>
#include <type_traits>
#include <utility>

namespace app::storage {

using engine::Err;
using engine::Result;
using engine::net::Ipv4Address;
using engine::net::Port;
using engine::net::Prefix;
using Done = Result<void, StorageError>;

namespace {

std::int64_t number(Ipv4Address address)
{
    return address.hostOrder();
}
std::int64_t number(Port port)
{
    return port.hostOrder();
}
Ipv4Address addressAt(const Row& row, int column)
{
    return Ipv4Address{static_cast<std::uint32_t>(row.integer(column))};
}
Port portAt(const Row& row, int column)
{
    return Port{static_cast<std::uint16_t>(row.integer(column))};
}
Prefix prefixAt(const Row& row, int column)
{
    return {addressAt(row, column), static_cast<std::uint8_t>(row.integer(column + 1))};
}

/// Every number of NatConfig under its name in nat_setting, so that saving and loading cannot
/// disagree.
template <typename Config, typename Visitor>
void visitNat(Config& nat, const Visitor& visit)
{
    visit("tcp-mapping", nat.tcp.mapping);
    visit("tcp-filtering", nat.tcp.filtering);
    visit("udp-mapping", nat.udp.mapping);
    visit("udp-filtering", nat.udp.filtering);
    visit("icmp-mapping", nat.icmp.mapping);
    visit("icmp-filtering", nat.icmp.filtering);
    visitTimers(nat, visit);
    visitLimits(nat, visit);
    visit("first-port", nat.ports.first);
    visit("last-port", nat.ports.last);
    visitFlags(nat, visit);
    visit("pings-from-outside", nat.pings);
}

struct ToNumber {
    std::int64_t operator()(engine::nat::Behaviour value) const
    {
        return static_cast<std::int64_t>(value);
    }
    std::int64_t operator()(engine::nat::PingsFromOutside value) const
    {
        return static_cast<std::int64_t>(value);
    }
    std::int64_t operator()(engine::Duration value) const
    {
        return std::chrono::duration_cast<std::chrono::milliseconds>(value).count();
    }
    std::int64_t operator()(std::uint32_t value) const { return value; }
    std::int64_t operator()(Port value) const { return value.hostOrder(); }
    std::int64_t operator()(bool value) const { return value ? 1 : 0; }
};

struct FromNumber {
    std::int64_t number;
    void operator()(engine::nat::Behaviour& value) const
    {
        if (number >= 0 && number <= 2) value = static_cast<engine::nat::Behaviour>(number);
    }
    void operator()(engine::nat::PingsFromOutside& value) const
    {
        if (number >= 0 && number <= 2) value = static_cast<engine::nat::PingsFromOutside>(number);
    }
    void operator()(engine::Duration& value) const
    {
        if (number >= 0 && number <= std::int64_t{1000} * 86400 * 3650) {
            value = std::chrono::milliseconds(number);
        }
    }
    void operator()(std::uint32_t& value) const
    {
        if (number >= 0 && number <= 0xffffffffLL) value = static_cast<std::uint32_t>(number);
    }
    void operator()(Port& value) const
    {
        if (number >= 0 && number <= 65535) value = Port{static_cast<std::uint16_t>(number)};
    }
    void operator()(bool& value) const { value = number != 0; }
};

Done saveForwards(Database& database, const std::vector<engine::policy::PortForward>& forwards)
{
    if (auto done = database.run("DELETE FROM port_forward"); !done) return done;
    for (const auto& forward : forwards) {
        auto done = database.run(
            "INSERT INTO port_forward VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            {std::int64_t{forward.id}, std::string_view{forward.name},
             std::int64_t{forward.enabled ? 1 : 0}, static_cast<std::int64_t>(forward.protocol),
             number(forward.externalPorts.first), number(forward.externalPorts.last),
             number(forward.internalAddress), number(forward.internalFirst),
             std::int64_t{forward.hairpin ? 1 : 0}, number(forward.allowedRemotes.network()),
             std::int64_t{forward.allowedRemotes.length()}});
        if (!done) return done;
    }
    return {};
}

Done saveOneToOnes(Database& database, const std::vector<engine::policy::OneToOne>& rules)
{
    if (auto done = database.run("DELETE FROM one_to_one"); !done) return done;
    for (const auto& rule : rules) {
        auto done = database.run(
            "INSERT INTO one_to_one VALUES (?, ?, ?, ?, ?)",
            {std::int64_t{rule.id}, std::string_view{rule.name}, std::int64_t{rule.enabled ? 1 : 0},
             number(rule.internalAddress), number(rule.externalAddress)});
        if (!done) return done;
    }
    return {};
}

Done saveDeviceRules(Database& database, const std::vector<engine::policy::DeviceRule>& rules)
{
    if (auto done = database.run("DELETE FROM device_rule"); !done) return done;
    for (const auto& rule : rules) {
        const Value limit =
            rule.sessionLimit ? Value{std::int64_t{*rule.sessionLimit}} : Value{nullptr};
        auto done = database.run("INSERT INTO device_rule VALUES (?, ?, ?, ?, ?)",
                                 {std::int64_t{rule.id}, std::string_view{rule.name},
                                  number(rule.address), wordOf(rule.access), limit});
        if (!done) return done;
    }
    return {};
}

Done saveSwitch(Database& database, engine::net::VpnProtocol protocol,
                const engine::policy::PassthroughSwitch& value)
{
    const std::string_view word = engine::net::textOf(protocol).word;
    if (auto done = database.run("INSERT OR REPLACE INTO passthrough_switch VALUES (?, ?)",
                                 {word, wordOf(value.mode)});
        !done) {
        return done;
    }
    if (auto done = database.run("DELETE FROM passthrough_exception WHERE protocol = ?", {word});
        !done) {
        return done;
    }
    std::int64_t position = 0;
    for (const auto& exception : value.exceptions) {
        auto done = database.run(
            "INSERT INTO passthrough_exception VALUES (?, ?, ?, ?, ?, ?, ?)",
            {word, position++, number(exception.device.network()),
             std::int64_t{exception.device.length()}, number(exception.server.network()),
             std::int64_t{exception.server.length()}, wordOf(exception.mode)});
        if (!done) return done;
    }
    return {};
}

Done saveNat(Database& database, const engine::nat::NatConfig& nat)
{
    Done result;
    visitNat(nat, [&](std::string_view name, const auto& value) {
        if (!result) return;
        result = database.run("INSERT OR REPLACE INTO nat_setting VALUES (?, ?)",
                              {name, ToNumber{}(value)});
    });
    if (result) result = database.run("DELETE FROM untranslated");
    if (result) result = database.run("DELETE FROM behaviour_exception");
    std::int64_t position = 0;
    for (const auto& rule : nat.untranslated) {
        if (!result) return result;
        result = database.run("INSERT INTO untranslated VALUES (?, ?, ?, ?, ?)",
                              {position++, number(rule.destinations.network()),
                               std::int64_t{rule.destinations.length()}, number(rule.ports.first),
                               number(rule.ports.last)});
    }
    for (const auto& rule : nat.exceptions) {
        if (!result) return result;
        result = database.run(
            "INSERT INTO behaviour_exception VALUES (?, ?, ?, ?, ?, ?, ?)",
            {position++, number(rule.devices.network()), std::int64_t{rule.devices.length()},
             number(rule.ports.first), number(rule.ports.last), wordOf(rule.behaviour.mapping),
             wordOf(rule.behaviour.filtering)});
    }
    return result;
}

Done saveText(Database& database, std::string_view name, std::string_view value)
{
    return database.run("INSERT OR REPLACE INTO setting VALUES (?, ?)", {name, value});
}

constexpr std::string_view kWindowPrefix = "window.";

void readSetting(Rules& rules, const std::string& name, const std::string& value)
{
    Settings& settings = rules.settings;
    const auto asNumber = [&](std::uint32_t& target) {
        std::uint32_t parsed = 0;
        const auto end = value.data() + value.size();
        if (const auto [last, error] = std::from_chars(value.data(), end, parsed);
            error == std::errc{} && last == end) {
            target = parsed;
        }
    };
    if (name == "retention-days") asNumber(settings.retentionDays);
    if (name == "retention-megabytes") asNumber(settings.retentionMegabytes);
    if (name == "on-live") {
        settings.onLive = fromWord<engine::policy::OnLive>(value).value_or(settings.onLive);
    }
    if (name == "exposed-host") {
        rules.exposedHost = Ipv4Address::parse(value).value_or(Ipv4Address{});
    }
    if (name.starts_with(kWindowPrefix)) settings.window[name.substr(kWindowPrefix.size())] = value;
}

std::optional<engine::net::MacAddress> parseMac(std::string_view text)
{
    std::array<std::uint8_t, 6> octets{};
    if (text.size() != 17) return std::nullopt;
    for (std::size_t i = 0; i < 6; ++i) {
        const char* first = text.data() + i * 3;
        const auto [last, error] = std::from_chars(first, first + 2, octets[i], 16);
        if (error != std::errc{} || last != first + 2) return std::nullopt;
        if (i < 5 && text[i * 3 + 2] != ':') return std::nullopt;
    }
    return engine::net::MacAddress{octets};
}

}  // namespace

RulesStore RulesStore::openIn(const std::string& directory)
{
    if (directory.empty()) {
        auto database = Database::open({}, Database::Access::ReadWrite, Database::Durability::Full);
        if (database && database->migrate(rulesMigrations())) {
            return RulesStore{{std::make_unique<Database>(std::move(*database)), true, {}}};
        }
        return RulesStore{{nullptr, false, "Rules cannot be kept."}};
    }
    return RulesStore{
        openOrRepair(directory + "/rules.db", rulesMigrations(), Database::Durability::Full, true)};
}

RulesStore::RulesStore(OpenedDatabase opened)
    : m_opened(std::move(opened)), m_message(m_opened.message)
{}

Result<Rules, StorageError> RulesStore::load()
{
    Rules rules;
    if (!m_opened.database) return rules;
    Database& database = *m_opened.database;
    Done done = database.query(
        "SELECT id, name, enabled, protocol, external_first, external_last, internal_address,"
        " internal_first, hairpin, remote_network, remote_length FROM port_forward ORDER BY id",
        {}, [&](const Row& row) {
            engine::policy::PortForward forward;
            forward.id = static_cast<std::uint32_t>(row.integer(0));
            forward.name = row.text(1);
            forward.enabled = row.integer(2) != 0;
            forward.protocol = static_cast<engine::net::IpProtocol>(row.integer(3));
            forward.externalPorts = {portAt(row, 4), portAt(row, 5)};
            forward.internalAddress = addressAt(row, 6);
            forward.internalFirst = portAt(row, 7);
            forward.hairpin = row.integer(8) != 0;
            forward.allowedRemotes = prefixAt(row, 9);
            rules.portForwards.push_back(std::move(forward));
        });
    if (!done) return Err{done.error()};
    done = database.query(
        "SELECT id, name, enabled, internal_address, external_address FROM one_to_one ORDER BY id",
        {}, [&](const Row& row) {
            engine::policy::OneToOne rule;
            rule.id = static_cast<std::uint32_t>(row.integer(0));
            rule.name = row.text(1);
            rule.enabled = row.integer(2) != 0;
            rule.internalAddress = addressAt(row, 3);
            rule.externalAddress = addressAt(row, 4);
            rules.oneToOnes.push_back(std::move(rule));
        });
    if (!done) return Err{done.error()};
    done = database.query(
        "SELECT id, name, address, access, session_limit FROM device_rule ORDER BY id", {},
        [&](const Row& row) {
            const auto access = fromWord<engine::policy::DeviceAccess>(row.text(3));
            if (!access) return;
            engine::policy::DeviceRule rule;
            rule.id = static_cast<std::uint32_t>(row.integer(0));
            rule.name = row.text(1);
            rule.address = addressAt(row, 2);
            rule.access = *access;
            if (!row.isNull(4)) rule.sessionLimit = static_cast<std::uint32_t>(row.integer(4));
            rules.deviceRules.push_back(std::move(rule));
        });
    if (!done) return Err{done.error()};

    std::map<engine::net::VpnProtocol, engine::policy::PassthroughSwitch> switches;
    done = database.query("SELECT protocol, mode FROM passthrough_switch", {}, [&](const Row& row) {
        const auto protocol = engine::net::vpnProtocolFromWord(row.text(0));
        const auto mode = fromWord<engine::policy::PassthroughMode>(row.text(1));
        if (protocol && mode) switches[*protocol].mode = *mode;
    });
    if (!done) return Err{done.error()};
    done = database.query(
        "SELECT protocol, device_network, device_length, server_network, server_length, mode"
        " FROM passthrough_exception ORDER BY protocol, position",
        {}, [&](const Row& row) {
            const auto protocol = engine::net::vpnProtocolFromWord(row.text(0));
            const auto mode = fromWord<engine::policy::PassthroughMode>(row.text(5));
            if (!protocol || !mode) return;
            switches[*protocol].exceptions.push_back({prefixAt(row, 1), prefixAt(row, 3), *mode});
        });
    if (!done) return Err{done.error()};
    for (auto& [protocol, value] : switches) {
        rules.passthrough.set(protocol, std::move(value));
    }

    done = database.query("SELECT name, value FROM nat_setting", {}, [&](const Row& row) {
        const std::string stored = row.text(0);
        visitNat(rules.nat, [&](std::string_view name, auto& value) {
            if (name == stored) FromNumber{row.integer(1)}(value);
        });
    });
    if (!done) return Err{done.error()};
    done = database.query(
        "SELECT network, length, first_port, last_port FROM untranslated ORDER BY position", {},
        [&](const Row& row) {
            rules.nat.untranslated.push_back({prefixAt(row, 0), {portAt(row, 2), portAt(row, 3)}});
        });
    if (!done) return Err{done.error()};
    done = database.query(
        "SELECT network, length, first_port, last_port, mapping, filtering"
        " FROM behaviour_exception ORDER BY position",
        {}, [&](const Row& row) {
            const auto mapping = fromWord<engine::nat::Behaviour>(row.text(4));
            const auto filtering = fromWord<engine::nat::Behaviour>(row.text(5));
            if (!mapping || !filtering) return;
            rules.nat.exceptions.push_back(
                {prefixAt(row, 0), {portAt(row, 2), portAt(row, 3)}, {*mapping, *filtering}});
        });
    if (!done) return Err{done.error()};
    done = database.query("SELECT name, value FROM setting", {},
                          [&](const Row& row) { readSetting(rules, row.text(0), row.text(1)); });
    if (!done) return Err{done.error()};
    done = database.query("SELECT mac, name FROM device_name", {}, [&](const Row& row) {
        if (const auto mac = parseMac(row.text(0))) rules.deviceNames[*mac] = row.text(1);
    });
    if (!done) return Err{done.error()};
    return rules;
}

Done RulesStore::changed(const std::function<Done()>& work)
{
    if (!m_opened.database || !m_opened.writable) {
        return Err{
            StorageError{StorageError::Kind::ReadOnly, "The rule was not saved. " + m_message}};
    }
    return m_opened.database->transaction(work);
}

Done RulesStore::save(const Rules& rules, const engine::Command& command)
{
    return changed([&]() -> Done {
        Database& database = *m_opened.database;
        return std::visit(
            [&](const auto& set) -> Done {
                using Set = std::decay_t<decltype(set)>;
                if constexpr (std::is_same_v<Set, engine::SetNat>) {
                    return saveNat(database, rules.nat);
                } else if constexpr (std::is_same_v<Set, engine::SetPassthrough>) {
                    return saveSwitch(database, set.protocol, rules.passthrough.of(set.protocol));
                } else if constexpr (std::is_same_v<Set, engine::SetPortForwards>) {
                    return saveForwards(database, rules.portForwards);
                } else if constexpr (std::is_same_v<Set, engine::SetOneToOnes>) {
                    return saveOneToOnes(database, rules.oneToOnes);
                } else if constexpr (std::is_same_v<Set, engine::SetDeviceRules>) {
                    return saveDeviceRules(database, rules.deviceRules);
                } else if constexpr (std::is_same_v<Set, engine::SetExposedHost>) {
                    return saveText(database, "exposed-host",
                                    rules.exposedHost.isUnspecified()
                                        ? std::string{}
                                        : rules.exposedHost.toString());
                } else {
                    return {};
                }
            },
            command);
    });
}

Done RulesStore::saveSettings(const Settings& settings)
{
    return changed([&]() -> Done {
        Database& database = *m_opened.database;
        const std::string days = std::to_string(settings.retentionDays);
        const std::string megabytes = std::to_string(settings.retentionMegabytes);
        if (auto done = saveText(database, "retention-days", days); !done) return done;
        if (auto done = saveText(database, "retention-megabytes", megabytes); !done) return done;
        if (auto done = saveText(database, "on-live", wordOf(settings.onLive)); !done) return done;
        for (const auto& [name, value] : settings.window) {
            const std::string prefixed = std::string(kWindowPrefix) + name;
            if (auto done = saveText(database, prefixed, value); !done) return done;
        }
        return {};
    });
}

Done RulesStore::saveDeviceName(const engine::net::MacAddress& device, const std::string& name)
{
    return changed([&]() -> Done {
        const std::string mac = device.toString();
        if (name.empty()) {
            return m_opened.database->run("DELETE FROM device_name WHERE mac = ?",
                                          {std::string_view{mac}});
        }
        return m_opened.database->run("INSERT OR REPLACE INTO device_name VALUES (?, ?)",
                                      {std::string_view{mac}, std::string_view{name}});
    });
}

}  // namespace app::storage
