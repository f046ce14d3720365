#include "engine/io/atomic_file.h"

#include "engine/io/descriptor.h"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <unistd.h>

namespace engine::io {

Result<void, std::string> writeAtomically(const std::filesystem::path& path,
                                          std::string_view content)
{
    const auto failed = [&](const char* what) {
        return Err{path.string() + ": " + what + ": " + std::strerror(errno)};
    };
    const std::filesystem::path next = path.string() + ".new";
    Descriptor file{::open(next.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)};
    if (!file) return failed("cannot be made");
    while (!content.empty()) {
        const auto written = ::write(file.number(), content.data(), content.size());
        if (written < 0) return failed("cannot be written");
        content.remove_prefix(static_cast<std::size_t>(written));
    }
    if (::fsync(file.number()) != 0) return failed("cannot be written");
    if (::rename(next.c_str(), path.c_str()) != 0) return failed("cannot be replaced");
    const Descriptor folder{::open(path.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (folder) (void)::fsync(folder.number());
    return {};
}

}  // namespace engine::io
