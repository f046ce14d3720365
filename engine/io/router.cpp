#include "engine/io/router.h"

#include "engine/io/atomic_file.h"
#include "engine/io/card_lock.h"
#include "engine/io/clock.h"
#include "engine/io/netlink.h"
#include "engine/nat/mapping_table.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string_view>
#include <utility>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>

namespace engine::io {

namespace {

using namespace std::chrono_literals;

/// Batches from one card before the other one, the timers and the commands have their turn.
constexpr int kBatchesPerTurn = 4;
constexpr Duration kSaveEvery = 5s;
/// Saving may take a hundredth of the time and no more.
constexpr int kSaveShare = 100;
constexpr Duration kHostPortsEvery = 10s;
/// A change of address comes as several messages.
constexpr Duration kSettle = 100ms;
/// A card that has come back may refuse for a moment.
constexpr Duration kTryAgain = 1s;

/// IP protocols that have no ports and are the engine's on a shared address: IPIP, 6in4, GRE, ESP,
/// AH, EtherIP, IPComp, L2TPv3.
const std::vector<std::uint8_t> kPortlessProtocols{4, 41, 47, 50, 51, 97, 108, 115};

HashKey randomKey()
{
    HashKey key;
    (void)!::getrandom(&key, sizeof key, 0);
    return key;
}

/// The address that the default route is reached from, else the first.
const InterfaceAddress& primaryOf(const Interface& facts)
{
    const auto found =
        std::find_if(facts.addresses.begin(), facts.addresses.end(), [&](const auto& a) {
            return !facts.gateway.isUnspecified() && a.prefix.contains(facts.gateway);
        });
    return found == facts.addresses.end() ? facts.addresses.front() : *found;
}

template <typename Values, typename Text>
std::string listed(const Values& values, const Text& text)
{
    std::string list;
    for (const auto& value : values)
        list += (list.empty() ? "" : ", ") + text(value);
    return list;
}

/// What the guard keeps from the host on the internal card.
std::string keptInside(const GuardPlan& plan)
{
    return plan.internalPrefix.toString() + " to addresses that are not this computer's";
}

/// The same on the external card.
std::string keptOutside(const GuardPlan& plan)
{
    const auto address = [](net::Ipv4Address a) {
        return a.toString();
    };
    std::string text;
    if (!plan.sharedAddresses.empty()) {
        text = listed(plan.sharedAddresses, address) + ": tcp and udp " +
               listed(plan.ports,
                      [](const net::PortRange& range) {
                          const auto first = std::to_string(range.first.hostOrder());
                          const auto last = std::to_string(range.last.hostOrder());
                          return first == last ? first : first + "-" + last;
                      }) +
               "; protocols " +
               listed(plan.protocols, [](std::uint8_t number) { return std::to_string(number); });
    }
    if (!plan.engineAddresses.empty()) {
        text += (text.empty() ? "" : "; ") + listed(plan.engineAddresses, address) + ": everything";
    }
    return text.empty() ? "nothing while there is no address" : text;
}

}  // namespace

std::string sentenceOf(const OpenFailure& failure)
{
    const auto because = failure.detail.empty() ? std::string{} : " (" + failure.detail + ")";
    switch (failure.error) {
    case OpenError::UnknownInterface: return "there is no network card named " + failure.interface;
    case OpenError::SameInterface:
        return "the internal and the external side need two different network cards, and " +
               failure.interface + " was given for both";
    case OpenError::UnsupportedLink:
        return failure.interface + " cannot carry a network: it is a loopback interface";
    case OpenError::NoAddress: return failure.interface + " has no IPv4 address";
    case OpenError::NetworksOverlap:
        return "the internal and the external network overlap" + because +
               "; give the internal card an address of another network";
    case OpenError::InterfaceHeld:
        return failure.interface + " is already used by another running underpass";
    case OpenError::NoPrivilege:
        return "opening network cards needs administrator rights (run it as root)";
    case OpenError::GuardFailed:
        return "this computer's own network traffic cannot be kept apart from the router's" +
               because;
    case OpenError::DeviceFailed: return failure.interface + " cannot be opened" + because;
    }
    return {};
}

Router::Router(RouterOptions options, HashKey key) : m_options(std::move(options)), m_key(key) {}

Result<std::unique_ptr<Router>, OpenFailure> Router::open(RouterOptions options)
{
    if (options.internal == options.external) {
        return Err{OpenFailure{OpenError::SameInterface, options.internal, {}}};
    }
    std::unique_ptr<Router> router{new Router{std::move(options), randomKey()}};
    const std::array<std::pair<PortId, std::string>, 2> names{
        {{PortId::Internal, router->m_options.internal},
         {PortId::External, router->m_options.external}}};
    for (const auto& [id, name] : names) {
        auto facts = findInterface(name);
        if (!facts) return Err{OpenFailure{OpenError::UnknownInterface, name, {}}};
        if (facts->loopback) return Err{OpenFailure{OpenError::UnsupportedLink, name, {}}};
        router->side(id).facts = std::move(*facts);
    }
    for (const auto& [id, name] : names) {
        if (router->side(id).facts.addresses.empty()) {
            return Err{OpenFailure{OpenError::NoAddress, name, {}}};
        }
    }
    const auto internal = router->internalSide();
    const auto external = router->externalSide();
    if (internal.prefix.overlaps(external.prefix)) {
        return Err{OpenFailure{OpenError::NetworksOverlap,
                               {},
                               internal.prefix.toString() + " and " + external.prefix.toString()}};
    }
    for (const auto& [id, name] : names) {
        auto held = lockCard(name);
        if (!held) {
            if (held.error() == std::errc::address_in_use) {
                return Err{OpenFailure{OpenError::InterfaceHeld, name, {}}};
            }
            const auto why = std::make_error_code(held.error()).message();
            return Err{OpenFailure{OpenError::DeviceFailed, name, why}};
        }
        router->m_locks.push_back(std::move(*held));
    }

    router->m_now = io::now();
    router->m_poll = Descriptor{::epoll_create1(EPOLL_CLOEXEC)};
    router->m_wake = Descriptor{::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
    router->m_changes = watchChanges();
    if (!router->watch(router->m_wake.number()) || !router->watch(router->m_changes.number())) {
        return Err{OpenFailure{OpenError::DeviceFailed, names[0].second, std::strerror(errno)}};
    }
    for (const auto& [id, name] : names) {
        if (const auto done = router->openDevice(id); !done) return Err{done.error()};
    }

    router->m_hostPorts = portsOfHost();
    EngineConfig& config = router->m_options.config;
    config.seed = router->m_key;
    config.internal = internal;
    config.external = external;
    config.reservedPorts = router->m_hostPorts.reserved();
    router->m_engine = std::make_unique<Engine>(router->m_now, config);
    router->restoreState();

    // The guard comes when there is an engine for what it takes away; until then the host has it.
    if (const auto done = router->installGuard(); !done) return Err{done.error()};
    router->configurePorts();
    router->sendLinkFrames(PortId::Internal);
    router->sendLinkFrames(PortId::External);
    router->m_followPortsAt = router->m_now + kHostPortsEvery;
    router->m_saveAt = router->m_now + kSaveEvery;
    return router;
}

Router::~Router()
{
    if (m_saving.valid()) m_saving.wait();
    if (m_engine) {
        m_now = io::now();
        // Nobody's packets wait any more, and the last of all sessions is to be in it.
        m_draft.reset();
        do
            saveState();
        while (m_draft);
        if (m_saving.valid()) m_saving.wait();
    }
}

Instant Router::now() const
{
    return io::now();
}

bool Router::watch(int descriptor)
{
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = descriptor;
    return ::epoll_ctl(m_poll.number(), EPOLL_CTL_ADD, descriptor, &event) == 0;
}

Result<void, OpenFailure> Router::openDevice(PortId id)
{
    Side& to = side(id);
    auto device = io::openDevice(to.facts, m_options.device);
    if (!device) {
        const auto& error = device.error();
        const auto kind = error.kind == DeviceError::Kind::NoPrivilege ? OpenError::NoPrivilege
                          : error.kind == DeviceError::Kind::NoSuchInterface
                              ? OpenError::UnknownInterface
                              : OpenError::DeviceFailed;
        return Err{OpenFailure{kind, to.facts.name, error.detail}};
    }
    to.device = std::move(*device);
    to.port = to.device->linkKind() == LinkKind::Ethernet
                  ? std::make_unique<link::EthernetPort>(m_key, link::EthernetConfig{})
                  : nullptr;
    if (!watch(to.device->descriptor())) {
        return Err{OpenFailure{OpenError::DeviceFailed, to.facts.name, std::strerror(errno)}};
    }
    return {};
}

Result<void, OpenFailure> Router::installGuard()
{
    const auto card = [](const Side& of) {
        return HostGuard::Card{of.facts.name, of.facts.index,
                               of.facts.ethernet ? LinkKind::Ethernet : LinkKind::RawIp};
    };
    m_plan = guardPlan();
    auto guard = HostGuard::install(
        {.internal = card(side(PortId::Internal)), .external = card(side(PortId::External))},
        m_plan, m_options.state);
    if (!guard) {
        const auto kind = errno == EPERM ? OpenError::NoPrivilege : OpenError::GuardFailed;
        return Err{OpenFailure{kind, {}, guard.error()}};
    }
    m_guard = std::move(*guard);
    return {};
}

InternalSide Router::internalSide() const
{
    const Interface& facts = m_sides[static_cast<std::size_t>(PortId::Internal)].facts;
    InternalSide result;
    result.mtu = facts.mtu;
    if (facts.addresses.empty()) return result;
    result.address = facts.addresses.front().address;
    result.prefix = facts.addresses.front().prefix;
    return result;
}

ExternalSide Router::externalSide() const
{
    const Interface& facts = m_sides[static_cast<std::size_t>(PortId::External)].facts;
    ExternalSide result;
    result.mtu = facts.mtu;
    if (facts.addresses.empty() || !facts.up) return result;
    const InterfaceAddress& primary = primaryOf(facts);
    result.prefix = primary.prefix;
    // RFC 4787 REQ-7: a network that conflicts with the internal one is no way out.
    const InternalSide internal = internalSide();
    if (!internal.address.isUnspecified() && internal.prefix.overlaps(primary.prefix)) {
        return result;
    }
    result.addresses.push_back(primary.address);
    // Further addresses of the same network can be used alike; those of others lead elsewhere.
    for (const auto& other : facts.addresses) {
        if (other.address != primary.address && primary.prefix.contains(other.address) &&
            result.addresses.size() < kMostExternalAddresses) {
            result.addresses.push_back(other.address);
        }
    }
    return result;
}

GuardPlan Router::guardPlan() const
{
    const auto external = externalSide();
    const auto internal = internalSide();
    const EngineConfig& config = m_engine->config();
    GuardPlan plan;
    plan.internalPrefix = internal.prefix;
    for (const auto& a : m_sides[static_cast<std::size_t>(PortId::Internal)].facts.addresses) {
        plan.internalAddresses.push_back(a.address);
    }
    plan.engineAddresses = addressesOfEngineAlone();
    for (const auto address : external.addresses) {
        if (std::find(plan.engineAddresses.begin(), plan.engineAddresses.end(), address) ==
            plan.engineAddresses.end()) {
            plan.sharedAddresses.push_back(address);
        }
    }
    plan.internalUdp = m_options.internalUdp;
    plan.pings = config.nat.pings;
    plan.protocols = kPortlessProtocols;

    // The pool without the ports that the host draws from, and what the user forwards; never a port
    // that the host has bound.
    std::vector<bool> ours(65536);
    const auto mark = [&](const net::PortRange& range, bool value) {
        for (std::uint32_t port = range.first.hostOrder(); port <= range.last.hostOrder(); ++port) {
            ours[port] = value;
        }
    };
    mark(config.nat.ports, true);
    mark(nat::MappingTable::kLowPorts, true);
    if (!config.exposedHost.isUnspecified()) mark({net::Port{1}, net::Port{65535}}, true);
    mark(m_hostPorts.local, false);
    for (const auto& forward : config.portForwards) {
        if (forward.enabled) mark(forward.externalPorts, true);
    }
    for (const auto& range : m_keptPorts)
        mark(range, true);
    for (const auto& range : m_hostPorts.bound)
        mark(range, false);
    std::vector<net::PortRange> single;
    for (std::uint32_t port = 1; port < ours.size(); ++port) {
        const net::Port value{static_cast<std::uint16_t>(port)};
        if (ours[port]) single.push_back({value, value});
    }
    plan.ports = joined(std::move(single));
    return plan;
}

/// External addresses that belong to one device as a whole (1:1 NAT).
std::vector<net::Ipv4Address> Router::addressesOfEngineAlone() const
{
    std::vector<net::Ipv4Address> addresses;
    for (const auto& pair : m_engine->config().oneToOnes) {
        if (pair.enabled) addresses.push_back(pair.externalAddress);
    }
    const auto& ours = m_engine->config().external.addresses;
    for (const auto address : m_keptAddresses) {
        const bool known =
            std::find(addresses.begin(), addresses.end(), address) != addresses.end();
        const bool stillOurs = std::find(ours.begin(), ours.end(), address) != ours.end();
        if (!known && stillOurs) addresses.push_back(address);
    }
    return addresses;
}

/// The kernel answers for what it has itself; for the others somebody must.
std::vector<net::Ipv4Address> Router::addressesAnsweredFor() const
{
    const auto& own = m_sides[static_cast<std::size_t>(PortId::External)].facts.addresses;
    auto addresses = addressesOfEngineAlone();
    std::erase_if(addresses, [&](auto address) {
        return std::any_of(own.begin(), own.end(),
                           [&](const auto& a) { return a.address == address; });
    });
    return addresses;
}

/// What runs on does so only while the host's stack stays away from it: its RST would end it.
void Router::keepForSessions(const Command& command)
{
    const EngineConfig& config = m_engine->config();
    const auto finishes = [](const auto* set) {
        return set != nullptr && set->onLive == policy::OnLive::Finish;
    };
    if (finishes(std::get_if<SetPortForwards>(&command))) {
        for (const auto& forward : config.portForwards) {
            if (!forward.enabled || !net::hasPorts(forward.protocol)) continue;
            if (std::find(m_keptPorts.begin(), m_keptPorts.end(), forward.externalPorts) ==
                m_keptPorts.end()) {
                m_keptPorts.push_back(forward.externalPorts);
            }
        }
    }
    if (finishes(std::get_if<SetOneToOnes>(&command))) {
        for (const auto& pair : config.oneToOnes) {
            if (pair.enabled) m_keptAddresses.push_back(pair.externalAddress);
        }
    }
    // What an exposed host gets is of the pool, which is kept from the host anyway.
}

/// What no session uses any more is the host's again.
void Router::releaseKept()
{
    const auto addresses = std::erase_if(
        m_keptAddresses, [&](auto address) { return !m_engine->hasSessionAt(address); });
    const auto ports = std::erase_if(
        m_keptPorts, [&](const auto& range) { return !m_engine->hasSessionOn(range); });
    if (addresses + ports > 0) followPolicy();
}

void Router::configurePorts()
{
    const auto internal = internalSide();
    const auto external = externalSide();
    Side& inside = side(PortId::Internal);
    Side& outside = side(PortId::External);
    if (inside.port) {
        link::EthernetConfig config;
        config.mac = inside.facts.mac;
        config.address = internal.address;
        config.prefix = internal.prefix;
        config.sourceCheck = m_options.sourceCheck;
        inside.port->configure(m_now, config, m_linkOutput);
        sendLinkFrames(PortId::Internal);
    }
    if (outside.port) {
        link::EthernetConfig config;
        config.mac = outside.facts.mac;
        config.prefix = external.prefix;
        config.gateway = outside.facts.gateway;
        if (!external.addresses.empty()) config.address = external.addresses.front();
        config.proxied = addressesAnsweredFor();
        outside.port->configure(m_now, config, m_linkOutput);
        sendLinkFrames(PortId::External);
    }
}

void Router::wake()
{
    (void)::eventfd_write(m_wake.number(), 1);
}

Duration Router::untilNext(Duration atMost) const
{
    Instant next = m_now + atMost;
    const auto consider = [&](std::optional<Instant> at) {
        if (at && *at < next) next = *at;
    };
    consider(m_engine->nextTimeout());
    for (const auto& s : m_sides) {
        if (s.port) consider(s.port->nextTimeout());
    }
    consider(m_followPortsAt);
    consider(m_saveAt);
    if (m_hostChanged) consider(m_followHostAt);
    return std::max(next - m_now, Duration{0});
}

void Router::run(Duration atMost, std::vector<Event>& events)
{
    m_now = io::now();
    const Instant end = m_now + atMost;
    m_woken = false;
    std::array<bool, 2> ready{true, true};
    do {
        for (const PortId id : {PortId::Internal, PortId::External}) {
            bool& more = ready[static_cast<std::size_t>(id)];
            for (int i = 0; more && i < kBatchesPerTurn; ++i)
                more = pump(id, events);
        }
        handleTimers(events);
        const bool busy = ready[0] || ready[1];
        const Duration wait = busy ? Duration{0} : untilNext(std::max(end - m_now, Duration{0}));
        // Rounded up, so that a deadline is not asked for again and again in its last millisecond.
        const auto milliseconds =
            std::chrono::ceil<std::chrono::milliseconds>(std::min<Duration>(wait, 1h)).count();
        std::array<epoll_event, 4> happened{};
        const int count =
            ::epoll_wait(m_poll.number(), happened.data(), static_cast<int>(happened.size()),
                         static_cast<int>(milliseconds));
        m_now = io::now();
        for (int i = 0; i < count; ++i) {
            const int fd = happened[static_cast<std::size_t>(i)].data.fd;
            if (fd == m_wake.number()) {
                eventfd_t value = 0;
                (void)::eventfd_read(fd, &value);
                m_woken = true;
            } else if (fd == m_changes.number()) {
                drainChanges(m_changes);
                if (!m_hostChanged) m_followHostAt = m_now + kSettle;
                m_hostChanged = true;
            } else {
                for (std::size_t s = 0; s < m_sides.size(); ++s) {
                    if (m_sides[s].device && fd == m_sides[s].device->descriptor()) ready[s] = true;
                }
            }
        }
    } while (!m_woken && m_now < end);
}

bool Router::pump(PortId ingress, std::vector<Event>& events)
{
    Side& from = side(ingress);
    if (!from.device) return false;
    std::array<Frame, kBatch> frames;
    std::array<wire::Packet, kBatch> packets;
    std::array<Verdict, kBatch> verdicts;
    const std::size_t received = from.device->receive(frames);
    std::size_t count = 0;
    for (std::size_t i = 0; i < received; ++i) {
        const Frame& frame = frames[i];
        if (!from.port) {
            packets[count++] = {frame.bytes(), frame.checksum, frame.segmentPayload};
            continue;
        }
        const auto arrival = from.port->receive(m_now, frame.bytes(), m_linkOutput);
        switch (arrival.kind) {
        case link::Arrival::Kind::Packet:
            packets[count++] = {arrival.packet, frame.checksum, frame.segmentPayload};
            break;
        case link::Arrival::Kind::Drop: countDrop(arrival.reason); break;
        case link::Arrival::Kind::Consumed:
        case link::Arrival::Kind::Ignored: break;
        }
    }
    if (!m_linkOutput.frames.empty() || m_linkOutput.noNextHop != 0) sendLinkFrames(ingress);
    if (count > 0) {
        m_engine->handlePackets(m_now, ingress, {packets.data(), count}, {verdicts.data(), count},
                                m_output);
        for (std::size_t i = 0; i < count; ++i) {
            if (verdicts[i].kind == Verdict::Kind::Forward) queue(verdicts[i].egress, packets[i]);
        }
        flush(PortId::Internal);
        flush(PortId::External);
        sendGenerated(events);
    }
    return received == kBatch;
}

/// Puts the link header in front, in place: the octets before the packet are the frame's own link
/// header or the device's headroom.
void Router::queue(PortId egress, wire::Packet packet)
{
    Side& to = side(egress);
    if (!to.device) return;
    std::uint8_t* data = packet.bytes.data();
    auto length = static_cast<std::uint32_t>(packet.bytes.size());
    if (to.port) {
        data -= link::kEthernetHeader;
        const auto departure = to.port->prepare(
            m_now, packet,
            std::span<std::uint8_t, link::kEthernetHeader>{data, link::kEthernetHeader},
            m_linkOutput);
        if (!m_linkOutput.frames.empty() || m_linkOutput.noNextHop != 0) sendLinkFrames(egress);
        if (departure == link::Departure::NoNextHop) countDrop(DropReason::NoNextHop);
        if (departure != link::Departure::Send) return;
        length += link::kEthernetHeader;
    }
    to.outgoing[to.outgoingCount++] = Frame{data, length, packet.checksum, packet.segmentPayload};
    if (to.outgoingCount == to.outgoing.size()) flush(egress);
}

void Router::flush(PortId egress)
{
    Side& to = side(egress);
    if (to.outgoingCount == 0) return;
    const std::size_t taken = to.device->send({to.outgoing.data(), to.outgoingCount});
    for (std::size_t lost = taken; lost < to.outgoingCount; ++lost)
        countDrop(DropReason::QueueFull);
    to.outgoingCount = 0;
}

/// What the engine made or had held. Rare: copied once, to have room for the headers.
void Router::sendGenerated(std::vector<Event>& events)
{
    for (auto& packet : m_output.packets) {
        m_staging.resize(kHeadroom + link::kEthernetHeader + packet.bytes.size());
        const auto body = wire::MutableBytes{m_staging}.subspan(kHeadroom + link::kEthernetHeader);
        std::copy(packet.bytes.begin(), packet.bytes.end(), body.begin());
        queue(packet.egress, {body, packet.checksum, packet.segmentPayload});
        flush(packet.egress);
    }
    std::move(m_output.events.begin(), m_output.events.end(), std::back_inserter(events));
    m_output.clear();
}

/// Questions, answers and packets whose next hop has answered. `id` is the port that left them.
void Router::sendLinkFrames(PortId id)
{
    for (std::uint32_t i = 0; i < m_linkOutput.noNextHop; ++i)
        countDrop(DropReason::NoNextHop);
    for (const auto& frame : m_linkOutput.frames) {
        m_linkStaging.resize(kHeadroom + frame.bytes.size());
        std::copy(frame.bytes.begin(), frame.bytes.end(), m_linkStaging.begin() + kHeadroom);
        const Frame out{m_linkStaging.data() + kHeadroom,
                        static_cast<std::uint32_t>(frame.bytes.size()), frame.checksum,
                        frame.segmentPayload};
        if (side(id).device) (void)side(id).device->send({&out, 1});
    }
    m_linkOutput.clear();
}

void Router::handleTimers(std::vector<Event>& events)
{
    const auto next = m_engine->nextTimeout();
    if (next && *next <= m_now) {
        m_engine->handleTimeout(m_now, m_output);
        sendGenerated(events);
    }
    for (const PortId id : {PortId::Internal, PortId::External}) {
        auto& port = side(id).port;
        if (port && port->nextTimeout() && *port->nextTimeout() <= m_now) {
            port->handleTimeout(m_now, m_linkOutput);
            sendLinkFrames(id);
        }
    }
    if (m_hostChanged && m_now >= m_followHostAt) {
        m_hostChanged = false;
        followHost();
        sendGenerated(events);
    }
    if (m_now >= m_followPortsAt) {
        m_followPortsAt = m_now + kHostPortsEvery;
        followPorts();
        releaseKept();
        sendGenerated(events);
    }
    if (m_now >= m_saveAt) saveState();
}

void Router::deliver(Output& output, std::vector<Event>& events)
{
    m_now = io::now();
    std::move(output.packets.begin(), output.packets.end(), std::back_inserter(m_output.packets));
    std::move(output.events.begin(), output.events.end(), std::back_inserter(m_output.events));
    output.clear();
    sendGenerated(events);
    followPolicy();
}

/// Addresses, link state, MTU or the card itself have changed.
void Router::followHost()
{
    bool cardsChanged = false;
    bool factsChanged = false;
    for (const PortId id : {PortId::Internal, PortId::External}) {
        Side& of = side(id);
        auto found = findInterface(of.facts.name);
        if (!found) {
            // Unplugged: nothing to send to until a card of this name comes back.
            factsChanged = factsChanged || of.device != nullptr;
            of.device.reset();
            of.port.reset();
            of.facts.addresses.clear();
            of.facts.index = 0;
            continue;
        }
        if (*found == of.facts) continue;
        const bool otherCard =
            found->index != of.facts.index || found->ethernet != of.facts.ethernet;
        of.facts = std::move(*found);
        factsChanged = true;
        if (!otherCard) continue;
        if (openDevice(id)) {
            cardsChanged = true;
        } else {
            of.facts.index = 0;  // another card, next time
            followHostAgain();
        }
    }
    if (!factsChanged && m_guard) return;
    const auto internal = internalSide();
    const auto external = externalSide();
    // First what is gone: the engine refuses networks that overlap, even for a moment.
    if (external.addresses.empty()) {
        (void)m_engine->apply(m_now, SetExternalSide{external}, m_output);
    }
    if (internal != m_engine->config().internal && !internal.address.isUnspecified()) {
        (void)m_engine->apply(m_now, SetInternalSide{internal}, m_output);
    }
    if (external != m_engine->config().external) {
        (void)m_engine->apply(m_now, SetExternalSide{external}, m_output);
    }
    configurePorts();
    if ((cardsChanged || !m_guard) && side(PortId::Internal).device &&
        side(PortId::External).device) {
        m_guard.reset();
        if (!installGuard()) followHostAgain();
    } else {
        followPolicy();
    }
}

void Router::followHostAgain()
{
    m_hostChanged = true;
    m_followHostAt = m_now + kTryAgain;
}

/// The host has bound or freed ports of its own.
void Router::followPorts()
{
    auto ports = portsOfHost();
    if (ports == m_hostPorts) return;
    m_hostPorts = std::move(ports);
    (void)m_engine->apply(m_now, SetReservedPorts{m_hostPorts.reserved()}, m_output);
    followPolicy();
}

/// The guard takes what the engine's rules now say.
void Router::followPolicy()
{
    const auto plan = guardPlan();
    if (plan == m_plan || !m_guard) return;
    const bool addressesChanged = plan.engineAddresses != m_plan.engineAddresses;
    if (m_guard->update(plan)) m_plan = plan;
    if (addressesChanged) configurePorts();
}

/// The block is drafted here, a part in each turn of the loop; another thread puts it together and
/// writes it: neither the disk nor a million sessions are waited for.
void Router::saveState()
{
    if (m_options.state.empty()) {
        m_saveAt = m_now + kSaveEvery;
        return;
    }
    if (!m_draft) {
        if (m_saving.valid() && m_saving.wait_for(0s) != std::future_status::ready) {
            m_saveAt = m_now + kSaveEvery;
            return;
        }
        m_draft.emplace();
        m_draftCost = {};
    }
    const Instant begun = io::now();
    const bool complete = m_engine->saveOn(m_now, *m_draft);
    m_draftCost += io::now() - begun;
    if (!complete) return;
    m_saveAt = m_now + std::max<Duration>(kSaveEvery, m_draftCost * kSaveShare);
    m_saving = std::async(std::launch::async, [path = m_options.state / "sessions",
                                               draft = std::move(*m_draft)]() mutable {
        const auto block = Engine::blockOf(std::move(draft));
        std::string content(block.begin(), block.end());
        (void)writeAtomically(path, content);
    });
    m_draft.reset();
}

void Router::restoreState()
{
    if (m_options.state.empty()) return;
    std::ifstream file(m_options.state / "sessions", std::ios::binary);
    if (!file) return;
    const std::vector<std::uint8_t> block{std::istreambuf_iterator<char>{file}, {}};
    if (!block.empty()) m_restored = m_engine->restoreState(m_now, block);
}

std::vector<link::Neighbour> Router::neighbours() const
{
    const auto& port = m_sides[static_cast<std::size_t>(PortId::Internal)].port;
    return port ? port->neighbours() : std::vector<link::Neighbour>{};
}

std::vector<HeldSetting> Router::held() const
{
    using Kind = HeldSetting::Kind;
    std::vector<HeldSetting> held;
    const auto& inside = m_sides[static_cast<std::size_t>(PortId::Internal)];
    const auto& outside = m_sides[static_cast<std::size_t>(PortId::External)];
    for (const Side* of : {&inside, &outside})
        held.push_back({Kind::Card, of->facts.name, {}, of->device != nullptr});
    if (m_guard) {
        for (auto& setting : m_guard->held())
            held.push_back(std::move(setting));
        held.push_back({Kind::Traffic, inside.facts.name, keptInside(m_plan)});
        held.push_back({Kind::Traffic, outside.facts.name, keptOutside(m_plan)});
    }
    for (const auto address : addressesAnsweredFor())
        held.push_back({Kind::Answered, outside.facts.name, address.toString()});
    return held;
}

DeviceCounters Router::counters(PortId id)
{
    return side(id).device ? side(id).device->counters() : DeviceCounters{};
}

}  // namespace engine::io
