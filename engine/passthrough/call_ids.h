#pragma once

#include "engine/base/random.h"
#include "engine/base/siphash.h"
#include "engine/base/time.h"
#include "engine/net/ipv4_address.h"

#include <cstdint>
#include <optional>
#include <unordered_map>

namespace engine::passthrough::pptp {

/// The two hosts between which a Call ID has to be unique, and the ID.
struct CallIdKey {
    net::Ipv4Address local;
    net::Ipv4Address remote;
    std::uint16_t id = 0;
    friend constexpr bool operator==(const CallIdKey&, const CallIdKey&) = default;
};

struct CallIdHash {
    HashKey seed;
    std::size_t operator()(const CallIdKey& key) const
    {
        const std::uint64_t pair =
            (std::uint64_t{key.local.hostOrder()} << 32) | key.remote.hostOrder();
        return static_cast<std::size_t>(sipHash(seed, pair, key.id));
    }
};

/// Hands out the Call IDs that servers see: unique for each external address and server, never
/// zero. A client keeps its own ID when that is free, else it gets a random one with the same first
/// octet if there is any, so that a control message that is cut in the middle of the ID can be
/// translated one segment at a time.
///
/// An ID that was given back rests for two minutes. Only the same client may have it back earlier,
/// and only once its control connection is gone (RFC 2637 §3.2.2 releases all calls then). What a
/// client has in use and at rest is an eighth of all at most.
class CallIds {
public:
    explicit CallIds(HashKey seed) : m_random(seed), m_used(0, CallIdHash{seed}) {}

    /// Takes an ID for `client`; nothing if none is free, or none that begins with `high`.
    std::optional<std::uint16_t> take(Instant now, net::Ipv4Address external,
                                      net::Ipv4Address server, net::Ipv4Address client,
                                      std::uint16_t wish, std::optional<std::uint8_t> high);

    /// An ID that `client` had before a restart; false if it is taken.
    [[nodiscard]] bool adopt(const CallIdKey& key, net::Ipv4Address client)
    {
        if (key.id == 0 || !m_used.try_emplace(key, Use{client, std::nullopt, false}).second)
            return false;
        ++m_usedBy[client.hostOrder()];
        return true;
    }

    void giveBack(Instant now, net::Ipv4Address external, net::Ipv4Address server,
                  std::uint16_t id);
    /// The control connection under which `client` gave the ID back is gone.
    void noteMasterGone(net::Ipv4Address external, net::Ipv4Address server, net::Ipv4Address client,
                        std::uint16_t id);

    /// Forgets what has rested long enough.
    void expire(Instant now);
    [[nodiscard]] bool empty() const { return m_used.empty(); }
    [[nodiscard]] std::size_t size() const { return m_used.size(); }

private:
    struct Use {
        net::Ipv4Address client;
        std::optional<Instant> restsUntil;  ///< given back
        bool masterGone = false;
    };
    void forget(net::Ipv4Address client);
    [[nodiscard]] bool isFree(Instant now, const CallIdKey& key, net::Ipv4Address client) const;

    Random m_random;
    std::unordered_map<CallIdKey, Use, CallIdHash> m_used;
    std::unordered_map<std::uint32_t, std::uint32_t> m_usedBy;  ///< by client address
};

}  // namespace engine::passthrough::pptp
