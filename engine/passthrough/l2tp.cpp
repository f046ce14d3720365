#include "engine/passthrough/l2tp.h"

#include "engine/base/random.h"
#include "engine/passthrough/l2tp_ip.h"
#include "engine/passthrough/l2tp_message.h"
#include "engine/passthrough/observing.h"
#include "engine/passthrough/ppp_observer.h"
#include "engine/tunnel/saved_values.h"

#include <algorithm>
#include <map>
#include <unordered_map>
#include <vector>

namespace engine::passthrough {

namespace {

using namespace std::chrono_literals;
using namespace l2tp;
using net::Direction;
using policy::PassthroughMode;
using tunnel::Confidence;
using tunnel::EventKind;
using tunnel::FindingKind;
using tunnel::Lane;
using tunnel::Observation;
using tunnel::Phase;
using tunnel::TunnelKey;

// Ours.
constexpr std::size_t kMostLinks = 4096;
constexpr std::size_t kMostTunnelsPerLink = 8;
constexpr std::size_t kMostSessionsPerTunnel = 32;
constexpr std::size_t kMostServers = 4096;
/// Beyond these a block of saved state is no such thing.
constexpr std::size_t kMostFlowsOfLink = 64;
/// A client without an answer for so long has none.
constexpr Duration kAnswerTimeout = 15s;
constexpr Duration kSweepEvery = 1s;
/// The control channel is quiet between two HELLOs, a minute apart by default (RFC 2661 §6.5).
constexpr Duration kControlIdle = 300s;
constexpr Duration kEstablishedIdle = 1h;
constexpr std::size_t kProof = 40;

constexpr Attention kPass{};
constexpr Attention kIgnore{.next = Attention::Next::Ignore};
constexpr Attention drop(DropReason reason)
{
    return {.next = Attention::Next::Watch, .fate = Attention::Fate::Drop, .reason = reason};
}
constexpr PortlessDecision kRefused{};

/// How a server answers (nat-independent names: RFC 2661 §8.1 allows the first two).
enum class ReplyMode : std::uint8_t {
    Unknown,
    ToTheClientsPort,
    AlwaysTo1701,
};

struct Session {
    std::uint32_t clientId = 0;  ///< assigned by the inside host
    std::uint32_t serverId = 0;
    PppObserver ppp;
};

struct TunnelState {
    FlowId flow = 0;  ///< of the link it runs in
    TunnelKey key;
    std::uint8_t version = 2;
    Direction initiator = Direction::Outbound;
    std::uint32_t insideId = 0;  ///< assigned by the inside host
    std::uint32_t publicId = 0;  ///< the same as the server sees it
    std::uint32_t remoteId = 0;  ///< assigned by the other
    bool indexed = false;        ///< strays with this ID are ours
    bool over = false;
    bool established = false;
    bool answered = false;
    bool silenceTold = false;
    Instant since;
    std::uint32_t requests = 0;
    std::array<std::optional<std::uint16_t>, 2> lastNs;
    std::optional<std::uint16_t> measured;
    Instant measuredAt;
    std::uint32_t keepalives = 0;
    std::vector<Session> sessions;
    std::vector<std::uint8_t> proof;

    [[nodiscard]] bool rewritten() const { return insideId != publicId; }
    [[nodiscard]] Lane laneOf(Direction sender) const
    {
        return sender == initiator ? Lane::Client : Lane::Server;
    }
};

/// The UDP session of a client with a server, and those that answers from other ports have made.
struct Link {
    Flow flow;
    std::vector<FlowId> others;
    bool firstFlowGone = false;  ///< the server's other port carries everything
    std::uint64_t serial = 0;
    std::vector<std::unique_ptr<TunnelState>> tunnels;
};

struct StrayKey {
    net::Ipv4Address external;
    net::Ipv4Address server;
    std::uint32_t tunnelId = 0;
    friend constexpr auto operator<=>(const StrayKey&, const StrayKey&) = default;
};

bool isPort1701(const Flow& flow)
{
    return flow.remote.port.hostOrder() == kPort || flow.internal.port.hostOrder() == kPort ||
           flow.external.port.hostOrder() == kPort;
}

/// RFC 3931 §4.1.2.1: flags and version, 16 reserved bits, the session ID.
bool isVersion3Data(wire::ConstBytes payload)
{
    return payload.size() >= 8 && (payload[0] & 0x80U) == 0 && (payload[1] & 15U) == 3;
}

Edit edit16(std::size_t offset, std::uint16_t value)
{
    return {.offset = static_cast<std::uint32_t>(offset),
            .length = 2,
            .bytes = {static_cast<std::uint8_t>(value >> 8), static_cast<std::uint8_t>(value)}};
}

}  // namespace

struct L2tpInspector::State {
    State(HashKey key, const policy::PassthroughPolicy& switches, const net::Prefix& internal)
        : seed(key),
          policy(switches),
          lan(internal),
          random(HashKey{key.k0 ^ 0x4c325450U, key.k1}),
          overIp(key, switches)
    {}

