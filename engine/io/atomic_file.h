#pragma once

#include "engine/base/result.h"

#include <filesystem>
#include <string>
#include <string_view>

namespace engine::io {

/// Replaces a file as a whole: a reader, and a crash at any point, sees the old content or the new.
/// The content is on the disk when this returns. The error is one English clause.
Result<void, std::string> writeAtomically(const std::filesystem::path& path,
                                          std::string_view content);

}  // namespace engine::io
