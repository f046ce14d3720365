#include "engine/passthrough/gre_header.h"

namespace engine::passthrough {

namespace {

constexpr std::uint16_t kChecksumBit = 0x8000;
constexpr std::uint16_t kRoutingBit = 0x4000;
constexpr std::uint16_t kKeyBit = 0x2000;
constexpr std::uint16_t kSequenceBit = 0x1000;
constexpr std::uint16_t kAcknowledgmentBit = 0x0080;
constexpr std::uint16_t kVersionBits = 0x0007;

Result<GreHeader, wire::ParseError> parseVersion0(wire::ConstBytes bytes, std::uint16_t flags)
{
    GreHeader header;
    header.type = wire::load16(bytes, 2);
    header.routed = (flags & kRoutingBit) != 0;
    std::size_t at = 4;
    if ((flags & (kChecksumBit | kRoutingBit)) != 0) at += 4;
    if ((flags & kKeyBit) != 0) {
        if (bytes.size() < at + 4) return Err{wire::ParseError::Truncated};
        header.key = wire::load32(bytes, at);
        at += 4;
    }
    if ((flags & kSequenceBit) != 0) {
        if (bytes.size() < at + 4) return Err{wire::ParseError::Truncated};
        header.sequence = wire::load32(bytes, at);
        at += 4;
    }
    if (bytes.size() < at) return Err{wire::ParseError::Truncated};
    header.payload = bytes.subspan(at);
    return header;
}

Result<GreHeader, wire::ParseError> parseVersion1(wire::ConstBytes bytes, std::uint16_t flags)
{
    // RFC 2637 §4.1: checksum, routing and strict source route clear, key set, no recursion.
    if ((flags & 0xef78U) != kKeyBit) return Err{wire::ParseError::BadValue};
    if (bytes.size() < 8) return Err{wire::ParseError::Truncated};
    GreHeader header;
    header.version = 1;
    header.type = wire::load16(bytes, 2);
    header.payloadLength = wire::load16(bytes, 4);
    header.callId = wire::load16(bytes, 6);
    header.tunnelId = wire::load16le(bytes, 6);
    std::size_t at = 8;
    if ((flags & kSequenceBit) != 0) {
        if (bytes.size() < at + 4) return Err{wire::ParseError::Truncated};
        header.sequence = wire::load32(bytes, at);
        at += 4;
    }
    if ((flags & kAcknowledgmentBit) != 0) {
        if (bytes.size() < at + 4) return Err{wire::ParseError::Truncated};
        header.acknowledgment = wire::load32(bytes, at);
        at += 4;
    }
    header.payload = bytes.subspan(at);
    return header;
}

}  // namespace

Result<GreHeader, wire::ParseError> GreHeader::parse(wire::ConstBytes bytes)
{
    if (bytes.size() < 4) return Err{wire::ParseError::Truncated};
    const std::uint16_t flags = wire::load16(bytes, 0);
    switch (flags & kVersionBits) {
    case 0: return parseVersion0(bytes, flags);
    case 1: return parseVersion1(bytes, flags);
    default: return Err{wire::ParseError::BadVersion};
    }
}

}  // namespace engine::passthrough
