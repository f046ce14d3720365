#pragma once

#include "engine/passthrough/pptp.h"
#include "engine/passthrough/pptp_message.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <string_view>
#include <vector>

/// Byte builders and a small stand-in for the NAT around a PptpInspector, for the tests of PPTP.
namespace pptp_test {

using namespace std::chrono_literals;
using namespace engine;
using namespace engine::passthrough;
using net::Direction;
using Bytes = std::vector<std::uint8_t>;

inline const net::Ipv4Address kExternal{203, 0, 113, 1};
inline const net::Ipv4Address kServer{198, 51, 100, 7};
inline const net::Ipv4Address kClient{192, 168, 1, 10};
inline constexpr HashKey kSeed{0x0123456789abcdefU, 0xfedcba9876543210U};

inline net::Ipv4Address client(std::uint32_t number)
{
    return net::Ipv4Address{kClient.hostOrder() + number};
}

inline Bytes message(std::uint16_t type)
{
    Bytes bytes(pptp::kMessageShapes[type].length);
    wire::store16(bytes, 0, static_cast<std::uint16_t>(bytes.size()));
    wire::store16(bytes, 2, 1);
    wire::store32(bytes, 4, pptp::kMagicCookie);
    wire::store16(bytes, 8, type);
    return bytes;
}
inline Bytes startRequest()
{
    Bytes bytes = message(1);
    wire::store16(bytes, 12, 0x0100);
    return bytes;
}
inline Bytes startReply(std::uint8_t result = 1)
{
    Bytes bytes = message(2);
    wire::store16(bytes, 12, 0x0100);
    bytes[14] = result;
    constexpr std::string_view kHost = "vpn.example";
    std::copy(kHost.begin(), kHost.end(), bytes.begin() + 28);
    constexpr std::string_view kVendor = "Example Works";
    std::copy(kVendor.begin(), kVendor.end(), bytes.begin() + 92);
    return bytes;
}
inline Bytes withIds(std::uint16_t type, std::uint16_t at12, std::uint16_t at14 = 0,
                     std::uint8_t result = 0)
{
    Bytes bytes = message(type);
    wire::store16(bytes, 12, at12);
    if (bytes.size() > 16 && pptp::kMessageShapes[type].peerCallIdAt == 14) {
        wire::store16(bytes, 14, at14);
        bytes[16] = result;
    }
    return bytes;
}
inline Bytes outgoingRequest(std::uint16_t own)
{
    return withIds(7, own);
}
inline Bytes outgoingReply(std::uint16_t own, std::uint16_t peer, std::uint8_t result = 1)
{
    return withIds(8, own, peer, result);
}
inline Bytes incomingRequest(std::uint16_t own)
{
    return withIds(9, own);
}
inline Bytes incomingReply(std::uint16_t own, std::uint16_t peer, std::uint8_t result = 1)
{
    return withIds(10, own, peer, result);
}
inline Bytes incomingConnected(std::uint16_t peer)
{
    return withIds(11, peer);
}
inline Bytes clearRequest(std::uint16_t own)
{
    return withIds(12, own);
}
inline Bytes callDisconnect(std::uint16_t own, std::uint8_t result = 4)
{
    Bytes bytes = withIds(13, own);
    bytes[14] = result;
    return bytes;
}
inline Bytes wanError(std::uint16_t peer)
{
    return withIds(14, peer);
}
inline Bytes setLinkInfo(std::uint16_t peer)
{
    return withIds(15, peer);
}
inline Bytes echoRequest(std::uint32_t id)
{
    Bytes bytes = message(5);
    wire::store32(bytes, 12, id);
    return bytes;
}
inline Bytes echoReply(std::uint32_t id)
{
    Bytes bytes = message(6);
    wire::store32(bytes, 12, id);
    bytes[16] = 1;
    return bytes;
}
inline Bytes operator+(Bytes left, const Bytes& right)
{
    left.insert(left.end(), right.begin(), right.end());
    return left;
}

/// Enhanced GRE as RFC 2637 §4.1 draws it.
inline Bytes gre(std::uint16_t callId, std::optional<std::uint32_t> sequence,
                 std::optional<std::uint32_t> acknowledgment, const Bytes& payload = {})
{
    Bytes bytes(8);
    bytes[0] = static_cast<std::uint8_t>(0x20 | (sequence ? 0x10 : 0));
    bytes[1] = static_cast<std::uint8_t>(0x01 | (acknowledgment ? 0x80 : 0));
    wire::store16(bytes, 2, 0x880b);
    wire::store16(bytes, 4, static_cast<std::uint16_t>(payload.size()));
    wire::store16(bytes, 6, callId);
    for (const auto& number : {sequence, acknowledgment}) {
        if (!number) continue;
        bytes.resize(bytes.size() + 4);
        wire::store32(bytes, bytes.size() - 4, *number);
    }
    return bytes + payload;
}

/// A port-less session as the NAT would keep it, and what happens to packets that look for one.
struct Rig {
    policy::PassthroughPolicy policy;
    net::Prefix lan{net::Ipv4Address{192, 168, 1, 0}, 24};
    PptpInspector inspector{kSeed, policy, lan};
    Actions actions;  ///< everything since the last takeActions()
    std::vector<PortlessBinding> bindings;
    Instant now{1000s};
    FlowId lastFlow = 0;

