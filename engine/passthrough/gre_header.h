#pragma once

#include "engine/base/result.h"
#include "engine/wire/bytes.h"
#include "engine/wire/parse_error.h"

#include <cstdint>
#include <optional>

namespace engine::passthrough {

// Specification.
/// RFC 2637 §4.1: the protocol type of enhanced GRE.
inline constexpr std::uint16_t kGreTypePpp = 0x880b;
/// MikroTik's EoIP: version 1, key and this type; the tunnel ID is little-endian.
inline constexpr std::uint16_t kGreTypeEoip = 0x6400;
inline constexpr std::uint16_t kEtherTypeIpv4 = 0x0800;
inline constexpr std::uint16_t kEtherTypeIpv6 = 0x86dd;
/// RFC 1701: transparent Ethernet bridging.
inline constexpr std::uint16_t kEtherTypeBridged = 0x6558;

/// A GRE header of version 0 (RFC 2784, 2890, the bits of 1701) or 1 (RFC 2637 §4.1), read as a
/// value. Fields whose bit is not set are empty.
struct GreHeader {
    std::uint8_t version = 0;
    std::uint16_t type = 0;
    bool routed = false;               ///< RFC 1701's routing: what follows is not looked at
    std::optional<std::uint32_t> key;  ///< version 0
    std::uint16_t payloadLength = 0;   ///< version 1
    std::uint16_t callId = 0;          ///< version 1, as PPTP reads it
    std::uint16_t tunnelId = 0;        ///< version 1, as EoIP reads it
    std::optional<std::uint32_t> sequence;
    std::optional<std::uint32_t> acknowledgment;  ///< version 1
    wire::ConstBytes payload;

    [[nodiscard]] bool isPptp() const { return version == 1 && type == kGreTypePpp; }
    [[nodiscard]] bool isEoip() const { return version == 1 && type == kGreTypeEoip; }

    /// Total. A header of which the packet holds only a part is Truncated.
    static Result<GreHeader, wire::ParseError> parse(wire::ConstBytes bytes);
};

}  // namespace engine::passthrough
