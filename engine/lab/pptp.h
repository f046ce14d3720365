#pragma once

#include "engine/lab/conversation.h"
#include "engine/lab/host.h"
#include "engine/lab/ppp_link.h"
#include "engine/lab/pptp_message.h"
#include "engine/lab/tcp.h"

#include <map>
#include <memory>
#include <optional>
#include <set>

namespace engine::lab {

/// The GRE half of one PPTP call at either end: sequence numbers, acknowledgements, a PPP link.
class PptpCall {
public:
    struct Parties {
        net::Ipv4Address remote;
        std::uint16_t own = 0;   ///< in packets to us
        std::uint16_t peer = 0;  ///< in packets from us
    };
    PptpCall(Host& host, const Parties& parties) : m_host(&host), m_parties(parties) {}
    ~PptpCall();
    PptpCall(const PptpCall&) = delete;
    PptpCall& operator=(const PptpCall&) = delete;
    PptpCall(PptpCall&&) = delete;
    PptpCall& operator=(PptpCall&&) = delete;

    void begin(PppRole role, PppLink::Callbacks callbacks, const PppLink::Options& options);
    /// What goes into the link; nothing for acknowledgements and old packets.
    void receive(const pptp::Gre& gre);
    [[nodiscard]] PppLink& link() { return *m_link; }
    [[nodiscard]] const Parties& parties() const { return m_parties; }
    /// Nothing leaves any more: a network that swallows GRE.
    void mute() { m_muted = true; }

private:
    void send(wire::ConstBytes frame);
    void acknowledge();

    Host* m_host;
    Parties m_parties;
    std::unique_ptr<PppLink> m_link;
    std::uint32_t m_nextSequence = 0;
    std::optional<std::uint32_t> m_heard;
    bool m_owesAck = false;
    bool m_muted = false;
    std::optional<Host::TimerId> m_ackTimer;
};

/// Accepts any number of control connections and calls from anywhere.
class PptpServer final : public Peer {
public:
    struct Options {
        bool sendsGre = true;  ///< false: as if a network on the way dropped GRE
        PppLink::Options ppp{};
        bool oneConnectionPerAddress = false;  ///< answers a second one with result 3
        std::uint16_t segmentSize = 1400;
        bool sameCallIds = false;  ///< begins at 1 for everybody instead of at random
    };
    explicit PptpServer(Host& host) : PptpServer(host, Options{}) {}
    PptpServer(Host& host, const Options& options);
    [[nodiscard]] PeerReport report() const override { return m_report; }
    [[nodiscard]] std::size_t calls() const { return m_calls.size(); }

private:
    struct Call {
        std::unique_ptr<PptpCall> gre;
        TcpId control = 0;
        Identity client = 0;
    };
    void take(TcpId id, wire::ConstBytes bytes);
    void takeMessage(TcpId id, const Octets& message);
    void takeCall(TcpId id, const Octets& message);
    void takeGre(net::Ipv4Address from, wire::ConstBytes bytes);
    void forget(TcpId id);
    std::uint16_t newCallId();

    Host* m_host;
    Options m_options;
    Identity m_self;
    std::map<TcpId, Octets> m_streams;
    std::map<std::uint16_t, Call> m_calls;
    std::map<std::uint16_t, Instant> m_past;
    PeerReport m_report;
};

/// Dials, talks, hangs up and dials again.
class PptpClient final : public Peer {
public:
    struct Options {
        net::Ipv4Address server;
        Talk talk{};
        std::optional<std::uint16_t> callId{};  ///< of the first call; the others follow
        std::uint8_t calls = 1;                 ///< in one control connection
        std::uint16_t segmentSize = 1400;       ///< of the control connection
        Duration callLength{0};                 ///< 0: until something ends it
        Duration redialAfter = 10s;
        Duration dialAfter{0};
    };
    PptpClient(Host& host, const Options& options);
    [[nodiscard]] PeerReport report() const override;
    [[nodiscard]] std::size_t callsUp() const;

private:
    struct Call {
        std::unique_ptr<PptpCall> gre;
        std::unique_ptr<Speaker> speaker;
    };
    void dial();
    void take(wire::ConstBytes bytes);
    void takeMessage(const Octets& message);
    void takeGre(net::Ipv4Address from, wire::ConstBytes bytes);
    void callAgreed(std::uint16_t own, std::uint16_t peer);
    void talk(std::uint16_t own, std::uint64_t dialling);
    void hangUp();
    void broken();
    void echo(std::uint64_t dialling);
    void sendControl(const Octets& message) { m_host->tcp().send(m_control, message); }

    Host* m_host;
    Options m_options;
    Identity m_self;
    TcpId m_control = 0;
    Octets m_stream;
    std::uint64_t m_dialling = 0;  ///< counts, so that timers of an older one do nothing
    std::map<std::uint16_t, Call> m_calls;
    std::map<std::uint16_t, Instant> m_past;
    std::uint16_t m_serial = 0;
    PeerReport m_report;
};

}  // namespace engine::lab
