#include "engine/passthrough/ike.h"

#include <algorithm>
#include <initializer_list>

namespace engine::passthrough::ike {

using wire::ParseError;

namespace {

/// Ours: real messages have at most about twenty payloads and a few dozen transforms.
constexpr int kMostPayloads = 40;
constexpr int kMostTransforms = 64;

// Payload types: RFC 2408 §3.1 and RFC 3947 §3.2 for version 1, RFC 7296 §3.2 for version 2.
constexpr std::uint8_t kSa1 = 1;
constexpr std::uint8_t kNotify1 = 11;
constexpr std::uint8_t kVendor1 = 13;
constexpr std::uint8_t kNatD1 = 20;
constexpr std::uint8_t kNatDDraft1 = 130;
constexpr std::uint8_t kSa2 = 33;
constexpr std::uint8_t kNotify2 = 41;
constexpr std::uint8_t kVendor2 = 43;
constexpr std::uint8_t kEncrypted2 = 46;
constexpr std::uint8_t kEncryptedFragment2 = 53;

bool exchangeFits(Version version, std::uint8_t exchange)
{
    switch (static_cast<Exchange>(exchange)) {
    case Exchange::Main:
    case Exchange::AuthenticationOnly:
    case Exchange::Aggressive:
    case Exchange::Informational1:
    case Exchange::Transaction:
    case Exchange::Quick:
    case Exchange::NewGroup: return version == Version::V1;
    case Exchange::SaInit:
    case Exchange::Auth:
    case Exchange::CreateChildSa:
    case Exchange::Informational2:
    case Exchange::SessionResume:
    case Exchange::Intermediate:
    case Exchange::FollowupKe: return version == Version::V2;
    }
    return false;
}

bool startsWith(wire::ConstBytes bytes, std::initializer_list<std::uint8_t> prefix)
{
    return bytes.size() >= prefix.size() && std::equal(prefix.begin(), prefix.end(), bytes.begin());
}

Product productOf(wire::ConstBytes vendorId)
{
    if (startsWith(vendorId, {0x1e, 0x2b, 0x51, 0x69, 0x05, 0x99, 0x1c, 0x7d, 0x7c, 0x96, 0xfc,
                              0xbf, 0xb5, 0x87, 0xe4, 0x61})) {
        return Product::Windows;  // MS NT5 ISAKMPOAKLEY, then a version
    }
    if (startsWith(vendorId, {0x88, 0x2f, 0xe5, 0x6d})) return Product::StrongSwan;
    if (startsWith(vendorId, {0x12, 0xf5, 0xf2, 0x8c})) return Product::CiscoUnity;
    if (startsWith(vendorId, {0x5b, 0x36, 0x2b, 0xc8, 0x20, 0xf6})) return Product::SonicWall;
    if (startsWith(vendorId, {0x1d, 0x6e, 0x17, 0x8f})) return Product::FortiGate;
    if (startsWith(vendorId, {0xfd, 0x80, 0x88, 0x04})) return Product::JuniperSrx;
    if (startsWith(vendorId, {0xf4, 0xed, 0x19, 0xe0})) return Product::CheckPoint;
    return Product::Unknown;
}

/// Vendor IDs by which version 1 offers NAT traversal: RFC 3947 and the drafts still met.
bool offersNatTraversal(wire::ConstBytes vendorId)
{
    return startsWith(vendorId, {0x4a, 0x13, 0x1c, 0x81, 0x07, 0x03, 0x58, 0x45, 0x5c, 0x57, 0x28,
                                 0xf2, 0x0e, 0x95, 0x45, 0x2f}) ||
           startsWith(vendorId, {0x44, 0x85, 0x15, 0x2d}) ||  // draft 00
           startsWith(vendorId, {0x90, 0xcb, 0x80, 0x91}) ||  // draft 02, with a line feed
           startsWith(vendorId, {0xcd, 0x60, 0x46, 0x43}) ||  // draft 02
           startsWith(vendorId, {0x7d, 0x94, 0x19, 0xa6});    // draft 03
}

/// The attributes of a version 1 transform (RFC 2408 §3.3, RFC 2409 appendix A).
void readAttributes1(wire::ConstBytes attributes, Proposal& proposal)
{
    while (attributes.size() >= 4) {
        const std::uint16_t type = wire::load16(attributes, 0);
        const std::uint16_t value = wire::load16(attributes, 2);
        std::size_t size = 4;
        if ((type & 0x8000U) != 0) {
            if ((type & 0x7fffU) == 1) proposal.encryption = value;
            if ((type & 0x7fffU) == 2) proposal.integrity = value;
            if ((type & 0x7fffU) == 4) proposal.group = value;
        } else {
            size += value;
        }
        if (size > attributes.size()) return;
        attributes = attributes.subspan(size);
    }
}

/// The first transform of the first proposal of a version 1 SA payload.
bool readProposal1(wire::ConstBytes body, Proposal& proposal)
{
    // DOI and situation (identity only), then a proposal header with its SPI, then transforms.
    constexpr std::size_t kBeforeProposal = 8;
    constexpr std::size_t kProposalHeader = 8;
    constexpr std::size_t kTransformHeader = 8;
    if (body.size() < kBeforeProposal + kProposalHeader) return false;
    body = body.subspan(kBeforeProposal);
    const std::size_t transforms = kProposalHeader + body[6];
    if (body.size() < transforms + kTransformHeader) return false;
    body = body.subspan(transforms);
    const std::size_t length = wire::load16(body, 2);
    if (length < kTransformHeader || length > body.size()) return false;
    readAttributes1(body.subspan(kTransformHeader, length - kTransformHeader), proposal);
    return true;
}

/// The first transform of each type in the first proposal of a version 2 SA payload.
bool readProposal2(wire::ConstBytes body, Proposal& proposal)
{
    constexpr std::size_t kProposalHeader = 8;
    constexpr std::size_t kTransformHeader = 8;
    if (body.size() < kProposalHeader) return false;
    const std::size_t length = wire::load16(body, 2);
    const std::size_t transforms = kProposalHeader + body[6];
    if (length > body.size() || length < transforms) return false;
    body = body.subspan(transforms, length - transforms);
    for (int i = 0; i < kMostTransforms && body.size() >= kTransformHeader; ++i) {
        const std::size_t size = wire::load16(body, 2);
        if (size < kTransformHeader || size > body.size()) return true;
        const std::uint8_t type = body[4];
        const std::uint16_t id = wire::load16(body, 6);
        if (type == 1 && proposal.encryption == 0) proposal.encryption = id;
        if (type == 3 && proposal.integrity == 0) proposal.integrity = id;
        if (type == 4 && proposal.group == 0) proposal.group = id;
        body = body.subspan(size);
    }
    return true;
}

void readNotify(Version version, wire::ConstBytes body, ClearPayloads& result)
{
    // Version 1 has four octets of DOI first.
    const std::size_t start = version == Version::V1 ? 4 : 0;
    if (body.size() < start + 4) return;
    const std::size_t spiSize = body[start + 1];
    const std::uint16_t type = wire::load16(body, start + 2);
    if (body.size() < start + 4 + spiSize) return;
    const wire::ConstBytes data = body.subspan(start + 4 + spiSize);
    if (version == Version::V1) {
        // 1 to 30 are the errors that RFC 2408 §3.14.1 names.
        if (type >= 1 && type <= 30) result.error = type;
        return;
    }
    if (type < 16384) result.error = type;
    if (type == kCookie) result.asksForCookie = true;
    if (type == kRedirect) result.redirects = true;
    if (type == kFragmentationSupported) result.supportsFragmentation = true;
    if (type == kNatDetectionSource) result.hasNatDetection = true;
    if (type == kNatDetectionDestination) {
        result.hasNatDetection = true;
        if (data.size() == Sha1Digest{}.size()) {
            std::copy(data.begin(), data.end(), result.destinationHash.emplace().begin());
        }
    }
    result.offersNatTraversal = result.offersNatTraversal || result.hasNatDetection;
}

void readVendor(Version version, wire::ConstBytes body, ClearPayloads& result)
{
    if (result.product == Product::Unknown) result.product = productOf(body);
    if (version == Version::V1 && offersNatTraversal(body)) result.offersNatTraversal = true;
}

void readPayload1(std::uint8_t type, wire::ConstBytes body, ClearPayloads& result)
{
    if (type == kSa1 && !result.hasProposal) {
        result.hasProposal = readProposal1(body, result.proposal);
    }
    if (type == kVendor1) readVendor(Version::V1, body, result);
    if (type == kNotify1) readNotify(Version::V1, body, result);
    if (type == kNatD1 || type == kNatDDraft1) {
        if (!result.hasNatDetection && body.size() == Sha1Digest{}.size()) {
            std::copy(body.begin(), body.end(), result.destinationHash.emplace().begin());
        }
        result.hasNatDetection = true;
    }
}

void readPayload2(std::uint8_t type, wire::ConstBytes body, ClearPayloads& result)
{
    if (type == kSa2 && !result.hasProposal) {
        result.hasProposal = readProposal2(body, result.proposal);
    }
    if (type == kVendor2) readVendor(Version::V2, body, result);
    if (type == kNotify2) readNotify(Version::V2, body, result);
}

}  // namespace

Result<Header, wire::ParseError> parseHeader(wire::ConstBytes message)
{
    return parseHeader(message, message.size());
}

Result<Header, wire::ParseError> parseHeader(wire::ConstBytes message, std::size_t messageSize)
{
    if (message.size() < kHeaderSize) return Err{ParseError::Truncated};
    if (wire::load32(message, 24) != messageSize) return Err{ParseError::BadLength};
    Header header;
    header.initiatorSpi = wire::load64(message, 0);
    header.responderSpi = wire::load64(message, 8);
    header.nextPayload = message[16];
    const std::uint8_t major = message[17] >> 4;
    if (major != 1 && major != 2) return Err{ParseError::BadVersion};
    header.version = static_cast<Version>(major);
    if (header.initiatorSpi == 0) return Err{ParseError::BadValue};
    if (!exchangeFits(header.version, message[18])) return Err{ParseError::BadValue};
    header.exchange = static_cast<Exchange>(message[18]);
    header.flags = message[19];
    // Version 1 defines the three lowest flags, version 2 bits 3 to 5; the others are sent as zero.
    const std::uint8_t undefined = header.version == Version::V1 ? 0xf8 : 0xc7;
    if ((header.flags & undefined) != 0) return Err{ParseError::BadValue};
    header.messageId = wire::load32(message, 20);
    return header;
}

Encapsulated classifyEncapsulated(wire::ConstBytes payload)
{
    return classifyEncapsulated(payload, payload.size());
}

Encapsulated classifyEncapsulated(wire::ConstBytes payload, std::size_t size)
{
    if (payload.size() == 1) {
        return payload[0] == 0xff ? Encapsulated::Keepalive : Encapsulated::Other;
    }
    if (payload.size() < 8) return Encapsulated::Other;
    const std::uint32_t spi = wire::load32(payload, 0);
    if (spi == 0) {
        if (size < kMarkerSize) return Encapsulated::Other;
        return parseHeader(payload.subspan(kMarkerSize), size - kMarkerSize) ? Encapsulated::Ike
                                                                             : Encapsulated::Other;
    }
    // RFC 4303 §2.1: 1 to 255 are reserved.
    return spi >= 256 ? Encapsulated::Esp : Encapsulated::Other;
}

std::string_view nameOf(Product product)
{
    switch (product) {
    case Product::Unknown: return "";
    case Product::Windows: return "Windows";
    case Product::StrongSwan: return "strongSwan";
    case Product::CiscoUnity: return "Cisco Unity";
    case Product::SonicWall: return "SonicWall";
    case Product::FortiGate: return "FortiGate";
    case Product::JuniperSrx: return "Juniper SRX";
    case Product::CheckPoint: return "Check Point";
    }
    return "";
}

bool isWeak(Version version, const Proposal& proposal)
{
    if (version == Version::V1) {
        // RFC 2409 appendix A: DES-CBC 1, 3DES-CBC 5; MD5 1; groups 1, 2 and 5.
        if (proposal.encryption == 1 || proposal.encryption == 5) return true;
        if (proposal.integrity == 1) return true;
    } else {
        // RFC 7296 §3.3.2: DES_IV64 1, DES 2, 3DES 3; HMAC_MD5_96 1.
        if (proposal.encryption >= 1 && proposal.encryption <= 3) return true;
        if (proposal.integrity == 1) return true;
    }
    return proposal.group == 1 || proposal.group == 2 || proposal.group == 5;
}

ClearPayloads readClearPayloads(const Header& header, wire::ConstBytes message)
{
    ClearPayloads result;
    if (header.isEncrypted1()) return result;
    wire::ConstBytes rest = message.subspan(std::min(kHeaderSize, message.size()));
    std::uint8_t type = header.nextPayload;
    for (int i = 0; i < kMostPayloads && type != 0; ++i) {
        if (type == kEncrypted2 || type == kEncryptedFragment2) break;
        if (rest.size() < 4) break;
        const std::size_t length = wire::load16(rest, 2);
        if (length < 4 || length > rest.size()) break;
        const wire::ConstBytes body = rest.subspan(4, length - 4);
        if (header.version == Version::V1) {
            readPayload1(type, body, result);
        } else {
            readPayload2(type, body, result);
        }
        type = rest[0];
        rest = rest.subspan(length);
    }
    return result;
}

std::uint16_t fragmentNumberOf(const Header& header, wire::ConstBytes message)
{
    constexpr std::size_t kNumbers = kHeaderSize + 4;
    if (header.version != Version::V2 || header.nextPayload != kEncryptedFragment2) return 0;
    if (message.size() < kNumbers + 4) return 0;
    const std::uint16_t number = wire::load16(message, kNumbers);
    return number <= wire::load16(message, kNumbers + 2) ? number : std::uint16_t{0};
}

Sha1Digest natDetectionHash(const Header& header, net::Endpoint endpoint)
{
    std::array<std::uint8_t, 22> octets{};
    wire::store64(octets, 0, header.initiatorSpi);
    wire::store64(octets, 8, header.responderSpi);
    wire::store32(octets, 16, endpoint.address.hostOrder());
    wire::store16(octets, 20, endpoint.port.hostOrder());
    return sha1(octets);
}

}  // namespace engine::passthrough::ike
