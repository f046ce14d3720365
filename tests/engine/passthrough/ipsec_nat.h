#pragma once

#include "engine/passthrough/ipsec.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "tests/engine/passthrough/ipsec_messages.h"

/// A NAT that does what engine::passthrough asks of it, between a few clients and one gateway.
namespace ipsecworld {

using namespace std::chrono_literals;
using net::Direction;

inline constexpr net::Ipv4Address kServer{203, 0, 113, 10};
inline constexpr net::Ipv4Address kExternal{198, 51, 100, 2};
inline constexpr HashKey kSeed{0x0123456789abcdefU, 0xfedcba9876543210U};

inline net::Ipv4Address clientAddress(std::size_t index)
{
    return net::Ipv4Address{192, 168, 77, static_cast<std::uint8_t>(10 + index)};
}

/// Does what the contract says a NAT does with Actions and decisions.
class FakeNat {
public:
    explicit FakeNat(const policy::PassthroughPolicy& policy) : m_policy(policy) { restart(); }

    /// A new engine: no session, nothing learnt.
    void restart()
    {
        inspector = std::make_unique<IpsecInspector>(kSeed, m_policy);
        sessions.clear();
        heldUdp.clear();
        m_flows.clear();
    }

    using SendUdp = std::function<void(std::size_t client, const Bytes&)>;
    std::unique_ptr<IpsecInspector> inspector;
    std::vector<tunnel::Observation> observations;
    /// Client and the datagram that was held and may leave now.
    std::function<void(std::size_t, Bytes)> released;
    std::size_t heldCount = 0;
    Duration longestHold{0};
    std::size_t refusedBindings = 0;
    std::array<std::uint64_t, kDropReasonCount> drops{};

    struct Session {
        std::size_t client = 0;
        PortlessBinding binding;
        Instant last;
        bool watch = false;
    };
    /// By direction and SPI; outbound by client too, since servers choose those.
    std::map<std::tuple<Direction, std::uint32_t, std::size_t>, Session> sessions;

    Flow flowOf(std::size_t client, std::uint16_t remotePort = 500) const
    {
        Flow flow;
        flow.id = 1000 + client * 10 + (remotePort == 4500 ? 1 : 0);
        flow.internal = {clientAddress(client), net::Port{remotePort}};
        flow.external = {kExternal, externalPort(client, remotePort)};
        flow.remote = {kServer, net::Port{remotePort}};
        return flow;
    }
    static net::Port externalPort(std::size_t client, std::uint16_t remotePort)
    {
        if (client == 0) return net::Port{remotePort};
        return net::Port{static_cast<std::uint16_t>(20000 + client * 10 + remotePort % 7)};
    }

    /// Whether the datagram travels on at once.
    bool udp(Instant now, std::size_t client, Direction direction, const Bytes& payload,
             std::uint16_t remotePort = 500)
    {
        const Flow flow = flowOf(client, remotePort);
        Segment segment;
        segment.direction = direction;
        segment.payload = payload;
        segment.packet = payload;
        actions.clear();
        if (m_flows.insert(flow.id).second) {
            if (inspector->consider(now, flow, segment) != Inspector::Claim::Claimed) return true;
        }
        attention = inspector->inspect(now, flow, segment, actions);
        if (attention.fate == Attention::Fate::Hold) {
            heldUdp[attention.holdToken] = {client, payload, now};
            ++heldCount;
        }
        perform(now, client);
        return attention.fate == Attention::Fate::Pass;
    }

    bool espOutbound(Instant now, std::size_t client, const Bytes& payload)
    {
        const std::uint32_t spi = wire::load32(payload, 0);
        const auto known = sessions.find({Direction::Outbound, spi, client});
        PortlessPacket packet = portless(payload);
        packet.internal = clientAddress(client);
        actions.clear();
        if (known != sessions.end()) {
            known->second.last = now;
            if (!known->second.watch) return true;
            const Attention seen =
                inspector->inspectPortless(now, Direction::Outbound, packet, actions);
            known->second.watch = seen.next == Attention::Next::Watch;
            perform(now, client);
            return true;
        }
        const auto decision = inspector->decide(now, Direction::Outbound, packet, actions);
        perform(now, client);
        if (decision.kind == PortlessDecision::Kind::Drop) count(decision.reason);
        return decision.kind == PortlessDecision::Kind::Deliver;
    }

