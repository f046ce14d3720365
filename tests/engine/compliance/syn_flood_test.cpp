#include "engine/base/random.h"
#include "engine/nat/syn_proxy.h"

#include <QtTest>

#include <deque>

#include "tests/engine/compliance/bed.h"
#include "tests/engine/compliance/tcp_peer.h"

/// A flood of connection attempts at a server inside: the router answers them itself and passes on
/// who proves to be there (RFC 4987 §3.6).

using namespace bed;

namespace {

constexpr std::uint32_t kMost = engine::nat::SynProxy::kHandshakesAtOnce;
const Endpoint kShown = at(kExternal, 443);
const Endpoint kInside = at(kAnna, 443);

engine::policy::PortForward web()
{
    return {.id = 1,
            .protocol = IpProtocol::Tcp,
            .externalPorts = range(443, 443),
            .internalAddress = kAnna,
            .internalFirst = Port{443}};
}

EngineConfig withWeb()
{
    EngineConfig config = usual();
    config.maxSessions = 65536;
    config.portForwards = {web()};
    return config;
}

/// Lets time go by as a shell would; everything that the engine has to say meanwhile.
engine::Output passing(Bed& bed, Duration duration)
{
    engine::Output all;
    const Instant until = bed.now + duration;
    for (bool more = true; more;) {
        const auto next = bed.engine().nextTimeout();
        more = next && *next <= until;
        bed.now = more ? std::max(bed.now, *next) : until;
        engine::Output output;
        bed.engine().handleTimeout(bed.now, output);
        std::move(output.packets.begin(), output.packets.end(), std::back_inserter(all.packets));
        std::move(output.events.begin(), output.events.end(), std::back_inserter(all.events));
    }
    return all;
}

/// Connection attempts from made-up senders, sent without copying.
class SynFlood {
public:
    explicit SynFlood(Bed& bed, Endpoint shown = kShown) : m_bed(bed), m_shown(shown) {}

    std::uint64_t inside = 0;
    std::uint64_t answered = 0;

    void send(std::uint32_t count)
    {
        for (std::uint32_t i = 0; i < count; ++i)
            one(m_sent++);
    }
    /// The same few senders again and again.
    void repeat(std::uint32_t senders, std::uint32_t count)
    {
        for (std::uint32_t i = 0; i < count; ++i)
            one(i % senders);
    }

private:
    void one(std::uint32_t i)
    {
        m_packet = wire::buildTcp({.source = at(Ipv4Address{(11U << 24) + i / 3}, 1024 + i % 3),
                                   .destination = m_shown,
                                   .flags = flag::kSyn,
                                   .sequence = i * 77,
                                   .maximumSegmentSize = 1460});
        wire::Packet carried{.bytes = m_packet};
        m_output.clear();
        const Verdict verdict =
            m_bed.engine().handlePacket(m_bed.now, PortId::External, carried, m_output);
        if (verdict.kind != Verdict::Kind::Forward) return;
        (verdict.egress == PortId::Internal ? inside : answered) += 1;
    }

    Bed& m_bed;
    Endpoint m_shown;
    std::uint32_t m_sent = 0;
    Bytes m_packet;
    engine::Output m_output;
};

/// What travels between a guest and the server, through the bed, with a line that loses packets.
class Line {
public:
    Line(Bed& bed, TcpPeer& guest, TcpPeer& server) : m_bed(bed), m_guest(guest), m_server(server)
    {}

    unsigned loses = 0;  ///< so many packets of a hundred, in runs of two
    unsigned synsInside = 0;
    std::vector<engine::Event> events;

    void fromGuest(Bytes packet) { m_queue.push_back({PortId::External, std::move(packet)}); }
    void fromServer(Bytes packet) { m_queue.push_back({PortId::Internal, std::move(packet)}); }
    void run()
    {
        while (!m_queue.empty()) {
            auto [ingress, packet] = std::move(m_queue.front());
            m_queue.pop_front();
            Outcome outcome = m_bed.send(ingress, std::move(packet));
            if (outcome.verdict.kind == Verdict::Kind::Forward) {
                arrive(outcome.verdict.egress, std::move(outcome.packet));
            }
            take(outcome.made, outcome.events);
        }
    }
    /// Time passes, and whoever misses something says so.
    void wait(Duration duration)
    {
        engine::Output output = passing(m_bed, duration);
        take(output.packets, output.events);
        run();
        for (Bytes& packet : m_guest.again())
            fromGuest(std::move(packet));
        for (Bytes& packet : m_server.again())
            fromServer(std::move(packet));
        run();
    }
    /// Until both have everything, or have tried often enough.
    bool finish()
    {
        const auto done = [&] {
            return (m_guest.isClosed() && m_server.isClosed()) || m_guest.wasReset;
        };
        for (int round = 0; round < 60 && !done(); ++round) {
            if (m_guest.allAcknowledged() && m_server.allAcknowledged()) {
                m_guest.wantFin();
                m_server.wantFin();
            }
            for (Bytes& packet : m_guest.send())
                fromGuest(std::move(packet));
            for (Bytes& packet : m_server.send())
                fromServer(std::move(packet));
            run();
            if (!done()) wait(1s);
        }
        return m_guest.isClosed() && m_server.isClosed();
    }

private:
    void take(std::vector<engine::OutgoingPacket>& made, std::vector<engine::Event>& told)
    {
        for (auto& packet : made)
            arrive(packet.egress, std::move(packet.bytes));
        made.clear();
        std::move(told.begin(), told.end(), std::back_inserter(events));
        told.clear();
    }
    void arrive(PortId egress, Bytes packet)
    {
        if (++m_count > 6 && (m_losesNext || m_random.below(200) < loses)) {
            m_losesNext = !m_losesNext;
            return;
        }
        TcpPeer& to = egress == PortId::Internal ? m_server : m_guest;
        if (destinationOf(packet) != to.own || sourceOf(packet) != to.other) return;
        if (egress == PortId::Internal) {
            const auto ip = view(packet);
            if ((*wire::TcpView::parse(ip.payload())).has(flag::kSyn)) ++synsInside;
        }
        for (Bytes& answer : to.receive(std::move(packet))) {
            if (&to == &m_server)
                fromServer(std::move(answer));
            else
                fromGuest(std::move(answer));
        }
    }

