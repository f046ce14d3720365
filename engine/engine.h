#pragma once

#include "engine/base/result.h"
#include "engine/command.h"
#include "engine/config.h"
#include "engine/event.h"
#include "engine/output.h"
#include "engine/snapshot.h"
#include "engine/wire/packet.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace engine {

/// A block of saved state on its way (Engine::saveOn()).
struct StateDraft {
    std::vector<std::vector<std::uint8_t>> parts;
    Instant at;                  ///< of the last part
    std::uint32_t next = 0;      ///< place of the session table
    std::uint32_t sessions = 0;  ///< in the parts
    std::uint64_t change = 0;    ///< of the rules, the last that it knows
};

/// A search for sessions on its way (Engine::searchOn()).
struct SessionSearch {
    SessionQuery query;
    std::vector<SessionRecord> found;
    std::uint32_t next = 0;  ///< place of the session table
};

/// The router itself. Bytes, commands and a clock go in; verdicts, packets, events and the next
/// deadline come out. It links nothing, reads no clock and starts no thread.
///
/// Promises: the same configuration (seed included) and the same calls give the same outputs. No
/// allocation per packet in steady state. A packet is forwarded, consumed, held or dropped with
/// exactly one reason, and the counters agree.
///
/// One thread at a time; which one does not matter.
class Engine {
public:
    explicit Engine(Instant now, const EngineConfig& config);
    ~Engine();
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;
    Engine(Engine&&) = delete;
    Engine& operator=(Engine&&) = delete;

    /// One IPv4 packet that came in by `ingress`, rewritten in place.
    Verdict handlePacket(Instant now, PortId ingress, wire::Packet& packet, Output& output);

    /// Several packets of one port, the same as one after the other but faster: look-ups of later
    /// packets are prefetched while earlier ones are worked on. `verdicts` has the packets' size.
    void handlePackets(Instant now, PortId ingress, std::span<wire::Packet> packets,
                       std::span<Verdict> verdicts, Output& output);

    /// Expires what is due. Harmless when early. Does a bounded amount of work: when more is due,
    /// nextTimeout() is at or before `now`.
    void handleTimeout(Instant now, Output& output);
    [[nodiscard]] std::optional<Instant> nextTimeout() const;

    Result<void, CommandError> apply(Instant now, const Command& command, Output& output);

    /// The configuration as commands have made it by now; the shell's guard follows it.
    [[nodiscard]] const EngineConfig& config() const;
    /// Counts a packet that the shell had to drop: below IP (a stolen source address, no next hop)
    /// or because the card could not take it.
    void countDrop(DropReason reason);

    [[nodiscard]] Snapshot snapshot(Instant now) const;
    [[nodiscard]] std::vector<SessionRecord> sessions(Instant now, const SessionQuery& query) const;
    /// The same a part at a time, so that no call takes long: true when the search is over. One
    /// that begins or ends meanwhile may be found or not.
    bool searchOn(SessionSearch& search) const;
    /// Whether any session has this external address. Looks at all of them.
    [[nodiscard]] bool hasSessionAt(net::Ipv4Address external) const;
    /// Whether any TCP or UDP session has an external port of these. Looks at all of them.
    [[nodiscard]] bool hasSessionOn(net::PortRange external) const;
    /// How many sessions would end if this change of the rules were applied now with OnLive::Drop,
    /// or have been idle for longer than its timers allow; for any other command none. Looks at all
    /// of them.
    [[nodiscard]] std::uint32_t sessionsEndedBy(Instant now, const Command& command) const;
    /// The same a part at a time: SessionsCounted tells, with few sessions at once, else some calls
    /// of handleTimeout() later.
    void count(Instant now, const Command& command, Output& output);

    /// Everything a new engine needs to keep all sessions, tunnels with their timelines and what
    /// helpers know of them, as one checksummed block of octets; what a switch holds is left out.
    /// The clock must go on from where it was (CLOCK_BOOTTIME does across a restart).
    [[nodiscard]] std::vector<std::uint8_t> saveState(Instant now) const;
    /// The same a part at a time, so that no call takes long; true when the draft is complete. A
    /// session is in it as it was when its turn came, one that has begun since is not. After a
    /// change of the rules or of the networks it begins anew.
    bool saveOn(Instant now, StateDraft& draft) const;
    /// The block of a complete draft. It touches nothing else, so any thread may spend the time.
    [[nodiscard]] static std::vector<std::uint8_t> blockOf(StateDraft draft);
    /// False if the block is damaged, of another network, or of a version that is neither this one
    /// nor one of the two before: the engine is then as if it had not been asked.
    bool restoreState(Instant now, std::span<const std::uint8_t> block);

private:
    struct State;
    std::unique_ptr<State> m_state;
};

}  // namespace engine
