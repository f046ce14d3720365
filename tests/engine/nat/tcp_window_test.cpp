#include "engine/nat/tcp_window.h"

#include "engine/base/random.h"
#include "engine/wire/builder.h"

#include <QtTest>

#include <deque>
#include <optional>
#include <vector>

using namespace engine;
using namespace engine::nat;
using namespace engine::wire::tcp_flag;

namespace {

using enum net::Direction;

constexpr std::uint32_t kClientIsn = 1000;
constexpr std::uint32_t kServerIsn = 0xfffffff0;  // wraps early

struct Segment {
    net::Direction direction = Outbound;
    std::uint8_t flags = kAck;
    std::uint32_t sequence = 0;
    std::uint32_t acknowledgement = 0;
    std::size_t length = 0;
    std::uint16_t window = 1000;
    std::optional<std::uint8_t> scale{};
    wire::Extent extent = wire::Extent::Whole;
};

WindowVerdict show(TcpWindow& window, const Segment& segment)
{
    auto bytes = wire::buildTcp({.source = {{192, 0, 2, 1}, net::Port{1}},
                                 .destination = {{198, 51, 100, 1}, net::Port{2}},
                                 .flags = segment.flags,
                                 .sequence = segment.sequence,
                                 .acknowledgement = segment.acknowledgement,
                                 .window = segment.window,
                                 .windowScale = segment.scale},
                                std::vector<std::uint8_t>(segment.length));
    return window.observe(segment.direction,
                          *wire::TcpView::parse({bytes.data() + 20, bytes.size() - 20}),
                          segment.extent);
}

/// A connection whose handshake has passed. Both sides offer 1,000 << 2 octets.
struct Connection {
    TcpWindow window;
    std::uint32_t client = kClientIsn + 1;
    std::uint32_t server = kServerIsn + 1;

