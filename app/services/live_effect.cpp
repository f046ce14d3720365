#include "app/services/live_effect.h"

#include "app/words.h"

#include <algorithm>

namespace app::services {

namespace {

std::string count(std::uint32_t number, const std::string& thing)
{
    return std::to_string(number) + ' ' + thing + (number == 1 ? "" : "s");
}

void add(std::string& text, const std::string& sentence)
{
    if (!text.empty()) text += ' ';
    text += sentence;
}

void forPassthrough(LiveEffect& effect, const engine::Snapshot& live,
                    const engine::SetPassthrough& set)
{
    const auto& status = live.protocols[static_cast<std::size_t>(set.protocol)];
    const std::uint32_t number = status.liveTunnels;
    if (number == 0) return;
    const std::string tunnels =
        count(number, "live " + std::string(engine::net::textOf(set.protocol).name) + " tunnel");
    using engine::policy::OnLive;
    using engine::policy::PassthroughMode;
    if (set.value.mode != PassthroughMode::Block) {
        if (status.heldTunnels > 0) {
            add(effect.sentence, count(status.heldTunnels, "held tunnel") + " get" +
                                     (status.heldTunnels == 1 ? "s" : "") +
                                     " the same identifiers and ports back.");
        } else {
            add(effect.sentence, tunnels + (number == 1 ? " goes" : " go") + " on unchanged.");
        }
        return;
    }
    switch (set.onLive) {
    case OnLive::Hold:
        add(effect.sentence,
            tunnels + (number == 1 ? " is" : " are") +
                " held for ten seconds, then dropped; undo gives everything back.");
        break;
    case OnLive::Finish:
        add(effect.sentence, tunnels + (number == 1 ? " stays" : " stay") + " until the end.");
        break;
    case OnLive::Drop:
        add(effect.sentence, tunnels + (number == 1 ? " is" : " are") + " dropped now.");
        break;
    }
}

void forForwards(LiveEffect& effect, const Rules& before, const engine::Snapshot& live,
                 const engine::SetPortForwards& set)
{
    for (const auto& old : before.portForwards) {
        const auto found =
            std::ranges::find(set.forwards, old.id, &engine::policy::PortForward::id);
        const bool kept = found != set.forwards.end() && found->enabled == old.enabled &&
                          found->protocol == old.protocol &&
                          found->externalPorts == old.externalPorts &&
                          found->internalAddress == old.internalAddress &&
                          found->internalFirst == old.internalFirst &&
                          found->allowedRemotes == old.allowedRemotes;
        if (kept) continue;
        const auto status =
            std::ranges::find(live.forwards, old.id, &engine::PortForwardStatus::id);
        if (status == live.forwards.end() || status->liveSessions == 0) continue;
        const std::string name = old.name.empty() ? "forward " + std::to_string(old.id) : old.name;
        const std::uint32_t number = status->liveSessions;
        add(effect.sentence, count(number, "live session") + " through " + name +
                                 (number == 1 ? " runs" : " run") + " on until it ends by itself.");
        effect.forwards.push_back(old.id);
    }
}

void forDevices(LiveEffect& effect, const Rules& before, const engine::Snapshot& live,
                const engine::SetDeviceRules& set)
{
    using engine::policy::DeviceAccess;
    for (const auto& rule : set.rules) {
        const auto old = std::ranges::find(before.deviceRules, rule.address,
                                           &engine::policy::DeviceRule::address);
        const DeviceAccess former =
            old == before.deviceRules.end() ? DeviceAccess::Allow : old->access;
        if (rule.access == DeviceAccess::Allow || rule.access == former) continue;
        const auto device =
            std::ranges::find(live.devices, rule.address, &engine::DeviceStatus::address);
        if (device == live.devices.end() || device->sessions == 0) continue;
        std::string text =
            rule.address.toString() + " has " + count(device->sessions, "live session");
        text += rule.access == DeviceAccess::Block ? "; nothing of this device passes from now on."
                                                   : "; from now on only recognised tunnels pass.";
        add(effect.sentence, text);
        if (rule.access == DeviceAccess::Block) effect.devices.push_back(rule.address);
    }
}

}  // namespace

LiveEffect liveEffect(const Rules& before, const engine::Snapshot& live,
                      const engine::Command& command)
{
    LiveEffect effect;
    if (const auto* passthrough = std::get_if<engine::SetPassthrough>(&command)) {
        forPassthrough(effect, live, *passthrough);
    } else if (const auto* forwards = std::get_if<engine::SetPortForwards>(&command)) {
        forForwards(effect, before, live, *forwards);
    } else if (const auto* devices = std::get_if<engine::SetDeviceRules>(&command)) {
        forDevices(effect, before, live, *devices);
    } else if (std::holds_alternative<engine::SetNat>(command) && live.sessions > 0) {
        effect.sentence = count(live.sessions, "live session") + " keep" +
                          (live.sessions == 1 ? "s" : "") +
                          " what they have; new ones follow the new rules.";
    } else if (std::holds_alternative<engine::SetExposedHost>(command) && live.sessions > 0) {
        effect.sentence =
            "Live sessions run on; connections that begin from now on follow the rule.";
    } else if (std::holds_alternative<engine::SetOneToOnes>(command) && live.sessions > 0) {
        effect.sentence = "Live sessions keep their addresses; new ones follow the rule.";
    }
    return effect;
}

bool concerns(const LiveEffect& effect, const engine::SessionRecord& session)
{
    return (session.forwardId != 0 && std::ranges::count(effect.forwards, session.forwardId) > 0) ||
           std::ranges::count(effect.devices, session.internal.address) > 0;
}

}  // namespace app::services
