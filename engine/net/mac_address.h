#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>

namespace engine::net {

/// An Ethernet address.
class MacAddress {
public:
    constexpr MacAddress() = default;
    constexpr explicit MacAddress(std::array<std::uint8_t, 6> octets) : m_octets(octets) {}

    [[nodiscard]] constexpr const std::array<std::uint8_t, 6>& octets() const { return m_octets; }
    [[nodiscard]] constexpr bool isGroup() const { return (m_octets[0] & 1U) != 0; }
    /// The local bit: made up by the device ("private address"), so no vendor can be named.
    [[nodiscard]] constexpr bool isLocal() const { return (m_octets[0] & 2U) != 0; }
    static constexpr MacAddress broadcast()
    {
        return MacAddress{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
    }

    [[nodiscard]] std::string toString() const
    {
        constexpr const char* kHex = "0123456789abcdef";
        std::string text;
        for (const auto octet : m_octets) {
            if (!text.empty()) text += ':';
            text += kHex[octet >> 4];
            text += kHex[octet & 15];
        }
        return text;
    }
    friend constexpr auto operator<=>(const MacAddress&, const MacAddress&) = default;

private:
    std::array<std::uint8_t, 6> m_octets{};
};

}  // namespace engine::net
