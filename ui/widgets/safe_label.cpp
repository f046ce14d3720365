#include "ui/widgets/safe_label.h"

#include <QEvent>
#include <QPainter>
#include <QStyle>

namespace ui {

SafeLabel::SafeLabel(QWidget* parent, TextSize size) : SafeLabel(QString(), parent, size) {}

SafeLabel::SafeLabel(const QString& text, QWidget* parent, TextSize size) : QLabel(parent)
{
    setTextFormat(Qt::PlainText);
    setText(text);
    if (size != TextSize::Body) setFont(fontOf(size));
}

SafeLabel& SafeLabel::muted()
{
    setProperty("muted", true);
    return *this;
}

SafeLabel& SafeLabel::wrapping()
{
    setWordWrap(true);
    return *this;
}

SafeLabel& SafeLabel::selectable()
{
    setTextInteractionFlags(Qt::TextSelectableByMouse);
    return *this;
}

SafeLabel& SafeLabel::eliding()
{
    m_eliding = true;
    return *this;
}

void SafeLabel::setMeaning(Meaning meaning)
{
    m_hasMeaning = true;
    m_meaning = meaning;
    update();
}

QSize SafeLabel::minimumSizeHint() const
{
    QSize size = QLabel::minimumSizeHint();
    if (m_eliding) size.setWidth(std::min(size.width(), 40));
    return size;
}

QSize SafeLabel::sizeHint() const
{
    return QLabel::sizeHint();
}

void SafeLabel::paintEvent(QPaintEvent* event)
{
    if (!m_eliding && !m_hasMeaning) {
        QLabel::paintEvent(event);
        return;
    }
    QPainter painter(this);
    const Colours& colours = currentColours();
    QColor colour = m_hasMeaning                 ? colours.ink(m_meaning)
                    : property("muted").toBool() ? colours.mutedText
                                                 : colours.text;
    painter.setPen(colour);
    painter.setFont(font());
    const QRect where = contentsRect().adjusted(margin(), margin(), -margin(), -margin());
    int flags =
        static_cast<int>(alignment()) | (wordWrap() ? Qt::TextWordWrap : Qt::TextSingleLine);
    const QString shown =
        m_eliding ? fontMetrics().elidedText(text(), Qt::ElideRight, where.width()) : text();
    painter.drawText(where, flags, shown);
}

void SafeLabel::changeEvent(QEvent* event)
{
    QLabel::changeEvent(event);
    if (event->type() == QEvent::PaletteChange) update();
}

}  // namespace ui
