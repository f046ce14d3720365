#pragma once

#include "engine/base/drop_reason.h"
#include "engine/lab/host.h"
#include "engine/net/vpn_protocol.h"

#include <cstddef>

namespace engine::lab {

/// A server outside and two devices inside that want the same of it.
struct Clash {
    Host& server;
    Host& one;
    Host& two;
};

/// Starts a server of the protocol and two clients that clash: the same Call ID, port, tunnel or
/// session ID, whatever the protocol has. There is one for every protocol.
void runClash(net::VpnProtocol protocol, const Clash& clash);

/// What a router with all its help can make of that.
enum class ClashOutcome : std::uint8_t {
    BothTalk,
    OneTalks,     ///< EtherIP: nothing in a packet tells two clients of one server apart
    NobodyTalks,  ///< AH: RFC 4302 §3.3.3.1, the addresses are part of what is protected
};
[[nodiscard]] ClashOutcome clashOutcomeOf(net::VpnProtocol protocol);
/// How many of the two that are.
[[nodiscard]] constexpr std::size_t talkersOf(ClashOutcome outcome)
{
    switch (outcome) {
    case ClashOutcome::BothTalk: return 2;
    case ClashOutcome::OneTalks: return 1;
    case ClashOutcome::NobodyTalks: return 0;
    }
    return 0;
}
/// By what reason whoever may not talk is refused then.
[[nodiscard]] DropReason clashRefusalOf(net::VpnProtocol protocol);

}  // namespace engine::lab
