#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace engine {

/// Writes numbers one after the other, most significant octet first, so that a block of state means
/// the same on every machine.
class StateWriter {
public:
    void u8(std::uint8_t value) { m_bytes.push_back(value); }
    void u16(std::uint16_t value)
    {
        u8(static_cast<std::uint8_t>(value >> 8));
        u8(static_cast<std::uint8_t>(value));
    }
    void u32(std::uint32_t value)
    {
        u16(static_cast<std::uint16_t>(value >> 16));
        u16(static_cast<std::uint16_t>(value));
    }
    void u64(std::uint64_t value)
    {
        u32(static_cast<std::uint32_t>(value >> 32));
        u32(static_cast<std::uint32_t>(value));
    }
    void flag(bool value) { u8(value ? 1 : 0); }
    void raw(const void* data, std::size_t size)
    {
        const auto* octets = static_cast<const std::uint8_t*>(data);
        m_bytes.insert(m_bytes.end(), octets, octets + size);
    }
    /// At most 255 octets of it.
    void text(const std::string& value)
    {
        const std::size_t size = value.size() < 255 ? value.size() : 255;
        u8(static_cast<std::uint8_t>(size));
        raw(value.data(), size);
    }
    /// A part that somebody else reads, behind its length.
    void part(const StateWriter& other)
    {
        u32(static_cast<std::uint32_t>(other.m_bytes.size()));
        raw(other.m_bytes.data(), other.m_bytes.size());
    }
    [[nodiscard]] std::vector<std::uint8_t>& bytes() { return m_bytes; }
    [[nodiscard]] const std::vector<std::uint8_t>& bytes() const { return m_bytes; }

private:
    std::vector<std::uint8_t> m_bytes;
};

/// Reads what StateWriter has written. The block is hostile: reading beyond its end gives zeros and
/// is remembered, nothing is ever read outside of it, and a number counts nothing that the octets
/// left could not hold.
class StateReader {
public:
    explicit StateReader(std::span<const std::uint8_t> bytes) : m_bytes(bytes) {}

    std::uint8_t u8() { return next(); }
    std::uint16_t u16() { return static_cast<std::uint16_t>(number(2)); }
    std::uint32_t u32() { return static_cast<std::uint32_t>(number(4)); }
    std::uint64_t u64() { return number(8); }
    /// Anything but 0 and 1 is a failure.
    bool flag()
    {
        const std::uint8_t value = next();
        if (value > 1) m_failed = true;
        return value == 1;
    }
    /// A number below `limit`; a failure, and zero, if it is not.
    std::uint8_t below(std::size_t limit)
    {
        const std::uint8_t value = next();
        if (value < limit) return value;
        m_failed = true;
        return 0;
    }
    /// How many records of at least `size` octets follow; a failure, and zero, if there is no room
    /// for them or they are more than `most`.
    std::uint32_t count(std::size_t most, std::size_t size)
    {
        const std::uint32_t value = u32();
        if (value <= most && value <= (m_bytes.size() - m_at) / size) return value;
        m_failed = true;
        return 0;
    }
    void raw(void* data, std::size_t size)
    {
        auto* octets = static_cast<std::uint8_t*>(data);
        for (std::size_t i = 0; i < size; ++i)
            octets[i] = next();
    }
    std::string text()
    {
        std::string value(next(), '\0');
        for (char& letter : value)
            letter = static_cast<char>(next());
        return value;
    }
    StateReader part()
    {
        const std::uint32_t size = u32();
        if (size > m_bytes.size() - m_at) {
            m_failed = true;
            return StateReader{{}};
        }
        const StateReader inner{m_bytes.subspan(m_at, size)};
        m_at += size;
        return inner;
    }
    void fail() { m_failed = true; }
    [[nodiscard]] bool failed() const { return m_failed; }
    /// Everything was there, and nothing else.
    [[nodiscard]] bool complete() const { return !m_failed && m_at == m_bytes.size(); }

private:
    std::uint64_t number(std::size_t octets)
    {
        std::uint64_t value = 0;
        for (std::size_t i = 0; i < octets; ++i)
            value = (value << 8) | next();
        return value;
    }
    std::uint8_t next()
    {
        if (m_at < m_bytes.size()) return m_bytes[m_at++];
        m_failed = true;
        return 0;
    }

    std::span<const std::uint8_t> m_bytes;
    std::size_t m_at = 0;
    bool m_failed = false;
};

}  // namespace engine
