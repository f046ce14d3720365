#pragma once

#include "engine/base/siphash.h"
#include "engine/net/prefix.h"
#include "engine/passthrough/passthrough.h"
#include "engine/policy/passthrough_policy.h"

#include <memory>

namespace engine::passthrough {

/// PPTP (RFC 2637): the control connection on TCP 1723 and the enhanced GRE of its calls.
///
/// Follows the control connection by stream position, never by segment. Gives every call a Call ID
/// that is unique per (external address, server) and has it written into the messages that name it,
/// whichever side is inside and whichever side dials. A GRE session is asked for only after both
/// sides have agreed on a call; it names the two hosts of the control connection and ends with it.
/// GRE from outside must carry plausible sequence numbers.
///
/// `policy` is borrowed and must outlive the inspector. Memory is bounded: see the constants in the
/// source file.
class PptpInspector final : public Inspector {
public:
    PptpInspector(HashKey seed, const policy::PassthroughPolicy& policy, const net::Prefix& lan);
    ~PptpInspector() override;

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
