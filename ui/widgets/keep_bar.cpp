#include "ui/widgets/keep_bar.h"

#include <QTimer>

namespace ui {

KeepBar::KeepBar(const Format& format, QWidget* parent)
    : QWidget(parent),
      m_format(format),
      m_message(new InlineMessage(this)),
      m_timer(new QTimer(this))
{
    auto* column = new QVBoxLayout(this);
    column->setContentsMargins(0, kGapWide, 0, 0);
    column->addWidget(m_message);
    QPushButton* keep = m_message->addAction(tr("Keep"));
    keep->setAccessibleName(tr("Keep the new values"));
    QPushButton* revert = m_message->addAction(tr("Revert now"));
    revert->setAccessibleName(tr("Go back to the former values now"));
    connect(keep, &QPushButton::clicked, this, [this] {
        disarm();
        Q_EMIT kept();
    });
    connect(revert, &QPushButton::clicked, this, [this] {
        disarm();
        Q_EMIT revertAsked();
    });
    m_timer->setInterval(500);
    connect(m_timer, &QTimer::timeout, this, &KeepBar::tick);
    hide();
}

void KeepBar::arm(const QString& what, std::chrono::seconds time)
{
    m_what = what;
    m_until = QDateTime::currentDateTime().addMSecs(std::chrono::milliseconds(time).count());
    m_timer->start();
    show();
    tick();
}

void KeepBar::disarm()
{
    m_until = {};
    m_timer->stop();
    hide();
}

void KeepBar::tick()
{
    if (!isArmed()) return;
    const qint64 left = (QDateTime::currentDateTime().msecsTo(m_until) + 999) / 1000;
    if (left <= 0) {
        disarm();
        Q_EMIT revertAsked();
        return;
    }
    m_message->say(Meaning::Warning,
                   tr("%1 The former values come back in %2, unless you keep the new ones.")
                       .arg(m_what, m_format.duration(std::chrono::seconds(left))));
}

}  // namespace ui
