#pragma once

#include "engine/base/time.h"
#include "engine/event.h"
#include "engine/snapshot.h"

#include <chrono>

namespace app {

/// Turns the engine's instants, whose epoch only its shell knows, into time since 1970 and back.
/// Taken anew with every snapshot, so that a step of the wall clock shows at most for a moment.
class WallClock {
public:
    WallClock() = default;
    /// The engine's clock shows `now` at this very moment.
    static WallClock agreeingWith(engine::Instant now)
    {
        const auto wall = std::chrono::system_clock::now().time_since_epoch();
        return WallClock{std::chrono::duration_cast<engine::Duration>(wall) - now.sinceEpoch()};
    }

    /// Zero means "not yet" everywhere in the engine's values, and stays zero.
    [[nodiscard]] engine::Instant toWall(engine::Instant instant) const
    {
        return instant == engine::Instant{} ? instant : instant + m_offset;
    }
    /// Whole values with every instant in them turned.
    [[nodiscard]] engine::tunnel::Tunnel toWall(engine::tunnel::Tunnel tunnel) const;
    [[nodiscard]] engine::SessionRecord toWall(engine::SessionRecord session) const;
    [[nodiscard]] engine::ProtocolStatus toWall(engine::ProtocolStatus status) const;
    [[nodiscard]] engine::Snapshot toWall(engine::Snapshot snapshot) const;
    [[nodiscard]] engine::Event toWall(engine::Event event) const;

private:
    explicit WallClock(engine::Duration offset) : m_offset(offset) {}
    engine::Duration m_offset{0};
};

}  // namespace app
