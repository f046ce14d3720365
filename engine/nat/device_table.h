#pragma once

#include "engine/base/siphash.h"
#include "engine/base/time.h"
#include "engine/nat/flat_index.h"
#include "engine/net/ipv4_address.h"

#include <array>
#include <cstdint>
#include <vector>

namespace engine::nat {

/// What one internal address holds and has done: the unit of fairness (RFC 6888 REQ-4, REQ-5).
struct Device {
    net::Ipv4Address address;
    std::uint8_t externalSlot = 0;  ///< its external address for all protocols (RFC 4787 REQ-2)
    bool used = false;
    bool paired = false;  ///< externalSlot has been chosen
    bool met = false;     ///< somebody has been told of it
    std::uint32_t sessions = 0;
    std::array<std::uint32_t, 3> ports{};  ///< mappings: TCP, UDP, ICMP
    /// Sessions on probation, oldest first: what makes room when the device's own share is used up.
    /// Never another device's.
    struct Probation {
        std::uint32_t oldest = FlatIndex::kNone;
        std::uint32_t newest = FlatIndex::kNone;
        std::uint32_t size = 0;
    };
    Probation unanswered;          ///< the device has begun, and nobody has answered
    Probation uninvited;           ///< somebody outside has begun, and may be made up
    std::uint32_t handshakes = 0;  ///< of the uninvited: TCP connections that are not open yet
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

/// Which record of the device table, if any.
using MaybeDevice = CompactOptional<std::uint16_t, std::uint16_t{0xffff}>;

/// Devices by address. Bounded: a /16 of devices fits. One more takes the record of a device that
/// holds nothing and has been silent for kForgottenAfter; without one near it is refused
/// (DropReason::QuotaDevice).
class DeviceTable {
public:
    static constexpr std::uint32_t kMost = 65535;  ///< 0xffff is none of them
    /// Ours: whoever makes up addresses would else keep real devices out for good.
    static constexpr Duration kForgottenAfter = std::chrono::minutes(5);
    /// Ours: records that one search for a forgotten device looks at.
    static constexpr std::uint32_t kLookedAt = 64;

    explicit DeviceTable(HashKey key, std::uint32_t most = kMost)
        : m_key(key), m_most(most), m_index(most)
    {}

    [[nodiscard]] MaybeDevice find(net::Ipv4Address address) const
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
    [[nodiscard]] MaybeDevice findOrMake(Instant now, net::Ipv4Address address)
    {
        if (const auto found = find(address)) return found;
        MaybeDevice index;
        if (m_devices.size() < m_most) {
            index = static_cast<std::uint16_t>(m_devices.size());
            m_devices.emplace_back();
        } else {
            index = forgotten(now);
            if (!index) return std::nullopt;
            m_index.erase(hashOf(m_devices[*index].address), *index);
            m_devices[*index] = Device{};
        }
        Device& device = m_devices[*index];
        device.address = address;
        device.used = true;
        device.firstSeen = now;
        device.lastSeen = now;
        m_index.insert(hashOf(address), *index);
        return index;
    }
    [[nodiscard]] Device& operator[](std::uint16_t index) { return m_devices[index]; }
    [[nodiscard]] const Device& operator[](std::uint16_t index) const { return m_devices[index]; }
    [[nodiscard]] const std::vector<Device>& all() const { return m_devices; }
    [[nodiscard]] std::vector<Device>& all() { return m_devices; }

private:
    /// A device whose record nobody needs; each search goes on where the last one stopped.
    [[nodiscard]] MaybeDevice forgotten(Instant now)
    {
        for (std::uint32_t looked = 0; looked < kLookedAt; ++looked) {
            m_hand = (m_hand + 1) % m_devices.size();
            const Device& device = m_devices[m_hand];
            const bool holds = device.sessions != 0 || device.ports != decltype(device.ports){};
            if (!holds && now - device.lastSeen >= kForgottenAfter) {
                return static_cast<std::uint16_t>(m_hand);
            }
        }
        return std::nullopt;
    }
    [[nodiscard]] std::uint32_t hashOf(net::Ipv4Address address) const
    {
        return static_cast<std::uint32_t>(sipHash(m_key, address.hostOrder(), 0));
    }
    HashKey m_key;
    std::uint32_t m_most;
    FlatIndex m_index;
    std::vector<Device> m_devices;
    std::size_t m_hand = 0;
    mutable std::uint16_t m_last = 0;  ///< the one found last
};

}  // namespace engine::nat
