#include "engine/engine_state.h"

#include <algorithm>
#include <array>
#include <utility>
#include <variant>
#include <vector>

namespace engine {

namespace {

namespace sf = nat::session_flag;
namespace df = nat::detail_flag;

const policy::PortForward* byId(const std::vector<policy::PortForward>& forwards, std::uint32_t id)
{
    const auto found = std::ranges::find(forwards, id, &policy::PortForward::id);
    return found == forwards.end() ? nullptr : &*found;
}

}  // namespace

/// What came in by a forward that goes, is switched off, leads elsewhere or lets its caller in no
/// longer; and what has the port of a forward that comes.
Engine::State::Loses Engine::State::losersOf(const SetPortForwards& wish) const
{
    return [this, before = config.portForwards, after = wish.forwards](std::uint32_t index) {
        const nat::Session& session = sessions[index];
        const nat::SessionDetail& rest = sessions.detail(index);
        if (rest.mapping != nat::FlatIndex::kNone) {
            // One that is displaced has outlived a forward's coming already.
            return mappings[rest.mapping].displaced == 0 &&
                   forwardTo(after, session.protocol, session.externalPort()) != nullptr;
        }
        const std::uint32_t id = rest.forward;
        if (id == 0 || id == kExposure) return false;
        const policy::PortForward* was = byId(before, id);
        // One that has outlived its forward is no change's concern any more.
        if (was == nullptr || !was->enabled) return false;
        const policy::PortForward* is = byId(after, id);
        if (is == nullptr || !is->enabled || was->externalPorts != is->externalPorts ||
            was->internalAddress != is->internalAddress ||
            was->internalFirst != is->internalFirst || was->protocol != is->protocol) {
            return true;
        }
        if (session.has(sf::kOutboundFirst)) return false;
        return session.has(sf::kHairpin) ? was->hairpin && !is->hairpin
                                         : was->allowedRemotes.contains(session.remote) &&
                                               !is->allowedRemotes.contains(session.remote);
    };
}

/// What has an external address that changes hands, and what its device may have no longer.
Engine::State::Loses Engine::State::losersOf(const SetOneToOnes& wish) const
{
    std::array<net::Ipv4Address, nat::kExternalSlots> before{};
    std::array<net::Ipv4Address, nat::kExternalSlots> after{};
    for (std::size_t slot = 0; slot < slots.size(); ++slot) {
        before[slot] = slots[slot].oneToOne;
        if (!slots[slot].used) continue;
        for (const policy::OneToOne& rule : wish.oneToOnes) {
            if (rule.enabled && rule.externalAddress == slots[slot].address) {
                after[slot] = rule.internalAddress;
            }
        }
    }
    // A device gets another address for all that it does (RFC 4787 REQ-2), if it has one.
    std::vector<bool> moves;
    for (const nat::Device& device : devices.all()) {
        const net::Ipv4Address owner = after[device.externalSlot];
        const bool stays = owner.isUnspecified()
                               ? std::ranges::find(after, device.address) == after.end()
                               : owner == device.address;
        moves.push_back(device.paired && mayHave(device.address, device.externalSlot) && !stays);
    }
    return [this, before, after, moves = std::move(moves)](std::uint32_t index) {
        const nat::Session& session = sessions[index];
        const auto changesHands = [&](std::uint8_t slot) {
            return before[slot] != after[slot];
        };
        // Without ports, a hairpinned one is all that there is of what leads to such an address.
        const auto leadsTo = session.has(sf::kHairpin) && sessions.detail(index).has(df::kPortless)
                                 ? slotOf(session.remote)
                                 : std::optional<std::uint8_t>{};
        return session.isTranslated() &&
               (changesHands(session.externalSlot) || moves[session.device] ||
                (leadsTo && changesHands(*leadsTo)));
    };
}

/// What a device may have no longer. What has outlived a rule that stays as it is, is no change's
/// concern.
Engine::State::Loses Engine::State::losersOf(const SetDeviceRules& wish) const
{
    return [this, before = config.deviceRules, rules = wish.rules](std::uint32_t index) {
        const auto rule =
            std::ranges::find(rules, sessions[index].internal, &policy::DeviceRule::address);
        if (rule == rules.end()) return false;
        const auto was = std::ranges::find(before, rule->address, &policy::DeviceRule::address);
        if (was != before.end() && was->access == rule->access) return false;
        const bool vpn =
            sessions[index].has(sf::kAttached) || sessions.detail(index).has(df::kPortless);
        return rule->access == policy::DeviceAccess::Block ||
               (rule->access == policy::DeviceAccess::VpnOnly && !vpn);
    };
}

Engine::State::Loses Engine::State::losersOf(const SetExposedHost& wish) const
{
    return [this, after = wish.address](std::uint32_t index) {
        return sessions.detail(index).forward == kExposure && sessions[index].internal != after;
    };
}

/// Those that lose, and those that cannot be without them: what a control connection carries, and
/// what uses the mapping of a device that has nothing of its own on it any more.
std::uint32_t Engine::State::countEnding(const Loses& loses) const
{
    std::vector<bool> ends(sessions.touched());
    std::vector<bool> loser(mappings.touched());  // a session of it ends
    std::vector<bool> stays(mappings.touched());  // one that holds it does not
    std::uint32_t number = 0;
    std::vector<std::uint32_t> masters;
    const auto end = [&](std::uint32_t index) {
        if (ends[index]) return;
        ends[index] = true;
        ++number;
        if (!children.empty()) masters.push_back(index);
    };
    forEachSession([&](std::uint32_t index) {
        if (loses(index)) end(index);
    });
    while (!masters.empty()) {
        const auto [first, last] = children.equal_range(sessions.flowId(masters.back()));
        masters.pop_back();
        for (auto child = first; child != last; ++child) {
            if (sessions.detail(child->second).has(df::kUsed)) end(child->second);
        }
    }
    if (number == 0) return 0;
    const auto ofMapping = [&](const auto& visit) {
        forEachSession([&](std::uint32_t index) {
            const std::uint32_t mapping = sessions.detail(index).mapping;
            // One that is ending ends without us.
            if (mapping != nat::FlatIndex::kNone && mappings[mapping].ending == 0) {
                visit(index, mapping);
            }
        });
    };
    ofMapping([&](std::uint32_t index, std::uint32_t mapping) {
        if (ends[index]) {
            loser[mapping] = true;
        } else if (sessions.detail(index).has(df::kHoldsMapping)) {
            stays[mapping] = true;
        }
    });
    ofMapping([&](std::uint32_t index, std::uint32_t mapping) {
        if (loser[mapping] && !stays[mapping]) end(index);
    });
    return number;
}

/// Those that have been idle for longer than its timers allow.
Engine::State::Loses Engine::State::losersOf(Instant now, const SetNat& wish) const
{
    return
        [this, now, before = config.nat.timers, after = wish.config.timers](std::uint32_t index) {
            const Duration idle = now - sessions[index].lastPacket;
            return idle >= idleOf(index, after) && idle < idleOf(index, before);
        };
}

Engine::State::Loses Engine::State::losersOf(Instant now, const Command& wish) const
{
    if (const auto* ports = std::get_if<SetPortForwards>(&wish)) return losersOf(*ports);
    if (const auto* pairs = std::get_if<SetOneToOnes>(&wish)) return losersOf(*pairs);
    if (const auto* rules = std::get_if<SetDeviceRules>(&wish)) return losersOf(*rules);
    if (const auto* exposed = std::get_if<SetExposedHost>(&wish)) return losersOf(*exposed);
    const auto* nat = std::get_if<SetNat>(&wish);
    if (nat != nullptr && nat->config.timers != config.nat.timers) return losersOf(now, *nat);
    return {};
}

std::uint32_t Engine::sessionsEndedBy(Instant now, const Command& command) const
{
    const auto loses = m_state->losersOf(now, command);
    return loses ? m_state->countEnding(loses) : 0;
}

void Engine::count(Instant now, const Command& command, Output& output)
{
    m_state->settle(now, policy::OnLive::Finish, m_state->losersOf(now, command), output);
}

bool Engine::hasSessionAt(net::Ipv4Address external) const
{
    const State& state = *m_state;
    const auto slot = state.slotOf(external);
    return slot && state.anySession([&](std::uint32_t index) {
        return state.sessions[index].externalSlot == *slot;
    });
}

bool Engine::hasSessionOn(net::PortRange external) const
{
    const State& state = *m_state;
    return state.anySession([&](std::uint32_t index) {
        const nat::Session& session = state.sessions[index];
        return session.isTranslated() && net::hasPorts(session.protocol) &&
               external.contains(session.externalPort());
    });
}

}  // namespace engine
