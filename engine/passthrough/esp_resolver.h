#pragma once

#include "engine/base/siphash.h"
#include "engine/base/state_block.h"
#include "engine/base/time.h"
#include "engine/net/direction.h"
#include "engine/passthrough/flow.h"
#include "engine/policy/passthrough_policy.h"
#include "engine/tunnel/observation.h"

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

namespace engine::passthrough {

/// Within such a pair several clients' ESP has to be told apart.
struct EspPair {
    net::Ipv4Address external;
    net::Ipv4Address server;
    friend constexpr auto operator<=>(const EspPair&, const EspPair&) = default;
};

/// Whose is an inbound ESP packet? The SPI in it was chosen by a client inside encrypted IKE, so
/// nobody in between can read it; it is inferred:
///
///  - IKE shows *when* a client's child SA comes into being. From then on the client is pending: an
///    unknown inbound SPI is expected for it. Two clients' last messages to one server are kept
///    apart by holding the second for a moment (gate()).
///  - One pending client: the SPI is its own. Several: whoever has just spoken on a new SA weighs
///    more; if that does not settle it, a few packets go to up to four of them (a client discards
///    what it has no SA for) until one reacts.
///  - A binding that was not beyond doubt is watched: if packets keep answering another pending
///    client, it is moved. One that is proven never is.
///  - Without IKE (manual keys, or an engine that has just started) outbound ESP on an SPI that
///    has no counterpart makes its sender pending.
///
/// Nothing is delivered that no pending client explains: an unknown SPI gets one try per pending
/// child SA at first sight, up to four if it has been seen twice in sequence; inbound packets
/// extend no deadline of an expectation. Each SPI is a port-less session of its own, one way. All
/// tables are bounded. Same calls, same answers.
class EspResolver {
public:
    /// The policy belongs to the caller and must outlive the resolver.
    EspResolver(HashKey seed, const policy::PassthroughPolicy& policy);

    // ---- what IKE on port 500 shows ----------------------------------------------------------

    /// The client speaks IKE with the server; its ESP counts for `key` from now on.
    void ikeSeen(Instant now, EspPair pair, net::Ipv4Address client, tunnel::TunnelKey key,
                 Actions& actions);
    void ikeGone(Instant now, EspPair pair, net::Ipv4Address client, Actions& actions);
    /// The client is about to send the message that lets the server make a child SA. A token means
    /// that it has to wait: it will appear in `releases` within 700 ms, together with what else of
    /// this client waits. `message` names it: a newer copy replaces a held one.
    std::optional<std::uint32_t> gate(Instant now, EspPair pair, net::Ipv4Address client,
                                      std::uint64_t message, Actions& actions);
    /// A child SA may exist from now on; `sure` once the exchange is complete.
    enum class Agreement : std::uint8_t { Possible, Complete };
    void childSa(Instant now, EspPair pair, net::Ipv4Address client, std::uint64_t exchange,
                 Agreement agreement);
    /// That exchange turned out to be about something else.
    void noChildSa(Instant now, EspPair pair, net::Ipv4Address client, std::uint64_t exchange);
    /// The client complained (an IKE notice right after a packet was tried on it).
    void complained(Instant now, EspPair pair, net::Ipv4Address client);
    /// A question and its answer were this far apart.
    void roundTrip(EspPair pair, Duration duration);

    // ---- ESP ---------------------------------------------------------------------------------

    PortlessDecision decide(Instant now, net::Direction direction, const PortlessPacket& packet,
                            Actions& actions);
    Attention watch(Instant now, net::Direction direction, const PortlessPacket& packet,
                    Actions& actions);
    void bindingClosed(Instant now, const PortlessBinding& binding);
    /// The client says by ICMP that it takes no such packet: this SPI is not its own, unless it has
    /// been proven before.
    void refused(Instant now, EspPair pair, net::Ipv4Address client, std::uint32_t spi,
                 Actions& actions);

    void handleTimeout(Instant now, Actions& actions);
    [[nodiscard]] std::optional<Instant> nextTimeout() const;

    // ---- across a restart --------------------------------------------------------------------

    void save(StateWriter& out) const;
    void bindingRestored(Instant now, const PortlessBinding& binding);
    void ikeRestored(EspPair pair, net::Ipv4Address client, tunnel::TunnelKey key);
    /// After the two above; false if that is no such state.
    bool restore(Instant now, StateReader& in);

    /// What is held in memory, for tests of the bounds.
    struct Sizes {
        std::size_t groups = 0;
        std::size_t hosts = 0;
        std::size_t spis = 0;
        std::size_t pendings = 0;
        std::size_t held = 0;
    };
    [[nodiscard]] Sizes sizes() const;

private:
    /// How sure a binding is, in the numbers of EventKind::SpiBound.
    enum class Grade : std::uint8_t { Guessed, Probable, Proven };

