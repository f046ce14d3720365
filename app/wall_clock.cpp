#include "app/wall_clock.h"

#include <type_traits>
#include <utility>

namespace app {

engine::tunnel::Tunnel WallClock::toWall(engine::tunnel::Tunnel tunnel) const
{
    tunnel.started = toWall(tunnel.started);
    tunnel.ended = toWall(tunnel.ended);
    tunnel.expires = toWall(tunnel.expires);
    tunnel.outbound.lastPacket = toWall(tunnel.outbound.lastPacket);
    tunnel.inbound.lastPacket = toWall(tunnel.inbound.lastPacket);
    for (auto& event : tunnel.timeline) {
        event.at = toWall(event.at);
    }
    for (auto& finding : tunnel.findings) {
        finding.at = toWall(finding.at);
    }
    return tunnel;
}

engine::SessionRecord WallClock::toWall(engine::SessionRecord session) const
{
    session.created = toWall(session.created);
    session.lastPacket = toWall(session.lastPacket);
    session.expires = toWall(session.expires);
    return session;
}

engine::ProtocolStatus WallClock::toWall(engine::ProtocolStatus status) const
{
    status.heldUntil = toWall(status.heldUntil);
    status.selfTest.at = toWall(status.selfTest.at);
    return status;
}

engine::Snapshot WallClock::toWall(engine::Snapshot snapshot) const
{
    snapshot.at = toWall(snapshot.at);
    for (auto& tunnel : snapshot.tunnels) {
        tunnel = toWall(std::move(tunnel));
    }
    for (auto& device : snapshot.devices) {
        device.firstSeen = toWall(device.firstSeen);
        device.lastSeen = toWall(device.lastSeen);
    }
    for (auto& flood : snapshot.synFloods) {
        flood.since = toWall(flood.since);
    }
    for (auto& status : snapshot.protocols) {
        status = toWall(std::move(status));
    }
    return snapshot;
}

engine::Event WallClock::toWall(engine::Event event) const
{
    std::visit(
        [this](auto& kind) {
            using Kind = std::decay_t<decltype(kind)>;
            if constexpr (std::is_same_v<Kind, engine::SessionEnded>) {
                kind.session = toWall(kind.session);
            } else if constexpr (std::is_same_v<Kind, engine::TunnelChanged> ||
                                 std::is_same_v<Kind, engine::TunnelEnded>) {
                kind.tunnel = toWall(std::move(kind.tunnel));
            } else if constexpr (std::is_same_v<Kind, engine::SwitchChanged>) {
                kind.status = toWall(std::move(kind.status));
            } else if constexpr (std::is_same_v<Kind, engine::SelfTestFinished>) {
                kind.result.at = toWall(kind.result.at);
            } else if constexpr (std::is_same_v<Kind, engine::SynFlood>) {
                kind.status.since = toWall(kind.status.since);
            }
        },
        event);
    return event;
}

}  // namespace app
