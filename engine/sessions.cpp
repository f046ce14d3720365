#include "engine/engine_state.h"
#include "engine/nat/behaviour_rules.h"

#include <algorithm>
#include <cassert>

/// Making sessions and ending them; who may have how many; what passthrough has asked for.
namespace engine {

namespace sf = nat::session_flag;
namespace df = nat::detail_flag;
using net::Direction;
using net::IpProtocol;
using passthrough::FlowEnd;

namespace {

/// Ours: no program has so many ports in a row, and no system draws from fewer.
constexpr std::uint32_t kLeastDrawnFrom = 1024;

tunnel::EventKind causeOf(FlowEnd end)
{
    switch (end) {
    case FlowEnd::Expired: return tunnel::EventKind::TimedOut;
    case FlowEnd::Closed: return tunnel::EventKind::PeerClosed;
    case FlowEnd::Reset: return tunnel::EventKind::ResetBy;
    case FlowEnd::Admin: return tunnel::EventKind::DroppedBySwitch;
    case FlowEnd::Evicted: return tunnel::EventKind::TimedOut;
    case FlowEnd::AddressLost: return tunnel::EventKind::ExternalAddressChanged;
    }
    return tunnel::EventKind::TimedOut;
}

}  // namespace

nat::ProtocolBehaviour Engine::State::behaviourOf(IpProtocol protocol, net::Endpoint internal) const
{
    return nat::behaviourOf(config.nat, protocol, internal);
}

bool Engine::State::isUntranslated(net::Endpoint remote) const
{
    return nat::isUntranslated(config.nat, remote);
}

const policy::PortForward* Engine::State::forwardTo(const std::vector<policy::PortForward>& among,
                                                    IpProtocol protocol, net::Port external)
{
    for (const policy::PortForward& forward : among) {
        if (forward.enabled && forward.protocol == protocol &&
            forward.externalPorts.contains(external)) {
            return &forward;
        }
    }
    return nullptr;
}

const policy::PortForward* Engine::State::forwardTo(IpProtocol protocol, net::Port external) const
{
    const policy::PortForward* forward = forwardTo(config.portForwards, protocol, external);
    const bool works = forward != nullptr && mayBeDevice(forward->internalAddress) &&
                       !isBoundByHost({external, external});
    return works ? forward : nullptr;
}

std::optional<ForwardObstacle> Engine::State::obstacleOf(const policy::PortForward& forward) const
{
    if (!forward.enabled) return std::nullopt;
    if (!mayBeDevice(forward.internalAddress)) return ForwardObstacle::DeviceElsewhere;
    if (net::hasPorts(forward.protocol) && isBoundByHost(forward.externalPorts)) {
        return ForwardObstacle::PortOfHost;
    }
    return std::nullopt;
}

bool Engine::State::isBoundByHost(net::PortRange ports) const
{
    // What the host draws from is reserved as a whole, and may be forwarded.
    return std::ranges::any_of(config.reservedPorts, [&](const net::PortRange& range) {
        return range.overlaps(ports) && range.size() < kLeastDrawnFrom;
    });
}

const policy::PortForward* Engine::State::forwardFrom(IpProtocol protocol,
                                                      net::Endpoint internal) const
{
    for (const policy::PortForward& forward : config.portForwards) {
        if (!forward.enabled || forward.protocol != protocol ||
            forward.internalAddress != internal.address) {
            continue;
        }
        const std::uint32_t offset =
            std::uint32_t{internal.port.hostOrder()} - forward.internalFirst.hostOrder();
        if (offset >= forward.externalPorts.size()) continue;
        const net::Port external{
            static_cast<std::uint16_t>(forward.externalPorts.first.hostOrder() + offset)};
        if (!isBoundByHost({external, external})) return &forward;
    }
    return nullptr;
}

net::Port Engine::State::shifted(const policy::PortForward& forward, net::Port external)
{
    return net::Port{static_cast<std::uint16_t>(external.hostOrder() -
                                                forward.externalPorts.first.hostOrder() +
                                                forward.internalFirst.hostOrder())};
}

const policy::DeviceRule* Engine::State::ruleOf(net::Ipv4Address device) const
{
    for (const policy::DeviceRule& rule : config.deviceRules) {
        if (rule.address == device) return &rule;
    }
    return nullptr;
}

std::uint32_t Engine::State::sessionLimit(net::Ipv4Address device) const
{
    if (const auto* rule = ruleOf(device); rule != nullptr && rule->sessionLimit) {
        return *rule->sessionLimit;
    }
    if (config.nat.limits.sessionsPerDevice != 0) return config.nat.limits.sessionsPerDevice;
    return std::max(1024U, sessions.capacity() / 8);
}

std::uint32_t Engine::State::portLimit() const
{
    if (config.nat.limits.portsPerDevice != 0) return config.nat.limits.portsPerDevice;
    const auto shared = static_cast<std::uint32_t>(std::max<std::size_t>(1, sharedSlots));
    return std::max(1U, config.nat.ports.size() * shared / 4);
}

nat::MaybeDevice Engine::State::meet(Instant now, net::Ipv4Address address, Output* output)
{
    const auto device = devices.findOrMake(now, address);
    if (!device || devices[*device].met) return device;
    devices[*device].met = true;
    // The record may have been another's.
    if (traffic.size() <= *device) traffic.resize(*device + std::size_t{1});
    traffic[*device] = {};
    refusals.erase(*device);
    if (output != nullptr) emitEvent(now, *output, DeviceSeen{address});
    return device;
}

/// RFC 4787 REQ-2: one device always has the same external address, whatever the protocol.
std::uint8_t Engine::State::pair(std::uint16_t device)
{
    nat::Device& owner = devices[device];
    if (owner.paired && slots[owner.externalSlot].used) return owner.externalSlot;
    std::array<std::uint8_t, nat::kExternalSlots> shared{};
    std::size_t count = 0;
    for (std::size_t i = 0; i < slots.size(); ++i) {
        if (!slots[i].used) continue;
        if (slots[i].oneToOne == owner.address && !owner.address.isUnspecified()) {
            owner.paired = true;
            owner.externalSlot = static_cast<std::uint8_t>(i);
            return owner.externalSlot;
        }
        if (slots[i].oneToOne.isUnspecified()) shared[count++] = static_cast<std::uint8_t>(i);
    }
    owner.paired = true;
    owner.externalSlot = count == 0 ? std::uint8_t{0} : shared[device % count];
    return owner.externalSlot;
}

std::uint8_t Engine::State::slotToward(Instant now, std::uint16_t device, net::Ipv4Address remote)
{
    const std::uint8_t own = pair(device);
    if (callers.empty()) return own;
    const auto found = callers.find((std::uint64_t{devices[device].address.hostOrder()} << 32) |
                                    remote.hostOrder());
    if (found == callers.end()) return own;
    found->second.lastSeen = now;
    return found->second.slot;
}

void Engine::State::noteCaller(Instant now, std::uint16_t device, net::Ipv4Address remote,
                               std::uint8_t slot)
{
    const std::uint64_t key =
        (std::uint64_t{devices[device].address.hostOrder()} << 32) | remote.hostOrder();
    if (slot == pair(device)) {
        callers.erase(key);
        return;
    }
    if (callers.size() >= kMostCallers && now - callersTidied >= std::chrono::seconds(1)) {
        callersTidied = now;
        std::erase_if(callers, [&](const auto& entry) {
            return now - entry.second.lastSeen >= config.nat.timers.portless;
        });
    }
    if (callers.size() < kMostCallers || callers.contains(key)) callers[key] = {slot, now};
}

/// Whether this device may have one more session (and a port for it). Makes room among the device's
/// own unanswered sessions if it must, never among anybody else's.
MaybeReason Engine::State::admit(Instant now, std::uint16_t device, Output& output,
                                 std::optional<net::Port>* reuse, IpProtocol protocol,
                                 bool needsPort)
{
    nat::Device& owner = devices[device];
    owner.lastSeen = now;
    const std::uint32_t perSecond = config.nat.limits.newSessionsPerSecond;
    if (perSecond != 0) {
        if (now - owner.rateSecond >= std::chrono::seconds(1)) {
            owner.rateSecond = now;
            owner.rateUsed = 0;
        }
        if (++owner.rateUsed > perSecond) return DropReason::QuotaRate;
    }
    const bool full =
        owner.sessions >= sessionLimit(owner.address) || sessions.size() >= sessions.capacity();
    const bool portsUsedUp =
        needsPort && owner.ports[nat::MappingTable::lane(protocol)] >= portLimit();
    if (!full && !portsUsedUp) return std::nullopt;
    if (full && owner.uninvited.size > 0) {
        close(now, owner.uninvited.oldest, FlowEnd::Expired, output);
        if (!portsUsedUp) return std::nullopt;
    }
    if (owner.unanswered.size == 0) {
        return full && sessions.size() >= sessions.capacity() &&
                       owner.sessions < sessionLimit(owner.address)
                   ? DropReason::SessionTableFull
                   : DropReason::QuotaDevice;
    }
    // The port of the evicted session goes on to the new one, so that a flood of unanswered flows
    // does not fill the pool's quarantine.
    const std::uint32_t victim = owner.unanswered.oldest;
    const nat::SessionDetail& rest = sessions.detail(victim);
    const std::uint32_t mapping = rest.mapping;
    const bool last = mapping != nat::FlatIndex::kNone && mappings[mapping].sessions == 1 &&
                      mappings[mapping].displaced == 0 && mappings[mapping].protocol == protocol &&
                      reuse != nullptr && needsPort;
    const net::Port port = last ? mappings[mapping].external : net::Port{};
    close(now, victim, last ? FlowEnd::Evicted : FlowEnd::Expired, output);
    if (last) {
        *reuse = port;
    } else if (portsUsedUp && owner.ports[nat::MappingTable::lane(protocol)] >= portLimit()) {
        return DropReason::QuotaDevice;
    }
    return std::nullopt;
}

/// The same for a session that begins outside. Strangers make room among themselves, so that they
/// take neither the device's own sessions nor more than a part of its share.
MaybeReason Engine::State::admitUninvited(Instant now, std::uint16_t device, Output& output)
{
    nat::Device& owner = devices[device];
    owner.lastSeen = now;
    const std::uint32_t limit = sessionLimit(owner.address);
    const bool tableFull = sessions.size() >= sessions.capacity();
    const bool crowded = owner.uninvited.size >= std::max(1U, limit / kUninvitedShare);
    if (owner.sessions < limit && !tableFull && !crowded) return std::nullopt;
    if (owner.uninvited.size == 0) {
        return owner.sessions < limit ? DropReason::SessionTableFull : DropReason::QuotaDevice;
    }
    close(now, owner.uninvited.oldest, FlowEnd::Expired, output);
    return std::nullopt;
}

Engine::State::Opened Engine::State::openOutbound(Instant now, Wish& wish, Output& output)
{
    if (slotsEnd == 0) {
        return {std::nullopt, DropReason::ExternalDown};
    }
    const auto device = meet(now, wish.internal.address, &output);
    if (!device) return {std::nullopt, DropReason::QuotaDevice};
    const policy::DeviceRule* rule = ruleOf(wish.internal.address);
    if (rule != nullptr &&
        (rule->access == policy::DeviceAccess::Block ||
         // No tunnel is ever recognised in pings, so none may leave.
         (rule->access == policy::DeviceAccess::VpnOnly && wish.protocol == IpProtocol::Icmp))) {
        return {std::nullopt, DropReason::DeniedByPolicy};
    }
    wish.initiator = Direction::Outbound;
    if (!wish.hairpin && isUntranslated(wish.remote)) {
        // No helper looks at it, so no tunnel would ever be recognised in it.
        if (rule != nullptr && rule->access == policy::DeviceAccess::VpnOnly) {
            return {std::nullopt, DropReason::DeniedByPolicy};
        }
        if (const auto reason = admit(now, *device, output, nullptr, wish.protocol, false)) {
            return {std::nullopt, *reason};
        }
        wish.slot = nat::kUntranslatedSlot;
        wish.external = wish.internal.port;
        return open(now, wish, *device, output);
    }
    wish.slot = pair(*device);
    const bool owned = slots[wish.slot].oneToOne == wish.internal.address &&
                       !wish.internal.address.isUnspecified();
    if (!owned && sharedSlots == 0) return {std::nullopt, DropReason::ExternalDown};
    std::optional<net::Port> reuse;
    const policy::PortForward* forward = forwardFrom(wish.protocol, wish.internal);
    nat::MappingWish mappingWish{.protocol = wish.protocol,
                                 .behaviour = behaviourOf(wish.protocol, wish.internal).mapping,
                                 .internal = wish.internal,
                                 .remote = wish.remote,
                                 .externalSlot = wish.slot,
                                 .device = *device};
    const bool dynamic = !owned && forward == nullptr;
    nat::MaybeIndex mapping;
    if (dynamic) {
        mapping = wish.ahead != nullptr && wish.ahead->mappingHash != 0
                      ? mappings.find(mappingWish, wish.ahead->mappingHash)
                      : mappings.find(mappingWish);
    }
    // The mapping that is found may be the very one that makes room: hold it meanwhile.
    if (mapping) ++mappings[*mapping].holders;
    const auto reason = admit(now, *device, output, &reuse, wish.protocol, dynamic && !mapping);
    if (reason && mapping) letGo(now, *mapping, nat::MappingTable::Afterwards::Quarantine, output);
    if (reason) return {std::nullopt, *reason};
    if (owned) {
        wish.external = wish.internal.port;
    } else if (forward != nullptr) {
        wish.external = net::Port{static_cast<std::uint16_t>(
            wish.internal.port.hostOrder() - forward->internalFirst.hostOrder() +
            forward->externalPorts.first.hostOrder())};
        wish.forward = forward->id;
    } else if (!mapping) {
        const auto made = mappings.make(now, mappingWish, config.nat, random, reuse);
        if (!made.mapping) {
            return {std::nullopt, made.refusal == nat::MappingTable::Refusal::TableFull
                                      ? DropReason::SessionTableFull
                                      : DropReason::PortExhausted};
        }
        mapping = made.mapping;
        ++mappings[*mapping].holders;
        ++counters.mappingsCreated;
        ++devices[*device].ports[nat::MappingTable::lane(wish.protocol)];
    }
    if (mapping) {
        wish.mapping = mapping;
        wish.external = mappings[*mapping].external;
        wish.slot = mappings[*mapping].externalSlot;
    }
    const Opened opened = open(now, wish, *device, output);
    if (mapping) letGo(now, *mapping, nat::MappingTable::Afterwards::Quarantine, output);
    return opened;
}

Engine::State::Opened Engine::State::open(Instant now, const Wish& wish, std::uint16_t device,
                                          Output& output)
{
    const std::uint32_t outboundId = nat::portsId(wish.internal.port, wish.remote.port);
    const std::uint32_t inboundId = nat::portsId(wish.external, wish.remote.port);
    const bool translated = wish.slot != nat::kUntranslatedSlot;
    const net::Ipv4Address external = translated ? slots[wish.slot].address : wish.internal.address;
    // Both keys must be free: an alias or a second rule may already own one of them.
    const Ahead* const ahead = wish.ahead;
    const auto outboundKey =
        ahead != nullptr
            ? ahead->key
            : nat::SessionKey::make(Direction::Outbound, wish.protocol, 0, wish.internal.address,
                                    wish.remote.address, outboundId);
    const auto inboundKey = nat::SessionKey::make(Direction::Inbound, wish.protocol, 0, external,
                                                  wish.remote.address, inboundId);
    const bool answerKnown =
        ahead != nullptr && ahead->answerHash != 0 && ahead->answerKey == inboundKey;
    const nat::FlatIndex::Place unknown;
    const nat::FlatIndex::Place& outboundPlace = ahead != nullptr ? ahead->session : unknown;
    const nat::FlatIndex::Place& inboundPlace = answerKnown ? ahead->answer : unknown;
    const std::uint32_t outboundHash =
        ahead != nullptr ? ahead->hash : sessions.hashOf(outboundKey);
    const std::uint32_t inboundHash = answerKnown ? ahead->answerHash : sessions.hashOf(inboundKey);
    const auto isTaken = [&](const nat::SessionKey& key, std::uint32_t hash,
                             const nat::FlatIndex::Place& place) {
        return !sessions.isStillAbsent(place) && findLive(now, key, hash, output);
    };
    if (isTaken(inboundKey, inboundHash, inboundPlace) ||
        isTaken(outboundKey, outboundHash, outboundPlace)) {
        return {std::nullopt, DropReason::PortExhausted};
    }
    const auto index = sessions.allocate(now);
    if (!index) return {std::nullopt, DropReason::SessionTableFull};
    // Of the session after this one: this one's was asked for when the one before was made.
    __builtin_prefetch(passthrough.entryAhead(sessions.nextFlowId()), 1);
    nat::Session& session = sessions[*index];
    nat::SessionDetail& rest = sessions.detail(*index);
    session.internal = wish.internal.address;
    session.remote = wish.remote.address;
    session.outboundId = outboundId;
    session.inboundId = inboundId;
    session.protocol = wish.protocol;
    session.externalSlot = wish.slot;
    session.device = device;
    session.window = {};
    rest.forward = wish.forward;
    if (wish.initiator == Direction::Outbound) {
        session.flags |= sf::kOutboundFirst | sf::kOutboundSeen;
    }
    if (wish.hairpin) session.flags |= sf::kHairpin;
    if (wish.protocol != IpProtocol::Icmp && translated) {
        rest.flags |= df::kInspect | df::kConsidered;
    }
    confine(*index);
    if (wish.mapping) join(*index, *wish.mapping, wish.holds, ahead);
    sessions.link(*index, Direction::Outbound, outboundHash, outboundPlace);
    sessions.link(*index, Direction::Inbound, inboundHash, inboundPlace);
    ++devices[device].sessions;
    putOnProbation(*index);
    if (wish.forward != 0) {
        ForwardState& forward = forwards[wish.forward];
        if (wish.initiator == Direction::Inbound) ++forward.hits;
        ++forward.live;
    }
    sessions.arm(*index, now + idleOf(*index));
    ++counters.sessionsCreated;
    refreshAttention(*index);
    return {index, DropReason::SessionTableFull};
}

/// A session becomes one of its mapping's.
void Engine::State::join(std::uint32_t index, std::uint32_t mapping, bool holds, const Ahead* ahead)
{
    const nat::Session& session = sessions[index];
    nat::SessionDetail& rest = sessions.detail(index);
    nat::Mapping& owner = mappings[mapping];
    rest.mapping = mapping;
    rest.mappingNext = owner.firstSession;
    if (owner.firstSession != nat::FlatIndex::kNone) {
        sessions.detail(owner.firstSession).mappingPrevious = index;
    }
    owner.firstSession = index;
    ++owner.sessions;
    if (holds) {
        ++owner.holders;
        rest.flags |= df::kHoldsMapping;
    }
    if (permits(index)) {
        const bool known = ahead != nullptr && ahead->permissionHash != 0 &&
                           ahead->mapping == mapping && ahead->key.remote() == session.remote;
        permissions.add(
            mapping, session.remote,
            known ? ahead->permissionHash : permissions.hashOf(mapping, session.remote));
        rest.flags |= df::kPermits;
    }
}

tunnel::AttachmentId Engine::State::attachmentOf(std::uint32_t index) const
{
    if (!sessions[index].has(sf::kAttached)) return {};
    const nat::SessionDetail& rest = sessions.detail(index);
    return {rest.attachmentIndex, rest.attachmentGeneration};
}

/// A session counts for this tunnel from now on, and for no other. False: for none.
bool Engine::State::attach(Instant now, std::uint32_t index, const tunnel::TunnelKey& key,
                           tunnel::SequenceKind sequence, tunnel::Carries carries)
{
    nat::Session& session = sessions[index];
    if (session.has(sf::kAttached)) {
        tunnels.detach(now, attachmentOf(index));
        session.flags = static_cast<std::uint8_t>(session.flags & ~sf::kAttached);
    }
    const tunnel::AttachmentId id = tunnels.attach(now, key, sequence, carries);
    nat::SessionDetail& rest = sessions.detail(index);
    if (id.isNone()) {
        // The tunnel was held, not the session.
        rest.flags = static_cast<std::uint16_t>(rest.flags & ~df::kHeld);
        refreshAttention(index);
        return false;
    }
    static_assert(tunnel::TunnelTable::kMostAttachments <= 0x10000);
    rest.attachmentIndex = static_cast<std::uint16_t>(id.index);
    rest.attachmentGeneration = id.generation;
    session.flags |= sf::kAttached;
    if (attachedSessions.size() <= id.index) {
        attachedSessions.resize(std::size_t{id.index} + 1, nat::FlatIndex::kNone);
    }
    attachedSessions[id.index] = index;
    return true;
}

/// A device that may only use tunnels: its sessions end unless one is recognised in them.
void Engine::State::confine(std::uint32_t index)
{
    const nat::Session& session = sessions[index];
    const auto* rule = ruleOf(session.internal);
    if (rule == nullptr || rule->access != policy::DeviceAccess::VpnOnly) return;
    const bool needed =
        session.protocol == IpProtocol::Udp &&
        (session.remotePort() == net::Port{53} || session.remotePort() == net::Port{123});
    if (!needed) sessions.detail(index).flags |= df::kVpnOnly;
}

void Engine::State::close(Instant now, std::uint32_t index, FlowEnd end, Output& output)
{
    if (!sweeps.empty()) countForSweeps(index);
    sessions.fold(index);
    nat::SessionDetail& rest = sessions.detail(index);
    const passthrough::FlowId id = sessions.flowId(index);
    const FlowEnd told = end == FlowEnd::Evicted ? FlowEnd::Expired : end;
    // Out of reach first: what follows may look for sessions.
    sessions.unlink(index, Direction::Outbound);
    sessions.unlink(index, Direction::Inbound);
    endProbation(index);
    if (rest.has(df::kPortless)) {
        const auto found = bindings.find(index);
        if (found != bindings.end()) {
            const passthrough::PortlessBinding binding = found->second;
            bindings.erase(found);
            if (binding.master != 0) {
                const auto [first, last] = children.equal_range(binding.master);
                for (auto child = first; child != last; ++child) {
                    if (child->second == index) {
                        children.erase(child);
                        break;
                    }
                }
            }
            actions.clear();
            passthrough.bindingClosed(now, binding, told, actions);
            perform(now, {.client = binding.client, .server = binding.server}, output);
        }
    } else if (rest.has(df::kConsidered)) {
        const passthrough::Flow flow = flowOf(index);
        actions.clear();
        passthrough.flowClosed(now, id, told, actions);
        perform(now, {.client = flow.internal.address, .server = flow.remote.address}, output);
    }
    const SessionRecord last = record(index);
    if (sessions[index].has(sf::kAttached)) {
        tunnels.detach(now, attachmentOf(index), causeOf(end));
    }
    std::vector<std::uint32_t> orphans;
    if (!children.empty()) {
        const auto [first, behind] = children.equal_range(id);
        for (auto child = first; child != behind; ++child)
            orphans.push_back(child->second);
        children.erase(first, behind);
    }
    const std::uint16_t device = sessions[index].device;
    --devices[device].sessions;
    if (rest.forward != 0) --forwards[rest.forward].live;
    const std::uint32_t mapping = rest.mapping;
    bool holds = false;
    if (mapping != nat::FlatIndex::kNone) {
        nat::Mapping& owner = mappings[mapping];
        if (rest.mappingPrevious != nat::FlatIndex::kNone) {
            sessions.detail(rest.mappingPrevious).mappingNext = rest.mappingNext;
        } else {
            owner.firstSession = rest.mappingNext;
        }
        if (rest.mappingNext != nat::FlatIndex::kNone) {
            sessions.detail(rest.mappingNext).mappingPrevious = rest.mappingPrevious;
        }
        --owner.sessions;
        if (rest.has(df::kPermits)) permissions.remove(mapping, sessions[index].remote);
        holds = rest.has(df::kHoldsMapping);
    }
    if (rest.has(df::kShifted)) synProxy.remove(shiftOf(index));
    sessions.release(index);
    ++counters.sessionsEnded;
    emitEvent(now, output, SessionEnded{last});
    for (const std::uint32_t orphan : orphans) {
        if (sessions.detail(orphan).has(df::kUsed)) close(now, orphan, end, output);
    }
    if (holds) {
        letGo(now, mapping,
              end == FlowEnd::Evicted ? nat::MappingTable::Afterwards::Reuse
                                      : nat::MappingTable::Afterwards::Quarantine,
              output);
    }
}

bool Engine::State::letGo(Instant now, std::uint32_t mapping,
                          nat::MappingTable::Afterwards afterwards, Output& output)
{
    if (mappings[mapping].holders > 1) {
        --mappings[mapping].holders;
        return true;
    }
    // We hold it ourselves until the end: what ends below must not remove it a second time.
    for (std::uint32_t ended = 0; mappings[mapping].firstSession != nat::FlatIndex::kNone;
         ++ended) {
        if (ended == kEndedWithMapping) {
            mappings[mapping].ending = 1;
            leftToWindUp += mappings[mapping].sessions;
            ending.push_back(mapping);
            return false;
        }
        close(now, mappings[mapping].firstSession, FlowEnd::Expired, output);
    }
    removeMapping(now, mapping, afterwards);
    return false;
}

void Engine::State::windUp(Instant now, std::uint64_t most, Output& output)
{
    const std::uint64_t before = counters.sessionsEnded;
    while (!ending.empty()) {
        const std::uint32_t mapping = ending.back();
        nat::Mapping& owner = mappings[mapping];
        if (owner.holders > 1) {
            // Its device has used it again meanwhile.
            --owner.holders;
            owner.ending = 0;
            ending.pop_back();
            continue;
        }
        if (owner.firstSession == nat::FlatIndex::kNone) {
            ending.pop_back();
            removeMapping(now, mapping, nat::MappingTable::Afterwards::Quarantine);
            continue;
        }
        if (counters.sessionsEnded - before >= most) return;
        close(now, owner.firstSession, FlowEnd::Expired, output);
    }
}

void Engine::State::removeMapping(Instant now, std::uint32_t mapping,
                                  nat::MappingTable::Afterwards afterwards)
{
    nat::Mapping& owner = mappings[mapping];
    assert(owner.holders == 1);
    --owner.holders;
    --devices[owner.device].ports[nat::MappingTable::lane(owner.protocol)];
    mappings.remove(now, mapping, afterwards);
}

Duration Engine::State::idleOf(std::uint32_t index, const nat::Timers& timers) const
{
    const nat::Session& session = sessions[index];
    Duration idle{0};
    switch (session.protocol) {
    case IpProtocol::Tcp:
        idle = nat::idleTimeout(session.tcpState, timers);
        // A server answers a SYN whoever made it up; only the third segment establishes anything.
        if (!session.has(sf::kOutboundFirst) && sessions.detail(index).has(df::kProbation)) {
            idle = std::min(idle, timers.tcpOpening);
        }
        break;
    case IpProtocol::Udp:
        idle = session.has(sf::kAnswered) ? timers.udpTwoWay : timers.udpOneWay;
        break;
    case IpProtocol::Icmp: idle = timers.icmpQuery; break;
    case IpProtocol::Esp: idle = timers.esp; break;
    case IpProtocol::IpIp:
    case IpProtocol::Dccp:
    case IpProtocol::SixInFour:
    case IpProtocol::Gre:
    case IpProtocol::Ah:
    case IpProtocol::EtherIp:
    case IpProtocol::IpComp:
    case IpProtocol::L2tpV3:
    case IpProtocol::Sctp:
    case IpProtocol::UdpLite: idle = timers.portless; break;
    }
    if (session.has(sf::kLongIdle)) {
        const nat::SessionDetail& rest = sessions.detail(index);
        const Duration wished = rest.longIdle();
        // A helper knows its own data sessions best; a flow with ports is only ever kept longer.
        if (rest.has(df::kPortless)) return wished;
        const bool alive =
            session.protocol != IpProtocol::Tcp || session.tcpState == nat::TcpState::Established;
        if (alive) idle = std::max(idle, wished);
    }
    return idle;
}

bool Engine::State::expired(Instant now, std::uint32_t index) const
{
    return now >= sessions[index].lastPacket + idleOf(index);
}

passthrough::Flow Engine::State::flowOf(std::uint32_t index) const
{
    const nat::Session& session = sessions[index];
    return {.id = sessions.flowId(index),
            .protocol = session.protocol,
            .internal = {session.internal, session.internalPort()},
            .external = {sessions.externalOf(session), session.externalPort()},
            .remote = {session.remote, session.remotePort()},
            .initiator = session.has(sf::kOutboundFirst) ? Direction::Outbound : Direction::Inbound,
            .loops = session.has(sf::kHairpin)};
}

nat::Device::Probation& Engine::State::probationOf(std::uint32_t index)
{
    nat::Device& owner = devices[sessions[index].device];
    return sessions[index].has(sf::kOutboundFirst) ? owner.unanswered : owner.uninvited;
}

void Engine::State::putOnProbation(std::uint32_t index)
{
    nat::SessionDetail& rest = sessions.detail(index);
    nat::Device::Probation& list = probationOf(index);
    rest.flags |= df::kProbation;
    rest.devicePrevious = list.newest;
    rest.deviceNext = nat::FlatIndex::kNone;
    if (list.newest != nat::FlatIndex::kNone) {
        sessions.detail(list.newest).deviceNext = index;
    } else {
        list.oldest = index;
    }
    list.newest = index;
    ++list.size;
    const nat::Session& session = sessions[index];
    if (session.protocol == IpProtocol::Tcp && !session.has(sf::kOutboundFirst)) {
        rest.flags |= df::kHandshake;
        ++devices[session.device].handshakes;
    }
}

void Engine::State::leaveHandshakes(std::uint32_t index)
{
    nat::SessionDetail& rest = sessions.detail(index);
    if (!rest.has(df::kHandshake)) return;
    rest.flags = static_cast<std::uint16_t>(rest.flags & ~df::kHandshake);
    --devices[sessions[index].device].handshakes;
}

void Engine::State::endProbation(std::uint32_t index)
{
    nat::SessionDetail& rest = sessions.detail(index);
    if (!rest.has(df::kProbation)) return;
    nat::Device::Probation& list = probationOf(index);
    if (rest.devicePrevious != nat::FlatIndex::kNone) {
        sessions.detail(rest.devicePrevious).deviceNext = rest.deviceNext;
    } else {
        list.oldest = rest.deviceNext;
    }
    if (rest.deviceNext != nat::FlatIndex::kNone) {
        sessions.detail(rest.deviceNext).devicePrevious = rest.devicePrevious;
    } else {
        list.newest = rest.devicePrevious;
    }
    --list.size;
    rest.deviceNext = rest.devicePrevious = nat::FlatIndex::kNone;
    rest.flags = static_cast<std::uint16_t>(rest.flags & ~df::kProbation);
    leaveHandshakes(index);
    refreshAttention(index);
}

void Engine::State::refreshAttention(std::uint32_t index)
{
    nat::Session& session = sessions[index];
    const nat::SessionDetail& rest = sessions.detail(index);
    // One that outside has begun is watched until its probation is over, and one whose numbers are
    // shifted for as long as it lives.
    const bool wanted =
        (rest.flags & (df::kInspect | df::kHeld | df::kBlocked | df::kShifted)) != 0 ||
        (rest.has(df::kProbation) && !session.has(sf::kOutboundFirst));
    session.flags = static_cast<std::uint8_t>(wanted ? session.flags | sf::kAttention
                                                     : session.flags & ~sf::kAttention);
}

/// A session that belongs to a tunnel which its switch refuses. A TCP connection is told; what has
/// no connection stays, so that its packets are refused by name instead of beginning anew.
void Engine::State::refuseFlow(Instant now, std::uint32_t index, Output& output)
{
    if (sessions[index].protocol == IpProtocol::Tcp) {
        tellReset(now, index, output);
        close(now, index, FlowEnd::Admin, output);
        return;
    }
    nat::SessionDetail& rest = sessions.detail(index);
    rest.flags |= df::kBlocked;
    rest.blockedBy = static_cast<std::uint8_t>(DropReason::PassthroughOff);
    refreshAttention(index);
}

/// Does what passthrough has asked for. An expectation can name nobody but the client and the
/// server of what was just shown; anything else is our own mistake and is not done.
void Engine::State::carryOut(Instant now, const Shown& shown, Output& output)
{
    // Closing and releasing call passthrough again, which fills `actions` anew.
    passthrough::Actions wanted;
    std::swap(wanted, actions);
    for (const tunnel::Observation& observation : wanted.observations) {
        if (observation.kind == tunnel::Observation::Kind::Label) {
            const std::uint64_t before = tunnels.serialOf(observation.key);
            tunnels.apply(now, observation);
            if (before == 0) ++switches[static_cast<std::size_t>(observation.protocol)].tunnelsSeen;
        } else {
            tunnels.apply(now, observation);
        }
    }
    const auto allowed = [&](net::Ipv4Address client, net::Ipv4Address server) {
        const bool clientFits = shown.client.isUnspecified() || client == shown.client;
        const bool serverFits = shown.server.isUnspecified() || server == shown.server;
        return clientFits && serverFits;
    };
    for (const passthrough::PortlessUnbinding& unbinding : wanted.unbindings) {
        unbind(now, unbinding, output);
    }
    for (const passthrough::PortlessBinding& binding : wanted.bindings) {
        if (allowed(binding.client, binding.server)) bind(now, binding);
    }
    for (const passthrough::Attachment& attachment : wanted.attachments) {
        const auto index = sessions.byFlowId(attachment.flow);
        if (!index) continue;
        if (!attach(now, *index, attachment.key, attachment.sequence, tunnel::Carries::Either)) {
            continue;
        }
        if (attachment.idle > Duration{0}) {
            nat::Session& session = sessions[*index];
            session.flags |= sf::kLongIdle;
            sessions.detail(*index).setLongIdle(attachment.idle);
            sessions.arm(*index, session.lastPacket + idleOf(*index));
        }
    }
    for (const passthrough::UdpAlias& alias : wanted.aliases) {
        const auto index = sessions.byFlowId(alias.flow);
        if (!index || sessions[*index].protocol != IpProtocol::Udp) continue;
        if (alias.sendFromExternalPort) {
            sessions[*index].flags |= sf::kSendAlias;
            sessions.detail(*index).aliasPort = alias.externalPort.hostOrder();
        }
        const passthrough::Flow flow = flowOf(*index);
        Wish wish{.protocol = IpProtocol::Udp,
                  .internal = flow.internal,
                  .remote = {flow.remote.address, alias.remotePort},
                  .external = alias.externalPort,
                  .slot = sessions[*index].externalSlot,
                  .initiator = Direction::Outbound,
                  .holds = true};
        if (alias.externalPort == flow.external.port &&
            sessions.detail(*index).mapping != nat::FlatIndex::kNone) {
            wish.mapping = sessions.detail(*index).mapping;
        }
        if (wish.remote.port == flow.remote.port) continue;  // redirects serve that one
        // "Any port" is what the other two filterings allow anyway.
        if (alias.remotePort == net::Port{0} &&
            behaviourOf(IpProtocol::Udp, flow.internal).filtering !=
                nat::Behaviour::AddressAndPortDependent) {
            continue;
        }
        const Opened opened = open(now, wish, sessions[*index].device, output);
        if (opened.session) endProbation(*opened.session);
    }
    for (const passthrough::FlowId flow : wanted.refusals) {
        const auto index = sessions.byFlowId(flow);
        if (index && allowed(sessions[*index].internal, sessions[*index].remote)) {
            refuseFlow(now, *index, output);
        }
    }
    for (const std::uint32_t token : wanted.discards)
        releaseHeld(now, token, false, output);
    for (const std::uint32_t token : wanted.releases)
        releaseHeld(now, token, true, output);
    // Give the allocations back for the next packet.
    wanted.clear();
    if (actions.observations.capacity() < wanted.observations.capacity())
        std::swap(wanted, actions);
    actions.clear();
}

}  // namespace engine
