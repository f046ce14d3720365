// L2TP: edits stay inside the datagram and change nothing but two octets at a time, strays reach
// only a device that has a tunnel with their sender, and readers stay inside their buffers.

#include "engine/passthrough/l2tp.h"
#include "engine/passthrough/l2tp_message.h"

#include <algorithm>
#include <array>
#include <vector>

#include "tests/fuzz/require.h"

namespace {

using namespace engine;
using namespace engine::passthrough;
using net::Direction;

struct Way {
    Flow flow;
    bool considered = false;
    bool claimed = false;
    bool open = true;
};

Way wayOf(std::uint8_t number)
{
    Way way;
    way.flow.id = number + 1U;
    way.flow.protocol = net::IpProtocol::Udp;
    const net::Ipv4Address client{0xc0a80101U + (number & 1U)};
    way.flow.internal = {client, net::Port{1701}};
    way.flow.external = {
        net::Ipv4Address{0xcb007101U},
        net::Port{static_cast<std::uint16_t>(number == 4 ? 1701 : 30000 + (number & 1U))}};
    way.flow.remote = {net::Ipv4Address{0xc6336407U},
                       net::Port{static_cast<std::uint16_t>(number < 2 ? 1701 : 1700 - number)}};
    way.flow.initiator = number == 2 ? Direction::Inbound : Direction::Outbound;
    return way;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    wire::ConstBytes rest{data, size};
    const policy::PassthroughPolicy policy;
    const net::Prefix lan{net::Ipv4Address{192, 0, 2, 0}, 24};
    L2tpInspector inspector(HashKey{1, 2}, policy, lan);
    std::array<Way, 5> ways{wayOf(0), wayOf(1), wayOf(2), wayOf(3), wayOf(4)};
    Instant now{std::chrono::seconds(1)};
    while (rest.size() >= 3) {
        const std::uint8_t kind = rest[0];
        const std::size_t length = std::min<std::size_t>(rest[1], rest.size() - 2);
        std::vector<std::uint8_t> payload(rest.begin() + 2,
                                          rest.begin() + 2 + static_cast<std::ptrdiff_t>(length));
        rest = rest.subspan(2 + length);
        // Mutating a length field by hand would cost the fuzzer most of its time.
        if ((kind & 8U) != 0 && payload.size() >= 12 && (payload[0] & 0x80U) != 0) {
            wire::store16(payload, 2, static_cast<std::uint16_t>(payload.size()));
        }
        const auto direction = (kind & 1U) != 0 ? Direction::Inbound : Direction::Outbound;
        Actions actions;
        Way& way = ways[(kind >> 4) % ways.size()];
        if ((kind & 6U) == 6) {
            const auto redirect =
                inspector.unmatchedUdp(now, {way.flow.external.address, net::Port{1701}},
                                       way.flow.remote, payload, actions);
            if (redirect) {
                const Way& target = ways.at(redirect->flow - 1);
                require(target.claimed && target.flow.remote.address == way.flow.remote.address);
            }
        } else if ((kind & 6U) == 4) {
            PortlessPacket packet{
                net::IpProtocol::L2tpV3,
                direction == Direction::Outbound ? way.flow.internal.address : net::Ipv4Address{},
                way.flow.external.address,
                way.flow.remote.address,
                payload,
                payload};
            inspector.decide(now, direction, packet, actions);
            packet.internal = way.flow.internal.address;
            inspector.inspectPortless(now, direction, packet, actions);
            if ((kind & 0x80U) != 0) {
                for (const auto& binding : actions.bindings) {
                    Actions more;
                    inspector.bindingClosed(now, binding, FlowEnd::Expired, more);
                }
            }
        } else if (way.open) {
            const Segment segment{direction, payload, 0, 0, payload};
            if (!way.claimed) {
                way.claimed =
                    inspector.consider(now, way.flow, segment) == Inspector::Claim::Claimed;
            }
            if (way.claimed) inspector.inspect(now, way.flow, segment, actions);
            if (kind == 0xf3) {
                inspector.flowClosed(now, way.flow.id, FlowEnd::Closed, actions);
                way.open = false;
            }
        }
        for (const Edit& edit : actions.edits) {
            require(edit.length == 2 && edit.offset + edit.length <= payload.size());
        }
        now += std::chrono::seconds(kind & 3U);
        inspector.handleTimeout(now, actions);
    }
    for (Way& way : ways) {
        Actions actions;
        if (way.claimed && way.open) {
            inspector.flowClosed(now, way.flow.id, FlowEnd::Closed, actions);
        }
    }
    return 0;
}
