#pragma once

#include "ui/models/timeline_model.h"

#include <QListView>
#include <QWidget>

namespace ui {

/// The timeline as lanes Client · Router · Server with time running down. Every row is an item of a
/// list, so the keyboard and a screen reader walk it as they walk any list. Never mirrored.
class TimelineView final : public QWidget {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(TimelineView)

public:
    TimelineView(TimelineModel* model, QWidget* parent);
    [[nodiscard]] QListView* list() { return m_list; }

private:
    QListView* m_list;
};

}  // namespace ui
