#include "engine/passthrough/control_stream.h"

#include <QtTest>

#include <map>
#include <set>

#include "pptp_session.h"

using namespace pptp_test;
using tunnel::EventKind;
using tunnel::FindingKind;
using tunnel::Observation;
using tunnel::Phase;

namespace {

/// One step of a conversation; IDs that the NAT chooses are filled in by playing it.
struct Step {
    Direction direction;
    Bytes bytes;
};

/// A second client with the first one's Call ID, so that everything has to be rewritten: dial, link
/// info both ways, clear and notify.
std::vector<Step> conversation(std::uint16_t own, std::uint16_t seen, std::uint16_t remote)
{
    return {{Direction::Outbound, startRequest()},
            {Direction::Inbound, startReply()},
            {Direction::Outbound, outgoingRequest(own)},
            {Direction::Inbound, outgoingReply(remote, seen)},
            {Direction::Outbound, setLinkInfo(remote)},
            {Direction::Inbound, setLinkInfo(seen)},
            {Direction::Inbound, wanError(seen)},
            {Direction::Outbound, echoRequest(7)},
            {Direction::Inbound, echoReply(7)},
            {Direction::Outbound, clearRequest(own)},
            {Direction::Inbound, callDisconnect(remote)}};
}

struct Played {
    std::array<Bytes, 2> received;
    std::vector<std::tuple<std::uint32_t, std::uint32_t, std::uint16_t>> bindings;
    std::size_t unbindings = 0;
    std::size_t drops = 0;
    friend bool operator==(const Played&, const Played&) = default;
};

Played outcomeOf(const Rig& rig, const Connection& connection)
{
    Played played;
    played.received = connection.received;
    for (const PortlessBinding& binding : rig.actions.bindings) {
        if (binding.master != connection.flow.id) continue;
        played.bindings.emplace_back(binding.outbound->id, binding.inbound->id,
                                     binding.rewriteInbound->value);
    }
    played.unbindings = rig.actions.unbindings.size();
    return played;
}

constexpr std::uint16_t kOwn = 0x1234;
constexpr std::uint16_t kRemote = 0x4321;

/// Another device holds kOwn already.
void occupy(Rig& rig)
{
    Connection first(rig, client(99));
    first.start_();
    first.dial(kOwn, 0x1111);
}

/// Plays the conversation whole; also finds out which ID the server will see.
std::pair<Played, std::uint16_t> reference()
{
    Rig rig;
    occupy(rig);
    Connection connection(rig);
    connection.start_();
    const std::uint16_t seen = connection.dial(kOwn, kRemote);
    const auto steps = conversation(kOwn, seen, kRemote);
    for (std::size_t i = 4; i < steps.size(); ++i)
        connection.send(steps[i].direction, steps[i].bytes);
    return {outcomeOf(rig, connection), seen};
}

}  // namespace

class PptpTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void callId_whenFree_isKept()
    {
        Rig rig;
        Connection connection(rig);
        connection.start_();
        QVERIFY(rig.bindings.empty());
        QCOMPARE(connection.dial(kOwn, kRemote), kOwn);
        QCOMPARE(rig.bindings.size(), std::size_t(1));
        const PortlessBinding& binding = rig.bindings[0];
        QCOMPARE(binding.client, kClient);
        QCOMPARE(binding.external, kExternal);
        QCOMPARE(binding.server, kServer);
        QCOMPARE(binding.outbound->id, std::uint32_t(kRemote));
        QCOMPARE(binding.inbound->id, std::uint32_t(kOwn));
        QCOMPARE(binding.rewriteInbound->offset, std::uint16_t(6));
        QCOMPARE(binding.rewriteInbound->value, kOwn);
        QCOMPARE(binding.master, connection.flow.id);
        QVERIFY(binding.watch);
        QVERIFY(binding.sequence == tunnel::SequenceKind::GreV1);
    }

    // Requirement P2.
    void control_splitAtEveryByte_isTheSame()
    {
        const auto [expected, seen] = reference();
        QVERIFY(seen != kOwn);
        QCOMPARE(expected.bindings.size(), std::size_t(1));
        QCOMPARE(expected.unbindings, std::size_t(1));
        const auto steps = conversation(kOwn, seen, kRemote);
        std::size_t cuts = 0;
        for (std::size_t cutStep = 0; cutStep < steps.size(); ++cutStep) {
            for (std::size_t cut = 1; cut < steps[cutStep].bytes.size(); ++cut) {
                Rig rig;
                occupy(rig);
                Connection connection(rig);
                for (std::size_t i = 0; i < steps.size(); ++i) {
                    const Bytes& bytes = steps[i].bytes;
                    if (i != cutStep) {
                        connection.send(steps[i].direction, bytes);
                        continue;
                    }
                    const auto middle = bytes.begin() + static_cast<std::ptrdiff_t>(cut);
                    connection.send(steps[i].direction, Bytes(bytes.begin(), middle));
                    connection.send(steps[i].direction, Bytes(middle, bytes.end()));
                }
                QVERIFY2(connection.drops.empty(), qPrintable(QString::number(cut)));
                QVERIFY2(outcomeOf(rig, connection) == expected,
                         qPrintable(QStringLiteral("step %1 cut %2").arg(cutStep).arg(cut)));
                ++cuts;
            }
        }
        QCOMPARE(cuts, std::size_t(156 + 156 + 168 + 32 + 24 + 24 + 40 + 16 + 20 + 16 + 148 - 11));
    }

    void control_inPiecesOfEverySize_isTheSame()
    {
        const auto [expected, seen] = reference();
        const auto steps = conversation(kOwn, seen, kRemote);
        for (std::size_t size = 1; size <= 64; ++size) {
            Rig rig;
            occupy(rig);
            Connection connection(rig);
            for (const Step& step : steps)
                connection.send(step.direction, step.bytes, size);
            QVERIFY(connection.drops.empty());
            QVERIFY2(outcomeOf(rig, connection) == expected, qPrintable(QString::number(size)));
        }
    }

    void control_severalMessagesInOneSegment_areAllRead()
    {
        for (std::uint16_t together = 2; together <= 4; ++together) {
            Rig rig;
            occupy(rig);
            Connection connection(rig);
            connection.start_();
            Bytes requests;
            for (std::uint16_t i = 0; i < together; ++i) {
                requests = requests + outgoingRequest(static_cast<std::uint16_t>(kOwn + i));
            }
            connection.out(requests);
            Bytes replies;
            std::set<std::uint16_t> seen;
            for (std::uint16_t i = 0; i < together; ++i) {
                const std::size_t back = 168U * static_cast<std::size_t>(together - i);
                const std::uint16_t id = connection.idAt(Direction::Outbound, back, 12);
                seen.insert(id);
                replies = replies + outgoingReply(static_cast<std::uint16_t>(kRemote + i), id);
            }
            QCOMPARE(seen.size(), std::size_t(together));
            QVERIFY(!seen.contains(kOwn));
            connection.in(replies);
            QCOMPARE(rig.bindings.size(), std::size_t(together) + 1);
            for (std::uint16_t i = 0; i < together; ++i) {
                const std::size_t back = 32U * static_cast<std::size_t>(together - i);
                QCOMPARE(connection.idAt(Direction::Inbound, back, 14),
                         static_cast<std::uint16_t>(kOwn + i));
            }
        }
    }

    void control_retransmittedWithOverlap_getsTheSameEdits()
    {
        Rig rig;
        occupy(rig);
        Connection connection(rig);
        connection.start_();
        const Bytes request = outgoingRequest(kOwn);
        const std::uint32_t at = connection.next[0];
        connection.out(request);
        const Bytes first = connection.received[0];
        const std::uint16_t seen = connection.idAt(Direction::Outbound, 168, 12);
        QVERIFY(seen != kOwn);
        // Any part of it again, alone and together with octets before and after.
        for (std::size_t from = 0; from < request.size(); from += 3) {
            for (std::size_t length = 1; from + length <= request.size(); length += 7) {
                connection.received[0].resize(156 + from);
                std::erase_if(connection.early[0],
                              [&](const auto& octet) { return octet.first >= 156 + from; });
                connection.show(Direction::Outbound, at + static_cast<std::uint32_t>(from),
                                wire::ConstBytes{request}.subspan(from, length));
                QVERIFY(std::equal(connection.received[0].begin(), connection.received[0].end(),
                                   first.begin()));
                QCOMPARE(connection.received[0].size(), 156 + from + length);
            }
        }
        QVERIFY(connection.drops.empty());
        QCOMPARE(rig.bindings.size(), std::size_t(1));
        connection.received[0] = first;
        connection.in(outgoingReply(kRemote, seen));
        QCOMPARE(rig.bindings.size(), std::size_t(2));
    }

    void control_overlapWithOtherOctets_firstCopyWins()
    {
        Rig rig;
        Connection connection(rig);
        connection.start_();
        const std::uint32_t at = connection.next[0];
        connection.out(outgoingRequest(kOwn));
        connection.show(Direction::Outbound, at, outgoingRequest(kOwn + 1));
        QCOMPARE(connection.drops.size(), std::size_t(1));
        QVERIFY(connection.drops[0] == DropReason::MalformedPptp);
        QCOMPARE(connection.dial(kOwn + 2, kRemote), std::uint16_t(kOwn + 2));
        QCOMPARE(rig.bindings.size(), std::size_t(1));
    }

    void control_keepAliveWithOneOldOctet_passes()
    {
        Rig rig;
        Connection connection(rig);
        connection.start_();
        connection.dial(kOwn, kRemote);
        const Bytes garbage{0xee};
        connection.show(Direction::Outbound, connection.next[0] - 1, garbage);
        QVERIFY(connection.drops.empty());
    }

    void segment_beforeItsTurn_isHeldUntilItIsInOrder()
    {
        Rig rig;
        occupy(rig);
        Connection connection(rig);
        connection.start_();
        const Bytes request = outgoingRequest(kOwn);
        const std::uint32_t at = connection.next[0];
        const auto second = wire::ConstBytes{request}.subspan(10);
        connection.show(Direction::Outbound, at + 10, second);
        QCOMPARE(connection.held.size(), std::size_t(1));
        // The NAT has waited long enough and shows it again, or TCP has sent it again.
        connection.show(Direction::Outbound, at + 10, second);
        QCOMPARE(connection.drops.size(), std::size_t(1));
        QVERIFY(connection.drops[0] == DropReason::ControlOutOfOrder);
        QCOMPARE(connection.received[0].size(), std::size_t(156));
        connection.show(Direction::Outbound, at, wire::ConstBytes{request}.first(10));
        QCOMPARE(connection.held.size(), std::size_t(0));
        QCOMPARE(connection.received[0].size(), std::size_t(156 + 168));
        QVERIFY(connection.idAt(Direction::Outbound, 168, 12) != kOwn);
    }

    void everything_inScrambledOctets_getsThrough()
    {
        Random random(HashKey{21, 22});
        for (int round = 0; round < 50; ++round) {
            Rig rig;
            occupy(rig);
            Connection connection(rig);
            const auto scrambled = [&](Direction direction, const Bytes& bytes) {
                std::vector<std::uint32_t> order(bytes.size());
                for (std::uint32_t i = 0; i < order.size(); ++i)
                    order[i] = i;
                for (std::uint32_t i = 1; i < order.size(); ++i) {
                    std::swap(order[i], order[random.below(i + 1)]);
                }
                std::uint32_t& base = connection.next[std::size_t(direction)];
                for (const std::uint32_t i : order) {
                    connection.show(direction, base + i, wire::ConstBytes{bytes}.subspan(i, 1));
                }
                base += static_cast<std::uint32_t>(bytes.size());
            };
            scrambled(Direction::Outbound, startRequest());
            scrambled(Direction::Inbound, startReply());
            scrambled(Direction::Outbound, outgoingRequest(kOwn));
            const std::uint16_t seen = connection.idAt(Direction::Outbound, 168, 12);
            QVERIFY(seen != kOwn);
            scrambled(Direction::Inbound, outgoingReply(kRemote, seen));
            QCOMPARE(connection.idAt(Direction::Inbound, 32, 14), kOwn);
            QCOMPARE(rig.bindings.size(), std::size_t(2));
            QVERIFY(connection.held.empty());
            QVERIFY(connection.drops.empty());
        }
    }

    void segment_behindTheCallId_mayComeEarly()
    {
        Rig rig;
        occupy(rig);
        Connection connection(rig);
        connection.start_();
        const Bytes request = outgoingRequest(kOwn);
        const std::uint32_t at = connection.next[0];
        const auto part = [&](std::size_t from, std::size_t to) {
            connection.show(Direction::Outbound, at + static_cast<std::uint32_t>(from),
                            wire::ConstBytes{request}.subspan(from, to - from));
        };
        part(0, 12);
        part(30, 168);
        part(14, 20);
        QVERIFY(connection.drops.empty());
        part(13, 20);  // half of the Call ID
        QCOMPARE(connection.held.size(), std::size_t(1));
        Bytes other(10, 0x77);
        connection.show(Direction::Outbound, at + 40, other);
        QCOMPARE(connection.drops.size(), std::size_t(1));
        QVERIFY(connection.drops[0] == DropReason::MalformedPptp);
        part(12, 31);
        QCOMPARE(connection.drops.size(), std::size_t(1));
        QVERIFY(connection.held.empty());
        const std::uint16_t seen = connection.idAt(Direction::Outbound, 168, 12);
        QVERIFY(seen != kOwn);
        connection.next[0] += 168;
        connection.in(outgoingReply(kRemote, seen));
        QCOMPARE(rig.actions.bindings.size(), std::size_t(2));
    }

    void startRequest_inWrongOrder_isStillFollowed()
    {
        Rig rig;
        Connection connection(rig);
        const Bytes request = startRequest();
        const std::uint32_t at = connection.next[0];
        connection.show(Direction::Outbound, at + 50, wire::ConstBytes{request}.subspan(50));
        connection.show(Direction::Outbound, at, wire::ConstBytes{request}.first(50));
        connection.show(Direction::Outbound, at + 50, wire::ConstBytes{request}.subspan(50));
        connection.next[0] += 156;
        const Bytes reply = startReply();
        const std::uint32_t back = connection.next[1];
        connection.show(Direction::Inbound, back + 20, wire::ConstBytes{reply}.subspan(20));
        connection.show(Direction::Inbound, back, wire::ConstBytes{reply}.first(20));
        connection.show(Direction::Inbound, back + 20, wire::ConstBytes{reply}.subspan(20));
        connection.next[1] += 156;
        connection.dial(kOwn, kRemote);
        QCOMPARE(rig.bindings.size(), std::size_t(1));
    }

    // Attack A4: the same stream cut otherwise must mean the same.
    void control_randomlyCutRepeatedAndReordered_isTheSame()
    {
        const auto [expected, seen] = reference();
        const auto steps = conversation(kOwn, seen, kRemote);
        Random random(HashKey{5, 6});
        for (int round = 0; round < 3000; ++round) {
            Rig rig;
            occupy(rig);
            Connection connection(rig);
            for (const Step& step : steps) {
                const std::uint32_t base = connection.next[std::size_t(step.direction)];
                const std::uint32_t first = base - connection.start[std::size_t(step.direction)];
                const auto size = static_cast<std::uint32_t>(step.bytes.size());
                // A sender that repeats what was not taken, with pieces of its choice.
                const Bytes& stream = connection.received[std::size_t(step.direction)];
                int tries = 0;
                while (stream.size() < first + size) {
                    QVERIFY(++tries < 20000);
                    const std::uint32_t from =
                        random.below(4) == 0 ? random.below(size)
                                             : static_cast<std::uint32_t>(stream.size() - first);
                    const std::uint32_t length = 1 + random.below(size - from);
                    connection.show(step.direction, base + from,
                                    wire::ConstBytes{step.bytes}.subspan(from, length));
                }
                connection.next[std::size_t(step.direction)] += size;
            }
            for (const DropReason reason : connection.drops) {
                QVERIFY(reason == DropReason::ControlOutOfOrder);
            }
            QVERIFY2(outcomeOf(rig, connection) == expected, qPrintable(QString::number(round)));
        }
    }

    void fourCalls_onOneConnection_allPass()
    {
        Rig rig;
        Connection connection(rig);
        connection.start_();
        std::set<tunnel::TunnelKey> keys;
        for (std::uint16_t i = 0; i < 4; ++i) {
            connection.dial(static_cast<std::uint16_t>(100 + i),
                            static_cast<std::uint16_t>(500 + i));
        }
        QCOMPARE(rig.bindings.size(), std::size_t(4));
        for (std::uint16_t i = 0; i < 4; ++i) {
            keys.insert(rig.bindings[i].key);
            const auto there = rig.fromClient(
                kClient, gre(static_cast<std::uint16_t>(500 + i), 0, std::nullopt, Bytes(20)));
            QVERIFY(there.delivered);
            const auto back = rig.fromServer(
                gre(static_cast<std::uint16_t>(rig.bindings[i].inbound->id), 0, 0, Bytes(20)));
            QVERIFY(back.delivered);
            QCOMPARE(back.callId, static_cast<std::uint16_t>(100 + i));
        }
        QCOMPARE(keys.size(), std::size_t(4));
    }

    // Requirement P1.
    void fiftyClients_withTheSameCallIds_threeCallsEach_areToldApart()
    {
        Rig rig;
        std::vector<std::unique_ptr<Connection>> connections;
        std::map<std::uint16_t, std::pair<net::Ipv4Address, std::uint16_t>> owners;
        constexpr std::array<std::uint16_t, 3> kIds{0, 1, 16384};
        std::uint16_t remote = 1000;
        for (std::uint32_t c = 0; c < 50; ++c) {
            connections.push_back(std::make_unique<Connection>(rig, client(c)));
            connections.back()->start_(c % 2 == 0 ? 1460 : 13);
            for (const std::uint16_t own : kIds) {
                const std::uint16_t seen =
                    connections.back()->dial(own, remote++, c % 2 == 0 ? 1460 : 13);
                QVERIFY(seen != 0);
                QVERIFY(!owners.contains(seen));
                owners[seen] = {client(c), own};
                QVERIFY(connections.back()->idAt(Direction::Inbound, 32, 14) == own);
            }
        }
        QCOMPARE(rig.bindings.size(), std::size_t(150));
        for (std::uint32_t sequence = 0; sequence < 100; ++sequence) {
            for (const auto& [seen, owner] : owners) {
                const auto arrival = rig.fromServer(gre(seen, sequence, std::nullopt, Bytes(9)));
                QVERIFY(arrival.delivered);
                QCOMPARE(arrival.to, owner.first);
                QCOMPARE(arrival.callId, owner.second);
            }
        }
    }

    void callIds_moreThanOneFirstOctetHolds_useOthers()
    {
        Rig rig;
        std::set<std::uint16_t> all;
        std::vector<std::unique_ptr<Connection>> connections;
        for (std::uint32_t c = 0; c < 300; ++c) {
            connections.push_back(std::make_unique<Connection>(rig, client(c)));
            connections.back()->start_();
            all.insert(connections.back()->dial(0, static_cast<std::uint16_t>(c + 1)));
            QCOMPARE(connections.back()->idAt(Direction::Inbound, 32, 14), std::uint16_t(0));
        }
        QCOMPARE(all.size(), std::size_t(300));
        QVERIFY(!all.contains(0));
    }

    void callId_givenBack_restsUnlessItsClientRedials()
    {
        Rig rig;
        {
            Connection first(rig);
            first.start_();
            first.dial(kOwn, kRemote);
            rig.close(first.flow.id);
        }
        QVERIFY(rig.bindings.empty());
        Connection other(rig, client(1));
        other.start_();
        QVERIFY(other.dial(kOwn, kRemote + 1) != kOwn);
        Connection again(rig);
        again.start_();
        QCOMPARE(again.dial(kOwn, kRemote + 2), kOwn);
        rig.close(again.flow.id);
        rig.passTime(121s);
        Connection late(rig, client(2));
        late.start_();
        QCOMPARE(late.dial(kOwn, kRemote + 3), kOwn);
    }

    void callId_clearedWhileItsConnectionLives_restsForEverybody()
    {
        Rig rig;
        Connection connection(rig);
        connection.start_();
        connection.dial(kOwn, kRemote);
        connection.in(callDisconnect(kRemote));
        QVERIFY(rig.bindings.empty());
        QVERIFY(connection.dial(kOwn, kRemote + 1) != kOwn);
        rig.passTime(151s);
        QCOMPARE(connection.dial(kOwn + 256, kRemote + 2), std::uint16_t(kOwn + 256));
    }

    void handshake_notAgreedByBoth_opensNothing()
    {
        // Attack A5: a browser's form post full of control messages, and a server that is none.
        {
            Rig rig;
            Connection connection(rig);
            connection.out(startRequest() + startReply() + outgoingRequest(kOwn) +
                           outgoingReply(kRemote, kOwn) + incomingRequest(5) + incomingReply(6, 5) +
                           incomingConnected(6));
            QVERIFY(rig.bindings.empty());
            QVERIFY(!rig.fromServer(gre(kOwn, 0, std::nullopt)).delivered);
        }
        {
            Rig rig;
            Connection connection(rig);
            constexpr std::string_view kPost = "POST / HTTP/1.1\r\nContent-Length: 999\r\n\r\n";
            connection.out(Bytes(kPost.begin(), kPost.end()) + startRequest());
            connection.in(startReply());
            connection.dial(kOwn, kRemote);
            QVERIFY(connection.refused);
            QVERIFY(rig.actions.observations.empty());
            QVERIFY(rig.bindings.empty());
        }
        const std::array<std::function<void(Connection&)>, 8> liars{
            [](Connection& c) {
                c.out(startRequest());
                c.dial(kOwn, kRemote);
            },
            [](Connection& c) {
                c.out(startRequest());
                c.in(startReply(2));
                c.dial(kOwn, kRemote);
            },
            [](Connection& c) {
                c.start_();
                c.in(outgoingReply(kRemote, kOwn));
            },
            [](Connection& c) {
                c.start_();
                c.out(outgoingRequest(kOwn));
            },
            [](Connection& c) {
                c.start_();
                c.out(outgoingRequest(kOwn));
                c.out(outgoingReply(kRemote, kOwn));
            },
            [](Connection& c) {
                c.start_();
                c.out(outgoingRequest(kOwn));
                c.in(outgoingReply(kRemote, kOwn + 1));
            },
            [](Connection& c) {
                c.start_();
                c.out(outgoingRequest(kOwn));
                c.in(outgoingReply(kRemote, kOwn, 2));
            },
            [](Connection& c) {
                c.start_();
                c.in(incomingRequest(kRemote));
                c.out(incomingReply(kOwn, kRemote));  // and no "connected"
            },
        };
        for (std::size_t i = 0; i < liars.size(); ++i) {
            Rig rig;
            Connection connection(rig);
            liars[i](connection);
            QVERIFY2(rig.actions.bindings.empty(), qPrintable(QString::number(i)));
        }
    }

    void startReply_fromTheInitiator_doesNotCount()
    {
        Rig rig;
        Connection connection(rig);
        connection.out(startRequest());
        connection.out(startReply());
        connection.dial(kOwn, kRemote);
        QVERIFY(rig.bindings.empty());
    }

    void incomingCall_isAgreedByThreeMessages()
    {
        Rig rig;
        occupy(rig);
        rig.actions.clear();
        Connection connection(rig);
        connection.start_();
        connection.in(incomingRequest(kRemote));
        connection.out(incomingReply(kOwn, kRemote));
        const std::uint16_t seen = connection.idAt(Direction::Outbound, 24, 12);
        QVERIFY(seen != kOwn);
        QVERIFY(rig.actions.bindings.empty());
        connection.in(incomingConnected(seen));
        QCOMPARE(connection.idAt(Direction::Inbound, 28, 12), kOwn);
        QCOMPARE(rig.actions.bindings.size(), std::size_t(1));
        QCOMPARE(rig.actions.bindings[0].outbound->id, std::uint32_t(kRemote));
        QCOMPARE(rig.actions.bindings[0].inbound->id, std::uint32_t(seen));
    }

    // Requirement P4.
    void serverInside_twentyClientsOutside_allPass()
    {
        Rig rig;
        std::vector<std::unique_ptr<Connection>> connections;
        for (std::uint32_t c = 0; c < 20; ++c) {
            const net::Ipv4Address outside{kServer.hostOrder() + c};
            connections.push_back(
                std::make_unique<Connection>(rig, kClient, outside, Direction::Inbound));
            Connection& connection = *connections.back();
            connection.start_();
            for (std::uint16_t k = 0; k < 2; ++k) {
                const auto own = static_cast<std::uint16_t>(7 + k);
                connection.in(outgoingRequest(own));
                // The server counts its own IDs and so never clashes with itself.
                const auto mine = static_cast<std::uint16_t>(100 + 2 * c + k);
                connection.out(outgoingReply(mine, own));
                QCOMPARE(connection.idAt(Direction::Outbound, 32, 14), own);
            }
        }
        QCOMPARE(rig.bindings.size(), std::size_t(40));
        for (const PortlessBinding& binding : std::vector(rig.bindings)) {
            const auto arrival = rig.send(
                Direction::Inbound, {}, kExternal, binding.server,
                gre(static_cast<std::uint16_t>(binding.inbound->id), 0, std::nullopt, {1}));
            QVERIFY(arrival.delivered);
            QCOMPARE(arrival.to, kClient);
            QCOMPARE(arrival.callId, binding.rewriteInbound->value);
            QVERIFY(rig.send(Direction::Outbound, kClient, kExternal, binding.server,
                             gre(static_cast<std::uint16_t>(binding.outbound->id), 0, 0, {1}))
                        .delivered);
        }
    }

    // Requirements P3 and P5.
    void twoServersInside_withTheSameIds_towardsOneClient_areTranslated()
    {
        Rig rig;
        Connection first(rig, client(1), kServer, Direction::Inbound);
        Connection second(rig, client(2), kServer, Direction::Inbound);
        for (Connection* connection : {&first, &second}) {
            connection->start_();
            connection->in(outgoingRequest(9));
            connection->out(outgoingReply(55, 9));
        }
        QCOMPARE(first.idAt(Direction::Outbound, 32, 12), std::uint16_t(55));
        const std::uint16_t seen = second.idAt(Direction::Outbound, 32, 12);
        QVERIFY(seen != 55);
        // Set-Link-Info inward names the receiver, Call-Disconnect-Notify outward the sender.
        second.in(setLinkInfo(seen));
        QCOMPARE(second.idAt(Direction::Inbound, 24, 12), std::uint16_t(55));
        second.out(wanError(9));
        QCOMPARE(second.idAt(Direction::Outbound, 40, 12), std::uint16_t(9));
        second.in(clearRequest(9));
        QCOMPARE(second.idAt(Direction::Inbound, 16, 12), std::uint16_t(9));
        QCOMPARE(rig.bindings.size(), std::size_t(1));
        second.out(callDisconnect(55));
        QCOMPARE(second.idAt(Direction::Outbound, 148, 12), seen);
        const auto ended = rig.observed(Observation::Kind::Ended);
        QCOMPARE(ended.size(), std::size_t(1));
        QVERIFY(ended[0].phase == Phase::Closed);
        QCOMPARE(ended[0].a, std::uint32_t(4));
        // On another external address nothing has to give way.
        Connection third(rig, client(3), kServer, Direction::Inbound,
                         net::Ipv4Address{203, 0, 113, 2});
        third.start_();
        third.in(outgoingRequest(9));
        third.out(outgoingReply(55, 9));
        QCOMPARE(third.idAt(Direction::Outbound, 32, 12), std::uint16_t(55));
    }

    // Requirement P8.
    void startReply_channelExists_isFound()
    {
        Rig rig;
        Connection connection(rig);
        connection.out(startRequest());
        connection.in(startReply(3));
        QVERIFY(rig.found(FindingKind::ServerAllowsOneClient));
        const auto ended = rig.observed(Observation::Kind::Ended);
        QCOMPARE(ended.size(), std::size_t(1));
        QVERIFY(ended[0].phase == Phase::Failed);
        rig.close(connection.flow.id);
        QCOMPARE(rig.observed(Observation::Kind::Ended).size(), std::size_t(1));
    }

    void label_becomesCertainByTheServersAnswer()
    {
        Rig rig;
        Connection connection(rig);
        connection.out(startRequest());
        auto labels = rig.observed(Observation::Kind::Label);
        QCOMPARE(labels.size(), std::size_t(1));
        QVERIFY(labels[0].confidence == tunnel::Confidence::Likely);
        QVERIFY(labels[0].protocol == net::VpnProtocol::Pptp);
        QCOMPARE(labels[0].server, connection.flow.remote);
        QCOMPARE(labels[0].external, connection.flow.external);
        connection.in(startReply());
        labels = rig.observed(Observation::Kind::Label);
        QCOMPARE(labels.size(), std::size_t(2));
        QVERIFY(labels[1].confidence == tunnel::Confidence::Certain);
        QCOMPARE(rig.observed(Observation::Kind::ServerName)[0].text, std::string("vpn.example"));
        QCOMPARE(rig.observed(Observation::Kind::Product)[0].text, std::string("Example Works"));
        QCOMPARE(rig.actions.attachments.size(), std::size_t(1));
    }

    void otherPort_isOnlyObserved()
    {
        Rig rig;
        Connection connection(rig, kClient, kServer, Direction::Outbound, kExternal, 8000);
        connection.start_();
        connection.dial(kOwn, kRemote);
        QVERIFY(connection.claimed);
        QCOMPARE(rig.observed(Observation::Kind::Label).size(), std::size_t(2));
        QVERIFY(rig.bindings.empty());
    }

    void connection_joinedLate_isOnlyObserved()
    {
        Rig rig;
        Connection connection(rig);
        connection.out(echoRequest(1));
        QVERIFY(connection.claimed);
        connection.in(echoReply(1));
        connection.dial(kOwn, kRemote);
        QVERIFY(rig.bindings.empty());
        QVERIFY(connection.drops.empty());
    }

    void malformedMessages_areDropped_andOpenNothing()
    {
        const auto broken = [](auto&& change) {
            Bytes bytes = outgoingRequest(kOwn);
            change(bytes);
            return bytes;
        };
        const std::vector<Bytes> bad{
            broken([](Bytes& b) { wire::store16(b, 0, 11); }),
            broken([](Bytes& b) { wire::store16(b, 0, 0); }),
            broken([](Bytes& b) { wire::store16(b, 0, 0xffff); }),
            broken([](Bytes& b) { wire::store16(b, 0, 167); }),
            broken([](Bytes& b) { wire::store32(b, 4, 0x1a2b3c4e); }),
            broken([](Bytes& b) {
                wire::store16(b, 8, 99);
                wire::store16(b, 0, 1025);
            }),
            broken([](Bytes& b) {
                wire::store16(b, 2, 2);
                wire::store16(b, 0, 4);
            }),
        };
        for (const Bytes& bytes : bad) {
            Rig rig;
            Connection connection(rig);
            connection.start_();
            connection.out(bytes);
            QCOMPARE(connection.drops.size(), std::size_t(1));
            QVERIFY(connection.drops[0] == DropReason::MalformedPptp);
            QVERIFY(rig.bindings.empty());
        }
    }

    void unknownMessageType_isPassedOver()
    {
        Rig rig;
        Connection connection(rig);
        connection.start_();
        Bytes odd(40);
        wire::store16(odd, 0, 40);
        wire::store16(odd, 2, 1);
        wire::store32(odd, 4, pptp::kMagicCookie);
        wire::store16(odd, 8, 77);
        connection.out(odd, 7);
        connection.dial(kOwn, kRemote);
        QVERIFY(connection.drops.empty());
        QCOMPARE(rig.bindings.size(), std::size_t(1));
    }

    void pendingCalls_ofOneClient_areBounded()
    {
        Rig rig;
        Connection connection(rig);
        connection.start_();
        for (std::uint16_t i = 1; i <= 32; ++i)
            connection.out(outgoingRequest(i));
        QVERIFY(connection.drops.empty());
        const Bytes refused = outgoingRequest(33);
        const std::uint32_t at = connection.next[0];
        connection.show(Direction::Outbound, at, refused);
        QCOMPARE(connection.drops.size(), std::size_t(1));
        QVERIFY(connection.drops[0] == DropReason::HelperBudget);
        Connection other(rig, client(1));
        other.start_();
        QCOMPARE(other.dial(kOwn, kRemote), kOwn);
        // One is answered: the repeated request has room.
        connection.in(outgoingReply(900, 1));
        connection.show(Direction::Outbound, at, refused);
        QCOMPARE(connection.drops.size(), std::size_t(1));
        // Nobody answers the others: they are forgotten.
        rig.passTime(62s);
        connection.next[0] += 168;
        connection.dial(40, 940);
        QCOMPARE(connection.drops.size(), std::size_t(1));
    }

    void connectionClosed_takesItsCallsAlong()
    {
        Rig rig;
        Connection connection(rig);
        connection.start_();
        connection.dial(1, 501);
        connection.dial(2, 502);
        rig.close(connection.flow.id, FlowEnd::Reset);
        QVERIFY(rig.bindings.empty());
        const auto ended = rig.observed(Observation::Kind::Ended);
        QCOMPARE(ended.size(), std::size_t(2));
        for (const auto& end : ended)
            QVERIFY(end.event == EventKind::ResetBy);
        QVERIFY(!rig.fromServer(gre(1, 0, std::nullopt)).delivered);
        QVERIFY(rig.fromServer(gre(1, 0, std::nullopt)).reason == DropReason::GreNoCall);
        QVERIFY(!rig.fromClient(kClient, gre(501, 0, std::nullopt)).delivered);
        rig.passTime(200s);
        QVERIFY(!rig.inspector.nextTimeout());
    }

    void stopRequest_endsEveryCall()
    {
        Rig rig;
        Connection connection(rig);
        connection.start_();
        connection.dial(1, 501);
        connection.dial(2, 502);
        Bytes stop = message(3);
        stop[12] = 2;
        connection.in(stop);
        QVERIFY(rig.bindings.empty());
        const auto ended = rig.observed(Observation::Kind::Ended);
        QCOMPARE(ended.size(), std::size_t(2));
        QCOMPARE(ended[0].a, std::uint32_t(2));
        connection.dial(3, 503);
        QVERIFY(rig.bindings.empty());
    }

    void echo_unansweredForAMinute_isDead()
    {
        Rig rig;
        Connection connection(rig);
        connection.start_();
        connection.dial(1, 501);
        rig.fromClient(kClient, gre(501, 0, std::nullopt, {1}));
        connection.out(echoRequest(5));
        rig.passTime(30s);
        connection.in(echoReply(5));
        rig.passTime(50s);
        connection.out(echoRequest(6));
        rig.passTime(59s);
        QVERIFY(rig.observed(Observation::Kind::Ended).empty());
        rig.passTime(2s);
        const auto ended = rig.observed(Observation::Kind::Ended);
        QCOMPARE(ended.size(), std::size_t(1));
        QVERIFY(ended[0].phase == Phase::Dead);
        QVERIFY(rig.bindings.empty());
    }

    void secondTunnel_afterTheFirstEnded_isANewOne()
    {
        Rig rig;
        Connection connection(rig);
        connection.start_();
        connection.dial(1, 501);
        connection.in(callDisconnect(501));
        connection.dial(2, 502);
        QCOMPARE(rig.actions.bindings.size(), std::size_t(2));
        QVERIFY(rig.actions.bindings[0].key != rig.actions.bindings[1].key);
        QVERIFY(rig.actions.attachments.back().key == rig.actions.bindings[1].key);
    }

    // Attack D3, goal Z6: full sweeps with random sequence numbers beside live tunnels.
    void callIdSweep_injectsNothing()
    {
        Rig rig;
        Connection first(rig, client(0));
        Connection second(rig, client(1));
        first.start_();
        second.start_();
        const std::uint16_t one = first.dial(kOwn, 501);
        const std::uint16_t two = second.dial(kOwn, 502);
        Random random(HashKey{77, 78});
        std::uint64_t injected = 0;
        std::uint32_t genuine = 0;
        std::uint32_t sequence = 0;
        for (int sweep = 0; sweep < 100; ++sweep) {
            for (std::uint32_t id = 0; id < 0x10000; ++id) {
                const Bytes forged = gre(
                    static_cast<std::uint16_t>(id), static_cast<std::uint32_t>(random.next()),
                    id % 2 == 0
                        ? std::optional<std::uint32_t>(static_cast<std::uint32_t>(random.next()))
                        : std::nullopt,
                    {0x21, 0x45});
                injected += rig.fromServer(forged).delivered ? 1U : 0U;
                if (id % 8192 != 0) continue;
                rig.now += 5ms;
                // The tunnels' own packets go on through it all.
                for (const std::uint16_t call : {one, two}) {
                    const bool mine = call == one;
                    QVERIFY(rig.fromClient(client(mine ? 0 : 1),
                                           gre(mine ? 501 : 502, sequence, std::nullopt, {1}))
                                .delivered);
                    genuine +=
                        rig.fromServer(gre(call, sequence, sequence, {1})).delivered ? 1U : 0U;
                }
                ++sequence;
            }
            rig.actions.clear();
        }
        QCOMPARE(injected, std::uint64_t(0));
        QCOMPARE(genuine, 1600U);
    }

    // Attack D5.
    void absurdSequenceNumbers_areRefused_genuineJumpIsFollowed()
    {
        Rig rig;
        Connection connection(rig);
        connection.start_();
        connection.dial(1, 501);
        for (std::uint32_t i = 0; i < 50; ++i) {
            QVERIFY(rig.fromClient(kClient, gre(501, i, std::nullopt, {1})).delivered);
            QVERIFY(rig.fromServer(gre(1, 1000 + i - 1000, i, {1})).delivered);
        }
        for (const std::uint32_t absurd : {0x7fffffffU, 0x80000000U, 0xffffffffU, 5000U}) {
            const auto arrival = rig.fromServer(gre(1, absurd, std::nullopt, {1}));
            QVERIFY(!arrival.delivered);
            QVERIFY(arrival.reason == DropReason::GreOutOfWindow);
        }
        // An acknowledgment of what was never sent gives a forger away.
        QVERIFY(!rig.fromServer(gre(1, 50, 4711, {1})).delivered);
        QVERIFY(!rig.fromServer(gre(1, std::nullopt, 4711)).delivered);
        QVERIFY(rig.fromServer(gre(1, std::nullopt, 49)).delivered);
        int lost = 0;
        for (std::uint32_t i = 0; i < 10; ++i) {
            lost += rig.fromServer(gre(1, 900000 + i, 49, {1})).delivered ? 0 : 1;
        }
        QVERIFY(lost <= 3);
        // Late and repeated packets inside the window are the receiver's business.
        QVERIFY(rig.fromServer(gre(1, 900005, 49, {1})).delivered);
    }

    void greWithWrongPayloadLength_isMalformed()
    {
        Rig rig;
        Connection connection(rig);
        connection.start_();
        connection.dial(1, 501);
        Bytes lying = gre(1, 0, std::nullopt, Bytes(8));
        wire::store16(lying, 4, 9);
        QVERIFY(rig.fromServer(lying).reason == DropReason::MalformedGre);
        QVERIFY(!rig.fromServer(Bytes{0x30, 0x01, 0x88}).delivered);
    }

    void roundTrip_isFromSequenceToAcknowledgment()
    {
        Rig rig;
        Connection connection(rig);
        connection.start_();
        connection.dial(1, 501);
        rig.fromClient(kClient, gre(501, 0, std::nullopt, {1}));
        rig.now += 23ms;
        rig.fromServer(gre(1, std::nullopt, 0));
        const auto trips = rig.observed(Observation::Kind::RoundTrip);
        QCOMPARE(trips.size(), std::size_t(1));
        QVERIFY(trips[0].duration == 23ms);
    }

    void ppp_showsPhasesAndTheRefusal()
    {
        Rig rig;
        Connection connection(rig);
        connection.start_();
        connection.dial(1, 501);
        std::uint32_t out = 0;
        std::uint32_t in = 0;
        const auto both = [&](const Bytes& frame) {
            QVERIFY(rig.fromClient(kClient, gre(501, out++, std::nullopt, frame)).delivered);
            QVERIFY(rig.fromServer(gre(1, in++, std::nullopt, frame)).delivered);
        };
        both({0xff, 0x03, 0xc0, 0x21, 1, 1, 0, 4});
        both({0xc2, 0x23, 1, 1, 0, 4});
        QVERIFY(rig.reached(Phase::Authenticating));
        constexpr std::string_view kRefusal = "E=691 R=1 C=00112233 V=3 M=Access denied";
        Bytes failure{0xc2, 0x23, 4, 1, 0, 44};
        failure.insert(failure.end(), kRefusal.begin(), kRefusal.end());
        rig.fromServer(gre(1, in++, std::nullopt, failure));
        QVERIFY(rig.found(FindingKind::AuthenticationRefused));
        for (const auto& observation : rig.actions.observations) {
            if (observation.kind != Observation::Kind::Finding) continue;
            QCOMPARE(observation.a, std::uint32_t(691));
            QVERIFY(observation.text.empty());
        }
        QVERIFY(!rig.reached(Phase::Established));
        both({0x80, 0x21, 1, 1, 0, 4});
        both({0x80, 0x21, 2, 1, 0, 4});
        QVERIFY(rig.reached(Phase::Established));
        both({0x80, 0xfd, 2, 1, 0, 10, 18, 6, 0, 0, 0, 0x20});
        QVERIFY(rig.found(FindingKind::WeakCrypto));
        both({0xc0, 0x21, 5, 1, 0, 4});
        QVERIFY(rig.reached(Phase::Closing));
    }

    void innerAddressOfOurOwnNetwork_isFound_butNotThatOfOurServersClients()
    {
        const auto ack = [](std::uint8_t third) {
            return Bytes{0x80, 0x21, 2, 1, 0, 10, 3, 6, 192, 168, third, 200};
        };
        {
            Rig rig;
            Connection connection(rig);
            connection.start_();
            connection.dial(1, 501);
            rig.fromServer(gre(1, 0, std::nullopt, ack(2)));
            QVERIFY(!rig.found(FindingKind::SameSubnet));
            rig.fromServer(gre(1, 1, std::nullopt, ack(1)));
            QVERIFY(rig.found(FindingKind::SameSubnet));
        }
        {
            Rig rig;
            Connection connection(rig);
            connection.start_();
            connection.dial(1, 501);
            // The address that the server itself has inside.
            rig.fromClient(kClient, gre(501, 0, std::nullopt, ack(1)));
            QVERIFY(rig.found(FindingKind::SameSubnet));
        }
        Rig rig;
        Connection served(rig, kClient, kServer, Direction::Inbound);
        served.start_();
        served.in(outgoingRequest(7));
        served.out(outgoingReply(100, 7));
        QCOMPARE(rig.bindings.size(), std::size_t{1});
        const PortlessBinding binding = rig.bindings[0];
        QVERIFY(
            rig.send(Direction::Outbound, kClient, kExternal, kServer,
                     gre(static_cast<std::uint16_t>(binding.outbound->id), 0, std::nullopt, ack(1)))
                .delivered);
        QVERIFY(!rig.found(FindingKind::SameSubnet));
    }

    void greThatNeverReturns_isFound()
    {
        Rig rig;
        Connection connection(rig);
        connection.start_();
        connection.dial(1, 501);
        for (std::uint32_t i = 0; i < 5; ++i) {
            rig.fromClient(kClient, gre(501, i, std::nullopt, {1}));
            rig.passTime(3s);
        }
        QVERIFY(rig.found(FindingKind::GreNeverReturns));
        const std::size_t before = rig.observed(Observation::Kind::Finding).size();
        rig.passTime(3s);
        QCOMPARE(rig.observed(Observation::Kind::Finding).size(), before);
    }

    void greOneWayForHalfAMinute_isDegraded_andRecovers()
    {
        Rig rig;
        Connection connection(rig);
        connection.start_();
        connection.dial(1, 501);
        rig.fromClient(kClient, gre(501, 0, std::nullopt, {1}));
        rig.fromServer(gre(1, 0, 0, {1}));
        for (std::uint32_t i = 1; i < 40; ++i) {
            rig.fromClient(kClient, gre(501, i, std::nullopt, {1}));
            rig.passTime(1s);
        }
        QVERIFY(rig.reached(Phase::Degraded));
        QVERIFY(rig.found(FindingKind::OutboundOnly));
        rig.fromServer(gre(1, 1, 20, {1}));
        const auto events = rig.observed(Observation::Kind::Event);
        QVERIFY(std::ranges::any_of(
            events, [](const auto& event) { return event.event == EventKind::Resumed; }));
    }

    void greOfAnUnknownCall_besideACallThatWaits_isFound()
    {
        Rig rig;
        Connection connection(rig);
        connection.start_();
        connection.dial(1, 501);
        const auto arrival = rig.fromServer(gre(900, 0, std::nullopt, {1}));
        QVERIFY(arrival.reason == DropReason::GreNoCall);
        QVERIFY(rig.found(FindingKind::GreUnknownCall));
    }

    void session_timedOutUnderALiveConnection_isMadeAgain()
    {
        Rig rig;
        occupy(rig);
        Connection connection(rig);
        connection.start_();
        const std::uint16_t seen = connection.dial(kOwn, kRemote);
        const PortlessBinding gone = rig.bindings.back();
        rig.bindings.pop_back();
        Actions ignored;
        rig.inspector.bindingClosed(rig.now, gone, FlowEnd::Expired, ignored);
        const auto arrival = rig.fromServer(gre(seen, 0, std::nullopt, {1}));
        QVERIFY(arrival.delivered);
        QCOMPARE(arrival.to, kClient);
        QCOMPARE(arrival.callId, kOwn);
        QCOMPARE(rig.bindings.size(), std::size_t(2));
    }

    // The negative control: without help two clients of one server do not work.
    void plainMode_rewritesNothing_andLetsOneClientThrough()
    {
        Rig rig;
        rig.policy.set(net::VpnProtocol::Pptp, {policy::PassthroughMode::Plain, {}});
        Connection first(rig, client(0));
        Connection second(rig, client(1));
        first.start_();
        second.start_();
        QCOMPARE(first.dial(kOwn, 501), kOwn);
        QCOMPARE(second.dial(kOwn, 502), kOwn);
        QVERIFY(rig.bindings.empty());
        QVERIFY(rig.fromClient(client(0), gre(501, 0, std::nullopt, {1})).delivered);
        const auto back = rig.fromServer(gre(kOwn, 0, std::nullopt, {1}));
        QVERIFY(back.delivered);
        QCOMPARE(back.to, client(0));
        const auto refused = rig.fromClient(client(1), gre(502, 0, std::nullopt, {1}));
        QVERIFY(!refused.delivered);
        QVERIFY(refused.reason == DropReason::OneClientPerServer);
        QVERIFY(rig.found(FindingKind::HelperOff));
    }

    void blockMode_opensNothing()
    {
        Rig rig;
        rig.policy.set(net::VpnProtocol::Pptp, {policy::PassthroughMode::Block, {}});
        Connection connection(rig);
        connection.start_();
        connection.dial(kOwn, kRemote);
        QVERIFY(rig.bindings.empty());
        QVERIFY(!rig.fromClient(kClient, gre(kRemote, 0, std::nullopt, {1})).delivered);
    }

    void silentServer_isToldAsAGuess()
    {
        Rig rig;
        Connection connection(rig);  // SYN and SYN-ACK
        rig.passTime(20s);
        QVERIFY(rig.actions.observations.empty());
        Flow flow = connection.flow;
        flow.id = 99;
        rig.inspector.consider(rig.now, flow, {Direction::Outbound, {}, 1, 2, {}});
        rig.passTime(16s);
        QVERIFY(rig.found(FindingKind::NoAnswerFromServer));
        rig.close(99, FlowEnd::Expired);
        QCOMPARE(rig.observed(Observation::Kind::Ended).size(), std::size_t(1));
    }

    // Virtual days: nothing is kept of what has ended.
    void soak_dialAndHangUp_leavesNothing()
    {
        Rig rig;
        Random random(HashKey{9, 9});
        for (int round = 0; round < 2000; ++round) {
            Connection connection(rig, client(random.below(8)));
            connection.start_();
            connection.dial(1, static_cast<std::uint16_t>(1 + round % 60000));
            rig.fromClient(
                connection.flow.internal.address,
                gre(static_cast<std::uint16_t>(1 + round % 60000), 0, std::nullopt, {1}));
            rig.passTime(std::chrono::seconds(random.below(60)));
            rig.close(connection.flow.id);
            rig.actions.clear();
        }
        QVERIFY(rig.bindings.empty());
        rig.passTime(200s);
        QVERIFY(!rig.inspector.nextTimeout());
    }
};

QTEST_APPLESS_MAIN(PptpTest)
#include "pptp_test.moc"
