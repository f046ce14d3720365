#include "engine/wire/checksum.h"

namespace engine::wire {

void ChecksumSum::add(ConstBytes bytes)
{
    std::size_t at = 0;
    for (; at + 8 <= bytes.size(); at += 8) {
        const std::uint64_t word = load64(bytes, at);
        m_sum += (word >> 32) + (word & 0xffffffff);
    }
    for (; at + 2 <= bytes.size(); at += 2) m_sum += load16(bytes, at);
    if (at < bytes.size()) m_sum += std::uint64_t{bytes[at]} << 8;
}

void ChecksumSum::addPseudoHeader(net::Ipv4Address source, net::Ipv4Address destination,
                                  net::IpProtocol protocol, std::size_t length)
{
    add32(source.hostOrder());
    add32(destination.hostOrder());
    add16(static_cast<std::uint16_t>(protocol));
    add16(static_cast<std::uint16_t>(length));
}

}  // namespace engine::wire