    explicit Connection(std::optional<std::uint8_t> scale = 2)
    {
        shake({Outbound, kSyn, kClientIsn, 0, 0, 4000, scale});
        shake({Inbound, kSyn | kAck, kServerIsn, client, 0, 4000, scale});
        shake({Outbound, kAck, client, server});
    }
    void shake(const Segment& segment)
    {
        if (show(window, segment) != WindowVerdict::Ok) qFatal("the handshake was refused");
    }
    /// One side sends, the other acknowledges.
    WindowVerdict transfer(net::Direction direction, std::size_t length)
    {
        const bool outbound = direction == Outbound;
        std::uint32_t& mine = outbound ? client : server;
        const std::uint32_t theirs = outbound ? server : client;
        const auto verdict = show(window, {direction, kAck | kPsh, mine, theirs, length});
        if (verdict != WindowVerdict::Ok) return verdict;
        mine += static_cast<std::uint32_t>(length);
        return show(window, {net::opposite(direction), kAck, theirs, mine});
    }
};

/// A TCP sender and receiver in so far as the middle sees them: they never break the rules,
/// whatever is lost, doubled or late between them.
struct Peer {
    std::uint32_t initial = 0;
    std::uint32_t unacknowledged = initial + 1;
    std::uint32_t next = initial + 1;
    std::uint32_t received = 0;    ///< next expected from the other
    std::uint32_t offered = 0;     ///< right edge that the other has offered
    std::uint32_t buffer = 30000;  ///< how much this side takes at most
};

enum class ScaleShown { Yes, No };

struct Traffic {
    std::uint64_t refused = 0;
    std::uint32_t leastCarried = 0;
};

/// Two stacks that keep the rules over a network that loses, doubles and delays on both sides of
/// us.
Traffic honestTraffic(std::uint64_t seed, ScaleShown shown)
{
    Traffic traffic;
    Random random{{seed, 4}};
    const auto shift = static_cast<std::uint8_t>(random.below(9));
    const auto option = shown == ScaleShown::Yes ? std::optional{shift} : std::nullopt;
    TcpWindow window;
    Peer peers[]{{static_cast<std::uint32_t>(random.next())},
                 {static_cast<std::uint32_t>(random.next())}};
    const auto advertised = [&](const Peer& peer) {
        return static_cast<std::uint16_t>(std::min<std::uint32_t>(peer.buffer >> shift, 65535));
    };
    show(window, {Outbound, kSyn, peers[0].initial, 0, 0, 8000, option});
    show(window, {Inbound, kSyn | kAck, peers[1].initial, peers[0].initial + 1, 0, 8000, option});
    for (int i = 0; i < 2; ++i) {
        peers[i].received = peers[1 - i].initial + 1;
        peers[i].offered = peers[i].next + 8000;
    }
    struct Flying {
        Segment segment;
        int from = 0;
    };
    std::deque<Flying> inside;   // between the sender and us
    std::deque<Flying> outside;  // between us and the receiver
    const auto deliver = [&](const Flying& flying) {
        Peer& to = peers[1 - flying.from];
        const Segment& s = flying.segment;
        if (static_cast<std::int32_t>(s.acknowledgement - to.unacknowledged) > 0) {
            to.unacknowledged = s.acknowledgement;
        }
        const std::uint32_t edge = s.acknowledgement + (std::uint32_t{s.window} << shift);
        if (static_cast<std::int32_t>(edge - to.offered) > 0) to.offered = edge;
        const auto end = s.sequence + static_cast<std::uint32_t>(s.length);
        if (static_cast<std::int32_t>(s.sequence - to.received) <= 0 &&
            static_cast<std::int32_t>(end - to.received) > 0) {
            to.received = end;
        }
    };
    for (int step = 0; step < 4000; ++step) {
        const int who = static_cast<int>(random.below(2));
        Peer& peer = peers[who];
        Segment segment{
            who == 0 ? Outbound : Inbound, kAck, peer.next, peer.received, 0, advertised(peer)};
        const std::uint32_t room = peer.offered - peer.next;
        const std::uint32_t what = random.below(10);
        if (what < 5 && static_cast<std::int32_t>(room) > 0) {
            segment.length = 1 + random.below(std::min<std::uint32_t>(room, 20000));
            peer.next += static_cast<std::uint32_t>(segment.length);
        } else if (what < 7 && peer.next != peer.unacknowledged) {
            segment.sequence = peer.unacknowledged;
            segment.length = 1 + random.below(peer.next - peer.unacknowledged);
        } else if (what == 7) {
            segment.sequence = peer.unacknowledged - 1;
        }
        if (random.below(10) != 0) inside.push_back({segment, who});
        if (random.below(20) == 0 && !inside.empty()) inside.push_back(inside.front());
        while (inside.size() > 3 || (!inside.empty() && random.below(2) == 0)) {
            const std::size_t at = random.below(static_cast<std::uint32_t>(inside.size()));
            const Flying flying = inside[at];
            inside.erase(inside.begin() + static_cast<std::ptrdiff_t>(at));
            const auto verdict = show(window, flying.segment);
            if (verdict != WindowVerdict::Ok) ++traffic.refused;
            if (random.below(10) != 0) outside.push_back(flying);
        }
        while (outside.size() > 3 || (!outside.empty() && random.below(2) == 0)) {
            deliver(outside.front());
            outside.pop_front();
        }
    }
    traffic.leastCarried = std::min(peers[0].unacknowledged - peers[0].initial,
                                    peers[1].unacknowledged - peers[1].initial);
    return traffic;
}

}  // namespace

class TcpWindowTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void record_ofAConnection_has22Octets() { QCOMPARE(sizeof(TcpWindow), std::size_t{22}); }

    void transfer_inBothDirections_passes()
    {
        Connection connection;
        for (std::size_t i = 0; i < 10000; ++i) {
            QCOMPARE(connection.transfer(i % 3 == 0 ? Inbound : Outbound, 1 + i % 1400),
                     WindowVerdict::Ok);
        }
    }

    void data_beyondTheOfferedWindow_isOutOfWindow()
    {
        Connection connection;
        // Offered 4,000; counted as 4,096.
        QCOMPARE(show(connection.window,
                      {Outbound, kAck, connection.client + 4096, connection.server, 1}),
                 WindowVerdict::OutOfWindow);
        QCOMPARE(show(connection.window,
                      {Outbound, kAck, connection.client + 100000, connection.server, 10}),
                 WindowVerdict::OutOfWindow);
        QCOMPARE(
            show(connection.window, {Outbound, kAck, connection.client, connection.server, 4000}),
            WindowVerdict::Ok);
    }

    void data_farBehind_isOutOfWindow()
    {
        Connection connection;
        for (int i = 0; i < 100; ++i)
            connection.transfer(Outbound, 1000);
        QCOMPARE(show(connection.window,
                      {Outbound, kAck, connection.client - 70000, connection.server, 10}),
                 WindowVerdict::OutOfWindow);
    }

    void retransmission_alreadyAcknowledged_passes()
    {
        Connection connection;
        for (int i = 0; i < 10; ++i)
            connection.transfer(Outbound, 1000);
        QCOMPARE(show(connection.window,
                      {Outbound, kAck, connection.client - 4000, connection.server, 1000}),
                 WindowVerdict::Ok);
    }

    // RFC 9293 §3.8.4
    void keepalive_oneBeforeTheNext_passes()
    {
        Connection connection;
        connection.transfer(Outbound, 100);
        for (const std::size_t length : {std::size_t{0}, std::size_t{1}}) {
            QCOMPARE(show(connection.window,
                          {Outbound, kAck, connection.client - 1, connection.server, length}),
                     WindowVerdict::Ok);
        }
    }

    // RFC 9293 §3.8.6.1
    void zeroWindowProbe_ofOneOctet_passes()
    {
        Connection connection;
        QCOMPARE(
            show(connection.window, {Outbound, kAck, connection.client, connection.server, 4000}),
            WindowVerdict::Ok);
        connection.client += 4000;
        QCOMPARE(
            show(connection.window, {Inbound, kAck, connection.server, connection.client, 0, 0}),
            WindowVerdict::Ok);
        QCOMPARE(show(connection.window, {Outbound, kAck, connection.client, connection.server, 1}),
                 WindowVerdict::Ok);
    }

    void acknowledgement_ofWhatWasNotSent_isOutOfWindow()
    {
        Connection connection;
        QCOMPARE(show(connection.window, {Inbound, kAck, connection.server, connection.client + 1}),
                 WindowVerdict::OutOfWindow);
        QCOMPARE(
            show(connection.window, {Inbound, kAck, connection.server, connection.client - 70000}),
            WindowVerdict::OutOfWindow);
        QCOMPARE(show(connection.window, {Inbound, kAck, connection.server, connection.client}),
                 WindowVerdict::Ok);
    }

    void segment_withoutAnyFlag_isOutOfWindow()
    {
        Connection connection;
        QCOMPARE(show(connection.window, {Outbound, 0, connection.client, connection.server, 10}),
                 WindowVerdict::OutOfWindow);
    }

    void superPacket_of64Kilobytes_passes()
    {
        Connection connection{10};
        // The windows of SYNs are not scaled: the first segments are small.
        QCOMPARE(connection.transfer(Outbound, 1000), WindowVerdict::Ok);
        QCOMPARE(connection.transfer(Outbound, 65000), WindowVerdict::Ok);
        QCOMPARE(connection.transfer(Inbound, 65000), WindowVerdict::Ok);
    }

    void fragmentedSegment_ofUnknownLength_doesNotBreakItsAcknowledgement()
    {
        Connection connection{10};
        QCOMPARE(show(connection.window, {Outbound, kAck, connection.client, connection.server, 100,
                                          1000, std::nullopt, wire::Extent::Beginning}),
                 WindowVerdict::Ok);
        QCOMPARE(
            show(connection.window, {Inbound, kAck, connection.server, connection.client + 1460}),
            WindowVerdict::Ok);
        connection.client += 1460;
        QCOMPARE(connection.transfer(Outbound, 1000), WindowVerdict::Ok);
        // Exactly the other side's acknowledgement is still a good reset.
        QCOMPARE(show(connection.window, {Outbound, kRst, connection.client}), WindowVerdict::Ok);
    }

    // RFC 5961 §3; threat B5, checks 1 and 2: every number but the exact one.
    void reset_unlessExact_isRefused()
    {
        for (const auto direction : {Outbound, Inbound}) {
            Connection connection;
            connection.transfer(Outbound, 500);
            connection.transfer(Inbound, 700);
            const TcpWindow before = connection.window;
            const std::uint32_t exact =
                direction == Outbound ? connection.client : connection.server;
            Random random{{1, 1}};
            for (int i = 0; i < 1000; ++i) {
                const auto sequence = static_cast<std::uint32_t>(random.next());
                if (sequence == exact) continue;
                QCOMPARE(show(connection.window, {direction, kRst, sequence}),
                         WindowVerdict::InexactReset);
            }
            for (std::uint32_t off = 1; off <= 4000; ++off) {
                QCOMPARE(show(connection.window, {direction, kRst, exact + off}),
                         WindowVerdict::InexactReset);
                QCOMPARE(show(connection.window, {direction, kRst, exact - off}),
                         WindowVerdict::InexactReset);
            }
            QVERIFY(connection.window == before);
            QCOMPARE(show(connection.window, {direction, kRst, exact}), WindowVerdict::Ok);
        }
    }

    /// A reset for the octet before a gap: the receiver expects what it has last acknowledged.
    void reset_atTheLastAcknowledgement_isExactToo()
    {
        Connection connection;
        show(connection.window, {Outbound, kAck, connection.client, connection.server, 1000});
        QCOMPARE(show(connection.window, {Outbound, kRst, connection.client}), WindowVerdict::Ok);
        QCOMPARE(show(connection.window, {Outbound, kRst, connection.client + 1000}),
                 WindowVerdict::Ok);
        QCOMPARE(show(connection.window, {Outbound, kRst, connection.client + 500}),
                 WindowVerdict::InexactReset);
    }

    // Threat B8: an acknowledgement of zero proves nothing.
    void reset_withForgedAcknowledgement_isRefused()
    {
        Connection connection;
        connection.transfer(Outbound, 500);
        const std::uint32_t far = connection.client + 0x40000000;
        for (const std::uint32_t ack : {far, connection.client + 1, connection.client - 70000}) {
            QCOMPARE(show(connection.window, {Inbound, kRst | kAck, connection.server, ack}),
                     WindowVerdict::InexactReset);
        }
        QCOMPARE(show(connection.window, {Inbound, kRst | kAck, 0, 0}),
                 WindowVerdict::InexactReset);
        QCOMPARE(
            show(connection.window, {Inbound, kRst | kAck, connection.server, connection.client}),
            WindowVerdict::Ok);
    }

    void reset_asAnswerToASyn_mustAcknowledgeIt()
    {
        TcpWindow window;
        QCOMPARE(show(window, {Outbound, kSyn, kClientIsn}), WindowVerdict::Ok);
        QCOMPARE(show(window, {Inbound, kRst, 0, 0}), WindowVerdict::InexactReset);
        QCOMPARE(show(window, {Inbound, kRst | kAck, 0, kClientIsn}), WindowVerdict::InexactReset);
        QCOMPARE(show(window, {Inbound, kRst | kAck, 0, kClientIsn + 2}),
                 WindowVerdict::InexactReset);
        QCOMPARE(show(window, {Inbound, kRst | kAck, 0, kClientIsn + 1}), WindowVerdict::Ok);
    }

    void reset_withoutAnyConnection_isRefused()
    {
        TcpWindow window;
        QCOMPARE(show(window, {Outbound, kRst, 0, 0}), WindowVerdict::InexactReset);
    }

    // RFC 5961 §4; threat B9, check 3.
    void spoofedSyns_onALiveConnection_changeNothing()
    {
        Connection connection;
        connection.transfer(Outbound, 500);
        Random random{{2, 1}};
        for (int i = 0; i < 50; ++i) {
            const auto direction = i % 2 == 0 ? Outbound : Inbound;
            QCOMPARE(
                show(connection.window, {direction, kSyn, static_cast<std::uint32_t>(random.next()),
                                         0, 0, 65535, std::uint8_t{14}}),
                WindowVerdict::Challenge);
        }
        QCOMPARE(connection.transfer(Outbound, 500), WindowVerdict::Ok);
        QCOMPARE(connection.transfer(Inbound, 500), WindowVerdict::Ok);
        // A stale SYN-ACK is no answer to any of them.
        QCOMPARE(show(connection.window, {Inbound, kSyn | kAck, 5, connection.client}),
                 WindowVerdict::Challenge);
        QCOMPARE(show(connection.window,
                      {Outbound, kAck, connection.client + 4097, connection.server, 10}),
                 WindowVerdict::OutOfWindow);
    }

    /// A client that has crashed and uses its port again, and a server that remembers: the
    /// challenge acknowledgement makes the client reset the old connection (RFC 5961 §4).
    void syn_ofARestartedClient_endsInAnExactReset()
    {
        Connection connection;
        connection.transfer(Outbound, 500);
        QCOMPARE(show(connection.window, {Outbound, kSyn, 777777}), WindowVerdict::Challenge);
        QCOMPARE(show(connection.window, {Inbound, kAck, connection.server, connection.client}),
                 WindowVerdict::Ok);
        QCOMPARE(show(connection.window, {Outbound, kRst, connection.client}), WindowVerdict::Ok);
    }

    /// As before, but the server has forgotten, too, while nobody told us.
    void syn_answeredByAServerThatForgot_reopens()
    {
        Connection connection;
        connection.transfer(Outbound, 500);
        QCOMPARE(show(connection.window, {Outbound, kSyn, 777777, 0, 0, 64240, std::uint8_t{7}}),
                 WindowVerdict::Challenge);
        QCOMPARE(
            show(connection.window, {Inbound, kSyn | kAck, 55, 777778, 0, 64240, std::uint8_t{7}}),
            WindowVerdict::Reopened);
        connection.client = 777778;
        connection.server = 56;
        QCOMPARE(show(connection.window, {Outbound, kAck, connection.client, connection.server}),
                 WindowVerdict::Ok);
        QCOMPARE(connection.transfer(Outbound, 1460), WindowVerdict::Ok);
        QCOMPARE(connection.transfer(Inbound, 1460), WindowVerdict::Ok);
        QCOMPARE(show(connection.window, {Inbound, kRst, connection.server + 1}),
                 WindowVerdict::InexactReset);
    }

    /// RFC 9293 §3.5.1: recovery from a half-open connection, with a new session here.
    void oldAcknowledgement_asAnswerToASyn_leadsToAReset()
    {
        TcpWindow window;
        QCOMPARE(show(window, {Outbound, kSyn, kClientIsn}), WindowVerdict::Ok);
        QCOMPARE(show(window, {Inbound, kAck, 5000, 9000}), WindowVerdict::Challenge);
        QCOMPARE(show(window, {Outbound, kRst, 9000}), WindowVerdict::Ok);
        QCOMPARE(show(window, {Outbound, kSyn, kClientIsn}), WindowVerdict::Ok);
        QCOMPARE(show(window, {Inbound, kSyn | kAck, 7000, kClientIsn + 1}), WindowVerdict::Ok);
    }

    void synAck_thatDoesNotAcknowledgeTheSyn_isNotBelieved()
    {
        TcpWindow window;
        show(window, {Outbound, kSyn, kClientIsn});
        QCOMPARE(show(window, {Inbound, kSyn | kAck, 5000, kClientIsn + 2}),
                 WindowVerdict::Challenge);
        QCOMPARE(show(window, {Inbound, kSyn | kAck, 5000, kClientIsn}), WindowVerdict::Challenge);
        QCOMPARE(show(window, {Inbound, kSyn | kAck, 7000, kClientIsn + 1}), WindowVerdict::Ok);
        QCOMPARE(show(window, {Outbound, kAck, kClientIsn + 1, 7001}), WindowVerdict::Ok);
    }

    // RFC 5382 REQ-2a
    void simultaneousOpen_passesAndTracks()
    {
        Connection connection;
        connection.window = TcpWindow{};
        QCOMPARE(show(connection.window, {Outbound, kSyn, kClientIsn, 0, 0, 4000, std::uint8_t{2}}),
                 WindowVerdict::Ok);
        QCOMPARE(show(connection.window, {Inbound, kSyn, kServerIsn, 0, 0, 4000, std::uint8_t{2}}),
                 WindowVerdict::Ok);
        QCOMPARE(show(connection.window, {Outbound, kSyn | kAck, kClientIsn, connection.server, 0,
                                          4000, std::uint8_t{2}}),
                 WindowVerdict::Ok);
        QCOMPARE(show(connection.window, {Inbound, kSyn | kAck, kServerIsn, connection.client, 0,
                                          4000, std::uint8_t{2}}),
                 WindowVerdict::Ok);
        QCOMPARE(connection.transfer(Outbound, 4000), WindowVerdict::Ok);
        QCOMPARE(connection.transfer(Inbound, 4000), WindowVerdict::Ok);
        QCOMPARE(show(connection.window, {Inbound, kRst, connection.server + 1}),
                 WindowVerdict::InexactReset);
    }

    void spoofedInboundSyn_beforeTheAnswer_doesNotDefeatIt()
    {
        TcpWindow window;
        show(window, {Outbound, kSyn, kClientIsn});
        QCOMPARE(show(window, {Inbound, kSyn, 123}), WindowVerdict::Ok);
        QCOMPARE(show(window, {Inbound, kSyn | kAck, 7000, kClientIsn + 1}), WindowVerdict::Ok);
        QCOMPARE(show(window, {Outbound, kAck, kClientIsn + 1, 7001}), WindowVerdict::Ok);
        QCOMPARE(show(window, {Inbound, kAck, 7001, kClientIsn + 1, 500}), WindowVerdict::Ok);
    }

    void syns_retransmitted_pass()
    {
        TcpWindow window;
        for (int i = 0; i < 3; ++i) {
            QCOMPARE(show(window, {Outbound, kSyn, kClientIsn}), WindowVerdict::Ok);
        }
        for (int i = 0; i < 3; ++i) {
            QCOMPARE(show(window, {Inbound, kSyn | kAck, kServerIsn, kClientIsn + 1}),
                     WindowVerdict::Ok);
        }
        QCOMPARE(show(window, {Outbound, kAck, kClientIsn + 1, kServerIsn + 1}), WindowVerdict::Ok);
        // The acknowledgement was lost behind us.
        const TcpWindow before = window;
        QCOMPARE(show(window, {Inbound, kSyn | kAck, kServerIsn, kClientIsn + 1}),
                 WindowVerdict::Ok);
        QVERIFY(window == before);
    }

    void syn_withAnotherNumberBeforeAnyAnswer_counts()
    {
        TcpWindow window;
        show(window, {Outbound, kSyn, 1});
        QCOMPARE(show(window, {Outbound, kSyn, 900000}), WindowVerdict::Ok);
        QCOMPARE(show(window, {Inbound, kSyn | kAck, 5, 900001}), WindowVerdict::Ok);
    }

    /// RFC 7323 §2.2: scaling only if both SYNs have the option.
    void scale_ofOneSideOnly_doesNotCount()
    {
        TcpWindow window;
        show(window, {Outbound, kSyn, kClientIsn, 0, 0, 1000, std::uint8_t{10}});
        show(window, {Inbound, kSyn | kAck, kServerIsn, kClientIsn + 1, 0, 1000});
        show(window, {Outbound, kAck, kClientIsn + 1, kServerIsn + 1, 0, 1000});
        QCOMPARE(show(window, {Inbound, kAck, kServerIsn + 1, kClientIsn + 1, 1000}),
                 WindowVerdict::Ok);
        QCOMPARE(show(window, {Inbound, kAck, kServerIsn + 1 + 1000, kClientIsn + 1, 1000}),
                 WindowVerdict::OutOfWindow);
    }

    void scale_inALaterSegment_isIgnored()
    {
        Connection connection{std::nullopt};
        show(connection.window,
             {Inbound, kAck, connection.server, connection.client, 0, 4000, std::uint8_t{14}});
        QCOMPARE(show(connection.window,
                      {Outbound, kAck, connection.client + 5000, connection.server, 10}),
                 WindowVerdict::OutOfWindow);
    }

    void middle_ofAConnection_isBelievedOnceAndThenTracked()
    {
        TcpWindow window;
        QCOMPARE(show(window, {Outbound, kAck, 5000, 9000, 100}), WindowVerdict::Ok);
        QCOMPARE(show(window, {Inbound, kAck, 9000, 5100, 1400}), WindowVerdict::Ok);
        QCOMPARE(show(window, {Outbound, kAck, 5100, 10400}), WindowVerdict::Ok);
        QCOMPARE(show(window, {Outbound, kRst, 5101}), WindowVerdict::InexactReset);
        QCOMPARE(show(window, {Inbound, kAck, 10400, 5101}), WindowVerdict::OutOfWindow);
        // The scale is unknown, so the window is taken as large as it may be.
        QCOMPARE(show(window, {Outbound, kAck, 5100 + 1000000, 10400, 10}), WindowVerdict::Ok);
    }

    void forgetPositions_thenTraffic_goesOnButResetsMustBeExact()
    {
        Connection connection;
        connection.transfer(Outbound, 500);
        connection.window.forgetPositions();
        connection.client += 10000000;
        connection.server += 5000000;
        QCOMPARE(show(connection.window, {Inbound, kRst, connection.server}),
                 WindowVerdict::InexactReset);
        QCOMPARE(show(connection.window, {Outbound, kSyn, 1}), WindowVerdict::Challenge);
        QCOMPARE(connection.transfer(Inbound, 1000), WindowVerdict::Ok);
        QCOMPARE(connection.transfer(Outbound, 1000), WindowVerdict::Ok);
        QCOMPARE(show(connection.window, {Inbound, kRst, connection.server + 1}),
                 WindowVerdict::InexactReset);
        QCOMPARE(show(connection.window, {Inbound, kRst, connection.server}), WindowVerdict::Ok);
        // The scales are still known.
        QCOMPARE(show(connection.window,
                      {Outbound, kAck, connection.client + 5000, connection.server, 10}),
                 WindowVerdict::OutOfWindow);
    }

    // RFC 5927 §4.1; threats C1 and C2.
    void inFlight_isWhatWasSentAndNotAcknowledged()
    {
        Connection connection;
        connection.transfer(Outbound, 1000);
        show(connection.window, {Outbound, kAck, connection.client, connection.server, 1000});
        QVERIFY(connection.window.inFlight(Outbound, connection.client));
        QVERIFY(connection.window.inFlight(Outbound, connection.client + 999));
        QVERIFY(connection.window.inFlight(Outbound, connection.client - 1));
        QVERIFY(!connection.window.inFlight(Outbound, connection.client - 2));
        QVERIFY(!connection.window.inFlight(Outbound, connection.client + 1001));
        Random random{{3, 1}};
        int believed = 0;
        for (int i = 0; i < 100000; ++i) {
            const auto sequence = static_cast<std::uint32_t>(random.next());
            if (connection.window.inFlight(Outbound, sequence)) ++believed;
        }
        QVERIFY(believed <= 1);
    }

    void inFlight_ofASyn_isItsNumber()
    {
        TcpWindow window;
        show(window, {Outbound, kSyn, kClientIsn});
        QVERIFY(window.inFlight(Outbound, kClientIsn));
        QVERIFY(!window.inFlight(Outbound, kClientIsn + 100));
    }

    /// Nothing of theirs may ever be refused, whichever side of us it was lost on.
    void honestTraffic_withLossAndDelay_isNeverRefused()
    {
        for (std::uint64_t seed = 0; seed < 40; ++seed) {
            const Traffic traffic = honestTraffic(seed, ScaleShown::Yes);
            QVERIFY2(traffic.refused == 0, qPrintable(QString("seed %1").arg(seed)));
            // It was traffic, not silence.
            QVERIFY(traffic.leastCarried > 100000);
        }
    }

    /// Negative control: a tracker that has not seen the scales refuses honest segments.
    void honestTraffic_withScalesHidden_isRefused()
    {
        std::uint64_t refused = 0;
        for (std::uint64_t seed = 0; seed < 10; ++seed) {
            refused += honestTraffic(seed, ScaleShown::No).refused;
        }
        QVERIFY(refused > 0);
    }
};

QTEST_APPLESS_MAIN(TcpWindowTest)
#include "tcp_window_test.moc"
