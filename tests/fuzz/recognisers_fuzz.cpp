#include "engine/passthrough/passthrough.h"
#include "engine/tunnel/tunnel_table.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

/// Feeds packets of a few flows to all recognisers and helpers at once, and what they say to the
/// table of tunnels. Each packet of the input: flow and direction, TCP flags, length, payload.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    using namespace engine;
    using namespace engine::passthrough;
    constexpr std::uint16_t kPorts[16] = {443,  51820, 1194, 4500, 500,   1701,  9993, 1723,
                                          4501, 3544,  5004, 655,  10443, 41641, 2408, 4242};

    Passthrough passthrough{HashKey{1, 2}};
    // Every other input meets switches that say no: refusals, and recognition at first sight.
    if (size > 0 && (data[size - 1] & 1) != 0) {
        policy::PassthroughPolicy blocked;
        for (const net::VpnProtocolText& text : net::kVpnProtocols) {
            blocked.set(text.protocol, {policy::PassthroughMode::Block, {}});
        }
        passthrough.setPolicy(blocked);
    }
    tunnel::TunnelTable table{HashKey{3, 4}};
    std::map<FlowId, tunnel::AttachmentId> attached;
    std::map<FlowId, std::uint32_t> sequences;
    Instant now{std::chrono::seconds(1000)};
    Actions actions;
    const auto perform = [&] {
        for (const auto& observation : actions.observations)
            table.apply(now, observation);
        for (const auto& attachment : actions.attachments) {
            table.detach(now, attached[attachment.flow]);
            attached[attachment.flow] = table.attach(now, attachment.key, attachment.sequence);
        }
        actions.clear();
    };
    wire::ConstBytes rest(data, size);
    while (rest.size() >= 4) {
        const std::uint8_t who = rest[0];
        const std::uint8_t flags = rest[1];
        const std::size_t length =
            std::min<std::size_t>(wire::load16(rest, 2) & 0x07ff, rest.size() - 4);
        const wire::ConstBytes payload = rest.subspan(4, length);
        rest = rest.subspan(4 + length);
        const bool isTcp = (who & 0x10) != 0;
        const bool isUpper = !isTcp && (flags & 1) != 0;
        const std::uint16_t port = kPorts[(who & 0x07) + (isUpper ? 8 : 0)];
        Flow flow;
        flow.id = 1 + (who & 0x1fU) + (isUpper ? 32U : 0U);
        flow.protocol = isTcp ? net::IpProtocol::Tcp : net::IpProtocol::Udp;
        flow.internal = {net::Ipv4Address{192, 0, 2, 10}, net::Port{40000}};
        flow.external = {net::Ipv4Address{198, 51, 100, 1}, net::Port{50000}};
        flow.remote = {net::Ipv4Address{203, 0, 113, 9}, net::Port{port}};
        Segment segment;
        segment.direction = (who & 0x80) != 0 ? net::Direction::Inbound : net::Direction::Outbound;
        segment.payload = payload;
        segment.packet = payload;
        if (isTcp) {
            std::uint32_t& next = sequences[flow.id * 2 + (who >> 7)];
            // Sometimes again, sometimes with a hole.
            segment.sequence = next + (flags >> 6) - ((flags & 0x20) != 0 ? 2U : 0U);
            segment.tcpFlags = flags & 0x1f;
            next += static_cast<std::uint32_t>(payload.size());
        }
        const Attention attention = passthrough.inspect(now, flow, segment, actions);
        for (const Edit& edit : actions.edits) {
            if (edit.offset + std::size_t{edit.length} > payload.size()) __builtin_trap();
        }
        perform();
        table.count(attached[flow.id], now,
                    {.direction = segment.direction, .payload = payload, .bytes = payload.size()});
        now += std::chrono::milliseconds(1 + (flags << 4));
        passthrough.handleTimeout(now, actions);
        perform();
        table.handleTimeout(now);
        if (attention.next == Attention::Next::Ignore && (who & 0x60) == 0x60) {
            passthrough.flowClosed(now, flow.id, FlowEnd::Closed, actions);
            perform();
        }
    }
    std::vector<tunnel::Tunnel> changed;
    std::vector<tunnel::Tunnel> ended;
    table.takeNews(now, changed, ended);
    for (const auto& shown : table.tunnels()) {
        if (shown.timeline.size() > tunnel::kTimelineLimit) __builtin_trap();
        if (shown.serverName.size() > 64 || shown.product.size() > 64) __builtin_trap();
    }
    return 0;
}
