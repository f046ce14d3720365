#pragma once

#include "engine/lab/conversation.h"
#include "engine/lab/host.h"
#include "engine/lab/tcp.h"

#include <map>

namespace engine::lab {

inline constexpr net::Port kWebPort{80};

/// Answers "GET /N" with N octets that the request itself determines, in one HTTP-like response.
class WebServer final : public Peer {
public:
    explicit WebServer(Host& host, net::Port port = kWebPort);
    [[nodiscard]] PeerReport report() const override { return m_report; }

private:
    void take(TcpId id, wire::ConstBytes bytes);

    Host* m_host;
    std::map<TcpId, std::string> m_requests;
    PeerReport m_report;
};

/// Downloads again and again, each time over a new connection, and checks every octet.
class WebClient final : public Peer {
public:
    struct Options {
        net::Endpoint server;
        std::uint32_t size = 20000;  ///< of each download, on average
        Duration every = 5s;
    };
    WebClient(Host& host, const Options& options);
    [[nodiscard]] PeerReport report() const override { return m_report; }
    [[nodiscard]] std::uint64_t octets() const { return m_octets; }

private:
    void fetch();
    void take(TcpId id, wire::ConstBytes bytes);
    void judge(TcpId id, TcpEnd why);

    struct Download {
        std::uint64_t tag = 0;
        std::uint32_t size = 0;
        Octets received;
    };
    Host* m_host;
    Options m_options;
    std::map<TcpId, Download> m_downloads;
    std::uint64_t m_octets = 0;
    PeerReport m_report;
};

}  // namespace engine::lab
