#include "engine/base/random.h"

#include <QtTest>

#include "tests/engine/compliance/bed.h"

/// handlePackets() looks ahead and takes short cuts; handlePacket() does neither. Two engines, the
/// same seed, the same hostile and ordinary traffic, one in batches and one packet by packet: they
/// must not differ in a single octet.

using namespace bed;
using engine::Output;
using engine::nat::Behaviour;

namespace {

struct Sent {
    Bytes bytes;
    wire::ChecksumState checksum = wire::ChecksumState::Complete;
    std::uint16_t segmentPayload = 0;
};

/// Everything that an engine answers, as octets.
class Journal {
public:
    void number(std::uint64_t value)
    {
        for (int i = 0; i < 8; ++i)
            m_octets.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
    }
    void bytes(engine::wire::ConstBytes octets)
    {
        number(octets.size());
        m_octets.insert(m_octets.end(), octets.begin(), octets.end());
    }
    void verdict(const Verdict& verdict, const wire::Packet& packet)
    {
        number(static_cast<std::uint64_t>(verdict.kind) << 16 |
               static_cast<std::uint64_t>(verdict.reason) << 8 |
               static_cast<std::uint64_t>(verdict.egress));
        bytes(packet.bytes);
    }
    void output(const Output& output)
    {
        for (const engine::OutgoingPacket& packet : output.packets) {
            number(static_cast<std::uint64_t>(packet.egress));
            bytes(packet.bytes);
        }
        // News of tunnels are gathered once per call, so a batch may tell less often; what they
        // have come to is in state().
        for (const engine::Event& event : output.events) {
            if (std::holds_alternative<engine::TunnelChanged>(event) ||
                std::holds_alternative<engine::TunnelEnded>(event)) {
                continue;
            }
            number(event.index());
        }
    }
    void state(const engine::Engine& engine, Instant now)
    {
        bytes(engine.saveState(now));
        const engine::Snapshot snapshot = engine.snapshot(now);
        const engine::Counters& counters = snapshot.counters;
        for (const auto& totals : {counters.outbound, counters.inbound, counters.hairpinned}) {
            number(totals.packets);
            number(totals.bytes);
        }
        for (const std::uint64_t drops : counters.drops)
            number(drops);
        number(counters.sessionsCreated);
        number(counters.sessionsEnded);
        number(counters.consumed);
        number(counters.generated);
        for (const engine::DeviceStatus& device : snapshot.devices) {
            number(device.outbound.bytes);
            number(device.outbound.packets);
            number(device.inbound.bytes);
            number(device.inbound.packets);
        }
        for (const engine::tunnel::Tunnel& tunnel : snapshot.tunnels) {
            number(static_cast<std::uint64_t>(tunnel.phase));
            number(tunnel.outbound.bytes);
            number(tunnel.inbound.packets);
            number(tunnel.outbound.lost);
        }
    }
    [[nodiscard]] const Bytes& octets() const { return m_octets; }

private:
    Bytes m_octets;
};

/// One engine of the pair. Keeps the last answers, so that traffic can go back to where it came
/// from.
class Side {
public:
    Side(const EngineConfig& config, bool batches, Instant now)
        : m_engine(now, config), m_batches(batches)
    {}

    void receive(Instant now, PortId ingress, const std::vector<Sent>& sent)
    {
        std::vector<Bytes> buffers;
        for (const Sent& one : sent)
            buffers.push_back(one.bytes);
        std::vector<wire::Packet> packets;
        for (std::size_t i = 0; i < sent.size(); ++i)
            packets.push_back({buffers[i], sent[i].checksum, sent[i].segmentPayload});
        std::vector<Verdict> verdicts(packets.size());
        Output output;
        if (m_batches) {
            m_engine.handlePackets(now, ingress, packets, verdicts, output);
        } else {
            for (std::size_t i = 0; i < packets.size(); ++i)
                verdicts[i] = m_engine.handlePacket(now, ingress, packets[i], output);
        }
        forwarded.clear();
        for (std::size_t i = 0; i < packets.size(); ++i) {
            journal.verdict(verdicts[i], packets[i]);
            if (verdicts[i].kind == Verdict::Kind::Forward) {
                forwarded.emplace_back(packets[i].bytes.begin(), packets[i].bytes.end());
            }
        }
        journal.output(output);
    }
    void pass(Instant now)
    {
        Output output;
        m_engine.handleTimeout(now, output);
        journal.output(output);
        journal.state(m_engine, now);
    }

    Journal journal;
    std::vector<Bytes> forwarded;

private:
    engine::Engine m_engine;
    bool m_batches;
};

/// What a small network sends in one go: connections, datagrams, nonsense, and answers to what has
/// just left.
class Traffic {
public:
    explicit Traffic(std::uint64_t seed) : m_random({seed, 7}) {}

