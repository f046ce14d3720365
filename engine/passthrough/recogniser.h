#pragma once

#include "engine/passthrough/hello_watch.h"
#include "engine/passthrough/passthrough.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>

namespace engine::passthrough {

/// An inspector that only looks: it asks for no edits, bindings or time.
class Recogniser : public Inspector {
public:
    void handleTimeout(Instant, Actions&) override {}
    [[nodiscard]] std::optional<Instant> nextTimeout() const override { return std::nullopt; }
};

/// What a recogniser remembers of the flows that it has not decided about or has claimed. Bounded:
/// beyond `Most` nobody new is remembered. Ours: as many as there are tunnels, and as many
/// candidates again; fewer where a state holds the beginning of a stream.
template <typename State, std::size_t Most = 8192>
class FlowStates {
public:
    [[nodiscard]] State* find(FlowId flow)
    {
        if (m_states.empty()) return nullptr;
        const auto found = m_states.find(flow);
        return found == m_states.end() ? nullptr : &found->second;
    }
    /// The flow's state, new if there was none; null when there is no room.
    [[nodiscard]] State* obtain(FlowId flow)
    {
        if (State* const known = find(flow)) return known;
        if (m_states.size() >= Most) return nullptr;
        return &m_states[flow];
    }
    void forget(FlowId flow) { m_states.erase(flow); }
    [[nodiscard]] std::size_t size() const { return m_states.size(); }

private:
    std::unordered_map<FlowId, State> m_states;
};

/// The key of a tunnel that is one flow (`PerFlow`) or all flows of one protocol between one device
/// and one server (`PerServer`).
enum class KeyScope : std::uint8_t { PerFlow, PerServer };
[[nodiscard]] tunnel::TunnelKey keyOf(const Flow& flow, net::VpnProtocol protocol, KeyScope scope);

/// Whether the flow's switch says no to this protocol. A recogniser that otherwise waits for more
/// proof before it says anything then speaks at the first packet that its signature allows, so that
/// nothing of a blocked tunnel leaves.
[[nodiscard]] bool isBlocked(const policy::PassthroughPolicy& policy, net::VpnProtocol protocol,
                             const Flow& flow);
/// Whether the user has named this very server in an exception of the protocol's switch.
[[nodiscard]] bool isDeclared(const policy::PassthroughPolicy& policy, net::VpnProtocol protocol,
                              net::Ipv4Address server);

/// Writes observations about one tunnel as seen from one flow.
class Report {
public:
    Report(const Flow& flow, const tunnel::TunnelKey& key, Actions& actions)
        : m_flow(flow), m_key(key), m_actions(actions)
    {}

    void label(net::VpnProtocol protocol, tunnel::Confidence confidence);
    /// The flow counts for the tunnel from now on.
    void attach(tunnel::SequenceKind sequence, Duration idle = Duration{0});
    void attach(FlowId other, tunnel::SequenceKind sequence, Duration idle = Duration{0});
    void phase(tunnel::Phase phase);
    /// An event between the peers; `direction` says who sent.
    void event(tunnel::EventKind kind, net::Direction direction, std::uint32_t a = 0,
               std::uint32_t b = 0);
    void retransmit(net::Direction direction, std::uint32_t messageType);
    /// Only what is measured from an outbound packet to its answer is the way to the server.
    void roundTrip(Duration duration);
    void serverName(std::string name);
    void product(std::string name);
    void ended(tunnel::Phase phase, tunnel::EventKind cause, std::uint32_t code = 0);
    /// The connection was cut after the client's first message; `last` is the packet that shows it.
    void cut(const HelloWatch& watch, HelloWatch::Cut how, const Segment& last);

private:
    tunnel::Observation& add(tunnel::Observation::Kind kind);

    const Flow& m_flow;
    tunnel::TunnelKey m_key;
    Actions& m_actions;
};

}  // namespace engine::passthrough
