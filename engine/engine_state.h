#pragma once

#include "engine/base/random.h"
#include "engine/engine.h"
#include "engine/nat/device_table.h"
#include "engine/nat/fragments.h"
#include "engine/nat/icmp_error.h"
#include "engine/nat/mapping_table.h"
#include "engine/nat/session_table.h"
#include "engine/nat/syn_proxy.h"
#include "engine/passthrough/passthrough.h"
#include "engine/tunnel/tunnel_table.h"
#include "engine/wire/builder.h"
#include "engine/wire/icmp_view.h"
#include "engine/wire/ipv4_view.h"
#include "engine/wire/tcp_view.h"
#include "engine/wire/udp_view.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <unordered_map>
#include <vector>

namespace engine {

/// Ours: packets that are looked up ahead together; as many as memory serves at once on the
/// processors of today, and as one read of a device gives.
inline constexpr std::size_t kBatch = 32;

/// What is worked out about a packet before its turn in a batch. Guesses only: whoever uses one
/// checks it, since earlier packets of the batch may have changed everything.
struct Ahead {
    nat::SessionKey key;     ///< what transport() will look up
    std::uint32_t hash = 0;  ///< of `key`; zero: no ordinary packet, nothing here means anything
    nat::FlatIndex::Place session;
    // Of a flow that seems to begin: the mapping it would use, and how its answers would be found.
    std::uint32_t mappingHash = 0;  ///< zero: not worked out
    std::uint32_t mapping = nat::FlatIndex::kNone;
    nat::SessionKey answerKey;
    std::uint32_t answerHash = 0;  ///< zero: not worked out
    nat::FlatIndex::Place answer;
    std::uint32_t permissionHash = 0;  ///< of `mapping` and the remote address; zero: likewise
};

/// What one walk of one packet carries along.
struct Walk {
    Instant now;
    wire::Packet& packet;
    wire::Ipv4View ip;
    Output& output;
    PortId ingress = PortId::Internal;
    bool inspect = true;      ///< false: passthrough has seen it already and let it go
    bool hairpin = false;     ///< second half of a hairpinned packet
    net::Ipv4Address sender;  ///< with hairpin: the device that it came from
    bool answers = false;     ///< with hairpin: the sender is at home where it seems to come from
    bool asks = false;        ///< with answers: what is nobody's is not dropped, but is marked
    bool isNobodys = false;
    const Ahead* ahead = nullptr;
    bool own = false;  ///< made by the router in a client's name
    /// Its numbers are the server's by now; the window as it came.
    std::optional<std::uint16_t> unshiftedWindow{};
    /// Outcome beside the verdict, for fragments that follow this one.
    std::uint32_t session = nat::FlatIndex::kNone;
};

/// The engine's insides, shared by the files of the packet walk. Private to engine/*.cpp.
struct Engine::State {
    State(Instant now, const EngineConfig& initial);

    struct DeviceTraffic {
        DirectionTotals outbound;
        DirectionTotals inbound;
    };

