#include "engine/passthrough/ipsec.h"

#include "engine/passthrough/esp_resolver.h"
#include "engine/passthrough/ike.h"
#include "engine/tunnel/saved_values.h"

#include <algorithm>
#include <map>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

namespace engine::passthrough {

namespace {

using namespace std::chrono_literals;
using ike::Exchange;
using ike::Version;
using net::Direction;
using policy::PassthroughMode;
using tunnel::Confidence;
using tunnel::EventKind;
using tunnel::FindingKind;
using tunnel::Lane;
using tunnel::Observation;
using tunnel::Phase;
using tunnel::TunnelKey;

// ---- specification ------------------------------------------------------------------------------

/// RFC 9329 §4: what the side that opened a TCP connection sends first.
constexpr std::array<std::uint8_t, 6> kTcpPrefix{'I', 'K', 'E', 'T', 'C', 'P'};

/// RFC 2409 appendix A: SHA as the negotiated hash.
constexpr std::uint16_t kHashSha1 = 2;

// ---- ours ---------------------------------------------------------------------------------------

/// The server may want to renegotiate with a client that has long been silent on port 500.
constexpr Duration kIkeIdle = 8h;
/// A tunnel in UDP 4500 whose client sends no keepalives (they come every 20 s).
constexpr Duration kEncapsulatedIdle = 30min;
/// A message sent so often without an answer is a symptom.
constexpr std::uint32_t kUnanswered = 4;
/// Beyond this an IKE message travels in fragments on an ordinary path.
constexpr std::size_t kLargeMessage = 1300;
/// Keepalives come every few seconds; the timeline tells of them this often.
constexpr Duration kKeepaliveTold = 60s;
constexpr Duration kAhTold = 60s;
/// A server that wants to begin by itself is offered to one client after the other.
constexpr Duration kOfferTime = 3s;
constexpr Duration kConflictTime = 60s;
constexpr Duration kConflictSilence = 20s;

constexpr std::size_t kMostFlows = 65536;
constexpr std::size_t kMostSuspects = 4096;
constexpr std::size_t kMostOutstanding = 8;
constexpr std::size_t kMostSpisOfFlow = 8;
constexpr std::size_t kMostLegacyServers = 256;
constexpr std::size_t kMostAhPairs = 256;
constexpr std::size_t kRecentFlows = 256;

constexpr Attention kWatch{.next = Attention::Next::Watch};
constexpr Attention kIgnore{.next = Attention::Next::Ignore};

/// A message that waits for its answer.
struct Outstanding {
    std::uint32_t messageId = 0;
    std::uint64_t fingerprint = 0;
    Exchange exchange = Exchange::SaInit;
    Direction direction = Direction::Outbound;
    Instant at;
    std::uint32_t sent = 0;
};

/// A Quick Mode exchange (version 1): three messages under one message ID.
struct QuickMode {
    std::uint32_t messageId = 0;
    Direction initiator = Direction::Outbound;
    bool answered = false;
};
enum class QuickStep : std::uint8_t { None, First, Second, Third };

/// What is known of one VPN connection, over all its flows.
struct Connection {
    std::uint32_t flows = 0;
    net::VpnProtocol protocol = net::VpnProtocol::IpsecNatT;
    Confidence confidence = Confidence::Guess;
    bool labelled = false;
    Phase phase = Phase::Seen;
    Version version = Version::V2;
    ike::Product product = ike::Product::Unknown;
    std::array<bool, 2> offersNatTraversal{};  ///< by direction
    bool bothOfferNatTraversal = false;
    bool answered = false;     ///< the server has sent something that fits
    bool settled = false;      ///< the server has shown whether it does NAT traversal
    bool agreed = false;       ///< a child SA has been negotiated
    bool upstreamNat = false;  ///< told
    bool weak = false;         ///< told
    bool unanswered = false;   ///< told
    bool floated = false;
    std::uint16_t hash = 0;  ///< version 1's negotiated hash
    std::uint32_t rekeys = 0;
    Duration roundTrip{0};  ///< the shortest seen
};

/// One direction of IKE over TCP: where the parser stands in the stream.
struct TcpStream {
    bool started = false;
    bool lost = false;
    std::uint32_t next = 0;  ///< sequence number expected
    std::size_t prefix = 0;  ///< octets of "IKETCP" still to come
    std::size_t skip = 0;    ///< octets of the current frame that nobody needs
    std::size_t size = 0;    ///< of the current frame's content; 0: length not read yet
    std::size_t filled = 0;
    std::array<std::uint8_t, 2 + ike::kMarkerSize + ike::kHeaderSize> octets{};
};

struct FlowState {
    enum class Carrier : std::uint8_t { Ike, Encapsulated, Tcp };

    Flow flow;
    Carrier carrier = Carrier::Ike;
    Connection* connection = nullptr;
    TunnelKey key;
    bool attached = false;
    Duration idle{0};  ///< as attached
    bool inResolver = false;
    bool aliased = false;
    std::vector<std::uint64_t> initiatorSpis;  ///< the newest last
    std::vector<Outstanding> outstanding;
    std::vector<QuickMode> quickModes;
    std::uint64_t lastChildExchange = 0;
    Instant since;
    // ESP in UDP or TCP.
    std::uint32_t outboundSpi = 0;
    std::uint32_t inboundSpi = 0;
    Instant lastInboundEsp;
    std::uint32_t outboundSinceInbound = 0;
    Instant conflictSince;  ///< zero: no newer tunnel that may be in conflict
    // Keepalives.
    std::uint32_t keepalives = 0;
    Instant keepaliveTold;
    std::array<TcpStream, 2> streams;
};

/// A flow that may be ESP in UDP without IKE.
struct Suspect {
    std::array<std::uint32_t, 2> spi{};
    std::array<std::uint32_t, 2> sequence{};
};

/// Which client uses an initiator's SPI with which server.
using SpiKey = std::tuple<net::Ipv4Address, std::uint64_t, net::Ipv4Address>;
struct SpiEntry {
    TunnelKey key;
    FlowId ikeFlow = 0;  ///< the flow without marker, usually on port 500; 0: none
};

struct LegacyServer {
    std::uint64_t offeredSpi = 0;
    std::size_t offeredTo = 0;
    Instant offeredAt;
};

/// WireGuard and its relatives begin with a type from 1 to 4 and three octets that are zero or,
/// with Cloudflare, a client's number: types never increase like ESP's sequence numbers, but the
/// plain form is refused at once.
bool looksLikeWireGuard(wire::ConstBytes payload)
{
    return payload.size() >= 32 && payload[0] >= 1 && payload[0] <= 4 && payload[1] == 0 &&
           payload[2] == 0 && payload[3] == 0;
}

std::size_t indexOf(Direction direction)
{
    return static_cast<std::size_t>(direction);
}

bool isInitial(const ike::Header& header)
{
    return header.responderSpi == 0;
}

std::uint64_t fingerprintOf(HashKey seed, wire::ConstBytes message)
{
    std::uint64_t hash = message.size();
    std::size_t at = 0;
    for (; at + 8 <= message.size(); at += 8)
        hash = sipHash(seed, hash, wire::load64(message, at));
    for (; at < message.size(); ++at)
        hash = sipHash(seed, hash, message[at]);
    return hash;
}

}  // namespace

struct IpsecInspector::State {
    State(HashKey key, const policy::PassthroughPolicy& policy)
        : seed(key), switches(policy), resolver(key, policy)
    {}

    HashKey seed;
    const policy::PassthroughPolicy& switches;
    EspResolver resolver;

    std::unordered_map<FlowId, FlowState> flows;
    std::array<std::pair<FlowId, FlowState*>, kRecentFlows> recent{};
    std::map<TunnelKey, Connection> connections;
    std::map<SpiKey, SpiEntry> spis;
    std::map<FlowId, Suspect> suspects;
    std::map<EspPair, LegacyServer> legacyServers;
    std::map<std::pair<net::Ipv4Address, net::Ipv4Address>, Instant> ahTold;
    /// IKE flows without marker per client and pair, so that the last one's end is known.
    std::map<std::pair<EspPair, net::Ipv4Address>, std::uint32_t> resolverFlows;

