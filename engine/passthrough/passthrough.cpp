#include "engine/passthrough/passthrough.h"

#include "engine/passthrough/anyconnect.h"
#include "engine/passthrough/considered_flows.h"
#include "engine/passthrough/forticlient.h"
#include "engine/passthrough/globalprotect.h"
#include "engine/passthrough/gre.h"
#include "engine/passthrough/ipsec.h"
#include "engine/passthrough/l2tp.h"
#include "engine/passthrough/nebula.h"
#include "engine/passthrough/openvpn.h"
#include "engine/passthrough/pptp.h"
#include "engine/passthrough/recogniser.h"
#include "engine/passthrough/softether.h"
#include "engine/passthrough/tailscale.h"
#include "engine/passthrough/teredo.h"
#include "engine/passthrough/tinc.h"
#include "engine/passthrough/tls_peers.h"
#include "engine/passthrough/tls_tunnels.h"
#include "engine/passthrough/wireguard.h"
#include "engine/passthrough/zerotier.h"

#include <algorithm>
#include <array>
#include <bit>
#include <unordered_map>
#include <utility>
#include <vector>

namespace engine::passthrough {
namespace {

using policy::PassthroughMode;
using tunnel::Confidence;
using tunnel::Observation;

/// Ours: one refusal of a device, server and protocol is told per minute; the engine counts all.
constexpr Duration kRefusalTold = std::chrono::seconds(60);
constexpr std::size_t kMostRefusals = 1024;
/// Ours: how much of a packet proves a refusal.
constexpr std::size_t kProof = 40;
/// Ours: tunnels that are known to have been let in; far above what the NAT can hold.
constexpr std::size_t kMostAdmitted = 65536;
/// Ours: a flow whose other side stays silent is given up after this many packets. Enough for a
/// first message of some hundred octets that comes octet by octet.
constexpr std::uint32_t kPacketsOneWay = 16 * kPacketsConsidered;

constexpr Attention kIgnore{.next = Attention::Next::Ignore};
constexpr Attention kWatch{.next = Attention::Next::Watch};
constexpr Attention kSwitchedOff{.next = Attention::Next::Watch,
                                 .fate = Attention::Fate::Drop,
                                 .reason = DropReason::PassthroughOff};

/// How much of Actions was there before an inspector was asked.
class Mark {
public:
    explicit Mark(const Actions& actions)
        : m_edits(actions.edits.size()),
          m_bindings(actions.bindings.size()),
          m_unbindings(actions.unbindings.size()),
          m_aliases(actions.aliases.size()),
          m_attachments(actions.attachments.size()),
          m_observations(actions.observations.size())
    {}

    [[nodiscard]] std::size_t observations() const { return m_observations; }
    [[nodiscard]] std::size_t bindings() const { return m_bindings; }
    [[nodiscard]] std::size_t attachments() const { return m_attachments; }

    /// Takes back what has been asked for since. Held packets are not among it: they have to be
    /// released or discarded in any case.
    void undo(Actions& actions) const
    {
        actions.edits.resize(m_edits);
        actions.bindings.resize(m_bindings);
        actions.unbindings.resize(m_unbindings);
        actions.aliases.resize(m_aliases);
        actions.attachments.resize(m_attachments);
        actions.observations.resize(m_observations);
    }

private:
    std::size_t m_edits;
    std::size_t m_bindings;
    std::size_t m_unbindings;
    std::size_t m_aliases;
    std::size_t m_attachments;
    std::size_t m_observations;
};

/// A tunnel that was let in, while its switches said yes.
struct Admitted {
    std::uint32_t sessions = 0;   ///< flows and bindings of it
    std::uint32_t protocols = 0;  ///< what it has been called so far, one bit each
};
static_assert(net::kVpnProtocolCount <= 32);

std::uint32_t bitOf(net::VpnProtocol protocol)
{
    return std::uint32_t{1} << static_cast<std::uint32_t>(protocol);
}

/// Who has to be asked about the first packet of a flow; one bit for each inspector.
class Openings {
public:
    /// They must not be more than fit into 32 bits.
    explicit Openings(const std::vector<std::unique_ptr<Inspector>>& inspectors)
    {
        for (std::size_t i = 0; i < inspectors.size(); ++i) {
            const std::uint32_t bit = std::uint32_t{1} << i;
            const Inspector::Opening opening = inspectors[i]->opening();
            if (opening.tcp) m_tcp |= bit;
            if (!opening.udp) continue;
            m_udp |= bit;
            if (opening.remotePort != net::Port{}) {
                m_ports.push_back({opening.remotePort, bit});
            }
            for (std::size_t octet = 0; octet < m_octets.size(); ++octet) {
                if (opening.octets[octet]) m_octets[octet] |= bit;
            }
        }
    }

