#include "engine/nat/tcp_window.h"

#include <algorithm>
#include <bit>

namespace engine::nat {
namespace {

// Ours.
/// How far behind the newest numbers a segment may lie whatever window was offered: a duplicate
/// that took a longer way is no attack.
constexpr std::uint32_t kLeastLookBack = 66000;
/// What a first fragment of unknown length may carry.
constexpr std::uint32_t kLongestSegment = 65535;
/// A nibble that no shift count has.
constexpr std::uint8_t kNoScale = 15;

// One bit per direction; side 1 has the next higher bit.
constexpr unsigned kSeen = 0x01;          ///< this side's position is known
constexpr unsigned kAcknowledged = 0x04;  ///< the other side has acknowledged something of it
// One bit for both.
constexpr unsigned kScaled = 0x10;        ///< both SYNs had the option: scales count
constexpr unsigned kScalesKnown = 0x20;   ///< a SYN was seen
constexpr unsigned kMiddle = 0x40;        ///< positions come from the middle of the connection
constexpr unsigned kPendingIsOne = 0x80;  ///< the SYN that did not fit came from side 1

using Half = std::array<std::uint16_t, 2>;

std::uint32_t join(const Half& halves)
{
    return (std::uint32_t{halves[1]} << 16) | halves[0];
}
Half split(std::uint32_t value)
{
    return {static_cast<std::uint16_t>(value), static_cast<std::uint16_t>(value >> 16)};
}

/// Sequence numbers are compared around the circle (RFC 9293 §3.4).
bool before(std::uint32_t a, std::uint32_t b)
{
    return static_cast<std::int32_t>(a - b) < 0;
}
bool after(std::uint32_t a, std::uint32_t b)
{
    return before(b, a);
}

std::uint32_t endOf(const wire::TcpView& tcp, wire::Extent extent)
{
    return tcp.sequence() +
           (extent == wire::Extent::Whole ? tcp.sequenceLength() : kLongestSegment);
}

/// Sixteen bits that tell one expected acknowledgement from another; never zero.
std::uint16_t digestOf(std::uint32_t acknowledgement)
{
    const auto digest = static_cast<std::uint16_t>((acknowledgement * 0x9e3779b1U) >> 16);
    return std::max<std::uint16_t>(digest, 1);
}

}  // namespace

std::size_t TcpWindow::indexOf(net::Direction direction)
{
    return direction == net::Direction::Outbound ? 0 : 1;
}
bool TcpWindow::has(unsigned flag, std::size_t side) const
{
    return (m_flags & (flag << side)) != 0;
}
void TcpWindow::set(unsigned flag, std::size_t side)
{
    m_flags = static_cast<std::uint8_t>(m_flags | (flag << side));
}
void TcpWindow::clear(unsigned flag, std::size_t side)
{
    m_flags = static_cast<std::uint8_t>(m_flags & ~(flag << side));
}
std::uint8_t TcpWindow::scaleOption(std::size_t side) const
{
    return static_cast<std::uint8_t>((m_scales >> (4 * side)) & 15U);
}
void TcpWindow::setScaleOption(std::size_t side, std::uint8_t shift)
{
    m_scales = static_cast<std::uint8_t>((m_scales & ~(15U << (4 * side))) |
                                         (static_cast<unsigned>(shift) << (4 * side)));
}

/// The largest window that a side has offered, in octets; at least one, for probes of a closed one.
std::uint32_t TcpWindow::windowOf(std::size_t side) const
{
    return 1U << m_windows[side];
}

/// Counts an offered window in. A SYN's own window is never scaled (RFC 7323 §2.2).
void TcpWindow::offer(std::size_t side, const wire::TcpView& tcp)
{
    unsigned shift = 0;
    if (!tcp.has(wire::tcp_flag::kSyn)) {
        if (!has(kScalesKnown)) shift = wire::kTcpMaximumWindowScale;
        if (has(kScaled)) shift = scaleOption(side);
    }
    const std::uint32_t window = std::uint32_t{tcp.window()} << shift;
    const auto power = static_cast<std::uint8_t>(window <= 1 ? 0 : std::bit_width(window - 1));
    m_windows[side] = std::max(m_windows[side], power);
}

void TcpWindow::acknowledge(std::size_t side, const wire::TcpView& tcp)
{
    if (!tcp.has(wire::tcp_flag::kAck)) return;
    if (after(tcp.acknowledgement(), join(m_sides[side].ack))) {
        m_sides[side].ack = split(tcp.acknowledgement());
        set(kAcknowledged, 1 - side);
    }
}

/// Whether `ack` from this side is for something that the other side has sent and is not ancient.
bool TcpWindow::plausibleAck(std::size_t side, std::uint32_t ack) const
{
    const std::size_t other = 1 - side;
    if (!has(kSeen, other)) return true;
    const std::uint32_t sent = join(m_sides[other].end);
    return !after(ack, sent) && !before(ack, sent - std::max(windowOf(side), kLeastLookBack));
}

/// Whether a segment of this side, which has not spoken before, acknowledges the other side's SYN.
bool TcpWindow::answersSyn(std::size_t side, const wire::TcpView& tcp) const
{
    return tcp.has(wire::tcp_flag::kAck) && after(tcp.acknowledgement(), join(m_sides[side].ack)) &&
           !after(tcp.acknowledgement(), join(m_sides[1 - side].end));
}

WindowVerdict TcpWindow::judgeReset(std::size_t side, const wire::TcpView& tcp) const
{
    const std::size_t other = 1 - side;
    if (!has(kSeen, other) && !has(kMiddle) && has(kSeen, side)) {
        // Only this side has spoken: it takes its own words back, or refuses an answer of old times
        // that was passed on as a challenge. There is no connection yet that this could end.
        return WindowVerdict::Ok;
    }
    if (!has(kSeen, side) && has(kSeen, other) && !has(kMiddle)) {
        // The answer to a SYN has no sequence number to check; it must acknowledge the SYN
        // (RFC 9293 §3.10.7.3).
        return answersSyn(side, tcp) ? WindowVerdict::Ok : WindowVerdict::InexactReset;
    }
    const bool exact = (has(kSeen, side) && tcp.sequence() == join(m_sides[side].end)) ||
                       (has(kSeen, other) && tcp.sequence() == join(m_sides[other].ack));
    if (!exact) return WindowVerdict::InexactReset;
    if (tcp.has(wire::tcp_flag::kAck) && !plausibleAck(side, tcp.acknowledgement())) {
        return WindowVerdict::InexactReset;
    }
    return WindowVerdict::Ok;
}

void TcpWindow::adoptSyn(std::size_t side, const wire::TcpView& tcp, wire::Extent extent)
{
    const std::size_t other = 1 - side;
    m_sides[side].end = split(endOf(tcp, extent));
    m_sides[other].ack = split(tcp.sequence());
    m_windows[side] = 0;
    setScaleOption(side, tcp.windowScale().value_or(kNoScale));
    set(kSeen, side);
    clear(kAcknowledged, side);
    clear(kScaled);
    if (has(kSeen, other) && has(kScalesKnown) && scaleOption(0) != kNoScale &&
        scaleOption(1) != kNoScale) {
        set(kScaled);
    }
    offer(side, tcp);
    acknowledge(side, tcp);
}

void TcpWindow::adoptMiddle(std::size_t side, const wire::TcpView& tcp, wire::Extent extent)
{
    const std::size_t other = 1 - side;
    const std::uint32_t ack = tcp.acknowledgement();
    set(kMiddle);
    m_sides[side].end = split(endOf(tcp, extent));
    m_sides[side].ack = split(ack);
    if (!has(kSeen, other)) m_sides[other].ack = split(tcp.sequence());
    // What is acknowledged was sent, even if it passed before we looked.
    if (!has(kSeen, other) || after(ack, join(m_sides[other].end))) m_sides[other].end = split(ack);
    set(kSeen, side);
    offer(side, tcp);
}

/// A SYN that does not fit. It stands for a new connection only when the other side, too, has
/// forgotten the old one, and that shows in its answer.
WindowVerdict TcpWindow::challengeSyn(std::size_t side, const wire::TcpView& tcp,
                                      wire::Extent extent)
{
    const std::size_t other = 1 - side;
    if (!tcp.has(wire::tcp_flag::kAck)) {
        m_pendingSyn = digestOf(tcp.sequence() + 1);
        side == 1 ? set(kPendingIsOne) : clear(kPendingIsOne);
        return WindowVerdict::Challenge;
    }
    const bool pendingFromOther = m_pendingSyn != 0 && has(kPendingIsOne) == (other == 1);
    if (!pendingFromOther || digestOf(tcp.acknowledgement()) != m_pendingSyn) {
        return WindowVerdict::Challenge;
    }
    // The other SYN's scale was not kept: this connection is tracked with unknown scales.
    *this = TcpWindow{};
    m_sides[other].end = split(tcp.acknowledgement());
    m_sides[side].ack = split(tcp.acknowledgement() - 1);
    m_windows[other] = 30;
    set(kSeen, other);
    adoptSyn(side, tcp, extent);
    return WindowVerdict::Reopened;
}

WindowVerdict TcpWindow::observeSyn(std::size_t side, const wire::TcpView& tcp, wire::Extent extent)
{
    const std::size_t other = 1 - side;
    if (has(kMiddle)) return challengeSyn(side, tcp, extent);
    if (!has(kSeen, other)) {
        // Nobody has answered: the newest SYN is the one that counts.
        *this = TcpWindow{};
        set(kScalesKnown);
        adoptSyn(side, tcp, extent);
        return WindowVerdict::Ok;
    }
    const bool acknowledges = tcp.has(wire::tcp_flag::kAck);
    if (!has(kSeen, side)) {
        if (acknowledges && !answersSyn(side, tcp)) return WindowVerdict::Challenge;
        adoptSyn(side, tcp, extent);
        return WindowVerdict::Ok;
    }
    if (endOf(tcp, extent) == join(m_sides[side].end)) {
        // A retransmission, or a simultaneous open's SYN now with its acknowledgement.
        if (acknowledges && !plausibleAck(side, tcp.acknowledgement())) {
            return WindowVerdict::Challenge;
        }
        acknowledge(side, tcp);
        return WindowVerdict::Ok;
    }
    if (!has(kAcknowledged, side) && answersSyn(side, tcp)) {
        // A SYN from this side was believed that nobody has acknowledged; this one knows our
        // number.
        adoptSyn(side, tcp, extent);
        return WindowVerdict::Ok;
    }
    return challengeSyn(side, tcp, extent);
}

WindowVerdict TcpWindow::observe(net::Direction direction, const wire::TcpView& tcp,
                                 wire::Extent extent)
{
    const std::size_t side = indexOf(direction);
    const std::size_t other = 1 - side;
    if (tcp.has(wire::tcp_flag::kRst)) return judgeReset(side, tcp);
    if (tcp.has(wire::tcp_flag::kSyn)) return observeSyn(side, tcp, extent);
    // Only a SYN or a reset may come without (RFC 9293 §3.10.7.4).
    if (!tcp.has(wire::tcp_flag::kAck)) return WindowVerdict::OutOfWindow;

    if (!has(kSeen, side)) {
        // After a SYN of the other side only a SYN is an answer; anything else is left of an older
        // connection, which a reset will end.
        if (has(kSeen, other) && !has(kMiddle)) return WindowVerdict::Challenge;
        adoptMiddle(side, tcp, extent);
        return WindowVerdict::Ok;
    }

    const std::uint32_t sequence = tcp.sequence();
    const std::uint32_t sent = join(m_sides[side].end);
    if (has(kSeen, other)) {
        const std::uint32_t offered = windowOf(other);
        const std::uint32_t rightEdge = join(m_sides[other].ack) + offered;
        const std::uint32_t judgedEnd =
            extent == wire::Extent::Whole ? endOf(tcp, extent) : sequence;
        if (after(judgedEnd, rightEdge)) return WindowVerdict::OutOfWindow;
        if (before(sequence, sent - std::max(offered, kLeastLookBack))) {
            return WindowVerdict::OutOfWindow;
        }
    }
    if (!plausibleAck(side, tcp.acknowledgement())) return WindowVerdict::OutOfWindow;
    if (after(endOf(tcp, extent), sent)) m_sides[side].end = split(endOf(tcp, extent));
    offer(side, tcp);
    acknowledge(side, tcp);
    return WindowVerdict::Ok;
}

void TcpWindow::forgetPositions()
{
    m_sides = {};
    m_pendingSyn = 0;
    m_flags &= static_cast<std::uint8_t>(kScaled | kScalesKnown);
    set(kMiddle);
}

bool TcpWindow::inFlight(net::Direction sender, std::uint32_t sequence) const
{
    const std::size_t side = indexOf(sender);
    if (!has(kSeen, side)) return true;
    // A keepalive repeats the octet before the first one that is not acknowledged.
    const std::uint32_t first = join(m_sides[1 - side].ack) - 1;
    return sequence - first <= join(m_sides[side].end) - first;
}

std::optional<std::uint32_t> TcpWindow::sentBy(net::Direction sender) const
{
    const std::size_t side = indexOf(sender);
    if (!has(kSeen, side)) return std::nullopt;
    return join(m_sides[side].end);
}

std::optional<std::uint32_t> TcpWindow::expectedFrom(net::Direction sender) const
{
    const std::size_t side = indexOf(sender);
    if (!has(kSeen, 1 - side)) return std::nullopt;
    return join(m_sides[1 - side].ack);
}

}  // namespace engine::nat
