#pragma once

#include "engine/net/ipv4_address.h"
#include "engine/net/mac_address.h"
#include "engine/net/prefix.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace engine::io {

struct InterfaceAddress {
    net::Ipv4Address address;
    net::Prefix prefix;
    friend bool operator==(const InterfaceAddress&, const InterfaceAddress&) = default;
};

/// What the operating system says about one network card at this moment.
struct Interface {
    std::string name;
    int index = 0;
    net::MacAddress mac;
    std::vector<InterfaceAddress> addresses;  ///< IPv4, the primary one first
    std::uint16_t mtu = 1500;
    bool up = false;        ///< switched on
    bool carrier = false;   ///< the cable is in
    bool ethernet = false;  ///< frames with MAC addresses; false: tunnel, loopback, PPP
    bool loopback = false;
    bool wireless = false;
    net::Ipv4Address gateway;  ///< of the default route through it; unspecified: none
    friend bool operator==(const Interface&, const Interface&) = default;
};

/// All of them, in the system's order.
[[nodiscard]] std::vector<Interface> listInterfaces();
[[nodiscard]] std::optional<Interface> findInterface(std::string_view name);

}  // namespace engine::io
