#include "engine/passthrough/ipsec.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <vector>

#include "tests/fuzz/require.h"

using namespace engine;
using namespace engine::passthrough;

namespace {

constexpr net::Ipv4Address kServer{203, 0, 113, 10};
constexpr net::Ipv4Address kExternal{198, 51, 100, 2};

net::Ipv4Address clientAddress(std::uint32_t index)
{
    return net::Ipv4Address{0xc0a84d0aU + index};
}

/// What the inspector may ask for: only the clients, the server and the address it was shown.
void check(const Actions& actions)
{
    for (const PortlessBinding& binding : actions.bindings) {
        require(binding.protocol == net::IpProtocol::Esp);
        require(binding.server == kServer && binding.external == kExternal);
        require(binding.client >= clientAddress(0) && binding.client < clientAddress(8));
        require(binding.outbound.has_value() != binding.inbound.has_value());
        require(!binding.rewriteInbound);
    }
    for (const PortlessUnbinding& unbinding : actions.unbindings) {
        require(unbinding.server == kServer && unbinding.external == kExternal);
        require(unbinding.client >= clientAddress(0) && unbinding.client < clientAddress(8));
    }
    for (const UdpAlias& alias : actions.aliases)
        require(alias.flow >= 1 && alias.flow <= 32 && alias.externalPort.hostOrder() == 500);
    require(actions.edits.empty());
    for (const auto& observation : actions.observations)
        require(observation.text.size() <= 64);
}

}  // namespace

/// The input is a script: what happens, to whom, after how long, and with which octets.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const policy::PassthroughPolicy policy;
    IpsecInspector inspector(HashKey{1, 2}, policy);
    Instant now{std::chrono::hours(1)};
    Actions actions;
    std::array<bool, 32> claimed{};
    std::array<std::uint32_t, 16> sequences{};
    std::vector<PortlessBinding> bindings;
    std::size_t at = 0;
    while (at + 4 <= size) {
        const std::uint32_t what = data[at] % 12U;
        const std::uint32_t who = data[at + 1] % 8U;
        now += std::chrono::milliseconds(data[at + 2] * 4);
        const std::size_t length = std::min<std::size_t>(data[at + 3], size - at - 4);
        std::vector<std::uint8_t> octets(data + at + 4, data + at + 4 + length);
        at += 4 + length;
        const net::Direction direction =
            (what & 1U) != 0 ? net::Direction::Inbound : net::Direction::Outbound;
        actions.clear();
        if (what == 8) {
            if (octets.size() >= 28)
                wire::store32(octets, 24, static_cast<std::uint32_t>(octets.size()));
            const auto redirect = inspector.unmatchedUdp(
                now, {kExternal, net::Port{500}}, {kServer, net::Port{500}}, octets, actions);
            require(!redirect || (redirect->flow >= 1 && redirect->flow <= 32));
        } else if (what == 9) {
            PortlessPacket packet;
            packet.protocol = net::IpProtocol::Esp;
            packet.external = kExternal;
            packet.remote = kServer;
            packet.internal = clientAddress(who);
            packet.payload = octets;
            inspector.portlessRefused(now, packet, actions);
        } else if (what >= 10) {
            const std::size_t index = who * 4 + 2;
            Flow flow;
            flow.id = index + 1;
            flow.protocol = net::IpProtocol::Tcp;
            flow.internal = {clientAddress(who), net::Port{40000}};
            flow.external = {kExternal, net::Port{static_cast<std::uint16_t>(40000 + who)}};
            flow.remote = {kServer, net::Port{4500}};
            std::uint32_t& sequence = sequences[who * 2 + (what & 1U)];
            Segment segment;
            segment.direction = direction;
            segment.sequence = sequence;
            segment.payload = octets;
            segment.packet = octets;
            if (!claimed[index]) {
                claimed[index] =
                    inspector.consider(now, flow, segment) == Inspector::Claim::Claimed;
            }
            if (claimed[index]) inspector.inspect(now, flow, segment, actions);
            // Some of it is sent again.
            sequence += static_cast<std::uint32_t>(octets.size()) - (data[at - 1] & 1U);
        } else if (what < 4) {
            const bool encapsulated = what >= 2;
            const std::size_t marker = encapsulated ? 4 : 0;
            if (octets.size() >= marker + 28) {
                wire::store32(octets, marker + 24, static_cast<std::uint32_t>(length - marker));
            }
            const std::uint16_t port = encapsulated ? 4500 : 500;
            const std::size_t index = who * 4 + (encapsulated ? 1 : 0);
            Flow flow;
            flow.id = index + 1;
            flow.internal = {clientAddress(who), net::Port{port}};
            flow.external = {kExternal, net::Port{static_cast<std::uint16_t>(port + who)}};
            flow.remote = {kServer, net::Port{port}};
            Segment segment;
            segment.direction = direction;
            segment.payload = octets;
            segment.packet = octets;
            if (!claimed[index]) {
                claimed[index] =
                    inspector.consider(now, flow, segment) == Inspector::Claim::Claimed;
            }
            if (claimed[index]) inspector.inspect(now, flow, segment, actions);
        } else if (what < 6) {
            PortlessPacket packet;
            packet.protocol = net::IpProtocol::Esp;
            packet.external = kExternal;
            packet.remote = kServer;
            packet.payload = octets;
            packet.packet = octets;
            if (direction == net::Direction::Outbound) packet.internal = clientAddress(who);
            const auto decision = inspector.decide(now, direction, packet, actions);
            require(decision.recipientCount <= PortlessDecision::kMostRecipients);
            const auto bound = std::ranges::find_if(bindings, [&](const PortlessBinding& binding) {
                return direction == net::Direction::Inbound && binding.inbound &&
                       octets.size() >= 4 && binding.inbound->id == wire::load32(octets, 0);
            });
            if (bound != bindings.end()) {
                packet.internal = bound->client;
                inspector.inspectPortless(now, direction, packet, actions);
            }
        } else if (what == 6) {
            inspector.handleTimeout(now, actions);
        } else if (!bindings.empty()) {
            const PortlessBinding ended = bindings[who % bindings.size()];
            bindings.erase(bindings.begin() + static_cast<std::ptrdiff_t>(who % bindings.size()));
            inspector.bindingClosed(now, ended, FlowEnd::Expired, actions);
        } else {
            inspector.flowClosed(now, who * 4 + 1, FlowEnd::Expired, actions);
            claimed[who * 4] = false;
        }
        check(actions);
        for (const auto& binding : actions.bindings) {
            if (bindings.size() < 64) bindings.push_back(binding);
        }
    }
    // What has been learnt, whatever it is, can be told to the next engine. Not every time: making
    // an inspector is most of a short run.
    if (size % 8 != 0) return 0;
    StateWriter saved;
    inspector.save(saved);
    const std::vector<std::uint8_t> block = saved.bytes();
    IpsecInspector next(HashKey{1, 2}, policy);
    for (const PortlessBinding& binding : bindings)
        next.bindingRestored(now, binding, net::VpnProtocol::IpsecEsp);
    StateReader reader(block);
    std::vector<FlowId> restored;
    require(next.restore(now, reader, RestoredFlows{}, restored));
    return 0;
}
