#pragma once

#include "engine/lab/host.h"

namespace engine::lab {

/// A firewall right in front of a host that reads the first message of each TCP connection to it
/// and does not like VPNs: TLS's ClientHello and OpenVPN's reset packet. Everything else passes.
class PathFilter final : public Peer {
public:
    /// It answers in the host's name, or lets nothing of the connection through any more.
    enum class Action : std::uint8_t { Reset, Swallow };

    PathFilter(Host& host, Action action);
    /// `failures`: messages that it has cut off.
    [[nodiscard]] PeerReport report() const override { return m_report; }

private:
    bool passes(wire::ConstBytes packet);

    Host* m_host;
    Action m_action;
    PeerReport m_report;
};

}  // namespace engine::lab
