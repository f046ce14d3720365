#pragma once

#include "engine/nat/nat_config.h"
#include "engine/snapshot.h"
#include "ui/models/row_model.h"
#include "ui/theme/theme.h"
#include "ui/values/presentation.h"

#include <QCoreApplication>

#include <optional>
#include <vector>

namespace ui {

/// What can be said about a rule that somebody is typing. Only what is Bad cannot be saved.
struct RuleRemark {
    Meaning meaning = Meaning::Neutral;
    QString text;
};

/// A rule and what is to be said about it beside the others; the place counts from 1.
template <typename Rule>
struct PlacedRule {
    Rule rule;
    std::uint64_t place = 0;
    RuleRemark remark;
};

using NatTypeRow = PlacedRule<engine::nat::BehaviourException>;
using UntranslatedRow = PlacedRule<engine::nat::Untranslated>;

/// Devices and ports whose NAT type is another, in the order in which they are asked.
class NatTypeModel final : public RowModel<NatTypeRow> {
    Q_DECLARE_TR_FUNCTIONS(NatTypeModel)
    Q_DISABLE_COPY_MOVE(NatTypeModel)

public:
    enum Column { Type, Devices, Ports, Mapping, Filtering, ColumnCount };
    NatTypeModel(const Presentation& presentation, QObject* parent);
    void setRules(const std::vector<engine::nat::BehaviourException>& rules,
                  const std::optional<engine::net::Prefix>& internal);

protected:
    [[nodiscard]] Id idOf(const NatTypeRow& row) const override { return row.place; }
    [[nodiscard]] bool accepts(const NatTypeRow& /*row*/) const override { return true; }
    [[nodiscard]] bool less(const NatTypeRow& a, const NatTypeRow& b, int column) const override;
    [[nodiscard]] QString text(const NatTypeRow& row, int column) const override;
    [[nodiscard]] QString sentence(const NatTypeRow& row) const override;
    [[nodiscard]] QVariant extra(const NatTypeRow& row, int column, int role) const override;
    /// The first that matches wins, so the first stands on top.
    [[nodiscard]] int rank(const NatTypeRow& a, const NatTypeRow& b) const override
    {
        return a.place < b.place ? -1 : 1;
    }

private:
    const Presentation& m_presentation;
};

/// Destinations that are reached without translation.
class UntranslatedModel final : public RowModel<UntranslatedRow> {
    Q_DECLARE_TR_FUNCTIONS(UntranslatedModel)
    Q_DISABLE_COPY_MOVE(UntranslatedModel)

public:
    enum Column { Destinations, Ports, Remark, ColumnCount };
    explicit UntranslatedModel(QObject* parent);
    void setRules(const std::vector<engine::nat::Untranslated>& rules,
                  const std::optional<engine::net::Prefix>& internal);

protected:
    [[nodiscard]] Id idOf(const UntranslatedRow& row) const override { return row.place; }
    [[nodiscard]] bool accepts(const UntranslatedRow& /*row*/) const override { return true; }
    [[nodiscard]] bool less(const UntranslatedRow& a, const UntranslatedRow& b,
                            int column) const override;
    [[nodiscard]] QString text(const UntranslatedRow& row, int column) const override;
    [[nodiscard]] QString sentence(const UntranslatedRow& row) const override;
    [[nodiscard]] QVariant extra(const UntranslatedRow& row, int column, int role) const override;
};

/// "all ports", "3074", "5000–5010".
[[nodiscard]] QString portsWord(const engine::net::PortRange& ports);
/// The device's name with its address, or the network.
[[nodiscard]] QString devicesWord(const Presentation& presentation,
                                  const engine::net::Prefix& devices);

/// `others` does not hold the rule itself.
[[nodiscard]] RuleRemark remarkOn(const Presentation& presentation,
                                  const engine::nat::BehaviourException& rule,
                                  const std::vector<engine::nat::BehaviourException>& others,
                                  const std::optional<engine::net::Prefix>& internal);
[[nodiscard]] RuleRemark remarkOn(const engine::nat::Untranslated& rule,
                                  const std::vector<engine::nat::Untranslated>& others,
                                  const std::optional<engine::net::Prefix>& internal);

/// Whether a session would begin in another way under the second rules than under the first.
[[nodiscard]] bool isTouched(const engine::SessionRecord& session,
                             const engine::nat::NatConfig& before,
                             const engine::nat::NatConfig& after);

}  // namespace ui
