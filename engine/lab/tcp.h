#pragma once

#include "engine/base/time.h"
#include "engine/lab/host.h"

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <vector>

namespace engine::lab {

/// A connection of one TcpStack; never used twice. Zero names none.
using TcpId = std::uint64_t;

/// How a connection came to its end.
enum class TcpEnd : std::uint8_t { Closed, Reset, TimedOut };

/// What a program wants to hear of its connections. `data` comes in order and without gaps.
struct TcpHandler {
    std::function<void(TcpId)> connected{};
    std::function<void(TcpId, wire::ConstBytes)> data{};
    /// The other side has sent all it had. Unset: answered with close().
    std::function<void(TcpId)> finished{};
    std::function<void(TcpId, TcpEnd)> ended{};
};

/// A small and honest TCP (RFC 9293): handshake, data both ways with cumulative acknowledgements,
/// retransmission with back-off, slow start after a loss, segments out of order, FIN and RST.
/// Owned by its Host.
class TcpStack {
public:
    explicit TcpStack(Host& host) : m_host(&host) {}

    struct ConnectOptions {
        std::optional<net::Port> from{};   ///< unset: ephemeral
        std::uint16_t segmentSize = 1400;  ///< at most so many octets per segment
    };
    TcpId connect(const net::Endpoint& to, TcpHandler handler, const ConnectOptions& options);
    TcpId connect(const net::Endpoint& to, TcpHandler handler)
    {
        return connect(to, std::move(handler), ConnectOptions{});
    }
    void listen(net::Port port, TcpHandler handler, std::uint16_t segmentSize = 1400);
    void send(TcpId id, wire::ConstBytes bytes);
    /// FIN once everything has been sent.
    void close(TcpId id);
    void abort(TcpId id);

    [[nodiscard]] std::size_t open() const { return m_connections.size(); }
    [[nodiscard]] std::uint64_t retransmissions() const { return m_retransmissions; }
    [[nodiscard]] std::optional<net::Endpoint> remoteOf(TcpId id) const;

    // The Host's side.
    void receive(net::Ipv4Address from, wire::ConstBytes segment);
    void heardIcmp(const Host::IcmpNews& news);

private:
    enum class State : std::uint8_t { SynSent, SynReceived, Open, Lingering };
    struct Segment {
        net::Endpoint from;
        net::Port to;
        std::uint32_t sequence = 0;
        std::uint32_t acknowledged = 0;
        std::uint8_t flags = 0;
        wire::ConstBytes data;
        std::uint16_t segmentSize = 0;
    };
    struct Connection {
        net::Port local;
        net::Endpoint remote;
        TcpHandler handler;
        State state = State::SynSent;
        std::uint32_t sendStart = 0;   ///< sequence number of the SYN
        std::uint32_t sendOldest = 0;  ///< oldest unacknowledged
        std::uint32_t sendNext = 0;
        Octets unsent;  ///< from sendOldest on, without SYN and FIN
        bool wantsClose = false;
        bool finSent = false;
        bool finAcknowledged = false;
        std::uint32_t receiveNext = 0;
        bool finReceived = false;
        std::map<std::uint32_t, Octets> early;  ///< by distance from the first octet
        std::optional<std::uint32_t> finAt;
        std::uint32_t firstReceived = 0;
        std::uint16_t segmentSize = 1400;
        std::uint32_t window = 0;  ///< what may be under way
        int duplicateAcks = 0;
        std::uint32_t recoverUntil = 0;  ///< duplicates before this one were answered already
        int tries = 0;
        std::optional<Host::TimerId> timer;
    };
    using Key = std::pair<net::Port, net::Endpoint>;

    Connection* find(TcpId id);
    TcpId add(Connection connection);
    void emit(const Connection& connection, std::uint8_t flags, std::uint32_t sequence,
              wire::ConstBytes data);
    void refuse(const Segment& segment);
    void push(TcpId id);
    void resend(TcpId id);
    void arm(TcpId id);
    void takeAck(TcpId id, const Segment& segment);
    void takeData(TcpId id, const Segment& segment);
    void accept(const Segment& segment, const TcpHandler& handler, std::uint16_t segmentSize);
    void establish(TcpId id, const Segment& segment);
    void maybeFinish(TcpId id);
    void end(TcpId id, TcpEnd why);

    Host* m_host;
    TcpId m_nextId = 1;
    std::map<TcpId, Connection> m_connections;
    std::map<Key, TcpId> m_byKey;
    struct Listener {
        TcpHandler handler;
        std::uint16_t segmentSize = 1400;
    };
    std::map<net::Port, Listener> m_listeners;
    std::uint16_t m_nextPort = 0;
    std::uint64_t m_retransmissions = 0;
};

}  // namespace engine::lab
