#include "engine/passthrough/esp_resolver_parts.h"

#include <algorithm>
#include <utility>

/// ESP that no session knows, either way.
namespace engine::passthrough {

using namespace esp;

namespace {

/// An SPI that was not let through at first sight is remembered this long.
constexpr Duration kSightingTime = 10s;
/// One candidate's weight must be this many times another's to be tried alone.
constexpr std::int32_t kClearWeight = 15;
constexpr Duration kTold = 60s;

}  // namespace

// ---- outbound -----------------------------------------------------------------------------------

PortlessDecision EspResolver::decideOutbound(Instant now, const PortlessPacket& packet,
                                             Actions& actions)
{
    const EspPair pair = pairOf(packet);
    const std::uint32_t spi = wire::load32(packet.payload, 0);
    Group* const group = findOrMake(pair, packet.internal, Claim::Unanswered);
    if (group == nullptr) return dropped(DropReason::HelperBudget);
    expire(now, *group, actions);
    const auto mode = m_policy.modeFor(net::VpnProtocol::IpsecEsp, packet.internal, pair.server);
    if (mode == PassthroughMode::Plain && std::ranges::any_of(group->hosts, [&](const Host& other) {
            return other.client != packet.internal && !other.outbound.empty();
        })) {
        tellHelperOff(now, pair, packet, actions);
        return dropped(DropReason::OneClientPerServer);
    }
    Host* const host = makeHost(*group, pair, packet.internal);
    if (host == nullptr) return dropped(DropReason::HelperBudget);
    if (isTurnedOff(*host, pair)) {
        // The label is all that is told: who gives it to people knows that its switch says no.
        actions.observations.push_back(labelOf(host->key, pair, tunnel::Confidence::Likely));
        sweep(*group);
        if (group->hosts.empty()) m_groups.erase(pair);
        return dropped(DropReason::PassthroughOff);
    }
    if (OutboundSpi* const known = findSpi(host->outbound, spi)) {
        // The NAT has forgotten its session; the SA goes on.
        askOutbound(*host, pair, *known, actions);
        watchOutbound(now, pair, *group, *host, spi, actions);
        return deliveredTo(pair.server);
    }
    if (host->pendings.empty() && !hasRoomForPending(*host, Claim::Unanswered)) {
        sweep(*group);
        if (group->hosts.empty()) m_groups.erase(pair);
        return dropped(DropReason::HelperBudget);
    }
    if (host->outbound.size() >= kMostSpis) {
        const auto oldest = std::ranges::min_element(host->outbound, {}, &OutboundSpi::last);
        PortlessUnbinding unbinding;
        unbinding.protocol = net::IpProtocol::Esp;
        unbinding.client = host->client;
        unbinding.external = pair.external;
        unbinding.server = pair.server;
        unbinding.outbound = Discriminator{Discriminator::Variant::Spi, oldest->spi};
        actions.unbindings.push_back(unbinding);
        host->outbound.erase(oldest);
    }
    if (!host->labelled) {
        host->labelled = true;
        actions.observations.push_back(labelOf(
            host->key, pair, host->ike ? tunnel::Confidence::Certain : tunnel::Confidence::Likely));
        noteEvent(host->key, EventKind::DataFirstOutbound, Lane::Client, Lane::Server, spi, 0,
                  actions);
    }
    OutboundSpi fresh;
    fresh.spi = spi;
    fresh.first = now;
    host->outbound.push_back(fresh);
    // It uses its new SA before its last message has travelled. Responders have theirs by then and
    // answer on it (libreswan does), so there is nothing left to keep apart.
    const auto held = std::ranges::find(group->held, packet.internal, &Held::client);
    if (held != group->held.end()) {
        release(now, *group, packet.internal, actions);
    }

    react(now, pair, *group, *host, actions);
    if (InboundSpi* const waiting = findUnpaired(host->inbound);
        waiting != nullptr && waiting->confirmed && now - waiting->bound <= kCold) {
        confirm(now, pair, *group, *host, *waiting, waiting->alone ? Grade::Proven : waiting->grade,
                actions);
    } else if (host->pendings.empty()) {
        // One try that no second packet has confirmed keeps its expectation open: somebody who
        // guesses must not be able to use it up.
        addPending(now, *host, 0, true);
    }
    if (OutboundSpi* const own = findSpi(host->outbound, spi)) {
        askOutbound(*host, pair, *own, actions);
    }
    watchOutbound(now, pair, *group, *host, spi, actions);
    return deliveredTo(pair.server);
}

/// The second client of a server in plain mode: says once a minute what would help.
void EspResolver::tellHelperOff(Instant now, EspPair pair, const PortlessPacket& packet,
                                Actions& actions)
{
    std::erase_if(m_helperOffTold, [&](const auto& told) { return now - told.second >= kTold; });
    const std::pair who{packet.internal, pair};
    if (m_helperOffTold.contains(who) || m_helperOffTold.size() >= kMostTold) return;
    m_helperOffTold.emplace(who, now);
    Group* const group = find(pair);
    const Host* const host = group == nullptr ? nullptr : hostOf(*group, packet.internal);
    const tunnel::TunnelKey key = host != nullptr ? host->key : keyOf(pair, packet.internal);
    actions.observations.push_back(labelOf(key, pair, tunnel::Confidence::Likely));
    Observation finding = observe(key, Observation::Kind::Finding);
    finding.finding = tunnel::FindingKind::HelperOff;
    finding.a = wire::load32(packet.payload, 0);
    const auto proof = packet.packet.first(std::min<std::size_t>(packet.packet.size(), 128));
    finding.packet.assign(proof.begin(), proof.end());
    actions.observations.push_back(std::move(finding));
}

void EspResolver::watchOutbound(Instant now, EspPair pair, Group& group, Host& host,
                                std::uint32_t spi, Actions& actions)
{
    OutboundSpi* const known = findSpi(host.outbound, spi);
    if (known == nullptr) return;
    known->last = now;
    ++known->packets;
    host.lastOutbound = now;
    host.spoke[host.spokeNext++ % host.spoke.size()] = now;
    if (known->partner != 0) {
        settle(now, group);
        return;
    }
    host.lastUnpaired = now;
    if (InboundSpi* const waiting = findUnpaired(host.inbound);
        waiting != nullptr && waiting->confirmed) {
        makePartners(host, pair, *known, *waiting, actions);
    }
    // Nobody answers on this SA yet: whoever does later must find its client pending.
    if (known->partner == 0 && host.pendings.empty()) addPending(now, host, 0, true);
    settle(now, group);
}

// ---- inbound ------------------------------------------------------------------------------------

PortlessDecision EspResolver::decideInbound(Instant now, const PortlessPacket& packet,
                                            Actions& actions)
{
    const EspPair pair = pairOf(packet);
    Group* const group = find(pair);
    if (group == nullptr) return dropped(DropReason::EspNoOwner);
    const std::uint32_t spi = wire::load32(packet.payload, 0);
    const std::uint32_t sequence = wire::load32(packet.payload, 4);
    expire(now, *group, actions);

    for (const Shared& shared : group->shared) {
        if (shared.spi != spi) continue;
        PortlessDecision decision;
        decision.kind = PortlessDecision::Kind::FanOut;
        for (const net::Ipv4Address client : shared.clients) {
            decision.recipients[decision.recipientCount++] = client;
        }
        return decision;
    }
    for (Host& host : group->hosts) {
        InboundSpi* const known = findSpi(host.inbound, spi);
        if (known == nullptr) continue;
        // The NAT has forgotten its session; the SA goes on.
        askInbound(host, pair, *known, actions);
        watchInbound(now, pair, *group, host, spi, sequence, actions);
        return deliveredTo(host.client);
    }
    const auto speaks = [](const Host& host) {
        return !host.outbound.empty();
    };
    if (std::ranges::count_if(group->hosts, speaks) == 1) {
        Host& only = *std::ranges::find_if(group->hosts, speaks);
        const auto mode = m_policy.modeFor(net::VpnProtocol::IpsecEsp, only.client, pair.server);
        if (mode == PassthroughMode::Plain) return plainInbound(now, pair, only, packet, actions);
    }
    const auto open = std::ranges::find(group->trials, spi, &Trial::spi);
    if (open != group->trials.end()) return tryAll(now, pair, *group, *open, sequence, actions);

    std::vector<Candidate> candidates = candidatesFor(now, *group, pair, sequence);
    dropNotOwners(*group, spi, candidates);
    if (candidates.empty()) return dropped(DropReason::EspNoOwner);
    const bool expected = mayTryAtOnce(*group);
    if (!expected && !sawBefore(now, pair, spi, sequence)) {
        return dropped(DropReason::EspNoOwner);
    }
    const bool doubtful = expected && reopen(now, pair, *group, actions);
    if (doubtful) {
        candidates = candidatesFor(now, *group, pair, sequence);
        dropNotOwners(*group, spi, candidates);
        if (candidates.empty()) return dropped(DropReason::EspNoOwner);
    }
    const bool clear = candidates.size() == 1 ||
                       (!doubtful && candidates[0].score >= kClearWeight * candidates[1].score);
    if (clear) {
        Host* const host = hostOf(*group, candidates[0].client);
        if (host == nullptr) return dropped(DropReason::EspNoOwner);
        // Nobody else could be meant, and nobody has got something that might be this client's.
        const bool alone = candidates.size() == 1 && group->trials.empty() &&
                           std::ranges::none_of(group->hosts, [&](const Host& other) {
                               return other.client != host->client && isUnresolved(other);
                           });
        const net::Ipv4Address client = host->client;
        bind(now, pair, *group, *host, spi, sequence, Grade::Probable, alone, actions);
        settle(now, *group);
        return deliveredTo(client);
    }
    if (group->trials.size() >= kMostTrials) return dropped(DropReason::HelperBudget);
    Trial trial;
    trial.spi = spi;
    trial.first = now;
    trial.last = now;
    if (doubtful) trial.since = now;
    trial.highest = sequence;
    trial.candidates = std::move(candidates);
    for (Candidate& candidate : trial.candidates) {
        candidate.score = 0;
        // One trial per expectation is what has to come; more of them are tries.
        if (Host* const host = expected ? nullptr : hostOf(*group, candidate.client)) {
            for (Pending& pending : host->pendings) {
                if (pending.tried != 0) continue;
                ++pending.tries;
                break;
            }
        }
    }
    group->trials.push_back(std::move(trial));
    return tryAll(now, pair, *group, group->trials.back(), sequence, actions);
}

/// As many unknown SPIs at first sight as there are child SAs that wait for one.
bool EspResolver::mayTryAtOnce(const Group& group) const
{
    std::size_t expected = 0;
    std::size_t unconfirmed = group.trials.size();
    for (const Host& host : group.hosts) {
        expected += host.pendings.size();
        unconfirmed += static_cast<std::size_t>(std::ranges::count_if(
            host.pendings, [](const Pending& pending) { return pending.tried != 0; }));
    }
    return unconfirmed < expected;
}

bool EspResolver::sawBefore(Instant now, EspPair pair, std::uint32_t spi, std::uint32_t sequence)
{
    const std::uint64_t hash = sipHash(
        m_seed, (std::uint64_t{pair.server.hostOrder()} << 32) | pair.external.hostOrder(), spi);
    Sighting& slot = m_sightings[static_cast<std::size_t>(hash % kSightings)];
    if (slot.spi == spi && slot.pair == pair && now - slot.at <= kSightingTime &&
        sequence > slot.sequence && sequence - slot.sequence <= kFreshSequence) {
        slot = Sighting{};
        return true;
    }
    slot = {pair, spi, sequence, now};
    return false;
}

PortlessDecision EspResolver::plainInbound(Instant now, EspPair pair, Host& host,
                                           const PortlessPacket& packet, Actions& actions)
{
    // Ordinary NAT by address: the first client of this server gets everything.
    if (host.inbound.size() < kMostSpis) {
        InboundSpi inbound;
        inbound.spi = wire::load32(packet.payload, 0);
        inbound.highest = wire::load32(packet.payload, 4);
        inbound.bound = now;
        inbound.last = now;
        inbound.grade = Grade::Proven;
        inbound.confirmed = true;
        host.inbound.push_back(inbound);
        askInbound(host, pair, host.inbound.back(), actions);
    }
    ++host.inboundPackets;
    return deliveredTo(host.client);
}

}  // namespace engine::passthrough
