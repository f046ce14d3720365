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

/// What came in by a forward that goes, is switched off or leads elsewhere.
Engine::State::Loses Engine::State::losersOf(const SetPortForwards& wish) const
{
    return [this, before = config.portForwards, after = wish.forwards](std::uint32_t index) {
        const std::uint32_t id = sessions.detail(index).forward;
        if (id == 0 || id == kExposure) return false;
        const policy::PortForward* was = byId(before, id);
        // One that has outlived its forward is no change's concern any more.
        if (was == nullptr || !was->enabled) return false;
        const policy::PortForward* is = byId(after, id);
        return is == nullptr || !is->enabled || was->externalPorts != is->externalPorts ||
               was->internalAddress != is->internalAddress ||
               was->internalFirst != is->internalFirst || was->protocol != is->protocol;
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
    // A device gets another address for all that it does (RFC 4787 REQ-2).
    std::vector<bool> moves;
    for (const nat::Device& device : devices.all()) {
        const net::Ipv4Address owner = after[device.externalSlot];
        moves.push_back(owner.isUnspecified()
                            ? std::ranges::find(after, device.address) != after.end()
                            : owner != device.address);
    }
    return [this, before, after, moves = std::move(moves)](std::uint32_t index) {
        const nat::Session& session = sessions[index];
        return session.isTranslated() &&
               (before[session.externalSlot] != after[session.externalSlot] ||
                moves[session.device]);
    };
}

Engine::State::Loses Engine::State::losersOf(const SetDeviceRules& wish) const
{
    return [this, rules = wish.rules](std::uint32_t index) {
        const auto rule =
            std::ranges::find(rules, sessions[index].internal, &policy::DeviceRule::address);
        if (rule == rules.end()) return false;
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

std::uint32_t Engine::sessionsEndedBy(const Command& command) const
{
    const State& state = *m_state;
    std::uint32_t number = 0;
    const auto count = [&](const State::Loses& loses) {
        state.forEachSession([&](std::uint32_t index) {
            if (loses(index)) ++number;
        });
    };
    if (const auto* forwards = std::get_if<SetPortForwards>(&command)) {
        count([&, loses = state.losersOf(*forwards)](std::uint32_t index) {
            if (loses(index)) return true;
            // A mapping that sits on a port which is forwarded from now on makes way.
            const nat::Session& session = state.sessions[index];
            if (state.sessions.detail(index).mapping == nat::FlatIndex::kNone) return false;
            return State::forwardTo(forwards->forwards, session.protocol, session.externalPort()) !=
                   nullptr;
        });
    } else if (const auto* pairs = std::get_if<SetOneToOnes>(&command)) {
        count(state.losersOf(*pairs));
    } else if (const auto* rules = std::get_if<SetDeviceRules>(&command)) {
        count(state.losersOf(*rules));
    } else if (const auto* exposed = std::get_if<SetExposedHost>(&command)) {
        count(state.losersOf(*exposed));
    }
    return number;
}

bool Engine::hasSessionAt(net::Ipv4Address external) const
{
    const State& state = *m_state;
    const auto slot = state.slotOf(external);
    bool found = false;
    if (!slot) return found;
    state.forEachSession(
        [&](std::uint32_t index) { found = found || state.sessions[index].externalSlot == *slot; });
    return found;
}

bool Engine::hasSessionOn(net::PortRange external) const
{
    const State& state = *m_state;
    bool found = false;
    state.forEachSession([&](std::uint32_t index) {
        const nat::Session& session = state.sessions[index];
        found = found || (session.isTranslated() && net::hasPorts(session.protocol) &&
                          external.contains(session.externalPort()));
    });
    return found;
}

}  // namespace engine
