#pragma once

#include "engine/base/siphash.h"
#include "engine/passthrough/flow.h"
#include "engine/policy/passthrough_policy.h"

#include <map>
#include <optional>

namespace engine::passthrough::l2tp {

/// L2TPv3 directly over IP, protocol 115 (RFC 3931 §4.1.1). Devices behind one address are told
/// apart by the control connection and session IDs that they assign in clear; those are never
/// changed, since a message digest may cover them. Tunnels without a control channel are told apart
/// only as long as one device uses a server.
class L2tpOverIp {
public:
    L2tpOverIp(HashKey seed, const policy::PassthroughPolicy& policy)
        : m_seed(seed), m_policy(policy)
    {}

    PortlessDecision decide(Instant now, net::Direction direction, const PortlessPacket& packet,
                            Actions& actions);
    Attention inspect(Instant now, net::Direction direction, const PortlessPacket& packet,
                      Actions& actions);
    /// A session of before a restart goes on.
    void bindingRestored(const PortlessBinding& binding);
    void bindingClosed(const PortlessBinding& binding, FlowEnd end, Actions& actions);

private:
    struct Place {
        net::Ipv4Address external;
        net::Ipv4Address server;
        friend constexpr auto operator<=>(const Place&, const Place&) = default;
    };
    struct Device {
        tunnel::TunnelKey key;
        std::uint32_t bindings = 0;
        bool hasControl = false;
        bool hidesIds = false;  ///< what it assigns cannot be read
        bool sent = false;
        bool received = false;
        bool dataSent = false;
        bool dataReceived = false;
        bool established = false;
        bool answered = false;
        std::optional<std::uint16_t> measured;
        Instant measuredAt;
    };
    /// What one server can send to one external address, and whose it is.
    struct PlaceState {
        std::map<Discriminator, net::Ipv4Address> owners;
        std::map<net::Ipv4Address, Device> devices;
    };

    PortlessDecision decideOutbound(Instant now, const PortlessPacket& packet, Actions& actions);
    PortlessDecision decideInbound(Instant now, const PortlessPacket& packet, Actions& actions);
    /// False: another device has assigned the same number.
    bool learnAssigned(const Place& place, net::Ipv4Address client, wire::ConstBytes payload,
                       Actions& actions);
    void bind(const Place& place, net::Ipv4Address client, std::optional<Discriminator> outbound,
              std::optional<Discriminator> inbound, Actions& actions);
    void note(Instant now, net::Direction direction, const Place& place, net::Ipv4Address client,
              const PortlessPacket& packet, Actions& actions);
    void label(const Place& place, const tunnel::TunnelKey& key, tunnel::Confidence confidence,
               Actions& actions) const;

    HashKey m_seed;
    const policy::PassthroughPolicy& m_policy;
    std::map<Place, PlaceState> m_places;
    std::size_t m_bindings = 0;
};

}  // namespace engine::passthrough::l2tp
