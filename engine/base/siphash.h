#pragma once

#include <bit>
#include <cstdint>

namespace engine {

/// The 128-bit key of a hash table that faces the network. Drawn once per engine.
struct HashKey {
    std::uint64_t k0 = 0;
    std::uint64_t k1 = 0;
};

/// SipHash-1-3 (Aumasson, Bernstein 2012) over exactly two 64-bit words. The length word of the
/// general form is left out, since the length never varies. Keyed, so that somebody who knows the
/// algorithm cannot choose addresses and ports that collide.
[[nodiscard]] constexpr std::uint64_t sipHash(const HashKey& key, std::uint64_t a, std::uint64_t b)
{
    std::uint64_t v0 = key.k0 ^ 0x736f6d6570736575U;
    std::uint64_t v1 = key.k1 ^ 0x646f72616e646f6dU;
    std::uint64_t v2 = key.k0 ^ 0x6c7967656e657261U;
    std::uint64_t v3 = key.k1 ^ 0x7465646279746573U;
    const auto round = [&] {
        v0 += v1;
        v2 += v3;
        v1 = std::rotl(v1, 13) ^ v0;
        v3 = std::rotl(v3, 16) ^ v2;
        v0 = std::rotl(v0, 32);
        v2 += v1;
        v0 += v3;
        v1 = std::rotl(v1, 17) ^ v2;
        v3 = std::rotl(v3, 21) ^ v0;
        v2 = std::rotl(v2, 32);
    };
    v3 ^= a;
    round();
    v0 ^= a;
    v3 ^= b;
    round();
    v0 ^= b;
    v2 ^= 0xff;
    round();
    round();
    round();
    return v0 ^ v1 ^ v2 ^ v3;
}

}  // namespace engine
