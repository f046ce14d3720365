#pragma once

#include "ui/theme/colours.h"
#include "ui/theme/theme.h"

#include <QLabel>

namespace ui {

/// A label that can only ever show plain text: names and banners come from the network, and a
/// rich-text label would load what they ask for. The only label class of the window.
class SafeLabel : public QLabel {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(SafeLabel)

public:
    explicit SafeLabel(QWidget* parent = nullptr, TextSize size = TextSize::Body);
    SafeLabel(const QString& text, QWidget* parent, TextSize size = TextSize::Body);

    SafeLabel& muted();
    SafeLabel& wrapping();
    SafeLabel& selectable();
    /// Text in the colour of that meaning, in every theme.
    void setMeaning(Meaning meaning);
    [[nodiscard]] Meaning meaning() const { return m_meaning; }
    /// Cuts what does not fit with an ellipsis instead of widening the window.
    SafeLabel& eliding();
    [[nodiscard]] QSize minimumSizeHint() const override;
    [[nodiscard]] QSize sizeHint() const override;

protected:
    void paintEvent(QPaintEvent* event) override;
    void changeEvent(QEvent* event) override;

private:
    bool m_eliding = false;
    bool m_hasMeaning = false;
    Meaning m_meaning = Meaning::Neutral;
};

}  // namespace ui
