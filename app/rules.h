#pragma once

#include "engine/command.h"
#include "engine/config.h"
#include "engine/net/mac_address.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace app {

/// What the program itself is told, besides the engine.
struct Settings {
    std::uint32_t retentionDays = 30;
    std::uint32_t retentionMegabytes = 1024;
    /// What turning a switch off does to live tunnels when nobody says.
    engine::policy::OnLive onLive = engine::policy::OnLive::Hold;
    std::map<std::string, std::string> window;  ///< the window's own, opaque here
    friend bool operator==(const Settings&, const Settings&) = default;
};

/// Everything the user has decided: what rules.db holds and what an engine is started with.
struct Rules {
    engine::nat::NatConfig nat;
    engine::policy::PassthroughPolicy passthrough;
    std::vector<engine::policy::PortForward> portForwards;
    std::vector<engine::policy::OneToOne> oneToOnes;
    std::vector<engine::policy::DeviceRule> deviceRules;
    engine::net::Ipv4Address exposedHost;
    std::map<engine::net::MacAddress, std::string> deviceNames;
    Settings settings;
    /// Grows with every change in this life of the router: who edits a copy can tell that it is
    /// stale. Not stored.
    std::uint64_t revision = 1;
};

/// Whether a command changes rules that outlive the engine.
[[nodiscard]] bool isRule(const engine::Command& command);
/// `rules` after the command; commands that are no rules change nothing.
void record(Rules& rules, const engine::Command& command);
/// The command that brings back what `rules` says about the matter of `command`; none if that is
/// not a rule.
[[nodiscard]] std::optional<engine::Command> restoring(const Rules& rules,
                                                       const engine::Command& command);
/// The same wish, but live sessions that lose by it may finish. Undo and redo are such: what ended
/// would not come back by another undo.
[[nodiscard]] engine::Command sparing(engine::Command command);
/// The rules as part of an engine's first configuration, with the self-test that they may ask for.
void copyInto(engine::EngineConfig& config, const Rules& rules);
/// The other way round: the rules that an engine with this configuration follows. Names of devices
/// and settings are not the engine's.
[[nodiscard]] Rules rulesOf(const engine::EngineConfig& config);
/// Whether an engine would follow both alike.
[[nodiscard]] bool isSame(const Rules& one, const Rules& other);
/// The rules of a new router together with what the user has changed about those of a former one
/// (from `before` to `changed`). Rules of lists keep or get an id of their own.
[[nodiscard]] Rules withChanges(Rules fresh, const Rules& before, const Rules& changed);
/// For people, English: "PPTP set to block".
[[nodiscard]] std::string describe(const engine::Command& command);

}  // namespace app
