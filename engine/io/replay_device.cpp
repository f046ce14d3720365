#include "engine/io/replay_device.h"

#include <utility>

#include <sys/eventfd.h>

namespace engine::io {

ReplayDevice::ReplayDevice(std::unique_ptr<CaptureFile> file, Clock clock)
    : m_file(std::move(file)),
      m_clock(std::move(clock)),
      m_event(::eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC))
{}

std::size_t ReplayDevice::receive(std::span<Frame> frames)
{
    m_handedOut.clear();
    m_handedOut.reserve(frames.size());
    const Instant now = m_clock();
    std::size_t filled = 0;
    while (filled < frames.size()) {
        if (!m_next) {
            const auto packet = m_file->next();
            if (!packet) {
                m_failure =
                    m_file->trouble().empty() ? "the end of the capture" : m_file->trouble();
                break;
            }
            if (!m_shift) m_shift = now - packet->at;
            Waiting waiting{packet->at + *m_shift, std::vector<std::uint8_t>(kHeadroom)};
            waiting.buffer.insert(waiting.buffer.end(), packet->packet.begin(),
                                  packet->packet.end());
            m_next = std::move(waiting);
        }
        if (m_next->at > now) break;
        auto& buffer = m_handedOut.emplace_back(std::move(m_next->buffer));
        m_next.reset();
        frames[filled++] =
            Frame{buffer.data() + kHeadroom, static_cast<std::uint32_t>(buffer.size() - kHeadroom),
                  wire::ChecksumState::Complete, 0};
    }
    m_counters.received += filled;
    return filled;
}

std::size_t ReplayDevice::send(std::span<const Frame> frames)
{
    m_counters.sent += frames.size();
    return frames.size();
}

}  // namespace engine::io
