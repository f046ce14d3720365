#pragma once

#include "engine/lab/scenario.h"

#include <string>

namespace engine::lab {

/// Claims that many scenarios make.
void claimAllUp(Lab& lab, std::string what);
/// Every internal host has received at least `percent` of the answers that it can expect, one for
/// each message it has sent.
void claimAnswered(Lab& lab, std::uint64_t percent);
/// No internal host has met a failure or begun more than once.
void claimUnbroken(Lab& lab);
void claimDropped(Lab& lab, DropReason reason);
/// The router says so, and keeps a packet that proves it.
void claimFinding(Lab& lab, tunnel::FindingKind kind, std::string what);
/// At least so many tunnels of the protocol are shown now.
void claimTunnels(Lab& lab, net::VpnProtocol protocol, std::size_t count);
/// Every live tunnel of the protocol tells what its PPP shows: how far away the server is, the
/// device's address inside, and the packet size that both sides agreed on.
void claimInsideShown(Lab& lab, net::VpnProtocol protocol);

[[nodiscard]] std::string describe(const PeerReport& report);

}  // namespace engine::lab
