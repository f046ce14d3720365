#pragma once

#include "engine/base/siphash.h"
#include "engine/base/time.h"
#include "engine/net/ipv4_address.h"
#include "engine/net/mac_address.h"
#include "engine/wire/packet.h"

#include <cstdint>
#include <optional>
#include <vector>

namespace engine::link {

// Ours.
/// As many neighbours as a /20 holds; a flood of made-up addresses cannot take more.
inline constexpr std::size_t kMostNeighbours = 4096;
/// Packets that wait for one neighbour's answer; a connection's first flight fits.
inline constexpr std::size_t kMostWaitingPerNeighbour = 16;
inline constexpr std::size_t kMostWaiting = 512;
inline constexpr std::size_t kMostWaitingOctets = 4U << 20U;

/// A neighbour's life, by what has been heard of it.
enum class NeighbourState : std::uint8_t {
    Incomplete,   ///< asked by broadcast, no answer yet; packets wait, nothing can be sent
    Provisional,  ///< it has sent packets; asked, and used meanwhile
    Confirmed,    ///< it answered when asked
    Rechecked,    ///< confirmed long ago, asked again at its own address; used meanwhile
    Contested,    ///< another station claims the address; the owner is asked first; used meanwhile
    Failed,       ///< did not answer; packets to it are refused for a while
};

struct Neighbour {
    net::Ipv4Address address;
    net::MacAddress mac;
    NeighbourState state = NeighbourState::Incomplete;
    Instant lastHeard;
};

/// A packet that waits until its next hop's address is known.
struct WaitingPacket {
    std::vector<std::uint8_t> bytes;
    wire::ChecksumState checksum = wire::ChecksumState::Complete;
    std::uint16_t segmentPayload = 0;
};

/// A request that the table wants sent: to everybody, or to one station.
struct Question {
    net::Ipv4Address address;
    net::MacAddress to;
};

/// What a call leaves behind; the caller empties it.
struct NeighbourOutput {
    struct Resolved {
        net::MacAddress mac;
        WaitingPacket packet;
    };
    std::vector<Question> questions;
    std::vector<Resolved> resolved;
    std::uint32_t gaveUp = 0;  ///< packets whose neighbour never answered
};

/// Which station has which IPv4 address on one link.
///
/// Promises: never more than kMostNeighbours entries and kMostWaiting packets. An entry changes
/// only by an answer to a question of ours; a claim that nobody asked for, however often repeated,
/// makes us ask the owner, and only an owner that stays silent loses the address. Questions are
/// limited to one a second for an address and kQuestionsPerSecond in all.
class NeighbourTable {
public:
    explicit NeighbourTable(HashKey key);

    enum class Use : std::uint8_t { Ready, Wait, Refuse };
    struct Found {
        Use use = Use::Refuse;
        net::MacAddress mac;
    };
    /// The station to send to. Wait: give the packet to await(). Refuse: it does not answer.
    Found find(Instant now, net::Ipv4Address address, NeighbourOutput& output);
    /// Keeps a copy until the answer comes; false if there is no room.
    bool await(net::Ipv4Address address, wire::ConstBytes packet, wire::ChecksumState checksum,
               std::uint16_t segmentPayload);

    enum class Ownership : std::uint8_t { Owner, NotOwner };
    /// `mac` sends from `address`. The first one to do so owns it until an answer says otherwise.
    Ownership heard(Instant now, net::Ipv4Address address, net::MacAddress mac,
                    NeighbourOutput& output);
    /// Somebody says in ARP that `address` is at `mac`, and it was not an answer to us.
    void claimed(Instant now, net::Ipv4Address address, net::MacAddress mac,
                 NeighbourOutput& output);
    /// The same, as an answer addressed to us. Without an open question it counts as a claim.
    void answered(Instant now, net::Ipv4Address address, net::MacAddress mac,
                  NeighbourOutput& output);

    void handleTimeout(Instant now, NeighbourOutput& output);
    [[nodiscard]] std::optional<Instant> nextTimeout() const;

    [[nodiscard]] std::vector<Neighbour> neighbours() const;
    [[nodiscard]] std::optional<Neighbour> neighbour(net::Ipv4Address address) const;
    [[nodiscard]] std::size_t size() const { return m_used; }
    [[nodiscard]] std::size_t waiting() const { return m_waiting; }
    /// Forgets everybody; packets that wait are given up.
    void clear(NeighbourOutput& output);

private:
    using Slot = std::uint16_t;
    static constexpr Slot kNone = 0xffff;

    struct Entry {
        Neighbour known;
        Instant lastUsed;
        Instant confirmed;
        Instant asked;       ///< when the last question left
        Instant quietUntil;  ///< no contest before: the owner has just answered one
        std::uint8_t tries = 0;
        bool live = false;
        bool timed = false;     ///< waits for an answer or for the end of Failed
        bool askedAll = false;  ///< the open question went to everybody: any answer decides
        std::vector<WaitingPacket> packets;
    };

    [[nodiscard]] std::size_t home(net::Ipv4Address address) const;
    [[nodiscard]] Slot slotOf(net::Ipv4Address address) const;
    Slot insert(Instant now, net::Ipv4Address address, NeighbourOutput& output);
    Slot victim(Instant now);
    void remove(Slot slot, NeighbourOutput& output);
    void unindex(Slot slot);
    void ask(Instant now, Entry& entry, bool everybody, NeighbourOutput& output);
    void confirm(Instant now, Entry& entry, net::MacAddress mac, NeighbourOutput& output);
    void contest(Instant now, Entry& entry, NeighbourOutput& output);
    void giveUpPackets(Entry& entry, NeighbourOutput& output);
    void expire(Instant now, Slot slot, NeighbourOutput& output);
    bool takeToken(Instant now);
    void schedule(Instant at);

    HashKey m_key;
    std::vector<Entry> m_entries;
    std::vector<Slot> m_index;  ///< open addressing, twice as many places as entries
    std::vector<Slot> m_free;
    std::size_t m_used = 0;
    std::size_t m_hand = 0;
    std::size_t m_waiting = 0;
    std::size_t m_waitingOctets = 0;
    std::optional<Instant> m_next;
    Instant m_tokensAt;
    std::uint32_t m_tokens;
};

}  // namespace engine::link
