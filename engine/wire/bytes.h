#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>

namespace engine::wire {

using MutableBytes = std::span<std::uint8_t>;
using ConstBytes = std::span<const std::uint8_t>;

// The only place where network order and host order meet. Offsets are the caller's to check: every
// view has done so in parse().

[[nodiscard]] inline std::uint16_t load16(ConstBytes bytes, std::size_t at)
{
    assert(at + 2 <= bytes.size());
    return static_cast<std::uint16_t>((bytes[at] << 8) | bytes[at + 1]);
}
[[nodiscard]] inline std::uint32_t load32(ConstBytes bytes, std::size_t at)
{
    assert(at + 4 <= bytes.size());
    return (std::uint32_t{bytes[at]} << 24) | (std::uint32_t{bytes[at + 1]} << 16) |
           (std::uint32_t{bytes[at + 2]} << 8) | bytes[at + 3];
}
[[nodiscard]] inline std::uint64_t load64(ConstBytes bytes, std::size_t at)
{
    return (std::uint64_t{load32(bytes, at)} << 32) | load32(bytes, at + 4);
}
/// Little-endian, for the protocols that chose it (WireGuard, EoIP).
[[nodiscard]] inline std::uint16_t load16le(ConstBytes bytes, std::size_t at)
{
    assert(at + 2 <= bytes.size());
    return static_cast<std::uint16_t>((bytes[at + 1] << 8) | bytes[at]);
}
[[nodiscard]] inline std::uint32_t load32le(ConstBytes bytes, std::size_t at)
{
    assert(at + 4 <= bytes.size());
    return (std::uint32_t{bytes[at + 3]} << 24) | (std::uint32_t{bytes[at + 2]} << 16) |
           (std::uint32_t{bytes[at + 1]} << 8) | bytes[at];
}
[[nodiscard]] inline std::uint64_t load64le(ConstBytes bytes, std::size_t at)
{
    return (std::uint64_t{load32le(bytes, at + 4)} << 32) | load32le(bytes, at);
}

inline void store16(MutableBytes bytes, std::size_t at, std::uint16_t value)
{
    assert(at + 2 <= bytes.size());
    bytes[at] = static_cast<std::uint8_t>(value >> 8);
    bytes[at + 1] = static_cast<std::uint8_t>(value);
}
inline void store32(MutableBytes bytes, std::size_t at, std::uint32_t value)
{
    assert(at + 4 <= bytes.size());
    bytes[at] = static_cast<std::uint8_t>(value >> 24);
    bytes[at + 1] = static_cast<std::uint8_t>(value >> 16);
    bytes[at + 2] = static_cast<std::uint8_t>(value >> 8);
    bytes[at + 3] = static_cast<std::uint8_t>(value);
}
inline void store64(MutableBytes bytes, std::size_t at, std::uint64_t value)
{
    store32(bytes, at, static_cast<std::uint32_t>(value >> 32));
    store32(bytes, at + 4, static_cast<std::uint32_t>(value));
}

}  // namespace engine::wire
