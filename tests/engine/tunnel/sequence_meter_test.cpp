#include "engine/tunnel/sequence_meter.h"

#include "engine/base/random.h"

#include <QTest>

#include <vector>

using namespace engine;
using namespace engine::tunnel;
using namespace std::chrono_literals;

namespace {

constexpr Instant kStart{1000s};

void countAll(SequenceMeter& meter, const std::vector<std::uint64_t>& numbers, Instant& now,
              std::uint32_t stream = 1, std::uint8_t bits = 32)
{
    for (const std::uint64_t number : numbers) {
        meter.count(now, {.number = number, .stream = stream, .bits = bits});
        now += 1ms;
    }
}

std::vector<std::uint64_t> run(std::uint64_t first, std::uint64_t count)
{
    std::vector<std::uint64_t> numbers;
    for (std::uint64_t i = 0; i < count; ++i)
        numbers.push_back(first + i);
    return numbers;
}

void settleAll(SequenceMeter& meter, Instant& now)
{
    for (int i = 0; i < 3; ++i) {
        now += 3s;
        meter.settle(now);
    }
}

}  // namespace

class SequenceMeterTest : public QObject {
    Q_OBJECT
private Q_SLOTS:
    void gap_thatNothingFills_isLossAfterThreeToSixSeconds();
    void latePacket_isReordered_notLost();
    void samePacketTwice_isDuplicated();
    void wrap_of32Bits_isNoLoss();
    void wrap_of16Bits_isNoLoss();
    void gap_furtherThanTheWindow_isLossAtOnce();
    void newStream_isRekey_notLoss();
    void lateOldStream_afterRekey_isNoRekey();
    void restart_inTheSameStream_isNoLoss();
    void farJumpForward_isNoLoss();
    void randomNumbers_areNeverLoss();
    void randomTraffic_agreesWithSlowCount();
    void readings_data();
    void readings();
};

void SequenceMeterTest::gap_thatNothingFills_isLossAfterThreeToSixSeconds()
{
    SequenceMeter meter;
    Instant now = kStart;
    countAll(meter, run(1, 10), now);
    countAll(meter, run(14, 10), now);
    QCOMPARE(meter.lost(), 0U);
    meter.settle(now + 2s);
    QCOMPARE(meter.lost(), 0U);
    settleAll(meter, now);
    QCOMPARE(meter.lost(), 3U);
    settleAll(meter, now);
    QCOMPARE(meter.lost(), 3U);
}

void SequenceMeterTest::latePacket_isReordered_notLost()
{
    SequenceMeter meter;
    Instant now = kStart;
    countAll(meter, run(1, 10), now);
    countAll(meter, {12, 11, 13, 16, 15, 14}, now);
    settleAll(meter, now);
    QCOMPARE(meter.lost(), 0U);
    QCOMPARE(meter.reordered(), 3U);
    QCOMPARE(meter.duplicated(), 0U);
}

void SequenceMeterTest::samePacketTwice_isDuplicated()
{
    SequenceMeter meter;
    Instant now = kStart;
    countAll(meter, run(1, 10), now);
    countAll(meter, {10, 9}, now);
    QCOMPARE(meter.duplicated(), 2U);
    QCOMPARE(meter.reordered(), 0U);
}

void SequenceMeterTest::wrap_of32Bits_isNoLoss()
{
    SequenceMeter meter;
    Instant now = kStart;
    countAll(meter, run(0xfffffff0, 16), now);
    countAll(meter, run(0, 16), now);
    settleAll(meter, now);
    QCOMPARE(meter.lost(), 0U);
    QCOMPARE(meter.reordered(), 0U);
}

void SequenceMeterTest::wrap_of16Bits_isNoLoss()
{
    SequenceMeter meter;
    Instant now = kStart;
    countAll(meter, run(0xfff0, 16), now, 1, 16);
    countAll(meter, run(2, 16), now, 1, 16);
    settleAll(meter, now);
    QCOMPARE(meter.lost(), 2U);
}

