#include "engine/passthrough/ipsec_state.h"

/// ESP and keepalives in UDP (RFC 3948), IKE and ESP over TCP (RFC 9329).
namespace engine::passthrough {

using namespace ipsec;

namespace {

/// Keepalives come every few seconds; the timeline tells of them this often.
constexpr Duration kKeepaliveTold = 60s;
constexpr Duration kConflictTime = 60s;
constexpr Duration kConflictSilence = 20s;

/// Of the segment's first octet.
std::uint32_t sequenceOf(const Segment& segment)
{
    constexpr std::uint8_t kSyn = 2;
    return segment.sequence + ((segment.tcpFlags & kSyn) != 0 ? 1U : 0U);
}

}  // namespace

void IpsecInspector::State::espSeen(Instant now, FlowState& state, Direction direction,
                                    std::uint32_t spi, wire::ConstBytes packet, Actions& actions)
{
    if (state.connection == nullptr) {
        // No IKE was seen: another control channel, or one that began before us.
        join(state, makeKey(state.flow, 0));
        label(state, net::VpnProtocol::IpsecNatT, Confidence::Likely, actions);
        attach(state, actions);
    }
    Connection& connection = *state.connection;
    if (direction == Direction::Outbound) {
        ++state.outboundSinceInbound;
        if (state.conflictSince != Instant{} && state.outboundSinceInbound >= 5 &&
            now - state.lastInboundEsp > kConflictSilence &&
            state.lastInboundEsp - state.conflictSince < kConflictTime) {
            finding(state, FindingKind::ServerAllowsOneClient, state.outboundSinceInbound, 0,
                    packet, actions);
            state.conflictSince = Instant{};
        }
        if (spi == state.outboundSpi) return;
        if (state.outboundSpi == 0) {
            event(state, EventKind::DataFirstOutbound, direction, spi, 0, actions);
        } else {
            ++connection.rekeys;
            actions.observations.push_back(observe(state, Observation::Kind::Rekey));
            event(state, EventKind::Rekeyed, direction, connection.rekeys, 0, actions);
        }
        state.outboundSpi = spi;
    } else {
        state.lastInboundEsp = now;
        state.outboundSinceInbound = 0;
        if (spi == state.inboundSpi) return;
        if (state.inboundSpi == 0) {
            event(state, EventKind::DataFirstInbound, direction, spi, 0, actions);
            findConflicts(now, state);
        }
        state.inboundSpi = spi;
        connection.answered = true;
        attach(state, actions);
    }
    if (state.outboundSpi != 0 && state.inboundSpi != 0) {
        connection.agreed = true;
        phase(state, Phase::Established, actions);
    }
}

/// RFC 3948 §5.2: some servers mix up several clients of one address in transport mode, as Windows
/// uses for L2TP. The older tunnel goes silent when the newer comes up.
void IpsecInspector::State::findConflicts(Instant now, const FlowState& newer)
{
    const auto suspicious = [](const FlowState& state) {
        return state.carrier == FlowState::Carrier::Encapsulated && state.connection != nullptr &&
               state.connection->version == Version::V1 &&
               state.connection->product == ike::Product::Windows;
    };
    if (!suspicious(newer)) return;
    for (auto& [id, state] : flows) {
        if (state.flow.remote.address == newer.flow.remote.address && suspicious(state) &&
            state.inboundSpi != 0 && state.key != newer.key &&
            state.flow.internal.address != newer.flow.internal.address) {
            state.conflictSince = now;
        }
    }
}

void IpsecInspector::State::keepalive(Instant now, FlowState& state, Direction direction,
                                      Actions& actions)
{
    if (state.connection == nullptr) return;
    ++state.keepalives;
    if (state.keepalives > 1 && now - state.keepaliveTold < kKeepaliveTold) return;
    state.keepaliveTold = now;
    event(state, EventKind::Keepalive, direction, state.keepalives, 0, actions);
}

// ---- IKE and ESP over TCP -----------------------------------------------------------------------

/// The prefix, which may come in pieces.
Inspector::Claim IpsecInspector::State::considerStream(Instant now, const Flow& flow,
                                                       const Segment& segment)
{
    if (segment.payload.empty()) return Claim::Undecided;
    if (segment.direction != flow.initiator) return Claim::NotMine;
    const std::uint32_t sequence = sequenceOf(segment);
    const auto known = openings.find(flow.id);
    TcpOpening opening = known == openings.end() ? TcpOpening{sequence, 0} : known->second;
    const std::uint32_t old = opening.next - sequence;
    const bool isHole = old > 0x7fffffffU;
    if (!isHole && old >= segment.payload.size()) return Claim::Undecided;  // seen before
    const wire::ConstBytes rest = isHole ? wire::ConstBytes{} : segment.payload.subspan(old);
    const std::size_t size = std::min(rest.size(), kTcpPrefix.size() - opening.matched);
    const auto expected = wire::ConstBytes{kTcpPrefix}.subspan(opening.matched, size);
    if (isHole || !std::ranges::equal(rest.first(size), expected)) {
        openings.erase(flow.id);
        return Claim::NotMine;
    }
    if (opening.matched + size < kTcpPrefix.size()) {
        if (known == openings.end() && openings.size() >= kMostSuspects) return Claim::NotMine;
        opening.matched += size;
        opening.next += static_cast<std::uint32_t>(size);
        openings[flow.id] = opening;
        return Claim::Undecided;
    }
    openings.erase(flow.id);
    FlowState* const state = begin(now, flow, FlowState::Carrier::Tcp);
    if (state == nullptr) return Claim::NotMine;
    // inspect() gets this segment, but not those before it.
    TcpStream& stream = state->streams[indexOf(segment.direction)];
    stream.started = true;
    stream.next = opening.next;
    stream.prefix = kTcpPrefix.size() - opening.matched;
    return Claim::Claimed;
}

void IpsecInspector::State::stream(Instant now, FlowState& state, const Segment& segment,
                                   Actions& actions)
{
    TcpStream& stream = state.streams[indexOf(segment.direction)];
    if (stream.lost || segment.payload.empty()) return;
    const std::uint32_t sequence = sequenceOf(segment);
    if (!stream.started) {
        stream.started = true;
        stream.next = sequence;
    }
    const std::uint32_t old = stream.next - sequence;
    if (old > 0x7fffffffU) {
        stream.lost = true;  // a hole: frame boundaries are gone
        return;
    }
    if (old >= segment.payload.size()) return;  // seen before
    wire::ConstBytes rest = segment.payload.subspan(old);
    stream.next += static_cast<std::uint32_t>(rest.size());
    const auto take = [&rest](std::size_t most) {
        const std::size_t taken = std::min(most, rest.size());
        rest = rest.subspan(taken);
        return taken;
    };
    while (!rest.empty()) {
        if (stream.prefix > 0) {
            stream.prefix -= take(stream.prefix);
            continue;
        }
        if (stream.skip > 0) {
            stream.skip -= take(stream.skip);
            continue;
        }
        // The length, then as much of the content as an IKE header needs.
        const std::size_t wanted =
            stream.filled < 2 ? 2 : std::min(stream.size, stream.octets.size());
        const wire::ConstBytes source = rest;
        const std::size_t taken = take(wanted - stream.filled);
        std::copy_n(source.begin(), taken,
                    stream.octets.begin() + static_cast<std::ptrdiff_t>(stream.filled));
        stream.filled += taken;
        if (stream.filled < wanted) return;
        if (wanted == 2) {
            stream.size = wire::load16(stream.octets, 0);
            if (stream.size < 2) {
                stream.lost = true;
                return;
            }
            if (stream.size > 2) continue;
        } else {
            frame(now, state, segment.direction, stream, actions);
            stream.skip = stream.size - stream.filled;
        }
        stream.filled = 0;
        stream.size = 0;
    }
}

void IpsecInspector::State::frame(Instant now, FlowState& state, Direction direction,
                                  const TcpStream& stream, Actions& actions)
{
    const wire::ConstBytes content = wire::ConstBytes{stream.octets}.subspan(2, stream.filled - 2);
    if (content.size() < 8) return;
    const std::uint32_t spi = wire::load32(content, 0);
    if (spi != 0) {
        if (spi >= 256) espSeen(now, state, direction, spi, {}, actions);
        return;
    }
    const wire::ConstBytes message = content.subspan(ike::kMarkerSize);
    const auto header = ike::parseHeader(message, stream.size - 2 - ike::kMarkerSize);
    if (header) ikeMessage(now, state, direction, *header, message, {}, actions);
}

}  // namespace engine::passthrough
