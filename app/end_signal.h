#pragma once

#include <QObject>
#include <QSocketNotifier>

#include <memory>

namespace app {

/// SIGTERM and SIGINT as a signal of Qt's, so that a program ends from its event loop. Made before
/// the first thread, so that all threads leave the signals alone. One per process.
class EndSignal final : public QObject {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(EndSignal)

public:
    explicit EndSignal(QObject* parent = nullptr);
    ~EndSignal() override;

Q_SIGNALS:
    void endAsked();

private:
    int m_descriptor = -1;
    std::unique_ptr<QSocketNotifier> m_notifier;
};

}  // namespace app
