#pragma once

#include "ui/widgets/building_blocks.h"

#include <QHBoxLayout>
#include <QLineEdit>
#include <QVBoxLayout>

namespace ui {

/// What all pages share: margins, a title that is a question somebody asks, and room at its right
/// for actions.
class PageFrame : public QWidget {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(PageFrame)

public:
    PageFrame(const QString& title, const QString& question, QWidget* parent);
    [[nodiscard]] QVBoxLayout* column() { return m_column; }
    [[nodiscard]] QHBoxLayout* actions() { return m_actions; }
    /// The field that Ctrl+F and "/" go to; null if the page has none.
    [[nodiscard]] QLineEdit* filterField() const { return m_filterField; }
    /// Escape: clear the filter; true if there was one.
    virtual bool clearFilter();
    /// Ctrl+E; does nothing where there is nothing to export.
    virtual void exportView() {}
    /// F5.
    virtual void refresh() {}

protected:
    QLineEdit* makeFilterField(const QString& hint);

private:
    QVBoxLayout* m_column;
    QHBoxLayout* m_actions;
    QLineEdit* m_filterField = nullptr;
};

}  // namespace ui
