#include "engine/passthrough/ike.h"

#include "engine/base/random.h"

#include <QCryptographicHash>
#include <QTest>

#include "tests/engine/passthrough/ipsec_nat.h"

using namespace ipsecworld;
using ike::Encapsulated;
using wire::ParseError;

namespace {

IkeMessage firstMessage()
{
    IkeMessage message;
    message.initiatorSpi = 0x1122334455667788;
    message.exchange = 34;
    message.flags = 8;
    message.payloads = {{33, Bytes(40, 0)}};
    return message;
}

QByteArray hex(const Sha1Digest& digest)
{
    return QByteArray(reinterpret_cast<const char*>(digest.data()), 20).toHex();
}

Sha1Digest digestOf(const QByteArray& text)
{
    const Bytes bytes(text.begin(), text.end());
    return sha1(bytes);
}

ike::ClearPayloads read(const IkeMessage& message)
{
    const Bytes bytes = build(message);
    const auto header = ike::parseHeader(bytes);
    return header ? ike::readClearPayloads(*header, bytes) : ike::ClearPayloads{};
}

}  // namespace

class IkeTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void sha1_ofKnownMessages_isAsPublished();
    void header_ofAWholeMessage_isRead();
    void header_cutAnywhere_isTruncatedOrOfBadLength();
    void header_thatContradictsItself_isRefused_data();
    void header_thatContradictsItself_isRefused();
    void everyExchange_belongsToOneVersion();
    void encapsulated_isToldByMarkerAndSize();
    void randomOctets_areNeverIke();
    void payloads_showOffersAndProducts();
    void proposals_ofBothVersions_areRead();
    void notices_areRead();
    void natDetectionHash_coversSpisAddressAndPort();
    void brokenPayloadChains_giveLess();
};

// FIPS 180-4's examples, and lengths around a block's end.
void IkeTest::sha1_ofKnownMessages_isAsPublished()
{
    QCOMPARE(hex(digestOf("abc")), QByteArray("a9993e364706816aba3e25717850c26c9cd0d89d"));
    QCOMPARE(hex(digestOf("")), QByteArray("da39a3ee5e6b4b0d3255bfef95601890afd80709"));
    QCOMPARE(hex(digestOf("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")),
             QByteArray("84983e441c3bd26ebaae4aa1f95129e5e54670f1"));
    for (qsizetype length = 0; length < 200; ++length) {
        const QByteArray text(length, 'x');
        QCOMPARE(hex(digestOf(text)),
                 QCryptographicHash::hash(text, QCryptographicHash::Sha1).toHex());
    }
}

void IkeTest::header_ofAWholeMessage_isRead()
{
    const Bytes bytes = build(firstMessage());
    const auto header = ike::parseHeader(bytes);
    QVERIFY(header.has_value());
    QCOMPARE(header->initiatorSpi, std::uint64_t{0x1122334455667788});
    QCOMPARE(header->responderSpi, std::uint64_t{0});
    QVERIFY(header->version == ike::Version::V2);
    QVERIFY(header->exchange == ike::Exchange::SaInit);
    QVERIFY(header->fromInitiator());
    QVERIFY(!header->isResponse());
    QCOMPARE(header->nextPayload, std::uint8_t{33});
}

void IkeTest::header_cutAnywhere_isTruncatedOrOfBadLength()
{
    const Bytes bytes = build(firstMessage());
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        const auto header = ike::parseHeader(wire::ConstBytes{bytes}.first(size));
        QVERIFY(!header.has_value());
        QVERIFY(header.error() == (size < 28 ? ParseError::Truncated : ParseError::BadLength));
    }
}

void IkeTest::header_thatContradictsItself_isRefused_data()
{
    QTest::addColumn<int>("at");
    QTest::addColumn<int>("value");
    QTest::newRow("version 3") << 17 << 0x30;
    QTest::newRow("version 0") << 17 << 0x00;
    QTest::newRow("version 1 with an exchange of 2") << 17 << 0x10;
    QTest::newRow("unknown exchange") << 18 << 99;
    QTest::newRow("exchange of version 1") << 18 << 2;
    QTest::newRow("undefined flag") << 19 << 0x48;
    QTest::newRow("length too large") << 27 << 0xff;
    QTest::newRow("length beyond any datagram") << 24 << 0x01;
}

