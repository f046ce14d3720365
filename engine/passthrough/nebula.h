#pragma once

#include "engine/passthrough/recogniser.h"

#include <array>
#include <cstdint>

namespace engine::passthrough {

/// Recognises Nebula on any port by the two messages of its handshake, whose headers are fixed but
/// for the index that the second one names. Both together are certain. Only
/// while it is blocked the first message alone counts.
class NebulaRecogniser final : public Recogniser {
public:
    explicit NebulaRecogniser(const policy::PassthroughPolicy& policy) : m_policy(policy) {}

    [[nodiscard]] Opening opening() const override;
    Claim consider(Instant now, const Flow& flow, const Segment& segment) override;
    Attention inspect(Instant now, const Flow& flow, const Segment& segment,
                      Actions& actions) override;
    void flowClosed(Instant now, FlowId flow, FlowEnd end, Actions& actions) override;

private:
    struct State {
        bool isLabelled = false;
        net::Direction initiator = net::Direction::Outbound;
        Instant asked;
        std::array<bool, 2> sawData{};
        std::uint8_t packets = 0;
    };
    const policy::PassthroughPolicy& m_policy;
    FlowStates<State> m_states;
};

}  // namespace engine::passthrough
