#include "engine/nat/tcp_window.h"
#include "engine/wire/builder.h"

#include <cstdint>
#include <vector>

#include "tests/fuzz/require.h"

using namespace engine;
using namespace engine::nat;
using namespace engine::wire::tcp_flag;

/// The input is a story of segments that lie near what the connection has seen, so that they are
/// often right by a hair. A reset that is not exact must never be believed, and nothing refused may
/// change the record.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    TcpWindow window;
    std::uint32_t sent[2]{1000, 5000};
    for (std::size_t at = 0; at + 6 <= size; at += 6) {
        const std::uint8_t* step = data + at;
        const unsigned side = step[0] % 2;
        const auto direction = side == 0 ? net::Direction::Outbound : net::Direction::Inbound;
        const auto near = [&](std::uint32_t base, std::uint8_t by) {
            return base + (by < 128 ? by : static_cast<std::uint32_t>(by - 128) * 0x02040811U);
        };
        const std::uint32_t sequence = near(sent[side] - 60, step[1]);
        auto packet = wire::buildTcp(
            {.source = {{192, 0, 2, 1}, net::Port{1}},
             .destination = {{198, 51, 100, 1}, net::Port{2}},
             .flags = step[2],
             .sequence = sequence,
             .acknowledgement = near(sent[1 - side] - 60, step[3]),
             .window = static_cast<std::uint16_t>(step[4] * 257),
             .windowScale =
                 step[0] % 4 < 2 ? std::optional<std::uint8_t>{step[5] % 16} : std::nullopt},
            std::vector<std::uint8_t>(step[5]));
        const auto tcp = wire::TcpView::parse(wire::MutableBytes{packet}.subspan(20));
        const TcpWindow before = window;
        const auto verdict = window.observe(
            direction, *tcp, step[0] % 16 == 15 ? wire::Extent::Beginning : wire::Extent::Whole);
        if ((step[2] & kRst) != 0) {
            require(verdict == WindowVerdict::Ok || verdict == WindowVerdict::InexactReset);
            require(window == before);
        }
        if (verdict == WindowVerdict::OutOfWindow || verdict == WindowVerdict::InexactReset) {
            require(window == before);
        }
        if (verdict == WindowVerdict::Reopened) require((step[2] & (kSyn | kAck)) == (kSyn | kAck));
        if (verdict == WindowVerdict::Ok && (step[2] & kRst) == 0) {
            sent[side] = sequence + tcp->sequenceLength();
        }
        if (step[0] == 255) window.forgetPositions();
    }
    return 0;
}
