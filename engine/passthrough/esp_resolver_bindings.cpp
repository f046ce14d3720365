#include "engine/passthrough/esp_resolver_parts.h"

#include <algorithm>
#include <utility>

/// What an SPI's binding goes through: from a guess to a proof, to a partner at a rekey, to another
/// client when it was wrong.
namespace engine::passthrough {

using namespace esp;

namespace {

/// After a rekey the old SA is kept at least this long.
constexpr Duration kOldSaKept = 120s;
/// Points by which an owner must lead over everybody else to be beyond doubt.
constexpr std::int32_t kProof = 4;

}  // namespace

void EspResolver::bind(Instant now, EspPair pair, Group& group, Host& host, std::uint32_t spi,
                       std::uint32_t sequence, Grade grade, bool alone, Actions& actions)
{
    if (host.inbound.size() >= kMostSpis) {
        // The one that has been silent longest; the newest keeps its predecessor for a while.
        const auto oldest = std::ranges::min_element(host.inbound, {}, &InboundSpi::last);
        if (now - oldest->last >= kOldSaKept) {
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

// ---- proof and healing --------------------------------------------------------------------------

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

}  // namespace engine::passthrough
