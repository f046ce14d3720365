#pragma once

#include "engine/lab/conversation.h"
#include "engine/lab/host.h"

#include <deque>
#include <map>
#include <optional>

namespace engine::lab {

inline constexpr net::Port kWireGuardPort{51820};

/// One pair of WireGuard indices with a stand-in for its keys.
struct WireGuardPair {
    std::uint32_t own = 0;
    std::uint32_t peer = 0;
    std::uint64_t key = 0;
    std::uint64_t counter = 0;
};
[[nodiscard]] Octets encodeWireGuard(WireGuardPair& pair, wire::ConstBytes message);

class WireGuardServer final : public Peer {
public:
    explicit WireGuardServer(Host& host, net::Port port = kWireGuardPort);
    [[nodiscard]] PeerReport report() const override { return m_report; }

private:
    struct Session {
        WireGuardPair pair;
        Identity client = 0;
    };
    void take(const net::Endpoint& from, wire::ConstBytes packet);

    Host* m_host;
    net::Port m_port;
    Identity m_self;
    std::map<std::uint32_t, Session> m_sessions;  ///< by our index
    std::map<Identity, std::deque<std::uint32_t>> m_indices;
    PeerReport m_report;
};

/// Handshakes, talks, rekeys every two minutes and keeps its mapping alive.
class WireGuardClient final : public Peer {
public:
    struct Options {
        net::Endpoint server;
        Talk talk{};
        std::optional<net::Port> port{};  ///< unset: ephemeral
        Duration keepaliveEvery = 25s;    ///< 0: none
        Duration startAfter{0};
    };
    WireGuardClient(Host& host, const Options& options);
    [[nodiscard]] PeerReport report() const override;

private:
    void handshake();
    void take(const net::Endpoint& from, wire::ConstBytes packet);
    void talk();
    void keepAlive();
    void send(wire::ConstBytes message);

    Host* m_host;
    Options m_options;
    Speaker m_speaker;
    net::Port m_port;
    std::uint32_t m_proposed = 0;
    std::optional<Host::TimerId> m_retry;
    std::deque<WireGuardPair> m_pairs;  ///< the last is in use
    std::deque<std::uint32_t> m_past;
    Instant m_since;
    bool m_talking = false;
    PeerReport m_report;
};

}  // namespace engine::lab
