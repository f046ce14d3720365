#include "engine/io/host_guard.h"

#include "engine/io/atomic_file.h"
#include "engine/io/card_lock.h"
#include "engine/io/interfaces.h"
#include "engine/io/netlink.h"

#include <algorithm>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string_view>
#include <utility>

#include <linux/bpf.h>
#include <linux/pkt_sched.h>
#include <net/if.h>
#include <sys/stat.h>

namespace engine::io {

namespace {

/// Ours begin with this, so that nobody else's program is ever taken away.
constexpr std::string_view kProgramName = "underpass_";
/// In front of other filters: what is the engine's must not be redirected into the host by them.
constexpr std::uint32_t kFirstPriority = 1;
constexpr std::uint32_t kPrioritiesToTry = 32;
/// The handle tells, without any file, whether the qdisc below the program was made for it.
constexpr std::uint32_t kHandle = 0x756e;
constexpr std::uint32_t kHandleOverOurQdisc = 0x756f;

bpf_tc_hook hookOf(int index, bpf_tc_attach_point point)
{
    bpf_tc_hook hook{};
    hook.sz = sizeof hook;
    hook.ifindex = index;
    hook.attach_point = point;
    return hook;
}

bpf_tc_opts optionsOf(const GuardedInterface& entry)
{
    bpf_tc_opts options{};
    options.sz = sizeof options;
    options.handle = entry.handle;
    options.priority = entry.priority;
    return options;
}

std::string reason(int error)
{
    return std::strerror(error < 0 ? -error : error);
}

/// Boot and network namespace: an entry of another boot is gone by itself, one of another namespace
/// cannot be reached from here.
std::string origin()
{
    std::string boot;
    std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
    struct stat space {};
    (void)::stat("/proc/self/ns/net", &space);
    return boot + ' ' + std::to_string(space.st_ino);
}

std::filesystem::path journalOf(const std::filesystem::path& state)
{
    return state / "host_journal";
}

std::vector<GuardedInterface> readJournal(const std::filesystem::path& state)
{
    if (state.empty()) return {};
    std::ifstream file(journalOf(state));
    std::string line;
    if (!std::getline(file, line) || line != "underpass host journal 1") return {};
    if (!std::getline(file, line) || line != "origin " + origin()) return {};
    std::vector<GuardedInterface> entries;
    while (std::getline(file, line)) {
        std::istringstream fields(line);
        std::string kind;
        GuardedInterface entry;
        if (fields >> kind >> entry.name >> entry.index >> entry.priority >> entry.handle >>
                entry.madeQdisc &&
            kind == "tc") {
            entries.push_back(std::move(entry));
        }
    }
    return entries;
}

Result<void, std::string> writeJournal(const std::filesystem::path& state,
                                       const std::vector<GuardedInterface>& entries)
{
    if (state.empty()) return {};
    if (entries.empty()) {
        std::error_code ignored;
        std::filesystem::remove(journalOf(state), ignored);
        return {};
    }
    std::ostringstream text;
    text << "underpass host journal 1\norigin " << origin() << '\n';
    for (const auto& entry : entries) {
        text << "tc " << entry.name << ' ' << entry.index << ' ' << entry.priority << ' '
             << entry.handle << ' ' << entry.madeQdisc << '\n';
    }
    return writeAtomically(journalOf(state), text.str());
}

bool isOurs(const IngressProgram& program)
{
    return program.name.starts_with(kProgramName) &&
           (program.handle == kHandle || program.handle == kHandleOverOurQdisc);
}

/// Adds programs of ours that no journal speaks of.
void addStrays(const std::string& name, int index, std::vector<GuardedInterface>& entries)
{
    for (const auto& program : ingressPrograms(index)) {
        if (!isOurs(program)) continue;
        const bool known = std::any_of(entries.begin(), entries.end(), [&](const auto& entry) {
            return entry.index == index && entry.priority == program.priority;
        });
        if (known) continue;
        entries.push_back(
            {name, index, program.priority, program.handle, program.handle == kHandleOverOurQdisc});
    }
}

/// On all cards. What a running process has on its cards is nobody's leftover; only its journal is
/// in the way.
void addStrays(std::vector<GuardedInterface>& entries)
{
    for (const Interface& card : listInterfaces()) {
        if (!isCardLocked(card.name)) addStrays(card.name, card.index, entries);
    }
}

bool isThere(const GuardedInterface& entry)
{
    const auto programs = ingressPrograms(entry.index);
    return std::any_of(programs.begin(), programs.end(), [&](const auto& program) {
        return program.priority == entry.priority && program.handle == entry.handle &&
               isOurs(program);
    });
}

bool isCardThere(const GuardedInterface& entry)
{
    std::array<char, IF_NAMESIZE> name{};
    return ::if_indextoname(static_cast<unsigned>(entry.index), name.data()) != nullptr;
}

std::vector<HeldSetting> heldBy(const std::vector<GuardedInterface>& entries)
{
    using Kind = HeldSetting::Kind;
    std::vector<HeldSetting> held;
    for (const auto& entry : entries) {
        // A card that is gone has taken everything with it.
        if (!isCardThere(entry)) continue;
        if (entry.madeQdisc) {
            HeldSetting qdisc{Kind::Qdisc, entry.name, "clsact", hasClsact(entry.index)};
            if (std::find(held.begin(), held.end(), qdisc) == held.end()) {
                held.push_back(std::move(qdisc));
            }
        }
        std::ostringstream filter;
        filter << "ingress pref " << entry.priority << " bpf handle 0x" << std::hex << entry.handle;
        held.push_back({Kind::Filter, entry.name, filter.str(), isThere(entry)});
    }
    return held;
}

/// Takes one program away, and the qdisc if we made it and nobody uses it now.
Result<void, std::string> detach(const GuardedInterface& entry)
{
    // The card is gone, and everything on it with it; or another has its number now.
    if (!isCardThere(entry)) return {};
    if (isThere(entry)) {
        const auto hook = hookOf(entry.index, BPF_TC_INGRESS);
        const auto options = optionsOf(entry);
        const int error = ::bpf_tc_detach(&hook, &options);
        if (error != 0 && error != -ENOENT) {
            return Err{"the filter on " + entry.name + " stays: " + reason(error)};
        }
    }
    if (entry.madeQdisc && !hasIngressOrEgressFilters(entry.index)) {
        auto whole =
            hookOf(entry.index, static_cast<bpf_tc_attach_point>(static_cast<int>(BPF_TC_INGRESS) |
                                                                 static_cast<int>(BPF_TC_EGRESS)));
        const int error = ::bpf_tc_hook_destroy(&whole);
        if (error != 0 && error != -ENOENT && error != -EINVAL) {
            return Err{"the qdisc on " + entry.name + " stays: " + reason(error)};
        }
    }
    return {};
}

/// Detaches all; what could not be restored comes back.
std::vector<GuardedInterface> detachAll(const std::vector<GuardedInterface>& entries,
                                        std::string& trouble)
{
    std::vector<GuardedInterface> left;
    for (const auto& entry : entries) {
        if (const auto done = detach(entry); !done) {
            trouble = done.error();
            left.push_back(entry);
        }
    }
    return left;
}

void silence()
{
    ::libbpf_set_print(nullptr);
}

}  // namespace

Result<std::unique_ptr<HostGuard>, std::string> HostGuard::install(const Cards& cards,
                                                                   const GuardPlan& plan,
                                                                   std::filesystem::path state)
{
    silence();
    std::error_code ignored;  // writing into the folder tells
    if (!state.empty()) std::filesystem::create_directories(state, ignored);

    std::unique_ptr<HostGuard> guard{new HostGuard{std::move(state)}};
    guard->m_before = readJournal(guard->m_state);
    for (const Card& card : {cards.internal, cards.external}) {
        addStrays(card.name, card.index, guard->m_before);
    }
    guard->m_table =
        Descriptor{::bpf_map_create(BPF_MAP_TYPE_ARRAY, "underpass_guard", sizeof(std::uint32_t),
                                    sizeof(GuardTable), 1, nullptr)};
    if (!guard->m_table) return Err{"the BPF table cannot be made: " + reason(errno)};
    if (const auto done = guard->update(plan); !done) return Err{done.error()};
    if (const auto done = guard->attach(cards.internal, GuardSide::Internal, guard->m_before);
        !done) {
        return Err{done.error()};
    }
    if (const auto done = guard->attach(cards.external, GuardSide::External, guard->m_before);
        !done) {
        return Err{done.error()};
    }
    std::string stays;
    guard->m_before = detachAll(guard->m_before, stays);
    auto entries = guard->m_installed;
    entries.insert(entries.end(), guard->m_before.begin(), guard->m_before.end());
    guard->record(entries);
    return guard;
}

/// A disk that is full must not keep anybody off the internet: the programs can be found without
/// the journal.
void HostGuard::record(const std::vector<GuardedInterface>& entries)
{
    const auto done = writeJournal(m_state, entries);
    m_unrecorded = done ? std::string{} : done.error();
}

Result<void, std::string> HostGuard::attach(const Card& card, GuardSide side,
                                            const std::vector<GuardedInterface>& old)
{
    const auto code = guardProgram(side, card.link, m_table.number());
    const std::string programName =
        std::string{kProgramName} + (side == GuardSide::Internal ? "in" : "ex");
    const Descriptor program{::bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, programName.c_str(), "GPL",
                                             code.data(), code.size(), nullptr)};
    if (!program) return Err{"the guard program was refused: " + reason(errno)};

