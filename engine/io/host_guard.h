#pragma once

#include "engine/base/result.h"
#include "engine/io/descriptor.h"
#include "engine/io/guard_program.h"
#include "engine/io/held_setting.h"

#include <array>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace engine::io {

/// One program on one card, as the journal keeps it.
struct GuardedInterface {
    std::string name;
    int index = 0;
    std::uint32_t priority = 0;
    std::uint32_t handle = 0;
    bool madeQdisc = false;  ///< the clsact qdisc was not there before
};

/// Keeps the host's IP layer away from what the engine owns, by one traffic-control program on each
/// of the two cards (clsact, ingress), and from nothing else: the host's own address, its bound
/// ports, its local port range, ICMP, ARP and IPv6 stay the host's.
///
/// Everything it changes is written to `<state>/host_journal` before it is changed, and the
/// programs themselves say whose they are, so that a run whose disk was full is cleaned up after,
/// too. It is taken back by the destructor, by the next install() after a crash (without a gap: the
/// new programs are in place before the old ones go, so that no live connection is reset), and by
/// restoreHost().
///
/// Owned by the loop; one thread.
class HostGuard {
public:
    struct Card {
        std::string name;
        int index = 0;
        LinkKind link = LinkKind::Ethernet;
    };
    struct Cards {
        Card internal;
        Card external;
    };

    /// The error is one English clause. `state` may be empty: there is no journal then.
    static Result<std::unique_ptr<HostGuard>, std::string> install(const Cards& cards,
                                                                   const GuardPlan& plan,
                                                                   std::filesystem::path state);
    ~HostGuard();
    HostGuard(const HostGuard&) = delete;
    HostGuard& operator=(const HostGuard&) = delete;
    HostGuard(HostGuard&&) = delete;
    HostGuard& operator=(HostGuard&&) = delete;

    /// Takes effect with the next packet; the programs stay where they are.
    Result<void, std::string> update(const GuardPlan& plan);

    /// Qdiscs and filters, as the kernel has them at this moment.
    [[nodiscard]] std::vector<HeldSetting> held() const;

    /// Why the journal could not be written, one English clause; empty if it was.
    [[nodiscard]] const std::string& unrecorded() const { return m_unrecorded; }

private:
    explicit HostGuard(std::filesystem::path state) : m_state(std::move(state)) {}
    Result<void, std::string> attach(const Card& card, GuardSide side,
                                     const std::vector<GuardedInterface>& old);
    void record(const std::vector<GuardedInterface>& entries);

    std::filesystem::path m_state;
    Descriptor m_table;
    std::vector<GuardedInterface> m_installed;
    std::vector<GuardedInterface> m_before;  ///< of a run that crashed, until ours are in place
    std::string m_unrecorded;
};

/// Takes back everything that crashed runs have left behind, by the journal in `state` and by the
/// programs that sit on this network namespace's cards; answers the cards it has cleaned, none if
/// there was nothing. A card that a running process holds (see card_lock.h) is refused and stays as
/// it is. The error says what could not be restored; the journal keeps it then.
Result<std::vector<std::string>, std::string> restoreHost(const std::filesystem::path& state);

/// What restoreHost() would take back.
[[nodiscard]] std::vector<HeldSetting> leftOnHost(const std::filesystem::path& state);

}  // namespace engine::io
