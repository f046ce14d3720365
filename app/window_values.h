#pragma once

#include "app/lab_backend.h"
#include "app/router_client.h"
#include "ui/values/device_name.h"
#include "ui/values/history.h"
#include "ui/values/host_setting.h"
#include "ui/values/interface_choice.h"
#include "ui/values/lab.h"
#include "ui/values/message.h"
#include "ui/values/rule_set.h"
#include "ui/values/window_settings.h"

#include <vector>

/// The values of app/ in the window's own shapes, and back.
namespace app {

[[nodiscard]] ui::RuleSet ruleSet(const Rules& rules);
[[nodiscard]] std::vector<ui::DeviceName> deviceNames(const std::vector<DeviceIdentity>& devices);
[[nodiscard]] ui::WindowSettings windowSettings(const Settings& settings);
/// `former` with what the window edits replaced.
[[nodiscard]] Settings settingsOf(Settings former, const ui::WindowSettings& window);
[[nodiscard]] storage::HistoryQuery historyQuery(const ui::HistoryQuery& query);
[[nodiscard]] std::vector<ui::HistoryTunnel> historyTunnels(
    const std::vector<storage::HistoricTunnel>& rows, const std::vector<DeviceIdentity>& devices);
[[nodiscard]] std::vector<ui::HistoryConnection> historyConnections(
    const std::vector<storage::HistoricSession>& rows, const std::vector<DeviceIdentity>& devices);
[[nodiscard]] std::vector<ui::LabScenario> labScenarios();
/// Claims and time; what else the window shows of a lab is not the backend's.
[[nodiscard]] ui::LabStatus labStatus(const LabProgress& progress);
/// The cards of this computer, as the start page offers them.
[[nodiscard]] std::vector<ui::InterfaceChoice> interfaceChoices();
[[nodiscard]] ui::HostHoldings hostHoldings(const std::vector<engine::io::HeldSetting>& held,
                                            ui::HostHoldings::Holder holder);
[[nodiscard]] std::vector<ui::VersionLine> versionLines();

}  // namespace app
