#pragma once

#include "engine/net/direction.h"
#include "engine/wire/packet.h"
#include "engine/wire/tcp_view.h"

#include <array>
#include <cstdint>
#include <optional>
#include <type_traits>

namespace engine::nat {

/// What window tracking says about one segment.
enum class WindowVerdict : std::uint8_t {
    Ok,         ///< part of the connection; it has been counted in
    Reopened,   ///< as Ok, and it answers the SYN of a new connection of which we had not believed
                ///< the SYN: whatever the state was, it is established now
    Challenge,  ///< to be passed on, because the endpoints sort it out by a challenge
                ///< acknowledgement (RFC 5961 §4) or a reset, but it must change neither state nor
                ///< timer: a SYN that does not fit, an answer that is not to our SYN
    OutOfWindow,   ///< neither endpoint would accept it: drop
    InexactReset,  ///< a reset without the exact next sequence number (RFC 5961 §3): drop
};

/// The sequence numbers of one TCP connection, seen from the middle, after van Rooij's bounds: a
/// segment must lie in the window that the other side has offered, and its acknowledgement must be
/// for what the other side has sent.
///
/// Tolerant where the middle cannot know: scales count only when both SYNs were seen; without them
/// the largest scale is assumed. The largest window ever offered counts, rounded up to a power of
/// two, so that retransmissions, keepalives and window probes always pass. Judges segments up to
/// 64 KB (offload) like small ones. A SYN that does not fit moves nothing, until the other side
/// answers exactly this SYN: then both endpoints have forgotten the old connection.
///
/// A plain value of 22 octets, all zeros when new, to be a part of a session record.
class TcpWindow {
public:
    /// Judges a segment and, when Ok, counts it in. `extent` Beginning: a first fragment, whose end
    /// is unknown and therefore not judged.
    WindowVerdict observe(net::Direction direction, const wire::TcpView& tcp,
                          wire::Extent extent = wire::Extent::Whole);

    /// For when packets are forwarded without being shown: the next segment of each direction is
    /// believed, unless it is a SYN or a reset. A new tracker that sees no SYN first does the same.
    void forgetPositions();

    /// Whether `sender` may have a segment with this sequence number on its way: sent, and not yet
    /// acknowledged (RFC 5927 §4.1). True when positions are not known.
    [[nodiscard]] bool inFlight(net::Direction sender, std::uint32_t sequence) const;

    /// The sequence number that the receiver of `sender` expects next: the one a reset must have to
    /// be believed (RFC 5961 §3). None while the receiver has acknowledged nothing.
    [[nodiscard]] std::optional<std::uint32_t> expectedFrom(net::Direction sender) const;

    /// The sequence number after everything that has passed from `sender`. None before it has
    /// spoken.
    [[nodiscard]] std::optional<std::uint32_t> sentBy(net::Direction sender) const;

    friend bool operator==(const TcpWindow&, const TcpWindow&) = default;

private:
    /// One direction's numbers in halves, so that the whole needs no padding.
    struct Side {
        std::array<std::uint16_t, 2> end{};  ///< highest sequence number sent, plus its length
        std::array<std::uint16_t, 2> ack{};  ///< highest acknowledgement sent; before the first
                                             ///< one, the initial sequence number of the other side
        friend bool operator==(const Side&, const Side&) = default;
    };

    static std::size_t indexOf(net::Direction direction);
    [[nodiscard]] bool has(unsigned flag, std::size_t side = 0) const;
    void set(unsigned flag, std::size_t side = 0);
    void clear(unsigned flag, std::size_t side = 0);
    [[nodiscard]] std::uint8_t scaleOption(std::size_t side) const;
    void setScaleOption(std::size_t side, std::uint8_t shift);
    [[nodiscard]] std::uint32_t windowOf(std::size_t side) const;
    [[nodiscard]] bool plausibleAck(std::size_t side, std::uint32_t ack) const;
    [[nodiscard]] bool answersSyn(std::size_t side, const wire::TcpView& tcp) const;
    [[nodiscard]] WindowVerdict judgeReset(std::size_t side, const wire::TcpView& tcp) const;
    WindowVerdict observeSyn(std::size_t side, const wire::TcpView& tcp, wire::Extent extent);
    WindowVerdict challengeSyn(std::size_t side, const wire::TcpView& tcp, wire::Extent extent);
    void adoptSyn(std::size_t side, const wire::TcpView& tcp, wire::Extent extent);
    void adoptMiddle(std::size_t side, const wire::TcpView& tcp, wire::Extent extent);
    void offer(std::size_t side, const wire::TcpView& tcp);
    void acknowledge(std::size_t side, const wire::TcpView& tcp);

    std::array<Side, 2> m_sides{};
    std::uint16_t m_pendingSyn = 0;  ///< a digest of the last SYN that did not fit; 0: none
    std::array<std::uint8_t, 2> m_windows{};  ///< largest offered, in octets, as a power of two
    std::uint8_t m_scales = 0;  ///< the shift counts of both SYNs, a nibble each; 15: no option
    std::uint8_t m_flags = 0;
};

static_assert(sizeof(TcpWindow) == 22);
static_assert(std::is_trivially_copyable_v<TcpWindow>);

}  // namespace engine::nat
