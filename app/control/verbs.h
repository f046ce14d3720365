#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace app::control {

/// What a peer needs for a verb or a command. A higher one includes the lower ones.
enum class Permission : std::uint8_t {
    Undecided,  ///< nobody thought about it; a test refuses to pass then, and so does the server
    Read,
    Write,
    Admin,
    Nobody,  ///< not over the socket
};

enum class Verb : std::uint8_t {
    Hello,
    Status,
    Snapshot,
    Tunnels,
    Sessions,
    SessionsEndedBy,
    Rules,
    Devices,
    Host,
    HistoryTunnels,
    HistorySessions,
    HistoryMinutes,
    Watch,
    Apply,
    Undo,
    Redo,
    RenameDevice,
    ChangeSettings,
    RestoreHost,
};

struct VerbText {
    Verb verb = Verb::Hello;
    std::string_view word;
    Permission permission = Permission::Undecided;
};

// clang-format off
inline constexpr std::array kVerbs{
    VerbText{Verb::Hello,           "hello",            Permission::Read},
    VerbText{Verb::Status,          "status",           Permission::Read},
    VerbText{Verb::Snapshot,        "snapshot",         Permission::Read},
    VerbText{Verb::Tunnels,         "tunnels",          Permission::Read},
    VerbText{Verb::Sessions,        "sessions",         Permission::Read},
    VerbText{Verb::SessionsEndedBy, "sessions-ended-by", Permission::Read},
    VerbText{Verb::Rules,           "rules",            Permission::Read},
    VerbText{Verb::Devices,         "devices",          Permission::Read},
    VerbText{Verb::Host,            "host",             Permission::Read},
    VerbText{Verb::HistoryTunnels,  "history-tunnels",  Permission::Read},
    VerbText{Verb::HistorySessions, "history-sessions", Permission::Read},
    VerbText{Verb::HistoryMinutes,  "history-minutes",  Permission::Read},
    VerbText{Verb::Watch,           "watch",            Permission::Read},
    VerbText{Verb::Apply,           "apply",            Permission::Write},
    VerbText{Verb::Undo,            "undo",             Permission::Write},
    VerbText{Verb::Redo,            "redo",             Permission::Write},
    VerbText{Verb::RenameDevice,    "rename-device",    Permission::Write},
    VerbText{Verb::ChangeSettings,  "change-settings",  Permission::Admin},
    VerbText{Verb::RestoreHost,     "restore-host",     Permission::Admin},
};

struct CommandPermission {
    std::string_view command;
    Permission permission = Permission::Undecided;
};
/// The commands of `apply`, by the words of json.h.
inline constexpr std::array kCommandPermissions{
    CommandPermission{"set-internal-side",  Permission::Nobody},
    CommandPermission{"set-external-side",  Permission::Nobody},
    CommandPermission{"set-reserved-ports", Permission::Nobody},
    CommandPermission{"set-nat",            Permission::Admin},
    CommandPermission{"set-passthrough",    Permission::Write},
    CommandPermission{"resolve-hold",       Permission::Write},
    CommandPermission{"set-port-forwards",  Permission::Write},
    CommandPermission{"set-one-to-ones",    Permission::Admin},
    CommandPermission{"set-device-rules",   Permission::Write},
    CommandPermission{"set-exposed-host",   Permission::Admin},
    CommandPermission{"close-tunnel",       Permission::Write},
    CommandPermission{"close-session",      Permission::Write},
    CommandPermission{"run-self-test",      Permission::Write},
};
// clang-format on

[[nodiscard]] constexpr std::optional<VerbText> verbFromWord(std::string_view word)
{
    for (const VerbText& text : kVerbs) {
        if (text.word == word) return text;
    }
    return std::nullopt;
}

[[nodiscard]] constexpr Permission permissionOf(std::string_view command)
{
    for (const CommandPermission& entry : kCommandPermissions) {
        if (entry.command == command) return entry.permission;
    }
    return Permission::Undecided;
}

/// Whether somebody who was granted `granted` may do what needs `needed`.
[[nodiscard]] constexpr bool allows(Permission granted, Permission needed)
{
    return needed != Permission::Undecided && needed != Permission::Nobody && granted >= needed &&
           granted != Permission::Nobody;
}

/// The first verb that nobody gave a permission; empty if there is none.
[[nodiscard]] constexpr std::string_view undecidedVerb(std::span<const VerbText> verbs)
{
    for (const VerbText& text : verbs) {
        if (text.permission == Permission::Undecided) return text.word;
    }
    return {};
}

}  // namespace app::control
