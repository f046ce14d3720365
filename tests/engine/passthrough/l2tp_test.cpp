#include "engine/passthrough/l2tp.h"

#include "engine/passthrough/l2tp_message.h"

#include <QtTest>

#include <algorithm>
#include <set>
#include <string_view>
#include <vector>

using namespace std::chrono_literals;
using namespace engine;
using namespace engine::passthrough;
using l2tp::MessageType;
using net::Direction;
using net::IpProtocol;
using tunnel::EventKind;
using tunnel::FindingKind;
using tunnel::Observation;
using tunnel::Phase;

namespace {

using Bytes = std::vector<std::uint8_t>;

const net::Ipv4Address kExternal{203, 0, 113, 1};
const net::Ipv4Address kServer{198, 51, 100, 7};
constexpr HashKey kSeed{11, 12};

net::Ipv4Address client(std::uint32_t number)
{
    return net::Ipv4Address{net::Ipv4Address{192, 168, 1, 10}.hostOrder() + number};
}

Bytes avp(std::uint16_t attribute, const Bytes& value, bool hidden = false)
{
    Bytes bytes(6);
    const auto length = static_cast<std::uint16_t>(6 + value.size());
    wire::store16(bytes, 0, static_cast<std::uint16_t>(0x8000U | (hidden ? 0x4000U : 0U) | length));
    wire::store16(bytes, 4, attribute);
    bytes.insert(bytes.end(), value.begin(), value.end());
    return bytes;
}
Bytes value16(std::uint16_t value)
{
    Bytes bytes(2);
    wire::store16(bytes, 0, value);
    return bytes;
}
Bytes value32(std::uint32_t value)
{
    Bytes bytes(4);
    wire::store32(bytes, 0, value);
    return bytes;
}
Bytes text(std::string_view value)
{
    return {value.begin(), value.end()};
}
Bytes operator+(Bytes left, const Bytes& right)
{
    left.insert(left.end(), right.begin(), right.end());
    return left;
}

struct Numbers {
    std::uint16_t ns = 0;
    std::uint16_t nr = 0;
};

Bytes control(std::uint16_t tunnel, std::uint16_t session, Numbers numbers, const Bytes& avps = {})
{
    Bytes bytes(12);
    wire::store16(bytes, 0, 0xc802);
    wire::store16(bytes, 2, static_cast<std::uint16_t>(12 + avps.size()));
    wire::store16(bytes, 4, tunnel);
    wire::store16(bytes, 6, session);
    wire::store16(bytes, 8, numbers.ns);
    wire::store16(bytes, 10, numbers.nr);
    return bytes + avps;
}
Bytes type(MessageType type)
{
    return avp(0, value16(static_cast<std::uint16_t>(type)));
}
Bytes startRequest(std::uint16_t own, bool hidden = false)
{
    return control(0, 0, {0, 0},
                   type(MessageType::StartRequest) + avp(2, value16(0x0100)) + avp(7, text("lac")) +
                       (hidden ? avp(9, Bytes(16, 0xaa), true) : avp(9, value16(own))));
}
Bytes startReply(std::uint16_t peer, std::uint16_t own)
{
    return control(peer, 0, {0, 1},
                   type(MessageType::StartReply) + avp(2, value16(0x0100)) +
                       avp(7, text("lns.example")) + avp(8, text("Example Works")) +
                       avp(9, value16(own)));
}
Bytes startConnected(std::uint16_t peer)
{
    return control(peer, 0, {1, 1}, type(MessageType::StartConnected));
}
Bytes callRequest(std::uint16_t peer, std::uint16_t own)
{
    return control(peer, 0, {2, 1}, type(MessageType::IncomingCallRequest) + avp(14, value16(own)));
}
Bytes callReply(std::uint16_t peer, std::uint16_t session, std::uint16_t own)
{
    return control(peer, session, {1, 3},
                   type(MessageType::IncomingCallReply) + avp(14, value16(own)));
}
Bytes callConnected(std::uint16_t peer, std::uint16_t session)
{
    return control(peer, session, {3, 2}, type(MessageType::IncomingCallConnected));
}
Bytes stop(std::uint16_t peer, std::uint16_t own, std::uint16_t result)
{
    return control(peer, 0, {4, 2},
                   type(MessageType::StopNotify) + avp(9, value16(own)) + avp(1, value16(result)));
}
Bytes data(std::uint16_t tunnel, std::uint16_t session, const Bytes& frame, bool withLength = false)
{
    Bytes bytes = value16(withLength ? 0x4002 : 0x0002);
    if (withLength) bytes = bytes + value16(static_cast<std::uint16_t>(8 + frame.size()));
    return bytes + value16(tunnel) + value16(session) + frame;
}

/// The NAT's part for UDP.
struct Rig {
    policy::PassthroughPolicy policy;
    net::Prefix lan{net::Ipv4Address{192, 168, 1, 0}, 24};
    L2tpInspector inspector{kSeed, policy, lan};
    Actions actions;
    Instant now{500s};
    FlowId lastFlow = 0;

