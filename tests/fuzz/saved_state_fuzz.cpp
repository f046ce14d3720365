// Saved state: a block of live sessions with octets changed behind its seal is refused whole, or
// what comes of it ends like everything else.

#include "engine/engine.h"
#include "engine/wire/builder.h"

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tests/fuzz/require.h"

namespace {

using namespace engine;
using namespace std::chrono_literals;
using Bytes = std::vector<std::uint8_t>;

constexpr Instant kNow{1000s};
constexpr net::Ipv4Address kDevice{192, 0, 2, 10};
constexpr net::Ipv4Address kOther{192, 0, 2, 11};
constexpr net::Ipv4Address kExternal{203, 0, 113, 1};
constexpr net::Ipv4Address kServer{198, 51, 100, 7};

EngineConfig config()
{
    EngineConfig wished;
    wished.seed = {1, 2};
    wished.maxSessions = 64;
    const net::Ipv4Address router{192, 0, 2, 1};
    wished.internal = {.prefix = net::Prefix{router, 24}, .address = router, .mtu = 1500};
    wished.external = {.addresses = {kExternal}, .prefix = net::Prefix{kExternal, 24}, .mtu = 1500};
    return wished;
}

void pass(Engine& engine, PortId ingress, Bytes packet)
{
    Output output;
    wire::Packet carried{.bytes = packet};
    (void)engine.handlePacket(kNow, ingress, carried, output);
}

/// Sessions with and without ports, of tunnels and of none.
void fill(Engine& engine)
{
    const auto udp = [&](net::Ipv4Address device, std::uint16_t port, const Bytes& payload) {
        pass(engine, PortId::Internal,
             wire::buildUdp({device, net::Port{port}}, {kServer, net::Port{port}}, payload));
    };
    Bytes esp(40, 0x11);
    Bytes keyedGre{0x20, 0x00, 0x08, 0x00, 0, 0, 0, 7};
    keyedGre.resize(60, 0x45);
    Bytes initiation(148);
    initiation[0] = 1;
    initiation[4] = 9;
    const Bytes l2tp{0xc8, 0x02, 0x00, 0x1c, 0, 0,    0,    0,    0, 0, 0, 0, 0x80, 0x08,
                     0,    0,    0,    0,    0, 0x01, 0x80, 0x08, 0, 0, 0, 9, 0,    5};
    for (const net::Ipv4Address device : {kDevice, kOther}) {
        pass(engine, PortId::Internal, wire::buildIpv4(device, kServer, net::IpProtocol::Esp, esp));
        pass(engine, PortId::Internal,
             wire::buildIpv4(device, kServer, net::IpProtocol::Gre, keyedGre));
        udp(device, 51820, initiation);
        udp(device, 1701, l2tp);
        udp(device, 53, esp);
        esp[0] = 0x22;
        keyedGre[7] = 8;
    }
    esp[0] = 0x33;
    esp[4] = esp[5] = esp[6] = 0;
    esp[7] = 1;
    pass(engine, PortId::External, wire::buildIpv4(kServer, kExternal, net::IpProtocol::Esp, esp));
}

/// As the engine seals a block.
void seal(Bytes& block)
{
    std::uint64_t sum = 0x9e3779b97f4a7c15U;
    for (std::size_t i = 0; i + 8 < block.size(); ++i)
        sum = (sum ^ block[i]) * 0x100000001b3U;
    for (std::size_t i = 0; i < 8; ++i)
        block[block.size() - 8 + i] = static_cast<std::uint8_t>(sum >> (56 - 8 * i));
}

const Bytes& original()
{
    static const Bytes block = [] {
        Engine engine{kNow, config()};
        fill(engine);
        Bytes made = engine.saveState(kNow);
        Bytes sealed = made;
        seal(sealed);
        require(sealed == made);
        return made;
    }();
    return block;
}

}  // namespace

/// The input: three octets each, where (16 bits) and what.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    Bytes block = original();
    for (std::size_t i = 0; i + 3 <= size; i += 3) {
        const std::size_t at = static_cast<std::size_t>(data[i] << 8 | data[i + 1]);
        block[at % (block.size() - 8)] = data[i + 2];
    }
    seal(block);
    Engine engine{kNow, config()};
    if (!engine.restoreState(kNow, block)) {
        require(engine.snapshot(kNow).sessions == 0);
        require(engine.snapshot(kNow).tunnels.empty());
        require(engine.restoreState(kNow, original()));
    }
    fill(engine);
    Output output;
    for (Instant now = kNow; now < kNow + 48h; now += 4h) {
        engine.handleTimeout(now, output);
        output.clear();
    }
    return 0;
}
