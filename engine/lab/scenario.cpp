#include "engine/lab/scenario.h"

#include "engine/lab/scenarios.h"
#include "engine/lab/self_test.h"

#include <algorithm>
#include <array>

namespace engine::lab {

namespace {

Check counted(std::string what, std::uint64_t count, const std::string& detail = {})
{
    return {std::move(what), count == 0,
            count == 0 ? std::string{}
                       : std::to_string(count) + (detail.empty() ? "" : ", first: ") + detail};
}

}  // namespace

std::span<const Scenario> scenarios()
{
    return kScenarios;
}

std::unique_ptr<Lab> Lab::make(std::string_view name, HashKey seed, Instant start,
                               SelfTests selfTests)
{
    for (const Scenario& scenario : scenarios()) {
        if (scenario.name != name) continue;
        EngineConfig config = labConfig(seed);
        if (selfTests == SelfTests::On) {
            config.selfTest = [seed, start](net::VpnProtocol protocol,
                                            const policy::PassthroughSwitch& position) {
                return selfTest(protocol, position, seed, start);
            };
        }
        auto lab = std::make_unique<Lab>(config, start);
        scenario.build(*lab);
        return lab;
    }
    return nullptr;
}

Lab::Lab(const EngineConfig& config, Instant start)
    : m_owned(std::make_unique<EngineBox>(start, config)),
      m_box(m_owned.get()),
      m_network(start, HashKey{config.seed.k0 ^ 0x6c6162, config.seed.k1}, std::move(m_owned))
{}

void Lab::later(Duration after, std::function<void(Lab&)> action)
{
    m_actions.emplace_back(now() + after, std::move(action));
    std::stable_sort(m_actions.begin(), m_actions.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
}

void Lab::advanceTo(Instant until)
{
    while (!m_actions.empty() && m_actions.front().first <= until) {
        const auto [at, action] = std::move(m_actions.front());
        m_actions.erase(m_actions.begin());
        m_network.advanceTo(at);
        action(*this);
    }
    m_network.advanceTo(until);
}

Result<void, CommandError> Lab::apply(const Command& command)
{
    std::vector<Emission> out;
    auto result = m_box->apply(now(), command, out);
    m_network.emit(std::move(out));
    return result;
}

void Lab::count(const Command& command)
{
    std::vector<Emission> out;
    m_box->count(now(), command, out);
    m_network.emit(std::move(out));
}

std::vector<std::pair<net::Ipv4Address, std::string>> Lab::names() const
{
    std::vector<std::pair<net::Ipv4Address, std::string>> names;
    for (const Host* host : m_network.hosts())
        names.emplace_back(host->address(), host->name());
    return names;
}

PeerReport Lab::reportOf(net::Ipv4Address address) const
{
    PeerReport sum{.up = true};
    for (const Host* host : m_network.hosts()) {
        if (!address.isUnspecified() && host->address() != address) continue;
        for (const auto& peer : host->peers())
            sum += peer->report();
    }
    return sum;
}

PeerReport Lab::report() const
{
    return reportOf(net::Ipv4Address{});
}

std::vector<Check> Lab::results()
{
    const NetworkCounters& seen = m_network.counters();
    const EngineBox::Account& account = m_box->account();
    const Counters counters = snapshot().counters;
    std::uint64_t wrongAddress = 0;
    std::uint64_t faulty = seen.faulty;
    for (const Host* host : m_network.hosts()) {
        wrongAddress += host->counters().wrongAddress;
        faulty += host->counters().faulty;
    }
    std::uint64_t miscounted = 0;
    std::string reason;
    for (std::size_t i = 0; i < kDropReasonCount; ++i) {
        // The engine may also drop what it held or what a command ended: never fewer than verdicts.
        if (counters.drops[i] >= account.drops[i]) continue;
        ++miscounted;
        reason = kDropReasons[i].name;
    }
    const std::uint64_t decided =
        account.forwarded + account.dropped + account.consumed + account.toHost + account.held;
    std::vector<Check> checks{
        counted("every packet that leaves has right checksums", faulty, seen.firstFault),
        counted("no packet leaves outward with a foreign source", seen.leaked, seen.firstFault),
        counted("no packet reaches a host it is not addressed to", wrongAddress),
        counted("no message reaches somebody it is not meant for", report().wrong),
        counted("every forwarded packet has lost a hop of its TTL", account.ttlKept),
        counted("every packet got exactly one verdict", account.packets - decided),
        counted("every drop is counted under its reason", miscounted, reason),
    };
    for (const auto& claim : m_claims)
        checks.push_back(claim(*this));
    return checks;
}

}  // namespace engine::lab
