#include "app/rules.h"

#include "app/words.h"
#include "engine/io/large_pages.h"
#include "engine/lab/self_test.h"

#include <algorithm>

namespace app {

namespace {

template <typename... Ts>
struct Overload : Ts... {
    using Ts::operator()...;
};
template <typename... Ts>
Overload(Ts...) -> Overload<Ts...>;

template <typename Value>
void carry(Value& fresh, const Value& before, const Value& changed)
{
    if (changed != before) fresh = changed;
}

/// What the user has taken out goes, what the user has put in comes; everything else stays.
template <typename Rule>
void carry(std::vector<Rule>& fresh, const std::vector<Rule>& before,
           const std::vector<Rule>& changed)
{
    const auto has = [](const std::vector<Rule>& rules, const Rule& rule) {
        return std::ranges::find(rules, rule) != rules.end();
    };
    std::erase_if(fresh,
                  [&](const Rule& rule) { return has(before, rule) && !has(changed, rule); });
    for (Rule rule : changed) {
        if (has(before, rule) || has(fresh, rule)) continue;
        while (std::ranges::find(fresh, rule.id, &Rule::id) != fresh.end())
            ++rule.id;
        fresh.push_back(std::move(rule));
    }
}

}  // namespace

bool isRule(const engine::Command& command)
{
    return std::visit(Overload{
                          [](const engine::SetNat&) { return true; },
                          [](const engine::SetPassthrough&) { return true; },
                          [](const engine::SetPortForwards&) { return true; },
                          [](const engine::SetOneToOnes&) { return true; },
                          [](const engine::SetDeviceRules&) { return true; },
                          [](const engine::SetExposedHost&) { return true; },
                          [](const auto&) { return false; },
                      },
                      command);
}

void record(Rules& rules, const engine::Command& command)
{
    std::visit(Overload{
                   [&](const engine::SetNat& set) { rules.nat = set.config; },
                   [&](const engine::SetPassthrough& set) {
                       rules.passthrough.set(set.protocol, set.value);
                   },
                   [&](const engine::SetPortForwards& set) { rules.portForwards = set.forwards; },
                   [&](const engine::SetOneToOnes& set) { rules.oneToOnes = set.oneToOnes; },
                   [&](const engine::SetDeviceRules& set) { rules.deviceRules = set.rules; },
                   [&](const engine::SetExposedHost& set) { rules.exposedHost = set.address; },
                   [](const auto&) {},
               },
               command);
}

std::optional<engine::Command> restoring(const Rules& rules, const engine::Command& command)
{
    using Answer = std::optional<engine::Command>;
    return std::visit(
        Overload{
            [&](const engine::SetNat&) -> Answer { return engine::SetNat{rules.nat}; },
            [&](const engine::SetPassthrough& set) -> Answer {
                return engine::SetPassthrough{set.protocol, rules.passthrough.of(set.protocol),
                                              set.onLive};
            },
            [&](const engine::SetPortForwards&) -> Answer {
                return engine::SetPortForwards{rules.portForwards};
            },
            [&](const engine::SetOneToOnes&) -> Answer {
                return engine::SetOneToOnes{rules.oneToOnes};
            },
            [&](const engine::SetDeviceRules&) -> Answer {
                return engine::SetDeviceRules{rules.deviceRules};
            },
            [&](const engine::SetExposedHost&) -> Answer {
                return engine::SetExposedHost{rules.exposedHost};
            },
            [](const auto&) -> Answer { return std::nullopt; },
        },
        command);
}

engine::Command sparing(engine::Command command)
{
    const auto spare = [](auto& set) {
        set.onLive = engine::policy::OnLive::Finish;
    };
    std::visit(Overload{
                   [&](engine::SetPortForwards& set) { spare(set); },
                   [&](engine::SetOneToOnes& set) { spare(set); },
                   [&](engine::SetDeviceRules& set) { spare(set); },
                   [&](engine::SetExposedHost& set) { spare(set); },
                   [](auto&) {},
               },
               command);
    return command;
}

void copyInto(engine::EngineConfig& config, const Rules& rules)
{
    config.nat = rules.nat;
    config.passthrough = rules.passthrough;
    config.portForwards = rules.portForwards;
    config.oneToOnes = rules.oneToOnes;
    config.deviceRules = rules.deviceRules;
    config.exposedHost = rules.exposedHost;
    config.memoryAdvice = engine::io::adviseLargePages;
    // The engine says itself when it ran; inside, time and chance are the test's own.
    config.selfTest = [seed = config.seed](engine::net::VpnProtocol protocol,
                                           const engine::policy::PassthroughSwitch& position) {
        return engine::lab::selfTest(protocol, position, seed,
                                     engine::Instant{std::chrono::hours(1)});
    };
}

Rules rulesOf(const engine::EngineConfig& config)
{
    Rules rules;
    rules.nat = config.nat;
    rules.passthrough = config.passthrough;
    rules.portForwards = config.portForwards;
    rules.oneToOnes = config.oneToOnes;
    rules.deviceRules = config.deviceRules;
    rules.exposedHost = config.exposedHost;
    return rules;
}

bool isSame(const Rules& one, const Rules& other)
{
    return one.nat == other.nat &&
           std::ranges::all_of(engine::net::kVpnProtocols,
                               [&](const auto& text) {
                                   return one.passthrough.of(text.protocol) ==
                                          other.passthrough.of(text.protocol);
                               }) &&
           one.portForwards == other.portForwards && one.oneToOnes == other.oneToOnes &&
           one.deviceRules == other.deviceRules && one.exposedHost == other.exposedHost;
}

Rules withChanges(Rules fresh, const Rules& before, const Rules& changed)
{
    carry(fresh.nat, before.nat, changed.nat);
    for (const auto& text : engine::net::kVpnProtocols) {
        engine::policy::PassthroughSwitch position = fresh.passthrough.of(text.protocol);
        carry(position, before.passthrough.of(text.protocol),
              changed.passthrough.of(text.protocol));
        fresh.passthrough.set(text.protocol, std::move(position));
    }
    carry(fresh.portForwards, before.portForwards, changed.portForwards);
    carry(fresh.oneToOnes, before.oneToOnes, changed.oneToOnes);
    carry(fresh.deviceRules, before.deviceRules, changed.deviceRules);
    carry(fresh.exposedHost, before.exposedHost, changed.exposedHost);
    fresh.deviceNames = changed.deviceNames;
    fresh.settings = changed.settings;
    return fresh;
}

std::string describe(const engine::Command& command)
{
    return std::visit(
        Overload{
            [](const engine::SetNat&) -> std::string { return "NAT behaviour changed"; },
            [](const engine::SetPassthrough& set) {
                std::string text{engine::net::textOf(set.protocol).name};
                text += " set to ";
                text += wordOf(set.value.mode);
                if (const auto count = set.value.exceptions.size(); count > 0) {
                    text += count == 1 ? " with 1 exception"
                                       : " with " + std::to_string(count) + " exceptions";
                }
                return text;
            },
            [](const engine::SetPortForwards&) -> std::string { return "Port forwards changed"; },
            [](const engine::SetOneToOnes&) -> std::string { return "1:1 NAT changed"; },
            [](const engine::SetDeviceRules&) -> std::string { return "Device rules changed"; },
            [](const engine::SetExposedHost& set) -> std::string {
                return set.address.isUnspecified()
                           ? "Exposed host removed"
                           : "Exposed host set to " + set.address.toString();
            },
            [](const engine::ResolveHold&) -> std::string { return "Hold resolved"; },
            [](const engine::CloseTunnel&) -> std::string { return "Tunnel closed"; },
            [](const engine::CloseSession&) -> std::string { return "Session closed"; },
            [](const engine::RunSelfTest&) -> std::string { return "Self-test started"; },
            [](const auto&) -> std::string { return "Router changed"; },
        },
        command);
}

}  // namespace app
