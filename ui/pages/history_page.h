#pragma once

#include "ui/models/history_models.h"
#include "ui/pages/page_frame.h"
#include "ui/pages/tunnel_detail.h"

class QComboBox;
class QDateEdit;
class QStackedWidget;
class QTimer;

namespace ui {

class Table;

/// "What happened before?"
class HistoryPage final : public PageFrame {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(HistoryPage)

public:
    HistoryPage(const Presentation& presentation, QWidget* parent);
    void setTunnels(const std::vector<HistoryTunnel>& rows);
    void setConnections(const std::vector<HistoryConnection>& rows);
    /// What was found is another router's; asks again if it is on screen.
    void forgetRouter();
    void setRetention(std::uint32_t days) { m_retentionDays = days; }
    /// Names have changed: the device filter offers them.
    void presentationChanged();
    void setSnapshot(const engine::Snapshot& snapshot);
    [[nodiscard]] HistoryQuery query() const;
    bool clearFilter() override;
    void exportView() override;
    void refresh() override { ask(); }

Q_SIGNALS:
    void asked(const ui::HistoryQuery& query);
    /// A row that still runs was opened.
    void liveTunnelAsked(quint64 serial);
    void exportAsked(const ui::HistoryQuery& query, const QString& path);

protected:
    void showEvent(QShowEvent* event) override;

private:
    void ask();
    void updateEmpty();
    void showDetail();

    const Presentation& m_presentation;
    Presentation m_past;  ///< the same on history's clock, for the detail
    HistoryTunnelModel* m_tunnels;
    HistoryConnectionModel* m_connections;
    SegmentedSwitch* m_what;
    QComboBox* m_range;
    QDateEdit* m_from;
    QDateEdit* m_to;
    QComboBox* m_device;
    QComboBox* m_protocol;
    SafeLabel* m_count;
    QStackedWidget* m_stack;
    EmptyState* m_empty;
    Table* m_tunnelTable;
    Table* m_connectionTable;
    TunnelDetail* m_detail;
    QTimer* m_typing;
    std::uint32_t m_retentionDays = 30;
    bool m_answered = false;
};

}  // namespace ui
