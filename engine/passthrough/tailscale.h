#pragma once

#include "engine/passthrough/recogniser.h"

#include <array>
#include <cstdint>

namespace engine::passthrough {

/// Recognises Tailscale by its discovery messages, which share the port with WireGuard. It asks
/// many addresses that nobody answers at, so nothing is said before both sides have spoken; then it
/// is certain. Only while it is blocked its first message counts.
class TailscaleRecogniser final : public Recogniser {
public:
    explicit TailscaleRecogniser(const policy::PassthroughPolicy& policy) : m_policy(policy) {}

    [[nodiscard]] Opening opening() const override;
    Claim consider(Instant now, const Flow& flow, const Segment& segment) override;
    Attention inspect(Instant now, const Flow& flow, const Segment& segment,
                      Actions& actions) override;
    void flowClosed(Instant now, FlowId flow, FlowEnd end, Actions& actions) override;

private:
    struct State {
        std::array<Instant, 2> asked{};
    };
    const policy::PassthroughPolicy& m_policy;
    FlowStates<State> m_states;
};

}  // namespace engine::passthrough