    GuardedInterface entry{card.name, card.index, kFirstPriority, kHandle, false};
    auto hook = hookOf(card.index, BPF_TC_INGRESS);
    const bool inherited = std::any_of(old.begin(), old.end(), [&](const auto& o) {
        return o.index == card.index && o.madeQdisc;
    });
    entry.madeQdisc = inherited || !hasClsact(card.index);
    if (entry.madeQdisc) entry.handle = kHandleOverOurQdisc;

    const auto announce = [&] {
        auto entries = m_installed;
        entries.push_back(entry);
        entries.insert(entries.end(), m_before.begin(), m_before.end());
        record(entries);
    };
    announce();
    if (const int error = ::bpf_tc_hook_create(&hook); error != 0 && error != -EEXIST) {
        return Err{"no clsact qdisc on " + card.name + ": " + reason(error)};
    }
    const auto others = ingressPrograms(card.index);
    int error = 0;
    for (std::uint32_t tried = 0; tried < kPrioritiesToTry; ++tried) {
        entry.priority = kFirstPriority + tried;
        const bool taken = std::any_of(others.begin(), others.end(), [&](const auto& other) {
            return other.priority == entry.priority;
        });
        if (taken) continue;  // somebody's, perhaps ours of before
        announce();
        auto options = optionsOf(entry);
        options.prog_fd = program.number();
        error = ::bpf_tc_attach(&hook, &options);
        if (error == 0) {
            m_installed.push_back(entry);
            return {};
        }
    }
    return Err{"the guard cannot be attached to " + card.name + ": " + reason(error)};
}

