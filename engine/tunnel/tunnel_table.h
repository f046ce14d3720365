#pragma once

#include "engine/base/siphash.h"
#include "engine/base/state_block.h"
#include "engine/base/time.h"
#include "engine/tunnel/observation.h"
#include "engine/tunnel/phase.h"
#include "engine/tunnel/sequence_meter.h"
#include "engine/tunnel/tunnel.h"

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

namespace engine::tunnel {

/// Names the share of one session in a tunnel. The default names none; counting on it is harmless.
struct AttachmentId {
    std::uint32_t index = 0;
    std::uint32_t generation = 0;
    [[nodiscard]] constexpr bool isNone() const { return generation == 0; }
    friend constexpr auto operator<=>(const AttachmentId&, const AttachmentId&) = default;
};

/// What the packets of an attached session are evidence of.
enum class Carries : std::uint8_t {
    Either,  ///< data where a sequence number can be read, control otherwise
    Data,    ///< every packet is data (GRE, IPIP and other port-less data sessions)
};

/// One packet, or several of one session that look alike (an offloaded packet, counters that came
/// back from a fast path).
struct Passed {
    net::Direction direction = net::Direction::Outbound;
    /// Behind the transport header, or behind IP for port-less protocols; empty: nothing to read.
    std::span<const std::uint8_t> payload{};
    std::uint64_t bytes = 0;  ///< IP total length, of all packets together
    std::uint32_t packets = 1;
    std::uint16_t segmentPayload =
        0;  ///< payload holds several datagrams of this size each; 0: one
    std::span<const std::uint8_t> packet{};  ///< from the IP header on, as proof for findings
};

/// All tunnels: turns observations into state, counts what their sessions carry, notices silence,
/// and forgets. Same calls, same state.
///
/// Bounded: kMostTunnels altogether, kMostTunnelsPerDevice per device, kMostAttachments sessions; a
/// tunnel beyond is not shown (refusedTunnels() counts them) and its packets are not harmed.
class TunnelTable {
public:
    static constexpr std::uint32_t kMostTunnels = 4096;
    static constexpr std::uint32_t kMostTunnelsPerDevice = 512;
    static constexpr std::uint32_t kMostAttachments = 4 * kMostTunnels;
    /// Ours (design: closed tunnels stay a minute).
    static constexpr Duration kEndedKept = std::chrono::seconds(60);
    /// Ours: a direction without packets for so long is called silent.
    static constexpr Duration kSilentAfter = std::chrono::seconds(40);
    /// Ours: data one way for so long without an answer is called one-way.
    static constexpr Duration kOneWayAfter = std::chrono::seconds(30);
    /// Ours: a first packet unanswered for so long is worth a finding.
    static constexpr Duration kNoAnswerAfter = std::chrono::seconds(10);
    /// Ours: a tunnel that has lost its last session may get another within this time.
    static constexpr Duration kOrphanKept = std::chrono::seconds(5);
    /// Ours: silence that follows what may have been goodbye (IKE hides whether it was) for so long
    /// makes it one. Peers that live send keepalives every 20 s where there is a NAT, and ask each
    /// other every half minute or two whether they are there; a pause that was once longer counts
    /// half as much again.
    static constexpr Duration kGoodbyeSilence = std::chrono::seconds(120);
    /// Ours: one report per tunnel and quarter of a second is enough for a window.
    static constexpr Duration kReportInterval = std::chrono::milliseconds(250);

    explicit TunnelTable(HashKey seed);

    void apply(Instant now, const Observation& observation);

    /// A session begins to carry this tunnel. None if there is no such tunnel (apply its Label
    /// first) or no room.
    [[nodiscard]] AttachmentId attach(Instant now, const TunnelKey& key, SequenceKind sequence,
                                      Carries carries = Carries::Either);
    /// The session is gone. When it was the last one, the tunnel ends kOrphanKept later by `cause`
    /// (TimedOut, PeerClosed, ResetBy, ExternalAddressChanged, DroppedBySwitch).
    void detach(Instant now, AttachmentId id, EventKind cause = EventKind::TimedOut);

