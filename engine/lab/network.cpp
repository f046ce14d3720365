#include "engine/lab/network.h"

#include <algorithm>

namespace engine::lab {

namespace {

/// Identities that one host may give to its programs.
constexpr Identity kIdentitiesPerHost = 1000;

std::string describe(wire::ConstBytes packet)
{
    if (packet.size() < 20) return std::to_string(packet.size()) + " octets";
    return net::Ipv4Address{wire::load32(packet, 12)}.toString() + " to " +
           net::Ipv4Address{wire::load32(packet, 16)}.toString() + " protocol " +
           std::to_string(packet[9]) + ", " + std::to_string(packet.size()) + " octets";
}

}  // namespace

Network::Network(Instant start, HashKey seed, std::unique_ptr<Middlebox> middlebox)
    : m_now(start), m_seed(seed), m_random(seed), m_middlebox(std::move(middlebox))
{}

Network::~Network() = default;

bool Network::later(const Happening& a, const Happening& b)
{
    return a.at != b.at ? a.at > b.at : a.order > b.order;
}

Host& Network::addInternal(std::string name, net::Ipv4Address address, const LinkQuality& quality)
{
    return attach(std::move(name), address, PortId::Internal, quality);
}

Host& Network::addExternal(std::string name, net::Ipv4Address address, const LinkQuality& quality)
{
    return attach(std::move(name), address, PortId::External, quality);
}

Host& Network::attach(std::string name, net::Ipv4Address address, PortId side,
                      const LinkQuality& quality)
{
    const HashKey seed{sipHash(m_seed, address.hostOrder(), 1),
                       sipHash(m_seed, address.hostOrder(), 2)};
    auto host = std::make_unique<Host>(std::move(name), address, seed, m_nextIdentity);
    m_nextIdentity += kIdentitiesPerHost;
    host->setNow(m_now);
    Host& reference = *host;
    m_hosts[address] = Attached{std::move(host), side, quality, Instant{}, {}};
    return reference;
}

void Network::setQuality(net::Ipv4Address host, const LinkQuality& quality)
{
    m_hosts.at(host).quality = quality;
}

Host* Network::find(net::Ipv4Address address)
{
    const auto found = m_hosts.find(address);
    return found == m_hosts.end() ? nullptr : found->second.host.get();
}

std::vector<const Host*> Network::hosts() const
{
    std::vector<const Host*> all;
    for (const auto& [address, attached] : m_hosts)
        all.push_back(attached.host.get());
    return all;
}

void Network::queue(Happening happening)
{
    happening.order = m_order++;
    m_queue.push_back(std::move(happening));
    std::push_heap(m_queue.begin(), m_queue.end(), later);
}

void Network::advanceTo(Instant until)
{
    settleAll();
    wakeBox();
    while (!m_queue.empty() && m_queue.front().at <= until) {
        std::pop_heap(m_queue.begin(), m_queue.end(), later);
        Happening happening = std::move(m_queue.back());
        m_queue.pop_back();
        m_now = std::max(m_now, happening.at);
        happen(happening);
    }
    m_now = std::max(m_now, until);
    for (auto& [address, attached] : m_hosts)
        attached.host->setNow(m_now);
}

void Network::settleAll()
{
    for (auto& [address, attached] : m_hosts) {
        attached.host->setNow(m_now);
        settle(attached);
    }
}

void Network::happen(Happening& happening)
{
    std::vector<Emission> out;
    switch (happening.kind) {
    case Happening::Kind::ToBox:
        for (const Tap& tap : m_taps) {
            tap(m_now, happening.side, TapPoint::IntoBox, happening.packet);
        }
        m_middlebox->receive(m_now, happening.side, std::move(happening.packet), out);
        emit(std::move(out));
        wakeBox();
        break;
    case Happening::Kind::WakeBox:
        if (m_boxWake == happening.at) m_boxWake = Instant{};
        m_middlebox->handleTimeout(m_now, out);
        emit(std::move(out));
        wakeBox();
        break;
    case Happening::Kind::ToHost: {
        Attached& attached = m_hosts.at(happening.host);
        ++m_counters.delivered;
        attached.host->receive(m_now, happening.packet);
        settle(attached);
        break;
    }
    case Happening::Kind::WakeHost: {
        Attached& attached = m_hosts.at(happening.host);
        if (attached.wake == happening.at) attached.wake = Instant{};
        attached.host->handleTimeout(m_now);
        settle(attached);
        break;
    }
    }
}

void Network::settle(Attached& attached)
{
    for (Octets& packet : attached.host->takeSent())
        leaveHost(attached, std::move(packet));
    const auto next = attached.host->nextTimeout();
    if (!next || (attached.wake != Instant{} && attached.wake <= *next)) return;
    attached.wake = std::max(*next, m_now);
    queue(
        {.at = attached.wake, .kind = Happening::Kind::WakeHost, .host = attached.host->address()});
}

void Network::wakeBox()
{
    const auto next = m_middlebox->nextTimeout();
    if (!next || (m_boxWake != Instant{} && m_boxWake <= *next)) return;
    // A step forward at least: a box that is always late must not stop the clock.
    m_boxWake = std::max(*next, m_now + 1us);
    queue({.at = m_boxWake, .kind = Happening::Kind::WakeBox});
}

void Network::travel(Attached& link, Happening happening)
{
    const LinkQuality& quality = link.quality;
    const auto happens = [&](std::uint32_t chance) {
        return chance != 0 && m_random.below(1'000'000) < chance;
    };
    if (happens(quality.loss)) {
        ++m_counters.lost;
        return;
    }
    Duration delay = quality.latency;
    if (quality.jitter.count() > 0) {
        const auto steps = static_cast<std::uint32_t>(quality.jitter / 1us) + 1;
        delay += m_random.below(steps) * Duration{1us};
    }
    const bool reorder = happens(quality.reorder);
    if (reorder) delay += quality.latency;
    happening.at = m_now + delay;
    if (!reorder) {
        const bool towards =
            happening.kind == Happening::Kind::ToHost && happening.host == link.host->address();
        Instant& last = link.lastArrival[towards ? 1 : 0];
        happening.at = std::max(happening.at, last);
        last = happening.at;
    }
    if (happens(quality.duplicate)) queue(happening);
    queue(std::move(happening));
}

void Network::leaveHost(Attached& from, Octets packet)
{
    ++m_counters.packets;
    const net::Ipv4Address to{wire::load32(packet, 16)};
    const auto neighbour = m_hosts.find(to);
    if (neighbour != m_hosts.end() && neighbour->second.side == from.side) {
        travel(from, {.kind = Happening::Kind::ToHost, .host = to, .packet = std::move(packet)});
        return;
    }
    travel(from, {.kind = Happening::Kind::ToBox, .side = from.side, .packet = std::move(packet)});
}

void Network::inject(PortId side, Octets packet)
{
    queue({.at = m_now, .kind = Happening::Kind::ToBox, .side = side, .packet = std::move(packet)});
}

void Network::emit(std::vector<Emission> emissions)
{
    for (Emission& emission : emissions) {
        judge(emission);
        for (const Tap& tap : m_taps) {
            tap(m_now, emission.egress, TapPoint::OutOfBox, emission.bytes);
        }
        deliver(emission.egress, std::move(emission.bytes));
    }
}

void Network::judge(const Emission& emission)
{
    const bool outward = emission.egress == PortId::External;
    ++(outward ? m_counters.emittedExternal : m_counters.emittedInternal);
    const std::string wrong = faultOf(emission.bytes);
    if (!wrong.empty()) fault(&NetworkCounters::faulty, wrong, emission.bytes);
    if (outward && emission.bytes.size() >= 20 &&
        !m_middlebox->ownsExternal(net::Ipv4Address{wire::load32(emission.bytes, 12)})) {
        fault(&NetworkCounters::leaked, "source is not ours", emission.bytes);
    }
    const wire::ConstBytes bytes{emission.bytes};
    std::uint64_t word = static_cast<std::uint64_t>(m_now.nanoseconds());
    for (std::size_t at = 0; at < bytes.size(); at += 8) {
        std::uint64_t next = 0;
        for (std::size_t i = at; i < std::min(at + 8, bytes.size()); ++i)
            next = next << 8 | bytes[i];
        m_streamHash = sipHash(HashKey{m_streamHash, bytes.size()}, word, next);
        word = at;
    }
}

void Network::fault(std::uint64_t NetworkCounters::*counter, const std::string& what,
                    wire::ConstBytes packet)
{
    ++(m_counters.*counter);
    if (m_counters.firstFault.empty()) {
        m_counters.firstFault = what + ": " + describe(packet);
    }
}

void Network::deliver(PortId side, Octets packet)
{
    if (packet.size() < 20) {
        ++m_counters.undeliverable;
        return;
    }
    const net::Ipv4Address to{wire::load32(packet, 16)};
    const auto found = m_hosts.find(to);
    if (found == m_hosts.end() || found->second.side != side) {
        ++m_counters.undeliverable;
        return;
    }
    travel(found->second,
           {.kind = Happening::Kind::ToHost, .host = to, .packet = std::move(packet)});
}

}  // namespace engine::lab
