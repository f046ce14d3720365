#pragma once

#include "engine/command.h"
#include "engine/snapshot.h"
#include "ui/pages/page_frame.h"
#include "ui/values/presentation.h"

#include <array>
#include <optional>
#include <vector>

class QCheckBox;
class QComboBox;
class QSpinBox;
class QTimer;

namespace ui {

class NatRuleCards;

/// "How does the translation behave?" A form: nothing happens before Apply.
class NetworkPage final : public PageFrame {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(NetworkPage)

public:
    NetworkPage(const Presentation& presentation, QWidget* parent);
    void setConfig(const engine::nat::NatConfig& config);
    void setSnapshot(const engine::Snapshot& snapshot);
    void presentationChanged();
    /// While it matters which live sessions a change of the rules is about.
    [[nodiscard]] bool wantsSessions() const;
    void setSessions(const std::vector<engine::SessionRecord>& sessions);
    /// The answer to concernAsked().
    void setConcerned(quint64 question, quint32 sessions);
    /// What the form says right now.
    [[nodiscard]] engine::nat::NatConfig edited() const;

Q_SIGNALS:
    void saved(const engine::nat::NatConfig& config);
    void sessionCloseAsked(quint64 serial);
    /// How many live sessions would this end?
    void concernAsked(quint64 question, const engine::Command& command);

private:
    void fill(const engine::nat::NatConfig& config);
    void check();
    void apply();
    void endTouched();
    void askExpiry();
    void sayLive();

    struct Behaviours {
        QComboBox* mapping = nullptr;
        QComboBox* filtering = nullptr;
    };
    const Presentation& m_presentation;
    engine::nat::NatConfig m_config;
    /// What was in force before the last Apply, as long as sessions of that time can be ended.
    std::optional<engine::nat::NatConfig> m_former;
    engine::Instant m_appliedAt;
    std::vector<quint64> m_touched;     ///< live sessions that began under the former rules
    QTimer* m_asking;                   ///< until what is typed stands still
    quint64 m_asked = 0;                ///< the question that is open; 0: none
    int m_expiring = 0;                 ///< live sessions that the timers of the form would end
    std::vector<std::uint32_t> m_held;  ///< how many sessions each device has
    std::array<Behaviours, 3> m_behaviours;
    std::array<QSpinBox*, 8> m_timers{};
    std::array<QSpinBox*, 3> m_limits{};
    QSpinBox* m_firstPort;
    QSpinBox* m_lastPort;
    std::array<QCheckBox*, 6> m_switches{};
    QComboBox* m_pings;
    SafeLabel* m_facts;
    NatRuleCards* m_rules;
    InlineMessage* m_problem;
    InlineMessage* m_live;  ///< what a change means for live sessions
    QPushButton* m_endTouched;
    SafeLabel* m_changed;
    QPushButton* m_apply;
    QPushButton* m_revert;
    bool m_filling = false;
};

}  // namespace ui
