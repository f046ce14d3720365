#include "ui/theme/colours.h"

#include <QGuiApplication>

#include <cmath>

namespace ui {

namespace {

Colours makeLight()
{
    Colours c;
    c.window = QColor(0xF4, 0xF6, 0xF8);
    c.sidebar = QColor(0xEB, 0xEF, 0xF3);
    c.surface = QColor(0xFF, 0xFF, 0xFF);
    c.raised = QColor(0xF0, 0xF3, 0xF6);
    c.border = QColor(0xDF, 0xE4, 0xEA);
    c.strongBorder = QColor(0x7F, 0x8C, 0x9B);
    c.text = QColor(0x18, 0x22, 0x2E);
    c.mutedText = QColor(0x52, 0x60, 0x70);
    c.accent = QColor(0x0B, 0x63, 0x84);
    c.onAccent = QColor(0xFF, 0xFF, 0xFF);
    c.selection = QColor(0xDC, 0xEC, 0xF3);
    c.inbound = QColor(0x0B, 0x74, 0x9B);
    c.outbound = QColor(0xB0, 0x57, 0x1B);
    const QColor ink[kMeaningCount] = {QColor(0x4B, 0x58, 0x67), QColor(0x0B, 0x63, 0x84),
                                       QColor(0x14, 0x6C, 0x43), QColor(0x8A, 0x50, 0x00),
                                       QColor(0xB0, 0x24, 0x1C), QColor(0x5F, 0x43, 0xB2)};
    const QColor soft[kMeaningCount] = {QColor(0xE9, 0xED, 0xF1), QColor(0xE0, 0xEF, 0xF5),
                                        QColor(0xE1, 0xF3, 0xE9), QColor(0xFC, 0xF0, 0xDC),
                                        QColor(0xFC, 0xE8, 0xE6), QColor(0xEE, 0xEA, 0xFA)};
    for (int i = 0; i < kMeaningCount; ++i) {
        c.m_ink[i] = ink[i];
        c.m_soft[i] = soft[i];
    }
    return c;
}

Colours makeDark()
{
    Colours c;
    c.window = QColor(0x12, 0x16, 0x1B);
    c.sidebar = QColor(0x0E, 0x12, 0x16);
    c.surface = QColor(0x1A, 0x20, 0x27);
    c.raised = QColor(0x23, 0x2A, 0x33);
    c.border = QColor(0x2C, 0x35, 0x40);
    c.strongBorder = QColor(0x73, 0x82, 0x93);
    c.text = QColor(0xE7, 0xEC, 0xF1);
    c.mutedText = QColor(0x9F, 0xAC, 0xBA);
    c.accent = QColor(0x5F, 0xBF, 0xE0);
    c.onAccent = QColor(0x06, 0x1E, 0x29);
    c.selection = QColor(0x1E, 0x3B, 0x49);
    c.inbound = QColor(0x5F, 0xBF, 0xE0);
    c.outbound = QColor(0xEE, 0x9E, 0x62);
    const QColor ink[kMeaningCount] = {QColor(0xB3, 0xBF, 0xCB), QColor(0x6F, 0xC7, 0xE5),
                                       QColor(0x5C, 0xCB, 0x93), QColor(0xEB, 0xB2, 0x5B),
                                       QColor(0xF8, 0x90, 0x88), QColor(0xBB, 0xA6, 0xF5)};
    const QColor soft[kMeaningCount] = {QColor(0x28, 0x30, 0x3A), QColor(0x17, 0x35, 0x42),
                                        QColor(0x17, 0x35, 0x28), QColor(0x3A, 0x2D, 0x14),
                                        QColor(0x42, 0x20, 0x20), QColor(0x2E, 0x28, 0x4A)};
    for (int i = 0; i < kMeaningCount; ++i) {
        c.m_ink[i] = ink[i];
        c.m_soft[i] = soft[i];
    }
    return c;
}

double linear(double channel)
{
    return channel <= 0.03928 ? channel / 12.92 : std::pow((channel + 0.055) / 1.055, 2.4);
}

double luminance(const QColor& colour)
{
    return 0.2126 * linear(colour.redF()) + 0.7152 * linear(colour.greenF()) +
           0.0722 * linear(colour.blueF());
}

}  // namespace

const Colours& coloursOf(Tone tone)
{
    static const Colours light = makeLight();
    static const Colours dark = makeDark();
    return tone == Tone::Dark ? dark : light;
}

Tone toneOf(const QPalette& palette)
{
    return luminance(palette.color(QPalette::Window)) <
                   luminance(palette.color(QPalette::WindowText))
               ? Tone::Dark
               : Tone::Light;
}

const Colours& currentColours()
{
    return coloursOf(toneOf(QGuiApplication::palette()));
}

double contrast(const QColor& a, const QColor& b)
{
    const double one = luminance(a);
    const double two = luminance(b);
    return (std::max(one, two) + 0.05) / (std::min(one, two) + 0.05);
}

std::vector<TextPair> textPairs(const Colours& c)
{
    std::vector<TextPair> pairs;
    struct Ground {
        const char* name;
        QColor colour;
    };
    const Ground grounds[] = {{"window", c.window},
                              {"sidebar", c.sidebar},
                              {"surface", c.surface},
                              {"raised", c.raised},
                              {"selection", c.selection}};
    for (const Ground& ground : grounds) {
        const auto on = [&](const char* what) {
            return QStringLiteral("%1 on %2").arg(QLatin1String(what), QLatin1String(ground.name));
        };
        pairs.push_back({on("text"), c.text, ground.colour});
        pairs.push_back({on("muted text"), c.mutedText, ground.colour});
        pairs.push_back({on("accent"), c.accent, ground.colour});
        for (int i = 0; i < kMeaningCount; ++i) {
            pairs.push_back({on("meaning ") + QString::number(i), c.m_ink[i], ground.colour});
        }
    }
    for (int i = 0; i < kMeaningCount; ++i) {
        pairs.push_back(
            {QStringLiteral("meaning %1 on its soft ground").arg(i), c.m_ink[i], c.m_soft[i]});
        pairs.push_back({QStringLiteral("text on soft ground %1").arg(i), c.text, c.m_soft[i]});
    }
    pairs.push_back({QStringLiteral("text on accent"), c.onAccent, c.accent});
    // Shapes and edges of controls: WCAG 1.4.11 asks for 3:1.
    pairs.push_back({QStringLiteral("control edge on surface"), c.strongBorder, c.surface, 3.0});
    pairs.push_back({QStringLiteral("control edge on window"), c.strongBorder, c.window, 3.0});
    pairs.push_back({QStringLiteral("inbound series on surface"), c.inbound, c.surface, 3.0});
    pairs.push_back({QStringLiteral("outbound series on surface"), c.outbound, c.surface, 3.0});
    return pairs;
}

}  // namespace ui
