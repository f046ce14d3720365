#pragma once

#include <cstddef>

namespace engine::io {

/// Asks the operating system to back a block with large pages, so that look-ups in big tables miss
/// the translation buffer less often. A hint: it may be ignored. An engine::MemoryAdvice.
void adviseLargePages(void* block, std::size_t bytes);

}  // namespace engine::io
