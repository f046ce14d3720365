#pragma once

#include <QStyledItemDelegate>
#include <QTableView>

namespace ui {

/// Paints what the models' roles ask for: shape and word, a second muted line, a thin bar, a small
/// curve. Plain text only.
class CellDelegate final : public QStyledItemDelegate {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(CellDelegate)

public:
    enum class Lines : std::uint8_t { One, Two };
    CellDelegate(Lines lines, QObject* parent) : QStyledItemDelegate(parent), m_lines(lines) {}
    void paint(QPainter* painter, const QStyleOptionViewItem& option,
               const QModelIndex& index) const override;
    [[nodiscard]] QSize sizeHint(const QStyleOptionViewItem& option,
                                 const QModelIndex& index) const override;

private:
    Lines m_lines;
};

/// The only table of the window: rows of one height, whole rows selected, a header that sorts.
/// Space freezes, Return opens, Ctrl+L copies the selection as CSV.
class Table final : public QTableView {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(Table)

public:
    Table(const QString& accessibleName, CellDelegate::Lines lines, QWidget* parent);

    void setModel(QAbstractItemModel* model) override;
    /// How wide a column starts: as its heading and the widest text it must show whole need in the
    /// font there is. The one without a text takes what is left.
    struct Width {
        QString widest;
        enum class Beside : std::uint8_t { Nothing, Shape, Curve } beside = Beside::Nothing;
    };
    void setColumnWidths(const QList<Width>& widths);
    /// Columns that give way, the first one first, where the table is too narrow for all of them;
    /// they come back with the room. One that the user asks for by the header's menu stays.
    void setDispensable(const QList<int>& columns);
    void setColumnHiddenByDefault(int column) { setColumnHidden(column, true); }
    /// Lets the user choose columns from the header's menu.
    void enableColumnChoice();
    [[nodiscard]] quint64 currentId() const;
    /// Selects that row if it is there; the scroll position stays unless it would be out of sight.
    bool selectId(quint64 id);
    [[nodiscard]] QString selectionAsCsv() const;

Q_SIGNALS:
    void freezeAsked();
    void opened(quint64 id);
    void openedInWindow(quint64 id);
    void removeAsked();
    void currentIdChanged(quint64 id);
    /// From the cell menu: show only rows like this cell.
    void filterAsked(const QString& text);
    /// Leave out rows like this cell.
    void excludeAsked(const QString& text);

protected:
    void keyPressEvent(QKeyEvent* event) override;
    void contextMenuEvent(QContextMenuEvent* event) override;
    void currentChanged(const QModelIndex& current, const QModelIndex& previous) override;
    void resizeEvent(QResizeEvent* event) override;

private:
    void stretchColumns();
    QList<Width> m_widths;
    QList<int> m_dispensable;
    QList<int> m_gone;  ///< dispensable ones that have given way
};

}  // namespace ui
