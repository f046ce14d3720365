#include "engine/passthrough/recogniser.h"

#include <algorithm>
#include <utility>

namespace engine::passthrough {

using tunnel::Lane;
using tunnel::Observation;

tunnel::TunnelKey keyOf(const Flow& flow, net::VpnProtocol protocol, KeyScope scope)
{
    std::uint64_t discriminator = (std::uint64_t{static_cast<std::uint8_t>(protocol)} + 1) << 56;
    if (scope == KeyScope::PerFlow) {
        discriminator |= (std::uint64_t{static_cast<std::uint8_t>(flow.protocol)} << 32) |
                         (std::uint64_t{flow.internal.port.hostOrder()} << 16) |
                         flow.remote.port.hostOrder();
    }
    return {flow.internal.address, flow.remote.address, discriminator};
}

bool isBlocked(const policy::PassthroughPolicy& policy, net::VpnProtocol protocol, const Flow& flow)
{
    return policy.modeFor(protocol, flow.internal.address, flow.remote.address) ==
           policy::PassthroughMode::Block;
}

bool isDeclared(const policy::PassthroughPolicy& policy, net::VpnProtocol protocol,
                net::Ipv4Address server)
{
    return std::ranges::any_of(policy.of(protocol).exceptions, [&](const auto& exception) {
        return exception.server.length() == 32 && exception.server.contains(server);
    });
}

Observation& Report::add(Observation::Kind kind)
{
    Observation& observation = m_actions.observations.emplace_back();
    observation.key = m_key;
    observation.kind = kind;
    return observation;
}

void Report::label(net::VpnProtocol protocol, tunnel::Confidence confidence)
{
    Observation& observation = add(Observation::Kind::Label);
    observation.protocol = protocol;
    observation.confidence = confidence;
    observation.transport = m_flow.protocol;
    observation.server = m_flow.remote;
    observation.external = m_flow.external;
    Observation& passage = add(Observation::Kind::Passage);
    passage.passage = {tunnel::PassageKind::PortTranslated, m_flow.internal.port.hostOrder(),
                       m_flow.external.port.hostOrder()};
}

void Report::attach(tunnel::SequenceKind sequence, Duration idle)
{
    attach(m_flow.id, sequence, idle);
}

void Report::attach(FlowId other, tunnel::SequenceKind sequence, Duration idle)
{
    m_actions.attachments.push_back({other, m_key, sequence, idle});
}

void Report::phase(tunnel::Phase phase)
{
    add(Observation::Kind::Phase).phase = phase;
}

void Report::event(tunnel::EventKind kind, net::Direction direction, std::uint32_t a,
                   std::uint32_t b)
{
    Observation& observation = add(Observation::Kind::Event);
    observation.event = kind;
    const bool isOutbound = direction == net::Direction::Outbound;
    observation.from = isOutbound ? Lane::Client : Lane::Server;
    observation.to = isOutbound ? Lane::Server : Lane::Client;
    observation.a = a;
    observation.b = b;
}

void Report::retransmit(net::Direction direction, std::uint32_t messageType)
{
    Observation& observation = add(Observation::Kind::Retransmit);
    const bool isOutbound = direction == net::Direction::Outbound;
    observation.from = isOutbound ? Lane::Client : Lane::Server;
    observation.to = isOutbound ? Lane::Server : Lane::Client;
    observation.a = messageType;
}

void Report::roundTrip(Duration duration)
{
    add(Observation::Kind::RoundTrip).duration = duration;
}

void Report::serverName(std::string name)
{
    add(Observation::Kind::ServerName).text = std::move(name);
}

void Report::product(std::string name)
{
    add(Observation::Kind::Product).text = std::move(name);
}

void Report::ended(tunnel::Phase phase, tunnel::EventKind cause, std::uint32_t code)
{
    Observation& observation = add(Observation::Kind::Ended);
    observation.phase = phase;
    observation.event = cause;
    observation.a = code;
}

void Report::cut(const HelloWatch& watch, HelloWatch::Cut how, const Segment& last)
{
    const auto proof = [&](wire::ConstBytes packet) {
        Observation& finding = add(Observation::Kind::Finding);
        finding.finding = tunnel::FindingKind::CutAfterHello;
        finding.a = static_cast<std::uint32_t>(how);
        finding.b = watch.times();
        finding.packet.assign(packet.begin(), packet.end());
    };
    proof(watch.proof());
    proof(HelloWatch::headersOf(last.packet));
    switch (how) {
    case HelloWatch::Cut::Reset: ended(tunnel::Phase::Failed, tunnel::EventKind::ResetBy); break;
    case HelloWatch::Cut::Closed:
        ended(tunnel::Phase::Failed, tunnel::EventKind::PeerClosed);
        break;
    case HelloWatch::Cut::Swallowed: break;  // it may still come through
    }
}

}  // namespace engine::passthrough
