#include "engine/io/offload.h"

#include "engine/wire/checksum.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace engine::io {

namespace {

constexpr std::size_t kIpv4Header = 20;
constexpr std::size_t kIpv6Header = 40;
constexpr std::size_t kTcpHeader = 20;
constexpr std::size_t kUdpHeader = 8;
constexpr std::size_t kTcpChecksum = 16;
constexpr std::size_t kUdpChecksum = 6;
constexpr std::uint8_t kTcpFin = 0x01;
constexpr std::uint8_t kTcpPush = 0x08;
constexpr std::uint8_t kTcpCongestionReduced = 0x80;
constexpr std::uint8_t kProtocolIpIp = 4;
constexpr std::uint8_t kProtocolTcp = 6;
constexpr std::uint8_t kProtocolUdp = 17;
constexpr std::uint8_t kProtocolIpv6 = 41;
constexpr std::uint8_t kProtocolGre = 47;

// Specification: virtio 1.1 §5.1.6; the kernel's own header is not valid C++.
struct Descriptor {
    std::uint8_t flags = 0;
    std::uint8_t segmentation = 0;
    std::uint16_t headers = 0;
    std::uint16_t segment = 0;
    std::uint16_t checksumStart = 0;
    std::uint16_t checksumOffset = 0;
};
static_assert(sizeof(Descriptor) == kOffloadHeader);
constexpr std::uint8_t kNeedsChecksum = 1;
constexpr std::uint8_t kSegmentNone = 0;
constexpr std::uint8_t kSegmentTcpIpv4 = 1;
constexpr std::uint8_t kSegmentUdp = 5;
constexpr std::uint8_t kSegmentCongestion = 0x80;

/// Where things are in an unfragmented TCP or UDP packet.
struct Layout {
    std::size_t transport = 0;
    std::size_t checksum = 0;  ///< offset of the field from the packet's start
    std::size_t payload = 0;
    std::uint8_t protocol = 0;
};

std::optional<Layout> layoutOf(wire::ConstBytes packet)
{
    if (packet.size() < kIpv4Header || packet[0] >> 4 != 4) return std::nullopt;
    const std::size_t header = static_cast<std::size_t>(packet[0] & 15U) * 4;
    if (header < kIpv4Header || header > packet.size()) return std::nullopt;
    if ((wire::load16(packet, 6) & 0x3fffU) != 0) return std::nullopt;
    const std::size_t rest = packet.size() - header;
    if (packet[9] == kProtocolTcp && rest >= kTcpHeader) {
        const std::size_t tcp = static_cast<std::size_t>(packet[header + 12] >> 4) * 4;
        if (tcp < kTcpHeader || tcp > rest) return std::nullopt;
        return Layout{header, header + kTcpChecksum, header + tcp, kProtocolTcp};
    }
    if (packet[9] == kProtocolUdp && rest >= kUdpHeader) {
        return Layout{header, header + kUdpChecksum, header + kUdpHeader, kProtocolUdp};
    }
    return std::nullopt;
}

std::uint16_t pseudoSum(wire::ConstBytes packet, const Layout& at)
{
    wire::ChecksumSum sum;
    sum.addPseudoHeader(net::Ipv4Address{wire::load32(packet, 12)},
                        net::Ipv4Address{wire::load32(packet, 16)},
                        static_cast<net::IpProtocol>(at.protocol), packet.size() - at.transport);
    return sum.folded();
}

/// Sums from `start` to the end, where the field at `at` holds the pseudo-header's sum already.
void finishAt(wire::MutableBytes packet, std::size_t start, std::size_t at, bool zeroIsOnes)
{
    wire::ChecksumSum sum;
    sum.add(packet.subspan(start));
    std::uint16_t value = sum.checksum();
    if (value == 0 && zeroIsOnes) value = 0xffff;
    wire::store16(packet, at, value);
}

void writeIpv4(wire::MutableBytes ip, std::size_t length, std::uint16_t id)
{
    const std::size_t header = static_cast<std::size_t>(ip[0] & 15U) * 4;
    wire::store16(ip, 2, static_cast<std::uint16_t>(length));
    wire::store16(ip, 4, id);
    wire::store16(ip, 10, 0);
    wire::ChecksumSum sum;
    sum.add(ip.first(header));
    wire::store16(ip, 10, sum.checksum());
}

}  // namespace

OffloadResult readOffload(std::span<const std::uint8_t, kOffloadHeader> header,
                          std::size_t linkHeader, wire::Packet& packet)
{
    Descriptor offload{};
    std::memcpy(&offload, header.data(), sizeof offload);
    packet.checksum = wire::ChecksumState::Complete;
    packet.segmentPayload = 0;
    if (offload.flags == 0 && offload.segmentation == kSegmentNone) return {};

    const auto at = layoutOf(packet.bytes);
    const unsigned type = offload.segmentation & ~unsigned{kSegmentCongestion};
    const bool toBeCut = type != kSegmentNone && offload.segment != 0;
    if ((offload.flags & kNeedsChecksum) != 0) {
        const std::size_t start =
            offload.checksumStart - std::min<std::size_t>(offload.checksumStart, linkHeader);
        const std::size_t field = start + offload.checksumOffset;
        if (offload.checksumStart < linkHeader || field + 2 > packet.bytes.size()) {
            return {OffloadReading::Refused, 0};
        }
        if (at && start == at->transport && field == at->checksum) {
            packet.checksum = wire::ChecksumState::Partial;
        } else if (toBeCut) {
            packet.segmentPayload = offload.segment;
            return {OffloadReading::Nested, start};
        } else {
            finishAt(packet.bytes, start, field, offload.checksumOffset == kUdpChecksum);
        }
    }
    if (!toBeCut) return {};
    if (!at) return {OffloadReading::Refused, 0};
    packet.segmentPayload = offload.segment;
    return {};
}