    /// The hot path: one look-up by index, no allocation.
    void count(AttachmentId id, Instant now, const Passed& passed);

    /// Somebody on the way, or the server, has reported an ICMP error about this session; `packet`
    /// is the report.
    void noteIcmp(Instant now, AttachmentId id, std::uint8_t type, std::uint8_t code,
                  std::span<const std::uint8_t> packet);

    /// True while the attachment's tunnel is held by its switch: its packets must not travel.
    [[nodiscard]] bool isHeld(AttachmentId id) const
    {
        return id.index < m_attachments.size() &&
               m_attachments[id.index].generation == id.generation && m_attachments[id.index].held;
    }
    /// The serial of the attachment's tunnel; 0 if it has none.
    [[nodiscard]] std::uint64_t serialOf(AttachmentId id) const;
    /// The serial of the live tunnel with this key; 0 if there is none.
    [[nodiscard]] std::uint64_t serialOf(const TunnelKey& key) const;

    /// A session's part in a tunnel, as it would have to be attached again.
    struct Share {
        TunnelKey key;
        SequenceKind sequence = SequenceKind::None;
        Carries carries = Carries::Either;
    };
    [[nodiscard]] std::optional<Share> shareOf(AttachmentId id) const;
    /// What the live tunnel with this key is called.
    struct Name {
        net::VpnProtocol protocol = net::VpnProtocol::Pptp;
        Confidence confidence = Confidence::Guess;
    };
    [[nodiscard]] std::optional<Name> nameOf(const TunnelKey& key) const;

    /// The live tunnels, for the engine's saved state; held ones are about to end and left out.
    /// Of thousands of tunnels the middle of long timelines is left out.
    void save(StateWriter& out) const;
    /// Older blocks do not say what has happened to a tunnel, and what is known of its inside.
    enum class SavedHistory : std::uint8_t { None, Kept };
    /// Only on a fresh table. False: that is no such state; the table is then of no use.
    bool restore(Instant now, StateReader& in, SavedHistory history);

    /// Live tunnels and those that ended less than kEndedKept ago, oldest first, with counters
    /// summed up. `expires` is the caller's to fill in.
    [[nodiscard]] std::vector<Tunnel> tunnels() const;
    [[nodiscard]] std::optional<Tunnel> find(std::uint64_t serial) const;
    /// Live tunnels.
    [[nodiscard]] std::uint32_t size() const { return m_live; }
    [[nodiscard]] std::uint64_t refusedTunnels() const { return m_refusedTunnels; }

    using Concerns = std::function<bool(const Tunnel&)>;
    /// Marks live tunnels of this protocol as held; answers their serials. `concerns` narrows it
    /// down (exceptions of the switch); empty: all.
    std::vector<std::uint64_t> hold(Instant now, net::VpnProtocol protocol,
                                    const Concerns& concerns = {});
    /// Held tunnels go on from the phase they had.
    std::vector<std::uint64_t> release(Instant now, net::VpnProtocol protocol);
    /// Held tunnels end as Refused by DroppedBySwitch.
    std::vector<std::uint64_t> drop(Instant now, net::VpnProtocol protocol);
    /// Ends one tunnel; false if no live one has this serial. `over` is an isOver() phase.
    bool end(Instant now, std::uint64_t serial, Phase over, EventKind cause);
    /// Notes an event in every live tunnel (ExternalAddressChanged).
    void noteAll(Instant now, EventKind event);

    /// What has changed since it was last asked: each tunnel at most once per kReportInterval, each
    /// ending exactly once. Cheap to ask for after every packet. Does a bounded amount of work:
    /// when there is more, hasNews() stays true.
    [[nodiscard]] bool hasNews(Instant now) const { return now >= m_newsDue; }
    void takeNews(Instant now, std::vector<Tunnel>& changed, std::vector<Tunnel>& ended);

