#include "engine/passthrough/pptp_state.h"

namespace engine::passthrough {

using namespace pptp;
using net::Direction;
using tunnel::Confidence;
using tunnel::EventKind;
using tunnel::FindingKind;
using tunnel::Lane;
using tunnel::Observation;
using tunnel::Phase;
using tunnel::TunnelKey;

GreWindow::Strictness PptpInspector::State::noteMiss(Instant now, net::Ipv4Address server,
                                                     std::uint32_t count)
{
    const auto found = servers.find(server.hostOrder());
    if (found == servers.end()) return GreWindow::Strictness::Normal;
    ServerRecord& record = found->second;
    if (now - record.since > kMissPeriod) {
        record.since = now;
        record.misses = 0;
    }
    record.misses += count;
    return record.misses > kMissesTolerated ? GreWindow::Strictness::Strict
                                            : GreWindow::Strictness::Normal;
}

void PptpInspector::State::tellPpp(const PppObserver::News& news, Direction direction,
                                   const TunnelKey& key, wire::ConstBytes packet, Call* call,
                                   Actions& actions) const
{
    const Observing tunnel(actions, key);
    const bool outbound = direction == Direction::Outbound;
    const Lane from = outbound ? Lane::Client : Lane::Server;
    const Lane to = outbound ? Lane::Server : Lane::Client;
    if (news.phase) {
        tunnel.phase(*news.phase);
        if (call != nullptr) call->phase = *news.phase;
    }
    tunnel.inside(news, direction);
    if (news.authenticationError) {
        tunnel.event(EventKind::AuthenticationFailed, from, to, *news.authenticationError);
        // The proof is the header only: what follows may hold a challenge.
        tunnel.finding(FindingKind::AuthenticationRefused, *news.authenticationError, 0,
                       packet.first(std::min<std::size_t>(packet.size(), kProof)));
    }
    if (news.weakBits) {
        tunnel.finding(FindingKind::WeakCrypto, *news.weakBits, 0,
                       packet.first(std::min(packet.size(), kProof)));
    }
    // A server of ours inside may well give out addresses of its own network.
    if (news.innerAddress && (call == nullptr || call->isOfClientInside())) {
        tunnel.sameSubnet(lan, *news.innerAddress, packet);
    }
    if (news.terminating) tunnel.phase(Phase::Closing);
}

void PptpInspector::State::noteTraffic(Instant now, Direction direction,
                                       const PortlessPacket& packet, std::uint16_t callId,
                                       Call& call, Actions& actions)
{
    const auto way = static_cast<std::size_t>(direction);
    const bool outbound = direction == Direction::Outbound;
    const Observing tunnel(actions, call.key);
    if (call.packets[way]++ == 0) {
        call.first[way] = now;
        tunnel.event(outbound ? EventKind::DataFirstOutbound : EventKind::DataFirstInbound,
                     outbound ? Lane::Client : Lane::Server, Lane::Router, callId);
        if (outbound) {
            call.proof.assign(packet.packet.begin(),
                              packet.packet.begin() + static_cast<std::ptrdiff_t>(
                                                          std::min(packet.packet.size(), kProof)));
        }
    }
    call.last[way] = now;
    if (outbound) {
        ++call.unanswered;
        call.unrequited = 0;
    } else {
        ++call.unrequited;
        call.unanswered = 0;
    }
    if (call.degraded && call.packets[0] > 0 && call.packets[1] > 0 &&
        call.last[0] - call.last[1] < kOneWayTimeout &&
        call.last[1] - call.last[0] < kOneWayTimeout) {
        call.degraded = false;
        tunnel.event(EventKind::Resumed, Lane::Router, Lane::Router);
        tunnel.phase(call.phase);
    }
}

Attention PptpInspector::State::inspectCall(Instant now, Direction direction,
                                            const PortlessPacket& packet, const GreHeader& header,
                                            Call& call, Actions& actions)
{
    if (!isFragment(packet.packet) && header.payloadLength > header.payload.size()) {
        return drop(DropReason::MalformedGre);
    }
    if (direction == Direction::Outbound) {
        call.window.noteOutbound(now, header);
    } else {
        const auto strictness = noteMiss(now, packet.remote, 0);
        if (!call.window.admitInbound(header, strictness)) {
            noteMiss(now, packet.remote, 1);
            return drop(DropReason::GreOutOfWindow);
        }
        const auto roundTrip = call.window.roundTrip(now, header);
        const bool isDelayed =
            roundTrip && call.promptRoundTrip && *roundTrip > *call.promptRoundTrip;
        if (roundTrip && !isDelayed &&
            (call.roundTripTold == Instant{} || now - call.roundTripTold >= kRoundTripEvery)) {
            call.roundTripTold = now;
            Observing(actions, call.key).roundTrip(*roundTrip);
        }
    }
    noteTraffic(now, direction, packet, header.callId, call, actions);
    if (header.sequence) {
        const std::size_t length =
            std::min<std::size_t>(header.payloadLength, header.payload.size());
        const auto news = call.ppp.observe(now, direction, header.payload.first(length));
        if (news.roundTrip) call.promptRoundTrip = news.roundTrip;
        tellPpp(news, direction, call.key, packet.packet, &call, actions);
    }
    return kPass;
}

const Control* PptpInspector::State::controlOf(net::Ipv4Address client,
                                               net::Ipv4Address server) const
{
    const Control* best = nullptr;
    for (const auto& [id, control] : controls) {
        if (control->flow.internal.address != client || control->flow.remote.address != server) {
            continue;
        }
        if (best == nullptr || control->flow.id > best->flow.id) best = control.get();
    }
    return best;
}

PortlessDecision PptpInspector::State::decidePlain(Instant now, Direction direction,
                                                   const PortlessPacket& packet,
                                                   const GreHeader& header, Actions& actions)
{
    const CallIdKey place{packet.external, packet.remote, 0};
    auto found = plain.find(place);
    if (direction == Direction::Inbound && found == plain.end()) {
        return refuse(DropReason::GreNoCall);
    }
    if (direction == Direction::Outbound) {
        const Control* control = controlOf(packet.internal, packet.remote);
        TunnelKey key{packet.internal, packet.remote, sipHash(seed, 0x475245, 0)};
        if (control != nullptr) key = control->key;
        if (found != plain.end() && found->second.client != packet.internal) {
            const Observing tunnel(actions, key);
            if (control != nullptr) {
                tunnel.finding(FindingKind::HelperOff, 0, 0,
                               packet.packet.first(std::min(packet.packet.size(), kProof)));
            }
            return refuse(DropReason::OneClientPerServer);
        }
        if (found == plain.end()) {
            if (plain.size() >= kMostPlain) return refuse(DropReason::HelperBudget);
            found = plain.emplace(place, PlainPath{packet.internal, key, 0, {}}).first;
            if (control == nullptr) {
                Observation& label = Observing(actions, key).add(Observation::Kind::Label);
                label.protocol = net::VpnProtocol::Pptp;
                label.confidence = Confidence::Likely;
                label.server = {packet.remote, net::Port{}};
                label.external = {packet.external, net::Port{}};
                label.transport = net::IpProtocol::Gre;
            }
            Observing(actions, key).passage(tunnel::PassageKind::OnlyClient, 0, 0);
        }
    }
    PlainPath& path = found->second;
    PortlessBinding binding;
    binding.protocol = net::IpProtocol::Gre;
    binding.client = path.client;
    binding.external = packet.external;
    binding.server = packet.remote;
    const Discriminator call{Discriminator::Variant::GreCall, header.callId};
    (direction == Direction::Outbound ? binding.outbound : binding.inbound) = call;
    binding.watch = true;
    binding.key = path.key;
    binding.sequence = tunnel::SequenceKind::GreV1;
    actions.bindings.push_back(binding);
    ++path.bindings;
    wake(now);
    return deliverTo(path.client);
}

}  // namespace engine::passthrough
