#pragma once

#include "ui/models/connection_model.h"
#include "ui/pages/page_frame.h"

class QStackedWidget;

namespace ui {

class Table;

/// "Who is connected to what?"
class ConnectionsPage final : public PageFrame {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(ConnectionsPage)

public:
    ConnectionsPage(const Presentation& presentation, QWidget* parent);
    void setSessions(const std::vector<engine::SessionRecord>& sessions, engine::Instant at);
    void showOnly(engine::net::Ipv4Address device);
    void forgetRouter();
    void presentationChanged() { m_model->presentationChanged(); }
    bool clearFilter() override;
    [[nodiscard]] Table* table() { return m_table; }
    [[nodiscard]] ConnectionModel* model() { return m_model; }

Q_SIGNALS:
    void closeAsked(quint64 serial);
    void tunnelAsked(quint64 serial);

private:
    void applyFilter();
    void updateEmpty();
    void toggleFreeze();
    void askToClose();

    const Presentation& m_presentation;
    ConnectionModel* m_model;
    ConnectionFilter m_filter;
    QList<QPushButton*> m_chips;
    QPushButton* m_unanswered;
    QPushButton* m_tunnels;
    QPushButton* m_deviceChip;
    QPushButton* m_freeze;
    QPushButton* m_close;
    QPushButton* m_tunnel;
    SafeLabel* m_count;
    QStackedWidget* m_stack;
    EmptyState* m_empty;
    Table* m_table;
    bool m_asked = false;
};

}  // namespace ui
