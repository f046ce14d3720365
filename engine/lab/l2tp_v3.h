#pragma once

#include "engine/lab/conversation.h"
#include "engine/lab/host.h"

#include <deque>
#include <map>
#include <optional>

namespace engine::lab {

/// What carries L2TPv3: IP itself (RFC 3931 §4.1.1), or UDP from and to port 1701 (§4.1.2).
enum class L2tpV3Carrier : std::uint8_t { Ip, Udp };

/// The server of L2TPv3, over either: a control connection and one session for each client, told
/// apart by the numbers that the server has assigned.
class L2tpV3Server final : public Peer {
public:
    explicit L2tpV3Server(Host& host);
    [[nodiscard]] PeerReport report() const override { return m_report; }

private:
    struct Client {
        net::Endpoint from;  ///< port 0: over IP
        std::uint32_t peerConnection = 0;
        std::uint32_t peerSession = 0;
        std::uint32_t session = 0;
        Identity identity = 0;
        std::uint16_t sent = 0;  ///< Ns of the next control message
    };
    void take(const net::Endpoint& from, wire::ConstBytes packet);
    void takeControl(const net::Endpoint& from, wire::ConstBytes message);
    void send(const net::Endpoint& to, Octets packet);

    Host* m_host;
    Identity m_self;
    std::map<std::uint32_t, Client> m_clients;          ///< by our connection ID
    std::map<std::uint32_t, std::uint32_t> m_sessions;  ///< our session ID to our connection ID
    PeerReport m_report;
};

/// A client with one session. Whoever does not get an answer, or is told that the way is closed,
/// begins again with other numbers, as one that draws them at random does.
class L2tpV3Client final : public Peer {
public:
    struct Options {
        net::Ipv4Address server;
        L2tpV3Carrier carrier = L2tpV3Carrier::Ip;
        std::uint32_t connectionId = 1;  ///< of the first attempt
        std::uint32_t sessionId = 1;     ///< of the first attempt
        Talk talk{};
        Duration startAfter{0};
    };
    L2tpV3Client(Host& host, const Options& options);
    [[nodiscard]] PeerReport report() const override;

private:
    enum class Step : std::uint8_t { Connecting, Calling, Up };
    void dial();
    void again();
    void ask(std::uint64_t dialling, int tries);
    void take(net::Ipv4Address from, wire::ConstBytes packet);
    void send(Octets packet);
    void talk(std::uint64_t dialling);

    Host* m_host;
    Options m_options;
    Speaker m_speaker;
    Step m_step = Step::Connecting;
    std::uint32_t m_connection = 0;
    std::uint32_t m_session = 0;
    std::uint32_t m_peerConnection = 0;
    std::uint32_t m_peerSession = 0;
    std::deque<std::uint32_t> m_past;  ///< connection IDs of earlier attempts
    std::uint64_t m_dialling = 0;
    bool m_waiting = false;  ///< to begin again
    PeerReport m_report;
};

}  // namespace engine::lab