    /// Moves what is in `fresh` to the sessions and to `actions`.
    void settle(const Actions& fresh)
    {
        for (const PortlessBinding& binding : fresh.bindings)
            bindings.push_back(binding);
        for (const PortlessUnbinding& unbinding : fresh.unbindings) {
            std::erase_if(bindings, [&](const PortlessBinding& binding) {
                return binding.client == unbinding.client && binding.server == unbinding.server &&
                       binding.external == unbinding.external &&
                       binding.inbound == unbinding.inbound;
            });
        }
        const auto append = [](auto& to, const auto& from) {
            to.insert(to.end(), from.begin(), from.end());
        };
        append(actions.bindings, fresh.bindings);
        append(actions.unbindings, fresh.unbindings);
        append(actions.attachments, fresh.attachments);
        append(actions.observations, fresh.observations);
    }

    void close(FlowId flow, FlowEnd end = FlowEnd::Closed)
    {
        Actions fresh;
        for (std::size_t i = 0; i < bindings.size();) {
            if (bindings[i].master != flow) {
                ++i;
                continue;
            }
            const PortlessBinding gone = bindings[i];
            bindings.erase(bindings.begin() + static_cast<std::ptrdiff_t>(i));
            inspector.bindingClosed(now, gone, end, fresh);
        }
        inspector.flowClosed(now, flow, end, fresh);
        settle(fresh);
    }

    void passTime(Duration time)
    {
        const Instant until = now + time;
        while (const auto due = inspector.nextTimeout()) {
            if (*due > until) break;
            now = std::max(now, *due);
            Actions fresh;
            inspector.handleTimeout(now, fresh);
            settle(fresh);
        }
        now = until;
    }

    struct Arrival {
        bool delivered = false;
        DropReason reason = DropReason::UnsupportedProtocol;
        net::Ipv4Address to;
        std::uint16_t callId = 0;  ///< after rewriting
    };

