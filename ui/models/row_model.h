#pragma once

#include "ui/theme/symbol.h"

#include <QAbstractTableModel>
#include <QStringList>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

namespace ui {

/// Roles that our delegate and our tests know, beside Qt's own.
enum CellRole : int {
    IdRole = Qt::UserRole + 1,  ///< quint64, stable for the row's whole life
    SecondLineRole,             ///< muted text below or behind the first
    ShapeRole,                  ///< int of Shape, painted before the text
    MeaningRole,                ///< int of Meaning, colour of shape and text
    BarRole,                    ///< double 0…1, painted as a thin bar under the text
    SparkRole,                  ///< QList<double>, painted as a small curve behind the text
    DimmedRole,                 ///< bool: over, about to leave
    FilterRole,                 ///< what "filter to this" puts into the filter field
};

/// A table over rows with stable ids: filtered and sorted by itself, because a proxy becomes slow
/// long before 100,000 rows. Fed with the whole truth by replace(); what is signalled is only what
/// changed: rows removed, rows added, an order, one range of data. Never a reset, so selection and
/// current cell survive.
template <typename Row>
class RowModel : public QAbstractTableModel {
public:
    using Id = std::uint64_t;

    explicit RowModel(QStringList headings, QObject* parent)
        : QAbstractTableModel(parent), m_headings(std::move(headings))
    {}

    [[nodiscard]] int rowCount(const QModelIndex& parent = {}) const override
    {
        return parent.isValid() ? 0 : static_cast<int>(m_view.size());
    }
    [[nodiscard]] int columnCount(const QModelIndex& parent = {}) const override
    {
        return parent.isValid() ? 0 : static_cast<int>(m_headings.size());
    }
    [[nodiscard]] QVariant headerData(int section, Qt::Orientation orientation,
                                      int role) const override
    {
        if (orientation != Qt::Horizontal || section < 0 || section >= m_headings.size()) return {};
        if (role == Qt::DisplayRole) return m_headings.at(section);
        if (role == Qt::TextAlignmentRole) {
            return QVariant::fromValue(int(isNumber(section) ? Qt::AlignRight | Qt::AlignVCenter
                                                             : Qt::AlignLeft | Qt::AlignVCenter));
        }
        return {};
    }
    [[nodiscard]] QVariant data(const QModelIndex& index, int role) const override
    {
        if (!checkIndex(index, CheckIndexOption::IndexIsValid)) return {};
        const Row& row = rowAt(index.row());
        if (role == IdRole) return QVariant::fromValue<quint64>(idOf(row));
        if (role == Qt::DisplayRole) return text(row, index.column());
        if (role == Qt::AccessibleTextRole)
            return index.column() == 0 ? sentence(row) : text(row, index.column());
        if (role == Qt::TextAlignmentRole) {
            return QVariant::fromValue(int(isNumber(index.column())
                                               ? Qt::AlignRight | Qt::AlignVCenter
                                               : Qt::AlignLeft | Qt::AlignVCenter));
        }
        if (role == FilterRole) return filterText(row, index.column());
        return extra(row, index.column(), role);
    }

    void sort(int column, Qt::SortOrder order) override
    {
        m_sortColumn = column;
        m_sortOrder = order;
        resort();
    }

    [[nodiscard]] const Row& rowAt(int row) const
    {
        return m_all[m_view[static_cast<std::size_t>(row)]];
    }
    [[nodiscard]] const std::vector<Row>& all() const { return m_all; }
    /// Of the row with that id; -1 if it is filtered out or gone. Linear.
    [[nodiscard]] int rowOf(Id id) const
    {
        for (std::size_t i = 0; i < m_view.size(); ++i) {
            if (idOf(m_all[m_view[i]]) == id) return static_cast<int>(i);
        }
        return -1;
    }
    [[nodiscard]] const Row* find(Id id) const
    {
        const auto at = lowerBound(m_all, id);
        return at != m_all.end() && idOf(*at) == id ? &*at : nullptr;
    }
    [[nodiscard]] int totalRows() const { return static_cast<int>(m_all.size()); }

