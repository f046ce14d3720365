#pragma once

#include "engine/base/result.h"
#include "engine/io/device.h"

#include <memory>
#include <string>
#include <vector>

namespace engine::io {

/// An Ethernet card through libpcap, the portable way (tried on Linux only), at the price of
/// offloads: large packets are cut and checksums finished here. What a capture does not say about
/// offloads is found out by arithmetic.
class PcapDevice final : public Device {
public:
    /// `mtu` is the link's: longer packets are cut to it when sent.
    static Result<std::unique_ptr<PcapDevice>, DeviceError> open(const std::string& interface,
                                                                 std::uint16_t mtu);
    ~PcapDevice() override;

    [[nodiscard]] LinkKind linkKind() const override { return LinkKind::Ethernet; }
    [[nodiscard]] int descriptor() const override { return m_descriptor; }
    std::size_t receive(std::span<Frame> frames) override;
    std::size_t send(std::span<const Frame> frames) override;
    [[nodiscard]] DeviceCounters counters() override;
    [[nodiscard]] std::string_view failure() const override { return m_failure; }

private:
    struct Handle;
    PcapDevice(std::unique_ptr<Handle> handle, std::uint16_t mtu);

    std::unique_ptr<Handle> m_handle;
    int m_descriptor = -1;
    std::uint16_t m_mtu;
    std::unique_ptr<std::uint8_t[]> m_slots;
    std::vector<std::uint8_t> m_scratch;
    std::vector<std::uint8_t> m_frame;
    DeviceCounters m_counters;
    std::string m_failure;
};

}  // namespace engine::io
