#pragma once

#include "engine/policy/rules.h"
#include "engine/snapshot.h"
#include "ui/models/row_model.h"
#include "ui/values/presentation.h"

#include <QCoreApplication>

#include <optional>

namespace ui {

struct DeviceRow {
    engine::DeviceStatus status;
    engine::policy::DeviceAccess access = engine::policy::DeviceAccess::Allow;
    std::optional<std::uint32_t> sessionLimit;
    double rateOutbound = 0;
    double rateInbound = 0;
};

/// Devices behind this computer, whether or not they are there right now.
class DeviceModel final : public RowModel<DeviceRow> {
    Q_DECLARE_TR_FUNCTIONS(DeviceModel)
    Q_DISABLE_COPY_MOVE(DeviceModel)

public:
    enum Column {
        Device,
        Hardware,
        Access,
        Tunnels,
        Sessions,
        RateNow,
        Total,
        Refused,
        LastSeen,
        ColumnCount
    };

    DeviceModel(const Presentation& presentation, QObject* parent);

    void setSnapshot(const engine::Snapshot& snapshot);
    void setRules(std::vector<engine::policy::DeviceRule> rules);
    void setText(const QString& text);
    void presentationChanged() { retell(); }
    /// Most active first.
    [[nodiscard]] std::vector<const DeviceRow*> busiest(std::size_t most) const;
    /// Devices that nobody has seen today before.
    [[nodiscard]] int newToday() const;

protected:
    [[nodiscard]] Id idOf(const DeviceRow& row) const override
    {
        return row.status.address.hostOrder();
    }
    [[nodiscard]] bool accepts(const DeviceRow& row) const override;
    [[nodiscard]] bool less(const DeviceRow& a, const DeviceRow& b, int column) const override;
    [[nodiscard]] QString text(const DeviceRow& row, int column) const override;
    [[nodiscard]] QString sentence(const DeviceRow& row) const override;
    [[nodiscard]] QVariant extra(const DeviceRow& row, int column, int role) const override;
    [[nodiscard]] bool isNumber(int column) const override;

private:
    void rebuild();

    const Presentation& m_presentation;
    std::vector<DeviceRow> m_latest;  ///< by address
    std::vector<engine::policy::DeviceRule> m_rules;
    engine::Instant m_latestAt;
    QString m_text;
};

}  // namespace ui
