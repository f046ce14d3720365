#pragma once

#include "engine/base/siphash.h"
#include "engine/policy/passthrough_policy.h"
#include "engine/snapshot.h"

namespace engine::lab {

/// Proves the effect of a passthrough switch: two synthetic clients that clash (same Call ID, same
/// port, same server) through a fresh Engine with the given position of the switch, in virtual time
/// that takes milliseconds. Exceptions are left out: the clients have made-up addresses.
///
/// Passed means, for Assist: both clients are up, get their own answers only and are shown as what
/// they are (EtherIP: one of them, and the other is refused; AH: neither, both are refused, told so
/// by ICMP and counted). For Plain: nothing reaches the wrong client and no helper touches a
/// packet; a protocol that needs no help works for both and is shown. For Block: neither is up, or
/// after the few seconds that recognition may take no longer, and the refusals are counted
/// (AnyConnect: its DTLS channel; the rest looks like a web page. SSTP: with its server named, as
/// only such are refused. AH: for its own reason).
[[nodiscard]] SelfTestResult selfTest(net::VpnProtocol protocol,
                                      const policy::PassthroughSwitch& position, HashKey seed,
                                      Instant now);

}  // namespace engine::lab
