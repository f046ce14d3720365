#include "engine/engine_state.h"
#include "engine/wire/builder.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

/// Wishes: each is checked whole before anything changes.
namespace engine {

namespace sf = nat::session_flag;
namespace df = nat::detail_flag;
using net::Direction;
using net::IpProtocol;
using passthrough::FlowEnd;

namespace {

template <typename... Ts>
struct Overload : Ts... {
    using Ts::operator()...;
};
template <typename... Ts>
Overload(Ts...) -> Overload<Ts...>;

/// RFC 4787 REQ-7. A side that is down, or whose network is not known (0.0.0.0/0), is no conflict.
bool overlap(const InternalSide& internal, const ExternalSide& external)
{
    return !external.addresses.empty() && external.prefix.length() != 0 &&
           external.prefix.overlaps(internal.prefix);
}

using Objection = std::optional<CommandError>;

/// A timer that stays as it is is not judged again.
Objection judge(const nat::Timers& wished, const nat::Timers& standing)
{
    struct Bound {
        Duration nat::Timers::*timer;
        Duration least;
    };
    constexpr std::array<Bound, 8> kBounds{{
        {&nat::Timers::udpOneWay, nat::kUdpTimeoutMinimum},
        {&nat::Timers::udpTwoWay, nat::kUdpTimeoutMinimum},
        {&nat::Timers::tcpEstablished, nat::kTcpEstablishedTimeout},
        {&nat::Timers::tcpOpening, nat::kTcpOpeningMinimum},
        {&nat::Timers::tcpClosing, nat::kTcpTransitoryTimeout},
        {&nat::Timers::icmpQuery, nat::kIcmpQueryTimeout},
        {&nat::Timers::portless, std::chrono::minutes(1)},
        {&nat::Timers::esp, std::chrono::minutes(1)},
    }};
    for (const Bound& bound : kBounds) {
        const Duration value = wished.*bound.timer;
        if (value == standing.*bound.timer) continue;
        if (value < bound.least) return CommandError::TimerTooShort;
        if (value > nat::kLongestTimer) return CommandError::TimerTooLong;
    }
    return std::nullopt;
}

}  // namespace

std::string_view nameOf(CommandError error)
{
    switch (error) {
    case CommandError::NoSuchTunnel: return "NoSuchTunnel";
    case CommandError::NoSuchSession: return "NoSuchSession";
    case CommandError::PortInUse: return "PortInUse";
    case CommandError::ForwardsOverlap: return "ForwardsOverlap";
    case CommandError::RangeInverted: return "RangeInverted";
    case CommandError::NotInternal: return "NotInternal";
    case CommandError::NotExternal: return "NotExternal";
    case CommandError::TooManyAddresses: return "TooManyAddresses";
    case CommandError::PrefixesOverlap: return "PrefixesOverlap";
    case CommandError::TimerTooShort: return "TimerTooShort";
    case CommandError::PortIsProtocol: return "PortIsProtocol";
    case CommandError::DuplicateAddress: return "DuplicateAddress";
    case CommandError::NothingHeld: return "NothingHeld";
    case CommandError::TimerTooLong: return "TimerTooLong";
    case CommandError::NotADevice: return "NotADevice";
    case CommandError::ProtocolNotForwarded: return "ProtocolNotForwarded";
    case CommandError::OnlyAddress: return "OnlyAddress";
    case CommandError::NoSelfTest: return "NoSelfTest";
    }
    return "Unknown";
}

bool isCounted(const Command& command)
{
    return std::holds_alternative<SetPortForwards>(command) ||
           std::holds_alternative<SetOneToOnes>(command) ||
           std::holds_alternative<SetNat>(command) ||
           std::holds_alternative<SetDeviceRules>(command) ||
           std::holds_alternative<SetExposedHost>(command);
}

void Engine::State::forEachSession(const std::function<void(std::uint32_t)>& visit) const
{
    for (std::uint32_t i = 0; i < sessions.touched(); ++i) {
        if (sessions.detail(i).has(df::kUsed)) visit(i);
    }
}

void Engine::State::forEachAttached(const std::function<void(std::uint32_t)>& visit) const
{
    for (std::uint32_t attachment = 0; attachment < attachedSessions.size(); ++attachment) {
        const std::uint32_t index = attachedSessions[attachment];
        if (index == nat::FlatIndex::kNone || !sessions.detail(index).has(df::kUsed) ||
            !sessions[index].has(sf::kAttached) || attachmentOf(index).index != attachment) {
            continue;
        }
        visit(index);
    }
}

Result<void, CommandError> Engine::State::applyCommand(Instant now, const Command& command,
                                                       Output& output)
{
    using Answer = Result<void, CommandError>;
    return std::visit(
        Overload{
            [&](const SetInternalSide& wish) -> Answer {
                if (overlap(wish.side, config.external)) return Err{CommandError::PrefixesOverlap};
                for (const net::Ipv4Address address : config.external.addresses) {
                    if (wish.side.prefix.contains(address)) {
                        return Err{CommandError::PrefixesOverlap};
                    }
                }
                const bool moved = wish.side.prefix != config.internal.prefix;
                config.internal = wish.side;
                passthrough.setInternalNetwork(config.internal.prefix);
                if (moved) {
                    const auto isOutside = [this, prefix = wish.side.prefix](std::uint32_t index) {
                        return !prefix.contains(sessions[index].internal);
                    };
                    begin(now, {.loses = isOutside, .cause = FlowEnd::AddressLost}, output);
                }
                return {};
            },
            [&](const SetExternalSide& wish) -> Answer {
                return setExternal(now, wish.side, output);
            },
            [&](const SetNat& wish) -> Answer {
                const nat::Timers& timers = wish.config.timers;
                if (const auto error = judge(timers, config.nat.timers)) return Err{*error};
                if (wish.config.ports.last < wish.config.ports.first ||
                    wish.config.ports.first == net::Port{0}) {
                    return Err{CommandError::RangeInverted};
                }
                for (const nat::Untranslated& rule : wish.config.untranslated) {
                    if (rule.ports.last < rule.ports.first) return Err{CommandError::RangeInverted};
                }
                for (const nat::BehaviourException& rule : wish.config.exceptions) {
                    if (rule.ports.last < rule.ports.first) return Err{CommandError::RangeInverted};
                    const bool stands =
                        std::ranges::any_of(config.nat.exceptions, [&](const auto& other) {
                            return other.devices == rule.devices && other.ports == rule.ports;
                        });
                    if (!stands && !config.internal.prefix.overlaps(rule.devices)) {
                        return Err{CommandError::NotInternal};
                    }
                }
                const bool isRetimed = timers != config.nat.timers;
                const bool isRefiltered = wish.config.tcp.filtering != config.nat.tcp.filtering ||
                                          wish.config.udp.filtering != config.nat.udp.filtering ||
                                          wish.config.icmp.filtering != config.nat.icmp.filtering ||
                                          wish.config.exceptions != config.nat.exceptions;
                Loses loses = losersOf(now, Command{wish});
                config.nat = wish.config;
                if (!config.nat.synProxy) endFloods(now, output);
                rebuildReserved();
                refreshTrust();
                // Whom new timers have expired ends by itself.
                settle(now, policy::OnLive::Finish, std::move(loses), output);
                if (isRefiltered) begin(now, {.kind = Sweep::Kind::Refilter}, output);
                if (isRetimed) begin(now, {.kind = Sweep::Kind::Rearm}, output);
                return {};
            },
            [&](const SetPassthrough& wish) -> Answer { return setSwitch(now, wish, output); },
            [&](const ResolveHold& wish) -> Answer {
                if (!switches[static_cast<std::size_t>(wish.protocol)].held) {
                    return Err{CommandError::NothingHeld};
                }
                resolveHold(now, wish.protocol, wish.how, output);
                return {};
            },
            [&](const SetPortForwards& wish) -> Answer {
                return setForwards(now, wish.forwards, wish.onLive, output);
            },
            [&](const SetOneToOnes& wish) -> Answer {
                bool takes = false;
                for (std::size_t i = 0; i < wish.oneToOnes.size(); ++i) {
                    const policy::OneToOne& rule = wish.oneToOnes[i];
                    if (!rule.enabled) continue;
                    const bool stands =
                        std::ranges::any_of(config.oneToOnes, [&](const auto& other) {
                            return other.enabled && other.internalAddress == rule.internalAddress &&
                                   other.externalAddress == rule.externalAddress;
                        });
                    if (!stands) {
                        if (const auto error = judgeDevice(rule.internalAddress)) {
                            return Err{*error};
                        }
                        if (!isExternal(rule.externalAddress)) {
                            return Err{CommandError::NotExternal};
                        }
                        takes = true;
                    }
                    for (std::size_t k = 0; k < i; ++k) {
                        const policy::OneToOne& other = wish.oneToOnes[k];
                        if (other.enabled && (other.internalAddress == rule.internalAddress ||
                                              other.externalAddress == rule.externalAddress)) {
                            return Err{CommandError::DuplicateAddress};
                        }
                    }
                }
                const auto isOwned = [&](net::Ipv4Address address) {
                    return std::ranges::any_of(wish.oneToOnes, [&](const auto& rule) {
                        return rule.enabled && rule.externalAddress == address;
                    });
                };
                // Everybody else, the host too, would have none.
                if (takes && std::ranges::all_of(config.external.addresses, isOwned)) {
                    return Err{CommandError::OnlyAddress};
                }
                Loses loses = losersOf(wish);
                config.oneToOnes = wish.oneToOnes;
                // Else it is done when the last session of an address that is gone has ended.
                if (!parked) rebuildSlots();
                settle(now, wish.onLive, std::move(loses), output);
                return {};
            },
            [&](const SetDeviceRules& wish) -> Answer {
                for (const policy::DeviceRule& rule : wish.rules) {
                    const bool stands = std::ranges::any_of(
                        config.deviceRules,
                        [&](const auto& other) { return other.address == rule.address; });
                    if (stands) continue;
                    if (const auto error = judgeDevice(rule.address)) return Err{*error};
                }
                const auto loses = losersOf(wish);
                config.deviceRules = wish.rules;
                settle(now, wish.onLive, loses, output);
                return {};
            },
            [&](const SetExposedHost& wish) -> Answer {
                if (!wish.address.isUnspecified()) {
                    if (const auto error = judgeDevice(wish.address)) return Err{*error};
                }
                config.exposedHost = wish.address;
                settle(now, wish.onLive, losersOf(wish), output);
                return {};
            },
            [&](const SetReservedPorts& wish) -> Answer {
                for (const net::PortRange& range : wish.ports) {
                    if (range.last < range.first) return Err{CommandError::RangeInverted};
                }
                config.reservedPorts = wish.ports;
                rebuildReserved();
                return {};
            },
            [&](const CloseTunnel& wish) -> Answer {
                const auto tunnel = tunnels.find(wish.serial);
                if (!tunnel || tunnel::isOver(tunnel->phase))
                    return Err{CommandError::NoSuchTunnel};
                tunnels.end(now, wish.serial, tunnel::Phase::Closed,
                            tunnel::EventKind::DroppedBySwitch);
                std::vector<passthrough::FlowId> carriers;
                forEachAttached([&](std::uint32_t index) {
                    if (tunnels.serialOf(attachmentOf(index)) == wish.serial) {
                        carriers.push_back(sessions.flowId(index));
                    }
                });
                if (!carriers.empty()) begin(now, {.listed = std::move(carriers)}, output);
                reportTunnels(now, output);
                return {};
            },
            [&](const CloseSession& wish) -> Answer {
                return closeSession(now, wish.serial, output);
            },
            [&](const RunSelfTest& wish) -> Answer {
                if (!config.selfTest) return Err{CommandError::NoSelfTest};
                runSelfTest(now, wish.protocol, output);
                return {};
            },
        },
        command);
}

/// Where it is in the table nobody knows.
Result<void, CommandError> Engine::State::closeSession(Instant now, std::uint64_t serial,
                                                       Output& output)
{
    if (serial == 0 || serial >= sessions.nextSerial()) return Err{CommandError::NoSuchSession};
    const std::uint64_t before = counters.sessionsEnded;
    begin(now,
          {.loses =
               [this, serial](std::uint32_t index) {
                   return sessions.detail(index).serial() == serial;
               }},
          output);
    // One that is not found before this call is over may be there, and will be gone.
    const bool isSearched = sweeps.empty();
    if (isSearched && counters.sessionsEnded == before) return Err{CommandError::NoSuchSession};
    return {};
}

std::optional<CommandError> Engine::State::judgeDevice(net::Ipv4Address address) const
{
    if (!config.internal.prefix.contains(address)) return CommandError::NotInternal;
    if (!mayBeDevice(address)) return CommandError::NotADevice;
    return std::nullopt;
}

bool Engine::State::isObeyedBySaved(const Command& command)
{
    return isCounted(command) || std::holds_alternative<SetInternalSide>(command) ||
           std::holds_alternative<SetExternalSide>(command) ||
           std::holds_alternative<SetPassthrough>(command) ||
           std::holds_alternative<ResolveHold>(command);
}

/// What a card shows is what two clashing clients have found, not what was wished for.
void Engine::State::runSelfTest(Instant now, net::VpnProtocol protocol, Output& output)
{
    if (!config.selfTest) return;
    SelfTestResult& result = switches[static_cast<std::size_t>(protocol)].selfTest;
    result = config.selfTest(protocol, config.passthrough.of(protocol));
    result.at = now;
    emitEvent(now, output, SelfTestFinished{protocol, result});
}

/// The inside of a TCP connection learns at once that it is over, instead of waiting for hours.
void Engine::State::tellReset(Instant /*now*/, std::uint32_t index, Output& output)
{
    const nat::Session& session = sessions[index];
    if (session.protocol != IpProtocol::Tcp || session.has(sf::kHairpin)) return;
    const auto acknowledged = session.window.expectedFrom(Direction::Inbound);
    const auto own = session.window.sentBy(Direction::Outbound);
    if (!acknowledged || !own) return;
    const auto send = [&](std::uint32_t sequence) {
        ++counters.generated;
        // It acknowledges, so that a client that waits for the answer to its SYN believes it, too.
        output.packets.push_back(
            {PortId::Internal,
             wire::buildTcp({.source = {session.remote, session.remotePort()},
                             .destination = {session.internal, session.internalPort()},
                             .flags = wire::tcp_flag::kRst | wire::tcp_flag::kAck,
                             .sequence = sequence,
                             .acknowledgement = *own,
                             .window = 0})});
    };
    send(*acknowledged);
    // What has passed and was not acknowledged yet may have arrived or not: only the exact number
    // is believed (RFC 5961 §3), so both are told.
    const auto passed = session.window.sentBy(Direction::Inbound);
    if (passed && *passed != *acknowledged) send(*passed);
}

Result<void, CommandError> Engine::State::setExternal(Instant now, const ExternalSide& side,
                                                      Output& output)
{
    if (side.addresses.size() > kMostExternalAddresses) return Err{CommandError::TooManyAddresses};
    if (overlap(config.internal, side)) return Err{CommandError::PrefixesOverlap};
    for (std::size_t i = 0; i < side.addresses.size(); ++i) {
        if (config.internal.prefix.contains(side.addresses[i])) {
            return Err{CommandError::PrefixesOverlap};
        }
        for (std::size_t k = 0; k < i; ++k) {
            if (side.addresses[k] == side.addresses[i]) return Err{CommandError::DuplicateAddress};
        }
    }
    if (side == config.external) return {};
    const ExternalAddressChanged event{config.external, side, 0};
    tellChange(output);
    if (side.addresses.empty()) {
        // Nothing is mapped and nothing leaves from here on, but nothing ends yet: the same address
        // may be back in a moment.
        if (!config.external.addresses.empty()) {
            parked = true;
            parkedUntil = now + kParkTime;
            unparkAt = 0;
            emitEvent(now, output, event);
        }
        config.external = side;
        return {};
    }
    config.external = side;
    if (event.before.addresses != side.addresses) changing = event;
    // What belongs to an address that is gone ends, and the inside is told where it can be: nothing
    // may leave with the old address, and a VPN client dials again at once. Until the last of many
    // has ended nothing passes, as if all ended in one go; but the caller has its turns between.
    unparkAt = 0;
    parked = std::any_of(slots.begin(), slots.end(), [&](const ExternalSlot& slot) {
        return slot.used && isGone(slot.address);
    });
    parkedUntil = now;
    if (!parked) unparkAt = sessions.touched();
    unpark(now, kExpiriesPerCall, output);
    return {};
}

bool Engine::State::isGone(net::Ipv4Address external) const
{
    const auto& addresses = config.external.addresses;
    return std::find(addresses.begin(), addresses.end(), external) == addresses.end();
}

/// Its own address, or that of the device it loops to, is not ours any more.
bool Engine::State::isStranded(std::uint32_t index) const
{
    if (config.external.addresses.empty()) return true;
    const nat::Session& session = sessions[index];
    return (session.isTranslated() && isGone(sessions.externalOf(session))) ||
           (session.has(sf::kHairpin) && isGone(session.remote));
}

void Engine::State::unpark(Instant now, std::uint32_t most, Output& output)
{
    const std::uint64_t before = counters.sessionsEnded;
    const std::uint64_t upTo = unparkAt + std::uint64_t{most} * kLookedAtPerEnd;
    for (; unparkAt < sessions.touched(); ++unparkAt) {
        // The next call goes on.
        if (counters.sessionsEnded - before >= most || unparkAt >= upTo) return;
        if (!sessions.detail(unparkAt).has(df::kUsed) || !isStranded(unparkAt)) continue;
        if (changing && changing->sessionsEnded++ == 0) {
            tunnels.noteAll(now, tunnel::EventKind::ExternalAddressChanged);
        }
        tellReset(now, unparkAt, output);
        close(now, unparkAt, FlowEnd::AddressLost, output);
    }
    parked = false;
    rebuildSlots();
    tellChange(output);
}

/// Not by emitEvent(): the thousands that have ended would have used up the second's events.
void Engine::State::tellChange(Output& output)
{
    if (changing) output.events.emplace_back(*std::exchange(changing, std::nullopt));
}

void Engine::State::rebuildSlots()
{
    callers.clear();
    for (ExternalSlot& slot : slots) {
        const auto& addresses = config.external.addresses;
        if (slot.used &&
            std::find(addresses.begin(), addresses.end(), slot.address) == addresses.end()) {
            slot = {};
        }
    }
    slotsEnd = slots.size();  // all are looked at while they change
    for (const net::Ipv4Address address : config.external.addresses) {
        if (slotOf(address)) continue;
        for (std::size_t i = 0; i < slots.size(); ++i) {
            if (slots[i].used) continue;
            slots[i] = {.address = address, .oneToOne = {}, .used = true};
            sessions.setExternalAddress(static_cast<std::uint8_t>(i), address);
            break;
        }
    }
    sharedSlots = 0;
    slotsEnd = 0;
    for (ExternalSlot& slot : slots) {
        slot.oneToOne = {};
        if (!slot.used) continue;
        slotsEnd = static_cast<std::size_t>(&slot - slots.data()) + 1;
        for (const policy::OneToOne& rule : config.oneToOnes) {
            if (rule.enabled && rule.externalAddress == slot.address) {
                slot.oneToOne = rule.internalAddress;
            }
        }
        if (slot.oneToOne.isUnspecified()) ++sharedSlots;
    }
    for (nat::Device& device : devices.all()) {
        if (!device.paired) continue;
        if (!mayHave(device.address, device.externalSlot)) device.paired = false;
        if (!device.paired) pair(static_cast<std::uint16_t>(&device - devices.all().data()));
    }
}

/// Its own address, or a shared one if it has none of its own.
bool Engine::State::mayHave(net::Ipv4Address device, std::uint8_t slot) const
{
    if (!slots[slot].used) return false;
    if (!slots[slot].oneToOne.isUnspecified()) return slots[slot].oneToOne == device;
    return std::none_of(slots.begin(), slots.end(), [&](const ExternalSlot& other) {
        return other.used && other.oneToOne == device;
    });
}

void Engine::State::rebuildReserved()
{
    std::vector<net::PortRange> tcp;
    std::vector<net::PortRange> udp;
    for (const policy::PortForward& forward : config.portForwards) {
        if (!forward.enabled) continue;
        if (forward.protocol == IpProtocol::Tcp) tcp.push_back(forward.externalPorts);
        if (forward.protocol == IpProtocol::Udp) udp.push_back(forward.externalPorts);
    }
    mappings.reserve(config.reservedPorts, tcp, udp);
}

bool Engine::State::permits(std::uint32_t index) const
{
    const nat::Session& session = sessions[index];
    return session.has(sf::kOutboundSeen) &&
           behaviourOf(session.protocol, {session.internal, session.internalPort()}).filtering ==
               nat::Behaviour::AddressDependent;
}

bool Engine::State::refilter(std::uint32_t index)
{
    nat::SessionDetail& rest = sessions.detail(index);
    if (rest.mapping == nat::FlatIndex::kNone) return false;
    const bool wanted = permits(index);
    if (wanted == rest.has(df::kPermits)) return false;
    if (wanted) {
        permissions.add(rest.mapping, sessions[index].remote);
        rest.flags |= df::kPermits;
    } else {
        permissions.remove(rest.mapping, sessions[index].remote);
        rest.flags = static_cast<std::uint16_t>(rest.flags & ~df::kPermits);
    }
    return true;
}

bool Engine::State::hasSentTo(std::uint32_t mapping, net::Ipv4Address remote) const
{
    if (permissions.has(mapping, remote)) return true;
    const bool isBeingMade = std::ranges::any_of(
        sweeps, [](const Sweep& sweep) { return sweep.kind == Sweep::Kind::Refilter; });
    if (!isBeingMade) return false;
    std::uint32_t index = mappings[mapping].firstSession;
    for (std::uint32_t looked = 0;
         index != nat::FlatIndex::kNone && looked < kLookedAtForPermission; ++looked) {
        if (sessions[index].remote == remote && permits(index)) return true;
        index = sessions.detail(index).mappingNext;
    }
    return false;
}

/// A rule acts on what lives, too, unless that may finish.
void Engine::State::settle(Instant now, policy::OnLive onLive, Loses loses, Output& output)
{
    const bool finishes = onLive == policy::OnLive::Finish;
    begin(now,
          {.kind = finishes ? Sweep::Kind::Count : Sweep::Kind::End,
           .loses = std::move(loses),
           .told = true},
          output);
}

Result<void, CommandError> Engine::State::setForwards(
    Instant now, const std::vector<policy::PortForward>& wished, policy::OnLive onLive,
    Output& output)
{
    for (std::size_t i = 0; i < wished.size(); ++i) {
        const policy::PortForward& forward = wished[i];
        if (!forward.enabled) continue;
        const bool stands = std::ranges::any_of(config.portForwards, [&](const auto& other) {
            return other.enabled && other.protocol == forward.protocol &&
                   other.externalPorts == forward.externalPorts &&
                   other.internalAddress == forward.internalAddress &&
                   other.internalFirst == forward.internalFirst;
        });
        if (!stands) {
            if (!policy::canBeForwarded(forward.protocol)) {
                return Err{CommandError::ProtocolNotForwarded};
            }
            if (const auto error = judgeDevice(forward.internalAddress)) return Err{*error};
        }
        if (net::hasPorts(forward.protocol)) {
            if (forward.externalPorts.last < forward.externalPorts.first ||
                forward.externalPorts.first == net::Port{0} ||
                std::uint32_t{forward.internalFirst.hostOrder()} + forward.externalPorts.size() >
                    65536) {
                return Err{CommandError::RangeInverted};
            }
            // A protocol number that people type as a port.
            if (forward.externalPorts.size() == 1 && forward.externalPorts.first == net::Port{47}) {
                return Err{CommandError::PortIsProtocol};
            }
            if (!stands && isBoundByHost(forward.externalPorts)) {
                return Err{CommandError::PortInUse};
            }
        }
        for (std::size_t k = 0; k < i; ++k) {
            const policy::PortForward& other = wished[k];
            if (!other.enabled || other.protocol != forward.protocol) continue;
            if (!net::hasPorts(forward.protocol) ||
                other.externalPorts.overlaps(forward.externalPorts)) {
                return Err{CommandError::ForwardsOverlap};
            }
        }
    }
    Loses loses = losersOf(SetPortForwards{wished, onLive});
    config.portForwards = wished;
    rebuildReserved();
    rebuildHomes();
    // What is new on a port that is forwarded now is the forward's, whoever had the port.
    std::vector<bool> displaced(mappings.touched());
    forEachForwarded([&](std::uint32_t mapping) {
        if (mappings[mapping].displaced != 0) return;
        mappings.displace(mapping);
        displaced[mapping] = true;
    });
    // Asked one by one and later, when all of these look alike.
    settle(
        now, onLive,
        [this, loses = std::move(loses), displaced = std::move(displaced)](std::uint32_t index) {
            const std::uint32_t mapping = sessions.detail(index).mapping;
            return mapping == nat::FlatIndex::kNone ? loses(index) : displaced[mapping];
        },
        output);
    return {};
}

/// The mappings that have a port which is forwarded.
void Engine::State::forEachForwarded(const std::function<void(std::uint32_t)>& visit) const
{
    for (const policy::PortForward& forward : config.portForwards) {
        if (!forward.enabled || !net::hasPorts(forward.protocol)) continue;
        const std::uint32_t last = forward.externalPorts.last.hostOrder();
        for (std::size_t slot = 0; slot < slots.size(); ++slot) {
            if (!slots[slot].used) continue;
            for (std::uint32_t port = forward.externalPorts.first.hostOrder(); port <= last;
                 ++port) {
                const auto mapping =
                    mappings.ownerOf(forward.protocol, static_cast<std::uint8_t>(slot),
                                     net::Port{static_cast<std::uint16_t>(port)});
                if (mapping) visit(*mapping);
            }
        }
    }
}

Result<void, CommandError> Engine::State::setSwitch(Instant now, const SetPassthrough& wish,
                                                    Output& output)
{
    Switch& position = switches[static_cast<std::size_t>(wish.protocol)];
    if (position.held) resolveHold(now, wish.protocol, ResolveHold::How::Release, output);
    position.before = config.passthrough.of(wish.protocol);
    config.passthrough.set(wish.protocol, wish.value);
    passthrough.setPolicy(config.passthrough);
    // Live tunnels that the new position blocks; exceptions stay as they are.
    const auto concerned = [&](const tunnel::Tunnel& tunnel) {
        return config.passthrough.modeFor(wish.protocol, tunnel.device, tunnel.server.address) ==
               policy::PassthroughMode::Block;
    };
    if (wish.onLive != policy::OnLive::Finish) {
        const auto serials = tunnels.hold(now, wish.protocol, concerned);
        if (!serials.empty()) {
            position.held = true;
            position.heldUntil = now + policy::kHoldTime;
            forEachAttached([&](std::uint32_t index) {
                if (tunnels.isHeld(attachmentOf(index))) {
                    sessions.detail(index).flags |= df::kHeld;
                    refreshAttention(index);
                }
            });
            if (wish.onLive == policy::OnLive::Drop) {
                resolveHold(now, wish.protocol, ResolveHold::How::Drop, output);
            }
        }
    }
    runSelfTest(now, wish.protocol, output);
    emitEvent(now, output, SwitchChanged{wish.protocol, statusOf(wish.protocol)});
    reportTunnels(now, output);
    return {};
}

void Engine::State::resolveHold(Instant now, net::VpnProtocol protocol, ResolveHold::How how,
                                Output& output)
{
    Switch& position = switches[static_cast<std::size_t>(protocol)];
    position.held = false;
    if (how == ResolveHold::How::Drop) {
        std::vector<std::pair<std::uint32_t, tunnel::AttachmentId>> heldOnes;
        forEachAttached([&](std::uint32_t index) {
            const tunnel::AttachmentId attachment = attachmentOf(index);
            if (sessions.detail(index).has(df::kHeld) && tunnels.isHeld(attachment)) {
                heldOnes.emplace_back(index, attachment);
            }
        });
        tunnels.drop(now, protocol);
        // What is of another protocol is held as before.
        std::vector<passthrough::FlowId> dropped;
        for (const auto& [index, attachment] : heldOnes) {
            if (!tunnels.isHeld(attachment)) dropped.push_back(sessions.flowId(index));
        }
        if (!dropped.empty()) begin(now, {.listed = std::move(dropped)}, output);
    } else {
        if (how == ResolveHold::How::Release) {
            // Undo: the switch goes back, too.
            config.passthrough.set(protocol, position.before);
            passthrough.setPolicy(config.passthrough);
        }
        tunnels.release(now, protocol);
        forEachAttached([&](std::uint32_t index) {
            nat::SessionDetail& rest = sessions.detail(index);
            if (rest.has(df::kHeld) && !tunnels.isHeld(attachmentOf(index))) {
                rest.flags = static_cast<std::uint16_t>(rest.flags & ~df::kHeld);
                // The pause was ours; it must not count as idle time.
                sessions[index].lastPacket = now;
                refreshAttention(index);
            }
        });
    }
    emitEvent(now, output, SwitchChanged{protocol, statusOf(protocol)});
    reportTunnels(now, output);
}

}  // namespace engine
