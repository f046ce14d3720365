#include "tests/engine/engine_program.h"

#include "engine/engine.h"
#include "engine/wire/builder.h"
#include "engine/wire/fragmenter.h"
#include "engine/wire/icmp_view.h"
#include "engine/wire/ipv4_view.h"
#include "engine/wire/tcp_view.h"
#include "engine/wire/udp_view.h"

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

namespace program {

namespace {

using namespace engine;
using namespace std::chrono_literals;
using net::Endpoint;
using net::IpProtocol;
using net::Ipv4Address;
using net::Port;
using Bytes = std::vector<std::uint8_t>;
namespace flag = wire::tcp_flag;

constexpr int kMostSteps = 64;
constexpr Ipv4Address kRouter{192, 0, 2, 1};
constexpr Ipv4Address kRedirected{192, 0, 2, 40};  ///< never speaks; rules name it
constexpr std::array kDevices{Ipv4Address{192, 0, 2, 10}, Ipv4Address{192, 0, 2, 11},
                              Ipv4Address{192, 0, 2, 12}};
constexpr std::array kServers{Ipv4Address{198, 51, 100, 7}, Ipv4Address{198, 51, 100, 8}};
constexpr std::array kExternals{Ipv4Address{203, 0, 113, 1}, Ipv4Address{203, 0, 113, 2},
                                Ipv4Address{203, 0, 113, 3}};
constexpr std::array<std::uint16_t, 12> kPorts{500,  4500, 1701, 1723,  443,  51820,
                                               1194, 53,   80,   10000, 5000, 5001};
constexpr std::size_t kMostRemembered = 24;
constexpr std::uint32_t kMostCallsAtOneInstant = 5000;
constexpr std::uint32_t kSessionLimit = 64;

/// Octets as decisions; after the last one every decision is zero.
class Decisions {
public:
    explicit Decisions(wire::ConstBytes octets) : m_octets(octets) {}
    [[nodiscard]] bool over() const { return m_at >= m_octets.size(); }
    std::uint8_t octet() { return over() ? std::uint8_t{0} : m_octets[m_at++]; }
    std::uint16_t word()
    {
        const auto high = static_cast<unsigned>(octet());
        return static_cast<std::uint16_t>(high << 8U | octet());
    }
    std::uint32_t number()
    {
        const auto high = static_cast<std::uint32_t>(word());
        return high << 16U | word();
    }
    std::uint32_t below(std::size_t bound) { return octet() % static_cast<std::uint32_t>(bound); }
    bool once(std::uint32_t in) { return octet() % in == in - 1; }
    template <typename List>
    const auto& among(const List& list)
    {
        return list[below(list.size())];
    }

private:
    wire::ConstBytes m_octets;
    std::size_t m_at = 0;
};

/// Something that two ends have said to each other.
struct Flow {
    IpProtocol protocol = IpProtocol::Udp;
    Endpoint internal;
    Endpoint remote;
    Endpoint external;  ///< no address: nothing has left yet
    std::uint32_t outSequence = 1000;
    std::uint32_t inSequence = 9000;
};

bool isSound(wire::MutableBytes packet)
{
    const auto ip = wire::Ipv4View::parse(packet);
    if (!ip || !ip->hasValidChecksum()) return false;
    if (ip->isFragment()) return true;
    switch (ip->protocol()) {
    case IpProtocol::Tcp: {
        const auto tcp = wire::TcpView::parse(ip->payload());
        return tcp && tcp->hasValidChecksum(*ip);
    }
    case IpProtocol::Udp: {
        const auto udp = wire::UdpView::parse(ip->payload());
        return udp && udp->hasValidChecksum(*ip);
    }
    case IpProtocol::Icmp: {
        const auto icmp = wire::IcmpView::parse(ip->payload());
        return icmp && icmp->hasValidChecksum();
    }
    case IpProtocol::IpIp:
    case IpProtocol::Dccp:
    case IpProtocol::SixInFour:
    case IpProtocol::Gre:
    case IpProtocol::Esp:
    case IpProtocol::Ah:
    case IpProtocol::EtherIp:
    case IpProtocol::IpComp:
    case IpProtocol::L2tpV3:
    case IpProtocol::Sctp:
    case IpProtocol::UdpLite: break;
    }
    return true;
}

void mendHeader(Bytes& packet)
{
    if (packet.size() < 20) return;
    wire::store16(packet, 10, 0);
    wire::ChecksumSum sum;
    const std::size_t header = std::min<std::size_t>((packet[0] & 15U) * 4U, packet.size());
    sum.add(wire::ConstBytes{packet}.first(std::max<std::size_t>(header, 20)));
    wire::store16(packet, 10, sum.checksum());
}

EngineConfig beginning(Decisions& decide)
{
    EngineConfig config;
    config.seed = {decide.octet(), 2};
    config.maxSessions = kSessionLimit;
    config.internal = {.prefix = net::Prefix{kRouter, 24}, .address = kRouter, .mtu = 1500};
    config.external = {
        .addresses = {kExternals[0]}, .prefix = net::Prefix{kExternals[0], 24}, .mtu = 1500};
    if (decide.once(4)) config.external.addresses.push_back(kExternals[1]);
    if (decide.once(4)) {
        config.external.addresses = {kExternals.begin(), kExternals.end()};
        const std::uint32_t owners = 1 + decide.below(2);
        for (std::uint32_t i = 1; i <= owners; ++i) {
            config.oneToOnes.push_back(
                {.id = i, .internalAddress = kDevices[i], .externalAddress = kExternals[i]});
        }
    }
    if (decide.once(4)) config.external.mtu = 576;
    // A pool so small that ports run out, are looked for and used again.
    if (decide.once(4)) config.nat.ports = {Port{2000}, Port{2015}};
    // So little in one call that much happens while a change of the rules is on its way.
    if (decide.once(2)) config.placesPerCall = 1 + decide.below(4);
    return config;
}

class World {
public:
    World(wire::ConstBytes octets, Entrance entrance)
        : m_decide(octets),
          m_entrance(entrance),
          m_engine(std::make_unique<Engine>(m_now, beginning(m_decide)))
    {
        for (const policy::OneToOne& rule : m_engine->config().oneToOnes) {
            m_ruled.insert(rule.internalAddress);
            m_owned.insert(rule.externalAddress);
        }
    }

