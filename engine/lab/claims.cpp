#include "engine/lab/claims.h"

#include <algorithm>

namespace engine::lab {

namespace {

const net::Prefix kInside{net::Ipv4Address{192, 168, 77, 0}, 24};

/// A check that every internal host with programs passes; the detail names the first that does not.
template <typename Predicate>
void claimOfAll(Lab& lab, std::string what, Predicate holds)
{
    lab.claim([what = std::move(what), holds](Lab& now) {
        for (const Host* host : now.network().hosts()) {
            if (!kInside.contains(host->address()) || host->peers().empty()) continue;
            const PeerReport report = now.reportOf(host->address());
            if (!holds(report)) return Check{what, false, host->name() + ": " + describe(report)};
        }
        return Check{what, true, {}};
    });
}

}  // namespace

std::string describe(const PeerReport& report)
{
    return std::string{report.up ? "up" : "not up"} + ", attempts " +
           std::to_string(report.attempts) + ", established " + std::to_string(report.established) +
           ", rekeys " + std::to_string(report.rekeys) + ", sent " + std::to_string(report.sent) +
           ", received " + std::to_string(report.received) + ", wrong " +
           std::to_string(report.wrong) + ", strays " + std::to_string(report.strays) +
           ", failures " + std::to_string(report.failures);
}

void claimAllUp(Lab& lab, std::string what)
{
    claimOfAll(lab, std::move(what), [](const PeerReport& report) { return report.up; });
}

void claimAnswered(Lab& lab, std::uint64_t percent)
{
    claimOfAll(lab, "at least " + std::to_string(percent) + " % of all messages are answered",
               [percent](const PeerReport& report) {
                   return report.sent > 0 && report.received * 100 >= report.sent * percent;
               });
}

void claimUnbroken(Lab& lab)
{
    claimOfAll(lab, "nothing had to begin twice",
               [](const PeerReport& report) { return report.failures == 0; });
}

void claimDropped(Lab& lab, DropReason reason)
{
    lab.claim([reason](Lab& now) {
        const std::uint64_t count = now.snapshot().counters.drops[static_cast<std::size_t>(reason)];
        return Check{"drops are counted as " + std::string{nameOf(reason)}, count > 0,
                     std::to_string(count)};
    });
}

void claimFinding(Lab& lab, tunnel::FindingKind kind, std::string what)
{
    lab.claim([kind, what = std::move(what)](Lab& now) {
        const Snapshot snapshot = now.snapshot();
        const bool found = std::ranges::any_of(snapshot.tunnels, [kind](const tunnel::Tunnel& one) {
            return std::ranges::any_of(one.findings, [kind](const tunnel::Finding& finding) {
                return finding.kind == kind && !finding.packets.empty();
            });
        });
        return Check{what, found, std::to_string(snapshot.tunnels.size()) + " tunnels"};
    });
}

void claimInsideShown(Lab& lab, net::VpnProtocol protocol)
{
    lab.claim([protocol](Lab& now) {
        std::size_t shown = 0;
        std::size_t all = 0;
        for (const tunnel::Tunnel& one : now.snapshot().tunnels) {
            if (one.protocol != protocol || tunnel::isOver(one.phase)) continue;
            ++all;
            const bool isWhole = one.roundTrip > Duration{0} && one.innerMtu != 0 &&
                                 !one.innerAddress.isUnspecified();
            if (isWhole) ++shown;
        }
        return Check{"round trip, address inside and packet size are shown",
                     all > 0 && shown == all,
                     std::to_string(shown) + " of " + std::to_string(all) + " tunnels"};
    });
}

void claimTunnels(Lab& lab, net::VpnProtocol protocol, std::size_t count)
{
    lab.claim([protocol, count](Lab& now) {
        const Snapshot snapshot = now.snapshot();
        const auto shown = static_cast<std::size_t>(
            std::ranges::count_if(snapshot.tunnels, [protocol](const tunnel::Tunnel& one) {
                return one.protocol == protocol && !tunnel::isOver(one.phase);
            }));
        return Check{std::to_string(count) + " tunnels are shown as " +
                         std::string{net::textOf(protocol).name},
                     shown >= count, std::to_string(shown)};
    });
}

}  // namespace engine::lab
