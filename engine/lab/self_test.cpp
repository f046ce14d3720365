#include "engine/lab/self_test.h"

#include "engine/lab/claims.h"
#include "engine/lab/clash.h"
#include "engine/lab/scenario.h"

#include <array>
#include <set>

namespace engine::lab {

namespace {

using net::VpnProtocol;
using policy::PassthroughMode;

constexpr net::Ipv4Address kServer{198, 51, 100, 10};
constexpr Duration kLength = 20s;
/// A VPN in TLS can be told from a web page only once its DTLS channel appears.
constexpr Duration kRecognisedWithin = 5s;

/// How many of the two devices have a live tunnel that is shown as one of the protocol.
std::size_t devicesShown(VpnProtocol protocol, const Snapshot& snapshot)
{
    std::set<net::Ipv4Address> devices;
    for (const tunnel::Tunnel& shown : snapshot.tunnels) {
        if (shown.protocol == protocol && !tunnel::isOver(shown.phase)) {
            devices.insert(shown.device);
        }
    }
    return devices.size();
}

/// What the two have come to while nothing is blocked.
std::string outcomeComplaint(VpnProtocol protocol, const std::array<PeerReport, 2>& clients,
                             const std::array<HostCounters, 2>& hosts, const Snapshot& snapshot)
{
    std::size_t talking = 0;
    std::size_t told = 0;
    for (std::size_t i = 0; i < clients.size(); ++i) {
        if (clients[i].up && clients[i].received > 0) ++talking;
        if (hosts[i].icmpErrors > 0) ++told;
    }
    const std::string both = describe(clients[0]) + "; " + describe(clients[1]) + ".";
    const std::size_t expected = talkersOf(clashOutcomeOf(protocol));
    if (talking != expected) {
        return "Of two clients of one server, " + std::to_string(talking) + " came up, not " +
               std::to_string(expected) + ": " + both;
    }
    if (expected < 2) {
        const DropReason reason = clashRefusalOf(protocol);
        if (snapshot.counters.drops[static_cast<std::size_t>(reason)] == 0) {
            return "No refusal was counted as " + std::string{nameOf(reason)} + ".";
        }
        if (told < 2 - expected) return "A client that was refused was not told so.";
    }
    const std::size_t shown = devicesShown(protocol, snapshot);
    if (shown != expected) {
        return "Tunnels of " + std::to_string(shown) + " devices are shown, not of " +
               std::to_string(expected) + ".";
    }
    return {};
}

/// Empty if the switch does what its position promises.
std::string complaint(VpnProtocol protocol, PassthroughMode mode, std::uint64_t early, Lab& lab,
                      const Clash& clash)
{
    for (const Check& check : lab.results()) {
        if (!check.passed) return "This does not hold: " + check.what + " (" + check.detail + ").";
    }
    const std::array clients{lab.reportOf(clash.one.address()), lab.reportOf(clash.two.address())};
    const std::array hosts{clash.one.counters(), clash.two.counters()};
    const Snapshot snapshot = lab.snapshot();
    const Counters& counters = snapshot.counters;
    switch (mode) {
    case PassthroughMode::Assist: return outcomeComplaint(protocol, clients, hosts, snapshot);
    case PassthroughMode::Plain:
        if (counters.helperEdits != 0) return "A helper has changed packets.";
        // Two clients of one server that need help may do without it or not.
        if (net::textOf(protocol).needsHelp && clashOutcomeOf(protocol) == ClashOutcome::BothTalk) {
            return {};
        }
        return outcomeComplaint(protocol, clients, hosts, snapshot);
    case PassthroughMode::Block: {
        if (clients[0].received + clients[1].received != early) {
            return "A client came up although it is blocked.";
        }
        if (early != 0 && net::textOf(protocol).refusedFrom != net::RefusedFrom::Recognition) {
            return "A client was answered although its first packet tells what it is.";
        }
        if (devicesShown(protocol, snapshot) != 0) {
            return "A tunnel lives although it is blocked.";
        }
        const DropReason reason =
            protocol == VpnProtocol::Ah ? DropReason::AhUntranslatable : DropReason::PassthroughOff;
        if (counters.drops[static_cast<std::size_t>(reason)] == 0) {
            return "No refusal was counted.";
        }
        return {};
    }
    }
    return {};
}

}  // namespace

SelfTestResult selfTest(net::VpnProtocol protocol, const policy::PassthroughSwitch& position,
                        HashKey seed, Instant now)
{
    EngineConfig config = labConfig(seed);
    config.maxSessions = 1024;
    policy::PassthroughSwitch tested{.mode = position.mode, .exceptions = {}};
    if (position.mode == PassthroughMode::Block &&
        net::textOf(protocol).refusedFrom == net::RefusedFrom::NamedServer) {
        tested.exceptions.push_back(
            {.server = net::Prefix{kServer, 32}, .mode = PassthroughMode::Block});
    }
    config.passthrough.set(protocol, tested);
    Lab lab{config, now};
    const Clash clash{
        .server = lab.network().addExternal("server", kServer),
        .one = lab.network().addInternal("one", net::Ipv4Address{192, 168, 77, 11}),
        .two = lab.network().addInternal("two", net::Ipv4Address{192, 168, 77, 12}),
    };
    runClash(protocol, clash);
    SelfTestResult result;
    result.at = now;
    lab.advance(kRecognisedWithin);
    PeerReport clients = lab.reportOf(clash.one.address());
    clients += lab.reportOf(clash.two.address());
    lab.advance(kLength - kRecognisedWithin);
    result.why = complaint(protocol, position.mode, clients.received, lab, clash);
    result.outcome =
        result.why.empty() ? SelfTestResult::Outcome::Passed : SelfTestResult::Outcome::Failed;
    return result;
}

}  // namespace engine::lab
