#pragma once

#include "engine/passthrough/recogniser.h"

#include <string_view>

namespace engine::passthrough {

/// Whether a TLS server name belongs to SoftEther's own dynamic DNS or relay.
[[nodiscard]] bool isSoftEtherName(std::string_view serverName);

/// Recognises SoftEther's NAT traversal on UDP: one letter of polling to port 5004, answered by the
/// asker's address in text. Both together are certain; one alone is nothing.
class SoftEtherRecogniser final : public Recogniser {
public:
    Claim consider(Instant now, const Flow& flow, const Segment& segment) override;
    Attention inspect(Instant now, const Flow& flow, const Segment& segment,
                      Actions& actions) override;
    void flowClosed(Instant now, FlowId flow, FlowEnd end, Actions& actions) override;

private:
    struct State {
        Instant asked;
    };
    FlowStates<State> m_states;
};

}  // namespace engine::passthrough
