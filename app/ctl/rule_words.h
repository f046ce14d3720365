#pragma once

#include "app/ctl/context.h"
#include "app/qt_text.h"
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

[[nodiscard]] std::optional<engine::net::Ipv4Address> addressOf(Context& context,
                                                                const std::string& word);
/// 1 to 65535; the caller complains.
[[nodiscard]] std::optional<engine::net::Port> portOf(std::string_view text);
/// --dry-run, for verbs that change rules.
void addDryRun(CLI::App& command, Context& context);
/// --on-live finish|drop, for rules that take something away from what lives.
void addOnLive(CLI::App& command, std::string& word);
/// The question what becomes of live sessions; the exit status of a run that has done nothing.
int askOnLive(Context& context, const Context::Effect& effect);
/// Applies such a rule. Where it would end live sessions and nobody has said what becomes of them
/// (`onLive` is empty), it does nothing but say how many they are and ask.
template <typename Wish>
int applyRule(Context& context, Wish wish, const std::string& onLive,
              std::optional<std::uint64_t> revision = std::nullopt)
{
    wish.onLive =
        onLive == "finish" ? engine::policy::OnLive::Finish : engine::policy::OnLive::Drop;
    if (onLive.empty() && !context.dryRun) {
        const auto effect = context.effectOf(wish);
        if (!effect) return context.status();
        if (effect->sessions > 0) return askOnLive(context, *effect);
    }
    return context.apply(wish, revision);
}
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
