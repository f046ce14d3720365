#include "engine/passthrough/esp_resolver.h"

#include <algorithm>
#include <utility>

namespace engine::passthrough {

namespace {

using namespace std::chrono_literals;
using policy::PassthroughMode;
using tunnel::EventKind;
using tunnel::Lane;
using tunnel::Observation;

// ---- specification ------------------------------------------------------------------------------

/// RFC 4303 §2.1: 0 to 255 are reserved.
constexpr std::uint32_t kLowestSpi = 256;
/// SPI and sequence number.
constexpr std::size_t kEspHeader = 8;

// ---- ours ---------------------------------------------------------------------------------------

/// Clients retransmit IKE after a second at the earliest; a message held longer would be sent
/// twice.
constexpr Duration kGate = 700ms;
/// When many wait, each gets at least this much: enough for the answers to two clients' first
/// packets to be told apart by when they come.
constexpr Duration kShortestTurn = 100ms;
/// An expectation is hot for as long as a fresh SA is normally used, cold for an idle one.
constexpr Duration kHot = 30s;
constexpr Duration kCold = 10min;
/// A binding that no second packet has confirmed.
constexpr Duration kUnconfirmedIdle = 10min;
constexpr Duration kBoundIdle = 1h;
/// IKE renegotiates before its SAs end, usually within eight hours.
constexpr Duration kBoundIdleWithIke = 8h;
/// After a rekey the old SA is kept at least this long.
constexpr Duration kOldSaKept = 120s;
/// A new SA counts from 1; what is lost or reordered at its start stays far below this.
constexpr std::uint32_t kFreshSequence = 64;
constexpr std::uint8_t kMostTries = 4;
constexpr std::uint32_t kTrialPackets = 8;
constexpr Duration kTrialTime = 2s;
/// An SPI that was not let through at first sight is remembered this long.
constexpr Duration kSightingTime = 10s;
constexpr std::size_t kSightings = 4096;
/// Points by which one candidate must lead to be believed.
constexpr std::int32_t kClearLead = 3;
/// Points by which an owner must lead over everybody else to be beyond doubt.
constexpr std::int32_t kProof = 4;
/// One candidate's weight must be this many times another's to be tried alone.
constexpr std::int32_t kClearWeight = 15;
/// Without a measured round trip.
constexpr Duration kUsualRoundTrip = 100ms;
/// An answer later than this is taken for something else.
constexpr Duration kLatestAnswer = 500ms;
/// The grain in which round trips are told apart, and how many packets it takes to learn one.
constexpr Duration kAgeStep = 5ms;
constexpr std::uint32_t kAgesWanted = 16;
/// What has happened within this time counts as just now.
constexpr Duration kRecent = 2s;
/// A client's reaction to what was tried on it takes no longer: it is near.
constexpr Duration kReaction = 100ms;
constexpr Duration kComplaint = 300ms;
constexpr Duration kTidy = 1s;
constexpr Duration kTold = 60s;
constexpr std::uint32_t kSilentPackets = 5;
constexpr Duration kSilentTime = 10s;

// Bounds. An office has a few clients of one gateway; attackers get no more than this.
constexpr std::size_t kMostGroups = 4096;
constexpr std::size_t kMostHosts = 64;
constexpr std::size_t kMostSpis = 16;
constexpr std::size_t kMostPendingsOfClient = 32;
constexpr std::size_t kMostPendings = 4096;
constexpr std::size_t kMostTrials = 32;
constexpr std::size_t kMostHeldOfGroup = 32;
constexpr std::size_t kMostHeld = 256;
constexpr std::size_t kMostShared = 8;
constexpr std::size_t kMostNotOwners = 32;
constexpr std::size_t kMostTold = 256;

EspPair pairOf(const PortlessPacket& packet)
{
    return {packet.external, packet.remote};
}

PortlessDecision dropped(DropReason reason)
{
    PortlessDecision decision;
    decision.kind = PortlessDecision::Kind::Drop;
    decision.reason = reason;
    return decision;
}

PortlessDecision deliveredTo(net::Ipv4Address client)
{
    PortlessDecision decision;
    decision.kind = PortlessDecision::Kind::Deliver;
    decision.recipients[0] = client;
    decision.recipientCount = 1;
    return decision;
}

Observation observe(const tunnel::TunnelKey& key, Observation::Kind kind)
{
    Observation observation;
    observation.key = key;
    observation.kind = kind;
    return observation;
}

void noteEvent(const tunnel::TunnelKey& key, EventKind event, Lane from, Lane to, std::uint32_t a,
               std::uint32_t b, Actions& actions)
{
    Observation observation = observe(key, Observation::Kind::Event);
    observation.event = event;
    observation.from = from;
    observation.to = to;
    observation.a = a;
    observation.b = b;
    actions.observations.push_back(std::move(observation));
}

Observation labelOf(const tunnel::TunnelKey& key, EspPair pair, tunnel::Confidence confidence)
{
    Observation label = observe(key, Observation::Kind::Label);
    label.protocol = net::VpnProtocol::IpsecEsp;
    label.confidence = confidence;
    label.transport = net::IpProtocol::Esp;
    label.server = {pair.server, net::Port{0}};
    label.external = {pair.external, net::Port{0}};
    return label;
}

template <typename Spi>
Spi* findSpi(std::vector<Spi>& spis, std::uint32_t spi)
{
    const auto found = std::ranges::find(spis, spi, &Spi::spi);
    return found == spis.end() ? nullptr : &*found;
}

/// The newest SPI that has no partner yet.
template <typename Spi>
Spi* findUnpaired(std::vector<Spi>& spis)
{
    for (auto it = spis.rbegin(); it != spis.rend(); ++it) {
        if (it->partner == 0) return &*it;
    }
    return nullptr;
}

}  // namespace

EspResolver::EspResolver(HashKey seed, const policy::PassthroughPolicy& policy)
    : m_seed(seed), m_policy(policy), m_sightings(kSightings)
{}

// ---- groups and hosts ---------------------------------------------------------------------------

EspResolver::Group* EspResolver::find(EspPair pair)
{
    const auto found = m_groups.find(pair);
    return found == m_groups.end() ? nullptr : &found->second;
}

EspResolver::Group* EspResolver::findOrMake(EspPair pair)
{
    if (Group* const group = find(pair)) return group;
    if (m_groups.size() >= kMostGroups) return nullptr;
    return &m_groups[pair];
}

EspResolver::Host* EspResolver::hostOf(Group& group, net::Ipv4Address client)
{
    const auto found = std::ranges::find(group.hosts, client, &Host::client);
    return found == group.hosts.end() ? nullptr : &*found;
}

EspResolver::Host* EspResolver::makeHost(Group& group, EspPair pair, net::Ipv4Address client)
{
    if (Host* const host = hostOf(group, client)) return host;
    if (group.hosts.size() >= kMostHosts) return nullptr;
    Host& host = group.hosts.emplace_back();
    host.client = client;
    host.key = keyOf(pair, client);
    return &host;
}

/// Manual keys: no IKE names the tunnel, so client and server do.
tunnel::TunnelKey EspResolver::keyOf(EspPair pair, net::Ipv4Address client) const
{
    return {client, pair.server,
            sipHash(m_seed, pair.external.hostOrder(), 0x4553504d414e5541U) | 1U};
}

bool EspResolver::isTurnedOff(const Host& host, EspPair pair) const
{
    const auto mode = m_policy.modeFor(net::VpnProtocol::IpsecEsp, host.client, pair.server);
    // A tunnel that was let in and still lives may renew its SAs; the sessions' end ends it.
    return mode == PassthroughMode::Block && host.outbound.empty() && host.inbound.empty();
}

// ---- sessions -----------------------------------------------------------------------------------

void EspResolver::askOutbound(const Host& host, EspPair pair, OutboundSpi& spi, Actions& actions)
{
    PortlessBinding binding;
    binding.protocol = net::IpProtocol::Esp;
    binding.client = host.client;
    binding.external = pair.external;
    binding.server = pair.server;
    binding.outbound = Discriminator{Discriminator::Variant::Spi, spi.spi};
    binding.idle = spi.partner == 0              ? kCold
                   : host.ike && !spi.superseded ? kBoundIdleWithIke
                                                 : kBoundIdle;
    binding.watch = true;
    binding.key = host.key;
    binding.sequence = tunnel::SequenceKind::Esp;
    binding.renewal = std::exchange(spi.asked, true);
    spi.watched = true;
    actions.bindings.push_back(binding);
}

void EspResolver::askInbound(const Host& host, EspPair pair, InboundSpi& spi, Actions& actions)
{
    PortlessBinding binding;
    binding.protocol = net::IpProtocol::Esp;
    binding.client = host.client;
    binding.external = pair.external;
    binding.server = pair.server;
    binding.inbound = Discriminator{Discriminator::Variant::Spi, spi.spi};
    binding.idle = !spi.confirmed                ? kUnconfirmedIdle
                   : host.ike && !spi.superseded ? kBoundIdleWithIke
                                                 : kBoundIdle;
    binding.watch = true;
    binding.key = host.key;
    binding.sequence = tunnel::SequenceKind::Esp;
    binding.renewal = std::exchange(spi.asked, true);
    spi.watched = true;
    actions.bindings.push_back(binding);
}

void EspResolver::dropInbound(const Host& host, EspPair pair, std::uint32_t spi, Actions& actions)
{
    PortlessUnbinding unbinding;
    unbinding.protocol = net::IpProtocol::Esp;
    unbinding.client = host.client;
    unbinding.external = pair.external;
    unbinding.server = pair.server;
    unbinding.inbound = Discriminator{Discriminator::Variant::Spi, spi};
    actions.unbindings.push_back(unbinding);
}

// ---- expectations -------------------------------------------------------------------------------

bool EspResolver::hasRoomForPending(const Host& host) const
{
    const auto found = m_pendingsOf.find(host.client);
    return m_pendings < kMostPendings &&
           (found == m_pendingsOf.end() || found->second < kMostPendingsOfClient);
}

void EspResolver::addPending(Instant now, Host& host, std::uint64_t exchange, bool complete)
{
    const bool fromIke = exchange != 0;
    if (!m_tidyAt) m_tidyAt = now + kTidy;
    for (Pending& pending : host.pendings) {
        // Several messages of one negotiation (EAP has many) are one expectation, also when
        // something has been tried for it: each one more would let another stranger's SPI in.
        if (!fromIke || pending.exchange != exchange) continue;
        pending.since = now;
        pending.complete = pending.complete || complete;
        pending.until = now + (pending.complete ? kCold : kHot);
        return;
    }
    if (!hasRoomForPending(host)) return;
    Pending pending;
    pending.since = now;
    pending.exchange = exchange;
    pending.until = now + (complete ? kCold : kHot);
    pending.fromIke = fromIke;
    pending.complete = complete;
    host.pendings.push_back(pending);
    ++m_pendings;
    ++m_pendingsOf[host.client];
}

void EspResolver::erasePending(Host& host, std::size_t index)
{
    host.pendings.erase(host.pendings.begin() + static_cast<std::ptrdiff_t>(index));
    --m_pendings;
    const auto count = m_pendingsOf.find(host.client);
    if (count != m_pendingsOf.end() && --count->second == 0) m_pendingsOf.erase(count);
}

void EspResolver::expire(Instant now, Group& group, Actions& actions)
{
    for (Host& host : group.hosts) {
        for (std::size_t i = host.pendings.size(); i-- > 0;) {
            const Pending& pending = host.pendings[i];
            // The client goes on with its old SA: the exchange was about the IKE SA itself.
            const bool idle = pending.fromIke && pending.tried == 0 &&
                              now - pending.since >= kHot && host.lastUnpaired < pending.since &&
                              host.lastOutbound > pending.since + 5s;
            if (pending.until <= now || idle) erasePending(host, i);
        }
        if (!host.warned && host.inboundPackets == 0 && host.inbound.empty()) {
            for (const OutboundSpi& spi : host.outbound) {
                if (spi.packets < kSilentPackets || now - spi.first < kSilentTime) continue;
                host.warned = true;
                Observation finding = observe(host.key, Observation::Kind::Finding);
                finding.finding = tunnel::FindingKind::EspNeverReturns;
                finding.a = spi.packets;
                finding.b = spi.spi;
                actions.observations.push_back(std::move(finding));
                break;
            }
        }
    }
    std::erase_if(group.trials, [&](const Trial& trial) { return now - trial.last >= kHot; });
    for (std::size_t i = 0; i < group.held.size();) {
        if (group.held[i].deadline <= now) {
            release(now, group, i, actions);
        } else {
            ++i;
        }
    }
    if (!group.turn.isUnspecified() && turnEnd(group) <= now) {
        passTurn(now, group, group.turn, actions);
    }
    std::erase_if(group.shared, [&](const Shared& shared) {
        return std::ranges::none_of(shared.clients, [&](net::Ipv4Address client) {
            const Host* const host = hostOf(group, client);
            return host != nullptr && (!host->outbound.empty() || host->ike);
        });
    });
    sweep(group);
    settle(now, group);
}

void EspResolver::sweep(Group& group)
{
    std::erase_if(group.hosts, [&](const Host& host) {
        if (host.ike || !host.pendings.empty()) return false;
        if (!host.outbound.empty() || !host.inbound.empty()) return false;
        return std::ranges::none_of(group.shared, [&](const Shared& shared) {
            return std::ranges::find(shared.clients, host.client) != shared.clients.end();
        });
    });
}

void EspResolver::watchAgain(EspPair pair, Group& group, Actions& actions)
{
    group.askAgain = false;
    for (Host& host : group.hosts) {
        for (OutboundSpi& spi : host.outbound) {
            if (!spi.watched) askOutbound(host, pair, spi, actions);
        }
        for (InboundSpi& spi : host.inbound) {
            if (!spi.watched) askInbound(host, pair, spi, actions);
        }
    }
}

void EspResolver::settle(Instant now, Group& group)
{
    bool unsettled = !group.trials.empty();
    bool timed = !group.trials.empty() || !group.held.empty() || !group.turn.isUnspecified() ||
                 !group.shared.empty();
    for (const Host& host : group.hosts) {
        timed = timed || !host.pendings.empty();
        unsettled = unsettled || !host.pendings.empty() ||
                    std::ranges::any_of(host.inbound,
                                        [](const InboundSpi& spi) {
                                            return !spi.confirmed || spi.grade != Grade::Proven;
                                        }) ||
                    std::ranges::any_of(host.outbound,
                                        [](const OutboundSpi& spi) { return spi.partner == 0; });
    }
    if (timed && !m_tidyAt) m_tidyAt = now + kTidy;
    if (unsettled && !group.watching) {
        // Sessions of other clients than the one that was just shown can only be asked for at a
        // timeout.
        group.askAgain = true;
        m_tidyAt = now;
    }
    group.watching = unsettled;
}

// ---- IKE ----------------------------------------------------------------------------------------

void EspResolver::ikeSeen(Instant now, EspPair pair, net::Ipv4Address client, tunnel::TunnelKey key,
                          Actions& actions)
{
    Group* const group = findOrMake(pair);
    if (group == nullptr) return;
    Host* const host = makeHost(*group, pair, client);
    if (host == nullptr) return;
    host->ike = true;
    if (host->key == key) return;
    if (host->labelled) {
        Observation merge = observe(key, Observation::Kind::Merge);
        merge.other = host->key;
        actions.observations.push_back(std::move(merge));
    }
    host->key = key;
    for (OutboundSpi& spi : host->outbound)
        askOutbound(*host, pair, spi, actions);
    for (InboundSpi& spi : host->inbound)
        askInbound(*host, pair, spi, actions);
    settle(now, *group);
}

void EspResolver::ikeGone(Instant now, EspPair pair, net::Ipv4Address client, Actions& actions)
{
    Group* const group = find(pair);
    if (group == nullptr) return;
    if (Host* const host = hostOf(*group, client)) host->ike = false;
    for (std::size_t i = group->held.size(); i-- > 0;) {
        if (group->held[i].client != client) continue;
        actions.discards.push_back(group->held[i].token);
        group->held.erase(group->held.begin() + static_cast<std::ptrdiff_t>(i));
        --m_held;
    }
    if (group->turn == client) passTurn(now, *group, client, actions);
    sweep(*group);
    settle(now, *group);
    if (group->hosts.empty()) m_groups.erase(pair);
}

std::optional<std::uint32_t> EspResolver::gate(Instant now, EspPair pair, net::Ipv4Address client,
                                               std::uint64_t exchange, Actions& actions)
{
    Group* const group = findOrMake(pair);
    if (group == nullptr) return std::nullopt;
    expire(now, *group, actions);
    if (makeHost(*group, pair, client) == nullptr) return std::nullopt;
    for (Held& held : group->held) {
        if (held.client != client || held.exchange != exchange) continue;
        actions.discards.push_back(held.token);
        held.token = ++m_lastToken;
        return held.token;
    }
    const bool taken = !group->turn.isUnspecified() && group->turn != client;
    if (taken && group->held.size() < kMostHeldOfGroup && m_held < kMostHeld) {
        group->held.push_back({client, exchange, ++m_lastToken, now + kGate});
        ++m_held;
        return m_lastToken;
    }
    if (group->turn != client) group->turnBegan = now;
    group->turn = client;
    return std::nullopt;
}

Instant EspResolver::turnEnd(const Group& group)
{
    const auto sharers = static_cast<std::int64_t>(group.held.size() + 1);
    return group.turnBegan + std::max(kGate / sharers, kShortestTurn);
}

/// The client's turn is over: its SA is bound, or it took too long.
void EspResolver::passTurn(Instant now, Group& group, net::Ipv4Address client, Actions& actions)
{
    if (group.turn != client) return;
    group.turn = net::Ipv4Address{};
    if (!group.held.empty()) release(now, group, 0, actions);
}

void EspResolver::release(Instant now, Group& group, std::size_t index, Actions& actions)
{
    const Held held = group.held[index];
    group.held.erase(group.held.begin() + static_cast<std::ptrdiff_t>(index));
    --m_held;
    actions.releases.push_back(held.token);
    group.turn = held.client;
    group.turnBegan = now;
    if (Host* const host = hostOf(group, held.client)) {
        if (!host->pendings.empty() && host->pendings.back().fromIke) {
            host->pendings.back().since = now;
        }
    }
}

void EspResolver::childSa(Instant now, EspPair pair, net::Ipv4Address client,
                          std::uint64_t exchange, Agreement agreement)
{
    Group* const group = findOrMake(pair);
    if (group == nullptr) return;
    Host* const host = makeHost(*group, pair, client);
    if (host == nullptr) return;
    const bool complete = agreement == Agreement::Complete;
    addPending(now, *host, exchange, complete);

    settle(now, *group);
}

void EspResolver::noChildSa(Instant now, EspPair pair, net::Ipv4Address client,
                            std::uint64_t exchange)
{
    Group* const group = find(pair);
    Host* const host = group == nullptr ? nullptr : hostOf(*group, client);
    if (host == nullptr) return;
    for (std::size_t i = host->pendings.size(); i-- > 0;) {
        if (host->pendings[i].exchange != exchange || host->pendings[i].tried != 0) continue;
        erasePending(*host, i);
    }
    settle(now, *group);
}

void EspResolver::complained(Instant now, EspPair pair, net::Ipv4Address client)
{
    Group* const group = find(pair);
    Host* const host = group == nullptr ? nullptr : hostOf(*group, client);
    if (host == nullptr) return;
    for (Trial& trial : group->trials) {
        if (now - trial.last > kComplaint) continue;
        for (Candidate& candidate : trial.candidates) {
            if (candidate.client == client) candidate.score -= 2;
        }
    }
}

void EspResolver::dropNotOwners(const Group& group, std::uint32_t spi,
                                std::vector<Candidate>& candidates)
{
    if (group.notOwners.empty()) return;
    std::erase_if(candidates, [&](const Candidate& candidate) {
        return std::ranges::any_of(group.notOwners, [&](const NotOwner& other) {
            return other.spi == spi && other.client == candidate.client;
        });
    });
}

void EspResolver::refused(Instant now, EspPair pair, net::Ipv4Address client, std::uint32_t spi,
                          Actions& actions)
{
    Group* const group = find(pair);
    Host* const host = group == nullptr ? nullptr : hostOf(*group, client);
    if (host == nullptr) return;
    InboundSpi* const bound = findSpi(host->inbound, spi);
    if (bound != nullptr && bound->grade == Grade::Proven) return;
    const bool known = std::ranges::any_of(group->notOwners, [&](const NotOwner& other) {
        return other.spi == spi && other.client == client;
    });
    if (!known) {
        if (group->notOwners.size() >= kMostNotOwners) {
            group->notOwners.erase(group->notOwners.begin());
        }
        group->notOwners.push_back({spi, client});
    }
    if (bound == nullptr) return;
    // Its expectation is open again; the next packet finds another.
    for (Pending& pending : host->pendings) {
        if (pending.tried == spi) pending.tried = 0;
    }
    if (OutboundSpi* const partner = findSpi(host->outbound, bound->partner)) partner->partner = 0;
    std::erase_if(host->inbound, [&](const InboundSpi& other) { return other.spi == spi; });
    dropInbound(*host, pair, spi, actions);
    settle(now, *group);
}

void EspResolver::roundTrip(EspPair pair, Duration duration)
{
    Group* const group = find(pair);
    if (group == nullptr) return;
    if (group->ikeRoundTrip == Duration{0} || duration < group->ikeRoundTrip) {
        group->ikeRoundTrip = duration;
    }
}

// ---- outbound ESP -------------------------------------------------------------------------------

PortlessDecision EspResolver::decide(Instant now, net::Direction direction,
                                     const PortlessPacket& packet, Actions& actions)
{
    if (packet.payload.size() < kEspHeader || wire::load32(packet.payload, 0) < kLowestSpi) {
        return dropped(DropReason::MalformedEsp);
    }
    return direction == net::Direction::Outbound ? decideOutbound(now, packet, actions)
                                                 : decideInbound(now, packet, actions);
}

PortlessDecision EspResolver::decideOutbound(Instant now, const PortlessPacket& packet,
                                             Actions& actions)
{
    const EspPair pair = pairOf(packet);
    const std::uint32_t spi = wire::load32(packet.payload, 0);
    Group* const group = findOrMake(pair);
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
    if (host->pendings.empty() && !hasRoomForPending(*host)) {
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
        release(now, *group, static_cast<std::size_t>(held - group->held.begin()), actions);
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

/// A new SPI of a client right after a packet was tried on it may be its reaction.
void EspResolver::react(Instant now, EspPair pair, Group& group, Host& host, Actions& actions)
{
    for (Trial& trial : group.trials) {
        if (trial.packets == 0 || now - trial.last > kReaction) continue;
        const auto own = std::ranges::find(trial.candidates, host.client, &Candidate::client);
        if (own == trial.candidates.end()) continue;
        own->score += 2;
        const bool leads = std::ranges::all_of(trial.candidates, [&](const Candidate& other) {
            return other.client == host.client || own->score - other.score >= kClearLead;
        });
        if (!leads) continue;
        const std::uint32_t spi = trial.spi;
        const std::uint32_t highest = trial.highest;
        std::erase_if(group.trials, [&](const Trial& other) { return other.spi == spi; });
        bind(now, pair, group, host, spi, highest, Grade::Probable, false, actions);
        return;
    }
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

// ---- inbound ESP --------------------------------------------------------------------------------

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
    const bool clear =
        candidates.size() == 1 || candidates[0].score >= kClearWeight * candidates[1].score;
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

/// Who may be expecting a new inbound SPI, the likeliest first.
std::vector<EspResolver::Candidate> EspResolver::candidatesFor(Instant now, const Group& group,
                                                               EspPair pair,
                                                               std::uint32_t sequence) const
{
    const bool fresh = sequence >= 1 && sequence <= kFreshSequence;
    const auto waits = [&](const Host& host, bool fromIke) {
        return std::ranges::any_of(host.pendings, [&](const Pending& pending) {
            return pending.fromIke == fromIke && pending.tries < kMostTries;
        });
    };
    std::vector<Candidate> candidates;
    const auto collect = [&](bool fromIke) {
        for (const Host& host : group.hosts) {
            if (!waits(host, fromIke) || isTurnedOff(host, pair)) continue;
            if (std::ranges::find(candidates, host.client, &Candidate::client) !=
                candidates.end()) {
                continue;
            }
            // Its last message is still here: the server cannot have made its SA.
            if (std::ranges::find(group.held, host.client, &Held::client) != group.held.end()) {
                continue;
            }
            candidates.push_back({host.client, weightOf(now, group, host)});
        }
    };
    // A negotiation that was seen explains a fresh SA better than traffic does, and an SA that is
    // under way since long is no fresh one.
    if (fresh) collect(true);
    const bool hot = std::ranges::any_of(candidates, [&](const Candidate& candidate) {
        const auto host = std::ranges::find(group.hosts, candidate.client, &Host::client);
        return std::ranges::any_of(host->pendings, [&](const Pending& pending) {
            return pending.fromIke && now - pending.since <= kHot;
        });
    });
    if (!hot) collect(false);
    std::ranges::stable_sort(candidates, std::greater<>{}, &Candidate::score);
    return candidates;
}

std::int32_t EspResolver::weightOf(Instant now, const Group& group, const Host& host)
{
    std::int32_t weight = 100;
    if (std::ranges::none_of(host.pendings,
                             [](const Pending& pending) { return pending.tried == 0; })) {
        weight = 2;  // its expectation is probably fulfilled already
    }
    // The turn says something as long as nobody else's negotiation has just finished too.
    const bool alone = std::ranges::none_of(group.hosts, [&](const Host& other) {
        return other.client != host.client &&
               std::ranges::any_of(other.pendings, [&](const Pending& pending) {
                   return pending.fromIke && pending.tried == 0 && now - pending.since <= kRecent;
               });
    });
    if (group.turn == host.client && alone) weight *= 20;
    // Who has just spoken on an SA without partner is answered on its partner.
    const bool recently = host.lastUnpaired != Instant{} && now - host.lastUnpaired <= kRecent;
    if (recently) {
        switch (fitOf(now, group, host, Instant{})) {
        case Fit::Tight: weight *= 40; break;
        case Fit::Loose: weight *= 8; break;
        case Fit::None: weight *= 2; break;
        }
    }
    if (std::ranges::all_of(host.pendings,
                            [&](const Pending& pending) { return now - pending.since > kHot; })) {
        weight /= 2;
    }
    return weight;
}

/// Answers have one age, coincidences have all ages: the age that comes again and again is the
/// round trip.
void EspResolver::estimateRoundTrip(Instant now, Group& group)
{
    if (group.hosts.size() < 2) return;
    constexpr auto kSteps = static_cast<std::size_t>(kLatestAnswer / kAgeStep);
    group.ages.resize(kSteps);
    for (const Host& host : group.hosts) {
        for (const Instant at : host.spoke) {
            if (at == Instant{} || now - at >= kLatestAnswer) continue;
            ++group.ages[static_cast<std::size_t>((now - at) / kAgeStep)];
        }
    }
    if (++group.agesCounted < kAgesWanted) return;
    // An age may straddle two steps.
    std::size_t best = 0;
    std::uint32_t most = 0;
    for (std::size_t i = 0; i + 1 < kSteps; ++i) {
        const std::uint32_t both = std::uint32_t{group.ages[i]} + group.ages[i + 1];
        if (both > most) {
            most = both;
            best = i;
        }
    }
    std::uint32_t next = 0;
    for (std::size_t i = 0; i + 1 < kSteps; ++i) {
        if (i + 1 >= best && i <= best + 1) continue;
        next = std::max(next, std::uint32_t{group.ages[i]} + group.ages[i + 1]);
    }
    const bool clear = most * 2 >= group.agesCounted && most >= 2 * next;
    if (clear) {
        group.espRoundTrip =
            std::max<Duration>(kAgeStep * static_cast<std::int64_t>(best), Duration{1});
    }
    if (clear || group.agesCounted >= 16 * kAgesWanted) {
        group.ages.clear();
        group.agesCounted = 0;
    }
}

Duration EspResolver::tripOf(const Group& group)
{
    if (group.espRoundTrip != Duration{0}) return group.espRoundTrip;
    return group.ikeRoundTrip != Duration{0} ? group.ikeRoundTrip : kUsualRoundTrip;
}

EspResolver::Fit EspResolver::fitOf(Instant now, const Group& group, const Host& host,
                                    Instant since)
{
    const bool measured = group.espRoundTrip != Duration{0};
    const bool known = measured || group.ikeRoundTrip != Duration{0};
    const Duration trip = tripOf(group);
    const Duration slack = measured ? 2 * kAgeStep : kAgeStep;
    // Nothing is answered before a packet has been there and back; IKE only shows how long that
    // takes at most.
    const Duration likely = known ? trip - std::max(trip / 8, slack) : Duration{0};
    const Duration earliest = measured ? likely : Duration{0};
    const Duration prompt = known ? trip + std::max(trip / 8, slack) : Duration{0};
    const Duration latest = std::clamp<Duration>(2 * trip + 30ms, 60ms, kLatestAnswer);
    Fit best = Fit::None;
    for (const Instant at : host.spoke) {
        if (at == Instant{} || at <= since) continue;
        const Duration age = now - at;
        if (age < earliest || age > latest) continue;
        best = std::max(best, age >= likely && age <= prompt ? Fit::Tight : Fit::Loose);
    }
    return best;
}

Duration EspResolver::distanceOf(Instant now, const Group& group, const Host& host)
{
    Duration best = Duration::max();
    for (const Instant at : host.spoke) {
        if (at == Instant{}) continue;
        const Duration distance = now - at - tripOf(group);
        best = std::min(best, distance < Duration{0} ? -distance : distance);
    }
    return best;
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

/// One more packet of an SPI that several clients may own: adds up who seems to be answered, binds
/// when that is clear, else gives a copy to the likeliest.
PortlessDecision EspResolver::tryAll(Instant now, EspPair pair, Group& group, Trial& trial,
                                     std::uint32_t sequence, Actions& actions)
{
    // Whoever shows itself later may be the owner; whoever is bound meanwhile, or is gone, is out.
    for (const Candidate& later : candidatesFor(now, group, pair, sequence)) {
        if (trial.candidates.size() < kMostHosts &&
            std::ranges::find(trial.candidates, later.client, &Candidate::client) ==
                trial.candidates.end()) {
            trial.candidates.push_back({later.client, 0});
        }
    }
    std::erase_if(trial.candidates, [&](const Candidate& candidate) {
        const Host* const host = hostOf(group, candidate.client);
        return host == nullptr || std::ranges::none_of(host->pendings, [](const Pending& pending) {
                   return pending.tried == 0;
               });
    });
    dropNotOwners(group, trial.spi, trial.candidates);
    estimateRoundTrip(now, group);
    const Instant since = trial.packets == 0 ? Instant{} : trial.last;
    const auto fit = [&](const Candidate& candidate) {
        const Host* const host = hostOf(group, candidate.client);
        return host == nullptr ? Fit::None : fitOf(now, group, *host, since);
    };
    const bool anybody = std::ranges::any_of(
        trial.candidates, [&](const Candidate& candidate) { return fit(candidate) != Fit::None; });
    if (anybody) {
        for (Candidate& candidate : trial.candidates) {
            switch (fit(candidate)) {
            case Fit::Tight: candidate.score += 2; break;
            case Fit::Loose: candidate.score += 1; break;
            case Fit::None: candidate.score -= 1; break;
            }
        }
    }
    trial.last = now;
    trial.highest = std::max(trial.highest, sequence);
    std::ranges::stable_sort(trial.candidates, [&](const Candidate& a, const Candidate& b) {
        if (a.score != b.score) return a.score > b.score;
        const Host* const first = hostOf(group, a.client);
        const Host* const second = hostOf(group, b.client);
        return first != nullptr && second != nullptr &&
               distanceOf(now, group, *first) < distanceOf(now, group, *second);
    });
    if (trial.candidates.empty()) {
        const std::uint32_t spi = trial.spi;
        std::erase_if(group.trials, [&](const Trial& other) { return other.spi == spi; });
        return dropped(DropReason::EspNoOwner);
    }
    const bool over = trial.packets >= kTrialPackets || now - trial.first > kTrialTime;
    const std::int32_t lead = trial.candidates.size() == 1
                                  ? kClearLead
                                  : trial.candidates[0].score - trial.candidates[1].score;
    if (lead >= kClearLead || (over && lead >= 1)) {
        Host* const host = hostOf(group, trial.candidates[0].client);
        const std::uint32_t spi = trial.spi;
        const bool alone = trial.candidates.size() == 1;
        std::erase_if(group.trials, [&](const Trial& other) { return other.spi == spi; });
        if (host == nullptr) return dropped(DropReason::EspNoOwner);
        const net::Ipv4Address client = host->client;
        bind(now, pair, group, *host, spi, sequence,
             alone || lead >= kClearLead ? Grade::Probable : Grade::Guessed, false, actions);
        settle(now, group);
        return deliveredTo(client);
    }
    if (over) return dropped(DropReason::EspAmbiguous);
    ++trial.packets;
    PortlessDecision decision;
    decision.kind = PortlessDecision::Kind::FanOut;
    for (const Candidate& candidate : trial.candidates) {
        if (decision.recipientCount == PortlessDecision::kMostRecipients) break;
        decision.recipients[decision.recipientCount++] = candidate.client;
    }
    settle(now, group);
    return decision;
}

// ---- bindings -----------------------------------------------------------------------------------

void EspResolver::bind(Instant now, EspPair pair, Group& group, Host& host, std::uint32_t spi,
                       std::uint32_t sequence, Grade grade, bool alone, Actions& actions)
{
    if (host.inbound.size() >= kMostSpis) {
        // The one that has been silent longest; the newest keeps its predecessor for a while.
        const auto oldest = std::ranges::min_element(host.inbound, {}, &InboundSpi::last);
        if (now - oldest->last >= kOldSaKept || host.inbound.size() > kMostSpis) {
            dropInbound(host, pair, oldest->spi, actions);
            host.inbound.erase(oldest);
        } else {
            return;
        }
    }
    const bool fresh = sequence >= 1 && sequence <= kFreshSequence;
    const auto order = [&](bool fromIke) -> Pending* {
        for (Pending& pending : host.pendings) {
            if (pending.fromIke == fromIke && pending.tried == 0) return &pending;
        }
        return nullptr;
    };
    Pending* pending = order(fresh);
    if (pending == nullptr) pending = order(!fresh);
    if (pending == nullptr && !host.pendings.empty()) pending = &host.pendings.back();
    if (pending != nullptr) {
        ++pending->tries;
        pending->tried = spi;
    }
    InboundSpi inbound;
    inbound.spi = spi;
    inbound.bound = now;
    inbound.last = now;
    inbound.highest = sequence;
    inbound.grade = grade;
    inbound.recovered = !fresh;
    inbound.alone = alone && fresh;
    host.inbound.push_back(inbound);
    InboundSpi& added = host.inbound.back();
    if (host.inboundPackets++ == 0) {
        noteEvent(host.key, EventKind::DataFirstInbound, Lane::Server, Lane::Client, spi, 0,
                  actions);
        actions.observations.push_back(labelOf(host.key, pair, tunnel::Confidence::Certain));
        host.labelled = true;
    }
    noteEvent(host.key, EventKind::SpiBound, Lane::Router, Lane::Router, spi,
              static_cast<std::uint32_t>(added.grade), actions);
    if (!host.outbound.empty()) {
        Observation phase = observe(host.key, Observation::Kind::Phase);
        phase.phase = tunnel::Phase::Established;
        actions.observations.push_back(std::move(phase));
    }
    askInbound(host, pair, added, actions);
    if (group.turn == host.client) passTurn(now, group, host.client, actions);
}

void EspResolver::makePartners(Host& host, EspPair pair, OutboundSpi& outbound, InboundSpi& inbound,
                               Actions& actions)
{
    outbound.partner = inbound.spi;
    inbound.partner = outbound.spi;
    // The SAs before need not be kept for a day; if one is still used, its packets keep it.
    for (OutboundSpi& other : host.outbound) {
        if (other.spi == outbound.spi || other.partner == 0 || other.superseded) continue;
        other.superseded = true;
        if (host.ike) askOutbound(host, pair, other, actions);
    }
    for (InboundSpi& other : host.inbound) {
        if (other.spi == inbound.spi || other.partner == 0 || other.superseded) continue;
        other.superseded = true;
        if (host.ike) askInbound(host, pair, other, actions);
    }
    askOutbound(host, pair, outbound, actions);
    Observation passage = observe(host.key, Observation::Kind::Passage);
    passage.passage = {tunnel::PassageKind::SpiPair, outbound.spi, inbound.spi};
    actions.observations.push_back(std::move(passage));
    if (host.pairs++ > 0) {
        actions.observations.push_back(observe(host.key, Observation::Kind::Rekey));
        noteEvent(host.key, EventKind::Rekeyed, Lane::Client, Lane::Server, host.pairs - 1, 0,
                  actions);
    }
}

void EspResolver::confirm(Instant now, EspPair pair, Group& group, Host& host, InboundSpi& inbound,
                          Grade grade, Actions& actions)
{
    const bool news = grade != inbound.grade;
    const bool first = !inbound.confirmed;
    inbound.grade = std::max(grade, inbound.grade);
    inbound.confirmed = true;
    if (inbound.partner == 0) {
        if (OutboundSpi* const waiting = findUnpaired(host.outbound)) {
            makePartners(host, pair, *waiting, inbound, actions);
        }
    }
    for (std::size_t i = host.pendings.size(); i-- > 0;) {
        if (host.pendings[i].tried == inbound.spi) erasePending(host, i);
    }
    if (news) {
        noteEvent(host.key, EventKind::SpiBound, Lane::Router, Lane::Router, inbound.spi,
                  static_cast<std::uint32_t>(inbound.grade), actions);
    }
    if (first) askInbound(host, pair, inbound, actions);
    settle(now, group);
}

// ---- watching -----------------------------------------------------------------------------------

Attention EspResolver::watch(Instant now, net::Direction direction, const PortlessPacket& packet,
                             Actions& actions)
{
    constexpr Attention kIgnore{.next = Attention::Next::Ignore};
    if (packet.payload.size() < kEspHeader) return kIgnore;
    const EspPair pair = pairOf(packet);
    Group* const group = find(pair);
    Host* host = group == nullptr ? nullptr : hostOf(*group, packet.internal);
    if (host == nullptr) return kIgnore;
    const std::uint32_t spi = wire::load32(packet.payload, 0);
    const std::uint32_t sequence = wire::load32(packet.payload, 4);
    if (direction == net::Direction::Outbound) {
        if (findSpi(host->outbound, spi) == nullptr) return kIgnore;
        watchOutbound(now, pair, *group, *host, spi, actions);
    } else {
        if (findSpi(host->inbound, spi) == nullptr) return kIgnore;
        watchInbound(now, pair, *group, *host, spi, sequence, actions);
    }
    if (group->watching) return {};
    host = hostOf(*group, packet.internal);
    if (host == nullptr) return kIgnore;
    if (direction == net::Direction::Outbound) {
        if (OutboundSpi* const known = findSpi(host->outbound, spi)) known->watched = false;
    } else if (InboundSpi* const known = findSpi(host->inbound, spi)) {
        known->watched = false;
    }
    return kIgnore;
}

void EspResolver::watchInbound(Instant now, EspPair pair, Group& group, Host& host,
                               std::uint32_t spi, std::uint32_t sequence, Actions& actions)
{
    InboundSpi* const known = findSpi(host.inbound, spi);
    if (known == nullptr) return;
    ++host.inboundPackets;
    estimateRoundTrip(now, group);
    // A number that a single sender would not send (again): somebody else may have chosen this SPI.
    if (sequence > known->highest) {
        const std::uint32_t ahead = sequence - known->highest;
        known->window = ahead < 64 ? (known->window << ahead) | 1U : 1U;
        known->highest = sequence;
    } else {
        const std::uint32_t behind = known->highest - sequence;
        const std::uint64_t bit = behind < 64 ? std::uint64_t{1} << behind : 0;
        if (behind < 64 && (known->window & bit) == 0) {
            known->window |= bit;
        } else if (sequence <= kFreshSequence) {
            ++known->restarts;
        }
    }
    if (known->restarts >= 2) {
        for (Host& rival : group.hosts) {
            if (rival.client == host.client || rival.lastUnpaired == Instant{}) continue;
            const bool waits = std::ranges::any_of(rival.pendings, [&](const Pending& pending) {
                return pending.tried == 0 && now - pending.since <= kHot;
            });
            if (!waits) continue;
            share(now, pair, group, host, rival, spi, actions);
            return;
        }
        known->restarts = 0;
    }
    const Instant previous = std::exchange(known->last, now);
    if (!known->confirmed && sequence != known->highest) {
        settle(now, group);
        return;
    }
    weighEvidence(now, pair, group, host, *known, previous, actions);
}

/// Whether the client waits for an SPI or has one that may be another's.
bool EspResolver::isUnresolved(const Host& host)
{
    return std::ranges::any_of(host.pendings,
                               [](const Pending& pending) { return pending.tried == 0; }) ||
           std::ranges::any_of(host.inbound,
                               [](const InboundSpi& spi) { return spi.grade != Grade::Proven; });
}

void EspResolver::weighEvidence(Instant now, EspPair pair, Group& group, Host& host,
                                InboundSpi& inbound, Instant previous, Actions& actions)
{
    if (!inbound.confirmed) {
        confirm(now, pair, group, host, inbound, inbound.alone ? Grade::Proven : inbound.grade,
                actions);
        return;
    }
    if (inbound.grade == Grade::Proven) {
        settle(now, group);
        return;
    }
    const auto answered = [&](const Host& candidate) {
        return fitOf(now, group, candidate, previous) != Fit::None;
    };
    const bool own = answered(host);
    bool contested = false;
    bool clear = true;
    const Rival* best = nullptr;
    for (const Host& other : group.hosts) {
        if (other.client == host.client || !isUnresolved(other)) continue;
        contested = true;
        auto rival = std::ranges::find(inbound.rivals, other.client, &Rival::client);
        if (rival == inbound.rivals.end()) {
            rival = inbound.rivals.insert(rival, {other.client, 0});
        }
        rival->lead += (answered(other) ? 1 : 0) - (own ? 1 : 0);
        clear = clear && rival->lead <= -kProof;
    }
    for (const Rival& rival : inbound.rivals) {
        if (best == nullptr || rival.lead > best->lead) best = &rival;
    }
    // After a restart a client may not have shown itself yet.
    const bool everybodySeen = !inbound.recovered || now - inbound.bound >= kHot;
    if ((!contested && everybodySeen) || (contested && clear)) {
        confirm(now, pair, group, host, inbound, Grade::Proven, actions);
        return;
    }
    if (best == nullptr || best->lead < kClearLead) return;
    Host* const owner = hostOf(group, best->client);
    if (owner == nullptr || !isUnresolved(*owner)) {
        std::erase_if(inbound.rivals, [](const Rival& rival) { return rival.lead >= kClearLead; });
        return;
    }
    move(now, pair, group, host, *owner, inbound.spi, actions);
}

/// Self-healing: what was bound without proof answers somebody else.
void EspResolver::move(Instant now, EspPair pair, Group& group, Host& from, Host& to,
                       std::uint32_t spi, Actions& actions)
{
    const auto wrong = std::ranges::find(from.inbound, spi, &InboundSpi::spi);
    if (wrong == from.inbound.end()) return;
    const std::uint32_t highest = wrong->highest;
    if (OutboundSpi* const partner = findSpi(from.outbound, wrong->partner)) partner->partner = 0;
    from.inbound.erase(wrong);
    dropInbound(from, pair, spi, actions);
    addPending(now, from, from.ike ? spi : 0, true);
    // An unproven SPI of the new owner whose place this one takes stays, without a partner.
    for (InboundSpi& other : to.inbound) {
        if (other.grade == Grade::Proven || other.partner == 0) continue;
        if (OutboundSpi* const partner = findSpi(to.outbound, other.partner)) partner->partner = 0;
        other.partner = 0;
    }
    noteEvent(to.key, EventKind::SpiRebound, Lane::Router, Lane::Router, spi, 0, actions);
    bind(now, pair, group, to, spi, highest, Grade::Probable, false, actions);
    if (InboundSpi* const moved = findSpi(to.inbound, spi)) {
        confirm(now, pair, group, to, *moved, Grade::Probable, actions);
    }
    settle(now, group);
}

/// Both clients chose this SPI. Each discards what is not its own.
void EspResolver::share(Instant now, EspPair pair, Group& group, Host& owner, Host& rival,
                        std::uint32_t spi, Actions& actions)
{
    if (group.shared.size() >= kMostShared) return;
    dropInbound(owner, pair, spi, actions);
    std::erase_if(owner.inbound, [&](const InboundSpi& inbound) { return inbound.spi == spi; });
    for (std::size_t i = owner.pendings.size(); i-- > 0;) {
        if (owner.pendings[i].tried == spi) erasePending(owner, i);
    }
    for (std::size_t i = 0; i < rival.pendings.size(); ++i) {
        if (rival.pendings[i].tried != 0) continue;
        erasePending(rival, i);
        break;
    }
    if (OutboundSpi* const waiting = findUnpaired(rival.outbound)) {
        waiting->partner = spi;
    }
    noteEvent(rival.key, EventKind::SpiBound, Lane::Router, Lane::Router, spi,
              static_cast<std::uint32_t>(Grade::Guessed), actions);
    noteEvent(owner.key, EventKind::SpiRebound, Lane::Router, Lane::Router, spi, 0, actions);
    group.shared.push_back({spi, {owner.client, rival.client}});
    settle(now, group);
}

void EspResolver::bindingClosed(Instant now, const PortlessBinding& binding)
{
    const EspPair pair{binding.external, binding.server};
    Group* const group = find(pair);
    Host* const host = group == nullptr ? nullptr : hostOf(*group, binding.client);
    if (host == nullptr) return;
    if (binding.outbound) {
        const std::uint32_t spi = binding.outbound->id;
        for (InboundSpi& in : host->inbound) {
            if (in.partner == spi) in.partner = 0;
        }
        std::erase_if(host->outbound, [&](const OutboundSpi& out) { return out.spi == spi; });
    }
    if (binding.inbound) {
        const std::uint32_t spi = binding.inbound->id;
        std::erase_if(host->inbound, [&](const InboundSpi& in) { return in.spi == spi; });
        for (OutboundSpi& out : host->outbound) {
            if (out.partner == spi) out.partner = 0;
        }
        for (std::size_t i = host->pendings.size(); i-- > 0;) {
            if (host->pendings[i].tried == spi) host->pendings[i].tried = 0;
        }
    }
    sweep(*group);
    settle(now, *group);
    if (group->hosts.empty()) m_groups.erase(pair);
}

// ---- time ---------------------------------------------------------------------------------------

void EspResolver::handleTimeout(Instant now, Actions& actions)
{
    const bool tidy = m_tidyAt && *m_tidyAt <= now;
    if (tidy) m_tidyAt.reset();
    for (auto it = m_groups.begin(); it != m_groups.end();) {
        auto& [pair, group] = *it;
        const bool due =
            !group.held.empty() &&
            (turnEnd(group) <= now || std::ranges::any_of(group.held, [&](const Held& held) {
                 return held.deadline <= now;
             }));
        if (tidy || due) expire(now, group, actions);
        if (group.askAgain && group.watching) watchAgain(pair, group, actions);
        it = group.hosts.empty() ? m_groups.erase(it) : std::next(it);
    }
}

std::optional<Instant> EspResolver::nextTimeout() const
{
    std::optional<Instant> next = m_tidyAt;
    if (m_held == 0) return next;
    for (const auto& [pair, group] : m_groups) {
        for (const Held& held : group.held) {
            if (!next || held.deadline < *next) next = held.deadline;
        }
        if (!group.held.empty() && (!next || turnEnd(group) < *next)) next = turnEnd(group);
    }
    return next;
}

EspResolver::Sizes EspResolver::sizes() const
{
    Sizes sizes;
    sizes.groups = m_groups.size();
    sizes.held = m_held;
    sizes.pendings = m_pendings;
    for (const auto& [pair, group] : m_groups) {
        sizes.hosts += group.hosts.size();
        for (const Host& host : group.hosts) {
            sizes.spis += host.inbound.size() + host.outbound.size();
        }
    }
    return sizes;
}

}  // namespace engine::passthrough
