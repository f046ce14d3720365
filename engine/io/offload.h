#pragma once

#include "engine/wire/packet.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>

/// What network cards do for the kernel, in software: for devices that cannot carry it, and for
/// packets that no descriptor can describe.
namespace engine::io {

/// The descriptor in front of a frame on AF_PACKET and TUN (virtio 1.1 §5.1.6, legacy form, the
/// host's byte order), without the kernel's type in our headers.
inline constexpr std::size_t kOffloadHeader = 10;

/// What a descriptor said about a frame.
enum class OffloadReading : std::uint8_t {
    Carried,  ///< the packet's fields say it all
    Nested,   ///< to be cut by segmentNested(): segments are inside a tunnel
    Refused,  ///< contradicts the frame
};
struct OffloadResult {
    OffloadReading reading = OffloadReading::Carried;
    std::size_t innerTransport = 0;  ///< Nested: offset of the inner TCP header in the packet
};

/// Reads the descriptor at `header` of a frame with `linkHeader` octets before the IPv4 header.
/// Checksums that stand elsewhere than in the packet's own TCP or UDP header are finished here.
OffloadResult readOffload(std::span<const std::uint8_t, kOffloadHeader> header,
                          std::size_t linkHeader, wire::Packet& packet);

/// Writes the descriptor for a packet. May put the pseudo-header's sum into the checksum field,
/// where the kernel wants it.
void writeOffload(std::span<std::uint8_t, kOffloadHeader> header, std::size_t linkHeader,
                  const wire::Packet& packet);

/// Turns a Partial checksum into a complete one. Anything but TCP or UDP stays as it is.
void finishChecksum(wire::MutableBytes packet);

/// Partial if the checksum field holds just the pseudo-header's sum, as a packet of a local sender
/// does on a virtual card: for captures that do not say.
[[nodiscard]] wire::ChecksumState guessChecksumState(wire::ConstBytes packet);

/// The payload per segment that makes a TCP or UDP packet fit `mtu`; zero if it fits or cannot be
/// cut.
[[nodiscard]] std::uint16_t segmentPayloadFor(wire::ConstBytes packet, std::uint16_t mtu);

using SegmentSink = std::function<void(wire::MutableBytes)>;
/// Cuts a packet into segments of `segmentPayload` octets with complete checksums and hands each to
/// the sink, in `scratch` (at least kFrameCapacity). A packet that need not be cut is handed over
/// as it is, finished. False if it cannot be cut.
bool segment(const wire::Packet& packet, wire::MutableBytes scratch, const SegmentSink& sink);

/// The same for TCP inside IPv4, GRE version 0 or IPv6-in-IPv4 that the kernel has put together.
bool segmentNested(const wire::Packet& packet, std::size_t innerTransport,
                   wire::MutableBytes scratch, const SegmentSink& sink);

}  // namespace engine::io
