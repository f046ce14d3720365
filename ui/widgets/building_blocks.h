#pragma once

#include "ui/theme/symbol.h"
#include "ui/theme/theme.h"
#include "ui/widgets/safe_label.h"

#include <QFrame>
#include <QPushButton>
#include <QVBoxLayout>

class QHBoxLayout;
class QScrollArea;

/// The small parts that every page is put together from, so that all pages look alike.
namespace ui {

/// A raised ground with a border and room inside.
class Card final : public QFrame {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(Card)

public:
    explicit Card(QWidget* parent);
    [[nodiscard]] QVBoxLayout* body() { return m_body; }

private:
    QVBoxLayout* m_body;
};

/// A card's title with one action at its right edge, if any.
class CardHeading final : public QWidget {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(CardHeading)

public:
    CardHeading(const QString& title, const QString& action, QWidget* parent);
    [[nodiscard]] QPushButton* action() { return m_action; }

private:
    QPushButton* m_action = nullptr;
};

/// Shape and word in one colour on its soft ground; without a word the shape alone.
class Badge final : public QWidget {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(Badge)

public:
    explicit Badge(QWidget* parent);
    void show(Shape shape, Meaning meaning, const QString& word);
    [[nodiscard]] QSize sizeHint() const override;
    [[nodiscard]] QSize minimumSizeHint() const override { return sizeHint(); }

protected:
    void paintEvent(QPaintEvent* event) override;

private:
    Shape m_shape = Shape::Ring;
    Meaning m_meaning = Meaning::Neutral;
    QString m_word;
};

/// One fact, its circumstance · why · one thing to do: what a page shows when it has nothing.
class EmptyState final : public QWidget {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(EmptyState)

public:
    EmptyState(Symbol symbol, QWidget* parent);
    void say(const QString& fact, const QString& why, const QString& action = {});
    [[nodiscard]] QPushButton* action() { return m_action; }

private:
    SafeLabel* m_fact;
    SafeLabel* m_why;
    QPushButton* m_action;
};

/// A message beside its cause, with its actions; never a box that must be clicked away.
class InlineMessage final : public QFrame {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(InlineMessage)

public:
    explicit InlineMessage(QWidget* parent);
    void say(Meaning meaning, const QString& text);
    [[nodiscard]] QPushButton* addAction(const QString& text);
    void setClosable();
    /// Room above that goes when the message goes.
    void setGapAbove(int gap);
    [[nodiscard]] QString text() const { return m_text->text(); }
    [[nodiscard]] Meaning meaning() const { return m_meaning; }

protected:
    void paintEvent(QPaintEvent* event) override;

private:
    SafeLabel* m_text;
    QHBoxLayout* m_row;
    int m_gapAbove = 0;
    Meaning m_meaning = Meaning::Neutral;
};

/// Two to four positions of which one holds. A click asks; the position moves when the answer comes
/// by setPosition().
class SegmentedSwitch final : public QWidget {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(SegmentedSwitch)

public:
    SegmentedSwitch(const QStringList& positions, const QString& accessibleName, QWidget* parent);
    void setPosition(int position);
    [[nodiscard]] int position() const { return m_position; }
    void setDanger(int position);
    void setToolTipOf(int position, const QString& text);
    [[nodiscard]] QPushButton* button(int position) { return m_buttons[position]; }

Q_SIGNALS:
    void asked(int position);

protected:
    bool eventFilter(QObject* watched, QEvent* event) override;

private:
    QList<QPushButton*> m_buttons;
    int m_position = 0;
};

/// A button that is a chip of a filter bar: on or off.
[[nodiscard]] QPushButton* makeChip(const QString& text, QWidget* parent);
/// A text button without an edge.
[[nodiscard]] QPushButton* makeQuietButton(const QString& text, QWidget* parent);
[[nodiscard]] QPushButton* makePrimaryButton(const QString& text, QWidget* parent);
[[nodiscard]] QFrame* makeLine(QWidget* parent);
/// "&" in names is not a mnemonic.
[[nodiscard]] QString escapeMnemonic(QString text);

/// A page: its body scrolls, its margins are the grid's.
[[nodiscard]] QScrollArea* asScrollPage(QWidget* body, QWidget* parent);

}  // namespace ui
