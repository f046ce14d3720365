#pragma once

#include "engine/base/lazy_array.h"
#include "engine/base/state_block.h"
#include "engine/nat/flat_index.h"
#include "engine/nat/syn_cookies.h"
#include "engine/wire/packet.h"

#include <array>
#include <cstdint>
#include <optional>
#include <unordered_map>

namespace engine::nat {

/// A connection whose caller was answered by the router before there was a server: the sequence
/// numbers of the server's side differ by a constant from those that the client was told, and the
/// windows may be counted in other units.
struct ShiftedConnection {
    std::uint32_t session = FlatIndex::kNone;  ///< none: the record is free
    std::uint32_t told = 0;                    ///< the server's number, as the client was told it
    std::uint32_t clientSequence = 0;          ///< of the client's SYN
    std::uint32_t shift = 0;  ///< outside minus inside, of the server's numbers; once open
    std::uint32_t next = FlatIndex::kNone;  ///< in its list of those that wait, or of free records
    std::uint32_t previous = FlatIndex::kNone;
    Instant due;               ///< what is waited for, until then
    std::uint16_t window = 0;  ///< the client's, before the server is there
    std::uint8_t attempt = 0;  ///< SYNs that the server was sent, without the first
    bool open = false;         ///< the server has answered
    SynOptions options;        ///< of the client
    // Once open: window fields are multiplied and divided by these powers of two.
    std::uint8_t inboundUp = 0;
    std::uint8_t outboundUp = 0;
    std::uint8_t outboundDown = 0;

    /// Of a segment to the server: from the client's numbers to the server's.
    void translateInbound(wire::TcpView& tcp, wire::ChecksumState state) const;
    /// Undoes translateInbound(), but for the window, which is put back.
    void restoreInbound(wire::TcpView& tcp, std::uint16_t windowBefore,
                        wire::ChecksumState state) const;
    void translateOutbound(wire::TcpView& tcp, wire::ChecksumState state) const;
    /// The server has answered with this SYN-ACK.
    void begin(const wire::TcpView& synAck);
    /// Both sides have shaken hands anew, without us in between: windows mean what they say. The
    /// numbers go on being shifted, which is as good for a new connection.
    void forgetScales() { inboundUp = outboundUp = outboundDown = 0; }
};

/// Connection attempts from outside that are checked before a server hears of them (RFC 4987 §3.6):
/// which servers are flooded, and the connections that were let through meanwhile. Bounded in
/// both, and holds nothing of an attempt before it has proved real. Knows neither sessions nor
/// packets; engine/syn_walk.cpp does.
class SynProxy {
public:
    // Ours.
    /// Connection attempts at one server that are under way at a time in peace. A backlog of
    /// common systems is 128 or more; the busiest real servers of an office have a few.
    static constexpr std::uint32_t kHandshakesAtOnce = 128;
    /// Half of that, and fewer attempts than these without a caller behind them in a period: the
    /// flood is over.
    static constexpr std::uint64_t kCalm = 8;
    static constexpr Duration kPeriod = std::chrono::seconds(10);
    /// Servers that can be reached from outside are those of rules: a few.
    static constexpr std::size_t kMostFloods = 1024;
    /// Sixteen bits name them, where a session has room.
    static constexpr std::uint32_t kMostConnections = 65535;
    /// What the router tells every client: common, and within a factor of two or so of what servers
    /// use themselves.
    static constexpr std::uint8_t kToldScale = 7;
    /// Until the next SYN to a server that does not answer; after the last one it is given up.
    static constexpr std::array<Duration, 4> kPatience{
        std::chrono::seconds(1), std::chrono::seconds(2), std::chrono::seconds(4),
        std::chrono::seconds(8)};

    struct Flood {
        net::Endpoint server;
        Instant since;
        std::uint64_t answered = 0;
        std::uint64_t proved = 0;
        bool over = false;  ///< only cookies that are about are still taken
        Instant periodEnds;
        std::uint64_t answeredBefore = 0;  ///< the period
        std::uint64_t provedBefore = 0;
    };

