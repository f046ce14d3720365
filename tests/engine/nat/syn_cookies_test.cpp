#include "engine/nat/syn_cookies.h"

#include "engine/nat/syn_proxy.h"
#include "engine/wire/builder.h"
#include "engine/wire/ipv4_view.h"

#include <QtTest>

#include <array>
#include <set>
#include <vector>

using namespace engine;
using namespace engine::nat;
using namespace std::chrono_literals;
using Bytes = std::vector<std::uint8_t>;

namespace {

const SynCall kCall{.client = {net::Ipv4Address{198, 51, 100, 7}, net::Port{40000}},
                    .server = {net::Ipv4Address{203, 0, 113, 1}, net::Port{443}},
                    .clientSequence = 0xfffffffeU};

wire::TcpView tcpOf(Bytes& packet)
{
    return *wire::TcpView::parse(wire::Ipv4View::parse(packet)->payload());
}

}  // namespace

class SynCookiesTest : public QObject {
    Q_OBJECT
private Q_SLOTS:
    void cookie_givesBackWhatItWasMadeOf()
    {
        const SynCookies cookies({1, 2});
        for (int second = 0; second < 130; second += 3) {
            const Instant now{1h + std::chrono::seconds(second)};
            for (const std::uint16_t size : std::array<std::uint16_t, 4>{536, 1300, 1440, 1460}) {
                for (std::uint8_t scale = 0; scale <= SynOptions::kNoScale; ++scale) {
                    for (const bool sack : {false, true}) {
                        const SynOptions options{size, scale, sack};
                        const auto cookie = cookies.make(now, kCall, options);
                        QCOMPARE(cookies.check(now, kCall, cookie), std::optional{options});
                        QCOMPARE(cookies.check(now + 31s, kCall, cookie), std::optional{options});
                        QVERIFY(!cookies.check(now + SynCookies::kLifetime, kCall, cookie));
                        QVERIFY(!cookies.check(now + 128s, kCall, cookie));
                    }
                }
            }
        }
    }

    void cookie_isOfOneCallAndOneKey()
    {
        const SynCookies cookies({1, 2});
        const Instant now{1h};
        const auto cookie = cookies.make(now, kCall, {1460, 7, true});
        const auto refused = [&](const SynCall& call) {
            return !cookies.check(now, call, cookie);
        };
        SynCall other = kCall;
        other.client.port = net::Port{40001};
        QVERIFY(refused(other));
        other = kCall;
        other.client.address = net::Ipv4Address{198, 51, 100, 8};
        QVERIFY(refused(other));
        other = kCall;
        other.server.port = net::Port{444};
        QVERIFY(refused(other));
        other = kCall;
        other.server.address = net::Ipv4Address{203, 0, 113, 2};
        QVERIFY(refused(other));
        other = kCall;
        ++other.clientSequence;
        QVERIFY(refused(other));
        QVERIFY(!SynCookies({1, 3}).check(now, kCall, cookie));
        for (unsigned bit = 0; bit < 32; ++bit)
            QVERIFY(!cookies.check(now, kCall, cookie ^ (1U << bit)));
    }

    // Whoever sees its own cookies learns nothing of those of others: 24 bits have to be guessed.
    void cookies_ofNeighbouringCalls_areSpreadEvenly()
    {
        const SynCookies cookies({1, 2});
        std::array<unsigned, 256> high{};
        std::array<unsigned, 256> low{};
        std::set<std::uint32_t> different;
        SynCall call = kCall;
        for (unsigned i = 0; i < 25600; ++i) {
            call.client.port = net::Port{static_cast<std::uint16_t>(i)};
            const auto cookie = cookies.make(Instant{1h}, call, {1460, 7, true});
            ++high[cookie >> 24];
            ++low[cookie & 0xff];
            different.insert(cookie);
        }
        QVERIFY(different.size() > 25500);
        for (const auto& counts : {high, low}) {
            double chi = 0;
            for (const unsigned count : counts)
                chi += (count - 100.0) * (count - 100.0) / 100.0;
            // 255 degrees of freedom: 0.1 % lie above 330.
            QVERIFY2(chi < 330, qPrintable(QString::number(chi)));
        }
    }

