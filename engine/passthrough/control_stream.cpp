#include "engine/passthrough/control_stream.h"

#include <algorithm>

namespace engine::passthrough::pptp {

namespace {

/// Signed distance of two positions in a stream whose numbers wrap (RFC 9293 §3.4).
std::int32_t distance(std::uint32_t from, std::uint32_t to)
{
    return static_cast<std::int32_t>(to - from);
}

}  // namespace

void ControlStream::startAt(std::uint32_t sequence)
{
    m_started = true;
    m_next = sequence;
    m_have = 0;
    m_skip = 0;
    m_callIdDone = false;
    m_highSent.reset();
    m_early.reset();
    m_historySize = 0;
}

bool ControlStream::agreesWithEarly(std::size_t at, wire::ConstBytes bytes) const
{
    for (std::size_t i = 0; i < bytes.size() && at + i < m_message.size(); ++i) {
        if (m_early[at + i] && m_message[at + i] != bytes[i]) return false;
    }
    return true;
}

/// What follows the Call ID of the current message can be kept until its turn.
ControlStream::Outcome ControlStream::takeEarly(std::size_t ahead, wire::ConstBytes bytes)
{
    if (m_have < kHeaderLength || m_skip > 0) return Outcome::Gap;
    const std::size_t at = m_have + ahead;
    if (at + bytes.size() > m_length) return Outcome::Gap;
    const std::size_t field = translatedFieldAt(m_direction, m_type);
    if (field != 0 && !m_callIdDone && at < field + 2) return Outcome::Gap;
    if (!agreesWithEarly(at, bytes)) return Outcome::Conflict;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        m_message[at + i] = bytes[i];
        m_early[at + i] = true;
    }
    return Outcome::Taken;
}

bool ControlStream::agreesWithHistory(std::uint32_t sequence, wire::ConstBytes bytes) const
{
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        const auto back =
            static_cast<std::size_t>(distance(sequence + static_cast<std::uint32_t>(i), m_next));
        if (back > m_historySize) continue;
        if (m_history[(m_historyEnd + kHistory - back) % kHistory] != bytes[i]) return false;
    }
    return true;
}

void ControlStream::remember(wire::ConstBytes bytes)
{
    for (const std::uint8_t octet : bytes) {
        m_history[m_historyEnd] = octet;
        m_historyEnd = (m_historyEnd + 1) % kHistory;
    }
    m_historySize = std::min(kHistory, m_historySize + bytes.size());
    m_next += static_cast<std::uint32_t>(bytes.size());
}

void ControlStream::patch(std::uint32_t sequence, std::uint8_t before, std::uint8_t after)
{
    if (before == after) return;
    Patch& slot = m_patches[m_patchCount % kPatches];
    if (m_patchCount >= kPatches) m_forgotten = slot.sequence + 1;
    slot = {sequence, after};
    ++m_patchCount;
}

bool ControlStream::resolveCallId(std::uint32_t messageStart, ControlReader& reader)
{
    const std::uint16_t at = translatedFieldAt(m_direction, m_type);
    if (at == 0 || m_callIdDone || m_have <= at) return true;
    const auto type = static_cast<MessageType>(m_type);
    if (m_have == at + 1) {
        const auto high = reader.translateHigh(m_direction, type, m_message[at]);
        if (!high) return false;
        patch(messageStart + at, m_message[at], *high);
        m_highSent = high;
        return true;
    }
    const std::uint16_t before = wire::load16(m_message, at);
    const auto after = reader.translate(m_direction, type, before, m_highSent);
    if (!after) return false;
    if (!m_highSent) {
        patch(messageStart + at, m_message[at], static_cast<std::uint8_t>(*after >> 8));
    }
    patch(messageStart + at + 1U, m_message[at + 1U], static_cast<std::uint8_t>(*after));
    m_callIdDone = true;
    return true;
}

