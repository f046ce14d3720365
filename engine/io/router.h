#pragma once

#include "engine/base/result.h"
#include "engine/engine.h"
#include "engine/io/device.h"
#include "engine/io/held_setting.h"
#include "engine/io/host_guard.h"
#include "engine/io/host_ports.h"
#include "engine/io/interfaces.h"
#include "engine/io/open_device.h"
#include "engine/link/ethernet_port.h"

#include <array>
#include <filesystem>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace engine::io {

/// Why a router could not be opened.
enum class OpenError : std::uint8_t {
    UnknownInterface,
    SameInterface,
    UnsupportedLink,  ///< loopback, or no IPv4 frames in it
    NoAddress,
    NetworksOverlap,  ///< internal and external network contain each other (RFC 4787 REQ-7)
    InterfaceHeld,    ///< by another instance
    NoPrivilege,
    GuardFailed,  ///< the host's own stack cannot be kept apart
    DeviceFailed,
};

struct OpenFailure {
    OpenError error = OpenError::DeviceFailed;
    std::string interface;  ///< the one it is about; may be empty
    std::string detail;     ///< English, what the system said; may be empty
};

/// One English sentence for people, without a full stop.
[[nodiscard]] std::string sentenceOf(const OpenFailure& failure);

struct RouterOptions {
    std::string internal;
    std::string external;
    /// Where the journal and the sessions are kept; made if missing. Empty: neither is kept.
    std::filesystem::path state;
    /// Rules, timers, capacity. The two sides, the seed and the host's ports are filled in.
    EngineConfig config;
    /// Ports on the internal address that the engine serves itself: the host does not see them.
    std::vector<net::PortRange> internalUdp;
    DeviceKind device = DeviceKind::Native;
    /// Refuse packets whose source address belongs to another station inside.
    link::SourceCheck sourceCheck = link::SourceCheck::On;
};

/// The loop: two cards, what Ethernet needs around them, the host guard, the clock and an Engine
/// between them.
///
/// Promises: the host's own connections go on untouched. Everything changed on the host is in the
/// journal first and taken back by the destructor. Sessions are saved every five seconds and at the
/// end, and found again at the start. No allocation per forwarded packet.
///
/// All calls by one thread (which one does not matter), but wake().
class Router {
public:
    static Result<std::unique_ptr<Router>, OpenFailure> open(RouterOptions options);
    ~Router();
    Router(const Router&) = delete;
    Router& operator=(const Router&) = delete;
    Router(Router&&) = delete;
    Router& operator=(Router&&) = delete;

    [[nodiscard]] Engine& engine() { return *m_engine; }
    [[nodiscard]] Instant now() const;

    /// Moves packets for about `atMost`, or until wake(); appends what happened.
    void run(Duration atMost, std::vector<Event>& events);
    /// Before a command: if it lets sessions run on without their rule, the guard goes on keeping
    /// from the host what they came in by: ports (but never one that the host binds itself) and a
    /// device's own address, until no session has them any more.
    void keepForSessions(const Command& command);
    /// Sends what a command has left behind, appends its events, and lets the guard follow what the
    /// command has changed.
    void deliver(Output& output, std::vector<Event>& events);
    /// From any thread: run() returns soon.
    void wake();

    /// Stations inside with their hardware addresses.
    [[nodiscard]] std::vector<link::Neighbour> neighbours() const;
    [[nodiscard]] DeviceCounters counters(PortId side);
    /// Sessions that were found in the state folder at the start.
    [[nodiscard]] bool restored() const { return m_restored; }
    /// Everything of the host that is held at this moment.
    [[nodiscard]] std::vector<HeldSetting> held() const;
    /// Why the journal could not be written, so that a crash would leave the guard until the next
    /// start; one English clause, empty if it was.
    [[nodiscard]] std::string unrecorded() const
    {
        return m_guard ? m_guard->unrecorded() : std::string{};
    }

private:
    struct Side {
        Interface facts;
        std::unique_ptr<Device> device;
        std::unique_ptr<link::EthernetPort> port;  ///< none on a raw IP link
        std::array<Frame, kBatch> outgoing;
        std::size_t outgoingCount = 0;
    };

    Router(RouterOptions options, HashKey key);

    [[nodiscard]] Side& side(PortId id) { return m_sides[static_cast<std::size_t>(id)]; }
    [[nodiscard]] InternalSide internalSide() const;
    [[nodiscard]] ExternalSide externalSide() const;
    [[nodiscard]] GuardPlan guardPlan() const;
    [[nodiscard]] std::vector<net::Ipv4Address> addressesOfEngineAlone() const;
    [[nodiscard]] std::vector<net::Ipv4Address> addressesAnsweredFor() const;
    void releaseKept();

    Result<void, OpenFailure> openDevice(PortId id);
    Result<void, OpenFailure> installGuard();
    void configurePorts();
    bool watch(int descriptor);

    /// True if the card may have more.
    bool pump(PortId ingress, std::vector<Event>& events);
    void queue(PortId egress, wire::Packet packet);
    void flush(PortId egress);
    void sendGenerated(std::vector<Event>& events);
    void sendLinkFrames(PortId id);
    void handleTimers(std::vector<Event>& events);
    [[nodiscard]] Duration untilNext(Duration atMost) const;

    void countDrop(DropReason reason) { m_engine->countDrop(reason); }
    void followHost();
    void followHostAgain();
    void followPorts();
    void followPolicy();
    void saveState();
    void restoreState();

    RouterOptions m_options;
    HashKey m_key;
    std::array<Side, 2> m_sides;
    std::unique_ptr<Engine> m_engine;
    std::unique_ptr<HostGuard> m_guard;
    GuardPlan m_plan;
    HostPorts m_hostPorts;
    std::vector<net::PortRange> m_keptPorts;
    std::vector<net::Ipv4Address> m_keptAddresses;
    std::vector<Descriptor> m_locks;
    Descriptor m_poll;
    Descriptor m_wake;
    Descriptor m_changes;
    Instant m_now;
    Output m_output;
    link::LinkOutput m_linkOutput;
    std::vector<std::uint8_t> m_staging;
    std::vector<std::uint8_t> m_linkStaging;
    Instant m_followHostAt;
    Instant m_followPortsAt;
    Instant m_saveAt;
    std::optional<StateDraft> m_draft;  ///< of the state that is being saved
    Duration m_draftCost{0};
    std::future<void> m_saving;
    bool m_hostChanged = false;
    bool m_woken = false;
    bool m_restored = false;
};

}  // namespace engine::io
