#include "engine/lab/tcp.h"

#include "engine/wire/checksum.h"

#include <algorithm>

namespace engine::lab {

namespace {

using namespace std::chrono_literals;

constexpr std::uint8_t kFin = 1;
constexpr std::uint8_t kSyn = 2;
constexpr std::uint8_t kRst = 4;
constexpr std::uint8_t kPsh = 8;
constexpr std::uint8_t kAck = 16;
constexpr std::size_t kHeader = 20;

// Ours. The round trips of the lab are far below a second.
constexpr Duration kFirstTimeout = 1s;
constexpr Duration kLongestTimeout = 60s;
constexpr int kMostTries = 8;
constexpr std::uint16_t kWindow = 65535;
/// Ours: segments under way at the beginning (as RFC 6928 has it), and octets at most.
constexpr std::uint32_t kFirstWindow = 10;
constexpr std::uint32_t kMostInFlight = 32 * 1024;
/// Ours: long enough to answer a repeated FIN; four minutes (RFC 9293) would only cost memory here.
constexpr Duration kLinger = 10s;

std::int32_t distance(std::uint32_t from, std::uint32_t to)
{
    return static_cast<std::int32_t>(to - from);
}

}  // namespace

TcpStack::Connection* TcpStack::find(TcpId id)
{
    const auto found = m_connections.find(id);
    return found == m_connections.end() ? nullptr : &found->second;
}

std::optional<net::Endpoint> TcpStack::remoteOf(TcpId id) const
{
    const auto found = m_connections.find(id);
    if (found == m_connections.end()) return std::nullopt;
    return found->second.remote;
}

TcpId TcpStack::add(Connection connection)
{
    const TcpId id = m_nextId++;
    m_byKey[{connection.local, connection.remote}] = id;
    m_connections.emplace(id, std::move(connection));
    return id;
}

TcpId TcpStack::connect(const net::Endpoint& to, TcpHandler handler, const ConnectOptions& options)
{
    net::Port local = options.from.value_or(net::Port{});
    while (!options.from) {
        m_nextPort =
            static_cast<std::uint16_t>((m_nextPort + 1 + m_host->random().below(7)) % 16384);
        local = net::Port{static_cast<std::uint16_t>(49152 + m_nextPort)};
        if (!m_byKey.contains({local, to})) break;
    }
    Connection connection;
    connection.local = local;
    connection.remote = to;
    connection.handler = std::move(handler);
    connection.segmentSize = options.segmentSize;
    connection.sendStart = static_cast<std::uint32_t>(m_host->random().next());
    connection.sendOldest = connection.sendStart;
    connection.sendNext = connection.sendStart + 1;
    connection.recoverUntil = connection.sendNext;
    const TcpId id = add(std::move(connection));
    resend(id);
    return id;
}

void TcpStack::listen(net::Port port, TcpHandler handler, std::uint16_t segmentSize)
{
    m_listeners[port] = Listener{std::move(handler), segmentSize};
}

void TcpStack::emit(const Connection& connection, std::uint8_t flags, std::uint32_t sequence,
                    wire::ConstBytes data)
{
    const bool withOption = (flags & kSyn) != 0;
    Writer writer;
    writer.put16(connection.local.hostOrder()).put16(connection.remote.port.hostOrder());
    writer.put32(sequence).put32((flags & kAck) != 0 ? connection.receiveNext : 0);
    writer.put8(withOption ? 0x60 : 0x50).put8(flags).put16(kWindow).put16(0).put16(0);
    if (withOption) writer.put8(2).put8(4).put16(1460);
    writer.put(data);
    Octets segment = writer.take();
    wire::ChecksumSum sum;
    sum.addPseudoHeader(m_host->address(), connection.remote.address, net::IpProtocol::Tcp,
                        segment.size());
    sum.add(segment);
    wire::store16(segment, 16, sum.checksum());
    m_host->sendIp(net::IpProtocol::Tcp, connection.remote.address, std::move(segment), true);
}

void TcpStack::refuse(const Segment& segment)
{
    if ((segment.flags & kRst) != 0) return;
    Connection nobody;
    nobody.local = segment.to;
    nobody.remote = segment.from;
    if ((segment.flags & kAck) != 0) {
        emit(nobody, kRst, segment.acknowledged, {});
        return;
    }
    nobody.receiveNext = segment.sequence + static_cast<std::uint32_t>(segment.data.size()) +
                         ((segment.flags & (kSyn | kFin)) != 0 ? 1U : 0U);
    emit(nobody, kRst | kAck, 0, {});
}

void TcpStack::arm(TcpId id)
{
    Connection& connection = *find(id);
    if (connection.timer) m_host->cancel(*connection.timer);
    connection.timer.reset();
    const bool outstanding = connection.sendOldest != connection.sendNext;
    if (!outstanding) return;
    const Duration wait = std::min(kLongestTimeout, kFirstTimeout * (1 << connection.tries));
    connection.timer = m_host->after(wait, [this, id] {
        Connection* late = find(id);
        if (late == nullptr) return;
        late->timer.reset();
        if (++late->tries > kMostTries) {
            end(id, TcpEnd::TimedOut);
            return;
        }
        ++m_retransmissions;
        if (late->state == State::Open && !late->unsent.empty()) {
            // All that was under way counts as lost; begin again with one segment.
            late->sendNext = late->sendOldest;
            late->finSent = false;
            late->window = late->segmentSize;
            push(id);
            return;
        }
        resend(id);
    });
}

void TcpStack::resend(TcpId id)
{
    Connection& connection = *find(id);
    switch (connection.state) {
    case State::SynSent: emit(connection, kSyn, connection.sendStart, {}); break;
    case State::SynReceived: emit(connection, kSyn | kAck, connection.sendStart, {}); break;
    case State::Open:
    case State::Lingering: {
        const std::size_t length =
            std::min<std::size_t>(connection.unsent.size(), connection.segmentSize);
        if (length > 0) {
            emit(connection, kAck | kPsh, connection.sendOldest,
                 wire::ConstBytes{connection.unsent}.first(length));
        } else if (connection.finSent && !connection.finAcknowledged) {
            emit(connection, kAck | kFin, connection.sendOldest, {});
        }
        break;
    }
    }
    arm(id);
}

void TcpStack::push(TcpId id)
{
    Connection& connection = *find(id);
    if (connection.state != State::Open) return;
    for (;;) {
        const std::uint32_t flying = connection.sendNext - connection.sendOldest;
        if (flying >= connection.window || connection.finSent) break;
        const std::size_t length =
            std::min<std::size_t>(connection.unsent.size() - flying, connection.segmentSize);
        if (length == 0) break;
        emit(connection, kAck | kPsh, connection.sendNext,
             wire::ConstBytes{connection.unsent}.subspan(flying, length));
        connection.sendNext += static_cast<std::uint32_t>(length);
    }
    const std::uint32_t flying = connection.sendNext - connection.sendOldest;
    if (connection.wantsClose && !connection.finSent && flying == connection.unsent.size()) {
        emit(connection, kAck | kFin, connection.sendNext, {});
        connection.finSent = true;
        ++connection.sendNext;
    }
    if (!connection.timer) arm(id);
}

void TcpStack::send(TcpId id, wire::ConstBytes bytes)
{
    Connection* connection = find(id);
    if (connection == nullptr || connection->wantsClose) return;
    connection->unsent.insert(connection->unsent.end(), bytes.begin(), bytes.end());
    push(id);
}

void TcpStack::close(TcpId id)
{
    Connection* connection = find(id);
    if (connection == nullptr) return;
    connection->wantsClose = true;
    push(id);
}

void TcpStack::abort(TcpId id)
{
    const Connection* connection = find(id);
    if (connection == nullptr) return;
    emit(*connection, kRst | kAck, connection->sendNext, {});
    end(id, TcpEnd::Reset);
}

void TcpStack::end(TcpId id, TcpEnd why)
{
    const auto found = m_connections.find(id);
    if (found == m_connections.end()) return;
    if (found->second.timer) m_host->cancel(*found->second.timer);
    const TcpHandler handler = std::move(found->second.handler);
    const bool told = found->second.state == State::Lingering;
    m_byKey.erase({found->second.local, found->second.remote});
    m_connections.erase(found);
    if (!told && handler.ended) handler.ended(id, why);
}

void TcpStack::receive(net::Ipv4Address from, wire::ConstBytes bytes)
{
    const std::size_t header = std::size_t{bytes[12]} / 16 * 4;
    if (header < kHeader || header > bytes.size()) return;
    Segment segment{.from = {from, net::Port{wire::load16(bytes, 0)}},
                    .to = net::Port{wire::load16(bytes, 2)},
                    .sequence = wire::load32(bytes, 4),
                    .acknowledged = wire::load32(bytes, 8),
                    .flags = static_cast<std::uint8_t>(bytes[13] & 0x3fU),
                    .data = bytes.subspan(header)};
    if (header >= kHeader + 4 && bytes[kHeader] == 2) segment.segmentSize = wire::load16(bytes, 22);
    const auto found = m_byKey.find({segment.to, segment.from});
    if (found == m_byKey.end()) {
        const auto listener = m_listeners.find(segment.to);
        if (listener != m_listeners.end() && (segment.flags & (kSyn | kAck | kRst)) == kSyn) {
            accept(segment, listener->second.handler, listener->second.segmentSize);
        } else {
            refuse(segment);
        }
        return;
    }
    const TcpId id = found->second;
    Connection& connection = *find(id);
    if ((segment.flags & kRst) != 0) {
        const bool expected =
            connection.state == State::SynSent
                ? (segment.flags & kAck) != 0 && segment.acknowledged == connection.sendNext
                : segment.sequence == connection.receiveNext;
        if (expected) end(id, TcpEnd::Reset);
        return;
    }
    if (connection.state == State::SynSent) {
        if ((segment.flags & (kSyn | kAck)) == (kSyn | kAck) &&
            segment.acknowledged == connection.sendNext) {
            establish(id, segment);
        } else if ((segment.flags & kAck) != 0) {
            refuse(segment);
        }
        return;
    }
    if ((segment.flags & kSyn) != 0) {
        // A repeated SYN or SYN-ACK: say again where we are.
        if (connection.state == State::SynReceived) {
            emit(connection, kSyn | kAck, connection.sendStart, {});
        } else {
            emit(connection, kAck, connection.sendNext, {});
        }
        return;
    }
    takeAck(id, segment);
    if (find(id) != nullptr) takeData(id, segment);
    if (find(id) != nullptr) maybeFinish(id);
}

void TcpStack::accept(const Segment& segment, const TcpHandler& handler, std::uint16_t segmentSize)
{
    Connection connection;
    connection.local = segment.to;
    connection.remote = segment.from;
    connection.handler = handler;
    connection.state = State::SynReceived;
    connection.segmentSize = segmentSize;
    if (segment.segmentSize != 0) {
        connection.segmentSize = std::min(connection.segmentSize, segment.segmentSize);
    }
    connection.sendStart = static_cast<std::uint32_t>(m_host->random().next());
    connection.sendOldest = connection.sendStart;
    connection.sendNext = connection.sendStart + 1;
    connection.recoverUntil = connection.sendNext;
    connection.receiveNext = segment.sequence + 1;
    connection.firstReceived = connection.receiveNext;
    resend(add(std::move(connection)));
}

void TcpStack::establish(TcpId id, const Segment& segment)
{
    Connection& connection = *find(id);
    connection.state = State::Open;
    connection.tries = 0;
    connection.sendOldest = connection.sendNext;
    connection.window = kFirstWindow * connection.segmentSize;
    if (segment.segmentSize != 0) {
        connection.segmentSize = std::min(connection.segmentSize, segment.segmentSize);
    }
    connection.receiveNext = segment.sequence + 1;
    connection.firstReceived = connection.receiveNext;
    emit(connection, kAck, connection.sendNext, {});
    arm(id);
    if (connection.handler.connected) {
        const auto connected = connection.handler.connected;
        connected(id);
    }
    if (find(id) != nullptr) push(id);
}

void TcpStack::takeAck(TcpId id, const Segment& segment)
{
    Connection* connection = find(id);
    if ((segment.flags & kAck) == 0) return;
    // After going back, what was sent earlier may still be acknowledged.
    const std::uint32_t last =
        connection->sendOldest + static_cast<std::uint32_t>(connection->unsent.size()) + 1;
    if (distance(segment.acknowledged, last) < 0) return;
    const std::int32_t fresh = distance(connection->sendOldest, segment.acknowledged);
    if (fresh < 0) return;
    if (fresh == 0) {
        const bool outstanding = connection->sendOldest != connection->sendNext;
        if (outstanding && segment.data.empty() && (segment.flags & kFin) == 0 &&
            connection->state == State::Open && ++connection->duplicateAcks == 3 &&
            distance(connection->recoverUntil, connection->sendOldest) >= 0) {
            ++m_retransmissions;
            connection->recoverUntil = connection->sendNext;
            connection->window =
                std::max<std::uint32_t>(connection->window / 2, connection->segmentSize);
            if (connection->unsent.empty()) {
                resend(id);
                return;
            }
            connection->sendNext = connection->sendOldest;
            connection->finSent = false;
            push(id);
        }
        return;
    }
    connection->duplicateAcks = 0;
    connection->tries = 0;
    connection->window = std::min(kMostInFlight, connection->window + connection->segmentSize);
    auto acknowledged = static_cast<std::size_t>(fresh);
    if (connection->state == State::SynReceived) {
        connection->state = State::Open;
        connection->window = kFirstWindow * connection->segmentSize;
        --acknowledged;
        connection->sendOldest += 1;
        if (connection->handler.connected) {
            const auto connected = connection->handler.connected;
            connected(id);
            connection = find(id);
            if (connection == nullptr) return;
        }
    }
    const std::size_t octets = std::min(acknowledged, connection->unsent.size());
    connection->unsent.erase(connection->unsent.begin(),
                             connection->unsent.begin() + static_cast<std::ptrdiff_t>(octets));
    if (acknowledged > octets && connection->finSent) connection->finAcknowledged = true;
    connection->sendOldest = segment.acknowledged;
    if (distance(connection->sendNext, connection->sendOldest) > 0) {
        connection->sendNext = connection->sendOldest;
        if (connection->wantsClose && acknowledged > octets) {
            connection->finSent = true;
            connection->finAcknowledged = true;
        }
    }
    arm(id);
    push(id);
}

void TcpStack::takeData(TcpId id, const Segment& segment)
{
    Connection* connection = find(id);
    const bool hasFin = (segment.flags & kFin) != 0;
    if (segment.data.empty() && !hasFin) return;
    const std::uint32_t start = segment.sequence - connection->firstReceived;
    if (distance(connection->receiveNext, segment.sequence) > 0x100000) return;
    if (hasFin) {
        connection->finAt = segment.sequence + static_cast<std::uint32_t>(segment.data.size());
    }
    if (!segment.data.empty() && !connection->finReceived) {
        Octets& kept = connection->early[start];
        if (kept.size() < segment.data.size()) kept = copyOf(segment.data);
    }
    Octets ready;
    while (!connection->early.empty()) {
        const auto first = connection->early.begin();
        const std::uint32_t next = connection->receiveNext - connection->firstReceived;
        const std::int32_t skip = distance(first->first, next);
        if (skip < 0) break;
        if (static_cast<std::size_t>(skip) < first->second.size()) {
            ready.insert(ready.end(), first->second.begin() + skip, first->second.end());
            connection->receiveNext +=
                static_cast<std::uint32_t>(first->second.size()) - static_cast<std::uint32_t>(skip);
        }
        connection->early.erase(first);
    }
    const bool finNow = connection->finAt == connection->receiveNext && !connection->finReceived;
    if (finNow) {
        connection->finReceived = true;
        ++connection->receiveNext;
    }
    emit(*connection, kAck, connection->sendNext, {});
    if (!ready.empty() && connection->handler.data) {
        const auto data = connection->handler.data;
        data(id, ready);
        connection = find(id);
        if (connection == nullptr) return;
    }
    if (finNow) {
        if (connection->handler.finished) {
            const auto finished = connection->handler.finished;
            finished(id);
        } else {
            close(id);
        }
    }
}

void TcpStack::maybeFinish(TcpId id)
{
    Connection& connection = *find(id);
    if (connection.state != State::Open || !connection.finReceived || !connection.finAcknowledged) {
        return;
    }
    const auto ended = connection.handler.ended;
    connection.state = State::Lingering;
    m_host->after(kLinger, [this, id] { end(id, TcpEnd::Closed); });
    if (ended) ended(id, TcpEnd::Closed);
}

void TcpStack::heardIcmp(const Host::IcmpNews& news)
{
    // Only "fragmentation needed" changes anything; the rest is soft (RFC 1122 §4.2.3.9).
    if (news.type != 3 || news.code != 4 || news.body.size() < 28) return;
    const std::size_t mtu = news.rest & 0xffffU;
    if (mtu < 68) return;
    for (auto& [id, connection] : m_connections) {
        if (connection.remote.address.hostOrder() != wire::load32(news.body, 16)) continue;
        if (connection.segmentSize + 40U <= mtu) continue;
        connection.segmentSize = static_cast<std::uint16_t>(mtu - 40);
        resend(id);
    }
}

}  // namespace engine::lab