    // ---- flows -------------------------------------------------------------------------------

    FlowState* find(FlowId id)
    {
        auto& slot = recent[static_cast<std::size_t>(id % kRecentFlows)];
        if (slot.first == id && slot.second != nullptr) return slot.second;
        const auto found = flows.find(id);
        if (found == flows.end()) return nullptr;
        slot = {id, &found->second};
        return slot.second;
    }

    FlowState* begin(Instant now, const Flow& flow, FlowState::Carrier carrier)
    {
        if (flows.size() >= kMostFlows) return nullptr;
        FlowState& state = flows[flow.id];
        state.flow = flow;
        state.carrier = carrier;
        state.since = now;
        return &state;
    }

    static EspPair pairOf(const FlowState& state)
    {
        return {state.flow.external.address, state.flow.remote.address};
    }

    [[nodiscard]] PassthroughMode espMode(const FlowState& state) const
    {
        return switches.modeFor(net::VpnProtocol::IpsecEsp, state.flow.internal.address,
                                state.flow.remote.address);
    }

    // ---- observations ------------------------------------------------------------------------

    static Observation observe(const FlowState& state, Observation::Kind kind)
    {
        Observation observation;
        observation.key = state.key;
        observation.kind = kind;
        return observation;
    }

    static void event(const FlowState& state, EventKind kind, Direction direction, std::uint32_t a,
                      std::uint32_t b, Actions& actions)
    {
        Observation observation = observe(state, Observation::Kind::Event);
        observation.event = kind;
        observation.from = direction == Direction::Outbound ? Lane::Client : Lane::Server;
        observation.to = direction == Direction::Outbound ? Lane::Server : Lane::Client;
        observation.a = a;
        observation.b = b;
        actions.observations.push_back(std::move(observation));
    }

    static void phase(FlowState& state, Phase next, Actions& actions)
    {
        if (state.connection->phase == next) return;
        state.connection->phase = next;
        Observation observation = observe(state, Observation::Kind::Phase);
        observation.phase = next;
        actions.observations.push_back(std::move(observation));
    }

    static void label(FlowState& state, net::VpnProtocol protocol, Confidence confidence,
                      Actions& actions)
    {
        Connection& connection = *state.connection;
        if (connection.labelled && connection.protocol == protocol &&
            connection.confidence >= confidence) {
            return;
        }
        connection.labelled = true;
        connection.protocol = protocol;
        connection.confidence = confidence;
        Observation observation = observe(state, Observation::Kind::Label);
        observation.protocol = protocol;
        observation.confidence = confidence;
        observation.transport = state.flow.protocol;
        observation.server = state.flow.remote;
        observation.external = state.flow.external;
        actions.observations.push_back(std::move(observation));
        Observation passage = observe(state, Observation::Kind::Passage);
        passage.passage = {tunnel::PassageKind::PortTranslated,
                           state.flow.internal.port.hostOrder(),
                           state.flow.external.port.hostOrder()};
        actions.observations.push_back(std::move(passage));
    }

    static void finding(const FlowState& state, FindingKind kind, std::uint32_t a, std::uint32_t b,
                        wire::ConstBytes packet, Actions& actions)
    {
        Observation observation = observe(state, Observation::Kind::Finding);
        observation.finding = kind;
        observation.a = a;
        observation.b = b;
        constexpr std::size_t kProof = 128;
        const auto proof = packet.first(std::min(packet.size(), kProof));
        observation.packet.assign(proof.begin(), proof.end());
        actions.observations.push_back(std::move(observation));
    }

    static void attach(FlowState& state, Actions& actions)
    {
        const Connection& connection = *state.connection;
        Duration idle{0};
        if (state.carrier == FlowState::Carrier::Encapsulated && connection.answered) {
            idle = kEncapsulatedIdle;
        }
        if (state.carrier == FlowState::Carrier::Ike && connection.agreed &&
            connection.protocol == net::VpnProtocol::IpsecEsp) {
            idle = kIkeIdle;
        }
        if (state.attached && state.idle == idle) return;
        state.attached = true;
        state.idle = idle;
        Attachment attachment;
        attachment.flow = state.flow.id;
        attachment.key = state.key;
        attachment.idle = idle;
        if (state.carrier == FlowState::Carrier::Encapsulated) {
            attachment.sequence = tunnel::SequenceKind::EspInUdp;
        }
        actions.attachments.push_back(attachment);
    }

    // ---- naming ------------------------------------------------------------------------------

    void join(FlowState& state, const TunnelKey& key)
    {
        state.key = key;
        state.connection = &connections[key];
        ++state.connection->flows;
    }
    void leave(FlowState& state)
    {
        if (state.connection == nullptr) return;
        if (--state.connection->flows == 0) connections.erase(state.key);
        state.connection = nullptr;
    }

    [[nodiscard]] TunnelKey makeKey(const Flow& flow, std::uint64_t name) const
    {
        const std::uint64_t who = (std::uint64_t{flow.internal.address.hostOrder()} << 16) |
                                  flow.internal.port.hostOrder();
        return {flow.internal.address, flow.remote.address, sipHash(seed, name, who) | 1U};
    }

    /// The flow uses this initiator SPI from now on.
    void remember(FlowState& state, std::uint64_t spi)
    {
        if (state.initiatorSpis.size() >= kMostSpisOfFlow) {
            forget(state, state.initiatorSpis.front());
            state.initiatorSpis.erase(state.initiatorSpis.begin());
        }
        state.initiatorSpis.push_back(spi);
        SpiEntry& entry = spis[{state.flow.remote.address, spi, state.flow.internal.address}];
        entry.key = state.key;
        if (state.carrier == FlowState::Carrier::Ike) entry.ikeFlow = state.flow.id;
    }
    void forget(const FlowState& state, std::uint64_t spi)
    {
        const SpiKey key{state.flow.remote.address, spi, state.flow.internal.address};
        const auto found = spis.find(key);
        if (found == spis.end()) return;
        // A flow that has floated still needs the entry of its first flow.
        if (state.carrier == FlowState::Carrier::Ike && found->second.ikeFlow == state.flow.id) {
            spis.erase(found);
        } else if (found->second.ikeFlow == 0) {
            spis.erase(found);
        }
    }
    [[nodiscard]] static bool knows(const FlowState& state, std::uint64_t spi)
    {
        return std::ranges::find(state.initiatorSpis, spi) != state.initiatorSpis.end();
    }

    /// The only client that uses this SPI with the server, by its flow without marker; null if
    /// there is none or more than one.
    FlowState* ownerOf(net::Ipv4Address server, std::uint64_t spi)
    {
        FlowState* owner = nullptr;
        const SpiKey first{server, spi, net::Ipv4Address{}};
        for (auto it = spis.lower_bound(first); it != spis.end(); ++it) {
            const auto& [address, itsSpi, client] = it->first;
            if (address != server || itsSpi != spi) break;
            if (it->second.ikeFlow == 0) continue;
            if (owner != nullptr) return nullptr;
            owner = find(it->second.ikeFlow);
        }
        return owner;
    }

    void name(FlowState& state, const ike::Header& header, Direction direction, Actions& actions)
    {
        const SpiKey spiKey{state.flow.remote.address, header.initiatorSpi,
                            state.flow.internal.address};
        const auto known = spis.find(spiKey);
        if (known != spis.end()) {
            join(state, known->second.key);
            if (state.carrier == FlowState::Carrier::Encapsulated && known->second.ikeFlow != 0 &&
                !state.connection->floated) {
                state.connection->floated = true;
                event(state, EventKind::FloatedTo4500, direction, 0, 0, actions);
                leaveResolver(known->second.ikeFlow, actions);
                Observation passage = observe(state, Observation::Kind::Passage);
                passage.passage = {tunnel::PassageKind::PortTranslated,
                                   state.flow.internal.port.hostOrder(),
                                   state.flow.external.port.hostOrder()};
                actions.observations.push_back(std::move(passage));
            }
        } else {
            join(state, makeKey(state.flow, header.initiatorSpi));
        }
        remember(state, header.initiatorSpi);
    }

