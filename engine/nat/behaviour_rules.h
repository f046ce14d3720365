#pragma once

#include "engine/nat/nat_config.h"
#include "engine/net/ip_protocol.h"

#include <algorithm>
#include <utility>
#include <vector>

/// Which of the behaviours that NatConfig names holds for whom.
namespace engine::nat {

[[nodiscard]] inline ProtocolBehaviour behaviourOf(const NatConfig& config,
                                                   net::IpProtocol protocol, net::Endpoint internal)
{
    for (const BehaviourException& exception : config.exceptions) {
        const bool matches = net::hasPorts(protocol) ? exception.ports.contains(internal.port)
                                                     : exception.ports == kAllPorts;
        if (matches && exception.devices.contains(internal.address)) return exception.behaviour;
    }
    if (protocol == net::IpProtocol::Tcp) return config.tcp;
    return protocol == net::IpProtocol::Udp ? config.udp : config.icmp;
}

[[nodiscard]] inline bool isUntranslated(const NatConfig& config, net::Endpoint remote)
{
    return std::any_of(
        config.untranslated.begin(), config.untranslated.end(), [&](const Untranslated& rule) {
            return rule.destinations.contains(remote.address) && rule.ports.contains(remote.port);
        });
}

/// Puts a rule where it belongs: that for fewer devices before that for more, then that for fewer
/// ports before that for more, because the first that matches wins. A rule for the same devices and
/// ports makes room for it.
inline void put(std::vector<BehaviourException>& rules, const BehaviourException& rule)
{
    std::erase_if(rules, [&](const BehaviourException& other) {
        return other.devices == rule.devices && other.ports == rule.ports;
    });
    const auto reach = [](const BehaviourException& one) {
        return std::pair{32 - one.devices.length(), one.ports.size()};
    };
    const auto wider = [&](const BehaviourException& other) {
        return reach(other) > reach(rule);
    };
    rules.insert(std::find_if(rules.begin(), rules.end(), wider), rule);
}

}  // namespace engine::nat
