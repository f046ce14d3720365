#pragma once

#include "engine/base/drop_reason.h"
#include "engine/link/neighbour_table.h"
#include "engine/net/prefix.h"
#include "engine/wire/packet.h"

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

/// What Ethernet needs around IPv4 (RFC 894) and its address resolution (RFC 826).
namespace engine::link {

inline constexpr std::size_t kEthernetHeader = 14;

/// Who answers for the port's own addresses. Where the host's kernel has the address on the
/// interface it answers itself, and two answers would be one too many.
enum class ArpAnswers : std::uint8_t { ProxiedOnly, OwnAndProxied };
/// Whether a sender must be the station that owns the address it sends from.
enum class SourceCheck : std::uint8_t { Off, On };

struct EthernetConfig {
    net::MacAddress mac;
    net::Ipv4Address address;  ///< the port's own; unspecified: the link is down
    net::Prefix prefix;        ///< what can be reached without the gateway
    net::Ipv4Address gateway;  ///< unspecified: none
    ArpAnswers answers = ArpAnswers::ProxiedOnly;
    SourceCheck sourceCheck = SourceCheck::Off;
    /// Further addresses that this port answers for, because nobody else does.
    std::vector<net::Ipv4Address> proxied;
    friend bool operator==(const EthernetConfig&, const EthernetConfig&) = default;
};

/// A frame that the port made or had kept; complete from its Ethernet header on.
struct OutgoingFrame {
    std::vector<std::uint8_t> bytes;
    wire::ChecksumState checksum = wire::ChecksumState::Complete;
    std::uint16_t segmentPayload = 0;
};

/// What a call leaves behind besides its answer. The caller empties it; the port only appends.
struct LinkOutput {
    std::vector<OutgoingFrame> frames;
    std::uint32_t noNextHop = 0;  ///< packets given up, each a drop for DropReason::NoNextHop

    void clear()
    {
        frames.clear();
        noNextHop = 0;
    }
};

/// What was in a frame.
struct Arrival {
    enum class Kind : std::uint8_t {
        Packet,    ///< `packet` is for the engine
        Consumed,  ///< ARP; done
        Ignored,   ///< another protocol or another station's
        Drop,
    };
    Kind kind = Kind::Ignored;
    DropReason reason = DropReason::MalformedIp;
    wire::MutableBytes packet;
};

/// What becomes of a packet that is to leave.
enum class Departure : std::uint8_t {
    Send,     ///< the header is written
    Waiting,  ///< the port has copied it and sends it later, or not
    NoNextHop,
};

/// One Ethernet link of the router: takes frames apart, puts headers in front of packets, asks and
/// answers ARP. Reads no clock and sends nothing itself; the shell sends what is in the output.
///
/// Promises: no allocation for a packet whose next hop is known. A station cannot take over an
/// address that its owner still answers for, nor send from it (SourceCheck::On).
class EthernetPort {
public:
    EthernetPort(HashKey key, EthernetConfig config);

    /// A changed address, gateway or card: what was learned is forgotten if the link is another.
    void configure(Instant now, const EthernetConfig& config, LinkOutput& output);
    [[nodiscard]] const EthernetConfig& config() const { return m_config; }

    Arrival receive(Instant now, wire::MutableBytes frame, LinkOutput& output);

    /// Writes the header for `packet` into `header`, or keeps a copy of the packet.
    Departure prepare(Instant now, const wire::Packet& packet,
                      std::span<std::uint8_t, kEthernetHeader> header, LinkOutput& output);

    void handleTimeout(Instant now, LinkOutput& output);
    [[nodiscard]] std::optional<Instant> nextTimeout() const { return m_table.nextTimeout(); }

    /// Stations and their addresses, for the list of devices.
    [[nodiscard]] std::vector<Neighbour> neighbours() const { return m_table.neighbours(); }
    [[nodiscard]] std::optional<Neighbour> neighbour(net::Ipv4Address address) const
    {
        return m_table.neighbour(address);
    }

private:
    void receiveArp(Instant now, wire::ConstBytes frame, LinkOutput& output);
    [[nodiscard]] bool answersFor(net::Ipv4Address address) const;
    [[nodiscard]] bool isOnLink(net::Ipv4Address address) const;
    void flush(LinkOutput& output);
    void writeHeader(std::span<std::uint8_t, kEthernetHeader> header,
                     const net::MacAddress& to) const;

    EthernetConfig m_config;
    NeighbourTable m_table;
    NeighbourOutput m_pending;

    /// The last next hop and the last sender, so that a stream of packets costs no look-up. Good
    /// until kShortcut has passed or the table has changed.
    struct Shortcut {
        net::Ipv4Address address;
        net::MacAddress mac;
        Instant until;
    };
    Shortcut m_lastHop;
    Shortcut m_lastSender;
};

}  // namespace engine::link
