#pragma once

#include "engine/base/drop_reason.h"
#include "engine/snapshot.h"

#include <cstdint>
#include <string>
#include <variant>

namespace engine {

/// A session has ended; what history keeps of it. (Live sessions are asked for, not announced.)
struct SessionEnded {
    SessionRecord session;
};
/// A tunnel appeared, changed its phase or label, got a timeline entry or a finding.
struct TunnelChanged {
    tunnel::Tunnel tunnel;
};
/// Last word about a tunnel; history keeps it.
struct TunnelEnded {
    tunnel::Tunnel tunnel;
};
/// Somebody was refused, once per kind, device and minute; the counters have them all.
struct Refused {
    DropReason reason = DropReason::DeniedByPolicy;
    net::Ipv4Address device;
    net::Endpoint remote;
    net::IpProtocol protocol = net::IpProtocol::Tcp;
};
struct SwitchChanged {
    net::VpnProtocol protocol = net::VpnProtocol::Pptp;
    ProtocolStatus status;
};
struct SelfTestFinished {
    net::VpnProtocol protocol = net::VpnProtocol::Pptp;
    SelfTestResult result;
};
struct ExternalAddressChanged {
    ExternalSide before;
    ExternalSide after;
    std::uint32_t sessionsEnded = 0;
};
struct DeviceSeen {
    net::Ipv4Address device;
};
/// A flood of connection attempts at a server inside: from now on the router answers them itself
/// and passes on who proves to be there; or it is over.
struct SynFlood {
    SynFloodStatus status;
    bool over = false;
};

/// How many sessions a change of the rules has ended, lets run on until they end (Finish), or would
/// end (Engine::count()), with all that cannot be without them. Told once for each count() and for
/// every command that is accepted and isCounted(), in their order; with few sessions at once, else
/// some calls of handleTimeout() later. The rules are in force from the command on: nothing passes
/// meanwhile that they forbid.
struct SessionsCounted {
    std::uint32_t sessions = 0;
};

using Event =
    std::variant<SessionEnded, TunnelChanged, TunnelEnded, Refused, SwitchChanged, SelfTestFinished,
                 ExternalAddressChanged, DeviceSeen, SynFlood, SessionsCounted>;

}  // namespace engine
