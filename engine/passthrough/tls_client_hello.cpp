#include "engine/passthrough/tls_client_hello.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace engine::passthrough {
namespace {

using wire::ConstBytes;

// RFC 8446 §4 and §5.1, RFC 6347 §4.1 and §4.2.2.
constexpr std::uint8_t kHandshake = 22;
constexpr std::uint8_t kClientHelloType = 1;
constexpr std::size_t kTlsRecordHeader = 5;
constexpr std::size_t kTlsMessageHeader = 4;
constexpr std::size_t kDtlsRecordHeader = 13;
constexpr std::size_t kDtlsMessageHeader = 12;
constexpr std::size_t kLongestRecord = 16384 + 256;
constexpr std::uint16_t kServerNameExtension = 0;
constexpr std::uint16_t kUseSrtpExtension = 14;
constexpr std::uint16_t kAlpnExtension = 16;
constexpr std::uint16_t kCiscoAppIdExtension = 48018;
constexpr std::uint16_t kDraftDtls = 0x0100;
constexpr std::uint16_t kDtls10 = 0xfeff;
constexpr std::uint16_t kDtls12 = 0xfefd;

// Ours.
constexpr std::size_t kLongestHello = 16384;
constexpr std::size_t kMostText = 64;

/// Takes octets from the front; once something was not there, everything after is empty.
class Reader {
public:
    explicit Reader(ConstBytes bytes) : m_rest(bytes) {}

    std::uint32_t number(std::size_t octets)
    {
        std::uint32_t value = 0;
        for (const std::uint8_t octet : take(octets))
            value = (value << 8) | octet;
        return value;
    }
    ConstBytes take(std::size_t octets)
    {
        if (octets > m_rest.size()) {
            m_isShort = true;
            m_rest = {};
            return {};
        }
        const ConstBytes taken = m_rest.first(octets);
        m_rest = m_rest.subspan(octets);
        return taken;
    }
    /// Like take(), but content with what is there.
    ConstBytes takeAtMost(std::size_t octets) { return take(std::min(octets, m_rest.size())); }
    [[nodiscard]] bool isShort() const { return m_isShort; }
    [[nodiscard]] bool isEmpty() const { return m_rest.empty(); }

private:
    ConstBytes m_rest;
    bool m_isShort = false;
};

std::string textOf(ConstBytes bytes)
{
    const ConstBytes start = bytes.first(std::min(bytes.size(), kMostText));
    return {start.begin(), start.end()};
}

void readExtensions(ConstBytes extensions, ClientHello& hello)
{
    Reader reader(extensions);
    while (!reader.isEmpty() && !reader.isShort()) {
        const auto type = static_cast<std::uint16_t>(reader.number(2));
        const ConstBytes body = reader.take(reader.number(2));
        if (reader.isShort()) return;
        Reader inner(body);
        if (type == kServerNameExtension) {
            inner.take(2);  // length of the list
            if (inner.number(1) == 0) hello.serverName = textOf(inner.take(inner.number(2)));
        } else if (type == kAlpnExtension) {
            hello.hasAlpn = true;
            inner.take(2);
            hello.firstAlpn = textOf(inner.take(inner.number(1)));
        } else if (type == kUseSrtpExtension) {
            hello.hasUseSrtp = true;
        } else if (type == kCiscoAppIdExtension) {
            hello.hasCiscoAppId = true;
        }
    }
}

/// The body behind the handshake header. False if it cannot be a ClientHello.
bool readBody(ConstBytes body, bool isDtls, ClientHello& hello)
{
    Reader reader(body);
    hello.version = static_cast<std::uint16_t>(reader.number(2));
    reader.take(32);  // random
    const std::size_t sessionIdSize = reader.number(1);
    if (sessionIdSize > 32) return false;
    reader.take(sessionIdSize);
    hello.sessionIdSize = sessionIdSize;
    if (isDtls) reader.take(reader.number(1));  // cookie
    const std::size_t suites = reader.number(2);
    if (reader.isShort() || suites == 0 || suites % 2 != 0) return false;
    reader.take(suites);
    const std::size_t compressions = reader.number(1);
    reader.take(compressions);
    if (reader.isShort() || compressions == 0) return false;
    if (reader.isEmpty()) return true;  // before extensions were invented
    const std::size_t extensions = reader.number(2);
    readExtensions(reader.takeAtMost(extensions), hello);
    return true;
}

}  // namespace

