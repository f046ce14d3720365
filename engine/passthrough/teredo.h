#pragma once

#include "engine/passthrough/recogniser.h"

#include <array>
#include <cstdint>

namespace engine::passthrough {

/// Recognises Teredo (RFC 4380): IPv6 inside UDP whose lengths agree. With a server, a router
/// solicitation and its advertisement; between peers, packets of the service's own prefix both
/// ways. Both sides together are certain. Only while it is blocked the first packet alone
/// counts.
class TeredoRecogniser final : public Recogniser {
public:
    explicit TeredoRecogniser(const policy::PassthroughPolicy& policy) : m_policy(policy) {}

    [[nodiscard]] Opening opening() const override;
    Claim consider(Instant now, const Flow& flow, const Segment& segment) override;
    Attention inspect(Instant now, const Flow& flow, const Segment& segment,
                      Actions& actions) override;
    void flowClosed(Instant now, FlowId flow, FlowEnd end, Actions& actions) override;

private:
    struct State {
        std::array<bool, 2> spoke{};
        Instant asked;
        bool isServer = false;
    };
    const policy::PassthroughPolicy& m_policy;
    FlowStates<State> m_states;
};

}  // namespace engine::passthrough
