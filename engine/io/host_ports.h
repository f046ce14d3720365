#pragma once

#include "engine/net/endpoint.h"

#include <vector>

namespace engine::io {

/// The ports that this host uses itself or may take at any time: the range it draws local ports
/// from, and every TCP and UDP port that is bound now. Sorted, disjoint, adjacent ranges joined.
/// The engine keeps them out of its pool and the guard leaves them to the host.
[[nodiscard]] std::vector<net::PortRange> portsOfHost();

/// Sorts and joins.
[[nodiscard]] std::vector<net::PortRange> joined(std::vector<net::PortRange> ranges);

}  // namespace engine::io
