#pragma once

#include "engine/base/result.h"
#include "engine/net/ip_protocol.h"
#include "engine/net/ipv4_address.h"
#include "engine/wire/bytes.h"
#include "engine/wire/checksum.h"
#include "engine/wire/parse_error.h"

namespace engine::wire {

/// An IPv4 header and payload in somebody else's buffer (RFC 791). Owns nothing; valid while the
/// buffer is. Every accessor is safe once parse() has succeeded.
class Ipv4View {
public:
    static constexpr std::size_t kMinimumHeader = 20;

    /// Checks version, header length and total length; octets after the total length (Ethernet
    /// padding) are cut off. The checksum is checked by hasValidChecksum().
    static Result<Ipv4View, ParseError> parse(MutableBytes bytes)
    {
        if (bytes.size() < kMinimumHeader) return Err{ParseError::Truncated};
        if (bytes[0] >> 4 != 4) return Err{ParseError::BadVersion};
        const std::size_t header = static_cast<std::size_t>(bytes[0] & 15U) * 4;
        const std::size_t total = load16(bytes, 2);
        if (header < kMinimumHeader || header > total) return Err{ParseError::BadLength};
        if (total > bytes.size()) return Err{ParseError::Truncated};
        return Ipv4View{bytes.first(total), header};
    }

    [[nodiscard]] MutableBytes bytes() const { return m_bytes; }
    [[nodiscard]] std::size_t headerLength() const { return m_header; }
    [[nodiscard]] std::size_t totalLength() const { return m_bytes.size(); }
    [[nodiscard]] MutableBytes payload() const { return m_bytes.subspan(m_header); }
    [[nodiscard]] ConstBytes options() const
    {
        return m_bytes.subspan(kMinimumHeader, m_header - kMinimumHeader);
    }

    [[nodiscard]] std::uint8_t typeOfService() const { return m_bytes[1]; }
    [[nodiscard]] std::uint16_t identification() const { return load16(m_bytes, 4); }
    [[nodiscard]] bool dontFragment() const { return (m_bytes[6] & 0x40U) != 0; }
    [[nodiscard]] bool moreFragments() const { return (m_bytes[6] & 0x20U) != 0; }
    /// In octets.
    [[nodiscard]] std::size_t fragmentOffset() const
    {
        return static_cast<std::size_t>(load16(m_bytes, 6) & 0x1fffU) * 8;
    }
    [[nodiscard]] bool isFragment() const { return (load16(m_bytes, 6) & 0x3fffU) != 0; }
    [[nodiscard]] std::uint8_t ttl() const { return m_bytes[8]; }
    [[nodiscard]] net::IpProtocol protocol() const
    {
        return static_cast<net::IpProtocol>(m_bytes[9]);
    }
    [[nodiscard]] std::uint16_t checksum() const { return load16(m_bytes, 10); }
    [[nodiscard]] net::Ipv4Address source() const { return net::Ipv4Address{load32(m_bytes, 12)}; }
    [[nodiscard]] net::Ipv4Address destination() const
    {
        return net::Ipv4Address{load32(m_bytes, 16)};
    }
    /// RFC 1812 §5.2.2 wants it judged for every packet: in line for headers without options.
    [[nodiscard]] bool hasValidChecksum() const
    {
        if (m_header == kMinimumHeader) {
            const std::uint64_t first = load64(m_bytes, 0);
            const std::uint64_t second = load64(m_bytes, 8);
            std::uint64_t sum = (first >> 32) + (first & 0xffffffffU) + (second >> 32) +
                                (second & 0xffffffffU) + load32(m_bytes, 16);
            sum = (sum >> 32) + (sum & 0xffffffffU);
            sum = (sum >> 16) + (sum & 0xffffU);
            sum = (sum >> 16) + (sum & 0xffffU);
            sum = (sum >> 16) + (sum & 0xffffU);
            return sum == 0xffffU;
        }
        ChecksumSum sum;
        sum.add(m_bytes.first(m_header));
        return sum.folded() == 0xffff;
    }

    // Setters keep the header checksum right incrementally (RFC 1624); the caller sees to the
    // transport checksum's pseudo-header.
    void rewriteSource(net::Ipv4Address address) { rewrite32(12, address.hostOrder()); }
    void rewriteDestination(net::Ipv4Address address) { rewrite32(16, address.hostOrder()); }
    void rewriteIdentification(std::uint16_t id) { rewrite16(4, id); }
    void decrementTtl() { rewrite16(8, static_cast<std::uint16_t>(load16(m_bytes, 8) - 0x100)); }

private:
    Ipv4View(MutableBytes bytes, std::size_t header) : m_bytes(bytes), m_header(header) {}

    void rewrite16(std::size_t at, std::uint16_t value)
    {
        ChecksumDelta delta;
        delta.replace16(load16(m_bytes, at), value);
        store16(m_bytes, at, value);
        store16(m_bytes, 10, delta.applyTo(load16(m_bytes, 10)));
    }
    void rewrite32(std::size_t at, std::uint32_t value)
    {
        ChecksumDelta delta;
        delta.replace32(load32(m_bytes, at), value);
        store32(m_bytes, at, value);
        store16(m_bytes, 10, delta.applyTo(load16(m_bytes, 10)));
    }

    MutableBytes m_bytes;
    std::size_t m_header;
};

}  // namespace engine::wire
