#pragma once

#include "engine/base/siphash.h"

namespace app {

/// From the operating system's random source.
[[nodiscard]] engine::HashKey randomSeed();

}  // namespace app