    // packet_walk.cpp: the way of a packet.
    Verdict walk(Instant now, PortId ingress, wire::Packet& packet, Output& output,
                 bool inspect = true, const Ahead* ahead = nullptr);
    /// While there is no external address: nothing leaves, and the inside is told.
    Verdict whileParked(Walk& walk);
    Verdict outbound(Walk& walk);
    Verdict inbound(Walk& walk);
    Verdict transport(Walk& walk, net::Direction direction);
    Verdict translate(Walk& walk, std::uint32_t index, net::Direction direction);
    Verdict missOutbound(Walk& walk, net::Endpoint internal, net::Endpoint remote);
    Verdict missInbound(Walk& walk, net::Endpoint external, net::Endpoint remote);
    Verdict emit(Walk& walk, std::uint32_t index, net::Direction direction);
    [[nodiscard]] bool repeatsTooOften(std::uint32_t index) const;
    MaybeVerdict expires(Walk& walk);
    MaybeVerdict tooBig(Walk& walk, PortId egress);
    MaybeVerdict endsHere(Walk& walk, PortId egress);
    MaybeVerdict attend(Walk& walk, std::uint32_t index, net::Direction direction,
                        wire::ConstBytes payload, std::uint32_t sequence, std::uint8_t tcpFlags);
    void rewrite(Walk& walk, std::uint32_t index, net::Direction direction);
    /// What may be cut on its way out needs an identification that no other device uses there; so
    /// do all of the `count` packets that a card will make of it.
    void renumber(wire::Ipv4View ip, std::size_t count);
    /// Counts one packet, or `packets` in one, for its session, its device and in all.
    void tally(std::uint32_t index, net::Direction direction, std::uint32_t bytes,
               std::uint32_t packets, bool looped)
    {
        nat::Session& session = sessions[index];
        DeviceTraffic& device = traffic[session.device];
        const auto few = static_cast<std::uint16_t>(std::min(packets, 0x4000U));
        const auto add = [&](DirectionTotals& totals) {
            totals.bytes += bytes;
            totals.packets += packets;
        };
        if (direction == net::Direction::Outbound) {
            session.bytesOut += bytes;
            session.packetsOut = static_cast<std::uint16_t>(session.packetsOut + few);
            add(device.outbound);
            if (!looped) add(counters.outbound);
        } else {
            session.bytesIn += bytes;
            session.packetsIn = static_cast<std::uint16_t>(session.packetsIn + few);
            add(device.inbound);
            if (!looped) add(counters.inbound);
        }
        if (((session.packetsOut | session.packetsIn) & 0x8000U) != 0) sessions.fold(index);
    }
    Verdict hairpin(Walk& walk, net::Ipv4Address sender);
    Verdict secondHalf(Walk& walk);
    Verdict redirect(Walk& walk, passthrough::FlowId flow);
    [[nodiscard]] bool isExternal(net::Ipv4Address address) const;
    /// Whether the host answers this ping of the shared address.
    [[nodiscard]] bool answersPing(const Walk& walk) const;
    /// Whether a device inside can have this address (BCP 38).
    [[nodiscard]] bool mayBeDevice(net::Ipv4Address address) const;
    /// What is wrong with a rule for this device; nothing if it may be one.
    [[nodiscard]] std::optional<CommandError> judgeDevice(net::Ipv4Address address) const;
    [[nodiscard]] std::optional<std::uint8_t> slotOf(net::Ipv4Address address) const;
    Verdict drop(Walk& walk, DropReason reason);
    /// As drop, and tells an internal sender by ICMP (RFC 5508 REQ-8).
    Verdict refuse(Walk& walk, DropReason reason);

    Verdict fragment(Walk& walk);
    /// An oversized packet that may be cut goes out in pieces (RFC 4787 REQ-13a).
    Verdict cut(const Verdict& verdict, wire::Packet& packet, Output& output)
    {
        const std::uint16_t mtu = mtuToward(verdict.egress);
        if (packet.segmentPayload != 0 || packet.bytes.size() <= mtu) return verdict;
        return cutTo(mtu, verdict, packet, output);
    }
    Verdict cutTo(std::uint16_t mtu, const Verdict& verdict, wire::Packet& packet, Output& output);
    [[nodiscard]] std::uint16_t mtuToward(PortId egress) const
    {
        return egress == PortId::External ? config.external.mtu : config.internal.mtu;
    }

    // portless_walk.cpp: protocols without ports.
    Verdict portless(Walk& walk, net::Direction direction);
    Verdict translatePortless(Walk& walk, std::uint32_t index, net::Direction direction);
    Verdict decidePortless(Walk& walk, net::Direction direction);
    void deliverPortless(Walk& walk, net::Ipv4Address recipient,
                         const std::optional<passthrough::PortlessBinding::Rewrite>& rewrite);
    Verdict fanOut(Walk& walk, const passthrough::PortlessDecision& decision);
    void bind(Instant now, const passthrough::PortlessBinding& binding);
    void unbind(Instant now, const passthrough::PortlessUnbinding& unbinding, Output& output);