    struct OutboundSpi {
        std::uint32_t spi = 0;
        std::uint32_t partner = 0;  ///< the inbound SPI of the same child SA; 0: not known yet
        Instant first;
        Instant last;
        std::uint32_t packets = 0;
        bool asked = false;  ///< the NAT knows it
        bool watched = true;
        bool superseded = false;  ///< a newer child SA has come
    };
    struct Rival {
        net::Ipv4Address client;
        /// Packets that answer this client and not the owner, less those the other way round.
        std::int32_t lead = 0;
    };
    struct InboundSpi {
        std::uint32_t spi = 0;
        std::uint32_t partner = 0;
        Instant bound;
        Instant last;
        Grade grade = Grade::Guessed;
        bool confirmed = false;  ///< a second packet or a reaction followed
        bool superseded = false;
        bool alone = false;  ///< no other client was pending when it was bound
        bool asked = false;
        bool watched = true;
        // Sequence numbers seen: the highest and the 64 before it.
        std::uint32_t highest = 0;
        std::uint64_t window = 1;
        std::uint32_t restarts = 0;  ///< numbers that a single sender would not send
        bool recovered = false;      ///< was under way when it was first seen
        std::vector<Rival> rivals;
    };
    struct Pending {
        Instant since;
        Instant until;
        std::uint64_t exchange = 0;  ///< 0: not from IKE
        bool fromIke = false;
        bool complete = false;
        bool answered = false;  ///< the server has taken part
        std::uint8_t tries = 0;
        std::uint32_t tried = 0;  ///< the SPI bound for it, not confirmed yet
    };
    struct Host {
        net::Ipv4Address client;
        tunnel::TunnelKey key;
        bool ike = false;
        bool labelled = false;
        bool warned = false;  ///< of ESP that never returns
        Instant lastOutbound;
        std::array<Instant, 8> spoke{};  ///< the latest outbound packets, in a ring
        std::uint32_t spokeNext = 0;
        Instant lastUnpaired;  ///< last outbound packet on an SPI without partner

        std::uint32_t pairs = 0;
        std::uint64_t inboundPackets = 0;
        std::vector<OutboundSpi> outbound;
        std::vector<InboundSpi> inbound;
        std::vector<Pending> pendings;
    };
    struct Candidate {
        net::Ipv4Address client;
        std::int32_t score = 0;
    };
    /// An unknown SPI that several clients may own.
    struct Trial {
        std::uint32_t spi = 0;
        Instant first;
        Instant last;
        Instant since;  ///< what was spoken later is answered by the next packet
        std::uint32_t packets = 0;
        std::uint32_t highest = 0;
        std::vector<Candidate> candidates;
    };
    struct Held {
        net::Ipv4Address client;
        std::uint64_t message = 0;
        std::uint32_t token = 0;
        Instant deadline;
    };
    /// Two clients chose the same SPI: both get every packet.
    struct Shared {
        std::uint32_t spi = 0;
        std::vector<net::Ipv4Address> clients;
    };
    /// An SPI that a client has said is not its own.
    struct NotOwner {
        std::uint32_t spi = 0;
        net::Ipv4Address client;
    };
    struct Group {
        std::vector<NotOwner> notOwners;  ///< the latest few
        std::vector<Host> hosts;
        std::vector<Trial> trials;
        std::vector<Held> held;
        std::vector<Shared> shared;
        /// The shortest that IKE has shown. ESP's may be shorter, never longer: who answers IKE
        /// computes first.
        Duration ikeRoundTrip{0};
        /// As ESP itself suggests, by the ages below; at least 1 ns once it does.
        Duration espRoundTrip{0};
        /// How old the clients' packets are when one comes from the server.
        std::vector<std::uint16_t> ages;
        std::uint32_t agesCounted = 0;
        net::Ipv4Address turn;  ///< whose negotiation may finish; unspecified: anybody's
        Instant turnBegan;
        bool watching = true;
        bool askAgain = false;  ///< sessions that are not watched have to be again
    };
    /// An unknown SPI that was not let through at first sight.
    struct Sighting {
        EspPair pair;
        std::uint32_t spi = 0;
        std::uint32_t sequence = 0;
        Instant at;
    };

    Group* find(EspPair pair);
    enum class Claim : std::uint8_t { Unanswered, Answered };
    Group* findOrMake(EspPair pair, net::Ipv4Address client, Claim claim);
    [[nodiscard]] bool hasRoomForGroup(net::Ipv4Address client) const;
    static Host* hostOf(Group& group, net::Ipv4Address client);
    Host* makeHost(Group& group, EspPair pair, net::Ipv4Address client);

    [[nodiscard]] tunnel::TunnelKey keyOf(EspPair pair, net::Ipv4Address client) const;
    void tellHelperOff(Instant now, EspPair pair, const PortlessPacket& packet, Actions& actions);

