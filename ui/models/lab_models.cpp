#include "ui/models/lab_models.h"

#include "ui/text/filter_words.h"

#include <algorithm>

namespace ui {

namespace {

struct VerdictLook {
    Shape shape;
    Meaning meaning;
};

VerdictLook lookOf(LabVerdict verdict)
{
    switch (verdict) {
    case LabVerdict::NotPlayed: return {Shape::Ring, Meaning::Neutral};
    case LabVerdict::Playing: return {Shape::Dots, Meaning::Accent};
    case LabVerdict::Held: return {Shape::Disc, Meaning::Good};
    case LabVerdict::Failed: return {Shape::Cross, Meaning::Bad};
    }
    return {Shape::Ring, Meaning::Neutral};
}

/// Before the end a claim that does not hold may still come true.
VerdictLook lookOf(const ClaimRow& row)
{
    if (row.claim.holds) return {Shape::Disc, Meaning::Good};
    return row.over ? VerdictLook{Shape::Cross, Meaning::Bad}
                    : VerdictLook{Shape::Dots, Meaning::Neutral};
}

}  // namespace

ScenarioModel::ScenarioModel(const Presentation& presentation, QObject* parent)
    : RowModel({tr("Scenario"), tr("What it shows"), tr("Length"), tr("Result")}, parent),
      m_presentation(presentation)
{}

void ScenarioModel::setScenarios(const std::vector<LabScenario>& scenarios)
{
    std::vector<ScenarioRow> rows;
    for (const LabScenario& scenario : scenarios)
        rows.push_back({scenarios.size() - rows.size(), scenario, LabVerdict::NotPlayed});
    replace(std::move(rows));
}

void ScenarioModel::setStatus(const LabStatus& status)
{
    std::vector<ScenarioRow> rows = all();
    bool changed = false;
    for (ScenarioRow& row : rows) {
        LabVerdict verdict = row.verdict;
        if (row.scenario.name != status.scenario) {
            if (verdict == LabVerdict::Playing) verdict = LabVerdict::NotPlayed;
        } else if (!status.over) {
            verdict = LabVerdict::Playing;
        } else {
            verdict = std::all_of(status.claims.begin(), status.claims.end(),
                                  [](const LabClaim& claim) { return claim.holds; })
                          ? LabVerdict::Held
                          : LabVerdict::Failed;
        }
        changed = changed || verdict != row.verdict;
        row.verdict = verdict;
    }
    if (changed) replace(std::move(rows));
}

void ScenarioModel::setText(const QString& text)
{
    if (text == m_text) return;
    m_text = text;
    refilter();
}

ScenarioModel::Id ScenarioModel::idOfName(const QString& name) const
{
    const auto found = std::find_if(all().begin(), all().end(), [&](const ScenarioRow& row) {
        return row.scenario.name == name;
    });
    return found == all().end() ? 0 : found->id;
}

QString ScenarioModel::wordOf(LabVerdict verdict)
{
    switch (verdict) {
    case LabVerdict::NotPlayed: return tr("Not played");
    case LabVerdict::Playing: return tr("Playing");
    case LabVerdict::Held: return tr("All claims hold");
    case LabVerdict::Failed: return tr("Claims fail");
    }
    return {};
}

bool ScenarioModel::accepts(const ScenarioRow& row) const
{
    const auto words = filterWords(m_text);
    return std::all_of(words.begin(), words.end(), [&](const FilterWord& word) {
        const bool has = row.scenario.name.contains(word.text, Qt::CaseInsensitive) ||
                         row.scenario.lesson.contains(word.text, Qt::CaseInsensitive) ||
                         wordOf(row.verdict).contains(word.text, Qt::CaseInsensitive);
        return has != word.excluded;
    });
}

bool ScenarioModel::less(const ScenarioRow& a, const ScenarioRow& b, int column) const
{
    if (column == Length) return a.scenario.length < b.scenario.length;
    if (column == Result) return a.verdict < b.verdict;
    return text(a, column).localeAwareCompare(text(b, column)) < 0;
}

QString ScenarioModel::text(const ScenarioRow& row, int column) const
{
    switch (static_cast<Column>(column)) {
    case Name: return row.scenario.name;
    case Lesson: return row.scenario.lesson;
    case Length: return m_presentation.format.duration(row.scenario.length);
    case Result: return wordOf(row.verdict);
    case ColumnCount: break;
    }
    return {};
}

QString ScenarioModel::sentence(const ScenarioRow& row) const
{
    return tr("%1: %2 %3, %4")
        .arg(row.scenario.name, row.scenario.lesson,
             m_presentation.format.duration(row.scenario.length), wordOf(row.verdict));
}

QVariant ScenarioModel::extra(const ScenarioRow& row, int column, int role) const
{
    if (column == Result && role == ShapeRole) return static_cast<int>(lookOf(row.verdict).shape);
    if (column == Result && role == MeaningRole)
        return static_cast<int>(lookOf(row.verdict).meaning);
    if (column == Lesson && role == Qt::ToolTipRole) return row.scenario.lesson;
    return {};
}

ClaimModel::ClaimModel(QObject* parent)
    : RowModel({tr("State"), tr("What must hold"), tr("Seen")}, parent)
{}

void ClaimModel::setStatus(const LabStatus& status)
{
    std::vector<ClaimRow> rows;
    for (const LabClaim& claim : status.claims)
        rows.push_back({rows.size() + 1, claim, status.over});
    const auto same = [](const ClaimRow& a, const ClaimRow& b) {
        return a.claim == b.claim && a.over == b.over;
    };
    if (!std::equal(rows.begin(), rows.end(), all().begin(), all().end(), same))
        replace(std::move(rows));
}

bool ClaimModel::less(const ClaimRow& a, const ClaimRow& b, int column) const
{
    return text(a, column).localeAwareCompare(text(b, column)) < 0;
}

QString ClaimModel::text(const ClaimRow& row, int column) const
{
    switch (static_cast<Column>(column)) {
    case State:
        if (row.claim.holds) return row.over ? tr("Holds") : tr("Holds so far");
        return row.over ? tr("Fails") : tr("Not yet");
    case What: return row.claim.what;
    case Detail: return row.claim.detail;
    case ColumnCount: break;
    }
    return {};
}

QString ClaimModel::sentence(const ClaimRow& row) const
{
    const QString claim = text(row, State) + QStringLiteral(": ") + row.claim.what;
    return row.claim.detail.isEmpty() ? claim : claim + QStringLiteral("; ") + row.claim.detail;
}

QVariant ClaimModel::extra(const ClaimRow& row, int column, int role) const
{
    if (column == State && role == ShapeRole) return static_cast<int>(lookOf(row).shape);
    if (column == State && role == MeaningRole) return static_cast<int>(lookOf(row).meaning);
    if (column == What && role == Qt::ToolTipRole) return row.claim.what;
    return {};
}

int ClaimModel::rank(const ClaimRow& a, const ClaimRow& b) const
{
    return a.claim.holds == b.claim.holds ? 0 : a.claim.holds ? 1 : -1;
}

}  // namespace ui
