#pragma once

#include "engine/base/result.h"

#include <QString>

#include <cstdint>
#include <optional>

namespace app::control {

/// Where the service listens unless it is told otherwise.
inline constexpr const char* kDefaultSocket = "/run/underpass/control.sock";

/// Makes sure that a socket may be made at `path`: absolute, its directory ours or root's and not
/// writable by others (unless sticky), nothing there but a dead socket of ours, which is removed.
/// Symbolic links and foreign files are refused, never followed, never removed.
engine::Result<void, QString> preparePath(const QString& path);

/// The user behind the other end of a connected local socket, as the kernel tells it.
[[nodiscard]] std::optional<std::uint32_t> peerUser(qintptr descriptor);

}  // namespace app::control
