#include "engine/passthrough/l2tp_state.h"

#include <algorithm>

/// Data messages: whose they are, and the PPP in them.
namespace engine::passthrough {

using namespace l2tp;
using net::Direction;
using tunnel::EventKind;
using tunnel::FindingKind;
using tunnel::Phase;

TunnelState* L2tpInspector::State::ownerOfSession(net::Ipv4Address external,
                                                  net::Ipv4Address server,
                                                  std::uint32_t sessionId) const
{
    TunnelState* owner = nullptr;
    for (auto it = strays.lower_bound({external, server, 0});
         it != strays.end() && it->first.external == external && it->first.server == server; ++it) {
        TunnelState* const tunnel = it->second;
        if (tunnel->version != 3 ||
            std::ranges::find(tunnel->sessions, sessionId, &Session::clientId) ==
                tunnel->sessions.end()) {
            continue;
        }
        if (owner != nullptr) return nullptr;
        owner = tunnel;
    }
    return owner;
}

Attention L2tpInspector::State::data(Instant now, Link& link, Direction direction,
                                     wire::ConstBytes payload, wire::ConstBytes packet,
                                     Actions& actions)
{
    if (isVersion3Data(payload)) {
        if (direction == Direction::Outbound || link.flow.external.port.hostOrder() != kPort) {
            return kPass;
        }
        const std::uint32_t session = wire::load32(payload, 4);
        const bool isOwn = std::ranges::any_of(link.tunnels, [&](const auto& tunnel) {
            return std::ranges::find(tunnel->sessions, session, &Session::clientId) !=
                   tunnel->sessions.end();
        });
        const TunnelState* const theirs =
            isOwn ? nullptr
                  : ownerOfSession(link.flow.external.address, link.flow.remote.address, session);
        Attention attention = kPass;
        if (theirs != nullptr) attention.redirect = links.at(theirs->flow)->flow.id;
        return attention;
    }
    if (payload.empty() || (payload.size() > 1 && (payload[1] & 15U) != 2)) return kPass;
    const auto parsed = DataHeader::parse(payload);
    if (!parsed) return drop(DropReason::MalformedL2tp);
    const DataHeader& header = *parsed;
    TunnelState* const tunnel = find(link, direction, header.tunnelId);
    if (tunnel == nullptr) {
        if (direction == Direction::Inbound && link.flow.external.port.hostOrder() == kPort) {
            const auto stray = strays.find(
                {link.flow.external.address, link.flow.remote.address, header.tunnelId});
            if (stray != strays.end()) {
                Link& theirs = *links.at(stray->second->flow);
                Attention attention = data(now, theirs, direction, payload, packet, actions);
                attention.redirect = theirs.flow.id;
                return attention;
            }
        }
        return kPass;
    }
    if (direction == Direction::Inbound && tunnel->rewritten()) {
        actions.edits.push_back(
            edit16(header.tunnelIdAt, static_cast<std::uint16_t>(tunnel->insideId)));
    }
    if (tunnel->over) return kPass;
    for (Session& session : tunnel->sessions) {
        const std::uint32_t receiver =
            direction == Direction::Inbound ? session.clientId : session.serverId;
        if (receiver != header.sessionId) continue;
        const auto news = session.ppp.observe(now, direction, header.payload);
        const Observing observing(actions, tunnel->key);
        if (news.phase) observing.phase(*news.phase);
        observing.inside(news, direction);
        if (news.authenticationError) {
            observing.event(EventKind::AuthenticationFailed, tunnel->laneOf(direction),
                            tunnel->laneOf(net::opposite(direction)), *news.authenticationError);
            observing.finding(FindingKind::AuthenticationRefused, *news.authenticationError, 0,
                              packet.first(std::min(packet.size(), kProof)));
        }
        if (news.weakBits) {
            observing.finding(FindingKind::WeakCrypto, *news.weakBits, 0,
                              packet.first(std::min(packet.size(), kProof)));
        }
        // A server of ours inside may well give out addresses of its own network.
        if (news.innerAddress && tunnel->initiator == Direction::Outbound) {
            observing.sameSubnet(lan, *news.innerAddress, packet);
        }
        if (news.terminating) observing.phase(Phase::Closing);
        break;
    }
    return kPass;
}

}  // namespace engine::passthrough
