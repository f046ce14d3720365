#pragma once

#include "engine/command.h"
#include "engine/snapshot.h"
#include "ui/pages/page_frame.h"
#include "ui/values/presentation.h"

#include <array>

class QTimer;
class QScrollArea;

namespace ui {

/// One protocol: what the router does for it, whether it may pass, and proof that it works.
class PassthroughCard final : public QFrame {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(PassthroughCard)

public:
    PassthroughCard(const Presentation& presentation, engine::net::VpnProtocol protocol,
                    QWidget* parent);
    /// `held` are the devices whose tunnels are held right now.
    void setStatus(const engine::ProtocolStatus& status, const QStringList& held,
                   const QString& remark);
    /// Says the time left; called while isCounting().
    void tick();
    [[nodiscard]] bool isHolding() const;
    /// Something is held, or will be blocked.
    [[nodiscard]] bool isCounting() const;
    /// Blocks at that time, as long as the card lives; invalid: not at all.
    void blockAt(const QDateTime& at);
    [[nodiscard]] SegmentedSwitch* modeSwitch() { return m_switch; }
    void setOnLive(engine::policy::OnLive onLive);
    void setExpanded(bool expanded);

Q_SIGNALS:
    void changeAsked(engine::net::VpnProtocol protocol,
                     const engine::policy::PassthroughSwitch& value, engine::policy::OnLive onLive);
    void resolved(engine::net::VpnProtocol protocol, engine::ResolveHold::How how);
    void selfTestAsked(engine::net::VpnProtocol protocol);
    void tunnelsAsked(engine::net::VpnProtocol protocol);

private:
    void ask(engine::policy::PassthroughMode mode);
    void showExceptions();
    void addException();

    const Presentation& m_presentation;
    engine::net::VpnProtocol m_protocol;
    engine::ProtocolStatus m_status;
    QStringList m_held;
    QString m_remark;
    QDateTime m_heldUntil;
    QDateTime m_blockAt;
    bool m_first = true;
    engine::policy::OnLive m_onLive = engine::policy::OnLive::Hold;
    Badge* m_badge;
    SegmentedSwitch* m_switch;
    SafeLabel* m_counts;
    SafeLabel* m_test;
    QPushButton* m_testNow;
    QPushButton* m_soon;
    InlineMessage* m_later;
    QPushButton* m_show;
    QPushButton* m_more;
    QWidget* m_details;
    SafeLabel* m_caution;
    QHBoxLayout* m_exceptions;
    QList<QWidget*> m_chips;
    QWidget* m_newException;
    QLineEdit* m_exceptionDevice;
    QLineEdit* m_exceptionServer;
    SegmentedSwitch* m_exceptionMode;
    InlineMessage* m_bar;
};

/// "What may pass?"
class PassthroughPage final : public PageFrame {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(PassthroughPage)

public:
    PassthroughPage(const Presentation& presentation, QWidget* parent);
    void setSnapshot(const engine::Snapshot& snapshot);
    void setOnLive(engine::policy::OnLive onLive);
    void showProtocol(engine::net::VpnProtocol protocol);
    [[nodiscard]] PassthroughCard* card(engine::net::VpnProtocol protocol)
    {
        return m_cards[static_cast<std::size_t>(protocol)];
    }

Q_SIGNALS:
    void changeAsked(engine::net::VpnProtocol protocol,
                     const engine::policy::PassthroughSwitch& value, engine::policy::OnLive onLive);
    void resolved(engine::net::VpnProtocol protocol, engine::ResolveHold::How how);
    void selfTestAsked(engine::net::VpnProtocol protocol);
    void tunnelsAsked(engine::net::VpnProtocol protocol);

private:
    const Presentation& m_presentation;
    std::array<PassthroughCard*, engine::net::kVpnProtocolCount> m_cards{};
    QTimer* m_timer;
    QScrollArea* m_area;
};

}  // namespace ui
