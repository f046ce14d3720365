#include "engine/engine_state.h"

#include <algorithm>
#include <map>

/// What the engine says about itself: events, records, snapshots; and the passing of time.
namespace engine {

namespace sf = nat::session_flag;
namespace df = nat::detail_flag;
using net::IpProtocol;
using passthrough::FlowEnd;

namespace {

/// Refusals that somebody at a window wants to know of. The rest is noise of the Internet, or part
/// of how protocols work; the counters have it all.
bool worthTelling(DropReason reason, PortId ingress)
{
    switch (reason) {
    case DropReason::DeniedByPolicy:
    case DropReason::PassthroughOff:
    case DropReason::QuotaDevice:
    case DropReason::QuotaRate:
    case DropReason::PortExhausted:
    case DropReason::SessionTableFull:
    case DropReason::ExternalDown:
    case DropReason::AhUntranslatable:
    case DropReason::GreKeyClash:
    case DropReason::L2tpIdClash:
    case DropReason::OneClientPerServer:
    case DropReason::UnsupportedProtocol:
    case DropReason::HelperBudget:
    case DropReason::SpoofedInternalSource: return ingress == PortId::Internal;
    case DropReason::NotForUs: return true;
    case DropReason::MalformedIp:
    case DropReason::BadIpChecksum:
    case DropReason::MalformedTransport:
    case DropReason::MalformedIcmp:
    case DropReason::BadIcmpChecksum:
    case DropReason::MalformedGre:
    case DropReason::MalformedEsp:
    case DropReason::MalformedL2tp:
    case DropReason::MalformedPptp:
    case DropReason::IpOptions:
    case DropReason::TtlExpired:
    case DropReason::Bogon:
    case DropReason::NoMapping:
    case DropReason::FilteredAddress:
    case DropReason::FilteredAddressAndPort:
    case DropReason::UnsolicitedSyn:
    case DropReason::HeldBySwitch:
    case DropReason::DfTooBig:
    case DropReason::FragmentQuota:
    case DropReason::FragmentTimeout:
    case DropReason::FragmentOverlap:
    case DropReason::FragmentTiny:
    case DropReason::FragmentOversize:
    case DropReason::FragmentOfDropped:
    case DropReason::TcpState:
    case DropReason::TcpOutOfWindow:
    case DropReason::TcpInexactReset:
    case DropReason::BadSynCookie:
    case DropReason::IcmpNoMatch:
    case DropReason::IcmpForged:
    case DropReason::IcmpRedirect:
    case DropReason::IcmpRate:
    case DropReason::PingNotAnswered:
    case DropReason::EspNoOwner:
    case DropReason::EspAmbiguous:
    case DropReason::GreNoCall:
    case DropReason::GreOutOfWindow:
    case DropReason::ControlOutOfOrder:
    case DropReason::IkeHeld:
    case DropReason::HairpinLoop:
    case DropReason::ToRouterItself:
    case DropReason::NoNextHop:
    case DropReason::QueueFull:
    case DropReason::EgressGuard: return false;
    }
    return false;
}

}  // namespace

void Engine::State::emitEvent(Instant now, Output& output, Event event)
{
    if (now - eventSecond >= std::chrono::seconds(1) || now < eventSecond) {
        eventSecond = now;
        eventsThisSecond = 0;
    }
    if (++eventsThisSecond > kEventsPerSecond) {
        ++counters.eventsLost;
        return;
    }
    output.events.push_back(std::move(event));
}

void Engine::State::reportRefusal(Walk& walk, DropReason reason)
{
    if (!worthTelling(reason, walk.ingress)) return;
    net::Ipv4Address device =
        walk.ingress == PortId::Internal ? walk.ip.source() : walk.ip.destination();
    if (walk.hairpin) device = walk.sender;
    const auto known = devices.find(device);
    if (known) ++devices[*known].refused;
    const std::uint16_t slot = known ? *known : std::uint16_t{0xffff};
    RefusalSeen& seen = refusals[slot];
    if (walk.now - seen.minute >= std::chrono::minutes(1) || seen.kinds == 0) {
        seen.minute = walk.now;
        seen.kinds = 0;
    }
    const std::uint64_t bit = std::uint64_t{1} << static_cast<unsigned>(reason);
    if ((seen.kinds & bit) != 0) return;
    seen.kinds |= bit;
    net::Endpoint remote{
        walk.ingress == PortId::Internal ? walk.ip.destination() : walk.ip.source(), net::Port{}};
    if (net::hasPorts(walk.ip.protocol()) && walk.ip.payload().size() >= 4 &&
        walk.ip.fragmentOffset() == 0) {
        remote.port =
            net::Port{wire::load16(walk.ip.payload(), walk.ingress == PortId::Internal ? 2 : 0)};
    }
    emitEvent(walk.now, walk.output, Refused{reason, device, remote, walk.ip.protocol()});
}

void Engine::State::reportTunnels(Instant now, Output& output)
{
    if (!tunnels.hasNews(now)) return;
    changedTunnels.clear();
    endedTunnels.clear();
    tunnels.takeNews(now, changedTunnels, endedTunnels);
    for (tunnel::Tunnel& tunnel : changedTunnels) {
        emitEvent(now, output, TunnelChanged{std::move(tunnel)});
    }
    for (tunnel::Tunnel& tunnel : endedTunnels) {
        if (tunnel.phase == tunnel::Phase::Refused) {
            ++switches[static_cast<std::size_t>(tunnel.protocol)].refused;
        }
        emitEvent(now, output, TunnelEnded{std::move(tunnel)});
    }
}

void Engine::State::timeout(Instant now, Output& output)
{
    // One that ends may take others along, so what has ended counts, not what was due.
    const std::uint64_t before = counters.sessionsEnded;
    windUp(now, kExpiriesPerCall, output);
    for (std::uint32_t armed = 0; armed + counters.sessionsEnded - before < kExpiriesPerCall;) {
        const auto due = sessions.takeDue(now);
        if (!due) break;
        if (expired(now, *due)) {
            close(now, *due, FlowEnd::Expired, output);
        } else {
            sessions.arm(*due, sessions[*due].lastPacket + idleOf(*due));
            ++armed;
        }
    }
    const auto helpers = passthrough.nextTimeout();
    if (helpers && *helpers <= now) {
        actions.clear();
        passthrough.handleTimeout(now, actions);
        perform(now, {}, output);
    }
    const auto watch = tunnels.nextTimeout();
    if (watch && *watch <= now) tunnels.handleTimeout(now);
    fragments.expire(now);
    const nat::FragmentDiscards discards = fragments.takeDiscards();
    const auto add = [&](DropReason reason, std::uint64_t count) {
        counters.drops[static_cast<std::size_t>(reason)] += count;
    };
    add(DropReason::FragmentQuota, discards.quota);
    add(DropReason::FragmentTimeout, discards.timeout);
    add(DropReason::FragmentOverlap, discards.overlap);
    add(DropReason::FragmentOfDropped, discards.ofDropped);
    const auto checked = synProxy.nextTimeout();
    if (checked && *checked <= now) tendSynProxy(now, kExpiriesPerCall, output);
    while (!held.empty() && held.front().until <= now) {
        releaseHeld(now, held.front().token, true, output);
    }
    for (std::size_t i = 0; i < switches.size(); ++i) {
        if (switches[i].held && switches[i].heldUntil <= now) {
            resolveHold(now, static_cast<net::VpnProtocol>(i), ResolveHold::How::Drop, output);
        }
    }
    if (parked && parkedUntil <= now) unpark(now, kExpiriesPerCall, output);
    goOn(now, output);
    reportTunnels(now, output);
}

std::optional<Instant> Engine::State::deadline() const
{
    std::optional<Instant> next = sessions.nextDue();
    const auto earlier = [&](std::optional<Instant> other) {
        if (other && (!next || *other < *next)) next = other;
    };
    earlier(passthrough.nextTimeout());
    earlier(tunnels.nextTimeout());
    earlier(fragments.nextTimeout());
    earlier(synProxy.nextTimeout());
    if (!held.empty()) earlier(held.front().until);
    if (!ending.empty() || !sweeps.empty()) earlier(Instant{});
    if (parked) earlier(parkedUntil);
    for (const Switch& position : switches) {
        if (position.held) earlier(position.heldUntil);
    }
    return next;
}

SessionRecord Engine::State::record(std::uint32_t index) const
{
    const nat::Session& session = sessions[index];
    const nat::SessionDetail& rest = sessions.detail(index);
    SessionRecord record;
    record.serial = rest.serial();
    record.protocol = session.protocol;
    record.internal = {session.internal, session.internalPort()};
    record.external = {sessions.externalOf(session), session.externalPort()};
    record.remote = {session.remote, session.remotePort()};
    if (rest.has(df::kPortless)) {
        record.internal.port = record.external.port = record.remote.port = net::Port{};
        record.discriminatorOut = session.outboundId;
        record.discriminatorIn = session.inboundId;
    }
    record.tcpState = session.protocol == IpProtocol::Tcp ? session.tcpState : nat::TcpState::None;
    record.outboundInitiated = session.has(sf::kOutboundFirst);
    record.answered = session.has(sf::kAnswered);
    record.held = rest.has(df::kHeld);
    record.outbound = {rest.packetsOut + std::uint64_t{session.packetsOut},
                       rest.bytesOut + session.bytesOut};
    record.inbound = {rest.packetsIn + std::uint64_t{session.packetsIn},
                      rest.bytesIn + session.bytesIn};
    record.created = rest.created();
    record.lastPacket = session.lastPacket;
    record.expires = session.lastPacket + idleOf(index);
    record.tunnelSerial = tunnels.serialOf(attachmentOf(index));
    record.forwardId = rest.forward;
    return record;
}

ProtocolStatus Engine::State::statusOf(net::VpnProtocol protocol) const
{
    const Switch& position = switches[static_cast<std::size_t>(protocol)];
    ProtocolStatus status;
    status.position = config.passthrough.of(protocol);
    status.heldUntil = position.held ? position.heldUntil : Instant{};
    status.tunnelsSeen = position.tunnelsSeen;
    status.refused = position.refused;
    status.selfTest = position.selfTest;
    return status;
}

Snapshot Engine::State::snapshot(Instant now) const
{
    Snapshot snapshot;
    snapshot.at = now;
    snapshot.counters = counters;
    snapshot.sessions = sessions.size();
    snapshot.sessionLimit = sessions.capacity();
    snapshot.mappings = mappings.size();
    snapshot.memory = sessions.memory() + mappings.memory() + permissions.memory() +
                      fragments.memory() + synProxy.memory();
    snapshot.internal = config.internal;
    snapshot.external = config.external;
    snapshot.tunnels = tunnels.tunnels();
    // When the longest-lived session of each tunnel would expire.
    std::unordered_map<std::uint64_t, Instant> expiries;
    forEachAttached([&](std::uint32_t index) {
        Instant& latest = expiries[tunnels.serialOf(attachmentOf(index))];
        latest = std::max(latest, sessions[index].lastPacket + idleOf(index));
    });
    std::map<net::Ipv4Address, std::uint32_t> tunnelsOf;
    for (std::size_t i = 0; i < switches.size(); ++i) {
        snapshot.protocols[i] = statusOf(static_cast<net::VpnProtocol>(i));
    }
    for (tunnel::Tunnel& tunnel : snapshot.tunnels) {
        if (const auto found = expiries.find(tunnel.serial); found != expiries.end()) {
            tunnel.expires = found->second;
        }
        if (tunnel::isOver(tunnel.phase)) continue;
        ++tunnelsOf[tunnel.device];
        ProtocolStatus& status = snapshot.protocols[static_cast<std::size_t>(tunnel.protocol)];
        ++status.liveTunnels;
        if (tunnel.phase == tunnel::Phase::Held) ++status.heldTunnels;
    }
    for (std::size_t i = 0; i < devices.all().size(); ++i) {
        const nat::Device& device = devices.all()[i];
        DeviceStatus status;
        status.address = device.address;
        status.sessions = device.sessions;
        if (const auto found = tunnelsOf.find(device.address); found != tunnelsOf.end()) {
            status.tunnels = found->second;
        }
        if (i < traffic.size()) {
            status.outbound = traffic[i].outbound;
            status.inbound = traffic[i].inbound;
        }
        status.firstSeen = device.firstSeen;
        status.lastSeen = device.lastSeen;
        status.refused = device.refused;
        snapshot.devices.push_back(status);
    }
    for (const policy::PortForward& forward : config.portForwards) {
        PortForwardStatus status{.id = forward.id, .obstacle = obstacleOf(forward)};
        if (const auto found = forwards.find(forward.id); found != forwards.end()) {
            status.hits = found->second.hits;
            status.liveSessions = found->second.live;
        }
        snapshot.forwards.push_back(status);
    }
    snapshot.synFloods = floodsNow();
    if (const auto found = forwards.find(kExposure); found != forwards.end()) {
        snapshot.exposedSessions = found->second.live;
    }
    return snapshot;
}

}  // namespace engine
