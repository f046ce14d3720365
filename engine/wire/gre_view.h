#pragma once

#include "engine/base/result.h"
#include "engine/wire/bytes.h"
#include "engine/wire/parse_error.h"

#include <cstdint>
#include <optional>

namespace engine::wire {

/// A GRE header in somebody else's buffer: version 0 (RFC 2784, RFC 2890, RFC 1701) or the enhanced
/// version 1 of PPTP (RFC 2637 §4.1). Owns nothing; valid while the buffer is.
///
/// GRE's own checksum covers no IP address, so translation leaves it alone; version 1 has none.
class GreView {
public:
    static constexpr std::size_t kMinimumHeader = 4;
    /// The protocol type of PPP in PPTP.
    static constexpr std::uint16_t kTypePpp = 0x880b;
    /// MikroTik's Ethernet over IP: version 1 with another type and a little-endian tunnel ID.
    static constexpr std::uint16_t kTypeEoip = 0x6400;

    /// Takes the octets after the IP header. Source routing (RFC 1701) is refused: nobody uses it,
    /// and RFC 2784 §2.4 says to discard it.
    static Result<GreView, ParseError> parse(MutableBytes bytes)
    {
        if (bytes.size() < kMinimumHeader) return Err{ParseError::Truncated};
        const std::uint8_t version = bytes[1] & 7U;
        if (version > 1) return Err{ParseError::BadVersion};
        if ((bytes[0] & kRouting) != 0) return Err{ParseError::BadValue};
        if (version == 1 && (bytes[0] & kKey) == 0) return Err{ParseError::BadValue};
        const GreView view{bytes};
        if (view.headerLength() > bytes.size()) return Err{ParseError::Truncated};
        return view;
    }

    [[nodiscard]] std::uint8_t version() const { return m_bytes[1] & 7U; }
    [[nodiscard]] std::uint16_t protocolType() const { return load16(m_bytes, 2); }
    [[nodiscard]] bool isPptp() const { return version() == 1 && protocolType() == kTypePpp; }
    [[nodiscard]] std::size_t headerLength() const
    {
        return acknowledgementAt() + (hasAcknowledgement() ? 4U : 0U);
    }
    [[nodiscard]] MutableBytes payload() const { return m_bytes.subspan(headerLength()); }
    [[nodiscard]] std::optional<std::uint32_t> key() const
    {
        if ((m_bytes[0] & kKey) == 0) return std::nullopt;
        return load32(m_bytes, keyAt());
    }
    [[nodiscard]] std::optional<std::uint32_t> sequence() const
    {
        if ((m_bytes[0] & kSequence) == 0) return std::nullopt;
        return load32(m_bytes, sequenceAt());
    }
    /// Version 1 only.
    [[nodiscard]] std::optional<std::uint32_t> acknowledgement() const
    {
        if (!hasAcknowledgement()) return std::nullopt;
        return load32(m_bytes, acknowledgementAt());
    }
    /// The low half of version 1's key: the receiver's call.
    [[nodiscard]] std::uint16_t callId() const { return load16(m_bytes, kCallIdAt); }
    /// Of version 1, which has no checksum to keep.
    void rewriteCallId(std::uint16_t id)
    {
        assert(version() == 1);
        store16(m_bytes, kCallIdAt, id);
    }

private:
    static constexpr std::uint8_t kChecksum = 0x80;
    static constexpr std::uint8_t kRouting = 0x40;
    static constexpr std::uint8_t kKey = 0x20;
    static constexpr std::uint8_t kSequence = 0x10;
    static constexpr std::uint8_t kAcknowledgement = 0x80;  ///< in the second octet
    static constexpr std::size_t kCallIdAt = 6;

    explicit GreView(MutableBytes bytes) : m_bytes(bytes) {}

    [[nodiscard]] bool hasAcknowledgement() const
    {
        return version() == 1 && (m_bytes[1] & kAcknowledgement) != 0;
    }
    [[nodiscard]] std::size_t keyAt() const
    {
        return kMinimumHeader + ((m_bytes[0] & kChecksum) != 0 ? 4U : 0U);
    }
    [[nodiscard]] std::size_t sequenceAt() const
    {
        return keyAt() + ((m_bytes[0] & kKey) != 0 ? 4U : 0U);
    }
    [[nodiscard]] std::size_t acknowledgementAt() const
    {
        return sequenceAt() + ((m_bytes[0] & kSequence) != 0 ? 4U : 0U);
    }

    MutableBytes m_bytes;
};

}  // namespace engine::wire
