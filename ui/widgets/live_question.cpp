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
    m_act = std::move(act);
    m_message->say(Meaning::Warning, text);
    show();
    m_finish->setFocus(Qt::OtherFocusReason);
}

void LiveQuestion::close()
{
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
