#pragma once

#include "engine/engine.h"
#include "engine/wire/builder.h"
#include "engine/wire/icmp_view.h"
#include "engine/wire/ipv4_view.h"
#include "engine/wire/tcp_view.h"
#include "engine/wire/udp_view.h"

#include <QtTest>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

/// One engine between two networks of RFC 5737, in virtual time: what the requirement tests share.
namespace bed {

using namespace std::chrono_literals;
using engine::DropReason;
using engine::Duration;
using engine::EngineConfig;
using engine::Instant;
using engine::PortId;
using engine::Verdict;
using engine::net::Endpoint;
using engine::net::IpProtocol;
using engine::net::Ipv4Address;
using engine::net::Port;
using engine::net::PortRange;
using engine::net::Prefix;
using engine::wire::Ipv4Fields;
using Bytes = std::vector<std::uint8_t>;
namespace wire = engine::wire;
namespace flag = engine::wire::tcp_flag;

inline constexpr Ipv4Address kRouter{192, 0, 2, 1};
inline constexpr Ipv4Address kAnna{192, 0, 2, 10};
inline constexpr Ipv4Address kBert{192, 0, 2, 11};
inline constexpr Ipv4Address kExternal{203, 0, 113, 1};
inline constexpr Ipv4Address kSecondExternal{203, 0, 113, 2};
inline constexpr Ipv4Address kServer{198, 51, 100, 7};
inline constexpr Ipv4Address kOther{198, 51, 100, 8};
/// A router somewhere on the way, which reports errors.
inline constexpr Ipv4Address kOnTheWay{198, 51, 100, 254};

inline Endpoint at(Ipv4Address address, unsigned port)
{
    return {address, Port{static_cast<std::uint16_t>(port)}};
}

/// The host with this number, in the internal network.
inline Ipv4Address host(unsigned number)
{
    return Ipv4Address{(192U << 24) + (2U << 8) + number};
}

inline PortRange range(unsigned first, unsigned last)
{
    return {Port{static_cast<std::uint16_t>(first)}, Port{static_cast<std::uint16_t>(last)}};
}

inline EngineConfig usual()
{
    EngineConfig config;
    config.seed = {1, 2};
    config.maxSessions = 16384;
    config.internal = {.prefix = Prefix{kRouter, 24}, .address = kRouter, .mtu = 1500};
    config.external = {.addresses = {kExternal}, .prefix = Prefix{kExternal, 24}, .mtu = 1500};
    return config;
}

/// Text as payload.
inline Bytes text(const std::string& words)
{
    return {words.begin(), words.end()};
}

inline wire::Ipv4View view(Bytes& packet)
{
    return *wire::Ipv4View::parse(packet);
}

/// Source and destination, with ports or an ICMP query's identifier where there are any.
inline Endpoint sourceOf(Bytes packet)
{
    const auto ip = view(packet);
    if (ip.protocol() == IpProtocol::Icmp) {
        return {ip.source(), wire::IcmpView::parse(ip.payload())->identifier()};
    }
    if (ip.payload().size() < 4) return {ip.source(), Port{}};
    return {ip.source(), Port{wire::load16(ip.payload(), 0)}};
}
inline Endpoint destinationOf(Bytes packet)
{
    const auto ip = view(packet);
    if (ip.protocol() == IpProtocol::Icmp) {
        return {ip.destination(), wire::IcmpView::parse(ip.payload())->identifier()};
    }
    if (ip.payload().size() < 4) return {ip.destination(), Port{}};
    return {ip.destination(), Port{wire::load16(ip.payload(), 2)}};
}

/// Whether all checksums are right, as a receiver would judge.
inline bool isSound(Bytes packet)
{
    const auto ip = wire::Ipv4View::parse(packet);
    if (!ip || !ip->hasValidChecksum()) return false;
    if (ip->isFragment()) return true;
    if (ip->protocol() == IpProtocol::Tcp) {
        const auto tcp = wire::TcpView::parse(ip->payload());
        return tcp && tcp->hasValidChecksum(*ip);
    }
    if (ip->protocol() == IpProtocol::Udp) {
        const auto udp = wire::UdpView::parse(ip->payload());
        return udp && udp->hasValidChecksum(*ip);
    }
    if (ip->protocol() == IpProtocol::Icmp) {
        const auto icmp = wire::IcmpView::parse(ip->payload());
        return icmp && icmp->hasValidChecksum();
    }
    return true;
}

/// Puts fragments together again, as a host does; empty if they are not all there.
inline Bytes joined(std::vector<Bytes> pieces)
{
    std::sort(pieces.begin(), pieces.end(),
              [](Bytes a, Bytes b) { return view(a).fragmentOffset() < view(b).fragmentOffset(); });
    Bytes payload;
    for (Bytes& piece : pieces) {
        const auto ip = view(piece);
        if (ip.fragmentOffset() != payload.size() || !isSound(piece)) return {};
        payload.insert(payload.end(), ip.payload().begin(), ip.payload().end());
    }
    if (pieces.empty() || view(pieces.back()).moreFragments()) return {};
    const auto ip = view(pieces.front());
    return wire::buildIpv4(ip.source(), ip.destination(), ip.protocol(), payload);
}

inline std::uint8_t ttlOf(Bytes packet)
{
    return view(packet).ttl();
}

/// What became of one packet.
struct Outcome {
    Verdict verdict;
    Bytes packet;  ///< as it stands after the engine has seen it
    std::vector<engine::OutgoingPacket> made;
    std::vector<engine::Event> events;

