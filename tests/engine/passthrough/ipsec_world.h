#pragma once

#include "engine/passthrough/ike.h"
#include "engine/passthrough/ipsec.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

/// IPsec clients, one gateway and a NAT that does what engine::passthrough asks of it, in virtual
/// time. Written from the RFCs' message flows, not from the inspector.
namespace ipsecworld {

using namespace engine;
using namespace engine::passthrough;
using namespace std::chrono_literals;
using net::Direction;
using Bytes = std::vector<std::uint8_t>;

inline constexpr net::Ipv4Address kServer{203, 0, 113, 10};
inline constexpr net::Ipv4Address kExternal{198, 51, 100, 2};
inline constexpr HashKey kSeed{0x0123456789abcdefU, 0xfedcba9876543210U};

inline net::Ipv4Address clientAddress(std::size_t index)
{
    return net::Ipv4Address{192, 168, 77, static_cast<std::uint8_t>(10 + index)};
}

// ---- bytes --------------------------------------------------------------------------------------

inline void append(Bytes& to, const Bytes& more)
{
    to.insert(to.end(), more.begin(), more.end());
}
inline Bytes number(std::uint64_t value, int octets)
{
    Bytes bytes;
    for (int shift = (octets - 1) * 8; shift >= 0; shift -= 8) {
        bytes.push_back(static_cast<std::uint8_t>(value >> shift));
    }
    return bytes;
}

struct IkeMessage {
    std::uint64_t initiatorSpi = 0;
    std::uint64_t responderSpi = 0;
    std::uint8_t version = 2;
    std::uint8_t exchange = 34;
    std::uint8_t flags = 0;
    std::uint32_t messageId = 0;
    /// Type and body of each payload; an empty list gives an encrypted body of 64 octets.
    std::vector<std::pair<std::uint8_t, Bytes>> payloads;
    std::size_t padding = 64;
};

inline Bytes build(const IkeMessage& message)
{
    Bytes body;
    for (std::size_t i = 0; i < message.payloads.size(); ++i) {
        const bool last = i + 1 == message.payloads.size();
        body.push_back(last ? 0 : message.payloads[i + 1].first);
        body.push_back(0);
        append(body, number(message.payloads[i].second.size() + 4, 2));
        append(body, message.payloads[i].second);
    }
    std::uint8_t first = message.version == 2 ? 46 : 8;
    if (!message.payloads.empty()) {
        first = message.payloads.front().first;
    } else {
        body.assign(message.padding, 0xa5);
        // What is encrypted differs from message to message.
        append(body, number(message.initiatorSpi * 31 + message.messageId * 7 + message.exchange +
                                message.flags,
                            8));
        if (message.version == 2) {
            body[0] = 0;
            body[1] = 0;
            body[2] = static_cast<std::uint8_t>(body.size() >> 8);
            body[3] = static_cast<std::uint8_t>(body.size());
        }
    }
    Bytes bytes = number(message.initiatorSpi, 8);
    append(bytes, number(message.responderSpi, 8));
    bytes.push_back(first);
    bytes.push_back(static_cast<std::uint8_t>(message.version << 4));
    bytes.push_back(message.exchange);
    bytes.push_back(message.flags);
    append(bytes, number(message.messageId, 4));
    append(bytes, number(28 + body.size(), 4));
    append(bytes, body);
    return bytes;
}

inline Bytes withMarker(const Bytes& message)
{
    Bytes bytes(4, 0);
    append(bytes, message);
    return bytes;
}

inline Bytes esp(std::uint32_t spi, std::uint32_t sequence, std::size_t size = 64)
{
    Bytes bytes = number(spi, 4);
    append(bytes, number(sequence, 4));
    bytes.resize(bytes.size() + size, 0x5c);
    return bytes;
}

inline Bytes notify(std::uint16_t type, const Bytes& data = {})
{
    Bytes bytes{0, 0};
    append(bytes, number(type, 2));
    append(bytes, data);
    return bytes;
}

// ---- the NAT ------------------------------------------------------------------------------------

/// Does what the contract says a NAT does with Actions and decisions.
class FakeNat {
public:
    explicit FakeNat(const policy::PassthroughPolicy& policy) : m_policy(policy) { restart(); }

