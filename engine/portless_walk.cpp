#include "engine/engine_state.h"

#include <algorithm>

/// Protocols without ports: GRE, ESP, AH, L2TPv3, 6in4, IPIP, EtherIP. Sessions of these are made
/// by passthrough's bindings and found by discriminator. Where none is, portless_homes.cpp decides.
namespace engine {

using nat::SessionKey;
namespace sf = nat::session_flag;
namespace df = nat::detail_flag;
using net::Direction;
using net::IpProtocol;

namespace {

DropReason malformed(IpProtocol protocol)
{
    if (protocol == IpProtocol::Gre) return DropReason::MalformedGre;
    if (protocol == IpProtocol::Esp || protocol == IpProtocol::Ah) return DropReason::MalformedEsp;
    if (protocol == IpProtocol::L2tpV3) return DropReason::MalformedL2tp;
    return DropReason::UnsupportedProtocol;
}

using Variant = passthrough::Discriminator::Variant;

/// What tells this inbound packet's session apart from others.
Variant kindOf(IpProtocol protocol, wire::ConstBytes payload)
{
    const auto id = passthrough::discriminatorOf(protocol, Direction::Inbound, payload);
    return id ? id->variant : Variant::None;
}

/// Else each side gives the numbers of what it gets, and an answer has another than the call.
bool isSameBothWays(Variant kind)
{
    switch (kind) {
    case Variant::None:
    case Variant::GreKey:
    case Variant::EoipTunnel:
    case Variant::InnerAddress: return true;
    case Variant::GreCall:
    case Variant::Spi:
    case Variant::SessionId:
    case Variant::ControlId: return false;
    }
    return true;
}

std::uint8_t variantOf(const passthrough::Discriminator& discriminator)
{
    return static_cast<std::uint8_t>(discriminator.variant);
}

}  // namespace

Verdict Engine::State::portless(Walk& walk, Direction direction)
{
    const bool outward = direction == Direction::Outbound;
    const net::Ipv4Address ours = outward ? walk.ip.source() : walk.ip.destination();
    const net::Ipv4Address remote = outward ? walk.ip.destination() : walk.ip.source();
    const IpProtocol protocol = walk.ip.protocol();
    const auto discriminator = passthrough::discriminatorOf(protocol, direction, walk.ip.payload());
    if (discriminator) {
        const auto found = findLive(walk.now,
                                    SessionKey::make(direction, protocol, variantOf(*discriminator),
                                                     ours, remote, discriminator->id),
                                    walk.output);
        if (found && mayTake(walk, *found)) return translatePortless(walk, *found, direction);
    }
    if (outward && (remote == config.internal.address || remote.hostOrder() >= 0xe0000000U ||
                    config.internal.prefix.contains(remote) ||
                    (isExternal(remote) && !mayLoop(ours, remote, protocol)))) {
        ++counters.consumed;
        return {Verdict::Kind::ToHost};
    }
    if (!discriminator && protocol != IpProtocol::EtherIp && protocol != IpProtocol::Ah) {
        return drop(walk, malformed(protocol));
    }
    return decidePortless(walk, direction);
}

Verdict Engine::State::translatePortless(Walk& walk, std::uint32_t index, Direction direction)
{
    nat::Session& session = sessions[index];
    walk.session = index;
    const bool outward = direction == Direction::Outbound;
    if (const auto verdict = expires(walk)) return *verdict;
    if (session.has(sf::kAttention)) {
        nat::SessionDetail& rest = sessions.detail(index);
        if (rest.has(df::kHeld)) return drop(walk, DropReason::HeldBySwitch);
        if (rest.has(df::kInspect) && walk.inspect) {
            const passthrough::PortlessPacket packet{.protocol = session.protocol,
                                                     .internal = session.internal,
                                                     .external = sessions.externalOf(session),
                                                     .remote = session.remote,
                                                     .payload = walk.ip.payload(),
                                                     .packet = walk.ip.bytes()};
            actions.clear();
            const passthrough::Attention attention =
                passthrough.inspectPortless(walk.now, direction, packet, actions);
            const std::uint64_t id = sessions.flowId(index);
            perform(walk.now, {.client = packet.internal, .server = packet.remote}, walk.output);
            if (sessions.byFlowId(id)) {
                if (attention.next == passthrough::Attention::Next::Ignore) {
                    rest.flags = static_cast<std::uint16_t>(rest.flags & ~df::kInspect);
                    refreshAttention(index);
                }
            } else if (attention.fate == passthrough::Attention::Fate::Pass) {
                return decidePortless(walk, direction);
            }
            switch (attention.fate) {
            case passthrough::Attention::Fate::Pass: break;
            case passthrough::Attention::Fate::Drop: return drop(walk, attention.reason);
            case passthrough::Attention::Fate::Hold:
                hold(walk, attention.holdToken);
                return Verdict{Verdict::Kind::Hold};
            }
        }
    }
    session.lastPacket = walk.now;
    if (outward) session.flags |= sf::kOutboundSeen;
    if (outward != session.has(sf::kOutboundFirst)) session.flags |= sf::kAnswered;
    return emit(walk, index, direction);
}

Verdict Engine::State::decidePortless(Walk& walk, Direction direction)
{
    const bool outward = direction == Direction::Outbound;
    const IpProtocol protocol = walk.ip.protocol();
    passthrough::PortlessPacket packet{.protocol = protocol,
                                       .external = walk.ip.destination(),
                                       .remote = walk.ip.source(),
                                       .payload = walk.ip.payload(),
                                       .packet = walk.ip.bytes()};
    Home home;  // of the destination, if that is ours
    if (outward) {
        const net::Ipv4Address source = walk.ip.source();
        if (!mayBeDevice(source)) return drop(walk, DropReason::SpoofedInternalSource);
        if (isBogon(walk.ip.destination())) return drop(walk, DropReason::Bogon);
        const auto device = meet(walk.now, source, &walk.output);
        if (!device) return refuse(walk, DropReason::QuotaDevice);
        devices[*device].lastSeen = walk.now;
        if (isBlocked(source)) return refuse(walk, DropReason::DeniedByPolicy);
        const std::uint8_t slot = slotToward(walk.now, *device, walk.ip.destination());
        if (!slots[slot].used) return refuse(walk, DropReason::ExternalDown);
        packet.internal = source;
        packet.external = slots[slot].address;
        packet.remote = walk.ip.destination();
    } else if (walk.hairpin) {
        home = homeOf(packet.external, protocol, CallFrom::Inside);
        // Toward other devices inside, the one that answers is what a server outside would be: what
        // it sends may be an answer to a caller, and is a call only if it is none.
        walk.answers = walk.answers || isHome(walk.sender, packet.remote, protocol);
        const Variant kind = kindOf(protocol, packet.payload);
        if (walk.asks && home.isOther(walk.sender) && isSameBothWays(kind)) {
            // An answer would have had a session, so it is a call.
            walk.isNobodys = true;
            return Verdict::drop(DropReason::NoMapping);
        }
        // An owner gets all that is sent to its address; of a forward's only what has a number that
        // no caller has used is no answer for certain.
        const bool isNumbered = kind == Variant::GreKey || kind == Variant::EoipTunnel;
        const bool calls =
            !walk.answers || (home.forward == nullptr ? isSameBothWays(kind) : isNumbered);
        if (calls && home.isOther(walk.sender)) {
            return deliverHome(walk, home, DropReason::NoMapping);
        }
        // PPTP's calls are found without anybody at home; nothing else is.
        if (!walk.answers && kind != Variant::GreCall) return drop(walk, DropReason::NoMapping);
    } else if (isBogon(packet.remote) || config.internal.prefix.contains(packet.remote) ||
               isExternal(packet.remote)) {
        return drop(walk, DropReason::Bogon);
    } else {
        home = homeOf(packet.external, protocol, CallFrom::Outside);
    }
    const bool loops = outward && isExternal(packet.remote);
    if (loops) {
        home = homeOf(packet.remote, protocol, CallFrom::Inside);
        // An answer needs no session, unless others share the address that it comes from: they
        // would get what is said to it.
        const bool canCall = home.isOther(packet.internal);
        if (!canCall || slots[*slotOf(packet.external)].oneToOne == packet.internal) {
            if (const auto verdict = answer(walk, packet.external)) return *verdict;
        }
        if (!canCall && !home.isNobody()) return drop(walk, DropReason::HairpinLoop);
        if (!canCall) {
            ++counters.consumed;
            return {Verdict::Kind::ToHost};
        }
    }
    if (const auto verdict =
            endsHere(walk, outward && !loops ? PortId::External : PortId::Internal)) {
        return *verdict;
    }
    actions.clear();
    // While a change of the rules is on its way, the helpers may still know clients from whom it
    // takes the session that they know them by: it is then for the rules alone to say who gets it.
    const passthrough::PortlessDecision decision =
        !outward && isEnding() ? passthrough::PortlessDecision{.reason = DropReason::NoMapping}
                               : passthrough.decide(walk.now, direction, packet, actions);
    perform(walk.now, {.client = packet.internal, .server = packet.remote}, walk.output);
    switch (decision.kind) {
    case passthrough::PortlessDecision::Kind::Hold:
        hold(walk, decision.holdToken);
        return Verdict{Verdict::Kind::Hold};
    case passthrough::PortlessDecision::Kind::Drop:
        if (outward) {
            return decision.told ? drop(walk, decision.reason) : refuse(walk, decision.reason);
        }
        if (walk.asks && isUnclaimed(decision.reason)) {
            walk.isNobodys = true;
            return Verdict::drop(decision.reason);
        }
        // Whoever is at home serves what no tunnel has claimed.
        return deliverHome(walk, home, decision.reason);
    case passthrough::PortlessDecision::Kind::FanOut: return fanOut(walk, decision);
    case passthrough::PortlessDecision::Kind::Deliver: break;
    }
    // Most decisions come with a binding: then the session does the rest.
    const auto discriminator = passthrough::discriminatorOf(protocol, direction, walk.ip.payload());
    if (discriminator) {
        const auto found = findLive(walk.now,
                                    SessionKey::make(direction, protocol, variantOf(*discriminator),
                                                     outward ? packet.internal : packet.external,
                                                     packet.remote, discriminator->id),
                                    walk.output);
        if (found && !mayTake(walk, *found)) return drop(walk, DropReason::HairpinLoop);
        if (found) {
            walk.inspect = false;
            return translatePortless(walk, *found, direction);
        }
    }
    if (loops) return loopPortless(walk, packet.external);
    if (walk.hairpin && decision.recipients[0] == walk.sender) {
        return drop(walk, DropReason::HairpinLoop);
    }
    if (outward) {
        walk.ip.rewriteSource(packet.external);
        renumber(walk.ip, 1);
        walk.ip.decrementTtl();
        counters.outbound.bytes += walk.ip.totalLength();
        ++counters.outbound.packets;
        return Verdict::forward(PortId::External);
    }
    if (isBlocked(decision.recipients[0])) return drop(walk, DropReason::DeniedByPolicy);
    deliverPortless(walk, decision.recipients[0], decision.rewrite);
    return Verdict::forward(PortId::Internal);
}

void Engine::State::deliverPortless(
    Walk& walk, net::Ipv4Address recipient,
    const std::optional<passthrough::PortlessBinding::Rewrite>& rewrite)
{
    walk.ip.rewriteDestination(recipient);
    if (rewrite && std::size_t{rewrite->offset} + 2 <= walk.ip.payload().size()) {
        wire::store16(walk.ip.payload(), rewrite->offset, rewrite->value);
    }
    if (walk.hairpin) return;  // counted as hairpinned
    walk.ip.decrementTtl();
    counters.inbound.bytes += walk.ip.totalLength();
    ++counters.inbound.packets;
}

/// To each of those that it may be for.
Verdict Engine::State::fanOut(Walk& walk, const passthrough::PortlessDecision& decision)
{
    std::optional<net::Ipv4Address> first;
    for (std::uint8_t i = 0; i < decision.recipientCount; ++i) {
        if (walk.hairpin && decision.recipients[i] == walk.sender) continue;
        if (isBlocked(decision.recipients[i])) continue;
        if (!first) {
            first = decision.recipients[i];
            continue;
        }
        const wire::MutableBytes bytes = walk.ip.bytes();
        std::vector<std::uint8_t> copy(bytes.begin(), bytes.end());
        auto ip = wire::Ipv4View::parse(copy);
        ip->rewriteDestination(decision.recipients[i]);
        if (!walk.hairpin) ip->decrementTtl();
        counters.inbound.bytes += copy.size();
        ++counters.inbound.packets;
        walk.output.packets.push_back({PortId::Internal, std::move(copy)});
    }
    if (!first) return drop(walk, DropReason::HairpinLoop);
    deliverPortless(walk, *first, std::nullopt);
    return Verdict::forward(PortId::Internal);
}

void Engine::State::bind(Instant now, const passthrough::PortlessBinding& binding)
{
    const auto slot = slotOf(binding.external);
    if (!slot || (!binding.outbound && !binding.inbound)) return;
    const auto keyOut = [&] {
        return SessionKey::make(Direction::Outbound, binding.protocol, variantOf(*binding.outbound),
                                binding.client, binding.server, binding.outbound->id);
    };
    const auto keyIn = [&] {
        return SessionKey::make(Direction::Inbound, binding.protocol, variantOf(*binding.inbound),
                                binding.external, binding.server, binding.inbound->id);
    };
    nat::SessionRef known;
    if (binding.outbound) known = sessions.find(keyOut());
    if (known.isNone() && binding.inbound) known = sessions.find(keyIn());
    std::uint32_t index = known.index;
    if (known.isNone()) {
        if (isBlocked(binding.client)) return;
        const auto device = meet(now, binding.client, nullptr);
        if (!device || devices[*device].sessions >= sessionLimit(binding.client)) return;
        const auto made = sessions.allocate(now);
        if (!made) return;
        index = *made;
        nat::Session& session = sessions[index];
        session.internal = binding.client;
        session.remote = binding.server;
        session.protocol = binding.protocol;
        session.externalSlot = *slot;
        session.device = *device;
        session.rewrite = {};
        session.flags |= sf::kOutboundFirst;
        if (config.nat.hairpinning && isExternal(binding.server)) session.flags |= sf::kHairpin;
        if (binding.outbound) {
            session.outboundId = binding.outbound->id;
            session.rewrite.outboundVariant = variantOf(*binding.outbound);
        }
        if (binding.inbound) {
            session.inboundId = binding.inbound->id;
            session.rewrite.inboundVariant = variantOf(*binding.inbound);
        }
        if (binding.rewriteInbound) {
            session.rewrite.offset = binding.rewriteInbound->offset;
            session.rewrite.value = binding.rewriteInbound->value;
            session.rewrite.active = 1;
        }
        sessions.detail(index).flags |= df::kPortless;
        if (binding.outbound) sessions.link(index, Direction::Outbound);
        if (binding.inbound && sessions.find(keyIn()).isNone()) {
            sessions.link(index, Direction::Inbound);
        }
        ++devices[*device].sessions;
        ++counters.sessionsCreated;
        bindings[index] = binding;
        if (binding.master != 0) children.emplace(binding.master, index);
    } else if (sessions[index].internal != binding.client) {
        return;  // somebody else's; never re-pointed
    }
    passthrough::PortlessBinding& kept = bindings[index];
    kept.idle = binding.idle;
    kept.watch = binding.watch;
    nat::Session& session = sessions[index];
    nat::SessionDetail& rest = sessions.detail(index);
    if (!session.has(sf::kAttached) || kept.key != binding.key ||
        kept.sequence != binding.sequence) {
        kept.key = binding.key;
        kept.sequence = binding.sequence;
        (void)attach(now, index, binding.key, binding.sequence, tunnel::Carries::Data);
    }
    if (binding.idle > Duration{0}) {
        session.flags |= sf::kLongIdle;
        rest.setLongIdle(binding.idle);
    }
    rest.flags = static_cast<std::uint16_t>(binding.watch ? rest.flags | df::kInspect
                                                          : rest.flags & ~df::kInspect);
    refreshAttention(index);
    sessions.arm(index, session.lastPacket + idleOf(index));
}

void Engine::State::unbind(Instant now, const passthrough::PortlessUnbinding& unbinding,
                           Output& output)
{
    nat::SessionRef found;
    if (unbinding.outbound) {
        found = sessions.find(SessionKey::make(Direction::Outbound, unbinding.protocol,
                                               variantOf(*unbinding.outbound), unbinding.client,
                                               unbinding.server, unbinding.outbound->id));
    }
    if (found.isNone() && unbinding.inbound) {
        found = sessions.find(SessionKey::make(Direction::Inbound, unbinding.protocol,
                                               variantOf(*unbinding.inbound), unbinding.external,
                                               unbinding.server, unbinding.inbound->id));
    }
    if (found.isNone() || sessions[found.index].internal != unbinding.client) return;
    close(now, found.index, passthrough::FlowEnd::Closed, output);
}

}  // namespace engine
