#pragma once

#include "engine/net/vpn_protocol.h"
#include "engine/passthrough/flow.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace engine::passthrough {

/// What the dispatcher remembers of a flow that is being considered or has been claimed.
struct ConsideredFlow {
    static constexpr std::uint8_t kNobody = 0xff;

    FlowId id = 0;                ///< 0: the slot is empty
    std::uint32_t undecided = 0;  ///< inspectors that have not answered yet, one bit each
    std::uint8_t claimer = kNobody;
    std::array<std::uint8_t, 2> seen{};  ///< packets with payload per direction, saturating
    bool blocked = false;                ///< its switch says no; nothing of it travels
    bool admitted = false;               ///< labelled while its switch said yes
    tunnel::TunnelKey key;               ///< meaningful when admitted
};

/// A flat hash table of flows with linear probing. Grows by doubling up to kMost flows; a session
/// number is the NAT's own choice, so that nobody outside can make it degenerate.
class ConsideredFlows {
public:
    /// Ours: room for every flow that a busy office starts within its first packets, and for all
    /// tunnels.
    static constexpr std::size_t kMost = 65536;

    ConsideredFlows();

    [[nodiscard]] ConsideredFlow* find(FlowId id);
    /// Where find() will look first: for prefetching.
    [[nodiscard]] const void* entryAhead(FlowId id) const { return &m_slots[slotOf(id)]; }
    /// The flow must not be in the table. Null when the table is full. Invalidates pointers.
    [[nodiscard]] ConsideredFlow* insert(FlowId id);
    /// Invalidates pointers.
    void erase(FlowId id);
    [[nodiscard]] std::size_t size() const { return m_size; }
    /// Some flow that nobody has claimed; 0 if there is none near. Each call goes on from where the
    /// last one stopped, so that every flow gets its turn.
    [[nodiscard]] FlowId nextUnclaimed();

private:
    [[nodiscard]] std::size_t slotOf(FlowId id) const;
    void grow();

    std::vector<ConsideredFlow> m_slots;  ///< a power of two, at most half full
    std::size_t m_size = 0;
    std::size_t m_hand = 0;
};

}  // namespace engine::passthrough
