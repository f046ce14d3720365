#pragma once

#include "engine/command.h"

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
    /// The same for as many sessions as the engine says that `command` would end: it is asked by
    /// concernAsked(). `words` is told the number; if there are none, `act` is called at once.
    void askExactly(const engine::Command& command, std::function<QString(int)> words,
                    std::function<void(engine::policy::OnLive)> act);
    /// The answer to concernAsked(); one to another question is none.
    void setConcerned(quint64 question, quint32 sessions);
    [[nodiscard]] bool isOpen() const { return static_cast<bool>(m_act); }
    void close();
    /// A number that no other question of this program has.
    [[nodiscard]] static quint64 nextNumber();

Q_SIGNALS:
    /// How many live sessions would this end?
    void concernAsked(quint64 question, const engine::Command& command);

private:
    void answer(engine::policy::OnLive onLive);

    /// A change that waits for the number of those it concerns; number 0: none does.
    struct Counting {
        quint64 number = 0;
        std::function<QString(int)> words;
        std::function<void(engine::policy::OnLive)> act;
    };
    Counting m_counting;

    InlineMessage* m_message;
    QPushButton* m_finish;
    std::function<void(engine::policy::OnLive)> m_act;
};

}  // namespace ui
