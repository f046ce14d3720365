#pragma once

#include "engine/base/random.h"
#include "engine/base/time.h"
#include "engine/lab/datagram.h"
#include "engine/lab/peer.h"
#include "engine/net/endpoint.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace engine::lab {

class TcpStack;

/// What a host has noticed about the packets it was given.
struct HostCounters {
    std::uint64_t received = 0;
    std::uint64_t sent = 0;
    std::uint64_t wrongAddress = 0;  ///< delivered to us, addressed to somebody else
    std::uint64_t faulty = 0;        ///< a checksum or length was wrong
    std::uint64_t icmpErrors = 0;
    std::uint64_t unexpected = 0;  ///< nobody here listens to that
};

/// A simulated computer with one IPv4 address and a small but honest stack: UDP, ICMP echo and
/// errors, TCP, fragments, and programs (Peer) that use it. Sans-IO: packets and the clock go in by
/// receive() and handleTimeout(), packets come out of takeSent(). Same seed and calls, same output.
class Host {
public:
    using TimerId = std::uint64_t;
    using UdpHandler = std::function<void(const net::Endpoint& from, wire::ConstBytes payload)>;
    using ProtocolHandler = std::function<void(net::Ipv4Address from, wire::ConstBytes payload)>;
    struct IcmpNews {
        net::Ipv4Address from;
        std::uint8_t type = 0;
        std::uint8_t code = 0;
        std::uint32_t rest = 0;
        wire::ConstBytes body;
    };
    using IcmpHandler = std::function<void(const IcmpNews&)>;

    Host(std::string name, net::Ipv4Address address, HashKey seed, Identity firstIdentity);
    ~Host();
    Host(const Host&) = delete;
    Host& operator=(const Host&) = delete;
    Host(Host&&) = delete;
    Host& operator=(Host&&) = delete;

    // The network's side.
    void receive(Instant now, wire::ConstBytes packet);
    void handleTimeout(Instant now);
    [[nodiscard]] std::optional<Instant> nextTimeout();
    [[nodiscard]] std::vector<Octets> takeSent() { return std::exchange(m_sent, {}); }
    void setNow(Instant now) { m_now = now; }

    // The programs' side.
    [[nodiscard]] const std::string& name() const { return m_name; }
    [[nodiscard]] net::Ipv4Address address() const { return m_address; }
    [[nodiscard]] Instant now() const { return m_now; }
    [[nodiscard]] Random& random() { return m_random; }
    [[nodiscard]] Identity newIdentity() { return m_nextIdentity++; }
    [[nodiscard]] TcpStack& tcp() { return *m_tcp; }
    [[nodiscard]] const HostCounters& counters() const { return m_counters; }

    TimerId after(Duration wait, std::function<void()> action);
    void cancel(TimerId timer) { m_actions.erase(timer); }

    /// An ephemeral port that no UDP program of this host uses.
    [[nodiscard]] net::Port freePort();
    void bindUdp(net::Port port, UdpHandler handler);
    void unbindUdp(net::Port port) { m_udp.erase(port); }
    void sendUdp(net::Port from, const net::Endpoint& to, wire::ConstBytes payload,
                 UdpChecksum checksum = UdpChecksum::Computed);
    /// Takes all packets of an IP protocol without ports.
    void bindProtocol(net::IpProtocol protocol, ProtocolHandler handler);
    void sendIp(net::IpProtocol protocol, net::Ipv4Address to, Octets payload,
                bool dontFragment = false);
    /// Sees every ICMP message but echo requests, which are answered by the host.
    void addIcmpHandler(IcmpHandler handler) { m_icmp.push_back(std::move(handler)); }

    /// Sees every packet before the host does, as something on the way right in front of it would;
    /// what it answers false for never arrives.
    void setGate(std::function<bool(wire::ConstBytes packet)> gate) { m_gate = std::move(gate); }

    /// Starts a program here and keeps it.
    template <typename Program, typename... Arguments>
    Program& run(Arguments&&... arguments)
    {
        auto program = std::make_unique<Program>(*this, std::forward<Arguments>(arguments)...);
        Program& reference = *program;
        m_peers.push_back(std::move(program));
        return reference;
    }
    [[nodiscard]] const std::vector<std::unique_ptr<Peer>>& peers() const { return m_peers; }

private:
    struct Reassembly {
        std::map<std::size_t, Octets> pieces;
        std::optional<std::size_t> total;
        Instant started;
    };
    using ReassemblyKey = std::pair<std::uint64_t, std::uint32_t>;

    void take(wire::ConstBytes packet);
    void takeFragment(wire::ConstBytes packet);
    void takeUdp(wire::ConstBytes packet, wire::ConstBytes udp);
    void takeIcmp(net::Ipv4Address from, wire::ConstBytes icmp);
    void sendUnreachable(wire::ConstBytes about, std::uint8_t code);

    std::string m_name;
    net::Ipv4Address m_address;
    Random m_random;
    Identity m_nextIdentity;
    Instant m_now;
    std::uint16_t m_nextId = 1;
    std::uint16_t m_nextPort = 0;
    HostCounters m_counters;
    std::vector<Octets> m_sent;

    TimerId m_nextTimer = 1;
    std::vector<std::pair<Instant, TimerId>> m_timers;  ///< a heap, earliest first
    std::unordered_map<TimerId, std::function<void()>> m_actions;

    std::map<net::Port, UdpHandler> m_udp;
    std::map<net::IpProtocol, ProtocolHandler> m_protocols;
    std::vector<IcmpHandler> m_icmp;
    std::function<bool(wire::ConstBytes)> m_gate;
    std::map<ReassemblyKey, Reassembly> m_reassembly;
    std::unique_ptr<TcpStack> m_tcp;
    std::vector<std::unique_ptr<Peer>> m_peers;
};

}  // namespace engine::lab
