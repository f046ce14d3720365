#pragma once

#include <QtGlobal>

#include <ctime>

namespace tests {

/// The processor time of the calling thread: what work costs, however much else the machine does
/// beside it.
class ThreadTime {
public:
    ThreadTime() : m_start(now()) {}
    void restart() { m_start = now(); }
    /// Milliseconds.
    [[nodiscard]] qint64 elapsed() const { return now() - m_start; }

private:
    [[nodiscard]] static qint64 now()
    {
        timespec time{};
        ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
        return qint64{time.tv_sec} * 1000 + time.tv_nsec / 1'000'000;
    }

    qint64 m_start;
};

}  // namespace tests
