#pragma once

#include "engine/base/result.h"
#include "engine/io/descriptor.h"

#include <string>

#include <system_error>

namespace engine::io {

/// The right to use one card, held by one process per network namespace for as long as the
/// descriptor lives: however the process ends, the right goes with it. `address_in_use` says that
/// another one holds it.
[[nodiscard]] Result<Descriptor, std::errc> lockCard(const std::string& interface);

/// Whether a running process holds it.
[[nodiscard]] bool isCardLocked(const std::string& interface);

}  // namespace engine::io
