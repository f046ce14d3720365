#include "engine/passthrough/pptp_state.h"
#include "engine/tunnel/saved_values.h"

/// Across a restart: control connections with help, their calls and Call IDs. Where the streams
/// stand is saved too; if they have gone on since, they are taken up at the next message that
/// begins a segment.
namespace engine::passthrough {

using namespace pptp;
using net::Direction;
using tunnel::readInstant;
using tunnel::readTunnelKey;

namespace {

constexpr std::size_t kShortestControl = 8 + 1 + 1 + 16 + 8 + 4 + 2 * 5 + 4;
constexpr std::size_t kShortestCall = 3 + 3 * 3 + 1 + 16 + 8 + 1 + 8 + 2 * 4 + 13;

void save(StateWriter& out, const std::optional<std::uint16_t>& id)
{
    out.flag(id.has_value());
    out.u16(id.value_or(0));
}
std::optional<std::uint16_t> readId(StateReader& in)
{
    const bool known = in.flag();
    const std::uint16_t id = in.u16();
    return known ? std::optional(id) : std::nullopt;
}

void save(StateWriter& out, const Call& call)
{
    out.u8(static_cast<std::uint8_t>(call.state));
    out.u8(static_cast<std::uint8_t>(call.requester));
    out.flag(call.incoming);
    save(out, call.insideId);
    save(out, call.publicId);
    save(out, call.remoteId);
    out.flag(call.registered);
    tunnel::save(out, call.key);
    tunnel::save(out, call.since);
    out.u8(static_cast<std::uint8_t>(call.phase));
    tunnel::save(out, call.agreedAt);
    for (const std::uint32_t packets : call.packets)
        out.u32(packets);
    call.window.save(out);
}

std::unique_ptr<Call> readCall(Instant now, StateReader& in)
{
    auto call = std::make_unique<Call>();
    call->state = static_cast<CallState>(in.below(4));
    call->requester = static_cast<Direction>(in.below(2));
    call->incoming = in.flag();
    call->insideId = readId(in);
    call->publicId = readId(in);
    call->remoteId = readId(in);
    call->registered = in.flag();
    call->key = readTunnelKey(in);
    call->since = readInstant(in);
    call->phase = static_cast<tunnel::Phase>(in.below(tunnel::kPhaseCount));
    call->agreedAt = readInstant(in);
    for (std::uint32_t& packets : call->packets)
        packets = in.u32();
    call->window.restore(in);
    // Silence is judged from now on.
    call->first = {now, now};
    call->last = {now, now};
    const bool agreed = call->state == CallState::Agreed;
    const bool complete = call->insideId && call->publicId && call->remoteId;
    if ((agreed && !(complete && call->registered)) || (call->registered && !call->publicId) ||
        call->since > now || call->agreedAt > now) {
        in.fail();
    }
    return call;
}

}  // namespace

void PptpInspector::save(StateWriter& out) const
{
    std::vector<const Control*> saved;
    for (const auto& [id, control] : m_state->controls) {
        // The others are recognised again from what passes.
        if (control->assisted() && control->stage == Control::Stage::Ready) {
            saved.push_back(control.get());
        }
    }
    std::ranges::sort(saved, {}, [](const Control* control) { return control->flow.id; });
    out.u32(static_cast<std::uint32_t>(saved.size()));
    for (const Control* const control : saved) {
        out.u64(control->flow.id);
        out.flag(control->labelCertain);
        out.flag(control->keyOver);
        tunnel::save(out, control->key);
        out.u64(control->serial);
        out.u32(control->keepalives);
        for (const ControlStream& stream : control->streams) {
            const auto between = stream.betweenMessages();
            out.flag(between.has_value());
            out.u32(between.value_or(0));
        }
        out.u32(static_cast<std::uint32_t>(control->calls.size()));
        for (const auto& call : control->calls)
            engine::passthrough::save(out, *call);
    }
}

void PptpInspector::bindingRestored(Instant, const PortlessBinding& binding, net::VpnProtocol)
{
    if (binding.protocol != net::IpProtocol::Gre) return;
    const auto& id = binding.inbound ? binding.inbound : binding.outbound;
    if (!id || id->variant != Discriminator::Variant::GreCall) return;
    State& state = *m_state;
    if (binding.master != 0 && binding.inbound) {
        state.restoredCalls.insert(
            {binding.external, binding.server, static_cast<std::uint16_t>(binding.inbound->id)});
        return;
    }
    // Without help: the first client has the server to itself.
    PlainPath& path = state.plain[{binding.external, binding.server, 0}];
    if (path.bindings > 0 && path.client != binding.client) return;
    path.client = binding.client;
    path.key = binding.key;
    ++path.bindings;
}

bool PptpInspector::restore(Instant now, StateReader& in, const RestoredFlows& flows,
                            std::vector<FlowId>& claimed)
{
    State& state = *m_state;
    const std::uint32_t controls = in.count(kMostControls, kShortestControl);
    for (std::uint32_t i = 0; i < controls && !in.failed(); ++i) {
        auto fresh = std::make_unique<Control>();
        Control& control = *fresh;
        const Flow* const flow = flows.find(in.u64());
        control.help = Control::Help::Assist;
        control.stage = Control::Stage::Ready;
        control.since = now;
        control.labelCertain = in.flag();
        control.keyOver = in.flag();
        control.key = readTunnelKey(in);
        control.serial = in.u64();
        control.keepalives = in.u32();
        for (std::size_t way = 0; way < 2; ++way) {
            const bool known = in.flag();
            const std::uint32_t next = in.u32();
            control.takesUp[way] = true;
            if (known) control.streams[way].resumeAt(next);
        }
        const std::uint32_t calls = in.count(kMostCallsPerControl, kShortestCall);
        for (std::uint32_t k = 0; k < calls && !in.failed(); ++k)
            control.calls.push_back(readCall(now, in));
        if (in.failed()) return false;
        if (flow == nullptr || flow->protocol != net::IpProtocol::Tcp) continue;
        control.flow = *flow;
        if (state.controls.contains(flow->id)) return false;
        for (const auto& call : control.calls) {
            state.addCall(control, *call);
            if (state.callCount > kMostCalls) return false;
            state.addPendingIfAsked(control, *call);
            if (!call->registered) continue;
            const CallIdKey inbound{flow->external.address, flow->remote.address, *call->publicId};
            const bool isOurs =
                state.ids.adopt(inbound, flow->internal.address) &&
                state.inboundCalls.emplace(inbound, State::Owner{flow->id, call.get()}).second;
            if (!isOurs) return false;
            call->bound = state.restoredCalls.contains(inbound);
            if (call->state != CallState::Agreed) continue;
            const CallIdKey outbound{flow->internal.address, flow->remote.address, *call->remoteId};
            if (!state.outboundCalls.emplace(outbound, State::Owner{flow->id, call.get()}).second) {
                return false;
            }
        }
        ++state.servers[flow->remote.address.hostOrder()].controls;
        state.noteOpened(control);
        state.controls.emplace(flow->id, std::move(fresh));
        claimed.push_back(flow->id);
        state.wake(now);
    }
    state.restoredCalls.clear();
    return !in.failed();
}

}  // namespace engine::passthrough
