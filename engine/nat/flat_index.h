#pragma once

#include "engine/base/lazy_array.h"

#include <bit>
#include <cstdint>

namespace engine::nat {

/// A hash index over records that live elsewhere: eight octets a slot, a slot's hash and the
/// record's reference; linear probing, removal without tombstones. Fixed size; never more than half
/// full as long as the owner keeps to `records`. The keyed hash is the caller's.
class FlatIndex {
public:
    static constexpr std::uint32_t kNone = 0xffffffff;

    /// Room for this many references at a load of one half.
    explicit FlatIndex(std::uint32_t references, MemoryAdvice advice = nullptr)
        : m_slots(std::bit_ceil(std::size_t{references} * 2), advice),
          m_mask(static_cast<std::uint32_t>(m_slots.size() - 1))
    {}

    void prefetch(std::uint32_t hash) const
    {
        __builtin_prefetch(m_slots.data() + (hash & m_mask));
    }

    /// The first reference with this hash for which `matches(reference)` holds, or kNone.
    template <typename Matches>
    [[nodiscard]] std::uint32_t find(std::uint32_t hash, Matches&& matches) const
    {
        for (std::uint32_t at = hash & m_mask;; at = (at + 1) & m_mask) {
            const Slot& slot = m_slots[at];
            if (slot.reference == 0) return kNone;
            if (slot.hash == hash && matches(slot.reference - 1)) return slot.reference - 1;
        }
    }
    /// What find() would probably answer, without looking at the record: for prefetching it.
    struct Guess {
        std::uint32_t reference = kNone;
        std::uint32_t at = 0;
    };
    [[nodiscard]] Guess guess(std::uint32_t hash) const
    {
        for (std::uint32_t at = hash & m_mask;; at = (at + 1) & m_mask) {
            const Slot& slot = m_slots[at];
            if (slot.reference == 0) return {};
            if (slot.hash == hash) return {slot.reference - 1, at};
        }
    }
    /// Whether the index still has this reference where it was guessed.
    [[nodiscard]] bool has(const Guess& guess, std::uint32_t hash) const
    {
        const Slot& slot = m_slots[guess.at];
        return slot.reference == guess.reference + 1 && slot.hash == hash &&
               guess.reference != kNone;
    }

    void insert(std::uint32_t hash, std::uint32_t reference)
    {
        std::uint32_t at = hash & m_mask;
        while (m_slots[at].reference != 0)
            at = (at + 1) & m_mask;
        m_slots[at] = {hash, reference + 1};
        ++m_used;
    }

    /// Removes one reference that is there; the slots behind it move up.
    void erase(std::uint32_t hash, std::uint32_t reference)
    {
        std::uint32_t hole = hash & m_mask;
        while (m_slots[hole].reference != reference + 1) {
            assert(m_slots[hole].reference != 0);
            hole = (hole + 1) & m_mask;
        }
        for (std::uint32_t at = (hole + 1) & m_mask; m_slots[at].reference != 0;
             at = (at + 1) & m_mask) {
            const std::uint32_t home = m_slots[at].hash & m_mask;
            // Movable when the hole lies between its home and where it stands, cyclically.
            if (((at - home) & m_mask) >= ((at - hole) & m_mask)) {
                m_slots[hole] = m_slots[at];
                hole = at;
            }
        }
        m_slots[hole] = {};
        --m_used;
    }

    [[nodiscard]] std::size_t bytes() const { return m_slots.bytes(); }
    [[nodiscard]] std::uint32_t size() const { return m_used; }

private:
    struct Slot {
        std::uint32_t hash = 0;
        std::uint32_t reference = 0;  ///< one more than what it refers to; zero: empty
    };
    LazyArray<Slot> m_slots;
    std::uint32_t m_mask;
    std::uint32_t m_used = 0;
};

}  // namespace engine::nat
