#pragma once

#include "engine/command.h"
#include "ui/models/device_model.h"
#include "ui/pages/page_frame.h"

class QSpinBox;
class QStackedWidget;

namespace ui {

class LiveQuestion;
class Table;

/// "Who is behind this computer, and what may they do?"
class DevicesPage final : public PageFrame {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(DevicesPage)

public:
    DevicesPage(const Presentation& presentation, DeviceModel& model, QWidget* parent);
    void snapshotShown();
    void setRules(const std::vector<engine::policy::DeviceRule>& rules);
    void setInternalInterface(const QString& name) { m_interface = name; }
    void showDevice(engine::net::Ipv4Address address);
    /// The answer to concernAsked().
    void setConcerned(quint64 question, quint32 sessions);
    [[nodiscard]] Table* table() { return m_table; }

Q_SIGNALS:
    void ruleSaved(const engine::policy::DeviceRule& rule, engine::policy::OnLive onLive);
    /// How many live sessions would this end?
    void concernAsked(quint64 question, const engine::Command& command);
    void renamed(engine::net::Ipv4Address address, const QString& name);
    void connectionsAsked(engine::net::Ipv4Address device);
    void tunnelsAsked(engine::net::Ipv4Address device);

private:
    void showSelected();
    void sayLimit();
    void saveRule(engine::policy::DeviceAccess access);

    const Presentation& m_presentation;
    DeviceModel& m_model;
    std::vector<engine::policy::DeviceRule> m_rules;
    QString m_interface;
    QStackedWidget* m_stack;
    EmptyState* m_empty;
    Table* m_table;
    Card* m_card;
    LiveQuestion* m_question;
    engine::net::Ipv4Address m_shown;
    QLineEdit* m_name;
    SafeLabel* m_address;
    SafeLabel* m_facts;
    SegmentedSwitch* m_access;
    SafeLabel* m_accessWords;
    QSpinBox* m_limit;
    SafeLabel* m_limitWords;
};

}  // namespace ui