    enum class Way : std::uint8_t { Dropped, One, Copies };
    struct Delivery {
        Way way = Way::Dropped;
        std::vector<std::size_t> clients;
        DropReason reason = DropReason::EspNoOwner;
    };
    Delivery espInbound(Instant now, const Bytes& payload)
    {
        const std::uint32_t spi = wire::load32(payload, 0);
        PortlessPacket packet = portless(payload);
        actions.clear();
        const auto known = sessions.find({Direction::Inbound, spi, 0});
        if (known != sessions.end()) {
            Session& session = known->second;
            session.last = now;
            const std::size_t client = session.client;
            if (session.watch) {
                packet.internal = clientAddress(client);
                const Attention seen =
                    inspector->inspectPortless(now, Direction::Inbound, packet, actions);
                session.watch = seen.next == Attention::Next::Watch;
                perform(now, client);
                // Moved meanwhile: the packet is nobody's for the moment.
                if (!sessions.contains({Direction::Inbound, spi, 0}))
                    return decideInbound(now, packet);
            }
            return {Way::One, {client}, {}};
        }
        return decideInbound(now, packet);
    }
    Delivery decideInbound(Instant now, PortlessPacket packet)
    {
        packet.internal = {};
        actions.clear();
        const auto decision = inspector->decide(now, Direction::Inbound, packet, actions);
        perform(now);
        Delivery delivery;
        if (decision.kind == PortlessDecision::Kind::Drop) {
            count(decision.reason);
            delivery.reason = decision.reason;
            return delivery;
        }
        delivery.way = decision.kind == PortlessDecision::Kind::Deliver ? Way::One : Way::Copies;
        for (std::size_t i = 0; i < decision.recipientCount; ++i) {
            delivery.clients.push_back(indexOf(decision.recipients[i]));
        }
        return delivery;
    }

    void timeout(Instant now)
    {
        actions.clear();
        inspector->handleTimeout(now, actions);
        perform(now);
    }

    /// Sessions that have been idle too long end.
    void expire(Instant now)
    {
        for (auto it = sessions.begin(); it != sessions.end();) {
            const Duration idle =
                it->second.binding.idle == Duration{0} ? Duration{1h} : it->second.binding.idle;
            if (now - it->second.last < idle) {
                ++it;
                continue;
            }
            const PortlessBinding ended = it->second.binding;
            it = sessions.erase(it);
            Actions after;
            inspector->bindingClosed(now, ended, FlowEnd::Expired, after);
            std::swap(actions, after);
            perform(now, indexOf(ended.client));
        }
    }

    [[nodiscard]] std::optional<std::size_t> ownerOf(std::uint32_t inboundSpi) const
    {
        const auto known = sessions.find({Direction::Inbound, inboundSpi, 0});
        if (known == sessions.end()) return std::nullopt;
        return known->second.client;
    }

    Actions actions;
    Attention attention;

    static std::size_t indexOf(net::Ipv4Address client)
    {
        return (client.hostOrder() & 0xffU) - 10;
    }

private:
    struct HeldUdp {
        std::size_t client = 0;
        Bytes payload;
        Instant since;
    };
    static PortlessPacket portless(const Bytes& payload)
    {
        PortlessPacket packet;
        packet.protocol = net::IpProtocol::Esp;
        packet.external = kExternal;
        packet.remote = kServer;
        packet.payload = payload;
        packet.packet = payload;
        return packet;
    }
    void count(DropReason reason) { ++drops[static_cast<std::size_t>(reason)]; }

    void perform(Instant now, std::optional<std::size_t> shown = std::nullopt)
    {
        // Performing may bring up further actions (a session's end).
        const Actions todo = actions;
        for (const PortlessUnbinding& wish : todo.unbindings) {
            const std::size_t client = indexOf(wish.client);
            const auto known = sessions.find(
                {wish.outbound ? Direction::Outbound : Direction::Inbound,
                 wish.outbound ? wish.outbound->id : wish.inbound->id, wish.outbound ? client : 0});
            if (known == sessions.end() || known->second.client != client) continue;
            const PortlessBinding ended = known->second.binding;
            sessions.erase(known);
            actions.clear();
            inspector->bindingClosed(now, ended, FlowEnd::Closed, actions);
            perform(now, client);
        }
        for (const PortlessBinding& wish : todo.bindings) {
            const std::size_t client = indexOf(wish.client);
            const bool sound = wish.protocol == net::IpProtocol::Esp && wish.server == kServer &&
                               wish.external == kExternal && client < 32 &&
                               wish.outbound.has_value() != wish.inbound.has_value();
            // A NAT does nothing for another client than the one whose packet it has shown.
            if (shown && *shown != client) continue;
            const auto direction = wish.outbound ? Direction::Outbound : Direction::Inbound;
            if (!sound) {
                ++refusedBindings;
                continue;
            }
            const auto key =
                std::tuple{direction, wish.outbound ? wish.outbound->id : wish.inbound->id,
                           wish.outbound ? client : 0};
            const auto known = sessions.find(key);
            if (known != sessions.end() && known->second.client != client) {
                ++refusedBindings;  // somebody else's
                continue;
            }
            Session& session = sessions[key];
            if (known == sessions.end()) session.last = now;
            session.client = client;
            session.binding = wish;
            session.watch = wish.watch;
        }
        for (const auto& observation : todo.observations)
            observations.push_back(observation);
        for (const std::uint32_t token : todo.discards)
            heldUdp.erase(token);
        for (const std::uint32_t token : todo.releases) {
            const auto held = heldUdp.find(token);
            if (held == heldUdp.end()) continue;
            const HeldUdp packet = held->second;
            heldUdp.erase(held);
            longestHold = std::max(longestHold, now - packet.since);
            if (released) released(packet.client, packet.payload);
        }
    }

    const policy::PassthroughPolicy& m_policy;
    std::map<std::uint32_t, HeldUdp> heldUdp;
    std::set<FlowId> m_flows;
};

}  // namespace ipsecworld
