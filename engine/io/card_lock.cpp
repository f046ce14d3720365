#include "engine/io/card_lock.h"

#include <cerrno>
#include <cstddef>

#include <sys/socket.h>
#include <sys/un.h>

namespace engine::io {

Result<Descriptor, std::errc> lockCard(const std::string& interface)
{
    Descriptor socket{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string name = "underpass/" + interface;
    // A leading zero: an abstract name, which is the namespace's and goes with the process.
    const auto copied = name.copy(address.sun_path + 1, sizeof address.sun_path - 2);
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + copied);
    const void* raw = &address;
    if (!socket || ::bind(socket.number(), static_cast<const sockaddr*>(raw), length) != 0) {
        return Err{static_cast<std::errc>(errno)};
    }
    return socket;
}

bool isCardLocked(const std::string& interface)
{
    const auto mine = lockCard(interface);
    return !mine && mine.error() == std::errc::address_in_use;
}

}  // namespace engine::io
