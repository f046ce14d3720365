#pragma once

#include "engine/tunnel/tunnel.h"
#include "ui/values/presentation.h"

#include <QAbstractListModel>
#include <QCoreApplication>

namespace ui {

/// What has happened to one tunnel, oldest first. The painted lanes and the list for screen readers
/// are two views of it.
class TimelineModel final : public QAbstractListModel {
    Q_DECLARE_TR_FUNCTIONS(TimelineModel)
    Q_DISABLE_COPY_MOVE(TimelineModel)

public:
    TimelineModel(const Presentation& presentation, QObject* parent);

    /// The same tunnel again adds what is new; another one starts over.
    void setTunnel(const engine::tunnel::Tunnel& tunnel);
    [[nodiscard]] const engine::tunnel::TimelineEvent& eventAt(int row) const
    {
        return m_events[static_cast<std::size_t>(row)];
    }
    /// "+1.2 s" after the tunnel's first packet.
    [[nodiscard]] QString offsetAt(int row) const;
    [[nodiscard]] QString sentenceAt(int row) const;

    [[nodiscard]] int rowCount(const QModelIndex& parent = {}) const override;
    [[nodiscard]] QVariant data(const QModelIndex& index, int role) const override;

private:
    const Presentation& m_presentation;
    std::uint64_t m_serial = 0;
    engine::net::VpnProtocol m_protocol = engine::net::VpnProtocol::Pptp;
    engine::Instant m_started;
    std::vector<engine::tunnel::TimelineEvent> m_events;
};

}  // namespace ui
