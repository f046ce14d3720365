#pragma once

#include "engine/lab/conversation.h"
#include "engine/lab/host.h"
#include "engine/lab/tcp.h"
#include "engine/lab/tls_shapes.h"

#include <map>
#include <optional>
#include <string>

namespace engine::lab {

inline constexpr net::Port kTlsPort{443};

/// Whether a VPN over TLS opens a DTLS channel beside it (AnyConnect, ocserv) or not (SSTP).
enum class TlsVpnKind : std::uint8_t { TlsOnly, WithDtls };

/// A VPN inside TLS on TCP 443, with DTLS on UDP 443 for the data if the kind has it.
class TlsVpnServer final : public Peer {
public:
    TlsVpnServer(Host& host, TlsVpnKind kind);
    [[nodiscard]] PeerReport report() const override { return m_report; }

private:
    struct Connection {
        Octets stream;
        Octets ticket;  ///< the session id by which the DTLS channel is recognised
        Identity client = 0;
        int records = 0;
        std::size_t step = 0;  ///< of SSTP's opening
    };
    void takeRecord(TcpId id, wire::ConstBytes record);
    void takeDatagram(const net::Endpoint& from, wire::ConstBytes bytes);

    Host* m_host;
    TlsVpnKind m_kind;
    Identity m_self;
    std::map<TcpId, Connection> m_connections;
    struct Channel {
        Identity client = 0;
        std::uint64_t sequence = 0;
    };
    std::map<Octets, Identity> m_tickets;
    std::map<net::Endpoint, Channel> m_channels;
    PeerReport m_report;
};

class TlsVpnClient final : public Peer {
public:
    struct Options {
        net::Ipv4Address server;
        TlsVpnKind kind = TlsVpnKind::TlsOnly;
        std::string serverName = "vpn.example.com";
        Talk talk{};
        Duration startAfter{0};
    };
    TlsVpnClient(Host& host, const Options& options);
    [[nodiscard]] PeerReport report() const override;
    [[nodiscard]] bool usesDtls() const { return m_dtlsUp; }

private:
    void begin();
    void takeRecord(wire::ConstBytes record);
    void takeDatagram(wire::ConstBytes bytes);
    void negotiate();
    void openDtls(std::uint64_t life);
    void sendDatagram(tls::Record type, std::uint16_t epoch, Octets body);
    void talk(std::uint64_t life);

    Host* m_host;
    Options m_options;
    Speaker m_speaker;
    net::Port m_port;
    TcpId m_connection = 0;
    Octets m_stream;
    Octets m_ticket;
    std::uint64_t m_life = 0;
    std::uint64_t m_sequence = 0;
    bool m_up = false;
    bool m_dtlsUp = false;
    std::size_t m_step = 0;  ///< of SSTP's opening
    PeerReport m_report;
};

}  // namespace engine::lab
