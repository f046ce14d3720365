#include "engine/lab/ike_message.h"
#include "engine/lab/pptp_message.h"

#include <QtTest>

#include "tests/engine/compliance/bed.h"

/// One device begins calls and negotiations that nobody answers, a million of each kind, 50,000 or
/// more always. The tunnels of the others go on, and new ones come up, all of them.

using namespace bed;

namespace ike = engine::lab::ike;
namespace pptp = engine::lab::pptp;

namespace {

constexpr std::uint8_t kData = flag::kAck | flag::kPsh;

Bytes espPacket(Ipv4Address from, Ipv4Address to, std::uint32_t spi, std::uint32_t sequence)
{
    Bytes bytes(72, 0x5c);
    wire::store32(bytes, 0, spi);
    wire::store32(bytes, 4, sequence);
    return wire::buildIpv4(from, to, IpProtocol::Esp, bytes);
}

Bytes firstMessage(ike::Version version, std::uint64_t cookie)
{
    ike::Header header{.initiator = cookie, .version = version};
    header.exchange = version == ike::Version::V1 ? ike::Exchange::MainMode : ike::Exchange::SaInit;
    if (version == ike::Version::V2) header.flags = ike::kInitiatorFlag;
    return ike::encode(header, {ike::securityAssociation(version)});
}

Bytes auth(std::uint64_t cookie, std::uint8_t flags)
{
    return ike::encodeEncrypted({.initiator = cookie,
                                 .responder = cookie + 1,
                                 .exchange = ike::Exchange::Auth,
                                 .flags = flags,
                                 .messageId = 1},
                                Bytes(64, static_cast<std::uint8_t>(cookie)));
}

/// A PPTP call of one device, with its GRE.
struct PptpTunnel {
    PptpTunnel(Bed& theBed, Endpoint inside, Ipv4Address server)
        : bed(theBed), control(theBed, inside, at(server, 1723))
    {}
    bool start()
    {
        return control.open() && control.out(kData, pptp::startRequest()).outside() &&
               control.in(kData, pptp::startReply(1)).inside();
    }
    bool dial(std::uint16_t serversNumber)
    {
        if (!start()) return false;
        const Outcome request = control.out(kData, pptp::outgoingCallRequest(1, 0, ""));
        if (!request.outside()) return false;
        number = wire::load16(request.packet, 40 + 12);
        remote = serversNumber;
        return control.in(kData, pptp::outgoingCallReply(remote, number, 1)).inside();
    }
    bool works()
    {
        const Bytes frame = text("frame");
        const auto packet = [&](std::uint16_t call, Ipv4Address from, Ipv4Address to) {
            const Bytes gre =
                pptp::encode({.callId = call, .sequence = sequence, .payload = frame});
            return wire::buildIpv4(from, to, IpProtocol::Gre, gre);
        };
        const Ipv4Address server = control.remote.address;
        const Outcome out = bed.outbound(packet(remote, control.internal.address, server));
        const Outcome in = bed.inbound(packet(number, server, kExternal));
        ++sequence;
        return out.outside() && in.inside() && destinationAddress(in) == control.internal.address;
    }
    static Ipv4Address destinationAddress(const Outcome& outcome)
    {
        return Ipv4Address{wire::load32(outcome.packet, 16)};
    }

