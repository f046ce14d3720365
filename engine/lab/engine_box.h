#pragma once

#include "engine/engine.h"
#include "engine/lab/middlebox.h"

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

namespace engine::lab {

/// The configuration of the lab's router: internal 192.168.77.1/24, external 203.0.113.2/24.
[[nodiscard]] EngineConfig labConfig(HashKey seed);

/// A real Engine as a middlebox. Keeps its own account of every verdict, to be compared with the
/// engine's.
class EngineBox final : public Middlebox {
public:
    EngineBox(Instant now, const EngineConfig& config);

    [[nodiscard]] Engine& engine() { return *m_engine; }
    [[nodiscard]] const Engine& engine() const { return *m_engine; }
    /// A new engine takes the place of the old one, with its state and other seeds; accounts begin
    /// anew. False: the state was refused, and the new engine has begun without.
    bool restart(Instant now, HashKey seed);
    /// Applies a command; packets that it causes are in `out`.
    void count(Instant now, const Command& command, std::vector<Emission>& out);
    Result<void, CommandError> apply(Instant now, const Command& command,
                                     std::vector<Emission>& out);
    [[nodiscard]] std::vector<Event> takeEvents() { return std::exchange(m_events, {}); }

    struct Account {
        std::uint64_t packets = 0;
        std::uint64_t forwarded = 0;
        std::uint64_t dropped = 0;
        std::uint64_t consumed = 0;
        std::uint64_t toHost = 0;
        std::uint64_t held = 0;
        std::uint64_t emitted = 0;  ///< packets of the Output
        std::uint64_t ttlKept = 0;  ///< forwarded without a lower TTL: must stay zero
        std::array<std::uint64_t, kDropReasonCount> drops{};
    };
    [[nodiscard]] const Account& account() const { return m_account; }

    void receive(Instant now, PortId ingress, Octets packet, std::vector<Emission>& out) override;
    void handleTimeout(Instant now, std::vector<Emission>& out) override;
    [[nodiscard]] std::optional<Instant> nextTimeout() const override;
    [[nodiscard]] bool ownsExternal(net::Ipv4Address address) const override;
    [[nodiscard]] bool ownsInternal(net::Ipv4Address address) const override;

private:
    void collect(std::vector<Emission>& out);

    std::unique_ptr<Engine> m_engine;
    Output m_output;
    std::vector<Event> m_events;
    std::vector<net::Ipv4Address> m_external;
    net::Ipv4Address m_internal;
    Account m_account;
};

}  // namespace engine::lab
