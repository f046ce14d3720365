#pragma once

#include "engine/snapshot.h"
#include "ui/values/host_setting.h"
#include "ui/widgets/building_blocks.h"

#include <QWidget>

namespace ui {

/// What of this computer is held for sharing, each with how it was before, and the button that
/// gives it back. It asks first, because that ends the sharing.
class HostCard final : public QWidget {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(HostCard)

public:
    explicit HostCard(QWidget* parent);
    void setHoldings(const HostHoldings& holdings);
    /// What would stop. Nothing runs: an empty one.
    void setSnapshot(const engine::Snapshot& snapshot);

Q_SIGNALS:
    void restoreAsked();

private:
    void ask();
    void leaveQuestion();
    void showRows();

    HostHoldings m_holdings;
    int m_devices = 0;
    int m_sessions = 0;
    int m_tunnels = 0;
    Card* m_card;
    SafeLabel* m_words;
    QWidget* m_rows = nullptr;
    QPushButton* m_restore;
    InlineMessage* m_question;
    QPushButton* m_leave;
};

}  // namespace ui
