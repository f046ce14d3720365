#pragma once

#include "engine/passthrough/recogniser.h"
#include "engine/passthrough/stream_prefix.h"

#include <array>
#include <cstdint>
#include <optional>

namespace engine::passthrough {

/// The first packet of an OpenVPN control channel, either side's, as far as it can be read without
/// keys.
struct OpenVpnReset {
    enum class Wrapping : std::uint8_t { Plain, TlsAuth, TlsCrypt, TlsCryptV2 };
    bool fromServer = false;
    Wrapping wrapping = Wrapping::Plain;
    std::uint64_t session = 0;            ///< the sender's session ID
    std::optional<std::uint64_t> remote;  ///< the session ID it answers, where it is in the clear
    std::uint32_t time = 0;               ///< seconds, of the replay protection; 0 if there is none
};

/// Reads a HARD_RESET packet without TCP's length. Checks every length and fixed field that the
/// wrapping has; none if one does not fit. Pure.
[[nodiscard]] std::optional<OpenVpnReset> readOpenVpnReset(wire::ConstBytes packet);

/// Recognises OpenVPN over UDP and TCP on any port: plain, with tls-auth, tls-crypt and
/// tls-crypt-v2.
///
/// A client's reset whose fields all fit is likely; the server's reset makes it certain: by the
/// client's session ID in it or, where tls-crypt hides that, by its own form and clock. The flow is
/// let go once data has passed both ways; key renewals are read by the tunnel's counting.
class OpenVpnRecogniser final : public Recogniser {
public:
    [[nodiscard]] Opening opening() const override;
    Claim consider(Instant now, const Flow& flow, const Segment& segment) override;
    Attention inspect(Instant now, const Flow& flow, const Segment& segment,
                      Actions& actions) override;
    void flowClosed(Instant now, FlowId flow, FlowEnd end, Actions& actions) override;

private:
    struct State {
        bool isLabelled = false;
        bool isCertain = false;
        net::Direction client = net::Direction::Outbound;
        std::uint64_t session = 0;
        std::uint32_t time = 0;
        OpenVpnReset::Wrapping wrapping = OpenVpnReset::Wrapping::Plain;
        Instant asked;
        std::uint32_t packets = 0;
        std::array<bool, 2> sawData{};
        /// TCP only: the beginning of each direction, and how far its packets have been read.
        std::array<StreamPrefix, 2> prefixes{StreamPrefix{kPrefix}, StreamPrefix{kPrefix}};
        std::array<std::size_t, 2> read{};
        HelloWatch watch;
    };
    /// Ours: enough of a TCP stream for the resets and the whole key exchange.
    static constexpr std::size_t kPrefix = 8192;

    void packet(Instant now, const Flow& flow, net::Direction direction, wire::ConstBytes packet,
                State& state, Report& report);

    FlowStates<State, 2048> m_states;
};

}  // namespace engine::passthrough
