#pragma once

#include "engine/passthrough/recogniser.h"
#include "engine/passthrough/tls_peers.h"

#include <array>
#include <cstdint>

namespace engine::passthrough {

/// Recognises FortiClient's datagram channel: DTLS to a server whose TLS certificate names the
/// vendor or to the vendor's usual port beside a TLS connection (likely; certain with both and the
/// server's answer), or the vendor's own greeting in the clear (certain when both sides have
/// spoken).
class FortiClientRecogniser final : public Recogniser {
public:
    explicit FortiClientRecogniser(TlsPeers& peers) : m_peers(peers) {}

    [[nodiscard]] Opening opening() const override;
    Claim consider(Instant now, const Flow& flow, const Segment& segment) override;
    Attention inspect(Instant now, const Flow& flow, const Segment& segment,
                      Actions& actions) override;
    void flowClosed(Instant now, FlowId flow, FlowEnd end, Actions& actions) override;

private:
    struct State {
        bool isLabelled = false;
        bool isGreeting = false;
        bool isAnswered = false;
        std::uint8_t evidence = 0;
        std::uint8_t packets = 0;
        net::Direction client = net::Direction::Outbound;
        Instant asked;
        std::array<bool, 2> spoke{};
    };

    TlsPeers& m_peers;
    FlowStates<State> m_states;
};

}  // namespace engine::passthrough