    Ending live()
    {
        for (m_step = 0; m_step < kMostSteps && !m_decide.over(); ++m_step) {
            step();
            saveOn();
            judgeState();
            if (!m_ending.complaint.empty()) return m_ending;
        }
        // Whatever there is, it ends when nobody speaks any more.
        pass(72h);
        const Snapshot last = m_engine->snapshot(m_now);
        if (m_unsettled != 0) complain("a change of the rules is never settled");
        if (last.sessions != 0) complain("sessions never end");
        if (last.mappings != 0) complain("mappings never end");
        if (!last.tunnels.empty()) complain("tunnels never end");
        return m_ending;
    }

private:
    void complain(const std::string& what)
    {
        if (!m_ending.complaint.empty()) return;
        m_ending.complaint = "step " + std::to_string(m_step) + ": " + what + m_about;
    }
    void note(std::uint64_t value)
    {
        m_ending.digest = (m_ending.digest ^ value) * 0x100000001b3U + (value >> 7U);
    }
    void note(wire::ConstBytes octets)
    {
        for (const std::uint8_t octet : octets)
            note(octet);
    }

    void step()
    {
        switch (m_decide.below(16)) {
        case 0: return udpOut();
        case 1: return tcpOut();
        case 2:
        case 3:
        case 4: return talk(net::Direction::Outbound);
        case 5:
        case 6:
        case 7: return talk(net::Direction::Inbound);
        case 8: return portless(m_decide.once(2) ? PortId::Internal : PortId::External);
        case 9: return stranger();
        case 10: return icmp();
        case 11: return fragments();
        case 12: return mutant();
        case 13:
            if (m_decide.once(4)) return restart();
            return pass(duration());
        case 14:
            if (m_decide.once(4)) {
                m_now += duration();  // nobody calls the engine meanwhile
                return;
            }
            return pass(duration());
        default: return command();
        }
    }

    // ---- payloads -------------------------------------------------------------------------------

    Bytes noise(std::size_t size)
    {
        Bytes made(size);
        const std::uint8_t first = m_decide.octet();
        for (std::size_t i = 0; i < size; ++i)
            made[i] = static_cast<std::uint8_t>(first + i * 7);
        return made;
    }
    /// Mostly one that somebody uses.
    std::uint16_t id()
    {
        if (m_ids.empty() || m_decide.once(4)) {
            m_ids.push_back(m_decide.word());
            return m_ids.back();
        }
        return m_decide.among(m_ids);
    }
    std::uint32_t spi() { return 0x10000U * m_decide.below(4) + 0x100U + id(); }

    Bytes pptp()
    {
        constexpr std::array<std::pair<std::uint8_t, std::uint16_t>, 11> kMessages{{{1, 156},
                                                                                    {2, 156},
                                                                                    {7, 168},
                                                                                    {7, 168},
                                                                                    {8, 32},
                                                                                    {8, 32},
                                                                                    {15, 24},
                                                                                    {12, 16},
                                                                                    {13, 148},
                                                                                    {5, 16},
                                                                                    {3, 16}}};
        Bytes made;
        do {
            const auto& [type, length] = m_decide.among(kMessages);
            Bytes message(length);
            wire::store16(message, 0, m_decide.once(16) ? m_decide.word() : length);
            wire::store16(message, 2, 1);
            wire::store32(message, 4, 0x1a2b3c4d);
            wire::store16(message, 8, type);
            wire::store16(message, 12, id());
            if (type <= 2) {
                wire::store16(message, 12, 0x100);
                message[14] = 1;
            } else if (type == 8) {
                wire::store16(message, 14, id());
                message[16] = 1;
            }
            made.insert(made.end(), message.begin(), message.end());
        } while (m_decide.once(4) && made.size() < 400);
        if (m_decide.once(4)) made.resize(m_decide.below(made.size()));
        return made;
    }
    Bytes ike(bool marked)
    {
        Bytes made(marked ? 4 : 0);
        Bytes message(28 + std::size_t{m_decide.below(4)} * 12);
        wire::store32(message, 0, spi());
        if (!m_decide.once(3)) wire::store32(message, 8, spi());
        constexpr std::array<std::uint8_t, 8> kExchanges{2, 4, 5, 32, 34, 35, 36, 37};
        message[16] = 1;
        message[18] = m_decide.among(kExchanges);
        message[17] = message[18] < 34 ? 0x10 : 0x20;
        message[19] = static_cast<std::uint8_t>(m_decide.below(4) * 8);
        wire::store32(message, 20, m_decide.below(4));
        wire::store32(
            message, 24,
            m_decide.once(16) ? m_decide.number() : static_cast<std::uint32_t>(message.size()));
        made.insert(made.end(), message.begin(), message.end());
        return made;
    }
    Bytes esp(std::uint32_t sequence)
    {
        Bytes made(40 + m_decide.below(40));
        wire::store32(made, 0, spi());
        wire::store32(made, 4, sequence);
        return made;
    }
    Bytes l2tp()
    {
        if (m_decide.once(3)) {
            Bytes data{0x40, 0x02, 0, 0, 0, 0, 0, 0, 0xff, 0x03, 0xc0, 0x21, 1, 1, 0, 4};
            wire::store16(data, 2, static_cast<std::uint16_t>(data.size()));
            wire::store16(data, 4, id());
            wire::store16(data, 6, id());
            return data;
        }
        constexpr std::array<std::uint8_t, 8> kTypes{1, 2, 3, 4, 10, 11, 12, 14};
        const std::uint8_t type = m_decide.among(kTypes);
        Bytes made{0xc8, 0x02, 0, 28, 0, 0, 0,    0,    0, 0, 0, 0, 0x80, 0x08,
                   0,    0,    0, 0,  0, 0, 0x80, 0x08, 0, 0, 0, 9, 0,    0};
        wire::store16(made, 4, type == 1 ? std::uint16_t{0} : id());
        if (type >= 10) wire::store16(made, 6, id());
        wire::store16(made, 8, static_cast<std::uint16_t>(m_decide.below(4)));
        wire::store16(made, 10, static_cast<std::uint16_t>(m_decide.below(4)));
        made[19] = type;
        made[25] = type >= 10 ? 14 : 9;
        wire::store16(made, 26, id());
        return made;
    }
    Bytes wireGuard()
    {
        constexpr std::array<std::pair<std::uint8_t, std::size_t>, 4> kMessages{
            {{1, 148}, {2, 92}, {3, 64}, {4, 32}}};
        const auto& [type, size] = m_decide.among(kMessages);
        Bytes made{type};
        made.resize(size);
        wire::store32(made, 4, spi());
        wire::store32(made, 8, spi());
        return made;
    }
    /// What is spoken on this port, for the most part.
    Bytes spoken(std::uint16_t port, IpProtocol protocol)
    {
        if (m_decide.once(8)) return noise(m_decide.octet());
        if (protocol == IpProtocol::Tcp) {
            return port == 1723 ? pptp() : noise(m_decide.octet());
        }
        switch (port) {
        case 500: return ike(false);
        case 4500:
            if (m_decide.once(8)) return {0xff};
            return m_decide.once(2) ? ike(true) : esp(m_decide.below(16));
        case 1701: return l2tp();
        case 51820: return wireGuard();
        case 1194: {
            Bytes made = noise(14 + m_decide.below(60));
            made[0] = static_cast<std::uint8_t>((m_decide.below(11) << 3U) & 0xf8U);
            return made;
        }
        default: return noise(m_decide.octet());
        }
    }

