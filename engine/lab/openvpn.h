#pragma once

#include "engine/lab/conversation.h"
#include "engine/lab/host.h"
#include "engine/lab/tcp.h"

#include <deque>
#include <functional>
#include <map>
#include <optional>

namespace engine::lab {

inline constexpr net::Port kOpenVpnPort{1194};
enum class OpenVpnTransport : std::uint8_t { Udp, Tcp };

/// An OpenVPN control or data packet without tls-auth: what can be read on the wire.
struct OpenVpnPacket {
    std::uint8_t opcode = 0;
    std::uint8_t keyId = 0;
    std::uint64_t session = 0;
    std::optional<std::uint32_t> acknowledges{};
    std::uint64_t remoteSession = 0;  ///< with `acknowledges`
    std::uint32_t packetId = 0;
    std::uint32_t peerId = 0;  ///< data
    Octets payload{};
};
[[nodiscard]] Octets encode(const OpenVpnPacket& packet);
[[nodiscard]] std::optional<OpenVpnPacket> decodeOpenVpn(wire::ConstBytes bytes);

/// Cuts the packets out of a TCP stream, each behind its 16-bit length.
[[nodiscard]] std::optional<Octets> cutOpenVpn(Octets& stream);

class OpenVpnServer final : public Peer {
public:
    explicit OpenVpnServer(Host& host, OpenVpnTransport transport = OpenVpnTransport::Udp,
                           net::Port port = kOpenVpnPort);
    [[nodiscard]] PeerReport report() const override { return m_report; }

private:
    using Send = std::function<void(const Octets&)>;
    struct Session {
        std::uint64_t own = 0;
        std::uint64_t remote = 0;
        Identity client = 0;
        std::uint32_t peerId = 0;
        std::uint32_t nextControl = 0;
        std::uint32_t nextData = 0;
        std::uint8_t keyId = 0;
    };
    void take(wire::ConstBytes bytes, const Send& send);
    void takeData(const OpenVpnPacket& packet, const Send& send);

    Host* m_host;
    Identity m_self;
    std::map<std::uint64_t, Session> m_sessions;     ///< by the client's session id
    std::map<std::uint32_t, std::uint64_t> m_peers;  ///< peer-id to the client's session id
    std::map<TcpId, Octets> m_streams;
    PeerReport m_report;
};

class OpenVpnClient final : public Peer {
public:
    struct Options {
        net::Ipv4Address server;
        OpenVpnTransport transport = OpenVpnTransport::Udp;
        Talk talk{};
        Duration rekeyEvery = 1h;
        Duration startAfter{0};
        net::Port serverPort = kOpenVpnPort;
    };
    OpenVpnClient(Host& host, const Options& options);
    [[nodiscard]] PeerReport report() const override;

private:
    enum class Step : std::uint8_t { Reset, Hello, Finished, Up };
    void begin();
    void restart();
    void reset();
    void repeat();
    void send(const Octets& packet);
    void take(wire::ConstBytes bytes);
    void advance(const OpenVpnPacket& packet);
    void talk(std::uint64_t life);

    Host* m_host;
    Options m_options;
    Speaker m_speaker;
    net::Port m_port;
    TcpId m_connection = 0;
    Octets m_stream;
    Step m_step = Step::Reset;
    bool m_usable = false;
    std::uint64_t m_life = 0;
    std::uint64_t m_session = 0;
    std::uint64_t m_remoteSession = 0;
    std::uint32_t m_peerId = 0;
    std::uint8_t m_keyId = 0;
    std::uint32_t m_nextControl = 0;
    std::uint32_t m_nextData = 0;
    Octets m_pending;
    int m_tries = 0;
    std::optional<Host::TimerId> m_retry;
    PeerReport m_report;
};

}  // namespace engine::lab
