#pragma once

#include "engine/passthrough/ike.h"

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

/// IKE messages and ESP packets as octets, written from the RFCs.
namespace ipsecworld {

using namespace engine;
using namespace engine::passthrough;
using Bytes = std::vector<std::uint8_t>;

inline void append(Bytes& to, const Bytes& more)
{
    to.insert(to.end(), more.begin(), more.end());
}
inline Bytes number(std::uint64_t value, int octets)
{
    Bytes bytes;
    for (int shift = (octets - 1) * 8; shift >= 0; shift -= 8) {
        bytes.push_back(static_cast<std::uint8_t>(value >> shift));
    }
    return bytes;
}

struct IkeMessage {
    std::uint64_t initiatorSpi = 0;
    std::uint64_t responderSpi = 0;
    std::uint8_t version = 2;
    std::uint8_t exchange = 34;
    std::uint8_t flags = 0;
    std::uint32_t messageId = 0;
    /// Type and body of each payload; an empty list gives an encrypted body of 64 octets.
    std::vector<std::pair<std::uint8_t, Bytes>> payloads;
    std::size_t padding = 64;
};

inline Bytes build(const IkeMessage& message)
{
    Bytes body;
    for (std::size_t i = 0; i < message.payloads.size(); ++i) {
        const bool last = i + 1 == message.payloads.size();
        body.push_back(last ? 0 : message.payloads[i + 1].first);
        body.push_back(0);
        append(body, number(message.payloads[i].second.size() + 4, 2));
        append(body, message.payloads[i].second);
    }
    std::uint8_t first = message.version == 2 ? 46 : 8;
    if (!message.payloads.empty()) {
        first = message.payloads.front().first;
    } else {
        body.assign(message.padding, 0xa5);
        // What is encrypted differs from message to message.
        append(body, number(message.initiatorSpi * 31 + message.messageId * 7 + message.exchange +
                                message.flags,
                            8));
        if (message.version == 2) {
            body[0] = 0;
            body[1] = 0;
            body[2] = static_cast<std::uint8_t>(body.size() >> 8);
            body[3] = static_cast<std::uint8_t>(body.size());
        }
    }
    Bytes bytes = number(message.initiatorSpi, 8);
    append(bytes, number(message.responderSpi, 8));
    bytes.push_back(first);
    bytes.push_back(static_cast<std::uint8_t>(message.version << 4));
    bytes.push_back(message.exchange);
    bytes.push_back(message.flags);
    append(bytes, number(message.messageId, 4));
    append(bytes, number(28 + body.size(), 4));
    append(bytes, body);
    return bytes;
}

inline Bytes withMarker(const Bytes& message)
{
    Bytes bytes(4, 0);
    append(bytes, message);
    return bytes;
}

inline Bytes esp(std::uint32_t spi, std::uint32_t sequence, std::size_t size = 64)
{
    Bytes bytes = number(spi, 4);
    append(bytes, number(sequence, 4));
    bytes.resize(bytes.size() + size, 0x5c);
    return bytes;
}

inline Bytes notify(std::uint16_t type, const Bytes& data = {})
{
    Bytes bytes{0, 0};
    append(bytes, number(type, 2));
    append(bytes, data);
    return bytes;
}

/// An IKE_AUTH message with an encrypted body.
inline Bytes auth(std::uint64_t spi, std::uint8_t flags, std::size_t padding = 64)
{
    IkeMessage message;
    message.initiatorSpi = spi;
    message.responderSpi = spi + 1;
    message.exchange = 35;
    message.flags = flags;
    message.messageId = 1;
    message.padding = padding;
    return build(message);
}

/// One part of an IKE_AUTH message that IKE has cut (RFC 7383 §2.5).
inline Bytes authPart(std::uint64_t spi, std::uint8_t flags, std::uint16_t part,
                      std::uint16_t parts)
{
    IkeMessage message;
    message.initiatorSpi = spi;
    message.responderSpi = spi + 1;
    message.exchange = 35;
    message.flags = flags;
    message.messageId = 1;
    Bytes body = number(part, 2);
    append(body, number(parts, 2));
    append(body, Bytes(100, static_cast<std::uint8_t>(0x30 + part)));
    message.payloads = {{53, body}};
    return build(message);
}

}  // namespace ipsecworld
