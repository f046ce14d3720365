#include "engine/nat/icmp_error.h"

#include <cstdint>
#include <vector>

#include "tests/fuzz/require.h"

using namespace engine;
using namespace engine::nat;

namespace {

/// Fuzzers do not find checksums: this puts right those of a well-placed quote.
void repair(std::vector<std::uint8_t>& bytes)
{
    if (bytes.size() < 48) return;
    bytes[0] = 0x45;
    wire::store16(bytes, 2, static_cast<std::uint16_t>(bytes.size()));
    bytes[9] = 1;
    const std::size_t header = static_cast<std::size_t>(bytes[28] & 15U) * 4;
    if (header >= 20 && 28 + header <= bytes.size()) {
        wire::store16(bytes, 38, 0);
        wire::ChecksumSum quoted;
        quoted.add(wire::ConstBytes{bytes}.subspan(28, header));
        wire::store16(bytes, 38, quoted.checksum());
    }
    wire::store16(bytes, 22, 0);
    wire::ChecksumSum message;
    message.add(wire::ConstBytes{bytes}.subspan(20));
    wire::store16(bytes, 22, message.checksum());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    if (size == 0) return 0;
    std::vector<std::uint8_t> bytes(data + 1, data + size);
    if (data[0] % 8 != 0) repair(bytes);
    const auto outer = wire::Ipv4View::parse(bytes);
    if (!outer) return 0;
    auto error = IcmpError::parse(*outer);
    if (!error) return 0;

    const auto before = bytes;
    const EmbeddedPacket embedded = error->embedded();
    require(embedded.quoted >= 8);
    error->translate({{{192, 0, 2, 1}, net::Port{1}}, {{198, 51, 100, 1}, net::Port{2}}});
    require(error->icmp().hasValidChecksum());
    // There and back again leaves every octet as it was, as far as checksums have one zero.
    error->translate({embedded.source, embedded.destination});
    require(error->icmp().hasValidChecksum());
    require(error->embedded().source == embedded.source);
    for (std::size_t at = 48; at < bytes.size(); ++at) {
        const std::size_t transport = 28 + static_cast<std::size_t>(bytes[28] & 15U) * 4;
        const bool checksum = at >= transport && at < transport + 18;
        require(checksum || bytes[at] == before[at]);
    }
    return 0;
}
