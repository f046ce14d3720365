#pragma once

#include "engine/lab/conversation.h"
#include "engine/lab/host.h"
#include "engine/lab/ike_message.h"

#include <deque>
#include <map>
#include <memory>
#include <optional>

namespace engine::lab {

/// A pair of ESP SAs (RFC 4303) at one end, with a stand-in for encryption.
struct EspPair {
    std::uint32_t in = 0;   ///< SPI of packets to us; chosen by us
    std::uint32_t out = 0;  ///< SPI of packets from us; chosen by the peer
    std::uint64_t key = 0;
    std::uint32_t sequence = 0;
};
[[nodiscard]] Octets encodeEsp(EspPair& pair, wire::ConstBytes message);
/// Nothing if the key does not fit.
[[nodiscard]] std::optional<Octets> decodeEsp(const EspPair& pair, wire::ConstBytes packet);

/// What the encrypted part of an IKE message says here.
struct IkeSecret {
    enum class What : std::uint8_t { Alive, Child, Delete, Close, Phase1 };
    What what = What::Alive;
    Identity from = 0;
    std::uint32_t spi = 0;
};

/// A road warrior: negotiates, talks over ESP, rekeys, and begins anew when the gateway is silent.
class IpsecClient final : public Peer {
public:
    struct Options {
        net::Ipv4Address gateway;
        ike::Version version = ike::Version::V2;
        bool natTraversal = true;         ///< offers it; false: plain ESP whatever is between
        bool forceEncapsulation = false;  ///< moves to port 4500 even if no NAT was found
        Talk talk{};
        Duration rekeyEvery{0};
        Duration startAfter{0};
        Duration aliveEvery = 30s;  ///< dead peer detection
        Duration closeAfter{0};     ///< says goodbye so long after it came up; 0: never
        std::optional<std::uint32_t> firstSpi{};
        std::uint16_t authSize = 200;  ///< large values make IKE_AUTH several fragments
    };
    IpsecClient(Host& host, const Options& options);
    [[nodiscard]] PeerReport report() const override;
    [[nodiscard]] bool floated() const { return m_floated; }

private:
    enum class Step : std::uint8_t { First, KeyExchange, Auth, Child, Up };
    struct Request {
        ike::Exchange exchange = ike::Exchange::SaInit;
        std::uint32_t messageId = 0;
        Octets message;
        int tries = 0;
    };
    void begin();
    void restart();
    [[nodiscard]] ike::Header header(ike::Exchange exchange, std::uint32_t messageId) const;
    [[nodiscard]] std::uint64_t key() const;
    void request(ike::Exchange exchange, Octets message, std::uint32_t messageId);
    void nextRequest();
    void transmit(const Octets& message);
    void repeat();
    void ask(IkeSecret::What what, std::uint32_t spi);
    void takeUdp(wire::ConstBytes payload, net::Port port);
    void takeIke(wire::ConstBytes message);
    void takeEsp(wire::ConstBytes packet);
    void takeRequest(const ike::Header& header, wire::ConstBytes message);
    void takeResponse(const ike::Header& header, wire::ConstBytes message);
    void detectNat(const ike::Header& header, wire::ConstBytes message);
    void proveIdentity();
    void childAgreed(const IkeSecret& secret);
    void sendEsp(wire::ConstBytes message);
    void talk(std::uint64_t life);
    void keepAlive(std::uint64_t life);
    void every(Duration wait, void (IpsecClient::*action)(std::uint64_t));
    void rekey(std::uint64_t life);
    void checkAlive(std::uint64_t life);
    void close(std::uint64_t life);
    std::uint32_t newSpi();

    Host* m_host;
    Options m_options;
    Speaker m_speaker;
    Step m_step = Step::First;
    std::uint64_t m_life = 0;  ///< counts beginnings, so that older timers do nothing
    std::uint64_t m_initiator = 0;
    std::uint64_t m_responder = 0;
    bool m_floated = false;
    std::uint32_t m_nextMessageId = 0;
    std::deque<Request> m_requests;  ///< the first is under way
    std::optional<Host::TimerId> m_repeat;
    std::uint32_t m_proposedSpi = 0;
    std::deque<EspPair> m_pairs;  ///< the last is in use
    Instant m_heardEsp;
    PeerReport m_report;
};

/// Serves any number of clients, told apart by initiator SPI and by its own ESP SPIs.
class IpsecGateway final : public Peer {
public:
    struct Options {
        bool natTraversal = true;
        bool insistsOn500 = false;  ///< answers to port 500 whatever port the request came from
        bool sendsEsp = true;       ///< false: as if a network on the way dropped ESP
    };
    explicit IpsecGateway(Host& host) : IpsecGateway(host, Options{}) {}
    IpsecGateway(Host& host, const Options& options);
    [[nodiscard]] PeerReport report() const override { return m_report; }
    [[nodiscard]] std::size_t clients() const { return m_clients.size(); }

private:
    struct Client {
        ike::Version version = ike::Version::V2;
        std::uint64_t initiator = 0;
        std::uint64_t responder = 0;
        net::Endpoint remote;
        bool floated = false;
        Identity identity = 0;
        std::deque<EspPair> pairs;
        std::optional<EspPair> proposed;  ///< version 1: in use after the third quick mode message
        std::deque<std::pair<Octets, Octets>> answered;
        Instant lastHeard;
    };
    void takeUdp(const net::Endpoint& from, wire::ConstBytes payload, net::Port port);
    void takeIke(const net::Endpoint& from, wire::ConstBytes message, net::Port port);
    void takeEsp(const net::Endpoint& from, wire::ConstBytes packet);
    [[nodiscard]] std::optional<Octets> replyTo(Client& client, const ike::Header& header,
                                                wire::ConstBytes message, const net::Endpoint& from,
                                                net::Port port);
    [[nodiscard]] Octets firstReply(Client& client, ike::Header reply, const ike::Header& request,
                                    wire::ConstBytes message, const net::Endpoint& from,
                                    net::Port port) const;
    [[nodiscard]] std::optional<IkeSecret> secretIn(Client& client, wire::ConstBytes message);
    std::uint32_t agree(Client& client, std::uint32_t theirSpi);
    void sendEsp(Client& client, wire::ConstBytes message);
    void sweep();

    Host* m_host;
    Options m_options;
    Identity m_self;
    std::map<std::uint64_t, Client> m_clients;       ///< by initiator SPI
    std::map<std::uint32_t, std::uint64_t> m_bySpi;  ///< our inbound SPI to initiator SPI
    PeerReport m_report;
};

}  // namespace engine::lab
