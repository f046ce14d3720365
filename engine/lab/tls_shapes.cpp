#include "engine/lab/tls_shapes.h"

#include "engine/base/siphash.h"

namespace engine::lab::tls {

namespace {

constexpr std::uint16_t kTls10 = 0x0301;
constexpr std::uint16_t kTls12 = 0x0303;
constexpr std::uint16_t kDtls12 = 0xfefd;

void putNoise(Writer& writer, std::size_t size, std::uint64_t seed)
{
    for (std::size_t i = 0; i < size; ++i)
        writer.put8(sipHash(HashKey{seed, 3}, i, size));
}

Octets handshake(std::uint8_t type, wire::ConstBytes body)
{
    return Writer{}.put8(type).put24(body.size()).put(body).take();
}

void putCipherSuites(Writer& writer)
{
    writer.put16(8).put16(0xc02f).put16(0xc030).put16(0x009c).put16(0x009d);
}

}  // namespace

Octets record(Record type, wire::ConstBytes body)
{
    return Writer{}
        .put8(static_cast<std::uint8_t>(type))
        .put16(kTls12)
        .put16(body.size())
        .put(body)
        .take();
}

Octets clientHello(std::string_view name, std::uint64_t random)
{
    Writer body;
    body.put16(kTls12);
    putNoise(body, 32, random);
    body.put8(32);
    putNoise(body, 32, random + 1);
    putCipherSuites(body);
    body.put8(1).put8(0);
    Writer extensions;
    if (!name.empty()) {
        extensions.put16(0).put16(name.size() + 5).put16(name.size() + 3).put8(0);
        extensions.put16(name.size()).putText(name);
    }
    extensions.put16(10).put16(4).put16(2).put16(23);                    // supported_groups: P-256
    extensions.put16(11).put16(2).put8(1).put8(0);                       // ec_point_formats
    extensions.put16(13).put16(6).put16(4).put16(0x0401).put16(0x0403);  // signature_algorithms
    const Octets list = extensions.take();
    body.put16(list.size()).put(list);
    const Octets hello = handshake(1, body.take());
    return Writer{}.put8(22).put16(kTls10).put16(hello.size()).put(hello).take();
}

Octets serverHello(std::uint64_t random)
{
    Writer body;
    body.put16(kTls12);
    putNoise(body, 32, random);
    body.put8(32);
    putNoise(body, 32, random + 2);
    body.put16(0xc02f).put8(0);
    Writer certificate;
    certificate.put24(903).put24(900);
    putNoise(certificate, 900, random + 3);
    return Writer{}
        .put(record(Record::Handshake, handshake(2, body.take())))
        .put(record(Record::Handshake, handshake(11, certificate.take())))
        .put(record(Record::Handshake, handshake(14, {})))
        .take();
}

Octets finished(std::uint64_t random)
{
    const Octets one{1};
    Writer sealed;
    putNoise(sealed, 40, random + 4);
    return Writer{}
        .put(record(Record::ChangeCipherSpec, one))
        .put(record(Record::Handshake, sealed.take()))
        .take();
}

std::optional<Octets> cut(Octets& stream)
{
    if (stream.size() < 5) return std::nullopt;
    const std::size_t length = 5U + wire::load16(stream, 3);
    if (stream.size() < length) return std::nullopt;
    const auto end = stream.begin() + static_cast<std::ptrdiff_t>(length);
    Octets record{stream.begin(), end};
    stream.erase(stream.begin(), end);
    return record;
}

Octets encode(const DatagramRecord& record)
{
    Writer writer;
    writer.put8(static_cast<std::uint8_t>(record.type)).put16(kDtls12).put16(record.epoch);
    writer.put16(record.sequence >> 32).put32(record.sequence);
    return writer.put16(record.body.size()).put(record.body).take();
}

std::optional<DatagramRecord> decodeDatagram(wire::ConstBytes bytes)
{
    if (bytes.size() < 13 || wire::load16(bytes, 11) != bytes.size() - 13) return std::nullopt;
    return DatagramRecord{.type = static_cast<Record>(bytes[0]),
                          .epoch = wire::load16(bytes, 3),
                          .sequence = wire::load64(bytes, 3) & 0xffffffffffffU,
                          .body = copyOf(bytes.subspan(13))};
}

Octets datagramHello(bool client, wire::ConstBytes sessionId, std::uint64_t random)
{
    Writer body;
    body.put16(kDtls12);
    putNoise(body, 32, random);
    body.put8(sessionId.size()).put(sessionId);
    if (client) {
        body.put8(0);  // no cookie
        putCipherSuites(body);
        body.put8(1).put8(0);
    } else {
        body.put16(0xc02f).put8(0);
    }
    const Octets hello = body.take();
    Writer message;
    message.put8(client ? 1 : 2).put24(hello.size()).put16(0).put24(0).put24(hello.size());
    return message.put(hello).take();
}

}  // namespace engine::lab::tls
