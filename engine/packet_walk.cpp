#include "engine/engine_state.h"

#include <algorithm>
#include <cassert>

/// How a packet travels. Read Engine::State::walk() first: the rest follows in its order.
namespace engine {

using nat::SessionKey;
namespace sf = nat::session_flag;
namespace df = nat::detail_flag;
using net::Direction;
using net::IpProtocol;

namespace {

/// Loose or strict source routing (RFC 791 §3.1): somebody else would choose the way behind us.
/// Reading stops at the first option that contradicts the header's length.
bool asksForSourceRoute(wire::ConstBytes options)
{
    constexpr std::uint8_t kEnd = 0;
    constexpr std::uint8_t kNoOperation = 1;
    constexpr std::uint8_t kLoose = 131;
    constexpr std::uint8_t kStrict = 137;
    std::size_t at = 0;
    while (at < options.size() && options[at] != kEnd) {
        if (options[at] == kLoose || options[at] == kStrict) return true;
        if (options[at] == kNoOperation) {
            ++at;
            continue;
        }
        if (at + 1 >= options.size() || options[at + 1] < 2) return false;
        at += options[at + 1];
    }
    return false;
}

}  // namespace

Verdict Engine::State::walk(Instant now, PortId ingress, wire::Packet& packet, Output& output,
                            bool inspect, const Ahead* ahead)
{
    const auto ip = wire::Ipv4View::parse(packet.bytes);
    if (!ip) {
        ++counters.drops[static_cast<std::size_t>(DropReason::MalformedIp)];
        return Verdict::drop(DropReason::MalformedIp);
    }
    Walk step{.now = now,
              .packet = packet,
              .ip = *ip,
              .output = output,
              .ingress = ingress,
              .inspect = inspect,
              .ahead = ahead};
    packet.bytes = ip->bytes();
    if (!ip->hasValidChecksum()) return drop(step, DropReason::BadIpChecksum);
    if (ip->headerLength() > wire::Ipv4View::kMinimumHeader && asksForSourceRoute(ip->options())) {
        return drop(step, DropReason::IpOptions);
    }
    if (parked) return whileParked(step);
    if (ip->isFragment()) return fragment(step);
    return ingress == PortId::Internal ? outbound(step) : inbound(step);
}

Verdict Engine::State::whileParked(Walk& walk)
{
    const net::Ipv4Address destination = walk.ip.destination();
    if (walk.ingress == PortId::External || destination.hostOrder() >= 0xe0000000U ||
        config.internal.prefix.contains(destination)) {
        ++counters.consumed;
        return {Verdict::Kind::ToHost};
    }
    // An address that is only changing is worth trying again in a moment.
    if (!config.external.addresses.empty()) return drop(walk, DropReason::ExternalDown);
    return refuse(walk, DropReason::ExternalDown);
}

Verdict Engine::State::outbound(Walk& walk)
{
    return net::isPortless(walk.ip.protocol()) ? portless(walk, Direction::Outbound)
                                               : transport(walk, Direction::Outbound);
}

Verdict Engine::State::inbound(Walk& walk)
{
    const bool transported = !net::isPortless(walk.ip.protocol());
    if (!isExternal(walk.ip.destination())) {
        // A neighbour outside must not reach inside by sending to our MAC address, except to answer
        // a session that is not translated.
        if (config.internal.prefix.contains(walk.ip.destination())) {
            return transported && !config.nat.untranslated.empty()
                       ? transport(walk, Direction::Inbound)
                       : drop(walk, DropReason::NotForUs);
        }
        ++counters.consumed;
        return {Verdict::Kind::ToHost};
    }
    return transported ? transport(walk, Direction::Inbound) : portless(walk, Direction::Inbound);
}

Verdict Engine::State::transport(Walk& walk, Direction direction)
{
    const wire::MutableBytes bytes = walk.ip.payload();
    const bool outward = direction == Direction::Outbound;
    const net::Ipv4Address ours = outward ? walk.ip.source() : walk.ip.destination();
    const net::Ipv4Address remote = outward ? walk.ip.destination() : walk.ip.source();
    const IpProtocol protocol = walk.ip.protocol();
    net::Port ourPort;
    net::Port remotePort;
    std::uint32_t id = 0;
    if (protocol == IpProtocol::Icmp) {
        const auto icmp = wire::IcmpView::parse(bytes);
        if (!icmp) return drop(walk, DropReason::MalformedIcmp);
        if (!icmp->isQuery()) return icmpError(walk, direction);
        if (!outward && icmp->isQueryRequest()) {
            // A ping to the external address is the host's, unless a device owns the address.
            const auto slot = slotOf(ours);
            if (!slot) return drop(walk, DropReason::NotForUs);
            if (!walk.hairpin && slots[*slot].oneToOne.isUnspecified()) {
                if (!answersPing(walk)) return drop(walk, DropReason::PingNotAnswered);
                ++counters.consumed;
                return {Verdict::Kind::ToHost};
            }
        }
        ourPort = icmp->identifier();
        id = nat::portsId(ourPort, remotePort);
    } else {
        if (bytes.size() < (protocol == IpProtocol::Udp ? 8U : 20U)) {
            return drop(walk, walk.ip.isFragment() ? DropReason::FragmentTiny
                                                   : DropReason::MalformedTransport);
        }
        ourPort = net::Port{wire::load16(bytes, outward ? 0 : 2)};
        remotePort = net::Port{wire::load16(bytes, outward ? 2 : 0)};
        id = nat::portsId(ourPort, remotePort);
    }
    const SessionKey key = SessionKey::make(direction, protocol, 0, ours, remote, id);
    if (walk.ahead != nullptr && walk.ahead->key != key) walk.ahead = nullptr;
    if (walk.ahead == nullptr || !sessions.isStillAbsent(walk.ahead->session)) {
        const std::uint32_t hash = walk.ahead != nullptr ? walk.ahead->hash : sessions.hashOf(key);
        const auto found = findLive(walk.now, key, hash, walk.output);
        if (found) return translate(walk, *found, direction);
    }
    const net::Endpoint here{ours, ourPort};
    const net::Endpoint there{remote, remotePort};
    return outward ? missOutbound(walk, here, there) : missInbound(walk, here, there);
}

nat::MaybeIndex Engine::State::findLive(Instant now, const SessionKey& key, std::uint32_t hash,
                                        Output& output)
{
    const nat::SessionRef found = sessions.find(key, hash);
    if (found.isNone()) return std::nullopt;
    if (now - sessions[found.index].lastPacket < shortestIdle) return found.index;
    if (expired(now, found.index)) {
        close(now, found.index, passthrough::FlowEnd::Expired, output);
        return std::nullopt;
    }
    if (endIfLost(now, found.index, output)) return std::nullopt;
    return found.index;
}

Verdict Engine::State::translate(Walk& walk, std::uint32_t index, Direction direction)
{
    nat::Session& session = sessions[index];
    walk.session = index;
    const bool outward = direction == Direction::Outbound;
    if (const auto verdict = expires(walk)) return *verdict;
    bool refresh = outward || (config.nat.inboundRefresh && session.has(sf::kOutboundSeen));
    bool plausible = true;  // not made up by somebody who only knows the endpoints
    const wire::Extent extent =
        walk.ip.isFragment() ? wire::Extent::Beginning : wire::Extent::Whole;
    switch (session.protocol) {
    case IpProtocol::Tcp: {
        const auto tcp = wire::TcpView::parse(walk.ip.payload());
        if (!tcp) return drop(walk, DropReason::MalformedTransport);
        const nat::TcpEvent event = nat::tcpEventOf(direction, tcp->flags());
        const bool shifted = isShifted(index);
        if (shifted) {
            wire::TcpView view = *tcp;
            if (const auto verdict = meetShifted(walk, index, direction, view)) return *verdict;
        }
        if (event == nat::TcpEvent::InboundSyn && repeatsTooOften(index)) {
            return drop(walk, DropReason::UnsolicitedSyn);
        }
        if (nat::reopens(session.tcpState, event)) {
            session.window = {};
            if (shifted) synProxy[shiftOf(index)].forgetScales();
        }
        switch (session.window.observe(direction, *tcp, extent)) {
        case nat::WindowVerdict::OutOfWindow: return drop(walk, DropReason::TcpOutOfWindow);
        case nat::WindowVerdict::InexactReset: return drop(walk, DropReason::TcpInexactReset);
        case nat::WindowVerdict::Challenge: refresh = plausible = false; break;
        case nat::WindowVerdict::Reopened:
            if (shifted) synProxy[shiftOf(index)].forgetScales();
            [[fallthrough]];
        case nat::WindowVerdict::Ok: {
            const bool reopened = session.tcpState != nat::TcpState::Established &&
                                  nat::next(session.tcpState, event) == nat::TcpState::Established;
            const nat::TcpState after = nat::next(session.tcpState, event);
            plausible = event != nat::TcpEvent::Reset && event != nat::TcpEvent::InboundSyn &&
                        after != nat::TcpState::InboundInit;
            // A reset that changes nothing keeps nothing alive (RFC 7857 §7.1).
            refresh = event != nat::TcpEvent::Reset;
            if (after != session.tcpState || reopened) {
                session.tcpState = after;
                session.lastPacket = walk.now;
                sessions.arm(index, walk.now + idleOf(index));
            }
            break;
        }
        }
        if (session.has(sf::kAttention)) {
            if (const auto verdict =
                    attend(walk, index, direction, tcp->payload(), tcp->sequence(), tcp->flags())) {
                return *verdict;
            }
        }
        if (config.nat.clampMss && tcp->has(wire::tcp_flag::kSyn)) {
            const std::uint16_t mtu = std::min(config.internal.mtu, config.external.mtu);
            wire::TcpView view = *tcp;
            if (mtu > 40) {
                view.clampMaximumSegmentSize(static_cast<std::uint16_t>(mtu - 40),
                                             walk.packet.checksum);
            }
        }
        break;
    }
    case IpProtocol::Udp: {
        const auto udp = wire::UdpView::parse(walk.ip.payload(), extent);
        if (!udp && walk.packet.segmentPayload == 0) {
            return drop(walk, DropReason::MalformedTransport);
        }
        if (session.has(sf::kAttention) && udp) {
            if (const auto verdict = attend(walk, index, direction, udp->payload(), 0, 0)) {
                return *verdict;
            }
        }
        break;
    }
    case IpProtocol::Icmp:
    case IpProtocol::IpIp:
    case IpProtocol::Dccp:
    case IpProtocol::SixInFour:
    case IpProtocol::Gre:
    case IpProtocol::Esp:
    case IpProtocol::Ah:
    case IpProtocol::EtherIp:
    case IpProtocol::IpComp:
    case IpProtocol::L2tpV3:
    case IpProtocol::Sctp:
    case IpProtocol::UdpLite: break;
    }
    if (refresh) session.lastPacket = walk.now;
    if (!session.has(sf::kAnswered)) {
        if (outward != session.has(sf::kOutboundFirst)) {
            session.flags |= sf::kAnswered;
            if (!outward) endProbation(index);
        }
    } else if (!outward && plausible && session.has(sf::kAttention) &&
               !session.has(sf::kOutboundFirst)) {
        // Whoever began outside speaks again after an answer, so it is there.
        endProbation(index);
    }
    if (outward && !session.has(sf::kOutboundSeen)) {
        session.flags |= sf::kOutboundSeen;
        // A device that answers holds its mapping by itself from now on.
        nat::SessionDetail& rest = sessions.detail(index);
        if (rest.mapping != nat::FlatIndex::kNone && !rest.has(df::kHoldsMapping)) {
            rest.flags |= df::kHoldsMapping;
            ++mappings[rest.mapping].holders;
        }
    }
    if (outward && session.protocol == IpProtocol::Tcp && isShifted(index)) {
        if (const auto verdict = leaveShifted(walk, index)) return *verdict;
    }
    return emit(walk, index, direction);
}

/// Whether a caller whom nobody has proved real has sent its SYN more often than callers do.
bool Engine::State::repeatsTooOften(std::uint32_t index) const
{
    const nat::Session& session = sessions[index];
    return session.has(sf::kAttention) && !session.has(sf::kOutboundFirst) &&
           session.packetsIn >= kSynsPerAttempt && config.nat.synProxy &&
           sessions.detail(index).has(df::kHandshake);
}

Verdict Engine::State::emit(Walk& walk, std::uint32_t index, Direction direction)
{
    nat::Session& session = sessions[index];
    const bool outward = direction == Direction::Outbound;
    const bool loops = outward && session.has(sf::kHairpin);
    const PortId egress = outward && !loops ? PortId::External : PortId::Internal;
    if (const auto verdict = tooBig(walk, egress)) return *verdict;
    if (outward && session.packetsOut == 0) {
        const std::uint32_t mapping = sessions.detail(index).mapping;
        if (mapping != nat::FlatIndex::kNone) mappings[mapping].opened = 1;
    }
    const auto total = static_cast<std::uint32_t>(walk.ip.totalLength());
    std::uint32_t count = 1;
    if (walk.packet.segmentPayload != 0) {
        count = std::max(1U, (total + walk.packet.segmentPayload - 1) / walk.packet.segmentPayload);
    }
    if (session.has(sf::kAttached)) {
        const std::size_t header = session.protocol == IpProtocol::Udp   ? 8U
                                   : session.protocol == IpProtocol::Tcp ? 20U
                                                                         : 0U;
        const wire::MutableBytes bytes = walk.ip.payload();
        tunnels.count(attachmentOf(index), walk.now,
                      {.direction = direction,
                       .payload = bytes.subspan(std::min(header, bytes.size())),
                       .bytes = total,
                       .packets = count,
                       .segmentPayload = walk.packet.segmentPayload,
                       .packet = walk.ip.bytes()});
    }
    rewrite(walk, index, direction);
    if (outward) renumber(walk.ip, count);
    if (!walk.hairpin) walk.ip.decrementTtl();
    tally(index, direction, total, count, loops || walk.hairpin);
    if (!loops) return Verdict::forward(egress);
    // Its second half may still be refused.
    const Verdict verdict = hairpin(walk, session.internal);
    if (verdict.kind == Verdict::Kind::Forward) {
        counters.hairpinned.bytes += total;
        counters.hairpinned.packets += count;
    }
    return verdict;
}

/// RFC 6864 §5.3.1: devices that share an address share its identifications, too. Fragments have
/// got theirs together; those of large offloaded packets are counted on by the card.
void Engine::State::renumber(wire::Ipv4View ip, std::size_t count)
{
    if (ip.dontFragment() || ip.isFragment()) return;
    ip.rewriteIdentification(fragmentIds.next(ip.source(), ip.destination(), ip.protocol(),
                                              static_cast<std::uint16_t>(count)));
}

/// Headers change here, and on shortCut()'s way, and nowhere else for a packet with ports.
void Engine::State::rewrite(Walk& walk, std::uint32_t index, Direction direction)
{
    const nat::Session& session = sessions[index];
    const bool outward = direction == Direction::Outbound;
    net::Endpoint to{sessions.externalOf(session), session.externalPort()};
    if (!outward) to = {session.internal, session.internalPort()};
    if (outward && session.has(sf::kSendAlias))
        to.port = net::Port{static_cast<std::uint16_t>(sessions.detail(index).aliasPort)};
    const wire::ChecksumState state = walk.packet.checksum;
    const wire::MutableBytes bytes = walk.ip.payload();
    switch (session.protocol) {
    case IpProtocol::Tcp: {
        auto tcp = wire::TcpView::parse(bytes);
        assert(tcp);
        if (outward)
            tcp->rewriteSource(walk.ip, to, state);
        else
            tcp->rewriteDestination(walk.ip, to, state);
        break;
    }
    case IpProtocol::Udp: {
        auto udp = wire::UdpView::parse(bytes, wire::Extent::Beginning);
        if (!udp) break;
        if (outward)
            udp->rewriteSource(walk.ip, to, state);
        else
            udp->rewriteDestination(walk.ip, to, state);
        break;
    }
    case IpProtocol::Icmp: {
        auto icmp = wire::IcmpView::parse(bytes);
        assert(icmp);
        icmp->rewriteIdentifier(to.port);
        if (outward)
            walk.ip.rewriteSource(to.address);
        else
            walk.ip.rewriteDestination(to.address);
        break;
    }
    case IpProtocol::IpIp:
    case IpProtocol::Dccp:
    case IpProtocol::SixInFour:
    case IpProtocol::Gre:
    case IpProtocol::Esp:
    case IpProtocol::Ah:
    case IpProtocol::EtherIp:
    case IpProtocol::IpComp:
    case IpProtocol::L2tpV3:
    case IpProtocol::Sctp:
    case IpProtocol::UdpLite:
        if (outward) {
            walk.ip.rewriteSource(to.address);
            break;
        }
        walk.ip.rewriteDestination(to.address);
        if (session.rewrite.active != 0 &&
            session.rewrite.offset + std::size_t{2} <= bytes.size()) {
            wire::store16(bytes, session.rewrite.offset, session.rewrite.value);
        }
        break;
    }
}

/// Somebody looks at this packet before it goes on; a verdict ends the walk.
MaybeVerdict Engine::State::attend(Walk& walk, std::uint32_t index, Direction direction,
                                   wire::ConstBytes payload, std::uint32_t sequence,
                                   std::uint8_t tcpFlags)
{
    nat::SessionDetail& rest = sessions.detail(index);
    if (rest.has(df::kHeld)) return drop(walk, DropReason::HeldBySwitch);
    if (rest.has(df::kBlocked)) return refuse(walk, static_cast<DropReason>(rest.blockedBy));
    if (!rest.has(df::kInspect) || !walk.inspect) return std::nullopt;
    const passthrough::Flow flow = flowOf(index);
    actions.clear();
    const passthrough::Attention attention = passthrough.inspect(walk.now, flow,
                                                                 {.direction = direction,
                                                                  .payload = payload,
                                                                  .sequence = sequence,
                                                                  .tcpFlags = tcpFlags,
                                                                  .packet = walk.ip.bytes()},
                                                                 actions);
    for (const passthrough::Edit& edit : actions.edits) {
        if (std::size_t{edit.offset} + edit.length > payload.size()) continue;
        const wire::ConstBytes octets{edit.bytes.data(), edit.length};
        ++counters.helperEdits;
        if (walk.ip.protocol() == IpProtocol::Tcp) {
            auto tcp = wire::TcpView::parse(walk.ip.payload());
            tcp->rewritePayload(edit.offset, octets, walk.packet.checksum);
        } else {
            auto udp = wire::UdpView::parse(walk.ip.payload(), wire::Extent::Beginning);
            udp->rewritePayload(edit.offset, octets, walk.packet.checksum);
        }
    }
    actions.edits.clear();
    const bool done = attention.next == passthrough::Attention::Next::Ignore;
    if (done) rest.flags = static_cast<std::uint16_t>(rest.flags & ~df::kInspect);
    const std::uint64_t id = sessions.flowId(index);
    perform(walk.now,
            {.session = index, .client = flow.internal.address, .server = flow.remote.address},
            walk.output);
    if (!sessions.byFlowId(id)) return drop(walk, DropReason::DeniedByPolicy);
    if (done && rest.has(df::kVpnOnly) && !sessions[index].has(sf::kAttached)) {
        rest.flags |= df::kBlocked;
        rest.blockedBy = static_cast<std::uint8_t>(DropReason::DeniedByPolicy);
    }
    refreshAttention(index);
    switch (attention.fate) {
    case passthrough::Attention::Fate::Pass: break;
    case passthrough::Attention::Fate::Drop:
        if (attention.reason == DropReason::PassthroughOff) return refuse(walk, attention.reason);
        return drop(walk, attention.reason);
    case passthrough::Attention::Fate::Hold:
        hold(walk, attention.holdToken, attention.showAgain);
        return Verdict{Verdict::Kind::Hold};
    }
    if (rest.has(df::kBlocked)) return refuse(walk, static_cast<DropReason>(rest.blockedBy));
    if (attention.redirect != 0 && direction == Direction::Inbound) {
        return redirect(walk, attention.redirect);
    }
    return std::nullopt;
}

/// An inbound datagram goes to the client of another flow of the same server.
Verdict Engine::State::redirect(Walk& walk, passthrough::FlowId flow)
{
    const auto index = sessions.byFlowId(flow);
    if (!index || sessions[*index].remote != walk.ip.source() ||
        sessions[*index].protocol != IpProtocol::Udp || walk.ip.protocol() != IpProtocol::Udp ||
        sweepThatEnds(*index) != nullptr) {
        return drop(walk, DropReason::NoMapping);
    }
    nat::Session& session = sessions[*index];
    if (session.has(sf::kAttention) && sessions.detail(*index).has(df::kHeld)) {
        return drop(walk, DropReason::HeldBySwitch);
    }
    if (const auto verdict = endsHere(walk, PortId::Internal)) return *verdict;
    session.lastPacket = walk.now;
    session.flags |= sf::kAnswered;
    endProbation(*index);
    return emit(walk, *index, Direction::Inbound);
}

Verdict Engine::State::missOutbound(Walk& walk, net::Endpoint internal, net::Endpoint remote)
{
    const net::Ipv4Address destination = remote.address;
    if (destination == config.internal.address || destination.hostOrder() >= 0xe0000000U ||
        config.internal.prefix.contains(destination)) {
        ++counters.consumed;
        return {Verdict::Kind::ToHost};
    }
    if (!mayBeDevice(internal.address)) return drop(walk, DropReason::SpoofedInternalSource);
    if (isBogon(destination)) return drop(walk, DropReason::Bogon);
    const IpProtocol protocol = walk.ip.protocol();
    bool loops = false;
    if (const auto slot = slotOf(destination)) {
        const policy::PortForward* forward = forwardTo(protocol, remote.port);
        // A ping of a shared address is the host's; one of a 1:1 address has an owner inside
        // (RFC 5508 REQ-7).
        const bool owned = !slots[*slot].oneToOne.isUnspecified();
        loops = config.nat.hairpinning &&
                (owned || (protocol != IpProtocol::Icmp &&
                           (mappings.byExternal(protocol, *slot, remote.port) ||
                            (forward != nullptr && forward->hairpin))));
        if (!loops) {
            ++counters.consumed;
            return {Verdict::Kind::ToHost};
        }
    }
    if (const auto verdict = endsHere(walk, loops ? PortId::Internal : PortId::External)) {
        return *verdict;
    }
    if (protocol == IpProtocol::Tcp) {
        const auto tcp = wire::TcpView::parse(walk.ip.payload());
        if (!tcp) return drop(walk, DropReason::MalformedTransport);
        constexpr std::uint8_t kOpening = wire::tcp_flag::kSyn | wire::tcp_flag::kAck |
                                          wire::tcp_flag::kRst | wire::tcp_flag::kFin;
        if ((tcp->flags() & kOpening) != wire::tcp_flag::kSyn) {
            return drop(walk, DropReason::TcpState);
        }
    } else if (protocol == IpProtocol::Icmp) {
        const auto icmp = wire::IcmpView::parse(walk.ip.payload());
        if (!icmp->isQueryRequest()) return drop(walk, DropReason::IcmpNoMatch);
    }
    Wish wish{.protocol = protocol,
              .internal = internal,
              .remote = remote,
              .hairpin = loops,
              .ahead = walk.ahead};
    const Opened opened = openOutbound(walk.now, wish, walk.output);
    if (!opened.session) return refuse(walk, opened.reason);
    return translate(walk, *opened.session, Direction::Outbound);
}

Verdict Engine::State::missInbound(Walk& walk, net::Endpoint external, net::Endpoint remote)
{
    const IpProtocol protocol = walk.ip.protocol();
    const net::Ipv4Address source = remote.address;
    const std::optional<std::uint8_t> slot = slotOf(external.address);
    if (!slot) return drop(walk, DropReason::NotForUs);
    if (!walk.hairpin) {
        if (isBogon(source)) return drop(walk, DropReason::Bogon);
        if (config.internal.prefix.contains(source) || isExternal(source)) {
            return drop(walk, DropReason::Bogon);
        }
    }
    bool opens = true;  // may begin a session
    if (protocol == IpProtocol::Tcp) {
        const auto tcp = wire::TcpView::parse(walk.ip.payload());
        if (!tcp) return drop(walk, DropReason::MalformedTransport);
        constexpr std::uint8_t kOpening = wire::tcp_flag::kSyn | wire::tcp_flag::kAck |
                                          wire::tcp_flag::kRst | wire::tcp_flag::kFin;
        opens = (tcp->flags() & kOpening) == wire::tcp_flag::kSyn;
    } else if (protocol == IpProtocol::Icmp) {
        const auto icmp = wire::IcmpView::parse(walk.ip.payload());
        opens = icmp->isQueryRequest();
    }
    Wish wish{.protocol = protocol,
              .remote = remote,
              .external = external.port,
              .slot = *slot,
              .initiator = Direction::Inbound,
              .hairpin = walk.hairpin};
    if (!slots[*slot].oneToOne.isUnspecified()) {
        wish.internal = {slots[*slot].oneToOne, external.port};
    } else if (const auto mapping = mappings.byExternal(protocol, *slot, external.port)) {
        // A device that was refused has not asked for anything.
        if (mappings[*mapping].ending != 0 || mappings[*mapping].opened == 0) {
            return drop(walk, DropReason::NoMapping);
        }
        switch (behaviourOf(protocol, mappings[*mapping].internal).filtering) {
        case nat::Behaviour::EndpointIndependent: break;
        case nat::Behaviour::AddressDependent:
            if (!walk.hairpin && !hasSentTo(*mapping, source)) {
                return drop(walk, DropReason::FilteredAddress);
            }
            break;
        case nat::Behaviour::AddressAndPortDependent:
            // A helper may have announced that this server answers from a port of its choice.
            if (!walk.hairpin &&
                !findLive(walk.now,
                          SessionKey::make(Direction::Inbound, protocol, 0, external.address,
                                           source, nat::portsId(external.port, net::Port{0})),
                          walk.output)) {
                return drop(walk, DropReason::FilteredAddressAndPort);
            }
            break;
        }
        wish.internal = mappings[*mapping].internal;
        wish.mapping = *mapping;
        // Only what the device itself sends keeps a mapping alive (RFC 4787 REQ-6).
        wish.holds = false;
    } else if (protocol == IpProtocol::Icmp) {
        ++counters.consumed;
        return {Verdict::Kind::ToHost};
    } else if (const policy::PortForward* forward = forwardTo(protocol, external.port)) {
        if (walk.hairpin ? !forward->hairpin : !forward->allowedRemotes.contains(source)) {
            return drop(walk, DropReason::DeniedByPolicy);
        }
        wish.internal = {forward->internalAddress, shifted(*forward, external.port)};
        wish.forward = forward->id;
    } else {
        if (protocol == IpProtocol::Udp &&
            (external.port == net::Port{500} || external.port == net::Port{1701})) {
            const auto udp = wire::UdpView::parse(walk.ip.payload(), wire::Extent::Beginning);
            if (udp) {
                actions.clear();
                const auto redirected =
                    passthrough.unmatchedUdp(walk.now, external, remote, udp->payload(), actions);
                if (redirected) {
                    for (const passthrough::Edit& edit : actions.edits) {
                        auto view = *udp;
                        if (std::size_t{edit.offset} + edit.length > view.payload().size())
                            continue;
                        ++counters.helperEdits;
                        view.rewritePayload(edit.offset, {edit.bytes.data(), edit.length},
                                            walk.packet.checksum);
                    }
                    actions.edits.clear();
                    perform(walk.now,
                            {.session = sessions.byFlowId(redirected->flow), .server = source},
                            walk.output);
                    return redirect(walk, redirected->flow);
                }
            }
        }
        // A port of no pool is the host's, unless a device is exposed.
        const bool ours = config.nat.ports.contains(external.port) ||
                          nat::MappingTable::kLowPorts.contains(external.port) ||
                          !config.exposedHost.isUnspecified();
        if (mappings.isHostPort(external.port) || !ours) {
            ++counters.consumed;
            return {Verdict::Kind::ToHost};
        }
        if (!config.exposedHost.isUnspecified()) {
            wish.internal = {config.exposedHost, external.port};
            wish.forward = kExposure;
        } else if (protocol == IpProtocol::Tcp) {
            // Silent for good, which is longer than RFC 5382 REQ-4's six seconds.
            return drop(walk, opens ? DropReason::UnsolicitedSyn : DropReason::TcpState);
        } else {
            return drop(walk, DropReason::NoMapping);
        }
    }
    std::optional<nat::ShiftedConnection> caller;  // who was answered, and has acknowledged
    if (!opens) {
        if (protocol != IpProtocol::Tcp) return drop(walk, DropReason::IcmpNoMatch);
        Proof proof;
        if (!wish.mapping) proof = proveCaller(walk, wish.internal.address);
        if (!proof.caller) return drop(walk, proof.reason);
        caller = proof.caller;
    }
    if (const auto verdict = endsHere(walk, PortId::Internal)) return *verdict;
    const auto device = meet(walk.now, wish.internal.address, &walk.output);
    if (!device) return drop(walk, DropReason::QuotaDevice);
    if (isBlocked(wish.internal.address)) return drop(walk, DropReason::DeniedByPolicy);
    if (protocol == IpProtocol::Tcp && !caller && !wish.mapping) {
        if (const auto verdict = checkCaller(walk, wish.internal)) return *verdict;
    }
    // Making room may end the very session that holds the mapping.
    if (wish.mapping) ++mappings[*wish.mapping].holders;
    const auto reason = admitUninvited(walk.now, *device, walk.output);
    if (wish.forward != 0 && !walk.hairpin) noteCaller(walk.now, *device, source, *slot);
    const Opened opened =
        reason ? Opened{std::nullopt, *reason} : open(walk.now, wish, *device, walk.output);
    const bool alive =
        !wish.mapping ||
        letGo(walk.now, *wish.mapping, nat::MappingTable::Afterwards::Quarantine, walk.output);
    if (!opened.session) return drop(walk, opened.reason);
    if (!alive) return drop(walk, DropReason::NoMapping);
    if (caller) return introduce(walk, *opened.session, *caller);
    return translate(walk, *opened.session, Direction::Inbound);
}

/// The second half of a hairpinned packet: it has left by our external endpoint and comes back in.
Verdict Engine::State::hairpin(Walk& walk, net::Ipv4Address sender)
{
    if (walk.hairpin) return drop(walk, DropReason::HairpinLoop);
    walk.hairpin = true;
    walk.sender = sender;
    // Whoever looks into the receiver's side has not seen it yet.
    walk.inspect = true;
    return secondHalf(walk);
}

Verdict Engine::State::secondHalf(Walk& walk)
{
    return net::isPortless(walk.ip.protocol()) ? portless(walk, Direction::Inbound)
                                               : transport(walk, Direction::Inbound);
}

/// It has come as far as it may (RFC 1812 §5.3.1); the two halves of a hairpinned one are one hop.
MaybeVerdict Engine::State::expires(Walk& walk)
{
    if (walk.ip.ttl() > 1 || walk.hairpin) return std::nullopt;
    sendIcmp(walk, wire::IcmpType::TimeExceeded, 0);
    return drop(walk, DropReason::TtlExpired);
}

/// What does not go on by this link opens nothing.
MaybeVerdict Engine::State::endsHere(Walk& walk, PortId egress)
{
    if (const auto verdict = expires(walk)) return verdict;
    return tooBig(walk, egress);
}

/// The link must be able to carry it (RFC 4787 REQ-13).
MaybeVerdict Engine::State::tooBig(Walk& walk, PortId egress)
{
    const std::uint16_t mtu = mtuToward(egress);
    std::size_t largest = walk.ip.totalLength();
    if (walk.packet.segmentPayload != 0) {
        // Cut by the device: only the size of one segment counts.
        const std::size_t headers =
            walk.ip.headerLength() +
            (walk.ip.protocol() == IpProtocol::Tcp && walk.ip.payload().size() >= 20
                 ? static_cast<std::size_t>(walk.ip.payload()[12] >> 4U) * 4
                 : 8U);
        largest = std::min(largest, headers + walk.packet.segmentPayload);
    }
    if (largest <= mtu || !walk.ip.dontFragment()) return std::nullopt;
    sendIcmp(walk, wire::IcmpType::Unreachable, wire::icmp_unreachable::kFragmentationNeeded, mtu);
    return drop(walk, DropReason::DfTooBig);
}

/// The host answers, and the guard keeps from it what is refused here (io/guard_program.h).
bool Engine::State::answersPing(const Walk& walk) const
{
    switch (config.nat.pings) {
    case nat::PingsFromOutside::Small:
        return !walk.ip.isFragment() && walk.ip.totalLength() <= nat::kLargestSmallPing;
    case nat::PingsFromOutside::All: return true;
    case nat::PingsFromOutside::None: return false;
    }
    return true;
}

bool Engine::State::mayBeDevice(net::Ipv4Address address) const
{
    const net::Prefix& prefix = config.internal.prefix;
    return prefix.contains(address) && address != config.internal.address &&
           address != prefix.network() && address != prefix.broadcast();
}

bool Engine::State::isExternal(net::Ipv4Address address) const
{
    return slotOf(address).has_value();
}

std::optional<std::uint8_t> Engine::State::slotOf(net::Ipv4Address address) const
{
    for (std::size_t i = 0; i < slotsEnd; ++i) {
        if (slots[i].used && slots[i].address == address) return static_cast<std::uint8_t>(i);
    }
    return std::nullopt;
}

Verdict Engine::State::drop(Walk& walk, DropReason reason)
{
    ++counters.drops[static_cast<std::size_t>(reason)];
    reportRefusal(walk, reason);
    return Verdict::drop(reason);
}

Verdict Engine::State::refuse(Walk& walk, DropReason reason)
{
    if (walk.ingress == PortId::Internal) {
        // RFC 5508 REQ-8 for a refusal, RFC 6888 REQ-11 when there is nothing left to give.
        const bool exhausted = reason == DropReason::PortExhausted ||
                               reason == DropReason::SessionTableFull ||
                               reason == DropReason::ExternalDown;
        sendIcmp(walk, wire::IcmpType::Unreachable,
                 exhausted ? wire::icmp_unreachable::kHost
                           : wire::icmp_unreachable::kAdministrativelyProhibited);
    }
    return drop(walk, reason);
}

void Engine::State::hold(Walk& walk, std::uint32_t token, bool showAgain)
{
    if (held.size() >= kMostHeldPackets || heldBytes + walk.ip.totalLength() > kMostHeldBytes) {
        ++counters.drops[static_cast<std::size_t>(DropReason::HelperBudget)];
        return;
    }
    const wire::MutableBytes bytes = walk.ip.bytes();
    held.push_back({.token = token,
                    .ingress = walk.ingress,
                    .until = walk.now + kHeldAtMost,
                    .bytes = {bytes.begin(), bytes.end()},
                    .checksum = walk.packet.checksum,
                    .segmentPayload = walk.packet.segmentPayload,
                    .showAgain = showAgain,
                    .sender = walk.sender});
    unshift(walk, held.back().bytes);
    heldBytes += bytes.size();
}

void Engine::State::releaseHeld(Instant now, std::uint32_t token, bool travel, Output& output)
{
    const auto found = std::find_if(held.begin(), held.end(), [&](const HeldPacket& candidate) {
        return candidate.token == token;
    });
    if (found == held.end()) return;
    HeldPacket packet = std::move(*found);
    held.erase(found);
    heldBytes -= packet.bytes.size();
    if (!travel) {
        ++counters.drops[static_cast<std::size_t>(packet.showAgain ? DropReason::ControlOutOfOrder
                                                                   : DropReason::IkeHeld)];
        return;
    }
    wire::Packet again{.bytes = packet.bytes,
                       .checksum = packet.checksum,
                       .segmentPayload = packet.segmentPayload};
    Verdict verdict;
    if (packet.sender.isUnspecified()) {
        verdict = walk(now, packet.ingress, again, output, packet.showAgain);
    } else if (const auto ip = wire::Ipv4View::parse(packet.bytes); ip && !parked) {
        Walk rest{.now = now,
                  .packet = again,
                  .ip = *ip,
                  .output = output,
                  .ingress = packet.ingress,
                  .inspect = packet.showAgain,
                  .hairpin = true,
                  .sender = packet.sender};
        again.bytes = rest.ip.bytes();
        verdict = secondHalf(rest);
        if (verdict.kind == Verdict::Kind::Forward) {
            counters.hairpinned.bytes += again.bytes.size();
            ++counters.hairpinned.packets;
        }
    } else {
        verdict = Verdict::drop(DropReason::ExternalDown);
        ++counters.drops[static_cast<std::size_t>(DropReason::ExternalDown)];
    }
    if (verdict.kind == Verdict::Kind::Forward) {
        packet.bytes.resize(again.bytes.size());
        output.packets.push_back(
            {verdict.egress, std::move(packet.bytes), packet.checksum, packet.segmentPayload});
    }
}

}  // namespace engine
