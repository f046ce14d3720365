#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace engine {

using Sha1Digest = std::array<std::uint8_t, 20>;

/// SHA-1 (FIPS 180-4) of a short message. Only for recomputing what protocols show in clear (IKE's
/// NAT detection); not for anything that has to be secret.
[[nodiscard]] Sha1Digest sha1(std::span<const std::uint8_t> message);

}  // namespace engine
