#include "engine/passthrough/gre.h"

#include "engine/passthrough/gre_header.h"
#include "engine/passthrough/observing.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <vector>

namespace engine::passthrough {

namespace {

using namespace std::chrono_literals;
using net::Direction;
using policy::PassthroughMode;
using tunnel::Confidence;
using tunnel::EventKind;
using tunnel::FindingKind;
using tunnel::Lane;
using tunnel::Observation;
using tunnel::PassageKind;
using tunnel::Phase;
using tunnel::TunnelKey;
using Variant = Discriminator::Variant;

// Ours.
/// Inner addresses that one device may have at one server; the oldest gives way.
constexpr std::size_t kMostPerClient = 256;
/// Over all devices and servers.
constexpr std::size_t kMostEntries = 16384;
constexpr Duration kAnswerTimeout = 10s;
constexpr std::uint32_t kAnswerPackets = 3;
constexpr Duration kSweepEvery = 2s;
constexpr std::size_t kProof = 40;

constexpr Attention kPass{};
constexpr Attention kIgnore{.next = Attention::Next::Ignore};

constexpr PortlessDecision refuse(DropReason reason)
{
    PortlessDecision decision;
    decision.reason = reason;
    return decision;
}

/// What is behind one external address and one server with one IP protocol: the place where devices
/// have to be told apart.
struct Place {
    net::Ipv4Address external;
    net::Ipv4Address server;
    net::IpProtocol protocol = net::IpProtocol::Gre;
    friend constexpr auto operator<=>(const Place&, const Place&) = default;
};

/// Whom a discriminator belongs to at its place.
struct Entry {
    net::Ipv4Address client;
    TunnelKey tunnel;
    std::uint64_t order = 0;  ///< of becoming known
};

struct PlaceState {
    std::map<Discriminator, Entry> entries;
    std::map<net::Ipv4Address, std::uint32_t> clients;  ///< with how many entries
};

struct TunnelState {
    net::VpnProtocol protocol = net::VpnProtocol::Gre;
    std::uint32_t entries = 0;
    std::uint32_t sent = 0;
    std::uint32_t received = 0;
    Instant firstSent;
    bool silenceTold = false;
    bool overlapTold = false;
    std::vector<std::uint8_t> proof;
};

/// What a packet says about itself.
struct Reading {
    net::VpnProtocol protocol = net::VpnProtocol::Gre;
    Discriminator discriminator;
    bool toEverybody = false;  ///< inbound: the inner destination is a group
    /// Who is spoken to or speaks at the other end, where that shows.
    std::optional<net::Ipv4Address> behind;
};

/// The host at the server's end of a routed IPv4 packet. None for GRE inside: Cisco's keepalives
/// carry one whose destination is their own sender.
std::optional<net::Ipv4Address> hostBehind(Direction direction, net::IpProtocol protocol,
                                           std::uint16_t greType, wire::ConstBytes inner)
{
    const bool ipv4 = protocol == net::IpProtocol::IpIp ||
                      (protocol == net::IpProtocol::Gre && greType == kEtherTypeIpv4);
    if (!ipv4 || inner.size() < 20 || inner[0] >> 4 != 4) return std::nullopt;
    if (static_cast<net::IpProtocol>(inner[9]) == net::IpProtocol::Gre) return std::nullopt;
    return net::Ipv4Address{wire::load32(inner, direction == Direction::Outbound ? 16 : 12)};
}

bool innerGoesToGroup(net::IpProtocol protocol, std::uint16_t greType, wire::ConstBytes inner)
{
    const bool ipv4 = protocol == net::IpProtocol::IpIp ||
                      (protocol == net::IpProtocol::Gre && greType == kEtherTypeIpv4);
    const bool ipv6 = protocol == net::IpProtocol::SixInFour ||
                      (protocol == net::IpProtocol::Gre && greType == kEtherTypeIpv6);
    if (ipv4) return inner.size() >= 20 && inner[16] >= 224;
    if (ipv6) return inner.size() >= 40 && inner[24] == 0xff;
    return inner.size() >= 14 && (inner[0] & 1U) != 0;
}

std::optional<Reading> read(Direction direction, const PortlessPacket& packet)
{
    const auto discriminator = discriminatorOf(packet.protocol, direction, packet.payload);
    if (!discriminator) return std::nullopt;
    Reading reading;
    reading.discriminator = *discriminator;
    std::uint16_t type = 0;
    wire::ConstBytes inner = packet.payload;
    if (packet.protocol == net::IpProtocol::Gre) {
        const auto parsed = GreHeader::parse(packet.payload);
        if (!parsed) return std::nullopt;
        type = parsed.value().type;
        inner = parsed.value().payload;
        reading.protocol = parsed.value().isEoip() ? net::VpnProtocol::Eoip : net::VpnProtocol::Gre;
    } else if (packet.protocol == net::IpProtocol::IpIp) {
        reading.protocol = net::VpnProtocol::IpIp;
    } else if (packet.protocol == net::IpProtocol::SixInFour) {
        reading.protocol = net::VpnProtocol::SixInFour;
    } else {
        reading.protocol = net::VpnProtocol::EtherIp;
    }
    reading.toEverybody = direction == Direction::Inbound &&
                          discriminator->variant == Variant::InnerAddress &&
                          innerGoesToGroup(packet.protocol, type, inner);
    reading.behind = hostBehind(direction, packet.protocol, type, inner);
    return reading;
}

PassageKind passageOf(Variant variant)
{
    switch (variant) {
    case Variant::GreKey:
    case Variant::EoipTunnel: return PassageKind::GreKey;
    case Variant::InnerAddress: return PassageKind::InnerAddress;
    case Variant::None:
    case Variant::GreCall:
    case Variant::Spi:
    case Variant::SessionId:
    case Variant::ControlId: return PassageKind::OnlyClient;
    }
    return PassageKind::OnlyClient;
}

}  // namespace

struct GreInspector::State {
    State(HashKey key, const policy::PassthroughPolicy& switches, const net::Prefix& internal)
        : seed(key), policy(switches), lan(internal)
    {}

