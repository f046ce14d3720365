#pragma once

#include "engine/snapshot.h"
#include "ui/main_window.h"
#include "ui/page.h"
#include "ui/values/device_name.h"
#include "ui/values/router_state.h"

#include <QString>

#include <memory>
#include <vector>

class QComboBox;
class QLineEdit;
class QPushButton;

namespace ui {
class SafeLabel;
class Table;
}  // namespace ui

/// The window with the made-up office of fake_network.h in it, and ways to find its parts as a user
/// does: by their names.
namespace fake {

/// In the order of the sidebar; all that a router between two cards has.
inline constexpr ui::Page kPages[] = {
    ui::Page::Overview, ui::Page::Tunnels,     ui::Page::Connections,  ui::Page::Devices,
    ui::Page::History,  ui::Page::Passthrough, ui::Page::PortForwards, ui::Page::Network,
    ui::Page::Events,   ui::Page::Settings};

[[nodiscard]] ui::RouterState sharing();
/// A service is there that does not let this user in.
[[nodiscard]] ui::RouterState denied();
/// The office as it is hard to show: every name as long as names may be, 500 tunnels.
[[nodiscard]] std::vector<ui::DeviceName> longDeviceNames();
[[nodiscard]] std::shared_ptr<const engine::Snapshot> crowded(int step);
/// Shown, active and fed for ten steps.
[[nodiscard]] std::unique_ptr<ui::MainWindow> office();
/// Every question how many sessions a change would end is answered so from now on.
void answerConcern(ui::MainWindow& window, quint32 sessions);

// Null if there is none.
[[nodiscard]] QPushButton* buttonNamed(const QWidget& root, const QString& name);
[[nodiscard]] QComboBox* choiceNamed(const QWidget& root, const char* name);
[[nodiscard]] QLineEdit* fieldNamed(const QWidget& root, const char* name);
[[nodiscard]] ui::Table* tableNamed(const QWidget& root, const char* name);
/// The first visible label that has the text in it.
[[nodiscard]] ui::SafeLabel* labelSaying(const QWidget& root, const QString& text);

}  // namespace fake
