#pragma once

#include "engine/base/result.h"
#include "engine/net/endpoint.h"
#include "engine/wire/ipv4_view.h"
#include "engine/wire/transport_checksum.h"

#include <array>
#include <cstdint>
#include <optional>

namespace engine::wire {

/// The flags octet of a TCP header (RFC 9293 §3.1).
namespace tcp_flag {
inline constexpr std::uint8_t kFin = 0x01;
inline constexpr std::uint8_t kSyn = 0x02;
inline constexpr std::uint8_t kRst = 0x04;
inline constexpr std::uint8_t kPsh = 0x08;
inline constexpr std::uint8_t kAck = 0x10;
inline constexpr std::uint8_t kUrg = 0x20;
}  // namespace tcp_flag

/// Option kinds (RFC 9293 §3.1, RFC 7323 §2, RFC 2018 §2 and §3).
namespace tcp_option {
inline constexpr std::uint8_t kEnd = 0;
inline constexpr std::uint8_t kNoOperation = 1;
inline constexpr std::uint8_t kMaximumSegmentSize = 2;
inline constexpr std::uint8_t kWindowScale = 3;
inline constexpr std::uint8_t kSackPermitted = 4;
inline constexpr std::uint8_t kSack = 5;
}  // namespace tcp_option

/// RFC 7323 §2.3: a larger shift count counts as 14.
inline constexpr std::uint8_t kTcpMaximumWindowScale = 14;

/// A TCP header and payload in somebody else's buffer (RFC 9293). Owns nothing; valid while the
/// buffer is. Every accessor is safe once parse() has succeeded, whatever the options hold.
class TcpView {
public:
    static constexpr std::size_t kMinimumHeader = 20;

    /// Takes the octets after the IP header, of a whole packet or of a first fragment that holds
    /// all of the header. Checks lengths only; the checksum is passed on adjusted, not judged.
    static Result<TcpView, ParseError> parse(MutableBytes bytes)
    {
        if (bytes.size() < kMinimumHeader) return Err{ParseError::Truncated};
        const std::size_t header = static_cast<std::size_t>(bytes[12] >> 4U) * 4;
        if (header < kMinimumHeader) return Err{ParseError::BadLength};
        if (header > bytes.size()) return Err{ParseError::Truncated};
        return TcpView{bytes, header};
    }

    [[nodiscard]] MutableBytes bytes() const { return m_bytes; }
    [[nodiscard]] std::size_t headerLength() const { return m_header; }
    [[nodiscard]] MutableBytes payload() const { return m_bytes.subspan(m_header); }
    [[nodiscard]] net::Port sourcePort() const { return net::Port{load16(m_bytes, 0)}; }
    [[nodiscard]] net::Port destinationPort() const { return net::Port{load16(m_bytes, 2)}; }
    [[nodiscard]] std::uint32_t sequence() const { return load32(m_bytes, 4); }
    [[nodiscard]] std::uint32_t acknowledgement() const { return load32(m_bytes, 8); }
    [[nodiscard]] std::uint8_t flags() const { return m_bytes[13]; }
    [[nodiscard]] bool has(std::uint8_t flag) const { return (m_bytes[13] & flag) != 0; }
    /// As in the header, not scaled.
    [[nodiscard]] std::uint16_t window() const { return load16(m_bytes, 14); }
    [[nodiscard]] std::uint16_t checksum() const { return load16(m_bytes, kChecksumAt); }
    [[nodiscard]] ConstBytes options() const
    {
        return m_bytes.subspan(kMinimumHeader, m_header - kMinimumHeader);
    }
    /// How far the segment moves the sequence number: its payload, and one each for SYN and FIN.
    [[nodiscard]] std::uint32_t sequenceLength() const
    {
        return static_cast<std::uint32_t>(payload().size()) + (has(tcp_flag::kSyn) ? 1U : 0U) +
               (has(tcp_flag::kFin) ? 1U : 0U);
    }
    /// Of a whole packet with a complete checksum.
    [[nodiscard]] bool hasValidChecksum(const Ipv4View& ip) const
    {
        ChecksumSum sum;
        sum.addPseudoHeader(ip.source(), ip.destination(), net::IpProtocol::Tcp, m_bytes.size());
        sum.add(m_bytes);
        return sum.folded() == 0xffff;
    }

