#include "engine/io/pcap_device.h"

#include <QtTest>

#include <array>
#include <vector>

#include <poll.h>

#include "tests/engine/io/veth_pair.h"

using namespace engine;
using namespace engine::io;
using tests::Outgoing;

namespace {

constexpr std::uint16_t kMtu = 1500;

}  // namespace

class PcapDeviceTest final : public QObject {
    Q_OBJECT

private:
    std::unique_ptr<PcapDevice> m_a;
    std::unique_ptr<PcapDevice> m_b;
    std::array<Frame, kBatch> m_frames;

    std::size_t receive(int wait = 10000)
    {
        pollfd readable{m_b->descriptor(), POLLIN, 0};
        (void)::poll(&readable, 1, wait);
        return m_b->receive(m_frames);
    }

private Q_SLOTS:
    void initTestCase()
    {
        if (!tests::enterOwnNamespace()) QSKIP("needs the right to make network namespaces (root)");
        QVERIFY(tests::makeVethPair());
        auto a = PcapDevice::open("pa", kMtu);
        auto b = PcapDevice::open("pb", kMtu);
        QVERIFY2(a.has_value(), a ? "" : a.error().detail.c_str());
        QVERIFY(b.has_value());
        m_a = std::move(*a);
        m_b = std::move(*b);
    }

    void unknownInterface_isSaid()
    {
        const auto none = PcapDevice::open("no-such", kMtu);
        QVERIFY(!none.has_value());
        QCOMPARE(none.error().kind, DeviceError::Kind::NoSuchInterface);
        QVERIFY(!none.error().detail.empty());
    }

    void cardWithoutEthernet_isRefused()
    {
        QVERIFY(tests::run("ip tuntap add dev put mode tun && ip link set put up"));
        const auto none = PcapDevice::open("put", kMtu);
        QVERIFY(!none.has_value());
        QCOMPARE(none.error().detail, std::string("the card is not Ethernet"));
    }

    void frame_arrivesAsItWasSent_andIsNotHeardByItsSender()
    {
        Outgoing out(0x0800);
        const Frame frame = out.frame();
        QCOMPARE(m_a->send({&frame, 1}), std::size_t{1});
        QCOMPARE(receive(), std::size_t{1});
        QCOMPARE(m_frames[0].length, frame.length);
        QVERIFY(std::equal(frame.data, frame.data + frame.length, m_frames[0].data));
        QCOMPARE(m_a->receive(m_frames), std::size_t{0});
    }

    void otherEtherTypes_areNotSeen()
    {
        for (const std::uint16_t type : std::array<std::uint16_t, 3>{0x86dd, 0x8100, 0x1234}) {
            Outgoing out(type);
            const Frame frame = out.frame();
            QCOMPARE(m_a->send({&frame, 1}), std::size_t{1});
        }
        Outgoing arp(0x0806);
        const Frame frame = arp.frame();
        QCOMPARE(m_a->send({&frame, 1}), std::size_t{1});
        QCOMPARE(receive(), std::size_t{1});
        QCOMPARE(m_frames[0].data[13], std::uint8_t{6});
    }

    void largePacket_isCutToTheLinkAndFinished()
    {
        // Forty segments of 1,400 octets and a last one of 100.
        Outgoing out(0x0800, 40 * 1400 + 100);
        const Frame frame = out.frame(1400);
        QCOMPARE(m_a->send({&frame, 1}), std::size_t{1});
        std::size_t parts = 0;
        std::size_t octets = 0;
        while (parts < 41) {
            const auto now = receive();
            QVERIFY(now > 0);
            for (std::size_t i = 0; i < now; ++i) {
                QVERIFY(m_frames[i].length <= 14U + kMtu);
                QCOMPARE(m_frames[i].checksum, wire::ChecksumState::Complete);
                octets += m_frames[i].length - 42;
            }
            parts += now;
        }
        QCOMPARE(parts, std::size_t{41});
        QCOMPARE(octets, std::size_t{40 * 1400 + 100});
        QCOMPARE(m_a->counters().sendLost, std::uint64_t{0});
    }

    void batch_keepsItsOrder()
    {
        std::vector<Outgoing> many(150, Outgoing(0x0800));
        std::vector<Frame> frames;
        for (std::size_t i = 0; i < many.size(); ++i) {
            frames.push_back(many[i].frame());
            frames.back().data[50] = static_cast<std::uint8_t>(i);
        }
        QCOMPARE(m_a->send(frames), many.size());
        std::size_t got = 0;
        while (got < many.size()) {
            const auto now = receive();
            QVERIFY(now > 0);
            for (std::size_t i = 0; i < now; ++i)
                QCOMPARE(m_frames[i].data[50], std::uint8_t(got++));
        }
        QCOMPARE(m_b->counters().receiveLost, std::uint64_t{0});
    }

    // Last: takes the card away.
    void cardThatIsGone_isSaid()
    {
        QVERIFY(tests::run("ip link del pa"));
        for (int i = 0; i < 5 && m_b->failure().empty(); ++i)
            (void)receive(1000);
        QVERIFY(!m_b->failure().empty());
        Outgoing out(0x0800);
        const Frame frame = out.frame();
        QCOMPARE(m_b->send({&frame, 1}), std::size_t{0});
    }
};

QTEST_APPLESS_MAIN(PcapDeviceTest)
#include "pcap_device_test.moc"
