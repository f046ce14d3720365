#include "engine/io/memory_device.h"

#include <QtTest>

#include <poll.h>

using namespace engine::io;

class MemoryDeviceTest final : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void frames_comeOutInOrderAndTheDescriptorSaysSo()
    {
        MemoryDevice device(LinkKind::Ethernet);
        pollfd readable{device.descriptor(), POLLIN, 0};
        QCOMPARE(::poll(&readable, 1, 0), 0);
        device.put({{1, 2, 3}, engine::wire::ChecksumState::Partial, 7});
        device.put({{4}, engine::wire::ChecksumState::Complete, 0});
        QCOMPARE(::poll(&readable, 1, 0), 1);

        std::array<Frame, 1> one;
        QCOMPARE(device.receive(one), std::size_t{1});
        QCOMPARE(one[0].length, 3U);
        QCOMPARE(one[0].segmentPayload, std::uint16_t{7});
        QCOMPARE(::poll(&readable, 1, 0), 1);
        QCOMPARE(device.receive(one), std::size_t{1});
        QCOMPARE(one[0].data[0], std::uint8_t{4});
        QCOMPARE(device.receive(one), std::size_t{0});
        QCOMPARE(::poll(&readable, 1, 0), 0);
    }

    void headroom_mayBeWritten()
    {
        MemoryDevice device(LinkKind::RawIp);
        device.put({{9, 9}, engine::wire::ChecksumState::Complete, 0});
        std::array<Frame, 4> frames;
        QCOMPARE(device.receive(frames), std::size_t{1});
        std::uint8_t* front = frames[0].data - kHeadroom;
        std::fill(front, frames[0].data, std::uint8_t{5});
        const Frame longer{front, frames[0].length + static_cast<std::uint32_t>(kHeadroom), {}, 0};
        QCOMPARE(device.send({&longer, 1}), std::size_t{1});
        const auto sent = device.takeSent();
        QCOMPARE(sent.size(), std::size_t{1});
        QCOMPARE(sent[0].bytes.size(), kHeadroom + 2);
        QVERIFY(device.takeSent().empty());
    }
};

QTEST_APPLESS_MAIN(MemoryDeviceTest)
#include "memory_device_test.moc"
