#include "engine/passthrough/tls_peers.h"

#include <algorithm>
#include <utility>

namespace engine::passthrough {

void TlsPeers::remember(TlsPeer peer)
{
    if (m_ring.size() < kMost) {
        m_ring.push_back(std::move(peer));
        return;
    }
    m_ring[m_next] = std::move(peer);
    m_next = (m_next + 1) % kMost;
}

void TlsPeers::markFortinet(FlowId flow)
{
    for (TlsPeer& peer : m_ring) {
        if (peer.flow == flow) peer.showsFortinet = true;
    }
}

void TlsPeers::noteProtocol(net::Endpoint server, net::VpnProtocol protocol,
                            tunnel::Confidence confidence)
{
    const auto known = std::ranges::find(m_servers, server, &VpnServer::endpoint);
    if (known != m_servers.end()) {
        if (confidence < known->confidence) return;
        *known = {server, protocol, confidence};
    } else if (m_servers.size() < kMostServers) {
        m_servers.push_back({server, protocol, confidence});
    } else if (confidence != tunnel::Confidence::Guess) {
        m_servers[m_nextServer] = {server, protocol, confidence};
        m_nextServer = (m_nextServer + 1) % kMostServers;
    }
}

std::optional<net::VpnProtocol> TlsPeers::protocolOf(net::Endpoint server) const
{
    const auto known = std::ranges::find(m_servers, server, &VpnServer::endpoint);
    if (known == m_servers.end() || known->confidence == tunnel::Confidence::Guess) {
        return std::nullopt;
    }
    return known->protocol;
}

std::optional<net::VpnProtocol> TlsPeers::guessOf(net::Endpoint server) const
{
    const auto known = std::ranges::find(m_servers, server, &VpnServer::endpoint);
    if (known == m_servers.end()) return std::nullopt;
    return known->protocol;
}

const TlsPeer* TlsPeers::find(net::Ipv4Address device, net::Ipv4Address server,
                              net::Port port) const
{
    const TlsPeer* latest = nullptr;
    for (const TlsPeer& peer : m_ring) {
        if (peer.device != device || peer.server != server) continue;
        if (port != net::Port{} && peer.serverPort != port) continue;
        if (latest == nullptr || peer.at >= latest->at) latest = &peer;
    }
    return latest;
}

}  // namespace engine::passthrough
