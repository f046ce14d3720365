#include "engine/wire/fragmenter.h"

#include <algorithm>
#include <cassert>

namespace engine::wire {
namespace {

constexpr std::uint8_t kOptionEnd = 0;
constexpr std::uint8_t kOptionNoOperation = 1;
/// RFC 791 §3.1: the option is copied into all fragments.
constexpr std::uint8_t kOptionCopied = 0x80;
constexpr std::size_t kFragmentUnit = 8;

/// The options that later fragments carry, padded to a multiple of four.
std::vector<std::uint8_t> copiedOptions(ConstBytes options)
{
    std::vector<std::uint8_t> copied;
    std::size_t at = 0;
    while (at < options.size() && options[at] != kOptionEnd) {
        if (options[at] == kOptionNoOperation) {
            ++at;
            continue;
        }
        if (at + 1 >= options.size()) break;
        const std::size_t length = options[at + 1];
        if (length < 2 || at + length > options.size()) break;
        if ((options[at] & kOptionCopied) != 0) {
            const ConstBytes option = options.subspan(at, length);
            copied.insert(copied.end(), option.begin(), option.end());
        }
        at += length;
    }
    copied.resize((copied.size() + 3) / 4 * 4, kOptionEnd);
    return copied;
}

}  // namespace

std::vector<std::vector<std::uint8_t>> fragmentIpv4(const Ipv4View& packet, std::size_t mtu)
{
    assert(mtu >= kSmallestMtu);
    const ConstBytes whole = packet.bytes();
    if (whole.size() <= mtu) return {{whole.begin(), whole.end()}};

    std::vector<std::uint8_t> header(
        whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(packet.headerLength()));
    ConstBytes rest = packet.payload();
    std::size_t offset = packet.fragmentOffset();
    std::vector<std::vector<std::uint8_t>> fragments;
    while (!rest.empty()) {
        const std::size_t room = mtu - header.size();
        const bool last = rest.size() <= room;
        const std::size_t size = last ? rest.size() : room / kFragmentUnit * kFragmentUnit;
        const std::uint16_t more = last && !packet.moreFragments() ? 0 : 0x2000;
        store16(header, 2, static_cast<std::uint16_t>(header.size() + size));
        store16(header, 6, static_cast<std::uint16_t>(more | offset / kFragmentUnit));
        store16(header, 10, 0);
        ChecksumSum sum;
        sum.add(header);
        store16(header, 10, sum.checksum());
        auto& fragment = fragments.emplace_back(header);
        fragment.insert(fragment.end(), rest.begin(),
                        rest.begin() + static_cast<std::ptrdiff_t>(size));
        rest = rest.subspan(size);
        offset += size;
        if (fragments.size() == 1) {
            const auto options = copiedOptions(packet.options());
            header.resize(Ipv4View::kMinimumHeader);
            header.insert(header.end(), options.begin(), options.end());
            header[0] = static_cast<std::uint8_t>(0x40U | header.size() / 4);
        }
    }
    return fragments;
}

void completeTransportChecksum(const Ipv4View& packet)
{
    const MutableBytes bytes = packet.payload();
    const bool isUdp = packet.protocol() == net::IpProtocol::Udp;
    if (!isUdp && packet.protocol() != net::IpProtocol::Tcp) return;
    const std::size_t at = isUdp ? 6 : 16;
    if (packet.isFragment() || bytes.size() < at + 2) return;
    store16(bytes, at, 0);
    ChecksumSum sum;
    sum.addPseudoHeader(packet.source(), packet.destination(), packet.protocol(), bytes.size());
    sum.add(bytes);
    const std::uint16_t checksum = sum.checksum();
    store16(bytes, at, isUdp && checksum == 0 ? std::uint16_t{0xffff} : checksum);
}

}  // namespace engine::wire
