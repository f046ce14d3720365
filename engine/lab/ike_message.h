#pragma once

#include "engine/lab/octets.h"
#include "engine/net/endpoint.h"

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

/// IKE messages (RFC 2408, 2409, 7296) as a client or gateway writes them. What would be encrypted
/// is opaque here too.
namespace engine::lab::ike {

inline constexpr net::Port kPort{500};
inline constexpr net::Port kNatPort{4500};

enum class Version : std::uint8_t { V1 = 0x10, V2 = 0x20 };

enum class Exchange : std::uint8_t {
    MainMode = 2,
    InformationalV1 = 5,
    QuickMode = 32,
    SaInit = 34,
    Auth = 35,
    CreateChildSa = 36,
    Informational = 37,
};

struct Header {
    std::uint64_t initiator = 0;
    std::uint64_t responder = 0;
    std::uint8_t nextPayload = 0;
    Version version = Version::V2;
    Exchange exchange = Exchange::SaInit;
    std::uint8_t flags = 0;
    std::uint32_t messageId = 0;
};
inline constexpr std::size_t kHeader = 28;
inline constexpr std::uint8_t kInitiatorFlag = 0x08;
inline constexpr std::uint8_t kResponseFlag = 0x20;
inline constexpr std::uint8_t kEncryptedFlag = 0x01;

/// A payload: its type and what follows its four octets of header.
using Payload = std::pair<std::uint8_t, Octets>;

/// A message in the clear; the header's first payload type is taken from the chain.
[[nodiscard]] Octets encode(Header header, const std::vector<Payload>& payloads);
/// A message with everything behind the header encrypted: version 2 inside an SK payload, version 1
/// with the flag. `secret` is already sealed.
[[nodiscard]] Octets encodeEncrypted(Header header, wire::ConstBytes secret);
[[nodiscard]] std::optional<Header> decode(wire::ConstBytes message);
/// The clear payloads behind the header; stops at the first that does not fit.
[[nodiscard]] std::vector<Payload> payloadsOf(wire::ConstBytes message);
/// What encodeEncrypted() was given.
[[nodiscard]] wire::ConstBytes secretOf(wire::ConstBytes message);

/// The clear payloads of the first messages, in the shapes of real implementations.
[[nodiscard]] Payload securityAssociation(Version version);
[[nodiscard]] Payload keyExchange(Version version, std::uint64_t seed);
[[nodiscard]] Payload nonce(Version version, std::uint64_t seed);
/// RFC 3947 §3.1: "I can do NAT traversal".
[[nodiscard]] Payload natTraversalVendor();
enum class NatSide : std::uint8_t { Source, Destination };
/// NAT_DETECTION_*_IP of RFC 7296 §2.23, or the NAT-D payload of RFC 3947 §3.2.
[[nodiscard]] Payload natDetection(const Header& header, NatSide side,
                                   const net::Endpoint& endpoint);

}  // namespace engine::lab::ike
