#include "engine/passthrough/ipsec.h"

#include "engine/passthrough/ike.h"

namespace engine::passthrough {

struct IpsecInspector::State {
    State(HashKey key, const policy::PassthroughPolicy& policy) : seed(key), switches(policy) {}

    HashKey seed;
    const policy::PassthroughPolicy& switches;
};

IpsecInspector::IpsecInspector(HashKey seed, const policy::PassthroughPolicy& policy)
    : m_state(std::make_unique<State>(seed, policy))
{}
IpsecInspector::~IpsecInspector() = default;

Inspector::Claim IpsecInspector::consider(Instant, const Flow&, const Segment&)
{
    return Claim::NotMine;
}

Attention IpsecInspector::inspect(Instant, const Flow&, const Segment&, Actions&)
{
    return {.next = Attention::Next::Ignore};
}

void IpsecInspector::flowClosed(Instant, FlowId, FlowEnd, Actions&) {}

bool IpsecInspector::owns(net::IpProtocol protocol, wire::ConstBytes) const
{
    return protocol == net::IpProtocol::Esp || protocol == net::IpProtocol::Ah;
}

PortlessDecision IpsecInspector::decide(Instant, net::Direction, const PortlessPacket& packet,
                                        Actions&)
{
    PortlessDecision decision;
    decision.reason = packet.protocol == net::IpProtocol::Ah ? DropReason::AhUntranslatable
                                                             : DropReason::EspNoOwner;
    return decision;
}

Attention IpsecInspector::inspectPortless(Instant, net::Direction, const PortlessPacket&, Actions&)
{
    return {.next = Attention::Next::Ignore};
}

void IpsecInspector::bindingClosed(Instant, const PortlessBinding&, FlowEnd, Actions&) {}

std::optional<UdpRedirect> IpsecInspector::unmatchedUdp(Instant, net::Endpoint, net::Endpoint,
                                                        wire::ConstBytes, Actions&)
{
    return std::nullopt;
}

void IpsecInspector::handleTimeout(Instant, Actions&) {}

std::optional<Instant> IpsecInspector::nextTimeout() const
{
    return std::nullopt;
}

}  // namespace engine::passthrough