    /// A new engine: no session, nothing learnt.
    void restart()
    {
        inspector = std::make_unique<IpsecInspector>(kSeed, m_policy);
        sessions.clear();
        heldUdp.clear();
        m_flows.clear();
    }

    using SendUdp = std::function<void(std::size_t client, const Bytes&)>;
    std::unique_ptr<IpsecInspector> inspector;
    std::vector<tunnel::Observation> observations;
    /// Client and the datagram that was held and may leave now.
    std::function<void(std::size_t, Bytes)> released;
    std::size_t heldCount = 0;
    Duration longestHold{0};
    std::size_t refusedBindings = 0;
    std::array<std::uint64_t, kDropReasonCount> drops{};

    struct Session {
        std::size_t client = 0;
        PortlessBinding binding;
        Instant last;
        bool watch = false;
    };
    /// By direction and SPI; outbound by client too, since servers choose those.
    std::map<std::tuple<Direction, std::uint32_t, std::size_t>, Session> sessions;

    Flow flowOf(std::size_t client, std::uint16_t remotePort = 500) const
    {
        Flow flow;
        flow.id = 1000 + client * 10 + (remotePort == 4500 ? 1 : 0);
        flow.internal = {clientAddress(client), net::Port{remotePort}};
        flow.external = {kExternal, externalPort(client, remotePort)};
        flow.remote = {kServer, net::Port{remotePort}};
        return flow;
    }
    static net::Port externalPort(std::size_t client, std::uint16_t remotePort)
    {
        if (client == 0) return net::Port{remotePort};
        return net::Port{static_cast<std::uint16_t>(20000 + client * 10 + remotePort % 7)};
    }

    /// Whether the datagram travels on at once.
    bool udp(Instant now, std::size_t client, Direction direction, const Bytes& payload,
             std::uint16_t remotePort = 500)
    {
        const Flow flow = flowOf(client, remotePort);
        Segment segment;
        segment.direction = direction;
        segment.payload = payload;
        segment.packet = payload;
        actions.clear();
        if (m_flows.insert(flow.id).second) {
            if (inspector->consider(now, flow, segment) != Inspector::Claim::Claimed) return true;
        }
        attention = inspector->inspect(now, flow, segment, actions);
        if (attention.fate == Attention::Fate::Hold) {
            heldUdp[attention.holdToken] = {client, payload, now};
            ++heldCount;
        }
        perform(now, client);
        return attention.fate == Attention::Fate::Pass;
    }

    bool espOutbound(Instant now, std::size_t client, const Bytes& payload)
    {
        const std::uint32_t spi = wire::load32(payload, 0);
        const auto known = sessions.find({Direction::Outbound, spi, client});
        PortlessPacket packet = portless(payload);
        packet.internal = clientAddress(client);
        actions.clear();
        if (known != sessions.end()) {
            known->second.last = now;
            if (!known->second.watch) return true;
            const Attention seen =
                inspector->inspectPortless(now, Direction::Outbound, packet, actions);
            known->second.watch = seen.next == Attention::Next::Watch;
            perform(now, client);
            return true;
        }
        const auto decision = inspector->decide(now, Direction::Outbound, packet, actions);
        perform(now, client);
        if (decision.kind == PortlessDecision::Kind::Drop) count(decision.reason);
        return decision.kind == PortlessDecision::Kind::Deliver;
    }

