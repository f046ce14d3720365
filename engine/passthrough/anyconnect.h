#pragma once

#include "engine/passthrough/recogniser.h"
#include "engine/passthrough/tls_client_hello.h"
#include "engine/passthrough/tls_peers.h"

#include <array>
#include <cstdint>

namespace engine::passthrough {

/// Recognises the DTLS channel of AnyConnect, OpenConnect and ocserv, and makes one tunnel of it
/// and the TLS connection to the same server that it belongs to.
///
/// Evidence: that connection; the draft version of DTLS or the application's own extension, which
/// nobody else uses; a first hello that already names a session, because the session was agreed
/// over TLS. Two of them are certain, one of the latter is likely, the connection alone is a guess.
/// DTLS that carries media (use_srtp) is never taken.
class AnyConnectRecogniser final : public Recogniser {
public:
    explicit AnyConnectRecogniser(TlsPeers& peers) : m_peers(peers) {}

    [[nodiscard]] Opening opening() const override;
    Claim consider(Instant now, const Flow& flow, const Segment& segment) override;
    Attention inspect(Instant now, const Flow& flow, const Segment& segment,
                      Actions& actions) override;
    void flowClosed(Instant now, FlowId flow, FlowEnd end, Actions& actions) override;

private:
    struct State {
        bool isLabelled = false;
        bool isResumption = false;
        tunnel::Confidence confidence = tunnel::Confidence::Guess;
        net::Direction client = net::Direction::Outbound;
        Instant asked;
        std::array<bool, 2> sawData{};
        std::uint32_t packets = 0;
    };

    TlsPeers& m_peers;
    FlowStates<State> m_states;
};

}  // namespace engine::passthrough
