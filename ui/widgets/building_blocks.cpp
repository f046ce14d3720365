#include "ui/widgets/building_blocks.h"

#include <QHBoxLayout>
#include <QKeyEvent>
#include <QPainter>
#include <QScrollArea>
#include <QToolButton>

namespace ui {

namespace {

/// A symbol painted in the muted colour of the theme.
class SymbolPicture final : public QWidget {
public:
    SymbolPicture(Symbol symbol, int side, QWidget* parent) : QWidget(parent), m_symbol(symbol)
    {
        setFixedSize(side, side);
    }

protected:
    void paintEvent(QPaintEvent* /*event*/) override
    {
        QPainter painter(this);
        paintSymbol(painter, rect(), m_symbol, currentColours().strongBorder);
    }

private:
    Symbol m_symbol;
};

}  // namespace

Card::Card(QWidget* parent) : QFrame(parent), m_body(new QVBoxLayout(this))
{
    setProperty("card", true);
    m_body->setContentsMargins(kGapWide, kGapWide, kGapWide, kGapWide);
    m_body->setSpacing(kGap);
}

CardHeading::CardHeading(const QString& title, const QString& action, QWidget* parent)
    : QWidget(parent)
{
    auto* row = new QHBoxLayout(this);
    row->setContentsMargins(0, 0, 0, 0);
    row->addWidget(new SafeLabel(title, this, TextSize::Strong));
    row->addStretch();
    if (!action.isEmpty()) {
        m_action = makeQuietButton(action, this);
        row->addWidget(m_action);
    }
    setMinimumHeight(28);
}

Badge::Badge(QWidget* parent) : QWidget(parent)
{
    setSizePolicy(QSizePolicy::Fixed, QSizePolicy::Fixed);
}

void Badge::show(Shape shape, Meaning meaning, const QString& word)
{
    if (shape == m_shape && meaning == m_meaning && word == m_word) return;
    m_shape = shape;
    m_meaning = meaning;
    m_word = word;
    setAccessibleName(word);
    updateGeometry();
    update();
}

QSize Badge::sizeHint() const
{
    if (m_word.isEmpty()) return {12, 24};
    return {fontMetrics().horizontalAdvance(m_word) + 34, std::max(24, fontMetrics().height() + 6)};
}

void Badge::paintEvent(QPaintEvent* /*event*/)
{
    QPainter painter(this);
    painter.setRenderHint(QPainter::Antialiasing);
    const Colours& colours = currentColours();
    if (m_word.isEmpty()) {
        paintShape(painter, QRectF(1, (height() - 10) / 2.0, 10, 10), m_shape,
                   colours.ink(m_meaning));
        return;
    }
    painter.setPen(Qt::NoPen);
    painter.setBrush(colours.soft(m_meaning));
    painter.drawRoundedRect(rect(), height() / 2.0, height() / 2.0);
    paintShape(painter, QRectF(11, (height() - 10) / 2.0, 10, 10), m_shape, colours.ink(m_meaning));
    painter.setPen(colours.ink(m_meaning));
    painter.drawText(rect().adjusted(26, 0, -6, 0), Qt::AlignVCenter | Qt::AlignLeft, m_word);
}

EmptyState::EmptyState(Symbol symbol, QWidget* parent)
    : QWidget(parent),
      m_fact(new SafeLabel(this, TextSize::Strong)),
      m_why(new SafeLabel(this)),
      m_action(new QPushButton(this))
{
    auto* column = new QVBoxLayout(this);
    column->setSpacing(kGap);
    column->addStretch(2);
    column->addWidget(new SymbolPicture(symbol, 48, this), 0, Qt::AlignHCenter);
    column->addSpacing(kGap);
    column->addWidget(m_fact, 0, Qt::AlignHCenter);
    m_why->muted().wrapping();
    m_why->setAlignment(Qt::AlignHCenter | Qt::AlignTop);
    // Between stretches, not aligned: an aligned label gets the height of its own idea of a width.
    m_why->setMinimumWidth(360);
    m_why->setMaximumWidth(520);
    auto* why = new QHBoxLayout;
    why->addStretch(1);
    why->addWidget(m_why, 100);
    why->addStretch(1);
    column->addLayout(why);
    column->addSpacing(kGap);
    column->addWidget(m_action, 0, Qt::AlignHCenter);
    m_action->hide();
    column->addStretch(3);
}

void EmptyState::say(const QString& fact, const QString& why, const QString& action)
{
    m_fact->setText(fact);
    m_why->setText(why);
    m_why->setVisible(!why.isEmpty());
    m_action->setText(action);
    m_action->setVisible(!action.isEmpty());
}

InlineMessage::InlineMessage(QWidget* parent)
    : QFrame(parent), m_text(new SafeLabel(this)), m_row(new QHBoxLayout(this))
{
    m_row->setContentsMargins(44, kGap, kGap, kGap);
    m_row->setSpacing(kGap);
    m_text->wrapping();
    m_text->setMinimumHeight(28);
    m_row->addWidget(m_text, 1);
}

void InlineMessage::say(Meaning meaning, const QString& text)
{
    m_meaning = meaning;
    m_text->setText(text);
    setAccessibleName(text);
    update();
}

QPushButton* InlineMessage::addAction(const QString& text)
{
    auto* button = new QPushButton(text, this);
    m_row->addWidget(button);
    return button;
}

void InlineMessage::setClosable()
{
    auto* close = new QToolButton(this);
    close->setIcon(iconOf(Symbol::Close));
    close->setAccessibleName(tr("Close this message"));
    close->setToolTip(tr("Close"));
    m_row->addWidget(close, 0, Qt::AlignTop);
    connect(close, &QToolButton::clicked, this, &QWidget::hide);
}

void InlineMessage::setGapAbove(int gap)
{
    m_gapAbove = gap;
    m_row->setContentsMargins(44, kGap + gap, kGap, kGap);
}

void InlineMessage::paintEvent(QPaintEvent* /*event*/)
{
    QPainter painter(this);
    painter.setRenderHint(QPainter::Antialiasing);
    const Colours& colours = currentColours();
    painter.setPen(QPen(colours.ink(m_meaning), 1));
    painter.setBrush(colours.soft(m_meaning));
    painter.drawRoundedRect(QRectF(rect()).adjusted(0.5, m_gapAbove + 0.5, -0.5, -0.5), kRadius,
                            kRadius);
    ui::Shape shape = ui::Shape::Diamond;
    switch (m_meaning) {
    case Meaning::Neutral:
    case Meaning::Accent: shape = ui::Shape::Diamond; break;
    case Meaning::Good: shape = ui::Shape::Disc; break;
    case Meaning::Warning: shape = ui::Shape::Triangle; break;
    case Meaning::Bad: shape = ui::Shape::Cross; break;
    case Meaning::Held: shape = ui::Shape::Bars; break;
    }
    paintShape(painter, QRectF(18, m_gapAbove + kGap + 8, 12, 12), shape, colours.ink(m_meaning));
}

SegmentedSwitch::SegmentedSwitch(const QStringList& positions, const QString& accessibleName,
                                 QWidget* parent)
    : QWidget(parent)
{
    auto* row = new QHBoxLayout(this);
    row->setContentsMargins(0, 0, 0, 0);
    row->setSpacing(0);
    setAccessibleName(accessibleName);
    for (qsizetype i = 0; i < positions.size(); ++i) {
        auto* button = new QPushButton(positions.at(i), this);
        button->setCheckable(true);
        button->setProperty("seg", true);
        button->setProperty("segEnd", i == 0                      ? QStringLiteral("first")
                                      : i + 1 == positions.size() ? QStringLiteral("last")
                                                                  : QStringLiteral("middle"));
        button->setAccessibleName(tr("%1: %2").arg(accessibleName, positions.at(i)));
        button->installEventFilter(this);
        const int position = static_cast<int>(i);
        connect(button, &QPushButton::clicked, this, [this, position] {
            // The truth decides where the switch stands.
            setPosition(m_position);
            if (position != m_position) Q_EMIT asked(position);
        });
        row->addWidget(button);
        m_buttons.append(button);
    }
    setPosition(0);
    setSizePolicy(QSizePolicy::Fixed, QSizePolicy::Fixed);
}

void SegmentedSwitch::setPosition(int position)
{
    m_position = position;
    for (qsizetype i = 0; i < m_buttons.size(); ++i)
        m_buttons.at(i)->setChecked(i == position);
}

void SegmentedSwitch::setDanger(int position)
{
    m_buttons.at(position)->setProperty("danger", true);
}

void SegmentedSwitch::setToolTipOf(int position, const QString& text)
{
    m_buttons.at(position)->setToolTip(text);
    m_buttons.at(position)->setAccessibleDescription(text);
}

bool SegmentedSwitch::eventFilter(QObject* watched, QEvent* event)
{
    if (event->type() == QEvent::KeyPress) {
        const auto* key = static_cast<QKeyEvent*>(event);
        const auto at = m_buttons.indexOf(static_cast<QPushButton*>(watched));
        const int step = key->key() == Qt::Key_Right ? 1 : key->key() == Qt::Key_Left ? -1 : 0;
        if (step != 0 && at >= 0) {
            const auto next = at + (isRightToLeft() ? -step : step);
            if (next >= 0 && next < m_buttons.size())
                m_buttons.at(next)->setFocus(Qt::TabFocusReason);
            return true;
        }
    }
    return QWidget::eventFilter(watched, event);
}

QPushButton* makeChip(const QString& text, QWidget* parent)
{
    auto* chip = new QPushButton(text, parent);
    chip->setCheckable(true);
    chip->setProperty("chip", true);
    chip->setAccessibleName(text);
    return chip;
}

QPushButton* makeQuietButton(const QString& text, QWidget* parent)
{
    auto* button = new QPushButton(text, parent);
    button->setProperty("quiet", true);
    return button;
}

QPushButton* makePrimaryButton(const QString& text, QWidget* parent)
{
    auto* button = new QPushButton(text, parent);
    button->setProperty("primary", true);
    return button;
}

QFrame* makeLine(QWidget* parent)
{
    auto* line = new QFrame(parent);
    line->setProperty("line", true);
    return line;
}

QString escapeMnemonic(QString text)
{
    return text.replace(QLatin1Char('&'), QLatin1String("&&"));
}

QScrollArea* asScrollPage(QWidget* body, QWidget* parent)
{
    auto* area = new QScrollArea(parent);
    area->setWidgetResizable(true);
    area->setFrameShape(QFrame::NoFrame);
    area->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
    area->setFocusPolicy(Qt::NoFocus);
    area->viewport()->setAutoFillBackground(false);
    body->setObjectName(QStringLiteral("pageBody"));
    area->setWidget(body);
    body->setAutoFillBackground(false);
    return area;
}

}  // namespace ui
