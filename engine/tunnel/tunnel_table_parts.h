#pragma once

#include "engine/tunnel/tunnel_table.h"

#include <algorithm>
#include <array>
#include <chrono>

/// What TunnelTable's source files share, and nobody else.
namespace engine::tunnel::table {

using net::Direction;
using net::VpnProtocol;
using namespace std::chrono_literals;

// Ours.
inline constexpr Duration kSweepInterval = 1s;
/// Tunnels that one call tells of or looks after, so that thousands of them cause no pause.
inline constexpr std::size_t kLookedAtPerCall = 64;
inline constexpr std::size_t kMostTextOctets = 64;
inline constexpr std::size_t kMostFindings = kFindingKindCount;
inline constexpr std::size_t kMostProofs = 2;
inline constexpr std::size_t kMostProofOctets = 96;
/// IPv4 with a transport header: what follows may be a secret.
inline constexpr std::size_t kHeaders = 40;
inline constexpr std::size_t kMostKeys = 8;
/// The part of a full timeline that is condensed lies between these two.
inline constexpr std::size_t kTimelineHead = 32;
inline constexpr std::size_t kTimelineTail = 64;
/// WireGuard tries one handshake for 90 s; nobody else tries longer.
inline constexpr Duration kNeverAnswered = 90s;
/// An exchange that has not ended by then has failed; the old keys still serve.
inline constexpr Duration kRekeyPatience = 90s;
inline constexpr Duration kRekeyApart = 10s;
inline constexpr Duration kCloseQuiet = 10s;
/// Packets that are still on their way when a peer says goodbye, and its answer.
inline constexpr Duration kGoodbyeAnswered = 3s;
inline constexpr std::uint64_t kUnansweredPackets = 3;
/// Loss is judged over this time and at least this many packets.
inline constexpr Duration kLossInterval = 10s;
inline constexpr std::uint64_t kLossPackets = 200;
inline constexpr std::uint64_t kLossHighPerMille = 50;
inline constexpr std::uint64_t kLossGonePerMille = 20;

// Ours. What is answered at all is answered within a second; TCP waits at least that long before it
// sends again. Below 1,200 octets everything passes (IPv6 demands 1,280 of every link).
inline constexpr Duration kAnsweredWithin = 1s;
inline constexpr std::uint32_t kLarge = 1200;
inline constexpr std::uint16_t kSmallEnough = 3;
inline constexpr std::uint16_t kLargeLost = 4;

inline constexpr bool isGre(SequenceKind sequence)
{
    return sequence == SequenceKind::GreV0 || sequence == SequenceKind::GreV1;
}

inline constexpr std::size_t indexOf(Direction direction)
{
    return static_cast<std::size_t>(direction);
}
inline constexpr std::uint8_t bitOf(Direction direction)
{
    return static_cast<std::uint8_t>(1U << indexOf(direction));
}
inline constexpr std::array kBothDirections{Direction::Outbound, Direction::Inbound};

/// Who sends in this direction.
inline constexpr Lane senderOf(Direction direction)
{
    return direction == Direction::Outbound ? Lane::Client : Lane::Server;
}
inline constexpr Lane receiverOf(Direction direction)
{
    return direction == Direction::Outbound ? Lane::Server : Lane::Client;
}

/// How long one side may send data without an answer before the other counts as gone.
inline Duration deadAfter(VpnProtocol protocol)
{
    switch (protocol) {
    case VpnProtocol::WireGuard:
    case VpnProtocol::Tailscale:
    case VpnProtocol::CloudflareWarp: return 180s;  // keys are refused after 180 s
    case VpnProtocol::OpenVpn: return 120s;         // ping-restart as most servers push it
    case VpnProtocol::AnyConnect: return 270s;      // three times the usual DPD
    case VpnProtocol::Pptp:
    case VpnProtocol::IpsecEsp:
    case VpnProtocol::IpsecNatT:
    case VpnProtocol::L2tp:
    case VpnProtocol::L2tpV3:
    case VpnProtocol::Gre:
    case VpnProtocol::Eoip:
    case VpnProtocol::SixInFour:
    case VpnProtocol::IpIp:
    case VpnProtocol::EtherIp:
    case VpnProtocol::Ah:
    case VpnProtocol::Sstp:
    case VpnProtocol::SoftEther:
    case VpnProtocol::Teredo:
    case VpnProtocol::GlobalProtect:
    case VpnProtocol::ZeroTier:
    case VpnProtocol::Nebula:
    case VpnProtocol::Tinc:
    case VpnProtocol::FortiClient: return 300s;
    }
    return 300s;
}

/// Entries of which a long history has many and needs few.
inline bool isRoutine(EventKind kind)
{
    return kind == EventKind::Keepalive || kind == EventKind::WentSilent ||
           kind == EventKind::Resumed || kind == EventKind::Retransmitted ||
           kind == EventKind::Rekeyed || kind == EventKind::KeyExchange;
}
/// Entries whose `a` only counts up.
inline bool isTally(EventKind kind)
{
    return kind == EventKind::Keepalive || kind == EventKind::Rekeyed;
}
inline bool isSame(const TimelineEvent& a, const TimelineEvent& b)
{
    return a.kind == b.kind && a.from == b.from && a.to == b.to &&
           (isTally(a.kind) || (a.a == b.a && a.b == b.b));
}

inline bool isUp(Phase phase)
{
    return phase == Phase::Established || phase == Phase::Rekeying || phase == Phase::Degraded;
}
inline bool isBefore(Phase phase, Phase other)
{
    return static_cast<int>(phase) < static_cast<int>(other);
}

inline bool canCarryData(SequenceKind sequence, Carries carries)
{
    return carries == Carries::Data || sequence != SequenceKind::None;
}

inline void add(DirectionCounters& sum, const DirectionCounters& more)
{
    sum.packets += more.packets;
    sum.bytes += more.bytes;
    sum.lost += more.lost;
    sum.reordered += more.reordered;
    sum.duplicated += more.duplicated;
    sum.lastPacket = std::max(sum.lastPacket, more.lastPacket);
}

inline std::uint32_t seconds(Duration duration)
{
    return static_cast<std::uint32_t>(
        std::chrono::duration_cast<std::chrono::seconds>(duration).count());
}

}  // namespace engine::tunnel::table
