#include "engine/nat/fragments.h"
#include "engine/wire/builder.h"

#include <cstdint>
#include <map>
#include <vector>

#include "tests/fuzz/require.h"

using namespace engine;
using namespace engine::nat;

/// The input is a story: eight octets each say which fragment comes next, when, and what the engine
/// thinks of it.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    constexpr FragmentLimits kLimits{
        .datagrams = 16, .bufferedBytes = 8000, .bufferedPerSource = 8};
    Fragments fragments{{1, 2}, kLimits};
    Instant now;
    std::uint64_t buffered = 0;
    std::uint64_t released = 0;
    std::vector<FragmentTicket> open;
    for (std::size_t at = 0; at + 8 <= size; at += 8) {
        const std::uint8_t* step = data + at;
        now += std::chrono::milliseconds{step[0]} * (step[1] % 16);
        const std::vector<std::uint8_t> payload(step[2] * 2U);
        auto packet = wire::buildIpv4(
            net::Ipv4Address{0xc0000200U + step[3] % 8U}, {198, 51, 100, 1},
            step[1] % 3 == 0 ? net::IpProtocol::Tcp : net::IpProtocol::Udp, payload,
            {.identification = static_cast<std::uint16_t>(step[4] % 4),
             .dontFragment = false,
             .moreFragments = step[5] % 4 != 0,
             .fragmentOffset =
                 static_cast<std::uint16_t>(step[6] * (step[5] % 2 == 0 ? 8U : 248U))});
        const auto view = wire::Ipv4View::parse(packet);
        if (!view->isFragment()) continue;
        const auto decision = fragments.onFragment(now, net::Direction::Outbound, *view);
        using Kind = FragmentDecision::Kind;
        if (decision.kind == Kind::Buffered) ++buffered;
        if (decision.kind == Kind::First) {
            require(view->fragmentOffset() == 0);
            open.push_back(decision.ticket);
        }
        if (decision.kind == Kind::Follow) {
            require(view->fragmentOffset() != 0);
            require(decision.translation.identification == 77);
        }
        // The engine may take its time, and may name tickets that are long over.
        if (!open.empty() && step[7] % 4 != 0) {
            const FragmentTicket ticket = open[step[7] % open.size()];
            if (step[7] % 4 == 1) {
                fragments.refuse(ticket);
            } else {
                std::vector<std::vector<std::uint8_t>> packets;
                fragments.resolve(ticket, {{203, 0, 113, 1}, {198, 51, 100, 1}, 77, 0}, packets);
                released += packets.size();
                for (auto& one : packets) {
                    const auto sent = wire::Ipv4View::parse(one);
                    require(sent && sent->hasValidChecksum() && sent->identification() == 77);
                }
            }
        }
        require(fragments.bufferedBytes() <= kLimits.bufferedBytes);
        require(fragments.datagrams() <= kLimits.datagrams);
        require(fragments.nextTimeout().has_value() == (fragments.datagrams() > 0));
    }
    // Everything that was buffered was released or given up with a reason.
    now += std::chrono::hours{1};
    fragments.expire(now);
    const FragmentDiscards gone = fragments.takeDiscards();
    require(fragments.datagrams() == 0 && fragments.bufferedBytes() == 0);
    require(buffered == released + gone.quota + gone.timeout + gone.overlap + gone.ofDropped);
    return 0;
}