    Bed& m_bed;
    TcpPeer& m_guest;
    TcpPeer& m_server;
    std::deque<std::pair<PortId, Bytes>> m_queue;
    unsigned m_count = 0;
    bool m_losesNext = false;
    engine::Random m_random{{5, 6}};
};

Bytes pattern(std::size_t size, unsigned seed)
{
    Bytes data(size);
    for (std::size_t i = 0; i < size; ++i)
        data[i] = static_cast<std::uint8_t>((i * 31 + i / 251 * seed + seed) & 0xff);
    return data;
}

/// A guest that comes, sends, receives and leaves. Its number names it.
struct Visit {
    Visit(Bed& bed, unsigned number, TcpPeer::Habits ofGuest = {.scale = 7},
          TcpPeer::Habits ofServer = {.scale = 5}, std::size_t octets = 5000)
        : question(pattern(octets, number)),
          answer(pattern(octets * 2, number + 1)),
          guest(at(kOther, 2000 + number), kShown, 0xfffffff0U + number, ofGuest, question),
          server(kInside, at(kOther, 2000 + number), 0x7ffffff0U + number * 999, ofServer, answer),
          line(bed, guest, server)
    {}

    Bytes question;
    Bytes answer;
    TcpPeer guest;
    TcpPeer server;
    Line line;

    void call()
    {
        line.fromGuest(guest.syn());
        line.run();
    }
    bool isServed()
    {
        call();
        return line.finish() && server.got == question && guest.got == answer &&
               guest.complaint.empty() && server.complaint.empty();
    }
    [[nodiscard]] std::string what() const
    {
        return guest.complaint + "/" + server.complaint + " " + std::to_string(server.got.size()) +
               " of " + std::to_string(question.size()) + ", " + std::to_string(guest.got.size()) +
               " of " + std::to_string(answer.size());
    }
};

bool floodIsOn(Bed& bed)
{
    return !bed.engine().snapshot(bed.now).synFloods.empty();
}

/// What a guest hears that sends this SYN.
struct Answer {
    Bytes packet;
    std::uint32_t cookie = 0;
};
std::optional<Answer> answerTo(Bed& bed, Endpoint guest, std::uint32_t sequence = 5000,
                               Endpoint shown = kShown)
{
    Outcome outcome = bed.inbound(wire::buildTcp({.source = guest,
                                                  .destination = shown,
                                                  .flags = flag::kSyn,
                                                  .sequence = sequence,
                                                  .maximumSegmentSize = 1460,
                                                  .windowScale = 7,
                                                  .sackPermitted = true}));
    if (!outcome.outside() || !outcome.made.empty()) return std::nullopt;
    const auto ip = view(outcome.packet);
    const auto tcp = *wire::TcpView::parse(ip.payload());
    if (outcome.source() != shown || outcome.destination() != guest ||
        tcp.flags() != (flag::kSyn | flag::kAck) || tcp.acknowledgement() != sequence + 1) {
        return std::nullopt;
    }
    const std::uint32_t cookie = tcp.sequence();
    return Answer{std::move(outcome.packet), cookie};
}

Outcome acknowledge(Bed& bed, Endpoint guest, std::uint32_t sequence, std::uint32_t cookie,
                    Endpoint shown = kShown)
{
    return bed.inbound(wire::buildTcp({.source = guest,
                                       .destination = shown,
                                       .flags = flag::kAck,
                                       .sequence = sequence,
                                       .acknowledgement = cookie + 1}));
}

/// Whether the server is sent a SYN.
bool callsServer(const Outcome& outcome)
{
    if (outcome.made.size() != 1 || outcome.made.front().egress != PortId::Internal) return false;
    Bytes packet = outcome.made.front().bytes;
    const auto ip = view(packet);
    return (*wire::TcpView::parse(ip.payload())).flags() == flag::kSyn;
}

wire::TcpView tcpOf(Bytes& packet)
{
    return *wire::TcpView::parse(view(packet).payload());
}

}  // namespace

