#pragma once

#include "engine/net/ip_protocol.h"
#include "engine/net/ipv4_address.h"
#include "engine/wire/bytes.h"

#include <cstdint>

/// The Internet checksum (RFC 1071) and its incremental update (RFC 1624).
namespace engine::wire {

/// A one's complement sum on its way to a checksum. Sums of several spans may be added as long as
/// each but the last has an even length.
class ChecksumSum {
public:
    void add(ConstBytes bytes);
    void add16(std::uint16_t value) { m_sum += value; }
    void add32(std::uint32_t value) { m_sum += (value >> 16) + (value & 0xffff); }
    /// Source, destination, protocol and length, as TCP and UDP count them in.
    void addPseudoHeader(net::Ipv4Address source, net::Ipv4Address destination,
                         net::IpProtocol protocol, std::size_t length);
    /// The sum folded to 16 bits, not complemented.
    [[nodiscard]] std::uint16_t folded() const
    {
        std::uint64_t sum = m_sum;
        while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
        return static_cast<std::uint16_t>(sum);
    }
    /// What stands in a header's checksum field.
    [[nodiscard]] std::uint16_t checksum() const { return static_cast<std::uint16_t>(~folded()); }

private:
    std::uint64_t m_sum = 0;
};

/// The difference that a set of replaced 16-bit words makes to a checksum: RFC 1624 eqn. 3,
/// HC' = ~(~HC + ~m + m'). Collect the replacements, then apply to each checksum that covers them.
class ChecksumDelta {
public:
    void replace16(std::uint16_t before, std::uint16_t after)
    {
        m_sum += static_cast<std::uint16_t>(~before) + std::uint32_t{after};
    }
    void replace32(std::uint32_t before, std::uint32_t after)
    {
        replace16(static_cast<std::uint16_t>(before >> 16), static_cast<std::uint16_t>(after >> 16));
        replace16(static_cast<std::uint16_t>(before), static_cast<std::uint16_t>(after));
    }
    /// A 16-bit field at an odd offset of the covered span: its octets fall into the other halves
    /// of two words, which equals one word with its octets swapped.
    void replace16AtOddOffset(std::uint16_t before, std::uint16_t after)
    {
        replace16(static_cast<std::uint16_t>((before << 8) | (before >> 8)),
                  static_cast<std::uint16_t>((after << 8) | (after >> 8)));
    }

    /// A complete checksum, complemented as it stands in a header.
    [[nodiscard]] std::uint16_t applyTo(std::uint16_t checksum) const
    {
        return static_cast<std::uint16_t>(~fold(static_cast<std::uint16_t>(~checksum) + m_sum));
    }
    /// A partial checksum: the sum over the pseudo-header only, not complemented, that the network
    /// card will finish (checksum offload).
    [[nodiscard]] std::uint16_t applyToPartial(std::uint16_t sum) const { return fold(sum + m_sum); }

private:
    static std::uint16_t fold(std::uint32_t sum)
    {
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        return static_cast<std::uint16_t>(sum);
    }

    std::uint32_t m_sum = 0;
};

}  // namespace engine::wire
