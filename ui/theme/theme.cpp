#include "ui/theme/theme.h"

#include <QApplication>
#include <QFont>
#include <QFontDatabase>
#include <QStyleFactory>
#include <QWidget>

namespace ui {

namespace {

// Names in braces are replaced by colours of the set.
constexpr const char* kSheet = R"(
QMainWindow, QDialog { background: {window}; }
QWidget { color: {text}; }
QToolTip { background: {surface}; color: {text}; border: 1px solid {border}; padding: 4px 8px; }

QFrame#sidebar { background: {sidebar}; border: none; border-right: 1px solid {border}; }
QFrame#statusStrip { background: {surface}; border: none; border-top: 1px solid {border}; }
QFrame[card="true"] { background: {surface}; border: 1px solid {border}; border-radius: 8px; }
QFrame[line="true"] { background: {border}; border: none; max-height: 1px; min-height: 1px; }
QLabel { background: transparent; }
QLabel[muted="true"] { color: {mutedText}; }
QLabel[section="true"] { color: {mutedText}; }

QPushButton { background: {surface}; color: {text}; border: 1px solid {strongBorder}; border-radius: 6px;
    padding: 7px 14px; }
QPushButton:hover { background: {raised}; }
QPushButton:pressed { background: {selection}; }
QPushButton:focus { border: 2px solid {accent}; padding: 6px 13px; }
QPushButton:disabled { color: {mutedText}; border-color: {border}; background: {raised}; }
QPushButton[primary="true"] { background: {accent}; color: {onAccent}; border: 1px solid {accent}; }
QPushButton[primary="true"]:hover { background: {accentHover}; }
QPushButton[primary="true"]:focus { border: 2px solid {text}; }
QPushButton[primary="true"]:disabled { background: {raised}; color: {mutedText}; border-color: {border}; }
QPushButton[quiet="true"] { background: transparent; border: 1px solid transparent; color: {accent}; padding: 6px 8px; }
QPushButton[quiet="true"]:hover { background: {raised}; }
QPushButton[quiet="true"]:focus { border: 2px solid {accent}; padding: 5px 7px; }
QPushButton[quiet="true"]:disabled { color: {mutedText}; }
QPushButton[rowButton="true"] { background: transparent; border: 1px solid transparent; border-radius: 6px; padding: 0; }
QPushButton[rowButton="true"]:hover { background: {raised}; }
QPushButton[rowButton="true"]:focus { border: 2px solid {accent}; padding: 0; }
QPushButton[nav="true"] { background: transparent; border: 1px solid transparent; border-radius: 6px; text-align: left;
    padding: 6px 10px; min-height: 24px; color: {text}; }
QPushButton[nav="true"]:disabled { color: {mutedText}; }
QPushButton[nav="true"]:hover { background: {navHover}; }
QPushButton[nav="true"]:checked { background: {selection}; color: {accent}; font-weight: 600; }
QPushButton[nav="true"]:focus { border: 1px solid {accent}; }
QPushButton[chip="true"] { border-radius: 14px; padding: 3px 12px; min-height: 20px; border: 1px solid {strongBorder}; }
QPushButton[chip="true"]:checked { background: {selection}; border: 1px solid {accent}; color: {accent}; }
QPushButton[chip="true"]:focus { border: 2px solid {accent}; padding: 2px 11px; }
QPushButton[seg="true"] { background: {raised}; border: 1px solid {strongBorder}; border-radius: 0; padding: 4px 12px;
    min-height: 20px; min-width: 48px; }
QPushButton[seg="true"]:hover { background: {surface}; }
QPushButton[seg="true"][segEnd="first"] { border-top-left-radius: 6px; border-bottom-left-radius: 6px; border-right: none; }
QPushButton[seg="true"][segEnd="middle"] { border-right: none; }
QPushButton[seg="true"][segEnd="last"] { border-top-right-radius: 6px; border-bottom-right-radius: 6px; }
QPushButton[seg="true"]:checked { background: {accent}; color: {onAccent}; border-color: {accent}; }
QPushButton[seg="true"][danger="true"]:checked { background: {badInk}; color: {surface}; }
QPushButton[seg="true"]:focus { border: 2px solid {text}; padding: 3px 11px; }
QPushButton[tile="true"] { background: {surface}; border: 1px solid {border}; border-radius: 8px; text-align: left; padding: 0; }
QPushButton[tile="true"]:hover { border: 1px solid {strongBorder}; background: {surface}; }
QPushButton[tile="true"]:focus { border: 2px solid {accent}; padding: 0; }
QPushButton[pick="true"] { background: {surface}; border: 1px solid {strongBorder}; border-radius: 8px; text-align: left; padding: 0; }
QPushButton[pick="true"]:hover { background: {raised}; }
QPushButton[pick="true"]:checked { background: {selection}; border: 2px solid {accent}; padding: 0; }
QPushButton[pick="true"]:focus { border: 2px solid {accent}; padding: 0; }
QPushButton[pick="true"]:disabled { background: {window}; border: 1px solid {border}; }

QToolButton { background: transparent; border: 1px solid transparent; border-radius: 6px; padding: 4px; }
QToolButton:hover { background: {raised}; }
QToolButton:focus { border: 2px solid {accent}; padding: 3px; }
QToolButton::menu-indicator { image: none; }

QLineEdit, QSpinBox, QComboBox, QDateEdit, QDateTimeEdit, QPlainTextEdit { background: {surface}; color: {text};
    border: 1px solid {strongBorder}; border-radius: 6px; padding: 4px 8px; min-height: 20px;
    selection-background-color: {accent}; selection-color: {onAccent}; }
QLineEdit:focus, QSpinBox:focus, QComboBox:focus, QDateEdit:focus, QPlainTextEdit:focus { border: 2px solid {accent}; padding: 3px 7px; }
QLineEdit:disabled, QSpinBox:disabled, QComboBox:disabled { color: {mutedText}; border-color: {border}; background: {raised}; }
QLineEdit[invalid="true"] { border: 2px solid {badInk}; padding: 3px 7px; }
QSpinBox { padding-right: 4px; }
QSpinBox::up-button, QSpinBox::down-button { width: 0; border: none; }
QComboBox::drop-down { border: none; width: 24px; }
QComboBox::down-arrow { image: url(:/underpass/icons/{arrow}); width: 12px; height: 12px; }
QComboBox QAbstractItemView { background: {surface}; color: {text}; border: 1px solid {strongBorder};
    selection-background-color: {selection}; selection-color: {text}; padding: 4px; outline: none; }
QCheckBox, QRadioButton { spacing: 8px; padding: 2px; border: 1px solid transparent; border-radius: 4px; }
QCheckBox:focus, QRadioButton:focus { border: 1px solid {accent}; }

QCheckBox::indicator { width: 16px; height: 16px; border: 1px solid {strongBorder}; border-radius: 4px; background: {surface}; }
QCheckBox::indicator:checked { background: {accent}; border-color: {accent}; image: url(:/underpass/icons/{tick}); }
QCheckBox::indicator:disabled { border-color: {border}; background: {raised}; }
QTableView, QListView { background: {surface}; alternate-background-color: {surface}; color: {text};
    border: 1px solid {border}; border-radius: 8px; gridline-color: {border}; outline: none;
    selection-background-color: {selection}; selection-color: {text}; }
QTableView:focus, QListView:focus { border: 1px solid {accent}; }
QTableView[plain="true"], QListView[plain="true"] { border: none; background: transparent; }
QTableView::item { border: none; }
QHeaderView { background: transparent; border: none; }
QHeaderView::section { background: {surface}; color: {mutedText}; border: none; border-bottom: 1px solid {border};
    padding: 6px 8px; }
QHeaderView::section:hover { color: {text}; background: {raised}; }
QHeaderView::section:first { border-top-left-radius: 8px; }
QHeaderView::section:last { border-top-right-radius: 8px; }
QHeaderView::up-arrow { image: url(:/underpass/icons/{arrowUp}); width: 10px; height: 10px; subcontrol-position: center right; right: 4px; }
QHeaderView::down-arrow { image: url(:/underpass/icons/{arrow}); width: 10px; height: 10px; subcontrol-position: center right; right: 4px; }
QAbstractScrollArea::corner { background: transparent; border: none; }
QTableCornerButton::section { background: {surface}; border: none; }

QTabWidget::pane { border: none; border-top: 1px solid {border}; }
QTabBar { background: transparent; }
QTabBar::tab { background: transparent; color: {mutedText}; border: none; border-bottom: 2px solid transparent; padding: 8px 12px; }
QTabBar::tab:hover { color: {text}; }
QTabBar::tab:selected { color: {accent}; border-bottom: 2px solid {accent}; }
QTabBar::tab:focus { color: {text}; background: {raised}; }

QScrollArea { background: transparent; border: none; }
QScrollArea > QWidget > QWidget#pageBody { background: transparent; }
QProgressBar { background: {raised}; border: none; border-radius: 3px; min-height: 6px; max-height: 6px; }
QProgressBar::chunk { background: {accent}; border-radius: 3px; }
QScrollBar:vertical { background: transparent; width: 12px; margin: 2px; border: none; }
QScrollBar:horizontal { background: transparent; height: 12px; margin: 2px; border: none; }
QScrollBar::handle { background: {scroll}; border-radius: 4px; min-height: 24px; min-width: 24px; }
QScrollBar::handle:hover { background: {strongBorder}; }
QScrollBar::add-line, QScrollBar::sub-line { width: 0; height: 0; }
QScrollBar::add-page, QScrollBar::sub-page { background: transparent; }
QSplitter::handle { background: transparent; }
QSplitter::handle:horizontal { width: 16px; }

QMenu { background: {surface}; color: {text}; border: 1px solid {border}; border-radius: 8px; padding: 4px; }
QMenu::item { padding: 6px 24px 6px 12px; border-radius: 4px; }
QMenu::item:selected { background: {selection}; color: {text}; }
QMenu::item:disabled { color: {mutedText}; }
QMenu::separator { height: 1px; background: {border}; margin: 4px 8px; }
)";

}  // namespace