    // ---- who and where --------------------------------------------------------------------------

    Ipv4Address device()
    {
        if (m_decide.once(16)) return Ipv4Address{m_decide.number()};
        return m_decide.among(kDevices);
    }
    Ipv4Address server()
    {
        if (m_decide.once(16)) return m_decide.among(kExternals);
        if (m_decide.once(16)) return Ipv4Address{m_decide.number()};
        return m_decide.among(kServers);
    }
    Port port()
    {
        if (m_decide.once(4)) return Port{m_decide.word()};
        return Port{m_decide.among(kPorts)};
    }
    Flow* flow()
    {
        if (m_flows.empty()) return nullptr;
        return &m_flows[m_decide.below(m_flows.size())];
    }
    Flow& begin(IpProtocol protocol)
    {
        if (m_flows.size() >= kMostRemembered) m_flows.erase(m_flows.begin());
        Flow made;
        made.protocol = protocol;
        made.internal = {device(), port()};
        made.remote = {server(), port()};
        // To what somebody else inside has outside.
        if (const Flow* other = flow(); other != nullptr && m_decide.once(8)) {
            made.remote = other->external;
        }
        m_flows.push_back(made);
        return m_flows.back();
    }
    Duration duration()
    {
        constexpr std::array<Duration, 12> kSpans{1ms, 20ms, 300ms, 1s,   2s, 6s,
                                                  11s, 31s,  2min,  5min, 1h, 3h};
        return m_decide.among(kSpans);
    }

    // ---- packets --------------------------------------------------------------------------------

    void udpOut()
    {
        Flow& one = begin(IpProtocol::Udp);
        talkOut(one);
    }
    void tcpOut()
    {
        Flow& one = begin(IpProtocol::Tcp);
        one.outSequence = m_decide.word();
        one.inSequence = 9000;
        const std::uint8_t flags = m_decide.once(16) ? m_decide.octet() : flag::kSyn;
        const Bytes left = inside(tcp(one, net::Direction::Outbound, flags, {}));
        learn(one, left);
    }
    Bytes tcp(Flow& of, net::Direction direction, std::uint8_t flags, const Bytes& payload)
    {
        const bool outward = direction == net::Direction::Outbound;
        std::uint32_t sequence = outward ? of.outSequence : of.inSequence;
        const std::uint32_t acknowledged = outward ? of.inSequence : of.outSequence;
        // Wrong ones near by, and far away.
        const bool exact = !m_decide.once(8);
        if (!exact) sequence += m_decide.once(2) ? m_decide.number() : m_decide.octet();
        if (exact) {
            (outward ? of.outSequence : of.inSequence) +=
                static_cast<std::uint32_t>(payload.size()) +
                ((flags & (flag::kSyn | flag::kFin)) != 0 ? 1U : 0U);
        }
        return wire::buildTcp({.source = outward ? of.internal : of.remote,
                               .destination = outward ? of.remote : of.external,
                               .flags = flags,
                               .sequence = sequence,
                               .acknowledgement = acknowledged},
                              payload);
    }
    std::uint8_t flags(net::Direction direction, const Flow& of)
    {
        switch (m_decide.below(8)) {
        case 0: return flag::kRst;
        case 1: return flag::kFin | flag::kAck;
        case 2:
            return direction == net::Direction::Inbound && of.inSequence == 9000
                       ? flag::kSyn | flag::kAck
                       : flag::kSyn;
        case 3: return m_decide.octet();
        default:
            if (direction == net::Direction::Inbound && of.inSequence == 9000) {
                return flag::kSyn | flag::kAck;
            }
            return flag::kAck | flag::kPsh;
        }
    }
    /// The next word of a conversation.
    void talk(net::Direction direction)
    {
        Flow* one = flow();
        if (one == nullptr) return udpOut();
        if (direction == net::Direction::Outbound) return talkOut(*one);
        if (one->external.address.isUnspecified()) return;
        const std::uint16_t spokenTo = one->remote.port.hostOrder();
        if (one->protocol == IpProtocol::Tcp) {
            const std::uint8_t bits = flags(direction, *one);
            const Bytes payload =
                (bits & flag::kSyn) != 0 ? Bytes{} : spoken(spokenTo, IpProtocol::Tcp);
            (void)outside(tcp(*one, direction, bits, payload));
        } else if (one->protocol == IpProtocol::Udp) {
            Endpoint from = one->remote;
            if (m_decide.once(8)) from.port = port();
            (void)outside(wire::buildUdp(from, one->external, spoken(spokenTo, IpProtocol::Udp)));
        } else {
            (void)outside(wire::buildIpv4(one->remote.address, one->external.address, one->protocol,
                                          portlessPayload(one->protocol)));
        }
    }
    void talkOut(Flow& one)
    {
        const std::uint16_t spokenTo = one.remote.port.hostOrder();
        Bytes packet;
        if (one.protocol == IpProtocol::Tcp) {
            packet = tcp(one, net::Direction::Outbound, flags(net::Direction::Outbound, one),
                         spoken(spokenTo, IpProtocol::Tcp));
        } else if (one.protocol == IpProtocol::Udp) {
            packet = wire::buildUdp(one.internal, one.remote, spoken(spokenTo, IpProtocol::Udp));
        } else {
            packet = wire::buildIpv4(one.internal.address, one.remote.address, one.protocol,
                                     portlessPayload(one.protocol));
        }
        const Bytes left = inside(std::move(packet));
        learn(one, left);
    }
    static void learn(Flow& of, Bytes left)
    {
        if (left.size() < 24) return;
        const auto ip = wire::Ipv4View::parse(left);
        if (!ip) return;
        of.external.address = ip->source();
        if (net::hasPorts(of.protocol) && ip->payload().size() >= 4) {
            of.external.port = Port{wire::load16(ip->payload(), 0)};
        }
    }

