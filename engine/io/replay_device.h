#pragma once

#include "engine/io/capture_file.h"
#include "engine/io/descriptor.h"
#include "engine/io/device.h"

#include <functional>
#include <vector>

namespace engine::io {

/// A capture file as a device: hands out its packets in order, each at its own time when the clock
/// given has come that far since the first one. What is sent is counted and forgotten.
class ReplayDevice final : public Device {
public:
    using Clock = std::function<Instant()>;
    ReplayDevice(std::unique_ptr<CaptureFile> file, Clock clock);

    [[nodiscard]] LinkKind linkKind() const override { return LinkKind::RawIp; }
    /// Always readable.
    [[nodiscard]] int descriptor() const override { return m_event.number(); }
    std::size_t receive(std::span<Frame> frames) override;
    std::size_t send(std::span<const Frame> frames) override;
    [[nodiscard]] DeviceCounters counters() override { return m_counters; }
    /// The end of the file is one.
    [[nodiscard]] std::string_view failure() const override { return m_failure; }

private:
    struct Waiting {
        Instant at;
        std::vector<std::uint8_t> buffer;
    };

    std::unique_ptr<CaptureFile> m_file;
    Clock m_clock;
    Descriptor m_event;
    std::optional<Duration> m_shift;  ///< from the capture's clock to ours
    std::optional<Waiting> m_next;
    std::vector<std::vector<std::uint8_t>> m_handedOut;
    DeviceCounters m_counters;
    std::string m_failure;
};

}  // namespace engine::io
