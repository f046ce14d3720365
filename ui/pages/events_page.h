#pragma once

#include "ui/models/event_models.h"
#include "ui/pages/page_frame.h"

class QStackedWidget;

namespace ui {

class Table;

/// "What has the router noticed, and what did not get through?"
class EventsPage final : public PageFrame {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(EventsPage)

public:
    EventsPage(const Presentation& presentation, QWidget* parent);
    void add(const std::vector<engine::Event>& events);
    void setSnapshot(const engine::Snapshot& snapshot);
    void forgetRouter();
    void presentationChanged() { m_events->presentationChanged(); }

private:
    void updateEmpty();
    const Presentation& m_presentation;
    EventModel* m_events;
    DropModel* m_drops;
    QStackedWidget* m_stack;
    EmptyState* m_empty;
    Table* m_table;
    Table* m_dropTable;
    SafeLabel* m_summary;
};

}  // namespace ui