    struct Shown {
        bool claimed = false;
        Bytes payload;  ///< as it travels on
        Attention attention;
    };

    Bytes edited(const Bytes& payload, const Actions& fresh)
    {
        Bytes bytes = payload;
        for (const Edit& edit : fresh.edits) {
            std::copy_n(edit.bytes.begin(), edit.length,
                        bytes.begin() + static_cast<std::ptrdiff_t>(edit.offset));
        }
        const auto append = [](auto& to, const auto& from) {
            to.insert(to.end(), from.begin(), from.end());
        };
        append(actions.observations, fresh.observations);
        append(actions.attachments, fresh.attachments);
        append(actions.aliases, fresh.aliases);
        append(actions.bindings, fresh.bindings);
        return bytes;
    }
    [[nodiscard]] std::vector<Observation> observed(Observation::Kind kind) const
    {
        std::vector<Observation> found;
        for (const auto& observation : actions.observations) {
            if (observation.kind == kind) found.push_back(observation);
        }
        return found;
    }
    [[nodiscard]] bool reached(Phase phase) const
    {
        return std::ranges::any_of(actions.observations, [&](const auto& o) {
            return o.kind == Observation::Kind::Phase && o.phase == phase;
        });
    }
    [[nodiscard]] bool found(FindingKind kind) const
    {
        return std::ranges::any_of(actions.observations, [&](const auto& o) {
            return o.kind == Observation::Kind::Finding && o.finding == kind;
        });
    }
};

struct Conversation {
    Rig& rig;
    Flow flow;
    bool claimed = false;
    bool refused = false;

    explicit Conversation(Rig& theRig, std::uint32_t number = 0, std::uint16_t remotePort = 1701,
                          std::uint16_t externalPort = 0, Direction initiator = Direction::Outbound)
        : rig(theRig)
    {
        flow.id = ++rig.lastFlow;
        flow.protocol = IpProtocol::Udp;
        flow.internal = {client(number), net::Port{1701}};
        flow.external = {kExternal,
                         net::Port{externalPort != 0 ? externalPort
                                                     : static_cast<std::uint16_t>(30000 + number)}};
        flow.remote = {kServer, net::Port{remotePort}};
        flow.initiator = initiator;
    }

    Rig::Shown show(Direction direction, const Bytes& payload)
    {
        const Segment segment{direction, payload, 0, 0, payload};
        Actions fresh;
        Rig::Shown shown;
        shown.payload = payload;
        if (refused) return shown;
        if (!claimed) {
            const auto claim = rig.inspector.consider(rig.now, flow, segment);
            claimed = claim == Inspector::Claim::Claimed;
            refused = claim == Inspector::Claim::NotMine;
        }
        shown.claimed = claimed;
        if (!claimed) return shown;
        shown.attention = rig.inspector.inspect(rig.now, flow, segment, fresh);
        shown.payload = rig.edited(payload, fresh);
        return shown;
    }
    Rig::Shown out(const Bytes& payload) { return show(Direction::Outbound, payload); }
    Rig::Shown in(const Bytes& payload) { return show(Direction::Inbound, payload); }