    /// The data octets of the first option of this kind whose data has exactly `length` octets.
    /// Reading stops at the first option that contradicts the header's length.
    [[nodiscard]] std::optional<MutableBytes> option(std::uint8_t kind, std::size_t length) const
    {
        std::size_t at = kMinimumHeader;
        while (at < m_header && m_bytes[at] != tcp_option::kEnd) {
            if (m_bytes[at] == tcp_option::kNoOperation) {
                ++at;
                continue;
            }
            if (at + 1 >= m_header) return std::nullopt;
            const std::size_t whole = m_bytes[at + 1];
            if (whole < 2 || at + whole > m_header) return std::nullopt;
            if (m_bytes[at] == kind && whole == length + 2) return m_bytes.subspan(at + 2, length);
            at += whole;
        }
        return std::nullopt;
    }
    [[nodiscard]] std::optional<std::uint16_t> maximumSegmentSize() const
    {
        const auto data = option(tcp_option::kMaximumSegmentSize, 2);
        if (!data) return std::nullopt;
        return load16(*data, 0);
    }
    /// The shift count, at most 14. Means something in SYN segments only.
    [[nodiscard]] std::optional<std::uint8_t> windowScale() const
    {
        const auto data = option(tcp_option::kWindowScale, 1);
        if (!data) return std::nullopt;
        return (*data)[0] > kTcpMaximumWindowScale ? kTcpMaximumWindowScale : (*data)[0];
    }

    // Setters keep the checksum right incrementally.

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
    /// Lowers the maximum segment size option to `most`; never raises it, never adds one.
    void clampMaximumSegmentSize(std::uint16_t most, ChecksumState state)
    {
        const auto data = option(tcp_option::kMaximumSegmentSize, 2);
        if (!data || load16(*data, 0) <= most) return;
        const std::array<std::uint8_t, 2> octets{static_cast<std::uint8_t>(most >> 8),
                                                 static_cast<std::uint8_t>(most)};
        overwrite(static_cast<std::size_t>(data->data() - m_bytes.data()), octets, state);
    }
    void rewriteSequence(std::uint32_t value, ChecksumState state) { rewrite32(4, value, state); }
    void rewriteAcknowledgement(std::uint32_t value, ChecksumState state)
    {
        rewrite32(8, value, state);
    }
    void rewriteWindow(std::uint16_t value, ChecksumState state)
    {
        TransportChecksumDelta delta(state);
        delta.replace16(window(), value);
        store16(m_bytes, 14, value);
        store16(m_bytes, kChecksumAt, delta.applyTo(checksum()));
    }
    /// Adds to both edges of every block of every selective acknowledgement (RFC 2018 §3). Reading
    /// stops at the first option that contradicts the header's length.
    void shiftSelectiveAcknowledgements(std::uint32_t by, ChecksumState state)
    {
        std::size_t at = kMinimumHeader;
        while (at < m_header && m_bytes[at] != tcp_option::kEnd) {
            if (m_bytes[at] == tcp_option::kNoOperation) {
                ++at;
                continue;
            }
            if (at + 1 >= m_header) return;
            const std::size_t whole = m_bytes[at + 1];
            if (whole < 2 || at + whole > m_header) return;
            if (m_bytes[at] == tcp_option::kSack) {
                for (std::size_t edge = at + 2; edge + 4 <= at + whole; edge += 4) {
                    const std::uint32_t moved = load32(m_bytes, edge) + by;
                    std::array<std::uint8_t, 4> octets{};
                    store32(octets, 0, moved);
                    overwrite(edge, octets, state);
                }
            }
            at += whole;
        }
    }
    /// Overwrites payload octets; `offset` and `octets` must lie inside the payload.
    void rewritePayload(std::size_t offset, ConstBytes octets, ChecksumState state)
    {
        assert(offset + octets.size() <= payload().size());
        overwrite(m_header + offset, octets, state);
    }

private:
    static constexpr std::size_t kChecksumAt = 16;

    TcpView(MutableBytes bytes, std::size_t header) : m_bytes(bytes), m_header(header) {}

    void rewritePort(std::size_t at, net::Port port, TransportChecksumDelta& delta)
    {
        delta.replace16(load16(m_bytes, at), port.hostOrder());
        store16(m_bytes, at, port.hostOrder());
        store16(m_bytes, kChecksumAt, delta.applyTo(checksum()));
    }
    void rewrite32(std::size_t at, std::uint32_t value, ChecksumState state)
    {
        TransportChecksumDelta delta(state);
        delta.replace32(load32(m_bytes, at), value);
        store32(m_bytes, at, value);
        store16(m_bytes, kChecksumAt, delta.applyTo(checksum()));
    }
    void overwrite(std::size_t at, ConstBytes octets, ChecksumState state)
    {
        TransportChecksumDelta delta(state);
        for (std::size_t i = 0; i < octets.size(); ++i) {
            delta.replaceOctet(at + i, m_bytes[at + i], octets[i]);
            m_bytes[at + i] = octets[i];
        }
        store16(m_bytes, kChecksumAt, delta.applyTo(checksum()));
    }

    MutableBytes m_bytes;
    std::size_t m_header;
};

}  // namespace engine::wire
