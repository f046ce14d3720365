#include "engine/passthrough/l2tp.h"

namespace engine::passthrough {

struct L2tpInspector::State {
    HashKey seed;
    const policy::PassthroughPolicy& policy;
};

L2tpInspector::L2tpInspector(HashKey seed, const policy::PassthroughPolicy& policy)
    : m_state(new State{seed, policy})
{}
L2tpInspector::~L2tpInspector() = default;

Inspector::Claim L2tpInspector::consider(Instant, const Flow&, const Segment&)
{
    return Claim::NotMine;
}
Attention L2tpInspector::inspect(Instant, const Flow&, const Segment&, Actions&)
{
    return {};
}
void L2tpInspector::flowClosed(Instant, FlowId, FlowEnd, Actions&) {}
bool L2tpInspector::owns(net::IpProtocol protocol, wire::ConstBytes payload) const
{
    return protocol == net::IpProtocol::L2tpV3 && payload.data() != nullptr;
}
PortlessDecision L2tpInspector::decide(Instant, net::Direction, const PortlessPacket&, Actions&)
{
    return {};
}
Attention L2tpInspector::inspectPortless(Instant, net::Direction, const PortlessPacket&, Actions&)
{
    return {};
}
void L2tpInspector::bindingClosed(Instant, const PortlessBinding&, FlowEnd, Actions&) {}
void L2tpInspector::handleTimeout(Instant, Actions&) {}
std::optional<Instant> L2tpInspector::nextTimeout() const
{
    return std::nullopt;
}

}  // namespace engine::passthrough
