#include "engine/io/packet_socket_device.h"

#include <QtTest>

#include <poll.h>

#include "tests/engine/io/veth_pair.h"

using namespace engine;
using namespace engine::io;
using tests::Outgoing;

namespace {

std::size_t receive(PacketSocketDevice& device, std::span<Frame> frames, int wait = 10000)
{
    pollfd readable{device.descriptor(), POLLIN, 0};
    (void)::poll(&readable, 1, wait);
    return device.receive(frames);
}

}  // namespace

class PacketSocketDeviceTest final : public QObject {
    Q_OBJECT

private:
    std::unique_ptr<PacketSocketDevice> m_a;
    std::unique_ptr<PacketSocketDevice> m_b;
    std::array<Frame, kBatch> m_frames;

private Q_SLOTS:
    void initTestCase()
    {
        if (!tests::enterOwnNamespace()) QSKIP("needs the right to make network namespaces (root)");
        QVERIFY(tests::makeVethPair());
        auto a = PacketSocketDevice::open("pa", LinkKind::Ethernet);
        auto b = PacketSocketDevice::open("pb", LinkKind::Ethernet);
        QVERIFY2(a.has_value(), a ? "" : a.error().detail.c_str());
        QVERIFY(b.has_value());
        m_a = std::move(*a);
        m_b = std::move(*b);
    }

    void unknownInterface_isSaid()
    {
        const auto none = PacketSocketDevice::open("no-such", LinkKind::Ethernet);
        QVERIFY(!none.has_value());
        QCOMPARE(none.error().kind, DeviceError::Kind::NoSuchInterface);
    }

    void frame_arrivesAsItWasSent()
    {
        Outgoing out(0x0800);
        const Frame frame = out.frame();
        QCOMPARE(m_a->send({&frame, 1}), std::size_t{1});
        QCOMPARE(receive(*m_b, m_frames), std::size_t{1});
        QCOMPARE(m_frames[0].length, frame.length);
        QVERIFY(std::equal(frame.data, frame.data + frame.length, m_frames[0].data));
        // What we send ourselves is not heard.
        QCOMPARE(m_a->receive(m_frames), std::size_t{0});
    }

    void sixtyKilobytes_travelAsOneFrame()
    {
        Outgoing out(0x0800, 60000);
        const Frame frame = out.frame(1400);
        QCOMPARE(m_a->send({&frame, 1}), std::size_t{1});
        QCOMPARE(receive(*m_b, m_frames), std::size_t{1});
        QCOMPARE(m_frames[0].length, frame.length);
        QCOMPARE(m_frames[0].segmentPayload, std::uint16_t{1400});
        QCOMPARE(m_frames[0].checksum, wire::ChecksumState::Partial);
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
        QCOMPARE(receive(*m_b, m_frames), std::size_t{1});
        QCOMPARE(m_frames[0].data[13], std::uint8_t{6});
    }

    void oneFrameTooLong_losesNoOther()
    {
        Outgoing good(0x0800);
        Outgoing bad(0x0800, 3000);
        const std::array frames{good.frame(), bad.frame(), good.frame()};
        QCOMPARE(m_a->send(frames), std::size_t{2});
        // A busy kernel may hand them over one by one.
        std::size_t got = receive(*m_b, m_frames);
        if (got == 1) got += receive(*m_b, m_frames);
        QCOMPARE(got, std::size_t{2});
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
            const auto now = receive(*m_b, m_frames);
            QVERIFY(now > 0);
            for (std::size_t i = 0; i < now; ++i)
                QCOMPARE(m_frames[i].data[50], std::uint8_t(got++));
        }
    }

    // Last: takes the card away.
    void cardThatIsGone_isSaid()
    {
        QVERIFY(tests::run("ip link del pa"));
        for (int i = 0; i < 5 && m_b->failure().empty(); ++i)
            (void)receive(*m_b, m_frames, 1000);
        Outgoing out(0x0800);
        const Frame frame = out.frame();
        QCOMPARE(m_b->send({&frame, 1}), std::size_t{0});
    }
};

QTEST_APPLESS_MAIN(PacketSocketDeviceTest)
#include "packet_socket_device_test.moc"
