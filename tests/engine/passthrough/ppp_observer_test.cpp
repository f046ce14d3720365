#include "engine/passthrough/ppp_observer.h"

#include <QtTest>

#include <chrono>
#include <vector>

using namespace engine;
using namespace engine::passthrough;
using namespace std::chrono_literals;
using net::Direction;
using Frame = std::vector<std::uint8_t>;

namespace {

constexpr Instant kStart{100s};
constexpr Direction kOut = Direction::Outbound;
constexpr Direction kIn = Direction::Inbound;

/// As programs send them: a client that asks for 1,400 octets, no compression of headers yet.
const Frame kClientRequest{0xff, 0x03, 0xc0, 0x21, 0x01, 0x01, 0x00, 0x18, 0x01, 0x04,
                           0x05, 0x78, 0x02, 0x06, 0x00, 0x00, 0x00, 0x00, 0x05, 0x06,
                           0x5c, 0x3e, 0x91, 0x02, 0x07, 0x02, 0x08, 0x02};
/// A server that wants MS-CHAPv2 and says nothing of sizes.
const Frame kServerRequest{0xff, 0x03, 0xc0, 0x21, 0x01, 0x01, 0x00, 0x15, 0x02,
                           0x06, 0x00, 0x00, 0x00, 0x00, 0x03, 0x05, 0xc2, 0x23,
                           0x81, 0x05, 0x06, 0x1f, 0x0b, 0xa8, 0x44};
/// What the other side says to it: the same with another code.
Frame answerTo(Frame request, std::uint8_t code)
{
    request.at(4) = code;
    return request;
}
Frame echo(std::uint8_t code, std::uint8_t id)
{
    return {0xff, 0x03, 0xc0, 0x21, code, id, 0x00, 0x08, 0x5c, 0x3e, 0x91, 0x02};
}

}  // namespace

/// What PPP in a call or session shows without any key.
class PppObserverTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void configuration_tellsTheRoundTripAndTheLargestPacket()
    {
        PppObserver ppp;
        Instant now = kStart;
        QVERIFY(!ppp.observe(now, kOut, kClientRequest).roundTrip);
        now += 5ms;
        QVERIFY(!ppp.observe(now, kIn, kServerRequest).roundTrip);
        now += 10ms;
        const auto acknowledged = ppp.observe(now, kIn, answerTo(kClientRequest, 2));
        QVERIFY(acknowledged.roundTrip == Duration{15ms});
        QVERIFY(!acknowledged.mtu);  // only one side is known
        now += 1ms;
        // The client is as far away as it likes: that is not the way to the server.
        const auto agreed = ppp.observe(now, kOut, answerTo(kServerRequest, 2));
        QVERIFY(!agreed.roundTrip);
        QVERIFY(agreed.mtu == std::uint16_t{1400});
        QVERIFY(!ppp.observe(now, kOut, answerTo(kServerRequest, 2)).mtu);
    }

    void echoes_tellTheRoundTrip_unlessWhichOneWasAnsweredCannotBeTold()
    {
        PppObserver ppp;
        Instant now = kStart;
        ppp.observe(now, kOut, echo(9, 4));
        now += 23ms;
        QVERIFY(!ppp.observe(now, kIn, echo(9, 7)).roundTrip);    // the server's own question
        QVERIFY(!ppp.observe(now, kOut, echo(10, 7)).roundTrip);  // and our answer
        QVERIFY(!ppp.observe(now, kIn, echo(10, 3)).roundTrip);   // to an older one
        QVERIFY(ppp.observe(now, kIn, echo(10, 4)).roundTrip == Duration{23ms});
        QVERIFY(!ppp.observe(now, kIn, echo(10, 4)).roundTrip);  // twice
        // Asked twice with the same number: which one was answered?
        ppp.observe(now, kOut, echo(9, 5));
        ppp.observe(now + 10ms, kOut, echo(9, 5));
        QVERIFY(!ppp.observe(now + 20ms, kIn, echo(10, 5)).roundTrip);
        // A request for another thing with the same number is not answered by it.
        ppp.observe(now, kOut, echo(9, 1));
        QVERIFY(!ppp.observe(now, kIn, answerTo(kClientRequest, 2)).roundTrip);
    }

    void compressedHeaders_showTheSame()
    {
        PppObserver ppp;
        const auto bare = [](Frame frame) {
            return Frame(frame.begin() + 2, frame.end());
        };
        ppp.observe(kStart, kOut, bare(echo(9, 1)));
        QVERIFY(ppp.observe(kStart + 7ms, kIn, bare(echo(10, 1))).roundTrip == Duration{7ms});
    }

    void sizes_ofAnySide_areTheSmaller_andFollowANewAgreement()
    {
        PppObserver ppp;
        const auto request = [](std::uint8_t high, std::uint8_t low) {
            return Frame{0xc0, 0x21, 2, 1, 0, 8, 1, 4, high, low};
        };
        ppp.observe(kStart, kOut, request(0x05, 0xd4));                                     // 1492
        QVERIFY(ppp.observe(kStart, kIn, request(0x05, 0xdc)).mtu == std::uint16_t{1492});  // 1500
        QVERIFY(ppp.observe(kStart, kIn, request(0x05, 0x14)).mtu == std::uint16_t{1300});
        // Not its length: no such option, so the usual size.
        QVERIFY(ppp.observe(kStart, kIn, Frame{0xc0, 0x21, 2, 1, 0, 7, 1, 3, 9}).mtu ==
                std::uint16_t{1492});
    }

    void addresses_ofBothSides_areTold()
    {
        PppObserver ppp;
        const Frame refused{0x80, 0x21, 3, 1, 0, 10, 3, 6, 10, 20, 0, 5};
        const Frame mine{0x80, 0x21, 2, 2, 0, 10, 3, 6, 10, 20, 0, 5};
        const Frame theirs{0x80, 0x21, 2, 1, 0, 10, 3, 6, 10, 20, 0, 1};
        QVERIFY(!ppp.observe(kStart, kIn, refused).innerAddress);
        QVERIFY(ppp.observe(kStart, kIn, mine).innerAddress == net::Ipv4Address(10, 20, 0, 5));
        QVERIFY(ppp.observe(kStart, kOut, theirs).innerAddress == net::Ipv4Address(10, 20, 0, 1));
    }

    void lengthsThatLie_showNothing()
    {
        for (std::size_t size = 0; size < kClientRequest.size(); ++size) {
            PppObserver ppp;
            const Frame request = answerTo(kClientRequest, 1);
            const Frame cut(request.begin(), request.begin() + std::ptrdiff_t(size));
            const Frame answer = answerTo(kClientRequest, 2);
            const Frame cutAnswer(answer.begin(), answer.begin() + std::ptrdiff_t(size));
            ppp.observe(kStart, kOut, cut);
            const auto news = ppp.observe(kStart, kIn, cutAnswer);
            QVERIFY(!news.roundTrip && !news.mtu && !news.phase);
        }
        PppObserver ppp;
        Frame longer = answerTo(kClientRequest, 2);
        longer[7] = 0x40;
        ppp.observe(kStart, kOut, kClientRequest);
        QVERIFY(!ppp.observe(kStart, kIn, longer).roundTrip);
        // An option that is longer than its packet.
        Frame option = answerTo(kClientRequest, 2);
        option[9] = 0x30;
        ppp.observe(kStart, kOut, option);
        QVERIFY(ppp.observe(kStart, kIn, option).mtu == std::uint16_t{1500});
    }
};

QTEST_APPLESS_MAIN(PppObserverTest)
#include "ppp_observer_test.moc"
