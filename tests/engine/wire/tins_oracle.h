#pragma once

#include "engine/base/random.h"
#include "engine/net/endpoint.h"
#include "engine/wire/bytes.h"

#include <tins/tins.h>

#include <cstdint>
#include <vector>

/// Packets as libtins sees them, to compare our rewrites with an implementation that is not ours.
namespace oracle {

using Bytes = std::vector<std::uint8_t>;

/// The packet read and written by libtins, which works out all lengths and checksums anew.
inline Bytes rewritten(const Bytes& packet, auto&& change)
{
    Tins::IP ip(packet.data(), static_cast<std::uint32_t>(packet.size()));
    change(ip);
    return ip.serialize();
}

inline Bytes rewritten(const Bytes& packet)
{
    return rewritten(packet, [](Tins::IP&) {});
}

inline Bytes randomBytes(engine::Random& random, std::size_t size)
{
    Bytes bytes(size);
    for (auto& octet : bytes)
        octet = static_cast<std::uint8_t>(random.next());
    return bytes;
}

/// From the documentation ranges of RFC 5737.
inline engine::net::Endpoint randomEndpoint(engine::Random& random)
{
    const std::uint32_t networks[] = {0xc0000200, 0xc6336400, 0xcb007100};
    return {engine::net::Ipv4Address{networks[random.below(3)] + random.below(256)},
            engine::net::Port{static_cast<std::uint16_t>(random.next())}};
}

}  // namespace oracle
