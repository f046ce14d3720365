#include "app/lab_backend.h"

#include <utility>

namespace app {

using namespace std::chrono_literals;

namespace {
/// Ours: how often the lab's clock is moved on; fine enough for numbers that move smoothly.
constexpr engine::Duration kStep = 20ms;
/// Ours: how many times as fast the past goes by: two seconds for a minute and a half, in steps of
/// less than a second, so that a window sees it as it would have been.
constexpr int kPastSpeed = 45;
}  // namespace

LabBackend::LabBackend(std::unique_ptr<engine::lab::Lab> lab, engine::Duration past)
    : m_lab(std::move(lab)),
      m_start(m_lab->now()),
      m_past(past),
      m_began(std::chrono::steady_clock::now())
{}

engine::Instant LabBackend::now() const
{
    const auto lived =
        std::chrono::duration_cast<engine::Duration>(std::chrono::steady_clock::now() - m_began);
    if (lived < m_past / kPastSpeed) return m_start + lived * kPastSpeed;
    return m_start + m_past + (lived - m_past / kPastSpeed);
}

void LabBackend::catchUp(std::vector<engine::Event>& events)
{
    m_lab->advanceTo(now());
    for (auto& event : m_lab->takeEvents()) {
        events.push_back(std::move(event));
    }
}

void LabBackend::run(engine::Duration atMost, std::vector<engine::Event>& events)
{
    const engine::Instant until = now() + atMost;
    while (true) {
        catchUp(events);
        const engine::Duration left = until - now();
        if (left <= engine::Duration{0}) return;
        std::unique_lock lock{m_mutex};
        m_woken.wait_for(lock, left < kStep ? left : kStep, [this] { return m_wake; });
        if (std::exchange(m_wake, false)) return;
    }
}

engine::Result<void, engine::CommandError> LabBackend::apply(const engine::Command& command,
                                                             std::vector<engine::Event>& events)
{
    catchUp(events);
    const auto result = m_lab->apply(command);
    catchUp(events);
    return result;
}

engine::Snapshot LabBackend::snapshot()
{
    return m_lab->snapshot();
}

std::vector<engine::SessionRecord> LabBackend::sessions(const engine::SessionQuery& query)
{
    return m_lab->engine().sessions(m_lab->now(), query);
}

std::vector<Neighbour> LabBackend::neighbours()
{
    std::vector<Neighbour> all;
    for (const auto& [address, name] : m_lab->names()) {
        // Made-up hardware addresses carry the local bit, as made-up ones must.
        const std::uint32_t number = address.hostOrder();
        const auto octet = [number](int shift) {
            return static_cast<std::uint8_t>((number >> shift) & 0xffU);
        };
        all.push_back(
            {address,
             engine::net::MacAddress{{0x02, 0x4c, octet(24), octet(16), octet(8), octet(0)}},
             name});
    }
    return all;
}

void LabBackend::wake()
{
    const std::lock_guard lock{m_mutex};
    m_wake = true;
    m_woken.notify_one();
}

}  // namespace app
