#pragma once

#include "app/storage/history_store.h"
#include "app/storage/rules_store.h"

#include <QObject>

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace app::storage {

/// The thread that owns both databases. Jobs run in the order they came; each returns what is to be
/// done with its result, and that runs in the thread this object lives in. Nobody ever waits for a
/// disk: the queue is bounded, history that does not fit is counted and dropped, rules always fit.
class StorageThread final : public QObject {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(StorageThread)

public:
    using Continuation = std::function<void()>;
    using RulesJob = std::function<Continuation(RulesStore&)>;
    using HistoryJob = std::function<Continuation(HistoryStore&)>;

    StorageThread(RulesStore rules, HistoryStore history, QObject* parent = nullptr);
    /// Finishes every job; continuations that have not run are dropped.
    ~StorageThread() override;

    void post(RulesJob job);
    /// False: the queue is full and the job was dropped.
    bool post(HistoryJob job);
    [[nodiscard]] std::uint64_t historyJobsLost() const { return m_lost; }

private:
    struct Job {
        RulesJob rules;
        HistoryJob history;
    };
    void work(const std::stop_token& stop);

    RulesStore m_rules;
    HistoryStore m_history;
    std::mutex m_mutex;
    std::condition_variable_any m_changed;
    std::deque<Job> m_jobs;
    std::uint64_t m_lost = 0;
    std::jthread m_thread;  // last: it uses all of the above
};

}  // namespace app::storage
