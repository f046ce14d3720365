#pragma once

#include "engine/lab/conversation.h"
#include "engine/lab/host.h"

namespace engine::lab {

/// Sends ICMP echo requests and checks the replies (RFC 792).
class Pinger final : public Peer {
public:
    struct Options {
        net::Ipv4Address target;
        Duration every = 1s;
        std::uint16_t identifier = 0;  ///< 0: random
    };
    Pinger(Host& host, const Options& options);
    [[nodiscard]] PeerReport report() const override { return m_report; }
    [[nodiscard]] Duration roundTrip() const { return m_roundTrip; }

private:
    void ping();
    void hear(const Host::IcmpNews& news);

    Host* m_host;
    Options m_options;
    Speaker m_speaker;
    std::uint16_t m_sequence = 0;
    Instant m_sentAt;
    Duration m_roundTrip{0};
    PeerReport m_report;
};

}  // namespace engine::lab
