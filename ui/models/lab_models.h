#pragma once

#include "ui/models/row_model.h"
#include "ui/values/lab.h"
#include "ui/values/presentation.h"

#include <QCoreApplication>

#include <map>
#include <vector>

namespace ui {

/// How a scenario has ended when it was played last.
enum class LabVerdict : std::uint8_t { NotPlayed, Playing, Held, Failed };

struct ScenarioRow {
    std::uint64_t id = 0;  ///< the first has the highest: unsorted, that one stands on top
    LabScenario scenario;
    LabVerdict verdict = LabVerdict::NotPlayed;
};

/// The scenarios that there are, in the order of the lab.
class ScenarioModel final : public RowModel<ScenarioRow> {
    Q_DECLARE_TR_FUNCTIONS(ScenarioModel)
    Q_DISABLE_COPY_MOVE(ScenarioModel)

public:
    enum Column { Name, Lesson, Length, Result, ColumnCount };
    ScenarioModel(const Presentation& presentation, QObject* parent);
    void setScenarios(const std::vector<LabScenario>& scenarios);
    /// What the lab plays now; a story that is over keeps its verdict.
    void setStatus(const LabStatus& status);
    void setText(const QString& text);
    void presentationChanged() { retell(); }
    /// 0: no such scenario.
    [[nodiscard]] Id idOfName(const QString& name) const;
    [[nodiscard]] static QString wordOf(LabVerdict verdict);

protected:
    [[nodiscard]] Id idOf(const ScenarioRow& row) const override { return row.id; }
    [[nodiscard]] bool accepts(const ScenarioRow& row) const override;
    [[nodiscard]] bool less(const ScenarioRow& a, const ScenarioRow& b, int column) const override;
    [[nodiscard]] QString text(const ScenarioRow& row, int column) const override;
    [[nodiscard]] QString sentence(const ScenarioRow& row) const override;
    [[nodiscard]] QVariant extra(const ScenarioRow& row, int column, int role) const override;
    [[nodiscard]] bool isNumber(int column) const override { return column == Length; }

private:
    const Presentation& m_presentation;
    QString m_text;
};

struct ClaimRow {
    std::uint64_t place = 0;  ///< the scenario's own claims come last, and so stand on top
    LabClaim claim;
    bool over = false;
};

/// What must hold in the scenario that is played, and whether it does.
class ClaimModel final : public RowModel<ClaimRow> {
    Q_DECLARE_TR_FUNCTIONS(ClaimModel)
    Q_DISABLE_COPY_MOVE(ClaimModel)

public:
    enum Column { State, What, Detail, ColumnCount };
    explicit ClaimModel(QObject* parent);
    void setStatus(const LabStatus& status);

protected:
    [[nodiscard]] Id idOf(const ClaimRow& row) const override { return row.place; }
    [[nodiscard]] bool accepts(const ClaimRow& /*row*/) const override { return true; }
    [[nodiscard]] bool less(const ClaimRow& a, const ClaimRow& b, int column) const override;
    [[nodiscard]] QString text(const ClaimRow& row, int column) const override;
    [[nodiscard]] QString sentence(const ClaimRow& row) const override;
    [[nodiscard]] QVariant extra(const ClaimRow& row, int column, int role) const override;
    /// What does not hold stands on top.
    [[nodiscard]] int rank(const ClaimRow& a, const ClaimRow& b) const override;
};

}  // namespace ui