    // ---- the resolver ------------------------------------------------------------------------

    void enterResolver(Instant now, FlowState& state, Actions& actions)
    {
        resolver.ikeSeen(now, pairOf(state), state.flow.internal.address, state.key, actions);
        if (state.inResolver) return;
        state.inResolver = true;
        if (state.connection->roundTrip != Duration{0}) {
            resolver.roundTrip(pairOf(state), state.connection->roundTrip);
        }
        ++resolverFlows[{pairOf(state), state.flow.internal.address}];
    }
    void leaveResolver(FlowId id, Actions& actions)
    {
        FlowState* const state = find(id);
        if (state == nullptr || !state->inResolver) return;
        state->inResolver = false;
        const auto count = resolverFlows.find({pairOf(*state), state->flow.internal.address});
        if (count == resolverFlows.end() || --count->second > 0) return;
        resolverFlows.erase(count);
        resolver.ikeGone(lastNow, pairOf(*state), state->flow.internal.address, actions);
    }
    Instant lastNow;

    /// The NAT may have given the flow another external port.
    void update(FlowState& state, const Flow& flow, Instant now, Actions& actions)
    {
        lastNow = now;
        if (state.flow.external.address != flow.external.address) {
            leaveResolver(state.flow.id, actions);
        }
        state.flow = flow;
    }

    // ---- see below ---------------------------------------------------------------------------

    Attention ikeMessage(Instant now, FlowState& state, Direction direction,
                         const ike::Header& header, wire::ConstBytes message,
                         wire::ConstBytes packet, Actions& actions);
    bool acceptSpi(Instant now, FlowState& state, Direction direction, const ike::Header& header,
                   Actions& actions);
    void count(Instant now, FlowState& state, Direction direction, const ike::Header& header,
               wire::ConstBytes message, wire::ConstBytes packet, Actions& actions);
    void readClear(FlowState& state, Direction direction, const ike::Header& header,
                   wire::ConstBytes message, wire::ConstBytes packet, Actions& actions);
    static QuickStep stepOf(FlowState& state, Direction direction, const ike::Header& header);
    static void advance(FlowState& state, Direction direction, const ike::Header& header,
                        QuickStep step, Actions& actions);
    Attention childSa(Instant now, FlowState& state, Direction direction, const ike::Header& header,
                      QuickStep step, Actions& actions);
    void espSeen(Instant now, FlowState& state, Direction direction, std::uint32_t spi,
                 wire::ConstBytes packet, Actions& actions);
    void findConflicts(Instant now, const FlowState& newer);
    void keepalive(Instant now, FlowState& state, Direction direction, Actions& actions);
    void stream(Instant now, FlowState& state, const Segment& segment, Actions& actions);
    void frame(Instant now, FlowState& state, Direction direction, const TcpStream& stream,
               Actions& actions);