class SynFloodTest : public QObject {
    Q_OBJECT
private Q_SLOTS:
    // The figure: of a million attempts the server sees at most a hundredth, the table stays as it
    // is, and guests who come meanwhile are served, every one.
    void aMillionAttempts_reachTheServerHardlyAndKeepNobodyAway()
    {
        Bed bed(withWeb());
        Visit old(bed, 901);
        old.call();
        QVERIFY(old.guest.isOpen);
        SynFlood flood(bed);
        flood.send(1000);
        const std::size_t sessions = bed.sessions();
        const auto memory = bed.engine().snapshot(bed.now).memory;
        unsigned served = 0;
        for (unsigned i = 1; i < 1000; ++i) {
            bed.pass(1ms);
            flood.send(1000);
            if (i % 25 != 0) continue;
            Visit visit(bed, i);
            served += visit.isServed() ? 1U : 0U;
        }
        qInfo(
            "of 1,000,000 attempts the server saw %llu, %llu were answered; %zu sessions before "
            "and %zu after; %u of 39 guests served",
            static_cast<unsigned long long>(flood.inside),
            static_cast<unsigned long long>(flood.answered), sessions, bed.sessions(), served);
        QCOMPARE(served, 39U);
        QVERIFY(flood.inside <= 10'000);
        QCOMPARE(flood.inside + flood.answered, std::uint64_t{1'000'000});
        // The guests' own sessions close after minutes; nothing else has come.
        QCOMPARE(bed.sessions(), sessions + served);
        QVERIFY(bed.engine().snapshot(bed.now).memory <= memory + 64 * 1024);
        QVERIFY(old.line.finish());
        QVERIFY2(old.server.got == old.question && old.guest.got == old.answer, old.what().c_str());
        const auto counters = bed.engine().snapshot(bed.now).counters;
        QCOMPARE(counters.synsAnswered, flood.answered + served);
        QCOMPARE(counters.synsProved, std::uint64_t{served});
    }

    // The control: without it they all arrive.
    void withoutTheSwitch_everyAttemptReachesTheServer()
    {
        EngineConfig config = withWeb();
        config.nat.synProxy = false;
        Bed bed(config);
        SynFlood flood(bed);
        flood.send(50'000);
        QCOMPARE(flood.inside, std::uint64_t{50'000});
        QVERIFY(!floodIsOn(bed));
    }

    void inPeace_nothingIsDifferent()
    {
        Bed bed(withWeb());
        SynFlood flood(bed);
        flood.send(kMost - 1);
        QCOMPARE(flood.inside, std::uint64_t{kMost - 1});
        Visit visit(bed, 1);
        QVERIFY2(visit.isServed(), visit.what().c_str());
        QCOMPARE(bed.engine().snapshot(bed.now).counters.synsAnswered, std::uint64_t{0});
        QVERIFY(!floodIsOn(bed));
    }

    void guest_duringAFlood_isServedWhateverItSpeaks_data()
    {
        QTest::addColumn<int>("scaleOfGuest");
        QTest::addColumn<int>("scaleOfServer");
        QTest::addColumn<bool>("sack");
        QTest::addColumn<unsigned>("loses");
        QTest::addColumn<unsigned>("segment");
        for (const int guest : {-1, 0, 2, 7, 14}) {
            for (const int server : {-1, 0, 5, 8, 14}) {
                for (const bool sack : {false, true}) {
                    for (const unsigned lose : {0U, 20U}) {
                        QTest::addRow("guest %d server %d sack %d lose %u", guest, server,
                                      sack ? 1 : 0, lose)
                            << guest << server << sack << lose << (sack ? 1440U : 1000U);
                    }
                }
            }
        }
    }
    void guest_duringAFlood_isServedWhateverItSpeaks()
    {
        QFETCH(const int, scaleOfGuest);
        QFETCH(const int, scaleOfServer);
        QFETCH(const bool, sack);
        QFETCH(const unsigned, loses);
        QFETCH(const unsigned, segment);
        Bed bed(withWeb());
        SynFlood(bed).send(2 * kMost);
        QVERIFY(floodIsOn(bed));
        const auto habits = [&](int scale) {
            return TcpPeer::Habits{
                .scale = scale < 0 ? std::nullopt : std::optional{static_cast<std::uint8_t>(scale)},
                .sack = sack,
                .segment = static_cast<std::uint16_t>(segment),
                .buffer = scale > 0 ? 400'000U : 40'000U};
        };
        Visit visit(bed, 3, habits(scaleOfGuest), habits(scaleOfServer), 60'000);
        visit.line.loses = loses;
        QVERIFY2(visit.isServed(), visit.what().c_str());
        QCOMPARE(visit.line.synsInside, 1U);
        if (sack && loses != 0) {
            QVERIFY(visit.guest.sacksSeen > 0);
            QVERIFY(visit.server.sacksSeen > 0);
        }
        QCOMPARE(bed.drops(DropReason::TcpOutOfWindow), std::uint64_t{0});
        QCOMPARE(bed.drops(DropReason::BadSynCookie), std::uint64_t{0});
    }

    void answer_saysWhatTheCallerSaidAndKeepsItsWindowClosed()
    {
        Bed bed(withWeb());
        SynFlood(bed).send(2 * kMost);
        const auto sessions = bed.sessions();
        auto answer = answerTo(bed, at(kOther, 2000));
        QVERIFY(answer);
        const auto tcp = tcpOf(answer->packet);
        QCOMPARE(tcp.window(), std::uint16_t{0});
        QCOMPARE(*tcp.maximumSegmentSize(), std::uint16_t{1460});
        QVERIFY(tcp.windowScale().has_value());
        QVERIFY(tcp.option(wire::tcp_option::kSackPermitted, 0).has_value());
        QCOMPARE(bed.sessions(), sessions);
        // Nothing that was not asked for.
        Outcome plain = bed.synIn(at(kOther, 2001), kShown);
        QVERIFY(plain.outside());
        QCOMPARE(tcpOf(plain.packet).headerLength(), std::size_t{20});
    }

    void acknowledgement_bringsTheServerTheCallersOwnNumbers()
    {
        Bed bed(withWeb());
        SynFlood(bed).send(2 * kMost);
        const auto guest = at(kOther, 2000);
        const auto answer = answerTo(bed, guest, 5000);
        QVERIFY(answer);
        Outcome outcome = acknowledge(bed, guest, 5001, answer->cookie);
        QVERIFY(callsServer(outcome));
        Bytes syn = outcome.made.front().bytes;
        QCOMPARE(sourceOf(syn), guest);
        QCOMPARE(destinationOf(syn), kInside);
        const auto tcp = tcpOf(syn);
        QCOMPARE(tcp.sequence(), 5000U);
        QCOMPARE(*tcp.maximumSegmentSize(), std::uint16_t{1460});
        QCOMPARE(*tcp.windowScale(), std::uint8_t{7});
        QVERIFY(tcp.option(wire::tcp_option::kSackPermitted, 0).has_value());
        QVERIFY(!tcp.option(8, 8));  // timestamps, which it was not told of
    }

    // What it takes to open something is the number that was sent to that very caller.
    void acknowledgement_thatIsForgedOrReplayed_opensNothing()
    {
        Bed bed(withWeb());
        SynFlood(bed).send(2 * kMost);
        const auto sessions = bed.sessions();
        engine::Random random{{3, 4}};
        for (std::uint32_t i = 0; i < 200'000; ++i) {
            const auto guest = at(Ipv4Address{(12U << 24) + i}, 1024 + i % 50000);
            const Outcome outcome =
                acknowledge(bed, guest, random.below(0xffffffffU), random.below(0xffffffffU));
            QVERIFY(outcome.dropped(DropReason::BadSynCookie) && outcome.made.empty());
        }
        QCOMPARE(bed.sessions(), sessions);
        const auto guest = at(kOther, 2000);
        const auto answer = answerTo(bed, guest, 5000);
        QVERIFY(answer);
        // By somebody else, from another port, for another number, of another server.
        QVERIFY(acknowledge(bed, at(kServer, 2000), 5001, answer->cookie)
                    .dropped(DropReason::BadSynCookie));
        QVERIFY(acknowledge(bed, at(kOther, 2001), 5001, answer->cookie)
                    .dropped(DropReason::BadSynCookie));
        QVERIFY(acknowledge(bed, guest, 5003, answer->cookie).dropped(DropReason::BadSynCookie));
        for (unsigned bit = 0; bit < 32; ++bit) {
            QVERIFY(acknowledge(bed, guest, 5001, answer->cookie ^ (1U << bit))
                        .dropped(DropReason::BadSynCookie));
        }
        QCOMPARE(bed.sessions(), sessions);
        QVERIFY(callsServer(acknowledge(bed, guest, 5001, answer->cookie)));
        QCOMPARE(bed.sessions(), sessions + 1);
        // A second time it is nothing new.
        for (int i = 0; i < 100; ++i)
            QVERIFY(acknowledge(bed, guest, 5001, answer->cookie).made.empty());
        QCOMPARE(bed.sessions(), sessions + 1);
    }

    void acknowledgement_ofAWrongChecksum_opensNothing()
    {
        Bed bed(withWeb());
        SynFlood(bed).send(2 * kMost);
        bed.expectUnsound();
        Bytes syn = wire::buildTcp({.source = at(kOther, 2000),
                                    .destination = kShown,
                                    .flags = flag::kSyn,
                                    .sequence = 5000});
        syn[36] = static_cast<std::uint8_t>(syn[36] ^ 1U);
        QVERIFY(bed.inbound(syn).dropped(DropReason::MalformedTransport));
        const auto answer = answerTo(bed, at(kOther, 2000), 5000);
        QVERIFY(answer);
        Bytes ack = wire::buildTcp({.source = at(kOther, 2000),
                                    .destination = kShown,
                                    .flags = flag::kAck,
                                    .sequence = 5001,
                                    .acknowledgement = answer->cookie + 1});
        ack[36] = static_cast<std::uint8_t>(ack[36] ^ 1U);
        QVERIFY(bed.inbound(ack).dropped(DropReason::BadSynCookie));
    }

    // A cookie is good for the period it was made in and the next: half a minute to a whole one.
    void acknowledgement_thatIsTooLate_opensNothing()
    {
        for (const bool late : {false, true}) {
            Bed bed(withWeb());
            SynFlood flood(bed);
            flood.send(2 * kMost);
            const auto answer = answerTo(bed, at(kOther, 2000), 5000);
            QVERIFY(answer);
            for (int i = 0; i < (late ? 65 : 31); ++i) {
                flood.send(100);
                bed.pass(1s);
            }
            const Outcome outcome = acknowledge(bed, at(kOther, 2000), 5001, answer->cookie);
            if (late) {
                QVERIFY(outcome.dropped(DropReason::BadSynCookie));
            } else {
                QVERIFY(callsServer(outcome));
            }
        }
    }

    // A caller whose acknowledgement was lost asks whether our window is open by now.
    void lostAcknowledgement_isMadeUpForByAProbe()
    {
        for (const std::uint32_t sequence : {5000U, 5001U}) {
            Bed bed(withWeb());
            SynFlood(bed).send(2 * kMost);
            const auto answer = answerTo(bed, at(kOther, 2000), 5000);
            QVERIFY(answer);
            Outcome outcome = acknowledge(bed, at(kOther, 2000), sequence, answer->cookie);
            QVERIFY(callsServer(outcome));
            QCOMPARE(tcpOf(outcome.made.front().bytes).sequence(), 5000U);
        }
    }

    void flood_thatIsOver_isToldAndLeavesThingsAsTheyWere()
    {
        Bed bed(withWeb());
        SynFlood flood(bed);
        std::vector<bool> told;  // whether it was over
        const auto listen = [&](const std::vector<engine::Event>& events) {
            for (const auto& event : events) {
                if (const auto* one = std::get_if<engine::SynFlood>(&event)) {
                    QCOMPARE(one->status.server, kInside);
                    told.push_back(one->over);
                }
            }
        };
        for (std::uint32_t i = 0; i <= kMost; ++i)
            listen(bed.synIn(at(Ipv4Address{(12U << 24) + i}, 1024), kShown).events);
        QCOMPARE(told, std::vector<bool>{false});
        // It lasts for as long as it goes on.
        for (int minute = 0; minute < 10; ++minute) {
            flood.send(600);
            bed.pass(1s);
            listen(bed.lastOutput.events);
            for (int i = 0; i < 59; ++i) {
                flood.send(10);
                listen(passing(bed, 1s).events);
            }
        }
        QCOMPARE(flood.inside, std::uint64_t{0});
        QVERIFY(floodIsOn(bed));
        listen(passing(bed, 20s).events);
        QVERIFY(!floodIsOn(bed));
        QCOMPARE(told, (std::vector<bool>{false, true}));
        Visit visit(bed, 5);
        visit.call();
        QCOMPARE(bed.engine().snapshot(bed.now).counters.synsProved, std::uint64_t{0});
        QVERIFY(visit.guest.isOpen);
    }

    // Callers that are real, however many, are no flood that goes on for ever.
    void manyRealCallers_areNoFlood()
    {
        Bed bed(withWeb());
        SynFlood(bed).send(2 * kMost);
        bed.pass(5min);
        QVERIFY(!floodIsOn(bed));
        SynFlood(bed).send(2 * kMost);
        QVERIFY(floodIsOn(bed));
        unsigned served = 0;
        for (int i = 0; i < 290; ++i) {
            Visit visit(bed, static_cast<unsigned>(i));
            served += visit.isServed() ? 1U : 0U;
            bed.pass(1s);
        }
        QCOMPARE(served, 290U);
        QVERIFY(!floodIsOn(bed));
    }

    void server_thatRefuses_isHeardByTheCaller()
    {
        Bed bed(withWeb());
        SynFlood(bed).send(2 * kMost);
        const auto sessions = bed.sessions();
        const auto guest = at(kOther, 2000);
        const auto answer = answerTo(bed, guest, 5000);
        QVERIFY(answer && callsServer(acknowledge(bed, guest, 5001, answer->cookie)));
        // Somebody guesses.
        QVERIFY(bed.outbound(wire::buildTcp({.source = kInside,
                                             .destination = guest,
                                             .flags = flag::kRst | flag::kAck,
                                             .acknowledgement = 5002}))
                    .dropped(DropReason::TcpInexactReset));
        Outcome refused = bed.outbound(wire::buildTcp({.source = kInside,
                                                       .destination = guest,
                                                       .flags = flag::kRst | flag::kAck,
                                                       .acknowledgement = 5001}));
        QCOMPARE(refused.made.size(), std::size_t{1});
        QCOMPARE(refused.made.front().egress, PortId::External);
        const auto reset = tcpOf(refused.made.front().bytes);
        QVERIFY(reset.has(flag::kRst));
        QCOMPARE(reset.sequence(), answer->cookie + 1);
        QCOMPARE(sourceOf(refused.made.front().bytes), kShown);
        QCOMPARE(bed.sessions(), sessions);
    }

    void server_thatIsSilent_isCalledFourTimesAndThenGivenUp()
    {
        Bed bed(withWeb());
        SynFlood(bed).send(2 * kMost);
        const auto sessions = bed.sessions();
        const auto guest = at(kOther, 2000);
        const auto answer = answerTo(bed, guest, 5000);
        QVERIFY(answer && callsServer(acknowledge(bed, guest, 5001, answer->cookie)));
        unsigned calls = 1;
        unsigned resets = 0;
        engine::Output output = passing(bed, 20s);
        for (auto& made : output.packets) {
            QVERIFY(isSound(made.bytes));
            if (made.egress == PortId::Internal) {
                QCOMPARE(tcpOf(made.bytes).flags(), flag::kSyn);
                ++calls;
            } else {
                QVERIFY(tcpOf(made.bytes).has(flag::kRst));
                QCOMPARE(tcpOf(made.bytes).sequence(), answer->cookie + 1);
                ++resets;
            }
        }
        QCOMPARE(calls, 4U);
        QCOMPARE(resets, 1U);
        QCOMPARE(bed.sessions(), sessions);
    }

    void server_thatRemembersAnOlderConnection_isResetAndCalledAgain()
    {
        Bed bed(withWeb());
        SynFlood(bed).send(2 * kMost);
        const auto guest = at(kOther, 2000);
        const auto answer = answerTo(bed, guest, 5000);
        QVERIFY(answer && callsServer(acknowledge(bed, guest, 5001, answer->cookie)));
        Outcome challenge = bed.outbound(wire::buildTcp({.source = kInside,
                                                         .destination = guest,
                                                         .flags = flag::kAck,
                                                         .sequence = 333,
                                                         .acknowledgement = 777}));
        QCOMPARE(challenge.made.size(), std::size_t{1});
        QCOMPARE(challenge.made.front().egress, PortId::Internal);
        QVERIFY(tcpOf(challenge.made.front().bytes).has(flag::kRst));
        QCOMPARE(tcpOf(challenge.made.front().bytes).sequence(), 777U);
        engine::Output output = passing(bed, 1s);
        QCOMPARE(output.packets.size(), std::size_t{1});
        QCOMPARE(tcpOf(output.packets.front().bytes).flags(), flag::kSyn);
    }

    void caller_thatGivesUpBeforeTheServerAnswers_takesItsConnectionAlong()
    {
        Bed bed(withWeb());
        SynFlood(bed).send(2 * kMost);
        const auto sessions = bed.sessions();
        const auto guest = at(kOther, 2000);
        const auto answer = answerTo(bed, guest, 5000);
        QVERIFY(answer && callsServer(acknowledge(bed, guest, 5001, answer->cookie)));
        const auto reset = [&](std::uint32_t sequence) {
            return bed.inbound(wire::buildTcp({.source = guest,
                                               .destination = kShown,
                                               .flags = flag::kRst,
                                               .sequence = sequence}));
        };
        QVERIFY(reset(5005).dropped(DropReason::TcpInexactReset));
        const Outcome gone = reset(5001);
        QCOMPARE(gone.made.size(), std::size_t{1});
        QCOMPARE(gone.made.front().egress, PortId::Internal);
        QCOMPARE(bed.sessions(), sessions);
    }

    void reset_fromEitherSide_arrivesWithTheRightNumber()
    {
        for (const bool byGuest : {true, false}) {
            Bed bed(withWeb());
            SynFlood(bed).send(2 * kMost);
            Visit visit(bed, 9);
            visit.call();
            QVERIFY(visit.guest.isOpen && visit.server.isOpen);
            if (byGuest) {
                visit.line.fromGuest(visit.guest.reset());
            } else {
                visit.line.fromServer(visit.server.reset());
            }
            visit.line.run();
            QVERIFY((byGuest ? visit.server : visit.guest).wasReset);
            QVERIFY2(visit.guest.complaint.empty() && visit.server.complaint.empty(),
                     visit.what().c_str());
        }
    }

    // Path MTU discovery: what outside quotes has the numbers that outside knows.
    void icmpError_aboutAShiftedConnection_reachesTheServerWithItsOwnNumbers()
    {
        Bed bed(withWeb());
        SynFlood(bed).send(2 * kMost);
        const auto guest = at(kOther, 2000);
        const auto answer = answerTo(bed, guest, 5000);
        QVERIFY(answer && callsServer(acknowledge(bed, guest, 5001, answer->cookie)));
        const Outcome opened = bed.outbound(wire::buildTcp({.source = kInside,
                                                            .destination = guest,
                                                            .flags = flag::kSyn | flag::kAck,
                                                            .sequence = 70'000,
                                                            .acknowledgement = 5001,
                                                            .maximumSegmentSize = 1460,
                                                            .windowScale = 7}));
        QCOMPARE(opened.made.size(), std::size_t{2});
        Outcome data = bed.outbound(wire::buildTcp({.source = kInside,
                                                    .destination = guest,
                                                    .flags = flag::kAck,
                                                    .sequence = 70'001,
                                                    .acknowledgement = 5001},
                                                   Bytes(1400)));
        QVERIFY(data.outside());
        QCOMPARE(tcpOf(data.packet).sequence(), answer->cookie + 1);
        Outcome error =
            bed.inbound(wire::buildIcmpError({.source = kOnTheWay,
                                              .type = wire::IcmpType::Unreachable,
                                              .code = wire::icmp_unreachable::kFragmentationNeeded,
                                              .rest = 1300},
                                             data.packet));
        QVERIFY2(error.inside(), error.what().c_str());
        const auto icmp = wire::IcmpView::parse(view(error.packet).payload());
        QCOMPARE(wire::load32(icmp->payload(), 24), 70'001U);
        // One that quotes the server's own number has not seen the packet.
        const auto forged = wire::buildTcp(
            {.source = kShown, .destination = guest, .flags = flag::kAck, .sequence = 70'001},
            Bytes(1400));
        QVERIFY(bed.inbound(wire::buildIcmpError({.source = kOnTheWay,
                                                  .type = wire::IcmpType::Unreachable,
                                                  .code = wire::icmp_unreachable::kHost},
                                                 forged))
                    .dropped(DropReason::IcmpForged));
    }

    void restart_keepsConnectionsThatWereIntroduced()
    {
        Bed before(withWeb());
        SynFlood(before).send(2 * kMost);
        const auto waiting = at(kOther, 2500);
        const auto answer = answerTo(before, waiting, 5000);
        QVERIFY(answer && callsServer(acknowledge(before, waiting, 5001, answer->cookie)));
        Visit visit(before, 9, {.scale = 7}, {.scale = 3}, 50'000);
        visit.line.fromGuest(visit.guest.syn());
        visit.line.loses = 60;
        visit.line.run();
        QVERIFY(visit.guest.isOpen && visit.server.isOpen);
        QVERIFY(visit.server.got != visit.question);
        const auto block = before.engine().saveState(before.now);
        EngineConfig config = withWeb();
        config.seed = {7, 8};
        Bed after(config);
        after.now = before.now + 1s;
        QVERIFY(after.engine().restoreState(after.now, block));
        QCOMPARE(after.sessions(), before.sessions());
        Line line(after, visit.guest, visit.server);
        QVERIFY2(line.finish(), visit.what().c_str());
        QVERIFY2(visit.server.got == visit.question && visit.guest.got == visit.answer &&
                     visit.guest.complaint.empty() && visit.server.complaint.empty(),
                 visit.what().c_str());
        // Who had no server yet gets one now.
        Bed again(config);
        again.now = before.now + 1s;
        QVERIFY(again.engine().restoreState(again.now, block));
        // The answer to a SYN of before the restart comes too early.
        const auto synAck = wire::buildTcp({.source = kInside,
                                            .destination = waiting,
                                            .flags = flag::kSyn | flag::kAck,
                                            .sequence = 70'000,
                                            .acknowledgement = 5001,
                                            .windowScale = 7});
        QVERIFY(again.outbound(synAck).dropped(DropReason::TcpState));
        bool called = false;
        engine::Output output = passing(again, 1s);
        for (auto& made : output.packets)
            called = called ||
                     (destinationOf(made.bytes) == kInside && tcpOf(made.bytes).sequence() == 5000);
        QVERIFY(called);
        const Outcome opened = again.outbound(synAck);
        QCOMPARE(opened.made.size(), std::size_t{2});
        QVERIFY(again
                    .outbound(wire::buildTcp({.source = kInside,
                                              .destination = waiting,
                                              .flags = flag::kAck,
                                              .sequence = 70'001,
                                              .acknowledgement = 5001},
                                             text("data")))
                    .outside());
    }

    void refusals_stayRefusals()
    {
        EngineConfig config = withWeb();
        config.portForwards.front().allowedRemotes = Prefix{kServer, 32};
        config.portForwards.push_back(web());
        config.portForwards.back().id = 2;
        config.portForwards.back().externalPorts = range(444, 444);
        Bed bed(config);
        SynFlood(bed, at(kExternal, 444)).send(2 * kMost);
        QVERIFY(floodIsOn(bed));
        // A caller that the rule does not let in, a port that nobody forwards.
        QVERIFY(bed.synIn(at(kOther, 2000), kShown).dropped(DropReason::DeniedByPolicy));
        QVERIFY(answerTo(bed, at(kServer, 2000)));
        QVERIFY(
            bed.synIn(at(kOther, 2000), at(kExternal, 5000)).dropped(DropReason::UnsolicitedSyn));
        QVERIFY(bed.synIn(at(Ipv4Address{127, 0, 0, 1}, 2000), kShown).dropped(DropReason::Bogon));
        // Fragments and segments that begin nothing are no way around it.
        QVERIFY(bed.inbound(wire::buildTcp({.source = at(kServer, 2002),
                                            .destination = kShown,
                                            .flags = flag::kSyn | flag::kFin,
                                            .sequence = 1}))
                    .dropped(DropReason::TcpState));
        QVERIFY(!bed.inbound(wire::buildTcp({.source = at(kServer, 2003),
                                             .destination = kShown,
                                             .flags = flag::kSyn,
                                             .sequence = 1},
                                            Bytes(100), {.moreFragments = true}))
                     .inside());
        QVERIFY(bed.apply(engine::SetDeviceRules{{{.id = 1,
                                                   .address = kAnna,
                                                   .access = engine::policy::DeviceAccess::Block}}})
                    .has_value());
        QVERIFY(bed.synIn(at(kServer, 2001), kShown).dropped(DropReason::DeniedByPolicy));
    }

    void exposedHost_andOneToOne_areProtectedLikeAForward()
    {
        for (const bool exposed : {true, false}) {
            EngineConfig config = usual();
            if (exposed) {
                config.exposedHost = kAnna;
            } else {
                config.external.addresses.push_back(kSecondExternal);
                config.oneToOnes = {
                    {.id = 1, .internalAddress = kAnna, .externalAddress = kSecondExternal}};
            }
            Bed bed(config);
            const auto shown = at(exposed ? kExternal : kSecondExternal, 8443);
            SynFlood flood(bed, shown);
            flood.send(20'000);
            QCOMPARE(flood.inside, std::uint64_t{kMost});
            const auto answer = answerTo(bed, at(kOther, 2000), 5000, shown);
            QVERIFY(answer);
            QVERIFY(callsServer(acknowledge(bed, at(kOther, 2000), 5001, answer->cookie, shown)));
            // Every server for itself.
            QVERIFY(bed.apply(engine::SetPortForwards{{web()}}).has_value());
            if (!exposed) QVERIFY(answerTo(bed, at(kOther, 2000)));
        }
    }

    void anotherServer_isNotChecked()
    {
        EngineConfig config = withWeb();
        config.portForwards.push_back(web());
        config.portForwards.back().id = 2;
        config.portForwards.back().externalPorts = range(444, 444);
        config.portForwards.back().internalAddress = kBert;
        Bed bed(config);
        SynFlood(bed).send(2 * kMost);
        QVERIFY(floodIsOn(bed));
        QVERIFY(bed.synIn(at(kOther, 2000), at(kExternal, 444)).inside());
    }

    // A few addresses and ports that repeat their SYN for ever are few attempts, and many SYNs.
    void flood_fromFewSenders_reachesTheServerHardly()
    {
        Bed bed(withWeb());
        SynFlood flood(bed);
        flood.repeat(kMost - 28, 200'000);
        qInfo("of 200,000 from 100 senders the server saw %llu",
              static_cast<unsigned long long>(flood.inside));
        QVERIFY(flood.inside <= 2000);
    }

    void switchedOff_duringAFlood_endsItAndKeepsConnections()
    {
        Bed bed(withWeb());
        SynFlood(bed).send(2 * kMost);
        Visit visit(bed, 9);
        visit.call();
        engine::nat::NatConfig off;
        off.synProxy = false;
        QVERIFY(bed.apply(engine::SetNat{off}).has_value());
        QVERIFY(!floodIsOn(bed));
        QVERIFY(std::any_of(bed.lastOutput.events.begin(), bed.lastOutput.events.end(),
                            [](const engine::Event& event) {
                                const auto* flood = std::get_if<engine::SynFlood>(&event);
                                return flood != nullptr && flood->over;
                            }));
        QVERIFY(bed.synIn(at(kOther, 3000), kShown).inside());
        QVERIFY2(visit.line.finish() && visit.guest.got == visit.answer, visit.what().c_str());
    }

    // Cards that leave the checksum to be finished, and hand over segments whole.
    void offloadedSegments_areShiftedToo()
    {
        Bed bed(withWeb());
        SynFlood(bed).send(2 * kMost);
        const auto guest = at(kOther, 2000);
        const auto answer = answerTo(bed, guest, 5000);
        QVERIFY(answer && callsServer(acknowledge(bed, guest, 5001, answer->cookie)));
        (void)bed.outbound(wire::buildTcp({.source = kInside,
                                           .destination = guest,
                                           .flags = flag::kSyn | flag::kAck,
                                           .sequence = 70'000,
                                           .acknowledgement = 5001,
                                           .windowScale = 7}));
        Bytes large = wire::buildTcp({.source = kInside,
                                      .destination = guest,
                                      .flags = flag::kAck,
                                      .sequence = 70'001,
                                      .acknowledgement = 5001,
                                      .window = 1024},
                                     Bytes(20'000));
        // What a card is given: the sum of the pseudo-header, not complemented.
        const auto partial = [](Bytes& packet) {
            const auto ip = view(packet);
            wire::ChecksumSum sum;
            sum.addPseudoHeader(ip.source(), ip.destination(), IpProtocol::Tcp,
                                ip.payload().size());
            wire::store16(ip.payload(), 16, sum.folded());
        };
        partial(large);
        wire::Packet packet{
            .bytes = large, .checksum = wire::ChecksumState::Partial, .segmentPayload = 1400};
        engine::Output output;
        const Verdict verdict =
            bed.engine().handlePacket(bed.now, PortId::Internal, packet, output);
        QCOMPARE(verdict.kind, Verdict::Kind::Forward);
        QCOMPARE(tcpOf(large).sequence(), answer->cookie + 1);
        Bytes expected = large;
        partial(expected);
        QCOMPARE(large, expected);
    }
};

QTEST_APPLESS_MAIN(SynFloodTest)
#include "syn_flood_test.moc"