    /// The server's packet to port 1701; the flow that gets it, 0 for nobody.
    static std::pair<FlowId, Bytes> stray(Rig& rig, const Bytes& payload,
                                          net::Ipv4Address from = kServer)
    {
        Actions fresh;
        const auto redirect = rig.inspector.unmatchedUdp(rig.now, {kExternal, net::Port{1701}},
                                                         {from, net::Port{1701}}, payload, fresh);
        const Bytes edited = rig.edited(payload, fresh);
        return {redirect ? redirect->flow : 0, edited};
    }

    void connect(std::uint16_t own, std::uint16_t remote)
    {
        out(startRequest(own));
        in(startReply(own, remote));
        out(startConnected(remote));
        out(callRequest(remote, 71));
        in(callReply(own, 71, 81));
        out(callConnected(remote, 81));
    }
};

Bytes controlV3(std::uint32_t peer, Numbers numbers, const Bytes& avps)
{
    Bytes bytes(16);
    wire::store16(bytes, 4, 0xc803);
    wire::store16(bytes, 6, static_cast<std::uint16_t>(12 + avps.size()));
    wire::store32(bytes, 8, peer);
    wire::store16(bytes, 12, numbers.ns);
    wire::store16(bytes, 14, numbers.nr);
    return bytes + avps;
}

struct IpRig : Rig {
    std::vector<PortlessBinding> sessions;

    std::pair<std::optional<net::Ipv4Address>, DropReason> send(Direction direction,
                                                                net::Ipv4Address internal,
                                                                const Bytes& payload,
                                                                net::Ipv4Address server = kServer)
    {
        const auto id = discriminatorOf(IpProtocol::L2tpV3, direction, payload);
        PortlessPacket packet{IpProtocol::L2tpV3, internal, kExternal, server, payload, {}};
        Actions fresh;
        const bool outbound = direction == Direction::Outbound;
        for (const PortlessBinding& session : sessions) {
            if (session.server != server) continue;
            if (outbound ? session.client != internal || session.outbound != id
                         : session.inbound != id) {
                continue;
            }
            packet.internal = session.client;
            const auto owner = session.client;
            const auto attention = inspector.inspectPortless(now, direction, packet, fresh);
            sessions.insert(sessions.end(), fresh.bindings.begin(), fresh.bindings.end());
            edited({}, fresh);
            if (attention.fate != Attention::Fate::Pass) return {{}, attention.reason};
            return {owner, DropReason::MalformedIp};
        }
        const auto decision = inspector.decide(now, direction, packet, fresh);
        sessions.insert(sessions.end(), fresh.bindings.begin(), fresh.bindings.end());
        edited({}, fresh);
        if (decision.kind != PortlessDecision::Kind::Deliver) return {{}, decision.reason};
        return {decision.recipients[0], decision.reason};
    }
    auto out(std::uint32_t number, const Bytes& payload)
    {
        return send(Direction::Outbound, client(number), payload);
    }
    auto in(const Bytes& payload) { return send(Direction::Inbound, {}, payload); }
};

}  // namespace

