#include "engine/io/large_pages.h"

#include <cstdint>

#include <sys/mman.h>

namespace engine::io {

void adviseLargePages(void* block, std::size_t bytes)
{
    constexpr std::uintptr_t kPage = 4096;
    // Below this, large pages would cost more memory than they save time.
    constexpr std::size_t kWorthwhile = std::size_t{4} << 20U;
    if (bytes < kWorthwhile) return;
    const auto start = (reinterpret_cast<std::uintptr_t>(block) + kPage - 1) & ~(kPage - 1);
    const auto end = (reinterpret_cast<std::uintptr_t>(block) + bytes) & ~(kPage - 1);
    (void)madvise(reinterpret_cast<void*>(start), end - start, MADV_HUGEPAGE);
}

}  // namespace engine::io
