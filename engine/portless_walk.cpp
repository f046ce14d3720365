#include "engine/engine_state.h"

#include <algorithm>

/// Protocols without ports: GRE, ESP, AH, L2TPv3, 6in4, IPIP, EtherIP. Sessions of these are made
/// by passthrough's bindings and found by discriminator.
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

std::uint8_t variantOf(const passthrough::Discriminator& discriminator)
{
    return static_cast<std::uint8_t>(discriminator.variant);
}

/// Whose switch a packet of this protocol obeys when no tunnel has claimed it.
std::optional<net::VpnProtocol> tunnelOf(IpProtocol protocol, wire::ConstBytes payload)
{
    switch (protocol) {
    case IpProtocol::Gre: {
        const bool enhanced = payload.size() > 1 && (payload[1] & 7U) == 1;
        return enhanced ? net::VpnProtocol::Pptp : net::VpnProtocol::Gre;
    }
    case IpProtocol::Esp: return net::VpnProtocol::IpsecEsp;
    case IpProtocol::IpIp: return net::VpnProtocol::IpIp;
    case IpProtocol::SixInFour: return net::VpnProtocol::SixInFour;
    case IpProtocol::EtherIp: return net::VpnProtocol::EtherIp;
    case IpProtocol::L2tpV3: return net::VpnProtocol::L2tpV3;
    case IpProtocol::Tcp:
    case IpProtocol::Udp:
    case IpProtocol::Icmp:
    case IpProtocol::Dccp:
    case IpProtocol::Ah:
    case IpProtocol::IpComp:
    case IpProtocol::Sctp:
    case IpProtocol::UdpLite: return std::nullopt;
    }
    return std::nullopt;
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
                    (isExternal(remote) && homeForward(protocol) == nullptr))) {
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
    if (walk.ip.ttl() <= 1 && !walk.hairpin) {
        sendIcmp(walk, wire::IcmpType::TimeExceeded, 0);
        return drop(walk, DropReason::TtlExpired);
    }
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
    if (outward) {
        const net::Ipv4Address source = walk.ip.source();
        if (!mayBeDevice(source)) return drop(walk, DropReason::SpoofedInternalSource);
        if (isBogon(walk.ip.destination())) return drop(walk, DropReason::Bogon);
        const auto device = meet(walk.now, source, &walk.output);
        if (!device) return refuse(walk, DropReason::QuotaDevice);
        devices[*device].lastSeen = walk.now;
        const auto* rule = ruleOf(source);
        if (rule != nullptr && rule->access == policy::DeviceAccess::Block) {
            return refuse(walk, DropReason::DeniedByPolicy);
        }
        const std::uint8_t slot = slotToward(walk.now, *device, walk.ip.destination());
        if (!slots[slot].used) return refuse(walk, DropReason::ExternalDown);
        packet.internal = source;
        packet.external = slots[slot].address;
        packet.remote = walk.ip.destination();
    } else if (walk.hairpin) {
        // Toward other devices inside, the one that answers is what a server outside would be.
        const policy::PortForward* const home = homeForward(protocol);
        if (home != nullptr && home->internalAddress != walk.sender) {
            return deliverToForward(walk, *home);
        }
        // Calls are found without a forward; nothing else is, once the user has taken it away.
        if (home == nullptr && protocol != IpProtocol::Gre) {
            return drop(walk, DropReason::NoMapping);
        }
    } else if (isBogon(packet.remote) || config.internal.prefix.contains(packet.remote) ||
               isExternal(packet.remote)) {
        return drop(walk, DropReason::Bogon);
    }
    if (walk.ip.ttl() <= 1 && !walk.hairpin) {
        sendIcmp(walk, wire::IcmpType::TimeExceeded, 0);
        return drop(walk, DropReason::TtlExpired);
    }
    const bool loops = outward && isExternal(packet.remote);
    if (loops) {
        const policy::PortForward* const home = homeForward(protocol);
        // Its session has ended under this very packet, and nobody else answers here.
        if (home == nullptr) return drop(walk, DropReason::NoMapping);
        if (home->internalAddress == packet.internal) return loopPortless(walk, packet.external);
    }
    actions.clear();
    const passthrough::PortlessDecision decision =
        passthrough.decide(walk.now, direction, packet, actions);
    perform(walk.now, {.client = packet.internal, .server = packet.remote}, walk.output);
    switch (decision.kind) {
    case passthrough::PortlessDecision::Kind::Hold:
        hold(walk, decision.holdToken);
        return Verdict{Verdict::Kind::Hold};
    case passthrough::PortlessDecision::Kind::Drop: {
        // A forward of the whole protocol serves what no tunnel has claimed.
        if (!outward && !walk.hairpin) {
            if (const auto verdict = deliverToOwner(walk, decision.reason)) return *verdict;
            for (const policy::PortForward& forward : config.portForwards) {
                if (forward.enabled && forward.protocol == protocol &&
                    forward.allowedRemotes.contains(packet.remote)) {
                    return deliverToForward(walk, forward);
                }
            }
        }
        return outward && !decision.told ? refuse(walk, decision.reason)
                                         : drop(walk, decision.reason);
    }
    case passthrough::PortlessDecision::Kind::FanOut:
        for (std::uint8_t i = 1; i < decision.recipientCount; ++i) {
            if (walk.hairpin && decision.recipients[i] == walk.sender) continue;
            const wire::MutableBytes bytes = walk.ip.bytes();
            std::vector<std::uint8_t> copy(bytes.begin(), bytes.end());
            auto ip = wire::Ipv4View::parse(copy);
            ip->rewriteDestination(decision.recipients[i]);
            if (!walk.hairpin) ip->decrementTtl();
            counters.inbound.bytes += copy.size();
            ++counters.inbound.packets;
            walk.output.packets.push_back({PortId::Internal, std::move(copy)});
        }
        deliverPortless(walk, decision.recipients[0], std::nullopt);
        return Verdict::forward(PortId::Internal);
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
        walk.ip.decrementTtl();
        counters.outbound.bytes += walk.ip.totalLength();
        ++counters.outbound.packets;
        return Verdict::forward(PortId::External);
    }
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

Verdict Engine::State::deliverUninvited(Walk& walk, net::Ipv4Address recipient)
{
    if (const auto* rule = ruleOf(recipient);
        rule != nullptr && rule->access == policy::DeviceAccess::Block) {
        return drop(walk, DropReason::DeniedByPolicy);
    }
    const auto slot = slotOf(walk.ip.destination());
    const auto device = meet(walk.now, recipient, &walk.output);
    if (slot && device && !walk.hairpin) {
        noteCaller(walk.now, *device, walk.ip.source(), *slot);
    }
    deliverPortless(walk, recipient, std::nullopt);
    return Verdict::forward(PortId::Internal);
}

Verdict Engine::State::deliverToForward(Walk& walk, const policy::PortForward& forward)
{
    const Verdict verdict = deliverUninvited(walk, forward.internalAddress);
    if (verdict.kind == Verdict::Kind::Forward) ++forwards[forward.id].hits;
    return verdict;
}

std::optional<Verdict> Engine::State::deliverToOwner(Walk& walk, DropReason reason)
{
    // Not what somebody has forged, nor what the user has switched off.
    const bool unclaimed = reason == DropReason::EspNoOwner || reason == DropReason::GreNoCall ||
                           reason == DropReason::NoMapping;
    const auto slot = slotOf(walk.ip.destination());
    if (!unclaimed || !slot || slots[*slot].oneToOne.isUnspecified()) return std::nullopt;
    const auto kind = tunnelOf(walk.ip.protocol(), walk.ip.payload());
    if (!kind || config.passthrough.modeFor(*kind, slots[*slot].oneToOne, walk.ip.source()) ==
                     policy::PassthroughMode::Block) {
        return std::nullopt;
    }
    return deliverUninvited(walk, slots[*slot].oneToOne);
}

/// The first half of a packet that no session knows: it leaves by our address and comes back in.
Verdict Engine::State::loopPortless(Walk& walk, net::Ipv4Address external)
{
    const net::Ipv4Address sender = walk.ip.source();
    walk.ip.rewriteSource(external);
    walk.ip.decrementTtl();
    const Verdict verdict = hairpin(walk, sender);
    if (verdict.kind == Verdict::Kind::Forward) {
        counters.hairpinned.bytes += walk.ip.totalLength();
        ++counters.hairpinned.packets;
    }
    return verdict;
}

const policy::PortForward* Engine::State::homeForward(IpProtocol protocol) const
{
    if (!config.nat.hairpinning) return nullptr;
    for (const policy::PortForward& forward : config.portForwards) {
        if (forward.enabled && forward.hairpin && forward.protocol == protocol) return &forward;
    }
    // Whoever answers IKE here answers its ESP.
    if (protocol != IpProtocol::Esp) return nullptr;
    const policy::PortForward* const ike = forwardTo(IpProtocol::Udp, net::Port{500});
    return ike != nullptr && ike->hairpin ? ike : nullptr;
}

bool Engine::State::mayTake(const Walk& walk, std::uint32_t index) const
{
    if (!walk.hairpin) return true;
    const nat::Session& session = sessions[index];
    if (session.internal == walk.sender) return false;
    // A call has its number from us, and so it is the receiver's whoever sends.
    if (session.rewrite.inboundVariant ==
        static_cast<std::uint8_t>(passthrough::Discriminator::Variant::GreCall)) {
        return true;
    }
    const policy::PortForward* const home = homeForward(session.protocol);
    return home != nullptr &&
           (home->internalAddress == walk.sender || home->internalAddress == session.internal);
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