    /// Bounded, too: when more is due, nextTimeout() is not after `now`.
    void handleTimeout(Instant now);
    [[nodiscard]] std::optional<Instant> nextTimeout() const;

private:
    static constexpr std::uint32_t kNone = 0xffffffff;

    /// Packets of one direction of one session. What every packet touches comes first.
    struct Way {
        std::uint64_t packets = 0;
        std::uint64_t bytes = 0;
        Instant lastPacket;
        Instant lastData;
        Instant askedSince;       ///< first data that nothing has come back for; zero: answered
        std::uint32_t size = 0;   ///< IP total length of the latest packet
        std::uint32_t least = 0;  ///< the smallest large one of those that were not answered
        std::uint16_t smallAnswered = 0;
        std::uint16_t largeUnanswered = 0;  ///< in a row
        SequenceMeter meter;
    };
    /// Whose packet was a session's latest.
    enum class Turn : std::uint8_t {
        Outbound,
        Inbound,
        Unknown,  ///< none yet, or several at once: nothing follows from who comes next
    };
    [[nodiscard]] static Turn turnOf(net::Direction direction)
    {
        return direction == net::Direction::Outbound ? Turn::Outbound : Turn::Inbound;
    }
    struct Attachment {
        std::uint32_t generation = 0;
        std::uint32_t tunnel = kNone;
        SequenceKind sequence = SequenceKind::None;
        Carries carries = Carries::Either;
        bool held = false;
        /// Directions whose next packet is worth a look beyond counting, one bit each.
        std::uint8_t wake = 0;
        Turn turn = Turn::Unknown;
        std::array<Way, 2> ways;
    };
    /// A key exchange inside an established tunnel.
    struct Exchange {
        Instant sent;  ///< zero: none is under way
        std::uint32_t index = 0;
        net::Direction direction = net::Direction::Outbound;
    };
    struct Record {
        Tunnel tunnel;  ///< its counters are those of sessions that are gone
        bool used = false;
        bool over = false;
        bool hidden = false;  ///< ended long ago; kept for its sessions
        bool dirty = false;   ///< listed in m_dirty
        bool everReported = false;
        bool endReported = false;
        bool oneWay = false;
        net::Direction asking = net::Direction::Outbound;  ///< meaningful while oneWay
        bool lossHigh = false;
        std::array<bool, 2> silent{};
        std::array<bool, 2> sawData{};
        Phase beforeHold = Phase::Seen;
        EventKind orphanCause = EventKind::TimedOut;
        Instant mayEndAt;      ///< when what may have been goodbye was last sent; zero: never
        Instant heard;         ///< the latest packet, as of the last sweep
        Duration longPause{};  ///< the longest after what then was no goodbye
        Instant orphanedAt;    ///< since when no session is attached
        Instant phaseSince;
        Instant reported;
        Instant rekeyedAt;
        Exchange exchange;
        Instant lossMarkAt;
        std::array<DirectionCounters, 2> lossMark;  ///< totals when loss was last judged
        std::vector<TunnelKey> keys;
        std::vector<std::uint32_t> attachments;
        /// The headers of the first packet each way, and of one that one-way traffic sends in vain.
        std::array<std::vector<std::uint8_t>, 2> first;
        std::vector<std::uint8_t> inVain;
    };
    struct KeyHash {
        HashKey seed;
        std::size_t operator()(const TunnelKey& key) const
        {
            const std::uint64_t pair =
                (std::uint64_t{key.device.hostOrder()} << 32) | key.server.hostOrder();
            return static_cast<std::size_t>(sipHash(seed, pair, key.discriminator));
        }
    };

