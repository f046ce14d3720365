#pragma once

#include "engine/base/siphash.h"
#include "engine/net/prefix.h"
#include "engine/passthrough/passthrough.h"
#include "engine/policy/passthrough_policy.h"

#include <memory>

namespace engine::passthrough {

/// The port-less tunnels without a control channel: GRE version 0 (RFC 2784, 2890), EoIP, 6in4 and
/// IPIP (RFC 4213, 2003), EtherIP (RFC 3378).
///
/// Clients of one server are told apart by GRE key, EoIP tunnel ID or inner address; where nothing
/// tells them apart the first client keeps the server and the second is refused by name. Nothing is
/// ever rewritten. Packets from outside are delivered only to a device that has itself sent to that
/// server with that protocol.
///
/// `policy` is borrowed and must outlive the inspector. Memory is bounded: see the constants in the
/// source file.
class GreInspector final : public Inspector {
public:
    GreInspector(HashKey seed, const policy::PassthroughPolicy& policy, const net::Prefix& lan);
    ~GreInspector() override;

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

    void bindingRestored(Instant now, const PortlessBinding& binding,
                         net::VpnProtocol protocol) override;

private:
    struct State;
    std::unique_ptr<State> m_state;
};

}  // namespace engine::passthrough
