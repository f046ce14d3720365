#include "engine/passthrough/l2tp_message.h"

namespace engine::passthrough::l2tp {

namespace {

using wire::ParseError;

constexpr std::uint16_t kTypeBit = 0x8000;
constexpr std::uint16_t kLengthBit = 0x4000;
constexpr std::uint16_t kSequenceBit = 0x0800;
constexpr std::uint16_t kOffsetBit = 0x0200;
constexpr std::uint16_t kVersionBits = 0x000f;
/// T, L and S set, O and P clear (RFC 2661 §3.1); reserved bits are ignored.
constexpr std::uint16_t kControlMask = kTypeBit | kLengthBit | kSequenceBit | kOffsetBit | 0x0100;
constexpr std::uint16_t kControlBits = kTypeBit | kLengthBit | kSequenceBit;

constexpr std::uint16_t kHiddenBit = 0x4000;
constexpr std::uint16_t kAvpLengthBits = 0x03ff;
constexpr std::size_t kAvpHeader = 6;

enum Attribute : std::uint16_t {
    kMessageType = 0,
    kResultCode = 1,
    kHostName = 7,
    kVendorName = 8,
    kAssignedTunnelId = 9,
    kAssignedSessionId = 14,
    kMessageDigest = 59,
    kAssignedConnectionId = 61,
    kLocalSessionId = 63,
    kRemoteSessionId = 64,
};

struct Avp {
    std::uint16_t attribute = 0;
    bool hidden = false;
    std::size_t at = 0;  ///< of the value
    wire::ConstBytes value;
};

void take(const Avp& avp, ControlMessage& message)
{
    const wire::ConstBytes value = avp.value;
    const auto assigned = [&](std::size_t width) -> std::optional<AssignedId> {
        AssignedId id;
        id.hidden = avp.hidden;
        id.offset = static_cast<std::uint16_t>(avp.at);
        if (avp.hidden) return id;
        if (value.size() != width) return std::nullopt;
        id.value = width == 2 ? wire::load16(value, 0) : wire::load32(value, 0);
        return id;
    };
    switch (avp.attribute) {
    case kResultCode:
        if (avp.hidden || value.size() < 2) return;
        message.result = wire::load16(value, 0);
        if (value.size() >= 4) message.error = wire::load16(value, 2);
        return;
    case kHostName:
        if (!avp.hidden) message.hostName = value;
        return;
    case kVendorName:
        if (!avp.hidden) message.vendorName = value;
        return;
    case kAssignedTunnelId:
        if (message.version == 2) message.tunnel = assigned(2);
        return;
    case kAssignedSessionId:
        if (message.version == 2) message.session = assigned(2);
        return;
    case kAssignedConnectionId:
        if (message.version == 3) message.tunnel = assigned(4);
        return;
    case kLocalSessionId:
        if (message.version == 3) message.session = assigned(4);
        return;
    case kRemoteSessionId:
        if (!avp.hidden && value.size() == 4) message.peerSession = wire::load32(value, 0);
        return;
    case kMessageDigest: message.digest = true; return;
    default: return;
    }
}

}  // namespace

Result<ControlMessage, ParseError> ControlMessage::parse(wire::ConstBytes bytes)
{
    if (bytes.size() < kControlHeader) return Err{ParseError::Truncated};
    const std::uint16_t flags = wire::load16(bytes, 0);
    if ((flags & kControlMask) != kControlBits) return Err{ParseError::BadValue};
    ControlMessage message;
    message.version = flags & kVersionBits;
    if (message.version != 2 && message.version != 3) return Err{ParseError::BadVersion};
    const std::size_t length = wire::load16(bytes, 2);
    if (length < kControlHeader) return Err{ParseError::BadLength};
    if (length > bytes.size()) return Err{ParseError::Truncated};
    bytes = bytes.first(length);
    if (message.version == 2) {
        message.tunnelId = wire::load16(bytes, 4);
        message.sessionId = wire::load16(bytes, 6);
    } else {
        message.tunnelId = wire::load32(bytes, 4);
    }
    message.ns = wire::load16(bytes, 8);
    message.nr = wire::load16(bytes, 10);

    for (std::size_t at = kControlHeader; at < length;) {
        if (length - at < kAvpHeader) return Err{ParseError::BadLength};
        const std::uint16_t head = wire::load16(bytes, at);
        const std::size_t size = head & kAvpLengthBits;
        if (size < kAvpHeader || size > length - at) return Err{ParseError::BadLength};
        Avp avp;
        avp.attribute = wire::load16(bytes, at + 4);
        avp.hidden = (head & kHiddenBit) != 0;
        avp.at = at + kAvpHeader;
        avp.value = bytes.subspan(avp.at, size - kAvpHeader);
        const bool ietf = wire::load16(bytes, at + 2) == 0;
        if (at == kControlHeader) {
            // RFC 2661 §4.4.1: the message type comes first and is never hidden.
            if (!ietf || avp.attribute != kMessageType || avp.hidden || avp.value.size() != 2) {
                return Err{ParseError::BadValue};
            }
            message.type = wire::load16(avp.value, 0);
        } else if (ietf) {
            take(avp, message);
        }
        at += size;
    }
    return message;
}

bool couldBeControl(std::uint8_t first)
{
    constexpr std::uint8_t kMask = kControlMask >> 8;
    return (first & kMask) == kControlBits >> 8;
}

bool looksLikeControl(wire::ConstBytes bytes)
{
    if (bytes.size() < kControlHeader || wire::load16(bytes, 2) != bytes.size()) return false;
    return ControlMessage::parse(bytes).has_value();
}

Result<DataHeader, ParseError> DataHeader::parse(wire::ConstBytes bytes)
{
    if (bytes.size() < 6) return Err{ParseError::Truncated};
    const std::uint16_t flags = wire::load16(bytes, 0);
    if ((flags & kVersionBits) != 2) return Err{ParseError::BadVersion};
    if ((flags & kTypeBit) != 0) return Err{ParseError::BadValue};
    DataHeader header;
    std::size_t at = 2;
    if ((flags & kLengthBit) != 0) {
        const std::size_t length = wire::load16(bytes, 2);
        if (length > bytes.size()) return Err{ParseError::Truncated};
        bytes = bytes.first(length);
        at = 4;
    }
    std::size_t end = at + 4;
    if ((flags & kSequenceBit) != 0) end += 4;
    if ((flags & kOffsetBit) != 0) end += 2;
    if (bytes.size() < end) return Err{ParseError::BadLength};
    if ((flags & kOffsetBit) != 0) {
        end += wire::load16(bytes, end - 2);
        if (bytes.size() < end) return Err{ParseError::BadLength};
    }
    header.tunnelIdAt = static_cast<std::uint16_t>(at);
    header.tunnelId = wire::load16(bytes, at);
    header.sessionId = wire::load16(bytes, at + 2);
    header.payload = bytes.subspan(end);
    return header;
}

}  // namespace engine::passthrough::l2tp
