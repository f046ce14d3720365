#pragma once

#include "engine/base/result.h"
#include "engine/io/descriptor.h"
#include "engine/io/device.h"

#include <memory>
#include <string>

namespace engine::io {

/// A TUN interface: raw IPv4 both ways, offloads travel with the packets (IFF_VNET_HDR). For links
/// that have no Ethernet, and for networks that end in a program.
class TunDevice final : public Device {
public:
    /// Makes the interface, or attaches to one of that name that exists; needs CAP_NET_ADMIN.
    static Result<std::unique_ptr<TunDevice>, DeviceError> open(const std::string& interface);

    [[nodiscard]] LinkKind linkKind() const override { return LinkKind::RawIp; }
    [[nodiscard]] int descriptor() const override { return m_fd.number(); }
    std::size_t receive(std::span<Frame> frames) override;
    std::size_t send(std::span<const Frame> frames) override;
    [[nodiscard]] DeviceCounters counters() override { return m_counters; }
    [[nodiscard]] std::string_view failure() const override { return m_failure; }

private:
    explicit TunDevice(Descriptor fd);

    Descriptor m_fd;
    std::unique_ptr<std::uint8_t[]> m_slots;
    DeviceCounters m_counters;
    std::string m_failure;
};

}  // namespace engine::io
