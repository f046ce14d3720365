#pragma once

#include "engine/policy/passthrough_policy.h"

#include <QWidget>

#include <functional>

class QPushButton;

namespace ui {

class InlineMessage;

/// Asked before a rule takes something away from live sessions, beside the rule: what ends cannot
/// be undone. Hidden until there is a question; a new one takes the place of an open one, which is
/// then answered by doing nothing.
class LiveQuestion final : public QWidget {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(LiveQuestion)

public:
    explicit LiveQuestion(QWidget* parent);
    /// `act` is called with Drop or Finish, or not at all.
    void ask(const QString& text, std::function<void(engine::policy::OnLive)> act);
    [[nodiscard]] bool isOpen() const { return static_cast<bool>(m_act); }
    void close();

private:
    void answer(engine::policy::OnLive onLive);

    InlineMessage* m_message;
    QPushButton* m_finish;
    std::function<void(engine::policy::OnLive)> m_act;
};

}  // namespace ui
