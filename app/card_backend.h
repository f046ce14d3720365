#pragma once

#include "app/backend.h"
#include "engine/io/router.h"

#include <memory>

namespace app {

/// Two network cards of this computer with an engine between them.
class CardBackend final : public Backend {
public:
    explicit CardBackend(std::unique_ptr<engine::io::Router> router) : m_router(std::move(router))
    {}

    [[nodiscard]] engine::Instant now() const override { return m_router->now(); }
    void run(engine::Duration atMost, std::vector<engine::Event>& events) override;
    engine::Result<void, engine::CommandError> apply(const engine::Command& command,
                                                     std::vector<engine::Event>& events) override;
    [[nodiscard]] engine::Snapshot snapshot() override;
    bool searchOn(engine::SessionSearch& search) override
    {
        return m_router->engine().searchOn(search);
    }
    [[nodiscard]] std::vector<Neighbour> neighbours() override;
    void count(const engine::Command& command, std::vector<engine::Event>& events) override;
    [[nodiscard]] std::vector<engine::io::HeldSetting> held() override { return m_router->held(); }
    void wake() override { m_router->wake(); }

private:
    std::unique_ptr<engine::io::Router> m_router;
    engine::Output m_output;
};

}  // namespace app
