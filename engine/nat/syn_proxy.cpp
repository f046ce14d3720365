#include "engine/nat/syn_proxy.h"

#include <algorithm>
#include <cassert>

namespace engine::nat {
namespace {

std::uint16_t scaled(std::uint16_t window, unsigned up, unsigned down)
{
    return static_cast<std::uint16_t>(
        std::min<std::uint64_t>((std::uint64_t{window} << up) >> down, 0xffff));
}

}  // namespace

void ShiftedConnection::translateInbound(wire::TcpView& tcp, wire::ChecksumState state) const
{
    if (tcp.has(wire::tcp_flag::kAck)) {
        tcp.rewriteAcknowledgement(tcp.acknowledgement() - shift, state);
    }
    tcp.shiftSelectiveAcknowledgements(0U - shift, state);
    // A SYN's window is never scaled (RFC 7323 §2.2).
    if (inboundUp != 0 && !tcp.has(wire::tcp_flag::kSyn)) {
        tcp.rewriteWindow(scaled(tcp.window(), inboundUp, 0), state);
    }
}

void ShiftedConnection::restoreInbound(wire::TcpView& tcp, std::uint16_t windowBefore,
                                       wire::ChecksumState state) const
{
    if (tcp.has(wire::tcp_flag::kAck)) {
        tcp.rewriteAcknowledgement(tcp.acknowledgement() + shift, state);
    }
    tcp.shiftSelectiveAcknowledgements(shift, state);
    tcp.rewriteWindow(windowBefore, state);
}

void ShiftedConnection::translateOutbound(wire::TcpView& tcp, wire::ChecksumState state) const
{
    tcp.rewriteSequence(tcp.sequence() + shift, state);
    if ((outboundUp | outboundDown) != 0 && !tcp.has(wire::tcp_flag::kSyn)) {
        tcp.rewriteWindow(scaled(tcp.window(), outboundUp, outboundDown), state);
    }
}

void ShiftedConnection::begin(const wire::TcpView& synAck)
{
    open = true;
    shift = told - synAck.sequence();
    if (options.windowScale == SynOptions::kNoScale) return;  // neither side scales
    // The client scales, and believes the server to scale by what it was told. The server scales
    // both directions or none (RFC 7323 §2.2).
    outboundDown = SynProxy::kToldScale;
    if (const auto scale = synAck.windowScale()) {
        outboundUp = *scale;
        const std::uint8_t common = std::min(outboundUp, outboundDown);
        outboundUp = static_cast<std::uint8_t>(outboundUp - common);
        outboundDown = static_cast<std::uint8_t>(outboundDown - common);
    } else {
        inboundUp = options.windowScale;
    }
}

SynProxy::Flood* SynProxy::begin(Instant now, net::Endpoint server)
{
    if (m_floods.size() >= kMostFloods && !m_floods.contains(server.address.hostOrder())) {
        return nullptr;
    }
    Flood& flood = m_floods[server.address.hostOrder()];
    flood = {.server = server, .since = now};
    nextPeriod(now, flood);
    return &flood;
}

bool SynProxy::isCalm(const Flood& flood)
{
    const std::uint64_t answered = flood.answered - flood.answeredBefore;
    const std::uint64_t proved = flood.proved - flood.provedBefore;
    return answered < proved + kCalm;
}

void SynProxy::nextPeriod(Instant now, Flood& flood)
{
    flood.periodEnds = now + kPeriod;
    flood.answeredBefore = flood.answered;
    flood.provedBefore = flood.proved;
}

void SynProxy::end(Instant now, Flood& flood)
{
    flood.over = true;
    flood.periodEnds = now + SynCookies::kLifetime;
}

std::uint16_t SynProxy::add(Instant now, const ShiftedConnection& connection)
{
    assert(hasRoom());
    std::uint32_t index = m_free;
    if (index != FlatIndex::kNone) {
        m_free = m_connections[index].next;
    } else {
        index = m_touched++;
    }
    ++m_used;
    m_connections[index] = connection;
    const auto name = static_cast<std::uint16_t>(index);
    if (!connection.open) waitAgain(now, name);
    return name;
}

void SynProxy::remove(std::uint16_t index)
{
    leave(index);
    ShiftedConnection& connection = m_connections[index];
    connection = {};
    connection.next = m_free;
    m_free = index;
    --m_used;
}

void SynProxy::opened(std::uint16_t index)
{
    leave(index);
}

void SynProxy::waitAgain(Instant now, std::uint16_t index)
{
    ShiftedConnection& connection = m_connections[index];
    Queue& queue = m_waiting[connection.attempt];
    connection.due = now + kPatience[connection.attempt];
    connection.next = FlatIndex::kNone;
    connection.previous = queue.newest;
    if (queue.newest != FlatIndex::kNone) {
        m_connections[queue.newest].next = index;
    } else {
        queue.oldest = index;
    }
    queue.newest = index;
}

/// Off the list of its attempt, if it is on it.
void SynProxy::leave(std::uint16_t index)
{
    ShiftedConnection& connection = m_connections[index];
    Queue& queue = m_waiting[connection.attempt];
    if (connection.previous == FlatIndex::kNone && queue.oldest != index) return;
    if (connection.previous != FlatIndex::kNone) {
        m_connections[connection.previous].next = connection.next;
    } else {
        queue.oldest = connection.next;
    }
    if (connection.next != FlatIndex::kNone) {
        m_connections[connection.next].previous = connection.previous;
    } else {
        queue.newest = connection.previous;
    }
    connection.next = connection.previous = FlatIndex::kNone;
}

std::optional<std::uint16_t> SynProxy::takeDue(Instant now)
{
    for (const Queue& queue : m_waiting) {
        if (queue.oldest == FlatIndex::kNone || m_connections[queue.oldest].due > now) continue;
        const auto index = static_cast<std::uint16_t>(queue.oldest);
        leave(index);
        return index;
    }
    return std::nullopt;
}

std::optional<Instant> SynProxy::nextTimeout() const
{
    std::optional<Instant> next;
    const auto earlier = [&](Instant other) {
        if (!next || other < *next) next = other;
    };
    for (const auto& [address, flood] : m_floods)
        earlier(flood.periodEnds);
    for (const Queue& queue : m_waiting) {
        if (queue.oldest != FlatIndex::kNone) earlier(m_connections[queue.oldest].due);
    }
    return next;
}

void SynProxy::save(StateWriter& out, const ShiftedConnection& connection)
{
    out.flag(connection.open);
    out.u32(connection.told);
    out.u32(connection.clientSequence);
    out.u32(connection.shift);
    out.u16(connection.window);
    out.u16(connection.options.maximumSegmentSize);
    out.u8(connection.options.windowScale);
    out.flag(connection.options.sackPermitted);
    out.u8(connection.inboundUp);
    out.u8(connection.outboundUp);
    out.u8(connection.outboundDown);
}

ShiftedConnection SynProxy::read(StateReader& in)
{
    constexpr std::size_t kScales = wire::kTcpMaximumWindowScale + std::size_t{1};
    ShiftedConnection connection;
    connection.open = in.flag();
    connection.told = in.u32();
    connection.clientSequence = in.u32();
    connection.shift = in.u32();
    connection.window = in.u16();
    connection.options.maximumSegmentSize = in.u16();
    connection.options.windowScale = in.below(SynOptions::kNoScale + std::size_t{1});
    connection.options.sackPermitted = in.flag();
    connection.inboundUp = in.below(kScales);
    connection.outboundUp = in.below(kScales);
    connection.outboundDown = in.below(kScales);
    return connection;
}

}  // namespace engine::nat
