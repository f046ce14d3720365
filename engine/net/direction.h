#pragma once

#include <cstdint>

namespace engine::net {

/// Relative to the internal realm (RFC 4787).
enum class Direction : std::uint8_t { Outbound, Inbound };

[[nodiscard]] constexpr Direction opposite(Direction direction)
{
    return direction == Direction::Outbound ? Direction::Inbound : Direction::Outbound;
}

}  // namespace engine::net
