#include "engine/passthrough/esp_resolver_parts.h"

#include <algorithm>
#include <utility>

/// What IKE shows: whose child SA comes into being, and whose last message waits for another's.
namespace engine::passthrough {

using namespace esp;

namespace {

/// Clients retransmit IKE after a second at the earliest; a message held longer would be sent
/// twice.
constexpr Duration kGate = 700ms;
/// When many wait, each gets at least this much: enough for the answers to two clients' first
/// packets to be told apart by when they come.
constexpr Duration kShortestTurn = 100ms;

}  // namespace

bool EspResolver::hasRoomForPending(const Host& host, Claim claim) const
{
    const auto found = m_pendingsOf.find(host.client);
    return m_pendings < kMostPendings &&
           (claim == Claim::Answered || m_unansweredPendings < kMostUnansweredPendings) &&
           (found == m_pendingsOf.end() || found->second < kMostPendingsOfClient);
}

void EspResolver::addPending(Instant now, Host& host, std::uint64_t exchange, bool complete)
{
    const bool fromIke = exchange != 0;
    const bool answered = fromIke && complete;
    if (!m_tidyAt) m_tidyAt = now + kTidy;
    for (Pending& pending : host.pendings) {
        // Several messages of one negotiation (EAP has many) are one expectation, also when
        // something has been tried for it: each one more would let another stranger's SPI in.
        if (!fromIke || pending.exchange != exchange) continue;
        pending.since = now;
        pending.complete = pending.complete || complete;
        if (answered && !std::exchange(pending.answered, true)) --m_unansweredPendings;
        pending.until = now + (pending.complete ? kCold : kHot);
        return;
    }
    if (!hasRoomForPending(host, answered ? Claim::Answered : Claim::Unanswered)) return;
    Pending pending;
    pending.since = now;
    pending.exchange = exchange;
    pending.until = now + (complete ? kCold : kHot);
    pending.fromIke = fromIke;
    pending.complete = complete;
    pending.answered = answered;
    if (!answered) ++m_unansweredPendings;
    host.pendings.push_back(pending);
    ++m_pendings;
    ++m_pendingsOf[host.client];
}

void EspResolver::erasePending(Host& host, std::size_t index)
{
    if (!host.pendings[index].answered) --m_unansweredPendings;
    host.pendings.erase(host.pendings.begin() + static_cast<std::ptrdiff_t>(index));
    --m_pendings;
    const auto count = m_pendingsOf.find(host.client);
    if (count != m_pendingsOf.end() && --count->second == 0) m_pendingsOf.erase(count);
}

// ---- IKE ----------------------------------------------------------------------------------------

void EspResolver::ikeSeen(Instant now, EspPair pair, net::Ipv4Address client, tunnel::TunnelKey key,
                          Actions& actions)
{
    Group* const group = findOrMake(pair, client, Claim::Unanswered);
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

void EspResolver::childSa(Instant now, EspPair pair, net::Ipv4Address client,
                          std::uint64_t exchange, Agreement agreement)
{
    const bool complete = agreement == Agreement::Complete;
    Group* const group = findOrMake(pair, client, complete ? Claim::Answered : Claim::Unanswered);
    if (group == nullptr) return;
    Host* const host = makeHost(*group, pair, client);
    if (host == nullptr) return;
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

void EspResolver::roundTrip(EspPair pair, Duration duration)
{
    Group* const group = find(pair);
    if (group == nullptr) return;
    if (group->ikeRoundTrip == Duration{0} || duration < group->ikeRoundTrip) {
        group->ikeRoundTrip = duration;
    }
}

// ---- holding ------------------------------------------------------------------------------------

std::optional<std::uint32_t> EspResolver::gate(Instant now, EspPair pair, net::Ipv4Address client,
                                               std::uint64_t message, Actions& actions)
{
    Group* const group = findOrMake(pair, client, Claim::Unanswered);
    if (group == nullptr) return std::nullopt;
    expire(now, *group, actions);
    if (makeHost(*group, pair, client) == nullptr) return std::nullopt;
    for (Held& held : group->held) {
        if (held.client != client || held.message != message) continue;
        actions.discards.push_back(held.token);
        held.token = ++m_lastToken;
        return held.token;
    }
    const bool taken = !group->turn.isUnspecified() && group->turn != client;
    if (taken && group->held.size() < kMostHeldOfGroup && m_held < kMostHeld) {
        group->held.push_back({client, message, ++m_lastToken, now + kGate});
        ++m_held;
        return m_lastToken;
    }
    if (group->turn != client) group->turnBegan = now;
    group->turn = client;
    return std::nullopt;
}

Instant EspResolver::turnEnd(const Group& group)
{
    // The turn's own client and those that wait, each with as many messages as it has.
    std::int64_t sharers = 1;
    for (std::size_t i = 0; i < group.held.size(); ++i) {
        const auto before = group.held.begin() + static_cast<std::ptrdiff_t>(i);
        if (std::find_if(group.held.begin(), before, [&](const Held& held) {
                return held.client == before->client;
            }) == before) {
            ++sharers;
        }
    }
    return group.turnBegan + std::max(kGate / sharers, kShortestTurn);
}

/// The client's turn is over: its SA is bound, or it took too long.
void EspResolver::passTurn(Instant now, Group& group, net::Ipv4Address client, Actions& actions)
{
    if (group.turn != client) return;
    group.turn = net::Ipv4Address{};
    if (!group.held.empty()) release(now, group, group.held.front().client, actions);
}

void EspResolver::release(Instant now, Group& group, net::Ipv4Address client, Actions& actions)
{
    // A message that IKE has cut is several that wait; half of them are of no use.
    std::erase_if(group.held, [&](const Held& held) {
        if (held.client != client) return false;
        --m_held;
        actions.releases.push_back(held.token);
        return true;
    });
    group.turn = client;
    group.turnBegan = now;
    if (Host* const host = hostOf(group, client)) {
        if (!host->pendings.empty() && host->pendings.back().fromIke) {
            host->pendings.back().since = now;
        }
    }
}

}  // namespace engine::passthrough
