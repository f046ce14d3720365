#pragma once

#include "engine/base/siphash.h"
#include "engine/passthrough/passthrough.h"
#include "engine/policy/passthrough_policy.h"

#include <memory>
#include <optional>

namespace engine::passthrough {

/// IPsec: IKE of both versions on 500 and 4500 (or wherever it shows itself), ESP and keepalives in
/// UDP, IKE and ESP over TCP, plain ESP of several clients of one gateway (see EspResolver), and
/// the refusal of AH.
///
/// Promises: no octet is changed; content decides, ports are hints; an inbound ESP packet that no
/// negotiation or traffic of a client explains is not delivered. All tables are bounded; a flow or
/// client beyond them gets ordinary NAT.
/// The policy belongs to the caller and must outlive the inspector.
/// RFC 2408, 2409, 3947, 3948, 4302, 4303, 7296, 7383, 9329.
class IpsecInspector final : public Inspector {
public:
    IpsecInspector(HashKey seed, const policy::PassthroughPolicy& policy);
    ~IpsecInspector() override;

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

    void portlessRefused(Instant now, const PortlessPacket& packet, Actions& actions) override;

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
