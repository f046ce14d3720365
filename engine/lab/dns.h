#pragma once

#include "engine/lab/host.h"

#include <map>

namespace engine::lab {

using namespace std::chrono_literals;

/// Answers any DNS query (RFC 1035) with one address record made from the name asked for.
class DnsServer final : public Peer {
public:
    explicit DnsServer(Host& host);
    [[nodiscard]] PeerReport report() const override { return m_report; }

private:
    Host* m_host;
    PeerReport m_report;
};

/// Asks for a new name each time, from a new port, and checks the answer.
class DnsClient final : public Peer {
public:
    struct Options {
        net::Ipv4Address server;
        Duration every = 3s;
    };
    DnsClient(Host& host, const Options& options);
    [[nodiscard]] PeerReport report() const override { return m_report; }

private:
    void ask();

    Host* m_host;
    Options m_options;
    Identity m_self;
    std::uint32_t m_serial = 0;
    PeerReport m_report;
};

}  // namespace engine::lab
