#pragma once

#include "engine/lab/conversation.h"
#include "engine/lab/host.h"
#include "engine/lab/tcp.h"
#include "engine/net/vpn_protocol.h"

#include <map>
#include <optional>
#include <span>

namespace engine::lab {

/// How a VPN that a router cannot help and need not shows itself: the messages by which it is
/// recognised, around talk that nobody can read. One row per protocol, no more of each than two
/// ends need to meet. Numbers in the messages are made from the client's identity, so that either
/// end can tell to the octet whether what it gets is meant for it.
struct Signature {
    net::VpnProtocol protocol;
    net::IpProtocol greetsOver;  ///< data is always in UDP
    net::Port port;              ///< of both ends; every client uses the same
    /// The client's first message and the server's answer. Null: there is none, data begins.
    Octets (*ask)(Identity client);
    Octets (*answer)(Identity client);
    std::size_t clientAt;  ///< where the identity stands in `ask`; kNowhere if it does not
    /// What stands before a message, which takes `size` octets; zeros may follow it.
    Octets (*header)(Identity client, bool fromClient, std::uint32_t serial, std::size_t size);
    std::size_t multiple;  ///< of so many octets is the whole

    static constexpr std::size_t kNowhere = ~std::size_t{0};
};

[[nodiscard]] std::span<const Signature> signatures();
/// Null if the protocol is not in the table.
[[nodiscard]] const Signature* signatureOf(net::VpnProtocol protocol);

/// Answers every client that greets as the signature says, and talks with it.
class SignatureServer final : public Peer {
public:
    SignatureServer(Host& host, const Signature& signature);
    [[nodiscard]] PeerReport report() const override { return m_report; }

private:
    void takeDatagram(const net::Endpoint& from, wire::ConstBytes bytes);

    Host* m_host;
    const Signature* m_signature;
    Identity m_self;
    std::map<net::Endpoint, Identity> m_clients;
    std::map<TcpId, Octets> m_streams;
    std::uint32_t m_serial = 0;
    PeerReport m_report;
};

/// Greets until it is answered, then talks.
class SignatureClient final : public Peer {
public:
    struct Options {
        net::Ipv4Address server;
        const Signature* signature = nullptr;
        Talk talk{};
        Duration startAfter{0};
    };
    SignatureClient(Host& host, const Options& options);
    [[nodiscard]] PeerReport report() const override;

private:
    void greet();
    void takeAnswer(wire::ConstBytes bytes);
    void takeDatagram(const net::Endpoint& from, wire::ConstBytes bytes);
    void talk();

    Host* m_host;
    Options m_options;
    Speaker m_speaker;
    Octets m_stream;
    std::uint32_t m_serial = 0;
    bool m_answered = false;
    PeerReport m_report;
};

}  // namespace engine::lab