    // portless_homes.cpp: who answers at our addresses over protocols without ports.
    struct Home {
        net::Ipv4Address device;  ///< unspecified: nobody answers
        /// By which rule; null: the address is the device's own (1:1), or the device is exposed.
        const policy::PortForward* forward = nullptr;
        [[nodiscard]] bool isNobody() const { return device.isUnspecified(); }
        [[nodiscard]] bool isOther(net::Ipv4Address than) const
        {
            return !isNobody() && device != than;
        }
    };
    enum class CallFrom : std::uint8_t { Inside, Outside };
    /// The owner of a 1:1 address; at a shared one the device of the protocol's forward, and for
    /// ESP that devices inside send that of IKE's. Else, for callers outside, the exposed host. For
    /// callers inside, nobody while hairpinning is off.
    [[nodiscard]] Home homeOf(net::Ipv4Address external, net::IpProtocol protocol,
                              CallFrom from) const;
    /// Whether this device is what callers inside find there.
    [[nodiscard]] bool isHome(net::Ipv4Address device, net::Ipv4Address external,
                              net::IpProtocol protocol) const;
    /// Whether what this device sends to one of our addresses may be another device's.
    [[nodiscard]] bool mayLoop(net::Ipv4Address device, net::Ipv4Address external,
                               net::IpProtocol protocol) const;
    /// Whether the second half of a hairpinned packet is meant for this session.
    [[nodiscard]] bool mayTake(const Walk& walk, std::uint32_t index) const;
    /// What a device sends to those that have called it, by the address that they have called;
    /// `own` is the one it has toward them. None, and the packet as it was: nobody has.
    std::optional<Verdict> answer(Walk& walk, net::Ipv4Address own);
    Verdict loopPortless(Walk& walk, net::Ipv4Address external);
    /// What no tunnel has claimed, for this reason, goes to whoever is at home, if anybody is.
    Verdict deliverHome(Walk& walk, const Home& home, DropReason reason);
    /// Without a session, to a device that has a rule for it.
    Verdict deliverUninvited(Walk& walk, net::Ipv4Address device);
    /// Nobody inside is known to have a part in it; it is not forged or switched off either.
    [[nodiscard]] static bool isUnclaimed(DropReason reason);
    void rebuildHomes();

    // batch_walk.cpp: many packets at once.
    void walkAll(Instant now, PortId ingress, std::span<wire::Packet> packets,
                 std::span<Verdict> verdicts, Output& output);
    void lookAhead(net::Direction direction, std::span<const wire::Packet> packets,
                   std::span<Ahead> ahead) const;
    void lookAheadOfSetUp(std::span<Ahead> ahead) const;
    void peek(net::Direction direction, const wire::Packet& packet, Ahead& ahead) const;
    enum class ShortCut : std::uint8_t { NotTaken, Forwarded, OutOfWindow, InexactReset };
    ShortCut shortCut(Instant now, net::Direction direction, wire::Packet& packet,
                      const Ahead& ahead);

    // icmp_walk.cpp: queries' errors, and what the router says itself.
    Verdict icmpError(Walk& walk, net::Direction direction);
    Verdict loopError(Walk& walk, net::Ipv4Address external, net::Ipv4Address reporter);
    /// Whose the packet is that an error quotes.
    struct Quoted {
        nat::MaybeIndex session;
        std::optional<net::Ipv4Address> sender;  ///< inside, without a session
        std::optional<net::Ipv4Address> called;  ///< a caller inside has sent it, by this address
    };
    [[nodiscard]] Quoted portlessQuoted(const Walk& walk, net::Direction direction,
                                        const nat::EmbeddedPacket& quoted,
                                        wire::ConstBytes quote) const;
    void hearRefusal(Walk& walk, const nat::EmbeddedPacket& quoted, nat::MaybeIndex& session);
    void sendIcmp(Walk& walk, wire::IcmpType type, std::uint8_t code, std::uint32_t rest = 0);

