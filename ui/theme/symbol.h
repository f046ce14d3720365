#pragma once

#include "ui/theme/colours.h"

#include <QIcon>
#include <QPainter>

#include <cstdint>

namespace ui {

/// Our own drawings in resources/icons, one file each.
enum class Symbol : std::uint8_t {
    Overview,
    Tunnels,
    Connections,
    Devices,
    History,
    Passthrough,
    PortForwards,
    Network,
    Events,
    Settings,
    Search,
    Close,
    Add,
    Remove,
    Edit,
    Copy,
    Export,
    Freeze,
    Play,
    Warning,
    Information,
    Check,
    Cross,
    Down,
    Up,
    Right,
    Undo,
    Refresh,
    Menu,
    Lab,
    Share,
    Logo,
};

/// An icon in the text colour of the palette in force when it is painted, so that it follows the
/// theme by itself; the accent colour where it is checked.
[[nodiscard]] QIcon iconOf(Symbol symbol);
/// The same drawing once, in a given colour.
void paintSymbol(QPainter& painter, const QRectF& where, Symbol symbol, const QColor& colour);

/// A static library's resources are not there by themselves. Cheap to call again.
void loadSymbols();

/// Shapes that tell states apart without colour.
enum class Shape : std::uint8_t {
    Dots,      ///< under way
    Disc,      ///< all is well
    HalfDisc,  ///< one way only
    Ring,      ///< silent, nothing
    Bars,      ///< held
    Square,    ///< over
    Cross,     ///< refused, failed
    Triangle,  ///< look here
    Diamond,   ///< a remark
};
void paintShape(QPainter& painter, const QRectF& where, Shape shape, const QColor& colour);

}  // namespace ui
