#include "ui/widgets/timeline_view.h"

#include "ui/models/row_model.h"
#include "ui/text/tunnel_words.h"
#include "ui/text/words.h"
#include "ui/theme/theme.h"

#include <QPainter>
#include <QPainterPath>
#include <QStyledItemDelegate>
#include <QVBoxLayout>

namespace ui {

namespace {

using engine::tunnel::EventKind;
using engine::tunnel::Lane;

constexpr int kRowHeight = 30;
constexpr int kTimeWidth = 60;
constexpr int kLaneGap = 52;
constexpr int kLanesWidth = kLaneGap * 2 + 44;

int laneX(int left, Lane lane)
{
    return left + kTimeWidth + 24 + static_cast<int>(lane) * kLaneGap;
}

class LaneDelegate final : public QStyledItemDelegate {
public:
    LaneDelegate(const TimelineModel* model, QObject* parent)
        : QStyledItemDelegate(parent), m_model(model)
    {}

    [[nodiscard]] QSize sizeHint(const QStyleOptionViewItem& option,
                                 const QModelIndex& /*index*/) const override
    {
        return {280, std::max(kRowHeight, option.fontMetrics.height() + 12)};
    }

    void paint(QPainter* painter, const QStyleOptionViewItem& option,
               const QModelIndex& index) const override
    {
        const Colours& colours = currentColours();
        const QRect row = option.rect;
        painter->save();
        painter->setRenderHint(QPainter::Antialiasing);
        if ((option.state & QStyle::State_Selected) != 0) painter->fillRect(row, colours.selection);
        const auto& event = m_model->eventAt(index.row());
        const auto meaning = meaningOf(event);
        const QColor ink = colours.ink(meaning);
        for (const Lane lane : {Lane::Client, Lane::Router, Lane::Server}) {
            painter->setPen(QPen(colours.border, 2));
            const int x = laneX(row.left(), lane);
            painter->drawLine(x, row.top(), x, row.bottom() + 1);
        }
        QFont small = option.font;
        small.setPointSizeF(option.font.pointSizeF() * 0.88);
        painter->setFont(small);
        painter->setPen(colours.mutedText);
        painter->drawText(QRect(row.left(), row.top(), kTimeWidth, row.height()),
                          Qt::AlignRight | Qt::AlignVCenter, m_model->offsetAt(index.row()));

        const int y = row.center().y();
        const int from = laneX(row.left(), event.from);
        const int to = laneX(row.left(), event.to);
        if (from == to) {
            const bool big = meaning != Meaning::Neutral;
            paintShape(*painter, QRectF(from - 5, y - 5, 11, 11),
                       meaning == Meaning::Bad       ? Shape::Cross
                       : meaning == Meaning::Warning ? Shape::Triangle
                       : meaning == Meaning::Held    ? Shape::Bars
                       : big                         ? Shape::Diamond
                                                     : Shape::Disc,
                       ink);
        } else {
            painter->setPen(QPen(ink, event.repeats > 1 ? 1.4 : 1.8,
                                 event.repeats > 1 ? Qt::DashLine : Qt::SolidLine));
            const int direction = to > from ? 1 : -1;
            painter->drawLine(QPointF(from, y), QPointF(to - direction * 5, y));
            QPainterPath head;
            head.moveTo(to - direction * 1, y);
            head.lineTo(to - direction * 9, y - 4.5);
            head.lineTo(to - direction * 9, y + 4.5);
            head.closeSubpath();
            painter->fillPath(head, ink);
            // What passes through the router is seen there.
            if (std::abs(static_cast<int>(event.from) - static_cast<int>(event.to)) == 2) {
                painter->setPen(Qt::NoPen);
                painter->setBrush(colours.surface);
                const int middle = laneX(row.left(), Lane::Router);
                painter->drawEllipse(QPointF(middle, y), 4.5, 4.5);
                painter->setBrush(ink);
                painter->drawEllipse(QPointF(middle, y), 2.5, 2.5);
            }
        }
        const bool strong =
            event.kind == EventKind::IdRewritten || event.kind == EventKind::SpiBound;
        QFont font = option.font;
        if (strong) font.setWeight(QFont::DemiBold);
        painter->setFont(font);
        painter->setPen(meaning == Meaning::Neutral ? colours.text : ink);
        const QRect where(row.left() + kTimeWidth + kLanesWidth, row.top(),
                          row.width() - kTimeWidth - kLanesWidth - 8, row.height());
        painter->drawText(where, Qt::AlignLeft | Qt::AlignVCenter,
                          QFontMetrics(font).elidedText(m_model->sentenceAt(index.row()),
                                                        Qt::ElideRight, where.width()));
        painter->restore();
    }

private:
    const TimelineModel* m_model;
};

/// The lanes' names above the list.
class LaneHeadings final : public QWidget {
public:
    explicit LaneHeadings(QWidget* parent) : QWidget(parent) { setFixedHeight(28); }

protected:
    void paintEvent(QPaintEvent* /*event*/) override
    {
        QPainter painter(this);
        painter.setFont(fontOf(TextSize::Caption));
        painter.setPen(currentColours().mutedText);
        for (const Lane lane : {Lane::Client, Lane::Router, Lane::Server}) {
            painter.drawText(QRect(laneX(0, lane) - kLaneGap / 2, 0, kLaneGap, height()),
                             Qt::AlignCenter, wordOf(lane));
        }
    }
};

}  // namespace

TimelineView::TimelineView(TimelineModel* model, QWidget* parent)
    : QWidget(parent), m_list(new QListView(this))
{
    setLayoutDirection(Qt::LeftToRight);
    auto* column = new QVBoxLayout(this);
    column->setContentsMargins(0, 0, 0, 0);
    column->setSpacing(0);
    column->addWidget(new LaneHeadings(this));
    column->addWidget(m_list, 1);
    m_list->setModel(model);
    m_list->setItemDelegate(new LaneDelegate(model, m_list));
    m_list->setProperty("plain", true);
    m_list->setUniformItemSizes(true);
    m_list->setVerticalScrollMode(QAbstractItemView::ScrollPerPixel);
    m_list->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
    m_list->setAccessibleName(tr("Timeline"));
    m_list->setEditTriggers(QAbstractItemView::NoEditTriggers);
}

}  // namespace ui
