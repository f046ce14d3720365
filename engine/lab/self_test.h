#pragma once

#include "engine/base/siphash.h"
#include "engine/policy/passthrough_policy.h"
#include "engine/snapshot.h"

namespace engine::lab {

/// Proves the effect of a passthrough switch: two synthetic clients that clash (same Call ID, same
/// port, same server) through a fresh Engine with the given position of the switch, in virtual time
/// that takes milliseconds. Exceptions are left out: the clients have made-up addresses.
///
/// Passed means, for Assist: both clients are up and get their own answers only. For Plain: nothing
/// reaches the wrong client and no helper touches a packet; a protocol that needs no help works for
/// both. For Block: neither is up after the few seconds that recognition may take, and the refusals
/// are counted (AnyConnect: its DTLS channel; the rest looks like a web page). NeverRun: nobody
/// here speaks that protocol.
[[nodiscard]] SelfTestResult selfTest(net::VpnProtocol protocol,
                                      const policy::PassthroughSwitch& position, HashKey seed,
                                      Instant now);

}  // namespace engine::lab
