#pragma once

#include <cstdint>

namespace engine::wire {

/// Why octets from the network are not the header they claim to be.
enum class ParseError : std::uint8_t {
    Truncated,   ///< the buffer ends before the header does
    BadVersion,  ///< another version of the protocol
    BadLength,   ///< a length field contradicts the buffer or itself
    BadChecksum,
    BadValue,  ///< a field holds what the protocol forbids
};

}  // namespace engine::wire
