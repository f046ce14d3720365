#include "engine/engine_state.h"

#include <algorithm>

/// A change that concerns every session goes through the table a part at a time, so that no call
/// takes long, however many sessions there are. It is in force at once all the same: whoever finds
/// a session while such a change is on its way asks it before the session is used.
namespace engine {

namespace sf = nat::session_flag;
namespace df = nat::detail_flag;
using passthrough::FlowEnd;

namespace {

/// What things cost, in places looked at (of two lines of memory each, in their order).
constexpr std::uint32_t kCostOfEnd = kPlacesPerCall / kExpiriesPerCall;
constexpr std::uint32_t kCostOfCounting = 2;
constexpr std::uint32_t kCostOfArming = 2;
constexpr std::uint32_t kCostOfPermission = 8;

}  // namespace

void Engine::State::begin(Instant now, Sweep sweep, Output& output)
{
    const bool finishes = sweep.kind == Sweep::Kind::Rearm || sweep.kind == Sweep::Kind::Refilter;
    if (finishes) {
        // Whatever an earlier one of the kind has left to do, this one does as well.
        std::erase_if(sweeps, [&](const Sweep& other) { return other.kind == sweep.kind; });
    }
    sweep.end =
        sweep.listed ? static_cast<std::uint32_t>(sweep.listed->size()) : sessions.touched();
    // Nobody can lose, but what is told keeps its place.
    if (sweep.told && !sweep.loses) sweep.end = 0;
    if (sweep.kind == Sweep::Kind::Count) {
        sweep.ofMappings = std::make_unique<LazyArray<Sweep::Lost>>(mappings.touched());
    }
    sweep.endsBefore = sessions.nextSerial();
    sweeps.push_back(std::move(sweep));
    refreshTrust();
    // Whoever sends change after change waits for them, not everybody who finds a session.
    while (sweeps.size() > kMostSweeps)
        (void)advance(now, output);
    goOn(now, output);
}

void Engine::State::goOn(Instant now, Output& output)
{
    std::uint64_t spent = 0;
    while (!sweeps.empty() && spent < config.placesPerCall)
        spent += advance(now, output);
}

/// One place of the oldest sweep, or its end; what that has cost.
std::uint64_t Engine::State::advance(Instant now, Output& output)
{
    Sweep& sweep = sweeps.front();
    if (sweep.at == sweep.end) {
        const Sweep done = std::move(sweep);
        sweeps.pop_front();
        refreshTrust();
        // Not by emitEvent(): the thousands that have ended would have used up the second's events.
        if (done.told) output.events.emplace_back(SessionsCounted{done.concerned});
        return 1;
    }
    const std::uint32_t place = sweep.at;
    nat::MaybeIndex index;
    if (sweep.listed) {
        index = sessions.byFlowId((*sweep.listed)[place]);
    } else if (sessions.detail(place).has(df::kUsed) &&
               sessions.detail(place).serial() < sweep.endsBefore) {
        index = place;
    }
    std::uint64_t cost = 1;
    if (index) cost += visit(now, sweep, *index, output);
    ++sweep.at;
    return cost;
}

std::uint64_t Engine::State::visit(Instant now, Sweep& sweep, std::uint32_t index, Output& output)
{
    switch (sweep.kind) {
    case Sweep::Kind::End: {
        if (sweep.loses && !sweep.loses(index)) return 0;
        const std::uint64_t before = counters.sessionsEnded;
        endFor(now, sweep, index, output);
        return (counters.sessionsEnded - before) * kCostOfEnd;
    }
    case Sweep::Kind::Count:
        if (!sweep.loses(index)) return 0;
        countLoser(sweep, index);
        return kCostOfCounting;
    case Sweep::Kind::Rearm:
        sessions.arm(index, sessions[index].lastPacket + idleOf(index));
        return kCostOfArming;
    case Sweep::Kind::Refilter: return refilter(index) ? kCostOfPermission : 0;
    }
    return 0;
}

/// With those that end along: what a control connection carries, and what uses a mapping that
/// nothing else holds.
void Engine::State::countLoser(Sweep& sweep, std::uint32_t index)
{
    const nat::SessionDetail& rest = sessions.detail(index);
    if (!children.empty()) {
        const auto [first, last] = children.equal_range(sessions.flowId(index));
        sweep.concerned += static_cast<std::uint32_t>(std::count_if(
            first, last, [&](const auto& child) { return !sweep.loses(child.second); }));
    }
    if (rest.mapping >= sweep.ofMappings->size() || mappings[rest.mapping].ending != 0) {
        ++sweep.concerned;
        return;
    }
    const nat::Mapping& mapping = mappings[rest.mapping];
    Sweep::Lost& lost = (*sweep.ofMappings)[rest.mapping];
    ++lost.losers;
    if (rest.has(df::kHoldsMapping)) ++lost.holders;
    const std::uint32_t counted = lost.holders >= mapping.holders ? mapping.sessions : lost.losers;
    sweep.concerned += counted - lost.counted;
    lost.counted = counted;
}

/// With what cannot be without it, which counts as ended by the change as well.
void Engine::State::endFor(Instant now, Sweep& sweep, std::uint32_t index, Output& output)
{
    const std::uint64_t before = counters.sessionsEnded + leftToWindUp;
    const std::uint32_t concerned = sweep.concerned;
    if (sweep.cause == FlowEnd::Admin) tellReset(now, index, output);
    close(now, index, sweep.cause, output);
    sweep.concerned =
        concerned + static_cast<std::uint32_t>(counters.sessionsEnded + leftToWindUp - before);
}

bool Engine::State::concerns(const Sweep& sweep, std::uint32_t index) const
{
    return sweep.loses && index >= sweep.at && index < sweep.end &&
           sessions.detail(index).serial() < sweep.endsBefore && sweep.loses(index);
}

const Engine::State::Sweep* Engine::State::sweepThatEnds(std::uint32_t index) const
{
    const auto found = std::ranges::find_if(sweeps, [&](const Sweep& sweep) {
        return sweep.kind == Sweep::Kind::End && concerns(sweep, index);
    });
    return found == sweeps.end() ? nullptr : &*found;
}

bool Engine::State::endIfLost(Instant now, std::uint32_t index, Output& output)
{
    for (Sweep& sweep : sweeps) {
        if (sweep.kind != Sweep::Kind::End || !concerns(sweep, index)) continue;
        endFor(now, sweep, index, output);
        return true;
    }
    return false;
}

/// Before it is let go of: it has come to its end by itself, or with another, before a sweep came.
void Engine::State::countForSweeps(std::uint32_t index)
{
    for (Sweep& sweep : sweeps) {
        if (sweep.told && concerns(sweep, index)) ++sweep.concerned;
    }
}

bool Engine::State::isEnding() const
{
    return std::any_of(sweeps.begin(), sweeps.end(), [](const Sweep& sweep) {
        return sweep.kind == Sweep::Kind::End && sweep.loses;
    });
}

/// A session that is found is taken as it is when its last packet is younger than this. While a
/// sweep may end it, none is: the ordinary packet pays nothing for being asked.
void Engine::State::refreshTrust()
{
    const nat::Timers& timers = config.nat.timers;
    shortestIdle = isEnding()
                       ? Duration::min()
                       : std::min({timers.udpOneWay, timers.udpTwoWay, timers.tcpEstablished,
                                   timers.tcpOpening, timers.tcpClosing, timers.icmpQuery,
                                   timers.portless, timers.esp, Duration{std::chrono::seconds(1)}});
}

}  // namespace engine
