#include "app/services/live_effect.h"

#include "app/words.h"

#include <algorithm>
#include <array>
#include <vector>

namespace app::services {

namespace {

std::string count(std::uint32_t number, const std::string& thing)
{
    return std::to_string(number) + ' ' + thing + (number == 1 ? "" : "s");
}

/// "TCP port 80", "UDP ports 8000-8010".
std::string portsText(engine::net::IpProtocol protocol, const engine::net::PortRange& ports)
{
    std::string text = protocol == engine::net::IpProtocol::Tcp ? "TCP port " : "UDP port ";
    if (ports.size() > 1) text.insert(text.size() - 1, "s");
    text += std::to_string(ports.first.hostOrder());
    if (ports.size() > 1) text += '-' + std::to_string(ports.last.hostOrder());
    return text;
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

/// "Web, forward 2", with no more names than people read.
std::string listed(const std::vector<std::string>& names)
{
    constexpr std::size_t kMost = 4;
    std::string text;
    for (std::size_t i = 0; i < std::min(names.size(), kMost); ++i)
        text += (i == 0 ? "" : ", ") + names[i];
    if (names.size() > kMost) text += " and " + std::to_string(names.size() - kMost) + " others";
    return text;
}

void forForwards(std::string& effect, const Rules& before, const engine::Snapshot& live,
                 const engine::SetPortForwards& set, std::uint32_t concerned)
{
    using engine::policy::PortForward;
    if (concerned == 0) return;
    std::vector<std::string> gone;
    for (const PortForward& old : before.portForwards) {
        if (std::ranges::find(set.forwards, old) != set.forwards.end()) continue;
        const auto status =
            std::ranges::find(live.forwards, old.id, &engine::PortForwardStatus::id);
        if (status == live.forwards.end() || status->liveSessions == 0) continue;
        gone.push_back(old.name.empty() ? "forward " + std::to_string(old.id) : old.name);
    }
    std::vector<std::string> taken;
    for (const PortForward& forward : set.forwards) {
        if (!forward.enabled || !engine::net::hasPorts(forward.protocol)) continue;
        const auto had = [&](const PortForward& old) {
            return old.enabled && old.protocol == forward.protocol &&
                   old.externalPorts == forward.externalPorts;
        };
        if (std::ranges::none_of(before.portForwards, had))
            taken.push_back(portsText(forward.protocol, forward.externalPorts));
    }
    std::string which;
    if (!gone.empty()) which += " through " + listed(gone);
    if (!taken.empty()) which += (which.empty() ? " on " : " or on ") + listed(taken);
    add(effect, fateOf(concerned, which, set.onLive));
    if (!taken.empty() && set.onLive == engine::policy::OnLive::Finish)
        add(effect, "Whatever else comes to those ports is forwarded at once.");
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
                const engine::SetDeviceRules& set, std::uint32_t concerned)
{
    using engine::policy::DeviceAccess;
    using engine::policy::DeviceRule;
    std::vector<std::string> restricted;
    bool tunnelsStay = false;
    for (const DeviceRule& rule : set.rules) {
        const auto old = std::ranges::find(before.deviceRules, rule.address, &DeviceRule::address);
        const DeviceRule former =
            old == before.deviceRules.end() ? DeviceRule{.address = rule.address} : *old;
        const auto device =
            std::ranges::find(live.devices, rule.address, &engine::DeviceStatus::address);
        if (device == live.devices.end()) continue;
        if (rule.access != DeviceAccess::Allow && rule.access != former.access) {
            restricted.push_back(rule.address.toString());
            tunnelsStay = tunnelsStay || (rule.access == DeviceAccess::VpnOnly && device->tunnels);
        }
        if (rule.sessionLimit && rule.sessionLimit != former.sessionLimit &&
            device->sessions > *rule.sessionLimit) {
            add(effect, rule.address.toString() + " has " +
                            count(device->sessions, "live session") + ", more than " +
                            std::to_string(*rule.sessionLimit) +
                            ": they run on, and it gets no new ones until it has fewer.");
        }
    }
    if (restricted.empty()) return;
    if (concerned > 0) add(effect, fateOf(concerned, " of " + listed(restricted), set.onLive));
    if (tunnelsStay) add(effect, "VPN tunnels run on in any case.");
}

/// NAT settings take nothing away but by timers; some of them act on what lives, though.
void forNat(std::string& effect, const Rules& before, const engine::Snapshot& live,
            const engine::SetNat& set, std::uint32_t concerned)
{
    if (live.sessions == 0) return;
    const engine::nat::NatConfig& was = before.nat;
    const engine::nat::NatConfig& is = set.config;
    if (concerned > 0) {
        add(effect, count(concerned, "live session") + (concerned == 1 ? " has" : " have") +
                        " been idle for longer than the new timers allow and" +
                        (concerned == 1 ? " ends." : " end."));
    }
    const std::uint32_t limit = is.limits.sessionsPerDevice;
    if (limit != 0 && limit != was.limits.sessionsPerDevice) {
        const auto beyond = static_cast<std::uint32_t>(std::ranges::count_if(
            live.devices, [&](const engine::DeviceStatus& one) { return one.sessions > limit; }));
        if (beyond > 0) {
            add(effect, count(beyond, "device") + (beyond == 1 ? " has" : " have") +
                            " more sessions than that: they run on, and new ones are refused until "
                            "there are fewer.");
        }
    }
    const auto filtering = [](const engine::nat::NatConfig& nat) {
        return std::array{nat.tcp.filtering, nat.udp.filtering, nat.icmp.filtering};
    };
    if (filtering(was) != filtering(is) || was.exceptions != is.exceptions)
        add(effect, "Who may answer changes at once, for live sessions, too.");
    const std::uint32_t stay = live.sessions - std::min(concerned, live.sessions);
    if (stay > 0) {
        add(effect,
            count(stay, "live session") + (stay == 1 ? " keeps" : " keep") +
                (stay == 1 ? " the external port it has;" : " the external ports they have;") +
                " new ones follow the new rules.");
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
        forForwards(effect, before, live, *forwards, concerned);
    } else if (const auto* devices = std::get_if<engine::SetDeviceRules>(&command)) {
        forDevices(effect, before, live, *devices, concerned);
    } else if (const auto* nat = std::get_if<engine::SetNat>(&command)) {
        forNat(effect, before, live, *nat, concerned);
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
