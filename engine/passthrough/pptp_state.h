#pragma once

#include "engine/passthrough/call_ids.h"
#include "engine/passthrough/control_stream.h"
#include "engine/passthrough/gre_window.h"
#include "engine/passthrough/observing.h"
#include "engine/passthrough/ppp_observer.h"
#include "engine/passthrough/pptp.h"
#include "engine/passthrough/pptp_message.h"

#include <algorithm>
#include <array>
#include <bitset>
#include <memory>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

/// The inside of PptpInspector, shared by its source files and nobody else.
namespace engine::passthrough {

namespace pptp {

using namespace std::chrono_literals;

// Specification.
/// RFC 2637 §2.5 and §3.1.4: an echo request that is not answered for so long ends the connection.
inline constexpr Duration kEchoTimeout = 60s;

// Ours.
/// A call that nobody answers, or whose GRE never starts, is forgotten.
inline constexpr Duration kCallTimeout = 60s;
/// A cleared call is kept for the notification that answers it.
inline constexpr Duration kClearTimeout = 10s;
/// GRE that leaves and does not come back.
inline constexpr Duration kReturnTimeout = 10s;
inline constexpr std::uint32_t kReturnPackets = 3;
/// One direction silent while the other is active.
inline constexpr Duration kOneWayTimeout = 30s;
/// A SYN or a start request without an answer.
inline constexpr Duration kAnswerTimeout = 15s;
/// A control connection of a tunnel outlives quiet days; its GRE ends with it anyway.
inline constexpr Duration kControlIdle = 24h;
inline constexpr Duration kCallIdle = 24h;
inline constexpr Duration kRoundTripEvery = 1s;
inline constexpr Duration kSweepEvery = 1s;
inline constexpr Duration kIdSweepEvery = 30s;
/// Misses from one server in one minute that make its windows strict.
inline constexpr Duration kMissPeriod = 60s;
inline constexpr std::uint32_t kMissesTolerated = 64;

inline constexpr std::size_t kMostControls = 4096;
inline constexpr std::size_t kMostCalls = 4096;
inline constexpr std::size_t kMostCallsPerControl = 64;
inline constexpr std::size_t kMostPendingPerClient = 32;
/// What one device opens or asks for, alive or not: an eighth, so that it cannot keep others out.
inline constexpr std::size_t kMostControlsPerClient = 512;
inline constexpr std::size_t kMostCallsPerClient = 512;
inline constexpr std::size_t kMostCandidates = 1024;
/// Segments that wait for the ones before them: a start message in single octets, scrambled.
inline constexpr std::size_t kMostHeld = 192;
/// Longer than the NAT keeps a held packet: when it gives up and shows the packet again, the entry
/// is still there and says that it has had its chance.
inline constexpr Duration kHeldFor = 4s;
inline constexpr std::size_t kMostPlain = 4096;
/// How much of a packet is kept to prove a finding: the headers.
inline constexpr std::size_t kProof = 40;
/// The same of a control message: as far as its result code, which nobody has to hide.
inline constexpr std::size_t kControlProof = 64;

inline constexpr Attention kPass{};
inline constexpr Attention kIgnore{.next = Attention::Next::Ignore};
inline constexpr Attention drop(DropReason reason)
{
    return {.next = Attention::Next::Watch, .fate = Attention::Fate::Drop, .reason = reason};
}
inline constexpr PortlessDecision refuse(DropReason reason)
{
    PortlessDecision decision;
    decision.reason = reason;
    return decision;
}
inline PortlessDecision deliverTo(net::Ipv4Address client)
{
    PortlessDecision decision;
    decision.kind = PortlessDecision::Kind::Deliver;
    decision.recipients[0] = client;
    decision.recipientCount = 1;
    return decision;
}

inline constexpr std::uint8_t kSyn = 2;

/// The opening octets of every first message of a control connection.
inline constexpr std::array<std::uint8_t, 12> kOpening{0x00, 0x9c, 0x00, 0x01, 0x1a, 0x2b,
                                                       0x3c, 0x4d, 0x00, 0x01, 0x00, 0x00};

/// A TCP connection to or from port 1723 that has not shown its first message.
struct Candidate {
    Flow flow;
    Instant since;
    bool answered = false;
    bool told = false;
    tunnel::TunnelKey key;
    std::vector<std::uint8_t> proof;     ///< its first packet
    std::optional<std::uint32_t> start;  ///< where the initiator's stream begins
    std::optional<std::uint32_t> replyStart;
    std::array<std::uint8_t, kLongestMessage> octets{};
    std::bitset<kLongestMessage> present;

