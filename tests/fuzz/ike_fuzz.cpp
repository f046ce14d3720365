#include "engine/passthrough/ike.h"

#include <cstdint>
#include <vector>

#include "tests/fuzz/require.h"

using namespace engine;
using namespace engine::passthrough;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    std::vector<std::uint8_t> bytes(data, data + size);
    // A fuzzer does not find the length field by itself.
    if (size >= 29 && (data[size - 1] & 1U) != 0) {
        wire::store32(bytes, 24, static_cast<std::uint32_t>(size));
    }
    (void)ike::classifyEncapsulated(bytes);
    const auto header = ike::parseHeader(bytes);
    if (!header) return 0;
    require(header->initiatorSpi != 0);
    const ike::ClearPayloads clear = ike::readClearPayloads(*header, bytes);
    require(clear.error < 16384);
    require(!header->isEncrypted1() || !clear.hasProposal);
    (void)ike::isWeak(header->version, clear.proposal);
    return 0;
}