    Bytes portlessPayload(IpProtocol protocol)
    {
        switch (protocol) {
        case IpProtocol::Gre: {
            if (m_decide.once(3)) {
                Bytes keyed = noise(28);
                wire::store32(keyed, 0, m_decide.once(2) ? 0x20000800U : 0x00000800U);
                wire::store32(keyed, 4, id());
                return keyed;
            }
            Bytes call = noise(16 + m_decide.below(40));
            wire::store32(call, 0, 0x3001880bU);
            wire::store16(call, 4, static_cast<std::uint16_t>(call.size() - 12));
            wire::store16(call, 6, id());
            wire::store32(call, 8, m_decide.once(8) ? m_decide.number() : m_decide.below(64));
            return call;
        }
        case IpProtocol::Esp: return esp(m_decide.below(16));
        case IpProtocol::L2tpV3: {
            Bytes made = noise(20);
            wire::store32(made, 0, m_decide.once(2) ? 0U : std::uint32_t{id()});
            return made;
        }
        case IpProtocol::IpIp:
        case IpProtocol::SixInFour: {
            Bytes made = noise(60);
            made[0] = protocol == IpProtocol::IpIp ? 0x45 : 0x60;
            return made;
        }
        case IpProtocol::Icmp:
        case IpProtocol::Tcp:
        case IpProtocol::Udp:
        case IpProtocol::Dccp:
        case IpProtocol::Ah:
        case IpProtocol::IpComp:
        case IpProtocol::Sctp:
        case IpProtocol::UdpLite: break;
        case IpProtocol::EtherIp: {
            Bytes made = noise(40);
            wire::store16(made, 0, 0x3000);
            return made;
        }
        }
        return noise(m_decide.octet());
    }
    void portless(PortId ingress)
    {
        constexpr std::array kProtocols{
            IpProtocol::Gre,     IpProtocol::Gre,    IpProtocol::Esp,     IpProtocol::Esp,
            IpProtocol::Ah,      IpProtocol::L2tpV3, IpProtocol::IpIp,    IpProtocol::SixInFour,
            IpProtocol::EtherIp, IpProtocol::Sctp,   IpProtocol::UdpLite, IpProtocol::Dccp,
            IpProtocol::IpComp};
        const IpProtocol protocol = m_decide.among(kProtocols);
        if (ingress == PortId::Internal) {
            if (m_decide.once(3)) return answer();
            Flow& one = begin(protocol);
            one.internal.port = one.remote.port = Port{};
            if (m_decide.once(3)) one.remote.address = m_decide.among(kExternals);
            return talkOut(one);
        }
        (void)outside(wire::buildIpv4(server(), m_decide.among(kExternals), protocol,
                                      portlessPayload(protocol)));
    }
    /// A device sends back what it has got without ports.
    void answer()
    {
        if (m_arrived.empty()) return;
        Bytes packet = m_decide.among(m_arrived);
        const auto ip = wire::Ipv4View::parse(packet);
        if (!ip || !net::isPortless(ip->protocol())) return;
        Bytes payload{ip->payload().begin(), ip->payload().end()};
        if (m_decide.once(3)) payload = portlessPayload(ip->protocol());
        // The inner addresses, too.
        if (ip->protocol() == IpProtocol::IpIp && payload.size() >= 20) {
            std::swap_ranges(payload.begin() + 12, payload.begin() + 16, payload.begin() + 16);
        }
        (void)inside(wire::buildIpv4(ip->destination(), ip->source(), ip->protocol(), payload));
    }
    /// From outside, to an endpoint that is somebody's or nobody's.
    void stranger()
    {
        Endpoint to{m_decide.among(kExternals), port()};
        if (const Flow* other = flow(); other != nullptr && !m_decide.once(4)) to = other->external;
        const Endpoint from{m_decide.once(8) ? Ipv4Address{m_decide.number()} : server(), port()};
        if (m_decide.once(2)) {
            (void)outside(wire::buildTcp({.source = from,
                                          .destination = to,
                                          .flags = m_decide.once(4) ? m_decide.octet() : flag::kSyn,
                                          .sequence = m_decide.number()}));
        } else {
            (void)outside(wire::buildUdp(from, to, spoken(from.port.hostOrder(), IpProtocol::Udp)));
        }
    }
    void icmp()
    {
        const bool outward = m_decide.once(2);
        if (m_decide.once(2)) {
            constexpr std::array kTypes{wire::IcmpType::Echo, wire::IcmpType::EchoReply,
                                        wire::IcmpType::Timestamp};
            const wire::IcmpQueryFields query{
                .source = outward ? device() : server(),
                .destination = outward ? server() : m_decide.among(kExternals),
                .type = m_decide.among(kTypes),
                .identifier = id()};
            const Bytes packet = wire::buildIcmpQuery(query, noise(m_decide.octet()));
            (void)(outward ? inside(packet) : outside(packet));
            return;
        }
        // About a packet that has really travelled, by whoever got it or was on its way.
        const auto& seen = outward ? m_arrived : m_left;
        if (seen.empty()) return;
        constexpr std::array kTypes{wire::IcmpType::Unreachable, wire::IcmpType::Unreachable,
                                    wire::IcmpType::TimeExceeded, wire::IcmpType::ParameterProblem,
                                    wire::IcmpType::Redirect};
        const Bytes packet =
            wire::buildIcmpError({.source = outward ? device() : server(),
                                  .type = m_decide.among(kTypes),
                                  .code = static_cast<std::uint8_t>(m_decide.below(6)),
                                  .rest = 500U + m_decide.below(200) * 5},
                                 m_decide.among(seen));
        (void)(outward ? inside(packet) : outside(packet));
    }
    void fragments()
    {
        const bool outward = m_decide.once(2);
        const Flow* one = flow();
        const Ipv4Address source = outward ? device() : server();
        const Ipv4Address destination = outward ? server() : m_decide.among(kExternals);
        wire::Ipv4Fields fields;
        fields.identification = m_decide.octet();
        fields.dontFragment = false;
        const Bytes payload = noise(200 + m_decide.octet());
        Bytes whole;
        if (one != nullptr && one->protocol == IpProtocol::Udp &&
            !one->external.address.isUnspecified()) {
            whole = outward ? wire::buildUdp(one->internal, one->remote, payload, fields)
                            : wire::buildUdp(one->remote, one->external, payload, fields);
        } else {
            constexpr std::array kProtocols{IpProtocol::Udp, IpProtocol::Tcp, IpProtocol::Icmp,
                                            IpProtocol::Esp, IpProtocol::Gre};
            whole =
                wire::buildIpv4(source, destination, m_decide.among(kProtocols), payload, fields);
        }
        const auto view = wire::Ipv4View::parse(whole);
        auto pieces = wire::fragmentIpv4(*view, 68 + 8 * std::size_t{m_decide.below(16)});
        for (std::uint32_t i = 0; i < 6 && !pieces.empty(); ++i) {
            Bytes piece = m_decide.among(pieces);
            if (m_decide.once(16) && piece.size() > 20) {
                // Further on or back: gaps and overlaps.
                const std::uint16_t field = wire::load16(piece, 6);
                wire::store16(piece, 6,
                              static_cast<std::uint16_t>((field & 0xe000U) |
                                                         ((field + m_decide.octet()) & 0x1fffU)));
                mendHeader(piece);
            }
            (void)(outward ? inside(std::move(piece)) : outside(std::move(piece)));
        }
    }
    void mutant()
    {
        const PortId ingress = m_decide.once(2) ? PortId::Internal : PortId::External;
        const auto& seen = m_decide.once(2) ? m_left : m_arrived;
        Bytes packet =
            seen.empty() || m_decide.once(8) ? noise(m_decide.octet()) : m_decide.among(seen);
        const std::uint32_t changes = m_decide.below(5);
        for (std::uint32_t i = 0; i < changes && !packet.empty(); ++i)
            packet[m_decide.word() % packet.size()] = m_decide.octet();
        if (m_decide.once(8) && !packet.empty()) packet.resize(m_decide.word() % packet.size());
        if (!m_decide.once(8)) mendHeader(packet);
        (void)send(ingress, std::move(packet));
    }

