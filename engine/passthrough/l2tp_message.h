#pragma once

#include "engine/base/result.h"
#include "engine/wire/bytes.h"
#include "engine/wire/parse_error.h"

#include <cstdint>
#include <optional>

/// L2TP packets as far as a translator looks into them: RFC 2661 §3.1 and §4, RFC 3931 §3.2 and §5.
namespace engine::passthrough::l2tp {

enum class MessageType : std::uint16_t {
    StartRequest = 1,
    StartReply = 2,
    StartConnected = 3,
    StopNotify = 4,
    Hello = 6,
    OutgoingCallRequest = 7,
    OutgoingCallReply = 8,
    OutgoingCallConnected = 9,
    IncomingCallRequest = 10,
    IncomingCallReply = 11,
    IncomingCallConnected = 12,
    CallDisconnect = 14,
    WanError = 15,
    SetLinkInfo = 16,
    ExplicitAck = 20,
};

// Specification.
inline constexpr std::uint16_t kPort = 1701;
inline constexpr std::size_t kControlHeader = 12;

/// A number that an AVP assigns, and where it stands.
struct AssignedId {
    std::uint32_t value = 0;
    std::uint16_t offset = 0;  ///< of the number, from the flags word
    bool hidden = false;       ///< encrypted (H bit): `value` means nothing
};

/// A control message, version 2 or 3, with the AVPs that matter here.
struct ControlMessage {
    std::uint8_t version = 2;
    std::uint32_t tunnelId = 0;   ///< the receiver's; version 3: control connection ID
    std::uint16_t sessionId = 0;  ///< version 2
    std::uint16_t ns = 0;
    std::uint16_t nr = 0;
    /// A MessageType, known or not; none: an empty acknowledgment.
    std::optional<std::uint16_t> type;
    std::optional<AssignedId> tunnel;          ///< AVP 9 or 61: the sender's tunnel
    std::optional<AssignedId> session;         ///< AVP 14 or 63: the sender's session
    std::optional<std::uint32_t> peerSession;  ///< AVP 64: the receiver's session
    std::optional<std::uint16_t> result;
    std::uint16_t error = 0;
    bool digest = false;  ///< AVP 59: nothing in the message may change
    wire::ConstBytes hostName;
    wire::ConstBytes vendorName;

    [[nodiscard]] bool is(MessageType wanted) const
    {
        return type == static_cast<std::uint16_t>(wanted);
    }

    /// From the flags word on. Total; a chain of AVPs that contradicts itself is BadLength.
    static Result<ControlMessage, wire::ParseError> parse(wire::ConstBytes bytes);
};

/// Whether octets begin like a control message of version 2 or 3 that fills them exactly.
[[nodiscard]] bool looksLikeControl(wire::ConstBytes bytes);
/// The same as far as the first octet tells.
[[nodiscard]] bool couldBeControl(std::uint8_t first);

/// The header of a version 2 data message.
struct DataHeader {
    std::uint16_t tunnelId = 0;
    std::uint16_t sessionId = 0;
    std::uint16_t tunnelIdAt = 0;  ///< its offset
    wire::ConstBytes payload;      ///< a PPP frame

    static Result<DataHeader, wire::ParseError> parse(wire::ConstBytes bytes);
};

}  // namespace engine::passthrough::l2tp
