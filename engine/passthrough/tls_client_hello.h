#pragma once

#include "engine/passthrough/flow.h"

#include <cstddef>
#include <cstdint>
#include <string>

namespace engine::passthrough {

/// What a TLS or DTLS ClientHello shows (RFC 8446 §4.1.2, RFC 6347 §4.2.1).
struct ClientHello {
    std::uint16_t recordVersion = 0;
    std::uint16_t version = 0;  ///< legacy_version of the hello itself
    std::size_t sessionIdSize = 0;
    std::string serverName;  ///< RFC 6066 §3; at most 64 octets, hostile text
    std::string firstAlpn;   ///< RFC 7301 §3.1; at most 64 octets, hostile text
    bool hasAlpn = false;
    bool hasUseSrtp = false;     ///< RFC 5764: DTLS for media, not for a VPN
    bool hasCiscoAppId = false;  ///< extension 48018 of AnyConnect's pre-shared-key mode
};

enum class HelloStatus : std::uint8_t {
    Complete,
    NeedMore,  ///< what is there is a ClientHello so far
    NotHello,
};

struct HelloReading {
    HelloStatus status = HelloStatus::NotHello;
    ClientHello hello;  ///< meaningful when complete
};

/// Reads the ClientHello at the beginning of a TLS stream; it may be spread over records. Pure.
[[nodiscard]] HelloReading readTlsClientHello(wire::ConstBytes stream);

/// Reads the ClientHello in a DTLS datagram, of any version including the draft (0x0100) that old
/// AnyConnect speaks. A hello that goes on in the next fragment counts as far as it is there. Pure.
[[nodiscard]] HelloReading readDtlsClientHello(wire::ConstBytes datagram);

}  // namespace engine::passthrough