    HashKey seed;
    const policy::PassthroughPolicy& policy;
    const net::Prefix& lan;  ///< our own network
    Random random;
    L2tpOverIp overIp;
    std::unordered_map<FlowId, std::unique_ptr<Link>> links;  ///< by their first flow
    std::unordered_map<FlowId, FlowId> joined;                ///< flows of answers from other ports
    std::map<StrayKey, TunnelState*> strays;
    std::map<net::Ipv4Address, ReplyMode> modes;
    std::optional<Instant> nextSweep;

    Link* linkOf(FlowId flow);
    Link* relatedLink(const Flow& flow, Direction direction, const ControlMessage& message) const;
    Link& open(const Flow& flow);
    [[nodiscard]] PassthroughMode modeOf(const Flow& flow, std::uint8_t version) const
    {
        return policy.modeFor(protocolOf(version), flow.internal.address, flow.remote.address);
    }
    static net::VpnProtocol protocolOf(std::uint8_t version)
    {
        return version == 3 ? net::VpnProtocol::L2tpV3 : net::VpnProtocol::L2tp;
    }
    void setMode(net::Ipv4Address server, ReplyMode mode)
    {
        if (modes.size() < kMostServers || modes.contains(server)) modes[server] = mode;
    }
    [[nodiscard]] ReplyMode modeOfServer(net::Ipv4Address server) const
    {
        const auto found = modes.find(server);
        return found == modes.end() ? ReplyMode::Unknown : found->second;
    }

    static void label(const Link& link, const TunnelState& tunnel, Confidence confidence,
                      Actions& actions);
    TunnelState* find(const Link& link, Direction direction, std::uint32_t headerId) const;
    TunnelState* beginTunnel(Instant now, Link& link, Direction direction,
                             const ControlMessage& message, wire::ConstBytes packet,
                             Actions& actions);
    bool chooseId(const Link& link, TunnelState& tunnel, const ControlMessage& message);
    void endTunnel(TunnelState& tunnel, TunnelEnding ending, std::uint32_t code, Actions& actions);

