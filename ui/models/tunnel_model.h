#pragma once

#include "engine/snapshot.h"
#include "ui/models/row_model.h"
#include "ui/text/tunnel_words.h"
#include "ui/values/presentation.h"
#include "ui/values/tunnel_mark.h"

#include <QCoreApplication>
#include <QList>

#include <optional>

namespace ui {

/// A tunnel with what only comparing two snapshots shows.
struct TunnelRow {
    engine::tunnel::Tunnel tunnel;
    double rateOutbound = 0;  ///< octets per second
    double rateInbound = 0;
    QList<double> recent;     ///< both rates added, oldest first, one value a second
    engine::Instant sampled;  ///< of the newest value in `recent`
};

/// Which tunnels the page shows.
struct TunnelFilter {
    enum class Which : std::uint8_t { All, Live, NeedsLook, Over };
    Which which = Which::All;
    QString text;
    std::optional<engine::net::VpnProtocol> protocol;
    std::optional<engine::net::Ipv4Address> device;
    friend bool operator==(const TunnelFilter&, const TunnelFilter&) = default;
};

/// Live tunnels and those that ended less than a minute ago.
class TunnelModel final : public RowModel<TunnelRow> {
    Q_DECLARE_TR_FUNCTIONS(TunnelModel)
    Q_DISABLE_COPY_MOVE(TunnelModel)

public:
    enum Column {
        State,
        Protocol,
        Device,
        Server,
        Passage,
        For,
        LastPacket,
        Expires,
        RateNow,
        Total,
        External,
        Loss,
        ColumnCount,
    };

    TunnelModel(const Presentation& presentation, QObject* parent);

    void setSnapshot(const engine::Snapshot& snapshot);
    void setFilter(const TunnelFilter& filter);
    [[nodiscard]] const TunnelFilter& filter() const { return m_filter; }
    void presentationChanged() { retell(); }
    /// The user's own pins and notes.
    void setMarks(const TunnelMarks& marks);
    [[nodiscard]] TunnelMark markOf(const engine::tunnel::Tunnel& tunnel) const;
    enum class Grouping : std::uint8_t { None, Device, Protocol, Server };
    /// Equal ones stand together, whatever column sorts.
    void setGrouping(Grouping grouping);

    /// A live tunnel that somebody should look at: refused, failed, impaired, one way.
    [[nodiscard]] static bool needsLook(const engine::tunnel::Tunnel& tunnel, engine::Instant now);
    /// The busiest live tunnels, most active first.
    [[nodiscard]] std::vector<const TunnelRow*> busiest(std::size_t most) const;

protected:
    [[nodiscard]] Id idOf(const TunnelRow& row) const override { return row.tunnel.serial; }
    [[nodiscard]] bool accepts(const TunnelRow& row) const override;
    [[nodiscard]] bool less(const TunnelRow& a, const TunnelRow& b, int column) const override;
    [[nodiscard]] int rank(const TunnelRow& a, const TunnelRow& b) const override;
    [[nodiscard]] QString text(const TunnelRow& row, int column) const override;
    [[nodiscard]] QString sentence(const TunnelRow& row) const override;
    [[nodiscard]] QVariant extra(const TunnelRow& row, int column, int role) const override;
    [[nodiscard]] QString filterText(const TunnelRow& row, int column) const override;
    [[nodiscard]] bool isNumber(int column) const override;

private:
    [[nodiscard]] QString sinceText(engine::Instant at) const;

    const Presentation& m_presentation;
    TunnelFilter m_filter;
    TunnelMarks m_marks;
    Grouping m_grouping = Grouping::None;
    std::vector<TunnelRow> m_latest;  ///< also while frozen, so that rates go on
    engine::Instant m_latestAt;
};

}  // namespace ui
