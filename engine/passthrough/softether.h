#pragma once

#include "engine/passthrough/recogniser.h"

#include <string_view>

namespace engine::passthrough {

/// Whether a TLS server name belongs to SoftEther's own dynamic DNS or relay.
[[nodiscard]] bool isSoftEtherName(std::string_view serverName);

/// Recognises SoftEther's NAT traversal on UDP: one letter of polling to port 5004, answered by the
/// asker's address in text. Both together are certain; one alone is nothing,
/// unless it is blocked: nobody else sends one such octet to that port.
class SoftEtherRecogniser final : public Recogniser {
public:
    explicit SoftEtherRecogniser(const policy::PassthroughPolicy& policy) : m_policy(policy) {}

    [[nodiscard]] Opening opening() const override;
    Claim consider(Instant now, const Flow& flow, const Segment& segment) override;
    Attention inspect(Instant now, const Flow& flow, const Segment& segment,
                      Actions& actions) override;
    void flowClosed(Instant now, FlowId flow, FlowEnd end, Actions& actions) override;

private:
    struct State {
        Instant asked;
    };
    const policy::PassthroughPolicy& m_policy;
    FlowStates<State> m_states;
};

}  // namespace engine::passthrough
