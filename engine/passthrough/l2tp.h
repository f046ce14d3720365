#pragma once

#include "engine/base/siphash.h"
#include "engine/net/prefix.h"
#include "engine/passthrough/passthrough.h"
#include "engine/policy/passthrough_policy.h"

#include <memory>

namespace engine::passthrough {

/// L2TP version 2 over UDP (RFC 2661) and version 3 over UDP and IP protocol 115 (RFC 3931).
///
/// Follows the control channel of each UDP flow to name, time and grade the tunnel, lets a server
/// answer from another port or always to 1701, and keeps clients apart that chose the same tunnel
/// ID. Only what begins like a control connection is claimed: other protocols on port 1701 are left
/// alone.
///
/// `policy` is borrowed and must outlive the inspector. Memory is bounded: see the constants in the
/// source file.
class L2tpInspector final : public Inspector {
public:
    L2tpInspector(HashKey seed, const policy::PassthroughPolicy& policy, const net::Prefix& lan);
    ~L2tpInspector() override;

    [[nodiscard]] Opening opening() const override;
    Claim consider(Instant now, const Flow& flow, const Segment& segment) override;
    Attention inspect(Instant now, const Flow& flow, const Segment& segment,
                      Actions& actions) override;
    void flowClosed(Instant now, FlowId flow, FlowEnd end, Actions& actions) override;

    [[nodiscard]] bool owns(net::IpProtocol protocol, wire::ConstBytes payload) const override;
    PortlessDecision decide(Instant now, net::Direction direction, const PortlessPacket& packet,
                            Actions& actions) override;
    Attention inspectPortless(Instant now, net::Direction direction, const PortlessPacket& packet,
                              Actions& actions) override;
    void bindingClosed(Instant now, const PortlessBinding& binding, FlowEnd end,
                       Actions& actions) override;

    std::optional<UdpRedirect> unmatchedUdp(Instant now, net::Endpoint external,
                                            net::Endpoint remote, wire::ConstBytes payload,
                                            Actions& actions) override;

    void handleTimeout(Instant now, Actions& actions) override;
    [[nodiscard]] std::optional<Instant> nextTimeout() const override;

    void save(StateWriter& out) const override;
    void bindingRestored(Instant now, const PortlessBinding& binding,
                         net::VpnProtocol protocol) override;
    bool restore(Instant now, StateReader& in, const RestoredFlows& flows,
                 std::vector<FlowId>& claimed) override;

private:
    struct State;
    std::unique_ptr<State> m_state;
};

}  // namespace engine::passthrough
