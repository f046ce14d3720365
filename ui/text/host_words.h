#pragma once

#include "ui/values/host_setting.h"

#include <QString>

namespace ui {

/// "A filter on what arrives": what is held.
[[nodiscard]] QString nameOf(HostSetting::Kind kind);
/// How it was before and will be again.
[[nodiscard]] QString beforeOf(HostSetting::Kind kind);
/// What is never changed, in one sentence.
[[nodiscard]] QString neverChanged();
/// What ends with the router: "Sharing stops for 2 devices; 60 sessions and …".
[[nodiscard]] QString whatStops(int devices, int sessions, int tunnels);

}  // namespace ui
