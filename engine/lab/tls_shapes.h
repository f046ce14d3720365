#pragma once

#include "engine/lab/octets.h"

#include <cstdint>
#include <optional>
#include <string_view>

/// TLS and DTLS records in the shapes that a router can see (RFC 5246, RFC 6347). Nothing is
/// encrypted; what would be is opaque.
namespace engine::lab::tls {

enum class Record : std::uint8_t { ChangeCipherSpec = 20, Alert = 21, Handshake = 22, Data = 23 };

[[nodiscard]] Octets record(Record type, wire::ConstBytes body);
/// A ClientHello record; without server_name if `name` is empty.
[[nodiscard]] Octets clientHello(std::string_view name, std::uint64_t random);
/// ServerHello, a certificate-like flight and ServerHelloDone.
[[nodiscard]] Octets serverHello(std::uint64_t random);
/// ChangeCipherSpec and an encrypted Finished.
[[nodiscard]] Octets finished(std::uint64_t random);

/// Cuts the next whole record off a stream; its first octet is the type.
[[nodiscard]] std::optional<Octets> cut(Octets& stream);

struct DatagramRecord {
    Record type = Record::Handshake;
    std::uint16_t epoch = 0;
    std::uint64_t sequence = 0;
    Octets body{};
};
[[nodiscard]] Octets encode(const DatagramRecord& record);
[[nodiscard]] std::optional<DatagramRecord> decodeDatagram(wire::ConstBytes bytes);
/// The body of a DTLS ClientHello or ServerHello with the given session id.
[[nodiscard]] Octets datagramHello(bool client, wire::ConstBytes sessionId, std::uint64_t random);

}  // namespace engine::lab::tls
