#pragma once

#include "engine/base/random.h"
#include "engine/base/state_block.h"
#include "engine/net/prefix.h"
#include "engine/passthrough/flow.h"
#include "engine/policy/passthrough_policy.h"

#include <array>
#include <bitset>
#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

namespace engine::passthrough {

/// Flows that live on under other names after a restart of the engine.
class RestoredFlows {
public:
    void add(FlowId before, const Flow& now) { m_flows.emplace(before, now); }
    /// Null: it has not come back.
    [[nodiscard]] const Flow* find(FlowId before) const
    {
        const auto found = m_flows.find(before);
        return found == m_flows.end() ? nullptr : &found->second;
    }

private:
    std::unordered_map<FlowId, Flow> m_flows;
};

/// The code of one VPN protocol (or family) that looks into packets. Implementations live in one
/// pair of files each. Sans-IO: same calls, same answers. Memory is bounded by each one itself.
class Inspector {
public:
    Inspector() = default;
    Inspector(const Inspector&) = delete;
    Inspector& operator=(const Inspector&) = delete;
    Inspector(Inspector&&) = delete;
    Inspector& operator=(Inspector&&) = delete;
    virtual ~Inspector() = default;

    /// Which flows may begin something of this inspector's: consider() is never asked about others,
    /// because it would answer NotMine to their first packet. Nearly every flow is ordinary, and
    /// asking everybody about its first packet would be a fifth of what a session costs.
    struct Opening {
        bool tcp = true;
        bool udp = true;
        net::Port remotePort{};  ///< of UDP; zero: any
        /// First octets of a UDP datagram.
        std::bitset<256> octets = std::bitset<256>{}.set();

        template <typename Wanted>
        void keepOctets(Wanted wanted)
        {
            for (unsigned octet = 0; octet < octets.size(); ++octet)
                octets[octet] = wanted(static_cast<std::uint8_t>(octet));
        }
    };
    [[nodiscard]] virtual Opening opening() const { return {}; }

    /// Asked for the first packets of a flow until somebody claims it. Claimed means: this is mine,
    /// show me (and nobody else) every further packet until I answer Ignore. NotMine is final.
    enum class Claim : std::uint8_t { NotMine, Undecided, Claimed };
    virtual Claim consider(Instant now, const Flow& flow, const Segment& segment) = 0;

    /// A packet of a flow that this inspector has claimed, starting with the one it claimed.
    virtual Attention inspect(Instant now, const Flow& flow, const Segment& segment,
                              Actions& actions) = 0;

    /// The flow is gone. Called once for each flow that was considered or claimed.
    virtual void flowClosed(Instant now, FlowId flow, FlowEnd end, Actions& actions) = 0;

    /// Which port-less packets this inspector decides about.
    [[nodiscard]] virtual bool owns(net::IpProtocol, wire::ConstBytes /*payload*/) const
    {
        return false;
    }
    /// A port-less packet that no session knows.
    virtual PortlessDecision decide(Instant, net::Direction, const PortlessPacket&, Actions&)
    {
        return {};
    }
    /// A packet of a port-less session made with `watch`. `internal` is the client.
    virtual Attention inspectPortless(Instant, net::Direction, const PortlessPacket&, Actions&)
    {
        return {};
    }
    /// A port-less session made by this inspector has ended.
    virtual void bindingClosed(Instant, const PortlessBinding&, FlowEnd, Actions&) {}

    /// An inbound UDP datagram to a port that no session or forward of ours answers for `remote`
    /// (only for 500 and 1701: IKE servers that insist on port 500, L2TP servers that always send
    /// to 1701). Names the flow whose client should get it: IKE by the initiator's cookie, L2TP by
    /// the header's tunnel ID.
    virtual std::optional<UdpRedirect> unmatchedUdp(Instant, net::Endpoint /*external*/,
                                                    net::Endpoint /*remote*/,
                                                    wire::ConstBytes /*payload*/, Actions&)
    {
        return std::nullopt;
    }