    /// While frozen the newest truth is kept aside; thawing shows it.
    void setFrozen(bool frozen)
    {
        m_frozen = frozen;
        if (!m_frozen && m_hasPending) {
            m_hasPending = false;
            replace(std::exchange(m_pending, {}));
        }
    }
    [[nodiscard]] bool isFrozen() const { return m_frozen; }

    /// The whole truth. Rows need no order; ids must be unique.
    void replace(std::vector<Row> rows)
    {
        if (m_frozen) {
            m_pending = std::move(rows);
            m_hasPending = true;
            return;
        }
        const auto byId = [this](const Row& a, const Row& b) {
            return idOf(a) < idOf(b);
        };
        if (!std::is_sorted(rows.begin(), rows.end(), byId))
            std::sort(rows.begin(), rows.end(), byId);
        // Where each old row has gone; kGone if it has left or does not pass the filter any more.
        std::vector<std::uint32_t> moved(m_all.size(), kGone);
        std::vector<bool> shown(rows.size(), false);
        for (std::size_t before = 0, after = 0; before < m_all.size(); ++before) {
            while (after < rows.size() && idOf(rows[after]) < idOf(m_all[before]))
                ++after;
            if (after < rows.size() && idOf(rows[after]) == idOf(m_all[before]) &&
                accepts(rows[after])) {
                moved[before] = static_cast<std::uint32_t>(after);
            }
        }
        removeFromView([&](std::uint32_t at) { return moved[at] == kGone; });
        for (auto& at : m_view) {
            at = moved[at];
            shown[at] = true;
        }
        m_all = std::move(rows);
        const std::size_t kept = m_view.size();
        appendToView([&](std::uint32_t at) { return !shown[at]; });
        resort();
        if (kept > 0) {
            Q_EMIT dataChanged(index(0, 0), index(rowCount() - 1, columnCount() - 1));
        }
    }

protected:
    /// The filter has changed.
    void refilter()
    {
        removeFromView([&](std::uint32_t at) { return !accepts(m_all[at]); });
        std::vector<bool> shown(m_all.size(), false);
        for (const auto at : m_view)
            shown[at] = true;
        appendToView([&](std::uint32_t at) { return !shown[at]; });
        resort();
    }
    /// Texts of all rows have changed (units, names).
    void retell()
    {
        if (!m_view.empty())
            Q_EMIT dataChanged(index(0, 0), index(rowCount() - 1, columnCount() - 1));
    }

    [[nodiscard]] virtual Id idOf(const Row& row) const = 0;
    [[nodiscard]] virtual bool accepts(const Row& row) const = 0;
    /// Only ever called for columns of this model.
    [[nodiscard]] virtual bool less(const Row& a, const Row& b, int column) const = 0;
    [[nodiscard]] virtual QString text(const Row& row, int column) const = 0;
    /// The whole row for a screen reader.
    [[nodiscard]] virtual QString sentence(const Row& row) const = 0;
    [[nodiscard]] virtual QVariant extra(const Row& row, int column, int role) const = 0;
    [[nodiscard]] virtual QString filterText(const Row& row, int column) const
    {
        return text(row, column);
    }
    /// Before any column: negative if `a` stands above `b` however the table is sorted.
    [[nodiscard]] virtual int rank(const Row& /*a*/, const Row& /*b*/) const { return 0; }
    [[nodiscard]] virtual bool isNumber(int /*column*/) const { return false; }

private:
    static constexpr std::uint32_t kGone = 0xffffffffU;

    [[nodiscard]] auto lowerBound(const std::vector<Row>& rows, Id id) const
    {
        return std::lower_bound(rows.begin(), rows.end(), id,
                                [this](const Row& row, Id wanted) { return idOf(row) < wanted; });
    }

