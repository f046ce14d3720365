#pragma once

#include "engine/net/endpoint.h"

#include <vector>

namespace engine::io {

/// The ports that this host uses itself on its own addresses.
struct HostPorts {
    net::PortRange local;               ///< where it draws the ports of its own connections from
    std::vector<net::PortRange> bound;  ///< every TCP and UDP port that is bound now, not to
                                        ///< 127.0.0.0/8 or ::1; sorted, joined
    friend bool operator==(const HostPorts&, const HostPorts&) = default;

    /// All of them, for the engine: kept out of its pool. The bound ones stay ranges of their own,
    /// since a port forward may lie in the local range but not on a port in use.
    [[nodiscard]] std::vector<net::PortRange> reserved() const;
};
[[nodiscard]] HostPorts portsOfHost();

/// Sorts and joins.
[[nodiscard]] std::vector<net::PortRange> joined(std::vector<net::PortRange> ranges);

}  // namespace engine::io
