#pragma once

#include "engine/tunnel/tunnel.h"

#include <cstddef>
#include <cstdint>

namespace engine::tunnel {

/// What can happen to a tunnel's phase.
enum class PhaseSign : std::uint8_t {
    Handshake,  ///< control channel or key exchange begins
    Authenticate,
    Agree,  ///< agreed, waiting for data
    DataBothWays,
    Rekey,
    Degrade,  ///< one way only, or loss above the limit
    Recover,
    Close,       ///< a peer has said goodbye
    PeerClosed,  ///< and it is gone
    Silence,     ///< gone without a word
    GiveUp,      ///< refused or never answered
    Refuse,      ///< by our own switch or rule
    Hold,
    Release,  ///< back to where it was when held; the caller keeps that
};
inline constexpr std::size_t kPhaseSignCount = 14;

/// The phase after `sign`. Total: signs that make no sense in a phase change nothing; what is over
/// stays over; what is held moves only by Release or an end.
[[nodiscard]] Phase next(Phase phase, PhaseSign sign);

/// The sign with which a recogniser's observed phase enters the machine.
[[nodiscard]] PhaseSign signOf(Phase observed);

}  // namespace engine::tunnel