    // syn_walk.cpp: callers of a flooded server.
    struct Proof {
        std::optional<nat::ShiftedConnection> caller;
        DropReason reason = DropReason::TcpState;
    };
    [[nodiscard]] nat::SynProxy::Load handshakesAt(net::Ipv4Address server) const;
    std::optional<Verdict> checkCaller(Walk& walk, net::Endpoint server);
    Proof proveCaller(const Walk& walk, net::Ipv4Address server);
    Verdict introduce(Walk& walk, std::uint32_t index, nat::ShiftedConnection caller);
    [[nodiscard]] bool isShifted(std::uint32_t index) const
    {
        return sessions[index].has(nat::session_flag::kAttention) &&
               sessions.detail(index).has(nat::detail_flag::kShifted);
    }
    /// The record of a shifted connection in `synProxy`.
    [[nodiscard]] std::uint16_t shiftOf(std::uint32_t index) const
    {
        return static_cast<std::uint16_t>(sessions.detail(index).aliasPort);
    }
    std::optional<Verdict> meetShifted(Walk& walk, std::uint32_t index, net::Direction direction,
                                       wire::TcpView& tcp);
    std::optional<Verdict> leaveShifted(Walk& walk, std::uint32_t index);
    void unshift(const Walk& walk, wire::MutableBytes packet) const;
    void callServer(Instant now, std::uint32_t index, Output& output);
    void sendAsClient(Instant now, std::uint32_t index, const wire::TcpFields& segment,
                      Output& output);
    void sendAsServer(std::uint32_t index, std::uint8_t flags, std::uint16_t window,
                      Output& output);
    void turnAway(Instant now, std::uint32_t index, passthrough::FlowEnd end, Output& output);
    void tendSynProxy(Instant now, std::uint32_t most, Output& output);
    void endFloods(Instant now, Output& output);
    [[nodiscard]] std::vector<SynFloodStatus> floodsNow() const;

    // sessions.cpp: making and ending.
    struct Opened {
        nat::MaybeIndex session;
        DropReason reason = DropReason::SessionTableFull;
    };
    struct Wish {
        net::IpProtocol protocol = net::IpProtocol::Udp;
        net::Endpoint internal;
        net::Endpoint remote;
        net::Port external;     ///< inbound: where it came to
        std::uint8_t slot = 0;  ///< inbound: which address
        net::Direction initiator = net::Direction::Outbound;
        nat::MaybeIndex mapping;
        std::uint32_t forward = 0;
        bool hairpin = false;
        bool holds = true;             ///< keeps its mapping alive
        const Ahead* ahead = nullptr;  ///< of the packet that begins it, from inside
    };
    /// Fills in what the wish leaves open.
    Opened openOutbound(Instant now, Wish& wish, Output& output);
    Opened open(Instant now, const Wish& wish, std::uint16_t device, Output& output);
    MaybeReason admit(Instant now, std::uint16_t device, Output& output,
                      std::optional<net::Port>* reuse, net::IpProtocol protocol, bool needsPort);
    MaybeReason admitUninvited(Instant now, std::uint16_t device, Output& output);
    void join(std::uint32_t index, std::uint32_t mapping, bool holds, const Ahead* ahead = nullptr);
    void confine(std::uint32_t index);
    void close(Instant now, std::uint32_t index, passthrough::FlowEnd end, Output& output);
    /// One holder of the mapping less. The last one takes the mapping and its other sessions along;
    /// false then. Many sessions end a few at a time: the rest is left to windUp().
    bool letGo(Instant now, std::uint32_t mapping, nat::MappingTable::Afterwards afterwards,
               Output& output);
    /// Goes on with the mappings that letGo() has left over until it has ended `most` sessions.
    void windUp(Instant now, std::uint64_t most, Output& output);
    void removeMapping(Instant now, std::uint32_t mapping,
                       nat::MappingTable::Afterwards afterwards);
    [[nodiscard]] Duration idleOf(std::uint32_t index) const
    {
        return idleOf(index, config.nat.timers);
    }
    [[nodiscard]] Duration idleOf(std::uint32_t index, const nat::Timers& timers) const;
    [[nodiscard]] bool expired(Instant now, std::uint32_t index) const;
    nat::MaybeIndex findLive(Instant now, const nat::SessionKey& key, std::uint32_t hash,
                             Output& output);
    nat::MaybeIndex findLive(Instant now, const nat::SessionKey& key, Output& output)
    {
        return findLive(now, key, sessions.hashOf(key), output);
    }
    [[nodiscard]] passthrough::Flow flowOf(std::uint32_t index) const;
    [[nodiscard]] nat::ProtocolBehaviour behaviourOf(net::IpProtocol protocol,
                                                     net::Endpoint internal) const;
    /// RFC 6888 REQ-6: whether this remote endpoint is reached without translation.
    [[nodiscard]] bool isUntranslated(net::Endpoint remote) const;
    /// The record of this device, made when it is new; none if there are too many.
    nat::MaybeDevice meet(Instant now, net::Ipv4Address address, Output* output);
    std::uint8_t pair(std::uint16_t device);
    /// The first of these that takes this external port.
    [[nodiscard]] static const policy::PortForward* forwardTo(
        const std::vector<policy::PortForward>& among, net::IpProtocol protocol,
        net::Port external);
    /// The same for who calls now: none while the host has the port or the device is elsewhere.
    [[nodiscard]] const policy::PortForward* forwardTo(net::IpProtocol protocol,
                                                       net::Port external) const;
    [[nodiscard]] std::optional<ForwardObstacle> obstacleOf(
        const policy::PortForward& forward) const;
    /// Whether the host itself has one of these ports, and not only may draw it.
    [[nodiscard]] bool isBoundByHost(net::PortRange ports) const;
    [[nodiscard]] const policy::PortForward* forwardFrom(net::IpProtocol protocol,
                                                         net::Endpoint internal) const;
    [[nodiscard]] static net::Port shifted(const policy::PortForward& forward, net::Port external);
    [[nodiscard]] const policy::DeviceRule* ruleOf(net::Ipv4Address device) const;
    [[nodiscard]] bool isBlocked(net::Ipv4Address device) const
    {
        const policy::DeviceRule* const rule = ruleOf(device);
        return rule != nullptr && rule->access == policy::DeviceAccess::Block;
    }
    /// Which share of a tunnel its packets count for, if any.
    [[nodiscard]] tunnel::AttachmentId attachmentOf(std::uint32_t index) const;
    bool attach(Instant now, std::uint32_t index, const tunnel::TunnelKey& key,
                tunnel::SequenceKind sequence, tunnel::Carries carries);
    void putOnProbation(std::uint32_t index);
    void endProbation(std::uint32_t index);
    /// It counts as a connection attempt that is under way no longer.
    void leaveHandshakes(std::uint32_t index);
    [[nodiscard]] nat::Device::Probation& probationOf(std::uint32_t index);
    /// By which of our addresses a device talks to this remote.
    [[nodiscard]] std::uint8_t slotToward(Instant now, std::uint16_t device,
                                          net::Ipv4Address remote);
    /// A remote has called a device by this address, so the device answers by it.
    void noteCaller(Instant now, std::uint16_t device, net::Ipv4Address remote, std::uint8_t slot);
    void refreshAttention(std::uint32_t index);
    [[nodiscard]] std::uint32_t sessionLimit(net::Ipv4Address device) const;
    [[nodiscard]] std::uint32_t portLimit() const;

