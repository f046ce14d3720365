#pragma once

#include "engine/lab/conversation.h"
#include "engine/lab/host.h"
#include "engine/lab/ppp_link.h"

#include <deque>
#include <map>
#include <memory>
#include <optional>

namespace engine::lab {

inline constexpr net::Port kL2tpPort{1701};

/// One end of an L2TPv2 tunnel with one session (RFC 2661): reliable control messages with Ns and
/// Nr, and data messages that carry PPP.
class L2tpTunnel {
public:
    struct Control {
        std::uint16_t type = 0;
        std::uint16_t session = 0;
        std::map<std::uint16_t, Octets> values;  ///< attribute values by type
    };
    struct Callbacks {
        std::function<void(const Octets&)> send;
        std::function<void(const Control&)> control;
        std::function<void()> silent;  ///< the peer does not acknowledge any more
    };
    L2tpTunnel(Host& host, std::uint16_t ownId, Callbacks callbacks)
        : m_host(&host), m_ownId(ownId), m_callbacks(std::move(callbacks))
    {}
    ~L2tpTunnel();
    L2tpTunnel(const L2tpTunnel&) = delete;
    L2tpTunnel& operator=(const L2tpTunnel&) = delete;
    L2tpTunnel(L2tpTunnel&&) = delete;
    L2tpTunnel& operator=(L2tpTunnel&&) = delete;

    void setPeerId(std::uint16_t peerId) { m_peerId = peerId; }
    void setSessions(std::uint16_t own, std::uint16_t peer)
    {
        m_ownSession = own;
        m_peerSession = peer;
    }
    void begin(PppRole role, PppLink::Callbacks callbacks, const PppLink::Options& options);
    void sendControl(std::uint16_t type, std::uint16_t session, wire::ConstBytes values);
    void receiveControl(wire::ConstBytes message);
    void receiveData(std::uint16_t session, wire::ConstBytes frame);
    [[nodiscard]] std::uint16_t ownId() const { return m_ownId; }
    [[nodiscard]] PppLink* link() { return m_link.get(); }
    [[nodiscard]] const PppLink* link() const { return m_link.get(); }

private:
    struct Waiting {
        std::uint16_t session = 0;
        Octets body;
        int tries = 0;
    };
    void transmit();
    void acknowledge();
    [[nodiscard]] Octets controlMessage(std::uint16_t session, wire::ConstBytes body) const;

    Host* m_host;
    std::uint16_t m_ownId;
    std::uint16_t m_peerId = 0;
    std::uint16_t m_ownSession = 0;
    std::uint16_t m_peerSession = 0;
    Callbacks m_callbacks;
    std::uint16_t m_nextSend = 0;     ///< Ns of the first waiting message
    std::uint16_t m_nextReceive = 0;  ///< Nr
    std::deque<Waiting> m_waiting;
    std::optional<Host::TimerId> m_timer;
    std::unique_ptr<PppLink> m_link;
};

/// How a server answers: RFC 2661 §8.1 lets it choose another port, and old ones do not care which
/// port the client used.
enum class L2tpReplies : std::uint8_t { Normal, FromOtherPort, AlwaysTo1701 };

class L2tpServer final : public Peer {
public:
    struct Options {
        L2tpReplies replies = L2tpReplies::Normal;
        PppLink::Options ppp{};
    };
    explicit L2tpServer(Host& host) : L2tpServer(host, Options{}) {}
    L2tpServer(Host& host, const Options& options);
    [[nodiscard]] PeerReport report() const override { return m_report; }
    [[nodiscard]] std::size_t tunnels() const { return m_tunnels.size(); }

private:
    struct Tunnel {
        std::unique_ptr<L2tpTunnel> machine;
        net::Endpoint remote;
        net::Port own = kL2tpPort;
        std::uint16_t peerId = 0;
        Identity client = 0;
        Instant heard;
    };
    void take(const net::Endpoint& from, wire::ConstBytes packet, net::Port port);
    Tunnel& open(const net::Endpoint& from, std::uint16_t peerId);
    void takeControl(std::uint16_t own, const L2tpTunnel::Control& control);
    void close(std::uint16_t own);
    void sweep();

    Host* m_host;
    Options m_options;
    Identity m_self;
    std::map<std::uint16_t, Tunnel> m_tunnels;
    std::map<std::uint16_t, Instant> m_past;
    PeerReport m_report;
};

class L2tpClient final : public Peer {
public:
    struct Options {
        net::Ipv4Address server;
        Talk talk{};
        bool fixedPort = true;  ///< binds 1701, as Windows and xl2tpd do
        std::optional<std::uint16_t> tunnelId{};
        Duration callLength{0};
        Duration dialAfter{0};
    };
    L2tpClient(Host& host, const Options& options);
    [[nodiscard]] PeerReport report() const override;

private:
    void dial();
    void hangUp();
    void broken();
    void take(const net::Endpoint& from, wire::ConstBytes packet);
    void takeControl(const L2tpTunnel::Control& control);
    void sessionAgreed();
    void talk(std::uint64_t dialling);
    void hello(std::uint64_t dialling);

    Host* m_host;
    Options m_options;
    Speaker m_speaker;
    net::Port m_port;
    net::Port m_serverPort = kL2tpPort;
    std::unique_ptr<L2tpTunnel> m_tunnel;
    std::vector<std::unique_ptr<L2tpTunnel>>
        m_ended;  ///< kept until their own callbacks have returned
    std::uint16_t m_session = 0;
    std::uint64_t m_dialling = 0;
    std::map<std::uint16_t, Instant> m_past;
    PeerReport m_report;
};

}  // namespace engine::lab