class L2tpTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void tunnel_isNamedAndFollowed()
    {
        Rig rig;
        Conversation c(rig);
        QVERIFY(c.out(startRequest(5)).claimed);
        auto labels = rig.observed(Observation::Kind::Label);
        QCOMPARE(labels.size(), std::size_t(1));
        QVERIFY(labels[0].confidence == tunnel::Confidence::Likely);
        QVERIFY(labels[0].protocol == net::VpnProtocol::L2tp);
        rig.now += 31ms;
        c.in(startReply(5, 9));
        labels = rig.observed(Observation::Kind::Label);
        QVERIFY(labels.back().confidence == tunnel::Confidence::Certain);
        QCOMPARE(rig.observed(Observation::Kind::ServerName)[0].text, std::string("lns.example"));
        QCOMPARE(rig.observed(Observation::Kind::Product)[0].text, std::string("Example Works"));
        QVERIFY(rig.observed(Observation::Kind::RoundTrip)[0].duration == 31ms);
        c.out(startConnected(9));
        QVERIFY(rig.reached(Phase::Establishing));
        c.out(callRequest(9, 71));
        c.in(callReply(5, 71, 81));
        c.out(callConnected(9, 81));
        QCOMPARE(rig.actions.attachments.size(), std::size_t(2));
        QVERIFY(rig.actions.attachments.back().idle == 1h);
        const auto both = [&](const Bytes& frame) {
            QCOMPARE(c.out(data(9, 81, frame)).payload, data(9, 81, frame));
            QCOMPARE(c.in(data(5, 71, frame, true)).payload, data(5, 71, frame, true));
        };
        both({0xff, 0x03, 0xc2, 0x23, 1, 1, 0, 4});
        QVERIFY(rig.reached(Phase::Authenticating));
        both({0xff, 0x03, 0x00, 0x21, 0x45, 0});
        QVERIFY(rig.reached(Phase::Established));
        c.in(stop(5, 9, 6));
        const auto ended = rig.observed(Observation::Kind::Ended);
        QCOMPARE(ended.size(), std::size_t(1));
        QVERIFY(ended[0].phase == Phase::Closed);
        QCOMPARE(ended[0].a, std::uint32_t(6));
        // The same ports again: another tunnel.
        c.out(startRequest(6));
        QVERIFY(rig.observed(Observation::Kind::Label).back().key != labels[0].key);
    }

    void retransmission_isCounted()
    {
        Rig rig;
        Conversation c(rig);
        c.out(startRequest(5));
        c.out(startRequest(5));
        c.out(startRequest(5));
        QCOMPARE(rig.observed(Observation::Kind::Retransmit).size(), std::size_t(2));
        QCOMPARE(rig.observed(Observation::Kind::Label).size(), std::size_t(1));
        while (const auto due = rig.inspector.nextTimeout()) {
            rig.now = *due;
            Actions fresh;
            rig.inspector.handleTimeout(rig.now, fresh);
            rig.edited({}, fresh);
        }
        QVERIFY(rig.found(FindingKind::NoAnswerFromServer));
        // Karn's rule: an answer to a repeated message is no measurement.
        c.in(startReply(5, 9));
        QVERIFY(rig.observed(Observation::Kind::RoundTrip).empty());
    }

    void refusedPassword_isFound_andNothingOfItIsKept()
    {
        Rig rig;
        Conversation c(rig);
        c.connect(5, 9);
        Bytes failure{0xff, 0x03, 0xc2, 0x23, 4, 1, 0, 30};
        failure = failure + text("E=691 R=0 C=0011 M=secret words");
        c.in(data(5, 71, failure));
        QVERIFY(rig.found(FindingKind::AuthenticationRefused));
        for (const auto& o : rig.observed(Observation::Kind::Finding)) {
            QCOMPARE(o.a, std::uint32_t(691));
            QVERIFY(o.packet.size() <= 40);
        }
    }

    void innerAddressOfOurOwnNetwork_isFound()
    {
        const Bytes same{0xff, 0x03, 0x80, 0x21, 2, 1, 0, 10, 3, 6, 192, 168, 1, 200};
        const Bytes other{0xff, 0x03, 0x80, 0x21, 2, 1, 0, 10, 3, 6, 10, 0, 0, 200};
        Rig rig;
        Conversation c(rig);
        c.connect(5, 9);
        c.in(data(5, 71, other));
        QVERIFY(!rig.found(FindingKind::SameSubnet));
        c.in(data(5, 71, same));
        QVERIFY(rig.found(FindingKind::SameSubnet));
    }

    // Requirement P17, mode a.
    void modeA_eightClientsWithOneTunnelId_needNoRewriting()
    {
        Rig rig;
        std::vector<Conversation> clients;
        for (std::uint32_t i = 0; i < 8; ++i) {
            clients.emplace_back(rig, i);
            // The first one shows how this server answers.
            const auto request = clients[i].out(startRequest(5));
            QCOMPARE(request.payload, startRequest(5));
            const auto server = static_cast<std::uint16_t>(100 + i);
            const auto reply = clients[i].in(startReply(5, server));
            QCOMPARE(reply.payload, startReply(5, server));
        }
    }

    // Mode b: the reply comes from another port.
    void modeB_replyFromAnotherPort_isTheSameTunnel()
    {
        Rig rig;
        Conversation c(rig);
        c.out(startRequest(5));
        QCOMPARE(rig.actions.aliases.size(), std::size_t(1));
        QCOMPARE(rig.actions.aliases[0].remotePort, net::Port{0});
        const auto key = rig.observed(Observation::Kind::Label)[0].key;
        Conversation floated(rig, 0, 40001, 0, Direction::Inbound);
        QVERIFY(floated.in(startReply(5, 9)).claimed);
        QVERIFY(rig.actions.attachments.back().key == key);
        QCOMPARE(rig.actions.attachments.back().flow, floated.flow.id);
        const auto events = rig.observed(Observation::Kind::Event);
        const auto event = std::ranges::find_if(
            events, [](const auto& e) { return e.event == EventKind::PortFloated; });
        QVERIFY(event != events.end());
        QCOMPARE(event->a, std::uint32_t(1701));
        QCOMPARE(event->b, std::uint32_t(40001));
        floated.out(startConnected(9));
        QVERIFY(rig.reached(Phase::Establishing));
        // The first flow may die; the tunnel goes on.
        Actions fresh;
        rig.inspector.flowClosed(rig.now, c.flow.id, FlowEnd::Expired, fresh);
        rig.edited({}, fresh);
        QVERIFY(rig.observed(Observation::Kind::Ended).empty());
        rig.inspector.flowClosed(rig.now, floated.flow.id, FlowEnd::Expired, fresh);
        rig.edited({}, fresh);
        QCOMPARE(rig.observed(Observation::Kind::Ended).size(), std::size_t(1));
        // A stranger's tunnel on a new flow is nobody's.
        Conversation other(rig, 1, 40002, 0, Direction::Inbound);
        QVERIFY(!other.in(startReply(5, 9)).claimed);
    }

    // Mode c: the server always sends to port 1701.
    void modeC_answersToPort1701_findTheirClientByTunnelId()
    {
        Rig rig;
        Conversation one(rig, 0);
        Conversation two(rig, 1);
        one.out(startRequest(5));
        two.out(startRequest(6));
        QCOMPARE(Conversation::stray(rig, startReply(6, 60)).first, two.flow.id);
        QCOMPARE(Conversation::stray(rig, startReply(5, 50)).first, one.flow.id);
        one.out(startConnected(50));
        QCOMPARE(Conversation::stray(rig, data(5, 71, {0, 0x21})).first, one.flow.id);
        QCOMPARE(Conversation::stray(rig, data(6, 71, {0, 0x21}, true)).first, two.flow.id);
        // Attack D10: unknown tunnels, other senders and other protocols are nobody's.
        QCOMPARE(Conversation::stray(rig, data(7, 71, {0, 0x21})).first, FlowId(0));
        QCOMPARE(Conversation::stray(rig, stop(5, 50, 1), {198, 51, 100, 8}).first, FlowId(0));
        QCOMPARE(Conversation::stray(rig, Bytes(148, 1)).first, FlowId(0));
        QVERIFY(rig.observed(Observation::Kind::Ended).empty());
    }

    // Mode d: the same, and both clients chose the same tunnel ID.
    void modeD_sameTunnelId_isRewrittenEverywhere()
    {
        Rig rig;
        Conversation one(rig, 0);
        Conversation two(rig, 1);
        one.out(startRequest(5));
        QCOMPARE(Conversation::stray(rig, startReply(5, 50)).first, one.flow.id);
        const auto request = two.out(startRequest(5));
        QVERIFY(request.payload != startRequest(5));
        const auto seen = l2tp::ControlMessage::parse(request.payload);
        QVERIFY(seen);
        const auto id = static_cast<std::uint16_t>(seen.value().tunnel->value);
        QVERIFY(id != 5 && id != 0);
        QCOMPARE(request.payload, startRequest(id));
        QCOMPARE(two.out(startRequest(5)).payload, startRequest(id));  // and again
        const auto reply = Conversation::stray(rig, startReply(id, 60));
        QCOMPARE(reply.first, two.flow.id);
        QCOMPARE(reply.second, startReply(5, 60));
        QCOMPARE(two.out(startConnected(60)).payload, startConnected(60));
        const auto payload = Conversation::stray(rig, data(id, 71, {1, 2, 3}));
        QCOMPARE(payload.first, two.flow.id);
        QCOMPARE(payload.second, data(5, 71, {1, 2, 3}));
        const auto longer = Conversation::stray(rig, data(id, 71, {1, 2, 3}, true));
        QCOMPARE(longer.second, data(5, 71, {1, 2, 3}, true));
        QCOMPARE(Conversation::stray(rig, data(5, 71, {1})).first, one.flow.id);
        QCOMPARE(two.out(stop(60, 5, 6)).payload, stop(60, id, 6));
        // The ID is free again for nobody but a new request.
        QCOMPARE(Conversation::stray(rig, data(id, 71, {1})).first, FlowId(0));
    }

    void modeD_hiddenTunnelId_isRefusedByName()
    {
        Rig rig;
        Conversation one(rig, 0);
        one.out(startRequest(5));
        Conversation::stray(rig, startReply(5, 50));
        Conversation hidden(rig, 1);
        hidden.out(startRequest(0, true));
        Conversation second(rig, 2);
        const auto refused = second.out(startRequest(0, true));
        QVERIFY(refused.attention.fate == Attention::Fate::Drop);
        QVERIFY(refused.attention.reason == DropReason::L2tpIdClash);
    }

    void port1701_thatHappensToBeAClientsOwn_isSharedByTunnelId()
    {
        Rig rig;
        Conversation owner(rig, 0, 1701, 1701);
        Conversation other(rig, 1);
        owner.out(startRequest(5));
        other.out(startRequest(6));
        const auto mine = owner.in(startReply(5, 50));
        QCOMPARE(mine.attention.redirect, FlowId(0));
        const auto theirs = owner.in(startReply(6, 60));
        QCOMPARE(theirs.attention.redirect, other.flow.id);
    }

    void serverInside_isNamed()
    {
        Rig rig;
        Conversation c(rig, 0, 40000, 1701, Direction::Inbound);
        QVERIFY(c.in(startRequest(5)).claimed);
        QCOMPARE(c.out(startReply(5, 9)).payload, startReply(5, 9));
        const auto labels = rig.observed(Observation::Kind::Label);
        QCOMPARE(labels.size(), std::size_t(2));
        QVERIFY(labels[1].confidence == tunnel::Confidence::Certain);
    }

    // Requirement P18: other protocols use this port too.
    void otherProtocolsOnPort1701_areNotClaimed()
    {
        Bytes warp(148);
        warp[0] = 1;
        Bytes warpData(96);
        warpData[0] = 4;
        Bytes wrongLength = startRequest(5);
        wrongLength.push_back(0);
        Bytes ike(40, 7);
        Bytes cut = startRequest(5);
        cut.resize(20);
        for (const Bytes& payload : {warp, warpData, wrongLength, ike, cut, Bytes{0xff}}) {
            Rig rig;
            Conversation c(rig);
            QVERIFY(!c.out(payload).claimed);
            QVERIFY(rig.actions.observations.empty());
        }
    }

    void controlThatContradictsItself_isDropped()
    {
        Rig rig;
        Conversation c(rig);
        c.connect(5, 9);
        Bytes longer = stop(9, 5, 1);
        wire::store16(longer, 2, 200);
        QVERIFY(c.out(longer).attention.reason == DropReason::MalformedL2tp);
        Bytes chain = stop(9, 5, 1);
        wire::store16(chain, 12 + 8, 0x8003);
        QVERIFY(c.out(chain).attention.reason == DropReason::MalformedL2tp);
        QVERIFY(rig.observed(Observation::Kind::Ended).empty());
    }

    void parsers_cutAndFlippedEverywhere_areTotal()
    {
        const std::vector<Bytes> whole{startRequest(5), startReply(5, 9), stop(9, 5, 1),
                                       data(9, 81, {1, 2, 3}, true)};
        std::size_t parsed = 0;
        for (const Bytes& bytes : whole) {
            for (std::size_t length = 0; length <= bytes.size(); ++length) {
                const auto cut = wire::ConstBytes{bytes}.first(length);
                parsed += l2tp::ControlMessage::parse(cut) ? 1U : 0U;
                parsed += l2tp::DataHeader::parse(cut) ? 1U : 0U;
            }
            for (std::size_t at = 0; at < bytes.size() * 8; ++at) {
                Bytes flipped = bytes;
                flipped[at / 8] = static_cast<std::uint8_t>(flipped[at / 8] ^ (1U << (at % 8)));
                Rig rig;
                Conversation c(rig);
                c.out(startRequest(5));
                c.in(flipped);
                c.out(flipped);
            }
        }
        QVERIFY(parsed >= whole.size());
    }

    void plainMode_rewritesAndRedirectsNothing()
    {
        Rig rig;
        rig.policy.set(net::VpnProtocol::L2tp, {policy::PassthroughMode::Plain, {}});
        Conversation one(rig, 0);
        Conversation two(rig, 1);
        one.out(startRequest(5));
        QCOMPARE(two.out(startRequest(5)).payload, startRequest(5));
        QCOMPARE(Conversation::stray(rig, startReply(5, 50)).first, FlowId(0));
        QVERIFY(rig.actions.aliases.empty());
    }

    void overIp_threeClientsOfOneServer_areToldApart()
    {
        IpRig rig;
        for (std::uint32_t c = 0; c < 3; ++c) {
            const std::uint32_t mine = 1000 + c;
            const std::uint32_t theirs = 2000 + c;
            QVERIFY(rig.out(c, controlV3(0, {0, 0},
                                         type(MessageType::StartRequest) + avp(61, value32(mine))))
                        .first);
            QCOMPARE(rig.in(controlV3(mine, {0, 1},
                                      type(MessageType::StartReply) + avp(61, value32(theirs))))
                         .first,
                     std::optional(client(c)));
            QVERIFY(rig.out(c, controlV3(theirs, {1, 1}, type(MessageType::StartConnected))).first);
            QVERIFY(rig.out(c, controlV3(theirs, {2, 1},
                                         type(MessageType::IncomingCallRequest) +
                                             avp(63, value32(3000 + c)) + avp(64, value32(0))))
                        .first);
        }
        for (std::uint32_t c = 0; c < 3; ++c) {
            QCOMPARE(rig.in(value32(3000 + c) + Bytes(20)).first, std::optional(client(c)));
            QVERIFY(rig.out(c, value32(4000 + c) + Bytes(20)).first);
        }
        QVERIFY(rig.reached(Phase::Established));
        QVERIFY(!rig.in(value32(3999) + Bytes(20)).first);
        QVERIFY(
            !rig.send(Direction::Inbound, {}, value32(3000) + Bytes(20), {198, 51, 100, 8}).first);
        const auto clash = rig.out(
            3, controlV3(0, {0, 0}, type(MessageType::StartRequest) + avp(61, value32(1000))));
        QVERIFY(!clash.first);
        QVERIFY(clash.second == DropReason::L2tpIdClash);
    }

    // RFC 3931 §4.1.2: over UDP the same control messages behind no zero session, and data that
    // names a session only.
    void version3OverUdp_dataToPort1701_findsItsClientBySessionId()
    {
        Rig rig;
        const auto bare = [](const Bytes& message) {
            return Bytes(message.begin() + 4, message.end());
        };
        const auto dataV3 = [](std::uint32_t session, std::size_t cookie) {
            return value16(0x0003) + value16(0) + value32(session) + Bytes(cookie, 0xcc) +
                   Bytes(24, 0x11);
        };
        Conversation anna(rig, 0);
        Conversation bert(rig, 1);
        std::uint32_t number = 0;
        for (Conversation* const one : {&anna, &bert}) {
            const std::uint32_t mine = 0x10000 + number;
            const std::uint32_t theirs = 0x20000 + number;
            one->out(bare(
                controlV3(0, {0, 0}, type(MessageType::StartRequest) + avp(61, value32(mine)))));
            // From the start the server sends to 1701 only.
            QCOMPARE(Conversation::stray(rig, bare(controlV3(mine, {0, 1},
                                                             type(MessageType::StartReply) +
                                                                 avp(61, value32(theirs)))))
                         .first,
                     one->flow.id);
            one->out(bare(controlV3(theirs, {1, 1}, type(MessageType::StartConnected))));
            // Two sessions each, one with a cookie of four and one with a cookie of eight octets.
            for (const std::uint32_t session : {0x30000 + number, 0x40000 + number}) {
                one->out(bare(controlV3(theirs, {2, 1},
                                        type(MessageType::IncomingCallRequest) +
                                            avp(63, value32(session)) + avp(64, value32(0)))));
            }
            ++number;
        }
        QCOMPARE(Conversation::stray(rig, dataV3(0x30000, 4)).first, anna.flow.id);
        QCOMPARE(Conversation::stray(rig, dataV3(0x40001, 8)).first, bert.flow.id);
        QCOMPARE(Conversation::stray(rig, dataV3(0x30001, 0)).first, bert.flow.id);
        QCOMPARE(Conversation::stray(rig, dataV3(0x30002, 0)).first, FlowId{0});
    }

    void overIp_hiddenIds_reachTheOnlyClient_andNobodyBesideAnother()
    {
        IpRig rig;
        const Bytes hidden = type(MessageType::StartRequest) + avp(61, Bytes(16, 0xaa), true);
        QVERIFY(rig.out(0, controlV3(0, {0, 0}, hidden)).first);
        QCOMPARE(rig.in(value32(77) + Bytes(20)).first, std::optional(client(0)));
        QVERIFY(
            rig.out(1, controlV3(0, {0, 0}, type(MessageType::StartRequest) + avp(61, value32(5))))
                .first);
        QVERIFY(!rig.in(value32(78) + Bytes(20)).first);
    }

    void overIp_withoutControl_letsOneClientThrough()
    {
        IpRig rig;
        QVERIFY(rig.out(0, value32(7) + Bytes(20)).first);
        QCOMPARE(rig.in(value32(8) + Bytes(20)).first, std::optional(client(0)));
        QVERIFY(rig.out(1, value32(9) + Bytes(20)).second == DropReason::OneClientPerServer);
        for (const PortlessBinding& session : std::vector(rig.sessions)) {
            Actions fresh;
            rig.inspector.bindingClosed(rig.now, session, FlowEnd::Expired, fresh);
            rig.edited({}, fresh);
        }
        QCOMPARE(rig.observed(Observation::Kind::Ended).size(), std::size_t(1));
        rig.sessions.clear();
        QVERIFY(rig.out(1, value32(9) + Bytes(20)).first);
    }
};

QTEST_APPLESS_MAIN(L2tpTest)
#include "l2tp_test.moc"
