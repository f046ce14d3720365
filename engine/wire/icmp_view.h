#pragma once

#include "engine/base/result.h"
#include "engine/net/endpoint.h"
#include "engine/wire/bytes.h"
#include "engine/wire/checksum.h"
#include "engine/wire/parse_error.h"

#include <cstdint>

namespace engine::wire {

/// ICMP types (RFC 792; IANA). Others travel as plain values.
enum class IcmpType : std::uint8_t {
    EchoReply = 0,
    Unreachable = 3,
    SourceQuench = 4,
    Redirect = 5,
    Echo = 8,
    TimeExceeded = 11,
    ParameterProblem = 12,
    Timestamp = 13,
    TimestampReply = 14,
};

/// Codes of IcmpType::Unreachable (RFC 792, RFC 1812 §5.2.7.1).
namespace icmp_unreachable {
inline constexpr std::uint8_t kNet = 0;
inline constexpr std::uint8_t kHost = 1;
inline constexpr std::uint8_t kProtocol = 2;
inline constexpr std::uint8_t kPort = 3;
inline constexpr std::uint8_t kFragmentationNeeded = 4;
inline constexpr std::uint8_t kAdministrativelyProhibited = 13;
}  // namespace icmp_unreachable

/// An ICMP message in somebody else's buffer (RFC 792). Owns nothing; valid while the buffer is.
/// Every accessor is safe once parse() has succeeded. ICMP has no pseudo-header, so address changes
/// leave its checksum alone.
class IcmpView {
public:
    static constexpr std::size_t kHeader = 8;

    /// Takes the octets after the IP header. The checksum is checked by hasValidChecksum().
    static Result<IcmpView, ParseError> parse(MutableBytes bytes)
    {
        if (bytes.size() < kHeader) return Err{ParseError::Truncated};
        return IcmpView{bytes};
    }

    [[nodiscard]] MutableBytes bytes() const { return m_bytes; }
    [[nodiscard]] IcmpType type() const { return static_cast<IcmpType>(m_bytes[0]); }
    [[nodiscard]] std::uint8_t code() const { return m_bytes[1]; }
    [[nodiscard]] std::uint16_t checksum() const { return load16(m_bytes, 2); }
    /// A request or reply that carries a query identifier (RFC 5508 §1).
    [[nodiscard]] bool isQuery() const
    {
        return type() == IcmpType::Echo || type() == IcmpType::EchoReply ||
               type() == IcmpType::Timestamp || type() == IcmpType::TimestampReply;
    }
    [[nodiscard]] bool isQueryRequest() const
    {
        return type() == IcmpType::Echo || type() == IcmpType::Timestamp;
    }
    /// A message about another packet, which it quotes.
    [[nodiscard]] bool isError() const
    {
        return type() == IcmpType::Unreachable || type() == IcmpType::SourceQuench ||
               type() == IcmpType::Redirect || type() == IcmpType::TimeExceeded ||
               type() == IcmpType::ParameterProblem;
    }
    /// Of a query. Stands where a mapping has its port.
    [[nodiscard]] net::Port identifier() const { return net::Port{load16(m_bytes, 4)}; }
    [[nodiscard]] std::uint16_t sequence() const { return load16(m_bytes, 6); }
    /// Of "fragmentation needed" (RFC 1191 §4); zero from routers that are older.
    [[nodiscard]] std::uint16_t nextHopMtu() const { return load16(m_bytes, 6); }
    /// Everything after the first eight octets: an error's quoted packet, a query's data.
    [[nodiscard]] MutableBytes payload() const { return m_bytes.subspan(kHeader); }
    [[nodiscard]] bool hasValidChecksum() const
    {
        ChecksumSum sum;
        sum.add(m_bytes);
        return sum.folded() == 0xffff;
    }

    /// Keeps the checksum right incrementally.
    void rewriteIdentifier(net::Port identifier)
    {
        ChecksumDelta delta;
        delta.replace16(load16(m_bytes, 4), identifier.hostOrder());
        store16(m_bytes, 4, identifier.hostOrder());
        store16(m_bytes, 2, delta.applyTo(checksum()));
    }

private:
    explicit IcmpView(MutableBytes bytes) : m_bytes(bytes) {}

    MutableBytes m_bytes;
};

}  // namespace engine::wire
