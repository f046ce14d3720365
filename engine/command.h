#pragma once

#include "engine/config.h"
#include "engine/tunnel/tunnel.h"

#include <cstdint>
#include <string_view>
#include <variant>
#include <vector>

namespace engine {

/// Why a command was refused. The engine has changed nothing then.
enum class CommandError : std::uint8_t {
    NoSuchTunnel,
    NoSuchSession,
    PortInUse,  ///< by the host itself or reserved
    ForwardsOverlap,
    RangeInverted,
    NotInternal,  ///< an internal address outside the internal prefix
    NotExternal,  ///< an external address that is not ours
    TooManyAddresses,
    PrefixesOverlap,  ///< internal and external network overlap (RFC 4787 REQ-7)
    TimerTooShort,    ///< below an RFC floor
    PortIsProtocol,   ///< "port 47": GRE is protocol 47
    DuplicateAddress,
    NothingHeld,
    TimerTooLong,          ///< above kLongestTimer
    NotADevice,            ///< the router's own address inside, the network's or the broadcast
    ProtocolNotForwarded,  ///< one that is not translated, so that nothing could ever answer
    OnlyAddress,           ///< 1:1 rules would leave no address to share
    NoSelfTest,            ///< this engine was made without one
};

struct SetInternalSide {
    InternalSide side;
};
/// The address has changed: sessions of addresses that are gone end, inside TCP peers are told.
/// Thousands of sessions end over the following handleTimeout() calls, nothing passes until they
/// have, and ExternalAddressChanged tells when. While there is no address at all nothing leaves;
/// sessions wait half a minute for theirs to come back.
struct SetExternalSide {
    ExternalSide side;
};
struct SetNat {
    nat::NatConfig config;
};
struct SetPassthrough {
    net::VpnProtocol protocol = net::VpnProtocol::Pptp;
    policy::PassthroughSwitch value;
    policy::OnLive onLive = policy::OnLive::Hold;
};
/// Ends a Hold early: Release gives everything back, Finish lets live tunnels run on, Drop ends
/// them.
struct ResolveHold {
    enum class How : std::uint8_t { Release, Finish, Drop };
    net::VpnProtocol protocol = net::VpnProtocol::Pptp;
    How how = How::Release;
};
/// What stands already is not judged again, here and wherever a command brings a whole list: a rule
/// whose device has moved away or whose port the host has taken must not keep others from changing.
///
/// Sessions of a forward that is gone, off or changed end with it, and so do those that devices
/// have on an external port which is forwarded from now on; or they run on until they end (Finish).
/// Whatever else comes to such a port is the forward's at once, also while they run on; what their
/// devices open meanwhile gets other ports. A port-less protocol has no sessions of a forward: its
/// packets follow the rule at once.
struct SetPortForwards {
    std::vector<policy::PortForward> forwards;
    policy::OnLive onLive = policy::OnLive::Drop;  ///< Hold is Drop here
};
/// Sessions whose external address has got another owner, or whose device another address, end or
/// run on with the address they have (Finish), and so do hairpinned ones without ports that lead
/// to such an address; what nobody has asked for follows the rule at once.
struct SetOneToOnes {
    std::vector<policy::OneToOne> oneToOnes;
    policy::OnLive onLive = policy::OnLive::Drop;  ///< Hold is Drop here
};
/// Sessions that a device may not have any more end, or run on until they end (Finish).
struct SetDeviceRules {
    std::vector<policy::DeviceRule> rules;
    policy::OnLive onLive = policy::OnLive::Drop;  ///< Hold is Drop here
};
/// What came in to the device that is exposed no longer ends, or runs on until it ends (Finish).
struct SetExposedHost {
    net::Ipv4Address address;
    policy::OnLive onLive = policy::OnLive::Drop;  ///< Hold is Drop here
};
struct SetReservedPorts {
    std::vector<net::PortRange> ports;
};
struct CloseTunnel {
    std::uint64_t serial = 0;
};
/// Where there are very many, one that has ended already is not noticed, and the answer is no
/// error.
struct CloseSession {
    std::uint64_t serial = 0;
};
/// Two clashing synthetic clients through the real code; the result is an event and in the
/// snapshot.
struct RunSelfTest {
    net::VpnProtocol protocol = net::VpnProtocol::Pptp;
};

using Command = std::variant<SetInternalSide, SetExternalSide, SetNat, SetPassthrough, ResolveHold,
                             SetPortForwards, SetOneToOnes, SetDeviceRules, SetExposedHost,
                             SetReservedPorts, CloseTunnel, CloseSession, RunSelfTest>;

/// Whether SessionsCounted tells what this command does to live sessions.
[[nodiscard]] bool isCounted(const Command& command);

/// Stable, for scripts and the control socket.
[[nodiscard]] std::string_view nameOf(CommandError error);

}  // namespace engine