void writeOffload(std::span<std::uint8_t, kOffloadHeader> header, std::size_t linkHeader,
                  const wire::Packet& packet)
{
    Descriptor offload{};
    if (packet.checksum == wire::ChecksumState::Partial || packet.segmentPayload != 0) {
        const auto at = layoutOf(packet.bytes);
        if (at) {
            if (packet.checksum == wire::ChecksumState::Complete) {
                wire::store16(packet.bytes, at->checksum, pseudoSum(packet.bytes, *at));
            }
            offload.flags = kNeedsChecksum;
            offload.checksumStart = static_cast<std::uint16_t>(linkHeader + at->transport);
            offload.checksumOffset = static_cast<std::uint16_t>(at->checksum - at->transport);
            if (packet.segmentPayload != 0 &&
                packet.bytes.size() - at->payload > packet.segmentPayload) {
                offload.segment = packet.segmentPayload;
                offload.headers = static_cast<std::uint16_t>(linkHeader + at->payload);
                if (at->protocol == kProtocolTcp) {
                    offload.segmentation = kSegmentTcpIpv4;
                    // Only the first segment may say that the window was reduced (RFC 3168 §6.1.2).
                    if ((packet.bytes[at->transport + 13] & kTcpCongestionReduced) != 0) {
                        offload.segmentation |= kSegmentCongestion;
                    }
                } else {
                    offload.segmentation = kSegmentUdp;
                }
            }
        }
    }
    std::memcpy(header.data(), &offload, sizeof offload);
}

void finishChecksum(wire::MutableBytes packet)
{
    const auto at = layoutOf(packet);
    if (!at) return;
    wire::store16(packet, at->checksum, pseudoSum(packet, *at));
    finishAt(packet, at->transport, at->checksum, at->protocol == kProtocolUdp);
}

wire::ChecksumState guessChecksumState(wire::ConstBytes packet)
{
    const auto at = layoutOf(packet);
    if (!at) return wire::ChecksumState::Complete;
    const auto field = wire::load16(packet, at->checksum);
    if (field == 0 && at->protocol == kProtocolUdp) return wire::ChecksumState::Complete;
    const auto pseudo = pseudoSum(packet, *at);
    if (field != pseudo) return wire::ChecksumState::Complete;
    wire::ChecksumSum sum;
    sum.add(packet.subspan(at->transport));
    sum.add16(pseudo);
    return sum.folded() == 0xffff ? wire::ChecksumState::Complete : wire::ChecksumState::Partial;
}

std::uint16_t segmentPayloadFor(wire::ConstBytes packet, std::uint16_t mtu)
{
    if (packet.size() <= mtu) return 0;
    const auto at = layoutOf(packet);
    if (!at || at->payload >= mtu || at->protocol != kProtocolTcp) return 0;
    return static_cast<std::uint16_t>(mtu - at->payload);
}

bool segment(const wire::Packet& packet, wire::MutableBytes scratch, const SegmentSink& sink)
{
    const auto at = layoutOf(packet.bytes);
    if (packet.segmentPayload == 0 ||
        (at && packet.bytes.size() - at->payload <= packet.segmentPayload)) {
        if (packet.checksum == wire::ChecksumState::Partial || packet.segmentPayload != 0) {
            finishChecksum(packet.bytes);
        }
        sink(packet.bytes);
        return true;
    }
    if (!at || scratch.size() < packet.bytes.size()) return false;
    const std::size_t total = packet.bytes.size() - at->payload;
    std::uint16_t id = wire::load16(packet.bytes, 4);
    for (std::size_t done = 0; done < total; done += packet.segmentPayload, ++id) {
        const std::size_t here = std::min<std::size_t>(packet.segmentPayload, total - done);
        const auto out = scratch.first(at->payload + here);
        std::copy_n(packet.bytes.begin(), at->payload, out.begin());
        std::copy_n(packet.bytes.begin() + static_cast<std::ptrdiff_t>(at->payload + done), here,
                    out.begin() + static_cast<std::ptrdiff_t>(at->payload));
        writeIpv4(out, out.size(), id);
        if (at->protocol == kProtocolTcp) {
            const auto tcp = out.subspan(at->transport);
            wire::store32(tcp, 4, wire::load32(tcp, 4) + static_cast<std::uint32_t>(done));
            if (done + here < total) {
                tcp[13] = static_cast<std::uint8_t>(tcp[13] & ~(kTcpFin | kTcpPush));
            }
            if (done > 0) tcp[13] = static_cast<std::uint8_t>(tcp[13] & ~kTcpCongestionReduced);
        } else {
            wire::store16(out, at->transport + 4,
                          static_cast<std::uint16_t>(out.size() - at->transport));
        }
        finishChecksum(out);
        sink(out);
    }
    return true;
}