void SequenceMeterTest::gap_furtherThanTheWindow_isLossAtOnce()
{
    SequenceMeter meter;
    Instant now = kStart;
    countAll(meter, run(1, 10), now);
    countAll(meter, {5010}, now);
    QCOMPARE(meter.lost(), 5000U - SequenceMeter::kWindow);
    settleAll(meter, now);
    QCOMPARE(meter.lost(), 4999U);
}

void SequenceMeterTest::newStream_isRekey_notLoss()
{
    SequenceMeter meter;
    Instant now = kStart;
    countAll(meter, run(90000, 100), now, 1, 64);
    int rekeys = 0;
    for (std::uint64_t n = 0; n < 100; ++n) {
        rekeys += meter.count(now, {.number = n, .stream = 2, .bits = 64}) ? 1 : 0;
    }
    settleAll(meter, now);
    QCOMPARE(rekeys, 1);
    QCOMPARE(meter.lost(), 0U);
}

void SequenceMeterTest::lateOldStream_afterRekey_isNoRekey()
{
    SequenceMeter meter;
    Instant now = kStart;
    countAll(meter, run(1, 100), now, 1);
    countAll(meter, run(1, 10), now, 2);
    int rekeys = 0;
    for (std::uint64_t n = 101; n < 120; ++n) {
        rekeys += meter.count(now, {.number = n, .stream = 1, .bits = 32}) ? 1 : 0;
    }
    settleAll(meter, now);
    QCOMPARE(rekeys, 0);
    QCOMPARE(meter.lost(), 0U);
}

void SequenceMeterTest::restart_inTheSameStream_isNoLoss()
{
    SequenceMeter meter;
    Instant now = kStart;
    countAll(meter, run(500000, 100), now);
    countAll(meter, run(1, 100), now);
    countAll(meter, run(102, 10), now);
    settleAll(meter, now);
    QCOMPARE(meter.lost(), 1U);
    QCOMPARE(meter.duplicated(), 0U);
}

void SequenceMeterTest::farJumpForward_isNoLoss()
{
    SequenceMeter meter;
    Instant now = kStart;
    countAll(meter, run(1, 100), now);
    countAll(meter, run(100000000, 100), now);
    settleAll(meter, now);
    QCOMPARE(meter.lost(), 0U);
}

void SequenceMeterTest::randomNumbers_areNeverLoss()
{
    SequenceMeter meter;
    Random random({1, 2});
    Instant now = kStart;
    for (int i = 0; i < 200000; ++i) {
        meter.count(now, {.number = random.next() & 0xffffffff, .stream = 1, .bits = 32});
        now += 1ms;
    }
    QCOMPARE(meter.lost(), 0U);
    QCOMPARE(meter.duplicated(), 0U);
}

void SequenceMeterTest::randomTraffic_agreesWithSlowCount()
{
    Random random({3, 4});
    for (int round = 0; round < 50; ++round) {
        // Loss 3 %, duplicates 1 %, packets up to 20 places late.
        std::vector<std::pair<std::uint64_t, std::uint64_t>> order;  // (place, number)
        std::uint64_t lost = 0;
        std::uint64_t duplicated = 0;
        const std::uint64_t first = random.next() & 0xffffffff;
        constexpr std::uint64_t kPackets = 5000;
        for (std::uint64_t i = 0; i < kPackets; ++i) {
            const bool edge = i < 10 || i + 1 == kPackets;
            if (!edge && random.below(100) < 3) {
                ++lost;
                continue;
            }
            const std::uint64_t late = !edge && random.below(100) < 2 ? random.below(20) : 0;
            order.emplace_back(8 * (i + late), (first + i) & 0xffffffff);
            if (!edge && random.below(100) < 1) {
                order.emplace_back(8 * (i + late) + 1, (first + i) & 0xffffffff);
                ++duplicated;
            }
        }
        std::ranges::stable_sort(order, {}, &std::pair<std::uint64_t, std::uint64_t>::first);
        SequenceMeter meter;
        Instant now = kStart;
        for (const auto& [place, number] : order) {
            meter.count(now, {.number = number, .stream = 1, .bits = 32});
            now += 10us;
        }
        settleAll(meter, now);
        QCOMPARE(meter.lost(), lost);
        QCOMPARE(meter.duplicated(), duplicated);
    }
}