    PortlessDecision decideOutbound(Instant now, const PortlessPacket& packet, Actions& actions);
    PortlessDecision decideInbound(Instant now, const PortlessPacket& packet, Actions& actions);
    PortlessDecision plainInbound(Instant now, EspPair pair, Host& host,
                                  const PortlessPacket& packet, Actions& actions);
    /// Takes back what was bound a moment ago if a packet of another SPI answers that client as
    /// well: both are tried.
    bool reopen(Instant now, EspPair pair, Group& group, Actions& actions);
    PortlessDecision tryAll(Instant now, EspPair pair, Group& group, Trial& trial,
                            std::uint32_t sequence, Actions& actions);

    std::vector<Candidate> candidatesFor(Instant now, const Group& group, EspPair pair,
                                         std::uint32_t sequence) const;
    /// Takes out those who have said that this SPI is not theirs.
    static void dropNotOwners(const Group& group, std::uint32_t spi,
                              std::vector<Candidate>& candidates);
    [[nodiscard]] static std::int32_t weightOf(Instant now, const Group& group, const Host& host);
    /// How well a packet from the server fits as the answer to one of the client's since `since`.
    enum class Fit : std::uint8_t { None, Loose, Tight };
    [[nodiscard]] static Fit fitOf(Instant now, const Group& group, const Host& host,
                                   Instant since);
    static void estimateRoundTrip(Instant now, Group& group);
    /// The best that is known of the round trip.
    [[nodiscard]] static Duration tripOf(const Group& group);
    /// How far the client's best packet is from one round trip ago.
    [[nodiscard]] static Duration distanceOf(Instant now, const Group& group, const Host& host);
    [[nodiscard]] bool isTurnedOff(const Host& host, EspPair pair) const;
    [[nodiscard]] bool mayTryAtOnce(const Group& group) const;
    bool sawBefore(Instant now, EspPair pair, std::uint32_t spi, std::uint32_t sequence);

    void bind(Instant now, EspPair pair, Group& group, Host& host, std::uint32_t spi,
              std::uint32_t sequence, Grade grade, bool alone, Actions& actions);
    void confirm(Instant now, EspPair pair, Group& group, Host& host, InboundSpi& inbound,
                 Grade grade, Actions& actions);
    void react(Instant now, EspPair pair, Group& group, Host& host, Actions& actions);
    [[nodiscard]] static bool isUnresolved(const Host& host);
    void move(Instant now, EspPair pair, Group& group, Host& from, Host& to, std::uint32_t spi,
              Actions& actions);
    void share(Instant now, EspPair pair, Group& group, Host& owner, Host& rival, std::uint32_t spi,
               Actions& actions);
    void makePartners(Host& host, EspPair pair, OutboundSpi& outbound, InboundSpi& inbound,
                      Actions& actions);
    void watchInbound(Instant now, EspPair pair, Group& group, Host& host, std::uint32_t spi,
                      std::uint32_t sequence, Actions& actions);
    void watchOutbound(Instant now, EspPair pair, Group& group, Host& host, std::uint32_t spi,
                       Actions& actions);
    void weighEvidence(Instant now, EspPair pair, Group& group, Host& host, InboundSpi& inbound,
                       Instant previous, Actions& actions);

    void addPending(Instant now, Host& host, std::uint64_t exchange, bool complete);
    [[nodiscard]] bool hasRoomForPending(const Host& host, Claim claim) const;
    void erasePending(Host& host, std::size_t index);
    void expire(Instant now, Group& group, Actions& actions);
    [[nodiscard]] static Instant turnEnd(const Group& group);
    void passTurn(Instant now, Group& group, net::Ipv4Address client, Actions& actions);
    void release(Instant now, Group& group, net::Ipv4Address client, Actions& actions);
    /// Erases hosts that nothing holds any more; the only thing that moves hosts.
    void sweep(Group& group);
    /// Decides whether the group's sessions have to be watched.
    void watchAgain(EspPair pair, Group& group, Actions& actions);
    void settle(Instant now, Group& group);

    void askOutbound(const Host& host, EspPair pair, OutboundSpi& spi, Actions& actions);
    void askInbound(const Host& host, EspPair pair, InboundSpi& spi, Actions& actions);
    static void dropInbound(const Host& host, EspPair pair, std::uint32_t spi, Actions& actions);

    HashKey m_seed;
    const policy::PassthroughPolicy& m_policy;
    std::map<EspPair, Group> m_groups;
    std::vector<Sighting> m_sightings;
    std::size_t m_pendings = 0;
    std::size_t m_unansweredPendings = 0;
    std::map<net::Ipv4Address, std::uint32_t> m_pendingsOf;
    std::map<net::Ipv4Address, std::uint32_t> m_groupsOf;
    std::size_t m_held = 0;
    /// Hold tokens count from here, so that they differ from other inspectors'.
    std::uint32_t m_lastToken = 0x45535000;
    std::map<std::pair<net::Ipv4Address, EspPair>, Instant> m_helperOffTold;
    std::optional<Instant> m_tidyAt;
};

}  // namespace engine::passthrough
