#include "engine/passthrough/ipsec_state.h"

/// Which packets are IPsec, and which part looks at them.
namespace engine::passthrough {

using namespace ipsec;

namespace {

constexpr Attention kIgnore{.next = Attention::Next::Ignore};

/// WireGuard and its relatives begin with a type from 1 to 4 and three octets that are zero or,
/// with Cloudflare, a client's number: types never increase like ESP's sequence numbers, but the
/// plain form is refused at once.
bool looksLikeWireGuard(wire::ConstBytes payload)
{
    return payload.size() >= 32 && payload[0] >= 1 && payload[0] <= 4 && payload[1] == 0 &&
           payload[2] == 0 && payload[3] == 0;
}

/// How long the UDP payload is. A first fragment shows its beginning only; IKE_AUTH with
/// certificates often comes in several.
std::size_t datagramSizeOf(const Segment& segment)
{
    const wire::ConstBytes packet = segment.packet;
    if (packet.size() < 28 || (packet[6] & 0x20U) == 0) return segment.payload.size();
    const std::size_t header = std::size_t{packet[0] & 15U} * 4;
    if (packet[0] >> 4 != 4 || header + 8 + segment.payload.size() != packet.size()) {
        return segment.payload.size();
    }
    return std::max<std::size_t>(wire::load16(packet, header + 4), 8) - 8;
}

}  // namespace

IpsecInspector::IpsecInspector(HashKey seed, const policy::PassthroughPolicy& policy)
    : m_state(std::make_unique<State>(seed, policy))
{}
IpsecInspector::~IpsecInspector() = default;

Inspector::Claim IpsecInspector::consider(Instant now, const Flow& flow, const Segment& segment)
{
    State& state = *m_state;
    const wire::ConstBytes payload = segment.payload;
    const std::size_t size = datagramSizeOf(segment);
    if (flow.protocol == net::IpProtocol::Tcp) return state.considerStream(now, flow, segment);
    if (flow.protocol != net::IpProtocol::Udp) return Claim::NotMine;
    // The receiver's half of a hairpinned flow: the caller's half is looked at already, and the
    // same cookies and SPIs would make the receiver a second client, or a second tunnel of it.
    if (flow.initiator == Direction::Inbound && flow.loops) {
        return Claim::NotMine;
    }
    if (payload.empty()) return Claim::Undecided;

    const auto isPort = [&](std::uint16_t port) {
        return flow.remote.port.hostOrder() == port || flow.internal.port.hostOrder() == port;
    };
    const bool usual = isPort(ike::kPort) || isPort(ike::kNatTraversalPort);
    // Away from its ports only a first message counts: it has one more field that must be zero.
    if (const auto header = ike::parseHeader(payload, size);
        header && (usual || isInitial(*header))) {
        return state.begin(now, flow, FlowState::Carrier::Ike) != nullptr ? Claim::Claimed
                                                                          : Claim::NotMine;
    }
    switch (ike::classifyEncapsulated(payload, size)) {
    case ike::Encapsulated::Ike: {
        const auto header =
            ike::parseHeader(payload.subspan(ike::kMarkerSize), size - ike::kMarkerSize);
        if (!usual && (!header || !isInitial(*header))) return Claim::NotMine;
        state.suspects.erase(flow.id);
        return state.begin(now, flow, FlowState::Carrier::Encapsulated) != nullptr ? Claim::Claimed
                                                                                   : Claim::NotMine;
    }
    case ike::Encapsulated::Keepalive:
        return isPort(ike::kNatTraversalPort) ? Claim::Undecided : Claim::NotMine;
    case ike::Encapsulated::Other: return Claim::NotMine;
    case ike::Encapsulated::Esp: break;
    }
    // GlobalProtect's ESP has no IKE and is told by its own recogniser.
    if (!isPort(ike::kNatTraversalPort)) return Claim::NotMine;
    if (looksLikeWireGuard(payload)) return Claim::NotMine;
    const auto known = state.suspects.find(flow.id);
    if (known == state.suspects.end() && state.suspects.size() >= kMostSuspects) {
        return Claim::NotMine;
    }
    Suspect& suspect = known == state.suspects.end() ? state.suspects[flow.id] : known->second;
    const std::size_t way = indexOf(segment.direction);
    const std::uint32_t spi = wire::load32(payload, 0);
    const std::uint32_t sequence = wire::load32(payload, 4);
    const std::uint32_t ahead = sequence - suspect.sequence[way];
    const bool continues = suspect.spi[way] == spi && ahead >= 1 && ahead <= 32;
    suspect.spi[way] = spi;
    suspect.sequence[way] = sequence;
    if (!continues) return Claim::Undecided;
    state.suspects.erase(flow.id);
    return state.begin(now, flow, FlowState::Carrier::Encapsulated) != nullptr ? Claim::Claimed
                                                                               : Claim::NotMine;
}

Attention IpsecInspector::inspect(Instant now, const Flow& flow, const Segment& segment,
                                  Actions& actions)
{
    State& state = *m_state;
    FlowState* const known = state.find(flow.id);
    if (known == nullptr) return kIgnore;
    const wire::ConstBytes payload = segment.payload;
    const std::size_t size = datagramSizeOf(segment);
    if (known->carrier == FlowState::Carrier::Tcp) {
        state.stream(now, *known, segment, actions);
        const bool lost = std::ranges::all_of(known->streams, &TcpStream::lost);
        return lost ? kIgnore : kWatch;
    }
    if (known->carrier == FlowState::Carrier::Encapsulated) {
        switch (ike::classifyEncapsulated(payload, size)) {
        case ike::Encapsulated::Esp:
            state.espSeen(now, *known, segment.direction, wire::load32(payload, 0), segment.packet,
                          actions);
            return kWatch;
        case ike::Encapsulated::Keepalive:
            state.keepalive(now, *known, segment.direction, actions);
            return kWatch;
        case ike::Encapsulated::Other: return kWatch;
        case ike::Encapsulated::Ike: break;
        }
        state.update(*known, flow, now, actions);
        const wire::ConstBytes message = payload.subspan(ike::kMarkerSize);
        const auto header = ike::parseHeader(message, size - ike::kMarkerSize);
        if (!header) return kWatch;
        return state.ikeMessage(now, *known, segment.direction, *header, message, segment.packet,
                                actions);
    }
    const auto header = ike::parseHeader(payload, size);
    if (!header) {
        // ESP and IKE with marker may follow on the same flow (a client that starts on 4500).
        const auto kind = ike::classifyEncapsulated(payload, size);
        const bool encapsulated =
            flow.remote.port.hostOrder() != ike::kPort &&
            (kind == ike::Encapsulated::Ike || kind == ike::Encapsulated::Esp);
        if (encapsulated) known->carrier = FlowState::Carrier::Encapsulated;
        return kWatch;
    }
    state.update(*known, flow, now, actions);
    const bool stranger = known->connection != nullptr && segment.direction == Direction::Inbound &&
                          !State::knows(*known, header->initiatorSpi);
    if (stranger && flow.remote.port.hostOrder() == ike::kPort &&
        flow.external.port.hostOrder() == ike::kPort) {
        FlowState* owner = state.ownerOf(flow.remote.address, header->initiatorSpi);
        const bool answers = owner != nullptr;
        if (owner == nullptr) owner = state.offer(now, State::pairOf(*known), *header);
        // Offered to this client: what it answers makes the SPI its own.
        if (owner == known) return kWatch;
        if (owner != nullptr && owner != known && State::pairOf(*owner) == State::pairOf(*known)) {
            if (answers) {
                state.ikeMessage(now, *owner, segment.direction, *header, payload, segment.packet,
                                 actions);
                state.learnLegacy(*owner, actions);
            }
            return {.next = Attention::Next::Watch, .redirect = owner->flow.id};
        }
    }
    return state.ikeMessage(now, *known, segment.direction, *header, payload, segment.packet,
                            actions);
}

void IpsecInspector::flowClosed(Instant now, FlowId flow, FlowEnd, Actions& actions)
{
    State& state = *m_state;
    state.suspects.erase(flow);
    state.openings.erase(flow);
    state.lastNow = now;
    FlowState* const known = state.find(flow);
    if (known == nullptr) return;
    state.leaveResolver(flow, actions);
    if (known->connection != nullptr) {
        if (!known->connection->answered && known->connection->flows == 1) {
            Observation ended = State::observe(*known, Observation::Kind::Ended);
            ended.phase = Phase::Failed;
            ended.event = EventKind::TimedOut;
            actions.observations.push_back(std::move(ended));
        }
        for (const std::uint64_t spi : known->initiatorSpis)
            state.forget(*known, spi);
        state.leave(*known);
    }
    state.recent[static_cast<std::size_t>(flow % kRecentFlows)] = {};
    state.flows.erase(flow);
}

bool IpsecInspector::owns(net::IpProtocol protocol, wire::ConstBytes) const
{
    return protocol == net::IpProtocol::Esp || protocol == net::IpProtocol::Ah;
}

PortlessDecision IpsecInspector::decide(Instant now, net::Direction direction,
                                        const PortlessPacket& packet, Actions& actions)
{
    if (packet.protocol == net::IpProtocol::Ah) {
        return m_state->refuseAh(now, direction, packet, actions);
    }
    return m_state->resolver.decide(now, direction, packet, actions);
}

Attention IpsecInspector::inspectPortless(Instant now, net::Direction direction,
                                          const PortlessPacket& packet, Actions& actions)
{
    if (packet.protocol != net::IpProtocol::Esp) return kIgnore;
    return m_state->resolver.watch(now, direction, packet, actions);
}

void IpsecInspector::bindingClosed(Instant now, const PortlessBinding& binding, FlowEnd, Actions&)
{
    if (binding.protocol != net::IpProtocol::Esp) return;
    m_state->resolver.bindingClosed(now, binding);
}

std::optional<UdpRedirect> IpsecInspector::unmatchedUdp(Instant now, net::Endpoint external,
                                                        net::Endpoint remote,
                                                        wire::ConstBytes payload, Actions& actions)
{
    if (external.port.hostOrder() != ike::kPort) return std::nullopt;
    const auto header = ike::parseHeader(payload);
    if (!header) return std::nullopt;
    State& state = *m_state;
    state.lastNow = now;
    FlowState* owner = state.ownerOf(remote.address, header->initiatorSpi);
    if (owner == nullptr) {
        owner = state.offer(now, {external.address, remote.address}, *header);
        if (owner == nullptr) return std::nullopt;
        return UdpRedirect{owner->flow.id};
    }
    if (owner->flow.external.address != external.address) return std::nullopt;
    state.ikeMessage(now, *owner, Direction::Inbound, *header, payload, {}, actions);
    state.learnLegacy(*owner, actions);
    return UdpRedirect{owner->flow.id};
}

void IpsecInspector::portlessRefused(Instant now, const PortlessPacket& packet, Actions& actions)
{
    if (packet.protocol != net::IpProtocol::Esp || packet.payload.size() < 4) return;
    m_state->resolver.refused(now, {packet.external, packet.remote}, packet.internal,
                              wire::load32(packet.payload, 0), actions);
}

void IpsecInspector::handleTimeout(Instant now, Actions& actions)
{
    m_state->resolver.handleTimeout(now, actions);
}

std::optional<Instant> IpsecInspector::nextTimeout() const
{
    return m_state->resolver.nextTimeout();
}

}  // namespace engine::passthrough