    Bytes inside(Bytes packet) { return travel(PortId::Internal, std::move(packet)); }
    Bytes outside(Bytes packet) { return travel(PortId::External, std::move(packet)); }
    /// Few have come from as far as they may.
    Bytes travel(PortId ingress, Bytes packet)
    {
        if (m_decide.once(32) && packet.size() > 8) {
            packet[8] = static_cast<std::uint8_t>(m_decide.below(3));
            mendHeader(packet);
        }
        return send(ingress, std::move(packet));
    }

    /// As it leaves, if it goes on at once; else nothing.
    Bytes send(PortId ingress, Bytes packet)
    {
        ++m_ending.packets;
        Facts before;
        if (const auto ip = wire::Ipv4View::parse(packet)) {
            before = {.source = ip->source(),
                      .destination = ip->destination(),
                      .protocol = ip->protocol(),
                      .ttl = ip->ttl(),
                      .fragment = ip->isFragment(),
                      .isIp = true};
            if (before.protocol == IpProtocol::Icmp && !before.fragment) {
                const auto icmp = wire::IcmpView::parse(ip->payload());
                before.isError = icmp && icmp->isError();
            }
        }
        const bool judged = isSound(packet);
        m_allSound = m_allSound && judged;
        const Counters counted = m_engine->snapshot(m_now).counters;
        wire::Packet carried{.bytes = packet};
        Output output;
        Verdict verdict;
        if (m_entrance == Entrance::Single) {
            verdict = m_engine->handlePacket(m_now, ingress, carried, output);
        } else {
            m_engine->handlePackets(m_now, ingress, {&carried, 1}, {&verdict, 1}, output);
        }
        packet = {carried.bytes.begin(), carried.bytes.end()};
        note(static_cast<std::uint64_t>(verdict.kind));
        judgeCount(counted, verdict, output);
        if (ingress == PortId::Internal && before.isIp) m_tried.insert(before.source);
        if (ingress == PortId::Internal && before.isIp && verdict.kind != Verdict::Kind::Drop &&
            verdict.kind != Verdict::Kind::ToHost) {
            m_spoke.insert(before.source);
            m_spokeTo.insert({before.source, before.destination});
        }
        judgeOutput(output, ingress == PortId::Internal ? before.source : Ipv4Address{});
        if (verdict.kind != Verdict::Kind::Forward) return {};
        note(packet);
        ++m_ending.forwarded;
        judgePacket(verdict.egress, packet, judged);
        judgeJourney(ingress, verdict.egress, before, packet);
        auto& seen = verdict.egress == PortId::External ? m_left : m_arrived;
        if (seen.size() >= kMostRemembered) seen.erase(seen.begin());
        seen.push_back(packet);
        return packet;
    }

    struct Facts {
        Ipv4Address source;
        Ipv4Address destination;
        IpProtocol protocol = IpProtocol::Udp;
        std::uint8_t ttl = 0;
        bool fragment = false;
        bool isIp = false;
        bool isError = false;
    };

    // ---- time, commands, restarts ---------------------------------------------------------------

    void pass(Duration span)
    {
        const Instant until = m_now + span;
        std::uint32_t calls = 0;
        for (;;) {
            const auto next = m_engine->nextTimeout();
            if (!next || *next > until) break;
            if (*next > m_now) {
                m_now = *next;
                calls = 0;
            }
            Output output;
            m_engine->handleTimeout(m_now, output);
            judgeOutput(output, {});
            if (++calls > kMostCallsAtOneInstant) return complain("the deadline does not move");
        }
        m_now = until;
        Output output;
        m_engine->handleTimeout(m_now, output);
        judgeOutput(output, {});
    }

    /// As the shell saves: a part in each turn, and what is complete goes to the disk.
    void saveOn()
    {
        if (!m_engine->saveOn(m_now, m_draft)) return;
        m_saved = Engine::blockOf(std::exchange(m_draft, {}));
    }
    void restart()
    {
        if (m_engine->config().external.addresses.empty()) return;
        // A crash leaves what was saved last, which is of some time ago.
        const bool crashes = !m_saved.empty() && m_decide.once(2);
        const Bytes block = crashes ? m_saved : m_engine->saveState(m_now);
        m_saved.clear();
        m_draft = {};
        const auto before = endpoints();
        EngineConfig config = m_engine->config();
        auto fresh = std::make_unique<Engine>(m_now, config);
        if (!fresh->restoreState(m_now, block)) return complain("its own saved state is refused");
        m_engine = std::move(fresh);
        m_unsettled = 0;  // what nobody waits for any more
        ++m_ending.restarts;
        for (const auto& one : endpoints()) {
            if (!crashes && !before.contains(one))
                complain("a session that was not there is restored");
        }
    }
    using SessionName = std::tuple<IpProtocol, Endpoint, Endpoint, Endpoint>;
    [[nodiscard]] std::multiset<SessionName> endpoints() const
    {
        std::multiset<SessionName> all;
        for (const SessionRecord& session : m_engine->sessions(m_now, {})) {
            all.insert({session.protocol, session.internal, session.external, session.remote});
        }
        return all;
    }

