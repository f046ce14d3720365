#pragma once

#include "engine/base/random.h"
#include "engine/net/direction.h"
#include "engine/net/ip_protocol.h"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// Generated conversations: what a client and a server say to each other, payload by payload. Made
/// from the protocols' descriptions, not from captures.
namespace traffic {

using Bytes = std::vector<std::uint8_t>;

struct Message {
    engine::net::Direction direction = engine::net::Direction::Outbound;
    Bytes payload;
};

struct Conversation {
    engine::net::IpProtocol protocol = engine::net::IpProtocol::Udp;
    std::uint16_t serverPort = 0;
    std::vector<Message> messages;

    void out(Bytes payload)
    {
        messages.push_back({engine::net::Direction::Outbound, std::move(payload)});
    }
    void in(Bytes payload)
    {
        messages.push_back({engine::net::Direction::Inbound, std::move(payload)});
    }
};

/// Builds payloads field by field.
class Maker {
public:
    Maker& u8(std::uint32_t value) { return number(value, 1); }
    Maker& u16(std::uint32_t value) { return number(value, 2); }
    Maker& u24(std::uint32_t value) { return number(value, 3); }
    Maker& u32(std::uint32_t value) { return number(value, 4); }
    Maker& u64(std::uint64_t value) { return number(value, 8); }
    Maker& u32le(std::uint32_t value)
    {
        for (int i = 0; i < 4; ++i)
            m_bytes.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
        return *this;
    }
    Maker& u64le(std::uint64_t value)
    {
        for (int i = 0; i < 8; ++i)
            m_bytes.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
        return *this;
    }
    Maker& text(std::string_view text)
    {
        for (const char c : text)
            m_bytes.push_back(static_cast<std::uint8_t>(c));
        return *this;
    }
    Maker& bytes(const Bytes& bytes)
    {
        m_bytes.insert(m_bytes.end(), bytes.begin(), bytes.end());
        return *this;
    }
    Maker& noise(engine::Random& random, std::size_t count)
    {
        for (std::size_t i = 0; i < count; ++i) {
            m_bytes.push_back(static_cast<std::uint8_t>(random.next()));
        }
        return *this;
    }
    Maker& zeros(std::size_t count)
    {
        m_bytes.insert(m_bytes.end(), count, 0);
        return *this;
    }
    [[nodiscard]] Bytes done() const { return m_bytes; }
    [[nodiscard]] std::size_t size() const { return m_bytes.size(); }

private:
    Maker& number(std::uint64_t value, int octets)
    {
        for (int i = octets - 1; i >= 0; --i) {
            m_bytes.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
        }
        return *this;
    }
    Bytes m_bytes;
};

// WireGuard and relatives ---------------------------------------------------------------------

struct WireGuardStyle {
    std::size_t initiation = 148;
    std::size_t response = 92;
    std::uint32_t reserved = 0;  ///< three octets
};
Bytes wireGuardInitiation(engine::Random& random, std::uint32_t sender, WireGuardStyle style = {});
Bytes wireGuardResponse(engine::Random& random, std::uint32_t sender, std::uint32_t receiver,
                        WireGuardStyle style = {});
Bytes wireGuardData(engine::Random& random, std::uint32_t receiver, std::uint64_t counter,
                    std::size_t blocks = 4, WireGuardStyle style = {});
Conversation wireGuard(engine::Random& random, std::uint16_t port, WireGuardStyle style = {});
Conversation wireGuardMidStream(engine::Random& random, std::uint16_t port);
/// WARP's own dialect, with the top bits of the type set.
Conversation warpDialect(engine::Random& random, std::uint16_t port);
Conversation tailscale(engine::Random& random, std::uint16_t port);

// OpenVPN -------------------------------------------------------------------------------------

enum class OpenVpnMode : std::uint8_t { Plain, TlsAuth, TlsAuth512, TlsCrypt, TlsCryptV2 };
Conversation openVpn(engine::Random& random, std::uint16_t port, OpenVpnMode mode,
                     engine::net::IpProtocol protocol);

// TLS and DTLS --------------------------------------------------------------------------------

struct HelloStyle {
    std::string_view serverName{};
    std::string_view alpn{};
    std::uint16_t version = 0x0303;
    std::size_t sessionId = 0;
    bool useSrtp = false;
    bool ciscoAppId = false;
    std::size_t padding = 0;  ///< octets of key shares, to make it long
};
Bytes clientHelloBody(engine::Random& random, const HelloStyle& style, bool isDtls);
Bytes tlsClientHello(engine::Random& random, const HelloStyle& style);
Bytes dtlsClientHello(engine::Random& random, const HelloStyle& style, std::uint16_t recordVersion);
Bytes tlsRecord(engine::Random& random, std::uint8_t type, std::size_t length);
/// A server's first flight with certificates that contain `text`.
Bytes tlsServerFlight(engine::Random& random, std::string_view text);
Conversation tlsSession(engine::Random& random, const HelloStyle& style, std::uint16_t port,
                        std::string_view certificate = "Example CA");
Conversation sstp(engine::Random& random, std::uint16_t port);
/// Over TLS 1.3, whose handshake and tickets look like data: as OpenSSL serves it to sstp-client.
Conversation sstpOverTls13(engine::Random& random, std::uint16_t port);
Conversation dtlsTunnel(engine::Random& random, const HelloStyle& style,
                        std::uint16_t recordVersion, std::uint16_t port);

// Others that are recognised --------------------------------------------------------------------

Conversation softEtherNatTraversal(engine::Random& random);
Conversation fortiGreeting(engine::Random& random, std::uint16_t port);
Conversation globalProtectEsp(engine::Random& random);
Conversation zeroTier(engine::Random& random, std::uint16_t port);
Conversation nebula(engine::Random& random, std::uint16_t port);
Conversation teredo(engine::Random& random);
Conversation teredoPeers(engine::Random& random, std::uint16_t port);
Conversation tinc(std::uint16_t port);

// What must not be taken for a tunnel -----------------------------------------------------------

Conversation dns(engine::Random& random, std::uint16_t id);
Conversation quic(engine::Random& random);
Conversation http(std::uint16_t port);
Conversation stunAndWebRtc(engine::Random& random);
Conversation noise(engine::Random& random, engine::net::IpProtocol protocol, std::uint16_t port);
Conversation bitTorrent(engine::Random& random);
Conversation ntp(engine::Random& random);
Conversation sip();
Conversation rtp(engine::Random& random);
Conversation ssh(engine::Random& random);
Conversation imaps(engine::Random& random);
Conversation coapDtls(engine::Random& random);

}  // namespace traffic
