#pragma once

#include "engine/net/ipv4_address.h"

#include <string>

namespace engine::net {

/// An IPv4 network: an address and how many leading bits count. The host bits are cleared.
class Prefix {
public:
    constexpr Prefix() = default;
    constexpr Prefix(Ipv4Address address, std::uint8_t length)
        : m_network(address.hostOrder() & maskOf(length)), m_length(length)
    {}

    [[nodiscard]] constexpr Ipv4Address network() const { return m_network; }
    [[nodiscard]] constexpr std::uint8_t length() const { return m_length; }
    [[nodiscard]] constexpr std::uint32_t mask() const { return maskOf(m_length); }
    [[nodiscard]] constexpr Ipv4Address broadcast() const
    {
        return Ipv4Address{m_network.hostOrder() | ~mask()};
    }
    [[nodiscard]] constexpr bool contains(Ipv4Address address) const
    {
        return (address.hostOrder() & mask()) == m_network.hostOrder();
    }
    [[nodiscard]] constexpr bool overlaps(const Prefix& other) const
    {
        return contains(other.network()) || other.contains(network());
    }

    /// "192.0.2.0/24"; a bare address is a /32.
    static constexpr std::optional<Prefix> parse(std::string_view text)
    {
        const auto slash = text.find('/');
        const auto address = Ipv4Address::parse(text.substr(0, slash));
        if (!address) return std::nullopt;
        if (slash == std::string_view::npos) return Prefix{*address, 32};
        std::uint32_t length = 0;
        const auto digits = text.substr(slash + 1);
        if (digits.empty() || digits.size() > 2) return std::nullopt;
        for (const char digit : digits) {
            if (digit < '0' || digit > '9') return std::nullopt;
            length = length * 10 + static_cast<std::uint32_t>(digit - '0');
        }
        if (length > 32) return std::nullopt;
        return Prefix{*address, static_cast<std::uint8_t>(length)};
    }

    [[nodiscard]] std::string toString() const
    {
        return m_network.toString() + '/' + std::to_string(m_length);
    }

    friend constexpr auto operator<=>(const Prefix&, const Prefix&) = default;

private:
    static constexpr std::uint32_t maskOf(std::uint8_t length)
    {
        return length == 0 ? 0 : ~std::uint32_t{0} << (32 - length);
    }

    Ipv4Address m_network;
    std::uint8_t m_length = 0;
};

}  // namespace engine::net
