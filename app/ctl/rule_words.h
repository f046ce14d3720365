#pragma once

#include "app/ctl/context.h"
#include "engine/net/endpoint.h"
#include "engine/net/ip_protocol.h"
#include "engine/policy/passthrough_policy.h"

#include <QString>

#include <CLI/App.hpp>
#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// What the verbs about rules have in common. Readers of words complain by themselves; the caller
/// ends with Context::status() then.
namespace app::ctl {

[[nodiscard]] QString qt(std::string_view text);
[[nodiscard]] std::optional<engine::net::Ipv4Address> addressOf(Context& context,
                                                                const std::string& word);
/// 1 to 65535; the caller complains.
[[nodiscard]] std::optional<engine::net::Port> portOf(std::string_view text);
/// --on-live finish|drop, for rules that take something away from what lives.
void addOnLive(CLI::App& command, std::string& word);
[[nodiscard]] engine::policy::OnLive onLiveOf(const std::string& word);
/// "8080" or "8000-8010".
[[nodiscard]] std::optional<engine::net::PortRange> rangeOf(Context& context,
                                                            const std::string& word);
[[nodiscard]] QString portsText(const engine::net::PortRange& range);

/// What the command does when it was the one that was typed.
template <typename Action>
void onCall(CLI::App* command, Context& context, Action action)
{
    command->callback([&context, action] { context.action = action; });
}

/// A number that no rule has yet.
template <typename Rule>
std::uint32_t freeId(const std::vector<Rule>& rules)
{
    std::uint32_t id = 1;
    for (const Rule& rule : rules) {
        id = std::max(id, rule.id + 1);
    }
    return id;
}

}  // namespace app::ctl
