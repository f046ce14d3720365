#include "engine/passthrough/pptp.h"

#include "engine/passthrough/call_ids.h"
#include "engine/passthrough/control_stream.h"
#include "engine/passthrough/gre_window.h"
#include "engine/passthrough/observing.h"
#include "engine/passthrough/ppp_observer.h"
#include "engine/passthrough/pptp_message.h"

#include <algorithm>
#include <bitset>
#include <utility>
#include <vector>

namespace engine::passthrough {

namespace {

using namespace std::chrono_literals;
using namespace pptp;
using net::Direction;
using policy::PassthroughMode;
using tunnel::Confidence;
using tunnel::EventKind;
using tunnel::FindingKind;
using tunnel::Lane;
using tunnel::Observation;
using tunnel::Phase;
using tunnel::TunnelKey;

// Specification.
/// RFC 2637 §2.5 and §3.1.4: an echo request that is not answered for so long ends the connection.
constexpr Duration kEchoTimeout = 60s;

// Ours.
/// A call that nobody answers, or whose GRE never starts, is forgotten.
constexpr Duration kCallTimeout = 60s;
/// A cleared call is kept for the notification that answers it.
constexpr Duration kClearTimeout = 10s;
/// GRE that leaves and does not come back.
constexpr Duration kReturnTimeout = 10s;
constexpr std::uint32_t kReturnPackets = 3;
/// One direction silent while the other is active.
constexpr Duration kOneWayTimeout = 30s;
/// A SYN or a start request without an answer.
constexpr Duration kAnswerTimeout = 15s;
/// A control connection of a tunnel outlives quiet days; its GRE ends with it anyway.
constexpr Duration kControlIdle = 24h;
constexpr Duration kCallIdle = 24h;
constexpr Duration kRoundTripEvery = 1s;
constexpr Duration kSweepEvery = 1s;
constexpr Duration kIdSweepEvery = 30s;
/// Misses from one server in one minute that make its windows strict.
constexpr Duration kMissPeriod = 60s;
constexpr std::uint32_t kMissesTolerated = 64;

constexpr std::size_t kMostControls = 4096;
constexpr std::size_t kMostCalls = 4096;
constexpr std::size_t kMostCallsPerControl = 64;
constexpr std::size_t kMostPendingPerClient = 32;
constexpr std::size_t kMostCandidates = 1024;
/// Segments that wait for the ones before them: a start message in single octets, scrambled.
constexpr std::size_t kMostHeld = 192;
/// Longer than the NAT keeps a held packet: when it gives up and shows the packet again, the entry
/// is still there and says that it has had its chance.
constexpr Duration kHeldFor = 4s;
constexpr std::size_t kMostPlain = 4096;
/// How much of a packet is kept to prove a finding: the headers.
constexpr std::size_t kProof = 40;

constexpr Attention kPass{};
constexpr Attention kIgnore{.next = Attention::Next::Ignore};
constexpr Attention drop(DropReason reason)
{
    return {.next = Attention::Next::Watch, .fate = Attention::Fate::Drop, .reason = reason};
}
constexpr PortlessDecision refuse(DropReason reason)
{
    PortlessDecision decision;
    decision.reason = reason;
    return decision;
}
PortlessDecision deliverTo(net::Ipv4Address client)
{
    PortlessDecision decision;
    decision.kind = PortlessDecision::Kind::Deliver;
    decision.recipients[0] = client;
    decision.recipientCount = 1;
    return decision;
}

constexpr std::uint8_t kSyn = 2;

/// The opening octets of every first message of a control connection.
constexpr std::array<std::uint8_t, 12> kOpening{0x00, 0x9c, 0x00, 0x01, 0x1a, 0x2b,
                                                0x3c, 0x4d, 0x00, 0x01, 0x00, 0x00};

/// A TCP connection to or from port 1723 that has not shown its first message.
struct Candidate {
    Flow flow;
    Instant since;
    bool answered = false;
    bool told = false;
    TunnelKey key;
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
    Direction requester = Direction::Outbound;
    bool incoming = false;  ///< ICRQ rather than OCRQ
    std::optional<std::uint16_t> insideId;
    std::optional<std::uint16_t> publicId;
    std::optional<std::uint16_t> remoteId;
    bool registered = false;  ///< the public ID is ours to give back
    bool bound = false;
    TunnelKey key;
    Instant since;

    GreWindow window;
    PppObserver ppp;
    Phase phase = Phase::Handshaking;
    Instant agreedAt;
    std::array<std::uint32_t, 2> packets{};
    std::array<Instant, 2> first{};
    std::array<Instant, 2> last{};
    std::uint32_t unanswered = 0;  ///< packets out since the last one in
    std::uint32_t unrequited = 0;  ///< packets in since the last one out
    bool neverReturnsTold = false;
    bool degraded = false;
    Instant roundTripTold;
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
    TunnelKey key;
    std::uint64_t serial = 0;
    std::array<ControlStream, 2> streams{ControlStream{Direction::Outbound},
                                         ControlStream{Direction::Inbound}};
    std::unique_ptr<Candidate> early;  ///< octets that came before their turn
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

    void noteReleased(std::uint16_t id)
    {
        if (released.size() == kMostCallsPerControl) released.erase(released.begin());
        released.push_back(id);
    }
    [[nodiscard]] bool assisted() const { return help == Help::Assist; }
    [[nodiscard]] Lane laneOf(Direction sender) const
    {
        const bool fromInitiator = sender == flow.initiator;
        return fromInitiator ? Lane::Client : Lane::Server;
    }
};

/// GRE without help: the first client has the server to itself.
struct PlainPath {
    net::Ipv4Address client;
    TunnelKey key;
    std::uint32_t bindings = 0;
    PppObserver ppp;
};

/// What a server has sent that no call explains.
struct ServerRecord {
    std::uint32_t controls = 0;
    std::uint32_t misses = 0;
    Instant since;
};

bool isPptpPort(const Flow& flow)
{
    if (flow.initiator == Direction::Outbound) return flow.remote.port.hostOrder() == kServerPort;
    return flow.internal.port.hostOrder() == kServerPort ||
           flow.external.port.hostOrder() == kServerPort;
}

bool isFragment(wire::ConstBytes packet)
{
    return packet.size() >= 20 && (wire::load16(packet, 6) & 0x3fffU) != 0;
}

}  // namespace

struct PptpInspector::State {
    State(HashKey key, const policy::PassthroughPolicy& switches)
        : seed(key),
          policy(switches),
          ids(HashKey{key.k0 ^ 0x50505450U, key.k1}),
          inboundCalls(0, CallIdHash{key}),
          outboundCalls(0, CallIdHash{key})
    {}

    struct Owner {
        FlowId control = 0;
        Call* call = nullptr;
    };
    using CallIndex = std::unordered_map<CallIdKey, Owner, CallIdHash>;

    HashKey seed;
    const policy::PassthroughPolicy& policy;
    CallIds ids;
    std::unordered_map<FlowId, std::unique_ptr<Control>> controls;
    std::unordered_map<FlowId, std::unique_ptr<Candidate>> candidates;
    CallIndex inboundCalls;   ///< (external, server, public ID)
    CallIndex outboundCalls;  ///< (client, server, server's ID)
    std::unordered_map<CallIdKey, PlainPath, CallIdHash> plain{0, CallIdHash{seed}};
    std::unordered_map<std::uint32_t, ServerRecord> servers;
    std::unordered_map<std::uint32_t, std::uint32_t> pending;  ///< by client address
    std::size_t callCount = 0;
    std::uint64_t serial = 0;
    std::optional<Instant> nextSweep;
    Instant nextIdSweep;
    std::size_t heldCount = 0;
    std::uint32_t nextToken = 0;

