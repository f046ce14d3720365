#include "tests/ui/fake_network.h"

#include <cmath>

namespace fake {

using namespace std::chrono_literals;
using engine::Instant;
using engine::net::Endpoint;
using engine::net::IpProtocol;
using engine::net::Ipv4Address;
using engine::net::Port;
using engine::net::Prefix;
using engine::net::VpnProtocol;
using engine::tunnel::Confidence;
using engine::tunnel::EventKind;
using engine::tunnel::Finding;
using engine::tunnel::FindingKind;
using engine::tunnel::Lane;
using engine::tunnel::PassageKind;
using engine::tunnel::Phase;
using engine::tunnel::TimelineEvent;
using engine::tunnel::Tunnel;

namespace {

const Ipv4Address kRouter{203, 0, 113, 7};

Ipv4Address device(int number)
{
    return {192, 0, 2, static_cast<std::uint8_t>(20 + number)};
}

/// A rate that looks alive: octets per second at that step.
double wave(int step, int phase, double most)
{
    const double t = step * 0.25;
    const double slow = 0.5 + 0.5 * std::sin(t * 0.21 + phase);
    const double fast = 0.5 + 0.5 * std::sin(t * 1.3 + phase * 2.1);
    return most * (0.15 + 0.6 * slow * slow + 0.25 * fast * slow);
}

std::uint64_t sum(int step, int phase, double most, std::uint64_t base)
{
    double total = 0;
    for (int i = 0; i < step; ++i)
        total += wave(i, phase, most) * 0.25;
    return base + static_cast<std::uint64_t>(total);
}

struct Shape {
    std::uint64_t serial;
    VpnProtocol protocol;
    Confidence confidence;
    Phase phase;
    int device;
    Endpoint server;
    const char* name;
    IpProtocol transport;
    engine::tunnel::Passage passage;
    engine::Duration age;
    double rateIn;
    double rateOut;
    engine::Duration quietIn;
    engine::Duration quietOut;
};

void addPptpTimeline(Tunnel& tunnel)
{
    Instant at = tunnel.started;
    const auto add = [&](engine::Duration after, EventKind kind, Lane from, Lane to,
                         std::uint32_t a = 0, std::uint32_t b = 0, std::uint32_t repeats = 1) {
        at += after;
        tunnel.timeline.push_back({at, kind, from, to, a, b, repeats});
    };
    add(0ms, EventKind::ControlOpened, Lane::Client, Lane::Server, 1723);
    add(18ms, EventKind::ControlMessage, Lane::Client, Lane::Server, 1);
    add(21ms, EventKind::ControlMessage, Lane::Server, Lane::Client, 2, 1);
    add(4ms, EventKind::ControlMessage, Lane::Client, Lane::Server, 7);
    add(1ms, EventKind::IdRewritten, Lane::Router, Lane::Router, 3, 51702);
    add(24ms, EventKind::ControlMessage, Lane::Server, Lane::Client, 8, 1);
    add(0ms, EventKind::CallAgreed, Lane::Router, Lane::Router, 51702, 1408);
    add(35ms, EventKind::DataFirstOutbound, Lane::Client, Lane::Server, 1408);
    add(41ms, EventKind::DataFirstInbound, Lane::Server, Lane::Client, 51702);
    add(0ms, EventKind::PhaseChanged, Lane::Router, Lane::Router,
        static_cast<std::uint32_t>(Phase::Establishing),
        static_cast<std::uint32_t>(Phase::Established));
    add(60s, EventKind::Keepalive, Lane::Client, Lane::Server, 5, 0, 128);
}

void addIkeTimeline(Tunnel& tunnel, bool plainEsp)
{
    Instant at = tunnel.started;
    const auto add = [&](engine::Duration after, EventKind kind, Lane from, Lane to,
                         std::uint32_t a = 0, std::uint32_t b = 0, std::uint32_t repeats = 1) {
        at += after;
        tunnel.timeline.push_back({at, kind, from, to, a, b, repeats});
    };
    add(0ms, EventKind::KeyExchange, Lane::Client, Lane::Server, 34);
    add(32ms, EventKind::KeyExchange, Lane::Server, Lane::Client, 34);
    if (!plainEsp) {
        add(0ms, EventKind::NatDetected, Lane::Router, Lane::Router);
        add(2ms, EventKind::FloatedTo4500, Lane::Client, Lane::Server);
    }
    add(11ms, EventKind::KeyExchange, Lane::Client, Lane::Server, 35);
    add(48ms, EventKind::KeyExchange, Lane::Server, Lane::Client, 35);
    add(20ms, EventKind::DataFirstOutbound, Lane::Client, Lane::Server, 0xc1d2e3f4);
    if (plainEsp) add(1ms, EventKind::SpiBound, Lane::Router, Lane::Router, 0x9a11be07, 2);
    add(30ms, EventKind::DataFirstInbound, Lane::Server, Lane::Client, 0x9a11be07);
    add(55min, EventKind::Rekeyed, Lane::Client, Lane::Server, 1);
}

Tunnel make(const Shape& shape, Instant now, int step)
{
    Tunnel tunnel;
    tunnel.serial = shape.serial;
    tunnel.id = {static_cast<std::uint32_t>(shape.serial), 1};
    tunnel.protocol = shape.protocol;
    tunnel.confidence = shape.confidence;
    tunnel.phase = shape.phase;
    tunnel.device = device(shape.device);
    tunnel.server = shape.server;
    tunnel.external = {
        kRouter,
        Port{static_cast<std::uint16_t>(
            shape.passage.kind == PassageKind::PortTranslated ? shape.passage.externalId : 0)}};
    tunnel.transport = shape.transport;
    tunnel.passage = shape.passage;
    tunnel.serverName = shape.name;
    tunnel.started = now - shape.age;
    const int phase = static_cast<int>(shape.serial);
    tunnel.inbound.bytes =
        sum(step, phase, shape.rateIn, static_cast<std::uint64_t>(shape.rateIn * 900));
    tunnel.outbound.bytes =
        sum(step, phase + 1, shape.rateOut, static_cast<std::uint64_t>(shape.rateOut * 900));
    tunnel.inbound.packets = tunnel.inbound.bytes / 900;
    tunnel.outbound.packets = tunnel.outbound.bytes / 500;
    tunnel.inbound.lost = tunnel.inbound.packets / 1800;
    tunnel.inbound.lastPacket = now - shape.quietIn;
    tunnel.outbound.lastPacket = now - shape.quietOut;
    tunnel.roundTrip = 24ms + std::chrono::milliseconds(phase * 3);
    tunnel.rekeys = shape.age > 1h ? 2 : 0;
    tunnel.sessions = 2;
    tunnel.expires = now + 9min - std::min(shape.quietIn, shape.quietOut);
    return tunnel;
}

std::vector<std::uint8_t> gre(bool inbound)
{
    std::vector<std::uint8_t> packet{0x45, 0x00, 0x00, 0x58, 0x1c, 0x46, 0x00, 0x00, 0x40, 0x2f,
                                     0x00, 0x00, 192,  0,    2,    23,   198,  51,   100,  77,
                                     0x30, 0x81, 0x88, 0x0b, 0x00, 0x34, 0x05, 0x80, 0x00, 0x00,
                                     0x00, 0x01, 0x00, 0x00, 0x00, 0x02, 0xff, 0x03, 0xc0, 0x21};
    if (inbound) std::swap_ranges(packet.begin() + 12, packet.begin() + 16, packet.begin() + 16);
    return packet;
}

}  // namespace

std::shared_ptr<const engine::Snapshot> snapshot(int step)
{
    auto snapshot = std::make_shared<engine::Snapshot>();
    const Instant now = kStart + step * 250ms;
    snapshot->at = now;
    snapshot->internal = {Prefix{{192, 0, 2, 0}, 24}, {192, 0, 2, 1}, 1500};
    snapshot->external = {{kRouter, {203, 0, 113, 8}}, Prefix{{203, 0, 113, 0}, 24}, 1500};
    snapshot->sessions = 15612 + static_cast<std::uint32_t>(step % 17);
    snapshot->sessionLimit = 262144;
    snapshot->mappings = 15120;
    snapshot->memory = 58'400'000;

    const std::vector<Shape> shapes{
        {1,
         VpnProtocol::Pptp,
         Confidence::Certain,
         Phase::Established,
         1,
         {{198, 51, 100, 9}, Port{1723}},
         "vpn.acme.example",
         IpProtocol::Tcp,
         {PassageKind::CallId, 3, 51702},
         2h + 14min,
         900'000,
         90'000,
         0s,
         0s},
        {2,
         VpnProtocol::Pptp,
         Confidence::Certain,
         Phase::Established,
         2,
         {{198, 51, 100, 9}, Port{1723}},
         "vpn.acme.example",
         IpProtocol::Tcp,
         {PassageKind::CallId, 3, 3},
         47min,
         210'000,
         30'000,
         1s,
         2s},
        {3,
         VpnProtocol::WireGuard,
         Confidence::Certain,
         Phase::Established,
         4,
         {{198, 51, 100, 40}, Port{51820}},
         "",
         IpProtocol::Udp,
         {PassageKind::PortTranslated, 51820, 40112},
         8h + 3min,
         2'400'000,
         310'000,
         0s,
         0s},
        {4,
         VpnProtocol::IpsecEsp,
         Confidence::Certain,
         Phase::Established,
         5,
         {{203, 0, 113, 200}, Port{500}},
         "gw.branch.example",
         IpProtocol::Esp,
         {PassageKind::SpiPair, 0xc1d2e3f4, 0x9a11be07},
         1h + 2min,
         120'000,
         60'000,
         2s,
         2s},
        {5,
         VpnProtocol::IpsecEsp,
         Confidence::Likely,
         Phase::Establishing,
         6,
         {{203, 0, 113, 200}, Port{500}},
         "gw.branch.example",
         IpProtocol::Esp,
         {PassageKind::SpiPair, 0x77aa0102, 0},
         6s,
         0,
         900,
         30s,
         1s},
        {6,
         VpnProtocol::Pptp,
         Confidence::Certain,
         Phase::Degraded,
         3,
         {{198, 51, 100, 77}, Port{1723}},
         "old.server.example",
         IpProtocol::Tcp,
         {PassageKind::CallId, 1, 20411},
         3min,
         0,
         2'000,
         2min,
         3s},
        {7,
         VpnProtocol::OpenVpn,
         Confidence::Certain,
         Phase::Established,
         7,
         {{198, 51, 100, 52}, Port{1194}},
         "",
         IpProtocol::Udp,
         {PassageKind::PortTranslated, 38122, 38122},
         26h,
         45'000,
         12'000,
         7s,
         7s},
        {8,
         VpnProtocol::Sstp,
         Confidence::Guess,
         Phase::Established,
         8,
         {{198, 51, 100, 66}, Port{443}},
         "remote.school.example",
         IpProtocol::Tcp,
         {PassageKind::PortTranslated, 50211, 61007},
         33min,
         8'000,
         3'000,
         12s,
         12s},
        {9,
         VpnProtocol::IpsecNatT,
         Confidence::Certain,
         Phase::Established,
         9,
         {{203, 0, 113, 201}, Port{4500}},
         "ike.example",
         IpProtocol::Udp,
         {PassageKind::PortTranslated, 4500, 50023},
         5h,
         60'000,
         20'000,
         130s,
         130s},
        {10,
         VpnProtocol::L2tp,
         Confidence::Certain,
         Phase::Closed,
         2,
         {{198, 51, 100, 12}, Port{1701}},
         "",
         IpProtocol::Udp,
         {PassageKind::TunnelId, 9, 4410},
         21min,
         0,
         0,
         25s,
         25s},
        {11,
         VpnProtocol::Ah,
         Confidence::Certain,
         Phase::Refused,
         10,
         {{198, 51, 100, 90}, Port{}},
         "",
         IpProtocol::Ah,
         {PassageKind::Unknown, 0, 0},
         40s,
         0,
         0,
         40s,
         38s},
        {12,
         VpnProtocol::AnyConnect,
         Confidence::Likely,
         Phase::Established,
         1,
         {{198, 51, 100, 71}, Port{443}},
         "portal.customer.example",
         IpProtocol::Udp,
         {PassageKind::PortTranslated, 50512, 33981},
         51min,
         310'000,
         45'000,
         0s,
         0s},
    };
    for (const Shape& shape : shapes) {
        Tunnel tunnel = make(shape, now, step);
        if (shape.protocol == VpnProtocol::Pptp) addPptpTimeline(tunnel);
        if (shape.protocol == VpnProtocol::IpsecEsp) addIkeTimeline(tunnel, true);
        if (shape.protocol == VpnProtocol::IpsecNatT) addIkeTimeline(tunnel, false);
        if (shape.serial == 6) {
            tunnel.timeline.resize(8);
            tunnel.timeline.push_back(
                {now - 2min, EventKind::FindingRaised, Lane::Router, Lane::Router,
                 static_cast<std::uint32_t>(FindingKind::GreNeverReturns), 0, 1});
            Finding finding;
            finding.kind = FindingKind::GreNeverReturns;
            finding.at = now - 2min;
            finding.a = 41;
            finding.packets = {gre(false)};
            tunnel.findings.push_back(finding);
        }
        if (shape.serial == 10) {
            tunnel.ended = now - 25s;
            tunnel.endCause = EventKind::PeerClosed;
        }
        if (shape.serial == 11) {
            Finding finding;
            finding.kind = FindingKind::AhCannotPass;
            finding.at = now - 38s;
            tunnel.findings.push_back(finding);
            tunnel.ended = now - 38s;
        }
        snapshot->tunnels.push_back(std::move(tunnel));
    }
    for (int i = 1; i <= 11; ++i) {
        engine::DeviceStatus status;
        status.address = device(i);
        status.sessions = static_cast<std::uint32_t>(7 + (i * 211) % 900);
        const double most = i % 4 == 0 ? 2'600'000 : 220'000.0 / i;
        status.inbound.bytes = sum(step, i, most, static_cast<std::uint64_t>(most * 4000));
        status.outbound.bytes = sum(step, i + 2, most / 8, static_cast<std::uint64_t>(most * 500));
        status.firstSeen = now - (i < 3 ? std::chrono::hours(1) : std::chrono::hours(29));
        status.lastSeen = now - std::chrono::seconds(i == 11 ? 460 : i / 4);
        status.refused = i == 10 ? 14 : 0;
        for (const auto& tunnel : snapshot->tunnels) {
            if (tunnel.device == status.address && !engine::tunnel::isOver(tunnel.phase))
                ++status.tunnels;
        }
        snapshot->devices.push_back(status);
        snapshot->counters.inbound.bytes += status.inbound.bytes;
        snapshot->counters.outbound.bytes += status.outbound.bytes;
    }
    snapshot->counters.inbound.packets = snapshot->counters.inbound.bytes / 900;
    snapshot->counters.outbound.packets = snapshot->counters.outbound.bytes / 400;
    const auto drop = [&](engine::DropReason reason, std::uint64_t count) {
        snapshot->counters.drops[static_cast<std::size_t>(reason)] = count;
    };
    drop(engine::DropReason::NoMapping, 18211);
    drop(engine::DropReason::UnsolicitedSyn, 9120);
    drop(engine::DropReason::PassthroughOff, 12);
    drop(engine::DropReason::AhUntranslatable, 6);
    drop(engine::DropReason::FilteredAddress, 441);
    drop(engine::DropReason::TcpOutOfWindow, 31);
    drop(engine::DropReason::Bogon, 77);
    for (std::size_t i = 0; i < snapshot->protocols.size(); ++i) {
        auto& status = snapshot->protocols[i];
        for (const auto& tunnel : snapshot->tunnels) {
            if (tunnel.protocol != static_cast<VpnProtocol>(i)) continue;
            ++status.tunnelsSeen;
            if (!engine::tunnel::isOver(tunnel.phase)) ++status.liveTunnels;
        }
        status.tunnelsSeen *= 6;
        if (i < 4) {
            status.selfTest.outcome = engine::SelfTestResult::Outcome::Passed;
            status.selfTest.at = now - 14s;
        }
    }
    auto& l2tp = snapshot->protocols[static_cast<std::size_t>(VpnProtocol::L2tp)];
    l2tp.position.mode = engine::policy::PassthroughMode::Block;
    l2tp.position.exceptions.push_back({Prefix{device(7), 32}, Prefix{{198, 51, 100, 4}, 32},
                                        engine::policy::PassthroughMode::Assist});
    l2tp.refused = 2;
    snapshot->protocols[static_cast<std::size_t>(VpnProtocol::Gre)].position.mode =
        engine::policy::PassthroughMode::Plain;
    snapshot->forwards = {{1, 1204, 3}, {2, 18, 0}, {3, 0, 0}};
    return snapshot;
}

std::vector<engine::SessionRecord> sessions(int step, std::uint32_t howMany)
{
    std::vector<engine::SessionRecord> rows;
    rows.reserve(howMany);
    const Instant now = kStart + step * 250ms;
    // A few sessions end and begin with every step.
    const auto first = static_cast<std::uint64_t>(step) * 3 + 1;
    for (std::uint64_t serial = first; serial < first + howMany; ++serial) {
        engine::SessionRecord row;
        row.serial = serial;
        const auto n = static_cast<std::uint32_t>((serial * 2654435761U) & 0xffffffU);
        row.protocol = n % 10 < 6     ? IpProtocol::Tcp
                       : n % 10 < 9   ? IpProtocol::Udp
                       : n % 100 == 9 ? IpProtocol::Gre
                                      : IpProtocol::Icmp;
        row.internal = {device(static_cast<int>(n % 11) + 1),
                        Port{static_cast<std::uint16_t>(32768 + n % 28000)}};
        row.external = {kRouter, Port{static_cast<std::uint16_t>(1024 + (n * 7) % 60000)}};
        row.remote = {{198, 51, 100, static_cast<std::uint8_t>(n >> 7)},
                      Port{static_cast<std::uint16_t>(n % 3 == 0   ? 443
                                                      : n % 3 == 1 ? 80
                                                                   : 53)}};
        row.answered = n % 13 != 0;
        row.tcpState = row.protocol != IpProtocol::Tcp ? engine::TcpState::None
                       : row.answered                  ? engine::TcpState::Established
                                                       : engine::TcpState::OutboundInit;
        row.created = now - std::chrono::seconds(n % 7200) - 2s;
        row.lastPacket = now - std::chrono::seconds(n % 60);
        row.expires = now + std::chrono::seconds(60 + n % 7000);
        row.inbound = {n % 5000, static_cast<std::uint64_t>(n) * 37};
        row.outbound = {n % 3000, static_cast<std::uint64_t>(n) * 5};
        if (row.protocol == IpProtocol::Gre) {
            row.internal.port = row.external.port = row.remote.port = Port{};
            row.discriminatorOut = 1408;
            row.discriminatorIn = 51702;
            row.tunnelSerial = 1;
        }
        rows.push_back(row);
    }
    return rows;
}

std::vector<ui::DeviceName> deviceNames()
{
    const char* names[] = {"Anna-Laptop",
                           "Ben-PC",
                           "Old-Till",
                           "Backup-NAS",
                           "Branch-Tablet",
                           "Chris-Laptop",
                           "Scanner-Cam",
                           "Classroom-03",
                           "Dana-Phone",
                           "Lab-Box",
                           ""};
    const char* vendors[] = {"Lenovo", "Dell",  "", "Synology",     "Samsung", "Apple",
                             "Axis",   "Intel", "", "Raspberry Pi", ""};
    std::vector<ui::DeviceName> rows;
    for (int i = 0; i < 11; ++i) {
        rows.push_back({device(i + 1), QString::fromLatin1(names[i]),
                        QStringLiteral("02:00:5e:10:00:%1").arg(16 + i, 2, 16, QLatin1Char('0')),
                        QString::fromLatin1(vendors[i]), i != 10});
    }
    return rows;
}

ui::RuleSet rules()
{
    ui::RuleSet rules;
    const auto forward = [](std::uint32_t id, const char* name, IpProtocol protocol,
                            std::uint16_t first, std::uint16_t last, int to, bool enabled) {
        engine::policy::PortForward one;
        one.id = id;
        one.name = name;
        one.protocol = protocol;
        one.externalPorts = {Port{first}, Port{last}};
        one.internalFirst = Port{first};
        one.internalAddress = device(to);
        one.enabled = enabled;
        return one;
    };
    rules.portForwards = {
        forward(1, "Backup from the branch", IpProtocol::Tcp, 8443, 8443, 4, true),
        forward(2, "Door camera", IpProtocol::Udp, 5000, 5010, 7, true),
        forward(3, "Old PPTP server", IpProtocol::Gre, 0, 0, 3, false),
        forward(4, "Camera, second try", IpProtocol::Udp, 5008, 5008, 8, true)};
    rules.portForwards[0].allowedRemotes = Prefix{{198, 51, 100, 0}, 24};
    rules.oneToOnes = {{1, "Lab machine", true, device(10), Ipv4Address{203, 0, 113, 8}}};
    rules.deviceRules = {
        {1, "Old-Till", device(3), engine::policy::DeviceAccess::VpnOnly, std::nullopt},
        {2, "Lab-Box", device(10), engine::policy::DeviceAccess::Block, 200}};
    using engine::nat::Behaviour;
    rules.nat.exceptions = {
        {Prefix{device(2), 32},
         {Port{3074}, Port{3074}},
         {Behaviour::EndpointIndependent, Behaviour::EndpointIndependent}},
        {Prefix{device(7), 32},
         engine::nat::kAllPorts,
         {Behaviour::AddressAndPortDependent, Behaviour::AddressAndPortDependent}},
        {Prefix{{192, 0, 2, 0}, 24},
         {Port{3000}, Port{4000}},
         {Behaviour::EndpointIndependent, Behaviour::AddressAndPortDependent}}};
    rules.nat.untranslated = {{Prefix{{198, 51, 100, 128}, 25}, engine::nat::kAllPorts},
                              {Prefix{{198, 51, 100, 200}, 32}, {Port{443}, Port{443}}}};
    return rules;
}

std::vector<ui::InterfaceChoice> interfaces()
{
    return {{QStringLiteral("enp3s0"),
             QStringLiteral("Intel Ethernet"),
             {QStringLiteral("203.0.113.7/24")},
             QStringLiteral("02:00:5e:00:00:01"),
             true,
             true,
             1000,
             true,
             {}},
            {QStringLiteral("enp4s0"),
             QStringLiteral("USB Ethernet"),
             {QStringLiteral("192.0.2.1/24")},
             QStringLiteral("02:00:5e:00:00:02"),
             true,
             false,
             1000,
             true,
             {}},
            {QStringLiteral("wlp2s0"),
             QStringLiteral("Wi-Fi"),
             {},
             QStringLiteral("02:00:5e:00:00:03"),
             false,
             false,
             0,
             false,
             QStringLiteral("It has no address and no link.")}};
}

ui::HostHoldings hostHoldings()
{
    using Kind = ui::HostSetting::Kind;
    const QString inside = QStringLiteral("enp4s0");
    const QString outside = QStringLiteral("enp3s0");
    const QString filter = QStringLiteral("ingress pref 1 bpf handle 0x756f");
    return {ui::HostHoldings::Holder::Window,
            {{Kind::Card, inside, {}, true},
             {Kind::Card, outside, {}, true},
             {Kind::Qdisc, inside, QStringLiteral("clsact"), true},
             {Kind::Filter, inside, filter, true},
             {Kind::Qdisc, outside, QStringLiteral("clsact"), true},
             {Kind::Filter, outside, filter, true},
             {Kind::Traffic, inside,
              QStringLiteral("192.168.50.0/24 to addresses that are not this computer's"), true},
             {Kind::Traffic, outside,
              QStringLiteral("203.0.113.7: tcp and udp 1-21, 23-32767, 61000-65535; protocols 4, "
                             "41, 47, 50, 51, 97, 108, 115"),
              true},
             {Kind::Answered, outside, QStringLiteral("203.0.113.8"), true}}};
}

std::vector<ui::HistoryTunnel> historyTunnels(int howMany)
{
    std::vector<ui::HistoryTunnel> rows;
    const auto names = deviceNames();
    const auto now = snapshot(0);
    for (int i = 0; i < howMany; ++i) {
        const Tunnel& tunnel = now->tunnels[static_cast<std::size_t>(i) % now->tunnels.size()];
        ui::HistoryTunnel row;
        row.serial = static_cast<std::uint64_t>(i) + 1;
        row.protocol = tunnel.protocol;
        row.confidence = tunnel.confidence;
        row.phase = i % 7 == 3 ? Phase::Failed : i % 11 == 6 ? Phase::Refused : Phase::Closed;
        row.endCause = i % 3 == 0   ? EventKind::PeerClosed
                       : i % 3 == 1 ? EventKind::TimedOut
                                    : EventKind::ResetBy;
        row.device = tunnel.device;
        row.deviceName = names[static_cast<std::size_t>(tunnel.device.hostOrder() % 11)].name;
        row.server = tunnel.server;
        row.serverName = QString::fromStdString(tunnel.serverName);
        row.passage = tunnel.passage;
        row.ended = QDateTime(QDate(2026, 11, 22), QTime(14, 0)).addSecs(-i * 5400);
        row.started = row.ended.addSecs(-600 - (i * 977) % 9000);
        row.bytesInbound = static_cast<std::uint64_t>(i + 1) * 7'340'033;
        row.bytesOutbound = static_cast<std::uint64_t>(i + 1) * 811'000;
        row.detail = tunnel;
        row.detail.phase = row.phase;
        row.detail.ended = now->at;
        rows.push_back(row);
    }
    return rows;
}

std::vector<ui::HistoryConnection> historyConnections(int howMany)
{
    std::vector<ui::HistoryConnection> rows;
    for (const auto& session : sessions(0, static_cast<std::uint32_t>(howMany))) {
        ui::HistoryConnection row;
        row.serial = session.serial;
        row.protocol = session.protocol;
        row.internal = session.internal;
        row.external = session.external;
        row.remote = session.remote;
        row.ended = QDateTime(QDate(2026, 11, 22), QTime(14, 0))
                        .addSecs(-static_cast<qint64>(session.serial) * 40);
        row.started = row.ended.addSecs(-90);
        row.bytesInbound = session.inbound.bytes;
        row.bytesOutbound = session.outbound.bytes;
        rows.push_back(row);
    }
    return rows;
}

std::vector<engine::Event> events(int step)
{
    const auto now = snapshot(step);
    std::vector<engine::Event> list;
    list.push_back(engine::DeviceSeen{device(2)});
    for (const auto& tunnel : now->tunnels)
        list.push_back(engine::TunnelChanged{tunnel});
    list.push_back(engine::Refused{engine::DropReason::PassthroughOff,
                                   device(8),
                                   {{198, 51, 100, 12}, Port{1701}},
                                   IpProtocol::Udp});
    list.push_back(engine::Refused{engine::DropReason::AhUntranslatable,
                                   device(10),
                                   {{198, 51, 100, 90}, Port{}},
                                   IpProtocol::Ah});
    list.push_back(engine::SwitchChanged{
        VpnProtocol::L2tp, now->protocols[static_cast<std::size_t>(VpnProtocol::L2tp)]});
    engine::SelfTestFinished test;
    test.protocol = VpnProtocol::Pptp;
    test.result.outcome = engine::SelfTestResult::Outcome::Passed;
    list.push_back(test);
    list.push_back(engine::SynFlood{
        {.server = {device(2), Port{443}}, .since = now->at, .answered = 41000, .proved = 12}});
    engine::ExternalAddressChanged changed;
    changed.before.addresses = {{203, 0, 113, 6}};
    changed.after.addresses = {kRouter};
    changed.sessionsEnded = 3;
    list.push_back(changed);
    list.push_back(engine::TunnelEnded{now->tunnels[9]});
    return list;
}

}  // namespace fake
