#include "engine/tunnel/sequence_meter.h"

#include <algorithm>

namespace engine::tunnel {
namespace {

// Numbers start here inside, so that a window before the first number needs no special case.
constexpr std::uint64_t kBase = std::uint64_t{1} << 20;

}  // namespace

std::int64_t SequenceMeter::distance(const SequenceReading& reading, std::uint64_t base)
{
    const unsigned unused = 64U - reading.bits;
    // Shifted to the top, the difference's sign bit is where a signed number has it.
    const std::uint64_t difference = (reading.number + kBase - base) << unused;
    return static_cast<std::int64_t>(difference) >> unused;
}

bool SequenceMeter::countOther(Instant now, const SequenceReading& reading)
{
    if (!m_running || reading.stream != m_stream) return follow(now, reading);
    const std::int64_t step = distance(reading, m_highest);
    if (step > kFarJump || step <= -static_cast<std::int64_t>(kWindow)) return follow(now, reading);
    m_following = 0;
    catchUp();
    const std::uint64_t number = m_highest + static_cast<std::uint64_t>(step);
    if (step > 0) {
        advanceTo(number);
        mark(number);
        expectAfter(reading);
    } else if (isMarked(number)) {
        ++m_duplicated;
    } else {
        mark(number);
        ++m_reordered;
    }
    if (now - m_markTime >= kSettleTime) settle(now);
    return false;
}

bool SequenceMeter::follow(Instant now, const SequenceReading& reading)
{
    const std::int64_t step = distance(reading, m_candidateNumber);
    const bool goesOn =
        m_following > 0 && reading.stream == m_candidate && step > 0 && step <= kNearJump;
    m_following = goesOn ? static_cast<std::uint8_t>(m_following + 1) : std::uint8_t{1};
    m_candidate = reading.stream;
    m_candidateNumber = reading.number + kBase;
    if (m_following < kPacketsToFollow) return false;

    const bool isRekey =
        m_running && m_stream != reading.stream && !(m_hasPrevious && m_previous == reading.stream);
    if (m_running) {
        catchUp();
        settleUpTo(m_highest);
        if (m_stream != reading.stream) {
            m_previous = m_stream;
            m_hasPrevious = true;
        }
    }
    m_running = true;
    m_following = 0;
    m_stream = reading.stream;
    m_highest = m_candidateNumber;
    m_settled = m_highest;
    m_entered = m_highest;
    m_markNumber = m_highest;
    m_markTime = now;
    m_window.fill(0);
    mark(m_highest);
    expectAfter(reading);
    return isRekey;
}

void SequenceMeter::catchUp()
{
    const std::uint64_t last = m_highest;
    if (last - m_entered >= kWindow) {
        m_highest = m_entered;
        settleUpTo(m_entered);
        m_highest = last;
        m_settled = last - kWindow;
        m_window.fill(~std::uint64_t{0});
        m_entered = last;
        return;
    }
    for (m_highest = m_entered; m_highest < last;) {
        advanceTo(m_highest + 1);
        mark(m_highest);
    }
}

void SequenceMeter::advanceTo(std::uint64_t number)
{
    if (number - m_highest >= kWindow) {
        settleUpTo(m_highest);
        m_lost += number - kWindow - m_highest;
        m_settled = number - kWindow;
        m_window.fill(0);
    } else {
        for (std::uint64_t n = m_highest + 1; n <= number; ++n) {
            // The bit of n still stands for the number a whole window before it.
            const std::uint64_t leaving = n - kWindow;
            if (leaving > m_settled) {
                if (!isMarked(leaving)) ++m_lost;
                m_settled = leaving;
            }
            unmark(n);
        }
    }
    m_highest = number;
    m_entered = number;
}

void SequenceMeter::settleUpTo(std::uint64_t number)
{
    const std::uint64_t last = std::min(number, m_highest);
    while (m_settled < last) {
        ++m_settled;
        if (!isMarked(m_settled)) ++m_lost;
    }
}

void SequenceMeter::settle(Instant now)
{
    if (!m_running || now - m_markTime < kSettleTime) return;
    catchUp();
    settleUpTo(m_markNumber);
    m_markNumber = m_highest;
    m_markTime = now;
}

}  // namespace engine::tunnel