    std::vector<Sent> outbound()
    {
        std::vector<Sent> batch(1 + m_random.below(70));
        for (Sent& one : batch)
            one = packet(device(), remote());
        return batch;
    }
    /// Answers to packets that left, some of them bent, and strangers.
    std::vector<Sent> inbound(const std::vector<Bytes>& left)
    {
        std::vector<Sent> batch;
        for (Bytes packet : left) {
            if (m_random.below(4) == 0) continue;
            const auto ip = view(packet);
            if (ip.payload().size() < 8) continue;
            const Endpoint here = sourceOf(packet);
            const Endpoint there = destinationOf(packet);
            if (ip.protocol() == IpProtocol::Tcp) {
                const auto tcp = wire::TcpView::parse(ip.payload());
                if (!tcp) continue;
                const std::uint8_t flags =
                    tcp->has(flag::kSyn) ? flag::kSyn | flag::kAck : someFlags();
                batch.push_back(bent(
                    {wire::buildTcp({.source = there,
                                     .destination = here,
                                     .flags = flags,
                                     .sequence = tcp->acknowledgement() + m_random.below(3) * 50000,
                                     .acknowledgement = tcp->sequence() + tcp->sequenceLength()},
                                    payload())}));
            } else if (ip.protocol() == IpProtocol::Udp) {
                batch.push_back(bent({wire::buildUdp(there, here, payload())}));
            }
        }
        batch.push_back(packet(remote(), at(kExternal, m_random.below(65536))));
        return batch;
    }
    Duration pause() { return std::chrono::milliseconds(m_random.below(4000)); }
    std::uint32_t below(std::uint32_t bound) { return m_random.below(bound); }

private:
    Endpoint device() { return at(host(10 + m_random.below(6)), 5000 + m_random.below(12)); }
    Endpoint remote()
    {
        constexpr std::array<unsigned, 4> kPorts{443, 51820, 1194, 4500};
        return at(host(0x10000 + m_random.below(6)), kPorts[m_random.below(kPorts.size())]);
    }
    std::uint8_t someFlags()
    {
        constexpr std::array<unsigned, 8> kFlags{
            flag::kAck, flag::kAck, flag::kAck, flag::kAck | flag::kPsh,
            0,          flag::kRst, flag::kSyn, flag::kFin | flag::kAck};
        return static_cast<std::uint8_t>(kFlags[m_random.below(kFlags.size())]);
    }
    Bytes payload()
    {
        Bytes octets(m_random.below(200));
        for (std::uint8_t& octet : octets)
            octet = static_cast<std::uint8_t>(m_random.next());
        // What WireGuard's data looks like, so that there are tunnels too.
        if (octets.size() >= 32 && m_random.below(2) == 0) {
            octets[0] = 4;
            octets[1] = octets[2] = octets[3] = 0;
        }
        return octets;
    }
    Sent packet(Endpoint from, Endpoint to)
    {
        if (m_random.below(2) == 0) return bent({wire::buildUdp(from, to, payload())});
        return bent({wire::buildTcp({.source = from,
                                     .destination = to,
                                     .flags = someFlags(),
                                     .sequence = 1000 + m_random.below(3000),
                                     .acknowledgement = m_random.below(3) * 1000},
                                    payload())});
    }
    /// Most as they are; the rest with a field that short cuts must look at.
    Sent bent(Sent sent)
    {
        Bytes& bytes = sent.bytes;
        switch (m_random.below(24)) {
        case 0: bytes[8] = static_cast<std::uint8_t>(m_random.below(3)); break;  // TTL
        case 1: bytes.resize(m_random.below(60)); break;                         // cut off
        case 2: bytes.insert(bytes.end(), 1 + m_random.below(18), 0); break;     // padding
        case 3: bytes[24] = static_cast<std::uint8_t>(m_random.next()); break;   // UDP length
        case 4: bytes[32 % bytes.size()] = static_cast<std::uint8_t>(m_random.next()); break;
        case 5: bytes[6] = static_cast<std::uint8_t>(m_random.next()); break;  // fragments, DF
        case 6: bytes[0] = static_cast<std::uint8_t>(m_random.next()); break;  // version, options
        case 7: bytes[3] = static_cast<std::uint8_t>(m_random.next()); break;  // total length
        case 8: sent.checksum = wire::ChecksumState::Partial; break;
        case 9: sent.segmentPayload = static_cast<std::uint16_t>(40 + m_random.below(40)); break;
        case 10: bytes[9] = static_cast<std::uint8_t>(m_random.next()); break;  // protocol
        case 11: bytes[26] = bytes[27] = 0; break;                              // no checksum
        default: break;
        }
        if (bytes.size() >= 20 && m_random.below(16) != 0) {
            wire::store16(bytes, 10, 0);
            wire::ChecksumSum sum;
            sum.add(engine::wire::ConstBytes{bytes}.first(20));
            wire::store16(bytes, 10, sum.checksum());
        }
        return sent;
    }

