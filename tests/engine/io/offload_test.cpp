#include "engine/io/offload.h"

#include "engine/wire/checksum.h"

#include <QtTest>

#include <numeric>

using namespace engine;
using namespace engine::io;

namespace {

using Bytes = std::vector<std::uint8_t>;
using Header = std::array<std::uint8_t, kOffloadHeader>;

constexpr std::size_t kIp = 20;
constexpr std::size_t kTcp = 20;

/// An IPv4 packet with a header checksum and a numbered payload.
Bytes ipv4(std::uint8_t protocol, const Bytes& body)
{
    Bytes packet{0x45, 0, 0,   0, 0x12, 0x34, 0x40, 0, 64,  protocol,
                 0,    0, 192, 0, 2,    1,    203,  0, 113, 9};
    packet.insert(packet.end(), body.begin(), body.end());
    wire::store16(packet, 2, static_cast<std::uint16_t>(packet.size()));
    wire::ChecksumSum sum;
    sum.add(wire::ConstBytes{packet}.first(kIp));
    wire::store16(packet, 10, sum.checksum());
    return packet;
}

Bytes numbered(std::size_t size)
{
    Bytes bytes(size);
    std::iota(bytes.begin(), bytes.end(), std::uint8_t{1});
    return bytes;
}

Bytes tcpBody(std::size_t payload, std::uint8_t flags = 0x18)
{
    Bytes body{0x10, 0, 0x20, 0, 0, 0, 0x10, 0, 0, 0, 0, 7, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0};
    const Bytes data = numbered(payload);
    body.insert(body.end(), data.begin(), data.end());
    return body;
}

Bytes udpBody(std::size_t payload)
{
    Bytes body{0x10, 0, 0x20, 0, 0, 0, 0, 0};
    const Bytes data = numbered(payload);
    body.insert(body.end(), data.begin(), data.end());
    wire::store16(body, 4, static_cast<std::uint16_t>(body.size()));
    return body;
}

bool transportIsRight(wire::ConstBytes packet)
{
    wire::ChecksumSum sum;
    sum.addPseudoHeader(net::Ipv4Address{wire::load32(packet, 12)},
                        net::Ipv4Address{wire::load32(packet, 16)},
                        static_cast<net::IpProtocol>(packet[9]), packet.size() - kIp);
    sum.add(packet.subspan(kIp));
    return sum.folded() == 0xffff;
}

bool headerIsRight(wire::ConstBytes packet)
{
    wire::ChecksumSum sum;
    sum.add(packet.first(kIp));
    return sum.folded() == 0xffff && wire::load16(packet, 2) == packet.size();
}

/// flags, segmentation, headers, segment, checksum start, checksum offset; in the host's order.
Header descriptor(std::uint8_t flags, std::uint8_t kind, std::uint16_t segment, std::uint16_t start,
                  std::uint16_t offset)
{
    Header header{flags, kind};
    const std::array<std::uint16_t, 4> words{0, segment, start, offset};
    std::memcpy(header.data() + 2, words.data(), sizeof words);
    return header;
}

}  // namespace

