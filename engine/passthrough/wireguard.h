#pragma once

#include "engine/passthrough/recogniser.h"

#include <array>
#include <cstdint>

namespace engine::passthrough {

/// Recognises WireGuard and those that build on its wire format: TunnelBear (longer handshakes),
/// Cloudflare WARP (reserved octets in use, or types with the top bits set, on other protocols'
/// ports) and Tailscale once it shows its discovery messages on the same flow.
///
/// An initiation alone is likely; the answer that names the initiator's index makes it certain. In
/// mid-stream two data packets each way with steady indices and rising counters make it certain.
/// What happens after the handshake is read by the tunnel's counting, so the flow is let go then.
class WireGuardRecogniser final : public Recogniser {
public:
    explicit WireGuardRecogniser(const policy::PassthroughPolicy& policy) : m_policy(policy) {}

    [[nodiscard]] Opening opening() const override;
    Claim consider(Instant now, const Flow& flow, const Segment& segment) override;
    Attention inspect(Instant now, const Flow& flow, const Segment& segment,
                      Actions& actions) override;
    void flowClosed(Instant now, FlowId flow, FlowEnd end, Actions& actions) override;

private:
    /// Data packets of one direction seen in mid-stream.
    struct Stream {
        std::uint32_t index = 0;
        std::uint64_t counter = 0;
        std::uint8_t steady = 0;
    };
    struct State {
        bool isLabelled = false;
        bool isWarp = false;
        bool isTailscale = false;
        bool sawInitiation = false;
        bool attached = false;
        std::uint8_t strangers = 0;  ///< packets since that look like nothing of ours
        net::Direction initiator = net::Direction::Outbound;
        std::uint32_t initiatorIndex = 0;
        Instant initiated;
        std::array<Stream, 2> streams;
    };

    const policy::PassthroughPolicy& m_policy;
    FlowStates<State> m_states;
};

}  // namespace engine::passthrough
