#pragma once

#include "engine/base/compact_optional.h"
#include "engine/base/lazy_array.h"

#include <bit>
#include <cstdint>
#include <utility>

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

    /// Where a search ended: at a reference, or (kNone) at an empty slot.
    struct Place {
        std::uint32_t reference = kNone;
        std::uint32_t at = 0;
        std::uint64_t epoch = 0;  ///< of the index then
    };
    /// The first reference with this hash for which `matches(reference)` holds.
    template <typename Matches>
    [[nodiscard]] Place search(std::uint32_t hash, Matches&& matches) const
    {
        for (std::uint32_t at = hash & m_mask;; at = (at + 1) & m_mask) {
            const Slot& slot = m_slots[at];
            if (slot.reference == 0) return {kNone, at, m_epoch};
            if (slot.hash == hash && matches(slot.reference - 1)) {
                return {slot.reference - 1, at, m_epoch};
            }
        }
    }
    template <typename Matches>
    [[nodiscard]] std::uint32_t find(std::uint32_t hash, Matches&& matches) const
    {
        return search(hash, std::forward<Matches>(matches)).reference;
    }
    /// What find() would probably answer, without looking at the record: for prefetching it.
    [[nodiscard]] Place guess(std::uint32_t hash) const
    {
        return search(hash, [](std::uint32_t) { return true; });
    }
    /// Whether a search that found nothing would find nothing now, known without another one; false
    /// when it is not known. What came since then stands in that very slot, as long as none before
    /// it became free.
    [[nodiscard]] bool isStillAbsent(const Place& place) const
    {
        return place.reference == kNone && place.epoch == m_epoch &&
               m_slots[place.at].reference == 0;
    }
    /// Whether the index still has this reference where it was guessed.
    [[nodiscard]] bool has(const Place& guess, std::uint32_t hash) const
    {
        const Slot& slot = m_slots[guess.at];
        return slot.reference == guess.reference + 1 && slot.hash == hash &&
               guess.reference != kNone;
    }

    void insert(std::uint32_t hash, std::uint32_t reference) { insertFrom(hash, hash, reference); }
    /// The same for a caller who has searched for this hash and found nothing.
    void insert(std::uint32_t hash, std::uint32_t reference, const Place& searched)
    {
        insertFrom(isStillAbsent(searched) ? searched.at : hash, hash, reference);
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
        ++m_epoch;
    }

    [[nodiscard]] std::size_t bytes() const { return m_slots.bytes(); }
    [[nodiscard]] std::uint32_t size() const { return m_used; }

private:
    struct Slot {
        std::uint32_t hash = 0;
        std::uint32_t reference = 0;  ///< one more than what it refers to; zero: empty
    };

    void insertFrom(std::uint32_t from, std::uint32_t hash, std::uint32_t reference)
    {
        std::uint32_t at = from & m_mask;
        while (m_slots[at].reference != 0)
            at = (at + 1) & m_mask;
        m_slots[at] = {hash, reference + 1};
        ++m_used;
    }

    LazyArray<Slot> m_slots;
    std::uint32_t m_mask;
    std::uint32_t m_used = 0;
    std::uint64_t m_epoch = 1;  ///< changes when a slot may have become free; a Place begins with 0
};

/// Which record of a table, if any.
using MaybeIndex = CompactOptional<std::uint32_t, FlatIndex::kNone>;

}  // namespace engine::nat
