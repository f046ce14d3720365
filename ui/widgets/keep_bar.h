#pragma once

#include "ui/format/format.h"
#include "ui/widgets/building_blocks.h"

#include <QDateTime>

class QTimer;

namespace ui {

/// After a change that may lock somebody out: counts down in words, and takes the change back
/// unless it is kept. Stands above every page.
class KeepBar final : public QWidget {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(KeepBar)

public:
    KeepBar(const Format& format, QWidget* parent);
    /// `what` is in force since now. A second change keeps the time of the first one's way back
    /// fresh, but the way back itself is the caller's.
    void arm(const QString& what, std::chrono::seconds time);
    [[nodiscard]] bool isArmed() const { return m_until.isValid(); }

Q_SIGNALS:
    void kept();
    void revertAsked();

private:
    void tick();
    void disarm();

    const Format& m_format;
    QString m_what;
    QDateTime m_until;
    InlineMessage* m_message;
    QTimer* m_timer;
};

}  // namespace ui
