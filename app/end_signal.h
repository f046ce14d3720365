#pragma once

#include <QObject>
#include <QSocketNotifier>

#include <memory>

namespace app {

/// SIGTERM, SIGINT and SIGHUP as a signal of Qt's, so that a program ends from its event loop and
/// leaves the host as it found it. Made before the first thread, so that all threads leave the
/// signals alone; QApplication starts threads of its own, see holdBack(). One per process.
class EndSignal final : public QObject {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(EndSignal)

public:
    explicit EndSignal(QObject* parent = nullptr);
    ~EndSignal() override;

    /// Before QApplication: a thread that a platform plugin starts would take the signal, and the
    /// process would die of it.
    static void holdBack();

Q_SIGNALS:
    void endAsked();

private:
    int m_descriptor = -1;
    std::unique_ptr<QSocketNotifier> m_notifier;
};

}  // namespace app
