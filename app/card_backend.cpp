#include "app/card_backend.h"

namespace app {

void CardBackend::run(engine::Duration atMost, std::vector<engine::Event>& events)
{
    m_router->run(atMost, events);
}

engine::Result<void, engine::CommandError> CardBackend::apply(const engine::Command& command,
                                                              std::vector<engine::Event>& events)
{
    // What runs on without its forward does so only while the host's stack stays away from it.
    if (const auto* set = std::get_if<engine::SetPortForwards>(&command);
        set != nullptr && set->onLive == engine::policy::OnLive::Finish) {
        for (const auto& forward : m_router->engine().config().portForwards) {
            if (forward.enabled) m_router->keepPorts(forward.externalPorts);
        }
    }
    auto result = m_router->engine().apply(m_router->now(), command, m_output);
    m_router->deliver(m_output, events);
    m_output.clear();
    return result;
}

engine::Snapshot CardBackend::snapshot()
{
    return m_router->engine().snapshot(m_router->now());
}

std::vector<engine::SessionRecord> CardBackend::sessions(const engine::SessionQuery& query)
{
    return m_router->engine().sessions(m_router->now(), query);
}

std::vector<Neighbour> CardBackend::neighbours()
{
    std::vector<Neighbour> all;
    for (const auto& neighbour : m_router->neighbours()) {
        all.push_back({neighbour.address, neighbour.mac, {}});
    }
    return all;
}

}  // namespace app
