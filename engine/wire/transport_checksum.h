#pragma once

#include "engine/wire/checksum.h"
#include "engine/wire/packet.h"

#include <cstddef>

namespace engine::wire {

/// The change of one TCP or UDP checksum, whichever state it is in. The pseudo-header counts in
/// both states; header and payload words count only in a complete checksum, because the device that
/// finishes a partial one reads them as they are then.
class TransportChecksumDelta {
public:
    explicit TransportChecksumDelta(ChecksumState state) : m_state(state) {}

    void replaceAddress(net::Ipv4Address before, net::Ipv4Address after)
    {
        m_delta.replace32(before.hostOrder(), after.hostOrder());
    }
    void replace16(std::uint16_t before, std::uint16_t after)
    {
        if (m_state == ChecksumState::Complete) m_delta.replace16(before, after);
    }
    void replace32(std::uint32_t before, std::uint32_t after)
    {
        if (m_state == ChecksumState::Complete) m_delta.replace32(before, after);
    }
    /// One octet at this offset of the checksummed span.
    void replaceOctet(std::size_t offset, std::uint8_t before, std::uint8_t after)
    {
        const unsigned shift = offset % 2 == 0 ? 8 : 0;
        replace16(static_cast<std::uint16_t>(before << shift),
                  static_cast<std::uint16_t>(after << shift));
    }
    [[nodiscard]] std::uint16_t applyTo(std::uint16_t checksum) const
    {
        return m_state == ChecksumState::Complete ? m_delta.applyTo(checksum)
                                                  : m_delta.applyToPartial(checksum);
    }

private:
    ChecksumDelta m_delta;
    ChecksumState m_state;
};

}  // namespace engine::wire
