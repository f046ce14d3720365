#pragma once

#include "engine/snapshot.h"
#include "ui/models/device_model.h"
#include "ui/models/tunnel_model.h"
#include "ui/pages/page_frame.h"
#include "ui/values/router_state.h"
#include "ui/widgets/charts.h"

#include <array>
#include <set>

class QScrollArea;

namespace ui {

/// A number that matters, and a button that opens what it counts.
class Tile final : public QPushButton {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(Tile)

public:
    explicit Tile(QWidget* parent);
    void show(const QString& figure, const QString& unit, const QString& second, Meaning meaning);
    [[nodiscard]] QSize sizeHint() const override { return {200, 76}; }

private:
    SafeLabel* m_figure;
    SafeLabel* m_unit;
    SafeLabel* m_second;
};

/// "Is everything all right?"
class OverviewPage final : public PageFrame {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(OverviewPage)

public:
    OverviewPage(const Presentation& presentation, TunnelModel& tunnels, DeviceModel& devices,
                 QWidget* parent);
    void setRouterState(const RouterState& state);
    void setSnapshot(const engine::Snapshot& snapshot, double inbound, double outbound);
    void forgetRouter();
    void presentationChanged();

Q_SIGNALS:
    void tunnelsAsked(ui::TunnelFilter::Which which);
    void tunnelAsked(quint64 serial);
    void devicesAsked();
    void connectionsAsked();
    void networkAsked();
    void turnOnAsked(engine::net::VpnProtocol protocol);
    void stopAsked();

private:
    struct Attention {
        std::uint64_t key = 0;
        Meaning meaning = Meaning::Warning;
        QString text;
        QString action;
        std::uint64_t tunnel = 0;
        int protocol = -1;
        bool network = false;
    };
    struct AttentionLine {
        QWidget* row = nullptr;
        Badge* badge = nullptr;
        SafeLabel* text = nullptr;
        QPushButton* action = nullptr;
        QPushButton* hide = nullptr;
        Attention shown;
    };
    struct TunnelLine {
        QPushButton* button = nullptr;
        Badge* shape = nullptr;
        SafeLabel* word = nullptr;
        SafeLabel* name = nullptr;
        SafeLabel* second = nullptr;
        SafeLabel* rate = nullptr;
        Sparkline* spark = nullptr;
        std::uint64_t serial = 0;
    };
    void showAttention(const engine::Snapshot& snapshot);
    void showTunnels();
    [[nodiscard]] std::size_t linesThatFit() const;
    void showDevices();

    const Presentation& m_presentation;
    TunnelModel& m_tunnels;
    DeviceModel& m_devices;
    RouterState m_state;
    SafeLabel* m_sharing;
    SafeLabel* m_address;
    Badge* m_stateBadge;
    QPushButton* m_stop;
    Tile* m_tunnelTile;
    Tile* m_deviceTile;
    Tile* m_sessionTile;
    Tile* m_trafficTile;
    Card* m_attentionCard;
    SafeLabel* m_nothing;
    std::array<AttentionLine, 5> m_attention;
    std::array<TunnelLine, 12> m_lines;
    Card* m_tunnelCard;
    QScrollArea* m_area;
    SafeLabel* m_noTunnels;
    BarList* m_bars;
    SafeLabel* m_noDevices;
    ThroughputPlot* m_plot;
    std::set<std::uint64_t> m_hidden;
};

}  // namespace ui
