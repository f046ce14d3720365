#include "engine/engine_state.h"

#include <algorithm>
#include <cstring>

/// The state that outlives the engine: every session with what it needs to go on. Fixed-size
/// records behind a header with a version and a checksum; indexes are rebuilt, never stored.
namespace engine {

namespace sf = nat::session_flag;
namespace df = nat::detail_flag;
using net::Direction;
using net::IpProtocol;

namespace {

constexpr std::uint32_t kMagic = 0x55505354;  // "UPST"
constexpr std::uint16_t kVersion = 1;

/// A writer and a reader over one octet order (network), so that the block means the same anywhere.
class Writer {
public:
    void u8(std::uint8_t value) { m_bytes.push_back(value); }
    void u16(std::uint16_t value)
    {
        u8(static_cast<std::uint8_t>(value >> 8));
        u8(static_cast<std::uint8_t>(value));
    }
    void u32(std::uint32_t value)
    {
        u16(static_cast<std::uint16_t>(value >> 16));
        u16(static_cast<std::uint16_t>(value));
    }
    void u64(std::uint64_t value)
    {
        u32(static_cast<std::uint32_t>(value >> 32));
        u32(static_cast<std::uint32_t>(value));
    }
    void raw(const void* data, std::size_t size)
    {
        const auto* octets = static_cast<const std::uint8_t*>(data);
        m_bytes.insert(m_bytes.end(), octets, octets + size);
    }
    std::vector<std::uint8_t>& bytes() { return m_bytes; }

private:
    std::vector<std::uint8_t> m_bytes;
};

class Reader {
public:
    explicit Reader(std::span<const std::uint8_t> bytes) : m_bytes(bytes) {}
    std::uint64_t number(std::size_t octets)
    {
        std::uint64_t value = 0;
        for (std::size_t i = 0; i < octets; ++i)
            value = (value << 8) | next();
        return value;
    }
    std::uint8_t u8() { return next(); }
    std::uint16_t u16() { return static_cast<std::uint16_t>(number(2)); }
    std::uint32_t u32() { return static_cast<std::uint32_t>(number(4)); }
    std::uint64_t u64() { return number(8); }
    void raw(void* data, std::size_t size)
    {
        auto* octets = static_cast<std::uint8_t*>(data);
        for (std::size_t i = 0; i < size; ++i)
            octets[i] = next();
    }
    [[nodiscard]] bool failed() const { return m_failed; }
    [[nodiscard]] bool atEnd() const { return m_at == m_bytes.size(); }

private:
    std::uint8_t next()
    {
        if (m_at >= m_bytes.size()) {
            m_failed = true;
            return 0;
        }
        return m_bytes[m_at++];
    }
    std::span<const std::uint8_t> m_bytes;
    std::size_t m_at = 0;
    bool m_failed = false;
};

std::uint64_t digest(std::span<const std::uint8_t> bytes)
{
    // Against accidents, not against attackers: who can write the file owns the router.
    std::uint64_t state = 0x9e3779b97f4a7c15U;
    for (const std::uint8_t octet : bytes)
        state = (state ^ octet) * 0x100000001b3U;
    return state;
}

struct Saved {
    nat::Session session;
    std::uint8_t kind = 0;  ///< 0 of a mapping, 1 of a forward or a 1:1 address, 2 port-less
    std::uint8_t holds = 0;
    std::uint32_t forward = 0;
    std::uint16_t idle = 0;
    std::int64_t created = 0;
    std::uint64_t bytesOut = 0;
    std::uint64_t bytesIn = 0;
    std::uint32_t packetsOut = 0;
    std::uint32_t packetsIn = 0;
    std::uint8_t hasOut = 1;
    std::uint8_t hasIn = 1;
    net::Ipv4Address external;
};

}  // namespace

std::vector<std::uint8_t> Engine::saveState(Instant now) const
{
    const State& state = *m_state;
    Writer out;
    out.bytes().reserve(64 + std::size_t{state.sessions.size()} * 128);
    out.u32(kMagic);
    out.u16(kVersion);
    out.u64(static_cast<std::uint64_t>(now.nanoseconds()));
    out.u32(state.sessions.size());
    state.forEachSession([&](std::uint32_t index) {
        const nat::Session& session = state.sessions[index];
        const nat::SessionDetail& rest = state.sessions.detail(index);
        const std::uint8_t kind = rest.has(df::kPortless)                 ? 2
                                  : rest.mapping == nat::FlatIndex::kNone ? 1
                                                                          : 0;
        out.u8(kind);
        out.u8(static_cast<std::uint8_t>(session.protocol));
        out.u32(session.internal.hostOrder());
        out.u32(session.remote.hostOrder());
        out.u32(state.sessions.externalAddress(session.externalSlot).hostOrder());
        out.u32(session.outboundId);
        out.u32(session.inboundId);
        out.u64(static_cast<std::uint64_t>(session.lastPacket.nanoseconds()));
        out.u8(static_cast<std::uint8_t>(session.tcpState));
        out.u8(session.flags);
        out.raw(&session.window, sizeof session.window);
        out.u8(rest.has(df::kHoldsMapping) ? 1 : 0);
        out.u8(rest.has(df::kHasOutbound) ? 1 : 0);
        out.u8(rest.has(df::kHasInbound) ? 1 : 0);
        out.u32(rest.forward);
        out.u16(rest.idle);
        out.u64(static_cast<std::uint64_t>(rest.created().nanoseconds()));
        const SessionRecord record = state.record(index);
        out.u64(record.outbound.bytes);
        out.u64(record.inbound.bytes);
        out.u32(static_cast<std::uint32_t>(record.outbound.packets));
        out.u32(static_cast<std::uint32_t>(record.inbound.packets));
    });
    const std::uint64_t sum = digest(out.bytes());
    out.u64(sum);
    return std::move(out.bytes());
}

bool Engine::restoreState(Instant now, std::span<const std::uint8_t> block)
{
    State& state = *m_state;
    if (block.size() < 8 || state.sessions.size() != 0) return false;
    const auto body = block.first(block.size() - 8);
    if (Reader{block.subspan(body.size())}.u64() != digest(body)) return false;
    Reader in{body};
    if (in.u32() != kMagic || in.u16() != kVersion) return false;
    // The clock must not have gone back: that would be another boot.
    if (Instant{Duration{static_cast<std::int64_t>(in.u64())}} > now) return false;
    const std::uint32_t count = in.u32();
    std::vector<Saved> saved;
    saved.reserve(std::min(count, state.sessions.capacity()));
    for (std::uint32_t i = 0; i < count && !in.failed(); ++i) {
        Saved one;
        one.kind = in.u8();
        one.session.protocol = static_cast<IpProtocol>(in.u8());
        one.session.internal = net::Ipv4Address{in.u32()};
        one.session.remote = net::Ipv4Address{in.u32()};
        one.external = net::Ipv4Address{in.u32()};
        one.session.outboundId = in.u32();
        one.session.inboundId = in.u32();
        one.session.lastPacket = Instant{Duration{static_cast<std::int64_t>(in.u64())}};
        const std::uint8_t tcpState = in.u8();
        if (tcpState >= nat::kTcpStateCount) return false;
        one.session.tcpState = static_cast<nat::TcpState>(tcpState);
        one.session.flags = in.u8();
        in.raw(&one.session.window, sizeof one.session.window);
        one.holds = in.u8();
        one.hasOut = in.u8();
        one.hasIn = in.u8();
        one.forward = in.u32();
        one.idle = in.u16();
        one.created = static_cast<std::int64_t>(in.u64());
        one.bytesOut = in.u64();
        one.bytesIn = in.u64();
        one.packetsOut = in.u32();
        one.packetsIn = in.u32();
        if (in.failed()) return false;
        // All or nothing: a session of an address we do not have means another network.
        if (!state.slotOf(one.external)) return false;
        if (saved.size() < state.sessions.capacity()) saved.push_back(one);
    }
    if (in.failed() || !in.atEnd()) return false;
    // Holders first, so that every mapping exists when those that only use it come.
    std::stable_sort(saved.begin(), saved.end(),
                     [](const Saved& a, const Saved& b) { return a.holds > b.holds; });
    for (const Saved& one : saved)
        state.restore(now, one.session, one.external, one.kind, one.holds != 0, one.forward,
                      one.idle, Instant{Duration{one.created}},
                      {{one.packetsOut, one.bytesOut}, {one.packetsIn, one.bytesIn}},
                      one.hasOut != 0, one.hasIn != 0);
    return true;
}

void Engine::State::restore(Instant now, const nat::Session& saved, net::Ipv4Address external,
                            std::uint8_t kind, bool holds, std::uint32_t forward,
                            std::uint16_t idle, Instant created, const DeviceTraffic& carried,
                            bool hasOut, bool hasIn)
{
    const std::uint8_t slot = *slotOf(external);
    const auto device = devices.findOrMake(now, saved.internal);
    if (!device) return;
    if (traffic.size() <= *device) traffic.resize(*device + std::size_t{1});
    devices[*device].paired = true;
    devices[*device].externalSlot = slot;
    std::optional<std::uint32_t> mapping;
    if (kind == 0) {
        mapping = mappings.byExternal(saved.protocol, slot, saved.externalPort());
        if (!mapping) {
            if (!holds) return;
            const auto made = mappings.make(now,
                                            {.protocol = saved.protocol,
                                             .behaviour = behaviourOf(saved.protocol).mapping,
                                             .internal = {saved.internal, saved.internalPort()},
                                             .remote = {saved.remote, saved.remotePort()},
                                             .externalSlot = slot,
                                             .device = *device},
                                            config.nat, random, saved.externalPort());
            if (!made.mapping) return;
            mapping = made.mapping;
            ++counters.mappingsCreated;
            ++devices[*device].ports[nat::MappingTable::lane(saved.protocol)];
        } else if (mappings[*mapping].internal !=
                   net::Endpoint{saved.internal, saved.internalPort()}) {
            return;
        }
    }
    const auto index = sessions.allocate(now);
    if (!index) return;
    nat::Session& session = sessions[*index];
    nat::SessionDetail& rest = sessions.detail(*index);
    session = saved;
    // The connection has gone on after the block was made, for as long as the old engine lived.
    if (saved.protocol == IpProtocol::Tcp) session.window.forgetPositions();
    session.externalSlot = slot;
    session.device = *device;
    // Passthrough starts anew: it looks at the flow again and may recognise it from the middle.
    session.flags = static_cast<std::uint8_t>(saved.flags & ~(sf::kAttached | sf::kAttention));
    rest.setCreated(created);
    rest.forward = forward;
    rest.idle = idle;
    rest.bytesOut = carried.outbound.bytes;
    rest.bytesIn = carried.inbound.bytes;
    rest.packetsOut = static_cast<std::uint32_t>(carried.outbound.packets);
    rest.packetsIn = static_cast<std::uint32_t>(carried.inbound.packets);
    if (kind == 2)
        rest.flags |= df::kPortless;
    else if (saved.protocol != IpProtocol::Icmp)
        rest.flags |= df::kInspect | df::kConsidered;
    if (mapping) join(*index, *mapping, holds);
    if (forward != 0) ++forwards[forward].live;
    if (hasOut) sessions.link(*index, Direction::Outbound);
    if (hasIn) sessions.link(*index, Direction::Inbound);
    ++devices[*device].sessions;
    // As open() does: what nobody has answered makes room, what a rule confines stays confined.
    if (session.has(sf::kOutboundFirst) && !session.has(sf::kAnswered)) markUnanswered(*index);
    if (kind != 2) confine(*index);
    ++counters.sessionsCreated;
    sessions.arm(*index, session.lastPacket + idleOf(*index));
    refreshAttention(*index);
}

}  // namespace engine
