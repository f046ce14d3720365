#pragma once

#include "app/backend.h"
#include "engine/lab/scenario.h"

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

namespace app {

/// How far a scenario has come, and what has become of its claims.
struct LabProgress {
    engine::Duration played{0};  ///< on the lab's clock; ends at the scenario's length
    bool over = false;           ///< the checks are final
    std::vector<engine::lab::Check> checks;
};

/// What a window and an engine thread share about a lab that is played: any thread may call.
class LabDial {
public:
    [[nodiscard]] int speed() const;
    /// So many times as fast as the clock on the wall; at least 1.
    void setSpeed(int times);
    [[nodiscard]] LabProgress progress() const;
    void tell(LabProgress progress);

private:
    mutable std::mutex m_mutex;
    int m_speed = 1;
    LabProgress m_progress;
};

/// The built-in lab as a network that lives in real time: simulated computers around a real engine.
/// A lab that cannot keep up falls behind the clock; it never has more to catch up with than a
/// step.
class LabBackend final : public Backend {
public:
    /// `past` is what the lab lives through first, many times as fast as real time, so that its
    /// tables and curves are not empty.
    explicit LabBackend(std::unique_ptr<engine::lab::Lab> lab, engine::Duration past = {});
    /// A scenario with an end: its claims are judged when it has been played so long, and on the
    /// way. Then its time passes as that of everybody else again.
    LabBackend(std::unique_ptr<engine::lab::Lab> lab, engine::Duration past,
               engine::Duration length, std::shared_ptr<LabDial> dial);

    [[nodiscard]] engine::Instant now() const override;
    void run(engine::Duration atMost, std::vector<engine::Event>& events) override;
    engine::Result<void, engine::CommandError> apply(const engine::Command& command,
                                                     std::vector<engine::Event>& events) override;
    [[nodiscard]] engine::Snapshot snapshot() override;
    bool searchOn(engine::SessionSearch& search) override;
    [[nodiscard]] std::vector<Neighbour> neighbours() override;
    void count(const engine::Command& command, std::vector<engine::Event>& events) override;
    void wake() override;

private:
    using Wall = std::chrono::steady_clock;

    [[nodiscard]] bool isPast() const { return m_lab->now() < m_start + m_past; }
    void catchUp(std::vector<engine::Event>& events);
    void setPace();
    void tell(bool over);

    std::unique_ptr<engine::lab::Lab> m_lab;
    engine::Instant m_start;  ///< on the lab's clock
    engine::Duration m_past;
    engine::Duration m_length{0};
    std::shared_ptr<LabDial> m_dial;
    bool m_over = false;
    // The lab's clock goes `m_times` as fast as the wall's since this moment of both.
    Wall::time_point m_since;
    engine::Instant m_from;
    int m_times = 1;
    Wall::time_point m_told;
    std::mutex m_mutex;
    std::condition_variable m_woken;
    bool m_wake = false;
};

}  // namespace app