    class Reader;

    TunnelKey makeKey(const Flow& flow, std::uint64_t number)
    {
        return {flow.internal.address, flow.remote.address,
                sipHash(seed, flow.id, (std::uint64_t{0x50505450} << 32) | number)};
    }
    void wake(Instant now)
    {
        if (!nextSweep || *nextSweep > now + kSweepEvery) nextSweep = now + kSweepEvery;
    }

    // Control connections.
    Claim consider(Instant now, const Flow& flow, const Segment& segment);
    Control* follow(Instant now, const Flow& flow, const Segment& segment, Actions& actions);
    Control& open(Instant now, const Flow& flow, Actions& actions);
    Attention inspect(Instant now, Control& control, const Segment& segment, Actions& actions);
    Attention observeOnly(Instant now, Control& control, const Segment& segment, Actions& actions);
    void feedEarly(Control& control, Reader& reader);
    Attention holdUntilItsTurn(Instant now, Control& control, const Segment& segment);
    void releaseHeld(Control& control, Direction direction, Actions& actions);
    void close(Instant now, Control& control, FlowEnd end, Actions& actions);

    // Calls.
    Call* findCall(const Control& control, Direction namer, std::uint16_t id) const;
    bool hasRoomForCall(const Control& control, MessageType type) const;
    void addPending(const Control& control, const Call& call);
    void removePending(const Control& control, const Call& call);
    Call& newCall(Instant now, Control& control, Direction requester, Actions& actions);
    void agree(Instant now, Control& control, Call& call, Actions& actions);
    void bind(const Control& control, Call& call, Actions& actions) const;
    void unbind(const Control& control, Call& call, Actions& actions) const;
    void endCall(Instant now, Control& control, Call& call, TunnelEnding ending, std::uint32_t code,
                 Actions& actions);
    void endAllCalls(Instant now, Control& control, TunnelEnding ending, std::uint32_t code,
                     Actions& actions);
    void forgetReservation(Instant now, Control& control);
    void declareDead(Instant now, Control& control, Actions& actions);

    // Data.
    GreWindow::Strictness noteMiss(Instant now, net::Ipv4Address server, std::uint32_t count);
    Attention inspectCall(Instant now, Direction direction, const PortlessPacket& packet,
                          const GreHeader& header, Call& call, Actions& actions);
    void noteTraffic(Instant now, Direction direction, const PortlessPacket& packet,
                     std::uint16_t callId, Call& call, Actions& actions);
    static void tellPpp(const PppObserver::News& news, Direction direction, const TunnelKey& key,
                        wire::ConstBytes packet, Phase* phase, Actions& actions);
    PortlessDecision decidePlain(Instant now, Direction direction, const PortlessPacket& packet,
                                 const GreHeader& header, Actions& actions);
    const Control* controlOf(net::Ipv4Address client, net::Ipv4Address server) const;

    void sweep(Instant now, Actions& actions);
    void sweepCall(Instant now, Control& control, Call& call, Actions& actions);
};

/// Understands the messages of one control connection.
class PptpInspector::State::Reader final : public ControlReader {
public:
    Reader(State& state, Instant now, Control& control, Actions& actions)
        : m_state(state), m_now(now), m_control(control), m_actions(actions)
    {}

    std::optional<std::uint16_t> translate(Direction direction, MessageType type, std::uint16_t id,
                                           std::optional<std::uint8_t> highSent) override
    {
        const auto fitting = [&](std::uint16_t value) -> std::optional<std::uint16_t> {
            if (highSent && *highSent != value >> 8) return std::nullopt;
            return value;
        };
        if (!m_control.assisted() || m_control.stage != Control::Stage::Ready) return fitting(id);
        if (direction == Direction::Inbound) {
            const Call* call = m_state.findCall(m_control, Direction::Outbound, id);
            return fitting(call != nullptr && call->insideId ? *call->insideId : id);
        }
        const Call* call = byInsideId(id);
        if (!isSetUp(type) || (call != nullptr && call->state != CallState::Clearing)) {
            return fitting(call != nullptr && call->publicId ? *call->publicId : id);
        }
        return reserve(type, id, highSent);
    }

    std::optional<std::uint8_t> translateHigh(Direction direction, MessageType type,
                                              std::uint8_t high) override
    {
        if (!m_control.assisted() || m_control.stage != Control::Stage::Ready) return high;
        if (direction == Direction::Outbound && isSetUp(type)) return high;
        std::optional<std::uint8_t> answer;
        for (const auto& call : m_control.calls) {
            if (!call->publicId || !call->insideId) continue;
            std::uint16_t from = *call->insideId;
            std::uint16_t to = *call->publicId;
            if (direction == Direction::Inbound) std::swap(from, to);
            if (from >> 8 != high) continue;
            const auto mapped = static_cast<std::uint8_t>(to >> 8);
            if (answer && *answer != mapped) return std::nullopt;
            answer = mapped;
        }
        return answer.value_or(high);
    }

    void complete(Direction direction, MessageType type, wire::ConstBytes message) override
    {
        const Observing tunnel(m_actions, m_control.key);
        const Lane from = m_control.laneOf(direction);
        const Lane to = m_control.laneOf(net::opposite(direction));
        switch (type) {
        case MessageType::StartRequest: startRequest(direction, tunnel, from, to); break;
        case MessageType::StartReply: startReply(direction, message, tunnel, from, to); break;
        case MessageType::StopRequest:
        case MessageType::StopReply: stop(type, message, tunnel, from, to); break;
        case MessageType::EchoRequest: echoRequest(direction, message); break;
        case MessageType::EchoReply: echoReply(direction, message, tunnel, from, to); break;
        case MessageType::OutgoingCallRequest:
        case MessageType::IncomingCallRequest:
            callRequest(direction, type, message, from, to);
            break;
        case MessageType::OutgoingCallReply:
        case MessageType::IncomingCallReply: callReply(direction, type, message, from, to); break;
        case MessageType::IncomingCallConnected: connected(direction, message, from, to); break;
        case MessageType::CallClearRequest:
        case MessageType::CallDisconnectNotify: clear(direction, type, message, from, to); break;
        case MessageType::WanErrorNotify:
            if (const Call* call = byPeerId(direction, wire::load16(message, 12))) {
                Observing(m_actions, call->key)
                    .event(EventKind::ControlMessage, from, to, std::uint32_t(type));
            }
            break;
        case MessageType::SetLinkInfo: break;
        }
    }

private:
    static bool isSetUp(MessageType type)
    {
        return type == MessageType::OutgoingCallRequest || type == MessageType::OutgoingCallReply ||
               type == MessageType::IncomingCallRequest || type == MessageType::IncomingCallReply;
    }

    Call* byInsideId(std::uint16_t id) const
    {
        Call* clearing = nullptr;
        for (const auto& call : m_control.calls) {
            if (call->insideId != id) continue;
            if (call->state != CallState::Clearing) return call.get();
            clearing = call.get();
        }
        return clearing;
    }
    /// The call that the receiver of a message knows by `id`, as it stands in the untranslated
    /// message.
    Call* byPeerId(Direction direction, std::uint16_t id) const
    {
        return m_state.findCall(m_control, net::opposite(direction), id);
    }

    std::optional<std::uint16_t> reserve(MessageType type, std::uint16_t id,
                                         std::optional<std::uint8_t> highSent)
    {
        m_state.forgetReservation(m_now, m_control);
        if (!m_state.hasRoomForCall(m_control, type)) return std::nullopt;
        const auto taken =
            m_state.ids.take(m_now, m_control.flow.external.address, m_control.flow.remote.address,
                             m_control.flow.internal.address, id, highSent);
        if (taken) m_control.reservation = Reservation{id, *taken, true};
        return taken;
    }