    void options_areRoundedDownAndFitIntoTheRoomThereIs()
    {
        const auto said = [](std::optional<std::uint16_t> size, std::optional<std::uint8_t> scale,
                             bool sack, std::size_t room) {
            Bytes syn = wire::buildTcp({.source = kCall.client,
                                        .destination = kCall.server,
                                        .flags = wire::tcp_flag::kSyn,
                                        .maximumSegmentSize = size,
                                        .windowScale = scale,
                                        .sackPermitted = sack});
            return optionsOf(tcpOf(syn), room);
        };
        QCOMPARE(said(1459, 14, true, 12), (SynOptions{1440, 14, true}));
        QCOMPARE(said(9000, 0, false, 12), (SynOptions{1460, 0, false}));
        QCOMPARE(said(100, {}, true, 12), (SynOptions{536, SynOptions::kNoScale, true}));
        QCOMPARE(said({}, {}, false, 12), SynOptions{});
        // RFC 7323 §2.3.
        QCOMPARE(said({}, 200, false, 12).windowScale, std::uint8_t{14});
        QCOMPARE(said(1460, 7, true, 8), (SynOptions{1460, 7, false}));
        QCOMPARE(said(1460, 7, true, 0), SynOptions{});
    }

    // The tightest SYN that says everything has exactly the room for the answer.
    void answer_fitsOverTheSynThatAskedForIt()
    {
        for (const bool options : {false, true}) {
            Bytes tcp(options ? 32 : 20);
            wire::store16(tcp, 0, 40000);
            wire::store16(tcp, 2, 443);
            wire::store32(tcp, 4, 77);
            tcp[12] = static_cast<std::uint8_t>(tcp.size() / 4 << 4);
            tcp[13] = wire::tcp_flag::kSyn;
            if (options) {
                const Bytes said{2, 4, 5, 0xb4, 4, 2, 3, 3, 8, 0, 0, 0};
                std::copy(said.begin(), said.end(), tcp.begin() + 20);
            }
            Bytes packet = wire::buildIpv4(kCall.client.address, kCall.server.address,
                                           net::IpProtocol::Tcp, tcp);
            const auto asked = optionsOf(tcpOf(packet), packet.size() - 40);
            const auto answer = answerInPlace(
                packet,
                {.sequence = 4711, .maximumSegmentSize = 1452, .windowScale = 7, .asked = asked});
            QCOMPARE(answer.size(), packet.size());
            const auto ip = wire::Ipv4View::parse(answer);
            QVERIFY(ip && ip->hasValidChecksum());
            const auto said = wire::TcpView::parse(ip->payload());
            QVERIFY(said && said->hasValidChecksum(*ip));
            QCOMPARE(ip->source(), kCall.server.address);
            QCOMPARE(ip->destination(), kCall.client.address);
            QCOMPARE(said->sourcePort(), net::Port{443});
            QCOMPARE(said->destinationPort(), net::Port{40000});
            QCOMPARE(said->sequence(), 4711U);
            QCOMPARE(said->acknowledgement(), 78U);
            QCOMPARE(said->flags(), wire::tcp_flag::kSyn | wire::tcp_flag::kAck);
            QCOMPARE(said->window(), std::uint16_t{0});
            QCOMPARE(said->maximumSegmentSize().has_value(), options);
            QCOMPARE(said->windowScale().has_value(), options);
            if (options) QCOMPARE(*said->maximumSegmentSize(), std::uint16_t{1452});
        }
    }

