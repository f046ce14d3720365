#pragma once

#include "app/backend.h"
#include "engine/base/result.h"

#include <QObject>
#include <QString>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace app {

/// The engine thread. Commands and questions go in and are answered in the thread this object lives
/// in; immutable snapshots come out four times a second, events in batches. The one mutex between
/// packets and everything else is held for a few pointer moves only, so packets never wait for
/// windows: the newest snapshot replaces one that was not fetched, and events beyond the bound are
/// dropped and counted in Counters::eventsLost.
class EngineHost final : public QObject {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(EngineHost)

public:
    /// With the number of sessions that the command has ended, or that it let finish.
    using Applied =
        std::function<void(const engine::Result<void, engine::CommandError>&, std::uint32_t)>;
    using Held = std::function<void(const std::vector<engine::io::HeldSetting>&)>;
    using Sessions = std::function<void(std::vector<engine::SessionRecord>, engine::Instant)>;

    explicit EngineHost(std::unique_ptr<Backend> backend, QObject* parent = nullptr);
    /// Waits for the engine thread; the backend leaves the host as it found it.
    ~EngineHost() override;

    void apply(engine::Command command, Applied applied);
    void sessions(const engine::SessionQuery& query, Sessions answer);
    void held(Held answer);
    void sessionsEndedBy(engine::Command command, std::function<void(std::uint32_t)> answer);
    /// Takes a snapshot now, announces it, and answers.
    void refresh(std::function<void()> answer);

Q_SIGNALS:
    void snapshotTaken(std::shared_ptr<const engine::Snapshot> snapshot);
    /// Once, when the backend cannot go on.
    void failed(const QString& why);
    /// Only when they have changed.
    void neighboursChanged(const std::vector<app::Neighbour>& neighbours);
    void eventsHappened(std::shared_ptr<const std::vector<engine::Event>> events);

private:
    /// Runs in the engine thread; what it returns runs in this object's thread.
    using Answer = std::function<void()>;
    using Task = std::function<Answer(Backend&, std::vector<engine::Event>&)>;

    /// An answer that waits for its number of sessions. Answers to commands keep their order, so
    /// one that has its number waits for those before it.
    struct Waiting {
        std::function<void(std::uint32_t)> answer;
        std::optional<std::uint32_t> sessions;
    };

    /// Sessions that somebody has asked for; packets go on between the parts of the search.
    struct Searching {
        engine::SessionSearch search;
        Sessions answer;
    };

    void post(Task task);
    void search(std::vector<Answer>& answers);
    void takeCounts(std::vector<engine::Event>& events, std::vector<Answer>& answers);
    void work(const std::stop_token& stop);
    void publish(std::shared_ptr<const engine::Snapshot> snapshot,
                 std::vector<engine::Event>& events, std::vector<Answer>& answers);
    void fetch();

    std::unique_ptr<Backend> m_backend;
    std::deque<Waiting> m_waiting;     ///< the engine thread's
    std::deque<Searching> m_searches;  ///< likewise

    std::mutex m_mutex;
    std::vector<Task> m_tasks;
    std::shared_ptr<const engine::Snapshot> m_snapshot;
    std::vector<engine::Event> m_events;
    std::vector<Answer> m_answers;
    std::uint64_t m_eventsLost = 0;
    bool m_fetchPosted = false;

    std::jthread m_thread;  // last: it uses all of the above
};

}  // namespace app
