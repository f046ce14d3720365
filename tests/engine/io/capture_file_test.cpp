#include "engine/io/capture_file.h"

#include "engine/io/replay_device.h"

#include <QTemporaryDir>
#include <QtTest>

#include <fstream>

using namespace engine;
using namespace engine::io;
using namespace std::chrono_literals;

namespace {

using Bytes = std::vector<std::uint8_t>;

// Specification: link types as libpcap's files number them.
constexpr std::uint32_t kEthernet = 1;
constexpr std::uint32_t kRaw = 101;
constexpr std::uint32_t kCooked = 113;
constexpr std::uint32_t kCooked2 = 276;

Bytes ipPacket()
{
    Bytes packet{0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 203, 0, 113, 9};
    packet.insert(packet.end(), {0, 1, 0, 2, 0, 8, 0, 0});
    return packet;
}

Bytes after(Bytes front, const Bytes& packet)
{
    front.insert(front.end(), packet.begin(), packet.end());
    return front;
}

void little(Bytes& to, std::uint32_t value, int octets)
{
    for (int i = 0; i < octets; ++i)
        to.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
}

struct Record {
    std::uint32_t seconds = 0;
    std::uint32_t micros = 0;
    Bytes frame;
};

Bytes pcap(std::uint32_t linkType, const std::vector<Record>& records)
{
    Bytes file;
    little(file, 0xa1b2c3d4, 4);
    little(file, 2, 2);
    little(file, 4, 2);
    little(file, 0, 4);
    little(file, 0, 4);
    little(file, 262144, 4);
    little(file, linkType, 4);
    for (const auto& record : records) {
        little(file, record.seconds, 4);
        little(file, record.micros, 4);
        little(file, static_cast<std::uint32_t>(record.frame.size()), 4);
        little(file, static_cast<std::uint32_t>(record.frame.size()), 4);
        file.insert(file.end(), record.frame.begin(), record.frame.end());
    }
    return file;
}

}  // namespace

class CaptureFileTest final : public QObject {
    Q_OBJECT

private:
    QTemporaryDir m_folder;

    std::string store(const Bytes& content)
    {
        const auto path = m_folder.filePath(QStringLiteral("capture")).toStdString();
        std::ofstream file(path, std::ios::binary | std::ios::trunc);
        const std::string text(content.begin(), content.end());
        file << text;
        return path;
    }

private Q_SLOTS:
    void linkTypes_data()
    {
        QTest::addColumn<quint32>("type");
        QTest::addColumn<QByteArray>("front");
        const auto zeros = [](int count) {
            return QByteArray(count, '\0');
        };
        QTest::newRow("raw IP") << kRaw << QByteArray();
        QTest::newRow("Ethernet") << kEthernet << zeros(12) + QByteArray("\x08\x00", 2);
        QTest::newRow("tagged") << kEthernet
                                << zeros(12) + QByteArray("\x81\x00\x00\x05\x08\x00", 6);
        QTest::newRow("tagged twice")
            << kEthernet << zeros(12) + QByteArray("\x88\xa8\x00\x05\x81\x00\x00\x06\x08\x00", 10);
        QTest::newRow("PPPoE") << kEthernet
                               << zeros(12) +
                                      QByteArray("\x88\x64\x11\x00\x00\x01\x00\x1e\x00\x21", 10);
        QTest::newRow("cooked") << kCooked << zeros(14) + QByteArray("\x08\x00", 2);
        QTest::newRow("cooked 2") << kCooked2 << QByteArray("\x08\x00", 2) + zeros(18);
    }

    void linkTypes()
    {
        QFETCH(quint32, type);
        QFETCH(QByteArray, front);
        Bytes frame = after(Bytes(front.begin(), front.end()), ipPacket());
        frame.resize(frame.size() + 9);  // padding
        auto file = CaptureFile::open(store(pcap(type, {{1700000000, 250000, frame}})));
        QVERIFY(file.has_value());
        const auto packet = (*file)->next();
        QVERIFY(packet);
        QVERIFY(packet->whole);
        QCOMPARE(Bytes(packet->packet.begin(), packet->packet.end()), ipPacket());
        QCOMPARE(packet->at, Instant{1700000000s + 250ms});
        QVERIFY(!(*file)->next());
        QVERIFY((*file)->trouble().empty());
    }

    void otherProtocols_areSkipped()
    {
        Bytes arp(60);
        arp[12] = 8;
        arp[13] = 6;
        auto file = CaptureFile::open(store(pcap(kEthernet, {{1, 0, arp}, {1, 0, Bytes(3)}})));
        QVERIFY(file.has_value());
        QVERIFY(!(*file)->next());
        QCOMPARE((*file)->skipped(), std::uint64_t{2});
    }

    void fileCutAnywhere_endsWithoutHarm()
    {
        const Bytes whole = pcap(kRaw, {{1, 0, ipPacket()}, {2, 0, ipPacket()}});
        for (std::size_t length = 0; length < whole.size(); ++length) {
            auto file =
                CaptureFile::open(store({whole.begin(), whole.begin() + static_cast<int>(length)}));
            if (!file) continue;
            int packets = 0;
            while ((*file)->next())
                ++packets;
            QVERIFY(packets < 2);
            QCOMPARE((*file)->trouble().empty(), length == 24 || length == 24 + 16 + 28);
        }
    }

    void everyOctetChanged_isHarmless()
    {
        const Bytes whole =
            pcap(kEthernet,
                 {{1, 0, after(Bytes{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0}, ipPacket())}});
        for (std::size_t at = 0; at < whole.size(); ++at) {
            for (const std::uint8_t value : Bytes{0x00, 0x7f, 0x80, 0xff}) {
                Bytes changed = whole;
                changed[at] = value;
                auto file = CaptureFile::open(store(changed));
                if (!file) continue;
                while (const auto packet = (*file)->next()) {
                    QVERIFY(packet->packet.size() >= 20);
                }
            }
        }
    }

    void missingFileAndText_areOneSentence()
    {
        const auto none = CaptureFile::open("/nonexistent/x.pcap");
        QVERIFY(!none.has_value());
        if (!none) QVERIFY(none.error().find("/nonexistent/x.pcap") != std::string::npos);
        const auto text = CaptureFile::open(store({'h', 'e', 'l', 'l', 'o'}));
        QVERIFY(!text.has_value());
    }

    void replay_keepsTheCapturesPace()
    {
        auto file = CaptureFile::open(store(
            pcap(kRaw, {{100, 0, ipPacket()}, {100, 500000, ipPacket()}, {103, 0, ipPacket()}})));
        QVERIFY(file.has_value());
        Instant now{7h};
        ReplayDevice device(std::move(*file), [&] { return now; });
        std::array<Frame, kBatch> frames;
        QCOMPARE(device.receive(frames), std::size_t{1});
        now += 499ms;
        QCOMPARE(device.receive(frames), std::size_t{0});
        now += 1ms;
        QCOMPARE(device.receive(frames), std::size_t{1});
        QVERIFY(device.failure().empty());
        now += 1h;
        QCOMPARE(device.receive(frames), std::size_t{1});
        QCOMPARE(frames[0].length, 28U);
        QCOMPARE(device.receive(frames), std::size_t{0});
        QVERIFY(!device.failure().empty());
    }
};

QTEST_APPLESS_MAIN(CaptureFileTest)
#include "capture_file_test.moc"
