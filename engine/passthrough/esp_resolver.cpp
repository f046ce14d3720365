#include "engine/passthrough/esp_resolver_parts.h"

#include <algorithm>
#include <utility>

/// The table of who speaks with whom on which SPIs, and its sessions.
namespace engine::passthrough {

using namespace esp;

namespace {

/// RFC 4303 §2.1: 0 to 255 are reserved.
constexpr std::uint32_t kLowestSpi = 256;
/// SPI and sequence number.
constexpr std::size_t kEspHeader = 8;
/// A binding that no second packet has confirmed.
constexpr Duration kUnconfirmedIdle = 10min;
constexpr Duration kBoundIdle = 1h;
/// IKE renegotiates before its SAs end, usually within eight hours.
constexpr Duration kBoundIdleWithIke = 8h;
constexpr std::uint32_t kSilentPackets = 5;
constexpr Duration kSilentTime = 10s;

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

bool EspResolver::hasRoomForGroup(net::Ipv4Address client) const
{
    const auto found = m_groupsOf.find(client);
    return found == m_groupsOf.end() || found->second < kMostGroupsOfClient;
}

EspResolver::Group* EspResolver::findOrMake(EspPair pair, net::Ipv4Address client, Claim claim)
{
    if (Group* const group = find(pair)) return group;
    const std::size_t most = claim == Claim::Answered ? kMostGroups : kMostUnansweredGroups;
    if (m_groups.size() >= most || !hasRoomForGroup(client)) return nullptr;
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
    if (group.hosts.size() >= kMostHosts || !hasRoomForGroup(client)) return nullptr;
    Host& host = group.hosts.emplace_back();
    host.client = client;
    host.key = keyOf(pair, client);
    ++m_groupsOf[client];
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

void EspResolver::sweep(Group& group)
{
    std::erase_if(group.hosts, [&](const Host& host) {
        if (host.ike || !host.pendings.empty()) return false;
        if (!host.outbound.empty() || !host.inbound.empty()) return false;
        const bool shares = std::ranges::any_of(group.shared, [&](const Shared& shared) {
            return std::ranges::find(shared.clients, host.client) != shared.clients.end();
        });
        if (shares) return false;
        const auto count = m_groupsOf.find(host.client);
        if (count != m_groupsOf.end() && --count->second == 0) m_groupsOf.erase(count);
        return true;
    });
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

// ---- ESP ----------------------------------------------------------------------------------------

PortlessDecision EspResolver::decide(Instant now, net::Direction direction,
                                     const PortlessPacket& packet, Actions& actions)
{
    if (packet.payload.size() < kEspHeader || wire::load32(packet.payload, 0) < kLowestSpi) {
        return dropped(DropReason::MalformedEsp);
    }
    return direction == net::Direction::Outbound ? decideOutbound(now, packet, actions)
                                                 : decideInbound(now, packet, actions);
}

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

// ---- time ---------------------------------------------------------------------------------------

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
    while (true) {
        const auto due = std::ranges::find_if(
            group.held, [&](const Held& held) { return held.deadline <= now; });
        if (due == group.held.end()) break;
        release(now, group, due->client, actions);
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
