#pragma once

#include "engine/lab/engine_box.h"
#include "engine/lab/network.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace engine::lab {

/// One claim of a scenario and whether it came true.
struct Check {
    std::string what;
    bool passed = false;
    std::string detail;
};

class Lab;

/// A story to watch and a test at once.
struct Scenario {
    std::string_view name;    ///< stable, for command lines
    std::string_view lesson;  ///< English, one sentence: what it shows
    Duration length;          ///< after so much time results() are final
    void (*build)(Lab& lab);
};

/// "overview" is the first: a small office that runs on for ever.
[[nodiscard]] std::span<const Scenario> scenarios();

/// A network around a real Engine in which one scenario takes place. Time passes by advance() only:
/// a test lets a day pass in seconds, a window advances it as the clock on the wall does.
class Lab {
public:
    /// Whether its engine tests itself as one between real cards does; a lab that is only a test
    /// need not.
    enum class SelfTests : std::uint8_t { Off, On };
    /// Nothing if no scenario has that name.
    [[nodiscard]] static std::unique_ptr<Lab> make(std::string_view name, HashKey seed,
                                                   Instant start,
                                                   SelfTests selfTests = SelfTests::Off);
    /// An empty lab: hosts and programs are the caller's.
    Lab(const EngineConfig& config, Instant start);

    [[nodiscard]] Network& network() { return m_network; }
    [[nodiscard]] const Network& network() const { return m_network; }
    [[nodiscard]] Engine& engine() { return m_box->engine(); }
    [[nodiscard]] const EngineBox& box() const { return *m_box; }
    [[nodiscard]] Instant now() const { return m_network.now(); }
    void advance(Duration span) { advanceTo(now() + span); }
    void advanceTo(Instant until);
    Result<void, CommandError> apply(const Command& command);
    void count(const Command& command);
    /// The router's program ends and begins again, with the state it has saved.
    bool restart() { return m_box->restart(now(), HashKey{++m_restarts, 77}); }
    [[nodiscard]] std::vector<Event> takeEvents() { return m_box->takeEvents(); }
    [[nodiscard]] Snapshot snapshot() { return m_box->engine().snapshot(now()); }

    /// What must hold in every lab (checksums, no leak, nothing delivered to the wrong host, every
    /// packet accounted for), then the scenario's own claims.
    [[nodiscard]] std::vector<Check> results();
    void claim(std::function<Check(Lab&)> check) { m_claims.push_back(std::move(check)); }
    /// Something the scenario itself does later: turn a switch, change the external address.
    void later(Duration after, std::function<void(Lab&)> action);

    /// Names of the simulated devices, for whoever shows them.
    [[nodiscard]] std::vector<std::pair<net::Ipv4Address, std::string>> names() const;
    /// All programs of a host together; all hosts without one.
    [[nodiscard]] PeerReport reportOf(net::Ipv4Address host) const;
    [[nodiscard]] PeerReport report() const;

private:
    std::unique_ptr<EngineBox> m_owned;
    EngineBox* m_box;
    Network m_network;
    std::vector<std::function<Check(Lab&)>> m_claims;
    std::vector<std::pair<Instant, std::function<void(Lab&)>>> m_actions;
    std::uint64_t m_restarts = 0;
};

}  // namespace engine::lab
