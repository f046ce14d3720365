#pragma once

#include "engine/base/result.h"
#include "engine/base/sha1.h"
#include "engine/net/endpoint.h"
#include "engine/wire/bytes.h"
#include "engine/wire/parse_error.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

/// What IKE shows without keys: the header of every message and the payloads of the first ones
/// (RFC 2408 §3, RFC 7296 §3). Pure functions over bytes; hostile input gives an error or less
/// knowledge, never a read beyond the message.
namespace engine::passthrough::ike {

// ---- specification ------------------------------------------------------------------------------

inline constexpr std::uint16_t kPort = 500;
inline constexpr std::uint16_t kNatTraversalPort = 4500;
/// RFC 2408 §3.1, RFC 7296 §3.1.
inline constexpr std::size_t kHeaderSize = 28;
/// RFC 3948 §2.2: four zero octets before IKE where ESP may come too.
inline constexpr std::size_t kMarkerSize = 4;

enum class Version : std::uint8_t { V1 = 1, V2 = 2 };

/// Exchange types of both versions; their numbers do not overlap.
enum class Exchange : std::uint8_t {
    Main = 2,
    AuthenticationOnly = 3,
    Aggressive = 4,
    Informational1 = 5,
    Transaction = 6,  ///< mode config and XAUTH
    Quick = 32,
    NewGroup = 33,
    SaInit = 34,
    Auth = 35,
    CreateChildSa = 36,
    Informational2 = 37,
    SessionResume = 38,
    Intermediate = 43,
    FollowupKe = 44,
};

struct Header {
    std::uint64_t initiatorSpi = 0;  ///< never zero
    std::uint64_t responderSpi = 0;  ///< zero in the first message only
    std::uint8_t nextPayload = 0;
    Version version = Version::V2;
    Exchange exchange = Exchange::SaInit;
    std::uint8_t flags = 0;
    std::uint32_t messageId = 0;

    /// Version 2: answers a request. Version 1 has no such flag.
    [[nodiscard]] bool isResponse() const { return version == Version::V2 && (flags & 0x20U) != 0; }
    /// Version 2: sent by the original initiator of the IKE SA.
    [[nodiscard]] bool fromInitiator() const
    {
        return version == Version::V2 && (flags & 0x08U) != 0;
    }
    /// Version 1: everything behind the header is encrypted.
    [[nodiscard]] bool isEncrypted1() const
    {
        return version == Version::V1 && (flags & 0x01U) != 0;
    }
};

/// A whole IKE message without the marker. Judges what random octets or another protocol would not
/// get right: the length field equals the datagram's, version, exchange type and flags fit each
/// other, the initiator's SPI is not zero.
Result<Header, wire::ParseError> parseHeader(wire::ConstBytes message);
/// The same when only the first octets of a message of `messageSize` octets are at hand.
Result<Header, wire::ParseError> parseHeader(wire::ConstBytes octets, std::size_t messageSize);

/// What a datagram of a flow that may carry ESP in UDP is (RFC 3948 §2).
enum class Encapsulated : std::uint8_t {
    Ike,        ///< marker, then IKE
    Esp,        ///< SPI of at least 256, then a sequence number
    Keepalive,  ///< the single octet 0xFF
    Other,
};
[[nodiscard]] Encapsulated classifyEncapsulated(wire::ConstBytes payload);
/// The same when only the first octets of a datagram of `size` octets are at hand.
[[nodiscard]] Encapsulated classifyEncapsulated(wire::ConstBytes octets, std::size_t size);

/// Who wrote the implementation, by its vendor ID payload.
enum class Product : std::uint8_t {
    Unknown,
    Windows,
    StrongSwan,
    CiscoUnity,
    SonicWall,
    FortiGate,
    JuniperSrx,
    CheckPoint,
};
inline constexpr Product kLastProduct = Product::CheckPoint;
[[nodiscard]] std::string_view nameOf(Product product);

/// The algorithms of the first proposal of a message, in the numbers of its version; zero: not
/// said. Meaningful as a choice only in the responder's message.
struct Proposal {
    std::uint16_t encryption = 0;
    std::uint16_t integrity = 0;  ///< version 1: the hash
    std::uint16_t group = 0;
};
/// DES, 3DES, MD5 or a Diffie-Hellman group below 14: broken or too short today.
[[nodiscard]] bool isWeak(Version version, const Proposal& proposal);

/// Notify types that matter before encryption (RFC 7296 §3.10.1; RFC 2408 §3.14.1 where said).
inline constexpr std::uint16_t kInvalidSyntax = 7;
inline constexpr std::uint16_t kNoProposalChosen = 14;  ///< the same number in both versions
inline constexpr std::uint16_t kInvalidKePayload = 17;
inline constexpr std::uint16_t kAuthenticationFailed = 24;  ///< the same number in both versions
inline constexpr std::uint16_t kNatDetectionSource = 16388;
inline constexpr std::uint16_t kNatDetectionDestination = 16389;
inline constexpr std::uint16_t kCookie = 16390;
inline constexpr std::uint16_t kRedirect = 16407;
inline constexpr std::uint16_t kFragmentationSupported = 16430;

/// The clear payloads of one message.
struct ClearPayloads {
    bool hasProposal = false;
    Proposal proposal;
    bool hasNatDetection = false;     ///< version 2's notifies or version 1's NAT-D payloads
    bool offersNatTraversal = false;  ///< version 1's vendor IDs; version 2: as hasNatDetection
    /// Version 2's DESTINATION hash or version 1's first NAT-D: how the sender sees the receiver.
    std::optional<Sha1Digest> destinationHash;
    Product product = Product::Unknown;
    std::uint16_t error = 0;  ///< an error notify; 0: none
    bool asksForCookie = false;
    bool redirects = false;
    bool supportsFragmentation = false;
};
/// Reads the chain as far as it is clear and well formed. `message` is what parseHeader() took.
[[nodiscard]] ClearPayloads readClearPayloads(const Header& header, wire::ConstBytes message);

/// Which part of a message that IKE itself has cut this is (RFC 7383 §2.5), from 1; 0: it is whole,
/// or says nothing sound.
[[nodiscard]] std::uint16_t fragmentNumberOf(const Header& header, wire::ConstBytes message);

/// Version 2's NAT detection hash: SHA-1(SPIi | SPIr | address | port) (RFC 7296 §2.23); version
/// 1's with SHA-1 negotiated is the same sum over the cookies (RFC 3947 §3.2).
[[nodiscard]] Sha1Digest natDetectionHash(const Header& header, net::Endpoint endpoint);

}  // namespace engine::passthrough::ike
