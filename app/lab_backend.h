#pragma once

#include "app/backend.h"
#include "engine/lab/scenario.h"

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>

namespace app {

/// The built-in lab as a network that lives in real time: simulated computers around a real engine.
class LabBackend final : public Backend {
public:
    /// `past` is what the lab lives through first, many times as fast as real time, so that its
    /// tables and curves are not empty.
    explicit LabBackend(std::unique_ptr<engine::lab::Lab> lab, engine::Duration past = {});

    [[nodiscard]] engine::Instant now() const override;
    void run(engine::Duration atMost, std::vector<engine::Event>& events) override;
    engine::Result<void, engine::CommandError> apply(const engine::Command& command,
                                                     std::vector<engine::Event>& events) override;
    [[nodiscard]] engine::Snapshot snapshot() override;
    [[nodiscard]] std::vector<engine::SessionRecord> sessions(
        const engine::SessionQuery& query) override;
    [[nodiscard]] std::vector<Neighbour> neighbours() override;
    void wake() override;

private:
    void catchUp(std::vector<engine::Event>& events);

    std::unique_ptr<engine::lab::Lab> m_lab;
    engine::Instant m_start;  ///< on the lab's clock
    engine::Duration m_past;
    std::chrono::steady_clock::time_point m_began;
    std::mutex m_mutex;
    std::condition_variable m_woken;
    bool m_wake = false;
};

}  // namespace app
