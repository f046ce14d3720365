#pragma once

#include "engine/net/direction.h"
#include "engine/wire/bytes.h"

#include <array>
#include <cstdint>
#include <optional>

/// PPTP control messages (RFC 2637 §2) as far as a translator has to know them.
namespace engine::passthrough::pptp {

enum class MessageType : std::uint16_t {
    StartRequest = 1,
    StartReply = 2,
    StopRequest = 3,
    StopReply = 4,
    EchoRequest = 5,
    EchoReply = 6,
    OutgoingCallRequest = 7,
    OutgoingCallReply = 8,
    IncomingCallRequest = 9,
    IncomingCallReply = 10,
    IncomingCallConnected = 11,
    CallClearRequest = 12,
    CallDisconnectNotify = 13,
    WanErrorNotify = 14,
    SetLinkInfo = 15,
};

// Specification.
inline constexpr std::uint16_t kServerPort = 1723;
inline constexpr std::uint32_t kMagicCookie = 0x1a2b3c4d;
inline constexpr std::size_t kHeaderLength = 12;
inline constexpr std::size_t kLongestMessage = 220;
/// RFC 2637 §2.2 and §2.8: "general" successes and the refusal of a second control connection.
inline constexpr std::uint8_t kStartSucceeded = 1;
inline constexpr std::uint8_t kStartChannelExists = 3;
inline constexpr std::uint8_t kCallConnected = 1;

// Ours.
/// A message of a type nobody has described may be so long and no longer.
inline constexpr std::size_t kLongestUnknownMessage = 1024;

/// What is fixed about one type. An offset of zero: the message has no such field.
struct MessageShape {
    std::uint16_t length = 0;
    std::uint16_t ownCallIdAt = 0;   ///< the sender's Call ID
    std::uint16_t peerCallIdAt = 0;  ///< the receiver's
};

// clang-format off
inline constexpr std::array<MessageShape, 16> kMessageShapes{{
    {0, 0, 0},
    {156, 0, 0}, {156, 0, 0},    // Start-Control-Connection
    {16, 0, 0},  {16, 0, 0},     // Stop-Control-Connection
    {16, 0, 0},  {20, 0, 0},     // Echo
    {168, 12, 0}, {32, 12, 14},  // Outgoing-Call
    {220, 12, 0}, {24, 12, 14},  // Incoming-Call
    {28, 0, 12},                 // Incoming-Call-Connected
    {16, 12, 0},                 // Call-Clear-Request
    {148, 12, 0},                // Call-Disconnect-Notify
    {40, 0, 12},                 // WAN-Error-Notify
    {24, 0, 12},                 // Set-Link-Info
}};
// clang-format on

/// The twelve octets that every control message begins with.
struct MessageHeader {
    std::uint16_t length = 0;
    std::uint16_t type = 0;
    bool known = false;  ///< one of MessageType, with its own length

    /// Nothing if no control message can begin so: wrong cookie, a length that the type does not
    /// allow, or an unknown type of absurd length. Needs kHeaderLength octets.
    static std::optional<MessageHeader> read(wire::ConstBytes bytes)
    {
        MessageHeader header;
        header.length = wire::load16(bytes, 0);
        header.type = wire::load16(bytes, 8);
        if (wire::load32(bytes, 4) != kMagicCookie) return std::nullopt;
        header.known =
            wire::load16(bytes, 2) == 1 && header.type != 0 && header.type < kMessageShapes.size();
        if (header.known) {
            if (header.length != kMessageShapes[header.type].length) return std::nullopt;
        } else if (header.length < kHeaderLength || header.length > kLongestUnknownMessage) {
            return std::nullopt;
        }
        return header;
    }

    [[nodiscard]] MessageType messageType() const { return static_cast<MessageType>(type); }
};

/// The rule that covers every role: on the way out the sender's own Call ID is ours to replace, on
/// the way in the receiver's. Zero: nothing in this message.
[[nodiscard]] constexpr std::uint16_t translatedFieldAt(net::Direction direction,
                                                        std::uint16_t type)
{
    const MessageShape& shape = kMessageShapes[type];
    return direction == net::Direction::Outbound ? shape.ownCallIdAt : shape.peerCallIdAt;
}

}  // namespace engine::passthrough::pptp
