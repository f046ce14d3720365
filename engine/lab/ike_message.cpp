#include "engine/lab/ike_message.h"

#include "engine/base/siphash.h"
#include "engine/lab/sha1.h"

namespace engine::lab::ike {

namespace {

constexpr std::uint8_t kSaV2 = 33;
constexpr std::uint8_t kKeV2 = 34;
constexpr std::uint8_t kNonceV2 = 40;
constexpr std::uint8_t kNotifyV2 = 41;
constexpr std::uint8_t kEncryptedV2 = 46;
constexpr std::uint8_t kIdentificationV2 = 35;
constexpr std::uint8_t kSaV1 = 1;
constexpr std::uint8_t kKeV1 = 4;
constexpr std::uint8_t kIdentificationV1 = 5;
constexpr std::uint8_t kHashV1 = 8;
constexpr std::uint8_t kNonceV1 = 10;
constexpr std::uint8_t kVendorV1 = 13;
constexpr std::uint8_t kNatDetectionV1 = 20;
constexpr std::uint16_t kNatDetectionSource = 16388;
constexpr std::uint16_t kNatDetectionDestination = 16389;
constexpr std::size_t kInitializationVector = 8;

Octets noise(std::uint64_t seed, std::size_t size)
{
    Writer writer;
    for (std::uint64_t block = 0; writer.size() < size; ++block) {
        writer.put64(sipHash(HashKey{seed, 0x696b65}, block, size));
    }
    Octets bytes = writer.take();
    bytes.resize(size);
    return bytes;
}

void putHeader(Writer& writer, const Header& header)
{
    writer.put64(header.initiator).put64(header.responder).put8(header.nextPayload);
    writer.put8(static_cast<std::uint8_t>(header.version));
    writer.put8(static_cast<std::uint8_t>(header.exchange)).put8(header.flags);
    writer.put32(header.messageId).put32(0);
}

Octets finish(Writer& writer)
{
    writer.patch32(24, writer.size());
    return writer.take();
}

void putTransform(Writer& writer, bool last, std::uint8_t type, std::uint16_t id)
{
    const bool withKeyLength = type == 1;
    writer.put8(last ? 0 : 3).put8(0).put16(withKeyLength ? 12 : 8).put8(type).put8(0).put16(id);
    if (withKeyLength) writer.put16(0x800e).put16(256);
}

}  // namespace

Octets encode(Header header, const std::vector<Payload>& payloads)
{
    header.nextPayload = payloads.empty() ? std::uint8_t{0} : payloads.front().first;
    Writer writer;
    putHeader(writer, header);
    for (std::size_t i = 0; i < payloads.size(); ++i) {
        writer.put8(i + 1 < payloads.size() ? payloads[i + 1].first : 0U).put8(0);
        writer.put16(4 + payloads[i].second.size()).put(payloads[i].second);
    }
    return finish(writer);
}

Octets encodeEncrypted(Header header, wire::ConstBytes secret)
{
    Writer writer;
    if (header.version == Version::V1) {
        header.flags |= kEncryptedFlag;
        header.nextPayload = header.exchange == Exchange::MainMode ? kIdentificationV1 : kHashV1;
        putHeader(writer, header);
        writer.put(secret);
        return finish(writer);
    }
    header.nextPayload = kEncryptedV2;
    putHeader(writer, header);
    writer.put8(header.exchange == Exchange::Auth ? kIdentificationV2 : kSaV2).put8(0);
    writer.put16(4 + kInitializationVector + secret.size());
    writer.put(noise(header.initiator ^ header.messageId, kInitializationVector)).put(secret);
    return finish(writer);
}

std::optional<Header> decode(wire::ConstBytes message)
{
    if (message.size() < kHeader || wire::load32(message, 24) != message.size())
        return std::nullopt;
    if (message[17] != 0x10 && message[17] != 0x20) return std::nullopt;
    return Header{.initiator = wire::load64(message, 0),
                  .responder = wire::load64(message, 8),
                  .nextPayload = message[16],
                  .version = static_cast<Version>(message[17]),
                  .exchange = static_cast<Exchange>(message[18]),
                  .flags = message[19],
                  .messageId = wire::load32(message, 20)};
}

std::vector<Payload> payloadsOf(wire::ConstBytes message)
{
    std::vector<Payload> payloads;
    std::uint8_t type = message[16];
    std::size_t at = kHeader;
    while (type != 0 && at + 4 <= message.size()) {
        const std::size_t length = wire::load16(message, at + 2);
        if (length < 4 || length > message.size() - at) break;
        payloads.emplace_back(type, copyOf(message.subspan(at + 4, length - 4)));
        type = message[at];
        at += length;
    }
    return payloads;
}

wire::ConstBytes secretOf(wire::ConstBytes message)
{
    const bool isV1 = message[17] == static_cast<std::uint8_t>(Version::V1);
    const std::size_t skip = kHeader + (isV1 ? 0 : 4 + kInitializationVector);
    return skip <= message.size() ? message.subspan(skip) : wire::ConstBytes{};
}

Payload securityAssociation(Version version)
{
    Writer writer;
    if (version == Version::V2) {
        // AES-CBC-256, HMAC-SHA2-256-128, PRF-HMAC-SHA2-256, 2048-bit MODP.
        writer.put8(0).put8(0).put16(44).put8(1).put8(1).put8(0).put8(4);
        putTransform(writer, false, 1, 12);
        putTransform(writer, false, 3, 12);
        putTransform(writer, false, 2, 5);
        putTransform(writer, true, 4, 14);
        return {kSaV2, writer.take()};
    }
    // DOI IPsec, identity only; one ISAKMP proposal with one transform: AES-256, SHA-1, group 14,
    // pre-shared key, a day.
    writer.put32(1).put32(1);
    writer.put8(0).put8(0).put16(44).put8(1).put8(1).put8(0).put8(1);
    writer.put8(0).put8(0).put16(36).put8(1).put8(1).put16(0);
    writer.put16(0x8001).put16(7).put16(0x800e).put16(256).put16(0x8002).put16(2);
    writer.put16(0x8004).put16(14).put16(0x8003).put16(1).put16(0x800b).put16(1);
    writer.put16(0x800c).put16(28800);
    return {kSaV1, writer.take()};
}

Payload keyExchange(Version version, std::uint64_t seed)
{
    Writer writer;
    if (version == Version::V2) writer.put16(14).put16(0);
    writer.put(noise(seed, 256));
    return {version == Version::V2 ? kKeV2 : kKeV1, writer.take()};
}

Payload nonce(Version version, std::uint64_t seed)
{
    return {version == Version::V2 ? kNonceV2 : kNonceV1, noise(seed + 1, 32)};
}

Payload natTraversalVendor()
{
    // MD5 of "RFC 3947".
    return {kVendorV1,
            {0x4a, 0x13, 0x1c, 0x81, 0x07, 0x03, 0x58, 0x45, 0x5c, 0x57, 0x28, 0xf2, 0x0e, 0x95,
             0x45, 0x2f}};
}

Payload natDetection(const Header& header, NatSide side, const net::Endpoint& endpoint)
{
    const Octets input = Writer{}
                             .put64(header.initiator)
                             .put64(header.responder)
                             .put32(endpoint.address.hostOrder())
                             .put16(endpoint.port.hostOrder())
                             .take();
    const auto digest = sha1(input);
    if (header.version == Version::V1) return {kNatDetectionV1, {digest.begin(), digest.end()}};
    Writer writer;
    writer.put8(0).put8(0).put16(side == NatSide::Source ? kNatDetectionSource
                                                         : kNatDetectionDestination);
    return {kNotifyV2, writer.put(digest).take()};
}

}  // namespace engine::lab::ike
