#pragma once

#include "engine/base/time.h"

namespace engine::io {

/// The engine's clock: never steps, and counts the time that the PC sleeps (CLOCK_BOOTTIME), so
/// that what expired meanwhile is expired on waking. Goes on across a restart of the program.
[[nodiscard]] Instant now();

}  // namespace engine::io
