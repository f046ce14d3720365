#pragma once

#include "engine/event.h"
#include "engine/snapshot.h"
#include "ui/values/device_name.h"
#include "ui/values/history.h"
#include "ui/values/host_setting.h"
#include "ui/values/interface_choice.h"
#include "ui/values/rule_set.h"

#include <cstdint>
#include <memory>
#include <vector>

/// A small office with plausible VPNs, as values: what the window is tested with. Addresses are
/// those of RFC 5737. Everything moves on with `step`, a quarter of a second each.
namespace fake {

inline constexpr engine::Instant kStart{std::chrono::hours(30)};

[[nodiscard]] std::shared_ptr<const engine::Snapshot> snapshot(int step);
[[nodiscard]] std::vector<engine::SessionRecord> sessions(int step, std::uint32_t howMany);
[[nodiscard]] std::vector<ui::DeviceName> deviceNames();
[[nodiscard]] ui::RuleSet rules();
[[nodiscard]] std::vector<ui::InterfaceChoice> interfaces();
[[nodiscard]] ui::HostHoldings hostHoldings();
[[nodiscard]] std::vector<ui::HistoryTunnel> historyTunnels(int howMany);
[[nodiscard]] std::vector<ui::HistoryConnection> historyConnections(int howMany);
[[nodiscard]] std::vector<engine::Event> events(int step);

}  // namespace fake
