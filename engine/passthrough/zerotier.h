#pragma once

#include "engine/passthrough/recogniser.h"

#include <array>
#include <cstdint>

namespace engine::passthrough {

/// Recognises ZeroTier on any port: a HELLO carries its sender's address twice, and the answer
/// turns the two addresses round. Both together are certain. Only
/// while it is blocked the HELLO alone counts: it goes to many addresses that nobody answers at.
class ZeroTierRecogniser final : public Recogniser {
public:
    explicit ZeroTierRecogniser(const policy::PassthroughPolicy& policy) : m_policy(policy) {}

    [[nodiscard]] Opening opening() const override { return {.tcp = false}; }
    Claim consider(Instant now, const Flow& flow, const Segment& segment) override;
    Attention inspect(Instant now, const Flow& flow, const Segment& segment,
                      Actions& actions) override;
    void flowClosed(Instant now, FlowId flow, FlowEnd end, Actions& actions) override;

private:
    struct State {
        std::uint64_t source = 0;
        std::uint64_t destination = 0;
        net::Direction asker = net::Direction::Outbound;
        Instant asked;
        bool isAnswered = false;
    };
    const policy::PassthroughPolicy& m_policy;
    FlowStates<State> m_states;
};

}  // namespace engine::passthrough
