#include "app/lab_backend.h"

#include <algorithm>
#include <utility>

namespace app {

using namespace std::chrono_literals;

namespace {
/// Ours: how often the lab's clock is moved on; fine enough for numbers that move smoothly.
constexpr engine::Duration kStep = 20ms;
/// Ours: how many times as fast the past goes by: two seconds for a minute and a half, in steps of
/// less than a second, so that a window sees it as it would have been.
constexpr int kPastSpeed = 45;
/// Ours: the longest leap of the lab's clock: what a slow computer does in a blink.
constexpr engine::Duration kLeap = 2s;
/// Ours: a lab in a hurry shows itself twenty times a second at most.
constexpr engine::Duration kHurriedRun = 50ms;
/// Ours: how often claims are looked at: as often as anybody reads them.
constexpr engine::Duration kTellInterval = 250ms;
}  // namespace

int LabDial::speed() const
{
    const std::lock_guard lock{m_mutex};
    return m_speed;
}

void LabDial::setSpeed(int times)
{
    const std::lock_guard lock{m_mutex};
    m_speed = std::max(times, 1);
}

LabProgress LabDial::progress() const
{
    const std::lock_guard lock{m_mutex};
    return m_progress;
}

void LabDial::tell(LabProgress progress)
{
    const std::lock_guard lock{m_mutex};
    m_progress = std::move(progress);
}

LabBackend::LabBackend(std::unique_ptr<engine::lab::Lab> lab, engine::Duration past)
    : LabBackend(std::move(lab), past, {}, nullptr)
{}

LabBackend::LabBackend(std::unique_ptr<engine::lab::Lab> lab, engine::Duration past,
                       engine::Duration length, std::shared_ptr<LabDial> dial)
    : m_lab(std::move(lab)),
      m_start(m_lab->now()),
      m_past(past),
      m_length(length),
      m_dial(std::move(dial)),
      m_since(Wall::now()),
      m_from(m_start)
{
    setPace();
    if (m_dial) tell(false);
}

engine::Instant LabBackend::now() const
{
    const auto lived = std::chrono::duration_cast<engine::Duration>(Wall::now() - m_since);
    return std::min(m_from + lived * m_times, m_lab->now() + kLeap);
}

/// From here on the clock goes as fast as is wanted now.
void LabBackend::setPace()
{
    m_times = isPast() ? kPastSpeed : m_dial ? m_dial->speed() : 1;
    m_since = Wall::now();
    m_from = m_lab->now();
}

void LabBackend::tell(bool over)
{
    m_told = Wall::now();
    m_dial->tell({m_lab->now() - m_start, over, m_lab->results()});
}

void LabBackend::catchUp(std::vector<engine::Event>& events)
{
    engine::Instant until = now();
    // Neither the end of the past nor that of the story may be leapt over.
    if (isPast()) until = std::min(until, m_start + m_past);
    if (m_dial && !m_over) until = std::min(until, m_start + m_length);
    m_lab->advanceTo(until);
    for (auto& event : m_lab->takeEvents()) {
        events.push_back(std::move(event));
    }
    if (m_dial && !m_over && until == m_start + m_length) {
        m_over = true;
        tell(true);
        m_dial->setSpeed(1);
    }
    const int wanted = isPast() ? kPastSpeed : m_dial ? m_dial->speed() : 1;
    const bool behind = now() >= m_lab->now() + kLeap;
    if (wanted != m_times || behind) setPace();
}

void LabBackend::run(engine::Duration atMost, std::vector<engine::Event>& events)
{
    const engine::Instant until = now() + atMost;
    const bool hurried = m_times > 1 && !isPast();
    const auto least = Wall::now() + (hurried ? kHurriedRun : engine::Duration{0});
    while (true) {
        catchUp(events);
        const auto left =
            std::max((until - now()) / m_times,
                     std::chrono::duration_cast<engine::Duration>(least - Wall::now()));
        if (left <= engine::Duration{0}) return;
        std::unique_lock lock{m_mutex};
        m_woken.wait_for(lock, std::min(left, kStep), [this] { return m_wake; });
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

void LabBackend::count(const engine::Command& command, std::vector<engine::Event>& events)
{
    catchUp(events);
    m_lab->count(command);
    catchUp(events);
}

engine::Snapshot LabBackend::snapshot()
{
    if (m_dial && !m_over && Wall::now() - m_told >= kTellInterval) tell(false);
    return m_lab->snapshot();
}

bool LabBackend::searchOn(engine::SessionSearch& search)
{
    return m_lab->engine().searchOn(search);
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
