#include "engine/lab/engine_box.h"

#include <algorithm>
#include <iterator>

namespace engine::lab {

namespace {

/// Ours: nobody may collect the events of a lab for days of virtual time.
constexpr std::size_t kMostEvents = 8192;

}  // namespace

EngineConfig labConfig(HashKey seed)
{
    EngineConfig config;
    config.seed = seed;
    config.maxSessions = 16384;
    config.internal.prefix = net::Prefix{net::Ipv4Address{192, 168, 77, 0}, 24};
    config.internal.address = net::Ipv4Address{192, 168, 77, 1};
    config.external.addresses = {net::Ipv4Address{203, 0, 113, 2}};
    config.external.prefix = net::Prefix{net::Ipv4Address{203, 0, 113, 0}, 24};
    return config;
}

EngineBox::EngineBox(Instant now, const EngineConfig& config)
    : m_engine(std::make_unique<Engine>(now, config)),
      m_external(config.external.addresses),
      m_internal(config.internal.address)
{}

bool EngineBox::restart(Instant now, HashKey seed)
{
    const std::vector<std::uint8_t> state = m_engine->saveState(now);
    EngineConfig config = m_engine->config();
    config.seed = seed;
    m_engine = std::make_unique<Engine>(now, config);
    m_account = {};
    return m_engine->restoreState(now, state);
}

Result<void, CommandError> EngineBox::apply(Instant now, const Command& command,
                                            std::vector<Emission>& out)
{
    const auto result = m_engine->apply(now, command, m_output);
    if (result) {
        if (const auto* external = std::get_if<SetExternalSide>(&command)) {
            m_external = external->side.addresses;
        } else if (const auto* internal = std::get_if<SetInternalSide>(&command)) {
            m_internal = internal->side.address;
        }
    }
    collect(out);
    return result;
}

void EngineBox::count(Instant now, const Command& command, std::vector<Emission>& out)
{
    m_engine->count(now, command, m_output);
    collect(out);
}

void EngineBox::receive(Instant now, PortId ingress, Octets packet, std::vector<Emission>& out)
{
    ++m_account.packets;
    const std::uint8_t ttl = packet.size() >= 20 ? packet[8] : std::uint8_t{0};
    wire::Packet view{.bytes = packet};
    const Verdict verdict = m_engine->handlePacket(now, ingress, view, m_output);
    switch (verdict.kind) {
    case Verdict::Kind::Forward:
        ++m_account.forwarded;
        packet.resize(std::min(packet.size(), view.bytes.size()));
        // An answer has a time to live of its own.
        if (packet.size() >= 20 && packet[8] >= ttl &&
            (ingress == PortId::Internal || verdict.egress == PortId::Internal)) {
            ++m_account.ttlKept;
        }
        if (packet.size() >= 20) {
            // Octets behind the packet's own length are link padding; a wire would carry them,
            // a host would cut them off.
            packet.resize(std::min<std::size_t>(packet.size(), wire::load16(packet, 2)));
        }
        out.push_back({verdict.egress, std::move(packet)});
        break;
    case Verdict::Kind::Drop:
        ++m_account.dropped;
        ++m_account.drops[static_cast<std::size_t>(verdict.reason)];
        break;
    case Verdict::Kind::Consumed: ++m_account.consumed; break;
    case Verdict::Kind::ToHost: ++m_account.toHost; break;
    case Verdict::Kind::Hold: ++m_account.held; break;
    }
    collect(out);
}

void EngineBox::handleTimeout(Instant now, std::vector<Emission>& out)
{
    m_engine->handleTimeout(now, m_output);
    collect(out);
}

std::optional<Instant> EngineBox::nextTimeout() const
{
    return m_engine->nextTimeout();
}

bool EngineBox::ownsExternal(net::Ipv4Address address) const
{
    return std::find(m_external.begin(), m_external.end(), address) != m_external.end();
}

bool EngineBox::ownsInternal(net::Ipv4Address address) const
{
    return address == m_internal;
}

void EngineBox::collect(std::vector<Emission>& out)
{
    for (OutgoingPacket& packet : m_output.packets) {
        ++m_account.emitted;
        out.push_back({packet.egress, std::move(packet.bytes)});
    }
    std::move(m_output.events.begin(), m_output.events.end(), std::back_inserter(m_events));
    if (m_events.size() > kMostEvents) {
        // The older half at once: one by one would cost a move of all the others each time.
        m_events.erase(m_events.begin(), m_events.begin() + kMostEvents / 2);
    }
    m_output.clear();
}

}  // namespace engine::lab
