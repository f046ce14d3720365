#pragma once

#include "ui/main_window.h"
#include "ui/models/device_model.h"
#include "ui/models/tunnel_model.h"
#include "ui/pages/connections_page.h"
#include "ui/pages/devices_page.h"
#include "ui/pages/events_page.h"
#include "ui/pages/history_page.h"
#include "ui/pages/lab_page.h"
#include "ui/pages/network_page.h"
#include "ui/pages/overview_page.h"
#include "ui/pages/passthrough_page.h"
#include "ui/pages/port_forwards_page.h"
#include "ui/pages/settings_page.h"
#include "ui/pages/start_page.h"
#include "ui/pages/tunnels_page.h"
#include "ui/widgets/help_pane.h"
#include "ui/widgets/keep_bar.h"
#include "ui/widgets/search_box.h"
#include "ui/widgets/sidebar.h"
#include "ui/widgets/table.h"

#include <QPointer>
#include <QStackedWidget>
#include <QTimer>

/// What the window is made of: for the source files of MainWindow alone.
namespace ui {

/// With Ctrl+1 … Ctrl+9.
inline constexpr Page kNumbered[] = {Page::Overview,     Page::Tunnels, Page::Connections,
                                     Page::Devices,      Page::History, Page::Passthrough,
                                     Page::PortForwards, Page::Network, Page::Events};

/// Pages that have nothing to show while nothing runs.
inline constexpr Page kLive[] = {Page::Overview,    Page::Tunnels, Page::Connections, Page::Devices,
                                 Page::Passthrough, Page::Lab,     Page::Events};

/// A service may hold a lab, too, but that one plays on its own.
[[nodiscard]] inline bool isOurLab(const RouterState& state)
{
    return state.kind == RouterState::Kind::Lab && !state.attached;
}

[[nodiscard]] inline bool isRunning(RouterState::Kind kind)
{
    return kind == RouterState::Kind::Sharing || kind == RouterState::Kind::Lab;
}

struct MainWindow::Parts {
    explicit Parts(MainWindow* window)
        : tunnels(presentation, window), devices(presentation, window)
    {}

    Presentation presentation;
    TunnelModel tunnels;
    DeviceModel devices;
    WindowSettings settings;
    RouterState state;
    bool stateKnown = false;
    Tone tone = Tone::Light;
    std::shared_ptr<const engine::Snapshot> snapshot;
    std::vector<engine::Event> early;  ///< before the first snapshot
    double inbound = 0;                ///< octets per second over the external side
    double outbound = 0;

    Sidebar* sidebar = nullptr;
    InlineMessage* message = nullptr;
    QTimer* messageTimer = nullptr;
    QStackedWidget* stack = nullptr;
    StartPage* start = nullptr;
    OverviewPage* overview = nullptr;
    TunnelsPage* tunnelsPage = nullptr;
    ConnectionsPage* connections = nullptr;
    DevicesPage* devicesPage = nullptr;
    HistoryPage* history = nullptr;
    PassthroughPage* passthrough = nullptr;
    PortForwardsPage* portForwards = nullptr;
    NetworkPage* network = nullptr;
    LabPage* lab = nullptr;
    EventsPage* events = nullptr;
    SettingsPage* settingsPage = nullptr;
    QWidget* strip = nullptr;
    SafeLabel* rates = nullptr;
    SafeLabel* sessions = nullptr;
    SafeLabel* lastChange = nullptr;
    QPushButton* undo = nullptr;
    QPushButton* redo = nullptr;
    QTimer* asking = nullptr;
    SearchBox* search = nullptr;
    HelpPane* help = nullptr;
    KeepBar* keep = nullptr;
    engine::nat::NatConfig nat;     ///< in force
    engine::nat::NatConfig before;  ///< what the keep bar goes back to
    engine::Instant shown;          ///< the snapshot on screen
    QList<QPointer<TunnelDetail>> windows;

    Page page = Page::Start;
    QList<Page> past;  ///< for Alt+Left
    QList<Page> future;
};

}  // namespace ui