ControlStream::Outcome ControlStream::take(std::uint32_t sequence, wire::ConstBytes bytes,
                                           ControlReader& reader)
{
    if (!m_started) startAt(sequence);
    const std::int32_t ahead = distance(m_next, sequence);
    if (ahead > 0) return takeEarly(static_cast<std::size_t>(ahead), bytes);
    const std::size_t old = std::min(static_cast<std::size_t>(-std::int64_t{ahead}), bytes.size());
    // A TCP keep-alive carries one old octet of any value (RFC 9293 §3.8.4).
    const bool keepAlive = bytes.size() == 1 && old == 1;
    if (!keepAlive) {
        if (m_forgotten && old > 0 && distance(sequence, *m_forgotten) > 0) return Outcome::Stale;
        if (!agreesWithHistory(sequence, bytes.first(old))) return Outcome::Conflict;
    }

    wire::ConstBytes rest = bytes.subspan(old);
    while (!rest.empty()) {
        if (m_skip > 0) {
            const std::size_t skipped = std::min<std::size_t>(m_skip, rest.size());
            remember(rest.first(skipped));
            m_skip = static_cast<std::uint16_t>(m_skip - skipped);
            rest = rest.subspan(skipped);
            continue;
        }
        const std::uint16_t had = m_have;
        const std::uint32_t messageStart = m_next - had;
        const std::size_t wanted = had < kHeaderLength ? kHeaderLength : m_length;
        const std::size_t taken = std::min(wanted - had, rest.size());
        if (!agreesWithEarly(had, rest.first(taken))) return Outcome::Conflict;
        std::copy_n(rest.begin(), taken, m_message.begin() + had);
        m_have = static_cast<std::uint16_t>(had + taken);

        if (had < kHeaderLength && m_have == kHeaderLength) {
            const auto header = MessageHeader::read(m_message);
            if (!header) {
                m_have = had;
                return Outcome::Malformed;
            }
            remember(rest.first(taken));
            rest = rest.subspan(taken);
            if (!header->known) {
                m_skip = static_cast<std::uint16_t>(header->length - kHeaderLength);
                m_have = 0;
                continue;
            }
            m_length = header->length;
            m_type = header->type;
            m_callIdDone = false;
            m_highSent.reset();
            continue;
        }
        if (had >= kHeaderLength && !resolveCallId(messageStart, reader)) {
            m_have = had;
            return Outcome::Refused;
        }
        remember(rest.first(taken));
        rest = rest.subspan(taken);
        if (m_have < kHeaderLength) continue;
        while (m_have < m_length && m_early[m_have]) {
            remember(wire::ConstBytes{m_message}.subspan(m_have, 1));
            ++m_have;
        }
        if (m_have == m_length) {
            m_have = 0;
            m_early.reset();
            reader.complete(m_direction, static_cast<MessageType>(m_type),
                            wire::ConstBytes{m_message}.first(m_length));
        }
    }
    return Outcome::Taken;
}

void ControlStream::appendEdits(std::uint32_t sequence, wire::ConstBytes bytes,
                                std::vector<Edit>& edits) const
{
    const std::size_t first = m_patchCount > kPatches ? m_patchCount - kPatches : 0;
    const std::size_t before = edits.size();
    for (std::size_t i = first; i < m_patchCount; ++i) {
        const Patch& patch = m_patches[i % kPatches];
        const std::int32_t at = distance(sequence, patch.sequence);
        if (at < 0 || static_cast<std::size_t>(at) >= bytes.size()) continue;
        const auto offset = static_cast<std::uint32_t>(at);
        if (edits.size() > before) {
            Edit& last = edits.back();
            if (last.offset + last.length == offset && last.length < last.bytes.size()) {
                last.bytes[last.length++] = patch.octet;
                continue;
            }
        }
        edits.push_back({.offset = offset, .length = 1, .bytes = {patch.octet}});
    }
}

}  // namespace engine::passthrough::pptp
