#include "engine/passthrough/gre.h"

namespace engine::passthrough {

struct GreInspector::State {
    HashKey seed;
    const policy::PassthroughPolicy& policy;
};

GreInspector::GreInspector(HashKey seed, const policy::PassthroughPolicy& policy)
    : m_state(new State{seed, policy})
{}
GreInspector::~GreInspector() = default;

Inspector::Claim GreInspector::consider(Instant, const Flow&, const Segment&)
{
    return Claim::NotMine;
}
Attention GreInspector::inspect(Instant, const Flow&, const Segment&, Actions&)
{
    return {};
}
void GreInspector::flowClosed(Instant, FlowId, FlowEnd, Actions&) {}
bool GreInspector::owns(net::IpProtocol protocol, wire::ConstBytes payload) const
{
    return protocol == net::IpProtocol::Gre || protocol == net::IpProtocol::IpIp ||
           protocol == net::IpProtocol::SixInFour ||
           (protocol == net::IpProtocol::EtherIp && payload.data() != nullptr);
}
PortlessDecision GreInspector::decide(Instant, net::Direction, const PortlessPacket&, Actions&)
{
    return {};
}
Attention GreInspector::inspectPortless(Instant, net::Direction, const PortlessPacket&, Actions&)
{
    return {};
}
void GreInspector::bindingClosed(Instant, const PortlessBinding&, FlowEnd, Actions&) {}
void GreInspector::handleTimeout(Instant, Actions&) {}
std::optional<Instant> GreInspector::nextTimeout() const
{
    return std::nullopt;
}

}  // namespace engine::passthrough