    void store(std::uint32_t sequence, wire::ConstBytes bytes)
    {
        if (!start) start = sequence;
        const std::uint32_t at = sequence - *start;
        for (std::size_t i = 0; i < bytes.size() && at + i < octets.size(); ++i) {
            if (present[at + i]) continue;
            octets[at + i] = bytes[i];
            present[at + i] = true;
        }
    }
    [[nodiscard]] std::size_t contiguous() const
    {
        std::size_t count = 0;
        while (count < octets.size() && present[count])
            ++count;
        return count;
    }

    enum class Judgement : std::uint8_t { Undecided, Opens, JoinedLate, Other };
    /// What the octets so far are the beginning of.
    [[nodiscard]] Judgement judge() const
    {
        bool opens = true;
        for (std::size_t i = 0; i < kOpening.size(); ++i) {
            opens = opens && (!present[i] || octets[i] == kOpening[i]);
        }
        const bool whole = contiguous() >= kOpening.size();
        if (opens) return whole ? Judgement::Opens : Judgement::Undecided;
        return whole && MessageHeader::read(octets) ? Judgement::JoinedLate : Judgement::Other;
    }
};

enum class CallState : std::uint8_t {
    Requested,  ///< one side has asked
    Answered,   ///< an incoming call was accepted and waits for "connected"
    Agreed,     ///< both sides have: GRE may pass
    Clearing,   ///< asked to end; the ID is kept for the answer
};

struct Call {
    CallState state = CallState::Requested;
    net::Direction requester = net::Direction::Outbound;
    bool incoming = false;  ///< ICRQ rather than OCRQ
    /// Who dials is the client: a PNS asks for an outgoing call, a PAC announces an incoming one.
    [[nodiscard]] bool isOfClientInside() const
    {
        return (requester == net::Direction::Outbound) != incoming;
    }
    std::optional<std::uint16_t> insideId;
    std::optional<std::uint16_t> publicId;
    std::optional<std::uint16_t> remoteId;
    bool registered = false;  ///< the public ID is ours to give back
    bool bound = false;
    tunnel::TunnelKey key;
    Instant since;

    GreWindow window;
    PppObserver ppp;
    tunnel::Phase phase = tunnel::Phase::Handshaking;
    Instant agreedAt;
    std::array<std::uint32_t, 2> packets{};
    std::array<Instant, 2> first{};
    std::array<Instant, 2> last{};
    std::uint32_t unanswered = 0;  ///< packets out since the last one in
    std::uint32_t unrequited = 0;  ///< packets in since the last one out
    bool neverReturnsTold = false;
    bool degraded = false;
    Instant roundTripTold;
    /// By LCP, which answers at once; acknowledgments may wait half a second for company.
    std::optional<Duration> promptRoundTrip;
    std::vector<std::uint8_t> proof;
};

/// An ID that was taken while its message is still coming in.
struct Reservation {
    std::uint16_t insideId = 0;
    std::uint16_t publicId = 0;
    bool registered = false;
};

struct Control {
    enum class Stage : std::uint8_t { Fresh, Requested, Ready, Over };
    enum class Help : std::uint8_t { Assist, ObserveOnly };

