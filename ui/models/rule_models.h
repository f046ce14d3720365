#pragma once

#include "engine/command.h"
#include "engine/snapshot.h"
#include "ui/models/row_model.h"
#include "ui/values/presentation.h"
#include "ui/values/rule_set.h"

#include <QCoreApplication>

#include <optional>

namespace ui {

struct PortForwardRow {
    engine::policy::PortForward forward;
    std::uint64_t hits = 0;
    std::uint32_t liveSessions = 0;
    QString conflict;  ///< with another forward, with the host or the network, in a sentence
};

/// The user's port forwards with what they have let in.
class PortForwardModel final : public RowModel<PortForwardRow> {
    Q_DECLARE_TR_FUNCTIONS(PortForwardModel)
    Q_DISABLE_COPY_MOVE(PortForwardModel)

public:
    enum Column { State, Name, Protocol, External, To, From, Hits, Live, ColumnCount };
    PortForwardModel(const Presentation& presentation, QObject* parent);
    void setForwards(const std::vector<engine::policy::PortForward>& forwards);
    void setSnapshot(const engine::Snapshot& snapshot);
    void presentationChanged() { retell(); }

    /// The enabled forward, other than one with the same id, that claims a port of this one.
    [[nodiscard]] static const engine::policy::PortForward* conflictOf(
        const engine::policy::PortForward& forward,
        const std::vector<engine::policy::PortForward>& among);

protected:
    [[nodiscard]] Id idOf(const PortForwardRow& row) const override { return row.forward.id; }
    [[nodiscard]] bool accepts(const PortForwardRow& /*row*/) const override { return true; }
    [[nodiscard]] bool less(const PortForwardRow& a, const PortForwardRow& b,
                            int column) const override;
    [[nodiscard]] QString text(const PortForwardRow& row, int column) const override;
    [[nodiscard]] QString sentence(const PortForwardRow& row) const override;
    [[nodiscard]] QVariant extra(const PortForwardRow& row, int column, int role) const override;
    [[nodiscard]] bool isNumber(int column) const override
    {
        return column == Hits || column == Live;
    }

private:
    void rebuild();
    const Presentation& m_presentation;
    std::vector<engine::policy::PortForward> m_forwards;
    std::vector<engine::PortForwardStatus> m_status;
};

/// 1:1 NAT rules.
class OneToOneModel final : public RowModel<engine::policy::OneToOne> {
    Q_DECLARE_TR_FUNCTIONS(OneToOneModel)
    Q_DISABLE_COPY_MOVE(OneToOneModel)

public:
    enum Column { State, Name, Internal, External, ColumnCount };
    OneToOneModel(const Presentation& presentation, QObject* parent);
    void setRules(std::vector<engine::policy::OneToOne> rules) { replace(std::move(rules)); }

protected:
    [[nodiscard]] Id idOf(const engine::policy::OneToOne& row) const override { return row.id; }
    [[nodiscard]] bool accepts(const engine::policy::OneToOne& /*row*/) const override
    {
        return true;
    }
    [[nodiscard]] bool less(const engine::policy::OneToOne& a, const engine::policy::OneToOne& b,
                            int column) const override;
    [[nodiscard]] QString text(const engine::policy::OneToOne& row, int column) const override;
    [[nodiscard]] QString sentence(const engine::policy::OneToOne& row) const override;
    [[nodiscard]] QVariant extra(const engine::policy::OneToOne& row, int column,
                                 int role) const override;

private:
    const Presentation& m_presentation;
};

/// What is wrong with a forward that the user is typing; nothing if it can be sent.
[[nodiscard]] std::optional<engine::CommandError> problemOf(
    const engine::policy::PortForward& forward,
    const std::vector<engine::policy::PortForward>& others,
    const std::optional<engine::net::Prefix>& internal);

}  // namespace ui