    Attention inspect(Instant now, Link& link, const Flow& flow, const Segment& segment,
                      Actions& actions);
    Attention control(Instant now, Link& link, const Flow& flow, Direction direction,
                      wire::ConstBytes payload, wire::ConstBytes packet, Actions& actions);
    Attention data(Instant now, Link& link, Direction direction, wire::ConstBytes payload,
                   wire::ConstBytes packet, Actions& actions);
    /// Version 3 data names a session and no tunnel (RFC 3931 §4.1.2): whose client has assigned
    /// it, among those of the server; null if nobody's, or more than one's.
    TunnelState* ownerOfSession(net::Ipv4Address external, net::Ipv4Address server,
                                std::uint32_t sessionId) const;
    void follow(Instant now, const Link& link, TunnelState& tunnel, Direction direction,
                const ControlMessage& message, Actions& actions);
    void followCall(TunnelState& tunnel, Direction direction, const ControlMessage& message);
    void measure(Instant now, TunnelState& tunnel, Direction direction,
                 const ControlMessage& message, Actions& actions);
    void establish(const Link& link, TunnelState& tunnel, Actions& actions);
    void sweep(Instant now, Actions& actions);
};

Link* L2tpInspector::State::linkOf(FlowId flow)
{
    const auto other = joined.find(flow);
    const auto found = links.find(other == joined.end() ? flow : other->second);
    return found == links.end() ? nullptr : found->second.get();
}

/// The link of the same two hosts and the same port inside whose tunnel a message on a new flow
/// names: the server answers from another port, or the client has followed it there.
Link* L2tpInspector::State::relatedLink(const Flow& flow, Direction direction,
                                        const ControlMessage& message) const
{
    Link* related = nullptr;
    for (const auto& [id, link] : links) {
        if (link->flow.internal != flow.internal || link->flow.external != flow.external ||
            link->flow.remote.address != flow.remote.address) {
            continue;
        }
        const TunnelState* tunnel = find(*link, direction, message.tunnelId);
        if (tunnel == nullptr || tunnel->version != message.version) continue;
        if (related == nullptr || link->flow.id > related->flow.id) related = link.get();
    }
    return related;
}

Link& L2tpInspector::State::open(const Flow& flow)
{
    auto fresh = std::make_unique<Link>();
    fresh->flow = flow;
    return *links.emplace(flow.id, std::move(fresh)).first->second;
}

void L2tpInspector::State::label(const Link& link, const TunnelState& tunnel, Confidence confidence,
                                 Actions& actions)
{
    Observation& observation = Observing(actions, tunnel.key).add(Observation::Kind::Label);
    observation.protocol = protocolOf(tunnel.version);
    observation.confidence = confidence;
    observation.server = link.flow.remote;
    observation.external = link.flow.external;
    observation.transport = net::IpProtocol::Udp;
}

/// The header names the receiver's tunnel.
TunnelState* L2tpInspector::State::find(const Link& link, Direction direction,
                                        std::uint32_t headerId) const
{
    if (headerId == 0) return nullptr;
    TunnelState* ended = nullptr;
    for (const auto& tunnel : link.tunnels) {
        const std::uint32_t theirs =
            direction == Direction::Inbound ? tunnel->publicId : tunnel->remoteId;
        if (theirs != headerId) continue;
        if (!tunnel->over) return tunnel.get();
        ended = tunnel.get();
    }
    return ended;
}

/// Gives the tunnel the ID that the server will see. Where answers may come to port 1701 the ID is
/// all that tells clients apart, so a second client with the same one gets another, if the message
/// allows it. False: it does not, and nothing else will tell them apart.
bool L2tpInspector::State::chooseId(const Link& link, TunnelState& tunnel,
                                    const ControlMessage& message)
{
    tunnel.publicId = tunnel.insideId;
    if (modeOf(link.flow, tunnel.version) != PassthroughMode::Assist) return true;
    StrayKey key{link.flow.external.address, link.flow.remote.address, tunnel.insideId};
    const ReplyMode mode = modeOfServer(link.flow.remote.address);
    const bool clash = strays.contains(key);
    if (clash && mode == ReplyMode::ToTheClientsPort) return true;
    if (clash) {
        const bool changeable =
            tunnel.version == 2 && message.tunnel && !message.tunnel->hidden && !message.digest;
        if (!changeable) return mode == ReplyMode::Unknown;
        do {
            key.tunnelId = 1 + random.below(0xffff);
        } while (strays.contains(key));
        tunnel.publicId = key.tunnelId;
    }
    strays[key] = &tunnel;
    tunnel.indexed = true;
    return true;
}

TunnelState* L2tpInspector::State::beginTunnel(Instant now, Link& link, Direction direction,
                                               const ControlMessage& message,
                                               wire::ConstBytes packet, Actions& actions)
{
    const std::uint32_t own = message.tunnel && !message.tunnel->hidden ? message.tunnel->value : 0;
    const bool outbound = direction == Direction::Outbound;
    for (const auto& tunnel : link.tunnels) {
        const std::uint32_t theirs = outbound ? tunnel->insideId : tunnel->remoteId;
        if (!tunnel->over && tunnel->initiator == direction && theirs == own) return tunnel.get();
    }
    std::erase_if(link.tunnels, [&](const auto& tunnel) { return tunnel->over; });
    if (link.tunnels.size() >= kMostTunnelsPerLink) return nullptr;
    link.tunnels.push_back(std::make_unique<TunnelState>());
    TunnelState& tunnel = *link.tunnels.back();
    tunnel.flow = link.flow.id;
    tunnel.version = message.version;
    tunnel.initiator = direction;
    tunnel.since = now;
    tunnel.key = {link.flow.internal.address, link.flow.remote.address,
                  sipHash(seed, link.flow.id, (std::uint64_t{0x4c325450} << 32) | link.serial++)};
    tunnel.proof.assign(packet.begin(), packet.begin() + static_cast<std::ptrdiff_t>(
                                                             std::min(packet.size(), kProof)));
    if (outbound) {
        tunnel.insideId = own;
        if (!chooseId(link, tunnel, message)) {
            link.tunnels.pop_back();
            return nullptr;
        }
    } else {
        tunnel.remoteId = own;
    }
    label(link, tunnel, Confidence::Likely, actions);
    const Observing observing(actions, tunnel.key);
    observing.event(EventKind::ControlOpened, Lane::Client, Lane::Server,
                    link.flow.remote.port.hostOrder());
    observing.phase(Phase::Handshaking);
    if (tunnel.rewritten()) {
        observing.event(EventKind::IdRewritten, Lane::Router, Lane::Router, tunnel.insideId,
                        tunnel.publicId);
        observing.passage(tunnel::PassageKind::TunnelId, tunnel.insideId, tunnel.publicId);
    } else {
        observing.passage(tunnel::PassageKind::PortTranslated, link.flow.internal.port.hostOrder(),
                          link.flow.external.port.hostOrder());
    }
    actions.attachments.push_back({.flow = link.flow.id,
                                   .key = tunnel.key,
                                   .sequence = tunnel::SequenceKind::L2tp,
                                   .idle = kControlIdle});
    if (outbound && modeOf(link.flow, tunnel.version) == PassthroughMode::Assist) {
        // RFC 2661 §8.1: the answer may come from any port of the server.
        actions.aliases.push_back({.flow = link.flow.id,
                                   .remotePort = net::Port{0},
                                   .externalPort = link.flow.external.port});
    }
    if (!nextSweep) nextSweep = now + kSweepEvery;
    return &tunnel;
}

void L2tpInspector::State::endTunnel(TunnelState& tunnel, TunnelEnding ending, std::uint32_t code,
                                     Actions& actions)
{
    if (tunnel.over) return;
    tunnel.over = true;
    Observing(actions, tunnel.key).ended(ending.phase, ending.cause, code);
    std::erase_if(strays, [&](const auto& stray) { return stray.second == &tunnel; });
}

// ------------------------------------------------------------------ control messages

void L2tpInspector::State::measure(Instant now, TunnelState& tunnel, Direction direction,
                                   const ControlMessage& message, Actions& actions)
{
    const Observing observing(actions, tunnel.key);
    auto& last = tunnel.lastNs[static_cast<std::size_t>(direction)];
    // An acknowledgment repeats the number of the next message and is not one.
    const bool repeated =
        message.type && last && static_cast<std::int16_t>(message.ns - *last) <= 0;
    if (message.type && !repeated) last = message.ns;
    if (repeated) {
        Observation& observation = observing.add(Observation::Kind::Retransmit);
        observation.a = *message.type;
        observation.from = tunnel.laneOf(direction);
        observation.to = tunnel.laneOf(net::opposite(direction));
    }
    if (direction == Direction::Outbound) {
        // A repeated message makes the answer ambiguous.
        if (repeated && tunnel.measured == message.ns) tunnel.measured.reset();
        if (message.type && !repeated && !tunnel.measured) {
            tunnel.measured = message.ns;
            tunnel.measuredAt = now;
        }
    } else if (tunnel.measured && static_cast<std::int16_t>(message.nr - *tunnel.measured) > 0) {
        observing.roundTrip(now - tunnel.measuredAt);
        tunnel.measured.reset();
    }
}

void L2tpInspector::State::establish(const Link& link, TunnelState& tunnel, Actions& actions)
{
    if (tunnel.established) return;
    tunnel.established = true;
    actions.attachments.push_back({.flow = link.flow.id,
                                   .key = tunnel.key,
                                   .sequence = tunnel::SequenceKind::L2tp,
                                   .idle = kEstablishedIdle});
}

/// Sessions are known by the IDs that both sides assign in clear; hidden ones are not followed.
void L2tpInspector::State::followCall(TunnelState& tunnel, Direction direction,
                                      const ControlMessage& message)
{
    if (!message.session || message.session->hidden || message.session->value == 0) return;
    const std::uint32_t own = message.session->value;
    const std::uint32_t peer =
        message.version == 2 ? std::uint32_t{message.sessionId} : message.peerSession.value_or(0);
    const bool outbound = direction == Direction::Outbound;
    const bool request = message.is(MessageType::IncomingCallRequest) ||
                         message.is(MessageType::OutgoingCallRequest);
    const bool reply =
        message.is(MessageType::IncomingCallReply) || message.is(MessageType::OutgoingCallReply);
    if (message.is(MessageType::CallDisconnect)) {
        std::erase_if(tunnel.sessions, [&](const Session& session) {
            return (outbound ? session.clientId : session.serverId) == own;
        });
        return;
    }
    for (Session& session : tunnel.sessions) {
        if ((outbound ? session.clientId : session.serverId) == own) return;
        if (reply && (outbound ? session.serverId : session.clientId) == peer) {
            (outbound ? session.clientId : session.serverId) = own;
            return;
        }
    }
    if (!request || tunnel.sessions.size() >= kMostSessionsPerTunnel) return;
    Session session;
    (outbound ? session.clientId : session.serverId) = own;
    tunnel.sessions.push_back(session);
}

void L2tpInspector::State::follow(Instant now, const Link& link, TunnelState& tunnel,
                                  Direction direction, const ControlMessage& message,
                                  Actions& actions)
{
    measure(now, tunnel, direction, message, actions);
    if (direction != tunnel.initiator) tunnel.answered = true;
    if (!message.type || tunnel.over) return;
    const Observing observing(actions, tunnel.key);
    const Lane from = tunnel.laneOf(direction);
    const Lane to = tunnel.laneOf(net::opposite(direction));
    if (message.is(MessageType::Hello)) {
        observing.event(EventKind::Keepalive, from, to, ++tunnel.keepalives);
        return;
    }
    observing.event(EventKind::ControlMessage, from, to, *message.type, message.result.value_or(0));
    followCall(tunnel, direction, message);
    if (message.is(MessageType::StartReply) && direction != tunnel.initiator) {
        if (message.tunnel && !message.tunnel->hidden) {
            (direction == Direction::Inbound ? tunnel.remoteId : tunnel.insideId) =
                message.tunnel->value;
            if (direction == Direction::Outbound) tunnel.publicId = tunnel.insideId;
        }
        label(link, tunnel, Confidence::Certain, actions);
        observing.text(Observation::Kind::ServerName, message.hostName);
        observing.text(Observation::Kind::Product, message.vendorName);
    } else if (message.is(MessageType::StartConnected)) {
        observing.phase(Phase::Establishing);
    } else if (message.is(MessageType::IncomingCallConnected) ||
               message.is(MessageType::OutgoingCallConnected)) {
        establish(link, tunnel, actions);
        // Other pseudowires than PPP show nothing more than this.
        if (message.version == 3) observing.phase(Phase::Established);
    } else if (message.is(MessageType::CallDisconnect)) {
        if (tunnel.sessions.empty()) observing.phase(Phase::Closing);
    } else if (message.is(MessageType::StopNotify)) {
        const Phase phase =
            tunnel.established || tunnel.remoteId != 0 ? Phase::Closed : Phase::Failed;
        endTunnel(tunnel, {phase, EventKind::PeerClosed}, message.result.value_or(0), actions);
    }
}

Attention L2tpInspector::State::control(Instant now, Link& link, const Flow& flow,
                                        Direction direction, wire::ConstBytes payload,
                                        wire::ConstBytes packet, Actions& actions)
{
    const auto parsed = ControlMessage::parse(payload);
    if (!parsed) return drop(DropReason::MalformedL2tp);
    const ControlMessage& message = *parsed;
    TunnelState* tunnel = find(link, direction, message.tunnelId);
    if (message.is(MessageType::StartRequest) && message.tunnelId == 0) {
        tunnel = beginTunnel(now, link, direction, message, packet, actions);
        if (tunnel == nullptr) return drop(DropReason::L2tpIdClash);
        ++tunnel->requests;
    }
    if (tunnel == nullptr && direction == Direction::Inbound &&
        flow.external.port.hostOrder() == kPort) {
        // The port happens to be this client's own; the ID says it is another's.
        const auto stray =
            strays.find({flow.external.address, flow.remote.address, message.tunnelId});
        if (stray != strays.end()) {
            Link& theirs = *links.at(stray->second->flow);
            Attention attention =
                control(now, theirs, theirs.flow, direction, payload, packet, actions);
            attention.redirect = theirs.flow.id;
            return attention;
        }
    }
    // A StopCCN before the server has assigned a tunnel names its own in AVP 9 only.
    if (tunnel == nullptr && message.is(MessageType::StopNotify) && message.tunnel &&
        !message.tunnel->hidden) {
        for (const auto& candidate : link.tunnels) {
            const std::uint32_t own =
                direction == Direction::Outbound ? candidate->insideId : candidate->remoteId;
            if (own == message.tunnel->value) tunnel = candidate.get();
        }
    }
    if (tunnel == nullptr) return kPass;
    follow(now, link, *tunnel, direction, message, actions);
    if (!tunnel->rewritten()) return kPass;
    if (direction == Direction::Inbound) {
        actions.edits.push_back(edit16(4, static_cast<std::uint16_t>(tunnel->insideId)));
    } else if (message.tunnel && !message.tunnel->hidden &&
               message.tunnel->value == tunnel->insideId) {
        actions.edits.push_back(
            edit16(message.tunnel->offset, static_cast<std::uint16_t>(tunnel->publicId)));
    }
    return kPass;
}

TunnelState* L2tpInspector::State::ownerOfSession(net::Ipv4Address external,
                                                  net::Ipv4Address server,
                                                  std::uint32_t sessionId) const
{
    TunnelState* owner = nullptr;
    for (auto it = strays.lower_bound({external, server, 0});
         it != strays.end() && it->first.external == external && it->first.server == server; ++it) {
        TunnelState* const tunnel = it->second;
        if (tunnel->version != 3 ||
            std::ranges::find(tunnel->sessions, sessionId, &Session::clientId) ==
                tunnel->sessions.end()) {
            continue;
        }
        if (owner != nullptr) return nullptr;
        owner = tunnel;
    }
    return owner;
}

Attention L2tpInspector::State::data(Instant, Link& link, Direction direction,
                                     wire::ConstBytes payload, wire::ConstBytes packet,
                                     Actions& actions)
{
    if (isVersion3Data(payload)) {
        if (direction == Direction::Outbound || link.flow.external.port.hostOrder() != kPort) {
            return kPass;
        }
        const std::uint32_t session = wire::load32(payload, 4);
        const bool isOwn = std::ranges::any_of(link.tunnels, [&](const auto& tunnel) {
            return std::ranges::find(tunnel->sessions, session, &Session::clientId) !=
                   tunnel->sessions.end();
        });
        const TunnelState* const theirs =
            isOwn ? nullptr
                  : ownerOfSession(link.flow.external.address, link.flow.remote.address, session);
        Attention attention = kPass;
        if (theirs != nullptr) attention.redirect = links.at(theirs->flow)->flow.id;
        return attention;
    }
    if (payload.empty() || (payload.size() > 1 && (payload[1] & 15U) != 2)) return kPass;
    const auto parsed = DataHeader::parse(payload);
    if (!parsed) return drop(DropReason::MalformedL2tp);
    const DataHeader& header = *parsed;
    TunnelState* const tunnel = find(link, direction, header.tunnelId);
    if (tunnel == nullptr) {
        if (direction == Direction::Inbound && link.flow.external.port.hostOrder() == kPort) {
            const auto stray = strays.find(
                {link.flow.external.address, link.flow.remote.address, header.tunnelId});
            if (stray != strays.end()) {
                Link& theirs = *links.at(stray->second->flow);
                Attention attention = data({}, theirs, direction, payload, packet, actions);
                attention.redirect = theirs.flow.id;
                return attention;
            }
        }
        return kPass;
    }
    if (direction == Direction::Inbound && tunnel->rewritten()) {
        actions.edits.push_back(
            edit16(header.tunnelIdAt, static_cast<std::uint16_t>(tunnel->insideId)));
    }
    if (tunnel->over) return kPass;
    for (Session& session : tunnel->sessions) {
        const std::uint32_t receiver =
            direction == Direction::Inbound ? session.clientId : session.serverId;
        if (receiver != header.sessionId) continue;
        const auto news = session.ppp.observe(direction, header.payload);
        const Observing observing(actions, tunnel->key);
        if (news.phase) observing.phase(*news.phase);
        if (news.authenticationError) {
            observing.event(EventKind::AuthenticationFailed, tunnel->laneOf(direction),
                            tunnel->laneOf(net::opposite(direction)), *news.authenticationError);
            observing.finding(FindingKind::AuthenticationRefused, *news.authenticationError, 0,
                              packet.first(std::min(packet.size(), kProof)));
        }
        if (news.weakBits) observing.finding(FindingKind::WeakCrypto, *news.weakBits);
        // A server of ours inside may well give out addresses of its own network.
        if (news.innerAddress && tunnel->initiator == Direction::Outbound) {
            observing.sameSubnet(lan, *news.innerAddress, packet);
        }
        if (news.terminating) observing.phase(Phase::Closing);
        break;
    }
    return kPass;
}

Attention L2tpInspector::State::inspect(Instant now, Link& link, const Flow& flow,
                                        const Segment& segment, Actions& actions)
{
    if (segment.payload.empty()) return kPass;
    if (segment.direction == Direction::Inbound && flow.initiator == Direction::Outbound &&
        modeOfServer(flow.remote.address) != ReplyMode::ToTheClientsPort &&
        flow.external.port.hostOrder() != kPort) {
        setMode(flow.remote.address, ReplyMode::ToTheClientsPort);
    }
    const bool isControl = (segment.payload[0] & 0x80U) != 0;
    return isControl ? control(now, link, flow, segment.direction, segment.payload, segment.packet,
                               actions)
                     : data(now, link, segment.direction, segment.payload, segment.packet, actions);
}

void L2tpInspector::State::sweep(Instant now, Actions& actions)
{
    nextSweep.reset();
    std::vector<FlowId> order;
    for (const auto& [id, link] : links)
        order.push_back(id);
    std::ranges::sort(order);
    for (const FlowId id : order) {
        for (const auto& tunnel : links[id]->tunnels) {
            if (tunnel->over || tunnel->answered || tunnel->silenceTold) continue;
            if (now - tunnel->since < kAnswerTimeout) {
                nextSweep = now + kSweepEvery;
                continue;
            }
            tunnel->silenceTold = true;
            Observing(actions, tunnel->key)
                .finding(FindingKind::NoAnswerFromServer, tunnel->requests, 0, tunnel->proof);
        }
    }
}

// ------------------------------------------------------------------ the interface

L2tpInspector::L2tpInspector(HashKey seed, const policy::PassthroughPolicy& policy,
                             const net::Prefix& lan)
    : m_state(std::make_unique<State>(seed, policy, lan))
{}
L2tpInspector::~L2tpInspector() = default;

Inspector::Claim L2tpInspector::consider(Instant, const Flow& flow, const Segment& segment)
{
    if (flow.protocol != net::IpProtocol::Udp) return Claim::NotMine;
    if (segment.payload.empty()) return Claim::Undecided;
    if (!looksLikeControl(segment.payload)) return Claim::NotMine;
    const auto parsed = ControlMessage::parse(segment.payload);
    if (!parsed || m_state->links.size() >= kMostLinks) return Claim::NotMine;
    const ControlMessage& message = *parsed;
    if (message.is(MessageType::StartRequest) && message.tunnelId == 0 &&
        segment.direction == flow.initiator) {
        return Claim::Claimed;
    }
    if (m_state->relatedLink(flow, segment.direction, message) != nullptr) return Claim::Claimed;
    // Joined late: the port and a message that makes sense together. What somebody outside begins
    // in the middle is nothing of ours.
    const bool late = flow.initiator == Direction::Outbound && isPort1701(flow) && message.type;
    return late ? Claim::Claimed : Claim::NotMine;
}

Attention L2tpInspector::inspect(Instant now, const Flow& flow, const Segment& segment,
                                 Actions& actions)
{
    State& state = *m_state;
    Link* link = state.linkOf(flow.id);
    if (link == nullptr) {
        const auto parsed = ControlMessage::parse(segment.payload);
        if (!parsed) return kIgnore;
        const ControlMessage& message = *parsed;
        if (!message.is(MessageType::StartRequest)) {
            link = state.relatedLink(flow, segment.direction, message);
        }
        if (link != nullptr) {
            link->others.push_back(flow.id);
            state.joined[flow.id] = link->flow.id;
            TunnelState& tunnel = *state.find(*link, segment.direction, message.tunnelId);
            actions.attachments.push_back({.flow = flow.id,
                                           .key = tunnel.key,
                                           .sequence = tunnel::SequenceKind::L2tp,
                                           .idle = kEstablishedIdle});
            Observing(actions, tunnel.key)
                .event(EventKind::PortFloated, Lane::Server, Lane::Client,
                       link->flow.remote.port.hostOrder(), flow.remote.port.hostOrder());
        } else {
            link = &state.open(flow);
            if (!message.is(MessageType::StartRequest)) {
                // The beginning was not seen: named, and followed as far as possible.
                TunnelState late;
                late.version = message.version;
                late.key = {flow.internal.address, flow.remote.address,
                            sipHash(state.seed, flow.id, std::uint64_t{0x4c325450} << 32)};
                link->serial = 1;
                late.flow = flow.id;
                late.answered = true;
                (segment.direction == Direction::Outbound ? late.remoteId : late.insideId) =
                    message.tunnelId;
                late.publicId = late.insideId;
                State::label(*link, late, Confidence::Likely, actions);
                actions.attachments.push_back({.flow = flow.id,
                                               .key = late.key,
                                               .sequence = tunnel::SequenceKind::L2tp,
                                               .idle = kEstablishedIdle});
                link->tunnels.push_back(std::make_unique<TunnelState>(std::move(late)));
            }
        }
    }
    return state.inspect(now, *link, flow, segment, actions);
}

void L2tpInspector::flowClosed(Instant, FlowId flow, FlowEnd end, Actions& actions)
{
    State& state = *m_state;
    Link* const link = state.linkOf(flow);
    if (link == nullptr) return;
    if (flow == link->flow.id) {
        link->firstFlowGone = true;
    } else {
        std::erase(link->others, flow);
        state.joined.erase(flow);
    }
    if (!link->firstFlowGone || !link->others.empty()) return;
    const TunnelEnding ending = endingOf(end);
    for (const auto& tunnel : link->tunnels) {
        const bool never = !tunnel->established && tunnel->remoteId == 0;
        state.endTunnel(*tunnel, {never ? Phase::Failed : ending.phase, ending.cause}, 0, actions);
    }
    state.links.erase(link->flow.id);
}

std::optional<UdpRedirect> L2tpInspector::unmatchedUdp(Instant now, net::Endpoint external,
                                                       net::Endpoint remote,
                                                       wire::ConstBytes payload, Actions& actions)
{
    State& state = *m_state;
    if (external.port.hostOrder() != kPort || payload.size() < 6) return std::nullopt;
    if (isVersion3Data(payload)) {
        const TunnelState* const owner =
            state.ownerOfSession(external.address, remote.address, wire::load32(payload, 4));
        if (owner == nullptr) return std::nullopt;
        return UdpRedirect{state.links.at(owner->flow)->flow.id};
    }
    const bool isControl = (payload[0] & 0x80U) != 0;
    std::uint32_t tunnelId = 0;
    std::uint8_t version = 2;
    if (isControl) {
        if (!looksLikeControl(payload)) return std::nullopt;
        const auto parsed = ControlMessage::parse(payload);
        tunnelId = parsed.value().tunnelId;
        version = parsed.value().version;
    } else {
        const auto parsed = DataHeader::parse(payload);
        if (!parsed) return std::nullopt;
        tunnelId = parsed.value().tunnelId;
    }
    const auto stray = state.strays.find({external.address, remote.address, tunnelId});
    if (stray == state.strays.end() || stray->second->version != version) return std::nullopt;
    TunnelState& tunnel = *stray->second;
    Link& link = *state.links.at(tunnel.flow);
    if (state.modeOfServer(remote.address) != ReplyMode::AlwaysTo1701) {
        state.setMode(remote.address, ReplyMode::AlwaysTo1701);
    }
    if (!tunnel.answered) {
        const Observing observing(actions, tunnel.key);
        observing.passage(tunnel::PassageKind::TunnelId, tunnel.insideId, tunnel.publicId);
        observing.event(EventKind::PortFloated, Lane::Server, Lane::Router,
                        link.flow.external.port.hostOrder(), kPort);
    }
    const Attention attention =
        isControl ? state.control(now, link, link.flow, Direction::Inbound, payload, {}, actions)
                  : state.data(now, link, Direction::Inbound, payload, {}, actions);
    if (attention.fate != Attention::Fate::Pass) return std::nullopt;
    return UdpRedirect{link.flow.id};
}

bool L2tpInspector::owns(net::IpProtocol protocol, wire::ConstBytes) const
{
    return protocol == net::IpProtocol::L2tpV3;
}

PortlessDecision L2tpInspector::decide(Instant now, net::Direction direction,
                                       const PortlessPacket& packet, Actions& actions)
{
    if (packet.protocol != net::IpProtocol::L2tpV3) return kRefused;
    return m_state->overIp.decide(now, direction, packet, actions);
}

Attention L2tpInspector::inspectPortless(Instant now, net::Direction direction,
                                         const PortlessPacket& packet, Actions& actions)
{
    return m_state->overIp.inspect(now, direction, packet, actions);
}

void L2tpInspector::bindingClosed(Instant, const PortlessBinding& binding, FlowEnd end,
                                  Actions& actions)
{
    if (binding.protocol != net::IpProtocol::L2tpV3) return;
    m_state->overIp.bindingClosed(binding, end, actions);
}

void L2tpInspector::save(StateWriter& out) const
{
    out.u32(static_cast<std::uint32_t>(m_state->modes.size()));
    for (const auto& [server, mode] : m_state->modes) {
        out.u32(server.hostOrder());
        out.u8(static_cast<std::uint8_t>(mode));
    }
    std::vector<const Link*> saved;
    for (const auto& [id, link] : m_state->links)
        saved.push_back(link.get());
    std::ranges::sort(saved, {}, [](const Link* link) { return link->flow.id; });
    out.u32(static_cast<std::uint32_t>(saved.size()));
    for (const Link* const link : saved) {
        out.u32(static_cast<std::uint32_t>(link->others.size()) + 1);
        out.u64(link->flow.id);
        for (const FlowId other : link->others)
            out.u64(other);
        out.u64(link->serial);
        const auto lives = [](const auto& tunnel) {
            return !tunnel->over;
        };
        out.u32(static_cast<std::uint32_t>(std::ranges::count_if(link->tunnels, lives)));
        for (const auto& tunnel : link->tunnels) {
            if (tunnel->over) continue;
            tunnel::save(out, tunnel->key);
            out.u8(tunnel->version);
            out.u8(static_cast<std::uint8_t>(tunnel->initiator));
            out.u32(tunnel->insideId);
            out.u32(tunnel->publicId);
            out.u32(tunnel->remoteId);
            out.flag(tunnel->indexed);
            out.flag(tunnel->established);
            out.flag(tunnel->answered);
            out.u32(static_cast<std::uint32_t>(tunnel->sessions.size()));
            for (const Session& session : tunnel->sessions) {
                out.u32(session.clientId);
                out.u32(session.serverId);
            }
        }
    }
}

void L2tpInspector::bindingRestored(Instant, const PortlessBinding& binding, net::VpnProtocol)
{
    if (binding.protocol == net::IpProtocol::L2tpV3) m_state->overIp.bindingRestored(binding);
}

bool L2tpInspector::restore(Instant now, StateReader& in, const RestoredFlows& flows,
                            std::vector<FlowId>& claimed)
{
    State& state = *m_state;
    const std::uint32_t servers = in.count(kMostServers, 5);
    for (std::uint32_t i = 0; i < servers; ++i) {
        const net::Ipv4Address server{in.u32()};
        state.modes[server] = static_cast<ReplyMode>(in.below(3));
    }
    const std::uint32_t links = in.count(kMostLinks, 4 + 8 + 8 + 4);
    for (std::uint32_t i = 0; i < links && !in.failed(); ++i) {
        Link link;
        std::vector<FlowId> own;
        const std::uint32_t number = in.count(kMostFlowsOfLink, 8);
        for (std::uint32_t k = 0; k < number; ++k) {
            const Flow* const flow = flows.find(in.u64());
            if (flow == nullptr || flow->protocol != net::IpProtocol::Udp) continue;
            if (own.empty()) link.flow = *flow;
            own.push_back(flow->id);
        }
        link.serial = in.u64();
        const std::uint32_t tunnels = in.count(kMostTunnelsPerLink, 16 + 2 + 12 + 3 + 4);
        for (std::uint32_t k = 0; k < tunnels && !in.failed(); ++k) {
            auto tunnel = std::make_unique<TunnelState>();
            tunnel->flow = link.flow.id;
            tunnel->key = tunnel::readTunnelKey(in);
            tunnel->version = in.below(4);
            tunnel->initiator = static_cast<Direction>(in.below(2));
            tunnel->insideId = in.u32();
            tunnel->publicId = in.u32();
            tunnel->remoteId = in.u32();
            tunnel->indexed = in.flag();
            tunnel->established = in.flag();
            tunnel->answered = in.flag();
            tunnel->since = now;
            const std::uint32_t sessions = in.count(kMostSessionsPerTunnel, 8);
            for (std::uint32_t s = 0; s < sessions; ++s) {
                Session& session = tunnel->sessions.emplace_back();
                session.clientId = in.u32();
                session.serverId = in.u32();
            }
            const bool fits = tunnel->version == 2 || tunnel->version == 3;
            const bool isShort =
                tunnel->version == 2 && (tunnel->insideId > 0xffff || tunnel->publicId > 0xffff);
            if (!fits || isShort || (tunnel->rewritten() && tunnel->version != 2)) in.fail();
            link.tunnels.push_back(std::move(tunnel));
        }
        if (in.failed()) return false;
        if (own.empty()) continue;
        if (state.links.contains(link.flow.id) || state.joined.contains(link.flow.id)) return false;
        for (const auto& tunnel : link.tunnels) {
            if (!tunnel->indexed) continue;
            const StrayKey key{link.flow.external.address, link.flow.remote.address,
                               tunnel->publicId};
            if (!state.strays.emplace(key, tunnel.get()).second) return false;
        }
        for (std::size_t k = 1; k < own.size(); ++k) {
            link.others.push_back(own[k]);
            if (!state.joined.emplace(own[k], link.flow.id).second) return false;
        }
        claimed.insert(claimed.end(), own.begin(), own.end());
        const FlowId id = link.flow.id;
        state.links.emplace(id, std::make_unique<Link>(std::move(link)));
        state.nextSweep = now + kSweepEvery;
    }
    return !in.failed();
}

void L2tpInspector::handleTimeout(Instant now, Actions& actions)
{
    if (m_state->nextSweep && now >= *m_state->nextSweep) m_state->sweep(now, actions);
}

std::optional<Instant> L2tpInspector::nextTimeout() const
{
    return m_state->nextSweep;
}

}  // namespace engine::passthrough
