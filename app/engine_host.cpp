#include "app/engine_host.h"

#include <QMetaObject>

#include <algorithm>
#include <utility>

namespace app {

using namespace std::chrono_literals;

namespace {
/// Four times a second: as fast as people read numbers.
constexpr engine::Duration kSnapshotInterval = 250ms;
/// Ours: how often neighbours and the cards' health are looked at.
constexpr engine::Duration kLookInterval = 1s;
/// Ours: how often it is looked whether sessions are counted by now.
constexpr engine::Duration kCountInterval = 5ms;
/// Ours: what a window that has stopped for some seconds may miss without losing any.
constexpr std::size_t kMostEvents = 65536;
}  // namespace

EngineHost::EngineHost(std::unique_ptr<Backend> backend, QObject* parent)
    : QObject(parent),
      m_backend(std::move(backend)),
      m_thread([this](const std::stop_token& stop) { work(stop); })
{}

EngineHost::~EngineHost()
{
    m_thread.request_stop();
    m_backend->wake();
    m_thread.join();
}

void EngineHost::post(Task task)
{
    {
        const std::lock_guard lock{m_mutex};
        m_tasks.push_back(std::move(task));
    }
    m_backend->wake();
}

void EngineHost::apply(engine::Command command, Applied applied)
{
    post([this, command = std::move(command), applied = std::move(applied)](
             Backend& backend, std::vector<engine::Event>& events) -> Answer {
        const auto result = backend.apply(command, events);
        Waiting waiting{[applied, result](std::uint32_t concerned) {
                            if (applied) applied(result, concerned);
                        },
                        std::nullopt};
        if (!result || !engine::isCounted(command)) waiting.sessions = 0;
        m_waiting.push_back(std::move(waiting));
        return {};
    });
}

void EngineHost::sessions(const engine::SessionQuery& query, Sessions answer)
{
    post(
        [this, query, answer = std::move(answer)](Backend&, std::vector<engine::Event>&) -> Answer {
            m_searches.push_back({{.query = query}, answer});
            return {};
        });
}

void EngineHost::search(std::vector<Answer>& answers)
{
    if (m_searches.empty() || !m_backend->searchOn(m_searches.front().search)) return;
    Searching& done = m_searches.front();
    answers.emplace_back([answer = std::move(done.answer), now = m_backend->now(),
                          found = std::move(done.search.found)] { answer(found, now); });
    m_searches.pop_front();
}

void EngineHost::held(Held answer)
{
    post([answer = std::move(answer)](Backend& backend, std::vector<engine::Event>&) -> Answer {
        return [answer, held = backend.held()] {
            answer(held);
        };
    });
}

void EngineHost::sessionsEndedBy(engine::Command command, std::function<void(std::uint32_t)> answer)
{
    post([this, command = std::move(command), answer = std::move(answer)](
             Backend& backend, std::vector<engine::Event>& events) -> Answer {
        backend.count(command, events);
        m_waiting.push_back({answer, std::nullopt});
        return {};
    });
}

void EngineHost::takeCounts(std::vector<engine::Event>& events, std::vector<Answer>& answers)
{
    std::erase_if(events, [this](const engine::Event& event) {
        const auto* counted = std::get_if<engine::SessionsCounted>(&event);
        if (counted == nullptr) return false;
        const auto first = std::ranges::find_if(
            m_waiting, [](const Waiting& waiting) { return !waiting.sessions; });
        if (first != m_waiting.end()) first->sessions = counted->sessions;
        return true;
    });
    while (!m_waiting.empty() && m_waiting.front().sessions) {
        answers.emplace_back([answer = std::move(m_waiting.front().answer),
                              sessions = *m_waiting.front().sessions] { answer(sessions); });
        m_waiting.pop_front();
    }
}

void EngineHost::refresh(std::function<void()> answer)
{
    // A task of any kind makes a snapshot.
    post([answer = std::move(answer)](Backend&, std::vector<engine::Event>&) { return answer; });
}

void EngineHost::work(const std::stop_token& stop)
{
    std::vector<engine::Event> events;
    std::vector<Answer> answers;
    std::vector<Neighbour> neighbours;
    bool failed = false;
    engine::Instant nextSnapshot = m_backend->now();
    engine::Instant nextLook = nextSnapshot;
    while (!stop.stop_requested()) {
        std::vector<Task> tasks;
        {
            const std::lock_guard lock{m_mutex};
            tasks.swap(m_tasks);
        }
        for (const Task& task : tasks) {
            if (Answer answer = task(*m_backend, events)) answers.push_back(std::move(answer));
        }
        takeCounts(events, answers);
        search(answers);
        const engine::Instant now = m_backend->now();
        std::shared_ptr<const engine::Snapshot> snapshot;
        // A command's effect shows at once, not at the next quarter of a second.
        if (now >= nextSnapshot || !tasks.empty() || !answers.empty()) {
            auto made = m_backend->snapshot();
            {
                const std::lock_guard lock{m_mutex};
                made.counters.eventsLost += m_eventsLost;
            }
            snapshot = std::make_shared<const engine::Snapshot>(std::move(made));
            nextSnapshot = now + kSnapshotInterval;
        }
        if (now >= nextLook) {
            nextLook = now + kLookInterval;
            if (auto seen = m_backend->neighbours(); seen != neighbours) {
                neighbours = seen;
                answers.emplace_back([this, seen] { Q_EMIT neighboursChanged(seen); });
            }
            if (std::string why = m_backend->failure(); !why.empty() && !failed) {
                failed = true;
                answers.emplace_back(
                    [this, why] { Q_EMIT this->failed(QString::fromStdString(why)); });
            }
        }
        if (snapshot || !events.empty() || !answers.empty()) {
            publish(std::move(snapshot), events, answers);
        }
        engine::Duration wait = nextSnapshot - m_backend->now();
        if (!m_waiting.empty()) wait = std::min(wait, kCountInterval);
        if (!m_searches.empty()) wait = {};
        m_backend->run(std::max(wait, engine::Duration{0}), events);
    }
}

void EngineHost::publish(std::shared_ptr<const engine::Snapshot> snapshot,
                         std::vector<engine::Event>& events, std::vector<Answer>& answers)
{
    bool post = false;
    {
        const std::lock_guard lock{m_mutex};
        if (snapshot) m_snapshot = std::move(snapshot);
        for (auto& event : events) {
            if (m_events.size() < kMostEvents) {
                m_events.push_back(std::move(event));
            } else {
                ++m_eventsLost;
            }
        }
        for (auto& answer : answers) {
            m_answers.push_back(std::move(answer));
        }
        post = !std::exchange(m_fetchPosted, true);
    }
    events.clear();
    answers.clear();
    if (post)
        QMetaObject::invokeMethod(
            this, [this] { fetch(); }, Qt::QueuedConnection);
}

void EngineHost::fetch()
{
    std::shared_ptr<const engine::Snapshot> snapshot;
    std::vector<engine::Event> events;
    std::vector<Answer> answers;
    {
        const std::lock_guard lock{m_mutex};
        snapshot = std::move(m_snapshot);
        m_snapshot = nullptr;
        events.swap(m_events);
        answers.swap(m_answers);
        m_fetchPosted = false;
    }
    // Answers last: who asked sees a snapshot that already shows the effect.
    if (!events.empty()) {
        Q_EMIT eventsHappened(
            std::make_shared<const std::vector<engine::Event>>(std::move(events)));
    }
    if (snapshot) Q_EMIT snapshotTaken(snapshot);
    for (const auto& answer : answers) {
        answer();
    }
}

}  // namespace app
