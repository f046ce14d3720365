#pragma once

#include <QElapsedTimer>
#include <QObject>

namespace app {

/// Tells systemd how the service is, by the datagrams that sd_notify(3) describes. Does nothing
/// where nobody asked (NOTIFY_SOCKET is not set).
class ServiceManager final : public QObject {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(ServiceManager)

public:
    explicit ServiceManager(QObject* parent = nullptr) : QObject(parent) {}
    void ready();
    void stopping();

public Q_SLOTS:
    /// Both threads have just been seen working; passed on as the watchdog's sign at most once a
    /// second.
    void alive();

private:
    QElapsedTimer m_told;
};

}  // namespace app
