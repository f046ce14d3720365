#include "engine/wire/fragmenter.h"
#include "engine/wire/gre_view.h"
#include "engine/wire/icmp_view.h"
#include "engine/wire/ipv4_view.h"
#include "engine/wire/tcp_view.h"
#include "engine/wire/udp_view.h"

#include <cstdint>
#include <numeric>
#include <vector>

#include "tests/fuzz/require.h"

using namespace engine;
using namespace engine::wire;

namespace {

const net::Endpoint kSomewhere{{203, 0, 113, 1}, net::Port{40001}};

/// Reads every octet, so that the address sanitizer sees it.
unsigned touch(ConstBytes bytes)
{
    return std::accumulate(bytes.begin(), bytes.end(), 0U);
}

void tryUdp(Ipv4View ip)
{
    for (const auto extent : {Extent::Whole, Extent::Beginning}) {
        auto udp = UdpView::parse(ip.payload(), extent);
        if (!udp) continue;
        const bool valid = extent == Extent::Whole && udp->hasValidChecksum(ip);
        const bool absent = udp->checksum() == 0;
        udp->rewriteSource(ip, kSomewhere, ChecksumState::Complete);
        udp->rewriteDestination(ip, kSomewhere, ChecksumState::Complete);
        if (!udp->payload().empty()) {
            udp->rewritePayload(udp->payload().size() / 2, ConstBytes{}, ChecksumState::Complete);
        }
        require(touch(udp->payload()) < 256U * 65536U);
        require((udp->checksum() == 0) == absent);
        if (valid) require(udp->hasValidChecksum(ip));
    }
}

void tryTcp(Ipv4View ip)
{
    auto tcp = TcpView::parse(ip.payload());
    if (!tcp) return;
    const bool valid = tcp->hasValidChecksum(ip);
    require(tcp->headerLength() + tcp->payload().size() == ip.payload().size());
    require(tcp->windowScale().value_or(0) <= kTcpMaximumWindowScale);
    tcp->rewriteSource(ip, kSomewhere, ChecksumState::Complete);
    tcp->rewriteDestination(ip, kSomewhere, ChecksumState::Complete);
    tcp->clampMaximumSegmentSize(1200, ChecksumState::Complete);
    require(tcp->maximumSegmentSize().value_or(0) <= 1200);
    require(touch(tcp->options()) < 256U * 40U);
    if (valid) require(tcp->hasValidChecksum(ip));
}

void tryIcmp(const Ipv4View& ip)
{
    auto icmp = IcmpView::parse(ip.payload());
    if (!icmp) return;
    const bool valid = icmp->hasValidChecksum();
    require(!(icmp->isError() && icmp->isQuery()));
    icmp->rewriteIdentifier(kSomewhere.port);
    if (valid) require(icmp->hasValidChecksum());
}

void tryGre(const Ipv4View& ip)
{
    auto gre = GreView::parse(ip.payload());
    if (!gre) return;
    require(gre->headerLength() <= ip.payload().size());
    require(gre->key().has_value() || gre->version() == 0);
    require(!gre->acknowledgement() || gre->version() == 1);
    require(touch(gre->payload()) < 256U * 65536U);
}

void tryFragmenting(const Ipv4View& ip)
{
    if (ip.fragmentOffset() + ip.payload().size() > 65535 - 60) return;
    std::size_t carried = 0;
    auto fragments = fragmentIpv4(ip, kSmallestMtu + ip.identification() % 1500U);
    for (auto& fragment : fragments) {
        const auto view = Ipv4View::parse(fragment);
        require(view.has_value());
        carried += view->payload().size();
    }
    require(carried == ip.payload().size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    std::vector<std::uint8_t> bytes(data, data + size);
    const auto ip = Ipv4View::parse(bytes);
    if (!ip) return 0;
    require(ip->headerLength() + ip->payload().size() == ip->totalLength());
    tryFragmenting(*ip);
    const auto copies = [&](auto&& attempt) {
        std::vector<std::uint8_t> copy(bytes);
        attempt(*Ipv4View::parse(copy));
    };
    copies(tryUdp);
    copies(tryTcp);
    copies(tryIcmp);
    copies(tryGre);
    return 0;
}
