#pragma once

#include "engine/base/result.h"

#include <QString>

#include <cstdint>
#include <optional>
#include <vector>

namespace app::control {

/// Where the service listens unless it is told otherwise.
inline constexpr const char* kDefaultSocket = "/run/underpass/control.sock";

/// Makes sure that a socket may be made at `path`: absolute, its directory ours or root's and not
/// writable by others (unless sticky), nothing there but a dead socket of ours, which is removed.
/// Symbolic links and foreign files are refused, never followed, never removed.
engine::Result<void, QString> preparePath(const QString& path);

/// Whose members may talk to a router besides its own user, where there is such a group.
inline constexpr const char* kDefaultGroup = "underpass";

/// Who is behind the other end of a connected local socket, as the kernel tells it: what the
/// process was when it connected, whatever a user database says of it since.
struct PeerIdentity {
    std::uint32_t user = 0;
    std::vector<std::uint32_t> groups;  ///< its own and all supplementary ones
};
[[nodiscard]] std::optional<PeerIdentity> peerOf(qintptr descriptor);

/// The number of a group; none if this computer has no such group.
[[nodiscard]] std::optional<std::uint32_t> groupNamed(const QString& name);
/// Lets members of the group connect, and nobody else but the owner: 0660. The caller has just
/// made the socket.
engine::Result<void, QString> openToGroup(const QString& path, std::uint32_t group);

/// The group whose members may connect to the socket at `path`; empty if its owner alone may, or if
/// that cannot be seen.
[[nodiscard]] QString groupOf(const QString& path);

}  // namespace app::control
