#pragma once

#include "engine/io/descriptor.h"

namespace engine::io {

/// Whether the card has a clsact or ingress qdisc already.
[[nodiscard]] bool hasClsact(int interfaceIndex);

/// Whether any traffic-control filter sits on the card's ingress or egress hook.
[[nodiscard]] bool hasIngressOrEgressFilters(int interfaceIndex);

/// Readable whenever a card, an IPv4 address or a route changes; an invalid one if the system
/// refuses. drainChanges() empties it.
[[nodiscard]] Descriptor watchChanges();
void drainChanges(const Descriptor& watch);

}  // namespace engine::io
