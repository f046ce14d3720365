#pragma once

#include "engine/net/ipv4_address.h"

#include <compare>
#include <cstdint>
#include <string>

namespace engine::net {

/// A TCP or UDP port, or an ICMP query identifier where a mapping needs one. Host order.
class Port {
public:
    constexpr Port() = default;
    constexpr explicit Port(std::uint16_t hostOrder) : m_hostOrder(hostOrder) {}
    [[nodiscard]] constexpr std::uint16_t hostOrder() const { return m_hostOrder; }
    friend constexpr auto operator<=>(const Port&, const Port&) = default;

private:
    std::uint16_t m_hostOrder = 0;
};

/// An address and a port: "X:x" in RFC 4787 §4.1.
struct Endpoint {
    Ipv4Address address;
    Port port;

    [[nodiscard]] std::string toString() const
    {
        return address.toString() + ':' + std::to_string(port.hostOrder());
    }
    friend constexpr auto operator<=>(const Endpoint&, const Endpoint&) = default;
};

/// Ports from first to last, both included.
struct PortRange {
    Port first;
    Port last;

    [[nodiscard]] constexpr bool contains(Port port) const { return port >= first && port <= last; }
    [[nodiscard]] constexpr bool overlaps(const PortRange& other) const
    {
        return first <= other.last && other.first <= last;
    }
    [[nodiscard]] constexpr std::uint32_t size() const
    {
        return last < first ? 0U : std::uint32_t{last.hostOrder()} - first.hostOrder() + 1U;
    }
    friend constexpr auto operator<=>(const PortRange&, const PortRange&) = default;
};

}  // namespace engine::net