    Bed& bed;
    Connection control;
    std::uint16_t number = 0;
    std::uint16_t remote = 0;
    std::uint32_t sequence = 0;
};

/// IKE on port 500 and plain ESP of one device.
struct IpsecTunnel {
    bool start()
    {
        const Endpoint inside = at(client, 500);
        const Endpoint far = at(server, 500);
        const Outcome first = bed.udpOut(inside, far, firstMessage(ike::Version::V2, cookie));
        if (!first.outside()) return false;
        ike::Header answer{.initiator = cookie, .responder = cookie + 1};
        answer.flags = ike::kResponseFlag;
        const Bytes answered = ike::encode(answer, {ike::securityAssociation(ike::Version::V2)});
        return bed.udpIn(far, first.source(), answered).inside() &&
               bed.udpOut(inside, far, auth(cookie, ike::kInitiatorFlag)).outside() &&
               bed.udpIn(far, first.source(), auth(cookie, ike::kResponseFlag)).inside() && works();
    }
    bool works()
    {
        ++sequence;
        const auto spi = static_cast<std::uint32_t>(cookie);
        const Outcome out = bed.outbound(espPacket(client, server, spi, sequence));
        bed.pass(20ms);
        const Outcome in = bed.inbound(espPacket(server, kExternal, spi + 1, sequence));
        return out.outside() && in.inside() && PptpTunnel::destinationAddress(in) == client;
    }

    Bed& bed;
    Ipv4Address client;
    Ipv4Address server;
    std::uint64_t cookie;
    std::uint32_t sequence = 0;
};

enum class Kind { PptpOne, PptpLeftOpen, PptpClosed, PptpFailed, IkeV1, IkeV2, IkeAuth, Esp };

/// The device that begins and never ends anything.
class Attacker {
public:
    Attacker(Bed& bed, Kind kind) : m_bed(bed), m_kind(kind) {}

    void step(std::uint32_t i)
    {
        const Ipv4Address server{(198U << 24) + (18U << 16) + i % 100000};
        switch (m_kind) {
        case Kind::PptpOne: call(i, i == 0, kServer); return;
        case Kind::PptpLeftOpen: call(i, i % 4 == 0, kServer); return;
        case Kind::PptpClosed: {
            call(i, i % 32 == 0, server);
            if (i % 32 == 31) (void)m_tunnel->control.out(flag::kRst);
            return;
        }
        case Kind::PptpFailed: {
            // A server of the attacker's refuses each call at once: the number that was given
            // rests.
            call(i, i % 8000 == 0, server);
            if (m_number == 0) return;
            (void)m_tunnel->control.in(kData, pptp::outgoingCallReply(0, m_number, 2));
            return;
        }
        case Kind::IkeV1: ikeMessage(i, server, firstMessage(ike::Version::V1, cookie(i))); return;
        case Kind::IkeV2: ikeMessage(i, server, firstMessage(ike::Version::V2, cookie(i))); return;
        case Kind::IkeAuth: ikeMessage(i, server, auth(cookie(i), ike::kInitiatorFlag)); return;
        case Kind::Esp:
            count(m_bed.outbound(espPacket(kAnna, i % 3 == 0 ? kServer : server, 0x10000 + i, 1)));
            return;
        }
    }
    std::uint32_t passed = 0;

private:
    static std::uint64_t cookie(std::uint32_t i) { return (std::uint64_t{0xa11ce} << 40U) + i; }
    void count(const Outcome& outcome) { passed += outcome.outside() ? 1U : 0U; }
    void ikeMessage(std::uint32_t i, Ipv4Address server, const Bytes& message)
    {
        const Endpoint from = at(kAnna, i % 2 == 0 ? 500 : 1024 + i % 60000);
        count(m_bed.udpOut(from, at(server, 500), message));
    }
    void call(std::uint32_t i, bool anew, Ipv4Address server)
    {
        if (anew) {
            m_tunnel = std::make_unique<PptpTunnel>(m_bed, at(kAnna, 1024 + i / 4 % 60000), server);
            m_ready = m_tunnel->start();
        }
        m_number = 0;
        if (!m_ready) return;
        const std::uint32_t before = m_tunnel->control.outSequence;
        const Outcome outcome = m_tunnel->control.out(
            kData, pptp::outgoingCallRequest(static_cast<std::uint16_t>(1 + i % 65535), 0, ""));
        count(outcome);
        // What was refused was never said; the next call is tried in its place.
        if (!outcome.outside()) {
            m_tunnel->control.outSequence = before;
            return;
        }
        m_number = wire::load16(outcome.packet, 40 + 12);
    }

