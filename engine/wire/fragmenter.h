#pragma once

#include "engine/wire/ipv4_view.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace engine::wire {

/// RFC 791 §3.2: every link carries 68 octets.
inline constexpr std::size_t kSmallestMtu = 68;

/// Cuts a packet into fragments of at most `mtu` octets, in order (RFC 791 §3.2). The packet may be
/// a fragment itself. Options travel in every fragment if their copied flag is set, else in the
/// first only. Whether the packet may be cut (don't fragment) is the caller's to check, and its
/// transport checksum must be complete. `mtu` is at least 68. A packet that fits comes back whole.
[[nodiscard]] std::vector<std::vector<std::uint8_t>> fragmentIpv4(const Ipv4View& packet,
                                                                  std::size_t mtu);

/// Turns a partial transport checksum (packet.h) of an unfragmented TCP or UDP packet into a
/// complete one, as the device would. Other protocols are left alone, and so is what cannot be
/// read.
void completeTransportChecksum(const Ipv4View& packet);

}  // namespace engine::wire