    HashKey seed;
    const policy::PassthroughPolicy& policy;
    const net::Prefix& lan;  ///< our own network
    std::map<Place, PlaceState> places;
    std::map<TunnelKey, TunnelState> tunnels;
    std::size_t entryCount = 0;
    std::uint64_t order = 0;
    std::optional<Instant> nextSweep;

    /// A key or a configured tunnel ID is a tunnel of its own; inner addresses are not.
    [[nodiscard]] TunnelKey keyOf(net::Ipv4Address client, net::Ipv4Address server,
                                  const Reading& reading) const
    {
        const Discriminator& id = reading.discriminator;
        const bool own = id.variant == Variant::GreKey || id.variant == Variant::EoipTunnel;
        const std::uint64_t number = own ? (std::uint64_t{1} << 32) | id.id : std::uint64_t{0};
        return {client, server,
                sipHash(seed, number, 0x47524500U + static_cast<std::uint64_t>(reading.protocol))};
    }

    void forget(Place place, Discriminator id, FlowEnd end, Actions& actions);
    void makeRoom(const Place& place, net::Ipv4Address client, Actions& actions);
    PortlessDecision learn(Instant now, Direction direction, const Place& place,
                           net::Ipv4Address client, const Reading& reading,
                           const PortlessPacket& packet, Actions& actions);
    void note(Instant now, Direction direction, const TunnelKey& key, const Reading& reading,
              const PortlessPacket& packet, Actions& actions);
    void label(const TunnelKey& key, const Reading& reading, Confidence confidence,
               const PortlessPacket& packet, Actions& actions) const;
    PortlessDecision decideOutbound(Instant now, const PortlessPacket& packet,
                                    const Reading& reading, Actions& actions);
    PortlessDecision decideInbound(Instant now, const PortlessPacket& packet,
                                   const Reading& reading, Actions& actions);
};

void GreInspector::State::label(const TunnelKey& key, const Reading& reading, Confidence confidence,
                                const PortlessPacket& packet, Actions& actions) const
{
    Observation& observation = Observing(actions, key).add(Observation::Kind::Label);
    observation.protocol = reading.protocol;
    observation.confidence = confidence;
    observation.server = {packet.remote, net::Port{}};
    observation.external = {packet.external, net::Port{}};
    observation.transport = packet.protocol;
}

/// Takes an entry out, and its tunnel with the last one.
void GreInspector::State::forget(Place place, Discriminator id, FlowEnd end, Actions& actions)
{
    const auto found = places.find(place);
    if (found == places.end()) return;
    PlaceState& state = found->second;
    const auto entry = state.entries.find(id);
    if (entry == state.entries.end()) return;
    const TunnelKey key = entry->second.tunnel;
    const auto client = state.clients.find(entry->second.client);
    if (client != state.clients.end() && --client->second == 0) state.clients.erase(client);
    state.entries.erase(entry);
    --entryCount;
    if (state.entries.empty()) places.erase(found);
    const auto gone = tunnels.find(key);
    if (gone == tunnels.end() || --gone->second.entries > 0) return;
    const TunnelEnding ending = endingOf(end);
    Observing(actions, key).ended(ending.phase, ending.cause);
    tunnels.erase(gone);
}

/// A device behind which many hosts live may show any number of inner addresses.
void GreInspector::State::makeRoom(const Place& place, net::Ipv4Address client, Actions& actions)
{
    const auto found = places.find(place);
    if (found == places.end()) return;
    const auto count = found->second.clients.find(client);
    if (count == found->second.clients.end() || count->second < kMostPerClient) return;
    const std::pair<const Discriminator, Entry>* oldest = nullptr;
    for (const auto& entry : found->second.entries) {
        if (entry.second.client != client) continue;
        if (oldest == nullptr || entry.second.order < oldest->second.order) oldest = &entry;
    }
    if (oldest == nullptr) return;
    PortlessUnbinding unbinding;
    unbinding.protocol = place.protocol;
    unbinding.client = client;
    unbinding.external = place.external;
    unbinding.server = place.server;
    unbinding.outbound = oldest->first;
    unbinding.inbound = oldest->first;
    actions.unbindings.push_back(unbinding);
    forget(place, oldest->first, FlowEnd::Evicted, actions);
}

/// The discriminator belongs to the client from now on, both ways.
PortlessDecision GreInspector::State::learn(Instant now, Direction direction, const Place& place,
                                            net::Ipv4Address client, const Reading& reading,
                                            const PortlessPacket& packet, Actions& actions)
{
    TunnelKey key = keyOf(client, place.server, reading);
    // A key of the server's own choice belongs to the tunnel that the client has begun.
    if (direction == Direction::Inbound && !tunnels.contains(key)) {
        if (const auto at = places.find(place); at != places.end()) {
            for (const auto& [id, entry] : at->second.entries) {
                if (entry.client == client) key = entry.tunnel;
            }
        }
    }
    const auto known = places.find(place);
    const bool isNew =
        known == places.end() || !known->second.entries.contains(reading.discriminator);
    if (isNew) {
        makeRoom(place, client, actions);
        if (entryCount >= kMostEntries) return refuse(DropReason::HelperBudget);
        PlaceState& state = places[place];
        state.entries[reading.discriminator] = {client, key, ++order};
        ++state.clients[client];
        ++entryCount;
        TunnelState& tunnel = tunnels[key];
        if (tunnel.entries++ == 0) {
            tunnel.protocol = reading.protocol;
            label(key, reading, Confidence::Likely, packet, actions);
            const Observing observing(actions, key);
            observing.phase(Phase::Seen);
            const PassageKind kind = passageOf(reading.discriminator.variant);
            const std::uint32_t id = kind == PassageKind::OnlyClient ? 0 : reading.discriminator.id;
            observing.passage(kind, id, id);
        }
    } else {
        key = known->second.entries.at(reading.discriminator).tunnel;
    }
    PortlessBinding binding;
    binding.protocol = place.protocol;
    binding.client = client;
    binding.external = place.external;
    binding.server = place.server;
    binding.outbound = reading.discriminator;
    binding.inbound = reading.discriminator;
    binding.watch = true;
    binding.key = key;
    if (place.protocol == net::IpProtocol::Gre && reading.protocol == net::VpnProtocol::Gre) {
        binding.sequence = tunnel::SequenceKind::GreV0;
    }
    actions.bindings.push_back(binding);
    note(now, direction, key, reading, packet, actions);

    PortlessDecision decision;
    decision.kind = PortlessDecision::Kind::Deliver;
    decision.recipients[0] = client;
    decision.recipientCount = 1;
    return decision;
}

void GreInspector::State::note(Instant now, Direction direction, const TunnelKey& key,
                               const Reading& reading, const PortlessPacket& packet,
                               Actions& actions)
{
    const auto found = tunnels.find(key);
    if (found == tunnels.end()) return;
    TunnelState& tunnel = found->second;
    const Observing observing(actions, key);
    if (reading.behind && !tunnel.overlapTold && *reading.behind != packet.internal &&
        lan.contains(*reading.behind)) {
        tunnel.overlapTold = true;
        observing.sameSubnet(lan, *reading.behind, packet.packet);
    }
    if (direction == Direction::Outbound) {
        if (tunnel.sent++ == 0) {
            tunnel.firstSent = now;
            observing.event(EventKind::DataFirstOutbound, Lane::Client, Lane::Server,
                            reading.discriminator.id);
            const std::size_t kept = std::min(packet.packet.size(), kProof);
            tunnel.proof.assign(packet.packet.begin(),
                                packet.packet.begin() + static_cast<std::ptrdiff_t>(kept));
            if (!nextSweep) nextSweep = now + kSweepEvery;
        }
    } else if (tunnel.received++ == 0) {
        observing.event(EventKind::DataFirstInbound, Lane::Server, Lane::Client,
                        reading.discriminator.id);
    }
    if ((direction == Direction::Outbound ? tunnel.sent : tunnel.received) == 1 &&
        tunnel.sent > 0 && tunnel.received > 0) {
        label(key, reading, Confidence::Certain, packet, actions);
        observing.phase(Phase::Established);
    }
}

PortlessDecision GreInspector::State::decideOutbound(Instant now, const PortlessPacket& packet,
                                                     const Reading& reading, Actions& actions)
{
    const Place place{packet.external, packet.remote, packet.protocol};
    const PassthroughMode mode = policy.modeFor(reading.protocol, packet.internal, packet.remote);
    const TunnelKey key = keyOf(packet.internal, packet.remote, reading);
    if (mode == PassthroughMode::Block && !tunnels.contains(key)) {
        label(key, reading, Confidence::Likely, packet, actions);
        return refuse(DropReason::PassthroughOff);
    }
    if (const auto found = places.find(place); found != places.end()) {
        const PlaceState& state = found->second;
        const auto entry = state.entries.find(reading.discriminator);
        if (entry != state.entries.end() && entry->second.client != packet.internal) {
            return refuse(reading.discriminator.variant == Variant::None
                              ? DropReason::OneClientPerServer
                              : DropReason::GreKeyClash);
        }
        const bool others = std::ranges::any_of(
            state.clients, [&](const auto& c) { return c.first != packet.internal; });
        if (mode == PassthroughMode::Plain && others) {
            return refuse(DropReason::OneClientPerServer);
        }
    }
    return learn(now, Direction::Outbound, place, packet.internal, reading, packet, actions);
}

PortlessDecision GreInspector::State::decideInbound(Instant now, const PortlessPacket& packet,
                                                    const Reading& reading, Actions& actions)
{
    const Place place{packet.external, packet.remote, packet.protocol};
    const auto found = places.find(place);
    if (found == places.end()) {
        // A forward of the user's: the device inside answers for this protocol.
        if (packet.internal.isUnspecified()) return refuse(DropReason::NoMapping);
        if (policy.modeFor(reading.protocol, packet.internal, packet.remote) ==
            PassthroughMode::Block) {
            label(keyOf(packet.internal, packet.remote, reading), reading, Confidence::Likely,
                  packet, actions);
            return refuse(DropReason::PassthroughOff);
        }
        return learn(now, Direction::Inbound, place, packet.internal, reading, packet, actions);
    }
    const PlaceState& state = found->second;
    if (reading.toEverybody) {
        PortlessDecision decision;
        for (const auto& [client, entries] : state.clients) {
            if (decision.recipientCount == PortlessDecision::kMostRecipients) break;
            decision.recipients[decision.recipientCount++] = client;
        }
        decision.kind = decision.recipientCount == 1 ? PortlessDecision::Kind::Deliver
                                                     : PortlessDecision::Kind::FanOut;
        return decision;
    }
    const auto entry = state.entries.find(reading.discriminator);
    if (entry != state.entries.end()) {
        return learn(now, Direction::Inbound, place, entry->second.client, reading, packet,
                     actions);
    }
    if (state.clients.size() != 1) return refuse(DropReason::NoMapping);
    return learn(now, Direction::Inbound, place, state.clients.begin()->first, reading, packet,
                 actions);
}

GreInspector::GreInspector(HashKey seed, const policy::PassthroughPolicy& policy,
                           const net::Prefix& lan)
    : m_state(std::make_unique<State>(seed, policy, lan))
{}
GreInspector::~GreInspector() = default;

Inspector::Opening GreInspector::opening() const
{
    return {.tcp = false, .udp = false};
}

Inspector::Claim GreInspector::consider(Instant, const Flow&, const Segment&)
{
    return Claim::NotMine;
}
Attention GreInspector::inspect(Instant, const Flow&, const Segment&, Actions&)
{
    return kIgnore;
}
void GreInspector::flowClosed(Instant, FlowId, FlowEnd, Actions&) {}

bool GreInspector::owns(net::IpProtocol protocol, wire::ConstBytes payload) const
{
    if (protocol == net::IpProtocol::Gre) {
        const auto header = GreHeader::parse(payload);
        return !header || !header.value().isPptp();
    }
    return protocol == net::IpProtocol::IpIp || protocol == net::IpProtocol::SixInFour ||
           protocol == net::IpProtocol::EtherIp;
}

PortlessDecision GreInspector::decide(Instant now, net::Direction direction,
                                      const PortlessPacket& packet, Actions& actions)
{
    const auto reading = read(direction, packet);
    if (!reading) return refuse(DropReason::MalformedGre);
    return direction == Direction::Outbound
               ? m_state->decideOutbound(now, packet, *reading, actions)
               : m_state->decideInbound(now, packet, *reading, actions);
}

Attention GreInspector::inspectPortless(Instant now, net::Direction direction,
                                        const PortlessPacket& packet, Actions& actions)
{
    const auto reading = read(direction, packet);
    if (!reading) return kPass;
    const auto place = m_state->places.find({packet.external, packet.remote, packet.protocol});
    if (place == m_state->places.end()) return kIgnore;
    const auto entry = place->second.entries.find(reading->discriminator);
    if (entry == place->second.entries.end()) return kIgnore;
    const TunnelKey key = entry->second.tunnel;
    m_state->note(now, direction, key, *reading, packet, actions);
    const auto tunnel = m_state->tunnels.find(key);
    const bool bothWays =
        tunnel != m_state->tunnels.end() && tunnel->second.sent > 0 && tunnel->second.received > 0;
    return bothWays ? kIgnore : kPass;
}

void GreInspector::bindingClosed(Instant, const PortlessBinding& binding, FlowEnd end,
                                 Actions& actions)
{
    if (!binding.inbound) return;
    const Place place{binding.external, binding.server, binding.protocol};
    const auto found = m_state->places.find(place);
    if (found == m_state->places.end()) return;
    const auto entry = found->second.entries.find(*binding.inbound);
    if (entry == found->second.entries.end() || entry->second.client != binding.client) return;
    m_state->forget(place, *binding.inbound, end, actions);
}

void GreInspector::bindingRestored(Instant now, const PortlessBinding& binding,
                                   net::VpnProtocol protocol)
{
    State& state = *m_state;
    const bool isOurs = binding.protocol == net::IpProtocol::Gre ||
                        binding.protocol == net::IpProtocol::IpIp ||
                        binding.protocol == net::IpProtocol::SixInFour ||
                        binding.protocol == net::IpProtocol::EtherIp;
    if (!isOurs || !binding.inbound || binding.inbound->variant == Variant::GreCall ||
        state.entryCount >= kMostEntries) {
        return;
    }
    PlaceState& place = state.places[{binding.external, binding.server, binding.protocol}];
    if (!place.entries
             .try_emplace(*binding.inbound, Entry{binding.client, binding.key, state.order + 1})
             .second) {
        return;
    }
    ++state.order;
    ++state.entryCount;
    ++place.clients[binding.client];
    TunnelState& tunnel = state.tunnels[binding.key];
    tunnel.protocol = protocol;
    ++tunnel.entries;
    // It had been told of; what is new is only that it goes on.
    tunnel.sent = std::max(tunnel.sent, 1U);
    tunnel.firstSent = now;
    tunnel.silenceTold = true;
    if (!binding.watch) tunnel.received = std::max(tunnel.received, 1U);
}

void GreInspector::handleTimeout(Instant now, Actions& actions)
{
    State& state = *m_state;
    if (!state.nextSweep || now < *state.nextSweep) return;
    state.nextSweep.reset();
    for (auto& [key, tunnel] : state.tunnels) {
        if (tunnel.sent == 0 || tunnel.received > 0 || tunnel.silenceTold) continue;
        if (now - tunnel.firstSent < kAnswerTimeout || tunnel.sent < kAnswerPackets) {
            state.nextSweep = now + kSweepEvery;
            continue;
        }
        tunnel.silenceTold = true;
        const bool gre =
            tunnel.protocol == net::VpnProtocol::Gre || tunnel.protocol == net::VpnProtocol::Eoip;
        Observing(actions, key)
            .finding(gre ? FindingKind::GreNeverReturns : FindingKind::NoAnswerFromServer,
                     tunnel.sent, 0, tunnel.proof);
    }
}

std::optional<Instant> GreInspector::nextTimeout() const
{
    return m_state->nextSweep;
}

}  // namespace engine::passthrough
