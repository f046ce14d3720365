#include "engine/wire/checksum.h"

#include "engine/base/random.h"
#include "engine/wire/transport_checksum.h"

#include <QtTest>

#include <vector>

using namespace engine;
using namespace engine::wire;

namespace {

/// RFC 1071 §4.1, word by word: slow and obvious.
std::uint16_t obviousChecksum(const std::vector<std::uint8_t>& bytes)
{
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < bytes.size(); i += 2) {
        const unsigned low = i + 1 < bytes.size() ? bytes[i + 1] : 0;
        sum += (static_cast<unsigned>(bytes[i]) << 8) + low;
        if (sum > 0xffff) sum = (sum & 0xffff) + 1;
    }
    return static_cast<std::uint16_t>(~sum);
}

std::vector<std::uint8_t> randomBytes(Random& random, std::size_t size)
{
    std::vector<std::uint8_t> bytes(size);
    for (auto& octet : bytes)
        octet = static_cast<std::uint8_t>(random.next());
    return bytes;
}

}  // namespace

class ChecksumTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    /// The example of RFC 1071 §3: words 0001 f203 f4f5 f6f7 add up to ddf2.
    void sum_ofTheRfcExample_isDdf2()
    {
        const std::vector<std::uint8_t> bytes{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
        ChecksumSum sum;
        sum.add(bytes);
        QCOMPARE(sum.folded(), std::uint16_t{0xddf2});
        QCOMPARE(sum.checksum(), static_cast<std::uint16_t>(~0xddf2));
    }

    void sum_ofEveryLength_equalsTheObviousOne()
    {
        Random random{{1, 2}};
        for (std::size_t size = 0; size < 200; ++size) {
            const auto bytes = randomBytes(random, size);
            ChecksumSum sum;
            sum.add(bytes);
            QCOMPARE(sum.checksum(), obviousChecksum(bytes));
        }
    }

    void sum_of64KilobytesOfOnes_doesNotOverflow()
    {
        const std::vector<std::uint8_t> bytes(65535, 0xff);
        ChecksumSum sum;
        sum.add(bytes);
        QCOMPARE(sum.checksum(), obviousChecksum(bytes));
    }

    /// The example of RFC 1624 §4: HC dd2f, m 5555, m' 3285 gives 0000, where eqn. 2 gave ffff.
    void delta_ofTheRfcExample_givesZero()
    {
        ChecksumDelta delta;
        delta.replace16(0x5555, 0x3285);
        QCOMPARE(delta.applyTo(0xdd2f), std::uint16_t{0});
    }

    void delta_ofRandomReplacements_equalsTheSumDoneAnew()
    {
        Random random{{3, 4}};
        for (int round = 0; round < 20000; ++round) {
            auto bytes = randomBytes(random, 40);
            bytes[0] = 0x45;
            store16(bytes, 10, 0);
            store16(bytes, 10, obviousChecksum(bytes));
            ChecksumDelta delta;
            for (int word = 0; word < 3; ++word) {
                std::size_t at = 12 + 2 * std::size_t{random.below(14)};
                // Extremes often, where one's complement has two zeros.
                const std::uint32_t kind = random.below(4);
                const auto value = kind == 0   ? std::uint16_t{0}
                                   : kind == 1 ? std::uint16_t{0xffff}
                                               : static_cast<std::uint16_t>(random.next());
                delta.replace16(load16(bytes, at), value);
                store16(bytes, at, value);
            }
            const std::uint16_t updated = delta.applyTo(load16(bytes, 10));
            store16(bytes, 10, 0);
            QCOMPARE(updated, obviousChecksum(bytes));
        }
    }

    void delta_atOddOffset_equalsTheSumDoneAnew()
    {
        Random random{{5, 6}};
        for (int round = 0; round < 2000; ++round) {
            auto bytes = randomBytes(random, 33);
            const std::uint16_t before = obviousChecksum(bytes);
            const std::size_t at = 1 + 2 * std::size_t{random.below(15)};
            const auto value = static_cast<std::uint16_t>(random.next());
            ChecksumDelta delta;
            delta.replace16AtOddOffset(load16(bytes, at), value);
            store16(bytes, at, value);
            QCOMPARE(delta.applyTo(before), obviousChecksum(bytes));
        }
    }

    /// Negative control: the swap is needed.
    void delta_atOddOffsetTakenAsEven_isWrong()
    {
        std::vector<std::uint8_t> bytes{1, 2, 3, 4};
        const std::uint16_t before = obviousChecksum(bytes);
        ChecksumDelta delta;
        delta.replace16(load16(bytes, 1), 0x1234);
        store16(bytes, 1, 0x1234);
        QVERIFY(delta.applyTo(before) != obviousChecksum(bytes));
    }

    void transportDelta_octetByOctet_equalsTheSumDoneAnew()
    {
        Random random{{7, 8}};
        for (int round = 0; round < 2000; ++round) {
            auto bytes = randomBytes(random, 31);
            const std::uint16_t before = obviousChecksum(bytes);
            TransportChecksumDelta delta(ChecksumState::Complete);
            for (std::size_t at = 4; at < 9; ++at) {
                const auto value = static_cast<std::uint8_t>(random.next());
                delta.replaceOctet(at, bytes[at], value);
                bytes[at] = value;
            }
            QCOMPARE(delta.applyTo(before), obviousChecksum(bytes));
        }
    }

    void transportDelta_whenPartial_countsAddressesOnly()
    {
        const net::Ipv4Address before{192, 0, 2, 1};
        const net::Ipv4Address after{203, 0, 113, 77};
        const net::Ipv4Address other{198, 51, 100, 9};
        const auto partial = [&](net::Ipv4Address source) {
            ChecksumSum sum;
            sum.addPseudoHeader(source, other, net::IpProtocol::Tcp, 1234);
            return sum.folded();
        };
        TransportChecksumDelta delta(ChecksumState::Partial);
        delta.replaceAddress(before, after);
        delta.replace16(1000, 2000);
        delta.replaceOctet(20, 1, 2);
        QCOMPARE(delta.applyTo(partial(before)), partial(after));
    }
};

QTEST_APPLESS_MAIN(ChecksumTest)
#include "checksum_test.moc"
