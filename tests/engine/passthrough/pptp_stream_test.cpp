#include <QtTest>

#include <set>

#include "pptp_session.h"

using namespace pptp_test;

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

/// The control channel as a stream: cut, repeated and reordered in every way.
class PptpStreamTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
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
};

QTEST_APPLESS_MAIN(PptpStreamTest)
#include "pptp_stream_test.moc"
