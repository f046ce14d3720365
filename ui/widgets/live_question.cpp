#include "ui/widgets/live_question.h"

#include "ui/widgets/building_blocks.h"

#include <utility>

namespace ui {

using engine::policy::OnLive;

LiveQuestion::LiveQuestion(QWidget* parent) : QWidget(parent), m_message(new InlineMessage(this))
{
    auto* column = new QVBoxLayout(this);
    column->setContentsMargins(0, 0, 0, 0);
    column->addWidget(m_message);
    m_finish = m_message->addAction(tr("Let them finish"));
    m_finish->setToolTip(tr("The rule holds for what begins from now on"));
    connect(m_finish, &QPushButton::clicked, this, [this] { answer(OnLive::Finish); });
    auto* end = m_message->addAction(tr("End them now"));
    connect(end, &QPushButton::clicked, this, [this] { answer(OnLive::Drop); });
    auto* leave = m_message->addAction(tr("Change nothing"));
    connect(leave, &QPushButton::clicked, this, &LiveQuestion::close);
    hide();
}

void LiveQuestion::ask(const QString& text, std::function<void(OnLive)> act)
{
    m_counting = {};
    m_act = std::move(act);
    m_message->say(Meaning::Warning, text);
    show();
    m_finish->setFocus(Qt::OtherFocusReason);
}

void LiveQuestion::askExactly(const engine::Command& command, std::function<QString(int)> words,
                              std::function<void(OnLive)> act)
{
    close();
    m_counting = {nextNumber(), std::move(words), std::move(act)};
    Q_EMIT concernAsked(m_counting.number, command);
}

void LiveQuestion::setConcerned(quint64 question, quint32 sessions)
{
    if (question != m_counting.number || question == 0) return;
    const Counting asked = std::exchange(m_counting, {});
    if (sessions == 0) {
        asked.act(OnLive::Drop);
    } else {
        ask(asked.words(static_cast<int>(sessions)), asked.act);
    }
}

quint64 LiveQuestion::nextNumber()
{
    static quint64 last = 0;
    return ++last;
}

void LiveQuestion::close()
{
    m_counting = {};
    m_act = nullptr;
    hide();
}

void LiveQuestion::answer(OnLive onLive)
{
    const auto act = std::exchange(m_act, nullptr);
    hide();
    if (act) act(onLive);
}

}  // namespace ui
