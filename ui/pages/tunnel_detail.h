#pragma once

#include "engine/tunnel/tunnel.h"
#include "ui/models/connection_model.h"
#include "ui/models/history_models.h"
#include "ui/models/timeline_model.h"
#include "ui/models/tunnel_model.h"
#include "ui/widgets/building_blocks.h"

#include <QTabWidget>

class QGridLayout;
class QLineEdit;

namespace ui {

class Table;

/// Everything about one tunnel: what is going on, what happened, how it is translated, its
/// sessions.
class TunnelDetail final : public QWidget {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(TunnelDetail)

public:
    enum class Tab : std::uint8_t { Summary, Timeline, Mapping, Sessions, Earlier };
    enum class Closable : std::uint8_t { No, Yes };

    TunnelDetail(const Presentation& presentation, Closable closable, QWidget* parent);

    void setTunnel(const engine::tunnel::Tunnel& tunnel, double rateInbound, double rateOutbound);
    /// The user's own pin and note, shown with the next setTunnel().
    void setMark(const TunnelMark& mark) { m_mark = mark; }
    void setSessions(const std::vector<engine::SessionRecord>& sessions, engine::Instant at);
    /// The answer to earlierAsked(); answers to other questions are ignored.
    void setEarlier(const HistoryQuery& query, const std::vector<HistoryTunnel>& rows);
    [[nodiscard]] std::uint64_t serial() const { return m_tunnel.serial; }
    [[nodiscard]] bool wantsSessions() const;
    void showTab(Tab tab);
    void presentationChanged();
    /// Asks beside the button, then emits disconnectAsked().
    void askToDisconnect();
    /// History's tunnels are over and have no sessions to show.
    void setPast();

Q_SIGNALS:
    void disconnectAsked(quint64 serial);
    void closed();
    /// What happened before between this device and this server?
    void earlierAsked(const ui::HistoryQuery& query);
    void marked(const ui::TunnelKey& key, const ui::TunnelMark& mark);
    void deviceAsked(engine::net::Ipv4Address device);
    void passthroughAsked(engine::net::VpnProtocol protocol);

private:
    QWidget* makeSummary();
    QWidget* makeMapping();
    QWidget* makeEarlier();
    [[nodiscard]] HistoryQuery earlierQuery() const;
    void askForEarlier();
    void showFacts();
    void showFindings();
    void showMapping();

    const Presentation& m_presentation;
    engine::tunnel::Tunnel m_tunnel;
    TunnelMark m_mark;
    QPushButton* m_pin;
    QLineEdit* m_note;
    bool m_past = false;
    double m_rateInbound = 0;
    double m_rateOutbound = 0;
    Badge* m_state;
    SafeLabel* m_title;
    SafeLabel* m_summary;
    QPushButton* m_disconnect;
    InlineMessage* m_question;
    QTabWidget* m_tabs;
    QGridLayout* m_facts;
    QVBoxLayout* m_findings;
    QList<QWidget*> m_findingCards;
    QString m_findingsShown;
    QGridLayout* m_mapping;
    SafeLabel* m_mappingWords;
    TimelineModel* m_timeline;
    ConnectionModel* m_sessions;
    Table* m_sessionTable;
    HistoryTunnelModel* m_earlier;
    SafeLabel* m_earlierWords;
};

}  // namespace ui