class OffloadTest final : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void plainPacket_hasNoDescriptor()
    {
        Bytes bytes = ipv4(6, tcpBody(10));
        wire::Packet packet{bytes};
        QCOMPARE(readOffload(Header{}, 14, packet).reading, OffloadReading::Carried);
        QCOMPARE(packet.checksum, wire::ChecksumState::Complete);
        Header out;
        writeOffload(out, 14, packet);
        QCOMPARE(out, Header{});
    }

    void largeTcpPacket_goesThroughUnchanged()
    {
        Bytes bytes = ipv4(6, tcpBody(5000));
        wire::Packet packet{bytes};
        const Header in = descriptor(1, 1, 1448, 34, 16);
        QCOMPARE(readOffload(in, 14, packet).reading, OffloadReading::Carried);
        QCOMPARE(packet.checksum, wire::ChecksumState::Partial);
        QCOMPARE(packet.segmentPayload, std::uint16_t{1448});
        const Bytes before = bytes;
        Header out;
        writeOffload(out, 14, packet);
        Header expected = in;
        const std::uint16_t headers = 14 + kIp + kTcp;
        std::memcpy(expected.data() + 2, &headers, sizeof headers);
        QCOMPARE(out, expected);
        QCOMPARE(bytes, before);
    }

    // RFC 3168 §6.1.2: only the first segment may carry CWR, so the kernel must be told.
    void windowReduced_isSaidInTheDescriptor()
    {
        Bytes bytes = ipv4(6, tcpBody(5000, 0x98));
        Header out;
        writeOffload(out, 14, {bytes, wire::ChecksumState::Partial, 1448});
        QCOMPARE(out[1], std::uint8_t{0x81});
    }

    void completeChecksum_ofLargePacket_becomesThePseudoHeadersSum()
    {
        Bytes bytes = ipv4(17, udpBody(3000));
        finishChecksum(bytes);
        Header out;
        writeOffload(out, 14, {bytes, wire::ChecksumState::Complete, 1000});
        QCOMPARE(guessChecksumState(bytes), wire::ChecksumState::Partial);
        QCOMPARE(out[1], std::uint8_t{5});
    }

    void checksumElsewhere_isFinished()
    {
        // GRE around TCP: the sender left the inner checksum to the card.
        Bytes inner = ipv4(6, tcpBody(100));
        wire::ChecksumSum pseudo;
        pseudo.addPseudoHeader(net::Ipv4Address{192, 0, 2, 1}, net::Ipv4Address{203, 0, 113, 9},
                               net::IpProtocol::Tcp, inner.size() - kIp);
        wire::store16(inner, kIp + 16, pseudo.folded());
        Bytes body{0, 0, 8, 0};
        body.insert(body.end(), inner.begin(), inner.end());
        Bytes bytes = ipv4(47, body);
        wire::Packet packet{bytes};
        const auto start = static_cast<std::uint16_t>(14 + kIp + 4 + kIp);
        QCOMPARE(readOffload(descriptor(1, 0, 0, start, 16), 14, packet).reading,
                 OffloadReading::Carried);
        QCOMPARE(packet.checksum, wire::ChecksumState::Complete);
        QVERIFY(transportIsRight(wire::ConstBytes{bytes}.subspan(kIp + 4)));
    }

    void hostileDescriptors_areRefusedOrHarmless()
    {
        Bytes original = ipv4(6, tcpBody(40));
        for (unsigned value = 0; value < 65536; value += 7) {
            for (const std::uint8_t kind : Bytes{0, 1, 3, 4, 5, 0x81, 0xff}) {
                Bytes bytes = original;
                wire::Packet packet{bytes};
                const auto word = static_cast<std::uint16_t>(value);
                (void)readOffload(descriptor(1, kind, word, word, 16), 14, packet);
                (void)readOffload(descriptor(1, kind, 9, 34, word), 14, packet);
                QCOMPARE(bytes.size(), original.size());
            }
        }
    }

    void segment_data()
    {
        QTest::addColumn<int>("protocol");
        QTest::addColumn<int>("payload");
        QTest::addColumn<int>("size");
        QTest::addColumn<int>("parts");
        QTest::newRow("TCP in three") << 6 << 2500 << 1000 << 3;
        QTest::newRow("TCP, last one full") << 6 << 3000 << 1000 << 3;
        QTest::newRow("TCP that fits") << 6 << 1000 << 1000 << 1;
        QTest::newRow("UDP in two") << 17 << 1001 << 1000 << 2;
        QTest::newRow("64 KB") << 6 << 65495 << 1460 << 45;
    }

    void segment()
    {
        QFETCH(int, protocol);
        QFETCH(int, payload);
        QFETCH(int, size);
        QFETCH(int, parts);
        const auto length = static_cast<std::size_t>(payload);
        Bytes bytes = protocol == 6 ? ipv4(6, tcpBody(length, 0x99)) : ipv4(17, udpBody(length));
        const std::size_t header = protocol == 6 ? kIp + kTcp : kIp + 8;
        Bytes scratch(70000);
        Bytes joined;
        std::vector<std::uint32_t> sequences;
        int count = 0;
        const bool done = io::segment(
            {bytes, wire::ChecksumState::Partial, static_cast<std::uint16_t>(size)}, scratch,
            [&](wire::ConstBytes part) {
                ++count;
                QVERIFY(headerIsRight(part));
                QVERIFY(transportIsRight(part));
                if (protocol == 6) {
                    QCOMPARE(wire::load32(part, kIp + 4), 0x1000U + joined.size());
                    const bool last = joined.size() + part.size() - header == length;
                    QCOMPARE((part[kIp + 13] & 0x09) != 0, last);
                    QCOMPARE((part[kIp + 13] & 0x80) != 0, joined.empty());
                } else {
                    QCOMPARE(wire::load16(part, kIp + 4), part.size() - kIp);
                }
                joined.insert(joined.end(), part.begin() + static_cast<int>(header), part.end());
            });
        QVERIFY(done);
        QCOMPARE(count, parts);
        QCOMPARE(joined, numbered(length));
    }

    void tunnelledTcp_isCutInside()
    {
        for (const bool keyed : {false, true}) {
            const Bytes inner = ipv4(6, tcpBody(3000));
            Bytes body{static_cast<std::uint8_t>(keyed ? 0xa0 : 0), 0, 8, 0};
            if (keyed) body.insert(body.end(), {0, 0, 0, 0, 1, 2, 3, 4});
            const std::size_t gre = body.size();
            body.insert(body.end(), inner.begin(), inner.end());
            Bytes bytes = ipv4(47, body);
            wire::Packet packet{bytes};
            const std::size_t tcp = kIp + gre + kIp;
            const auto result = readOffload(
                descriptor(1, 1, 1400, static_cast<std::uint16_t>(14 + tcp), 16), 14, packet);
            QCOMPARE(result.reading, OffloadReading::Nested);
            QCOMPARE(result.innerTransport, tcp);
            Bytes scratch(70000);
            Bytes joined;
            QVERIFY(segmentNested(packet, result.innerTransport, scratch, [&](wire::ConstBytes p) {
                QVERIFY(headerIsRight(p));
                const auto in = p.subspan(kIp + gre);
                QVERIFY(headerIsRight(in));
                QVERIFY(transportIsRight(in));
                if (keyed) {
                    wire::ChecksumSum sum;
                    sum.add(p.subspan(kIp));
                    QCOMPARE(sum.folded(), std::uint16_t{0xffff});
                }
                joined.insert(joined.end(), in.begin() + kIp + kTcp, in.end());
            }));
            QCOMPARE(joined, numbered(3000));
        }
    }

    void capturedPacket_isToldByItsSum()
    {
        Bytes bytes = ipv4(6, tcpBody(77));
        finishChecksum(bytes);
        QCOMPARE(guessChecksumState(bytes), wire::ChecksumState::Complete);
        QVERIFY(transportIsRight(bytes));
        QCOMPARE(segmentPayloadFor(bytes, 1500), std::uint16_t{0});
        QCOMPARE(segmentPayloadFor(bytes, 100), std::uint16_t{60});
    }
};

QTEST_APPLESS_MAIN(OffloadTest)
#include "offload_test.moc"