    Arrival send(Direction direction, net::Ipv4Address internal, net::Ipv4Address external,
                 net::Ipv4Address server, const Bytes& payload)
    {
        const auto id = discriminatorOf(net::IpProtocol::Gre, direction, payload);
        if (!id) return {false, DropReason::MalformedGre, {}, 0};
        const bool outbound = direction == Direction::Outbound;
        const auto found = std::ranges::find_if(bindings, [&](const PortlessBinding& binding) {
            if (binding.server != server) return false;
            if (outbound) return binding.client == internal && binding.outbound == id;
            return binding.external == external && binding.inbound == id;
        });
        PortlessPacket packet{net::IpProtocol::Gre, internal, external, server, payload, {}};
        Actions fresh;
        Arrival arrival;
        arrival.callId = wire::load16(payload, 6);
        if (found == bindings.end()) {
            const auto decision = inspector.decide(now, direction, packet, fresh);
            settle(fresh);
            arrival.delivered = decision.kind == PortlessDecision::Kind::Deliver;
            arrival.reason = decision.reason;
            arrival.to = outbound ? server : decision.recipients[0];
            if (decision.rewrite) arrival.callId = decision.rewrite->value;
            return arrival;
        }
        const PortlessBinding binding = *found;
        packet.internal = binding.client;
        packet.external = binding.external;
        const auto attention = inspector.inspectPortless(now, direction, packet, fresh);
        settle(fresh);
        arrival.delivered = attention.fate == Attention::Fate::Pass;
        arrival.reason = attention.reason;
        arrival.to = outbound ? server : binding.client;
        if (!outbound && binding.rewriteInbound) arrival.callId = binding.rewriteInbound->value;
        return arrival;
    }
    Arrival fromServer(const Bytes& payload)
    {
        return send(Direction::Inbound, {}, kExternal, kServer, payload);
    }
    Arrival fromClient(net::Ipv4Address internal, const Bytes& payload)
    {
        return send(Direction::Outbound, internal, kExternal, kServer, payload);
    }

    [[nodiscard]] std::vector<tunnel::Observation> observed(tunnel::Observation::Kind kind) const
    {
        std::vector<tunnel::Observation> found;
        for (const auto& observation : actions.observations) {
            if (observation.kind == kind) found.push_back(observation);
        }
        return found;
    }
    [[nodiscard]] bool found(tunnel::FindingKind kind) const
    {
        return std::ranges::any_of(actions.observations, [&](const auto& observation) {
            return observation.kind == tunnel::Observation::Kind::Finding &&
                   observation.finding == kind;
        });
    }
    [[nodiscard]] bool reached(tunnel::Phase phase) const
    {
        return std::ranges::any_of(actions.observations, [&](const auto& observation) {
            return observation.kind == tunnel::Observation::Kind::Phase &&
                   observation.phase == phase;
        });
    }
};

/// One control connection through the inspector; keeps what each side receives.
struct Connection {
    Rig& rig;
    Flow flow;
    std::array<std::uint32_t, 2> next{0xffffff00U, 0x7ffffff0U};  ///< outbound wraps on the way
    std::array<std::uint32_t, 2> start = next;
    std::array<Bytes, 2> received;
    std::array<std::map<std::uint32_t, std::uint8_t>, 2> early;  ///< by position
    bool claimed = false;
    bool refused = false;
    bool ignored = false;
    std::vector<DropReason> drops;
    struct Held {
        Direction direction;
        std::uint32_t sequence;
        Bytes bytes;
    };
    std::map<std::uint32_t, Held> held;  ///< by token

    explicit Connection(Rig& theRig, net::Ipv4Address internal = kClient,
                        net::Ipv4Address server = kServer,
                        Direction initiator = Direction::Outbound,
                        net::Ipv4Address external = kExternal, std::uint16_t port = 1723)
        : rig(theRig)
    {
        flow.id = ++rig.lastFlow;
        flow.protocol = net::IpProtocol::Tcp;
        const net::Port high{static_cast<std::uint16_t>(40000 + flow.id)};
        const bool outbound = initiator == Direction::Outbound;
        flow.internal = {internal, outbound ? high : net::Port{port}};
        flow.external = {external, outbound ? high : net::Port{port}};
        flow.remote = {server, outbound ? net::Port{port} : high};
        flow.initiator = initiator;
        show(initiator, next[std::size_t(initiator)] - 1, {}, 2);
        const Direction back = net::opposite(initiator);
        show(back, next[std::size_t(back)] - 1, {}, 18);
    }

