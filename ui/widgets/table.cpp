#include "ui/widgets/table.h"

#include "ui/models/row_model.h"
#include "ui/text/csv.h"
#include "ui/theme/theme.h"
#include "ui/widgets/charts.h"

#include <QApplication>
#include <QClipboard>
#include <QContextMenuEvent>
#include <QHeaderView>
#include <QKeyEvent>
#include <QMenu>
#include <QMetaMethod>
#include <QPainter>

#include <utility>

namespace ui {

namespace {

constexpr int kPadding = 8;
constexpr int kShapeWidth = 19;
constexpr int kCurveWidth = 40;
/// Ours: what the elastic column keeps when there is no room, before the table scrolls.
constexpr int kElasticMinimum = 126;

}  // namespace

QSize CellDelegate::sizeHint(const QStyleOptionViewItem& option, const QModelIndex& /*index*/) const
{
    const int line = option.fontMetrics.height();
    return {80, m_lines == Lines::Two ? line * 2 + 14 : line + 14};
}

void CellDelegate::paint(QPainter* painter, const QStyleOptionViewItem& option,
                         const QModelIndex& index) const
{
    const Colours& colours = currentColours();
    painter->save();
    painter->setRenderHint(QPainter::Antialiasing);
    const bool selected = (option.state & QStyle::State_Selected) != 0;
    const bool hovered = (option.state & QStyle::State_MouseOver) != 0;
    if (selected) {
        painter->fillRect(option.rect, colours.selection);
    } else if (hovered) {
        painter->fillRect(option.rect, colours.raised);
    }
    painter->fillRect(QRect(option.rect.left(), option.rect.bottom(), option.rect.width(), 1),
                      colours.border);
    if (selected && index.column() == 0) {
        painter->fillRect(QRect(option.rect.left(), option.rect.top(), 3, option.rect.height()),
                          colours.accent);
    }
    if ((option.state & QStyle::State_HasFocus) != 0) {
        painter->setPen(QPen(colours.accent, 1));
        painter->setBrush(Qt::NoBrush);
        painter->drawRect(QRectF(option.rect).adjusted(0.5, 0.5, -0.5, -1.5));
    }

    QRect where = option.rect.adjusted(kPadding, 4, -kPadding, -5);
    const QString text = index.data(Qt::DisplayRole).toString();
    const QString second = index.data(SecondLineRole).toString();
    const bool dimmed = index.data(DimmedRole).toBool();
    const QVariant meaning = index.data(MeaningRole);
    QColor colour = dimmed ? colours.mutedText : colours.text;
    if (meaning.isValid())
        colour = colours.ink(dimmed ? Meaning::Neutral : static_cast<Meaning>(meaning.toInt()));

    const QVariant spark = index.data(SparkRole);
    if (spark.isValid() && !dimmed) {
        const int width = std::clamp(where.width() / 4, kCurveWidth, 72);
        const QRectF area(where.right() - width, where.top() + 2, width, where.height() - 4);
        paintSparkline(*painter, area, spark.value<QList<double>>(), colours.inbound);
        where.setRight(where.right() - width - kGap);
    }
    const QVariant shape = index.data(ShapeRole);
    if (shape.isValid()) {
        paintShape(*painter, QRectF(where.left(), where.center().y() - 4.5, 11, 11),
                   static_cast<Shape>(shape.toInt()), colour);
        where.setLeft(where.left() + kShapeWidth);
    }
    const auto alignment = Qt::Alignment(index.data(Qt::TextAlignmentRole).toInt());
    const bool right = (alignment & Qt::AlignRight) != 0;
    const Qt::Alignment side = right ? Qt::AlignRight : Qt::AlignLeft;
    const QFontMetrics metrics(option.font);
    painter->setFont(option.font);

    const QVariant bar = index.data(BarRole);
    if (m_lines == Lines::Two && (!second.isEmpty() || bar.isValid())) {
        const QRect upper(where.left(), where.top(), where.width(), where.height() / 2);
        const QRect lower(where.left(), where.top() + where.height() / 2, where.width(),
                          where.height() - where.height() / 2);
        painter->setPen(colour);
        painter->drawText(upper, int(side | Qt::AlignVCenter | Qt::TextSingleLine),
                          metrics.elidedText(text, Qt::ElideRight, upper.width()));
        if (bar.isValid()) {
            const QRectF track(lower.left(), lower.center().y() - 1, lower.width(), 4);
            painter->setPen(Qt::NoPen);
            painter->setBrush(colours.raised);
            painter->drawRoundedRect(track, 2, 2);
            painter->setBrush(colours.strongBorder);
            painter->drawRoundedRect(
                QRectF(track.left(), track.top(), track.width() * bar.toDouble(), 4), 2, 2);
        } else {
            QFont small = option.font;
            small.setPointSizeF(option.font.pointSizeF() * 0.88);
            painter->setFont(small);
            painter->setPen(colours.mutedText);
            painter->drawText(
                lower, int(side | Qt::AlignVCenter | Qt::TextSingleLine),
                QFontMetrics(small).elidedText(second, Qt::ElideRight, lower.width()));
        }
    } else {
        painter->setPen(colour);
        const QString shown = metrics.elidedText(text, Qt::ElideRight, where.width());
        painter->drawText(where, int(side | Qt::AlignVCenter | Qt::TextSingleLine), shown);
        if (!second.isEmpty() && !right) {
            const int used = metrics.horizontalAdvance(shown) + (text.isEmpty() ? 0 : kGap);
            const QRect rest = where.adjusted(used, 0, 0, 0);
            if (rest.width() > 24) {
                painter->setPen(colours.mutedText);
                painter->drawText(rest, int(side | Qt::AlignVCenter | Qt::TextSingleLine),
                                  metrics.elidedText(second, Qt::ElideRight, rest.width()));
            }
        }
    }
    painter->restore();
}

Table::Table(const QString& accessibleName, CellDelegate::Lines lines, QWidget* parent)
    : QTableView(parent)
{
    setAccessibleName(accessibleName);
    setItemDelegate(new CellDelegate(lines, this));
    setSelectionBehavior(SelectRows);
    setSelectionMode(ExtendedSelection);
    setShowGrid(false);
    setWordWrap(false);
    setMouseTracking(true);
    setCornerButtonEnabled(false);
    setTabKeyNavigation(false);
    setHorizontalScrollMode(ScrollPerPixel);
    setVerticalScrollMode(ScrollPerPixel);
    setEditTriggers(NoEditTriggers);
    const int line = fontMetrics().height();
    verticalHeader()->setSectionResizeMode(QHeaderView::Fixed);
    verticalHeader()->setDefaultSectionSize(lines == CellDelegate::Lines::Two ? line * 2 + 14
                                                                              : line + 14);
    verticalHeader()->hide();
    verticalHeader()->setAccessibleName(accessibleName);
    horizontalHeader()->setAccessibleName(accessibleName);
    horizontalHeader()->setHighlightSections(false);
    horizontalHeader()->setSectionsMovable(true);
    horizontalHeader()->setMinimumSectionSize(48);
    horizontalHeader()->setDefaultAlignment(Qt::AlignLeft | Qt::AlignVCenter);
    horizontalHeader()->setMinimumHeight(34);
    horizontalHeader()->setFont(fontOf(TextSize::Caption));
    setSortingEnabled(true);
    horizontalHeader()->setSortIndicator(-1, Qt::AscendingOrder);
    horizontalHeader()->setSortIndicatorClearable(true);
}

void Table::setModel(QAbstractItemModel* model)
{
    // Sorting starts as the model does, not by the first column.
    setSortingEnabled(false);
    QTableView::setModel(model);
    horizontalHeader()->setSortIndicator(-1, Qt::AscendingOrder);
    setSortingEnabled(true);
}

void Table::setColumnWidths(const QList<Width>& widths)
{
    m_widths = widths;
    for (int i = 0; i < widths.size(); ++i) {
        const Width& width = widths.at(i);
        if (width.widest.isEmpty()) continue;
        const int beside = width.beside == Width::Beside::Shape   ? kShapeWidth
                           : width.beside == Width::Beside::Curve ? kCurveWidth + kGap
                                                                  : 0;
        setColumnWidth(
            i, std::max(horizontalHeader()->sectionSizeHint(i),
                        fontMetrics().horizontalAdvance(width.widest) + beside + 2 * kPadding + 1));
    }
    stretchColumns();
}

void Table::setDispensable(const QList<int>& columns)
{
    m_dispensable = columns;
    stretchColumns();
}

void Table::stretchColumns()
{
    for (const int column : std::exchange(m_gone, {}))
        setColumnHidden(column, false);
    int fixed = 0;
    int elastic = 0;
    for (int i = 0; i < m_widths.size(); ++i) {
        if (isColumnHidden(i)) continue;
        if (m_widths.at(i).widest.isEmpty()) {
            ++elastic;
        } else {
            fixed += columnWidth(i);
        }
    }
    for (const int column : m_dispensable) {
        if (fixed + elastic * kElasticMinimum <= viewport()->width()) break;
        if (isColumnHidden(column)) continue;
        fixed -= columnWidth(column);
        setColumnHidden(column, true);
        m_gone.append(column);
    }
    if (elastic == 0) return;
    const int each = std::max(kElasticMinimum, (viewport()->width() - fixed) / elastic);
    for (int i = 0; i < m_widths.size(); ++i) {
        if (m_widths.at(i).widest.isEmpty() && !isColumnHidden(i)) setColumnWidth(i, each);
    }
}

void Table::resizeEvent(QResizeEvent* event)
{
    QTableView::resizeEvent(event);
    stretchColumns();
}

void Table::enableColumnChoice()
{
    horizontalHeader()->setContextMenuPolicy(Qt::CustomContextMenu);
    connect(
        horizontalHeader(), &QWidget::customContextMenuRequested, this, [this](const QPoint& at) {
            QMenu menu(this);
            for (int i = 0; i < model()->columnCount(); ++i) {
                QAction* action = menu.addAction(model()->headerData(i, Qt::Horizontal).toString());
                action->setCheckable(true);
                action->setChecked(!isColumnHidden(i));
                action->setEnabled(i != 0);
                connect(action, &QAction::toggled, this, [this, i](bool on) {
                    m_dispensable.removeAll(i);
                    m_gone.removeAll(i);
                    setColumnHidden(i, !on);
                    stretchColumns();
                });
            }
            menu.exec(horizontalHeader()->mapToGlobal(at));
        });
}

quint64 Table::currentId() const
{
    return currentIndex().isValid() ? currentIndex().data(IdRole).toULongLong() : 0;
}

bool Table::selectId(quint64 id)
{
    for (int row = 0; row < model()->rowCount(); ++row) {
        const QModelIndex index = model()->index(row, 0);
        if (index.data(IdRole).toULongLong() != id) continue;
        if (currentId() != id) {
            setCurrentIndex(index);
            selectRow(row);
        }
        scrollTo(index);
        return true;
    }
    return false;
}

QString Table::selectionAsCsv() const
{
    QString csv;
    QStringList line;
    for (int i = 0; i < model()->columnCount(); ++i) {
        if (!isColumnHidden(i)) line << csvCell(model()->headerData(i, Qt::Horizontal).toString());
    }
    csv += line.join(QLatin1Char(',')) + QLatin1Char('\n');
    QModelIndexList rows = selectionModel()->selectedRows();
    std::sort(rows.begin(), rows.end());
    for (const QModelIndex& row : rows) {
        line.clear();
        for (int i = 0; i < model()->columnCount(); ++i) {
            if (isColumnHidden(i)) continue;
            const QModelIndex cell = row.siblingAtColumn(i);
            const QString second = cell.data(SecondLineRole).toString();
            line << csvCell(second.isEmpty() ? cell.data().toString()
                                             : cell.data().toString() + QLatin1Char(' ') + second);
        }
        csv += line.join(QLatin1Char(',')) + QLatin1Char('\n');
    }
    return csv;
}

void Table::keyPressEvent(QKeyEvent* event)
{
    const bool control = event->modifiers() == Qt::ControlModifier;
    if (event->key() == Qt::Key_Space && event->modifiers() == Qt::NoModifier) {
        Q_EMIT freezeAsked();
    } else if ((event->key() == Qt::Key_Return || event->key() == Qt::Key_Enter) &&
               currentId() != 0) {
        if (control) {
            Q_EMIT openedInWindow(currentId());
        } else {
            Q_EMIT opened(currentId());
        }
    } else if (event->key() == Qt::Key_Delete) {
        Q_EMIT removeAsked();
    } else if ((event->key() == Qt::Key_L && control) || event->matches(QKeySequence::Copy)) {
        QApplication::clipboard()->setText(selectionAsCsv());
    } else {
        QTableView::keyPressEvent(event);
        return;
    }
    event->accept();
}

void Table::contextMenuEvent(QContextMenuEvent* event)
{
    const QModelIndex at = indexAt(event->pos());
    if (!at.isValid()) return;
    QMenu menu(this);
    const QString filter = at.data(FilterRole).toString();
    QAction* only = menu.addAction(tr("Filter to this cell"));
    only->setEnabled(!filter.isEmpty());
    connect(only, &QAction::triggered, this, [this, filter] { Q_EMIT filterAsked(filter); });
    // Only where a page understands it.
    if (isSignalConnected(QMetaMethod::fromSignal(&Table::excludeAsked))) {
        QAction* exclude = menu.addAction(tr("Exclude what is like this cell"));
        exclude->setEnabled(!filter.isEmpty());
        connect(exclude, &QAction::triggered, this,
                [this, filter] { Q_EMIT excludeAsked(filter); });
    }
    const QString text = at.data().toString();
    connect(menu.addAction(tr("Copy cell")), &QAction::triggered, this,
            [text] { QApplication::clipboard()->setText(text); });
    connect(menu.addAction(tr("Copy rows as CSV")), &QAction::triggered, this,
            [this] { QApplication::clipboard()->setText(selectionAsCsv()); });
    for (QAction* action : actions())
        menu.addAction(action);
    menu.exec(event->globalPos());
}

void Table::currentChanged(const QModelIndex& current, const QModelIndex& previous)
{
    QTableView::currentChanged(current, previous);
    if (current.row() != previous.row() || !previous.isValid())
        Q_EMIT currentIdChanged(currentId());
}

}  // namespace ui