    enum class Way : std::uint8_t { Dropped, One, Copies };
    struct Delivery {
        Way way = Way::Dropped;
        std::vector<std::size_t> clients;
        DropReason reason = DropReason::EspNoOwner;
    };
    Delivery espInbound(Instant now, const Bytes& payload)
    {
        const std::uint32_t spi = wire::load32(payload, 0);
        PortlessPacket packet = portless(payload);
        actions.clear();
        const auto known = sessions.find({Direction::Inbound, spi, 0});
        if (known != sessions.end()) {
            Session& session = known->second;
            session.last = now;
            const std::size_t client = session.client;
            if (session.watch) {
                packet.internal = clientAddress(client);
                const Attention seen =
                    inspector->inspectPortless(now, Direction::Inbound, packet, actions);
                session.watch = seen.next == Attention::Next::Watch;
                perform(now, client);
                // Moved meanwhile: the packet is nobody's for the moment.
                if (!sessions.contains({Direction::Inbound, spi, 0}))
                    return decideInbound(now, packet);
            }
            return {Way::One, {client}, {}};
        }
        return decideInbound(now, packet);
    }
    Delivery decideInbound(Instant now, PortlessPacket packet)
    {
        packet.internal = {};
        actions.clear();
        const auto decision = inspector->decide(now, Direction::Inbound, packet, actions);
        perform(now);
        Delivery delivery;
        if (decision.kind == PortlessDecision::Kind::Drop) {
            count(decision.reason);
            delivery.reason = decision.reason;
            return delivery;
        }
        delivery.way = decision.kind == PortlessDecision::Kind::Deliver ? Way::One : Way::Copies;
        for (std::size_t i = 0; i < decision.recipientCount; ++i) {
            delivery.clients.push_back(indexOf(decision.recipients[i]));
        }
        return delivery;
    }

    void timeout(Instant now)
    {
        actions.clear();
        inspector->handleTimeout(now, actions);
        perform(now);
    }

    /// Sessions that have been idle too long end.
    void expire(Instant now)
    {
        for (auto it = sessions.begin(); it != sessions.end();) {
            const Duration idle =
                it->second.binding.idle == Duration{0} ? Duration{1h} : it->second.binding.idle;
            if (now - it->second.last < idle) {
                ++it;
                continue;
            }
            const PortlessBinding ended = it->second.binding;
            it = sessions.erase(it);
            Actions after;
            inspector->bindingClosed(now, ended, FlowEnd::Expired, after);
            std::swap(actions, after);
            perform(now, indexOf(ended.client));
        }
    }

    [[nodiscard]] std::optional<std::size_t> ownerOf(std::uint32_t inboundSpi) const
    {
        const auto known = sessions.find({Direction::Inbound, inboundSpi, 0});
        if (known == sessions.end()) return std::nullopt;
        return known->second.client;
    }

    Actions actions;
    Attention attention;

    static std::size_t indexOf(net::Ipv4Address client)
    {
        return (client.hostOrder() & 0xffU) - 10;
    }

private:
    struct HeldUdp {
        std::size_t client = 0;
        Bytes payload;
        Instant since;
    };
    static PortlessPacket portless(const Bytes& payload)
    {
        PortlessPacket packet;
        packet.protocol = net::IpProtocol::Esp;
        packet.external = kExternal;
        packet.remote = kServer;
        packet.payload = payload;
        packet.packet = payload;
        return packet;
    }
    void count(DropReason reason) { ++drops[static_cast<std::size_t>(reason)]; }

    void perform(Instant now, std::optional<std::size_t> shown = std::nullopt)
    {
        // Performing may bring up further actions (a session's end).
        const Actions todo = actions;
        for (const PortlessUnbinding& wish : todo.unbindings) {
            const std::size_t client = indexOf(wish.client);
            const auto known = sessions.find(
                {wish.outbound ? Direction::Outbound : Direction::Inbound,
                 wish.outbound ? wish.outbound->id : wish.inbound->id, wish.outbound ? client : 0});
            if (known == sessions.end() || known->second.client != client) continue;
            const PortlessBinding ended = known->second.binding;
            sessions.erase(known);
            actions.clear();
            inspector->bindingClosed(now, ended, FlowEnd::Closed, actions);
            perform(now, client);
        }
        for (const PortlessBinding& wish : todo.bindings) {
            const std::size_t client = indexOf(wish.client);
            const bool sound = wish.protocol == net::IpProtocol::Esp && wish.server == kServer &&
                               wish.external == kExternal && client < 32 &&
                               wish.outbound.has_value() != wish.inbound.has_value();
            // A NAT does nothing for another client than the one whose packet it has shown.
            if (shown && *shown != client) continue;
            const auto direction = wish.outbound ? Direction::Outbound : Direction::Inbound;
            if (!sound) {
                ++refusedBindings;
                continue;
            }
            const auto key =
                std::tuple{direction, wish.outbound ? wish.outbound->id : wish.inbound->id,
                           wish.outbound ? client : 0};
            const auto known = sessions.find(key);
            if (known != sessions.end() && known->second.client != client) {
                ++refusedBindings;  // somebody else's
                continue;
            }
            Session& session = sessions[key];
            if (known == sessions.end()) session.last = now;
            session.client = client;
            session.binding = wish;
            session.watch = wish.watch;
        }
        for (const auto& observation : todo.observations)
            observations.push_back(observation);
        for (const std::uint32_t token : todo.discards)
            heldUdp.erase(token);
        for (const std::uint32_t token : todo.releases) {
            const auto held = heldUdp.find(token);
            if (held == heldUdp.end()) continue;
            const HeldUdp packet = held->second;
            heldUdp.erase(held);
            longestHold = std::max(longestHold, now - packet.since);
            if (released) released(packet.client, packet.payload);
        }
    }

