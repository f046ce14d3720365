#include "engine/engine_state.h"
#include "engine/wire/fragmenter.h"

#include <algorithm>

/// ICMP errors that pass, ICMP errors that the router sends, and fragments.
namespace engine {

using nat::SessionKey;
namespace sf = nat::session_flag;
namespace df = nat::detail_flag;
using net::Direction;
using net::IpProtocol;

namespace {

/// RFC 5927 §7: no link is allowed to claim less; RFC 791 wants 68, nobody has less than this.
constexpr std::uint16_t kSmallestMtu = 552;

/// In a FragmentTranslation: the datagram leaves by no port, since it is the host's.
constexpr std::uint8_t kLeftToHost = 2;

/// What an error that has been parsed quotes behind the IP header.
wire::ConstBytes transportOf(wire::ConstBytes quote, std::uint16_t totalLength)
{
    const std::size_t header = std::size_t{quote[0] & 15U} * 4;
    return quote.subspan(header, std::min<std::size_t>(quote.size(), totalLength) - header);
}

}  // namespace

/// RFC 5508 §4: an error passes when the packet it quotes belongs to a session, and is translated
/// by that session. It never changes the session (RFC 4787 REQ-12, RFC 5382 REQ-10).
Verdict Engine::State::icmpError(Walk& walk, Direction direction)
{
    const bool outward = direction == Direction::Outbound;
    const auto icmp = wire::IcmpView::parse(walk.ip.payload());
    if (outward && (walk.ip.destination() == config.internal.address ||
                    config.internal.prefix.contains(walk.ip.destination()) ||
                    walk.ip.destination().hostOrder() >= 0xe0000000U)) {
        ++counters.consumed;
        return {Verdict::Kind::ToHost};
    }
    if (icmp->type() == wire::IcmpType::Redirect) return drop(walk, DropReason::IcmpRedirect);
    if (!icmp->isError()) {
        if (!outward) {
            ++counters.consumed;
            return {Verdict::Kind::ToHost};
        }
        return drop(walk, DropReason::IcmpNoMatch);
    }
    if (icmp->type() == wire::IcmpType::SourceQuench) return drop(walk, DropReason::IcmpNoMatch);
    auto error = nat::IcmpError::parse(walk.ip);
    if (!error) return drop(walk, error.error());
    const nat::EmbeddedPacket& quoted = error->embedded();

    // The quoted packet went the other way: seen from outside its source is our external endpoint.
    const net::Ipv4Address ours = outward ? quoted.destination.address : quoted.source.address;
    const net::Ipv4Address remote = outward ? quoted.source.address : quoted.destination.address;
    const net::Port ourPort = outward ? quoted.destination.port : quoted.source.port;
    const net::Port remotePort = outward ? quoted.source.port : quoted.destination.port;
    // A device that is blocked may speak for nobody but sessions of its own that may finish.
    if (outward && ours != walk.ip.source() && isBlocked(walk.ip.source())) {
        return drop(walk, DropReason::DeniedByPolicy);
    }
    if (!outward && ours != walk.ip.destination()) return drop(walk, DropReason::IcmpForged);
    nat::MaybeIndex index;
    if (net::hasPorts(quoted.protocol)) {
        index = findLive(walk.now,
                         SessionKey::make(direction, quoted.protocol, 0, ours, remote,
                                          nat::portsId(ourPort, remotePort)),
                         walk.output);
    } else if (quoted.protocol == IpProtocol::Icmp) {
        index = findLive(walk.now,
                         SessionKey::make(direction, quoted.protocol, 0, ours, remote,
                                          nat::portsId(ourPort, net::Port{})),
                         walk.output);
    } else {
        const Quoted about = portlessQuoted(walk, direction, quoted,
                                            transportOf(icmp->payload(), quoted.totalLength));
        index = about.session;
        if (!index && about.sender) {
            // It has no session: it has answered.
            error->translate({{*about.sender, net::Port{}}, quoted.destination});
            walk.ip.rewriteDestination(*about.sender);
            return Verdict::forward(PortId::Internal);
        }
        if (!index && about.called) {
            if (walk.ip.ttl() <= 1) return drop(walk, DropReason::TtlExpired);
            error->translate({quoted.source, {*about.called, net::Port{}}});
            return loopError(walk, *about.called, ours);
        }
    }
    if (outward && ours == walk.ip.source()) hearRefusal(walk, quoted, index);
    if (!index) {
        if (!outward && net::hasPorts(quoted.protocol) && mappings.isHostPort(ourPort)) {
            ++counters.consumed;
            return {Verdict::Kind::ToHost};
        }
        return drop(walk, DropReason::IcmpNoMatch);
    }
    nat::Session& session = sessions[*index];
    nat::SessionDetail& rest = sessions.detail(*index);
    std::optional<std::uint32_t> sequence;
    if (session.protocol == IpProtocol::Tcp) {
        // Outside quotes what the client was told, inside and our own tracking count otherwise.
        if (!outward && isShifted(*index)) {
            sequence = quoted.tcpSequence - synProxy[shiftOf(*index)].shift;
        }
        if (!session.window.inFlight(net::opposite(direction),
                                     sequence.value_or(quoted.tcpSequence))) {
            return drop(walk, DropReason::IcmpForged);
        }
    }
    // Somebody who asks for smaller packets must quote one that was too large for the claim.
    if (icmp->type() == wire::IcmpType::Unreachable &&
        icmp->code() == wire::icmp_unreachable::kFragmentationNeeded) {
        const std::uint16_t mtu = icmp->nextHopMtu();
        if (mtu != 0 && (mtu < kSmallestMtu || quoted.totalLength <= mtu)) {
            return drop(walk, DropReason::IcmpForged);
        }
    }
    const auto second = static_cast<std::uint8_t>((walk.now.nanoseconds() / 1'000'000'000) & 0xff);
    if (rest.icmpSecond != second) {
        rest.icmpSecond = second;
        rest.icmpErrors = 0;
    }
    if (++rest.icmpErrors > kIcmpErrorsPerSecond) {
        rest.icmpErrors = kIcmpErrorsPerSecond;
        return drop(walk, DropReason::IcmpRate);
    }
    if (walk.ip.ttl() <= 1) return drop(walk, DropReason::TtlExpired);

    const net::Endpoint external{sessions.externalOf(session), session.externalPort()};
    const net::Endpoint internal{session.internal, session.internalPort()};
    nat::EmbeddedTranslation translation{quoted.source, quoted.destination};
    if (outward) {
        // The device reports about a packet that we delivered to it; outside knows our endpoint.
        translation.destination = external;
        if (quoted.protocol == IpProtocol::Icmp) translation.source.port = external.port;
        const bool portless = rest.has(df::kPortless);
        if (portless && session.rewrite.active != 0 && session.rewrite.offset <= 6) {
            translation.rewrite = {static_cast<std::uint8_t>(session.rewrite.offset),
                                   static_cast<std::uint16_t>(session.inboundId)};
        }
        error->translate(translation);
        if (session.has(sf::kHairpin)) {
            walk.answers = portless;
            return loopError(walk, external.address, session.internal);
        }
        // RFC 5508 REQ-5: a device behind NAPT reports with the router's own address.
        walk.ip.rewriteSource(external.address);
        walk.ip.decrementTtl();
        counters.outbound.bytes += walk.ip.totalLength();
        ++counters.outbound.packets;
        return Verdict::forward(PortId::External);
    }
    if (session.has(sf::kAttached) && !walk.hairpin) {
        tunnels.noteIcmp(walk.now, attachmentOf(*index), static_cast<std::uint8_t>(icmp->type()),
                         icmp->code(), walk.ip.bytes());
    }
    translation.source = internal;
    translation.tcpSequence = sequence;
    error->translate(translation);
    walk.ip.rewriteDestination(session.internal);
    if (!walk.hairpin) {
        walk.ip.decrementTtl();
        counters.inbound.bytes += walk.ip.totalLength();
        ++counters.inbound.packets;
    }
    return Verdict::forward(PortId::Internal);
}

/// The second half of an error: it has left by our address and comes back in (RFC 5508 REQ-7).
Verdict Engine::State::loopError(Walk& walk, net::Ipv4Address external, net::Ipv4Address reporter)
{
    walk.ip.rewriteSource(external);
    walk.ip.decrementTtl();
    walk.hairpin = true;
    walk.sender = reporter;
    const Verdict verdict = icmpError(walk, Direction::Inbound);
    if (verdict.kind == Verdict::Kind::Forward) {
        counters.hairpinned.bytes += walk.ip.totalLength();
        ++counters.hairpinned.packets;
    }
    return verdict;
}

/// A port-less packet names the other side's discriminator: the session is among those that packets
/// of that direction find.
Engine::State::Quoted Engine::State::portlessQuoted(const Walk& walk, Direction direction,
                                                    const nat::EmbeddedPacket& quoted,
                                                    wire::ConstBytes quote) const
{
    const bool outward = direction == Direction::Outbound;
    const net::Ipv4Address ours = outward ? quoted.destination.address : quoted.source.address;
    const net::Ipv4Address remote = outward ? quoted.source.address : quoted.destination.address;
    const Direction other = net::opposite(direction);
    const auto discriminator = passthrough::discriminatorOf(quoted.protocol, other, quote);
    // Inner addresses stand far behind the eight octets that have to be quoted. What cannot be
    // read is for the only device that it can be about.
    const bool isUnread =
        !discriminator || discriminator->variant == passthrough::Discriminator::Variant::None;
    const bool loops = config.nat.hairpinning && isExternal(remote);
    Quoted about;
    nat::MaybeIndex only;
    net::Ipv4Address owner;
    bool isShared = false;
    for (const auto& [session, binding] : bindings) {
        if (binding.protocol != quoted.protocol || sweepThatEnds(session) != nullptr) continue;
        if (outward && loops && !about.called && binding.external == remote &&
            binding.client != ours && isHome(ours, binding.server, quoted.protocol)) {
            about.called = binding.server;
        }
        const auto& wanted = other == Direction::Outbound ? binding.outbound : binding.inbound;
        const net::Ipv4Address side = outward ? binding.client : binding.external;
        if (binding.server != remote || side != ours) continue;
        // Whoever reports has not sent it.
        if (walk.hairpin && binding.client == walk.sender) continue;
        if (discriminator && wanted == *discriminator) {
            about.session = session;
            return about;
        }
        isShared = isShared || (only && binding.client != owner);
        only = session;
        owner = binding.client;
    }
    if (walk.hairpin && walk.answers) {
        // About what a caller was answered, so it is for whoever answers there.
        const Home home = homeOf(ours, quoted.protocol, CallFrom::Inside);
        if (home.isOther(walk.sender)) about.sender = home.device;
    }
    if (isUnread && !about.sender) {
        // It may be about a call of its own or about a caller's: nobody can tell.
        isShared = isShared || (only && about.called);
        if (isShared) about.called = std::nullopt;
        if (!isShared) about.session = only;
    }
    return about;
}

/// A device that has no ESP at all, or none from there, says whose the packet is not. The session
/// that brought it may end by that; nobody outside needs to hear then.
void Engine::State::hearRefusal(Walk& walk, const nat::EmbeddedPacket& quoted,
                                nat::MaybeIndex& session)
{
    const auto icmp = wire::IcmpView::parse(walk.ip.payload());
    if (quoted.protocol != IpProtocol::Esp || icmp->type() != wire::IcmpType::Unreachable ||
        (icmp->code() != wire::icmp_unreachable::kProtocol &&
         icmp->code() != wire::icmp_unreachable::kPort)) {
        return;
    }
    const net::Ipv4Address client = quoted.destination.address;
    const net::Ipv4Address server = quoted.source.address;
    const auto device = devices.find(client);
    if (!device) return;
    const std::uint64_t id = session ? sessions.flowId(*session) : 0;
    actions.clear();
    passthrough.portlessRefused(walk.now,
                                {.protocol = quoted.protocol,
                                 .internal = client,
                                 .external = slots[pair(*device)].address,
                                 .remote = server,
                                 .payload = quoted.head,
                                 .packet = walk.ip.bytes()},
                                actions);
    perform(walk.now, {.client = client, .server = server}, walk.output);
    if (id != 0 && !sessions.byFlowId(id)) session = std::nullopt;
}

/// What the router itself has to say to the sender of this packet.
void Engine::State::sendIcmp(Walk& walk, wire::IcmpType type, std::uint8_t code, std::uint32_t rest)
{
    const net::Ipv4Address router =
        walk.ingress == PortId::Internal
            ? config.internal.address
            : (config.external.addresses.empty() ? net::Ipv4Address{}
                                                 : config.external.addresses.front());
    if (router.isUnspecified()) return;
    // A made-up source inside is no device, and what is sent to it would go nowhere.
    if (walk.ingress == PortId::Internal && !config.internal.prefix.contains(walk.ip.source())) {
        return;
    }
    auto message = icmpSource.make(
        walk.now, {.source = router, .type = type, .code = code, .rest = rest}, walk.ip);
    if (!message) return;
    ++counters.generated;
    walk.output.packets.push_back({walk.ingress, std::move(*message)});
}

Verdict Engine::State::fragment(Walk& walk)
{
    const Direction direction =
        walk.ingress == PortId::Internal ? Direction::Outbound : Direction::Inbound;
    const nat::FragmentDecision decision = fragments.onFragment(walk.now, direction, walk.ip);
    switch (decision.kind) {
    case nat::FragmentDecision::Kind::Drop: return drop(walk, decision.reason);
    case nat::FragmentDecision::Kind::Buffered: return Verdict{Verdict::Kind::Hold};
    case nat::FragmentDecision::Kind::Follow: {
        if (decision.translation.egress == kLeftToHost) {
            ++counters.consumed;
            return {Verdict::Kind::ToHost};
        }
        const auto egress = static_cast<PortId>(decision.translation.egress);
        // The address may have gone between two fragments.
        if (egress == PortId::External && !isExternal(decision.translation.source) &&
            decision.translation.source != walk.ip.source()) {
            return drop(walk, DropReason::FragmentOfDropped);
        }
        decision.translation.applyTo(walk.ip);
        if (walk.ip.ttl() <= 1) return drop(walk, DropReason::TtlExpired);
        walk.ip.decrementTtl();
        DirectionTotals& totals = egress == PortId::External ? counters.outbound : counters.inbound;
        totals.bytes += walk.ip.totalLength();
        ++totals.packets;
        return Verdict::forward(egress);
    }
    case nat::FragmentDecision::Kind::First: break;
    }
    const net::Ipv4Address sourceBefore = walk.ip.source();
    const net::Ipv4Address destinationBefore = walk.ip.destination();
    const Verdict verdict = walk.ingress == PortId::Internal ? outbound(walk) : inbound(walk);
    if (verdict.kind != Verdict::Kind::Forward) {
        if (verdict.kind == Verdict::Kind::ToHost) {
            // The host puts its own fragments together; ours only must not claim them.
            fragments.resolve(
                decision.ticket,
                {sourceBefore, destinationBefore, walk.ip.identification(), kLeftToHost},
                releasedFragments);
            releasedFragments.clear();
        } else if (verdict.kind == Verdict::Kind::Hold) {
            fragments.postpone(decision.ticket);
        } else {
            fragments.refuse(decision.ticket);
        }
        return verdict;
    }
    std::uint16_t id = walk.ip.identification();
    // Hairpinned ones of several devices have one source, too.
    if (verdict.egress == PortId::External || walk.hairpin) {
        id = fragmentIds.next(walk.ip.source(), walk.ip.destination(), walk.ip.protocol());
        walk.ip.rewriteIdentification(id);
    }
    const nat::FragmentTranslation translation{walk.ip.source(), walk.ip.destination(), id,
                                               static_cast<std::uint8_t>(verdict.egress)};
    fragments.resolve(decision.ticket, translation, releasedFragments);
    if (releasedFragments.empty()) return verdict;
    // In the order of the datagram: the first fragment before those that were waiting for it. Each
    // must fit the link, as if it had not waited (RFC 4787 REQ-13a).
    const auto send = [&](std::vector<std::uint8_t> bytes) {
        wire::Packet piece{.bytes = bytes, .checksum = walk.packet.checksum};
        if (cut(verdict, piece, walk.output).kind != Verdict::Kind::Forward) return;
        walk.output.packets.push_back({verdict.egress, std::move(bytes), walk.packet.checksum, 0});
    };
    const wire::MutableBytes first = walk.ip.bytes();
    send({first.begin(), first.end()});
    for (auto& released : releasedFragments) {
        auto ip = wire::Ipv4View::parse(released);
        if (!ip || ip->ttl() <= 1) continue;
        ip->decrementTtl();
        DirectionTotals& totals =
            verdict.egress == PortId::External ? counters.outbound : counters.inbound;
        totals.bytes += released.size();
        ++totals.packets;
        send(std::move(released));
    }
    releasedFragments.clear();
    return Verdict{Verdict::Kind::Consumed};
}

Verdict Engine::State::cutTo(std::uint16_t mtu, const Verdict& verdict, wire::Packet& packet,
                             Output& output)
{
    auto ip = wire::Ipv4View::parse(packet.bytes);
    if (!ip || ip->dontFragment()) return verdict;
    if (packet.checksum == wire::ChecksumState::Partial) wire::completeTransportChecksum(*ip);
    if (verdict.egress == PortId::External && !ip->isFragment()) {
        ip->rewriteIdentification(
            fragmentIds.next(ip->source(), ip->destination(), ip->protocol()));
    }
    for (auto& piece : wire::fragmentIpv4(*ip, mtu)) {
        output.packets.push_back({verdict.egress, std::move(piece)});
    }
    return Verdict{Verdict::Kind::Consumed};
}

}  // namespace engine
