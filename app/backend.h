#pragma once

#include "engine/base/result.h"
#include "engine/command.h"
#include "engine/engine.h"
#include "engine/event.h"
#include "engine/io/held_setting.h"
#include "engine/snapshot.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace app {

/// A device as the network below IP knows it.
struct Neighbour {
    engine::net::Ipv4Address address;
    engine::net::MacAddress mac;
    std::string name;  ///< given by the backend itself; usually empty
    friend bool operator==(const Neighbour&, const Neighbour&) = default;
};

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

    [[nodiscard]] virtual engine::Instant now() const = 0;
    /// Moves packets for about `atMost`, or until wake(); appends what happened.
    virtual void run(engine::Duration atMost, std::vector<engine::Event>& events) = 0;
    /// Packets that the command causes travel before it returns.
    virtual engine::Result<void, engine::CommandError> apply(
        const engine::Command& command, std::vector<engine::Event>& events) = 0;
    [[nodiscard]] virtual engine::Snapshot snapshot() = 0;
    /// Goes on with the search by a part; true when it is over.
    virtual bool searchOn(engine::SessionSearch& search) = 0;
    [[nodiscard]] virtual std::vector<Neighbour> neighbours() = 0;
    /// Begins to count the sessions that the command would end if nobody let them finish. Among
    /// the events, of this call or later, is a SessionsCounted for it, in the order of all that are
    /// counted.
    virtual void count(const engine::Command& command, std::vector<engine::Event>& events) = 0;
    /// What of this computer is held for it; nothing where everything is simulated.
    [[nodiscard]] virtual std::vector<engine::io::HeldSetting> held() { return {}; }
    /// Why no packet will ever travel again (the card is gone); empty while they do.
    [[nodiscard]] virtual std::string failure() const { return {}; }
    /// From any thread: run() returns soon.
    virtual void wake() = 0;
};

}  // namespace app