    // saved_state.cpp
    /// A session as it stands in a block of saved state.
    struct SavedSession {
        passthrough::FlowId flow = 0;  ///< its name in the engine that was
        nat::Session session;
        std::uint8_t kind = 0;  ///< 0 of a mapping, 1 of a forward or a 1:1 address, 2 port-less
        bool holds = false;
        bool hasOut = true;
        bool hasIn = true;
        std::uint32_t forward = 0;
        std::uint16_t idle = 0;
        std::uint16_t aliasPort = 0;
        Instant created;
        DeviceTraffic carried;
        net::Ipv4Address external;
        std::optional<tunnel::TunnelTable::Share> share;
        bool isBinding = false;  ///< a helper asked for it
        passthrough::FlowId master = 0;
        bool watch = false;
        std::optional<nat::ShiftedConnection> shifted;
    };
    /// One session into a block; false if it must not come to life again.
    bool save(std::uint32_t index, StateWriter& records) const;
    [[nodiscard]] bool restore(Instant now, std::span<const std::uint8_t> body);
    nat::MaybeIndex restore(Instant now, const SavedSession& one,
                            const passthrough::RestoredFlows& flows);

    // What passthrough has asked for.
    struct Shown {
        nat::MaybeIndex session;  ///< of a TCP or UDP flow
        net::Ipv4Address client;  ///< zero: at a timeout
        net::Ipv4Address server;
    };
    void refuseFlow(Instant now, std::uint32_t index, Output& output);
    void perform(Instant now, const Shown& shown, Output& output)
    {
        if (actions.wantsSomething()) carryOut(now, shown, output);
    }
    void carryOut(Instant now, const Shown& shown, Output& output);
    void hold(Walk& walk, std::uint32_t token, bool showAgain = false);
    void releaseHeld(Instant now, std::uint32_t token, bool travel, Output& output);