    /// The client `packet.internal` answers by ICMP that it has no use for an inbound port-less
    /// packet: `payload` is what the error quotes of it, at least eight octets.
    virtual void portlessRefused(Instant, const PortlessPacket&, Actions&) {}

    virtual void handleTimeout(Instant now, Actions& actions) = 0;
    [[nodiscard]] virtual std::optional<Instant> nextTimeout() const = 0;

    // Across a restart of the engine. What cannot be seen on the wire again has to be saved; what
    // can is left to recognition.

    virtual void save(StateWriter&) const {}
    /// A port-less session that this inspector had asked for lives on. Before restore().
    virtual void bindingRestored(Instant, const PortlessBinding&, net::VpnProtocol) {}
    /// Flows that it wants to be shown as before go to `claimed`. The block is hostile; false
    /// refuses it, and this inspector is then of no use any more.
    virtual bool restore(Instant, StateReader&, const RestoredFlows&,
                         std::vector<FlowId>& /*claimed*/)
    {
        return true;
    }
};

/// How many packets of each direction the recognisers may see before a flow counts as ordinary.
/// Ours: every signature of the catalogue needs fewer.
inline constexpr std::uint32_t kPacketsConsidered = 8;

/// The discriminator of a port-less packet in the given direction, for the session look-up; none if
/// it cannot be read. Pure.
[[nodiscard]] std::optional<Discriminator> discriminatorOf(net::IpProtocol protocol,
                                                           net::Direction direction,
                                                           wire::ConstBytes payload);

/// All inspectors together; the only thing the engine talks to. Takes care of who considers a flow,
/// of the switches (a Block drops and refuses here, in one place), and of forgetting flows.
class Passthrough {
public:
    explicit Passthrough(HashKey seed);
    ~Passthrough();
    Passthrough(const Passthrough&) = delete;
    Passthrough& operator=(const Passthrough&) = delete;
    Passthrough(Passthrough&&) = delete;
    Passthrough& operator=(Passthrough&&) = delete;

    void setPolicy(const policy::PassthroughPolicy& policy);
    /// The network of the internal side. Until it is told, nothing is compared with it.
    void setInternalNetwork(const net::Prefix& lan);

    /// A packet of a TCP or UDP session whose last Attention was not Ignore (new sessions: the
    /// first packet too).
    Attention inspect(Instant now, const Flow& flow, const Segment& segment, Actions& actions);
    void flowClosed(Instant now, FlowId flow, FlowEnd end, Actions& actions);
    /// Where inspect() will look first for what it knows of this flow: for prefetching.
    [[nodiscard]] const void* entryAhead(FlowId flow) const;

    PortlessDecision decide(Instant now, net::Direction direction, const PortlessPacket& packet,
                            Actions& actions);
    Attention inspectPortless(Instant now, net::Direction direction, const PortlessPacket& packet,
                              Actions& actions);
    void bindingClosed(Instant now, const PortlessBinding& binding, FlowEnd end, Actions& actions);
    /// Asks the inspectors in turn; the first that names a flow has it. See Inspector.
    std::optional<UdpRedirect> unmatchedUdp(Instant now, net::Endpoint external,
                                            net::Endpoint remote, wire::ConstBytes payload,
                                            Actions& actions);

    void portlessRefused(Instant now, const PortlessPacket& packet, Actions& actions);

    void handleTimeout(Instant now, Actions& actions);
    [[nodiscard]] std::optional<Instant> nextTimeout() const;

    void save(StateWriter& out) const;
    /// One port-less session lives on, as part of a tunnel of this protocol.
    void bindingRestored(Instant now, const PortlessBinding& binding, net::VpnProtocol protocol);
    /// After all bindings. False: damaged; nothing here is of use then.
    bool restore(Instant now, StateReader& in, const RestoredFlows& flows);
    /// One flow lives on, as part of this tunnel; after restore(). Ignore: nobody needs to see it.
    Attention::Next flowRestored(FlowId flow, const tunnel::TunnelKey& key,
                                 net::VpnProtocol protocol, tunnel::Confidence confidence);

private:
    struct State;
    std::unique_ptr<State> m_state;
};

}  // namespace engine::passthrough
