#include "engine/passthrough/pptp.h"

namespace engine::passthrough {

struct PptpInspector::State {
    HashKey seed;
    const policy::PassthroughPolicy& policy;
};

PptpInspector::PptpInspector(HashKey seed, const policy::PassthroughPolicy& policy)
    : m_state(new State{seed, policy})
{}
PptpInspector::~PptpInspector() = default;

Inspector::Claim PptpInspector::consider(Instant, const Flow&, const Segment&)
{
    return Claim::NotMine;
}
Attention PptpInspector::inspect(Instant, const Flow&, const Segment&, Actions&)
{
    return {};
}
void PptpInspector::flowClosed(Instant, FlowId, FlowEnd, Actions&) {}
bool PptpInspector::owns(net::IpProtocol protocol, wire::ConstBytes payload) const
{
    return protocol == net::IpProtocol::Gre && payload.size() >= 4 && (payload[1] & 7U) == 1 &&
           wire::load16(payload, 2) == 0x880b;
}
PortlessDecision PptpInspector::decide(Instant, net::Direction, const PortlessPacket&, Actions&)
{
    return {};
}
Attention PptpInspector::inspectPortless(Instant, net::Direction, const PortlessPacket&, Actions&)
{
    return {};
}
void PptpInspector::bindingClosed(Instant, const PortlessBinding&, FlowEnd, Actions&) {}
void PptpInspector::handleTimeout(Instant, Actions&) {}
std::optional<Instant> PptpInspector::nextTimeout() const
{
    return std::nullopt;
}

}  // namespace engine::passthrough
