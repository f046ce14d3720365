#pragma once

#include "engine/io/descriptor.h"

#include <cstdint>
#include <string>
#include <vector>

namespace engine::io {

/// Whether the card has a clsact or ingress qdisc already.
[[nodiscard]] bool hasClsact(int interfaceIndex);

/// Whether any traffic-control filter sits on the card's ingress or egress hook.
[[nodiscard]] bool hasIngressOrEgressFilters(int interfaceIndex);

/// A BPF program on a card's ingress hook.
struct IngressProgram {
    std::uint32_t priority = 0;
    std::uint32_t handle = 0;
    std::string name;  ///< as the kernel keeps it for the filter
};

/// All of them. Needs no privilege: asking the kernel for a program by its number would need
/// CAP_SYS_ADMIN, which the service does not have.
[[nodiscard]] std::vector<IngressProgram> ingressPrograms(int interfaceIndex);

/// Readable whenever a card, an IPv4 address or a route changes; an invalid one if the system
/// refuses. drainChanges() empties it.
[[nodiscard]] Descriptor watchChanges();
void drainChanges(const Descriptor& watch);

}  // namespace engine::io
