#pragma once

#include "engine/tunnel/observation.h"

#include <cstddef>
#include <cstdint>
#include <span>

namespace engine::tunnel {

/// What the sequence field of one data packet says. `stream` separates number spaces that follow
/// one another in one session: a new key, index, epoch or SPI starts its numbers afresh.
struct SequenceReading {
    std::uint64_t number = 0;
    std::uint32_t stream = 0;
    std::uint8_t bits = 0;   ///< width of the number, for wrapping; 0: there is no number
    bool keepalive = false;  ///< carries no data, so nobody has to answer it

    [[nodiscard]] explicit operator bool() const { return bits != 0; }
};
static_assert(sizeof(SequenceReading) == 16, "returned in registers");

/// The readers of readSequence(), one per kind. In a header and inlined by order, because they run
/// once per packet of every tunnel and vanish when inlined.
namespace sequence {

using Bytes = std::span<const std::uint8_t>;

inline std::uint16_t big16(Bytes bytes, std::size_t at)
{
    return static_cast<std::uint16_t>((bytes[at] << 8) | bytes[at + 1]);
}
inline std::uint32_t big32(Bytes bytes, std::size_t at)
{
    return (std::uint32_t{big16(bytes, at)} << 16) | big16(bytes, at + 2);
}
inline std::uint64_t little64(Bytes bytes, std::size_t at)
{
    // Spelt out, so that a compiler makes one load of it.
    return std::uint64_t{bytes[at]} | (std::uint64_t{bytes[at + 1]} << 8) |
           (std::uint64_t{bytes[at + 2]} << 16) | (std::uint64_t{bytes[at + 3]} << 24) |
           (std::uint64_t{bytes[at + 4]} << 32) | (std::uint64_t{bytes[at + 5]} << 40) |
           (std::uint64_t{bytes[at + 6]} << 48) | (std::uint64_t{bytes[at + 7]} << 56);
}

[[gnu::always_inline]] inline SequenceReading readGreV1(Bytes payload)
{
    // RFC 2637 §4.1: version 1 with a key; the sequence number is there if S is set.
    if (payload.size() < 12 || (payload[1] & 0x07) != 1 || (payload[0] & 0x10) == 0) {
        return {};
    }
    return SequenceReading{
        .number = big32(payload, 8), .bits = 32, .keepalive = big16(payload, 4) == 0};
}

[[gnu::always_inline]] inline SequenceReading readGreV0(Bytes payload)
{
    if (payload.size() < 4 || (payload[1] & 0x07) != 0 || (payload[0] & 0x10) == 0) {
        return {};
    }
    std::size_t at = 4;
    if ((payload[0] & 0xc0) != 0) at += 4;  // checksum and offset, RFC 1701
    if ((payload[0] & 0x20) != 0) at += 4;  // key, RFC 2890 §2.1
    if (payload.size() < at + 4) return {};
    return SequenceReading{.number = big32(payload, at), .bits = 32};
}

[[gnu::always_inline]] inline SequenceReading readEsp(Bytes payload)
{
    if (payload.size() < 8 || big32(payload, 0) == 0) return {};
    return SequenceReading{.number = big32(payload, 4), .stream = big32(payload, 0), .bits = 32};
}

[[gnu::always_inline]] inline SequenceReading readWireGuard(Bytes payload)
{
    constexpr std::size_t kKeepaliveSize = 32;
    // Cloudflare's dialect sets the two top bits of the type.
    if (payload.size() < kKeepaliveSize || (payload[0] != 4 && payload[0] != 0xc4)) {
        return {};
    }
    return SequenceReading{.number = little64(payload, 8),
                           .stream = big32(payload, 4),
                           .bits = 64,
                           .keepalive = payload.size() == kKeepaliveSize};
}

[[gnu::always_inline]] inline SequenceReading readOpenVpn(Bytes payload)
{
    constexpr std::uint8_t kDataV2 = 9;
    if (payload.size() < 8 || (payload[0] >> 3) != kDataV2) return {};
    return SequenceReading{.number = big32(payload, 4),
                           .stream = static_cast<std::uint32_t>(payload[0] & 0x07),
                           .bits = 32};
}

[[gnu::always_inline]] inline SequenceReading readDtls(Bytes payload)
{
    constexpr std::uint8_t kApplicationData = 23;
    if (payload.size() < 13 || payload[0] != kApplicationData) return {};
    const std::uint64_t number = (std::uint64_t{big16(payload, 5)} << 32) | big32(payload, 7);
    return SequenceReading{.number = number, .stream = big16(payload, 3), .bits = 48};
}

[[gnu::always_inline]] inline SequenceReading readL2tp(Bytes payload)
{
    // RFC 2661 §3.1: T clear for data, S for sequence numbers, L puts a length before the IDs.
    if (payload.size() < 8) return {};
    const std::uint16_t flags = big16(payload, 0);
    if ((flags & 0x8000) != 0 || (flags & 0x000f) != 2 || (flags & 0x0800) == 0) {
        return {};
    }
    const std::size_t ids = (flags & 0x4000) != 0 ? 4 : 2;
    if (payload.size() < ids + 6) return {};
    return SequenceReading{
        .number = big16(payload, ids + 4), .stream = big32(payload, ids), .bits = 16};
}

}  // namespace sequence

/// Reads the sequence number of a data packet; none if the packet is not data of that kind or shows
/// no number. Pure; reads nothing beyond the payload.
[[nodiscard, gnu::always_inline]] inline SequenceReading readSequence(
    SequenceKind kind, std::span<const std::uint8_t> payload)
{
    switch (kind) {
    case SequenceKind::None: return {};
    case SequenceKind::GreV1: return sequence::readGreV1(payload);
    case SequenceKind::GreV0: return sequence::readGreV0(payload);
    case SequenceKind::Esp:
    case SequenceKind::EspInUdp: return sequence::readEsp(payload);
    case SequenceKind::WireGuard: return sequence::readWireGuard(payload);
    case SequenceKind::OpenVpnUdp: return sequence::readOpenVpn(payload);
    case SequenceKind::Dtls: return sequence::readDtls(payload);
    case SequenceKind::L2tp: return sequence::readL2tp(payload);
    }
    return {};
}

}  // namespace engine::tunnel
