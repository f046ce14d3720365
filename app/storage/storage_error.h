#pragma once

#include <cstdint>
#include <string>

namespace app::storage {

/// Why a database did not do what was asked.
struct StorageError {
    enum class Kind : std::uint8_t {
        Corrupt,     ///< not a database, or its pages contradict each other
        Newer,       ///< written by a newer version of the program; never touched
        ReadOnly,    ///< file or file system does not let us write
        Full,        ///< no space left
        CannotOpen,  ///< no such directory, no permission
        Busy,        ///< another process holds it
        NotKept,     ///< known and said since the program was started
        Other,
    };
    Kind kind = Kind::Other;
    std::string sentence;  ///< English, for people, whole
};

}  // namespace app::storage
