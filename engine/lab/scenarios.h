#pragma once

#include "engine/lab/scenario.h"

#include <array>

namespace engine::lab {

void buildOverview(Lab& lab);

// clang-format off
inline constexpr std::array kScenarios{
    Scenario{"overview", "A small office: browsing, names, pings and every kind of VPN at once.", std::chrono::minutes(5), &buildOverview},
};
// clang-format on

}  // namespace engine::lab
