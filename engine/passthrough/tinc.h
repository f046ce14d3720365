#pragma once

#include "engine/passthrough/recogniser.h"
#include "engine/passthrough/stream_prefix.h"

#include <array>
#include <cstdint>
#include <vector>

namespace engine::passthrough {

/// Recognises tinc by the first line of its meta connection on any TCP port: request 0, a name and
/// a protocol version. One side is likely, both are certain. The UDP flow of the same device to the
/// same server and port, which is random octets to everybody else, belongs to it.
class TincRecogniser final : public Recogniser {
public:
    Claim consider(Instant now, const Flow& flow, const Segment& segment) override;
    Attention inspect(Instant now, const Flow& flow, const Segment& segment,
                      Actions& actions) override;
    void flowClosed(Instant now, FlowId flow, FlowEnd end, Actions& actions) override;

private:
    struct State {
        std::array<StreamPrefix, 2> prefixes{StreamPrefix{kLine}, StreamPrefix{kLine}};
        bool isLabelled = false;
        Instant asked;
    };
    struct Peer {
        net::Ipv4Address device;
        net::Endpoint server;
    };
    /// Ours: a name has at most a host name's length.
    static constexpr std::size_t kLine = 128;
    static constexpr std::size_t kMostPeers = 256;

    FlowStates<State> m_states;
    std::vector<Peer> m_peers;  ///< meta connections that were certain; the oldest give way
    std::size_t m_nextPeer = 0;
};

}  // namespace engine::passthrough
