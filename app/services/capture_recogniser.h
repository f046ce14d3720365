#pragma once

#include "engine/base/siphash.h"
#include "engine/passthrough/passthrough.h"
#include "engine/tunnel/tunnel_table.h"
#include "engine/wire/bytes.h"

#include <cstdint>
#include <map>
#include <memory>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

namespace app::services {

/// Finds the VPN tunnels of a recording: the router's own recognisers and table of tunnels over
/// packets that went by somewhere else. No NAT: every client is its own external address. Who is
/// the client is told by who opened the connection, where the recording shows it, and else by ports
/// and private addresses.
///
/// Bounded: kMostFlows; flows beyond are counted and not looked into.
class CaptureRecogniser {
public:
    explicit CaptureRecogniser(engine::HashKey seed);

    static constexpr std::size_t kMostFlows = 200'000;

    /// Packets in the order of their time; `packet` from the IPv4 header on.
    void see(engine::Instant at, engine::wire::MutableBytes packet);
    /// Every tunnel that was found, in the order of their appearance. Ends the recording.
    [[nodiscard]] std::vector<engine::tunnel::Tunnel> finish();

    [[nodiscard]] std::uint64_t packets() const { return m_packets; }
    /// Packets that could not be read.
    [[nodiscard]] std::uint64_t malformed() const { return m_malformed; }
    [[nodiscard]] std::uint64_t flowsLeftOut() const { return m_flowsLeftOut; }

private:
    using Hosts = std::pair<engine::net::Ipv4Address, engine::net::Ipv4Address>;
    /// Protocol, client, server.
    using PortKey =
        std::tuple<engine::net::IpProtocol, engine::net::Endpoint, engine::net::Endpoint>;
    struct PortFlow {
        engine::passthrough::Flow flow;
        bool watched = true;
        bool attached = false;
        bool over = false;
        engine::tunnel::AttachmentId attachment;
    };
    struct PortlessKey {
        engine::net::IpProtocol protocol{};
        engine::net::Direction direction{};
        engine::net::Ipv4Address client;
        engine::net::Ipv4Address server;
        engine::passthrough::Discriminator discriminator;
        friend auto operator<=>(const PortlessKey&, const PortlessKey&) = default;
    };
    struct PortlessSession {
        engine::passthrough::PortlessBinding binding;
        engine::tunnel::AttachmentId attachment;
    };

    void advance(engine::Instant now);
    void seePorts(engine::net::IpProtocol protocol, engine::net::Endpoint from,
                  engine::net::Endpoint to, engine::passthrough::Segment segment,
                  std::uint64_t length);
    void seePortless(engine::net::Ipv4Address from, engine::net::Ipv4Address to,
                     engine::passthrough::PortlessPacket packet);
    void perform(PortFlow* shown);
    void bind(const engine::passthrough::PortlessBinding& binding);
    void unbind(const engine::passthrough::PortlessUnbinding& unbinding);
    [[nodiscard]] PortlessSession* find(engine::net::Direction direction,
                                        engine::net::Ipv4Address client,
                                        engine::net::Ipv4Address server,
                                        const engine::passthrough::PortlessPacket& packet);
    void close(PortFlow& flow, engine::passthrough::FlowEnd end);
    void collect();
    [[nodiscard]] bool isFromClient(engine::net::Ipv4Address from,
                                    engine::net::Ipv4Address to) const;

    engine::Instant m_now;
    engine::passthrough::Passthrough m_passthrough;
    engine::tunnel::TunnelTable m_table;
    engine::passthrough::Actions m_actions;
    std::map<PortKey, PortFlow> m_flows;
    std::unordered_map<engine::passthrough::FlowId, PortKey> m_byId;
    std::map<PortlessKey, std::shared_ptr<PortlessSession>> m_portless;
    std::map<Hosts, engine::net::Ipv4Address> m_clients;  ///< of two hosts, the smaller first
    std::map<std::uint64_t, engine::tunnel::Tunnel> m_found;
    engine::passthrough::FlowId m_nextFlow = 1;
    std::uint64_t m_packets = 0;
    std::uint64_t m_malformed = 0;
    std::uint64_t m_flowsLeftOut = 0;
};

}  // namespace app::services
