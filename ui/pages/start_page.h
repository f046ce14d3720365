#pragma once

#include "ui/values/interface_choice.h"
#include "ui/values/router_state.h"
#include "ui/widgets/building_blocks.h"

#include <vector>

class QButtonGroup;
class QStackedWidget;

namespace ui {

/// Shown while nothing is shared: choose the two cards, or look at the lab.
class StartPage final : public QWidget {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(StartPage)

public:
    explicit StartPage(QWidget* parent);
    void setRouterState(const RouterState& state);
    void setInterfaces(const std::vector<InterfaceChoice>& interfaces);
    [[nodiscard]] QPushButton* startButton() { return m_start; }

Q_SIGNALS:
    void startAsked(const QString& internal, const QString& external);
    void labAsked();
    void serviceAsked();
    /// A service that has denied us may let us in now.
    void attachAsked();
    void lookAgainAsked();

private:
    struct Side {
        QVBoxLayout* cards = nullptr;
        SafeLabel* beyond = nullptr;
        QButtonGroup* group = nullptr;
        QList<QPushButton*> buttons;
    };
    QWidget* makeSide(Side& side, const QString& title, const QString& words, QWidget* parent);
    void fill(Side& side, bool external);
    [[nodiscard]] QString chosen(const Side& side) const;
    void showState();

    RouterState m_state;
    std::vector<InterfaceChoice> m_interfaces;
    InlineMessage* m_message;
    QPushButton* m_again;
    QPushButton* m_copy;
    QWidget* m_choice;
    Side m_external;
    Side m_internal;
    SafeLabel* m_problem;
    QPushButton* m_start;
    QPushButton* m_service;
    SafeLabel* m_consequences;
};

}  // namespace ui
