#pragma once

#include "engine/net/vpn_protocol.h"
#include "engine/passthrough/flow.h"

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace engine::passthrough {

/// A TLS connection that might be a VPN's control channel: its hello offered no ALPN.
struct TlsPeer {
    net::Ipv4Address device;
    net::Ipv4Address server;
    net::Port serverPort;
    FlowId flow = 0;
    Instant at;
    std::string serverName;      ///< hostile text
    bool showsFortinet = false;  ///< its certificate names the vendor
};

/// The latest of them, so that a datagram channel beside such a connection finds it. Bounded: the
/// oldest give way. Belongs to the dispatcher; the recognisers of TLS tunnels share it.
class TlsPeers {
public:
    /// Ours: as many connections without ALPN as a site opens in an hour.
    static constexpr std::size_t kMost = 1024;
    /// Ours: the VPN servers that a site uses.
    static constexpr std::size_t kMostServers = 256;

    void remember(TlsPeer peer);
    void markFortinet(FlowId flow);
    /// A datagram channel of this protocol was found beside TLS of this server; or, as a guess, TLS
    /// of this server has looked like this protocol. What is better known stays, and a guess takes
    /// nobody's place.
    void noteProtocol(net::Endpoint server, net::VpnProtocol protocol,
                      tunnel::Confidence confidence = tunnel::Confidence::Likely);
    /// Only what is more than a guess.
    [[nodiscard]] std::optional<net::VpnProtocol> protocolOf(net::Endpoint server) const;
    /// Guesses too.
    [[nodiscard]] std::optional<net::VpnProtocol> guessOf(net::Endpoint server) const;
    /// The latest between these two, at this server port unless `port` is zero; null: none. Valid
    /// until the next call of remember().
    [[nodiscard]] const TlsPeer* find(net::Ipv4Address device, net::Ipv4Address server,
                                      net::Port port) const;

private:
    struct VpnServer {
        net::Endpoint endpoint;
        net::VpnProtocol protocol = net::VpnProtocol::AnyConnect;
        tunnel::Confidence confidence = tunnel::Confidence::Likely;
    };
    std::vector<TlsPeer> m_ring;
    std::size_t m_next = 0;
    std::vector<VpnServer> m_servers;
    std::size_t m_nextServer = 0;
};

}  // namespace engine::passthrough
