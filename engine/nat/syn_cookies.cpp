#include "engine/nat/syn_cookies.h"

#include "engine/wire/checksum.h"
#include "engine/wire/ipv4_view.h"

#include <algorithm>
#include <array>

namespace engine::nat {
namespace {

// Ours: what a cookie says below its hash.
/// The segment sizes of the links there are: nothing said, tunnels, PPPoE, Ethernet.
constexpr std::array<std::uint16_t, 4> kSegmentSizes{536, 1300, 1440, 1460};
constexpr std::uint32_t kSizeMask = 3;
constexpr unsigned kScaleShift = 2;
constexpr std::uint32_t kScaleMask = 15;
constexpr std::uint32_t kSack = 0x40;
constexpr std::uint32_t kOddPeriod = 0x80;

constexpr std::size_t kIpHeader = wire::Ipv4View::kMinimumHeader;
constexpr std::size_t kTcpHeader = wire::TcpView::kMinimumHeader;
/// An option, padded to a multiple of four.
constexpr std::size_t kOption = 4;

std::uint32_t sizeIndex(std::uint16_t size)
{
    std::uint32_t index = kSegmentSizes.size() - 1;
    while (index > 0 && kSegmentSizes[index] > size)
        --index;
    return index;
}

std::int64_t periodAt(Instant now)
{
    return now.nanoseconds() / SynCookies::kPeriod.count();
}

}  // namespace

SynOptions optionsOf(const wire::TcpView& syn, std::size_t room)
{
    SynOptions options;
    if (const auto size = syn.maximumSegmentSize(); size && room >= kOption) {
        options.maximumSegmentSize = kSegmentSizes[sizeIndex(*size)];
        room -= kOption;
    }
    if (const auto scale = syn.windowScale(); scale && room >= kOption) {
        options.windowScale = *scale;
        room -= kOption;
    }
    options.sackPermitted =
        syn.option(wire::tcp_option::kSackPermitted, 0).has_value() && room >= kOption;
    return options;
}

std::uint32_t SynCookies::hash(std::int64_t period, const SynCall& call, std::uint32_t said) const
{
    const std::uint64_t who = sipHash(
        m_key,
        (std::uint64_t{call.client.address.hostOrder()} << 32) | call.server.address.hostOrder(),
        (std::uint64_t{call.client.port.hostOrder()} << 48) |
            (std::uint64_t{call.server.port.hostOrder()} << 32) | call.clientSequence);
    const std::uint64_t all = sipHash(m_key, who, (static_cast<std::uint64_t>(period) << 8) | said);
    return static_cast<std::uint32_t>(all) & 0xffffff00U;
}

std::uint32_t SynCookies::make(Instant now, const SynCall& call, const SynOptions& options) const
{
    const std::int64_t period = periodAt(now);
    const std::uint32_t said = sizeIndex(options.maximumSegmentSize) |
                               (std::uint32_t{options.windowScale} << kScaleShift) |
                               (options.sackPermitted ? kSack : 0U) |
                               (period % 2 != 0 ? kOddPeriod : 0U);
    const std::uint32_t covered = hash(period, call, said);
    return covered | (said ^ (covered >> 24));
}

std::optional<SynOptions> SynCookies::check(Instant now, const SynCall& call,
                                            std::uint32_t cookie) const
{
    const std::uint32_t said = (cookie & 0xffU) ^ (cookie >> 24);
    std::int64_t period = periodAt(now);
    if ((period % 2 != 0) != ((said & kOddPeriod) != 0)) --period;
    if (hash(period, call, said) != (cookie & 0xffffff00U)) return std::nullopt;
    return SynOptions{.maximumSegmentSize = kSegmentSizes[said & kSizeMask],
                      .windowScale = static_cast<std::uint8_t>((said >> kScaleShift) & kScaleMask),
                      .sackPermitted = (said & kSack) != 0};
}

wire::MutableBytes answerInPlace(wire::MutableBytes syn, const SynAnswer& answer)
{
    const auto asked = *wire::Ipv4View::parse(syn);
    const auto call = *wire::TcpView::parse(asked.payload());
    std::array<std::uint8_t, 3 * kOption> options{};
    std::size_t said = 0;
    const std::size_t room = syn.size() - kIpHeader - kTcpHeader;
    const auto say = [&](std::array<std::uint8_t, kOption> option) {
        if (said + kOption > room) return;
        std::ranges::copy(option, options.begin() + static_cast<std::ptrdiff_t>(said));
        said += kOption;
    };
    if (call.maximumSegmentSize()) {
        say({wire::tcp_option::kMaximumSegmentSize, 4,
             static_cast<std::uint8_t>(answer.maximumSegmentSize >> 8),
             static_cast<std::uint8_t>(answer.maximumSegmentSize)});
    }
    if (answer.asked.windowScale != SynOptions::kNoScale) {
        say({wire::tcp_option::kNoOperation, wire::tcp_option::kWindowScale, 3,
             answer.windowScale});
    }
    if (answer.asked.sackPermitted) {
        say({wire::tcp_option::kNoOperation, wire::tcp_option::kNoOperation,
             wire::tcp_option::kSackPermitted, 2});
    }

    const net::Endpoint client{asked.source(), call.sourcePort()};
    const net::Endpoint server{asked.destination(), call.destinationPort()};
    const std::uint32_t next = call.sequence() + 1;
    const std::size_t total = kIpHeader + kTcpHeader + said;
    const wire::MutableBytes ip = syn.first(total);
    std::ranges::fill(ip, std::uint8_t{0});
    ip[0] = 0x45;
    wire::store16(ip, 2, static_cast<std::uint16_t>(total));
    ip[6] = 0x40;  // may not be fragmented, so that its identification means nothing (RFC 6864 §4)
    ip[8] = 64;
    ip[9] = static_cast<std::uint8_t>(net::IpProtocol::Tcp);
    wire::store32(ip, 12, server.address.hostOrder());
    wire::store32(ip, 16, client.address.hostOrder());
    wire::ChecksumSum header;
    header.add(ip.first(kIpHeader));
    wire::store16(ip, 10, header.checksum());

    const wire::MutableBytes tcp = ip.subspan(kIpHeader);
    wire::store16(tcp, 0, server.port.hostOrder());
    wire::store16(tcp, 2, client.port.hostOrder());
    wire::store32(tcp, 4, answer.sequence);
    wire::store32(tcp, 8, next);
    tcp[12] = static_cast<std::uint8_t>((kTcpHeader + said) / 4 << 4);
    tcp[13] = wire::tcp_flag::kSyn | wire::tcp_flag::kAck;
    std::copy_n(options.begin(), said, tcp.begin() + kTcpHeader);
    wire::ChecksumSum whole;
    whole.addPseudoHeader(server.address, client.address, net::IpProtocol::Tcp, tcp.size());
    whole.add(tcp);
    wire::store16(tcp, 16, whole.checksum());
    return ip;
}

}  // namespace engine::nat
