#pragma once

#include "engine/base/compact_optional.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace engine {

/// Why a packet was dropped: exactly one of these for every packet that does not get through, each
/// with a counter (requirement G5).
enum class DropReason : std::uint8_t {
    MalformedIp,
    BadIpChecksum,
    MalformedTransport,
    MalformedIcmp,
    BadIcmpChecksum,
    MalformedGre,
    MalformedEsp,
    MalformedL2tp,
    MalformedPptp,
    UnsupportedProtocol,
    IpOptions,
    TtlExpired,
    Bogon,
    SpoofedInternalSource,
    NotForUs,
    NoMapping,
    FilteredAddress,
    FilteredAddressAndPort,
    UnsolicitedSyn,
    DeniedByPolicy,
    PassthroughOff,
    HeldBySwitch,
    QuotaDevice,
    QuotaRate,
    PortExhausted,
    SessionTableFull,
    ExternalDown,
    DfTooBig,
    FragmentQuota,
    FragmentTimeout,
    FragmentOverlap,
    FragmentTiny,
    FragmentOversize,
    FragmentOfDropped,
    TcpState,
    TcpOutOfWindow,
    TcpInexactReset,
    BadSynCookie,
    IcmpNoMatch,
    IcmpForged,
    IcmpRedirect,
    IcmpRate,
    AhUntranslatable,
    EspNoOwner,
    EspAmbiguous,
    GreNoCall,
    GreOutOfWindow,
    GreKeyClash,
    L2tpIdClash,
    OneClientPerServer,
    HelperBudget,
    ControlOutOfOrder,
    IkeHeld,
    HairpinLoop,
    ToRouterItself,
    NoNextHop,
    QueueFull,
    EgressGuard,
    PingNotAnswered,
};

struct DropReasonText {
    DropReason reason;
    std::string_view name;      ///< stable, for scripts
    std::string_view sentence;  ///< for people, in English; the window translates it
};

