#include "app/rules.h"

#include "app/words.h"
#include "engine/io/large_pages.h"
#include "engine/lab/self_test.h"

namespace app {

namespace {

template <typename... Ts>
struct Overload : Ts... {
    using Ts::operator()...;
};
template <typename... Ts>
Overload(Ts...) -> Overload<Ts...>;

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
