#include "engine/lab/pptp_message.h"

namespace engine::lab::pptp {

namespace {

constexpr std::uint32_t kCookie = 0x1a2b3c4d;
constexpr std::size_t kHeader = 12;
constexpr std::size_t kLongest = 220;

Writer begin(Type type)
{
    Writer writer;
    writer.put16(0).put16(1).put32(kCookie).put16(static_cast<std::uint16_t>(type)).put16(0);
    return writer;
}

Octets finish(Writer& writer)
{
    writer.patch16(0, writer.size());
    return writer.take();
}

Octets start(Type type, std::uint8_t result)
{
    Writer writer = begin(type);
    writer.put16(0x0100).put8(result).put8(0).put32(3).put32(3).put16(0).put16(1);
    writer.putText("lab", 64).putText("Underpass lab", 64);
    return finish(writer);
}

}  // namespace

Octets startRequest()
{
    return start(Type::StartRequest, 0);
}
Octets startReply(std::uint8_t result)
{
    return start(Type::StartReply, result);
}

Octets stop(Type type)
{
    Writer writer = begin(type);
    writer.put8(1).put8(0).put16(0);
    return finish(writer);
}

Octets echoRequest(std::uint32_t identifier)
{
    Writer writer = begin(Type::EchoRequest);
    writer.put32(identifier);
    return finish(writer);
}

Octets echoReply(std::uint32_t identifier)
{
    Writer writer = begin(Type::EchoReply);
    writer.put32(identifier).put8(1).put8(0).put16(0);
    return finish(writer);
}

Octets outgoingCallRequest(std::uint16_t callId, std::uint16_t serial, std::string_view phoneNumber)
{
    Writer writer = begin(Type::OutgoingCallRequest);
    writer.put16(callId).put16(serial).put32(2400).put32(10'000'000).put32(3).put32(3);
    writer.put16(64).put16(0).put16(phoneNumber.size()).put16(0);
    writer.putText(phoneNumber, 64).fill(64);
    return finish(writer);
}

Octets outgoingCallReply(std::uint16_t callId, std::uint16_t peerCallId, std::uint8_t result)
{
    Writer writer = begin(Type::OutgoingCallReply);
    writer.put16(callId).put16(peerCallId).put8(result).put8(0).put16(0);
    writer.put32(10'000'000).put16(64).put16(0).put32(0);
    return finish(writer);
}

Octets callClearRequest(std::uint16_t callId)
{
    Writer writer = begin(Type::CallClearRequest);
    writer.put16(callId).put16(0);
    return finish(writer);
}

Octets callDisconnectNotify(std::uint16_t callId, std::uint8_t result)
{
    Writer writer = begin(Type::CallDisconnectNotify);
    writer.put16(callId).put8(result).put8(0).put16(0).put16(0).fill(128);
    return finish(writer);
}

Octets setLinkInfo(std::uint16_t peerCallId)
{
    Writer writer = begin(Type::SetLinkInfo);
    writer.put16(peerCallId).put16(0).put32(0xffffffff).put32(0xffffffff);
    return finish(writer);
}

std::optional<Octets> cut(Octets& stream, bool& broken)
{
    broken = false;
    if (stream.size() < kHeader) return std::nullopt;
    const std::size_t length = wire::load16(stream, 0);
    if (length < kHeader || length > kLongest || wire::load32(stream, 4) != kCookie) {
        broken = true;
        return std::nullopt;
    }
    if (stream.size() < length) return std::nullopt;
    const auto end = stream.begin() + static_cast<std::ptrdiff_t>(length);
    Octets message{stream.begin(), end};
    stream.erase(stream.begin(), end);
    return message;
}

Octets encode(const Gre& gre)
{
    Writer writer;
    writer.put8(gre.sequence ? 0x30 : 0x20).put8(gre.acknowledgment ? 0x81 : 0x01).put16(0x880b);
    writer.put16(gre.payload.size()).put16(gre.callId);
    if (gre.sequence) writer.put32(*gre.sequence);
    if (gre.acknowledgment) writer.put32(*gre.acknowledgment);
    return writer.put(gre.payload).take();
}

std::optional<Gre> decode(wire::ConstBytes bytes)
{
    if (bytes.size() < 8 || wire::load16(bytes, 2) != 0x880b || (bytes[0] & 0xefU) != 0x20 ||
        (bytes[1] & 0x7fU) != 1) {
        return std::nullopt;
    }
    Gre gre;
    gre.callId = wire::load16(bytes, 6);
    std::size_t at = 8;
    const bool hasSequence = (bytes[0] & 0x10U) != 0;
    const bool hasAcknowledgment = (bytes[1] & 0x80U) != 0;
    if (bytes.size() < at + (hasSequence ? 4U : 0U) + (hasAcknowledgment ? 4U : 0U)) {
        return std::nullopt;
    }
    if (hasSequence) {
        gre.sequence = wire::load32(bytes, at);
        at += 4;
    }
    if (hasAcknowledgment) {
        gre.acknowledgment = wire::load32(bytes, at);
        at += 4;
    }
    const std::size_t length = wire::load16(bytes, 4);
    if (length > bytes.size() - at) return std::nullopt;
    gre.payload = bytes.subspan(at, length);
    return gre;
}

}  // namespace engine::lab::pptp
