#pragma once

#include "app/rules.h"
#include "engine/snapshot.h"

#include <cstdint>
#include <string>

namespace app::services {

/// What a change of the rules means for those who are connected at this moment: one or more English
/// sentences for people; empty if nobody is concerned.
/// `concerned` is how many sessions the engine says that it ends, or lets finish.
[[nodiscard]] std::string liveEffect(const Rules& before, const engine::Snapshot& live,
                                     const engine::Command& command, std::uint32_t concerned);

}  // namespace app::services
