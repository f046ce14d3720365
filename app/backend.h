#pragma once

#include "engine/engine.h"

#include <vector>

namespace app {

/// What the engine thread runs: packets from somewhere with an Engine between them. Everything but
/// wake() is called by one thread.
class Backend {
public:
    Backend() = default;
    Backend(const Backend&) = delete;
    Backend& operator=(const Backend&) = delete;
    Backend(Backend&&) = delete;
    Backend& operator=(Backend&&) = delete;
    virtual ~Backend() = default;

    [[nodiscard]] virtual engine::Engine& engine() = 0;
    [[nodiscard]] virtual engine::Instant now() const = 0;
    /// Moves packets for about `atMost`, or until wake(); appends what happened.
    virtual void run(engine::Duration atMost, std::vector<engine::Event>& events) = 0;
    /// Sends what a command has left behind and appends its events.
    virtual void deliver(engine::Output& output, std::vector<engine::Event>& events) = 0;
    /// From any thread: run() returns soon.
    virtual void wake() = 0;
};

}  // namespace app