    const policy::PassthroughPolicy& m_policy;
    std::map<std::uint32_t, HeldUdp> heldUdp;
    std::set<FlowId> m_flows;
};

// ---- the world ----------------------------------------------------------------------------------

struct Habits {
    std::uint8_t version = 2;
    std::size_t clients = 8;
    Duration stagger{0};
    Duration roundTrip = 20ms;
    Duration computing{0};  ///< what the gateway's IKE answers take longer than its ESP, at most
    Duration shortestPeriod = 500ms;  ///< between a client's requests
    Duration longestPeriod = 5s;
    Duration shortestRekey = 40min;
    Duration longestRekey = 60min;
    Duration ikeRekey{0};  ///< version 2: the IKE SA's own; 0: never
    bool pushes = true;    ///< the server sends without being asked, now and then
    bool ike = true;       ///< else manual keys
    bool sameSpi = false;  ///< clients 0 and 1 choose the same inbound SPI
};

class World {
public:
    World(const Habits& wanted, const policy::PassthroughPolicy& policy, std::uint64_t seed)
        : habits(wanted), nat(policy), m_random(HashKey{seed, 42})
    {
        nat.released = [this](std::size_t client, const Bytes& payload) {
            toGateway(client, payload);
        };
        for (std::size_t i = 0; i < habits.clients; ++i) {
            Client& client = clients.emplace_back();
            client.index = i;
            client.spiI = 0x1000 + m_random.next();
            const Duration start = 1s + habits.stagger * static_cast<int>(i);
            if (habits.ike) {
                after(start, [this, i] { startIke(i); });
            } else {
                clients[i].sas.push_back(newSa(i));
                clients[i].sas.back().server = clients[i].sas.back().client = true;
                after(start, [this, i] { talk(i); });
            }
        }
        after(60s, [this] { purge(); });
    }

    struct Sa {
        std::uint32_t outbound = 0;
        std::uint32_t inbound = 0;
        std::uint32_t sentOut = 0;
        std::uint32_t sentIn = 0;
        bool client = false;  ///< the client has it
        bool server = false;
        bool serverUses = false;
        Instant firstInbound;
        Instant healed;
        std::size_t owner = 0;
        bool firstRight = true;
    };
    struct Client {
        std::size_t index = 0;
        std::uint64_t spiI = 0;
        std::uint64_t spiR = 0;
        std::uint32_t messageId = 0;
        std::uint32_t attempt = 0;
        std::vector<Sa> sas;
        std::uint64_t requests = 0;
        std::uint64_t answers = 0;
        std::uint32_t rekeys = 0;
        bool up = false;
        bool serverInitiated = false;
        bool talking = false;
    };

    Habits habits;
    FakeNat nat;
    std::vector<Client> clients;
    Instant now{1h};

    // What happened to inbound ESP.
    std::uint64_t right = 0;
    std::uint64_t wrongAlone = 0;  ///< to another client only
    std::uint64_t copies = 0;      ///< tried on another client besides
    std::uint64_t lost = 0;
    std::uint64_t sasSeen = 0;
    std::uint64_t sasFirstRight = 0;
    std::uint64_t sasLate = 0;  ///< not right within five seconds of their first packet
    Duration slowest{0};

