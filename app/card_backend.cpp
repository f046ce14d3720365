#include "app/card_backend.h"

namespace app {

void CardBackend::run(engine::Duration atMost, std::vector<engine::Event>& events)
{
    m_router->run(atMost, events);
}

engine::Result<void, engine::CommandError> CardBackend::apply(const engine::Command& command,
                                                              std::vector<engine::Event>& events)
{
    m_router->keepForSessions(command);
    auto result = m_router->engine().apply(m_router->now(), command, m_output);
    m_router->deliver(m_output, events);
    m_output.clear();
    return result;
}

void CardBackend::count(const engine::Command& command, std::vector<engine::Event>& events)
{
    m_router->engine().count(m_router->now(), command, m_output);
    m_router->deliver(m_output, events);
    m_output.clear();
}

engine::Snapshot CardBackend::snapshot()
{
    return m_router->engine().snapshot(m_router->now());
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
