#pragma once

#include "engine/policy/passthrough_policy.h"
#include "ui/values/tunnel_mark.h"

#include <cstdint>

namespace ui {

enum class ThemeChoice : std::uint8_t { System, Light, Dark };
enum class ByteUnits : std::uint8_t {
    Decimal,  ///< kB = 1000
    Binary,   ///< KiB = 1024
};

/// What the settings page edits. app/ stores it.
struct WindowSettings {
    ThemeChoice theme = ThemeChoice::System;
    ByteUnits units = ByteUnits::Decimal;
    bool ratesInBits = true;
    std::uint32_t retentionDays = 30;
    std::uint32_t retentionMegabytes = 1024;
    engine::policy::OnLive onLive = engine::policy::OnLive::Hold;
    bool reducedMotion = false;
    TunnelMarks marks;
    friend bool operator==(const WindowSettings&, const WindowSettings&) = default;
};

}  // namespace ui
