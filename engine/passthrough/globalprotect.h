#pragma once

#include "engine/passthrough/recogniser.h"
#include "engine/passthrough/tls_peers.h"

#include <array>
#include <cstdint>

namespace engine::passthrough {

/// Recognises GlobalProtect's data channel: ESP in UDP 4501 without any IKE. Steady SPIs and rising
/// sequence numbers both ways are likely; a TLS connection of the same device to the same server,
/// over which the keys were agreed, makes it certain and part of the tunnel. While it is blocked,
/// that connection and one packet are enough; without the connection the first packets pass.
class GlobalProtectRecogniser final : public Recogniser {
public:
    GlobalProtectRecogniser(TlsPeers& peers, const policy::PassthroughPolicy& policy)
        : m_peers(peers), m_policy(policy)
    {}

    [[nodiscard]] Opening opening() const override;
    Claim consider(Instant now, const Flow& flow, const Segment& segment) override;
    Attention inspect(Instant now, const Flow& flow, const Segment& segment,
                      Actions& actions) override;
    void flowClosed(Instant now, FlowId flow, FlowEnd end, Actions& actions) override;

private:
    struct Stream {
        std::uint32_t spi = 0;
        std::uint32_t number = 0;
        std::uint8_t steady = 0;
    };
    struct State {
        std::array<Stream, 2> streams;
    };

    TlsPeers& m_peers;
    const policy::PassthroughPolicy& m_policy;
    FlowStates<State> m_states;
};

}  // namespace engine::passthrough