    template <typename Predicate>
    void removeFromView(Predicate leaves)
    {
        std::vector<std::uint32_t> order(m_view.size());
        std::iota(order.begin(), order.end(), 0U);
        const auto gone = std::stable_partition(
            order.begin(), order.end(), [&](std::uint32_t row) { return !leaves(m_view[row]); });
        const auto keep = static_cast<std::size_t>(gone - order.begin());
        if (keep == m_view.size()) return;
        // One run of removed rows needs no new order.
        const bool oneRun = order[keep] + (m_view.size() - keep - 1) == order.back();
        if (oneRun) {
            const int first = static_cast<int>(order[keep]);
            const int last = static_cast<int>(order.back());
            beginRemoveRows({}, first, last);
            m_view.erase(m_view.begin() + first, m_view.begin() + last + 1);
            endRemoveRows();
            return;
        }
        permute(order);
        beginRemoveRows({}, static_cast<int>(keep), static_cast<int>(m_view.size()) - 1);
        m_view.resize(keep);
        endRemoveRows();
    }

    template <typename Predicate>
    void appendToView(Predicate isNew)
    {
        std::vector<std::uint32_t> fresh;
        for (std::uint32_t at = 0; at < m_all.size(); ++at) {
            if (isNew(at) && accepts(m_all[at])) fresh.push_back(at);
        }
        if (fresh.empty()) return;
        const auto first = static_cast<int>(m_view.size());
        beginInsertRows({}, first, first + static_cast<int>(fresh.size()) - 1);
        m_view.insert(m_view.end(), fresh.begin(), fresh.end());
        endInsertRows();
    }

    void resort()
    {
        const auto before = [this](std::uint32_t a, std::uint32_t b) {
            const Row& one = m_all[a];
            const Row& two = m_all[b];
            if (const int order = rank(one, two); order != 0) return order < 0;
            if (m_sortColumn >= 0 && m_sortColumn < m_headings.size()) {
                if (less(one, two, m_sortColumn)) return m_sortOrder == Qt::AscendingOrder;
                if (less(two, one, m_sortColumn)) return m_sortOrder == Qt::DescendingOrder;
            }
            return b < a;  // newest first
        };
        if (std::is_sorted(m_view.begin(), m_view.end(), before)) return;
        std::vector<std::uint32_t> order(m_view.size());
        std::iota(order.begin(), order.end(), 0U);
        std::sort(order.begin(), order.end(),
                  [&](std::uint32_t a, std::uint32_t b) { return before(m_view[a], m_view[b]); });
        permute(order);
    }

    /// Row i shows what row order[i] showed.
    void permute(const std::vector<std::uint32_t>& order)
    {
        Q_EMIT layoutAboutToBeChanged({}, QAbstractItemModel::VerticalSortHint);
        std::vector<std::uint32_t> view(order.size());
        for (std::size_t i = 0; i < order.size(); ++i)
            view[i] = m_view[order[i]];
        m_view = std::move(view);
        const QModelIndexList persistent = persistentIndexList();
        if (!persistent.isEmpty()) {
            std::vector<std::uint32_t> whither(order.size());
            for (std::uint32_t i = 0; i < order.size(); ++i)
                whither[order[i]] = i;
            QModelIndexList now;
            now.reserve(persistent.size());
            for (const QModelIndex& old : persistent) {
                now.append(index(static_cast<int>(whither[static_cast<std::size_t>(old.row())]),
                                 old.column()));
            }
            changePersistentIndexList(persistent, now);
        }
        Q_EMIT layoutChanged({}, QAbstractItemModel::VerticalSortHint);
    }

    QStringList m_headings;
    std::vector<Row> m_all;             ///< by id
    std::vector<std::uint32_t> m_view;  ///< positions in m_all, as shown
    std::vector<Row> m_pending;
    bool m_hasPending = false;
    bool m_frozen = false;
    int m_sortColumn = -1;
    Qt::SortOrder m_sortOrder = Qt::AscendingOrder;
};

}  // namespace ui
