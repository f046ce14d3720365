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

void forPassthrough(std::string& effect, const engine::Snapshot& live,
                    const engine::SetPassthrough& set)
{
    const auto& status = live.protocols[static_cast<std::size_t>(set.protocol)];
    if (set.value.mode == engine::policy::PassthroughMode::Block) {
        switch (engine::net::textOf(set.protocol).refusedFrom) {
        case engine::net::RefusedFrom::FirstPacket: break;
        case engine::net::RefusedFrom::Recognition:
            add(effect,
                "New tunnels end at the packet that shows what they are; those before it pass.");
            break;
        case engine::net::RefusedFrom::NamedServer:
            add(effect, "Only servers that an exception names are refused: nothing else is sure.");
            break;
        }
    }
    const std::uint32_t number = status.liveTunnels;
    if (number == 0) return;
    const std::string tunnels =
        count(number, "live " + std::string(engine::net::textOf(set.protocol).name) + " tunnel");
    using engine::policy::OnLive;
    using engine::policy::PassthroughMode;
    if (set.value.mode != PassthroughMode::Block) {
        if (status.heldTunnels > 0) {
            add(effect, count(status.heldTunnels, "held tunnel") + " get" +
                            (status.heldTunnels == 1 ? "s" : "") +
                            " the same identifiers and ports back.");
        } else {
            add(effect, tunnels + (number == 1 ? " goes" : " go") + " on unchanged.");
        }
        return;
    }
    switch (set.onLive) {
    case OnLive::Hold:
        add(effect, tunnels + (number == 1 ? " is" : " are") +
                        " held for ten seconds, then dropped; undo gives everything back.");
        break;
    case OnLive::Finish:
        add(effect, tunnels + (number == 1 ? " stays" : " stay") + " until the end.");
        break;
    case OnLive::Drop:
        add(effect, tunnels + (number == 1 ? " is" : " are") + " dropped now.");
        break;
    }
}

/// What becomes of live sessions whose rule is taken away.
std::string fateOf(std::uint32_t number, const std::string& which, engine::policy::OnLive onLive)
{
    const std::string sessions = count(number, "live session") + which;
    if (onLive == engine::policy::OnLive::Finish) {
        return sessions + (number == 1 ? " runs on until it ends." : " run on until they end.");
    }
    return sessions + (number == 1 ? " ends with it." : " end with it.");
}

void forForwards(std::string& effect, const Rules& before, const engine::Snapshot& live,
                 const engine::SetPortForwards& set)
{
    for (const auto& old : before.portForwards) {
        const auto found =
            std::ranges::find(set.forwards, old.id, &engine::policy::PortForward::id);
        const bool kept = found != set.forwards.end() && found->enabled == old.enabled &&
                          found->protocol == old.protocol &&
                          found->externalPorts == old.externalPorts &&
                          found->internalAddress == old.internalAddress &&
                          found->internalFirst == old.internalFirst;
        if (kept) continue;
        const auto status =
            std::ranges::find(live.forwards, old.id, &engine::PortForwardStatus::id);
        if (status == live.forwards.end() || status->liveSessions == 0) continue;
        const std::string name = old.name.empty() ? "forward " + std::to_string(old.id) : old.name;
        add(effect, fateOf(status->liveSessions, " through " + name, set.onLive));
    }
}

void forExposedHost(std::string& effect, const Rules& before, const engine::Snapshot& live,
                    const engine::SetExposedHost& set, std::uint32_t concerned)
{
    const auto former = before.exposedHost;
    if (former != set.address && !former.isUnspecified() && concerned > 0) {
        add(effect, fateOf(concerned, " that came in to " + former.toString(), set.onLive));
    } else if (live.sessions > 0) {
        add(effect, "Live sessions run on; connections that begin from now on follow the rule.");
    }
}

void forDevices(std::string& effect, const Rules& before, const engine::Snapshot& live,
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
        if (set.onLive == engine::policy::OnLive::Finish) {
            text += "; they run on until they end.";
        } else {
            text += rule.access == DeviceAccess::Block ? "; all of them end now."
                                                       : "; all but its tunnels end now.";
        }
        add(effect, text);
    }
}

}  // namespace

std::string liveEffect(const Rules& before, const engine::Snapshot& live,
                       const engine::Command& command, std::uint32_t concerned)
{
    std::string effect;
    if (const auto* passthrough = std::get_if<engine::SetPassthrough>(&command)) {
        forPassthrough(effect, live, *passthrough);
    } else if (const auto* forwards = std::get_if<engine::SetPortForwards>(&command)) {
        forForwards(effect, before, live, *forwards);
    } else if (const auto* devices = std::get_if<engine::SetDeviceRules>(&command)) {
        forDevices(effect, before, live, *devices);
    } else if (std::holds_alternative<engine::SetNat>(command) && live.sessions > 0) {
        effect = count(live.sessions, "live session") + " keep" + (live.sessions == 1 ? "s" : "") +
                 " what they have; new ones follow the new rules.";
    } else if (const auto* exposed = std::get_if<engine::SetExposedHost>(&command)) {
        forExposedHost(effect, before, live, *exposed, concerned);
    } else if (const auto* pairs = std::get_if<engine::SetOneToOnes>(&command);
               pairs != nullptr && concerned > 0) {
        const bool one = concerned == 1;
        effect = count(concerned, "live session") + " whose external address changes hands ";
        effect += pairs->onLive != engine::policy::OnLive::Finish ? (one ? "ends now." : "end now.")
                  : one ? "runs on with the address it has until it ends."
                        : "run on with the address they have until they end.";
    }
    return effect;
}

}  // namespace app::services
