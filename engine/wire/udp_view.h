#pragma once

#include "engine/base/result.h"
#include "engine/net/endpoint.h"
#include "engine/wire/ipv4_view.h"
#include "engine/wire/transport_checksum.h"

#include <algorithm>

namespace engine::wire {

/// A UDP header and payload in somebody else's buffer (RFC 768). Owns nothing; valid while the
/// buffer is. Every accessor is safe once parse() has succeeded.
class UdpView {
public:
    static constexpr std::size_t kHeader = 8;

    /// Takes the octets after the IP header. Checks lengths only; the checksum is not verified,
    /// because a translator passes it on adjusted, not judged. Octets after the length field's end
    /// are cut off.
    static Result<UdpView, ParseError> parse(MutableBytes bytes, Extent extent = Extent::Whole)
    {
        if (bytes.size() < kHeader) return Err{ParseError::Truncated};
        const std::size_t length = load16(bytes, 4);
        if (length < kHeader) return Err{ParseError::BadLength};
        if (length > bytes.size() && extent == Extent::Whole) return Err{ParseError::BadLength};
        return UdpView{bytes.first(std::min(length, bytes.size()))};
    }

    [[nodiscard]] MutableBytes bytes() const { return m_bytes; }
    [[nodiscard]] MutableBytes payload() const { return m_bytes.subspan(kHeader); }
    [[nodiscard]] net::Port sourcePort() const { return net::Port{load16(m_bytes, 0)}; }
    [[nodiscard]] net::Port destinationPort() const { return net::Port{load16(m_bytes, 2)}; }
    /// What the length field says; more than bytes() holds in a first fragment.
    [[nodiscard]] std::size_t length() const { return load16(m_bytes, 4); }
    [[nodiscard]] std::uint16_t checksum() const { return load16(m_bytes, kChecksumAt); }
    /// Of a whole packet with a complete checksum. An absent checksum (zero) is valid.
    [[nodiscard]] bool hasValidChecksum(const Ipv4View& ip) const
    {
        if (checksum() == 0) return true;
        ChecksumSum sum;
        sum.addPseudoHeader(ip.source(), ip.destination(), net::IpProtocol::Udp, m_bytes.size());
        sum.add(m_bytes);
        return sum.folded() == 0xffff;
    }

    // Setters keep the checksum right incrementally. An absent checksum (zero) stays absent; a
    // computed zero is sent as all ones (RFC 768).

    /// Rewrites address and port in both headers, and both headers' checksums.
    void rewriteSource(Ipv4View& ip, net::Endpoint source, ChecksumState state)
    {
        TransportChecksumDelta delta(state);
        delta.replaceAddress(ip.source(), source.address);
        ip.rewriteSource(source.address);
        rewritePort(0, source.port, delta);
    }
    void rewriteDestination(Ipv4View& ip, net::Endpoint destination, ChecksumState state)
    {
        TransportChecksumDelta delta(state);
        delta.replaceAddress(ip.destination(), destination.address);
        ip.rewriteDestination(destination.address);
        rewritePort(2, destination.port, delta);
    }
    /// Overwrites payload octets; `offset` and `octets` must lie inside the payload.
    void rewritePayload(std::size_t offset, ConstBytes octets, ChecksumState state)
    {
        assert(offset + octets.size() <= payload().size());
        TransportChecksumDelta delta(state);
        for (std::size_t i = 0; i < octets.size(); ++i) {
            std::uint8_t& octet = m_bytes[kHeader + offset + i];
            delta.replaceOctet(offset + i, octet, octets[i]);
            octet = octets[i];
        }
        updateChecksum(delta);
    }

private:
    static constexpr std::size_t kChecksumAt = 6;

    explicit UdpView(MutableBytes bytes) : m_bytes(bytes) {}

    void rewritePort(std::size_t at, net::Port port, TransportChecksumDelta& delta)
    {
        delta.replace16(load16(m_bytes, at), port.hostOrder());
        store16(m_bytes, at, port.hostOrder());
        updateChecksum(delta);
    }
    void updateChecksum(const TransportChecksumDelta& delta)
    {
        if (checksum() == 0) return;
        const std::uint16_t updated = delta.applyTo(checksum());
        store16(m_bytes, kChecksumAt, updated == 0 ? std::uint16_t{0xffff} : updated);
    }

    MutableBytes m_bytes;
};

}  // namespace engine::wire