    Flow flow;
    Help help = Help::ObserveOnly;
    Stage stage = Stage::Fresh;
    Instant since;
    bool labelCertain = false;
    bool keyOver = false;  ///< the tunnel of `key` has ended; the next call begins another
    tunnel::TunnelKey key;
    std::uint64_t serial = 0;
    std::array<ControlStream, 2> streams{ControlStream{net::Direction::Outbound},
                                         ControlStream{net::Direction::Inbound}};
    std::unique_ptr<Candidate> early;  ///< octets that came before their turn
    /// The beginning of each side's latest packet that says anything.
    std::array<std::vector<std::uint8_t>, 2> proof;
    void noteProof(const Segment& segment)
    {
        if (segment.payload.empty()) return;
        const auto kept = segment.packet.first(std::min(segment.packet.size(), kControlProof));
        proof[static_cast<std::size_t>(segment.direction)].assign(kept.begin(), kept.end());
    }
    [[nodiscard]] const std::vector<std::uint8_t>& proofOf(net::Direction direction) const
    {
        return proof[static_cast<std::size_t>(direction)];
    }
    struct HeldSegment {
        std::uint32_t sequence = 0;
        std::uint32_t size = 0;
        std::uint32_t token = 0;
        Instant until;
    };
    std::array<std::vector<HeldSegment>, 2> held;
    std::vector<std::unique_ptr<Call>> calls;
    std::optional<Reservation> reservation;
    std::vector<std::uint16_t> released;
    struct Echo {
        std::uint32_t id = 0;
        Instant at;
    };
    std::array<std::optional<Echo>, 2> echo;
    std::uint32_t keepalives = 0;
    bool unknownCallTold = false;
    /// Restored: the stream has to be taken up where it now is.
    std::array<bool, 2> takesUp{};

    void noteReleased(std::uint16_t id)
    {
        if (released.size() == kMostCallsPerControl) released.erase(released.begin());
        released.push_back(id);
    }
    [[nodiscard]] bool assisted() const { return help == Help::Assist; }
    [[nodiscard]] tunnel::Lane laneOf(net::Direction sender) const
    {
        const bool fromInitiator = sender == flow.initiator;
        return fromInitiator ? tunnel::Lane::Client : tunnel::Lane::Server;
    }
};

/// GRE without help: the first client has the server to itself.
struct PlainPath {
    net::Ipv4Address client;
    tunnel::TunnelKey key;
    std::uint32_t bindings = 0;
    PppObserver ppp;
};

/// What a server has sent that no call explains.
struct ServerRecord {
    std::uint32_t controls = 0;
    std::uint32_t misses = 0;
    Instant since;
};

inline bool isPptpPort(const Flow& flow)
{
    if (flow.initiator == net::Direction::Outbound)
        return flow.remote.port.hostOrder() == kServerPort;
    return flow.internal.port.hostOrder() == kServerPort ||
           flow.external.port.hostOrder() == kServerPort;
}

inline bool isFragment(wire::ConstBytes packet)
{
    return packet.size() >= 20 && (wire::load16(packet, 6) & 0x3fffU) != 0;
}

}  // namespace pptp

struct PptpInspector::State {
    State(HashKey key, const policy::PassthroughPolicy& switches, const net::Prefix& internal)
        : seed(key),
          policy(switches),
          lan(internal),
          ids(HashKey{key.k0 ^ 0x50505450U, key.k1}),
          inboundCalls(0, pptp::CallIdHash{key}),
          outboundCalls(0, pptp::CallIdHash{key})
    {}

    struct Owner {
        FlowId control = 0;
        pptp::Call* call = nullptr;
    };
    using CallIndex = std::unordered_map<pptp::CallIdKey, Owner, pptp::CallIdHash>;

    HashKey seed;
    const policy::PassthroughPolicy& policy;
    const net::Prefix& lan;  ///< our own network
    pptp::CallIds ids;
    std::unordered_map<FlowId, std::unique_ptr<pptp::Control>> controls;
    std::unordered_map<FlowId, std::unique_ptr<pptp::Candidate>> candidates;
    CallIndex inboundCalls;   ///< (external, server, public ID)
    CallIndex outboundCalls;  ///< (client, server, server's ID)
    std::unordered_map<pptp::CallIdKey, pptp::PlainPath, pptp::CallIdHash> plain{
        0, pptp::CallIdHash{seed}};
    std::unordered_map<std::uint32_t, pptp::ServerRecord> servers;
    std::unordered_map<std::uint32_t, std::uint32_t> pending;  ///< by client address
    /// Control connections opened and calls asked for from inside, by client address.
    std::unordered_map<std::uint32_t, std::uint32_t> controlsOf;
    std::unordered_map<std::uint32_t, std::uint32_t> callsOf;
    /// Calls whose GRE sessions live on; only while the state is restored.
    std::unordered_set<pptp::CallIdKey, pptp::CallIdHash> restoredCalls{0, pptp::CallIdHash{seed}};
    std::size_t callCount = 0;
    std::uint64_t serial = 0;
    std::optional<Instant> nextSweep;
    Instant nextIdSweep;
    std::size_t heldCount = 0;
    std::uint32_t nextToken = 0;