Tone systemTone()
{
    const QPalette own = QApplication::palette();
    QApplication::setPalette(QPalette());
    const Tone tone = toneOf(QApplication::palette());
    QApplication::setPalette(own);
    return tone;
}

Tone toneFor(ThemeChoice choice)
{
    switch (choice) {
    case ThemeChoice::Light: return Tone::Light;
    case ThemeChoice::Dark: return Tone::Dark;
    case ThemeChoice::System: break;
    }
    return systemTone();
}

QPalette paletteOf(Tone tone)
{
    const Colours& c = coloursOf(tone);
    QPalette palette;
    palette.setColor(QPalette::Window, c.window);
    palette.setColor(QPalette::WindowText, c.text);
    palette.setColor(QPalette::Base, c.surface);
    palette.setColor(QPalette::AlternateBase, c.raised);
    palette.setColor(QPalette::Text, c.text);
    palette.setColor(QPalette::PlaceholderText, c.mutedText);
    palette.setColor(QPalette::Button, c.surface);
    palette.setColor(QPalette::ButtonText, c.text);
    palette.setColor(QPalette::BrightText, c.ink(Meaning::Bad));
    palette.setColor(QPalette::Highlight, c.accent);
    palette.setColor(QPalette::HighlightedText, c.onAccent);
    palette.setColor(QPalette::ToolTipBase, c.surface);
    palette.setColor(QPalette::ToolTipText, c.text);
    palette.setColor(QPalette::Link, c.accent);
    palette.setColor(QPalette::LinkVisited, c.accent);
    palette.setColor(QPalette::Light, c.raised);
    palette.setColor(QPalette::Midlight, c.raised);
    palette.setColor(QPalette::Mid, c.border);
    palette.setColor(QPalette::Dark, c.strongBorder);
    palette.setColor(QPalette::Shadow, c.border);
    for (const auto role : {QPalette::WindowText, QPalette::Text, QPalette::ButtonText}) {
        palette.setColor(QPalette::Disabled, role, c.mutedText);
    }
    return palette;
}

