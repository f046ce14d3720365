#pragma once

#include "engine/snapshot.h"
#include "ui/models/row_model.h"
#include "ui/text/tunnel_words.h"
#include "ui/values/history.h"
#include "ui/values/presentation.h"

#include <QCoreApplication>

#include <map>

namespace ui {

/// Tunnels of the past, and on top those that still run.
class HistoryTunnelModel final : public RowModel<HistoryTunnel> {
    Q_DECLARE_TR_FUNCTIONS(HistoryTunnelModel)
    Q_DISABLE_COPY_MOVE(HistoryTunnelModel)

public:
    enum Column { Ended, Protocol, Device, Server, Passage, For, Total, Why, ColumnCount };
    HistoryTunnelModel(const Presentation& presentation, QObject* parent);
    void setRows(std::vector<HistoryTunnel> rows);
    void presentationChanged() { retell(); }
    /// What still runs is shown as it is now, not as the database last heard of it.
    void setSnapshot(const engine::Snapshot& snapshot);

protected:
    [[nodiscard]] Id idOf(const HistoryTunnel& row) const override { return row.serial; }
    [[nodiscard]] bool accepts(const HistoryTunnel& /*row*/) const override { return true; }
    [[nodiscard]] bool less(const HistoryTunnel& a, const HistoryTunnel& b,
                            int column) const override;
    [[nodiscard]] QString text(const HistoryTunnel& row, int column) const override;
    [[nodiscard]] QString sentence(const HistoryTunnel& row) const override;
    [[nodiscard]] QVariant extra(const HistoryTunnel& row, int column, int role) const override;
    [[nodiscard]] bool isNumber(int column) const override
    {
        return column == For || column == Total;
    }

private:
    [[nodiscard]] TunnelState stateOf(const HistoryTunnel& row) const;
    [[nodiscard]] engine::Duration spanOf(const HistoryTunnel& row) const;

    const Presentation& m_presentation;
    std::map<std::uint64_t, TunnelState> m_states;  ///< of what still runs, by row
};

/// Sessions that have ended.
class HistoryConnectionModel final : public RowModel<HistoryConnection> {
    Q_DECLARE_TR_FUNCTIONS(HistoryConnectionModel)
    Q_DISABLE_COPY_MOVE(HistoryConnectionModel)

public:
    enum Column { Ended, Protocol, Device, Remote, External, For, Inbound, Outbound, ColumnCount };
    HistoryConnectionModel(const Presentation& presentation, QObject* parent);
    void setRows(std::vector<HistoryConnection> rows) { replace(std::move(rows)); }
    void presentationChanged() { retell(); }

protected:
    [[nodiscard]] Id idOf(const HistoryConnection& row) const override { return row.serial; }
    [[nodiscard]] bool accepts(const HistoryConnection& /*row*/) const override { return true; }
    [[nodiscard]] bool less(const HistoryConnection& a, const HistoryConnection& b,
                            int column) const override;
    [[nodiscard]] QString text(const HistoryConnection& row, int column) const override;
    [[nodiscard]] QString sentence(const HistoryConnection& row) const override;
    [[nodiscard]] QVariant extra(const HistoryConnection& row, int column, int role) const override;
    [[nodiscard]] bool isNumber(int column) const override
    {
        return column == For || column == Inbound || column == Outbound;
    }

private:
    const Presentation& m_presentation;
};

}  // namespace ui