    explicit SynProxy(HashKey key, MemoryAdvice advice = nullptr)
        : m_cookies(key), m_connections(kMostConnections, advice)
    {
        m_waiting.fill({});
    }

    [[nodiscard]] const SynCookies& cookies() const { return m_cookies; }

    /// The flood at this server, also one that has just ended.
    [[nodiscard]] Flood* floodAt(net::Ipv4Address server)
    {
        if (m_floods.empty()) return nullptr;
        const auto found = m_floods.find(server.hostOrder());
        return found == m_floods.end() ? nullptr : &found->second;
    }
    /// A server is flooded from now on, maybe again. Null: too many are.
    Flood* begin(Instant now, net::Endpoint server);
    /// Calls `judge` with every flood whose period is over: whether it is still going on. What has
    /// ended for long enough is forgotten. `judge` returns how many connection attempts the server
    /// has under way, and how many it may have.
    struct Load {
        std::uint32_t underWay = 0;
        std::uint32_t most = kHandshakesAtOnce;
    };
    template <typename Judge, typename Tell>
    void tend(Instant now, const Judge& judge, const Tell& tell)
    {
        for (auto flood = m_floods.begin(); flood != m_floods.end();) {
            Flood& one = flood->second;
            if (one.periodEnds > now) {
                ++flood;
                continue;
            }
            if (one.over) {
                flood = m_floods.erase(flood);
                continue;
            }
            const Load load = judge(one);
            if (isCalm(one) && load.underWay <= load.most / 2) {
                end(now, one);
                tell(one);
            } else {
                nextPeriod(now, one);
            }
            ++flood;
        }
    }
    /// All floods are over, since nobody wants them to be minded any more.
    template <typename Tell>
    void endAll(Instant now, const Tell& tell)
    {
        for (auto& [address, flood] : m_floods) {
            if (flood.over) continue;
            end(now, flood);
            tell(flood);
        }
    }
    [[nodiscard]] const std::unordered_map<std::uint32_t, Flood>& floods() const
    {
        return m_floods;
    }

    // Connections.
    [[nodiscard]] bool hasRoom() const { return m_used < kMostConnections; }
    /// A record for a session, waiting for its server; there must be room.
    std::uint16_t add(Instant now, const ShiftedConnection& connection);
    void remove(std::uint16_t index);
    [[nodiscard]] ShiftedConnection& operator[](std::uint16_t index)
    {
        return m_connections[index];
    }
    [[nodiscard]] const ShiftedConnection& operator[](std::uint16_t index) const
    {
        return m_connections[index];
    }
    /// The server is there: nothing is waited for any more.
    void opened(std::uint16_t index);
    /// One whose server has not answered in time, off its list; the caller waits again or gives up.
    [[nodiscard]] std::optional<std::uint16_t> takeDue(Instant now);
    void waitAgain(Instant now, std::uint16_t index);
    [[nodiscard]] std::uint32_t size() const { return m_used; }

    [[nodiscard]] std::optional<Instant> nextTimeout() const;
    [[nodiscard]] std::size_t memory() const
    {
        return std::size_t{m_touched} * sizeof(ShiftedConnection);
    }

    // What outlives the engine of one connection.
    static void save(StateWriter& out, const ShiftedConnection& connection);
    [[nodiscard]] static ShiftedConnection read(StateReader& in);

private:
    /// Those that wait equally long, in the order of their deadlines.
    struct Queue {
        std::uint32_t oldest = FlatIndex::kNone;
        std::uint32_t newest = FlatIndex::kNone;
    };

    [[nodiscard]] static bool isCalm(const Flood& flood);
    static void nextPeriod(Instant now, Flood& flood);
    static void end(Instant now, Flood& flood);
    void leave(std::uint16_t index);

    SynCookies m_cookies;
    std::unordered_map<std::uint32_t, Flood> m_floods;  ///< by the server's address
    LazyArray<ShiftedConnection> m_connections;
    std::array<Queue, kPatience.size()> m_waiting;
    std::uint32_t m_free = FlatIndex::kNone;
    std::uint32_t m_touched = 0;
    std::uint32_t m_used = 0;
};

}  // namespace engine::nat