void SequenceMeterTest::readings_data()
{
    QTest::addColumn<int>("kind");
    QTest::addColumn<QByteArray>("payload");
    QTest::addColumn<bool>("isData");
    QTest::addColumn<quint64>("number");
    const auto row = [](const char* name, SequenceKind kind, const char* hex, bool isData,
                        quint64 number) {
        QTest::newRow(name) << static_cast<int>(kind) << QByteArray::fromHex(hex) << isData
                            << number;
    };
    row("gre v1 with S and A", SequenceKind::GreV1, "3081880b0004000300000007000000010a0b0c0d",
        true, 7);
    row("gre v1 ack only", SequenceKind::GreV1, "2081880b0000000300000007", false, 0);
    row("gre v1 cut", SequenceKind::GreV1, "3001880b000400030000", false, 0);
    row("gre v0 key and S", SequenceKind::GreV0, "300008000000002a00000009ff", true, 9);
    row("gre v0 checksum, key and S", SequenceKind::GreV0, "b0000800aaaa00000000002a0000000b", true,
        11);
    row("gre v0 without S", SequenceKind::GreV0, "200008000000002a", false, 0);
    row("esp", SequenceKind::Esp, "c0ffee0100000005aabb", true, 5);
    row("ike in 4500", SequenceKind::EspInUdp, "000000000102030405060708", false, 0);
    row("keepalive in 4500", SequenceKind::EspInUdp, "ff", false, 0);
    row("wireguard data", SequenceKind::WireGuard,
        "0400000011223344"
        "0900000000000000"
        "000102030405060708090a0b0c0d0e0f"
        "000102030405060708090a0b0c0d0e0f",
        true, 9);
    row("wireguard initiation", SequenceKind::WireGuard,
        "0100000011223344090000000000000000000000000000000000000000000000", false, 0);
    row("openvpn data v2", SequenceKind::OpenVpnUdp, "480000010000002affff", true, 42);
    row("openvpn control", SequenceKind::OpenVpnUdp, "200102030405060708", false, 0);
    row("dtls data", SequenceKind::Dtls, "17fefd00010000000000070010ff", true, 7);
    row("dtls handshake", SequenceKind::Dtls, "16fefd00000000000000070010ff", false, 0);
    row("l2tp data with S", SequenceKind::L2tp, "080200010002000500060000", true, 5);
    row("l2tp data with L and S", SequenceKind::L2tp, "4802000e00010002000500060000", true, 5);
    row("l2tp control", SequenceKind::L2tp, "c802000c0001000000050006", false, 0);
    row("empty", SequenceKind::Esp, "", false, 0);
}

void SequenceMeterTest::readings()
{
    QFETCH(int, kind);
    QFETCH(QByteArray, payload);
    QFETCH(bool, isData);
    QFETCH(quint64, number);
    const std::vector<std::uint8_t> bytes(payload.begin(), payload.end());
    const auto reading = readSequence(static_cast<SequenceKind>(kind), bytes);
    QCOMPARE(static_cast<bool>(reading), isData);
    if (reading) QCOMPARE(reading.number, number);
    // Whatever is cut off, nothing is read beyond the end.
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        const std::vector<std::uint8_t> cut(bytes.begin(), bytes.begin() + static_cast<long>(size));
        static_cast<void>(readSequence(static_cast<SequenceKind>(kind), cut));
    }
}

QTEST_APPLESS_MAIN(SequenceMeterTest)
#include "sequence_meter_test.moc"