    /// Whether what lives may finish; none for a command without that choice.
    static std::optional<bool> finishes(const Command& wish)
    {
        return std::visit(
            [](const auto& one) -> std::optional<bool> {
                using Wish = std::decay_t<decltype(one)>;
                if constexpr (std::is_same_v<Wish, SetPortForwards> ||
                              std::is_same_v<Wish, SetOneToOnes> ||
                              std::is_same_v<Wish, SetDeviceRules> ||
                              std::is_same_v<Wish, SetExposedHost>) {
                    return one.onLive == policy::OnLive::Finish;
                } else {
                    return std::nullopt;
                }
            },
            wish);
    }
    void apply(const Command& wish)
    {
        if (m_decide.once(4)) ask(wish);
        const EngineConfig before = m_engine->config();
        const std::uint32_t told = m_engine->sessionsEndedBy(m_now, wish);
        const std::uint64_t endedBefore = m_engine->snapshot(m_now).counters.sessionsEnded;
        const bool isCalm = !isBusy();
        const bool isOnly = m_unsettled == 0;
        Output output;
        const auto answer = m_engine->apply(m_now, wish, output);
        // Rules are stored before they are in force, so what is older is never read with newer
        // ones.
        if (answer) m_saved.clear();
        if (answer) obey(wish, before.deviceRules);
        const bool isSettled = isOnly && judgeCounts(output, told);
        judgeOutput(output, {});
        if (const auto finish = finishes(wish); answer && finish && isCalm && isSettled) {
            const std::uint64_t ended =
                m_engine->snapshot(m_now).counters.sessionsEnded - endedBefore;
            if (ended != (*finish ? 0 : told)) {
                complain("rule " + std::to_string(wish.index()) + " was said to end " +
                         std::to_string(told) + " sessions and has ended " + std::to_string(ended));
            }
            m_ending.endedByRules += static_cast<std::uint32_t>(ended);
        }
        note(answer ? 1 : 100 + static_cast<std::uint64_t>(answer.error()));
        const EngineConfig& after = m_engine->config();
        if (!answer &&
            (before.nat != after.nat || before.external != after.external ||
             before.internal != after.internal || before.portForwards != after.portForwards ||
             before.oneToOnes != after.oneToOnes || before.deviceRules != after.deviceRules ||
             before.exposedHost != after.exposedHost)) {
            complain("a refused command has changed something");
        }
    }
    /// What may be held against the engine from now on.
    void obey(const Command& wish, const std::vector<policy::DeviceRule>& before)
    {
        if (isCounted(wish)) ++m_unsettled;
        if (const auto* rules = std::get_if<SetDeviceRules>(&wish)) {
            std::set<Ipv4Address> blocked;
            for (const policy::DeviceRule& rule : rules->rules) {
                // The first rule of a device is the one that counts.
                const bool isFirst = &*std::ranges::find(rules->rules, rule.address,
                                                         &policy::DeviceRule::address) == &rule;
                // What a rule has let finish is no concern of the same rule.
                const auto was =
                    std::ranges::find(before, rule.address, &policy::DeviceRule::address);
                const bool isNew = was == before.end() || was->access != rule.access;
                const bool isWhole = (isNew && rules->onLive != policy::OnLive::Finish) ||
                                     m_blocked.contains(rule.address);
                if (isFirst && rule.access == policy::DeviceAccess::Block && isWhole) {
                    blocked.insert(rule.address);
                }
            }
            m_blocked = std::move(blocked);
        }
    }
    /// What a rule would do, asked as the window asks.
    void ask(const Command& wish)
    {
        const std::uint32_t told = m_engine->sessionsEndedBy(m_now, wish);
        Output output;
        const bool isOnly = m_unsettled++ == 0;
        m_engine->count(m_now, wish, output);
        if (isOnly) judgeCounts(output, told);
        judgeOutput(output, {});
    }
    void command()
    {
        constexpr std::array kOnLive{policy::OnLive::Hold, policy::OnLive::Finish,
                                     policy::OnLive::Drop};
        switch (m_decide.below(11)) {
        case 0: {
            SetPortForwards wish{{}, m_decide.among(kOnLive)};
            for (std::uint32_t i = m_decide.below(3); i > 0; --i) {
                constexpr std::array kProtocols{IpProtocol::Tcp, IpProtocol::Udp, IpProtocol::Gre,
                                                IpProtocol::Esp, IpProtocol::IpIp};
                policy::PortForward forward;
                forward.id = i;
                forward.protocol = m_decide.among(kProtocols);
                Port first = port();
                // Often one that a device uses at this moment.
                if (const Flow* used = flow(); used != nullptr && m_decide.once(2)) {
                    forward.protocol = used->protocol;
                    first = used->external.port;
                }
                forward.externalPorts = {first, first};
                forward.internalFirst = first;
                forward.internalAddress = m_decide.once(2) ? kRedirected : m_decide.among(kDevices);
                m_ruled.insert(forward.internalAddress);
                wish.forwards.push_back(forward);
            }
            return apply(wish);
        }
        case 1: {
            SetPassthrough wish;
            wish.protocol = static_cast<net::VpnProtocol>(m_decide.below(net::kVpnProtocolCount));
            if (m_decide.once(2)) wish.protocol = static_cast<net::VpnProtocol>(m_decide.below(4));
            wish.value.mode = static_cast<policy::PassthroughMode>(m_decide.below(3));
            wish.onLive = m_decide.among(kOnLive);
            return apply(wish);
        }
        case 2:
            return apply(
                ResolveHold{static_cast<net::VpnProtocol>(m_decide.below(net::kVpnProtocolCount)),
                            static_cast<ResolveHold::How>(m_decide.below(3))});
        case 3: {
            ExternalSide side{
                .addresses = {}, .prefix = net::Prefix{kExternals[0], 24}, .mtu = 1500};
            const std::uint32_t which = m_decide.below(8);
            for (std::size_t i = 0; i < kExternals.size(); ++i) {
                if ((which >> i & 1U) != 0) side.addresses.push_back(kExternals[i]);
            }
            if (m_decide.once(4)) side.mtu = 576;
            return apply(SetExternalSide{side});
        }
        case 4: {
            SetOneToOnes wish{{}, m_decide.among(kOnLive)};
            for (std::uint32_t i = m_decide.below(3); i > 0; --i) {
                policy::OneToOne rule;
                rule.id = i;
                rule.internalAddress = m_decide.once(4) ? kRedirected : m_decide.among(kDevices);
                rule.externalAddress = m_decide.among(kExternals);
                m_ruled.insert(rule.internalAddress);
                m_owned.insert(rule.externalAddress);
                wish.oneToOnes.push_back(rule);
            }
            return apply(wish);
        }
        case 5: {
            SetDeviceRules wish{{}, m_decide.among(kOnLive)};
            for (std::uint32_t i = m_decide.below(3); i > 0; --i) {
                policy::DeviceRule rule;
                rule.id = i;
                rule.address = m_decide.among(kDevices);
                rule.access = static_cast<policy::DeviceAccess>(m_decide.below(3));
                if (m_decide.once(4)) rule.sessionLimit = m_decide.below(8);
                wish.rules.push_back(rule);
            }
            return apply(wish);
        }
        case 6: {
            SetExposedHost wish{{}, m_decide.among(kOnLive)};
            if (m_decide.once(2)) wish.address = kRedirected;
            m_ruled.insert(kRedirected);
            return apply(wish);
        }
        case 7: {
            nat::NatConfig nat = m_engine->config().nat;
            const auto behaviour = [&] {
                return static_cast<nat::Behaviour>(m_decide.below(3));
            };
            nat.udp = {behaviour(), behaviour()};
            nat.tcp = {behaviour(), behaviour()};
            nat.icmp.filtering = behaviour();
            nat.portParity = m_decide.once(2);
            nat.preservePorts = m_decide.once(2);
            nat.hairpinning = !m_decide.once(4);
            nat.limits.sessionsPerDevice = m_decide.below(4) * 4;
            nat.limits.portsPerDevice = m_decide.below(4) * 4;
            nat.limits.newSessionsPerSecond = m_decide.below(4) * 8;
            for (const auto* of : {&nat.udp, &nat.tcp, &nat.icmp}) {
                m_strangersMay =
                    m_strangersMay || of->filtering == nat::Behaviour::EndpointIndependent;
            }
            return apply(SetNat{nat});
        }
        case 8: {
            const Port first = port();
            return apply(SetReservedPorts{{{first, Port{65535}}}});
        }
        case 9: {
            const auto all = m_engine->sessions(m_now, {});
            return apply(CloseSession{all.empty() ? 1 : m_decide.among(all).serial});
        }
        default: {
            const auto tunnels = m_engine->snapshot(m_now).tunnels;
            return apply(CloseTunnel{tunnels.empty() ? 1 : m_decide.among(tunnels).serial});
        }
        }
    }

