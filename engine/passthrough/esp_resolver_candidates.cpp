#include "engine/passthrough/esp_resolver_parts.h"

#include <algorithm>
#include <functional>
#include <utility>

/// Who may be the owner of an unknown SPI: how likely each client is, and copies to the likeliest
/// until one shows that it is meant.
namespace engine::passthrough {

using namespace esp;

namespace {

constexpr std::uint8_t kMostTries = 4;
constexpr std::uint32_t kTrialPackets = 8;
constexpr Duration kTrialTime = 2s;
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

}  // namespace

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

// ---- round trips --------------------------------------------------------------------------------

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

// ---- fan-out ------------------------------------------------------------------------------------

/// Two packets at once from the server, on two new SPIs, while only one client has just spoken: one
/// of them is no answer to it, and nobody can say which.
bool EspResolver::reopen(Instant now, EspPair pair, Group& group, Actions& actions)
{
    bool reopened = false;
    for (Host& host : group.hosts) {
        const auto doubted = std::ranges::find_if(host.inbound, [&](const InboundSpi& inbound) {
            return !inbound.confirmed && !inbound.alone && !inbound.recovered &&
                   now - inbound.bound <= kLatestAnswer;
        });
        // Room for both.
        if (doubted == host.inbound.end() || group.trials.size() + 2 > kMostTrials) continue;
        if (fitOf(now, group, host, Instant{}) != Fit::Tight) continue;
        Trial trial;
        trial.spi = doubted->spi;
        trial.first = doubted->bound;
        trial.last = doubted->last;
        trial.since = now;
        trial.packets = 1;
        trial.highest = doubted->highest;
        for (Pending& pending : host.pendings) {
            if (pending.tried == trial.spi) pending.tried = 0;
        }
        dropInbound(host, pair, trial.spi, actions);
        host.inbound.erase(doubted);
        for (const Candidate& candidate : candidatesFor(now, group, pair, trial.highest))
            trial.candidates.push_back({candidate.client, 0});
        dropNotOwners(group, trial.spi, trial.candidates);
        group.trials.push_back(std::move(trial));
        reopened = true;
    }
    return reopened;
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
    const Instant since = std::exchange(trial.since, now);
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

}  // namespace engine::passthrough