    [[nodiscard]] std::uint32_t of(const Flow& flow, const Segment& first) const
    {
        if (flow.protocol == net::IpProtocol::Tcp) return m_tcp;
        std::uint32_t asked = first.payload.empty() ? m_udp : m_octets[first.payload[0]];
        for (const auto& [port, inspector] : m_ports) {
            if (flow.remote.port != port) asked &= ~inspector;
        }
        return asked;
    }

private:
    std::uint32_t m_tcp = 0;
    std::uint32_t m_udp = 0;
    std::array<std::uint32_t, 256> m_octets{};
    struct OnPort {
        net::Port port;
        std::uint32_t inspector = 0;
    };
    std::vector<OnPort> m_ports;
};

struct Refusal {
    net::Ipv4Address device;
    net::Ipv4Address server;
    net::VpnProtocol protocol = net::VpnProtocol::Pptp;
    Instant told;
};

}  // namespace

struct Passthrough::State {
    explicit State(HashKey seed)
        : inspectors(makeInspectors(seed)), openings(inspectors), admittedKeys(0, KeyHash{seed})
    {}

    std::vector<std::unique_ptr<Inspector>> makeInspectors(HashKey seed)
    {
        std::vector<std::unique_ptr<Inspector>> all;
        all.push_back(std::make_unique<PptpInspector>(seed, policy, lan));
        // Before IPsec and L2TP: WARP speaks on their ports.
        all.push_back(std::make_unique<WireGuardRecogniser>(policy));
        all.push_back(std::make_unique<TailscaleRecogniser>(policy));
        all.push_back(std::make_unique<OpenVpnRecogniser>());
        all.push_back(std::make_unique<IpsecInspector>(seed, policy));
        all.push_back(std::make_unique<L2tpInspector>(seed, policy, lan));
        all.push_back(std::make_unique<GreInspector>(seed, policy, lan));
        all.push_back(std::make_unique<FortiClientRecogniser>(tlsPeers));
        all.push_back(std::make_unique<AnyConnectRecogniser>(tlsPeers));
        all.push_back(std::make_unique<TlsTunnelRecogniser>(tlsPeers, policy));
        all.push_back(std::make_unique<GlobalProtectRecogniser>(tlsPeers, policy));
        all.push_back(std::make_unique<ZeroTierRecogniser>(policy));
        all.push_back(std::make_unique<NebulaRecogniser>(policy));
        all.push_back(std::make_unique<TeredoRecogniser>(policy));
        all.push_back(std::make_unique<SoftEtherRecogniser>(policy));
        all.push_back(std::make_unique<TincRecogniser>());
        return all;
    }

    struct KeyHash {
        HashKey seed;
        std::size_t operator()(const tunnel::TunnelKey& key) const
        {
            const std::uint64_t pair =
                (std::uint64_t{key.device.hostOrder()} << 32) | key.server.hostOrder();
            return static_cast<std::size_t>(sipHash(seed, pair, key.discriminator));
        }
    };

    policy::PassthroughPolicy policy;
    net::Prefix lan;
    TlsPeers tlsPeers;
    /// In the order in which they are asked: those with the most exact signature first.
    std::vector<std::unique_ptr<Inspector>> inspectors;
    Openings openings;
    ConsideredFlows flows;
    /// Tunnels that were let in: what a switch that is turned to block later lets finish.
    std::unordered_map<tunnel::TunnelKey, Admitted, KeyHash> admittedKeys;
    std::vector<Refusal> refusals;

