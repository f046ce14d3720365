#include "engine/engine.h"
#include "engine/wire/builder.h"
#include "engine/wire/ipv4_view.h"
#include "engine/wire/tcp_view.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "tests/fuzz/require.h"

using namespace engine;
using net::Endpoint;
using net::Ipv4Address;
using net::Port;

namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr Ipv4Address kRouter{192, 0, 2, 1};
constexpr Ipv4Address kInside{192, 0, 2, 10};
constexpr Ipv4Address kExternal{203, 0, 113, 1};
constexpr Ipv4Address kGuest{198, 51, 100, 7};
constexpr std::uint32_t kSessions = 16;

EngineConfig floodedAtOnce()
{
    EngineConfig config;
    config.seed = {1, 2};
    config.maxSessions = 64;
    config.internal = {.prefix = net::Prefix{kRouter, 24}, .address = kRouter, .mtu = 1500};
    config.external = {.addresses = {kExternal}, .prefix = net::Prefix{kExternal, 24}, .mtu = 1500};
    // A share so small that the second caller is checked already.
    config.nat.limits.sessionsPerDevice = kSessions;
    config.portForwards = {{.id = 1,
                            .protocol = net::IpProtocol::Tcp,
                            .externalPorts = {Port{443}, Port{443}},
                            .internalAddress = kInside,
                            .internalFirst = Port{443}}};
    return config;
}

wire::ConstBytes take(wire::ConstBytes& data, std::size_t count)
{
    const auto part = data.first(std::min(count, data.size()));
    data = data.subspan(part.size());
    return part;
}

/// A segment whose header, options and data are the input's, but for ports and checksum.
Bytes segment(Endpoint from, Endpoint to, wire::ConstBytes said, std::uint8_t flags,
              std::uint32_t sequence, std::uint32_t acknowledgement)
{
    Bytes tcp(said.begin(), said.end());
    tcp.resize(std::max<std::size_t>(tcp.size(), 20));
    wire::store16(tcp, 0, from.port.hostOrder());
    wire::store16(tcp, 2, to.port.hostOrder());
    wire::store32(tcp, 4, sequence);
    wire::store32(tcp, 8, acknowledgement);
    tcp[13] = flags;
    wire::store16(tcp, 16, 0);
    wire::ChecksumSum sum;
    sum.addPseudoHeader(from.address, to.address, net::IpProtocol::Tcp, tcp.size());
    sum.add(tcp);
    wire::store16(tcp, 16, sum.checksum());
    return wire::buildIpv4(from.address, to.address, net::IpProtocol::Tcp, tcp);
}

/// What leaves is whole, has right checksums and none of our inside.
void judge(PortId egress, wire::MutableBytes packet)
{
    const auto ip = wire::Ipv4View::parse(packet);
    require(ip && ip->hasValidChecksum());
    if (egress == PortId::External) require(ip->source() == kExternal);
    if (egress == PortId::Internal) require(ip->destination() == kInside);
    if (ip->protocol() != net::IpProtocol::Tcp) return;
    const auto tcp = wire::TcpView::parse(ip->payload());
    require(tcp.has_value() && tcp->hasValidChecksum(*ip));
}

}  // namespace

/// The input is a story of a flooded server: calls with any options, acknowledgements that are
/// right, nearly right or made up, whatever the server says, time, and a restart.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size)
{
    wire::ConstBytes data{input, size};
    const EngineConfig config = floodedAtOnce();
    Instant now{std::chrono::hours(1)};
    auto router = std::make_unique<Engine>(now, config);
    Output output;
    std::uint32_t cookie = 0;
    std::uint32_t called = 0;  // the guest's number
    std::uint32_t server = 0x7fffff00U;
    const auto send = [&](PortId ingress, Bytes& packet) {
        const std::size_t before = packet.size();
        wire::Packet carried{.bytes = packet};
        output.clear();
        const Verdict verdict = router->handlePacket(now, ingress, carried, output);
        if (verdict.kind == Verdict::Kind::Forward) {
            require(carried.bytes.size() <= before);
            judge(verdict.egress, carried.bytes);
        }
        packet.resize(carried.bytes.size());
        for (auto& made : output.packets)
            judge(made.egress, made.bytes);
        return verdict;
    };
    // Somebody who calls and is heard of no more.
    for (std::uint16_t i = 1; i < 4; ++i) {
        Bytes packet = wire::buildTcp({.source = {kGuest, Port{i}},
                                       .destination = {kExternal, Port{443}},
                                       .flags = wire::tcp_flag::kSyn});
        send(PortId::External, packet);
    }
    while (data.size() >= 4) {
        const auto step = take(data, 4);
        const Endpoint guest{kGuest, Port{static_cast<std::uint16_t>(2000 + step[1] % 4)}};
        const Endpoint shown{kExternal, Port{443}};
        const Endpoint inside{kInside, Port{443}};
        const auto near = [&](std::uint32_t number) {
            return number + static_cast<std::uint32_t>(static_cast<std::int8_t>(step[2]));
        };
        const auto said = take(data, step[3] % 80);
        switch (step[0] % 7) {
        case 0: {
            called = near(0x1000);
            Bytes packet = segment(guest, shown, said, wire::tcp_flag::kSyn, called, 0);
            const Verdict verdict = send(PortId::External, packet);
            if (verdict.kind != Verdict::Kind::Forward || verdict.egress != PortId::External) break;
            const auto tcp = wire::TcpView::parse(wire::Ipv4View::parse(packet)->payload());
            require(tcp->flags() == (wire::tcp_flag::kSyn | wire::tcp_flag::kAck));
            require(tcp->acknowledgement() == called + 1 && tcp->window() == 0);
            cookie = tcp->sequence();
            break;
        }
        case 1: {
            Bytes packet = segment(guest, shown, said, wire::tcp_flag::kAck, called + 1,
                                   step[2] % 2 == 0 ? cookie + 1 : near(cookie));
            send(PortId::External, packet);
            break;
        }
        case 2: {
            Bytes packet =
                segment(inside, guest, said,
                        wire::tcp_flag::kAck | (step[2] % 2 == 0 ? wire::tcp_flag::kSyn : 0),
                        server, called + 1);
            send(PortId::Internal, packet);
            break;
        }
        case 3: {
            Bytes packet = segment(inside, guest, said, step[2], near(server + 1), near(called));
            send(PortId::Internal, packet);
            break;
        }
        case 4: {
            Bytes packet = segment(guest, shown, said, step[2], near(called + 1), near(cookie + 1));
            send(PortId::External, packet);
            break;
        }
        case 5: {
            now = now + std::chrono::milliseconds(step[2] * 100);
            output.clear();
            router->handleTimeout(now, output);
            for (auto& made : output.packets)
                judge(made.egress, made.bytes);
            break;
        }
        case 6: {
            auto block = router->saveState(now);
            router = std::make_unique<Engine>(now, config);
            require(router->restoreState(now, block));
            break;
        }
        }
        require(router->snapshot(now).sessions <= kSessions);
    }
    return 0;
}
