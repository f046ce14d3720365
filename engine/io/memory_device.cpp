#include "engine/io/memory_device.h"

#include <algorithm>
#include <utility>

#include <sys/eventfd.h>

namespace engine::io {

MemoryDevice::MemoryDevice(LinkKind kind)
    : m_kind(kind), m_event(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC))
{}

void MemoryDevice::put(Stored frame)
{
    m_incoming.push_back(std::move(frame));
    (void)::eventfd_write(m_event.number(), 1);
}

std::vector<MemoryDevice::Stored> MemoryDevice::takeSent()
{
    return std::exchange(m_sent, {});
}

std::size_t MemoryDevice::receive(std::span<Frame> frames)
{
    m_handedOut.clear();
    std::size_t filled = 0;
    while (filled < frames.size() && !m_incoming.empty()) {
        const Stored stored = std::move(m_incoming.front());
        m_incoming.pop_front();
        auto& buffer = m_handedOut.emplace_back(kHeadroom);
        buffer.insert(buffer.end(), stored.bytes.begin(), stored.bytes.end());
        frames[filled++] =
            Frame{buffer.data() + kHeadroom, static_cast<std::uint32_t>(stored.bytes.size()),
                  stored.checksum, stored.segmentPayload};
    }
    if (m_incoming.empty()) {
        eventfd_t value = 0;
        (void)::eventfd_read(m_event.number(), &value);
    }
    m_counters.received += filled;
    return filled;
}

std::size_t MemoryDevice::send(std::span<const Frame> frames)
{
    for (const auto& frame : frames) {
        const auto bytes = frame.bytes();
        m_sent.push_back({{bytes.begin(), bytes.end()}, frame.checksum, frame.segmentPayload});
    }
    m_counters.sent += frames.size();
    return frames.size();
}

}  // namespace engine::io