    // commands.cpp
    Result<void, CommandError> applyCommand(Instant now, const Command& command, Output& output);
    [[nodiscard]] static bool isObeyedBySaved(const Command& command);
    Result<void, CommandError> setExternal(Instant now, const ExternalSide& side, Output& output);
    /// The address has stayed away: its sessions end, no more than `most` of them in this call.
    [[nodiscard]] bool isGone(net::Ipv4Address external) const;
    [[nodiscard]] bool isStranded(std::uint32_t index) const;
    void unpark(Instant now, std::uint32_t most, Output& output);
    void tellChange(Output& output);
    Result<void, CommandError> setForwards(Instant now,
                                           const std::vector<policy::PortForward>& forwards,
                                           policy::OnLive onLive, Output& output);
    Result<void, CommandError> setSwitch(Instant now, const SetPassthrough& wish, Output& output);
    Result<void, CommandError> closeSession(Instant now, std::uint64_t serial, Output& output);
    void resolveHold(Instant now, net::VpnProtocol protocol, ResolveHold::How how, Output& output);
    void runSelfTest(Instant now, net::VpnProtocol protocol, Output& output);
    void rebuildReserved();
    void rebuildSlots();
    [[nodiscard]] bool mayHave(net::Ipv4Address device, std::uint8_t slot) const;
    /// Makes the permission that a session gives its remote address what the filtering wants; true
    /// if it was not.
    bool refilter(std::uint32_t index);
    [[nodiscard]] bool permits(std::uint32_t index) const;
    /// Whether this mapping has sent to this address, for address-dependent filtering.
    [[nodiscard]] bool hasSentTo(std::uint32_t mapping, net::Ipv4Address remote) const;
    /// Looks no further than the first.
    template <typename Wanted>
    [[nodiscard]] bool anySession(const Wanted& wanted) const
    {
        for (std::uint32_t i = 0; i < sessions.touched(); ++i) {
            if (sessions.detail(i).has(nat::detail_flag::kUsed) && wanted(i)) return true;
        }
        return false;
    }
    void forEachForwarded(const std::function<void(std::uint32_t)>& visit) const;
    void forEachSession(const std::function<void(std::uint32_t)>& visit) const;
    /// Those that count for a tunnel: a few thousand at most, however many sessions there are.
    void forEachAttached(const std::function<void(std::uint32_t)>& visit) const;
    void tellReset(Instant now, std::uint32_t index, Output& output);
    using Loses = std::function<bool(std::uint32_t)>;

    // sweep.cpp
    /// A change on its way through all sessions that were there when it was made.
    struct Sweep {
        enum class Kind : std::uint8_t {
            End,       ///< ends those that lose
            Count,     ///< counts those that lose, and what would end with them
            Rearm,     ///< gives each the deadline of new timers; looked up, it has it already
            Refilter,  ///< makes permissions what a new filtering wants
        };
        Kind kind = Kind::End;
        Loses loses{};  ///< what it says of a session must not change
        /// Only these, by name, instead of all; packets of them pass no more already.
        std::optional<std::vector<passthrough::FlowId>> listed{};
        passthrough::FlowEnd cause = passthrough::FlowEnd::Admin;
        /// Count: what has been seen of each mapping.
        struct Lost {
            std::uint32_t holders;  ///< that lose
            std::uint32_t losers;
            std::uint32_t counted;  ///< of its sessions, in `concerned`
        };
        std::unique_ptr<LazyArray<Lost>> ofMappings{};
        bool told = false;            ///< SessionsCounted is due at its end
        std::uint32_t concerned = 0;  ///< those that lost and were ended, or finish
        std::uint32_t at = 0;         ///< place of the table, or of the list
        std::uint32_t end = 0;
        std::uint64_t endsBefore = 0;  ///< sessions from this serial on have begun after the change
    };
    void begin(Instant now, Sweep sweep, Output& output);
    /// A change of the rules takes from these what they came in by or go out with.
    void settle(Instant now, policy::OnLive onLive, Loses loses, Output& output);
    void goOn(Instant now, Output& output);
    std::uint64_t advance(Instant now, Output& output);
    std::uint64_t visit(Instant now, Sweep& sweep, std::uint32_t index, Output& output);
    void endFor(Instant now, Sweep& sweep, std::uint32_t index, Output& output);
    /// Ends a session that has been found, if a sweep is going to; true then.
    bool endIfLost(Instant now, std::uint32_t index, Output& output);
    [[nodiscard]] bool concerns(const Sweep& sweep, std::uint32_t index) const;
    /// The sweep that will end this session, if any: it must not be used any more.
    [[nodiscard]] const Sweep* sweepThatEnds(std::uint32_t index) const;
    void countForSweeps(std::uint32_t index);
    void countLoser(Sweep& sweep, std::uint32_t index);
    [[nodiscard]] bool isEnding() const;
    void refreshTrust();

