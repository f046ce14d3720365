#include "engine/lab/sha1.h"

#include "engine/lab/octets.h"

#include <bit>

namespace engine::lab {

std::array<std::uint8_t, 20> sha1(wire::ConstBytes bytes)
{
    Writer padded;
    padded.put(bytes).put8(0x80);
    while (padded.size() % 64 != 56)
        padded.put8(0);
    const Octets blocks = padded.put64(bytes.size() * 8).take();

    std::array<std::uint32_t, 5> state{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    for (std::size_t block = 0; block < blocks.size(); block += 64) {
        std::array<std::uint32_t, 80> w{};
        for (std::size_t i = 0; i < 16; ++i)
            w[i] = wire::load32(blocks, block + i * 4);
        for (std::size_t i = 16; i < 80; ++i) {
            w[i] = std::rotl(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
        }
        auto [a, b, c, d, e] = state;
        for (std::size_t i = 0; i < 80; ++i) {
            std::uint32_t f = b ^ c ^ d;
            std::uint32_t k = i < 40 ? 0x6ed9eba1 : 0xca62c1d6;
            if (i < 20) {
                f = (b & c) | (~b & d);
                k = 0x5a827999;
            } else if (i >= 40 && i < 60) {
                f = (b & c) | (b & d) | (c & d);
                k = 0x8f1bbcdc;
            }
            const std::uint32_t next = std::rotl(a, 5) + f + e + k + w[i];
            e = d;
            d = c;
            c = std::rotl(b, 30);
            b = a;
            a = next;
        }
        state = {state[0] + a, state[1] + b, state[2] + c, state[3] + d, state[4] + e};
    }
    std::array<std::uint8_t, 20> digest{};
    for (std::size_t i = 0; i < 5; ++i)
        wire::store32(digest, i * 4, state[i]);
    return digest;
}

}  // namespace engine::lab
