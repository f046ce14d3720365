#include "engine/passthrough/pptp_state.h"

namespace engine::passthrough {

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
            tunnel.finding(FindingKind::ServerAllowsOneClient, result, 0,
                           m_control.proofOf(direction));
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
        State::label(m_control, key, confidence, m_actions);
    }

    State& m_state;
    Instant m_now;
    Control& m_control;
    Actions& m_actions;
};

void PptpInspector::State::label(const Control& control, const TunnelKey& key,
                                 Confidence confidence, Actions& actions)
{
    Observation& observation = Observing(actions, key).add(Observation::Kind::Label);
    observation.protocol = net::VpnProtocol::Pptp;
    observation.confidence = confidence;
    observation.server = control.flow.remote;
    observation.external = control.flow.external;
    observation.transport = net::IpProtocol::Tcp;
}

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
        return opens && hasRoomForControl(flow) ? Claim::Claimed : Claim::NotMine;
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
        const auto proof = segment.packet.first(std::min(segment.packet.size(), kProof));
        fresh->proof.assign(proof.begin(), proof.end());
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
        if (hasRoomForControl(flow)) return &open(now, flow, actions);
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
    noteOpened(control);
    wake(now);

    label(control, control.key, Confidence::Likely, actions);
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
    control.noteProof(segment);
    const std::uint32_t sequence = segment.sequence + ((segment.tcpFlags & kSyn) != 0 ? 1U : 0U);
    if (control.takesUp[way] && !takeUp(control, segment, sequence)) return kPass;
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

/// A restored connection: the stream has either not moved since, or goes on with the next message
/// that begins a segment. False: neither, and what came is the rest of a message that was not seen.
bool PptpInspector::State::takeUp(Control& control, const Segment& segment, std::uint32_t sequence)
{
    const auto way = static_cast<std::size_t>(segment.direction);
    ControlStream& stream = control.streams[way];
    const bool isOld = stream.started() && static_cast<std::int32_t>(sequence - stream.next()) < 0;
    // What was replaced in it is not known any more: take() refuses it.
    if (isOld) return true;
    const bool goesOn = stream.started() && sequence == stream.next();
    const bool begins =
        segment.payload.size() >= kHeaderLength && MessageHeader::read(segment.payload).has_value();
    if (!goesOn && !begins) return false;
    if (!goesOn) stream.resumeAt(sequence);
    control.takesUp[way] = false;
    return true;
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
    control.noteProof(segment);
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

}  // namespace engine::passthrough
