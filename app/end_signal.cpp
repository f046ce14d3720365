#include "app/end_signal.h"

#include <csignal>
#include <pthread.h>

#include <sys/signalfd.h>
#include <unistd.h>

namespace app {

namespace {

sigset_t endSignals()
{
    sigset_t signals;
    sigemptyset(&signals);
    for (const int number : {SIGTERM, SIGINT, SIGHUP})
        sigaddset(&signals, number);
    return signals;
}

}  // namespace

void EndSignal::holdBack()
{
    const sigset_t signals = endSignals();
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

EndSignal::EndSignal(QObject* parent) : QObject(parent)
{
    holdBack();
    const sigset_t signals = endSignals();
    m_descriptor = ::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    m_notifier = std::make_unique<QSocketNotifier>(m_descriptor, QSocketNotifier::Read);
    connect(m_notifier.get(), &QSocketNotifier::activated, this, [this] {
        signalfd_siginfo told{};
        while (::read(m_descriptor, &told, sizeof told) == static_cast<ssize_t>(sizeof told)) {
            Q_EMIT endAsked();
        }
    });
}

EndSignal::~EndSignal()
{
    m_notifier.reset();
    if (m_descriptor >= 0) ::close(m_descriptor);
}

}  // namespace app