    [[nodiscard]] bool leaves(PortId egress) const
    {
        return verdict.kind == Verdict::Kind::Forward && verdict.egress == egress;
    }
    [[nodiscard]] bool outside() const { return leaves(PortId::External); }
    [[nodiscard]] bool inside() const { return leaves(PortId::Internal); }
    [[nodiscard]] bool dropped(DropReason reason) const
    {
        return verdict.kind == Verdict::Kind::Drop && verdict.reason == reason;
    }
    /// Dropped, and nobody was told.
    [[nodiscard]] bool silent() const
    {
        return verdict.kind == Verdict::Kind::Drop && made.empty();
    }
    [[nodiscard]] bool toHost() const { return verdict.kind == Verdict::Kind::ToHost; }
    [[nodiscard]] Endpoint source() const { return sourceOf(packet); }
    [[nodiscard]] Endpoint destination() const { return destinationOf(packet); }
    /// The ICMP error the router answered with: type and code, if exactly one was sent.
    [[nodiscard]] bool answeredBy(wire::IcmpType type, unsigned code) const
    {
        if (made.size() != 1) return false;
        Bytes answer = made.front().bytes;
        const auto ip = view(answer);
        const auto icmp = wire::IcmpView::parse(ip.payload());
        return ip.protocol() == IpProtocol::Icmp && icmp->type() == type && icmp->code() == code;
    }
    /// For messages of failing tests.
    [[nodiscard]] std::string what() const
    {
        switch (verdict.kind) {
        case Verdict::Kind::Forward:
            return "forward " + source().toString() + " > " + destination().toString();
        case Verdict::Kind::Drop: return "drop " + std::string(engine::nameOf(verdict.reason));
        case Verdict::Kind::Consumed: return "consumed";
        case Verdict::Kind::ToHost: return "to host";
        case Verdict::Kind::Hold: return "hold";
        }
        return "?";
    }
};

/// Owns the engine and its clock, and watches what holds for every packet: right checksums, and no
/// internal address outside.
class Bed {
public:
    explicit Bed(const EngineConfig& config = usual())
        : m_engine(std::make_unique<engine::Engine>(now, config))
    {}
    ~Bed()
    {
        if (!m_complaint.empty()) QTest::qFail(m_complaint.c_str(), __FILE__, __LINE__);
    }
    Bed(const Bed&) = delete;
    Bed& operator=(const Bed&) = delete;
    Bed(Bed&&) = delete;
    Bed& operator=(Bed&&) = delete;

    Instant now{1h};

    engine::Engine& engine() { return *m_engine; }

    Outcome send(PortId ingress, Bytes packet)
    {
        Outcome outcome;
        const bool judged = isSound(packet);
        wire::Packet carried{.bytes = packet};
        engine::Output output;
        outcome.verdict = m_engine->handlePacket(now, ingress, carried, output);
        packet.resize(carried.bytes.size());
        outcome.packet = std::move(packet);
        outcome.made = std::move(output.packets);
        outcome.events = std::move(output.events);
        if (outcome.verdict.kind == Verdict::Kind::Forward) {
            watch(outcome.verdict.egress, outcome.packet, judged);
        }
        for (const auto& made : outcome.made)
            watch(made.egress, made.bytes, judged);
        return outcome;
    }
    Outcome outbound(Bytes packet) { return send(PortId::Internal, std::move(packet)); }
    Outcome inbound(Bytes packet) { return send(PortId::External, std::move(packet)); }