    void learnLegacy(FlowState& state, Actions& actions);
    static void alias(FlowState& state, Actions& actions);
    FlowState* offer(Instant now, EspPair pair, const ike::Header& header);
    PortlessDecision refuseAh(Instant now, Direction direction, const PortlessPacket& packet,
                              Actions& actions);
};

// ---- IKE ----------------------------------------------------------------------------------------

/// Whether the message belongs to an IKE SA of this flow. An inbound message never makes one but
/// when it is a server's first.
bool IpsecInspector::State::acceptSpi(Instant now, FlowState& state, Direction direction,
                                      const ike::Header& header, Actions& actions)
{
    if (state.connection == nullptr) {
        name(state, header, direction, actions);
        state.connection->version = header.version;
        return true;
    }
    if (knows(state, header.initiatorSpi)) return true;
    if (direction == Direction::Inbound && !isInitial(header)) return false;
    if (!isInitial(header)) {
        // The IKE SA itself was rekeyed: that is what the last exchange was about.
        if (state.inResolver && state.lastChildExchange != 0) {
            resolver.noChildSa(now, pairOf(state), state.flow.internal.address,
                               state.lastChildExchange);
        }
    }
    const SpiKey spiKey{state.flow.remote.address, header.initiatorSpi,
                        state.flow.internal.address};
    const auto other = spis.find(spiKey);
    if (other != spis.end() && other->second.key != state.key) {
        // Negotiated anew on another port and floated to this one: the same connection goes on.
        Observation merge = observe(state, Observation::Kind::Merge);
        merge.other = other->second.key;
        actions.observations.push_back(std::move(merge));
        if (FlowState* const first = find(other->second.ikeFlow); first != nullptr) {
            leave(*first);
            join(*first, state.key);
        }
    }
    remember(state, header.initiatorSpi);
    return true;
}

Attention IpsecInspector::State::ikeMessage(Instant now, FlowState& state, Direction direction,
                                            const ike::Header& header, wire::ConstBytes message,
                                            wire::ConstBytes packet, Actions& actions)
{
    if (!acceptSpi(now, state, direction, header, actions)) return kWatch;
    readClear(state, direction, header, message, packet, actions);
    Connection& connection = *state.connection;
    if (direction != state.flow.initiator) {
        connection.answered = true;
        const bool opening =
            header.exchange == Exchange::SaInit || header.exchange == Exchange::Main ||
            header.exchange == Exchange::Aggressive || header.exchange == Exchange::Informational1;
        connection.settled = connection.settled || !opening || header.isEncrypted1();
    }
    if (!connection.labelled) {
        const bool natTraversal = state.carrier != FlowState::Carrier::Ike ||
                                  connection.offersNatTraversal[0] ||
                                  connection.offersNatTraversal[1];
        label(state, natTraversal ? net::VpnProtocol::IpsecNatT : net::VpnProtocol::IpsecEsp,
              Confidence::Likely, actions);
    }
    // The other side's echo of the SPI is the second evidence.
    if (connection.answered && connection.settled) {
        const bool natTraversal = state.carrier != FlowState::Carrier::Ike || connection.floated ||
                                  connection.bothOfferNatTraversal;
        label(state, natTraversal ? net::VpnProtocol::IpsecNatT : net::VpnProtocol::IpsecEsp,
              Confidence::Certain, actions);
    }
    count(now, state, direction, header, message, packet, actions);
    const QuickStep step = stepOf(state, direction, header);
    advance(state, direction, header, step, actions);
    Attention attention = kWatch;
    if (state.carrier == FlowState::Carrier::Ike) {
        if (state.flow.remote.port.hostOrder() == ike::kPort && !state.aliased &&
            direction == Direction::Outbound && legacyServers.contains(pairOf(state))) {
            alias(state, actions);
        }
        attention = childSa(now, state, direction, header, step, actions);
    }
    attach(state, actions);
    return attention;
}

QuickStep IpsecInspector::State::stepOf(FlowState& state, Direction direction,
                                        const ike::Header& header)
{
    if (header.exchange != Exchange::Quick) return QuickStep::None;
    const auto known = std::ranges::find(state.quickModes, header.messageId, &QuickMode::messageId);
    if (known == state.quickModes.end()) {
        if (state.quickModes.size() >= kMostOutstanding) {
            state.quickModes.erase(state.quickModes.begin());
        }
        state.quickModes.push_back({header.messageId, direction, false});
        return QuickStep::First;
    }
    if (known->initiator != direction) {
        known->answered = true;
        return QuickStep::Second;
    }
    return known->answered ? QuickStep::Third : QuickStep::First;
}

/// Retransmissions, round trips and the silence of servers.
void IpsecInspector::State::count(Instant now, FlowState& state, Direction direction,
                                  const ike::Header& header, wire::ConstBytes message,
                                  wire::ConstBytes packet, Actions& actions)
{
    const std::uint64_t fingerprint = fingerprintOf(seed, message);
    const auto sameSent = [&](const Outstanding& sent) {
        return sent.direction == direction && sent.messageId == header.messageId &&
               sent.exchange == header.exchange && sent.fingerprint == fingerprint;
    };
    const auto again = std::ranges::find_if(state.outstanding, sameSent);
    if (again != state.outstanding.end()) {
        ++again->sent;
        Observation observation = observe(state, Observation::Kind::Retransmit);
        observation.a = static_cast<std::uint32_t>(header.exchange);
        actions.observations.push_back(std::move(observation));
        event(state, EventKind::Retransmitted, direction,
              static_cast<std::uint32_t>(header.exchange), header.messageId, actions);
        Connection& connection = *state.connection;
        if (direction == Direction::Outbound && again->sent >= kUnanswered &&
            !connection.unanswered) {
            connection.unanswered = true;
            const bool large = message.size() >= kLargeMessage && connection.answered;
            const bool only500 = state.carrier == FlowState::Carrier::Encapsulated &&
                                 connection.floated && state.inboundSpi == 0 && !connection.agreed;
            const FindingKind kind = large     ? FindingKind::FragmentsLost
                                     : only500 ? FindingKind::Port4500NeverSeen
                                               : FindingKind::NoAnswerFromServer;
            finding(state, kind, again->sent, static_cast<std::uint32_t>(message.size()), packet,
                    actions);
        }
        return;
    }
    if (header.exchange != Exchange::Informational1 &&
        header.exchange != Exchange::Informational2) {
        event(state, EventKind::KeyExchange, direction, static_cast<std::uint32_t>(header.exchange),
              header.messageId, actions);
    }
    const auto asked = std::ranges::find_if(state.outstanding, [&](const Outstanding& sent) {
        return sent.direction != direction && sent.messageId == header.messageId &&
               sent.exchange == header.exchange;
    });
    const bool answers = header.version == Version::V1 || header.isResponse();
    if (answers && asked != state.outstanding.end()) {
        if (asked->sent == 1 && direction == Direction::Inbound) {
            Observation observation = observe(state, Observation::Kind::RoundTrip);
            observation.duration = now - asked->at;
            actions.observations.push_back(std::move(observation));
            Duration& shortest = state.connection->roundTrip;
            if (shortest == Duration{0} || now - asked->at < shortest) shortest = now - asked->at;
            if (state.inResolver) resolver.roundTrip(pairOf(state), shortest);
        }
        if (direction == Direction::Inbound) state.connection->unanswered = false;
        state.outstanding.erase(asked);
    }
    if (header.isResponse()) return;
    if (state.outstanding.size() >= kMostOutstanding) {
        state.outstanding.erase(state.outstanding.begin());
    }
    state.outstanding.push_back(
        {header.messageId, fingerprint, header.exchange, direction, now, 1});
}

void IpsecInspector::State::readClear(FlowState& state, Direction direction,
                                      const ike::Header& header, wire::ConstBytes message,
                                      wire::ConstBytes packet, Actions& actions)
{
    const bool shows = header.exchange == Exchange::SaInit ||
                       (header.version == Version::V1 && !header.isEncrypted1());
    if (!shows) return;
    const ike::ClearPayloads clear = ike::readClearPayloads(header, message);
    Connection& connection = *state.connection;
    const bool inbound = direction == Direction::Inbound;
    const bool responds = direction != state.flow.initiator;
    if (connection.product == ike::Product::Unknown && clear.product != ike::Product::Unknown) {
        connection.product = clear.product;
        Observation observation = observe(state, Observation::Kind::Product);
        observation.text = ike::nameOf(clear.product);
        actions.observations.push_back(std::move(observation));
    }
    if (clear.offersNatTraversal || clear.hasNatDetection) {
        connection.offersNatTraversal[indexOf(direction)] = true;
        connection.bothOfferNatTraversal =
            connection.offersNatTraversal[0] && connection.offersNatTraversal[1];
    }
    // Version 1 hashes with what was negotiated; only SHA-1 is recomputed.
    const bool comparable = header.version == Version::V2 || connection.hash == kHashSha1;
    if (inbound && clear.destinationHash && comparable && !connection.upstreamNat &&
        !state.aliased &&
        *clear.destinationHash != ike::natDetectionHash(header, state.flow.external)) {
        connection.upstreamNat = true;
        finding(state, FindingKind::UpstreamNat, state.flow.external.address.hostOrder(),
                state.flow.external.port.hostOrder(), packet, actions);
    }
    if (!responds) return;
    if (clear.hasProposal) connection.settled = true;
    if (clear.hasProposal && header.version == Version::V1) {
        connection.hash = clear.proposal.integrity;
    }
    if (clear.hasProposal && !connection.weak && ike::isWeak(header.version, clear.proposal)) {
        connection.weak = true;
        finding(state, FindingKind::WeakCrypto, clear.proposal.encryption, clear.proposal.group,
                packet, actions);
    }
    if (clear.hasNatDetection && connection.bothOfferNatTraversal &&
        connection.phase <= Phase::Handshaking) {
        event(state, EventKind::NatDetected, direction, 0, 0, actions);
    }
    // Notices in clear are not authenticated: they explain a failure, they never end what works.
    if (clear.error == 0 || connection.agreed) return;
    if (clear.error == ike::kInvalidKePayload && header.version == Version::V2) return;
    event(state, EventKind::ControlMessage, direction, static_cast<std::uint32_t>(header.exchange),
          clear.error, actions);
    if (clear.error == ike::kAuthenticationFailed) {
        event(state, EventKind::AuthenticationFailed, direction, clear.error, 0, actions);
        finding(state, FindingKind::AuthenticationRefused, clear.error, 0, packet, actions);
    }
    if (clear.error == ike::kNoProposalChosen || clear.error == ike::kInvalidSyntax ||
        clear.error == ike::kAuthenticationFailed) {
        connection.phase = Phase::Failed;
        connection.labelled = false;  // the next attempt is told anew
        connection.confidence = Confidence::Guess;
        Observation ended = observe(state, Observation::Kind::Ended);
        ended.phase = Phase::Failed;
        ended.event = EventKind::PeerClosed;
        ended.a = clear.error;
        actions.observations.push_back(std::move(ended));
    }
}

/// How far the negotiation has come, from the kinds of its messages.
void IpsecInspector::State::advance(FlowState& state, Direction direction,
                                    const ike::Header& header, QuickStep step, Actions& actions)
{
    Connection& connection = *state.connection;
    const bool inbound = direction == Direction::Inbound;
    if (connection.phase == Phase::Failed && inbound) return;
    switch (header.exchange) {
    case Exchange::SaInit:
    case Exchange::Main:
    case Exchange::Aggressive:
    case Exchange::SessionResume:
    case Exchange::Intermediate:
        if (connection.agreed) {
            if (isInitial(header)) phase(state, Phase::Rekeying, actions);
        } else {
            phase(state,
                  header.isEncrypted1() && !inbound           ? Phase::Authenticating
                  : connection.phase == Phase::Authenticating ? Phase::Authenticating
                                                              : Phase::Handshaking,
                  actions);
        }
        return;
    case Exchange::Auth:
    case Exchange::Transaction:
    case Exchange::AuthenticationOnly:
        if (connection.agreed && connection.phase != Phase::Rekeying) return;
        if (header.exchange == Exchange::Auth && header.isResponse()) {
            phase(state, connection.agreed ? Phase::Established : Phase::Establishing, actions);
            connection.agreed = true;
        } else if (!connection.agreed) {
            phase(state, Phase::Authenticating, actions);
        }
        return;
    case Exchange::Quick:
        if (!connection.agreed) {
            phase(state, Phase::Establishing, actions);
            connection.agreed = step == QuickStep::Second;
        } else if (step == QuickStep::First && connection.phase == Phase::Established) {
            phase(state, Phase::Rekeying, actions);
        } else if (step == QuickStep::Third && connection.phase == Phase::Rekeying) {
            phase(state, Phase::Established, actions);
        }
        return;
    case Exchange::CreateChildSa:
    case Exchange::FollowupKe:
        if (header.isResponse()) {
            phase(state, Phase::Established, actions);
        } else if (connection.phase == Phase::Established) {
            phase(state, Phase::Rekeying, actions);
        }
        return;
    case Exchange::Informational1:
    case Exchange::Informational2:
    case Exchange::NewGroup: return;
    }
}

/// Tells the resolver when a child SA comes into being, and holds a message if it says so.
Attention IpsecInspector::State::childSa(Instant now, FlowState& state, Direction direction,
                                         const ike::Header& header, QuickStep step,
                                         Actions& actions)
{
    using Agreement = EspResolver::Agreement;
    const EspPair pair = pairOf(state);
    const net::Ipv4Address client = state.flow.internal.address;
    const bool outbound = direction == Direction::Outbound;
    if (header.exchange == Exchange::Informational1 ||
        header.exchange == Exchange::Informational2) {
        if (outbound && state.inResolver) resolver.complained(now, pair, client);
        return kWatch;
    }
    bool completing = false;  // this message, once there, lets the server make the SA
    bool complete = false;
    std::uint64_t exchange = sipHash(seed, header.initiatorSpi, header.messageId) | 1U;
    switch (header.exchange) {
    case Exchange::Auth:
        exchange = sipHash(seed, header.initiatorSpi, 0) | 1U;
        completing = outbound;
        complete = header.isResponse();
        break;
    case Exchange::CreateChildSa:
    case Exchange::FollowupKe:
        completing = outbound;
        complete = header.isResponse();
        break;
    case Exchange::Quick:
        if (step == QuickStep::First) return kWatch;
        completing = outbound;
        complete = true;
        break;
    case Exchange::Main:
    case Exchange::AuthenticationOnly:
    case Exchange::Aggressive:
    case Exchange::Informational1:
    case Exchange::Transaction:
    case Exchange::NewGroup:
    case Exchange::SaInit:
    case Exchange::Informational2:
    case Exchange::SessionResume:
    case Exchange::Intermediate: return kWatch;
    }
    // A server's request says nothing yet.
    if (!completing && !complete) return kWatch;
    if (state.connection->floated) return kWatch;
    // Negotiated on this port after all: its ESP will travel plain.
    state.connection->bothOfferNatTraversal = false;
    label(state, net::VpnProtocol::IpsecEsp, Confidence::Certain, actions);
    enterResolver(now, state, actions);
    if (!state.inResolver || espMode(state) != PassthroughMode::Assist) return kWatch;
    state.lastChildExchange = exchange;
    std::optional<std::uint32_t> token;
    if (completing) token = resolver.gate(now, pair, client, exchange, actions);
    resolver.childSa(now, pair, client, exchange,
                     complete ? Agreement::Complete : Agreement::Possible);
    if (!token) return kWatch;
    return {.next = Attention::Next::Watch,
            .fate = Attention::Fate::Hold,
            .reason = DropReason::IkeHeld,
            .holdToken = *token};
}

// ---- ESP in UDP or TCP --------------------------------------------------------------------------

void IpsecInspector::State::espSeen(Instant now, FlowState& state, Direction direction,
                                    std::uint32_t spi, wire::ConstBytes packet, Actions& actions)
{
    if (state.connection == nullptr) {
        // No IKE was seen: another control channel, or one that began before us.
        join(state, makeKey(state.flow, 0));
        label(state, net::VpnProtocol::IpsecNatT, Confidence::Likely, actions);
        attach(state, actions);
    }
    Connection& connection = *state.connection;
    if (direction == Direction::Outbound) {
        ++state.outboundSinceInbound;
        if (state.conflictSince != Instant{} && state.outboundSinceInbound >= 5 &&
            now - state.lastInboundEsp > kConflictSilence &&
            state.lastInboundEsp - state.conflictSince < kConflictTime) {
            finding(state, FindingKind::ServerAllowsOneClient, state.outboundSinceInbound, 0,
                    packet, actions);
            state.conflictSince = Instant{};
        }
        if (spi == state.outboundSpi) return;
        if (state.outboundSpi == 0) {
            event(state, EventKind::DataFirstOutbound, direction, spi, 0, actions);
        } else {
            ++connection.rekeys;
            actions.observations.push_back(observe(state, Observation::Kind::Rekey));
            event(state, EventKind::Rekeyed, direction, connection.rekeys, 0, actions);
        }
        state.outboundSpi = spi;
    } else {
        state.lastInboundEsp = now;
        state.outboundSinceInbound = 0;
        if (spi == state.inboundSpi) return;
        if (state.inboundSpi == 0) {
            event(state, EventKind::DataFirstInbound, direction, spi, 0, actions);
            findConflicts(now, state);
        }
        state.inboundSpi = spi;
        connection.answered = true;
        attach(state, actions);
    }
    if (state.outboundSpi != 0 && state.inboundSpi != 0) {
        connection.agreed = true;
        phase(state, Phase::Established, actions);
    }
}

/// RFC 3948 §5.2: some servers mix up several clients of one address in transport mode, as Windows
/// uses for L2TP. The older tunnel goes silent when the newer comes up.
void IpsecInspector::State::findConflicts(Instant now, const FlowState& newer)
{
    const auto suspicious = [](const FlowState& state) {
        return state.carrier == FlowState::Carrier::Encapsulated && state.connection != nullptr &&
               state.connection->version == Version::V1 &&
               state.connection->product == ike::Product::Windows;
    };
    if (!suspicious(newer)) return;
    for (auto& [id, state] : flows) {
        if (state.flow.remote.address == newer.flow.remote.address && suspicious(state) &&
            state.inboundSpi != 0 && state.key != newer.key &&
            state.flow.internal.address != newer.flow.internal.address) {
            state.conflictSince = now;
        }
    }
}

void IpsecInspector::State::keepalive(Instant now, FlowState& state, Direction direction,
                                      Actions& actions)
{
    if (state.connection == nullptr) return;
    ++state.keepalives;
    if (state.keepalives > 1 && now - state.keepaliveTold < kKeepaliveTold) return;
    state.keepaliveTold = now;
    event(state, EventKind::Keepalive, direction, state.keepalives, 0, actions);
}

// ---- IKE and ESP over TCP -----------------------------------------------------------------------

void IpsecInspector::State::stream(Instant now, FlowState& state, const Segment& segment,
                                   Actions& actions)
{
    TcpStream& stream = state.streams[indexOf(segment.direction)];
    if (stream.lost || segment.payload.empty()) return;
    constexpr std::uint8_t kSyn = 2;
    const std::uint32_t sequence = segment.sequence + ((segment.tcpFlags & kSyn) != 0 ? 1U : 0U);
    if (!stream.started) {
        stream.started = true;
        stream.next = sequence;
        if (segment.direction == state.flow.initiator) stream.prefix = kTcpPrefix.size();
    }
    const std::uint32_t old = stream.next - sequence;
    if (old > 0x7fffffffU) {
        stream.lost = true;  // a hole: frame boundaries are gone
        return;
    }
    if (old >= segment.payload.size()) return;  // seen before
    wire::ConstBytes rest = segment.payload.subspan(old);
    stream.next += static_cast<std::uint32_t>(rest.size());
    const auto take = [&rest](std::size_t most) {
        const std::size_t taken = std::min(most, rest.size());
        rest = rest.subspan(taken);
        return taken;
    };
    while (!rest.empty()) {
        if (stream.prefix > 0) {
            stream.prefix -= take(stream.prefix);
            continue;
        }
        if (stream.skip > 0) {
            stream.skip -= take(stream.skip);
            continue;
        }
        // The length, then as much of the content as an IKE header needs.
        const std::size_t wanted =
            stream.filled < 2 ? 2 : std::min(stream.size, stream.octets.size());
        const wire::ConstBytes source = rest;
        const std::size_t taken = take(wanted - stream.filled);
        std::copy_n(source.begin(), taken,
                    stream.octets.begin() + static_cast<std::ptrdiff_t>(stream.filled));
        stream.filled += taken;
        if (stream.filled < wanted) return;
        if (wanted == 2) {
            stream.size = wire::load16(stream.octets, 0);
            if (stream.size < 2) {
                stream.lost = true;
                return;
            }
            if (stream.size > 2) continue;
        } else {
            frame(now, state, segment.direction, stream, actions);
            stream.skip = stream.size - stream.filled;
        }
        stream.filled = 0;
        stream.size = 0;
    }
}

void IpsecInspector::State::frame(Instant now, FlowState& state, Direction direction,
                                  const TcpStream& stream, Actions& actions)
{
    const wire::ConstBytes content = wire::ConstBytes{stream.octets}.subspan(2, stream.filled - 2);
    if (content.size() < 8) return;
    const std::uint32_t spi = wire::load32(content, 0);
    if (spi != 0) {
        if (spi >= 256) espSeen(now, state, direction, spi, {}, actions);
        return;
    }
    const wire::ConstBytes message = content.subspan(ike::kMarkerSize);
    const auto header = ike::parseHeader(message, stream.size - 2 - ike::kMarkerSize);
    if (header) ikeMessage(now, state, direction, *header, message, {}, actions);
}

// ---- servers that insist on port 500 ------------------------------------------------------------

void IpsecInspector::State::alias(FlowState& state, Actions& actions)
{
    state.aliased = true;
    UdpAlias wish;
    wish.flow = state.flow.id;
    wish.remotePort = state.flow.remote.port;
    wish.externalPort = net::Port{ike::kPort};
    wish.sendFromExternalPort = true;
    actions.aliases.push_back(wish);
    event(state, EventKind::LegacyPort500, Direction::Inbound, 0, 0, actions);
    Observation passage = observe(state, Observation::Kind::Passage);
    passage.passage = {tunnel::PassageKind::CookieMatched, state.flow.internal.port.hostOrder(),
                       ike::kPort};
    actions.observations.push_back(std::move(passage));
}

/// A server that follows RFC 7296 §2.11 or RFC 3947 answers to the port it was asked from; this one
/// has answered to 500 instead.
void IpsecInspector::State::learnLegacy(FlowState& state, Actions& actions)
{
    const EspPair pair = pairOf(state);
    if (!legacyServers.contains(pair)) {
        if (legacyServers.size() >= kMostLegacyServers) return;
        legacyServers.emplace(pair, LegacyServer{});
        std::vector<FlowId> siblings;
        for (const auto& [id, other] : flows) {
            if (other.carrier == FlowState::Carrier::Ike && !other.aliased &&
                other.connection != nullptr && pairOf(other) == pair &&
                other.flow.remote.port.hostOrder() == ike::kPort) {
                siblings.push_back(id);
            }
        }
        std::ranges::sort(siblings);
        for (const FlowId id : siblings) {
            if (FlowState* const sibling = find(id)) alias(*sibling, actions);
        }
        return;
    }
    if (!state.aliased) alias(state, actions);
}

/// A server begins by itself, with an SPI nobody knows: the client whose IKE is oldest is asked
/// first, and the next one after three seconds without an answer.
FlowState* IpsecInspector::State::offer(Instant now, EspPair pair, const ike::Header& header)
{
    const auto server = legacyServers.find(pair);
    if (server == legacyServers.end() || !isInitial(header)) return nullptr;
    std::vector<FlowState*> owners;
    for (auto& [id, state] : flows) {
        if (state.carrier == FlowState::Carrier::Ike && pairOf(state) == pair &&
            state.connection != nullptr && state.connection->answered) {
            owners.push_back(&state);
        }
    }
    if (owners.empty()) return nullptr;
    std::ranges::sort(owners, [](const FlowState* a, const FlowState* b) {
        return std::pair{a->since, a->flow.id} < std::pair{b->since, b->flow.id};
    });
    LegacyServer& legacy = server->second;
    if (legacy.offeredSpi != header.initiatorSpi) {
        legacy = {header.initiatorSpi, 0, now};
    } else if (now - legacy.offeredAt >= kOfferTime) {
        ++legacy.offeredTo;
        legacy.offeredAt = now;
    }
    return owners[legacy.offeredTo % owners.size()];
}

// ---- AH -----------------------------------------------------------------------------------------

/// RFC 4302 §3.3.3.1: the integrity check covers the addresses.
PortlessDecision IpsecInspector::State::refuseAh(Instant now, Direction direction,
                                                 const PortlessPacket& packet, Actions& actions)
{
    PortlessDecision decision;
    decision.kind = PortlessDecision::Kind::Drop;
    decision.reason = DropReason::AhUntranslatable;
    if (direction == Direction::Inbound) return decision;
    std::erase_if(ahTold, [&](const auto& told) { return now - told.second >= kAhTold; });
    const std::pair who{packet.internal, packet.remote};
    if (ahTold.contains(who) || ahTold.size() >= kMostAhPairs) return decision;
    ahTold.emplace(who, now);
    const std::uint32_t spi = packet.payload.size() >= 12 ? wire::load32(packet.payload, 4) : 0;
    Observation label;
    label.key = {packet.internal, packet.remote,
                 sipHash(seed, packet.external.hostOrder(), 0x4148U) | 1U};
    label.kind = Observation::Kind::Label;
    label.protocol = net::VpnProtocol::Ah;
    label.confidence = Confidence::Certain;
    label.transport = net::IpProtocol::Ah;
    label.server = {packet.remote, net::Port{0}};
    label.external = {packet.external, net::Port{0}};
    Observation cause = label;
    cause.kind = Observation::Kind::Finding;
    cause.finding = FindingKind::AhCannotPass;
    cause.a = spi;
    const auto proof = packet.packet.first(std::min<std::size_t>(packet.packet.size(), 128));
    cause.packet.assign(proof.begin(), proof.end());
    Observation ended = label;
    ended.kind = Observation::Kind::Ended;
    ended.phase = Phase::Failed;
    ended.event = EventKind::FindingRaised;
    ended.a = static_cast<std::uint32_t>(FindingKind::AhCannotPass);
    actions.observations.push_back(std::move(label));
    actions.observations.push_back(std::move(cause));
    actions.observations.push_back(std::move(ended));
    return decision;
}

// ---- the inspector ------------------------------------------------------------------------------

namespace {

/// How long the UDP payload is. A first fragment shows its beginning only; IKE_AUTH with
/// certificates often comes in several.
std::size_t datagramSizeOf(const Segment& segment)
{
    const wire::ConstBytes packet = segment.packet;
    if (packet.size() < 28 || (packet[6] & 0x20U) == 0) return segment.payload.size();
    const std::size_t header = std::size_t{packet[0] & 15U} * 4;
    if (packet[0] >> 4 != 4 || header + 8 + segment.payload.size() != packet.size()) {
        return segment.payload.size();
    }
    return std::max<std::size_t>(wire::load16(packet, header + 4), 8) - 8;
}

}  // namespace

IpsecInspector::IpsecInspector(HashKey seed, const policy::PassthroughPolicy& policy)
    : m_state(std::make_unique<State>(seed, policy))
{}
IpsecInspector::~IpsecInspector() = default;

Inspector::Claim IpsecInspector::consider(Instant now, const Flow& flow, const Segment& segment)
{
    State& state = *m_state;
    const wire::ConstBytes payload = segment.payload;
    const std::size_t size = datagramSizeOf(segment);
    if (flow.protocol == net::IpProtocol::Tcp) {
        if (payload.empty()) return Claim::Undecided;
        // The prefix is never cut in practice; if it is, the flow is ordinary TCP to us.
        if (segment.direction != flow.initiator || payload.size() < kTcpPrefix.size() ||
            !std::equal(kTcpPrefix.begin(), kTcpPrefix.end(), payload.begin())) {
            return Claim::NotMine;
        }
        return state.begin(now, flow, FlowState::Carrier::Tcp) != nullptr ? Claim::Claimed
                                                                          : Claim::NotMine;
    }
    if (flow.protocol != net::IpProtocol::Udp) return Claim::NotMine;
    // The receiver's half of a hairpinned flow: the caller's half is looked at already, and the
    // same cookies and SPIs at the same pair of addresses would make the receiver a second client.
    if (flow.initiator == Direction::Inbound && flow.remote.address == flow.external.address) {
        return Claim::NotMine;
    }
    if (payload.empty()) return Claim::Undecided;

    const auto isPort = [&](std::uint16_t port) {
        return flow.remote.port.hostOrder() == port || flow.internal.port.hostOrder() == port;
    };
    const bool usual = isPort(ike::kPort) || isPort(ike::kNatTraversalPort);
    // Away from its ports only a first message counts: it has one more field that must be zero.
    if (const auto header = ike::parseHeader(payload, size);
        header && (usual || isInitial(*header))) {
        return state.begin(now, flow, FlowState::Carrier::Ike) != nullptr ? Claim::Claimed
                                                                          : Claim::NotMine;
    }
    switch (ike::classifyEncapsulated(payload, size)) {
    case ike::Encapsulated::Ike: {
        const auto header =
            ike::parseHeader(payload.subspan(ike::kMarkerSize), size - ike::kMarkerSize);
        if (!usual && (!header || !isInitial(*header))) return Claim::NotMine;
        state.suspects.erase(flow.id);
        return state.begin(now, flow, FlowState::Carrier::Encapsulated) != nullptr ? Claim::Claimed
                                                                                   : Claim::NotMine;
    }
    case ike::Encapsulated::Keepalive:
        return isPort(ike::kNatTraversalPort) ? Claim::Undecided : Claim::NotMine;
    case ike::Encapsulated::Other: return Claim::NotMine;
    case ike::Encapsulated::Esp: break;
    }
    // GlobalProtect's ESP has no IKE and is told by its own recogniser.
    if (!isPort(ike::kNatTraversalPort)) return Claim::NotMine;
    if (looksLikeWireGuard(payload)) return Claim::NotMine;
    const auto known = state.suspects.find(flow.id);
    if (known == state.suspects.end() && state.suspects.size() >= kMostSuspects) {
        return Claim::NotMine;
    }
    Suspect& suspect = known == state.suspects.end() ? state.suspects[flow.id] : known->second;
    const std::size_t way = indexOf(segment.direction);
    const std::uint32_t spi = wire::load32(payload, 0);
    const std::uint32_t sequence = wire::load32(payload, 4);
    const std::uint32_t ahead = sequence - suspect.sequence[way];
    const bool continues = suspect.spi[way] == spi && ahead >= 1 && ahead <= 32;
    suspect.spi[way] = spi;
    suspect.sequence[way] = sequence;
    if (!continues) return Claim::Undecided;
    state.suspects.erase(flow.id);
    return state.begin(now, flow, FlowState::Carrier::Encapsulated) != nullptr ? Claim::Claimed
                                                                               : Claim::NotMine;
}

Attention IpsecInspector::inspect(Instant now, const Flow& flow, const Segment& segment,
                                  Actions& actions)
{
    State& state = *m_state;
    FlowState* const known = state.find(flow.id);
    if (known == nullptr) return kIgnore;
    const wire::ConstBytes payload = segment.payload;
    const std::size_t size = datagramSizeOf(segment);
    if (known->carrier == FlowState::Carrier::Tcp) {
        state.stream(now, *known, segment, actions);
        const bool lost = std::ranges::all_of(known->streams, &TcpStream::lost);
        return lost ? kIgnore : kWatch;
    }
    if (known->carrier == FlowState::Carrier::Encapsulated) {
        switch (ike::classifyEncapsulated(payload, size)) {
        case ike::Encapsulated::Esp:
            state.espSeen(now, *known, segment.direction, wire::load32(payload, 0), segment.packet,
                          actions);
            return kWatch;
        case ike::Encapsulated::Keepalive:
            state.keepalive(now, *known, segment.direction, actions);
            return kWatch;
        case ike::Encapsulated::Other: return kWatch;
        case ike::Encapsulated::Ike: break;
        }
        state.update(*known, flow, now, actions);
        const wire::ConstBytes message = payload.subspan(ike::kMarkerSize);
        const auto header = ike::parseHeader(message, size - ike::kMarkerSize);
        if (!header) return kWatch;
        return state.ikeMessage(now, *known, segment.direction, *header, message, segment.packet,
                                actions);
    }
    const auto header = ike::parseHeader(payload, size);
    if (!header) {
        // ESP and IKE with marker may follow on the same flow (a client that starts on 4500).
        const auto kind = ike::classifyEncapsulated(payload, size);
        const bool encapsulated =
            flow.remote.port.hostOrder() != ike::kPort &&
            (kind == ike::Encapsulated::Ike || kind == ike::Encapsulated::Esp);
        if (encapsulated) known->carrier = FlowState::Carrier::Encapsulated;
        return kWatch;
    }
    state.update(*known, flow, now, actions);
    const bool stranger = known->connection != nullptr && segment.direction == Direction::Inbound &&
                          !State::knows(*known, header->initiatorSpi);
    if (stranger && flow.remote.port.hostOrder() == ike::kPort &&
        flow.external.port.hostOrder() == ike::kPort) {
        FlowState* owner = state.ownerOf(flow.remote.address, header->initiatorSpi);
        const bool answers = owner != nullptr;
        if (owner == nullptr) owner = state.offer(now, State::pairOf(*known), *header);
        // Offered to this client: what it answers makes the SPI its own.
        if (owner == known) return kWatch;
        if (owner != nullptr && owner != known && State::pairOf(*owner) == State::pairOf(*known)) {
            if (answers) {
                state.ikeMessage(now, *owner, segment.direction, *header, payload, segment.packet,
                                 actions);
                state.learnLegacy(*owner, actions);
            }
            return {.next = Attention::Next::Watch, .redirect = owner->flow.id};
        }
    }
    return state.ikeMessage(now, *known, segment.direction, *header, payload, segment.packet,
                            actions);
}

void IpsecInspector::flowClosed(Instant now, FlowId flow, FlowEnd, Actions& actions)
{
    State& state = *m_state;
    state.suspects.erase(flow);
    state.lastNow = now;
    FlowState* const known = state.find(flow);
    if (known == nullptr) return;
    state.leaveResolver(flow, actions);
    if (known->connection != nullptr) {
        if (!known->connection->answered && known->connection->flows == 1) {
            Observation ended = State::observe(*known, Observation::Kind::Ended);
            ended.phase = Phase::Failed;
            ended.event = EventKind::TimedOut;
            actions.observations.push_back(std::move(ended));
        }
        for (const std::uint64_t spi : known->initiatorSpis)
            state.forget(*known, spi);
        state.leave(*known);
    }
    state.recent[static_cast<std::size_t>(flow % kRecentFlows)] = {};
    state.flows.erase(flow);
}

bool IpsecInspector::owns(net::IpProtocol protocol, wire::ConstBytes) const
{
    return protocol == net::IpProtocol::Esp || protocol == net::IpProtocol::Ah;
}

PortlessDecision IpsecInspector::decide(Instant now, net::Direction direction,
                                        const PortlessPacket& packet, Actions& actions)
{
    if (packet.protocol == net::IpProtocol::Ah) {
        return m_state->refuseAh(now, direction, packet, actions);
    }
    return m_state->resolver.decide(now, direction, packet, actions);
}

Attention IpsecInspector::inspectPortless(Instant now, net::Direction direction,
                                          const PortlessPacket& packet, Actions& actions)
{
    if (packet.protocol != net::IpProtocol::Esp) return kIgnore;
    return m_state->resolver.watch(now, direction, packet, actions);
}

void IpsecInspector::bindingClosed(Instant now, const PortlessBinding& binding, FlowEnd, Actions&)
{
    if (binding.protocol != net::IpProtocol::Esp) return;
    m_state->resolver.bindingClosed(now, binding);
}

std::optional<UdpRedirect> IpsecInspector::unmatchedUdp(Instant now, net::Endpoint external,
                                                        net::Endpoint remote,
                                                        wire::ConstBytes payload, Actions& actions)
{
    if (external.port.hostOrder() != ike::kPort) return std::nullopt;
    const auto header = ike::parseHeader(payload);
    if (!header) return std::nullopt;
    State& state = *m_state;
    state.lastNow = now;
    FlowState* owner = state.ownerOf(remote.address, header->initiatorSpi);
    if (owner == nullptr) {
        owner = state.offer(now, {external.address, remote.address}, *header);
        if (owner == nullptr) return std::nullopt;
        return UdpRedirect{owner->flow.id};
    }
    if (owner->flow.external.address != external.address) return std::nullopt;
    state.ikeMessage(now, *owner, Direction::Inbound, *header, payload, {}, actions);
    state.learnLegacy(*owner, actions);
    return UdpRedirect{owner->flow.id};
}

void IpsecInspector::portlessRefused(Instant now, const PortlessPacket& packet, Actions& actions)
{
    if (packet.protocol != net::IpProtocol::Esp || packet.payload.size() < 4) return;
    m_state->resolver.refused(now, {packet.external, packet.remote}, packet.internal,
                              wire::load32(packet.payload, 0), actions);
}

void IpsecInspector::save(StateWriter& out) const
{
    const State& state = *m_state;
    state.resolver.save(out);
    std::vector<const FlowState*> saved;
    for (const auto& [id, flow] : state.flows) {
        // Over TCP the position in the stream is what counts, and it has moved.
        if (flow.connection != nullptr && flow.carrier != FlowState::Carrier::Tcp) {
            saved.push_back(&flow);
        }
    }
    std::ranges::sort(saved, {}, [](const FlowState* flow) { return flow->flow.id; });
    out.u32(static_cast<std::uint32_t>(saved.size()));
    for (const FlowState* const flow : saved) {
        out.u64(flow->flow.id);
        out.u8(static_cast<std::uint8_t>(flow->carrier));
        tunnel::save(out, flow->key);
        out.u64(static_cast<std::uint64_t>(flow->idle.count()));
        out.flag(flow->attached);
        out.flag(flow->inResolver);
        out.flag(flow->aliased);
        tunnel::save(out, flow->since);
        out.u32(flow->outboundSpi);
        out.u32(flow->inboundSpi);
        out.u32(flow->keepalives);
        out.u32(static_cast<std::uint32_t>(flow->initiatorSpis.size()));
        for (const std::uint64_t spi : flow->initiatorSpis)
            out.u64(spi);
        const Connection& connection = *flow->connection;
        out.u8(static_cast<std::uint8_t>(connection.protocol));
        out.u8(static_cast<std::uint8_t>(connection.confidence));
        out.u8(static_cast<std::uint8_t>(connection.phase));
        out.u8(static_cast<std::uint8_t>(connection.version));
        out.u8(static_cast<std::uint8_t>(connection.product));
        out.u16(connection.hash);
        out.u32(connection.rekeys);
        out.u64(static_cast<std::uint64_t>(connection.roundTrip.count()));
        for (const bool fact : {connection.labelled, connection.bothOfferNatTraversal,
                                connection.answered, connection.settled, connection.agreed,
                                connection.upstreamNat, connection.weak, connection.floated}) {
            out.flag(fact);
        }
    }
    out.u32(static_cast<std::uint32_t>(state.legacyServers.size()));
    for (const auto& [pair, server] : state.legacyServers) {
        out.u32(pair.external.hostOrder());
        out.u32(pair.server.hostOrder());
    }
}

void IpsecInspector::bindingRestored(Instant now, const PortlessBinding& binding, net::VpnProtocol)
{
    if (binding.protocol == net::IpProtocol::Esp) m_state->resolver.bindingRestored(now, binding);
}

bool IpsecInspector::restore(Instant now, StateReader& in, const RestoredFlows& flows,
                             std::vector<FlowId>& claimed)
{
    State& state = *m_state;
    state.lastNow = now;
    if (!state.resolver.restore(now, in)) return false;
    constexpr std::size_t kShortestFlow = 8 + 1 + 16 + 8 + 3 + 8 + 12 + 4 + 5 + 2 + 4 + 8 + 8;
    const std::uint32_t number = in.count(kMostFlows, kShortestFlow);
    for (std::uint32_t i = 0; i < number && !in.failed(); ++i) {
        const Flow* const flow = flows.find(in.u64());
        FlowState read;
        read.carrier = static_cast<FlowState::Carrier>(in.below(2));
        read.key = tunnel::readTunnelKey(in);
        read.idle = Duration{static_cast<std::int64_t>(in.u64())};
        read.attached = in.flag();
        read.inResolver = in.flag();
        read.aliased = in.flag();
        read.since = tunnel::readInstant(in);
        read.outboundSpi = in.u32();
        read.inboundSpi = in.u32();
        read.keepalives = in.u32();
        std::vector<std::uint64_t> initiatorSpis(in.count(kMostSpisOfFlow, 8));
        for (std::uint64_t& spi : initiatorSpis)
            spi = in.u64();
        Connection connection;
        connection.protocol = static_cast<net::VpnProtocol>(in.below(net::kVpnProtocolCount));
        connection.confidence = static_cast<Confidence>(in.below(3));
        connection.phase = static_cast<Phase>(in.below(tunnel::kPhaseCount));
        const std::uint8_t version = in.u8();
        const std::uint8_t product = in.u8();
        connection.hash = in.u16();
        connection.rekeys = in.u32();
        connection.roundTrip = Duration{static_cast<std::int64_t>(in.u64())};
        for (bool* const fact : {&connection.labelled, &connection.bothOfferNatTraversal,
                                 &connection.answered, &connection.settled, &connection.agreed,
                                 &connection.upstreamNat, &connection.weak, &connection.floated}) {
            *fact = in.flag();
        }
        const bool isVersion = version == static_cast<std::uint8_t>(Version::V1) ||
                               version == static_cast<std::uint8_t>(Version::V2);
        if (in.failed() || !isVersion || product > static_cast<std::uint8_t>(ike::kLastProduct) ||
            read.since > now || read.idle < Duration{0}) {
            return false;
        }
        connection.version = static_cast<Version>(version);
        connection.product = static_cast<ike::Product>(product);
        if (flow == nullptr || flow->protocol != net::IpProtocol::Udp) continue;
        if (state.flows.contains(flow->id)) return false;
        FlowState& fresh = state.flows[flow->id];
        fresh = std::move(read);
        fresh.flow = *flow;
        // All flows of a connection tell the same about it.
        if (!state.connections.contains(fresh.key))
            state.connections.emplace(fresh.key, connection);
        const TunnelKey key = fresh.key;
        state.join(fresh, key);
        for (const std::uint64_t spi : initiatorSpis)
            state.remember(fresh, spi);
        if (fresh.inResolver) {
            state.resolver.ikeRestored(State::pairOf(fresh), flow->internal.address, fresh.key);
            ++state.resolverFlows[{State::pairOf(fresh), flow->internal.address}];
        }
        claimed.push_back(flow->id);
    }
    const std::uint32_t servers = in.count(kMostLegacyServers, 8);
    for (std::uint32_t i = 0; i < servers; ++i) {
        const net::Ipv4Address external{in.u32()};
        const EspPair pair{external, net::Ipv4Address{in.u32()}};
        state.legacyServers.emplace(pair, LegacyServer{});
    }
    return !in.failed();
}

void IpsecInspector::handleTimeout(Instant now, Actions& actions)
{
    m_state->resolver.handleTimeout(now, actions);
}

std::optional<Instant> IpsecInspector::nextTimeout() const
{
    return m_state->resolver.nextTimeout();
}

}  // namespace engine::passthrough
