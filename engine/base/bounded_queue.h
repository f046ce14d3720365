#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace engine {

/// A first-in first-out queue that never holds more than its capacity and never allocates after
/// its construction. push() on a full queue refuses and counts.
template <typename T>
class BoundedQueue {
public:
    explicit BoundedQueue(std::size_t capacity) : m_slots(capacity) {}

    [[nodiscard]] bool empty() const { return m_size == 0; }
    [[nodiscard]] std::size_t size() const { return m_size; }
    [[nodiscard]] std::size_t capacity() const { return m_slots.size(); }
    [[nodiscard]] std::uint64_t refused() const { return m_refused; }

    bool push(T value)
    {
        if (m_size == m_slots.size()) {
            ++m_refused;
            return false;
        }
        m_slots[(m_head + m_size) % m_slots.size()] = std::move(value);
        ++m_size;
        return true;
    }

    /// The oldest element; the queue must not be empty.
    T pop()
    {
        T value = std::move(m_slots[m_head]);
        m_head = (m_head + 1) % m_slots.size();
        --m_size;
        return value;
    }

private:
    std::vector<T> m_slots;
    std::size_t m_head = 0;
    std::size_t m_size = 0;
    std::uint64_t m_refused = 0;
};

}  // namespace engine
