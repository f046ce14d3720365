#pragma once

#include "engine/base/time.h"
#include "engine/net/ipv4_address.h"
#include "engine/net/prefix.h"
#include "engine/net/vpn_protocol.h"

#include <array>
#include <cstdint>
#include <vector>

namespace engine::policy {

/// The three positions of a passthrough switch.
enum class PassthroughMode : std::uint8_t {
    Assist,  ///< helpers and recognition on
    Plain,   ///< ordinary NAT, no help; recognised tunnels are still shown
    Block,   ///< refused with DropReason::PassthroughOff
};

/// What turning a switch to Block does to live tunnels.
enum class OnLive : std::uint8_t {
    Hold,    ///< held for kHoldTime, then dropped; can be undone with the same IDs and ports
    Finish,  ///< live tunnels stay until they end
    Drop,    ///< at once
};

/// Ours: long enough to notice a mistake, short enough for a VPN to survive it.
inline constexpr Duration kHoldTime = std::chrono::seconds(10);

/// One device or server (or network of them) that is treated otherwise than the switch says.
struct PassthroughException {
    net::Prefix device{net::Ipv4Address{}, 0};  ///< 0.0.0.0/0: any
    net::Prefix server{net::Ipv4Address{}, 0};
    PassthroughMode mode = PassthroughMode::Assist;
    friend auto operator<=>(const PassthroughException&, const PassthroughException&) = default;
};

struct PassthroughSwitch {
    PassthroughMode mode = PassthroughMode::Assist;
    std::vector<PassthroughException> exceptions;  ///< the first that matches wins
    friend auto operator<=>(const PassthroughSwitch&, const PassthroughSwitch&) = default;
};

/// All switches. A value; the engine and its helpers hold a copy.
class PassthroughPolicy {
public:
    [[nodiscard]] const PassthroughSwitch& of(net::VpnProtocol protocol) const
    {
        return m_switches[static_cast<std::size_t>(protocol)];
    }
    void set(net::VpnProtocol protocol, PassthroughSwitch value)
    {
        m_switches[static_cast<std::size_t>(protocol)] = std::move(value);
    }
    [[nodiscard]] PassthroughMode modeFor(net::VpnProtocol protocol, net::Ipv4Address device,
                                          net::Ipv4Address server) const
    {
        const PassthroughSwitch& position = of(protocol);
        for (const PassthroughException& exception : position.exceptions) {
            if (exception.device.contains(device) && exception.server.contains(server)) {
                return exception.mode;
            }
        }
        return position.mode;
    }

private:
    std::array<PassthroughSwitch, net::kVpnProtocolCount> m_switches;
};

}  // namespace engine::policy
