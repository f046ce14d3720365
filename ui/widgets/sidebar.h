#pragma once

#include "ui/widgets/building_blocks.h"

#include <QFrame>
#include <QList>

class QHBoxLayout;
class QToolButton;

namespace ui {

/// The pages in their groups. Narrow, it shows the drawings only.
class Sidebar final : public QFrame {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(Sidebar)

public:
    explicit Sidebar(QWidget* parent);
    void addGroup(const QString& title);
    void addPage(int page, Symbol symbol, const QString& name, const QString& keys);
    /// Not a page: something that is done at once. They stand in a row below the pages.
    QToolButton* addCommand(Symbol symbol, const QString& name, const QString& keys);
    void finish();
    void setCurrent(int page);
    void setPageEnabled(int page, bool enabled);
    void setPageVisible(int page, bool visible);
    /// As the user wants it, whatever room there is. Until then it is narrow where pages need the
    /// room.
    void choose(bool narrow);
    [[nodiscard]] bool isNarrow() const { return m_narrow; }
    [[nodiscard]] QPushButton* entry(int page) const;
    [[nodiscard]] Badge* state() { return m_state; }

Q_SIGNALS:
    void pageAsked(int page);

protected:
    /// Of the widget that the sidebar shares with the page.
    bool eventFilter(QObject* watched, QEvent* event) override;

private:
    void setNarrow(bool narrow);
    struct Entry {
        int page = 0;
        QString name;
        QString keys;
        QPushButton* button = nullptr;
    };
    void name(const Entry& entry);

    QVBoxLayout* m_column;
    QHBoxLayout* m_commands;
    QWidget* m_mark;
    SafeLabel* m_title;
    Badge* m_state;
    QList<SafeLabel*> m_groups;
    QList<Entry> m_entries;
    bool m_narrow = false;
    bool m_chosen = false;
};

}  // namespace ui