QString styleSheetOf(Tone tone)
{
    const Colours& c = coloursOf(tone);
    const bool dark = tone == Tone::Dark;
    struct Word {
        const char* name;
        QColor colour;
    };
    const Word words[] = {
        {"{window}", c.window},
        {"{sidebar}", c.sidebar},
        {"{surface}", c.surface},
        {"{raised}", c.raised},
        {"{border}", c.border},
        {"{strongBorder}", c.strongBorder},
        {"{text}", c.text},
        {"{mutedText}", c.mutedText},
        {"{accent}", c.accent},
        {"{accentHover}", dark ? c.accent.lighter(112) : c.accent.darker(115)},
        {"{onAccent}", c.onAccent},
        {"{selection}", c.selection},
        {"{badInk}", c.ink(Meaning::Bad)},
        {"{navHover}", dark ? c.surface : QColor(0xE0, 0xE6, 0xEC)},
        {"{scroll}", dark ? QColor(0x3A, 0x45, 0x52) : QColor(0xC6, 0xCE, 0xD7)},
    };
    QString sheet = QString::fromLatin1(kSheet);
    for (const Word& word : words)
        sheet.replace(QLatin1String(word.name), word.colour.name());
    sheet.replace(QLatin1String("{arrow}"),
                  dark ? QStringLiteral("chevron-dark.svg") : QStringLiteral("chevron-light.svg"));
    sheet.replace(QLatin1String("{tick}"),
                  dark ? QStringLiteral("tick-dark.svg") : QStringLiteral("tick-light.svg"));
    sheet.replace(QLatin1String("{arrowUp}"), dark ? QStringLiteral("chevron-up-dark.svg")
                                                   : QStringLiteral("chevron-up-light.svg"));
    return sheet;
}

void applyTheme(QWidget& root, Tone tone)
{
    const QPalette palette = paletteOf(tone);
    if (QApplication::palette() != palette) QApplication::setPalette(palette);
    const QString sheet = styleSheetOf(tone);
    if (root.styleSheet() != sheet) root.setStyleSheet(sheet);
}

QFont fontOf(TextSize size)
{
    QFont font = QApplication::font();
    const double points = font.pointSizeF() > 0 ? font.pointSizeF() : 10.0;
    switch (size) {
    case TextSize::Caption: font.setPointSizeF(points * 0.88); break;
    case TextSize::Body: break;
    case TextSize::Strong: font.setWeight(QFont::DemiBold); break;
    case TextSize::Title:
        font.setPointSizeF(points * 1.55);
        font.setWeight(QFont::DemiBold);
        break;
    case TextSize::Display:
        font.setPointSizeF(points * 1.9);
        font.setWeight(QFont::DemiBold);
        break;
    }
    return font;
}

QFont monospaceFont()
{
    QFont font = QFontDatabase::systemFont(QFontDatabase::FixedFont);
    font.setPointSizeF(QApplication::font().pointSizeF());
    return font;
}

}  // namespace ui
