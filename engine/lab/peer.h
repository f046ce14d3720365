#pragma once

#include "engine/lab/octets.h"

#include <cstdint>
#include <string_view>
#include <vector>

namespace engine::lab {

/// What a simulated program can say about itself. Sums since it was started.
struct PeerReport {
    bool up = false;                ///< the tunnel or connection is usable now
    std::uint64_t attempts = 0;     ///< connections or negotiations begun
    std::uint64_t established = 0;  ///< … and completed
    std::uint64_t rekeys = 0;
    std::uint64_t sent = 0;      ///< user messages
    std::uint64_t received = 0;  ///< user messages that were right in every octet
    std::uint64_t wrong = 0;     ///< what was meant for somebody else, or was altered
    std::uint64_t strays = 0;    ///< unreadable copies that were silently discarded, as a peer does
    std::uint64_t failures = 0;  ///< connections that never came up or broke

    PeerReport& operator+=(const PeerReport& other)
    {
        up = up && other.up;
        attempts += other.attempts;
        established += other.established;
        rekeys += other.rekeys;
        sent += other.sent;
        received += other.received;
        wrong += other.wrong;
        strays += other.strays;
        failures += other.failures;
        return *this;
    }
};

/// A program that runs on a Host: client or server of one protocol. It is given its Host when it is
/// made and lives as long as that does.
class Peer {
public:
    Peer() = default;
    Peer(const Peer&) = delete;
    Peer& operator=(const Peer&) = delete;
    Peer(Peer&&) = delete;
    Peer& operator=(Peer&&) = delete;
    virtual ~Peer() = default;
    [[nodiscard]] virtual PeerReport report() const = 0;
};

/// Names one client or server of the whole lab; never used twice.
using Identity = std::uint32_t;

}  // namespace engine::lab
