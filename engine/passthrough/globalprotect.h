#pragma once

#include "engine/passthrough/recogniser.h"
#include "engine/passthrough/tls_peers.h"

#include <array>
#include <cstdint>

namespace engine::passthrough {

/// Recognises GlobalProtect's data channel: ESP in UDP 4501 without any IKE. Steady SPIs and rising
/// sequence numbers both ways are likely; a TLS connection of the same device to the same server,
/// over which the keys were agreed, makes it certain and part of the tunnel.
class GlobalProtectRecogniser final : public Recogniser {
public:
    explicit GlobalProtectRecogniser(const TlsPeers& peers) : m_peers(peers) {}

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

    const TlsPeers& m_peers;
    FlowStates<State> m_states;
};

}  // namespace engine::passthrough
