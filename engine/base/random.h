#pragma once

#include "engine/base/siphash.h"

#include <cstdint>

namespace engine {

/// Seeded pseudo-random numbers: the same seed gives the same numbers, which the whole engine's
/// determinism rests on. A keyed hash over a counter, so that somebody who sees some numbers (ports
/// that we chose) cannot tell the next ones without the seed. The shell draws the seed from the
/// operating system.
class Random {
public:
    explicit constexpr Random(HashKey seed) : m_key(seed) {}

    constexpr std::uint64_t next() { return sipHash(m_key, ++m_counter, 0x52414e44U); }

    /// Uniform in [0, bound); bound must not be zero. The bias is below bound / 2^32.
    constexpr std::uint32_t below(std::uint32_t bound)
    {
        return static_cast<std::uint32_t>(((next() >> 32) * bound) >> 32);
    }

private:
    HashKey m_key;
    std::uint64_t m_counter = 0;
};

}  // namespace engine