    Outcome udpOut(Endpoint internal, Endpoint remote, const Bytes& payload = text("data"),
                   const Ipv4Fields& ip = {})
    {
        return outbound(wire::buildUdp(internal, remote, payload, ip));
    }
    Outcome udpIn(Endpoint remote, Endpoint external, const Bytes& payload = text("data"),
                  const Ipv4Fields& ip = {})
    {
        return inbound(wire::buildUdp(remote, external, payload, ip));
    }
    Outcome synOut(Endpoint internal, Endpoint remote, std::uint32_t sequence = 1000)
    {
        return outbound(wire::buildTcp({.source = internal,
                                        .destination = remote,
                                        .flags = flag::kSyn,
                                        .sequence = sequence}));
    }
    Outcome synIn(Endpoint remote, Endpoint external, std::uint32_t sequence = 9000)
    {
        return inbound(wire::buildTcp({.source = remote,
                                       .destination = external,
                                       .flags = flag::kSyn,
                                       .sequence = sequence}));
    }
    Outcome pingOut(Ipv4Address internal, Ipv4Address remote, std::uint16_t identifier)
    {
        return outbound(wire::buildIcmpQuery(
            {.source = internal, .destination = remote, .identifier = identifier}, text("ping")));
    }
    Outcome pingReplyIn(Ipv4Address remote, Endpoint external)
    {
        return inbound(wire::buildIcmpQuery({.source = remote,
                                             .destination = external.address,
                                             .type = wire::IcmpType::EchoReply,
                                             .identifier = external.port.hostOrder()},
                                            text("ping")));
    }

    /// Lets time go by as a shell would: the engine is called whenever it has asked for it.
    void pass(Duration duration)
    {
        const Instant until = now + duration;
        for (;;) {
            const auto next = m_engine->nextTimeout();
            if (!next || *next > until) break;
            now = std::max(now, *next);
            tick();
            // A deadline that does not move would be an endless loop in the shell, too.
            const auto after = m_engine->nextTimeout();
            if (after && *after <= now && ++m_stuck > 100000) {
                m_complaint = "the deadline does not move";
                break;
            }
        }
        now = until;
        tick();
    }
    /// Lets time go by without calling the engine: expiry must not depend on being called in time.
    void leap(Duration duration) { now += duration; }

    engine::Result<void, engine::CommandError> apply(const engine::Command& command)
    {
        engine::Output output;
        auto answer = m_engine->apply(now, command, output);
        lastOutput = std::move(output);
        for (const auto& made : lastOutput.packets)
            watch(made.egress, made.bytes, true);
        return answer;
    }
    engine::Output lastOutput;  ///< of the last command or timeout

    [[nodiscard]] std::uint64_t drops(DropReason reason) const
    {
        return m_engine->snapshot(now).counters.drops[static_cast<std::size_t>(reason)];
    }
    [[nodiscard]] std::size_t sessions() const { return m_engine->snapshot(now).sessions; }
    [[nodiscard]] std::size_t mappings() const { return m_engine->snapshot(now).mappings; }
    /// A new engine with what the old one saved, at the same moment.
    void restart()
    {
        const auto block = m_engine->saveState(now);
        auto fresh = std::make_unique<engine::Engine>(now, m_engine->config());
        if (!fresh->restoreState(now, block)) m_complaint = "the saved state is refused";
        m_engine = std::move(fresh);
    }
    /// For tests that send what nobody would send; checksums are then not judged.
    void expectUnsound() { m_expectUnsound = true; }
    /// For tests of what is not translated on purpose.
    void expectInternalOutside() { m_expectInternal = true; }

private:
    void tick()
    {
        engine::Output output;
        m_engine->handleTimeout(now, output);
        lastOutput = std::move(output);
    }
    void watch(PortId egress, const Bytes& packet, bool judged)
    {
        if (judged && !m_expectUnsound && !isSound(packet)) m_complaint = "a wrong checksum left";
        Bytes copy = packet;
        const auto source = view(copy).source();
        const auto& config = m_engine->config();
        if (egress == PortId::External && !m_expectInternal &&
            config.internal.prefix.contains(source)) {
            m_complaint = "an internal address left";
        }
    }

