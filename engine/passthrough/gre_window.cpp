#include "engine/passthrough/gre_window.h"

#include <algorithm>

namespace engine::passthrough {

namespace {

// Ours: together 1,024 numbers, so that a guess hits with 2.4 in 10 million; losing 768 packets in
// a row is a jump.
constexpr std::uint32_t kAhead = 768;
constexpr std::uint32_t kBehind = 256;
constexpr std::uint32_t kAheadStrict = 192;
constexpr std::uint32_t kBehindStrict = 64;
/// Ours: packets of ours that may be on the way; with and without a sequence number beside it.
constexpr std::uint32_t kUnacknowledged = 16384;
constexpr std::uint32_t kUnacknowledgedAlone = 4096;
/// Ours: packets that have to agree before a jump is believed, one of them with an acknowledgment
/// that somebody outside could not know; without one; and under attack.
constexpr std::uint32_t kJump = 3;
constexpr std::uint32_t kJumpUnacknowledged = 32;
constexpr std::uint32_t kJumpStrict = 8;
/// Ours: losses allowed between two packets of a jump.
constexpr std::uint32_t kJumpStep = 8;

}  // namespace

void GreWindow::noteOutbound(Instant now, const GreHeader& header)
{
    if (!header.sequence) return;
    const std::uint32_t sequence = *header.sequence;
    if (!m_sentAny || static_cast<std::int32_t>(sequence - m_lastSent) > 0) m_lastSent = sequence;
    m_sentAny = true;
    if (!m_measuring) {
        m_measuring = true;
        m_measured = sequence;
        m_measuredSent = now;
    }
}

bool GreWindow::isPlausible(std::uint32_t acknowledgment, std::uint32_t behind) const
{
    // Nothing sent: some peers acknowledge "none" as zero or as minus one.
    if (!m_sentAny) return acknowledgment == 0 || acknowledgment == ~std::uint32_t{0};
    return m_lastSent - acknowledgment < behind;
}

bool GreWindow::admitInbound(const GreHeader& header, Strictness strictness)
{
    const bool strict = strictness == Strictness::Strict;
    if (!header.sequence) {
        return header.acknowledgment && isPlausible(*header.acknowledgment, kUnacknowledgedAlone);
    }
    if (header.acknowledgment && !isPlausible(*header.acknowledgment, kUnacknowledged)) {
        return false;
    }
    const std::uint32_t sequence = *header.sequence;
    const auto ahead = static_cast<std::int32_t>(sequence - m_nextInbound);
    const std::uint32_t lag = std::min(m_mayLag, strict ? kBehindStrict : kBehind);
    const std::uint32_t lead = strict ? kAheadStrict : kAhead;
    if (ahead >= -static_cast<std::int32_t>(lag) && ahead < static_cast<std::int32_t>(lead)) {
        m_jumpLength = 0;
        if (ahead >= 0) {
            m_nextInbound = sequence + 1;
            m_mayLag = std::min(kBehind, m_mayLag + static_cast<std::uint32_t>(ahead) + 1);
        }
        return true;
    }
    return resynchronise(header, strictness);
}

bool GreWindow::resynchronise(const GreHeader& header, Strictness strictness)
{
    const std::uint32_t sequence = *header.sequence;
    const bool continues = m_jumpLength > 0 && sequence - m_jumpNext < kJumpStep;
    if (!continues) {
        m_jumpLength = 0;
        m_jumpAcknowledged = false;
    }
    m_jumpNext = sequence + 1;
    ++m_jumpLength;
    m_jumpAcknowledged = m_jumpAcknowledged || (header.acknowledgment && m_sentAny);
    std::uint32_t needed = m_jumpAcknowledged ? kJump : kJumpUnacknowledged;
    if (strictness == Strictness::Strict && m_jumpAcknowledged) needed = kJumpStrict;
    if (m_jumpLength < needed) return false;
    m_jumpLength = 0;
    m_nextInbound = sequence + 1;
    m_mayLag = needed;
    return true;
}

std::optional<Duration> GreWindow::roundTrip(Instant now, const GreHeader& header)
{
    if (!m_measuring || !header.acknowledgment) return std::nullopt;
    if (static_cast<std::int32_t>(*header.acknowledgment - m_measured) < 0) return std::nullopt;
    m_measuring = false;
    return now - m_measuredSent;
}

void GreWindow::save(StateWriter& out) const
{
    out.u32(m_nextInbound);
    out.u32(m_mayLag);
    out.flag(m_sentAny);
    out.u32(m_lastSent);
}

void GreWindow::restore(StateReader& in)
{
    m_nextInbound = in.u32();
    m_mayLag = in.u32();
    m_sentAny = in.flag();
    m_lastSent = in.u32();
}

}  // namespace engine::passthrough
