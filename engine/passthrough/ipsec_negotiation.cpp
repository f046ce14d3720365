#include "engine/passthrough/ipsec_state.h"

/// IKE: how far a negotiation has come, what its clear payloads say, and when a child SA appears.
namespace engine::passthrough {

using namespace ipsec;

namespace {

/// RFC 2409 appendix A: SHA as the negotiated hash.
constexpr std::uint16_t kHashSha1 = 2;
/// A message sent so often without an answer is a symptom.
constexpr std::uint32_t kUnanswered = 4;
/// Beyond this an IKE message travels in fragments on an ordinary path.
constexpr std::size_t kLargeMessage = 1300;
constexpr std::size_t kMostOutstanding = 8;

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
        attention = childSa(now, state, direction, header, message, step, actions);
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
    // The parts of one message (RFC 7383) count as one.
    if (ike::fragmentNumberOf(header, message) > 1) return;
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
    if (clear.asksForCookie || clear.redirects) {
        // A server under load, or one that sends its clients elsewhere: nothing is wrong yet.
        event(state, EventKind::ControlMessage, direction,
              static_cast<std::uint32_t>(header.exchange),
              clear.asksForCookie ? ike::kCookie : ike::kRedirect, actions);
    }
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
        // A goodbye, or only the question whether the other side is there: the content is hidden.
        if (connection.agreed)
            actions.observations.push_back(observe(state, Observation::Kind::MayEnd));
        return;
    case Exchange::NewGroup: return;
    }
}

/// Tells the resolver when a child SA comes into being, and holds a message if it says so.
Attention IpsecInspector::State::childSa(Instant now, FlowState& state, Direction direction,
                                         const ike::Header& header, wire::ConstBytes message,
                                         QuickStep step, Actions& actions)
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
    if (completing) {
        const std::uint16_t part = ike::fragmentNumberOf(header, message);
        token = resolver.gate(now, pair, client, sipHash(seed, exchange, part), actions);
    }
    resolver.childSa(now, pair, client, exchange,
                     complete ? Agreement::Complete : Agreement::Possible);
    if (!token) return kWatch;
    return {.next = Attention::Next::Watch,
            .fate = Attention::Fate::Hold,
            .reason = DropReason::IkeHeld,
            .holdToken = *token};
}

}  // namespace engine::passthrough
