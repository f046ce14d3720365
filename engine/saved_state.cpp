#include "engine/engine_state.h"
#include "engine/tunnel/saved_values.h"

#include <algorithm>
#include <cstring>

/// The state that outlives the engine: every session with what it needs to go on, the tunnels, and
/// what the helpers cannot see again. Behind a header with a version, and before a checksum;
/// indexes are rebuilt, never stored.
///
/// An update of the program must not cost the sessions, so that the version before is read as well:
/// who changes the layout counts the version up, and leaves a way to read what it was.
namespace engine {

namespace sf = nat::session_flag;
namespace df = nat::detail_flag;
using net::Direction;
using net::IpProtocol;

namespace {

constexpr std::uint32_t kMagic = 0x55505354;  // "UPST"
constexpr std::uint16_t kVersion = 4;
/// Sessions without shifted connections.
constexpr std::uint16_t kUnshifted = 3;
/// That, and tunnels without timelines, findings and what is known of their inside.
constexpr std::uint16_t kWithoutHistory = 2;

std::uint64_t digest(std::span<const std::uint8_t> bytes)
{
    // Against accidents, not against attackers: who can write the file owns the router.
    std::uint64_t state = 0x9e3779b97f4a7c15U;
    for (const std::uint8_t octet : bytes)
        state = (state ^ octet) * 0x100000001b3U;
    return state;
}

constexpr std::size_t kSequenceKinds = static_cast<std::size_t>(tunnel::SequenceKind::L2tp) + 1;
constexpr std::size_t kVariants =
    static_cast<std::size_t>(passthrough::Discriminator::Variant::ControlId) + 1;
/// What writing a session down costs, in places looked at.
constexpr std::uint32_t kCostOfSaving = 16;
/// A session's record at its shortest.
constexpr std::size_t kShortestSession = 60;

}  // namespace

bool Engine::State::save(std::uint32_t index, StateWriter& records) const
{
    const nat::Session& session = sessions[index];
    const nat::SessionDetail& rest = sessions.detail(index);
    // What a switch holds ends within seconds; it must not come to life by a restart.
    if (rest.has(df::kHeld)) return false;
    // Nor what a change of the rules is about to end.
    if (sweepThatEnds(index) != nullptr) return false;
    // Nor what is about to end with its address; one that is only away may come back.
    if (!config.external.addresses.empty() && isStranded(index)) return false;
    records.u64(sessions.flowId(index));
    const std::uint8_t kind = rest.has(df::kPortless)                 ? 2
                              : rest.mapping == nat::FlatIndex::kNone ? 1
                                                                      : 0;
    records.u8(kind);
    records.u8(static_cast<std::uint8_t>(session.protocol));
    records.u32(session.internal.hostOrder());
    records.u32(session.remote.hostOrder());
    records.u32(sessions.externalOf(session).hostOrder());
    records.u32(session.outboundId);
    records.u32(session.inboundId);
    records.u64(static_cast<std::uint64_t>(session.lastPacket.nanoseconds()));
    records.u8(static_cast<std::uint8_t>(session.tcpState));
    records.u8(session.flags);
    records.raw(&session.window, sizeof session.window);
    records.flag(rest.has(df::kHoldsMapping));
    records.flag(rest.has(df::kHasOutbound));
    records.flag(rest.has(df::kHasInbound));
    records.u32(rest.forward);
    records.u16(static_cast<std::uint16_t>(rest.idle));
    const bool shifted = rest.has(df::kShifted);
    records.u16(shifted ? std::uint16_t{0} : static_cast<std::uint16_t>(rest.aliasPort));
    records.u64(static_cast<std::uint64_t>(rest.created().nanoseconds()));
    const SessionRecord seen = record(index);
    records.u64(seen.outbound.bytes);
    records.u64(seen.inbound.bytes);
    records.u32(static_cast<std::uint32_t>(seen.outbound.packets));
    records.u32(static_cast<std::uint32_t>(seen.inbound.packets));
    const auto share = tunnels.shareOf(attachmentOf(index));
    records.flag(share.has_value());
    if (share) {
        tunnel::save(records, share->key);
        records.u8(static_cast<std::uint8_t>(share->sequence));
        records.u8(static_cast<std::uint8_t>(share->carries));
    }
    const auto binding = bindings.find(index);
    records.flag(binding != bindings.end());
    if (binding != bindings.end()) {
        records.u64(binding->second.master);
        records.flag(rest.has(df::kInspect));
    }
    records.flag(shifted);
    if (shifted) nat::SynProxy::save(records, synProxy[shiftOf(index)]);
    return true;
}

std::vector<std::uint8_t> Engine::saveState(Instant now) const
{
    StateDraft draft;
    while (!saveOn(now, draft)) {
    }
    return blockOf(std::move(draft));
}

bool Engine::saveOn(Instant now, StateDraft& draft) const
{
    const State& state = *m_state;
    if (draft.change != state.changes) draft = {.change = state.changes};
    draft.at = now;
    StateWriter out;
    if (draft.next < state.sessions.touched()) {
        for (std::uint32_t spent = 0;
             draft.next < state.sessions.touched() && spent < state.config.placesPerCall;
             ++draft.next, ++spent) {
            if (!state.sessions.detail(draft.next).has(df::kUsed)) continue;
            if (!state.save(draft.next, out)) continue;
            ++draft.sessions;
            spent += kCostOfSaving;
        }
        draft.parts.push_back(std::move(out.bytes()));
        return false;
    }
    // Those that began at places that have been passed come with the next draft.
    StateWriter tunnels;
    state.tunnels.save(tunnels);
    out.part(tunnels);
    StateWriter helpers;
    state.passthrough.save(helpers);
    out.part(helpers);
    draft.parts.push_back(std::move(out.bytes()));
    return true;
}

std::vector<std::uint8_t> Engine::blockOf(StateDraft draft)
{
    StateWriter out;
    std::size_t size = 64;
    for (const auto& part : draft.parts)
        size += part.size();
    out.bytes().reserve(size);
    out.u32(kMagic);
    out.u16(kVersion);
    out.u64(static_cast<std::uint64_t>(draft.at.nanoseconds()));
    out.u32(draft.sessions);
    for (auto& part : draft.parts) {
        out.raw(part.data(), part.size());
        part = {};
    }
    const std::uint64_t sum = digest(out.bytes());
    out.u64(sum);
    return std::move(out.bytes());
}

bool Engine::restoreState(Instant now, std::span<const std::uint8_t> block)
{
    if (block.size() < 8 || m_state->sessions.size() != 0) return false;
    const auto body = block.first(block.size() - 8);
    if (StateReader{block.subspan(body.size())}.u64() != digest(body)) return false;
    if (m_state->restore(now, body)) return true;
    // Whatever has been taken up of a block that turns out to be none is forgotten again.
    EngineConfig config = m_state->config;
    config.selfTest = nullptr;
    auto fresh = std::make_unique<State>(now, config);
    fresh->config.selfTest = m_state->config.selfTest;
    fresh->switches = m_state->switches;
    m_state = std::move(fresh);
    return false;
}

bool Engine::State::restore(Instant now, std::span<const std::uint8_t> body)
{
    StateReader in{body};
    if (in.u32() != kMagic) return false;
    const std::uint16_t version = in.u16();
    if (version < kWithoutHistory || version > kVersion) return false;
    // The clock must not have gone back: that would be another boot.
    if (Instant{Duration{static_cast<std::int64_t>(in.u64())}} > now) return false;
    std::vector<SavedSession> saved(in.count(sessions.capacity(), kShortestSession));
    for (SavedSession& one : saved) {
        one.flow = in.u64();
        one.kind = in.below(3);
        one.session.protocol = static_cast<IpProtocol>(in.u8());
        one.session.internal = net::Ipv4Address{in.u32()};
        one.session.remote = net::Ipv4Address{in.u32()};
        one.external = net::Ipv4Address{in.u32()};
        one.session.outboundId = in.u32();
        one.session.inboundId = in.u32();
        one.session.lastPacket = Instant{Duration{static_cast<std::int64_t>(in.u64())}};
        one.session.tcpState = static_cast<nat::TcpState>(in.below(nat::kTcpStateCount));
        one.session.flags = in.u8();
        in.raw(&one.session.window, sizeof one.session.window);
        one.holds = in.flag();
        one.hasOut = in.flag();
        one.hasIn = in.flag();
        one.forward = in.u32();
        one.idle = in.u16();
        one.aliasPort = in.u16();
        one.created = Instant{Duration{static_cast<std::int64_t>(in.u64())}};
        one.carried.outbound.bytes = in.u64();
        one.carried.inbound.bytes = in.u64();
        one.carried.outbound.packets = in.u32();
        one.carried.inbound.packets = in.u32();
        if (in.flag()) {
            tunnel::TunnelTable::Share share;
            share.key = tunnel::readTunnelKey(in);
            share.sequence = static_cast<tunnel::SequenceKind>(in.below(kSequenceKinds));
            share.carries = static_cast<tunnel::Carries>(in.below(2));
            one.share = share;
        }
        if (in.flag()) {
            one.isBinding = true;
            one.master = in.u64();
            one.watch = in.flag();
        }
        if (version > kUnshifted && in.flag()) one.shifted = nat::SynProxy::read(in);
        if (in.failed()) return false;
        const bool isPortlessKind = one.kind == 2;
        const nat::Session::Rewrite& rewrite = one.session.rewrite;
        const bool isOdd =
            isPortlessKind != isPortless(one.session.protocol) ||
            (one.isBinding && !isPortlessKind) || (!one.hasOut && !one.hasIn) ||
            // Only UDP leaves by another's port.
            (one.session.has(sf::kSendAlias) && one.session.protocol != IpProtocol::Udp) ||
            (one.shifted &&
             (one.session.protocol != IpProtocol::Tcp || one.kind == 2 ||
              one.session.has(sf::kHairpin) || one.session.has(sf::kOutboundFirst))) ||
            one.session.lastPacket > now || one.session.lastPacket < Instant{} ||
            one.created < Instant{} || one.created > now ||
            (isPortlessKind && (rewrite.outboundVariant >= kVariants ||
                                rewrite.inboundVariant >= kVariants || rewrite.active > 1));
        if (isOdd) return false;
    }
    // What has an address that has gone meanwhile has ended, as it would have done here. If nothing
    // has one of ours, all of it is of another network.
    const auto isGone = [this](const SavedSession& one) {
        const bool untranslated = one.kind == 1 && one.external == one.session.internal;
        return (!untranslated && !slotOf(one.external)) ||
               // What loops does so by an address of ours.
               (one.session.has(sf::kHairpin) && !slotOf(one.session.remote)) ||
               !config.internal.prefix.contains(one.session.internal);
    };
    if (std::erase_if(saved, isGone) > 0 && saved.empty()) return false;
    StateReader ofTunnels = in.part();
    StateReader ofHelpers = in.part();
    if (!in.complete()) return false;
    const auto history = version == kWithoutHistory ? tunnel::TunnelTable::SavedHistory::None
                                                    : tunnel::TunnelTable::SavedHistory::Kept;
    if (!tunnels.restore(now, ofTunnels, history) || !ofTunnels.complete()) return false;
    // Holders first, so that every mapping exists when those that only use it come; flows before
    // port-less sessions, so that these find their masters.
    std::stable_sort(saved.begin(), saved.end(), [](const SavedSession& a, const SavedSession& b) {
        return std::pair{a.kind == 2, !a.holds} < std::pair{b.kind == 2, !b.holds};
    });
    passthrough::RestoredFlows flows;
    std::vector<std::pair<std::uint32_t, const SavedSession*>> attached;
    for (const SavedSession& one : saved) {
        const auto index = restore(now, one, flows);
        if (!index) continue;
        if (one.kind != 2) flows.add(one.flow, flowOf(*index));
        if (one.kind != 2 && one.share) attached.emplace_back(*index, &one);
    }
    if (!passthrough.restore(now, ofHelpers, flows) || !ofHelpers.complete()) return false;
    for (const auto& [index, one] : attached) {
        const auto name = tunnels.nameOf(one->share->key);
        if (!name) continue;
        const auto next = passthrough.flowRestored(sessions.flowId(index), one->share->key,
                                                   name->protocol, name->confidence);
        if (next == passthrough::Attention::Next::Watch) continue;
        nat::SessionDetail& rest = sessions.detail(index);
        rest.flags = static_cast<std::uint16_t>(rest.flags & ~df::kInspect);
        refreshAttention(index);
    }
    return true;
}

/// One session; nothing if there is no room for it, or its place is taken.
nat::MaybeIndex Engine::State::restore(Instant now, const SavedSession& one,
                                       const passthrough::RestoredFlows& flows)
{
    const nat::Session& saved = one.session;
    const bool translated = one.external != saved.internal;
    const std::uint8_t slot = translated ? *slotOf(one.external) : nat::kUntranslatedSlot;
    // A data session ends with its control connection, also with one that has not come back.
    const passthrough::Flow* const master = one.master == 0 ? nullptr : flows.find(one.master);
    if (one.master != 0 && master == nullptr) return std::nullopt;
    const bool isPortlessKind = one.kind == 2;
    const auto taken = [&](Direction direction) {
        const bool outward = direction == Direction::Outbound;
        const std::uint8_t variant = !isPortlessKind ? std::uint8_t{0}
                                     : outward       ? saved.rewrite.outboundVariant
                                                     : saved.rewrite.inboundVariant;
        return !sessions
                    .find(nat::SessionKey::make(
                        direction, saved.protocol, variant, outward ? saved.internal : one.external,
                        saved.remote, outward ? saved.outboundId : saved.inboundId))
                    .isNone();
    };
    if ((one.hasOut && taken(Direction::Outbound)) || (one.hasIn && taken(Direction::Inbound))) {
        return std::nullopt;
    }
    if (one.shifted && !synProxy.hasRoom()) return std::nullopt;
    const auto device = meet(now, saved.internal, nullptr);
    if (!device) return std::nullopt;
    // A session that has outlived its 1:1 rule has an address that its device no longer gets.
    if (translated && mayHave(saved.internal, slot)) {
        devices[*device].paired = true;
        devices[*device].externalSlot = slot;
    }
    nat::MaybeIndex mapping;
    if (one.kind == 0) {
        mapping = mappings.ownerOf(saved.protocol, slot, saved.externalPort());
        if (!mapping) {
            if (!one.holds) return std::nullopt;
            const nat::MappingWish wish{
                .protocol = saved.protocol,
                .behaviour =
                    behaviourOf(saved.protocol, {saved.internal, saved.internalPort()}).mapping,
                .internal = {saved.internal, saved.internalPort()},
                .remote = {saved.remote, saved.remotePort()},
                .externalSlot = slot,
                .device = *device};
            // A rule had got its port; or it is the second of its endpoint, after such a rule.
            const bool displaced =
                forwardTo(config.portForwards, saved.protocol, saved.externalPort()) != nullptr ||
                mappings.find(wish);
            const auto made = mappings.make(now, wish, config.nat, random, saved.externalPort());
            if (!made.mapping) return std::nullopt;
            mapping = made.mapping;
            if (displaced) mappings.displace(*mapping);
            ++counters.mappingsCreated;
            ++devices[*device].ports[nat::MappingTable::lane(saved.protocol)];
        } else if (mappings[*mapping].internal !=
                   net::Endpoint{saved.internal, saved.internalPort()}) {
            return std::nullopt;
        }
    }
    const auto index = sessions.allocate(now);
    if (!index) return std::nullopt;
    nat::Session& session = sessions[*index];
    nat::SessionDetail& rest = sessions.detail(*index);
    session = saved;
    // The connection has gone on after the block was made, for as long as the old engine lived.
    if (saved.protocol == IpProtocol::Tcp) session.window.forgetPositions();
    // This one has not even begun: its server is called again.
    if (one.shifted && !one.shifted->open) session.window = {};
    session.externalSlot = slot;
    session.device = *device;
    session.flags = static_cast<std::uint8_t>(saved.flags & ~(sf::kAttached | sf::kAttention));
    rest.setCreated(one.created);
    rest.forward = one.forward;
    rest.idle = one.idle;
    rest.aliasPort = one.aliasPort;
    rest.addBytes(one.carried.outbound.bytes, one.carried.inbound.bytes);
    rest.packetsOut = static_cast<std::uint32_t>(one.carried.outbound.packets);
    rest.packetsIn = static_cast<std::uint32_t>(one.carried.inbound.packets);
    if (isPortlessKind)
        rest.flags |= df::kPortless;
    else if (saved.protocol != IpProtocol::Icmp && translated)
        rest.flags |= df::kInspect | df::kConsidered;
    if (mapping) {
        join(*index, *mapping, one.holds);
        if (one.carried.outbound.packets != 0) mappings[*mapping].opened = 1;
    }
    if (one.forward != 0) ++forwards[one.forward].live;
    if (one.hasOut) sessions.link(*index, Direction::Outbound);
    if (one.hasIn) sessions.link(*index, Direction::Inbound);
    ++devices[*device].sessions;
    // As open() does: what nobody has answered makes room, what a rule confines stays confined.
    if (!isPortlessKind && !session.has(sf::kAnswered)) putOnProbation(*index);
    if (one.shifted) {
        nat::ShiftedConnection connection = *one.shifted;
        connection.session = *index;
        rest.aliasPort = synProxy.add(now, connection);
        rest.flags |= df::kShifted;
        leaveHandshakes(*index);
    }
    if (!isPortlessKind) confine(*index);
    if (one.share) {
        (void)attach(now, *index, one.share->key, one.share->sequence, one.share->carries);
    }
    if (one.isBinding) {
        passthrough::PortlessBinding binding;
        binding.protocol = saved.protocol;
        binding.client = saved.internal;
        binding.external = one.external;
        binding.server = saved.remote;
        const auto discriminator = [](std::uint8_t variant, std::uint32_t id) {
            return passthrough::Discriminator{
                static_cast<passthrough::Discriminator::Variant>(variant), id};
        };
        if (one.hasOut) {
            binding.outbound = discriminator(saved.rewrite.outboundVariant, saved.outboundId);
        }
        if (one.hasIn) {
            binding.inbound = discriminator(saved.rewrite.inboundVariant, saved.inboundId);
        }
        if (saved.rewrite.active != 0) {
            binding.rewriteInbound =
                passthrough::PortlessBinding::Rewrite{saved.rewrite.offset, saved.rewrite.value};
        }
        if (session.has(sf::kLongIdle)) binding.idle = rest.longIdle();
        binding.watch = one.watch;
        if (one.watch) rest.flags |= df::kInspect;
        if (one.share) {
            binding.key = one.share->key;
            binding.sequence = one.share->sequence;
        }
        if (master != nullptr) {
            binding.master = master->id;
            children.emplace(master->id, *index);
        }
        bindings[*index] = binding;
        const auto name = one.share ? tunnels.nameOf(one.share->key) : std::nullopt;
        passthrough.bindingRestored(now, binding, name ? name->protocol : net::VpnProtocol::Gre);
    }
    ++counters.sessionsCreated;
    sessions.arm(*index, session.lastPacket + idleOf(*index));
    refreshAttention(*index);
    return index;
}

}  // namespace engine