    // ---- what must hold -------------------------------------------------------------------------

    [[nodiscard]] bool isOurs(Ipv4Address address) const
    {
        const auto& ours = m_engine->config().external.addresses;
        return std::find(ours.begin(), ours.end(), address) != ours.end();
    }
    /// A device that has spoken, or that a rule names.
    [[nodiscard]] bool isOwner(Ipv4Address address) const
    {
        return m_spoke.contains(address) || m_ruled.contains(address);
    }

    /// Exactly one fate, with its reason or its count.
    void judgeCount(const Counters& before, Verdict verdict, const Output& output)
    {
        const Counters after = m_engine->snapshot(m_now).counters;
        const auto sum = [](const Counters& of) {
            return of.outbound.packets + of.inbound.packets + of.hairpinned.packets + of.generated;
        };
        std::uint64_t left = output.packets.size();
        if (verdict.kind == Verdict::Kind::Forward) ++left;
        // Pieces of one packet are counted as one.
        if (sum(after) - sum(before) > left) complain("more is counted than leaves");
        if (left != 0 && sum(after) == sum(before)) complain("what leaves is not counted");
        std::uint64_t dropped = 0;
        for (std::size_t i = 0; i < kDropReasonCount; ++i)
            dropped += after.drops[i] - before.drops[i];
        switch (verdict.kind) {
        case Verdict::Kind::Drop: {
            const auto reason = static_cast<std::size_t>(verdict.reason);
            note(reason);
            if (after.drops[reason] == before.drops[reason]) complain("a drop without its count");
            break;
        }
        case Verdict::Kind::ToHost:
            if (after.consumed != before.consumed + 1) complain("the host's packet is not counted");
            break;
        case Verdict::Kind::Consumed:
            if (output.packets.empty() && after.consumed == before.consumed && dropped == 0) {
                complain("a packet vanished");
            }
            break;
        case Verdict::Kind::Forward:
        case Verdict::Kind::Hold: break;
        }
    }

    void judgePacket(PortId egress, Bytes packet, bool judged)
    {
        const auto ip = wire::Ipv4View::parse(packet);
        if (!ip) return complain("what leaves is no IPv4 packet");
        m_about = " (protocol " + std::to_string(static_cast<unsigned>(ip->protocol())) + ", " +
                  ip->source().toString() + " > " + ip->destination().toString() + ", " +
                  std::to_string(packet.size()) + " octets)";
        if (!ip->hasValidChecksum()) complain("a wrong header checksum leaves");
        if (ip->ttl() == 0) complain("an expired packet leaves");
        if (judged && !isSound(packet)) complain("a wrong transport checksum leaves");
        const EngineConfig& config = m_engine->config();
        const std::uint16_t mtu =
            egress == PortId::External ? config.external.mtu : config.internal.mtu;
        if (packet.size() > mtu) complain("larger than the link");
        if (egress == PortId::External) {
            if (!isOurs(ip->source())) complain("a foreign source leaves");
            if (config.internal.prefix.contains(ip->destination())) {
                complain("an internal destination leaves");
            }
        } else if (!config.internal.prefix.contains(ip->destination())) {
            complain("a foreign destination inside");
        }
    }

