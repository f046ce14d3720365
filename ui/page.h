#pragma once

#include <QString>

#include <cstdint>

namespace ui {

/// The pages, in the order of the sidebar. Start covers all others while nothing is shared; Lab is
/// there while the lab runs in this window.
enum class Page : std::uint8_t {
    Start,
    Overview,
    Tunnels,
    Connections,
    Devices,
    History,
    Passthrough,
    PortForwards,
    Network,
    Lab,
    Events,
    Settings,
};
inline constexpr int kPageCount = 12;

/// The page's word: in file names of screenshots and on the command line.
[[nodiscard]] QString wordOf(Page page);
/// For people.
[[nodiscard]] QString nameOf(Page page);

}  // namespace ui
