#pragma once

#include <array>
#include <charconv>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace engine::net {

/// An IPv4 address as a value. Holds host order; network order exists only in packet bytes.
class Ipv4Address {
public:
    constexpr Ipv4Address() = default;
    constexpr explicit Ipv4Address(std::uint32_t hostOrder) : m_hostOrder(hostOrder) {}
    constexpr Ipv4Address(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d)
        : m_hostOrder((std::uint32_t{a} << 24) | (std::uint32_t{b} << 16) |
                      (std::uint32_t{c} << 8) | d)
    {}

    [[nodiscard]] constexpr std::uint32_t hostOrder() const { return m_hostOrder; }
    [[nodiscard]] constexpr bool isUnspecified() const { return m_hostOrder == 0; }

    /// Dotted decimal with exactly four parts and nothing else.
    static constexpr std::optional<Ipv4Address> parse(std::string_view text)
    {
        std::uint32_t value = 0;
        for (int part = 0; part < 4; ++part) {
            if (part > 0) {
                if (text.empty() || text.front() != '.') return std::nullopt;
                text.remove_prefix(1);
            }
            std::uint32_t number = 0;
            std::size_t digits = 0;
            while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9') {
                number = number * 10 + static_cast<std::uint32_t>(text[digits] - '0');
                if (++digits > 3 || number > 255) return std::nullopt;
            }
            if (digits == 0) return std::nullopt;
            text.remove_prefix(digits);
            value = (value << 8) | number;
        }
        if (!text.empty()) return std::nullopt;
        return Ipv4Address{value};
    }

    [[nodiscard]] std::string toString() const
    {
        std::string text;
        for (int shift = 24; shift >= 0; shift -= 8) {
            std::array<char, 3> digits{};
            char* const end = std::to_chars(digits.data(), digits.data() + digits.size(),
                                            (m_hostOrder >> static_cast<unsigned>(shift)) & 0xffU)
                                  .ptr;
            text.append(digits.data(), end);
            if (shift > 0) text.push_back('.');
        }
        return text;
    }

    friend constexpr auto operator<=>(const Ipv4Address&, const Ipv4Address&) = default;

private:
    std::uint32_t m_hostOrder = 0;
};

}  // namespace engine::net
