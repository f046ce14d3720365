#pragma once

#include "engine/wire/bytes.h"

#include <array>
#include <cstdint>

namespace engine::lab {

/// SHA-1 (FIPS 180-4), which IKE's NAT detection still asks for (RFC 7296 §2.23). Not for secrets.
[[nodiscard]] std::array<std::uint8_t, 20> sha1(wire::ConstBytes bytes);

}  // namespace engine::lab