    class Reader;

    tunnel::TunnelKey makeKey(const Flow& flow, std::uint64_t number)
    {
        return {flow.internal.address, flow.remote.address,
                sipHash(seed, flow.id, (std::uint64_t{0x50505450} << 32) | number)};
    }
    void wake(Instant now)
    {
        if (!nextSweep || *nextSweep > now + pptp::kSweepEvery) nextSweep = now + pptp::kSweepEvery;
    }

    // Control connections.
    Claim consider(Instant now, const Flow& flow, const Segment& segment);
    pptp::Control* follow(Instant now, const Flow& flow, const Segment& segment, Actions& actions);
    static void label(const pptp::Control& control, const tunnel::TunnelKey& key,
                      tunnel::Confidence confidence, Actions& actions);
    pptp::Control& open(Instant now, const Flow& flow, Actions& actions);
    Attention inspect(Instant now, pptp::Control& control, const Segment& segment,
                      Actions& actions);
    static bool takeUp(pptp::Control& control, const Segment& segment, std::uint32_t sequence);
    Attention observeOnly(Instant now, pptp::Control& control, const Segment& segment,
                          Actions& actions);
    void feedEarly(pptp::Control& control, Reader& reader);
    Attention holdUntilItsTurn(Instant now, pptp::Control& control, const Segment& segment);
    void releaseHeld(pptp::Control& control, net::Direction direction, Actions& actions);
    void close(Instant now, pptp::Control& control, FlowEnd end, Actions& actions);

    // Calls.
    pptp::Call* findCall(const pptp::Control& control, net::Direction namer,
                         std::uint16_t id) const;
    bool hasRoomForControl(const Flow& flow) const;
    void noteOpened(const pptp::Control& control);
    void noteClosed(const pptp::Control& control);
    bool hasRoomForCall(const pptp::Control& control, pptp::MessageType type) const;
    void addCall(const pptp::Control& control, const pptp::Call& call);
    void removeCall(const pptp::Control& control, const pptp::Call& call);
    void addPending(const pptp::Control& control, const pptp::Call& call);
    void addPendingIfAsked(const pptp::Control& control, const pptp::Call& call)
    {
        const bool asked =
            call.state == pptp::CallState::Requested || call.state == pptp::CallState::Answered;
        if (asked) addPending(control, call);
    }
    void removePending(const pptp::Control& control, const pptp::Call& call);
    pptp::Call& newCall(Instant now, pptp::Control& control, net::Direction requester,
                        Actions& actions);
    void agree(Instant now, pptp::Control& control, pptp::Call& call, Actions& actions);
    void bind(const pptp::Control& control, pptp::Call& call, Actions& actions) const;
    void unbind(const pptp::Control& control, pptp::Call& call, Actions& actions) const;
    void endCall(Instant now, pptp::Control& control, pptp::Call& call, TunnelEnding ending,
                 std::uint32_t code, Actions& actions);
    void endAllCalls(Instant now, pptp::Control& control, TunnelEnding ending, std::uint32_t code,
                     Actions& actions);
    void forgetReservation(Instant now, pptp::Control& control);
    void declareDead(Instant now, pptp::Control& control, Actions& actions);

    // Data.
    GreWindow::Strictness noteMiss(Instant now, net::Ipv4Address server, std::uint32_t count);
    Attention inspectCall(Instant now, net::Direction direction, const PortlessPacket& packet,
                          const GreHeader& header, pptp::Call& call, Actions& actions);
    void noteTraffic(Instant now, net::Direction direction, const PortlessPacket& packet,
                     std::uint16_t callId, pptp::Call& call, Actions& actions);
    /// `call` is null for GRE that passes without help.
    void tellPpp(const PppObserver::News& news, net::Direction direction,
                 const tunnel::TunnelKey& key, wire::ConstBytes packet, pptp::Call* call,
                 Actions& actions) const;
    PortlessDecision decidePlain(Instant now, net::Direction direction,
                                 const PortlessPacket& packet, const GreHeader& header,
                                 Actions& actions);
    const pptp::Control* controlOf(net::Ipv4Address client, net::Ipv4Address server) const;

    void sweep(Instant now, Actions& actions);
    void sweepCall(Instant now, pptp::Control& control, pptp::Call& call, Actions& actions);
};

}  // namespace engine::passthrough
