#pragma once

#include <chrono>
#include <compare>
#include <cstdint>

namespace engine {

/// A span of time. The literals of std::chrono (2h + 4min) convert to it without loss.
using Duration = std::chrono::nanoseconds;

/// A point of a clock that never steps and counts time asleep (CLOCK_BOOTTIME on Linux), in
/// nanoseconds since an epoch that only the caller knows. 64 bits last 292 years.
class Instant {
public:
    constexpr Instant() = default;
    constexpr explicit Instant(Duration sinceEpoch) : m_sinceEpoch(sinceEpoch) {}

    [[nodiscard]] constexpr Duration sinceEpoch() const { return m_sinceEpoch; }
    [[nodiscard]] constexpr std::int64_t nanoseconds() const { return m_sinceEpoch.count(); }

    constexpr Instant& operator+=(Duration d)
    {
        m_sinceEpoch += d;
        return *this;
    }
    friend constexpr Instant operator+(Instant t, Duration d)
    {
        return Instant{t.m_sinceEpoch + d};
    }
    friend constexpr Instant operator-(Instant t, Duration d)
    {
        return Instant{t.m_sinceEpoch - d};
    }
    friend constexpr Duration operator-(Instant a, Instant b)
    {
        return a.m_sinceEpoch - b.m_sinceEpoch;
    }
    friend constexpr auto operator<=>(const Instant&, const Instant&) = default;

private:
    Duration m_sinceEpoch{0};
};

}  // namespace engine
