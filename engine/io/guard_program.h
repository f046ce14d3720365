#pragma once

#include "engine/io/device.h"
#include "engine/nat/nat_config.h"
#include "engine/net/endpoint.h"
#include "engine/net/prefix.h"

#include <array>
#include <cstdint>
#include <vector>

struct bpf_insn;

/// The traffic-control program that keeps the host's IP layer away from what the engine owns. Made
/// of instructions put together here, so that neither building nor running needs a compiler for
/// BPF.
namespace engine::io {

/// What belongs to the engine. Everything else is the host's and passes untouched.
struct GuardPlan {
    net::Prefix internalPrefix;
    std::vector<net::Ipv4Address> internalAddresses;  ///< the host's own, on the internal side
    std::vector<net::Ipv4Address> sharedAddresses;    ///< external, host and engine both use them
    std::vector<net::Ipv4Address> engineAddresses;    ///< external, the engine's alone
    std::vector<net::PortRange> ports;  ///< TCP and UDP on shared addresses: the engine's
    std::vector<net::PortRange>
        internalUdp;                      ///< UDP on internal addresses: the engine's (DNS, DHCP)
    std::vector<std::uint8_t> protocols;  ///< port-less IP protocols: the engine's
    /// The others do not reach the host, nor what claims that their answers were too large.
    nat::PingsFromOutside pings = nat::PingsFromOutside::Small;
    friend bool operator==(const GuardPlan&, const GuardPlan&) = default;
};

inline constexpr std::size_t kMostGuardedAddresses = 16;

/// The plan as the program reads it: one value of a BPF array map. Addresses stand as in a packet.
struct GuardTable {
    using Address = std::array<std::uint8_t, 4>;
    using Ports = std::array<std::uint8_t, 8192>;  ///< one bit a port

    std::uint32_t largestPing = 0;  ///< octets of the IP packet
    Address internalNetwork{};
    Address internalMask{};
    std::array<Address, kMostGuardedAddresses> internalAddresses{};
    std::array<Address, kMostGuardedAddresses> sharedAddresses{};
    std::array<Address, kMostGuardedAddresses> engineAddresses{};
    std::array<std::uint8_t, 32> protocols{};  ///< one bit a protocol
    Ports ports{};
    Ports internalUdp{};
};

[[nodiscard]] GuardTable guardTable(const GuardPlan& plan);

/// Which card the program sits on.
enum class GuardSide : std::uint8_t { Internal, External };

/// The instructions; `table` is the map's descriptor.
[[nodiscard]] std::vector<bpf_insn> guardProgram(GuardSide side, LinkKind link, int table);

}  // namespace engine::io
