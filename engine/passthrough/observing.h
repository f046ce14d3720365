#pragma once

#include "engine/net/prefix.h"
#include "engine/passthrough/flow.h"
#include "engine/passthrough/ppp_observer.h"
#include "engine/tunnel/observation.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

namespace engine::passthrough {

/// Writes observations about one tunnel into Actions; short words for what inspectors say often.
class Observing {
public:
    Observing(Actions& actions, const tunnel::TunnelKey& key) : m_actions(actions), m_key(key) {}

    tunnel::Observation& add(tunnel::Observation::Kind kind) const
    {
        tunnel::Observation observation;
        observation.key = m_key;
        observation.kind = kind;
        m_actions.observations.push_back(std::move(observation));
        return m_actions.observations.back();
    }
    void phase(tunnel::Phase phase) const { add(tunnel::Observation::Kind::Phase).phase = phase; }
    void event(tunnel::EventKind kind, tunnel::Lane from, tunnel::Lane to, std::uint32_t a = 0,
               std::uint32_t b = 0) const
    {
        tunnel::Observation& observation = add(tunnel::Observation::Kind::Event);
        observation.event = kind;
        observation.from = from;
        observation.to = to;
        observation.a = a;
        observation.b = b;
    }
    void passage(tunnel::PassageKind kind, std::uint32_t internalId, std::uint32_t externalId) const
    {
        add(tunnel::Observation::Kind::Passage).passage = {kind, internalId, externalId};
    }
    void finding(tunnel::FindingKind kind, std::uint32_t a = 0, std::uint32_t b = 0,
                 wire::ConstBytes packet = {}) const
    {
        tunnel::Observation& observation = add(tunnel::Observation::Kind::Finding);
        observation.finding = kind;
        observation.a = a;
        observation.b = b;
        observation.packet.assign(packet.begin(), packet.end());
    }
    /// An address inside the tunnel that lies in `lan`, our own network: nobody behind the tunnel
    /// can be reached by such an address, since every device looks for it beside itself.
    void sameSubnet(const net::Prefix& lan, net::Ipv4Address inner, wire::ConstBytes packet) const
    {
        constexpr std::size_t kHeaders = 40;
        if (lan.length() == 0 || !lan.contains(inner)) return;
        finding(tunnel::FindingKind::SameSubnet, inner.hostOrder(), lan.length(),
                packet.first(std::min(packet.size(), kHeaders)));
    }
    void roundTrip(Duration duration) const
    {
        add(tunnel::Observation::Kind::RoundTrip).duration = duration;
    }
    /// What the PPP inside has shown, as far as it is the same for everything that carries PPP.
    void inside(const PppObserver::News& news, net::Direction direction) const
    {
        if (news.roundTrip) roundTrip(*news.roundTrip);
        if (news.mtu) add(tunnel::Observation::Kind::InnerMtu).a = *news.mtu;
        // What the other side acknowledges is the address of the device on our side.
        if (news.innerAddress && direction == net::Direction::Inbound) {
            add(tunnel::Observation::Kind::InnerAddress).a = news.innerAddress->hostOrder();
        }
    }
    void text(tunnel::Observation::Kind kind, wire::ConstBytes octets) const
    {
        constexpr std::size_t kLongest = 64;
        std::string text;
        for (const std::uint8_t octet : octets) {
            if (octet == 0 || text.size() == kLongest) break;
            text += static_cast<char>(octet);
        }
        if (!text.empty()) add(kind).text = std::move(text);
    }
    void ended(tunnel::Phase phase, tunnel::EventKind cause, std::uint32_t code = 0) const
    {
        tunnel::Observation& observation = add(tunnel::Observation::Kind::Ended);
        observation.phase = phase;
        observation.event = cause;
        observation.a = code;
    }

private:
    Actions& m_actions;
    tunnel::TunnelKey m_key;
};

/// How a tunnel ends when its control session does.
struct TunnelEnding {
    tunnel::Phase phase = tunnel::Phase::Closed;
    tunnel::EventKind cause = tunnel::EventKind::PeerClosed;
};
[[nodiscard]] constexpr TunnelEnding endingOf(FlowEnd end)
{
    switch (end) {
    case FlowEnd::Expired: return {tunnel::Phase::Dead, tunnel::EventKind::TimedOut};
    case FlowEnd::Closed: return {tunnel::Phase::Closed, tunnel::EventKind::PeerClosed};
    case FlowEnd::Reset: return {tunnel::Phase::Closed, tunnel::EventKind::ResetBy};
    case FlowEnd::Admin: return {tunnel::Phase::Closed, tunnel::EventKind::DroppedBySwitch};
    case FlowEnd::Evicted: return {tunnel::Phase::Dead, tunnel::EventKind::TimedOut};
    case FlowEnd::AddressLost:
        return {tunnel::Phase::Closed, tunnel::EventKind::ExternalAddressChanged};
    }
    return {};
}

}  // namespace engine::passthrough
