#pragma once

#include "engine/wire/packet.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace engine::io {

/// What stands in front of the IPv4 header.
enum class LinkKind : std::uint8_t { Ethernet, RawIp };

/// Free octets in front of every frame that a device hands out: room for a link header of the other
/// side and for the descriptor that travels in front of it.
inline constexpr std::size_t kHeadroom = 32;
/// The largest frame: an IPv4 packet of 65,535 octets behind an Ethernet header, rounded up.
inline constexpr std::size_t kFrameCapacity = 65536 + 64;
/// Frames that travel together. More gains nothing and spoils the cache.
inline constexpr std::size_t kBatch = 64;

/// One frame in a device's buffer. `data` points at the link header (at the IPv4 header for RawIp);
/// kHeadroom octets before it may be written by whoever holds the frame.
struct Frame {
    std::uint8_t* data = nullptr;
    std::uint32_t length = 0;
    wire::ChecksumState checksum = wire::ChecksumState::Complete;
    std::uint16_t segmentPayload = 0;

    [[nodiscard]] wire::MutableBytes bytes() const { return {data, length}; }
};

struct DeviceCounters {
    std::uint64_t received = 0;
    std::uint64_t sent = 0;
    std::uint64_t receiveLost = 0;     ///< the kernel had to throw away before we read
    std::uint64_t receiveRefused = 0;  ///< frames whose offload description we cannot carry
    std::uint64_t sendLost = 0;        ///< the card or its queue was full
};

/// What an open() of a device needs to say when it fails.
struct DeviceError {
    enum class Kind : std::uint8_t { NoPrivilege, NoSuchInterface, Other };
    Kind kind = Kind::Other;
    std::string detail;  ///< English, one clause
};

/// A network card, a tunnel, a file or memory: reads and writes batches of frames.
///
/// Promises: neither call blocks. No allocation per frame. A frame that cannot be sent is counted,
/// never retried: a router's queue that is full loses packets.
class Device {
public:
    virtual ~Device() = default;
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;
    Device(Device&&) = delete;
    Device& operator=(Device&&) = delete;

    [[nodiscard]] virtual LinkKind linkKind() const = 0;
    /// Readable when receive() has something.
    [[nodiscard]] virtual int descriptor() const = 0;
    /// Fills `frames` from the front; they stay valid until the next receive().
    virtual std::size_t receive(std::span<Frame> frames) = 0;
    /// Sends all frames and returns how many the card took. May finish checksums and use the
    /// headroom in place.
    virtual std::size_t send(std::span<const Frame> frames) = 0;
    [[nodiscard]] virtual DeviceCounters counters() = 0;
    /// Why the device can never work again (the card is gone); empty while it can.
    [[nodiscard]] virtual std::string_view failure() const = 0;

protected:
    Device() = default;
};

}  // namespace engine::io