    void startRequest(Direction direction, const Observing& tunnel, Lane from, Lane to)
    {
        // Only whoever opened the TCP connection may begin, and once.
        if (m_control.stage != Control::Stage::Fresh || direction != m_control.flow.initiator) {
            return;
        }
        m_control.stage = Control::Stage::Requested;
        tunnel.event(EventKind::ControlMessage, from, to, std::uint32_t(MessageType::StartRequest));
    }

    void startReply(Direction direction, wire::ConstBytes message, const Observing& tunnel,
                    Lane from, Lane to)
    {
        if (m_control.stage != Control::Stage::Requested || direction == m_control.flow.initiator) {
            return;
        }
        const std::uint8_t result = message[14];
        tunnel.event(EventKind::ControlMessage, from, to, std::uint32_t(MessageType::StartReply),
                     result);
        m_control.labelCertain = true;
        label(m_control.key, Confidence::Certain);
        tunnel.text(Observation::Kind::ServerName, message.subspan(28, 64));
        tunnel.text(Observation::Kind::Product, message.subspan(92, 64));
        if (result == kStartSucceeded) {
            m_control.stage = Control::Stage::Ready;
            return;
        }
        m_control.stage = Control::Stage::Over;
        if (result == kStartChannelExists) {
            tunnel.finding(FindingKind::ServerAllowsOneClient, result);
        }
        m_control.keyOver = true;
        tunnel.ended(Phase::Failed, EventKind::ControlMessage, result);
    }

    void stop(MessageType type, wire::ConstBytes message, const Observing& tunnel, Lane from,
              Lane to)
    {
        const std::uint8_t reason = message[12];
        tunnel.event(EventKind::ControlMessage, from, to, std::uint32_t(type), reason);
        if (m_control.stage == Control::Stage::Over) return;
        m_control.stage = Control::Stage::Over;
        m_state.endAllCalls(m_now, m_control, {Phase::Closed, EventKind::PeerClosed}, reason,
                            m_actions);
        if (!m_control.keyOver) {
            m_control.keyOver = true;
            tunnel.ended(Phase::Closed, EventKind::PeerClosed, reason);
        }
    }

    void echoRequest(Direction direction, wire::ConstBytes message)
    {
        auto& asked = m_control.echo[static_cast<std::size_t>(direction)];
        const std::uint32_t id = wire::load32(message, 12);
        // The clock of silence runs from the oldest request that nobody has answered.
        asked = Control::Echo{id, asked ? asked->at : m_now};
    }

    void echoReply(Direction direction, wire::ConstBytes message, const Observing& tunnel,
                   Lane from, Lane to)
    {
        auto& asked = m_control.echo[static_cast<std::size_t>(net::opposite(direction))];
        if (!asked || asked->id != wire::load32(message, 12)) return;
        // From inside out and back: the way to the server.
        if (direction == Direction::Inbound) tunnel.roundTrip(m_now - asked->at);
        asked.reset();
        if (!m_control.keyOver)
            tunnel.event(EventKind::Keepalive, from, to, ++m_control.keepalives);
    }

    void callRequest(Direction direction, MessageType type, wire::ConstBytes message, Lane from,
                     Lane to)
    {
        if (m_control.stage != Control::Stage::Ready) return;
        const std::uint16_t own = wire::load16(message, 12);
        const bool outbound = direction == Direction::Outbound;
        Call* const same =
            outbound ? byInsideId(own) : m_state.findCall(m_control, Direction::Inbound, own);
        if (same != nullptr && same->state != CallState::Clearing) return;
        std::optional<Reservation> reservation;
        if (outbound) {
            reservation = takeReservation(own);
            if (!reservation) return;
        } else if (m_control.calls.size() >= kMostCallsPerControl ||
                   m_state.callCount >= kMostCalls) {
            return;
        }
        Call& call = m_state.newCall(m_now, m_control, direction, m_actions);
        call.incoming = type == MessageType::IncomingCallRequest;
        if (outbound) {
            name(call, *reservation);
        } else {
            call.remoteId = own;
        }
        const Observing tunnel(m_actions, call.key);
        tunnel.event(EventKind::ControlMessage, from, to, std::uint32_t(type));
        if (outbound) tellIds(tunnel, call);
    }

    void callReply(Direction direction, MessageType type, wire::ConstBytes message, Lane from,
                   Lane to)
    {
        if (m_control.stage != Control::Stage::Ready) return;
        const bool outbound = direction == Direction::Outbound;
        const std::uint16_t own = wire::load16(message, 12);
        const std::uint8_t result = message[16];
        const std::optional<Reservation> reservation =
            outbound ? takeReservation(own) : std::nullopt;
        Call* const call = byPeerId(direction, wire::load16(message, 14));
        const bool expected = call != nullptr && call->state == CallState::Requested &&
                              call->requester != direction &&
                              call->incoming == (type == MessageType::IncomingCallReply) &&
                              (!outbound || reservation);
        if (!expected) {
            giveBack(reservation);
            return;
        }
        const Observing tunnel(m_actions, call->key);
        tunnel.event(EventKind::ControlMessage, from, to, std::uint32_t(type), result);
        if (result != kCallConnected) {
            giveBack(reservation);
            m_state.endCall(m_now, m_control, *call, {Phase::Failed, EventKind::ControlMessage},
                            result, m_actions);
            return;
        }
        if (outbound) {
            name(*call, *reservation);
            tellIds(tunnel, *call);
        } else {
            call->remoteId = own;
        }
        if (call->incoming) {
            call->state = CallState::Answered;
        } else {
            m_state.agree(m_now, m_control, *call, m_actions);
        }
    }

    void connected(Direction direction, wire::ConstBytes message, Lane from, Lane to)
    {
        Call* const call = byPeerId(direction, wire::load16(message, 12));
        if (call == nullptr || call->state != CallState::Answered || call->requester != direction) {
            return;
        }
        Observing(m_actions, call->key)
            .event(EventKind::ControlMessage, from, to,
                   std::uint32_t(MessageType::IncomingCallConnected));
        m_state.agree(m_now, m_control, *call, m_actions);
    }

    void clear(Direction direction, MessageType type, wire::ConstBytes message, Lane from, Lane to)
    {
        const std::uint16_t own = wire::load16(message, 12);
        Call* const call = direction == Direction::Outbound
                               ? byInsideId(own)
                               : m_state.findCall(m_control, Direction::Inbound, own);
        if (call == nullptr) return;
        const Observing tunnel(m_actions, call->key);
        if (type == MessageType::CallDisconnectNotify) {
            const std::uint8_t result = message[14];
            tunnel.event(EventKind::ControlMessage, from, to, std::uint32_t(type), result);
            m_state.endCall(m_now, m_control, *call, {Phase::Closed, EventKind::PeerClosed}, result,
                            m_actions);
            return;
        }
        if (call->state == CallState::Clearing) return;
        tunnel.event(EventKind::ControlMessage, from, to, std::uint32_t(type));
        tunnel.phase(Phase::Closing);
        m_state.removePending(m_control, *call);
        call->state = CallState::Clearing;
        call->since = m_now;
        m_state.unbind(m_control, *call, m_actions);
    }