    void runFor(Duration duration)
    {
        const Instant end = now + duration;
        while (true) {
            const auto due = nat.inspector->nextTimeout();
            const bool any = !m_events.empty();
            const Instant next = any ? m_events.begin()->first.first : end;
            if (due && *due <= std::min(next, end)) {
                now = std::max(now, *due);
                nat.timeout(now);
                continue;
            }
            if (!any || next > end) break;
            now = next;
            const auto event = m_events.begin()->second;
            m_events.erase(m_events.begin());
            event();
        }
        now = end;
    }

    void after(Duration duration, std::function<void()> what)
    {
        m_events.emplace(std::pair{now + duration, ++m_order}, std::move(what));
    }
    Duration between(Duration low, Duration high)
    {
        const auto span = static_cast<std::uint64_t>((high - low).count()) + 1;
        return low + Duration{static_cast<std::int64_t>(m_random.next() % span)};
    }
    Random& random() { return m_random; }

    void rekey(std::size_t index)
    {
        Client& client = clients[index];
        if (!client.up) return;
        client.serverInitiated = m_random.below(2) == 0;
        startChild(index);
    }

    /// Inbound ESP of an SA, sent by the gateway.
    void serverSends(std::size_t index)
    {
        Client& client = clients[index];
        // The newest SA that the gateway uses.
        Sa* sa = nullptr;
        for (Sa& candidate : client.sas) {
            if (candidate.server && (candidate.serverUses || sa == nullptr)) sa = &candidate;
        }
        if (sa == nullptr) return;
        const std::uint32_t spi = sa->inbound;
        const Bytes packet = esp(spi, ++sa->sentIn);
        after(habits.roundTrip / 2, [this, index, spi, packet] { deliver(index, spi, packet); });
    }

private:
    Sa newSa(std::size_t owner)
    {
        Sa sa;
        sa.outbound = static_cast<std::uint32_t>(m_random.next()) | 0x100U;
        sa.inbound = static_cast<std::uint32_t>(m_random.next()) | 0x100U;
        if (habits.sameSpi && owner < 2) sa.inbound = 0xdeadbeef;
        sa.owner = owner;
        return sa;
    }

    void purge()
    {
        nat.expire(now);
        after(60s, [this] { purge(); });
    }

    // ---- traffic -----------------------------------------------------------------------------

    void talk(std::size_t index)
    {
        Client& client = clients[index];
        client.talking = true;
        Sa* sa = nullptr;
        for (Sa& candidate : client.sas) {
            if (candidate.client) sa = &candidate;
        }
        if (sa != nullptr) {
            ++client.requests;
            const std::uint32_t spi = sa->outbound;
            const Bytes packet = esp(spi, ++sa->sentOut);
            if (nat.espOutbound(now, index, packet)) {
                after(habits.roundTrip / 2, [this, index, spi] {
                    for (Sa& known : clients[index].sas) {
                        if (known.outbound == spi && known.server) known.serverUses = true;
                    }
                    after(between(0ms, 3ms), [this, index] { serverSends(index); });
                });
            }
        }
        after(between(habits.shortestPeriod, habits.longestPeriod), [this, index] { talk(index); });
    }

    void push(std::size_t index)
    {
        serverSends(index);
        after(between(20s, 90s), [this, index] { push(index); });
    }

    void deliver(std::size_t index, std::uint32_t spi, const Bytes& packet)
    {
        Client& owner = clients[index];
        const auto sa = std::ranges::find(owner.sas, spi, &Sa::inbound);
        if (sa == owner.sas.end()) return;
        const bool first = sa->firstInbound == Instant{};
        if (first) {
            sa->firstInbound = now;
            ++sasSeen;
        }
        const auto delivery = nat.espInbound(now, packet);
        bool reached = false;
        for (const std::size_t client : delivery.clients) {
            // With equal SPIs a copy to the other client is what is wanted.
            if (client == index) {
                reached = true;
            } else if (!habits.sameSpi) {
                if (delivery.way == FakeNat::Way::Copies) {
                    ++copies;
                } else {
                    ++wrongAlone;
                }
            }
        }
        if (reached) {
            ++right;
            ++owner.answers;
            if (sa->healed == Instant{}) {
                sa->healed = now;
                const Duration took = now - sa->firstInbound;
                slowest = std::max(slowest, took);
                if (took > 5s) ++sasLate;
            }
        } else {
            ++lost;
        }
        if (first && reached) ++sasFirstRight;
    }

