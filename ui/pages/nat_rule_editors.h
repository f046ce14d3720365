#pragma once

#include "ui/models/nat_rule_models.h"
#include "ui/pages/rule_editors.h"

namespace ui {

/// The NAT type of some devices or ports. Nothing to edit yet: a new rule.
class NatTypeEditor final : public QDialog {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(NatTypeEditor)

public:
    using Rule = engine::nat::BehaviourException;
    NatTypeEditor(const Presentation& presentation, const std::optional<Rule>& rule,
                  std::vector<Rule> others, std::optional<engine::net::Prefix> internal,
                  QWidget* parent);

Q_SIGNALS:
    void saved(const engine::nat::BehaviourException& rule);

private:
    void check();
    /// The type follows the two behaviours.
    void showType();

    const Presentation& m_presentation;
    std::vector<Rule> m_others;
    std::optional<engine::net::Prefix> m_internal;
    Rule m_rule;
    DevicePicker* m_devices;
    QLineEdit* m_ports;
    QComboBox* m_type;
    SafeLabel* m_meaning;
    QComboBox* m_mapping;
    QComboBox* m_filtering;
    SafeLabel* m_details;
    InlineMessage* m_remark;
    QPushButton* m_save;
};

/// Destinations that are reached without translation. Nothing to edit yet: a new rule.
class UntranslatedEditor final : public QDialog {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(UntranslatedEditor)

public:
    using Rule = engine::nat::Untranslated;
    UntranslatedEditor(const std::optional<Rule>& rule, std::vector<Rule> others,
                       std::optional<engine::net::Prefix> internal, QWidget* parent);

Q_SIGNALS:
    void saved(const engine::nat::Untranslated& rule);

private:
    void check();

    std::vector<Rule> m_others;
    std::optional<engine::net::Prefix> m_internal;
    Rule m_rule;
    QLineEdit* m_destinations;
    QLineEdit* m_ports;
    InlineMessage* m_remark;
    QPushButton* m_save;
};

}  // namespace ui
