#pragma once

#include "engine/passthrough/hello_watch.h"
#include "engine/passthrough/recogniser.h"
#include "engine/passthrough/sstp.h"
#include "engine/passthrough/stream_prefix.h"
#include "engine/passthrough/tls_client_hello.h"
#include "engine/passthrough/tls_peers.h"
#include "engine/policy/passthrough_policy.h"

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

namespace engine::passthrough {

/// Looks at TLS connections that offer no ALPN, as VPN clients do and browsers do not. Remembers
/// them for the recognisers of datagram channels, and labels what can be told from TLS alone:
/// SoftEther by its providers' names (likely), SSTP by its outline, FortiClient by the gateway's
/// certificate, and whatever protocol the user has named the server for in an exception (guesses).
///
/// A connection that is cut right after its hello shows nothing of that. It is told as a tunnel
/// that failed if the server is known from before or named by the user, or if its name says that it
/// is one for VPNs and the device has met the same twice.
class TlsTunnelRecogniser final : public Recogniser {
public:
    TlsTunnelRecogniser(TlsPeers& peers, const policy::PassthroughPolicy& policy)
        : m_peers(peers), m_policy(policy)
    {}

    [[nodiscard]] Opening opening() const override;
    Claim consider(Instant now, const Flow& flow, const Segment& segment) override;
    Attention inspect(Instant now, const Flow& flow, const Segment& segment,
                      Actions& actions) override;
    void flowClosed(Instant now, FlowId flow, FlowEnd end, Actions& actions) override;

private:
    /// Ours: enough for both hellos and the server's certificates, or SSTP's negotiation.
    static constexpr std::size_t kPrefix = 10240;

    struct State {
        std::array<StreamPrefix, 2> prefixes{StreamPrefix{kPrefix}, StreamPrefix{kPrefix}};
        std::array<std::size_t, 2> read{};  ///< octets of records that have been looked at
        bool sawHello = false;
        bool isLost = false;  ///< out of step with the records
        bool showsFortinet = false;
        std::string serverName;
        SstpOutline outline;
        HelloWatch watch;
        std::optional<HelloWatch::Cut> cut;
        bool isLabelled = false;
        std::optional<net::VpnProtocol> protocol;
        tunnel::Confidence confidence = tunnel::Confidence::Guess;
    };

    /// Connections of one device with one server that were cut after the hello.
    struct CutPair {
        net::Ipv4Address device;
        net::Endpoint server;
        std::uint32_t times = 0;
        Instant last;
        Instant told;  ///< zero: not yet
    };
    /// Ours: the servers that a site cannot reach at one time.
    static constexpr std::size_t kMostCuts = 64;

    Claim hello(Instant now, const Flow& flow, State& state);
    /// Whether a connection without a label that was cut is worth one, and which.
    [[nodiscard]] bool judgeCut(Instant now, const Flow& flow, State& state);
    void records(const Flow& flow, net::Direction direction, State& state);

    TlsPeers& m_peers;
    const policy::PassthroughPolicy& m_policy;
    FlowStates<State, 2048> m_states;
    std::vector<CutPair> m_cuts;
};

}  // namespace engine::passthrough