    std::unique_ptr<engine::Engine> m_engine;
    std::string m_complaint;
    std::uint32_t m_stuck = 0;
    bool m_expectUnsound = false;
    bool m_expectInternal = false;
};

/// Everything that leaves for these packets, in the order in which it leaves.
inline std::vector<Bytes> passed(Bed& bed, PortId ingress, const std::vector<Bytes>& packets)
{
    std::vector<Bytes> left;
    for (const Bytes& packet : packets) {
        Outcome outcome = bed.send(ingress, packet);
        for (auto& made : outcome.made)
            left.push_back(std::move(made.bytes));
        if (outcome.verdict.kind == Verdict::Kind::Forward) {
            left.push_back(std::move(outcome.packet));
        }
    }
    return left;
}

/// Both ends of one TCP connection through the bed.
class Connection {
public:
    Connection(Bed& bed, Endpoint inside, Endpoint far) : m_bed(bed), internal(inside), remote(far)
    {}

    Bytes segmentOut(std::uint8_t flags, const Bytes& payload = {})
    {
        Bytes packet = wire::buildTcp({.source = internal,
                                       .destination = remote,
                                       .flags = flags,
                                       .sequence = outSequence,
                                       .acknowledgement = inSequence},
                                      payload);
        outSequence += length(flags, payload);
        return packet;
    }
    Bytes segmentIn(std::uint8_t flags, const Bytes& payload = {})
    {
        Bytes packet = wire::buildTcp({.source = remote,
                                       .destination = external,
                                       .flags = flags,
                                       .sequence = inSequence,
                                       .acknowledgement = outSequence},
                                      payload);
        inSequence += length(flags, payload);
        return packet;
    }
    Outcome out(std::uint8_t flags, const Bytes& payload = {})
    {
        return m_bed.outbound(segmentOut(flags, payload));
    }
    Outcome in(std::uint8_t flags, const Bytes& payload = {})
    {
        return m_bed.inbound(segmentIn(flags, payload));
    }
    bool syn()
    {
        const Outcome outcome = out(flag::kSyn);
        external = outcome.source();
        return outcome.outside();
    }
    /// The three-way handshake from inside.
    bool open()
    {
        return syn() && in(flag::kSyn | flag::kAck).inside() && out(flag::kAck).outside();
    }
    /// Data in both directions get through.
    bool works()
    {
        return out(flag::kAck | flag::kPsh, text("question")).outside() &&
               in(flag::kAck | flag::kPsh, text("answer")).inside();
    }
    bool close()
    {
        return out(flag::kFin | flag::kAck).outside() && in(flag::kFin | flag::kAck).inside() &&
               out(flag::kAck).outside();
    }

private:
    static std::uint32_t length(std::uint8_t flags, const Bytes& payload)
    {
        return static_cast<std::uint32_t>(payload.size()) + ((flags & flag::kSyn) != 0 ? 1U : 0U) +
               ((flags & flag::kFin) != 0 ? 1U : 0U);
    }

    Bed& m_bed;

public:
    Endpoint internal;
    Endpoint remote;
    Endpoint external{};
    std::uint32_t outSequence = 1000;
    std::uint32_t inSequence = 5000;
};

/// What a router on the way would say about a packet that left the bed.
inline Bytes errorAbout(const Bytes& offending, wire::IcmpType type = wire::IcmpType::Unreachable,
                        unsigned code = wire::icmp_unreachable::kHost, std::uint32_t rest = 0,
                        Ipv4Address reporter = kOnTheWay)
{
    return wire::buildIcmpError(
        {.source = reporter, .type = type, .code = static_cast<std::uint8_t>(code), .rest = rest},
        offending);
}

/// The packet an ICMP error quotes.
inline Bytes quotedIn(Bytes error)
{
    const auto ip = view(error);
    const auto icmp = wire::IcmpView::parse(ip.payload());
    return {icmp->payload().begin(), icmp->payload().end()};
}
/// Its endpoints; the quote may be cut after eight transport octets.
inline Endpoint quotedSource(const Bytes& error)
{
    const Bytes quoted = quotedIn(error);
    return {Ipv4Address{wire::load32(quoted, 12)}, Port{wire::load16(quoted, 20)}};
}
inline Endpoint quotedDestination(const Bytes& error)
{
    const Bytes quoted = quotedIn(error);
    return {Ipv4Address{wire::load32(quoted, 16)}, Port{wire::load16(quoted, 22)}};
}

}  // namespace bed

/// QVERIFY that says what became of the packet.
inline bool told(bool fine, const bed::Outcome& outcome)
{
    if (!fine) qWarning("%s", outcome.what().c_str());
    return fine;
}