    [[nodiscard]] Record* recordOf(const TunnelKey& key);
    Record* create(Instant now, const TunnelKey& key);
    bool makeRoom(Instant now, net::Ipv4Address device);
    void remove(Record& record);
    void label(Instant now, const Observation& observation);
    void merge(Instant now, const TunnelKey& into, const TunnelKey& from);
    void sign(Instant now, Record& record, PhaseSign sign);
    void setPhase(Instant now, Record& record, Phase phase);
    void note(Instant now, Record& record, const TimelineEvent& event);
    void raise(Instant now, Record& record, FindingKind kind, std::uint32_t a, std::uint32_t b,
               std::span<const std::uint8_t> packet = {});
    void finish(Instant now, Record& record, Phase over, EventKind cause, std::uint32_t code);
    void revive(Instant now, std::uint32_t index);
    void rekeyed(Instant now, Record& record);
    void touch(Record& record);
    void refreshWake(const Record& record);
    void setHeld(const Record& record, bool held);

    void awake(Instant now, std::uint32_t attachment, net::Direction direction, bool data);
    void control(Instant now, std::uint32_t attachment, const Passed& passed);
    void keepProof(std::uint32_t attachment, const Passed& passed);
    /// What the sequence field says of a packet.
    enum class Seen : std::uint8_t { NoNumber, Keepalive, Data };
    [[nodiscard]] static Seen seenIn(const SequenceReading& reading);
    void countOther(Instant now, std::uint32_t attachment, const Passed& passed);
    Seen countSequence(Instant now, Attachment& attachment, net::Direction direction,
                       std::span<const std::uint8_t> payload);
    [[gnu::always_inline]] void tally(Instant now, std::uint32_t attachment, const Passed& passed,
                                      Seen seen);
    /// True when the finding is to be raised.
    [[gnu::always_inline]] static bool takeTurn(Instant now, Attachment& attachment,
                                                const Passed& passed);
    static void weighPause(Way& mine);
    [[nodiscard]] static bool isSwallowed(const Way& mine, const Passed& passed);
    void noteSwallowed(Instant now, Attachment& attachment, const Passed& passed);
    void lookCloser(Instant now, std::uint32_t attachment, const Passed& passed, bool swallowed,
                    bool data);
    void sawNewStream(Instant now, const Attachment& attachment);
    /// Moves what an attachment has counted into its tunnel, and starts it anew.
    void fold(Record& record, Attachment& attachment);

    void sweep(Instant now, Record& record);
    [[nodiscard]] bool watchGoodbye(Instant now, Record& record, Instant last);
    void watchOrphan(Instant now, Record& record);
    void watchSilence(Instant now, Record& record);
    void watchOneWay(Instant now, Record& record);
    void watchLoss(Instant now, Record& record);

    [[nodiscard]] DirectionCounters totals(const Record& record, net::Direction direction) const;
    [[nodiscard]] Tunnel summed(const Record& record) const;

    HashKey m_seed;
    std::deque<Record> m_records;  ///< by index; they never move
    std::vector<std::uint32_t> m_freeRecords;
    std::vector<Attachment> m_attachments;
    std::vector<std::uint32_t> m_freeAttachments;
    std::unordered_map<TunnelKey, std::uint32_t, KeyHash> m_byKey;
    std::unordered_map<std::uint32_t, std::uint32_t> m_perDevice;  ///< records of each device
    std::vector<std::uint32_t> m_dirty;
    Instant m_newsDue{Duration::max()};
    // How far the round over m_dirty has come, and what it leaves for the next one.
    std::size_t m_newsAt = 0;
    std::size_t m_newsKept = 0;
    Instant m_newsAfterwards{Duration::max()};
    Instant m_sweepDue{Duration::max()};
    std::size_t m_sweepAt = 0;  ///< how far the round over m_records has come
    Instant m_sweepBegan;
    Instant m_fullUntil;  ///< no room was found; not to be searched again before
    std::uint64_t m_nextSerial = 1;
    std::uint32_t m_live = 0;
    std::uint64_t m_refusedTunnels = 0;
};

}  // namespace engine::tunnel