    // Whatever both sides scale by, a window never means more than was meant, and hardly less.
    void windows_meanTheSameToBothSides()
    {
        const auto synAck = [](std::optional<std::uint8_t> scale) {
            return wire::buildTcp({.source = kCall.server,
                                   .destination = kCall.client,
                                   .flags = wire::tcp_flag::kSyn | wire::tcp_flag::kAck,
                                   .sequence = 1000,
                                   .windowScale = scale});
        };
        for (int scale = -1; scale <= 14; ++scale) {
            ShiftedConnection connection;
            connection.told = 500;
            connection.options.windowScale = 4;
            Bytes hello =
                synAck(scale < 0 ? std::nullopt : std::optional{static_cast<std::uint8_t>(scale)});
            connection.begin(tcpOf(hello));
            for (const std::uint16_t window :
                 std::array<std::uint16_t, 5>{0, 1, 100, 2000, 65535}) {
                Bytes out = wire::buildTcp({.source = kCall.server,
                                            .destination = kCall.client,
                                            .flags = wire::tcp_flag::kAck,
                                            .sequence = 1001,
                                            .window = window});
                auto tcp = tcpOf(out);
                connection.translateOutbound(tcp, wire::ChecksumState::Complete);
                QCOMPARE(tcp.sequence(), 501U);
                QVERIFY(tcp.hasValidChecksum(*wire::Ipv4View::parse(out)));
                const std::uint64_t meant = std::uint64_t{window} << (scale < 0 ? 0 : scale);
                const std::uint64_t heard = std::uint64_t{tcp.window()} << SynProxy::kToldScale;
                QVERIFY(heard <= meant);
                QVERIFY(meant - heard < 128 || tcp.window() == 65535);

                Bytes in = wire::buildTcp({.source = kCall.client,
                                           .destination = kCall.server,
                                           .flags = wire::tcp_flag::kAck,
                                           .acknowledgement = 501,
                                           .window = window});
                auto back = tcpOf(in);
                const Bytes before = in;
                connection.translateInbound(back, wire::ChecksumState::Complete);
                QCOMPARE(back.acknowledgement(), 1001U);
                QVERIFY(back.hasValidChecksum(*wire::Ipv4View::parse(in)));
                const std::uint64_t said = std::uint64_t{window} << 4;
                const std::uint64_t taken = std::uint64_t{back.window()} << (scale < 0 ? 0 : 4);
                QVERIFY(taken == said || (scale < 0 && back.window() == 65535 && said > 65535));
                connection.restoreInbound(back, window, wire::ChecksumState::Complete);
                QCOMPARE(in, before);
            }
        }
    }

    void selectiveAcknowledgements_areShiftedAtAnyOffset()
    {
        for (std::size_t padding = 0; padding < 4; ++padding) {
            Bytes tcp(20 + 24);
            tcp[12] = static_cast<std::uint8_t>(tcp.size() / 4 << 4);
            tcp[13] = wire::tcp_flag::kAck;
            for (std::size_t i = 0; i < 24; ++i)
                tcp[20 + i] = wire::tcp_option::kNoOperation;
            tcp[20 + padding] = wire::tcp_option::kSack;
            tcp[21 + padding] = 18;
            const std::array<std::uint32_t, 4> edges{0xfffffff0U, 5, 100, 200};
            for (std::size_t i = 0; i < edges.size(); ++i)
                wire::store32(tcp, 22 + padding + 4 * i, edges[i]);
            wire::ChecksumSum sum;
            sum.addPseudoHeader(kCall.client.address, kCall.server.address, net::IpProtocol::Tcp,
                                tcp.size());
            sum.add(tcp);
            wire::store16(tcp, 16, sum.checksum());
            Bytes packet = wire::buildIpv4(kCall.client.address, kCall.server.address,
                                           net::IpProtocol::Tcp, tcp);
            auto view = tcpOf(packet);
            view.shiftSelectiveAcknowledgements(1000, wire::ChecksumState::Complete);
            for (std::size_t i = 0; i < edges.size(); ++i) {
                QCOMPARE(wire::load32(view.bytes(), 22 + padding + 4 * i), edges[i] + 1000);
            }
            QVERIFY(view.hasValidChecksum(*wire::Ipv4View::parse(packet)));
        }
    }
};

QTEST_APPLESS_MAIN(SynCookiesTest)
#include "syn_cookies_test.moc"
