#pragma once

#include "engine/io/descriptor.h"
#include "engine/io/device.h"

#include <cstdint>
#include <deque>
#include <vector>

namespace engine::io {

/// A device without hardware: frames that were put in come out of receive(), frames that were sent
/// can be taken. One thread.
class MemoryDevice final : public Device {
public:
    struct Stored {
        std::vector<std::uint8_t> bytes;
        wire::ChecksumState checksum = wire::ChecksumState::Complete;
        std::uint16_t segmentPayload = 0;
    };

    explicit MemoryDevice(LinkKind kind);

    void put(Stored frame);
    [[nodiscard]] std::vector<Stored> takeSent();

    [[nodiscard]] LinkKind linkKind() const override { return m_kind; }
    [[nodiscard]] int descriptor() const override { return m_event.number(); }
    std::size_t receive(std::span<Frame> frames) override;
    std::size_t send(std::span<const Frame> frames) override;
    [[nodiscard]] DeviceCounters counters() override { return m_counters; }
    [[nodiscard]] std::string_view failure() const override { return {}; }

private:
    LinkKind m_kind;
    Descriptor m_event;
    std::deque<Stored> m_incoming;
    std::vector<std::vector<std::uint8_t>> m_handedOut;
    std::vector<Stored> m_sent;
    DeviceCounters m_counters;
};

}  // namespace engine::io
