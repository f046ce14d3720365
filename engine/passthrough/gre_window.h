#pragma once

#include "engine/base/state_block.h"
#include "engine/base/time.h"
#include "engine/net/direction.h"
#include "engine/passthrough/gre_header.h"

#include <cstdint>
#include <optional>

namespace engine::passthrough {

/// The sequence and acknowledgment numbers of one call's enhanced GRE (RFC 2637 §4.1), and what
/// they say about a packet from outside. GRE carries no secret: somebody who can send from the
/// server's address has to guess a Call ID of 16 bits and, because of this, a number of 32 bits as
/// well.
///
/// A genuine jump (the server lost its state, a long outage) is followed once several packets in a
/// row agree with one another and not with what was there before.
class GreWindow {
public:
    /// How closely to look, by the number of recent misses from this server.
    enum class Strictness : std::uint8_t { Normal, Strict };

    /// A packet from inside; always right.
    void noteOutbound(Instant now, const GreHeader& header);

    /// Whether a packet from outside may pass; moves the window if it may.
    bool admitInbound(const GreHeader& header, Strictness strictness);

    /// The time since the packet that `header` is the first to acknowledge left; nothing if none.
    std::optional<Duration> roundTrip(Instant now, const GreHeader& header);

    /// The numbers outlive a restart; a window that begins anew would refuse the next packets.
    void save(StateWriter& out) const;
    void restore(StateReader& in);

private:
    [[nodiscard]] bool isPlausible(std::uint32_t acknowledgment, std::uint32_t behind) const;
    bool resynchronise(const GreHeader& header, Strictness strictness);

    // RFC 2637 §4.1: both sides begin at zero (some at one).
    std::uint32_t m_nextInbound = 0;
    std::uint32_t m_mayLag = 0;  ///< how far behind m_nextInbound a late packet may be
    bool m_sentAny = false;
    std::uint32_t m_lastSent = 0;

    std::uint32_t m_jumpNext = 0;
    std::uint32_t m_jumpLength = 0;  ///< packets in a row that agree on a jump; 0: none
    bool m_jumpAcknowledged = false;

    bool m_measuring = false;
    std::uint32_t m_measured = 0;
    Instant m_measuredSent;
};

}  // namespace engine::passthrough