    [[nodiscard]] Inspector* ownerOf(net::IpProtocol protocol, wire::ConstBytes payload) const
    {
        for (const auto& inspector : inspectors) {
            if (inspector->owns(protocol, payload)) return inspector.get();
        }
        return nullptr;
    }

    /// One flow or binding more of a tunnel.
    void admit(const tunnel::TunnelKey& key)
    {
        if (admittedKeys.size() < kMostAdmitted || admittedKeys.contains(key)) {
            ++admittedKeys[key].sessions;
        }
    }
    /// Takes down what the inspector has asked for and said since `mark`, now that it is allowed.
    void admitAll(const Actions& actions, const Mark& mark)
    {
        for (std::size_t i = mark.bindings(); i < actions.bindings.size(); ++i) {
            if (!actions.bindings[i].renewal) admit(actions.bindings[i].key);
        }
        for (std::size_t i = mark.observations(); i < actions.observations.size(); ++i) {
            const Observation& label = actions.observations[i];
            if (label.kind != Observation::Kind::Label) continue;
            const auto found = admittedKeys.find(label.key);
            if (found != admittedKeys.end()) found->second.protocols |= bitOf(label.protocol);
        }
    }
    void dismiss(const tunnel::TunnelKey& key)
    {
        const auto found = admittedKeys.find(key);
        if (found != admittedKeys.end() && --found->second.sessions == 0) {
            admittedKeys.erase(found);
        }
    }

    /// Whether a label that has just been given is refused by its switch.
    [[nodiscard]] bool isRefused(const Observation& label, net::Ipv4Address device,
                                 net::Ipv4Address server) const
    {
        if (policy.modeFor(label.protocol, device, server) != PassthroughMode::Block) return false;
        if (label.confidence == Confidence::Guess && !isDeclared(policy, label.protocol, server)) {
            return false;
        }
        // A tunnel that shows only later what it is was let in under another name.
        const auto known = admittedKeys.find(label.key);
        return known == admittedKeys.end() ||
               (known->second.protocols & bitOf(label.protocol)) == 0;
    }

    /// The first label since `mark` that is refused, or null.
    [[nodiscard]] const Observation* refusedLabel(const Actions& actions, const Mark& mark,
                                                  net::Ipv4Address device,
                                                  net::Ipv4Address server) const
    {
        for (std::size_t i = mark.observations(); i < actions.observations.size(); ++i) {
            const Observation& observation = actions.observations[i];
            if (observation.kind == Observation::Kind::Label &&
                isRefused(observation, device, server)) {
                return &observation;
            }
        }
        return nullptr;
    }

    /// Replaces what an inspector wanted by the news that its tunnel was refused. Other flows that
    /// it has found to be of the same tunnel end with the one that was shown.
    void refuse(Instant now, const Observation& refused, const Mark& mark, FlowId shown,
                wire::ConstBytes packet, Actions& actions)
    {
        Observation label = refused;
        for (std::size_t i = mark.attachments(); i < actions.attachments.size(); ++i) {
            const FlowId other = actions.attachments[i].flow;
            if (other != shown) actions.refusals.push_back(other);
        }
        mark.undo(actions);
        if (!isWorthTelling(now, label)) return;
        Observation ended;
        ended.key = label.key;
        ended.kind = Observation::Kind::Ended;
        ended.phase = tunnel::Phase::Refused;
        ended.event = tunnel::EventKind::DroppedBySwitch;
        Observation cause = ended;
        cause.kind = Observation::Kind::Finding;
        cause.finding = tunnel::FindingKind::BlockedByOwnRule;
        cause.a = static_cast<std::uint32_t>(label.protocol);
        // The headers only: what follows may be a secret.
        const auto proof = packet.first(std::min(packet.size(), kProof));
        cause.packet.assign(proof.begin(), proof.end());
        actions.observations.push_back(std::move(label));
        actions.observations.push_back(std::move(cause));
        actions.observations.push_back(std::move(ended));
    }