void IkeTest::header_thatContradictsItself_isRefused()
{
    QFETCH(int, at);
    QFETCH(int, value);
    Bytes bytes = build(firstMessage());
    bytes[static_cast<std::size_t>(at)] = static_cast<std::uint8_t>(value);
    QVERIFY(!ike::parseHeader(bytes).has_value());
}

void IkeTest::everyExchange_belongsToOneVersion()
{
    int ofOne = 0;
    int ofTwo = 0;
    for (int exchange = 0; exchange < 256; ++exchange) {
        IkeMessage message = firstMessage();
        message.exchange = static_cast<std::uint8_t>(exchange);
        message.flags = 0;
        const bool two = ike::parseHeader(build(message)).has_value();
        message.version = 1;
        const bool one = ike::parseHeader(build(message)).has_value();
        QVERIFY(!(one && two));
        ofOne += one ? 1 : 0;
        ofTwo += two ? 1 : 0;
    }
    QCOMPARE(ofOne, 7);
    QCOMPARE(ofTwo, 7);
}

// RFC 3948 §2.1 to §2.3
void IkeTest::encapsulated_isToldByMarkerAndSize()
{
    const Bytes message = build(firstMessage());
    QVERIFY(ike::classifyEncapsulated(withMarker(message)) == Encapsulated::Ike);
    QVERIFY(ike::classifyEncapsulated(esp(256, 1)) == Encapsulated::Esp);
    QVERIFY(ike::classifyEncapsulated(esp(255, 1)) == Encapsulated::Other);
    QVERIFY(ike::classifyEncapsulated(Bytes{0xff}) == Encapsulated::Keepalive);
    QVERIFY(ike::classifyEncapsulated(Bytes{0xfe}) == Encapsulated::Other);
    QVERIFY(ike::classifyEncapsulated(Bytes{}) == Encapsulated::Other);
    QVERIFY(ike::classifyEncapsulated(Bytes(7, 0x41)) == Encapsulated::Other);
    QVERIFY(ike::classifyEncapsulated(Bytes(100, 0)) == Encapsulated::Other);
}

void IkeTest::randomOctets_areNeverIke()
{
    Random random(HashKey{1, 2});
    for (int i = 0; i < 200000; ++i) {
        Bytes bytes(28 + random.below(200));
        for (auto& octet : bytes)
            octet = static_cast<std::uint8_t>(random.next());
        QVERIFY(!ike::parseHeader(bytes).has_value());
    }
}

void IkeTest::payloads_showOffersAndProducts()
{
    IkeMessage message = firstMessage();
    message.version = 1;
    message.exchange = 2;
    message.flags = 0;
    const Bytes windows{0x1e, 0x2b, 0x51, 0x69, 0x05, 0x99, 0x1c, 0x7d, 0x7c, 0x96,
                        0xfc, 0xbf, 0xb5, 0x87, 0xe4, 0x61, 0x00, 0x00, 0x00, 0x09};
    const Bytes draft{0x90, 0xcb, 0x80, 0x91, 0x3e, 0xbb, 0x69, 0x6e,
                      0x08, 0x63, 0x81, 0xb5, 0xec, 0x42, 0x7b, 0x1f};
    message.payloads = {{1, Bytes(40, 0)}, {13, windows}, {13, draft}};
    auto clear = read(message);
    QVERIFY(clear.product == ike::Product::Windows);
    QCOMPARE(ike::nameOf(clear.product), std::string_view("Windows"));
    QVERIFY(clear.offersNatTraversal);
    QVERIFY(!clear.hasNatDetection);
    // The first NAT-D payload is how the sender sees the receiver (RFC 3947 §3.2).
    message.payloads = {{4, Bytes(30, 1)}, {20, Bytes(20, 7)}, {20, Bytes(20, 8)}};
    clear = read(message);
    QVERIFY(clear.hasNatDetection);
    QVERIFY(clear.destinationHash.has_value());
    QCOMPARE((*clear.destinationHash)[0], std::uint8_t{7});
    // Nothing is read from what is encrypted.
    message.flags = 1;
    clear = read(message);
    QVERIFY(!clear.hasNatDetection);
}