// clang-format off
inline constexpr std::array kDropReasons{
    DropReasonText{DropReason::MalformedIp, "MalformedIp", "The IPv4 header is truncated, contradicts itself or carries a bad length."},
    DropReasonText{DropReason::BadIpChecksum, "BadIpChecksum", "The IPv4 header checksum is wrong."},
    DropReasonText{DropReason::MalformedTransport, "MalformedTransport", "The TCP, UDP or other transport header is truncated or contradicts itself."},
    DropReasonText{DropReason::MalformedIcmp, "MalformedIcmp", "The ICMP message is truncated or its embedded packet cannot be read."},
    DropReasonText{DropReason::BadIcmpChecksum, "BadIcmpChecksum", "The ICMP checksum is wrong."},
    DropReasonText{DropReason::MalformedGre, "MalformedGre", "The GRE header is truncated or of a version nobody uses."},
    DropReasonText{DropReason::MalformedEsp, "MalformedEsp", "The ESP packet is too short or its SPI is reserved."},
    DropReasonText{DropReason::MalformedL2tp, "MalformedL2tp", "The L2TP header is truncated or contradicts itself."},
    DropReasonText{DropReason::MalformedPptp, "MalformedPptp", "A PPTP control message has a length that its type does not allow."},
    DropReasonText{DropReason::UnsupportedProtocol, "UnsupportedProtocol", "An IP protocol that cannot be shared behind one address."},
    DropReasonText{DropReason::IpOptions, "IpOptions", "The packet asks for source routing."},
    DropReasonText{DropReason::TtlExpired, "TtlExpired", "The packet's time to live ran out here."},
    DropReasonText{DropReason::Bogon, "Bogon", "The source address cannot exist on this side."},
    DropReasonText{DropReason::SpoofedInternalSource, "SpoofedInternalSource", "The source address does not belong to this network or to this device."},
    DropReasonText{DropReason::NotForUs, "NotForUs", "The packet came from outside for an address that is not ours."},
    DropReasonText{DropReason::NoMapping, "NoMapping", "Nothing inside has asked for this packet."},
    DropReasonText{DropReason::FilteredAddress, "FilteredAddress", "The sender is not an address this device has sent to."},
    DropReasonText{DropReason::FilteredAddressAndPort, "FilteredAddressAndPort", "The sender is not an address and port this device has sent to."},
    DropReasonText{DropReason::UnsolicitedSyn, "UnsolicitedSyn", "An unsolicited TCP connection attempt from outside."},
    DropReasonText{DropReason::DeniedByPolicy, "DeniedByPolicy", "A rule of yours refuses this device or this traffic."},
    DropReasonText{DropReason::PassthroughOff, "PassthroughOff", "The switch of this VPN protocol is set to block."},
    DropReasonText{DropReason::HeldBySwitch, "HeldBySwitch", "The tunnel is held for ten seconds because its switch was just turned off."},
    DropReasonText{DropReason::QuotaDevice, "QuotaDevice", "The device has used up its share of sessions or ports."},
    DropReasonText{DropReason::QuotaRate, "QuotaRate", "The device opens sessions faster than its limit."},
    DropReasonText{DropReason::PortExhausted, "PortExhausted", "No external port is free."},
    DropReasonText{DropReason::SessionTableFull, "SessionTableFull", "The session table is full."},
    DropReasonText{DropReason::ExternalDown, "ExternalDown", "There is no external address at the moment."},
    DropReasonText{DropReason::DfTooBig, "DfTooBig", "The packet is larger than the link and must not be fragmented."},
    DropReasonText{DropReason::FragmentQuota, "FragmentQuota", "This source has too many unfinished fragmented packets."},
    DropReasonText{DropReason::FragmentTimeout, "FragmentTimeout", "The rest of a fragmented packet did not arrive in time."},
    DropReasonText{DropReason::FragmentOverlap, "FragmentOverlap", "Fragments overlap."},
    DropReasonText{DropReason::FragmentTiny, "FragmentTiny", "The first fragment is too short to hold the transport header."},
    DropReasonText{DropReason::FragmentOversize, "FragmentOversize", "The fragments add up to more than an IPv4 packet can hold."},
    DropReasonText{DropReason::FragmentOfDropped, "FragmentOfDropped", "A later fragment of a packet whose first fragment was dropped."},
    DropReasonText{DropReason::TcpState, "TcpState", "The TCP segment does not belong to a connection that is open."},
    DropReasonText{DropReason::TcpOutOfWindow, "TcpOutOfWindow", "The TCP segment lies outside the connection's window."},
    DropReasonText{DropReason::TcpInexactReset, "TcpInexactReset", "A TCP reset without the exact sequence number."},
    DropReasonText{DropReason::BadSynCookie, "BadSynCookie", "A TCP segment that claims to complete a connection attempt, with a number that was never given out or is too old."},
    DropReasonText{DropReason::IcmpNoMatch, "IcmpNoMatch", "An ICMP error about a packet that was never sent."},
    DropReasonText{DropReason::IcmpForged, "IcmpForged", "An ICMP error whose embedded packet contradicts the session."},
    DropReasonText{DropReason::IcmpRedirect, "IcmpRedirect", "ICMP redirects are never passed on."},
    DropReasonText{DropReason::IcmpRate, "IcmpRate", "Too many ICMP errors about one session."},
    DropReasonText{DropReason::AhUntranslatable, "AhUntranslatable", "AH protects the addresses that a NAT must change; use ESP instead."},
    DropReasonText{DropReason::EspNoOwner, "EspNoOwner", "ESP from outside that no device has negotiated."},
    DropReasonText{DropReason::EspAmbiguous, "EspAmbiguous", "ESP from outside that could belong to several devices."},
    DropReasonText{DropReason::GreNoCall, "GreNoCall", "GRE from outside for a call that was never agreed."},
    DropReasonText{DropReason::GreOutOfWindow, "GreOutOfWindow", "GRE with a sequence number far from the call's."},
    DropReasonText{DropReason::GreKeyClash, "GreKeyClash", "Another device already uses this GRE key, tunnel or protocol with the same server."},
    DropReasonText{DropReason::L2tpIdClash, "L2tpIdClash", "Another device already uses this L2TP tunnel ID with the same server."},
    DropReasonText{DropReason::OneClientPerServer, "OneClientPerServer", "This protocol carries nothing to tell two clients of one server apart."},
    DropReasonText{DropReason::HelperBudget, "HelperBudget", "A helper's table of expectations or pending negotiations is full."},
    DropReasonText{DropReason::ControlOutOfOrder, "ControlOutOfOrder", "A segment of a PPTP control connection came before the one it follows; it will be sent again."},
    DropReasonText{DropReason::IkeHeld, "IkeHeld", "An IKE message waited for another device's negotiation and was replaced by a newer one."},
    DropReasonText{DropReason::HairpinLoop, "HairpinLoop", "A packet would be translated back to where it came from."},
    DropReasonText{DropReason::ToRouterItself, "ToRouterItself", "Addressed to this computer, not through it."},
    DropReasonText{DropReason::NoNextHop, "NoNextHop", "The next device on the way did not answer to ARP."},
    DropReasonText{DropReason::QueueFull, "QueueFull", "The network card could not take the packet."},
    DropReasonText{DropReason::EgressGuard, "EgressGuard", "A packet was about to leave with an address that is not ours."},
    DropReasonText{DropReason::PingNotAnswered, "PingNotAnswered", "A ping from outside that is larger than this router answers, or that it does not answer at all."},
};
// clang-format on
inline constexpr std::size_t kDropReasonCount = kDropReasons.size();

static_assert([] {
    for (std::size_t i = 0; i < kDropReasonCount; ++i) {
        if (static_cast<std::size_t>(kDropReasons[i].reason) != i) return false;
    }
    return true;
}());

/// Why not, if not.
using MaybeReason = CompactOptional<DropReason, static_cast<DropReason>(0xff)>;
static_assert(kDropReasonCount < 0xff);

[[nodiscard]] constexpr std::string_view nameOf(DropReason reason)
{
    return kDropReasons[static_cast<std::size_t>(reason)].name;
}
[[nodiscard]] constexpr std::string_view sentenceOf(DropReason reason)
{
    return kDropReasons[static_cast<std::size_t>(reason)].sentence;
}

}  // namespace engine
