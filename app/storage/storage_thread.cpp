#include "app/storage/storage_thread.h"

#include <QMetaObject>

#include <utility>

namespace app::storage {

namespace {
/// Ours: a minute of a busy network's batches; beyond it the disk does not keep up.
constexpr std::size_t kMostJobs = 256;
}  // namespace

StorageThread::StorageThread(RulesStore rules, HistoryStore history, QObject* parent)
    : QObject(parent),
      m_rules(std::move(rules)),
      m_history(std::move(history)),
      m_thread([this](const std::stop_token& stop) { work(stop); })
{}

StorageThread::~StorageThread()
{
    m_thread.request_stop();
    m_thread.join();
}

void StorageThread::post(RulesJob job)
{
    const std::lock_guard lock{m_mutex};
    m_jobs.push_back({std::move(job), {}});
    m_changed.notify_one();
}

bool StorageThread::post(HistoryJob job)
{
    const std::lock_guard lock{m_mutex};
    if (m_jobs.size() >= kMostJobs) {
        ++m_lost;
        return false;
    }
    m_jobs.push_back({{}, std::move(job)});
    m_changed.notify_one();
    return true;
}

void StorageThread::work(const std::stop_token& stop)
{
    while (true) {
        Job job;
        {
            std::unique_lock lock{m_mutex};
            m_changed.wait(lock, stop, [this] { return !m_jobs.empty(); });
            if (m_jobs.empty()) return;
            job = std::move(m_jobs.front());
            m_jobs.pop_front();
        }
        Continuation then = job.rules ? job.rules(m_rules) : job.history(m_history);
        if (then) QMetaObject::invokeMethod(this, std::move(then), Qt::QueuedConnection);
    }
}

}  // namespace app::storage
