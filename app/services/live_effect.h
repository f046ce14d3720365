#pragma once

#include "app/rules.h"
#include "engine/snapshot.h"

#include <string>

namespace app::services {

/// What a change of the rules means for those who are connected at this moment: one or more English
/// sentences for people; empty if nobody is concerned.
[[nodiscard]] std::string liveEffect(const Rules& before, const engine::Snapshot& live,
                                     const engine::Command& command);

}  // namespace app::services
