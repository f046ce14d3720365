#include "engine/engine_state.h"

#include <algorithm>
#include <array>

/// Who answers at our external addresses over protocols without ports: what nobody inside has asked
/// for goes there, from outside and from other devices inside alike (RFC 4787 REQ-9).
namespace engine {

using nat::SessionKey;
using net::Direction;
using net::IpProtocol;

namespace {

/// IKE's: whoever answers there answers its ESP.
constexpr net::Port kIke{500};

/// Whose switch a packet of this protocol obeys when no tunnel has claimed it.
std::optional<net::VpnProtocol> tunnelOf(IpProtocol protocol, wire::ConstBytes payload)
{
    switch (protocol) {
    case IpProtocol::Gre: {
        using Variant = passthrough::Discriminator::Variant;
        const auto id = passthrough::discriminatorOf(protocol, Direction::Inbound, payload);
        if (id && id->variant == Variant::GreCall) return net::VpnProtocol::Pptp;
        if (id && id->variant == Variant::EoipTunnel) return net::VpnProtocol::Eoip;
        return net::VpnProtocol::Gre;
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

bool Engine::State::isUnclaimed(DropReason reason)
{
    return reason == DropReason::EspNoOwner || reason == DropReason::GreNoCall ||
           reason == DropReason::NoMapping;
}

void Engine::State::rebuildHomes()
{
    portlessForwards.clear();
    for (const policy::PortForward& forward : config.portForwards) {
        if (!forward.enabled) continue;
        const bool ike =
            forward.protocol == IpProtocol::Udp && forward.externalPorts.contains(kIke);
        if (ike || net::isPortless(forward.protocol)) portlessForwards.push_back(forward);
    }
}

Engine::State::Home Engine::State::homeOf(net::Ipv4Address external, IpProtocol protocol,
                                          CallFrom from) const
{
    const bool inside = from == CallFrom::Inside;
    if (inside && !config.nat.hairpinning) return {};
    const auto slot = slotOf(external);
    if (!slot) return {};
    if (!slots[*slot].oneToOne.isUnspecified()) return {slots[*slot].oneToOne};
    const auto forwardOf = [&](IpProtocol wanted) -> const policy::PortForward* {
        for (const policy::PortForward& forward : portlessForwards) {
            if (forward.protocol == wanted && (forward.hairpin || !inside) &&
                mayBeDevice(forward.internalAddress)) {
                return &forward;
            }
        }
        return nullptr;
    };
    const policy::PortForward* forward = forwardOf(protocol);
    if (forward == nullptr && inside && protocol == IpProtocol::Esp) {
        forward = forwardOf(IpProtocol::Udp);
    }
    if (forward != nullptr) return {forward->internalAddress, forward};
    return inside ? Home{} : Home{config.exposedHost};
}

bool Engine::State::isHome(net::Ipv4Address device, net::Ipv4Address external,
                           IpProtocol protocol) const
{
    return !device.isUnspecified() && homeOf(external, protocol, CallFrom::Inside).device == device;
}

bool Engine::State::mayLoop(net::Ipv4Address device, net::Ipv4Address external,
                            IpProtocol protocol) const
{
    if (!homeOf(external, protocol, CallFrom::Inside).isNobody()) return true;
    // Somebody behind that address may have called the device.
    return std::any_of(slots.begin(), slots.begin() + static_cast<std::ptrdiff_t>(slotsEnd),
                       [&](const ExternalSlot& slot) {
                           return slot.used && isHome(device, slot.address, protocol);
                       });
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
    // Callers that share an address are not to reach each other by what the other has begun.
    return walk.answers || isHome(walk.sender, session.remote, session.protocol) ||
           isHome(session.internal, sessions.externalOf(session), session.protocol);
}

std::optional<Verdict> Engine::State::answer(Walk& walk, net::Ipv4Address own)
{
    const net::Ipv4Address device = walk.ip.source();
    const net::Ipv4Address caller = walk.ip.destination();
    const IpProtocol protocol = walk.ip.protocol();
    if (!config.nat.hairpinning || walk.ip.ttl() <= 1) return std::nullopt;
    // Where it may have been called: by its own address first, but rather where its packet fits.
    std::array<net::Ipv4Address, nat::kExternalSlots> called;
    std::size_t count = 0;
    if (isHome(device, own, protocol)) called[count++] = own;
    for (std::size_t i = 0; i < slotsEnd; ++i) {
        const net::Ipv4Address address = slots[i].address;
        if (slots[i].used && address != own && isHome(device, address, protocol)) {
            called[count++] = address;
        }
    }
    if (count > 1) {
        const auto discriminator =
            passthrough::discriminatorOf(protocol, Direction::Inbound, walk.ip.payload());
        const auto fits = [&](net::Ipv4Address address) {
            return discriminator &&
                   !sessions
                        .find(SessionKey::make(Direction::Inbound, protocol,
                                               static_cast<std::uint8_t>(discriminator->variant),
                                               caller, address, discriminator->id))
                        .isNone();
        };
        std::stable_partition(called.begin(), called.begin() + static_cast<std::ptrdiff_t>(count),
                              fits);
    }
    std::array<std::uint8_t, wire::Ipv4View::kMinimumHeader> before;
    std::copy_n(walk.ip.bytes().begin(), before.size(), before.begin());
    for (std::size_t i = 0; i < count; ++i) {
        walk.answers = true;
        walk.asks = true;
        walk.isNobodys = false;
        const Verdict verdict = loopPortless(walk, called[i]);
        walk.asks = false;
        if (!walk.isNobodys) return verdict;
        std::copy(before.begin(), before.end(), walk.ip.bytes().begin());
        walk.hairpin = false;
        walk.answers = false;
        walk.sender = {};
    }
    return std::nullopt;
}

/// The first half of a packet that no session knows: it leaves by our address and comes back in.
Verdict Engine::State::loopPortless(Walk& walk, net::Ipv4Address external)
{
    const net::Ipv4Address sender = walk.ip.source();
    walk.ip.rewriteSource(external);
    renumber(walk.ip, 1);
    walk.ip.decrementTtl();
    const Verdict verdict = hairpin(walk, sender);
    if (verdict.kind == Verdict::Kind::Forward) {
        counters.hairpinned.bytes += walk.ip.totalLength();
        ++counters.hairpinned.packets;
    }
    return verdict;
}

Verdict Engine::State::deliverHome(Walk& walk, const Home& home, DropReason reason)
{
    if (home.isNobody() || (walk.hairpin && home.device == walk.sender)) return drop(walk, reason);
    if (home.forward != nullptr) {
        if (!walk.hairpin && !home.forward->allowedRemotes.contains(walk.ip.source())) {
            return drop(walk, reason);
        }
        const std::uint32_t id = home.forward->id;
        const Verdict verdict = deliverUninvited(walk, home.device);
        if (verdict.kind == Verdict::Kind::Forward) ++forwards[id].hits;
        return verdict;
    }
    // To an owner goes neither what somebody has forged nor what the user has switched off.
    const auto kind = tunnelOf(walk.ip.protocol(), walk.ip.payload());
    if (!kind || !isUnclaimed(reason)) return drop(walk, reason);
    const auto isOff = [&](net::Ipv4Address device, net::Ipv4Address remote) {
        return config.passthrough.modeFor(*kind, device, remote) == policy::PassthroughMode::Block;
    };
    // A caller inside whose switch says no is here only because its tunnel may run on.
    if (isOff(home.device, walk.ip.source()) &&
        !(walk.hairpin && isOff(walk.sender, walk.ip.destination()))) {
        return drop(walk, DropReason::PassthroughOff);
    }
    return deliverUninvited(walk, home.device);
}

Verdict Engine::State::deliverUninvited(Walk& walk, net::Ipv4Address recipient)
{
    if (isBlocked(recipient)) return drop(walk, DropReason::DeniedByPolicy);
    const auto slot = slotOf(walk.ip.destination());
    const auto device = meet(walk.now, recipient, &walk.output);
    if (slot && device && !walk.hairpin) {
        noteCaller(walk.now, *device, walk.ip.source(), *slot);
    }
    deliverPortless(walk, recipient, std::nullopt);
    return Verdict::forward(PortId::Internal);
}

}  // namespace engine
