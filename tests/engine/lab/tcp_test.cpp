#include "engine/lab/tcp.h"

#include "engine/lab/network.h"

#include <QtTest>

#include <memory>

using namespace engine;
using namespace engine::lab;

namespace {

constexpr net::Ipv4Address kInside{192, 168, 77, 10};
constexpr net::Ipv4Address kOutside{198, 51, 100, 10};
constexpr net::Port kPort{7000};

struct Pair {
    Network network{Instant{1h}, HashKey{1, 2}, std::make_unique<PlainWire>()};
    Host& inside = network.addInternal("a", kInside);
    Host& outside = network.addExternal("b", kOutside);
};

}  // namespace

class TcpTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void closedPort_resets()
    {
        Pair pair;
        TcpEnd why = TcpEnd::Closed;
        pair.inside.tcp().connect({kOutside, kPort}, {.ended = [&](TcpId, TcpEnd end) {
                                      why = end;
                                  }});
        pair.network.advance(1s);
        QCOMPARE(why, TcpEnd::Reset);
        QCOMPARE(pair.inside.tcp().open(), std::size_t{0});
    }

    void nobodyThere_timesOut()
    {
        Pair pair;
        TcpEnd why = TcpEnd::Closed;
        pair.inside.tcp().connect({net::Ipv4Address{198, 51, 100, 99}, kPort},
                                  {.ended = [&](TcpId, TcpEnd end) {
                                      why = end;
                                  }});
        pair.network.advance(10min);
        QCOMPARE(why, TcpEnd::TimedOut);
        QCOMPARE(pair.network.counters().undeliverable, 9U);
    }

    void smallSegments_arriveInOrderOnALossyLink()
    {
        Pair pair;
        pair.network.setQuality(kInside, {.latency = 1ms, .loss = 100000, .reorder = 100000});
        Octets got;
        bool finished = false;
        pair.outside.tcp().listen(kPort, {.data =
                                              [&](TcpId, wire::ConstBytes bytes) {
                                                  got.insert(got.end(), bytes.begin(), bytes.end());
                                              },
                                          .finished =
                                              [&](TcpId id) {
                                                  finished = true;
                                                  pair.outside.tcp().close(id);
                                              }});
        Octets sent;
        for (int i = 0; i < 500; ++i)
            sent.push_back(static_cast<std::uint8_t>(i));
        bool closed = false;
        const TcpId id = pair.inside.tcp().connect({kOutside, kPort},
                                                   {.ended =
                                                        [&](TcpId, TcpEnd why) {
                                                            closed = why == TcpEnd::Closed;
                                                        }},
                                                   {.segmentSize = 7});
        pair.inside.tcp().send(id, sent);
        pair.inside.tcp().close(id);
        pair.network.advance(10min);
        QVERIFY(got == sent);
        QVERIFY(finished && closed);
        QVERIFY(pair.inside.tcp().retransmissions() > 0);
        QCOMPARE(pair.inside.tcp().open(), std::size_t{0});
        QCOMPARE(pair.outside.tcp().open(), std::size_t{0});
    }

    void abort_isSeenByTheOtherSide()
    {
        Pair pair;
        TcpEnd why = TcpEnd::Closed;
        TcpId accepted = 0;
        pair.outside.tcp().listen(kPort, {.connected = [&](TcpId id) { accepted = id; },
                                          .ended =
                                              [&](TcpId, TcpEnd end) {
                                                  why = end;
                                              }});
        const TcpId id = pair.inside.tcp().connect({kOutside, kPort}, {});
        pair.network.advance(1s);
        QVERIFY(accepted != 0);
        pair.inside.tcp().abort(id);
        pair.network.advance(1s);
        QCOMPARE(why, TcpEnd::Reset);
    }
};

QTEST_APPLESS_MAIN(TcpTest)
#include "tcp_test.moc"
