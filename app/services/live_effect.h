#pragma once

#include "app/rules.h"
#include "engine/snapshot.h"

#include <string>
#include <vector>

namespace app::services {

/// What a change of the rules means for those who are connected at this moment.
struct LiveEffect {
    std::string sentence;  ///< English, for people; empty: nobody is concerned
    /// Which live sessions run on although the new rules would not admit them. Ending them is
    /// offered, never done on our own.
    std::vector<std::uint32_t> forwards;
    std::vector<engine::net::Ipv4Address> devices;
};

[[nodiscard]] LiveEffect liveEffect(const Rules& before, const engine::Snapshot& live,
                                    const engine::Command& command);

/// Whether the effect names this session.
[[nodiscard]] bool concerns(const LiveEffect& effect, const engine::SessionRecord& session);

}  // namespace app::services
