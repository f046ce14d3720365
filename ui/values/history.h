#pragma once

#include "engine/net/endpoint.h"
#include "engine/net/ip_protocol.h"
#include "engine/net/vpn_protocol.h"
#include "engine/tunnel/tunnel.h"

#include <QDateTime>
#include <QString>

#include <cstdint>
#include <optional>

namespace ui {

/// What the history page asks for. Unset fields match everything.
struct HistoryQuery {
    enum class What : std::uint8_t { Tunnels, Connections };
    What what = What::Tunnels;
    QDateTime from;  ///< local time
    QDateTime to;
    QString text;  ///< part of an address, a name, a server
    std::optional<engine::net::Ipv4Address> device;
    std::optional<engine::net::VpnProtocol> protocol;  ///< tunnels only
    std::uint32_t limit = 5000;
    friend bool operator==(const HistoryQuery&, const HistoryQuery&) = default;
};

/// A tunnel that has ended or still runs, as the database remembers it.
struct HistoryTunnel {
    std::uint64_t serial = 0;
    engine::net::VpnProtocol protocol = engine::net::VpnProtocol::Pptp;
    engine::tunnel::Confidence confidence = engine::tunnel::Confidence::Guess;
    engine::tunnel::Phase phase = engine::tunnel::Phase::Closed;
    engine::tunnel::EventKind endCause = engine::tunnel::EventKind::TimedOut;
    engine::net::Ipv4Address device;
    QString deviceName;
    engine::net::Endpoint server;
    QString serverName;
    engine::tunnel::Passage passage;
    QDateTime started;
    QDateTime ended;  ///< invalid while it runs
    std::uint64_t bytesOutbound = 0;
    std::uint64_t bytesInbound = 0;
    /// The whole record with its timeline, on a clock that counts from 1970; serial 0: not kept.
    engine::tunnel::Tunnel detail;
    [[nodiscard]] bool isLive() const { return !ended.isValid(); }
};

/// A session that has ended, as the database remembers it.
struct HistoryConnection {
    std::uint64_t serial = 0;
    engine::net::IpProtocol protocol = engine::net::IpProtocol::Tcp;
    engine::net::Endpoint internal;
    QString deviceName;
    engine::net::Endpoint external;
    engine::net::Endpoint remote;
    QDateTime started;
    QDateTime ended;
    std::uint64_t bytesOutbound = 0;
    std::uint64_t bytesInbound = 0;
    std::uint64_t tunnelSerial = 0;
};

}  // namespace ui
