#pragma once

#include "engine/base/random.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "tests/engine/passthrough/ipsec_nat.h"

/// IPsec clients, one gateway and a NAT in virtual time. Written from the RFCs' message flows, not
/// from the inspector.
namespace ipsecworld {

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
