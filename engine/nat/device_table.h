#pragma once

#include "engine/base/siphash.h"
#include "engine/base/time.h"
#include "engine/nat/flat_index.h"
#include "engine/net/ipv4_address.h"

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

namespace engine::nat {

/// What one internal address holds and has done: the unit of fairness (RFC 6888 REQ-4, REQ-5).
struct Device {
    net::Ipv4Address address;
    std::uint8_t externalSlot = 0;  ///< its external address for all protocols (RFC 4787 REQ-2)
    bool used = false;
    bool paired = false;  ///< externalSlot has been chosen
    std::uint32_t sessions = 0;
    std::array<std::uint32_t, 3> ports{};  ///< mappings: TCP, UDP, ICMP
    /// Sessions on probation, oldest first: what makes room when the device's own share is used up.
    /// Never another device's.
    struct Probation {
        std::uint32_t oldest = FlatIndex::kNone;
        std::uint32_t newest = FlatIndex::kNone;
        std::uint32_t size = 0;
    };
    Probation unanswered;  ///< the device has begun, and nobody has answered
    Probation uninvited;   ///< somebody outside has begun, and may be made up
    std::uint64_t packetsOut = 0;
    std::uint64_t packetsIn = 0;
    std::uint64_t bytesOut = 0;  ///< of ended sessions; live ones have their own
    std::uint64_t bytesIn = 0;
    std::uint64_t refused = 0;
    Instant firstSeen;
    Instant lastSeen;
    Instant rateSecond;
    std::uint32_t rateUsed = 0;
    Instant refusalReported;
};

/// Devices by address. Bounded: a device beyond the bound is served by nobody's record and so
/// refused (DropReason::QuotaDevice); a /16 of devices fits.
class DeviceTable {
public:
    static constexpr std::uint32_t kMost = 65535;

    explicit DeviceTable(HashKey key) : m_key(key), m_index(kMost) {}

    [[nodiscard]] std::optional<std::uint16_t> find(net::Ipv4Address address) const
    {
        // What begins a flow often begins several.
        if (m_last < m_devices.size() && m_devices[m_last].address == address) return m_last;
        const std::uint32_t found = m_index.find(hashOf(address), [&](std::uint32_t candidate) {
            return m_devices[candidate].address == address;
        });
        if (found == FlatIndex::kNone) return std::nullopt;
        m_last = static_cast<std::uint16_t>(found);
        return m_last;
    }
    [[nodiscard]] std::optional<std::uint16_t> findOrMake(Instant now, net::Ipv4Address address)
    {
        if (const auto found = find(address)) return found;
        if (m_devices.size() >= kMost) return std::nullopt;
        const auto index = static_cast<std::uint16_t>(m_devices.size());
        m_devices.push_back(Device{});
        m_devices.back().address = address;
        m_devices.back().used = true;
        m_devices.back().firstSeen = now;
        m_devices.back().lastSeen = now;
        m_index.insert(hashOf(address), index);
        return index;
    }
    [[nodiscard]] Device& operator[](std::uint16_t index) { return m_devices[index]; }
    [[nodiscard]] const Device& operator[](std::uint16_t index) const { return m_devices[index]; }
    [[nodiscard]] const std::vector<Device>& all() const { return m_devices; }
    [[nodiscard]] std::vector<Device>& all() { return m_devices; }

private:
    [[nodiscard]] std::uint32_t hashOf(net::Ipv4Address address) const
    {
        return static_cast<std::uint32_t>(sipHash(m_key, address.hostOrder(), 0));
    }
    HashKey m_key;
    FlatIndex m_index;
    std::vector<Device> m_devices;
    mutable std::uint16_t m_last = 0;  ///< the one found last
};

}  // namespace engine::nat