    engine::Random m_random;
};

}  // namespace

class BatchTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    // What is looked up ahead stands in the same place for every batch.
    void flow_thatTurnsToFragmentsOrOptions_isFoundAgain()
    {
        const Instant now{1h};
        Side batches(usual(), true, now);
        Side single(usual(), false, now);
        const Bytes whole = wire::buildUdp(at(host(10), 5000), at(host(0x10000), 7),
                                           text("eight, eight and eight!!"));
        Bytes fragment = whole;
        wire::store16(fragment, 6, 0x2000);
        Bytes optioned = whole;
        optioned[0] = 0x46;
        optioned.insert(optioned.begin() + 20, 4, 1);
        wire::store16(optioned, 2, static_cast<std::uint16_t>(optioned.size()));
        for (Bytes packet : {whole, whole, fragment, whole, optioned, whole}) {
            const std::size_t header = packet.size() > whole.size() ? 24 : 20;
            wire::store16(packet, 10, 0);
            wire::ChecksumSum sum;
            sum.add(engine::wire::ConstBytes{packet}.first(header));
            wire::store16(packet, 10, sum.checksum());
            batches.receive(now, PortId::Internal, {{packet}});
            single.receive(now, PortId::Internal, {{packet}});
            QCOMPARE(batches.forwarded.size(), std::size_t{1});
            QVERIFY(batches.journal.octets() == single.journal.octets());
        }
    }

    void batch_ofAnyTraffic_isTheSameAsOneByOne_data()
    {
        QTest::addColumn<int>("seed");
        QTest::addColumn<int>("behaviour");
        QTest::addColumn<int>("mtu");
        for (int seed = 1; seed <= 6; ++seed) {
            for (int behaviour = 0; behaviour < 3; ++behaviour) {
                QTest::addRow("seed %d, behaviour %d", seed, behaviour)
                    << seed << behaviour << (seed % 2 == 0 ? 1500 : 150);
            }
        }
    }
    void batch_ofAnyTraffic_isTheSameAsOneByOne()
    {
        QFETCH(int, seed);
        QFETCH(int, behaviour);
        QFETCH(int, mtu);
        EngineConfig config = usual();
        config.maxSessions = seed % 3 == 0 ? 64 : 4096;
        config.external.mtu = static_cast<std::uint16_t>(mtu);
        config.nat.inboundRefresh = seed % 2 == 0;
        config.nat.tcp = config.nat.udp = {.mapping = static_cast<Behaviour>(behaviour),
                                           .filtering = static_cast<Behaviour>(behaviour)};
        if (seed % 3 == 1) {
            config.nat.untranslated = {{.destinations = Prefix{host(0x10000), 31}}};
            config.nat.exceptions = {{.devices = Prefix{host(10), 32},
                                      .behaviour = {.mapping = Behaviour::AddressDependent}}};
        }
        Instant now{1h};
        Side batches(config, true, now);
        Side single(config, false, now);
        Traffic traffic(static_cast<std::uint64_t>(seed));
        for (int round = 0; round < 150; ++round) {
            const auto out = traffic.outbound();
            batches.receive(now, PortId::Internal, out);
            single.receive(now, PortId::Internal, out);
            QVERIFY2(batches.journal.octets() == single.journal.octets(),
                     qPrintable(QString("outbound, round %1").arg(round)));
            // Twice, so that flows become ordinary and lose passthrough's attention.
            for (int again = 0; again < 2; ++again) {
                const auto in = traffic.inbound(single.forwarded);
                batches.receive(now, PortId::External, in);
                single.receive(now, PortId::External, in);
                QVERIFY2(batches.journal.octets() == single.journal.octets(),
                         qPrintable(QString("inbound, round %1").arg(round)));
                batches.receive(now, PortId::Internal, out);
                single.receive(now, PortId::Internal, out);
            }
            now += traffic.pause();
            if (traffic.below(20) == 0) now += 3min;
            batches.pass(now);
            single.pass(now);
            QVERIFY2(batches.journal.octets() == single.journal.octets(),
                     qPrintable(QString("state, round %1").arg(round)));
        }
    }
};

QTEST_APPLESS_MAIN(BatchTest)
#include "batch_test.moc"
