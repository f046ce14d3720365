#include "engine/io/clock.h"

#include <ctime>

namespace engine::io {

Instant now()
{
    timespec time{};
    ::clock_gettime(CLOCK_BOOTTIME, &time);
    return Instant{std::chrono::seconds{time.tv_sec} + std::chrono::nanoseconds{time.tv_nsec}};
}

}  // namespace engine::io
