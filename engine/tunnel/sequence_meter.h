#pragma once

#include "engine/base/time.h"
#include "engine/tunnel/sequence_reading.h"

#include <array>
#include <cstdint>

namespace engine::tunnel {

/// Loss, reordering and duplication of one direction, from sequence numbers alone. A number that is
/// skipped counts as lost once it is kWindow numbers behind or a few seconds old, so that late
/// packets are reordered, not lost. A new stream or a far jump is a restart, never loss; numbers
/// that do not run at all (what looks like a number is ciphertext) are never counted.
class SequenceMeter {
public:
    /// Ours: numbers a packet may be late and still be looked for.
    static constexpr std::uint64_t kWindow = 1024;
    /// Ours: a gap this old is settled as loss; the check runs once per this time, so that a gap is
    /// settled after three to six seconds.
    static constexpr Duration kSettleTime = std::chrono::seconds(3);
    /// Ours: a forward jump beyond this is no outage but another counter.
    static constexpr std::int64_t kFarJump = 65536;
    /// Ours: that many numbers in a row, each at most kNearJump after the one before and nothing of
    /// the old stream in between, make a stream.
    static constexpr std::uint8_t kPacketsToFollow = 3;
    static constexpr std::int64_t kNearJump = 64;

    /// Counts the packet if it is just the next one, as nearly every packet is, and nothing else is
    /// due; otherwise false, and it is count()'s.
    bool countNext(Instant now, const SequenceReading& reading)
    {
        if (!m_running || reading.number != m_expected || reading.stream != m_stream ||
            now - m_markTime >= kSettleTime) {
            return false;
        }
        ++m_highest;
        expectAfter(reading);
        m_following = 0;
        return true;
    }

    /// True when this packet confirmed a new stream after an older one: a rekey.
    bool count(Instant now, const SequenceReading& reading)
    {
        return !countNext(now, reading) && countOther(now, reading);
    }

    /// Settles gaps that are old enough. Harmless at any time.
    void settle(Instant now);

    [[nodiscard]] std::uint64_t lost() const { return m_lost; }
    [[nodiscard]] std::uint64_t reordered() const { return m_reordered; }
    [[nodiscard]] std::uint64_t duplicated() const { return m_duplicated; }

private:
    bool countOther(Instant now, const SequenceReading& reading);
    void expectAfter(const SequenceReading& reading)
    {
        m_expected = (reading.number + 1) & (~std::uint64_t{0} >> (64U - reading.bits));
    }
    /// A packet that does not belong to the stream being counted: perhaps the next one's.
    bool follow(Instant now, const SequenceReading& reading);
    /// Enters the packets that came in order since the window was last touched.
    void catchUp();
    void advanceTo(std::uint64_t number);
    /// Counts the gaps up to and including `number` as lost.
    void settleUpTo(std::uint64_t number);
    /// From `base` to the reading's number, along the shorter way round for its width.
    static std::int64_t distance(const SequenceReading& reading, std::uint64_t base);

    [[nodiscard]] bool isMarked(std::uint64_t number) const
    {
        return ((m_window[(number % kWindow) / 64] >> (number % 64)) & 1U) != 0;
    }
    void mark(std::uint64_t number)
    {
        m_window[(number % kWindow) / 64] |= std::uint64_t{1} << (number % 64);
    }
    void unmark(std::uint64_t number)
    {
        m_window[(number % kWindow) / 64] &= ~(std::uint64_t{1} << (number % 64));
    }

    // What the next packet in order touches comes first and lies together.
    std::uint64_t m_expected = 0;  ///< the number after the highest, as the field shows it
    std::uint64_t m_highest = 0;   ///< extended beyond the field's width
    Instant m_markTime;
    std::uint32_t m_stream = 0;
    bool m_running = false;        ///< a stream is being counted
    std::uint8_t m_following = 0;  ///< packets in a row of m_candidate
    bool m_hasPrevious = false;
    std::uint32_t m_previous = 0;  ///< the stream before; going back to it is no rekey
    std::uint32_t m_candidate = 0;
    std::uint64_t m_candidateNumber = 0;
    std::uint64_t m_entered = 0;     ///< the window is up to date to here; what is behind is there
    std::uint64_t m_settled = 0;     ///< gaps up to here have been judged
    std::uint64_t m_markNumber = 0;  ///< highest number at m_markTime
    std::uint64_t m_lost = 0;
    std::uint64_t m_reordered = 0;
    std::uint64_t m_duplicated = 0;
    /// One bit per number from m_entered - kWindow + 1 to m_entered.
    std::array<std::uint64_t, kWindow / 64> m_window{};
};

}  // namespace engine::tunnel
