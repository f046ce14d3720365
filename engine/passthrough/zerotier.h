#pragma once

#include "engine/passthrough/recogniser.h"

#include <array>
#include <cstdint>

namespace engine::passthrough {

/// Recognises ZeroTier on any port: a HELLO carries its sender's address twice, and the answer
/// turns the two addresses round. Both together are certain.
class ZeroTierRecogniser final : public Recogniser {
public:
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
    };
    FlowStates<State> m_states;
};

}  // namespace engine::passthrough
