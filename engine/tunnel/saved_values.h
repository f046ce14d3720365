#pragma once

#include "engine/base/state_block.h"
#include "engine/base/time.h"
#include "engine/tunnel/observation.h"

namespace engine::tunnel {

/// How values that tunnels and inspectors share are written to a block of saved state.

inline void save(StateWriter& out, Instant value)
{
    out.u64(static_cast<std::uint64_t>(value.nanoseconds()));
}
inline Instant readInstant(StateReader& in)
{
    return Instant{Duration{static_cast<std::int64_t>(in.u64())}};
}

inline void save(StateWriter& out, net::Endpoint value)
{
    out.u32(value.address.hostOrder());
    out.u16(value.port.hostOrder());
}
inline net::Endpoint readEndpoint(StateReader& in)
{
    const net::Ipv4Address address{in.u32()};
    return {address, net::Port{in.u16()}};
}

inline void save(StateWriter& out, const TunnelKey& value)
{
    out.u32(value.device.hostOrder());
    out.u32(value.server.hostOrder());
    out.u64(value.discriminator);
}
inline TunnelKey readTunnelKey(StateReader& in)
{
    const net::Ipv4Address device{in.u32()};
    const net::Ipv4Address server{in.u32()};
    return {device, server, in.u64()};
}

}  // namespace engine::tunnel
