#include "engine/io/tun_device.h"

#include "engine/io/offload.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace engine::io {

namespace {

constexpr std::size_t kFrameStart = 64;
constexpr std::size_t kSlot = kFrameStart + kFrameCapacity + 192;

}  // namespace

Result<std::unique_ptr<TunDevice>, DeviceError> TunDevice::open(const std::string& interface)
{
    Descriptor fd{::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC)};
    const auto failed = [&](const char* what) {
        const auto kind = errno == EPERM || errno == EACCES ? DeviceError::Kind::NoPrivilege
                                                            : DeviceError::Kind::Other;
        return Err{DeviceError{kind, std::string{what} + ": " + std::strerror(errno)}};
    };
    if (!fd) return failed("/dev/net/tun");
    ifreq request{};
    request.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
    if (interface.size() >= sizeof request.ifr_name) {
        return Err{DeviceError{DeviceError::Kind::NoSuchInterface, "the name is too long"}};
    }
    interface.copy(request.ifr_name, sizeof request.ifr_name - 1);
    if (::ioctl(fd.number(), TUNSETIFF, &request) != 0) return failed("TUNSETIFF");
    if (::ioctl(fd.number(), TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4) != 0) {
        return failed("TUNSETOFFLOAD");
    }
    return std::unique_ptr<TunDevice>{new TunDevice{std::move(fd)}};
}

TunDevice::TunDevice(Descriptor fd)
    : m_fd(std::move(fd)), m_slots(std::make_unique_for_overwrite<std::uint8_t[]>(kBatch * kSlot))
{}

std::size_t TunDevice::receive(std::span<Frame> frames)
{
    std::size_t filled = 0;
    for (std::size_t i = 0; i < std::min(frames.size(), kBatch); ++i) {
        std::uint8_t* data = m_slots.get() + i * kSlot + kFrameStart;
        const auto got = ::read(m_fd.number(), data - kOffloadHeader, kFrameCapacity);
        if (got < 0) {
            if (errno == EBADFD) m_failure = "the tunnel interface is gone";
            break;
        }
        ++m_counters.received;
        if (static_cast<std::size_t>(got) <= kOffloadHeader) continue;
        wire::Packet packet{{data, static_cast<std::size_t>(got) - kOffloadHeader}};
        const auto result = readOffload(
            std::span<const std::uint8_t, kOffloadHeader>{data - kOffloadHeader, kOffloadHeader}, 0,
            packet);
        if (result.reading != OffloadReading::Carried) {
            ++m_counters.receiveRefused;
            continue;
        }
        frames[filled++] = Frame{data, static_cast<std::uint32_t>(packet.bytes.size()),
                                 packet.checksum, packet.segmentPayload};
    }
    return filled;
}

std::size_t TunDevice::send(std::span<const Frame> frames)
{
    std::size_t taken = 0;
    for (const auto& frame : frames) {
        std::uint8_t* header = frame.data - kOffloadHeader;
        writeOffload(std::span<std::uint8_t, kOffloadHeader>{header, kOffloadHeader}, 0,
                     {frame.bytes(), frame.checksum, frame.segmentPayload});
        if (::write(m_fd.number(), header, frame.length + kOffloadHeader) > 0) {
            ++taken;
        } else {
            ++m_counters.sendLost;
        }
    }
    m_counters.sent += taken;
    return taken;
}

}  // namespace engine::io