    [[nodiscard]] bool isWorthTelling(Instant now, const Observation& label)
    {
        std::erase_if(refusals, [&](const Refusal& r) { return now - r.told >= kRefusalTold; });
        const bool known = std::ranges::any_of(refusals, [&](const Refusal& r) {
            return r.device == label.key.device && r.server == label.key.server &&
                   r.protocol == label.protocol;
        });
        if (known || refusals.size() >= kMostRefusals) return false;
        refusals.push_back({label.key.device, label.key.server, label.protocol, now});
        return true;
    }

    /// Tells everybody who has not decided yet, except the claimer, to forget the flow.
    void forgetUndecided(Instant now, ConsideredFlow& flow, FlowEnd end, Actions& actions)
    {
        for (std::size_t i = 0; i < inspectors.size(); ++i) {
            if (((flow.undecided >> i) & 1U) == 0 || i == flow.claimer) continue;
            inspectors[i]->flowClosed(now, flow.id, end, actions);
        }
        flow.undecided = 0;
    }

    /// `known` is what is remembered of the flow, if anything.
    Attention consider(Instant now, ConsideredFlow* known, const Flow& flow, const Segment& segment,
                       Actions& actions);
    Attention show(Instant now, ConsideredFlow& entry, const Flow& flow, const Segment& segment,
                   Actions& actions);
};

Passthrough::Passthrough(HashKey seed) : m_state(std::make_unique<State>(seed)) {}
Passthrough::~Passthrough() = default;

void Passthrough::setPolicy(const policy::PassthroughPolicy& policy)
{
    m_state->policy = policy;
}

void Passthrough::setInternalNetwork(const net::Prefix& lan)
{
    m_state->lan = lan;
}

const void* Passthrough::entryAhead(FlowId flow) const
{
    return m_state->flows.entryAhead(flow);
}

Attention Passthrough::inspect(Instant now, const Flow& flow, const Segment& segment,
                               Actions& actions)
{
    ConsideredFlow* const entry = m_state->flows.find(flow.id);
    if (entry == nullptr || entry->claimer == ConsideredFlow::kNobody) {
        return m_state->consider(now, entry, flow, segment, actions);
    }
    if (entry->blocked) return kSwitchedOff;
    return m_state->show(now, *entry, flow, segment, actions);
}

Attention Passthrough::State::consider(Instant now, ConsideredFlow* known, const Flow& flow,
                                       const Segment& segment, Actions& actions)
{
    std::uint32_t undecided = known != nullptr ? known->undecided : openings.of(flow, segment);
    std::uint8_t claimer = ConsideredFlow::kNobody;
    for (std::uint32_t rest = undecided; rest != 0 && claimer == ConsideredFlow::kNobody;
         rest &= rest - 1) {
        const auto i = static_cast<std::uint8_t>(std::countr_zero(rest));
        switch (inspectors[i]->consider(now, flow, segment)) {
        case Inspector::Claim::NotMine: undecided &= ~(std::uint32_t{1} << i); break;
        case Inspector::Claim::Undecided: break;
        case Inspector::Claim::Claimed: claimer = i; break;
        }
    }
    if (known == nullptr) {
        if (undecided == 0) return kIgnore;
        known = flows.insert(flow.id);
        if (known == nullptr) {
            // Full: somebody who has not been claimed gives way. If its next packet comes, it is
            // considered again from there.
            if (const FlowId victim = flows.nextUnclaimed(); victim != 0) {
                forgetUndecided(now, *flows.find(victim), FlowEnd::Evicted, actions);
                flows.erase(victim);
                known = flows.insert(flow.id);
            }
        }
        if (known == nullptr) {
            ConsideredFlow passing;
            passing.id = flow.id;
            passing.undecided = undecided;
            forgetUndecided(now, passing, FlowEnd::Evicted, actions);
            return kIgnore;
        }
    }
    known->undecided = undecided;
    if (claimer != ConsideredFlow::kNobody) {
        known->claimer = claimer;
        forgetUndecided(now, *known, FlowEnd::Closed, actions);
        return show(now, *known, flow, segment, actions);
    }
    const auto way = static_cast<std::size_t>(segment.direction);
    if (!segment.payload.empty() && known->seen[way] < 0xff) ++known->seen[way];
    const bool enough =
        (known->seen[0] >= kPacketsConsidered && known->seen[1] >= kPacketsConsidered) ||
        known->seen[way] >= kPacketsOneWay;
    if (undecided != 0 && !enough) return kWatch;
    forgetUndecided(now, *known, FlowEnd::Closed, actions);
    flows.erase(flow.id);
    return kIgnore;
}

Attention Passthrough::State::show(Instant now, ConsideredFlow& entry, const Flow& flow,
                                   const Segment& segment, Actions& actions)
{
    Inspector& inspector = *inspectors[entry.claimer];
    const Mark mark(actions);
    const Attention attention = inspector.inspect(now, flow, segment, actions);
    if (actions.observations.size() == mark.observations()) {
        admitAll(actions, mark);
        return attention;
    }
    const Observation* const refused =
        refusedLabel(actions, mark, flow.internal.address, flow.remote.address);
    if (refused != nullptr) {
        refuse(now, *refused, mark, flow.id, segment.packet, actions);
        Actions unheeded;
        inspector.flowClosed(now, flow.id, FlowEnd::Admin, unheeded);
        std::ranges::move(unheeded.discards, std::back_inserter(actions.discards));
        std::ranges::move(unheeded.releases, std::back_inserter(actions.discards));
        if (entry.admitted) dismiss(entry.key);
        entry.admitted = false;
        entry.blocked = true;
        return kSwitchedOff;
    }
    for (std::size_t i = mark.observations(); i < actions.observations.size(); ++i) {
        const Observation& observation = actions.observations[i];
        if (observation.kind != Observation::Kind::Label) continue;
        if (entry.admitted && entry.key == observation.key) continue;
        if (entry.admitted) dismiss(entry.key);
        entry.admitted = true;
        entry.key = observation.key;
        admit(entry.key);
    }
    admitAll(actions, mark);
    return attention;
}

void Passthrough::flowClosed(Instant now, FlowId flow, FlowEnd end, Actions& actions)
{
    ConsideredFlow* const found = m_state->flows.find(flow);
    if (found == nullptr) return;
    const ConsideredFlow entry = *found;
    m_state->flows.erase(flow);
    if (entry.admitted) m_state->dismiss(entry.key);
    if (entry.blocked) return;  // its inspector has forgotten it already
    if (entry.claimer != ConsideredFlow::kNobody) {
        m_state->inspectors[entry.claimer]->flowClosed(now, flow, end, actions);
        return;
    }
    ConsideredFlow passing = entry;
    m_state->forgetUndecided(now, passing, end, actions);
}

PortlessDecision Passthrough::decide(Instant now, net::Direction direction,
                                     const PortlessPacket& packet, Actions& actions)
{
    Inspector* const owner = m_state->ownerOf(packet.protocol, packet.payload);
    if (owner == nullptr) return {};
    const Mark mark(actions);
    const PortlessDecision decision = owner->decide(now, direction, packet, actions);
    const Observation* const refused =
        m_state->refusedLabel(actions, mark, packet.internal, packet.remote);
    if (refused != nullptr) {
        m_state->refuse(now, *refused, mark, 0, packet.packet, actions);
        PortlessDecision off;
        off.reason = DropReason::PassthroughOff;
        return off;
    }
    m_state->admitAll(actions, mark);
    return decision;
}

Attention Passthrough::inspectPortless(Instant now, net::Direction direction,
                                       const PortlessPacket& packet, Actions& actions)
{
    Inspector* const owner = m_state->ownerOf(packet.protocol, packet.payload);
    if (owner == nullptr) return kIgnore;
    const Mark mark(actions);
    const Attention attention = owner->inspectPortless(now, direction, packet, actions);
    m_state->admitAll(actions, mark);
    return attention;
}

void Passthrough::bindingClosed(Instant now, const PortlessBinding& binding, FlowEnd end,
                                Actions& actions)
{
    m_state->dismiss(binding.key);
    // Each inspector knows the bindings that it asked for.
    for (const auto& inspector : m_state->inspectors) {
        inspector->bindingClosed(now, binding, end, actions);
    }
}

std::optional<UdpRedirect> Passthrough::unmatchedUdp(Instant now, net::Endpoint external,
                                                     net::Endpoint remote, wire::ConstBytes payload,
                                                     Actions& actions)
{
    for (const auto& inspector : m_state->inspectors) {
        const auto redirect = inspector->unmatchedUdp(now, external, remote, payload, actions);
        if (redirect) return redirect;
    }
    return std::nullopt;
}

void Passthrough::portlessRefused(Instant now, const PortlessPacket& packet, Actions& actions)
{
    if (Inspector* const owner = m_state->ownerOf(packet.protocol, packet.payload)) {
        owner->portlessRefused(now, packet, actions);
    }
}

void Passthrough::handleTimeout(Instant now, Actions& actions)
{
    const Mark mark(actions);
    for (const auto& inspector : m_state->inspectors) {
        const auto due = inspector->nextTimeout();
        if (due && *due <= now) inspector->handleTimeout(now, actions);
    }
    m_state->admitAll(actions, mark);
}

void Passthrough::save(StateWriter& out) const
{
    for (const auto& inspector : m_state->inspectors) {
        StateWriter part;
        inspector->save(part);
        out.part(part);
    }
}

void Passthrough::bindingRestored(Instant now, const PortlessBinding& binding,
                                  net::VpnProtocol protocol)
{
    m_state->admit(binding.key);
    if (const auto known = m_state->admittedKeys.find(binding.key);
        known != m_state->admittedKeys.end()) {
        known->second.protocols |= bitOf(protocol);
    }
    for (const auto& inspector : m_state->inspectors) {
        inspector->bindingRestored(now, binding, protocol);
    }
}

bool Passthrough::restore(Instant now, StateReader& in, const RestoredFlows& flows)
{
    for (std::size_t i = 0; i < m_state->inspectors.size(); ++i) {
        StateReader part = in.part();
        std::vector<FlowId> claimed;
        if (in.failed()) return false;
        // An inspector that keeps nothing has written nothing.
        if (!m_state->inspectors[i]->restore(now, part, flows, claimed)) return false;
        if (!part.complete()) return false;
        for (const FlowId id : claimed) {
            if (m_state->flows.find(id) != nullptr) return false;
            ConsideredFlow* const entry = m_state->flows.insert(id);
            if (entry != nullptr) entry->claimer = static_cast<std::uint8_t>(i);
        }
    }
    return true;
}

Attention::Next Passthrough::flowRestored(FlowId flow, const tunnel::TunnelKey& key,
                                          net::VpnProtocol protocol, tunnel::Confidence confidence)
{
    ConsideredFlow* entry = m_state->flows.find(flow);
    const bool isClaimed = entry != nullptr;
    // What is not certain yet is looked at again, as if it were new.
    if (!isClaimed && confidence != Confidence::Certain) return Attention::Next::Watch;
    if (!isClaimed) entry = m_state->flows.insert(flow);
    if (entry == nullptr) return Attention::Next::Ignore;
    entry->admitted = true;
    entry->key = key;
    m_state->admit(key);
    if (const auto known = m_state->admittedKeys.find(key); known != m_state->admittedKeys.end()) {
        known->second.protocols |= bitOf(protocol);
    }
    return isClaimed ? Attention::Next::Watch : Attention::Next::Ignore;
}

std::optional<Instant> Passthrough::nextTimeout() const
{
    std::optional<Instant> next;
    for (const auto& inspector : m_state->inspectors) {
        const auto due = inspector->nextTimeout();
        if (due && (!next || *due < *next)) next = due;
    }
    return next;
}

}  // namespace engine::passthrough