    // session_losses.cpp
    /// Which sessions lose what they came in by or go out with, by the rules in force and those
    /// wished for: to be asked before the wish is in force.
    [[nodiscard]] Loses losersOf(const SetPortForwards& wish) const;
    [[nodiscard]] Loses losersOf(const SetOneToOnes& wish) const;
    [[nodiscard]] Loses losersOf(const SetDeviceRules& wish) const;
    [[nodiscard]] Loses losersOf(const SetExposedHost& wish) const;
    [[nodiscard]] Loses losersOf(Instant now, const SetNat& wish) const;
    /// Empty for a wish that takes nothing from anybody.
    [[nodiscard]] Loses losersOf(Instant now, const Command& wish) const;
    /// How many sessions end with those that lose.
    [[nodiscard]] std::uint32_t countEnding(const Loses& loses) const;

    // report.cpp
    void timeout(Instant now, Output& output);
    [[nodiscard]] std::optional<Instant> deadline() const;
    [[nodiscard]] Snapshot snapshot(Instant now) const;
    [[nodiscard]] SessionRecord record(std::uint32_t index) const;
    void reportTunnels(Instant now, Output& output);
    void reportRefusal(Walk& walk, DropReason reason);
    void emitEvent(Instant now, Output& output, Event event);
    [[nodiscard]] ProtocolStatus statusOf(net::VpnProtocol protocol) const;

    struct HeldPacket {
        std::uint32_t token = 0;
        PortId ingress = PortId::Internal;
        Instant until;
        std::vector<std::uint8_t> bytes;
        wire::ChecksumState checksum = wire::ChecksumState::Complete;
        std::uint16_t segmentPayload = 0;
        bool showAgain = false;
        net::Ipv4Address sender;  ///< it waits in its second half; unspecified: before its first
    };
    struct Switch {
        Instant heldUntil;
        bool held = false;
        policy::PassthroughSwitch before;
        std::uint64_t tunnelsSeen = 0;
        std::uint64_t refused = 0;
        SelfTestResult selfTest;
    };
    /// The exposed host is a forward of everything that nothing else claims; no rule has this
    /// number.
    static constexpr std::uint32_t kExposure = 0xffffffff;
    struct ForwardState {
        std::uint64_t hits = 0;
        std::uint32_t live = 0;
    };
    struct ExternalSlot {
        net::Ipv4Address address;
        net::Ipv4Address oneToOne;  ///< the internal address that owns it; unspecified: shared
        bool used = false;
    };

