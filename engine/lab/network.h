#pragma once

#include "engine/base/random.h"
#include "engine/base/time.h"
#include "engine/lab/host.h"
#include "engine/lab/middlebox.h"
#include "engine/net/prefix.h"

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace engine::lab {

using namespace std::chrono_literals;

/// How a host is connected. Chances are per million packets, each way. Jitter is a queue's: it
/// keeps the order of packets, which only `reorder` and `duplicate` break.
struct LinkQuality {
    Duration latency = 1ms;
    Duration jitter{0};
    std::uint32_t loss = 0;
    std::uint32_t reorder = 0;  ///< such a packet is delayed by another `latency`
    std::uint32_t duplicate = 0;
};

/// What the network itself has seen; every packet that leaves the middlebox is judged.
struct NetworkCounters {
    std::uint64_t packets = 0;  ///< handed over by hosts
    std::uint64_t delivered = 0;
    std::uint64_t lost = 0;  ///< by a link's quality
    std::uint64_t emittedInternal = 0;
    std::uint64_t emittedExternal = 0;
    std::uint64_t faulty = 0;         ///< left the middlebox with a wrong checksum or length
    std::uint64_t leaked = 0;         ///< left it outward with a source that is not the router's
    std::uint64_t undeliverable = 0;  ///< no host has that address
    std::string firstFault;
};

/// A network of simulated hosts around a middlebox, in virtual time. Internal hosts share one
/// segment with the box's internal side, external hosts one with its external side. Nothing happens
/// but by advance(); the same seed and calls give the same packets (streamHash()).
class Network {
public:
    Network(Instant start, HashKey seed, std::unique_ptr<Middlebox> middlebox);
    ~Network();
    Network(const Network&) = delete;
    Network& operator=(const Network&) = delete;
    Network(Network&&) = delete;
    Network& operator=(Network&&) = delete;

    Host& addInternal(std::string name, net::Ipv4Address address, const LinkQuality& quality = {});
    Host& addExternal(std::string name, net::Ipv4Address address,
                      const LinkQuality& quality = {.latency = 10ms});
    void setQuality(net::Ipv4Address host, const LinkQuality& quality);

    [[nodiscard]] Instant now() const { return m_now; }
    [[nodiscard]] const Middlebox& middlebox() const { return *m_middlebox; }
    void advance(Duration span) { advanceTo(m_now + span); }
    void advanceTo(Instant until);
    /// Puts a frame on the wire beside the middlebox, as somebody hostile would.
    void inject(PortId side, Octets packet);
    /// Sends what the middlebox's owner made it emit outside of the network's own calls.
    void emit(std::vector<Emission> emissions);

    enum class TapPoint : std::uint8_t { IntoBox, OutOfBox };
    using Tap = std::function<void(Instant, PortId, TapPoint, wire::ConstBytes)>;
    void addTap(Tap tap) { m_taps.push_back(std::move(tap)); }

    [[nodiscard]] const NetworkCounters& counters() const { return m_counters; }
    [[nodiscard]] std::uint64_t streamHash() const { return m_streamHash; }
    [[nodiscard]] Host* find(net::Ipv4Address address);
    /// Sorted by address.
    [[nodiscard]] std::vector<const Host*> hosts() const;

private:
    struct Attached {
        std::unique_ptr<Host> host;
        PortId side = PortId::Internal;
        LinkQuality quality;
        Instant wake;  ///< the earliest wake-up that is queued; zero: none
        /// When the last packet arrives that is under way: from the host, to the host.
        std::array<Instant, 2> lastArrival{};
    };
    struct Happening {
        enum class Kind : std::uint8_t { ToBox, ToHost, WakeHost, WakeBox };
        Instant at{};
        std::uint64_t order = 0;
        Kind kind = Kind::ToBox;
        PortId side = PortId::Internal;
        net::Ipv4Address host{};
        Octets packet{};
    };
    static bool later(const Happening& a, const Happening& b);

    Host& attach(std::string name, net::Ipv4Address address, PortId side,
                 const LinkQuality& quality);
    void queue(Happening happening);
    void happen(Happening& happening);
    void settle(Attached& attached);
    void settleAll();
    void travel(Attached& link, Happening happening);
    void leaveHost(Attached& from, Octets packet);
    void deliver(PortId side, Octets packet);
    void wakeBox();
    void judge(const Emission& emission);
    void fault(std::uint64_t NetworkCounters::*counter, const std::string& what,
               wire::ConstBytes packet);

    Instant m_now;
    HashKey m_seed;
    Random m_random;
    std::unique_ptr<Middlebox> m_middlebox;
    Instant m_boxWake;
    std::map<net::Ipv4Address, Attached> m_hosts;
    std::vector<Happening> m_queue;  ///< a heap, earliest first
    std::uint64_t m_order = 0;
    std::vector<Tap> m_taps;
    NetworkCounters m_counters;
    std::uint64_t m_streamHash = 0;
    Identity m_nextIdentity = 1;
};

}  // namespace engine::lab