namespace {

/// The header that encloses the inner TCP: IPv4 or IPv6 with nothing between, at `start`.
struct Inner {
    std::size_t start = 0;
    std::size_t gre = 0;  ///< offset of a GRE header, 0: none
    bool six = false;
};

std::optional<Inner> innerOf(wire::ConstBytes packet, std::size_t tcp)
{
    if (packet.size() < kIpv4Header || packet[0] >> 4 != 4) return std::nullopt;
    const std::size_t outer = static_cast<std::size_t>(packet[0] & 15U) * 4;
    Inner inner;
    switch (packet[9]) {
    case kProtocolIpIp: inner.start = outer; break;
    case kProtocolIpv6:
        inner.start = outer;
        inner.six = true;
        break;
    case kProtocolGre: {
        if (packet.size() < outer + 4) return std::nullopt;
        const auto flags = wire::load16(packet, outer);
        const auto type = wire::load16(packet, outer + 2);
        // Key and checksum only: a sequence number would have to be made up.
        if ((flags & ~0xa000U) != 0) return std::nullopt;
        if (type != 0x0800 && type != 0x86dd) return std::nullopt;
        inner.gre = outer;
        inner.six = type == 0x86dd;
        inner.start =
            outer + 4 + ((flags & 0x8000U) != 0 ? 4U : 0U) + ((flags & 0x2000U) != 0 ? 4U : 0U);
        break;
    }
    default: return std::nullopt;
    }
    const std::size_t header = inner.six ? kIpv6Header : kIpv4Header;
    if (tcp > packet.size() || tcp < inner.start + header) return std::nullopt;
    if (inner.six
            ? tcp != inner.start + kIpv6Header || packet[inner.start + 6] != kProtocolTcp
            : packet[inner.start + 9] != kProtocolTcp ||
                  tcp != inner.start + static_cast<std::size_t>(packet[inner.start] & 15U) * 4) {
        return std::nullopt;
    }
    return inner;
}

}  // namespace

bool segmentNested(const wire::Packet& packet, std::size_t innerTransport,
                   wire::MutableBytes scratch, const SegmentSink& sink)
{
    const auto bytes = packet.bytes;
    const auto inner = innerOf(bytes, innerTransport);
    if (!inner || packet.segmentPayload == 0 || bytes.size() < innerTransport + kTcpHeader ||
        scratch.size() < bytes.size()) {
        return false;
    }
    const std::size_t tcpHeader = static_cast<std::size_t>(bytes[innerTransport + 12] >> 4) * 4;
    const std::size_t payload = innerTransport + tcpHeader;
    if (tcpHeader < kTcpHeader || payload > bytes.size()) return false;
    const std::size_t total = bytes.size() - payload;
    std::uint16_t step = 0;
    std::size_t done = 0;
    do {
        const std::size_t here = std::min<std::size_t>(packet.segmentPayload, total - done);
        const auto out = scratch.first(payload + here);
        std::copy_n(bytes.begin(), payload, out.begin());
        std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(payload + done), here,
                    out.begin() + static_cast<std::ptrdiff_t>(payload));
        writeIpv4(out, out.size(), static_cast<std::uint16_t>(wire::load16(bytes, 4) + step));
        const auto in = out.subspan(inner->start);
        const auto tcp = out.subspan(innerTransport);
        wire::ChecksumSum sum;
        if (inner->six) {
            wire::store16(in, 4, static_cast<std::uint16_t>(tcp.size()));
            sum.add(in.subspan(8, 32));
        } else {
            writeIpv4(in, in.size(), static_cast<std::uint16_t>(wire::load16(in, 4) + step));
            sum.add(in.subspan(12, 8));
        }
        sum.add16(kProtocolTcp);
        sum.add32(static_cast<std::uint32_t>(tcp.size()));
        wire::store32(tcp, 4, wire::load32(tcp, 4) + static_cast<std::uint32_t>(done));
        if (done + here < total) {
            tcp[13] = static_cast<std::uint8_t>(tcp[13] & ~(kTcpFin | kTcpPush));
        }
        if (done > 0) tcp[13] = static_cast<std::uint8_t>(tcp[13] & ~kTcpCongestionReduced);
        wire::store16(tcp, kTcpChecksum, 0);
        sum.add(tcp);
        wire::store16(tcp, kTcpChecksum, sum.checksum());
        if (inner->gre != 0 && (out[inner->gre] & 0x80U) != 0) {
            const auto gre = out.subspan(inner->gre);
            wire::store16(gre, 4, 0);
            wire::ChecksumSum greSum;
            greSum.add(gre);
            wire::store16(gre, 4, greSum.checksum());
        }
        sink(out);
        done += here;
        ++step;
    } while (done < total);
    return true;
}

}  // namespace engine::io
