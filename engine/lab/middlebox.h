#pragma once

#include "engine/base/time.h"
#include "engine/config.h"
#include "engine/lab/octets.h"

#include <optional>
#include <vector>

namespace engine::lab {

/// A packet that leaves a middlebox.
struct Emission {
    PortId egress = PortId::External;
    Octets bytes;
};

/// What stands between the internal and the external side of a lab: a real Engine, or a plain wire
/// by which the simulated hosts themselves are tested.
class Middlebox {
public:
    Middlebox() = default;
    Middlebox(const Middlebox&) = delete;
    Middlebox& operator=(const Middlebox&) = delete;
    Middlebox(Middlebox&&) = delete;
    Middlebox& operator=(Middlebox&&) = delete;
    virtual ~Middlebox() = default;

    virtual void receive(Instant now, PortId ingress, Octets packet,
                         std::vector<Emission>& out) = 0;
    virtual void handleTimeout(Instant now, std::vector<Emission>& out) = 0;
    [[nodiscard]] virtual std::optional<Instant> nextTimeout() const = 0;
    /// Whether the address is the box's own on that side, or may be the source of what leaves
    /// there.
    [[nodiscard]] virtual bool ownsExternal(net::Ipv4Address address) const = 0;
    [[nodiscard]] virtual bool ownsInternal(net::Ipv4Address address) const = 0;
};

/// Passes every packet to the other side as it is, and takes every external source for its own.
class PlainWire final : public Middlebox {
public:
    void receive(Instant, PortId ingress, Octets packet, std::vector<Emission>& out) override
    {
        out.push_back(
            {ingress == PortId::Internal ? PortId::External : PortId::Internal, std::move(packet)});
    }
    void handleTimeout(Instant, std::vector<Emission>&) override {}
    [[nodiscard]] std::optional<Instant> nextTimeout() const override { return std::nullopt; }
    [[nodiscard]] bool ownsExternal(net::Ipv4Address) const override { return false; }
    [[nodiscard]] bool ownsInternal(net::Ipv4Address) const override { return false; }
};

}  // namespace engine::lab
