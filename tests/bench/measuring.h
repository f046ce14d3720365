#pragma once

#include <cstddef>
#include <cstdint>
#include <ctime>

#include <sys/mman.h>

/// What the benchmarks of the engine ask of the operating system.
namespace bench {

/// EngineConfig::memoryAdvice: large pages for large tables.
inline void adviseHugePages(void* block, std::size_t bytes)
{
    constexpr std::uintptr_t kPage = 4096;
    void* const aligned = reinterpret_cast<void*>(
        (reinterpret_cast<std::uintptr_t>(block) + kPage - 1) & ~(kPage - 1));
    (void)madvise(aligned, bytes & ~(kPage - 1), MADV_HUGEPAGE);
}

/// What this thread has had of the processor: others who are given it meanwhile do not count.
inline double processorMilliseconds()
{
    timespec time{};
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) / 1e6;
}

}  // namespace bench