    Bed& m_bed;
    Kind m_kind;
    std::unique_ptr<PptpTunnel> m_tunnel;
    bool m_ready = false;
    std::uint16_t m_number = 0;  ///< of the last call, as it stands outside
};

}  // namespace

class HalfOpenTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void halfCalls_ofOneDevice_harmNobodyElse_data()
    {
        QTest::addColumn<int>("kind");
        QTest::newRow("PPTP, one connection") << int(Kind::PptpOne);
        QTest::newRow("PPTP, connections left open") << int(Kind::PptpLeftOpen);
        QTest::newRow("PPTP, connections closed") << int(Kind::PptpClosed);
        QTest::newRow("PPTP, calls refused by the server") << int(Kind::PptpFailed);
        QTest::newRow("IKE version 1") << int(Kind::IkeV1);
        QTest::newRow("IKE version 2") << int(Kind::IkeV2);
        QTest::newRow("IKE, last message to many servers") << int(Kind::IkeAuth);
        QTest::newRow("ESP") << int(Kind::Esp);
    }
    void halfCalls_ofOneDevice_harmNobodyElse()
    {
        QFETCH(int, kind);
        const std::uint32_t flood = qEnvironmentVariableIsSet("UNDERPASS_SOAK") ? 1'000'000
                                    : static_cast<Kind>(kind) == Kind::PptpFailed
                                        ? 80'000  // more than there are numbers
                                        : 50'000;
        EngineConfig config = usual();
        config.maxSessions = 65536;
        Bed bed(config);
        PptpTunnel oldCall(bed, at(kBert, 4000), kServer);
        QVERIFY(oldCall.dial(77));
        IpsecTunnel oldIpsec{bed, kBert, kServer, 0xbe000000U};
        QVERIFY(oldIpsec.start());

        Attacker attacker(bed, static_cast<Kind>(kind));
        unsigned tried = 0;
        unsigned came = 0;
        std::size_t memory = 0;
        QString failures;  // PPTP, IPsec with IKE, with manual keys
        for (std::uint32_t i = 0; i < flood; ++i) {
            attacker.step(i);
            if (i % (flood / 200) != flood / 200 - 1) continue;
            // Half a minute altogether: less than it takes to forget most of it.
            bed.pass(110ms);
            QVERIFY2(oldCall.works() && oldIpsec.works(), qPrintable(QString::number(i)));
            const unsigned number = tried++;
            const Ipv4Address client = host(20 + number % 100);
            const Ipv4Address server{(198U << 24) + (51U << 16) + (100U << 8) + 10 + number};
            PptpTunnel call(bed, at(client, 2000 + number), server);
            IpsecTunnel ipsec{bed, client, server, 0xcc000000U + number * 16};
            const bool pptpWorks = call.dial(5) && call.works();
            const bool ipsecWorks = ipsec.start() && ipsec.works();
            // Keys by hand: nothing but ESP is seen.
            const Ipv4Address manualServer{server.hostOrder() + (1U << 16)};
            IpsecTunnel manual{bed, client, manualServer, 0xdd000000U + number * 16};
            const bool manualWorks = manual.works() && manual.works();
            if (!pptpWorks || !ipsecWorks || !manualWorks) {
                failures += QString(" %1%2%3")
                                .arg(pptpWorks ? "" : "P")
                                .arg(ipsecWorks ? "" : "I")
                                .arg(manualWorks ? "" : "M");
                continue;
            }
            ++came;
            memory = std::max(memory, bed.engine().snapshot(bed.now).memory);
        }
        qInfo("%u tried, %u let through; others' new tunnels: %u of %u, memory %zu KiB", flood,
              attacker.passed, 3 * came, 3 * tried, memory / 1024);
        QVERIFY(attacker.passed > 0);
        QVERIFY2(came == tried, qPrintable(failures.left(80)));
        QVERIFY(memory < std::size_t{32} << 20U);
    }
};

QTEST_APPLESS_MAIN(HalfOpenTest)
#include "half_open_test.moc"
