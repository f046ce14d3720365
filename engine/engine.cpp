#include "engine/engine.h"

#include "engine/engine_state.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <limits>

namespace engine {

namespace {

/// One seed, several independent keys.
HashKey derived(HashKey seed, std::uint64_t purpose)
{
    return {sipHash(seed, purpose, 1), sipHash(seed, purpose, 2)};
}

std::uint32_t capacityOf(const EngineConfig& config)
{
    return std::clamp(std::bit_ceil(std::max(config.maxSessions, 16U)), 16U, 8U << 20U);
}

}  // namespace

Engine::State::State(Instant now, const EngineConfig& initial)
    : config(initial),
      random(derived(initial.seed, 1)),
      sessions(capacityOf(initial), derived(initial.seed, 2), initial.memoryAdvice),
      mappings(std::min(capacityOf(initial), 1U << 18U), derived(initial.seed, 3),
               initial.memoryAdvice),
      permissions(capacityOf(initial), derived(initial.seed, 4), initial.memoryAdvice),
      devices(derived(initial.seed, 5)),
      synProxy(derived(initial.seed, 11), initial.memoryAdvice),
      passthrough(derived(initial.seed, 6)),
      tunnels(derived(initial.seed, 7)),
      fragments(derived(initial.seed, 8)),
      fragmentIds(derived(initial.seed, 9)),
      icmpSource(derived(initial.seed, 10))
{
    traffic.reserve(256);
    passthrough.setPolicy(config.passthrough);
    passthrough.setInternalNetwork(config.internal.prefix);
    // What contradicts itself or an earlier rule is left out. What only cannot be met at this
    // moment stands: the host's port may be free in a minute, an address may come back.
    const EngineConfig wished = config;
    config.portForwards.clear();
    config.oneToOnes.clear();
    config.deviceRules.clear();
    config.exposedHost = {};
    if (config.external.addresses.size() > kMostExternalAddresses) {
        config.external.addresses.resize(kMostExternalAddresses);
    }
    rebuildSlots();
    rebuildReserved();
    refreshTrust();
    Output ignored;
    for (const policy::PortForward& forward : wished.portForwards) {
        if (!policy::canBeForwarded(forward.protocol)) continue;
        config.portForwards.push_back(forward);
        const auto soFar = config.portForwards;
        if (!setForwards(now, soFar, policy::OnLive::Drop, ignored)) config.portForwards.pop_back();
    }
    for (const policy::OneToOne& rule : wished.oneToOnes) {
        config.oneToOnes.push_back(rule);
        const auto soFar = config.oneToOnes;
        if (!applyCommand(now, SetOneToOnes{soFar}, ignored)) config.oneToOnes.pop_back();
    }
    config.deviceRules = wished.deviceRules;
    config.exposedHost = wished.exposedHost;
    for (const net::VpnProtocolText& text : net::kVpnProtocols) {
        runSelfTest(now, text.protocol, ignored);
    }
}

Engine::Engine(Instant now, const EngineConfig& config)
    : m_state(std::make_unique<State>(now, config))
{}

Engine::~Engine() = default;

Verdict Engine::handlePacket(Instant now, PortId ingress, wire::Packet& packet, Output& output)
{
    const Verdict verdict = m_state->walk(now, ingress, packet, output);
    m_state->reportTunnels(now, output);
    if (verdict.kind != Verdict::Kind::Forward) return verdict;
    return m_state->cut(verdict, packet, output);
}

void Engine::handlePackets(Instant now, PortId ingress, std::span<wire::Packet> packets,
                           std::span<Verdict> verdicts, Output& output)
{
    assert(packets.size() == verdicts.size());
    m_state->walkAll(now, ingress, packets, verdicts, output);
    m_state->reportTunnels(now, output);
}

void Engine::handleTimeout(Instant now, Output& output)
{
    m_state->timeout(now, output);
}

std::optional<Instant> Engine::nextTimeout() const
{
    return m_state->deadline();
}

Result<void, CommandError> Engine::apply(Instant now, const Command& command, Output& output)
{
    auto answer = m_state->applyCommand(now, command, output);
    if (answer && State::isObeyedBySaved(command)) ++m_state->changes;
    // What a wish takes along, as far as one call may go.
    m_state->windUp(now, kExpiriesPerCall, output);
    return answer;
}

const EngineConfig& Engine::config() const
{
    return m_state->config;
}

void Engine::countDrop(DropReason reason)
{
    ++m_state->counters.drops[static_cast<std::size_t>(reason)];
}

Snapshot Engine::snapshot(Instant now) const
{
    return m_state->snapshot(now);
}

std::vector<SessionRecord> Engine::sessions(Instant /*now*/, const SessionQuery& query) const
{
    SessionSearch search{.query = query};
    while (!searchOn(search)) {
    }
    return std::move(search.found);
}

bool Engine::searchOn(SessionSearch& search) const
{
    constexpr std::uint32_t kCostOfRecord = 16;
    const nat::SessionTable& table = m_state->sessions;
    const SessionQuery& query = search.query;
    for (std::uint32_t spent = 0; spent < m_state->config.placesPerCall; ++spent, ++search.next) {
        if (search.next >= table.touched() || search.found.size() >= query.limit) return true;
        const std::uint32_t i = search.next;
        if (!table.detail(i).has(nat::detail_flag::kUsed)) continue;
        if (!query.device.isUnspecified() && table[i].internal != query.device) continue;
        if (query.tunnelSerial != 0 &&
            m_state->tunnels.serialOf(m_state->attachmentOf(i)) != query.tunnelSerial) {
            continue;
        }
        search.found.push_back(m_state->record(i));
        spent += kCostOfRecord;
    }
    return false;
}

}  // namespace engine