    std::array<Ahead, kBatch>
        batchAhead;  ///< only during walkAll(); here, so that nobody clears it
    EngineConfig config;
    Random random;
    nat::SessionTable sessions;
    nat::MappingTable mappings;
    nat::PermissionTable permissions;
    nat::DeviceTable devices;
    nat::SynProxy synProxy;
    std::vector<DeviceTraffic> traffic;  ///< by device
    passthrough::Passthrough passthrough;
    tunnel::TunnelTable tunnels;
    passthrough::Actions actions;
    Counters counters;
    /// Those of `config` that say who answers over protocols without ports: a few at most, so that
    /// no packet goes through all.
    std::vector<policy::PortForward> portlessForwards;
    std::array<ExternalSlot, nat::kExternalSlots> slots{};
    std::size_t slotsEnd = 0;  ///< those from here on are not used
    std::size_t sharedSlots = 0;
    /// No external address, and sessions wait for the one they had; or those of an address that is
    /// gone are still ending.
    bool parked = false;
    Instant parkedUntil;
    std::uint32_t unparkAt = 0;                      ///< how far unpark() has come
    std::optional<ExternalAddressChanged> changing;  ///< told when the last session has ended
    std::deque<Sweep> sweeps;                        ///< the oldest first, one after the other
    std::uint64_t changes = 0;       ///< of what saved sessions must obey; see StateDraft
    std::uint64_t leftToWindUp = 0;  ///< sessions that letGo() has ever left to windUp()
    Duration shortestIdle{0};
    std::unordered_map<std::uint32_t, passthrough::PortlessBinding> bindings;  ///< by session
    std::unordered_multimap<passthrough::FlowId, std::uint32_t> children;      ///< by master
    std::unordered_map<std::uint32_t, ForwardState> forwards;                  ///< by rule
    /// By attachment of `tunnels`: the session that has it, or had it once.
    std::vector<std::uint32_t> attachedSessions;
    struct Caller {
        std::uint8_t slot = 0;
        Instant lastSeen;
    };
    /// By device and remote: those that called by another address than the device's own.
    std::unordered_map<std::uint64_t, Caller> callers;
    Instant callersTidied;
    std::vector<std::uint32_t> ending;  ///< mappings without holders that still have sessions
    std::vector<HeldPacket> held;
    std::size_t heldBytes = 0;
    std::vector<std::vector<std::uint8_t>> releasedFragments;
    std::array<Switch, net::kVpnProtocolCount> switches;
    nat::Fragments fragments;
    nat::FragmentIds fragmentIds;
    nat::IcmpErrorSource icmpSource;
    Instant eventSecond;
    std::uint32_t eventsThisSecond = 0;
    std::vector<tunnel::Tunnel> changedTunnels;
    std::vector<tunnel::Tunnel> endedTunnels;
    struct RefusalSeen {
        std::uint64_t kinds = 0;
        Instant minute;
    };
    std::unordered_map<std::uint16_t, RefusalSeen> refusals;  ///< by device
};

// Ours. A device that asks for more than this at once is refused one by one, the counters know all.
/// Errors of others about one session that are passed on in a second (RFC 5927 §7).
inline constexpr std::uint8_t kIcmpErrorsPerSecond = 100;
/// Ours: what outside has begun, and not shown to be real yet, has so much of a device's share.
inline constexpr std::uint32_t kUninvitedShare = 4;
/// Ours: SYNs of one connection attempt that a server is shown. Systems repeat theirs up to ten
/// times; a flood from a few addresses and ports would repeat them for ever.
inline constexpr std::uint16_t kSynsPerAttempt = 12;
/// Ours: callers of servers inside that are remembered because there are several addresses.
inline constexpr std::size_t kMostCallers = 4096;
inline constexpr std::uint32_t kEventsPerSecond = 2000;
inline constexpr std::size_t kMostHeldPackets = 256;
inline constexpr std::size_t kMostHeldBytes = 512 * 1024;
inline constexpr Duration kHeldAtMost = std::chrono::seconds(2);
/// Ours: sessions wait so long for an external address that is gone; it often comes back at once,
/// after a new lease or a loose plug.
inline constexpr Duration kParkTime = std::chrono::seconds(30);
/// Ours: expiries of one call, so that no pause of a millisecond ever comes of it, also when all of
/// them are of tunnels, which end more slowly.
inline constexpr std::uint32_t kExpiriesPerCall = 128;
/// Ours: places of the table that are looked at for each session that may end, where a few are
/// sought among all.
inline constexpr std::uint32_t kLookedAtPerEnd = 64;
/// Ours: changes of the rules on their way at a time. With more of them the oldest comes to its end
/// in one go, so that what a found session is asked stays bounded.
inline constexpr std::size_t kMostSweeps = 16;
/// Ours: sessions of a mapping that are looked at for whom it has sent to, while its permissions
/// are being made; an ordinary mapping has a handful.
inline constexpr std::uint32_t kLookedAtForPermission = 256;
/// Ours: how many sessions go at once with the mapping they use. Whoever may send to a mapping can
/// make tens of thousands of them; an ordinary one has a handful.
inline constexpr std::uint32_t kEndedWithMapping = 16;

/// Addresses that never appear on a wire as somebody's own (RFC 6890, RFC 1112).
[[nodiscard]] constexpr bool isBogon(net::Ipv4Address address)
{
    const std::uint32_t first = address.hostOrder() >> 24;
    return first == 0 || first == 127 || first >= 224;
}

}  // namespace engine
