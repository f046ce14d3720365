// GRE and its port-less relatives: whatever the octets, a packet from outside reaches only a device
// that has itself sent to that server with that protocol, and readers stay inside their buffers.

#include "engine/passthrough/gre.h"
#include "engine/passthrough/gre_window.h"
#include "engine/passthrough/ppp_observer.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <vector>

#include "tests/fuzz/require.h"

namespace {

using namespace engine;
using namespace engine::passthrough;
using net::Direction;
using net::IpProtocol;

constexpr std::array kProtocols{IpProtocol::Gre, IpProtocol::IpIp, IpProtocol::SixInFour,
                                IpProtocol::EtherIp};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    wire::ConstBytes rest{data, size};
    const policy::PassthroughPolicy policy;
    const net::Prefix lan{net::Ipv4Address{192, 0, 2, 0}, 24};
    GreInspector inspector(HashKey{1, 2}, policy, lan);
    GreWindow window;
    PppObserver ppp;
    std::set<std::tuple<IpProtocol, net::Ipv4Address, net::Ipv4Address>> senders;
    std::vector<PortlessBinding> sessions;
    Instant now{std::chrono::seconds(1)};
    while (rest.size() >= 3) {
        const std::uint8_t kind = rest[0];
        const std::size_t length = std::min<std::size_t>(rest[1], rest.size() - 2);
        const auto payload = rest.subspan(2, length);
        rest = rest.subspan(2 + length);
        const auto direction = (kind & 1U) != 0 ? Direction::Inbound : Direction::Outbound;
        const bool outbound = direction == Direction::Outbound;
        const IpProtocol protocol = kProtocols[(kind >> 1) & 3U];
        const net::Ipv4Address client{0xc0a80100U + ((kind >> 3) & 3U)};
        const net::Ipv4Address server{0xc6336400U + ((kind >> 5) & 1U)};
        const net::Ipv4Address external{0xcb007101U};
        Actions actions;
        PortlessPacket packet{
            protocol, outbound ? client : net::Ipv4Address{}, external, server, payload, payload};
        if (inspector.owns(protocol, payload)) {
            const auto decision = inspector.decide(now, direction, packet, actions);
            const bool passes = decision.kind == PortlessDecision::Kind::Deliver ||
                                decision.kind == PortlessDecision::Kind::FanOut;
            if (outbound && passes) senders.insert({protocol, client, server});
            for (std::size_t i = 0; !outbound && passes && i < decision.recipientCount; ++i) {
                require(senders.contains({protocol, decision.recipients[i], server}));
            }
            packet.internal = client;
            inspector.inspectPortless(now, direction, packet, actions);
        }
        for (const PortlessBinding& binding : actions.bindings) {
            require(senders.contains({binding.protocol, binding.client, binding.server}));
            sessions.push_back(binding);
        }
        if ((kind & 0xc0U) == 0xc0 && !sessions.empty()) {
            inspector.bindingClosed(now, sessions.back(), FlowEnd::Expired, actions);
            sessions.pop_back();
        }
        if (const auto header = GreHeader::parse(payload)) {
            if (outbound) window.noteOutbound(now, header.value());
            window.admitInbound(header.value(), (kind & 0x80U) != 0
                                                    ? GreWindow::Strictness::Strict
                                                    : GreWindow::Strictness::Normal);
            window.roundTrip(now, header.value());
            ppp.observe(now, direction, header.value().payload);
        }
        ppp.observe(now, direction, payload);
        now += std::chrono::seconds(kind);
        inspector.handleTimeout(now, actions);
    }
    return 0;
}