    std::optional<Reservation> takeReservation(std::uint16_t insideId)
    {
        if (!m_control.assisted()) return Reservation{insideId, insideId, false};
        std::optional<Reservation> taken;
        if (m_control.reservation && m_control.reservation->insideId == insideId) {
            taken = m_control.reservation;
            m_control.reservation.reset();
        }
        return taken;
    }
    void giveBack(const std::optional<Reservation>& reservation)
    {
        if (!reservation || !reservation->registered) return;
        m_state.ids.giveBack(m_now, m_control.flow.external.address, m_control.flow.remote.address,
                             reservation->publicId);
        m_control.noteReleased(reservation->publicId);
    }
    void name(Call& call, const Reservation& reservation)
    {
        call.insideId = reservation.insideId;
        call.publicId = reservation.publicId;
        call.registered = reservation.registered;
        if (!call.registered) return;
        m_state.inboundCalls[{m_control.flow.external.address, m_control.flow.remote.address,
                              *call.publicId}] = {m_control.flow.id, &call};
    }
    void tellIds(const Observing& tunnel, const Call& call) const
    {
        if (!call.registered) return;
        tunnel.event(EventKind::IdRewritten, Lane::Router, Lane::Router, *call.insideId,
                     *call.publicId);
        tunnel.passage(tunnel::PassageKind::CallId, *call.insideId, *call.publicId);
    }
    void label(const TunnelKey& key, Confidence confidence)
    {
        labelControl(m_control, key, confidence, m_actions);
    }

