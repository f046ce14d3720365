#pragma once

#include "engine/wire/bytes.h"

#include <cstdint>

namespace engine::wire {

/// What stands in the transport checksum field of a packet.
enum class ChecksumState : std::uint8_t {
    Complete,  ///< a finished checksum
    Partial,   ///< the pseudo-header's sum only; the device that sends will finish it
};

/// How much of a transport packet a buffer holds.
enum class Extent : std::uint8_t {
    Whole,      ///< an unfragmented packet
    Beginning,  ///< a first fragment: more octets of the same packet are elsewhere
};

/// An IPv4 packet in somebody else's buffer, from its first header octet to its last octet; no link
/// layer. A device that carries offloads whole may hand over up to 64 KB that will be cut into
/// segments of `segmentPayload` octets of TCP or UDP payload each when sent (zero: not to be cut).
struct Packet {
    MutableBytes bytes;
    ChecksumState checksum = ChecksumState::Complete;
    std::uint16_t segmentPayload = 0;
};

}  // namespace engine::wire