void IkeTest::proposals_ofBothVersions_areRead()
{
    IkeMessage two = firstMessage();
    two.payloads = {{33, {0, 0, 0, 40, 1, 1, 0, 4,   // one proposal, four transforms
                          3, 0, 0, 8,  1, 0, 0, 12,  // AES-CBC
                          3, 0, 0, 8,  2, 0, 0, 5,   //
                          3, 0, 0, 8,  3, 0, 0, 12,  //
                          0, 0, 0, 8,  4, 0, 0, 19}}};
    auto clear = read(two);
    QVERIFY(clear.hasProposal);
    QCOMPARE(clear.proposal.encryption, std::uint16_t{12});
    QCOMPARE(clear.proposal.integrity, std::uint16_t{12});
    QCOMPARE(clear.proposal.group, std::uint16_t{19});
    QVERIFY(!ike::isWeak(ike::Version::V2, clear.proposal));
    QVERIFY(ike::isWeak(ike::Version::V2, {3, 12, 19}));
    QVERIFY(ike::isWeak(ike::Version::V2, {12, 1, 19}));
    QVERIFY(ike::isWeak(ike::Version::V2, {12, 12, 2}));

    IkeMessage one = firstMessage();
    one.version = 1;
    one.exchange = 2;
    one.flags = 0;
    one.payloads = {{1, {0,    0,  0, 1,  0, 0, 0, 1,  // DOI, situation
                         0,    0,  0, 36, 1, 1, 0, 1,  // one proposal
                         0,    0,  0, 28, 1, 1, 0, 0,  // one transform
                         0x80, 1,  0, 5,               // 3DES
                         0x80, 2,  0, 2,               // SHA
                         0x80, 3,  0, 1,               // pre-shared key
                         0x80, 4,  0, 2,               // group 2
                         0x80, 11, 0, 1}}};
    clear = read(one);
    QVERIFY(clear.hasProposal);
    QCOMPARE(clear.proposal.encryption, std::uint16_t{5});
    QCOMPARE(clear.proposal.integrity, std::uint16_t{2});
    QCOMPARE(clear.proposal.group, std::uint16_t{2});
    QVERIFY(ike::isWeak(ike::Version::V1, clear.proposal));
}

void IkeTest::notices_areRead()
{
    IkeMessage message = firstMessage();
    message.payloads = {{41, notify(14)}};
    QCOMPARE(read(message).error, ike::kNoProposalChosen);
    message.payloads = {{41, notify(16390, Bytes(16, 1))}, {41, notify(16430)}};
    QVERIFY(read(message).asksForCookie);
    QVERIFY(read(message).supportsFragmentation);
    QCOMPARE(read(message).error, std::uint16_t{0});
    message.payloads = {{41, notify(16389, Bytes(20, 9))}};
    QVERIFY(read(message).hasNatDetection);
    QVERIFY(read(message).destinationHash.has_value());
    message.payloads = {{41, notify(16389, Bytes(19, 9))}};
    QVERIFY(!read(message).destinationHash.has_value());
}

void IkeTest::natDetectionHash_coversSpisAddressAndPort()
{
    ike::Header header;
    header.initiatorSpi = 0x0102030405060708;
    header.responderSpi = 0x1112131415161718;
    const QByteArray octets = QByteArray::fromHex(
        "01020304050607081112131415161718"
        "c6336402"
        "01f4");
    const auto expected = QCryptographicHash::hash(octets, QCryptographicHash::Sha1).toHex();
    QCOMPARE(hex(ike::natDetectionHash(header, {kExternal, net::Port{500}})), expected);
    QVERIFY(hex(ike::natDetectionHash(header, {kExternal, net::Port{501}})) != expected);
}

void IkeTest::brokenPayloadChains_giveLess()
{
    IkeMessage message = firstMessage();
    message.payloads = {{33, Bytes(40, 0)}, {43, Bytes(16, 0x88)}, {41, notify(14)}};
    const Bytes good = build(message);
    const auto header = ike::parseHeader(good);
    QVERIFY(header.has_value());
    // Every octet set to every of a few values: no read beyond the message (the sanitizers watch).
    for (std::size_t at = 28; at < good.size(); ++at) {
        for (const int value : {0, 1, 3, 4, 0x7f, 0xff}) {
            Bytes bad = good;
            bad[at] = static_cast<std::uint8_t>(value);
            const auto clear = ike::readClearPayloads(*header, bad);
            QVERIFY(clear.error == 0 || clear.error < 16384);
        }
    }
    for (std::size_t size = 0; size <= good.size(); ++size) {
        const Bytes cut(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size));
        const auto clear = ike::readClearPayloads(*header, cut);
        QVERIFY(size == good.size() || clear.error == 0);
    }
}

QTEST_APPLESS_MAIN(IkeTest)
#include "ike_test.moc"
