#pragma once

#include "engine/base/compact_optional.h"
#include "engine/base/drop_reason.h"
#include "engine/config.h"
#include "engine/event.h"
#include "engine/wire/packet.h"

#include <cstdint>
#include <vector>

namespace engine {

/// What happened to one packet. Drop always carries its reason.
struct alignas(4) Verdict {
    enum class Kind : std::uint8_t {
        Forward,  ///< rewritten in place; send it out of `egress`. An answer that was written over
                  ///< the question goes out where that came in
        Drop,
        Consumed,  ///< it was for the router; replies, if any, are in the Output
        ToHost,    ///< it is the host's own business; the engine has not touched it
        Hold,      ///< the engine has copied it and will send it later, or not
    };
    Kind kind = Kind::Drop;
    DropReason reason = DropReason::MalformedIp;
    PortId egress = PortId::External;

    static constexpr Verdict forward(PortId egress)
    {
        return {Kind::Forward, DropReason::MalformedIp, egress};
    }
    static constexpr Verdict drop(DropReason reason)
    {
        return {Kind::Drop, reason, PortId::External};
    }
    friend constexpr bool operator==(const Verdict&, const Verdict&) = default;
};
/// What happened to a packet whose walk has ended; none while it goes on.
using MaybeVerdict = CompactOptional<Verdict, Verdict{static_cast<Verdict::Kind>(0xff)}>;

/// A packet that the engine made or had held: the shell sends it.
struct OutgoingPacket {
    PortId egress = PortId::External;
    std::vector<std::uint8_t> bytes;
    wire::ChecksumState checksum = wire::ChecksumState::Complete;
    std::uint16_t segmentPayload = 0;
};

/// What a call leaves behind besides its verdict. The caller empties it; the engine only appends.
struct Output {
    std::vector<OutgoingPacket> packets;
    std::vector<Event> events;

    void clear()
    {
        packets.clear();
        events.clear();
    }
};

}  // namespace engine
