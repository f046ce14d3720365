#pragma once

#include "engine/tunnel/tunnel.h"

#include <QString>

#include <map>

namespace ui {

/// What stays the same when a device dials a server again.
struct TunnelKey {
    engine::net::Ipv4Address device;
    engine::net::Ipv4Address server;
    engine::net::VpnProtocol protocol = engine::net::VpnProtocol::Pptp;
    friend auto operator<=>(const TunnelKey&, const TunnelKey&) = default;
};

[[nodiscard]] inline TunnelKey keyOf(const engine::tunnel::Tunnel& tunnel)
{
    return {tunnel.device, tunnel.server.address, tunnel.protocol};
}

/// What the user says about a tunnel; app/ keeps it with the window's settings, in rules.db.
struct TunnelMark {
    bool pinned = false;
    QString note;
    [[nodiscard]] bool isEmpty() const { return !pinned && note.isEmpty(); }
    friend bool operator==(const TunnelMark&, const TunnelMark&) = default;
};

using TunnelMarks = std::map<TunnelKey, TunnelMark>;

}  // namespace ui
