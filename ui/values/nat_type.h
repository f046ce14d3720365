#pragma once

#include "engine/nat/nat_config.h"

namespace ui {

/// What games and consoles call it: mapping and filtering in one word.
enum class NatType : std::uint8_t { Open, Moderate, Strict };

[[nodiscard]] constexpr NatType natTypeOf(const engine::nat::ProtocolBehaviour& behaviour)
{
    using engine::nat::Behaviour;
    if (behaviour.mapping != Behaviour::EndpointIndependent) return NatType::Strict;
    return behaviour.filtering == Behaviour::EndpointIndependent ? NatType::Open
                                                                 : NatType::Moderate;
}

/// The plain case of each.
[[nodiscard]] constexpr engine::nat::ProtocolBehaviour behaviourOf(NatType type)
{
    using engine::nat::Behaviour;
    switch (type) {
    case NatType::Open: return {Behaviour::EndpointIndependent, Behaviour::EndpointIndependent};
    case NatType::Moderate: return {Behaviour::EndpointIndependent, Behaviour::AddressDependent};
    case NatType::Strict: break;
    }
    return {Behaviour::AddressAndPortDependent, Behaviour::AddressAndPortDependent};
}

}  // namespace ui
