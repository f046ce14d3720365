// PPTP: the same two streams once in whole pieces and once cut otherwise must mean the same, and
// nothing may be opened but between the two hosts of the connection.

#include "tests/engine/passthrough/pptp_session.h"
#include "tests/fuzz/require.h"

namespace {

using namespace pptp_test;

/// Takes values off the front of the fuzzer's octets; zero when there are none left.
class Source {
public:
    explicit Source(wire::ConstBytes bytes) : m_bytes(bytes) {}
    [[nodiscard]] bool empty() const { return m_bytes.empty(); }
    std::uint8_t octet()
    {
        if (m_bytes.empty()) return 0;
        const std::uint8_t value = m_bytes[0];
        m_bytes = m_bytes.subspan(1);
        return value;
    }
    Bytes octets(std::size_t count)
    {
        const auto taken = m_bytes.first(std::min(count, m_bytes.size()));
        m_bytes = m_bytes.subspan(taken.size());
        return {taken.begin(), taken.end()};
    }

private:
    wire::ConstBytes m_bytes;
};

struct Block {
    Direction direction = Direction::Outbound;
    Bytes bytes;
};

/// Messages with sensible frames and hostile contents, or anything at all.
std::vector<Block> script(Source& source)
{
    std::vector<Block> blocks{{Direction::Outbound, startRequest()},
                              {Direction::Inbound, startReply()}};
    while (!source.empty() && blocks.size() < 40) {
        const std::uint8_t kind = source.octet();
        Block block;
        block.direction = (kind & 1U) != 0 ? Direction::Inbound : Direction::Outbound;
        const auto type = static_cast<std::uint16_t>(kind >> 4);
        if ((kind & 2U) != 0 || type == 0) {
            block.bytes = source.octets(source.octet());
        } else {
            block.bytes = message(type);
            const Bytes ids = source.octets(5);
            std::copy_n(ids.begin(), std::min(ids.size(), block.bytes.size() - 12),
                        block.bytes.begin() + 12);
            if ((kind & 4U) != 0 && block.bytes.size() > 16) block.bytes[16] = 1;
        }
        if (!block.bytes.empty()) blocks.push_back(std::move(block));
    }
    return blocks;
}

using Opened = std::vector<std::tuple<std::uint32_t, std::uint32_t, std::uint16_t>>;

Opened openedBy(const Rig& rig, const Connection& connection)
{
    Opened opened;
    for (const PortlessBinding& binding : rig.actions.bindings) {
        require(binding.client == connection.flow.internal.address ||
                binding.master != connection.flow.id);
        require(binding.server == kServer && binding.external == kExternal);
        require(binding.inbound && binding.inbound->id != 0 && binding.rewriteInbound);
        if (binding.master != connection.flow.id) continue;
        opened.emplace_back(binding.outbound->id, binding.inbound->id,
                            binding.rewriteInbound->value);
    }
    return opened;
}

void play(const std::vector<Block>& blocks, Source cuts, Rig& rig, Connection& connection,
          bool whole)
{
    for (const Block& block : blocks) {
        // What was refused is not sent again: the sender gives up.
        if (!connection.drops.empty()) return;
        if (whole) {
            connection.send(block.direction, block.bytes);
            continue;
        }
        for (std::size_t at = 0; at < block.bytes.size() && connection.drops.empty();) {
            const std::size_t length =
                std::min<std::size_t>(1 + cuts.octet() % 64, block.bytes.size() - at);
            const auto from = block.bytes.begin() + static_cast<std::ptrdiff_t>(at);
            connection.send(block.direction,
                            Bytes(from, from + static_cast<std::ptrdiff_t>(length)));
            at += length;
        }
    }
    rig.now += 1ms;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    Source source({data, size});
    const Bytes cuts = source.octets(16);
    const std::vector<Block> blocks = script(source);
    std::array<Opened, 2> opened;
    std::array<std::array<Bytes, 2>, 2> received;
    std::array<bool, 2> dropped{};
    for (std::size_t way = 0; way < 2; ++way) {
        Rig rig;
        Connection other(rig, client(9));
        other.start_();
        other.dial(1, 1);
        Connection connection(rig);
        play(blocks, Source(cuts), rig, connection, way == 0);
        opened[way] = openedBy(rig, connection);
        received[way] = connection.received;
        dropped[way] = !connection.drops.empty();
        // Data for and beside whatever was opened, time, and the end of it all.
        for (const std::uint8_t octet : cuts) {
            rig.fromServer(gre(octet, octet, octet, Bytes(octet % 8, octet)));
            rig.fromClient(kClient,
                           gre(octet, octet, {}, {0xc2, 0x23, octet, 1, 0, 9, 'E', '=', '6'}));
            if (octet % 8 == 0) rig.passTime(std::chrono::seconds(octet / 8));
        }
        rig.close(connection.flow.id);
        rig.close(other.flow.id);
        require(rig.bindings.empty());
        rig.passTime(400s);
        require(!rig.inspector.nextTimeout());
    }
    require(opened[0] == opened[1]);
    require(dropped[0] == dropped[1]);
    if (!dropped[0]) require(received[0] == received[1]);
    return 0;
}