HelloReading readTlsClientHello(ConstBytes stream)
{
    std::vector<std::uint8_t> joined;  // only when the message is spread over records
    ConstBytes message;
    ClientHello hello;
    std::size_t needed = kTlsMessageHeader;
    bool isFirst = true;
    while (message.size() < needed) {
        if (stream.empty()) return {HelloStatus::NeedMore, {}};
        if (stream[0] != kHandshake) return {HelloStatus::NotHello, {}};
        if (stream.size() > 1 && stream[1] != 3) return {HelloStatus::NotHello, {}};
        if (stream.size() > kTlsRecordHeader && isFirst &&
            stream[kTlsRecordHeader] != kClientHelloType) {
            return {HelloStatus::NotHello, {}};
        }
        if (stream.size() < kTlsRecordHeader) return {HelloStatus::NeedMore, {}};
        const std::size_t length = wire::load16(stream, 3);
        if (length == 0 || length > kLongestRecord) return {HelloStatus::NotHello, {}};
        if (isFirst) hello.recordVersion = wire::load16(stream, 1);
        if (stream.size() < kTlsRecordHeader + length) return {HelloStatus::NeedMore, {}};
        const ConstBytes fragment = stream.subspan(kTlsRecordHeader, length);
        stream = stream.subspan(kTlsRecordHeader + length);
        if (isFirst) {
            message = fragment;
        } else {
            if (joined.empty()) joined.assign(message.begin(), message.end());
            joined.insert(joined.end(), fragment.begin(), fragment.end());
            message = joined;
        }
        isFirst = false;
        if (message.size() < kTlsMessageHeader) continue;
        needed = kTlsMessageHeader + (wire::load32(message, 0) & 0xffffff);
        if (needed > kLongestHello) return {HelloStatus::NotHello, {}};
    }
    const ConstBytes body = message.subspan(kTlsMessageHeader, needed - kTlsMessageHeader);
    if (!readBody(body, false, hello)) return {HelloStatus::NotHello, {}};
    return {HelloStatus::Complete, std::move(hello)};
}

HelloReading readDtlsClientHello(ConstBytes datagram)
{
    constexpr std::size_t kHeaders = kDtlsRecordHeader + kDtlsMessageHeader;
    if (datagram.size() < kHeaders + 2 || datagram[0] != kHandshake)
        return {HelloStatus::NotHello, {}};
    ClientHello hello;
    hello.recordVersion = wire::load16(datagram, 1);
    if (hello.recordVersion != kDtls10 && hello.recordVersion != kDtls12 &&
        hello.recordVersion != kDraftDtls) {
        return {HelloStatus::NotHello, {}};
    }
    const bool isFirstEpoch = wire::load16(datagram, 3) == 0;
    const std::size_t recordLength = wire::load16(datagram, 11);
    if (!isFirstEpoch || datagram[kDtlsRecordHeader] != kClientHelloType ||
        recordLength < kDtlsMessageHeader || datagram.size() < kDtlsRecordHeader + recordLength) {
        return {HelloStatus::NotHello, {}};
    }
    const ConstBytes message = datagram.subspan(kDtlsRecordHeader, recordLength);
    const std::size_t length = wire::load32(message, 0) & 0xffffff;
    const std::size_t offset = wire::load32(message, 5) & 0xffffff;
    const std::size_t here = wire::load32(message, 8) & 0xffffff;
    if (offset != 0 || here > length || here > message.size() - kDtlsMessageHeader) {
        return {HelloStatus::NotHello, {}};
    }
    if (!readBody(message.subspan(kDtlsMessageHeader, here), true, hello)) {
        return {HelloStatus::NotHello, {}};
    }
    return {HelloStatus::Complete, std::move(hello)};
}

}  // namespace engine::passthrough
