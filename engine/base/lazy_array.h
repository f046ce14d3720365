#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <type_traits>

namespace engine {

/// Told about each large block once it is reserved, so that the shell can ask the operating system
/// for large pages; may be null.
using MemoryAdvice = void (*)(void* block, std::size_t bytes);

/// A fixed number of zeroed records on cache-line boundaries. Memory that was never touched costs
/// nothing: the operating system hands out zeroed pages on first use. That is why a table for a
/// million sessions may be made for a household.
template <typename T>
requires std::is_trivially_copyable_v<T>
class LazyArray {
public:
    explicit LazyArray(std::size_t count, MemoryAdvice advice = nullptr)
        : m_count(count), m_block(std::calloc(reservedFor(count) + alignmentFor(count), 1))
    {
        if (!m_block) throw std::bad_alloc{};
        const auto address = reinterpret_cast<std::uintptr_t>(m_block.get());
        const std::size_t alignment = alignmentFor(count);
        const std::size_t shift = (alignment - address % alignment) % alignment;
        m_data = reinterpret_cast<T*>(address + shift);
        if (advice != nullptr) advice(m_data, reservedFor(count));
    }

    [[nodiscard]] std::size_t size() const { return m_count; }
    [[nodiscard]] std::size_t bytes() const { return m_count * sizeof(T); }
    [[nodiscard]] T& operator[](std::size_t index)
    {
        assert(index < m_count);
        return m_data[index];
    }
    [[nodiscard]] const T& operator[](std::size_t index) const
    {
        assert(index < m_count);
        return m_data[index];
    }
    [[nodiscard]] const T* data() const { return m_data; }

private:
    static constexpr std::size_t kLine = 64;
    /// What processors of today call a large page. Only whole ones can be large, so a block that is
    /// worth it begins and ends with one; what is reserved for that is never touched.
    static constexpr std::size_t kLargePage = std::size_t{2} << 20U;

    static constexpr std::size_t alignmentFor(std::size_t count)
    {
        return count * sizeof(T) >= kLargePage ? kLargePage : kLine;
    }
    static constexpr std::size_t reservedFor(std::size_t count)
    {
        const std::size_t alignment = alignmentFor(count);
        return (count * sizeof(T) + alignment - 1) / alignment * alignment;
    }

    struct Free {
        void operator()(void* block) const { std::free(block); }
    };
    std::size_t m_count;
    std::unique_ptr<void, Free> m_block;
    T* m_data = nullptr;
};

}  // namespace engine
