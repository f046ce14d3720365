#include "engine/passthrough/call_ids.h"

namespace engine::passthrough::pptp {

namespace {

using namespace std::chrono_literals;

/// Ours, as for ports (RFC 6888 REQ-8): late packets of the old call find nobody.
constexpr Duration kRest = 120s;
/// Ours: in use and at rest; the oldest rest is cut short beyond that by refusing new calls.
constexpr std::size_t kMost = 65536;
constexpr std::size_t kMostOfClient = kMost / 8;

}  // namespace

bool CallIds::isFree(Instant now, const CallIdKey& key, net::Ipv4Address client) const
{
    if (key.id == 0) return false;
    const auto found = m_used.find(key);
    if (found == m_used.end()) return true;
    const Use& use = found->second;
    if (!use.restsUntil) return false;
    return now >= *use.restsUntil || (use.masterGone && use.client == client);
}

std::optional<std::uint16_t> CallIds::take(Instant now, net::Ipv4Address external,
                                           net::Ipv4Address server, net::Ipv4Address client,
                                           std::uint16_t wish, std::optional<std::uint8_t> high)
{
    if (m_used.size() >= kMost) return std::nullopt;
    const auto own = m_usedBy.find(client.hostOrder());
    if (own != m_usedBy.end() && own->second >= kMostOfClient) return std::nullopt;
    CallIdKey key{external, server, wish};
    const auto taken = [&]() -> std::optional<std::uint16_t> {
        const auto [use, isNew] = m_used.try_emplace(key);
        if (!isNew) forget(use->second.client);
        use->second = Use{client, std::nullopt, false};
        ++m_usedBy[client.hostOrder()];
        return key.id;
    };
    const std::uint8_t first = high.value_or(static_cast<std::uint8_t>(wish >> 8));
    if (wish >> 8 == first && isFree(now, key, client)) return taken();
    const std::uint32_t low = m_random.below(256);
    for (std::uint32_t i = 0; i < 256; ++i) {
        key.id = static_cast<std::uint16_t>((std::uint32_t{first} << 8) | ((low + i) & 0xffU));
        if (isFree(now, key, client)) return taken();
    }
    if (high) return std::nullopt;
    const std::uint32_t start = m_random.below(0x10000);
    for (std::uint32_t i = 0; i < 0x10000; ++i) {
        key.id = static_cast<std::uint16_t>(start + i);
        if (isFree(now, key, client)) return taken();
    }
    return std::nullopt;
}

void CallIds::giveBack(Instant now, net::Ipv4Address external, net::Ipv4Address server,
                       std::uint16_t id)
{
    const auto found = m_used.find({external, server, id});
    if (found != m_used.end()) found->second.restsUntil = now + kRest;
}

void CallIds::noteMasterGone(net::Ipv4Address external, net::Ipv4Address server,
                             net::Ipv4Address client, std::uint16_t id)
{
    const auto found = m_used.find({external, server, id});
    if (found == m_used.end() || !found->second.restsUntil) return;
    if (found->second.client == client) found->second.masterGone = true;
}

void CallIds::expire(Instant now)
{
    std::erase_if(m_used, [&](const auto& entry) {
        const bool over = entry.second.restsUntil && now >= *entry.second.restsUntil;
        if (over) forget(entry.second.client);
        return over;
    });
}

void CallIds::forget(net::Ipv4Address client)
{
    const auto found = m_usedBy.find(client.hostOrder());
    if (found != m_usedBy.end() && --found->second == 0) m_usedBy.erase(found);
}

}  // namespace engine::passthrough::pptp