HostGuard::~HostGuard()
{
    std::string trouble;
    auto left = detachAll(m_installed, trouble);
    left.insert(left.end(), m_before.begin(), m_before.end());
    // A qdisc may stay only because a program of before was still on it.
    left = detachAll(left, trouble);
    (void)writeJournal(m_state, left);
}

Result<void, std::string> HostGuard::update(const GuardPlan& plan)
{
    const GuardTable table = guardTable(plan);
    const std::uint32_t key = 0;
    if (::bpf_map_update_elem(m_table.number(), &key, &table, BPF_ANY) != 0) {
        return Err{"the BPF table cannot be written: " + reason(errno)};
    }
    return {};
}

std::vector<HeldSetting> HostGuard::held() const
{
    auto entries = m_installed;
    entries.insert(entries.end(), m_before.begin(), m_before.end());
    return heldBy(entries);
}

Result<std::vector<std::string>, std::string> restoreHost(const std::filesystem::path& state)
{
    silence();
    auto entries = readJournal(state);
    const bool journaled = !entries.empty();
    addStrays(entries);
    const auto held = std::stable_partition(entries.begin(), entries.end(), [](const auto& entry) {
        return !isCardLocked(entry.name);
    });
    std::vector<GuardedInterface> kept(held, entries.end());
    entries.erase(held, entries.end());
    std::string trouble;
    if (!kept.empty()) {
        trouble = kept.front().name + " is shared by a running underpass, which must end first";
    }
    const auto left = detachAll(entries, trouble);
    std::vector<std::string> cleaned;
    for (const auto& entry : entries) {
        if (std::find(cleaned.begin(), cleaned.end(), entry.name) == cleaned.end()) {
            cleaned.push_back(entry.name);
        }
    }
    kept.insert(kept.end(), left.begin(), left.end());
    // A journal of another network namespace is not ours to end.
    if (journaled) {
        if (const auto done = writeJournal(state, kept); !done) return Err{done.error()};
    }
    if (!kept.empty()) return Err{trouble};
    return cleaned;
}

std::vector<HeldSetting> leftOnHost(const std::filesystem::path& state)
{
    auto entries = readJournal(state);
    addStrays(entries);
    std::erase_if(entries, [](const auto& entry) { return isCardLocked(entry.name); });
    return heldBy(entries);
}

}  // namespace engine::io