    State& m_state;
    Instant m_now;
    Control& m_control;
    Actions& m_actions;

public:
    static void labelControl(const Control& control, const TunnelKey& key, Confidence confidence,
                             Actions& actions)
    {
        Observation& observation = Observing(actions, key).add(Observation::Kind::Label);
        observation.protocol = net::VpnProtocol::Pptp;
        observation.confidence = confidence;
        observation.server = control.flow.remote;
        observation.external = control.flow.external;
        observation.transport = net::IpProtocol::Tcp;
    }
};

// ------------------------------------------------------------------ control connections

Inspector::Claim PptpInspector::State::consider(Instant now, const Flow& flow,
                                                const Segment& segment)
{
    if (flow.protocol != net::IpProtocol::Tcp) return Claim::NotMine;
    const auto found = candidates.find(flow.id);
    if (!isPptpPort(flow)) {
        // Elsewhere only the whole opening in the first segment tells.
        if (segment.payload.empty()) return Claim::Undecided;
        const bool opens = segment.direction == flow.initiator &&
                           segment.payload.size() >= kOpening.size() &&
                           std::equal(kOpening.begin(), kOpening.end(), segment.payload.begin());
        return opens && controls.size() < kMostControls ? Claim::Claimed : Claim::NotMine;
    }
    if (found == candidates.end()) {
        if (candidates.size() >= kMostCandidates) {
            // Somebody opens connections and says nothing; whoever speaks is known again at once.
            const auto oldest = std::ranges::min_element(candidates, {}, [](const auto& entry) {
                return std::pair{entry.second->since, entry.first};
            });
            candidates.erase(oldest);
        }
        auto fresh = std::make_unique<Candidate>();
        fresh->flow = flow;
        fresh->since = now;
        fresh->key = makeKey(flow, 0);
        candidates.emplace(flow.id, std::move(fresh));
        wake(now);
    }
    Candidate& candidate = *candidates[flow.id];
    if (segment.direction != flow.initiator) {
        candidate.answered = true;
        if ((segment.tcpFlags & kSyn) != 0) candidate.replyStart = segment.sequence + 1;
        if (segment.payload.empty()) return Claim::Undecided;
        candidates.erase(flow.id);
        return Claim::NotMine;
    }
    const bool syn = (segment.tcpFlags & kSyn) != 0;
    const std::uint32_t sequence = segment.sequence + (syn ? 1U : 0U);
    if (syn) candidate.start = sequence;
    if (segment.payload.empty()) return Claim::Undecided;
    candidate.store(sequence, segment.payload);
    if (candidate.judge() == Candidate::Judgement::Other) {
        candidates.erase(flow.id);
        return Claim::NotMine;
    }
    // From the first octets on nothing may be missed; what turns out to be something else is let
    // go.
    return Claim::Claimed;
}

/// A connection that was claimed by its first octets. Everything passes until the first message is
/// known, which holds nothing to replace. Null: not yet, or never.
Control* PptpInspector::State::follow(Instant now, const Flow& flow, const Segment& segment,
                                      Actions& actions)
{
    const auto found = candidates.find(flow.id);
    if (found == candidates.end()) return nullptr;
    Candidate& candidate = *found->second;
    const bool reply = segment.direction != flow.initiator;
    if (!reply) {
        const bool syn = (segment.tcpFlags & kSyn) != 0;
        candidate.store(segment.sequence + (syn ? 1U : 0U), segment.payload);
    }
    const Candidate::Judgement judgement = candidate.judge();
    const bool speaksFirst = reply && !segment.payload.empty();
    switch (judgement) {
    case Candidate::Judgement::Undecided:
        if (!speaksFirst) return nullptr;
        break;
    case Candidate::Judgement::Other: break;
    case Candidate::Judgement::Opens:
    case Candidate::Judgement::JoinedLate:
        if (controls.size() < kMostControls) return &open(now, flow, actions);
        break;
    }
    candidates.erase(found);
    return nullptr;
}

Control& PptpInspector::State::open(Instant now, const Flow& flow, Actions& actions)
{
    auto fresh = std::make_unique<Control>();
    Control& control = *fresh;
    control.flow = flow;
    control.since = now;
    control.key = makeKey(flow, 0);
    if (const auto candidate = candidates.find(flow.id); candidate != candidates.end()) {
        control.early = std::move(candidate->second);
        candidates.erase(candidate);
        if (control.early->replyStart) {
            control.streams[static_cast<std::size_t>(net::opposite(flow.initiator))].startAt(
                *control.early->replyStart);
        }
    }
    const bool opened = !control.early || control.early->judge() == Candidate::Judgement::Opens;
    const PassthroughMode mode =
        policy.modeFor(net::VpnProtocol::Pptp, flow.internal.address, flow.remote.address);
    if (mode == PassthroughMode::Assist && isPptpPort(flow) && opened) {
        control.help = Control::Help::Assist;
    }
    ++servers[flow.remote.address.hostOrder()].controls;
    wake(now);

    Reader::labelControl(control, control.key, Confidence::Likely, actions);
    const Observing tunnel(actions, control.key);
    tunnel.event(EventKind::ControlOpened, Lane::Client, Lane::Server,
                 flow.remote.port.hostOrder());
    tunnel.phase(Phase::Handshaking);
    actions.attachments.push_back({.flow = flow.id,
                                   .key = control.key,
                                   .sequence = tunnel::SequenceKind::None,
                                   .idle = kControlIdle});
    return *controls.emplace(flow.id, std::move(fresh)).first->second;
}

void PptpInspector::State::feedEarly(Control& control, Reader& reader)
{
    if (!control.early || !control.early->start) return;
    const Candidate& early = *control.early;
    ControlStream& stream = control.streams[static_cast<std::size_t>(control.flow.initiator)];
    // The stream keeps early octets as well: each may have what the other lacks.
    while (stream.started()) {
        const std::size_t at = stream.next() - *early.start;
        if (at >= early.octets.size()) {
            control.early.reset();
            return;
        }
        std::size_t end = at;
        while (end < early.octets.size() && early.present[end])
            ++end;
        if (end == at) return;
        const std::uint32_t before = stream.next();
        stream.take(before, wire::ConstBytes{early.octets}.subspan(at, end - at), reader);
        if (stream.next() == before) return;
    }
}

Attention PptpInspector::State::inspect(Instant now, Control& control, const Segment& segment,
                                        Actions& actions)
{
    if (segment.payload.empty()) return kPass;
    if (!control.assisted()) return observeOnly(now, control, segment, actions);
    const auto way = static_cast<std::size_t>(segment.direction);
    ControlStream& stream = control.streams[way];
    const std::uint32_t sequence = segment.sequence + ((segment.tcpFlags & kSyn) != 0 ? 1U : 0U);
    Reader reader(*this, now, control, actions);
    if (!stream.started() && control.early && control.early->start &&
        segment.direction == control.flow.initiator) {
        stream.startAt(*control.early->start);
        feedEarly(control, reader);
    }
    // Bindings of the first messages in a segment stand even if a later one is refused: those
    // octets are read, and the same ones come again.
    const ControlStream::Outcome outcome = stream.take(sequence, segment.payload, reader);
    switch (outcome) {
    case ControlStream::Outcome::Taken:
        if (segment.direction == control.flow.initiator) feedEarly(control, reader);
        stream.appendEdits(sequence, segment.payload, actions.edits);
        releaseHeld(control, segment.direction, actions);
        return kPass;
    case ControlStream::Outcome::Gap: return holdUntilItsTurn(now, control, segment);
    case ControlStream::Outcome::Stale: return drop(DropReason::ControlOutOfOrder);
    case ControlStream::Outcome::Conflict:
    case ControlStream::Outcome::Malformed: return drop(DropReason::MalformedPptp);
    case ControlStream::Outcome::Refused: return drop(DropReason::HelperBudget);
    }
    return kPass;
}

/// A segment that came early, with octets that may need replacing. The NAT keeps it until those
/// before it have come; if that takes too long it is dropped, and TCP sends it again.
Attention PptpInspector::State::holdUntilItsTurn(Instant now, Control& control,
                                                 const Segment& segment)
{
    auto& held = control.held[static_cast<std::size_t>(segment.direction)];
    heldCount -= std::erase_if(held, [&](const auto& entry) { return entry.until <= now; });
    const auto size = static_cast<std::uint32_t>(segment.payload.size());
    const bool again = std::ranges::any_of(held, [&](const auto& entry) {
        return entry.sequence == segment.sequence && entry.size == size;
    });
    if (again || heldCount >= kMostHeld) return drop(DropReason::ControlOutOfOrder);
    // Tokens of other inspectors count from zero.
    const std::uint32_t token = 0x80000000U | (++nextToken & 0x7fffffffU);
    held.push_back({segment.sequence, size, token, now + kHeldFor});
    ++heldCount;
    Attention attention;
    attention.fate = Attention::Fate::Hold;
    attention.reason = DropReason::ControlOutOfOrder;
    attention.holdToken = token;
    attention.showAgain = true;
    return attention;
}

/// Releases, in their order, the held segments that now continue the stream.
void PptpInspector::State::releaseHeld(Control& control, Direction direction, Actions& actions)
{
    auto& held = control.held[static_cast<std::size_t>(direction)];
    std::uint32_t next = control.streams[static_cast<std::size_t>(direction)].next();
    while (true) {
        const auto fits = std::ranges::find_if(held, [&](const auto& entry) {
            return static_cast<std::int32_t>(entry.sequence - next) <= 0;
        });
        if (fits == held.end()) break;
        const std::uint32_t end = fits->sequence + fits->size;
        if (static_cast<std::int32_t>(end - next) > 0) next = end;
        actions.releases.push_back(fits->token);
        held.erase(fits);
        --heldCount;
    }
}

/// Plain NAT, other ports and connections that were joined late: everything passes as it is. What
/// cannot be read is skipped up to the next segment that begins with a message.
Attention PptpInspector::State::observeOnly(Instant now, Control& control, const Segment& segment,
                                            Actions& actions)
{
    ControlStream& stream = control.streams[static_cast<std::size_t>(segment.direction)];
    Reader reader(*this, now, control, actions);
    if (!stream.started() && control.early && control.early->start &&
        segment.direction == control.flow.initiator) {
        stream.startAt(*control.early->start);
        feedEarly(control, reader);
    }
    const ControlStream::Outcome outcome = stream.take(segment.sequence, segment.payload, reader);
    const bool lost =
        outcome == ControlStream::Outcome::Gap || outcome == ControlStream::Outcome::Malformed;
    if (lost) control.echo = {};
    if (lost && segment.payload.size() >= kHeaderLength && MessageHeader::read(segment.payload)) {
        stream.startAt(segment.sequence);
        stream.take(segment.sequence, segment.payload, reader);
    }
    return kPass;
}

void PptpInspector::State::close(Instant now, Control& control, FlowEnd end, Actions& actions)
{
    const TunnelEnding ending = endingOf(end);
    const bool everReady =
        control.stage == Control::Stage::Ready || control.stage == Control::Stage::Over;
    for (auto& held : control.held) {
        heldCount -= held.size();
        for (const auto& entry : held)
            actions.discards.push_back(entry.token);
    }
    endAllCalls(now, control, ending, 0, actions);
    forgetReservation(now, control);
    for (const std::uint16_t id : control.released) {
        ids.noteMasterGone(control.flow.external.address, control.flow.remote.address,
                           control.flow.internal.address, id);
    }
    if (!control.keyOver) {
        const Observing tunnel(actions, control.key);
        tunnel.ended(everReady ? ending.phase : Phase::Failed, ending.cause);
    }
    const auto record = servers.find(control.flow.remote.address.hostOrder());
    if (record != servers.end() && --record->second.controls == 0) servers.erase(record);
}

// ------------------------------------------------------------------ calls

/// The call that the host named by the direction in which it sends knows by `id`: Outbound asks for
/// the inside host's ID as the server sees it, Inbound for the server's own.
Call* PptpInspector::State::findCall(const Control& control, Direction namer,
                                     std::uint16_t id) const
{
    Call* clearing = nullptr;
    for (const auto& call : control.calls) {
        const auto& theirs = namer == Direction::Outbound ? call->publicId : call->remoteId;
        if (theirs != id) continue;
        if (call->state != CallState::Clearing) return call.get();
        clearing = call.get();
    }
    return clearing;
}

bool PptpInspector::State::hasRoomForCall(const Control& control, MessageType type) const
{
    // A reply names a call that has its place already.
    if (type == MessageType::OutgoingCallReply || type == MessageType::IncomingCallReply)
        return true;
    if (callCount >= kMostCalls || control.calls.size() >= kMostCallsPerControl) return false;
    const auto found = pending.find(control.flow.internal.address.hostOrder());
    return found == pending.end() || found->second < kMostPendingPerClient;
}

/// Calls that a device of ours has asked for and nobody has answered. What comes from outside
/// counts against the other limits only, so that it cannot use up an inside server's.
void PptpInspector::State::addPending(const Control& control, const Call& call)
{
    if (call.requester == Direction::Outbound) ++pending[control.flow.internal.address.hostOrder()];
}

void PptpInspector::State::removePending(const Control& control, const Call& call)
{
    if (call.requester != Direction::Outbound) return;
    if (call.state != CallState::Requested && call.state != CallState::Answered) return;
    const auto found = pending.find(control.flow.internal.address.hostOrder());
    if (found != pending.end() && --found->second == 0) pending.erase(found);
}

Call& PptpInspector::State::newCall(Instant now, Control& control, Direction requester,
                                    Actions& actions)
{
    control.calls.push_back(std::make_unique<Call>());
    ++callCount;
    Call& call = *control.calls.back();
    call.since = now;
    call.requester = requester;
    addPending(control, call);
    const bool first = control.serial == 0;
    ++control.serial;
    if (first && !control.keyOver) {
        call.key = control.key;
        return call;
    }
    call.key = makeKey(control.flow, control.serial);
    Reader::labelControl(control, call.key,
                         control.labelCertain ? Confidence::Certain : Confidence::Likely, actions);
    Observing(actions, call.key).phase(Phase::Handshaking);
    if (control.keyOver) {
        control.key = call.key;
        control.keyOver = false;
        actions.attachments.push_back({.flow = control.flow.id,
                                       .key = control.key,
                                       .sequence = tunnel::SequenceKind::None,
                                       .idle = kControlIdle});
    }
    return call;
}

void PptpInspector::State::agree(Instant now, Control& control, Call& call, Actions& actions)
{
    removePending(control, call);
    call.state = CallState::Agreed;
    call.agreedAt = now;
    call.phase = Phase::Establishing;
    const Observing tunnel(actions, call.key);
    tunnel.event(EventKind::CallAgreed, Lane::Client, Lane::Server, *call.publicId, *call.remoteId);
    tunnel.phase(Phase::Establishing);
    if (!control.assisted()) return;
    // A server that gives the same ID again has forgotten the call that had it.
    const CallIdKey outbound{control.flow.internal.address, control.flow.remote.address,
                             *call.remoteId};
    if (const auto old = outboundCalls.find(outbound); old != outboundCalls.end()) {
        const Owner owner = old->second;
        if (const auto master = controls.find(owner.control); master != controls.end()) {
            endCall(now, *master->second, *owner.call, {Phase::Dead, EventKind::TimedOut}, 0,
                    actions);
        }
    }
    outboundCalls[outbound] = {control.flow.id, &call};
    bind(control, call, actions);
}

void PptpInspector::State::bind(const Control& control, Call& call, Actions& actions) const
{
    PortlessBinding binding;
    binding.protocol = net::IpProtocol::Gre;
    binding.client = control.flow.internal.address;
    binding.external = control.flow.external.address;
    binding.server = control.flow.remote.address;
    binding.outbound = Discriminator{Discriminator::Variant::GreCall, *call.remoteId};
    binding.inbound = Discriminator{Discriminator::Variant::GreCall, *call.publicId};
    binding.rewriteInbound = PortlessBinding::Rewrite{6, *call.insideId};
    binding.idle = kCallIdle;
    binding.master = control.flow.id;
    binding.watch = true;
    binding.key = call.key;
    binding.sequence = tunnel::SequenceKind::GreV1;
    actions.bindings.push_back(binding);
    call.bound = true;
}

void PptpInspector::State::unbind(const Control& control, Call& call, Actions& actions) const
{
    if (!call.bound) return;
    call.bound = false;
    PortlessUnbinding unbinding;
    unbinding.protocol = net::IpProtocol::Gre;
    unbinding.client = control.flow.internal.address;
    unbinding.external = control.flow.external.address;
    unbinding.server = control.flow.remote.address;
    unbinding.outbound = Discriminator{Discriminator::Variant::GreCall, *call.remoteId};
    unbinding.inbound = Discriminator{Discriminator::Variant::GreCall, *call.publicId};
    actions.unbindings.push_back(unbinding);
}

void PptpInspector::State::endCall(Instant now, Control& control, Call& call, TunnelEnding ending,
                                   std::uint32_t code, Actions& actions)
{
    unbind(control, call, actions);
    removePending(control, call);
    if (call.registered) {
        inboundCalls.erase(
            {control.flow.external.address, control.flow.remote.address, *call.publicId});
        ids.giveBack(now, control.flow.external.address, control.flow.remote.address,
                     *call.publicId);
        control.noteReleased(*call.publicId);
    }
    if (call.remoteId) {
        const auto mine = outboundCalls.find(
            {control.flow.internal.address, control.flow.remote.address, *call.remoteId});
        if (mine != outboundCalls.end() && mine->second.call == &call) outboundCalls.erase(mine);
    }
    Observing(actions, call.key).ended(ending.phase, ending.cause, code);
    if (call.key == control.key) control.keyOver = true;
    --callCount;
    std::erase_if(control.calls, [&](const auto& other) { return other.get() == &call; });
}

void PptpInspector::State::endAllCalls(Instant now, Control& control, TunnelEnding ending,
                                       std::uint32_t code, Actions& actions)
{
    while (!control.calls.empty()) {
        endCall(now, control, *control.calls.back(), ending, code, actions);
    }
}

void PptpInspector::State::forgetReservation(Instant now, Control& control)
{
    if (!control.reservation) return;
    ids.giveBack(now, control.flow.external.address, control.flow.remote.address,
                 control.reservation->publicId);
    control.noteReleased(control.reservation->publicId);
    control.reservation.reset();
}

void PptpInspector::State::declareDead(Instant now, Control& control, Actions& actions)
{
    control.stage = Control::Stage::Over;
    endAllCalls(now, control, {Phase::Dead, EventKind::TimedOut}, 0, actions);
    if (!control.keyOver) {
        control.keyOver = true;
        Observing(actions, control.key).ended(Phase::Dead, EventKind::TimedOut);
    }
}

// ------------------------------------------------------------------ data

GreWindow::Strictness PptpInspector::State::noteMiss(Instant now, net::Ipv4Address server,
                                                     std::uint32_t count)
{
    const auto found = servers.find(server.hostOrder());
    if (found == servers.end()) return GreWindow::Strictness::Normal;
    ServerRecord& record = found->second;
    if (now - record.since > kMissPeriod) {
        record.since = now;
        record.misses = 0;
    }
    record.misses += count;
    return record.misses > kMissesTolerated ? GreWindow::Strictness::Strict
                                            : GreWindow::Strictness::Normal;
}

void PptpInspector::State::tellPpp(const PppObserver::News& news, Direction direction,
                                   const TunnelKey& key, wire::ConstBytes packet, Phase* phase,
                                   Actions& actions)
{
    const Observing tunnel(actions, key);
    const bool outbound = direction == Direction::Outbound;
    const Lane from = outbound ? Lane::Client : Lane::Server;
    const Lane to = outbound ? Lane::Server : Lane::Client;
    if (news.phase) {
        tunnel.phase(*news.phase);
        if (phase != nullptr) *phase = *news.phase;
    }
    if (news.authenticationError) {
        tunnel.event(EventKind::AuthenticationFailed, from, to, *news.authenticationError);
        // The proof is the header only: what follows may hold a challenge.
        tunnel.finding(FindingKind::AuthenticationRefused, *news.authenticationError, 0,
                       packet.first(std::min<std::size_t>(packet.size(), kProof)));
    }
    if (news.weakBits) tunnel.finding(FindingKind::WeakCrypto, *news.weakBits);
    if (news.terminating) tunnel.phase(Phase::Closing);
}

void PptpInspector::State::noteTraffic(Instant now, Direction direction,
                                       const PortlessPacket& packet, std::uint16_t callId,
                                       Call& call, Actions& actions)
{
    const auto way = static_cast<std::size_t>(direction);
    const bool outbound = direction == Direction::Outbound;
    const Observing tunnel(actions, call.key);
    if (call.packets[way]++ == 0) {
        call.first[way] = now;
        tunnel.event(outbound ? EventKind::DataFirstOutbound : EventKind::DataFirstInbound,
                     outbound ? Lane::Client : Lane::Server, Lane::Router, callId);
        if (outbound) {
            call.proof.assign(packet.packet.begin(),
                              packet.packet.begin() + static_cast<std::ptrdiff_t>(
                                                          std::min(packet.packet.size(), kProof)));
        }
    }
    call.last[way] = now;
    if (outbound) {
        ++call.unanswered;
        call.unrequited = 0;
    } else {
        ++call.unrequited;
        call.unanswered = 0;
    }
    if (call.degraded && call.packets[0] > 0 && call.packets[1] > 0 &&
        call.last[0] - call.last[1] < kOneWayTimeout &&
        call.last[1] - call.last[0] < kOneWayTimeout) {
        call.degraded = false;
        tunnel.event(EventKind::Resumed, Lane::Router, Lane::Router);
        tunnel.phase(call.phase);
    }
}

Attention PptpInspector::State::inspectCall(Instant now, Direction direction,
                                            const PortlessPacket& packet, const GreHeader& header,
                                            Call& call, Actions& actions)
{
    if (!isFragment(packet.packet) && header.payloadLength > header.payload.size()) {
        return drop(DropReason::MalformedGre);
    }
    if (direction == Direction::Outbound) {
        call.window.noteOutbound(now, header);
    } else {
        const auto strictness = noteMiss(now, packet.remote, 0);
        if (!call.window.admitInbound(header, strictness)) {
            noteMiss(now, packet.remote, 1);
            return drop(DropReason::GreOutOfWindow);
        }
        const auto roundTrip = call.window.roundTrip(now, header);
        if (roundTrip &&
            (call.roundTripTold == Instant{} || now - call.roundTripTold >= kRoundTripEvery)) {
            call.roundTripTold = now;
            Observing(actions, call.key).roundTrip(*roundTrip);
        }
    }
    noteTraffic(now, direction, packet, header.callId, call, actions);
    if (header.sequence) {
        const std::size_t length =
            std::min<std::size_t>(header.payloadLength, header.payload.size());
        const auto news = call.ppp.observe(direction, header.payload.first(length));
        tellPpp(news, direction, call.key, packet.packet, &call.phase, actions);
    }
    return kPass;
}

const Control* PptpInspector::State::controlOf(net::Ipv4Address client,
                                               net::Ipv4Address server) const
{
    const Control* best = nullptr;
    for (const auto& [id, control] : controls) {
        if (control->flow.internal.address != client || control->flow.remote.address != server) {
            continue;
        }
        if (best == nullptr || control->flow.id > best->flow.id) best = control.get();
    }
    return best;
}

PortlessDecision PptpInspector::State::decidePlain(Instant now, Direction direction,
                                                   const PortlessPacket& packet,
                                                   const GreHeader& header, Actions& actions)
{
    const CallIdKey place{packet.external, packet.remote, 0};
    auto found = plain.find(place);
    if (direction == Direction::Inbound && found == plain.end()) {
        return refuse(DropReason::GreNoCall);
    }
    if (direction == Direction::Outbound) {
        const Control* control = controlOf(packet.internal, packet.remote);
        TunnelKey key{packet.internal, packet.remote, sipHash(seed, 0x475245, 0)};
        if (control != nullptr) key = control->key;
        if (found != plain.end() && found->second.client != packet.internal) {
            const Observing tunnel(actions, key);
            if (control != nullptr) {
                tunnel.finding(FindingKind::HelperOff, 0, 0,
                               packet.packet.first(std::min(packet.packet.size(), kProof)));
            }
            return refuse(DropReason::OneClientPerServer);
        }
        if (found == plain.end()) {
            if (plain.size() >= kMostPlain) return refuse(DropReason::HelperBudget);
            found = plain.emplace(place, PlainPath{packet.internal, key, 0, {}}).first;
            if (control == nullptr) {
                Observation& label = Observing(actions, key).add(Observation::Kind::Label);
                label.protocol = net::VpnProtocol::Pptp;
                label.confidence = Confidence::Likely;
                label.server = {packet.remote, net::Port{}};
                label.external = {packet.external, net::Port{}};
                label.transport = net::IpProtocol::Gre;
            }
            Observing(actions, key).passage(tunnel::PassageKind::OnlyClient, 0, 0);
        }
    }
    PlainPath& path = found->second;
    PortlessBinding binding;
    binding.protocol = net::IpProtocol::Gre;
    binding.client = path.client;
    binding.external = packet.external;
    binding.server = packet.remote;
    const Discriminator call{Discriminator::Variant::GreCall, header.callId};
    (direction == Direction::Outbound ? binding.outbound : binding.inbound) = call;
    binding.watch = true;
    binding.key = path.key;
    binding.sequence = tunnel::SequenceKind::GreV1;
    actions.bindings.push_back(binding);
    ++path.bindings;
    wake(now);
    return deliverTo(path.client);
}

// ------------------------------------------------------------------ time

void PptpInspector::State::sweepCall(Instant now, Control& control, Call& call, Actions& actions)
{
    const Observing tunnel(actions, call.key);
    switch (call.state) {
    case CallState::Requested:
    case CallState::Answered:
        if (now - call.since >= kCallTimeout) {
            if (control.assisted()) tunnel.finding(FindingKind::NoAnswerFromServer);
            endCall(now, control, call, {Phase::Failed, EventKind::TimedOut}, 0, actions);
        }
        return;
    case CallState::Clearing:
        if (now - call.since >= kClearTimeout) {
            endCall(now, control, call, {Phase::Closed, EventKind::PeerClosed}, 0, actions);
        }
        return;
    case CallState::Agreed: break;
    }
    if (!control.assisted()) return;
    if (call.packets[0] == 0 && call.packets[1] == 0) {
        if (now - call.agreedAt >= kCallTimeout) {
            endCall(now, control, call, {Phase::Failed, EventKind::TimedOut}, 0, actions);
        }
        return;
    }
    if (!call.neverReturnsTold && call.packets[1] == 0 && call.packets[0] >= kReturnPackets &&
        now - call.first[0] >= kReturnTimeout) {
        call.neverReturnsTold = true;
        tunnel.finding(FindingKind::GreNeverReturns, call.packets[0], 0, call.proof);
    }
    if (call.degraded) return;
    const Instant in = call.packets[1] > 0 ? call.last[1] : call.agreedAt;
    const Instant out = call.packets[0] > 0 ? call.last[0] : call.agreedAt;
    const bool inboundSilent = call.unanswered >= kReturnPackets && out - in > kOneWayTimeout;
    const bool outboundSilent = call.unrequited >= kReturnPackets && in - out > kOneWayTimeout;
    if (!inboundSilent && !outboundSilent) return;
    call.degraded = true;
    tunnel.event(EventKind::WentSilent, Lane::Router, Lane::Router, inboundSilent ? 1 : 0);
    tunnel.phase(Phase::Degraded);
    if (call.packets[0] > 0 && call.packets[1] > 0) {
        tunnel.finding(inboundSilent ? FindingKind::OutboundOnly : FindingKind::InboundOnly,
                       inboundSilent ? call.unanswered : call.unrequited);
    }
}

void PptpInspector::State::sweep(Instant now, Actions& actions)
{
    for (const auto& [id, candidate] : candidates) {
        if (candidate->answered || candidate->told || now - candidate->since < kAnswerTimeout) {
            continue;
        }
        candidate->told = true;
        const Observing tunnel(actions, candidate->key);
        Observation& label = tunnel.add(Observation::Kind::Label);
        label.protocol = net::VpnProtocol::Pptp;
        label.confidence = Confidence::Guess;
        label.server = candidate->flow.remote;
        label.external = candidate->flow.external;
        label.transport = net::IpProtocol::Tcp;
        tunnel.finding(FindingKind::NoAnswerFromServer);
    }
    std::vector<FlowId> order;
    order.reserve(controls.size());
    for (const auto& [id, control] : controls)
        order.push_back(id);
    std::ranges::sort(order);
    for (const FlowId id : order) {
        Control& control = *controls[id];
        std::vector<Call*> calls;
        for (const auto& call : control.calls)
            calls.push_back(call.get());
        for (Call* const call : calls)
            sweepCall(now, control, *call, actions);
        for (auto& echo : control.echo) {
            if (!echo || now - echo->at < kEchoTimeout) continue;
            echo.reset();
            declareDead(now, control, actions);
        }
        if (control.stage == Control::Stage::Requested && !control.keyOver &&
            now - control.since >= kAnswerTimeout) {
            control.stage = Control::Stage::Over;
            control.keyOver = true;
            const Observing tunnel(actions, control.key);
            tunnel.finding(FindingKind::NoAnswerFromServer);
            tunnel.ended(Phase::Failed, EventKind::TimedOut);
        }
    }
    if (now >= nextIdSweep) {
        ids.expire(now);
        nextIdSweep = now + kIdSweepEvery;
    }
    nextSweep.reset();
    if (!candidates.empty() || !controls.empty()) {
        nextSweep = now + kSweepEvery;
    } else if (!ids.empty()) {
        nextSweep = now + kIdSweepEvery;
    }
}

// ------------------------------------------------------------------ the interface

PptpInspector::PptpInspector(HashKey seed, const policy::PassthroughPolicy& policy)
    : m_state(std::make_unique<State>(seed, policy))
{}
PptpInspector::~PptpInspector() = default;

Inspector::Claim PptpInspector::consider(Instant now, const Flow& flow, const Segment& segment)
{
    return m_state->consider(now, flow, segment);
}

Attention PptpInspector::inspect(Instant now, const Flow& flow, const Segment& segment,
                                 Actions& actions)
{
    State& state = *m_state;
    const auto found = state.controls.find(flow.id);
    Control* control = found == state.controls.end() ? nullptr : found->second.get();
    if (control == nullptr) {
        control = isPptpPort(flow) ? state.follow(now, flow, segment, actions)
                                   : &state.open(now, flow, actions);
    }
    if (control == nullptr) return state.candidates.contains(flow.id) ? kPass : kIgnore;
    return state.inspect(now, *control, segment, actions);
}

void PptpInspector::flowClosed(Instant now, FlowId flow, FlowEnd end, Actions& actions)
{
    if (const auto found = m_state->candidates.find(flow); found != m_state->candidates.end()) {
        if (found->second->told) {
            Observing(actions, found->second->key).ended(Phase::Failed, endingOf(end).cause);
        }
        m_state->candidates.erase(found);
    }
    const auto found = m_state->controls.find(flow);
    if (found == m_state->controls.end()) return;
    m_state->close(now, *found->second, end, actions);
    m_state->controls.erase(flow);
}

bool PptpInspector::owns(net::IpProtocol protocol, wire::ConstBytes payload) const
{
    if (protocol != net::IpProtocol::Gre) return false;
    const auto header = GreHeader::parse(payload);
    return header && header.value().isPptp();
}

PortlessDecision PptpInspector::decide(Instant now, net::Direction direction,
                                       const PortlessPacket& packet, Actions& actions)
{
    const auto parsed = GreHeader::parse(packet.payload);
    if (!parsed || !parsed.value().isPptp()) return refuse(DropReason::MalformedGre);
    const GreHeader& header = *parsed;
    State& state = *m_state;

    // A call whose session has timed out under a control connection that still lives.
    const bool outbound = direction == Direction::Outbound;
    const State::CallIndex& index = outbound ? state.outboundCalls : state.inboundCalls;
    const auto known =
        index.find({outbound ? packet.internal : packet.external, packet.remote, header.callId});
    if (known != index.end() && known->second.call->state == CallState::Agreed) {
        Call& call = *known->second.call;
        const Control& control = *state.controls.at(known->second.control);
        const Attention attention =
            state.inspectCall(now, direction, packet, header, call, actions);
        if (attention.fate == Attention::Fate::Drop) return refuse(attention.reason);
        state.bind(control, call, actions);
        PortlessDecision decision = deliverTo(control.flow.internal.address);
        if (!outbound) decision.rewrite = PortlessBinding::Rewrite{6, *call.insideId};
        return decision;
    }

    const auto plain = state.plain.find({packet.external, packet.remote, 0});
    if (outbound) {
        switch (state.policy.modeFor(net::VpnProtocol::Pptp, packet.internal, packet.remote)) {
        case PassthroughMode::Plain:
            return state.decidePlain(now, direction, packet, header, actions);
        case PassthroughMode::Assist: return refuse(DropReason::GreNoCall);
        case PassthroughMode::Block: break;
        }
        return refuse(DropReason::PassthroughOff);
    }
    if (plain != state.plain.end()) {
        return state.decidePlain(now, direction, packet, header, actions);
    }
    state.noteMiss(now, packet.remote, 1);
    const auto record = state.servers.find(packet.remote.hostOrder());
    if (record != state.servers.end() && record->second.misses <= 4) {
        // One connection to this server, with a call whose GRE has not come back yet: the reply
        // names a call that nobody agreed on.
        Control* only = nullptr;
        for (const auto& [id, control] : state.controls) {
            if (control->flow.remote.address != packet.remote) continue;
            only = only == nullptr ? control.get() : nullptr;
            if (only == nullptr) break;
        }
        if (only != nullptr && !only->unknownCallTold && !only->calls.empty() &&
            std::ranges::none_of(only->calls,
                                 [](const auto& call) { return call->packets[1] > 0; })) {
            only->unknownCallTold = true;
            Observing(actions, only->key)
                .finding(FindingKind::GreUnknownCall, header.callId, 0,
                         packet.packet.first(std::min(packet.packet.size(), kProof)));
        }
    }
    return refuse(DropReason::GreNoCall);
}

Attention PptpInspector::inspectPortless(Instant now, net::Direction direction,
                                         const PortlessPacket& packet, Actions& actions)
{
    const auto parsed = GreHeader::parse(packet.payload);
    if (!parsed) return drop(DropReason::MalformedGre);
    const GreHeader& header = *parsed;
    State& state = *m_state;
    const bool outbound = direction == Direction::Outbound;
    const State::CallIndex& index = outbound ? state.outboundCalls : state.inboundCalls;
    const auto found =
        index.find({outbound ? packet.internal : packet.external, packet.remote, header.callId});
    if (found != index.end()) {
        return state.inspectCall(now, direction, packet, header, *found->second.call, actions);
    }
    const auto plain = state.plain.find({packet.external, packet.remote, 0});
    if (plain == state.plain.end()) return kIgnore;  // restored with the NAT's own state
    const std::size_t length = std::min<std::size_t>(header.payloadLength, header.payload.size());
    if (header.sequence) {
        const auto news = plain->second.ppp.observe(direction, header.payload.first(length));
        State::tellPpp(news, direction, plain->second.key, packet.packet, nullptr, actions);
    }
    return kPass;
}

void PptpInspector::bindingClosed(Instant, const PortlessBinding& binding, FlowEnd,
                                  Actions& actions)
{
    if (binding.protocol != net::IpProtocol::Gre) return;
    State& state = *m_state;
    if (binding.inbound && binding.inbound->variant == Discriminator::Variant::GreCall) {
        const auto call = state.inboundCalls.find(
            {binding.external, binding.server, static_cast<std::uint16_t>(binding.inbound->id)});
        if (call != state.inboundCalls.end() && call->second.call->key == binding.key) {
            call->second.call->bound = false;
            return;
        }
    }
    const auto plain = state.plain.find({binding.external, binding.server, 0});
    if (plain == state.plain.end() || plain->second.client != binding.client ||
        plain->second.key != binding.key) {
        return;
    }
    if (plain->second.bindings > 0 && --plain->second.bindings > 0) return;
    const bool ownTunnel = state.controlOf(binding.client, binding.server) == nullptr;
    if (ownTunnel) Observing(actions, binding.key).ended(Phase::Dead, EventKind::TimedOut);
    state.plain.erase(plain);
}

void PptpInspector::handleTimeout(Instant now, Actions& actions)
{
    if (m_state->nextSweep && now >= *m_state->nextSweep) m_state->sweep(now, actions);
}

std::optional<Instant> PptpInspector::nextTimeout() const
{
    return m_state->nextSweep;
}

}  // namespace engine::passthrough
