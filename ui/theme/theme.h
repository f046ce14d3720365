#pragma once

#include "ui/theme/colours.h"
#include "ui/values/window_settings.h"

class QWidget;

namespace ui {

/// The 8-pixel grid; every margin and gap is one of these.
inline constexpr int kGapSmall = 4;
inline constexpr int kGap = 8;
inline constexpr int kGapWide = 16;
inline constexpr int kGapPage = 24;
inline constexpr int kRadius = 8;

/// What the system asks for, by the luminance of its own palette (Qt 6.4 cannot say it otherwise).
[[nodiscard]] Tone systemTone();
[[nodiscard]] Tone toneFor(ThemeChoice choice);

/// Gives the application our palette and `root` our style sheet. Cheap when nothing changes.
void applyTheme(QWidget& root, Tone tone);

[[nodiscard]] QPalette paletteOf(Tone tone);
[[nodiscard]] QString styleSheetOf(Tone tone);

/// Text sizes relative to the user's own font.
enum class TextSize { Caption, Body, Strong, Title, Display };
[[nodiscard]] QFont fontOf(TextSize size);
[[nodiscard]] QFont monospaceFont();

}  // namespace ui
