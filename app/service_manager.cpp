#include "app/service_manager.h"

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace app {

namespace {

void tell(std::string_view state)
{
    const char* path = std::getenv("NOTIFY_SOCKET");
    if (path == nullptr || (path[0] != '/' && path[0] != '@')) return;
    const std::size_t length = std::strlen(path);
    sockaddr_un address{};
    if (length >= sizeof address.sun_path) return;
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path, length);
    // A leading @ stands for the abstract namespace, whose names begin with a zero octet.
    if (path[0] == '@') address.sun_path[0] = '\0';
    const int socket = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (socket < 0) return;
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length);
    const void* raw = &address;
    ::sendto(socket, state.data(), state.size(), MSG_NOSIGNAL, static_cast<const sockaddr*>(raw),
             size);
    ::close(socket);
}

}  // namespace

void ServiceManager::ready()
{
    tell("READY=1\nSTATUS=Sharing");
    m_told.start();
}

void ServiceManager::stopping()
{
    tell("STOPPING=1");
}

void ServiceManager::alive()
{
    if (!m_told.isValid() || m_told.elapsed() < 1000) return;
    tell("WATCHDOG=1");
    m_told.restart();
}

}  // namespace app
