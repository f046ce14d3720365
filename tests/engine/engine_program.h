#pragma once

#include "engine/wire/bytes.h"

#include <cstdint>
#include <string>

/// What happens to one engine, as octets: up to 64 steps, each a packet from inside or outside,
/// time that goes by, a command, or a restart from the saved state. Packets are built from shapes
/// (TCP, UDP, ICMP, GRE, ESP, IKE, PPTP, L2TP, fragments, errors, mutants of what was seen before)
/// and use endpoints, sequence numbers, Call IDs and SPIs that are alive, so that they reach
/// further than noise would; devices inside also call our own addresses and answer each other.
/// Every octet string is a program; none is refused.
///
/// The fuzz target of the whole engine and a test of some seconds run the same programs.
namespace program {

/// What a program has come to. Nothing here depends on anything but the octets.
struct Ending {
    /// The first promise that was broken, with the step; empty if none was.
    std::string complaint;
    std::uint64_t digest = 0;  ///< of everything that the engine has said and sent
    std::uint32_t packets = 0;
    std::uint32_t forwarded = 0;
    std::uint32_t delivered = 0;  ///< of these, from outside to a device
    std::uint32_t restarts = 0;
    std::uint32_t endedByRules = 0;  ///< sessions, as sessionsEndedBy() had said
};

/// Batched hands packets over one by one through the entrance for many, which must not make a
/// difference.
enum class Entrance : std::uint8_t { Single, Batched };

[[nodiscard]] Ending run(engine::wire::ConstBytes octets, Entrance entrance = Entrance::Single);

/// The same program twice, once through each entrance: both must say and send the same.
[[nodiscard]] Ending runTwice(engine::wire::ConstBytes octets);

}  // namespace program