    /// What the engine makes or lets go is judged like what passes. `sender` may be told of errors.
    void judgeOutput(const Output& output, Ipv4Address sender)
    {
        if (output.packets.size() > 256) complain("an avalanche of packets");
        for (const OutgoingPacket& made : output.packets) {
            note(static_cast<std::uint64_t>(made.egress));
            note(made.bytes);
            judgePacket(made.egress, made.bytes, m_allSound);
            Bytes copy = made.bytes;
            const auto ip = wire::Ipv4View::parse(copy);
            if (ip && made.egress == PortId::Internal && ip->destination() != sender &&
                !isOwner(ip->destination()) && !m_tried.contains(ip->destination())) {
                complain("something is made for a device that has no part in it");
            }
        }
        note(output.events.size());
        for (const Event& event : output.events) {
            const auto* counted = std::get_if<SessionsCounted>(&event);
            if (counted == nullptr) continue;
            note(counted->sessions);
            if (m_unsettled-- == 0) return complain("a change of the rules is settled twice");
        }
    }
    /// True if this is all that was asked; the number is then of this moment.
    bool judgeCounts(const Output& output, std::uint32_t expected)
    {
        std::uint32_t told = 0;
        std::uint32_t last = 0;
        for (const Event& event : output.events) {
            const auto* counted = std::get_if<SessionsCounted>(&event);
            if (counted == nullptr) continue;
            ++told;
            last = counted->sessions;
        }
        if (told != 1 || m_unsettled != 1) return false;
        if (last != expected) {
            complain("not as many are counted as are concerned: " + std::to_string(last) +
                     " instead of " + std::to_string(expected));
        }
        return true;
    }
    /// Something that ends sessions may be on its way.
    [[nodiscard]] bool isBusy() const
    {
        const auto next = m_engine->nextTimeout();
        return next && *next <= m_now;
    }

    void judgeJourney(PortId ingress, PortId egress, const Facts& before, Bytes packet)
    {
        const auto ip = wire::Ipv4View::parse(packet);
        if (!ip) return;
        if (ingress == PortId::External && egress == PortId::External) {
            return judgeAnswer(before, *ip);
        }
        // Whose datagram had begun before the rule may end it.
        if (!before.fragment &&
            (m_blocked.contains(ingress == PortId::Internal ? before.source : ip->destination()) ||
             (egress == PortId::Internal && m_blocked.contains(ip->destination())))) {
            complain("a blocked device goes on");
        }
        if (ip->ttl() + 1 != before.ttl) complain("the time to live is not one less");
        if (ip->protocol() != before.protocol) complain("another protocol");
        if (egress == PortId::External) {
            if (ip->destination() != before.destination) complain("another destination");
            return;
        }
        if (ingress == PortId::Internal) {
            // Hairpinned: it comes from an external endpoint, and goes to an owner of one.
            if (!isOurs(ip->source())) complain("a hairpinned packet shows its sender");
            if (!isOwner(ip->destination())) complain("hairpinned to nobody's mapping");
            if (net::isPortless(ip->protocol()) && ip->destination() == before.source) {
                complain("what a device has sent comes back to it");
            }
            return;
        }
        ++m_ending.delivered;
        const Ipv4Address to = ip->destination();
        if (!before.isError && ip->source() != before.source) complain("another source");
        if (!isOurs(before.destination)) complain("delivered though it was not for us");
        if (!isOwner(to)) return complain("delivered to a device that never asked");
        if (!before.isError && !m_strangersMay && !m_ruled.contains(to) &&
            !m_spokeTo.contains({to, before.source})) {
            complain("delivered from somebody the device never spoke to");
        }
    }

    /// The only thing that goes back where it came from: the router answers a SYN in the place of
    /// a flooded server.
    void judgeAnswer(const Facts& before, const wire::Ipv4View& ip)
    {
        const auto tcp = wire::TcpView::parse(ip.payload());
        if (ip.protocol() != IpProtocol::Tcp || !tcp ||
            tcp->flags() != (wire::tcp_flag::kSyn | wire::tcp_flag::kAck) || tcp->window() != 0) {
            return complain("from outside to outside");
        }
        if (ip.source() != before.destination || ip.destination() != before.source) {
            complain("an answer to somebody else");
        }
        if (!tcp->hasValidChecksum(ip)) complain("an answer with a wrong checksum");
    }

    void judgeState()
    {
        const Snapshot snapshot = m_engine->snapshot(m_now);
        if (snapshot.sessions > snapshot.sessionLimit) complain("more sessions than the table has");
        if (snapshot.mappings > snapshot.sessionLimit) complain("more mappings than sessions");
        if (snapshot.tunnels.size() > 4 * kSessionLimit) complain("too many tunnels");
        note(snapshot.sessions);
        note(snapshot.mappings);
        note(snapshot.tunnels.size());
        const auto next = m_engine->nextTimeout();
        note(next ? static_cast<std::uint64_t>(next->nanoseconds()) : 0);
        std::map<std::tuple<IpProtocol, Endpoint>, Endpoint> owners;
        for (const SessionRecord& session : m_engine->sessions(m_now, {})) {
            // What a rule let in or sends out has its port by the rule, and no mapping.
            if (session.external.port == Port{} || session.forwardId != 0 ||
                m_owned.contains(session.external.address)) {
                continue;
            }
            const auto [at, isNew] =
                owners.try_emplace({session.protocol, session.external}, session.internal);
            if (!isNew && at->second.address != session.internal.address) {
                complain("two devices share " + session.external.toString() + ": " +
                         at->second.toString() + " and " + session.internal.toString() +
                         (session.outboundInitiated ? ", from inside" : ", from outside"));
            }
        }
    }

    Decisions m_decide;
    Entrance m_entrance;
    Instant m_now{1h};
    std::unique_ptr<Engine> m_engine;
    Ending m_ending;
    int m_step = 0;
    std::vector<Flow> m_flows;
    std::vector<std::uint16_t> m_ids;
    std::vector<Bytes> m_left;
    std::vector<Bytes> m_arrived;
    StateDraft m_draft;
    Bytes m_saved;                  ///< under the rules that are in force
    std::set<Ipv4Address> m_tried;  ///< whose packets may all have been dropped on their way
    std::set<Ipv4Address> m_spoke;
    std::set<std::pair<Ipv4Address, Ipv4Address>> m_spokeTo;
    std::set<Ipv4Address> m_ruled;
    std::set<Ipv4Address> m_owned;    ///< external addresses that 1:1 NAT has ever given away
    std::set<Ipv4Address> m_blocked;  ///< devices by a rule that nothing of theirs outlives
    std::uint32_t m_unsettled = 0;    ///< changes of the rules that have not been told yet
    bool m_strangersMay = false;      ///< some filtering lets in whoever knows the endpoint
    bool m_allSound = true;
    std::string m_about;  ///< the packet that was judged last
};

}  // namespace

Ending run(wire::ConstBytes octets, Entrance entrance)
{
    return World{octets, entrance}.live();
}

Ending runTwice(wire::ConstBytes octets)
{
    Ending first = run(octets, Entrance::Single);
    if (!first.complaint.empty()) return first;
    const Ending second = run(octets, Entrance::Batched);
    if (second.digest != first.digest) {
        first.complaint = second.complaint.empty() ? "the second run differs" : second.complaint;
    }
    return first;
}

}  // namespace program