    // ---- IKE ---------------------------------------------------------------------------------

    static constexpr std::uint8_t kInitiator = 0x08;
    static constexpr std::uint8_t kResponse = 0x20;
    static constexpr std::uint8_t kEncrypted1 = 0x01;

    struct Step {
        bool fromClient = true;
        std::uint8_t exchange = 34;
        std::uint8_t flags = 0;
        std::uint32_t messageId = 0;
        bool initial = false;
    };

    /// A negotiation is a list of messages; each is sent when the one before has arrived.
    struct Negotiation {
        std::vector<Step> steps;
        std::size_t at = 0;
        bool makesSa = true;
        std::uint32_t attempt = 0;
        Sa sa;
    };

    void startIke(std::size_t index)
    {
        Client& client = clients[index];
        client.spiR = m_random.next() | 1U;
        Negotiation negotiation;
        negotiation.sa = newSa(index);
        if (habits.version == 2) {
            negotiation.steps = {{true, 34, kInitiator, 0, true},
                                 {false, 34, kResponse, 0, false},
                                 {true, 35, kInitiator, 1, false},
                                 {false, 35, kResponse, 1, false}};
            client.messageId = 2;
        } else {
            const std::uint32_t quick = static_cast<std::uint32_t>(m_random.next()) | 1U;
            negotiation.steps = {{true, 2, 0, 0, true},
                                 {false, 2, 0, 0, false},
                                 {true, 2, 0, 0, false},
                                 {false, 2, 0, 0, false},
                                 {true, 2, kEncrypted1, 0, false},
                                 {false, 2, kEncrypted1, 0, false},
                                 {true, 32, kEncrypted1, quick, false},
                                 {false, 32, kEncrypted1, quick, false},
                                 {true, 32, kEncrypted1, quick, false}};
        }
        run(index, std::move(negotiation));
    }

    void startChild(std::size_t index)
    {
        Client& client = clients[index];
        Negotiation negotiation;
        negotiation.sa = newSa(index);
        const bool fromClient = !client.serverInitiated;
        if (habits.version == 2) {
            const std::uint32_t id = client.messageId++;
            const std::uint8_t mine = fromClient ? kInitiator : 0;
            const std::uint8_t yours = fromClient ? 0 : kInitiator;
            negotiation.steps = {
                {fromClient, 36, mine, id, false},
                {!fromClient, 36, static_cast<std::uint8_t>(yours | kResponse), id, false}};
        } else {
            const std::uint32_t quick = static_cast<std::uint32_t>(m_random.next()) | 1U;
            negotiation.steps = {{fromClient, 32, kEncrypted1, quick, false},
                                 {!fromClient, 32, kEncrypted1, quick, false},
                                 {fromClient, 32, kEncrypted1, quick, false}};
        }
        ++client.rekeys;
        run(index, std::move(negotiation));
    }

    void rekeyIke(std::size_t index)
    {
        Client& client = clients[index];
        Negotiation negotiation;
        negotiation.makesSa = false;
        const std::uint32_t id = client.messageId++;
        negotiation.steps = {{true, 36, kInitiator, id, false}, {false, 36, kResponse, id, false}};
        run(index, std::move(negotiation));
        after(between(habits.ikeRekey / 2, habits.ikeRekey), [this, index] { rekeyIke(index); });
    }

    void run(std::size_t index, Negotiation negotiation)
    {
        const auto current = m_negotiations.find(index);
        if (current != m_negotiations.end() && current->second.at < current->second.steps.size()) {
            after(5s, [this, index, negotiation] { run(index, negotiation); });
            return;
        }
        m_negotiations[index] = std::move(negotiation);
        send(index);
    }

