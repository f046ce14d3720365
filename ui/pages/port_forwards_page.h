#pragma once

#include "engine/command.h"
#include "ui/models/rule_models.h"
#include "ui/pages/page_frame.h"

#include <functional>

class QStackedWidget;

namespace ui {

class DevicePicker;
class LiveQuestion;
class Table;

/// "What may come in?"
class PortForwardsPage final : public PageFrame {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(PortForwardsPage)

public:
    PortForwardsPage(const Presentation& presentation, QWidget* parent);
    void setRules(const RuleSet& rules);
    void setSnapshot(const engine::Snapshot& snapshot);
    /// The answer to concernAsked().
    void setConcerned(quint64 question, quint32 sessions);
    void presentationChanged();
    [[nodiscard]] Table* table() { return m_table; }
    /// Opens the editor; a forward with id 0 is a new one.
    void edit(const engine::policy::PortForward& forward);

Q_SIGNALS:
    void forwardSaved(const engine::policy::PortForward& forward, engine::policy::OnLive onLive);
    void forwardRemoved(quint32 id, engine::policy::OnLive onLive);
    void oneToOneSaved(const engine::policy::OneToOne& rule, engine::policy::OnLive onLive);
    void oneToOneRemoved(quint32 id, engine::policy::OnLive onLive);
    void exposedHostChanged(engine::net::Ipv4Address address, engine::policy::OnLive onLive);
    /// How many live sessions would this end?
    void concernAsked(quint64 question, const engine::Command& command);

private:
    void updateButtons();
    void save(const engine::policy::PortForward& forward);
    void remove();
    void saveOneToOne(const engine::policy::OneToOne& rule);
    void removeOneToOne();
    void expose(engine::net::Ipv4Address address);
    void editOneToOne(const engine::policy::OneToOne& rule);

    const Presentation& m_presentation;
    PortForwardModel* m_model;
    LiveQuestion* m_question;
    OneToOneModel* m_oneToOnes;
    RuleSet m_rules;
    std::optional<engine::net::Prefix> m_internal;
    std::vector<engine::net::Ipv4Address> m_externalAddresses;
    QStackedWidget* m_stack;
    EmptyState* m_empty;
    Table* m_table;
    Table* m_oneToOneTable;
    SafeLabel* m_noOneToOnes;
    QPushButton* m_edit;
    QPushButton* m_toggle;
    QPushButton* m_remove;
    QPushButton* m_addOneToOne;
    QPushButton* m_removeOneToOne;
    DevicePicker* m_exposed;
    SafeLabel* m_exposedNow;
    QPushButton* m_expose;
    QPushButton* m_unexpose;
};

}  // namespace ui
