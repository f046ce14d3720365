#pragma once

#include "engine/lab/octets.h"
#include "engine/net/endpoint.h"

#include <cstdint>
#include <optional>
#include <string_view>

/// PPTP control messages and enhanced GRE (RFC 2637) as a client or server writes them.
namespace engine::lab::pptp {

inline constexpr net::Port kPort{1723};

enum class Type : std::uint16_t {
    StartRequest = 1,
    StartReply,
    StopRequest,
    StopReply,
    EchoRequest,
    EchoReply,
    OutgoingCallRequest,
    OutgoingCallReply,
    IncomingCallRequest,
    IncomingCallReply,
    IncomingCallConnected,
    CallClearRequest,
    CallDisconnectNotify,
    WanErrorNotify,
    SetLinkInfo,
};

[[nodiscard]] Octets startRequest();
[[nodiscard]] Octets startReply(std::uint8_t result);
[[nodiscard]] Octets stop(Type type);
[[nodiscard]] Octets echoRequest(std::uint32_t identifier);
[[nodiscard]] Octets echoReply(std::uint32_t identifier);
[[nodiscard]] Octets outgoingCallRequest(std::uint16_t callId, std::uint16_t serial,
                                         std::string_view phoneNumber);
[[nodiscard]] Octets outgoingCallReply(std::uint16_t callId, std::uint16_t peerCallId,
                                       std::uint8_t result);
[[nodiscard]] Octets callClearRequest(std::uint16_t callId);
[[nodiscard]] Octets callDisconnectNotify(std::uint16_t callId, std::uint8_t result);
[[nodiscard]] Octets setLinkInfo(std::uint16_t peerCallId);

/// Cuts the next whole message off the front of a control stream; nothing if it is not whole yet.
/// `broken` is set if the stream cannot be one.
[[nodiscard]] std::optional<Octets> cut(Octets& stream, bool& broken);

struct Gre {
    std::uint16_t callId = 0;
    std::optional<std::uint32_t> sequence{};
    std::optional<std::uint32_t> acknowledgment{};
    wire::ConstBytes payload{};
};
[[nodiscard]] Octets encode(const Gre& gre);
[[nodiscard]] std::optional<Gre> decode(wire::ConstBytes bytes);

}  // namespace engine::lab::pptp
