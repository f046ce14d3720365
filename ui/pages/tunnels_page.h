#pragma once

#include "ui/models/tunnel_model.h"
#include "ui/pages/page_frame.h"
#include "ui/pages/tunnel_detail.h"

class QComboBox;
class QSplitter;
class QStackedWidget;

namespace ui {

class Table;

/// "Which VPNs are running?"
class TunnelsPage final : public PageFrame {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(TunnelsPage)

public:
    TunnelsPage(const Presentation& presentation, TunnelModel& model, QWidget* parent);

    void snapshotShown();
    void forgetRouter();
    void setSessions(const std::vector<engine::SessionRecord>& sessions, engine::Instant at);
    void showOnly(TunnelFilter::Which which);
    void showOnly(engine::net::Ipv4Address device);
    void showOnly(engine::net::VpnProtocol protocol);
    void showTunnel(std::uint64_t serial);
    void showTab(TunnelDetail::Tab tab) { m_detail->showTab(tab); }
    /// The tunnel whose sessions the page wants to see; 0: none.
    [[nodiscard]] std::uint64_t sessionsWanted() const;
    void setEarlier(const HistoryQuery& query, const std::vector<HistoryTunnel>& rows)
    {
        m_detail->setEarlier(query, rows);
    }
    void presentationChanged();
    bool clearFilter() override;
    [[nodiscard]] Table* table() { return m_table; }

Q_SIGNALS:
    void disconnectAsked(quint64 serial);
    void passthroughAsked(engine::net::VpnProtocol protocol);
    void windowAsked(quint64 serial);
    void earlierAsked(const ui::HistoryQuery& query);
    void marked(const ui::TunnelKey& key, const ui::TunnelMark& mark);

private:
    void applyFilter();
    void updateEmpty();
    void showDetail(std::uint64_t serial);
    void toggleFreeze();

    const Presentation& m_presentation;
    TunnelModel& m_model;
    TunnelFilter m_filter;
    QList<QPushButton*> m_chips;
    QComboBox* m_protocol;
    QComboBox* m_grouping;
    QPushButton* m_deviceChip;
    QPushButton* m_freeze;
    SafeLabel* m_count;
    QStackedWidget* m_stack;
    EmptyState* m_empty;
    QSplitter* m_splitter;
    Table* m_table;
    TunnelDetail* m_detail;
};

}  // namespace ui