    Attention show(Direction direction, std::uint32_t sequence, wire::ConstBytes payload,
                   std::uint8_t flags = 16)
    {
        const Segment segment{direction, payload, sequence, flags, {}};
        Actions fresh;
        if (refused || ignored) {
            accept(direction, sequence, Bytes(payload.begin(), payload.end()));
            return {};
        }
        if (!claimed) {
            const auto claim = rig.inspector.consider(rig.now, flow, segment);
            claimed = claim == Inspector::Claim::Claimed;
            refused = claim == Inspector::Claim::NotMine;
        }
        Attention attention;
        if (claimed) attention = rig.inspector.inspect(rig.now, flow, segment, fresh);
        rig.settle(fresh);
        ignored = attention.next == Attention::Next::Ignore;
        if (attention.fate == Attention::Fate::Hold) {
            held[attention.holdToken] = {direction, sequence,
                                         Bytes(payload.begin(), payload.end())};
            return attention;
        }
        if (attention.fate != Attention::Fate::Pass) {
            drops.push_back(attention.reason);
            return attention;
        }
        Bytes bytes(payload.begin(), payload.end());
        for (const Edit& edit : fresh.edits) {
            std::copy_n(edit.bytes.begin(), edit.length,
                        bytes.begin() + static_cast<std::ptrdiff_t>(edit.offset));
        }
        accept(direction, sequence, bytes);
        for (const std::uint32_t token : fresh.releases) {
            const auto found = held.find(token);
            if (found == held.end()) continue;
            const Held packet = std::move(found->second);
            held.erase(found);
            show(packet.direction, packet.sequence, packet.bytes);
        }
        return attention;
    }

    /// A receiver that takes the first copy of every octet, in order or early.
    void accept(Direction direction, std::uint32_t sequence, const Bytes& bytes)
    {
        const auto way = std::size_t(direction);
        Bytes& stream = received[way];
        std::uint32_t at = sequence - start[way];
        if (early[way].empty() && at <= stream.size()) {
            for (std::size_t i = stream.size() - at; i < bytes.size(); ++i)
                stream.push_back(bytes[i]);
            return;
        }
        for (const std::uint8_t value : bytes)
            early[way].emplace(at++, value);
        while (true) {
            const auto octet = early[way].find(static_cast<std::uint32_t>(stream.size()));
            if (octet == early[way].end()) break;
            stream.push_back(octet->second);
        }
        std::erase_if(early[way], [&](const auto& octet) { return octet.first < stream.size(); });
    }

    /// Sends octets in segments of at most `size`.
    void send(Direction direction, const Bytes& bytes, std::size_t size = 1460)
    {
        for (std::size_t at = 0; at < bytes.size(); at += size) {
            const std::size_t length = std::min(size, bytes.size() - at);
            std::uint32_t& sequence = next[std::size_t(direction)];
            show(direction, sequence, wire::ConstBytes{bytes}.subspan(at, length));
            sequence += static_cast<std::uint32_t>(length);
        }
    }
    void out(const Bytes& bytes, std::size_t size = 1460)
    {
        send(Direction::Outbound, bytes, size);
    }
    void in(const Bytes& bytes, std::size_t size = 1460) { send(Direction::Inbound, bytes, size); }

    /// The 16 bits at `offset` of the last `length` octets that one side has received.
    [[nodiscard]] std::uint16_t idAt(Direction direction, std::size_t length,
                                     std::size_t offset) const
    {
        const Bytes& stream = received[std::size_t(direction)];
        return wire::load16(stream, stream.size() - length + offset);
    }

    void start_(std::size_t size = 1460)
    {
        const bool outbound = flow.initiator == Direction::Outbound;
        outbound ? out(startRequest(), size) : in(startRequest(), size);
        outbound ? in(startReply(), size) : out(startReply(), size);
    }
    /// A client inside dials; answers the Call ID that the server saw.
    std::uint16_t dial(std::uint16_t own, std::uint16_t remote, std::size_t size = 1460)
    {
        out(outgoingRequest(own), size);
        const std::uint16_t seen = idAt(Direction::Outbound, 168, 12);
        in(outgoingReply(remote, seen), size);
        return seen;
    }
};

inline constexpr std::uint16_t kOwn = 0x1234;
inline constexpr std::uint16_t kRemote = 0x4321;

/// Another device holds kOwn already.
inline void occupy(Rig& rig)
{
    Connection first(rig, client(99));
    first.start_();
    first.dial(kOwn, 0x1111);
}

}  // namespace pptp_test
