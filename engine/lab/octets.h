#pragma once

#include "engine/wire/bytes.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace engine::lab {

using Octets = std::vector<std::uint8_t>;

/// Writes a message octet by octet, in network order unless the name says otherwise.
class Writer {
public:
    Writer& put8(std::uint64_t value)
    {
        m_octets.push_back(static_cast<std::uint8_t>(value));
        return *this;
    }
    Writer& put16(std::uint64_t value) { return put8(value >> 8).put8(value); }
    Writer& put24(std::uint64_t value) { return put8(value >> 16).put16(value); }
    Writer& put32(std::uint64_t value) { return put16(value >> 16).put16(value); }
    Writer& put64(std::uint64_t value) { return put32(value >> 32).put32(value); }
    Writer& putLe16(std::uint64_t value) { return put8(value).put8(value >> 8); }
    Writer& putLe32(std::uint64_t value) { return putLe16(value).putLe16(value >> 16); }
    Writer& putLe64(std::uint64_t value) { return putLe32(value).putLe32(value >> 32); }
    Writer& put(wire::ConstBytes bytes)
    {
        m_octets.insert(m_octets.end(), bytes.begin(), bytes.end());
        return *this;
    }
    /// The text, cut or filled with zeros to `width`.
    Writer& putText(std::string_view text, std::size_t width)
    {
        for (std::size_t i = 0; i < width; ++i) {
            put8(i < text.size() ? static_cast<std::uint8_t>(text[i]) : 0U);
        }
        return *this;
    }
    Writer& putText(std::string_view text) { return putText(text, text.size()); }
    Writer& fill(std::size_t count, std::uint8_t value = 0)
    {
        m_octets.insert(m_octets.end(), count, value);
        return *this;
    }
    Writer& patch16(std::size_t at, std::size_t value)
    {
        wire::store16(m_octets, at, static_cast<std::uint16_t>(value));
        return *this;
    }
    Writer& patch32(std::size_t at, std::size_t value)
    {
        wire::store32(m_octets, at, static_cast<std::uint32_t>(value));
        return *this;
    }
    [[nodiscard]] std::size_t size() const { return m_octets.size(); }
    [[nodiscard]] Octets take() { return std::move(m_octets); }

private:
    Octets m_octets;
};

[[nodiscard]] inline Octets octetsOf(std::string_view text)
{
    return Writer{}.putText(text).take();
}
[[nodiscard]] inline Octets copyOf(wire::ConstBytes bytes)
{
    return {bytes.begin(), bytes.end()};
}
/// Up to the first zero octet.
[[nodiscard]] inline std::string textOf(wire::ConstBytes bytes)
{
    std::string text;
    for (const std::uint8_t octet : bytes) {
        if (octet == 0) break;
        text += static_cast<char>(octet);
    }
    return text;
}

}  // namespace engine::lab
