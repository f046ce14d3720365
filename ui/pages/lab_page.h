#pragma once

#include "ui/models/lab_models.h"
#include "ui/pages/page_frame.h"

class QProgressBar;
class QStackedWidget;

namespace ui {

class Table;

/// "What does the router do when …?" Choose a story of the lab, watch it, see what it proves.
class LabPage final : public PageFrame {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(LabPage)

public:
    LabPage(const Presentation& presentation, QWidget* parent);
    void setScenarios(const std::vector<LabScenario>& scenarios);
    void setStatus(const LabStatus& status);
    void presentationChanged();
    [[nodiscard]] const std::vector<LabScenario>& scenarios() const { return m_known; }
    [[nodiscard]] Table* scenarioTable() { return m_table; }
    [[nodiscard]] Table* claimTable() { return m_claimTable; }

Q_SIGNALS:
    void playAsked(const QString& scenario, ui::LabRules rules);
    void speedAsked(int times);

private:
    void buildPlaying();
    void playSelected();
    void showStatus();
    void updateEmpty();

    const Presentation& m_presentation;
    std::vector<LabScenario> m_known;
    LabStatus m_status;
    ScenarioModel* m_scenarios;
    ClaimModel* m_claims;
    QPushButton* m_play;
    QStackedWidget* m_stack;
    Table* m_table;
    EmptyState* m_empty;
    Card* m_playing;
    Badge* m_badge;
    SafeLabel* m_name;
    SafeLabel* m_lesson;
    QProgressBar* m_progress;
    SafeLabel* m_time;
    SegmentedSwitch* m_speed;
    QPushButton* m_restart;
    InlineMessage* m_changed;
    SafeLabel* m_summary;
    Table* m_claimTable;
};

}  // namespace ui
