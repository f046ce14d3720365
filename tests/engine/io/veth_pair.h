#pragma once

#include "engine/io/device.h"
#include "engine/wire/bytes.h"

#include <cstdint>
#include <vector>

#include "tests/engine/io/own_namespace.h"

namespace tests {

/// The cards "pa" and "pb", joined to each other, in a namespace without IPv6 and its noise. Both
/// carry frames: the kernel notices a little later that a link is up, and drops them until then.
inline bool makeVethPair()
{
    return run(
        "sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1;"
        "ip link add pa type veth peer name pb && ip link set pa up && ip link set pb up || exit 1;"
        "for i in $(seq 500); do"
        " [ $(ip -o link show | grep -c ' qdisc noqueue state UP ') = 2 ] && exit 0; sleep 0.02;"
        "done; exit 1");
}

/// An untagged broadcast frame of some EtherType around a UDP packet, with room in front.
struct Outgoing {
    std::vector<std::uint8_t> buffer;
    std::size_t length;

    explicit Outgoing(std::uint16_t type, std::size_t payload = 30)
        : buffer(engine::io::kHeadroom), length(14 + 28 + payload)
    {
        buffer.insert(buffer.end(), 6, 0xff);
        buffer.insert(buffer.end(), {2, 0, 0, 0, 0, 9});
        buffer.push_back(static_cast<std::uint8_t>(type >> 8));
        buffer.push_back(static_cast<std::uint8_t>(type));
        buffer.insert(buffer.end(),
                      {0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 255});
        buffer.insert(buffer.end(), {0, 1, 0, 2, 0, 0, 0, 0});
        buffer.resize(engine::io::kHeadroom + length, 0x61);
        const auto ip = engine::wire::MutableBytes{buffer}.subspan(engine::io::kHeadroom + 14);
        engine::wire::store16(ip, 2, static_cast<std::uint16_t>(ip.size()));
        engine::wire::store16(ip, 24, static_cast<std::uint16_t>(ip.size() - 20));
    }
    [[nodiscard]] engine::io::Frame frame(std::uint16_t segment = 0)
    {
        return {buffer.data() + engine::io::kHeadroom, static_cast<std::uint32_t>(length),
                segment != 0 ? engine::wire::ChecksumState::Partial
                             : engine::wire::ChecksumState::Complete,
                segment};
    }
};

}  // namespace tests