    void send(std::size_t index)
    {
        Negotiation& negotiation = m_negotiations[index];
        const Step step = negotiation.steps[negotiation.at];
        const Client& client = clients[index];
        IkeMessage message;
        message.version = habits.version;
        message.initiatorSpi = client.spiI;
        message.responderSpi = step.initial ? 0 : client.spiR;
        message.exchange = step.exchange;
        message.flags = step.flags;
        message.messageId = step.messageId;
        message.padding = 64 + negotiation.at;
        const bool clear = step.exchange == 34 || (step.exchange == 2 && step.flags == 0);
        if (clear) {
            message.payloads = {{static_cast<std::uint8_t>(habits.version == 2 ? 40 : 10),
                                 Bytes(20 + negotiation.at, 0x77)}};
        }
        const Bytes bytes = build(message);
        const std::uint32_t attempt = ++negotiation.attempt;
        const std::size_t at = negotiation.at;
        // Retransmission by whoever waits.
        after(2s, [this, index, at, attempt] {
            Negotiation& current = m_negotiations[index];
            if (current.at == at && current.attempt == attempt && at < current.steps.size()) {
                send(index);
            }
        });
        if (step.fromClient) {
            if (nat.udp(now, index, Direction::Outbound, bytes)) toGateway(index, bytes);
        } else {
            const Duration computing = habits.computing == Duration{0}
                                           ? Duration{0}
                                           : between(habits.computing / 2, habits.computing);
            after(computing + habits.roundTrip / 2, [this, index, bytes, at] {
                nat.udp(now, index, Direction::Inbound, bytes);
                arrived(index, at);
            });
        }
    }

    void toGateway(std::size_t index, const Bytes&)
    {
        const std::size_t at = m_negotiations[index].at;
        after(habits.roundTrip / 2, [this, index, at] { arrived(index, at); });
    }

    void arrived(std::size_t index, std::size_t at)
    {
        Negotiation& negotiation = m_negotiations[index];
        if (negotiation.at != at || at >= negotiation.steps.size()) return;
        const bool last = at + 1 == negotiation.steps.size();
        const Step step = negotiation.steps[at];
        // Who has seen enough to make the SA? The server on the last message that it gets, the
        // client on the last that it gets.
        if (negotiation.makesSa) {
            bool more = false;
            for (std::size_t i = at + 1; i < negotiation.steps.size(); ++i) {
                more = more || negotiation.steps[i].fromClient == step.fromClient;
            }
            if (!more) install(index, negotiation.sa, step.fromClient);
            // The client that sends the last message has everything as soon as it sends it.
            if (last && step.fromClient) install(index, negotiation.sa, false);
        }
        ++negotiation.at;
        if (!last) send(index);
        if (last) finished(index);
    }

    void install(std::size_t index, const Sa& wanted, bool atServer)
    {
        Client& client = clients[index];
        auto sa = std::ranges::find(client.sas, wanted.outbound, &Sa::outbound);
        if (sa == client.sas.end()) {
            client.sas.push_back(wanted);
            sa = std::prev(client.sas.end());
        }
        const std::uint32_t spi = sa->outbound;
        if (atServer) {
            sa->server = true;
            // Some gateways use a new SA at once, others wait for the client to do so.
            if (client.sas.size() == 1 || m_random.below(2) == 0) sa->serverUses = true;
            after(5s, [this, index, spi] {
                for (Sa& known : clients[index].sas) {
                    if (known.outbound == spi) known.serverUses = true;
                }
            });
        } else {
            sa->client = true;
        }
    }

    void finished(std::size_t index)
    {
        Client& client = clients[index];
        client.up = true;
        if (!client.talking) {
            client.talking = true;
            after(between(1ms, 30ms), [this, index] { talk(index); });
            if (habits.pushes) after(between(1s, 60s), [this, index] { push(index); });
            if (habits.ikeRekey > Duration{0} && habits.version == 2) {
                after(between(habits.ikeRekey / 2, habits.ikeRekey),
                      [this, index] { rekeyIke(index); });
            }
            scheduleRekey(index);
        }
        // The SAs before the newest are deleted soon after.
        after(10s, [this, index] {
            auto& sas = clients[index].sas;
            while (sas.size() > 2)
                sas.erase(sas.begin());
        });
    }

    void scheduleRekey(std::size_t index)
    {
        after(between(habits.shortestRekey, habits.longestRekey), [this, index] {
            rekey(index);
            scheduleRekey(index);
        });
    }

    Random m_random;
    std::map<std::pair<Instant, std::uint64_t>, std::function<void()>> m_events;
    std::uint64_t m_order = 0;
    std::map<std::size_t, Negotiation> m_negotiations;
};

}  // namespace ipsecworld
