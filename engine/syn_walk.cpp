#include "engine/engine_state.h"
#include "engine/wire/builder.h"

#include <algorithm>

/// Connection attempts from outside while a server is flooded with them: the router answers in the
/// server's place, and only who acknowledges the answer is introduced to the server (RFC 4987
/// §3.6). The two halves of such a connection count differently for as long as it lives.
namespace engine {

namespace sf = nat::session_flag;
namespace df = nat::detail_flag;
using net::Direction;
using net::IpProtocol;

namespace {

constexpr std::uint8_t kTurns =
    wire::tcp_flag::kSyn | wire::tcp_flag::kAck | wire::tcp_flag::kRst | wire::tcp_flag::kFin;

SynFloodStatus described(const nat::SynProxy::Flood& flood)
{
    return {flood.server, flood.since, flood.answered, flood.proved};
}

}  // namespace

nat::SynProxy::Load Engine::State::handshakesAt(net::Ipv4Address server) const
{
    const std::uint32_t share = std::max(1U, sessionLimit(server) / kUninvitedShare);
    const auto device = devices.find(server);
    return {.underWay = device ? devices[*device].handshakes : 0,
            .most = std::min(nat::SynProxy::kHandshakesAtOnce, std::max(1U, share / 2))};
}

/// A SYN that would begin a session with a server inside; nothing if it may.
std::optional<Verdict> Engine::State::checkCaller(Walk& walk, net::Endpoint server)
{
    if (!config.nat.synProxy || walk.hairpin) return std::nullopt;
    nat::SynProxy::Flood* flood = synProxy.floodAt(server.address);
    if (flood == nullptr || flood->over) {
        const nat::SynProxy::Load load = handshakesAt(server.address);
        if (load.underWay < load.most) return std::nullopt;
        flood = synProxy.begin(walk.now, server);
        if (flood == nullptr) return std::nullopt;
        emitEvent(walk.now, walk.output, SynFlood{described(*flood)});
    }
    // Nobody cuts a SYN into pieces.
    if (walk.ip.isFragment()) return drop(walk, DropReason::UnsolicitedSyn);
    const auto tcp = wire::TcpView::parse(walk.ip.payload());
    if (!tcp) return drop(walk, DropReason::MalformedTransport);
    // What is passed on is judged by its receiver; this has none but us.
    if (walk.packet.checksum == wire::ChecksumState::Complete && !tcp->hasValidChecksum(walk.ip)) {
        return drop(walk, DropReason::MalformedTransport);
    }
    const std::size_t room =
        walk.ip.totalLength() - wire::Ipv4View::kMinimumHeader - wire::TcpView::kMinimumHeader;
    nat::SynAnswer answer{.windowScale = nat::SynProxy::kToldScale,
                          .asked = nat::optionsOf(*tcp, room)};
    answer.sequence =
        synProxy.cookies().make(walk.now,
                                {.client = {walk.ip.source(), tcp->sourcePort()},
                                 .server = {walk.ip.destination(), tcp->destinationPort()},
                                 .clientSequence = tcp->sequence()},
                                answer.asked);
    const std::uint16_t mtu = std::min(config.internal.mtu, config.external.mtu);
    answer.maximumSegmentSize = static_cast<std::uint16_t>(std::max<int>(mtu, 576) - 40);
    ++flood->answered;
    ++counters.synsAnswered;
    ++counters.generated;
    // In place, so that a flood costs no memory, not even for a moment.
    walk.packet = {.bytes = nat::answerInPlace(walk.ip.bytes(), answer)};
    return Verdict::forward(PortId::External);
}

/// A segment without a session, whose sender may be somebody who acknowledges such an answer.
Engine::State::Proof Engine::State::proveCaller(const Walk& walk, net::Ipv4Address server)
{
    nat::SynProxy::Flood* const flood = synProxy.floodAt(server);
    if (flood == nullptr || walk.hairpin || walk.ip.isFragment()) return {};
    const auto tcp = wire::TcpView::parse(walk.ip.payload());
    if (!tcp || (tcp->flags() & kTurns) != wire::tcp_flag::kAck) return {};
    nat::SynCall call{.client = {walk.ip.source(), tcp->sourcePort()},
                      .server = {walk.ip.destination(), tcp->destinationPort()},
                      .clientSequence = tcp->sequence() - 1};
    const std::uint32_t cookie = tcp->acknowledgement() - 1;
    auto options = synProxy.cookies().check(walk.now, call, cookie);
    if (!options && tcp->payload().empty()) {
        // Its acknowledgement was lost, and now it asks whether our window is open: with a number
        // that we have already (RFC 9293 §3.8.6.1 leaves the shape of a probe to it).
        ++call.clientSequence;
        options = synProxy.cookies().check(walk.now, call, cookie);
    }
    const bool sound =
        walk.packet.checksum == wire::ChecksumState::Partial || tcp->hasValidChecksum(walk.ip);
    if (!options || !sound) return {.reason = DropReason::BadSynCookie};
    if (!synProxy.hasRoom()) return {.reason = DropReason::SessionTableFull};
    return {.caller = nat::ShiftedConnection{.told = cookie,
                                             .clientSequence = call.clientSequence,
                                             .window = tcp->window(),
                                             .options = *options}};
}

/// The caller is real and has a session: now the server hears of it.
Verdict Engine::State::introduce(Walk& walk, std::uint32_t index, nat::ShiftedConnection caller)
{
    if (nat::SynProxy::Flood* flood = synProxy.floodAt(sessions[index].internal)) ++flood->proved;
    ++counters.synsProved;
    ++counters.consumed;
    caller.session = index;
    nat::SessionDetail& rest = sessions.detail(index);
    rest.aliasPort = synProxy.add(walk.now, caller);
    rest.flags |= df::kShifted;
    // What has proved real is no part of the flood, however long the server takes.
    leaveHandshakes(index);
    refreshAttention(index);
    callServer(walk.now, index, walk.output);
    return {Verdict::Kind::Consumed};
}

/// A segment of the client as it would have come, sent on its way to the server.
void Engine::State::sendAsClient(Instant now, std::uint32_t index, const wire::TcpFields& segment,
                                 Output& output)
{
    std::vector<std::uint8_t> bytes = wire::buildTcp(segment);
    wire::Packet packet{.bytes = bytes};
    Walk walk{.now = now,
              .packet = packet,
              .ip = *wire::Ipv4View::parse(bytes),
              .output = output,
              .ingress = PortId::External,
              .own = true};
    if (translate(walk, index, Direction::Inbound).kind != Verdict::Kind::Forward) return;
    ++counters.generated;
    output.packets.push_back({PortId::Internal, std::move(bytes)});
}

void Engine::State::callServer(Instant now, std::uint32_t index, Output& output)
{
    const nat::ShiftedConnection& connection = synProxy[shiftOf(index)];
    const passthrough::Flow flow = flowOf(index);
    const bool scales = connection.options.windowScale != nat::SynOptions::kNoScale;
    sendAsClient(now, index,
                 {.source = flow.remote,
                  .destination = flow.external,
                  .flags = wire::tcp_flag::kSyn,
                  .sequence = connection.clientSequence,
                  .window = connection.window,
                  .maximumSegmentSize = connection.options.maximumSegmentSize,
                  .windowScale = scales ? std::optional{connection.options.windowScale}
                                        : std::optional<std::uint8_t>{},
                  .sackPermitted = connection.options.sackPermitted},
                 output);
}

/// What the client hears in the name of a server that it has not heard itself.
void Engine::State::sendAsServer(std::uint32_t index, std::uint8_t flags, std::uint16_t window,
                                 Output& output)
{
    const nat::ShiftedConnection& connection = synProxy[shiftOf(index)];
    const passthrough::Flow flow = flowOf(index);
    ++counters.generated;
    output.packets.push_back(
        {PortId::External, wire::buildTcp({.source = flow.external,
                                           .destination = flow.remote,
                                           .flags = flags,
                                           .sequence = connection.told + 1,
                                           .acknowledgement = connection.clientSequence + 1,
                                           .window = window})});
}

/// The server does not want the caller, or is not there.
void Engine::State::turnAway(Instant now, std::uint32_t index, passthrough::FlowEnd end,
                             Output& output)
{
    sendAsServer(index, wire::tcp_flag::kRst | wire::tcp_flag::kAck, 0, output);
    close(now, index, end, output);
}

/// A segment of such a connection, before anybody has looked at it. From here on it counts as the
/// server does, until it leaves.
std::optional<Verdict> Engine::State::meetShifted(Walk& walk, std::uint32_t index,
                                                  Direction direction, wire::TcpView& tcp)
{
    const nat::ShiftedConnection& connection = synProxy[shiftOf(index)];
    if (connection.open) {
        if (direction == Direction::Outbound) return std::nullopt;
        walk.unshiftedWindow = tcp.window();
        connection.translateInbound(tcp, walk.packet.checksum);
        return std::nullopt;
    }
    if (walk.own) return std::nullopt;
    const std::uint32_t first = connection.clientSequence + 1;
    if (direction == Direction::Inbound) {
        if (tcp.has(wire::tcp_flag::kRst)) {
            if (tcp.sequence() != first) return drop(walk, DropReason::TcpInexactReset);
            // The server may have the SYN already.
            const passthrough::Flow flow = flowOf(index);
            ++counters.generated;
            walk.output.packets.push_back(
                {PortId::Internal, wire::buildTcp({.source = flow.remote,
                                                   .destination = flow.internal,
                                                   .flags = wire::tcp_flag::kRst,
                                                   .sequence = first,
                                                   .window = 0})});
            close(walk.now, index, passthrough::FlowEnd::Reset, walk.output);
        }
        // Our window is closed: there can be nothing yet but questions whether it still is. Data
        // will come again.
        ++counters.consumed;
        return Verdict{Verdict::Kind::Consumed};
    }
    const bool answers = tcp.has(wire::tcp_flag::kAck) && tcp.acknowledgement() == first;
    if (tcp.has(wire::tcp_flag::kRst)) {
        if (!answers) return drop(walk, DropReason::TcpInexactReset);
        turnAway(walk.now, index, passthrough::FlowEnd::Reset, walk.output);
        ++counters.consumed;
        return Verdict{Verdict::Kind::Consumed};
    }
    // Of a SYN from before a restart we do not know enough; the next one is as good.
    const bool called = sessions[index].window.sentBy(Direction::Inbound).has_value();
    if (tcp.has(wire::tcp_flag::kSyn) && answers && called) return std::nullopt;
    if (tcp.has(wire::tcp_flag::kAck) && !answers) {
        // It remembers an older connection of this caller: a caller would reset that one (RFC 9293
        // §3.10.7.3), and so do we; the next SYN will be welcome.
        const passthrough::Flow flow = flowOf(index);
        ++counters.generated;
        walk.output.packets.push_back(
            {PortId::Internal, wire::buildTcp({.source = flow.remote,
                                               .destination = flow.internal,
                                               .flags = wire::tcp_flag::kRst,
                                               .sequence = tcp.acknowledgement(),
                                               .window = 0})});
    }
    return drop(walk, DropReason::TcpState);
}

/// Undone for a packet that will travel again from the start.
void Engine::State::unshift(const Walk& walk, wire::MutableBytes packet) const
{
    if (!walk.unshiftedWindow) return;
    const auto ip = wire::Ipv4View::parse(packet);
    if (!ip) return;
    auto tcp = wire::TcpView::parse(ip->payload());
    if (!tcp) return;
    synProxy[shiftOf(walk.session)].restoreInbound(*tcp, *walk.unshiftedWindow,
                                                   walk.packet.checksum);
}

/// A segment of the server, on its way out: nothing if it may go on.
std::optional<Verdict> Engine::State::leaveShifted(Walk& walk, std::uint32_t index)
{
    auto tcp = wire::TcpView::parse(walk.ip.payload());
    nat::ShiftedConnection& connection = synProxy[shiftOf(index)];
    if (connection.open) {
        connection.translateOutbound(*tcp, walk.packet.checksum);
        return std::nullopt;
    }
    // Only its SYN-ACK comes this far. The client has had one: it is told no more than the window,
    // and the server gets the acknowledgement that the client gave.
    synProxy.opened(shiftOf(index));
    connection.begin(*tcp);
    ++counters.consumed;
    const bool scales = connection.options.windowScale != nat::SynOptions::kNoScale;
    const passthrough::Flow flow = flowOf(index);
    const auto window = static_cast<std::uint16_t>(
        scales ? tcp->window() >> nat::SynProxy::kToldScale : tcp->window());
    sendAsServer(index, wire::tcp_flag::kAck, window, walk.output);
    sendAsClient(walk.now, index,
                 {.source = flow.remote,
                  .destination = flow.external,
                  .flags = wire::tcp_flag::kAck,
                  .sequence = connection.clientSequence + 1,
                  .acknowledgement = connection.told + 1,
                  .window = connection.window},
                 walk.output);
    return Verdict{Verdict::Kind::Consumed};
}

/// What time brings: servers that do not answer, floods that are over. No more than `most` servers
/// are called in one go.
void Engine::State::tendSynProxy(Instant now, std::uint32_t most, Output& output)
{
    for (std::uint32_t i = 0; i < most; ++i) {
        const auto due = synProxy.takeDue(now);
        if (!due) break;
        nat::ShiftedConnection& connection = synProxy[*due];
        const std::uint32_t index = connection.session;
        if (connection.attempt + std::size_t{1} < nat::SynProxy::kPatience.size()) {
            ++connection.attempt;
            synProxy.waitAgain(now, *due);
            callServer(now, index, output);
        } else {
            turnAway(now, index, passthrough::FlowEnd::Expired, output);
        }
    }
    synProxy.tend(
        now, [&](const nat::SynProxy::Flood& flood) { return handshakesAt(flood.server.address); },
        [&](const nat::SynProxy::Flood& flood) {
            emitEvent(now, output, SynFlood{described(flood), true});
        });
}

void Engine::State::endFloods(Instant now, Output& output)
{
    synProxy.endAll(now, [&](const nat::SynProxy::Flood& flood) {
        emitEvent(now, output, SynFlood{described(flood), true});
    });
}

std::vector<SynFloodStatus> Engine::State::floodsNow() const
{
    std::vector<SynFloodStatus> now;
    for (const auto& [address, flood] : synProxy.floods()) {
        if (!flood.over) now.push_back(described(flood));
    }
    std::ranges::sort(now, {}, [](const SynFloodStatus& one) { return one.server; });
    return now;
}

}  // namespace engine
