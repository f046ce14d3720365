#include "engine/passthrough/considered_flows.h"

#include <bit>
#include <utility>

namespace engine::passthrough {
namespace {

constexpr std::size_t kFirstSlots = 1024;
/// Ours: slots that one search for a victim may touch.
constexpr std::size_t kMostLookedAt = 64;

}  // namespace

ConsideredFlows::ConsideredFlows() : m_slots(kFirstSlots) {}

std::size_t ConsideredFlows::slotOf(FlowId id) const
{
    // Fibonacci hashing: consecutive numbers are spread over the table.
    const int bits = std::countr_zero(m_slots.size());
    return static_cast<std::size_t>((id * 0x9e3779b97f4a7c15U) >> (64 - bits));
}

ConsideredFlow* ConsideredFlows::find(FlowId id)
{
    const std::size_t mask = m_slots.size() - 1;
    for (std::size_t slot = slotOf(id);; slot = (slot + 1) & mask) {
        if (m_slots[slot].id == id) return &m_slots[slot];
        if (m_slots[slot].id == 0) return nullptr;
    }
}

ConsideredFlow* ConsideredFlows::insert(FlowId id)
{
    if (m_size >= kMost) return nullptr;
    if (2 * (m_size + 1) > m_slots.size()) grow();
    const std::size_t mask = m_slots.size() - 1;
    std::size_t slot = slotOf(id);
    while (m_slots[slot].id != 0)
        slot = (slot + 1) & mask;
    m_slots[slot] = ConsideredFlow{};
    m_slots[slot].id = id;
    ++m_size;
    return &m_slots[slot];
}

void ConsideredFlows::erase(FlowId id)
{
    ConsideredFlow* const found = find(id);
    if (found == nullptr) return;
    const std::size_t mask = m_slots.size() - 1;
    std::size_t hole = static_cast<std::size_t>(found - m_slots.data());
    // Entries behind the hole that were pushed on by it move back, so that no tombstones are
    // needed.
    for (std::size_t slot = (hole + 1) & mask; m_slots[slot].id != 0; slot = (slot + 1) & mask) {
        const std::size_t home = slotOf(m_slots[slot].id);
        if (((slot - home) & mask) >= ((slot - hole) & mask)) {
            m_slots[hole] = m_slots[slot];
            hole = slot;
        }
    }
    m_slots[hole] = ConsideredFlow{};
    --m_size;
}

FlowId ConsideredFlows::nextUnclaimed()
{
    for (std::size_t i = 0; i < kMostLookedAt; ++i) {
        m_hand = (m_hand + 1) & (m_slots.size() - 1);
        const ConsideredFlow& flow = m_slots[m_hand];
        if (flow.id != 0 && flow.claimer == ConsideredFlow::kNobody) return flow.id;
    }
    return 0;
}

void ConsideredFlows::grow()
{
    std::vector<ConsideredFlow> old(m_slots.size() * 2);
    std::swap(old, m_slots);
    const std::size_t mask = m_slots.size() - 1;
    for (const ConsideredFlow& flow : old) {
        if (flow.id == 0) continue;
        std::size_t slot = slotOf(flow.id);
        while (m_slots[slot].id != 0)
            slot = (slot + 1) & mask;
        m_slots[slot] = flow;
    }
}

}  // namespace engine::passthrough
