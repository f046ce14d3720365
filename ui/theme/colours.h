#pragma once

#include <QColor>
#include <QPalette>
#include <QString>

#include <cstdint>
#include <vector>

namespace ui {

/// Light or dark; everything on screen is drawn from one of two sets.
enum class Tone : std::uint8_t { Light, Dark };

/// The meaning of a colour. A meaning never stands alone: a shape and a word go with it.
enum class Meaning : std::uint8_t { Neutral, Accent, Good, Warning, Bad, Held };
inline constexpr int kMeaningCount = 6;

/// One set of colours. Text colours reach 4.5:1 on every ground they are used on (a test checks all
/// pairs that textPairs() names).
struct Colours {
    QColor window;  ///< behind everything
    QColor sidebar;
    QColor surface;  ///< cards and tables
    QColor raised;   ///< hovered things, table headers, fields of a segmented switch
    QColor border;
    QColor strongBorder;  ///< edges of things that can be operated: 3:1 on surface
    QColor text;
    QColor mutedText;
    QColor accent;
    QColor onAccent;   ///< text on an accent ground
    QColor selection;  ///< ground of a selected row; text stays `text`
    QColor inbound;    ///< series of the throughput plots
    QColor outbound;

    /// Text or shape of that meaning on window, surface and its own soft ground.
    [[nodiscard]] QColor ink(Meaning meaning) const { return m_ink[static_cast<int>(meaning)]; }
    /// The ground of a badge or bar of that meaning.
    [[nodiscard]] QColor soft(Meaning meaning) const { return m_soft[static_cast<int>(meaning)]; }

    QColor m_ink[kMeaningCount];
    QColor m_soft[kMeaningCount];
};

[[nodiscard]] const Colours& coloursOf(Tone tone);
/// By luminance.
[[nodiscard]] Tone toneOf(const QPalette& palette);
/// The set in force. Asked of the application: a style sheet bends the palettes of single widgets.
[[nodiscard]] const Colours& currentColours();

/// WCAG 2 contrast ratio, 1 to 21.
[[nodiscard]] double contrast(const QColor& a, const QColor& b);

/// Every pair of text colour and ground that the window uses.
struct TextPair {
    QString name;
    QColor text;
    QColor ground;
    double least = 4.5;
};
[[nodiscard]] std::vector<TextPair> textPairs(const Colours& colours);

}  // namespace ui
