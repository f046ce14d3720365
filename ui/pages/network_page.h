#pragma once

#include "engine/nat/nat_config.h"
#include "engine/snapshot.h"
#include "ui/pages/page_frame.h"
#include "ui/values/presentation.h"

#include <array>

class QCheckBox;
class QComboBox;
class QSpinBox;

namespace ui {

/// "How does the translation behave?" A form: nothing happens before Apply.
class NetworkPage final : public PageFrame {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(NetworkPage)

public:
    NetworkPage(const Presentation& presentation, QWidget* parent);
    void setConfig(const engine::nat::NatConfig& config);
    void setSnapshot(const engine::Snapshot& snapshot);
    /// What the form says right now.
    [[nodiscard]] engine::nat::NatConfig edited() const;

Q_SIGNALS:
    void saved(const engine::nat::NatConfig& config);

private:
    void fill(const engine::nat::NatConfig& config);
    void check();

    struct Behaviours {
        QComboBox* mapping = nullptr;
        QComboBox* filtering = nullptr;
    };
    const Presentation& m_presentation;
    engine::nat::NatConfig m_config;
    std::array<Behaviours, 3> m_behaviours;
    std::array<QSpinBox*, 8> m_timers{};
    std::array<QSpinBox*, 3> m_limits{};
    QSpinBox* m_firstPort;
    QSpinBox* m_lastPort;
    std::array<QCheckBox*, 5> m_switches{};
    SafeLabel* m_facts;
    InlineMessage* m_problem;
    SafeLabel* m_changed;
    QPushButton* m_apply;
    QPushButton* m_revert;
    bool m_filling = false;
};

}  // namespace ui
