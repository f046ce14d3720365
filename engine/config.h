#pragma once

#include "engine/base/lazy_array.h"
#include "engine/base/siphash.h"
#include "engine/nat/nat_config.h"
#include "engine/net/prefix.h"
#include "engine/policy/passthrough_policy.h"
#include "engine/policy/rules.h"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace engine {

/// The two sides of the router. The engine speaks IP; what is below is the shell's.
enum class PortId : std::uint8_t { Internal, External };

struct InternalSide {
    net::Prefix prefix;        ///< source addresses outside it are refused (BCP 38)
    net::Ipv4Address address;  ///< the router's own address there
    std::uint16_t mtu = 1500;
    friend auto operator<=>(const InternalSide&, const InternalSide&) = default;
};

/// The external side. No address means that it is down: nothing is mapped until there is one.
struct ExternalSide {
    std::vector<net::Ipv4Address>
        addresses;  ///< at most kMostExternalAddresses; the first is the router's own
    net::Prefix prefix;
    std::uint16_t mtu = 1500;
    friend auto operator<=>(const ExternalSide&, const ExternalSide&) = default;
};
inline constexpr std::size_t kMostExternalAddresses = 16;

/// What two clashing synthetic clients of one server found out about a protocol's helper.
struct SelfTestResult {
    enum class Outcome : std::uint8_t { NeverRun, Passed, Failed };
    Outcome outcome = Outcome::NeverRun;
    Instant at;
    std::string why;  ///< English, one sentence; empty when passed
};

/// Ours: what one call can look at, and end what it finds there, well within a millisecond.
inline constexpr std::uint32_t kPlacesPerCall = 8192;

/// What an engine is made with. Everything but capacity and seed can be changed by commands.
struct EngineConfig {
    HashKey seed;                        ///< from the operating system's random source
    std::uint32_t maxSessions = 262144;  ///< rounded up to a power of two
    InternalSide internal;
    ExternalSide external;
    nat::NatConfig nat;
    policy::PassthroughPolicy passthrough;
    std::vector<policy::PortForward> portForwards;
    std::vector<policy::OneToOne> oneToOnes;
    std::vector<policy::DeviceRule> deviceRules;
    net::Ipv4Address exposedHost;  ///< unspecified: none
    /// Ports that the host itself uses on the external address; kept out of the pool (the host's
    /// own local port range belongs here too).
    std::vector<net::PortRange> reservedPorts;
    MemoryAdvice memoryAdvice = nullptr;
    /// How much of the session table one call walks through for a change that concerns all of it,
    /// in places looked at. The outcome does not depend on it; tests make it small.
    std::uint32_t placesPerCall = kPlacesPerCall;
    /// Runs the self-test of one protocol under this position of its switch (lab::selfTest, which
    /// the engine itself must not know). Takes milliseconds; empty: RunSelfTest is refused.
    std::function<SelfTestResult(net::VpnProtocol, const policy::PassthroughSwitch&)> selfTest;
};

}  // namespace engine
