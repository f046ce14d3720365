#pragma once

#include "engine/lab/conversation.h"
#include "engine/lab/host.h"

#include <map>
#include <optional>

namespace engine::lab {

/// Tunnels without a handshake and without ports, and what tells two of one server apart.
enum class PortlessKind : std::uint8_t {
    GreKeyed,   ///< GRE version 0 with a key (RFC 2890)
    GreInner,   ///< GRE version 0 without: the inner address
    Eoip,       ///< MikroTik's: a tunnel ID
    SixInFour,  ///< RFC 4213: the inner prefix
    IpIp,       ///< RFC 2003: the inner address
    EtherIp,    ///< RFC 3378: nothing
    Ah,         ///< RFC 4302: nothing that helps, its addresses must not be changed
};

/// A packet of such a tunnel: what follows the outer IP header.
struct PortlessFrame {
    std::uint16_t id = 0;  ///< of the client: key, tunnel ID, SPI or part of the inner address
    bool fromClient = true;
    Octets message;
};
[[nodiscard]] net::IpProtocol protocolOf(PortlessKind kind);
[[nodiscard]] Octets encode(PortlessKind kind, const PortlessFrame& frame);
[[nodiscard]] std::optional<PortlessFrame> decode(PortlessKind kind, wire::ConstBytes payload);

class PortlessServer final : public Peer {
public:
    PortlessServer(Host& host, PortlessKind kind);
    [[nodiscard]] PeerReport report() const override { return m_report; }

private:
    Host* m_host;
    PortlessKind m_kind;
    Identity m_self;
    std::map<std::uint16_t, Identity> m_clients;
    PeerReport m_report;
};

class PortlessClient final : public Peer {
public:
    struct Options {
        net::Ipv4Address server;
        PortlessKind kind = PortlessKind::GreKeyed;
        std::uint16_t id = 1;
        Talk talk{};
        Duration startAfter{0};
    };
    PortlessClient(Host& host, const Options& options);
    [[nodiscard]] PeerReport report() const override { return m_report; }

private:
    void talk();
    void take(net::Ipv4Address from, wire::ConstBytes payload);

    Host* m_host;
    Options m_options;
    Speaker m_speaker;
    PeerReport m_report;
};

}  // namespace engine::lab
